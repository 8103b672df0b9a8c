//! Every reader of files and texts against garbage: any bytes, and good ones that were changed, cut or doubled.

#![allow(clippy::unwrap_used, reason = "a builder that fails fails its test")]

use cairn_core::address::{Address, AddressPrefix};
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Amount, Timestamp};
use cairn_wallet::fuzz::TARGETS;
use cairn_wallet::{
    Book, Entry, Mnemonic, NetworkAddress, Password, PasswordCost, PaymentRequest, Unlocked, UriNetwork,
    write_backup,
};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Good bytes of every kind, as the start for changes.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (password, cost) = (Password::new("password").unwrap(), PasswordCost::new(8, 1, 1).unwrap());
    let phrase = Mnemonic::from_entropy(&[5; 32]).unwrap();
    let words = phrase.words().collect::<Vec<_>>().join(" ");
    let seed = phrase.seed("").unwrap();
    let mut keys = Unlocked::from_words(phrase, seed, &password, cost).unwrap();
    keys.add("main".parse().unwrap(), 1).unwrap();
    let prefix = AddressPrefix::new("cairn").unwrap();
    let address = Address([7; 32]);
    let mut book = Book::default();
    let entry = Entry { name: "bob".parse().unwrap(), address: NetworkAddress::new(address, prefix.clone()) };
    book.add_contact(entry).unwrap();
    book.set_label(address, "rent").unwrap();
    book.see("devnet", BlockId([1; 32]), Timestamp(1)).unwrap();
    let request = PaymentRequest {
        to: address,
        amount: Some(Amount::from_units(5)),
        label: Some("Rent".to_owned()),
        message: None,
    };
    let network = UriNetwork { prefix: prefix.clone(), identity: BlockId([0xab; 32]), decimals: 8 };
    vec![
        keys.seal().unwrap().to_json(),
        write_backup(&keys, &book, &password, cost).unwrap(),
        book.to_json().unwrap(),
        "3f".repeat(32).into_bytes(),
        words.into_bytes(),
        request.to_uri(&network).unwrap().into_bytes(),
        format!("address,amount\n{0},1.5\n\"{0}\",2,0xff\n", address.to_text(&prefix)).into_bytes(),
    ]
});

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
    fn no_changed_file_breaks_a_reader(
        kind in 0..7usize,
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
