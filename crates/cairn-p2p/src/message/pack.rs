//! MessagePack, as far as messages about the connection need it.

use super::MessageError;
use rmp::Marker;
use rmp::decode::{read_array_len, read_bin_len, read_int, read_marker, read_str_len};
use rmp::encode::{write_array_len, write_bin, write_str, write_uint};

/// How deep a field may be nested that is read over.
const DEPTH_MAX: usize = 16;

/// Why writing cannot fail.
const VEC: &str = "a vector takes all bytes";

/// Writes one body.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A body that is an array of so many fields.
    pub(super) fn array(fields: usize) -> Self {
        let mut writer = Self(Vec::new());
        writer.list(fields);
        writer
    }

    pub(super) fn list(&mut self, items: usize) {
        let items = u32::try_from(items).expect("lists of links have at most some hundred items");
        write_array_len(&mut self.0, items).expect(VEC);
    }

    pub(super) fn number(&mut self, number: u64) {
        write_uint(&mut self.0, number).expect(VEC);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        write_bin(&mut self.0, bytes).expect(VEC);
    }

    pub(super) fn text(&mut self, text: &str) {
        write_str(&mut self.0, text).expect(VEC);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one body. Nothing is allocated: texts and bytes are parts of it.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// Begins an array with at least so many fields; how many more follow them, to be read over.
    pub(super) fn fields(&mut self, known: u32) -> Result<u32, MessageError> {
        let count = read_array_len(&mut self.0).map_err(|_| MessageError::Malformed)?;
        count.checked_sub(known).ok_or(MessageError::Malformed)
    }

    /// Begins a list of at most so many items; how many there are.
    pub(super) fn list(&mut self, max: usize) -> Result<usize, MessageError> {
        let count = read_array_len(&mut self.0).map_err(|_| MessageError::Malformed)?;
        below(count, max)
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self) -> Result<T, MessageError> {
        let number: u64 = read_int(&mut self.0).map_err(|_| MessageError::Malformed)?;
        T::try_from(number).map_err(|_| MessageError::Malformed)
    }

    pub(super) fn text(&mut self, max: usize) -> Result<&'a str, MessageError> {
        let length = read_str_len(&mut self.0).map_err(|_| MessageError::Malformed)?;
        let bytes = self.take(below(length, max)?)?;
        std::str::from_utf8(bytes).map_err(|_| MessageError::Malformed)
    }

    /// Exactly 32 bytes.
    pub(super) fn bytes(&mut self) -> Result<[u8; 32], MessageError> {
        self.bytes_or_none()?.ok_or(MessageError::Malformed)
    }

    /// Exactly 32 bytes, or none at all.
    pub(super) fn bytes_or_none(&mut self) -> Result<Option<[u8; 32]>, MessageError> {
        match read_bin_len(&mut self.0) {
            Ok(0) => Ok(None),
            Ok(32) => Ok(self.take(32)?.try_into().ok()),
            Ok(_) | Err(_) => Err(MessageError::Malformed),
        }
    }

    /// Reads over so many values, whatever they are.
    ///
    /// `rmp` has a reader of lengths, which in 0.8.15 panics at extension types.
    pub(super) fn skip(&mut self, values: u32) -> Result<(), MessageError> {
        // How many values are left to be read over, of each array and map that is open.
        let mut open = vec![u64::from(values)];
        while let Some(left) = open.last_mut() {
            let Some(fewer) = left.checked_sub(1) else {
                open.pop();
                continue;
            };
            *left = fewer;
            if let Some(inner) = self.skip_one()? {
                if open.len() > DEPTH_MAX {
                    return Err(MessageError::Malformed);
                }
                open.push(inner);
            }
        }
        Ok(())
    }

    /// Reads over one value, or over the head of an array or a map: how many values are in it.
    fn skip_one(&mut self) -> Result<Option<u64>, MessageError> {
        let (length, inner) = match read_marker(&mut self.0).map_err(|_| MessageError::Malformed)? {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::False | Marker::True => (0, None),
            Marker::U8 | Marker::I8 => (1, None),
            Marker::U16 | Marker::I16 => (2, None),
            Marker::U32 | Marker::I32 | Marker::F32 => (4, None),
            Marker::U64 | Marker::I64 | Marker::F64 => (8, None),
            Marker::FixStr(length) => (length.into(), None),
            Marker::Str8 | Marker::Bin8 => (self.big_endian(1)?, None),
            Marker::Str16 | Marker::Bin16 => (self.big_endian(2)?, None),
            Marker::Str32 | Marker::Bin32 => (self.big_endian(4)?, None),
            // An extension has a byte for its type before its data.
            Marker::FixExt1 => (2, None),
            Marker::FixExt2 => (3, None),
            Marker::FixExt4 => (5, None),
            Marker::FixExt8 => (9, None),
            Marker::FixExt16 => (17, None),
            Marker::Ext8 => (self.big_endian(1)? + 1, None),
            Marker::Ext16 => (self.big_endian(2)? + 1, None),
            Marker::Ext32 => (self.big_endian(4)? + 1, None),
            Marker::FixArray(count) => (0, Some(count.into())),
            Marker::Array16 => (0, Some(self.big_endian(2)?)),
            Marker::Array32 => (0, Some(self.big_endian(4)?)),
            Marker::FixMap(count) => (0, Some(2 * u64::from(count))),
            Marker::Map16 => (0, Some(2 * self.big_endian(2)?)),
            Marker::Map32 => (0, Some(2 * self.big_endian(4)?)),
            Marker::Reserved => return Err(MessageError::Malformed),
        };
        self.take(usize::try_from(length).map_err(|_| MessageError::Malformed)?)?;
        Ok(inner)
    }

    /// The number that so many bytes are, at most four.
    fn big_endian(&mut self, bytes: usize) -> Result<u64, MessageError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), MessageError> {
        if self.0.is_empty() { Ok(()) } else { Err(MessageError::Malformed) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MessageError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(MessageError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn below(found: u32, max: usize) -> Result<usize, MessageError> {
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found <= max { Ok(found) } else { Err(MessageError::TooLong { found, max }) }
}
