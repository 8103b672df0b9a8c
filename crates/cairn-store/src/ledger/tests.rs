//! A small chain on a disk that fails: nothing acknowledged is lost, nothing is invented.

#![allow(clippy::cast_possible_truncation, reason = "the heights and places here are small")]

use std::sync::mpsc;
use std::time::Duration;

use cairn_core::account::{Account, AccountIndex};
use cairn_core::address::Address;
use cairn_core::block::{CheckedBlock, Seal, UnsealedBlock, block_id, trust};
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::genesis::{Allocation, Genesis, GenesisDraft, GenesisParts};
use cairn_core::hash::{CertificateHash, ExtraHash, MerkleRoot, StateRoot};
use cairn_core::history::HistoryNode;
use cairn_core::network::Mode;
use cairn_core::numbers::{Amount, FeeRate, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::rules::{BlockContext, MaturedReward, Payment, execute};
use cairn_core::signature::{PublicKey, Witness};
use cairn_core::store::ConnectedBlock;
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{Transaction, TransactionBody, Transfer, check};

use super::reader::View;
use super::*;
use crate::backend::Disk;
use crate::error::Damage;
use crate::testing::{Fault, SimulatedDisk};

/// What a record of the log has beside its bytes: see the drawing in `log.rs`.
const RECORD_FRAME_BYTES: u64 = 20;
const EASY: CompactTarget = CompactTarget(0x207f_ffff);

fn signer() -> ed25519_zebra::SigningKey {
    ed25519_zebra::SigningKey::from([1; 32])
}

fn sender() -> Address {
    let key: [u8; 32] = ed25519_zebra::VerificationKeyBytes::from(&signer()).into();
    PublicKey::Ed25519(key).address()
}

fn somebody(number: u64) -> Address {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Address(bytes)
}

fn genesis_named(name: &str) -> Genesis {
    let mut parts = GenesisParts::new(name, Mode::Pow, false);
    parts.section.half_life_ms = 0;
    parts.section.first_target = EASY;
    parts.section.target_limit = EASY;
    parts.section.maturity = 1;
    parts.section.issuance.initial = Amount::from_units(50);
    parts.section.issuance.cap = Amount::from_units(1 << 30);
    parts.first_block.target = EASY;
    let balance = Amount::from_units(1 << 40);
    parts.allocations = vec![Allocation { address: sender(), balance, nonce: Nonce(0), label: None }];
    parts.allocations.extend((1000..1700).map(|number| Allocation {
        address: somebody(number),
        balance: Amount::from_units(number),
        nonce: Nonce(0),
        label: None,
    }));
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1000).unwrap();
    draft.seal(nonce).unwrap()
}

fn genesis() -> Genesis {
    genesis_named("test")
}

/// Small thresholds, so that a short history flushes often.
fn settings() -> Settings {
    Settings {
        undo_window: 20,
        cache_bytes: 1024 * 1024,
        flush_transactions: 6,
        flush_blocks: 3,
        log: log::Settings { segment_bytes: 8 * 1024, buffer_bytes: 2 * 1024 },
    }
}

/// The part of a node that a store needs: executes blocks, and knows what it executed.
struct Chain {
    genesis: Genesis,
    consensus: Consensus,
    state: State,
    /// The blocks of the chain above block 0, with what each child needs to know.
    blocks: Vec<(Arc<CheckedBlock>, Undo)>,
    parents: Vec<Parent>,
}

impl Chain {
    fn new(genesis: Genesis) -> Self {
        let consensus = Consensus::new(genesis.rules().clone()).unwrap();
        let parent = consensus.parent_of_next(&genesis.block().header, *genesis.identity(), None, |_| ());
        let state = genesis.state();
        Self { genesis, consensus, state, blocks: Vec::new(), parents: vec![parent] }
    }

    fn tip(&self) -> Height {
        Height(self.blocks.len() as u64)
    }

    fn tip_id(&self) -> BlockId {
        self.parents.last().unwrap().id
    }

    /// A transfer of the sender's next nonce to somebody.
    fn transfer(&self, nonce: u64, to: u64) -> CheckedTransaction {
        let body = TransactionBody {
            version: 1,
            nonce: Nonce(nonce),
            valid_until: Height(0),
            max_fee_rate: FeeRate(1),
            tip_rate: FeeRate(0),
            transfers: vec![Transfer { to: somebody(to), amount: Amount::from_units(3) }],
            data: Vec::new(),
        };
        let id = body.id(self.genesis.identity(), &sender());
        let key = ed25519_zebra::VerificationKeyBytes::from(&signer()).into();
        let witness = Witness::Ed25519 { key, signature: signer().sign(id.as_bytes()).to_bytes() };
        check(Transaction { body, witness }, self.genesis.rules()).unwrap()
    }

    fn payment(&self, producer: Address) -> Payment {
        let producer_of_parent = self.blocks.last().map(|(block, _)| block.header().producer);
        let matured =
            producer_of_parent.map(|producer| MaturedReward { producer, amount: Amount::from_units(50) });
        Payment { producer, matured }
    }

    /// Makes a block of `count` transfers on the tip, and takes it as the new tip.
    fn make(&mut self, count: u64, producer: u64) -> (Arc<CheckedBlock>, ConnectedBlock) {
        let producer = somebody(producer);
        let parent = self.parents.last().unwrap().clone();
        let index = self.state.find(&sender().path()).unwrap();
        let nonce = self.state.account(index).nonce.0;
        let transfers: Vec<_> = (0..count).map(|n| self.transfer(nonce + n, nonce * 7 + n)).collect();
        let context =
            BlockContext { height: parent.height.next(), base_fee: FeeRate(1), reserve: Amount::ZERO };
        let rules = self.consensus.rules().clone();
        let payment = self.payment(producer);
        let executed = execute(&mut self.state, &transfers, &context, &payment, &rules).unwrap();
        self.state.roll_back();
        let header = Header {
            version: 1,
            height: parent.height.next(),
            time: Timestamp(parent.time.0 + 1000),
            parent: parent.id,
            tx_count: 0,
            tx_root: MerkleRoot::ZERO,
            state_root: executed.state_root,
            history_root: parent.history.root(),
            prev_seal: CertificateHash::ZERO,
            producer,
            target: EASY,
            base_fee: FeeRate(1),
            weight_used: Weight(0),
            extra_hash: ExtraHash::ZERO,
        };
        assert_ne!(header.state_root, StateRoot::ZERO);
        let template = UnsealedBlock::new(header, transfers, Vec::new());
        let seal_hash = template.header().seal_hash();
        let target = EASY.expand().unwrap();
        let nonce =
            (0..).map(WorkNonce).find(|nonce| target.is_met_by(&block_id(&seal_hash, *nonce))).unwrap();
        self.take(CheckedBlock::seal(template, Seal::Work { nonce }, &self.consensus).unwrap())
    }

    /// Takes a block on the tip as the new tip.
    fn take(&mut self, block: CheckedBlock) -> (Arc<CheckedBlock>, ConnectedBlock) {
        let parent = self.parents.last().unwrap().clone();
        self.consensus.check_header(block.header(), &parent).unwrap();
        let context = BlockContext { height: block.height(), base_fee: FeeRate(1), reserve: Amount::ZERO };
        let payment = self.payment(block.header().producer);
        let rules = self.consensus.rules().clone();
        let executed = execute(&mut self.state, block.transactions(), &context, &payment, &rules).unwrap();
        assert_eq!(executed.state_root, block.header().state_root);
        let undo = self.state.commit();
        let mut history = Vec::new();
        let next = self.consensus.parent_of_next(block.header(), block.id(), Some(&parent), |node| {
            history.push(*node);
        });
        self.parents.push(next);
        let block = Arc::new(block);
        self.blocks.push((Arc::clone(&block), undo.clone()));
        let connected = ConnectedBlock {
            id: block.id(),
            header: block.header().clone(),
            seal: block.seal_of_block().clone(),
            transactions: block.transactions().iter().map(CheckedTransaction::id).collect(),
            undo,
            touched: executed.touched,
            history,
        };
        (block, connected)
    }

    /// Takes blocks back down to a height.
    fn go_back(&mut self, height: Height) {
        while self.tip() > height {
            let (_, undo) = self.blocks.pop().unwrap();
            self.parents.pop();
            self.state.undo(&undo).unwrap();
        }
        self.state.root();
    }

    /// Makes a block and stores it; durable when this returns.
    fn extend(&mut self, ledger: &mut Ledger, count: u64) -> Result<(), Failure> {
        let fork = self.tip();
        let (block, connected) = self.make(count, 1);
        ledger.append(&block)?;
        ledger.advance(Advance { fork, connected: vec![connected] }, &mut self.state)?;
        ledger.sync()
    }

    /// Leaves the blocks above `fork` for as many others and one more.
    fn reorganise(&mut self, ledger: &mut Ledger, fork: Height) -> Result<(), Failure> {
        let length = self.tip().0 - fork.0 + 1;
        self.go_back(fork);
        let (blocks, connected): (Vec<_>, _) = (0..length).map(|n| self.make(n % 2 + 1, 2)).unzip();
        for block in &blocks {
            ledger.append(block)?;
        }
        ledger.advance(Advance { fork, connected }, &mut self.state)?;
        ledger.sync()
    }
}

/// Opens a ledger and brings a chain to where it was, as a node does.
fn open(disk: &SimulatedDisk, genesis: &Genesis) -> Result<(Ledger, Chain, Opened2), StoreError> {
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = Ledger::open(&dynamic, genesis, settings())?;
    let Opened { mut ledger, loaded, replay, transactions, rebuilt, .. } = opened;
    let mut chain = Chain::new(genesis.clone());
    // The blocks up to the tip of the database come from the log, and must lead to its state.
    let reader = ledger.reader();
    let tip = reader.tip();
    for height in 1..=tip.0 {
        let block = reader.block_at(Height(height))?.unwrap();
        chain.take(trust(block.bytes, &chain.consensus).unwrap());
    }
    assert_eq!(loaded.chain.last().unwrap().0, chain.tip_id());
    let mut state = loaded.state;
    assert_eq!(state.root(), chain.state.root(), "the accounts of the database are those of its tip");
    chain.state = state;
    // A node executes what follows; here a branch is taken as soon as it is longer.
    let mut replayed = Vec::new();
    for record in replay {
        let (position, bytes) = record?;
        let block = trust(bytes.into(), &chain.consensus).unwrap();
        ledger.adopt(&block, position);
        replayed.push(block.id());
        take_branch(&mut ledger, &mut chain, block);
    }
    ledger.sync().map_err(|error| panic!("{error}")).unwrap();
    Ok((ledger, chain, Opened2 { replayed, transactions, rebuilt }))
}

struct Opened2 {
    replayed: Vec<BlockId>,
    transactions: Vec<Vec<u8>>,
    rebuilt: Option<Rebuilt>,
}

/// Takes a block, and with it its branch if that is longer than the chain.
fn take_branch(ledger: &mut Ledger, chain: &mut Chain, block: CheckedBlock) {
    if block.header().height <= chain.tip() {
        return;
    }
    let mut branch = vec![block];
    loop {
        let first = branch.last().unwrap();
        let below = first.header().height.previous().unwrap();
        if chain.parents.get(below.0 as usize).is_some_and(|parent| parent.id == first.header().parent) {
            break;
        }
        let bytes = ledger.block(&first.header().parent).unwrap().unwrap();
        branch.push(trust(bytes, &chain.consensus).unwrap());
    }
    let fork = branch.last().unwrap().header().height.previous().unwrap();
    chain.go_back(fork);
    let connected = branch.into_iter().rev().map(|block| chain.take(block).1).collect();
    ledger.advance(Advance { fork, connected }, &mut chain.state).unwrap();
}

/// Compares everything a reader says with the chain.
fn compare(ledger: &Ledger, chain: &Chain) {
    try_compare(ledger, chain).unwrap();
    // Headers with their seals, from below and above what the database holds.
    let reader = ledger.reader();
    let on_chain: Vec<SealedHeader> =
        chain.blocks.iter().map(|(block, _)| block.to_sealed_header()).collect();
    let ids: Vec<BlockId> = chain.parents.iter().map(|parent| parent.id).collect();
    let beside: Vec<BlockId> = ledger.side.keys().copied().collect();
    for (first, id) in ids.iter().enumerate() {
        let after = |limit| reader.headers_after(&[&beside[..], &[*id]].concat(), None, limit).unwrap();
        assert_eq!(after(usize::MAX), on_chain[first..], "behind what is beside the chain");
        assert_eq!(after(2), on_chain[first..on_chain.len().min(first + 2)]);
        assert_eq!(after(0), []);
        let until = |stop| reader.headers_after(&[*id], Some(stop), usize::MAX).unwrap();
        assert_eq!(until(id), [], "it has what it wants");
        let Some(next) = ids.get(first + 1) else { continue };
        assert_eq!(until(next), on_chain[first..=first]);
    }
    let unknown = BlockId([0xee; 32]);
    assert_eq!(reader.headers_after(&[unknown], Some(&unknown), usize::MAX).unwrap(), on_chain);
    assert_eq!(reader.headers_after(&[], None, usize::MAX).unwrap(), on_chain);
}

/// Compares what a reader says with the chain, up to the first error.
fn try_compare(ledger: &Ledger, chain: &Chain) -> Result<(), StoreError> {
    let reader = ledger.reader();
    let identity = chain.genesis.identity();
    assert_eq!(reader.tip(), chain.tip());
    for (at, (block, _)) in chain.blocks.iter().enumerate() {
        let height = Height(at as u64 + 1);
        let found = reader.block_at(height)?.unwrap();
        assert_eq!((found.id, &found.bytes), (block.id(), block.bytes()));
        assert!(reader.block(&block.id())?.unwrap().is_on_chain);
        for (place, transaction) in block.transactions().iter().enumerate() {
            let place = Place { height, place: place as u32 };
            assert_eq!(reader.transaction(&transaction.id(), identity)?, Some(place));
        }
        for count in [height.0 + 1, chain.tip().0 + 1] {
            let proof = reader.history_proof(height, Height(count))?.unwrap();
            let root = chain.parents[count as usize - 1].history.root();
            assert_eq!(proof.verify(&block.id(), root), Ok(()));
        }
    }
    assert_eq!(reader.block_at(chain.tip().next())?, None);
    Ok(())
}

/// Compares the past of some accounts with what undoing block by block gives.
fn compare_past(ledger: &Ledger, chain: &mut Chain) {
    let reader = ledger.reader();
    let tip = chain.tip();
    let paths: Vec<_> = [sender(), somebody(1), somebody(2), somebody(7), somebody(1500)]
        .iter()
        .filter_map(|address| Some((address.path(), chain.state.find(&address.path())?)))
        .collect();
    let now: Vec<_> = paths.iter().map(|(_, index)| chain.state.account(*index)).collect();
    let saved: Vec<_> = chain.blocks.iter().map(|(block, _)| block.bytes().clone()).collect();
    for height in (0..=tip.0).rev().map(Height) {
        chain.go_back(height);
        for ((path, index), now) in paths.iter().zip(&now) {
            let expected = chain.state.find(path).map(|index| chain.state.account(index));
            let found = reader.account_at(*index, *now, height).unwrap();
            if tip.0 - height.0 < settings().undo_window {
                assert_eq!(found, PastAccount::Known(expected), "at {height}");
            }
        }
    }
    for bytes in saved {
        let block = trust(bytes, &chain.consensus).unwrap();
        chain.take(block);
    }
}

/// A short history with flushes, a reorganisation and kept transactions.
fn write_history(disk: &SimulatedDisk, genesis: &Genesis, durable: &mut Vec<BlockId>) -> Result<(), Failure> {
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut ledger = Ledger::open(&dynamic, genesis, settings()).map_err(failure)?.ledger;
    let mut chain = Chain::new(genesis.clone());
    for step in 0..9 {
        if step == 5 {
            chain.reorganise(&mut ledger, Height(2))?;
        } else {
            chain.extend(&mut ledger, step % 4)?;
        }
        // One step after the other, so that a cut always hits the same operation.
        ledger.finish_flush().map_err(failure)?;
        durable.push(chain.tip_id());
    }
    Ok(())
}

#[test]
fn everything_is_found_again_after_closing() {
    let disk = SimulatedDisk::new(1);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for step in 0..30 {
        if step % 11 == 7 {
            chain.reorganise(&mut ledger, Height(chain.tip().0 - 5)).unwrap();
        } else {
            chain.extend(&mut ledger, step % 5).unwrap();
        }
        compare(&ledger, &chain);
    }
    compare_past(&ledger, &mut chain);
    ledger.close(&mut chain.state).unwrap();
    let (ledger, mut chain, opened) = open(&disk, &genesis).unwrap();
    assert!(opened.replayed.is_empty(), "a clean stop leaves nothing to replay");
    compare(&ledger, &chain);
    compare_past(&ledger, &mut chain);
}

#[test]
fn a_look_into_the_past_reads_no_more_undo_records_than_its_bound() {
    let disk = SimulatedDisk::new(15);
    let genesis = genesis();
    let window = u64::try_from(PAST_UNDOS_MAX).unwrap() * 2;
    let settings = Settings { undo_window: window, ..settings() };
    let dynamic: Arc<dyn Disk> = Arc::new(disk);
    let mut ledger = Ledger::open(&dynamic, &genesis, settings).unwrap().ledger;
    let mut chain = Chain::new(genesis);
    // On the chain that is left, the sender pays in each block; on the one that is taken, never.
    // The last of them may not have been flushed before they left, and then no index speaks of them.
    let unflushed = (2 * BEHIND_MAX * settings.flush_blocks) as u64;
    let left = PAST_UNDOS_MAX as u64 + unflushed;
    for _ in 0..left {
        chain.extend(&mut ledger, 1).unwrap();
    }
    ledger.finish_flush().unwrap();
    chain.go_back(Height(0));
    let (blocks, connected): (Vec<_>, _) = (0..=left).map(|_| chain.make(0, 2)).unzip();
    for block in &blocks {
        ledger.append(block).unwrap();
    }
    ledger.advance(Advance { fork: Height(0), connected }, &mut chain.state).unwrap();
    ledger.sync().unwrap();
    // Once it is flushed, the index speaks of both.
    for _ in 0..3 {
        chain.extend(&mut ledger, 0).unwrap();
        ledger.finish_flush().unwrap();
    }
    let (reader, path) = (ledger.reader(), sender().path());
    let index = chain.state.find(&path).unwrap();
    let now = chain.state.account(index);
    let at = |height| reader.account_at(index, now, Height(height)).unwrap();
    assert_eq!(at(0), PastAccount::TooFarToFind);
    assert_eq!(at(unflushed), PastAccount::Known(Some(now)), "no more of them than are read");
    assert_eq!(at(left), PastAccount::Known(Some(now)));
}

#[test]
fn a_kill_at_any_time_loses_nothing() {
    let disk = SimulatedDisk::new(2);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for step in 0..25 {
        if step % 9 == 8 {
            chain.reorganise(&mut ledger, Height(chain.tip().0 - 3)).unwrap();
        } else {
            chain.extend(&mut ledger, step % 3).unwrap();
        }
        let (reopened, again, _) = open(&disk.after_kill(), &genesis).unwrap();
        assert_eq!(again.tip_id(), chain.tip_id());
        compare(&reopened, &again);
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() {
    let genesis = genesis();
    for operation in 0.. {
        let disk = SimulatedDisk::new(operation);
        disk.fail_at(operation, Fault::PowerCut);
        let mut durable = Vec::new();
        let outcome = write_history(&disk, &genesis, &mut durable);
        for seed in 0..3 {
            let left = disk.survivors(seed);
            // The power is cut once more while the ledger recovers.
            let recovering = left.survivors(seed);
            recovering.fail_at(recovering.operations() + operation % 7, Fault::PowerCut);
            let _ = open(&recovering, &genesis).map(|_| ());
            for disk in [left, recovering.survivors(seed + 9)] {
                let (ledger, chain, _) = open(&disk, &genesis).unwrap();
                compare(&ledger, &chain);
                if let Some(last) = durable.last() {
                    let on_chain = chain.parents.iter().any(|parent| parent.id == *last);
                    let kept = ledger.block(last).unwrap().is_some();
                    assert!(kept, "operation {operation}, seed {seed}: an acknowledged block is gone");
                    assert!(on_chain || chain.tip().0 > 3, "an acknowledged tip was left for nothing longer");
                }
            }
        }
        if outcome.is_ok() {
            assert!(operation > 30, "the history has many operations");
            return;
        }
    }
}

#[test]
fn a_missing_database_is_built_again() {
    let disk = SimulatedDisk::new(3);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for step in 0..10 {
        chain.extend(&mut ledger, step % 4).unwrap();
    }
    ledger.close(&mut chain.state).unwrap();
    disk.remove("state.redb").unwrap();
    let (ledger, again, opened) = open(&disk, &genesis).unwrap();
    assert_eq!(opened.rebuilt, Some(Rebuilt::Missing));
    assert_eq!((opened.replayed.len(), again.tip_id()), (10, chain.tip_id()));
    compare(&ledger, &again);
}

#[test]
fn a_damaged_database_is_built_again_or_still_right() {
    let genesis = genesis();
    let disk = SimulatedDisk::new(4);
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for step in 0..8 {
        chain.extend(&mut ledger, step % 4).unwrap();
    }
    ledger.close(&mut chain.state).unwrap();
    let length = disk.content("state.redb").unwrap().len();
    let mut rebuilt = 0;
    for at in (0..length).step_by(997) {
        let damaged = disk.after_kill();
        assert!(damaged.flip_bit("state.redb", at, (at % 8) as u32));
        let (_, again, opened) = open(&damaged, &genesis).unwrap();
        assert_eq!(again.tip_id(), chain.tip_id(), "byte {at}");
        rebuilt += u32::from(opened.rebuilt.is_some());
    }
    assert!(rebuilt > 0, "some of the damage is in what is read at start");
}

#[test]
fn damage_that_is_met_in_use_is_an_error_and_the_next_start_builds_again() {
    let genesis = genesis();
    let disk = SimulatedDisk::new(9);
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    // Long enough that most rows are not read at start.
    for step in 0..60 {
        chain.extend(&mut ledger, step % 4).unwrap();
    }
    ledger.close(&mut chain.state).unwrap();
    let content = disk.content("state.redb").unwrap();
    let mut met = 0;
    let used = (0..content.len()).filter(|at| content[*at] != 0).step_by(173);
    for at in used {
        let damaged = disk.after_kill();
        assert!(damaged.flip_bit("state.redb", at, (at % 8) as u32));
        let dynamic: Arc<dyn Disk> = Arc::new(damaged.clone());
        let opened = Ledger::open(&dynamic, &genesis, settings());
        let opened = opened.unwrap_or_else(|error| panic!("byte {at}: {error:?}"));
        if opened.rebuilt.is_some() {
            continue;
        }
        let outcome = try_compare(&opened.ledger, &chain);
        drop(opened);
        let Err(error) = outcome else { continue };
        met += 1;
        assert!(error.is_damaged_database(), "byte {at}: {error:?}");
        let (ledger, again, opened) = open(&damaged, &genesis).unwrap();
        assert_eq!(opened.rebuilt, Some(Rebuilt::Damaged), "byte {at}");
        assert_eq!(again.tip_id(), chain.tip_id());
        compare(&ledger, &again);
        assert!(!database::is_marked(&damaged).unwrap());
    }
    assert!(met > 0, "some of the damage is in what is read in use alone");
}

#[test]
fn an_undo_row_that_damage_hides_is_an_error_and_not_the_end_of_the_undo_window() {
    let genesis = genesis();
    let disk = SimulatedDisk::new(12);
    // So many rows that pages above them lead to them.
    let settings = Settings { undo_window: 150, flush_blocks: 50, flush_transactions: 1_000, ..settings() };
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut ledger = Ledger::open(&dynamic, &genesis, settings).unwrap().ledger;
    let mut chain = Chain::new(genesis.clone());
    for _ in 0..200 {
        chain.extend(&mut ledger, 1).unwrap();
    }
    ledger.close(&mut chain.state).unwrap();
    let content = disk.content("state.redb").unwrap();
    let mut met = 0;
    for at in (0..content.len()).filter(|at| content[*at] != 0).step_by(61) {
        let damaged = disk.after_kill();
        assert!(damaged.flip_bit("state.redb", at, (at % 8) as u32));
        let dynamic: Arc<dyn Disk> = Arc::new(damaged.clone());
        let opened = Ledger::open(&dynamic, &genesis, settings).unwrap();
        if opened.rebuilt.is_some() {
            continue;
        }
        for height in (1..=200).map(Height) {
            match opened.ledger.shared.read(|transaction| tables::undo(transaction, height)) {
                Ok(found) => assert_eq!(found.is_some(), height.0 > 50, "byte {at}, height {height}"),
                Err(error) => {
                    assert!(error.is_damaged_database(), "byte {at}: {error:?}");
                    met += 1;
                    break;
                }
            }
        }
    }
    assert!(met > 0, "some of the damage is in the rows or above them");
}

#[test]
fn where_the_undo_window_grows_what_was_removed_is_not_missed() {
    let disk = SimulatedDisk::new(13);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for _ in 0..30 {
        chain.extend(&mut ledger, 1).unwrap();
    }
    ledger.close(&mut chain.state).unwrap();
    let dynamic: Arc<dyn Disk> = Arc::new(disk);
    let settings = Settings { undo_window: 100, ..settings() };
    let mut ledger = Ledger::open(&dynamic, &genesis, settings).unwrap().ledger;
    for _ in 0..6 {
        chain.extend(&mut ledger, 1).unwrap();
    }
    ledger.finish_flush().unwrap();
    let found: Vec<bool> = (1..=36).map(|height| ledger.undo(Height(height)).unwrap().is_some()).collect();
    assert_eq!(found, (1..=36).map(|height| height > 10).collect::<Vec<_>>());
}

#[test]
fn a_database_of_an_older_format_is_built_again_and_one_of_a_newer_is_not_touched() {
    let genesis = genesis();
    let disk = SimulatedDisk::new(14);
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for _ in 0..5 {
        chain.extend(&mut ledger, 1).unwrap();
    }
    ledger.close(&mut chain.state).unwrap();
    let in_format = |format: u32| {
        let disk = disk.after_kill();
        let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
        let database = Database::open(&dynamic, 1 << 20).unwrap();
        database.write(|transaction| tables::set_format(transaction, format)).unwrap();
        disk
    };
    let older = in_format(FORMAT - 1);
    let (ledger, again, opened) = open(&older, &genesis).unwrap();
    assert_eq!((opened.rebuilt, again.tip_id()), (Some(Rebuilt::Older), chain.tip_id()));
    compare(&ledger, &again);
    let newer = in_format(FORMAT + 1);
    assert!(matches!(open(&newer, &genesis), Err(StoreError::NewerFormat { .. })));
    assert!(newer.content("state.redb").is_some());
}

/// What a view says about a chain of which the tip and the sender's account are given.
fn look_at_all(view: &View<'_>, tip: Height, sender: AccountIndex, now: Account) -> Result<Seen, StoreError> {
    let heights = || (1..=tip.0).map(Height);
    Ok(Seen {
        headers: (1..=tip.0 + 1).map(|height| view.header(Height(height))).collect::<Result<_, _>>()?,
        undos: heights().map(|height| view.undo(height)).collect::<Result<_, _>>()?,
        accounts: heights().map(|height| view.account_at(sender, now, height)).collect::<Result<_, _>>()?,
        history: view.history_run(0, tip.0 + 1)?,
    })
}

#[derive(Debug, PartialEq)]
struct Seen {
    headers: Vec<Option<HeaderRow>>,
    undos: Vec<Option<Undo>>,
    accounts: Vec<PastAccount>,
    history: Option<HistoryNode>,
}

#[test]
fn a_view_stays_at_its_moment_and_holds_nobody_up_while_the_chain_is_reorganised_and_flushed() {
    let disk = SimulatedDisk::new(10);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for step in 0..12 {
        chain.extend(&mut ledger, step % 3 + 1).unwrap();
        ledger.finish_flush().unwrap();
    }
    let (tip, fork) = (chain.tip(), Height(2));
    assert!(fork < ledger.overlay.valid(), "the reorganisation begins below what the database holds");
    let account = chain.state.find(&sender().path()).unwrap();
    let now = chain.state.account(account);
    let reader = ledger.reader();
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let (before, after) = thread::scope(|scope| {
        scope.spawn(move || {
            begun.recv().unwrap();
            chain.reorganise(&mut ledger, fork).unwrap();
            ledger.finish_flush().unwrap();
            assert_eq!(ledger.overlay.valid(), chain.tip(), "the flush is done");
            compare(&ledger, &chain);
            end.send(()).unwrap();
        });
        let look = |view: &View<'_>| {
            let before = look_at_all(view, tip, account, now)?;
            begin.send(()).unwrap();
            // Nothing makes it wait but what this view holds.
            ended.recv_timeout(Duration::from_secs(60)).expect("a sync waits for nobody who reads");
            Ok((before, look_at_all(view, tip, account, now)?))
        };
        reader.view(look).unwrap()
    });
    assert_eq!(after, before);
    assert_eq!(reader.tip(), tip.next());
    let later = reader.view(|view| look_at_all(view, tip, account, now)).unwrap();
    assert!(later.headers.iter().zip(&before.headers).skip(2).all(|(later, before)| later != before));
    assert_ne!(later.undos, before.undos);
}

#[test]
fn while_the_database_is_closed_readers_know_the_recent_blocks_and_the_next_flush_opens_it_again() {
    let disk = SimulatedDisk::new(11);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for _ in 0..4 {
        chain.extend(&mut ledger, 1).unwrap();
        ledger.finish_flush().unwrap();
    }
    assert!(ledger.overlay.valid() < chain.tip(), "a block is not flushed");
    // What a flush leaves that finds no room even to open the database again.
    *ledger.shared.database.write().unwrap() = None;
    let reader = ledger.reader();
    assert_eq!(reader.header(chain.tip()).unwrap().unwrap().0, chain.tip_id());
    assert!(matches!(reader.header(Height(1)), Err(StoreError::DatabaseClosed)));
    for _ in 0..3 {
        chain.extend(&mut ledger, 1).unwrap();
        ledger.finish_flush().unwrap();
    }
    compare(&ledger, &chain);
}

#[test]
fn a_log_that_lost_its_end_behind_the_database_is_reported() {
    let disk = SimulatedDisk::new(5);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for _ in 0..6 {
        chain.extend(&mut ledger, 2).unwrap();
    }
    ledger.close(&mut chain.state).unwrap();
    shorten_log(&disk, 10);
    assert!(matches!(open(&disk, &genesis), Err(StoreError::Damaged { .. })));
}

/// Cuts bytes off the end of the log of blocks.
fn shorten_log(disk: &SimulatedDisk, bytes: u64) {
    let names = disk.directory("blocks").unwrap().list().unwrap();
    let last = names.iter().max().unwrap();
    let file = disk.directory("blocks").unwrap().open(last).unwrap();
    file.set_length(file.length().unwrap() - bytes).unwrap();
}

#[test]
fn a_log_that_lost_a_whole_record_is_reported_where_the_database_is_damaged_too() {
    let genesis = genesis();
    let disk = SimulatedDisk::new(5);
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for _ in 0..6 {
        chain.extend(&mut ledger, 2).unwrap();
    }
    let last = ledger.block(&chain.tip_id()).unwrap().unwrap().len() as u64;
    ledger.close(&mut chain.state).unwrap();
    disk.open_or_create("state.damaged").unwrap();
    let whole = disk.after_kill();
    shorten_log(&disk, last + RECORD_FRAME_BYTES);
    for _ in 0..2 {
        // Nothing is removed, so the next start knows it too.
        let error = open(&disk, &genesis).map(|_| ()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { damage: Damage::Length { .. }, .. }), "{error:?}");
        assert!(database::is_marked(&disk).unwrap() && disk.content("state.redb").is_some());
    }
    // A database so damaged that it cannot say where the log ended knows nothing of it.
    let length = disk.content("state.redb").unwrap().len();
    let file = disk.open("state.redb").unwrap();
    file.write_all_at(&vec![0xa5; length], 0).unwrap();
    let (_, again, opened) = open(&disk, &genesis).unwrap();
    assert_eq!((opened.rebuilt, again.tip().next()), (Some(Rebuilt::Damaged), chain.tip()));
    // A log that is whole is no obstacle.
    let (_, again, opened) = open(&whole, &genesis).unwrap();
    assert_eq!((opened.rebuilt, again.tip_id()), (Some(Rebuilt::Damaged), chain.tip_id()));
}

#[test]
fn the_directory_of_another_network_is_refused_and_not_touched() {
    let disk = SimulatedDisk::new(6);
    let (mut ledger, mut chain, _) = open(&disk, &genesis()).unwrap();
    chain.extend(&mut ledger, 2).unwrap();
    ledger.close(&mut chain.state).unwrap();
    let before = disk.content("state.redb");
    let other = genesis_named("other");
    assert!(matches!(open(&disk, &other), Err(StoreError::WrongNetwork { .. })));
    disk.remove("state.redb").unwrap();
    assert!(matches!(open(&disk, &other), Err(StoreError::WrongNetwork { .. })), "the log knows it too");
    assert!(before.is_some());
}

#[test]
fn a_damaged_directory_of_another_network_is_not_touched_either() {
    let disk = SimulatedDisk::new(6);
    let (mut ledger, mut chain, _) = open(&disk, &genesis()).unwrap();
    chain.extend(&mut ledger, 2).unwrap();
    ledger.close(&mut chain.state).unwrap();
    disk.open_or_create("state.damaged").unwrap();
    let before = disk.content("state.redb");
    assert!(matches!(open(&disk, &genesis_named("other")), Err(StoreError::WrongNetwork { .. })));
    assert_eq!(disk.content("state.redb"), before);
    assert!(database::is_marked(&disk).unwrap());
    let (_, again, opened) = open(&disk, &genesis()).unwrap();
    assert_eq!((opened.rebuilt, again.tip_id()), (Some(Rebuilt::Damaged), chain.tip_id()));
}

#[test]
fn a_full_disk_refuses_new_blocks_and_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::new(7);
    let genesis = genesis();
    let (mut ledger, mut chain, _) = open(&disk, &genesis).unwrap();
    for step in 0..12 {
        chain.extend(&mut ledger, step % 3).unwrap();
    }
    ledger.finish_flush().unwrap();
    let used: u64 = used_bytes(&disk);
    disk.set_capacity(used + 700);
    let mut refused = 0;
    for _ in 0..6 {
        // A refused block never joined the chain, so the chain forgets it.
        let fork = chain.tip();
        let (block, connected) = chain.make(2, 1);
        match ledger.append(&block) {
            Ok(()) => {
                ledger.advance(Advance { fork, connected: vec![connected] }, &mut chain.state).unwrap();
                ledger.sync().unwrap();
            }
            Err(Failure::Full(_)) => {
                refused += 1;
                chain.go_back(fork);
            }
            Err(error) => panic!("{error}"),
        }
        ledger.finish_flush().unwrap();
        compare(&ledger, &chain);
    }
    assert!(refused > 0);
    disk.set_capacity(u64::MAX);
    for _ in 0..6 {
        chain.extend(&mut ledger, 2).unwrap();
        ledger.finish_flush().unwrap();
    }
    compare(&ledger, &chain);
    ledger.close(&mut chain.state).unwrap();
    let (ledger, again, _) = open(&disk, &genesis).unwrap();
    assert_eq!(again.tip_id(), chain.tip_id());
    compare(&ledger, &again);
}

fn used_bytes(disk: &SimulatedDisk) -> u64 {
    let directories = ["blocks", "mempool"].map(|name| disk.directory(name).unwrap());
    let inner = directories.iter().flat_map(|inner| {
        inner.list().unwrap().into_iter().map(|name| inner.open(&name).unwrap().length().unwrap())
    });
    inner.sum::<u64>() + disk.open("state.redb").unwrap().length().unwrap()
}

#[test]
fn kept_transactions_are_found_again_and_can_be_rewritten() {
    let disk = SimulatedDisk::new(8);
    let genesis = genesis();
    let (mut ledger, chain, _) = open(&disk, &genesis).unwrap();
    let kept: Vec<_> = (0..5).map(|nonce| chain.transfer(nonce, 9)).collect();
    ledger.keep_transactions(&kept.iter().collect::<Vec<_>>()).unwrap();
    ledger.sync().unwrap();
    let (_, _, opened) = open(&disk.after_kill(), &genesis).unwrap();
    let bytes: Vec<_> = kept.iter().map(|it| it.transaction().to_bytes()).collect();
    assert_eq!(opened.transactions, bytes);
    ledger.rewrite_mempool(&kept[3..]).unwrap();
    let (_, _, opened) = open(&disk.after_kill(), &genesis).unwrap();
    assert_eq!(opened.transactions, bytes[3..]);
}
