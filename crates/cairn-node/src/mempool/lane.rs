//! The waiting transactions of one sender, in the order of their nonces.

use super::{Entry, NONCES_AHEAD_MAX, Ticket};
use cairn_core::account::Account;
use cairn_core::hash::StatePath;
use cairn_core::numbers::{Amount, Nonce};
use std::collections::{BTreeMap, btree_map};

/// One sender's transactions.
///
/// Those from the account's nonce up to the first gap come one after the other; the part of them
/// that the balance covers is the run that a block could hold at once.
#[derive(Debug)]
pub(crate) struct Lane {
    path: StatePath,
    account: Account,
    tickets: BTreeMap<Nonce, Ticket>,
    /// The most that all of them take; wider than an amount, since a balance may shrink later.
    cost: u128,
    first_free: Nonce,
    run_end: Nonce,
    run_cost: u128,
}

/// The transactions of a lane that can be executed, in order.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    tickets: btree_map::Range<'a, Nonce, Ticket>,
    entries: &'a BTreeMap<Ticket, Entry>,
}

impl<'a> Iterator for Run<'a> {
    type Item = (Ticket, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        let (_, ticket) = self.tickets.next()?;
        Some((*ticket, self.entries.get(ticket).expect("the lanes name entries that are there")))
    }
}

impl Lane {
    pub(super) const fn new(path: &StatePath, account: Account) -> Self {
        let nonce = account.nonce;
        Self {
            path: *path,
            account,
            tickets: BTreeMap::new(),
            cost: 0,
            first_free: nonce,
            run_end: nonce,
            run_cost: 0,
        }
    }

    pub(super) const fn path(&self) -> &StatePath {
        &self.path
    }

    /// The account as it was when the lane was last settled.
    pub(super) const fn account(&self) -> Account {
        self.account
    }

    pub(super) fn len(&self) -> usize {
        self.tickets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// The most that all transactions take together.
    pub(super) const fn cost(&self) -> u128 {
        self.cost
    }

    /// The first nonce from the account's on that is not taken.
    pub(crate) const fn first_free(&self) -> Nonce {
        self.first_free
    }

    /// The first nonce that does not belong to the run.
    pub(super) const fn run_end(&self) -> Nonce {
        self.run_end
    }

    /// The most that the run takes.
    pub(crate) fn run_cost(&self) -> Amount {
        Amount::from_units(u64::try_from(self.run_cost).expect("the balance covers it"))
    }

    pub(super) fn get(&self, nonce: Nonce) -> Option<Ticket> {
        self.tickets.get(&nonce).copied()
    }

    pub(super) fn last(&self) -> Option<(Nonce, Ticket)> {
        self.tickets.last_key_value().map(|(nonce, ticket)| (*nonce, *ticket))
    }

    /// All transactions, by nonce.
    pub(crate) fn tickets(&self) -> impl DoubleEndedIterator<Item = (Nonce, Ticket)> {
        self.tickets.iter().map(|(nonce, ticket)| (*nonce, *ticket))
    }

    /// Those whose nonce the account has used.
    pub(super) fn below(&self, nonce: Nonce) -> Vec<Ticket> {
        self.tickets.range(..nonce).map(|(_, ticket)| *ticket).collect()
    }

    /// Those that are further above a gap than is allowed.
    pub(super) fn too_far_above(&self, first_free: Nonce) -> Vec<Ticket> {
        let last = Nonce(first_free.0.saturating_add(NONCES_AHEAD_MAX));
        self.tickets.range(last..).filter(|(nonce, _)| **nonce > last).map(|(_, ticket)| *ticket).collect()
    }

    pub(super) fn run<'a>(&'a self, entries: &'a BTreeMap<Ticket, Entry>) -> Run<'a> {
        // After a settling the account's nonce is the lowest.
        let start = self.account.nonce.min(self.run_end);
        Run { tickets: self.tickets.range(start..self.run_end), entries }
    }

    pub(super) fn insert(&mut self, nonce: Nonce, ticket: Ticket, cost: Amount) {
        self.tickets.insert(nonce, ticket);
        self.cost += u128::from(cost.units());
    }

    /// Removes a transaction. Where others come after it, the caller resets the lane.
    pub(super) fn remove(&mut self, nonce: Nonce, cost: Amount) {
        let cost = u128::from(cost.units());
        let is_last = self.last().is_some_and(|(last, _)| last == nonce);
        self.tickets.remove(&nonce);
        self.cost -= cost;
        if is_last && nonce >= self.account.nonce {
            if nonce < self.run_end {
                self.run_end = nonce;
                self.run_cost -= cost;
            }
            self.first_free = self.first_free.min(nonce);
        }
    }

    /// Starts the run anew from an account; [`grow`](Self::grow) extends it.
    pub(super) const fn reset(&mut self, account: Account) {
        self.account = account;
        self.first_free = account.nonce;
        self.run_end = account.nonce;
        self.run_cost = 0;
    }

    /// The first nonce from `nonce` on that is not taken.
    pub(super) fn first_free_from(&self, nonce: Nonce) -> Nonce {
        let mut free = nonce;
        for taken in self.tickets.range(nonce..).map(|(taken, _)| *taken) {
            if taken != free {
                break;
            }
            // TX-14: the nonce of a transaction always has a next one.
            free = taken.next().unwrap_or(taken);
        }
        free
    }

    /// Extends the run as far as nonces and balance go; returns what joined it.
    pub(super) fn grow(&mut self, entries: &BTreeMap<Ticket, Entry>) -> Vec<Ticket> {
        self.first_free = self.first_free_from(self.first_free);
        let mut joined = Vec::new();
        for (nonce, ticket) in self.tickets.range(self.run_end..self.first_free) {
            let entry = entries.get(ticket).expect("the lanes name entries that are there");
            let cost = self.run_cost + u128::from(entry.transaction.cost_max().units());
            if cost > u128::from(self.account.balance.units()) {
                break;
            }
            self.run_cost = cost;
            self.run_end = Nonce(nonce.0 + 1);
            joined.push(*ticket);
        }
        joined
    }
}
