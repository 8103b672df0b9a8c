//! The store of one node: the log of blocks, the log of the mempool, and the database.
//!
//! The log of blocks is the truth. The database is a cache of it that is written behind, many
//! blocks in one transaction that names the tip it stands for; what it does not hold yet is kept in
//! memory, and after a crash it is built again from the log.
//!
//! ```text
//!   append ──► blocks/…log ──► sync ──► shown to readers
//!   advance ─► recent blocks in memory ──(every some thousand transactions)──► state.redb
//! ```
//!
//! # Promises
//!
//! - What [`Ledger::sync`] has returned for is found again, whatever happens to the power.
//! - A [`Reader`] sees the chain of one moment, and only blocks that are durable.
//! - A missing or damaged database is built again: damage that is met in use is an error, and the
//!   next start builds. A damaged log is reported and never guessed at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use cairn_core::block::{CheckedBlock, Header, SealedHeader};
use cairn_core::codec::Encode as _;
use cairn_core::hash::BlockId;
use cairn_core::numbers::Height;
use cairn_core::state::{State, Undo};
use cairn_core::store::{Advance, Store, StoreError as Failure};
use cairn_core::transaction::CheckedTransaction;

use crate::error::StoreError;
use crate::log::{self, Log, Position};

mod accounts;
mod database;
mod flusher;
mod opening;
mod overlay;
mod reader;
mod tables;
#[cfg(test)]
mod tests;

use accounts::AccountsWriter;
use database::Database;
use flusher::{Flusher, Job};
pub use opening::{Opened, Rebuilt};
use overlay::{Overlay, Recent};
pub use reader::{Block, PAST_UNDOS_MAX, PastAccount, Place, Reader};
use tables::HeaderRow;
pub use tables::Sizes;

/// The version of the database. Where it is raised, databases of older versions are built again.
pub const FORMAT: u32 = 2;

/// How a ledger is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many blocks below the tip can be taken back, and are held ready at start.
    pub undo_window: u64,
    /// How much the database may cache, in bytes.
    pub cache_bytes: usize,
    /// After how many transactions the database is written.
    pub flush_transactions: usize,
    /// After how many blocks the database is written.
    pub flush_blocks: usize,
    /// How large the logs make their parts.
    pub log: log::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            undo_window: 10_000,
            cache_bytes: 64 * 1024 * 1024,
            flush_transactions: 100_000,
            flush_blocks: 2_000,
            log: log::Settings::default(),
        }
    }
}

/// How far the database may fall behind while it is being written, as a multiple of the thresholds.
const BEHIND_MAX: usize = 4;

/// What the owner of a ledger and its readers share.
#[derive(Debug)]
struct Shared {
    blocks: log::Reader,
    /// The database; none only while it is opened again after the disk was full.
    database: RwLock<Option<Database>>,
    /// Held while the database is written and, where the disk was full, opened again.
    flushing: Mutex<()>,
    /// The durable blocks that the database does not hold yet. Locked for moments only: whoever reads
    /// goes on with what it was then.
    overlay: RwLock<Arc<Overlay>>,
}

/// The store of one node. One thread owns it; others read through [`Ledger::reader`].
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    blocks: Log,
    mempool: Log,
    settings: Settings,
    /// The recent blocks, those that are not durable yet included.
    overlay: Overlay,
    /// What readers are to be shown at the next sync.
    unshown: Vec<Step>,
    /// Blocks appended since the last flush, on any branch.
    appended: Vec<(BlockId, Position)>,
    /// Kept blocks that are not on the chain.
    side: BTreeMap<BlockId, HeaderRow>,
    accounts: AccountsWriter,
    /// The end of the last block of the log that was taken over.
    noted_end: Position,
    /// A job that waits for the log to be durable.
    prepared: Option<Box<Job>>,
    /// The id of the tip.
    tip_id: BlockId,
    /// The lowest block that the database can undo once it stands for the tip. It never sinks: what was
    /// removed is not there again where the undo window grows, or where the chain becomes shorter.
    undo_first: Height,
    flusher: Flusher,
}

/// A change that readers have not been shown.
#[derive(Debug)]
enum Step {
    /// A block was appended.
    Appended(BlockId, Position),
    /// The chain advanced from a fork by blocks.
    Advanced(Height, Vec<Arc<Recent>>),
}

impl Ledger {
    /// A handle that reads from any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Takes over a block that is in the log already, when the log is replayed.
    pub fn adopt(&mut self, block: &CheckedBlock, position: Position) {
        self.note_appended(block, position);
    }

    /// The number of bytes of the mempool's log.
    pub fn mempool_bytes(&self) -> u64 {
        self.mempool.bytes()
    }

    /// Puts `transactions` in the place of everything in the mempool's log.
    ///
    /// # Errors
    ///
    /// Where the disk fails or is full; the old ones are still there then.
    pub fn rewrite_mempool<'a>(
        &mut self,
        transactions: impl IntoIterator<Item = &'a CheckedTransaction>,
    ) -> Result<(), StoreError> {
        let records: Vec<Vec<u8>> = transactions.into_iter().map(|it| it.transaction().to_bytes()).collect();
        self.mempool.restart(records.iter().map(Vec::as_slice))?;
        Ok(())
    }

    /// Brings the database up to the tip and waits for it, so that the next start is quick.
    ///
    /// # Errors
    ///
    /// Where the disk or the database fails; the log holds everything all the same.
    pub fn close(mut self, state: &mut State) -> Result<(), StoreError> {
        self.blocks.sync()?;
        self.mempool.sync()?;
        self.show_readers();
        self.finish_flush()?;
        // A job that waits stands for an older tip: it goes first, then what has come since.
        self.start_flush();
        self.finish_flush()?;
        // Where there was no room for it, what has come since cannot go before it.
        if self.prepared.is_none() {
            self.prepare_flush(state);
            self.start_flush();
            self.finish_flush()?;
        }
        Ok(())
    }

    /// Waits until the database is not being written. Nobody needs to; it gives whoever tests or
    /// simulates the same order of operations each time.
    ///
    /// # Errors
    ///
    /// Where the database failed; then the ledger must be opened again.
    pub fn wait(&mut self) -> Result<(), StoreError> {
        self.finish_flush()
    }

    fn note_appended(&mut self, block: &CheckedBlock, position: Position) {
        let id = block.id();
        self.noted_end = position.behind_record(block.bytes().len());
        self.overlay.append(id, position);
        self.appended.push((id, position));
        let SealedHeader { header, seal } = block.to_sealed_header();
        self.side.insert(id, HeaderRow { id, header, seal, position, accounts: 0 });
        self.unshown.push(Step::Appended(id, position));
    }

    /// The chain goes from the fork to a new tip.
    fn advance_chain(&mut self, advance: Advance, state: &mut State) -> Result<(), StoreError> {
        self.take_flushed()?;
        let created: u32 = advance.connected.iter().map(|block| block.undo.created).sum();
        let mut accounts = state.len() - created;
        self.accounts.shrink_to(accounts);

        for row in self.leaving(advance.fork)? {
            self.side.insert(row.id, HeaderRow { accounts: 0, ..row });
        }
        let mut joined = Vec::with_capacity(advance.connected.len());
        for connected in advance.connected {
            let id = connected.id;
            let kept = self.side.remove(&id).map(|row| row.position);
            let position = kept.expect("a block is appended before it joins the chain");
            accounts += connected.undo.created;
            joined.push(Arc::new(Recent::new(connected, position, accounts)));
        }
        if let Some(last) = joined.last() {
            self.tip_id = last.id;
        }
        self.overlay.advance(advance.fork, joined.iter().cloned());
        self.unshown.push(Step::Advanced(advance.fork, joined));
        let tip = self.overlay.tip();
        let lowest = tip.0.saturating_sub(self.settings.undo_window);
        self.side.retain(|_, row| row.header.height.0 >= lowest);

        let (transactions, blocks) = self.overlay.weight();
        let Settings { flush_transactions, flush_blocks, .. } = self.settings;
        if transactions >= flush_transactions || blocks >= flush_blocks {
            if transactions >= BEHIND_MAX * flush_transactions || blocks >= BEHIND_MAX * flush_blocks {
                self.finish_flush()?;
            }
            if self.prepared.is_none() && self.flusher.is_idle() {
                self.prepare_flush(state);
                // While the log is replayed nothing waits for a sync.
                if self.noted_end <= self.blocks.end() {
                    self.show_readers();
                    self.start_flush();
                }
            }
        }
        Ok(())
    }

    /// The blocks of the chain above `fork`, which leave it.
    fn leaving(&self, fork: Height) -> Result<Vec<HeaderRow>, StoreError> {
        let tip = self.overlay.tip();
        let mut leaving = Vec::new();
        for height in (fork.0 + 1..=tip.0).map(Height) {
            let row = match self.overlay.get(height) {
                Some(recent) => HeaderRow::of(recent),
                None => self.shared.read(|transaction| tables::header(transaction, height))?,
            };
            leaving.push(row);
        }
        Ok(leaving)
    }

    /// Gathers what the database lacks. The job waits until the log is durable.
    fn prepare_flush(&mut self, state: &mut State) {
        let accounts = self.accounts.write(state);
        let lowest = Height(self.overlay.tip().0.saturating_sub(self.settings.undo_window));
        self.undo_first = self.undo_first.max(lowest.next());
        self.prepared = Some(Box::new(Job {
            tip: self.overlay.tip(),
            tip_id: self.tip_id,
            blocks: self.overlay.blocks(),
            accounts,
            appended: std::mem::take(&mut self.appended),
            side: self.side.values().cloned().collect(),
            log_end: self.noted_end,
            undo_first: self.undo_first,
        }));
        self.overlay.begin_flush();
    }

    /// Hands the prepared job to the writer of the database. The log is durable now.
    fn start_flush(&mut self) {
        if let Some(job) = self.prepared.take() {
            self.flusher.start(job);
        }
    }

    /// Takes note of a finished flush, if there is one.
    fn take_flushed(&mut self) -> Result<(), StoreError> {
        if let Some(outcome) = self.flusher.try_finish() {
            self.note_flushed(outcome)?;
        }
        Ok(())
    }

    /// Waits for the flush that is under way.
    fn finish_flush(&mut self) -> Result<(), StoreError> {
        if let Some(outcome) = self.flusher.finish() {
            self.note_flushed(outcome)?;
        }
        Ok(())
    }

    fn note_flushed(&mut self, outcome: flusher::Outcome) -> Result<(), StoreError> {
        match outcome {
            Ok(job) => {
                let valid = self.overlay.end_flush(job.tip);
                self.overlay.drop_flushed(valid, &job.appended);
                self.write_shared(|overlay| overlay.drop_flushed(valid, &job.appended));
                Ok(())
            }
            // The same rows are written again once there is room: a job stands for a whole tip, so it
            // does no harm if the chain has moved on meanwhile.
            Err((error, job)) if error.is_full() => {
                self.prepared = Some(job);
                Ok(())
            }
            Err((error, _)) => Err(error),
        }
    }

    /// Shows readers what is durable now.
    fn show_readers(&mut self) {
        if self.unshown.is_empty() {
            return;
        }
        let steps = std::mem::take(&mut self.unshown);
        self.write_shared(|overlay| {
            for step in steps {
                match step {
                    Step::Appended(id, position) => overlay.append(id, position),
                    Step::Advanced(fork, blocks) => overlay.advance(fork, blocks),
                }
            }
        });
    }

    fn write_shared(&self, change: impl FnOnce(&mut Overlay)) {
        // A reader that panicked has changed nothing.
        let mut shown = self.shared.overlay.write().unwrap_or_else(PoisonError::into_inner);
        // Copied only where a reader still looks at it.
        change(Arc::make_mut(&mut shown));
    }
}

impl Store for Ledger {
    fn append(&mut self, block: &CheckedBlock) -> Result<(), Failure> {
        // Written through, so that a full disk refuses this block and takes back no earlier one.
        let position = self.blocks.append(block.bytes()).map_err(failure)?;
        self.blocks.write_through().map_err(failure)?;
        self.note_appended(block, position);
        Ok(())
    }

    fn block(&self, id: &BlockId) -> Result<Option<Arc<[u8]>>, Failure> {
        let position = match self.overlay.position(id) {
            Some(position) => Some(position),
            None => self.shared.read(|transaction| tables::position(transaction, id)).map_err(failure)?,
        };
        let bytes = position.map(|position| self.blocks.read(position)).transpose().map_err(failure)?;
        Ok(bytes.map(Arc::from))
    }

    fn advance(&mut self, advance: Advance, state: &mut State) -> Result<(), Failure> {
        self.advance_chain(advance, state).map_err(failure)
    }

    fn undo(&self, height: Height) -> Result<Option<Undo>, Failure> {
        if let Some(recent) = self.overlay.get(height) {
            return Ok(Some(recent.undo.clone()));
        }
        if height > self.overlay.valid() {
            return Ok(None);
        }
        self.shared.read(|transaction| tables::undo(transaction, height)).map_err(failure)
    }

    fn header(&self, height: Height) -> Result<Option<(BlockId, Header)>, Failure> {
        if let Some(recent) = self.overlay.get(height) {
            return Ok(Some((recent.id, recent.header.clone())));
        }
        if height > self.overlay.valid() {
            return Ok(None);
        }
        let row = self.shared.read(|transaction| tables::header(transaction, height)).map_err(failure)?;
        Ok(Some((row.id, row.header)))
    }

    fn keep_transactions(&mut self, transactions: &[&CheckedTransaction]) -> Result<(), Failure> {
        // One record, so that a full disk takes all of them or none; only more than a segment holds
        // are several.
        let maximum = self.mempool.record_bytes_max();
        let mut record = Vec::new();
        for transaction in transactions {
            let bytes = transaction.transaction().to_bytes();
            if !record.is_empty() && record.len() + bytes.len() > maximum {
                self.mempool.append(&record).map_err(failure)?;
                record.clear();
            }
            record.extend(bytes);
        }
        self.mempool.append(&record).map_err(failure)?;
        self.mempool.write_through().map_err(failure)
    }

    fn forget(&mut self, id: &BlockId) {
        self.side.remove(id);
    }

    fn sync(&mut self) -> Result<(), Failure> {
        sync_both(&mut self.blocks, &mut self.mempool).map_err(failure)?;
        self.show_readers();
        self.take_flushed().map_err(failure)?;
        if self.flusher.is_idle() {
            self.start_flush();
        }
        Ok(())
    }
}

impl Shared {
    /// Reads the database in one transaction of its own.
    fn read<T>(
        &self,
        read: impl Fn(&redb::ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_database(|database| database.ok_or(StoreError::DatabaseClosed)?.read(&read))
    }

    /// Does something with the database, which stays open meanwhile; does it once more where it found
    /// the database closed.
    fn with_database<T>(
        &self,
        act: impl Fn(Option<&Database>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let attempt = || {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            act(database.as_ref())
        };
        match attempt() {
            // A flush found the disk full just now: the database answers again once it is reopened,
            // which is before the flush ends.
            Err(error) if error.is_closed() => {
                drop(self.flushing.lock().unwrap_or_else(PoisonError::into_inner));
                attempt()
            }
            outcome => outcome,
        }
    }
}

/// Makes both logs durable, at the same time where both have something new.
///
/// A power cut may leave either without the other, and breaks no promise. Without the new blocks, their
/// transactions still stand in the log of the mempool, which is written anew only after a sync. Without
/// the end of the mempool's log, what is missing there was not answered for; what a reorganisation
/// brought back to the mempool stands in the blocks that left the chain.
fn sync_both(blocks: &mut Log, mempool: &mut Log) -> Result<(), StoreError> {
    let mut together = None;
    if blocks.needs_sync() && mempool.needs_sync() {
        together = thread::scope(|scope| {
            let beside = thread::Builder::new().name("sync".to_owned());
            let beside = beside.spawn_scoped(scope, || mempool.sync()).ok()?;
            let outcome = blocks.sync();
            let other = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Some(outcome.and(other))
        });
    }
    together.unwrap_or_else(|| {
        blocks.sync()?;
        mempool.sync()
    })
}

/// What a node needs to know of an error of the store.
fn failure(error: StoreError) -> Failure {
    if error.is_full() { Failure::Full(Box::new(error)) } else { Failure::Failed(Box::new(error)) }
}
