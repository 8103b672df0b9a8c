//! Dialling back for those who ask whether they can be dialled: only the machine that asks, and not too often.

use crate::address::{AddressHost, from_multiaddr, is_dialable};
use crate::frame::Rate;
use crate::limits::Refusal;
use crate::network::Shared;
use crate::session::Bucket;
use libp2p_autonat::v2::server;
use libp2p_core::transport::PortUse;
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::{DialFailure, FromSwarm};
use libp2p_swarm::dial_opts::DialOpts;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, DialError, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Dials for others at the same time.
pub(crate) const DIAL_BACKS_MAX: usize = 4;
/// Dials for others in a row and in a minute.
const DIAL_BACK_RATE: Rate = Rate { burst: 8, a_minute: 30 };
/// Of the time between two questions of a node, one part in so many passes between two dials to one machine.
const PAUSE_PARTS: u32 = 3;
/// Questions that get no answer at the same time; more are told that the dial has failed.
const UNANSWERED_MAX: usize = 256;
/// After this time nobody waits for the answer to a question any more: `libp2p-autonat` gives it 10 s.
const ANSWER_TIME: Duration = Duration::from_secs(11);

/// The server of AutoNAT, and what it may dial.
pub(crate) struct DialsBack {
    server: server::Behaviour,
    shared: Arc<Shared>,
    /// Who has dialled this node, and from where: at most as many as there may be connections.
    askers: HashMap<ConnectionId, (PeerId, IpAddr)>,
    rate: Bucket,
    /// Whom this node has dialled back lately; bounded by the rate.
    hosts: HashMap<AddressHost, Instant>,
    /// Questions that get no answer, because there are too many, and when the server may forget them.
    unanswered: VecDeque<(ConnectionId, PeerId, Instant)>,
}

impl DialsBack {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            server: server::Behaviour::default(),
            shared,
            askers: HashMap::new(),
            rate: Bucket::new(DIAL_BACK_RATE, Instant::now()),
            hosts: HashMap::new(),
            unanswered: VecDeque::new(),
        }
    }

    /// Lets the server forget what it was not allowed to dial.
    pub(crate) fn turn(&mut self, now: Instant) {
        let is_over = |(.., until): &mut (_, _, Instant)| *until <= now;
        while let Some((connection_id, peer, _)) = self.unanswered.pop_front_if(is_over) {
            self.forget(connection_id, peer);
        }
    }

    /// Lets the server forget a dial.
    fn forget(&mut self, connection_id: ConnectionId, peer: PeerId) {
        let failed = DialFailure { peer_id: Some(peer), error: &DialError::Aborted, connection_id };
        self.server.on_swarm_event(FromSwarm::DialFailure(failed));
    }

    /// Whether there is room for one more dial. Where there is none the question gets no answer: to say that
    /// the dial has failed would be a lie that the other side believes.
    fn may_dial(&mut self, options: &DialOpts, now: Instant) -> bool {
        let peer = options.get_peer_id();
        let asker = self.askers.values().find(|(asker, _)| Some(*asker) == peer);
        let Some(host) = asker.map(|(_, ip)| AddressHost::of(*ip)) else { return false };
        let pause = self.shared.deadlines.dial_back / PAUSE_PARTS;
        self.hosts.retain(|_, last| now.duration_since(*last) < pause);
        let has_room = self.shared.probes().dialled.len() < DIAL_BACKS_MAX;
        if !has_room || self.hosts.contains_key(&host) || !self.rate.take(now) {
            return false;
        }
        self.hosts.insert(host, now);
        true
    }

    /// Whether this is one address of a machine from which `peer` has dialled this node.
    fn is_of_asker(&self, peer: Option<PeerId>, addresses: &[Multiaddr]) -> bool {
        let [address] = addresses else { return false };
        let Some(address) = from_multiaddr(address) else { return false };
        let is_own = |(asker, ip): &(PeerId, IpAddr)| Some(*asker) == peer && *ip == address.ip();
        address.port() != 0 && is_dialable(address.ip()) && self.askers.values().any(is_own)
    }
}

impl NetworkBehaviour for DialsBack {
    type ConnectionHandler = THandler<server::Behaviour>;
    type ToSwarm = Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.shared.probes().dialled.contains(&connection) && !self.is_of_asker(peer, addresses) {
            tracing::debug!(?peer, ?addresses, "asked to dial somebody else");
            return Err(ConnectionDenied::new(Refusal::NotTheAsker));
        }
        Ok(Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if let Some(remote) = from_multiaddr(remote) {
            self.askers.insert(connection, (peer, remote.ip()));
        }
        self.server.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.server.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionClosed(it) => {
                self.askers.remove(&it.connection_id);
                self.shared.probes().dialled.remove(&it.connection_id);
            }
            FromSwarm::DialFailure(it) => drop(self.shared.probes().dialled.remove(&it.connection_id)),
            // Another part of the swarm may refuse a connection after this one has counted it.
            FromSwarm::ListenFailure(it) => drop(self.askers.remove(&it.connection_id)),
            _ => {}
        }
        self.server.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.server.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        loop {
            let Poll::Ready(event) = self.server.poll(context) else { return Poll::Pending };
            match event {
                ToSwarm::Dial { opts } => {
                    let (now, connection) = (Instant::now(), opts.connection_id());
                    if self.may_dial(&opts, now) {
                        self.shared.probes().dialled.insert(connection);
                        return Poll::Ready(ToSwarm::Dial { opts });
                    }
                    let Some(peer) = opts.get_peer_id() else { continue };
                    if self.unanswered.len() < UNANSWERED_MAX {
                        self.unanswered.push_back((connection, peer, now + ANSWER_TIME));
                    } else {
                        self.forget(connection, peer);
                    }
                }
                ToSwarm::NotifyHandler { peer_id, handler, event } => {
                    return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event });
                }
                ToSwarm::GenerateEvent(done) => {
                    tracing::debug!(asker = %done.client, address = %done.tested_addr, "dialled back");
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Settings;
    use crate::{NodeId, NodeKey};
    use tokio::sync::mpsc;

    fn dials_back() -> DialsBack {
        let settings = Settings::new(NodeKey::from_seed([1; 32]), [7; 32]);
        DialsBack::new(Arc::new(Shared::new(&settings, mpsc::channel(1).0)))
    }

    fn node(seed: u8) -> NodeId {
        NodeKey::from_seed([seed; 32]).id()
    }

    /// Lets the node with this seed dial from a machine of its own, and ask.
    fn ask(dials: &mut DialsBack, seed: u8, now: Instant) -> bool {
        let (peer, ip) = (node(seed).to_peer_id(), IpAddr::from([192, 0, 2, seed]));
        dials.askers.insert(ConnectionId::new_unchecked(seed.into()), (peer, ip));
        dials.may_dial(&DialOpts::peer_id(peer).addresses(Vec::new()).build(), now)
    }

    #[tokio::test]
    async fn a_machine_is_dialled_after_a_pause_and_all_together_at_a_rate() {
        let (mut dials, now) = (dials_back(), Instant::now());
        assert!(ask(&mut dials, 1, now));
        assert!(!ask(&mut dials, 1, now), "it has just been dialled");
        let burst = u8::try_from(DIAL_BACK_RATE.burst).unwrap();
        for seed in 2..=burst {
            assert!(ask(&mut dials, seed, now), "{seed}");
        }
        assert!(!ask(&mut dials, burst + 1, now));
        assert!(ask(&mut dials, 1, now + Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn few_are_dialled_at_the_same_time() {
        let (mut dials, now) = (dials_back(), Instant::now());
        for number in 0..DIAL_BACKS_MAX {
            dials.shared.probes().dialled.insert(ConnectionId::new_unchecked(1_000 + number));
        }
        assert!(!ask(&mut dials, 1, now));
        dials.shared.probes().dialled.clear();
        assert!(ask(&mut dials, 1, now));
    }
}
