//! The links with other nodes: what the node asks of its peers is carried out, what they say is handed in.
//!
//! ```text
//!   peers ──frames──► events ──questions──► answers (from what is durable)
//!     ▲                 │  └──what has signatures───► checkers
//!     │                 └──all else──► node thread ◄──────┘
//!     └──────────── carry_out ◄─────────── effects
//! ```
//!
//! # Provided
//!
//! A peer's frames are read on only as far as the node has handled what came before: whoever floods waits
//! for himself. Nothing here waits for a peer while another is served.

mod answers;
mod dialer;
mod events;
mod introductions;
mod orders;
mod trackers;

pub(crate) use answers::send_genesis_text;
pub(crate) use dialer::FILE as ADDRESSES_FILE;
pub use dialer::{Kept, PEERS_MAX};
pub(crate) use events::message_of;
pub(crate) use orders::read_added;
pub use orders::{Who, WhoError};

use super::checkers::{Body, Checkers, OfPeer};
use super::worker::now;
use super::{Command, NodeHandle};
use answers::{ANSWERS_MAX, Questions};
use cairn_core::hash::LeafHash;
use cairn_core::transaction::IdentifiedTransaction;
use cairn_node::PeerKey;
use cairn_node::peers::{AskId, JudgedFor, Offence, PeerEffect, PeerInput};
use cairn_node::queries::Tip;
use cairn_node::wire::{ANSWERS, BULK_TAGS, Message, PEER_TAGS};
use cairn_p2p::{
    Ban, Bye, ByeCode, Credit, Features, Frame, KeyFileError, Limits, Network, NodeId, NodeKey, PeerAddress,
    PeerInfo, PeerNumber, Place, Priority, Rate, Reachability, RequestNumber, Roles, SOUGHT_MAX, Settings,
    StartError, Tag, TagRule, Tags,
};
use dialer::Dialer;
use introductions::Introductions;
use orders::Orders;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use trackers::{TRACKERS_MAX, Trackers};

/// The name of the file with the key of the node, in its data directory.
pub const KEY_FILE: &str = "p2p-key";

/// How often bans are saved at most that follow from what peers do.
const SAVE_TIME: Duration = Duration::from_secs(2);

/// How a node meets others.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Where it accepts connections; nowhere if empty.
    pub listen: Vec<SocketAddr>,
    /// Nodes to which it keeps a link.
    pub peers: Vec<PeerAddress>,
    /// Trackers that it asks for the addresses of others.
    pub trackers: Vec<PeerAddress>,
    /// What its owner calls it.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// Whether limits on connections from one machine hold for this machine too.
    pub loopback_is_one_host: bool,
    /// What it does beyond that.
    pub features: Features,
}

/// The links could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The key of the node cannot be used.
    #[error("the key of the node in {} cannot be used", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyFileError,
    },
    /// It cannot listen.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The links of a running node. Clones are the same.
#[derive(Clone, Debug)]
pub struct Links(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    network: Network,
    node: NodeHandle,
    requests: Mutex<Requests>,
    questions: Questions,
    /// Leave to read blocks for an answer.
    reads: Arc<Semaphore>,
    /// The genesis file, once somebody has asked for it.
    genesis_text: OnceLock<String>,
    /// Peers that are no full nodes: they ask, and tell nothing.
    clients: Mutex<BTreeSet<PeerNumber>>,
    introductions: Mutex<Introductions>,
    /// Tells that bans have changed and are to be kept.
    bans_changed: Notify,
    dialer: Dialer,
    trackers: Trackers,
    orders: Orders,
    /// When the tip was last another one.
    last_block: Mutex<Instant>,
}

impl Inner {
    fn last_block(&self) -> Instant {
        *self.last_block.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests for blocks that are under way.
#[derive(Debug, Default)]
struct Requests {
    running: BTreeMap<RequestNumber, Running>,
    by_ask: BTreeMap<AskId, (PeerNumber, RequestNumber)>,
}

#[derive(Debug)]
struct Running {
    peer: PeerKey,
    ask: AskId,
    /// Blocks that have come and are being checked.
    checking: usize,
    /// Whether the answer was complete; none while it comes.
    ended: Option<bool>,
}

impl Links {
    /// Listens, and begins to talk. Must be called on the runtime that is to serve the links.
    ///
    /// # Errors
    ///
    /// [`LinkError`] if the key cannot be used or a port is taken.
    pub async fn start(
        node: NodeHandle,
        directory: &Path,
        settings: LinkSettings,
    ) -> Result<Self, LinkError> {
        let path = directory.join(KEY_FILE);
        let key = NodeKey::load_or_create(&path).map_err(|source| LinkError::Key { path, source })?;
        let identity = node.genesis().identity().0;
        let limits = Limits {
            loopback_is_one_host: settings.loopback_is_one_host,
            // All that were named, those that are sought, trackers, one on a stale tip and a feeler.
            outbound_max: PEERS_MAX + SOUGHT_MAX + TRACKERS_MAX + 2,
            ..Limits::default()
        };
        let (orders, bans) = Orders::load(directory);
        let (network, events) = Network::start(Settings {
            name: settings.name,
            roles: settings.roles,
            listen: settings.listen,
            tags: tags(),
            bans,
            limits,
            features: settings.features,
            ..Settings::new(key, identity)
        })
        .await?;
        let dialer = Dialer::new(directory, settings.peers.into_iter().chain(orders.added()));
        let trackers = Trackers::new(settings.trackers.into_iter());
        let inner = Inner {
            network,
            node: node.clone(),
            requests: Mutex::default(),
            questions: Questions::default(),
            reads: Arc::new(Semaphore::new(ANSWERS_MAX)),
            genesis_text: OnceLock::new(),
            clients: Mutex::default(),
            introductions: Mutex::new(Introductions::new(Instant::now())),
            bans_changed: Notify::new(),
            dialer,
            trackers,
            orders,
            last_block: Mutex::new(Instant::now()),
        };
        let links = Self(Arc::new(inner));
        links.note_tip_of(&node).await;
        node.attach(links.clone());
        tokio::spawn(links.clone().run(events));
        tokio::spawn(links.clone().keep_bans());
        tokio::spawn(links.clone().keep_dialling());
        tokio::spawn(links.clone().keep_tracking());
        Ok(links)
    }

    /// Where it listens, with the ports that the system has chosen.
    pub fn listening(&self) -> &[SocketAddr] {
        self.0.network.listening()
    }

    /// The network below.
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// Says farewell to all peers.
    pub async fn stop(&self) {
        let peers = self.0.network.peers();
        tokio::task::block_in_place(|| self.0.dialer.save(&peers));
        self.0.network.stop().await;
    }

    /// All peers, those that have been there longest first.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.0.network.peers()
    }

    /// Keeps a link to a node from now on, also after a restart; false if it does already, or if there are
    /// too many.
    pub fn add(&self, address: PeerAddress) -> bool {
        let is_new = self.0.dialer.add(address.clone());
        if is_new {
            self.0.orders.add(address);
            self.save();
        }
        is_new
    }

    /// Keeps no link to a node any more, and ends the one there is; false if none was kept.
    pub fn remove(&self, address: &PeerAddress) -> bool {
        let node = self.0.dialer.node_at(address);
        let was_kept = self.0.dialer.remove(address);
        self.0.network.set_trusted_address(address, false);
        if was_kept {
            self.0.orders.remove(address);
            self.save();
        }
        let peers = self.0.network.peers();
        let is_meant = |peer: &&PeerInfo| peer.dialled.as_ref() == Some(address) || Some(peer.node) == node;
        let meant = peers.iter().filter(is_meant);
        for peer in meant {
            self.0.network.set_trusted(peer.node, false);
            self.send_away(peer.number);
        }
        was_kept
    }

    /// Ends the links of a node; false if there is none. It may come again.
    pub fn disconnect(&self, node: NodeId) -> bool {
        let peers = self.0.network.peers();
        let mut meant = peers.iter().filter(|peer| peer.node == node).peekable();
        let is_there = meant.peek().is_some();
        meant.for_each(|peer| self.send_away(peer.number));
        is_there
    }

    fn send_away(&self, peer: PeerNumber) {
        self.0.network.disconnect(peer, Bye::new(ByeCode::Operator, "the operator wants it"));
    }

    /// How many addresses of nodes are known, and how many of them were talked to.
    pub fn known_addresses(&self) -> (usize, usize) {
        self.0.dialer.known()
    }

    /// Whether others can dial this node; none where nobody has tried.
    pub fn is_reachable(&self) -> Option<bool> {
        match self.0.network.reachability() {
            Reachability::Unknown => None,
            Reachability::Reachable(_) => Some(true),
            Reachability::Unreachable(_) => Some(false),
        }
    }

    /// Nodes to which a link is kept.
    pub fn kept(&self) -> Vec<Kept> {
        self.0.dialer.kept(&self.0.network.peers())
    }

    /// Bans for so many seconds, and ends the links that this is against. It outlives the program.
    pub fn ban(&self, who: Who, seconds: u64) {
        let until_ms = now().0.saturating_add(seconds.saturating_mul(1_000));
        self.0.network.ban(Ban { who: who.0, until_ms });
        self.save();
    }

    /// Lifts a ban; whether there was one.
    pub fn unban(&self, who: Who) -> bool {
        let was_banned = self.0.network.unban(who.0);
        self.save();
        was_banned
    }

    /// Who is banned, and until when in milliseconds since 1970.
    pub fn bans(&self) -> Vec<(Who, u64)> {
        self.0.network.bans().into_iter().map(|ban| (Who(ban.who), ban.until_ms)).collect()
    }

    /// Saves bans that follow from what peers do, now and then: a stranger can cause one with a message, and
    /// nobody waits for the disk because of that.
    async fn keep_bans(self) {
        loop {
            self.0.bans_changed.notified().await;
            self.save();
            tokio::time::sleep(SAVE_TIME).await;
        }
    }

    fn save(&self) {
        // A file and a sync of the disk: others go on meanwhile.
        tokio::task::block_in_place(|| self.0.orders.save(&self.0.network.bans()));
    }

    /// Greetings say from now on that the node is so far.
    pub(super) fn note_tip(&self, tip: &Tip<'_>) {
        *self.0.last_block.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.network.set_hello_state(tip.header.height.0, tip.id.0, tip.work.to_be_bytes());
    }

    async fn note_tip_of(&self, node: &NodeHandle) {
        let links = self.clone();
        // A node that stops has nothing to say.
        let _ = node.ask(move |node, _| links.note_tip(&node.tip())).await;
    }

    /// Carries out what the node asks for. Never waits.
    pub(super) fn carry_out(&self, peer: PeerKey, effect: PeerEffect) {
        let number = PeerNumber(peer.0);
        match effect {
            PeerEffect::Send(message) => {
                // Whoever takes nothing is given up by the link; what was for him is asked for elsewhere.
                self.send(number, &message, priority_of(&message));
            }
            PeerEffect::Judge { purpose, transactions } => self.judge(peer, purpose, transactions),
            PeerEffect::Ask { ask, blocks } => self.ask(peer, ask, blocks),
            PeerEffect::Cancel(ask) => {
                if let Some((peer, request)) = self.requests().by_ask.get(&ask) {
                    self.0.network.cancel(*peer, *request);
                }
            }
            PeerEffect::Strike(offence) => self.0.network.strike(number, to_strike(offence)),
            PeerEffect::Praise => self.0.network.praise(number),
        }
    }

    /// Sends a message, and tells the log of it if it goes.
    fn send(&self, peer: PeerNumber, message: &Message, priority: Priority) {
        let frame = frame_of(message);
        if self.0.network.send(peer, frame.clone(), priority).is_ok() {
            trace("to", peer, &frame);
        }
    }

    fn judge(&self, peer: PeerKey, purpose: JudgedFor, transactions: Vec<IdentifiedTransaction>) {
        let leaves: Vec<LeafHash> = transactions.iter().map(IdentifiedTransaction::leaf).collect();
        let refused = leaves.clone();
        if self.checkers().check_of_peer(OfPeer { peer, purpose, leaves, transactions }).is_err() {
            self.hand_in(peer, PeerInput::Judged { purpose, leaves: refused, verdicts: None });
        }
    }

    fn ask(&self, peer: PeerKey, ask: AskId, blocks: Vec<cairn_core::hash::BlockId>) {
        let number = PeerNumber(peer.0);
        let frame = frame_of(&Message::GetBlocks(blocks));
        // Under the lock, so that no answer comes before the request has its name.
        let mut requests = self.requests();
        match self.0.network.ask(number, frame.clone()) {
            Ok(request) => {
                trace("to", number, &frame);
                requests.running.insert(request, Running { peer, ask, checking: 0, ended: None });
                requests.by_ask.insert(ask, (number, request));
            }
            Err(_) => {
                drop(requests);
                self.hand_in(peer, PeerInput::AskEnded { ask, complete: false });
            }
        }
    }

    /// Hands something in that holds no credit. Where the node is too busy it is lost, and time runs out
    /// for what waited for it.
    fn hand_in(&self, peer: PeerKey, input: PeerInput) {
        let _ = self.0.node.command(Command::Peer { at: now(), peer, input: Box::new(input), credit: None });
    }

    /// A block of an answer was checked.
    pub(super) fn note_checked(&self, request: RequestNumber) {
        let mut requests = self.requests();
        if let Some(running) = requests.running.get_mut(&request) {
            running.checking -= 1;
        }
        self.end_if_done(requests, request);
    }

    /// An answer has ended.
    fn note_ended(&self, request: RequestNumber, complete: bool) {
        let mut requests = self.requests();
        if let Some(running) = requests.running.get_mut(&request) {
            running.ended = Some(complete);
        }
        self.end_if_done(requests, request);
    }

    /// Tells the node of the end of an answer, once all of its blocks were handed in.
    fn end_if_done(&self, mut requests: MutexGuard<'_, Requests>, request: RequestNumber) {
        let Some(Running { checking: 0, ended: Some(_), .. }) = requests.running.get(&request) else {
            return;
        };
        let Some(Running { peer, ask, ended, .. }) = requests.running.remove(&request) else { return };
        requests.by_ask.remove(&ask);
        drop(requests);
        self.hand_in(peer, PeerInput::AskEnded { ask, complete: ended.unwrap_or_default() });
    }

    /// Gives a block of an answer to the checkers.
    fn check_body(&self, request: RequestNumber, bytes: Arc<[u8]>, credit: Credit) {
        let mut requests = self.requests();
        let Some(running) = requests.running.get_mut(&request) else { return };
        running.checking += 1;
        let (peer, ask) = (running.peer, running.ask);
        drop(requests);
        let links = self.clone();
        self.checkers().check_body(Body { at: now(), peer, ask, request, bytes, credit, links });
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        // Nothing under the lock can panic halfway through a change.
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checkers(&self) -> &Checkers {
        self.0.node.checkers()
    }
}

/// The target of the log under which every message is told, but for the genesis file: `cairn log
/// cairn::messages=debug`.
const MESSAGES: &str = "cairn::messages";

/// Tells of a message, for who wants to see how nodes talk.
fn trace(way: &'static str, peer: PeerNumber, frame: &Frame) {
    tracing::debug!(target: MESSAGES, way, %peer, tag = %frame.tag, bytes = frame.body.len(), "message");
}

/// A message as a frame.
pub(crate) fn frame_of(message: &Message) -> Frame {
    Frame::new(tag_of(message.tag()), message.to_body())
}

fn tag_of(tag: cairn_node::wire::Tag) -> Tag {
    Tag::from_bytes(&tag.0).expect("the tags of messages are three letters")
}

/// What moves the chain goes before what waits for it.
const fn priority_of(message: &Message) -> Priority {
    match message {
        Message::Announce(_)
        | Message::GetTransactions(_)
        | Message::NotFound(_)
        | Message::Transactions(_) => Priority::Transaction,
        Message::GetHeaders { .. }
        | Message::Headers(_)
        | Message::GetCompact(_)
        | Message::Compact(_)
        | Message::GetBlockTransactions { .. }
        | Message::BlockTransactions { .. }
        | Message::GetBlocks(_)
        | Message::Block(_)
        | Message::GetGenesis(_)
        | Message::Genesis(_) => Priority::Block,
    }
}

const fn to_strike(offence: Offence) -> cairn_p2p::Offence {
    match offence {
        Offence::NoAnswer => cairn_p2p::Offence::Unanswered,
        Offence::UnaskedHeaders => cairn_p2p::Offence::UnaskedHeaders,
        Offence::Stalled => cairn_p2p::Offence::Stall,
        Offence::Unasked | Offence::UselessHeaders => cairn_p2p::Offence::Unsolicited,
        Offence::InvalidTransaction => cairn_p2p::Offence::InvalidTransaction,
        Offence::InvalidHeader => cairn_p2p::Offence::InvalidHeader,
        Offence::InvalidBlock => cairn_p2p::Offence::InvalidBlock,
    }
}

/// Where each frame stands, and how many of it a peer may send. Answers have no rate: there are no more of
/// them than of questions. How long a frame may be is in [`PEER_TAGS`] and [`BULK_TAGS`].
const RATES: [(&[u8; 3], Place, Option<Rate>); PEER_TAGS.len() + BULK_TAGS.len()] = [
    // A thousand leaves each: all that waits once, and 25,000 transactions a second.
    (b"INV", Place::Peer, Some(Rate { burst: 100, a_minute: 1_500 })),
    (b"GET", Place::Peer, Some(Rate { burst: 1_000, a_minute: 30_000 })),
    (b"NOF", Place::Peer, Some(Rate { burst: 1_000, a_minute: 30_000 })),
    (b"TXN", Place::Peer, Some(Rate { burst: 1_000, a_minute: 30_000 })),
    (b"GHD", Place::Peer, Some(Rate { burst: 200, a_minute: 600 })),
    (b"HDR", Place::Peer, Some(Rate { burst: 500, a_minute: 6_000 })),
    (b"GCM", Place::Peer, Some(Rate { burst: 100, a_minute: 600 })),
    (b"CMP", Place::Peer, None),
    (b"GBT", Place::Peer, Some(Rate { burst: 100, a_minute: 600 })),
    (b"BTX", Place::Peer, None),
    (b"GBL", Place::Ask, Some(Rate { burst: 400, a_minute: 12_000 })),
    (b"BLK", Place::Answer, None),
    (b"GGN", Place::Ask, Some(Rate { burst: 4, a_minute: 4 })),
    (b"GEN", Place::Answer, None),
];

/// Which frames mean something, and what is known of each. Of answers there are no more than were asked for, but
/// for `HDR`, which is news as well, and `NOF`, which is short.
pub(crate) fn tags() -> Tags {
    let tags = PEER_TAGS.into_iter().chain(BULK_TAGS).fold(Tags::new(), |tags, (tag, body_bytes_max)| {
        let named = RATES.into_iter().find(|(named, ..)| **named == tag.0);
        let (_, place, rate) = named.expect("every tag stands in RATES: a test compares the tables");
        tags.with(place, tag_of(tag), TagRule { body_bytes_max, rate })
    });
    ANSWERS.into_iter().fold(tags, |tags, (question, answer, frames_max)| {
        tags.with_answer(tag_of(question), tag_of(answer), frames_max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_p2p::StreamKind;

    #[test]
    fn every_message_has_its_line_among_the_rates() {
        let named: Vec<_> = RATES.iter().map(|(tag, place, _)| (place.kind(), **tag)).collect();
        let peer = PEER_TAGS.iter().map(|(tag, _)| (StreamKind::Peer, tag.0));
        let bulk = BULK_TAGS.iter().map(|(tag, _)| (StreamKind::Bulk, tag.0));
        assert_eq!(named, peer.chain(bulk).collect::<Vec<_>>());
        for (tag, place, _) in RATES {
            assert!(tags().rule(place, Tag::from_bytes(tag).unwrap()).is_some(), "{place:?}");
        }
    }
}
