//! The state: who owns what, under one root.
//!
//! # The tree
//!
//! These rules are consensus; the vectors and an independent program hold against them.
//!
//! - The state is a set of entries; an entry is a path of 256 bits and a value.
//! - The path of an account is `H(PATH ‖ address)`, where the address has 32 bytes. The path of an
//!   entry that is not an account is `H(RESERVED_PATH ‖ name)`.
//! - The value of an account is `0x01 ‖ balance u64 ‖ nonce u64`, little-endian, 17 bytes. The
//!   value of another entry begins with another kind byte: `0x02` is the authority set.
//! - The root is the hash of the subtree at depth 0 that holds all entries. The subtree at depth
//!   *d* splits by bit *d* of the path, where bit 0 is the highest bit of the first byte: 0 goes
//!   left, 1 goes right.
//!   - The hash of a subtree without entries is 32 zero bytes.
//!   - The hash of a subtree with exactly one entry is its leaf, `H(STATE_LEAF ‖ path ‖ value)`,
//!     at whatever depth.
//!   - The hash of any other subtree is `H(STATE_NODE ‖ left ‖ right)`, also if one side is empty.
//!
//! `H` is SHA-256; the names in capitals are the tags of [`Tag`](crate::hash::Tag). The root is a
//! function of the set of entries alone, not of the order in which it came about.
//!
//! # Blocks
//!
//! Changes are journalled until [`State::commit`], which returns what undoes them, or
//! [`State::roll_back`], which takes them back at once. Entries are never deleted except by undoing
//! the block that created them.
//!
//! # Cost
//!
//! Everything is in memory: 64 bytes an account, and for each bucket of the tree 68, of which there
//! are one to two an account: 132 to 200 bytes in all. A changed account costs its leaf, those of
//! its bucket, and the nodes above that it does not share with other changed accounts, about
//! log₂(accounts / changed) + 2, each of two compressions. When the buckets double, the next root
//! takes longer once, about 0.2 s for each million accounts.

mod batch;
mod changed;
#[cfg(test)]
mod oracle;
mod path;
mod proof;
mod slots;
mod subtree;
#[cfg(test)]
mod tests;
mod tree;
mod undo;
mod varint;

pub use changed::ChangedAccount;
pub use proof::{ProofEnd, StateProof, StateProofError};
pub use undo::{Undo, UndoError};

use crate::account::{Account, AccountIndex, StateValue};
use crate::hash::{StatePath, StateRoot};
use crate::numbers::Amount;
use changed::ChangedSet;
use slots::Slots;
use std::fmt;
use tree::Tree;

/// All accounts, and the tree over them.
#[derive(Clone)]
pub struct State {
    slots: Slots,
    tree: Tree,
    /// Σ of all balances; wider than an amount, because sums pass through states no block has.
    total: u128,
    /// The slots changed since the last commit, with their values before.
    journal: Vec<(u32, Account)>,
    /// The number of slots at the last commit.
    committed_len: u32,
    /// Goes up at each commit, root, roll-back and collection of changes. A slot remembers when it
    /// was last set, so that the first time after each of them is known without a lookup.
    now: u64,
    /// A slot last set before this moment is not in the journal.
    journal_start: u64,
    /// A slot last set before this moment is not waiting to be hashed.
    hashed_start: u64,
    changed: ChangedSet,
}

impl State {
    /// The state without entries; its root is [`StateRoot::ZERO`].
    pub fn new() -> Self {
        Self::over(Slots::default())
    }

    /// The state over `accounts` in order of their indexes, and over `reserved` entries.
    ///
    /// Nothing is checked here but the root, by the caller: two entries under one path, for
    /// example, give a root that no header has.
    ///
    /// # Panics
    ///
    /// If there are 2³¹ entries or more.
    pub fn restore(
        accounts: impl IntoIterator<Item = (StatePath, Account)>,
        reserved: impl IntoIterator<Item = (StatePath, Vec<u8>)>,
    ) -> Self {
        let accounts = accounts.into_iter();
        let mut slots = Slots::with_capacity(accounts.size_hint().0);
        for (path, value) in reserved {
            slots.push_reserved(path, value);
        }
        for (path, account) in accounts {
            slots.push(path, account, 0);
        }
        Self::over(slots)
    }

    /// A state of which everything is committed and hashed.
    fn over(mut slots: Slots) -> Self {
        let mut tree = Tree::new(&mut slots);
        tree.hash(&mut slots);
        let committed_len = slots.len();
        let balances = (slots.reserved_len()..committed_len).map(|slot| slots.account(slot).balance);
        let total = balances.map(|balance| u128::from(balance.units())).sum();
        let changed = ChangedSet::default();
        let journal = Vec::new();
        Self {
            slots,
            tree,
            total,
            journal,
            committed_len,
            now: 1,
            journal_start: 1,
            hashed_start: 1,
            changed,
        }
    }

    /// The number of accounts.
    pub fn len(&self) -> u32 {
        self.slots.len() - self.slots.reserved_len()
    }

    /// Whether there are no accounts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of all balances.
    ///
    /// # Panics
    ///
    /// If it exceeds [`Amount::MAX`], which the rules let no block issue.
    pub fn total(&self) -> Amount {
        let units = u64::try_from(self.total).expect("what is issued fits an amount");
        Amount::from_units(units)
    }

    /// About how many bytes of memory the state holds.
    pub fn memory_bytes(&self) -> usize {
        self.slots.memory_bytes() + self.tree.memory_bytes()
    }

    /// The account under a path.
    pub fn find(&self, path: &StatePath) -> Option<AccountIndex> {
        let slot = self.tree.find(&self.slots, path)?;
        slot.checked_sub(self.slots.reserved_len()).map(AccountIndex)
    }

    /// The account under each of many paths; faster than one after the other in a large state.
    pub fn find_many(&self, paths: &[&StatePath]) -> Vec<Option<AccountIndex>> {
        let first = self.slots.reserved_len();
        let account = |slot: u32| slot.checked_sub(first).map(AccountIndex);
        let slots = self.tree.find_many(&self.slots, paths);
        slots.into_iter().map(|slot| slot.and_then(account)).collect()
    }

    /// The value of an account.
    ///
    /// # Panics
    ///
    /// If there is no such account.
    pub fn account(&self, index: AccountIndex) -> Account {
        self.slots.account(self.slot(index))
    }

    /// The path of an account.
    ///
    /// # Panics
    ///
    /// If there is no such account.
    pub fn path(&self, index: AccountIndex) -> StatePath {
        self.slots.get(self.slot(index)).path
    }

    /// All accounts, in order of their indexes.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = (StatePath, Account)> + '_ {
        let first = self.slots.reserved_len();
        (first..self.slots.len()).map(|slot| (self.slots.get(slot).path, self.slots.account(slot)))
    }

    /// Creates an account.
    ///
    /// # Panics
    ///
    /// If there is an entry under this path already, or there are 2³¹ − 1.
    pub fn insert(&mut self, path: StatePath, account: Account) -> AccountIndex {
        assert!(self.tree.find(&self.slots, &path).is_none(), "{path:?} is an entry already");
        let slot = self.slots.push(path, account, self.now);
        self.tree.insert(&mut self.slots, slot);
        self.changed.insert(slot);
        self.total += u128::from(account.balance.units());
        AccountIndex(slot - self.slots.reserved_len())
    }

    /// Changes an account.
    ///
    /// # Panics
    ///
    /// If there is no such account.
    pub fn set(&mut self, index: AccountIndex, account: Account) {
        let slot = self.slot(index);
        let (old, touched) = self.slots.replace(slot, account, self.now);
        self.count(old, account);
        if touched == self.now {
            return;
        }
        if touched < self.journal_start {
            self.journal.push((slot, old));
        }
        if touched < self.hashed_start {
            self.tree.mark(&self.slots, slot);
        }
        self.changed.insert(slot);
    }

    /// Adds an entry that is not an account. Genesis does, before it creates accounts; such entries
    /// belong to no block and are never taken back.
    ///
    /// # Panics
    ///
    /// If there are accounts, if the entry exists already, or if `value` is not the canonical bytes
    /// of a [`StateValue::Reserved`].
    pub fn set_reserved(&mut self, name: &[u8], value: Vec<u8>) {
        let path = StatePath::of_reserved(name);
        assert!(self.tree.find(&self.slots, &path).is_none(), "{path:?} is an entry already");
        assert!(
            matches!(StateValue::from_value_bytes(&value), Ok(StateValue::Reserved(_))),
            "a reserved entry has a kind of its own and at most 64 KiB"
        );
        let slot = self.slots.push_reserved(path, value);
        self.tree.insert(&mut self.slots, slot);
        self.committed_len = self.slots.len();
    }

    /// The canonical bytes of the entry with a name that is not an account.
    pub fn reserved(&self, name: &[u8]) -> Option<&[u8]> {
        let slot = self.tree.find(&self.slots, &StatePath::of_reserved(name))?;
        self.slots.reserved_value(slot)
    }

    /// The entries that are not accounts, as [`restore`](Self::restore) takes them.
    pub fn reserved_entries(&self) -> impl Iterator<Item = (StatePath, &[u8])> + '_ {
        (0..self.slots.reserved_len()).filter_map(|slot| {
            let value = self.slots.reserved_value(slot)?;
            Some((self.slots.get(slot).path, value))
        })
    }

    /// The root over all entries as they are now. Hashes only what has changed since it was asked
    /// for the last time.
    pub fn root(&mut self) -> StateRoot {
        if !self.tree.is_hashed() {
            self.now += 1;
            self.hashed_start = self.now;
        }
        StateRoot(self.tree.hash(&mut self.slots))
    }

    /// Makes the changes since the last commit a block, and returns what undoes it.
    pub fn commit(&mut self) -> Undo {
        self.root();
        let first = self.slots.reserved_len();
        let index = |(slot, account)| (AccountIndex(slot - first), account);
        let mut changed: Vec<_> = self.journal.drain(..).map(index).collect();
        changed.sort_unstable_by_key(|(index, _)| *index);
        let created = self.slots.len() - self.committed_len;
        self.close_journal();
        Undo { created, changed }
    }

    /// Takes back all changes since the last commit.
    pub fn roll_back(&mut self) {
        let mut journal = std::mem::take(&mut self.journal);
        for (slot, account) in journal.drain(..) {
            self.put_back(slot, account);
        }
        self.journal = journal;
        self.remove_from(self.committed_len);
        self.close_journal();
    }

    /// Takes back the last block that was committed and not undone yet.
    ///
    /// That it is this block's undo cannot be seen here: the caller compares the root afterwards
    /// with that of the header before.
    ///
    /// # Errors
    ///
    /// [`UndoError`] if there are changes that are not committed, or the undo is not of this state.
    /// The state is then as it was.
    pub fn undo(&mut self, undo: &Undo) -> Result<(), UndoError> {
        let created = self.slots.len() - self.committed_len;
        let uncommitted = self.journal.len() + created as usize;
        if uncommitted > 0 {
            return Err(UndoError::Uncommitted { found: uncommitted });
        }
        let len = self.len();
        let too_many = UndoError::TooManyCreated { found: undo.created, len };
        let len = len.checked_sub(undo.created).ok_or(too_many)?;
        if let Some((found, _)) = undo.changed.iter().find(|(index, _)| index.0 >= len) {
            return Err(UndoError::UnknownAccount { found: *found, len });
        }
        for (index, account) in &undo.changed {
            self.put_back(self.slot(*index), *account);
        }
        self.remove_from(self.slots.reserved_len() + len);
        self.close_journal();
        Ok(())
    }

    /// The accounts that were changed or created since this was last called, or since the state
    /// began, in order of their indexes. Changes that are not committed count, and so do those that
    /// were undone. Of accounts that were removed, [`len`](Self::len) tells.
    pub fn take_changes(&mut self) -> Vec<ChangedAccount> {
        self.now += 1;
        let first = self.slots.reserved_len();
        let changed = self.changed.take(self.slots.len()).map(|slot| ChangedAccount {
            index: AccountIndex(slot - first),
            path: self.slots.get(slot).path,
            account: self.slots.account(slot),
        });
        changed.collect()
    }

    /// Proves what lies under a path, or that nothing does.
    ///
    /// # Panics
    ///
    /// If there are changes since the last call of [`root`](Self::root) or
    /// [`commit`](Self::commit): there is no root yet for which the proof would hold.
    pub fn prove(&self, path: &StatePath) -> StateProof {
        assert!(self.tree.is_hashed(), "the root is computed before anything is proven");
        let (siblings, end) = self.tree.prove(&self.slots, path);
        let end = end.map_or(ProofEnd::Empty, |slot| ProofEnd::Leaf {
            path: self.slots.get(slot).path,
            value: self.slots.value_bytes(slot),
        });
        StateProof { siblings, end }
    }

    /// The slot of an account.
    fn slot(&self, index: AccountIndex) -> u32 {
        index.0.checked_add(self.slots.reserved_len()).expect("an index is below the number of entries")
    }

    /// Keeps the total when an account's value changes.
    fn count(&mut self, old: Account, new: Account) {
        self.total = self.total - u128::from(old.balance.units()) + u128::from(new.balance.units());
    }

    /// Gives an account its earlier value, without a journal.
    fn put_back(&mut self, slot: u32, account: Account) {
        let touched = self.slots.get(slot).touched;
        let (newer, _) = self.slots.replace(slot, account, touched);
        self.count(newer, account);
        self.tree.mark(&self.slots, slot);
        self.changed.insert(slot);
    }

    /// Removes the slots from `len` on.
    fn remove_from(&mut self, len: u32) {
        while self.slots.len() > len {
            let slot = self.slots.len() - 1;
            self.total -= u128::from(self.slots.account(slot).balance.units());
            self.tree.remove_last(&mut self.slots);
            self.slots.pop();
        }
    }

    /// Makes the state as it is the one that the next block begins with.
    fn close_journal(&mut self) {
        self.committed_len = self.slots.len();
        self.now += 1;
        self.journal_start = self.now;
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for State {
    /// Shows the size of the state; the accounts are too many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("accounts", &self.len())
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}
