//! What waits for a block: transactions by sender and nonce, within bounds.
//!
//! # Provided
//!
//! Every transaction here is paid for by its sender's balance at the time it came, together with all
//! that the sender has waiting. Those that can go into a block at once are never displaced by those
//! that cannot. Each entry can say why it waits.
//!
//! # Not provided
//!
//! That a waiting transaction will be confirmed: its sender may spend the balance in another block.
//!
//! The rules are those of `docs/spec/07-mempool.md`. They are policy: nodes may differ.

mod admit;
mod error;
mod follow;
mod lane;
mod waits;

pub use error::{DropReason, MempoolError, SubmitError, Submitted};
pub use waits::Waits;

pub(crate) use admit::{Admission, Arrival};
pub(crate) use follow::Followed;
pub(crate) use lane::{Lane, Run};

use crate::config::MempoolConfig;
use cairn_core::account::Account;
use cairn_core::address::Address;
use cairn_core::hash::{LeafHash, StatePath, TransactionId};
use cairn_core::network::Rules;
use cairn_core::numbers::{FeeRate, Height, Nonce, Timestamp};
use cairn_core::state::State;
use cairn_core::transaction::{CheckedTransaction, TransactionError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an entry counts beside the bytes of its transaction: about what its indexes take.
pub const ENTRY_OVERHEAD_BYTES: usize = 512;
/// How far above the first free nonce of its sender a transaction may be.
pub const NONCES_AHEAD_MAX: u64 = 64;
/// For how many more blocks a transaction must be valid when it comes.
pub const VALID_BLOCKS_MIN: u64 = 3;
/// By how many percent a replacement exceeds what it evicts.
pub const REPLACEMENT_PERCENT: u64 = 10;

/// The order of arrival of an entry, and its name inside the mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// A waiting transaction.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) transaction: Arc<CheckedTransaction>,
    /// When it came.
    pub(crate) since: Timestamp,
    rank: Rank,
}

/// The order in which entries give way: the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Whether a block could hold the transaction after those before it.
    executable: bool,
    /// What it would pay the producer at the least base fee.
    tip_rate: FeeRate,
    /// The older stays.
    arrival: Reverse<Ticket>,
}

/// What judges a transaction: the tip, and the state after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    pub(crate) rules: &'a Rules,
    /// The height of the tip.
    pub(crate) height: Height,
    /// The base fee of the next block.
    pub(crate) base_fee: FeeRate,
}

/// The waiting transactions.
///
/// # Invariant
///
/// All indexes name the same entries; no lane is empty.
#[derive(Debug)]
pub(crate) struct Mempool {
    config: MempoolConfig,
    entries: BTreeMap<Ticket, Entry>,
    lanes: BTreeMap<Address, Lane>,
    ids: BTreeMap<TransactionId, Ticket>,
    leaves: BTreeMap<LeafHash, Ticket>,
    ranks: BTreeSet<Rank>,
    /// The entries that expire, by the last height they may enter.
    expiring: BTreeSet<(Height, Ticket)>,
    /// Why the last block that this node put together could not hold some of them.
    refused: BTreeMap<TransactionId, TransactionError>,
    bytes: usize,
    executable: usize,
    next_ticket: u64,
    /// Goes up whenever something comes that may go into a block.
    version: u64,
}

impl View<'_> {
    fn account(&self, path: &StatePath) -> Account {
        self.state.find(path).map_or_else(Account::default, |index| self.state.account(index))
    }
}

impl Entry {
    /// What the entry counts against the limit of the mempool.
    fn bytes(&self) -> usize {
        bytes_of(&self.transaction)
    }
}

/// What a transaction counts against the limit of the mempool.
fn bytes_of(transaction: &CheckedTransaction) -> usize {
    transaction.byte_count() + ENTRY_OVERHEAD_BYTES
}

/// What a transaction would pay the producer at the least base fee.
fn tip_rate_of(transaction: &CheckedTransaction, view: &View<'_>) -> FeeRate {
    transaction.tip_rate(view.rules.section().fees.floor).unwrap_or_default()
}

impl Mempool {
    pub(crate) const fn new(config: MempoolConfig) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ids: BTreeMap::new(),
            leaves: BTreeMap::new(),
            ranks: BTreeSet::new(),
            expiring: BTreeSet::new(),
            refused: BTreeMap::new(),
            bytes: 0,
            executable: 0,
            next_ticket: 0,
            version: 0,
        }
    }

    /// How many transactions wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many of them a block could hold at once, as far as nonces and balances go.
    pub(crate) const fn executable_len(&self) -> usize {
        self.executable
    }

    /// The bytes of all entries with their overhead.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, id: &TransactionId) -> Option<(Ticket, &Entry)> {
        let ticket = *self.ids.get(id)?;
        Some((ticket, self.entry(ticket)))
    }

    /// The transaction with these bytes, if it waits.
    pub(crate) fn get_by_leaf(&self, leaf: &LeafHash) -> Option<&Arc<CheckedTransaction>> {
        let ticket = *self.leaves.get(leaf)?;
        Some(&self.entry(ticket).transaction)
    }

    pub(crate) fn lane(&self, sender: &Address) -> Option<&Lane> {
        self.lanes.get(sender)
    }

    pub(crate) fn at(&self, ticket: Ticket) -> Option<&Entry> {
        self.entries.get(&ticket)
    }

    /// Entries below a ticket, the newest first.
    pub(crate) fn newest_below(&self, before: Ticket) -> impl Iterator<Item = (Ticket, &Entry)> {
        self.entries.range(..before).rev().map(|(ticket, entry)| (*ticket, entry))
    }

    /// All transactions, the newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Arc<CheckedTransaction>> {
        self.entries.values().rev().map(|entry| &entry.transaction)
    }

    /// For each sender the transactions that can be executed one after the other.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.lanes.values().map(|lane| lane.run(&self.entries))
    }

    /// Notes why the block that was put together last could not hold transactions.
    pub(crate) fn note_refused(&mut self, refused: BTreeMap<TransactionId, TransactionError>) {
        self.refused = refused;
    }

    fn entry(&self, ticket: Ticket) -> &Entry {
        self.entries.get(&ticket).expect("the indexes name entries that are there")
    }

    /// Takes transactions again that were taken before, in the order in which they came. Those that are
    /// refused now are forgotten.
    pub(crate) fn restore(&mut self, kept: Vec<CheckedTransaction>, now: Timestamp, view: &View<'_>) {
        let mut waiting = kept;
        loop {
            let count = waiting.len();
            // What waits for earlier nonces may have come before them, if those were in blocks that
            // left the chain.
            waiting.retain(|transaction| {
                let admitted = self.admit(transaction.clone(), Arrival::Again, now, view);
                matches!(admitted, Err(SubmitError::Mempool(MempoolError::NonceTooFarAhead { .. })))
            });
            if waiting.is_empty() || waiting.len() == count {
                return;
            }
        }
    }

    /// Adds an entry to all indexes; its lane is grown or settled by the caller.
    fn link(&mut self, transaction: Arc<CheckedTransaction>, since: Timestamp, view: &View<'_>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let rank =
            Rank { executable: false, tip_rate: tip_rate_of(&transaction, view), arrival: Reverse(ticket) };
        self.put(ticket, Entry { transaction, since, rank }, view);
        ticket
    }

    /// Adds an entry under its ticket.
    fn put(&mut self, ticket: Ticket, mut entry: Entry, view: &View<'_>) {
        entry.rank.executable = false;
        let transaction = &entry.transaction;
        let lane = self
            .lanes
            .entry(transaction.sender())
            .or_insert_with(|| Lane::new(transaction.sender_path(), view.account(transaction.sender_path())));
        lane.insert(transaction.body().nonce, ticket, transaction.cost_max());
        self.ids.insert(transaction.id(), ticket);
        self.leaves.insert(transaction.leaf(), ticket);
        self.ranks.insert(entry.rank);
        let valid_until = transaction.body().valid_until;
        if valid_until != Height::GENESIS {
            self.expiring.insert((valid_until, ticket));
        }
        self.bytes += entry.bytes();
        self.entries.insert(ticket, entry);
        self.version += 1;
    }

    /// Removes an entry from all indexes; its lane is settled by the caller.
    fn unlink(&mut self, ticket: Ticket) -> Entry {
        let entry = self.entries.remove(&ticket).expect("the indexes name entries that are there");
        let transaction = &entry.transaction;
        let sender = transaction.sender();
        let lane = self.lanes.get_mut(&sender).expect("every entry has a lane");
        lane.remove(transaction.body().nonce, transaction.cost_max());
        if lane.is_empty() {
            self.lanes.remove(&sender);
        }
        self.ids.remove(&transaction.id());
        self.leaves.remove(&transaction.leaf());
        self.ranks.remove(&entry.rank);
        self.executable -= usize::from(entry.rank.executable);
        self.expiring.remove(&(transaction.body().valid_until, ticket));
        self.bytes -= entry.bytes();
        entry
    }

    /// Counts an entry among those a block could hold, or not.
    fn set_executable(&mut self, ticket: Ticket, executable: bool) {
        let entry = self.entries.get_mut(&ticket).expect("the indexes name entries that are there");
        if entry.rank.executable == executable {
            return;
        }
        self.ranks.remove(&entry.rank);
        entry.rank.executable = executable;
        self.ranks.insert(entry.rank);
        if executable {
            self.executable += 1;
            self.version += 1;
        } else {
            self.executable -= 1;
        }
    }

    /// Brings a lane in line with its sender's account. Entries whose nonce is used, and those too far
    /// beyond a gap, leave with a reason.
    fn settle(&mut self, sender: &Address, view: &View<'_>, dropped: &mut Vec<(Entry, DropReason)>) {
        let Some(lane) = self.lanes.get(sender) else { return };
        let account = view.account(lane.path());
        let first_free = lane.first_free_from(account.nonce);
        let (used, far) = (lane.below(account.nonce), lane.too_far_above(first_free));
        let used = used.into_iter().map(|ticket| (ticket, DropReason::NonceUsed { next: account.nonce }));
        let far = far.into_iter().map(|ticket| (ticket, DropReason::BeyondGap { missing: first_free }));
        for (ticket, reason) in used.chain(far) {
            dropped.push((self.unlink(ticket), reason));
        }
        let Some(lane) = self.lanes.get_mut(sender) else { return };
        lane.reset(account);
        lane.grow(&self.entries);
        let run_end = lane.run_end();
        let flags: Vec<_> = lane.tickets().map(|(nonce, ticket)| (ticket, nonce < run_end)).collect();
        for (ticket, executable) in flags {
            self.set_executable(ticket, executable);
        }
    }

    /// After an entry was added at the end of a lane: counts what can now be executed.
    fn grow(&mut self, sender: &Address) {
        let Some(lane) = self.lanes.get_mut(sender) else { return };
        for ticket in lane.grow(&self.entries) {
            self.set_executable(ticket, true);
        }
    }

    /// The last entry of a lane, and its nonce.
    fn last_of(&self, sender: &Address) -> Option<(Nonce, Ticket)> {
        self.lanes.get(sender)?.last()
    }
}

#[cfg(test)]
impl Mempool {
    /// Compares every index with the entries, and every lane with a count from scratch.
    pub(crate) fn check_indexes(&self, view: &View<'_>) {
        let ranks: BTreeSet<Rank> = self.entries.values().map(|entry| entry.rank).collect();
        assert_eq!(self.ranks, ranks);
        assert!(self.entries.iter().all(|(ticket, entry)| entry.rank.arrival.0 == *ticket));
        let ids = self.entries.iter().map(|(ticket, entry)| (entry.transaction.id(), *ticket));
        assert_eq!(self.ids, ids.collect());
        let leaves = self.entries.iter().map(|(ticket, entry)| (entry.transaction.leaf(), *ticket));
        assert_eq!(self.leaves, leaves.collect());
        let expiring =
            self.entries.iter().map(|(ticket, entry)| (entry.transaction.body().valid_until, *ticket));
        assert_eq!(self.expiring, expiring.filter(|(height, _)| *height != Height::GENESIS).collect());
        assert_eq!(self.bytes, self.entries.values().map(Entry::bytes).sum::<usize>());
        assert_eq!(self.executable, ranks.iter().filter(|rank| rank.executable).count());
        assert_eq!(self.lanes.values().map(Lane::len).sum::<usize>(), self.entries.len());
        for (sender, lane) in &self.lanes {
            let account = view.account(lane.path());
            assert_eq!(lane.account(), account);
            let mut next = account.nonce;
            let mut cost = 0;
            let mut in_run = true;
            for (nonce, ticket) in lane.tickets() {
                let entry = self.entry(ticket);
                assert_eq!((entry.transaction.sender(), entry.transaction.body().nonce), (*sender, nonce));
                assert!(nonce >= account.nonce);
                cost += entry.transaction.cost_max().units();
                in_run &= nonce == next && cost <= account.balance.units();
                assert_eq!(entry.rank.executable, in_run);
                if nonce == next {
                    next = Nonce(next.0 + 1);
                }
            }
            assert_eq!(lane.cost(), u128::from(cost));
            assert_eq!(lane.first_free(), next);
            assert!(
                !lane.is_empty()
                    && lane.run(&self.entries).count()
                        == usize::try_from(lane.run_end().0 - account.nonce.0).unwrap()
            );
        }
    }
}
