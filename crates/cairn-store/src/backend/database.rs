//! A database of redb in a file of a [`Disk`].

use std::io;
use std::sync::Arc;

use super::{Disk, File};
use crate::error::StoreError;

/// The first bytes of a database, as the design notes of redb give them.
const REDB_MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

/// Lets a database of redb live in a file of a [`Disk`].
#[derive(Debug)]
pub struct DatabaseFile(Arc<dyn File>);

impl DatabaseFile {
    /// Opens the file `name`, or creates it durably. A file without the magic of redb is emptied:
    /// redb writes the magic last of all when it creates a database, so a power cut leaves such a
    /// file, which redb then refuses for ever. The caller finds an empty database and fills it from
    /// the log, as it does where there was none.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn open(disk: &dyn Disk, name: &str) -> Result<Self, StoreError> {
        let fail = |source| StoreError::io("open", &disk.path().join(name), source);
        let file = disk.open_or_create(name).map_err(fail)?;
        disk.sync().map_err(fail)?;
        if !has_magic(&*file).map_err(fail)? {
            file.set_length(0).map_err(fail)?;
        }
        Ok(Self(file))
    }
}

impl redb::StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// Whether the creation of a database was finished.
fn has_magic(file: &dyn File) -> io::Result<bool> {
    let mut bytes = [0; REDB_MAGIC.len()];
    if file.length()? < bytes.len() as u64 {
        return Ok(false);
    }
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes == REDB_MAGIC)
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;
    use crate::testing::{Fault, SimulatedDisk};

    const TABLE: TableDefinition<u64, u64> = TableDefinition::new("numbers");

    fn open(disk: &SimulatedDisk) -> Result<Database, StoreError> {
        Ok(Database::builder().create_with_backend(DatabaseFile::open(disk, "state.redb")?)?)
    }

    fn commit(database: &Database, number: u64) -> Result<(), StoreError> {
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?.insert(0, number)?;
        Ok(transaction.commit()?)
    }

    #[test]
    fn a_power_cut_at_any_operation_leaves_a_database_that_opens() {
        for seed in 0..8 {
            for operation in 0.. {
                let disk = SimulatedDisk::new(seed);
                disk.fail_at(operation, Fault::PowerCut);
                let mut committed = 0;
                let outcome = open(&disk).and_then(|database| {
                    (1..6).try_for_each(|number| {
                        commit(&database, number)?;
                        committed = number;
                        Ok(())
                    })
                });
                let database = open(&disk.survivors(seed)).unwrap();
                let table = database.begin_read().unwrap().open_table(TABLE);
                let found = table.map_or(0, |table| table.get(0).unwrap().unwrap().value());
                assert!(found == committed || found == committed + 1);
                if outcome.is_ok() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_full_disk_is_told_apart_and_the_database_goes_on_when_there_is_room() {
        let disk = SimulatedDisk::new(1);
        let database = open(&disk).unwrap();
        commit(&database, 1).unwrap();
        disk.fail_at(disk.operations(), Fault::Full);
        let error = commit(&database, 2).unwrap_err();
        assert!(error.is_full(), "{error:?}");
        drop(database);
        let database = open(&disk).unwrap();
        commit(&database, 3).unwrap();
        let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
        assert_eq!(table.get(0).unwrap().unwrap().value(), 3);
    }
}
