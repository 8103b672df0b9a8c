//! Bodies of fuzz targets: each takes any bytes and panics only if a promise is broken.

use crate::frame::{HEAD_BYTES, StreamKind, decode};
use crate::message::{self, BulkEnd, Bye, Hello};

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 5] = [
    ("frame", frame),
    ("hello", hello),
    ("addresses", addresses),
    ("farewell", farewell),
    ("node_certificate", crate::certificate::fuzz),
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
