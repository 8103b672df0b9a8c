//! Who may spend: the keys that own accounts, and what they sign.
//!
//! A key signs transactions, the seals of permitted miners and texts, and nothing else: each
//! signature is bound to one network and one purpose. Secrets are wiped from memory when they are
//! dropped, and no way of printing one exists but to ask for it by its name.
//!
//! # Provided
//!
//! * ed25519 keys from words (BIP-39, SLIP-0010), from seeds and from key files, and the published
//!   development accounts;
//! * [`Wallet`]: keys under a password and what is known beside them, on disk; [`Unlocked`] keys,
//!   for a [`Session`]; backups;
//! * what a payment needs before it is signed: links, tables of recipients, fees, replacements.
//!
//! The formats are those of `docs/spec/10-wallet.md`. Time comes as an argument, chance from the
//! operating system alone.
//!
//! # Not provided
//!
//! Talking to a node, asking for passwords: that is for commands. Keys of other schemes than
//! ed25519. Keeping memory out of swap and core dumps, which needs the operating system.

mod backup;
mod book;
mod derivation;
mod development;
mod fees;
pub mod fuzz;
mod key_file;
mod keystore;
mod message;
mod mnemonic;
mod name;
mod private_file;
mod recipients;
mod replacement;
mod sealed;
mod secret;
mod session;
mod signing_key;
mod text;
mod uri;
mod wallet;

pub use backup::{BACKUP_BYTES_MAX, BackupError, RestoreError, check_backup, read_backup, write_backup};
pub use book::{
    BOOK_BYTES_MAX, Book, BookError, ENTRIES_MAX, Entry, HISTORY_MAX, History, NETWORKS_MAX, NetworkAddress,
    Recognised, SentRecord,
};
pub use derivation::{DerivationPath, PathError};
pub use development::{DevelopmentAccount, development_account, development_accounts};
pub use fees::FeePreview;
pub use key_file::{KEY_FILE_BYTES_MAX, KeyFileError, KeySeed, read_key_file, read_key_seed};
pub use keystore::{
    ACCOUNTS_MAX, AccountError, KEYSTORE_BYTES_MAX, KEYSTORE_VERSION, KeyAccount, Keystore, KeystoreError,
    Origin, UnlockError, Unlocked,
};
pub use message::{MESSAGE_BYTES_MAX, MESSAGE_TAG, MessageError, sign_message, verify_message};
pub use mnemonic::{Mnemonic, MnemonicError, PHRASE_BYTES_MAX, Seed, WORD_COUNTS};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use private_file::{FileError, read_private_file, write_private_file};
pub use recipients::{
    Bundle, LINE_ERRORS_MAX, LineError, LineFault, RECIPIENTS_MAX, Recipients, TABLE_BYTES_MAX, TableError,
    TableReader,
};
pub use replacement::{Offer, REPLACEMENT_PERCENT, Replacement, ReplacementError, Waiting};
pub use sealed::{CostError, LANES_MAX, MEMORY_KIB_MAX, PASSES_MAX, PasswordCost, SealError, WORK_KIB_MAX};
pub use secret::{PASSWORD_BYTES_MAX, Password, PasswordError, RandomError};
pub use session::{Locked, Session, UNLOCK_MS_DEFAULT, UNLOCK_MS_MAX, UnlockTimeError};
pub use signing_key::SigningKey;
pub use text::{TEXT_BYTES_MAX, TextError, check_text};
pub use uri::{PARAMETERS_MAX, PaymentRequest, URI_BYTES_MAX, UriError, UriNetwork};
pub use wallet::{AccountKind, FindError, PayerError, WALLETS_MAX, Wallet, WalletAccount, WalletError};
