//! Sixteen lanes: the registers of 512 bits of AVX-512.

#![allow(unsafe_code, reason = "each use says why it is sound")]

use super::{Lanes, compress};
use crate::block::Blocks;
use crate::constants::FIRST_STATE;
use crate::work::find::find;
use crate::work::fixed::Fixed;
use std::arch::x86_64::*;
use std::ops::Range;

const COUNT: usize = 16;

/// The proof that this processor has AVX-512 F and BW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// None where the processor has no such registers.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        found.then_some(Self(()))
    }

    /// Hashes the first messages of `blocks`, one for each of `out`.
    pub(crate) fn hash_padded(self, blocks: &[Blocks], out: &mut [[u8; 32]]) {
        // SAFETY: `self` is the proof that the processor has AVX-512 F and BW.
        let hashes = unsafe { hash_sixteen(self, blocks) };
        out.copy_from_slice(&hashes[..out.len()]);
    }

    /// See [`find`].
    pub(crate) fn find(self, fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
        // SAFETY: as above.
        unsafe { find_wide(self, fixed, limit, nonces) }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn find_wide(l: Avx512, fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
    find(l, fixed, limit, nonces)
}

#[target_feature(enable = "avx512f,avx512bw")]
fn hash_sixteen(l: Avx512, blocks: &[Blocks]) -> [[u8; 32]; COUNT] {
    let mut state = FIRST_STATE.map(|word| _mm512_set1_epi32(word.cast_signed()));
    for block in blocks {
        compress(l, &mut state, load_words(block));
    }
    let mut hashes = [[0; 32]; COUNT];
    for (i, word) in state.into_iter().enumerate() {
        for (hash, word) in hashes.iter_mut().zip(to_lanes(word)) {
            hash.as_chunks_mut().0[i] = word.to_be_bytes();
        }
    }
    hashes
}

/// Word `i` of every lane in register `i`: a transposition of sixteen rows of sixteen words.
#[target_feature(enable = "avx512f,avx512bw")]
fn load_words(block: &Blocks) -> [__m512i; 16] {
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let rows: [__m512i; 16] = std::array::from_fn(|lane| _mm512_shuffle_epi8(from_bytes(&block[lane]), swap));
    let zero = _mm512_setzero_si512();
    let (mut pairs, mut fours, mut eights, mut words) = ([zero; 16], [zero; 16], [zero; 16], [zero; 16]);
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for i in (0..16).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for i in 0..4 {
        eights[i] = _mm512_shuffle_i32x4::<0x88>(fours[i], fours[i + 4]);
        eights[i + 4] = _mm512_shuffle_i32x4::<0xdd>(fours[i], fours[i + 4]);
        eights[i + 8] = _mm512_shuffle_i32x4::<0x88>(fours[i + 8], fours[i + 12]);
        eights[i + 12] = _mm512_shuffle_i32x4::<0xdd>(fours[i + 8], fours[i + 12]);
    }
    for i in 0..8 {
        words[i] = _mm512_shuffle_i32x4::<0x88>(eights[i], eights[i + 8]);
        words[i + 8] = _mm512_shuffle_i32x4::<0xdd>(eights[i], eights[i + 8]);
    }
    words
}

#[target_feature(enable = "avx512f")]
fn from_bytes(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: both have 64 bytes, and every pattern of bits is a value of a register.
    unsafe { std::mem::transmute::<[u8; 64], __m512i>(*bytes) }
}

#[target_feature(enable = "avx512f")]
fn to_lanes(register: __m512i) -> [u32; COUNT] {
    // SAFETY: both have 64 bytes, and every pattern of bits is sixteen numbers.
    unsafe { std::mem::transmute::<__m512i, [u32; COUNT]>(register) }
}

/// An instruction of AVX-512 in a method of [`Avx512`].
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: there is an `Avx512` only where the processor was asked for AVX-512 F and BW.
        unsafe { $call }
    };
}

/// The immediate operand of the instruction for three words is the truth table of the function.
const XOR: i32 = 0x96;
const CHOOSE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

impl Lanes for Avx512 {
    type Word = __m512i;

    const COUNT: u8 = 16;

    #[inline(always)]
    fn splat(self, number: u32) -> __m512i {
        instruction!(_mm512_set1_epi32(number.cast_signed()))
    }

    #[inline(always)]
    fn count_from(self, first: u32) -> __m512i {
        let steps = instruction!(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
        self.add(self.splat(first), steps)
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        instruction!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        instruction!(_mm512_ternarylogic_epi32::<XOR>(a, b, c))
    }

    #[inline(always)]
    fn choose(self, which: __m512i, one: __m512i, other: __m512i) -> __m512i {
        instruction!(_mm512_ternarylogic_epi32::<CHOOSE>(which, one, other))
    }

    #[inline(always)]
    fn majority(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        instruction!(_mm512_ternarylogic_epi32::<MAJORITY>(a, b, c))
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self, a: __m512i) -> __m512i {
        instruction!(_mm512_ror_epi32::<BITS>(a))
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self, a: __m512i) -> __m512i {
        instruction!(_mm512_srl_epi32(a, _mm_cvtsi32_si128(BITS)))
    }

    #[inline(always)]
    fn swap_bytes(self, a: __m512i) -> __m512i {
        instruction!(_mm512_shuffle_epi8(
            a,
            _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203)
        ))
    }

    #[inline(always)]
    fn at_most(self, a: __m512i, limit: __m512i) -> u32 {
        u32::from(instruction!(_mm512_cmple_epu32_mask(a, limit)))
    }
}
