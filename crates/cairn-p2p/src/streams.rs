//! Streams with names: opening them, accepting them, and refusing them where there are enough.
//!
//! A network has two kinds, and their names hold its identity, so that nodes of two networks have nothing
//! to say to each other: `/cairn/1/<identity>/peer`, of which a connection has one, opened by who dialled,
//! and `/cairn/1/<identity>/bulk`, one a request. `libp2p-stream` would do the same and loses streams that
//! come while another is being taken.

mod handler;

pub use handler::BULK_MAX;
pub(crate) use handler::{BulkStream, Handler, Order, Slot};

use crate::address::from_multiaddr;
use crate::key::NodeId;
use crate::limits::{Gate, Refusal};
use crate::network::{LinkKey, Shared};
use crate::transport::SetUps;
use handler::{Opened, Wish};
use libp2p_core::transport::PortUse;
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::FromSwarm;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, NotifyHandler, Stream, StreamProtocol, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio_util::sync::CancellationToken;

/// The names of the two kinds of streams of one network.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) peer: StreamProtocol,
    pub(crate) bulk: StreamProtocol,
}

impl Names {
    pub(crate) fn of(identity: &[u8; 32]) -> Self {
        let name = |kind: &str| {
            let text = format!("/cairn/1/{}/{kind}", const_hex::encode(identity));
            StreamProtocol::try_from_owned(text).expect("it begins with a slash")
        };
        Self { peer: name("peer"), bulk: name("bulk") }
    }
}

/// What happened to connections and streams.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// The stream that lives as long as its connection.
    Peer { connection: ConnectionId, node: NodeId, stream: Stream },
    /// The other side takes no peer stream: it is of another network or no node of Cairn.
    NoPeer { connection: ConnectionId },
    /// The connection gives way to a newer one with the same node, and has to end.
    Replaced { connection: ConnectionId },
    /// The other side asks for something, perhaps for too much at a time.
    Bulk { connection: ConnectionId, bulk: BulkStream },
}

/// The part of the swarm that is ours: who may connect, and what is opened.
pub(crate) struct Streams {
    names: Names,
    gate: Gate,
    shared: Arc<Shared>,
    set_ups: SetUps,
    /// What ends those connections of others that the gate counts as being set up.
    pending: HashMap<ConnectionId, CancellationToken>,
    /// At most a few for each connection: handlers bound what one can cause.
    queue: VecDeque<ToSwarm<StreamEvent, Wish>>,
    waker: Option<Waker>,
}

impl Streams {
    pub(crate) fn new(identity: &[u8; 32], gate: Gate, set_ups: SetUps, shared: Arc<Shared>) -> Self {
        Self {
            names: Names::of(identity),
            gate,
            shared,
            set_ups,
            pending: HashMap::new(),
            queue: VecDeque::new(),
            waker: None,
        }
    }

    /// Orders a bulk stream on a connection; the answer comes over the channel in `order`.
    pub(crate) fn order(&mut self, node: NodeId, connection: ConnectionId, order: Order) {
        let handler = NotifyHandler::One(connection);
        self.push(ToSwarm::NotifyHandler { peer_id: node.to_peer_id(), handler, event: Wish::Open(order) });
    }

    /// Tells what is on a connection that its other side dials back for others.
    #[cfg(feature = "autonat")]
    pub(crate) fn note_dials_back(&mut self, node: NodeId, connection: ConnectionId) {
        let handler = NotifyHandler::One(connection);
        self.push(ToSwarm::NotifyHandler { peer_id: node.to_peer_id(), handler, event: Wish::NoteDialsBack });
    }

    /// Whether a connection is there only to show that it can be made: no link begins on it, and it takes no
    /// place of one.
    #[cfg(feature = "autonat")]
    fn is_probe(&self, connection: ConnectionId, node: NodeId, dialler: bool) -> bool {
        if dialler {
            return self.shared.probes().dialled.contains(&connection);
        }
        self.gate.is_linked(node) && self.shared.probes().take_expected(node, tokio::time::Instant::now())
    }

    pub(crate) fn remote(&self, connection: ConnectionId) -> Option<SocketAddr> {
        self.gate.remote(connection)
    }

    fn push(&mut self, event: ToSwarm<StreamEvent, Wish>) {
        self.queue.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn establish(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        dialler: bool,
    ) -> Result<Handler, ConnectionDenied> {
        let node = NodeId::from_peer_id(&peer).ok_or_else(|| ConnectionDenied::new(Refusal::NotEd25519))?;
        let remote = from_multiaddr(remote).ok_or_else(|| ConnectionDenied::new(Refusal::NotTcp))?;
        #[cfg(feature = "autonat")]
        if self.is_probe(connection, node, dialler) {
            return Ok(Handler::of_probe(self.names.clone()));
        }
        let shared = &self.shared;
        let instead = self
            .gate
            .establish(connection, node, remote, &shared.book(), shared.now_ms(), |it| {
                shared.is_silent(LinkKey::Swarm(it))
            })
            .map_err(ConnectionDenied::new)?;
        if let Some(connection) = instead {
            self.push(ToSwarm::GenerateEvent(StreamEvent::Replaced { connection }));
        }
        Ok(Handler::new(self.names.clone(), dialler))
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = StreamEvent;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let end = self.set_ups.end_of(local, remote);
        let remote = from_multiaddr(remote).ok_or_else(|| ConnectionDenied::new(Refusal::NotTcp))?;
        let accepted = self.gate.accept(connection, remote, &self.shared.book(), self.shared.now_ms());
        let gives_way = accepted.map_err(|refusal| {
            tracing::debug!(%remote, %refusal, "connection refused");
            ConnectionDenied::new(refusal)
        })?;
        self.pending.extend(end.map(|end| (connection, end)));
        if let Some(end) = gives_way.and_then(|it| self.pending.remove(&it)) {
            end.cancel();
        }
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.pending.remove(&connection);
        self.establish(connection, peer, remote, false)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        #[cfg(feature = "autonat")]
        if self.shared.probes().dialled.contains(&connection) {
            return Ok(Vec::new());
        }
        self.gate.dial(connection).map_err(ConnectionDenied::new)?;
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.establish(connection, peer, remote, true)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.gate.forget(closed.connection_id),
            FromSwarm::DialFailure(failed) => self.gate.forget(failed.connection_id),
            FromSwarm::ListenFailure(failed) => {
                self.pending.remove(&failed.connection_id);
                self.gate.forget(failed.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let Some(node) = NodeId::from_peer_id(&peer) else { return };
        let event = match event {
            Opened::Peer(stream) => StreamEvent::Peer { connection, node, stream },
            Opened::NoPeer => StreamEvent::NoPeer { connection },
            Opened::Bulk(bulk) => StreamEvent::Bulk { connection, bulk },
        };
        self.push(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
