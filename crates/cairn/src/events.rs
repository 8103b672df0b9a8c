//! The news of a node, numbered and kept, so that a listener who was away can go on where it was.
//!
//! # Provided
//!
//! - Ids grow, and none is ever given twice: not after the process was killed, not after a power cut.
//! - What was delivered survives the end of the process. At least the newest [`EVENTS_KEPT`] events
//!   can be asked for again.
//! - Whoever asks for what is not kept, or never was, is told to start anew.
//! - A listener costs nothing while it is slow, and is sent away when it falls too far behind.
//!
//! # Not provided
//!
//! After a power cut the newest events may be gone: they are written, not synced, so that news costs
//! no wait for the disk. Ids are therefore reserved durably in steps of [`ID_STEP`], and after any
//! start but one that follows a clean stop the next id is the first of a new step.

mod record;
mod window;

pub use window::Confirmed;

use crate::api::views::EventView;
use axum::body::Bytes;
use cairn_store::StoreError;
use cairn_store::backend::Disk;
use cairn_store::log::{Log, Position, Settings};
use record::Record;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use window::{Batch, Entry, Stored, Window};

/// How many events are kept at least, once there are so many.
pub const EVENTS_KEPT: u64 = 20_000;
/// How many ids are reserved at once.
pub const ID_STEP: u64 = 1 << 16;
/// How many events a listener may be behind.
pub const LAG_MAX: u64 = 12_000;
/// How many listeners there are at most.
pub const SUBSCRIBERS_MAX: usize = 64;
/// The most bytes that are given to a listener at once.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// The name of the log.
const LOG_NAME: &str = "events";
/// The length of a segment of the log, in bytes.
const SEGMENT_BYTES: u32 = 4 * 1024 * 1024;
/// How many bytes wait in memory to be written at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// The most bytes of events in one record.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// The most transactions of a block that are kept as one.
const CONFIRMED_MAX: usize = 4_096;

/// All events that are kept, and who listens. Shared by the node, which writes, and listeners.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<Kept>,
    /// The newest id; closed when the node stops.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    log: Log,
    /// The id of the next event.
    next: u64,
    /// Ids below are reserved.
    reserved: u64,
    window: Window,
    /// Where records start, and the first id of each, oldest first.
    records: VecDeque<(u64, Position)>,
    /// The newest id that the log holds; events above it wait for room on the disk.
    logged: u64,
    /// Whether there was no room for the last ones.
    is_disk_full: bool,
    /// Whether events were left out, because there was not even room to reserve ids for them.
    is_missing: bool,
    subscribers: usize,
    closed: bool,
}

/// What the node tells.
#[derive(Debug)]
pub enum News {
    /// One event.
    One(EventView),
    /// One for each transaction of a block.
    Confirmed(Confirmed),
}

/// Someone who listens; dropping it ends that.
#[derive(Debug)]
pub struct Subscription {
    events: Arc<Events>,
    newest: watch::Receiver<u64>,
    /// The id of the event sent last.
    after: u64,
    /// Whether it still reads what was there when it came.
    catches_up: bool,
    /// What is to be told first.
    reset: Option<&'static str>,
}

/// What a listener gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Events, as they go over the wire.
    Frames(Bytes),
    /// The last that it gets: it was too slow and comes again.
    Last(Bytes),
    /// The node is stopping.
    Closed,
}

impl Events {
    /// Opens the events of the network with `identity` in a directory. No id below `first_id` is given
    /// from now on: it is 1, or more where earlier events were lost with their log.
    ///
    /// # Errors
    ///
    /// Where the disk fails or is full.
    pub fn open(disk: Arc<dyn Disk>, identity: [u8; 32], first_id: u64) -> Result<Arc<Self>, StoreError> {
        let settings = Settings { segment_bytes: SEGMENT_BYTES, buffer_bytes: BUFFER_BYTES };
        let (log, opened) = Log::open(disk, LOG_NAME, identity, settings, None)?;
        let mut kept = Kept {
            next: first_id,
            reserved: first_id,
            window: Window::new(first_id.saturating_sub(1)),
            records: VecDeque::new(),
            logged: 0,
            is_disk_full: false,
            is_missing: false,
            subscribers: 0,
            closed: false,
            log,
        };
        kept.restore(opened.start)?;
        kept.reserve()?;
        let newest = watch::Sender::new(kept.window.newest());
        Ok(Arc::new(Self { kept: Mutex::new(kept), newest }))
    }

    /// Numbers events, writes them down and wakes those who listen.
    ///
    /// # Errors
    ///
    /// Where the disk fails. If it is full the events are delivered all the same, and written down
    /// with the next ones for which there is room. Only once [`ID_STEP`] of them wait for that, more are
    /// left out, so that no id can come again after a crash; all who listen are told to start anew then.
    pub fn publish(&self, news: Vec<News>) -> Result<(), StoreError> {
        if news.is_empty() {
            return Ok(());
        }
        let newest = {
            let mut kept = self.lock();
            kept.publish(news)?;
            kept.window.newest()
        };
        self.newest.send_replace(newest);
        Ok(())
    }

    /// The id of the newest event; 0 if there was none.
    pub fn newest(&self) -> u64 {
        self.lock().window.newest()
    }

    /// How many listen.
    pub fn subscribers(&self) -> usize {
        self.lock().subscribers
    }

    /// Listens to what comes after the event `after`, or from now on. None if too many listen.
    pub fn subscribe(self: &Arc<Self>, after: Option<u64>) -> Option<Subscription> {
        let mut kept = self.lock();
        if kept.subscribers >= SUBSCRIBERS_MAX || kept.closed {
            return None;
        }
        kept.subscribers += 1;
        let newest = kept.window.newest();
        let (after, reset) = match after {
            None => (newest, None),
            Some(asked) => match kept.window.why_not(asked) {
                None => (asked, None),
                Some(reason) => (newest, Some(reason)),
            },
        };
        let newest = self.newest.subscribe();
        Some(Subscription { events: Arc::clone(self), newest, after, catches_up: true, reset })
    }

    /// Ends all subscriptions and marks a clean stop, so that ids go on without a gap.
    ///
    /// # Errors
    ///
    /// Where the disk fails or is full.
    pub fn close(&self) -> Result<(), StoreError> {
        let result = {
            let mut kept = self.lock();
            kept.closed = true;
            kept.mark_clean()
        };
        self.newest.send_modify(|_| {});
        result
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic under the lock leaves at worst events that are not written down.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Reads the log.
    fn restore(&mut self, start: Position) -> Result<(), StoreError> {
        let mut clean = None;
        for item in self.log.scan(start) {
            let (position, bytes) = item?;
            clean = None;
            match Record::decode(&bytes) {
                Some(Record::Events(frames)) => {
                    self.records.push_back((frames.first().map_or(0, |(id, _)| *id), position));
                    for (first, frame) in frames {
                        self.restore_entry(Entry { first, stored: Stored::Frame(frame) });
                    }
                }
                Some(Record::Confirmed(first, confirmed)) => {
                    self.records.push_back((first, position));
                    self.restore_entry(Entry { first, stored: Stored::Confirmed(confirmed) });
                }
                Some(Record::Reserved(below)) => self.reserved = self.reserved.max(below),
                Some(Record::Missing(id)) => self.forget_all(id),
                Some(Record::Clean(next)) => clean = Some(next),
                // A later release may write other records; ids stay reserved all the same.
                None => {}
            }
        }
        let seen = self.window.newest();
        self.next = clean.filter(|next| *next > seen).unwrap_or(self.reserved).max(seen + 1);
        self.logged = seen;
        Ok(())
    }

    /// Keeps what the log holds, once: after the disk was full some events may have been written twice.
    fn restore_entry(&mut self, entry: Entry) {
        if entry.first > self.window.newest() {
            self.window.push(entry);
        }
    }

    /// Reserves the next ids durably.
    fn reserve(&mut self) -> Result<(), StoreError> {
        let below = self.next.saturating_add(ID_STEP);
        self.log.append(&Record::Reserved(below).encode())?;
        self.log.sync()?;
        self.reserved = below;
        Ok(())
    }

    /// Goes on after events were left out: whoever heard of what came before must start anew.
    fn begin_anew(&mut self) -> Result<(), StoreError> {
        self.log.append(&Record::Missing(self.next).encode())?;
        self.reserve()?;
        self.forget_all(self.next);
        self.logged = self.next;
        self.next += 1;
        self.is_missing = false;
        Ok(())
    }

    /// Keeps nothing up to an id, which no event has.
    fn forget_all(&mut self, id: u64) {
        self.window.forget_all(id);
        self.records.clear();
    }

    fn publish(&mut self, news: Vec<News>) -> Result<(), StoreError> {
        if self.is_missing {
            match self.begin_anew() {
                Err(error) if error.is_full() => return Ok(()),
                result => result?,
            }
        }
        for news in news {
            if !self.number(news)? {
                tracing::warn!("no room for events: they are left out until there is");
                self.is_missing = true;
                break;
            }
        }
        match self.write() {
            Err(error) if error.is_full() => {
                if !self.is_disk_full {
                    tracing::warn!("no room for events: they are delivered, and written down once there is");
                }
                self.is_disk_full = true;
                Ok(())
            }
            result => {
                self.is_disk_full = false;
                result
            }
        }
    }

    /// Gives news their ids and keeps them; false if there is not even room to reserve ids.
    fn number(&mut self, news: News) -> Result<bool, StoreError> {
        match news {
            News::One(event) => {
                let Some(first) = self.take_ids(1)? else { return Ok(false) };
                let mut frame = Vec::with_capacity(256);
                record::write_frame(first, &event, &mut frame);
                self.window.push(Entry { first, stored: Stored::Frame(frame.into()) });
            }
            News::Confirmed(Confirmed { height, block, mut ids }) => {
                while !ids.is_empty() {
                    let rest = ids.split_off(ids.len().min(CONFIRMED_MAX));
                    let count = u64::try_from(ids.len()).expect("at most CONFIRMED_MAX");
                    let Some(first) = self.take_ids(count)? else { return Ok(false) };
                    let confirmed = Confirmed { height, block, ids };
                    self.window.push(Entry { first, stored: Stored::Confirmed(confirmed) });
                    ids = rest;
                }
            }
        }
        Ok(true)
    }

    /// The first of so many ids that follow each other; none if the disk has no room to reserve them.
    fn take_ids(&mut self, count: u64) -> Result<Option<u64>, StoreError> {
        if self.next + count > self.reserved {
            match self.reserve() {
                Err(error) if error.is_full() => return Ok(None),
                result => result?,
            }
        }
        let first = self.next;
        self.next += count;
        Ok(Some(first))
    }

    /// Writes down the events that are not in the log yet, and gives back room.
    fn write(&mut self) -> Result<(), StoreError> {
        let mut waiting = self.window.behind(self.logged).peekable();
        while let Some(entry) = waiting.next() {
            let record = match &entry.stored {
                Stored::Confirmed(confirmed) => record::encode_confirmed(entry.first, confirmed),
                Stored::Frame(frame) => {
                    let mut record = record::begin_events();
                    record::add_event(entry.first, frame, &mut record);
                    while let Some(Entry { first, stored: Stored::Frame(frame) }) = waiting.peek()
                        && record.len() + frame.len() <= RECORD_BYTES_MAX
                    {
                        record::add_event(*first, frame, &mut record);
                        waiting.next();
                    }
                    record
                }
            };
            let position = self.log.append(&record)?;
            self.records.push_back((entry.first, position));
        }
        drop(waiting);
        self.log.write_through()?;
        self.logged = self.window.newest();
        self.give_back_room()
    }

    /// Removes segments of which no event is kept any more.
    fn give_back_room(&mut self) -> Result<(), StoreError> {
        let mut needed = None;
        while let Some((first, position)) = self.records.front().copied() {
            // The record holds a kept event if the next one begins above the floor.
            let is_needed = self.records.get(1).is_none_or(|(next, _)| *next > self.window.floor() + 1);
            if is_needed || first > self.window.floor() {
                needed = Some(position.segment);
                break;
            }
            self.records.pop_front();
        }
        match needed {
            Some(segment) if self.log.start().segment < segment => {
                // The reservation may stand in what goes: it is written again first.
                self.log.append(&Record::Reserved(self.reserved).encode())?;
                self.log.sync()?;
                self.log.remove_before(segment)
            }
            _ => Ok(()),
        }
    }

    fn mark_clean(&mut self) -> Result<(), StoreError> {
        if self.is_missing {
            self.begin_anew()?;
        }
        self.log.append(&Record::Clean(self.next).encode())?;
        self.log.sync()
    }
}

impl Subscription {
    /// What comes next; waits until there is something.
    pub async fn next(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.take() {
                return delivery;
            }
            if self.newest.changed().await.is_err() {
                return Delivery::Closed;
            }
        }
    }

    /// What is there already.
    fn take(&mut self) -> Option<Delivery> {
        self.newest.mark_unchanged();
        let kept = self.events.lock();
        if let Some(reason) = self.reset.take() {
            return Some(Delivery::Frames(record::reset_frame(reason, self.after, kept.next).into()));
        }
        let Batch { bytes, last, behind } = kept.window.batch(self.after, BATCH_BYTES_MAX);
        let is_lost = kept.window.why_not(self.after).is_some();
        if is_lost || (behind > LAG_MAX && !self.catches_up) {
            return Some(Delivery::Last(record::slow_frame(self.after).into()));
        }
        if bytes.is_empty() {
            return kept.closed.then_some(Delivery::Closed);
        }
        self.catches_up &= last < kept.window.newest();
        self.after = last;
        Some(Delivery::Frames(bytes.into()))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.events.lock().subscribers -= 1;
    }
}

#[cfg(test)]
mod tests;
