//! Blocks from the future, until the clock reaches them.

use cairn_core::block::CheckedBlock;
use cairn_core::hash::BlockId;
use cairn_core::numbers::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most blocks that are held; those nearest in time stay.
pub const HELD_BLOCKS_MAX: usize = 64;
/// How long a block is held at most, in milliseconds.
pub const HELD_AHEAD_MS_MAX: u64 = 600_000;

/// Blocks by the time at which they are judged.
#[derive(Debug, Default)]
pub(crate) struct HeldBlocks(BTreeMap<(Timestamp, BlockId), Arc<CheckedBlock>>);

impl HeldBlocks {
    /// Holds a block, if it is near enough in time.
    pub(super) fn insert(&mut self, until: Timestamp, block: Arc<CheckedBlock>, now: Timestamp) -> bool {
        if until.saturating_ms_since(now) > HELD_AHEAD_MS_MAX {
            return false;
        }
        let key = (until, block.id());
        self.0.insert(key, block);
        if self.0.len() > HELD_BLOCKS_MAX {
            self.0.pop_last();
        }
        self.0.contains_key(&key)
    }

    /// The first block whose time has come.
    pub(super) fn release(&mut self, now: Timestamp) -> Option<Arc<CheckedBlock>> {
        let entry = self.0.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// When the first block is judged.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.first_key_value().map(|((until, _), _)| *until)
    }

    /// How many blocks are held.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
