//! The coins that blocks bring: a function of height alone.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::numbers::{Amount, Height};

/// The reward schedule of genesis.
///
/// Block `h ≥ 1` brings `max(initial >> ((h − 1) / halving_every), tail)` base units, as long as
/// all blocks together stay within the cap; the block that reaches the cap brings the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issuance {
    /// The reward of block 1.
    pub initial: Amount,
    /// After how many blocks the reward halves; 0 for never.
    pub halving_every: u64,
    /// What the reward never falls below.
    pub tail: Amount,
    /// The most that all blocks together bring; 0 for no cap of its own.
    pub cap: Amount,
}

impl Issuance {
    /// The reward of the block at `height`; nothing for block 0.
    pub fn reward(&self, height: Height) -> Amount {
        let Some(previous) = height.previous() else {
            return Amount::ZERO;
        };
        let before = self.issued(previous);
        self.issued(height).checked_sub(before).expect("issuance never falls")
    }

    /// What the blocks 1 to `height` bring together.
    pub fn issued(&self, height: Height) -> Amount {
        let cap = if self.cap == Amount::ZERO { u64::MAX } else { self.cap.units() };
        let total = self.issued_without_cap(height.0).min(u128::from(cap));
        Amount::from_units(u64::try_from(total).expect("the cap fits"))
    }

    /// The sum of the schedule, era by era; saturates far above any cap.
    fn issued_without_cap(&self, blocks: u64) -> u128 {
        let mut left = blocks;
        let mut reward = self.initial.units().max(self.tail.units());
        let mut total: u128 = 0;
        let mut era: u32 = 0;
        while left > 0 && reward > 0 {
            let last_era = self.halving_every == 0 || reward <= self.tail.units();
            let span = if last_era { left } else { left.min(self.halving_every) };
            total = total.saturating_add(u128::from(span) * u128::from(reward));
            left -= span;
            era += 1;
            reward = self.initial.units().checked_shr(era).unwrap_or(0).max(self.tail.units());
        }
        total
    }
}

impl Encode for Issuance {
    fn encode(&self, out: &mut Vec<u8>) {
        self.initial.encode(out);
        self.halving_every.encode(out);
        self.tail.encode(out);
        self.cap.encode(out);
    }
}

impl Decode for Issuance {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            initial: Amount::decode(reader)?,
            halving_every: u64::decode(reader)?,
            tail: Amount::decode(reader)?,
            cap: Amount::decode(reader)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(initial: u64, halving_every: u64, tail: u64, cap: u64) -> Issuance {
        let units = Amount::from_units;
        Issuance { initial: units(initial), halving_every, tail: units(tail), cap: units(cap) }
    }

    #[test]
    fn the_closed_sum_is_the_sum_of_the_rewards() {
        for rule in [
            schedule(100, 0, 0, 0),
            schedule(100, 7, 0, 0),
            schedule(100, 7, 9, 0),
            schedule(3, 2, 9, 0),
            schedule(100, 7, 3, 1234),
            schedule(0, 0, 0, 0),
            schedule(100, 1, 0, 150),
        ] {
            let mut sum = 0;
            for height in 0..200u64 {
                let reward = rule.reward(Height(height)).units();
                sum += reward;
                assert_eq!(rule.issued(Height(height)).units(), sum, "{rule:?} at {height}");
                let era = height.saturating_sub(1).checked_div(rule.halving_every).unwrap_or(0);
                let plain = (rule.initial.units() >> era.min(63)).max(rule.tail.units());
                if height > 0 && (rule.cap == Amount::ZERO || sum < rule.cap.units()) {
                    assert_eq!(reward, plain, "{rule:?} at {height}");
                }
            }
        }
    }

    #[test]
    fn the_last_height_is_reached_without_overflow() {
        assert_eq!(schedule(u64::MAX, 0, 0, 0).issued(Height(u64::MAX)), Amount::MAX);
        assert_eq!(schedule(50, 210_000, 0, 21_000_000).reward(Height(u64::MAX)), Amount::ZERO);
    }
}
