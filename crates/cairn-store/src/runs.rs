//! An index that is cheap to write: sorted runs of fixed-size entries in a table of redb.
//!
//! A B-tree row an entry would rewrite a page for nearly every entry, because keys such as hashes
//! fall everywhere. Here a batch is stored as one sorted *run*, in rows of some 32 KiB; when a level
//! holds [`FAN`] runs they are merged into one run of the next level, so each entry is written once
//! a level, in long rows (a size-tiered log-structured merge tree: O'Neil et al., "The Log-Structured
//! Merge-Tree", Acta Informatica 33, 1996). A look-up asks each run: at most `FAN - 1` a level.
//!
//! # Provided
//!
//! - A set: an entry that is added twice is found once.
//! - Everything happens in the caller's transactions, so runs are exactly as durable as it is.
//! - Damage is an error and never a wrong answer: a row has a checksum, and it says where the next row
//!   of its run begins, so that a look-up knows when one is missing. The first row of a run has a key
//!   that is known, and there is a catalogue from the first [`Runs::add_run`] on.
//!
//! # Not provided
//!
//! - Removal. Add what can no longer change, or check what is found against the chain.
//! - Even cost: the batch that fills a level pays for its merge.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::error::StoreError;
use crate::row::{self, contain};

mod catalogue;
mod merge;
#[cfg(test)]
mod tests;

use catalogue::Run;

/// How many runs of one level are merged into one of the next.
pub const FAN: usize = 8;

/// How many entries one look-up gives at most.
pub const LOOKUP_ENTRIES_MAX: usize = 10_000;

/// The length of a row, in bytes: with its key it fits into pages of redb of 32 KiB.
const ROW_BYTES_MAX: usize = 32 * 1024 - 1280;

/// Level and run of a row, and its first entry; zeros instead of it in the first row of a run.
type Key<const N: usize> = (u8, u64, [u8; N]);

/// A table of runs whose entries have `N` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Runs<const N: usize> {
    name: &'static str,
}

impl<const N: usize> Runs<N> {
    /// The runs in the table `name`, which holds nothing else.
    pub const fn new(name: &'static str) -> Self {
        assert!(N > 0 && N <= 1024, "a row holds many entries");
        Self { name }
    }

    /// Adds entries, which are sorted, and merges levels that are full. No entries make a table that
    /// can be read.
    ///
    /// # Errors
    ///
    /// Where the database fails; the transaction must be aborted then.
    ///
    /// # Panics
    ///
    /// Where the entries are not sorted: look-ups would miss them.
    pub fn add_run(&self, transaction: &WriteTransaction, entries: &[[u8; N]]) -> Result<(), StoreError> {
        assert!(entries.is_sorted(), "a run is sorted");
        let mut table = contain(|| transaction.open_table(self.definition()))?;
        let mut catalogue = catalogue::read_or_begin(self.name, &mut table)?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut writer = Writer::new(catalogue.begin_run(0));
        // Doubles are rare: without any, nothing is copied.
        if entries.is_sorted_by(|a, b| a < b) {
            writer.push_all(&mut table, entries)?;
        } else {
            let mut entries = entries.to_vec();
            entries.dedup();
            writer.push_all(&mut table, &entries)?;
        }
        catalogue.add(writer.finish(&mut table)?);
        while let Some(level) = catalogue.full_level() {
            merge::merge_level(self.name, &mut table, &mut catalogue, level)?;
        }
        catalogue::write(&mut table, &catalogue)
    }

    /// The first entries that begin with `prefix`, in order, at most `limit` and
    /// [`LOOKUP_ENTRIES_MAX`] of them.
    ///
    /// # Errors
    ///
    /// Where the database fails.
    pub fn lookup_prefix(
        &self,
        transaction: &ReadTransaction,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<[u8; N]>, StoreError> {
        let Some(bounds) = Bounds::of_prefix(prefix) else {
            return Ok(Vec::new());
        };
        let limit = limit.min(LOOKUP_ENTRIES_MAX);
        let mut entries = self.collect(transaction, |table, run, found| {
            collect_up(self.name, table, run, &bounds, limit, found)
        })?;
        entries.sort();
        entries.dedup();
        entries.truncate(limit);
        Ok(entries)
    }

    /// The least entry that begins with `prefix` and is no less than `least`.
    ///
    /// # Errors
    ///
    /// Where the database fails.
    pub fn lookup_next(
        &self,
        transaction: &ReadTransaction,
        prefix: &[u8],
        least: &[u8; N],
    ) -> Result<Option<[u8; N]>, StoreError> {
        let bounds = Bounds::of_prefix(prefix).and_then(|bounds| bounds.cut_up_to(least));
        let Some(bounds) = bounds else { return Ok(None) };
        let entries = self
            .collect(transaction, |table, run, found| collect_up(self.name, table, run, &bounds, 1, found))?;
        Ok(entries.into_iter().min())
    }

    /// The last entries that begin with `prefix`, the greatest first, all less than `below` where it
    /// is given, at most `limit` and [`LOOKUP_ENTRIES_MAX`] of them.
    ///
    /// # Errors
    ///
    /// Where the database fails.
    pub fn lookup_prefix_backwards(
        &self,
        transaction: &ReadTransaction,
        prefix: &[u8],
        below: Option<&[u8; N]>,
        limit: usize,
    ) -> Result<Vec<[u8; N]>, StoreError> {
        let bounds = Bounds::of_prefix(prefix).and_then(|bounds| bounds.cut_below(below));
        let Some(bounds) = bounds else {
            return Ok(Vec::new());
        };
        let limit = limit.min(LOOKUP_ENTRIES_MAX);
        let mut entries = self.collect(transaction, |table, run, found| {
            collect_down(self.name, table, run, &bounds, limit, found)
        })?;
        entries.sort_by(|a, b| b.cmp(a));
        entries.dedup();
        entries.truncate(limit);
        Ok(entries)
    }

    /// How many entries there are; one that was added twice counts twice until it is merged.
    ///
    /// # Errors
    ///
    /// Where the database fails.
    pub fn count(&self, transaction: &ReadTransaction) -> Result<u64, StoreError> {
        let table = self.open(transaction)?;
        Ok(catalogue::read(self.name, &table)?.runs().iter().map(|run| run.entries).sum())
    }

    /// The table, which is there since entries were first added.
    fn open(
        &self,
        transaction: &ReadTransaction,
    ) -> Result<redb::ReadOnlyTable<Key<N>, &'static [u8]>, StoreError> {
        row::open_table(transaction, self.definition())?.ok_or(StoreError::Row { table: self.name })
    }

    fn definition(&self) -> TableDefinition<'static, Key<N>, &'static [u8]> {
        TableDefinition::new(self.name)
    }

    /// What `collect` finds in each run, one after the other.
    fn collect(
        &self,
        transaction: &ReadTransaction,
        collect: impl Fn(
            &redb::ReadOnlyTable<Key<N>, &'static [u8]>,
            &Run,
            &mut Vec<[u8; N]>,
        ) -> Result<(), StoreError>,
    ) -> Result<Vec<[u8; N]>, StoreError> {
        let table = self.open(transaction)?;
        let mut found = Vec::new();
        for run in catalogue::read(self.name, &table)?.runs() {
            collect(&table, run, &mut found)?;
        }
        Ok(found)
    }
}

/// The least and the greatest entry that are asked for.
struct Bounds<const N: usize> {
    least: [u8; N],
    greatest: [u8; N],
}

impl<const N: usize> Bounds<N> {
    /// The bounds of all entries that begin with `prefix`; none where it is longer than an entry.
    fn of_prefix(prefix: &[u8]) -> Option<Self> {
        let mut bounds = Self { least: [0; N], greatest: [0xff; N] };
        bounds.least.get_mut(..prefix.len())?.copy_from_slice(prefix);
        bounds.greatest[..prefix.len()].copy_from_slice(prefix);
        Some(bounds)
    }

    /// These bounds without what is less than `least`; none where nothing is left.
    fn cut_up_to(mut self, least: &[u8; N]) -> Option<Self> {
        self.least = self.least.max(*least);
        (self.least <= self.greatest).then_some(self)
    }

    /// These bounds without `below` and what is greater; none where nothing is left.
    fn cut_below(mut self, below: Option<&[u8; N]>) -> Option<Self> {
        if let Some(below) = below
            && *below <= self.greatest
        {
            self.greatest = predecessor(*below)?;
        }
        (self.least <= self.greatest).then_some(self)
    }
}

/// The greatest entry that is less than `entry`.
fn predecessor<const N: usize>(mut entry: [u8; N]) -> Option<[u8; N]> {
    for byte in entry.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            return Some(entry);
        }
    }
    None
}

/// Adds the first entries of `run` within the bounds to `found`, at most `limit`.
fn collect_up<const N: usize>(
    name: &'static str,
    table: &impl ReadableTable<Key<N>, &'static [u8]>,
    run: &Run,
    bounds: &Bounds<N>,
    limit: usize,
    found: &mut Vec<[u8; N]>,
) -> Result<(), StoreError> {
    let damaged = || StoreError::Row { table: name };
    // The row that the least entry falls into begins before it or with it.
    let mut before = contain(|| table.range(run.key([0; N])..=run.key(bounds.least)))?.rev();
    let mut expected = row::next(&mut before, |key, _| key.2)?.ok_or_else(damaged)?;
    let mut wanted = limit;
    let mut rows = contain(|| table.range(run.key(expected)..=run.key(bounds.greatest)))?;
    loop {
        let row = row::next(&mut rows, |key, row| (key, row.to_vec()))?;
        let (key, row) = row.filter(|(key, _)| key.2 == expected).ok_or_else(damaged)?;
        let Row { entries, next } = open_row(name, &key, &row)?;
        // Only the first row may end below the least entry, and then a row is missing behind it.
        if next.is_some_and(|next| next <= bounds.least) {
            return Err(damaged());
        }
        let start = entries.partition_point(|entry| *entry < bounds.least);
        let end = entries.partition_point(|entry| *entry <= bounds.greatest);
        let taken = &entries[start..end];
        let taken = &taken[..taken.len().min(wanted)];
        found.extend_from_slice(taken);
        wanted -= taken.len();
        match next {
            Some(next) if wanted > 0 && next <= bounds.greatest => expected = next,
            _ => return Ok(()),
        }
    }
}

/// Adds the last entries of `run` within the bounds to `found`, at most `limit`.
fn collect_down<const N: usize>(
    name: &'static str,
    table: &impl ReadableTable<Key<N>, &'static [u8]>,
    run: &Run,
    bounds: &Bounds<N>,
    limit: usize,
    found: &mut Vec<[u8; N]>,
) -> Result<(), StoreError> {
    let damaged = || StoreError::Row { table: name };
    let mut wanted = limit;
    let mut above = None;
    let mut rows = contain(|| table.range(run.key([0; N])..=run.key(bounds.greatest)))?.rev();
    loop {
        let row = row::next(&mut rows, |key, row| (key, row.to_vec()))?;
        let (key, row) = row.ok_or_else(damaged)?;
        let Row { entries, next } = open_row(name, &key, &row)?;
        let is_complete = match above {
            None => next.is_none_or(|next| next > bounds.greatest),
            Some(_) => next == above,
        };
        if !is_complete {
            return Err(damaged());
        }
        let start = entries.partition_point(|entry| *entry < bounds.least);
        let end = entries.partition_point(|entry| *entry <= bounds.greatest);
        let taken = &entries[start..end];
        let taken = &taken[taken.len().saturating_sub(wanted)..];
        found.extend_from_slice(taken);
        wanted -= taken.len();
        if wanted == 0 || key.2 <= bounds.least {
            return Ok(());
        }
        above = Some(key.2);
    }
}

/// Writes a run, row by row.
struct Writer<const N: usize> {
    run: Run,
    /// The key of the row that is being filled.
    key: [u8; N],
    /// The row that is being filled. It is written when it is known what follows.
    row: Vec<[u8; N]>,
}

impl<const N: usize> Writer<N> {
    /// How many entries a full row has, beside the one that follows.
    const ROW_ENTRIES: usize = ROW_BYTES_MAX / N - 1;

    fn new(run: Run) -> Self {
        Self { run, key: [0; N], row: Vec::new() }
    }

    /// Adds entries that grow from one to the next and are greater than those before.
    fn push_all(
        &mut self,
        table: &mut Table<'_, Key<N>, &'static [u8]>,
        mut entries: &[[u8; N]],
    ) -> Result<(), StoreError> {
        self.run.entries += entries.len() as u64;
        while let Some(first) = entries.first() {
            if self.row.len() == Self::ROW_ENTRIES {
                self.write_row(table, *first)?;
                self.key = *first;
                self.row.clear();
            }
            let (part, rest) = entries.split_at(entries.len().min(Self::ROW_ENTRIES - self.row.len()));
            self.row.extend_from_slice(part);
            entries = rest;
        }
        Ok(())
    }

    /// Writes the last row.
    fn finish(self, table: &mut Table<'_, Key<N>, &'static [u8]>) -> Result<Run, StoreError> {
        self.write_row(table, [0; N])?;
        Ok(self.run)
    }

    /// Writes the row, after which comes one that begins with `next`.
    fn write_row(
        &self,
        table: &mut Table<'_, Key<N>, &'static [u8]>,
        next: [u8; N],
    ) -> Result<(), StoreError> {
        let key = self.run.key(self.key);
        let mut row = Vec::with_capacity(ROW_BYTES_MAX + N);
        row.extend_from_slice(self.row.as_flattened());
        row.extend_from_slice(&next);
        let row = row::seal(&key_bytes(&key), row);
        contain(|| table.insert(key, row.as_slice()).map(drop))
    }
}

/// A row: its entries, and the first entry of the next one, unless it is the last.
struct Row<'a, const N: usize> {
    entries: &'a [[u8; N]],
    next: Option<[u8; N]>,
}

/// The row as it was stored under `key`.
fn open_row<'a, const N: usize>(
    name: &'static str,
    key: &Key<N>,
    row: &'a [u8],
) -> Result<Row<'a, N>, StoreError> {
    let (entries, []) = row::open(name, &key_bytes(key), row)?.as_chunks() else {
        return Err(StoreError::Row { table: name });
    };
    let (next, entries) = entries.split_last().ok_or(StoreError::Row { table: name })?;
    // No row but the first begins with zeros.
    Ok(Row { entries, next: Some(*next).filter(|next| *next != [0; N]) })
}

/// What the checksum of a row says about its key.
fn key_bytes<const N: usize>((level, run, first): &Key<N>) -> Vec<u8> {
    [&[*level][..], &run.to_le_bytes(), first].concat()
}
