//! The node: inputs in, effects out.

use crate::chain::{BlockRefusal, Chain, ChainChange, Import, Imported, Source, depth_of};
use crate::config::NodeConfig;
use crate::mempool::{Admission, Arrival, Followed, Mempool, SubmitError, Submitted, View};
use crate::messages::{Effect, Event, Input, JobId, Outcome, RequestId};
use crate::peers::Planning;
use crate::producer::Producer;
use crate::relay::Relay;
use crate::sync::Sync;
use cairn_core::block::{BlockError, CheckedBlock, Seal};
use cairn_core::consensus::Consensus;
use cairn_core::hash::TransactionId;
use cairn_core::numbers::Timestamp;
use cairn_core::state::State;
use cairn_core::store::{Loaded, Store, StoreError};
use cairn_core::transaction::{CheckedTransaction, TransactionError};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Transactions of blocks this far below the best known chain are announced by nobody any more.
const NEAR_BLOCKS: u64 = 100;

/// One node: the chain it follows, what waits, what it makes. See the [crate](crate) for the contract.
#[derive(Debug)]
pub struct Node {
    pub(crate) chain: Chain,
    pub(crate) mempool: Mempool,
    pub(crate) producer: Producer,
    pub(crate) relay: Relay,
    pub(crate) sync: Sync,
    pub(crate) effects: VecDeque<Effect>,
}

/// The view of the tip, borrowed from the chain alone so that the mempool can change beside it.
pub(crate) fn view_of(chain: &Chain) -> View<'_> {
    View {
        state: chain.state(),
        rules: chain.consensus().rules(),
        height: chain.height(),
        base_fee: chain.parent_of_next().next_base_fee,
    }
}

impl Node {
    /// A node that goes on where its store is.
    ///
    /// # Panics
    ///
    /// If `loaded` has no block, or its state is not that of its tip.
    pub fn new(consensus: Consensus, config: NodeConfig, loaded: Loaded) -> Self {
        Self {
            chain: Chain::new(consensus, config.undo_window, config.minimum_work, loaded),
            mempool: Mempool::new(config.mempool),
            producer: Producer::new(config.mining),
            relay: Relay::new(config.relay),
            sync: Sync::default(),
            effects: VecDeque::new(),
        }
    }

    /// Takes an input at the time `now` of the node's clock. What follows from it stands in the
    /// effects, which are carried out once `store` is synced.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the world failed. The node must then be dropped.
    pub fn handle(&mut self, now: Timestamp, input: Input, store: &mut dyn Store) -> Result<(), StoreError> {
        let planning = match &input {
            Input::Peer { input, .. } => input.planning(),
            Input::Submit { .. } => Planning::Never,
            _ => Planning::Now,
        };
        match input {
            Input::Replay(block) => return self.replay(now, block, store),
            Input::Restore(transactions) => self.restore(now, transactions, store)?,
            Input::Submit { request, transactions } => self.submit(now, request, transactions, store)?,
            Input::Block { request, block } => self.take_block(now, request, block, store)?,
            Input::Peer { peer, input } => self.take_from_peer(now, peer, input, store)?,
            Input::Sealed { job, extra, seal } => self.take_seal(now, job, extra, seal, store)?,
            Input::Mine { request, blocks } => {
                if let Err(refusal) = self.producer.owe(request, blocks, &self.chain) {
                    self.answer(request, Outcome::Mined(Err(refusal)));
                }
            }
            Input::SetMining(mode) => self.producer.set_mode(mode),
            Input::Wakeup => {}
        }
        while let Some(block) = self.chain.release_held(now) {
            // Nobody waits for the verdict; the news tells.
            drop(self.import(now, block, store)?);
        }
        self.run_peers(now, planning, store)?;
        let planned = self.producer.plan(now, &mut self.chain, &mut self.mempool, store)?;
        self.effects.extend(planned);
        Ok(())
    }

    /// The next effect to carry out; none if all are.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the node wants [`Input::Wakeup`], if nothing comes before.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let own = [self.chain.held().next(), self.producer.wakeup()];
        own.into_iter().chain([self.relay.wakeup(), self.sync.wakeup()]).flatten().min()
    }

    /// The accounts after the tip, for a store that is closed.
    pub fn into_state(self) -> State {
        self.chain.into_state()
    }

    fn answer(&mut self, request: RequestId, outcome: Outcome) {
        self.effects.push_back(Effect::Answer { request, outcome });
    }

    fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::News(event));
    }

    /// Takes a block of the own log.
    fn replay(
        &mut self,
        now: Timestamp,
        block: CheckedBlock,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let id = block.id();
        let import = self.chain.import(Arc::new(block), Source::OwnLog, store)?;
        if matches!(import.verdict, Err(_) | Ok(Imported::Unconnected { .. })) {
            store.forget(&id);
        }
        if let Some(mut change) = import.change {
            self.follow_with_mempool(&mut change, now, store)?;
        }
        Ok(())
    }

    /// Ends the replay: the best branch is taken, and what waited waits again.
    fn restore(
        &mut self,
        now: Timestamp,
        transactions: Vec<CheckedTransaction>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        if let Some(mut change) = self.chain.follow_best(store)? {
            self.follow_with_mempool(&mut change, now, store)?;
        }
        let kept: BTreeSet<TransactionId> = transactions.iter().map(CheckedTransaction::id).collect();
        self.mempool.restore(transactions, now, &view_of(&self.chain));
        // What the replay took out of blocks is not yet on disk by itself.
        let mut returned: Vec<Arc<CheckedTransaction>> =
            self.mempool.newest().filter(|it| !kept.contains(&it.id())).cloned().collect();
        returned.reverse();
        keep_returned(&returned, store)
    }

    /// Takes transactions and answers for each.
    fn submit(
        &mut self,
        now: Timestamp,
        request: RequestId,
        transactions: Vec<Result<CheckedTransaction, TransactionError>>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let answers = self.admit(now, transactions, store)?;
        self.answer(request, Outcome::Submitted(answers));
        Ok(())
    }

    /// Takes transactions, keeps them on disk in one call, and tells of those that are new.
    pub(crate) fn admit(
        &mut self,
        now: Timestamp,
        transactions: Vec<Result<CheckedTransaction, TransactionError>>,
        store: &mut dyn Store,
    ) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
        let view = view_of(&self.chain);
        let mut answers = Vec::with_capacity(transactions.len());
        let mut admissions = Vec::new();
        for transaction in transactions {
            let admitted = transaction.map_err(SubmitError::from).and_then(|transaction| {
                let id = transaction.id();
                let admission = self.mempool.admit(transaction, Arrival::First, now, &view)?;
                Ok((submitted(&admission, id), admission))
            });
            answers.push(admitted.map(|(submitted, admission)| {
                admissions.push(admission);
                submitted
            }));
        }
        if keep(&admissions, store)? {
            for admission in admissions {
                self.tell_admission(admission, now);
            }
        } else {
            self.mempool.retract(admissions, &view);
            for answer in &mut answers {
                // One that is known may be so by this very request alone.
                if let Ok(Submitted::Pending { id, .. } | Submitted::Known { id }) = answer
                    && self.mempool.get(id).is_none()
                {
                    *answer = Err(SubmitError::DiskFull);
                }
            }
        }
        Ok(answers)
    }

    fn tell_admission(&mut self, admission: Admission, now: Timestamp) {
        let Admission::New { transaction, displaced } = admission else { return };
        for (_, entry, reason) in displaced {
            self.tell(Event::Dropped { id: entry.transaction.id(), reason });
        }
        self.relay.announce(transaction.leaf(), now);
        self.tell(Event::Pending { transaction });
    }

    fn take_block(
        &mut self,
        now: Timestamp,
        request: Option<RequestId>,
        block: CheckedBlock,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let verdict = self.import(now, Arc::new(block), store)?;
        if let Some(request) = request {
            self.answer(request, Outcome::Block(verdict));
        }
        Ok(())
    }

    /// Takes the seal of a job that is still wanted.
    fn take_seal(
        &mut self,
        now: Timestamp,
        job: JobId,
        extra: Option<Vec<u8>>,
        seal: Seal,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let Some(template) = self.producer.take_sealed(job, extra) else { return Ok(()) };
        // BLK-5 > The only rule about a body that the sealer could break.
        let limit = self.chain.consensus().rules().limits().extra_bytes;
        let found = template.extra().len();
        if found > limit {
            let block = template.header().parent;
            let error = BlockError::TooMuchExtra { found, limit };
            self.note_refused(BlockRefusal::Invalid { block, error }, now);
            return Ok(());
        }
        let block = match CheckedBlock::seal(template, seal, self.chain.consensus()) {
            Ok(block) => Arc::new(block),
            Err(error) => {
                self.producer.pause(now);
                self.tell(Event::SealRefused { job, error });
                return Ok(());
            }
        };
        let id = block.id();
        match self.import(now, block, store)? {
            Ok(Imported::Extended | Imported::Reorganised { .. }) => {
                self.effects.extend(self.producer.note_made(id));
            }
            Ok(Imported::Side | Imported::Known | Imported::Held { .. } | Imported::Unconnected { .. }) => {}
            Err(refusal) => self.note_refused(refusal, now),
        }
        Ok(())
    }

    fn note_refused(&mut self, refusal: BlockRefusal, now: Timestamp) {
        self.effects.extend(self.producer.note_refused(&refusal, now));
        self.tell(Event::OwnBlockRefused { refusal });
    }

    /// Imports a block, and tells what came of it.
    pub(crate) fn import(
        &mut self,
        now: Timestamp,
        block: Arc<CheckedBlock>,
        store: &mut dyn Store,
    ) -> Result<Result<Imported, BlockRefusal>, StoreError> {
        let (height, id) = (block.height(), block.id());
        let Import { verdict, change } = self.chain.import(block, Source::Outside { now }, store)?;
        match verdict {
            Ok(Imported::Side) => self.tell(Event::SideBlock { height, id }),
            Ok(Imported::Held { until }) => self.tell(Event::BlockHeld { height, id, until }),
            _ => {}
        }
        if let Some(change) = change {
            self.follow(now, change, store)?;
        }
        Ok(verdict)
    }

    /// Brings the mempool in line with a new tip.
    fn follow_with_mempool(
        &mut self,
        change: &mut ChainChange,
        now: Timestamp,
        store: &dyn Store,
    ) -> Result<Followed, StoreError> {
        let older = change.older_ids();
        if !older.is_empty() {
            // Blocks too large to be held together are read again, one after the other.
            let left: BTreeSet<TransactionId> =
                change.disconnected.iter().map(CheckedTransaction::id).collect();
            let mut confirmed = BTreeSet::new();
            for id in older {
                let Some(block) = self.chain.read_block(id, store)? else { continue };
                // A step so deep is a reorganisation, after which every sender is looked at anyway.
                self.mempool.confirm(&block, &mut BTreeSet::new());
                let ids = block.transactions().iter().map(CheckedTransaction::id);
                confirmed.extend(ids.filter(|id| left.contains(id)));
            }
            change.confirmed = confirmed;
        }
        Ok(self.mempool.follow(change, now, &view_of(&self.chain)))
    }

    /// Brings the mempool in line with a new tip, and tells.
    fn follow(
        &mut self,
        now: Timestamp,
        mut change: ChainChange,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let followed = self.follow_with_mempool(&mut change, now, store)?;
        keep_returned(&followed.returned, store)?;
        if !change.disconnected_ids.is_empty() {
            let depth = depth_of(&change);
            self.tell(Event::Reorganised {
                fork: change.fork,
                from: change.from,
                to: self.chain.tip_id(),
                depth,
                disconnected: change.disconnected_ids,
                connected: change.connected_ids,
            });
        }
        let status = self.sync_status();
        let is_near = status.target.0.saturating_sub(status.height.0) <= NEAR_BLOCKS;
        let confirmed =
            change.connected.iter().filter(|_| is_near).flat_map(|(block, _)| block.transactions());
        self.relay.follow(confirmed.map(CheckedTransaction::leaf));
        let blocks: Vec<Arc<CheckedBlock>> =
            change.connected.iter().map(|(block, _)| Arc::clone(block)).collect();
        self.announce_blocks(now, &blocks);
        for (block, totals) in change.connected {
            self.tell(Event::Block { block, totals });
        }
        for transaction in followed.returned {
            self.relay.announce(transaction.leaf(), now);
            self.tell(Event::Pending { transaction });
        }
        for (id, reason) in followed.dropped {
            self.tell(Event::Dropped { id, reason });
        }
        Ok(())
    }
}

/// The answer for an admission.
fn submitted(admission: &Admission, id: TransactionId) -> Submitted {
    match admission {
        Admission::Known => Submitted::Known { id },
        Admission::New { displaced, .. } => {
            let replaced = displaced.iter().filter(|(.., reason)| reason.is_replacement());
            Submitted::Pending {
                id,
                replaced: replaced.map(|(_, entry, _)| entry.transaction.id()).collect(),
            }
        }
    }
}

/// Keeps what left the chain on disk. Without room it waits all the same, until the node ends.
fn keep_returned(returned: &[Arc<CheckedTransaction>], store: &mut dyn Store) -> Result<(), StoreError> {
    let returned: Vec<&CheckedTransaction> = returned.iter().map(Arc::as_ref).collect();
    if returned.is_empty() {
        return Ok(());
    }
    match store.keep_transactions(&returned) {
        Ok(()) | Err(StoreError::Full(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps what was admitted on disk; says whether there was room.
fn keep(admissions: &[Admission], store: &mut dyn Store) -> Result<bool, StoreError> {
    let new: Vec<&CheckedTransaction> = admissions
        .iter()
        .filter_map(|admission| match admission {
            Admission::New { transaction, .. } => Some(transaction.as_ref()),
            Admission::Known => None,
        })
        .collect();
    if new.is_empty() {
        return Ok(true);
    }
    match store.keep_transactions(&new) {
        Ok(()) => Ok(true),
        Err(StoreError::Full(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
