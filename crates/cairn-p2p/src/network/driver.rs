//! The task that owns the swarm: it alone dials, accepts and closes connections.

use super::behaviour::Behaviour;
use super::event::{DialFailure, Direction, Event};
use super::peer::Link;
use super::shared::Shared;
use super::wire::{LinkKey, Wire};
use crate::address::{PeerAddress, from_multiaddr, to_multiaddr};
#[cfg(feature = "autonat")]
use crate::autonat::Server;
use crate::bulk;
use crate::key::NodeId;
use crate::limits::Refusal;
use crate::mux;
use crate::score::Offence;
use crate::streams::{BulkStream, Order, StreamEvent};
use futures::StreamExt as _;
use libp2p_core::transport::TransportError;
use libp2p_swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p_swarm::{ConnectionError, ConnectionId, DialError, ListenError, Stream, Swarm, SwarmEvent};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

/// How often connections without a link are looked for.
const TURN: Duration = Duration::from_secs(1);
/// How long a link that gave way to a newer one has for its farewell.
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// What the driver is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Dial {
        address: PeerAddress,
        /// Where the address is, best first; at least one.
        sockets: Vec<SocketAddr>,
        permit: OwnedSemaphorePermit,
    },
    Open {
        node: NodeId,
        connection: ConnectionId,
        order: Order,
    },
    Close {
        connection: ConnectionId,
    },
    Stop,
}

/// One dial, until it is a link or has come to nothing.
#[derive(Debug)]
struct Dialling {
    address: PeerAddress,
    /// Where it is tried next.
    rest: VecDeque<SocketAddr>,
    _permit: OwnedSemaphorePermit,
}

pub(crate) struct Driver {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// What links send their commands with.
    pub(crate) orders: mpsc::Sender<Command>,
    dials: HashMap<ConnectionId, Dialling>,
    /// Connections on which no link has begun, or whose link gave way, and when they are given up.
    fresh: HashMap<ConnectionId, Instant>,
    /// News for the owner; not more than there were dials, of which few run at a time.
    news: VecDeque<Event>,
    /// Tasks beside the swarm, which end with it.
    _helpers: JoinSet<()>,
}

impl Driver {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        shared: Arc<Shared>,
        orders: mpsc::Sender<Command>,
        commands: mpsc::Receiver<Command>,
        helpers: JoinSet<()>,
    ) -> Self {
        Self {
            swarm,
            shared,
            commands,
            orders,
            dials: HashMap::new(),
            fresh: HashMap::new(),
            news: VecDeque::new(),
            _helpers: helpers,
        }
    }

    /// Runs until it is told to stop, or nobody can tell it anything any more.
    pub(crate) async fn run(mut self) {
        let events = self.shared.events();
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.note(event),
                command = self.commands.recv() => match command {
                    Some(Command::Stop) | None => break,
                    Some(command) => self.obey(command),
                },
                place = events.reserve(), if !self.news.is_empty() => match (place, self.news.pop_front()) {
                    (Ok(place), Some(event)) => place.send(event),
                    // Without an owner nobody needs to know.
                    _ => self.news.clear(),
                },
                now = turns.tick() => {
                    self.close_stale(now);
                    #[cfg(feature = "autonat")]
                    self.ask_to_dial_back(now);
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Dial { address, sockets, permit } => {
                self.dial(Dialling { address, rest: sockets.into(), _permit: permit });
            }
            Command::Open { node, connection, order } => {
                self.streams().order(node, connection, order);
            }
            Command::Close { connection } => {
                self.swarm.close_connection(connection);
            }
            Command::Stop => {}
        }
    }

    /// Tries the next place of a dial.
    fn dial(&mut self, mut dialling: Dialling) {
        let mut why = DialFailure::Name;
        while let Some(socket) = dialling.rest.pop_front() {
            let place = to_multiaddr(socket);
            let options: DialOpts = match dialling.address.id {
                Some(node) => DialOpts::peer_id(node.to_peer_id())
                    .addresses(vec![place])
                    .condition(PeerCondition::Disconnected)
                    .build(),
                None => DialOpts::unknown_peer_id().address(place).build(),
            };
            let connection = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => {
                    self.dials.insert(connection, dialling);
                    return;
                }
                Err(error) => why = failure_of(error, dialling.address.id),
            }
        }
        self.fail(dialling.address, why);
    }

    fn fail(&mut self, address: PeerAddress, why: DialFailure) {
        self.news.push_back(Event::DialFailed { address, why });
    }

    fn note(&mut self, event: SwarmEvent<StreamEvent>) {
        match event {
            SwarmEvent::Behaviour(StreamEvent::Peer { connection, node, stream }) => {
                self.begin_link(connection, node, stream);
            }
            SwarmEvent::Behaviour(StreamEvent::NoPeer { connection }) => {
                if let Some(dialling) = self.dials.remove(&connection) {
                    self.fail(dialling.address, DialFailure::OtherNetwork);
                }
                self.swarm.close_connection(connection);
            }
            SwarmEvent::Behaviour(StreamEvent::Replaced { connection }) => self.give_way(connection),
            SwarmEvent::Behaviour(StreamEvent::Bulk { connection, bulk }) => self.answer(connection, bulk),
            SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                let until = Instant::now() + self.shared.deadlines.hello;
                self.fresh.insert(connection_id, until);
            }
            SwarmEvent::ConnectionClosed { connection_id, peer_id, endpoint, cause, .. } => {
                self.fresh.remove(&connection_id);
                if let Some(ConnectionError::IO(error)) = &cause
                    && mux::is_violation(error)
                    && let Some(node) = NodeId::from_peer_id(&peer_id)
                    && let Some(remote) = from_multiaddr(endpoint.get_remote_address())
                {
                    tracing::debug!(%node, %remote, %error, "connection ended");
                    self.shared.strike_node(node, remote.ip(), Offence::Malformed);
                }
                if let Some(dialling) = self.dials.remove(&connection_id) {
                    self.fail(dialling.address, DialFailure::Closed);
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(dialling) = self.dials.remove(&connection_id) {
                    if matches!(error, DialError::Transport(_)) && !dialling.rest.is_empty() {
                        self.dial(dialling);
                    } else {
                        let why = failure_of(error, dialling.address.id);
                        self.fail(dialling.address, why);
                    }
                }
            }
            // Refusals were logged where they were decided.
            SwarmEvent::IncomingConnectionError { error: ListenError::Denied { .. }, .. } => {}
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(remote = %send_back_addr, error = %chain(&error), "no connection");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a connection could not be accepted");
            }
            _ => {}
        }
    }

    fn begin_link(&mut self, connection: ConnectionId, node: NodeId, stream: Stream) {
        self.fresh.remove(&connection);
        let dialled = self.dials.remove(&connection).map(|it| it.address);
        let Some(remote) = self.streams().remote(connection) else { return };
        let direction = if dialled.is_some() { Direction::Outbound } else { Direction::Inbound };
        let key = LinkKey::Swarm(connection);
        let wire = Wire::Swarm { commands: self.orders.clone(), connection };
        let link = Link { node, remote, direction, dialled, key, wire };
        self.shared.spawn_link(stream.compat(), link);
    }

    /// Ends a connection to whose node there is a newer one, with a farewell where there is a link.
    fn give_way(&mut self, connection: ConnectionId) {
        if self.shared.give_way(LinkKey::Swarm(connection)) {
            // It closes the connection itself, unless the other side does not read.
            self.fresh.insert(connection, Instant::now() + FAREWELL_TIME);
        } else {
            self.swarm.close_connection(connection);
        }
    }

    /// Gives a bulk stream to a task; there are at most eight of them for each connection.
    fn answer(&self, connection: ConnectionId, bulk: BulkStream) {
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            let BulkStream { stream, is_refused, slot } = bulk;
            let slot = Arc::new(slot);
            if is_refused {
                bulk::refuse(stream.compat(), shared).await;
            } else if let Some(peer) = shared.wait_for_link(LinkKey::Swarm(connection)).await {
                bulk::answer(stream.compat(), peer, shared, Some(Arc::clone(&slot))).await;
            }
            drop(slot);
        });
    }

    fn close_stale(&mut self, now: Instant) {
        let stale: Vec<_> = self
            .fresh
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(connection, _)| *connection)
            .collect();
        for connection in stale {
            self.fresh.remove(&connection);
            self.swarm.close_connection(connection);
        }
    }
}

#[cfg(feature = "autonat")]
impl Driver {
    /// Asks a peer that offers it to dial this node, if it is time to.
    fn ask_to_dial_back(&mut self, now: Instant) {
        if let Some(dials_back) = self.swarm.behaviour_mut().dials_back.as_mut() {
            dials_back.turn(now);
        }
        // A node that listens nowhere has nothing to ask about.
        let Some(listening) = self.swarm.listeners().find_map(from_multiaddr) else { return };
        let Some(asks) = self.swarm.behaviour_mut().asks.as_mut() else { return };
        let peers = self.shared.peers();
        let servers: Vec<_> = peers.iter().filter_map(|peer| Server::of(peer, listening.port())).collect();
        if let Some(server) = asks.turn(now, &servers) {
            self.streams().note_dials_back(server.node, server.connection);
        }
    }
}

/// Why dialling an address has failed, where `wanted` was to be.
fn failure_of(error: DialError, wanted: Option<NodeId>) -> DialFailure {
    match error {
        // An address that this node listens on is left out of those to be dialled.
        DialError::LocalPeerId { .. } | DialError::NoAddresses => DialFailure::Myself,
        DialError::WrongPeerId { obtained, .. } => match NodeId::from_peer_id(&obtained) {
            Some(found) => DialFailure::WrongNode { found },
            None => DialFailure::Refused(Refusal::NotEd25519),
        },
        DialError::DialPeerConditionFalse(_) => {
            wanted.map_or(DialFailure::Closed, |node| DialFailure::Connected { node })
        }
        DialError::Denied { cause } => match cause.downcast::<Refusal>() {
            Ok(Refusal::Duplicate { node }) => DialFailure::Connected { node },
            Ok(refusal) => DialFailure::Refused(refusal),
            Err(_) => DialFailure::Closed,
        },
        DialError::Transport(errors) => match errors.into_iter().next() {
            Some((_, TransportError::Other(error))) => transport_failure(&error),
            Some((_, TransportError::MultiaddrNotSupported(_))) | None => DialFailure::Name,
        },
        DialError::Aborted => DialFailure::Stopped,
    }
}

/// Errors of the system say that nobody is there; others, that whoever is there is no node.
fn transport_failure(error: &io::Error) -> DialFailure {
    match system_error(error) {
        Some(kind) => DialFailure::Unreachable(kind),
        None => DialFailure::NoNode(chain(error)),
    }
}

/// What the system said, wherever it is wrapped: an I/O error hides what it holds from `source`.
fn system_error(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::TimedOut {
            return Some(error.kind());
        }
        if let Some(inner) = error.get_ref() {
            return system_error(inner);
        }
    }
    system_error(error.source()?)
}

/// An error with all that is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
