//! What the node says, in the words of the interface.

use super::Counts;
use crate::api::render::sync;
use crate::api::views::{EventView, TransactionState};
use crate::events::{Confirmed, News};
use cairn_core::address::AddressPrefix;
use cairn_node::Event;
use cairn_node::chain::BlockRefusal;
use cairn_node::mempool::DropReason;
use cairn_node::sync::{SyncState, SyncStatus};
use std::time::{Duration, Instant};

/// The time between two news about a node that catches up.
const SYNC_NEWS_TIME: Duration = Duration::from_secs(1);
/// A node that has so few blocks to take has not fallen behind.
pub(crate) const NEXT_BLOCKS_MAX: u64 = 2;
/// The most ids of blocks that one event names.
const IDS_MAX: usize = 1_000;

/// Appends what listeners hear of an event.
pub(super) fn tell(event: &Event, prefix: &AddressPrefix, counts: &Counts, out: &mut Vec<News>) {
    match event {
        Event::Block { block, .. } => {
            tracing::debug!(height = block.height().0, id = %block.id(), count = block.transactions().len(), "block");
            counts.blocks.inc();
            counts.confirmed.inc_by(u64::from(block.header().tx_count));
            let header = block.header();
            let (height, id) = (header.height.0, block.id().into());
            out.push(News::One(EventView::Block {
                height,
                id,
                parent: header.parent.into(),
                time_ms: header.time.0,
                producer: header.producer.to_text(prefix),
                transaction_count: header.tx_count,
            }));
            if !block.transactions().is_empty() {
                let ids = block.transactions().iter().map(|transaction| transaction.id().into()).collect();
                out.push(News::Confirmed(Confirmed { height, block: id, ids }));
            }
        }
        Event::Reorganised { fork, from, to, depth, disconnected, connected } => {
            counts.reorganisations.inc();
            let joined = connected.len();
            tracing::warn!(fork = fork.0, %from, %to, depth, joined, "chain reorganised");
            out.push(News::One(EventView::Reorg {
                fork_height: fork.0,
                from: (*from).into(),
                to: (*to).into(),
                depth: *depth,
                disconnected: disconnected.iter().take(IDS_MAX).map(|id| (*id).into()).collect(),
                connected: connected.iter().take(IDS_MAX).map(|id| (*id).into()).collect(),
            }));
        }
        Event::Pending { transaction } => out.push(News::One(EventView::Transaction {
            id: transaction.id().into(),
            status: TransactionState::Pending,
            height: None,
            block: None,
        })),
        Event::Dropped { id, reason } => {
            out.push(News::One(EventView::Mempool { id: (*id).into(), reason: name_of(reason).to_owned() }));
        }
        Event::SideBlock { height, id } => {
            tracing::info!(height = height.0, %id, "block kept beside the chain")
        }
        Event::BlockHeld { height, id, until } => {
            tracing::info!(height = height.0, %id, until = until.0, "block from the future held");
        }
        Event::SealRefused { error, .. } => tracing::error!(%error, "the own seal does not close the block"),
        // That the disk is full is told once, and not with each block that is tried again.
        Event::OwnBlockRefused { refusal: BlockRefusal::DiskFull } => {}
        Event::OwnBlockRefused { refusal } => tracing::error!(%refusal, "the own block was refused"),
    }
}

/// When to tell how far the node is: whenever it does something else, and once a second while it catches up.
#[derive(Debug, Default)]
pub(super) struct SyncNews {
    told: Option<(SyncState, Instant)>,
}

impl SyncNews {
    /// What is to be told of how far the node is now.
    pub(super) fn look(&mut self, status: SyncStatus, now: Instant) -> Option<EventView> {
        // A node begins with what it has.
        let (told, at) = self.told.unwrap_or((SyncState::Following, now));
        let is_idle = matches!(status.state, SyncState::Alone | SyncState::Following);
        // A new block now and then is no catching up.
        let is_next = told == SyncState::Following
            && status.target.0.saturating_sub(status.height.0) <= NEXT_BLOCKS_MAX;
        // Whether there are peers is other news.
        let is_synced = is_idle || is_next;
        let state = if is_synced { SyncState::Following } else { status.state };
        if told == state && (is_synced || now.duration_since(at) < SYNC_NEWS_TIME) {
            return None;
        }
        self.told = Some((state, now));
        let (height, target) = (status.height.0, status.target.0);
        match status.state {
            SyncState::Alone | SyncState::Following => tracing::info!(height, "synced"),
            SyncState::Headers => {
                tracing::info!(height, target, "a peer has a better chain: its headers are coming")
            }
            SyncState::Blocks => tracing::info!(height, target, "blocks of a better chain are coming"),
        }
        Some(EventView::Sync { sync: sync(&status) })
    }
}

/// The name of a reason, which never changes its meaning.
const fn name_of(reason: &DropReason) -> &'static str {
    match reason {
        DropReason::Replaced { .. } => "replaced",
        DropReason::Displaced => "displaced",
        DropReason::Expired { .. } => "expired",
        DropReason::NonceUsed { .. } => "nonce-used",
        DropReason::BeyondGap { .. } => "beyond-gap",
        DropReason::TooManyFromSender => "too-many-from-sender",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::numbers::Height;

    #[test]
    fn a_node_that_catches_up_tells_so_at_most_once_a_second() {
        let mut news = SyncNews::default();
        let start = Instant::now();
        let status = |state, height| SyncStatus {
            state,
            height: Height(height),
            target: Height(9),
            headers: Height(9),
            peers: 1,
        };
        let mut look = |state, height, ms| {
            let event = news.look(status(state, height), start + Duration::from_millis(ms))?;
            let EventView::Sync { sync } = event else { panic!("{event:?}") };
            Some((sync.state, sync.height))
        };
        let told = |state: &str, height| Some((state.to_owned(), height));
        assert_eq!(look(SyncState::Following, 0, 0), None);
        assert_eq!(look(SyncState::Headers, 0, 1), told("headers", 0));
        assert_eq!(look(SyncState::Blocks, 1, 2), told("blocks", 1));
        assert_eq!(look(SyncState::Blocks, 2, 900), None);
        assert_eq!(look(SyncState::Blocks, 3, 1_002), told("blocks", 3));
        assert_eq!(look(SyncState::Following, 9, 1_003), told("synced", 9));
        assert_eq!(look(SyncState::Following, 10, 9_000), None);
        // The next block is on its way, as always.
        assert_eq!(look(SyncState::Blocks, 8, 9_001), None);
        assert_eq!(look(SyncState::Following, 9, 9_002), None);
    }
}
