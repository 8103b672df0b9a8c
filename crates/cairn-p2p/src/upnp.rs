//! Asking the router of the local network to forward the port that this node listens on, by UPnP.
//!
//! The work is done by `libp2p-upnp`, in a task of its own and not in the swarm: it has nothing to do with
//! connections, and what a router does to it stays there. A mapping is for an hour and is renewed after half of it.
//!
//! # Not provided
//!
//! Trust in whoever answers: any machine of the local network can say that it is the router, name an address that
//! leads nowhere, and send more than this program should read. Other nodes try what this one advertises and forget
//! what does not answer; against the rest there is only to leave it off.

use crate::address::{from_multiaddr, own_address, to_multiaddr};
use crate::network::Shared;
use futures::future::poll_fn;
use libp2p_core::Multiaddr;
use libp2p_core::transport::ListenerId;
use libp2p_swarm::behaviour::{ExpiredListenAddr, FromSwarm, NewListenAddr};
use libp2p_swarm::{NetworkBehaviour as _, ToSwarm};
use libp2p_upnp::Event;
use libp2p_upnp::tokio::Behaviour;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How often it is looked whether there is a mapping and this machine is still where it was.
const LOOK_TIME: Duration = Duration::from_secs(10 * 60);

/// Keeps `listening` forwarded until the network stops.
pub(crate) async fn run(shared: Arc<Shared>, listening: SocketAddr) {
    loop {
        let look = Instant::now() + LOOK_TIME;
        match local_address(listening) {
            Some(local) => Asking::new(local).run(&shared, listening).await,
            None => tracing::debug!("there is no router to be asked to forward a port"),
        }
        shared.set_mapped(None);
        sleep_until(look).await;
    }
}

/// Where the router reaches this node: in a private network over IPv4, which is all that UPnP knows.
fn local_address(listening: SocketAddr) -> Option<SocketAddr> {
    let ip = if listening.ip().is_unspecified() { own_address()? } else { listening.ip() };
    matches!(ip, IpAddr::V4(ip) if ip.is_private()).then(|| SocketAddr::new(ip, listening.port()))
}

/// One search for a router, and the mapping that came of it. Dropping it takes the mapping away, if there is time;
/// the router forgets it within the hour.
struct Asking {
    behaviour: Behaviour,
    listener: ListenerId,
    local: SocketAddr,
    place: Multiaddr,
}

impl Asking {
    fn new(local: SocketAddr) -> Self {
        let (mut behaviour, listener, place) =
            (Behaviour::default(), ListenerId::next(), to_multiaddr(local));
        let listens = NewListenAddr { listener_id: listener, addr: &place };
        behaviour.on_swarm_event(FromSwarm::NewListenAddr(listens));
        Self { behaviour, listener, local, place }
    }

    /// Goes on until there is no router, nothing is mapped after all attempts, or this machine is elsewhere.
    async fn run(mut self, shared: &Shared, listening: SocketAddr) {
        let mut mapped = None;
        loop {
            let look = Instant::now() + LOOK_TIME;
            while let Ok(done) = timeout_at(look, poll_fn(|context| self.behaviour.poll(context))).await {
                let ToSwarm::GenerateEvent(event) = done else { continue };
                match outcome_of(&event) {
                    Outcome::Mapped(address) => {
                        tracing::info!(%address, "the router forwards a port to this node");
                        mapped = Some(address);
                    }
                    Outcome::Lost => {
                        tracing::info!("the router forwards nothing to this node any more");
                        mapped = None;
                    }
                    Outcome::NoRouter => {
                        tracing::info!("no router forwards a port to this node");
                        return;
                    }
                }
                shared.set_mapped(mapped);
            }
            if mapped.is_none() || local_address(listening) != Some(self.local) {
                return;
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let gone = ExpiredListenAddr { listener_id: self.listener, addr: &self.place };
        self.behaviour.on_swarm_event(FromSwarm::ExpiredListenAddr(gone));
    }
}

/// What an event means to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Others reach it there.
    Mapped(SocketAddr),
    /// They did, and do no more.
    Lost,
    /// There is none, or it is itself behind another one.
    NoRouter,
}

fn outcome_of(event: &Event) -> Outcome {
    match event {
        Event::NewExternalAddr { external_addr, .. } => {
            from_multiaddr(external_addr).map_or(Outcome::NoRouter, Outcome::Mapped)
        }
        Event::ExpiredExternalAddr { .. } => Outcome::Lost,
        Event::GatewayNotFound | Event::NonRoutableGateway => Outcome::NoRouter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeKey;
    use crate::network::Settings;
    use tokio::sync::mpsc;

    #[test]
    fn events_of_a_router_say_where_others_reach_this_node() {
        let local_addr = to_multiaddr("192.168.1.2:7700".parse().unwrap());
        let public: SocketAddr = "93.184.216.34:7700".parse().unwrap();
        let external_addr = to_multiaddr(public);
        let (local, external) = (local_addr.clone(), external_addr.clone());
        let found = Event::NewExternalAddr { local_addr: local, external_addr: external };
        assert_eq!(outcome_of(&found), Outcome::Mapped(public));
        assert_eq!(outcome_of(&Event::ExpiredExternalAddr { local_addr, external_addr }), Outcome::Lost);
        assert_eq!(outcome_of(&Event::GatewayNotFound), Outcome::NoRouter);
        assert_eq!(outcome_of(&Event::NonRoutableGateway), Outcome::NoRouter);
    }

    #[test]
    fn only_a_node_in_a_private_network_over_ipv4_has_something_to_ask() {
        let of = |text: &str| local_address(text.parse().unwrap());
        assert_eq!(of("192.168.1.2:7700"), Some("192.168.1.2:7700".parse().unwrap()));
        for text in ["127.0.0.1:7700", "93.184.216.34:7700", "[::1]:7700", "[fd00::1]:7700"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_forwarded_is_advertised_first_and_no_longer_than_it_is() {
        let settings = Settings::new(NodeKey::from_seed([1; 32]), [7; 32]);
        let shared = Shared::new(&settings, mpsc::channel(1).0);
        let [own, public, peer] =
            ["0.0.0.0:7700", "93.184.216.34:7700", "198.51.100.1:1"].map(|text| text.parse().unwrap());
        shared.set_listen(vec![own]);
        shared.set_mapped(Some(public));
        assert_eq!(shared.hello(peer).listen, [public, own]);
        shared.set_listen(vec![own; 9]);
        assert_eq!(shared.hello(peer).listen.len(), crate::LISTEN_MAX);
        shared.set_mapped(None);
        assert_eq!(shared.hello(peer).listen, [own; 8]);
    }
}
