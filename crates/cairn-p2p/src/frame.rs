//! Frames: what a stream between two nodes is made of.
//!
//! ```text
//! length of tag and body, u32 little-endian │ tag, 3 ASCII letters or digits │ body
//! ```
//!
//! Bodies are opaque here. A length is judged before anything is allocated for it.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Bytes of the length and the tag.
pub const HEAD_BYTES: usize = 7;
/// The longest body on a peer stream.
pub const PEER_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest body on a bulk stream.
pub const BULK_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a frame is: three ASCII letters or digits.
///
/// A tag whose first character is lower case is one that may be ignored: who does not know it goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; 3]);

/// One message: its tag, and a body that this crate does not look into.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub tag: Tag,
    /// What it says.
    pub body: Bytes,
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the frame is.
    pub tag: Tag,
    /// Bytes of the body that follows.
    pub body_bytes: usize,
}

/// A text is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is three ASCII letters or digits")]
pub struct TagError;

/// The two kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// The one that lives as long as the connection, both ways.
    Peer,
    /// One request and its answer.
    Bulk,
}

/// A frame breaks a rule, or none could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// NET-1: the length leaves no room for a tag.
    #[error("a frame of {found} bytes has no room for its tag of 3")]
    TooShort {
        /// The length that was sent.
        found: u32,
    },
    /// NET-2: the tag is not made of letters and digits.
    #[error("a tag is three ASCII letters or digits, not {found:02x?}")]
    Tag {
        /// The three bytes.
        found: [u8; 3],
    },
    /// NET-3: the body is longer than its tag allows.
    #[error("a {tag} has {found} bytes, at most {max} are allowed")]
    TooLong {
        /// What it is.
        tag: Tag,
        /// The length of the body that was sent.
        found: u64,
        /// The longest that is allowed.
        max: usize,
    },
    /// NET-4: the tag means nothing here and does not say that it may be ignored. On a peer stream the frame
    /// is read over all the same, and costs strikes; a bulk stream ends.
    #[error("a {tag} means nothing here")]
    UnknownTag {
        /// The tag.
        tag: Tag,
    },
}

impl Tag {
    /// The tag of this text.
    ///
    /// # Panics
    ///
    /// If the text is not three ASCII letters or digits: it is meant for constants.
    pub const fn new(text: &str) -> Self {
        match Self::from_bytes(text.as_bytes()) {
            Some(tag) => tag,
            None => panic!("a tag is three ASCII letters or digits"),
        }
    }

    /// The tag of three bytes, if they are letters or digits.
    pub const fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [a, b, c]
                if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() && c.is_ascii_alphanumeric() =>
            {
                Some(Self([a, b, c]))
            }
            _ => None,
        }
    }

    /// Its three bytes.
    pub const fn to_bytes(self) -> [u8; 3] {
        self.0
    }

    /// Whether a node that does not know it goes on as if it had not come.
    pub fn may_be_ignored(self) -> bool {
        self.0[0].is_ascii_lowercase()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("letters and digits of ASCII are UTF-8"))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        Self::from_bytes(text.as_bytes()).ok_or(TagError)
    }
}

impl Frame {
    /// A frame of `tag` and `body`.
    pub fn new(tag: Tag, body: impl Into<Bytes>) -> Self {
        Self { tag, body: body.into() }
    }

    /// Bytes on the stream.
    pub fn wire_bytes(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }

    /// What stands before the body.
    ///
    /// # Panics
    ///
    /// If the body is longer than [`BULK_BODY_BYTES_MAX`]: nobody would read it.
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        assert!(self.body.len() <= BULK_BODY_BYTES_MAX, "no stream takes a body of {}", self.body.len());
        let length = u32::try_from(self.body.len() + 3).expect("16 MiB and 3 bytes fit");
        let [a, b, c, d] = length.to_le_bytes();
        let Tag([e, f, g]) = self.tag;
        [a, b, c, d, e, f, g]
    }

    /// The whole frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.head()[..], &self.body].concat()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}, {} bytes)", self.tag, self.body.len())
    }
}

impl StreamKind {
    /// The longest body that any frame may have here.
    pub fn body_bytes_max(self) -> usize {
        match self {
            Self::Peer => PEER_BODY_BYTES_MAX,
            Self::Bulk => BULK_BODY_BYTES_MAX,
        }
    }
}

impl Head {
    /// Reads the first bytes of a frame, judging its length by the kind of stream alone.
    ///
    /// # Errors
    ///
    /// [`FrameError`], but for unknown tags, of which only a [`Tags`] table knows.
    pub fn read(bytes: [u8; HEAD_BYTES], kind: StreamKind) -> Result<Self, FrameError> {
        let [a, b, c, d, tag @ ..] = bytes;
        let length = u32::from_le_bytes([a, b, c, d]);
        let body_bytes = length.checked_sub(3).ok_or(FrameError::TooShort { found: length })?;
        let tag = Tag::from_bytes(&tag).ok_or(FrameError::Tag { found: tag })?;
        let max = kind.body_bytes_max();
        match usize::try_from(body_bytes).ok().filter(|it| *it <= max) {
            Some(body_bytes) => Ok(Self { tag, body_bytes }),
            None => Err(FrameError::TooLong { tag, found: body_bytes.into(), max }),
        }
    }
}

/// Reads one whole frame from the front of `bytes`: the frame and what follows it, or none if more bytes
/// are needed.
///
/// # Errors
///
/// The frame breaks a rule; it is told by its first seven bytes.
pub fn decode(bytes: &[u8], kind: StreamKind) -> Result<Option<(Frame, &[u8])>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let head = Head::read(*head, kind)?;
    let Some((body, rest)) = rest.split_at_checked(head.body_bytes) else { return Ok(None) };
    Ok(Some((Frame::new(head.tag, body.to_vec()), rest)))
}

/// How much of something a peer may send: a bucket that fills up at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once, after a pause.
    pub burst: u32,
    /// How many a minute for ever.
    pub a_minute: u32,
}

/// What is known about a tag in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagRule {
    /// The longest body.
    pub body_bytes_max: usize,
    /// How many frames a peer may send; any number, if none.
    pub rate: Option<Rate>,
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// On the peer stream.
    Peer,
    /// The first frame of a bulk stream, from the node that opened it.
    Ask,
    /// The frames of a bulk stream that answer.
    Answer,
}

impl Place {
    /// The kind of stream that has this place.
    pub fn kind(self) -> StreamKind {
        match self {
            Self::Peer => StreamKind::Peer,
            Self::Ask | Self::Answer => StreamKind::Bulk,
        }
    }
}

/// Which frames mean something to the owner of a [`Network`](crate::Network), and where.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    rules: BTreeMap<(Place, Tag), TagRule>,
    /// What answers a question on the peer stream, and in how many frames at most.
    answers: BTreeMap<Tag, (Tag, usize)>,
}

impl Tags {
    /// No tag means anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and `tag` means something at `place`.
    #[must_use]
    pub fn with(mut self, place: Place, tag: Tag, rule: TagRule) -> Self {
        self.rules.insert((place, tag), rule);
        self
    }

    /// The same, and on the peer stream `answer` is what answers `question`, in at most `frames_max` frames:
    /// a peer is heard with no more of it than it was asked for.
    #[must_use]
    pub fn with_answer(mut self, question: Tag, answer: Tag, frames_max: usize) -> Self {
        self.answers.insert(question, (answer, frames_max));
        self
    }

    /// What answers this question on the peer stream, and in how many frames at most.
    pub(crate) fn answer_to(&self, question: Tag) -> Option<(Tag, usize)> {
        self.answers.get(&question).copied()
    }

    /// Whether this answers a question on the peer stream.
    pub(crate) fn is_answer(&self, tag: Tag) -> bool {
        self.answers.values().any(|(answer, _)| *answer == tag)
    }

    /// What is known about `tag` at `place`.
    pub fn rule(&self, place: Place, tag: Tag) -> Option<TagRule> {
        self.rules.get(&(place, tag)).copied()
    }

    /// The rule for a frame that begins so; none if it is to be read over.
    ///
    /// # Errors
    ///
    /// The tag is unknown and may not be ignored, or the body is longer than the tag allows.
    pub fn judge(&self, place: Place, head: Head) -> Result<Option<TagRule>, FrameError> {
        match self.rule(place, head.tag) {
            Some(TagRule { body_bytes_max, .. }) if head.body_bytes > body_bytes_max => {
                let found = u64::try_from(head.body_bytes).unwrap_or(u64::MAX);
                Err(FrameError::TooLong { tag: head.tag, found, max: body_bytes_max })
            }
            Some(rule) => Ok(Some(rule)),
            None if head.tag.may_be_ignored() => Ok(None),
            None => Err(FrameError::UnknownTag { tag: head.tag }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(length: u32, tag: &[u8; 3]) -> [u8; HEAD_BYTES] {
        [&length.to_le_bytes()[..], tag].concat().try_into().unwrap()
    }

    #[test]
    fn net_1_a_frame_without_room_for_its_tag_is_refused() {
        for length in 0..3 {
            let read = Head::read(head(length, b"INV"), StreamKind::Peer);
            assert_eq!(read, Err(FrameError::TooShort { found: length }));
        }
        assert_eq!(Head::read(head(3, b"INV"), StreamKind::Peer).unwrap().body_bytes, 0);
    }

    #[test]
    fn net_2_a_tag_is_three_letters_or_digits() {
        for tag in [b"IN ", b"\0\0\0", b"I\xffV"] {
            assert_eq!(Head::read(head(3, tag), StreamKind::Peer), Err(FrameError::Tag { found: *tag }));
        }
        assert_eq!("GEN".parse(), Ok(Tag::new("GEN")));
        assert_eq!("GENE".parse::<Tag>(), Err(TagError));
    }

    #[test]
    fn net_3_a_length_is_judged_before_the_body_comes() {
        for (kind, max) in [(StreamKind::Peer, 4 << 20), (StreamKind::Bulk, 16 << 20)] {
            let length = u32::try_from(max).unwrap() + 3;
            assert_eq!(Head::read(head(length, b"BLK"), kind).unwrap().body_bytes, max);
            let tag = Tag::new("BLK");
            assert_eq!(
                Head::read(head(length + 1, b"BLK"), kind),
                Err(FrameError::TooLong { tag, found: max as u64 + 1, max })
            );
            assert!(decode(&head(u32::MAX, b"BLK"), kind).is_err());
        }
        let rule = TagRule { body_bytes_max: 10, rate: None };
        let tags = Tags::new().with(Place::Peer, Tag::new("INV"), rule);
        let long = Head { tag: Tag::new("INV"), body_bytes: 11 };
        assert!(matches!(tags.judge(Place::Peer, long), Err(FrameError::TooLong { max: 10, .. })));
    }

    #[test]
    fn net_4_an_unknown_tag_is_ignored_only_if_it_says_so() {
        let tags = Tags::new();
        let of = |text| Head { tag: Tag::new(text), body_bytes: 0 };
        assert_eq!(tags.judge(Place::Peer, of("xyz")), Ok(None));
        assert_eq!(tags.judge(Place::Peer, of("xYZ")), Ok(None));
        for text in ["Xyz", "7yz"] {
            let tag = Tag::new(text);
            assert_eq!(tags.judge(Place::Peer, of(text)), Err(FrameError::UnknownTag { tag }));
        }
    }

    proptest! {
        #[test]
        fn a_frame_is_read_as_it_was_written(
            tag in "[A-Za-z0-9]{3}", body in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..307
        ) {
            let frame = Frame::new(tag.parse().unwrap(), body);
            let bytes = frame.to_bytes();
            prop_assert_eq!(decode(&bytes, StreamKind::Peer), Ok(Some((frame, &[][..]))));
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(decode(&bytes[..cut], StreamKind::Peer), Ok(None));
        }
    }
}
