//! Bodies of fuzz targets for messages: each takes any bytes and panics only if a promise is broken.

use super::{BULK_TAGS, Message, PEER_TAGS, Tag};
use crate::compact::{CompactBlock, transactions_at};
use cairn_core::hash::BlockId;

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 3] =
    [("message", message), ("block_in_short", block_in_short), ("places_of_a_block", places_of_a_block)];

/// Every tag, in the order in which the first byte of an input chooses among them.
pub fn tags() -> impl Iterator<Item = Tag> {
    PEER_TAGS.into_iter().chain(BULK_TAGS).map(|(tag, _)| tag)
}

/// The first byte chooses the tag, the others are the body.
fn message(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let count = PEER_TAGS.len() + BULK_TAGS.len();
    let Some(tag) = tags().nth(usize::from(*choice) % count) else { return };
    if let Ok(message) = Message::from_body(tag, body) {
        assert_eq!(message.tag(), tag);
        // MessagePack has several encodings of one value, so only the value must survive.
        assert_eq!(Message::from_body(tag, &message.to_body()).as_ref(), Ok(&message));
    }
}

/// Where nothing is known everything is missing, and a block in short is made of a block alone.
fn block_in_short(bytes: &[u8]) {
    if let Ok(block) = CompactBlock::from_bytes(bytes, &BlockId::ZERO, 7) {
        let count = block.short_ids.len();
        let id = block.header.id();
        let partial = block.fill([]);
        assert_eq!((partial.id(), partial.missing().len()), (id, count));
        assert!(partial.missing().is_sorted());
    }
}

/// The first four bytes are the places, the others the block.
fn places_of_a_block(bytes: &[u8]) {
    let Some((places, block)) = bytes.split_first_chunk::<4>() else { return };
    let mut places = places.map(u32::from).to_vec();
    places.sort_unstable();
    places.dedup();
    if let Ok(Some(picked)) = transactions_at(block, &places) {
        assert!(picked.is_empty() || picked.len() == places.len());
    }
}
