//! How much work a block needs: compact targets, targets and work.
//!
//! The compact form is Bitcoin's nBits; a header's is accepted only in its canonical encoding.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::hash::BlockId;
use ruint::aliases::U256;
use std::fmt;
use std::str::FromStr;

/// A target as it stands in a header: 8 bits of length in bytes, 24 bits of leading digits.
///
/// Zero stands for "no work is asked" and occurs only under authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactTarget(pub u32);

/// The largest work hash that a block may have, as a big-endian number.
///
/// # Invariant
///
/// Never zero: a hash of zero cannot be asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(U256);

/// A number of hashes: what a block, or a chain of blocks, has cost on average.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work(U256);

/// Why a compact target stands for no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactTargetError {
    /// The sign bit is set.
    #[error("compact target {found:#010x} is negative")]
    Negative {
        /// The compact target.
        found: u32,
    },
    /// It is 2²⁵⁶ or more.
    #[error("compact target {found:#010x} exceeds 256 bits")]
    Overflow {
        /// The compact target.
        found: u32,
    },
    /// It is zero.
    #[error("compact target {found:#010x} is zero")]
    Zero {
        /// The compact target.
        found: u32,
    },
    /// Its digits are not as far left as they can be.
    #[error("compact target {found:#010x} is written {canonical:#010x}")]
    NotCanonical {
        /// The compact target.
        found: u32,
        /// The one encoding of the same target.
        canonical: u32,
    },
}

impl CompactTarget {
    /// No work is asked: the target under authority.
    pub const NONE: Self = Self(0);

    /// The target it stands for.
    ///
    /// # Errors
    ///
    /// If it is negative, zero, above 256 bits, or not the canonical encoding.
    pub fn expand(self) -> Result<Target, CompactTargetError> {
        let found = self.0;
        let length = found >> 24;
        let digits = found & 0x007f_ffff;
        let value = if length <= 3 {
            U256::from(digits >> (8 * (3 - length)))
        } else {
            let shift = 8 * (length - 3);
            let significant = 32 - digits.leading_zeros();
            if digits != 0 && significant + shift > 256 {
                return Err(CompactTargetError::Overflow { found });
            }
            if digits == 0 {
                U256::ZERO
            } else {
                U256::from(digits) << usize::try_from(shift).expect("at most 2016")
            }
        };
        if value.is_zero() {
            return Err(CompactTargetError::Zero { found });
        }
        if found & 0x0080_0000 != 0 {
            return Err(CompactTargetError::Negative { found });
        }
        let target = Target(value);
        let canonical = target.to_compact();
        if canonical != self {
            return Err(CompactTargetError::NotCanonical { found, canonical: canonical.0 });
        }
        Ok(target)
    }
}

impl Target {
    /// The easiest target: every hash is low enough.
    pub const MAX: Self = Self(U256::MAX);

    /// A target from its value; none for zero.
    pub fn from_value(value: U256) -> Option<Self> {
        (!value.is_zero()).then_some(Self(value))
    }

    /// A target from 32 big-endian bytes; none for zero.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Option<Self> {
        Self::from_value(U256::from_be_bytes(bytes))
    }

    /// The 32 big-endian bytes.
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The value.
    pub const fn value(self) -> U256 {
        self.0
    }

    /// The compact form, which drops all but the first 15 to 23 bits.
    pub fn to_compact(self) -> CompactTarget {
        let mut length = self.0.bit_len().div_ceil(8);
        let mut digits = if length <= 3 {
            self.0.to::<u32>() << (8 * (3 - length))
        } else {
            (self.0 >> (8 * (length - 3))).to::<u32>()
        };
        // The highest bit is the sign, so a digit that would set it moves one byte to the right.
        if digits & 0x0080_0000 != 0 {
            digits >>= 8;
            length += 1;
        }
        CompactTarget(u32::try_from(length).expect("at most 33") << 24 | digits)
    }

    /// The target nearest below that a compact form can say.
    #[must_use]
    pub fn rounded(self) -> Self {
        self.to_compact().expand().expect("the compact form of a target is canonical")
    }

    /// Whether `id`, as a big-endian number, is low enough.
    pub fn is_met_by(self, id: &BlockId) -> bool {
        U256::from_be_bytes(id.0) <= self.0
    }

    /// The hashes it takes on average to meet the target: ⌊2²⁵⁶ / (target + 1)⌋.
    pub fn work(self) -> Work {
        // 2²⁵⁶ does not fit, but 2²⁵⁶ / (t + 1) = (2²⁵⁶ − t − 1) / (t + 1) + 1 = !t / (t + 1) + 1.
        match self.0.checked_add(U256::ONE) {
            Some(divisor) => Work(!self.0 / divisor + U256::ONE),
            None => Work(U256::ONE),
        }
    }
}

impl Work {
    /// No work.
    pub const ZERO: Self = Self(U256::ZERO);

    /// So many hashes.
    pub const fn from_value(value: U256) -> Self {
        Self(value)
    }

    /// The number of hashes.
    pub const fn value(self) -> U256 {
        self.0
    }

    /// The number of hashes as a big-endian number of 32 bytes.
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The number of hashes from a big-endian number of 32 bytes.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// The sum, unless it exceeds 2²⁵⁶ − 1 hashes.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Whether `self` exceeds `other` by more than half of `margin`.
    pub fn exceeds_by_half_of(self, other: Self, margin: Self) -> bool {
        match self.0.checked_sub(other.0) {
            // 2·d > m ⟺ d > ⌊m / 2⌋ for whole numbers.
            Some(difference) => difference > margin.0 >> 1,
            None => false,
        }
    }
}

impl std::ops::Add for Work {
    type Output = Self;

    /// The work of two chains that exist.
    ///
    /// # Panics
    ///
    /// Above 2²⁵⁶ − 1 hashes, which nobody can have computed.
    fn add(self, other: Self) -> Self {
        self.checked_add(other).expect("no chain holds 2^256 hashes of work")
    }
}

impl fmt::Display for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.to_be_bytes()))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({self})")
    }
}

/// The text is no number of hashes: decimal digits, below 2²⁵⁶.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number of hashes is written in decimal digits and is below 2^256")]
pub struct WorkError;

impl FromStr for Work {
    type Err = WorkError;

    /// The reverse of `Display`.
    fn from_str(text: &str) -> Result<Self, WorkError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WorkError);
        }
        U256::from_str_radix(text, 10).map(Self).map_err(|_| WorkError)
    }
}

impl Encode for CompactTarget {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for CompactTarget {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        u32::decode(reader).map(Self)
    }
}

impl Encode for Work {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes::<32>());
    }
}

impl Decode for Work {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array::<32>().map(|bytes| Self(U256::from_le_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NBITS: &str = include_str!("../../../docs/spec/vectors/external/difficulty/bitcoin_nbits.json");

    #[test]
    fn target_nbits_agree_with_bitcoin() {
        let vectors: serde_json::Value = serde_json::from_str(NBITS).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 20);
        for case in cases {
            let bits = u32::from_str_radix(case["bits"].as_str().unwrap(), 16).unwrap();
            let expanded = CompactTarget(bits).expand();
            assert_eq!(expanded.is_ok(), case["valid_pow_target"].as_bool().unwrap(), "{bits:08x}");
            if let Ok(target) = expanded {
                assert_eq!(target.to_string(), case["target"].as_str().unwrap());
            }
        }
    }

    #[test]
    fn work_is_written_in_decimal_digits() {
        for work in [Work::ZERO, Work(U256::from(4_294_967_296_u64)), Work(U256::MAX)] {
            assert_eq!(work.to_string().parse(), Ok(work));
            assert_eq!(Work::from_be_bytes(work.to_be_bytes()), work);
        }
        let too_much = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        for text in ["", "-1", "+1", "0x10", "1e6", " 1", "1_000", too_much] {
            assert_eq!(text.parse::<Work>(), Err(WorkError), "{text}");
        }
    }

    #[test]
    fn work_is_the_expected_number_of_hashes() {
        assert_eq!(Target::MAX.work(), Work(U256::ONE));
        assert_eq!(Target(U256::ONE).work(), Work(U256::ONE << 255));
        assert_eq!(Target(U256::MAX >> 8).work(), Work(U256::from(256)));
    }

    #[test]
    fn a_chain_must_exceed_the_tip_by_more_than_half_its_work() {
        let work = |n: u64| Work(U256::from(n));
        assert!(!work(105).exceeds_by_half_of(work(100), work(10)));
        assert!(work(106).exceeds_by_half_of(work(100), work(10)));
        assert!(!work(105).exceeds_by_half_of(work(100), work(11)));
        assert!(work(106).exceeds_by_half_of(work(100), work(11)));
        assert!(!work(99).exceeds_by_half_of(work(100), work(0)));
    }

    proptest::proptest! {
        #[test]
        fn every_canonical_compact_target_comes_back(bits: u32) {
            if let Ok(target) = CompactTarget(bits).expand() {
                proptest::prop_assert_eq!(target.to_compact(), CompactTarget(bits));
            }
        }
    }
}
