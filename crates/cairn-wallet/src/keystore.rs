//! The keystore: keys under a password, and whose they are in the clear.
//!
//! A locked [`Keystore`] knows its accounts and their addresses, so that balances can be shown
//! without a password. An [`Unlocked`] one signs and changes; [`Unlocked::seal`] locks what it
//! holds again. The format of the file is `docs/spec/10-wallet.md`.

mod error;
mod file;
mod secrets;
mod unlocked;

pub use error::{AccountError, KeystoreError, UnlockError};
pub use unlocked::Unlocked;

pub(crate) use file::{
    SealShape, decode_accounts, decode_hex, encode_accounts, read_head, read_json, to_json,
};
pub(crate) use secrets::Secrets;

use crate::derivation::DerivationPath;
use crate::name::Name;
use crate::sealed::{Context, PasswordCost, Sealed};
use crate::secret::Password;
use cairn_core::address::Address;

/// The longest keystore that is read, in bytes.
pub const KEYSTORE_BYTES_MAX: usize = 1024 * 1024;
/// The most accounts of a keystore.
pub const ACCOUNTS_MAX: usize = 1_000;
/// The version of the format that this release writes and reads.
pub const KEYSTORE_VERSION: u32 = 1;

/// What the file says it is.
const FORMAT: &str = "cairn-keystore";
/// Opens what is authenticated; no tag of the ledger begins like it.
const TAG: &[u8] = b"cairn/keystore/1\0";

/// Keys under a password.
///
/// # Invariant
///
/// Names and addresses of its accounts are distinct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystore {
    accounts: Vec<KeyAccount>,
    sealed: Sealed,
}

/// An account whose key is in a keystore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAccount {
    /// How its owner calls it.
    pub name: Name,
    /// Its address, which is the same on every network but for its text.
    pub address: Address,
    /// Where its key comes from.
    pub origin: Origin,
}

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the words of the keystore: whoever has them can restore it.
    Derived(DerivationPath),
    /// From elsewhere: only this keystore and its backups hold it.
    Imported,
}

impl Keystore {
    /// Reads a keystore. Nothing is computed that a hostile file could make expensive.
    ///
    /// # Errors
    ///
    /// [`KeystoreError`]; [`KeystoreError::Damaged`] is found without the password.
    pub fn from_json(json: &[u8]) -> Result<Self, KeystoreError> {
        file::read_keystore(json)
    }

    /// The text of the file.
    pub fn to_json(&self) -> Vec<u8> {
        file::write_keystore(self)
    }

    /// The accounts, in the order in which they were added.
    pub fn accounts(&self) -> &[KeyAccount] {
        &self.accounts
    }

    /// The account with a name.
    pub fn account(&self, name: &Name) -> Option<&KeyAccount> {
        self.accounts.iter().find(|account| account.name == *name)
    }

    /// What trying one password costs.
    pub const fn cost(&self) -> PasswordCost {
        self.sealed.cost
    }

    /// Opens the keystore. Takes as long as its password costs.
    ///
    /// # Errors
    ///
    /// [`UnlockError::WrongPassword`], and what else can be wrong.
    pub fn unlock(&self, password: &Password) -> Result<Unlocked, UnlockError> {
        let open = encode_accounts(&self.accounts);
        let (key, plaintext) = self.sealed.open(password, Context { tag: TAG, open: &open })?;
        let secrets = Secrets::decode(&plaintext)?;
        Ok(Unlocked::new(self.accounts.clone(), secrets, key))
    }

    fn checksum(&self) -> [u8; 32] {
        self.sealed.checksum(Context { tag: TAG, open: &encode_accounts(&self.accounts) })
    }
}

/// Refuses accounts that share a name or an address.
pub(crate) fn check_distinct(accounts: &[KeyAccount]) -> Result<(), KeystoreError> {
    let mut names = std::collections::BTreeSet::new();
    let mut addresses = std::collections::BTreeSet::new();
    for account in accounts {
        if !names.insert(&account.name) || !addresses.insert(account.address) {
            return Err(KeystoreError::Twice { name: account.name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
