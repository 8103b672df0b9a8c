//! What waits to be written to one peer: bounded, with the urgent before the rest.

use crate::frame::Frame;
use crate::message::Bye;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bytes that wait for one peer at most, but for a single longer frame.
pub const OUTBOX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Frames that wait for one peer at most.
pub const OUTBOX_FRAMES_MAX: usize = 2_000;
/// Answers to signs of life and the like that wait at most; more are left out.
const CONTROL_FRAMES_MAX: usize = 16;

/// How urgent a frame is, and whether it may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Headers, blocks, votes: before everything else, and never dropped in silence.
    Block,
    /// Transactions and their announcements: dropped where there is no room, and for a block.
    Transaction,
}

/// A frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link has ended, or is about to.
    #[error("there is no such peer any more")]
    Gone,
    /// Too much waits for this peer already. Of transactions that is counted; of blocks the owner must
    /// know, and ask again or give the peer up.
    #[error("too much waits for this peer")]
    Full,
}

/// The frames that wait for one peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    control: VecDeque<Frame>,
    blocks: VecDeque<Frame>,
    transactions: VecDeque<Frame>,
    /// Of blocks and transactions, with the frame that is being written.
    bytes: usize,
    frames: usize,
    /// The length of that frame.
    writing: Option<usize>,
    dropped: u64,
    last: Option<Bye>,
}

/// What is to be written next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Frame(Frame),
    /// Nothing is left; what was written may be sent off.
    Flush,
    /// The last frame.
    Bye(Bye),
}

impl Outbox {
    /// Takes a frame to be written.
    pub(crate) fn push(&self, frame: Frame, priority: Priority) -> Result<(), SendError> {
        let mut queues = self.lock();
        if queues.last.is_some() {
            return Err(SendError::Gone);
        }
        let bytes = frame.wire_bytes();
        if priority == Priority::Block {
            queues.make_room(bytes);
        }
        if !queues.has_room(bytes) {
            queues.dropped += u64::from(priority == Priority::Transaction);
            return Err(SendError::Full);
        }
        queues.bytes += bytes;
        queues.frames += 1;
        match priority {
            Priority::Block => queues.blocks.push_back(frame),
            Priority::Transaction => queues.transactions.push_back(frame),
        }
        drop(queues);
        self.more.notify_one();
        Ok(())
    }

    /// Takes a frame about the link itself; one too many is left out, since the peer does not read.
    pub(crate) fn push_control(&self, frame: Frame) {
        let mut queues = self.lock();
        if queues.control.len() < CONTROL_FRAMES_MAX && queues.last.is_none() {
            queues.control.push_back(frame);
            drop(queues);
            self.more.notify_one();
        }
    }

    /// Ends the link: what waits is given up for this last frame. The first reason stays.
    pub(crate) fn close(&self, bye: Bye) {
        let mut queues = self.lock();
        if queues.last.is_none() {
            *queues = Queues { last: Some(bye), dropped: queues.dropped, ..Queues::default() };
        }
        drop(queues);
        self.more.notify_one();
    }

    /// What is to be written next; `Flush` once whenever nothing is left after something.
    pub(crate) async fn next(&self, after_frame: bool) -> Next {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            if after_frame {
                return Next::Flush;
            }
            self.more.notified().await;
        }
    }

    /// A frame from [`next`](Self::next) has been written, which makes room for another.
    pub(crate) fn written(&self) {
        let mut queues = self.lock();
        if let Some(bytes) = queues.writing.take() {
            queues.bytes -= bytes;
            queues.frames -= 1;
        }
    }

    /// Transactions that were dropped since the link began.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn take(&self) -> Option<Next> {
        let mut queues = self.lock();
        if let Some(bye) = &queues.last {
            return Some(Next::Bye(bye.clone()));
        }
        if let Some(frame) = queues.control.pop_front() {
            return Some(Next::Frame(frame));
        }
        let frame = queues.blocks.pop_front().or_else(|| queues.transactions.pop_front())?;
        queues.writing = Some(frame.wire_bytes());
        Some(Next::Frame(frame))
    }

    /// The queues hold no invariant that a panic could break.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// A frame that is longer than the bound goes alone.
    fn has_room(&self, bytes: usize) -> bool {
        self.frames == 0 || (self.bytes + bytes <= OUTBOX_BYTES_MAX && self.frames < OUTBOX_FRAMES_MAX)
    }

    /// Drops the newest transactions until a block fits or none is left.
    fn make_room(&mut self, bytes: usize) {
        while !self.has_room(bytes)
            && let Some(dropped) = self.transactions.pop_back()
        {
            self.bytes -= dropped.wire_bytes();
            self.frames -= 1;
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Tag;
    use crate::message::ByeCode;

    fn frame(tag: &str, bytes: usize) -> Frame {
        Frame::new(tag.parse().unwrap(), vec![0; bytes])
    }

    fn tags(outbox: &Outbox) -> Vec<Tag> {
        std::iter::from_fn(|| match outbox.take() {
            Some(Next::Frame(frame)) => Some(frame.tag),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn signs_of_life_come_before_blocks_and_blocks_before_transactions() {
        let outbox = Outbox::default();
        outbox.push(frame("TXN", 1), Priority::Transaction).unwrap();
        outbox.push(frame("HDR", 1), Priority::Block).unwrap();
        outbox.push_control(frame("PON", 1));
        outbox.push(frame("BLK", 1), Priority::Block).unwrap();
        assert_eq!(tags(&outbox), ["PON", "HDR", "BLK", "TXN"].map(|it| it.parse().unwrap()));
    }

    #[test]
    fn transactions_make_room_for_a_block_and_are_counted() {
        let outbox = Outbox::default();
        for _ in 0..OUTBOX_FRAMES_MAX {
            outbox.push(frame("INV", 10), Priority::Transaction).unwrap();
        }
        assert_eq!(outbox.push(frame("INV", 10), Priority::Transaction), Err(SendError::Full));
        outbox.push(frame("BLK", OUTBOX_BYTES_MAX / 2), Priority::Block).unwrap();
        assert_eq!(outbox.dropped(), 2);
        outbox.push(frame("BLK", OUTBOX_BYTES_MAX / 2 - 14), Priority::Block).unwrap();
        assert_eq!(outbox.dropped(), OUTBOX_FRAMES_MAX as u64 + 1);
        assert_eq!(tags(&outbox).len(), 2);
    }

    #[test]
    fn blocks_are_never_dropped_in_silence() {
        let outbox = Outbox::default();
        for _ in 0..OUTBOX_FRAMES_MAX {
            outbox.push(frame("HDR", 1), Priority::Block).unwrap();
        }
        assert_eq!(outbox.push(frame("HDR", 1), Priority::Block), Err(SendError::Full));
        assert_eq!((outbox.dropped(), tags(&outbox).len()), (0, OUTBOX_FRAMES_MAX));
    }

    #[test]
    fn a_frame_longer_than_the_bound_goes_alone_and_makes_room_when_it_is_written() {
        let outbox = Outbox::default();
        outbox.push(frame("BLK", OUTBOX_BYTES_MAX + 5), Priority::Block).unwrap();
        assert_eq!(outbox.push(frame("BLK", 1), Priority::Block), Err(SendError::Full));
        assert!(outbox.take().is_some());
        assert_eq!(outbox.push(frame("BLK", 1), Priority::Block), Err(SendError::Full));
        outbox.written();
        assert_eq!((outbox.bytes(), outbox.push(frame("BLK", 1), Priority::Block)), (0, Ok(())));
    }

    #[test]
    fn signs_of_life_are_bounded() {
        let outbox = Outbox::default();
        (0..1000).for_each(|_| outbox.push_control(frame("PON", 9)));
        assert_eq!(tags(&outbox).len(), CONTROL_FRAMES_MAX);
    }

    #[test]
    fn a_farewell_takes_the_place_of_all_that_waits() {
        let outbox = Outbox::default();
        outbox.push(frame("TXN", 1), Priority::Transaction).unwrap();
        outbox.close(Bye::new(ByeCode::Leaving, "stops"));
        outbox.close(Bye::new(ByeCode::Slow, "too late"));
        assert_eq!(outbox.push(frame("TXN", 1), Priority::Transaction), Err(SendError::Gone));
        assert_eq!(outbox.take(), Some(Next::Bye(Bye::new(ByeCode::Leaving, "stops"))));
    }
}
