//! Why something could not be stored or read back.
//!
//! Every variant is something the operator or the shell reacts to differently: make room, stop the
//! other process, choose another directory, install a newer version, restore from a copy.

use std::io;
use std::path::{Path, PathBuf};

use crate::log::Position;

/// Why something could not be stored or read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused an operation.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
    /// There is no room left on the disk. What was written since the last sync does not count; the
    /// same call succeeds once there is room.
    #[error("no room on the disk for {}", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Another process has the directory open.
    #[error("{} is in use by {}", path.display(), Holder(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, where its lock file names one.
        pid: Option<u32>,
    },
    /// The file belongs to another network.
    #[error("{} belongs to network {}, this is network {}", path.display(), Hex(found), Hex(expected))]
    WrongNetwork {
        /// The file.
        path: PathBuf,
        /// The network identity it carries.
        found: [u8; 32],
        /// The network identity that was asked for.
        expected: [u8; 32],
    },
    /// A newer version of the program wrote the file. It was left untouched.
    #[error("{} has format {found}, this program reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format this program reads.
        supported: u32,
    },
    /// An older version of the program wrote the database. It is built again from the log.
    #[error("{} has format {found}, this program builds {supported} from the log", path.display())]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The format that this program reads and writes.
        supported: u32,
    },
    /// Bytes that had been stored safely are missing or changed. Nothing was repaired by guess.
    #[error("{} is damaged at byte {offset}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
    /// An earlier write or sync failed, and what the disk holds since is unknown: open again.
    #[error("{} takes no more writes since one failed; it must be opened again", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// The record is longer than a segment can hold.
    #[error("a record has at most {maximum} bytes, this has {found}")]
    RecordTooLong {
        /// The length of the record, in bytes.
        found: usize,
        /// The longest that fits, in bytes.
        maximum: usize,
    },
    /// No synced record of the log starts there.
    #[error("the log has no record at {position}")]
    NoRecord {
        /// Where one was looked for.
        position: Position,
    },
    /// The database is being opened again after the disk was full.
    #[error("the database is being opened again")]
    DatabaseClosed,
    /// The log ends before what the database stands for: a part of the log is missing.
    #[error("the log ends at {found}, the database stands for {expected}: a part of the log is missing")]
    LogBehind {
        /// Where the log ends.
        found: Position,
        /// Where it ended when the database was written.
        expected: Position,
    },
    /// A row of the database does not have the form it was written in.
    #[error("a row of table {table} is not what was written; the next start builds the database again")]
    Row {
        /// The table.
        table: &'static str,
    },
    /// The database is damaged beyond what its own code can say.
    #[error("the database cannot be read; the next start builds it again")]
    Unreadable,
    /// The accounts of the database do not have the state root of its tip.
    #[error("the accounts in the database are not those of its tip")]
    WrongRoot,
    /// The rules of the network are not ones that this release runs.
    #[error(transparent)]
    Mode(#[from] cairn_core::consensus::UnsupportedMode),
    /// The database failed.
    #[error("the database failed")]
    Database {
        /// What it answered.
        #[source]
        source: Box<redb::Error>,
    },
}

/// What is wrong with stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The header of a segment fails its checksum, or is that of another segment.
    #[error("the header of the segment is not what was written")]
    Header,
    /// A record that had been synced fails its checksum.
    #[error("a stored record is not what was written")]
    Record,
    /// The file is shorter or longer than what had been synced.
    #[error("the file ends at byte {found}, {expected} had been stored")]
    Length {
        /// The length of the file, in bytes.
        found: u64,
        /// The length known to have been stored, in bytes.
        expected: u64,
    },
    /// The file is gone.
    #[error("the file is missing")]
    Missing,
}

impl StoreError {
    /// Names what was tried on which file when `source` came back.
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            Self::Full { path: path.to_path_buf() }
        } else {
            Self::Io { what, path: path.to_path_buf(), source }
        }
    }

    /// Whether the database takes no calls until it is opened again.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::DatabaseClosed => true,
            Self::Database { source } => matches!(&**source, redb::Error::PreviousIo),
            _ => false,
        }
    }

    /// Whether the database is not what was written, so that it is built again from the log.
    pub fn is_damaged_database(&self) -> bool {
        match self {
            Self::Row { .. } | Self::WrongRoot | Self::Unreadable => true,
            // A disk that fails may have stored everything, and a newer format is not for this program.
            Self::Database { source } => match &**source {
                // A damaged page leads behind the end of the file.
                redb::Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
                redb::Error::PreviousIo | redb::Error::UpgradeRequired(_) => false,
                _ => true,
            },
            _ => false,
        }
    }

    /// Whether room on the disk is all that is missing.
    pub fn is_full(&self) -> bool {
        match self {
            // It stays closed only where there is no room to open it.
            Self::Full { .. } | Self::DatabaseClosed => true,
            Self::Database { source } => matches!(&**source, redb::Error::Io(error) if is_full(error)),
            _ => false,
        }
    }
}

/// Whether the operating system says that there is no room, on the disk or in a quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Turns each error type of redb into [`StoreError::Database`].
macro_rules! from_redb {
    ($($kind:ty),*) => {$(
        impl From<$kind> for StoreError {
            fn from(error: $kind) -> Self {
                Self::Database { source: Box::new(error.into()) }
            }
        }
    )*};
}

from_redb!(
    redb::Error,
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

/// Shows the holder of a lock.
struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// Shows bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8; 32]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
