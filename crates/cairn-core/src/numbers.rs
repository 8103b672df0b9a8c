//! The numbers of the protocol, each with its own type.
//!
//! A height is never added to a time, and no arithmetic wraps: what can overflow returns an option.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use std::fmt;

/// A number of base units, the smallest units of the coin; genesis says how many make one coin.
///
/// There is no `+` and no `-`: amounts come from strangers, so each sum says what happens when it
/// does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

impl Amount {
    /// No units.
    pub const ZERO: Self = Self(0);
    /// The largest amount that can be written, 2⁶⁴ − 1 base units.
    pub const MAX: Self = Self(u64::MAX);

    /// An amount of so many base units.
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// The number of base units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, unless it exceeds [`Amount::MAX`].
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The difference, unless it is negative.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The sum, or [`Amount::MAX`] where it does not fit. For estimates shown to people only.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The sum of all `amounts`, unless it exceeds [`Amount::MAX`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

/// Declares a number that is a `u64` (or narrower) with a meaning.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($integer:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $integer);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                <$integer>::decode(reader).map(Self)
            }
        }
    )*};
}

numbers! {
    /// The number of blocks below a block: block 0 is genesis.
    Height(u64);
    /// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    Timestamp(u64);
    /// How many transactions an account has sent; a transaction carries the next one.
    Nonce(u64);
    /// The number a miner varies until the work hash is low enough.
    WorkNonce(u64);
    /// What a transaction costs the network: bytes, verification and extra transfers.
    Weight(u64);
    /// Base units paid for one unit of weight.
    FeeRate(u64);
}

impl fmt::Display for Amount {
    /// Writes the number of base units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Encode for Amount {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for Amount {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        u64::decode(reader).map(Self)
    }
}

impl Height {
    /// The height of block 0.
    pub const GENESIS: Self = Self(0);

    /// The height of a child.
    ///
    /// # Panics
    ///
    /// At 2⁶⁴ − 1 blocks, which one block a millisecond does not reach in 500 million years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("no chain has 2^64 blocks"))
    }

    /// The height of the parent; none for genesis.
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(height) => Some(Self(height)),
            None => None,
        }
    }
}

impl Timestamp {
    /// The time `milliseconds` later, at most the largest time.
    #[must_use]
    pub const fn saturating_add_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to `self`, 0 if `earlier` is later.
    pub const fn saturating_ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Nonce {
    /// The nonce after this one; none at the last.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(nonce) => Some(Self(nonce)),
            None => None,
        }
    }
}

impl Weight {
    /// The fee at `rate`, unless it exceeds [`Amount::MAX`].
    pub const fn checked_fee(self, rate: FeeRate) -> Option<Amount> {
        match self.0.checked_mul(rate.0) {
            Some(units) => Some(Amount(units)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_do_not_fit_are_none() {
        assert_eq!(Amount::MAX.checked_add(Amount::from_units(1)), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount::from_units(1)), None);
        assert_eq!(Amount::checked_sum([Amount::MAX, Amount::ZERO]), Some(Amount::MAX));
        assert_eq!(Amount::checked_sum([Amount::MAX, Amount::from_units(1)]), None);
        assert_eq!(Weight(u64::MAX).checked_fee(FeeRate(2)), None);
        assert_eq!(Nonce(u64::MAX).next(), None);
        assert_eq!(Height::GENESIS.previous(), None);
    }
}
