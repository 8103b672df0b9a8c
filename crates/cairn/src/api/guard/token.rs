//! The token: what shows that a request comes from somebody who may read the data directory.

use crate::api::errors::ApiError;
use axum::http::{HeaderMap, header};
use rustix::fs::{Mode, OFlags};
use std::fmt;
use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// The name of the file that holds the token, in the data directory.
pub const TOKEN_FILE: &str = "token";
const TOKEN_BYTES: usize = 32;

/// 32 random bytes, new at each start.
#[derive(Clone)]
pub struct Token([u8; TOKEN_BYTES * 2]);

/// The token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
}

impl Token {
    /// Draws a token and writes it to the file `token` of a directory, which only its owner can
    /// read. A token left by an earlier start is replaced; nothing is written through a link.
    ///
    /// # Errors
    ///
    /// [`TokenError`] if there is no randomness or the file cannot be written.
    pub fn create(directory: &Path) -> Result<Self, TokenError> {
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random).map_err(TokenError::Random)?;
        let mut digits = [0; TOKEN_BYTES * 2];
        const_hex::encode_to_slice(random, &mut digits).expect("two digits a byte");
        let path = directory.join(TOKEN_FILE);
        write_private(&path, &digits).map_err(|source| TokenError::File { path, source })?;
        Ok(Self(digits))
    }

    /// Removes the file.
    pub fn remove(directory: &Path) {
        // What is left behind is worthless without the node that drew it.
        let _ = std::fs::remove_file(directory.join(TOKEN_FILE));
    }

    /// Whether the request carries the token.
    ///
    /// # Errors
    ///
    /// `token-required` or `wrong-token`.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let value = headers.get(header::AUTHORIZATION).ok_or_else(ApiError::token_required)?;
        let given = value.as_bytes().strip_prefix(b"Bearer ").ok_or_else(ApiError::token_required)?;
        // The time it takes tells nothing about how much of the token is right.
        if bool::from(self.0.ct_eq(given)) { Ok(()) } else { Err(ApiError::wrong_token()) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Writes a file that only its owner can read, in the place of one that is there; nothing is written
/// through a link.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = std::fs::File::from(file);
    file.write_all(text)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::os::unix::fs::PermissionsExt as _;

    fn bearer(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        headers
    }

    #[test]
    fn the_file_holds_the_token_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let token = Token::create(directory.path()).unwrap();
        let path = directory.path().join(TOKEN_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(token.check(&bearer(text.trim())), Ok(()));
        assert_eq!(token.check(&bearer("")).unwrap_err().code, "wrong-token");
        assert_eq!(token.check(&bearer(&"0".repeat(64))).unwrap_err().code, "wrong-token");
        assert_eq!(token.check(&bearer(&format!("{}0", text.trim()))).unwrap_err().code, "wrong-token");
        assert_eq!(token.check(&HeaderMap::new()).unwrap_err().code, "token-required");
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "old").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(TOKEN_FILE)).unwrap();
        Token::create(directory.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "old");
    }

    #[test]
    fn each_start_draws_another_token() {
        let directory = tempfile::tempdir().unwrap();
        let first = Token::create(directory.path()).unwrap();
        let second = Token::create(directory.path()).unwrap();
        assert_ne!(first.0, second.0);
    }
}
