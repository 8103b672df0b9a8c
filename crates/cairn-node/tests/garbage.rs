//! Every reader of messages against garbage: random bytes, and good ones that were cut, doubled or changed.

#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use cairn_node::wire::fuzz::{TARGETS, tags};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::LazyLock;

const VECTORS: &str = include_str!("../../../docs/spec/vectors/messages.json");

/// Good inputs of every kind, as the start for changes.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let bytes = |case: &Value, field: &str| const_hex::decode(case[field].as_str().unwrap()).unwrap();
    let cases = |section: &str| file[section].as_array().unwrap().clone();
    let of_tag = |case: &Value| {
        let at = tags().position(|tag| tag.to_string() == case["tag"].as_str().unwrap());
        at.map(|at| [&[u8::try_from(at).unwrap()][..], &bytes(case, "body")].concat())
    };
    let mut good: Vec<Vec<u8>> = Vec::new();
    for section in ["messages", "other_forms", "refused"] {
        good.extend(cases(section).iter().filter_map(of_tag));
    }
    for case in cases("in_short") {
        let block = bytes(&case, "block");
        good.push([&[0, 1, 1, 0][..], &block].concat());
        good.push(block);
    }
    good
});

fn run_all(bytes: &[u8]) {
    for (_, target) in TARGETS {
        target(bytes);
    }
}

#[test]
fn good_bytes_are_read_by_every_target() {
    assert!(GOOD.len() > 60);
    GOOD.iter().for_each(|bytes| run_all(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_break_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        run_all(&bytes);
    }

    #[test]
    fn no_changed_message_breaks_a_reader(
        kind in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        shape in 0..3u8,
    ) {
        let mut bytes = GOOD[kind.index(GOOD.len())].clone();
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
