//! Who a node is to other nodes: an ed25519 key, kept in a file of its own.
//!
//! It signs the certificates of connections and nothing else. It owns no coins.

use libp2p_identity::{Keypair, PeerId, ed25519};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::str::FromStr;
use zeroize::{Zeroize as _, Zeroizing};

/// The longest key file that is read; ours have 65 bytes.
const KEY_FILE_BYTES_MAX: u64 = 128;

/// What stands before an ed25519 key in libp2p's protobuf form of a public key.
pub(crate) const PROTOBUF_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// What stands before the protobuf form in a peer id: the identity multihash of 36 bytes.
const MULTIHASH_PREFIX: [u8; 2] = [0x00, 0x24];

/// The public key of a node: its name in the network.
///
/// As text it is libp2p's peer id in base 58, such as `12D3KooW…`. Only ed25519 keys name nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

/// A text or a value does not name a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node is named by the peer id of an ed25519 key, such as 12D3KooW…")]
pub struct NodeIdError;

/// The private key of a node.
pub struct NodeKey(Keypair);

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file of the node cannot be used")]
    File(#[from] io::Error),
    /// Other users may read the file.
    #[error("the key file of the node can be read by others: its mode is {found:o}, expected 600")]
    Open {
        /// The permission bits.
        found: u32,
    },
    /// The file does not hold 64 hexadecimal digits.
    #[error("the key file of the node does not hold 64 hexadecimal digits")]
    Malformed,
}

impl NodeId {
    /// The node whose public key has these bytes; none if they are no point of the curve.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        ed25519::PublicKey::try_from_bytes(&bytes).ok().map(|_| Self(bytes))
    }

    /// The bytes of the public key.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether `signature` over `message` was made with this node's key.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519::PublicKey::try_from_bytes(&self.0).is_ok_and(|key| key.verify(message, signature))
    }

    pub(crate) fn from_peer_id(peer: &PeerId) -> Option<Self> {
        let bytes = peer.to_bytes();
        let key = bytes.strip_prefix(&MULTIHASH_PREFIX)?.strip_prefix(&PROTOBUF_PREFIX)?;
        Self::from_bytes(key.try_into().ok()?)
    }

    pub(crate) fn to_peer_id(self) -> PeerId {
        let bytes = [&MULTIHASH_PREFIX[..], &PROTOBUF_PREFIX, &self.0].concat();
        PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_peer_id().fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        // The longest peer id in base 58 has 52 characters; longer texts need not be decoded.
        if text.len() > 64 {
            return Err(NodeIdError);
        }
        let peer = PeerId::from_str(text).map_err(|_| NodeIdError)?;
        Self::from_peer_id(&peer).ok_or(NodeIdError)
    }
}

impl NodeKey {
    /// The key with this seed (RFC 8032, 5.1.5).
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let pair = Keypair::ed25519_from_bytes(&mut seed).expect("any 32 bytes are a seed");
        seed.zeroize();
        Self(pair)
    }

    /// A new key.
    pub fn generate() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system has randomness");
        Self::from_seed(seed)
    }

    /// Reads the key in the file at `path`, or makes one and writes it there for its owner alone.
    ///
    /// # Errors
    ///
    /// The file cannot be used, is open to others, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match File::open(path) {
            Ok(file) => Self::read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = Zeroizing::new([0; 32]);
                getrandom::fill(&mut *seed).expect("the operating system has randomness");
                write_new(path, &seed)?;
                Ok(Self::from_seed(*seed))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The name that goes with this key.
    pub fn id(&self) -> NodeId {
        NodeId::from_peer_id(&self.0.public().to_peer_id()).expect("the key is an ed25519 key")
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).expect("ed25519 signs any message")
    }

    fn read(file: File) -> Result<Self, KeyFileError> {
        check_private(&file)?;
        let mut text = Zeroizing::new(String::new());
        file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
        let mut seed = Zeroizing::new([0; 32]);
        const_hex::decode_to_slice(text.trim_end(), &mut *seed).map_err(|_| KeyFileError::Malformed)?;
        Ok(Self::from_seed(*seed))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.id())
    }
}

#[cfg(unix)]
fn check_private(file: &File) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = file.metadata()?.permissions().mode() & 0o777;
    if found & 0o077 == 0 { Ok(()) } else { Err(KeyFileError::Open { found }) }
}

#[cfg(not(unix))]
fn check_private(_: &File) -> Result<(), KeyFileError> {
    Ok(())
}

/// Writes the seed whole or not at all: to a file beside, which then takes its place.
fn write_new(path: &Path, seed: &[u8; 32]) -> Result<(), KeyFileError> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&beside)?;
    let line = Zeroizing::new(format!("{}\n", *Zeroizing::new(const_hex::encode(seed))));
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let made = NodeKey::load_or_create(&path).unwrap();
        assert_eq!(NodeKey::load_or_create(&path).unwrap().id(), made.id());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        NodeKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(NodeKey::load_or_create(&path), Err(KeyFileError::Open { found: 0o640 })));
    }

    #[test]
    fn a_file_with_anything_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        write_new(&path, &[7; 32]).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.pop();
        text.push('7');
        fs::write(&path, text).unwrap();
        assert!(matches!(NodeKey::load_or_create(&path), Err(KeyFileError::Malformed)));
    }

    #[test]
    fn a_node_is_named_by_its_peer_id() {
        let id = NodeKey::from_seed([1; 32]).id();
        assert!(id.to_string().starts_with("12D3KooW"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("12D3KooW".parse::<NodeId>(), Err(NodeIdError));
        assert_eq!("1".repeat(500).parse::<NodeId>(), Err(NodeIdError));
        // The peer id of an RSA key is the hash of it, which is no ed25519 key.
        assert_eq!("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse::<NodeId>(), Err(NodeIdError));
    }
}
