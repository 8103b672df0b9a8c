//! What peers tell a node, and what it tells them: the part of the node that faces other nodes.

use crate::chain::{AcceptedHeaders, BlockRefusal, Chain, HeadersRefusal, HeadersVerdict, Imported, PeerKey};
use crate::compact::{CompactBlock, Partial};
use crate::mempool::{SubmitError, Submitted};
use crate::messages::Effect;
use crate::node::Node;
use crate::relay;
use crate::sync::{self, ANNOUNCED_HEADERS_MAX, Place, SyncStatus, Wanted};
use crate::wire::{HEADERS_MAX, Message};
use cairn_core::block::{BlockError, CheckedBlock, CheckedHeader, SealedHeader};
use cairn_core::consensus::{Consensus, HeaderError};
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::store::{Store, StoreError};
use cairn_core::target::Work;
use cairn_core::transaction::{CheckedTransaction, IdentifiedTransaction, Transaction, TransactionError};
use std::sync::Arc;

/// Where no more transactions of a block in short are missing they are asked for, however small it is.
const MISSING_FEW: usize = 16;

/// The node's name for a request for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What a peer says of itself when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The height of its tip.
    pub height: Height,
    /// The work of its chain.
    pub work: Work,
    /// Whether this node chose to connect to it.
    pub is_outbound: bool,
}

/// What transactions of a peer are judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgedFor {
    /// To wait here.
    Mempool,
    /// To complete a block that came in short.
    Block(BlockId),
}

/// What the shell tells a node of a peer. Messages that only ask for blocks of the chain are answered
/// by the shell itself.
#[derive(Debug)]
pub enum PeerInput {
    /// It is there.
    Joined(PeerInfo),
    /// It is gone.
    Left,
    /// It has transactions.
    Announced(Vec<LeafHash>),
    /// It asks for transactions.
    AskedFor(Vec<LeafHash>),
    /// It does not have transactions that it was asked for.
    NotFound(Vec<LeafHash>),
    /// It sends transactions.
    Transactions(Vec<Transaction>),
    /// Transactions that it has sent were judged: what became of each, in the order of
    /// [`PeerEffect::Judge`]; none if there was no time for them.
    Judged {
        /// What for.
        purpose: JudgedFor,
        /// Their names.
        leaves: Vec<LeafHash>,
        /// What became of them.
        verdicts: Option<Vec<Result<CheckedTransaction, TransactionError>>>,
    },
    /// It sends headers, an answer or news, each checked by itself.
    Headers(Vec<CheckedHeader>),
    /// It sends a block in short.
    Compact(Box<CompactBlock>),
    /// It sends transactions of a block.
    BlockTransactions {
        /// The block.
        block: BlockId,
        /// The transactions.
        transactions: Vec<Transaction>,
    },
    /// It has sent a block that it was asked for.
    Body {
        /// The request.
        ask: AskId,
        /// The block, checked by itself.
        block: Result<Box<CheckedBlock>, InvalidBody>,
    },
    /// There are no more blocks to come for a request.
    AskEnded {
        /// The request.
        ask: AskId,
        /// Whether the peer ended it with code 0: what has not come, it does not have.
        complete: bool,
    },
}

/// A block that breaks a rule by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBody {
    /// Its id; none if the bytes are no block, or if no work was done for it.
    pub id: Option<BlockId>,
    /// The rule.
    pub error: BlockError,
}

/// What a peer asks of the chain; the shell answers from what is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The headers behind the first block of the locator that is on the chain.
    Headers {
        /// Blocks that the peer has, highest first.
        locator: Vec<BlockId>,
        /// The last that is wanted; zero for as many as a message holds.
        stop: BlockId,
    },
    /// A block in short.
    Compact(BlockId),
    /// Transactions of a block.
    BlockTransactions {
        /// The block.
        block: BlockId,
        /// Their places, ascending.
        places: Vec<u32>,
    },
}

/// What a message of the stream between peers is to the one that receives it.
#[derive(Debug)]
pub enum Received {
    /// The node takes it.
    Input(PeerInput),
    /// The node takes them once [`check_headers`] has looked at each by itself, which takes a while.
    Headers(Vec<SealedHeader>),
    /// The shell answers it.
    Question(Question),
    /// It has no place on this stream.
    Misplaced,
}

/// Says who takes a message of the stream between peers.
pub fn receive(message: Message) -> Received {
    let input = match message {
        Message::Announce(leaves) => PeerInput::Announced(leaves),
        Message::GetTransactions(leaves) => PeerInput::AskedFor(leaves),
        Message::NotFound(leaves) => PeerInput::NotFound(leaves),
        Message::Transactions(transactions) => PeerInput::Transactions(transactions),
        Message::Headers(headers) => return Received::Headers(headers),
        Message::Compact(block) => PeerInput::Compact(block),
        Message::BlockTransactions { block, transactions } => {
            PeerInput::BlockTransactions { block, transactions }
        }
        Message::GetHeaders { locator, stop } => {
            return Received::Question(Question::Headers { locator, stop });
        }
        Message::GetCompact(block) => return Received::Question(Question::Compact(block)),
        Message::GetBlockTransactions { block, places } => {
            return Received::Question(Question::BlockTransactions { block, places });
        }
        Message::GetBlocks(_) | Message::Block(_) | Message::GetGenesis(_) | Message::Genesis(_) => {
            return Received::Misplaced;
        }
    };
    Received::Input(input)
}

/// Checks what headers of a peer show by themselves: their form, their seals and the work in them.
///
/// # Errors
///
/// HDR and SEA rules, for the first header that breaks one.
pub fn check_headers(
    headers: Vec<SealedHeader>,
    consensus: &Consensus,
) -> Result<Vec<CheckedHeader>, HeaderError> {
    headers.into_iter().map(|header| header.check(consensus)).collect()
}

/// What a node asks of the shell about a peer.
#[derive(Debug)]
pub enum PeerEffect {
    /// Tell it.
    Send(Message),
    /// Verify the signatures of what it has sent; the answer is [`PeerInput::Judged`].
    Judge {
        /// What for.
        purpose: JudgedFor,
        /// The transactions.
        transactions: Vec<IdentifiedTransaction>,
    },
    /// Ask it for blocks on a stream of their own; each comes back as [`PeerInput::Body`], and in the
    /// end [`PeerInput::AskEnded`].
    Ask {
        /// The name of the request.
        ask: AskId,
        /// The blocks, in the order in which they are wanted.
        blocks: Vec<BlockId>,
    },
    /// What is still to come for a request is not wanted.
    Cancel(AskId),
    /// It did what it should not.
    Strike(Offence),
    /// It was the first to give something that the node has taken: a block, or transactions.
    Praise,
}

/// What a peer should not do, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offence {
    /// It did not answer in time.
    NoAnswer,
    /// It sent more headers than news are, and was not asked for any; or it told of a block and then of a chain
    /// that does not lead there. It may have been asked long ago, or its chain may be another one now.
    UnaskedHeaders,
    /// It began to send blocks and stopped.
    Stalled,
    /// It sent what it was not asked for.
    Unasked,
    /// It sent a transaction that breaks a rule whatever the state.
    InvalidTransaction,
    /// It sent headers that are no answer and no news.
    UselessHeaders,
    /// It sent a header that breaks a rule.
    InvalidHeader,
    /// It sent a block that breaks a rule.
    InvalidBlock,
}

impl PeerInput {
    /// When to look again at what headers and blocks are to be asked for. Headers that change the best chain
    /// have it looked at at once in any case; of those that do not, each could cost a walk over the window.
    pub(crate) const fn planning(&self) -> Planning {
        match self {
            Self::Announced(_)
            | Self::AskedFor(_)
            | Self::NotFound(_)
            | Self::Transactions(_)
            | Self::Judged { purpose: JudgedFor::Mempool, .. } => Planning::Never,
            Self::Headers(_) => Planning::Soon,
            Self::Joined(_)
            | Self::Left
            | Self::Judged { purpose: JudgedFor::Block(_), .. }
            | Self::Compact(_)
            | Self::BlockTransactions { .. }
            | Self::Body { .. }
            | Self::AskEnded { .. } => Planning::Now,
        }
    }
}

/// When what came has the node look at what is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planning {
    /// It has nothing to do with that.
    Never,
    /// When the last look is no longer fresh.
    Soon,
    /// At once.
    Now,
}

impl Node {
    /// Where the node stands beside its peers.
    pub fn sync_status(&self) -> SyncStatus {
        self.sync.status(&self.place())
    }

    /// Takes what comes from a peer.
    pub(crate) fn take_from_peer(
        &mut self,
        now: Timestamp,
        peer: PeerKey,
        input: PeerInput,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        // What it sent before it left may still come; what was judged concerns others too.
        let concerns_all = matches!(input, PeerInput::Joined(_) | PeerInput::Judged { .. });
        if !concerns_all && !self.sync.has(peer) {
            return Ok(());
        }
        let mut relayed = Vec::new();
        let mut synced = Vec::new();
        match input {
            PeerInput::Joined(info) => {
                self.sync.join(peer, &info);
                self.relay.join(peer, info.is_outbound, &self.mempool, now);
            }
            PeerInput::Left => {
                self.sync.leave(peer);
                self.chain.forget_peer(peer);
                self.relay.leave(peer, now, &mut relayed);
            }
            PeerInput::Announced(leaves) => {
                self.relay.take_announcement(peer, &leaves, &self.mempool, now, &mut relayed);
            }
            PeerInput::AskedFor(leaves) => {
                self.relay.take_request(peer, &leaves, &self.mempool, now, &mut relayed);
            }
            PeerInput::NotFound(leaves) => self.relay.take_not_found(peer, &leaves, now, &mut relayed),
            PeerInput::Transactions(transactions) => {
                let identity = self.chain.consensus().rules().identity();
                let mempool = &self.mempool;
                self.relay.take_transactions(peer, transactions, identity, mempool, now, &mut relayed);
            }
            PeerInput::Judged { purpose: JudgedFor::Mempool, leaves, verdicts } => {
                self.take_judged(now, peer, &leaves, verdicts, store)?;
            }
            PeerInput::Judged { purpose: JudgedFor::Block(id), verdicts, .. } => {
                self.complete_block(now, peer, &id, verdicts, store)?;
            }
            PeerInput::Headers(headers) => self.take_headers(now, peer, &headers, store, &mut synced)?,
            PeerInput::Compact(block) => self.take_compact(now, peer, *block, store)?,
            PeerInput::BlockTransactions { block, transactions } => {
                self.take_block_transactions(now, peer, &block, transactions);
            }
            PeerInput::Body { ask, block: Ok(block) } => {
                let parent = block.header().parent;
                self.sync.take_body(ask, *block, now, &mut synced);
                self.import_ready(now, parent, store)?;
            }
            PeerInput::Body { ask, block: Err(InvalidBody { id, error }) } => {
                if let Some(id) = id.filter(|_| error.condemns_id()) {
                    self.chain.condemn_body(id, error, store);
                }
                self.sync.refuse_body(ask, now, &mut synced);
            }
            PeerInput::AskEnded { ask, complete } => self.sync.take_end(ask, complete, now, &mut synced),
        }
        self.carry_out_relay(relayed);
        self.carry_out_sync(now, synced, store)
    }

    /// Does what is due to peers, and asks for what is wanted, if what came says so or the last plan is old.
    pub(crate) fn run_peers(
        &mut self,
        now: Timestamp,
        planning: Planning,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let mut relayed = Vec::new();
        self.relay.run(&self.mempool, now, &mut relayed);
        self.carry_out_relay(relayed);
        let mut told = Vec::new();
        self.sync.tell_news(now, &mut told);
        self.carry_out_sync(now, told, store)?;
        if planning != Planning::Now && self.sync.is_planned(&self.place(), now) {
            if planning == Planning::Soon {
                self.sync.postpone_plan();
            }
            return Ok(());
        }
        loop {
            let mut synced = Vec::new();
            let place = self.place();
            let chain = &self.chain;
            self.sync.plan(&place, |limit| wanted(chain, limit), now, &mut synced);
            if self.sync.may_hold_unwanted(&place) {
                self.sync.retain_ready(|id| chain.is_wanted(id));
            }
            // Where headers were dropped, others may be wanted now.
            let again = synced.iter().any(|action| matches!(action, sync::Action::Drop(_)));
            self.carry_out_sync(now, synced, store)?;
            if !again {
                return Ok(());
            }
        }
    }

    /// Where the chain stands.
    fn place(&self) -> Place {
        Place {
            tip: self.chain.tip_id(),
            height: self.chain.height(),
            best: self.chain.best_header(),
            has_room: self.chain.has_room_for_headers(),
        }
    }

    fn carry_out_relay(&mut self, actions: Vec<relay::Action>) {
        for action in actions {
            let (peer, effect) = match action {
                relay::Action::Send(peer, message) => (peer, PeerEffect::Send(message)),
                relay::Action::Judge(peer, transactions) => {
                    (peer, PeerEffect::Judge { purpose: JudgedFor::Mempool, transactions })
                }
                relay::Action::Strike(peer, offence) => (peer, PeerEffect::Strike(offence)),
            };
            self.tell_peer(peer, effect);
        }
    }

    fn carry_out_sync(
        &mut self,
        now: Timestamp,
        actions: Vec<sync::Action>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        for action in actions {
            let (peer, effect) = match action {
                sync::Action::Send(peer, message) => (peer, PeerEffect::Send(message)),
                sync::Action::AskHeaders(peer) => {
                    self.ask_headers(now, peer, store)?;
                    continue;
                }
                sync::Action::Drop(first) => {
                    self.drop_headers(now, &first);
                    continue;
                }
                sync::Action::Ask(peer, ask, blocks) => (peer, PeerEffect::Ask { ask, blocks }),
                sync::Action::Cancel(peer, ask) => (peer, PeerEffect::Cancel(ask)),
                sync::Action::Strike(peer, offence) => (peer, PeerEffect::Strike(offence)),
            };
            self.tell_peer(peer, effect);
        }
        Ok(())
    }

    /// Forgets headers whose blocks do not come, and what peers have shown with them.
    fn drop_headers(&mut self, now: Timestamp, first: &BlockId) {
        self.chain.drop_headers(first);
        let chain = &self.chain;
        for peer in self.sync.note_dropped(first, |id| chain.reach(id).is_some(), now) {
            self.tell_peer(peer, PeerEffect::Strike(Offence::NoAnswer));
        }
    }

    fn tell_peer(&mut self, peer: PeerKey, effect: PeerEffect) {
        self.effects.push_back(Effect::Peer { peer, effect });
    }

    /// Asks a peer for the headers above the best ones that are known, or for those that it had counted and
    /// that found no room.
    fn ask_headers(&mut self, now: Timestamp, peer: PeerKey, store: &dyn Store) -> Result<(), StoreError> {
        let (locator, stop) = match self.chain.counted_of(peer) {
            Some((request, _)) => (vec![request.after], request.stop),
            None => (self.chain.locator(store)?, None),
        };
        self.sync.note_headers_asked(peer, now);
        let message = Message::GetHeaders { locator, stop: stop.unwrap_or(BlockId::ZERO) };
        self.tell_peer(peer, PeerEffect::Send(message));
        Ok(())
    }

    /// Takes transactions of a peer whose signatures were judged.
    fn take_judged(
        &mut self,
        now: Timestamp,
        peer: PeerKey,
        leaves: &[LeafHash],
        verdicts: Option<Vec<Result<CheckedTransaction, TransactionError>>>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let Some(verdicts) = verdicts else {
            leaves.iter().for_each(|leaf| self.relay.let_go(leaf));
            return Ok(());
        };
        let mut good = Vec::with_capacity(verdicts.len());
        for (leaf, verdict) in leaves.iter().zip(verdicts) {
            match verdict {
                Ok(transaction) => good.push(transaction),
                Err(_) => {
                    self.relay.refuse(*leaf);
                    self.tell_peer(peer, PeerEffect::Strike(Offence::InvalidTransaction));
                }
            }
        }
        let leaves: Vec<LeafHash> = good.iter().map(CheckedTransaction::leaf).collect();
        let verdicts = self.admit(now, good.into_iter().map(Ok).collect(), store)?;
        if verdicts.iter().any(|verdict| matches!(verdict, Ok(Submitted::Pending { .. }))) {
            self.praise(peer);
        }
        for (leaf, verdict) in leaves.into_iter().zip(verdicts) {
            // It breaks a rule of this moment, so the peer may be right by its own tip and its own limits.
            match verdict {
                Ok(Submitted::Pending { .. }) => {}
                Ok(Submitted::Known { .. }) | Err(SubmitError::DiskFull) => self.relay.let_go(&leaf),
                Err(_) => self.relay.refuse(leaf),
            }
        }
        Ok(())
    }

    fn take_headers(
        &mut self,
        now: Timestamp,
        peer: PeerKey,
        headers: &[CheckedHeader],
        store: &dyn Store,
        actions: &mut Vec<sync::Action>,
    ) -> Result<(), StoreError> {
        let ids: Vec<BlockId> = headers.iter().map(CheckedHeader::id).collect();
        let was_asked = self.sync.is_asked_for_headers(peer);
        if !was_asked && headers.len() > ANNOUNCED_HEADERS_MAX {
            // They were checked, which costs more than to send the headers of our own chain again and again.
            actions.push(sync::Action::Strike(peer, Offence::UnaskedHeaders));
        }
        let claimed = self.sync.claimed(peer);
        match self.chain.accept_headers(peer, headers, now, store)? {
            Ok(HeadersVerdict { accepted, next, again_at }) => {
                // It told of a block: what it is asked for then leads there, message by message.
                let leads_on =
                    ids.len() == HEADERS_MAX && !matches!(accepted, AcceptedHeaders::Kept { new: 0 });
                if was_asked && !leads_on && self.sync.is_beside_news(peer, &ids) {
                    actions.push(sync::Action::Strike(peer, Offence::UnaskedHeaders));
                }
                let shown = ids.last().and_then(|last| self.chain.reach(last));
                // Where there is no room, asking at once would bring the same again; the plan asks later.
                let is_full = matches!(accepted, AcceptedHeaders::NoRoom { .. });
                let next = next.filter(|_| !is_full);
                self.sync.note_headers(peer, &ids, shown, next, now, actions);
                self.sync.note_headers_again(peer, again_at);
                if is_full {
                    let counted = self.chain.counted_of(peer).map_or(Work::ZERO, |(_, work)| work);
                    self.sync.note_no_room(peer, claimed.max(counted));
                }
            }
            // News of a block whose parent is not known: whoever tells it has a longer chain.
            Err(HeadersRefusal::Unconnected { .. }) if !was_asked => {
                if let Some(news) = ids.last() {
                    self.sync.note_news(peer, *news);
                }
                self.ask_headers(now, peer, store)?;
            }
            // The same, come before the answer to what the peer was asked; that one is still awaited.
            Err(HeadersRefusal::Unconnected { .. }) => {}
            Err(refusal) => {
                self.sync.note_headers_refused(peer);
                actions.push(sync::Action::Strike(peer, offence_of(&refusal)));
            }
        }
        Ok(())
    }

    /// A peer has given something that was taken: from now on it goes before strangers.
    fn praise(&mut self, peer: PeerKey) {
        self.sync.note_proven(peer);
        self.relay.note_proven(peer);
        self.tell_peer(peer, PeerEffect::Praise);
    }

    fn take_compact(
        &mut self,
        now: Timestamp,
        peer: PeerKey,
        block: CompactBlock,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let id = block.header.id();
        if !self.sync.awaits_compact(peer, &id) {
            self.tell_peer(peer, PeerEffect::Strike(Offence::Unasked));
            return Ok(());
        }
        let count = block.short_ids.len();
        if usize::try_from(block.header.header.tx_count) != Ok(count) {
            self.sync.fail_short(peer, id, now);
            self.tell_peer(peer, PeerEffect::Strike(Offence::Unasked));
            return Ok(());
        }
        let partial = block.fill(self.mempool.newest().map(|transaction| &**transaction));
        let missing = partial.missing().to_vec();
        if missing.is_empty() {
            return self.complete(now, peer, partial, Vec::new(), store);
        }
        if missing.len() > count / 3 && missing.len() > MISSING_FEW {
            // The whole block costs little more, and one question less.
            self.sync.end_short(id);
            return Ok(());
        }
        self.sync.keep_partial(partial, now);
        let message = Message::GetBlockTransactions { block: id, places: missing };
        self.tell_peer(peer, PeerEffect::Send(message));
        Ok(())
    }

    fn take_block_transactions(
        &mut self,
        now: Timestamp,
        peer: PeerKey,
        block: &BlockId,
        transactions: Vec<Transaction>,
    ) {
        match self.sync.awaits_transactions(peer, block) {
            Some(missing) if missing == transactions.len() => {
                self.sync.note_judging(now);
                let identity = self.chain.consensus().rules().identity();
                let transactions = IdentifiedTransaction::new_all(transactions, identity);
                let purpose = JudgedFor::Block(*block);
                self.tell_peer(peer, PeerEffect::Judge { purpose, transactions });
            }
            // It has them no more, or they are too many for a message.
            Some(_) if transactions.is_empty() => self.sync.end_short(*block),
            Some(_) => {
                self.sync.fail_short(peer, *block, now);
                self.tell_peer(peer, PeerEffect::Strike(Offence::Unasked));
            }
            None => self.tell_peer(peer, PeerEffect::Strike(Offence::Unasked)),
        }
    }

    fn complete_block(
        &mut self,
        now: Timestamp,
        peer: PeerKey,
        id: &BlockId,
        verdicts: Option<Vec<Result<CheckedTransaction, TransactionError>>>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let Some(partial) = self.sync.take_judged(peer, id) else { return Ok(()) };
        let Some(verdicts) = verdicts else {
            self.sync.end_short(*id);
            return Ok(());
        };
        match verdicts.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(transactions) => self.complete(now, peer, partial, transactions, store),
            // The block may be none, or only what came of it: that shows when it comes whole.
            Err(_) => {
                self.sync.fail_short(peer, *id, now);
                Ok(())
            }
        }
    }

    /// Puts a block together that came in short. One that does not come out right is asked for whole:
    /// short ids may have met by chance.
    fn complete(
        &mut self,
        now: Timestamp,
        peer: PeerKey,
        partial: Partial,
        missing: Vec<CheckedTransaction>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let id = partial.id();
        match partial.complete(missing, self.chain.consensus()) {
            Ok(block) => {
                let parent = block.header().parent;
                self.sync.end_short(id);
                self.sync.keep_ready(peer, Arc::new(block));
                self.import_ready(now, parent, store)
            }
            Err(_) => {
                self.sync.fail_short(peer, id, now);
                Ok(())
            }
        }
    }

    /// Imports blocks that waited for `parent`, and those that waited for them.
    fn import_ready(
        &mut self,
        now: Timestamp,
        parent: BlockId,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let mut parents = vec![parent];
        while let Some(parent) = parents.pop() {
            if !self.knows_block(&parent) {
                continue;
            }
            while let Some((peer, block)) = self.sync.take_ready(&parent) {
                let id = block.id();
                match self.import(now, block, store)? {
                    Ok(Imported::Unconnected { .. } | Imported::Held { .. }) => {}
                    Ok(_) => {
                        self.praise(peer);
                        parents.push(id);
                    }
                    Err(BlockRefusal::DiskFull) => self.sync.pause(now),
                    Err(refusal) => {
                        if matches!(refusal, BlockRefusal::Invalid { .. }) {
                            self.tell_peer(peer, PeerEffect::Strike(Offence::InvalidBlock));
                        }
                        // It is not asked for again and again.
                        self.drop_headers(now, &id);
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells peers of blocks that joined the chain, unless better ones are on their way here.
    pub(crate) fn announce_blocks(&mut self, now: Timestamp, blocks: &[Arc<CheckedBlock>]) {
        if self.chain.best_header().id != self.chain.tip_id() {
            return;
        }
        let headers: Vec<SealedHeader> = blocks.iter().map(|block| block.to_sealed_header()).collect();
        let mut actions = Vec::new();
        self.sync.announce(headers, now, &mut actions);
        for action in actions {
            if let sync::Action::Send(peer, message) = action {
                self.tell_peer(peer, PeerEffect::Send(message));
            }
        }
    }
}

/// Blocks whose headers are known and whose bodies are missing.
fn wanted(chain: &Chain, limit: usize) -> Vec<Wanted> {
    /// A block of any weight has no more bytes.
    const BLOCK_WEIGHT_MAX: u64 = 16 * 1024 * 1024;
    let extra_bytes = chain.consensus().rules().section().limits.extra_bytes;
    let extra_bytes = u64::try_from(extra_bytes).unwrap_or(u64::MAX);
    let wanted = chain.wanted(limit);
    wanted
        .into_iter()
        .filter_map(|id| {
            let entry = chain.headers().get(&id)?;
            let weight = entry.header.weight_used.0.saturating_add(extra_bytes).min(BLOCK_WEIGHT_MAX);
            let parent = entry.header.parent;
            Some(Wanted { id, parent, weight, work: entry.work })
        })
        .collect()
}

fn offence_of(refusal: &HeadersRefusal) -> Offence {
    match refusal {
        HeadersRefusal::TooMany { .. }
        | HeadersRefusal::NotAChain { .. }
        | HeadersRefusal::KnownInvalid { .. }
        | HeadersRefusal::Invalid { .. } => Offence::InvalidHeader,
        HeadersRefusal::Unconnected { .. }
        | HeadersRefusal::BelowUndoWindow { .. }
        | HeadersRefusal::TooLong { .. }
        | HeadersRefusal::NotAsCounted { .. } => Offence::UselessHeaders,
        HeadersRefusal::TooManyPeers { .. } => Offence::NoAnswer,
    }
}
