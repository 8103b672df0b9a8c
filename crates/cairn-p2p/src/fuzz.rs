//! Bodies of fuzz targets: each takes any bytes and panics only if a promise is broken.

use crate::frame::{HEAD_BYTES, StreamKind, decode};
use crate::kept;
use crate::message::{self, BulkEnd, Bye, Hello};
use crate::{AddressBook, BOOK_ENTRIES_MAX, InUse};

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 6] = [
    ("frame", frame),
    ("hello", hello),
    ("addresses", addresses),
    ("farewell", farewell),
    ("node_certificate", crate::certificate::fuzz),
    ("address_book", address_book),
];

/// A frame that is read is written as the same bytes.
fn frame(bytes: &[u8]) {
    for kind in [StreamKind::Peer, StreamKind::Bulk] {
        if let Ok(Some((frame, rest))) = decode(bytes, kind) {
            assert_eq!([&frame.to_bytes()[..], rest].concat(), bytes);
            assert!(frame.body.len() <= kind.body_bytes_max() && frame.wire_bytes() >= HEAD_BYTES);
        }
    }
}

/// A greeting that is read says the same when it is written again, and fits.
fn hello(bytes: &[u8]) {
    if let Ok(hello) = Hello::read(bytes) {
        let again = hello.to_frame();
        assert!(again.body.len() <= message::HEL_BYTES_MAX);
        assert_eq!(Hello::read(&again.body), Ok(hello));
    }
}

fn addresses(bytes: &[u8]) {
    if let Ok(records) = message::read_addresses(bytes) {
        let again = message::addresses_frame(&records);
        assert!(again.body.len() <= message::ADR_BYTES_MAX);
        assert_eq!(message::read_addresses(&again.body), Ok(records));
    }
}

fn farewell(bytes: &[u8]) {
    if let Ok(bye) = Bye::read(bytes) {
        let again = bye.to_frame();
        assert!(again.body.len() <= message::BYE_BYTES_MAX);
        assert_eq!(Bye::read(&again.body), Ok(bye));
    }
    if let Ok(end) = BulkEnd::read(bytes) {
        assert_eq!(BulkEnd::read(&end.to_frame().body), Ok(end));
    }
    let _ = message::read_ping(bytes);
    let _ = message::read_ask_addresses(bytes);
}

/// A book that is read is written as the same bytes, and can be used. The bytes are what stands between tag
/// and checksum, which garbage would hardly ever pass.
fn address_book(bytes: &[u8]) {
    let bytes = kept::seal(crate::book::FILE_TAG, bytes);
    if let Ok(mut book) = AddressBook::from_bytes(&bytes, [1; 32]) {
        assert_eq!(book.to_bytes(), bytes);
        assert!(book.len() <= BOOK_ENTRIES_MAX);
        book.choose_feeler(&InUse::default(), u64::MAX);
        book.expire(0);
        book.choose(&InUse::default(), 0);
        AddressBook::from_bytes(&book.to_bytes(), [1; 32]).expect("what is left is a book");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bye, ByeCode, Label, NodeKey, Roles};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// Good bytes of every kind, as the start for changes.
    static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let node = NodeKey::from_seed([1; 32]);
        let hello = Hello {
            version: 1,
            identity: [1; 32],
            software: Label::new("cairn/0.1.0", message::SOFTWARE_BYTES_MAX),
            name: Label::new("n0", message::NAME_BYTES_MAX),
            roles: Roles::FULL,
            services: 0,
            height: 1_000,
            head: [2; 32],
            work: [3; 32],
            listen: vec!["192.0.2.1:7781".parse().unwrap()],
            observed: Some("[2001:db8::1]:7781".parse().unwrap()),
            nonce: u64::MAX,
            time_ms: 1_800_000_000_000,
        };
        let record = message::AddressRecord {
            address: "192.0.2.1:7781".parse().unwrap(),
            node: Some(node.id()),
            last_seen_s: 1_800_000_000,
            roles: Roles::FULL,
        };
        let mut book = AddressBook::new([2; 32]);
        book.learn("127.0.0.1".parse().unwrap(), &[record], record.last_seen_s);
        book.succeeded("[2001:db8::1]:1".parse().unwrap(), node.id(), Roles::FULL, record.last_seen_s);
        book.set_anchors([record.address]);
        vec![
            hello.to_frame().to_bytes(),
            hello.to_frame().body.to_vec(),
            message::addresses_frame(&[record; 3]).body.to_vec(),
            Bye::new(ByeCode::Leaving, "stop").to_frame().body.to_vec(),
            crate::certificate::make(&node).unwrap().0.to_vec(),
            contents(&book.to_bytes()),
        ]
    });

    /// What stands between the tag and the checksum.
    fn contents(file: &[u8]) -> Vec<u8> {
        file[16..file.len() - 8].to_vec()
    }

    fn run_all(bytes: &[u8]) {
        for (_, target) in TARGETS {
            target(bytes);
        }
    }

    #[test]
    fn good_bytes_are_read_by_every_target() {
        assert_eq!(GOOD.len(), TARGETS.len());
        GOOD.iter().for_each(|bytes| run_all(bytes));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_bytes_break_a_reader(bytes: Vec<u8>) {
            run_all(&bytes);
        }

        #[test]
        fn no_changed_bytes_break_a_reader(
            kind in 0..GOOD.len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            shape in 0..3u8,
        ) {
            let mut bytes = GOOD[kind].clone();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            match shape {
                0 => bytes.truncate(cut.index(bytes.len())),
                1 => bytes.extend_from_within(cut.index(bytes.len())..),
                _ => {}
            }
            run_all(&bytes);
        }
    }
}
