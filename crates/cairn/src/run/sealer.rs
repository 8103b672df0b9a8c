//! The threads that search for work, and sign where the network lists its miners.
//!
//! They rest until there is a job. The search goes in slices of about a millisecond, so that a newer
//! job takes the place of an older one at once. The key is here and nowhere else in the node.

use super::Command;
use super::worker::now;
use cairn_core::block::{Header, Seal, block_id};
use cairn_core::hash::BlockId;
use cairn_core::numbers::WorkNonce;
use cairn_core::target::Target;
use cairn_node::producer::SealJob;
use cairn_wallet::SigningKey;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a slice of the search is to take.
const SLICE_TIME: Duration = Duration::from_millis(1);
/// The fewest and the most nonces of a slice.
const SLICE_NONCES: std::ops::RangeInclusive<u64> = 256..=1 << 20;

/// The job that is wanted; shared by the node thread and the threads that search.
#[derive(Debug, Default)]
pub(super) struct SealerDesk {
    slot: Mutex<Slot>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    job: Option<SealJob>,
    /// Goes up with each change of the job.
    version: u64,
    stopped: bool,
}

impl SealerDesk {
    /// Wants a seal for this job and no other, or for none.
    pub(super) fn put(&self, job: Option<SealJob>) {
        let mut slot = self.lock();
        slot.job = job;
        slot.version += 1;
        drop(slot);
        self.wake.notify_all();
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.put(None);
    }

    /// Searches until it is stopped.
    pub(super) fn run(&self, identity: &BlockId, key: Option<&SigningKey>, commands: &SyncSender<Command>) {
        let mut slice = *SLICE_NONCES.start();
        while let Some((job, version)) = self.take() {
            let job = fill_placeholder(job);
            let Ok(target) = job.header.target.expand() else { continue };
            let Some(nonce) = self.search(&job.header, target, version, &mut slice) else { continue };
            if !self.wait_until_wanted(&job, version) {
                continue;
            }
            let Some(seal) = seal(&job, nonce, identity, key) else {
                tracing::error!("the network lists its miners, and this node was given no key");
                self.withdraw(version);
                continue;
            };
            if !self.withdraw(version) {
                continue;
            }
            if commands.send(Command::Input(Box::new(job.sealed(seal)))).is_err() {
                return;
            }
        }
    }

    /// The job, once there is one; none once it is stopped.
    fn take(&self) -> Option<(SealJob, u64)> {
        let mut slot = self.lock();
        loop {
            if slot.stopped {
                return None;
            }
            if let Some(job) = &slot.job {
                return Some((job.clone(), slot.version));
            }
            slot = self.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the job of a version away; false if it is not wanted any more.
    fn withdraw(&self, version: u64) -> bool {
        let mut slot = self.lock();
        let is_wanted = slot.version == version && slot.job.is_some();
        if is_wanted {
            slot.job = None;
        }
        is_wanted
    }

    /// Waits until others will not hold the block back; false if it is not wanted any more.
    fn wait_until_wanted(&self, job: &SealJob, version: u64) -> bool {
        let mut slot = self.lock();
        loop {
            if slot.version != version || slot.job.is_none() {
                return false;
            }
            let left = job.not_before.saturating_ms_since(now());
            if left == 0 {
                return true;
            }
            let waited = self.wake.wait_timeout(slot, Duration::from_millis(left));
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The nonce; none if the job is not wanted any more.
    fn search(&self, header: &Header, target: Target, version: u64, slice: &mut u64) -> Option<WorkNonce> {
        let seal_hash = header.seal_hash().0;
        let target = target.to_be_bytes();
        // Half of the nonces lie above any start: nobody comes to their end.
        let mut next = random_nonce() >> 1;
        loop {
            let started = Instant::now();
            let end = next.checked_add(*slice)?;
            if let Some(nonce) = cairn_hash::search_work(&seal_hash, &target, next..end) {
                return Some(WorkNonce(nonce));
            }
            next = end;
            let elapsed = started.elapsed();
            if elapsed < SLICE_TIME / 2 {
                *slice = (*slice * 2).min(*SLICE_NONCES.end());
            } else if elapsed > SLICE_TIME * 2 {
                *slice = (*slice / 2).max(*SLICE_NONCES.start());
            }
            if self.lock().version != version {
                return None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        // Nothing under the lock can panic halfway through a change.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The job with the random filler that it asks for.
fn fill_placeholder(job: SealJob) -> SealJob {
    match job.placeholder_bytes {
        Some(count) if count > 0 => {
            let mut filler = vec![0; count];
            getrandom::fill(&mut filler).expect("the operating system gave randomness at start");
            job.with_extra(filler)
        }
        _ => job,
    }
}

/// The seal; none if it needs a key and there is none.
fn seal(job: &SealJob, nonce: WorkNonce, identity: &BlockId, key: Option<&SigningKey>) -> Option<Seal> {
    if !job.needs_signature {
        return Some(Seal::Work { nonce });
    }
    let id = block_id(&job.header.seal_hash(), nonce);
    Some(Seal::Permit { nonce, signature: key?.sign_seal(identity, &id) })
}

fn random_nonce() -> u64 {
    getrandom::u64().expect("the operating system gave randomness at start")
}
