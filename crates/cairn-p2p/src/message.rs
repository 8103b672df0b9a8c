//! What nodes say about the connection itself: greetings, signs of life, addresses, farewells.
//!
//! Bodies are MessagePack arrays. A later version may append fields, which are read over; nothing else may
//! differ from what the tables of `docs/spec/11-wire.md` say.

mod pack;

use crate::address::{AddressGroup, is_dialable};
use crate::frame::{Frame, Tag};
use crate::key::NodeId;
use pack::{Reader, Writer};
use std::fmt;
use std::net::SocketAddr;

/// The version of the links that this code speaks; both sides use the lower of theirs.
pub const VERSION: u16 = 1;

/// Greeting: the first frame of each side.
pub const HEL: Tag = Tag::new("HEL");
/// Are you there?
pub const PIN: Tag = Tag::new("PIN");
/// I am.
pub const PON: Tag = Tag::new("PON");
/// Which nodes do you know?
pub const GAD: Tag = Tag::new("GAD");
/// Nodes that I know.
pub const ADR: Tag = Tag::new("ADR");
/// Farewell: the last frame.
pub const BYE: Tag = Tag::new("BYE");
/// The end of an answer, on bulk streams.
pub const END: Tag = Tag::new("END");

/// The longest greeting.
pub const HEL_BYTES_MAX: usize = 2048;
/// The longest sign of life.
pub const PIN_BYTES_MAX: usize = 64;
/// The longest question for addresses.
pub const GAD_BYTES_MAX: usize = 16;
/// The longest list of addresses.
pub const ADR_BYTES_MAX: usize = 64 * 1024;
/// The longest farewell.
pub const BYE_BYTES_MAX: usize = 256;
/// The longest end of an answer.
pub const END_BYTES_MAX: usize = 256;
/// The longest name of a program.
pub const SOFTWARE_BYTES_MAX: usize = 64;
/// The longest name of a node.
pub const NAME_BYTES_MAX: usize = 32;
/// Addresses that a greeting names at most.
pub const LISTEN_MAX: usize = 8;
/// The longest address in text.
pub const ADDRESS_BYTES_MAX: usize = 128;
/// Nodes in one list of addresses.
pub const RECORDS_MAX: usize = 250;
/// The longest text of a farewell or of the end of an answer.
pub const REASON_BYTES_MAX: usize = 200;

/// A body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// NET-6: it is no MessagePack array of the fields that are expected.
    #[error("the body is not an array of the fields of its table")]
    Malformed,
    /// NET-7: a text or a list is longer than its table allows.
    #[error("a field has {found} bytes or items, at most {max} are allowed")]
    TooLong {
        /// How many there are.
        found: usize,
        /// How many may be.
        max: usize,
    },
}

/// What a node does, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Roles(pub u32);

impl Roles {
    /// Keeps and checks the whole chain.
    pub const FULL: Self = Self(1);
    /// Makes blocks with work.
    pub const MINER: Self = Self(2);
    /// Votes.
    pub const VALIDATOR: Self = Self(4);
    /// Keeps headers only.
    pub const LIGHT: Self = Self(8);
    /// Introduces nodes to each other, and may keep no chain.
    pub const TRACKER: Self = Self(16);
    /// All that have a meaning in this version.
    const KNOWN: Self = Self(31);
    const NAMES: [(Self, &str); 5] = [
        (Self::FULL, "full"),
        (Self::MINER, "miner"),
        (Self::VALIDATOR, "validator"),
        (Self::LIGHT, "light"),
        (Self::TRACKER, "tracker"),
    ];

    /// Whether all of `others` are among these.
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These and `others`.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those of these that have a meaning here: what nobody knows is not passed on.
    #[must_use]
    pub fn known(self) -> Self {
        Self(self.0 & Self::KNOWN.0)
    }

    /// The names of those that have one.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(role, _)| self.contains(*role)).map(|(_, name)| name)
    }
}

/// A short text of another node that is shown to people: printable, on one line, in reading order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// `text` with `?` in place of what must not reach a terminal or a page, and cut after `bytes_max`.
    pub fn new(text: &str, bytes_max: usize) -> Self {
        let mut clean = String::new();
        for letter in text.chars() {
            let shown = if letter == ' '
                || letter.is_ascii_graphic()
                || (!letter.is_ascii() && letter.is_alphanumeric())
            {
                letter
            } else {
                '?'
            };
            if clean.len() + shown.len_utf8() > bytes_max {
                break;
            }
            clean.push(shown);
        }
        Self(clean.trim().to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bit of a greeting's `services` of a node that dials back for others who ask whether they can be dialled.
pub const DIALS_BACK: u32 = 1;

/// A greeting: who speaks, for which network, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of links that it speaks.
    pub version: u16,
    /// The id of block 0 of its network.
    pub identity: [u8; 32],
    /// Its program and version, such as `cairn/0.1.0`.
    pub software: Label,
    /// What its owner calls it; it may be empty.
    pub name: Label,
    /// What it does.
    pub roles: Roles,
    /// What else it offers, as bits whose meaning the ledger gives.
    pub services: u32,
    /// The height of its newest block.
    pub height: u64,
    /// The id of that block.
    pub head: [u8; 32],
    /// The work of its chain, a big-endian number.
    pub work: [u8; 32],
    /// Where it can be dialled. An unspecified address stands for the one that it is seen at.
    pub listen: Vec<SocketAddr>,
    /// Where it sees the other side.
    pub observed: Option<SocketAddr>,
    /// A number drawn at the start of the program: whoever hears its own speaks with itself.
    pub nonce: u64,
    /// Its clock, in milliseconds since 1970.
    pub time_ms: u64,
}

/// A node that another one knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRecord {
    /// Where it can be dialled.
    pub address: SocketAddr,
    /// Who is there, if that is known.
    pub node: Option<NodeId>,
    /// When it was last talked to, in seconds since 1970.
    pub last_seen_s: u64,
    /// What it does.
    pub roles: Roles,
}

impl AddressRecord {
    /// The neighbourhood of the address.
    pub fn group(&self) -> AddressGroup {
        AddressGroup::of(self.address.ip())
    }
}

/// Why a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ByeCode {
    /// The node stops.
    Leaving,
    /// The networks differ.
    OtherNetwork,
    /// The versions do not go together.
    Version,
    /// A node speaks with itself.
    Myself,
    /// There is another link with this node.
    Duplicate,
    /// There are enough peers, or better ones.
    Full,
    /// A frame or a message breaks a rule.
    Protocol,
    /// Too many messages.
    RateLimit,
    /// The node or its address is banned.
    Banned,
    /// NET-5: What was sent to it is not read.
    Slow,
    /// NET-14: Nothing was heard for too long.
    Silent,
    /// Whoever runs the node wants it.
    Operator,
    /// A reason that the ledger or a later version gives.
    Other(u16),
}

impl ByeCode {
    const NUMBERS: [(Self, u16); 12] = [
        (Self::Leaving, 1),
        (Self::OtherNetwork, 2),
        (Self::Version, 3),
        (Self::Myself, 4),
        (Self::Duplicate, 5),
        (Self::Full, 6),
        (Self::Protocol, 7),
        (Self::RateLimit, 8),
        (Self::Banned, 9),
        (Self::Slow, 10),
        (Self::Silent, 11),
        (Self::Operator, 12),
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Other(number) => number,
            known => {
                Self::NUMBERS.into_iter().find(|(code, _)| *code == known).map_or(0, |(_, number)| number)
            }
        }
    }

    /// The reason of a number.
    pub fn from_number(number: u16) -> Self {
        let known = Self::NUMBERS.into_iter().find(|(_, it)| *it == number);
        known.map_or(Self::Other(number), |(code, _)| code)
    }
}

/// A farewell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// Why.
    pub code: ByeCode,
    /// The same for people.
    pub text: Label,
}

impl Bye {
    /// A farewell for `code`, told in `text`.
    pub fn new(code: ByeCode, text: &str) -> Self {
        Self { code, text: Label::new(text, REASON_BYTES_MAX) }
    }
}

/// How an answer on a bulk stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkEnd {
    /// Whether it is whole.
    pub code: EndCode,
    /// The same for people.
    pub text: Label,
}

impl BulkEnd {
    /// An end for `code`, told in `text`.
    pub fn new(code: EndCode, text: &str) -> Self {
        Self { code, text: Label::new(text, REASON_BYTES_MAX) }
    }
}

/// Whether an answer is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndCode {
    /// All that was asked for was sent.
    Complete,
    /// NET-16: Too many requests at a time.
    Busy,
    /// It is not here, or not any more.
    Unavailable,
    /// The node failed.
    Failed,
    /// A reason that the ledger or a later version gives.
    Other(u16),
}

impl EndCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Complete => 0,
            Self::Busy => 1,
            Self::Unavailable => 2,
            Self::Failed => 3,
            Self::Other(number) => number,
        }
    }

    /// The reason of a number.
    pub fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Complete,
            1 => Self::Busy,
            2 => Self::Unavailable,
            3 => Self::Failed,
            number => Self::Other(number),
        }
    }
}

impl Hello {
    /// The frame that says it.
    pub fn to_frame(&self) -> Frame {
        let mut writer = Writer::array(13);
        writer.number(self.version.into());
        writer.bytes(&self.identity);
        writer.text(self.software.as_str());
        writer.text(self.name.as_str());
        writer.number(self.roles.0.into());
        writer.number(self.services.into());
        writer.number(self.height);
        writer.bytes(&self.head);
        writer.bytes(&self.work);
        writer.list(self.listen.len());
        self.listen.iter().for_each(|it| writer.text(&it.to_string()));
        writer.text(&self.observed.map(|it| it.to_string()).unwrap_or_default());
        writer.number(self.nonce);
        writer.number(self.time_ms);
        Frame::new(HEL, writer.finish())
    }

    /// Reads the body of such a frame.
    ///
    /// # Errors
    ///
    /// It is malformed, or a field is too long. Addresses that cannot be read are left out.
    pub fn read(body: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(body);
        let more = reader.fields(13)?;
        let hello = Self {
            version: reader.number()?,
            identity: reader.bytes()?,
            software: Label::new(reader.text(SOFTWARE_BYTES_MAX)?, SOFTWARE_BYTES_MAX),
            name: Label::new(reader.text(NAME_BYTES_MAX)?, NAME_BYTES_MAX),
            roles: Roles(reader.number()?),
            services: reader.number()?,
            height: reader.number()?,
            head: reader.bytes()?,
            work: reader.bytes()?,
            listen: {
                let count = reader.list(LISTEN_MAX)?;
                let texts = (0..count).map(|_| reader.text(ADDRESS_BYTES_MAX));
                let sockets = texts.map(|text| text.map(socket)).collect::<Result<Vec<_>, _>>()?;
                sockets.into_iter().flatten().collect()
            },
            observed: socket(reader.text(ADDRESS_BYTES_MAX)?),
            nonce: reader.number()?,
            time_ms: reader.number()?,
        };
        reader.skip(more)?;
        reader.finish()?;
        Ok(hello)
    }
}

/// The socket that a text names; none if it is a name, a port of 0, or something that is not known yet.
fn socket(text: &str) -> Option<SocketAddr> {
    let socket: SocketAddr = text.parse().ok()?;
    (socket.port() != 0).then(|| SocketAddr::new(socket.ip().to_canonical(), socket.port()))
}

/// A question or an answer about being there.
pub(crate) fn ping_frame(tag: Tag, nonce: u64) -> Frame {
    let mut writer = Writer::array(1);
    writer.number(nonce);
    Frame::new(tag, writer.finish())
}

/// Its number.
pub(crate) fn read_ping(body: &[u8]) -> Result<u64, MessageError> {
    let mut reader = Reader::new(body);
    let more = reader.fields(1)?;
    let nonce = reader.number()?;
    reader.skip(more)?;
    reader.finish()?;
    Ok(nonce)
}

/// The question for addresses.
pub(crate) fn ask_addresses_frame() -> Frame {
    Frame::new(GAD, Writer::array(0).finish())
}

/// Whether a body is such a question.
pub(crate) fn read_ask_addresses(body: &[u8]) -> Result<(), MessageError> {
    let mut reader = Reader::new(body);
    let more = reader.fields(0)?;
    reader.skip(more)?;
    reader.finish()
}

/// The first [`RECORDS_MAX`] of `records`.
pub(crate) fn addresses_frame(records: &[AddressRecord]) -> Frame {
    let records = &records[..records.len().min(RECORDS_MAX)];
    let mut writer = Writer::array(1);
    writer.list(records.len());
    for record in records {
        writer.list(4);
        writer.text(&record.address.to_string());
        writer.bytes(record.node.map(NodeId::to_bytes).as_ref().map_or(&[], |it| &it[..]));
        writer.number(record.last_seen_s);
        writer.number(record.roles.0.into());
    }
    Frame::new(ADR, writer.finish())
}

/// The records of a list; those whose address or node cannot be read or dialled are left out.
pub(crate) fn read_addresses(body: &[u8]) -> Result<Vec<AddressRecord>, MessageError> {
    let mut reader = Reader::new(body);
    let more = reader.fields(1)?;
    let count = reader.list(RECORDS_MAX)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let more = reader.fields(4)?;
        let address = socket(reader.text(ADDRESS_BYTES_MAX)?).filter(|it| is_dialable(it.ip()));
        let key = reader.bytes_or_none()?;
        let last_seen_s = reader.number()?;
        let roles = Roles(reader.number()?);
        reader.skip(more)?;
        // A record without a key is good for dialling; one with a key that is none is good for nothing.
        let node = key.map(NodeId::from_bytes);
        if let (Some(address), None | Some(Some(_))) = (address, node) {
            records.push(AddressRecord { address, node: node.flatten(), last_seen_s, roles });
        }
    }
    reader.skip(more)?;
    reader.finish()?;
    Ok(records)
}

fn reason_frame(tag: Tag, code: u16, text: &Label) -> Frame {
    let mut writer = Writer::array(2);
    writer.number(code.into());
    writer.text(text.as_str());
    Frame::new(tag, writer.finish())
}

fn read_reason(body: &[u8]) -> Result<(u16, Label), MessageError> {
    let mut reader = Reader::new(body);
    let more = reader.fields(2)?;
    let code = reader.number()?;
    let text = Label::new(reader.text(REASON_BYTES_MAX)?, REASON_BYTES_MAX);
    reader.skip(more)?;
    reader.finish()?;
    Ok((code, text))
}

impl Bye {
    pub(crate) fn to_frame(&self) -> Frame {
        reason_frame(BYE, self.code.number(), &self.text)
    }

    pub(crate) fn read(body: &[u8]) -> Result<Self, MessageError> {
        let (code, text) = read_reason(body)?;
        Ok(Self { code: ByeCode::from_number(code), text })
    }
}

impl BulkEnd {
    pub(crate) fn to_frame(&self) -> Frame {
        reason_frame(END, self.code.number(), &self.text)
    }

    pub(crate) fn read(body: &[u8]) -> Result<Self, MessageError> {
        let (code, text) = read_reason(body)?;
        Ok(Self { code: EndCode::from_number(code), text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    fn hello() -> Hello {
        Hello {
            version: 1,
            identity: [1; 32],
            software: Label::new(&"s".repeat(64), SOFTWARE_BYTES_MAX),
            name: Label::new(&"ä".repeat(16), NAME_BYTES_MAX),
            roles: Roles(u32::MAX),
            services: u32::MAX,
            height: u64::MAX,
            head: [2; 32],
            work: [3; 32],
            listen: vec!["[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(); LISTEN_MAX],
            observed: Some("192.0.2.1:7781".parse().unwrap()),
            nonce: u64::MAX,
            time_ms: u64::MAX,
        }
    }

    #[test]
    fn net_6_a_body_is_an_array_of_its_fields() {
        let whole = hello().to_frame().body.to_vec();
        assert_eq!(Hello::read(&whole), Ok(hello()));
        for length in 0..whole.len() {
            assert_eq!(Hello::read(&whole[..length]), Err(MessageError::Malformed), "{length} bytes");
        }
        assert_eq!(Hello::read(&[&whole[..], &[0]].concat()), Err(MessageError::Malformed));
        for body in [&b"\x91\xff"[..], b"\x91\xc0", b"\x91\xa1x", b"\x81\x01\x01", b"\x90", b""] {
            assert_eq!(read_ping(body), Err(MessageError::Malformed), "{body:02x?}");
        }
        // A number in a longer form than it needs is the same number; more fields are read over.
        assert_eq!(read_ping(b"\x91\xcf\0\0\0\0\0\0\0\x05"), Ok(5));
        assert_eq!(read_ping(b"\x93\x05\xc0\x82\x01\x02\x03\x92\xa1x\xc4\x01x"), Ok(5));
        let deep = [&b"\x92\x05"[..], &[0x91; 40], b"\xc0"].concat();
        assert_eq!(read_ping(&deep), Err(MessageError::Malformed));
    }

    #[test]
    fn net_7_texts_and_lists_have_limits() {
        let too_long = |found, max| Err(MessageError::TooLong { found, max });
        let long = [&b"\x92\x01\xd9\xc9"[..], &[b'x'; 201]].concat();
        assert_eq!(Bye::read(&long).map(drop), too_long(201, 200));
        assert_eq!(read_addresses(b"\x91\xdc\x00\xfb").map(drop), too_long(251, 250));
        assert_eq!(read_addresses(b"\x91\xdd\xff\xff\xff\xff").map(drop), too_long(u32::MAX as usize, 250));
    }

    #[test]
    fn the_longest_messages_fit_their_limits() {
        assert!(hello().to_frame().body.len() <= HEL_BYTES_MAX);
        let bye = Bye::new(ByeCode::Other(u16::MAX), &"x".repeat(300));
        assert_eq!(bye.text.as_str().len(), REASON_BYTES_MAX);
        assert!(bye.to_frame().body.len() <= BYE_BYTES_MAX);
        let record = AddressRecord {
            address: hello().listen[0],
            node: Some(NodeKey::from_seed([1; 32]).id()),
            last_seen_s: u64::MAX,
            roles: Roles(u32::MAX),
        };
        let frame = addresses_frame(&vec![record; 300]);
        assert!(frame.body.len() <= ADR_BYTES_MAX);
        assert_eq!(read_addresses(&frame.body), Ok(vec![]), "an address of multicast is left out");
        assert!(ping_frame(PIN, u64::MAX).body.len() <= PIN_BYTES_MAX);
        assert!(ask_addresses_frame().body.len() <= GAD_BYTES_MAX);
    }

    #[test]
    fn texts_of_others_cannot_move_the_cursor_or_turn_a_line_around() {
        let label = Label::new("a\x1b[2Jb\n\u{202e}c\u{200b}d<é>", 64);
        assert_eq!(label.as_str(), "a?[2Jb??c?d<é>");
        assert_eq!(Label::new("äää", 5).as_str(), "ää");
    }

    #[test]
    fn reasons_keep_their_numbers() {
        for number in 0..40 {
            assert_eq!(ByeCode::from_number(number).number(), number);
            assert_eq!(EndCode::from_number(number).number(), number);
        }
    }
}
