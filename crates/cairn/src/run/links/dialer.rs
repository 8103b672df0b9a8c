//! Whom to dial and when: the nodes that the operator named, and as many others as there is room for.

use super::Links;
use cairn_p2p::{
    AddressGroup, AddressRecord, DialFailure, Direction, Host, NodeId, PeerAddress, PeerInfo, PeerNumber,
    Roles,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The most nodes that an operator can name.
pub const PEERS_MAX: usize = 64;
/// How many links a node seeks beside those to the nodes that were named.
const SOUGHT: usize = 8;
/// The most addresses that are remembered.
const KNOWN_MAX: usize = 2_000;
/// The most of them from one neighbourhood.
const KNOWN_OF_GROUP_MAX: usize = 64;
/// How often it is looked whom to dial.
const LOOK_TIME: Duration = Duration::from_millis(500);
/// How long after a first failure a node is dialled again; twice as long after each further one.
const RETRY_TIME: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
/// After so many failures in a row an address that was only heard of is forgotten.
const FAILURES_MAX: u32 = 5;
/// How many addresses are told to who asks.
const TOLD_MAX: usize = 250;

#[derive(Debug)]
pub(super) struct Dialer {
    table: Mutex<Table>,
    /// Told when there may be somebody to dial at once.
    news: Notify,
}

#[derive(Debug, Default)]
struct Table {
    kept: BTreeMap<PeerAddress, Attempts>,
    known: BTreeMap<SocketAddr, Known>,
}

/// How dialling an address has gone.
#[derive(Clone, Debug, Default)]
struct Attempts {
    failures: u32,
    next: Option<Instant>,
    /// Whether it is being dialled.
    under_way: bool,
    /// Who was there last.
    node: Option<NodeId>,
    /// Why the last attempt came to nothing.
    why: Option<String>,
}

/// A node to which a link is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub address: PeerAddress,
    /// Whether there is a link to it now.
    pub is_connected: bool,
    /// How often in a row dialling it has come to nothing.
    pub failures: u32,
    /// Why, the last time.
    pub why: Option<String>,
}

/// An address that was heard of.
#[derive(Clone, Debug)]
struct Known {
    record: AddressRecord,
    attempts: Attempts,
}

impl Attempts {
    /// Whether there is a link to the node at an address that is kept.
    fn is_linked(&self, address: &PeerAddress, peers: &[PeerInfo]) -> bool {
        let node = self.node.or(address.id);
        peers.iter().any(|peer| peer.dialled.as_ref() == Some(address) || node == Some(peer.node))
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.under_way && self.next.is_none_or(|next| next <= now)
    }

    fn fail(&mut self, now: Instant) {
        self.under_way = false;
        let pause = RETRY_TIME.saturating_mul(1 << self.failures.min(6)).min(RETRY_TIME_MAX);
        self.failures += 1;
        self.next = Some(now + pause);
    }
}

impl Dialer {
    pub(super) fn new(peers: impl Iterator<Item = PeerAddress>) -> Self {
        let kept = peers.take(PEERS_MAX).map(|peer| (peer, Attempts::default())).collect();
        Self { table: Mutex::new(Table { kept, known: BTreeMap::new() }), news: Notify::new() }
    }

    pub(super) fn add(&self, address: PeerAddress) -> bool {
        let mut table = self.lock();
        if table.kept.len() >= PEERS_MAX || table.kept.contains_key(&address) {
            return false;
        }
        table.kept.insert(address, Attempts::default());
        self.news.notify_one();
        true
    }

    pub(super) fn remove(&self, address: &PeerAddress) -> bool {
        self.lock().kept.remove(address).is_some()
    }

    pub(super) fn kept(&self, peers: &[PeerInfo]) -> Vec<Kept> {
        let table = self.lock();
        let kept = table.kept.iter().map(|(address, attempts)| Kept {
            address: address.clone(),
            is_connected: attempts.is_linked(address, peers),
            failures: attempts.failures,
            why: attempts.why.clone(),
        });
        kept.collect()
    }

    /// A dial has led to a link.
    pub(super) fn note_joined(&self, address: &PeerAddress, node: NodeId) {
        let attempts = Attempts { node: Some(node), ..Attempts::default() };
        let mut table = self.lock();
        if let Some(kept) = table.kept.get_mut(address) {
            *kept = attempts.clone();
        }
        if let Some(known) = socket_of(address).and_then(|socket| table.known.get_mut(&socket)) {
            known.attempts = attempts;
        }
    }

    /// A dial has come to nothing.
    pub(super) fn note_failed(&self, address: &PeerAddress, why: &DialFailure) {
        let now = Instant::now();
        let mut table = self.lock();
        if let Some(kept) = table.kept.get_mut(address) {
            kept.fail(now);
            kept.why = Some(why.to_string());
        }
        let Some(socket) = socket_of(address) else { return };
        let is_useless = matches!(why, DialFailure::Myself | DialFailure::OtherNetwork);
        if let Some(known) = table.known.get_mut(&socket) {
            known.attempts.fail(now);
            if is_useless || known.attempts.failures >= FAILURES_MAX {
                table.known.remove(&socket);
            }
        }
    }

    /// A peer knows these addresses. It is hearsay: it takes bounded room, and no more of one
    /// neighbourhood than of another.
    pub(super) fn learn(&self, records: &[AddressRecord]) {
        let mut table = self.lock();
        for record in records {
            let is_useful = record.roles.contains(Roles::FULL) && record.address.port() != 0;
            let of_group = |known: &&Known| known.record.group() == record.group();
            if !is_useful
                || table.known.contains_key(&record.address)
                || table.known.len() >= KNOWN_MAX
                || table.known.values().filter(of_group).count() >= KNOWN_OF_GROUP_MAX
            {
                continue;
            }
            table.known.insert(record.address, Known { record: *record, attempts: Attempts::default() });
        }
    }

    /// What a peer that asks for addresses is told: where the others can be dialled.
    pub(super) fn records(&self, peers: &[PeerInfo], asker: PeerNumber) -> Vec<AddressRecord> {
        let of_peers = peers.iter().filter(|peer| peer.number != asker).flat_map(|peer| {
            let last_seen_s = peer.since_ms / 1_000;
            let (node, roles) = (Some(peer.node), peer.hello.roles);
            peer.listen.iter().map(move |address| AddressRecord {
                address: *address,
                node,
                last_seen_s,
                roles,
            })
        });
        let table = self.lock();
        let known = table.known.values().map(|known| known.record);
        let mut told = BTreeSet::new();
        of_peers.chain(known).filter(|record| told.insert(record.address)).take(TOLD_MAX).collect()
    }

    /// Whom to dial now.
    fn due(&self, peers: &[PeerInfo], now: Instant) -> Vec<PeerAddress> {
        let mut table = self.lock();
        let linked: BTreeSet<NodeId> = peers.iter().map(|peer| peer.node).collect();
        let mut due = Vec::new();
        for (address, attempts) in &mut table.kept {
            if !attempts.is_linked(address, peers) && attempts.is_due(now) {
                attempts.under_way = true;
                due.push(address.clone());
            }
        }
        let sought = peers.iter().filter(|peer| peer.direction == Direction::Outbound).count();
        let mut groups: BTreeSet<AddressGroup> = peers
            .iter()
            .filter(|peer| peer.direction == Direction::Outbound)
            .map(|peer| AddressGroup::of(peer.remote.ip()))
            .collect();
        let listening: BTreeSet<SocketAddr> = peers.iter().flat_map(|peer| peer.listen.clone()).collect();
        let mut room = SOUGHT.saturating_sub(sought + due.len());
        for (socket, known) in &mut table.known {
            let is_linked =
                listening.contains(socket) || known.record.node.is_some_and(|node| linked.contains(&node));
            let group = known.record.group();
            // On one machine all nodes are neighbours.
            let is_apart = socket.ip().is_loopback() || !groups.contains(&group);
            if room == 0 || is_linked || !is_apart || !known.attempts.is_due(now) {
                continue;
            }
            known.attempts.under_way = true;
            groups.insert(group);
            room -= 1;
            due.push(PeerAddress { id: known.record.node, ..PeerAddress::of(*socket) });
        }
        due
    }

    fn put_back(&self, address: &PeerAddress) {
        let mut table = self.lock();
        if let Some(kept) = table.kept.get_mut(address) {
            kept.under_way = false;
        }
        if let Some(known) = socket_of(address).and_then(|socket| table.known.get_mut(&socket)) {
            known.attempts.under_way = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock can panic halfway through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// Dials whom there should be a link to, until the network stops.
    pub(super) async fn keep_dialling(self) {
        loop {
            let peers = self.0.network.peers();
            for address in self.0.dialer.due(&peers, Instant::now()) {
                if self.0.network.dial(address.clone()).is_err() {
                    self.0.dialer.put_back(&address);
                }
            }
            // Time passes, or there is news; both are good.
            let _ = tokio::time::timeout(LOOK_TIME, self.0.dialer.news.notified()).await;
        }
    }
}

fn socket_of(address: &PeerAddress) -> Option<SocketAddr> {
    match &address.host {
        Host::Ip(ip) => Some(SocketAddr::new(*ip, address.port)),
        Host::Name(_) => None,
    }
}
