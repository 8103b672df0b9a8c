//! How fast blocks are taken in, against the limit that verifying their signatures sets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use cairn_core::block::{self, decode_block};
use cairn_core::numbers::Timestamp;
use cairn_core::signature::{Batching, KeyCache, SignedMessage, Witness, verify_batch};
use cairn_core::store::Store as _;
use cairn_core::transaction::IdentifiedTransaction;
use cairn_node::{Input, Node, NodeConfig};
use cairn_store::backend::{Disk, RealDisk};
use cairn_store::ledger::{Ledger, Opened, Settings, Sizes};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::chain::{BLOCK_TRANSFERS, Chain};
use super::measure::{Spent, measure, thread_cpu_s};
use crate::pipeline::{check_in_order, default_threads};

/// Signatures verified in one batch when the limit is measured: as many as a block has.
const LIMIT_BATCH: usize = BLOCK_TRANSFERS;
/// After how many blocks, or bytes of them, the import makes its work durable.
const SYNC_BLOCKS: usize = 256;
const SYNC_BYTES: usize = 8 * 1024 * 1024;

/// A signature with what it signs.
struct Signed {
    key: [u8; 32],
    signature: [u8; 64],
    message: [u8; 32],
}

/// Who verifies when a limit is measured; both know nothing of blocks and keep no keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verifier {
    /// The library that others use, ed25519-zebra.
    Library,
    /// The batches of cairn-core, as blocks are checked with them.
    Own,
}

impl Verifier {
    fn accepts(self, batch: &[Signed]) -> bool {
        const SEED: [u8; 32] = [3; 32];
        match self {
            Self::Library => {
                let mut verifier = ed25519_zebra::batch::Verifier::new();
                for Signed { key, signature, message } in batch {
                    let signature = ed25519_zebra::Signature::from_bytes(signature);
                    verifier.queue(((*key).into(), signature, message));
                }
                verifier.verify(ChaCha20Rng::from_seed(SEED)).is_ok()
            }
            Self::Own => {
                let signed = batch.iter().map(|Signed { key, signature, message }| SignedMessage {
                    key,
                    signature,
                    message,
                });
                verify_batch(signed, Batching::from_seed(SEED))
            }
        }
    }
}

/// The signatures of the first blocks, in batches.
pub(super) struct Batches(Vec<Vec<Signed>>);

impl Batches {
    pub(super) fn new(chain: &Chain, blocks_max: usize) -> Self {
        let blocks = &chain.blocks[..chain.blocks.len().min(blocks_max)];
        Self(blocks.iter().flat_map(|bytes| signatures(chain, bytes)).collect())
    }

    /// How many signatures there are.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Verifies all of them on all cores, and nothing else; returns the cost.
    pub(super) fn verify(&self, verifier: Verifier) -> Spent {
        let next = AtomicUsize::new(0);
        let ((), spent) = measure(|| {
            thread::scope(|scope| {
                for _ in 0..default_threads() {
                    scope.spawn(|| {
                        while let Some(batch) = self.0.get(next.fetch_add(1, Ordering::Relaxed)) {
                            assert!(verifier.accepts(batch), "the bench signed them");
                        }
                    });
                }
            });
        });
        spent
    }
}

fn signatures(chain: &Chain, bytes: &[u8]) -> Vec<Vec<Signed>> {
    let block = decode_block(bytes).expect("the bench made the block");
    let all: Vec<Signed> = block
        .body
        .transactions
        .into_iter()
        .filter_map(|transaction| {
            let Witness::Ed25519 { key, signature } = transaction.witness.clone() else { return None };
            let id = IdentifiedTransaction::new(transaction, chain.genesis.identity()).id();
            Some(Signed { key, signature, message: id.0 })
        })
        .collect();
    let mut batches = Vec::new();
    let mut rest = all.into_iter().peekable();
    while rest.peek().is_some() {
        batches.push(rest.by_ref().take(LIMIT_BATCH).collect());
    }
    batches
}

/// What an import cost, by part. Times of threads, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImportCost {
    pub(super) spent: Spent,
    /// Decoding, ids, trees and signatures, on all cores.
    pub(super) check_s: f64,
    /// Executing, state roots and the chain, on one.
    pub(super) execute_s: f64,
    /// Writing the log and waiting for the disk, on the same.
    pub(super) log_s: f64,
    /// What the parts of the directory take.
    pub(super) log_bytes: u64,
    pub(super) sizes: Sizes,
}

/// What an import does about signatures.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signatures<'a> {
    /// Takes them as verified, as for blocks of the node's own log.
    Trust,
    /// Verifies them and decodes every key.
    Verify,
    /// Verifies them and decodes only keys that were not met before.
    VerifyWith(&'a KeyCache),
}

/// Imports all blocks into a new directory, and closes it.
pub(super) fn import(chain: &Chain, directory: &Path, signatures: Signatures<'_>) -> ImportCost {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(directory).expect("the directory is new"));
    let opened = Ledger::open(&disk, &chain.genesis, Settings::default());
    let Opened { mut ledger, loaded, .. } = opened.expect("the directory is new");
    let mut node = Node::new(chain.consensus.clone(), NodeConfig::default(), loaded);
    let check_us = AtomicU64::new(0);
    let (mut execute_s, mut log_s) = (0.0, 0.0);
    let (mut unsynced, mut unsynced_bytes) = (0, 0);
    let now = Timestamp(u64::MAX / 2);
    let ((), spent) = measure(|| {
        let source = chain.blocks.iter().map(|bytes| Ok::<_, ()>(((), Arc::clone(bytes))));
        let check = |bytes| {
            let start = thread_cpu_s();
            let batching = Batching::from_seed([7; 32]);
            let checked = match signatures {
                Signatures::Trust => block::trust(bytes, &chain.consensus),
                Signatures::Verify => block::check(bytes, &chain.consensus, batching),
                Signatures::VerifyWith(keys) => {
                    block::check(bytes, &chain.consensus, batching.with_keys(keys))
                }
            };
            check_us.fetch_add(((thread_cpu_s() - start) * 1e6) as u64, Ordering::Relaxed);
            checked
        };
        let imported = check_in_order(source, default_threads(), check, |(), checked| {
            let block = checked.expect("the bench made the block");
            let start = thread_cpu_s();
            unsynced += 1;
            unsynced_bytes += block.bytes().len();
            let input = Input::Block { request: None, block };
            node.handle(now, input, &mut ledger).expect("the disk works");
            let handled = thread_cpu_s();
            execute_s += handled - start;
            if unsynced == SYNC_BLOCKS || unsynced_bytes >= SYNC_BYTES {
                (unsynced, unsynced_bytes) = (0, 0);
                ledger.sync().expect("the disk works");
                while node.next_effect().is_some() {}
            }
            log_s += thread_cpu_s() - handled;
            Ok(())
        });
        assert_eq!(imported, Ok(()));
        ledger.sync().expect("the disk works");
        assert_eq!(node.tip().header.height.0 as usize, chain.blocks.len(), "every block was taken");
        ledger.close(&mut node.into_state()).expect("the disk works");
    });
    let log_bytes = directory_bytes(&directory.join("blocks"));
    drop(disk);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(directory).expect("it was closed"));
    let opened = Ledger::open(&disk, &chain.genesis, Settings::default()).expect("it was closed");
    let sizes = opened.ledger.reader().sizes().expect("the disk works");
    ImportCost {
        spent,
        check_s: check_us.load(Ordering::Relaxed) as f64 * 1e-6,
        execute_s,
        log_s,
        log_bytes,
        sizes,
    }
}

/// The bytes of all files in a directory.
fn directory_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::chain::make_chain;
    use super::*;

    #[test]
    fn a_small_chain_is_imported_whole() {
        let chain = make_chain(50, 2);
        let directory = tempfile::tempdir().unwrap();
        let cost = import(&chain, directory.path(), Signatures::Verify);
        assert!(cost.sizes.undo > 0 && cost.log_bytes > 1_000_000);
        let mut batches = Batches::new(&chain, 1);
        assert_eq!(batches.count(), BLOCK_TRANSFERS);
        for verifier in [Verifier::Library, Verifier::Own] {
            assert!(verifier.accepts(&batches.0[0]));
        }
        batches.0[0][7].message[0] ^= 1;
        for verifier in [Verifier::Library, Verifier::Own] {
            assert!(!verifier.accepts(&batches.0[0]));
        }
    }
}
