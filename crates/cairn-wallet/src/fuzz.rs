//! Bodies of fuzz targets, as in `cairn-core`: each takes any bytes and panics only if a promise is broken.
//!
//! They are the files and texts that come from elsewhere. What needs a password is not tried: whoever
//! knows it needs no damaged file.

use crate::backup::check_backup;
use crate::book::Book;
use crate::key_file::KeySeed;
use crate::keystore::Keystore;
use crate::mnemonic::Mnemonic;
use crate::recipients::{RECIPIENTS_MAX, TableReader};
use crate::uri::{PaymentRequest, UriNetwork};
use cairn_core::address::AddressPrefix;
use cairn_core::hash::BlockId;
use cairn_core::network::Limits;
use cairn_core::numbers::Weight;

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 7] = [
    ("keystore", keystore),
    ("backup", backup),
    ("book", book),
    ("key_file", key_file),
    ("phrase", phrase),
    ("payment_link", payment_link),
    ("recipients", recipients),
];

fn keystore(bytes: &[u8]) {
    if let Ok(keystore) = Keystore::from_json(bytes) {
        assert_eq!(Keystore::from_json(&keystore.to_json()).ok(), Some(keystore));
    }
}

fn backup(bytes: &[u8]) {
    let _ = check_backup(bytes);
}

fn book(bytes: &[u8]) {
    if let Ok(book) = Book::from_json(bytes)
        && let Ok(json) = book.to_json()
    {
        assert_eq!(Book::from_json(&json).ok(), Some(book));
    }
}

fn key_file(bytes: &[u8]) {
    let _ = KeySeed::from_digits(bytes);
}

fn phrase(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(phrase) = Mnemonic::parse(text)
    {
        let words: Vec<&str> = phrase.words().collect();
        let again = Mnemonic::parse(&words.join(" ")).expect("a phrase reads as itself");
        assert!(again.words().eq(words));
    }
}

fn payment_link(bytes: &[u8]) {
    let network = UriNetwork { prefix: prefix(), identity: BlockId([0xab; 32]), decimals: 8 };
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(request) = PaymentRequest::parse(text, &network)
        // Texts grow when they are written with % signs, so a link may become too long.
        && let Ok(link) = request.to_uri(&network)
    {
        assert_eq!(PaymentRequest::parse(&link, &network), Ok(request));
    }
}

fn recipients(bytes: &[u8]) {
    let limits = Limits {
        transaction_bytes: 64 * 1024,
        data_bytes: 1024,
        transfers: 256,
        block_weight: Weight(1 << 20),
        block_transactions: 5_000,
        extra_bytes: 1024,
    };
    let (prefix, find) = (prefix(), |_: &str| None);
    let reader = TableReader { prefix: &prefix, decimals: 8, limits: &limits, find: &find };
    if let Ok(recipients) = reader.read(bytes) {
        let transfers: usize = recipients.bundles.iter().map(|bundle| bundle.transfers.len()).sum();
        assert!(transfers == recipients.count && transfers <= RECIPIENTS_MAX);
        assert!(recipients.bundles.iter().all(|bundle| (1..=256).contains(&bundle.transfers.len())));
    }
}

fn prefix() -> AddressPrefix {
    AddressPrefix::new("cairn").expect("this is a prefix")
}
