//! Merging the runs of a level into one of the next, a row of each in memory at a time.

use redb::{ReadableTable, Table};

use super::catalogue::{Catalogue, Run};
use super::{Key, Writer, open_row};
use crate::error::StoreError;
use crate::row::{self, contain};

/// Replaces all runs of `level` by one of the next level.
pub(super) fn merge_level<const N: usize>(
    name: &'static str,
    table: &mut Table<'_, Key<N>, &'static [u8]>,
    catalogue: &mut Catalogue,
    level: u8,
) -> Result<(), StoreError> {
    let runs = catalogue.take_level(level);
    let expected: u64 = runs.iter().map(|run| run.entries).sum();
    let mut found = 0;
    let mut sources: Vec<Source<N>> = runs.into_iter().map(Source::new).collect();
    // 8^32 entries fill no disk, so the level above is always a level.
    let above = level.checked_add(1).expect("there are fewer than 255 levels");
    let mut writer = Writer::new(catalogue.begin_run(above));
    let mut batch: Vec<[u8; N]> = Vec::new();
    loop {
        for source in &mut sources {
            source.refill(name, table)?;
        }
        // Up to the least last entry of all rows in memory, nothing can come after.
        let Some(bound) = sources.iter().filter_map(|source| source.left().last()).min().copied() else {
            break;
        };
        for source in &mut sources {
            batch.extend_from_slice(source.take_to(&bound));
        }
        found += batch.len() as u64;
        // The standard sort finds the sorted stretches and merges them.
        batch.sort();
        batch.dedup();
        writer.push_all(table, &batch)?;
        batch.clear();
    }
    if found != expected {
        return Err(StoreError::Row { table: name });
    }
    catalogue.add(writer.finish(table)?);
    Ok(())
}

/// A run that is being consumed.
struct Source<const N: usize> {
    run: Run,
    row: Vec<[u8; N]>,
    taken: usize,
}

impl<const N: usize> Source<N> {
    fn new(run: Run) -> Self {
        Self { run, row: Vec::new(), taken: 0 }
    }

    fn left(&self) -> &[[u8; N]] {
        &self.row[self.taken..]
    }

    /// Takes the entries up to `bound`, which is included.
    fn take_to(&mut self, bound: &[u8; N]) -> &[[u8; N]] {
        let start = self.taken;
        self.taken += self.left().partition_point(|entry| entry <= bound);
        &self.row[start..self.taken]
    }

    /// Moves the next row from the table into memory, where none is left there.
    fn refill(
        &mut self,
        name: &'static str,
        table: &mut Table<'_, Key<N>, &'static [u8]>,
    ) -> Result<(), StoreError> {
        if !self.left().is_empty() {
            return Ok(());
        }
        self.row.clear();
        self.taken = 0;
        // Earlier rows are gone, so the first one that is left is the next.
        let rows = self.run.key([0; N])..=self.run.key([0xff; N]);
        let first = {
            let mut rows = contain(|| table.range(rows))?;
            row::next(&mut rows, |key, row| (key, row.to_vec()))?
        };
        let Some((key, row)) = first else { return Ok(()) };
        self.row.extend_from_slice(open_row(name, &key, &row)?.entries);
        contain(|| table.remove(key).map(drop))
    }
}
