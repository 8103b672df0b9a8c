//! Nodes of other networks, the node itself, nodes under other names than were expected, and false addresses.

use crate::peer::{Peer, runtime};
use crate::scene::Scene;
use crate::support::PATIENCE;
use crate::wire::{Streams, hello, id, peer_name};
use cairn_p2p::{AddressRecord, ByeCode, DialFailure, Event, Hello, NodeId, NodeKey, PeerAddress, Roles};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Farewells of page 11.
const OTHER_NETWORK: u16 = 2;
const MYSELF: u16 = 4;

#[test]
fn wrong_identity() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();

    // A node of another network does not even open a stream.
    runtime.block_on(async {
        let mut stranger = Peer::start(10, [7; 32]).await;
        stranger.network.dial(PeerAddress::of(to)).unwrap();
        match stranger.next().await {
            Event::DialFailed { why, .. } => assert!(matches!(why, DialFailure::OtherNetwork), "{why}"),
            event => panic!("{event:?}"),
        }
    });
    // Nor does it get further under the name of this one.
    let mut streams = Streams::dial(11, to).unwrap();
    streams.open(&peer_name(&identity)).unwrap();
    streams.send(1, &hello(11, [7; 32]).to_frame().to_bytes()).unwrap();
    assert_eq!(streams.farewell(), Some(OTHER_NETWORK));
    scene.goes_on("nodes of another network");

    // Who answers under another key than the one that was named gets no link, and is not to blame.
    let impostor = runtime.block_on(Peer::start(12, identity));
    let address = impostor.network.listening()[0];
    scene.node.command("/v1/peers", &json!({ "add": format!("{}@{address}", id(13)) }));
    let failure = format!("another node answers: {}", id(12));
    scene.node.wait("/v1/peers/kept", |kept| kept[0]["last_failure"] == json!(failure));
    assert_eq!(scene.node.read("/v1/peers/kept")[0]["connected"], json!(false));
    assert!(!scene.node.has_banned(&id(12)));
    scene.end();
}

#[test]
fn self_connection() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let own = to.to_string();
    scene.node.command("/v1/peers", &json!({ "add": own }));
    scene.node.wait("/v1/peers/kept", |kept| kept[0]["last_failure"] == json!("it is this node itself"));
    scene.node.command("/v1/peers", &json!({ "remove": own }));
    assert_eq!(scene.node.peers().len(), 1, "the honest one");
    scene.goes_on("the node's own address");

    // Another key with the number that the node has drawn, as if it met itself by a detour.
    let mut streams = Streams::dial(10, to).unwrap();
    streams.open(&peer_name(&identity)).unwrap();
    let theirs = Hello::read(&streams.hear(1, "HEL").unwrap()).unwrap();
    let mirrored = Hello { nonce: theirs.nonce, ..hello(10, identity) };
    streams.send(1, &mirrored.to_frame().to_bytes()).unwrap();
    assert_eq!(streams.farewell(), Some(MYSELF));
    scene.end();
}

/// A node that dialled first and is named afterwards, in another way than it names itself.
#[test]
fn named_after_it_has_dialled() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let own: NodeId = scene.other.read("/v1/peers")[0]["id"].as_str().unwrap().parse().unwrap();
    // Its key is the greater one, so that its link is the one that stays.
    let seed = (50..).find(|seed| NodeKey::from_seed([*seed; 32]).id() > own).unwrap();
    let runtime = runtime();
    let peer = runtime.block_on(Peer::join(seed, identity, to));
    let name = format!("localhost:{}", peer.network.listening()[0].port());
    scene.node.command("/v1/peers", &json!({ "add": name }));
    scene.node.wait("/v1/peers/kept", |kept| {
        kept[0]["connected"] == json!(true) && kept[0]["failures"] == json!(0)
    });
    scene.node.command("/v1/peers", &json!({ "remove": name }));
    scene.goes_on("a node with two names");
    scene.end();
}

/// How many addresses are taken of a peer that was not asked (NET-15), and how many frames beyond are a ban.
const UNASKED_MAX: u64 = 10;
const TOO_MANY: usize = 50;

#[test]
fn address_poisoning() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let record = |address: SocketAddr| AddressRecord {
        address,
        node: None,
        last_seen_s: u64::MAX,
        roles: Roles::FULL,
    };
    let known = || scene.node.figure("cairn_addresses");

    // The node's own address, and such as are none: nothing of it stays, and no link comes of it.
    let mut peer = runtime.block_on(Peer::join(10, identity, to));
    let before = known();
    let none =
        ["0.0.0.0:7700", "127.0.0.1:0", "224.0.0.1:7700", "255.255.255.255:7700", "[::]:1", "[ff02::1]:1"];
    let useless: Vec<AddressRecord> =
        none.iter().map(|it| it.parse().unwrap()).chain([to]).map(record).collect();
    runtime.block_on(async {
        peer.network.tell_addresses(peer.link(), &useless).unwrap();
        peer.is_heard(identity).await;
    });
    let start = Instant::now();
    while known() > before {
        assert!(start.elapsed() < PATIENCE, "{} are known, {before} were", known());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(scene.node.peers().len(), 2);

    // Thousands of addresses where nobody is: a few are taken, and who goes on is banned.
    let before = known();
    let poison: Vec<AddressRecord> =
        (0..250_u8).map(|at| record(SocketAddr::from(([198, 51, at, 7], 7700)))).collect();
    runtime.block_on(async {
        for _ in 0..=TOO_MANY {
            let _ = peer.network.tell_addresses(peer.link(), &poison);
        }
        peer.leaves_with(ByeCode::Banned).await;
    });
    assert!(scene.node.has_banned(&id(10)));
    let taken = known() - before;
    assert!(taken <= UNASKED_MAX, "{taken} addresses");
    scene.goes_on("false addresses");
    scene.end();
}
