//! Why a transaction waits.

use super::{Entry, Mempool, View};
use cairn_core::numbers::{Amount, FeeRate, Nonce};
use cairn_core::transaction::TransactionError;

/// What a transaction waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// For room in a block only.
    Ready,
    /// For an earlier nonce of its sender.
    NonceGap {
        /// The nonce that is missing.
        missing: Nonce,
    },
    /// For a lower base fee.
    BaseFee {
        /// The greatest fee rate of the transaction.
        found: FeeRate,
        /// The base fee of the next block.
        base_fee: FeeRate,
    },
    /// For more balance.
    Balance {
        /// What the account has.
        balance: Amount,
        /// What this transaction and the earlier ones of its sender take, at most 2^64 - 1.
        needed: Amount,
    },
    /// For an earlier transaction of its sender, which waits for something else than room.
    Earlier {
        /// The nonce of that one.
        nonce: Nonce,
    },
    /// For a state in which it does not break a rule, as it did in the last block of this node.
    Rule(TransactionError),
}

impl Mempool {
    /// Why an entry waits.
    pub(crate) fn waits(&self, entry: &Entry, view: &View<'_>) -> Waits {
        let transaction = &entry.transaction;
        let nonce = transaction.body().nonce;
        let lane = self.lane(&transaction.sender()).expect("every entry has a lane");
        if nonce > lane.first_free() {
            return Waits::NonceGap { missing: lane.first_free() };
        }
        if entry.rank.executable
            && view.base_fee <= view.rules.section().fees.floor
            && self.refused.is_empty()
        {
            return Waits::Ready;
        }
        let mut needed = 0u128;
        for (earlier, ticket) in lane.tickets().take_while(|(earlier, _)| *earlier <= nonce) {
            let entry = self.entry(ticket);
            needed += u128::from(entry.transaction.cost_max().units());
            if let Some(obstacle) = self.obstacle(entry, lane.account().balance, needed, view) {
                return if earlier == nonce { obstacle } else { Waits::Earlier { nonce: earlier } };
            }
        }
        Waits::Ready
    }

    /// What stands between an entry and a block, if those before it are in one.
    fn obstacle(&self, entry: &Entry, balance: Amount, needed: u128, view: &View<'_>) -> Option<Waits> {
        if needed > u128::from(balance.units()) {
            let needed = Amount::from_units(u64::try_from(needed).unwrap_or(u64::MAX));
            return Some(Waits::Balance { balance, needed });
        }
        let found = entry.transaction.body().max_fee_rate;
        if found < view.base_fee {
            return Some(Waits::BaseFee { found, base_fee: view.base_fee });
        }
        self.refused.get(&entry.transaction.id()).cloned().map(Waits::Rule)
    }
}
