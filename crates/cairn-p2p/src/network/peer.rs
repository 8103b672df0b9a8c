//! One link, as the owner's side and its task share it.

use super::event::{Direction, PeerNumber, RequestNumber};
use super::wire::{LinkKey, Wire};
use crate::address::PeerAddress;
use crate::frame::{Place, Tag, Tags};
use crate::key::NodeId;
use crate::message::Hello;
use crate::session::{Bucket, Outbox};
use crate::streams::BULK_MAX;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Signs of life that were asked for and have not come yet.
const QUESTIONS_MAX: usize = 4;

/// A stream that may become a link: both sides are known, and neither has greeted.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) remote: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) dialled: Option<PeerAddress>,
    pub(crate) key: LinkKey,
    pub(crate) wire: Wire,
}

/// One link.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) number: PeerNumber,
    pub(crate) node: NodeId,
    pub(crate) remote: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) dialled: Option<PeerAddress>,
    pub(crate) key: LinkKey,
    pub(crate) wire: Wire,
    pub(crate) hello: Hello,
    pub(crate) since_ms: u64,
    pub(crate) outbox: Outbox,
    pub(crate) rates: Rates,
    pub(crate) awaited: Awaited,
    pub(crate) traffic: Traffic,
    /// Leave to ask: one permit a request.
    pub(crate) asks: Arc<Semaphore>,
    requests: Mutex<BTreeMap<RequestNumber, CancellationToken>>,
    pub(crate) gone: CancellationToken,
    /// Height and work, as last known.
    pub(crate) state: Mutex<(u64, [u8; 32])>,
    life: Mutex<Life>,
    asked_addresses: AtomicBool,
}

#[derive(Debug, Default)]
struct Life {
    questions: VecDeque<(u64, Instant)>,
    ping_ms: Option<u64>,
}

impl Peer {
    pub(crate) fn new(number: PeerNumber, link: &Link, hello: Hello, since_ms: u64) -> Self {
        Self {
            number,
            node: link.node,
            remote: link.remote,
            direction: link.direction,
            dialled: link.dialled.clone(),
            key: link.key,
            wire: link.wire.clone(),
            state: Mutex::new((hello.height, hello.work)),
            hello,
            since_ms,
            outbox: Outbox::default(),
            rates: Rates::default(),
            awaited: Awaited::default(),
            traffic: Traffic::new(),
            asks: Arc::new(Semaphore::new(BULK_MAX)),
            requests: Mutex::default(),
            gone: CancellationToken::new(),
            life: Mutex::default(),
            asked_addresses: AtomicBool::new(false),
        }
    }

    /// The requests that run, with what ends them.
    pub(crate) fn requests(&self) -> MutexGuard<'_, BTreeMap<RequestNumber, CancellationToken>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a sign of life that is being asked for.
    pub(crate) fn ask_for_life(&self, nonce: u64) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if life.questions.len() == QUESTIONS_MAX {
            life.questions.pop_front();
        }
        life.questions.push_back((nonce, Instant::now()));
    }

    /// Takes an answer; whether it was asked for.
    pub(crate) fn note_life(&self, nonce: u64) -> bool {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = life.questions.iter().position(|(asked, _)| *asked == nonce) else { return false };
        let asked = life.questions.drain(..=at).next_back();
        let took = asked.map(|(_, when)| when.elapsed().as_millis());
        life.ping_ms = took.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX));
        true
    }

    pub(crate) fn ping_ms(&self) -> Option<u64> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).ping_ms
    }

    /// Remembers that this node asks for addresses.
    pub(crate) fn ask_addresses(&self) -> bool {
        !self.asked_addresses.swap(true, Ordering::AcqRel)
    }

    /// Whether addresses were asked for and have not come yet.
    pub(crate) fn take_address_question(&self) -> bool {
        self.asked_addresses.swap(false, Ordering::AcqRel)
    }
}

/// How much of each tag a peer has sent lately.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<BTreeMap<(Place, Tag), Bucket>>);

impl Rates {
    /// Whether one more frame of a known tag is allowed.
    pub(crate) fn take(&self, tags: &Tags, place: Place, tag: Tag) -> bool {
        let Some(rate) = tags.rule(place, tag).and_then(|rule| rule.rate) else { return true };
        let now = Instant::now();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.entry((place, tag)).or_insert_with(|| Bucket::new(rate, now)).take(now)
    }
}

/// How many frames of each answer may still come: they were asked for. There are no more of these tags than
/// the owner knows.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Mutex<BTreeMap<Tag, usize>>);

impl Awaited {
    /// So many more frames of `answer` may come.
    pub(crate) fn raise(&self, answer: Tag, frames: usize) {
        let mut counts = self.lock();
        let count = counts.entry(answer).or_default();
        *count = count.saturating_add(frames);
    }

    /// So many are not asked for after all.
    pub(crate) fn lower(&self, answer: Tag, frames: usize) {
        if let Some(count) = self.lock().get_mut(&answer) {
            *count = count.saturating_sub(frames);
        }
    }

    /// Takes one that has come; whether it may.
    pub(crate) fn take(&self, answer: Tag) -> bool {
        let mut counts = self.lock();
        let Some(count) = counts.get_mut(&answer).filter(|count| **count > 0) else { return false };
        *count -= 1;
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tag, usize>> {
        // Nothing under the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of frames, and when the last one came.
#[derive(Debug)]
pub(crate) struct Traffic {
    began: Instant,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Milliseconds after the beginning.
    heard_ms: AtomicU64,
}

impl Traffic {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// In and out.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }

    pub(crate) fn hear(&self) {
        self.heard_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    pub(crate) fn silent_ms(&self) -> u64 {
        self.age_ms().saturating_sub(self.heard_ms.load(Ordering::Relaxed))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
