//! Taking a transaction in: the rules, what gives way to it, and taking it back.

use super::{
    DropReason, Entry, Lane, Mempool, MempoolError, NONCES_AHEAD_MAX, REPLACEMENT_PERCENT, SubmitError,
    Ticket, VALID_BLOCKS_MIN, View, bytes_of, tip_rate_of,
};
use cairn_core::account::Account;
use cairn_core::address::Address;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp};
use cairn_core::rules::check_reserve;
use cairn_core::transaction::{CheckedTransaction, TransactionError};
use std::sync::Arc;

/// What came of a transaction that was not refused.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It waits now.
    New {
        transaction: Arc<CheckedTransaction>,
        /// What gave way to it, and why.
        displaced: Vec<(Ticket, Entry, DropReason)>,
    },
    /// It waited already.
    Known,
}

/// Whether a transaction comes from outside, or from this node's own log of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// From outside: every rule holds.
    First,
    /// From the own log at a start: it was taken before, or stood in a block that left the chain, and may
    /// have been confirmed or lost its ground since. It may expire sooner than MEM-6 asks of a new one,
    /// and break TX-13 now: such a transaction waits and says so, as it would without the start.
    Again,
}

/// Which entries give way to a transaction.
#[derive(Debug, Default)]
struct Victims {
    replaced: Vec<Ticket>,
    bytes: usize,
}

impl Mempool {
    /// Takes a transaction, or says which rule it breaks; then nothing has changed.
    pub(crate) fn admit(
        &mut self,
        transaction: CheckedTransaction,
        arrival: Arrival,
        now: Timestamp,
        view: &View<'_>,
    ) -> Result<Admission, SubmitError> {
        if let Some((_, entry)) = self.get(&transaction.id()) {
            // MEM-1 > Of two witnesses for one id, the one that came first stays.
            return if entry.transaction.leaf() == transaction.leaf() {
                Ok(Admission::Known)
            } else {
                Err(MempoolError::OtherWitness { id: transaction.id() }.into())
            };
        }
        let account = check_alone(&transaction, arrival, view)?;
        let victims = self.check_lane(&transaction, &account)?;
        let evict = self.plan_room(&transaction, &account, &victims, view)?;

        let (id, sender) = (transaction.id(), transaction.sender());
        let mut displaced = Vec::new();
        let is_replacement = !victims.replaced.is_empty();
        for ticket in victims.replaced {
            displaced.push((ticket, self.unlink(ticket), DropReason::Replaced { by: id }));
        }
        self.make_room(&evict, bytes_of(&transaction), &mut displaced);
        let transaction = Arc::new(transaction);
        self.link(Arc::clone(&transaction), now, view);
        if is_replacement || self.lanes.get(&sender).is_some_and(|lane| lane.account() != account) {
            self.settle_quietly(&sender, view);
        } else {
            self.grow(&sender);
        }
        Ok(Admission::New { transaction, displaced })
    }

    /// Takes back admissions, given in order: what they displaced waits again.
    pub(crate) fn retract(&mut self, admissions: Vec<Admission>, view: &View<'_>) {
        for admission in admissions.into_iter().rev() {
            let Admission::New { transaction, displaced } = admission else { continue };
            let sender = transaction.sender();
            if let Some(ticket) = self.ids.get(&transaction.id()).copied() {
                self.unlink(ticket);
            }
            self.settle_quietly(&sender, view);
            for (ticket, entry, _) in displaced {
                let sender = entry.transaction.sender();
                self.put(ticket, entry, view);
                self.settle_quietly(&sender, view);
            }
        }
    }

    /// The rules about what its sender has waiting; returns what it replaces.
    fn check_lane(
        &self,
        transaction: &CheckedTransaction,
        account: &Account,
    ) -> Result<Victims, MempoolError> {
        let nonce = transaction.body().nonce;
        let Some(lane) = self.lane(&transaction.sender()) else {
            check_gap(nonce, account.nonce)?;
            return Ok(Victims::default());
        };
        let cost = transaction.cost_max();
        match lane.get(nonce) {
            Some(occupant) => self.check_replacement(transaction, lane, occupant, account),
            None => {
                check_gap(nonce, lane.first_free().max(account.nonce))?;
                // MEM-3 > A sender has at most as many waiting as the node allows.
                let (found, limit) = (lane.len(), self.config.lane_transactions_max);
                if found >= limit {
                    return Err(MempoolError::TooManyFromSender { found, limit });
                }
                check_pledged(lane.cost() + u128::from(cost.units()), account.balance)?;
                Ok(Victims::default())
            }
        }
    }

    /// What gives way if `transaction` takes the place of `occupant`: also the last ones of the lane,
    /// as far as the balance no longer covers them.
    fn check_replacement(
        &self,
        transaction: &CheckedTransaction,
        lane: &Lane,
        occupant: Ticket,
        account: &Account,
    ) -> Result<Victims, MempoolError> {
        let nonce = transaction.body().nonce;
        let mut victims = Victims::default();
        let mut cost = lane.cost() + u128::from(transaction.cost_max().units());
        let balance = u128::from(account.balance.units());
        let later = lane.tickets().rev().take_while(|(later, _)| *later > nonce).map(|(_, ticket)| ticket);
        for ticket in std::iter::once(occupant).chain(later) {
            if ticket != occupant && cost <= balance {
                break;
            }
            let entry = self.entry(ticket);
            cost -= u128::from(entry.transaction.cost_max().units());
            victims.bytes += entry.bytes();
            victims.replaced.push(ticket);
        }
        // MEM-4 > What waits before it and the transaction itself take at most the balance.
        check_pledged(cost, account.balance)?;
        self.check_price(transaction, &victims.replaced)?;
        Ok(victims)
    }

    /// MEM-5 for a transaction and what it would evict.
    fn check_price(&self, transaction: &CheckedTransaction, evicted: &[Ticket]) -> Result<(), MempoolError> {
        let evicted = || evicted.iter().map(|ticket| &self.entry(*ticket).transaction);
        let fee_of = |transaction: &CheckedTransaction| {
            let fee = transaction.weight().checked_fee(transaction.body().max_fee_rate);
            u128::from(fee.expect("TX-6 was checked").units())
        };
        let highest = |rate: fn(&CheckedTransaction) -> FeeRate| {
            evicted().map(|transaction| rate(transaction).0).max().unwrap_or_default()
        };
        let fee_rate = raised(highest(|it| it.body().max_fee_rate).into());
        let tip_rate = raised(highest(|it| it.body().tip_rate).into());
        let fee = raised(evicted().map(|transaction| fee_of(transaction)).sum());
        let body = transaction.body();
        // MEM-5 > A replacement pays at least a tenth more than all that it evicts.
        if u128::from(body.max_fee_rate.0) < fee_rate
            || u128::from(body.tip_rate.0) < tip_rate
            || fee_of(transaction) < fee
        {
            let narrow = |number| u64::try_from(number).unwrap_or(u64::MAX);
            return Err(MempoolError::ReplacementTooCheap {
                fee_rate: FeeRate(narrow(fee_rate)),
                tip_rate: FeeRate(narrow(tip_rate)),
                fee: Amount::from_units(narrow(fee)),
            });
        }
        Ok(())
    }

    /// The lowest entries that make room; none where there is room.
    fn plan_room(
        &self,
        transaction: &CheckedTransaction,
        account: &Account,
        victims: &Victims,
        view: &View<'_>,
    ) -> Result<Vec<Ticket>, MempoolError> {
        let after = self.bytes - victims.bytes + bytes_of(transaction);
        let mut excess = after.saturating_sub(self.config.bytes_max);
        let (sender, nonce) = (transaction.sender(), transaction.body().nonce);
        let next = self.lane(&sender).map_or(account.nonce, Lane::first_free);
        let is_beyond_gap = nonce > next;
        let found = tip_rate_of(transaction, view);
        let mut evict = Vec::new();
        for rank in &self.ranks {
            if excess == 0 {
                break;
            }
            // MEM-8 > What waits for a gap displaces nothing that can be executed.
            if is_beyond_gap && rank.executable {
                return Err(MempoolError::FullBeyondGap { missing: next });
            }
            let entry = self.entry(rank.arrival.0);
            let is_own = entry.transaction.sender() == sender;
            let is_ahead = is_own && rank.executable && entry.transaction.body().nonce < nonce;
            // MEM-7 > A higher tip rate than what it displaces. A transaction is worth no more than
            // those that its own sender has before it.
            let gives_way = rank.tip_rate < found || (!is_beyond_gap && !rank.executable);
            if is_ahead || !gives_way {
                return Err(MempoolError::Full { found, lowest: rank.tip_rate });
            }
            if !is_own {
                evict.push(rank.arrival.0);
                excess = excess.saturating_sub(entry.bytes());
            }
        }
        if excess == 0 { Ok(evict) } else { Err(MempoolError::Full { found, lowest: found }) }
    }

    /// Removes entries from the ends of the lanes in which the `lowest` stand, until there is room
    /// for `needed` bytes: what comes after one of them could not go into a block without it.
    pub(super) fn make_room(
        &mut self,
        lowest: &[Ticket],
        needed: usize,
        displaced: &mut Vec<(Ticket, Entry, DropReason)>,
    ) {
        for ticket in lowest {
            while self.bytes + needed > self.config.bytes_max
                && let Some(entry) = self.entries.get(ticket)
                && let Some((_, last)) = self.last_of(&entry.transaction.sender())
            {
                displaced.push((last, self.unlink(last), DropReason::Displaced));
            }
        }
    }

    /// Settles a lane of which nothing can leave.
    fn settle_quietly(&mut self, sender: &Address, view: &View<'_>) {
        let mut dropped = Vec::new();
        self.settle(sender, view, &mut dropped);
    }
}

/// The rules about a transaction and its sender's account; returns the account.
fn check_alone(
    transaction: &CheckedTransaction,
    arrival: Arrival,
    view: &View<'_>,
) -> Result<Account, SubmitError> {
    let body = transaction.body();
    // MEM-9 > A transaction fits an empty block.
    let (found, limit) = (transaction.weight(), view.rules.limits().block_weight);
    if found > limit {
        return Err(MempoolError::TooHeavy { found, limit }.into());
    }
    let (valid_until, height) = (body.valid_until, view.height.next());
    if valid_until != Height::GENESIS {
        // TX-10 > A transaction enters no block above its last height.
        if valid_until < height {
            return Err(TransactionError::Expired { valid_until, height }.into());
        }
        // MEM-6 > A transaction that expires is valid for at least the next 3 blocks.
        let needed = Height(view.height.0.saturating_add(VALID_BLOCKS_MIN));
        if valid_until < needed && arrival == Arrival::First {
            return Err(MempoolError::ExpiresSoon { valid_until, needed }.into());
        }
    }
    // TX-11 > The greatest fee rate reaches the base fee; here the least that it can fall to.
    let floor = view.rules.section().fees.floor;
    if body.max_fee_rate < floor {
        return Err(TransactionError::FeeTooLow { found: body.max_fee_rate, base_fee: floor }.into());
    }
    let account = view.account(transaction.sender_path());
    // TX-3 > A nonce is used once; later ones may wait.
    if body.nonce < account.nonce {
        return Err(TransactionError::WrongNonce { expected: account.nonce, found: body.nonce }.into());
    }
    // TX-12 > The sender has the amounts and the fee; here the greatest fee.
    let (balance, needed) = (account.balance, transaction.cost_max());
    let Some(left) = balance.checked_sub(needed) else {
        return Err(TransactionError::InsufficientBalance { balance, needed }.into());
    };
    // TX-13 > Every account that a transaction touches ends with at least the reserve.
    if arrival == Arrival::First {
        check_reserve(view.state, transaction, left, view.rules.section().reserve)?;
    }
    Ok(account)
}

/// MEM-2 for a nonce above the first free one.
fn check_gap(found: Nonce, next: Nonce) -> Result<(), MempoolError> {
    // MEM-2 > A nonce is at most 64 above the first free one.
    if found.0.saturating_sub(next.0) > NONCES_AHEAD_MAX {
        return Err(MempoolError::NonceTooFarAhead { found, next, limit: NONCES_AHEAD_MAX });
    }
    Ok(())
}

/// MEM-4 for what all of a sender's transactions take.
fn check_pledged(needed: u128, balance: Amount) -> Result<(), MempoolError> {
    // MEM-4 > All that a sender has waiting takes at most the balance.
    if needed > u128::from(balance.units()) {
        let needed = Amount::from_units(u64::try_from(needed).unwrap_or(u64::MAX));
        return Err(MempoolError::BalancePledged { balance, needed });
    }
    Ok(())
}

/// A tenth more, rounded up, and at least one more.
fn raised(number: u128) -> u128 {
    number + (number * u128::from(REPLACEMENT_PERCENT)).div_ceil(100).max(1)
}
