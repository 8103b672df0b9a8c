//! Proofs that an entry is in the state, or that there is none under a path.
//!
//! # Provided
//!
//! Whoever trusts a state root learns from a proof what the state holds under one path. No proof
//! for another answer exists unless SHA-256 collides.
//!
//! # Not provided
//!
//! That the root is that of a block, and which block is the newest: the header says it.

use crate::account::StateValue;
use crate::codec::{Decode, DecodeError, Encode, Reader, encode_byte_string, encode_count};
use crate::hash::{StatePath, StateRoot, Tag};

/// The way from the root to the place where an entry is, or would be.
///
/// Canonical bytes: the siblings as a list of 32-byte strings (at most
/// [`SIBLINGS_MAX`](Self::SIBLINGS_MAX)), then the end: `0x00`, or `0x01`, the path and the value
/// as a byte string of at most [`StateValue::BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// The hashes beside the way, from the root down.
    pub siblings: Vec<[u8; 32]>,
    /// What lies at the end of the way.
    pub end: ProofEnd,
}

/// What lies at the end of a way down the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofEnd {
    /// An empty subtree.
    Empty,
    /// A subtree of exactly one entry.
    Leaf {
        /// The path of the entry.
        path: StatePath,
        /// The canonical bytes of its value.
        value: Vec<u8>,
    },
}

/// Why a proof does not show what lies under a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateProofError {
    /// STA-1: the hashes of the proof lead to the state root.
    #[error("the proof leads to the root {found}, not to {expected}")]
    RootMismatch {
        /// Where the proof leads.
        found: StateRoot,
        /// The root that is trusted.
        expected: StateRoot,
    },
    /// STA-2: the entry at the end shares as many bits with the path as the way is long.
    #[error("the entry at the end shares {found} bits with the path, the way has {expected}")]
    ForeignLeaf {
        /// How many bits they share.
        found: usize,
        /// The length of the way.
        expected: usize,
    },
    /// STA-3: a way has at most as many steps as a path has bits.
    #[error("the way has {found} steps, a path has {limit} bits")]
    TooDeep {
        /// The length of the way.
        found: usize,
        /// The length of a path.
        limit: usize,
    },
    /// STA-4: the value of the entry that is proven has a known kind and its canonical bytes.
    #[error("the value of the entry is malformed")]
    Value(#[source] DecodeError),
}

impl StateProof {
    /// The most siblings a proof has, the number of bits of a path.
    pub const SIBLINGS_MAX: usize = 256;

    /// What the state with this root holds under `path`; none if the proof shows that there is no
    /// entry.
    ///
    /// Costs two compressions a sibling, and those of the leaf.
    ///
    /// # Errors
    ///
    /// [`StateProofError`] if the proof does not hold for this root and path.
    pub fn verify(&self, root: StateRoot, path: &StatePath) -> Result<Option<StateValue>, StateProofError> {
        let steps = self.siblings.len();
        if steps > Self::SIBLINGS_MAX {
            return Err(StateProofError::TooDeep { found: steps, limit: Self::SIBLINGS_MAX });
        }
        let end = match &self.end {
            ProofEnd::Empty => [0; 32],
            ProofEnd::Leaf { path: leaf, value } => {
                let shared = path.shared_bits(leaf);
                if shared < steps {
                    return Err(StateProofError::ForeignLeaf { found: shared, expected: steps });
                }
                Tag::STATE_LEAF.hash(&[leaf.as_bytes(), value])
            }
        };
        let up = self.siblings.iter().enumerate().rev();
        let found = StateRoot(up.fold(end, |hash, (depth, sibling)| match path.side(depth) {
            0 => Tag::STATE_NODE.hash(&[&hash, sibling]),
            _ => Tag::STATE_NODE.hash(&[sibling, &hash]),
        }));
        if found != root {
            return Err(StateProofError::RootMismatch { found, expected: root });
        }
        match &self.end {
            ProofEnd::Leaf { path: leaf, value } if leaf == path => {
                StateValue::from_value_bytes(value).map(Some).map_err(StateProofError::Value)
            }
            ProofEnd::Leaf { .. } | ProofEnd::Empty => Ok(None),
        }
    }
}

impl Encode for StateProof {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_count(self.siblings.len(), out);
        for sibling in &self.siblings {
            sibling.encode(out);
        }
        match &self.end {
            ProofEnd::Empty => out.push(0),
            ProofEnd::Leaf { path, value } => {
                out.push(1);
                path.encode(out);
                encode_byte_string(value, out);
            }
        }
    }
}

impl Decode for StateProof {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.count("siblings", Self::SIBLINGS_MAX, 32)?;
        let siblings = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
        let at = reader.position();
        let end = match reader.byte()? {
            0 => ProofEnd::Empty,
            1 => ProofEnd::Leaf {
                path: StatePath::decode(reader)?,
                value: reader.byte_string("state value", StateValue::BYTES_MAX)?.to_vec(),
            },
            found => return Err(DecodeError::UnknownKind { what: "end of a state proof", at, found }),
        };
        Ok(Self { siblings, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;
    use crate::codec::decode_exact;
    use crate::numbers::{Amount, Nonce};
    use crate::state::State;

    fn path(first: u8) -> StatePath {
        StatePath([first; 32])
    }

    fn account(units: u64) -> Account {
        Account { balance: Amount::from_units(units), nonce: Nonce(0) }
    }

    /// Three accounts: two under the left half, one under the right.
    fn three() -> (State, StateRoot) {
        let mut state = State::new();
        for (first, units) in [(0x00, 1), (0x01, 2), (0x80, 3)] {
            state.insert(path(first), account(units));
        }
        let root = state.root();
        (state, root)
    }

    #[test]
    fn sta_1_a_proof_for_another_root_is_refused() {
        let (mut state, root) = three();
        let old = state.prove(&path(0x80));
        let index = state.find(&path(0x80)).unwrap();
        state.set(index, account(4));
        let new = state.root();
        assert_eq!(old.verify(root, &path(0x80)), Ok(Some(StateValue::Account(account(3)))));
        assert_eq!(
            old.verify(new, &path(0x80)),
            Err(StateProofError::RootMismatch { found: root, expected: new })
        );
    }

    #[test]
    fn sta_2_a_leaf_from_elsewhere_proves_no_absence() {
        let (state, root) = three();
        let proof = state.prove(&path(0x01));
        assert_eq!(proof.siblings.len(), 8);
        assert_eq!(
            proof.verify(root, &path(0x02)),
            Err(StateProofError::ForeignLeaf { found: 6, expected: 8 })
        );
        assert_eq!(state.prove(&path(0xff)).verify(root, &path(0xff)), Ok(None));
    }

    #[test]
    fn sta_3_a_way_longer_than_a_path_is_refused() {
        let proof = StateProof { siblings: vec![[1; 32]; 257], end: ProofEnd::Empty };
        assert_eq!(
            proof.verify(StateRoot::ZERO, &path(0)),
            Err(StateProofError::TooDeep { found: 257, limit: 256 })
        );
        assert!(matches!(decode_exact::<StateProof>(&proof.to_bytes()), Err(DecodeError::TooLong { .. })));
    }

    #[test]
    fn sta_4_a_value_of_unknown_kind_is_refused() {
        let end = ProofEnd::Leaf { path: path(7), value: vec![3] };
        let proof = StateProof { siblings: Vec::new(), end };
        let root = StateRoot(Tag::STATE_LEAF.hash(&[&[7; 32], &[3]]));
        assert!(matches!(
            proof.verify(root, &path(7)),
            Err(StateProofError::Value(DecodeError::UnknownKind { found: 3, .. }))
        ));
    }

    #[test]
    fn the_empty_state_holds_nothing() {
        let proof = State::new().prove(&path(1));
        assert_eq!(proof, StateProof { siblings: Vec::new(), end: ProofEnd::Empty });
        assert_eq!(proof.verify(StateRoot::ZERO, &path(1)), Ok(None));
    }

    #[test]
    fn a_proof_reads_back_from_its_bytes() {
        let (state, _) = three();
        for first in [0x00, 0x01, 0x02, 0x40, 0x80, 0xff] {
            let proof = state.prove(&path(first));
            assert_eq!(decode_exact(&proof.to_bytes()), Ok(proof));
        }
        let mut bytes = State::new().prove(&path(1)).to_bytes();
        bytes[4] = 2;
        assert!(matches!(decode_exact::<StateProof>(&bytes), Err(DecodeError::UnknownKind { found: 2, .. })));
    }
}
