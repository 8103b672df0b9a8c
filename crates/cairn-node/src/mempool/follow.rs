//! Following the chain: what was confirmed leaves, what left the chain waits again.

use super::{DropReason, Entry, Mempool, Ticket, View};
use crate::chain::ChainChange;
use cairn_core::address::Address;
use cairn_core::block::CheckedBlock;
use cairn_core::hash::TransactionId;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::transaction::CheckedTransaction;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a step of the chain did to the mempool beside confirming.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// What waits again, in the order in which it was in the chain.
    pub(crate) returned: Vec<Arc<CheckedTransaction>>,
    /// What waits no longer.
    pub(crate) dropped: Vec<(TransactionId, DropReason)>,
}

impl Mempool {
    /// Brings the mempool in line with a new tip, which `view` shows.
    pub(crate) fn follow(&mut self, change: &mut ChainChange, now: Timestamp, view: &View<'_>) -> Followed {
        let disconnected = std::mem::take(&mut change.disconnected);
        if self.entries.is_empty() && disconnected.is_empty() {
            return Followed::default();
        }
        let mut touched = BTreeSet::new();
        for (block, _) in &change.connected {
            self.confirm(block, &mut touched);
        }
        let has_left = !change.disconnected_ids.is_empty();
        let returned = self.take_again(disconnected, change, now, view);

        let mut dropped = Vec::new();
        self.expire(view.height, &mut touched, &mut dropped);
        if has_left {
            touched.extend(self.lanes.keys().copied());
        } else {
            touched.extend(change.paid.iter().filter(|paid| self.lanes.contains_key(*paid)));
        }
        for sender in touched {
            self.settle(&sender, view, &mut dropped);
            self.cut_to_limit(&sender, &mut dropped);
        }
        self.shrink_to_limit(&mut dropped);
        let is_waiting = |transaction: &Arc<CheckedTransaction>| self.ids.contains_key(&transaction.id());
        Followed {
            returned: returned.into_iter().filter(is_waiting).collect(),
            dropped: dropped.into_iter().map(|(entry, reason)| (entry.transaction.id(), reason)).collect(),
        }
    }

    /// Removes what a block confirms; notes whose account it changes.
    pub(crate) fn confirm(&mut self, block: &CheckedBlock, touched: &mut BTreeSet<Address>) {
        for transaction in block.transactions() {
            if let Some(ticket) = self.ids.get(&transaction.id()).copied() {
                self.unlink(ticket);
            }
            let recipients = transaction.body().transfers.iter().map(|transfer| transfer.to);
            for address in std::iter::once(transaction.sender()).chain(recipients) {
                if self.lanes.contains_key(&address) {
                    touched.insert(address);
                }
            }
        }
    }

    /// Adds what left the chain and is not on the new branch.
    fn take_again(
        &mut self,
        disconnected: Vec<CheckedTransaction>,
        change: &ChainChange,
        now: Timestamp,
        view: &View<'_>,
    ) -> Vec<Arc<CheckedTransaction>> {
        if disconnected.is_empty() {
            return Vec::new();
        }
        let connected = change.connected.iter().flat_map(|(block, _)| block.transactions());
        let mut confirmed: BTreeSet<TransactionId> = connected.map(CheckedTransaction::id).collect();
        confirmed.extend(&change.confirmed);
        let mut returned = Vec::new();
        for transaction in disconnected {
            let lane = self.lane(&transaction.sender());
            let is_taken = lane.is_some_and(|lane| lane.get(transaction.body().nonce).is_some());
            if confirmed.contains(&transaction.id()) || is_taken {
                continue;
            }
            let transaction = Arc::new(transaction);
            self.link(Arc::clone(&transaction), now, view);
            returned.push(transaction);
        }
        returned
    }

    /// Drops what can enter no block above `height`.
    fn expire(
        &mut self,
        height: Height,
        touched: &mut BTreeSet<Address>,
        dropped: &mut Vec<(Entry, DropReason)>,
    ) {
        while let Some((valid_until, ticket)) =
            self.expiring.first().copied().filter(|first| first.0 <= height)
        {
            let entry = self.unlink(ticket);
            touched.insert(entry.transaction.sender());
            dropped.push((entry, DropReason::Expired { valid_until }));
        }
    }

    /// Drops the end of a lane that has become too long.
    fn cut_to_limit(&mut self, sender: &Address, dropped: &mut Vec<(Entry, DropReason)>) {
        let limit = self.config.lane_transactions_max;
        while let Some((_, last)) = self.last_of(sender).filter(|_| self.lane_len(sender) > limit) {
            dropped.push((self.unlink(last), DropReason::TooManyFromSender));
        }
    }

    /// Drops the lowest until the rest fits.
    fn shrink_to_limit(&mut self, dropped: &mut Vec<(Entry, DropReason)>) {
        while self.bytes > self.config.bytes_max {
            let Some(lowest) = self.ranks.first().map(|rank| rank.arrival.0) else { return };
            let mut displaced: Vec<(Ticket, Entry, DropReason)> = Vec::new();
            self.make_room(&[lowest], 0, &mut displaced);
            dropped.extend(displaced.into_iter().map(|(_, entry, reason)| (entry, reason)));
        }
    }

    fn lane_len(&self, sender: &Address) -> usize {
        self.lane(sender).map_or(0, super::Lane::len)
    }
}
