//! `merkle.json`: transaction trees of 0 to 9 leaves, and the proof of every leaf.

use crate::fixture::hex;
use crate::settle;
use cairn_core::codec::Encode as _;
use cairn_core::hash::{LeafHash, Tag};
use cairn_core::merkle::{MerkleProof, MerkleProofError, root};
use serde_json::{Value, json};

fn leaves(count: u8) -> Vec<LeafHash> {
    (0..count).map(|n| LeafHash(Tag::LEAF.hash(&[&[n]]))).collect()
}

fn tree(count: u8) -> Value {
    let leaves = leaves(count);
    let root = root(&leaves);
    let proof = |(index, leaf): (usize, &LeafHash)| {
        let proof = MerkleProof::new(&leaves, index).unwrap();
        assert_eq!(proof.verify(*leaf, root), Ok(()));
        json!({
            "index": proof.index,
            "siblings": proof.siblings.iter().map(hex).collect::<Vec<_>>(),
            "bytes": hex(proof.to_bytes()),
        })
    };
    json!({
        "leaves": leaves.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "root": root.to_string(),
        "proofs": leaves.iter().enumerate().map(proof).collect::<Vec<_>>(),
    })
}

fn refused() -> Vec<Value> {
    let leaves = leaves(5);
    let root = root(&leaves);
    let good = |index| MerkleProof::new(&leaves, index).unwrap();
    let mut changed = good(1);
    changed.siblings[2][0] ^= 1;
    let mut longer = good(4);
    longer.siblings.push([0; 32]);
    let cases = [
        ("a place outside", 4, MerkleProof { index: 5, ..good(4) }),
        ("no leaves", 0, MerkleProof { index: 0, count: 0, siblings: Vec::new() }),
        ("a hash too many", 4, longer),
        ("a tree of another size", 0, MerkleProof { count: 9, ..good(0) }),
        ("a changed hash", 1, changed),
        ("another place", 0, MerkleProof { index: 1, ..good(0) }),
        ("another leaf", 2, good(3)),
    ];
    let one = |(what, leaf, proof): (&str, usize, MerkleProof)| {
        let leaf: LeafHash = leaves[leaf];
        let rule = match proof.verify(leaf, root).unwrap_err() {
            MerkleProofError::IndexOutside { .. } => "MRK-1",
            MerkleProofError::Length { .. } => "MRK-2",
            MerkleProofError::RootMismatch { .. } => "MRK-3",
        };
        json!({"what": what, "leaf": leaf.to_string(), "root": root.to_string(), "proof": hex(proof.to_bytes()), "rule": rule})
    };
    cases.into_iter().map(one).collect()
}

#[test]
fn the_vectors_of_transaction_trees_hold() {
    settle("merkle", &json!({"trees": (0..=9).map(tree).collect::<Vec<_>>(), "refused": refused()}));
}
