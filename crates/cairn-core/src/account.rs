//! What the state holds: accounts, and the few entries that are not accounts.
//!
//! The value of an entry begins with a byte that says its kind, so that a later kind of account is
//! never mistaken for an earlier one.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::numbers::{Amount, Nonce};

/// The kind byte of an account.
const KIND_ACCOUNT: u8 = 0x01;
/// The kind byte of the authority set.
const KIND_AUTHORITY_SET: u8 = 0x02;

/// How much an address owns, and how many transactions it has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What the address owns.
    pub balance: Amount,
    /// The nonce its next transaction carries.
    pub nonce: Nonce,
}

impl Account {
    /// The length of the canonical bytes of an account as a state value.
    pub const VALUE_BYTES: usize = 17;

    /// The canonical bytes of the account as a state value: `0x01 ‖ balance u64 ‖ nonce u64`,
    /// numbers little-endian.
    pub fn value_bytes(&self) -> [u8; Self::VALUE_BYTES] {
        let mut bytes = [KIND_ACCOUNT; Self::VALUE_BYTES];
        bytes[1..9].copy_from_slice(&self.balance.units().to_le_bytes());
        bytes[9..].copy_from_slice(&self.nonce.0.to_le_bytes());
        bytes
    }
}

/// The position of an account in the order in which accounts were created, from 0.
///
/// It is a handle of this machine, never hashed and never sent. As accounts are never deleted, it
/// stays valid until the block that created the account is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountIndex(pub u32);

/// What an entry of the state holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateValue {
    /// An account.
    Account(Account),
    /// An entry under a reserved path, as its bytes; the first is its kind, and the only kind is
    /// the authority set (`0x02`).
    Reserved(Vec<u8>),
}

impl StateValue {
    /// The most bytes a value has.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// The canonical bytes of the value: its kind, then what it holds.
    pub fn to_value_bytes(&self) -> Vec<u8> {
        match self {
            Self::Account(account) => account.value_bytes().to_vec(),
            Self::Reserved(bytes) => bytes.clone(),
        }
    }

    /// Reads a value from its canonical bytes.
    ///
    /// # Errors
    ///
    /// BYT-1 or BYT-2 if an account has not exactly [`Account::VALUE_BYTES`] bytes, BYT-3 if the
    /// value is longer than [`BYTES_MAX`](Self::BYTES_MAX), BYT-4 if its kind is unknown.
    pub fn from_value_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(DecodeError::TooLong {
                what: "state value",
                at: 0,
                found: bytes.len(),
                limit: Self::BYTES_MAX,
            });
        }
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            KIND_ACCOUNT => {
                let account = Account::decode(&mut reader)?;
                reader.finish()?;
                Ok(Self::Account(account))
            }
            KIND_AUTHORITY_SET => Ok(Self::Reserved(bytes.to_vec())),
            found => Err(DecodeError::UnknownKind { what: "state value kind", at: 0, found }),
        }
    }
}

impl Encode for Account {
    fn encode(&self, out: &mut Vec<u8>) {
        self.balance.encode(out);
        self.nonce.encode(out);
    }
}

impl Decode for Account {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { balance: Amount::decode(reader)?, nonce: Nonce::decode(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account = Account { balance: Amount::from_units(0x0102), nonce: Nonce(3) };

    #[test]
    fn an_account_has_seventeen_bytes_and_reads_back() {
        let bytes = ACCOUNT.value_bytes();
        assert_eq!(bytes, [1, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(StateValue::from_value_bytes(&bytes), Ok(StateValue::Account(ACCOUNT)));
        assert_eq!(StateValue::Account(ACCOUNT).to_value_bytes(), bytes);
        assert_eq!(ACCOUNT.to_bytes(), bytes[1..]);
    }

    #[test]
    fn a_reserved_entry_keeps_its_bytes() {
        let value = StateValue::Reserved(vec![2, 9, 9]);
        assert_eq!(StateValue::from_value_bytes(&value.to_value_bytes()), Ok(value));
    }

    #[test]
    fn byt_1_and_2_an_account_of_another_length_is_refused() {
        let bytes = ACCOUNT.value_bytes();
        assert_eq!(
            StateValue::from_value_bytes(&bytes[..16]),
            Err(DecodeError::Truncated { at: 9, needed: 1 })
        );
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(StateValue::from_value_bytes(&longer), Err(DecodeError::Trailing { at: 17, extra: 1 }));
        assert_eq!(StateValue::from_value_bytes(&[]), Err(DecodeError::Truncated { at: 0, needed: 1 }));
    }

    #[test]
    fn byt_3_a_value_above_64_kib_is_refused() {
        let bytes = vec![2; StateValue::BYTES_MAX + 1];
        assert!(matches!(StateValue::from_value_bytes(&bytes), Err(DecodeError::TooLong { .. })));
        assert!(StateValue::from_value_bytes(&bytes[1..]).is_ok());
    }

    #[test]
    fn byt_4_a_value_of_another_kind_is_refused() {
        for found in (0..=u8::MAX).filter(|kind| !(1..=2).contains(kind)) {
            let mut bytes = ACCOUNT.value_bytes();
            bytes[0] = found;
            assert_eq!(
                StateValue::from_value_bytes(&bytes),
                Err(DecodeError::UnknownKind { what: "state value kind", at: 0, found })
            );
        }
    }
}
