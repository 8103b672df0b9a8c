//! The published development accounts: keys that everybody knows, for networks that nobody owns.
//!
//! The seed of an account is `SHA-256("cairn/devnet/1\0" ‖ name)`, its key the ed25519 key of that
//! seed (RFC 8032). Anyone can compute them, so whatever they own on a real network is lost at
//! once: only a network whose genesis is marked `devnet` may use them.

use crate::signing_key::SigningKey;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// Opens the seed of a development account; no tag of the ledger begins like it.
const TAG: &[u8] = b"cairn/devnet/1\0";

/// One of the published accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevelopmentAccount {
    /// The first of the three people of every example.
    Alice,
    /// The second.
    Bob,
    /// The third.
    Carol,
    /// The account that a devnet gives coins away from.
    Faucet,
}

impl DevelopmentAccount {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alice, Self::Bob, Self::Carol, Self::Faucet];

    /// The name in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Carol => "carol",
            Self::Faucet => "faucet",
        }
    }

    /// The key.
    pub fn key(self) -> SigningKey {
        let mut seed: [u8; 32] = Sha256::new().chain_update(TAG).chain_update(self.name()).finalize().into();
        let key = SigningKey::from_seed(&seed);
        seed.zeroize();
        key
    }
}

/// The key of the development account with a name; none if there is no such account.
pub fn development_account(name: &str) -> Option<SigningKey> {
    DevelopmentAccount::ALL.into_iter().find(|account| account.name() == name).map(DevelopmentAccount::key)
}

/// Names and keys of all development accounts.
pub fn development_accounts() -> impl Iterator<Item = (&'static str, SigningKey)> {
    DevelopmentAccount::ALL.into_iter().map(|account| (account.name(), account.key()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_keys_never_change() {
        let keys: Vec<(&str, String)> =
            development_accounts().map(|(name, key)| (name, const_hex::encode(key.public_bytes()))).collect();
        let expected = [
            ("alice", "c94743d1eed37972c4592726a8ae242f2f16d825b2ae82489cd72a0988d5b89d"),
            ("bob", "c7803323e6f662bf255ac13692b06a051e1db665a8cee2072a13e5dd3ea4de82"),
            ("carol", "31a36f40e3d974184e730309f89ee5512c211dbf9c8c1f2132def8c1fff25682"),
            ("faucet", "3e4dde868d4135ca661f830a5d88a7874cf8a453db6b7ccde66c335daee96521"),
        ];
        assert_eq!(keys, expected.map(|(name, key)| (name, key.to_owned())));
    }

    #[test]
    fn only_the_four_names_have_keys() {
        assert!(development_account("alice").is_some());
        for name in ["Alice", "", "alice ", "mallory"] {
            assert!(development_account(name).is_none(), "{name:?}");
        }
    }
}
