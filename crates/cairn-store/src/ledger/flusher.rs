//! Writes the database behind the node's back, one job at a time.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};

use cairn_core::hash::BlockId;
use cairn_core::numbers::Height;

use super::accounts::AccountRows;
use super::database::Database;
use super::overlay::Recent;
use super::tables::HeaderRow;
use super::{Shared, tables};
use crate::backend::Disk;
use crate::error::StoreError;
use crate::log::Position;

/// What one transaction of the database takes over: everything up to a tip.
#[derive(Debug)]
pub(super) struct Job {
    /// The height of the tip.
    pub(super) tip: Height,
    /// The id of the tip.
    pub(super) tip_id: BlockId,
    /// The blocks that the database lacks, ascending up to the tip.
    pub(super) blocks: Vec<(Height, Arc<Recent>)>,
    pub(super) accounts: AccountRows,
    /// Where blocks lie that were appended since the last job, on any branch.
    pub(super) appended: Vec<(BlockId, Position)>,
    /// All kept blocks that are not on the chain.
    pub(super) side: Vec<HeaderRow>,
    /// Up to where the log led to this tip: what follows is replayed on it after a crash. Durable when
    /// the job is started.
    pub(super) log_end: Position,
    /// The lowest block that can be undone.
    pub(super) undo_first: Height,
}

/// The job that was written; or why it was not, and the job.
pub(super) type Outcome = Result<Box<Job>, (StoreError, Box<Job>)>;

/// The thread that writes the database.
#[derive(Debug)]
pub(super) struct Flusher {
    /// None only while the flusher is dropped.
    jobs: Option<SyncSender<Box<Job>>>,
    thread: Option<JoinHandle<()>>,
    outcomes: Receiver<Outcome>,
    is_busy: bool,
}

impl Flusher {
    /// Starts the thread.
    pub(super) fn spawn(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        cache_bytes: usize,
        identity: [u8; 32],
    ) -> std::io::Result<Self> {
        let (jobs, to_do) = sync_channel::<Box<Job>>(1);
        let (done, outcomes) = sync_channel(1);
        let thread = thread::Builder::new().name("database".to_owned()).spawn(move || {
            for job in to_do {
                let outcome = match flush(&shared, &disk, cache_bytes, &job, identity) {
                    Ok(()) => Ok(job),
                    Err(error) => Err((error, job)),
                };
                if done.send(outcome).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), outcomes, is_busy: false })
    }

    pub(super) const fn is_idle(&self) -> bool {
        !self.is_busy
    }

    /// Hands over a job; there must be none under way.
    pub(super) fn start(&mut self, job: Box<Job>) {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        sent.expect("jobs come before the drop").expect("the thread that writes the database panicked");
        self.is_busy = true;
    }

    /// The outcome, if a job is done.
    pub(super) fn try_finish(&mut self) -> Option<Outcome> {
        if !self.is_busy {
            return None;
        }
        match self.outcomes.try_recv() {
            Ok(outcome) => {
                self.is_busy = false;
                Some(outcome)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the thread that writes the database panicked"),
        }
    }

    /// Waits for the job under way.
    pub(super) fn finish(&mut self) -> Option<Outcome> {
        if !self.is_busy {
            return None;
        }
        self.is_busy = false;
        Some(self.outcomes.recv().expect("the thread that writes the database panicked"))
    }
}

impl Drop for Flusher {
    /// Waits for the thread, so that the directory is free when the ledger is gone.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was or will be noticed by whoever waits for its outcome.
            let _ = thread.join();
        }
    }
}

/// Writes a job in one transaction. A database that found the disk full must be opened again.
fn flush(
    shared: &Shared,
    disk: &Arc<dyn Disk>,
    cache_bytes: usize,
    job: &Job,
    identity: [u8; 32],
) -> Result<(), StoreError> {
    let _flushing = shared.flushing.lock().unwrap_or_else(PoisonError::into_inner);
    // Locked for writing only where it must be: that waits for whoever reads, and lets nobody begin.
    let lock = || shared.database.write().unwrap_or_else(PoisonError::into_inner);
    let is_closed = shared.database.read().unwrap_or_else(PoisonError::into_inner).is_none();
    if is_closed {
        // There was no room even to open it again.
        *lock() = Some(Database::open(disk, cache_bytes)?);
    }
    let outcome = write(shared, job, identity);
    if let Err(error) = &outcome
        && error.is_full()
    {
        let mut database = lock();
        // Closed first: two of them on one file would not know of each other.
        *database = None;
        *database = Some(Database::open(disk, cache_bytes)?);
    }
    outcome
}

fn write(shared: &Shared, job: &Job, identity: [u8; 32]) -> Result<(), StoreError> {
    let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
    let database = database.as_ref().ok_or(StoreError::DatabaseClosed)?;
    database.write(|transaction| tables::write(transaction, job, identity))
}
