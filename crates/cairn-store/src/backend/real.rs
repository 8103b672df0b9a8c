//! A directory of the operating system, held by one process at a time.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use super::{Disk, File};
use crate::error::StoreError;

/// The file whose lock keeps other processes out. It is never removed, since a lock on a removed
/// file keeps nobody out.
const LOCK_NAME: &str = "lock";

/// The longest lock file that is read for the id of the holder, in bytes.
const LOCK_BYTES_MAX: u64 = 32;

/// A directory of the operating system, locked against other processes while this value or one of
/// its inner directories lives.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    lock: Arc<fs::File>,
}

impl RealDisk {
    /// Opens the directory and locks it, and creates it where it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] where another process, or another value in this one, holds it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(|source| StoreError::io("create", path, source))?;
        let lock = lock_directory(path)?;
        Ok(Self { path: path.to_path_buf(), lock: Arc::new(lock) })
    }
}

impl Disk for RealDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            // A name that is not text is none of ours.
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK_NAME
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_or_create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let path = self.path.join(name);
        fs::create_dir_all(&path)?;
        self.sync()?;
        Ok(Arc::new(Self { path, lock: Arc::clone(&self.lock) }))
    }

    fn draw_salt(&self) -> u64 {
        // The standard library seeds its hashers with random bytes of the operating system.
        RandomState::new().build_hasher().finish()
    }
}

/// A file of the operating system.
#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

/// Takes the lock of a directory without waiting, and leaves the id of this process in it.
fn lock_directory(directory: &Path) -> Result<fs::File, StoreError> {
    let path = directory.join(LOCK_NAME);
    let fail = |source| StoreError::io("lock", &path, source);
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(fail)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(StoreError::InUse { path: directory.to_path_buf(), pid: read_holder(&mut file) });
        }
        Err(errno) => return Err(fail(errno.into())),
    }
    // A full disk does not keep the directory from being opened: the id is a courtesy.
    let write =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    match write {
        Err(source) if !crate::error::is_full(&source) => Err(fail(source)),
        _ => Ok(file),
    }
}

/// The process id in a lock file; none while its holder is still writing it.
fn read_holder(file: &mut fs::File) -> Option<u32> {
    let mut text = String::new();
    file.take(LOCK_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_opened_once_and_the_refusal_names_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let first = RealDisk::open(directory.path()).unwrap();
        let inner = first.directory("blocks").unwrap();
        let refused = RealDisk::open(directory.path()).unwrap_err();
        assert!(matches!(refused, StoreError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(refused.to_string().ends_with(&format!("is in use by process {}", std::process::id())));

        drop(first);
        assert!(
            matches!(RealDisk::open(directory.path()), Err(StoreError::InUse { .. })),
            "the inner one holds"
        );
        drop(inner);
        RealDisk::open(directory.path()).unwrap();
    }

    #[test]
    fn files_are_created_listed_read_cut_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        assert_eq!(disk.open("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        let file = disk.open_or_create("a").unwrap();
        disk.directory("inner").unwrap().open_or_create("b").unwrap();
        assert_eq!(disk.list().unwrap(), ["a"]);

        file.write_all_at(b"hello", 2).unwrap();
        file.sync().unwrap();
        let mut bytes = [1; 7];
        disk.open_or_create("a").unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"\0\0hello");
        file.set_length(4).unwrap();
        assert_eq!(file.length().unwrap(), 4);
        assert_eq!(file.read_exact_at(&mut bytes, 0).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

        disk.remove("a").unwrap();
        assert!(disk.list().unwrap().is_empty());
    }
}
