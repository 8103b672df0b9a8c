//! What it takes to take one block back.

use super::varint::{append_varint, read_varint};
use crate::account::{Account, AccountIndex};
use crate::codec::{DecodeError, Reader};
use crate::numbers::{Amount, Nonce};

/// The accounts a block changed as they were before, and how many it created.
///
/// # Invariant
///
/// The indexes in `changed` ascend, and are those of accounts that existed before the block.
/// [`State::commit`](super::State::commit) and [`from_stored_bytes`](Self::from_stored_bytes) keep
/// the order; [`State::undo`](super::State::undo) checks the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// How many accounts the block created: the last ones.
    pub created: u32,
    /// The accounts it changed, with their values before.
    pub changed: Vec<(AccountIndex, Account)>,
}

/// Why a block cannot be undone; the state is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UndoError {
    /// Changes that no commit has closed are rolled back first.
    #[error("{found} changes are not committed")]
    Uncommitted {
        /// How many accounts were changed or created since the last commit.
        found: usize,
    },
    /// A block cannot have created more accounts than there are.
    #[error("{found} accounts are to be removed, the state has {len}")]
    TooManyCreated {
        /// How many are to be removed.
        found: u32,
        /// How many there are.
        len: u32,
    },
    /// An account that is to be restored existed before the block.
    #[error("account {} is to be restored, there were {len} before the block", found.0)]
    UnknownAccount {
        /// The account that is to be restored.
        found: AccountIndex,
        /// How many accounts there were before the block.
        len: u32,
    },
}

impl Undo {
    /// The bytes in which a store keeps the undo of a block, about 11 for each changed account.
    ///
    /// They are no canonical bytes: nobody hashes or sends them. All numbers are varints (LEB128):
    /// how many were created, how many changed, then for each of those the distance from the index
    /// before it (from −1 for the first) less one, the balance and the nonce.
    pub fn to_stored_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 12 * self.changed.len());
        append_varint(u64::from(self.created), &mut out);
        append_varint(self.changed.len() as u64, &mut out);
        let mut next = 0;
        for (index, account) in &self.changed {
            let gap = index.0.checked_sub(next).expect("the indexes of an undo ascend");
            next = index.0 + 1;
            append_varint(u64::from(gap), &mut out);
            append_varint(account.balance.units(), &mut out);
            append_varint(account.nonce.0, &mut out);
        }
        out
    }

    /// Reads what [`to_stored_bytes`](Self::to_stored_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it did not write these bytes. Never allocates more than eight times their
    /// length.
    pub fn from_stored_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let created = read_u32(&mut reader, "number of created accounts")?;
        let at = reader.position();
        let count = read_varint(&mut reader)?;
        let limit = reader.remaining() / CHANGED_BYTES_MIN;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > limit {
            return Err(DecodeError::TooLong { what: "changed accounts", at, found: count, limit });
        }
        let mut changed = Vec::with_capacity(count);
        let mut next = 0u32;
        for _ in 0..count {
            let gap = read_u32(&mut reader, "account index")?;
            let out_of_range = DecodeError::NotCanonical { what: "account index", at: reader.position() };
            let index = next.checked_add(gap).ok_or(out_of_range)?;
            next = index.checked_add(1).ok_or(out_of_range)?;
            let balance = Amount::from_units(read_varint(&mut reader)?);
            let nonce = Nonce(read_varint(&mut reader)?);
            changed.push((AccountIndex(index), Account { balance, nonce }));
        }
        reader.finish()?;
        Ok(Self { created, changed })
    }
}

/// The fewest bytes that a changed account takes.
const CHANGED_BYTES_MIN: usize = 3;

/// Reads a varint that fits 32 bits.
fn read_u32(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, DecodeError> {
    let number = read_varint(reader)?;
    u32::try_from(number).map_err(|_| DecodeError::NotCanonical { what, at: reader.position() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(balance: u64, nonce: u64) -> Account {
        Account { balance: Amount::from_units(balance), nonce: Nonce(nonce) }
    }

    #[test]
    fn the_undo_of_an_empty_block_takes_two_bytes() {
        assert_eq!(Undo::default().to_stored_bytes(), [0, 0]);
        assert_eq!(Undo::from_stored_bytes(&[0, 0]), Ok(Undo::default()));
    }

    #[test]
    fn a_changed_account_takes_about_eleven_bytes() {
        let changed = (0..1000).map(|i| (AccountIndex(100 * i), account(123_456_789_000 + u64::from(i), 77)));
        let undo = Undo { created: 3, changed: changed.collect() };
        assert!(undo.to_stored_bytes().len() < 11 * 1000);
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_anything_is_allocated() {
        assert!(matches!(
            Undo::from_stored_bytes(&[0, 3, 1, 1, 1, 1]),
            Err(DecodeError::TooLong { limit: 1, .. })
        ));
    }

    #[test]
    fn an_index_beyond_32_bits_is_refused() {
        let mut bytes = vec![0, 2];
        append_varint(u64::from(u32::MAX - 1), &mut bytes);
        bytes.extend([1, 1, 1, 1, 1]);
        let refused = Err(DecodeError::NotCanonical { what: "account index", at: 10 });
        assert_eq!(Undo::from_stored_bytes(&bytes), refused);
    }

    proptest! {
        #[test]
        fn an_undo_reads_back(created: u32, changed in prop::collection::btree_map(0..u32::MAX, any::<(u64, u64)>(), 0..50)) {
            let changed = changed.into_iter().map(|(index, (b, n))| (AccountIndex(index), account(b, n))).collect();
            let undo = Undo { created, changed };
            prop_assert_eq!(Undo::from_stored_bytes(&undo.to_stored_bytes()), Ok(undo));
        }

        #[test]
        fn no_bytes_panic_and_whatever_is_read_is_written_again(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(undo) = Undo::from_stored_bytes(&bytes) {
                prop_assert_eq!(undo.to_stored_bytes(), bytes);
            }
        }
    }
}
