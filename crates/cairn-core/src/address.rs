//! Who owns an account: the hash of a signature scheme and a public key, and its bech32m text.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::hash::{StatePath, Tag};
use bech32::primitives::decode::{CheckedHrpstring, CheckedHrpstringError, ChecksumError};
use bech32::{Bech32m, Hrp};
use std::fmt;

/// An account's address: `H(tag ‖ scheme ‖ public key)`, 32 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 32]);

/// The human-readable part of a network's addresses: 1 to [`PREFIX_BYTES_MAX`] lower-case letters
/// and digits, the first a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressPrefix(String);

/// The longest prefix, in characters: the whole address stays below the 90 characters for which
/// BIP-173 proves the checksum.
pub const PREFIX_BYTES_MAX: usize = 16;

/// Why a text is not an address of this network (BIP-350).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// ADR-1: an address is a bech32m text.
    #[error("this is not an address: an address looks like {expected}1…")]
    NotBech32 {
        /// The prefix of this network.
        expected: AddressPrefix,
    },
    /// ADR-2: the checksum of an address holds; otherwise a character was mistyped.
    #[error("the checksum is wrong: at least one character was mistyped")]
    Checksum,
    /// ADR-3: the prefix of an address is that of the network.
    #[error(
        "this address belongs to another network: it begins with {found}, this network's with {expected}"
    )]
    WrongNetwork {
        /// The prefix found.
        found: String,
        /// The prefix of this network.
        expected: AddressPrefix,
    },
    /// ADR-4: an address holds exactly 32 bytes, without padding bits that are set.
    #[error("an address holds 32 bytes, this holds {found}")]
    Length {
        /// How many whole bytes the text holds.
        found: usize,
    },
}

/// Why a text cannot be a network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address prefix is 1 to {PREFIX_BYTES_MAX} lower-case letters and digits, the first a letter")]
pub struct PrefixError;

impl Address {
    /// The address of a public key under a scheme; `scheme` is the scheme's number.
    pub fn of_key(scheme: u8, key: &[u8]) -> Self {
        Self(Tag::ADDRESS.hash(&[&[scheme], key]))
    }

    /// The place of the account in the state tree.
    pub fn path(&self) -> StatePath {
        StatePath(Tag::PATH.hash(&[&self.0]))
    }

    /// The text of the address on a network.
    pub fn to_text(&self, prefix: &AddressPrefix) -> String {
        bech32::encode::<Bech32m>(prefix.hrp(), &self.0).expect("17 + 52 + 6 characters are within the limit")
    }

    /// Reads the text of an address of the network with `prefix`. Upper case is read too.
    ///
    /// # Errors
    ///
    /// [`AddressError`], which tells a typing mistake from an address of another network.
    pub fn from_text(text: &str, prefix: &AddressPrefix) -> Result<Self, AddressError> {
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|error| match error {
            CheckedHrpstringError::Checksum(ChecksumError::InvalidResidue(_)) => AddressError::Checksum,
            _ => AddressError::NotBech32 { expected: prefix.clone() },
        })?;
        if checked.hrp() != prefix.hrp() {
            let found = checked.hrp().to_lowercase();
            return Err(AddressError::WrongNetwork { found, expected: prefix.clone() });
        }
        let found = checked.byte_iter().len();
        // The last character's spare bits must be zero, or one address would have several texts.
        checked.validate_segwit_padding().map_err(|_| AddressError::Length { found })?;
        let bytes: Vec<u8> = checked.byte_iter().take(33).collect();
        bytes.try_into().map(Self).map_err(|_| AddressError::Length { found })
    }
}

impl AddressPrefix {
    /// A prefix from its text.
    ///
    /// # Errors
    ///
    /// [`PrefixError`] if it has other characters, none, or too many.
    pub fn new(text: &str) -> Result<Self, PrefixError> {
        let letters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if letters && first && text.len() <= PREFIX_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(PrefixError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn hrp(&self) -> Hrp {
        Hrp::parse(&self.0).expect("letters and digits are a human-readable part")
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressPrefix({})", self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", const_hex::encode(self.0))
    }
}

impl Encode for Address {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Address {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BECH32M: &str = include_str!("../../../docs/spec/vectors/external/bip350/bech32m.json");

    fn prefix(text: &str) -> AddressPrefix {
        AddressPrefix::new(text).unwrap()
    }

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        let address = Address::of_key(1, &[7; 32]);
        let text = address.to_text(&prefix("cairn"));
        assert!(text.starts_with("cairn1"));
        assert_eq!(Address::from_text(&text, &prefix("cairn")), Ok(address));
        assert_eq!(Address::from_text(&text.to_uppercase(), &prefix("cairn")), Ok(address));
    }

    #[test]
    fn adr_1_a_text_that_is_no_bech32m_is_refused() {
        for text in ["", "alice", "1", "cairn", "cairn1", "cairn1ü", "Cairn1qqqqqqqq", "0x00"] {
            let refused = Address::from_text(text, &prefix("cairn"));
            assert!(matches!(refused, Err(AddressError::NotBech32 { .. })), "{text}: {refused:?}");
        }
    }

    #[test]
    fn adr_2_every_single_typing_mistake_is_noticed() {
        let text = Address::of_key(1, &[7; 32]).to_text(&prefix("cairn"));
        for at in "cairn1".len()..text.len() {
            for letter in "qpzry9x8gf2tvdw0s3jn54khce6mua7l".chars() {
                let mut typed = text.clone();
                typed.replace_range(at..=at, &letter.to_string());
                if typed != text {
                    assert_eq!(Address::from_text(&typed, &prefix("cairn")), Err(AddressError::Checksum));
                }
            }
        }
    }

    #[test]
    fn adr_3_an_address_of_another_network_is_refused_by_name() {
        let text = Address::of_key(1, &[7; 32]).to_text(&prefix("other"));
        let refused = Address::from_text(&text, &prefix("cairn"));
        assert_eq!(
            refused,
            Err(AddressError::WrongNetwork { found: "other".to_owned(), expected: prefix("cairn") })
        );
    }

    #[test]
    fn adr_4_more_or_fewer_bytes_and_set_padding_bits_are_refused() {
        for count in [0, 20, 31, 33, 40] {
            let text = bech32::encode::<Bech32m>(prefix("cairn").hrp(), &vec![7; count]).unwrap();
            assert_eq!(
                Address::from_text(&text, &prefix("cairn")),
                Err(AddressError::Length { found: count })
            );
        }
        use bech32::primitives::iter::{ByteIterExt as _, Fe32IterExt as _};
        let hrp = prefix("cairn").hrp();
        let mut digits: Vec<bech32::Fe32> = [7u8; 32].iter().copied().bytes_to_fes().collect();
        let last = digits.last_mut().unwrap();
        *last = bech32::Fe32::try_from(last.to_u8() | 1).unwrap();
        let text: String = digits.into_iter().with_checksum::<Bech32m>(&hrp).chars().collect();
        assert_eq!(Address::from_text(&text, &prefix("cairn")), Err(AddressError::Length { found: 32 }));
    }

    #[test]
    fn address_bech32m_vectors_of_bip_350_hold() {
        let vectors: serde_json::Value = serde_json::from_str(BECH32M).unwrap();
        let valid = vectors["valid_bech32m"].as_array().unwrap();
        assert_eq!(valid.len(), 7);
        for text in valid {
            let text = text.as_str().unwrap_or_else(|| text["string"].as_str().unwrap());
            assert!(CheckedHrpstring::new::<Bech32m>(text).is_ok(), "{text}");
        }
        let invalid = vectors["invalid_bech32m"].as_array().unwrap();
        assert_eq!(invalid.len(), 14);
        for case in invalid {
            let text = case.as_str().unwrap_or_else(|| case["string"].as_str().unwrap());
            assert!(CheckedHrpstring::new::<Bech32m>(text).is_err(), "{text}");
        }
    }
}
