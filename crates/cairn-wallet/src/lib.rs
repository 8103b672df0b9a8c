//! Who may spend: the keys that own accounts, and what they sign.
//!
//! A key signs transactions and the seals of permitted miners, and nothing else: each signature is
//! bound to one network and one purpose. Keys are wiped from memory when they are dropped, and no
//! way of printing one exists.
//!
//! # Provided
//!
//! ed25519 keys from seeds and from key files, and the published development accounts.
//!
//! # Not provided
//!
//! Phrases, derivation paths and encrypted keystores; they end in a [`SigningKey`] like everything here.

mod development;
mod key_file;
mod signing_key;

pub use development::{DevelopmentAccount, development_account, development_accounts};
pub use key_file::{KEY_FILE_BYTES_MAX, KeyFileError, read_key_file};
pub use signing_key::SigningKey;
