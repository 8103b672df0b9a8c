//! Looking whether nodes are where they say: a tracker dials an address before it names it to others.
//!
//! Looks are links of another node than the tracker's own, whose key is new at each start: a link that a node
//! has with the tracker is left as it is, and what is found is what a stranger would find.

use super::registry::Look;
use cairn_p2p::{
    Bye, ByeCode, DialFailure, Event, Events, LeaveReason, Network, NodeId, NodeKey, PeerAddress, PeerNumber,
    Roles, Settings, StartError,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// The most addresses that wait to be looked at.
pub(super) const WAITING_MAX: usize = 1_024;
/// The most addresses that are looked at at the same time.
pub(super) const LOOKS_MAX: usize = 8;
/// Results that wait to be taken.
const RESULTS_MAX: usize = 64;

/// Who is looked for, and where.
pub(super) type Target = (SocketAddr, NodeId);

/// Has addresses looked at.
#[derive(Clone, Debug)]
pub(super) struct Looker(Sender<Target>);

impl Looker {
    /// Begins to look, on the runtime that this is called on; what was found comes out of the receiver.
    pub(super) async fn start(
        identity: [u8; 32],
        name: String,
    ) -> Result<(Self, Receiver<(Target, Look)>), StartError> {
        let settings =
            Settings { name, roles: Roles::TRACKER, ..Settings::new(NodeKey::generate(), identity) };
        let (network, events) = Network::start(settings).await?;
        let (orders, ordered) = mpsc::channel(WAITING_MAX);
        let (results, found) = mpsc::channel(RESULTS_MAX);
        let looking = Looking { network, results, waiting: VecDeque::new(), running: BTreeMap::new() };
        tokio::spawn(looking.run(ordered, events));
        Ok((Self(orders), found))
    }

    /// Looks at an address as soon as there is time; false where too many wait.
    pub(super) fn look(&self, target: Target) -> bool {
        self.0.try_send(target).is_ok()
    }
}

struct Looking {
    network: Network,
    results: Sender<(Target, Look)>,
    /// At most [`LOOKS_MAX`] of them: the rest waits where it was ordered.
    waiting: VecDeque<Target>,
    /// A node is looked at at one place at a time: two links with one node cannot be.
    running: BTreeMap<NodeId, Running>,
}

struct Running {
    address: SocketAddr,
    /// Its link, which is being ended.
    link: Option<PeerNumber>,
}

impl Looking {
    async fn run(mut self, mut ordered: Receiver<Target>, mut events: Events) {
        loop {
            self.begin().await;
            tokio::select! {
                target = ordered.recv(), if self.waiting.len() < LOOKS_MAX => match target {
                    Some(target) => {
                        if !self.waiting.contains(&target) {
                            self.waiting.push_back(target);
                        }
                    }
                    None => break,
                },
                event = events.next() => match event {
                    Some(event) => self.take(event).await,
                    None => break,
                },
            }
        }
        self.network.stop().await;
    }

    /// Dials whoever can be.
    async fn begin(&mut self) {
        while self.running.len() < LOOKS_MAX {
            let free = self.waiting.iter().position(|(_, node)| !self.running.contains_key(node));
            let Some((address, node)) = free.and_then(|place| self.waiting.remove(place)) else { return };
            let dialled = PeerAddress { id: Some(node), ..PeerAddress::of(address) };
            if self.network.dial(dialled).is_ok() {
                self.running.insert(node, Running { address, link: None });
            } else {
                self.tell((address, node), Look::Unclear).await;
            }
        }
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Joined { peer, info } => {
                self.network.disconnect(peer, Bye::new(ByeCode::Leaving, "it was only looked who is there"));
                let Some(running) = self.running.get_mut(&info.node) else { return };
                running.link = Some(peer);
                let target = (running.address, info.node);
                self.tell(target, Look::Alive).await;
            }
            Event::Left { peer, node, .. }
                if self.running.get(&node).is_some_and(|running| running.link == Some(peer)) =>
            {
                self.running.remove(&node);
            }
            Event::DialFailed { address: PeerAddress { id: Some(node), .. }, why } => {
                if let Some(running) = self.running.remove(&node) {
                    tracing::debug!(address = %running.address, %node, %why, "not reached");
                    self.tell((running.address, node), judge(&why)).await;
                }
            }
            _ => {}
        }
    }

    async fn tell(&self, target: Target, look: Look) {
        // Without a tracker nobody needs to know.
        let _ = self.results.send((target, look)).await;
    }
}

/// What a dial that came to nothing says about the node.
fn judge(why: &DialFailure) -> Look {
    match why {
        // It is there, and has no room or does not want us.
        DialFailure::Greeting(LeaveReason::Theirs(_))
        | DialFailure::Connected { .. }
        | DialFailure::Closed => Look::Unclear,
        // Nothing was tried.
        DialFailure::Refused(_) | DialFailure::Stopped => Look::Unclear,
        DialFailure::Name
        | DialFailure::Unreachable(_)
        | DialFailure::NoNode(_)
        | DialFailure::WrongNode { .. }
        | DialFailure::Myself
        | DialFailure::OtherNetwork
        | DialFailure::Greeting(_) => Look::Dead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn node(seed: u8, identity: [u8; 32]) -> (Network, Events) {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let key = NodeKey::from_seed([seed; 32]);
        Network::start(Settings { listen, ..Settings::new(key, identity) }).await.unwrap()
    }

    #[tokio::test]
    async fn a_node_is_found_where_it_is_and_only_there() {
        let identity = [7; 32];
        let (network, mut events) = node(1, identity).await;
        let (foreign, _foreign_events) = node(2, [8; 32]).await;
        let (here, there) = (network.listening()[0], foreign.listening()[0]);
        tokio::spawn(async move { while events.next().await.is_some() {} });
        let nobody = {
            let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            held.local_addr().unwrap()
        };
        let (looker, mut found) = Looker::start(identity, "tracker".to_owned()).await.unwrap();
        let stranger = NodeKey::from_seed([3; 32]).id();
        let cases = [
            ((here, network.id()), Look::Alive),
            ((here, network.id()), Look::Alive),
            ((here, stranger), Look::Dead),
            ((nobody, stranger), Look::Dead),
            ((there, foreign.id()), Look::Dead),
        ];
        for (target, expected) in cases {
            assert!(looker.look(target));
            assert_eq!(found.recv().await.unwrap(), (target, expected));
        }
        network.stop().await;
        foreign.stop().await;
    }
}
