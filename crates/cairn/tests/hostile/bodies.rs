//! Bodies of blocks: other ones than the headers say, spoilt ones, and none.

use crate::forge::{Forge, resealed};
use crate::peer::{Heard, Peer, answer, frame_of, header_of, headers_above, runtime, serve};
use crate::scene::Scene;
use crate::wire::id;
use cairn_core::block::{SealedBlock, SealedHeader, decode_block};
use cairn_core::codec::Encode as _;
use cairn_core::hash::BlockId;
use cairn_core::merkle;
use cairn_core::signature::Witness;
use cairn_core::transaction::{IdentifiedTransaction, Transaction};
use cairn_node::wire::Message;
use cairn_p2p::{ByeCode, LeaveReason};
use serde_json::json;
use std::collections::BTreeMap;

/// What stands in the answer to a question for a block.
type Spoil = fn(&[u8], &BTreeMap<BlockId, Vec<u8>>) -> Vec<u8>;

/// Tells of these headers and sends something else than their blocks, until it is sent away.
async fn send_spoilt(mut peer: Peer, blocks: Vec<Vec<u8>>, spoil: Spoil) -> LeaveReason {
    let headers: Vec<SealedHeader> = blocks.iter().map(|bytes| header_of(bytes)).collect();
    let by_id: BTreeMap<BlockId, Vec<u8>> =
        blocks.into_iter().map(|bytes| (header_of(&bytes).id(), bytes)).collect();
    peer.say(&Message::Headers(headers.clone()));
    loop {
        match peer.hear().await {
            Heard::Message(Message::GetHeaders { locator, .. }) => {
                peer.say(&headers_above(&headers, &locator))
            }
            Heard::Blocks(ids, stream) => {
                let spoilt = ids.iter().map(|id| spoil(&by_id[id], &by_id)).collect();
                answer(stream, spoilt).await;
            }
            Heard::Message(_) => {}
            Heard::Left(reason) => return reason,
        }
    }
}

fn spoil_witness(transaction: &mut Transaction) {
    match &mut transaction.witness {
        Witness::Ed25519 { signature, .. } => signature[0] ^= 1,
        other => panic!("{other:?}"),
    }
}

fn changed(bytes: &[u8], change: impl FnOnce(&mut SealedBlock)) -> Vec<u8> {
    let mut block = decode_block(bytes).unwrap();
    change(&mut block);
    block.to_bytes()
}

#[test]
fn bodies_that_do_not_match_headers() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let mut forge = Forge::new(&scene.genesis);
    let spoils: [(&str, Spoil); 7] = [
        ("a body without its transaction", |bytes, _| changed(bytes, |it| it.body.transactions.clear())),
        ("a transaction twice", |bytes, _| {
            changed(bytes, |it| it.body.transactions.push(it.body.transactions[0].clone()))
        }),
        ("other extra data", |bytes, _| changed(bytes, |it| it.body.extra = vec![1])),
        ("a spoilt signature under the same header", |bytes, _| {
            changed(bytes, |it| spoil_witness(&mut it.body.transactions[0]))
        }),
        ("half a block", |bytes, _| bytes[..bytes.len() / 2].to_vec()),
        ("a block and a byte", |bytes, _| [bytes, &[0]].concat()),
        ("no block at all", |_, _| vec![0xff; 1_000]),
    ];
    for (number, (what, spoil)) in (10..).zip(spoils) {
        forge.follow(&scene.node, &runtime);
        let blocks = forge.make(3, &runtime);
        let tip = header_of(&blocks[2]).id().to_string();
        let before = scene.node.tip();
        let reason = runtime.block_on(async {
            let peer = Peer::join(number, identity, to).await;
            send_spoilt(peer, blocks.clone(), spoil).await
        });
        assert!(
            matches!(&reason, LeaveReason::Theirs(bye) if bye.code == ByeCode::Banned),
            "{what}: {reason}"
        );
        assert!(scene.node.has_banned(&id(number)), "{what}");
        assert_eq!(scene.node.tip(), before, "{what}");
        // It says nothing about the blocks: whoever has the true ones is heard.
        let honest = runtime.block_on(Peer::join(100 + number, identity, to));
        runtime.spawn(serve(honest, blocks, identity));
        scene.node.wait_tip(&tip);
        scene.other.wait_tip(&tip);
        assert!(!scene.node.has_banned(&id(100 + number)), "{what}");
        scene.goes_on(what);
    }

    // A true block, of another place: each costs a fifth of a ban.
    forge.follow(&scene.node, &runtime);
    let blocks = forge.make(3, &runtime);
    let other = scene.node.block(1);
    let sent = runtime.block_on(async {
        let peer = Peer::join(50, identity, to).await;
        send_another(peer, &blocks, &other).await
    });
    assert!((4..=5).contains(&sent), "{sent} times");
    assert!(scene.node.has_banned(&id(50)));
    scene.end();
}

/// Tells of these blocks and sends another one, as often as it is asked until it is sent away; how often that
/// was.
async fn send_another(mut peer: Peer, blocks: &[Vec<u8>], other: &[u8]) -> usize {
    let headers = Message::Headers(blocks.iter().map(|bytes| header_of(bytes)).collect());
    let other = Message::Block(other.into());
    let mut sent = 0;
    peer.say(&headers);
    loop {
        match peer.hear().await {
            Heard::Blocks(_, stream) => {
                sent += 1;
                // Until the question is taken back.
                while stream.send(frame_of(&other)).await.is_ok() {}
                peer.say(&headers);
            }
            Heard::Message(_) => {}
            Heard::Left(reason) => {
                let is_ban = matches!(&reason, LeaveReason::Theirs(bye) if bye.code == ByeCode::Banned);
                assert!(is_ban, "{reason}");
                return sent;
            }
        }
    }
}

#[test]
fn garbage_witness() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let mut forge = Forge::new(&scene.genesis);
    forge.follow(&scene.node, &runtime);
    let true_block = forge.make(1, &runtime).remove(0);

    // The header commits the spoilt signature, and its work is done: the block is condemned with its id.
    let bad = resealed(&true_block, |block| {
        spoil_witness(&mut block.body.transactions[0]);
        let of_block = IdentifiedTransaction::new_all(block.body.transactions.clone(), &BlockId(identity));
        let leaves: Vec<_> = of_block.iter().map(IdentifiedTransaction::leaf).collect();
        block.header.tx_root = merkle::root(&leaves);
    });
    let bad_id = bad.id();
    for number in 10..12 {
        runtime.block_on(async {
            let mut peer = Peer::join(number, identity, to).await;
            let header = header_of(&bad.to_bytes());
            peer.say(&Message::Headers(vec![header.clone()]));
            loop {
                match peer.hear().await {
                    Heard::Blocks(ids, stream) => {
                        assert_eq!(ids, [bad_id]);
                        answer(stream, vec![bad.to_bytes()]).await;
                    }
                    Heard::Left(reason) => {
                        let banned =
                            matches!(&reason, LeaveReason::Theirs(bye) if bye.code == ByeCode::Banned);
                        assert!(banned, "{reason}");
                        break;
                    }
                    Heard::Message(_) => {}
                }
            }
        });
        // The second one is banned for the header alone.
        assert!(scene.node.has_banned(&id(number)));
        scene.goes_on("a block with a spoilt signature");
    }
    scene.end();
}

/// How many blocks there are to fetch.
const BEHIND: u32 = 600;

#[test]
fn stalling() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let forge = Forge::new(&scene.genesis);
    forge.follow(&scene.node, &runtime);
    let blocks = forge.make_empty(BEHIND, &runtime);
    let tip = header_of(&blocks[blocks.len() - 1]).id().to_string();
    let headers: Vec<SealedHeader> = blocks.iter().map(|bytes| header_of(bytes)).collect();

    // It tells of all headers first and is asked first. Of one answer it sends a block, of the others none.
    let mut staller = runtime.block_on(Peer::join(10, identity, to));
    let (asked, first_asked) = tokio::sync::oneshot::channel();
    let held = runtime.spawn({
        let (headers, blocks) = (headers, blocks.clone());
        async move {
            let mut asked = Some(asked);
            staller.say(&Message::Headers(headers.clone()));
            let mut held = Vec::new();
            loop {
                match staller.hear().await {
                    Heard::Blocks(ids, stream) => {
                        let _ = asked.take().map(|it| it.send(()));
                        if held.is_empty() {
                            let at = headers.iter().position(|it| it.id() == ids[0]).unwrap();
                            let frame = Message::Block(blocks[at].clone().into());
                            let _ = stream.send(frame_of(&frame)).await;
                        }
                        held.push(stream);
                    }
                    Heard::Message(Message::GetHeaders { locator, .. }) => {
                        staller.say(&headers_above(&headers, &locator));
                    }
                    Heard::Message(_) => {}
                    Heard::Left(_) => return held.len(),
                }
            }
        }
    });
    runtime.block_on(first_asked).unwrap();
    for number in [20, 21] {
        let honest = runtime.block_on(Peer::join(number, identity, to));
        runtime.spawn(serve(honest, blocks.clone(), identity));
    }
    scene.node.wait_tip(&tip);
    scene.other.wait_tip(&tip);
    for number in [20, 21] {
        assert!(!scene.node.has_banned(&id(number)), "nobody is blamed for what another did");
    }
    scene.goes_on("blocks that do not come");
    assert_eq!(scene.node.read("/v1/status")["sync"]["state"], json!("synced"));
    drop(held);
    scene.end();
}
