//! Headers that stand on nothing, that have no work or too little, and whose times are lies.

use crate::forge::{Forge, hard_genesis, light_headers, lone_header, resealed, seal};
use crate::peer::{Heard, Peer, header_of, headers_above, runtime, serve};
use crate::scene::Scene;
use crate::wire::{Streams, hello, id, peer_name};
use cairn_core::block::{Seal, SealedHeader};
use cairn_core::codec::Encode as _;
use cairn_core::numbers::{Timestamp, WorkNonce};
use cairn_core::target::CompactTarget;
use cairn_node::wire::{HEADERS_MAX, Message};
use cairn_p2p::{ByeCode, LeaveReason};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn unconnected_headers() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let lone: Vec<SealedHeader> = (0..100).map(|number| lone_header(&scene.genesis, number)).collect();

    // Whoever tells of a block whose parent is not known is asked for those below, once; it is no offence.
    let mut peer = runtime.block_on(Peer::join(10, identity, to));
    let asked = runtime.block_on(async {
        for header in &lone {
            peer.say(&Message::Headers(vec![header.clone()]));
        }
        peer.say(&Message::GetBlockTransactions { block: lone[0].id(), places: vec![0] });
        peer.say(&Message::GetHeaders { locator: vec![*scene.genesis.identity()], stop: lone[0].id() });
        let mut asked = 0;
        loop {
            match peer.hear().await {
                Heard::Message(Message::GetHeaders { .. }) => asked += 1,
                Heard::Message(Message::Headers(_)) => return asked,
                Heard::Left(reason) => panic!("{reason}"),
                _ => {}
            }
        }
    });
    assert_eq!(asked, 1, "the question is open, so it is not asked again");
    scene.goes_on("headers that stand on nothing");
    assert!(scene.node.peers().contains(&id(10)));

    // More than 500 at once and 100 a second are a flood.
    runtime.block_on(async {
        peer.flood(lone.iter().cycle().map(|header| Message::Headers(vec![header.clone()]))).await;
        peer.leaves_with(ByeCode::Banned).await;
    });
    assert!(scene.node.has_banned(&id(10)));
    scene.end();
}

#[test]
fn headers_without_work() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let mut forge = Forge::new(&scene.genesis);
    forge.follow(&scene.node, &runtime);
    let good = header_of(&forge.make(1, &runtime)[0]);
    let unsealed = {
        let nonce = (0..).map(|nonce| Seal::Work { nonce: WorkNonce(nonce) }).find(|seal| {
            let header = SealedHeader { header: good.header.clone(), seal: seal.clone() };
            !good.header.target.expand().unwrap().is_met_by(&header.id())
        });
        SealedHeader { header: good.header.clone(), seal: nonce.unwrap() }
    };
    let changed = |change: fn(&mut SealedHeader)| {
        let mut header = good.clone();
        change(&mut header);
        header.seal = seal(&header.header);
        header
    };
    let bad = [
        ("SEA-3", unsealed),
        ("HDR-4", changed(|it| it.header.target = CompactTarget(0x2100_ffff))),
        ("HDR-2", changed(|it| it.header.height.0 += 1)),
        ("HDR-6", changed(|it| it.header.history_root.0[0] ^= 1)),
    ];
    for (number, (rule, header)) in (10..).zip(bad) {
        runtime.block_on(async {
            let peer = Peer::join(number, identity, to).await;
            peer.say(&Message::Headers(vec![header]));
            peer.leaves_with(ByeCode::Banned).await;
        });
        assert!(scene.node.has_banned(&id(number)), "{rule}");
        scene.goes_on(rule);
    }
    scene.end();
}

/// How many headers of little work there are.
const LIGHT_HEADERS: usize = 100_000;
/// How many headers of a branch beside the chain are counted (HEA-7).
const COUNTED_MAX: usize = 16_000;
/// How many times they are: each refusal costs 20 strikes, and to begin anew unasked 5 (12).
const REFUSALS_MAX: usize = 4;

#[test]
fn low_work_headers() {
    let mut scene = Scene::on(hard_genesis());
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    scene.node.command("/v1/mine", &json!({ "blocks": 20 }));
    let headers = light_headers(&scene.genesis, LIGHT_HEADERS);
    let runtime = runtime();
    let peer = runtime.block_on(async {
        // It says of itself that it has more work than there can be.
        let mut peer = Peer::start(10, identity).await;
        peer.network.set_hello_state(u64::MAX, [1; 32], [0xff; 32]);
        peer.dial(to).await;
        peer
    });
    let showing = runtime.spawn(show(peer, headers));
    // Work grows harder with each block that follows at once.
    scene.goes_on("headers of little work");
    let shown = runtime.block_on(showing).unwrap();
    let whole = shown.iter().filter(|shown| **shown == COUNTED_MAX).count();
    assert_eq!((whole, shown.len()), (REFUSALS_MAX, REFUSALS_MAX + 1), "{shown:?}");
    assert!(scene.node.has_banned(&id(10)));
    assert_eq!(scene.node.read("/v1/status")["sync"]["state"], json!("synced"));
    scene.end();
}

/// Shows headers as it is asked for them, and from the beginning once it has shown as many as are counted, until
/// it is sent away. How many it could show each time.
async fn show(mut peer: Peer, headers: Vec<SealedHeader>) -> Vec<usize> {
    let mut shown = vec![0];
    loop {
        match peer.hear().await {
            Heard::Message(Message::GetHeaders { locator, .. }) => {
                let page = headers_above(&headers, &locator);
                *shown.last_mut().unwrap() += HEADERS_MAX;
                peer.say(&page);
                if shown.last() == Some(&COUNTED_MAX) {
                    shown.push(HEADERS_MAX);
                    peer.say(&headers_above(&headers, &[]));
                }
            }
            Heard::Left(reason) => {
                assert!(
                    matches!(&reason, LeaveReason::Theirs(bye) if bye.code == ByeCode::Banned),
                    "{reason}"
                );
                return shown;
            }
            _ => {}
        }
    }
}

#[test]
fn clock_liars() {
    const SECOND_MS: u64 = 1_000;
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();

    // Whatever peers say that the time is, their links stay, and nothing is judged by it.
    let liars = [0, u64::MAX, now_ms() - 7_200_000, now_ms() + 7_200_000];
    let linked = (10..).zip(liars).map(|(number, time_ms)| {
        let mut streams = Streams::dial(number, to).unwrap();
        streams.open(&peer_name(&identity)).unwrap();
        let mut greeting = hello(number, identity);
        greeting.time_ms = time_ms;
        streams.send(1, &greeting.to_frame().to_bytes()).unwrap();
        streams.hear(1, "PIN").unwrap();
        streams
    });
    let linked: Vec<Streams> = linked.collect();
    for number in 10..14 {
        assert!(scene.node.peers().contains(&id(number)));
    }
    scene.goes_on("greetings with wrong times");
    drop(linked);

    let mut forge = Forge::new(&scene.genesis);
    forge.follow(&scene.node, &runtime);
    let block = forge.make(1, &runtime).remove(0);
    let at = |time_ms: u64| resealed(&block, |it| it.header.time = Timestamp(time_ms));

    // A block of an honest node whose clock goes a little ahead is taken, and nobody is blamed.
    let ahead = at(now_ms() + 5 * SECOND_MS);
    let peer = runtime.block_on(Peer::join(20, identity, to));
    let mut beside = runtime.block_on(Peer::join(21, identity, to));
    let (tip, bytes) = (ahead.id().to_string(), ahead.to_bytes());
    runtime.spawn(serve(peer, vec![bytes], identity));
    scene.node.wait_tip(&tip);
    scene.other.wait_tip(&tip);
    scene.goes_on("a block from a clock that goes ahead");

    // Headers from further ahead than anybody's clock may be are not judged: no ban, no work lost on them.
    forge.follow(&scene.node, &runtime);
    let block = forge.make(1, &runtime).remove(0);
    let tip = scene.node.tip();
    runtime.block_on(async {
        for time_ms in [now_ms() + 3_600 * SECOND_MS, u64::MAX - 1, u64::MAX] {
            let block = resealed(&block, |it| it.header.time = Timestamp(time_ms));
            beside.say(&Message::Headers(vec![header_of(&block.to_bytes())]));
        }
        beside.is_heard(identity).await;
    });
    assert_eq!(scene.node.tip(), tip);
    assert!(scene.node.peers().contains(&id(21)));
    scene.goes_on("headers from the future");

    // One that is not later than its parent breaks a rule that needs no clock.
    let block = resealed(&block, |it| it.header.time = Timestamp(1));
    runtime.block_on(async {
        beside.say(&Message::Headers(vec![header_of(&block.to_bytes())]));
        beside.leaves_with(ByeCode::Banned).await;
    });
    assert!(scene.node.has_banned(&id(21)));
    assert!(!scene.node.has_banned(&id(20)));
    scene.end();
}
