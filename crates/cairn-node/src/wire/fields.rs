//! MessagePack, as much of it as messages need: arrays, byte strings and numbers, read in place.
//!
//! The marks are read and written by `rmp`; what is ours is that every length is compared with its limit
//! and with the bytes that are left before anything is kept.

use super::{Tag, WireError};
use cairn_core::codec::{Decode, Encode, decode_exact};
use rmp::{decode, encode};

/// Writes the fields of a body.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

/// Writing to memory cannot fail.
const MEMORY: &str = "a vector takes what is written to it";

impl Writer {
    pub(super) fn array(&mut self, count: usize) {
        let count = u32::try_from(count).expect("lists of messages are short");
        encode::write_array_len(&mut self.0, count).expect(MEMORY);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        encode::write_bin(&mut self.0, bytes).expect(MEMORY);
    }

    pub(super) fn number(&mut self, number: u64) {
        encode::write_uint(&mut self.0, number).expect(MEMORY);
    }

    /// Hashes one after the other, in one byte string.
    pub(super) fn hashes<'a>(&mut self, hashes: impl ExactSizeIterator<Item = &'a [u8; 32]>) {
        let bytes = u32::try_from(hashes.len() * 32).expect("lists of messages are short");
        encode::write_bin_len(&mut self.0, bytes).expect(MEMORY);
        for hash in hashes {
            self.0.extend(hash);
        }
    }

    /// An array of byte strings, each the canonical bytes of a value.
    pub(super) fn canonical_list<T: Encode>(&mut self, values: &[T]) {
        self.array(values.len());
        for value in values {
            self.bytes(&value.to_bytes());
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads the fields of a body, one after the other.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    tag: Tag,
    body: &'a [u8],
    rest: &'a [u8],
    left: u32,
}

impl<'a> Fields<'a> {
    /// MSG-2 > A body is a MessagePack array.
    pub(super) fn open(tag: Tag, body: &'a [u8]) -> Result<Self, WireError> {
        let mut fields = Self { tag, body, rest: body, left: 1 };
        fields.left = fields.array()?;
        Ok(fields)
    }

    pub(super) const fn tag(&self) -> Tag {
        self.tag
    }

    /// The next field, a number.
    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.begin(what)?;
        let before = self.rest;
        decode::read_int(&mut self.rest).map_err(|_| self.expected(what, before))
    }

    /// The next field, a byte string of at most `limit` bytes.
    pub(super) fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], WireError> {
        self.begin(what)?;
        self.byte_string(what, limit)
    }

    /// The next field, a hash.
    pub(super) fn hash(&mut self) -> Result<[u8; 32], WireError> {
        let before = self.rest;
        let bytes = self.bytes("a hash", usize::MAX)?;
        bytes.try_into().map_err(|_| self.expected("a hash of 32 bytes", before))
    }

    /// The next field, a byte string of at most `limit` pieces of equal length.
    pub(super) fn chunks<const N: usize>(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<&'a [[u8; N]], WireError> {
        let before = self.rest;
        let bytes = self.bytes(what, limit.saturating_mul(N))?;
        let (chunks, rest) = bytes.as_chunks();
        if rest.is_empty() { Ok(chunks) } else { Err(self.expected("pieces of whole length", before)) }
    }

    /// The next field, an array of at most `limit` byte strings, each the canonical bytes of a value.
    pub(super) fn canonical_list<T: Decode>(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<Vec<T>, WireError> {
        self.begin(what)?;
        let count = usize::try_from(self.array()?).unwrap_or(usize::MAX);
        // MSG-3 > A list is not longer than its limit.
        if count > limit {
            return Err(WireError::TooLong { tag: self.tag, what, found: count, limit });
        }
        // Each item takes two bytes at least, so the claim cannot make this large.
        let mut values = Vec::with_capacity(count.min(self.rest.len() / 2));
        for _ in 0..count {
            let bytes = self.byte_string(what, usize::MAX)?;
            // MSG-4 > What is consensus stands in its canonical bytes.
            let value =
                decode_exact(bytes).map_err(|source| WireError::Canonical { tag: self.tag, source })?;
            values.push(value);
        }
        Ok(values)
    }

    fn begin(&mut self, what: &'static str) -> Result<(), WireError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.expected(what, self.rest)),
        }
    }

    fn array(&mut self) -> Result<u32, WireError> {
        let before = self.rest;
        decode::read_array_len(&mut self.rest).map_err(|_| self.expected("an array", before))
    }

    fn byte_string(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], WireError> {
        let before = self.rest;
        let found = decode::read_bin_len(&mut self.rest).map_err(|_| self.expected(what, before))?;
        let found = usize::try_from(found).unwrap_or(usize::MAX);
        // MSG-3 > A byte string is not longer than its limit.
        if found > limit {
            return Err(WireError::TooLong { tag: self.tag, what, found, limit });
        }
        let (bytes, rest) = self.rest.split_at_checked(found).ok_or_else(|| self.expected(what, before))?;
        self.rest = rest;
        Ok(bytes)
    }

    const fn expected(&self, what: &'static str, at: &[u8]) -> WireError {
        WireError::Shape { tag: self.tag, what, at: self.body.len() - at.len() }
    }
}
