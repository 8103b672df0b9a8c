//! A keystore as its owner, a careless disk and an attacker see it.

use super::*;
use crate::key_file::KeySeed;
use crate::mnemonic::Mnemonic;
use crate::sealed::CostError;
use cairn_core::codec::DecodeError;
use serde_json::{Value, json};

fn cheap() -> PasswordCost {
    PasswordCost::new(8, 1, 1).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn seed(byte: u8) -> KeySeed {
    KeySeed::from_digits(const_hex::encode([byte; 32]).as_bytes()).unwrap()
}

/// Words, two accounts derived from them, and an imported key.
fn keys() -> Unlocked {
    let phrase = Mnemonic::from_entropy(&[5; 32]).unwrap();
    let root = phrase.seed("").unwrap();
    let mut keys = Unlocked::from_words(phrase, root, &password("right"), cheap()).unwrap();
    keys.add(name("main"), 1).unwrap();
    keys.add(name("savings"), 1).unwrap();
    keys.import(name("old"), &seed(3)).unwrap();
    keys
}

fn keystore() -> Keystore {
    keys().seal().unwrap()
}

fn as_value(keystore: &Keystore) -> Value {
    serde_json::from_slice(&keystore.to_json()).unwrap()
}

/// What reading says of a keystore in which `change` was done.
fn read_changed(change: impl FnOnce(&mut Value)) -> Result<Keystore, KeystoreError> {
    let mut value = as_value(&keystore());
    change(&mut value);
    Keystore::from_json(&serde_json::to_vec(&value).unwrap())
}

#[test]
fn a_keystore_is_read_as_it_is_written_and_opens_to_the_same_keys() {
    let keystore = keystore();
    let read = Keystore::from_json(&keystore.to_json()).unwrap();
    assert_eq!(read, keystore);
    let open = read.unlock(&password("right")).unwrap();
    assert_eq!(open.accounts(), keystore.accounts());
    for account in keystore.accounts() {
        assert_eq!(open.signing_key(&account.name).unwrap().address(), account.address);
    }
    assert_eq!(open.phrase().unwrap().words().count(), 24);
}

#[test]
fn accounts_are_derived_at_the_next_index_of_their_coin_type() {
    let mut keys = keys();
    keys.add(name("other"), 7).unwrap();
    keys.remove(&name("main")).unwrap();
    keys.add(name("third"), 1).unwrap();
    let paths: Vec<_> = keys
        .accounts()
        .iter()
        .map(|account| match account.origin {
            Origin::Derived(path) => format!("{} {path}", account.name),
            Origin::Imported => account.name.to_string(),
        })
        .collect();
    assert_eq!(paths, ["savings m/44'/1'/1'", "old", "other m/44'/7'/0'", "third m/44'/1'/2'"]);
}

#[test]
fn a_wrong_password_is_no_damage_and_damage_is_no_wrong_password() {
    let refused = keystore().unlock(&password("wrong")).unwrap_err();
    assert!(matches!(refused, UnlockError::WrongPassword), "{refused}");
    let damaged = read_changed(|value| {
        let body = value["seal"]["body"].as_str().unwrap().to_owned();
        let digit = if body.starts_with('A') { "B" } else { "A" };
        value["seal"]["body"] = format!("{digit}{}", &body[1..]).into();
    });
    assert!(matches!(damaged, Err(KeystoreError::Damaged)), "{damaged:?}");
}

#[test]
fn every_changed_character_is_noticed_before_the_password_is_asked_for() {
    let json = keystore().to_json();
    for at in 0..json.len() {
        for change in [1u8, 0x20] {
            let mut changed = json.clone();
            changed[at] ^= change;
            // Blanks between the fields mean nothing.
            if let Ok(read) = Keystore::from_json(&changed) {
                assert_eq!(read, Keystore::from_json(&json).unwrap(), "byte {at}");
            }
        }
    }
}

#[test]
fn a_cut_keystore_is_refused_at_every_length() {
    let json = keystore().to_json();
    for length in 0..json.len() - 1 {
        assert!(Keystore::from_json(&json[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn whoever_changes_the_accounts_needs_the_password() {
    // The attacker puts another address under a name and mends the checksum.
    let mut forged = keystore();
    forged.accounts[0].address = Address([9; 32]);
    let read = Keystore::from_json(&forged.to_json()).unwrap();
    let refused = read.unlock(&password("right")).unwrap_err();
    assert!(matches!(refused, UnlockError::WrongPassword), "{refused}");
}

#[test]
fn a_cost_that_takes_the_machine_is_refused_before_it_is_paid() {
    let expensive = [
        (
            "memory_kib",
            json!(64 * 1024 * 1024),
            CostError { memory_kib: 64 * 1024 * 1024, passes: 1, lanes: 1 },
        ),
        ("memory_kib", json!(u32::MAX), CostError { memory_kib: u32::MAX, passes: 1, lanes: 1 }),
        ("passes", json!(u32::MAX), CostError { memory_kib: 8, passes: u32::MAX, lanes: 1 }),
        ("lanes", json!(1 << 24), CostError { memory_kib: 8, passes: 1, lanes: 1 << 24 }),
        ("memory_kib", json!(0), CostError { memory_kib: 0, passes: 1, lanes: 1 }),
    ];
    for (field, number, expected) in expensive {
        let refused = read_changed(|value| value["seal"][field] = number);
        assert!(matches!(&refused, Err(KeystoreError::Cost(found)) if *found == expected), "{refused:?}");
    }
    let refused = read_changed(|value| value["seal"]["memory_kib"] = json!(1u64 << 40));
    assert!(matches!(refused, Err(KeystoreError::Shape(_))), "{refused:?}");
}

#[test]
fn fields_that_hold_something_else_are_refused_by_name() {
    let field = |change: fn(&mut Value)| match read_changed(change).unwrap_err() {
        KeystoreError::Field { field, .. } => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(|value| value["seal"]["kdf"] = json!("scrypt")), "kdf");
    assert_eq!(field(|value| value["seal"]["cipher"] = json!("aes-256-gcm")), "cipher");
    assert_eq!(field(|value| value["seal"]["salt"] = json!("00")), "salt");
    assert_eq!(field(|value| value["seal"]["nonce"] = json!("FF".repeat(24))), "nonce");
    assert_eq!(field(|value| value["seal"]["body"] = json!("AAAA")), "body");
    assert_eq!(field(|value| value["seal"]["body"] = json!("not base64")), "body");
    assert_eq!(field(|value| value["checksum"] = json!("")), "checksum");
    assert_eq!(field(|value| value["accounts"][0]["address"] = json!("cairn1…")), "address");
}

#[test]
fn other_files_and_later_versions_are_told() {
    let refused = read_changed(|value| value["format"] = json!("geth"));
    assert!(matches!(refused, Err(KeystoreError::Format { expected: FORMAT })));
    // Whatever a later version holds, its number is read first.
    let refused = read_changed(|value| {
        value["version"] = json!(2);
        value["seal"] = json!("something new");
    });
    assert!(matches!(refused, Err(KeystoreError::Version { found: 2 })));
    for json in [&b""[..], b"{}", b"[]", b"null", b"\xff\xfe", b"{\"format\":\"cairn-keystore\"}"] {
        assert!(matches!(Keystore::from_json(json), Err(KeystoreError::Shape(_))), "{json:?}");
    }
    let limit = KEYSTORE_BYTES_MAX;
    assert!(matches!(Keystore::from_json(&vec![b' '; limit + 1]), Err(KeystoreError::TooLong { .. })));
    assert!(Keystore::from_json("[".repeat(100_000).as_bytes()).is_err());
    let refused = read_changed(|value| value["note"] = json!("a field of somebody's own"));
    assert!(matches!(refused, Err(KeystoreError::Shape(_))));
}

#[test]
fn accounts_that_are_none_or_there_twice_are_refused() {
    let refused = read_changed(|value| value["accounts"][1]["name"] = json!("main"));
    assert!(matches!(refused, Err(KeystoreError::Twice { .. })), "{refused:?}");
    let refused =
        read_changed(|value| value["accounts"][1]["address"] = value["accounts"][0]["address"].clone());
    assert!(matches!(refused, Err(KeystoreError::Twice { .. })), "{refused:?}");
    let refused = read_changed(|value| value["accounts"][0]["name"] = json!("../main"));
    assert!(matches!(refused, Err(KeystoreError::Name(_))), "{refused:?}");
    let refused = read_changed(|value| value["accounts"][0]["path"] = json!("m/44'/1'/00'"));
    assert!(matches!(refused, Err(KeystoreError::Path(_))), "{refused:?}");
    let many = vec![json!({"name": "a", "address": "00".repeat(32)}); ACCOUNTS_MAX + 1];
    let refused = read_changed(|value| value["accounts"] = many.into());
    assert!(matches!(refused, Err(KeystoreError::Field { field: "accounts", .. })), "{refused:?}");
}

#[test]
fn what_another_program_sealed_wrongly_is_told_from_a_wrong_password() {
    let key = crate::sealed::SealingKey::draw(&password("right"), cheap()).unwrap();
    let open = encode_accounts(&[]);
    let sealed = key.seal(Context { tag: TAG, open: &open }, &[7]).unwrap();
    let refused = Keystore { accounts: Vec::new(), sealed }.unlock(&password("right")).unwrap_err();
    assert!(
        matches!(refused, UnlockError::Contents(DecodeError::UnknownKind { found: 7, .. })),
        "{refused:?}"
    );
}

#[test]
fn an_address_without_its_key_does_not_sign() {
    let mut accounts = keys().accounts().to_vec();
    accounts[0].address = Address([9; 32]);
    accounts[2].address = Address([8; 32]);
    let key = crate::sealed::SealingKey::draw(&password("right"), cheap()).unwrap();
    let plain = keys().secrets().encode();
    let strange = Unlocked::new(accounts, Secrets::decode(&plain).unwrap(), key);
    for wrong in ["main", "old"] {
        let refused = strange.signing_key(&name(wrong)).unwrap_err();
        assert!(matches!(refused, AccountError::WrongKey { .. }), "{refused}");
    }
    assert!(strange.signing_key(&name("savings")).is_ok());
}

#[test]
fn a_new_password_opens_and_the_old_one_does_not() {
    let mut open = keystore().unlock(&password("right")).unwrap();
    open.change_password(&password("new"), cheap()).unwrap();
    let changed = open.seal().unwrap();
    assert!(matches!(changed.unlock(&password("right")), Err(UnlockError::WrongPassword)));
    let main = changed.unlock(&password("new")).unwrap().signing_key(&name("main")).unwrap();
    assert_eq!(main.address(), keystore().accounts()[0].address);
    assert_ne!(changed.sealed.salt, keystore().sealed.salt);
}

#[test]
fn sealing_again_uses_another_nonce() {
    let open = keys();
    assert_ne!(open.seal().unwrap().sealed.nonce, open.seal().unwrap().sealed.nonce);
}

#[test]
fn names_and_keys_are_there_once() {
    let mut keys = keys();
    let refused = keys.add(name("main"), 1).unwrap_err();
    assert!(matches!(refused, AccountError::NameTaken { .. }), "{refused}");
    let refused = keys.import(name("again"), &seed(3)).unwrap_err();
    assert!(matches!(&refused, AccountError::KeyTaken { name } if name.as_str() == "old"), "{refused}");
    let refused = keys.rename(&name("main"), name("old")).unwrap_err();
    assert!(matches!(refused, AccountError::NameTaken { .. }), "{refused}");
    keys.rename(&name("main"), name("main")).unwrap();
    keys.rename(&name("main"), name("first")).unwrap();
    assert!(keys.signing_key(&name("first")).is_ok());
    for gone in [keys.rename(&name("main"), name("x")), keys.remove(&name("main")).map(|_| ())] {
        assert!(matches!(gone, Err(AccountError::Unknown { .. })));
    }
    assert_eq!(keys.accounts().len(), 3);
}

#[test]
fn a_removed_key_is_gone_and_the_others_stay() {
    let mut keys = keys();
    keys.import(name("older"), &seed(4)).unwrap();
    keys.remove(&name("old")).unwrap();
    assert_eq!(keys.secrets().imported.len(), 1);
    assert_eq!(*keys.key_digits(&name("older")).unwrap(), "04".repeat(32));
    assert!(matches!(keys.signing_key(&name("old")), Err(AccountError::Unknown { .. })));
    keys.import(name("old"), &seed(3)).unwrap();
}

#[test]
fn single_keys_need_no_words() {
    let mut keys = Unlocked::without_words(&password("right"), cheap()).unwrap();
    assert!(matches!(keys.add(name("main"), 1), Err(AccountError::NoWords)));
    let path = DerivationPath::new(1, 0).unwrap();
    assert!(matches!(keys.address_at(path), Err(AccountError::NoWords)));
    keys.import(name("only"), &seed(1)).unwrap();
    let open = keys.seal().unwrap().unlock(&password("right")).unwrap();
    assert!(open.phrase().is_none());
    assert_eq!(open.signing_key(&name("only")).unwrap().address(), seed(1).key().address());
}

#[test]
fn a_full_keystore_is_read_again() {
    let mut keys = Unlocked::without_words(&password("right"), cheap()).unwrap();
    for number in 0..u16::try_from(ACCOUNTS_MAX).unwrap() {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        let seed = KeySeed::from_digits(const_hex::encode(bytes).as_bytes()).unwrap();
        keys.import(name(&format!("account-number-{number}")), &seed).unwrap();
    }
    assert!(matches!(keys.import(name("more"), &seed(9)), Err(AccountError::TooMany)));
    let json = keys.seal().unwrap().to_json();
    assert!(json.len() <= KEYSTORE_BYTES_MAX, "{} bytes", json.len());
    let open = Keystore::from_json(&json).unwrap().unlock(&password("right")).unwrap();
    assert_eq!(open.accounts().len(), ACCOUNTS_MAX);
}

#[test]
fn errors_and_printed_values_hold_no_secret() {
    let keys = keys();
    let digits = keys.key_digits(&name("main")).unwrap();
    let printed = format!("{keys:?}");
    assert!(!printed.contains(&*digits), "{printed}");
    let words: Vec<&str> = keys.phrase().unwrap().words().collect();
    for pair in words.windows(2) {
        assert!(!printed.contains(&pair.join(" ")) && !printed.contains(&pair.join("\", \"")), "{printed}");
    }
    assert!(!printed.contains(&"05".repeat(8)) && !printed.contains("5, 5, 5"), "{printed}");
    let refused = keystore().unlock(&password("hunter2")).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
}
