//! The parts of the node one by one: the state tree, the log, the search for work.

use std::path::Path;
use std::sync::Arc;

use cairn_core::account::Account;
use cairn_core::hash::StatePath;
use cairn_core::numbers::{Amount, Nonce};
use cairn_core::state::State;
use cairn_hash::Kernel;
use cairn_store::backend::{Disk, RealDisk};
use cairn_store::log::{Log, Settings};

use super::chain::{BLOCK_TRANSFERS, Numbers};
use super::measure::{Spent, measure};
use crate::run::search_in_slices;

/// Blocks of the state bench; each changes the accounts of as many transfers as a full block has.
const STATE_BLOCKS: usize = 20;

/// Changes random accounts as a block of transfers does, then computes the root and commits;
/// returns the number of transfers.
pub(super) fn change_state(accounts: usize) -> (usize, Spent) {
    let mut numbers = Numbers(7);
    let path = |numbers: &mut Numbers| {
        let mut path = [0; 32];
        for part in path.chunks_exact_mut(8) {
            part.copy_from_slice(&numbers.next().to_le_bytes());
        }
        StatePath(path)
    };
    let account = Account { balance: Amount::from_units(1_000), nonce: Nonce(0) };
    let paths: Vec<StatePath> = (0..accounts).map(|_| path(&mut numbers)).collect();
    let mut state = State::restore(paths.iter().map(|path| (*path, account)), []);
    let ((), spent) = measure(|| {
        for _ in 0..STATE_BLOCKS {
            for touched in 0..2 * BLOCK_TRANSFERS {
                if touched % 200 == 0 {
                    let new = path(&mut numbers);
                    state.insert(new, account);
                    continue;
                }
                let path = &paths[numbers.below(accounts)];
                let index = state.find(path).expect("the account was put in");
                let before = state.account(index);
                state.set(index, Account { nonce: Nonce(before.nonce.0 + 1), ..before });
            }
            state.root();
            state.commit();
        }
    });
    (STATE_BLOCKS * BLOCK_TRANSFERS, spent)
}

/// Appends records of `bytes` bytes to a log, `group` of them to a sync; returns their number.
pub(super) fn append_log(directory: &Path, bytes: usize, group: usize, groups: usize) -> (usize, Spent) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(directory).expect("the directory is new"));
    let opened = Log::open(disk, "bench", [0; 32], Settings::default(), None);
    let (mut log, _) = opened.expect("the directory is new");
    let record = vec![0xa5; bytes];
    let ((), spent) = measure(|| {
        for _ in 0..groups {
            for _ in 0..group {
                log.append(&record).expect("the disk works");
            }
            log.sync().expect("the disk works");
        }
    });
    (group * groups, spent)
}

/// Searches with a kernel for work that nobody finds, in one call; returns the number of hashes.
pub(super) fn search_work(kernel: Kernel, hashes: u64) -> (usize, Spent) {
    let (found, spent) = measure(|| cairn_hash::search_work_with(kernel, &[1; 32], &[0; 32], 0..hashes));
    assert_eq!(found, None, "no hash is zero");
    (hashes as usize, spent)
}

/// The same as a node does it, with the best kernel, slice by slice, `hashes` on each of some threads.
pub(super) fn mine(threads: usize, hashes: u64) -> (usize, Spent) {
    let search = |number: u64| {
        let nonces = number << 40..(number << 40) + hashes;
        let found = search_in_slices(Kernel::best(), &[1; 32], &[0; 32], nonces, |tried| {
            std::hint::black_box(tried) > 0
        });
        assert_eq!(found, None, "no hash is zero");
    };
    let ((), spent) = measure(|| {
        std::thread::scope(|scope| {
            for number in 0..threads as u64 {
                scope.spawn(move || search(number));
            }
        });
    });
    (threads * hashes as usize, spent)
}
