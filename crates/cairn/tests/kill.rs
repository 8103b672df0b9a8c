//! The real program, killed again and again under load: nothing that it acknowledged is lost.
//!
//! Twenty rounds in every check; `cargo xtask kill --rounds N` runs more.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn_core::codec::Encode as _;
use cairn_core::transaction::Transaction;
use support::{Connection, NodeProcess, Numbers, genesis, get, key, post, program, transfer};

const SENDERS: u8 = 16;
const BATCH: u64 = 20;

/// What the node has promised.
#[derive(Default)]
struct Promised {
    transactions: BTreeSet<String>,
    /// Blocks that an answer has shown, by id.
    blocks: BTreeMap<String, u64>,
    old_transactions: BTreeSet<String>,
    old_blocks: BTreeMap<String, u64>,
}

impl Promised {
    /// What was promised since the last time; the rest stays known for the end.
    fn take_new(&mut self) -> Self {
        let new = Self {
            transactions: std::mem::take(&mut self.transactions),
            blocks: std::mem::take(&mut self.blocks),
            ..Self::default()
        };
        self.old_transactions.extend(new.transactions.iter().cloned());
        self.old_blocks.extend(new.blocks.clone());
        new
    }

    /// Everything that was ever promised.
    fn take_all(&mut self) -> Self {
        self.take_new();
        Self {
            transactions: std::mem::take(&mut self.old_transactions),
            blocks: std::mem::take(&mut self.old_blocks),
            ..Self::default()
        }
    }
}

fn rounds() -> u64 {
    std::env::var("CAIRN_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// The next nonce of a sender, with what waits counted; none once the node is gone.
fn pending_nonce(port: u16, sender: u8, prefix: &cairn_core::address::AddressPrefix) -> Option<u64> {
    let address = key(sender).address().to_text(prefix);
    let account = get(port, &format!("/v1/accounts/{address}"))?.json();
    let nonce = &account["pending_nonce"];
    Some(nonce.as_u64().or_else(|| nonce.as_str()?.parse().ok()).unwrap())
}

#[test]
fn a_killed_node_finds_everything_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(SENDERS);
    let prefix = genesis.rules().prefix().clone();
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let data = directory.path().join("data");
    let producer = key(0).address().to_text(&prefix);
    let start = || NodeProcess::spawn(&file, &data, "on-transaction", &producer);

    let promised = Arc::new(Mutex::new(Promised::default()));
    let mut numbers = Numbers(2026);
    for round in 0..rounds() {
        let mut node = start();
        // Now and then the power goes again while the node recovers.
        if numbers.below(5) == 0 {
            let wait = Duration::from_millis(numbers.below(40));
            let since = Instant::now();
            while since.elapsed() < wait {
                std::thread::yield_now();
            }
            node.kill();
            node = start();
        }
        if let Err(error) = node.wait_ready() {
            panic!("round {round}: the node does not start again: {error}");
        }
        check_promises(node.port, &promised.lock().unwrap().take_new(), round);

        let port = node.port;
        let over = Arc::new(AtomicBool::new(false));
        let mut loads = Vec::new();
        for lane in 0..4u8 {
            let (genesis, prefix) = (genesis.clone(), prefix.clone());
            let (promised, over) = (Arc::clone(&promised), Arc::clone(&over));
            loads.push(std::thread::spawn(move || {
                let senders: Vec<u8> = (lane..SENDERS).step_by(4).collect();
                let nonces = senders.iter().map(|sender| pending_nonce(port, *sender, &prefix));
                // On a busy machine the node may be killed before it was asked.
                let Some(mut nonces) = nonces.collect::<Option<Vec<u64>>>() else { return };
                while !over.load(Ordering::Relaxed) {
                    for (sender, nonce) in senders.iter().zip(&mut nonces) {
                        let to = key(sender.wrapping_add(1) % SENDERS).address();
                        let batch: Vec<Transaction> = (0..BATCH)
                            .map(|n| transfer(&genesis, &key(*sender), *nonce + n, to, 1))
                            .collect();
                        let bytes: Vec<u8> = batch.iter().flat_map(Transaction::to_bytes).collect();
                        let Some(answer) = post(port, "/v1/transactions", &bytes) else { return };
                        let mut promised = promised.lock().unwrap();
                        for result in answer.json().as_array().into_iter().flatten() {
                            if let Some(id) = result["id"].as_str().filter(|_| result["status"] == "pending")
                            {
                                promised.transactions.insert(id.to_owned());
                                *nonce += 1;
                            }
                        }
                        drop(promised);
                    }
                }
            }));
        }
        let watcher = std::thread::spawn({
            let (promised, over) = (Arc::clone(&promised), Arc::clone(&over));
            move || {
                while !over.load(Ordering::Relaxed) {
                    let Some(answer) = get(port, "/v1/blocks/tip") else { return };
                    let block = answer.json();
                    if let (Some(id), Some(height)) = (block["id"].as_str(), block["height"].as_u64()) {
                        promised.lock().unwrap().blocks.insert(id.to_owned(), height);
                    }
                }
            }
        });
        let life = Duration::from_millis(60 + numbers.below(300));
        let since = Instant::now();
        while since.elapsed() < life {
            std::thread::yield_now();
        }
        node.kill();
        over.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().unwrap();
        }
        watcher.join().unwrap();
    }

    let mut node = start();
    node.wait_ready().unwrap();
    let promised = promised.lock().unwrap().take_all();
    check_promises(node.port, &promised, rounds());
    assert!(promised.transactions.len() > 100, "the load was real: {}", promised.transactions.len());
    assert!(promised.blocks.len() > 5, "blocks were made: {}", promised.blocks.len());
    assert!(node.stop().success());
    let verified = Command::new(program())
        .args(["verify", "--json", "--data-dir"])
        .arg(&data)
        .env("XDG_CONFIG_HOME", directory.path())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// Every promised transaction waits or is confirmed, every block that was shown is still kept.
fn check_promises(port: u16, promised: &Promised, round: u64) {
    let mut connection = Connection::open(port).unwrap();
    for (id, height) in &promised.blocks {
        let block = connection.get(&format!("/v1/blocks/{id}")).unwrap();
        assert_eq!(block.status, 200, "round {round}: block {id} at {height} is gone");
    }
    for id in &promised.transactions {
        let transaction = connection.get(&format!("/v1/transactions/{id}")).unwrap();
        assert_eq!(transaction.status, 200, "round {round}: transaction {id} is gone");
    }
}
