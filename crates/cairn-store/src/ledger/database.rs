//! The database of a ledger: it can be damaged at any place, and says so in time.
//!
//! # Promises
//!
//! - Damage that a read or a write meets is an error, never a wrong answer and never a panic of redb.
//! - The file is then marked, and the next start builds it again from the log.

use std::sync::Arc;

use redb::{ReadTransaction, ReadableDatabase as _, WriteTransaction};

use super::tables;
use crate::backend::{DatabaseFile, Disk};
use crate::error::StoreError;
use crate::log::Position;
use crate::row::contain;

/// The file of the database.
pub(super) const FILE: &str = "state.redb";
/// The empty file that says that the database is damaged.
const MARK: &str = "state.damaged";

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    /// None only while it is dropped.
    redb: Option<redb::Database>,
    disk: Arc<dyn Disk>,
}

impl Database {
    /// Opens the database of a directory, or creates it empty.
    pub(super) fn open(disk: &Arc<dyn Disk>, cache_bytes: usize) -> Result<Self, StoreError> {
        let file = DatabaseFile::open(&**disk, FILE)?;
        let redb = contain(|| redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(file))?;
        Ok(Self { redb: Some(redb), disk: Arc::clone(disk) })
    }

    /// Reads what was committed last.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = contain(|| self.redb().begin_read());
        self.note(transaction.and_then(|transaction| {
            let outcome = read(&transaction);
            let closed = discard(transaction);
            outcome.and_then(|value| closed.map(|()| value))
        }))
    }

    /// Writes in one transaction: all of it or nothing.
    pub(super) fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = contain(|| self.redb().begin_write());
        self.note(transaction.and_then(|transaction| match write(&transaction) {
            Ok(()) => contain(|| transaction.commit()),
            // What goes wrong behind the first error says nothing more.
            Err(error) => discard(transaction).map_or(Err(StoreError::Unreadable), |()| Err(error)),
        }))
    }

    fn redb(&self) -> &redb::Database {
        self.redb.as_ref().expect("it is taken out by the drop alone")
    }

    /// Sees to it that the next start knows of damage that was met.
    fn note<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        outcome.inspect_err(|error| {
            if error.is_damaged_database() {
                mark(&*self.disk);
            }
        })
    }
}

impl Drop for Database {
    /// Closes the file. redb writes once more here, and may meet damage with a panic.
    fn drop(&mut self) {
        if discard(self.redb.take()).is_err() {
            mark(&*self.disk);
        }
    }
}

/// Whether damage was met in the database of a directory since it was built.
pub(super) fn is_marked(disk: &dyn Disk) -> Result<bool, StoreError> {
    let names = disk.list().map_err(|source| StoreError::io("list", disk.path(), source))?;
    Ok(names.iter().any(|name| name == MARK))
}

/// Up to where a database of the network stood for the log, if it can still say so: it may be damaged
/// anywhere, and is of no other use any more.
pub(super) fn read_log_end(disk: &Arc<dyn Disk>, cache_bytes: usize, identity: [u8; 32]) -> Option<Position> {
    // To open one that is not there would be to make it.
    disk.open(FILE).ok()?;
    let database = Database::open(disk, cache_bytes).ok()?;
    let origin = database.read(tables::origin).ok()??;
    (origin.identity == identity).then_some(origin.log_end)
}

/// Removes a damaged database; the log has everything.
pub(super) fn remove(disk: &dyn Disk) -> Result<(), StoreError> {
    // The mark goes last, so that a power cut between the two leaves no damaged database without it.
    for name in [FILE, MARK] {
        let fail = |source| StoreError::io("remove", &disk.path().join(name), source);
        match disk.remove(name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            outcome => outcome.and_then(|()| disk.sync()).map_err(fail)?,
        }
    }
    Ok(())
}

/// Marks the database of a directory as damaged. Where even that fails, the damage is met again.
fn mark(disk: &dyn Disk) {
    drop(disk.open_or_create(MARK).and_then(|_| disk.sync()));
}

/// Drops something of redb's.
fn discard<T>(value: T) -> Result<(), StoreError> {
    contain(|| {
        drop(value);
        Ok::<(), StoreError>(())
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::TableDefinition;

    use super::*;
    use crate::backend::File;
    use crate::testing::SimulatedDisk;

    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");

    /// A disk whose files panic on request when they are written, as redb does over a damaged page.
    #[derive(Clone, Debug)]
    struct PanickyDisk(SimulatedDisk, Arc<AtomicBool>);

    #[derive(Debug)]
    struct PanickyFile(Arc<dyn File>, Arc<AtomicBool>);

    impl Disk for PanickyDisk {
        fn path(&self) -> &Path {
            self.0.path()
        }

        fn list(&self) -> io::Result<Vec<String>> {
            self.0.list()
        }

        fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
            Ok(Arc::new(PanickyFile(self.0.open(name)?, Arc::clone(&self.1))))
        }

        fn open_or_create(&self, name: &str) -> io::Result<Arc<dyn File>> {
            Ok(Arc::new(PanickyFile(self.0.open_or_create(name)?, Arc::clone(&self.1))))
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.0.remove(name)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }

        fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
            self.0.directory(name)
        }

        fn draw_salt(&self) -> u64 {
            self.0.draw_salt()
        }
    }

    impl File for PanickyFile {
        fn length(&self) -> io::Result<u64> {
            self.0.length()
        }

        fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(bytes, offset)
        }

        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            assert!(!self.1.load(Ordering::Relaxed), "told to panic");
            self.0.write_all_at(bytes, offset)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }

        fn set_length(&self, length: u64) -> io::Result<()> {
            self.0.set_length(length)
        }
    }

    fn commit(database: &Database, number: u64) -> Result<(), StoreError> {
        database.write(|transaction| {
            let mut table = contain(|| transaction.open_table(TABLE))?;
            contain(|| table.insert(0, number).map(drop))
        })
    }

    fn open() -> (PanickyDisk, Database) {
        let disk = PanickyDisk(SimulatedDisk::new(1), Arc::default());
        let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
        let database = Database::open(&dynamic, 1 << 20).unwrap();
        commit(&database, 1).unwrap();
        assert!(!is_marked(&disk).unwrap());
        (disk, database)
    }

    #[test]
    fn a_panic_of_redb_while_it_writes_is_an_error_and_marks_the_file() {
        let (disk, database) = open();
        disk.1.store(true, Ordering::Relaxed);
        let error = commit(&database, 2).unwrap_err();
        assert!(error.is_damaged_database(), "{error:?}");
        assert!(is_marked(&disk).unwrap());
        remove(&disk).unwrap();
        assert!(!is_marked(&disk).unwrap());
        assert!(disk.open(FILE).is_err());
    }

    #[test]
    fn a_panic_of_redb_while_it_closes_is_contained_and_marks_the_file() {
        let (disk, database) = open();
        disk.1.store(true, Ordering::Relaxed);
        drop(database);
        assert!(is_marked(&disk).unwrap());
    }

    #[test]
    fn a_database_that_closes_well_is_not_marked() {
        let (disk, database) = open();
        drop(database);
        assert!(!is_marked(&disk).unwrap());
    }

    #[test]
    #[should_panic(expected = "our own mistake")]
    fn a_panic_of_ours_is_not_taken_for_damage() {
        let (_, database) = open();
        drop(database.read(|_| -> Result<(), StoreError> { panic!("our own mistake") }));
    }
}
