//! How much of the disk cheap blocks beside the chain may take.
//!
//! Whatever is appended to the log stays there, so a bound on the branches that are kept is no bound on
//! the disk. A block that costs its maker about as much work as the tip did needs none: whoever can
//! make such blocks can make the chain grow as fast. Blocks that stand on an old, easy target, or on a
//! target that a branch made easy by its own times, cost next to nothing. They take from an allowance
//! that grows back by the bytes that join the chain, so they take no more of the disk than the chain
//! does, and [`CHEAP_BYTES_MAX`]. Blocks of a branch whose [headers](super::headers) outweigh the tip take
//! nothing from it.

use cairn_core::target::Work;

/// The most bytes of cheap blocks beside the chain, since the start and beyond what joined the chain.
pub const CHEAP_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A block is cheap if so many of its kind have less work than the tip.
const CHEAP_BLOCKS: usize = 4;

/// The bytes that cheap blocks may still take.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: CHEAP_BYTES_MAX }
    }
}

impl Allowance {
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// A block of so many bytes joined the chain.
    pub(super) fn earn(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(count(bytes)).min(CHEAP_BYTES_MAX);
    }

    /// A cheap block takes so many bytes of the disk.
    pub(super) const fn spend(&mut self, cost: u64) {
        self.left = self.left.saturating_sub(cost);
    }

    /// For the tests: as if this much were left.
    #[cfg(test)]
    pub(crate) const fn set_left(&mut self, left: u64) {
        self.left = left;
    }
}

/// What a block of so many bytes takes from the allowance: nothing, where its work is not far below
/// that of the tip.
pub(super) fn cost_of(bytes: usize, work: Work, tip: Work) -> u64 {
    let several = std::iter::repeat_n(work, CHEAP_BLOCKS).fold(Work::ZERO, |sum, work| sum + work);
    if several < tip { count(bytes) } else { 0 }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::target::CompactTarget;

    fn work(bits: u32) -> Work {
        CompactTarget(bits).expand().unwrap().work()
    }

    #[test]
    fn only_a_block_with_less_than_a_quarter_of_the_tips_work_costs() {
        let tip = work(0x1f00_ffff);
        assert_eq!(cost_of(1_000, tip, tip), 0);
        assert_eq!(cost_of(1_000, work(0x1f03_fff0), tip), 0, "a little more than a quarter");
        assert_eq!(cost_of(1_000, work(0x1f05_0000), tip), 1_000, "a fifth");
        assert_eq!(cost_of(1_000, work(0x207f_ffff), tip), 1_000);
    }

    #[test]
    fn the_allowance_is_spent_and_earned_and_never_more_than_its_most() {
        let mut allowance = Allowance::default();
        allowance.spend(CHEAP_BYTES_MAX - 10);
        allowance.earn(5);
        assert_eq!(allowance.left(), 15);
        allowance.spend(16);
        assert_eq!(allowance.left(), 0);
        allowance.earn(usize::MAX);
        assert_eq!(allowance.left(), CHEAP_BYTES_MAX);
    }
}
