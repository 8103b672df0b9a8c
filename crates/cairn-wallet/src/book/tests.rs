//! What a book keeps, and what it refuses.

use super::*;
use cairn_core::address::{AddressError, AddressPrefix};
use cairn_core::numbers::{Amount, Nonce};
use serde_json::{Value, json};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn prefix(text: &str) -> AddressPrefix {
    AddressPrefix::new(text).unwrap()
}

fn entry(text: &str, byte: u8) -> Entry {
    Entry { name: name(text), address: NetworkAddress::new(Address([byte; 32]), prefix("cairn")) }
}

fn record(number: u64) -> SentRecord {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    SentRecord {
        id: TransactionId(id),
        at: Timestamp(number),
        from: Address([1; 32]),
        nonce: Nonce(number),
        to: Address([2; 32]),
        transfers: 1,
        amount: Amount::from_units(u64::MAX),
        is_answered: number.is_multiple_of(2),
    }
}

fn book() -> Book {
    let mut book = Book::default();
    book.set_default_account(Some(Address([1; 32])));
    book.add_contact(entry("bob", 2)).unwrap();
    book.watch(entry("cold", 3)).unwrap();
    book.set_label(Address([1; 32]), "Miete 🏠").unwrap();
    book.see("team", BlockId([7; 32]), Timestamp(1000)).unwrap();
    book.record_sent(&BlockId([7; 32]), record(1)).unwrap();
    book.set_note(&BlockId([7; 32]), record(1).id, "lunch").unwrap();
    book
}

#[test]
fn a_book_is_read_as_it_is_written() {
    for book in [Book::default(), book()] {
        assert_eq!(Book::from_json(&book.to_json().unwrap()).unwrap(), book);
    }
}

#[test]
fn a_contact_belongs_to_the_network_of_its_address() {
    let text = Address([2; 32]).to_text(&prefix("tn"));
    let address = NetworkAddress::parse(&text.to_uppercase()).unwrap();
    assert_eq!(address.on(&prefix("tn")), Ok(Address([2; 32])));
    let refused = address.on(&prefix("cairn"));
    assert_eq!(
        refused,
        Err(AddressError::WrongNetwork { found: "tn".to_owned(), expected: prefix("cairn") })
    );
    assert_eq!(address.to_string(), text);
}

#[test]
fn a_mistyped_address_is_no_contact() {
    let mut text = Address([2; 32]).to_text(&prefix("cairn"));
    assert!(NetworkAddress::parse(&text).is_ok());
    text.replace_range(10..11, if text.as_bytes()[10] == b'q' { "p" } else { "q" });
    assert!(matches!(NetworkAddress::parse(&text), Err(BookError::Address(AddressError::Checksum))));
    for text in ["", "bob", "1", "1qqqqqq", "c\u{e4}irn1qqqq"] {
        assert!(NetworkAddress::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_name_is_given_once() {
    let mut book = book();
    for taken in ["bob", "cold"] {
        assert!(matches!(book.add_contact(entry(taken, 9)), Err(BookError::NameTaken { .. })));
        assert!(matches!(book.watch(entry(taken, 9)), Err(BookError::NameTaken { .. })));
    }
    assert_eq!(book.remove(&name("bob")).unwrap(), entry("bob", 2));
    assert!(matches!(book.remove(&name("bob")), Err(BookError::Unknown { .. })));
    book.watch(entry("bob", 9)).unwrap();
    assert_eq!(book.entry("bob"), Some(&entry("bob", 9)));
}

#[test]
fn a_chain_that_was_begun_anew_is_recognised_and_its_history_kept_apart() {
    let mut book = book();
    let (old, new) = (BlockId([7; 32]), BlockId([8; 32]));
    assert_eq!(book.recognise("team", &old), Recognised::Known);
    assert_eq!(book.recognise("other", &new), Recognised::New);
    let anew = Recognised::BegunAnew { earlier: old, last_seen: Timestamp(1000) };
    assert_eq!(book.recognise("team", &new), anew);
    book.see("team", new, Timestamp(2000)).unwrap();
    assert_eq!(book.recognise("team", &new), Recognised::Known);
    assert!(book.history(&new).unwrap().sent().is_empty());
    assert_eq!(book.history(&new).unwrap().note(&record(1).id), None);
    assert_eq!(book.history(&old).unwrap().sent(), [record(1)]);
    assert_eq!(book.history(&old).unwrap().note(&record(1).id), Some("lunch"));
    // Of several, the one seen last is the earlier one.
    let anew = Recognised::BegunAnew { earlier: new, last_seen: Timestamp(2000) };
    assert_eq!(book.recognise("team", &BlockId([9; 32])), anew);
}

#[test]
fn what_grows_has_an_end_and_the_oldest_goes() {
    let mut book = Book::default();
    let identity = BlockId([7; 32]);
    assert!(matches!(book.record_sent(&identity, record(0)), Err(BookError::UnknownNetwork)));
    book.see("team", identity, Timestamp(5000)).unwrap();
    for number in 0..HISTORY_MAX as u64 + 5 {
        book.record_sent(&identity, record(number)).unwrap();
    }
    book.record_sent(&identity, record(10)).unwrap();
    let sent = book.history(&identity).unwrap().sent();
    assert_eq!(sent.len(), HISTORY_MAX);
    assert_eq!((sent.first(), sent.last()), (Some(&record(5)), Some(&record(10))));
    for byte in 10..10 + u8::try_from(NETWORKS_MAX).unwrap() {
        book.see("net", BlockId([byte; 32]), Timestamp(u64::from(byte))).unwrap();
    }
    assert!(book.history(&identity).is_some(), "it was seen last");
    assert!(book.history(&BlockId([10; 32])).is_none());
}

#[test]
fn a_full_book_is_read_again() {
    let mut book = Book::default();
    let long = "\u{10ffff}".repeat(50);
    for number in 0..ENTRIES_MAX {
        let byte = u8::try_from(number % 256).unwrap();
        book.add_contact(entry(&format!("c{number:0>22}"), byte)).unwrap();
        book.watch(entry(&format!("w{number:0>22}"), byte)).unwrap();
        let mut address = [0; 32];
        address[..8].copy_from_slice(&(number as u64).to_be_bytes());
        book.set_label(Address(address), &long).unwrap();
        address[31] = 1;
        book.set_label(Address(address), &long).unwrap();
    }
    for byte in 0..u8::try_from(NETWORKS_MAX).unwrap() {
        let identity = BlockId([byte; 32]);
        book.see(&long, identity, Timestamp(u64::MAX)).unwrap();
        for number in 0..HISTORY_MAX as u64 {
            book.record_sent(&identity, record(u64::MAX - number)).unwrap();
            book.set_note(&identity, record(number).id, &long).unwrap();
        }
    }
    assert!(matches!(book.add_contact(entry("more", 1)), Err(BookError::TooMany { .. })));
    assert!(matches!(book.set_label(Address([9; 32]), "x"), Err(BookError::TooMany { .. })));
    let refused = book.set_note(&BlockId([0; 32]), record(u64::MAX).id, "x");
    assert!(matches!(refused, Err(BookError::TooMany { .. })));
    let json = book.to_json().unwrap();
    assert_eq!(Book::from_json(&json).unwrap(), book, "{} bytes", json.len());
}

#[test]
fn a_book_cannot_write_to_the_terminal() {
    let mut book = book();
    let (identity, id) = (BlockId([7; 32]), record(1).id);
    assert!(matches!(book.set_label(Address([1; 32]), "\u{1b}[2J"), Err(BookError::Text(_))));
    assert!(matches!(book.set_note(&identity, id, "a\nb"), Err(BookError::Text(_))));
    assert!(matches!(book.see("te\u{202e}am", identity, Timestamp(0)), Err(BookError::Text(_))));
    let forged = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&book.to_json().unwrap()).unwrap();
        change(&mut value);
        Book::from_json(&serde_json::to_vec(&value).unwrap()).unwrap_err()
    };
    assert!(matches!(forged(|it| it["labels"][0]["label"] = json!("\u{1b}")), BookError::Text(_)));
    assert!(matches!(forged(|it| it["networks"][0]["name"] = json!("\u{1b}")), BookError::Text(_)));
    assert!(matches!(forged(|it| it["networks"][0]["notes"][0]["note"] = json!("\r")), BookError::Text(_)));
    assert!(matches!(forged(|it| it["contacts"][0]["name"] = json!("\u{1b}")), BookError::Name(_)));
}

#[test]
fn hostile_books_are_refused() {
    let forged = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&book().to_json().unwrap()).unwrap();
        change(&mut value);
        Book::from_json(&serde_json::to_vec(&value).unwrap()).unwrap_err()
    };
    assert!(matches!(forged(|it| it["version"] = json!(2)), BookError::Version { expected: 1 }));
    assert!(matches!(forged(|it| it["format"] = json!("x")), BookError::Version { .. }));
    assert!(matches!(forged(|it| it["more"] = json!(1)), BookError::Shape(_)));
    assert!(matches!(forged(|it| it["default_account"] = json!("ab")), BookError::Field { .. }));
    assert!(matches!(
        forged(|it| it["networks"][0]["sent"][0]["amount"] = json!("-1")),
        BookError::Field { .. }
    ));
    assert!(matches!(forged(|it| it["watched"][0]["name"] = json!("bob")), BookError::NameTaken { .. }));
    assert!(matches!(forged(|it| it["contacts"][0]["address"] = json!("cairn1xyz")), BookError::Address(_)));
    assert!(matches!(Book::from_json(&vec![b' '; BOOK_BYTES_MAX + 1]), Err(BookError::TooLong { .. })));
    for json in [&b""[..], b"{}", b"[]", b"\xff"] {
        assert!(matches!(Book::from_json(json), Err(BookError::Shape(_))));
    }
}

#[test]
fn a_payment_is_unanswered_until_a_node_has_it_or_it_is_forgotten() {
    let mut book = Book::default();
    let identity = BlockId([7; 32]);
    book.see("mycoin", identity, Timestamp(1)).unwrap();
    for number in [1, 3, 5] {
        book.record_sent(&identity, record(number)).unwrap();
    }
    book.answer(&identity, &record(3).id);
    book.forget_sent(&identity, &record(5).id);
    let read = Book::from_json(&book.to_json().unwrap()).unwrap();
    assert_eq!(read, book);
    let history = read.history(&identity).unwrap();
    assert_eq!(history.unanswered().map(|it| it.nonce.0).collect::<Vec<_>>(), [1]);
    assert_eq!(history.sent().len(), 2);
    // What is not there, or not known, changes nothing.
    book.answer(&BlockId([8; 32]), &record(1).id);
    book.forget_sent(&identity, &record(9).id);
    assert_eq!(read, book);
}
