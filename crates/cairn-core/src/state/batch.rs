//! What is hashed in one go: the entries of many buckets, or many nodes of one level.
//!
//! The vectors are kept from batch to batch, so that hashing allocates nothing once it has run.

use super::slots::{LEAF_MESSAGE_BYTES, LEAF_PATH_AT, Slots};
use super::tree::{Hash, NO_SLOT, ZERO};
use crate::hash::{StatePath, Tag};
use std::ops::Range;

/// The place of [`ZERO`] among the values; leaf `n` is at `n + 1`.
const EMPTY: u32 = 0;

/// Buckets or nodes on their way to their hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    buckets: Vec<u32>,
    /// Per chain: the position of its bucket, and the slot to read next.
    frontier: Vec<(u32, u32)>,
    /// Per leaf: the position of its bucket, and its slot.
    leaves: Vec<(u32, u32)>,
    /// Per leaf: what is hashed.
    messages: Vec<u8>,
    /// The leaves in order of their buckets.
    order: Vec<u32>,
    /// Where each bucket begins in `order`.
    starts: Vec<u32>,
    /// `ZERO`, the hashes of the leaves, the hashes of the nodes inside buckets.
    values: Vec<Hash>,
    plan: Plan,
    /// The finished parts of the bucket that is being planned.
    pieces: Vec<Piece>,
    /// Per bucket: where its hash lies among the values, and whether it is a lone leaf.
    results: Vec<(u32, bool)>,
    targets: Vec<u32>,
    pairs: Vec<[Hash; 2]>,
    hashes: Vec<Hash>,
}

/// The nodes inside buckets, in rounds: each needs only leaves and nodes of earlier rounds.
#[derive(Clone, Debug, Default)]
struct Plan {
    rounds: Vec<Vec<Join>>,
    values: u32,
}

/// A node to be hashed: the places of its two sides and its own.
#[derive(Clone, Copy, Debug)]
struct Join {
    left: u32,
    right: u32,
    out: u32,
}

/// A part of a bucket that will have one hash.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// A path inside.
    path: StatePath,
    /// How many bits it shares with the piece before it.
    shared: usize,
    value: u32,
    /// The depth for which the value is the hash; none if it is a lone leaf, which has the same
    /// hash at every depth.
    depth: Option<usize>,
    /// The first round that may use the value.
    round: usize,
}

impl Batch {
    /// Begins a new batch.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
        self.frontier.clear();
        self.targets.clear();
        self.pairs.clear();
    }

    /// Adds a bucket with the first slot of its chain.
    pub(super) fn add_bucket(&mut self, bucket: u32, first: u32) {
        if first != NO_SLOT {
            let position = u32::try_from(self.buckets.len()).expect("a batch is small");
            self.frontier.push((position, first));
        }
        self.buckets.push(bucket);
    }

    /// Adds a node with two children.
    pub(super) fn add_pair(&mut self, node: u32, siblings: [Hash; 2]) {
        self.targets.push(node);
        self.pairs.push(siblings);
    }

    /// The hashes of the nodes that were added with their children.
    pub(super) fn hash_pairs(&mut self) -> impl Iterator<Item = (u32, Hash)> + '_ {
        self.hashes.resize(self.pairs.len(), ZERO);
        cairn_hash::hash_pairs(Tag::STATE_NODE.as_bytes(), &self.pairs, &mut self.hashes);
        self.targets.iter().copied().zip(self.hashes.iter().copied())
    }

    /// The hashes at `depth` of the buckets that were added, and whether each is a lone leaf.
    pub(super) fn hash_buckets(
        &mut self,
        slots: &Slots,
        depth: usize,
    ) -> impl Iterator<Item = (u32, Hash, bool)> + '_ {
        self.read_leaves(slots);
        self.hash_leaves(slots);
        self.sort_leaves();
        self.plan_buckets(depth);
        self.run_plan();
        let values = &self.values;
        let result =
            |(bucket, (value, lone)): (&u32, &(u32, bool))| (*bucket, values[*value as usize], *lone);
        self.buckets.iter().zip(&self.results).map(result)
    }

    /// Reads the slots of all chains: all first slots, then all second ones and so on, because
    /// reads of memory that do not wait for each other overlap.
    fn read_leaves(&mut self, slots: &Slots) {
        self.leaves.clear();
        self.messages.clear();
        while !self.frontier.is_empty() {
            self.frontier.retain_mut(|(position, slot)| {
                self.leaves.push((*position, *slot));
                slots.append_leaf_message(*slot, &mut self.messages);
                *slot = slots.get(*slot).next;
                *slot != NO_SLOT
            });
        }
    }

    /// Hashes the leaves into the first values.
    fn hash_leaves(&mut self, slots: &Slots) {
        self.values.clear();
        self.values.resize(self.leaves.len() + 1, ZERO);
        cairn_hash::hash_many(&self.messages, LEAF_MESSAGE_BYTES, &mut self.values[1..]);
        if slots.reserved_len() > 0 {
            for ((_, slot), value) in self.leaves.iter().zip(&mut self.values[1..]) {
                if *slot < slots.reserved_len() {
                    *value = slots.leaf(*slot);
                }
            }
        }
    }

    /// Orders the leaves by bucket.
    fn sort_leaves(&mut self) {
        self.starts.clear();
        self.starts.resize(self.buckets.len() + 1, 0);
        for (position, _) in &self.leaves {
            self.starts[*position as usize] += 1;
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.order.clear();
        self.order.resize(self.leaves.len(), 0);
        for (leaf, (position, _)) in (0u32..).zip(&self.leaves) {
            let start = &mut self.starts[*position as usize];
            *start -= 1;
            self.order[*start as usize] = leaf;
        }
    }

    /// Says for each bucket where its hash will lie, and which nodes that takes.
    fn plan_buckets(&mut self, depth: usize) {
        self.results.clear();
        self.plan.clear(self.values.len());
        for position in 0..self.buckets.len() {
            let leaves = self.starts[position] as usize..self.starts[position + 1] as usize;
            let result = match leaves.len() {
                0 => (EMPTY, false),
                1 => (self.order[leaves.start] + 1, true),
                _ => (self.plan_bucket(leaves, depth), false),
            };
            self.results.push(result);
        }
    }

    /// Plans a bucket of several leaves and returns where its hash will lie.
    fn plan_bucket(&mut self, leaves: Range<usize>, depth: usize) -> u32 {
        let members = &mut self.order[leaves];
        members.sort_unstable_by_key(|leaf| leaf_path(&self.messages, *leaf));
        self.pieces.clear();
        for leaf in members {
            let path = leaf_path(&self.messages, *leaf);
            let shared = self.pieces.last().map_or(0, |piece| piece.path.shared_bits(&path));
            // Neighbours that share more bits with each other than with this leaf are complete.
            self.plan.join_while(&mut self.pieces, |right| right.shared > shared);
            self.pieces.push(Piece { path, shared, value: *leaf + 1, depth: None, round: 0 });
        }
        self.plan.join_while(&mut self.pieces, |_| true);
        let whole = self.pieces.pop().expect("several leaves have become one piece");
        self.plan.raise(whole, depth).value
    }

    /// Hashes the nodes that were planned.
    fn run_plan(&mut self) {
        self.values.resize(self.plan.values as usize, ZERO);
        for round in &self.plan.rounds {
            self.pairs.clear();
            let values = &self.values;
            self.pairs
                .extend(round.iter().map(|join| [values[join.left as usize], values[join.right as usize]]));
            self.hashes.resize(self.pairs.len(), ZERO);
            cairn_hash::hash_pairs(Tag::STATE_NODE.as_bytes(), &self.pairs, &mut self.hashes);
            for (join, hash) in round.iter().zip(&self.hashes) {
                self.values[join.out as usize] = *hash;
            }
        }
    }
}

impl Plan {
    /// Begins a new plan over so many values that are known.
    fn clear(&mut self, values: usize) {
        for round in &mut self.rounds {
            round.clear();
        }
        self.values = u32::try_from(values).expect("a batch is small");
    }

    /// Joins the last two pieces as long as there are two and the last one `is_complete`.
    fn join_while(&mut self, pieces: &mut Vec<Piece>, is_complete: impl Fn(&Piece) -> bool) {
        while let [.., left, right] = pieces.as_slice()
            && is_complete(right)
        {
            let depth = right.shared;
            let (left, right) = (self.raise(*left, depth + 1), self.raise(*right, depth + 1));
            let (value, round) = self.join(left.value, right.value, left.round.max(right.round));
            pieces.truncate(pieces.len() - 2);
            pieces.push(Piece { value, depth: Some(depth), round, ..left });
        }
    }

    /// The piece with its hash at `depth`, which is not below its own: on the way up there are
    /// nodes with one empty side, unless the piece is a lone leaf.
    fn raise(&mut self, mut piece: Piece, depth: usize) -> Piece {
        while let Some(below) = piece.depth
            && below > depth
        {
            let sides = match piece.path.side(below - 1) {
                0 => [piece.value, EMPTY],
                _ => [EMPTY, piece.value],
            };
            let (value, round) = self.join(sides[0], sides[1], piece.round);
            piece = Piece { value, depth: Some(below - 1), round, ..piece };
        }
        piece
    }

    /// Plans a node in a round and returns its place and the round after.
    fn join(&mut self, left: u32, right: u32, round: usize) -> (u32, usize) {
        if self.rounds.len() <= round {
            self.rounds.resize_with(round + 1, Vec::new);
        }
        let out = self.values;
        self.values += 1;
        self.rounds[round].push(Join { left, right, out });
        (out, round + 1)
    }
}

/// The path of a leaf, read from its message.
fn leaf_path(messages: &[u8], leaf: u32) -> StatePath {
    let at = leaf as usize * LEAF_MESSAGE_BYTES + LEAF_PATH_AT;
    let (path, _) = messages[at..].split_first_chunk().expect("a message holds a path");
    StatePath(*path)
}
