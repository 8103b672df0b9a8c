//! A disk in memory that fails, fills up or loses its power at any chosen operation.
//!
//! # What survives a power cut
//!
//! Everything up to the last sync of a file. Of each later write a random half of its 512-byte
//! sectors; the length of the file may have grown without the bytes, which are then zeros or noise.
//! A later `set_length`, creation or removal survives or not. This is more hostile than file systems
//! are: bytes of one sector that were written apart may be lost apart.
//!
//! # What counts as an operation
//!
//! Everything that changes the disk: create, remove, write, set length, and each sync, of a file or
//! of a directory. Reading and opening do not count.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Random;
use crate::backend::{Disk, File};

/// What a disk writes as a whole or not at all, in bytes.
const SECTOR_BYTES: u64 = 512;

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails, a write after a part of its bytes. When a sync fails, what was written
    /// before it is kept or lost by chance and no later sync makes up for it.
    Error,
    /// There is no room; a write stops after a part of its bytes.
    Full,
    /// The power is gone: this operation and all later ones fail.
    PowerCut,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    /// What opens the names of this directory: empty, or a name with a slash after it.
    prefix: String,
}

impl SimulatedDisk {
    /// An empty disk; `seed` decides all that chance decides on it.
    pub fn new(seed: u64) -> Self {
        Self::from_state(State {
            entries: BTreeMap::new(),
            durable_entries: BTreeMap::new(),
            pending_entries: Vec::new(),
            contents: BTreeMap::new(),
            operations: 0,
            faults: BTreeMap::new(),
            capacity: u64::MAX,
            off: false,
            random: Random::new(seed),
        })
    }

    /// How many operations there were so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets operation number `operation` go wrong; the first one of a disk has number 0.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().faults.insert(operation, fault);
    }

    /// Limits the sum of the lengths of all files, in bytes. What is there already stays.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// A disk with what is left if the power goes now; `seed` decides what that is.
    ///
    /// This one is not changed, so many outcomes of one cut can be tried.
    pub fn survivors(&self, seed: u64) -> Self {
        let state = self.lock();
        let mut random = Random::new(seed);
        let mut entries = state.durable_entries.clone();
        for (name, entry) in &state.pending_entries {
            if random.coin() {
                match entry {
                    Some(number) => entries.insert(name.clone(), *number),
                    None => entries.remove(name),
                };
            }
        }
        let contents = entries
            .values()
            .filter_map(|number| {
                let content = state.contents.get(number)?;
                let left = content.survivor(&mut random);
                Some((*number, Content { live: left.clone(), durable: left, pending: Vec::new() }))
            })
            .collect();
        Self::from_state(State {
            durable_entries: entries.clone(),
            entries,
            pending_entries: Vec::new(),
            contents,
            operations: 0,
            faults: BTreeMap::new(),
            capacity: state.capacity,
            off: false,
            random,
        })
    }

    /// The disk as a process finds it that starts after this one was killed: all that was written is
    /// there, and what was not synced is still lost by a power cut. This one is not changed.
    pub fn after_kill(&self) -> Self {
        let state = self.lock();
        Self::from_state(State {
            entries: state.entries.clone(),
            durable_entries: state.durable_entries.clone(),
            pending_entries: state.pending_entries.clone(),
            contents: state.contents.clone(),
            operations: 0,
            faults: BTreeMap::new(),
            capacity: state.capacity,
            off: false,
            random: state.random.clone(),
        })
    }

    /// Turns over one bit of a file, as a failing disk does. False where there is no such byte.
    pub fn flip_bit(&self, name: &str, offset: usize, bit: u32) -> bool {
        let mut state = self.lock();
        let Some(content) = state.content_of(&self.full_name(name)) else {
            return false;
        };
        let mask = 1_u8.rotate_left(bit);
        if let Some(byte) = content.durable.get_mut(offset) {
            *byte ^= mask;
        }
        content.live.get_mut(offset).map(|byte| *byte ^= mask).is_some()
    }

    /// The bytes of a file as a reader sees them now.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().content_of(&self.full_name(name)).map(|content| content.live.clone())
    }

    fn from_state(state: State) -> Self {
        let path = PathBuf::from("simulated");
        Self { state: Arc::new(Mutex::new(state)), path, prefix: String::new() }
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Disk for SimulatedDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.check_power()?;
        let inside = state.entries.keys().filter_map(|name| name.strip_prefix(&self.prefix));
        Ok(inside.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = self.lock();
        state.check_power()?;
        let number = *state.entries.get(&self.full_name(name)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile { state: Arc::clone(&self.state), number }))
    }

    fn open_or_create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let name = self.full_name(name);
        let mut state = self.lock();
        state.check_power()?;
        let number = match state.entries.get(&name) {
            Some(number) => *number,
            None => state.create(name)?,
        };
        Ok(Arc::new(SimulatedFile { state: Arc::clone(&self.state), number }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = self.full_name(name);
        let mut state = self.lock();
        let fault = state.begin()?;
        if !state.entries.contains_key(&name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if fault.is_none_or(|fault| fault == Fault::PowerCut) {
            state.change_entry(name, None);
        }
        fail(fault)
    }

    fn sync(&self) -> io::Result<()> {
        self.lock().sync_entries()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.lock().check_power()?;
        let prefix = format!("{}/", self.full_name(name));
        Ok(Arc::new(Self { state: Arc::clone(&self.state), path: self.path.join(name), prefix }))
    }

    fn draw_salt(&self) -> u64 {
        self.lock().random.next()
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimulatedFile {
    state: Arc<Mutex<State>>,
    number: u64,
}

impl SimulatedFile {
    /// Runs `change` on the content of the file, which lives as long as the disk.
    fn with<T>(&self, change: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        change(&mut lock(&self.state), self.number)
    }
}

impl File for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        self.with(|state, number| {
            state.check_power()?;
            Ok(state.contents.entry(number).or_default().live.len() as u64)
        })
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|state, number| {
            state.check_power()?;
            let live = &state.contents.entry(number).or_default().live;
            let start = to_index(offset)?;
            let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
            bytes.copy_from_slice(live.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, number| {
            let mut fault = state.begin()?;
            let mut length = bytes.len() as u64;
            if matches!(fault, Some(Fault::Error | Fault::Full)) {
                length = state.random.below(length);
            }
            let room = state.room_for(number, offset);
            if length > room && fault.is_none() {
                fault = Some(Fault::Full);
            }
            let part = &bytes[..to_index(length.min(room))?];
            state.contents.entry(number).or_default().change(Change::Write(offset, part.to_vec()));
            fail(fault)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, number| {
            let fault = state.begin()?;
            let State { contents, random, .. } = state;
            let content = contents.entry(number).or_default();
            match fault {
                None => content.make_durable(),
                Some(Fault::Error | Fault::Full) => {
                    content.durable = content.survivor(random);
                    content.pending.clear();
                }
                Some(Fault::PowerCut) => {}
            }
            fail(fault)
        })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.with(|state, number| {
            let mut fault = state.begin()?;
            let current = state.contents.entry(number).or_default().live.len() as u64;
            if length > current && length - current > state.room_for(number, current) {
                fault = fault.or(Some(Fault::Full));
            }
            if fault.is_none_or(|fault| fault == Fault::PowerCut) {
                state.contents.entry(number).or_default().change(Change::SetLength(length));
            }
            fail(fault)
        })
    }
}

/// All that a disk holds.
#[derive(Debug)]
struct State {
    /// Which number each name has now.
    entries: BTreeMap<String, u64>,
    /// The same, at the last sync of the directory.
    durable_entries: BTreeMap<String, u64>,
    /// What changed since, in order; none for a removal.
    pending_entries: Vec<(String, Option<u64>)>,
    /// The files by number. A removed one stays for those who have it open.
    contents: BTreeMap<u64, Content>,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    capacity: u64,
    off: bool,
    random: Random,
}

impl State {
    /// Counts an operation and says what goes wrong with it.
    fn begin(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        let fault = self.faults.remove(&self.operations);
        self.operations += 1;
        self.off = fault == Some(Fault::PowerCut);
        Ok(fault)
    }

    fn check_power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn create(&mut self, name: String) -> io::Result<u64> {
        let fault = self.begin()?;
        let number = self.contents.last_key_value().map_or(0, |(last, _)| last + 1);
        if fault.is_none_or(|fault| fault == Fault::PowerCut) {
            self.contents.insert(number, Content::default());
            self.change_entry(name, Some(number));
        }
        fail(fault)?;
        Ok(number)
    }

    fn change_entry(&mut self, name: String, entry: Option<u64>) {
        match entry {
            Some(number) => self.entries.insert(name.clone(), number),
            None => self.entries.remove(&name),
        };
        self.pending_entries.push((name, entry));
    }

    fn sync_entries(&mut self) -> io::Result<()> {
        let fault = self.begin()?;
        fail(fault)?;
        self.durable_entries = self.entries.clone();
        self.pending_entries.clear();
        Ok(())
    }

    fn content_of(&mut self, name: &str) -> Option<&mut Content> {
        self.contents.get_mut(self.entries.get(name)?)
    }

    /// How many bytes can be written to a file from `offset` on.
    fn room_for(&self, number: u64, offset: u64) -> u64 {
        let used: u64 =
            self.entries.values().filter_map(|n| self.contents.get(n)).map(|c| c.live.len() as u64).sum();
        let length = self.contents.get(&number).map_or(0, |content| content.live.len() as u64);
        let inside = length.saturating_sub(offset);
        let hole = offset.saturating_sub(length);
        inside.saturating_add(self.capacity.saturating_sub(used).saturating_sub(hole))
    }
}

/// A file: what a reader sees, what a power cut leaves for certain, and what lies between.
#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    SetLength(u64),
}

impl Content {
    fn change(&mut self, change: Change) {
        match &change {
            Change::Write(offset, bytes) => put(&mut self.live, *offset, bytes),
            Change::SetLength(length) => resize(&mut self.live, *length),
        }
        self.pending.push(change);
    }

    fn make_durable(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write(offset, bytes) => put(&mut self.durable, offset, &bytes),
                Change::SetLength(length) => resize(&mut self.durable, length),
            }
        }
    }

    /// What is left if the power goes now.
    fn survivor(&self, random: &mut Random) -> Vec<u8> {
        let mut left = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::SetLength(length) if random.coin() => resize(&mut left, *length),
                Change::SetLength(_) => {}
                Change::Write(offset, bytes) => {
                    if random.coin() {
                        grow(&mut left, *offset + bytes.len() as u64, random);
                    }
                    keep_some_sectors(&mut left, *offset, bytes, random);
                }
            }
        }
        left
    }
}

/// Writes a random half of the sectors that `bytes` at `offset` touch.
fn keep_some_sectors(left: &mut Vec<u8>, mut offset: u64, mut bytes: &[u8], random: &mut Random) {
    while !bytes.is_empty() {
        let to_boundary = SECTOR_BYTES - offset % SECTOR_BYTES;
        let length = usize::try_from(to_boundary).map_or(bytes.len(), |length| length.min(bytes.len()));
        let (sector, rest) = bytes.split_at(length);
        if random.coin() {
            put(left, offset, sector);
        }
        offset += length as u64;
        bytes = rest;
    }
}

/// Lengthens a file without its bytes: with zeros, or with what the sectors held before.
fn grow(left: &mut Vec<u8>, length: u64, random: &mut Random) {
    let old = left.len();
    if length > old as u64 {
        resize(left, length);
        if random.coin() {
            random.fill(&mut left[old..]);
        }
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let start = usize::try_from(offset).expect("a simulated file fits into memory");
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

fn resize(content: &mut Vec<u8>, length: u64) {
    content.resize(usize::try_from(length).expect("a simulated file fits into memory"), 0);
}

fn to_index(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Turns a fault into the answer of an operating system.
fn fail(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::Error) => Err(io::Error::other("a simulated fault")),
        Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
        Some(Fault::PowerCut) => Err(io::Error::other("the power is off")),
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_some_sectors_of_the_rest() {
        let disk = SimulatedDisk::new(1);
        let file = disk.open_or_create("a").unwrap();
        disk.sync().unwrap();
        file.write_all_at(&[1; 1000], 0).unwrap();
        file.sync().unwrap();
        file.write_all_at(&[2; 100 * 512], 0).unwrap();
        let next = disk.operations();
        disk.fail_at(next, Fault::PowerCut);
        file.write_all_at(&[3; 512], 0).unwrap_err();
        file.length().unwrap_err();

        let (mut synced, mut kept, mut lengths) = (0, 0, std::collections::BTreeSet::new());
        for seed in 0..50 {
            let left = disk.survivors(seed);
            let content = left.content("a").unwrap();
            assert!(content.len() >= 1000);
            synced += content[..1000].iter().filter(|byte| **byte == 1).count();
            kept += content.chunks(512).filter(|sector| sector.iter().all(|byte| *byte == 2)).count();
            lengths.insert(content.len());
            assert_eq!(left.content("a"), disk.survivors(seed).content("a"), "chance repeats");
        }
        assert!(synced > 0 && lengths.len() > 1);
        assert!((2000..3000).contains(&kept), "about half of the sectors: {kept}");
    }

    #[test]
    fn a_file_that_was_not_synced_into_its_directory_may_be_missing() {
        let disk = SimulatedDisk::new(1);
        disk.open_or_create("kept").unwrap();
        disk.sync().unwrap();
        disk.open_or_create("maybe").unwrap();
        disk.fail_at(3, Fault::PowerCut);
        disk.sync().unwrap_err();
        let outcomes: Vec<Vec<String>> = (0..20).map(|seed| disk.survivors(seed).list().unwrap()).collect();
        assert!(outcomes.iter().all(|names| names[0] == "kept"));
        assert!(outcomes.iter().any(|names| names.len() == 1));
        assert!(outcomes.iter().any(|names| names.len() == 2));
    }

    #[test]
    fn a_full_disk_takes_a_part_and_gives_room_back() {
        let disk = SimulatedDisk::new(1);
        let file = disk.open_or_create("a").unwrap();
        disk.set_capacity(10);
        assert_eq!(file.write_all_at(&[1; 11], 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.length().unwrap(), 10);
        file.set_length(4).unwrap();
        file.write_all_at(&[2; 6], 4).unwrap();
        assert_eq!(file.set_length(11).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.open_or_create("b").unwrap();
        disk.remove("a").unwrap();
        disk.open("b").unwrap().write_all_at(&[3; 10], 0).unwrap();
    }

    #[test]
    fn what_a_failed_sync_lost_no_later_sync_brings_back() {
        let disk = SimulatedDisk::new(1);
        let file = disk.open_or_create("a").unwrap();
        disk.sync().unwrap();
        file.write_all_at(&[1; 64 * 512], 0).unwrap();
        disk.fail_at(disk.operations(), Fault::Error);
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert_eq!(disk.content("a").unwrap(), vec![1; 64 * 512]);
        assert!(disk.survivors(1).content("a").unwrap() != vec![1; 64 * 512]);
    }

    #[test]
    fn a_directory_has_its_own_names() {
        let disk = SimulatedDisk::new(1);
        let inner = disk.directory("blocks").unwrap();
        inner.open_or_create("a").unwrap().write_all_at(b"x", 0).unwrap();
        assert!(disk.list().unwrap().is_empty());
        assert_eq!(inner.list().unwrap(), ["a"]);
        assert!(disk.flip_bit("blocks/a", 0, 0) && !disk.flip_bit("blocks/a", 1, 0));
        assert_eq!(disk.content("blocks/a").unwrap(), b"y");
    }
}
