//! Messages by their rules: what is written is read, and what breaks a rule is refused with its name.

use super::{BULK_TAGS, HEADERS_MAX, Message, PEER_TAGS, Tag, WireError};
use crate::compact::CompactBlock;
use crate::testing::{Bench, Network, Person};
use cairn_core::block::SealedHeader;
use cairn_core::codec::{DecodeError, Encode as _};
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::transaction::Transaction;

/// A block with two transactions, as bytes.
fn block() -> (Network, Vec<u8>) {
    let mut bench = Bench::easy();
    for nonce in 0..2 {
        bench.submit(Person(5).sends(nonce)).unwrap();
    }
    let bytes = bench.mine(1).pop().unwrap().to_vec();
    (bench.network, bytes)
}

/// One message of each tag.
fn messages() -> Vec<Message> {
    let (network, bytes) = block();
    let block = CompactBlock::from_bytes(&bytes, &network.id, 7).unwrap();
    let headers: Vec<SealedHeader> = vec![block.header.clone(); 2];
    let transactions: Vec<Transaction> =
        (0..2).map(|nonce| Person(5).sends(nonce).sign(&network).transaction().clone()).collect();
    let leaves = vec![LeafHash([3; 32]), LeafHash([4; 32])];
    let id = BlockId([9; 32]);
    vec![
        Message::Announce(leaves.clone()),
        Message::GetTransactions(leaves.clone()),
        Message::NotFound(leaves),
        Message::Transactions(transactions.clone()),
        Message::GetHeaders { locator: vec![id, BlockId([8; 32])], stop: BlockId::ZERO },
        Message::Headers(headers),
        Message::GetCompact(id),
        Message::Compact(Box::new(block)),
        Message::GetBlockTransactions { block: id, places: vec![0, 2, 70_000] },
        Message::BlockTransactions { block: id, transactions },
        Message::GetBlocks(vec![id]),
        Message::Block(bytes.into()),
        Message::GetGenesis(id),
        Message::Genesis(b"a piece".to_vec()),
    ]
}

fn tag(name: &[u8; 3]) -> Tag {
    Tag(*name)
}

/// A body of one `bin` with these bytes.
fn body_of_bin(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0x91, 0xc6][..], &length, bytes].concat()
}

#[test]
fn what_is_written_is_read_and_fits_into_the_limit_of_its_tag() {
    let messages = messages();
    let limits: Vec<(Tag, usize)> = PEER_TAGS.into_iter().chain(BULK_TAGS).collect();
    assert_eq!(
        messages.iter().map(Message::tag).collect::<Vec<_>>(),
        limits.iter().map(|it| it.0).collect::<Vec<_>>()
    );
    for (message, (tag, limit)) in messages.iter().zip(limits) {
        let body = message.to_body();
        assert!(body.len() <= limit, "{tag}");
        assert_eq!(Message::from_body(tag, &body).as_ref(), Ok(message), "{tag}");
    }
}

#[test]
fn msg_1_a_tag_of_no_table_is_refused() {
    for name in [b"XXX", b"inv", b"HEL", b"END"] {
        let found = tag(name);
        assert_eq!(Message::from_body(found, &[0x90]), Err(WireError::UnknownTag { found }));
    }
}

#[test]
fn msg_2_a_body_that_ends_early_is_refused_wherever_it_ends() {
    for message in messages() {
        let body = message.to_body();
        for end in 0..body.len() {
            let found = Message::from_body(message.tag(), &body[..end]);
            assert!(matches!(found, Err(WireError::Shape { .. })), "{} at {end}: {found:?}", message.tag());
        }
    }
}

#[test]
fn msg_2_fields_of_another_type_are_refused() {
    let hash = [7; 32];
    let text = [&[0x91, 0xd9, 32][..], &hash].concat();
    let number = vec![0x91, 0x07];
    let no_array = [&[0xc4, 32][..], &hash].concat();
    let map = [&[0x81, 0x00, 0xc4, 32][..], &hash].concat();
    for body in [text, number, no_array, map, body_of_bin(&hash[..31]), body_of_bin(&[7; 33]), vec![0x90]] {
        let found = Message::from_body(tag(b"GCM"), &body);
        assert!(matches!(found, Err(WireError::Shape { .. })), "{body:02x?}: {found:?}");
    }
    assert!(matches!(
        Message::from_body(tag(b"INV"), &body_of_bin(&[7; 63])),
        Err(WireError::Shape { what: "pieces of whole length", .. })
    ));
    // A salt below zero, and one with a fraction.
    let salt = |bytes: &[u8]| [&[0x95, 0xc4, 0][..], bytes].concat();
    for body in [salt(&[0xff]), salt(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0])] {
        let found = Message::from_body(tag(b"CMP"), &body);
        assert!(matches!(found, Err(WireError::Canonical { .. } | WireError::Shape { .. })), "{found:?}");
    }
}

#[test]
fn msg_2_what_stands_behind_the_known_fields_is_not_read() {
    for message in messages() {
        let mut body = message.to_body();
        assert_eq!(body[0] & 0xf0, 0x90, "a short array");
        body[0] += 2;
        body.extend([0xc1, 0xff, 0x00]);
        assert_eq!(Message::from_body(message.tag(), &body).as_ref(), Ok(&message), "{}", message.tag());
    }
}

#[test]
fn msg_2_other_forms_of_the_same_value_are_read() {
    let hash = [7; 32];
    for array in [&[0x91][..], &[0xdc, 0, 1], &[0xdd, 0, 0, 0, 1]] {
        for bin in [&[0xc4, 32][..], &[0xc5, 0, 32], &[0xc6, 0, 0, 0, 32]] {
            let body = [array, bin, &hash].concat();
            assert_eq!(Message::from_body(tag(b"GCM"), &body), Ok(Message::GetCompact(BlockId(hash))));
        }
    }
}

#[test]
fn msg_3_a_list_is_refused_above_its_limit_and_taken_at_it() {
    let too_long = |name: &[u8; 3], body: &[u8]| match Message::from_body(tag(name), body) {
        Err(WireError::TooLong { found, limit, .. }) => Some((found, limit)),
        Ok(_) => None,
        other => panic!("{other:?}"),
    };
    for (name, limit) in [(b"INV", 1_000), (b"GET", 100), (b"NOF", 100), (b"GBL", 128)] {
        assert_eq!(too_long(name, &body_of_bin(&vec![1; limit * 32])), None);
        let longer = body_of_bin(&vec![1; (limit + 1) * 32]);
        assert_eq!(too_long(name, &longer), Some(((limit + 1) * 32, limit * 32)), "{name:?}");
    }
    assert_eq!(too_long(b"GEN", &body_of_bin(&vec![0; 1 << 20])), None);
    assert_eq!(too_long(b"GEN", &body_of_bin(&vec![0; (1 << 20) + 1])), Some(((1 << 20) + 1, 1 << 20)));
    // What is only claimed is refused before it is looked for.
    assert_eq!(too_long(b"TXN", &[0x91, 0xdd, 0xff, 0xff, 0xff, 0xff]), Some((u32::MAX as usize, 100)));
    assert_eq!(too_long(b"HDR", &[0x91, 0xdc, 0x07, 0xd1]), Some((2_001, HEADERS_MAX)));
    assert_eq!(too_long(b"BLK", &[0x91, 0xc6, 0x01, 0, 0, 1]), Some(((1 << 24) + 1, 1 << 24)));
}

#[test]
fn msg_4_what_is_not_canonical_is_refused_with_its_rule() {
    let (network, _) = block();
    let transaction = Person(5).sends(0).sign(&network).transaction().to_bytes();
    let list = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0x91, 0x91, 0xc5][..], &length, bytes].concat()
    };
    assert!(Message::from_body(tag(b"TXN"), &list(&transaction)).is_ok());
    let longer = [&transaction[..], &[0]].concat();
    let source = |bytes: &[u8]| match Message::from_body(tag(b"TXN"), &list(bytes)) {
        Err(WireError::Canonical { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(source(&longer), DecodeError::Trailing { .. }));
    assert!(matches!(source(&transaction[..170]), DecodeError::Truncated { .. }));
    assert!(matches!(
        Message::from_body(tag(b"HDR"), &list(&[0; 300])),
        Err(WireError::Canonical { source: DecodeError::UnknownKind { .. }, .. })
    ));
}

#[test]
fn msg_5_places_that_do_not_ascend_are_refused() {
    let block = BlockId([1; 32]);
    let read = |places: &[u32]| {
        let message = Message::GetBlockTransactions { block, places: places.to_vec() };
        Message::from_body(tag(b"GBT"), &message.to_body())
    };
    assert!(read(&[]).is_ok() && read(&[0, 1, u32::MAX]).is_ok());
    for (places, before, found) in [([0, 2, 2], 2, 2), ([0, 5, 4], 5, 4)] {
        assert_eq!(read(&places), Err(WireError::Places { tag: tag(b"GBT"), found, before }));
    }
}
