//! Leaving the tip for a better branch: one step, or none.

use super::{Chain, ChainChange, Line, StoreLost, failed};
use crate::chain::judgement::BlockRefusal;
use cairn_core::account::{Account, AccountIndex};
use cairn_core::block::{BlockError, CheckedBlock, trust};
use cairn_core::hash::{BlockId, StatePath};
use cairn_core::numbers::Height;
use cairn_core::rules::Totals;
use cairn_core::state::{State, Undo};
use cairn_core::store::{Advance, ConnectedBlock, Store, StoreError};
use cairn_core::transaction::CheckedTransaction;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Which branch was taken, and which were tried in vain before.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) change: Option<ChainChange>,
    pub(super) failures: Vec<BlockRefusal>,
}

/// Why a branch could not be taken.
#[derive(Debug)]
enum BranchFailure {
    /// A block of it breaks a rule.
    Invalid { block: BlockId, error: BlockError },
    /// The store can no longer undo the chain down to its fork.
    BelowUndoWindow { found: Height, lowest: Height },
    /// The store no longer has one of its blocks.
    BlockMissing { block: BlockId },
}

/// A block of the new branch that was executed and committed to the state.
struct Joined {
    block: Arc<CheckedBlock>,
    totals: Totals,
    connected: ConnectedBlock,
}

/// A block that was undone, and what does it again.
#[derive(Debug)]
struct Redo {
    changed: Vec<(AccountIndex, Account)>,
    created: Vec<(StatePath, Account)>,
}

impl Chain {
    /// Takes the best branch if it is better than the chain, and the next best if that fails.
    /// `newest` is a block that need not be read again.
    pub(super) fn choose_branch(
        &mut self,
        newest: Option<&Arc<CheckedBlock>>,
        store: &mut dyn Store,
    ) -> Result<Choice, StoreError> {
        let mut choice = Choice::default();
        while let Some((best, _)) = self.tree.best_beside().filter(|(_, entry)| self.is_better(entry)) {
            match self.reorganise(best, newest, store)? {
                Ok(change) => {
                    choice.change = Some(change);
                    break;
                }
                Err(BranchFailure::Invalid { block, error }) => {
                    let refusal = self.condemn(block, error, store);
                    self.drop_branch(&block, store);
                    choice.failures.push(refusal);
                }
                Err(BranchFailure::BelowUndoWindow { found, lowest }) => {
                    let (_, path) = self.tree.path_to(&best);
                    let first = path.first().copied().unwrap_or(best);
                    self.drop_branch(&first, store);
                    choice.failures.push(BlockRefusal::BelowUndoWindow { found, lowest });
                }
                Err(BranchFailure::BlockMissing { block }) => {
                    self.drop_branch(&block, store);
                }
            }
        }
        Ok(choice)
    }

    /// Leaves the tip for the branch that ends in `target`. If that fails, all is as before.
    fn reorganise(
        &mut self,
        target: BlockId,
        newest: Option<&Arc<CheckedBlock>>,
        store: &mut dyn Store,
    ) -> Result<Result<ChainChange, BranchFailure>, StoreError> {
        let (fork, path) = self.tree.path_to(&target);
        let mut redos = Vec::new();
        if let Err(failure) = self.undo_to(fork, &mut redos, store)? {
            self.redo(redos);
            return Ok(Err(failure));
        }
        let line = Line { fork, above: &path };
        // The branch may be as deep as the undo window: of its blocks only the highest stay in memory.
        let mut highest = Highest::new(self.change_bytes_max);
        let mut connected = Vec::with_capacity(path.len());
        let mut bytes = 0;
        for id in &path {
            match self.connect(*id, line, newest, store)? {
                Ok(joined) => {
                    bytes += joined.block.bytes().len();
                    highest.push(joined.block, joined.totals);
                    connected.push(joined.connected);
                }
                Err(failure) => {
                    self.state.roll_back();
                    for block in connected.iter().rev() {
                        self.state.undo(&block.undo).expect("the undo of the block committed last");
                    }
                    self.redo(redos);
                    return Ok(Err(failure));
                }
            }
        }
        drop(redos);
        store.advance(Advance { fork, connected }, &mut self.state)?;

        let from = self.tip_id();
        let disconnected_ids: Vec<BlockId> = self.chain_above(fork);
        let disconnected = self.lowest_transactions(&disconnected_ids, store)?;
        self.tree.switch(fork, &path);
        self.allowance.earn(bytes);
        self.prune(store);
        Ok(Ok(ChainChange {
            fork,
            from,
            disconnected_ids,
            connected_ids: path,
            disconnected,
            connected: highest.blocks.into(),
            confirmed: BTreeSet::new(),
            // Where a branch is left, everybody's balance may be another.
            paid: Vec::new(),
        }))
    }

    /// Takes the state back to the block at `fork`.
    fn undo_to(
        &mut self,
        fork: Height,
        redos: &mut Vec<Redo>,
        store: &dyn Store,
    ) -> Result<Result<(), BranchFailure>, StoreError> {
        let mut height = self.height();
        while height > fork {
            let Some(undo) = store.undo(height)? else {
                return Ok(Err(BranchFailure::BelowUndoWindow { found: fork, lowest: height }));
            };
            redos.push(Redo::of(&self.state, &undo));
            self.state.undo(&undo).map_err(failed)?;
            height = height.previous().expect("above the fork");
        }
        // An undo that belongs to another block shows here, before anything is built on it.
        let below =
            self.tree.id_at(fork).and_then(|id| self.tree.get(&id)).expect("the fork is on the chain");
        let expected = below.header.state_root;
        let found = self.state_root();
        if found == expected {
            Ok(Ok(()))
        } else {
            Err(failed(StoreLost::UndoRoot { height: fork.next(), found, expected }))
        }
    }

    /// Executes the next block of a branch and commits it to the state.
    fn connect(
        &mut self,
        id: BlockId,
        line: Line<'_>,
        newest: Option<&Arc<CheckedBlock>>,
        store: &dyn Store,
    ) -> Result<Result<Joined, BranchFailure>, StoreError> {
        let block = match newest.filter(|newest| newest.id() == id) {
            Some(newest) => Arc::clone(newest),
            None => match self.read_block(&id, store)? {
                Some(block) => Arc::new(block),
                None => return Ok(Err(BranchFailure::BlockMissing { block: id })),
            },
        };
        let payment = self.payment_on(line, block.header(), store)?;
        let executed = match self.execute(&block, &payment) {
            Ok(executed) => executed,
            Err(error) => return Ok(Err(BranchFailure::Invalid { block: id, error })),
        };
        let (_, connected) = self.commit(&block, executed.touched);
        Ok(Ok(Joined { block, totals: executed.totals, connected }))
    }

    /// Does again what was undone, the last undone first.
    fn redo(&mut self, redos: Vec<Redo>) {
        for redo in redos.into_iter().rev() {
            for (index, account) in redo.changed {
                self.state.set(index, account);
            }
            for (path, account) in redo.created {
                self.state.insert(path, account);
            }
            self.state.commit();
        }
        let (found, expected) = (self.state_root(), self.tip_header().state_root);
        assert_eq!(found, expected, "a branch that failed leaves the state as it was");
    }

    /// The ids of the chain above `fork`, ascending.
    fn chain_above(&self, fork: Height) -> Vec<BlockId> {
        let heights = fork.0.saturating_add(1)..=self.height().0;
        heights.filter_map(|height| self.tree.id_at(Height(height))).collect()
    }

    /// The transactions of blocks, from the first block on, of as many as a change holds. Later ones
    /// could not wait without those before.
    fn lowest_transactions(
        &self,
        ids: &[BlockId],
        store: &dyn Store,
    ) -> Result<Vec<CheckedTransaction>, StoreError> {
        let mut transactions = Vec::new();
        let mut bytes = 0;
        for id in ids {
            let Some(block) = self.read_block(id, store)? else { continue };
            bytes += block.bytes().len();
            if bytes > self.change_bytes_max {
                break;
            }
            transactions.extend(block.into_transactions());
        }
        Ok(transactions)
    }

    /// A block that this node has checked before.
    pub(crate) fn read_block(
        &self,
        id: &BlockId,
        store: &dyn Store,
    ) -> Result<Option<CheckedBlock>, StoreError> {
        let Some(bytes) = store.block(id)? else { return Ok(None) };
        let block = trust(bytes, &self.consensus).map_err(failed)?;
        if block.id() == *id { Ok(Some(block)) } else { Err(failed(StoreLost::Block { expected: *id })) }
    }
}

/// The highest blocks of a branch, no more than fit into a number of bytes.
struct Highest {
    blocks: VecDeque<(Arc<CheckedBlock>, Totals)>,
    bytes: usize,
    bytes_max: usize,
}

impl Highest {
    const fn new(bytes_max: usize) -> Self {
        Self { blocks: VecDeque::new(), bytes: 0, bytes_max }
    }

    fn push(&mut self, block: Arc<CheckedBlock>, totals: Totals) {
        self.bytes += block.bytes().len();
        self.blocks.push_back((block, totals));
        while self.bytes > self.bytes_max {
            let Some((lowest, _)) = self.blocks.pop_front() else { return };
            self.bytes -= lowest.bytes().len();
        }
    }
}

impl Redo {
    /// What does the last committed block again, taken before `undo` takes it back.
    fn of(state: &State, undo: &Undo) -> Self {
        let changed = undo.changed.iter().filter(|(index, _)| index.0 < state.len());
        let changed = changed.map(|(index, _)| (*index, state.account(*index))).collect();
        let first = state.len().saturating_sub(undo.created);
        let created = (first..state.len()).map(AccountIndex);
        let created = created.map(|index| (state.path(index), state.account(index))).collect();
        Self { changed, created }
    }
}
