//! The node thread: takes all that waits, makes it durable at once, and answers.

use super::journal::Journal;
use super::links::Links;
use super::news::SyncNews;
use super::room::Room;
use super::sealer::SealerDesk;
use super::{Ask, Command, Counts, Judgement, NodeSettings, Submission, news};
use crate::events::{Events, News};
use cairn_core::block::BLOCK_BYTES_MAX;
use cairn_core::hash::BlockId;
use cairn_core::numbers::Timestamp;
use cairn_core::store::Store as _;
use cairn_core::transaction::CheckedTransaction;
use cairn_node::chain::{BlockRefusal, Imported};
use cairn_node::mempool::{SubmitError, Submitted};
use cairn_node::producer::MineRefusal;
use cairn_node::{Effect, Event, Input, Node, Outcome, RequestId};
use cairn_store::ledger::{Ledger, Reader};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// The most commands of one batch.
const BATCH_COMMANDS_MAX: usize = 1024;
/// The mempool's log is written anew once it is this long, and four times as long as it needs to be.
const MEMPOOL_LOG_BYTES: u64 = 64 * 1024 * 1024;

/// The time by this machine's clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Who waits for an answer.
enum Waiting {
    Submit(Vec<Part>),
    Mine(oneshot::Sender<Result<Vec<BlockId>, MineRefusal>>),
    Block(oneshot::Sender<Result<Imported, BlockRefusal>>),
}

/// One of several who share an answer: the ids of its transactions, and where its part goes.
struct Part {
    ids: Vec<Option<cairn_core::hash::TransactionId>>,
    reply: oneshot::Sender<Vec<Judgement>>,
}

/// Whom the node thread tells of what happens.
pub(super) struct Told {
    pub(super) desk: Arc<SealerDesk>,
    pub(super) events: Arc<Events>,
    pub(super) counts: Arc<Counts>,
    pub(super) links: Arc<OnceLock<Links>>,
}

/// All that the node thread owns.
pub(super) struct Worker {
    node: Node,
    ledger: Ledger,
    inbox: Receiver<Command>,
    desk: Arc<SealerDesk>,
    events: Arc<Events>,
    counts: Arc<Counts>,
    links: Arc<OnceLock<Links>>,
    /// The tip that greetings name.
    told_tip: BlockId,
    sync_news: SyncNews,
    journal: Journal,
    room: Room,
    waiting: BTreeMap<RequestId, Waiting>,
    next_request: u64,
    /// The time of the newest input.
    fed_at: Timestamp,
    asks: Vec<Ask>,
    stopped: bool,
}

impl Worker {
    pub(super) fn new(
        node: Node,
        ledger: Ledger,
        inbox: Receiver<Command>,
        told: Told,
        settings: &NodeSettings,
    ) -> Self {
        let Told { desk, events, counts, links } = told;
        let rules = node.consensus().rules();
        let mempool_bytes_max = settings.node_config().mempool.bytes_max;
        let node_tip = node.tip().id;
        let journal = Journal::new(rules.prefix().clone(), mempool_bytes_max, node.tip().header.time);
        // A byte weighs at least one.
        let block_bytes = rules.limits().block_weight.0.min(BLOCK_BYTES_MAX as u64);
        let room = Room::new(settings.directory.clone(), block_bytes, Arc::clone(&counts), Instant::now());
        Self {
            node,
            ledger,
            inbox,
            desk,
            events,
            counts,
            links,
            told_tip: node_tip,
            sync_news: SyncNews::default(),
            journal,
            room,
            waiting: BTreeMap::new(),
            next_request: 0,
            fed_at: Timestamp(0),
            asks: Vec::new(),
            stopped: false,
        }
    }

    /// Reads the ledger from any thread.
    pub(super) fn reader(&self) -> Reader {
        self.ledger.reader()
    }

    /// Works until it is told to stop. If the world fails, the program ends: nothing that was
    /// promised depends on what is lost then.
    pub(super) fn run(mut self) {
        match self.work() {
            Ok(()) => self.close(),
            Err(error) => {
                eprintln!("error: the node stops, because its store failed: {}", chain_of(&*error));
                std::process::exit(1);
            }
        }
    }

    fn work(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.feed(Input::Wakeup)?;
        self.settle()?;
        while !self.stopped {
            match self.wait() {
                Some(first) => {
                    self.take(first)?;
                    for _ in 1..BATCH_COMMANDS_MAX {
                        let Ok(next) = self.inbox.try_recv() else { break };
                        self.take(next)?;
                    }
                }
                None => self.feed(Input::Wakeup)?,
            }
            self.settle()?;
        }
        Ok(())
    }

    /// The next command; none when something is due by itself.
    fn wait(&self) -> Option<Command> {
        let wakeup = self.node.next_wakeup().map(|at| Duration::from_millis(at.saturating_ms_since(now())));
        let due = [self.journal.due(), self.room.due()].into_iter().flatten().min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let Some(left) = [wakeup, due].into_iter().flatten().min() else {
            return Some(self.inbox.recv().unwrap_or(Command::Stop));
        };
        match self.inbox.recv_timeout(left) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Command::Stop),
        }
    }

    fn take(&mut self, command: Command) -> Result<(), cairn_core::store::StoreError> {
        match command {
            Command::Submit(submissions) => self.submit(submissions),
            Command::Input(input) => self.feed(*input),
            Command::Mine { blocks, reply } => {
                let request = self.expect(Waiting::Mine(reply));
                self.feed(Input::Mine { request, blocks })
            }
            Command::Block { block, reply } => {
                let request = self.expect(Waiting::Block(reply));
                self.feed(Input::Block { request: Some(request), block: *block })
            }
            Command::Peer { at, peer, input, credit } => {
                self.feed_at(at, Input::Peer { peer, input: *input })?;
                drop(credit);
                Ok(())
            }
            Command::Ask(ask) => {
                self.asks.push(ask);
                Ok(())
            }
            Command::Stop => {
                self.stopped = true;
                Ok(())
            }
        }
    }

    fn submit(&mut self, submissions: Vec<Submission>) -> Result<(), cairn_core::store::StoreError> {
        let mut parts = Vec::with_capacity(submissions.len());
        let mut all = Vec::new();
        for Submission { transactions, reply } in submissions {
            let ids = transactions.iter().map(|it| it.as_ref().ok().map(CheckedTransaction::id)).collect();
            parts.push(Part { ids, reply });
            all.extend(transactions);
        }
        let request = self.expect(Waiting::Submit(parts));
        self.feed(Input::Submit { request, transactions: all })
    }

    fn feed(&mut self, input: Input) -> Result<(), cairn_core::store::StoreError> {
        self.fed_at = now();
        self.node.handle(self.fed_at, input, &mut self.ledger)
    }

    /// Takes an input as of the time when it came. The node's clock does not go back because of that, only
    /// where that of the machine does.
    fn feed_at(&mut self, at: Timestamp, input: Input) -> Result<(), cairn_core::store::StoreError> {
        self.fed_at = if self.fed_at > now() { at } else { at.max(self.fed_at) };
        self.node.handle(self.fed_at, input, &mut self.ledger)
    }

    fn expect(&mut self, waiting: Waiting) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.waiting.insert(request, waiting);
        request
    }

    /// Makes durable what the batch brought, then carries out what follows from it.
    fn settle(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.ledger.sync()?;
        let mut news = Vec::new();
        let mut answers = Vec::new();
        while let Some(effect) = self.node.next_effect() {
            match effect {
                Effect::Seal(job) => self.desk.put(Some(*job)),
                Effect::StopSealing => self.desk.put(None),
                Effect::News(event) => {
                    self.note(&event);
                    news::tell(&event, self.node.consensus().rules().prefix(), &self.counts, &mut news);
                }
                Effect::Answer { request, outcome } => answers.push((request, outcome)),
                Effect::Peer { peer, effect } => {
                    if let Some(links) = self.links.get() {
                        links.carry_out(peer, effect);
                    }
                }
            }
        }
        self.tell_tip();
        let sync = self.sync_news.look(self.node.sync_status(), Instant::now());
        news.extend(sync.map(News::One));
        self.events.publish(news)?;
        for (request, outcome) in answers {
            self.answer(request, outcome);
        }
        for ask in std::mem::take(&mut self.asks) {
            ask(&self.node, &self.ledger);
        }
        let now = Instant::now();
        self.room.look(now);
        self.journal.write(self.node.mempool_status(), now);
        self.tidy_mempool_log()
    }

    /// Has greetings name a new tip.
    fn tell_tip(&mut self) {
        let tip = self.node.tip();
        if tip.id != self.told_tip
            && let Some(links) = self.links.get()
        {
            links.note_tip(&tip);
            self.told_tip = tip.id;
        }
    }

    /// What the operator is told of an event later, with others.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Block { block, .. } => self.journal.note_block(block),
            Event::OwnBlockRefused { refusal: BlockRefusal::DiskFull } => {
                self.note_full("a block of its own")
            }
            _ => {}
        }
    }

    fn note_full(&mut self, refused: &'static str) {
        self.room.note_full(refused, Instant::now());
    }

    fn answer(&mut self, request: RequestId, outcome: Outcome) {
        // Whoever asked may have gone; then nobody wants the answer.
        match (self.waiting.remove(&request), outcome) {
            (Some(Waiting::Submit(parts)), Outcome::Submitted(outcomes)) => {
                self.count(&outcomes);
                let mut outcomes = outcomes.into_iter();
                for Part { ids, reply } in parts {
                    let judgements = ids.into_iter().zip(outcomes.by_ref());
                    let judgements = judgements.map(|(id, outcome)| Judgement { id, outcome });
                    let _ = reply.send(judgements.collect());
                }
            }
            (Some(Waiting::Mine(reply)), Outcome::Mined(outcome)) => drop(reply.send(outcome)),
            (Some(Waiting::Block(reply)), Outcome::Block(outcome)) => {
                match &outcome {
                    Ok(_) => {}
                    Err(BlockRefusal::DiskFull) => self.note_full("a block"),
                    Err(refusal) => self.journal.note_refusal(refusal),
                }
                let _ = reply.send(outcome);
            }
            _ => {}
        }
    }

    /// Counts what was taken and refused.
    fn count(&mut self, outcomes: &[Result<Submitted, SubmitError>]) {
        for outcome in outcomes {
            match outcome {
                Ok(Submitted::Pending { .. }) => {
                    self.counts.accepted.inc();
                }
                Ok(Submitted::Known { .. }) => {}
                Err(error) => {
                    self.counts.refused.inc();
                    if *error == SubmitError::DiskFull {
                        self.note_full("transactions");
                    }
                }
            }
        }
    }

    /// Writes the mempool's log anew where most of it is about transactions that are gone.
    fn tidy_mempool_log(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let bytes = self.ledger.mempool_bytes();
        if bytes < MEMPOOL_LOG_BYTES {
            return Ok(());
        }
        let needed = u64::try_from(self.node.mempool_status().bytes).unwrap_or(u64::MAX);
        if bytes / 4 < needed {
            return Ok(());
        }
        self.rewrite_mempool_log()
    }

    fn rewrite_mempool_log(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut waiting = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.node.pending_page(cursor, cairn_node::queries::PAGE_ENTRIES_MAX);
            let Some(last) = page.last() else { break };
            cursor = Some(last.cursor);
            waiting.extend(page.into_iter().map(|pending| pending.transaction));
        }
        let oldest_first = waiting.iter().rev().map(|transaction| &**transaction);
        match self.ledger.rewrite_mempool(oldest_first) {
            Err(error) if error.is_full() => Ok(()),
            result => Ok(result?),
        }
    }

    /// Ends cleanly: the next start finds everything in the database.
    fn close(mut self) {
        self.desk.stop();
        self.waiting.clear();
        self.asks.clear();
        self.journal.close(self.node.mempool_status());
        let tidy = self.rewrite_mempool_log();
        let events = self.events.close();
        let mut state = self.node.into_state();
        let ledger = self.ledger.close(&mut state);
        // The logs hold everything in any case: what failed here only makes the next start slower.
        for error in
            [tidy.err(), events.err().map(Into::into), ledger.err().map(Into::into)].into_iter().flatten()
        {
            tracing::warn!(error = %chain_of(&*error), "the node did not stop cleanly");
        }
    }
}

/// An error with all its causes.
fn chain_of(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
