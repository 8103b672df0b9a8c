//! Backups: a whole wallet in one sealed file: words, single keys, accounts and the book.
//!
//! Unlike a keystore, a backup shows nothing without its password, so it can lie anywhere. The
//! password is asked for anew and may be another than that of the keystore.

use crate::book::{BOOK_BYTES_MAX, Book, BookError};
use crate::keystore::{
    KEYSTORE_VERSION, KeystoreError, SealShape, Secrets, UnlockError, Unlocked, check_distinct,
    decode_accounts, decode_hex, encode_accounts, read_head, read_json, to_json,
};
use crate::sealed::{Context, PasswordCost, SealError, SealingKey};
use crate::secret::Password;
use cairn_core::codec::{Reader, encode_byte_string};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest backup that is read, in bytes.
pub const BACKUP_BYTES_MAX: usize = 13 * 1024 * 1024;

/// What the file says it is.
const FORMAT: &str = "cairn-backup";
/// Opens what is authenticated; a keystore is no backup, although both are sealed alike.
const TAG: &[u8] = b"cairn/backup/1\0";
const CONTEXT: Context<'_> = Context { tag: TAG, open: &[] };

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupShape {
    format: String,
    version: u32,
    seal: SealShape,
    checksum: String,
}

/// Why a wallet cannot be backed up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is no chance or no memory.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The book cannot be written.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// Why a file is not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It is no backup, or damaged.
    #[error(transparent)]
    File(#[from] KeystoreError),
    /// It does not open.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// It opens, and its book is none.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// The text of a backup. Takes as long as the password costs.
///
/// # Errors
///
/// [`BackupError`].
pub fn write_backup(
    keys: &Unlocked,
    book: &Book,
    password: &Password,
    cost: PasswordCost,
) -> Result<Vec<u8>, BackupError> {
    let (secrets, accounts, book) =
        (keys.secrets().encode(), encode_accounts(keys.accounts()), book.to_json()?);
    // The room is there before the secrets are, so that no growing leaves a copy behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(secrets.len() + accounts.len() + 4 + book.len()));
    plaintext.extend_from_slice(&secrets);
    plaintext.extend_from_slice(&accounts);
    encode_byte_string(&book, &mut plaintext);
    let key = SealingKey::draw(password, cost)?;
    let sealed = key.seal(CONTEXT, &plaintext).map_err(SealError::from)?;
    let checksum = const_hex::encode(sealed.checksum(CONTEXT));
    let seal = SealShape::of(&sealed);
    Ok(to_json(&BackupShape { format: FORMAT.to_owned(), version: KEYSTORE_VERSION, seal, checksum }))
}

/// Checks that a backup is whole, without its password.
///
/// # Errors
///
/// [`KeystoreError`].
pub fn check_backup(json: &[u8]) -> Result<(), KeystoreError> {
    read(json).map(|_| ())
}

/// Opens a backup: the keys, under the backup's password until it is
/// [changed](Unlocked::change_password), and the book.
///
/// # Errors
///
/// [`RestoreError`].
pub fn read_backup(json: &[u8], password: &Password) -> Result<(Unlocked, Book), RestoreError> {
    let sealed = read(json)?;
    let (key, plaintext) = sealed.open(password, CONTEXT).map_err(UnlockError::from)?;
    let mut reader = Reader::new(&plaintext);
    let secrets = Secrets::read(&mut reader).map_err(UnlockError::from)?;
    let accounts = decode_accounts(&mut reader).map_err(UnlockError::from)?;
    check_distinct(&accounts)?;
    let book = reader.byte_string("book", BOOK_BYTES_MAX).map_err(UnlockError::from)?;
    reader.finish().map_err(UnlockError::from)?;
    Ok((Unlocked::new(accounts, secrets, key), Book::from_json(book)?))
}

fn read(json: &[u8]) -> Result<crate::sealed::Sealed, KeystoreError> {
    read_head(json, BACKUP_BYTES_MAX, FORMAT)?;
    let shape: BackupShape = read_json(json)?;
    let sealed = shape.seal.read()?;
    if decode_hex("checksum", &shape.checksum)? == sealed.checksum(CONTEXT) {
        Ok(sealed)
    } else {
        Err(KeystoreError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mnemonic::Mnemonic;

    fn cheap() -> PasswordCost {
        PasswordCost::new(8, 1, 1).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn keys() -> Unlocked {
        let phrase = Mnemonic::from_entropy(&[5; 32]).unwrap();
        let seed = phrase.seed("extra").unwrap();
        let mut keys = Unlocked::from_words(phrase, seed, &password("keystore"), cheap()).unwrap();
        keys.add("main".parse().unwrap(), 1).unwrap();
        let old = crate::key_file::KeySeed::from_digits("03".repeat(32).as_bytes()).unwrap();
        keys.import("old".parse().unwrap(), &old).unwrap();
        keys
    }

    fn book() -> Book {
        let mut book = Book::default();
        book.set_label(keys().accounts()[0].address, "rent").unwrap();
        book
    }

    #[test]
    fn a_restored_wallet_is_the_one_that_was_backed_up() {
        let json = write_backup(&keys(), &book(), &password("backup"), cheap()).unwrap();
        check_backup(&json).unwrap();
        let (restored, restored_book) = read_backup(&json, &password("backup")).unwrap();
        assert_eq!(restored.accounts(), keys().accounts());
        assert_eq!(restored_book, book());
        for account in keys().accounts() {
            assert_eq!(restored.signing_key(&account.name).unwrap().address(), account.address);
        }
        assert!(restored.phrase().unwrap().words().eq(keys().phrase().unwrap().words()));
    }

    #[test]
    fn a_backup_shows_nothing_and_opens_under_its_own_password_only() {
        let json = write_backup(&keys(), &book(), &password("backup"), cheap()).unwrap();
        let text = String::from_utf8(json.clone()).unwrap();
        assert!(!text.contains("main") && !text.contains("rent"), "{text}");
        let refused = read_backup(&json, &password("keystore"));
        assert!(matches!(refused, Err(RestoreError::Unlock(UnlockError::WrongPassword))));
    }

    #[test]
    fn a_keystore_is_no_backup_and_a_backup_no_keystore() {
        let keystore = keys().seal().unwrap().to_json();
        let refused = check_backup(&keystore);
        assert!(matches!(refused, Err(KeystoreError::Format { expected: FORMAT })));
        let backup = write_backup(&keys(), &book(), &password("backup"), cheap()).unwrap();
        let refused = crate::keystore::Keystore::from_json(&backup);
        assert!(matches!(refused, Err(KeystoreError::Format { .. })));
    }

    #[test]
    fn a_thousand_damaged_backups_are_refused_and_none_by_a_panic() {
        let json = write_backup(&keys(), &book(), &password("backup"), cheap()).unwrap();
        for place in 0..1000 {
            let mut damaged = json.clone();
            let at = place * 7919 % damaged.len();
            damaged[at] = damaged[at].wrapping_add(u8::try_from(place % 255).unwrap() + 1);
            // Blanks between the fields mean nothing.
            if damaged[at].is_ascii_whitespace() && json[at].is_ascii_whitespace() {
                continue;
            }
            assert!(read_backup(&damaged, &password("backup")).is_err(), "byte {at}");
        }
        for length in 0..json.len() - 2 {
            assert!(check_backup(&json[..length]).is_err(), "{length} bytes");
        }
    }
}
