//! Walks the records of one segment in order, with large sequential reads.

use std::io;
use std::sync::Arc;

use super::format::{FRAME_BYTES, Frame, Framing};
use crate::backend::File;

/// How much is read at once, in bytes. A longer record is read whole.
const READ_BYTES: usize = 1024 * 1024;

/// A place between two records of a segment.
#[derive(Debug)]
pub(super) struct Cursor {
    file: Arc<dyn File>,
    framing: Framing,
    offset: u32,
    end: u32,
    /// Bytes of the file, and where in it the current offset is.
    buffer: Vec<u8>,
    start: usize,
}

/// What a cursor met.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// An intact record; the cursor stands behind it.
    Record { offset: u32, bytes: &'a [u8] },
    /// The end.
    End,
    /// Bytes that are no intact record; the cursor stays before them.
    Bad { offset: u32 },
}

impl Cursor {
    /// A cursor at `offset`, which is a place between two records, that stops at `end`.
    pub(super) fn new(file: Arc<dyn File>, framing: Framing, offset: u32, end: u32) -> Self {
        Self { file, framing, offset, end, buffer: Vec::new(), start: 0 }
    }

    /// Goes to the next record.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        let offset = self.offset;
        if offset >= self.end {
            return Ok(Step::End);
        }
        let Some(frame) = self.read_frame()? else {
            return Ok(Step::Bad { offset });
        };
        let total = FRAME_BYTES as usize + frame.length as usize;
        self.fill(total)?;
        let start = self.start;
        let bytes = &self.buffer[start + FRAME_BYTES as usize..start + total];
        if !self.framing.is_intact(offset, frame, bytes) {
            return Ok(Step::Bad { offset });
        }
        self.start += total;
        self.offset += FRAME_BYTES + frame.length;
        Ok(Step::Record { offset, bytes })
    }

    /// The frame here, where there is one whose bytes end before the segment does.
    fn read_frame(&mut self) -> io::Result<Option<Frame>> {
        let Some(room) = (self.end - self.offset).checked_sub(FRAME_BYTES) else {
            return Ok(None);
        };
        self.fill(FRAME_BYTES as usize)?;
        let head = self.buffer[self.start..].first_chunk().expect("the buffer was filled this far");
        Ok(self.framing.decode(head).filter(|frame| frame.length <= room))
    }

    /// Has at least `length` bytes from the current offset on in the buffer; the segment has them.
    fn fill(&mut self, length: usize) -> io::Result<()> {
        let held = self.buffer.len() - self.start;
        if held >= length {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let left = (self.end - self.offset) as usize;
        self.buffer.resize(left.min(length.max(READ_BYTES)), 0);
        self.file.read_exact_at(&mut self.buffer[held..], u64::from(self.offset) + held as u64)
    }
}

/// The greatest `synced` of all intact records in `bytes`, which stand at `offset` of a segment and
/// need not begin with a record.
pub(super) fn find_synced(framing: Framing, offset: u32, bytes: &[u8]) -> Option<u64> {
    let mark = framing.mark();
    let mut greatest = None;
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let Some(skipped) = rest.windows(mark.len()).position(|window| window == mark) else {
            break;
        };
        at += skipped;
        match read_at(framing, offset, at, bytes) {
            Some(frame) => {
                greatest = greatest.max(Some(frame.synced));
                at += FRAME_BYTES as usize + frame.length as usize;
            }
            None => at += 1,
        }
    }
    greatest
}

/// The frame of an intact record that starts at index `at` of `bytes`.
fn read_at(framing: Framing, offset: u32, at: usize, bytes: &[u8]) -> Option<Frame> {
    let (head, rest) = bytes[at..].split_first_chunk()?;
    let frame = framing.decode(head)?;
    let place = offset.checked_add(u32::try_from(at).ok()?)?;
    framing.is_intact(place, frame, rest.get(..frame.length as usize)?).then_some(frame)
}
