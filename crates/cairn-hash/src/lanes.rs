//! SHA-256 of several messages side by side, one in each lane of a word.
//!
//! [`Lanes`] is what a processor offers: a word of 32 bits of each message, and what SHA-256 does
//! with words. Everything above it is written once, for one lane of plain Rust ([`Scalar`]), for the
//! eight lanes of AVX2 and the sixteen of AVX-512. A value of a type with `Lanes` is the proof that
//! the processor has these registers, so that none of this is `unsafe` to call.
//!
//! The functions here are inlined into one that enables the instructions; without that they are
//! right, but slow. That is why none of them takes a closure.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod scalar;

pub(crate) use scalar::Scalar;

use crate::constants::K;

/// A word of each of several messages, and what SHA-256 does with words (FIPS 180-4 §4.1.2).
pub(crate) trait Lanes: Copy {
    /// A number of 32 bits in each lane.
    type Word: Copy;

    /// How many messages lie side by side; at most 32.
    const COUNT: u8;

    /// The same number in each lane.
    fn splat(self, number: u32) -> Self::Word;
    /// `first` in the first lane, and one more in each lane that follows; wraps.
    fn count_from(self, first: u32) -> Self::Word;
    /// The sum modulo 2³².
    fn add(self, a: Self::Word, b: Self::Word) -> Self::Word;
    fn xor(self, a: Self::Word, b: Self::Word, c: Self::Word) -> Self::Word;
    /// The bits of `one` where those of `which` are set, and of `other` where they are not: Ch.
    fn choose(self, which: Self::Word, one: Self::Word, other: Self::Word) -> Self::Word;
    /// The bits that two of three have at least: Maj.
    fn majority(self, a: Self::Word, b: Self::Word, c: Self::Word) -> Self::Word;
    fn rotate_right<const BITS: i32>(self, a: Self::Word) -> Self::Word;
    fn shift_right<const BITS: i32>(self, a: Self::Word) -> Self::Word;
    /// The bytes of each lane in the opposite order.
    fn swap_bytes(self, a: Self::Word) -> Self::Word;
    /// In which lanes `a` is at most `limit`, without signs; the first lane is the lowest bit.
    fn at_most(self, a: Self::Word, limit: Self::Word) -> u32;
}

/// Does something sixty-four times with a number that is a constant each time.
macro_rules! sixty_four_times {
    ($step:ident) => {{
        crate::lanes::sixteen_times!($step, 0);
        crate::lanes::sixteen_times!($step, 16);
        crate::lanes::sixteen_times!($step, 32);
        crate::lanes::sixteen_times!($step, 48);
    }};
}

/// The same for sixteen numbers from `$from` on.
macro_rules! sixteen_times {
    ($step:ident, $from:literal) => {{
        $step!($from);
        $step!($from + 1);
        $step!($from + 2);
        $step!($from + 3);
        $step!($from + 4);
        $step!($from + 5);
        $step!($from + 6);
        $step!($from + 7);
        $step!($from + 8);
        $step!($from + 9);
        $step!($from + 10);
        $step!($from + 11);
        $step!($from + 12);
        $step!($from + 13);
        $step!($from + 14);
        $step!($from + 15);
    }};
}

pub(crate) use {sixteen_times, sixty_four_times};

/// One compression of each lane (FIPS 180-4 §6.2.2): `words` are those of one block.
#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only wide registers use it"))]
pub(crate) fn compress<L: Lanes>(l: L, state: &mut [L::Word; 8], mut words: [L::Word; 16]) {
    let mut sums = *state;
    macro_rules! step {
        ($t:expr) => {{
            let t: usize = $t;
            if t >= 16 {
                let before = l.add(words[t % 16], small_sigma0(l, words[(t + 1) % 16]));
                let after = l.add(words[(t + 9) % 16], small_sigma1(l, words[(t + 14) % 16]));
                words[t % 16] = l.add(before, after);
            }
            sums = round(l, sums, l.add(words[t % 16], l.splat(K[t])));
        }};
    }
    sixty_four_times!(step);
    // A loop of fixed length, which the compiler unrolls.
    for i in 0..8 {
        state[i] = l.add(state[i], sums[i]);
    }
}

/// One round, given the sum of its constant and its word of the message.
#[inline(always)]
pub(crate) fn round<L: Lanes>(
    l: L,
    [a, b, c, d, e, f, g, h]: [L::Word; 8],
    constant_and_word: L::Word,
) -> [L::Word; 8] {
    let known_early = l.add(l.add(h, constant_and_word), l.choose(e, f, g));
    let t1 = l.add(known_early, big_sigma1(l, e));
    let t2 = l.add(big_sigma0(l, a), l.majority(a, b, c));
    [l.add(t1, t2), a, b, c, l.add(d, t1), e, f, g]
}

#[inline(always)]
fn big_sigma0<L: Lanes>(l: L, x: L::Word) -> L::Word {
    l.xor(l.rotate_right::<2>(x), l.rotate_right::<13>(x), l.rotate_right::<22>(x))
}

#[inline(always)]
fn big_sigma1<L: Lanes>(l: L, x: L::Word) -> L::Word {
    l.xor(l.rotate_right::<6>(x), l.rotate_right::<11>(x), l.rotate_right::<25>(x))
}

#[inline(always)]
pub(crate) fn small_sigma0<L: Lanes>(l: L, x: L::Word) -> L::Word {
    l.xor(l.rotate_right::<7>(x), l.rotate_right::<18>(x), l.shift_right::<3>(x))
}

#[inline(always)]
pub(crate) fn small_sigma1<L: Lanes>(l: L, x: L::Word) -> L::Word {
    l.xor(l.rotate_right::<17>(x), l.rotate_right::<19>(x), l.shift_right::<10>(x))
}
