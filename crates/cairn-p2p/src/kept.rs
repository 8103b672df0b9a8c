//! Small files that a node keeps for its next start: a tag, what was kept, a checksum.
//!
//! The checksum is against damage, not against whoever may write to the node's directory. A file that is
//! damaged is good for nothing, and the owner begins anew.

use siphasher::sip::SipHasher24;
use std::hash::Hasher as _;

/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 8;

/// A kept file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// It has another tag: another kind of file, or one of a later version.
    #[error("the file is of another kind or of a later version")]
    Kind,
    /// It is longer than such a file can be.
    #[error("the file has {found} bytes, at most {max} are possible")]
    TooLong {
        /// Its length.
        found: usize,
        /// The longest that can be written.
        max: usize,
    },
    /// Its checksum does not fit, or what is in it makes no sense.
    #[error("the file is damaged")]
    Damaged,
}

/// The bytes of a file.
pub(crate) fn seal(tag: &[u8; 16], contents: &[u8]) -> Vec<u8> {
    let mut bytes = [&tag[..], contents].concat();
    let checksum = checksum(&bytes);
    bytes.extend(checksum);
    bytes
}

/// The contents of a file.
pub(crate) fn open<'a>(tag: &[u8; 16], bytes: &'a [u8], bytes_max: usize) -> Result<Fields<'a>, KeptError> {
    if bytes.len() > bytes_max {
        return Err(KeptError::TooLong { found: bytes.len(), max: bytes_max });
    }
    let contents = bytes.strip_prefix(tag).ok_or(KeptError::Kind)?;
    let (_, kept) = contents.split_last_chunk::<CHECKSUM_BYTES>().ok_or(KeptError::Damaged)?;
    let covered = &bytes[..bytes.len() - CHECKSUM_BYTES];
    if checksum(covered) != *kept {
        return Err(KeptError::Damaged);
    }
    Ok(Fields(&covered[tag.len()..]))
}

/// The longest file with contents of so many bytes.
pub(crate) const fn bytes_max(contents: usize) -> usize {
    16 + contents + CHECKSUM_BYTES
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

/// What is left to read: little-endian numbers and bytes.
#[derive(Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], KeptError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(KeptError::Damaged)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, KeptError> {
        self.bytes().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, KeptError> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, KeptError> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, KeptError> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// How many of something follow, at most `max`.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, KeptError> {
        let count = usize::try_from(self.u32()?).map_err(|_| KeptError::Damaged)?;
        if count <= max { Ok(count) } else { Err(KeptError::Damaged) }
    }

    /// Nothing may be left.
    pub(crate) fn finish(&self) -> Result<(), KeptError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeptError::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &[u8; 16] = b"cairn/test/1\0\0\0\0";

    #[test]
    fn a_file_with_any_changed_or_missing_byte_is_refused() {
        let good = seal(TAG, &[5; 20]);
        assert_eq!(open(TAG, &good, 44).unwrap().0, [5; 20]);
        assert_eq!(bytes_max(20), good.len());
        assert_eq!(open(TAG, &good, 43).unwrap_err(), KeptError::TooLong { found: 44, max: 43 });
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0x10;
            let expected = if at < 16 { KeptError::Kind } else { KeptError::Damaged };
            assert_eq!(open(TAG, &changed, 44).unwrap_err(), expected, "byte {at}");
            let cut = open(TAG, &good[..at], 44).unwrap_err();
            assert_eq!(cut, expected, "{at} bytes");
        }
    }
}
