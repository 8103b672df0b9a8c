//! A key file: the 64 hexadecimal digits of a seed, in a file that nobody else can read.

use crate::secret::{Secret, leave_no_trace};
use crate::signing_key::SigningKey;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use zeroize::Zeroizing;

/// The most bytes of a key file: 64 digits, and room for blanks and line ends around them.
pub const KEY_FILE_BYTES_MAX: usize = 128;
/// The digits of a 32-byte seed.
const SEED_DIGITS: usize = 64;

/// Why a file gives no key. No variant holds a part of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be opened or read.
    #[error("the key file cannot be read")]
    Unreadable(#[source] io::Error),
    /// Something that is not a file stands there.
    #[error("this is not a regular file")]
    NotAFile,
    /// Others than its owner can read or change the file.
    #[error("others can read the key file: its mode is {found:03o}, 600 is expected")]
    OpenToOthers {
        /// The permission bits.
        found: u32,
    },
    /// A seed has exactly 64 digits.
    #[error("a key file holds 64 hexadecimal digits, this holds {found} characters")]
    Length {
        /// How many characters stand there, at most one more than [`KEY_FILE_BYTES_MAX`].
        found: usize,
    },
    /// Only `0`–`9` and `a`–`f` (or `A`–`F`) are digits.
    #[error("a key file has only the digits 0-9 and a-f")]
    Digit,
}

/// The 32 bytes that an ed25519 key is made from (RFC 8032), to import it into a keystore.
#[derive(Debug)]
pub struct KeySeed(Secret<32>);

impl KeySeed {
    /// Reads the 64 hexadecimal digits of a seed, with blanks around them. The caller wipes the text.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Length`] or [`KeyFileError::Digit`].
    pub fn from_digits(text: &[u8]) -> Result<Self, KeyFileError> {
        let digits = text.trim_ascii();
        if digits.len() != SEED_DIGITS {
            return Err(KeyFileError::Length { found: digits.len() });
        }
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(KeyFileError::Digit);
        }
        let mut outcome = Ok(());
        let seed = Secret::written(|place| outcome = const_hex::decode_to_slice(digits, place));
        outcome.map(|()| Self(seed)).map_err(|_| KeyFileError::Digit)
    }

    /// The key.
    pub fn key(&self) -> SigningKey {
        leave_no_trace(|| SigningKey::from_seed(self.0.expose()))
    }

    /// The bytes.
    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.0
    }
}

/// Reads the key of a key file.
///
/// # Errors
///
/// [`KeyFileError`], also if the group or others may read or change the file.
pub fn read_key_file(path: &Path) -> Result<SigningKey, KeyFileError> {
    Ok(read_key_seed(path)?.key())
}

/// Reads the seed of a key file.
///
/// # Errors
///
/// As [`read_key_file`].
pub fn read_key_seed(path: &Path) -> Result<KeySeed, KeyFileError> {
    // A pipe would keep whoever opens it until somebody writes, so it is not opened.
    if !std::fs::metadata(path).map_err(KeyFileError::Unreadable)?.is_file() {
        return Err(KeyFileError::NotAFile);
    }
    let file = File::open(path).map_err(KeyFileError::Unreadable)?;
    let metadata = file.metadata().map_err(KeyFileError::Unreadable)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile);
    }
    check_mode(&metadata)?;
    // The room is there before the key is, so that no growing buffer leaves a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX + 1));
    file.take(KEY_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(KeyFileError::Unreadable)?;
    KeySeed::from_digits(&text)
}

#[cfg(unix)]
fn check_mode(metadata: &std::fs::Metadata) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = metadata.permissions().mode() & 0o777;
    if found & 0o077 == 0 { Ok(()) } else { Err(KeyFileError::OpenToOthers { found }) }
}

#[cfg(not(unix))]
fn check_mode(_: &std::fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn key_file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_key_is_read_with_the_line_end_behind_it() {
        let file = key_file(&format!("{}\n", "0B".repeat(32)), 0o600);
        let key = read_key_file(file.path()).unwrap();
        assert_eq!(key.address(), SigningKey::from_seed(&[0x0b; 32]).address());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o644, 0o610] {
            let file = key_file(&"0b".repeat(32), mode);
            let error = read_key_file(file.path()).unwrap_err();
            assert!(matches!(error, KeyFileError::OpenToOthers { found } if found == mode), "{error}");
        }
        assert!(read_key_file(key_file(&"0b".repeat(32), 0o400).path()).is_ok());
    }

    #[test]
    fn what_is_not_64_digits_is_refused() {
        let long = "a".repeat(100_000);
        let cases = [("", 0), ("abcd", 4), (&"a".repeat(65), 65), (long.as_str(), KEY_FILE_BYTES_MAX + 1)];
        for (text, expected) in cases {
            let error = read_key_file(key_file(text, 0o600).path()).unwrap_err();
            assert!(matches!(error, KeyFileError::Length { found } if found == expected), "{error}");
        }
        for text in [format!("0x{}", "a".repeat(62)), "g".repeat(64)] {
            let error = read_key_file(key_file(&text, 0o600).path()).unwrap_err();
            assert!(matches!(error, KeyFileError::Digit), "{error}");
        }
    }

    #[test]
    fn a_directory_and_a_pipe_are_not_key_files() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read_key_file(directory.path()), Err(KeyFileError::NotAFile)));
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(matches!(read_key_file(&pipe), Err(KeyFileError::NotAFile)));
    }
}
