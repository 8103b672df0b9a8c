//! Which runs there are: one row at the end of the table.

use redb::{ReadableTable, ReadableTableMetadata as _, Table};

use super::{FAN, Key, key_bytes};
use crate::error::StoreError;
use crate::row::{self, contain};

/// The level under which the catalogue itself is stored; no run has it.
const CATALOGUE_LEVEL: u8 = u8::MAX;

/// The length of one run in the row: level, number, entries.
const RUN_BYTES: usize = 1 + 8 + 8;

/// A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) level: u8,
    pub(super) number: u64,
    pub(super) entries: u64,
}

impl Run {
    /// The key of the row of this run that begins with `entry`.
    pub(super) fn key<const N: usize>(&self, entry: [u8; N]) -> Key<N> {
        (self.level, self.number, entry)
    }
}

/// All runs, and the number of the next one.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    next: u64,
    runs: Vec<Run>,
}

impl Catalogue {
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// A new run of `level`, which is added when it is written.
    pub(super) fn begin_run(&mut self, level: u8) -> Run {
        let number = self.next;
        self.next += 1;
        Run { level, number, entries: 0 }
    }

    pub(super) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// The lowest level that is to be merged.
    pub(super) fn full_level(&self) -> Option<u8> {
        let mut levels: Vec<u8> = self.runs.iter().map(|run| run.level).collect();
        levels.sort_unstable();
        levels.chunk_by(|a, b| a == b).find(|level| level.len() >= FAN).map(|level| level[0])
    }

    /// Takes out the runs of a level.
    pub(super) fn take_level(&mut self, level: u8) -> Vec<Run> {
        self.runs.extract_if(.., |run| run.level == level).collect()
    }
}

/// Reads the catalogue; in a new table it begins one.
pub(super) fn read_or_begin<const N: usize>(
    name: &'static str,
    table: &mut Table<'_, Key<N>, &'static [u8]>,
) -> Result<Catalogue, StoreError> {
    if contain(|| table.is_empty())? {
        write(table, &Catalogue::default())?;
    }
    read(name, table)
}

/// Reads the catalogue.
pub(super) fn read<const N: usize>(
    name: &'static str,
    table: &impl ReadableTable<Key<N>, &'static [u8]>,
) -> Result<Catalogue, StoreError> {
    let row = contain(|| Ok::<_, StoreError>(table.get(key::<N>())?.map(|row| row.value().to_vec())))?;
    let row = row.ok_or(StoreError::Row { table: name })?;
    decode(row::open(name, &key_bytes(&key::<N>()), &row)?).ok_or(StoreError::Row { table: name })
}

/// Stores the catalogue.
pub(super) fn write<const N: usize>(
    table: &mut Table<'_, Key<N>, &'static [u8]>,
    catalogue: &Catalogue,
) -> Result<(), StoreError> {
    let mut row = catalogue.next.to_le_bytes().to_vec();
    for run in &catalogue.runs {
        row.push(run.level);
        row.extend_from_slice(&run.number.to_le_bytes());
        row.extend_from_slice(&run.entries.to_le_bytes());
    }
    let row = row::seal(&key_bytes(&key::<N>()), row);
    contain(|| table.insert(key::<N>(), row.as_slice()).map(drop))
}

pub(super) const fn key<const N: usize>() -> Key<N> {
    (CATALOGUE_LEVEL, 0, [0; N])
}

fn decode(row: &[u8]) -> Option<Catalogue> {
    let (next, rest) = row.split_first_chunk()?;
    let (runs, []) = rest.as_chunks::<RUN_BYTES>() else {
        return None;
    };
    let runs = runs.iter().map(|[level, numbers @ ..]| {
        let (number, entries) = numbers.split_first_chunk().expect("16 bytes are more than 8");
        let entries = entries.try_into().expect("16 bytes less 8 are 8");
        Run { level: *level, number: u64::from_le_bytes(*number), entries: u64::from_le_bytes(entries) }
    });
    Some(Catalogue { next: u64::from_le_bytes(*next), runs: runs.collect() })
}
