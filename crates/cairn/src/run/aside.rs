//! Damage to what is only kept for convenience does not keep a node from starting: the directory is set
//! aside, and the node goes on without it.
//!
//! That is so for the waiting transactions and for the news, and for nothing else: blocks are the truth,
//! and nobody guesses about them. Nothing is deleted: what was set aside can be looked at.

use cairn_store::StoreError;
use cairn_store::backend::Disk;
use std::io;
use std::path::{Path, PathBuf};

/// A directory that can be done without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispensable {
    /// Its name in the data directory.
    pub(super) directory: &'static str,
    /// What is lost with it.
    lost: &'static str,
}

/// What waits for a block.
pub(super) const MEMPOOL: Dispensable = Dispensable {
    directory: "mempool",
    lost: "the transactions that waited for a block: their senders must send them again",
};

/// The numbered news.
pub(super) const EVENTS: Dispensable =
    Dispensable { directory: "events", lost: "the news: whoever listens is told to start anew" };

/// Which attempt to open something it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// With what is there.
    First,
    /// With nothing, because what was there is damaged and was set aside.
    Anew,
}

/// Opens something; where that finds damage in a dispensable directory, sets it aside and tries again.
pub(super) fn or_again<T>(
    disk: &dyn Disk,
    dispensable: Dispensable,
    mut open: impl FnMut(Attempt) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let directory = disk.path().join(dispensable.directory);
    match open(Attempt::First) {
        Err(StoreError::Damaged { path, offset, damage }) if path.parent() == Some(&*directory) => {
            let fail = |source| StoreError::Io { what: "set aside", path: directory.clone(), source };
            let kept_as = set_aside(&directory).map_err(fail)?;
            disk.sync().map_err(fail)?;
            tracing::warn!(
                file = %path.display(),
                offset,
                %damage,
                set_aside_as = %kept_as.display(),
                lost = dispensable.lost,
                "a damaged directory was set aside, the node goes on without it"
            );
            open(Attempt::Anew)
        }
        outcome => outcome,
    }
}

/// Gives a directory the first name `….damaged-<n>` that is free.
fn set_aside(directory: &Path) -> io::Result<PathBuf> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let free = (1u32..)
        .map(|number| directory.with_file_name(format!("{name}.damaged-{number}")))
        .find(|path| !path.exists())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    std::fs::rename(directory, &free)?;
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::Damage;
    use cairn_store::backend::RealDisk;

    fn damage_in(path: PathBuf) -> StoreError {
        StoreError::Damaged { path, offset: 7, damage: Damage::Record }
    }

    #[test]
    fn only_the_named_directory_is_set_aside_and_only_for_damage() {
        let root = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(root.path()).unwrap();
        for name in ["mempool", "blocks"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let others = [
            damage_in(root.path().join("blocks/blocks-000000.log")),
            damage_in(root.path().join("state.redb")),
            StoreError::Full { path: root.path().join("mempool/mempool-000000.log") },
            StoreError::WrongNetwork {
                path: root.path().join("mempool/mempool-000000.log"),
                found: [0; 32],
                expected: [1; 32],
            },
        ];
        for other in others {
            let text = other.to_string();
            let mut other = Some(other);
            let outcome = or_again(&disk, MEMPOOL, |_| Err::<(), _>(other.take().unwrap()));
            assert_eq!(outcome.unwrap_err().to_string(), text);
            assert!(root.path().join("mempool").exists() && root.path().join("blocks").exists());
        }
        for number in 1..=2 {
            let mut attempts = Vec::new();
            let outcome = or_again(&disk, MEMPOOL, |attempt| {
                attempts.push(attempt);
                match attempt {
                    Attempt::First => Err(damage_in(root.path().join("mempool/mempool-000003.log"))),
                    Attempt::Anew => Ok(()),
                }
            });
            outcome.unwrap();
            assert_eq!(attempts, [Attempt::First, Attempt::Anew]);
            assert!(root.path().join(format!("mempool.damaged-{number}")).exists());
            assert!(!root.path().join("mempool").exists());
            std::fs::create_dir(root.path().join("mempool")).unwrap();
        }
    }

    #[test]
    fn damage_that_stays_is_reported() {
        let root = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(root.path()).unwrap();
        std::fs::create_dir(root.path().join("events")).unwrap();
        let open = |_| Err::<(), _>(damage_in(root.path().join("events/events-000000.log")));
        assert!(matches!(or_again(&disk, EVENTS, open), Err(StoreError::Damaged { .. })));
    }
}
