//! A crowded bucket as a tree of its own, with every inner hash kept.
//!
//! Whoever makes keys until their paths agree in many bits can put thousands of accounts into one
//! bucket. Rehashing all of them for each change would make a block cheap to send and dear to
//! execute. Here a change costs one leaf and at most one node for each bit of depth, which is what
//! the rules of the tree ask for in any case.
//!
//! Only nodes with entries on both sides are kept ([PATRICIA], Morrison 1968); the one-sided nodes
//! above them are hashed when the entries below change.
//!
//! [PATRICIA]: https://doi.org/10.1145/321479.321481

use super::slots::Slots;
use super::tree::{Hash, ZERO, hash_node};
use crate::hash::StatePath;

/// A tree over at least one slot.
#[derive(Clone, Debug)]
pub(super) struct Subtree {
    branches: Vec<Branch>,
    free: Vec<u32>,
    top: Child,
    len: usize,
}

/// What hangs on a side of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    Slot(u32),
    Branch(u32),
}

/// A node with entries on both sides.
#[derive(Clone, Debug)]
struct Branch {
    /// The bit of the path that chooses the side.
    depth: u8,
    children: [Child; 2],
    /// The hashes of the two subtrees at `depth` + 1.
    hashes: [Hash; 2],
    /// Which of `hashes` do not hold any more.
    stale: [bool; 2],
}

impl Subtree {
    /// A tree over one slot.
    pub(super) const fn new(slot: u32) -> Self {
        Self { branches: Vec::new(), free: Vec::new(), top: Child::Slot(slot), len: 1 }
    }

    /// The number of slots.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The slots, in order of their paths.
    pub(super) fn slots(&self) -> Vec<u32> {
        let mut found = Vec::with_capacity(self.len);
        let mut waiting = vec![self.top];
        while let Some(child) = waiting.pop() {
            match child {
                Child::Slot(slot) => found.push(slot),
                Child::Branch(branch) => waiting.extend(self.branch(branch).children.iter().rev()),
            }
        }
        found
    }

    /// The slot with this path.
    pub(super) fn find(&self, slots: &Slots, path: &StatePath) -> Option<u32> {
        let nearest = self.descend(self.top, path);
        (slots.get(nearest).path == *path).then_some(nearest)
    }

    /// Adds a slot whose path is new. Two slots of one path come from a damaged store only; the
    /// second is left out, which gives a root that no header has.
    pub(super) fn insert(&mut self, slots: &Slots, slot: u32) {
        let path = slots.get(slot).path;
        let nearest = self.descend(self.top, &path);
        let split = path.shared_bits(&slots.get(nearest).path);
        let Ok(depth) = u8::try_from(split) else {
            return;
        };
        let mut parent = None;
        let mut child = self.top;
        while let Child::Branch(index) = child {
            let branch = self.branch_mut(index);
            if usize::from(branch.depth) > split {
                break;
            }
            let side = path.side(usize::from(branch.depth));
            branch.stale[side] = true;
            parent = Some((index, side));
            child = branch.children[side];
        }
        let mut children = [child; 2];
        children[path.side(split)] = Child::Slot(slot);
        let branch = Child::Branch(self.add(Branch { depth, children, hashes: [ZERO; 2], stale: [true; 2] }));
        self.hang(parent, branch);
        self.len += 1;
    }

    /// Removes a slot that is in the tree and not the only one.
    pub(super) fn remove(&mut self, slots: &Slots, slot: u32) {
        let path = &slots.get(slot).path;
        let mut above = None;
        let mut parent = None;
        let mut child = self.top;
        while let Child::Branch(index) = child {
            let branch = self.branch_mut(index);
            let side = path.side(usize::from(branch.depth));
            branch.stale[side] = true;
            above = parent;
            parent = Some((index, side));
            child = branch.children[side];
        }
        assert_eq!(child, Child::Slot(slot), "the slot is in the tree");
        let (index, side) = parent.expect("the slot is not the only one");
        let sibling = self.branch(index).children[1 - side];
        self.hang(above, sibling);
        self.free.push(index);
        self.len -= 1;
    }

    /// Notes that the value of a slot has changed.
    pub(super) fn mark(&mut self, path: &StatePath) {
        let mut child = self.top;
        while let Child::Branch(index) = child {
            let branch = self.branch_mut(index);
            let side = path.side(usize::from(branch.depth));
            branch.stale[side] = true;
            child = branch.children[side];
        }
    }

    /// Brings every hash up to date and returns that of the whole tree at `depth`.
    pub(super) fn hash(&mut self, slots: &Slots, depth: usize) -> Hash {
        self.refresh(slots, self.top, depth)
    }

    /// Appends the siblings of `path` from `depth` down, where the tree begins, and returns the
    /// slot at the end of the way, if there is one. All hashes are up to date.
    pub(super) fn prove(
        &self,
        slots: &Slots,
        path: &StatePath,
        mut depth: usize,
        siblings: &mut Vec<Hash>,
    ) -> Option<u32> {
        let mut child = self.top;
        loop {
            let index = match child {
                Child::Slot(slot) => return Some(slot),
                Child::Branch(index) => index,
            };
            let branch = self.branch(index);
            let branches_at = usize::from(branch.depth);
            let below = &slots.get(self.descend(child, path)).path;
            let leaves_at = path.shared_bits(below);
            if leaves_at < branches_at {
                siblings.resize(siblings.len() + leaves_at - depth, ZERO);
                siblings.push(lift(hash_node(&branch.hashes), below, branches_at, leaves_at + 1));
                return None;
            }
            siblings.resize(siblings.len() + branches_at - depth, ZERO);
            let side = path.side(branches_at);
            siblings.push(branch.hashes[1 - side]);
            child = branch.children[side];
            depth = branches_at + 1;
        }
    }

    /// The slot below `child` that the bits of `path` lead to: no other shares more bits with it.
    fn descend(&self, mut child: Child, path: &StatePath) -> u32 {
        loop {
            match child {
                Child::Slot(slot) => return slot,
                Child::Branch(index) => {
                    let branch = self.branch(index);
                    child = branch.children[path.side(usize::from(branch.depth))];
                }
            }
        }
    }

    /// The hash at `depth` of what hangs on `child`. Recurses at most once for each bit of a path.
    fn refresh(&mut self, slots: &Slots, child: Child, depth: usize) -> Hash {
        let index = match child {
            Child::Slot(slot) => return slots.leaf(slot),
            Child::Branch(index) => index,
        };
        let branch = self.branch(index);
        let branches_at = usize::from(branch.depth);
        let (children, stale) = (branch.children, branch.stale);
        for side in (0..2).filter(|side| stale[*side]) {
            let hash = self.refresh(slots, children[side], branches_at + 1);
            let branch = self.branch_mut(index);
            branch.hashes[side] = hash;
            branch.stale[side] = false;
        }
        let hash = hash_node(&self.branch(index).hashes);
        if depth == branches_at {
            return hash;
        }
        let below = &slots.get(self.descend(child, &StatePath::ZERO)).path;
        lift(hash, below, branches_at, depth)
    }

    /// Hangs `child` below its parent, or makes it the top.
    fn hang(&mut self, parent: Option<(u32, usize)>, child: Child) {
        match parent {
            None => self.top = child,
            Some((index, side)) => self.branch_mut(index).children[side] = child,
        }
    }

    /// Keeps a branch, in a place that is free.
    fn add(&mut self, branch: Branch) -> u32 {
        if let Some(index) = self.free.pop() {
            *self.branch_mut(index) = branch;
            return index;
        }
        self.branches.push(branch);
        u32::try_from(self.branches.len() - 1).expect("there are fewer branches than slots")
    }

    fn branch(&self, index: u32) -> &Branch {
        &self.branches[index as usize]
    }

    fn branch_mut(&mut self, index: u32) -> &mut Branch {
        &mut self.branches[index as usize]
    }
}

/// The hash at depth `to` of a subtree of at least two leaves whose hash at depth `from` is given:
/// between the two, every node has one empty side.
fn lift(hash: Hash, path: &StatePath, from: usize, to: usize) -> Hash {
    (to..from).rev().fold(hash, |hash, depth| match path.side(depth) {
        0 => hash_node(&[hash, ZERO]),
        _ => hash_node(&[ZERO, hash]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;
    use crate::hash::Tag;

    /// How many hashes of a subtree do not hold.
    fn stale(subtree: &Subtree) -> usize {
        subtree.branches.iter().flat_map(|branch| branch.stale).filter(|stale| *stale).count()
    }

    #[test]
    fn a_change_among_five_thousand_makes_no_more_hashes_stale_than_the_way_is_long() {
        let mut slots = Slots::default();
        for seed in 0..5_000u32 {
            let mut path = StatePath(Tag::PATH.hash(&[&seed.to_le_bytes()]));
            path.0[..5].fill(7);
            slots.push(path, Account::default(), 0);
        }
        let mut subtree = Subtree::new(0);
        for slot in 1..5_000 {
            subtree.insert(&slots, slot);
        }
        subtree.hash(&slots, 10);
        assert_eq!((subtree.len(), stale(&subtree)), (5_000, 0));
        for slot in (0..5_000).step_by(100) {
            subtree.mark(&slots.get(slot).path);
            assert!((1..40).contains(&stale(&subtree)), "{}", stale(&subtree));
            subtree.hash(&slots, 10);
            assert_eq!(stale(&subtree), 0);
        }
        for slot in (10..5_000).rev() {
            subtree.remove(&slots, slot);
        }
        assert_eq!((subtree.len(), subtree.slots().len()), (10, 10));
        assert_eq!(subtree.branches.len() - subtree.free.len(), 9);
    }
}
