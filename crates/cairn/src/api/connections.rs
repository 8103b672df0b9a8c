//! Who is connected, what each connection waits for, and when it has waited too long.
//!
//! A connection is in one of three phases: its client sends the head of a request, the node works
//! on an answer, or the answer is on its way and nothing new has come. A client that is slow in the
//! first or the last is cut off; where all places are taken, the one that is slowest makes room, so
//! that clients who hold connections open cannot keep others out.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How long the head of a request may take to arrive.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection may rest between two requests, or take nothing of an answer.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// All open connections.
#[derive(Debug)]
pub struct Connections {
    started: Instant,
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
}

/// What one connection is doing.
#[derive(Debug)]
pub struct Slot {
    started: Instant,
    /// The phase in the two low bits, above them the moment it began in milliseconds.
    phase: AtomicU64,
    /// Whether the answer is a stream that goes on by itself.
    streams: AtomicBool,
    cut: Notify,
}

/// Nothing has come since the last answer.
const RESTING: u64 = 0;
/// The head of a request is arriving.
const HEAD: u64 = 1;
/// The node works on an answer.
const WORKING: u64 = 2;
const PHASES: u64 = 4;

/// A place among the open connections; given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    connections: Arc<Connections>,
    number: u64,
    slot: Arc<Slot>,
}

impl Connections {
    /// No connections yet, and room for `limit`.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), limit, open: Mutex::default() })
    }

    /// A place for a new connection. Where none is free, the slowest client is cut off for it; none
    /// if the node works for all of them.
    pub fn enter(self: &Arc<Self>) -> Option<Ticket> {
        let mut open = self.lock();
        if open.slots.len() >= self.limit {
            let (number, slot) = open
                .slots
                .iter()
                .filter(|(_, slot)| slot.may_be_cut())
                .min_by_key(|(_, slot)| slot.phase.load(Ordering::Relaxed) / PHASES)
                .map(|(number, slot)| (*number, Arc::clone(slot)))?;
            open.slots.remove(&number);
            slot.cut.notify_one();
        }
        let number = open.next;
        open.next += 1;
        let slot = Arc::new(Slot {
            started: self.started,
            phase: AtomicU64::new(0),
            streams: AtomicBool::new(false),
            cut: Notify::new(),
        });
        slot.set(HEAD);
        open.slots.insert(number, Arc::clone(&slot));
        Some(Ticket { connections: Arc::clone(self), number, slot })
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.lock().slots.len()
    }

    /// Cuts off every client that has taken too long.
    pub fn sweep(&self) {
        for slot in self.lock().slots.values() {
            if slot.is_overdue() {
                slot.cut.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing under the lock can panic halfway through a change.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The phase of the connection.
    pub const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.lock().slots.remove(&self.number);
    }
}

impl Slot {
    /// The whole head has arrived.
    pub fn begin_work(&self) {
        self.set(WORKING);
    }

    /// The answer is on its way; `streams` says whether it goes on by itself.
    pub fn end_work(&self, streams: bool) {
        self.streams.store(streams, Ordering::Relaxed);
        self.set(RESTING);
    }

    /// Waits until the connection is to be cut off.
    pub async fn cut(&self) {
        self.cut.notified().await;
    }

    fn received(&self) {
        if self.phase.load(Ordering::Relaxed) % PHASES == RESTING && !self.streams.load(Ordering::Relaxed) {
            self.set(HEAD);
        }
    }

    fn sent(&self) {
        if self.phase.load(Ordering::Relaxed) % PHASES == RESTING {
            self.set(RESTING);
        }
    }

    fn set(&self, phase: u64) {
        self.phase.store(self.now_ms() * PHASES + phase, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).expect("a program does not run for 10^8 years")
    }

    fn may_be_cut(&self) -> bool {
        self.phase.load(Ordering::Relaxed) % PHASES != WORKING && !self.streams.load(Ordering::Relaxed)
    }

    fn is_overdue(&self) -> bool {
        let value = self.phase.load(Ordering::Relaxed);
        let limit = match value % PHASES {
            HEAD => HEAD_TIME_MAX,
            RESTING => IDLE_TIME_MAX,
            _ => return false,
        };
        u128::from(self.now_ms().saturating_sub(value / PHASES)) > limit.as_millis()
    }
}

/// A connection that tells its slot what comes and goes.
#[derive(Debug)]
pub struct Watched {
    stream: TcpStream,
    slot: Arc<Slot>,
}

impl Watched {
    /// Watches `stream` for `slot`.
    pub const fn new(stream: TcpStream, slot: Arc<Slot>) -> Self {
        Self { stream, slot }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.slot.received();
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if result.is_ready() {
            self.slot.sent();
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if result.is_ready() {
            self.slot.sent();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_client_makes_room_and_one_being_answered_does_not() {
        let connections = Connections::new(2);
        let working = connections.enter().unwrap();
        working.slot().begin_work();
        let slow = connections.enter().unwrap();
        let new = connections.enter().unwrap();
        assert_eq!(connections.count(), 2);
        assert!(connections.lock().slots.contains_key(&working.number));
        assert!(!connections.lock().slots.contains_key(&slow.number));
        new.slot().begin_work();
        assert!(connections.enter().is_none());
        drop(working);
        assert!(connections.enter().is_some());
    }

    #[test]
    fn a_stream_of_events_is_not_cut_for_others() {
        let connections = Connections::new(1);
        let stream = connections.enter().unwrap();
        stream.slot().begin_work();
        stream.slot().end_work(true);
        assert!(connections.enter().is_none());
        stream.slot().end_work(false);
        assert!(connections.enter().is_some());
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let connections = Connections::new(1);
        let ticket = connections.enter().unwrap();
        let slot = Slot {
            started: Instant::now().checked_sub(Duration::from_secs(20)).unwrap(),
            phase: AtomicU64::new(HEAD),
            streams: AtomicBool::new(false),
            cut: Notify::new(),
        };
        assert!(slot.is_overdue());
        slot.phase.store(RESTING, Ordering::Relaxed);
        assert!(!slot.is_overdue());
        slot.phase.store(WORKING, Ordering::Relaxed);
        assert!(!slot.is_overdue());
        assert!(!ticket.slot().is_overdue());
    }
}
