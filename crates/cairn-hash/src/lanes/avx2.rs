//! Eight lanes: the registers of 256 bits of AVX2.

#![allow(unsafe_code, reason = "each use says why it is sound")]

use super::{Lanes, compress};
use crate::block::{BLOCK_BYTES, Blocks};
use crate::constants::FIRST_STATE;
use crate::work::find::find;
use crate::work::fixed::Fixed;
use std::arch::x86_64::*;
use std::ops::Range;

const COUNT: usize = 8;

/// The proof that this processor has AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// None where the processor has no such registers.
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Hashes the first messages of `blocks`, one for each of `out`.
    pub(crate) fn hash_padded(self, blocks: &[Blocks], out: &mut [[u8; 32]]) {
        for (index, out) in out.chunks_mut(COUNT).enumerate() {
            // SAFETY: `self` is the proof that the processor has AVX2.
            let hashes = unsafe { hash_eight(self, blocks, index) };
            out.copy_from_slice(&hashes[..out.len()]);
        }
    }

    /// See [`find`].
    pub(crate) fn find(self, fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
        // SAFETY: as above.
        unsafe { find_wide(self, fixed, limit, nonces) }
    }
}

#[target_feature(enable = "avx2")]
fn find_wide(l: Avx2, fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
    find(l, fixed, limit, nonces)
}

/// Hashes the first or the second eight messages.
#[target_feature(enable = "avx2")]
fn hash_eight(l: Avx2, blocks: &[Blocks], half: usize) -> [[u8; 32]; COUNT] {
    let mut state = FIRST_STATE.map(|word| _mm256_set1_epi32(word.cast_signed()));
    for block in blocks {
        compress(l, &mut state, load_words(&block.as_chunks().0[half]));
    }
    let mut hashes = [[0; 32]; COUNT];
    for (i, word) in state.into_iter().enumerate() {
        for (hash, word) in hashes.iter_mut().zip(to_lanes(word)) {
            hash.as_chunks_mut().0[i] = word.to_be_bytes();
        }
    }
    hashes
}

/// Word `i` of every lane in register `i`: two transpositions of eight rows of eight words.
#[target_feature(enable = "avx2")]
fn load_words(block: &[[u8; BLOCK_BYTES]; COUNT]) -> [__m256i; 16] {
    let first = transpose(std::array::from_fn(|lane| from_bytes(&block[lane].as_chunks().0[0])));
    let last = transpose(std::array::from_fn(|lane| from_bytes(&block[lane].as_chunks().0[1])));
    std::array::from_fn(|i| if i < 8 { first[i] } else { last[i - 8] })
}

#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let zero = _mm256_setzero_si256();
    let (mut pairs, mut fours, mut columns) = ([zero; 8], [zero; 8], [zero; 8]);
    for i in (0..8).step_by(2) {
        pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for i in (0..8).step_by(4) {
        fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for i in 0..4 {
        columns[i] = _mm256_permute2x128_si256::<0x20>(fours[i], fours[i + 4]);
        columns[i + 4] = _mm256_permute2x128_si256::<0x31>(fours[i], fours[i + 4]);
    }
    columns
}

/// Eight words of a message.
#[target_feature(enable = "avx2")]
fn from_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: both have 32 bytes, and every pattern of bits is a value of a register.
    swap_bytes(unsafe { std::mem::transmute::<[u8; 32], __m256i>(*bytes) })
}

#[target_feature(enable = "avx2")]
fn to_lanes(register: __m256i) -> [u32; COUNT] {
    // SAFETY: both have 32 bytes, and every pattern of bits is eight numbers.
    unsafe { std::mem::transmute::<__m256i, [u32; COUNT]>(register) }
}

/// An instruction of AVX2 in a method of [`Avx2`].
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: there is an `Avx2` only where the processor was asked for AVX2.
        unsafe { $call }
    };
}

impl Lanes for Avx2 {
    type Word = __m256i;

    const COUNT: u8 = 8;

    #[inline(always)]
    fn splat(self, number: u32) -> __m256i {
        instruction!(_mm256_set1_epi32(number.cast_signed()))
    }

    #[inline(always)]
    fn count_from(self, first: u32) -> __m256i {
        let steps = instruction!(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        self.add(self.splat(first), steps)
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        instruction!(_mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        instruction!(_mm256_xor_si256(a, _mm256_xor_si256(b, c)))
    }

    #[inline(always)]
    fn choose(self, which: __m256i, one: __m256i, other: __m256i) -> __m256i {
        instruction!(_mm256_xor_si256(other, _mm256_and_si256(which, _mm256_xor_si256(one, other))))
    }

    /// `b ⊕ c` is the `a ⊕ b` of the round before: the compiler computes it once.
    #[inline(always)]
    fn majority(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        instruction!(_mm256_xor_si256(b, _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(b, c))))
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self, a: __m256i) -> __m256i {
        let up = instruction!(_mm256_sll_epi32(a, _mm_cvtsi32_si128(32 - BITS)));
        instruction!(_mm256_or_si256(self.shift_right::<BITS>(a), up))
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self, a: __m256i) -> __m256i {
        instruction!(_mm256_srl_epi32(a, _mm_cvtsi32_si128(BITS)))
    }

    #[inline(always)]
    fn swap_bytes(self, a: __m256i) -> __m256i {
        instruction!(swap_bytes(a))
    }

    #[inline(always)]
    fn at_most(self, a: __m256i, limit: __m256i) -> u32 {
        let is_most = instruction!(_mm256_cmpeq_epi32(_mm256_max_epu32(a, limit), limit));
        instruction!(_mm256_movemask_ps(_mm256_castsi256_ps(is_most))).cast_unsigned()
    }
}

#[target_feature(enable = "avx2")]
fn swap_bytes(words: __m256i) -> __m256i {
    let swap = _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    _mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(swap))
}
