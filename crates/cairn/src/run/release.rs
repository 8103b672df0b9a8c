//! Which release last wrote a directory: a note for whoever comes with an older one.
//!
//! What a release can read is decided by the numbers of formats in the files themselves. This note
//! only names the program to take instead.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// The file in the data directory.
pub const RELEASE_FILE: &str = "release";
/// This release: its name, version and commit.
pub const THIS: &str = concat!("cairn ", env!("CARGO_PKG_VERSION"), " (", env!("CAIRN_COMMIT"), ")");
/// The longest note that is read, in bytes.
const NOTE_BYTES_MAX: u64 = 128;

/// Notes that this release writes the directory.
pub(super) fn note(directory: &Path) {
    if writer(directory).as_deref() == Some(THIS) {
        return;
    }
    // It is a courtesy: the node works without it.
    if let Err(error) = write(directory) {
        tracing::debug!(%error, "the release is not noted");
    }
}

/// The release that last wrote the directory; none where none is named.
pub fn writer(directory: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(directory.join(RELEASE_FILE)).ok()?;
    file.take(NOTE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let text = text.trim();
    // Somebody else may have written it, and it is shown on a terminal.
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn write(directory: &Path) -> io::Result<()> {
    let unfinished = directory.join("release.new");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{THIS}")?;
    file.sync_all()?;
    fs::rename(unfinished, directory.join(RELEASE_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_that_wrote_last_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(writer(directory.path()), None);
        fs::write(directory.path().join(RELEASE_FILE), "cairn 9.9.9 (0123)\n").unwrap();
        assert_eq!(writer(directory.path()).as_deref(), Some("cairn 9.9.9 (0123)"));
        note(directory.path());
        assert_eq!(writer(directory.path()).as_deref(), Some(THIS));
    }

    #[test]
    fn a_note_that_would_disturb_a_terminal_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(RELEASE_FILE), "cairn \u{1b}[2J\n").unwrap();
        assert_eq!(writer(directory.path()), None);
    }
}
