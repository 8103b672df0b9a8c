//! What only a person knows: passwords and words, from the terminal, a file or the environment.
//!
//! Never from an argument, which every user of the machine can read. What is typed without being
//! shown is read byte by byte, so that no buffer keeps it and Ctrl-C leaves the terminal as it was.

use crate::cli::genesis::is_standard;
use crate::failure::CliError;
use crate::output;
use cairn_wallet::{PASSWORD_BYTES_MAX, PHRASE_BYTES_MAX, Password, PasswordError, read_private_file};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal as _, stderr, stdin};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Ctrl-C.
const INTERRUPT: u8 = 3;
/// Ctrl-D.
const END: u8 = 4;
/// Ctrl-U.
const KILL: u8 = 21;
/// What a key for going back may send.
const BACK: [u8; 2] = [8, 127];

/// A secret that is wiped when it is dropped.
pub(super) type SecretText = Zeroizing<String>;

/// Where a secret may come from beside the terminal.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// What it is, in a sentence: `the password of wallet main`.
    pub(super) what: String,
    /// The file that a flag or a setting names.
    pub(super) file: Option<PathBuf>,
    /// The flag, for help.
    pub(super) flag: &'static str,
    /// The variable of the environment.
    pub(super) variable: Option<&'static str>,
}

/// Whether somebody can be asked.
pub(super) fn somebody_is_there() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

impl Source {
    /// The password that opens something.
    pub(super) fn password(&self) -> Result<Password, CliError> {
        let text = match self.given()? {
            Some(text) => text,
            None => self.ask(&self.what)?,
        };
        self.check(&text)
    }

    /// A new password, which a person types twice.
    pub(super) fn new_password(&self) -> Result<Password, CliError> {
        if let Some(text) = self.given()? {
            return self.check(&text);
        }
        let first = self.ask(&self.what)?;
        let password = self.check(&first)?;
        if *self.ask("once more")? != *first {
            return Err(CliError::usage("password-differs", "the second time it was another")
                .help("nothing was changed: try it again"));
        }
        Ok(password)
    }

    /// A text that may be empty: the passphrase of words.
    pub(super) fn text(&self) -> Result<SecretText, CliError> {
        match self.given()? {
            Some(text) => Ok(text),
            None => self.ask(&self.what),
        }
    }

    /// What a file or the environment says; none if neither says anything.
    fn given(&self) -> Result<Option<SecretText>, CliError> {
        let variable = self.variable.and_then(|name| std::env::var(name).ok()).map(Zeroizing::new);
        match (&self.file, variable) {
            (Some(file), _) => read_secret(file, PASSWORD_BYTES_MAX + 2).map(|text| Some(first_line(&text))),
            (None, variable) => Ok(variable),
        }
    }

    fn ask(&self, what: &str) -> Result<SecretText, CliError> {
        if !somebody_is_there() {
            let variable = self.variable.map_or_else(String::new, |name| format!(", or set {name}"));
            return Err(CliError::usage(
                "no-password",
                format!("{} is needed, and nobody is here to type it", self.what),
            )
            .help(format!(
                "name a file that holds it, readable by you alone: `{} FILE`{variable}",
                self.flag
            )));
        }
        output::eprint_text(&format!("{what}: "));
        let hidden = Hidden::begin()?;
        let typed = read_hidden();
        drop(hidden);
        output::eprint_text("\n");
        typed
    }

    fn check(&self, text: &str) -> Result<Password, CliError> {
        Password::new(text).map_err(|error| {
            let failure = CliError::usage("bad-password", format!("{}: {error}", self.what));
            match error {
                PasswordError::Empty => failure.help("a wallet without a password would be an open one"),
                PasswordError::TooLong { .. } => failure,
            }
        })
    }
}

/// Waits until somebody presses Enter.
pub(super) fn enter() -> Result<(), CliError> {
    let hidden = Hidden::begin()?;
    let typed = read_hidden();
    drop(hidden);
    typed.map(|_| ())
}

/// Asks for a line that may be seen. None at the end of the input.
pub(super) fn line(what: &str) -> Result<Option<SecretText>, CliError> {
    output::eprint_text(what);
    let mut bytes = room(PHRASE_BYTES_MAX);
    loop {
        match next_byte()? {
            None if bytes.is_empty() => return Ok(None),
            None | Some(b'\n') => return text_of(&bytes).map(Some),
            Some(byte) if bytes.len() < PHRASE_BYTES_MAX => bytes.push(byte),
            Some(_) => return Err(too_long()),
        }
    }
}

/// The secret text of a file that nobody else can read, or of standard input if it is called `-`.
pub(super) fn read_secret(file: &Path, limit: usize) -> Result<SecretText, CliError> {
    if is_standard(file) {
        let mut bytes = room(limit);
        while let Some(byte) = next_byte()? {
            if bytes.len() >= limit {
                return Err(too_long());
            }
            bytes.push(byte);
        }
        return text_of(&bytes);
    }
    let bytes = read_private_file(file, limit).map(Zeroizing::new);
    text_of(&bytes.map_err(|error| super::open::file_failure(file, &error))?)
}

fn first_line(text: &str) -> SecretText {
    Zeroizing::new(text.split(['\r', '\n']).next().unwrap_or_default().to_owned())
}

fn text_of(bytes: &[u8]) -> Result<SecretText, CliError> {
    let text = std::str::from_utf8(bytes);
    text.map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| CliError::usage("not-text", "what was given is not UTF-8 text"))
}

/// Room for so many bytes at once, so that no growing leaves a copy behind.
fn room(bytes: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(bytes))
}

fn too_long() -> CliError {
    CliError::usage("too-long", "this is longer than any password or phrase")
}

/// The next byte of standard input, past every buffer; none at its end.
fn next_byte() -> Result<Option<u8>, CliError> {
    let mut byte = [0];
    loop {
        match rustix::io::read(stdin(), &mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(byte.first().copied()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let error = std::io::Error::from(error);
                return Err(CliError::failed("no-input", "standard input cannot be read").because(&error));
            }
        }
    }
}

/// A terminal that shows nothing of what is typed and hands over each key, until it is dropped.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> Result<Self, CliError> {
        let refused = |error: rustix::io::Errno| {
            let error = std::io::Error::from(error);
            CliError::failed("no-terminal", "the terminal cannot be told to hide what is typed")
                .because(&error)
        };
        let before = tcgetattr(stdin()).map_err(refused)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(stdin(), OptionalActions::Flush, &hidden).map_err(refused)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs no mending.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

fn read_hidden() -> Result<SecretText, CliError> {
    let mut bytes = room(PASSWORD_BYTES_MAX + 4);
    loop {
        match next_byte()? {
            None | Some(b'\n' | b'\r') => return text_of(&bytes),
            Some(INTERRUPT) => return Err(CliError::failed("interrupted", "nothing was done")),
            Some(END) if bytes.is_empty() => {
                return Err(CliError::failed("interrupted", "nothing was done"));
            }
            Some(KILL) => bytes.clear(),
            Some(byte) if BACK.contains(&byte) => take_back(&mut bytes),
            Some(byte) if bytes.len() < PASSWORD_BYTES_MAX + 4 => bytes.push(byte),
            Some(_) => return Err(too_long()),
        }
    }
}

/// Takes the last character away: its first byte and those that follow it (RFC 3629).
fn take_back(bytes: &mut Vec<u8>) {
    while let Some(byte) = bytes.pop() {
        if byte & 0b1100_0000 != 0b1000_0000 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: Option<PathBuf>) -> Source {
        Source { what: "the password".to_owned(), file, flag: "--password-file", variable: None }
    }

    #[test]
    fn going_back_takes_a_whole_character() {
        let mut bytes = "aé€".as_bytes().to_vec();
        take_back(&mut bytes);
        assert_eq!(bytes, "aé".as_bytes());
        take_back(&mut bytes);
        take_back(&mut bytes);
        take_back(&mut bytes);
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_password_is_the_first_line_of_a_file_that_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "correct horse\r\nsecond\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(source(Some(file.clone())).text().unwrap_err().code(), "open-file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(*source(Some(file.clone())).text().unwrap(), "correct horse");
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(source(Some(file)).password().unwrap_err().code(), "bad-password");
    }
}
