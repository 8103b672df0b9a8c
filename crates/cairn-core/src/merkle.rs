//! The transaction tree: one root for all transactions of a block, and proofs that one is in it.
//!
//! The shape is that of RFC 6962: a node without a partner rises to the next level as it is, and
//! no leaf is ever doubled, so no two lists share a root (CVE-2012-2459). Leaves and nodes have
//! tags of their own, so no leaf passes for a node (CVE-2017-12842). The root of no leaves is 32
//! zero bytes.

use crate::codec::{Decode, DecodeError, Encode, Reader, encode_count};
use crate::hash::{LeafHash, MerkleRoot, Tag};

/// The longest proof: a tree of 2³² leaves has 32 levels.
pub const PROOF_HASHES_MAX: usize = 32;

/// The root over `leaves`.
pub fn root(leaves: &[LeafHash]) -> MerkleRoot {
    let mut level: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf.0).collect();
    while level.len() > 1 {
        level = parents(&level);
    }
    MerkleRoot(level.first().copied().unwrap_or_default())
}

/// The level above `level`.
fn parents(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let (pairs, alone) = level.as_chunks::<2>();
    let mut above = vec![[0; 32]; pairs.len()];
    cairn_hash::hash_pairs(Tag::TX_NODE.as_bytes(), pairs, &mut above);
    above.extend_from_slice(alone);
    above
}

/// What shows that a leaf stands at a place of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleProof {
    /// The place of the leaf, counted from 0.
    pub index: u32,
    /// How many leaves the tree has; the header says it too.
    pub count: u32,
    /// The hashes beside the way from the leaf to the root, lowest first.
    pub siblings: Vec<[u8; 32]>,
}

/// A proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleProofError {
    /// MRK-1: the place of a leaf is below the number of leaves.
    #[error("leaf {index} is not among {count} leaves")]
    IndexOutside {
        /// The place claimed.
        index: u32,
        /// The number of leaves.
        count: u32,
    },
    /// MRK-2: a proof has one hash for each level at which the way has a partner.
    #[error("the proof has {found} hashes, the way from this leaf has {expected}")]
    Length {
        /// The hashes of the proof.
        found: usize,
        /// The hashes it must have.
        expected: usize,
    },
    /// MRK-3: the leaf and its siblings hash to the root.
    #[error("the proof leads to {found}, the root is {expected}")]
    RootMismatch {
        /// Where the proof leads.
        found: MerkleRoot,
        /// The root of the header.
        expected: MerkleRoot,
    },
}

impl MerkleProof {
    /// The proof for the leaf at `index`; none if there is no such leaf.
    pub fn new(leaves: &[LeafHash], index: usize) -> Option<Self> {
        leaves.get(index)?;
        let count = u32::try_from(leaves.len()).ok()?;
        let mut level: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf.0).collect();
        let mut place = index;
        let mut siblings = Vec::new();
        while level.len() > 1 {
            siblings.extend(level.get(place ^ 1));
            level = parents(&level);
            place /= 2;
        }
        Some(Self { index: u32::try_from(index).ok()?, count, siblings })
    }

    /// Whether `leaf` stands at the place of the proof in the tree of `count` leaves with `root`.
    ///
    /// # Errors
    ///
    /// [`MerkleProofError`] if the proof does not show it.
    pub fn verify(&self, leaf: LeafHash, root: MerkleRoot) -> Result<(), MerkleProofError> {
        let Self { index, count, .. } = *self;
        // MRK-1 > The place of a leaf is below the number of leaves.
        if index >= count {
            return Err(MerkleProofError::IndexOutside { index, count });
        }
        // MRK-2 > One hash for each level at which the way has a partner.
        let expected = ways_with_partner(index, count).filter(|partner| *partner).count();
        if self.siblings.len() != expected {
            return Err(MerkleProofError::Length { found: self.siblings.len(), expected });
        }
        let mut hash = leaf.0;
        let mut siblings = self.siblings.iter();
        let mut place = index;
        for partner in ways_with_partner(index, count) {
            if let Some(sibling) = if partner { siblings.next() } else { None } {
                let (left, right) = if place & 1 == 0 { (&hash, sibling) } else { (sibling, &hash) };
                hash = Tag::TX_NODE.hash(&[left, right]);
            }
            place >>= 1;
        }
        // MRK-3 > The leaf and its siblings hash to the root.
        let found = MerkleRoot(hash);
        if found == root { Ok(()) } else { Err(MerkleProofError::RootMismatch { found, expected: root }) }
    }
}

/// For each level from the leaves up: whether the node on the way has a partner.
fn ways_with_partner(index: u32, count: u32) -> impl Iterator<Item = bool> {
    let mut place = index;
    let mut width = count;
    std::iter::from_fn(move || {
        if width <= 1 {
            return None;
        }
        let partner = place ^ 1 < width;
        place >>= 1;
        width = width.div_ceil(2);
        Some(partner)
    })
}

impl Encode for MerkleProof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.index.encode(out);
        self.count.encode(out);
        encode_count(self.siblings.len(), out);
        for sibling in &self.siblings {
            sibling.encode(out);
        }
    }
}

impl Decode for MerkleProof {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = u32::decode(reader)?;
        let count = u32::decode(reader)?;
        let hashes = reader.count("proof", PROOF_HASHES_MAX, 32)?;
        let siblings = (0..hashes).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { index, count, siblings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<LeafHash> {
        (0..count).map(|n| LeafHash(Tag::LEAF.hash(&[&[n]]))).collect()
    }

    /// RFC 6962 §2.1, word for word: split at the largest power of two below the count.
    fn rfc_6962(leaves: &[LeafHash]) -> [u8; 32] {
        match leaves {
            [] => [0; 32],
            [leaf] => leaf.0,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                Tag::TX_NODE.hash(&[&rfc_6962(left), &rfc_6962(right)])
            }
        }
    }

    #[test]
    fn merkle_rfc6962_shape_and_proofs() {
        for count in 0..70 {
            let leaves = leaves(count);
            let root = root(&leaves);
            assert_eq!(root.0, rfc_6962(&leaves), "{count} leaves");
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = MerkleProof::new(&leaves, index).unwrap();
                assert_eq!(proof.verify(*leaf, root), Ok(()));
                assert_eq!(crate::codec::decode_exact(&proof.to_bytes()), Ok(proof));
            }
        }
    }

    #[test]
    fn mrk_1_a_place_outside_the_tree_is_refused() {
        let leaves = leaves(5);
        let proof = MerkleProof { index: 5, ..MerkleProof::new(&leaves, 4).unwrap() };
        let refused = proof.verify(leaves[4], root(&leaves));
        assert_eq!(refused, Err(MerkleProofError::IndexOutside { index: 5, count: 5 }));
    }

    #[test]
    fn mrk_2_a_proof_of_the_wrong_length_is_refused() {
        let leaves = leaves(5);
        let mut proof = MerkleProof::new(&leaves, 0).unwrap();
        proof.siblings.pop();
        let refused = proof.verify(leaves[0], root(&leaves));
        assert_eq!(refused, Err(MerkleProofError::Length { found: 2, expected: 3 }));
    }

    #[test]
    fn mrk_3_any_changed_bit_is_refused() {
        let leaves = leaves(7);
        let root = root(&leaves);
        let proof = MerkleProof::new(&leaves, 3).unwrap();
        for place in 0..proof.siblings.len() {
            let mut changed = proof.clone();
            changed.siblings[place][0] ^= 1;
            assert!(matches!(changed.verify(leaves[3], root), Err(MerkleProofError::RootMismatch { .. })));
        }
        let moved = MerkleProof { index: 2, ..proof };
        assert!(matches!(moved.verify(leaves[3], root), Err(MerkleProofError::RootMismatch { .. })));
    }

    #[test]
    fn attack_a05_a_doubled_tail_has_another_root() {
        let six = leaves(6);
        let mut eight = six.clone();
        eight.extend_from_slice(&six[4..]);
        assert_ne!(root(&six), root(&eight));
    }

    #[test]
    fn attack_a06_a_node_does_not_pass_for_a_leaf() {
        let two = leaves(2);
        let as_leaf = LeafHash(Tag::LEAF.hash(&[&two[0].0, &two[1].0]));
        assert_ne!(root(&two).0, as_leaf.0);
    }
}
