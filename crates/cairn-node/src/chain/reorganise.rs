//! Leaving the tip for a better branch: one step, or none.

use super::{Chain, ChainChange, StoreLost, failed};
use crate::chain::judgement::BlockRefusal;
use cairn_core::account::{Account, AccountIndex};
use cairn_core::block::{BlockError, CheckedBlock, trust};
use cairn_core::hash::{BlockId, StatePath};
use cairn_core::numbers::Height;
use cairn_core::rules::Totals;
use cairn_core::state::{State, Undo};
use cairn_core::store::{Advance, ConnectedBlock, Store, StoreError};
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
        let mut connected = Vec::with_capacity(path.len());
        let mut totals = Vec::with_capacity(path.len());
        for id in &path {
            if let Err(failure) = self.connect(*id, newest, &mut connected, &mut totals, store)? {
                self.state.roll_back();
                for block in connected.iter().rev() {
                    self.state.undo(&block.undo).expect("the undo of the block committed last");
                }
                self.redo(redos);
                return Ok(Err(failure));
            }
        }
        store.advance(Advance { fork, connected: &connected }, &mut self.state)?;

        let from = self.tip_id();
        let disconnected_ids: Vec<BlockId> = self.chain_above(fork);
        let disconnected = self.read_blocks(&disconnected_ids, store)?;
        self.tree.switch(fork, &path);
        self.prune(store);
        let connected = connected.into_iter().map(|connected| connected.block).zip(totals).collect();
        // Where a branch is left, everybody's balance may be another.
        let paid = Vec::new();
        Ok(Ok(ChainChange { fork, from, disconnected_ids, disconnected, connected, paid }))
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
        newest: Option<&Arc<CheckedBlock>>,
        connected: &mut Vec<ConnectedBlock>,
        totals: &mut Vec<Totals>,
        store: &dyn Store,
    ) -> Result<Result<(), BranchFailure>, StoreError> {
        let block = match newest.filter(|newest| newest.id() == id) {
            Some(newest) => Arc::clone(newest),
            None => match self.read_block(&id, store)? {
                Some(block) => Arc::new(block),
                None => return Ok(Err(BranchFailure::BlockMissing { block: id })),
            },
        };
        let payment = self.payment(block.header(), store)?;
        let executed = match self.execute(&block, &payment) {
            Ok(executed) => executed,
            Err(error) => return Ok(Err(BranchFailure::Invalid { block: id, error })),
        };
        let mut history = Vec::new();
        self.entry_of(&block, |node| history.push(*node));
        let undo = self.state.commit();
        totals.push(executed.totals);
        connected.push(ConnectedBlock { block, undo, touched: executed.touched, history });
        Ok(Ok(()))
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

    fn read_blocks(&self, ids: &[BlockId], store: &dyn Store) -> Result<Vec<CheckedBlock>, StoreError> {
        let read = |id| self.read_block(id, store).transpose();
        ids.iter().filter_map(read).collect()
    }

    /// A block that this node has checked before.
    fn read_block(&self, id: &BlockId, store: &dyn Store) -> Result<Option<CheckedBlock>, StoreError> {
        let bytes = store.block(id)?;
        bytes.map(|bytes| trust(bytes, &self.consensus)).transpose().map_err(failed)
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
