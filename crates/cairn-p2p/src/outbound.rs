//! Whom to dial next: the nodes that the operator named, and eight others that have nothing to do with each other.
//!
//! It decides and does nothing: the owner asks [`due`](Outbound::due) again and again, dials what it says, and
//! tells it what has come of it. Clock and chance come from the owner, too.
//!
//! # Provided
//!
//! * A link to each named node: after a failure another attempt in 1 s, then twice as long up to 5 minutes, a
//!   quarter more or less, so that a network that was down does not come back in step.
//! * [`SOUGHT_MAX`] links to others, each in another [`Neighbourhood`]: who owns one of them owns one link. The
//!   two anchors of the last run come first, so that a restart is no chance to surround a node.
//! * A feeler each two minutes once these are there: a dial only to see whether a node is at an address that
//!   was heard of, as Bitcoin Core does since 0.13 (`ThreadOpenConnections`), so that more are known than used.
//! * Of one machine one address is dialled on hearsay within five minutes: whoever tells of many ports of a machine
//!   that is not his does not get them tried.
//! * One link more while the owner says that its tip is stale: perhaps all others keep something back.

#[cfg(test)]
mod tests;

use crate::address::{AddressHost, Host, Neighbourhood, PeerAddress, Reach};
use crate::book::{AddressBook, Candidate, InUse};
use crate::chance::Chance;
use crate::key::NodeId;
use crate::message::{AddressRecord, ByeCode, Roles};
use crate::network::{DIALS_MAX, DialFailure, Direction, LeaveReason, PeerInfo, PeerNumber};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Links that a node seeks, beside those to the nodes that were named.
pub const SOUGHT_MAX: usize = 8;
/// The first pause after a failure to reach a node that was named.
const RETRY_TIME: Duration = Duration::from_secs(1);
/// The longest such pause, but for chance.
const RETRY_TIME_MAX: Duration = Duration::from_secs(300);
/// Between two feelers.
const FEELER_TIME: Duration = Duration::from_secs(120);
/// How long an address rests whose node has a link already or no room.
const REST_S: u64 = 3_600;
/// How long after an address was dialled on hearsay no other one of its machine is.
const TEST_TIME: Duration = Duration::from_secs(300);
/// Machines that are remembered for it; of more, the one that was dialled first is forgotten.
const TESTED_MAX: usize = 1_024;
/// How often the book forgets what is terrible.
const EXPIRE_TIME: Duration = Duration::from_secs(600);

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Since the start of the program: it never goes back.
    pub running: Duration,
    /// Seconds since 1970, as far as the machine knows.
    pub unix_s: u64,
}

/// What matters here of a link.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// Its number.
    pub number: PeerNumber,
    /// Who is at the other end.
    pub node: NodeId,
    /// Where.
    pub remote: SocketAddr,
    /// Who dialled.
    pub direction: Direction,
    /// What was dialled, where this node did.
    pub dialled: Option<PeerAddress>,
    /// Where the peer says that it can be dialled.
    pub listen: Vec<SocketAddr>,
    /// Good deeds less strikes.
    pub score: f64,
}

impl From<&PeerInfo> for LinkView {
    fn from(info: &PeerInfo) -> Self {
        Self {
            number: info.number,
            node: info.node,
            remote: info.remote,
            direction: info.direction,
            dialled: info.dialled.clone(),
            listen: info.listen.clone(),
            score: info.score,
        }
    }
}

/// What a dial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The operator named the node.
    Named,
    /// One of the links that a node seeks.
    Sought,
    /// Only to see whether a node is there: the link is to be ended as soon as it begins.
    Feeler,
}

/// An address to be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Where, and who must be there if the operator said so.
    pub address: PeerAddress,
    /// What for.
    pub purpose: Purpose,
}

/// Decides whom to dial.
#[derive(Debug)]
pub struct Outbound {
    named: BTreeMap<PeerAddress, Attempts>,
    named_max: usize,
    /// What is being dialled.
    under_way: BTreeMap<PeerAddress, Purpose>,
    /// Candidates that come before all others.
    first: VecDeque<Candidate>,
    /// What was dialled on hearsay lately, at most one address of a machine, the earliest first.
    tested: VecDeque<(Duration, SocketAddr)>,
    chance: Chance,
    next_feeler: Duration,
    next_expiry: Duration,
}

/// How dialling a node that was named has gone.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    failures: u32,
    next: Duration,
    /// Who was there last.
    node: Option<NodeId>,
}

impl Outbound {
    /// A policy that keeps links to at most `named_max` named nodes, and takes the anchors of `book`.
    pub fn new(book: &mut AddressBook, named_max: usize, secret: [u8; 16]) -> Self {
        Self {
            named: BTreeMap::new(),
            named_max,
            under_way: BTreeMap::new(),
            first: book.take_anchors().into(),
            tested: VecDeque::new(),
            chance: Chance::new(secret),
            next_feeler: FEELER_TIME,
            next_expiry: EXPIRE_TIME,
        }
    }

    /// Names a node; whether it is a new one and there is room.
    pub fn add(&mut self, address: PeerAddress) -> bool {
        if self.named.len() >= self.named_max || self.named.contains_key(&address) {
            return false;
        }
        self.named.insert(address, Attempts::default());
        true
    }

    /// Whether there was such a name. A link stays.
    pub fn remove(&mut self, address: &PeerAddress) -> bool {
        self.named.remove(address).is_some()
    }

    /// The nodes that were named.
    pub fn named(&self) -> impl Iterator<Item = &PeerAddress> {
        self.named.keys()
    }

    /// Who was last found at an address that the operator named, or has to be there.
    pub fn node_at(&self, address: &PeerAddress) -> Option<NodeId> {
        self.named.get(address).and_then(|attempts| attempts.node.or(address.id))
    }

    /// Whether the operator named this address.
    pub fn is_named(&self, address: &PeerAddress) -> bool {
        self.named.contains_key(address)
    }

    /// What to dial now: no more than fits beside what is under way. Each must be followed by
    /// [`joined`](Self::joined), [`failed`](Self::failed) or [`put_back`](Self::put_back).
    pub fn due(
        &mut self,
        links: &[LinkView],
        book: &mut AddressBook,
        is_tip_stale: bool,
        now: Clock,
    ) -> Vec<Dial> {
        self.note_links(links, book, now);
        self.tested.retain(|(dialled, _)| *dialled + TEST_TIME > now.running);
        let mut due = Vec::new();
        self.seek_named(links, now, &mut due);
        let mut in_use = self.in_use(links);
        let sought_max = SOUGHT_MAX + usize::from(is_tip_stale);
        let linked = links.iter().filter(|link| self.is_sought(link)).count();
        let dialling = self.under_way.values().filter(|purpose| **purpose == Purpose::Sought).count();
        for _ in linked + dialling..sought_max {
            let first = self.first.pop_front().filter(|it| !in_use.addresses.contains(&it.address));
            let Some(candidate) = first.or_else(|| book.choose(&in_use, now.unix_s)) else { break };
            if !self.begin(candidate, Purpose::Sought, book, now, &mut due) {
                break;
            }
            in_use.addresses.insert(candidate.address);
            in_use.neighbourhoods.insert(Neighbourhood::of(candidate.address));
            in_use.tested = self.tested_hosts();
        }
        if linked >= SOUGHT_MAX && self.next_feeler <= now.running {
            self.next_feeler = now.running + FEELER_TIME;
            if let Some(candidate) = book.choose_feeler(&in_use, now.unix_s) {
                self.begin(candidate, Purpose::Feeler, book, now, &mut due);
            }
        }
        due
    }

    /// A dial has led to a link. What it was for: the link of a feeler is to be ended.
    pub fn joined(
        &mut self,
        address: &PeerAddress,
        node: NodeId,
        roles: Roles,
        book: &mut AddressBook,
        now: Clock,
    ) -> Purpose {
        let purpose = self.under_way.remove(address);
        if let Some(attempts) = self.named.get_mut(address) {
            *attempts = Attempts { node: Some(node), ..Attempts::default() };
        }
        if let Some(socket) = socket_of(address)
            && roles.contains(Roles::FULL)
        {
            book.succeeded(socket, node, roles, now.unix_s);
        }
        let named = if self.named.contains_key(address) { Purpose::Named } else { Purpose::Sought };
        purpose.unwrap_or(named)
    }

    /// A dial has come to nothing.
    pub fn failed(&mut self, address: &PeerAddress, why: &DialFailure, book: &mut AddressBook, now: Clock) {
        self.under_way.remove(address);
        if let Some(attempts) = self.named.get_mut(address) {
            if let DialFailure::Connected { node } = why {
                // As good as a link that this node dialled, for as long as it lasts.
                *attempts = Attempts { node: Some(*node), failures: 0, next: now.running + RETRY_TIME };
            } else {
                let pause = RETRY_TIME.saturating_mul(1 << attempts.failures.min(16)).min(RETRY_TIME_MAX);
                attempts.failures = attempts.failures.saturating_add(1);
                // A quarter less to a quarter more.
                let percent = u32::try_from(75 + self.chance.below(51)).unwrap_or(100);
                attempts.next = now.running + pause * percent / 100;
            }
        }
        let Some(socket) = socket_of(address) else { return };
        match why {
            DialFailure::Myself | DialFailure::OtherNetwork => book.forget(socket),
            DialFailure::Connected { .. } => book.rest(socket, now.unix_s.saturating_add(REST_S)),
            DialFailure::Greeting(LeaveReason::Theirs(bye)) if is_kind(bye.code) => {
                book.rest(socket, now.unix_s.saturating_add(REST_S));
            }
            // These say nothing about the address.
            DialFailure::Refused(_) | DialFailure::Stopped | DialFailure::Name => {}
            DialFailure::Unreachable(_)
            | DialFailure::NoNode(_)
            | DialFailure::WrongNode { .. }
            | DialFailure::Closed
            | DialFailure::Greeting(_) => book.failed(socket, now.unix_s),
        }
    }

    /// A dial was not begun, because too much is being dialled.
    pub fn put_back(&mut self, address: &PeerAddress) {
        self.under_way.remove(address);
    }

    /// A peer has greeted: where it says that it can be dialled is taken from it, where that is the machine
    /// that it speaks from.
    pub fn greeted(&self, info: &PeerInfo, book: &mut AddressBook, now: Clock) {
        let own = |address: &&SocketAddr| address.ip().to_canonical() == info.remote.ip().to_canonical();
        let record = |address: &SocketAddr| AddressRecord {
            address: *address,
            node: None,
            last_seen_s: now.unix_s,
            roles: info.hello.roles,
        };
        let records: Vec<_> = info.listen.iter().filter(own).map(record).collect();
        book.learn(info.remote.ip(), &records, now.unix_s);
    }

    /// A link that is one too many, now that the tip is not stale any more: the one that has done the least
    /// good, and of several the newest. What greetings claim does not count: it is free.
    pub fn surplus(&self, links: &[LinkView]) -> Option<PeerNumber> {
        let sought: Vec<_> = links.iter().filter(|link| self.is_sought(link)).collect();
        if sought.len() <= SOUGHT_MAX {
            return None;
        }
        let worst =
            sought.into_iter().min_by(|a, b| a.score.total_cmp(&b.score).then(b.number.cmp(&a.number)));
        worst.map(|link| link.number)
    }

    /// Which links to dial first at the next start, for [`AddressBook::set_anchors`]: the two oldest that
    /// were sought.
    pub fn anchors(&self, links: &[LinkView]) -> Vec<SocketAddr> {
        let mut sought: Vec<_> = links.iter().filter(|link| self.is_sought(link)).collect();
        sought.sort_by_key(|link| link.number);
        sought.into_iter().map(|link| link.remote).take(crate::book::ANCHORS_MAX).collect()
    }

    /// Tells the book of the links that there still are, and lets it forget from time to time.
    fn note_links(&mut self, links: &[LinkView], book: &mut AddressBook, now: Clock) {
        let dialled = links.iter().filter_map(|link| link.dialled.as_ref()).filter_map(socket_of);
        dialled.for_each(|socket| book.seen(socket, now.unix_s));
        if self.next_expiry <= now.running {
            self.next_expiry = now.running + EXPIRE_TIME;
            book.expire(now.unix_s);
        }
    }

    fn seek_named(&mut self, links: &[LinkView], now: Clock, due: &mut Vec<Dial>) {
        for (address, attempts) in &self.named {
            let is_linked = links.iter().any(|link| {
                // Who dialled is of no matter.
                link.dialled.as_ref() == Some(address)
                    || attempts.node.or(address.id).is_some_and(|node| node == link.node)
            });
            let is_due = !is_linked && attempts.next <= now.running;
            if is_due && self.under_way.len() < DIALS_MAX && !self.under_way.contains_key(address) {
                self.under_way.insert(address.clone(), Purpose::Named);
                due.push(Dial { address: address.clone(), purpose: Purpose::Named });
            }
        }
    }

    /// Begins a dial, if there is room for one more.
    fn begin(
        &mut self,
        candidate: Candidate,
        purpose: Purpose,
        book: &mut AddressBook,
        now: Clock,
        due: &mut Vec<Dial>,
    ) -> bool {
        // Another node than the last may be there now; it is as good.
        let address = PeerAddress::of(candidate.address);
        if self.under_way.len() >= DIALS_MAX || self.under_way.contains_key(&address) {
            return false;
        }
        book.tried(candidate.address, now.unix_s);
        self.note_tested(candidate, now);
        self.under_way.insert(address.clone(), purpose);
        due.push(Dial { address, purpose });
        true
    }

    /// Remembers what is dialled on hearsay. All of a test network is on this machine, and nobody else can tell
    /// of it: there each address is another node.
    fn note_tested(&mut self, candidate: Candidate, now: Clock) {
        let host = AddressHost::of(candidate.address.ip());
        let is_known = self.tested.iter().any(|(_, tested)| AddressHost::of(tested.ip()) == host);
        if candidate.node.is_some() || is_known || Reach::of(candidate.address.ip()) == Reach::Loopback {
            return;
        }
        self.tested.push_back((now.running, candidate.address));
        if self.tested.len() > TESTED_MAX {
            self.tested.pop_front();
        }
    }

    fn tested_hosts(&self) -> BTreeMap<AddressHost, SocketAddr> {
        self.tested.iter().map(|(_, address)| (AddressHost::of(address.ip()), *address)).collect()
    }

    /// Whether a link is one of those that a node seeks.
    fn is_sought(&self, link: &LinkView) -> bool {
        let is_named = link.dialled.as_ref().is_some_and(|address| self.named.contains_key(address));
        link.direction == Direction::Outbound && !is_named
    }

    /// What needs no further link. Where a peer says that it can be dialled is believed of its own machine
    /// only, or it could keep this node from any address.
    fn in_use(&self, links: &[LinkView]) -> InUse {
        let mut in_use = InUse { tested: self.tested_hosts(), ..InUse::default() };
        for link in links {
            let own =
                link.listen.iter().filter(|it| it.ip().to_canonical() == link.remote.ip().to_canonical());
            in_use.addresses.extend(own);
            in_use.addresses.insert(link.remote);
            in_use.nodes.insert(link.node);
            if link.direction == Direction::Outbound {
                in_use.neighbourhoods.insert(Neighbourhood::of(link.remote));
            }
        }
        let named = self.named.keys().filter_map(socket_of);
        in_use.addresses.extend(named);
        for address in self.under_way.keys().filter_map(socket_of) {
            in_use.addresses.insert(address);
            in_use.neighbourhoods.insert(Neighbourhood::of(address));
        }
        in_use
    }
}

/// Whether a farewell speaks of no fault: a node is there, and has no room or a link already.
fn is_kind(code: ByeCode) -> bool {
    matches!(code, ByeCode::Full | ByeCode::Duplicate | ByeCode::Leaving)
}

fn socket_of(address: &PeerAddress) -> Option<SocketAddr> {
    match &address.host {
        Host::Ip(ip) => Some(SocketAddr::new(*ip, address.port)),
        Host::Name(_) => None,
    }
}
