//! MessagePack, as far as messages about the connection need it.

use super::MessageError;
use rmp::decode::{MessageLen, read_array_len, read_bin_len, read_int, read_str_len};
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
        let length = read_bin_len(&mut self.0).map_err(|_| MessageError::Malformed)?;
        let bytes = self.take(below(length, 32)?)?;
        match bytes.len() {
            0 => Ok(None),
            _ => bytes.try_into().map(Some).map_err(|_| MessageError::Malformed),
        }
    }

    /// Reads over so many values, whatever they are.
    pub(super) fn skip(&mut self, values: u32) -> Result<(), MessageError> {
        for _ in 0..values {
            let length = MessageLen::with_limits(DEPTH_MAX, self.0.len())
                .incremental_len(self.0)
                .map_err(|_| MessageError::Malformed)?;
            self.take(length)?;
        }
        Ok(())
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
