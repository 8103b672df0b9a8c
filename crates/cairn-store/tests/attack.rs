//! Faults of the disk under a ledger, as its owner sees them from outside.
#![allow(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use cairn_core::address::Address;
use cairn_core::codec::Encode as _;
use cairn_core::genesis::{Allocation, Genesis, GenesisDraft, GenesisParts};
use cairn_core::network::Mode;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce};
use cairn_core::signature::{PublicKey, Witness};
use cairn_core::store::{Store as _, StoreError};
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{CheckedTransaction, Transaction, TransactionBody, Transfer, check};
use cairn_store::backend::Disk;
use cairn_store::ledger::{Ledger, Settings};
use cairn_store::log;
use cairn_store::testing::SimulatedDisk;
use std::sync::Arc;

/// Every second hash is low enough.
const EASY: CompactTarget = CompactTarget(0x207f_ffff);

fn key() -> ed25519_zebra::SigningKey {
    ed25519_zebra::SigningKey::from([1; 32])
}

fn public_key() -> [u8; 32] {
    ed25519_zebra::VerificationKeyBytes::from(&key()).into()
}

fn sender() -> Address {
    PublicKey::Ed25519(public_key()).address()
}

fn genesis() -> Genesis {
    let mut parts = GenesisParts::new("attacked", Mode::Pow, false);
    parts.section.half_life_ms = 0;
    (parts.section.first_target, parts.section.target_limit, parts.first_block.target) = (EASY, EASY, EASY);
    let balance = Amount::from_units(1 << 40);
    parts.allocations = vec![Allocation { address: sender(), balance, nonce: Nonce(0), label: None }];
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1000).unwrap();
    draft.seal(nonce).unwrap()
}

fn transfer(genesis: &Genesis, nonce: u64) -> CheckedTransaction {
    let body = TransactionBody {
        version: 1,
        nonce: Nonce(nonce),
        valid_until: Height(0),
        max_fee_rate: FeeRate(1),
        tip_rate: FeeRate(0),
        transfers: vec![Transfer { to: sender(), amount: Amount::from_units(3) }],
        data: Vec::new(),
    };
    let signature = key().sign(body.id(genesis.identity(), &sender()).as_bytes()).to_bytes();
    let witness = Witness::Ed25519 { key: public_key(), signature };
    check(Transaction { body, witness }, genesis.rules()).unwrap()
}

fn settings() -> Settings {
    let log = log::Settings { segment_bytes: 8 * 1024, buffer_bytes: 1024 };
    Settings { log, ..Settings::default() }
}

fn mempool_bytes(disk: &SimulatedDisk) -> u64 {
    let directory = disk.directory("mempool").unwrap();
    let lengths = directory.list().unwrap().into_iter().map(|name| directory.open(&name).unwrap().length());
    lengths.map(Result::unwrap).sum()
}

#[test]
fn attack_i04_of_transactions_that_find_no_room_none_is_kept() {
    let genesis = genesis();
    let transactions: Vec<CheckedTransaction> = (0..20).map(|nonce| transfer(&genesis, nonce)).collect();
    let all: Vec<&CheckedTransaction> = transactions.iter().collect();
    for room in (0..5_000).step_by(97) {
        let disk = SimulatedDisk::new(room);
        let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut ledger = Ledger::open(&dynamic, &genesis, settings()).unwrap().ledger;
        ledger.keep_transactions(&all[..1]).unwrap();
        let used: u64 = ["blocks", "mempool"]
            .iter()
            .flat_map(|name| {
                let directory = disk.directory(name).unwrap();
                let names = directory.list().unwrap().into_iter();
                names.map(move |name| directory.open(&name).unwrap().length().unwrap()).collect::<Vec<_>>()
            })
            .sum();
        disk.set_capacity(used + disk.open("state.redb").unwrap().length().unwrap() + room);
        let outcome = ledger.keep_transactions(&all[1..]);
        ledger.sync().unwrap();
        drop(ledger);
        let left: Arc<dyn Disk> = Arc::new(disk.after_kill());
        let kept = Ledger::open(&left, &genesis, settings()).unwrap().transactions;
        let expected = if outcome.is_ok() { all.len() } else { 1 };
        assert!(outcome.is_ok() || matches!(outcome, Err(StoreError::Full(_))));
        let bytes: Vec<Vec<u8>> = all[..expected].iter().map(|it| it.transaction().to_bytes()).collect();
        assert!(kept == bytes, "with room for {room} bytes, {} are kept", kept.len());
    }
}

#[test]
fn attack_i08_the_log_of_the_mempool_shrinks_when_it_is_written_anew() {
    let genesis = genesis();
    let disk = SimulatedDisk::new(1);
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut ledger = Ledger::open(&dynamic, &genesis, settings()).unwrap().ledger;
    let transactions: Vec<CheckedTransaction> = (0..20).map(|nonce| transfer(&genesis, nonce)).collect();
    let all: Vec<&CheckedTransaction> = transactions.iter().collect();
    for _ in 0..30 {
        ledger.keep_transactions(&all).unwrap();
        ledger.sync().unwrap();
    }
    assert!(mempool_bytes(&disk) > 100_000);
    ledger.rewrite_mempool(transactions.iter()).unwrap();
    assert!(mempool_bytes(&disk) < 6_000);
    drop(ledger);
    assert_eq!(Ledger::open(&dynamic, &genesis, settings()).unwrap().transactions.len(), 20);
}
