//! Where things lie: the XDG directories, and the register of running nodes and trackers.
//!
//! Whoever runs writes one small file into the runtime directory, so that commands find it
//! without being told. A file whose process is gone is ignored and taken away.

use crate::failure::CliError;
use etcetera::base_strategy::{BaseStrategy as _, Xdg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The longest file of the register that is read.
const RECORD_BYTES_MAX: u64 = 64 * 1024;
/// The most files of the register that are read.
const RECORDS_MAX: usize = 1024;

/// The directories of the program (XDG Base Directory Specification).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// Settings: `$XDG_CONFIG_HOME/cairn`.
    pub config: PathBuf,
    /// One directory a network: `$XDG_DATA_HOME/cairn`.
    pub data: PathBuf,
    /// The register of running nodes: `$XDG_RUNTIME_DIR/cairn`.
    pub runtime: PathBuf,
}

impl Directories {
    /// The directories of this user.
    ///
    /// # Errors
    ///
    /// If the user has no home directory.
    pub fn of_user() -> Result<Self, CliError> {
        let xdg = Xdg::new().map_err(|error| {
            CliError::failed("no-home", "the home directory is unknown")
                .because(&error)
                .help("set HOME, or XDG_CONFIG_HOME and XDG_DATA_HOME")
        })?;
        let runtime = match xdg.runtime_dir() {
            Some(directory) => directory.join("cairn"),
            None => std::env::temp_dir().join(format!("cairn-{}", rustix::process::getuid().as_raw())),
        };
        Ok(Self { config: xdg.config_dir().join("cairn"), data: xdg.data_dir().join("cairn"), runtime })
    }

    /// Where a network is kept if nothing else is said.
    pub fn data_of(&self, network: &str) -> PathBuf {
        // A network's name is anybody's text: only plain characters may become part of a path.
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        let name: String = network.chars().map(|it| if plain(it) { it } else { '_' }).collect();
        self.data.join(name)
    }
}

/// What a process of the register does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A node: it keeps a chain and answers all that the interface has.
    #[default]
    Node,
    /// A tracker: it keeps none.
    Tracker,
}

/// A running node or tracker, as the register knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningNode {
    /// What it does.
    #[serde(default)]
    pub kind: Kind,
    /// The process.
    pub pid: u32,
    /// The node's own name.
    pub name: String,
    /// The address of its HTTP interface.
    pub api: String,
    /// The network's name.
    pub network: String,
    /// The id of block 0.
    pub identity: String,
    /// Where it keeps what it has.
    pub data_dir: PathBuf,
    /// The file that holds the token for what changes the node.
    pub token_file: PathBuf,
    /// By what its certificate is known; none where it speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl RunningNode {
    /// What it is called, in a sentence: a node by its name, a tracker as that.
    pub fn title(&self) -> String {
        match (self.kind, self.name.as_str()) {
            (Kind::Node, name) => name.to_owned(),
            (Kind::Tracker, "tracker") => "the tracker".to_owned(),
            (Kind::Tracker, name) => format!("the tracker {name}"),
        }
    }
}

/// The file of a running node in the register; dropping it takes the file away.
#[derive(Debug)]
pub struct Registered {
    file: PathBuf,
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Whoever finds the file later sees that the process is gone.
        let _ = fs::remove_file(&self.file);
    }
}

/// Writes a running node into the register under `runtime`, until the answer is dropped.
///
/// # Errors
///
/// If the directory or the file cannot be written.
pub fn register(runtime: &Path, node: &RunningNode) -> io::Result<Registered> {
    create_private_directory(runtime)?;
    let place: String =
        node.api.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    let file = runtime.join(format!("{}-{place}.json", node.pid));
    let unfinished = file.with_extension("new");
    let bytes = serde_json::to_vec(node).map_err(io::Error::other)?;
    fs::File::create(&unfinished)?.write_all(&bytes)?;
    // Renaming shows other commands a whole file or none.
    fs::rename(&unfinished, &file)?;
    Ok(Registered { file })
}

/// Writes a file so that it is there whole or as it was before, and only this user can read it; it is on
/// the disk when this returns.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let unfinished = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(directory) => fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// A small file of JSON that was kept for this start; the default where there is none.
///
/// One that cannot be read, has more than `bytes_max` bytes or is not `good` says nothing: it is put aside
/// with a warning, and the program begins without.
pub(crate) fn read_kept<T: DeserializeOwned + Default>(
    path: &Path,
    bytes_max: u64,
    good: impl FnOnce(&T) -> bool,
) -> T {
    let invalid = |told: String| io::Error::new(io::ErrorKind::InvalidData, told);
    let read = || {
        let length = fs::metadata(path)?.len();
        if length > bytes_max {
            return Err(invalid(format!("{length} bytes are too many")));
        }
        let kept: T = serde_json::from_slice(&fs::read(path)?)?;
        if good(&kept) { Ok(kept) } else { Err(invalid("another release wrote it".to_owned())) }
    };
    match read() {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => T::default(),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "what was kept cannot be read: put aside");
            if let Err(error) = fs::rename(path, path.with_extension("damaged")) {
                tracing::warn!(file = %path.display(), %error, "it stays where it is");
            }
            T::default()
        }
    }
}

/// All nodes of the register whose process lives, ordered by network and name.
pub fn running_nodes(runtime: &Path) -> Vec<RunningNode> {
    let mut nodes = all_running(runtime);
    nodes.retain(|node| node.kind == Kind::Node);
    nodes
}

/// The same with the trackers, behind the nodes of their network.
pub fn all_running(runtime: &Path) -> Vec<RunningNode> {
    let Ok(entries) = fs::read_dir(runtime) else {
        return Vec::new();
    };
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let records = files.filter(|file| file.extension().is_some_and(|it| it == "json")).take(RECORDS_MAX);
    let mut nodes: Vec<RunningNode> = records.filter_map(|file| read_record(&file)).collect();
    nodes.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
    nodes
}

fn order_of(node: &RunningNode) -> (&str, bool, &str, &str) {
    (&node.network, node.kind == Kind::Tracker, &node.name, &node.api)
}

/// The node of one file; none if it cannot be read, or if its process is gone.
fn read_record(file: &Path) -> Option<RunningNode> {
    if fs::metadata(file).ok()?.len() > RECORD_BYTES_MAX {
        return None;
    }
    let node: RunningNode = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    if is_alive(node.pid) {
        return Some(node);
    }
    let _ = fs::remove_file(file);
    None
}

/// Whether a process lives. One of another user does, too; one that has ended and that its parent
/// has not asked about yet does not.
pub fn is_alive(pid: u32) -> bool {
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let exists = raw
        .is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)));
    exists && !has_ended(pid)
}

/// Whether Linux lists the process as ended (proc(5): state Z or X). Elsewhere nobody can tell.
fn has_ended(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name before the state may hold anything, brackets included.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('Z' | 'X'))
}

/// Makes a directory that only this user can enter. One that exists stays as it is, unless it
/// belongs to somebody else.
pub(crate) fn create_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // The fallback lies in a directory for everybody, where another user may have been first.
    let metadata = fs::symlink_metadata(directory)?;
    if metadata.is_dir() && metadata.uid() == rustix::process::getuid().as_raw() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the directory belongs to another user"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(pid: u32, name: &str) -> RunningNode {
        RunningNode {
            kind: Kind::Node,
            pid,
            name: name.to_owned(),
            api: format!("http://127.0.0.1:{}", 7780 + name.len()),
            network: "devnet".to_owned(),
            identity: "00".repeat(32),
            data_dir: PathBuf::from("/data"),
            token_file: PathBuf::from("/data/token"),
            fingerprint: None,
        }
    }

    #[test]
    fn a_running_node_is_found_until_it_stops() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = directory.path().join("cairn");
        assert_eq!(running_nodes(&runtime), []);
        let node = node(std::process::id(), "n0");
        let registered = register(&runtime, &node).unwrap();
        assert_eq!(running_nodes(&runtime), [node]);
        drop(registered);
        assert_eq!(running_nodes(&runtime), []);
    }

    #[test]
    fn a_node_whose_process_is_gone_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        assert!(child.wait().unwrap().success());
        let registered = register(directory.path(), &node(child.id(), "n0")).unwrap();
        assert_eq!(running_nodes(directory.path()), []);
        assert!(!registered.file.exists());
    }

    #[test]
    fn a_tracker_is_no_node_and_a_record_of_an_earlier_release_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let pid = std::process::id();
        let tracker = RunningNode { kind: Kind::Tracker, ..node(pid, "a") };
        let earlier = node(pid, "n0");
        let _registered = register(directory.path(), &tracker).unwrap();
        let mut record = serde_json::to_value(&earlier).unwrap();
        record.as_object_mut().unwrap().remove("kind");
        fs::write(directory.path().join("1-x.json"), record.to_string()).unwrap();
        assert_eq!(running_nodes(directory.path()), std::slice::from_ref(&earlier));
        assert_eq!(all_running(directory.path()), [earlier, tracker]);
    }

    #[test]
    fn a_tracker_is_called_one() {
        let tracker = |name| RunningNode { kind: Kind::Tracker, ..node(1, name) }.title();
        assert_eq!([tracker("tracker"), tracker("west")], ["the tracker", "the tracker west"]);
        assert_eq!(node(1, "n0").title(), "n0");
    }

    #[test]
    fn garbage_in_the_register_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("1-x.json"), "{").unwrap();
        fs::write(directory.path().join("2-x.json"), vec![b' '; 100_000]).unwrap();
        assert_eq!(running_nodes(directory.path()), []);
    }

    #[test]
    fn a_networks_name_never_leaves_the_data_directory() {
        let directories = Directories { config: "/c".into(), data: "/d".into(), runtime: "/r".into() };
        assert_eq!(directories.data_of("../../etc/x y"), Path::new("/d/______etc_x_y"));
        assert_eq!(directories.data_of("devnet"), Path::new("/d/devnet"));
    }
}
