//! The tree over all slots as flat arrays, one a level, without pointers.
//!
//! The first bits of a path number a *bucket*; there are about as many buckets as slots, so that
//! most hold none, one or two. Above the buckets lies a full binary tree in arrays: node `i` of a
//! level has the children `2i` and `2i + 1` of the next. A change marks its bucket; [`Tree::hash`]
//! then works level by level on all marked nodes, many at a time, so that memory is read in order
//! and the hash kernel gets full batches. When slots outnumber buckets, the buckets double.
//!
//! A bucket of more than [`CHAIN_MAX`] slots becomes a [`Subtree`].

use super::batch::Batch;
use super::slots::{SLOTS_MAX, Slots};
use super::subtree::Subtree;
use crate::hash::{StatePath, Tag};

/// A hash of the tree.
pub(super) type Hash = [u8; 32];

/// The hash of an empty subtree.
pub(super) const ZERO: Hash = [0; 32];

/// What closes a chain and what an empty bucket holds.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// The most slots that a bucket holds as a chain, each of which is hashed when one changes.
const CHAIN_MAX: usize = 16;

/// What a slot of a subtree has in place of the next slot of a chain.
const IN_SUBTREE: u32 = u32::MAX - 1;

/// A bucket with this bit is not the first slot of a chain but the number of a subtree.
const SUBTREE_BIT: u32 = 1 << 31;

/// Bits of a path that number a bucket: at first, and at most.
const BITS_MIN: u32 = 4;
const BITS_MAX: u32 = 30;

/// How many nodes or buckets are hashed in one go: enough to fill a kernel and to read memory in
/// parallel, few enough to stay in the cache.
const BATCH_NODES: usize = 1024;

const _: () = assert!(SLOTS_MAX <= SUBTREE_BIT && SLOTS_MAX < IN_SUBTREE);

/// The hashes over all slots, and which of them do not hold any more.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// How many bits of a path number its bucket.
    bits: u32,
    /// For each bucket the first slot of its chain, or the number of its subtree.
    buckets: Vec<u32>,
    /// `levels[d]` holds the children of the nodes at depth `d`; the last holds the buckets.
    levels: Vec<Level>,
    subtrees: Vec<Option<Subtree>>,
    free_subtrees: Vec<u32>,
    stale: Stale,
    batch: Batch,
    root: Hash,
}

/// What has changed since the tree was hashed.
#[derive(Clone, Debug, Default)]
struct Stale {
    /// The first 32 bits of the paths concerned: they name the bucket for any number of buckets.
    prefixes: Vec<u32>,
    /// Slots whose values changed and that were in a subtree at the time.
    in_subtrees: Vec<u32>,
    /// Nothing holds any more.
    everything: bool,
}

/// Two siblings in one cache line.
#[repr(align(64))]
#[derive(Clone, Debug)]
struct Siblings([Hash; 2]);

/// The children of all nodes of one depth.
#[derive(Clone, Debug)]
struct Level {
    children: Vec<Siblings>,
    /// One bit a child: it is a lone leaf, which is its own hash on every level.
    lone: Vec<u64>,
}

/// What a node's children make of it.
enum Shape {
    Empty,
    Lone(Hash),
    Inner([Hash; 2]),
}

impl Tree {
    /// A tree over `slots`, none of which is linked yet.
    pub(super) fn new(slots: &mut Slots) -> Self {
        let mut bits = BITS_MIN;
        while bits < BITS_MAX && slots.len() >> bits > 0 {
            bits += 1;
        }
        let mut tree = Self {
            bits,
            buckets: Vec::new(),
            levels: (0..bits).map(Level::new).collect(),
            subtrees: Vec::new(),
            free_subtrees: Vec::new(),
            stale: Stale { everything: true, ..Stale::default() },
            batch: Batch::default(),
            root: ZERO,
        };
        tree.link_all(slots);
        tree
    }

    /// The slot with this path.
    pub(super) fn find(&self, slots: &Slots, path: &StatePath) -> Option<u32> {
        self.find_from(slots, self.buckets[self.bucket_of(path)], path)
    }

    /// The slot with this path, in the bucket that begins with `first`.
    fn find_from(&self, slots: &Slots, first: u32, path: &StatePath) -> Option<u32> {
        if let Some(subtree) = self.subtree(first) {
            return subtree.find(slots, path);
        }
        let mut slot = first;
        while slot != NO_SLOT {
            let candidate = slots.get(slot);
            if candidate.path == *path {
                return Some(slot);
            }
            slot = candidate.next;
        }
        None
    }

    /// The slot with each of many paths. Much faster than one after the other where the state is
    /// larger than the caches: no read of memory waits for the one before.
    pub(super) fn find_many(&self, slots: &Slots, paths: &[&StatePath]) -> Vec<Option<u32>> {
        let firsts: Vec<u32> = paths.iter().map(|path| self.buckets[self.bucket_of(path)]).collect();
        firsts.iter().zip(paths).map(|(first, path)| self.find_from(slots, *first, path)).collect()
    }

    /// Links a slot whose path is new.
    pub(super) fn insert(&mut self, slots: &mut Slots, slot: u32) {
        if self.bits < BITS_MAX && slots.len() >> self.bits >= 2 {
            // Many new slots since the tree was last hashed: nothing can be taken over.
            self.stale.everything = true;
            self.levels.push(Level::new(self.bits));
            self.bits += 1;
            self.link_all(slots);
            return;
        }
        let path = slots.get(slot).path;
        self.stale.prefixes.push(path.prefix());
        let bucket = self.bucket_of(&path);
        let first = self.buckets[bucket];
        if let Some(subtree) = self.subtree_mut(first) {
            subtree.insert(slots, slot);
            slots.get_mut(slot).next = IN_SUBTREE;
            return;
        }
        slots.get_mut(slot).next = first;
        self.buckets[bucket] = slot;
        if chain(slots, slot).count() > CHAIN_MAX {
            self.make_subtree(slots, bucket);
        }
    }

    /// Unlinks the slot that was inserted last.
    pub(super) fn remove_last(&mut self, slots: &mut Slots) {
        let slot = slots.len() - 1;
        let path = slots.get(slot).path;
        self.stale.prefixes.push(path.prefix());
        let bucket = self.bucket_of(&path);
        let first = self.buckets[bucket];
        let Some(subtree) = self.subtree_mut(first) else {
            // Chains grow at their head, so the newest slot of a bucket is the first.
            assert_eq!(first, slot, "the newest slot heads its chain");
            self.buckets[bucket] = slots.get(slot).next;
            return;
        };
        subtree.remove(slots, slot);
        if subtree.len() > CHAIN_MAX {
            return;
        }
        let mut members = subtree.slots();
        members.sort_unstable();
        self.subtrees[(first & !SUBTREE_BIT) as usize] = None;
        self.free_subtrees.push(first & !SUBTREE_BIT);
        self.buckets[bucket] = NO_SLOT;
        for member in members {
            slots.get_mut(member).next = self.buckets[bucket];
            self.buckets[bucket] = member;
        }
    }

    /// Notes that the value in a slot has changed.
    pub(super) fn mark(&mut self, slots: &Slots, slot: u32) {
        let changed = slots.get(slot);
        self.stale.prefixes.push(changed.path.prefix());
        if changed.next == IN_SUBTREE {
            self.stale.in_subtrees.push(slot);
        }
    }

    /// Whether no change is waiting to be hashed.
    pub(super) const fn is_hashed(&self) -> bool {
        self.stale.prefixes.is_empty() && !self.stale.everything
    }

    /// Brings every hash up to date and returns the root.
    pub(super) fn hash(&mut self, slots: &mut Slots) -> Hash {
        if self.is_hashed() {
            return self.root;
        }
        self.mark_subtrees(slots);
        let mut nodes = std::mem::take(&mut self.stale.prefixes);
        if self.stale.everything {
            nodes.clear();
            nodes.extend(0..1 << self.bits);
        } else {
            for prefix in &mut nodes {
                *prefix >>= 32 - self.bits;
            }
            nodes.sort_unstable();
            nodes.dedup();
        }
        self.hash_buckets(slots, &nodes);
        for depth in (1..self.levels.len()).rev() {
            for node in &mut nodes {
                *node /= 2;
            }
            nodes.dedup();
            self.join_level(depth, &nodes);
        }
        self.root = match self.levels[0].shape(0) {
            Shape::Empty => ZERO,
            Shape::Lone(hash) => hash,
            Shape::Inner(siblings) => hash_node(&siblings),
        };
        nodes.clear();
        if std::mem::take(&mut self.stale.everything) {
            nodes.shrink_to(BATCH_NODES);
        }
        self.stale.prefixes = nodes;
        if self.bits < BITS_MAX && slots.len() >> self.bits > 0 {
            self.double_buckets(slots);
        }
        self.root
    }

    /// The siblings of `path` from the root down, and the slot at the end of the way, if there is
    /// one. Every hash is up to date.
    pub(super) fn prove(&self, slots: &Slots, path: &StatePath) -> (Vec<Hash>, Option<u32>) {
        let mut siblings = Vec::new();
        let mut node = 0;
        for (depth, level) in self.levels.iter().enumerate() {
            match level.shape(node) {
                Shape::Empty => return (siblings, None),
                Shape::Lone(_) => return (siblings, Some(self.lone_slot(depth, node))),
                Shape::Inner(pair) => {
                    let side = path.side(depth);
                    siblings.push(pair[1 - side]);
                    node = 2 * node + u32::from(side == 1);
                }
            }
        }
        let first = self.buckets[node as usize];
        let depth = self.levels.len();
        if let Some(subtree) = self.subtree(first) {
            let end = subtree.prove(slots, path, depth, &mut siblings);
            return (siblings, end);
        }
        let end = subtree_of(slots, first).and_then(|mut subtree| {
            subtree.hash(slots, depth);
            subtree.prove(slots, path, depth, &mut siblings)
        });
        (siblings, end)
    }

    /// The bytes of memory in use for buckets and levels, without subtrees.
    pub(super) fn memory_bytes(&self) -> usize {
        let level_bytes = |level: &Level| level.children.capacity() * 64 + level.lone.capacity() * 8;
        self.buckets.capacity() * 4 + self.levels.iter().map(level_bytes).sum::<usize>()
    }

    /// The bucket of a path.
    fn bucket_of(&self, path: &StatePath) -> usize {
        (path.prefix() >> (32 - self.bits)) as usize
    }

    /// The subtree that a bucket's entry names, if it names one.
    fn subtree(&self, first: u32) -> Option<&Subtree> {
        self.subtrees[subtree_number(first)?].as_ref()
    }

    /// The subtree that a bucket's entry names, if it names one.
    fn subtree_mut(&mut self, first: u32) -> Option<&mut Subtree> {
        self.subtrees[subtree_number(first)?].as_mut()
    }

    /// Links all slots into empty buckets.
    fn link_all(&mut self, slots: &mut Slots) {
        self.subtrees.clear();
        self.free_subtrees.clear();
        self.stale.in_subtrees.clear();
        self.buckets.clear();
        self.buckets.resize(1 << self.bits, NO_SLOT);
        let mut counts = vec![0u8; 1 << self.bits];
        let mut crowded = Vec::new();
        let shift = 32 - self.bits;
        for (slot, entry) in (0u32..).zip(slots.as_mut_slice()) {
            let bucket = (entry.path.prefix() >> shift) as usize;
            entry.next = std::mem::replace(&mut self.buckets[bucket], slot);
            counts[bucket] = counts[bucket].saturating_add(1);
            if usize::from(counts[bucket]) == CHAIN_MAX + 1 {
                crowded.push(bucket);
            }
        }
        for bucket in crowded {
            self.make_subtree(slots, bucket);
        }
    }

    /// Makes a subtree of a chain.
    fn make_subtree(&mut self, slots: &mut Slots, bucket: usize) {
        let first = self.buckets[bucket];
        let subtree = subtree_of(slots, first);
        let mut slot = first;
        while slot != NO_SLOT {
            slot = std::mem::replace(&mut slots.get_mut(slot).next, IN_SUBTREE);
        }
        let number = match self.free_subtrees.pop() {
            Some(number) => number,
            None => {
                self.subtrees.push(None);
                u32::try_from(self.subtrees.len() - 1).expect("there are fewer subtrees than slots")
            }
        };
        self.subtrees[number as usize] = subtree;
        self.buckets[bucket] = SUBTREE_BIT | number;
    }

    /// Tells the subtrees which of their values have changed.
    fn mark_subtrees(&mut self, slots: &Slots) {
        let mut changed = std::mem::take(&mut self.stale.in_subtrees);
        for slot in changed.drain(..) {
            // A slot may have been removed, or its subtree become a chain, since it was noted.
            if slot < slots.len() && slots.get(slot).next == IN_SUBTREE {
                let path = &slots.get(slot).path;
                let first = self.buckets[self.bucket_of(path)];
                if let Some(subtree) = self.subtree_mut(first) {
                    subtree.mark(path);
                }
            }
        }
        self.stale.in_subtrees = changed;
    }

    /// Hashes what is in `buckets`, which are sorted, into the last level.
    fn hash_buckets(&mut self, slots: &Slots, buckets: &[u32]) {
        let depth = self.levels.len();
        let level = &mut self.levels[depth - 1];
        for buckets in buckets.chunks(BATCH_NODES) {
            self.batch.clear();
            for bucket in buckets {
                let first = self.buckets[*bucket as usize];
                match subtree_number(first).and_then(|number| self.subtrees[number].as_mut()) {
                    Some(subtree) => level.put(*bucket, subtree.hash(slots, depth), false),
                    None => self.batch.add_bucket(*bucket, first),
                }
            }
            for (bucket, hash, lone) in self.batch.hash_buckets(slots, depth) {
                level.put(bucket, hash, lone);
            }
        }
    }

    /// Hashes the children of `nodes`, which are sorted, into the level above them: `nodes` are at
    /// `depth`, which is not 0.
    fn join_level(&mut self, depth: usize, nodes: &[u32]) {
        let (above, below) = self.levels.split_at_mut(depth);
        let (above, below) = (&mut above[depth - 1], &below[0]);
        for nodes in nodes.chunks(BATCH_NODES) {
            self.batch.clear();
            for node in nodes {
                match below.shape(*node) {
                    Shape::Empty => above.put(*node, ZERO, false),
                    Shape::Lone(hash) => above.put(*node, hash, true),
                    Shape::Inner(siblings) => self.batch.add_pair(*node, siblings),
                }
            }
            for (node, hash) in self.batch.hash_pairs() {
                above.put(node, hash, false);
            }
        }
    }

    /// Doubles the number of buckets of a tree whose hashes are up to date: only the new level is
    /// hashed, and of that only what did not have a bucket to itself.
    fn double_buckets(&mut self, slots: &mut Slots) {
        let depth = self.levels.len();
        let mut fresh = Level::new(self.bits);
        self.bits += 1;
        self.link_all(slots);
        let mut shared = Vec::new();
        for node in 0..1 << (self.bits - 1) {
            let (hash, lone) = self.levels[depth - 1].child(node);
            if lone {
                let left = self.buckets[2 * node as usize] != NO_SLOT;
                fresh.put(2 * node + u32::from(!left), hash, true);
            } else if hash != ZERO {
                shared.extend([2 * node, 2 * node + 1]);
            }
        }
        self.levels.push(fresh);
        self.hash_buckets(slots, &shared);
    }

    /// The only slot below a node at `depth` that is a lone leaf.
    fn lone_slot(&self, depth: usize, mut node: u32) -> u32 {
        for level in &self.levels[depth..] {
            let left_is_empty = level.child(2 * node).0 == ZERO;
            node = 2 * node + u32::from(left_is_empty);
        }
        self.buckets[node as usize]
    }
}

impl Level {
    /// The children of the empty nodes at `depth`.
    fn new(depth: u32) -> Self {
        let nodes = 1usize << depth;
        Self { children: vec![Siblings([ZERO; 2]); nodes], lone: vec![0; (2 * nodes).div_ceil(64)] }
    }

    /// The hash of a child, and whether it is a lone leaf.
    fn child(&self, child: u32) -> (Hash, bool) {
        let hash = self.children[(child / 2) as usize].0[(child % 2) as usize];
        (hash, self.lone[(child / 64) as usize] >> (child % 64) & 1 == 1)
    }

    /// Sets the hash of a child, and whether it is a lone leaf.
    fn put(&mut self, child: u32, hash: Hash, lone: bool) {
        self.children[(child / 2) as usize].0[(child % 2) as usize] = hash;
        let word = &mut self.lone[(child / 64) as usize];
        *word = *word & !(1 << (child % 64)) | u64::from(lone) << (child % 64);
    }

    /// What the children of a node make of it.
    fn shape(&self, node: u32) -> Shape {
        let siblings = &self.children[node as usize].0;
        let lone = self.lone[(node / 32) as usize] >> (2 * (node % 32)) & 3;
        match (siblings[0] == ZERO, siblings[1] == ZERO) {
            (true, true) => Shape::Empty,
            (false, true) if lone == 1 => Shape::Lone(siblings[0]),
            (true, false) if lone == 2 => Shape::Lone(siblings[1]),
            _ => Shape::Inner(*siblings),
        }
    }
}

/// The hash of a node.
pub(super) fn hash_node(siblings: &[Hash; 2]) -> Hash {
    let mut hash = [ZERO];
    cairn_hash::hash_pairs(Tag::STATE_NODE.as_bytes(), std::slice::from_ref(siblings), &mut hash);
    hash[0]
}

/// The number of the subtree that a bucket's entry names, if it names one.
fn subtree_number(first: u32) -> Option<usize> {
    (first & SUBTREE_BIT != 0 && first != NO_SLOT).then_some((first & !SUBTREE_BIT) as usize)
}

/// The slots of a chain from `first` on.
pub(super) fn chain(slots: &Slots, first: u32) -> impl Iterator<Item = u32> + '_ {
    let in_chain = |slot: &u32| *slot != NO_SLOT;
    std::iter::successors(Some(first).filter(in_chain), move |slot| {
        Some(slots.get(*slot).next).filter(in_chain)
    })
}

/// A subtree over the slots of a chain; none if there are none.
fn subtree_of(slots: &Slots, first: u32) -> Option<Subtree> {
    let mut members = chain(slots, first);
    let mut subtree = Subtree::new(members.next()?);
    for slot in members {
        subtree.insert(slots, slot);
    }
    Some(subtree)
}
