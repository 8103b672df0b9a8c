//! Invites: one text that names a network and where to find it, so that a stranger can join.
//!
//! The text is bech32m (BIP-350) over the bytes of `docs/spec/13-joining.md`. It has one form: whatever is
//! read and written again is the same text, but for upper case.
//!
//! # Not provided
//!
//! An invite is no secret and no permission, and it does not say who wrote it. What is joined is whatever has
//! the identity that it names.

use crate::api::views::InviteView;
use bech32::primitives::decode::{CheckedHrpstring, UncheckedHrpstring};
use bech32::{Bech32m, Fe32, Hrp};
use cairn_core::genesis::Genesis;
use cairn_core::hash::BlockId;
use cairn_core::network::NAME_BYTES_MAX;
use cairn_p2p::{Host, NodeId, PeerAddress};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

/// What every invite begins with, before the `1` that divides it.
pub const PREFIX: &str = "cairninvite";
/// The most addresses of an invite.
pub const ADDRESSES_MAX: usize = 4;
/// The longest name of a machine in an invite, in bytes: four of them fit into the 1,023 characters up to which
/// the checksum finds three wrong ones for certain.
pub const HOST_BYTES_MAX: usize = 95;
/// The longest invite, in characters.
pub const TEXT_BYTES_MAX: usize = 1_023;

/// The version of the bytes that are written.
const VERSION: u8 = 1;
/// Version and length, which stand in front of everything else.
const HEAD_BYTES: usize = 3;
/// The characters of the checksum.
const CHECKSUM_CHARACTERS: usize = 6;
/// In the kind of an address: the key of the node there follows.
const WITH_NODE: u8 = 0x80;
const KIND_V4: u8 = 1;
const KIND_V6: u8 = 2;
const KIND_NAME: u8 = 3;

/// An invite to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    identity: BlockId,
    name: String,
    addresses: Vec<PeerAddress>,
}

/// A text is no invite, or there can be no such invite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It does not look like an invite at all.
    #[error("this is no invite: an invite looks like {PREFIX}1…")]
    NotAnInvite,
    /// The end is missing.
    #[error("the invite is cut off: {found} of its {expected} characters are here")]
    CutOff {
        /// How many characters there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The checksum is wrong.
    #[error("the invite was mistyped: its checksum does not hold")]
    Mistyped,
    /// A later release wrote it.
    #[error("the invite is of version {found}, this release reads version {VERSION}")]
    LaterVersion {
        /// Its version.
        found: u8,
    },
    /// The checksum holds, and the content is not what it must be: no mistake of typing.
    #[error("the invite breaks the rules of invites: {0}")]
    Content(Fault),
}

/// What is wrong with the content of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its length is not the one that it names, or its parts do not fill it.
    #[error("its parts and its length do not go together")]
    Length,
    /// The name of the network cannot be shown.
    #[error("the name of the network is not 1 to {NAME_BYTES_MAX} bytes of text without control characters")]
    Name,
    /// There are too few or too many addresses.
    #[error("it has {found} addresses, 1 to {ADDRESSES_MAX} are possible")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// An address is there twice.
    #[error("an address is there twice")]
    Twice,
    /// The name of a machine is too long.
    #[error("the name of a machine has {found} bytes, at most {HOST_BYTES_MAX} are possible")]
    Host {
        /// Its length.
        found: usize,
    },
    /// An address is none, or written in another form than its only one.
    #[error("an address is none, or not in its only form")]
    Address,
}

impl Invite {
    /// An invite to the network with this identity and name, whose nodes are found at the addresses. They are
    /// tried in this order.
    ///
    /// # Errors
    ///
    /// [`InviteError::Content`].
    pub fn new(identity: BlockId, name: &str, addresses: Vec<PeerAddress>) -> Result<Self, InviteError> {
        let invite = Self { identity, name: name.to_owned(), addresses };
        invite.check().map_err(InviteError::Content)?;
        Ok(invite)
    }

    /// The id of block 0, which names the network for certain.
    pub const fn identity(&self) -> &BlockId {
        &self.identity
    }

    /// What people call the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where to ask, in this order.
    pub fn addresses(&self) -> &[PeerAddress] {
        &self.addresses
    }

    /// Whether a text is meant to be an invite, right or wrong: anything else may be an address.
    pub fn is_meant_by(text: &str) -> bool {
        let text = text.trim();
        text.len() > PREFIX.len()
            && text.is_char_boundary(PREFIX.len())
            && text[..PREFIX.len()].eq_ignore_ascii_case(PREFIX)
            && text[PREFIX.len()..].starts_with('1')
    }

    fn check(&self) -> Result<(), Fault> {
        let name = &self.name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(Fault::Name);
        }
        let found = self.addresses.len();
        if !(1..=ADDRESSES_MAX).contains(&found) {
            return Err(Fault::Count { found });
        }
        for (place, address) in self.addresses.iter().enumerate() {
            if self.addresses[..place].contains(address) {
                return Err(Fault::Twice);
            }
            match &address.host {
                Host::Name(name) if name.len() > HOST_BYTES_MAX => {
                    return Err(Fault::Host { found: name.len() });
                }
                Host::Name(_) | Host::Ip(_) => {}
            }
            // An address that was put together by hand need not be one.
            if address.to_string().parse() != Ok(address.clone()) {
                return Err(Fault::Address);
            }
        }
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut rest = Vec::new();
        rest.extend_from_slice(&self.identity.0);
        push_text(&mut rest, &self.name);
        rest.push(u8::try_from(self.addresses.len()).expect("an invite has at most four addresses"));
        for address in &self.addresses {
            push_address(&mut rest, address);
        }
        let length = u16::try_from(rest.len()).expect("the parts of an invite are below 600 bytes");
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&rest);
        bytes
    }

    /// Reads what stands behind the head.
    fn read(rest: &[u8]) -> Result<Self, InviteError> {
        let mut parts = Parts(rest);
        let read = |parts: &mut Parts<'_>| {
            let identity = BlockId(parts.array()?);
            let name = parts.text()?;
            let count = usize::from(parts.byte()?);
            if count > ADDRESSES_MAX {
                return Err(Fault::Count { found: count });
            }
            let addresses = (0..count).map(|_| parts.address()).collect::<Result<_, _>>()?;
            if parts.0.is_empty() { Ok(Self { identity, name, addresses }) } else { Err(Fault::Length) }
        };
        let invite = read(&mut parts).map_err(InviteError::Content)?;
        invite.check().map_err(InviteError::Content)?;
        Ok(invite)
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).expect("texts of an invite are at most 95 bytes"));
    bytes.extend_from_slice(text.as_bytes());
}

fn push_address(bytes: &mut Vec<u8>, address: &PeerAddress) {
    let with_node = if address.id.is_some() { WITH_NODE } else { 0 };
    let kind = match &address.host {
        Host::Ip(IpAddr::V4(_)) => KIND_V4,
        Host::Ip(IpAddr::V6(_)) => KIND_V6,
        Host::Name(_) => KIND_NAME,
    };
    bytes.push(kind | with_node);
    if let Some(node) = address.id {
        bytes.extend_from_slice(&node.to_bytes());
    }
    match &address.host {
        Host::Ip(IpAddr::V4(ip)) => bytes.extend_from_slice(&ip.octets()),
        Host::Ip(IpAddr::V6(ip)) => bytes.extend_from_slice(&ip.octets()),
        Host::Name(name) => push_text(bytes, name),
    }
    bytes.extend_from_slice(&address.port.to_le_bytes());
}

/// What is still to be read.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        Ok(self.take(N)?.try_into().expect("so many bytes were taken"))
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    fn text(&mut self) -> Result<String, Fault> {
        let length = usize::from(self.byte()?);
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| Fault::Name)
    }

    fn address(&mut self) -> Result<PeerAddress, Fault> {
        let kind = self.byte()?;
        let id = match kind & WITH_NODE {
            0 => None,
            _ => Some(NodeId::from_bytes(self.array()?).ok_or(Fault::Address)?),
        };
        let host = match kind & !WITH_NODE {
            KIND_V4 => Host::Ip(Ipv4Addr::from(self.array::<4>()?).into()),
            KIND_V6 => Host::Ip(Ipv6Addr::from(self.array::<16>()?).into()),
            KIND_NAME => Host::Name(self.text()?),
            _ => return Err(Fault::Address),
        };
        let port = u16::from_le_bytes(self.array()?);
        Ok(PeerAddress { id, host, port })
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32m>(prefix(), &self.to_bytes());
        f.write_str(&text.expect("the bounds of the parts keep an invite below 1,023 characters"))
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        if !Self::is_meant_by(text) {
            return Err(InviteError::NotAnInvite);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(InviteError::Mistyped);
        }
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| what_is_wrong(text))?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        match bytes.split_at_checked(HEAD_BYTES) {
            Some(([VERSION, length @ ..], rest)) => {
                let length = u16::from_le_bytes(length.try_into().expect("the head has three bytes"));
                if rest.len() != usize::from(length) {
                    return Err(InviteError::Content(Fault::Length));
                }
                let invite = Self::read(rest)?;
                // Bits that fill the last character are zero, or one invite would have several texts.
                if invite.to_string().eq_ignore_ascii_case(text) {
                    Ok(invite)
                } else {
                    Err(InviteError::Content(Fault::Length))
                }
            }
            Some(([found, ..], _)) => Err(InviteError::LaterVersion { found: *found }),
            _ => Err(InviteError::Content(Fault::Length)),
        }
    }
}

fn prefix() -> Hrp {
    Hrp::parse(PREFIX).expect("lower-case letters are a human-readable part")
}

/// Why the checksum of a text does not hold: where its first characters say that there must be more of it, it
/// is cut off.
fn what_is_wrong(text: &str) -> InviteError {
    let head = UncheckedHrpstring::new(text).ok().and_then(|unchecked| {
        let data = unchecked.data_part_ascii();
        // Five bits a character: version and length are the first 24 bits of 25.
        let bits = data.get(..5)?.iter().try_fold(0_u32, |bits, character| {
            let value = Fe32::from_char(char::from(*character)).ok()?;
            Some(bits << 5 | u32::from(value.to_u8()))
        })?;
        let [_, version, low, high] = (bits >> 1).to_be_bytes();
        (version == VERSION).then(|| usize::from(u16::from_le_bytes([low, high])))
    });
    let Some(length) = head else { return InviteError::Mistyped };
    let characters = (8 * (HEAD_BYTES + length)).div_ceil(5) + CHECKSUM_CHARACTERS;
    let expected = PREFIX.len() + 1 + characters;
    if text.len() < expected && expected <= TEXT_BYTES_MAX {
        InviteError::CutOff { found: text.len(), expected }
    } else {
        InviteError::Mistyped
    }
}

/// An invite for who reads JSON: to the network of a genesis, whose nodes are found at the addresses, from the
/// node with this id.
///
/// # Errors
///
/// [`InviteError::Content`].
pub fn view_of(
    genesis: &Genesis,
    id: NodeId,
    addresses: Vec<PeerAddress>,
) -> Result<InviteView, InviteError> {
    let name = &genesis.section().network.name;
    let invite = Invite::new(*genesis.identity(), name, addresses)?;
    Ok(InviteView {
        invite: invite.to_string(),
        network: name.clone(),
        identity: (*genesis.identity()).into(),
        id: id.to_string(),
        addresses: invite.addresses().iter().map(ToString::to_string).collect(),
    })
}

/// Where others find a node that listens at these addresses: themselves, and for one that stands for all of a
/// machine, the address that the machine has on the way to others.
pub fn addresses_of(listening: &[SocketAddr], node: NodeId) -> Vec<PeerAddress> {
    let mut addresses: Vec<PeerAddress> = Vec::new();
    for socket in listening {
        let ip = if socket.ip().is_unspecified() { outward_ip(socket.ip()) } else { Some(socket.ip()) };
        let Some(ip) = ip else { continue };
        let address = PeerAddress { id: Some(node), ..PeerAddress::of(SocketAddr::new(ip, socket.port())) };
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    addresses
}

/// The address of this machine on the way to others, of the same family as `ip`; this machine's own where
/// there is no way. Nothing is sent: to connect a UDP socket only looks the route up.
pub fn outward_ip(ip: IpAddr) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849), to which nothing could be sent.
    let (any, far, own): (IpAddr, IpAddr, IpAddr) = match ip {
        IpAddr::V4(_) => {
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into())
        }
        IpAddr::V6(_) => {
            let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            (Ipv6Addr::UNSPECIFIED.into(), far.into(), Ipv6Addr::LOCALHOST.into())
        }
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    let found = socket.connect((far, 9)).and_then(|()| socket.local_addr());
    Some(found.map_or(own, |address| address.ip().to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODE: &str = "12D3KooWKW2eVjWyhnR74h8Z4avJ74Y388Ag1vcWvxvYGHE8Mwn7";

    fn addresses(texts: &[&str]) -> Vec<PeerAddress> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn invite() -> Invite {
        let addresses = addresses(&["node.example:7700", &format!("{NODE}@192.0.2.1:7760")]);
        Invite::new(BlockId([7; 32]), "mycoin", addresses).unwrap()
    }

    /// The text of bytes that no invite would write.
    fn text_of(bytes: &[u8]) -> String {
        bech32::encode::<Bech32m>(prefix(), bytes).unwrap()
    }

    /// The text of a version 1 with this behind its head.
    fn text_with(rest: &[u8]) -> String {
        let length = u16::try_from(rest.len()).unwrap().to_le_bytes();
        text_of(&[&[VERSION], &length[..], rest].concat())
    }

    #[test]
    fn what_is_written_is_read_again_in_either_case_and_with_space_around_it() {
        let text = invite().to_string();
        assert!(text.starts_with("cairninvite1"), "{text}");
        for form in [text.clone(), text.to_ascii_uppercase(), format!("  {text}\n")] {
            assert_eq!(form.parse(), Ok(invite()), "{form}");
        }
    }

    #[test]
    fn the_largest_invite_fits() {
        let host = |letter: char| format!("{NODE}@{}:65535", letter.to_string().repeat(HOST_BYTES_MAX));
        let texts: Vec<String> = "abcd".chars().map(host).collect();
        let addresses = addresses(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let invite = Invite::new(BlockId([255; 32]), &"n".repeat(NAME_BYTES_MAX), addresses).unwrap();
        let text = invite.to_string();
        assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
        assert_eq!(text.parse(), Ok(invite));
    }

    #[test]
    fn an_invite_that_is_cut_off_says_so() {
        let text = invite().to_string();
        let expected = text.len();
        for found in PREFIX.len() + 12..expected {
            assert_eq!(text[..found].parse::<Invite>(), Err(InviteError::CutOff { found, expected }));
        }
        // Where not even the length is left, there is less to say.
        assert_eq!(text[..PREFIX.len() + 2].parse::<Invite>(), Err(InviteError::Mistyped));
    }

    #[test]
    fn a_wrong_character_is_found_wherever_it_stands() {
        let text = invite().to_string();
        for place in PREFIX.len() + 1..text.len() {
            let other = if &text[place..=place] == "q" { "p" } else { "q" };
            let wrong = [&text[..place], other, &text[place + 1..]].concat();
            let error = wrong.parse::<Invite>().unwrap_err();
            // In the length itself, the mistake looks like a missing end.
            let is_told = matches!(error, InviteError::Mistyped | InviteError::CutOff { .. });
            assert!(is_told, "{place}: {error}");
        }
    }

    #[test]
    fn an_invite_of_a_later_version_is_not_mistaken_for_a_wrong_one() {
        assert_eq!(text_of(&[2, 9, 9, 9]).parse::<Invite>(), Err(InviteError::LaterVersion { found: 2 }));
    }

    #[test]
    fn other_texts_are_no_invites() {
        for text in ["", "cairninvite", "cairn1qqqq", "192.0.2.1:7700", "cairninvité1", "node.example:1"] {
            assert_eq!(text.parse::<Invite>(), Err(InviteError::NotAnInvite), "{text}");
        }
        let long = format!("cairninvite1{}", "q".repeat(TEXT_BYTES_MAX));
        assert_eq!(long.parse::<Invite>(), Err(InviteError::Mistyped));
    }

    #[test]
    fn content_that_breaks_a_rule_is_refused_though_its_checksum_holds() {
        let identity = [7; 32];
        let rest = |parts: &[&[u8]]| [&identity[..], &parts.concat()].concat();
        // The point with y = 2 is not on the curve.
        let off_curve: [u8; 32] = std::array::from_fn(|place| if place == 0 { 2 } else { 0 });
        let v4 = [KIND_V4, 192, 0, 2, 1, 0x14, 0x1e];
        let mapped = [&[KIND_V6][..], &"::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets(), &[1, 0]];
        let cases: &[(Vec<u8>, Fault)] = &[
            (vec![], Fault::Length),
            (rest(&[&[1, b'x', 1], &v4[..6]]), Fault::Length),
            (rest(&[&[1, b'x', 1], &v4, &[0]]), Fault::Length),
            (rest(&[&[0, 1], &v4]), Fault::Name),
            (rest(&[&[1, 0xff, 1], &v4]), Fault::Name),
            (rest(&[&[1, 0x1b, 1], &v4]), Fault::Name),
            (rest(&[&[1, b'x', 0]]), Fault::Count { found: 0 }),
            (rest(&[&[1, b'x', 5]]), Fault::Count { found: 5 }),
            (rest(&[&[1, b'x', 2], &v4, &v4]), Fault::Twice),
            (rest(&[&[1, b'x', 1, KIND_V4, 192, 0, 2, 1, 0, 0]]), Fault::Address),
            (rest(&[&[1, b'x', 1, 4, 192, 0, 2, 1, 1, 0]]), Fault::Address),
            (rest(&[&[1, b'x', 1], &mapped.concat()]), Fault::Address),
            (rest(&[&[1, b'x', 1, KIND_NAME, 1, b'X', 1, 0]]), Fault::Address),
            (rest(&[&[1, b'x', 1, KIND_NAME, 96], &[b'a'; 96], &[1, 0]]), Fault::Host { found: 96 }),
            (rest(&[&[1, b'x', 1, KIND_V4 | WITH_NODE], &off_curve, &v4[1..]]), Fault::Address),
        ];
        for (rest, fault) in cases {
            assert_eq!(text_with(rest).parse::<Invite>(), Err(InviteError::Content(*fault)), "{rest:?}");
        }
        // A length that is not that of what follows.
        let wrong = text_of(&[&[VERSION, 1, 0][..], &rest(&[&[1, b'x', 1], &v4])].concat());
        assert_eq!(wrong.parse::<Invite>(), Err(InviteError::Content(Fault::Length)));
    }

    #[test]
    fn a_node_that_listens_everywhere_is_named_by_an_address_of_its_machine() {
        let node: NodeId = NODE.parse().unwrap();
        let listening = ["192.0.2.9:1", "0.0.0.0:2", "192.0.2.9:1"].map(|it| it.parse().unwrap());
        let found = addresses_of(&listening, node);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], format!("{NODE}@192.0.2.9:1").parse().unwrap());
        assert!(matches!(found[1].host, Host::Ip(ip) if !ip.is_unspecified()), "{}", found[1]);
    }

    #[test]
    fn the_vectors_are_read_written_and_refused_as_they_say() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/spec/vectors/invites.json")).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let valid = file["valid"].as_array().unwrap();
        for case in valid {
            let addresses = case["addresses"].as_array().unwrap().iter().map(|told| {
                let place: PeerAddress = format!("{}:{}", text(&told["host"]), told["port"]).parse().unwrap();
                let id = told["node"]
                    .as_str()
                    .map(|node| NodeId::from_bytes(const_hex::decode_to_array(node).unwrap()).unwrap());
                PeerAddress { id, ..place }
            });
            let identity = BlockId(const_hex::decode_to_array(text(&case["identity"])).unwrap());
            let invite = Invite::new(identity, &text(&case["name"]), addresses.collect()).unwrap();
            assert_eq!(invite.to_string(), text(&case["text"]));
            assert_eq!(const_hex::encode(invite.to_bytes()), text(&case["bytes"]));
            assert_eq!(text(&case["text"]).parse(), Ok(invite));
        }
        let refused = file["refused"].as_array().unwrap();
        for case in refused {
            let why = match text(&case["text"]).parse::<Invite>().unwrap_err() {
                InviteError::NotAnInvite => "not-an-invite",
                InviteError::CutOff { .. } => "cut-off",
                InviteError::Mistyped => "mistyped",
                InviteError::LaterVersion { .. } => "later-version",
                InviteError::Content(_) => "content",
            };
            assert_eq!(why, case["why"], "{case}");
        }
        assert!(valid.len() >= 4 && refused.len() >= 30);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "cairninvite1[02-9ac-hj-np-z]{0,80}") {
            if let Ok(invite) = text.parse::<Invite>() {
                prop_assert_eq!(invite.to_string(), text);
            }
        }

        #[test]
        fn any_content_has_one_text(rest in proptest::collection::vec(any::<u8>(), 0..120)) {
            let text = text_with(&rest);
            if let Ok(invite) = text.parse::<Invite>() {
                prop_assert_eq!(invite.to_string(), text);
            }
        }
    }
}
