//! One lane in plain Rust, for every processor.

use super::Lanes;

/// One message, in numbers of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar;

impl Lanes for Scalar {
    type Word = u32;

    const COUNT: u8 = 1;

    #[inline(always)]
    fn splat(self, number: u32) -> u32 {
        number
    }

    #[inline(always)]
    fn count_from(self, first: u32) -> u32 {
        first
    }

    #[inline(always)]
    fn add(self, a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    #[inline(always)]
    fn xor(self, a: u32, b: u32, c: u32) -> u32 {
        a ^ b ^ c
    }

    #[inline(always)]
    fn choose(self, which: u32, one: u32, other: u32) -> u32 {
        other ^ (which & (one ^ other))
    }

    #[inline(always)]
    fn majority(self, a: u32, b: u32, c: u32) -> u32 {
        b ^ ((a ^ b) & (b ^ c))
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self, a: u32) -> u32 {
        a.rotate_right(BITS.unsigned_abs())
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self, a: u32) -> u32 {
        a >> BITS
    }

    #[inline(always)]
    fn swap_bytes(self, a: u32) -> u32 {
        a.swap_bytes()
    }

    #[inline(always)]
    fn at_most(self, a: u32, limit: u32) -> u32 {
        u32::from(a <= limit)
    }
}
