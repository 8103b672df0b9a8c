//! A wallet on a real disk.

use super::*;
use crate::book::{Entry, NetworkAddress};
use crate::derivation::DerivationPath;
use crate::key_file::KeySeed;
use crate::mnemonic::Mnemonic;
use crate::sealed::PasswordCost;
use crate::secret::Password;
use tempfile::TempDir;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn prefix(text: &str) -> AddressPrefix {
    AddressPrefix::new(text).unwrap()
}

fn password() -> Password {
    Password::new("right").unwrap()
}

fn keys() -> Unlocked {
    let phrase = Mnemonic::from_entropy(&[5; 32]).unwrap();
    let seed = phrase.seed("").unwrap();
    let cost = PasswordCost::new(8, 1, 1).unwrap();
    let mut keys = Unlocked::from_words(phrase, seed, &password(), cost).unwrap();
    keys.add(name("main"), 1).unwrap();
    keys
}

fn wallet() -> (TempDir, Wallet) {
    let directory = tempfile::tempdir().unwrap();
    let wallet =
        Wallet::create(&directory.path().join("wallets"), name("mine"), Some(&keys()), Book::default())
            .unwrap();
    (directory, wallet)
}

fn entry(text: &str, byte: u8) -> Entry {
    Entry { name: name(text), address: NetworkAddress::new(Address([byte; 32]), prefix("cairn")) }
}

fn again(wallet: &Wallet) -> Wallet {
    Wallet::open(&wallet.directory, wallet.name.clone()).unwrap()
}

#[test]
fn a_wallet_is_opened_as_it_was_made() {
    let (_directory, mut wallet) = wallet();
    wallet.change_book(|book| book.add_contact(entry("bob", 2))).unwrap();
    let opened = again(&wallet);
    assert_eq!(opened.keystore(), wallet.keystore());
    assert_eq!(opened.book(), wallet.book());
    let mut unlocked = opened.keystore().unwrap().unlock(&password()).unwrap();
    unlocked.add(name("second"), 1).unwrap();
    wallet.save_keys(&unlocked).unwrap();
    let names: Vec<String> = again(&wallet).accounts().iter().map(|it| it.name.to_string()).collect();
    assert_eq!(names, ["main", "second"]);
}

#[cfg(unix)]
#[test]
fn its_files_and_its_directory_are_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, mut wallet) = wallet();
    wallet.save_keys(&keys()).unwrap();
    wallet.change_book(|book| book.add_contact(entry("bob", 2))).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&wallet.keystore_path()), 0o600);
    assert_eq!(mode(&wallet.book_path()), 0o600);
    assert_eq!(mode(&wallet.directory), 0o700);
    std::fs::set_permissions(wallet.keystore_path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Wallet::open(&wallet.directory, wallet.name.clone()).unwrap_err();
    assert!(matches!(refused, WalletError::File { error: FileError::OpenToOthers { found: 0o644 }, .. }));
}

#[test]
fn a_wallet_is_never_made_over_another_or_over_half_of_one() {
    let (_directory, wallet) = wallet();
    let make = || Wallet::create(&wallet.directory, name("mine"), Some(&keys()), Book::default());
    assert!(matches!(make(), Err(WalletError::Exists { .. })));
    std::fs::remove_file(wallet.keystore_path()).unwrap();
    assert!(matches!(make(), Err(WalletError::Exists { .. })));
}

#[test]
fn of_two_programs_the_second_does_not_undo_the_first() {
    let (_directory, mut first) = wallet();
    let mut second = again(&first);
    first.change_book(|book| book.add_contact(entry("bob", 2))).unwrap();
    let refused = second.change_book(|book| book.add_contact(entry("carol", 3))).unwrap_err();
    assert!(matches!(refused, WalletError::File { error: FileError::Changed, .. }), "{refused:?}");
    assert!(second.book().contacts().is_empty(), "what was not written is not there");
    assert_eq!(again(&first).book().contacts(), [entry("bob", 2)]);
    first.save_keys(&keys()).unwrap();
    assert!(matches!(second.save_keys(&keys()), Err(WalletError::File { error: FileError::Changed, .. })));
}

#[test]
fn wallets_are_listed_by_name_and_other_files_are_not() {
    let (directory, wallet) = wallet();
    Wallet::create(&wallet.directory, name("a-watch"), None, Book::default()).unwrap();
    for other in ["x.txt", "Upper.keystore.json", "dir.book.jsonx", ".keystore.json"] {
        std::fs::write(wallet.directory.join(other), "").unwrap();
    }
    assert_eq!(Wallet::names(&wallet.directory).unwrap(), [name("a-watch"), name("mine")]);
    assert_eq!(Wallet::names(&directory.path().join("nowhere")).unwrap(), []);
    let refused = Wallet::open(&wallet.directory, name("other")).unwrap_err();
    assert!(matches!(refused, WalletError::NotFound { .. }));
}

#[test]
fn a_wallet_that_only_watches_needs_no_password() {
    let directory = tempfile::tempdir().unwrap();
    let mut wallet = Wallet::create(directory.path(), name("watch"), None, Book::default()).unwrap();
    wallet.change_book(|book| book.watch(entry("cold", 3))).unwrap();
    let opened = again(&wallet);
    let accounts = opened.accounts();
    assert_eq!((accounts[0].name, accounts[0].kind), (&name("cold"), AccountKind::Watched));
    assert_eq!(opened.payer(None), Err(PayerError::NoKeys));
    assert_eq!(opened.payer(Some(&name("cold"))), Err(PayerError::Watched { name: name("cold") }));
    // Keys can come later.
    wallet.save_keys(&keys()).unwrap();
    assert_eq!(again(&wallet).payer(None).unwrap().name, name("main"));
}

#[test]
fn names_stand_for_addresses_of_their_network() {
    let (_directory, mut wallet) = wallet();
    wallet.change_book(|book| book.add_contact(entry("bob", 2))).unwrap();
    let cairn = prefix("cairn");
    let main = keys().accounts()[0].address;
    assert_eq!(wallet.find("main", &cairn), Ok(main));
    assert_eq!(wallet.find("bob", &cairn), Ok(Address([2; 32])));
    assert_eq!(wallet.find(&Address([9; 32]).to_text(&cairn), &cairn), Ok(Address([9; 32])));
    assert_eq!(wallet.find("mallory", &cairn), Err(FindError::UnknownName { name: name("mallory") }));
    // A contact of one network is not paid on another, and neither is a pasted address.
    let other = prefix("tn");
    for text in ["bob", &Address([9; 32]).to_text(&cairn)] {
        let refused = wallet.find(text, &other);
        assert!(matches!(refused, Err(FindError::Address(AddressError::WrongNetwork { .. }))), "{text}");
    }
    assert_eq!(wallet.name_of(&Address([2; 32])), Some(&name("bob")));
    assert_eq!(wallet.name_of(&main), Some(&name("main")));
    assert_eq!(wallet.name_of(&Address([9; 32])), None);
    assert!(matches!(wallet.check_free(&name("main")), Err(WalletError::NameTaken { .. })));
    assert!(matches!(wallet.check_free(&name("bob")), Err(WalletError::Entry(BookError::NameTaken { .. }))));
    assert!(wallet.check_free(&name("carol")).is_ok());
}

#[test]
fn who_pays_is_named_or_the_default_or_the_only_one() {
    let (_directory, mut wallet) = wallet();
    assert_eq!(wallet.payer(None).unwrap().name, name("main"));
    let mut keys = keys();
    let second = keys.add(name("second"), 1).unwrap().address;
    wallet.save_keys(&keys).unwrap();
    assert_eq!(wallet.payer(None), Err(PayerError::Undecided { count: 2 }));
    assert_eq!(wallet.payer(Some(&name("main"))).unwrap().name, name("main"));
    assert_eq!(wallet.payer(Some(&name("third"))), Err(PayerError::Unknown));
    wallet
        .change_book(|book| {
            book.set_default_account(Some(second));
            Ok(())
        })
        .unwrap();
    assert_eq!(wallet.payer(None).unwrap().name, name("second"));
    assert!(wallet.accounts()[1].is_default);
}

#[test]
fn from_the_words_alone_every_derived_account_comes_back() {
    // The restore test: new words, a wallet, and nothing left of it but the words on paper.
    let phrase = Mnemonic::generate().unwrap();
    let paper = phrase.words().collect::<Vec<_>>().join(" ");
    let cost = PasswordCost::new(8, 1, 1).unwrap();
    let seed = phrase.seed("and something in the head").unwrap();
    let mut keys = Unlocked::from_words(phrase, seed, &password(), cost).unwrap();
    for (number, text) in ["main", "savings", "rent"].into_iter().enumerate() {
        assert_eq!(keys.accounts().len(), number);
        keys.add(name(text), 7).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let wallet = Wallet::create(directory.path(), name("first"), Some(&keys), Book::default()).unwrap();
    let addresses: Vec<Address> = wallet.accounts().iter().map(|account| account.address).collect();
    drop((keys, wallet));

    let phrase = Mnemonic::parse(&paper).unwrap();
    let seed = phrase.seed("and something in the head").unwrap();
    let other = Password::new("another password").unwrap();
    let mut restored = Unlocked::from_words(phrase, seed, &other, cost).unwrap();
    for (index, address) in (0u32..).zip(&addresses) {
        let path = DerivationPath::new(7, index).unwrap();
        assert_eq!(restored.address_at(path).unwrap(), *address);
        assert_eq!(restored.add_at(name(&format!("a{index}")), path).unwrap().address, *address);
    }
    let phrase = Mnemonic::parse(&paper).unwrap();
    let without = phrase.seed("").unwrap();
    let other = DerivationPath::new(7, 0).unwrap().derive(&without).address();
    assert!(!addresses.contains(&other), "another passphrase is another wallet");
}

#[test]
fn a_damaged_file_is_named() {
    let (_directory, wallet) = wallet();
    std::fs::write(wallet.book_path(), "{").unwrap();
    let refused = Wallet::open(&wallet.directory, name("mine")).unwrap_err();
    assert!(matches!(&refused, WalletError::Book { path, .. } if *path == wallet.book_path()));
    std::fs::write(wallet.keystore_path(), "{").unwrap();
    let refused = Wallet::open(&wallet.directory, name("mine")).unwrap_err();
    assert!(matches!(&refused, WalletError::Keystore { path, .. } if *path == wallet.keystore_path()));
}

#[test]
fn an_imported_key_is_kept_with_the_words() {
    let (_directory, mut wallet) = wallet();
    let mut keys = wallet.keystore().unwrap().unlock(&password()).unwrap();
    let seed =
        KeySeed::from_digits(b"0909090909090909090909090909090909090909090909090909090909090909").unwrap();
    keys.import(name("old"), &seed).unwrap();
    wallet.save_keys(&keys).unwrap();
    let opened = again(&wallet);
    let keys = opened.keystore().unwrap().unlock(&password()).unwrap();
    assert_eq!(keys.signing_key(&name("old")).unwrap().address(), seed.key().address());
}
