//! Reading what is synced, from any thread, while the owner of the log appends.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Position;
use super::cursor::{Cursor, Step};
use super::format::{FRAME_BYTES, Framing, HEADER_BYTES};
use crate::backend::{Disk, File};
use crate::error::{Damage, StoreError};

/// How many segments are held open for reading.
const OPEN_FILES_MAX: usize = 32;

/// Reads the synced records of a log. Clones read the same log.
#[derive(Clone, Debug)]
pub struct Reader(pub(super) Arc<Shared>);

impl Reader {
    /// The bytes of a synced record.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRecord`] where none starts there, [`StoreError::Damaged`] where its bytes are
    /// not those that were written.
    pub fn read(&self, position: Position) -> Result<Vec<u8>, StoreError> {
        self.0.read(position)
    }

    /// The first `bytes` bytes of a synced record, which no checksum vouches for: for who only wants to know
    /// where else to look.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRecord`] where no record of that length can start there.
    pub fn peek(&self, position: Position, bytes: usize) -> Result<Vec<u8>, StoreError> {
        self.0.peek(position, bytes)
    }

    /// The synced records from `from` on, in order. `from` is the position of one, or the end of
    /// the log at some time.
    pub fn scan(&self, from: Position) -> Scan {
        Scan { shared: Arc::clone(&self.0), next: Some(from), cursor: None }
    }

    /// Where the durable part ends: right behind the last synced record.
    pub fn end(&self) -> Position {
        self.0.end()
    }
}

/// The records of a log in order, up to the durable end at the time when each segment is entered.
/// After an error there is nothing more.
#[derive(Debug)]
pub struct Scan {
    shared: Arc<Shared>,
    /// Where to go on; none when all is read.
    next: Option<Position>,
    cursor: Option<Cursor>,
}

impl Scan {
    fn advance(&mut self) -> Result<Option<(Position, Vec<u8>)>, StoreError> {
        while let Some(at) = self.next {
            let mut cursor = match self.cursor.take() {
                Some(cursor) => cursor,
                None => self.shared.cursor(at)?,
            };
            let fail = |source| StoreError::io("read", &self.shared.path(at.segment), source);
            match cursor.step().map_err(fail)? {
                Step::Record { offset, bytes } => {
                    let record = (Position { segment: at.segment, offset }, bytes.to_vec());
                    self.cursor = Some(cursor);
                    return Ok(Some(record));
                }
                Step::Bad { offset } => {
                    return Err(damaged(&self.shared.path(at.segment), offset, Damage::Record));
                }
                Step::End => {
                    let next = at.segment.checked_add(1).filter(|number| self.shared.has(*number));
                    self.next = next.map(|segment| Position { segment, offset: HEADER_BYTES });
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Scan {
    type Item = Result<(Position, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.next = None;
        }
        item
    }
}

/// What the owner of a log and its readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    name: String,
    contents: Mutex<Contents>,
}

/// The segments, and those of their files that are open, the one used last at the back.
#[derive(Debug, Default)]
struct Contents {
    segments: BTreeMap<u32, Segment>,
    files: VecDeque<(u32, Arc<dyn File>)>,
}

/// What is known about a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) salt: u64,
    /// Where its durable records end, in bytes.
    pub(super) end: u32,
}

impl Shared {
    pub(super) fn new(disk: Arc<dyn Disk>, name: &str) -> Self {
        Self { disk, name: name.to_owned(), contents: Mutex::default() }
    }

    pub(super) fn file_name(&self, segment: u32) -> String {
        file_name(&self.name, segment)
    }

    pub(super) fn path(&self, segment: u32) -> PathBuf {
        self.disk.path().join(self.file_name(segment))
    }

    /// Adds a segment behind the others.
    pub(super) fn add(&self, number: u32, segment: Segment, file: &Arc<dyn File>) {
        let mut contents = self.lock();
        contents.segments.insert(number, segment);
        contents.keep_open(number, Arc::clone(file));
    }

    pub(super) fn set_end(&self, number: u32, end: u32) {
        if let Some(segment) = self.lock().segments.get_mut(&number) {
            segment.end = end;
        }
    }

    /// Forgets the first segment where its number is below `limit`, and says which it was.
    pub(super) fn drop_first(&self, limit: u32) -> Option<u32> {
        let mut contents = self.lock();
        let number = *contents.segments.first_key_value()?.0;
        if number >= limit {
            return None;
        }
        contents.segments.remove(&number);
        contents.files.retain(|(open, _)| *open != number);
        Some(number)
    }

    pub(super) fn start(&self) -> Position {
        let first = self.lock().segments.first_key_value().map_or(0, |(number, _)| *number);
        Position { segment: first, offset: HEADER_BYTES }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.lock().segments.values().map(|segment| u64::from(segment.end)).sum()
    }

    /// How many bytes lie behind a position.
    pub(super) fn bytes_since(&self, position: Position) -> u64 {
        let contents = self.lock();
        let after = contents.segments.range(position.segment..).map(|(_, segment)| u64::from(segment.end));
        after.sum::<u64>().saturating_sub(u64::from(position.offset))
    }

    pub(super) fn read(&self, position: Position) -> Result<Vec<u8>, StoreError> {
        let (file, segment) = self.segment_of(position)?;
        let framing = Framing::new(position.segment, segment.salt);
        read_record(&*file, framing, position, segment.end, &self.path(position.segment))
    }

    fn peek(&self, position: Position, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let (file, segment) = self.segment_of(position)?;
        let start = u64::from(position.offset) + u64::from(FRAME_BYTES);
        let length = u64::try_from(bytes).unwrap_or(u64::MAX);
        if start.saturating_add(length) > u64::from(segment.end) {
            return Err(StoreError::NoRecord { position });
        }
        let mut head = vec![0; bytes];
        let read = file.read_exact_at(&mut head, start);
        read.map_err(|source| StoreError::io("read", &self.path(position.segment), source))?;
        Ok(head)
    }

    fn end(&self) -> Position {
        let contents = self.lock();
        let (segment, offset) = contents.segments.last_key_value().map_or((0, 0), |(n, s)| (*n, s.end));
        Position { segment, offset }
    }

    fn has(&self, segment: u32) -> bool {
        self.lock().segments.contains_key(&segment)
    }

    fn cursor(&self, at: Position) -> Result<Cursor, StoreError> {
        let (file, segment) = self.segment_of(at)?;
        Ok(Cursor::new(file, Framing::new(at.segment, segment.salt), at.offset, segment.end))
    }

    /// The segment that `position` lies in, or at the end of.
    fn segment_of(&self, position: Position) -> Result<(Arc<dyn File>, Segment), StoreError> {
        let number = position.segment;
        let mut contents = self.lock();
        let segment = contents.segments.get(&number).copied();
        let segment = segment
            .filter(|segment| (HEADER_BYTES..=segment.end).contains(&position.offset))
            .ok_or(StoreError::NoRecord { position })?;
        let file = match contents.take_open(number) {
            Some(file) => file,
            None => {
                self.disk.open(&self.file_name(number)).map_err(|source| self.cannot_open(number, source))?
            }
        };
        contents.keep_open(number, Arc::clone(&file));
        Ok((file, segment))
    }

    fn cannot_open(&self, segment: u32, source: io::Error) -> StoreError {
        let path = self.path(segment);
        if source.kind() == io::ErrorKind::NotFound {
            StoreError::Damaged { path, offset: 0, damage: Damage::Missing }
        } else {
            StoreError::io("open", &path, source)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Nothing under the lock can panic halfway through a change.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn take_open(&mut self, number: u32) -> Option<Arc<dyn File>> {
        let at = self.files.iter().position(|(open, _)| *open == number)?;
        self.files.remove(at).map(|(_, file)| file)
    }

    fn keep_open(&mut self, number: u32, file: Arc<dyn File>) {
        if self.files.len() == OPEN_FILES_MAX {
            self.files.pop_front();
        }
        self.files.push_back((number, file));
    }
}

/// The name of a segment file.
pub(super) fn file_name(name: &str, segment: u32) -> String {
    format!("{name}-{segment:06}.log")
}

/// The bytes of the record at `position`, in a segment of which the first `end` bytes are records.
pub(super) fn read_record(
    file: &dyn File,
    framing: Framing,
    position: Position,
    end: u32,
    path: &Path,
) -> Result<Vec<u8>, StoreError> {
    let fail = |source: io::Error| StoreError::io("read", path, source);
    let start = position.offset;
    let Some(room) = end.checked_sub(start).and_then(|room| room.checked_sub(FRAME_BYTES)) else {
        return Err(StoreError::NoRecord { position });
    };
    let mut head = [0; FRAME_BYTES as usize];
    file.read_exact_at(&mut head, u64::from(start)).map_err(fail)?;
    let Some(frame) = framing.decode(&head).filter(|frame| frame.length <= room) else {
        return Err(damaged(path, start, Damage::Record));
    };
    let mut bytes = vec![0; frame.length as usize];
    file.read_exact_at(&mut bytes, u64::from(start) + u64::from(FRAME_BYTES)).map_err(fail)?;
    if framing.is_intact(start, frame, &bytes) {
        Ok(bytes)
    } else {
        Err(damaged(path, start, Damage::Record))
    }
}

/// The error for wrong bytes at `offset` of a file.
pub(super) fn damaged(path: &Path, offset: u32, damage: Damage) -> StoreError {
    StoreError::Damaged { path: path.to_path_buf(), offset: u64::from(offset), damage }
}
