//! Nodes that talk to each other: a world of several with pretend links and one clock.

use crate::chain::PeerKey;
use crate::compact::{CompactBlock, transactions_at};
use crate::messages::Input;
use crate::peers::{
    AskId, InvalidBody, JudgedFor, Offence, PeerEffect, PeerInfo, PeerInput, Question, Received,
    check_headers, receive,
};
use crate::sync::{ANNOUNCE_TIME_MS, ANNOUNCED_HEADERS_MAX, BEGIN_TIME_MAX_MS, COMPACT_TIME_MS, SyncState};
use crate::testing::{Bench, Network, Person, miner, miner_for, nth};
use crate::wire::Message;
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::signature::Batching;
use cairn_core::store::Store as _;
use cairn_core::transaction::{IdentifiedTransaction, check_each_identified};
use std::collections::BTreeMap;

/// How long a message is on its way.
const DELAY_MS: u64 = 20;

/// What a node does with what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Answers nothing about blocks.
    Silent,
    /// Ends every request for blocks at once, without blocks.
    Empty,
}

/// Something that is on its way to a node.
#[derive(Debug)]
struct Parcel {
    to: usize,
    from: usize,
    input: PeerInput,
}

struct World {
    nodes: Vec<Bench>,
    manners: Vec<Manner>,
    /// Which pairs are linked, and the name of the link.
    links: BTreeMap<(usize, usize), u64>,
    next_link: u64,
    now: Timestamp,
    parcels: BTreeMap<(Timestamp, u64), Parcel>,
    sent: u64,
    /// What crossed each link in frames, by tag.
    bytes: BTreeMap<(usize, usize, &'static str), usize>,
    strikes: Vec<(usize, usize, Offence)>,
    /// Who praised whom.
    praises: Vec<(usize, usize)>,
}

impl World {
    fn new(network: &Network, count: u8) -> Self {
        let nodes: Vec<Bench> =
            (0..count).map(|number| Bench::new(network, miner_for(nth(1, number.into())))).collect();
        let now = nodes[0].now;
        let manners = vec![Manner::Honest; nodes.len()];
        Self {
            nodes,
            manners,
            links: BTreeMap::new(),
            next_link: 0,
            now,
            parcels: BTreeMap::new(),
            sent: 0,
            bytes: BTreeMap::new(),
            strikes: Vec::new(),
            praises: Vec::new(),
        }
    }

    fn key(&self, of: usize, with: usize) -> Option<PeerKey> {
        let link = self.links.get(&(of.min(with), of.max(with)))?;
        Some(PeerKey(link * 100 + u64::try_from(with).unwrap()))
    }

    fn node_of(&self, at: usize, peer: PeerKey) -> Option<usize> {
        let other = usize::try_from(peer.0 % 100).unwrap();
        (self.key(at, other) == Some(peer)).then_some(other)
    }

    fn connect(&mut self, a: usize, b: usize) {
        self.next_link += 1;
        self.links.insert((a.min(b), a.max(b)), self.next_link);
        for (at, with) in [(a, b), (b, a)] {
            let tip = self.nodes[with].node.tip();
            let info = PeerInfo { height: tip.header.height, work: tip.work, is_outbound: false };
            self.feed(at, with, PeerInput::Joined(info));
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        for (at, with) in [(a, b), (b, a)] {
            self.feed(at, with, PeerInput::Left);
        }
        self.links.remove(&(a.min(b), a.max(b)));
        self.parcels.retain(|_, it| (it.to, it.from) != (a, b) && (it.to, it.from) != (b, a));
    }

    fn feed(&mut self, at: usize, with: usize, input: PeerInput) {
        let Some(peer) = self.key(at, with) else { return };
        self.nodes[at].now = self.now;
        self.nodes[at].handle(Input::Peer { peer, input });
        self.collect(at);
    }

    /// Carries out what a node asks for about its peers.
    fn collect(&mut self, at: usize) {
        for (peer, effect) in std::mem::take(&mut self.nodes[at].told) {
            let Some(other) = self.node_of(at, peer) else { continue };
            match effect {
                PeerEffect::Send(message) => self.send(at, other, &message),
                PeerEffect::Judge { purpose, transactions } => {
                    let leaves = transactions.iter().map(IdentifiedTransaction::leaf).collect();
                    let rules = self.nodes[at].network.consensus.rules();
                    let verdicts = Some(check_each_identified(transactions, rules, Batching::from_seed([1; 32])));
                    self.post(at, other, 1, PeerInput::Judged { purpose, leaves, verdicts });
                }
                PeerEffect::Ask { ask, blocks } => self.ask(at, other, ask, &blocks),
                PeerEffect::Cancel(ask) => self.parcels.retain(|_, it| {
                    it.to != at
                        || !matches!(&it.input, PeerInput::Body { ask: found, .. } | PeerInput::AskEnded { ask: found, .. } if *found == ask)
                }),
                PeerEffect::Strike(offence) => self.strikes.push((at, other, offence)),
                PeerEffect::Praise => self.praises.push((at, other)),
            }
        }
    }

    fn ask(&mut self, at: usize, other: usize, ask: AskId, blocks: &[BlockId]) {
        if self.manners[other] == Manner::Silent {
            return;
        }
        let mut delay = 2 * DELAY_MS;
        for id in blocks {
            if self.manners[other] == Manner::Empty {
                break;
            }
            let Some(bytes) = self.nodes[other].store.block(id).unwrap() else { continue };
            self.count(other, at, "BLK", bytes.len());
            let block = self.nodes[at].check(&bytes).map(Box::new);
            let block = block.map_err(|error| InvalidBody { id: Some(*id), error });
            self.post(at, other, delay, PeerInput::Body { ask, block });
            delay += 1;
        }
        self.post(at, other, delay, PeerInput::AskEnded { ask, complete: true });
    }

    fn count(&mut self, from: usize, to: usize, tag: &'static str, bytes: usize) {
        *self.bytes.entry((from, to, tag)).or_default() += bytes;
    }

    /// Sends a message through its bytes, and lets the other side answer what the shell answers.
    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let (tag, body) = (message.tag(), message.to_body());
        let name = crate::wire::PEER_TAGS.iter().find(|(it, _)| *it == tag);
        assert!(name.is_some_and(|(_, limit)| body.len() <= *limit), "{tag} of {} bytes", body.len());
        let name = match &tag.0 {
            b"INV" => "INV",
            b"TXN" => "TXN",
            b"CMP" => "CMP",
            b"BTX" => "BTX",
            b"HDR" => "HDR",
            _ => "other",
        };
        self.count(from, to, name, body.len());
        let message = Message::from_body(tag, &body).unwrap();
        match receive(message) {
            Received::Input(input) => self.post(to, from, DELAY_MS, input),
            Received::Headers(headers) => {
                let headers = check_headers(headers, &self.nodes[to].network.consensus).unwrap();
                self.post(to, from, DELAY_MS, PeerInput::Headers(headers));
            }
            Received::Question(question) if self.manners[to] != Manner::Silent => {
                if let Some(answer) = self.answer(to, question) {
                    self.send(to, from, &answer);
                }
            }
            Received::Question(_) => {}
            Received::Misplaced => panic!("{tag} is not for this stream"),
        }
    }

    fn answer(&self, at: usize, question: Question) -> Option<Message> {
        let Bench { store, network, .. } = &self.nodes[at];
        Some(match question {
            Question::Headers { locator, stop } => {
                let stop = (stop != BlockId::ZERO).then_some(stop);
                Message::Headers(store.headers_after(&locator, stop.as_ref(), 2_000))
            }
            Question::Compact(id) => {
                let bytes = store.block(&id).unwrap()?;
                Message::Compact(Box::new(CompactBlock::from_bytes(&bytes, &network.id, 77).unwrap()))
            }
            Question::BlockTransactions { block, places } => {
                let bytes = store.block(&block).unwrap()?;
                let transactions = transactions_at(&bytes, &places).unwrap()?;
                Message::BlockTransactions { block, transactions }
            }
        })
    }

    fn post(&mut self, to: usize, from: usize, delay: u64, input: PeerInput) {
        self.sent += 1;
        self.parcels.insert((self.now.saturating_add_ms(delay), self.sent), Parcel { to, from, input });
    }

    /// Lets time pass.
    fn run_ms(&mut self, milliseconds: u64) {
        let end = self.now.saturating_add_ms(milliseconds);
        loop {
            let parcel = self.parcels.keys().next().copied();
            let wakeups = self.nodes.iter().enumerate();
            let wakeup = wakeups.filter_map(|(at, it)| Some((it.node.next_wakeup()?, at))).min();
            let next = [parcel.map(|(at, _)| at), wakeup.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if let Some(key) = parcel.filter(|(at, _)| *at <= next) {
                let Parcel { to, from, input } = self.parcels.remove(&key).unwrap();
                self.feed(to, from, input);
            } else if let Some((_, at)) = wakeup {
                self.nodes[at].now = self.now;
                self.nodes[at].handle(Input::Wakeup);
                self.collect(at);
            }
        }
        self.now = end;
        for bench in &self.nodes {
            bench.node.relay.check_counts();
        }
    }

    /// Makes blocks at a node, a second apart.
    fn mine(&mut self, at: usize, blocks: u32) {
        for _ in 0..blocks {
            self.now = self.now.saturating_add_ms(1_000);
            self.nodes[at].now = self.now;
            self.nodes[at].ask_to_mine(1);
            self.nodes[at].seal();
            self.collect(at);
        }
    }

    fn submit(&mut self, at: usize, from: Person, nonce: u64) -> LeafHash {
        self.nodes[at].now = self.now;
        let transaction = from.sends(nonce).sign(&self.nodes[at].network);
        let leaf = transaction.leaf();
        let answers = self.nodes[at].submit_all(vec![Ok(transaction)]);
        assert!(answers[0].is_ok(), "{answers:?}");
        self.collect(at);
        leaf
    }

    fn waiting(&self, at: usize) -> usize {
        self.nodes[at].node.mempool_status().transactions
    }

    fn assert_one_tip(&self) {
        let tips: Vec<BlockId> = self.nodes.iter().map(|it| it.node.tip().id).collect();
        assert!(tips.iter().all(|tip| *tip == tips[0]), "{tips:?}");
    }

    /// Bytes that a node has received of a kind.
    fn received(&self, at: usize, tag: &str) -> usize {
        self.bytes
            .iter()
            .filter(|((_, to, found), _)| *to == at && *found == tag)
            .map(|(_, bytes)| bytes)
            .sum()
    }
}

#[test]
fn a_transaction_crosses_a_chain_of_nodes_and_its_block_comes_back_in_short() {
    let mut world = World::new(&Network::easy(), 4);
    for at in 0..3 {
        world.connect(at, at + 1);
    }
    for nonce in 0..50 {
        world.submit(0, Person(5), nonce);
    }
    world.run_ms(3_000);
    assert_eq!((0..4).map(|at| world.waiting(at)).collect::<Vec<_>>(), [50; 4]);
    // Each was given the transactions by the one before it, and knows whom to thank.
    world.praises.dedup();
    assert!((1..4).all(|at| world.praises.contains(&(at, at - 1))), "{:?}", world.praises);
    assert!(world.praises.iter().all(|(at, by)| *at == by + 1), "{:?}", world.praises);
    world.praises.clear();
    world.mine(3, 1);
    world.run_ms(3_000);
    world.assert_one_tip();
    assert!((0..3).all(|at| world.praises.contains(&(at, at + 1))), "{:?}", world.praises);
    assert_eq!((0..4).map(|at| world.waiting(at)).collect::<Vec<_>>(), [0; 4]);
    // The block came in short, and nothing of it was missing.
    assert!(world.received(0, "CMP") > 0);
    assert_eq!((world.received(0, "BTX"), world.received(0, "BLK")), (0, 0));
    assert_eq!(world.strikes, []);
}

#[test]
fn what_is_missing_of_a_block_in_short_is_asked_for() {
    let mut world = World::new(&Network::easy(), 2);
    world.connect(0, 1);
    for nonce in 0..30 {
        world.submit(0, Person(5), nonce);
    }
    world.run_ms(1_000);
    // One that the other has not heard of when the block comes.
    world.submit(0, Person(6), 0);
    world.mine(0, 1);
    world.run_ms(1_000);
    world.assert_one_tip();
    assert!(world.received(1, "BTX") > 0);
    assert_eq!((world.received(1, "BLK"), world.strikes.len()), (0, 0));
}

#[test]
fn a_fresh_node_takes_a_long_chain_from_several_peers() {
    let mut world = World::new(&Network::easy(), 4);
    world.connect(0, 1);
    world.connect(1, 2);
    for nonce in 0..5 {
        world.submit(0, Person(5), nonce);
    }
    world.mine(0, 700);
    world.run_ms(60_000);
    assert_eq!(world.nodes[2].height(), 700);
    for other in 0..3 {
        world.connect(3, other);
    }
    assert_eq!(world.nodes[3].node.sync_status().state, SyncState::Headers);
    world.run_ms(10_000);
    world.assert_one_tip();
    let status = world.nodes[3].node.sync_status();
    assert_eq!(
        (status.state, status.height, status.target),
        (SyncState::Following, Height(700), Height(700))
    );
    for from in 0..3 {
        assert!(world.bytes[&(from, 3, "BLK")] > 0, "{from} has sent nothing");
    }
    assert_eq!(world.strikes, []);
}

#[test]
fn two_halves_that_were_apart_take_the_heavier_branch() {
    let mut world = World::new(&Network::easy(), 4);
    world.connect(0, 1);
    world.connect(2, 3);
    for nonce in 0..3 {
        world.submit(0, Person(5), nonce);
        world.submit(2, Person(6), nonce);
    }
    world.mine(0, 100);
    world.mine(2, 120);
    world.run_ms(30_000);
    assert_ne!(world.nodes[0].node.tip().id, world.nodes[3].node.tip().id);
    world.connect(1, 2);
    world.run_ms(30_000);
    world.assert_one_tip();
    assert_eq!(world.nodes[0].height(), 120);
    // What only the lighter branch had confirmed waits again, everywhere.
    assert_eq!((0..4).map(|at| world.waiting(at)).collect::<Vec<_>>(), [3; 4]);
    assert_eq!(world.strikes, []);
}

#[test]
fn a_peer_that_sends_no_blocks_loses_its_jobs_to_another() {
    for manner in [Manner::Silent, Manner::Empty] {
        let mut world = World::new(&Network::easy(), 3);
        world.connect(0, 1);
        world.mine(0, 300);
        world.run_ms(30_000);
        world.manners[1] = manner;
        world.connect(2, 1);
        world.run_ms(100);
        world.connect(2, 0);
        world.run_ms(120_000);
        assert_eq!(world.nodes[2].height(), 300, "{manner:?}");
        assert!(world.strikes.iter().all(|(at, with, _)| (*at, *with) == (2, 1)));
    }
}

#[test]
fn a_branch_whose_blocks_nobody_sends_does_not_hold_up_another() {
    let mut world = World::new(&Network::easy(), 3);
    world.mine(0, 40);
    world.mine(1, 30);
    world.manners[0] = Manner::Empty;
    world.connect(2, 0);
    world.connect(2, 1);
    world.run_ms(10_000);
    assert_eq!(world.nodes[2].height(), 30);
    // It is not asked for the same headers again and again.
    assert!(world.received(2, "HDR") < 70 * 300, "{} bytes of headers", world.received(2, "HDR"));
}

#[test]
fn a_peer_that_goes_while_blocks_come_is_replaced() {
    let mut world = World::new(&Network::easy(), 3);
    world.connect(0, 1);
    world.mine(0, 500);
    world.run_ms(30_000);
    world.connect(2, 0);
    world.connect(2, 1);
    world.run_ms(150);
    assert!(world.nodes[2].height() < 500);
    world.disconnect(2, 0);
    world.run_ms(20_000);
    assert_eq!(world.nodes[2].height(), 500);
}

#[test]
fn what_was_not_asked_for_is_not_taken() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let peer = PeerKey(1);
    let info = PeerInfo { height: Height(bench.height()), work: bench.node.tip().work, is_outbound: false };
    bench.handle(Input::Peer { peer, input: PeerInput::Joined(info) });
    let transaction = Person(5).sends(0).sign(&network).transaction().clone();
    bench.handle(Input::Peer { peer, input: PeerInput::Transactions(vec![transaction]) });
    let is_struck = |bench: &mut Bench| {
        let told = std::mem::take(&mut bench.told);
        told.iter().any(|(_, effect)| matches!(effect, PeerEffect::Strike(Offence::Unasked)))
    };
    assert!(is_struck(&mut bench));
    assert_eq!(bench.node.mempool_status().transactions, 0);
    let mut other = Bench::new(&network, miner_for(Person(3)));
    let block = other.mine(1).pop().unwrap();
    let compact = CompactBlock::from_bytes(&block, &network.id, 1).unwrap();
    bench.handle(Input::Peer { peer, input: PeerInput::Compact(Box::new(compact)) });
    assert!(is_struck(&mut bench));
    let block = Ok(Box::new(bench.check(&block).unwrap()));
    bench.handle(Input::Peer { peer, input: PeerInput::Body { ask: AskId(7), block } });
    assert_eq!(bench.height(), 0);
    let input = PeerInput::BlockTransactions { block: network.id, transactions: Vec::new() };
    bench.handle(Input::Peer { peer, input });
    assert!(is_struck(&mut bench));
}

/// What a peer does instead of completing a block in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trick {
    /// Its short ids are more than the header has transactions.
    TooMany,
    /// It sends nothing of what is missing.
    Nothing,
    /// It sends one transaction of two.
    Half,
    /// It says that they are too many.
    Empty,
    /// It sends others.
    Others,
}

#[test]
fn a_block_in_short_that_does_not_come_out_is_asked_for_whole() {
    let network = Network::easy();
    let mut other = Bench::new(&network, miner_for(Person(3)));
    for nonce in 0..2 {
        other.submit(Person(5).sends(nonce)).unwrap();
    }
    let bytes = other.mine(1).pop().unwrap();
    for trick in [Trick::TooMany, Trick::Nothing, Trick::Half, Trick::Empty, Trick::Others] {
        let mut bench = Bench::new(&network, miner());
        bench.now = other.now;
        let peer = PeerKey(1);
        let info = PeerInfo { height: Height(0), work: bench.node.tip().work, is_outbound: false };
        bench.handle(Input::Peer { peer, input: PeerInput::Joined(info) });
        let headers = other.headers_above(0);
        let id = headers[0].id();
        bench.handle(Input::Peer { peer, input: PeerInput::Headers(headers) });
        let told = std::mem::take(&mut bench.told);
        assert!(matches!(&told[..], [(_, PeerEffect::Send(Message::GetCompact(asked)))] if *asked == id));
        let mut compact = CompactBlock::from_bytes(&bytes, &network.id, 1).unwrap();
        if trick == Trick::TooMany {
            compact.short_ids = vec![[7; 6]; 100_000];
        }
        bench.handle(Input::Peer { peer, input: PeerInput::Compact(Box::new(compact)) });
        let mut transactions = transactions_at(&bytes, &[0, 1]).unwrap().unwrap();
        match trick {
            Trick::TooMany | Trick::Nothing => {}
            Trick::Half => transactions.truncate(1),
            Trick::Empty => transactions.clear(),
            Trick::Others => transactions.swap(0, 1),
        }
        if matches!(trick, Trick::Half | Trick::Empty | Trick::Others) {
            let input = PeerInput::BlockTransactions { block: id, transactions: transactions.clone() };
            bench.handle(Input::Peer { peer, input });
        }
        if trick == Trick::Others {
            let transactions = IdentifiedTransaction::new_all(transactions, &network.id);
            let leaves = transactions.iter().map(IdentifiedTransaction::leaf).collect();
            let rules = network.consensus.rules();
            let verdicts = Some(check_each_identified(transactions, rules, Batching::from_seed([1; 32])));
            let input = PeerInput::Judged { purpose: JudgedFor::Block(id), leaves, verdicts };
            bench.handle(Input::Peer { peer, input });
        }
        bench.wait_ms(COMPACT_TIME_MS + BEGIN_TIME_MAX_MS);
        let is_asked_whole = |(_, effect): &(PeerKey, PeerEffect)| matches!(effect, PeerEffect::Ask { blocks, .. } if blocks[..] == [id]);
        assert!(bench.told.iter().any(is_asked_whole), "{trick:?}: {:?}", bench.told);
        let struck: Vec<Offence> = bench
            .told
            .iter()
            .take_while(|told| !is_asked_whole(told))
            .filter_map(|(_, effect)| match effect {
                PeerEffect::Strike(offence) => Some(*offence),
                _ => None,
            })
            .collect();
        let expected = match trick {
            Trick::TooMany | Trick::Half => &[Offence::Unasked][..],
            Trick::Nothing => &[Offence::NoAnswer],
            Trick::Empty | Trick::Others => &[],
        };
        assert_eq!(struck, expected, "{trick:?}");
    }
}

#[test]
fn a_false_signature_costs_its_sender_and_is_not_fetched_again() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let peer = PeerKey(1);
    let info = PeerInfo { height: Height(bench.height()), work: bench.node.tip().work, is_outbound: false };
    bench.handle(Input::Peer { peer, input: PeerInput::Joined(info) });
    let mut transaction = Person(5).sends(0).sign(&network).transaction().clone();
    transaction.body.nonce.0 += 1;
    let leaf = IdentifiedTransaction::new(transaction.clone(), &network.id).leaf();
    bench.handle(Input::Peer { peer, input: PeerInput::Announced(vec![leaf]) });
    assert!(
        matches!(&bench.told[..], [(_, PeerEffect::Send(Message::GetTransactions(asked)))] if *asked == [leaf])
    );
    bench.handle(Input::Peer { peer, input: PeerInput::Transactions(vec![transaction]) });
    let Some((_, PeerEffect::Judge { transactions, purpose: JudgedFor::Mempool })) = bench.told.pop() else {
        panic!("{:?}", bench.told)
    };
    let rules = network.consensus.rules();
    let verdicts = Some(check_each_identified(transactions, rules, Batching::from_seed([1; 32])));
    let input = PeerInput::Judged { purpose: JudgedFor::Mempool, leaves: vec![leaf], verdicts };
    bench.handle(Input::Peer { peer, input });
    assert!(matches!(bench.told.pop(), Some((_, PeerEffect::Strike(Offence::InvalidTransaction)))));
    bench.told.clear();
    bench.handle(Input::Peer { peer: PeerKey(1), input: PeerInput::Announced(vec![leaf]) });
    assert!(bench.told.is_empty(), "{:?}", bench.told);
    assert_eq!(bench.node.relay.check_counts(), 0);
}

#[test]
fn many_blocks_in_a_moment_are_told_ten_times_a_second() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let peer = PeerKey(1);
    let info = PeerInfo { height: Height(bench.height()), work: bench.node.tip().work, is_outbound: false };
    bench.handle(Input::Peer { peer, input: PeerInput::Joined(info) });
    let news = |bench: &mut Bench| {
        let told = std::mem::take(&mut bench.told).into_iter();
        let headers = told.filter_map(|(_, effect)| match effect {
            PeerEffect::Send(Message::Headers(headers)) => Some(headers),
            _ => None,
        });
        headers.collect::<Vec<_>>()
    };
    let make_at_once = |bench: &mut Bench, blocks: u32| {
        bench.ask_to_mine(blocks);
        (0..blocks).for_each(|_| bench.seal());
    };
    // The first is told at once, whatever else follows in the same moment.
    make_at_once(&mut bench, 50);
    let first = news(&mut bench);
    assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [1]);
    bench.wait_ms(ANNOUNCE_TIME_MS - 1);
    assert!(news(&mut bench).is_empty());
    // Then the newest, up to the tip; one that has left the chain is not among them.
    bench.wait_ms(1);
    let newest = news(&mut bench);
    assert_eq!(newest.iter().map(Vec::len).collect::<Vec<_>>(), [ANNOUNCED_HEADERS_MAX]);
    assert_eq!(newest[0].last().unwrap().id(), bench.tip());
    make_at_once(&mut bench, 1);
    assert!(news(&mut bench).is_empty());
    let mut other = Bench::new(&network, miner_for(Person(3)));
    make_at_once(&mut other, 60);
    for block in other.blocks_above(0) {
        bench.import_bytes(&block).unwrap();
    }
    assert_eq!(bench.tip(), other.tip());
    bench.wait_ms(ANNOUNCE_TIME_MS);
    let told: Vec<_> = news(&mut bench).concat();
    assert!(told.windows(2).all(|pair| pair[1].header.parent == pair[0].id()), "each on the one before it");
    assert_eq!(told.last().unwrap().id(), other.tip());
}
