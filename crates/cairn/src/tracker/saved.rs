//! What a tracker remembers over a restart: the nodes that it has reached, and who is banned.

use super::registry::Entry;
use crate::paths::{read_kept, replace_file};
use crate::run::links::Who;
use cairn_p2p::{Ban, Roles};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;

/// The name of the file, in the directory of the tracker.
pub(super) const FILE: &str = "tracker.json";
/// The version of its format.
const FORMAT: u32 = 1;
/// The longest file that is read, in bytes: all nodes and bans that there may be take less.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) nodes: Vec<(SocketAddr, Entry)>,
    pub(super) bans: Vec<Ban>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    nodes: Vec<SavedNode>,
    bans: Vec<SavedBan>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedNode {
    address: SocketAddr,
    id: String,
    name: String,
    roles: u32,
    seen_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBan {
    who: String,
    until_ms: u64,
}

/// What an earlier run has left. A file that cannot be read says nothing: it is put aside with a warning, and
/// the tracker begins without.
pub(super) fn load(path: &Path) -> Memory {
    let saved: Saved = read_kept(path, FILE_BYTES_MAX, |saved: &Saved| saved.format == FORMAT);
    Memory {
        nodes: saved.nodes.into_iter().filter_map(to_entry).collect(),
        bans: saved.bans.iter().filter_map(to_ban).collect(),
    }
}

/// The bytes of a file that remembers all of this.
pub(super) fn to_bytes<'a>(
    nodes: impl Iterator<Item = (&'a SocketAddr, &'a Entry)>,
    bans: &[Ban],
) -> Vec<u8> {
    let nodes = nodes.map(|(address, entry)| SavedNode {
        address: *address,
        id: entry.node.to_string(),
        name: entry.name.clone(),
        roles: entry.roles.0,
        seen_ms: entry.seen_ms,
    });
    let bans = bans.iter().map(|ban| SavedBan { who: Who(ban.who).to_string(), until_ms: ban.until_ms });
    let saved = Saved { format: FORMAT, nodes: nodes.collect(), bans: bans.collect() };
    serde_json::to_vec_pretty(&saved).expect("texts and numbers are JSON")
}

/// Writes the file anew. What fails is told and tried again with the next change: it is no reason to stop.
pub(super) fn save(path: &Path, bytes: &[u8]) {
    if let Err(error) = replace_file(path, bytes) {
        tracing::warn!(file = %path.display(), %error, "what the tracker knows is not kept");
    }
}

fn to_entry(saved: SavedNode) -> Option<(SocketAddr, Entry)> {
    let SavedNode { address, id, name, roles, seen_ms } = saved;
    let node = id.parse().ok()?;
    // It was reached, or it would not be here; whether it still can be is soon looked at.
    Some((address, Entry { node, name, roles: Roles(roles), seen_ms, is_reached: true, checked_ms: None }))
}

fn to_ban(saved: &SavedBan) -> Option<Ban> {
    Some(Ban { who: saved.who.parse::<Who>().ok()?.0, until_ms: saved.until_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_p2p::NodeKey;

    fn entry() -> Entry {
        let node = NodeKey::from_seed([1; 32]).id();
        let name = "n1".to_owned();
        Entry { node, name, roles: Roles::FULL, seen_ms: 5, is_reached: true, checked_ms: None }
    }

    #[test]
    fn nodes_and_bans_are_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        assert!(load(&path).nodes.is_empty());
        let address: SocketAddr = "192.0.2.1:7700".parse().unwrap();
        let ban = Ban { who: "192.0.2.7".parse::<Who>().unwrap().0, until_ms: 9 };
        save(&path, &to_bytes([(&address, &entry())].into_iter(), &[ban]));
        let memory = load(&path);
        assert_eq!(memory.nodes, [(address, entry())]);
        assert_eq!(memory.bans, [ban]);
    }

    #[test]
    fn a_damaged_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for text in ["{", "{\"format\":2,\"nodes\":[],\"bans\":[]}", "[]"] {
            std::fs::write(&path, text).unwrap();
            assert!(load(&path).nodes.is_empty());
            assert!(!path.exists());
            assert_eq!(std::fs::read_to_string(path.with_extension("damaged")).unwrap(), text);
        }
    }
}
