//! What the log tells an operator about the chain and the mempool: every new head and every refused block,
//! but at most a line a second of each.
//!
//! A node that catches up, or makes a block as soon as a transaction comes, joins hundreds of blocks a
//! second. Those of a second are one line then, with the first and the last of them.

use crate::output::short;
use cairn_core::address::{Address, AddressPrefix};
use cairn_core::block::CheckedBlock;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Height, Timestamp};
use cairn_node::chain::BlockRefusal;
use cairn_node::queries::MempoolStatus;
use std::time::{Duration, Instant};

/// The least time between two lines about new heads.
const LINE_TIME: Duration = Duration::from_secs(1);
/// The mempool counts as full above this share of its limit, in percent, and no more below the other.
const FULL_PERCENT: usize = 90;
const ROOM_PERCENT: usize = 70;

/// Gathers what is to be told until it is time for a line.
#[derive(Debug)]
pub(super) struct Journal {
    prefix: AddressPrefix,
    mempool_bytes_max: usize,
    is_mempool_full: bool,
    /// When the last line was written.
    told: Option<Instant>,
    /// The time of the head that was told last.
    last_time: Timestamp,
    untold: Option<Heads>,
    refused: Refusals,
}

/// Blocks that were refused: whoever sends them must not fill the log.
#[derive(Debug, Default)]
struct Refusals {
    /// When the last line was written.
    told: Option<Instant>,
    /// How many were refused since, and why the last one was.
    untold: Option<(u64, String)>,
}

/// Blocks that joined the chain and were not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heads {
    first: Height,
    blocks: u64,
    transactions: u64,
    head: Height,
    id: BlockId,
    producer: Address,
    time: Timestamp,
}

impl Journal {
    /// A journal that begins at a head with a time.
    pub(super) const fn new(prefix: AddressPrefix, mempool_bytes_max: usize, head: Timestamp) -> Self {
        Self {
            prefix,
            mempool_bytes_max,
            is_mempool_full: false,
            told: None,
            last_time: head,
            untold: None,
            refused: Refusals { told: None, untold: None },
        }
    }

    /// A block was refused.
    pub(super) fn note_refusal(&mut self, refusal: &BlockRefusal) {
        let before = self.refused.untold.take().map_or(0, |(count, _)| count);
        self.refused.untold = Some((before + 1, refusal.to_string()));
    }

    /// A block joined the chain.
    pub(super) fn note_block(&mut self, block: &CheckedBlock) {
        let header = block.header();
        let before = self.untold.take();
        self.untold = Some(Heads {
            first: before.as_ref().map_or(header.height, |heads| heads.first.min(header.height)),
            blocks: before.as_ref().map_or(0, |heads| heads.blocks) + 1,
            transactions: before.map_or(0, |heads| heads.transactions) + u64::from(header.tx_count),
            head: header.height,
            id: block.id(),
            producer: header.producer,
            time: header.time,
        });
    }

    /// When [`Journal::write`] has something to tell; none if there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        let heads = self.untold.as_ref().and(self.told.map(|told| told + LINE_TIME));
        [heads, self.refused.due()].into_iter().flatten().min()
    }

    /// Writes a line about new heads if it is time, and one whenever the mempool fills up or empties.
    pub(super) fn write(&mut self, mempool: MempoolStatus, now: Instant) {
        if let Some((heads, after_ms)) = self.take_due(now) {
            self.tell_heads(&heads, after_ms, mempool);
        }
        match self.refused.take_due(now) {
            Some((1, refusal)) => tracing::warn!(refusal, "block refused"),
            Some((blocks, refusal)) => tracing::warn!(blocks, refusal, "blocks refused, the last of them so"),
            None => {}
        }
        if let Some(is_full) = self.turn_of(mempool.bytes) {
            self.tell_mempool(is_full, mempool);
        }
    }

    /// Writes what is left, at the end.
    pub(super) fn close(&mut self, mempool: MempoolStatus) {
        self.told = None;
        self.refused.told = None;
        self.write(mempool, Instant::now());
    }

    /// What is to be told of new heads now, and how long after the head before that, in milliseconds.
    fn take_due(&mut self, now: Instant) -> Option<(Heads, u64)> {
        if self.told.is_some_and(|told| now < told + LINE_TIME) {
            return None;
        }
        let heads = self.untold.take()?;
        let after_ms = heads.time.saturating_ms_since(self.last_time);
        self.told = Some(now);
        self.last_time = heads.time;
        Some((heads, after_ms))
    }

    /// Whether the mempool has become full, or has room again; none if neither.
    fn turn_of(&mut self, bytes: usize) -> Option<bool> {
        let percent = bytes.saturating_mul(100) / self.mempool_bytes_max.max(1);
        let limit = if self.is_mempool_full { ROOM_PERCENT } else { FULL_PERCENT };
        let is_full = percent >= limit;
        (is_full != self.is_mempool_full).then(|| {
            self.is_mempool_full = is_full;
            is_full
        })
    }

    fn tell_heads(&self, heads: &Heads, after_ms: u64, mempool: MempoolStatus) {
        let id = short(&heads.id.to_string());
        let producer = short(&heads.producer.to_text(&self.prefix));
        let Heads { first, blocks, transactions, head, .. } = heads;
        let (height, waiting) = (head.0, mempool.transactions);
        if *blocks == 1 {
            tracing::info!(height, %id, transactions, %producer, after_ms, waiting, "new head");
        } else {
            let first = first.0;
            tracing::info!(height, %id, first, blocks, transactions, %producer, after_ms, waiting, "new heads");
        }
    }

    fn tell_mempool(&self, is_full: bool, mempool: MempoolStatus) {
        let MempoolStatus { transactions, bytes, .. } = mempool;
        let bytes_max = self.mempool_bytes_max;
        if is_full {
            tracing::warn!(
                transactions,
                bytes,
                bytes_max,
                "the mempool is nearly full: the cheapest give way"
            );
        } else {
            tracing::info!(transactions, bytes, bytes_max, "the mempool has room again");
        }
    }
}

impl Refusals {
    fn due(&self) -> Option<Instant> {
        self.untold.as_ref().and(self.told.map(|told| told + LINE_TIME))
    }

    /// What is to be told now.
    fn take_due(&mut self, now: Instant) -> Option<(u64, String)> {
        if self.told.is_some_and(|told| now < told + LINE_TIME) {
            return None;
        }
        let untold = self.untold.take()?;
        self.told = Some(now);
        Some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        Journal::new(AddressPrefix::new("cairn").unwrap(), 1_000, Timestamp(5_000))
    }

    fn heads(height: u64) -> Heads {
        Heads {
            first: Height(height),
            blocks: 1,
            transactions: 3,
            head: Height(height),
            id: BlockId([7; 32]),
            producer: Address([1; 32]),
            time: Timestamp(5_000 + height * 100),
        }
    }

    #[test]
    fn the_first_head_is_told_at_once_and_the_next_after_a_second() {
        let mut journal = journal();
        let start = Instant::now();
        assert_eq!(journal.take_due(start), None);
        journal.untold = Some(heads(1));
        assert_eq!(journal.take_due(start), Some((heads(1), 100)));
        assert_eq!(journal.due(), None, "there is nothing to tell");
        journal.untold = Some(heads(4));
        assert_eq!(journal.due(), Some(start + LINE_TIME));
        assert_eq!(journal.take_due(start + LINE_TIME / 2), None);
        assert_eq!(journal.take_due(start + LINE_TIME), Some((heads(4), 300)));
    }

    #[test]
    fn a_flood_of_refused_blocks_is_a_line_a_second() {
        let mut journal = journal();
        let start = Instant::now();
        journal.note_refusal(&BlockRefusal::DiskFull);
        let why = BlockRefusal::DiskFull.to_string();
        assert_eq!(journal.refused.take_due(start), Some((1, why.clone())));
        for _ in 0..1_000 {
            journal.note_refusal(&BlockRefusal::DiskFull);
            assert_eq!(journal.refused.take_due(start + LINE_TIME / 2), None);
        }
        assert_eq!(journal.due(), Some(start + LINE_TIME));
        // New heads are told meanwhile.
        journal.untold = Some(heads(1));
        assert!(journal.take_due(start + LINE_TIME / 2).is_some());
        assert_eq!(journal.refused.take_due(start + LINE_TIME), Some((1_000, why)));
        assert_eq!(journal.refused.take_due(start + 3 * LINE_TIME), None, "there is nothing to tell");
    }

    #[test]
    fn the_mempool_is_told_once_when_it_fills_up_and_once_when_it_has_emptied() {
        let mut journal = journal();
        let turns = [0, 899, 900, 1_000, 899, 700, 699, 800, 900].map(|bytes| journal.turn_of(bytes));
        let expected = [None, None, Some(true), None, None, None, Some(false), None, Some(true)];
        assert_eq!(turns, expected);
    }
}
