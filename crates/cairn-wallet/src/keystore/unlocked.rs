//! A keystore whose password was given: it signs, and its accounts can change.

use super::secrets::Root;
use super::{ACCOUNTS_MAX, AccountError, KeyAccount, Keystore, Origin, Secrets, TAG, encode_accounts};
use crate::derivation::DerivationPath;
use crate::key_file::KeySeed;
use crate::mnemonic::{Mnemonic, Seed};
use crate::name::Name;
use crate::sealed::{Context, PasswordCost, SealError, SealingKey};
use crate::secret::{Password, RandomError, Secret, leave_no_trace};
use crate::signing_key::SigningKey;
use cairn_core::address::Address;
use zeroize::Zeroizing;

/// An open keystore. Dropping it wipes its secrets and the key that the password made.
#[derive(Debug)]
pub struct Unlocked {
    accounts: Vec<KeyAccount>,
    secrets: Secrets,
    key: SealingKey,
}

impl Unlocked {
    pub(crate) const fn new(accounts: Vec<KeyAccount>, secrets: Secrets, key: SealingKey) -> Self {
        Self { accounts, secrets, key }
    }

    /// A new keystore of the keys that come from words and their seed, without accounts yet.
    ///
    /// # Errors
    ///
    /// [`SealError`] if there is no chance or no memory.
    pub fn from_words(
        phrase: Mnemonic,
        seed: Seed,
        password: &Password,
        cost: PasswordCost,
    ) -> Result<Self, SealError> {
        let secrets = Secrets { root: Some(Root { phrase, seed }), imported: Vec::new() };
        Ok(Self::new(Vec::new(), secrets, SealingKey::draw(password, cost)?))
    }

    /// A new keystore for single keys, without words.
    ///
    /// # Errors
    ///
    /// [`SealError`] if there is no chance or no memory.
    pub fn without_words(password: &Password, cost: PasswordCost) -> Result<Self, SealError> {
        Ok(Self::new(Vec::new(), Secrets::default(), SealingKey::draw(password, cost)?))
    }

    /// The accounts, in the order in which they were added.
    pub fn accounts(&self) -> &[KeyAccount] {
        &self.accounts
    }

    /// The words; none if the keystore holds single keys alone. Show them to their owner only.
    pub fn phrase(&self) -> Option<&Mnemonic> {
        self.secrets.root.as_ref().map(|root| &root.phrase)
    }

    /// The address at a path, without adding an account: to look for those that were used.
    ///
    /// # Errors
    ///
    /// [`AccountError::NoWords`].
    pub fn address_at(&self, path: DerivationPath) -> Result<Address, AccountError> {
        let root = self.secrets.root.as_ref().ok_or(AccountError::NoWords)?;
        Ok(path.derive(&root.seed).address())
    }

    /// Adds the account at the first free index of a coin type.
    ///
    /// # Errors
    ///
    /// [`AccountError`] if there are no words, or the name is taken.
    pub fn add(&mut self, name: Name, coin_type: u32) -> Result<&KeyAccount, AccountError> {
        let mut index = 0;
        for account in &self.accounts {
            if let Origin::Derived(path) = account.origin
                && path.coin_type() == coin_type
            {
                index = index.max(path.index().saturating_add(1));
            }
        }
        self.add_at(name, DerivationPath::new(coin_type, index)?)
    }

    /// Adds the account at a path.
    ///
    /// # Errors
    ///
    /// [`AccountError`] if there are no words, or the name or the key is taken.
    pub fn add_at(&mut self, name: Name, path: DerivationPath) -> Result<&KeyAccount, AccountError> {
        let address = self.address_at(path)?;
        self.insert(KeyAccount { name, address, origin: Origin::Derived(path) })
    }

    /// Adds the key of a seed.
    ///
    /// # Errors
    ///
    /// [`AccountError`] if the name or the key is taken.
    pub fn import(&mut self, name: Name, seed: &KeySeed) -> Result<&KeyAccount, AccountError> {
        let address = seed.key().address();
        self.insert(KeyAccount { name, address, origin: Origin::Imported })?;
        self.secrets.imported.push(Secret::copied(seed.secret().expose()));
        Ok(self.accounts.last().expect("it was just added"))
    }

    fn insert(&mut self, account: KeyAccount) -> Result<&KeyAccount, AccountError> {
        if self.accounts.len() >= ACCOUNTS_MAX {
            return Err(AccountError::TooMany);
        }
        for other in &self.accounts {
            if other.name == account.name {
                return Err(AccountError::NameTaken { name: account.name });
            }
            if other.address == account.address {
                return Err(AccountError::KeyTaken { name: other.name.clone() });
            }
        }
        self.accounts.push(account);
        Ok(self.accounts.last().expect("it was just added"))
    }

    /// Gives an account another name.
    ///
    /// # Errors
    ///
    /// [`AccountError`] if there is no such account, or another has the new name.
    pub fn rename(&mut self, name: &Name, new: Name) -> Result<(), AccountError> {
        if self.accounts.iter().any(|account| account.name == new && new != *name) {
            return Err(AccountError::NameTaken { name: new });
        }
        let account = self.accounts.iter_mut().find(|account| account.name == *name);
        account.ok_or_else(|| AccountError::Unknown { name: name.clone() })?.name = new;
        Ok(())
    }

    /// Takes an account out. A derived one can be added again; an imported key is gone, unless
    /// a copy of it is elsewhere.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unknown`].
    pub fn remove(&mut self, name: &Name) -> Result<KeyAccount, AccountError> {
        let place = self.accounts.iter().position(|account| account.name == *name);
        let place = place.ok_or_else(|| AccountError::Unknown { name: name.clone() })?;
        let account = self.accounts.remove(place);
        if account.origin == Origin::Imported {
            self.secrets.imported.retain(|seed| {
                leave_no_trace(|| SigningKey::from_seed(seed.expose()).address()) != account.address
            });
        }
        Ok(account)
    }

    /// The key of an account.
    ///
    /// # Errors
    ///
    /// [`AccountError`] if there is no such account, or no key for it.
    pub fn signing_key(&self, name: &Name) -> Result<SigningKey, AccountError> {
        let seed = self.key_seed(name)?;
        Ok(leave_no_trace(|| SigningKey::from_seed(seed.expose())))
    }

    /// The 64 hexadecimal digits of a key file with an account's key, for a program that needs
    /// exactly one.
    ///
    /// # Errors
    ///
    /// As [`signing_key`](Self::signing_key).
    pub fn key_digits(&self, name: &Name) -> Result<Zeroizing<String>, AccountError> {
        Ok(Zeroizing::new(const_hex::encode(self.key_seed(name)?.expose())))
    }

    fn key_seed(&self, name: &Name) -> Result<Secret<32>, AccountError> {
        let account = self.accounts.iter().find(|account| account.name == *name);
        let account = account.ok_or_else(|| AccountError::Unknown { name: name.clone() })?;
        let wrong_key = || AccountError::WrongKey { name: name.clone() };
        let owns = |seed: &Secret<32>| {
            leave_no_trace(|| SigningKey::from_seed(seed.expose()).address()) == account.address
        };
        match account.origin {
            Origin::Derived(path) => {
                let root = self.secrets.root.as_ref().ok_or_else(wrong_key)?;
                Some(path.derive_seed(&root.seed)).filter(owns).ok_or_else(wrong_key)
            }
            Origin::Imported => {
                let seed = self.secrets.imported.iter().find(|seed| owns(seed));
                seed.map(|seed| Secret::copied(seed.expose())).ok_or_else(wrong_key)
            }
        }
    }

    /// Takes another password from the next [`seal`](Self::seal) on. Files that were sealed before
    /// still open with the old one.
    ///
    /// # Errors
    ///
    /// [`SealError`] if there is no chance or no memory.
    pub fn change_password(&mut self, password: &Password, cost: PasswordCost) -> Result<(), SealError> {
        self.key = SealingKey::draw(password, cost)?;
        Ok(())
    }

    /// The locked keystore that holds all this.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn seal(&self) -> Result<Keystore, RandomError> {
        let open = encode_accounts(&self.accounts);
        let sealed = self.key.seal(Context { tag: TAG, open: &open }, &self.secrets.encode())?;
        Ok(Keystore { accounts: self.accounts.clone(), sealed })
    }

    pub(crate) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}
