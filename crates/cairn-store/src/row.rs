//! Rows of the database that show when they are damaged, and calls of redb that cannot end the program.
//!
//! redb compares the checksums of its pages only when it repairs a file. A bit that flips later is
//! met in use: as a wrong row, as an error, or as a panic. A row therefore ends with the crc32c of its
//! key and its value, and each call of redb goes through [`contain`]. Our own code stays outside: a
//! panic of ours is our fault and is not taken for damage.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, TableDefinition, TableError};

use crate::error::StoreError;

/// The bytes of a checksum at the end of a row.
const SUM_BYTES: usize = 4;

/// Makes a call of redb, and of nothing else.
///
/// # Errors
///
/// What the call answered; [`StoreError::Unreadable`] where it panicked.
pub(crate) fn contain<T, E: Into<StoreError>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, StoreError> {
    // After a panic redb refuses further calls by itself, and the file is thrown away at the next start.
    catch_unwind(AssertUnwindSafe(call))
        .map_or(Err(StoreError::Unreadable), |outcome| outcome.map_err(Into::into))
}

/// Opens a table, which a new database does not have.
pub(crate) fn open_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
    contain(|| match transaction.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error),
    })
}

/// The next row of a range, copied out of the database; from the other end with `Iterator::rev`.
pub(crate) fn next<'a, K: redb::Key + 'static, V: redb::Value + 'static, T>(
    rows: &mut impl Iterator<Item = Result<(AccessGuard<'a, K>, AccessGuard<'a, V>), redb::StorageError>>,
    copy: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> T,
) -> Result<Option<T>, StoreError> {
    contain(|| {
        let row = rows.next().transpose()?;
        Ok::<_, redb::StorageError>(row.map(|(key, value)| copy(key.value(), value.value())))
    })
}

/// A row as it is stored under `key`: its value and the checksum of both.
pub(crate) fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let sum = sum(key, &value);
    value.extend(sum);
    value
}

/// The value of a row that was found under `key`.
///
/// # Errors
///
/// [`StoreError::Row`] where key or value are not what was sealed.
pub(crate) fn open<'a>(table: &'static str, key: &[u8], row: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (value, found) = row.split_last_chunk::<SUM_BYTES>().ok_or(StoreError::Row { table })?;
    if *found == sum(key, value) { Ok(value) } else { Err(StoreError::Row { table }) }
}

fn sum(key: &[u8], value: &[u8]) -> [u8; SUM_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(key), value).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_opens_under_its_own_key_alone_and_with_no_bit_changed() {
        let row = seal(&[1, 2], vec![3, 4, 5]);
        assert_eq!(open("rows", &[1, 2], &row).unwrap(), [3, 4, 5]);
        assert!(matches!(open("rows", &[1, 3], &row), Err(StoreError::Row { table: "rows" })));
        for bit in 0..row.len() * 8 {
            let mut changed = row.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open("rows", &[1, 2], &changed).is_err(), "bit {bit}");
        }
        assert!(open("rows", &[], &[0; SUM_BYTES - 1]).is_err());
    }

    #[test]
    fn a_panic_inside_a_call_is_damage() {
        let outcome = contain(|| -> Result<(), StoreError> { panic!("redb met something unexpected") });
        assert!(matches!(outcome, Err(StoreError::Unreadable)));
        assert_eq!(contain(|| Ok::<u8, StoreError>(7)).unwrap(), 7);
    }
}
