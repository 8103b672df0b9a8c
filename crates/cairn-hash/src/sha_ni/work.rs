//! The trials of the search for work with the SHA extensions, two at a time.
//!
//! What is fixed in a search lies in registers from the beginning: rounds 0 to 7 of the first hash
//! are left out, and of the schedule what [`Fixed`] names.

use super::{
    COUNT, Quads, State, States, add_states, finish_words, four_of, four_rounds, next_words, pack, rounds,
    rounds_from, unpack,
};
use crate::constants::{FIRST_STATE, K};
use crate::work::find::lower_half;
use crate::work::fixed::{Fixed, SECOND_WORDS};
use std::arch::x86_64::*;
use std::ops::Range;

/// The first nonce in `nonces` whose work hash begins with a word of at most `limit`.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn find(fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
    let (first, second) = (FirstHash::new(fixed), SecondHash::new());
    let mut next = nonces.start;
    while next < nonces.end {
        let lower = lower_half(next);
        let words = second.first_word(first.hash([lower, lower.wrapping_add(1)]));
        // A lane beyond the end, or beyond the largest nonce, finds nothing.
        for (step, word) in (0..).zip(words) {
            if word <= limit {
                return next.checked_add(step).filter(|nonce| *nonce < nonces.end);
            }
        }
        next = next.saturating_add(COUNT as u64);
    }
    None
}

/// What the first hashes of a search have in common.
struct FirstHash {
    /// After rounds 0 to 7.
    state: State,
    /// Constants and words of the rounds from 8, 12 and 16 on, without word 8, the nonce.
    sums: [__m128i; 3],
    /// The words from 20 on, without what the nonce adds to word 23.
    w20: __m128i,
    /// Of the words from 24 on: w(t-16) + σ0(w(t-15)) + w(t-7), without word 8, the nonce.
    early_24: __m128i,
    /// Of the words from 28 and from 32 on: w(t-16) + σ0(w(t-15)).
    early_28: __m128i,
    early_32: __m128i,
}

impl FirstHash {
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn new(fixed: &Fixed) -> Self {
        let [w8, w12, w16, w20] = [8, 12, 16, 20].map(|t| four_of(&fixed.words, t));
        let sums = [(w8, 8), (w12, 12), (w16, 16)];
        let early_24 = _mm_add_epi32(_mm_sha256msg1_epu32(w8, w12), _mm_alignr_epi8::<4>(w20, w16));
        Self {
            state: pack(&fixed.state),
            sums: sums.map(|(words, t)| _mm_add_epi32(words, four_of(&K, t))),
            w20,
            early_24,
            early_28: _mm_sha256msg1_epu32(w12, w16),
            early_32: _mm_sha256msg1_epu32(w16, w20),
        }
    }

    /// The first hashes of these nonces: words 0 to 3, and 4 to 7.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn hash(&self, nonces: [u32; COUNT]) -> [Quads; 2] {
        let mut states = [self.state; COUNT];
        let (mut w20, mut w24) = ([self.w20; COUNT], [self.early_24; COUNT]);
        for lane in 0..COUNT {
            let word = nonces[lane].swap_bytes();
            let w8 = _mm_cvtsi32_si128(word.cast_signed());
            let sigma0 = word.rotate_right(7) ^ word.rotate_right(18) ^ (word >> 3);
            let in_w23 = _mm_slli_si128::<12>(_mm_cvtsi32_si128(sigma0.cast_signed()));
            w20[lane] = _mm_add_epi32(w20[lane], in_w23);
            w24[lane] = _mm_sha256msg2_epu32(_mm_add_epi32(w24[lane], w8), w20[lane]);
            states[lane] = rounds(states[lane], _mm_add_epi32(self.sums[0], w8));
        }
        rounds_of_all(&mut states, self.sums[1]);
        rounds_of_all(&mut states, self.sums[2]);
        four_rounds(&mut states, w20, 20);
        four_rounds(&mut states, w24, 24);
        let w28 = finish_words([self.early_28; COUNT], w20, w24);
        four_rounds(&mut states, w28, 28);
        let w32 = finish_words([self.early_32; COUNT], w24, w28);
        four_rounds(&mut states, w32, 32);
        rounds_from(&mut states, [w20, w24, w28, w32], 36);
        let [first, second] = states.map(|state| unpack(add_states(state, pack(&FIRST_STATE))));
        [[first[0], second[0]], [first[1], second[1]]]
    }
}

/// What all second hashes have in common: the padding behind the first hash.
struct SecondHash {
    /// Constants and words of the rounds from 8 and from 12 on.
    sums: [__m128i; 2],
    w8: __m128i,
    w12: __m128i,
    /// Of the words from 24 on: w(t-16) + σ0(w(t-15)).
    early_24: __m128i,
}

impl SecondHash {
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn new() -> Self {
        let [w8, w12] = [8, 12].map(|t| four_of(&SECOND_WORDS, t));
        Self {
            sums: [(w8, 8), (w12, 12)].map(|(words, t)| _mm_add_epi32(words, four_of(&K, t))),
            w8,
            w12,
            early_24: _mm_sha256msg1_epu32(w8, w12),
        }
    }

    /// The first words of the hashes of these first hashes.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn first_word(&self, [w0, w4]: [Quads; 2]) -> [u32; COUNT] {
        let mut states = [pack(&FIRST_STATE); COUNT];
        let (w8, w12) = ([self.w8; COUNT], [self.w12; COUNT]);
        four_rounds(&mut states, w0, 0);
        four_rounds(&mut states, w4, 4);
        rounds_of_all(&mut states, self.sums[0]);
        rounds_of_all(&mut states, self.sums[1]);
        let w16 = next_words(w0, w4, w8, w12);
        four_rounds(&mut states, w16, 16);
        let w20 = next_words(w4, w8, w12, w16);
        four_rounds(&mut states, w20, 20);
        let w24 = finish_words([self.early_24; COUNT], w16, w20);
        four_rounds(&mut states, w24, 24);
        let w28 = next_words(w12, w16, w20, w24);
        four_rounds(&mut states, w28, 28);
        rounds_from(&mut states, [w16, w20, w24, w28], 32);
        states.map(|State { abef, .. }| {
            _mm_extract_epi32::<3>(abef).cast_unsigned().wrapping_add(FIRST_STATE[0])
        })
    }
}

/// Four rounds of each message with the same sums of constants and words.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn rounds_of_all(states: &mut States, sums: __m128i) {
    for state in states {
        *state = rounds(*state, sums);
    }
}
