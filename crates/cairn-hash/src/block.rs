//! The pieces of SHA-256 below a whole message: padding, last bytes.

/// The bytes of one block.
pub(crate) const BLOCK_BYTES: usize = 64;

/// The bytes that close every message: a one bit, filled to a byte, and the length in bits.
pub(crate) const CLOSING_BYTES: usize = 9;

/// A block of each of sixteen messages, for [`hash_many`](crate::hash_many) to hash side by side.
pub(crate) type Blocks = [[u8; BLOCK_BYTES]; LANES];

/// How many messages lie side by side at most.
pub(crate) const LANES: usize = 16;

/// Compresses `blocks` into `state`, in order.
pub(crate) fn compress(state: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]) {
    sha2::block_api::compress256(state, blocks);
}

/// The hash that a last state stands for.
pub(crate) fn to_hash(state: &[u32; 8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}

/// The last one or two blocks of every message of one length: padding and length stand, and only
/// the bytes of the message that fill no whole block change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastBlocks {
    blocks: [[u8; BLOCK_BYTES]; 2],
    count: usize,
    rest_bytes: usize,
}

impl LastBlocks {
    /// The last blocks of messages of `message_bytes` bytes.
    pub(crate) fn new(message_bytes: usize) -> Self {
        let rest_bytes = message_bytes % BLOCK_BYTES;
        let count = if rest_bytes + CLOSING_BYTES <= BLOCK_BYTES { 1 } else { 2 };
        let mut last = Self { blocks: [[0; BLOCK_BYTES]; 2], count, rest_bytes };
        let bytes = last.blocks.as_flattened_mut();
        bytes[rest_bytes] = 0x80;
        let bits = (message_bytes as u64).checked_mul(8).expect("no message has 2^61 bytes");
        bytes[count * BLOCK_BYTES - 8..count * BLOCK_BYTES].copy_from_slice(&bits.to_be_bytes());
        last
    }

    /// Where the bytes go that fill no whole block.
    pub(crate) fn rest_mut(&mut self) -> &mut [u8] {
        &mut self.blocks.as_flattened_mut()[..self.rest_bytes]
    }

    /// The blocks to compress last.
    pub(crate) fn blocks(&self) -> &[[u8; BLOCK_BYTES]] {
        &self.blocks[..self.count]
    }
}
