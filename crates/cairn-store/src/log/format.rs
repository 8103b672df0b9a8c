//! The bytes of a segment: its header, and the frame around each record.

/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"CAIRNLOG";

/// The format that is written, and the newest that is read.
pub(super) const FORMAT: u32 = 1;

/// The length of the header of a segment, in bytes.
pub(super) const HEADER_BYTES: u32 = 68;

/// The length of what stands before the bytes of a record, in bytes.
pub(super) const FRAME_BYTES: u32 = 20;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The format of the segment.
    pub format: u32,
    /// The network whose log this is.
    pub identity: [u8; 32],
    /// The number in the file name.
    pub segment: u32,
    /// What makes the checksums of this segment its own, and its marks unforeseeable.
    pub salt: u64,
    /// Where the segment before this one ends, or 0 where there was none.
    pub previous_end: u64,
}

impl Header {
    /// The bytes of the header.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.format.to_le_bytes());
        bytes[12..44].copy_from_slice(&self.identity);
        bytes[44..48].copy_from_slice(&self.segment.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.salt.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.previous_end.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..64]);
        bytes[64..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header; none where magic or checksum are wrong. Every format keeps magic, format and
    /// checksum where they are, so a newer one is told from a damaged one.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Option<Self> {
        let checksum = u32::from_le_bytes(array(&bytes[64..]));
        if bytes[..8] != MAGIC || checksum != crc32c::crc32c(&bytes[..64]) {
            return None;
        }
        Some(Self {
            format: u32::from_le_bytes(array(&bytes[8..12])),
            identity: array(&bytes[12..44]),
            segment: u32::from_le_bytes(array(&bytes[44..48])),
            salt: u64::from_le_bytes(array(&bytes[48..56])),
            previous_end: u64::from_le_bytes(array(&bytes[56..64])),
        })
    }
}

/// What frames the records of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    segment: u32,
    salt: u64,
}

/// What stands before the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The length of the bytes.
    pub length: u32,
    /// How much of the segment was known to be durable when the record was written, in bytes.
    pub synced: u64,
    checksum: u32,
}

impl Framing {
    pub(super) fn new(segment: u32, salt: u64) -> Self {
        Self { segment, salt }
    }

    /// The four bytes that open a record. They differ from segment to segment and nobody outside
    /// can foresee them, so no block can carry bytes that look like records.
    pub(super) fn mark(self) -> [u8; 4] {
        crc32c::crc32c(&self.salt.to_le_bytes()).to_le_bytes()
    }

    /// The frame of a record that starts at `offset`; `length` is that of `bytes`.
    pub(super) fn encode(
        self,
        offset: u32,
        length: u32,
        synced: u64,
        bytes: &[u8],
    ) -> [u8; FRAME_BYTES as usize] {
        let mut frame = [0; FRAME_BYTES as usize];
        frame[..4].copy_from_slice(&self.mark());
        frame[4..8].copy_from_slice(&length.to_le_bytes());
        frame[8..16].copy_from_slice(&synced.to_le_bytes());
        frame[16..].copy_from_slice(&self.checksum(offset, length, synced, bytes).to_le_bytes());
        frame
    }

    /// Reads a frame; none where it does not open with the mark.
    pub(super) fn decode(self, bytes: &[u8; FRAME_BYTES as usize]) -> Option<Frame> {
        (bytes[..4] == self.mark()).then(|| Frame {
            length: u32::from_le_bytes(array(&bytes[4..8])),
            synced: u64::from_le_bytes(array(&bytes[8..16])),
            checksum: u32::from_le_bytes(array(&bytes[16..])),
        })
    }

    /// Whether `bytes` are those that were written with `frame` at `offset`.
    pub(super) fn is_intact(self, offset: u32, frame: Frame, bytes: &[u8]) -> bool {
        frame.checksum == self.checksum(offset, frame.length, frame.synced, bytes)
    }

    fn checksum(self, offset: u32, length: u32, synced: u64, bytes: &[u8]) -> u32 {
        let mut place = [0; 32];
        place[..8].copy_from_slice(&self.salt.to_le_bytes());
        place[8..12].copy_from_slice(&self.segment.to_le_bytes());
        place[12..20].copy_from_slice(&u64::from(offset).to_le_bytes());
        place[20..24].copy_from_slice(&length.to_le_bytes());
        place[24..].copy_from_slice(&synced.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
    }
}

/// A slice of known length as an array.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller cuts exactly this length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_not_otherwise() {
        let header = Header { format: FORMAT, identity: [7; 32], segment: 3, salt: 11, previous_end: 99 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped), None);
        }
    }

    #[test]
    fn a_record_is_bound_to_its_place_and_its_segment() {
        let framing = Framing::new(3, 11);
        let bytes = framing.encode(100, 5, 68, b"hello");
        let frame = framing.decode(&bytes).unwrap();
        assert_eq!((frame.length, frame.synced), (5, 68));
        assert!(framing.is_intact(100, frame, b"hello"));
        assert!(!framing.is_intact(101, frame, b"hello"));
        assert!(!framing.is_intact(100, frame, b"hellp"));
        assert!(!Framing::new(4, 11).is_intact(100, frame, b"hello"));
        assert_eq!(Framing::new(3, 12).decode(&bytes), None);
    }
}
