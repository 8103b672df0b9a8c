//! The search for work: which nonce makes the work hash low enough.

use crate::block::{BLOCK_BYTES, FIRST_STATE, LastBlocks, compress, to_hash};
use std::ops::Range;

/// Where the nonce stands in the first block, behind the seal hash.
const NONCE: Range<usize> = 32..40;

/// The first nonce in `nonces` whose work hash is at most `target`; none if no nonce is.
///
/// The work hash is [`double_sha256_of_40`](crate::double_sha256_of_40) of the seal hash and the
/// nonce; hash and target are compared as big-endian numbers. A trial costs two compressions: the
/// nonce lies in the first block of the first hash, so nothing is shared between trials except
/// the padding. The caller keeps ranges short if it wants to be interrupted.
pub fn search_work(seal_hash: &[u8; 32], target: &[u8; 32], nonces: Range<u64>) -> Option<u64> {
    let target = to_words(target);
    let mut first = LastBlocks::new(40);
    first.rest_mut()[..NONCE.start].copy_from_slice(seal_hash);
    let mut second = LastBlocks::new(32);
    for nonce in nonces {
        first.rest_mut()[NONCE].copy_from_slice(&nonce.to_le_bytes());
        let inner = hash_block(first.blocks());
        second.rest_mut().copy_from_slice(&to_hash(&inner));
        // The words of a state are the digits of the hash, highest first.
        if hash_block(second.blocks()) <= target {
            return Some(nonce);
        }
    }
    None
}

/// The last state of a message that is already padded.
fn hash_block(blocks: &[[u8; BLOCK_BYTES]]) -> [u32; 8] {
    let mut state = FIRST_STATE;
    compress(&mut state, blocks);
    state
}

/// The eight digits of a big-endian number to the base 2³², highest first.
fn to_words(number: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(number.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::double_sha256_of_40;
    use proptest::prelude::*;

    /// The search as it is defined, one trial after the other.
    fn search_slowly(seal_hash: &[u8; 32], target: &[u8; 32], mut nonces: Range<u64>) -> Option<u64> {
        nonces.find(|nonce| double_sha256_of_40(seal_hash, *nonce) <= *target)
    }

    #[test]
    fn the_first_nonce_that_reaches_the_target_is_found() {
        let mut target = [0xff; 32];
        target[0] = 0;
        target[1] = 0x1f;
        let nonce = search_work(&[9; 32], &target, 0..1_000_000).unwrap();
        assert_eq!(search_slowly(&[9; 32], &target, 0..nonce + 1), Some(nonce));
        assert_eq!(search_work(&[9; 32], &target, 0..nonce), None);
        assert_eq!(search_work(&[9; 32], &target, nonce..nonce + 1), Some(nonce));
    }

    #[test]
    fn a_hash_equal_to_the_target_is_enough_and_one_above_is_not() {
        let hash = double_sha256_of_40(&[1; 32], 5);
        assert_eq!(search_work(&[1; 32], &hash, 5..6), Some(5));
        let mut below = hash;
        below[31] = below[31].checked_sub(1).unwrap();
        assert_eq!(search_work(&[1; 32], &below, 5..6), None);
    }

    #[test]
    fn an_empty_range_holds_no_nonce() {
        assert_eq!(search_work(&[1; 32], &[0xff; 32], 7..7), None);
    }

    #[test]
    fn the_largest_nonces_are_searched() {
        let last = u64::MAX - 1;
        assert_eq!(search_work(&[1; 32], &[0xff; 32], last..u64::MAX), Some(last));
    }

    proptest! {
        #[test]
        fn a_search_finds_what_trying_each_nonce_finds(
            seal_hash: [u8; 32],
            easy in 0x01u8..=0x40,
            start: u64,
            count in 0u64..600,
        ) {
            let mut target = [0x5a; 32];
            target[0] = easy / 16;
            let nonces = start..start.saturating_add(count);
            prop_assert_eq!(
                search_work(&seal_hash, &target, nonces.clone()),
                search_slowly(&seal_hash, &target, nonces)
            );
        }
    }
}
