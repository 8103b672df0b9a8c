//! SHA-256 (FIPS 180-4) of one message.

use sha2::Digest as _;

/// A SHA-256 hash in the making.
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes` to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes appended.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// SHA-256 twice over 32 bytes and a little-endian number: the work hash, two compressions.
pub fn double_sha256_of_40(seal_hash: &[u8; 32], nonce: u64) -> [u8; 32] {
    let mut message = [0; 40];
    message[..32].copy_from_slice(seal_hash);
    message[32..].copy_from_slice(&nonce.to_le_bytes());
    sha2::Sha256::digest(sha2::Sha256::digest(message)).into()
}
