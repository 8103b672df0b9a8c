//! SHA-256 of sixteen messages side by side, one in each lane of the 512-bit registers of AVX-512.
//!
//! The only `unsafe` code of Cairn: the call of a function that needs these registers, after the
//! processor was asked for them, and the exchange of registers with bytes. Everything here equals
//! the portable code on every message; the tests of [`many`](crate::many) compare the two.

#![allow(unsafe_code, reason = "each use says why it is sound")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use crate::block::BLOCK_BYTES;

/// How many messages are hashed at once.
pub(crate) const LANES: usize = 16;

/// A block of each of sixteen messages.
pub(crate) type Blocks = [[u8; BLOCK_BYTES]; LANES];

/// Whether this processor hashes sixteen messages at once.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512bw")
}

/// Whether this processor hashes sixteen messages at once: only x86-64 may.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn is_available() -> bool {
    false
}

/// Hashes sixteen padded messages, given block by block.
///
/// # Panics
///
/// If the processor cannot: [`is_available`] tells.
pub(crate) fn hash_padded(blocks: &[Blocks]) -> [[u8; 32]; LANES] {
    assert!(is_available(), "the caller asks first");
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the processor has AVX-512 F and BW, as was just asserted.
    unsafe {
        hash_with_avx512(blocks)
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("not available, as was just asserted: {blocks:?}")
}

/// The round constants (FIPS 180-4 §4.2.2).
#[cfg(target_arch = "x86_64")]
const K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// [`hash_padded`] in registers of AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn hash_with_avx512(blocks: &[Blocks]) -> [[u8; 32]; LANES] {
    let mut state = crate::block::FIRST_STATE.map(|word| _mm512_set1_epi32(word.cast_signed()));
    for block in blocks {
        compress(&mut state, load_words(block));
    }
    let words = state.map(|word| to_lanes(word));
    std::array::from_fn(|lane| {
        let mut hash = [0; 32];
        for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(&words) {
            *bytes = word[lane].to_be_bytes();
        }
        hash
    })
}

/// One compression of each lane (FIPS 180-4 §6.2.2).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn compress(state: &mut [__m512i; 8], mut w: [__m512i; 16]) {
    // The immediate operand of the ternary logic instruction is the truth table of the function.
    const XOR: i32 = 0x96;
    const CHOOSE: i32 = 0xca;
    const MAJORITY: i32 = 0xe8;
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    macro_rules! round {
        ($i:expr) => {{
            if $i >= 16 {
                let x = w[($i + 1) % 16];
                let y = w[($i + 14) % 16];
                let s0 = _mm512_ternarylogic_epi32::<XOR>(
                    _mm512_ror_epi32::<7>(x),
                    _mm512_ror_epi32::<18>(x),
                    _mm512_srli_epi32::<3>(x),
                );
                let s1 = _mm512_ternarylogic_epi32::<XOR>(
                    _mm512_ror_epi32::<17>(y),
                    _mm512_ror_epi32::<19>(y),
                    _mm512_srli_epi32::<10>(y),
                );
                w[$i % 16] = _mm512_add_epi32(
                    _mm512_add_epi32(w[$i % 16], s0),
                    _mm512_add_epi32(w[($i + 9) % 16], s1),
                );
            }
            let sum1 = _mm512_ternarylogic_epi32::<XOR>(
                _mm512_ror_epi32::<6>(e),
                _mm512_ror_epi32::<11>(e),
                _mm512_ror_epi32::<25>(e),
            );
            let choice = _mm512_ternarylogic_epi32::<CHOOSE>(e, f, g);
            let t1 = _mm512_add_epi32(
                _mm512_add_epi32(_mm512_add_epi32(h, sum1), choice),
                _mm512_add_epi32(w[$i % 16], _mm512_set1_epi32(K[$i].cast_signed())),
            );
            let sum0 = _mm512_ternarylogic_epi32::<XOR>(
                _mm512_ror_epi32::<2>(a),
                _mm512_ror_epi32::<13>(a),
                _mm512_ror_epi32::<22>(a),
            );
            let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
            h = g;
            g = f;
            f = e;
            e = _mm512_add_epi32(d, t1);
            d = c;
            c = b;
            b = a;
            a = _mm512_add_epi32(t1, _mm512_add_epi32(sum0, majority));
        }};
    }
    macro_rules! rounds {
        ($($i:expr)*) => { $(round!($i);)* };
    }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    rounds!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    rounds!(32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
    rounds!(48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
    for (sum, word) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum = _mm512_add_epi32(*sum, word);
    }
}

/// Word `i` of every lane in register `i`: a transposition of sixteen rows of sixteen words.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_words(blocks: &Blocks) -> [__m512i; 16] {
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let rows: [__m512i; 16] =
        std::array::from_fn(|lane| _mm512_shuffle_epi8(from_bytes(&blocks[lane]), swap));
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn from_bytes(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: both have 64 bytes, and every pattern of bits is a value of a register.
    unsafe { std::mem::transmute::<[u8; 64], __m512i>(*bytes) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn to_lanes(register: __m512i) -> [u32; LANES] {
    // SAFETY: both have 64 bytes, and every pattern of bits is sixteen numbers.
    unsafe { std::mem::transmute::<__m512i, [u32; LANES]>(register) }
}
