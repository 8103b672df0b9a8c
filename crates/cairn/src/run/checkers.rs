//! The threads that verify signatures before the node sees a transaction.
//!
//! A thread takes all that waits, up to a batch, and verifies it at once: a batch costs less than
//! half of its signatures one by one, and the more comes the larger the batches are.

use super::{Command, Judgement, NoAnswer, Submission};
use cairn_core::consensus::Consensus;
use cairn_core::signature::{Batching, KeyCache};
use cairn_core::transaction::{CheckedTransaction, Transaction, TransactionError, check_each};
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    transactions: usize,
    bytes: usize,
    stopped: bool,
}

#[derive(Debug)]
struct Waiting {
    transactions: Vec<Transaction>,
    bytes: usize,
    reply: oneshot::Sender<Vec<Judgement>>,
}

impl Checkers {
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
        let is_full = queue.transactions.saturating_add(transactions.len()) > WAITING_TRANSACTIONS_MAX
            || queue.bytes.saturating_add(bytes) > WAITING_BYTES_MAX;
        if is_full {
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
        drop(queue);
        self.wake.notify_all();
    }

    /// Verifies until it is stopped.
    pub(super) fn run(&self, consensus: &Consensus, commands: &SyncSender<Command>) {
        while let Some(batch) = self.take() {
            let submissions = check_batch(batch, consensus, &self.keys);
            if commands.send(Command::Submit(submissions)).is_err() {
                return;
            }
        }
    }

    /// All that waits, up to a batch; none once it is stopped.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.lock();
        while queue.waiting.is_empty() {
            if queue.stopped {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let mut batch = Vec::new();
        let mut count = 0;
        while let Some(next) = queue.waiting.front() {
            count += next.transactions.len();
            if !batch.is_empty() && count > BATCH_TRANSACTIONS_MAX {
                break;
            }
            let Some(next) = queue.waiting.pop_front() else { break };
            queue.transactions -= next.transactions.len();
            queue.bytes -= next.bytes;
            batch.push(next);
        }
        Some(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can panic halfway through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how much memory a transaction takes.
fn memory_of(transaction: &Transaction) -> usize {
    256 + transaction.body.transfers.len() * 40 + transaction.body.data.len()
}

/// Verifies what came from several senders as one batch, and gives each its own part back.
fn check_batch(batch: Vec<Waiting>, consensus: &Consensus, keys: &KeyCache) -> Vec<Submission> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system gave randomness at start");
    let lengths: Vec<usize> = batch.iter().map(|waiting| waiting.transactions.len()).collect();
    let mut replies = Vec::with_capacity(batch.len());
    let mut all = Vec::with_capacity(lengths.iter().sum());
    for Waiting { transactions, reply, .. } in batch {
        all.extend(transactions);
        replies.push(reply);
    }
    let batching = Batching::from_seed(seed).with_keys(keys);
    let mut judged = check_each(all, consensus.rules(), batching).into_iter();
    lengths
        .into_iter()
        .zip(replies)
        .map(|(length, reply)| Submission { transactions: judged.by_ref().take(length).collect(), reply })
        .collect()
}
