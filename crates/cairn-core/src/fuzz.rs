//! Bodies of fuzz targets: each takes any bytes and panics only if a promise is broken.
//!
//! Ordinary functions, so that tests on any toolchain and a coverage-guided fuzzer run the same.

use crate::block::{Certificate, Header, SealedBlock, SealedHeader, decode_block};
use crate::codec::{Decode, Encode, decode_exact};
use crate::history::HistoryProof;
use crate::merkle::MerkleProof;
use crate::network::ConsensusSection;
use crate::signature::{PublicKey, Witness};
use crate::state::{StateProof, Undo};
use crate::target::CompactTarget;
use crate::transaction::Transaction;

/// A decoder that has accepted bytes gives the same bytes back: there is no second encoding.
fn accepts_only_canonical<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = decode_exact::<T>(bytes) {
        assert_eq!(value.to_bytes(), bytes, "a decoder accepted bytes that are not canonical");
    }
}

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 13] = [
    ("transaction", accepts_only_canonical::<Transaction>),
    ("witness", accepts_only_canonical::<Witness>),
    ("public_key", accepts_only_canonical::<PublicKey>),
    ("header", accepts_only_canonical::<Header>),
    ("sealed_header", accepts_only_canonical::<SealedHeader>),
    ("certificate", accepts_only_canonical::<Certificate>),
    ("block", sealed_block),
    ("consensus_section", accepts_only_canonical::<ConsensusSection>),
    ("merkle_proof", accepts_only_canonical::<MerkleProof>),
    ("history_proof", accepts_only_canonical::<HistoryProof>),
    ("state_proof", accepts_only_canonical::<StateProof>),
    ("undo", undo),
    ("compact_target", compact_target),
];

fn sealed_block(bytes: &[u8]) {
    if let Ok(block) = decode_block(bytes) {
        let block: SealedBlock = block;
        assert_eq!(block.to_bytes(), bytes);
        let _ = block.id();
    }
}

fn undo(bytes: &[u8]) {
    // A storage format with numbers of variable length: only the value must survive.
    if let Ok(undo) = Undo::from_stored_bytes(bytes) {
        assert_eq!(Undo::from_stored_bytes(&undo.to_stored_bytes()).ok(), Some(undo));
    }
}

fn compact_target(bytes: &[u8]) {
    if let Ok(bits) = decode_exact::<u32>(bytes)
        && let Ok(target) = CompactTarget(bits).expand()
    {
        assert_eq!(target.to_compact(), CompactTarget(bits));
        let _ = target.work();
    }
}
