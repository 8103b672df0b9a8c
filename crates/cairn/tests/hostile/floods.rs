//! Messages without end, without sense, and without anybody having asked for them.

use crate::peer::{Heard, Peer, frame_of, runtime};
use crate::scene::Scene;
use crate::support::{key, transfer};
use crate::wire::id;
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::numbers::Amount;
use cairn_core::transaction::IdentifiedTransaction;
use cairn_node::wire::{ANNOUNCED_MAX, Message};
use cairn_p2p::{ByeCode, Frame, Tag};
use std::collections::BTreeSet;

/// How many transactions a peer is asked for at a time (12).
const ASKED_MAX: usize = 1_000;
/// How many announcements may come at once (12); fifty beyond what is allowed are a ban (NET-15).
const BURST: usize = 100;

/// A frame that means nothing, made of a number.
type Unasked = fn(u8) -> Frame;

/// Names of transactions that nobody has.
fn leaves(number: u8, page: usize, count: usize) -> Vec<LeafHash> {
    let leaf = |at: usize| {
        let mut leaf = [number; 32];
        leaf[..8].copy_from_slice(&u64::try_from(page * count + at).unwrap().to_le_bytes());
        LeafHash(leaf)
    };
    (0..count).map(leaf).collect()
}

#[test]
fn inv_flood() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let announce = |number, page| Message::Announce(leaves(number, page, ANNOUNCED_MAX));

    // As many as are allowed at once, of several peers, and none of the transactions.
    let flooders = runtime.block_on(async {
        let mut flooders = Vec::new();
        for number in 10..16 {
            let mut peer = Peer::join(number, identity, to).await;
            for page in 0..BURST {
                peer.say(&announce(number, page));
            }
            let mut asked = BTreeSet::new();
            peer.say(&Message::GetCompact(BlockId(identity)));
            loop {
                match peer.hear().await {
                    Heard::Message(Message::GetTransactions(leaves)) => asked.extend(leaves),
                    Heard::Message(Message::Compact(_)) => break,
                    Heard::Left(reason) => panic!("{reason}"),
                    _ => {}
                }
            }
            assert!(asked.len() <= ASKED_MAX, "asked for {}", asked.len());
            flooders.push(peer);
        }
        flooders
    });
    scene.goes_on("announcements of nothing");

    // More than that are a ban.
    runtime.block_on(async {
        let peer = Peer::join(20, identity, to).await;
        peer.flood((0..).map(|page| announce(20, page))).await;
        peer.leaves_with(ByeCode::Banned).await;
    });
    assert!(scene.node.has_banned(&id(20)));
    drop(flooders);
    scene.end();
}

#[test]
fn unknown_and_unasked_messages() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    let unasked: [(u8, &str, Unasked); 3] = [
        (10, "unknown messages", |_| Frame::new(Tag::new("XYZ"), vec![1, 2, 3])),
        (11, "transactions of a block that nobody asked for", |at| {
            let message = Message::BlockTransactions { block: BlockId([at; 32]), transactions: Vec::new() };
            frame_of(&message)
        }),
        (12, "an answer on the wrong stream", |_| {
            Frame::new(Tag::new("BLK"), Message::Block([1, 2, 3].into()).to_body())
        }),
    ];
    for (number, what, frame) in unasked {
        runtime.block_on(async {
            let peer = Peer::join(number, identity, to).await;
            (0..5).for_each(|at| peer.send(frame(at)));
            peer.leaves_with(ByeCode::Banned).await;
        });
        assert!(scene.node.has_banned(&id(number)), "{what}");
        scene.goes_on(what);
    }

    // Whom the operator has named is not banned for what it does.
    let mut named = runtime.block_on(Peer::start(20, identity));
    let address = named.network.listening()[0].to_string();
    scene.node.command("/v1/peers", &serde_json::json!({ "add": address }));
    runtime.block_on(async {
        named.linked().await;
        (0..10).for_each(|_| named.send(Frame::new(Tag::new("XYZ"), vec![1, 2, 3])));
        named.is_heard(identity).await;
    });
    assert!(!scene.node.has_banned(&id(20)));
    scene.end();
}

#[test]
fn forged_transactions() {
    let scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let runtime = runtime();
    runtime.block_on(async {
        let mut peer = Peer::join(10, identity, to).await;
        // Each with a signature that is of another amount; five are a ban.
        let forged = (0..5).map(|nonce| {
            let mut transaction = transfer(&scene.genesis, &key(3), nonce, key(1).address(), 5);
            transaction.body.transfers[0].amount = Amount::from_units(6);
            transaction
        });
        let forged: Vec<_> = forged.collect();
        let of_network = |it: &cairn_core::transaction::Transaction| {
            IdentifiedTransaction::new(it.clone(), &BlockId(identity)).leaf()
        };
        peer.say(&Message::Announce(forged.iter().map(of_network).collect()));
        peer.hears(b"GET").await;
        peer.say(&Message::Transactions(forged));
        peer.leaves_with(ByeCode::Banned).await;
    });
    assert!(scene.node.has_banned(&id(10)));
    scene.end();
}
