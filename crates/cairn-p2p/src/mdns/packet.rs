//! The two packets of multicast DNS that nodes send: who is there, and I am here.
//!
//! They are those of libp2p's
//! [mDNS](https://github.com/libp2p/specs/blob/master/discovery/mdns.md) in the form for private networks: the
//! service has the beginning of the network's identity in its name. Names are written whole, as RFC 1035 (3.1) has
//! them, and read with pointers (4.1.4), because others may compress them.

use crate::address::{from_multiaddr, to_multiaddr};
use crate::key::NodeId;
use libp2p_core::Multiaddr;
use libp2p_core::multiaddr::Protocol;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest packet that is read, in bytes: what fits an Ethernet frame.
pub(super) const PACKET_BYTES_MAX: usize = 1_500;
/// Records of a packet that are looked at.
const RECORDS_MAX: u16 = 32;
/// Questions of a packet that are looked at.
const QUESTIONS_MAX: u16 = 16;
/// Labels and pointers of one name; a name of 255 bytes has at most 127 labels.
const LABELS_MAX: usize = 16;
/// Bytes of a packet before its first question.
const HEAD_BYTES: usize = 12;
/// The flags of an answer that speaks for itself (RFC 6762, 18).
const ANSWER_FLAGS: u16 = 0x8400;
const CLASS_IN: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;

/// The name that nodes of one network are asked for by, and its labels.
#[derive(Clone, Debug)]
pub(super) struct Service(String);

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// He asks for nodes of this network.
    Question,
    /// He says of himself that there are nodes.
    Answer(Vec<Here>),
}

/// A node, as it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) node: NodeId,
    pub(super) port: u16,
    /// How long to believe it.
    pub(super) ttl: Duration,
}

impl Service {
    pub(super) fn of(identity: &[u8; 32]) -> Self {
        Self(format!("_p2p-{}", const_hex::encode(&identity[..8])))
    }

    fn labels(&self) -> [&str; 3] {
        [&self.0, "_udp", "local"]
    }

    /// The question for nodes of this network.
    pub(super) fn question(&self) -> Vec<u8> {
        let mut packet = head(0, [1, 0, 0]);
        put_name(&mut packet, &self.labels());
        put_numbers(&mut packet, &[TYPE_PTR, CLASS_IN]);
        packet
    }

    /// What the node at `address` answers; it is to be believed for `ttl_s` seconds.
    pub(super) fn answer(&self, node: NodeId, address: SocketAddr, ttl_s: u32) -> Vec<u8> {
        let place = to_multiaddr(address).with(Protocol::P2p(node.to_peer_id()));
        let [service, transport, top] = self.labels();
        // The name of the record means nothing; it must only be another one for each node.
        let name = [&const_hex::encode(&node.to_bytes()[..16])[..], service, transport, top];
        let mut pointer = Vec::new();
        put_name(&mut pointer, &name);
        let text = format!("dnsaddr={place}");
        let text_bytes =
            u8::try_from(text.len()).expect("an IP address, a port and an id have some 90 bytes");
        let mut packet = head(ANSWER_FLAGS, [0, 1, 1]);
        put_name(&mut packet, &self.labels());
        put_record(&mut packet, TYPE_PTR, ttl_s, &pointer);
        put_name(&mut packet, &name);
        put_record(&mut packet, TYPE_TXT, ttl_s, &[&[text_bytes], text.as_bytes()].concat());
        packet
    }

    /// What a packet says about nodes of this network; none if nothing, or if it is no packet.
    pub(super) fn read(&self, packet: &[u8]) -> Option<Packet> {
        let mut reader = Reader { packet, at: 2 };
        let flags = reader.number()?;
        let [questions, answers, authorities, more] =
            [reader.number()?, reader.number()?, reader.number()?, reader.number()?];
        if questions > QUESTIONS_MAX {
            return None;
        }
        let mut is_asked = false;
        for _ in 0..questions {
            is_asked |= reader.name()?.is(&self.labels());
            reader.skip(4)?;
        }
        if flags & 0x8000 == 0 {
            return is_asked.then_some(Packet::Question);
        }
        let records = answers.saturating_add(authorities).saturating_add(more);
        let mut here = Vec::new();
        for _ in 0..records.min(RECORDS_MAX) {
            let name = reader.name()?;
            let (kind, _class) = (reader.number()?, reader.number()?);
            let ttl_s = u32::from(reader.number()?) << 16 | u32::from(reader.number()?);
            let length = reader.number()?;
            let data = reader.bytes(length.into())?;
            if kind == TYPE_TXT && name.ends_with(&self.labels()) {
                let ttl = Duration::from_secs(ttl_s.into());
                here.extend(texts(data).filter_map(|text| read_place(text, ttl)));
            }
        }
        (!here.is_empty()).then_some(Packet::Answer(here))
    }
}

/// The strings of a record of text (RFC 1035, 3.3.14).
fn texts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        data = rest;
        Some(text)
    })
}

fn read_place(text: &[u8], ttl: Duration) -> Option<Here> {
    let place: Multiaddr = std::str::from_utf8(text.strip_prefix(b"dnsaddr=")?).ok()?.parse().ok()?;
    let port = from_multiaddr(&place)?.port();
    let Some(Protocol::P2p(peer)) = place.iter().last() else { return None };
    (port != 0).then_some(Here { node: NodeId::from_peer_id(&peer)?, port, ttl })
}

/// The first 12 bytes: no number, flags, and how many questions, answers and other records follow.
fn head(flags: u16, [questions, answers, more]: [u16; 3]) -> Vec<u8> {
    let mut packet = Vec::new();
    put_numbers(&mut packet, &[0, flags, questions, answers, 0, more]);
    debug_assert_eq!(packet.len(), HEAD_BYTES);
    packet
}

fn put_numbers(packet: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|number| packet.extend(number.to_be_bytes()));
}

fn put_name(packet: &mut Vec<u8>, labels: &[&str]) {
    for label in labels {
        packet.push(u8::try_from(label.len()).expect("labels here have at most 32 bytes"));
        packet.extend(label.as_bytes());
    }
    packet.push(0);
}

/// All of a record that follows its name.
fn put_record(packet: &mut Vec<u8>, kind: u16, ttl_s: u32, data: &[u8]) {
    put_numbers(packet, &[kind, CLASS_IN]);
    packet.extend(ttl_s.to_be_bytes());
    put_numbers(packet, &[u16::try_from(data.len()).expect("data here have at most 256 bytes")]);
    packet.extend(data);
}

/// A packet of somebody else, and how far it was read.
struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

/// A name as its labels.
struct Name<'a>(Vec<&'a [u8]>);

impl Name<'_> {
    fn is(&self, labels: &[&str]) -> bool {
        self.0.len() == labels.len() && self.ends_with(labels)
    }

    /// Whether it is these labels or below them; letters are the same in both cases (RFC 6762, 16).
    fn ends_with(&self, labels: &[&str]) -> bool {
        let Some(skipped) = self.0.len().checked_sub(labels.len()) else { return false };
        let both = self.0.iter().skip(skipped).zip(labels);
        both.into_iter().all(|(found, label)| found.eq_ignore_ascii_case(label.as_bytes()))
    }
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.packet.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes(count).map(drop)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.bytes(2)?;
        Some(u16::from_be_bytes(bytes.try_into().expect("there are two of them")))
    }

    /// A name: labels, up to an empty one or a pointer to further ones. Labels and pointers are counted, so a
    /// pointer that leads in a circle ends soon.
    fn name(&mut self) -> Option<Name<'a>> {
        let (mut labels, mut end) = (Vec::new(), None);
        for _ in 0..LABELS_MAX {
            let length = *self.bytes(1)?.first()?;
            match length {
                0 => {
                    self.at = end.unwrap_or(self.at);
                    return Some(Name(labels));
                }
                1..=0x3f => labels.push(self.bytes(length.into())?),
                0xc0.. => {
                    let low = *self.bytes(1)?.first()?;
                    end.get_or_insert(self.at);
                    self.at = usize::from(length & 0x3f) << 8 | usize::from(low);
                }
                0x40..=0xbf => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;
    use proptest::prelude::*;

    fn service() -> Service {
        Service::of(&[7; 32])
    }

    fn node() -> NodeId {
        NodeKey::from_seed([1; 32]).id()
    }

    fn answer() -> Vec<u8> {
        service().answer(node(), "192.168.1.2:7700".parse().unwrap(), 120)
    }

    #[test]
    fn a_question_and_an_answer_are_read_by_nodes_of_the_same_network_only() {
        let here = Here { node: node(), port: 7700, ttl: Duration::from_secs(120) };
        assert_eq!(service().read(&service().question()), Some(Packet::Question));
        assert_eq!(service().read(&answer()), Some(Packet::Answer(vec![here])));
        let other = Service::of(&[8; 32]);
        assert_eq!((other.read(&service().question()), other.read(&answer())), (None, None));
        assert!(answer().len() <= 512 && answer().len() <= PACKET_BYTES_MAX);
    }

    #[test]
    fn a_question_has_the_bytes_of_rfc_1035() {
        let expected =
            [&b"\0\0\0\0\0\x01\0\0\0\0\0\0\x15_p2p-0707070707070707\x04_udp\x05local\0"[..], b"\0\x0c\0\x01"];
        assert_eq!(service().question(), expected.concat());
    }

    #[test]
    fn names_may_be_compressed_and_in_capitals() {
        // The name of the record of text points to that of the first record, behind the head.
        let mut packet = head(ANSWER_FLAGS, [0, 1, 1]);
        put_name(&mut packet, &["_P2P-0707070707070707", "_UDP", "LOCAL"]);
        put_record(&mut packet, TYPE_PTR, 5, b"\xc0\x0c");
        packet.extend(b"\x01a\xc0\x0c");
        let text = format!("dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{}", node());
        put_record(&mut packet, TYPE_TXT, 5, &[&[text.len().try_into().unwrap()], text.as_bytes()].concat());
        let here = Here { node: node(), port: 1, ttl: Duration::from_secs(5) };
        assert_eq!(service().read(&packet), Some(Packet::Answer(vec![here])));
    }

    #[test]
    fn places_that_are_none_are_left_out() {
        let ttl = Duration::ZERO;
        let id = node();
        for text in [
            format!("dnsaddr=/ip4/10.0.0.1/tcp/0/p2p/{id}"),
            format!("dnsaddr=/ip4/10.0.0.1/udp/1/p2p/{id}"),
            format!("dnsaddr=/dns4/node.example/tcp/1/p2p/{id}"),
            format!("/ip4/10.0.0.1/tcp/1/p2p/{id}"),
            "dnsaddr=/ip4/10.0.0.1/tcp/1".to_owned(),
            "dnsaddr=".to_owned(),
        ] {
            assert_eq!(read_place(text.as_bytes(), ttl), None, "{text}");
        }
        assert!(read_place(format!("dnsaddr=/ip6/fe80::1/tcp/1/p2p/{id}").as_bytes(), ttl).is_some());
    }

    #[test]
    fn a_pointer_in_a_circle_and_a_packet_that_is_cut_off_are_nothing() {
        let mut circle = head(ANSWER_FLAGS, [0, 1, 0]);
        circle.extend(b"\xc0\x0c");
        assert_eq!(service().read(&circle), None);
        for length in 0..answer().len() {
            assert_eq!(service().read(&answer()[..length]), None, "{length} bytes");
        }
        assert_eq!(service().read(&head(ANSWER_FLAGS, [u16::MAX, u16::MAX, u16::MAX])), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..PACKET_BYTES_MAX)) {
            let _ = service().read(&bytes);
        }

        #[test]
        fn a_packet_with_wrong_bytes_is_read_or_refused(at in 0_usize..200, byte: u8) {
            let mut packet = answer();
            let at = at % packet.len();
            packet[at] = byte;
            if let Some(Packet::Answer(here)) = service().read(&packet) {
                prop_assert!(here.len() <= 1);
            }
        }
    }
}
