//! Opening a log: what is whole is kept, a torn tail is cut, damage is reported.

use std::sync::Arc;

use super::cursor::{Cursor, Step, find_synced};
use super::format::{FORMAT, Framing, HEADER_BYTES, Header};
use super::reader::{Segment, Shared, damaged, file_name};
use super::{CreateError, Log, Position, Settings, create_segment};
use crate::backend::{Disk, File};
use crate::error::{Damage, StoreError};

/// What was found when a log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where the first record starts, or will. Its segment is not 0 where earlier ones were removed.
    pub start: Position,
    /// Where the durable part ends: right behind the last record.
    pub end: Position,
    /// The torn tail that was cut, where there was one.
    pub torn: Option<Torn>,
}

/// A tail that a crash left and that was never acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Where it began.
    pub position: Position,
    /// How many bytes were cut.
    pub bytes: u64,
}

/// A segment of this log.
struct Found {
    number: u32,
    file: Arc<dyn File>,
    length: u32,
    header: Header,
}

/// Opens or creates a log; see [`Log::open`].
pub(super) fn open(
    disk: Arc<dyn Disk>,
    name: &str,
    identity: [u8; 32],
    settings: Settings,
    known_durable: Option<Position>,
) -> Result<(Log, Opened), StoreError> {
    // Whoever wrote last may have been killed before it synced the directory.
    disk.sync().map_err(|source| StoreError::io("sync", disk.path(), source))?;
    let shared = Shared::new(disk, name);
    let numbers = find_numbers(&shared, name)?;
    check_numbers(&shared, &numbers, known_durable)?;

    let mut last: Option<Found> = None;
    let mut torn_header: Option<Torn> = None;
    for number in numbers {
        if let Some(torn) = torn_header {
            return Err(damaged(&shared.path(torn.position.segment), 0, Damage::Header));
        }
        match find_segment(&shared, number, identity)? {
            Err(torn) => torn_header = Some(torn),
            Ok(found) => {
                if let Some(previous) = &last {
                    add_closed(&shared, previous, &found, known_durable)?;
                }
                last = Some(found);
            }
        }
    }
    let (found, end, torn, closed) = match (last, torn_header) {
        (Some(found), None) => {
            let torn = repair_tail(&shared, &found, known_durable)?;
            let end = torn.map_or(found.length, |torn| torn.position.offset);
            (found, end, torn, false)
        }
        // The torn segment is begun again with the next record: a full disk can be opened and read.
        (Some(found), Some(torn)) => {
            check_header_may_be_torn(&shared, torn.position.segment, known_durable)?;
            check_whole(&shared, &found, known_durable)?;
            let end = found.length;
            (found, end, Some(torn), true)
        }
        (None, torn) => {
            let number = torn.map_or(0, |torn| torn.position.segment);
            check_header_may_be_torn(&shared, number, known_durable)?;
            (create_first(&shared, number, identity)?, HEADER_BYTES, torn, false)
        }
    };
    shared.add(found.number, Segment { salt: found.header.salt, end }, &found.file);
    let log = Log {
        shared: Arc::new(shared),
        settings,
        identity,
        segment: found.number,
        salt: found.header.salt,
        file: found.file,
        synced: end,
        written: end,
        buffer: Vec::new(),
        closed,
        poisoned: false,
    };
    let torn = torn.filter(|torn| torn.bytes > 0);
    let opened = Opened { start: log.start(), end: log.end(), torn };
    Ok((log, opened))
}

/// Refuses a log that a newer version of the program wrote, or that is another network's, before
/// anything beside it is touched. The newest segment says it; where a crash tore its header, the one
/// before does.
pub(crate) fn refuse_foreign(disk: &Arc<dyn Disk>, name: &str, identity: [u8; 32]) -> Result<(), StoreError> {
    let shared = Shared::new(Arc::clone(disk), name);
    for number in find_numbers(&shared, name)?.into_iter().rev().take(2) {
        let found = find_segment(&shared, number, identity);
        // Whatever else is wrong is judged when the log is opened.
        if let Err(error @ (StoreError::NewerFormat { .. } | StoreError::WrongNetwork { .. })) = found {
            return Err(error);
        }
    }
    Ok(())
}

/// The numbers of the segment files, in order.
fn find_numbers(shared: &Shared, name: &str) -> Result<Vec<u32>, StoreError> {
    let disk = &shared.disk;
    let names = disk.list().map_err(|source| StoreError::io("list", disk.path(), source))?;
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|file| {
            let number = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".log")?.parse().ok()?;
            // Other ways to write the same number are not ours.
            (*file == file_name(name, number)).then_some(number)
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Checks that no segment is missing, nor the one that the caller remembers.
fn check_numbers(
    shared: &Shared,
    numbers: &[u32],
    known_durable: Option<Position>,
) -> Result<(), StoreError> {
    let missing = |number| Err(damaged(&shared.path(number), 0, Damage::Missing));
    for (before, number) in numbers.iter().zip(numbers.iter().skip(1)) {
        if number - before != 1 {
            return missing(before + 1);
        }
    }
    match known_durable {
        Some(position) if !numbers.contains(&position.segment) => missing(position.segment),
        _ => Ok(()),
    }
}

/// Opens a segment and checks that it is one of this log, or says that its header is torn.
fn find_segment(shared: &Shared, number: u32, identity: [u8; 32]) -> Result<Result<Found, Torn>, StoreError> {
    let path = shared.path(number);
    let fail = |source| StoreError::io("read", &path, source);
    let file = shared.disk.open(&shared.file_name(number)).map_err(fail)?;
    let bytes = file.length().map_err(fail)?;
    let Ok(length) = u32::try_from(bytes) else {
        let damage = Damage::Length { found: bytes, expected: u64::from(u32::MAX) };
        return Err(damaged(&path, u32::MAX, damage));
    };
    let mut header = None;
    if length >= HEADER_BYTES {
        let mut bytes = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut bytes, 0).map_err(fail)?;
        header = Header::decode(&bytes);
    }
    let Some(header) = header else {
        // A header is synced before anything follows it, so a torn one has nothing behind it.
        if length <= HEADER_BYTES {
            return Ok(Err(Torn { position: Position { segment: number, offset: 0 }, bytes }));
        }
        return Err(damaged(&path, 0, Damage::Header));
    };
    if header.format > FORMAT {
        return Err(StoreError::NewerFormat { path, found: header.format, supported: FORMAT });
    }
    if header.identity != identity {
        return Err(StoreError::WrongNetwork { path, found: header.identity, expected: identity });
    }
    if header.format != FORMAT || header.segment != number {
        return Err(damaged(&path, 0, Damage::Header));
    }
    Ok(Ok(Found { number, file, length, header }))
}

/// Adds a segment that has a successor, which it only got when it was whole and synced.
fn add_closed(
    shared: &Shared,
    found: &Found,
    successor: &Found,
    known_durable: Option<Position>,
) -> Result<(), StoreError> {
    if successor.header.previous_end != u64::from(found.length) {
        return Err(wrong_length(shared, found, successor.header.previous_end));
    }
    if known_durable.is_none() {
        check_whole(shared, found, None)?;
    }
    shared.add(found.number, Segment { salt: found.header.salt, end: found.length }, &found.file);
    Ok(())
}

/// Checks the records of a segment from the end that the caller remembers; none may be bad.
fn check_whole(shared: &Shared, found: &Found, known_durable: Option<Position>) -> Result<(), StoreError> {
    match find_bad(shared, found, known_durable)? {
        None => Ok(()),
        Some(offset) => Err(damaged(&shared.path(found.number), offset, Damage::Record)),
    }
}

/// Checks that nobody remembers a segment whose header is torn.
fn check_header_may_be_torn(
    shared: &Shared,
    segment: u32,
    known_durable: Option<Position>,
) -> Result<(), StoreError> {
    match known_durable {
        Some(known) if known.segment == segment => Err(damaged(&shared.path(segment), 0, Damage::Header)),
        _ => Ok(()),
    }
}

/// Checks the records of the last segment, and cuts those that a crash tore.
fn repair_tail(
    shared: &Shared,
    found: &Found,
    known_durable: Option<Position>,
) -> Result<Option<Torn>, StoreError> {
    let fail = |source| StoreError::io("repair", &shared.path(found.number), source);
    let mut torn = None;
    if let Some(offset) = find_bad(shared, found, known_durable)? {
        let framing = Framing::new(found.number, found.header.salt);
        let mut tail = vec![0; (found.length - offset) as usize];
        found.file.read_exact_at(&mut tail, u64::from(offset)).map_err(fail)?;
        if find_synced(framing, offset, &tail).is_some_and(|synced| synced > u64::from(offset)) {
            return Err(damaged(&shared.path(found.number), offset, Damage::Record));
        }
        found.file.set_length(u64::from(offset)).map_err(fail)?;
        let position = Position { segment: found.number, offset };
        torn = Some(Torn { position, bytes: u64::from(found.length - offset) });
    }
    // Whole records may be known to the operating system alone, if the last process was killed.
    found.file.sync().map_err(fail)?;
    Ok(torn)
}

/// Where the first bad record starts, from the end that the caller remembers.
fn find_bad(
    shared: &Shared,
    found: &Found,
    known_durable: Option<Position>,
) -> Result<Option<u32>, StoreError> {
    let known = known_durable.filter(|known| known.segment == found.number);
    let known = known.map_or(HEADER_BYTES, |known| known.offset);
    if known < HEADER_BYTES || known > found.length {
        return Err(wrong_length(shared, found, u64::from(known)));
    }
    let framing = Framing::new(found.number, found.header.salt);
    let mut cursor = Cursor::new(Arc::clone(&found.file), framing, known, found.length);
    loop {
        let step =
            cursor.step().map_err(|source| StoreError::io("read", &shared.path(found.number), source))?;
        match step {
            Step::Record { .. } => {}
            Step::End => return Ok(None),
            Step::Bad { offset } => return Ok(Some(offset)),
        }
    }
}

/// Begins a log, or begins it again where nothing but a torn header was there.
fn create_first(shared: &Shared, number: u32, identity: [u8; 32]) -> Result<Found, StoreError> {
    let header = shared.draw_header(identity, number, 0);
    let file = create_segment(&*shared.disk, &shared.file_name(number), &header)
        .map_err(CreateError::into_source)
        .map_err(|source| StoreError::io("create", &shared.path(number), source))?;
    Ok(Found { number, file, length: HEADER_BYTES, header })
}

fn wrong_length(shared: &Shared, found: &Found, expected: u64) -> StoreError {
    let damage = Damage::Length { found: u64::from(found.length), expected };
    damaged(&shared.path(found.number), found.length, damage)
}
