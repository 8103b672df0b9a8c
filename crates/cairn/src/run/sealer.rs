//! The threads that search for work, and sign where the network lists its miners.
//!
//! # Provided
//!
//! - They rest until there is a job. All of them search for the same one, each among nonces of its
//!   own; the first to find one ends the search of the others.
//! - How many search can be changed at any time: the search begins anew among other nonces, and nothing
//!   that was found is lost.
//! - The search goes in slices of [`SLICE_NONCES`], so that a newer job takes the place of an older one
//!   within a slice: a millisecond, ten with the portable kernel.
//! - The kernel is chosen once. How many nonces were tried, and how fast, is known at any time.
//! - The key is here and nowhere else in the node.

mod meter;
mod task;
#[cfg(test)]
mod tests;
mod threads;

pub use meter::Hashing;
pub(super) use meter::Meter;
pub(super) use threads::Sealers;

use super::Command;
use super::worker::now;
use cairn_core::block::{Seal, block_id};
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Timestamp, WorkNonce};
use cairn_hash::{Kernel, search_work_with};
use cairn_node::producer::SealJob;
use cairn_wallet::SigningKey;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use task::Task;

/// The most threads that search.
pub const SEALER_THREADS_MAX: u16 = 256;
/// How many nonces are tried between two looks at whether the job is still wanted. What a call computes
/// once costs about a thousandth of that with the fastest kernel.
const SLICE_NONCES: u64 = 1 << 15;

/// The job that is wanted; shared by the node thread and the threads that search.
#[derive(Debug)]
pub(super) struct SealerDesk {
    slot: Mutex<Slot>,
    wake: Condvar,
    /// Goes up with each change of the job, under the lock of the slot; who searches looks without it.
    version: AtomicU64,
    meter: Arc<Meter>,
}

#[derive(Debug, Default)]
struct Slot {
    task: Option<Arc<Task>>,
    /// How many threads search; those with a higher number rest.
    threads: u16,
    is_stopped: bool,
}

/// What a thread searches for.
struct Order {
    task: Arc<Task>,
    version: u64,
    nonces: Range<u64>,
}

/// What a seal needs beside the work.
#[derive(Debug)]
pub(super) struct Signer {
    /// The network, which every signature is for.
    pub(super) identity: BlockId,
    /// The key, where the network lists its miners.
    pub(super) key: Option<SigningKey>,
}

impl SealerDesk {
    /// A desk without a job and without threads.
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self { slot: Mutex::default(), wake: Condvar::new(), version: AtomicU64::new(0), meter }
    }

    /// Wants a seal for this job and no other, or for none.
    pub(super) fn put(&self, job: Option<SealJob>) {
        let task = job.map(Task::new).transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "a block of this node has a target that cannot be searched for");
            None
        });
        self.change(&mut self.lock(), task.map(Arc::new));
        self.wake.notify_all();
    }

    /// Has so many threads search from now on, those with the lowest numbers.
    pub(super) fn set_threads(&self, threads: u16) {
        let mut slot = self.lock();
        slot.threads = threads;
        self.meter.set_threads(threads);
        // Without a task, one that was found may be held back until its time: that stays as it is.
        if let Some(task) = slot.task.take() {
            self.change(&mut slot, Some(Arc::new(task.elsewhere())));
        }
        self.wake.notify_all();
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.put(None);
    }

    /// Searches until it is stopped, as the thread with a number, counted from 0.
    pub(super) fn run(&self, number: u16, signer: &Signer, commands: &SyncSender<Command>) {
        while let Some(Order { task, version, nonces }) = self.take(number) {
            if task.job.needs_signature && signer.key.is_none() {
                if self.claim(version).is_some() {
                    tracing::error!("the network lists its miners, and this node was given no key");
                }
                continue;
            }
            let Some(nonce) = self.search(&task, version, number, nonces) else { continue };
            let Some(claimed) = self.claim(version) else { continue };
            if !self.wait_until(task.job.not_before, claimed) {
                continue;
            }
            let Some(seal) = signer.seal(&task.job, nonce) else { continue };
            if commands.send(Command::Input(Box::new(task.job.clone().sealed(seal)))).is_err() {
                return;
            }
        }
    }

    /// What the thread with a number searches for, once there is something; none once it is stopped.
    fn take(&self, number: u16) -> Option<Order> {
        let mut slot = self.lock();
        loop {
            if slot.is_stopped {
                return None;
            }
            if let Some(task) = slot.task.as_ref().filter(|_| number < slot.threads) {
                let nonces = task.share(number, slot.threads);
                return Some(Order { task: Arc::clone(task), version: self.version(), nonces });
            }
            slot = self.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The nonce; none if the job is not wanted any more.
    fn search(&self, task: &Task, version: u64, number: u16, nonces: Range<u64>) -> Option<WorkNonce> {
        let found = search_in_slices(self.meter.kernel(), &task.seal_hash, &task.target, nonces, |tried| {
            self.meter.count(number, tried, Instant::now());
            self.version() == version
        });
        found.map(WorkNonce)
    }

    /// Takes the job of a version away from all threads; none if it is not wanted any more, else the
    /// version that says so.
    fn claim(&self, version: u64) -> Option<u64> {
        let mut slot = self.lock();
        (self.version() == version).then(|| self.change(&mut slot, None))
    }

    /// Waits for a time, before which others would hold the block back; false if there was a change
    /// since a version.
    fn wait_until(&self, time: Timestamp, version: u64) -> bool {
        let mut slot = self.lock();
        loop {
            if self.version() != version {
                return false;
            }
            let left = time.saturating_ms_since(now());
            if left == 0 {
                return true;
            }
            let waited = self.wake.wait_timeout(slot, Duration::from_millis(left));
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Puts a task into the slot; returns its version.
    fn change(&self, slot: &mut Slot, task: Option<Arc<Task>>) -> u64 {
        slot.task = task;
        self.version.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whoever acts on it holds the lock; to those who search it only says when to stop.
    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        // Nothing under the lock can panic halfway through a change.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer {
    /// The seal; none if it needs a key and there is none.
    fn seal(&self, job: &SealJob, nonce: WorkNonce) -> Option<Seal> {
        if !job.needs_signature {
            return Some(Seal::Work { nonce });
        }
        let id = block_id(&job.header.seal_hash(), nonce);
        Some(Seal::Permit { nonce, signature: self.key.as_ref()?.sign_seal(&self.identity, &id) })
    }
}

/// The first nonce that reaches the target; none if no nonce does, or `goes_on` says no. It hears after
/// each slice how many nonces were tried since the one before.
pub(crate) fn search_in_slices(
    kernel: Kernel,
    seal_hash: &[u8; 32],
    target: &[u8; 32],
    nonces: Range<u64>,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Option<u64> {
    let mut next = nonces.start;
    while next < nonces.end {
        let end = nonces.end.min(next.saturating_add(SLICE_NONCES));
        let found = search_work_with(kernel, seal_hash, target, next..end);
        let tried_until = found.map_or(end, |nonce| nonce + 1);
        let is_wanted = goes_on(tried_until - next);
        if found.is_some() || !is_wanted {
            return found;
        }
        next = end;
    }
    None
}
