//! The vectors of `docs/spec/11-wire.md`: the file is compared with what the code computes, or written.
//!
//! `BLESS=1` writes `docs/spec/vectors/wire.json`, so that a change of format is a difference somebody reads.
//! `docs/spec/check.py` recomputes the same file from the page alone.

use super::support::{bulk_name, name_bytes, peer_name};
use crate::certificate::tests::{extension, with_extensions};
use crate::certificate::{self, CertificateError};
use crate::frame::{FrameError, HEAD_BYTES, Head, Place, StreamKind, Tags, decode};
use crate::message::{self, MessageError};
use crate::session::link_body_bytes_max;
use crate::{
    AddressRecord, BulkEnd, Bye, ByeCode, EndCode, Frame, Hello, Label, NodeId, NodeKey, Roles, Tag,
};
use rcgen::{CustomExtension, KeyPair};
use serde_json::{Value, json};
use std::net::SocketAddr;

#[test]
fn wire_vectors() {
    let computed = json!({
        "names": names(),
        "nodes": nodes(),
        "certificates": certificates(),
        "refused_certificates": refused_certificates(),
        "frames": frames(),
        "frame_heads": frame_heads(),
        "messages": written_messages(),
        "read_messages": read_messages(),
        "refused_messages": refused_messages(),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/vectors/wire.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, format!("{computed:#}\n")).unwrap();
        return;
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (part, value) in computed.as_object().unwrap() {
        assert_eq!(&kept[part], value, "{part}: if it was meant to change, run `cargo xtask bless`");
    }
}

fn names() -> Vec<Value> {
    let of_streams = [peer_name(), bulk_name()];
    let streams = crate::streams::Names::of(&[7; 32]);
    assert_eq!(of_streams, [streams.peer.to_string(), streams.bulk.to_string()]);
    let fixed = ["/multistream/1.0.0", "/tls/1.0.0", "/yamux/1.0.0", "na"].map(str::to_owned);
    let all = fixed.into_iter().chain(of_streams);
    all.map(|name| json!({"name": name, "bytes": const_hex::encode(name_bytes(&name))})).collect()
}

fn node(seed: u8) -> NodeKey {
    NodeKey::from_seed([seed; 32])
}

fn nodes() -> Vec<Value> {
    let of = |id: NodeId| json!({"public_key": const_hex::encode(id.to_bytes()), "text": id.to_string()});
    (1..4).map(|seed| of(node(seed).id())).collect()
}

/// A key whose certificates are the same whenever they are made: ed25519 draws no chance. PKCS #8 is
/// RFC 8410, 7.
fn pair() -> KeyPair {
    let head = const_hex::decode("302e020100300506032b657004220420").unwrap();
    KeyPair::try_from([&head[..], &[0x51; 32]].concat()).unwrap()
}

fn key_of(id: NodeId) -> Vec<u8> {
    [&[8, 1, 0x12, 0x20][..], &id.to_bytes()].concat()
}

fn good_extension(pair: &KeyPair) -> CustomExtension {
    extension(pair, &key_of(node(3).id()), &node(3))
}

/// An extension that says nothing to nodes.
fn foreign(bytes: usize, is_critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 53594, 9, 9], vec![5; bytes]);
    extension.set_criticality(is_critical);
    extension
}

fn proven(bytes: &[u8]) -> Result<NodeId, CertificateError> {
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    certificate::check(bytes, &algorithms).map(|proven| proven.node)
}

fn certificates() -> Vec<Value> {
    let pair = pair();
    let of_others = |text: &str| const_hex::decode(text.trim()).unwrap();
    let all = [
        // The example with an ed25519 key in libp2p's specification.
        ("ECDSA on P-256", of_others(include_str!("../certificate/example.hex"))),
        ("ECDSA on P-384", of_others(include_str!("../certificate/p384.hex"))),
        ("ed25519", with_extensions(&pair, vec![good_extension(&pair)])),
        (
            "another extension that is not critical",
            with_extensions(&pair, vec![good_extension(&pair), foreign(8, false)]),
        ),
    ];
    let one = |(what, bytes): (&str, Vec<u8>)| {
        let node = proven(&bytes).unwrap().to_string();
        json!({"what": what, "node": node, "bytes": const_hex::encode(bytes)})
    };
    all.into_iter().map(one).collect()
}

/// What is wrong with a certificate, as the vectors call it.
fn fault(error: CertificateError) -> &'static str {
    match error {
        CertificateError::TooLong { .. } => "size",
        CertificateError::Malformed => "form",
        CertificateError::UnknownExtension => "unknown extension",
        CertificateError::NoNode => "no node",
        CertificateError::NodeKey => "node key",
        CertificateError::SelfSignature => "own signature",
        CertificateError::NodeSignature => "node signature",
    }
}

fn refused_certificates() -> Vec<Value> {
    let pair = pair();
    let good = with_extensions(&pair, vec![good_extension(&pair)]);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let of_secp256k1 = [&[8, 2, 0x12, 0x21, 2][..], &node(3).id().to_bytes()].concat();
    let all = [
        ("a byte behind", [&good[..], &[0]].concat()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("a changed signature", flipped),
        ("no extension", with_extensions(&pair, vec![foreign(8, false)])),
        ("the extension twice", with_extensions(&pair, vec![good_extension(&pair), good_extension(&pair)])),
        ("another critical extension", with_extensions(&pair, vec![good_extension(&pair), foreign(8, true)])),
        ("a key of another kind", with_extensions(&pair, vec![extension(&pair, &of_secp256k1, &node(3))])),
        (
            "signed by another node",
            with_extensions(&pair, vec![extension(&pair, &key_of(node(3).id()), &node(4))]),
        ),
        ("too long", with_extensions(&pair, vec![good_extension(&pair), foreign(4096, false)])),
    ];
    let one = |(what, bytes): (&str, Vec<u8>)| {
        let fault = fault(proven(&bytes).unwrap_err());
        json!({"what": what, "fault": fault, "bytes": const_hex::encode(bytes)})
    };
    all.into_iter().map(one).collect()
}

fn stream_name(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Peer => "peer",
        StreamKind::Bulk => "bulk",
    }
}

fn frames() -> Vec<Value> {
    let all = [("PIN", &b"\x91\x05"[..]), ("INV", b""), ("b2X", b"any"), ("000", &[0xff; 300])];
    let one = |(tag, body): (&str, &[u8])| {
        let bytes = Frame::new(Tag::new(tag), body.to_vec()).to_bytes();
        let (read, rest) = decode(&bytes, StreamKind::Peer).unwrap().unwrap();
        assert_eq!((&read.body[..], rest), (body, &[][..]));
        json!({"tag": tag, "body": const_hex::encode(body), "bytes": const_hex::encode(bytes)})
    };
    all.into_iter().map(one).collect()
}

/// What a node that knows no frames but those about the link says of the beginning of a frame.
fn verdict(head: [u8; HEAD_BYTES], kind: StreamKind) -> Value {
    let rule = |error: FrameError| match error {
        FrameError::TooShort { .. } => json!("NET-1"),
        FrameError::Tag { .. } => json!("NET-2"),
        FrameError::TooLong { .. } => json!("NET-3"),
        FrameError::UnknownTag { .. } => json!("NET-4"),
    };
    let head = match Head::read(head, kind) {
        Ok(head) => head,
        Err(error) => return rule(error),
    };
    match link_body_bytes_max(head.tag).filter(|_| kind == StreamKind::Peer) {
        Some(max) if head.body_bytes > max && head.tag == message::HEL => json!("NET-9"),
        Some(max) if head.body_bytes > max => json!("NET-3"),
        Some(_) => json!("taken"),
        None => match Tags::new().judge(Place::Peer, head) {
            Ok(_) => json!("read over"),
            Err(error) => rule(error),
        },
    }
}

fn frame_heads() -> Vec<Value> {
    use StreamKind::{Bulk, Peer};
    let longest = |kind: StreamKind| u32::try_from(kind.body_bytes_max()).unwrap() + 3;
    let all = [
        (Peer, 0, *b"PIN"),
        (Peer, 2, *b"PIN"),
        (Peer, 3, *b"P N"),
        (Peer, 3, *b"PI\xc3"),
        (Peer, longest(Peer), *b"aaa"),
        (Peer, longest(Peer) + 1, *b"aaa"),
        (Bulk, longest(Bulk), *b"aaa"),
        (Bulk, longest(Bulk) + 1, *b"aaa"),
        (Bulk, u32::MAX, *b"aaa"),
        (Peer, 3, *b"AAA"),
        (Peer, 3, *b"0aa"),
        (Peer, 3 + 2048, *b"HEL"),
        (Peer, 3 + 2049, *b"HEL"),
        (Peer, 3 + 64, *b"PIN"),
        (Peer, 3 + 65, *b"PIN"),
        (Peer, 3 + 65, *b"PON"),
        (Peer, 3 + 17, *b"GAD"),
        (Peer, 3 + 65_536, *b"ADR"),
        (Peer, 3 + 65_537, *b"ADR"),
        (Peer, 3 + 257, *b"BYE"),
        // The end of an answer means nothing on a peer stream.
        (Peer, 3 + 10, *b"END"),
    ];
    let one = |(kind, length, tag): (StreamKind, u32, [u8; 3])| {
        let head = [&length.to_le_bytes()[..], &tag].concat();
        let verdict = verdict(head[..].try_into().unwrap(), kind);
        json!({"stream": stream_name(kind), "head": const_hex::encode(head), "verdict": verdict})
    };
    all.into_iter().map(one).collect()
}

fn socket_text(socket: SocketAddr) -> String {
    socket.to_string()
}

/// What a body says, in words of the page.
fn content(tag: Tag, body: &[u8]) -> Result<Value, MessageError> {
    Ok(match tag {
        message::HEL => {
            let hello = Hello::read(body)?;
            json!({
                "version": hello.version,
                "identity": const_hex::encode(hello.identity),
                "software": hello.software.as_str(),
                "name": hello.name.as_str(),
                "roles": hello.roles.0,
                "services": hello.services,
                "height": hello.height.to_string(),
                "head": const_hex::encode(hello.head),
                "work": const_hex::encode(hello.work),
                "listen": hello.listen.into_iter().map(socket_text).collect::<Vec<_>>(),
                "observed": hello.observed.map(socket_text).unwrap_or_default(),
                "nonce": hello.nonce.to_string(),
                "time_ms": hello.time_ms.to_string(),
            })
        }
        message::PIN | message::PON => json!({"nonce": message::read_ping(body)?.to_string()}),
        message::GAD => {
            message::read_ask_addresses(body)?;
            json!({})
        }
        message::ADR => {
            let one = |record: AddressRecord| {
                json!({
                    "address": socket_text(record.address),
                    "node": record.node.map(|id| const_hex::encode(id.to_bytes())).unwrap_or_default(),
                    "last_seen": record.last_seen_s.to_string(),
                    "roles": record.roles.0,
                })
            };
            json!({"records": message::read_addresses(body)?.into_iter().map(one).collect::<Vec<_>>()})
        }
        message::BYE => {
            let Bye { code, text } = Bye::read(body)?;
            json!({"code": code.number(), "text": text.as_str()})
        }
        message::END => {
            let BulkEnd { code, text } = BulkEnd::read(body)?;
            json!({"code": code.number(), "text": text.as_str()})
        }
        tag => panic!("{tag} is not about the link"),
    })
}

fn hello() -> Hello {
    Hello {
        version: message::VERSION,
        identity: [7; 32],
        software: Label::new("cairn/0.1.0", 64),
        name: Label::new("Zoë", 32),
        roles: Roles::FULL.and(Roles::MINER),
        services: 0,
        height: 123_456,
        head: [8; 32],
        work: [&[0; 29][..], &[1, 2, 3]].concat().try_into().unwrap(),
        listen: ["192.0.2.1:7781", "[2001:db8::1]:7781", "0.0.0.0:80"].map(|it| it.parse().unwrap()).into(),
        observed: Some("198.51.100.7:40000".parse().unwrap()),
        nonce: u64::MAX,
        time_ms: 1_800_000_000_000,
    }
}

fn written_messages() -> Vec<Value> {
    let smallest = Hello {
        software: Label::default(),
        name: Label::default(),
        roles: Roles(0),
        height: 0,
        listen: Vec::new(),
        observed: None,
        nonce: 0,
        time_ms: 0,
        ..hello()
    };
    let record = |address: &str, node: Option<NodeId>, last_seen_s, roles| AddressRecord {
        address: address.parse().unwrap(),
        node,
        last_seen_s,
        roles,
    };
    let records = [
        record("192.0.2.1:7781", Some(node(1).id()), 1_800_000_000, Roles::FULL),
        record("[2001:db8::2]:1", None, 0, Roles(u32::MAX)),
    ];
    let mut all = vec![hello().to_frame(), smallest.to_frame()];
    for nonce in [0, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        all.push(message::ping_frame(message::PIN, nonce));
    }
    all.push(message::ping_frame(message::PON, 5));
    all.push(message::ask_addresses_frame());
    all.push(message::addresses_frame(&records));
    all.push(message::addresses_frame(&[]));
    // Lists and texts of 16 and more, of 32 and more have another form.
    all.push(message::addresses_frame(&[records[1]; 16]));
    all.push(Bye::new(ByeCode::Leaving, "").to_frame());
    all.push(Bye::new(ByeCode::Other(1000), &"x".repeat(32)).to_frame());
    all.push(Bye::new(ByeCode::Operator, &"y".repeat(200)).to_frame());
    all.push(BulkEnd::new(EndCode::Complete, "").to_frame());
    all.push(BulkEnd::new(EndCode::Busy, "too many").to_frame());
    all.iter().map(|frame| message_json(frame.tag, &frame.body)).collect()
}

fn message_json(tag: Tag, body: &[u8]) -> Value {
    let content = content(tag, body).unwrap();
    json!({"tag": tag.to_string(), "body": const_hex::encode(body), "content": content})
}

/// The body of [`hello`] with another `software` and other fields from `listen` to the end.
fn hello_with(software: &[u8], fields: u8, from_listen: &[u8]) -> Vec<u8> {
    let body = hello().to_frame().body;
    let software_at = 2 + 34;
    let name_at = software_at + 12;
    assert_eq!(body[software_at], 0xab, "a text of eleven bytes");
    let listen_at = body.windows(2).position(|it| it == [0x93, 0xae]).unwrap();
    [&[0x90 | fields, 1][..], &body[2..software_at], software, &body[name_at..listen_at], from_listen]
        .concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[0xd9, u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

/// One record of addresses, in an `ADR` of its own.
fn record_with(address: &str, key: &[u8]) -> Vec<u8> {
    [&[0x91, 0x91, 0x94][..], &text(address), &[0xc4, u8::try_from(key.len()).unwrap()], key, &[5, 1]]
        .concat()
}

/// What nobody writes like this, and everybody reads.
fn read_messages() -> Vec<Value> {
    let addresses = [
        "[::ffff:192.0.2.1]:7781", // IPv4 in IPv6
        "192.0.2.1:0",             // no port
        "example.org:7781",        // a name
        "/dns/example.org/tcp/1",  // another form
        "[2001:db8::1]:7781",
        "192.0.2.1",
    ];
    let listen: Vec<u8> = [0x96].into_iter().chain(addresses.iter().flat_map(|it| text(it))).collect();
    let later = [&listen[..], &text("nowhere"), &[5, 6, 0xc0, 0x81, 0xa1, b'k', 0x92, 1, 2]].concat();
    let plain = [&[0x90][..], &text(""), &[5, 6]].concat();
    let not_on_the_curve = [&[2][..], &[0; 31]].concat();
    assert_eq!(NodeId::from_bytes(not_on_the_curve[..].try_into().unwrap()), None);
    let all = [
        // Fields of a later version; addresses that cannot be read are left out.
        (message::HEL, hello_with(&text("cairn/0.1.0"), 15, &later)),
        // What is not printable is shown as `?`.
        (message::HEL, hello_with(&text("a\x1b[2Jb\n\u{7f}c"), 13, &plain)),
        // A number in each form.
        (message::PIN, b"\x91\xcc\x05".to_vec()),
        (message::PIN, b"\x91\xcd\0\x05".to_vec()),
        (message::PIN, b"\x91\xce\0\0\0\x05".to_vec()),
        (message::PIN, b"\x91\xcf\0\0\0\0\0\0\0\x05".to_vec()),
        (message::PIN, b"\x91\xd0\x05".to_vec()),
        (message::PIN, b"\x91\xd1\0\x05".to_vec()),
        (message::PIN, b"\x91\xd2\0\0\0\x05".to_vec()),
        (message::PIN, b"\x91\xd3\0\0\0\0\0\0\0\x05".to_vec()),
        // An array in each form, and fields of a later version of every kind.
        (message::PIN, b"\xdc\0\x01\x05".to_vec()),
        (message::PIN, b"\xdd\0\0\0\x01\x05".to_vec()),
        (
            message::PIN,
            b"\x9a\x05\xc0\x82\x01\x02\x03\x92\xa1x\xc4\x01x\xc3\xff\xca\0\0\0\0\xd4\x01x\xc7\x02\x01xy\xc5\0\0\xde\0\0".to_vec(),
        ),
        (message::PIN, [&b"\x92\x05"[..], &[0x91; NESTED], b"\xc0"].concat()),
        (message::GAD, b"\x91\x05".to_vec()),
        (message::BYE, b"\x92\xcd\x03\xe8\xdb\0\0\0\x02ok".to_vec()),
        // Records that cannot be dialled are left out.
        (message::ADR, record_with("192.0.2.1:7781", &[])),
        (message::ADR, record_with("[::ffff:192.0.2.1]:7781", &node(2).id().to_bytes())),
        (message::ADR, record_with("0.0.0.0:7781", &[])),
        (message::ADR, record_with("[::]:7781", &[])),
        (message::ADR, record_with("224.0.0.1:7781", &[])),
        (message::ADR, record_with("[ff02::1]:7781", &[])),
        (message::ADR, record_with("255.255.255.255:7781", &[])),
        (message::ADR, record_with("example.org:7781", &[])),
        (message::ADR, record_with("192.0.2.1:7781", &not_on_the_curve)),
    ];
    all.iter().map(|(tag, body)| message_json(*tag, body)).collect()
}

/// How deep arrays may be nested in a field that is read over.
const NESTED: usize = 16;

fn refused_messages() -> Vec<Value> {
    let whole = hello().to_frame().body.to_vec();
    let plain = [&[0x90][..], &text(""), &[5, 6]].concat();
    let mut short = whole.clone();
    short[0] -= 1;
    let nine = [&[0x99][..], &text("192.0.2.1:1").repeat(9), &text(""), &[5, 6]].concat();
    let long = |count: u8| [&[0x92, 1, 0xd9, count][..], &vec![b'x'; count.into()]].concat();
    let all = [
        (message::HEL, whole[..whole.len() - 1].to_vec()),
        (message::HEL, [&whole[..], &[0]].concat()),
        (message::HEL, short),
        (message::HEL, hello_with(&[0xc4, 1, b'x'], 13, &plain)),
        (message::HEL, hello_with(&text(&"s".repeat(65)), 13, &plain)),
        (message::HEL, hello_with(&[0xa1, 0xff], 13, &plain)),
        (message::HEL, hello_with(&text(""), 13, &nine)),
        (message::HEL, hello_with(&text(""), 13, &[&[0x91][..], &text(&"9".repeat(129)), &plain].concat())),
        (message::PIN, b"".to_vec()),
        (message::PIN, b"\x90".to_vec()),
        (message::PIN, b"\x81\x01\x05".to_vec()),
        (message::PIN, b"\x91\xff".to_vec()),
        (message::PIN, b"\x91\xd0\x80".to_vec()),
        (message::PIN, b"\x91\xc0".to_vec()),
        (message::PIN, b"\x91\xa1x".to_vec()),
        (message::PIN, b"\x91\xca\0\0\0\0".to_vec()),
        (message::PIN, b"\xdd\xff\xff\xff\xff\x05".to_vec()),
        (message::PIN, [&b"\x92\x05"[..], &[0x91; NESTED + 1], b"\xc0"].concat()),
        (message::PIN, b"\x92\x05\xc1".to_vec()),
        (message::GAD, b"\xc0".to_vec()),
        (message::BYE, b"\x92\xce\0\x01\0\0\xa0".to_vec()),
        (message::BYE, long(201)),
        (message::END, long(201)),
        (message::ADR, [&b"\x91\xdc\0\xfb"[..], &[0xc0; 251]].concat()),
        (message::ADR, b"\x91\xdd\xff\xff\xff\xff".to_vec()),
        (message::ADR, record_with("192.0.2.1:7781", &[1; 31])),
        (message::ADR, record_with("192.0.2.1:7781", &[1; 33])),
        (message::ADR, record_with(&"9".repeat(129), &[])),
    ];
    let one = |(tag, body): &(Tag, Vec<u8>)| {
        let rule = match content(*tag, body).unwrap_err() {
            MessageError::Malformed => "NET-6",
            MessageError::TooLong { .. } => "NET-7",
        };
        json!({"tag": tag.to_string(), "body": const_hex::encode(body), "rule": rule})
    };
    all.iter().map(one).collect()
}
