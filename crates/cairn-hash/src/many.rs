//! SHA-256 of many short messages of one length: the leaves and the nodes of trees.

use crate::Kernel;
use crate::block::{BLOCK_BYTES, Blocks, CLOSING_BYTES, LANES, LastBlocks, compress, to_hash};
use crate::constants::FIRST_STATE;

/// The longest messages that are hashed side by side, in blocks with their padding.
const WIDE_BLOCKS_MAX: usize = 4;

/// The longest tag of [`hash_pairs`], in bytes: tag, pair and padding fill two blocks.
pub const PAIR_TAG_BYTES_MAX: usize = 2 * BLOCK_BYTES - CLOSING_BYTES - 64;

/// Hashes messages of `message_bytes` bytes each, laid end to end in `messages`, into `out`, with the
/// [best](Kernel::best) kernel.
///
/// Costs ⌈(`message_bytes` + 9) / 64⌉ compressions a message.
///
/// # Panics
///
/// If `messages` is not exactly `out.len()` messages long.
pub fn hash_many(messages: &[u8], message_bytes: usize, out: &mut [[u8; 32]]) {
    hash_many_with(Kernel::best(), messages, message_bytes, out);
}

/// [`hash_many`] with a kernel of choice. The portable one takes the messages one after the other,
/// with the `sha2` crate.
///
/// # Panics
///
/// If `messages` is not exactly `out.len()` messages long.
pub fn hash_many_with(kernel: Kernel, messages: &[u8], message_bytes: usize, out: &mut [[u8; 32]]) {
    let expected = message_bytes.checked_mul(out.len());
    assert_eq!(Some(messages.len()), expected, "one hash for each message of {message_bytes} bytes");
    let padded_blocks = (message_bytes + CLOSING_BYTES).div_ceil(BLOCK_BYTES);
    let side_by_side_min = match kernel.side_by_side_min() {
        Some(min) if message_bytes > 0 && padded_blocks <= WIDE_BLOCKS_MAX => min,
        _ => {
            hash_in_turn(messages, message_bytes, out);
            return;
        }
    };
    let mut lanes = PaddedLanes::new(message_bytes, padded_blocks, out.len());
    for (messages, out) in messages.chunks(LANES * message_bytes).zip(out.chunks_mut(LANES)) {
        if out.len() < side_by_side_min {
            hash_in_turn(messages, message_bytes, out);
            continue;
        }
        for (lane, message) in messages.chunks_exact(message_bytes).enumerate() {
            lanes.put(lane, 0, message);
        }
        kernel.hash_side_by_side(lanes.blocks(), out);
    }
}

/// [`hash_many`], one message after the other.
fn hash_in_turn(messages: &[u8], message_bytes: usize, out: &mut [[u8; 32]]) {
    let mut last = LastBlocks::new(message_bytes);
    for (index, hash) in out.iter_mut().enumerate() {
        let message = &messages[index * message_bytes..(index + 1) * message_bytes];
        let (whole, rest) = message.as_chunks::<BLOCK_BYTES>();
        last.rest_mut().copy_from_slice(rest);
        let mut state = FIRST_STATE;
        if !whole.is_empty() {
            compress(&mut state, whole);
        }
        compress(&mut state, last.blocks());
        *hash = to_hash(&state);
    }
}

/// Sixteen messages of one length side by side; their padding stands already.
struct PaddedLanes {
    blocks: [Blocks; WIDE_BLOCKS_MAX],
    count: usize,
}

impl PaddedLanes {
    /// As many lanes as `messages`, or all if there are more.
    fn new(message_bytes: usize, count: usize, messages: usize) -> Self {
        let mut lanes = Self { blocks: [[[0; BLOCK_BYTES]; LANES]; WIDE_BLOCKS_MAX], count };
        let bits = (message_bytes as u64 * 8).to_be_bytes();
        for lane in 0..messages.min(LANES) {
            lanes.put(lane, message_bytes, &[0x80]);
            lanes.put(lane, count * BLOCK_BYTES - 8, &bits);
        }
        lanes
    }

    /// Puts bytes into the message of a lane, from byte `at` on.
    fn put(&mut self, lane: usize, at: usize, mut bytes: &[u8]) {
        let (mut block, mut from) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - from));
            self.blocks[block][lane][from..from + now.len()].copy_from_slice(now);
            (block, from, bytes) = (block + 1, 0, later);
        }
    }

    fn blocks(&self) -> &[Blocks] {
        &self.blocks[..self.count]
    }
}

/// Hashes `tag ‖ left ‖ right` for each of `pairs` into `out`, with the [best](Kernel::best) kernel:
/// the nodes of a tree.
///
/// Costs two compressions a pair.
///
/// # Panics
///
/// If `out` and `pairs` differ in length, or `tag` is longer than [`PAIR_TAG_BYTES_MAX`].
pub fn hash_pairs(tag: &[u8], pairs: &[[[u8; 32]; 2]], out: &mut [[u8; 32]]) {
    hash_pairs_with(Kernel::best(), tag, pairs, out);
}

/// [`hash_pairs`] with a kernel of choice. The portable one takes the pairs one after the other, with
/// the `sha2` crate.
///
/// # Panics
///
/// If `out` and `pairs` differ in length, or `tag` is longer than [`PAIR_TAG_BYTES_MAX`].
pub fn hash_pairs_with(kernel: Kernel, tag: &[u8], pairs: &[[[u8; 32]; 2]], out: &mut [[u8; 32]]) {
    assert_eq!(pairs.len(), out.len(), "one hash for each pair");
    assert!(
        tag.len() <= PAIR_TAG_BYTES_MAX,
        "a tag has at most {PAIR_TAG_BYTES_MAX} bytes, not {}",
        tag.len()
    );
    let side_by_side_min = match kernel.side_by_side_min() {
        Some(min) if min <= pairs.len() => min,
        _ => {
            hash_pairs_in_turn(tag, pairs, out);
            return;
        }
    };
    let message_bytes = tag.len() + 64;
    let padded_blocks = (message_bytes + CLOSING_BYTES).div_ceil(BLOCK_BYTES);
    let mut lanes = PaddedLanes::new(message_bytes, padded_blocks, out.len());
    for lane in 0..out.len().min(LANES) {
        lanes.put(lane, 0, tag);
    }
    for (pairs, out) in pairs.chunks(LANES).zip(out.chunks_mut(LANES)) {
        if out.len() < side_by_side_min {
            hash_pairs_in_turn(tag, pairs, out);
            continue;
        }
        for (lane, pair) in pairs.iter().enumerate() {
            lanes.put(lane, tag.len(), pair.as_flattened());
        }
        kernel.hash_side_by_side(lanes.blocks(), out);
    }
}

/// [`hash_pairs`], one pair after the other.
fn hash_pairs_in_turn(tag: &[u8], pairs: &[[[u8; 32]; 2]], out: &mut [[u8; 32]]) {
    let end = tag.len() + 64;
    let mut blocks = [[0; BLOCK_BYTES]; 2];
    let bytes = blocks.as_flattened_mut();
    bytes[..tag.len()].copy_from_slice(tag);
    bytes[end] = 0x80;
    bytes[2 * BLOCK_BYTES - 8..].copy_from_slice(&(end as u64 * 8).to_be_bytes());
    for (pair, hash) in pairs.iter().zip(out) {
        blocks.as_flattened_mut()[tag.len()..end].copy_from_slice(pair.as_flattened());
        let mut state = FIRST_STATE;
        compress(&mut state, &blocks);
        *hash = to_hash(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sha256;
    use proptest::prelude::*;

    fn hash_one(parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        hasher.finish()
    }

    #[test]
    fn every_length_up_to_four_blocks_is_hashed_as_one_message_is() {
        for message_bytes in 1..=256 {
            let messages: Vec<u8> = (0..=255).cycle().take(19 * message_bytes).collect();
            for kernel in Kernel::available() {
                let mut out = [[0; 32]; 19];
                hash_many_with(kernel, &messages, message_bytes, &mut out);
                for (message, hash) in messages.chunks(message_bytes).zip(&out) {
                    assert_eq!(*hash, hash_one(&[message]), "{kernel}");
                }
            }
        }
    }

    #[test]
    fn empty_messages_and_no_messages_are_messages_too() {
        let mut out = [[0; 32]; 2];
        hash_many(&[], 0, &mut out);
        assert_eq!(out, [hash_one(&[]); 2]);
        hash_many(&[], 63, &mut []);
        hash_pairs(b"tag", &[], &mut []);
    }

    #[test]
    fn a_pair_is_hashed_under_a_tag_of_any_length() {
        for tag_bytes in 0..=PAIR_TAG_BYTES_MAX {
            let tag = vec![7; tag_bytes];
            let pairs: Vec<_> = (0..17).map(|i| [[i; 32], [i + 100; 32]]).collect();
            for kernel in Kernel::available() {
                let mut out = [[0; 32]; 17];
                hash_pairs_with(kernel, &tag, &pairs, &mut out);
                for ([left, right], hash) in pairs.iter().zip(&out) {
                    assert_eq!(*hash, hash_one(&[&tag, left, right]), "{kernel}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "one hash for each message")]
    fn a_message_too_few_is_a_mistake_of_the_caller() {
        hash_many(&[0; 63], 63, &mut [[0; 32]; 2]);
    }

    #[test]
    #[should_panic(expected = "one hash for each pair")]
    fn a_pair_too_few_is_a_mistake_of_the_caller() {
        hash_pairs(b"tag", &[], &mut [[0; 32]; 1]);
    }

    #[test]
    #[should_panic(expected = "a tag has at most")]
    fn a_tag_too_long_is_a_mistake_of_the_caller() {
        hash_pairs(&[0; PAIR_TAG_BYTES_MAX + 1], &[], &mut []);
    }

    proptest! {
        #[test]
        fn many_messages_are_hashed_as_each_alone(
            message_bytes in 1usize..200,
            seed in prop::collection::vec(any::<u8>(), 1..400),
            count in 0usize..40,
        ) {
            let messages: Vec<u8> = seed.iter().copied().cycle().take(count * message_bytes).collect();
            for kernel in Kernel::available() {
                let mut out = vec![[0; 32]; count];
                hash_many_with(kernel, &messages, message_bytes, &mut out);
                for (message, hash) in messages.chunks(message_bytes).zip(&out) {
                    prop_assert_eq!(*hash, hash_one(&[message]), "{}", kernel);
                }
            }
        }

        #[test]
        fn many_pairs_are_hashed_as_each_alone(
            tag in prop::collection::vec(any::<u8>(), 0..=PAIR_TAG_BYTES_MAX),
            pairs in prop::collection::vec(any::<[[u8; 32]; 2]>(), 0..40),
        ) {
            for kernel in Kernel::available() {
                let mut out = vec![[0; 32]; pairs.len()];
                hash_pairs_with(kernel, &tag, &pairs, &mut out);
                for ([left, right], hash) in pairs.iter().zip(&out) {
                    prop_assert_eq!(*hash, hash_one(&[&tag, left, right]), "{}", kernel);
                }
            }
        }
    }
}
