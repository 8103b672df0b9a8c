//! Transactions between peers: announced to whoever does not know them, fetched from one peer at a time.
//!
//! # Provided
//!
//! A transaction is named before it is sent, so it crosses each link once at most. It is asked of the
//! peer that named it first; if that one does not send it, of another that named it, and of those who let
//! time run out before as the last. What comes late is taken all the same. Nothing is announced before
//! this node has taken it. All that a peer can fill has a bound of its own, so a peer that floods takes
//! nothing from another; what is sent to it is spread in time, so that small questions do not fill memory
//! with large answers.
//!
//! # Not provided
//!
//! That a transaction reaches everybody: where queues are full, announcements are left out. It reaches
//! the miners through other peers, or its sender sends it again.

use crate::chain::PeerKey;
use crate::mempool::Mempool;
use crate::peers::Offence;
use crate::recent::Recent;
use crate::wire::{ANNOUNCED_MAX, Message, TRANSACTIONS_BYTES_MAX, TRANSACTIONS_MAX};
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::numbers::Timestamp;
use cairn_core::transaction::{IdentifiedTransaction, Transaction};
use siphasher::sip::SipHasher24;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher as _;

/// How long a peer has to send a transaction before the next one is asked, in milliseconds.
pub const FETCH_TIME_MS: u64 = 2_000;
/// How long judging a transaction may take before it counts as lost, in milliseconds: where there is no
/// time for it the verdict may never come.
pub const JUDGE_TIME_MS: u64 = 60_000;
/// The most transactions that one peer has announced and that are not here yet.
pub const ANNOUNCED_OF_PEER_MAX: usize = 5_000;
/// The most transactions that one peer is asked for at a time, and that it may have asked for and not got.
pub const ASKED_OF_PEER_MAX: usize = 1_000;
/// The time in which a peer is sent [`TRANSACTIONS_BYTES_MAX`] of what it asks for, and the one that passes
/// it, in milliseconds.
pub const SEND_TURN_MS: u64 = 50;
/// The most peers that are remembered as having a transaction that is not here yet: more than there are
/// peers, so that those who only say that they have it take the place of nobody who does. What one peer
/// fills is bounded by [`ANNOUNCED_OF_PEER_MAX`].
pub const HOLDERS_MAX: usize = 256;
/// The most transactions that a peer is remembered to know.
pub const KNOWN_OF_PEER_MAX: usize = 20_000;
/// The most transactions that wait to be announced to one peer; the oldest are left out.
pub const TO_ANNOUNCE_MAX: usize = 20_000;
/// The most transactions that are remembered as refused or confirmed, and not fetched again.
pub const DONE_MAX: usize = 50_000;

/// How transactions are relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// How long announcements are gathered on average, in milliseconds. The longer, the less is sent,
    /// and the less can be told about who sent first.
    pub announce_ms: u64,
    /// What spreads them in time: chance from outside.
    pub seed: u64,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { announce_ms: 100, seed: 0 }
    }
}

/// What relaying asks of the node.
#[derive(Debug)]
pub(crate) enum Action {
    /// Tell a peer.
    Send(PeerKey, Message),
    /// Judge transactions that a peer has sent.
    Judge(PeerKey, Vec<IdentifiedTransaction>),
    /// A peer did what it should not.
    Strike(PeerKey, Offence),
}

/// What is known of a peer as far as transactions go.
#[derive(Debug)]
struct Peer {
    /// What it has announced, sent or been told of.
    known: Known,
    /// What it will be told of.
    queue: VecDeque<LeafHash>,
    announce_at: Option<Timestamp>,
    /// What it has announced and is to be asked for.
    to_ask: VecDeque<LeafHash>,
    /// How many it was asked for.
    asked: usize,
    /// How many wants name it.
    held: usize,
    /// What it was asked for, until time was up: it may still come.
    late: Recent<LeafHash>,
    /// How often in a row it let time run out.
    failures: u32,
    /// Whether this node chose it, or it has given something that was taken: it goes before strangers.
    is_proven: bool,
    /// Until when it is not blamed again for letting time run out.
    spared_until: Option<Timestamp>,
    /// What it has asked for.
    to_send: VecDeque<LeafHash>,
    /// When more of it is sent, if something is left.
    send_at: Option<Timestamp>,
    turn: Turn,
}

/// Which transactions a peer knows, as 64 bits each, since there are many. A key keeps everybody from
/// making two that look the same, so that one of them would not be announced.
#[derive(Debug)]
struct Known {
    recent: Recent<u64>,
    key: (u64, u64),
}

impl Known {
    const fn new(seed: u64, peer: PeerKey) -> Self {
        Self { recent: Recent::new(KNOWN_OF_PEER_MAX), key: (seed, peer.0) }
    }

    /// Adds a transaction; says whether it was not there.
    fn insert(&mut self, leaf: &LeafHash) -> bool {
        self.recent.insert(self.short(leaf))
    }

    fn contains(&self, leaf: &LeafHash) -> bool {
        self.recent.contains(&self.short(leaf))
    }

    fn short(&self, leaf: &LeafHash) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write(&leaf.0);
        hasher.finish()
    }
}

/// What a peer was sent lately.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    ends: Timestamp,
    bytes: usize,
}

/// A transaction that was announced and is not here.
#[derive(Debug)]
struct Want {
    /// Who has it and is not asked now, the first announcer first.
    holders: VecDeque<PeerKey>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is in `to_ask` of a peer.
    Queued(PeerKey),
    /// A peer was asked, and has until then.
    Asked(PeerKey, Timestamp),
    /// It has come and is being judged, until then.
    Judged(Timestamp),
}

/// Relays transactions.
///
/// # Invariant
///
/// `deadlines` names exactly the wants that were asked for or are being judged; the counts of each peer are those of the
/// wants that name it.
#[derive(Debug)]
pub(crate) struct Relay {
    config: RelayConfig,
    peers: BTreeMap<PeerKey, Peer>,
    wants: BTreeMap<LeafHash, Want>,
    deadlines: BTreeSet<(Timestamp, LeafHash)>,
    /// Refused under the present tip.
    refused: Recent<LeafHash>,
    /// Confirmed a short while ago.
    confirmed: Recent<LeafHash>,
    draws: u64,
}

impl Relay {
    pub(crate) const fn new(config: RelayConfig) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            wants: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            refused: Recent::new(DONE_MAX),
            confirmed: Recent::new(DONE_MAX),
            draws: 0,
        }
    }

    /// A peer came; it will be told of what waits here, the newest in any case.
    pub(crate) fn join(&mut self, peer: PeerKey, is_outbound: bool, mempool: &Mempool, now: Timestamp) {
        let mut queue: VecDeque<LeafHash> =
            mempool.newest().take(TO_ANNOUNCE_MAX).map(|transaction| transaction.leaf()).collect();
        // The oldest first: what follows by nonce comes after what it follows.
        queue.make_contiguous().reverse();
        let announce_at = (!queue.is_empty()).then_some(now);
        let peer_state = Peer {
            known: Known::new(self.config.seed, peer),
            queue,
            announce_at,
            to_ask: VecDeque::new(),
            asked: 0,
            held: 0,
            late: Recent::new(ASKED_OF_PEER_MAX),
            failures: 0,
            is_proven: is_outbound,
            spared_until: None,
            to_send: VecDeque::new(),
            send_at: None,
            turn: Turn::default(),
        };
        self.peers.insert(peer, peer_state);
    }

    /// A peer has given something that was taken.
    pub(crate) fn note_proven(&mut self, peer: PeerKey) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.is_proven = true;
        }
    }

    /// A peer went; what it was asked for is asked of others.
    pub(crate) fn leave(&mut self, peer: PeerKey, now: Timestamp, actions: &mut Vec<Action>) {
        self.peers.remove(&peer);
        let mut orphaned = Vec::new();
        for (leaf, want) in &mut self.wants {
            want.holders.retain(|holder| *holder != peer);
            if matches!(want.stage, Stage::Queued(at) | Stage::Asked(at, _) if at == peer) {
                orphaned.push(*leaf);
            }
        }
        for leaf in orphaned {
            self.ask_next(leaf);
        }
        self.ask_all(now, actions);
    }

    /// When [`run`](Self::run) is due.
    pub(crate) fn wakeup(&self) -> Option<Timestamp> {
        let peers = self.peers.values().flat_map(|peer| [peer.announce_at, peer.send_at]);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        peers.chain([deadline]).flatten().min()
    }

    /// A peer has announced transactions.
    pub(crate) fn take_announcement(
        &mut self,
        peer: PeerKey,
        leaves: &[LeafHash],
        mempool: &Mempool,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        for leaf in leaves {
            state.known.insert(leaf);
            let is_done = self.refused.contains(leaf) || self.confirmed.contains(leaf);
            if is_done || mempool.get_by_leaf(leaf).is_some() || state.held >= ANNOUNCED_OF_PEER_MAX {
                continue;
            }
            match self.wants.get_mut(leaf) {
                Some(want) => {
                    let is_holder = want.holders.contains(&peer)
                        || matches!(want.stage, Stage::Queued(at) | Stage::Asked(at, _) if at == peer);
                    if !is_holder && want.holders.len() < HOLDERS_MAX {
                        want.holders.push_back(peer);
                        state.held += 1;
                    }
                }
                None => {
                    self.wants.insert(*leaf, Want { holders: VecDeque::new(), stage: Stage::Queued(peer) });
                    state.held += 1;
                    queue_to_ask(state, peer, *leaf, &self.wants);
                }
            }
        }
        self.ask(peer, now, actions);
    }

    /// A peer does not have what it was asked for.
    pub(crate) fn take_not_found(
        &mut self,
        peer: PeerKey,
        leaves: &[LeafHash],
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        for leaf in leaves {
            if matches!(self.wants.get(leaf), Some(Want { stage: Stage::Asked(at, _), .. }) if *at == peer) {
                self.ask_next(*leaf);
            }
        }
        self.ask_all(now, actions);
    }

    /// A peer asks for transactions. What is more than it may ask for at a time is not here for it.
    pub(crate) fn take_request(
        &mut self,
        peer: PeerKey,
        leaves: &[LeafHash],
        mempool: &Mempool,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let room = ASKED_OF_PEER_MAX - state.to_send.len();
        let (taken, refused) = leaves.split_at(room.min(leaves.len()));
        state.to_send.extend(taken);
        send(peer, state, mempool, now, actions);
        tell_missing(peer, refused, actions);
    }

    /// A peer has sent transactions. Those that it was asked for go on to be judged.
    pub(crate) fn take_transactions(
        &mut self,
        peer: PeerKey,
        transactions: Vec<Transaction>,
        identity: &BlockId,
        mempool: &Mempool,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let mut wanted = Vec::new();
        let mut unasked = false;
        for transaction in IdentifiedTransaction::new_all(transactions, identity) {
            let leaf = transaction.leaf();
            let Some(state) = self.peers.get_mut(&peer) else { return };
            state.known.insert(&leaf);
            let stage = self.wants.get(&leaf).map(|want| want.stage);
            let is_asked = matches!(stage, Some(Stage::Asked(at, _)) if at == peer);
            if !is_asked && !state.late.remove(&leaf) {
                unasked = true;
                continue;
            }
            state.failures = 0;
            let is_done = self.refused.contains(&leaf) || self.confirmed.contains(&leaf);
            if matches!(stage, Some(Stage::Judged(_))) || is_done || mempool.get_by_leaf(&leaf).is_some() {
                continue;
            }
            if let Some(stage) = stage {
                self.release(&leaf, stage, !is_asked);
            }
            let holders = self.wants.remove(&leaf).map(|want| want.holders).unwrap_or_default();
            let until = now.saturating_add_ms(JUDGE_TIME_MS);
            self.wants.insert(leaf, Want { holders, stage: Stage::Judged(until) });
            self.deadlines.insert((until, leaf));
            wanted.push(transaction);
        }
        if unasked {
            actions.push(Action::Strike(peer, Offence::Unasked));
        }
        if !wanted.is_empty() {
            actions.push(Action::Judge(peer, wanted));
        }
        self.ask_all(now, actions);
    }

    /// A transaction is here: it needs not be fetched, and peers are told of it.
    pub(crate) fn announce(&mut self, leaf: LeafHash, now: Timestamp) {
        self.forget_want(&leaf);
        let (seed, mean) = (self.config.seed, self.config.announce_ms);
        for (key, peer) in &mut self.peers {
            if peer.known.contains(&leaf) {
                continue;
            }
            peer.queue.push_back(leaf);
            if peer.queue.len() > TO_ANNOUNCE_MAX {
                peer.queue.pop_front();
            }
            if peer.announce_at.is_none() {
                self.draws += 1;
                let delay = spread(seed, *key, self.draws, mean);
                peer.announce_at = Some(now.saturating_add_ms(delay));
            }
        }
    }

    /// A transaction was refused; it is not fetched again before the tip changes.
    pub(crate) fn refuse(&mut self, leaf: LeafHash) {
        self.forget_want(&leaf);
        self.refused.insert(leaf);
    }

    /// A transaction that was to be judged was not; it may be announced again.
    pub(crate) fn let_go(&mut self, leaf: &LeafHash) {
        self.forget_want(leaf);
    }

    /// The tip changed: what was refused may be right now, what was confirmed needs not be fetched.
    pub(crate) fn follow(&mut self, confirmed: impl Iterator<Item = LeafHash>) {
        self.refused.clear();
        for leaf in confirmed {
            self.forget_want(&leaf);
            self.confirmed.insert(leaf);
        }
    }

    /// Does what is due.
    pub(crate) fn run(&mut self, mempool: &Mempool, now: Timestamp, actions: &mut Vec<Action>) {
        self.expire(now, actions);
        self.ask_all(now, actions);
        for (key, peer) in &mut self.peers {
            if peer.send_at.is_some_and(|at| at <= now) {
                send(*key, peer, mempool, now, actions);
            }
            if peer.announce_at.is_none_or(|at| at > now) {
                continue;
            }
            peer.announce_at = None;
            let mut leaves = Vec::new();
            while let Some(leaf) = peer.queue.pop_front() {
                // It may have been confirmed, or come from there, meanwhile.
                if mempool.get_by_leaf(&leaf).is_some() && peer.known.insert(&leaf) {
                    leaves.push(leaf);
                }
                if leaves.len() == ANNOUNCED_MAX {
                    actions.push(Action::Send(*key, Message::Announce(std::mem::take(&mut leaves))));
                }
            }
            if !leaves.is_empty() {
                actions.push(Action::Send(*key, Message::Announce(leaves)));
            }
        }
    }

    /// Asks others for what was not sent, or not judged, in time. A peer is blamed once in the time that it has, however
    /// much it was asked for.
    fn expire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let late: Vec<LeafHash> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, leaf)| *leaf).collect();
        for leaf in &late {
            if let Some(Want { stage: Stage::Asked(peer, _), .. }) = self.wants.get(leaf)
                && let Some(state) = self.peers.get_mut(peer)
            {
                state.late.insert(*leaf);
                if state.spared_until.is_none_or(|until| until <= now) {
                    state.spared_until = Some(now.saturating_add_ms(FETCH_TIME_MS));
                    state.failures = state.failures.saturating_add(1);
                    actions.push(Action::Strike(*peer, Offence::NoAnswer));
                }
            }
        }
        for leaf in late {
            self.ask_next(leaf);
        }
    }

    /// Gives a want to the next peer that has it, or lets it go.
    fn ask_next(&mut self, leaf: LeafHash) {
        let Some(want) = self.wants.get(&leaf) else { return };
        self.release(&leaf, want.stage, false);
        let Some(want) = self.wants.get_mut(&leaf) else { return };
        // Whoever names everything and sends nothing comes after all others, and a stranger after those who
        // have given something: names cost nothing, and each may hold a transaction up for a while.
        let rank = |peer: &PeerKey| self.peers.get(peer).map(|state| (state.failures, !state.is_proven));
        let next = want.holders.iter().enumerate().filter_map(|(at, peer)| Some((rank(peer)?, at))).min();
        let Some(peer) = next.and_then(|(_, at)| want.holders.remove(at)) else {
            self.wants.remove(&leaf);
            return;
        };
        want.stage = Stage::Queued(peer);
        if let Some(state) = self.peers.get_mut(&peer) {
            queue_to_ask(state, peer, leaf, &self.wants);
        }
    }

    /// Removes a want, wherever it stands.
    fn forget_want(&mut self, leaf: &LeafHash) {
        let Some(want) = self.wants.remove(leaf) else { return };
        for holder in &want.holders {
            if let Some(state) = self.peers.get_mut(holder) {
                state.held -= 1;
            }
        }
        self.release(leaf, want.stage, true);
    }

    /// Takes a want off the peer that was to send it, which may still do so if it `may_come`.
    fn release(&mut self, leaf: &LeafHash, stage: Stage, may_come: bool) {
        if let Stage::Asked(_, deadline) | Stage::Judged(deadline) = stage {
            self.deadlines.remove(&(deadline, *leaf));
        }
        let (Stage::Queued(peer) | Stage::Asked(peer, _)) = stage else { return };
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.held -= 1;
        if matches!(stage, Stage::Asked(..)) {
            state.asked -= 1;
            if may_come {
                state.late.insert(*leaf);
            }
        }
    }

    fn ask_all(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let peers: Vec<PeerKey> =
            self.peers.iter().filter(|(_, peer)| !peer.to_ask.is_empty()).map(|(key, _)| *key).collect();
        for peer in peers {
            self.ask(peer, now, actions);
        }
    }

    /// Asks a peer for what it is to be asked for, as far as it may be.
    fn ask(&mut self, peer: PeerKey, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let deadline = now.saturating_add_ms(FETCH_TIME_MS);
        let mut batch = Vec::new();
        while state.asked < ASKED_OF_PEER_MAX
            && let Some(leaf) = state.to_ask.pop_front()
        {
            let Some(want) = self.wants.get_mut(&leaf).filter(|want| want.stage == Stage::Queued(peer))
            else {
                continue;
            };
            want.stage = Stage::Asked(peer, deadline);
            self.deadlines.insert((deadline, leaf));
            state.asked += 1;
            batch.push(leaf);
            if batch.len() == TRANSACTIONS_MAX {
                actions.push(Action::Send(peer, Message::GetTransactions(std::mem::take(&mut batch))));
            }
        }
        if !batch.is_empty() {
            actions.push(Action::Send(peer, Message::GetTransactions(batch)));
        }
    }
}

/// Notes that a peer is to be asked for a transaction.
fn queue_to_ask(state: &mut Peer, peer: PeerKey, leaf: LeafHash, wants: &BTreeMap<LeafHash, Want>) {
    // What came from elsewhere meanwhile is still named there; those that are wanted are half of it at most.
    if state.to_ask.len() >= 2 * ANNOUNCED_OF_PEER_MAX {
        let is_wanted = |leaf: &LeafHash| wants.get(leaf).is_some_and(|it| it.stage == Stage::Queued(peer));
        state.to_ask.retain(is_wanted);
    }
    state.to_ask.push_back(leaf);
}

/// Sends a peer of what it has asked for as much as is its due now.
fn send(peer: PeerKey, state: &mut Peer, mempool: &Mempool, now: Timestamp, actions: &mut Vec<Action>) {
    if state.turn.ends <= now {
        state.turn = Turn { ends: now.saturating_add_ms(SEND_TURN_MS), bytes: 0 };
    }
    let mut batch: Vec<Transaction> = Vec::new();
    let mut batch_bytes = 0;
    let mut missing = Vec::new();
    while state.turn.bytes < TRANSACTIONS_BYTES_MAX
        && let Some(leaf) = state.to_send.pop_front()
    {
        let Some(transaction) = mempool.get_by_leaf(&leaf) else {
            missing.push(leaf);
            continue;
        };
        state.known.insert(&leaf);
        state.turn.bytes += transaction.byte_count();
        batch_bytes += transaction.byte_count();
        batch.push(transaction.transaction().clone());
        if batch_bytes >= TRANSACTIONS_BYTES_MAX || batch.len() == TRANSACTIONS_MAX {
            actions.push(Action::Send(peer, Message::Transactions(std::mem::take(&mut batch))));
            batch_bytes = 0;
        }
    }
    if !batch.is_empty() {
        actions.push(Action::Send(peer, Message::Transactions(batch)));
    }
    tell_missing(peer, &missing, actions);
    state.send_at = (!state.to_send.is_empty()).then_some(state.turn.ends);
}

fn tell_missing(peer: PeerKey, leaves: &[LeafHash], actions: &mut Vec<Action>) {
    for leaves in leaves.chunks(TRANSACTIONS_MAX) {
        actions.push(Action::Send(peer, Message::NotFound(leaves.to_vec())));
    }
}

#[cfg(test)]
impl Relay {
    /// Compares the counts of each peer with the wants that name it; returns how many wants there are.
    pub(crate) fn check_counts(&self) -> usize {
        for (key, peer) in &self.peers {
            let is_at = |want: &&Want| matches!(want.stage, Stage::Asked(at, _) if at == *key);
            let is_queued = |want: &&Want| want.stage == Stage::Queued(*key);
            let held: usize =
                self.wants.values().map(|want| want.holders.iter().filter(|it| *it == key).count()).sum();
            let asked = self.wants.values().filter(is_at).count();
            assert_eq!(peer.asked, asked);
            assert_eq!(peer.held, held + asked + self.wants.values().filter(is_queued).count());
        }
        let deadlines = self.wants.iter().filter_map(|(leaf, want)| match want.stage {
            Stage::Asked(_, until) | Stage::Judged(until) => Some((until, *leaf)),
            Stage::Queued(_) => None,
        });
        assert_eq!(self.deadlines, deadlines.collect());
        self.check_bounds();
        self.wants.len()
    }

    /// Compares what a peer can fill with its bounds.
    fn check_bounds(&self) {
        assert!(self.refused.len() <= DONE_MAX && self.confirmed.len() <= DONE_MAX);
        assert!(self.wants.values().all(|want| want.holders.len() <= HOLDERS_MAX));
        for peer in self.peers.values() {
            assert!(peer.held <= ANNOUNCED_OF_PEER_MAX && peer.asked <= ASKED_OF_PEER_MAX);
            assert!(peer.to_ask.len() <= 2 * ANNOUNCED_OF_PEER_MAX);
            assert!(peer.queue.len() <= TO_ANNOUNCE_MAX && peer.known.recent.len() <= KNOWN_OF_PEER_MAX);
            assert!(peer.late.len() <= ASKED_OF_PEER_MAX && peer.to_send.len() <= ASKED_OF_PEER_MAX);
        }
    }
}

/// A delay between half and one and a half times the mean.
fn spread(seed: u64, peer: PeerKey, draw: u64, mean: u64) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(seed, peer.0);
    hasher.write_u64(draw);
    mean / 2 + hasher.finish() % mean.max(1)
}

#[cfg(test)]
mod tests;
