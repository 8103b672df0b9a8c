//! Whether the disk has room, keeps what it is given, and is fast enough to wait for.

use super::Finding;
use crate::output::bytes_text;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// With less room the node refuses work soon: a block has up to 16 MiB, and the database grows beside it.
const ROOM_LEAST: u64 = 64 << 20;
/// With less room somebody should look.
const ROOM_WANTED: u64 = 1 << 30;
/// With fewer files left somebody should look.
const FILES_WANTED: u64 = 1_000;
/// How often the disk is waited for.
const SYNCS: usize = 16;
/// A sync that takes longer makes every answer slow.
const SYNC_TIME_MAX: Duration = Duration::from_millis(50);

pub(super) fn examine(directory: &Path) -> Vec<Finding> {
    let there = existing(directory);
    [room(&there), memory(&there), Some(speed(&there))].into_iter().flatten().collect()
}

/// The directory, or what of it exists before the first start.
fn existing(directory: &Path) -> PathBuf {
    let found = directory.ancestors().find(|path| path.is_dir());
    found.unwrap_or_else(|| Path::new("/")).to_owned()
}

fn room(directory: &Path) -> Option<Finding> {
    let figures = rustix::fs::statvfs(directory).ok()?;
    let free = figures.f_bavail.saturating_mul(figures.f_frsize);
    // A file system without a fixed table of files says 0 of 0.
    let files = (figures.f_files > 0).then_some(figures.f_favail);
    Some(judge_room(free, files, directory))
}

fn judge_room(free: u64, files: Option<u64>, directory: &Path) -> Finding {
    const CHECK: &str = "room";
    let message = format!("{} free in {}", bytes_text(free), directory.display());
    if free < ROOM_LEAST {
        Finding::wrong(CHECK, message, "make room: with less than 64 MiB the node soon refuses new work")
    } else if let Some(files) = files.filter(|files| *files < FILES_WANTED) {
        let message = format!("{files} more files fit into {}", directory.display());
        Finding::warning(CHECK, message, "remove files that nobody needs (`df -i` counts them)")
    } else if free < ROOM_WANTED {
        Finding::warning(CHECK, message, "make room: a million transfers need about 250 MiB")
    } else {
        Finding::fine(CHECK, message)
    }
}

/// What lies in memory is gone with the power.
#[cfg(target_os = "linux")]
fn memory(directory: &Path) -> Option<Finding> {
    /// `TMPFS_MAGIC` of statfs(2).
    const TMPFS: u64 = 0x0102_1994;
    let kind = rustix::fs::statfs(directory).ok()?.f_type;
    (u64::try_from(kind).ok()? == TMPFS).then(|| {
        let message = format!("{} lies in memory", directory.display());
        Finding::warning("file system", message, "keep a chain that matters on a disk: `--data-dir DIR`")
    })
}

#[cfg(not(target_os = "linux"))]
fn memory(_: &Path) -> Option<Finding> {
    None
}

fn speed(directory: &Path) -> Finding {
    const CHECK: &str = "speed";
    match measure(directory) {
        Err(error) => Finding::wrong(
            CHECK,
            format!("nothing can be written to {}: {error}", directory.display()),
            "let the node's user write there: `chown`, or another `--data-dir`",
        ),
        Ok(time) => {
            let message = format!("a durable write takes {:.1} ms", time.as_secs_f64() * 1e3);
            if time > SYNC_TIME_MAX {
                Finding::warning(CHECK, message, "every answer waits for one: a faster disk makes all faster")
            } else {
                Finding::fine(CHECK, message)
            }
        }
    }
}

/// The median time of a small durable write.
fn measure(directory: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::tempfile_in(directory)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Grade;

    #[test]
    fn little_room_is_a_warning_and_hardly_any_is_wrong() {
        let judge = |free, files| judge_room(free, files, Path::new("/data"));
        assert_eq!(judge(2 << 30, None).grade, Grade::Fine);
        assert_eq!(judge(2 << 30, Some(10)).grade, Grade::Warning);
        assert_eq!(judge(500 << 20, Some(5_000)).grade, Grade::Warning);
        let found = judge(1 << 20, Some(10));
        assert_eq!((found.grade, found.message.as_str()), (Grade::Wrong, "1.0 MiB free in /data"));
    }

    #[test]
    fn before_the_first_start_the_directory_above_is_measured() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(existing(&directory.path().join("cairn/mycoin")), directory.path());
        assert!(measure(directory.path()).is_ok());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_wrong() {
        assert_eq!(speed(Path::new("/proc")).grade, Grade::Wrong);
    }
}
