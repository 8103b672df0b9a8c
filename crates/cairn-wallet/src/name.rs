//! The names that people give to wallets, accounts and contacts.

use std::fmt;
use std::str::FromStr;

/// The longest name, in characters: shorter than any address, so that none is taken for one.
pub const NAME_BYTES_MAX: usize = 23;

/// A name: 1 to [`NAME_BYTES_MAX`] lower-case letters, digits, `-` and `_`, the first a letter.
///
/// It stands in commands, tables and names of files as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {NAME_BYTES_MAX} lower-case letters, digits, - and _, the first a letter")]
pub struct NameError;

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if first && text.len() <= NAME_BYTES_MAX && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tables pad names.
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for text in ["a", "main", "cold-storage_2", "a234567890123456789012_"] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn nothing_that_a_path_or_a_terminal_understands_is_a_name() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for text in
            ["", "..", "../evil", "a/b", "a b", "Main", "1st", "-rf", "_x", "ä", "a\n", "a\u{1b}[1m", &long]
        {
            assert_eq!(text.parse::<Name>(), Err(NameError), "{text:?}");
        }
    }
}
