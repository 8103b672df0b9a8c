//! A wallet on disk: a keystore and a book of one name, in a directory of their owner alone.
//!
//! `NAME.keystore.json` holds the keys and changes rarely; `NAME.book.json` holds all the rest, so
//! that writing a note never touches the keys. A wallet that only watches has a book alone.

use crate::book::{BOOK_BYTES_MAX, Book, BookError};
use crate::keystore::{KEYSTORE_BYTES_MAX, KeyAccount, Keystore, KeystoreError, Origin, Unlocked};
use crate::name::Name;
use crate::private_file::{self, FileError};
use crate::secret::RandomError;
use cairn_core::address::{Address, AddressError, AddressPrefix};
use std::path::{Path, PathBuf};

const KEYSTORE_SUFFIX: &str = ".keystore.json";
const BOOK_SUFFIX: &str = ".book.json";
/// The most wallets that are listed.
pub const WALLETS_MAX: usize = 1_000;

/// A wallet, as it was when it was opened and as it was changed since.
#[derive(Debug)]
pub struct Wallet {
    directory: PathBuf,
    name: Name,
    keystore: Option<Stored<Keystore>>,
    book: Option<Stored<Book>>,
    nothing_noted: Book,
}

/// A value and the bytes of its file, which tell whether another program changed it.
#[derive(Debug)]
struct Stored<T> {
    value: T,
    bytes: Vec<u8>,
}

/// An account of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletAccount<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its address.
    pub address: Address,
    /// Where its key is.
    pub kind: AccountKind,
    /// What it is for.
    pub label: Option<&'a str>,
    /// Whether it pays where none is named.
    pub is_default: bool,
}

/// Where the key of an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// In the keystore.
    Key(Origin),
    /// Elsewhere: the account is only watched.
    Watched,
}

/// Why a wallet cannot be opened, made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// There is no such wallet.
    #[error("there is no wallet \"{name}\" in {}", directory.display())]
    NotFound {
        /// Its name.
        name: Name,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// There is such a wallet already.
    #[error("there is a wallet \"{name}\" already in {}", directory.display())]
    Exists {
        /// Its name.
        name: Name,
        /// Where it is.
        directory: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: FileError,
    },
    /// A file is no keystore.
    #[error("{}", path.display())]
    Keystore {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: KeystoreError,
    },
    /// A file is no book.
    #[error("{}", path.display())]
    Book {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: BookError,
    },
    /// What is to stand in the book cannot.
    #[error(transparent)]
    Entry(#[from] BookError),
    /// A name is that of an account already.
    #[error("\"{name}\" is an account of this wallet already")]
    NameTaken {
        /// The name.
        name: Name,
    },
    /// No chance for a nonce or a file's name.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Why a text stands for no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// It is no name that the wallet knows, and no address.
    #[error("the wallet knows nobody called \"{name}\"")]
    UnknownName {
        /// The name.
        name: Name,
    },
    /// It is no address of this network, or the contact's address is of another.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// Why no account pays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayerError {
    /// The wallet has no keys.
    #[error("this wallet has no account that can pay")]
    NoKeys,
    /// The account is only watched.
    #[error("\"{name}\" is only watched: its key is not in this wallet")]
    Watched {
        /// The account.
        name: Name,
    },
    /// No account has the name or the address.
    #[error("this wallet has no such account")]
    Unknown,
    /// There are several, and none is the default.
    #[error("this wallet has {count} accounts, and none is the default")]
    Undecided {
        /// How many there are.
        count: usize,
    },
}

impl Wallet {
    /// The names of the wallets in a directory, in order; none if there is no directory.
    ///
    /// # Errors
    ///
    /// [`WalletError::File`] if the directory cannot be read.
    pub fn names(directory: &Path) -> Result<Vec<Name>, WalletError> {
        let unreadable = |error| file_error(directory, FileError::Unreadable(error));
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut names = std::collections::BTreeSet::new();
        for entry in entries {
            let file = entry.map_err(unreadable)?.file_name();
            let stem = file.to_str().and_then(|file| {
                file.strip_suffix(KEYSTORE_SUFFIX).or_else(|| file.strip_suffix(BOOK_SUFFIX))
            });
            names.extend(stem.and_then(|stem| stem.parse::<Name>().ok()));
            if names.len() >= WALLETS_MAX {
                break;
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Makes a wallet with keys and a book, or one that only watches. The directory is made where
    /// it is missing.
    ///
    /// # Errors
    ///
    /// [`WalletError::Exists`] rather than touching a wallet that is there.
    pub fn create(
        directory: &Path,
        name: Name,
        keys: Option<&Unlocked>,
        book: Book,
    ) -> Result<Self, WalletError> {
        private_file::create_directory(directory).map_err(|error| file_error(directory, error))?;
        let mut wallet = Self {
            directory: directory.to_owned(),
            name,
            keystore: None,
            book: None,
            nothing_noted: Book::default(),
        };
        // Also half a wallet is one: what is left of it may be all that somebody has.
        if wallet.path(KEYSTORE_SUFFIX).exists() || wallet.path(BOOK_SUFFIX).exists() {
            return Err(wallet.exists());
        }
        if let Some(keys) = keys {
            wallet.save_keys(keys)?;
        }
        wallet.save_book(book)?;
        Ok(wallet)
    }

    /// Opens a wallet, locked.
    ///
    /// # Errors
    ///
    /// [`WalletError`].
    pub fn open(directory: &Path, name: Name) -> Result<Self, WalletError> {
        let mut wallet = Self {
            directory: directory.to_owned(),
            name,
            keystore: None,
            book: None,
            nothing_noted: Book::default(),
        };
        if let Some(bytes) = wallet.read(KEYSTORE_SUFFIX, KEYSTORE_BYTES_MAX)? {
            let path = wallet.path(KEYSTORE_SUFFIX);
            let value = Keystore::from_json(&bytes).map_err(|error| WalletError::Keystore { path, error })?;
            wallet.keystore = Some(Stored { value, bytes });
        }
        if let Some(bytes) = wallet.read(BOOK_SUFFIX, BOOK_BYTES_MAX)? {
            let path = wallet.path(BOOK_SUFFIX);
            let value = Book::from_json(&bytes).map_err(|error| WalletError::Book { path, error })?;
            wallet.book = Some(Stored { value, bytes });
        }
        if wallet.keystore.is_none() && wallet.book.is_none() {
            let directory = wallet.directory;
            return Err(WalletError::NotFound { name: wallet.name, directory });
        }
        Ok(wallet)
    }

    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The file of its keys.
    pub fn keystore_path(&self) -> PathBuf {
        self.path(KEYSTORE_SUFFIX)
    }

    /// The file of its book.
    pub fn book_path(&self) -> PathBuf {
        self.path(BOOK_SUFFIX)
    }

    /// The keys, locked; none in a wallet that only watches.
    pub fn keystore(&self) -> Option<&Keystore> {
        self.keystore.as_ref().map(|stored| &stored.value)
    }

    /// What is noted beside the keys.
    pub fn book(&self) -> &Book {
        self.book.as_ref().map_or(&self.nothing_noted, |stored| &stored.value)
    }

    /// All accounts: those with keys, then those that are watched.
    pub fn accounts(&self) -> Vec<WalletAccount<'_>> {
        let book = self.book();
        let keys = self.key_accounts().iter().map(|account| WalletAccount {
            name: &account.name,
            address: account.address,
            kind: AccountKind::Key(account.origin),
            label: book.label(&account.address),
            is_default: book.default_account() == Some(account.address),
        });
        let watched = book.watched().iter().map(|entry| WalletAccount {
            name: &entry.name,
            address: entry.address.address(),
            kind: AccountKind::Watched,
            label: book.label(&entry.address.address()),
            is_default: false,
        });
        keys.chain(watched).collect()
    }

    /// The address that a name or an address stands for on the network with `prefix`.
    ///
    /// # Errors
    ///
    /// [`FindError`], which tells an address of another network from a typing mistake.
    pub fn find(&self, text: &str, prefix: &AddressPrefix) -> Result<Address, FindError> {
        if let Some(account) = self.key_accounts().iter().find(|account| account.name.as_str() == text) {
            return Ok(account.address);
        }
        if let Some(entry) = self.book().entry(text) {
            return Ok(entry.address.on(prefix)?);
        }
        match text.parse() {
            Ok(name) => Err(FindError::UnknownName { name }),
            Err(_) => Ok(Address::from_text(text, prefix)?),
        }
    }

    /// The name that an address has in this wallet.
    pub fn name_of(&self, address: &Address) -> Option<&Name> {
        let book = self.book();
        let keys = self.key_accounts().iter().map(|account| (&account.name, account.address));
        let entries = book.contacts().iter().chain(book.watched());
        let mut known = keys.chain(entries.map(|entry| (&entry.name, entry.address.address())));
        known.find(|(_, known)| known == address).map(|(name, _)| name)
    }

    /// The account that pays: the one that is named, the default, or the only one.
    ///
    /// # Errors
    ///
    /// [`PayerError`].
    pub fn payer(&self, name: Option<&Name>) -> Result<&KeyAccount, PayerError> {
        let accounts = self.key_accounts();
        if let Some(name) = name {
            if self.book().watched().iter().any(|entry| entry.name == *name) {
                return Err(PayerError::Watched { name: name.clone() });
            }
            return accounts.iter().find(|account| account.name == *name).ok_or(PayerError::Unknown);
        }
        let default = self.book().default_account();
        if let Some(account) = accounts.iter().find(|account| Some(account.address) == default) {
            return Ok(account);
        }
        match accounts {
            [] => Err(PayerError::NoKeys),
            [only] => Ok(only),
            several => Err(PayerError::Undecided { count: several.len() }),
        }
    }

    /// Refuses a name for an account, a contact or a watched account if the wallet knows it already.
    ///
    /// # Errors
    ///
    /// [`WalletError`].
    pub fn check_free(&self, name: &Name) -> Result<(), WalletError> {
        if self.key_accounts().iter().any(|account| account.name == *name) {
            return Err(WalletError::NameTaken { name: name.clone() });
        }
        match self.book().entry(name.as_str()) {
            Some(_) => Err(BookError::NameTaken { name: name.clone() }.into()),
            None => Ok(()),
        }
    }

    /// Changes the book and writes it; if one of them fails, it stays as it was.
    ///
    /// # Errors
    ///
    /// What `change` refuses, and what can go wrong with the file.
    pub fn change_book<T>(
        &mut self,
        change: impl FnOnce(&mut Book) -> Result<T, BookError>,
    ) -> Result<T, WalletError> {
        let mut book = self.book().clone();
        let outcome = change(&mut book)?;
        self.save_book(book)?;
        Ok(outcome)
    }

    /// Seals the keys and writes them.
    ///
    /// # Errors
    ///
    /// [`WalletError`]; the file is then the old one, whole.
    pub fn save_keys(&mut self, keys: &Unlocked) -> Result<(), WalletError> {
        let value = keys.seal()?;
        let bytes = value.to_json();
        self.write(KEYSTORE_SUFFIX, self.keystore.as_ref().map(|stored| stored.bytes.as_slice()), &bytes)?;
        self.keystore = Some(Stored { value, bytes });
        Ok(())
    }

    fn save_book(&mut self, value: Book) -> Result<(), WalletError> {
        let bytes = value.to_json()?;
        self.write(BOOK_SUFFIX, self.book.as_ref().map(|stored| stored.bytes.as_slice()), &bytes)?;
        self.book = Some(Stored { value, bytes });
        Ok(())
    }

    fn key_accounts(&self) -> &[KeyAccount] {
        self.keystore().map_or(&[], Keystore::accounts)
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}{suffix}", self.name))
    }

    fn exists(&self) -> WalletError {
        WalletError::Exists { name: self.name.clone(), directory: self.directory.clone() }
    }

    /// The bytes of a file; none if it is not there.
    fn read(&self, suffix: &str, limit: usize) -> Result<Option<Vec<u8>>, WalletError> {
        let path = self.path(suffix);
        match private_file::read_private_file(&path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::Unreadable(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WalletError::File { path, error }),
        }
    }

    fn write(&self, suffix: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), WalletError> {
        let path = self.path(suffix);
        let outcome = match old {
            None => private_file::write_private_file(&path, new),
            Some(old) => private_file::replace(&path, old, new),
        };
        outcome.map_err(|error| match error {
            FileError::Exists => self.exists(),
            error => WalletError::File { path, error },
        })
    }
}

fn file_error(path: &Path, error: FileError) -> WalletError {
    WalletError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
