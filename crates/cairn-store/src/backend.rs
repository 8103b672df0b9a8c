//! The seam under log and database: what a disk can do.
//!
//! [`Disk`] is one directory, [`File`] one open file in it. [`RealDisk`] is a directory of the
//! operating system; [`SimulatedDisk`](crate::testing::SimulatedDisk) lives in memory and fails on
//! request. Nothing above this module touches the file system.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

mod database;
mod real;

pub use database::DatabaseFile;
pub use real::RealDisk;

/// A directory of files, with as few operations as the store needs, so that each can be failed.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Where the directory is, for messages.
    fn path(&self) -> &Path;

    /// The names of the files, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that exists, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading and writing, and creates it empty where it does not exist. That the
    /// file exists is durable once [`Disk::sync`] has returned.
    fn open_or_create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Removes a file, durably once [`Disk::sync`] has returned. Whoever has it open can go on
    /// reading it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes durable which files exist, whoever created or removed them.
    fn sync(&self) -> io::Result<()>;

    /// The directory `name` inside this one, created where it does not exist. It stands under the
    /// lock of this one.
    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>>;

    /// A number that nobody can foresee, to salt checksums with.
    fn draw_salt(&self) -> u64;
}

/// An open file. Reads and writes give their place, so many threads can share one.
pub trait File: fmt::Debug + Send + Sync {
    /// The length, in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset` on; an error where the file ends before.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, and lengthens the file where it ends before. After an
    /// error any part of it may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes content and length durable. After an error nothing is known about what was written
    /// since the last success, and a repeated call may wrongly succeed (Rebello et al., "Can
    /// Applications Recover from fsync Failures?", USENIX ATC 2020).
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
}
