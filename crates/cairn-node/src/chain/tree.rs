//! The tree of recent blocks: the chain down to the undo window, and the branches beside it.

use cairn_core::block::Header;
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::hash::BlockId;
use cairn_core::history::{History, HistoryNode};
use cairn_core::numbers::Height;
use cairn_core::target::Work;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most blocks beside the chain; those at the end of the branches with the least work give way.
pub const SIDE_BLOCKS_MAX: usize = 16_384;

/// A branch beside the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The highest block that it shares with the chain.
    pub fork: Height,
    /// The id of its last block.
    pub tip: BlockId,
    /// The height of its last block.
    pub height: Height,
    /// How many blocks it has above the fork.
    pub blocks: u64,
    /// The work of all blocks from block 0 to its last.
    pub work: Work,
}

/// A block in the tree.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) header: Header,
    /// What a child needs to know of it.
    pub(crate) next: Parent,
    /// The work of all blocks from block 0 to it.
    pub(crate) work: Work,
    /// The work that its branch was shown to reach, by headers above it; no less than its own.
    pub(super) reach: Work,
}

/// Where a new block beside the chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is a place.
    Free,
    /// In the place of a block with less work.
    InPlaceOf(BlockId),
}

/// The blocks that lie too deep to be undone now.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// Those of the chain.
    pub(super) chain: Vec<BlockId>,
    /// Those of branches that left the chain there.
    pub(super) beside: Vec<BlockId>,
}

/// Recent blocks, on the chain and beside it.
///
/// # Invariant
///
/// `chain` is never empty, each block but the lowest of the chain has its parent here, and `side`
/// holds exactly the blocks that are not in `chain`.
#[derive(Debug)]
pub(crate) struct Tree {
    entries: BTreeMap<BlockId, Entry>,
    chain: VecDeque<BlockId>,
    lowest: Height,
    side: BTreeSet<BlockId>,
}

impl Entry {
    pub(super) fn new(
        consensus: &Consensus,
        header: Header,
        id: BlockId,
        parent: Option<&Parent>,
        complete: impl FnMut(&HistoryNode),
    ) -> Self {
        let next = consensus.parent_of_next(&header, id, parent, complete);
        let work = work_of(&next.history);
        Self { header, next, work, reach: work }
    }
}

impl Tree {
    pub(super) fn new(
        consensus: &Consensus,
        base: Option<&Parent>,
        chain: Vec<(BlockId, Header)>,
        side: Vec<(BlockId, Header)>,
    ) -> Self {
        let lowest = chain.first().expect("a store knows at least one block").1.height;
        let mut tree =
            Self { entries: BTreeMap::new(), chain: VecDeque::new(), lowest, side: BTreeSet::new() };
        for (id, header) in chain {
            let parent = tree.chain.back().map(|tip| &tree.entry(tip).next).or(base);
            let entry = Entry::new(consensus, header, id, parent, |_| {});
            tree.push(id, entry);
        }
        for (id, header) in side {
            let Some(parent) = tree.get(&header.parent).map(|parent| parent.next.clone()) else { continue };
            if tree.get(&id).is_none() && tree.side.len() < SIDE_BLOCKS_MAX {
                tree.insert_side(id, Entry::new(consensus, header, id, Some(&parent), |_| {}));
            }
        }
        tree
    }

    pub(crate) fn get(&self, id: &BlockId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(crate) fn tip_id(&self) -> BlockId {
        *self.chain.back().expect("the chain is never empty")
    }

    pub(crate) fn tip(&self) -> &Entry {
        self.entry(&self.tip_id())
    }

    /// The lowest block of the chain that is still in the tree.
    pub(crate) const fn lowest(&self) -> Height {
        self.lowest
    }

    /// The id of the block of the chain at `height`, if it is still in the tree.
    pub(crate) fn id_at(&self, height: Height) -> Option<BlockId> {
        let place = usize::try_from(height.0.checked_sub(self.lowest.0)?).ok()?;
        self.chain.get(place).copied()
    }

    pub(crate) fn is_on_chain(&self, id: &BlockId) -> bool {
        self.entries.contains_key(id) && !self.side.contains(id)
    }

    /// The branches beside the chain, those with the most work first.
    pub(crate) fn branches(&self) -> Vec<Branch> {
        let forks = self.forks();
        let branch = |(id, entry): (&BlockId, &Entry)| {
            let (fork, height) = (*forks.get(id)?, entry.header.height);
            Some(Branch { fork, tip: *id, height, blocks: height.0 - fork.0, work: entry.work })
        };
        let mut branches: Vec<Branch> = self.leaves().filter_map(branch).collect();
        branches.sort_unstable_by(|a, b| b.work.cmp(&a.work).then(a.tip.cmp(&b.tip)));
        branches
    }

    /// How many blocks lie beside the chain.
    pub(crate) fn side_len(&self) -> usize {
        self.side.len()
    }

    /// The block beside the chain with the most work.
    pub(super) fn best_beside(&self) -> Option<(BlockId, &Entry)> {
        let side = self.side.iter().map(|id| (*id, self.entry(id)));
        side.max_by(|(a_id, a), (b_id, b)| a.work.cmp(&b.work).then(b_id.cmp(a_id)))
    }

    /// The blocks from the chain to `tip`, without the one on the chain, ascending; and its height.
    pub(super) fn path_to(&self, tip: &BlockId) -> (Height, Vec<BlockId>) {
        let mut path = Vec::new();
        let mut id = *tip;
        while self.side.contains(&id) {
            path.push(id);
            id = self.entry(&id).header.parent;
        }
        path.reverse();
        (self.entry(&id).header.height, path)
    }

    /// Whether there is room beside the chain, or a block whose branch reaches less work to give way.
    pub(super) fn room_for(&self, new: &Entry) -> Option<Room> {
        if self.side.len() < SIDE_BLOCKS_MAX {
            return Some(Room::Free);
        }
        // Its parent would be the ancestor of a better block.
        let others = self.leaves().filter(|(id, _)| **id != new.header.parent);
        let (id, worst) = others.min_by_key(|(_, entry)| entry.reach)?;
        (worst.reach < new.reach).then_some(Room::InPlaceOf(*id))
    }

    /// Adds a block at the end of the chain.
    pub(super) fn push(&mut self, id: BlockId, entry: Entry) {
        self.entries.insert(id, entry);
        self.chain.push_back(id);
    }

    /// Adds a block beside the chain.
    pub(super) fn insert_side(&mut self, id: BlockId, entry: Entry) {
        self.entries.insert(id, entry);
        self.side.insert(id);
    }

    /// Notes that headers above a block, which may be on the chain, show how much work its branch reaches.
    ///
    /// Where such headers are dropped the note stays: it was worked for, and decides only who gives way.
    pub(super) fn raise_reach(&mut self, id: &BlockId, reach: Work) {
        let mut next = *id;
        while self.side.contains(&next)
            && let Some(entry) = self.entries.get_mut(&next).filter(|entry| entry.reach < reach)
        {
            entry.reach = reach;
            next = entry.header.parent;
        }
    }

    /// Takes the chain to the end of `path`, whose first block stands on the block at `fork`.
    pub(super) fn switch(&mut self, fork: Height, path: &[BlockId]) {
        while self.tip().header.height > fork {
            let left = self.chain.pop_back().expect("the fork is on the chain");
            self.side.insert(left);
        }
        for id in path {
            self.side.remove(id);
            self.chain.push_back(*id);
        }
    }

    /// Removes a block beside the chain and all that stands on it; returns all their ids.
    pub(super) fn remove_with_descendants(&mut self, id: &BlockId) -> Vec<BlockId> {
        if !self.side.contains(id) {
            return Vec::new();
        }
        let removed = self.with_descendants(*id);
        for id in &removed {
            self.side.remove(id);
            self.entries.remove(id);
        }
        removed
    }

    /// Removes the chain below `lowest`, and the branches that leave it there.
    pub(super) fn prune(&mut self, lowest: Height) -> Pruned {
        let mut pruned = Pruned::default();
        while self.lowest < lowest && self.chain.len() > 1 {
            let id = self.chain.pop_front().expect("the chain is never empty");
            self.lowest = self.lowest.next();
            for beside in self.children_beside(&id) {
                pruned.beside.extend(self.remove_with_descendants(&beside));
            }
            self.entries.remove(&id);
            pruned.chain.push(id);
        }
        pruned
    }

    fn entry(&self, id: &BlockId) -> &Entry {
        self.entries.get(id).expect("the tree has every block it names")
    }

    fn children_beside(&self, id: &BlockId) -> Vec<BlockId> {
        self.side.iter().filter(|side| self.entry(side).header.parent == *id).copied().collect()
    }

    /// The blocks beside the chain on which none stands.
    fn leaves(&self) -> impl Iterator<Item = (&BlockId, &Entry)> {
        let parents: BTreeSet<BlockId> = self.side.iter().map(|id| self.entry(id).header.parent).collect();
        self.side.iter().filter(move |id| !parents.contains(*id)).map(|id| (id, self.entry(id)))
    }

    /// Where each block beside the chain leaves it. One pass from the lowest up: to walk each branch
    /// down would take long where thousands share a long stem.
    fn forks(&self) -> BTreeMap<BlockId, Height> {
        let mut by_height: Vec<(Height, BlockId)> =
            self.side.iter().map(|id| (self.entry(id).header.height, *id)).collect();
        by_height.sort_unstable();
        let mut forks = BTreeMap::new();
        for (height, id) in by_height {
            let below = forks.get(&self.entry(&id).header.parent).copied();
            let fork = below.unwrap_or_else(|| height.previous().expect("block 0 is on the chain"));
            forks.insert(id, fork);
        }
        forks
    }

    /// A block beside the chain and all that stands on it, parents first.
    fn with_descendants(&self, id: BlockId) -> Vec<BlockId> {
        let mut children: BTreeMap<BlockId, Vec<BlockId>> = BTreeMap::new();
        for side in &self.side {
            children.entry(self.entry(side).header.parent).or_default().push(*side);
        }
        let mut found = vec![id];
        let mut next = 0;
        while let Some(id) = found.get(next) {
            next += 1;
            if let Some(more) = children.remove(id) {
                found.extend(more);
            }
        }
        found
    }
}

/// The work of all blocks of a history.
fn work_of(history: &History) -> Work {
    history.peaks().fold(Work::ZERO, |sum, peak| sum + peak.summary.work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Network, Person, header_on, nth};
    use cairn_core::numbers::Timestamp;

    /// A tree over block 0 alone.
    fn tree_of(network: &Network) -> Tree {
        Tree::new(&network.consensus, None, vec![(network.id, network.header.clone())], vec![])
    }

    /// A block on `parent`, which no rule has judged.
    fn entry_on(network: &Network, parent: &Parent, number: u64, who: Person) -> (BlockId, Entry) {
        let header = header_on(&network.consensus, parent, who, Timestamp(network.header.time.0 + number));
        let mut id = [0xff; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let entry = Entry::new(&network.consensus, header, BlockId(id), Some(parent), |_| {});
        (BlockId(id), entry)
    }

    #[test]
    fn beside_the_chain_the_least_work_gives_way_and_never_the_parent_of_the_newcomer() {
        let network = Network::easy();
        let mut tree = tree_of(&network);
        let genesis = tree.tip().next.clone();
        // One branch of two blocks, and as many of one block as there is room for.
        let (lower_id, lower) = entry_on(&network, &genesis, 1, Person(1));
        let (upper_id, upper) = entry_on(&network, &lower.next, 2, Person(1));
        tree.insert_side(lower_id, lower.clone());
        tree.insert_side(upper_id, upper.clone());
        for number in 3..=u64::try_from(SIDE_BLOCKS_MAX).unwrap() {
            let (id, entry) = entry_on(&network, &genesis, number, Person(1));
            assert_eq!(tree.room_for(&entry), Some(Room::Free));
            tree.insert_side(id, entry);
        }
        assert_eq!(tree.side_len(), SIDE_BLOCKS_MAX);
        let (_, equal) = entry_on(&network, &genesis, 1 << 20, nth(1, 1));
        assert_eq!(tree.room_for(&equal), None);
        let (_, better) = entry_on(&network, &upper.next, 1 << 21, nth(1, 1));
        let Some(Room::InPlaceOf(worst)) = tree.room_for(&better) else { panic!("a better block has room") };
        assert!(worst != lower_id && worst != upper_id);
        assert!(tree.get(&worst).is_some_and(|entry| entry.work < better.work && entry.work == lower.work));
        assert_eq!(tree.remove_with_descendants(&worst), [worst]);
        assert_eq!(tree.side_len(), SIDE_BLOCKS_MAX - 1);
    }

    #[test]
    fn a_block_whose_headers_show_a_better_branch_gives_way_to_none_with_less() {
        let network = Network::easy();
        let mut tree = tree_of(&network);
        let genesis = tree.tip().next.clone();
        let (low_id, low) = entry_on(&network, &genesis, 1, Person(1));
        let (lowest_id, lowest) = entry_on(&network, &low.next, 2, Person(1));
        tree.insert_side(low_id, low);
        tree.insert_side(lowest_id, lowest.clone());
        // All others have three blocks.
        let mut number = 3;
        while tree.side_len() < SIDE_BLOCKS_MAX {
            let mut parent = genesis.clone();
            for _ in 0..3.min(SIDE_BLOCKS_MAX - tree.side_len()) {
                let (id, entry) = entry_on(&network, &parent, number, Person(1));
                parent = entry.next.clone();
                tree.insert_side(id, entry);
                number += 1;
            }
        }
        let (_, fourth) = entry_on(&network, &lowest.next, 1 << 20, nth(1, 1));
        let (_, other) = entry_on(&network, &fourth.next, 1 << 21, nth(1, 1));
        assert_eq!(tree.room_for(&other), Some(Room::InPlaceOf(lowest_id)));
        tree.raise_reach(&lowest_id, other.work + other.work);
        assert!(tree.get(&low_id).is_some_and(|below| below.reach == other.work + other.work));
        assert!(tree.room_for(&other).is_some_and(|room| room != Room::InPlaceOf(lowest_id)));
        // And one that is shown to win has room, whatever it has itself.
        let (_, mut shown) = entry_on(&network, &genesis, 1 << 22, nth(1, 1));
        assert_eq!(tree.room_for(&shown), None);
        shown.reach = other.work;
        assert!(tree.room_for(&shown).is_some());
    }

    #[test]
    fn what_stands_on_a_removed_block_is_removed() {
        let network = Network::easy();
        let mut tree = tree_of(&network);
        let genesis = tree.tip().next.clone();
        let (a, a_entry) = entry_on(&network, &genesis, 1, Person(1));
        let (b, b_entry) = entry_on(&network, &a_entry.next, 2, Person(1));
        let (c, c_entry) = entry_on(&network, &a_entry.next, 3, Person(1));
        let (other, other_entry) = entry_on(&network, &genesis, 4, Person(1));
        for (id, entry) in [(a, a_entry), (b, b_entry), (c, c_entry), (other, other_entry)] {
            tree.insert_side(id, entry);
        }
        assert_eq!(tree.branches().len(), 3);
        assert_eq!(tree.remove_with_descendants(&a), [a, b, c]);
        assert_eq!(tree.branches().iter().map(|branch| branch.tip).collect::<Vec<_>>(), [other]);
        assert_eq!(tree.remove_with_descendants(&network.id), []);
    }
}
