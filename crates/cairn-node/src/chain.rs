//! The chain a node follows, and the branches beside it.
//!
//! # Provided
//!
//! The state is always that of the tip. A block either joins whole or changes nothing; a
//! reorganisation is one step, and if a block of the better branch turns out invalid, everything is
//! as before. A node leaves its tip only for a chain whose work is greater by more than half the
//! work of the tip block, so of two equal branches the first seen stays.
//!
//! # Not provided
//!
//! Blocks without a known parent are not kept: whoever brings one is told that it is unconnected, and
//! brings the headers below it first.

mod accept;
mod allowance;
mod headers;
mod held;
mod judgement;
mod presync;
mod reorganise;
mod tree;

pub use accept::LOCATOR_IDS_MAX;
pub use allowance::CHEAP_BYTES_MAX;
pub use headers::{
    AcceptedHeaders, BestHeader, HEADER_BRANCHES_MAX, HEADERS_MAX, HEADERS_MESSAGE_MAX, HeadersRefusal,
    HeadersRequest, HeadersVerdict, PeerKey,
};
pub use held::{HELD_AHEAD_MS_MAX, HELD_BLOCKS_MAX};
pub use judgement::{BlockRefusal, Imported};
pub use presync::{COUNTED_AHEAD_MAX, COUNTED_MESSAGES_MAX, COUNTED_PEERS_MAX};
pub use tree::{Branch, SIDE_BLOCKS_MAX};

use allowance::{Allowance, cost_of};
use cairn_core::account::AccountIndex;
use cairn_core::address::Address;
use cairn_core::block::{BlockError, CheckedBlock, Header};
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::hash::{BlockId, StateRoot, TransactionId};
use cairn_core::history::HistoryNode;
use cairn_core::numbers::{Amount, Height, Timestamp};
use cairn_core::rules::{BlockContext, Executed, MaturedReward, Payment, Totals, execute, matured_height};
use cairn_core::state::State;
use cairn_core::store::{Advance, ConnectedBlock, Loaded, Store, StoreError};
use cairn_core::target::Work;
use cairn_core::transaction::CheckedTransaction;
use headers::HeaderTree;
use held::HeldBlocks;
use presync::Presync;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tree::{Entry, Room, Tree};

/// The most ids of invalid blocks that a node remembers.
pub const INVALID_BLOCKS_MAX: usize = 4096;
/// The most bytes of blocks that a step of the chain holds in memory: of those that left it, and as
/// many of those that joined.
pub const CHANGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The chain, the branches beside it, and the state of the tip.
#[derive(Debug)]
pub(crate) struct Chain {
    consensus: Consensus,
    state: State,
    tree: Tree,
    headers: HeaderTree,
    presync: Presync,
    /// How much work a branch has at least whose headers are kept; what blocks show by themselves counts
    /// without it.
    minimum_work: Work,
    held: HeldBlocks,
    invalid: InvalidBlocks,
    pub(crate) allowance: Allowance,
    undo_window: u64,
    /// [`CHANGE_BYTES_MAX`], but for tests.
    pub(crate) change_bytes_max: usize,
}

/// A chain up to a block that is looked at: the chain up to the fork, and a branch above it.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    fork: Height,
    above: &'a [BlockId],
}

/// Where a block comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// From outside, or from the own sealer; judged by the clock and appended to the log.
    Outside {
        /// The time by the node's clock.
        now: Timestamp,
    },
    /// From the own log.
    OwnLog,
}

/// What became of a block, and what became of the chain through it.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) verdict: Result<Imported, BlockRefusal>,
    pub(crate) change: Option<ChainChange>,
}

/// A step of the chain.
#[derive(Debug)]
pub(crate) struct ChainChange {
    /// The highest block that stayed.
    pub(crate) fork: Height,
    /// The tip before.
    pub(crate) from: BlockId,
    /// The ids of the blocks that left, ascending.
    pub(crate) disconnected_ids: Vec<BlockId>,
    /// The ids of the blocks that joined, ascending.
    pub(crate) connected_ids: Vec<BlockId>,
    /// The transactions of the blocks that left, in order: from the lowest block up, of
    /// [`CHANGE_BYTES_MAX`] of blocks at most.
    pub(crate) disconnected: Vec<CheckedTransaction>,
    /// The blocks that joined, ascending: the highest of them, at most [`CHANGE_BYTES_MAX`].
    pub(crate) connected: Vec<(Arc<CheckedBlock>, Totals)>,
    /// Which of `disconnected` stand in blocks that joined and are not in `connected`.
    pub(crate) confirmed: BTreeSet<TransactionId>,
    /// Who was paid by the blocks that joined.
    pub(crate) paid: Vec<Address>,
}

impl ChainChange {
    /// The ids of the blocks that joined and are not in memory, ascending.
    pub(crate) fn older_ids(&self) -> &[BlockId] {
        let older = self.connected_ids.len().saturating_sub(self.connected.len());
        self.connected_ids.get(..older).unwrap_or_default()
    }
}

impl Import {
    const fn refused(refusal: BlockRefusal) -> Self {
        Self { verdict: Err(refusal), change: None }
    }

    const fn unchanged(imported: Imported) -> Self {
        Self { verdict: Ok(imported), change: None }
    }
}

impl Chain {
    /// The chain as a store knows it.
    ///
    /// # Panics
    ///
    /// If `loaded` has no block, or its state is not that of its tip.
    pub(crate) fn new(consensus: Consensus, undo_window: u64, minimum_work: Work, loaded: Loaded) -> Self {
        let Loaded { mut state, base, chain, side } = loaded;
        let tree = Tree::new(&consensus, base.as_ref(), chain, side);
        let (found, expected) = (state.root(), tree.tip().header.state_root);
        assert_eq!(found, expected, "a store gives the state of its tip");
        let mut chain = Self {
            consensus,
            state,
            tree,
            headers: HeaderTree::default(),
            presync: Presync::default(),
            minimum_work,
            held: HeldBlocks::default(),
            invalid: InvalidBlocks::default(),
            allowance: Allowance::default(),
            undo_window,
            change_bytes_max: CHANGE_BYTES_MAX,
        };
        let lowest = chain.lowest_kept();
        chain.tree.prune(lowest);
        chain
    }

    pub(crate) const fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// The state after the tip; its root is computed.
    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn into_state(self) -> State {
        self.state
    }

    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn tip_id(&self) -> BlockId {
        self.tree.tip_id()
    }

    pub(crate) fn tip_header(&self) -> &Header {
        &self.tree.tip().header
    }

    /// What the next block needs to know of the tip.
    pub(crate) fn parent_of_next(&self) -> &Parent {
        &self.tree.tip().next
    }

    pub(crate) fn height(&self) -> Height {
        self.tip_header().height
    }

    /// The headers whose blocks are not here.
    pub(crate) const fn headers(&self) -> &HeaderTree {
        &self.headers
    }

    /// The branches whose headers are counted.
    pub(crate) const fn presync(&self) -> &Presync {
        &self.presync
    }

    pub(crate) const fn held(&self) -> &HeldBlocks {
        &self.held
    }

    /// The next block from the future whose time has come.
    pub(crate) fn release_held(&mut self, now: Timestamp) -> Option<Arc<CheckedBlock>> {
        self.held.release(now)
    }

    /// Takes a block: judges it against its parent, keeps it, and follows the better branch.
    pub(crate) fn import(
        &mut self,
        block: Arc<CheckedBlock>,
        source: Source,
        store: &mut dyn Store,
    ) -> Result<Import, StoreError> {
        if let Some(import) = self.judge_place(&block, store)? {
            return Ok(import);
        }
        let (id, header) = (block.id(), block.header());
        let parent = self.tree.get(&header.parent).expect("judge_place found the parent");
        if let Err(error) = self.consensus.check_header(header, &parent.next) {
            return Ok(Import::refused(self.condemn(id, error.into(), store)));
        }
        if let Source::Outside { now } = source {
            // A block from the future is not judged: the clock that is wrong may be this one.
            let until = self.consensus.judged_from(header);
            if until > now {
                return Ok(self.hold(block, until, now));
            }
        }
        if header.parent == self.tip_id() {
            self.extend(block, source, store)
        } else {
            self.keep_beside(&block, source, store)
        }
    }

    /// Ends a replay: takes the best branch that the store knows.
    pub(crate) fn follow_best(&mut self, store: &mut dyn Store) -> Result<Option<ChainChange>, StoreError> {
        Ok(self.choose_branch(None, store)?.change)
    }

    /// Runs `transactions` of a block on the tip, and takes everything back.
    pub(crate) fn rehearse<T>(&mut self, run: impl FnOnce(&mut State) -> T) -> T {
        let outcome = run(&mut self.state);
        self.take_back();
        outcome
    }

    /// Who is paid at the end of a block with `header` on the tip.
    pub(crate) fn payment(&self, header: &Header, store: &dyn Store) -> Result<Payment, StoreError> {
        self.payment_on(Line { fork: self.height(), above: &[] }, header, store)
    }

    /// Who is paid at the end of a block with `header` on a line.
    fn payment_on(&self, line: Line<'_>, header: &Header, store: &dyn Store) -> Result<Payment, StoreError> {
        let rules = self.consensus.rules();
        let matured = match matured_height(rules, header.height) {
            None => None,
            Some(earlier) => {
                let producer = self.producer_at(earlier, line, header, store)?;
                Some(MaturedReward { producer, amount: rules.section().issuance.reward(earlier) })
            }
        };
        Ok(Payment { producer: header.producer, matured })
    }

    /// Whether the block needs no further judgement, because of its name and its parent's.
    fn judge_place(&mut self, block: &CheckedBlock, store: &dyn Store) -> Result<Option<Import>, StoreError> {
        let (id, header) = (block.id(), block.header());
        if self.tree.get(&id).is_some() {
            return Ok(Some(Import::unchanged(Imported::Known)));
        }
        if self.invalid.contains(&id) {
            return Ok(Some(Import::refused(BlockRefusal::KnownInvalid)));
        }
        if self.invalid.contains(&header.parent) {
            self.invalid.insert(id);
            return Ok(Some(Import::refused(BlockRefusal::InvalidAncestor { parent: header.parent })));
        }
        if self.tree.get(&header.parent).is_some() {
            return Ok(None);
        }
        let lowest = self.tree.lowest();
        if header.height > lowest {
            return Ok(Some(Import::unchanged(Imported::Unconnected { parent: header.parent })));
        }
        let known = store.header(header.height)?.is_some_and(|(known, _)| known == id);
        Ok(Some(if known {
            Import::unchanged(Imported::Known)
        } else {
            Import::refused(BlockRefusal::BelowUndoWindow { found: header.height, lowest })
        }))
    }

    fn hold(&mut self, block: Arc<CheckedBlock>, until: Timestamp, now: Timestamp) -> Import {
        let time = block.header().time;
        if self.held.insert(until, block, now) {
            Import::unchanged(Imported::Held { until })
        } else {
            Import::refused(BlockRefusal::TooFarAhead { time, now })
        }
    }

    /// Connects a block to the tip.
    fn extend(
        &mut self,
        block: Arc<CheckedBlock>,
        source: Source,
        store: &mut dyn Store,
    ) -> Result<Import, StoreError> {
        let fork = self.height();
        let from = self.tip_id();
        let payment = self.payment(block.header(), store)?;
        let executed = match self.execute(&block, &payment) {
            Ok(executed) => executed,
            Err(error) => {
                self.take_back();
                return Ok(Import::refused(self.condemn(block.id(), error, store)));
            }
        };
        if !append(&block, source, store).inspect_err(|_| self.take_back())? {
            self.take_back();
            return Ok(Import::refused(BlockRefusal::DiskFull));
        }
        let (entry, connected) = self.commit(&block, executed.touched);
        store.advance(Advance { fork, connected: vec![connected] }, &mut self.state)?;
        self.tree.push(block.id(), entry);
        self.headers.take(&block.id());
        self.allowance.earn(block.bytes().len());
        self.prune(store);
        let change = ChainChange {
            fork,
            from,
            disconnected_ids: Vec::new(),
            connected_ids: vec![block.id()],
            disconnected: Vec::new(),
            connected: vec![(block, executed.totals)],
            confirmed: BTreeSet::new(),
            paid: payees(&payment).collect(),
        };
        Ok(Import { verdict: Ok(Imported::Extended), change: Some(change) })
    }

    /// Keeps a block that does not extend the tip, and follows it if it is better.
    fn keep_beside(
        &mut self,
        block: &Arc<CheckedBlock>,
        source: Source,
        store: &mut dyn Store,
    ) -> Result<Import, StoreError> {
        let id = block.id();
        let mut entry = self.entry_of(block, |_| {});
        if let Some(reach) = self.headers.reach_of(&id) {
            entry.reach = entry.reach.max(reach);
        }
        let Some(room) = self.tree.room_for(&entry) else {
            return Ok(Import::refused(BlockRefusal::TooLittleWork { limit: SIDE_BLOCKS_MAX }));
        };
        let is_better = self.is_better(&entry);
        // What headers show to win is taken in whatever it costs: else a node whose chain no longer grows
        // could be kept from the branch that all others are on.
        let cost =
            if is_better || self.outweighs_tip(entry.reach) { 0 } else { self.cost_beside(block, source) };
        if cost > self.allowance.left() {
            return Ok(Import::refused(BlockRefusal::TooCheap { found: cost, left: self.allowance.left() }));
        }
        if !append(block, source, store)? {
            return Ok(Import::refused(BlockRefusal::DiskFull));
        }
        self.allowance.spend(cost);
        if let Room::InPlaceOf(worst) = room {
            self.drop_branch(&worst, store);
        }
        self.tree.insert_side(id, entry);
        self.headers.take(&id);
        if !is_better {
            return Ok(Import::unchanged(Imported::Side));
        }
        let choice = self.choose_branch(Some(block), store)?;
        let verdict = if let Some(change) = choice.change.as_ref().filter(|_| self.tip_id() == id) {
            Ok(Imported::Reorganised { fork: change.fork, depth: depth_of(change) })
        } else if self.tree.get(&id).is_some() {
            Ok(Imported::Side)
        } else {
            // It went with its branch: because of a rule, or because the store lost what it stands on.
            let lost = Imported::Unconnected { parent: block.header().parent };
            choice.failures.into_iter().next().map_or(Ok(lost), Err)
        };
        Ok(Import { verdict, change: choice.change })
    }

    /// What a block that is kept beside the chain takes of what cheap blocks may take.
    fn cost_beside(&self, block: &CheckedBlock, source: Source) -> u64 {
        match source {
            Source::OwnLog => 0,
            Source::Outside { .. } => {
                let work_of = |header| self.consensus.work_of(header);
                cost_of(block.bytes().len(), work_of(block.header()), work_of(self.tip_header()))
            }
        }
    }

    /// Whether the chain should end in this block.
    fn is_better(&self, candidate: &Entry) -> bool {
        self.outweighs_tip(candidate.work)
    }

    /// What the tree keeps of a block whose parent it has; `complete` hears of the history subtrees.
    fn entry_of(&self, block: &CheckedBlock, complete: impl FnMut(&HistoryNode)) -> Entry {
        let parent = self.tree.get(&block.header().parent).expect("judge_place found the parent");
        Entry::new(&self.consensus, block.header().clone(), block.id(), Some(&parent.next), complete)
    }

    /// Executes a block on the state of its parent. The caller commits or takes back.
    fn execute(&mut self, block: &CheckedBlock, payment: &Payment) -> Result<Executed, BlockError> {
        let rules = self.consensus.rules();
        let header = block.header();
        let context = context_of(header, rules.section().reserve);
        let executed = execute(&mut self.state, block.transactions(), &context, payment, rules)?;
        // BLK-8 > The header has the state root that the transactions lead to.
        if header.state_root == executed.state_root {
            Ok(executed)
        } else {
            Err(BlockError::StateRoot { found: header.state_root, expected: executed.state_root })
        }
    }

    /// Commits a block that was executed: what the tree and what the store keep of it.
    fn commit(&mut self, block: &CheckedBlock, touched: Vec<(u32, AccountIndex)>) -> (Entry, ConnectedBlock) {
        let mut history = Vec::new();
        let entry = self.entry_of(block, |node| history.push(*node));
        let connected = ConnectedBlock {
            id: block.id(),
            header: block.header().clone(),
            seal: block.seal_of_block().clone(),
            transactions: block.transactions().iter().map(CheckedTransaction::id).collect(),
            undo: self.state.commit(),
            touched,
            history,
        };
        (entry, connected)
    }

    /// Takes back what was not committed. The root is computed again, so that proofs can be made.
    fn take_back(&mut self) {
        self.state.roll_back();
        self.state.root();
    }

    /// Who made the block at `height` below a block with `header` on a line, or that block.
    fn producer_at(
        &self,
        height: Height,
        line: Line<'_>,
        header: &Header,
        store: &dyn Store,
    ) -> Result<Address, StoreError> {
        if height == header.height {
            return Ok(header.producer);
        }
        let id = match height.0.checked_sub(line.fork.next().0) {
            Some(place) => usize::try_from(place).ok().and_then(|place| line.above.get(place).copied()),
            None => self.tree.id_at(height),
        };
        if let Some(entry) = id.and_then(|id| self.tree.get(&id)) {
            return Ok(entry.header.producer);
        }
        let (_, header) = store.header(height)?.ok_or_else(|| failed(StoreLost::Header { height }))?;
        Ok(header.producer)
    }

    /// Remembers that a block whose header is known breaks a rule in its body.
    pub(crate) fn condemn_body(&mut self, id: BlockId, error: BlockError, store: &mut dyn Store) {
        if self.headers.get(&id).is_some() {
            self.condemn(id, error, store);
        }
    }

    /// Remembers an invalid block, unless other bytes with its id can be valid.
    fn condemn(&mut self, id: BlockId, error: BlockError, store: &mut dyn Store) -> BlockRefusal {
        if error.condemns_id() {
            self.invalid.insert(id);
            self.headers.remove(&id);
            for descendant in self.drop_branch(&id, store) {
                self.invalid.insert(descendant);
            }
        }
        BlockRefusal::Invalid { block: id, error }
    }

    /// Forgets a block beside the chain and all that stands on it, headers too; returns the blocks' ids.
    fn drop_branch(&mut self, first: &BlockId, store: &mut dyn Store) -> Vec<BlockId> {
        let removed = self.tree.remove_with_descendants(first);
        for id in &removed {
            store.forget(id);
            self.headers.remove_above(id);
        }
        removed
    }

    /// Forgets what lies too deep to be undone.
    fn prune(&mut self, store: &mut dyn Store) {
        let pruned = self.tree.prune(self.lowest_kept());
        for id in &pruned.beside {
            store.forget(id);
        }
        for id in pruned.chain.iter().chain(&pruned.beside) {
            self.headers.remove_above(id);
        }
    }

    fn lowest_kept(&self) -> Height {
        Height(self.height().0.saturating_sub(self.undo_window))
    }

    fn state_root(&mut self) -> StateRoot {
        self.state.root()
    }
}

/// How many blocks left the chain.
pub(crate) fn depth_of(change: &ChainChange) -> u64 {
    u64::try_from(change.disconnected_ids.len()).expect("a chain has fewer than 2^64 blocks")
}

/// What transactions of a block need to know of it.
pub(crate) const fn context_of(header: &Header, reserve: Amount) -> BlockContext {
    BlockContext { height: header.height, base_fee: header.base_fee, reserve }
}

/// Who is paid at the end of a block.
fn payees(payment: &Payment) -> impl Iterator<Item = Address> {
    std::iter::once(payment.producer).chain(payment.matured.map(|matured| matured.producer))
}

/// Appends a block to the log, if it is not there yet; says whether it has room.
fn append(block: &CheckedBlock, source: Source, store: &mut dyn Store) -> Result<bool, StoreError> {
    match source {
        Source::OwnLog => Ok(true),
        Source::Outside { .. } => match store.append(block) {
            Ok(()) => Ok(true),
            Err(StoreError::Full(_)) => Ok(false),
            Err(error) => Err(error),
        },
    }
}

/// The store no longer has what it promised to keep, or it is not what was kept.
#[derive(Debug, thiserror::Error)]
enum StoreLost {
    #[error("the header at height {height} is missing")]
    Header { height: Height },
    #[error("block {expected} is missing or another")]
    Block { expected: BlockId },
    #[error("undoing block {height} leads to state root {found}, the block below has {expected}")]
    UndoRoot { height: Height, found: StateRoot, expected: StateRoot },
}

/// An error of the store about something that it lost.
fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed(Box::new(error))
}

/// The ids of invalid blocks, the oldest forgotten first.
#[derive(Debug, Default)]
struct InvalidBlocks {
    ids: BTreeSet<BlockId>,
    order: VecDeque<BlockId>,
}

impl InvalidBlocks {
    fn contains(&self, id: &BlockId) -> bool {
        self.ids.contains(id)
    }

    fn insert(&mut self, id: BlockId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > INVALID_BLOCKS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_invalid_blocks_are_forgotten() {
        let mut invalid = InvalidBlocks::default();
        let id = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
            BlockId(bytes)
        };
        for number in (0..=INVALID_BLOCKS_MAX).chain(0..INVALID_BLOCKS_MAX) {
            invalid.insert(id(number));
        }
        assert_eq!((invalid.ids.len(), invalid.order.len()), (INVALID_BLOCKS_MAX, INVALID_BLOCKS_MAX));
        assert!(invalid.contains(&id(0)) && !invalid.contains(&id(INVALID_BLOCKS_MAX)));
    }
}
