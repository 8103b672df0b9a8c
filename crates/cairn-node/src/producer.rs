//! Making blocks: when one is due, what is being sealed, and what was asked for.
//!
//! The node puts a block together and asks for a seal; the sealer, wherever it is, answers with
//! [`Input::Sealed`]. There is one job at a time: a new one takes the place of the one before, and
//! the seal of an old one is ignored.

mod template;

use crate::chain::{BlockRefusal, Chain};
use crate::config::{MiningConfig, MiningMode};
use crate::mempool::Mempool;
use crate::messages::{Effect, Input, JobId, Outcome, RequestId};
use cairn_core::address::Address;
use cairn_core::block::{Header, Seal, UnsealedBlock, extra_hash};
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::store::{Store, StoreError};
use std::collections::VecDeque;
use template::build_template;

/// The most blocks that one [`Input::Mine`] can ask for.
pub const MINE_BLOCKS_MAX: u32 = 10_000;
/// The most [`Input::Mine`] that wait at a time.
pub const MINE_REQUESTS_MAX: usize = 64;
/// In mode [`Continuous`](MiningMode::Continuous): after how many milliseconds a block that is being
/// sealed takes in what has come since.
pub const JOB_REFRESH_MS: u64 = 1_000;
/// How long the producer waits after one of its blocks was refused, in milliseconds.
pub const RETRY_MS: u64 = 5_000;

/// A block that wants its seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealJob {
    /// Its name.
    pub job: JobId,
    /// What the seal closes.
    pub header: Header,
    /// Whether the seal needs the producer's signature beside the work.
    pub needs_signature: bool,
    /// The seal is not wanted before this time: others would hold the block back.
    pub not_before: Timestamp,
    /// How many bytes of extra data the sealer is asked to draw; none if it leaves them alone.
    pub placeholder_bytes: Option<usize>,
    extra: Option<Vec<u8>>,
}

/// Why blocks are not made on demand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MineRefusal {
    /// The node has no address to be paid at.
    #[error("this node makes no blocks: it has no producer address")]
    NoProducer,
    /// The network lists its miners, and the producer is none of them.
    #[error("the producer is not a listed miner of this network")]
    NotListed {
        /// The producer.
        producer: Address,
    },
    /// More blocks than one request can ask for, or none.
    #[error("{found} blocks were asked for, 1 to {limit} are made at a time")]
    BlockCount {
        /// How many were asked for.
        found: u32,
        /// The limit.
        limit: u32,
    },
    /// Too many requests wait.
    #[error("{limit} requests for blocks are waiting already")]
    TooManyRequests {
        /// The limit.
        limit: usize,
    },
    /// A block that was made was refused. Those before it are in the chain.
    #[error("the block that was made was refused: {refusal}")]
    Refused {
        /// The blocks that were made before.
        made: Vec<BlockId>,
        /// Why.
        #[source]
        refusal: Box<BlockRefusal>,
    },
}

/// What the producer is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MiningStatus {
    /// Who is paid; none if the node makes no blocks.
    pub producer: Option<Address>,
    /// When it makes blocks.
    pub mode: MiningMode,
    /// The height and the number of transactions of the block that is being sealed.
    pub sealing: Option<(Height, usize)>,
    /// How many blocks that were asked for are still to be made.
    pub owed: u64,
}

/// Decides when to make a block, and remembers the one that is being sealed.
#[derive(Debug)]
pub(crate) struct Producer {
    config: MiningConfig,
    current: Option<Current>,
    next_job: u64,
    owed: VecDeque<Owed>,
    /// After a refusal: when to try again.
    paused_until: Option<Timestamp>,
    /// The tip and the mempool that gave no block, so that the same is not tried again and again.
    barren: Option<(BlockId, u64)>,
    /// The tip, and since when it is there by this node's clock.
    tip_since: Option<(BlockId, Timestamp)>,
    wakeup: Option<Timestamp>,
}

/// What is being sealed.
#[derive(Debug)]
struct Current {
    job: JobId,
    block: UnsealedBlock,
    made_at: Timestamp,
    mempool_version: u64,
}

/// Blocks that were asked for.
#[derive(Debug)]
struct Owed {
    request: RequestId,
    left: u32,
    made: Vec<BlockId>,
}

/// Whether a block is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    No,
    IfTransactions,
    EvenIfEmpty,
}

impl SealJob {
    /// The same job with other extra data. Genesis says how long they may be.
    #[must_use]
    pub fn with_extra(mut self, extra: Vec<u8>) -> Self {
        self.header.extra_hash = extra_hash(&extra);
        self.extra = Some(extra);
        self
    }

    /// What to tell the node when the seal is found.
    pub fn sealed(self, seal: Seal) -> Input {
        Input::Sealed { job: self.job, extra: self.extra, seal }
    }
}

impl Producer {
    pub(crate) const fn new(config: MiningConfig) -> Self {
        Self {
            config,
            current: None,
            next_job: 0,
            owed: VecDeque::new(),
            paused_until: None,
            barren: None,
            tip_since: None,
            wakeup: None,
        }
    }

    /// When there is something to do without another input.
    pub(crate) const fn wakeup(&self) -> Option<Timestamp> {
        self.wakeup
    }

    pub(crate) fn status(&self) -> MiningStatus {
        let sealing =
            self.current.as_ref().map(|it| (it.block.header().height, it.block.transactions().len()));
        let owed = self.owed.iter().map(|owed| u64::from(owed.left)).sum();
        MiningStatus { producer: self.config.producer, mode: self.config.mode, sealing, owed }
    }

    pub(crate) const fn set_mode(&mut self, mode: MiningMode) {
        self.config.mode = mode;
        self.paused_until = None;
    }

    /// Notes that blocks are to be made in any case.
    pub(crate) fn owe(&mut self, request: RequestId, blocks: u32, chain: &Chain) -> Result<(), MineRefusal> {
        let producer = self.config.producer.ok_or(MineRefusal::NoProducer)?;
        if !chain.consensus().may_produce(&producer) {
            return Err(MineRefusal::NotListed { producer });
        }
        if blocks == 0 || blocks > MINE_BLOCKS_MAX {
            return Err(MineRefusal::BlockCount { found: blocks, limit: MINE_BLOCKS_MAX });
        }
        if self.owed.len() >= MINE_REQUESTS_MAX {
            return Err(MineRefusal::TooManyRequests { limit: MINE_REQUESTS_MAX });
        }
        self.paused_until = None;
        self.owed.push_back(Owed { request, left: blocks, made: Vec::new() });
        Ok(())
    }

    /// The block of a job that is still wanted, with the extra data that the sealer drew.
    pub(crate) fn take_sealed(&mut self, job: JobId, extra: Option<Vec<u8>>) -> Option<UnsealedBlock> {
        let Current { block, .. } = self.current.take_if(|current| current.job == job)?;
        Some(match extra {
            Some(extra) if extra != block.extra() => {
                UnsealedBlock::new(block.header().clone(), block.transactions().to_vec(), extra)
            }
            _ => block,
        })
    }

    /// A block of this node joined the chain; returns the answer to who asked for it, if it was the last.
    pub(crate) fn note_made(&mut self, id: BlockId) -> Option<Effect> {
        let owed = self.owed.front_mut()?;
        owed.made.push(id);
        owed.left -= 1;
        if owed.left > 0 {
            return None;
        }
        let Owed { request, made, .. } = self.owed.pop_front()?;
        Some(Effect::Answer { request, outcome: Outcome::Mined(Ok(made)) })
    }

    /// A block of this node was refused: nobody waits for more, and the next try comes later.
    pub(crate) fn note_refused(&mut self, refusal: &BlockRefusal, now: Timestamp) -> Vec<Effect> {
        self.pause(now);
        let refused = |owed: Owed| {
            let refusal = MineRefusal::Refused { made: owed.made, refusal: Box::new(refusal.clone()) };
            Effect::Answer { request: owed.request, outcome: Outcome::Mined(Err(refusal)) }
        };
        self.owed.drain(..).map(refused).collect()
    }

    /// Makes no block for a while.
    pub(crate) const fn pause(&mut self, now: Timestamp) {
        self.paused_until = Some(now.saturating_add_ms(RETRY_MS));
    }

    /// Asks for a seal where a block is due, and no longer where it is not.
    pub(crate) fn plan(
        &mut self,
        now: Timestamp,
        chain: &mut Chain,
        mempool: &mut Mempool,
        store: &dyn Store,
    ) -> Result<Option<Effect>, StoreError> {
        self.wakeup = None;
        let Some(producer) = self.config.producer.filter(|it| chain.consensus().may_produce(it)) else {
            return Ok(None);
        };
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            self.wakeup = Some(until);
            return Ok(None);
        }
        self.paused_until = None;
        let stale = self.current.take_if(|current| current.block.header().parent != chain.tip_id()).is_some();
        let due = self.due(now, chain, mempool);
        let is_wanted = due != Due::No;
        let made = if is_wanted && self.needs_job(now, mempool) {
            self.make_job(producer, due, now, chain, mempool, store)?
        } else {
            None
        };
        if let Some(job) = made {
            return Ok(Some(Effect::Seal(Box::new(job))));
        }
        let stopped = !is_wanted && self.current.take().is_some();
        Ok((stopped || (stale && self.current.is_none())).then_some(Effect::StopSealing))
    }

    /// Whether a block is due; notes when one will be.
    fn due(&mut self, now: Timestamp, chain: &Chain, mempool: &Mempool) -> Due {
        if !self.owed.is_empty() {
            return Due::EvenIfEmpty;
        }
        let regular = if self.config.empty_blocks { Due::EvenIfEmpty } else { Due::IfTransactions };
        let waiting = mempool.executable_len();
        match self.config.mode {
            MiningMode::Manual => Due::No,
            MiningMode::OnTransaction if waiting > 0 => Due::IfTransactions,
            MiningMode::OnTransaction => Due::No,
            MiningMode::Interval => {
                // Whoever stamps his blocks ahead of the clock must not make others wait for it.
                let since = chain.tip_header().time.min(self.note_tip(chain.tip_id(), now));
                let due_at = since.saturating_add_ms(self.config.interval_ms);
                if due_at <= now {
                    return regular;
                }
                if self.config.min_transactions.is_some_and(|least| waiting >= least.max(1)) {
                    return Due::IfTransactions;
                }
                self.wakeup = Some(due_at);
                Due::No
            }
            MiningMode::Continuous => regular,
        }
    }

    /// Since when the tip is there.
    fn note_tip(&mut self, tip: BlockId, now: Timestamp) -> Timestamp {
        match self.tip_since {
            Some((known, since)) if known == tip => since,
            _ => {
                self.tip_since = Some((tip, now));
                now
            }
        }
    }

    /// Whether there is nothing to seal, or something better than what is being sealed.
    fn needs_job(&mut self, now: Timestamp, mempool: &Mempool) -> bool {
        let Some(current) = &self.current else { return true };
        if self.config.mode != MiningMode::Continuous || current.mempool_version == mempool.version() {
            return false;
        }
        let refresh_at = current.made_at.saturating_add_ms(JOB_REFRESH_MS);
        if refresh_at > now {
            self.wakeup = Some(refresh_at);
        }
        refresh_at <= now
    }

    /// Puts a block together, unless there would be nothing in it and nobody wants it empty.
    fn make_job(
        &mut self,
        producer: Address,
        due: Due,
        now: Timestamp,
        chain: &mut Chain,
        mempool: &mut Mempool,
        store: &dyn Store,
    ) -> Result<Option<SealJob>, StoreError> {
        let place = (chain.tip_id(), mempool.version());
        let needs_transactions = due == Due::IfTransactions;
        if needs_transactions && (mempool.executable_len() == 0 || self.barren == Some(place)) {
            return Ok(None);
        }
        let mut extra = self.config.extra.clone();
        extra.truncate(chain.consensus().rules().limits().extra_bytes);
        let count_max = self.config.max_transactions.unwrap_or(usize::MAX);
        let template = build_template(chain, mempool, producer, count_max, extra, now, store)?;
        mempool.note_refused(template.refused);
        let block = template.block;
        if needs_transactions && block.transactions().is_empty() {
            self.barren = Some(place);
            return Ok(None);
        }
        let job = JobId(self.next_job);
        self.next_job += 1;
        let header = block.header().clone();
        self.current = Some(Current { job, block, made_at: now, mempool_version: mempool.version() });
        Ok(Some(self.describe(job, header, chain)))
    }

    fn describe(&self, job: JobId, header: Header, chain: &Chain) -> SealJob {
        let consensus = chain.consensus();
        let limit = consensus.rules().limits().extra_bytes;
        SealJob {
            job,
            needs_signature: consensus.seal_needs_signature(),
            not_before: consensus.judged_from(&header),
            placeholder_bytes: self.config.placeholder_bytes.map(|bytes| bytes.min(limit)),
            header,
            extra: None,
        }
    }
}
