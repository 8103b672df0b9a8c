//! The trials of the search for work, one after the other with the `sha2` crate: the way of
//! processors whose instructions for SHA-256 that crate knows and this one does not.

use super::find::lower_half;
use super::fixed::{Fixed, SECOND_WORDS};
use crate::block::{BLOCK_BYTES, compress, to_hash};
use crate::constants::FIRST_STATE;
use std::ops::Range;

/// The first nonce in `nonces` whose work hash begins with a word of at most `limit`.
///
/// All of `nonces` have the upper half that `fixed` is for.
pub(crate) fn find_in_turn(fixed: &Fixed, limit: u32, mut nonces: Range<u64>) -> Option<u64> {
    let mut first = to_block(&fixed.words);
    let mut second = to_block(&SECOND_WORDS);
    nonces.find(|nonce| {
        first[32..36].copy_from_slice(&lower_half(*nonce).to_le_bytes());
        let mut state = FIRST_STATE;
        compress(&mut state, &[first]);
        second[..32].copy_from_slice(&to_hash(&state));
        let mut state = FIRST_STATE;
        compress(&mut state, &[second]);
        state[0] <= limit
    })
}

/// The block whose words begin the schedule.
fn to_block(words: &[u32; 64]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    block
}
