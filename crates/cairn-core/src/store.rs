//! The seam to the disk: what a node asks of whatever keeps its blocks.
//!
//! The log of blocks is the truth, everything else can be rebuilt from it. A node calls these
//! methods from its one thread. Nothing a caller was promised may leave the program before
//! [`Store::sync`] has returned, because only then does it survive a power cut.

use crate::account::AccountIndex;
use crate::block::{CheckedBlock, Header, Seal};
use crate::consensus::Parent;
use crate::hash::{BlockId, TransactionId};
use crate::history::HistoryNode;
use crate::numbers::Height;
use crate::state::{State, Undo};
use crate::transaction::CheckedTransaction;
use std::sync::Arc;

/// Keeps blocks, and what follows from them.
pub trait Store {
    /// Appends a block to the log, whichever branch it is on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if there is no room; the block is then not kept, and reading goes on.
    fn append(&mut self, block: &CheckedBlock) -> Result<(), StoreError>;

    /// The bytes of a kept block, on any branch.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if they cannot be read.
    fn block(&self, id: &BlockId) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// Takes the chain from the fork to a new tip, in one step, and takes over what changed in the
    /// state since the last time. All of its blocks were appended before.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database fails; the log still holds all blocks.
    fn advance(&mut self, advance: Advance, state: &mut State) -> Result<(), StoreError>;

    /// What takes the state back from the block at `height` of the chain; none outside the undo window.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if it cannot be read.
    fn undo(&self, height: Height) -> Result<Option<Undo>, StoreError>;

    /// The header at `height` of the chain, and its id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if it cannot be read.
    fn header(&self, height: Height) -> Result<Option<(BlockId, Header)>, StoreError>;

    /// Appends transactions to the log of the mempool.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if there is no room; none of them is then kept.
    fn keep_transactions(&mut self, transactions: &[&CheckedTransaction]) -> Result<(), StoreError>;

    /// Notes that a block beside the chain is of no use any more: it breaks a rule, or better ones took
    /// its place. Its bytes stay, but the next start is not given it.
    fn forget(&mut self, id: &BlockId);

    /// Makes durable what was appended.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is not durable now; it must then not be promised to anybody.
    fn sync(&mut self) -> Result<(), StoreError>;
}

/// A step of the chain: blocks above `fork` leave it, `connected` join it.
#[derive(Debug)]
pub struct Advance {
    /// The highest block that stays.
    pub fork: Height,
    /// The blocks that join, ascending.
    pub connected: Vec<ConnectedBlock>,
}

/// A block that joined the chain, and what the store keeps about it. It is small beside the block,
/// so a step of many blocks can be held in memory.
#[derive(Clone, Debug)]
pub struct ConnectedBlock {
    /// Its id.
    pub id: BlockId,
    /// Its header.
    pub header: Header,
    /// What closes it.
    pub seal: Seal,
    /// The ids of its transactions, in order.
    pub transactions: Vec<TransactionId>,
    /// What takes the state back.
    pub undo: Undo,
    /// Which accounts each transaction touched: its place in the block and an account.
    ///
    /// Ascending by place; the place of the payments at the end of a block is [`PAYMENT_PLACE`].
    pub touched: Vec<(u32, AccountIndex)>,
    /// The history subtrees that the block completes, from the leaf up.
    pub history: Vec<HistoryNode>,
}

/// The place in a block that stands for the fees and the reward credited at its end.
pub const PAYMENT_PLACE: u32 = u32::MAX;

/// What a store knows when it is opened; the node goes on from here.
#[derive(Debug)]
pub struct Loaded {
    /// The accounts after the tip.
    pub state: State,
    /// What the lowest block of `chain` needs to know of its parent; none if that is block 0.
    pub base: Option<Parent>,
    /// The headers of the highest blocks of the chain, ascending up to the tip; never empty.
    pub chain: Vec<(BlockId, Header)>,
    /// The headers of kept blocks that are not on the chain, parents first.
    pub side: Vec<(BlockId, Header)>,
}

/// The world failed, or is full. Never a reason to judge a block.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room on the disk.
    #[error("the disk is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading or writing failed.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
