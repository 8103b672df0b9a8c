//! Whether the disk has room for what the node writes next.
//!
//! Once a write found no room the node counts as full until a write of the size of a whole block, and
//! some more, succeeds: that a small transaction still fits says nothing about the block that is to hold
//! it. The probe is tried again and again by itself, so a node that nobody sends work to recovers too.

use super::Counts;
use cairn_store::StoreError;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How much there must be room for beside the largest block, in bytes: its transactions in the mempool,
/// and its news.
const SPARE_BYTES: u64 = 1024 * 1024;
/// The file that a probe writes, and removes at once.
const PROBE_FILE: &str = "room.probe";
/// The least room that a start needs, in bytes: for ids of news, a token, and what a crash left to do.
const START_BYTES: u64 = 256 * 1024;
/// How often a probe is tried.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// Refuses a start that would run out of room halfway.
pub(super) fn check_start(directory: &Path) -> Result<(), StoreError> {
    match free_bytes(directory) {
        Some(free) if free < START_BYTES => Err(StoreError::Full { path: directory.to_owned() }),
        _ => Ok(()),
    }
}

/// Keeps [`Counts::disk_full`](Counts) true to the disk, and tells the operator once of each change.
#[derive(Debug)]
pub(super) struct Room {
    directory: PathBuf,
    needed: u64,
    counts: Arc<Counts>,
    full: Option<Full>,
}

/// Since when there is no room, and when to look again.
#[derive(Clone, Copy, Debug)]
struct Full {
    since: Instant,
    look_at: Instant,
}

impl Room {
    /// Room in a data directory for blocks of at most `block_bytes`. A disk that is full at the start is
    /// known as such at once.
    pub(super) fn new(directory: PathBuf, block_bytes: u64, counts: Arc<Counts>, now: Instant) -> Self {
        // What a crash left of a probe takes room itself.
        let _ = fs::remove_file(directory.join(PROBE_FILE));
        let mut room =
            Self { directory, needed: block_bytes.saturating_add(SPARE_BYTES), counts, full: None };
        if free_bytes(&room.directory).is_some_and(|free| free < room.needed) {
            room.note_full("nothing yet", now);
        }
        room
    }

    /// Something found no room.
    pub(super) fn note_full(&mut self, refused: &'static str, now: Instant) {
        if self.full.is_none() {
            tracing::error!(
                refused,
                directory = %self.directory.display(),
                free_bytes = free_bytes(&self.directory),
                needed_bytes = self.needed,
                "the disk is full: new work is refused until there is room, reading goes on"
            );
            self.counts.disk_full.store(true, Ordering::Relaxed);
            self.full = Some(Full { since: now, look_at: now + PROBE_TIME });
        }
    }

    /// When to call [`Room::look`]; none while there is room.
    pub(super) fn due(&self) -> Option<Instant> {
        self.full.map(|full| full.look_at)
    }

    /// Looks whether there is room again, where it is time to.
    pub(super) fn look(&mut self, now: Instant) {
        let Some(full) = self.full.filter(|full| full.look_at <= now) else { return };
        match probe(&self.directory.join(PROBE_FILE), self.needed) {
            Ok(()) => {
                let after_s = now.saturating_duration_since(full.since).as_secs();
                tracing::info!(after_s, "the disk has room again: the node takes new work");
                self.counts.disk_full.store(false, Ordering::Relaxed);
                self.full = None;
            }
            Err(error) => {
                tracing::debug!(%error, "there is still no room on the disk");
                self.full = Some(Full { look_at: now + PROBE_TIME, ..full });
            }
        }
    }
}

/// What the file system would give us; none if it does not say.
fn free_bytes(directory: &Path) -> Option<u64> {
    let figures = rustix::fs::statvfs(directory).ok()?;
    figures.f_bavail.checked_mul(figures.f_frsize)
}

/// Writes a file of some bytes, durably, and removes it. Only that shows quotas and reserves too.
fn probe(path: &Path, bytes: u64) -> io::Result<()> {
    static PIECE: [u8; 64 * 1024] = [0xa5; 64 * 1024];
    let write = || {
        let mut file = File::create(path)?;
        let mut left = bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE.len()).min(PIECE.len());
            let piece = PIECE.get(..length).unwrap_or(&PIECE);
            file.write_all(piece)?;
            left -= u64::try_from(piece.len()).unwrap_or(left);
        }
        file.sync_all()
    };
    let written = write();
    fs::remove_file(path).and(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(directory: &Path, block_bytes: u64) -> (Room, Arc<Counts>) {
        let counts = Arc::new(Counts::default());
        (Room::new(directory.to_owned(), block_bytes, Arc::clone(&counts), Instant::now()), counts)
    }

    fn is_full(counts: &Counts) -> bool {
        counts.disk_full.load(Ordering::Relaxed)
    }

    #[test]
    fn a_full_disk_is_looked_at_in_intervals_and_is_over_when_a_whole_block_fits() {
        let directory = tempfile::tempdir().unwrap();
        let (mut room, counts) = room(directory.path(), 100_000);
        assert!(!is_full(&counts));
        assert_eq!(room.due(), None);
        let now = Instant::now();
        room.note_full("a block", now);
        assert!(is_full(&counts));
        assert_eq!(room.due(), Some(now + PROBE_TIME));
        room.look(now);
        assert!(is_full(&counts), "it is not time yet");
        room.look(now + PROBE_TIME);
        assert!(!is_full(&counts));
        assert_eq!(room.due(), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "the probe leaves nothing");
    }

    #[test]
    fn a_disk_on_which_no_probe_succeeds_stays_full() {
        let directory = tempfile::tempdir().unwrap();
        let (mut room, counts) = room(&directory.path().join("gone"), 1);
        let now = Instant::now();
        room.note_full("a block", now);
        room.look(now + PROBE_TIME);
        assert!(is_full(&counts));
        assert_eq!(room.due(), Some(now + 2 * PROBE_TIME));
    }

    #[test]
    fn a_disk_that_is_too_small_for_a_block_is_full_from_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let (_, counts) = room(directory.path(), u64::MAX);
        assert!(is_full(&counts));
    }
}
