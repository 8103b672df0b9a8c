//! Bodies of fuzz targets for messages: each takes any bytes and panics only if a promise is broken.

use super::{BULK_TAGS, Message, PEER_TAGS};

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 1] = [("message", message)];

/// The first byte chooses the tag, the others are the body.
fn message(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let tags = PEER_TAGS.len() + BULK_TAGS.len();
    let Some((tag, _)) = PEER_TAGS.iter().chain(&BULK_TAGS).nth(usize::from(*choice) % tags) else { return };
    if let Ok(message) = Message::from_body(*tag, body) {
        assert_eq!(message.tag(), *tag);
        // MessagePack has several encodings of one value, so only the value must survive.
        assert_eq!(Message::from_body(*tag, &message.to_body()).as_ref(), Ok(&message));
    }
}
