//! What the threads search for: one job, and who tries which nonces.

use cairn_core::target::CompactTargetError;
use cairn_node::producer::SealJob;
use std::ops::Range;

/// A job with all that a search needs.
#[derive(Debug)]
pub(super) struct Task {
    /// The job, with the random filler that it asks for.
    pub(super) job: SealJob,
    /// What the nonce is hashed with.
    pub(super) seal_hash: [u8; 32],
    /// What the work hash may be at most, as a big-endian number.
    pub(super) target: [u8; 32],
    /// Where in its share each thread begins: two nodes that are paid at one address may seal the same
    /// header.
    offset: u64,
}

impl Task {
    /// Draws what is to be drawn.
    ///
    /// # Errors
    ///
    /// If the header's target is no number.
    pub(super) fn new(job: SealJob) -> Result<Self, CompactTargetError> {
        let target = job.header.target.expand()?.to_be_bytes();
        let job = fill_placeholder(job);
        let seal_hash = job.header.seal_hash().0;
        Ok(Self { job, seal_hash, target, offset: draw_offset() })
    }

    /// The same task with another beginning: what was tried is hardly tried again.
    pub(super) fn elsewhere(&self) -> Self {
        let Self { job, seal_hash, target, offset: _ } = self;
        Self { job: job.clone(), seal_hash: *seal_hash, target: *target, offset: draw_offset() }
    }

    /// The nonces of the thread with a number below `threads`. No two threads have one in common, and
    /// at least half of an equal share is left to each: with 256 threads, years of search.
    pub(super) fn share(&self, number: u16, threads: u16) -> Range<u64> {
        let length = u64::MAX / u64::from(threads.max(1));
        let start = length * u64::from(number);
        start + self.offset % (length / 2)..start + length
    }
}

fn draw_offset() -> u64 {
    getrandom::u64().expect("the operating system gave randomness at start")
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
