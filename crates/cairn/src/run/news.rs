//! What the node says, in the words of the interface.

use super::Counts;
use crate::api::views::{EventView, TransactionState};
use cairn_core::address::AddressPrefix;
use cairn_node::Event;
use cairn_node::chain::BlockRefusal;
use cairn_node::mempool::DropReason;

/// The most ids of blocks that one event names.
const IDS_MAX: usize = 1_000;

/// Appends what listeners hear of an event.
pub(super) fn tell(event: &Event, prefix: &AddressPrefix, counts: &Counts, out: &mut Vec<EventView>) {
    match event {
        Event::Block { block, .. } => {
            tracing::debug!(height = block.height().0, id = %block.id(), count = block.transactions().len(), "block");
            counts.blocks.inc();
            counts.confirmed.inc_by(u64::from(block.header().tx_count));
            let header = block.header();
            let (height, id) = (header.height.0, block.id().into());
            out.push(EventView::Block {
                height,
                id,
                parent: header.parent.into(),
                time_ms: header.time.0,
                producer: header.producer.to_text(prefix),
                transaction_count: header.tx_count,
            });
            out.extend(block.transactions().iter().map(|transaction| EventView::Transaction {
                id: transaction.id().into(),
                status: TransactionState::Confirmed,
                height: Some(height),
                block: Some(id),
            }));
        }
        Event::Reorganised { fork, from, to, depth, disconnected, connected } => {
            counts.reorganisations.inc();
            let joined = connected.len();
            tracing::warn!(fork = fork.0, %from, %to, depth, joined, "chain reorganised");
            out.push(EventView::Reorg {
                fork_height: fork.0,
                from: (*from).into(),
                to: (*to).into(),
                depth: *depth,
                disconnected: disconnected.iter().take(IDS_MAX).map(|id| (*id).into()).collect(),
                connected: connected.iter().take(IDS_MAX).map(|id| (*id).into()).collect(),
            });
        }
        Event::Pending { transaction } => out.push(EventView::Transaction {
            id: transaction.id().into(),
            status: TransactionState::Pending,
            height: None,
            block: None,
        }),
        Event::Dropped { id, reason } => {
            out.push(EventView::Mempool { id: (*id).into(), reason: name_of(reason).to_owned() });
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
