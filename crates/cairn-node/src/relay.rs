//! Transactions between peers: announced to whoever does not know them, fetched from one peer at a time.
//!
//! # Provided
//!
//! A transaction is named before it is sent, so it crosses each link once at most. It is asked of the
//! peer that named it first; if that one does not send it, of the next. Nothing is announced before
//! this node has taken it. All that a peer can fill has a bound of its own, so a peer that floods takes
//! nothing from another.
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
/// The most transactions that one peer has announced and that are not here yet.
pub const ANNOUNCED_OF_PEER_MAX: usize = 5_000;
/// The most transactions that one peer is asked for at a time.
pub const ASKED_OF_PEER_MAX: usize = 1_000;
/// The most peers that are remembered as having a transaction that is not here yet.
pub const HOLDERS_MAX: usize = 4;
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
    known: Recent<LeafHash>,
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
}

/// A transaction that was announced and is not here.
#[derive(Debug)]
struct Want {
    /// Who has it and was not asked yet, the first announcer first.
    holders: VecDeque<PeerKey>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is in `to_ask` of a peer.
    Queued(PeerKey),
    /// A peer was asked, and has until then.
    Asked(PeerKey, Timestamp),
    /// It has come and is being judged.
    Judged,
}

/// Relays transactions.
///
/// # Invariant
///
/// `deadlines` names exactly the wants that were asked for; the counts of each peer are those of the
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
    pub(crate) fn join(&mut self, peer: PeerKey, mempool: &Mempool, now: Timestamp) {
        let mut queue: VecDeque<LeafHash> =
            mempool.newest().take(TO_ANNOUNCE_MAX).map(|transaction| transaction.leaf()).collect();
        // The oldest first: what follows by nonce comes after what it follows.
        queue.make_contiguous().reverse();
        let announce_at = (!queue.is_empty()).then_some(now);
        let peer_state = Peer {
            known: Recent::new(KNOWN_OF_PEER_MAX),
            queue,
            announce_at,
            to_ask: VecDeque::new(),
            asked: 0,
            held: 0,
            late: Recent::new(ASKED_OF_PEER_MAX),
        };
        self.peers.insert(peer, peer_state);
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
        let announce = self.peers.values().filter_map(|peer| peer.announce_at).min();
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [announce, deadline].into_iter().flatten().min()
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
            state.known.insert(*leaf);
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
                    state.to_ask.push_back(*leaf);
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

    /// A peer asks for transactions.
    pub(crate) fn take_request(
        &mut self,
        peer: PeerKey,
        leaves: &[LeafHash],
        mempool: &Mempool,
        actions: &mut Vec<Action>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let mut missing = Vec::new();
        let mut batch: Vec<Transaction> = Vec::new();
        let mut bytes = 0;
        for leaf in leaves {
            let Some(transaction) = mempool.get_by_leaf(leaf) else {
                missing.push(*leaf);
                continue;
            };
            state.known.insert(*leaf);
            bytes += transaction.byte_count();
            batch.push(transaction.transaction().clone());
            if bytes >= TRANSACTIONS_BYTES_MAX {
                actions.push(Action::Send(peer, Message::Transactions(std::mem::take(&mut batch))));
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            actions.push(Action::Send(peer, Message::Transactions(batch)));
        }
        if !missing.is_empty() {
            actions.push(Action::Send(peer, Message::NotFound(missing)));
        }
    }

    /// A peer has sent transactions. Those that it was asked for go on to be judged.
    pub(crate) fn take_transactions(
        &mut self,
        peer: PeerKey,
        transactions: Vec<Transaction>,
        identity: &BlockId,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let mut wanted = Vec::new();
        let mut unasked = false;
        for transaction in IdentifiedTransaction::new_all(transactions, identity) {
            let leaf = transaction.leaf();
            state.known.insert(leaf);
            match self.wants.get_mut(&leaf) {
                Some(want) if matches!(want.stage, Stage::Asked(at, _) if at == peer) => {
                    if let Stage::Asked(_, deadline) = want.stage {
                        self.deadlines.remove(&(deadline, leaf));
                    }
                    want.stage = Stage::Judged;
                    state.asked -= 1;
                    state.held -= 1;
                    wanted.push(transaction);
                }
                // It comes late, and somebody else was asked meanwhile.
                _ if state.late.contains(&leaf) => {}
                _ => unasked = true,
            }
        }
        if unasked {
            actions.push(Action::Strike(peer, Offence::Unasked));
        }
        if !wanted.is_empty() {
            actions.push(Action::Judge(peer, wanted));
        }
        self.ask(peer, now, actions);
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
        while let Some((at, leaf)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, leaf));
            if let Some(Want { stage: Stage::Asked(peer, _), .. }) = self.wants.get(&leaf)
                && let Some(state) = self.peers.get_mut(peer)
            {
                state.late.insert(leaf);
                actions.push(Action::Strike(*peer, Offence::NoAnswer));
            }
            self.ask_next(leaf);
        }
        self.ask_all(now, actions);
        for (key, peer) in &mut self.peers {
            if peer.announce_at.is_none_or(|at| at > now) {
                continue;
            }
            peer.announce_at = None;
            let mut leaves = Vec::new();
            while let Some(leaf) = peer.queue.pop_front() {
                // It may have been confirmed, or come from there, meanwhile.
                if mempool.get_by_leaf(&leaf).is_some() && peer.known.insert(leaf) {
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

    /// Gives a want to the next peer that has it, or lets it go.
    fn ask_next(&mut self, leaf: LeafHash) {
        let Some(want) = self.wants.get_mut(&leaf) else { return };
        if let Stage::Asked(peer, deadline) = want.stage {
            self.deadlines.remove(&(deadline, leaf));
            if let Some(state) = self.peers.get_mut(&peer) {
                state.asked -= 1;
                state.held -= 1;
            }
        }
        while let Some(next) = want.holders.pop_front() {
            if let Some(state) = self.peers.get_mut(&next) {
                want.stage = Stage::Queued(next);
                state.to_ask.push_back(leaf);
                return;
            }
        }
        self.wants.remove(&leaf);
    }

    /// Removes a want, wherever it stands.
    fn forget_want(&mut self, leaf: &LeafHash) {
        let Some(want) = self.wants.remove(leaf) else { return };
        for holder in &want.holders {
            if let Some(state) = self.peers.get_mut(holder) {
                state.held -= 1;
            }
        }
        match want.stage {
            Stage::Queued(peer) => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.held -= 1;
                }
            }
            Stage::Asked(peer, deadline) => {
                self.deadlines.remove(&(deadline, *leaf));
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.late.insert(*leaf);
                    state.asked -= 1;
                    state.held -= 1;
                }
            }
            Stage::Judged => {}
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
        let asked = self.wants.iter().filter_map(|(leaf, want)| match want.stage {
            Stage::Asked(_, until) => Some((until, *leaf)),
            Stage::Queued(_) | Stage::Judged => None,
        });
        assert_eq!(self.deadlines, asked.collect());
        self.wants.len()
    }
}

/// A delay between half and one and a half times the mean.
fn spread(seed: u64, peer: PeerKey, draw: u64, mean: u64) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(seed, peer.0);
    hasher.write_u64(draw);
    mean / 2 + hasher.finish() % mean.max(1)
}
