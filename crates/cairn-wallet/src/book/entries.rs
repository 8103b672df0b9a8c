//! What stands in a book, and what can be wrong with it.

use crate::name::{Name, NameError};
use crate::text::TextError;
use cairn_core::address::{Address, AddressError, AddressPrefix, PrefixError};
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::{Amount, Nonce, Timestamp};
use std::fmt;

/// A name for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Name,
    /// The address, with the prefix that it was given with.
    pub address: NetworkAddress,
}

/// An address as it was typed: with its network's prefix, and a checksum that held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAddress {
    address: Address,
    prefix: AddressPrefix,
}

/// A payment that this wallet sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRecord {
    /// Its id.
    pub id: TransactionId,
    /// When it was signed.
    pub at: Timestamp,
    /// Who paid.
    pub from: Address,
    /// The nonce.
    pub nonce: Nonce,
    /// The first recipient.
    pub to: Address,
    /// How many transfers there were.
    pub transfers: u32,
    /// The sum of the transfers, without the fee.
    pub amount: Amount,
    /// Whether a node said that it has it. Until then it may have arrived, or not.
    pub is_answered: bool,
}

/// What a wallet knows of a network that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// It was seen before.
    Known,
    /// Nothing like it was seen before.
    New,
    /// Its name was seen before with another identity: the chain was begun anew, or another
    /// network has the same name. What the wallet knows of the earlier one does not hold here.
    BegunAnew {
        /// The identity of the one that was seen last under that name.
        earlier: BlockId,
        /// When that was.
        last_seen: Timestamp,
    },
}

/// What is wrong with a book, or with what is to stand in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// It is longer than any.
    #[error("the book has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// It is not JSON of the form that it should have.
    #[error("the book is not whole, or not a book")]
    Shape(#[source] serde_json::Error),
    /// It was written by a later release, or is something else.
    #[error("the book calls itself something else than a book of version {expected}")]
    Version {
        /// The version that this release reads.
        expected: u32,
    },
    /// A field does not hold what it should.
    #[error("the field \"{field}\" of the book holds something else than {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// There are more of something than a book holds.
    #[error("a book holds {limit} of these")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A contact or a watched account has the name already.
    #[error("\"{name}\" is in the book already")]
    NameTaken {
        /// The name.
        name: Name,
    },
    /// Nobody has the name.
    #[error("\"{name}\" is not in the book")]
    Unknown {
        /// The name.
        name: Name,
    },
    /// Nothing is known of the network.
    #[error("the network was not seen before")]
    UnknownNetwork,
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An address has no prefix.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// A text is not shown.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl NetworkAddress {
    /// An address of a network.
    pub const fn new(address: Address, prefix: AddressPrefix) -> Self {
        Self { address, prefix }
    }

    /// Reads an address of whichever network it says.
    ///
    /// # Errors
    ///
    /// [`BookError`] if it has no prefix, or its checksum does not hold.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        let (prefix, _) = text.rsplit_once('1').ok_or(PrefixError)?;
        let prefix = AddressPrefix::new(&prefix.to_ascii_lowercase())?;
        Ok(Self { address: Address::from_text(text, &prefix)?, prefix })
    }

    /// The address, if the network with `prefix` is the one that it was given for.
    ///
    /// # Errors
    ///
    /// [`AddressError::WrongNetwork`].
    pub fn on(&self, prefix: &AddressPrefix) -> Result<Address, AddressError> {
        if self.prefix == *prefix {
            return Ok(self.address);
        }
        let found = self.prefix.as_str().to_owned();
        Err(AddressError::WrongNetwork { found, expected: prefix.clone() })
    }

    /// The address, whatever the network.
    pub const fn address(&self) -> Address {
        self.address
    }
}

impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.address.to_text(&self.prefix))
    }
}
