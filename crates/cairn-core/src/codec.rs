//! Canonical bytes: the one encoding of whatever is hashed, signed or stored.
//!
//! The format is [borsh](https://borsh.io): integers are little-endian and of fixed width, a list
//! is a `u32` count followed by its items, an option or a choice is one byte followed by what it
//! announces. A value has exactly one encoding, and [`decode_exact`] refuses every other byte
//! string. The reader is our own so that each refusal says where and why, and so that a count is
//! compared with its limit and with the bytes that are left before anything is allocated.

/// A value with canonical bytes.
pub trait Encode {
    /// Appends the canonical bytes of `self` to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The canonical bytes of `self`.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A value that can be read back from its canonical bytes.
pub trait Decode: Sized {
    /// Reads one value and leaves the reader behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes at this place are not the canonical encoding of a value.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// Reads one value from `bytes`, which must hold nothing else.
///
/// # Errors
///
/// [`DecodeError`] if `bytes` is not exactly the canonical encoding of one value.
pub fn decode_exact<T: Decode>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// Why bytes are not the canonical encoding of a value; `at` is the offset in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// BYT-1: the bytes end inside a value.
    #[error("bytes end at {at}, {needed} more are needed")]
    Truncated {
        /// Where the missing part begins.
        at: usize,
        /// How many bytes are missing at least.
        needed: usize,
    },
    /// BYT-2: bytes are left behind the value.
    #[error("{extra} bytes are left over after the value ends at {at}")]
    Trailing {
        /// Where the value ends.
        at: usize,
        /// How many bytes follow.
        extra: usize,
    },
    /// BYT-3: a list or a byte string is longer than its limit.
    #[error("{what} has {found} items at byte {at}, at most {limit} are allowed")]
    TooLong {
        /// What the list is.
        what: &'static str,
        /// Where its count stands.
        at: usize,
        /// The count found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// BYT-4: a byte that chooses a kind has a value that means nothing.
    #[error("{what} {found:#04x} at byte {at} is unknown")]
    UnknownKind {
        /// What the byte chooses.
        what: &'static str,
        /// Where it stands.
        at: usize,
        /// The byte found.
        found: u8,
    },
    /// BYT-5: a value has a second encoding, and this is it.
    #[error("{what} before byte {at} is not in its canonical form")]
    NotCanonical {
        /// What is out of form.
        what: &'static str,
        /// Where it ends.
        at: usize,
    },
}

/// A position in bytes that are not trusted.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes read since `start`, a former [`position`](Self::position).
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// Reads the next `count` bytes.
    ///
    /// # Errors
    ///
    /// BYT-1 if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return Err(DecodeError::Truncated { at: self.at, needed: count - rest.len() });
        };
        self.at += count;
        Ok(taken)
    }

    /// Reads an array of fixed length.
    ///
    /// # Errors
    ///
    /// BYT-1 if fewer bytes are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("take returns as many bytes as asked"))
    }

    /// Reads the count of a list whose items take at least `item_bytes_min` bytes each.
    ///
    /// # Errors
    ///
    /// BYT-3 if the count is above `limit`, BYT-1 if so many items cannot be left.
    pub fn count(
        &mut self,
        what: &'static str,
        limit: usize,
        item_bytes_min: usize,
    ) -> Result<usize, DecodeError> {
        let at = self.at;
        let found = u32::decode(self)? as usize;
        if found > limit {
            return Err(DecodeError::TooLong { what, at, found, limit });
        }
        let needed = found.saturating_mul(item_bytes_min);
        if needed > self.remaining() {
            return Err(DecodeError::Truncated { at: self.bytes.len(), needed: needed - self.remaining() });
        }
        Ok(found)
    }

    /// Reads a byte string of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// BYT-3 if it is longer, BYT-1 if it is cut off.
    pub fn byte_string(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let count = self.count(what, limit, 1)?;
        self.take(count)
    }

    /// Reads a UTF-8 text of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`byte_string`](Self::byte_string), and BYT-5 if it is not UTF-8.
    pub fn text(&mut self, what: &'static str, limit: usize) -> Result<String, DecodeError> {
        let bytes = self.byte_string(what, limit)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotCanonical { what, at: self.at })?;
        Ok(text.to_owned())
    }

    /// Reads the byte of a choice.
    ///
    /// # Errors
    ///
    /// BYT-1 if no byte is left.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Refuses bytes that are left over.
    ///
    /// # Errors
    ///
    /// BYT-2 if there are any.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { at: self.at, extra }),
        }
    }
}

/// Appends a count as `u32`.
///
/// # Panics
///
/// If `count` is above `u32::MAX`, which no list within its limit reaches.
pub fn encode_count(count: usize, out: &mut Vec<u8>) {
    u32::try_from(count).expect("lists are limited far below 2^32 items").encode(out);
}

/// Appends a byte string: its length as `u32`, then its bytes.
pub fn encode_byte_string(bytes: &[u8], out: &mut Vec<u8>) {
    encode_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Integers are little-endian and as wide as their type.
macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl Encode for $integer {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }

        impl Decode for $integer {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

integers!(u8 u16 u32 u64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(DecodeError::UnknownKind { what: "truth value", at, found }),
        }
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byt_1_a_missing_byte_is_refused_with_its_place() {
        assert_eq!(decode_exact::<u32>(&[1, 2, 3]), Err(DecodeError::Truncated { at: 0, needed: 1 }));
        let mut reader = Reader::new(&[5, 0, 0, 0, 1]);
        assert_eq!(reader.byte_string("text", 9), Err(DecodeError::Truncated { at: 5, needed: 4 }));
    }

    #[test]
    fn byt_2_a_byte_too_many_is_refused() {
        assert_eq!(decode_exact::<u16>(&[1, 2, 3]), Err(DecodeError::Trailing { at: 2, extra: 1 }));
    }

    #[test]
    fn byt_3_a_count_above_its_limit_is_refused_before_anything_is_read() {
        let mut reader = Reader::new(&[255, 255, 255, 255]);
        assert_eq!(
            reader.count("list", 256, 40),
            Err(DecodeError::TooLong { what: "list", at: 0, found: 4_294_967_295, limit: 256 })
        );
    }

    #[test]
    fn byt_4_a_truth_value_is_zero_or_one() {
        assert_eq!(
            decode_exact::<bool>(&[2]),
            Err(DecodeError::UnknownKind { what: "truth value", at: 0, found: 2 })
        );
    }

    #[test]
    fn byt_5_a_text_is_utf_8() {
        let mut reader = Reader::new(&[1, 0, 0, 0, 0xff]);
        assert_eq!(reader.text("name", 8), Err(DecodeError::NotCanonical { what: "name", at: 5 }));
    }

    #[test]
    fn the_bytes_are_those_of_borsh() {
        let mut ours = Vec::new();
        7u8.encode(&mut ours);
        300u16.encode(&mut ours);
        70_000u32.encode(&mut ours);
        (u64::MAX - 1).encode(&mut ours);
        true.encode(&mut ours);
        encode_byte_string(b"abc", &mut ours);
        let theirs = borsh::to_vec(&(7u8, 300u16, 70_000u32, u64::MAX - 1, true, b"abc".to_vec()));
        assert_eq!(Some(ours), theirs.ok());
    }
}
