//! Why a transaction is not taken, and why one that waited is gone.

use cairn_core::hash::TransactionId;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Weight};
use cairn_core::transaction::TransactionError;

/// A transaction was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It waits now.
    Pending {
        /// Its id.
        id: TransactionId,
        /// What it took the place of.
        replaced: Vec<TransactionId>,
    },
    /// It waited already.
    Known {
        /// Its id.
        id: TransactionId,
    },
}

/// A transaction was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It breaks a rule of the ledger, or would in the next block.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// It breaks a rule of this node's mempool.
    #[error(transparent)]
    Mempool(#[from] MempoolError),
    /// The disk is full, so the node could not promise to keep it.
    #[error("the disk is full")]
    DiskFull,
}

/// A transaction breaks a rule of the mempool. Each variant is one rule of `docs/spec/07-mempool.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    /// MEM-1: of two witnesses for one transaction id, the one that came first stays.
    #[error("the transaction waits already with another witness")]
    OtherWitness {
        /// The id of both.
        id: TransactionId,
    },
    /// MEM-2: a nonce is at most 64 above the first one that its sender has not used or waiting.
    #[error("the nonce is {found}, the sender's next one is {next}, at most {limit} above are taken")]
    NonceTooFarAhead {
        /// The nonce of the transaction.
        found: Nonce,
        /// The first one that is free.
        next: Nonce,
        /// How far above it may be.
        limit: u64,
    },
    /// MEM-3: a sender has at most as many transactions waiting as the node allows.
    #[error("the sender has {found} transactions waiting, at most {limit} are taken")]
    TooManyFromSender {
        /// How many wait.
        found: usize,
        /// How many may.
        limit: usize,
    },
    /// MEM-4: all that a sender has waiting takes at most the balance, each with its greatest fee.
    #[error("the account has {balance} base units, all that waits would take {needed}")]
    BalancePledged {
        /// What the account has.
        balance: Amount,
        /// What all waiting transactions with this one take, at most 2^64 - 1.
        needed: Amount,
    },
    /// MEM-5: a replacement pays at least a tenth more than all that it evicts: in its greatest fee
    /// rate, its tip rate and its greatest fee, and at least one unit more in each.
    #[error(
        "to replace what waits, a greatest fee rate of {fee_rate}, a tip rate of {tip_rate} and a \
         greatest fee of {fee} are needed"
    )]
    ReplacementTooCheap {
        /// The greatest fee rate that is needed.
        fee_rate: FeeRate,
        /// The tip rate that is needed.
        tip_rate: FeeRate,
        /// The greatest fee that is needed, at most 2^64 - 1.
        fee: Amount,
    },
    /// MEM-6: a transaction that expires is valid for at least the next 3 blocks.
    #[error("the transaction is valid until block {valid_until}, at least {needed} is asked")]
    ExpiresSoon {
        /// The last height it asks for.
        valid_until: Height,
        /// The least last height.
        needed: Height,
    },
    /// MEM-7: where the mempool is full, a transaction needs a higher tip rate than what it displaces.
    #[error("the mempool is full: a tip rate of {found} displaces nothing, the lowest is {lowest}")]
    Full {
        /// The tip rate of the transaction at the least base fee.
        found: FeeRate,
        /// The lowest tip rate of what waits.
        lowest: FeeRate,
    },
    /// MEM-8: a transaction that waits for an earlier nonce displaces none that can be executed.
    #[error("the mempool is full, and the transaction waits for nonce {missing} of its sender")]
    FullBeyondGap {
        /// The nonce that is missing.
        missing: Nonce,
    },
    /// MEM-9: a transaction fits an empty block.
    #[error("the transaction weighs {found}, a block takes at most {limit}")]
    TooHeavy {
        /// Its weight.
        found: Weight,
        /// The limit of a block.
        limit: Weight,
    },
}

/// Why a transaction waits no longer, and was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Another one took its place.
    Replaced {
        /// Which.
        by: TransactionId,
    },
    /// The mempool was full, and others pay more.
    Displaced,
    /// It was valid until a height that the chain has reached.
    Expired {
        /// Which.
        valid_until: Height,
    },
    /// Its sender has used its nonce for another transaction.
    NonceUsed {
        /// The next nonce of the account.
        next: Nonce,
    },
    /// An earlier transaction of its sender is gone, and it is too far above the gap.
    BeyondGap {
        /// The nonce that is missing.
        missing: Nonce,
    },
    /// Its block left the chain, and its sender has as many waiting as are allowed.
    TooManyFromSender,
}

impl DropReason {
    /// Whether another transaction took its place.
    pub(crate) const fn is_replacement(&self) -> bool {
        matches!(self, Self::Replaced { .. })
    }
}
