//! The directory of a devnet: its mark, its genesis, and the lock that keeps others out.

use super::{
    BLOCK_TIME, CONSENSUS, DevnetError, DevnetSettings, NODES, NODES_MAX, genesis_text, has_identity, now_ms,
};
use crate::api::views::Hash;
use crate::paths::replace_file;
use cairn_core::genesis::Genesis;
use cairn_store::backend::RealDisk;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The file that marks a directory as a devnet's.
pub const MARK_FILE: &str = "devnet.json";
/// The directory of the first node, which also keeps the genesis.
pub(super) const FIRST_NODE: &str = "n0";
/// The file with the genesis.
const GENESIS_FILE: &str = "genesis.toml";
/// The file that the lock of the directory makes.
const LOCK_FILE: &str = "lock";
/// The version of the mark.
const FORMAT: u32 = 1;
/// The longest mark or genesis that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a devnet was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: u32,
    identity: Hash,
    nodes: u32,
    consensus: String,
    block_time_ms: u64,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The flag.
    pub flag: &'static str,
    /// What the directory was made with.
    pub kept: String,
    /// What is asked now.
    pub asked: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is {} now", self.flag, self.kept, self.asked)
    }
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) genesis: Genesis,
    pub(super) nodes: u32,
    /// Keeps other processes out while it lives.
    _lock: RealDisk,
}

/// Opens the directory of a devnet, or makes it.
pub(super) fn open(directory: &Path, settings: &DevnetSettings) -> Result<Kept, DevnetError> {
    let is_new = !holds_anything(directory)?;
    let mark = directory.join(MARK_FILE);
    if !is_new && !mark.exists() {
        return Err(DevnetError::NotADevnet { path: directory.to_owned() });
    }
    let lock = RealDisk::open(directory)?;
    if settings.reset && !is_new {
        remove_contents(directory)?;
    }
    if is_new || settings.reset {
        create(directory, settings, lock)
    } else {
        reopen(directory, settings, lock)
    }
}

/// Writes genesis and mark; the mark last, so that it stands for a whole devnet.
fn create(directory: &Path, settings: &DevnetSettings, lock: RealDisk) -> Result<Kept, DevnetError> {
    let consensus = settings.consensus.as_deref().unwrap_or(CONSENSUS);
    let block_time = settings.block_time.unwrap_or(BLOCK_TIME);
    let node = directory.join(FIRST_NODE);
    fs::create_dir_all(&node).map_err(fail(&node))?;
    let path = node.join(GENESIS_FILE);
    let text = genesis_text(consensus, block_time, now_ms());
    let genesis =
        Genesis::from_toml(&text).map_err(|source| DevnetError::Genesis { path: path.clone(), source })?;
    replace_file(&path, genesis.to_toml().as_bytes()).map_err(fail(&path))?;
    let mark = Mark {
        format: FORMAT,
        identity: (*genesis.identity()).into(),
        nodes: settings.nodes.unwrap_or(NODES),
        consensus: consensus.to_owned(),
        block_time_ms: millis(block_time),
    };
    let text = serde_json::to_vec_pretty(&mark).expect("a mark has texts and numbers only");
    let path = directory.join(MARK_FILE);
    replace_file(&path, &text).map_err(fail(&path))?;
    Ok(Kept { genesis, nodes: mark.nodes, _lock: lock })
}

/// Reads genesis and mark, and compares the settings.
fn reopen(directory: &Path, settings: &DevnetSettings, lock: RealDisk) -> Result<Kept, DevnetError> {
    let path = directory.join(MARK_FILE);
    let mark: Mark =
        serde_json::from_str(&read_text(&path)?).map_err(|_| DevnetError::Mark { path: path.clone() })?;
    if mark.format != FORMAT || !(1..=NODES_MAX).contains(&mark.nodes) {
        return Err(DevnetError::Mark { path });
    }
    let differences = compare(&mark, settings);
    if !differences.is_empty() {
        return Err(DevnetError::OtherSettings { path: directory.to_owned(), differences });
    }
    let genesis_path = directory.join(FIRST_NODE).join(GENESIS_FILE);
    let genesis = Genesis::from_toml(&read_text(&genesis_path)?)
        .map_err(|source| DevnetError::Genesis { path: genesis_path.clone(), source })?;
    if !has_identity(&genesis, &mark.identity.into()) {
        return Err(DevnetError::Mark { path: genesis_path });
    }
    Ok(Kept { genesis, nodes: mark.nodes, _lock: lock })
}

/// The settings that are asked for and differ.
fn compare(mark: &Mark, settings: &DevnetSettings) -> Vec<Difference> {
    let difference = |flag, kept: String, asked: Option<String>| {
        asked.filter(|asked| *asked != kept).map(|asked| Difference { flag, kept, asked })
    };
    let time = |ms: u64| format!("{ms}ms");
    [
        difference("--nodes", mark.nodes.to_string(), settings.nodes.map(|nodes| nodes.to_string())),
        difference("--consensus", mark.consensus.clone(), settings.consensus.clone()),
        difference(
            "--block-time",
            time(mark.block_time_ms),
            settings.block_time.map(|asked| time(millis(asked))),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether there is a directory with something in it. The file of a lock alone is nothing.
fn holds_anything(directory: &Path) -> Result<bool, DevnetError> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            let names = names.collect::<Result<Vec<_>, _>>().map_err(fail(directory))?;
            Ok(names.iter().any(|name| name != LOCK_FILE))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(fail(directory)(error)),
    }
}

/// Deletes all but the lock, the mark last: a reset that is cut off can be done again.
fn remove_contents(directory: &Path) -> Result<(), DevnetError> {
    for entry in fs::read_dir(directory).map_err(fail(directory))? {
        let entry = entry.map_err(fail(directory))?;
        let (path, name) = (entry.path(), entry.file_name());
        if name == LOCK_FILE || name == MARK_FILE {
            continue;
        }
        let is_directory = entry.file_type().map_err(fail(&path))?.is_dir();
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(fail(&path))?;
    }
    let mark = directory.join(MARK_FILE);
    fs::remove_file(&mark).map_err(fail(&mark))
}

fn read_text(path: &Path) -> Result<String, DevnetError> {
    let length = fs::metadata(path).map_err(fail(path))?.len();
    if length > FILE_BYTES_MAX {
        return Err(DevnetError::Mark { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(fail(path))
}

fn fail(path: &Path) -> impl FnOnce(io::Error) -> DevnetError {
    let path = path.to_owned();
    move |source| DevnetError::Directory { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn settings() -> DevnetSettings {
        DevnetSettings {
            nodes: None,
            consensus: None,
            block_time: None,
            mine: None,
            threads: 1,
            data_directory: PathBuf::new(),
            port_base: 0,
            ephemeral: false,
            reset: false,
            runtime_directory: PathBuf::new(),
        }
    }

    #[test]
    fn a_devnet_keeps_its_identity_and_what_is_not_said() {
        let directory = tempfile::tempdir().unwrap();
        let asked = DevnetSettings { block_time: Some(Duration::from_secs(5)), ..settings() };
        let first = open(directory.path(), &asked).unwrap();
        let identity = *first.genesis.identity();
        drop(first);
        let again = open(directory.path(), &settings()).unwrap();
        assert_eq!(*again.genesis.identity(), identity);
        assert_eq!(again.genesis.section().interval_ms, 5_000);
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path(), &settings()).unwrap());
        let asked = DevnetSettings {
            block_time: Some(Duration::from_secs(5)),
            consensus: Some("pow+permit".to_owned()),
            ..settings()
        };
        let refused = open(directory.path(), &asked).unwrap_err().to_string();
        assert!(refused.contains("--block-time was 2000ms and is 5000ms now"), "{refused}");
        assert!(refused.contains("--consensus was pow and is pow+permit now"), "{refused}");
    }

    #[test]
    fn a_reset_makes_another_network_and_touches_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), &settings()).unwrap();
        let identity = *first.genesis.identity();
        let reset = DevnetSettings { reset: true, block_time: Some(Duration::from_secs(5)), ..settings() };
        let in_use = open(directory.path(), &reset);
        assert!(matches!(in_use, Err(DevnetError::Store(_))), "{in_use:?}");
        drop(first);
        let second = open(directory.path(), &reset).unwrap();
        assert_ne!(*second.genesis.identity(), identity);

        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("letter.txt"), "dear").unwrap();
        let refused = open(other.path(), &reset);
        assert!(matches!(refused, Err(DevnetError::NotADevnet { .. })));
        assert!(other.path().join("letter.txt").exists());
    }

    #[test]
    fn a_mark_that_says_something_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path(), &settings()).unwrap());
        fs::write(directory.path().join(MARK_FILE), "{}").unwrap();
        assert!(matches!(open(directory.path(), &settings()), Err(DevnetError::Mark { .. })));
    }
}
