//! The log under power cuts, faults, full disks and damage.

use super::*;
use crate::error::Damage;
use crate::testing::{Fault, Random, SimulatedDisk};

const IDENTITY: [u8; 32] = [7; 32];

/// Small enough that a short history fills several segments.
const SMALL: Settings = Settings { segment_bytes: 4096, buffer_bytes: 700 };

fn open(disk: &SimulatedDisk, known_durable: Option<Position>) -> Result<(Log, Opened), StoreError> {
    Log::open(Arc::new(disk.clone()), "blocks", IDENTITY, SMALL, known_durable)
}

fn read_all(log: &Log) -> Result<Vec<(Position, Vec<u8>)>, StoreError> {
    log.scan(log.start()).collect()
}

fn record(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(random.below(1200)).unwrap()];
    random.fill(&mut bytes);
    bytes
}

/// What was asked of a log, and what it promised.
#[derive(Default)]
struct History {
    appended: Vec<(Position, Vec<u8>)>,
    /// What an append was given that did not return: it may be there or not.
    in_flight: Option<Vec<u8>>,
    acknowledged: usize,
    end: Option<Position>,
}

impl History {
    /// Appends and syncs by chance until something fails or `operations` are done.
    fn write(&mut self, log: &mut Log, random: &mut Random, operations: usize) -> Result<(), StoreError> {
        for _ in 0..operations {
            if random.below(3) == 0 {
                log.sync()?;
                self.acknowledged = self.appended.len();
                self.end = Some(log.end());
            } else {
                let bytes = record(random);
                self.in_flight = Some(bytes.clone());
                let position = log.append(&bytes)?;
                self.in_flight = None;
                assert_eq!(log.read(position).unwrap(), bytes);
                self.appended.push((position, bytes));
            }
        }
        Ok(())
    }

    /// Opens what a cut left, and checks that nothing is lost and nothing invented.
    fn check(&self, disk: &SimulatedDisk, known_durable: Option<Position>) -> Log {
        let (log, opened) = open(disk, known_durable).unwrap();
        let found = read_all(&log).unwrap();
        assert!(found.len() >= self.acknowledged, "{} of {}", found.len(), self.acknowledged);
        let known = found.len().min(self.appended.len());
        assert_eq!(found[..known], self.appended[..known]);
        for (_, bytes) in &found[known..] {
            assert_eq!(Some(bytes), self.in_flight.as_ref(), "nothing is invented");
        }
        assert!(found.len() <= known + 1);
        assert_eq!(opened.end, log.end());
        log
    }
}

/// A log of several segments whose last record is not synced, and what it holds.
fn sample(seed: u64) -> (SimulatedDisk, History) {
    let disk = SimulatedDisk::new(seed);
    let mut history = History::default();
    let (mut log, _) = open(&disk, None).unwrap();
    history.write(&mut log, &mut Random::new(seed), 60).unwrap();
    log.sync().unwrap();
    history.acknowledged = history.appended.len();
    history.end = Some(log.end());
    (disk, history)
}

#[test]
fn records_come_back_in_order_one_by_one_and_all_at_once() {
    let (disk, history) = sample(1);
    let (log, opened) = open(&disk, None).unwrap();
    assert_eq!(opened.torn, None);
    assert!(opened.end.segment > 2, "the history fills several segments");
    assert_eq!(read_all(&log).unwrap(), history.appended);
    let reader = log.reader();
    std::thread::spawn(move || {
        for (position, bytes) in &history.appended {
            assert_eq!(&reader.read(*position).unwrap(), bytes);
            assert_eq!(&reader.scan(*position).next().unwrap().unwrap().1, bytes);
        }
        assert!(reader.scan(reader.end()).next().is_none());
    })
    .join()
    .unwrap();
}

#[test]
fn positions_are_kept_in_bytes_that_sort_as_they_do() {
    let position = Position { segment: 3, offset: 0x0102_0304 };
    assert_eq!(position.to_bytes(), [0, 0, 0, 3, 1, 2, 3, 4]);
    assert_eq!(Position::from_bytes(position.to_bytes()), position);
}

#[test]
fn a_record_that_is_not_there_is_refused_by_name() {
    let (disk, history) = sample(1);
    let (mut log, _) = open(&disk, None).unwrap();
    for position in [Position { segment: 99, offset: 68 }, Position { segment: 0, offset: 0 }, log.end()] {
        assert!(matches!(log.read(position), Err(StoreError::NoRecord { position: p }) if p == position));
    }
    let unsynced = log.append(b"waits").unwrap();
    assert_eq!(log.read(unsynced).unwrap(), b"waits");
    assert!(
        matches!(log.reader().read(unsynced), Err(StoreError::NoRecord { .. })),
        "readers see what is synced"
    );
    let (first, _) = history.appended[0];
    let inside = Position { offset: first.offset + 1, ..first };
    assert!(matches!(log.read(inside), Err(StoreError::Damaged { .. })));
    let long = log.append(&[0; 4096]).unwrap_err();
    assert!(matches!(long, StoreError::RecordTooLong { found: 4096, maximum: 4008 }));
    log.sync().unwrap();
    assert_eq!(log.reader().read(unsynced).unwrap(), b"waits");
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() {
    let mut cuts = 0;
    let mut torn = 0;
    for seed in 0..6 {
        for operation in 0.. {
            let disk = SimulatedDisk::new(seed);
            disk.fail_at(operation, Fault::PowerCut);
            let mut history = History::default();
            let outcome = open(&disk, None)
                .and_then(|(mut log, _)| history.write(&mut log, &mut Random::new(seed), 30));
            if outcome.is_ok() {
                break;
            }
            for chance in 0..4 {
                let left = disk.survivors(chance);
                torn += u32::from(open(&left.survivors(0), history.end).unwrap().1.torn.is_some());
                let log = history.check(&left.survivors(0), history.end);
                assert!(history.end.is_none_or(|end| log.end() >= end));
                go_on(&history, &left, chance);
                cuts += 1;
            }
        }
    }
    assert!(cuts > 500 && torn > 100, "{torn} torn tails in {cuts} cuts");
}

/// Opens what is left without help, appends to it, and opens it once more.
fn go_on(history: &History, left: &SimulatedDisk, seed: u64) {
    let mut log = history.check(left, None);
    let mut expected = read_all(&log).unwrap();
    let mut more = History::default();
    more.write(&mut log, &mut Random::new(!seed), 10).unwrap();
    log.sync().unwrap();
    expected.extend(more.appended);
    let (again, opened) = open(&left.survivors(seed), None).unwrap();
    assert_eq!(opened.torn, None);
    assert_eq!(read_all(&again).unwrap(), expected);
}

#[test]
fn a_power_cut_during_recovery_loses_nothing_either() {
    let mut second_cuts = 0;
    for seed in 0..4 {
        for operation in 0.. {
            let disk = SimulatedDisk::new(seed);
            disk.fail_at(operation, Fault::PowerCut);
            let mut history = History::default();
            let outcome = open(&disk, None)
                .and_then(|(mut log, _)| history.write(&mut log, &mut Random::new(seed), 20));
            if outcome.is_ok() {
                break;
            }
            for inner in 0.. {
                let left = disk.survivors(operation);
                left.fail_at(inner, Fault::PowerCut);
                if open(&left, history.end).is_ok() {
                    break;
                }
                for chance in 0..3 {
                    history.check(&left.survivors(chance), None);
                    history.check(&left.survivors(chance), history.end);
                    second_cuts += 1;
                }
            }
        }
    }
    assert!(second_cuts > 300, "{second_cuts}");
}

#[test]
fn what_opening_reports_after_a_kill_survives_a_power_cut() {
    for seed in 0..4 {
        for operation in 0.. {
            let disk = SimulatedDisk::new(seed);
            disk.fail_at(operation, Fault::PowerCut);
            let mut history = History::default();
            let outcome = open(&disk, None)
                .and_then(|(mut log, _)| history.write(&mut log, &mut Random::new(seed), 25));
            if outcome.is_ok() {
                break;
            }
            // A killed process loses what waits in its memory; the operating system keeps the rest.
            let disk = disk.after_kill();
            let mut log = history.check(&disk, history.end);
            for _ in 0..2 {
                let found = read_all(&log).unwrap();
                for chance in 0..4 {
                    let (after, _) = open(&disk.survivors(chance), Some(log.end())).unwrap();
                    assert_eq!(read_all(&after).unwrap(), found);
                }
                log.append(b"one more").unwrap();
                log.sync().unwrap();
            }
        }
    }
}

#[test]
fn a_failed_write_or_sync_ends_the_log_until_it_is_opened_again() {
    let mut failures = 0;
    for operation in 0.. {
        let disk = SimulatedDisk::new(3);
        disk.fail_at(operation, Fault::Error);
        let mut history = History::default();
        let Ok((mut log, _)) = open(&disk, None) else {
            continue;
        };
        let Err(error) = history.write(&mut log, &mut Random::new(3), 30) else {
            break;
        };
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(matches!(log.append(b"x"), Err(StoreError::Poisoned { .. })));
        assert!(matches!(log.sync(), Err(StoreError::Poisoned { .. })));
        let acknowledged = &history.appended[..history.acknowledged];
        assert_eq!(read_all(&log).unwrap()[..acknowledged.len()], *acknowledged, "reading goes on");
        for chance in 0..4 {
            history.check(&disk.survivors(chance), history.end);
        }
        failures += 1;
    }
    assert!(failures > 20);
}

#[test]
fn a_full_disk_withdraws_what_was_not_synced_and_the_log_goes_on() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let mut random = Random::new(seed);
        let (mut log, _) = open(&disk, None).unwrap();
        let mut kept: Vec<(Position, Vec<u8>)> = Vec::new();
        let mut capacity = 0;
        for _ in 0..8 {
            capacity += 300 + random.below(3000);
            disk.set_capacity(capacity);
            let mut history = History::default();
            let error = history.write(&mut log, &mut random, 1000).unwrap_err();
            assert!(error.is_full(), "{error}");
            kept.extend(history.appended.into_iter().filter(|(position, _)| *position < log.end()));
            assert_eq!(read_all(&log).unwrap(), kept, "what stands before the end counts, nothing else");
            let (left, _) = open(&disk.survivors(seed), Some(log.end())).unwrap();
            assert_eq!(read_all(&left).unwrap(), kept, "what was withdrawn stays away");
        }
        assert!(kept.len() > 5, "{}", kept.len());
        disk.set_capacity(u64::MAX);
        log.append(b"room again").unwrap();
        log.sync().unwrap();
        assert_eq!(read_all(&open(&disk, None).unwrap().0).unwrap().len(), kept.len() + 1);
    }
}

#[test]
fn a_full_disk_at_any_operation_leaves_a_log_that_can_be_used_and_opened() {
    let mut failures = 0;
    for seed in 0..16 {
        for operation in 0.. {
            let disk = SimulatedDisk::new(seed);
            disk.fail_at(operation, Fault::Full);
            let Ok((mut log, _)) = open(&disk, None) else {
                continue;
            };
            let mut random = Random::new(seed);
            let mut history = History::default();
            let Err(error) = history.write(&mut log, &mut random, 40) else {
                break;
            };
            failures += 1;
            let mut kept = history.appended;
            kept.retain(|(position, _)| *position < log.end());
            if error.is_full() {
                let mut more = History::default();
                // Short ones would fit where a longer one did not.
                for _ in 0..20 {
                    more.appended.push((log.append(&[1; 50]).unwrap(), vec![1; 50]));
                    for chance in 0..2 {
                        read_all(&open(&disk.survivors(chance), None).unwrap().0).unwrap();
                    }
                }
                more.write(&mut log, &mut random, 10).unwrap();
                log.sync().unwrap();
                kept.extend(more.appended);
            }
            let (left, _) = open(&disk.survivors(operation), Some(log.end())).unwrap();
            let found = read_all(&left).unwrap();
            assert_eq!(found[..kept.len()], kept[..]);
            read_all(&open(&disk.survivors(operation), None).unwrap().0).unwrap();
        }
    }
    assert!(failures > 400, "{failures}");
}

#[test]
fn a_flipped_bit_in_what_was_synced_is_never_silent() {
    let (disk, history) = sample(5);
    let names = disk.list().unwrap();
    let last = history.end.unwrap();
    let mut at_opening = 0;
    for name in &names {
        let length = disk.content(name).unwrap().len();
        for offset in (0..length).step_by(3).chain(0..68) {
            let damaged = disk.survivors(0);
            assert!(damaged.flip_bit(name, offset, u32::try_from(offset % 8).unwrap()));
            for known_durable in [None, Some(Position { segment: last.segment, offset: 68 }), Some(last)] {
                let opened = open(&damaged.survivors(0), known_durable);
                at_opening += usize::from(opened.is_err());
                let is_last = *name == file_name_of(last);
                let outcome = opened.and_then(|(log, opened)| Ok((read_all(&log)?, opened)));
                match outcome {
                    Err(StoreError::Damaged { path, .. }) => assert!(path.ends_with(name)),
                    Err(other) => panic!("{other}"),
                    // Nothing but the last sync speaks for the records of the last sync.
                    Ok((found, opened)) => {
                        assert!(is_last && known_durable != Some(last), "silent at {name} {offset}");
                        assert!(opened.torn.is_some() && found.len() < history.appended.len());
                    }
                }
            }
        }
    }
    assert!(at_opening > 1000);
}

fn file_name_of(position: Position) -> String {
    reader::file_name("blocks", position.segment)
}

#[test]
fn a_bad_record_before_one_that_was_written_after_a_sync_is_damage() {
    let disk = SimulatedDisk::new(1);
    let (mut log, _) = open(&disk, None).unwrap();
    let first = log.append(b"first").unwrap();
    log.append(b"same batch").unwrap();
    log.sync().unwrap();
    let unproven = disk.survivors(0);
    log.append(b"next batch").unwrap();
    log.sync().unwrap();

    assert!(disk.flip_bit("blocks-000000.log", 90, 0));
    let error = open(&disk, None).unwrap_err();
    assert!(
        matches!(error, StoreError::Damaged { offset, damage: Damage::Record, .. } if offset == u64::from(first.offset))
    );
    assert!(unproven.flip_bit("blocks-000000.log", 90, 0));
    let remembered = Position { segment: 0, offset: 93 };
    assert!(open(&unproven, Some(remembered)).is_ok_and(|(_, opened)| opened.end.offset == 123));
    let torn = open(&unproven, None).unwrap().1.torn;
    assert_eq!(torn, Some(Torn { position: first, bytes: 55 }));
}

#[test]
fn missing_and_shortened_segments_are_damage() {
    let (disk, history) = sample(2);
    let end = history.end.unwrap();
    let missing = disk.survivors(0);
    missing.remove("blocks-000001.log").unwrap();
    let error = open(&missing, None).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { path, damage: Damage::Missing, .. } if path.ends_with("blocks-000001.log"))
    );

    let newest_missing = disk.survivors(0);
    newest_missing.remove(&file_name_of(end)).unwrap();
    assert!(matches!(
        open(&newest_missing, Some(end)),
        Err(StoreError::Damaged { damage: Damage::Missing, .. })
    ));

    // Cut exactly between two records, where no checksum notices.
    let (second_last, _) = *history.appended.iter().rfind(|(position, _)| position.segment == 0).unwrap();
    let cut = disk.survivors(0);
    cut.open("blocks-000000.log").unwrap().set_length(u64::from(second_last.offset)).unwrap();
    assert!(matches!(open(&cut, None), Err(StoreError::Damaged { damage: Damage::Length { .. }, .. })));

    let tail_cut = disk.survivors(0);
    tail_cut.open(&file_name_of(end)).unwrap().set_length(u64::from(end.offset - 1)).unwrap();
    assert!(matches!(
        open(&tail_cut, Some(end)),
        Err(StoreError::Damaged { damage: Damage::Length { .. }, .. })
    ));
}

#[test]
fn a_log_of_another_network_or_a_newer_format_is_left_untouched() {
    let (disk, _) = sample(1);
    let before: Vec<_> = disk.list().unwrap().iter().map(|name| disk.content(name)).collect();
    let other = Log::open(Arc::new(disk.clone()), "blocks", [8; 32], SMALL, None).unwrap_err();
    assert!(
        matches!(other, StoreError::WrongNetwork { found: IDENTITY, expected, .. } if expected == [8; 32])
    );

    let file = disk.open("blocks-000000.log").unwrap();
    let newer = Header { format: 2, identity: IDENTITY, segment: 0, salt: 1, previous_end: 0 };
    let mut old = [0; HEADER_BYTES as usize];
    file.read_exact_at(&mut old, 0).unwrap();
    file.write_all_at(&newer.encode(), 0).unwrap();
    let refused = open(&disk, None).unwrap_err();
    assert!(matches!(refused, StoreError::NewerFormat { found: 2, supported: 1, .. }));
    file.write_all_at(&old, 0).unwrap();
    let after: Vec<_> = disk.list().unwrap().iter().map(|name| disk.content(name)).collect();
    assert_eq!(before, after);
}

#[test]
fn old_segments_make_room_for_new_records_at_any_power_cut() {
    let fresh: Vec<Vec<u8>> = (0_u8..30).map(|n| vec![n; 300]).collect();
    let (mut whole, mut old_only) = (0, 0);
    for operation in 0.. {
        let (disk, history) = sample(9);
        let (mut log, _) = open(&disk, None).unwrap();
        disk.fail_at(disk.operations() + operation, Fault::PowerCut);
        let outcome = log.restart(fresh.iter().map(Vec::as_slice));
        let old: Vec<Vec<u8>> = history.appended.iter().map(|(_, bytes)| bytes.clone()).collect();
        for chance in 0..4 {
            let left = disk.survivors(chance);
            let (after, _) = open(&left, None).unwrap();
            let found: Vec<Vec<u8>> = read_all(&after).unwrap().into_iter().map(|(_, bytes)| bytes).collect();
            // The last of the old, then the first of the new; all of one of them.
            let split = (0..=found.len())
                .find(|split| old.ends_with(&found[..*split]) && fresh.starts_with(&found[*split..]))
                .expect("nothing is invented and the order is kept");
            assert!(split == old.len() || found.len() - split == fresh.len());
            whole += usize::from(split == 0);
            old_only += usize::from(split == found.len());
            if outcome.is_ok() {
                assert_eq!(found, fresh);
            }
        }
        if outcome.is_ok() {
            assert_eq!(log.start().offset, HEADER_BYTES);
            assert!(log.start().segment > 0 && log.bytes() < 11_000);
            assert!(matches!(log.read(history.appended[0].0), Err(StoreError::NoRecord { .. })));
            break;
        }
    }
    assert!(whole > 0 && old_only > 0);
}

#[test]
fn a_log_lives_in_a_real_directory() {
    let directory = tempfile::tempdir().unwrap();
    let disk = crate::backend::RealDisk::open(directory.path()).unwrap();
    let blocks = disk.directory("blocks").unwrap();
    let mut random = Random::new(1);
    let mut history = History::default();
    let (mut log, _) = Log::open(Arc::clone(&blocks), "blocks", IDENTITY, SMALL, None).unwrap();
    history.write(&mut log, &mut random, 100).unwrap();
    log.sync().unwrap();
    let end = log.end();
    drop(log);
    let (mut log, opened) = Log::open(blocks, "blocks", IDENTITY, SMALL, Some(end)).unwrap();
    assert_eq!((opened.end, opened.torn), (end, None));
    assert_eq!(read_all(&log).unwrap(), history.appended);
    log.remove_before(2).unwrap();
    assert_eq!(log.start().segment, 2);
    assert!(!directory.path().join("blocks/blocks-000001.log").exists());
    assert!(directory.path().join("blocks/blocks-000002.log").exists());
}
