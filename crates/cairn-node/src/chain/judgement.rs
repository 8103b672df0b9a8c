//! What a node says about a block.

use cairn_core::block::BlockError;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Height, Timestamp};

/// What became of a block that breaks no rule known so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is the new tip, its parent was the tip.
    Extended,
    /// It is the new tip, at the end of another branch.
    Reorganised {
        /// The highest block that stayed.
        fork: Height,
        /// How many blocks left the chain.
        depth: u64,
    },
    /// It is kept beside the chain.
    Side,
    /// It was there already.
    Known,
    /// It comes from the future and is judged later.
    Held {
        /// When.
        until: Timestamp,
    },
    /// Its parent is not known. The block is not kept.
    Unconnected {
        /// The parent.
        parent: BlockId,
    },
}

/// Why a block was not taken. Nothing has changed through it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockRefusal {
    /// A block breaks a rule: this one, or one below it on its branch.
    #[error("block {block} breaks a rule: {error}")]
    Invalid {
        /// Which block.
        block: BlockId,
        /// The rule.
        #[source]
        error: BlockError,
    },
    /// The block broke a rule before.
    #[error("the block broke a rule before")]
    KnownInvalid,
    /// The parent broke a rule.
    #[error("the parent {parent} breaks a rule")]
    InvalidAncestor {
        /// The parent.
        parent: BlockId,
    },
    /// Its branch leaves the chain deeper down than blocks can be undone.
    #[error("the block is at height {found}, the chain can be undone down to {lowest}")]
    BelowUndoWindow {
        /// The height of the block.
        found: Height,
        /// The lowest block that can be left on another branch.
        lowest: Height,
    },
    /// All places beside the chain are taken by blocks with at least as much work.
    #[error("{limit} blocks with as much work are kept beside the chain already")]
    TooLittleWork {
        /// The number of places.
        limit: usize,
    },
    /// It has less than a quarter of the work of the tip, and blocks like it have taken their part of
    /// the disk. There is room again as the chain grows, and for a branch whose headers outweigh the tip.
    #[error("the block has {found} bytes, cheap blocks beside the chain may take {left} more")]
    TooCheap {
        /// The bytes of the block.
        found: u64,
        /// The bytes that are left for blocks like it.
        left: u64,
    },
    /// Its time is too far ahead of the clock, or enough nearer blocks are held.
    #[error("the time of the block is {time}, the clock says {now}")]
    TooFarAhead {
        /// The time of the block.
        time: Timestamp,
        /// The time by the node's clock.
        now: Timestamp,
    },
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
}
