//! Floods: all that a peer can fill stays within its bound, and takes nothing from another peer.

use super::{
    ANNOUNCED_OF_PEER_MAX, ASKED_OF_PEER_MAX, Action, DONE_MAX, FETCH_TIME_MS, HOLDERS_MAX, JUDGE_TIME_MS,
    KNOWN_OF_PEER_MAX, Relay, RelayConfig, SEND_TURN_MS, TO_ANNOUNCE_MAX,
};
use crate::chain::PeerKey;
use crate::mempool::Mempool;
use crate::peers::Offence;
use crate::testing::{Bench, Network, Person, START};
use crate::wire::{ANNOUNCED_MAX, Message, TRANSACTIONS_MAX};
use cairn_core::hash::LeafHash;
use cairn_core::numbers::Timestamp;
use cairn_core::transaction::Transaction;

/// A relay, and a node that has the mempool beside it.
struct Flood {
    relay: Relay,
    bench: Bench,
    now: Timestamp,
}

/// The `number`th of names that belong to nobody's transaction.
fn leaf(number: usize) -> LeafHash {
    let mut bytes = [0xee; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    LeafHash(bytes)
}

fn leaves(numbers: std::ops::Range<usize>) -> Vec<LeafHash> {
    numbers.map(leaf).collect()
}

/// How many transactions a peer is asked for.
fn asked(actions: &[Action], of: PeerKey) -> usize {
    let of = actions.iter().filter_map(|action| match action {
        Action::Send(peer, Message::GetTransactions(leaves)) if *peer == of => Some(leaves.len()),
        _ => None,
    });
    of.inspect(|count| assert!(*count <= TRANSACTIONS_MAX)).sum()
}

fn strikes(actions: &[Action]) -> Vec<(PeerKey, Offence)> {
    let strikes = actions.iter().filter_map(|action| match action {
        Action::Strike(peer, offence) => Some((*peer, *offence)),
        _ => None,
    });
    strikes.collect()
}

impl Flood {
    fn new(peers: u64) -> Self {
        let mut flood = Self { relay: Relay::new(RelayConfig::default()), bench: Bench::easy(), now: START };
        for peer in 0..peers {
            flood.relay.join(PeerKey(peer), false, &flood.bench.node.mempool, START);
        }
        flood
    }

    /// Does something with the relay, and checks all its bounds.
    fn act(&mut self, act: impl FnOnce(&mut Relay, &Mempool, Timestamp, &mut Vec<Action>)) -> Vec<Action> {
        let mut actions = Vec::new();
        act(&mut self.relay, &self.bench.node.mempool, self.now, &mut actions);
        self.relay.check_counts();
        actions
    }

    fn announce(&mut self, peer: u64, leaves: &[LeafHash]) -> Vec<Action> {
        let mut actions = Vec::new();
        for leaves in leaves.chunks(ANNOUNCED_MAX) {
            actions.extend(self.act(|relay, mempool, now, actions| {
                relay.take_announcement(PeerKey(peer), leaves, mempool, now, actions);
            }));
        }
        actions
    }

    fn send(&mut self, peer: u64, transaction: &Transaction) -> Vec<Action> {
        let identity = self.bench.network.id;
        self.act(|relay, mempool, now, actions| {
            let transactions = vec![transaction.clone()];
            relay.take_transactions(PeerKey(peer), transactions, &identity, mempool, now, actions);
        })
    }

    /// Lets time pass and does what is due.
    fn wait_ms(&mut self, milliseconds: u64) -> Vec<Action> {
        self.now = self.now.saturating_add_ms(milliseconds);
        let actions = self.act(|relay, mempool, now, actions| relay.run(mempool, now, actions));
        assert!(self.relay.wakeup().is_none_or(|at| at > self.now), "what is due was done");
        actions
    }
}

#[test]
fn of_names_that_nobody_has_a_peer_fills_only_its_own_share() {
    let mut flood = Flood::new(2);
    let actions = flood.announce(0, &leaves(0..50_000));
    assert_eq!(flood.relay.wants.len(), ANNOUNCED_OF_PEER_MAX);
    assert_eq!(asked(&actions, PeerKey(0)), ASKED_OF_PEER_MAX);
    // Another is asked at once for what it announces.
    let actions = flood.announce(1, &leaves(60_000..60_010));
    assert_eq!(asked(&actions, PeerKey(1)), 10);
    assert_eq!(flood.relay.peers[&PeerKey(0)].known.recent.len(), KNOWN_OF_PEER_MAX);
}

#[test]
fn a_peer_that_names_everything_and_sends_nothing_is_struck_and_others_are_asked() {
    let mut flood = Flood::new(2);
    flood.announce(0, &leaves(0..5_000));
    flood.announce(1, &leaves(0..100));
    let mut struck = Vec::new();
    let mut asked_of_other = 0;
    for _ in 0..10 {
        let actions = flood.wait_ms(FETCH_TIME_MS);
        struck.extend(strikes(&actions).into_iter().filter(|(peer, _)| *peer == PeerKey(0)));
        asked_of_other += asked(&actions, PeerKey(1));
    }
    // Once in the time that it has, not once for each name.
    assert_eq!(struck, [(PeerKey(0), Offence::NoAnswer); 5]);
    assert_eq!(asked_of_other, 100);
    assert_eq!(flood.relay.check_counts(), 0);
}

#[test]
fn not_found_for_everything_leaves_nothing_behind() {
    let mut flood = Flood::new(1);
    let names = leaves(0..20_000);
    let mut waiting = flood.announce(0, &names);
    let mut count = 0;
    while let Some(action) = waiting.pop() {
        let Action::Send(peer, Message::GetTransactions(leaves)) = action else { continue };
        count += leaves.len();
        waiting.extend(flood.act(|relay, _, now, actions| relay.take_not_found(peer, &leaves, now, actions)));
    }
    assert_eq!((count, flood.relay.wants.len()), (ANNOUNCED_OF_PEER_MAX, 0));
    // For what nobody asked it means nothing.
    let actions = flood.act(|relay, _, now, actions| relay.take_not_found(PeerKey(0), &names, now, actions));
    assert!(actions.is_empty());
}

#[test]
fn of_peers_that_say_they_have_a_transaction_so_many_are_remembered() {
    let count = u64::try_from(HOLDERS_MAX).unwrap() + 44;
    let mut flood = Flood::new(count);
    for peer in 0..count {
        flood.announce(peer, &[leaf(1), leaf(1)]);
    }
    assert_eq!(flood.relay.wants[&leaf(1)].holders.len(), HOLDERS_MAX);
    // Each is asked in its turn, and none twice.
    let mut asked_peers = 1;
    while !flood.relay.wants.is_empty() {
        let actions = flood.wait_ms(FETCH_TIME_MS);
        asked_peers += (0..count).map(|peer| asked(&actions, PeerKey(peer))).sum::<usize>();
    }
    assert_eq!(asked_peers, HOLDERS_MAX + 1);
}

#[test]
fn silent_strangers_hold_a_transaction_up_once_where_somebody_has_given_something_before() {
    let mut flood = Flood::new(26);
    let honest = PeerKey(25);
    flood.act(|relay, _, _, _| relay.note_proven(honest));
    // All others are first to name it, and send nothing.
    for peer in 0..=25 {
        flood.announce(peer, &[leaf(1)]);
    }
    assert_eq!(asked(&flood.wait_ms(FETCH_TIME_MS), honest), 1);
    // Whoever this node chose goes before strangers from the start.
    let chosen = PeerKey(99);
    flood.act(|relay, mempool, now, _| relay.join(chosen, true, mempool, now));
    (0..25).for_each(|peer| drop(flood.announce(peer, &[leaf(2)])));
    flood.announce(99, &[leaf(2)]);
    assert_eq!(asked(&flood.wait_ms(FETCH_TIME_MS), chosen), 1);
}

#[test]
fn peers_that_come_and_go_leave_nothing_behind() {
    let mut flood = Flood::new(1);
    for peer in 1..200 {
        flood.act(|relay, mempool, now, _| relay.join(PeerKey(peer), false, mempool, now));
        flood.announce(peer, &leaves(0..300));
        flood.act(|relay, _, now, actions| relay.leave(PeerKey(peer), now, actions));
    }
    assert_eq!((flood.relay.check_counts(), flood.relay.peers.len()), (0, 1));
}

#[test]
fn what_waits_to_be_announced_is_bounded_and_the_oldest_is_left_out() {
    let mut flood = Flood::new(1);
    for name in leaves(0..TO_ANNOUNCE_MAX + 500) {
        flood.relay.announce(name, START);
    }
    let queue = &flood.relay.peers[&PeerKey(0)].queue;
    assert_eq!((queue.len(), queue.front()), (TO_ANNOUNCE_MAX, Some(&leaf(500))));
    // None of them waits here: nothing is told, and the queue is empty.
    assert!(flood.wait_ms(10_000).is_empty());
    assert!(flood.relay.peers[&PeerKey(0)].queue.is_empty());
}

#[test]
fn of_what_is_refused_and_confirmed_so_much_is_remembered() {
    let mut flood = Flood::new(1);
    for name in leaves(0..DONE_MAX + 10) {
        flood.relay.refuse(name);
    }
    assert_eq!(flood.relay.refused.len(), DONE_MAX);
    flood.relay.follow(leaves(0..DONE_MAX + 10).into_iter());
    assert_eq!((flood.relay.refused.len(), flood.relay.confirmed.len()), (0, DONE_MAX));
    let actions = flood.announce(0, &leaves(10..1_010));
    assert_eq!((asked(&actions, PeerKey(0)), flood.relay.wants.len()), (0, 0));
}

#[test]
fn what_a_peer_asks_for_is_sent_in_turns_and_the_rest_is_not_found() {
    let mut flood = Flood::new(1);
    let drafts = (0..600).map(|nonce| Person(5).sends(nonce).data(&[7; 1_000]).sign(&flood.bench.network));
    let transactions: Vec<_> = drafts.collect();
    let names: Vec<LeafHash> = transactions.iter().map(|it| it.leaf()).collect();
    let taken = flood.bench.submit_all(transactions.into_iter().map(Ok).collect());
    assert!(taken.iter().all(Result::is_ok));
    let mut not_found = 0;
    let mut sent = 0;
    let mut count = |actions: Vec<Action>| {
        let mut bytes = 0;
        for action in actions {
            match action {
                Action::Send(_, Message::NotFound(leaves)) => not_found += leaves.len(),
                Action::Send(_, message @ Message::Transactions(_)) => {
                    let Message::Transactions(transactions) = &message else { unreachable!() };
                    sent += transactions.len();
                    bytes += message.to_body().len();
                }
                _ => {}
            }
        }
        bytes
    };
    // Ten times 600 transactions of 1.2 kB, asked for at once.
    let mut first = 0;
    for chunk in names.repeat(10).chunks(TRANSACTIONS_MAX) {
        first += count(flood.act(|relay, mempool, now, actions| {
            relay.take_request(PeerKey(0), chunk, mempool, now, actions);
        }));
    }
    assert!(first < 1_200_000, "{first} bytes at once");
    let mut turns = 0;
    while !flood.relay.peers[&PeerKey(0)].to_send.is_empty() {
        turns += 1;
        assert!(count(flood.wait_ms(SEND_TURN_MS)) < 1_200_000);
    }
    assert!(turns >= 1);
    assert_eq!(sent + not_found, 6_000);
    assert!(not_found > 3_000, "{not_found}");
}

#[test]
fn a_transaction_whose_verdict_never_comes_is_let_go_and_asked_of_another() {
    let mut flood = Flood::new(2);
    let transaction = Person(5).sends(0).sign(&flood.bench.network);
    let name = transaction.leaf();
    flood.announce(0, &[name]);
    flood.announce(1, &[name]);
    let actions = flood.send(0, transaction.transaction());
    assert!(matches!(&actions[..], [Action::Judge(PeerKey(0), judged)] if judged.len() == 1));
    assert!(flood.wait_ms(JUDGE_TIME_MS - 1).is_empty());
    let actions = flood.wait_ms(1);
    assert_eq!((asked(&actions, PeerKey(1)), strikes(&actions)), (1, vec![]));
    flood.send(1, transaction.transaction());
    flood.wait_ms(JUDGE_TIME_MS);
    assert_eq!(flood.relay.check_counts(), 0);
    // It is fetched again when somebody announces it again.
    assert_eq!(asked(&flood.announce(0, &[name]), PeerKey(0)), 1);
}

#[test]
fn transactions_that_nobody_asked_for_are_not_judged() {
    let network = Network::easy();
    let mut flood = Flood::new(2);
    for nonce in 0..50 {
        let transaction = Person(5).sends(nonce).sign(&network);
        let actions = flood.send(0, transaction.transaction());
        assert!(matches!(&actions[..], [Action::Strike(PeerKey(0), Offence::Unasked)]), "{actions:?}");
        // Nor does who announced it open the door to others.
        flood.announce(1, &[transaction.leaf()]);
        let actions = flood.send(0, transaction.transaction());
        assert!(matches!(&actions[..], [Action::Strike(PeerKey(0), Offence::Unasked)]), "{actions:?}");
    }
    assert_eq!(flood.relay.check_counts(), 50);
}
