//! A file that is turned over before it grows too large: `log`, `log.1`, `log.2`, the oldest last.
//!
//! A log must never take down what it tells of: where a line cannot be written, stderr says so once,
//! the line is dropped, and the next one is tried again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The most older files.
const KEPT_MAX: u32 = 100;

/// A file and the older ones beside it.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    kept: u32,
    is_failing: bool,
}

impl RotatingFile {
    /// Opens a file to append to, which may have up to `bytes_max` bytes (a single longer line gets a
    /// file of its own); up to `kept` older ones, and never more than 100, stay beside it.
    ///
    /// # Errors
    ///
    /// What the operating system answers.
    pub fn open(path: &Path, bytes_max: u64, kept: u32) -> io::Result<Self> {
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        let kept = kept.min(KEPT_MAX);
        Ok(Self { path: path.to_owned(), file, bytes, bytes_max, kept, is_failing: false })
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.bytes > 0 && self.bytes.saturating_add(length) > self.bytes_max {
            self.turn_over()?;
        }
        self.file.write_all(line)?;
        self.bytes = self.bytes.saturating_add(length);
        Ok(())
    }

    /// Gives each file the name of the next older one and begins a new file.
    fn turn_over(&mut self) -> io::Result<()> {
        if self.kept == 0 {
            self.file.set_len(0)?;
        } else {
            for age in (0..self.kept).rev() {
                rename_if_there(&self.older(age), &self.older(age.saturating_add(1)))?;
            }
            self.file = append_to(&self.path)?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// The name of a file by age; 0 is the one that is written to.
    fn older(&self, age: u32) -> PathBuf {
        if age == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        name.into()
    }
}

/// `tracing` writes each line with one call.
impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.write_line(line) {
            Ok(()) => self.is_failing = false,
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                eprintln!("warning: the log cannot be written to {}: {error}", self.path.display());
            }
            Err(_) => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Its owner writes it, and whoever collects logs may be in the group that reads it.
fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(directory: &Path, name: &str) -> Option<String> {
        fs::read_to_string(directory.join(name)).ok()
    }

    #[test]
    fn a_full_file_is_turned_over_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = RotatingFile::open(&path, 8, 2).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n", "a line that is longer\n", "six\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let names = ["log", "log.1", "log.2", "log.3"];
        let found = names.map(|name| read(directory.path(), name));
        let expected = [Some("six\n"), Some("a line that is longer\n"), Some("four\n"), None];
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn a_later_start_goes_on_where_the_file_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        RotatingFile::open(&path, 8, 1).unwrap().write_all(b"first\n").unwrap();
        RotatingFile::open(&path, 8, 1).unwrap().write_all(b"second\n").unwrap();
        assert_eq!(read(directory.path(), "log.1").unwrap(), "first\n");
        assert_eq!(read(directory.path(), "log").unwrap(), "second\n");
    }

    #[test]
    fn without_older_files_the_file_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = RotatingFile::open(&path, 4, 0).unwrap();
        log.write_all(b"one\n").unwrap();
        log.write_all(b"two\n").unwrap();
        assert_eq!(read(directory.path(), "log").unwrap(), "two\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_the_next_line_is_tried() {
        let mut log = RotatingFile::open(Path::new("/dev/full"), 1 << 20, 1).unwrap();
        log.write_all(b"lost\n").unwrap();
        assert!(log.is_failing);
    }
}
