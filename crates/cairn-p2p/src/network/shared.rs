//! What the handle, the driver and the links of one network share.

use super::event::{DialFailure, Event, LeaveReason, PeerInfo, PeerNumber};
use super::peer::{Link, Peer};
use super::settings::{Deadlines, Settings};
use super::wire::LinkKey;
use crate::address::PeerAddress;
#[cfg(feature = "autonat")]
use crate::autonat::{Probes, Verdict};
use crate::frame::Tags;
use crate::key::NodeId;
use crate::message::{
    Bye, ByeCode, Hello, LISTEN_MAX, Label, NAME_BYTES_MAX, Roles, SOFTWARE_BYTES_MAX, VERSION,
};
use crate::reachability::Reachability;
use crate::score::{Ban, Banned, Book, Offence};
use crate::session;
use crate::streams::BULK_MAX;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

/// A link that has been silent for so long gives way to a new one with the same node, in milliseconds: a
/// sign of life is asked for every 30 s.
const SILENT_MS: u64 = 40_000;

/// What all parts of one network share. No lock is held across an `await`, and of two locks the book's is
/// taken first.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) identity: [u8; 32],
    pub(crate) nonce: u64,
    pub(crate) tags: Tags,
    pub(crate) deadlines: Deadlines,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) hearsay: session::Hearsay,
    software: Label,
    name: Label,
    roles: Roles,
    services: u32,
    state: Mutex<State>,
    book: Mutex<Book>,
    trusted: Mutex<BTreeSet<NodeId>>,
    /// Whoever answers at one of these addresses is trusted.
    trusted_addresses: Mutex<BTreeSet<PeerAddress>>,
    #[cfg(feature = "autonat")]
    probes: Mutex<Probes>,
    #[cfg(feature = "autonat")]
    verdict: Mutex<Verdict>,
    table: Mutex<Table>,
    events: mpsc::Sender<Event>,
    /// Something in the table has changed.
    changed: Notify,
    numbers: AtomicU64,
}

/// What greetings say about this node, which changes as it goes on.
#[derive(Debug, Default)]
struct State {
    height: u64,
    head: [u8; 32],
    work: [u8; 32],
    listen: Vec<SocketAddr>,
    /// Where a router forwards connections to this node.
    mapped: Option<SocketAddr>,
}

#[derive(Debug, Default)]
struct Table {
    peers: BTreeMap<PeerNumber, Arc<Peer>>,
    links: HashMap<LinkKey, PeerNumber>,
    /// Links whose sides are greeting.
    greeting: HashSet<LinkKey>,
    is_closed: bool,
}

impl Shared {
    pub(crate) fn new(settings: &Settings, events: mpsc::Sender<Event>) -> Self {
        let mut book = Book::default();
        settings.bans.iter().for_each(|ban| book.ban(*ban));
        Self {
            id: settings.key.id(),
            identity: settings.identity,
            nonce: draw(),
            tags: settings.tags.clone(),
            deadlines: settings.deadlines,
            runtime: tokio::runtime::Handle::current(),
            hearsay: session::Hearsay::default(),
            software: Label::new(&settings.software, SOFTWARE_BYTES_MAX),
            name: Label::new(&settings.name, NAME_BYTES_MAX),
            roles: settings.roles,
            services: services(settings),
            state: Mutex::default(),
            book: Mutex::new(book),
            trusted: Mutex::new(settings.trusted.clone()),
            trusted_addresses: Mutex::default(),
            #[cfg(feature = "autonat")]
            probes: Mutex::default(),
            #[cfg(feature = "autonat")]
            verdict: Mutex::default(),
            table: Mutex::default(),
            events,
            changed: Notify::new(),
            numbers: AtomicU64::new(1),
        }
    }

    /// Milliseconds since 1970, for bans, which outlive the program.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// A number that nobody can guess.
    pub(crate) fn draw(&self) -> u64 {
        draw()
    }

    /// A number that is never used twice.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the owner, waiting for it. Without an owner nobody needs to know.
    pub(crate) async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    pub(crate) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections that are no links.
    #[cfg(feature = "autonat")]
    pub(crate) fn probes(&self) -> MutexGuard<'_, Probes> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What attempts to dial this node have shown.
    #[cfg(feature = "autonat")]
    pub(crate) fn verdict(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reachability(&self) -> Reachability {
        #[cfg(feature = "autonat")]
        return self.verdict().reachability();
        #[cfg(not(feature = "autonat"))]
        Reachability::Unknown
    }

    pub(crate) fn is_trusted(&self, node: NodeId) -> bool {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner).contains(&node)
    }

    pub(crate) fn set_trusted_address(&self, address: &PeerAddress, is_trusted: bool) {
        let mut trusted = self.trusted_addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if is_trusted {
            trusted.insert(address.clone());
        } else {
            trusted.remove(address);
        }
    }

    pub(crate) fn set_trusted(&self, node: NodeId, is_trusted: bool) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if is_trusted {
            trusted.insert(node);
        } else {
            trusted.remove(&node);
        }
    }

    /// What this node says at the beginning of a link with somebody at `remote`.
    pub(crate) fn hello(&self, remote: SocketAddr) -> Hello {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Hello {
            version: VERSION,
            identity: self.identity,
            software: self.software.clone(),
            name: self.name.clone(),
            roles: self.roles,
            services: self.services,
            height: state.height,
            head: state.head,
            work: state.work,
            listen: state.mapped.iter().chain(&state.listen).copied().take(LISTEN_MAX).collect(),
            observed: Some(remote),
            nonce: self.nonce,
            time_ms: self.now_ms(),
        }
    }

    pub(crate) fn set_state(&self, height: u64, head: [u8; 32], work: [u8; 32]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.height, state.head, state.work) = (height, head, work);
    }

    pub(crate) fn set_listen(&self, mut listen: Vec<SocketAddr>) {
        listen.truncate(LISTEN_MAX);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).listen = listen;
    }

    /// A router forwards connections to this node from there, or from nowhere any more.
    #[cfg(feature = "upnp")]
    pub(crate) fn set_mapped(&self, mapped: Option<SocketAddr>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).mapped = mapped;
    }

    /// The peer of a number.
    pub(crate) fn peer(&self, number: PeerNumber) -> Option<Arc<Peer>> {
        self.table().peers.get(&number).map(Arc::clone)
    }

    /// All peers, by number.
    pub(crate) fn peers(&self) -> Vec<Arc<Peer>> {
        self.table().peers.values().map(Arc::clone).collect()
    }

    /// Runs a link in a task of its own, whose failure ends nothing else.
    pub(crate) fn spawn_link<S>(self: &Arc<Self>, stream: S, link: Link)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (key, wire) = (link.key, link.wire.clone());
        self.table().greeting.insert(key);
        let running = self.runtime.spawn(session::run(stream, link, Arc::clone(self)));
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(failed) = running.await
                && failed.is_panic()
            {
                tracing::error!("a link failed; it is a defect of this program");
                match shared.peer_of(key) {
                    Some(peer) => shared.part_with(&peer, LeaveReason::Failed).await,
                    None => {
                        shared.forget_greeting(key);
                        wire.close().await;
                    }
                }
            }
        });
    }

    /// Both sides have greeted: the link gets its number.
    pub(crate) fn admit(&self, link: &Link, hello: Hello) -> Result<Arc<Peer>, Bye> {
        let peer = Arc::new(Peer::new(PeerNumber(self.number()), link, hello, self.now_ms()));
        // Before anything is read of it.
        if let Some(address) = &link.dialled
            && self.trusted_addresses.lock().unwrap_or_else(PoisonError::into_inner).contains(address)
        {
            self.set_trusted(link.node, true);
        }
        let mut table = self.table();
        table.greeting.remove(&link.key);
        if table.is_closed {
            return Err(Bye::new(ByeCode::Leaving, "this node stops"));
        }
        table.links.insert(link.key, peer.number);
        table.peers.insert(peer.number, Arc::clone(&peer));
        drop(table);
        self.changed.notify_waiters();
        Ok(peer)
    }

    /// A greeting has failed.
    pub(crate) async fn refuse(&self, link: Link, reason: LeaveReason) {
        self.forget_greeting(link.key);
        tracing::debug!(node = %link.node, remote = %link.remote, %reason, "no link");
        link.wire.close().await;
        if let Some(address) = link.dialled {
            self.tell(Event::DialFailed { address, why: DialFailure::Greeting(reason) }).await;
        }
    }

    /// A link has ended: its requests end, and then the owner hears of it.
    pub(crate) async fn part_with(&self, peer: &Arc<Peer>, reason: LeaveReason) {
        peer.gone.cancel();
        let closed = Bye::new(ByeCode::Leaving, "the link has ended");
        peer.outbox.close(closed);
        peer.wire.close().await;
        // With all permits taken no request runs, and none can begin.
        let all = u32::try_from(BULK_MAX).expect("it is 4");
        if let Ok(permits) = peer.asks.acquire_many(all).await {
            permits.forget();
        }
        {
            let mut table = self.table();
            table.links.remove(&peer.key);
            table.peers.remove(&peer.number);
        }
        self.tell(Event::Left { peer: peer.number, node: peer.node, reason }).await;
        self.changed.notify_waiters();
    }

    fn forget_greeting(&self, key: LinkKey) {
        self.table().greeting.remove(&key);
        self.changed.notify_waiters();
    }

    fn peer_of(&self, key: LinkKey) -> Option<Arc<Peer>> {
        let table = self.table();
        table.links.get(&key).and_then(|number| table.peers.get(number)).map(Arc::clone)
    }

    /// The peer of a link whose sides may still be greeting; none, if it comes to nothing. The other side
    /// may have finished a moment before and ask already.
    pub(crate) async fn wait_for_link(&self, key: LinkKey) -> Option<Arc<Peer>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(peer) = self.peer_of(key) {
                return Some(peer);
            }
            if !self.table().greeting.contains(&key) {
                return None;
            }
            changed.await;
        }
    }

    /// No link begins any more; all that there are say farewell. Waits until they have.
    pub(crate) async fn close_all(&self) {
        self.table().is_closed = true;
        for peer in self.peers() {
            peer.outbox.close(Bye::new(ByeCode::Leaving, "this node stops"));
        }
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.table().peers.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// The link of a connection gives way to a newer one with the same node: it is none of the peers any more,
    /// and says farewell. False, if the connection has no link.
    pub(crate) fn give_way(&self, key: LinkKey) -> bool {
        let Some(peer) = self.peer_of(key) else { return false };
        self.table().peers.remove(&peer.number);
        peer.outbox.close(Bye::new(ByeCode::Duplicate, "there is a newer connection"));
        true
    }

    /// Whether the two sides of a connection have greeted.
    pub(crate) fn is_linked(&self, key: LinkKey) -> bool {
        self.peer_of(key).is_some()
    }

    /// Whether a connection's link has been silent for so long that a new one is better.
    pub(crate) fn is_silent(&self, key: LinkKey) -> bool {
        self.peer_of(key).is_some_and(|peer| peer.traffic.silent_ms() >= SILENT_MS)
    }

    /// Counts an offence of a peer; whether it is banned for it.
    pub(crate) fn strike(&self, peer: &Peer, offence: Offence) -> bool {
        tracing::debug!(peer = %peer.number, ?offence, "strike");
        self.strike_node(peer.node, peer.remote.ip(), offence)
    }

    /// The same, and a banned peer is told to go.
    pub(crate) fn punish(&self, peer: &Peer, offence: Offence) {
        if self.strike(peer, offence) {
            peer.outbox.close(Bye::new(ByeCode::Banned, "too many offences"));
        }
    }

    /// The same for what is no frame of this protocol: the link ends in any case.
    pub(crate) fn break_off(&self, peer: &Peer, error: &dyn std::fmt::Display) {
        self.punish(peer, Offence::Malformed);
        // A farewell that waits already stays.
        peer.outbox.close(Bye::new(ByeCode::Protocol, &error.to_string()));
    }

    /// Counts an offence of a node that has no link.
    pub(crate) fn strike_node(&self, node: NodeId, address: IpAddr, offence: Offence) -> bool {
        if self.is_trusted(node) {
            return false;
        }
        let bans = self.book().strike(node, address, offence, self.now_ms());
        if bans.is_empty() {
            return false;
        }
        tracing::info!(%node, %address, ?offence, "banned");
        self.enforce(&bans);
        // Where the owner is far behind, it finds the bans in the list.
        let is_banned = bans.iter().any(|ban| ban.who == Banned::Node(node)) || self.is_banned(node, address);
        let _ = self.events.try_send(Event::Banned { bans });
        is_banned
    }

    fn is_banned(&self, node: NodeId, address: IpAddr) -> bool {
        let (book, now) = (self.book(), self.now_ms());
        book.node_ban(node, now).is_some() || book.address_ban(address, now).is_some()
    }

    /// Ends the links that bans are against.
    pub(crate) fn enforce(&self, bans: &[Ban]) {
        for peer in self.peers() {
            let host = crate::address::AddressHost::of(peer.remote.ip());
            let is_meant = bans.iter().any(|ban| match ban.who {
                Banned::Node(node) => node == peer.node,
                Banned::Address(banned) => banned == host && !self.is_trusted(peer.node),
            });
            if is_meant {
                peer.outbox.close(Bye::new(ByeCode::Banned, "banned"));
            }
        }
    }

    /// What is known about a peer.
    pub(crate) fn info(&self, peer: &Peer) -> PeerInfo {
        let (bytes_in, bytes_out) = peer.traffic.bytes();
        let (height, work) = *peer.state.lock().unwrap_or_else(PoisonError::into_inner);
        let seen_at = |it: &SocketAddr| if it.ip().is_unspecified() { peer.remote.ip() } else { it.ip() };
        PeerInfo {
            number: peer.number,
            node: peer.node,
            remote: peer.remote,
            direction: peer.direction,
            dialled: peer.dialled.clone(),
            listen: peer.hello.listen.iter().map(|it| SocketAddr::new(seen_at(it), it.port())).collect(),
            version: peer.hello.version.min(VERSION),
            hello: peer.hello.clone(),
            since_ms: peer.since_ms,
            silent_ms: peer.traffic.silent_ms(),
            ping_ms: peer.ping_ms(),
            bytes_in,
            bytes_out,
            bytes_waiting: peer.outbox.bytes(),
            dropped: peer.outbox.dropped(),
            height,
            work,
            score: self.book().score(peer.node, self.now_ms()),
            is_trusted: self.is_trusted(peer.node),
        }
    }
}

/// What greetings say that this node offers.
fn services(settings: &Settings) -> u32 {
    #[cfg(feature = "autonat")]
    if settings.features.autonat {
        return settings.services | crate::message::DIALS_BACK;
    }
    settings.services
}

fn draw() -> u64 {
    getrandom::u64().expect("the operating system has randomness")
}
