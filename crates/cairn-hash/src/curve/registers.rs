//! Registers of eight lanes of 64 bits, exchanged with memory.

#![allow(unsafe_code, reason = "each use says why it is sound")]

use std::arch::x86_64::*;

/// How many points, field elements or messages lie side by side.
pub(super) const LANES: usize = 8;

/// A number in each lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn from_lanes(lanes: &[u64; LANES]) -> __m512i {
    // SAFETY: both have 64 bytes, and every pattern of bits is a value of a register.
    unsafe { std::mem::transmute::<[u64; LANES], __m512i>(*lanes) }
}

/// The number in each lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn to_lanes(register: __m512i) -> [u64; LANES] {
    // SAFETY: both have 64 bytes, and every pattern of bits is eight numbers.
    unsafe { std::mem::transmute::<__m512i, [u64; LANES]>(register) }
}

/// The low 32 bits of each lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn to_narrow_lanes(register: __m512i) -> [u32; LANES] {
    // SAFETY: both have 32 bytes, and every pattern of bits is eight numbers.
    unsafe { std::mem::transmute::<__m256i, [u32; LANES]>(_mm512_cvtepi64_epi32(register)) }
}

/// The same number in each lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(number: u64) -> __m512i {
    _mm512_set1_epi64(number.cast_signed())
}

/// Asks for the memory of a value before it is needed.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn prefetch(value: &super::Point) {
    let lines = std::ptr::from_ref(value).cast::<i8>();
    // SAFETY: this reads nothing that the program sees, and both lines are of one value.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(lines);
        _mm_prefetch::<_MM_HINT_T0>(lines.add(64));
    }
}

/// Lane `j` of register `i` becomes lane `i` of register `j`: eight rows of eight words turned into
/// eight columns, or back.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    let [a, b, c, d, e, f, g, h] = rows;
    // Of each pair of rows the even words and the odd words, word by word.
    let (ab_even, ab_odd) = (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let (cd_even, cd_odd) = (_mm512_unpacklo_epi64(c, d), _mm512_unpackhi_epi64(c, d));
    let (ef_even, ef_odd) = (_mm512_unpacklo_epi64(e, f), _mm512_unpackhi_epi64(e, f));
    let (gh_even, gh_odd) = (_mm512_unpacklo_epi64(g, h), _mm512_unpackhi_epi64(g, h));
    let [zero, two, four, six] = transpose_pairs([ab_even, cd_even, ef_even, gh_even]);
    let [one, three, five, seven] = transpose_pairs([ab_odd, cd_odd, ef_odd, gh_odd]);
    [zero, one, two, three, four, five, six, seven]
}

/// The same for four rows of four pairs of lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_pairs([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    /// The first and third pair of one register, then those of the other.
    const EVEN: i32 = 0x88;
    /// The second and fourth.
    const ODD: i32 = 0xdd;
    let (ab_even, ab_odd) = (_mm512_shuffle_i64x2::<EVEN>(a, b), _mm512_shuffle_i64x2::<ODD>(a, b));
    let (cd_even, cd_odd) = (_mm512_shuffle_i64x2::<EVEN>(c, d), _mm512_shuffle_i64x2::<ODD>(c, d));
    [
        _mm512_shuffle_i64x2::<EVEN>(ab_even, cd_even),
        _mm512_shuffle_i64x2::<EVEN>(ab_odd, cd_odd),
        _mm512_shuffle_i64x2::<ODD>(ab_even, cd_even),
        _mm512_shuffle_i64x2::<ODD>(ab_odd, cd_odd),
    ]
}
