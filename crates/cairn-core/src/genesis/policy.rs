//! What a genesis file advises where the rules leave a node free. Not part of the identity.

use crate::network::Limits;

/// How many peers a node keeps where the file says nothing.
const PEERS: u32 = 64;

/// Advice to nodes and producers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// As soon as so many transactions wait, a producer makes a block before the interval is over;
    /// none to wait for the interval always.
    pub min_transactions: Option<u32>,
    /// The most transactions that a producer puts into a block.
    pub max_transactions: u32,
    /// Whether a producer makes blocks without transactions.
    pub empty_blocks: bool,
    /// What a producer writes into the extra data of its blocks.
    pub placeholder: Placeholder,
    /// The most peers of a node.
    pub peers_max: u32,
}

/// The extra data of a producer's blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placeholder {
    /// Nothing.
    #[default]
    None,
    /// So many random bytes, drawn by whoever seals the block.
    Random(usize),
    /// This text.
    Text(String),
}

impl Placeholder {
    /// How many bytes of extra data it takes.
    pub const fn byte_count(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Random(count) => *count,
            Self::Text(text) => text.len(),
        }
    }
}

impl Policy {
    /// The default: blocks as full as the limits allow, empty ones too, no placeholder.
    pub const fn of(limits: &Limits) -> Self {
        Self {
            min_transactions: None,
            max_transactions: limits.block_transactions,
            empty_blocks: true,
            placeholder: Placeholder::None,
            peers_max: PEERS,
        }
    }
}
