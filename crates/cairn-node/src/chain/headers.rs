//! Headers before their blocks: which branch will win is known before its bodies are taken.
//!
//! # Provided
//!
//! A header is kept only where its branch, counted to the end of what was sent, outweighs the tip, and
//! has as much work as the node asks for beside
//! ([`minimum_work`](crate::NodeConfig::minimum_work)). So to
//! have a header kept costs as much work as to have the chain follow it. What is kept is bounded all
//! the same: in headers ([`HEADERS_MAX`]) and in branches ([`HEADER_BRANCHES_MAX`]), of which those that
//! reach the least work give way.
//!
//! Of a branch that has less work with its first message, only the end and the last id of each message
//! are kept, for each peer by itself. Once it has enough, its headers are asked for again and compared
//! with these ids: Bitcoin's headers presync (Bitcoin Core, pull request 25717), with ids in the place
//! of salted bits.
//!
//! The blocks of a branch whose headers outweigh the tip are taken in whatever they cost
//! ([`CHEAP_BYTES_MAX`](super::CHEAP_BYTES_MAX)), and give way to no block of a lesser branch.
//!
//! # Not provided
//!
//! Headers do not outlive the program; they are asked for again. That a body exists: whoever asks for
//! the bodies drops the headers whose bodies nobody has. Which peers are asked, and how often.

use super::tree::Entry;
use cairn_core::consensus::HeaderError;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::target::Work;
use std::collections::{BTreeMap, BTreeSet};

/// The most headers of one message.
pub const HEADERS_MESSAGE_MAX: usize = 2_000;
/// The most headers that are kept without their blocks.
pub const HEADERS_MAX: usize = 32_768;
/// The most branches of such headers; those that reach the least work give way.
pub const HEADER_BRANCHES_MAX: usize = 64;

/// The shell's name for a peer: headers of a branch that is still too light are counted for each peer
/// by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerKey(pub u64);

/// The end of the best chain of headers: of a branch whose headers outweigh the tip, or the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestHeader {
    /// Its id.
    pub id: BlockId,
    /// Its height.
    pub height: Height,
    /// The work of all blocks from block 0 to it.
    pub work: Work,
}

/// What to ask a peer for: headers above one that it has shown, up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadersRequest {
    /// The id of the header below the first that is wanted: the whole locator.
    pub after: BlockId,
    /// The last that is wanted; none for as many as a message holds.
    pub stop: Option<BlockId>,
}

/// What became of the headers of a message that break no rule, and what to ask the same peer for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadersVerdict {
    /// What became of them.
    pub accepted: AcceptedHeaders,
    /// What to ask for next; none if the peer has shown all it has, or if nothing is wanted of it now.
    pub next: Option<HeadersRequest>,
    /// When to ask the peer again, because the first header that was not judged comes from the future.
    pub again_at: Option<Timestamp>,
}

/// What became of the headers of a message that break no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedHeaders {
    /// The branch outweighs the tip, or all of it was known. The bodies that it lacks are among those
    /// [wanted](crate::Node::wanted).
    Kept {
        /// How many headers were not known before.
        new: usize,
    },
    /// The branch outweighs the tip, and as many headers as there is room for were kept. To be asked
    /// for again when bodies have come.
    NoRoom {
        /// How many headers were not known before.
        new: usize,
    },
    /// The branch does not have the work yet that is asked for; its headers were checked and counted, not
    /// kept.
    Counted {
        /// The work of the chain that ends where the message ends.
        work: Work,
    },
    /// The branch ends and does not outweigh the tip, or has less work than is required; nothing of it is
    /// kept.
    Lighter {
        /// The work of the chain that ends where the message ends.
        work: Work,
    },
    /// The first header that was not known comes from the future; nothing was judged.
    TooEarly {
        /// When it can be judged.
        until: Timestamp,
    },
}

/// Why a message of headers was not taken. Each numbered variant is one rule of
/// `docs/spec/06-consensus.md`. Nothing of the message is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadersRefusal {
    /// HEA-1: a message has at most 2,000 headers.
    #[error("the message has {found} headers, at most {limit} are allowed")]
    TooMany {
        /// The number found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// HEA-2: each header of a message but the first has the one before it as its parent.
    #[error("header {position} has parent {found}, the one before it is {expected}")]
    NotAChain {
        /// Its place in the message, from 0.
        position: usize,
        /// Its parent.
        found: BlockId,
        /// The id of the header before it.
        expected: BlockId,
    },
    /// HEA-3: the parent of the first header that is not known is known, or is the last that this peer
    /// had counted. The peer is asked for the headers below; that is no offence.
    #[error("the parent {parent} is not known")]
    Unconnected {
        /// The parent.
        parent: BlockId,
    },
    /// HEA-4: no header is, or stands on, one that broke a rule before.
    #[error("block {block} broke a rule before, or stands on one that did")]
    KnownInvalid {
        /// Which.
        block: BlockId,
    },
    /// HEA-5: each header obeys the rules HDR and SEA.
    #[error("header {block} breaks a rule: {error}")]
    Invalid {
        /// Which.
        block: BlockId,
        /// The rule.
        #[source]
        error: HeaderError,
    },
    /// HEA-6: the branch leaves the chain no deeper down than blocks can be undone.
    #[error("the header is at height {found}, the chain can be undone down to {lowest}")]
    BelowUndoWindow {
        /// The height of the first header that is not known.
        found: Height,
        /// The lowest block that can be left on another branch.
        lowest: Height,
    },
    /// HEA-7: a branch has the work that is asked for before so many headers of it were counted.
    #[error("the branch has too little work after {limit} headers")]
    TooLong {
        /// The number of headers.
        limit: usize,
    },
    /// HEA-8: headers that are asked for again are those that were counted.
    #[error("the message ends in {found}, {expected} was counted there")]
    NotAsCounted {
        /// The last header of the message.
        found: BlockId,
        /// The one that was counted there.
        expected: BlockId,
    },
    /// HEA-9: headers are counted for so many peers at a time.
    #[error("headers of {limit} peers are being counted")]
    TooManyPeers {
        /// The number of peers.
        limit: usize,
    },
}

/// The work that the branch of a header is known to reach, and since when: of two that reach the same,
/// the first seen stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) work: Work,
    since: u64,
}

impl Reach {
    fn outranks(self, other: Self) -> bool {
        self.work > other.work || (self.work == other.work && self.since < other.since)
    }
}

/// A header without its block.
#[derive(Debug)]
struct Node {
    entry: Entry,
    since: u64,
    reach: Reach,
}

/// Headers without blocks, in branches that stand on blocks of the [`Tree`](super::tree::Tree).
///
/// # Invariant
///
/// Each header's parent is here or in the tree of blocks. `children` names exactly the headers here,
/// by their parents; `roots` those whose parent is not here, `ends` those on which none stands. A
/// header reaches at least its own work, and at least what each header on it reaches.
#[derive(Debug, Default)]
pub(crate) struct HeaderTree {
    nodes: BTreeMap<BlockId, Node>,
    children: BTreeMap<BlockId, BTreeSet<BlockId>>,
    roots: BTreeSet<BlockId>,
    ends: BTreeSet<BlockId>,
    arrivals: u64,
}

impl HeaderTree {
    pub(crate) fn get(&self, id: &BlockId) -> Option<&Entry> {
        self.nodes.get(id).map(|node| &node.entry)
    }

    /// The work that the branch of a header is known to reach; none if the header is not here.
    pub(super) fn reach_of(&self, id: &BlockId) -> Option<Work> {
        self.nodes.get(id).map(|node| node.reach.work)
    }

    /// How many headers there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many branches there are.
    pub(crate) fn branches_len(&self) -> usize {
        self.ends.len()
    }

    /// The end of the branch that reaches the most work, and that work.
    pub(super) fn best(&self) -> Option<(BlockId, &Entry, Work)> {
        let ends = self.ends.iter().filter_map(|id| Some((id, self.nodes.get(id)?)));
        let best = ends.reduce(|a, b| if b.1.reach.outranks(a.1.reach) { b } else { a });
        best.map(|(id, node)| (*id, &node.entry, node.reach.work))
    }

    /// The first `limit` headers whose blocks are wanted: of the branch that reaches the most work from
    /// the lowest up, then of the others whose reach `is_wanted`.
    pub(super) fn wanted(&self, limit: usize, is_wanted: impl Fn(Work) -> bool) -> Vec<BlockId> {
        let mut roots: Vec<(BlockId, Reach)> =
            self.roots.iter().filter_map(|id| Some((*id, self.nodes.get(id)?.reach))).collect();
        roots.retain(|(_, reach)| is_wanted(reach.work));
        roots.sort_unstable_by(|(_, a), (_, b)| b.work.cmp(&a.work).then(a.since.cmp(&b.since)));
        let mut wanted = Vec::new();
        for (root, _) in roots {
            let mut next = Some(root);
            while let Some(id) = next.filter(|_| wanted.len() < limit) {
                wanted.push(id);
                next = self.best_child(&id).map(|(id, _)| id);
            }
        }
        wanted
    }

    /// The headers from the lowest of a branch up to `end`, ascending.
    pub(super) fn path_to(&self, end: &BlockId) -> Vec<BlockId> {
        let mut path = Vec::new();
        let mut id = *end;
        while let Some(node) = self.nodes.get(&id) {
            path.push(id);
            id = node.entry.header.parent;
        }
        path.reverse();
        path
    }

    /// Makes room for a branch that continues `parent` and reaches `work`, in the place of branches
    /// that reach less; returns how many headers of it there is room for.
    pub(super) fn make_room(&mut self, parent: &BlockId, count: usize, work: Work) -> usize {
        let more = usize::from(!self.ends.contains(parent));
        loop {
            let is_branch_too_many = self.ends.len() + more > HEADER_BRANCHES_MAX;
            if !is_branch_too_many && self.nodes.len() + count <= HEADERS_MAX {
                return count;
            }
            let others = self.ends.iter().filter(|id| *id != parent);
            let others = others.filter_map(|id| Some((*id, self.nodes.get(id)?.reach)));
            let least = others.reduce(|a, b| if a.1.outranks(b.1) { b } else { a });
            match least.filter(|(_, reach)| reach.work < work) {
                Some((end, _)) => self.drop_branch(&end, parent),
                None if is_branch_too_many => return 0,
                None => return HEADERS_MAX - self.nodes.len(),
            }
        }
    }

    /// Adds headers that stand on one another, the first on a header here or on a block of the tree, and
    /// whose branch reaches `work`; the caller has made room. Returns the block of the tree on which
    /// they stand, where that is news to it.
    pub(super) fn insert(&mut self, branch: Vec<(BlockId, Entry)>, work: Work) -> Option<BlockId> {
        let below = branch.first()?.1.header.parent;
        self.arrivals += 1;
        let reach = Reach { work, since: self.arrivals };
        for (id, entry) in branch {
            let parent = entry.header.parent;
            self.children.entry(parent).or_default().insert(id);
            if !self.ends.remove(&parent) && !self.nodes.contains_key(&parent) {
                self.roots.insert(id);
            }
            self.ends.insert(id);
            self.nodes.insert(id, Node { entry, since: self.arrivals, reach });
        }
        let mut next = below;
        while let Some(node) = self.nodes.get_mut(&next) {
            if !reach.outranks(node.reach) {
                return None;
            }
            node.reach = reach;
            next = node.entry.header.parent;
        }
        Some(next)
    }

    /// Removes a header whose block has joined the tree; those that stand on it stay.
    pub(super) fn take(&mut self, id: &BlockId) {
        let Some(node) = self.nodes.remove(id) else { return };
        self.leave_parent(id, &node.entry.header.parent);
        self.roots.remove(id);
        self.ends.remove(id);
        if let Some(children) = self.children.get(id) {
            self.roots.extend(children);
        }
    }

    /// Removes a header and all that stand on it; says how many.
    pub(super) fn remove(&mut self, id: &BlockId) -> usize {
        let Some(parent) = self.nodes.get(id).map(|node| node.entry.header.parent) else { return 0 };
        let mut waiting = vec![*id];
        let mut count = 0;
        while let Some(id) = waiting.pop() {
            self.nodes.remove(&id);
            self.roots.remove(&id);
            self.ends.remove(&id);
            waiting.extend(self.children.remove(&id).into_iter().flatten());
            count += 1;
        }
        self.leave_parent(id, &parent);
        self.lower_reach(parent);
        count
    }

    /// Removes all headers that stand on a block that left the tree.
    pub(super) fn remove_above(&mut self, block: &BlockId) {
        let children: Vec<BlockId> = self.children.get(block).into_iter().flatten().copied().collect();
        for child in children {
            self.remove(&child);
        }
    }

    /// Removes a branch from its end down to where another leaves it, or to `kept`.
    fn drop_branch(&mut self, end: &BlockId, kept: &BlockId) {
        let mut first = *end;
        while let Some(parent) = self.nodes.get(&first).map(|node| node.entry.header.parent)
            && parent != *kept
            && self.nodes.contains_key(&parent)
            && self.children.get(&parent).is_none_or(|children| children.len() == 1)
        {
            first = parent;
        }
        self.remove(&first);
    }

    fn leave_parent(&mut self, id: &BlockId, parent: &BlockId) {
        if let Some(children) = self.children.get_mut(parent) {
            children.remove(id);
            if children.is_empty() {
                self.children.remove(parent);
                if self.nodes.contains_key(parent) {
                    self.ends.insert(*parent);
                }
            }
        }
    }

    /// After something above was removed: what a header reaches now, and those below it.
    fn lower_reach(&mut self, from: BlockId) {
        let mut next = from;
        while let Some(node) = self.nodes.get(&next) {
            let own = Reach { work: node.entry.work, since: node.since };
            let above = self.best_child(&next).map(|(_, reach)| reach);
            let reach = above.filter(|above| above.outranks(own)).unwrap_or(own);
            let Some(node) = self.nodes.get_mut(&next).filter(|node| node.reach != reach) else { return };
            node.reach = reach;
            next = node.entry.header.parent;
        }
    }

    fn best_child(&self, id: &BlockId) -> Option<(BlockId, Reach)> {
        let children = self.children.get(id).into_iter().flatten();
        let children = children.filter_map(|id| Some((*id, self.nodes.get(id)?.reach)));
        children.reduce(|a, b| if b.1.outranks(a.1) { b } else { a })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Network, Person, header_on};
    use cairn_core::consensus::Parent;

    /// A header on `parent` that no rule has judged, under an id that says its number.
    fn entry_on(network: &Network, parent: &Parent, number: u64) -> (BlockId, Entry) {
        let time = Timestamp(network.header.time.0 + number);
        let header = header_on(&network.consensus, parent, Person(1), time);
        let mut id = [0xff; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let entry = Entry::new(&network.consensus, header, BlockId(id), Some(parent), |_| {});
        (BlockId(id), entry)
    }

    /// A branch of `count` headers, numbered from `first`.
    fn branch_on(network: &Network, parent: &Parent, first: u64, count: u64) -> Vec<(BlockId, Entry)> {
        let mut parent = parent.clone();
        let mut branch = Vec::new();
        for number in first..first + count {
            let (id, entry) = entry_on(network, &parent, number);
            parent = entry.next.clone();
            branch.push((id, entry));
        }
        branch
    }

    fn work_of(branch: &[(BlockId, Entry)]) -> Work {
        branch.last().unwrap().1.work
    }

    /// What the invariant says.
    fn check(tree: &HeaderTree) {
        let children: usize = tree.children.values().map(BTreeSet::len).sum();
        assert_eq!(children, tree.nodes.len());
        for (id, node) in &tree.nodes {
            let parent = node.entry.header.parent;
            assert!(tree.children[&parent].contains(id));
            assert_eq!(tree.roots.contains(id), !tree.nodes.contains_key(&parent));
            assert_eq!(tree.ends.contains(id), !tree.children.contains_key(id));
            assert!(node.reach.work >= node.entry.work);
            let above = tree.best_child(id);
            assert!(above.is_none_or(|(_, above)| !above.outranks(node.reach)));
        }
        assert!(tree.roots.iter().chain(&tree.ends).all(|id| tree.nodes.contains_key(id)));
    }

    #[test]
    fn of_too_many_branches_the_one_that_reaches_the_least_work_gives_way() {
        let network = Network::easy();
        let genesis = network.consensus.parent_of_next(&network.header, network.id, None, |_| {});
        let mut tree = HeaderTree::default();
        let mut work = Work::ZERO;
        for number in 0..u64::try_from(HEADER_BRANCHES_MAX).unwrap() {
            // Every second branch has one header, the others have two.
            let branch = branch_on(&network, &genesis, number * 10, number % 2 + 1);
            work = work_of(&branch);
            assert_eq!(tree.make_room(&network.id, branch.len(), work), branch.len());
            assert_eq!(tree.insert(branch, work), Some(network.id));
        }
        check(&tree);
        assert_eq!(tree.branches_len(), HEADER_BRANCHES_MAX);
        // No room for one more that reaches as little as the least, room for one that reaches more: in
        // the place of the last seen of the least.
        let least = branch_on(&network, &genesis, 1 << 20, 1);
        assert_eq!(tree.make_room(&network.id, 1, work_of(&least)), 0);
        let before = tree.len();
        assert_eq!(tree.make_room(&network.id, 1, work), 1);
        assert_eq!((tree.len(), tree.branches_len()), (before - 1, HEADER_BRANCHES_MAX - 1));
        let last_of_least = u64::try_from(HEADER_BRANCHES_MAX).unwrap() - 2;
        assert!(tree.get(&branch_on(&network, &genesis, last_of_least * 10, 1)[0].0).is_none());
        // To go on from an end needs no place of its own.
        tree.insert(least, work);
        let (end, entry) = branch_on(&network, &genesis, 10, 2).pop().unwrap();
        assert_eq!(tree.make_room(&end, 1, work), 1);
        let more = branch_on(&network, &entry.next, 12, 1);
        let beyond = work_of(&more);
        tree.insert(more, beyond);
        assert_eq!(tree.branches_len(), HEADER_BRANCHES_MAX);
        check(&tree);
    }

    #[test]
    fn of_too_many_headers_the_branch_that_reaches_the_least_work_gives_way_and_never_the_own_stem() {
        let network = Network::easy();
        let genesis = network.consensus.parent_of_next(&network.header, network.id, None, |_| {});
        let mut tree = HeaderTree::default();
        let short = branch_on(&network, &genesis, 0, 10);
        tree.insert(short.clone(), work_of(&short));
        let count = u64::try_from(HEADERS_MAX).unwrap() - 10;
        let long = branch_on(&network, &genesis, 1_000, count);
        assert_eq!(tree.make_room(&network.id, long.len(), work_of(&long)), long.len());
        let end = long.last().cloned().unwrap();
        tree.insert(long.clone(), work_of(&long));
        assert_eq!(tree.len(), HEADERS_MAX);
        // What continues the long branch takes the place of the short one, and no more.
        let more = branch_on(&network, &end.1.next, 1 << 30, 30);
        assert_eq!(tree.make_room(&end.0, more.len(), work_of(&more)), 10);
        assert_eq!((tree.len(), tree.branches_len()), (HEADERS_MAX - 10, 1));
        tree.insert(more[..10].to_vec(), work_of(&more));
        assert_eq!(tree.make_room(&more[9].0, 1, work_of(&more)), 0);
        // What leaves the stem half way up and reaches more than the end takes the place of the upper half.
        let (stem, entry) = &long[99];
        let other = branch_on(&network, &entry.next, 1 << 40, 3);
        let beyond = work_of(&more) + work_of(&more);
        assert_eq!(tree.make_room(stem, 3, beyond), 3);
        assert_eq!(tree.len(), 100);
        assert_eq!(tree.insert(other, beyond), Some(network.id));
        check(&tree);
        assert_eq!(tree.wanted(1_000, |_| true).len(), 103);
    }

    #[test]
    fn a_block_that_came_leaves_what_stands_on_it_and_a_dropped_one_does_not() {
        let network = Network::easy();
        let genesis = network.consensus.parent_of_next(&network.header, network.id, None, |_| {});
        let mut tree = HeaderTree::default();
        let branch = branch_on(&network, &genesis, 0, 6);
        let ids: Vec<BlockId> = branch.iter().map(|(id, _)| *id).collect();
        let fork = branch[3].1.next.clone();
        tree.insert(branch.clone(), work_of(&branch));
        let other = branch_on(&network, &fork, 100, 4);
        tree.insert(other.clone(), work_of(&other));
        check(&tree);
        tree.take(&ids[0]);
        check(&tree);
        assert_eq!((tree.len(), tree.reach_of(&ids[0])), (9, None));
        assert_eq!(tree.reach_of(&ids[1]), Some(work_of(&other)));
        assert_eq!(tree.remove(&other[1].0), 3);
        check(&tree);
        assert_eq!(tree.reach_of(&ids[1]), Some(work_of(&branch)), "what the stem reached is gone");
        assert_eq!(tree.best().map(|(id, ..)| id), Some(ids[5]));
        tree.remove_above(&ids[0]);
        assert_eq!((tree.len(), tree.branches_len()), (0, 0));
        check(&tree);
        assert_eq!(tree.remove(&ids[2]), 0);
    }
}
