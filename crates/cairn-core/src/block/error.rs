//! Which rule a block breaks, and whether its id is to blame.

use crate::codec::DecodeError;
use crate::consensus::HeaderError;
use crate::hash::{CertificateHash, ExtraHash, MerkleRoot, StateRoot};
use crate::numbers::{Amount, Weight};
use crate::transaction::TransactionError;

/// A block breaks a rule. Each numbered variant is one rule of `docs/spec/04-validity.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// BLK-1: the bytes are one sealed block in canonical form, within the limit of all networks.
    #[error("the bytes are not a block")]
    Form(#[source] DecodeError),
    /// The header or the seal breaks a rule of its own.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A transaction breaks a rule of its own.
    #[error("transaction {position} breaks a rule: {source}")]
    Transaction {
        /// Its place in the block.
        position: usize,
        /// The rule.
        #[source]
        source: TransactionError,
    },
    /// BLK-2: the header counts the transactions.
    #[error("the header counts {found} transactions, the body has {expected}")]
    TransactionCount {
        /// What the header says.
        found: u32,
        /// What the body has.
        expected: usize,
    },
    /// BLK-3: the header has the root over the transactions.
    #[error("the header has transaction root {found}, the body gives {expected}")]
    TransactionRoot {
        /// What the header says.
        found: MerkleRoot,
        /// What the body gives.
        expected: MerkleRoot,
    },
    /// BLK-4: the header has the hash of the extra data.
    #[error("the header has extra hash {found}, the body gives {expected}")]
    ExtraHash {
        /// What the header says.
        found: ExtraHash,
        /// What the body gives.
        expected: ExtraHash,
    },
    /// BLK-5: the extra data has at most as many bytes as genesis allows.
    #[error("the block has {found} bytes of extra data, at most {limit} are allowed")]
    TooMuchExtra {
        /// Its bytes.
        found: usize,
        /// The limit of the network.
        limit: usize,
    },
    /// BLK-6: the header has the hash of the certificate in the body, zero where there is none.
    #[error("the header has certificate hash {found}, the body gives {expected}")]
    CertificateHash {
        /// What the header says.
        found: CertificateHash,
        /// What the body gives.
        expected: CertificateHash,
    },
    /// BLK-7: the header has the weight of the transactions.
    #[error("the header says weight {found}, the transactions weigh {expected}")]
    WeightUsed {
        /// What the header says.
        found: Weight,
        /// What the transactions weigh.
        expected: Weight,
    },
    /// BLK-8: the header has the state root that the transactions lead to.
    #[error("the header has state root {found}, the transactions lead to {expected}")]
    StateRoot {
        /// What the header says.
        found: StateRoot,
        /// What the transactions lead to.
        expected: StateRoot,
    },
    /// BLK-9: the balances grow by the reward that matures and shrink by what is burned.
    #[error("all balances together are {found} base units, {expected} are issued and not burned")]
    Supply {
        /// The sum of the balances.
        found: Amount,
        /// What it must be.
        expected: Amount,
    },
}

impl BlockError {
    /// Whether the id itself is to blame, so that no other bytes with the same id can be valid.
    ///
    /// A body that does not belong to its header, and a signature beside the id, may come from
    /// whoever passed the block on; they must not bar the good block with the same id.
    pub const fn condemns_id(&self) -> bool {
        match self {
            Self::Form(_)
            | Self::TransactionCount { .. }
            | Self::TransactionRoot { .. }
            | Self::ExtraHash { .. }
            | Self::CertificateHash { .. }
            | Self::Header(HeaderError::SealKind { .. } | HeaderError::WrongSealSignature) => false,
            Self::Header(_)
            | Self::Transaction { .. }
            | Self::TooMuchExtra { .. }
            | Self::WeightUsed { .. }
            | Self::StateRoot { .. }
            | Self::Supply { .. } => true,
        }
    }
}
