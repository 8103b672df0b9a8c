//! The formats of `docs/spec/10-wallet.md`, as another program wrote them from that page.

#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use cairn_core::address::{Address, AddressPrefix};
use cairn_core::hash::BlockId;
use cairn_core::numbers::Amount;
use cairn_wallet::{
    DerivationPath, KeySeed, Keystore, Mnemonic, Origin, Password, PaymentRequest, Seed, Unlocked,
    UriNetwork, check_backup, read_backup, sign_message, verify_message,
};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../docs/spec/vectors/wallet.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

fn array(value: &Value, field: &str) -> [u8; 32] {
    const_hex::decode_to_array(text(value, field)).unwrap()
}

fn seed(file: &Value) -> (Mnemonic, Seed) {
    let phrase = Mnemonic::parse(text(&file["phrase"], "words")).unwrap();
    let seed = phrase.seed(text(&file["phrase"], "passphrase")).unwrap();
    (phrase, seed)
}

fn check_keys(keys: &Unlocked, file: &Value) {
    assert_eq!(keys.phrase().unwrap().words().collect::<Vec<_>>().join(" "), text(&file["phrase"], "words"));
    for account in file["accounts"].as_array().unwrap() {
        let name = text(account, "name").parse().unwrap();
        assert_eq!(*keys.key_digits(&name).unwrap(), text(account, "key_seed"));
        let found = keys.accounts().iter().find(|it| it.name == name).unwrap();
        assert_eq!(found.address, Address(array(account, "address")));
        assert_eq!(found.origin, Origin::Derived(text(account, "path").parse().unwrap()));
    }
    let old = "old".parse().unwrap();
    assert_eq!(*keys.key_digits(&old).unwrap(), file["imported"][0]);
    assert_eq!(keys.accounts().len(), 4);
}

#[test]
fn the_words_give_the_keys() {
    let file = vectors();
    let (_, seed) = seed(&file);
    for account in file["accounts"].as_array().unwrap() {
        let path: DerivationPath = text(account, "path").parse().unwrap();
        let key = path.derive(&seed);
        assert_eq!(key.public_bytes(), array(account, "public_key"));
        assert_eq!(key.address(), Address(array(account, "address")));
    }
}

#[test]
fn the_keystore_opens() {
    let file = vectors();
    let json = text(&file["keystore"], "file").as_bytes();
    let keystore = Keystore::from_json(json).unwrap();
    // We write what the other program wrote, to the last blank.
    assert_eq!(String::from_utf8(keystore.to_json()).unwrap(), text(&file["keystore"], "file"));
    let password = Password::new(text(&file["keystore"], "password")).unwrap();
    check_keys(&keystore.unlock(&password).unwrap(), &file);
}

#[test]
fn the_backup_opens() {
    let file = vectors();
    let json = text(&file["backup"], "file").as_bytes();
    check_backup(json).unwrap();
    let password = Password::new(text(&file["backup"], "password")).unwrap();
    let (keys, book) = read_backup(json, &password).unwrap();
    check_keys(&keys, &file);
    let main = keys.accounts()[0].address;
    assert_eq!(book.label(&main), Some("Miete"));
    assert_eq!(book.default_account(), Some(main));
}

#[test]
fn the_signed_texts_hold() {
    for case in vectors()["messages"].as_array().unwrap() {
        let (signer, identity) = (Address(array(case, "signer")), BlockId(array(case, "identity")));
        let (message, signature) = (text(case, "text"), text(case, "signature"));
        assert_eq!(verify_message(&signer, &identity, message, signature), Ok(()));
        let key = KeySeed::from_digits(text(case, "key_seed").as_bytes()).unwrap().key();
        assert_eq!(sign_message(&key, &identity, message).unwrap(), signature);
    }
}

#[test]
fn the_links_say_what_they_say() {
    let file = vectors();
    let network = |case: &Value| UriNetwork {
        prefix: AddressPrefix::new(text(case, "prefix")).unwrap(),
        identity: BlockId(array(case, "identity")),
        decimals: u8::try_from(case["decimals"].as_u64().unwrap()).unwrap(),
    };
    for case in file["links"].as_array().unwrap() {
        let owned = |field: &str| case[field].as_str().map(str::to_owned);
        let expected = PaymentRequest {
            to: Address(array(case, "to")),
            amount: owned("amount").map(|units| Amount::from_units(units.parse().unwrap())),
            label: owned("label"),
            message: owned("message"),
        };
        assert_eq!(PaymentRequest::parse(text(case, "link"), &network(case)), Ok(expected));
    }
    for case in file["refused_links"].as_array().unwrap() {
        assert!(PaymentRequest::parse(text(case, "link"), &network(case)).is_err(), "{}", case["why"]);
    }
}
