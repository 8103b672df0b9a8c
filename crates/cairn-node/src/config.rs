//! What a node chooses for itself: none of it is consensus.

use crate::relay::RelayConfig;
use cairn_core::address::Address;
use cairn_core::target::Work;

/// All that a node chooses.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// How many blocks can be undone: a branch that leaves the chain deeper down is refused.
    pub undo_window: u64,
    /// The least work of a chain whose headers are kept; of those with less only the work is counted. The
    /// first blocks of a chain are easy, and a branch that was made of them in a day may lead further away
    /// than `undo_window` reaches back: who knows how much work the network has at least is safe from that.
    pub minimum_work: Work,
    /// What waits for a block, and how much of it.
    pub mempool: MempoolConfig,
    /// Whether and when to make blocks.
    pub mining: MiningConfig,
    /// How transactions go on to other nodes.
    pub relay: RelayConfig,
}

/// How many transactions wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MempoolConfig {
    /// The most bytes of all waiting transactions, each counted with
    /// [`ENTRY_OVERHEAD_BYTES`](crate::mempool::ENTRY_OVERHEAD_BYTES).
    pub bytes_max: usize,
    /// The most transactions of one sender.
    pub lane_transactions_max: usize,
}

/// Whether and when to make blocks.
#[derive(Clone, Debug)]
pub struct MiningConfig {
    /// Who is paid for the blocks of this node; none if it makes no blocks.
    pub producer: Option<Address>,
    /// When to make a block.
    pub mode: MiningMode,
    /// The time between blocks in mode [`Interval`](MiningMode::Interval), in milliseconds.
    pub interval_ms: u64,
    /// In mode [`Interval`](MiningMode::Interval): with so many transactions waiting a block is due
    /// before the interval has passed. None for never.
    pub min_transactions: Option<usize>,
    /// The most transactions that this node puts into a block; none for as many as the rules allow.
    pub max_transactions: Option<usize>,
    /// Whether blocks without transactions are made by themselves. Those asked for by
    /// [`Input::Mine`](crate::Input::Mine) may be empty in any case.
    pub empty_blocks: bool,
    /// The extra data of each block; cut off at what genesis allows.
    pub extra: Vec<u8>,
    /// How many bytes of filler the sealer draws as extra data in place of `extra`.
    pub placeholder_bytes: Option<usize>,
}

/// When a node makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiningMode {
    /// Only when asked.
    Manual,
    /// As soon as a transaction can be put into one. What arrives while a block is being sealed
    /// goes into the next.
    OnTransaction,
    /// One each interval.
    Interval,
    /// Always at work on the tip.
    Continuous,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            undo_window: 10_000,
            minimum_work: Work::ZERO,
            mempool: MempoolConfig::default(),
            mining: MiningConfig::default(),
            relay: RelayConfig::default(),
        }
    }
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self { bytes_max: 64 * 1024 * 1024, lane_transactions_max: 1024 }
    }
}

impl Default for MiningConfig {
    fn default() -> Self {
        Self {
            producer: None,
            mode: MiningMode::Manual,
            interval_ms: 10_000,
            min_transactions: None,
            max_transactions: None,
            empty_blocks: true,
            extra: Vec::new(),
            placeholder_bytes: None,
        }
    }
}
