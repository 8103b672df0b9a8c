//! The threads that verify signatures before the node sees a transaction, a block or a header.
//!
//! A thread takes all that was submitted, up to a batch, and verifies it at once: a batch costs less than
//! half of its signatures one by one, and the more comes the larger the batches are. What peers have sent is
//! taken in turns with it.

use super::links::Links;
use super::turns::Turns;
use super::worker::now;
use super::{Command, Judgement, NoAnswer, Submission};
use cairn_core::block::{self, SealedHeader, decode_block};
use cairn_core::consensus::Consensus;
use cairn_core::hash::LeafHash;
use cairn_core::numbers::Timestamp;
use cairn_core::signature::{Batching, KeyCache};
use cairn_core::transaction::{
    CheckedTransaction, IdentifiedTransaction, Transaction, TransactionError, check_each,
    check_each_identified,
};
use cairn_node::PeerKey;
use cairn_node::peers::{AskId, InvalidBody, JudgedFor, PeerInput, check_headers};
use cairn_p2p::{Credit, Offence, PeerNumber, RequestNumber};
use std::collections::VecDeque;
use std::sync::mpsc::{SendError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The most transactions that one thread verifies at once.
const BATCH_TRANSACTIONS_MAX: usize = 2_500;
/// The most transactions that wait to be verified.
const WAITING_TRANSACTIONS_MAX: usize = 50_000;
/// The most bytes that wait to be verified, about.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the rules that need no state say of a transaction.
pub(super) type Judged = Result<CheckedTransaction, TransactionError>;

/// What waits to be verified; shared by the threads and those who submit.
#[derive(Debug, Default)]
pub(super) struct Checkers {
    queue: Mutex<Queue>,
    wake: Condvar,
    keys: KeyCache,
}

/// Transactions that a peer has sent. They are verified apart from those of others: one false signature
/// makes a whole batch dear.
#[derive(Debug)]
pub(super) struct OfPeer {
    pub(super) peer: PeerKey,
    pub(super) purpose: JudgedFor,
    /// The names of the transactions.
    pub(super) leaves: Vec<LeafHash>,
    pub(super) transactions: Vec<IdentifiedTransaction>,
}

/// A block that a peer has sent. There are no more of them than there is credit.
#[derive(Debug)]
pub(super) struct Body {
    /// When it came.
    pub(super) at: Timestamp,
    pub(super) peer: PeerKey,
    pub(super) ask: AskId,
    pub(super) request: RequestNumber,
    pub(super) bytes: Arc<[u8]>,
    pub(super) credit: Credit,
    pub(super) links: Links,
}

/// Headers that a peer has sent. There are no more of them than there is credit.
#[derive(Debug)]
pub(super) struct Headers {
    /// When they came.
    pub(super) at: Timestamp,
    pub(super) headers: Vec<SealedHeader>,
    pub(super) credit: Credit,
    pub(super) links: Links,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// In the order in which they came, of each peer: a header goes before those that stand on it.
    headers: Turns<Headers>,
    of_peers: Turns<OfPeer>,
    bodies: VecDeque<Body>,
    transactions: usize,
    bytes: usize,
    /// The kind of work whose turn it is.
    turn: usize,
    stopped: bool,
}

#[derive(Debug)]
struct Waiting {
    transactions: Vec<Transaction>,
    bytes: usize,
    reply: oneshot::Sender<Vec<Judgement>>,
}

/// What a thread does next.
#[derive(Debug)]
enum Work {
    Batch(Vec<Waiting>),
    OfPeer(OfPeer),
    Body(Box<Body>),
    Headers(PeerKey, Box<Headers>),
}

impl Checkers {
    /// Queues transactions of a peer. They are refused where too much waits.
    pub(super) fn check_of_peer(&self, work: OfPeer) -> Result<(), NoAnswer> {
        let mut queue = self.lock();
        if queue.stopped {
            return Err(NoAnswer::Stopping);
        }
        let bytes = work.memory();
        // Peers leave half of the room to those who ask this node itself.
        if !queue.has_room(work.transactions.len(), bytes, 2) {
            return Err(NoAnswer::Busy);
        }
        queue.transactions += work.transactions.len();
        queue.bytes += bytes;
        queue.of_peers.push(work.peer, work);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Queues a block of a peer.
    pub(super) fn check_body(&self, body: Body) {
        let mut queue = self.lock();
        if !queue.stopped {
            queue.bodies.push_back(body);
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// Queues headers of a peer.
    pub(super) fn check_headers(&self, peer: PeerKey, headers: Headers) {
        let mut queue = self.lock();
        if !queue.stopped {
            queue.headers.push(peer, headers);
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// A peer has gone: its headers are not worth a look.
    pub(super) fn forget(&self, peer: PeerKey) {
        drop(self.lock().headers.forget(peer));
    }

    /// Queues transactions. They are all refused where too much waits.
    pub(super) fn check(
        &self,
        transactions: Vec<Transaction>,
        reply: oneshot::Sender<Vec<Judgement>>,
    ) -> Result<(), NoAnswer> {
        let bytes = transactions.iter().map(memory_of).sum::<usize>();
        let mut queue = self.lock();
        if queue.stopped {
            return Err(NoAnswer::Stopping);
        }
        if !queue.has_room(transactions.len(), bytes, 1) {
            return Err(NoAnswer::Busy);
        }
        queue.transactions += transactions.len();
        queue.bytes += bytes;
        queue.waiting.push_back(Waiting { transactions, bytes, reply });
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Ends the threads; what still waits gets no answer.
    pub(super) fn stop(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        queue.waiting.clear();
        queue.headers.clear();
        queue.of_peers.clear();
        queue.bodies.clear();
        drop(queue);
        self.wake.notify_all();
    }

    /// Verifies until it is stopped.
    pub(super) fn run(&self, consensus: &Consensus, commands: &SyncSender<Command>) {
        while let Some(work) = self.take() {
            let sent = match work {
                Work::Batch(batch) => {
                    commands.send(Command::Submit(check_batch(batch, consensus, &self.keys)))
                }
                Work::OfPeer(work) => commands.send(check_of_peer(work, consensus, &self.keys)),
                Work::Headers(peer, work) => {
                    let sent = judge_headers(peer, *work, consensus, commands);
                    if self.lock().headers.finish(peer) {
                        self.wake.notify_one();
                    }
                    sent
                }
                Work::Body(body) => {
                    let Body { at, peer, ask, request, bytes, credit, links } = *body;
                    let block = check_body(&bytes, consensus, &self.keys).map(Box::new);
                    let input = Box::new(PeerInput::Body { ask, block });
                    let sent =
                        commands.send(Command::Peer { at, peer, input, credit: Some(Box::new(credit)) });
                    links.note_checked(request);
                    sent
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// What is next; none once it is stopped. Each kind has its turn, so that none waits for another that does
    /// not end.
    fn take(&self) -> Option<Work> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            if let Some(work) = queue.take() {
                return Some(work);
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can panic halfway through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfPeer {
    /// About how much memory it takes.
    fn memory(&self) -> usize {
        self.transactions.iter().map(|transaction| memory_of(transaction.transaction())).sum()
    }
}

impl Queue {
    /// The next piece of the kind whose turn it is, or of the first one behind it that has any.
    fn take(&mut self) -> Option<Work> {
        for _ in 0..Self::KINDS.len() {
            let take = Self::KINDS[self.turn];
            self.turn = (self.turn + 1) % Self::KINDS.len();
            let work = take(self);
            if work.is_some() {
                return work;
            }
        }
        None
    }

    const KINDS: [fn(&mut Self) -> Option<Work>; 4] =
        [Self::take_body, Self::take_headers, Self::take_batch, Self::take_of_peer];

    fn take_body(&mut self) -> Option<Work> {
        Some(Work::Body(Box::new(self.bodies.pop_front()?)))
    }

    fn take_headers(&mut self) -> Option<Work> {
        let (peer, headers) = self.headers.take()?;
        Some(Work::Headers(peer, Box::new(headers)))
    }

    fn take_of_peer(&mut self) -> Option<Work> {
        let (_, work) = self.of_peers.take_unordered()?;
        self.transactions -= work.transactions.len();
        self.bytes -= work.memory();
        Some(Work::OfPeer(work))
    }

    /// All that was submitted, up to a batch.
    fn take_batch(&mut self) -> Option<Work> {
        let mut batch = Vec::new();
        let mut count = 0;
        while let Some(next) = self.waiting.front() {
            count += next.transactions.len();
            if !batch.is_empty() && count > BATCH_TRANSACTIONS_MAX {
                break;
            }
            let Some(next) = self.waiting.pop_front() else { break };
            self.transactions -= next.transactions.len();
            self.bytes -= next.bytes;
            batch.push(next);
        }
        (!batch.is_empty()).then_some(Work::Batch(batch))
    }

    /// Whether so many transactions more may wait, with so many bytes in all, in one `part`th of the room.
    const fn has_room(&self, transactions: usize, bytes: usize, part: usize) -> bool {
        self.transactions.saturating_add(transactions) <= WAITING_TRANSACTIONS_MAX / part
            && self.bytes.saturating_add(bytes) <= WAITING_BYTES_MAX / part
    }
}

/// About how much memory a transaction takes.
fn memory_of(transaction: &Transaction) -> usize {
    256 + transaction.body.transfers.len() * 40 + transaction.body.data.len()
}

/// Verifies what a peer has sent.
fn check_of_peer(work: OfPeer, consensus: &Consensus, keys: &KeyCache) -> Command {
    let OfPeer { peer, purpose, leaves, transactions } = work;
    let batching = Batching::from_seed(draw_seed()).with_keys(keys);
    let verdicts = Some(check_each_identified(transactions, consensus.rules(), batching));
    let input = Box::new(PeerInput::Judged { purpose, leaves, verdicts });
    Command::Peer { at: now(), peer, input, credit: None }
}

/// Checks headers that a peer has sent, and hands them in or has the peer answer for them.
fn judge_headers(
    peer: PeerKey,
    work: Headers,
    consensus: &Consensus,
    commands: &SyncSender<Command>,
) -> Result<(), SendError<Command>> {
    let Headers { at, headers, credit, links } = work;
    match check_headers(headers, consensus) {
        Ok(headers) => {
            if let Some(last) = headers.last() {
                links.network().note_height(PeerNumber(peer.0), last.header().height.0);
            }
            let input = Box::new(PeerInput::Headers(headers));
            commands.send(Command::Peer { at, peer, input, credit: Some(Box::new(credit)) })
        }
        Err(error) => {
            tracing::debug!(peer = peer.0, %error, "header refused");
            links.network().strike(PeerNumber(peer.0), Offence::InvalidHeader);
            Ok(())
        }
    }
}

/// Checks a block that a peer has sent.
fn check_body(
    bytes: &Arc<[u8]>,
    consensus: &Consensus,
    keys: &KeyCache,
) -> Result<block::CheckedBlock, InvalidBody> {
    let batching = Batching::from_seed(draw_seed()).with_keys(keys);
    block::check(Arc::clone(bytes), consensus, batching)
        .map_err(|error| InvalidBody { id: decode_block(bytes).ok().map(|block| block.id()), error })
}

fn draw_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system gave randomness at start");
    seed
}

/// Verifies what came from several senders as one batch, and gives each its own part back.
fn check_batch(batch: Vec<Waiting>, consensus: &Consensus, keys: &KeyCache) -> Vec<Submission> {
    let lengths: Vec<usize> = batch.iter().map(|waiting| waiting.transactions.len()).collect();
    let mut replies = Vec::with_capacity(batch.len());
    let mut all = Vec::with_capacity(lengths.iter().sum());
    for Waiting { transactions, reply, .. } in batch {
        all.extend(transactions);
        replies.push(reply);
    }
    let batching = Batching::from_seed(draw_seed()).with_keys(keys);
    let mut judged = check_each(all, consensus.rules(), batching).into_iter();
    lengths
        .into_iter()
        .zip(replies)
        .map(|(length, reply)| Submission { transactions: judged.by_ref().take(length).collect(), reply })
        .collect()
}
