//! What can be wrong with a keystore, its password and its accounts.

use super::{ACCOUNTS_MAX, KEYSTORE_VERSION};
use crate::derivation::PathError;
use crate::name::{Name, NameError};
use crate::sealed::{CostError, OpenError};
use cairn_core::codec::DecodeError;

/// Why a file is not a keystore, or not a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// It is longer than any.
    #[error("the file has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// It is not JSON of the form that it should have.
    #[error("the file is not whole, or of another kind")]
    Shape(#[source] serde_json::Error),
    /// It calls itself something else.
    #[error("the file is not a {expected}")]
    Format {
        /// What it should call itself.
        expected: &'static str,
    },
    /// It was written by a later release.
    #[error(
        "the file has version {found}, this release reads version {KEYSTORE_VERSION}: use a later release"
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// A field does not hold what it should.
    #[error("the field \"{field}\" holds something else than {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// The cost of the password is out of bounds.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// An account's name is none.
    #[error("an account has a name that is none")]
    Name(#[from] NameError),
    /// An account's path is none.
    #[error("an account has a path that is none")]
    Path(#[from] PathError),
    /// Two accounts have one name or one address.
    #[error("the account \"{name}\" is there twice")]
    Twice {
        /// The name of the second.
        name: Name,
    },
    /// The checksum does not fit.
    #[error("the file is damaged: its checksum is wrong")]
    Damaged,
}

/// Why a keystore or a backup does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// The password is another. (Or somebody changed the file on purpose and made its checksum fit:
    /// nothing but the password can tell.)
    #[error("the password is wrong")]
    WrongPassword,
    /// The password's cost asks for more memory than there is.
    #[error("there is not enough memory for the cost of the password, {needed_kib} KiB")]
    Memory {
        /// The memory needed, in KiB.
        needed_kib: u32,
    },
    /// The password is right, and what it opens is not what a keystore holds.
    #[error("what the password opens is not what a keystore holds: another program wrote it")]
    Contents(#[from] DecodeError),
}

/// Why an account cannot be added, used or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// No account has the name.
    #[error("no account is called \"{name}\"")]
    Unknown {
        /// The name.
        name: Name,
    },
    /// Another account has the name.
    #[error("an account is called \"{name}\" already")]
    NameTaken {
        /// The name.
        name: Name,
    },
    /// The key is there already.
    #[error("the key is there already, as \"{name}\"")]
    KeyTaken {
        /// The account that has it.
        name: Name,
    },
    /// There are as many accounts as a keystore holds.
    #[error("a keystore holds {ACCOUNTS_MAX} accounts")]
    TooMany,
    /// The keystore holds single keys and no words to derive more from.
    #[error("this keystore has no words to derive keys from")]
    NoWords,
    /// The coin type is none, or its last index is used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The key that was found is not that of the address which the file names.
    #[error("the key of \"{name}\" is not that of its address: another program wrote the keystore")]
    WrongKey {
        /// The account.
        name: Name,
    },
}

impl From<OpenError> for UnlockError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Memory { needed_kib } => Self::Memory { needed_kib },
            OpenError::NotAuthentic => Self::WrongPassword,
        }
    }
}
