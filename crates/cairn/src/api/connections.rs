//! Who is connected, what each connection waits for, and when it has waited too long.
//!
//! A connection is in one of four phases: its client sends the head of a request, or its body, the
//! node works on an answer, or the answer is on its way and nothing new has come. A client that is
//! slow is cut off. Where all places are taken, one makes room: a client that has been sending for
//! longer than [`SENDING_TIME_FAIR`], or else the one that has done nothing for longest. So clients
//! who hold connections open cannot keep others out, and one client of another machine never has more
//! than its share.

use crate::api::clients::Client;
use std::cmp::Reverse;
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
/// For how long a client may send without being the first to make room.
pub const SENDING_TIME_FAIR: Duration = Duration::from_secs(1);

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// In all.
    pub total: usize,
    /// For one client that is not on this machine.
    pub each: usize,
}

/// All open connections.
#[derive(Debug)]
pub struct Connections {
    started: Instant,
    places: Places,
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
    client: Client,
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
/// The node waits for the body of a request.
const BODY: u64 = 3;
const PHASES: u64 = 4;

/// A place among the open connections; given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    connections: Arc<Connections>,
    number: u64,
    slot: Arc<Slot>,
}

impl Connections {
    /// No connections yet.
    pub fn new(places: Places) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), places, open: Mutex::default() })
    }

    /// A place for a new connection of `client`. Where none is free, a slow or idle connection is cut off
    /// for it: one of its own if it has its share, else whosever; none if the node works for all of them.
    pub fn enter(self: &Arc<Self>, client: Client) -> Option<Ticket> {
        let mut open = self.lock();
        let own = open.slots.values().filter(|slot| slot.client == client).count();
        let has_its_share = !client.is_local() && own >= self.places.each;
        if has_its_share || open.slots.len() >= self.places.total {
            let (number, slot) = open
                .slots
                .iter()
                .filter(|(_, slot)| slot.may_be_cut() && (!has_its_share || slot.client == client))
                .max_by_key(|(number, slot)| (slot.reason_to_cut(), Reverse(**number)))
                .map(|(number, slot)| (*number, Arc::clone(slot)))?;
            open.slots.remove(&number);
            slot.cut.notify_one();
        }
        let number = open.next;
        open.next += 1;
        let slot = Arc::new(Slot {
            started: self.started,
            client,
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

    /// A body is asked for, and nothing of it is there.
    pub fn wait_for_body(&self) {
        if self.phase.load(Ordering::Relaxed) % PHASES == WORKING {
            self.set(BODY);
        }
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

    /// Which of two connections is rather cut off: a client that sends slowly before one that does
    /// nothing, then the one that has been in its phase for longer, in milliseconds.
    fn reason_to_cut(&self) -> (bool, u64) {
        let value = self.phase.load(Ordering::Relaxed);
        let sends = matches!(value % PHASES, HEAD | BODY);
        let time_ms = self.now_ms().saturating_sub(value / PHASES);
        (sends && u128::from(time_ms) > SENDING_TIME_FAIR.as_millis(), time_ms)
    }

    fn is_overdue(&self) -> bool {
        let value = self.phase.load(Ordering::Relaxed);
        let limit = match value % PHASES {
            HEAD => HEAD_TIME_MAX,
            RESTING => IDLE_TIME_MAX,
            // What has a time limit of its own is the request.
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

    const LOCAL: &str = "127.0.0.1";

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    fn room_for(total: usize) -> Arc<Connections> {
        Connections::new(Places { total, each: 2 })
    }

    fn is_open(connections: &Connections, ticket: &Ticket) -> bool {
        connections.lock().slots.contains_key(&ticket.number)
    }

    #[test]
    fn the_slowest_client_makes_room_and_one_being_answered_does_not() {
        let connections = room_for(2);
        let working = connections.enter(client(LOCAL)).unwrap();
        working.slot().begin_work();
        let slow = connections.enter(client(LOCAL)).unwrap();
        let new = connections.enter(client(LOCAL)).unwrap();
        assert_eq!(connections.count(), 2);
        assert!(is_open(&connections, &working));
        assert!(!is_open(&connections, &slow));
        new.slot().begin_work();
        assert!(connections.enter(client(LOCAL)).is_none());
        drop(working);
        assert!(connections.enter(client(LOCAL)).is_some());
    }

    #[test]
    fn a_client_that_keeps_the_node_waiting_for_a_body_makes_room() {
        let connections = room_for(1);
        let trickling = connections.enter(client(LOCAL)).unwrap();
        trickling.slot().begin_work();
        assert!(connections.enter(client(LOCAL)).is_none());
        trickling.slot().wait_for_body();
        assert!(connections.enter(client(LOCAL)).is_some());
    }

    #[test]
    fn who_sends_slowly_makes_room_before_who_rests() {
        let connections = Connections::new(Places { total: 3, each: 2 });
        let (resting, slow, quick) = (
            connections.enter(client(LOCAL)).unwrap(),
            connections.enter(client(LOCAL)).unwrap(),
            connections.enter(client(LOCAL)).unwrap(),
        );
        // Phases began at 0 ms; the clock of a slot runs from an earlier moment.
        let shift = |ticket: &Ticket, phase: u64, ms: u64| {
            let slot = Slot {
                started: Instant::now().checked_sub(Duration::from_secs(20)).unwrap(),
                client: client(LOCAL),
                phase: AtomicU64::new(ms * PHASES + phase),
                streams: AtomicBool::new(false),
                cut: Notify::new(),
            };
            connections.lock().slots.insert(ticket.number, Arc::new(slot));
        };
        shift(&resting, RESTING, 0);
        shift(&slow, HEAD, 17_000);
        shift(&quick, HEAD, 19_999);
        let _new = connections.enter(client(LOCAL)).unwrap();
        assert!(!is_open(&connections, &slow));
        let _newer = connections.enter(client(LOCAL)).unwrap();
        assert!(!is_open(&connections, &resting) && is_open(&connections, &quick));
    }

    #[test]
    fn a_client_of_another_machine_never_has_more_than_its_share() {
        let connections = room_for(4);
        let (greedy, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let first = connections.enter(greedy).unwrap();
        let second = connections.enter(greedy).unwrap();
        let others = connections.enter(other).unwrap();
        let third = connections.enter(greedy).unwrap();
        assert!(!is_open(&connections, &first), "its own slowest connection made room");
        assert!(is_open(&connections, &second) && is_open(&connections, &others));
        second.slot().begin_work();
        third.slot().begin_work();
        assert!(connections.enter(greedy).is_none());
        assert!(connections.enter(other).is_some());
    }

    #[test]
    fn programs_of_this_machine_share_all_places() {
        let connections = room_for(3);
        let tickets: Vec<_> = (0..3).map(|_| connections.enter(client(LOCAL)).unwrap()).collect();
        assert!(tickets.iter().all(|ticket| is_open(&connections, ticket)));
    }

    #[test]
    fn a_stream_of_events_is_not_cut_for_others() {
        let connections = room_for(1);
        let stream = connections.enter(client(LOCAL)).unwrap();
        stream.slot().begin_work();
        stream.slot().end_work(true);
        assert!(connections.enter(client(LOCAL)).is_none());
        stream.slot().end_work(false);
        assert!(connections.enter(client(LOCAL)).is_some());
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let slot = Slot {
            started: Instant::now().checked_sub(Duration::from_secs(20)).unwrap(),
            client: client(LOCAL),
            phase: AtomicU64::new(HEAD),
            streams: AtomicBool::new(false),
            cut: Notify::new(),
        };
        assert!(slot.is_overdue());
        for phase in [RESTING, WORKING, BODY] {
            slot.phase.store(phase, Ordering::Relaxed);
            assert!(!slot.is_overdue(), "{phase}");
        }
        let connections = room_for(1);
        assert!(!connections.enter(client(LOCAL)).unwrap().slot().is_overdue());
    }
}
