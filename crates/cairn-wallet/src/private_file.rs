//! Files that nobody else can read, and that are whole or the old ones after a power cut.
//!
//! A new content is written beside the file, made durable, and takes its place in one step; the
//! directory is made durable after it. A file that another program changed meanwhile is not
//! overwritten. Modes are set when a file is made, so that there is no moment in which it is open.

use crate::secret::{RandomError, fill_random};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
    /// Something that is not a file stands there.
    #[error("this is not a regular file")]
    NotAFile,
    /// Others than its owner can read or change it.
    #[error("others can read the file: its mode is {found:03o}, 600 is expected")]
    OpenToOthers {
        /// The permission bits.
        found: u32,
    },
    /// It is longer than it should be.
    #[error("the file has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// There is such a file already; it is left as it is.
    #[error("the file is there already")]
    Exists,
    /// Another program has changed it since it was read; it is left as it is.
    #[error("another program has changed the file meanwhile")]
    Changed,
    /// It cannot be written.
    #[error("the file cannot be written")]
    Unwritable(#[source] io::Error),
    /// No name for the unfinished file can be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Reads a file of at most `limit` bytes that belongs to its owner alone.
///
/// # Errors
///
/// [`FileError`].
pub fn read_private_file(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    // A pipe would keep whoever opens it until somebody writes, so it is not opened.
    if !fs::metadata(path).map_err(FileError::Unreadable)?.is_file() {
        return Err(FileError::NotAFile);
    }
    let file = File::open(path).map_err(FileError::Unreadable)?;
    let metadata = file.metadata().map_err(FileError::Unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile);
    }
    check_mode(&metadata)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(FileError::Unreadable)?;
    if bytes.len() > limit { Err(FileError::TooLong { limit }) } else { Ok(bytes) }
}

/// Makes a file that was not there.
///
/// # Errors
///
/// [`FileError::Exists`] if it is there, and what else can go wrong.
pub fn write_private_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let _alone = lock_directory(path)?;
    let unfinished = Unfinished::write(path, bytes)?;
    // A link, unlike a renaming, never takes the place of a file that is there.
    fs::hard_link(&unfinished.path, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists,
        _ => FileError::Unwritable(error),
    })?;
    drop(unfinished);
    sync_directory(path)
}

/// Puts new content in the place of `old`.
///
/// # Errors
///
/// [`FileError::Changed`] if the file holds something else than `old`, and what else can go wrong.
pub(crate) fn replace(path: &Path, old: &[u8], new: &[u8]) -> Result<(), FileError> {
    let _alone = lock_directory(path)?;
    match read_private_file(path, old.len()) {
        Ok(found) if found == old => {}
        Ok(_) | Err(FileError::TooLong { .. }) => return Err(FileError::Changed),
        Err(error) => return Err(error),
    }
    let unfinished = Unfinished::write(path, new)?;
    fs::rename(&unfinished.path, path).map_err(FileError::Unwritable)?;
    sync_directory(path)
}

/// Makes a directory, and those above it, that nobody else can look into.
///
/// # Errors
///
/// [`FileError::Unwritable`].
pub(crate) fn create_directory(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(FileError::Unwritable)
}

/// A file that is not yet in its place; dropping it takes it away.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn write(beside: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let mut chance = [0; 8];
        fill_random(&mut chance)?;
        let mut name = OsString::from(".");
        name.push(beside.file_name().unwrap_or_default());
        name.push(format!(".{}.new", const_hex::encode(chance)));
        let path = beside.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(FileError::Unwritable)?;
        let unfinished = Self { path };
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::Unwritable)?;
        Ok(unfinished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a renaming there is nothing left to take away.
        let _ = fs::remove_file(&self.path);
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Keeps other programs of ours from writing into the directory, until the answer is dropped.
fn lock_directory(path: &Path) -> Result<File, FileError> {
    let directory = File::open(directory_of(path)).map_err(FileError::Unwritable)?;
    directory.lock().map_err(FileError::Unwritable)?;
    Ok(directory)
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(directory_of(path)).and_then(|directory| directory.sync_all()).map_err(FileError::Unwritable)
}

#[cfg(unix)]
fn check_mode(metadata: &fs::Metadata) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = metadata.permissions().mode() & 0o777;
    if found & 0o077 == 0 { Ok(()) } else { Err(FileError::OpenToOthers { found }) }
}

#[cfg(not(unix))]
fn check_mode(_: &fs::Metadata) -> Result<(), FileError> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<OsString> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_its_owners_alone_from_the_start_and_after_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        write_private_file(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        replace(&path, b"one", b"two").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read_private_file(&path, 3).unwrap(), b"two");
        assert_eq!(names(directory.path()), ["keys"]);
    }

    #[test]
    fn a_file_that_is_there_is_never_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        write_private_file(&path, b"one").unwrap();
        assert!(matches!(write_private_file(&path, b"two"), Err(FileError::Exists)));
        assert_eq!(read_private_file(&path, 3).unwrap(), b"one");
        assert_eq!(names(directory.path()), ["keys"]);
    }

    #[test]
    fn what_another_program_wrote_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        write_private_file(&path, b"one").unwrap();
        for other in [&b"two"[..], b"longer than one", b""] {
            fs::write(&path, other).unwrap();
            assert!(matches!(replace(&path, b"one", b"new"), Err(FileError::Changed)));
            assert_eq!(fs::read(&path).unwrap(), other);
        }
    }

    #[test]
    fn of_many_writers_at_once_each_sees_the_one_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("count");
        write_private_file(&path, b"0").unwrap();
        let add = || {
            let mut done = 0;
            while done < 20 {
                let old = read_private_file(&path, 8).unwrap();
                let count: u32 = String::from_utf8(old.clone()).unwrap().parse().unwrap();
                match replace(&path, &old, (count + 1).to_string().as_bytes()) {
                    Ok(()) => done += 1,
                    Err(FileError::Changed) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(add);
            }
        });
        assert_eq!(read_private_file(&path, 8).unwrap(), b"80");
        assert_eq!(names(directory.path()), ["count"]);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        write_private_file(&path, b"one").unwrap();
        for open in [0o640, 0o604, 0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            assert!(
                matches!(read_private_file(&path, 3), Err(FileError::OpenToOthers { found }) if found == open)
            );
        }
    }

    #[test]
    fn endless_files_and_directories_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        write_private_file(&path, &[7; 100]).unwrap();
        assert!(matches!(read_private_file(&path, 99), Err(FileError::TooLong { limit: 99 })));
        assert_eq!(read_private_file(&path, 100).unwrap().len(), 100);
        assert!(matches!(read_private_file(directory.path(), 99), Err(FileError::NotAFile)));
        assert!(matches!(read_private_file(&path.join("x"), 99), Err(FileError::Unreadable(_))));
    }

    #[test]
    fn nobody_waits_for_a_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status();
        assert!(made.unwrap().success());
        assert!(matches!(read_private_file(&path, 99), Err(FileError::NotAFile)));
    }

    #[test]
    fn directories_are_made_for_their_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        create_directory(&path).unwrap();
        create_directory(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }
}
