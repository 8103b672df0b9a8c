//! The append-only log: records in segment files, each durable once [`Log::sync`] returns.
//!
//! # Bytes
//!
//! A log `blocks` is the files `blocks-000000.log`, `blocks-000001.log` and so on, without gaps. All
//! integers are little-endian.
//!
//! ```text
//! segment:  header, then records to the end of the file
//!
//! header    0  magic "CAIRNLOG"            record    0  mark: crc32c(salt)
//!           8  format, u32 = 1                       4  length of the bytes, u32
//!          12  network identity, 32 bytes            8  synced, u64
//!          44  segment number, u32                  16  crc32c, u32, over
//!          48  salt, u64                                salt ‖ segment ‖ offset (u64) ‖
//!          56  end of the segment before, u64           length ‖ synced ‖ bytes
//!          64  crc32c of bytes 0..64, u32           20  the bytes
//!          68
//! ```
//!
//! `synced` is how much of the segment was known to be durable when the record was written. The salt
//! is drawn for each segment, so neither old sectors nor bytes that a peer chose pass for records.
//!
//! # Provided
//!
//! - What [`Log::sync`] acknowledged is there after a power cut, whole and in order; of what came
//!   later a beginning may be.
//! - A torn tail is told from damage. When the first bad record starts at `o`, later records are
//!   searched for: one that says `synced > o` proves that the bad one had been stored safely, and so
//!   does a durable end beyond `o` that the caller remembers. That is damage, and reported. So is
//!   a bad record in any segment but the last, since a segment is synced before the next is begun.
//!   Anything else is a torn tail, and cut.
//! - A full disk withdraws what was not synced, and the log goes on when there is room.
//!
//! # Not provided
//!
//! - Damage to what the last sync covered passes for a torn tail where the caller remembers no
//!   durable end.
//! - Any failure but a full disk ends the log until it is opened again: a failed sync is never
//!   repeated, because the second one may succeed without having stored anything.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

mod cursor;
mod format;
mod opening;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use opening::refuse_foreign;
pub use opening::{Opened, Torn};
pub use reader::{Reader, Scan};

use crate::backend::{Disk, File};
use crate::error::{StoreError, is_full};
use format::{FORMAT, FRAME_BYTES, Framing, HEADER_BYTES, Header};
use reader::{Segment, Shared};

/// The length of a segment, in bytes.
pub const SEGMENT_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// How many bytes wait in memory to be written at once.
pub const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Where a record starts, or where the next one will. Later positions are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the segment.
    pub segment: u32,
    /// The place in the segment, in bytes.
    pub offset: u32,
}

impl Position {
    /// The length of [`Self::to_bytes`].
    pub const BYTES: usize = 8;

    /// The position as bytes that sort as positions do.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        (u64::from(self.segment) << 32 | u64::from(self.offset)).to_be_bytes()
    }

    /// The position that [`Self::to_bytes`] gave these bytes for.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { segment: u32::from_be_bytes([a, b, c, d]), offset: u32::from_be_bytes([e, f, g, h]) }
    }

    /// The place right behind a record of `length` bytes that starts here.
    ///
    /// # Panics
    ///
    /// If no segment is so long.
    #[must_use]
    pub fn behind_record(self, length: usize) -> Self {
        let end = u32::try_from(length).ok().and_then(|length| {
            let start = self.offset.checked_add(FRAME_BYTES)?;
            start.checked_add(length)
        });
        Self { offset: end.expect("a record fits into its segment"), ..self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// How large a log makes its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The length at which a new segment is begun, in bytes.
    pub segment_bytes: u32,
    /// How many bytes wait in memory to be written at once. A longer record is written at once.
    pub buffer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES_MAX, buffer_bytes: BUFFER_BYTES_MAX }
    }
}

/// A log that is open for appending. One thread owns it; others read through [`Log::reader`].
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    settings: Settings,
    identity: [u8; 32],
    /// The last segment.
    segment: u32,
    salt: u64,
    file: Arc<dyn File>,
    /// How much of the last segment is durable, and how much was given to the file, in bytes.
    synced: u32,
    written: u32,
    /// Whole records that follow what was written.
    buffer: Vec<u8>,
    /// Whether the last segment takes no more records, because its successor may exist already.
    closed: bool,
    poisoned: bool,
}

impl Log {
    /// Opens the log `name` in a directory, or creates it. `known_durable` is an earlier
    /// [`Log::end`] that was remembered elsewhere after a sync: only what follows it in the last
    /// segment is checked then. Without it everything is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`], [`StoreError::WrongNetwork`] and [`StoreError::NewerFormat`], and
    /// then nothing was changed; or the disk fails.
    pub fn open(
        disk: Arc<dyn Disk>,
        name: &str,
        identity: [u8; 32],
        settings: Settings,
        known_durable: Option<Position>,
    ) -> Result<(Self, Opened), StoreError> {
        opening::open(disk, name, identity, settings, known_durable)
    }

    /// Adds a record and says where it starts. It is durable, and visible to readers, only once
    /// [`Log::sync`] has returned.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Full`] everything from [`Log::end`] on is withdrawn: this record, and
    /// earlier ones for which neither [`Log::write_through`] nor [`Log::sync`] was called.
    /// [`StoreError::RecordTooLong`] changes nothing.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Position, StoreError> {
        self.check_usable()?;
        let (length, total) = self.measure(bytes)?;
        if self.closed || self.tail().saturating_add(total) > self.settings.segment_bytes {
            self.sync()?;
            self.begin_segment()?;
        }
        let offset = self.tail();
        let framing = Framing::new(self.segment, self.salt);
        let frame = framing.encode(offset, length, u64::from(self.synced), bytes);
        if self.buffer.len() + total as usize > self.settings.buffer_bytes {
            self.write_buffer()?;
        }
        if total as usize > self.settings.buffer_bytes {
            let start = self.written;
            self.write(&frame, start)?;
            self.write(bytes, start)?;
        } else {
            self.buffer.extend_from_slice(&frame);
            self.buffer.extend_from_slice(bytes);
        }
        Ok(Position { segment: self.segment, offset })
    }

    /// Gives what waits in memory to the file, so that there is room for it and only the sync is left.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn write_through(&mut self) -> Result<(), StoreError> {
        self.check_usable()?;
        self.write_buffer()
    }

    /// Makes all records durable and shows them to readers.
    ///
    /// # Errors
    ///
    /// As [`Log::append`]; after any other error than [`StoreError::Full`] the log must be opened again.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.check_usable()?;
        self.write_buffer()?;
        if self.written > self.synced {
            if let Err(source) = self.file.sync() {
                return Err(self.poison("sync", source));
            }
            self.synced = self.written;
            self.shared.set_end(self.segment, self.synced);
        }
        Ok(())
    }

    /// Whether something was appended since the last sync.
    pub(crate) fn needs_sync(&self) -> bool {
        self.tail() > self.synced
    }

    /// The bytes of a record, synced or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRecord`] where none starts there, [`StoreError::Damaged`] where its bytes are
    /// not those that were written.
    pub fn read(&self, position: Position) -> Result<Vec<u8>, StoreError> {
        if position.segment != self.segment || position.offset < self.synced {
            return self.shared.read(position);
        }
        let framing = Framing::new(self.segment, self.salt);
        if position.offset < self.written {
            return reader::read_record(&*self.file, framing, position, self.written, &self.path());
        }
        let start = (position.offset - self.written) as usize;
        let record = self.buffer.get(start..).unwrap_or_default();
        let Some((head, rest)) = record.split_first_chunk() else {
            return Err(StoreError::NoRecord { position });
        };
        let bytes = framing.decode(head).and_then(|frame| rest.get(..frame.length as usize));
        Ok(bytes.ok_or(StoreError::NoRecord { position })?.to_vec())
    }

    /// A handle that reads what is synced, from any thread.
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.shared))
    }

    /// The synced records from `from` on, in order. `from` is the position of one, or the end of
    /// the log at some time.
    pub fn scan(&self, from: Position) -> Scan {
        self.reader().scan(from)
    }

    /// Where the durable part ends: right behind the last synced record.
    pub fn end(&self) -> Position {
        Position { segment: self.segment, offset: self.synced }
    }

    /// Where the first record starts, or will.
    pub fn start(&self) -> Position {
        self.shared.start()
    }

    /// The most bytes that a record can have.
    pub fn record_bytes_max(&self) -> usize {
        self.settings.segment_bytes.saturating_sub(HEADER_BYTES + FRAME_BYTES) as usize
    }

    /// How many bytes the log takes, those that are not synced included.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes() + u64::from(self.tail() - self.synced)
    }

    /// How many durable bytes follow a position, the headers of segments included.
    pub fn bytes_since(&self, position: Position) -> u64 {
        self.shared.bytes_since(position)
    }

    /// The file of a position.
    pub fn path_of(&self, position: Position) -> PathBuf {
        self.shared.path(position.segment)
    }

    /// Puts `records` in the place of all earlier ones and gives room back. A crash on the way
    /// leaves the old records, or the old ones followed by the first of the new, or all of the new
    /// after the last of the old: the caller tells doubles by their content.
    ///
    /// # Errors
    ///
    /// As [`Log::append`] and [`Log::sync`]; the old records are still there then.
    pub fn restart<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Position>, StoreError> {
        self.sync()?;
        self.begin_segment()?;
        let first = self.segment;
        let positions = records.into_iter().map(|bytes| self.append(bytes)).collect::<Result<_, _>>()?;
        self.sync()?;
        self.remove_before(first)?;
        Ok(positions)
    }

    /// Removes all segments before number `segment`, oldest first. The last one always stays.
    ///
    /// # Errors
    ///
    /// Where a file cannot be removed; those after it stay.
    pub fn remove_before(&mut self, segment: u32) -> Result<(), StoreError> {
        while let Some(number) = self.shared.drop_first(segment.min(self.segment)) {
            // Each is gone for good before the next goes, so that no cut leaves a gap.
            let Shared { disk, .. } = &*self.shared;
            disk.remove(&self.shared.file_name(number))
                .and_then(|()| disk.sync())
                .map_err(|source| StoreError::io("remove", &self.shared.path(number), source))?;
        }
        Ok(())
    }

    /// The length of the bytes, and that of the whole record.
    fn measure(&self, bytes: &[u8]) -> Result<(u32, u32), StoreError> {
        let maximum = self.record_bytes_max();
        match u32::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= maximum => Ok((length, length + FRAME_BYTES)),
            _ => Err(StoreError::RecordTooLong { found: bytes.len(), maximum }),
        }
    }

    /// Where the next record goes.
    fn tail(&self) -> u32 {
        let waiting = u32::try_from(self.buffer.len()).expect("the buffer is part of one segment");
        self.written + waiting
    }

    fn path(&self) -> PathBuf {
        self.shared.path(self.segment)
    }

    fn check_usable(&self) -> Result<(), StoreError> {
        if self.poisoned { Err(StoreError::Poisoned { path: self.path() }) } else { Ok(()) }
    }

    fn write_buffer(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write(&buffer, self.written);
        self.buffer = buffer;
        self.buffer.clear();
        result
    }

    /// Writes at the end of the file; where there is no room, goes back to `start`.
    fn write(&mut self, bytes: &[u8], start: u32) -> Result<(), StoreError> {
        match self.file.write_all_at(bytes, u64::from(self.written)) {
            Ok(()) => {
                self.written += u32::try_from(bytes.len()).expect("a record fits into its segment");
                Ok(())
            }
            Err(source) if is_full(&source) => self.withdraw(start),
            Err(source) => Err(self.poison("write", source)),
        }
    }

    /// Goes back to `start`. That the rest is gone is made durable too: else a power cut could bring
    /// back records of which the caller was told that they do not count.
    fn withdraw(&mut self, start: u32) -> Result<(), StoreError> {
        self.buffer.clear();
        self.written = start;
        let cut = self.file.set_length(u64::from(start)).and_then(|()| self.file.sync());
        match cut {
            Ok(()) => {
                self.synced = start;
                self.shared.set_end(self.segment, self.synced);
                Err(StoreError::Full { path: self.path() })
            }
            Err(source) => Err(self.poison("cut", source)),
        }
    }

    fn poison(&mut self, what: &'static str, source: std::io::Error) -> StoreError {
        self.buffer.clear();
        self.written = self.synced;
        self.poisoned = true;
        StoreError::Io { what, path: self.path(), source }
    }

    /// Makes the next segment durable, with nothing in it, and goes on there. The one before must
    /// be synced. Without room the log stays in the segment before.
    fn begin_segment(&mut self) -> Result<(), StoreError> {
        let number = self.segment.checked_add(1).expect("2^32 segments hold 2^58 bytes");
        let previous_end = u64::from(self.synced);
        let header = self.shared.draw_header(self.identity, number, previous_end);
        self.closed = true;
        match create_segment(&*self.shared.disk, &self.shared.file_name(number), &header) {
            Ok(file) => {
                self.shared.add(number, Segment { salt: header.salt, end: HEADER_BYTES }, &file);
                self.file = file;
                self.segment = number;
                self.salt = header.salt;
                self.synced = HEADER_BYTES;
                self.written = HEADER_BYTES;
                self.closed = false;
                Ok(())
            }
            Err(CreateError::Refused(source)) if is_full(&source) => {
                Err(StoreError::Full { path: self.shared.path(number) })
            }
            Err(CreateError::Refused(source) | CreateError::NotSynced(source)) => {
                Err(self.poison("begin a segment after", source))
            }
        }
    }
}

impl Shared {
    fn draw_header(&self, identity: [u8; 32], segment: u32, previous_end: u64) -> Header {
        Header { format: FORMAT, identity, segment, salt: self.disk.draw_salt(), previous_end }
    }
}

/// Why a segment could not be created.
enum CreateError {
    /// An operation that may be tried again.
    Refused(std::io::Error),
    /// The sync at its end, which may not.
    NotSynced(std::io::Error),
}

impl CreateError {
    fn into_source(self) -> std::io::Error {
        match self {
            Self::Refused(source) | Self::NotSynced(source) => source,
        }
    }
}

/// Makes a segment durable that has only its header, in the place of what an earlier attempt left.
fn create_segment(disk: &dyn Disk, name: &str, header: &Header) -> Result<Arc<dyn File>, CreateError> {
    let file = disk.open_or_create(name).map_err(CreateError::Refused)?;
    let write = file.set_length(0).and_then(|()| file.write_all_at(&header.encode(), 0));
    write.map_err(CreateError::Refused)?;
    file.sync().and_then(|()| disk.sync()).map_err(CreateError::NotSynced)?;
    Ok(file)
}
