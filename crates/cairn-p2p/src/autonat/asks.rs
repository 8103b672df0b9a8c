//! Asking others to dial this node: one node, one address, one attempt at a time.

use crate::address::{Reach, is_dialable, to_multiaddr};
use crate::key::NodeId;
use crate::message::DIALS_BACK;
use crate::network::{Direction, Event, LinkKey, Peer, Shared};
use crate::streams::StreamEvent;
use libp2p_autonat::v2::client;
use libp2p_core::transport::PortUse;
use libp2p_core::{ConnectedPoint, Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::{ConnectionEstablished, FromSwarm, NewExternalAddrCandidate};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How long an attempt may take: half of it until the question goes out, and 10 s for the answer.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(25);
/// How long after a question one connection of who was asked is taken as his answer.
const EXPECTED_TIME: Duration = Duration::from_secs(15);
/// How many nodes it is remembered of that they were asked lately.
const ASKED_MAX: usize = 64;

/// A node that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) node: NodeId,
    /// The link with it, which this node has dialled.
    pub(crate) connection: ConnectionId,
    /// Where it would dial this node: at the address that it sees and the port that is listened on.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// A peer as one that can be asked, if it is: who was dialled and offers it, and sees this node at an
    /// address of its own. `port` is where this node listens.
    pub(crate) fn of(peer: &Peer, port: u16) -> Option<Self> {
        let LinkKey::Swarm(connection) = peer.key else { return None };
        let observed = peer.hello.observed.filter(|it| is_dialable(it.ip()))?;
        let offers = peer.direction == Direction::Outbound && peer.hello.services & DIALS_BACK != 0;
        offers.then(|| Self { node: peer.node, connection, address: SocketAddr::new(observed.ip(), port) })
    }
}

/// The client of AutoNAT, anew for each attempt.
pub(crate) struct Asks {
    client: client::Behaviour,
    shared: Arc<Shared>,
    /// All connections, of which a new client must know.
    connections: HashMap<ConnectionId, (PeerId, ConnectedPoint)>,
    attempt: Option<Attempt>,
    next: Instant,
    /// Nodes that were asked, the latest last.
    asked: VecDeque<NodeId>,
}

#[derive(Debug)]
struct Attempt {
    server: Server,
    until: Instant,
    is_sent: bool,
}

impl Asks {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            client: client::Behaviour::default(),
            shared,
            connections: HashMap::new(),
            attempt: None,
            next: Instant::now(),
            asked: VecDeque::new(),
        }
    }

    /// Begins an attempt if it is time for one: the connection to be told that its other side can be asked.
    pub(crate) fn turn(&mut self, now: Instant, servers: &[Server]) -> Option<Server> {
        if self.attempt.as_ref().is_some_and(|attempt| attempt.until <= now) {
            tracing::debug!("nobody has said whether this node can be dialled");
            self.end(now);
        }
        if self.attempt.is_some() || now < self.next {
            return None;
        }
        // Who sees this node from far away knows more than a neighbour; of equals, who was asked longest ago.
        let last_asked = |it: &Server| self.asked.iter().rposition(|asked| *asked == it.node);
        let turn = |it: &&Server| (Reverse(Reach::of(it.address.ip())), last_asked(it));
        let server = *servers.iter().min_by_key(turn)?;
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(server.node);
        self.renew_client();
        let address = to_multiaddr(server.address);
        let candidate = NewExternalAddrCandidate { addr: &address };
        self.client.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
        self.attempt = Some(Attempt { server, until: now + ATTEMPT_TIME_MAX, is_sent: false });
        Some(server)
    }

    /// A client remembers for good what came of an address, and would ask whoever it likes: each has one to ask.
    fn renew_client(&mut self) {
        self.client = client::Behaviour::default();
        for (connection_id, (peer_id, endpoint)) in &self.connections {
            self.client.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: *peer_id,
                connection_id: *connection_id,
                endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
        }
    }

    fn end(&mut self, now: Instant) {
        self.attempt = None;
        self.next = now + self.shared.verdict().pause(self.shared.deadlines.dial_back);
    }

    /// The question goes out, once in an attempt and to the node that it is for.
    fn may_send(&mut self, peer: &PeerId) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        if attempt.is_sent || NodeId::from_peer_id(peer) != Some(attempt.server.node) {
            return false;
        }
        attempt.is_sent = true;
        self.shared.probes().expect(attempt.server.node, Instant::now() + EXPECTED_TIME);
        true
    }

    /// What came of the attempt, from the node that it is with.
    fn note(&mut self, peer: &PeerId, is_reached: bool) {
        let Some(Attempt { server, .. }) = &self.attempt else { return };
        if NodeId::from_peer_id(peer) != Some(server.node) {
            return;
        }
        tracing::debug!(server = %server.node, address = %server.address, is_reached, "this node was dialled");
        let before = self.shared.reachability();
        self.shared.verdict().note(server.address, is_reached);
        let now = self.shared.reachability();
        if now != before {
            // Where the owner is far behind, it finds the same when it asks.
            let _ = self.shared.events().try_send(Event::Reachability(now));
        }
        self.end(Instant::now());
    }
}

impl NetworkBehaviour for Asks {
    type ConnectionHandler = THandler<client::Behaviour>;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.client.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.client.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(it) => {
                self.connections.insert(it.connection_id, (it.peer_id, it.endpoint.clone()));
            }
            FromSwarm::ConnectionClosed(it) => drop(self.connections.remove(&it.connection_id)),
            // It has none but the one that an attempt gives it.
            FromSwarm::NewExternalAddrCandidate(_) => return,
            _ => {}
        }
        self.client.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.client.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        loop {
            let Poll::Ready(event) = self.client.poll(context) else { return Poll::Pending };
            match event {
                ToSwarm::NotifyHandler { peer_id, handler, event } if self.may_send(&peer_id) => {
                    return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event });
                }
                ToSwarm::GenerateEvent(tested) => self.note(&tested.server, tested.result.is_ok()),
                // What it would have the swarm believe of addresses is nothing to anybody here.
                _ => {}
            }
        }
    }
}

impl From<Infallible> for StreamEvent {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Settings;
    use crate::{NodeKey, Reachability};
    use tokio::sync::mpsc;

    fn server(seed: u8, address: &str) -> Server {
        let node = NodeKey::from_seed([seed; 32]).id();
        Server {
            node,
            connection: ConnectionId::new_unchecked(seed.into()),
            address: address.parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn those_who_see_this_node_from_afar_are_asked_in_turn() {
        let settings = Settings::new(NodeKey::from_seed([1; 32]), [7; 32]);
        let mut asks = Asks::new(Arc::new(Shared::new(&settings, mpsc::channel(8).0)));
        let near = server(2, "192.168.1.2:7700");
        let (far, other) = (server(3, "198.51.100.1:7700"), server(4, "198.51.100.1:7700"));
        let mut now = Instant::now();
        assert_eq!(asks.turn(now, &[]), None);
        assert_eq!(asks.turn(now, &[near]), Some(near), "it is better than nobody");
        assert_eq!(asks.turn(now, &[far]), None, "one at a time");
        for expected in [far, other, far, other] {
            now += ATTEMPT_TIME_MAX + settings.deadlines.dial_back;
            // The attempt before has come to nothing, and the pause after it is over in the next turn.
            asks.turn(now - settings.deadlines.dial_back, &[]);
            assert_eq!(asks.turn(now, &[near, far, other]), Some(expected));
        }
        assert_eq!(asks.shared.reachability(), Reachability::Unknown);
        // Only who was asked has something to say about it.
        for _ in 0..2 {
            asks.note(&far.node.to_peer_id(), false);
        }
        assert_eq!(asks.shared.reachability(), Reachability::Unknown);
        asks.note(&other.node.to_peer_id(), true);
        assert_eq!(asks.shared.reachability(), Reachability::Reachable(other.address));
    }
}
