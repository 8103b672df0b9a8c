//! Whom to dial and when: the policy and the address book of `cairn-p2p`, with a clock, chance and a file.

use super::Links;
use crate::paths::replace_file;
use cairn_p2p::{
    AddressBook, AddressRecord, Bye, ByeCode, Clock, DialFailure, Direction, Limits, LinkView, NodeId,
    Outbound, PeerAddress, PeerInfo, PeerNumber, Purpose, Roles, choose_victim,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// The most nodes that an operator can name.
pub const PEERS_MAX: usize = 64;
/// The name of the file with the address book, in the data directory.
pub(crate) const FILE: &str = "addresses";
/// The longest file that is read, in bytes; a full book has less.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Who tells of nodes of the local network, whoever says so there: the network itself (RFC 3927).
const NEIGHBOURS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0));
/// How often it is looked whom to dial.
const LOOK_TIME: Duration = Duration::from_millis(500);
/// How many places for nodes that dial this one are kept free.
const PLACES_FREE: usize = 4;
/// The time between two links that are ended to keep places free.
const EVICTION_TIME: Duration = Duration::from_secs(10);
/// How often the book is saved, beside at the end.
const SAVE_TIME: Duration = Duration::from_secs(15 * 60);
/// A tip is stale after so many intervals without a block, and not before the time below. Of blocks that
/// come by chance, one in twenty thousand takes so long.
const STALE_INTERVALS: u64 = 10;
/// Networks with short intervals make no blocks at times.
const STALE_TIME_MIN: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Dialer {
    table: Mutex<Table>,
    /// Told when there may be somebody to dial at once.
    news: Notify,
    started: Instant,
    path: PathBuf,
}

#[derive(Debug)]
struct Table {
    outbound: Outbound,
    book: AddressBook,
    /// How dialling named nodes has failed since it last succeeded: how often, and why.
    failures: BTreeMap<PeerAddress, (u32, String)>,
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

impl Dialer {
    /// Keeps links to `peers`, and goes on with the book that an earlier run left in `directory`.
    pub(super) fn new(directory: &Path, peers: impl Iterator<Item = PeerAddress>) -> Self {
        let path = directory.join(FILE);
        let mut book = load(&path);
        let mut outbound = Outbound::new(&mut book, PEERS_MAX, draw());
        for peer in peers {
            outbound.add(peer);
        }
        let table = Table { outbound, book, failures: BTreeMap::new() };
        Self { table: Mutex::new(table), news: Notify::new(), started: Instant::now(), path }
    }

    pub(super) fn add(&self, address: PeerAddress) -> bool {
        let is_new = self.lock().outbound.add(address);
        self.news.notify_one();
        is_new
    }

    pub(super) fn remove(&self, address: &PeerAddress) -> bool {
        let mut table = self.lock();
        table.failures.remove(address);
        table.outbound.remove(address)
    }

    pub(super) fn kept(&self, peers: &[PeerInfo]) -> Vec<Kept> {
        let table = self.lock();
        let kept = table.outbound.named().map(|address| {
            let failed = table.failures.get(address);
            // A link that the other side dialled is as good.
            let is_meant = |peer: &PeerInfo| {
                peer.dialled.as_ref() == Some(address)
                    || table.outbound.node_at(address).is_some_and(|node| node == peer.node)
                    || peer.listen.iter().any(|listen| PeerAddress::of(*listen) == *address)
            };
            Kept {
                address: address.clone(),
                is_connected: peers.iter().any(is_meant),
                failures: failed.map_or(0, |(failures, _)| *failures),
                why: failed.map(|(_, why)| why.clone()),
            }
        });
        kept.collect()
    }

    /// A peer has greeted. What the dial was for, where this node dialled.
    pub(super) fn note_joined(&self, info: &PeerInfo) -> Option<Purpose> {
        let now = self.clock();
        let table = &mut *self.lock();
        table.outbound.greeted(info, &mut table.book, now);
        let address = info.dialled.as_ref()?;
        table.failures.remove(address);
        Some(table.outbound.joined(address, info.node, info.hello.roles, &mut table.book, now))
    }

    /// A dial has come to nothing.
    pub(super) fn note_failed(&self, address: &PeerAddress, why: &DialFailure) {
        let now = self.clock();
        let table = &mut *self.lock();
        table.outbound.failed(address, why, &mut table.book, now);
        if let DialFailure::Connected { .. } = why {
            table.failures.remove(address);
        } else if table.outbound.is_named(address) {
            let failed = table.failures.entry(address.clone()).or_default();
            *failed = (failed.0.saturating_add(1), why.to_string());
        }
    }

    /// Who is at an address that was named, as far as that is known.
    pub(super) fn node_at(&self, address: &PeerAddress) -> Option<NodeId> {
        self.lock().outbound.node_at(address)
    }

    /// A peer at `source` knows these addresses. It is hearsay, and the book takes it as that.
    pub(super) fn learn(&self, source: IpAddr, records: &[AddressRecord]) {
        self.lock().book.learn(source, records, self.clock().unix_s);
        self.news.notify_one();
    }

    /// Nodes of the local network were found, or are gone. To the book all of them have one source, of which it
    /// keeps few addresses.
    pub(super) fn note_nearby(&self, found: &[AddressRecord], gone: &[SocketAddr]) {
        let now_s = self.clock().unix_s;
        let book = &mut self.lock().book;
        gone.iter().for_each(|address| book.withdraw(*address));
        for record in found {
            tracing::debug!(address = %record.address, "a node is in the local network");
        }
        book.learn(NEIGHBOURS, found, now_s);
        self.news.notify_one();
    }

    /// Where a peer can be dialled, as far as it speaks of the machine that it is on.
    pub(super) fn records_of(&self, info: &PeerInfo) -> Vec<AddressRecord> {
        let is_own = |address: &&SocketAddr| address.ip().to_canonical() == info.remote.ip().to_canonical();
        let (last_seen_s, roles) = (self.clock().unix_s, info.hello.roles.known());
        let record =
            |address: &SocketAddr| AddressRecord { address: *address, node: None, last_seen_s, roles };
        info.listen.iter().filter(is_own).take(1).map(record).collect()
    }

    /// What a peer that asks for addresses is told: where this node has reached others, and where `peers`, who
    /// have a link with it, say that they are on the machine that they speak from.
    pub(super) fn records(&self, asker: IpAddr, peers: &[PeerInfo]) -> Vec<AddressRecord> {
        let linked = peers.iter().flat_map(|peer| self.records_of(peer)).map(|record| record.address);
        let linked = linked.collect();
        self.lock().book.share(asker, &linked, self.clock().unix_s)
    }

    /// How many addresses are known, and how many of them were talked to.
    pub(super) fn known(&self) -> (usize, usize) {
        let table = self.lock();
        (table.book.len(), table.book.tried_len())
    }

    /// Writes the book down, with the links to begin with next time. What fails is told and tried again
    /// later: it is no reason to stop a node.
    pub(super) fn save(&self, peers: &[PeerInfo]) {
        let bytes = {
            let table = &mut *self.lock();
            table.book.set_anchors(table.outbound.anchors(&views_of(peers)));
            table.book.to_bytes()
        };
        if let Err(error) = replace_file(&self.path, &bytes) {
            tracing::warn!(file = %self.path.display(), %error, "the address book is not kept");
        }
    }

    fn clock(&self) -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { running: self.started.elapsed(), unix_s: unix.as_secs() }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock can panic halfway through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// Dials whom there should be a link to, until the network stops.
    pub(super) async fn keep_dialling(self) {
        let (mut saved, mut evicted, secret) = (Instant::now(), Instant::now(), draw());
        loop {
            let mut peers = self.0.network.peers();
            if saved.elapsed() >= SAVE_TIME {
                saved = Instant::now();
                tokio::task::block_in_place(|| self.0.dialer.save(&peers));
            }
            if is_crowded(&peers) && evicted.elapsed() >= EVICTION_TIME {
                evicted = Instant::now();
                if let Some(victim) = choose_victim(&peers, secret) {
                    self.end_link(victim, "others need a place");
                }
            }
            // A tracker is no neighbour: beside it, as many others are sought as without.
            peers.retain(|peer| peer.hello.roles != Roles::TRACKER);
            self.dial_due(&views_of(&peers));
            // Time passes, or there is news; both are good.
            let _ = tokio::time::timeout(LOOK_TIME, self.0.dialer.news.notified()).await;
        }
    }

    fn dial_due(&self, links: &[LinkView]) {
        let is_stale = self.is_tip_stale();
        let (due, surplus) = {
            let table = &mut *self.0.dialer.lock();
            let due = table.outbound.due(links, &mut table.book, is_stale, self.0.dialer.clock());
            (due, if is_stale { None } else { table.outbound.surplus(links) })
        };
        for dial in due {
            // Whom the operator has named is not banned for what it does, from the first frame on.
            if dial.purpose == Purpose::Named {
                self.0.network.set_trusted_address(&dial.address, true);
            }
            if self.0.network.dial(dial.address.clone()).is_err() {
                self.0.dialer.lock().outbound.put_back(&dial.address);
            }
        }
        if let Some(peer) = surplus {
            self.end_link(peer, "a link too many");
        }
    }

    /// Ends a link without a fault of the other side.
    pub(super) fn end_link(&self, peer: PeerNumber, why: &str) {
        self.0.network.disconnect(peer, Bye::new(ByeCode::Full, why));
    }

    /// Whether no block has come for so long that all peers may keep something back.
    fn is_tip_stale(&self) -> bool {
        let interval = Duration::from_millis(self.0.node.genesis().section().interval_ms);
        let limit = interval.saturating_mul(u32::try_from(STALE_INTERVALS).unwrap_or(u32::MAX));
        self.0.last_block().elapsed() > limit.max(STALE_TIME_MIN)
    }
}

/// Whether nearly all places for nodes that dial this one are taken.
fn is_crowded(peers: &[PeerInfo]) -> bool {
    let inbound = peers.iter().filter(|peer| peer.direction == Direction::Inbound).count();
    inbound + PLACES_FREE > Limits::default().inbound_max
}

fn views_of(peers: &[PeerInfo]) -> Vec<LinkView> {
    peers.iter().map(LinkView::from).collect()
}

/// The book of an earlier run; an empty one where there is none, or none that can be read.
fn load(path: &Path) -> AddressBook {
    let secret = draw();
    let bytes = std::fs::metadata(path).and_then(|metadata| {
        if metadata.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is too long"));
        }
        std::fs::read(path)
    });
    match bytes {
        Ok(bytes) => AddressBook::from_bytes(&bytes, secret).unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "the address book begins anew");
            AddressBook::new(secret)
        }),
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(file = %path.display(), %error, "the address book begins anew");
            }
            AddressBook::new(secret)
        }
    }
}

fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gave randomness at start");
    bytes
}
