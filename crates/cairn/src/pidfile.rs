//! A file with the number of the process that holds it: who is running, and nobody beside it.
//!
//! The file is locked as long as its process lives, so a number that was left behind by a crash, and that
//! another process has by now, holds nobody up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The longest text of such a file that is read.
const TEXT_BYTES_MAX: u64 = 32;
/// How often it is tried to lock a file that its holder is just taking away.
const TRIES_MAX: u32 = 100;

/// A file that this process holds; dropping it takes the file away.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// The file is not this process's.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// A running process holds it.
    #[error("{} is held by a running process{}", path.display(), told(*pid))]
    Held {
        /// The file.
        path: PathBuf,
        /// The number in it.
        pid: Option<u32>,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
}

fn told(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", {pid}"))
}

impl PidFile {
    /// Takes the file and writes the number of this process into it. One that was left behind is taken over.
    ///
    /// # Errors
    ///
    /// [`PidFileError`].
    pub fn claim(path: &Path) -> Result<Self, PidFileError> {
        let failed = |source| PidFileError::File { path: path.to_owned(), source };
        let mut pidfile = Self::lock(path).map_err(failed)?.ok_or_else(|| {
            let text = File::open(path).ok().and_then(|file| read(&file).ok());
            PidFileError::Held { path: path.to_owned(), pid: text.and_then(|text| text.trim().parse().ok()) }
        })?;
        pidfile.write(std::process::id()).map_err(failed)?;
        Ok(pidfile)
    }

    /// The file, locked; none if somebody else has it.
    fn lock(path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..TRIES_MAX {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever held it may have taken its name away in the meantime: then this is a file without one.
            let is_named = std::fs::metadata(path).is_ok_and(|named| is_same(&named, &file));
            if is_named {
                return Ok(Some(Self { path: path.to_owned(), file }));
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn write(&mut self, pid: u32) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{pid}")?;
        self.file.flush()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Whoever finds the file later sees that nobody holds it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_same(named: &std::fs::Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (named.dev(), named.ino()))
}

fn read(file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_by_one_and_gone_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cairn.pid");
        let held = PidFile::claim(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let refused = PidFile::claim(&path).unwrap_err();
        let own = std::process::id();
        assert!(matches!(refused, PidFileError::Held { pid: Some(pid), .. } if pid == own), "{refused}");
        drop(held);
        assert!(!path.exists());
        PidFile::claim(&path).unwrap();
    }

    #[test]
    fn a_file_that_was_left_behind_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cairn.pid");
        // The number of a process that lives, and does not hold it.
        std::fs::write(&path, "1\nand more").unwrap();
        let _held = PidFile::claim(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told() {
        let refused = PidFile::claim(Path::new("/nonexistent/cairn.pid")).unwrap_err();
        assert!(matches!(refused, PidFileError::File { .. }), "{refused}");
    }
}
