//! The handle of a network: links with peers, over whatever carries them.

mod behaviour;
mod driver;
mod event;
mod peer;
mod settings;
mod shared;
mod wire;

pub use event::{DialFailure, Direction, Event, LeaveReason, PeerInfo, PeerNumber, RequestNumber};
pub(crate) use peer::{Link, Peer};
pub use settings::{Deadlines, Settings, StartError};
pub(crate) use shared::Shared;
pub(crate) use wire::LinkKey;

use crate::address::{Host, PeerAddress, from_multiaddr, is_dialable, to_multiaddr};
use crate::bulk;
use crate::frame::Frame;
use crate::key::NodeId;
use crate::message::{self, AddressRecord, Bye};
use crate::reachability::Reachability;
use crate::score::{Ban, Banned, Offence};
use crate::session::{Priority, SendError};
use crate::tls::AesTls;
use crate::transport::{self, SetUps};
use driver::{Command, Driver};
use futures::StreamExt as _;
use libp2p_core::transport::TransportError;
use libp2p_swarm::{Config, Swarm, SwarmEvent};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::duplex;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use wire::{MEMORY_BYTES, Wire};

/// Events that wait for the owner; each peer has at most a few under way.
pub const EVENTS_MAX: usize = 1024;
/// Commands that wait for the driver.
const COMMANDS_MAX: usize = 256;
/// Names that are looked up and addresses that are dialled at the same time.
pub const DIALS_MAX: usize = 16;
/// Addresses of one name that are tried.
const ADDRESSES_OF_NAME_MAX: usize = 4;
/// How long a name may take to be looked up.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(10);
/// How long farewells may take when the network stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(3);
/// Streams of one connection whose names are being agreed upon.
const NAMING_STREAMS_MAX: usize = 8;

/// A network as its owner holds it. Clones are the same network. No call waits for a peer.
///
/// It runs until [`stop`](Self::stop) or the end of the runtime.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Shared>,
    /// None of a network in memory.
    commands: Option<mpsc::Sender<Command>>,
    dials: Arc<Semaphore>,
    listening: Arc<[SocketAddr]>,
    driver: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What happens, in order. An owner that does not read it holds all peers up.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

/// A bulk request was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The link has ended.
    #[error("there is no such peer any more")]
    Gone,
    /// As many requests as a peer takes at a time are running.
    #[error("{} requests to this peer are running already", crate::BULK_MAX)]
    Busy,
}

/// An address was not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialRefused {
    /// Enough addresses are being dialled.
    #[error("{DIALS_MAX} addresses are being dialled already")]
    Busy,
    /// A network in memory dials nobody.
    #[error("this network dials nobody")]
    InMemory,
}

impl Events {
    /// The next event; none after the network has stopped.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event, if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

impl Network {
    /// Listens and is ready to dial. Its tasks run on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on.
    pub async fn start(settings: Settings) -> Result<(Self, Events), StartError> {
        let (events, received) = mpsc::channel(EVENTS_MAX);
        let shared = Arc::new(Shared::new(&settings, events));
        let tls = AesTls::new(&settings.key).map_err(|error| StartError::Tls(error.into()))?;
        let set_ups = SetUps::default();
        let transport = transport::start(tls, settings.deadlines.handshake, set_ups.clone());
        let behaviour = behaviour::build(&settings, set_ups, &shared);
        let config = Config::with_tokio_executor()
            .with_max_negotiating_inbound_streams(NAMING_STREAMS_MAX)
            .with_idle_connection_timeout(settings.deadlines.hello);
        let mut swarm = Swarm::new(transport, behaviour, shared.id.to_peer_id(), config);
        for address in &settings.listen {
            swarm.listen_on(to_multiaddr(*address)).map_err(|error| StartError::Listen {
                address: *address,
                source: match error {
                    TransportError::Other(source) => source,
                    TransportError::MultiaddrNotSupported(_) => std::io::ErrorKind::Unsupported.into(),
                },
            })?;
        }
        let mut listening = Vec::new();
        while listening.len() < settings.listen.len() {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                listening.extend(from_multiaddr(&address));
            }
        }
        let helpers = help(&settings, &shared, listening.first().copied());
        shared.set_listen(if settings.advertise.is_empty() { listening.clone() } else { settings.advertise });
        let (commands, obeyed) = mpsc::channel(COMMANDS_MAX);
        let driver = Driver::new(swarm, Arc::clone(&shared), commands.clone(), obeyed, helpers);
        let driver = shared.runtime.spawn(driver.run());
        let network = Self {
            shared,
            commands: Some(commands),
            dials: Arc::new(Semaphore::new(DIALS_MAX)),
            listening: listening.into(),
            driver: Arc::new(Mutex::new(Some(driver))),
        };
        Ok((network, Events(received)))
    }

    /// A network without sockets, for tests of owners: see [`join_in_memory`](Self::join_in_memory).
    ///
    /// Its links are those of a real one, but nothing is encrypted and no limit on connections holds.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn in_memory(settings: &Settings) -> (Self, Events) {
        let (events, received) = mpsc::channel(EVENTS_MAX);
        let network = Self {
            shared: Arc::new(Shared::new(settings, events)),
            commands: None,
            dials: Arc::new(Semaphore::new(0)),
            listening: Arc::new([]),
            driver: Arc::default(),
        };
        (network, Events(received))
    }

    /// Links two networks in memory, as if the first had dialled the second. Both hear of it as `Joined`.
    pub fn join_in_memory(dialler: &Self, acceptor: &Self) {
        let key = LinkKey::Memory(dialler.shared.draw());
        let (near, far) = duplex(MEMORY_BYTES);
        let end = |of: &Self, other: &Self, direction| {
            let remote = SocketAddr::from(([127, 0, 0, 1], 1));
            let wire = Wire::Memory { other: Arc::downgrade(&other.shared), key };
            let dialled = (direction == Direction::Outbound).then(|| PeerAddress::of(remote));
            debug_assert!(!Arc::ptr_eq(&of.shared, &other.shared), "a network links with another one");
            Link { node: other.shared.id, remote, direction, dialled, key, wire }
        };
        dialler.shared.spawn_link(near, end(dialler, acceptor, Direction::Outbound));
        acceptor.shared.spawn_link(far, end(acceptor, dialler, Direction::Inbound));
    }

    /// Who this node is.
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// Where it listens, with the ports that the system has chosen.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Writes a frame to a peer as soon as what is more urgent has been written. The answers to a question may
    /// come from then on: see [`Tags::with_answer`](crate::Tags::with_answer).
    ///
    /// # Errors
    ///
    /// The peer has gone, or too much waits for it. A transaction is dropped then, and counted; a block the
    /// owner has to care for.
    pub fn send(&self, peer: PeerNumber, frame: Frame, priority: Priority) -> Result<(), SendError> {
        let peer = self.shared.peer(peer).ok_or(SendError::Gone)?;
        let Some((answer, frames)) = self.shared.tags.answer_to(frame.tag) else {
            return peer.outbox.push(frame, priority);
        };
        // Before it is sent: the answer may come at once.
        peer.awaited.raise(answer, frames);
        peer.outbox.push(frame, priority).inspect_err(|_| peer.awaited.lower(answer, frames))
    }

    /// Asks for something that comes on a stream of its own: as `Answer`s and an `AnswerEnded`.
    ///
    /// # Errors
    ///
    /// The peer has gone, or [`BULK_MAX`](crate::BULK_MAX) requests to it are running.
    pub fn ask(&self, peer: PeerNumber, frame: Frame) -> Result<RequestNumber, AskError> {
        let peer = self.shared.peer(peer).ok_or(AskError::Gone)?;
        if peer.gone.is_cancelled() {
            return Err(AskError::Gone);
        }
        let permit = Arc::clone(&peer.asks).try_acquire_owned().map_err(|_| AskError::Busy)?;
        let number = RequestNumber(self.shared.number());
        let cancelled = peer.gone.child_token();
        peer.requests().insert(number, cancelled.clone());
        let shared = Arc::clone(&self.shared);
        let asking = async move {
            let opened = peer.wire.clone().open(peer.node);
            bulk::ask(opened, frame, number, Arc::clone(&peer), shared, cancelled).await;
            peer.requests().remove(&number);
            drop(permit);
        };
        self.shared.runtime.spawn(asking);
        Ok(number)
    }

    /// Ends a request whose answer is not wanted any more; an `AnswerEnded` follows.
    pub fn cancel(&self, peer: PeerNumber, request: RequestNumber) {
        if let Some(peer) = self.shared.peer(peer)
            && let Some(running) = peer.requests().get(&request)
        {
            running.cancel();
        }
    }

    /// Dials. What comes of it is told: `Joined` with this address as `dialled`, or `DialFailed`.
    ///
    /// # Errors
    ///
    /// Enough is being dialled.
    pub fn dial(&self, address: PeerAddress) -> Result<(), DialRefused> {
        let commands = self.commands.clone().ok_or(DialRefused::InMemory)?;
        let permit = Arc::clone(&self.dials).try_acquire_owned().map_err(|_| DialRefused::Busy)?;
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            let sockets = resolve(&address).await;
            let why = if sockets.is_empty() {
                DialFailure::Name
            } else {
                let dial = Command::Dial { address: address.clone(), sockets, permit };
                match commands.send(dial).await {
                    Ok(()) => return,
                    Err(_) => DialFailure::Stopped,
                }
            };
            shared.tell(Event::DialFailed { address, why }).await;
        });
        Ok(())
    }

    /// Ends a link with a farewell; a `Left` follows.
    pub fn disconnect(&self, peer: PeerNumber, bye: Bye) {
        if let Some(peer) = self.shared.peer(peer) {
            peer.outbox.close(bye);
        }
    }

    /// Counts an offence that the owner has found; a peer with too many is banned, and its link ends.
    pub fn strike(&self, peer: PeerNumber, offence: Offence) {
        if let Some(peer) = self.shared.peer(peer) {
            self.shared.punish(&peer, offence);
        }
    }

    /// Counts a good deed: the peer was the first to give something valid.
    pub fn praise(&self, peer: PeerNumber) {
        if let Some(peer) = self.shared.peer(peer) {
            self.shared.book().praise(peer.node, self.shared.now_ms());
        }
    }

    /// Says in greetings from now on how far this node is.
    pub fn set_hello_state(&self, height: u64, head: [u8; 32], work: [u8; 32]) {
        self.shared.set_state(height, head, work);
    }

    /// Says in greetings from now on where this node can be dialled; at most eight addresses.
    pub fn set_advertised(&self, addresses: Vec<SocketAddr>) {
        self.shared.set_listen(addresses);
    }

    /// Whether others can dial this node, as far as those know that it has asked.
    pub fn reachability(&self) -> Reachability {
        self.shared.reachability()
    }

    /// Remembers that a peer has a block of this height, for [`peers`](Self::peers).
    pub fn note_height(&self, peer: PeerNumber, height: u64) {
        if let Some(peer) = self.shared.peer(peer) {
            let mut state = peer.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = state.0.max(height);
        }
    }

    /// Asks a peer which nodes it knows; it answers once a link, with an `Addresses`.
    pub fn ask_addresses(&self, peer: PeerNumber) {
        if let Some(peer) = self.shared.peer(peer)
            && peer.ask_addresses()
        {
            peer.outbox.push_control(message::ask_addresses_frame());
        }
    }

    /// Tells a peer of nodes: the first 250 of these.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn tell_addresses(&self, peer: PeerNumber, records: &[AddressRecord]) -> Result<(), SendError> {
        self.send(peer, message::addresses_frame(records), Priority::Transaction)
    }

    /// All peers, by number.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.shared.peers().iter().map(|peer| self.shared.info(peer)).collect()
    }

    /// What is known about one peer.
    pub fn peer(&self, peer: PeerNumber) -> Option<PeerInfo> {
        self.shared.peer(peer).map(|peer| self.shared.info(&peer))
    }

    /// Whoever answers at an address that this node dials is trusted from the greeting on, as with
    /// [`set_trusted`](Self::set_trusted); or is so no longer, once its link ends. For the few addresses that
    /// an operator names.
    pub fn set_trusted_address(&self, address: &PeerAddress, is_trusted: bool) {
        self.shared.set_trusted_address(address, is_trusted);
    }

    /// Whether a node is never banned for what it does: one that the owner has configured.
    pub fn set_trusted(&self, node: NodeId, is_trusted: bool) {
        self.shared.set_trusted(node, is_trusted);
    }

    /// Bans, and ends the links that this is against.
    pub fn ban(&self, ban: Ban) {
        self.shared.book().ban(ban);
        self.shared.enforce(&[ban]);
    }

    /// Lifts a ban; whether there was one.
    pub fn unban(&self, who: Banned) -> bool {
        self.shared.book().unban(who)
    }

    /// All bans that hold: what to save.
    pub fn bans(&self) -> Vec<Ban> {
        self.shared.book().bans(self.shared.now_ms())
    }

    /// Says farewell to all peers and ends all connections. It takes a few seconds at most.
    pub async fn stop(&self) {
        let _ = timeout(STOP_TIME_MAX, self.shared.close_all()).await;
        let Some(commands) = &self.commands else { return };
        // A driver that has gone has stopped.
        let _ = timeout(STOP_TIME_MAX, commands.send(Command::Stop)).await;
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            let _ = timeout(STOP_TIME_MAX, driver).await;
        }
    }
}

/// Starts what settings ask for beside the swarm.
#[cfg_attr(
    not(any(feature = "mdns", feature = "upnp")),
    expect(unused_variables, unused_mut, reason = "features start tasks, and none is on")
)]
fn help(settings: &Settings, shared: &Arc<Shared>, listening: Option<SocketAddr>) -> JoinSet<()> {
    let mut helpers = JoinSet::new();
    // Nobody on another machine finds a node that listens on loopback.
    let listening = listening.filter(|it| !it.ip().is_loopback());
    #[cfg(feature = "mdns")]
    if settings.features.mdns {
        let looking = crate::mdns::run(Arc::clone(shared), listening.map(|it| it.port()));
        helpers.spawn_on(looking, &shared.runtime);
    }
    #[cfg(feature = "upnp")]
    if settings.features.upnp
        && let Some(listening) = listening
    {
        helpers.spawn_on(crate::upnp::run(Arc::clone(shared), listening), &shared.runtime);
    }
    helpers
}

/// Where an address is: itself, or what its name means now.
async fn resolve(address: &PeerAddress) -> Vec<SocketAddr> {
    let found = match &address.host {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, address.port)],
        Host::Name(name) => {
            let lookup = tokio::net::lookup_host((name.as_str(), address.port));
            match timeout(LOOKUP_TIME_MAX, lookup).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(_)) | Err(_) => Vec::new(),
            }
        }
    };
    found.into_iter().filter(|it| is_dialable(it.ip())).take(ADDRESSES_OF_NAME_MAX).collect()
}

#[cfg(test)]
impl Network {
    /// What tests look into.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The other end of a link with `node` that a test speaks on.
    pub(crate) fn join_raw(&self, node: NodeId) -> tokio::io::DuplexStream {
        let (near, far) = duplex(MEMORY_BYTES);
        let (key, remote) = (LinkKey::Memory(self.shared.draw()), SocketAddr::from(([192, 0, 2, 66], 1)));
        let wire = Wire::Memory { other: std::sync::Weak::new(), key };
        let link = Link { node, remote, direction: Direction::Inbound, dialled: None, key, wire };
        self.shared.spawn_link(near, link);
        far
    }
}
