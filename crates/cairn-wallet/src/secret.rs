//! Secrets in memory: bytes that are wiped, passwords, chance, and a stack that is left clean.
//!
//! A secret lies on the heap at one place, so that moving the value leaves no copy behind; it is
//! overwritten when it is dropped; it has no printed form, no equality and no copy. Libraries below
//! work on copies in their stack frames, so whoever hands them a secret does it inside
//! [`leave_no_trace`].

use std::fmt;
use std::hint::black_box;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::{Zeroize as _, Zeroizing};

/// The longest password and the longest passphrase, in bytes as typed.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// The longest growth of a text under NFKD (Unicode Standard Annex #15): U+FDFA, from 3 bytes to 33.
const NFKD_GROWTH_MAX: usize = 11;
/// How much of the stack is overwritten: several times what the deepest of our calls uses.
const STACK_BYTES: usize = 96 * 1024;

/// So many secret bytes.
pub(crate) struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// The bytes that `write` leaves in a place of zeros.
    pub(crate) fn written(write: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        write(&mut secret.0);
        secret
    }

    /// A copy of `bytes`. The caller wipes its own.
    pub(crate) fn copied(bytes: &[u8; N]) -> Self {
        Self::written(|place| place.copy_from_slice(bytes))
    }

    /// Bytes that nobody can foresee.
    pub(crate) fn random() -> Result<Self, RandomError> {
        let mut outcome = Ok(());
        let secret = Self::written(|place| outcome = fill_random(place));
        outcome.map(|()| secret)
    }

    /// The bytes, for as long as they are needed and no longer.
    pub(crate) const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What opens a keystore: a text in its normal form (NFKD), so that one password is the same
/// however a keyboard composes its characters.
pub struct Password(Zeroizing<String>);

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// A keystore without a password would be an open one.
    #[error("the password is empty")]
    Empty,
    /// It is longer than anybody types.
    #[error("the password has {found} bytes, at most {PASSWORD_BYTES_MAX} are allowed")]
    TooLong {
        /// How many it has.
        found: usize,
    },
}

impl Password {
    /// A password as it was typed. The caller wipes the text.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] if it is empty or longer than [`PASSWORD_BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, PasswordError> {
        match text.len() {
            0 => Err(PasswordError::Empty),
            found if found > PASSWORD_BYTES_MAX => Err(PasswordError::TooLong { found }),
            _ => Ok(Self(normal_form(text))),
        }
    }

    /// The bytes that a key is derived from.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct RandomError(#[source] getrandom::Error);

/// Fills `bytes` from the operating system, the only source of chance that this crate has.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(RandomError)
}

/// A text under NFKD. The room is there before the text is, so that no growing leaves a copy behind.
pub(crate) fn normal_form(text: &str) -> Zeroizing<String> {
    let mut normal = Zeroizing::new(String::with_capacity(text.len().saturating_mul(NFKD_GROWTH_MAX)));
    normal.extend(text.nfkd());
    normal
}

/// Does `work`, and overwrites what it left in the stack.
///
/// What `work` returns must hold its secrets on the heap. Registers, and what a compiler keeps
/// elsewhere, are out of reach of safe code; a test searches the memory of a whole process.
pub(crate) fn leave_no_trace<T>(work: impl FnOnce() -> T) -> T {
    let outcome = apart(work);
    overwrite_stack();
    outcome
}

/// A frame of its own, at the depth at which the overwriting begins.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite_stack() {
    let mut room = [0u8; STACK_BYTES];
    room.zeroize();
    black_box(&mut room);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_however_it_is_composed() {
        let composed = Password::new("s\u{e9}same \u{fb01}ve").unwrap();
        let decomposed = Password::new("se\u{301}same five").unwrap();
        assert_eq!(composed.bytes(), decomposed.bytes());
        assert_ne!(composed.bytes(), Password::new("sesame five").unwrap().bytes());
    }

    #[test]
    fn an_empty_and_an_endless_password_are_refused() {
        assert_eq!(Password::new("").unwrap_err(), PasswordError::Empty);
        let found = PASSWORD_BYTES_MAX + 1;
        assert_eq!(Password::new(&"a".repeat(found)).unwrap_err(), PasswordError::TooLong { found });
        assert!(Password::new(&"a".repeat(PASSWORD_BYTES_MAX)).is_ok());
    }

    #[test]
    fn the_normal_form_of_no_character_outgrows_its_room() {
        for character in '\0'..=char::MAX {
            let text = String::from(character);
            let grown: usize = text.nfkd().map(char::len_utf8).sum();
            assert!(grown <= text.len() * NFKD_GROWTH_MAX, "{character:?}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", Secret::copied(&[7; 32])), "Secret(…)");
        assert_eq!(format!("{:?}", Password::new("hunter2").unwrap()), "Password(…)");
    }

    #[test]
    fn chance_comes_from_the_operating_system_alone() {
        // A weak generator cannot slip in unnoticed (CVE-2023-39910, "Milk Sad").
        let manifest = include_str!("../Cargo.toml");
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for line in dependencies.lines().filter(|line| line.contains("workspace = true")) {
            assert!(!line.contains("rand") || line.starts_with("getrandom"), "{line}");
        }
        let (one, other) = (Secret::<32>::random().unwrap(), Secret::<32>::random().unwrap());
        assert_ne!(one.expose(), other.expose());
    }
}
