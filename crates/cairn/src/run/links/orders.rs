//! What an operator has said about peers while the node ran, and who is banned: kept in a file, so that both
//! outlive the program.

use crate::paths::{read_kept, replace_file};
use cairn_p2p::{AddressHost, Ban, Banned, PeerAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The name of the file, in the data directory.
pub(super) const FILE: &str = "peers.json";
/// The version of its format.
const FORMAT: u32 = 1;
/// The longest file that is read, in bytes: all bans and peers that there may be take less.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Who is meant by an order about one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who(pub Banned);

/// The text names neither a node nor a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither the id of a node nor an IP address")]
pub struct WhoError;

#[derive(Debug)]
pub(super) struct Orders {
    path: PathBuf,
    /// Nodes that were added while the node ran, now or earlier.
    added: Mutex<BTreeSet<PeerAddress>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    peers: Vec<String>,
    bans: Vec<SavedBan>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBan {
    who: String,
    until_ms: u64,
}

/// Nodes that were added while a node ran in a data directory, as its file says; nothing is changed there.
///
/// # Errors
///
/// If there is a file that cannot be read, or that another release wrote.
pub(crate) fn read_added(directory: &Path) -> io::Result<Vec<PeerAddress>> {
    let mut text = Vec::new();
    match File::open(directory.join(FILE)) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let saved: Saved = serde_json::from_slice(&text)?;
    if saved.format != FORMAT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another release wrote it"));
    }
    Ok(saved.peers.iter().filter_map(|peer| peer.parse().ok()).collect())
}

impl std::str::FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        match text.parse::<IpAddr>() {
            Ok(ip) => Ok(Self(Banned::Address(AddressHost::of(ip)))),
            Err(_) => text.parse().map(|node| Self(Banned::Node(node))).map_err(|_| WhoError),
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Banned::Node(node) => node.fmt(f),
            Banned::Address(host) => host.ip().fmt(f),
        }
    }
}

impl Orders {
    /// What an earlier run has left in a data directory. A file that cannot be read says nothing: it is
    /// put aside with a warning, and the node begins without.
    pub(super) fn load(directory: &Path) -> (Self, Vec<Ban>) {
        let path = directory.join(FILE);
        let saved: Saved = read_kept(&path, FILE_BYTES_MAX, |saved: &Saved| saved.format == FORMAT);
        let added = saved.peers.iter().filter_map(|peer| peer.parse().ok()).collect();
        let to_ban =
            |ban: &SavedBan| Some(Ban { who: ban.who.parse::<Who>().ok()?.0, until_ms: ban.until_ms });
        let bans = saved.bans.iter().filter_map(to_ban).collect();
        (Self { path, added: Mutex::new(added) }, bans)
    }

    /// Nodes that were added.
    pub(super) fn added(&self) -> Vec<PeerAddress> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn add(&self, address: PeerAddress) {
        self.lock().insert(address);
    }

    pub(super) fn remove(&self, address: &PeerAddress) {
        self.lock().remove(address);
    }

    /// Writes the file anew. What fails is told and tried again with the next change: it is no reason to
    /// stop a node.
    pub(super) fn save(&self, bans: &[Ban]) {
        let peers = self.lock().iter().map(ToString::to_string).collect();
        let bans = bans
            .iter()
            .map(|ban| SavedBan { who: Who(ban.who).to_string(), until_ms: ban.until_ms })
            .collect();
        let saved = Saved { format: FORMAT, peers, bans };
        let text = serde_json::to_vec_pretty(&saved).expect("texts and numbers are JSON");
        if let Err(error) = replace_file(&self.path, &text) {
            tracing::warn!(file = %self.path.display(), %error, "peers and bans are not kept");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<PeerAddress>> {
        // Nothing under the lock can panic halfway through a change.
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "12D3KooWKW2eVjWyhnR74h8Z4avJ74Y388Ag1vcWvxvYGHE8Mwn7";

    #[test]
    fn what_was_said_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let (orders, bans) = Orders::load(directory.path());
        assert_eq!((orders.added(), bans), (vec![], vec![]));
        let peers: Vec<PeerAddress> =
            ["192.0.2.1:7700", "node.example:1"].map(|it| it.parse().unwrap()).into();
        peers.iter().for_each(|peer| orders.add(peer.clone()));
        orders.add("198.51.100.1:1".parse().unwrap());
        orders.remove(&"198.51.100.1:1".parse().unwrap());
        let bans: Vec<Ban> = [NODE, "192.0.2.7", "2001:db8::"]
            .map(|who| Ban { who: who.parse::<Who>().unwrap().0, until_ms: 5 })
            .into();
        orders.save(&bans);
        assert_eq!(read_added(directory.path()).unwrap(), peers);
        let (again, kept) = Orders::load(directory.path());
        assert_eq!((again.added(), kept), (peers, bans));
    }

    #[test]
    fn a_damaged_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for text in ["{", "{\"format\":2,\"peers\":[],\"bans\":[]}", "[]"] {
            std::fs::write(&path, text).unwrap();
            assert!(read_added(directory.path()).is_err());
            let (orders, bans) = Orders::load(directory.path());
            assert_eq!((orders.added().len(), bans.len(), path.exists()), (0, 0, false));
            assert_eq!(std::fs::read_to_string(path.with_extension("damaged")).unwrap(), text);
        }
    }

    #[test]
    fn a_node_or_a_machine_is_named() {
        for text in [NODE, "192.0.2.1", "2001:db8::"] {
            assert_eq!(text.parse::<Who>().unwrap().to_string(), text);
        }
        for text in ["", "192.0.2.1:1", "node.example", "12D3KooW"] {
            assert_eq!(text.parse::<Who>(), Err(WhoError), "{text}");
        }
    }
}
