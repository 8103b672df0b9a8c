//! Attacks on a whole node: its own ledger on a disk that fails, beside a node that never does.
#![allow(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use cairn_core::address::Address;
use cairn_core::block::{
    BLOCK_VERSION, CheckedBlock, Header, Seal, UnsealedBlock, block_id, extra_hash, trust,
};
use cairn_core::codec::decode_exact;
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::genesis::{Allocation, Genesis, GenesisDraft, GenesisParts};
use cairn_core::hash::{BlockId, CertificateHash, MerkleRoot, StateRoot};
use cairn_core::network::Mode;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::rules::{BlockContext, MaturedReward, Payment, execute, matured_height};
use cairn_core::signature::{PublicKey, Witness};
use cairn_core::state::State;
use cairn_core::store::{Store, StoreError};
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{
    CheckedTransaction, IdentifiedTransaction, Transaction, TransactionBody, Transfer, check, trust_all,
};
use cairn_node::chain::{BlockRefusal, Imported};
use cairn_node::memory::MemoryStore;
use cairn_node::mempool::{SubmitError, Submitted};
use cairn_node::{Effect, Input, Node, NodeConfig, Outcome, RequestId};
use cairn_store::backend::Disk;
use cairn_store::ledger::{self, Ledger, Opened, Place};
use cairn_store::log;
use cairn_store::testing::{Fault, Random, SimulatedDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Every second hash is low enough.
const EASY: CompactTarget = CompactTarget(0x207f_ffff);
/// A clock that is ahead of every block.
const NOW: Timestamp = Timestamp(u64::MAX / 2);
/// How many blocks can be undone in these tests.
const WINDOW: u64 = 12;
/// The people who can sign.
const PEOPLE: u8 = 5;

fn key(number: u8) -> ed25519_zebra::SigningKey {
    ed25519_zebra::SigningKey::from([number + 1; 32])
}

fn address(number: u8) -> Address {
    PublicKey::Ed25519(ed25519_zebra::VerificationKeyBytes::from(&key(number)).into()).address()
}

fn somebody(number: u64) -> Address {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Address(bytes)
}

/// A network in which everything moves: the difficulty, the base fee, rewards that mature, a reserve.
fn genesis() -> Genesis {
    let mut parts = GenesisParts::new("attacked", Mode::Pow, false);
    let section = &mut parts.section;
    section.interval_ms = 10_000;
    section.half_life_ms = 40_000;
    section.first_target = EASY;
    section.target_limit = EASY;
    section.maturity = 3;
    section.issuance.initial = Amount::from_units(5_000);
    section.issuance.halving_every = 40;
    section.issuance.cap = Amount::from_units(1 << 40);
    section.limits.transaction_bytes = 1_000;
    section.limits.data_bytes = 100;
    section.limits.transfers = 4;
    section.limits.block_weight = Weight(2_000);
    section.fees.moving = true;
    section.fees.burn = true;
    section.reserve = Amount::from_units(100);
    parts.first_block.target = EASY;
    parts.allocations = (0..PEOPLE)
        .map(|number| Allocation {
            address: address(number),
            balance: Amount::from_units(1 << 40),
            nonce: Nonce(u64::from(number)),
            label: None,
        })
        .collect();
    parts.policy.max_transactions = parts.section.limits.block_transactions;
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1000).unwrap();
    draft.seal(nonce).unwrap()
}

/// Small thresholds, so that a short history flushes often and fills many segments.
fn settings() -> ledger::Settings {
    ledger::Settings {
        undo_window: WINDOW,
        cache_bytes: 1024 * 1024,
        flush_transactions: 6,
        flush_blocks: 3,
        log: log::Settings { segment_bytes: 8 * 1024, buffer_bytes: 2 * 1024 },
    }
}

fn config() -> NodeConfig {
    NodeConfig { undo_window: WINDOW, ..NodeConfig::default() }
}

/// All blocks that were ever made, on all branches, and the state after each.
struct World {
    genesis: Genesis,
    consensus: Consensus,
    made: BTreeMap<BlockId, Made>,
    order: Vec<BlockId>,
}

struct Made {
    next: Parent,
    state: State,
    /// Who made the blocks 1 to this one.
    producers: Vec<Address>,
    height: u64,
}

impl World {
    fn new() -> Self {
        let genesis = genesis();
        let consensus = Consensus::new(genesis.rules().clone()).unwrap();
        let next = consensus.parent_of_next(&genesis.block().header, *genesis.identity(), None, |_| {});
        let first = Made { next, state: genesis.state(), producers: Vec::new(), height: 0 };
        let id = *genesis.identity();
        Self { genesis, consensus, made: BTreeMap::from([(id, first)]), order: vec![id] }
    }

    fn id(&self) -> BlockId {
        *self.genesis.identity()
    }

    fn sign(&self, sender: u8, body: TransactionBody) -> CheckedTransaction {
        let id = body.id(self.genesis.identity(), &address(sender));
        let public = ed25519_zebra::VerificationKeyBytes::from(&key(sender)).into();
        let witness = Witness::Ed25519 { key: public, signature: key(sender).sign(id.as_bytes()).to_bytes() };
        check(Transaction { body, witness }, self.genesis.rules()).unwrap()
    }

    fn transfer(&self, sender: u8, nonce: u64, random: &mut Random) -> CheckedTransaction {
        let count = 1 + random.below(3);
        let mut transfers = Vec::new();
        for _ in 0..count {
            let to = match random.below(3) {
                0 => address(u8::try_from(random.below(u64::from(PEOPLE))).unwrap()),
                1 => somebody(random.below(6)),
                _ => somebody(1_000 + random.below(1_000_000)),
            };
            transfers.push(Transfer { to, amount: Amount::from_units(100 + random.below(900)) });
        }
        let body = TransactionBody {
            version: 1,
            nonce: Nonce(nonce),
            valid_until: Height(0),
            max_fee_rate: FeeRate(1_000_000 + random.below(1_000)),
            tip_rate: FeeRate(random.below(50)),
            transfers,
            data: vec![1; usize::try_from(random.below(60)).unwrap()],
        };
        self.sign(sender, body)
    }

    /// The next nonce of a person after a block.
    fn nonce(&self, at: &BlockId, person: u8) -> u64 {
        let state = &self.made.get(at).unwrap().state;
        state.account(state.find(&address(person).path()).unwrap()).nonce.0
    }

    /// A block on `parent`; a broken one has a false state root.
    fn block(&mut self, parent: BlockId, random: &mut Random, is_broken: bool) -> CheckedBlock {
        let mut transactions = Vec::new();
        for person in 0..PEOPLE {
            if random.below(4) == 0 {
                let nonce = self.nonce(&parent, person);
                transactions.push(self.transfer(person, nonce, random));
            }
        }
        // The weight of a block has a limit.
        let mut weight = 0;
        transactions.retain(|transaction| {
            let fits = weight + transaction.weight().0 <= 2_000;
            weight += if fits { transaction.weight().0 } else { 0 };
            fits
        });
        let later = 1_000 + random.below(25_000);
        let producer = address(u8::try_from(random.below(u64::from(PEOPLE))).unwrap());
        self.build(parent, transactions, producer, later, is_broken)
    }

    fn build(
        &mut self,
        parent: BlockId,
        transactions: Vec<CheckedTransaction>,
        producer: Address,
        later: u64,
        is_broken: bool,
    ) -> CheckedBlock {
        let made = self.made.get(&parent).unwrap();
        let rules = self.consensus.rules();
        let height = made.next.height.next();
        let mut producers = made.producers.clone();
        producers.push(producer);
        let matured = matured_height(rules, height).map(|earlier| MaturedReward {
            producer: producers[usize::try_from(earlier.0 - 1).unwrap()],
            amount: rules.section().issuance.reward(earlier),
        });
        let context =
            BlockContext { height, base_fee: made.next.next_base_fee, reserve: rules.section().reserve };
        let mut state = made.state.clone();
        let payment = Payment { producer, matured };
        let executed = execute(&mut state, &transactions, &context, &payment, rules).unwrap();
        state.commit();
        let header = Header {
            version: BLOCK_VERSION,
            height,
            time: made.next.time.saturating_add_ms(later),
            parent,
            tx_count: 0,
            tx_root: MerkleRoot::ZERO,
            state_root: if is_broken { StateRoot([9; 32]) } else { executed.state_root },
            history_root: made.next.history.root(),
            prev_seal: CertificateHash::ZERO,
            producer,
            target: made.next.next_target,
            base_fee: made.next.next_base_fee,
            weight_used: Weight(0),
            extra_hash: extra_hash(&[]),
        };
        let template = UnsealedBlock::new(header, transactions, Vec::new());
        let seal_hash = template.header().seal_hash();
        let target = template.header().target.expand().unwrap();
        let is_low = |nonce: &WorkNonce| target.is_met_by(&block_id(&seal_hash, *nonce));
        let nonce = (0..).map(WorkNonce).find(is_low).unwrap();
        let block = CheckedBlock::seal(template, Seal::Work { nonce }, &self.consensus).unwrap();
        let next = self.consensus.parent_of_next(block.header(), block.id(), Some(&made.next), |_| {});
        let made = Made { next, state, producers, height: height.0 };
        self.made.insert(block.id(), made);
        self.order.push(block.id());
        block
    }

    fn node_over_memory(&self) -> (Node, MemoryStore) {
        let header = self.genesis.block().header.clone();
        let store = MemoryStore::new(self.id(), header, &self.genesis.state());
        let loaded = store.load(&self.consensus, 20_000);
        (Node::new(self.consensus.clone(), config(), loaded), store)
    }
}

/// What a client or a peer sends.
#[derive(Clone)]
enum Sent {
    Block(Box<CheckedBlock>),
    Submit(Vec<CheckedTransaction>),
}

/// What the node answered.
#[derive(Debug, PartialEq)]
enum Answer {
    Block(Result<Imported, BlockRefusal>),
    Submit(Vec<Result<Submitted, SubmitError>>),
}

impl Answer {
    fn is_disk_full(&self) -> bool {
        match self {
            Self::Block(verdict) => *verdict == Err(BlockRefusal::DiskFull),
            Self::Submit(answers) => answers.contains(&Err(SubmitError::DiskFull)),
        }
    }
}

/// Hands one input to a node.
fn send(node: &mut Node, store: &mut dyn Store, sent: Sent) -> Result<Answer, StoreError> {
    let request = RequestId(1);
    let input = match sent {
        Sent::Block(block) => Input::Block { request: Some(request), block: *block },
        Sent::Submit(transactions) => {
            Input::Submit { request, transactions: transactions.into_iter().map(Ok).collect() }
        }
    };
    node.handle(NOW, input, store)?;
    let mut answer = None;
    while let Some(effect) = node.next_effect() {
        if let Effect::Answer { outcome, .. } = effect {
            answer = Some(match outcome {
                Outcome::Block(verdict) => Answer::Block(verdict),
                Outcome::Submitted(answers) => Answer::Submit(answers),
                Outcome::Mined(_) => panic!("nobody asked for these"),
            });
        }
    }
    Ok(answer.unwrap())
}

/// Starts a node from a disk, as `cairn node` does.
fn start(world: &World, disk: &SimulatedDisk) -> Result<(Node, Ledger), Box<dyn std::error::Error>> {
    start_with(world, disk, settings(), config())
}

fn start_with(
    world: &World,
    disk: &SimulatedDisk,
    settings: ledger::Settings,
    config: NodeConfig,
) -> Result<(Node, Ledger), Box<dyn std::error::Error>> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let Opened { mut ledger, loaded, replay, transactions, .. } =
        Ledger::open(&disk, &world.genesis, settings)?;
    let consensus = &world.consensus;
    let mut node = Node::new(consensus.clone(), config, loaded);
    for record in replay {
        let (position, bytes) = record?;
        let block = trust(bytes.into(), consensus).unwrap();
        ledger.adopt(&block, position);
        node.handle(NOW, Input::Replay(block), &mut ledger)?;
    }
    let waiting = transactions.iter().map(|bytes| {
        let transaction: Transaction = decode_exact(bytes).unwrap();
        let identified = IdentifiedTransaction::new(transaction, consensus.rules().identity());
        trust_all(vec![identified], consensus.rules()).unwrap().pop().unwrap()
    });
    node.handle(NOW, Input::Restore(waiting.collect()), &mut ledger)?;
    ledger.sync()?;
    ledger.wait()?;
    assert!(node.next_effect().is_none(), "nobody hears of a start");
    Ok((node, ledger))
}

/// Compares the chain of two nodes, and what the reader of the first one says about it.
fn compare(real: &Node, ledger: &Ledger, model: &Node, memory: &MemoryStore) {
    assert_eq!(real.tip().id, model.tip().id);
    assert_eq!(real.tip().work, model.tip().work);
    assert_eq!(real.tip().next_base_fee, model.tip().next_base_fee);
    assert_eq!(real.supply(), model.supply());
    for branch in model.branches() {
        assert!(real.knows_block(&branch.tip), "a branch is not known any more: {branch:?}");
    }
    let reader = ledger.reader();
    let tip = model.tip().header.height;
    assert_eq!(reader.tip(), tip);
    let identity = model.consensus().rules().identity();
    for height in (0..=tip.0).map(Height) {
        let (id, header) = model.header_at(height, memory).unwrap().unwrap();
        assert_eq!(real.header_at(height, ledger).unwrap().as_ref(), Some(&(id, header.clone())));
        let found = reader.block_at(height).unwrap().unwrap();
        assert_eq!((found.id, &found.header), (id, &header));
        assert!(reader.block(&id).unwrap().unwrap().is_on_chain);
        let block = trust(found.bytes, model.consensus());
        // Block 0 closes itself, and has no parent whose target it follows.
        if height == Height::GENESIS {
            continue;
        }
        for (place, transaction) in (0..).zip(block.unwrap().transactions()) {
            let found = reader.transaction(&transaction.id(), identity).unwrap();
            assert_eq!(found, Some(Place { height, place }));
        }
        let below = Height(height.0 - 1);
        let proof = reader.history_proof(below, height).unwrap().unwrap();
        let (below_id, _) = model.header_at(below, memory).unwrap().unwrap();
        assert_eq!(proof.verify(&below_id, header.history_root), Ok(()));
    }
}

/// Whose transactions wait, and with which nonce. Of two with one nonce either may be found again.
fn pending(node: &Node) -> BTreeSet<(Address, Nonce)> {
    let page = node.pending_page(None, 1_000).into_iter();
    page.map(|it| (it.transaction.sender(), it.transaction.body().nonce)).collect()
}

fn used_bytes(disk: &SimulatedDisk) -> u64 {
    let directories = ["blocks", "mempool"].map(|name| disk.directory(name).unwrap());
    let inner = directories.iter().flat_map(|inner| {
        inner.list().unwrap().into_iter().map(|name| inner.open(&name).unwrap().length().unwrap())
    });
    inner.sum::<u64>() + disk.open("state.redb").unwrap().length().unwrap()
}

/// A node over a real ledger on a simulated disk, beside one that never fails.
struct Model {
    world: World,
    model: Node,
    memory: MemoryStore,
    disk: SimulatedDisk,
    real: Option<(Node, Ledger)>,
    random: Random,
    starts: u32,
    /// Whether the power will be cut at some operation.
    is_armed: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        let world = World::new();
        let (model, memory) = world.node_over_memory();
        let disk = SimulatedDisk::new(seed);
        let real = Some(start(&world, &disk).unwrap());
        Self { world, model, memory, disk, real, random: Random::new(seed), starts: 0, is_armed: false }
    }

    /// The next thing that somebody sends.
    fn draw(&mut self) -> Sent {
        let tip = self.model.tip().id;
        if self.random.below(4) == 0 {
            let person = u8::try_from(self.random.below(u64::from(PEOPLE))).unwrap();
            let first = self.model.account(&address(person)).pending_nonce.0;
            let gap = self.random.below(2);
            let count = 1 + self.random.below(3);
            let nonces = (0..count).map(|n| first + gap + n);
            return Sent::Submit(
                nonces.map(|nonce| self.world.transfer(person, nonce, &mut self.random)).collect(),
            );
        }
        let recent = self.world.order.len().saturating_sub(12);
        let parent = if self.random.below(10) < 6 {
            tip
        } else {
            let at = recent + usize::try_from(self.random.below(12)).unwrap();
            *self.world.order.get(at).unwrap_or(&tip)
        };
        // What leaves the chain deeper than it can be undone is refused, after a start perhaps not yet.
        let lowest = self.model.tip().header.height.0.saturating_sub(WINDOW / 2);
        let parent = if self.world.made.get(&parent).unwrap().height < lowest { tip } else { parent };
        let is_broken = self.random.below(20) == 0;
        Sent::Block(Box::new(self.world.block(parent, &mut self.random, is_broken)))
    }

    /// Lets the power go within the next `operations` operations of the disk.
    fn arm(&mut self, operations: u64) {
        self.disk.fail_at(self.disk.operations() + self.random.below(operations), Fault::PowerCut);
        self.is_armed = true;
    }

    /// Starts the real node from what a crash left, with more crashes on the way.
    fn restart(&mut self, is_power_cut: bool) {
        self.starts += 1;
        self.disk = if is_power_cut {
            self.real = None;
            self.disk.survivors(self.random.next())
        } else {
            let left = self.disk.after_kill();
            self.real = None;
            left
        };
        self.is_armed = false;
        if self.random.below(3) == 0 {
            self.arm(25);
        }
        match start(&self.world, &self.disk) {
            Ok(real) => self.real = Some(real),
            Err(_) => self.restart(true),
        }
    }

    /// Sends to the real node until it has taken everything, whatever fails on the way.
    fn deliver(&mut self, batch: &[Sent]) -> Vec<Answer> {
        if self.random.below(5) == 0 {
            self.arm(40);
        }
        let is_filled = self.random.below(6) == 0;
        if is_filled {
            self.disk.set_capacity(used_bytes(&self.disk) + self.random.below(3_000));
        }
        loop {
            match self.try_deliver(batch) {
                Ok(answers) => {
                    self.disk.set_capacity(u64::MAX);
                    return answers;
                }
                Err(error) => {
                    assert!(self.is_armed, "nothing was to fail: {error:?}");
                    self.disk.set_capacity(u64::MAX);
                    self.restart(true);
                }
            }
        }
    }

    fn try_deliver(&mut self, batch: &[Sent]) -> Result<Vec<Answer>, Box<dyn std::error::Error>> {
        let (node, ledger) = self.real.as_mut().unwrap();
        let mut answers = Vec::new();
        for sent in batch {
            let mut answer = send(node, ledger, sent.clone())?;
            if answer.is_disk_full() {
                // Somebody makes room and sends again.
                ledger.sync()?;
                ledger.wait()?;
                self.disk.set_capacity(u64::MAX);
                answer = send(node, ledger, sent.clone())?;
            }
            answers.push(answer);
        }
        ledger.sync()?;
        ledger.wait()?;
        Ok(answers)
    }

    fn step(&mut self) {
        let count = 1 + self.random.below(5);
        let mut batch = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..count {
            let sent = self.draw();
            expected.push(send(&mut self.model, &mut self.memory, sent.clone()).unwrap());
            batch.push(sent);
        }
        let answers = self.deliver(&batch);
        // After a start a node does not remember what it refused before.
        if self.starts == 0 {
            assert_eq!(answers, expected);
        }
        self.check();
        match self.random.below(5) {
            0 => self.restart(false),
            1 => self.restart(true),
            _ => return,
        }
        self.check();
    }

    fn check(&self) {
        let (node, ledger) = self.real.as_ref().unwrap();
        compare(node, ledger, &self.model, &self.memory);
        let (found, expected) = (pending(node), pending(&self.model));
        assert!(found.is_superset(&expected), "what was acknowledged waits no longer");
    }
}

#[test]
fn attack_i01_i02_i03_i04_a_node_is_what_it_was_after_every_kill_power_cut_and_full_disk() {
    let mut starts = 0;
    for seed in 0..24 {
        let mut model = Model::new(seed);
        for _ in 0..25 {
            model.step();
        }
        starts += model.starts;
    }
    assert!(starts > 200, "the node was started again {starts} times");
}

/// Hands many blocks to a node as one batch: one sync at the end.
fn send_batch(node: &mut Node, ledger: &mut Ledger, blocks: &[CheckedBlock]) {
    for block in blocks {
        assert_eq!(
            send(node, ledger, Sent::Block(Box::new(block.clone()))).unwrap(),
            Answer::Block(Ok(Imported::Extended))
        );
    }
    ledger.sync().unwrap();
    ledger.wait().unwrap();
}

/// A chain of blocks on block 0.
fn chain_of(world: &mut World, length: usize) -> Vec<CheckedBlock> {
    let mut random = Random::new(1);
    let mut tip = world.id();
    let mut blocks = Vec::new();
    for _ in 0..length {
        let block = world.block(tip, &mut random, false);
        tip = block.id();
        blocks.push(block);
    }
    blocks
}

#[test]
fn attack_i01_blocks_that_follow_a_flush_in_one_batch_are_found_again() {
    let mut world = World::new();
    let blocks = chain_of(&mut world, 11);
    let disk = SimulatedDisk::new(1);
    let (mut node, mut ledger) = start(&world, &disk).unwrap();
    send_batch(&mut node, &mut ledger, &blocks);
    let (again, _) = start(&world, &disk.after_kill()).unwrap();
    assert_eq!(again.tip().id, node.tip().id);
}

#[test]
fn attack_i03_a_kill_after_a_replay_loses_nothing_and_the_replay_is_not_done_twice() {
    let mut world = World::new();
    let blocks = chain_of(&mut world, 50);
    let disk = SimulatedDisk::new(1);
    let (mut node, mut ledger) = start(&world, &disk).unwrap();
    send_batch(&mut node, &mut ledger, &blocks);
    drop(ledger);
    disk.remove("state.redb").unwrap();
    let (node, _) = start(&world, &disk).unwrap();
    assert_eq!(node.tip().header.height, Height(50));
    let left = disk.after_kill();
    let dynamic: Arc<dyn Disk> = Arc::new(left.clone());
    let replay = Ledger::open(&dynamic, &world.genesis, settings()).unwrap().replay;
    assert!(replay.count() < 20, "the database was written while the log was replayed");
    let (again, _) = start(&world, &left).unwrap();
    assert_eq!(again.tip().id, node.tip().id);
}

#[test]
fn attack_i04_a_disk_that_is_full_at_the_end_leaves_a_database_of_one_moment() {
    let mut world = World::new();
    let blocks = chain_of(&mut world, 12);
    let mut kept = 0;
    for first in 3..30 {
        // Either two flushes find no room and a third would, or there is none for a while.
        for second in 1..16 {
            for is_for_a_while in [false, true] {
                let disk = SimulatedDisk::new(first);
                let (mut node, mut ledger) = start(&world, &disk).unwrap();
                send_batch(&mut node, &mut ledger, &blocks[..4]);
                for block in &blocks[4..] {
                    send(&mut node, &mut ledger, Sent::Block(Box::new(block.clone()))).unwrap();
                }
                let at = disk.operations() + first;
                let between = if is_for_a_while { 0..=second } else { 0..=0 };
                for operation in between.chain([second]) {
                    disk.fail_at(at + operation, Fault::Full);
                }
                let tip = node.tip().id;
                if is_for_a_while {
                    for _ in 0..2 {
                        ledger.sync().unwrap();
                        ledger.wait().unwrap();
                    }
                }
                ledger.close(&mut node.into_state()).unwrap();
                let dynamic: Arc<dyn Disk> = Arc::new(disk.after_kill());
                let opened = Ledger::open(&dynamic, &world.genesis, settings()).unwrap();
                assert_eq!(opened.rebuilt, None, "operations {first} and {second}");
                kept += opened.replay.count();
                drop(opened.ledger);
                let (again, ledger) = start(&world, &disk.after_kill()).unwrap();
                assert_eq!(again.tip().id, tip);
                for block in &blocks {
                    assert!(ledger.block(&block.id()).unwrap().is_some());
                }
            }
        }
    }
    assert!(kept > 0, "some flushes found no room");
}

#[test]
fn attack_b09_an_invalid_block_beside_the_chain_is_not_judged_again_at_every_start() {
    let mut world = World::new();
    let mut random = Random::new(1);
    let genesis = world.id();
    let block = world.block(genesis, &mut random, false);
    let beside = world.block(genesis, &mut random, false);
    let broken = world.block(beside.id(), &mut random, true);
    let disk = SimulatedDisk::new(1);
    let (mut node, mut ledger) = start(&world, &disk).unwrap();
    for sent in [&block, &beside, &broken] {
        send(&mut node, &mut ledger, Sent::Block(Box::new(sent.clone()))).unwrap();
    }
    assert!(node.knows_block(&beside.id()) && !node.knows_block(&broken.id()));
    ledger.sync().unwrap();
    ledger.close(&mut node.into_state()).unwrap();
    let dynamic: Arc<dyn Disk> = Arc::new(disk);
    let opened = Ledger::open(&dynamic, &world.genesis, settings()).unwrap();
    let side: Vec<BlockId> = opened.loaded.side.iter().map(|(id, _)| *id).collect();
    assert_eq!(side, [beside.id()]);
}

#[test]
fn attack_i04_a_transaction_that_found_no_room_is_not_called_known() {
    let world = World::new();
    let disk = SimulatedDisk::new(1);
    let (mut node, mut ledger) = start(&world, &disk).unwrap();
    disk.set_capacity(used_bytes(&disk));
    let transaction = world.transfer(0, 0, &mut Random::new(1));
    let twice = Sent::Submit(vec![transaction.clone(), transaction]);
    let full = || Err(SubmitError::DiskFull);
    assert_eq!(send(&mut node, &mut ledger, twice).unwrap(), Answer::Submit(vec![full(), full()]));
    assert_eq!(node.mempool_status().transactions, 0);
}

#[test]
fn attack_d07_a_transaction_near_its_last_height_still_waits_after_a_kill() {
    let mut world = World::new();
    let blocks = chain_of(&mut world, 2);
    let disk = SimulatedDisk::new(1);
    let (mut node, mut ledger) = start(&world, &disk).unwrap();
    let sender = 1;
    let mut body = world.transfer(sender, 40, &mut Random::new(1)).body().clone();
    body.valid_until = Height(3);
    let transaction = world.sign(sender, body);
    let id = transaction.id();
    send(&mut node, &mut ledger, Sent::Submit(vec![transaction])).unwrap();
    for block in &blocks {
        send(&mut node, &mut ledger, Sent::Block(Box::new(block.clone()))).unwrap();
    }
    ledger.sync().unwrap();
    assert!(node.pending(&id).is_some(), "block 3 may hold it");
    let (again, _) = start(&world, &disk.after_kill()).unwrap();
    assert!(again.pending(&id).is_some());
}

#[test]
fn attack_d07_what_waits_beyond_nonces_that_came_back_still_waits_after_a_kill() {
    let mut world = World::new();
    let mut random = Random::new(1);
    let disk = SimulatedDisk::new(1);
    let (mut node, mut ledger) = start(&world, &disk).unwrap();
    // 80 transactions, of which the last 70 wait when the log of the mempool is written anew.
    let all: Vec<CheckedTransaction> = (0..80).map(|nonce| world.transfer(0, nonce, &mut random)).collect();
    send(&mut node, &mut ledger, Sent::Submit(all.clone())).unwrap();
    let mut tip = world.id();
    for transactions in all[..10].chunks(2) {
        let block = world.build(tip, transactions.to_vec(), address(4), 10_000, false);
        tip = block.id();
        send(&mut node, &mut ledger, Sent::Block(Box::new(block))).unwrap();
    }
    ledger.sync().unwrap();
    ledger.rewrite_mempool(&all[10..]).unwrap();
    let mut tip = world.id();
    for later in [1, 1, 1, 1, 1, 1] {
        let block = world.build(tip, Vec::new(), address(3), later, false);
        tip = block.id();
        send(&mut node, &mut ledger, Sent::Block(Box::new(block))).unwrap();
    }
    ledger.sync().unwrap();
    assert_eq!(node.tip().id, tip);
    assert_eq!(pending(&node).len(), 80);
    let (again, _) = start(&world, &disk.after_kill()).unwrap();
    assert_eq!(pending(&again).len(), 80);
}
