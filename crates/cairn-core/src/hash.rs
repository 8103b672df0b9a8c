//! The hashes of the ledger: SHA-256 under a tag, and one type for each kind of thing that is hashed.
//!
//! Every hash except the 40-byte work hash starts with its own NUL-terminated tag, so bytes hashed
//! for one purpose never mean anything under another (a transaction is never a tree node).

use std::collections::BTreeMap;
use std::fmt;

/// A NUL-terminated domain tag that opens the bytes of a hash.
///
/// No tag is a prefix of another, because the NUL ends each and occurs nowhere else in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(&'static [u8]);

impl Tag {
    /// Opens a transaction id.
    pub const TRANSACTION: Self = Self(b"cairn/tx/1\0");
    /// Opens the hash of a witness.
    pub const WITNESS: Self = Self(b"cairn/witness/1\0");
    /// Opens a leaf of the transaction tree.
    pub const LEAF: Self = Self(b"cairn/leaf/1\0");
    /// Opens an inner node of the transaction tree.
    pub const TX_NODE: Self = Self(b"cairn/txnode/1\0");
    /// Opens an address.
    pub const ADDRESS: Self = Self(b"cairn/address/1\0");
    /// Opens the path of an account in the state tree.
    pub const PATH: Self = Self(b"cairn/path/1\0");
    /// Opens the path of an entry of the state tree that is not an account.
    pub const RESERVED_PATH: Self = Self(b"cairn/reserved/1\0");
    /// Opens a leaf of the state tree.
    pub const STATE_LEAF: Self = Self(b"cairn/state/1\0");
    /// Opens an inner node of the state tree.
    pub const STATE_NODE: Self = Self(b"cairn/node/1\0");
    /// Opens the seal hash of a header.
    pub const HEADER: Self = Self(b"cairn/header/1\0");
    /// Opens the hash of a block's extra data.
    pub const EXTRA: Self = Self(b"cairn/extra/1\0");
    /// Opens the hash of a certificate.
    pub const CERTIFICATE: Self = Self(b"cairn/certificate/1\0");
    /// Opens the bytes that a permitted miner signs.
    pub const SEAL: Self = Self(b"cairn/seal/1\0");
    /// Opens the bytes that a validator signs in a vote.
    pub const VOTE: Self = Self(b"cairn/vote/1\0");
    /// Opens a leaf of the history tree.
    pub const HISTORY_LEAF: Self = Self(b"cairn/history/leaf/1\0");
    /// Opens an inner node of the history tree.
    pub const HISTORY_NODE: Self = Self(b"cairn/history/node/1\0");
    /// Opens the root of the history tree.
    pub const HISTORY_ROOT: Self = Self(b"cairn/history/root/1\0");

    /// Opens what keys the short ids of a compact block.
    pub const SHORT_ID: Self = Self(b"cairn/shortid/1\0");

    /// Every tag, for the test that none is the prefix of another.
    pub const ALL: [Self; 18] = [
        Self::TRANSACTION,
        Self::WITNESS,
        Self::LEAF,
        Self::TX_NODE,
        Self::ADDRESS,
        Self::PATH,
        Self::RESERVED_PATH,
        Self::STATE_LEAF,
        Self::STATE_NODE,
        Self::HEADER,
        Self::EXTRA,
        Self::CERTIFICATE,
        Self::SEAL,
        Self::VOTE,
        Self::HISTORY_LEAF,
        Self::HISTORY_NODE,
        Self::HISTORY_ROOT,
        Self::SHORT_ID,
    ];

    /// The bytes of the tag, with the closing NUL.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0
    }

    /// SHA-256 of the tag followed by `parts`, one after the other.
    pub fn hash(self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = cairn_hash::Sha256::new();
        hasher.update(self.0);
        for part in parts {
            hasher.update(part);
        }
        hasher.finish()
    }
}

/// Many messages under one tag, hashed side by side where they have one length.
#[derive(Clone, Debug)]
pub struct Messages {
    tag: Tag,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// No messages yet; there is room for `count` of about `message_bytes` bytes.
    pub fn new(tag: Tag, count: usize, message_bytes: usize) -> Self {
        let bytes = Vec::with_capacity(count.saturating_mul(tag.0.len() + message_bytes));
        Self { tag, bytes, ends: Vec::with_capacity(count) }
    }

    /// Adds the message that `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(self.tag.0);
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The hash of each message, in order.
    pub fn hash(&self) -> Vec<[u8; 32]> {
        let mut hashes = vec![[0; 32]; self.ends.len()];
        let first = self.ends.first().copied().unwrap_or_default();
        if self.lengths().all(|length| length == first) {
            cairn_hash::hash_many(&self.bytes, first, &mut hashes);
            return hashes;
        }
        let mut by_length: BTreeMap<usize, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        for (place, (start, end)) in starts.zip(&self.ends).enumerate() {
            let (places, bytes) = by_length.entry(end - start).or_default();
            places.push(place);
            bytes.extend_from_slice(self.bytes.get(start..*end).unwrap_or_default());
        }
        for (length, (places, bytes)) in by_length {
            let mut same = vec![[0; 32]; places.len()];
            cairn_hash::hash_many(&bytes, length, &mut same);
            for (place, hash) in places.into_iter().zip(same) {
                if let Some(slot) = hashes.get_mut(place) {
                    *slot = hash;
                }
            }
        }
        hashes
    }

    fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| end - start)
    }
}

/// Declares the 32-byte types, so that one kind of hash is never passed for another.
macro_rules! hash_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// 32 zero bytes: the root of an empty tree, the parent of block 0, no certificate.
            pub const ZERO: Self = Self([0; 32]);

            /// The bytes, in the order in which they are hashed, stored and shown.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&const_hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), const_hex::encode(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = HashParseError;

            fn from_str(text: &str) -> Result<Self, HashParseError> {
                parse_hex(text).map(Self)
            }
        }

        impl crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }

        impl crate::codec::Decode for $name {
            fn decode(reader: &mut crate::codec::Reader<'_>) -> Result<Self, crate::codec::DecodeError> {
                reader.array().map(Self)
            }
        }
    )*};
}

hash_types! {
    /// The id of a block: its work hash, compared with the target as a big-endian number.
    BlockId;
    /// What a seal closes: the tagged hash of a header.
    SealHash;
    /// The id of a transaction: bound to network, sender and body, not to the signature.
    TransactionId;
    /// A transaction with its witness: a leaf of the transaction tree, and the name used in relay.
    LeafHash;
    /// The root of the tree over the transactions of a block.
    MerkleRoot;
    /// The root of the tree over all accounts.
    StateRoot;
    /// The root of the tree over all earlier blocks.
    HistoryRoot;
    /// The hash of a block's extra data.
    ExtraHash;
    /// The hash of a certificate.
    CertificateHash;
    /// The place of an entry in the state tree; its bits, highest first, lead from the root.
    StatePath;
}

/// Why a text is not the hexadecimal form of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashParseError {
    /// A hash has exactly 64 digits.
    #[error("a hash has 64 hexadecimal digits, this has {found}")]
    Length {
        /// How many characters were given.
        found: usize,
    },
    /// Only `0`–`9` and `a`–`f` (or `A`–`F`) are digits.
    #[error("a hash has only the digits 0-9 and a-f")]
    Digit,
}

/// Reads 64 hexadecimal digits.
fn parse_hex(text: &str) -> Result<[u8; 32], HashParseError> {
    if text.len() != 64 {
        return Err(HashParseError::Length { found: text.chars().count() });
    }
    // The prefix `0x` is not part of a hash; `decode_to_array` would skip it.
    if text.starts_with("0x") || text.starts_with("0X") {
        return Err(HashParseError::Digit);
    }
    const_hex::decode_to_array(text).map_err(|_| HashParseError::Digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tag_is_the_prefix_of_another() {
        for (i, a) in Tag::ALL.iter().enumerate() {
            assert_eq!(a.as_bytes().iter().filter(|byte| **byte == 0).count(), 1);
            assert_eq!(a.as_bytes().last(), Some(&0));
            for b in &Tag::ALL[i + 1..] {
                assert!(!a.as_bytes().starts_with(b.as_bytes()) && !b.as_bytes().starts_with(a.as_bytes()));
            }
        }
    }

    #[test]
    fn many_messages_are_hashed_as_each_alone() {
        for lengths in [vec![], vec![7], vec![5; 40], (0..70).map(|n| n * 13 % 9).collect::<Vec<_>>()] {
            let mut messages = Messages::new(Tag::LEAF, lengths.len(), 9);
            let parts: Vec<Vec<u8>> = (0u8..).zip(&lengths).map(|(n, length)| vec![n; *length]).collect();
            for part in &parts {
                messages.push(|out| out.extend_from_slice(part));
            }
            let alone: Vec<_> = parts.iter().map(|part| Tag::LEAF.hash(&[part])).collect();
            assert_eq!(messages.hash(), alone);
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_shown() {
        let id = BlockId(Tag::HEADER.hash(&[b"x"]));
        assert_eq!(id.to_string().parse::<BlockId>(), Ok(id));
        assert_eq!("00".parse::<BlockId>(), Err(HashParseError::Length { found: 2 }));
        let prefixed = format!("0x{}", &id.to_string()[2..]);
        assert_eq!(prefixed.parse::<BlockId>(), Err(HashParseError::Digit));
        assert_eq!("g".repeat(64).parse::<BlockId>(), Err(HashParseError::Digit));
    }
}
