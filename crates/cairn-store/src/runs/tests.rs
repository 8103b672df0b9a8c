//! Runs against a set, and on a disk that loses its power.

use std::collections::BTreeSet;

use proptest::prelude::*;
use redb::{Database, ReadableDatabase};

use super::*;
use crate::backend::DatabaseFile;
use crate::testing::{Fault, Random, SimulatedDisk};

const RUNS: Runs<6> = Runs::new("entries");

fn open(disk: &SimulatedDisk) -> Result<Database, StoreError> {
    let file = DatabaseFile::open(disk, "state.redb")?;
    Ok(Database::builder().set_cache_size(1 << 20).create_with_backend(file)?)
}

fn add(database: &Database, entries: &[[u8; 6]]) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    RUNS.add_run(&transaction, entries)?;
    transaction.commit()?;
    Ok(())
}

/// All entries, read in pages backwards as a list of an account's transfers is.
fn read_pages(database: &Database, prefix: &[u8], page: usize) -> Vec<[u8; 6]> {
    let transaction = database.begin_read().unwrap();
    let mut all: Vec<[u8; 6]> = Vec::new();
    loop {
        let next = RUNS.lookup_prefix_backwards(&transaction, prefix, all.last(), page).unwrap();
        if next.is_empty() {
            return all;
        }
        all.extend(next);
    }
}

fn draw_batch(random: &mut Random, entries: u64) -> Vec<[u8; 6]> {
    let mut batch: Vec<[u8; 6]> = (0..entries)
        .map(|_| {
            let mut entry = [0; 6];
            random.fill(&mut entry[2..]);
            // Few beginnings, so that prefixes are shared, and some entries come twice.
            entry[0] = u8::try_from(random.below(4)).unwrap();
            entry[2] %= 16;
            entry
        })
        .collect();
    batch.sort_unstable();
    batch
}

#[test]
fn a_run_that_was_never_written_holds_nothing() {
    let database = open(&SimulatedDisk::new(1)).unwrap();
    let transaction = database.begin_read().unwrap();
    assert!(RUNS.lookup_prefix(&transaction, &[], 10).is_err(), "a table that is not there was lost");
    add(&database, &[]).unwrap();
    let transaction = database.begin_read().unwrap();
    assert_eq!(RUNS.lookup_prefix(&transaction, &[], 10).unwrap(), <[[u8; 6]; 0]>::default());
    assert_eq!(RUNS.count(&transaction).unwrap(), 0);
    add(&database, &[[1; 6], [1; 6], [2; 6]]).unwrap();
    let transaction = database.begin_read().unwrap();
    assert_eq!(RUNS.count(&transaction).unwrap(), 2);
    assert_eq!(RUNS.lookup_prefix(&transaction, &[1; 7], 10).unwrap(), <[[u8; 6]; 0]>::default());
    assert_eq!(RUNS.lookup_prefix(&transaction, &[1; 6], 10).unwrap(), [[1; 6]]);
}

#[test]
#[should_panic(expected = "a run is sorted")]
fn a_run_out_of_order_is_our_own_fault() {
    let database = open(&SimulatedDisk::new(1)).unwrap();
    add(&database, &[[2; 6], [1; 6]]).unwrap();
}

#[test]
fn many_large_runs_hold_what_a_set_holds() {
    let database = open(&SimulatedDisk::new(1)).unwrap();
    let mut random = Random::new(1);
    let mut model = BTreeSet::new();
    for _ in 0..75 {
        // Some runs have several rows, and merged runs have many.
        let entries = random.below(9000);
        let batch = draw_batch(&mut random, entries);
        add(&database, &batch).unwrap();
        model.extend(batch);
    }
    let transaction = database.begin_read().unwrap();
    let table = transaction.open_table(RUNS.definition()).unwrap();
    let catalogue = catalogue::read("entries", &table).unwrap();
    let levels: Vec<u8> = catalogue.runs().iter().map(|run| run.level).collect();
    assert_eq!(levels, [2, 1, 0, 0, 0], "75 = 64 + 8 + 3");

    for prefix in [&[][..], &[0], &[1, 0], &[2, 0, 7], &[3, 0, 15, 255], &[9]] {
        let expected: Vec<[u8; 6]> =
            model.iter().copied().filter(|entry| entry.starts_with(prefix)).collect();
        let limit = 500;
        let found = RUNS.lookup_prefix(&transaction, prefix, limit).unwrap();
        assert_eq!(found[..], expected[..expected.len().min(limit)]);
        let mut backwards = read_pages(&database, prefix, 9999);
        backwards.reverse();
        assert_eq!(backwards, expected);
    }
    assert_eq!(RUNS.lookup_prefix(&transaction, &[], usize::MAX).unwrap().len(), LOOKUP_ENTRIES_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_runs_hold_what_a_set_holds(
        batches in prop::collection::vec(prop::collection::vec(prop::array::uniform6(0_u8..3), 0..12), 0..20),
        prefix in prop::collection::vec(0_u8..3, 0..4),
        below in prop::array::uniform6(0_u8..3),
        limit in 1_usize..9,
    ) {
        let database = open(&SimulatedDisk::new(1)).unwrap();
        let mut model = BTreeSet::new();
        add(&database, &[]).unwrap();
        for mut batch in batches {
            batch.sort_unstable();
            add(&database, &batch).unwrap();
            model.extend(batch);
        }
        let transaction = database.begin_read().unwrap();
        let matching: Vec<[u8; 6]> = model.into_iter().filter(|entry| entry.starts_with(&prefix)).collect();
        prop_assert_eq!(
            RUNS.lookup_prefix(&transaction, &prefix, limit).unwrap(),
            matching.iter().copied().take(limit).collect::<Vec<_>>()
        );
        prop_assert_eq!(
            RUNS.lookup_prefix_backwards(&transaction, &prefix, Some(&below), limit).unwrap(),
            matching.iter().rev().copied().filter(|entry| *entry < below).take(limit).collect::<Vec<_>>()
        );
    }
}

/// All keys of the rows of runs.
fn row_keys(database: &Database) -> Vec<Key<6>> {
    let transaction = database.begin_read().unwrap();
    let table = transaction.open_table(RUNS.definition()).unwrap();
    let rows = table.range::<Key<6>>(..).unwrap().map(|row| row.unwrap().0.value());
    rows.filter(|key| key.0 != u8::MAX).collect()
}

#[test]
fn a_missing_row_is_an_error_wherever_it_would_have_answered() {
    let entries = |run: u8| {
        (0..40_000u32).map(move |n| {
            let mut entry = [run; 6];
            entry[..4].copy_from_slice(&(n * 7).to_be_bytes());
            entry
        })
    };
    let database = open(&SimulatedDisk::new(1)).unwrap();
    for run in 0..2 {
        add(&database, &entries(run).collect::<Vec<_>>()).unwrap();
    }
    let keys = row_keys(&database);
    assert!(keys.len() >= 14, "each run has several rows: {}", keys.len());
    for missing in keys {
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(RUNS.definition()).unwrap();
        let row = table.remove(missing).unwrap().unwrap().value().to_vec();
        drop(table);
        transaction.commit().unwrap();

        let run = u8::try_from(missing.1).unwrap();
        let reading = database.begin_read().unwrap();
        let hidden = open_row("entries", &missing, &row).unwrap();
        let mut failed = 0;
        for entry in entries(run).step_by(37).chain(hidden.entries.iter().copied().step_by(501)) {
            let is_hidden = hidden.entries.binary_search(&entry).is_ok();
            for found in [
                RUNS.lookup_prefix(&reading, &entry, 9),
                RUNS.lookup_prefix_backwards(&reading, &entry, None, 9),
            ] {
                match found {
                    Ok(found) => assert_eq!((found, is_hidden), (vec![entry], false)),
                    Err(_) => failed += 1,
                }
            }
        }
        assert!(failed > 0);
        // What lies across the gap is an error in both directions.
        let first = *hidden.entries.first().unwrap();
        let across = &first[..2];
        assert!(RUNS.lookup_prefix(&reading, across, LOOKUP_ENTRIES_MAX).is_err());
        assert!(RUNS.lookup_prefix_backwards(&reading, across, None, LOOKUP_ENTRIES_MAX).is_err());
        drop(reading);

        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(RUNS.definition()).unwrap();
        table.insert(missing, row.as_slice()).unwrap();
        drop(table);
        transaction.commit().unwrap();
    }
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(RUNS.definition()).unwrap();
    table.remove(catalogue::key::<6>()).unwrap().unwrap();
    drop(table);
    transaction.commit().unwrap();
    assert!(RUNS.lookup_prefix(&database.begin_read().unwrap(), &[0], 9).is_err(), "the catalogue");
    assert!(add(&database, &[[1; 6]]).is_err(), "a table with rows has a catalogue");
}

#[test]
fn a_power_cut_at_any_operation_leaves_whole_runs() {
    let mut cuts = 0;
    for operation in 0.. {
        let disk = SimulatedDisk::new(operation);
        disk.fail_at(operation, Fault::PowerCut);
        let mut random = Random::new(7);
        let mut states = vec![BTreeSet::new()];
        let mut committed = 0;
        let outcome = open(&disk).and_then(|database| {
            for _ in 0..18 {
                let batch = draw_batch(&mut random, 40);
                let mut next = states[committed].clone();
                next.extend(batch.iter().copied());
                states.push(next);
                add(&database, &batch)?;
                committed += 1;
            }
            Ok(())
        });
        let left = disk.survivors(operation);
        let database = open(&left).unwrap();
        add(&database, &[]).unwrap();
        let found: BTreeSet<[u8; 6]> = read_pages(&database, &[], 9).into_iter().collect();
        let accepted = &states[committed..];
        assert!(accepted.contains(&found), "all runs that were committed, and at most the one in flight");
        if outcome.is_ok() {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 100, "{cuts}");
}
