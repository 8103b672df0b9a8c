//! The trials of the search for work, one in each lane.

use super::fixed::{FIRST_HASH, Fixed, SECOND_HASH, SECOND_WORDS, Varying};
use crate::constants::{FIRST_STATE, K};
use crate::lanes::{Lanes, Scalar, round, sixty_four_times, small_sigma0, small_sigma1};
use std::hint::black_box;
use std::ops::Range;

/// The first nonce in `nonces` whose work hash begins with a word of at most `limit`.
///
/// All of `nonces` have the upper half that `fixed` is for.
#[inline(always)]
pub(crate) fn find<L: Lanes>(l: L, fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
    let mut next = nonces.start;
    // Where the compiler knows how often it goes round, it puts trials of one lane side by side
    // itself: a sixth faster, for a quarter of a megabyte of code.
    while next < black_box(nonces.end) {
        let lower = l.swap_bytes(l.count_from(lower_half(next)));
        let hits = l.at_most(first_word(l, fixed, lower), l.splat(limit));
        if hits != 0 {
            // Lanes beyond the end, or beyond the largest nonce, found nothing.
            let found = next.checked_add(u64::from(hits.trailing_zeros()));
            return found.filter(|nonce| *nonce < nonces.end);
        }
        next = next.saturating_add(u64::from(L::COUNT));
    }
    None
}

/// The lower 32 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the other half is wanted elsewhere")]
pub(crate) fn lower_half(nonce: u64) -> u32 {
    nonce as u32
}

/// The first word of the work hash, given word 8 of the first message.
#[inline(always)]
fn first_word<L: Lanes>(l: L, fixed: &Fixed, nonce: L::Word) -> L::Word {
    let mut words = [l.splat(0); 16];
    words[8] = nonce;
    let mut sums = first_round(l, fixed.state, K[8], nonce);
    macro_rules! step {
        ($t:expr) => {{
            let t: usize = $t;
            if t > 8 {
                let known = known_and_word(l, FIRST_HASH, &mut words, t, fixed.words[t]);
                sums = round(l, sums, known);
            }
        }};
    }
    sixty_four_times!(step);

    for ((word, sum), first) in words.iter_mut().zip(sums).zip(FIRST_STATE) {
        *word = l.add(sum, l.splat(first));
    }
    sums = first_round(l, FIRST_STATE, K[0], words[0]);
    macro_rules! step {
        ($t:expr) => {{
            let t: usize = $t;
            if t > 0 {
                let known = known_and_word(l, SECOND_HASH, &mut words, t, SECOND_WORDS[t]);
                sums = round(l, sums, known);
            }
        }};
    }
    sixty_four_times!(step);
    l.add(sums[0], l.splat(FIRST_STATE[0]))
}

/// The round in which what varies enters a state that is fixed.
#[inline(always)]
fn first_round<L: Lanes>(l: L, state: [u32; 8], constant: u32, word: L::Word) -> [L::Word; 8] {
    let without = round(Scalar, state, constant);
    let [a, b, c, d, e, f, g, h] = without;
    [
        l.add(l.splat(a), word),
        l.splat(b),
        l.splat(c),
        l.splat(d),
        l.add(l.splat(e), word),
        l.splat(f),
        l.splat(g),
        l.splat(h),
    ]
}

/// The sum of the constant and the word of round `t`; a word that varies takes its place in `words`.
#[inline(always)]
fn known_and_word<L: Lanes>(
    l: L,
    varying: Varying,
    words: &mut [L::Word; 16],
    t: usize,
    fixed: u32,
) -> L::Word {
    if !varying.contains(t) {
        return l.splat(K[t].wrapping_add(fixed));
    }
    if t >= 16 {
        let mut word = None;
        if varying.has_fixed_part(t) {
            word = plus(l, word, l.splat(fixed));
        }
        if varying.contains(t - 16) {
            word = plus(l, word, words[t % 16]);
        }
        if varying.contains(t - 15) {
            word = plus(l, word, small_sigma0(l, words[(t + 1) % 16]));
        }
        if varying.contains(t - 7) {
            word = plus(l, word, words[(t + 9) % 16]);
        }
        if varying.contains(t - 2) {
            word = plus(l, word, small_sigma1(l, words[(t + 14) % 16]));
        }
        words[t % 16] = word.unwrap_or(l.splat(0));
    }
    l.add(words[t % 16], l.splat(K[t]))
}

#[inline(always)]
fn plus<L: Lanes>(l: L, sum: Option<L::Word>, part: L::Word) -> Option<L::Word> {
    match sum {
        Some(sum) => Some(l.add(sum, part)),
        None => Some(part),
    }
}
