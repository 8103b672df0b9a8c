//! Many keys from one seed: SLIP-0010 for ed25519, every step hardened.
//!
//! An account's key is the one at `m/44'/C'/i'`: purpose 44 of BIP-44, the coin type `C` that
//! genesis names, and the index `i` of the account. Other implementations of the standards find
//! the same keys from the same words.

use crate::mnemonic::Seed;
use crate::secret::{Secret, leave_no_trace};
use crate::signing_key::SigningKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroize as _;

/// What SLIP-0010 hashes a seed under for this curve.
const CURVE: &[u8] = b"ed25519 seed";
/// The purpose that BIP-44 gives to paths of coins.
const PURPOSE: u32 = 44;
/// A hardened step counts from here on; it is also the first number that is no index.
const HARDENED: u32 = 1 << 31;

/// The place of an account's key: `m/44'/C'/i'`.
///
/// # Invariant
///
/// Coin type and index are below 2³¹.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DerivationPath {
    coin_type: u32,
    index: u32,
}

/// Why something is not the place of an account's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A step is below 2³¹.
    #[error("a step of a path is below {HARDENED}, this is {found}")]
    Step {
        /// The step.
        found: u32,
    },
    /// The text has another form.
    #[error("the path of an account has the form m/44'/1'/0', without leading zeros")]
    Form,
}

impl DerivationPath {
    /// The path of the account with an index under a coin type (SLIP-44).
    ///
    /// # Errors
    ///
    /// [`PathError::Step`] if one of them is 2³¹ or more.
    pub const fn new(coin_type: u32, index: u32) -> Result<Self, PathError> {
        if coin_type >= HARDENED {
            return Err(PathError::Step { found: coin_type });
        }
        if index >= HARDENED {
            return Err(PathError::Step { found: index });
        }
        Ok(Self { coin_type, index })
    }

    /// The coin type.
    pub const fn coin_type(self) -> u32 {
        self.coin_type
    }

    /// The index of the account.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The key at this place.
    pub fn derive(self, seed: &Seed) -> SigningKey {
        leave_no_trace(|| SigningKey::from_seed(self.derive_seed(seed).expose()))
    }

    /// The seed of that key (RFC 8032).
    pub(crate) fn derive_seed(self, seed: &Seed) -> Secret<32> {
        leave_no_trace(|| derive(seed.expose(), &[PURPOSE, self.coin_type, self.index]).key)
    }
}

impl fmt::Display for DerivationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m/{PURPOSE}'/{}'/{}'", self.coin_type, self.index)
    }
}

impl FromStr for DerivationPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let steps = text.strip_prefix("m/44'/").and_then(|rest| rest.strip_suffix('\''));
        let (coin_type, index) = steps.and_then(|steps| steps.split_once("'/")).ok_or(PathError::Form)?;
        let number = |text: &str| text.parse().map_err(|_| PathError::Form);
        let path = Self::new(number(coin_type)?, number(index)?)?;
        // One path has one text: no signs, no leading zeros.
        if path.to_string() == text { Ok(path) } else { Err(PathError::Form) }
    }
}

/// A key and what its children are derived with.
struct Node {
    key: Secret<32>,
    chain_code: Secret<32>,
}

/// The node at the end of hardened steps, each below 2³¹.
fn derive(seed: &[u8], steps: &[u32]) -> Node {
    steps.iter().fold(Node::hashed(CURVE, &[seed]), |parent, step| {
        let step = step | HARDENED;
        Node::hashed(parent.chain_code.expose(), &[&[0], parent.key.expose(), &step.to_be_bytes()])
    })
}

impl Node {
    fn hashed(key: &[u8], parts: &[&[u8]]) -> Self {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        let mut bytes = mac.finalize().into_bytes();
        let (left, right) = bytes.split_at(32);
        let node = Self {
            key: Secret::written(|place| place.copy_from_slice(left)),
            chain_code: Secret::written(|place| place.copy_from_slice(right)),
        };
        bytes.as_mut_slice().zeroize();
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const SLIP_10: &str = include_str!("../../../docs/spec/vectors/external/slip10/ed25519.json");

    fn bytes(value: &Value) -> Vec<u8> {
        const_hex::decode(value.as_str().unwrap()).unwrap()
    }

    #[test]
    fn slip10_vectors_hold() {
        let file: Value = serde_json::from_str(SLIP_10).unwrap();
        let cases = file["vectors"].as_array().unwrap();
        assert_eq!(cases.len(), 12);
        for case in cases {
            let path = case["path"].as_str().unwrap();
            let steps: Vec<u32> = path
                .split('/')
                .skip(1)
                .map(|step| step.trim_end_matches(['\'', 'H']).parse().unwrap())
                .collect();
            let node = derive(&bytes(&case["seed"]), &steps);
            assert_eq!(node.key.expose().as_slice(), bytes(&case["private"]), "{path}");
            assert_eq!(node.chain_code.expose().as_slice(), bytes(&case["chain_code"]), "{path}");
            let public = SigningKey::from_seed(node.key.expose()).public_bytes();
            assert_eq!(public.as_slice(), &bytes(&case["public"])[1..], "{path}");
        }
    }

    #[test]
    fn steps_of_two_to_the_31_are_refused() {
        let found = HARDENED;
        assert_eq!(DerivationPath::new(found, 0), Err(PathError::Step { found }));
        assert_eq!(DerivationPath::new(0, found), Err(PathError::Step { found }));
        assert_eq!("m/44'/1'/2147483648'".parse::<DerivationPath>(), Err(PathError::Step { found }));
    }

    #[test]
    fn other_texts_are_no_path() {
        let texts = [
            "",
            "m",
            "m/44'/1'",
            "m/44'/1'/0",
            "m/44'/1/0'",
            "m/44/1'/0'",
            "m/43'/1'/0'",
            "m/44'/1'/0'/0'",
            "m/44'/01'/0'",
            "m/44'/+1'/0'",
            "M/44'/1'/0'",
            "m/44'/1'/0' ",
            "m/44'/1'/4294967296'",
            "m/44h/1h/0h",
        ];
        for text in texts {
            assert_eq!(text.parse::<DerivationPath>(), Err(PathError::Form), "{text:?}");
        }
    }

    #[test]
    fn coin_types_and_indexes_give_different_keys() {
        let seed = Seed::from_bytes(&[7; 64]);
        let address =
            |coin_type, index| DerivationPath::new(coin_type, index).unwrap().derive(&seed).address();
        assert_ne!(address(1, 0), address(1, 1));
        assert_ne!(address(1, 0), address(0, 0));
        assert_ne!(address(1, 0), address(0, 1));
        assert_eq!(address(1, 0), address(1, 0));
    }

    proptest! {
        #[test]
        fn a_path_is_read_as_it_is_written(coin_type in 0..HARDENED, index in 0..HARDENED) {
            let path = DerivationPath::new(coin_type, index).unwrap();
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }
}
