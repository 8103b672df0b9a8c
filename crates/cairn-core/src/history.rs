//! The history tree: one root over all earlier blocks, with a summary of their work and times.
//!
//! A header at height `h` commits the blocks 0 to `h − 1` in a tree of the shape of RFC 6962. Each
//! node carries a [`Summary`], so that a light client can ask for the block at which a given share
//! of the work was done and check the answer, as FlyClient does (Bünz et al., 2020).

use crate::codec::{Decode, DecodeError, Encode, Reader, encode_count};
use crate::hash::{BlockId, HistoryRoot, Tag};
use crate::numbers::Timestamp;
use crate::target::{CompactTarget, Work};
use std::sync::Arc;

/// The longest inclusion proof, in nodes: a chain of 2⁶⁴ blocks has 64 levels.
pub const PROOF_NODES_MAX: usize = 64;

/// What a run of consecutive blocks amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many blocks.
    pub count: u64,
    /// Their work together.
    pub work: Work,
    /// The time of the parent of the first; for block 0 its own.
    pub start_time: Timestamp,
    /// The time of the last.
    pub end_time: Timestamp,
    /// The target of the first.
    pub start_target: CompactTarget,
    /// The target that follows from the last.
    pub next_target: CompactTarget,
}

/// A node of the tree: a hash and what lies below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryNode {
    /// The hash of the node.
    pub hash: [u8; 32],
    /// What lies below it.
    pub summary: Summary,
}

/// A proof about history shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// HIS-1: the time at which a run ends is the time at which the next run starts.
    #[error("a run ends at {left} and the next starts at {right}")]
    TimesDoNotJoin {
        /// The end of the left run.
        left: Timestamp,
        /// The start of the right run.
        right: Timestamp,
    },
    /// HIS-2: the target that follows from a run is the target of the next run's first block.
    #[error("target {left} follows from a run and the next begins with {right}")]
    TargetsDoNotJoin {
        /// What follows from the left run.
        left: CompactTarget,
        /// What the right run begins with.
        right: CompactTarget,
    },
    /// HIS-3: the work and the number of blocks of two runs fit their fields.
    #[error("the work or the number of blocks is too large")]
    SumOverflow,
    /// HIS-4: the height of a proof is below the number of blocks under the root.
    #[error("block {height} is not among {count} blocks")]
    HeightOutside {
        /// The height claimed.
        height: u64,
        /// The blocks under the root.
        count: u64,
    },
    /// HIS-5: a proof has one node for each level at which the way has a partner.
    #[error("the proof has {found} nodes, the way from this block has {expected}")]
    Length {
        /// The nodes of the proof.
        found: usize,
        /// The nodes it must have.
        expected: usize,
    },
    /// HIS-6: each run of a proof has as many blocks as its place in the tree says.
    #[error("a run has {found} blocks where its place in the tree has {expected}")]
    Count {
        /// The blocks the proof claims.
        found: u64,
        /// The blocks at that place.
        expected: u64,
    },
    /// HIS-7: the block and its partners hash to the root.
    #[error("the proof leads to {found}, the root is {expected}")]
    RootMismatch {
        /// Where the proof leads.
        found: HistoryRoot,
        /// The root of the header.
        expected: HistoryRoot,
    },
}

impl HistoryNode {
    /// The leaf of one block.
    pub fn leaf(id: &BlockId, summary: Summary) -> Self {
        Self { hash: Tag::HISTORY_LEAF.hash(&[id.as_bytes(), &summary.to_bytes()]), summary }
    }

    /// The node above two runs that follow one another.
    ///
    /// # Errors
    ///
    /// HIS-1, HIS-2 and HIS-3.
    pub fn join(left: &Self, right: &Self) -> Result<Self, HistoryError> {
        let (l, r) = (&left.summary, &right.summary);
        // HIS-1 > The time at which a run ends is the time at which the next starts.
        if l.end_time != r.start_time {
            return Err(HistoryError::TimesDoNotJoin { left: l.end_time, right: r.start_time });
        }
        // HIS-2 > The target that follows from a run is that of the next run's first block.
        if l.next_target != r.start_target {
            return Err(HistoryError::TargetsDoNotJoin { left: l.next_target, right: r.start_target });
        }
        // HIS-3 > The sums fit.
        let count = l.count.checked_add(r.count).ok_or(HistoryError::SumOverflow)?;
        let work = l.work.checked_add(r.work).ok_or(HistoryError::SumOverflow)?;
        let summary = Summary {
            count,
            work,
            start_time: l.start_time,
            end_time: r.end_time,
            start_target: l.start_target,
            next_target: r.next_target,
        };
        let hash = Tag::HISTORY_NODE.hash(&[&left.hash, &l.to_bytes(), &right.hash, &r.to_bytes()]);
        Ok(Self { hash, summary })
    }

    /// The root of a tree whose top node this is.
    pub fn to_root(self) -> HistoryRoot {
        HistoryRoot(Tag::HISTORY_ROOT.hash(&[&self.hash, &self.summary.to_bytes()]))
    }
}

/// The right edge of a history tree: enough to append blocks and to know the root.
///
/// A list of the complete subtrees, smallest first, that shares its tail with the histories it
/// grew from: a node keeps one for every recent block at the cost of about one node each.
#[derive(Clone, Debug, Default)]
pub struct History(Option<Arc<Peak>>);

#[derive(Debug)]
struct Peak {
    node: HistoryNode,
    /// The complete subtree to the left, which is larger.
    left: History,
}

impl History {
    /// The history of no blocks.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The history with peaks given from the largest (leftmost) to the smallest.
    pub fn from_peaks(peaks: impl IntoIterator<Item = HistoryNode>) -> Self {
        peaks.into_iter().fold(Self::new(), |left, node| Self(Some(Arc::new(Peak { node, left }))))
    }

    /// The peaks from the smallest (rightmost) to the largest.
    pub fn peaks(&self) -> impl Iterator<Item = &HistoryNode> {
        std::iter::successors(self.0.as_deref(), |peak| peak.left.0.as_deref()).map(|peak| &peak.node)
    }

    /// How many blocks it holds.
    pub fn count(&self) -> u64 {
        self.peaks().map(|peak| peak.summary.count).sum()
    }

    /// The history with one block more. `complete` hears of every subtree that the block completes,
    /// from the leaf up.
    ///
    /// # Panics
    ///
    /// If the block does not follow from the last one; header rules see to that.
    #[must_use]
    pub fn append(&self, leaf: HistoryNode, mut complete: impl FnMut(&HistoryNode)) -> Self {
        let mut node = leaf;
        let mut left = self.clone();
        complete(&node);
        while let Some(peak) = left.0.as_deref().filter(|peak| peak.node.summary.count == node.summary.count)
        {
            node =
                HistoryNode::join(&peak.node, &node).expect("the header rules make consecutive blocks join");
            complete(&node);
            left = peak.left.clone();
        }
        Self(Some(Arc::new(Peak { node, left })))
    }

    /// The root; 32 zero bytes where there are no blocks.
    pub fn root(&self) -> HistoryRoot {
        self.top().map_or(HistoryRoot::ZERO, HistoryNode::to_root)
    }

    /// The node over all blocks.
    pub fn top(&self) -> Option<HistoryNode> {
        let mut peaks = self.peaks();
        let mut top = *peaks.next()?;
        for peak in peaks {
            top = HistoryNode::join(peak, &top).expect("the peaks of a history follow one another");
        }
        Some(top)
    }
}

/// What shows that a block lies at a height under a history root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryProof {
    /// The height of the block.
    pub height: u64,
    /// How many blocks lie under the root: the height of the header that has the root.
    pub count: u64,
    /// The summary of the block itself.
    pub summary: Summary,
    /// The nodes beside the way from the block to the root, lowest first.
    pub partners: Vec<HistoryNode>,
}

/// One level of the way from a block to the root of its history tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The first block below the partner.
    pub start: u64,
    /// How many blocks lie below the partner.
    pub count: u64,
    /// Whether the partner stands to the left.
    pub is_left: bool,
}

/// The partners on the way from block `height` to the root over `count` blocks, lowest first.
pub fn way(height: u64, count: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut start, mut width) = (0, count);
    while width > 1 && height < count {
        // RFC 6962 §2.1: the left subtree has the largest power of two of leaves below the width.
        let split = 1 << (63 - (width - 1).leading_zeros());
        if height - start < split {
            steps.push(Step { start: start + split, count: width - split, is_left: false });
            width = split;
        } else {
            steps.push(Step { start, count: split, is_left: true });
            start += split;
            width -= split;
        }
    }
    steps.reverse();
    steps
}

impl HistoryProof {
    /// Whether the block with `id` lies at the height of the proof under `root`.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] if the proof does not show it.
    pub fn verify(&self, id: &BlockId, root: HistoryRoot) -> Result<(), HistoryError> {
        let Self { height, count, .. } = *self;
        // HIS-4 > The height is below the number of blocks under the root.
        if height >= count {
            return Err(HistoryError::HeightOutside { height, count });
        }
        // HIS-5 > One node for each level at which the way has a partner.
        let way = way(height, count);
        if way.len() != self.partners.len() {
            return Err(HistoryError::Length { found: self.partners.len(), expected: way.len() });
        }
        // HIS-6 > Each run has as many blocks as its place says.
        if self.summary.count != 1 {
            return Err(HistoryError::Count { found: self.summary.count, expected: 1 });
        }
        let mut node = HistoryNode::leaf(id, self.summary);
        for (step, partner) in way.iter().zip(&self.partners) {
            if partner.summary.count != step.count {
                return Err(HistoryError::Count { found: partner.summary.count, expected: step.count });
            }
            node = if step.is_left {
                HistoryNode::join(partner, &node)?
            } else {
                HistoryNode::join(&node, partner)?
            };
        }
        // HIS-7 > The block and its partners hash to the root.
        let found = node.to_root();
        if found == root { Ok(()) } else { Err(HistoryError::RootMismatch { found, expected: root }) }
    }
}

impl Encode for Summary {
    fn encode(&self, out: &mut Vec<u8>) {
        self.count.encode(out);
        self.work.encode(out);
        self.start_time.encode(out);
        self.end_time.encode(out);
        self.start_target.encode(out);
        self.next_target.encode(out);
    }
}

impl Decode for Summary {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            count: u64::decode(reader)?,
            work: Work::decode(reader)?,
            start_time: Timestamp::decode(reader)?,
            end_time: Timestamp::decode(reader)?,
            start_target: CompactTarget::decode(reader)?,
            next_target: CompactTarget::decode(reader)?,
        })
    }
}

impl Encode for HistoryNode {
    fn encode(&self, out: &mut Vec<u8>) {
        self.hash.encode(out);
        self.summary.encode(out);
    }
}

impl Decode for HistoryNode {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { hash: reader.array()?, summary: Summary::decode(reader)? })
    }
}

impl Encode for HistoryProof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.height.encode(out);
        self.count.encode(out);
        self.summary.encode(out);
        encode_count(self.partners.len(), out);
        for partner in &self.partners {
            partner.encode(out);
        }
    }
}

impl Decode for HistoryProof {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let height = u64::decode(reader)?;
        let count = u64::decode(reader)?;
        let summary = Summary::decode(reader)?;
        let nodes = reader.count("history proof", PROOF_NODES_MAX, 96)?;
        let partners = (0..nodes).map(|_| HistoryNode::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { height, count, summary, partners })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruint::aliases::U256;
    use std::collections::BTreeMap;

    fn id(height: u64) -> BlockId {
        BlockId(Tag::HEADER.hash(&[&height.to_le_bytes()]))
    }

    fn summary(height: u64) -> Summary {
        let bits = |height: u64| CompactTarget(0x1e00_ffff + u32::try_from(height).unwrap());
        Summary {
            count: 1,
            work: Work::from_value(U256::from(height + 7)),
            start_time: Timestamp(1000 + height.saturating_sub(1) * 10),
            end_time: Timestamp(1000 + height * 10),
            start_target: bits(height),
            next_target: bits(height + 1),
        }
    }

    /// A history of `count` blocks, and every complete subtree by first block and size.
    fn history(count: u64) -> (History, BTreeMap<(u64, u64), HistoryNode>) {
        let mut nodes = BTreeMap::new();
        let mut history = History::new();
        for height in 0..count {
            history = history.append(HistoryNode::leaf(&id(height), summary(height)), |node| {
                nodes.insert((height + 1 - node.summary.count, node.summary.count), *node);
            });
        }
        (history, nodes)
    }

    fn subtree(nodes: &BTreeMap<(u64, u64), HistoryNode>, start: u64, count: u64) -> HistoryNode {
        nodes.get(&(start, count)).copied().unwrap_or_else(|| {
            let split = count.next_power_of_two() / 2;
            HistoryNode::join(&subtree(nodes, start, split), &subtree(nodes, start + split, count - split))
                .unwrap()
        })
    }

    fn proof(height: u64, count: u64) -> (HistoryProof, HistoryRoot) {
        let (history, nodes) = history(count);
        let partners =
            way(height, count).iter().map(|step| subtree(&nodes, step.start, step.count)).collect();
        (HistoryProof { height, count, summary: summary(height), partners }, history.root())
    }

    #[test]
    fn every_block_is_proved_under_every_root() {
        assert_eq!(History::new().root(), HistoryRoot::ZERO);
        for count in 1..40 {
            let (history, nodes) = history(count);
            assert_eq!(history.count(), count);
            assert_eq!(history.root(), subtree(&nodes, 0, count).to_root());
            for height in 0..count {
                let (proof, root) = proof(height, count);
                assert_eq!(proof.verify(&id(height), root), Ok(()));
                assert_eq!(crate::codec::decode_exact(&proof.to_bytes()), Ok(proof));
            }
        }
    }

    #[test]
    fn a_history_is_rebuilt_from_its_peaks() {
        let (history, _) = history(23);
        let mut peaks: Vec<_> = history.peaks().copied().collect();
        peaks.reverse();
        assert_eq!(History::from_peaks(peaks).root(), history.root());
    }

    #[test]
    fn his_1_runs_that_do_not_join_in_time_are_refused() {
        let left = HistoryNode::leaf(&id(3), summary(3));
        let right = HistoryNode::leaf(&id(5), summary(5));
        assert!(matches!(HistoryNode::join(&left, &right), Err(HistoryError::TimesDoNotJoin { .. })));
    }

    #[test]
    fn his_2_runs_that_do_not_join_in_target_are_refused() {
        let left = HistoryNode::leaf(&id(3), summary(3));
        let right = HistoryNode::leaf(&id(4), Summary { start_target: CompactTarget(1), ..summary(4) });
        assert!(matches!(HistoryNode::join(&left, &right), Err(HistoryError::TargetsDoNotJoin { .. })));
    }

    #[test]
    fn his_3_sums_that_do_not_fit_are_refused() {
        let most = Work::from_value(U256::MAX);
        let left = HistoryNode::leaf(&id(3), Summary { work: most, ..summary(3) });
        let right = HistoryNode::leaf(&id(4), summary(4));
        assert_eq!(HistoryNode::join(&left, &right), Err(HistoryError::SumOverflow));
    }

    #[test]
    fn his_4_a_height_outside_is_refused() {
        let (proof, root) = proof(4, 9);
        let outside = HistoryProof { height: 9, ..proof };
        assert_eq!(outside.verify(&id(9), root), Err(HistoryError::HeightOutside { height: 9, count: 9 }));
    }

    #[test]
    fn his_5_a_proof_of_the_wrong_length_is_refused() {
        let (mut proof, root) = proof(4, 9);
        proof.partners.pop();
        assert_eq!(proof.verify(&id(4), root), Err(HistoryError::Length { found: 3, expected: 4 }));
    }

    #[test]
    fn his_6_a_run_of_the_wrong_size_is_refused() {
        let (mut proof, root) = proof(4, 9);
        proof.partners[1].summary.count = 3;
        assert_eq!(proof.verify(&id(4), root), Err(HistoryError::Count { found: 3, expected: 2 }));
    }

    #[test]
    fn his_7_another_block_or_another_work_is_refused() {
        let (mut proof, root) = proof(4, 9);
        assert!(matches!(proof.verify(&id(5), root), Err(HistoryError::RootMismatch { .. })));
        proof.partners[0].summary.work = Work::from_value(U256::from(1));
        assert!(matches!(proof.verify(&id(4), root), Err(HistoryError::RootMismatch { .. })));
    }
}
