//! What all trials of one search have in common, computed once.
//!
//! The message of the first hash is the seal hash (words 0 to 7), the nonce (8 and 9) and padding;
//! of these only word 8, the lower half of the nonce, differs between the trials. So the first eight
//! rounds are done once, and the words 16 to 22 of the schedule too; later words are sums of which
//! some parts are fixed. The message of the second hash is the first hash and padding.

use crate::constants::{FIRST_STATE, K};
use crate::lanes::{Scalar, round};

/// What is fixed in the first hash while the upper half of the nonce stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fixed {
    /// The state after rounds 0 to 7.
    pub(crate) state: [u32; 8],
    /// Each word of the schedule, or the fixed part of it where it varies: [`FIRST_HASH`].
    pub(crate) words: [u32; 64],
}

impl Fixed {
    /// The fixed parts for all nonces with this upper half.
    pub(crate) fn new(seal_hash: &[u8; 32], nonce_upper: u32) -> Self {
        let mut message = [0; 16];
        message[..8].copy_from_slice(&to_words(seal_hash));
        message[9] = nonce_upper.swap_bytes();
        message[10] = PADDING;
        message[15] = 40 * 8;
        let words = fixed_words(message, FIRST_HASH);
        let mut state = FIRST_STATE;
        for t in 0..8 {
            state = round(Scalar, state, K[t].wrapping_add(words[t]));
        }
        Self { state, words }
    }
}

/// The fixed parts of the words of the second hash.
pub(crate) const SECOND_WORDS: [u32; 64] = {
    let mut message = [0; 16];
    message[8] = PADDING;
    message[15] = 32 * 8;
    fixed_words(message, SECOND_HASH)
};

/// Which words differ between the trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Varying {
    from: usize,
    to: usize,
    /// From here on all do.
    again: usize,
}

/// Of the first hash: the lower half of the nonce, and from word 23 = 8 + 15 on.
pub(crate) const FIRST_HASH: Varying = Varying { from: 8, to: 9, again: 23 };
/// Of the second hash: all but the padding.
pub(crate) const SECOND_HASH: Varying = Varying { from: 0, to: 8, again: 16 };

impl Varying {
    #[inline(always)]
    pub(crate) const fn contains(self, word: usize) -> bool {
        (self.from <= word && word < self.to) || self.again <= word
    }

    /// Whether word `t` of the schedule has a part that is fixed, of the four that it has.
    #[inline(always)]
    pub(crate) const fn has_fixed_part(self, t: usize) -> bool {
        !(self.contains(t - 2) && self.contains(t - 7) && self.contains(t - 15) && self.contains(t - 16))
    }
}

/// The one bit behind a message, as the word that it begins.
const PADDING: u32 = 0x8000_0000;

/// The schedule (FIPS 180-4 §6.2.2) without what varies.
const fn fixed_words(message: [u32; 16], varying: Varying) -> [u32; 64] {
    let mut words = [0; 64];
    let mut t = 0;
    while t < 64 {
        if t < 16 {
            words[t] = message[t];
        } else {
            let mut sum = 0u32;
            if !varying.contains(t - 2) {
                let x = words[t - 2];
                sum = sum.wrapping_add(x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10));
            }
            if !varying.contains(t - 7) {
                sum = sum.wrapping_add(words[t - 7]);
            }
            if !varying.contains(t - 15) {
                let x = words[t - 15];
                sum = sum.wrapping_add(x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3));
            }
            if !varying.contains(t - 16) {
                sum = sum.wrapping_add(words[t - 16]);
            }
            words[t] = sum;
        }
        t += 1;
    }
    words
}

/// The eight digits of a big-endian number to the base 2³², highest first.
pub(crate) fn to_words(number: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(number.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}
