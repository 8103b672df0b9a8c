//! The rules of the tree, word by word and slowly: what the state is compared with in tests.

use crate::hash::{StatePath, StateRoot, Tag};
use std::collections::BTreeMap;

/// The root over entries given as paths with the canonical bytes of their values.
pub(super) fn root(entries: &BTreeMap<StatePath, Vec<u8>>) -> StateRoot {
    let entries: Vec<_> = entries.iter().map(|(path, value)| (path.0, value.as_slice())).collect();
    StateRoot(subtree(&entries, 0))
}

/// The hash of the subtree at `depth` that holds exactly `entries`.
fn subtree(entries: &[([u8; 32], &[u8])], depth: usize) -> [u8; 32] {
    match entries {
        [] => [0; 32],
        [(path, value)] => Tag::STATE_LEAF.hash(&[path, value]),
        _ => {
            let goes_right = |path: &[u8; 32]| path[depth / 8] & (0x80 >> (depth % 8)) != 0;
            let (right, left): (Vec<_>, Vec<_>) = entries.iter().partition(|(path, _)| goes_right(path));
            Tag::STATE_NODE.hash(&[&subtree(&left, depth + 1), &subtree(&right, depth + 1)])
        }
    }
}
