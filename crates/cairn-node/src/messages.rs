//! What goes into a node and what comes out.

use crate::chain::{BlockRefusal, Imported, PeerKey};
use crate::config::MiningMode;
use crate::mempool::{DropReason, SubmitError, Submitted};
use crate::peers::{PeerEffect, PeerInput};
use crate::producer::{MineRefusal, SealJob};
use cairn_core::block::{CheckedBlock, Seal};
use cairn_core::consensus::HeaderError;
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::rules::Totals;
use cairn_core::transaction::{CheckedTransaction, TransactionError};
use std::sync::Arc;

/// The shell's name for a question; the node gives it back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The node's name for a block that wants its seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// What the shell tells a node.
#[derive(Debug)]
pub enum Input {
    /// Transactions for the mempool; the answer is [`Outcome::Submitted`].
    Submit {
        /// Who asks.
        request: RequestId,
        /// The transactions, or why one of them is not even a candidate. The answer keeps the order.
        transactions: Vec<Result<CheckedTransaction, TransactionError>>,
    },
    /// A block of whatever origin; the answer is [`Outcome::Block`].
    Block {
        /// Who asks; none if nobody waits for the answer.
        request: Option<RequestId>,
        /// The block.
        block: CheckedBlock,
    },
    /// Something came from a peer, or became of it.
    Peer {
        /// Which peer; a name that no later peer bears.
        peer: PeerKey,
        /// What.
        input: PeerInput,
    },
    /// The sealer has closed a block.
    Sealed {
        /// Which one.
        job: JobId,
        /// The extra data it drew; none if it left what the job had.
        extra: Option<Vec<u8>>,
        /// What closes the block.
        seal: Seal,
    },
    /// Make blocks now, in whatever mode, empty ones too; the answer is [`Outcome::Mined`] once all
    /// are made.
    Mine {
        /// Who asks.
        request: RequestId,
        /// How many.
        blocks: u32,
    },
    /// Make blocks at other times from now on.
    SetMining(MiningMode),
    /// At start: a block from the own log. Its signatures and its time were judged before. Neither
    /// appended again nor told to anybody.
    Replay(CheckedBlock),
    /// At start, after the last [`Replay`](Self::Replay): the transactions that waited. Those that
    /// are refused now are forgotten. Neither appended again nor told to anybody.
    Restore(Vec<CheckedTransaction>),
    /// The time that [`Node::next_wakeup`](crate::Node::next_wakeup) named has come.
    Wakeup,
}

/// What a node asks of the shell. Carried out only after the store is synced.
#[derive(Debug)]
pub enum Effect {
    /// Answer a question.
    Answer {
        /// Whose.
        request: RequestId,
        /// The answer.
        outcome: Outcome,
    },
    /// Seal a block; whatever was being sealed is not wanted any more.
    Seal(Box<SealJob>),
    /// What is being sealed is not wanted any more.
    StopSealing,
    /// Do something about a peer.
    Peer {
        /// Which peer.
        peer: PeerKey,
        /// What.
        effect: PeerEffect,
    },
    /// Tell whoever listens.
    News(Event),
}

/// An answer.
#[derive(Debug)]
pub enum Outcome {
    /// To [`Input::Submit`]: one for each transaction, in order.
    Submitted(Vec<Result<Submitted, SubmitError>>),
    /// To [`Input::Block`].
    Block(Result<Imported, BlockRefusal>),
    /// To [`Input::Mine`]: the ids of the blocks, ascending.
    Mined(Result<Vec<BlockId>, MineRefusal>),
}

/// News.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block joined the chain: all of its transactions are confirmed. Of a reorganisation with more
    /// than [`CHANGE_BYTES_MAX`](crate::chain::CHANGE_BYTES_MAX) bytes of blocks only the highest are
    /// told; [`Reorganised`](Self::Reorganised) names all.
    Block {
        /// The block.
        block: Arc<CheckedBlock>,
        /// What it moved beside the transfers.
        totals: Totals,
    },
    /// The chain took another branch. Told before the blocks that joined.
    Reorganised {
        /// The highest block that stayed.
        fork: Height,
        /// The tip that was left.
        from: BlockId,
        /// The tip that was taken.
        to: BlockId,
        /// How many blocks left the chain.
        depth: u64,
        /// The blocks that left, ascending.
        disconnected: Vec<BlockId>,
        /// The blocks that joined, ascending.
        connected: Vec<BlockId>,
    },
    /// A block was kept that is not on the chain.
    SideBlock {
        /// Its height.
        height: Height,
        /// Its id.
        id: BlockId,
    },
    /// A block came from the future and is judged later.
    BlockHeld {
        /// Its height.
        height: Height,
        /// Its id.
        id: BlockId,
        /// When it is judged.
        until: Timestamp,
    },
    /// A transaction waits: it is new, or its block left the chain.
    Pending {
        /// The transaction.
        transaction: Arc<CheckedTransaction>,
    },
    /// A transaction waits no longer, and not because it was confirmed.
    Dropped {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: DropReason,
    },
    /// The own sealer's seal does not close the block.
    SealRefused {
        /// Which job.
        job: JobId,
        /// Why.
        error: HeaderError,
    },
    /// A block that this node has made was refused: the disk is full, or the sealer's extra data is wrong.
    OwnBlockRefused {
        /// Why.
        refusal: BlockRefusal,
    },
}
