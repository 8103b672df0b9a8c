//! Blocks between peers: headers first, bodies from many at once, new blocks in short.
//!
//! ```text
//!   peer claims more work ──► headers, page by page, from one peer at a time
//!                                  │ a branch outweighs the tip
//!                                  ▼
//!                     bodies, in jobs of up to 128 blocks, from all peers that have them
//!                                  │ as soon as the block below is here
//!                                  ▼
//!                             Chain::import ──► told to peers that do not know it
//! ```
//!
//! # Provided
//!
//! No body is asked for before its header has shown that its branch wins. What is on its way and what
//! waits for a block below it has a bound together ([`AHEAD_BYTES_MAX`]), which never keeps the lowest
//! block from being asked for. A peer that is asked and does not send loses its job to another and rests,
//! and so does one that sends so slowly that others wait for it. One that has not what it claimed is
//! not believed for a while. Whoever was there first is asked for headers first, and holds others back for
//! [`HEADERS_ALONE_MS`] at most, so newcomers that claim much hold nothing up.
//!
//! # Not provided
//!
//! Choice of peers: the shell connects. Proof that the best chain is known: a node all of whose peers
//! lie follows the best of their chains.

use crate::chain::{BestHeader, HeadersRequest, PeerKey};
use crate::compact::Partial;
use crate::peers::{AskId, Offence, PeerInfo};
use crate::recent::Recent;
use crate::wire::{BLOCKS_MAX, Message};
use cairn_core::block::{CheckedBlock, SealedHeader};
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::target::Work;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a peer has to answer a request for headers, in milliseconds.
pub const HEADERS_TIME_MS: u64 = 20_000;
/// How long it is not believed what a peer said it has and did not show, in milliseconds.
pub const DISBELIEF_MS: u64 = 60_000;
/// How long a peer that was asked for headers is the only one, in milliseconds.
pub const HEADERS_ALONE_MS: u64 = 2_000;
/// How long a peer has to begin a job, in milliseconds; doubled with each job that it did not begin.
pub const BEGIN_TIME_MS: u64 = 2_000;
/// The longest that a peer may have to begin a job, in milliseconds.
pub const BEGIN_TIME_MAX_MS: u64 = 64_000;
/// How long a peer may take from one block of a job to the next, in milliseconds.
pub const PROGRESS_TIME_MS: u64 = 5_000;
/// How long a job may hold the block that all others wait for, while a peer has nothing to do, in
/// milliseconds.
pub const HOLE_TIME_MS: u64 = 5_000;
/// How fast a line is taken to be at least, in bytes a millisecond, where many peers send at the same time; and how
/// much longer than others a large block may take at most, in milliseconds.
pub const LINE_BYTES_A_MS: u64 = 128;
/// See [`LINE_BYTES_A_MS`].
pub const LINE_TIME_MAX_MS: u64 = 10_000;
/// After so many failures in a row, what a peer did not send counts as what it does not have.
pub const FAILURES_MAX: u32 = 3;
/// How long a peer has to send a block in short, or what is missing of it, in milliseconds.
pub const COMPACT_TIME_MS: u64 = 2_000;
/// The most jobs of one peer at a time.
pub const JOBS_OF_PEER_MAX: usize = 2;
/// The most weight of the blocks of one job, beside the block that fills it.
pub const JOB_WEIGHT_MAX: u64 = 4 * 1024 * 1024;
/// How far above the chain blocks are asked for.
pub const WINDOW_BLOCKS: usize = 1_024;
/// The most bytes of blocks that are asked for, or wait for a block below them, beside the job that fills
/// them and the lowest block of all.
pub const AHEAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most headers of new blocks that are told at once; who lacks more asks.
pub const ANNOUNCED_HEADERS_MAX: usize = 8;
/// The shortest time from telling of new blocks to telling of the next ones, in milliseconds. A peer that lacks
/// what is below asks, which it may ten times a second: a node that makes hundreds of blocks a second must
/// neither look like a flood nor make one of its peers.
pub const ANNOUNCE_TIME_MS: u64 = 100;
/// How long a plan holds while only transactions come, in milliseconds: looking for what is wanted takes a
/// walk over all headers of the window, which no small message is worth.
pub const PLAN_TIME_MS: u64 = 100;
/// How long nothing is asked for after a block found no room on the disk, in milliseconds.
pub const FULL_PAUSE_MS: u64 = 5_000;
/// What a block counts beside its weight: about what its header and its entries take.
const BLOCK_OVERHEAD_BYTES: u64 = 1_024;
/// The most blocks that a peer is remembered to know, or to lack.
const BLOCKS_OF_PEER_MAX: usize = 2_048;

/// Where a node stands beside its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// There is no peer.
    Alone,
    /// Headers are coming.
    Headers,
    /// The headers of a better chain are here, its blocks are coming.
    Blocks,
    /// The node has the best chain it knows of.
    Following,
}

/// Where a node stands beside its peers, and how far it has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncStatus {
    /// What it does.
    pub state: SyncState,
    /// The height of its tip.
    pub height: Height,
    /// The height of the best header it knows, or that the peer claims whose headers are coming.
    pub target: Height,
    /// The height of the best header it knows.
    pub headers: Height,
    /// How many peers it has.
    pub peers: usize,
}

/// What is known of a peer as far as blocks go.
#[derive(Debug)]
struct Peer {
    /// The work that its greeting says it has. It never changes.
    said: Work,
    claimed_height: Height,
    /// The most work of a chain whose end its headers have shown, and that end.
    shown: Work,
    shown_end: Option<BlockId>,
    /// What plans believe that it has: begins as `said`, becomes `shown` when its headers end, fail or do not
    /// come, and rises to `said` again at `believed_from`.
    claimed: Work,
    believed_from: Option<Timestamp>,
    /// Until when it has to answer a request for headers.
    headers_until: Option<Timestamp>,
    /// Until when nobody else is asked for headers meanwhile.
    alone_until: Option<Timestamp>,
    /// When to ask it for headers again: those that it sent came from the future.
    again_at: Option<Timestamp>,
    /// The block of which it told, if its parent was not known.
    news: Option<BlockId>,
    /// Whether this node chose it, or it has given something that was taken: it goes before strangers.
    is_proven: bool,
    /// Blocks it has.
    knows: Recent<BlockId>,
    /// Blocks it was asked for and does not have.
    lacks: Recent<BlockId>,
    jobs: usize,
    /// How many jobs in a row it did not end.
    failures: u32,
    /// When it failed last.
    failed_at: Option<Timestamp>,
    /// Until when it is asked only for what nobody else is there to send.
    rests_until: Timestamp,
}

/// Blocks that a peer was asked for.
#[derive(Debug)]
struct Job {
    peer: PeerKey,
    /// Those that have not come yet, in order.
    left: Vec<BlockId>,
    has_begun: bool,
    since: Timestamp,
    until: Timestamp,
}

/// A new block that is fetched in short.
#[derive(Debug)]
struct Short {
    id: BlockId,
    peer: PeerKey,
    until: Timestamp,
    stage: ShortStage,
}

/// How far the fetch in short is. Each message of the peer is taken once.
#[derive(Debug)]
enum ShortStage {
    /// The peer was asked for the block in short.
    Asked,
    /// It was asked for what is missing.
    Lacking(Partial),
    /// What was missing has come and is being judged.
    Judged(Partial),
}

/// A block that waits for the one below it.
#[derive(Debug)]
struct Ready {
    block: Arc<CheckedBlock>,
    peer: PeerKey,
}

/// What synchronising asks of the node.
#[derive(Debug)]
pub(crate) enum Action {
    /// Tell a peer.
    Send(PeerKey, Message),
    /// Ask a peer for headers above the best ones that are known.
    AskHeaders(PeerKey),
    /// Ask a peer for blocks.
    Ask(PeerKey, AskId, Vec<BlockId>),
    /// Ask no more.
    Cancel(PeerKey, AskId),
    /// Nobody has the block of a header: forget it, and what stands on it.
    Drop(BlockId),
    /// A peer did what it should not.
    Strike(PeerKey, Offence),
}

/// A block that is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: BlockId,
    pub(crate) parent: BlockId,
    /// What it weighs by its header: at least its bytes.
    pub(crate) weight: u64,
    /// The work of the chain that ends in it.
    pub(crate) work: Work,
}

/// What sync needs to know of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tip: BlockId,
    pub(crate) height: Height,
    pub(crate) best: BestHeader,
    /// Whether there is room for more headers.
    pub(crate) has_room: bool,
}

/// Brings the chain up to the best that peers have.
///
/// # Invariant
///
/// `on_the_way` names exactly the blocks that jobs have left; the count of jobs of each peer is that of
/// the jobs that name it; `by_parent` names exactly the blocks of `ready`.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    peers: BTreeMap<PeerKey, Peer>,
    jobs: BTreeMap<AskId, Job>,
    on_the_way: BTreeMap<BlockId, u64>,
    ready: BTreeMap<BlockId, Ready>,
    by_parent: BTreeMap<BlockId, Vec<BlockId>>,
    ahead_bytes: u64,
    short: Option<Short>,
    /// Blocks that are not asked for in short again.
    no_short: Option<BlockId>,
    next_ask: u64,
    paused_until: Option<Timestamp>,
    /// Headers of new blocks that are still to be told, each the parent of the next.
    news: Vec<SealedHeader>,
    /// When new blocks were told last.
    told_at: Option<Timestamp>,
    /// When it was planned last, and where the chain stood.
    planned: Option<(Timestamp, Place)>,
    /// Whether something came since that is to be looked at with the next one.
    is_postponed: bool,
}

impl Sync {
    /// A peer came.
    pub(crate) fn join(&mut self, peer: PeerKey, info: &PeerInfo) {
        let state = Peer {
            claimed: info.work,
            claimed_height: info.height,
            said: info.work,
            believed_from: None,
            shown: Work::ZERO,
            shown_end: None,
            headers_until: None,
            alone_until: None,
            again_at: None,
            news: None,
            is_proven: info.is_outbound,
            knows: Recent::new(BLOCKS_OF_PEER_MAX),
            lacks: Recent::new(BLOCKS_OF_PEER_MAX),
            jobs: 0,
            failures: 0,
            failed_at: None,
            rests_until: Timestamp(0),
        };
        self.peers.insert(peer, state);
    }

    /// A peer went; what it was asked for is asked of others.
    pub(crate) fn leave(&mut self, peer: PeerKey) {
        self.peers.remove(&peer);
        let jobs: Vec<AskId> =
            self.jobs.iter().filter(|(_, job)| job.peer == peer).map(|(ask, _)| *ask).collect();
        for ask in jobs {
            self.end_job(ask);
        }
        if self.short.as_ref().is_some_and(|short| short.peer == peer) {
            self.short = None;
        }
    }

    /// Whether a peer is there.
    pub(crate) fn has(&self, peer: PeerKey) -> bool {
        self.peers.contains_key(&peer)
    }

    /// Where the node stands.
    pub(crate) fn status(&self, place: &Place) -> SyncStatus {
        let asked = self.peers.values().filter(|peer| peer.headers_until.is_some());
        let claimed =
            asked.filter(|peer| peer.claimed > place.best.work).map(|peer| peer.claimed_height).max();
        let state = match claimed {
            _ if self.peers.is_empty() => SyncState::Alone,
            Some(_) => SyncState::Headers,
            None if place.best.id != place.tip => SyncState::Blocks,
            None => SyncState::Following,
        };
        let target = claimed.unwrap_or_default().max(place.best.height).max(place.height);
        SyncStatus {
            state,
            height: place.height,
            target,
            headers: place.best.height,
            peers: self.peers.len(),
        }
    }

    /// When [`plan`](Self::plan) or [`tell_news`](Self::tell_news) is due.
    pub(crate) fn wakeup(&self) -> Option<Timestamp> {
        let peers = self.peers.values();
        let peers =
            peers.flat_map(|peer| [peer.headers_until, peer.alone_until, peer.believed_from, peer.again_at]);
        let jobs = self.jobs.values().map(|job| job.until);
        let short = self.short.as_ref().map(|short| short.until);
        let postponed =
            self.planned.filter(|_| self.is_postponed).map(|(at, _)| at.saturating_add_ms(PLAN_TIME_MS));
        let news = self.told_at.filter(|_| !self.news.is_empty());
        let news = news.map(|at| at.saturating_add_ms(ANNOUNCE_TIME_MS));
        let peers = peers.flatten().chain(jobs).chain(short).chain(self.paused_until);
        peers.chain(postponed).chain(news).min()
    }

    /// A peer was asked for headers.
    pub(crate) fn note_headers_asked(&mut self, peer: PeerKey, now: Timestamp) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.ask_headers(now);
        }
    }

    /// Whether a peer has a request for headers to answer.
    pub(crate) fn is_asked_for_headers(&self, peer: PeerKey) -> bool {
        self.peers.get(&peer).is_some_and(|state| state.headers_until.is_some())
    }

    /// A peer has sent headers that break no rule; `shown` is the work of the last one, where the chain
    /// knows it, `next` what to ask for.
    pub(crate) fn note_headers(
        &mut self,
        peer: PeerKey,
        ids: &[BlockId],
        shown: Option<(Work, Height)>,
        next: Option<HeadersRequest>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        for id in ids {
            state.knows.insert(*id);
            state.lacks.remove(id);
        }
        if let Some((work, _)) = shown.filter(|(work, _)| *work > state.shown) {
            (state.shown, state.shown_end) = (work, ids.last().copied());
        }
        state.end_headers();
        match next {
            Some(HeadersRequest { after, stop }) => {
                state.ask_headers(now);
                // It goes on with what nobody else has shown.
                state.alone_until = Some(now.saturating_add_ms(HEADERS_ALONE_MS));
                let stop = stop.unwrap_or(BlockId::ZERO);
                actions.push(Action::Send(peer, Message::GetHeaders { locator: vec![after], stop }));
            }
            // It has shown all it has, or as much as is wanted.
            None => state.claimed = state.shown,
        }
    }

    /// When to ask a peer for headers again, if it sent some from the future: told once, they are not told
    /// again.
    pub(crate) fn note_headers_again(&mut self, peer: PeerKey, again_at: Option<Timestamp>) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.again_at = again_at;
        }
    }

    /// A peer told of a block whose parent is not known: its answer leads there.
    pub(crate) fn note_news(&mut self, peer: PeerKey, news: BlockId) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.news = Some(news);
        }
    }

    /// Whether an answer of a peer lacks the block of which it told before it was asked.
    pub(crate) fn is_beside_news(&mut self, peer: PeerKey, ids: &[BlockId]) -> bool {
        let news = self.peers.get_mut(&peer).and_then(|state| state.news.take());
        news.is_some_and(|news| !ids.contains(&news))
    }

    /// A peer has given something that was taken.
    pub(crate) fn note_proven(&mut self, peer: PeerKey) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.is_proven = true;
        }
    }

    /// There was no room for more headers of a peer: it still has what it claimed.
    pub(crate) fn note_no_room(&mut self, peer: PeerKey, claimed: Work) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.end_headers();
            state.claimed = state.claimed.max(claimed);
        }
    }

    /// What a peer claimed before it was asked.
    pub(crate) fn claimed(&self, peer: PeerKey) -> Work {
        self.peers.get(&peer).map_or(Work::ZERO, |state| state.claimed)
    }

    /// A peer's headers broke a rule: it is believed no more.
    pub(crate) fn note_headers_refused(&mut self, peer: PeerKey) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.end_headers();
            state.claimed = state.shown;
        }
    }

    /// Headers were dropped, the first of them `dropped`: who has shown what is not known any more is not
    /// believed for a while, or the headers would come and go without end. Returns those who lack it.
    pub(crate) fn note_dropped(
        &mut self,
        dropped: &BlockId,
        is_known: impl Fn(&BlockId) -> bool,
        now: Timestamp,
    ) -> Vec<PeerKey> {
        let mut liars = Vec::new();
        for (peer, state) in &mut self.peers {
            if state.shown_end.is_some_and(|end| !is_known(&end)) {
                (state.shown, state.shown_end) = (Work::ZERO, None);
                state.disbelieve(now);
                if state.lacks.contains(dropped) {
                    liars.push(*peer);
                }
            }
        }
        self.retain_ready(is_known);
        liars
    }

    /// Notes new blocks that joined the chain, lowest first; they are told at once, unless others were a moment
    /// ago.
    pub(crate) fn announce(&mut self, headers: Vec<SealedHeader>, now: Timestamp, actions: &mut Vec<Action>) {
        let last = self.news.last().map(SealedHeader::id);
        if headers.first().is_some_and(|first| Some(first.header.parent) != last) {
            // What was to be told has left the chain.
            self.news.clear();
        }
        self.news.extend(headers);
        let most = if self.peers.is_empty() { 0 } else { ANNOUNCED_HEADERS_MAX };
        let surplus = self.news.len().saturating_sub(most);
        self.news.drain(..surplus);
        self.tell_news(now, actions);
    }

    /// Tells peers of the new blocks that they do not know, if that is due.
    pub(crate) fn tell_news(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let is_due = self.told_at.is_none_or(|at| now < at || now >= at.saturating_add_ms(ANNOUNCE_TIME_MS));
        if !is_due {
            return;
        }
        let news = std::mem::take(&mut self.news);
        let ids: Vec<(BlockId, &SealedHeader)> = news.iter().map(|header| (header.id(), header)).collect();
        let Some((tip, _)) = ids.last().copied() else { return };
        self.told_at = Some(now);
        for (peer, state) in &mut self.peers {
            if state.knows.contains(&tip) {
                continue;
            }
            let unknown: Vec<SealedHeader> = ids
                .iter()
                .skip_while(|(id, _)| state.knows.contains(id))
                .map(|(_, header)| (*header).clone())
                .collect();
            for (id, _) in &ids {
                state.knows.insert(*id);
            }
            actions.push(Action::Send(*peer, Message::Headers(unknown)));
        }
    }

    /// Takes a block that was asked for, which waits for [`take_ready`](Self::take_ready); another one breaks the
    /// job.
    pub(crate) fn take_body(
        &mut self,
        ask: AskId,
        block: CheckedBlock,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(job) = self.jobs.get_mut(&ask) else { return };
        let (id, peer) = (block.id(), job.peer);
        let Some(at) = job.left.iter().position(|wanted| *wanted == id) else {
            self.break_job(ask, Offence::Unasked, now, actions);
            return;
        };
        job.left.remove(at);
        job.has_begun = true;
        let next = job.left.first().and_then(|next| self.on_the_way.get(next)).copied();
        job.until = now.saturating_add_ms(PROGRESS_TIME_MS + line_time_ms(next.unwrap_or_default()));
        let is_whole = job.left.is_empty();
        let bytes = self.on_the_way.remove(&id).unwrap_or_default();
        self.ahead_bytes -= bytes;
        if let Some(state) = self.peers.get_mut(&peer) {
            state.knows.insert(id);
            if is_whole {
                (state.failures, state.rests_until) = (0, Timestamp(0));
            }
        }
        self.keep_ready(peer, Arc::new(block));
    }

    /// Keeps a block until the one below it is here.
    pub(crate) fn keep_ready(&mut self, peer: PeerKey, block: Arc<CheckedBlock>) {
        let (id, parent) = (block.id(), block.header().parent);
        if self.ready.contains_key(&id) {
            return;
        }
        self.ahead_bytes += ready_bytes(&block);
        self.by_parent.entry(parent).or_default().push(id);
        self.ready.insert(id, Ready { block, peer });
    }

    /// A block that stands on `parent`, with the peer that sent it.
    pub(crate) fn take_ready(&mut self, parent: &BlockId) -> Option<(PeerKey, Arc<CheckedBlock>)> {
        let children = self.by_parent.get_mut(parent)?;
        let id = children.pop();
        if children.is_empty() {
            self.by_parent.remove(parent);
        }
        let Ready { block, peer } = self.ready.remove(&id?)?;
        self.ahead_bytes -= ready_bytes(&block);
        Some((peer, block))
    }

    /// Forgets waiting blocks whose headers were dropped: nothing will come below them.
    pub(crate) fn retain_ready(&mut self, is_wanted: impl Fn(&BlockId) -> bool) {
        let dropped: Vec<BlockId> = self.ready.keys().filter(|id| !is_wanted(id)).copied().collect();
        for id in dropped {
            let Some(Ready { block, .. }) = self.ready.remove(&id) else { continue };
            self.ahead_bytes -= ready_bytes(&block);
            let parent = block.header().parent;
            if let Some(children) = self.by_parent.get_mut(&parent) {
                children.retain(|child| *child != id);
                if children.is_empty() {
                    self.by_parent.remove(&parent);
                }
            }
        }
    }

    /// Whether blocks wait for one below them that may not be wanted any more: where nothing else is
    /// wanted, or where there is no room for others.
    pub(crate) fn may_hold_unwanted(&self, place: &Place) -> bool {
        !self.ready.is_empty() && (place.best.id == place.tip || self.is_full())
    }

    fn is_full(&self) -> bool {
        self.ahead_bytes >= AHEAD_BYTES_MAX
    }

    /// What a peer sent as a block is none, or breaks a rule.
    pub(crate) fn refuse_body(&mut self, ask: AskId, now: Timestamp, actions: &mut Vec<Action>) {
        self.break_job(ask, Offence::InvalidBlock, now, actions);
    }

    /// Ends a job of a peer that sends something else: it is not asked for these blocks again.
    fn break_job(&mut self, ask: AskId, offence: Offence, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get(&ask) else { return };
        let peer = job.peer;
        if let Some(state) = self.peers.get_mut(&peer) {
            state.fail(now);
            state.note_lacking(&job.left);
        }
        actions.push(Action::Strike(peer, offence));
        actions.push(Action::Cancel(peer, ask));
        self.end_job(ask);
    }

    /// A peer has sent all it has of a job; what did not come it lacks.
    pub(crate) fn take_end(&mut self, ask: AskId, complete: bool, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get(&ask) else { return };
        let peer = job.peer;
        if let Some(state) = self.peers.get_mut(&peer).filter(|_| !job.left.is_empty()) {
            if complete {
                state.note_lacking(&job.left);
            } else {
                state.give_up(&job.left, now);
                actions.push(Action::Strike(peer, Offence::NoAnswer));
            }
        }
        self.end_job(ask);
    }

    /// A block found no room on the disk: nothing is asked for during a pause.
    pub(crate) fn pause(&mut self, now: Timestamp) {
        self.paused_until = Some(now.saturating_add_ms(FULL_PAUSE_MS));
    }

    /// Whether a peer was asked for a block in short and has not sent it.
    pub(crate) fn awaits_compact(&self, peer: PeerKey, id: &BlockId) -> bool {
        self.short_of(peer, id).is_some_and(|short| matches!(short.stage, ShortStage::Asked))
    }

    /// How many transactions of a block in short a peer was asked for and has not sent.
    pub(crate) fn awaits_transactions(&self, peer: PeerKey, id: &BlockId) -> Option<usize> {
        match &self.short_of(peer, id)?.stage {
            ShortStage::Lacking(partial) => Some(partial.missing().len()),
            ShortStage::Asked | ShortStage::Judged(_) => None,
        }
    }

    fn short_of(&self, peer: PeerKey, id: &BlockId) -> Option<&Short> {
        self.short.as_ref().filter(|short| short.peer == peer && short.id == *id)
    }

    /// Keeps what is known of a block in short, until the rest comes.
    pub(crate) fn keep_partial(&mut self, partial: Partial, now: Timestamp) {
        if let Some(short) = &mut self.short {
            short.until = now.saturating_add_ms(COMPACT_TIME_MS);
            short.stage = ShortStage::Lacking(partial);
        }
    }

    /// What was missing of the block in short has come.
    pub(crate) fn note_judging(&mut self, now: Timestamp) {
        self.short = self.short.take().map(|short| match short.stage {
            ShortStage::Lacking(partial) => {
                let until = now.saturating_add_ms(COMPACT_TIME_MS);
                Short { until, stage: ShortStage::Judged(partial), ..short }
            }
            ShortStage::Asked | ShortStage::Judged(_) => short,
        });
    }

    /// What is known of a block in short of which the rest was judged. The fetch ends.
    pub(crate) fn take_judged(&mut self, peer: PeerKey, id: &BlockId) -> Option<Partial> {
        self.short_of(peer, id).filter(|short| matches!(short.stage, ShortStage::Judged(_)))?;
        match self.short.take()?.stage {
            ShortStage::Judged(partial) => Some(partial),
            ShortStage::Asked | ShortStage::Lacking(_) => None,
        }
    }

    /// Ends the fetch in short. The block is not asked for that way again: it comes whole.
    pub(crate) fn end_short(&mut self, id: BlockId) {
        self.short = None;
        self.no_short = Some(id);
    }

    /// Ends the fetch in short because of the peer, which rests.
    pub(crate) fn fail_short(&mut self, peer: PeerKey, id: BlockId, now: Timestamp) {
        self.end_short(id);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.fail(now);
        }
    }

    /// Whether there is nothing to plan if nothing has come that concerns blocks.
    pub(crate) fn is_planned(&self, place: &Place, now: Timestamp) -> bool {
        self.planned.is_some_and(|(at, of)| of == *place && now < at.saturating_add_ms(PLAN_TIME_MS))
    }

    /// Something came that is looked at when the plan is no longer fresh.
    pub(crate) const fn postpone_plan(&mut self) {
        self.is_postponed = true;
    }

    /// Does what is due, and asks for what is wanted; `wanted` names blocks without bodies, best first.
    pub(crate) fn plan(
        &mut self,
        place: &Place,
        wanted: impl FnOnce(usize) -> Vec<Wanted>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        self.planned = Some((now, *place));
        self.is_postponed = false;
        self.expire(now, actions);
        self.plan_headers(place, now, actions);
        if self.paused_until.is_some_and(|until| until > now) {
            return;
        }
        self.paused_until = None;
        self.plan_bodies(place, wanted, now, actions);
    }

    fn expire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        for (peer, state) in &mut self.peers {
            state.alone_until = state.alone_until.filter(|until| *until > now);
            if state.believed_from.take_if(|from| *from <= now).is_some() {
                state.claimed = state.claimed.max(state.said);
            }
            if state.headers_until.is_some_and(|until| until <= now) {
                state.end_headers();
                state.disbelieve(now);
                actions.push(Action::Strike(*peer, Offence::NoAnswer));
            }
            if state.again_at.take_if(|at| *at <= now).is_some() && state.headers_until.is_none() {
                state.ask_headers(now);
                actions.push(Action::AskHeaders(*peer));
            }
        }
        let late: Vec<AskId> =
            self.jobs.iter().filter(|(_, job)| job.until <= now).map(|(ask, _)| *ask).collect();
        for ask in late {
            let Some(job) = self.jobs.get(&ask) else { continue };
            let peer = job.peer;
            if let Some(state) = self.peers.get_mut(&peer)
                // What was asked for beside what failed already fails with it: one silence is one failure.
                && state.failed_at.is_none_or(|at| job.since >= at)
            {
                state.give_up(&job.left, now);
                let offence = if job.has_begun { Offence::Stalled } else { Offence::NoAnswer };
                actions.push(Action::Strike(peer, offence));
            }
            actions.push(Action::Cancel(peer, ask));
            self.end_job(ask);
        }
        if let Some(short) = self.short.take_if(|short| short.until <= now) {
            if matches!(short.stage, ShortStage::Judged(_)) {
                self.end_short(short.id);
            } else {
                self.fail_short(short.peer, short.id, now);
                actions.push(Action::Strike(short.peer, Offence::NoAnswer));
            }
        }
    }

    /// Asks a peer that claims more than is known for its headers, unless another was asked a moment ago: the
    /// one that was there first, since the keys of peers rise with time; strangers last, for a claim costs nothing.
    fn plan_headers(&mut self, place: &Place, now: Timestamp, actions: &mut Vec<Action>) {
        if !place.has_room || self.peers.values().any(|peer| peer.alone_until.is_some()) {
            return;
        }
        let peers = self.peers.iter_mut();
        let better = peers.filter(|(_, peer)| peer.headers_until.is_none() && peer.claimed > place.best.work);
        if let Some((peer, state)) = better.min_by_key(|(peer, state)| (!state.is_proven, **peer)) {
            state.ask_headers(now);
            state.alone_until = Some(now.saturating_add_ms(HEADERS_ALONE_MS));
            actions.push(Action::AskHeaders(*peer));
        }
    }

    fn plan_bodies(
        &mut self,
        place: &Place,
        wanted: impl FnOnce(usize) -> Vec<Wanted>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let has_free = self.peers.values().any(|peer| peer.jobs < JOBS_OF_PEER_MAX);
        if place.best.id == place.tip || !has_free {
            return;
        }
        // The lowest block may always be asked for: those that are here already wait for it.
        let is_full = self.is_full();
        let wanted = wanted(if is_full { 1 } else { WINDOW_BLOCKS });
        if self.plan_short(place, &wanted, now, actions) {
            return;
        }
        let lowest = wanted.first().copied();
        let short = self.short.as_ref().map(|short| short.id);
        let is_open = |sync: &Self, id: &BlockId| {
            !sync.on_the_way.contains_key(id) && !sync.ready.contains_key(id) && short != Some(*id)
        };
        let mut open: Vec<Wanted> = wanted.into_iter().filter(|it| is_open(self, &it.id)).collect();
        self.give_jobs(&mut open, is_full, false, now, actions);
        if self.jobs.is_empty() {
            self.give_jobs(&mut open, is_full, true, now, actions);
        }
        if open.is_empty() {
            self.take_over(lowest, now, actions);
        } else if let Some(first) = open.first().filter(|_| self.jobs.is_empty()) {
            actions.push(Action::Drop(first.id));
        }
    }

    /// Gives open blocks to the peers that do not rest, or to all. Round by round, so that each gets its
    /// first job before one gets its second.
    fn give_jobs(
        &mut self,
        open: &mut Vec<Wanted>,
        is_full: bool,
        to_all: bool,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        for round in 0..JOBS_OF_PEER_MAX {
            let mut peers: Vec<(u32, bool, PeerKey)> = self
                .peers
                .iter()
                .filter(|(_, state)| state.jobs <= round && (to_all || state.rests_until <= now))
                .map(|(peer, state)| (state.failures, !state.is_proven, *peer))
                .collect();
            peers.sort_unstable();
            for (.., peer) in peers {
                if open.is_empty() || (self.is_full() && !is_full) {
                    return;
                }
                self.give_job(peer, open, now, actions);
            }
        }
    }

    /// Where everything is asked for and somebody has nothing to do, a job that holds up all others for too
    /// long goes to that peer: else one that sends a block now and then would set the pace.
    fn take_over(&mut self, lowest: Option<Wanted>, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(lowest) = lowest.filter(|lowest| self.on_the_way.contains_key(&lowest.id)) else { return };
        let peers = self.peers.iter();
        let idle = peers.filter(|(_, state)| state.jobs == 0 && state.failures == 0 && state.has(&lowest));
        let idle = idle.min_by_key(|(peer, state)| (!state.is_proven, **peer));
        let Some(idle) = idle.map(|(peer, _)| *peer) else { return };
        let held = self.jobs.iter().find(|(_, job)| job.left.contains(&lowest.id));
        let Some((ask, job)) = held.filter(|(_, job)| job.since.saturating_add_ms(HOLE_TIME_MS) <= now)
        else {
            return;
        };
        let (ask, peer) = (*ask, job.peer);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.fail(now);
        }
        actions.push(Action::Cancel(peer, ask));
        self.end_job(ask);
        self.give_job(idle, &mut vec![lowest], now, actions);
    }

    /// Gives a peer the first of the open blocks that it may have.
    fn give_job(&mut self, peer: PeerKey, open: &mut Vec<Wanted>, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let mut weight = 0;
        let mut job = Vec::new();
        let mut rest = Vec::with_capacity(open.len());
        for block in open.drain(..) {
            let is_full = job.len() >= BLOCKS_MAX || weight >= JOB_WEIGHT_MAX;
            if is_full || !state.has(&block) {
                rest.push(block);
                continue;
            }
            weight += block.weight;
            let bytes = block.weight.saturating_add(BLOCK_OVERHEAD_BYTES);
            self.on_the_way.insert(block.id, bytes);
            self.ahead_bytes += bytes;
            job.push(block.id);
        }
        *open = rest;
        if job.is_empty() {
            return;
        }
        state.jobs += 1;
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        let first = job.first().and_then(|first| self.on_the_way.get(first)).copied();
        let line_ms = line_time_ms(first.unwrap_or_default());
        let until = now.saturating_add_ms(state.begin_time_ms().saturating_add(line_ms));
        self.jobs.insert(ask, Job { peer, left: job.clone(), has_begun: false, since: now, until });
        actions.push(Action::Ask(peer, ask, job));
    }

    /// Asks for the one block that is missing in short: most of its transactions wait here already.
    fn plan_short(
        &mut self,
        place: &Place,
        wanted: &[Wanted],
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) -> bool {
        let [block] = wanted else { return false };
        let is_new = block.parent == place.tip && self.no_short != Some(block.id);
        if !is_new || self.on_the_way.contains_key(&block.id) || self.ready.contains_key(&block.id) {
            return false;
        }
        if self.short.is_some() {
            return self.short.as_ref().is_some_and(|short| short.id == block.id);
        }
        let holders =
            self.peers.iter().filter(|(_, peer)| peer.knows.contains(&block.id) && peer.failures == 0);
        let holder = holders.min_by_key(|(peer, state)| (!state.is_proven, **peer));
        let Some((peer, _)) = holder else { return false };
        let until = now.saturating_add_ms(COMPACT_TIME_MS);
        self.short = Some(Short { id: block.id, peer: *peer, until, stage: ShortStage::Asked });
        actions.push(Action::Send(*peer, Message::GetCompact(block.id)));
        true
    }

    /// Removes a job; what it has left is open again.
    fn end_job(&mut self, ask: AskId) {
        let Some(job) = self.jobs.remove(&ask) else { return };
        for id in &job.left {
            self.ahead_bytes -= self.on_the_way.remove(id).unwrap_or_default();
        }
        if let Some(state) = self.peers.get_mut(&job.peer) {
            state.jobs -= 1;
        }
    }
}

impl Peer {
    fn ask_headers(&mut self, now: Timestamp) {
        self.headers_until = Some(now.saturating_add_ms(HEADERS_TIME_MS));
    }

    const fn end_headers(&mut self) {
        (self.headers_until, self.alone_until) = (None, None);
    }

    /// It has not shown what it claims.
    fn disbelieve(&mut self, now: Timestamp) {
        self.claimed = self.shown;
        self.believed_from = Some(now.saturating_add_ms(DISBELIEF_MS));
    }

    /// Whether it may be asked for a block. What it claims is believed until it is asked: who lies only
    /// loses the job.
    fn has(&self, block: &Wanted) -> bool {
        block.work <= self.shown.max(self.claimed) && !self.lacks.contains(&block.id)
    }

    fn begin_time_ms(&self) -> u64 {
        BEGIN_TIME_MS.saturating_mul(1 << self.failures.min(5)).min(BEGIN_TIME_MAX_MS)
    }

    /// It did not do what it was asked for: it rests, the longer the more often in a row.
    fn fail(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
        self.rests_until = now.saturating_add_ms(self.begin_time_ms());
    }

    /// It did not send blocks in time.
    fn give_up(&mut self, left: &[BlockId], now: Timestamp) {
        self.fail(now);
        if self.failures >= FAILURES_MAX {
            self.note_lacking(left);
        }
    }

    fn note_lacking(&mut self, blocks: &[BlockId]) {
        for id in blocks {
            self.lacks.insert(*id);
        }
    }
}

/// How much longer a block of so many bytes may take, so that a slow line is no silence.
fn line_time_ms(bytes: u64) -> u64 {
    (bytes / LINE_BYTES_A_MS).min(LINE_TIME_MAX_MS)
}

/// What a block that waits counts.
fn ready_bytes(block: &CheckedBlock) -> u64 {
    u64::try_from(block.bytes().len()).unwrap_or(u64::MAX).saturating_add(BLOCK_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests;
