//! The newest events in memory: those of a block's transactions in short, all others written out.

use super::EVENTS_KEPT;
use super::record::write_frame;
use crate::api::views::{EventView, Hash, TransactionState};
use axum::body::Bytes;
use std::collections::VecDeque;

/// News in the order of their ids, from the oldest that is kept.
#[derive(Debug)]
pub(super) struct Window {
    /// The id before the oldest event that is kept.
    floor: u64,
    entries: VecDeque<Entry>,
    /// Events in all entries.
    count: u64,
}

/// Events with ids that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The id of the first of them.
    pub(super) first: u64,
    pub(super) stored: Stored,
}

/// What is kept of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// One event, as it goes over the wire.
    Frame(Bytes),
    /// One for each of these transactions.
    Confirmed(Confirmed),
}

/// That transactions are in a block. Each is an event of its own, a tenth as long until somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The height of the block.
    pub height: u64,
    /// Its id.
    pub block: Hash,
    /// The ids of the transactions; at least one.
    pub ids: Vec<Hash>,
}

/// What a listener gets at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// Frames, one after the other.
    pub(super) bytes: Vec<u8>,
    /// The id of the last of them.
    pub(super) last: u64,
    /// How many events there were for it in all.
    pub(super) behind: u64,
}

impl Entry {
    /// How many events these are.
    fn count(&self) -> u64 {
        match &self.stored {
            Stored::Frame(_) => 1,
            Stored::Confirmed(confirmed) => confirmed.count(),
        }
    }

    /// The id of the last of them.
    pub(super) fn last(&self) -> u64 {
        self.first + (self.count() - 1)
    }

    /// Appends the frames of the events behind `after`, until there are `bytes_max`; returns the id of the
    /// last one, if there is one.
    fn write_behind(&self, after: u64, bytes_max: usize, out: &mut Vec<u8>) -> Option<u64> {
        match &self.stored {
            Stored::Frame(frame) => {
                let fits = out.is_empty() || out.len() + frame.len() <= bytes_max;
                fits.then(|| {
                    out.extend_from_slice(frame);
                    self.first
                })
            }
            Stored::Confirmed(Confirmed { height, block, ids }) => {
                let mut last = None;
                for (event, id) in (self.first..).zip(ids).filter(|(event, _)| *event > after) {
                    let before = out.len();
                    let view = EventView::Transaction {
                        id: *id,
                        status: TransactionState::Confirmed,
                        height: Some(*height),
                        block: Some(*block),
                    };
                    write_frame(event, &view, out);
                    if before > 0 && out.len() > bytes_max {
                        out.truncate(before);
                        break;
                    }
                    last = Some(event);
                }
                last
            }
        }
    }
}

impl Confirmed {
    fn count(&self) -> u64 {
        u64::try_from(self.ids.len()).expect("a length fits 64 bits")
    }
}

impl Window {
    /// Keeps nothing; the first event comes behind `floor`.
    pub(super) const fn new(floor: u64) -> Self {
        Self { floor, entries: VecDeque::new(), count: 0 }
    }

    /// The id before the oldest event that is kept.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// The newest id; what comes before the oldest event if there is none.
    pub(super) fn newest(&self) -> u64 {
        self.entries.back().map_or(self.floor, Entry::last)
    }

    /// Keeps more, and no more of the oldest than it must.
    pub(super) fn push(&mut self, entry: Entry) {
        self.count += entry.count();
        self.entries.push_back(entry);
        while let Some(oldest) = self.entries.front()
            && self.count - oldest.count() >= EVENTS_KEPT
        {
            self.count -= oldest.count();
            self.floor = oldest.last();
            self.entries.pop_front();
        }
    }

    /// Keeps nothing up to `id`, which no event has.
    pub(super) fn forget_all(&mut self, id: u64) {
        *self = Self::new(id);
    }

    /// All entries that begin behind `after`.
    pub(super) fn behind(&self, after: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.entries.partition_point(|entry| entry.first <= after)..)
    }

    /// Why a listener cannot go on behind the event `after`; none if it can.
    pub(super) fn why_not(&self, after: u64) -> Option<&'static str> {
        let at = self.entries.partition_point(|entry| entry.last() < after);
        if after == self.floor || self.entries.get(at).is_some_and(|entry| entry.first <= after) {
            None
        } else if after < self.floor {
            Some("too-old")
        } else {
            Some("unknown-id")
        }
    }

    /// Events behind `after`, of so many bytes at most if it is more than one.
    pub(super) fn batch(&self, after: u64, bytes_max: usize) -> Batch {
        let start = self.entries.partition_point(|entry| entry.last() <= after);
        let mut batch = Batch { bytes: Vec::new(), last: after, behind: 0 };
        let mut is_full = false;
        for entry in self.entries.range(start..) {
            let known = (after + 1).saturating_sub(entry.first);
            batch.behind += entry.count() - known;
            if !is_full {
                let last = entry.write_behind(after, bytes_max, &mut batch.bytes);
                batch.last = last.unwrap_or(batch.last);
                is_full = last != Some(entry.last());
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u64) -> Entry {
        Entry { first, stored: Stored::Frame(Bytes::from_static(b"frame\n")) }
    }

    fn confirmed(first: u64, count: u8) -> Entry {
        let ids = (0..count).map(|number| Hash([number; 32])).collect();
        let block = Hash([9; 32]);
        Entry { first, stored: Stored::Confirmed(Confirmed { height: 7, block, ids }) }
    }

    #[test]
    fn a_listener_can_stop_and_go_on_within_a_block() {
        let mut window = Window::new(0);
        window.push(frame(1));
        window.push(confirmed(2, 5));
        window.push(frame(40));
        assert_eq!(window.newest(), 40);
        for (after, expected) in [(0, 7), (1, 6), (3, 4), (6, 1), (40, 0)] {
            assert_eq!(window.why_not(after), None, "{after}");
            let batch = window.batch(after, usize::MAX);
            let text = String::from_utf8(batch.bytes).unwrap();
            let ids = text.lines().filter(|line| line.starts_with("id: ")).count();
            // The frames of this test have no id of their own.
            assert_eq!(ids as u64 + text.matches("frame").count() as u64, expected, "{after}: {text}");
            assert_eq!((batch.behind, batch.last), (expected, 40), "{after}");
        }
        for never in [7, 39, 41] {
            assert_eq!(window.why_not(never), Some("unknown-id"), "{never}");
        }
    }

    #[test]
    fn a_batch_ends_where_it_is_full_and_the_next_goes_on_there() {
        let mut window = Window::new(0);
        window.push(confirmed(1, 9));
        window.push(frame(10));
        let (mut after, mut batches) = (0, Vec::new());
        while after < 10 {
            let batch = window.batch(after, 600);
            assert!(batch.last > after && batch.bytes.len() <= 600, "{batch:?}");
            assert_eq!(batch.behind, 10 - after);
            after = batch.last;
            batches.push(batch.last);
        }
        assert!(batches.len() > 2, "{batches:?}");
        // One event goes however long it is.
        assert_eq!(window.batch(0, 1).last, 1);
    }

    #[test]
    fn the_oldest_go_only_where_enough_stay() {
        let mut window = Window::new(0);
        window.push(confirmed(1, 200));
        for id in 0..EVENTS_KEPT - 1 {
            window.push(frame(201 + id));
        }
        assert_eq!(window.floor(), 0, "one more than those of the block are kept");
        window.push(frame(200 + EVENTS_KEPT));
        assert_eq!(window.floor(), 200);
        assert_eq!((window.why_not(199), window.why_not(200)), (Some("too-old"), None));
    }
}
