//! Which nodes a tracker knows: where they listen, when they were last there, and whether that was tried.
//!
//! # Provided
//!
//! Nobody is listed whom the tracker has not reached at that address itself. Whoever fills the table fills it
//! with machines of many neighbourhoods that all answer.

use cairn_p2p::{AddressGroup, AddressHost, AddressRecord, NodeId, RECORDS_MAX, Roles};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The most addresses that are known.
pub(super) const ADDRESSES_MAX: usize = 4_096;
/// The most of them of one machine.
pub(super) const ADDRESSES_OF_HOST_MAX: usize = 8;
/// The most of them of one neighbourhood.
pub(super) const ADDRESSES_OF_GROUP_MAX: usize = 512;
/// The most of them of one node.
const ADDRESSES_OF_NODE_MAX: usize = 2;
/// How long a look at an address is good for, in milliseconds.
const CHECK_AGE_MS: u64 = 10 * 60 * 1_000;
/// How long after a look an address is not looked at again because somebody says that it is dead.
const DOUBT_AGE_MS: u64 = 30 * 1_000;

/// All nodes that a tracker knows.
#[derive(Debug)]
pub(super) struct Registry {
    entries: BTreeMap<SocketAddr, Entry>,
    ttl_ms: u64,
    chance: Chance,
}

/// What is known about one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Who is there.
    pub(super) node: NodeId,
    /// What its owner calls it.
    pub(super) name: String,
    /// What it does.
    pub(super) roles: Roles,
    /// When it was last there, in milliseconds since 1970.
    pub(super) seen_ms: u64,
    /// Whether the tracker has reached it there.
    pub(super) is_reached: bool,
    /// When that was last tried; none before the first time.
    pub(super) checked_ms: Option<u64>,
}

/// Who linked with the tracker.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) roles: Roles,
    /// From where.
    pub(super) remote: SocketAddr,
    /// Where it says that it listens.
    pub(super) listen: Vec<SocketAddr>,
}

/// What a look at an address has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The node is there.
    Alive,
    /// It is not, or another one is.
    Dead,
    /// Nothing: it could not be tried, or the node had no room.
    Unclear,
}

/// What becomes of the word that an address is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is to be looked at.
    Check(NodeId),
    /// It was looked at just now.
    Fresh,
    /// It is not known.
    Unknown,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) known: usize,
    pub(super) listed: usize,
}

impl Registry {
    /// An empty table whose entries hold for so long; `seed` decides who is named where not all can be.
    pub(super) const fn new(ttl_ms: u64, seed: u64) -> Self {
        Self { entries: BTreeMap::new(), ttl_ms, chance: Chance(seed) }
    }

    /// Puts back what an earlier run knew.
    pub(super) fn restore(&mut self, entries: impl IntoIterator<Item = (SocketAddr, Entry)>, now_ms: u64) {
        for (address, entry) in entries {
            if self.holds(&entry, now_ms) && self.has_room(address) {
                self.entries.insert(address, entry);
            }
        }
    }

    /// Somebody is there. The answer is where to look whether it can be reached.
    ///
    /// Only addresses of the machine that it is seen at count: otherwise anybody could have the tracker dial
    /// whom he likes.
    pub(super) fn note(&mut self, visitor: &Visitor, now_ms: u64) -> Vec<SocketAddr> {
        if !visitor.roles.contains(Roles::FULL) {
            return Vec::new();
        }
        let host = AddressHost::of(visitor.remote.ip());
        let own = visitor.listen.iter().filter(|address| AddressHost::of(address.ip()) == host);
        let mut due = Vec::new();
        for address in own.take(ADDRESSES_OF_NODE_MAX) {
            let is_new = match self.entries.get_mut(address) {
                // Who is there was found out; somebody else who says so must wait until that one is gone.
                Some(entry) if entry.node != visitor.node && entry.is_reached => {
                    due.extend(entry.is_due(now_ms, DOUBT_AGE_MS).then_some(*address));
                    continue;
                }
                Some(entry) if entry.node == visitor.node => {
                    entry.seen_ms = now_ms;
                    entry.name.clone_from(&visitor.name);
                    entry.roles = visitor.roles;
                    due.extend(entry.is_due(now_ms, CHECK_AGE_MS).then_some(*address));
                    false
                }
                Some(_) => true,
                None => self.has_room(*address),
            };
            if is_new {
                let (node, name, roles) = (visitor.node, visitor.name.clone(), visitor.roles);
                let entry = Entry { node, name, roles, seen_ms: now_ms, is_reached: false, checked_ms: None };
                self.entries.insert(*address, entry);
                due.push(*address);
            }
        }
        due
    }

    /// Nodes that have a link are there.
    pub(super) fn touch(&mut self, linked: &[NodeId], now_ms: u64) {
        for entry in self.entries.values_mut().filter(|entry| linked.contains(&entry.node)) {
            entry.seen_ms = now_ms;
        }
    }

    /// A node has said that it stops.
    pub(super) fn leave(&mut self, node: NodeId) {
        self.entries.retain(|_, entry| entry.node != node);
    }

    /// Who is to be looked for at an address.
    pub(super) fn node_at(&self, address: SocketAddr) -> Option<NodeId> {
        self.entries.get(&address).map(|entry| entry.node)
    }

    /// A look at an address for a node has shown this.
    pub(super) fn note_look(&mut self, address: SocketAddr, node: NodeId, look: Look, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(&address).filter(|entry| entry.node == node) else { return };
        entry.checked_ms = Some(now_ms);
        match look {
            Look::Alive => {
                entry.is_reached = true;
                entry.seen_ms = now_ms;
            }
            Look::Dead => {
                self.entries.remove(&address);
            }
            Look::Unclear => {}
        }
    }

    /// Somebody says that nobody is at an address.
    pub(super) fn doubt(&self, address: SocketAddr, now_ms: u64) -> Doubt {
        match self.entries.get(&address) {
            None => Doubt::Unknown,
            Some(entry) if entry.is_due(now_ms, DOUBT_AGE_MS) => Doubt::Check(entry.node),
            Some(_) => Doubt::Fresh,
        }
    }

    /// Forgets who was not there for too long.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let ttl_ms = self.ttl_ms;
        self.entries.retain(|_, entry| now_ms.saturating_sub(entry.seen_ms) < ttl_ms);
    }

    /// At most [`RECORDS_MAX`] of those that were reached and have not been gone for too long, in any order: all
    /// of them, or some by chance.
    pub(super) fn listed(&mut self, now_ms: u64) -> Vec<(SocketAddr, Entry)> {
        self.choose(now_ms, |_, _| true)
    }

    /// The same as what a node at `remote` is told: not of itself, and of nodes on the tracker's own machine
    /// only if it is there too.
    pub(super) fn records(&mut self, asker: NodeId, remote: IpAddr, now_ms: u64) -> Vec<AddressRecord> {
        let is_near = remote.to_canonical().is_loopback();
        let listed = self
            .choose(now_ms, |address, entry| entry.node != asker && (is_near || !address.ip().is_loopback()));
        let record = |(address, entry): (SocketAddr, Entry)| AddressRecord {
            address,
            node: Some(entry.node),
            last_seen_s: entry.seen_ms / 1_000,
            roles: entry.roles,
        };
        listed.into_iter().map(record).collect()
    }

    fn choose(
        &mut self,
        now_ms: u64,
        is_wanted: impl Fn(&SocketAddr, &Entry) -> bool,
    ) -> Vec<(SocketAddr, Entry)> {
        let found = self.entries.iter().filter(|(address, entry)| {
            entry.is_reached && self.holds(entry, now_ms) && is_wanted(address, entry)
        });
        let mut listed: Vec<_> = found.map(|(address, entry)| (*address, entry.clone())).collect();
        // The beginning of a shuffle (Fisher and Yates).
        for place in 0..listed.len().min(RECORDS_MAX) {
            let other = place + self.chance.below(listed.len() - place);
            listed.swap(place, other);
        }
        listed.truncate(RECORDS_MAX);
        listed
    }

    /// How many there are.
    pub(super) fn counts(&self, now_ms: u64) -> Counts {
        let holds = || self.entries.values().filter(|entry| self.holds(entry, now_ms));
        Counts { known: holds().count(), listed: holds().filter(|entry| entry.is_reached).count() }
    }

    /// All that is to be saved: those that were reached.
    pub(super) fn reached(&self) -> impl Iterator<Item = (&SocketAddr, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.is_reached)
    }

    fn holds(&self, entry: &Entry, now_ms: u64) -> bool {
        now_ms.saturating_sub(entry.seen_ms) < self.ttl_ms
    }

    fn has_room(&self, address: SocketAddr) -> bool {
        if self.entries.len() >= ADDRESSES_MAX {
            return false;
        }
        // Nodes of one machine are nobody's flood: nobody else gets there.
        if address.ip().is_loopback() {
            return true;
        }
        let (host, group) = (AddressHost::of(address.ip()), AddressGroup::of(address.ip()));
        let others = || self.entries.keys().map(SocketAddr::ip);
        others().filter(|ip| AddressHost::of(*ip) == host).count() < ADDRESSES_OF_HOST_MAX
            && others().filter(|ip| AddressGroup::of(*ip) == group).count() < ADDRESSES_OF_GROUP_MAX
    }
}

impl Entry {
    fn is_due(&self, now_ms: u64, age_ms: u64) -> bool {
        self.checked_ms.is_none_or(|checked| now_ms.saturating_sub(checked) >= age_ms)
    }
}

/// Numbers nobody outside can tell before (SplitMix64), for choices that need be no secret afterwards.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(mixed % bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_p2p::NodeKey;

    const TTL: u64 = 30 * 60 * 1_000;

    fn node(seed: u8) -> NodeId {
        NodeKey::from_seed([seed; 32]).id()
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn visitor(seed: u8, remote: &str, listen: &[&str]) -> Visitor {
        let listen = listen.iter().map(|text| at(text)).collect();
        Visitor { node: node(seed), name: format!("n{seed}"), roles: Roles::FULL, remote: at(remote), listen }
    }

    /// A table with one node that was reached.
    fn with_one() -> Registry {
        let mut registry = Registry::new(TTL, 1);
        assert_eq!(registry.note(&visitor(1, "192.0.2.1:5", &["192.0.2.1:7700"]), 0), [at("192.0.2.1:7700")]);
        registry.note_look(at("192.0.2.1:7700"), node(1), Look::Alive, 0);
        registry
    }

    fn addresses(registry: &mut Registry, now_ms: u64) -> Vec<SocketAddr> {
        registry.listed(now_ms).into_iter().map(|(address, _)| address).collect()
    }

    #[test]
    fn a_node_is_listed_once_it_was_reached_and_not_to_itself() {
        let mut registry = Registry::new(TTL, 1);
        registry.note(&visitor(1, "192.0.2.1:5", &["192.0.2.1:7700"]), 0);
        assert_eq!(addresses(&mut registry, 0), []);
        registry.note_look(at("192.0.2.1:7700"), node(1), Look::Unclear, 0);
        assert_eq!(addresses(&mut registry, 0), []);
        registry.note_look(at("192.0.2.1:7700"), node(1), Look::Alive, 0);
        assert_eq!(addresses(&mut registry, 0), [at("192.0.2.1:7700")]);
        let remote = at("198.51.100.1:1").ip();
        assert_eq!(registry.records(node(1), remote, 0), []);
        assert_eq!(registry.records(node(2), remote, 0).len(), 1);
        assert_eq!(registry.counts(0), Counts { known: 1, listed: 1 });
    }

    #[test]
    fn nobody_has_the_tracker_dial_another_machine() {
        let mut registry = Registry::new(TTL, 1);
        let liar = visitor(1, "192.0.2.1:5", &["192.0.2.2:22", "198.51.100.1:80", "192.0.2.1:7700"]);
        assert_eq!(registry.note(&liar, 0), [at("192.0.2.1:7700")]);
        let many = visitor(2, "192.0.2.9:5", &["192.0.2.9:1", "192.0.2.9:2", "192.0.2.9:3"]);
        assert_eq!(registry.note(&many, 0).len(), ADDRESSES_OF_NODE_MAX);
    }

    #[test]
    fn nodes_of_the_trackers_machine_are_named_only_there() {
        let mut registry = Registry::new(TTL, 1);
        registry.note(&visitor(1, "127.0.0.1:5", &["127.0.0.1:7700"]), 0);
        registry.note_look(at("127.0.0.1:7700"), node(1), Look::Alive, 0);
        for (remote, count) in [("127.0.0.1:1", 1), ("[::1]:1", 1), ("192.0.2.1:1", 0)] {
            assert_eq!(registry.records(node(2), at(remote).ip(), 0).len(), count, "{remote}");
        }
    }

    #[test]
    fn who_keeps_no_chain_is_not_listed() {
        let mut registry = Registry::new(TTL, 1);
        let light = Visitor { roles: Roles::LIGHT, ..visitor(1, "192.0.2.1:5", &["192.0.2.1:7700"]) };
        assert_eq!(registry.note(&light, 0), []);
    }

    #[test]
    fn a_node_is_forgotten_when_it_was_not_there_for_too_long() {
        let mut registry = with_one();
        assert_eq!(addresses(&mut registry, TTL - 1).len(), 1);
        assert_eq!(addresses(&mut registry, TTL), []);
        registry.touch(&[node(1)], TTL - 1);
        registry.expire(TTL);
        assert_eq!(addresses(&mut registry, TTL).len(), 1);
        registry.expire(2 * TTL);
        assert_eq!(registry.counts(0), Counts { known: 0, listed: 0 });
    }

    #[test]
    fn a_node_that_says_farewell_is_gone_at_once() {
        let mut registry = with_one();
        registry.leave(node(1));
        assert_eq!(addresses(&mut registry, 0), []);
    }

    #[test]
    fn the_word_that_a_node_is_dead_is_looked_into_and_not_believed() {
        let mut registry = with_one();
        let address = at("192.0.2.1:7700");
        assert_eq!(registry.doubt(address, 1), Doubt::Fresh, "it was reached just now");
        assert_eq!(registry.doubt(address, DOUBT_AGE_MS), Doubt::Check(node(1)));
        assert_eq!(registry.doubt(at("192.0.2.2:1"), 0), Doubt::Unknown);
        assert_eq!(addresses(&mut registry, 0), [address]);
        registry.note_look(address, node(1), Look::Unclear, DOUBT_AGE_MS);
        assert_eq!(addresses(&mut registry, DOUBT_AGE_MS), [address]);
        registry.note_look(address, node(1), Look::Dead, DOUBT_AGE_MS);
        assert_eq!(addresses(&mut registry, DOUBT_AGE_MS), []);
    }

    #[test]
    fn a_node_that_comes_again_is_looked_at_only_now_and_then() {
        let mut registry = with_one();
        let again = visitor(1, "192.0.2.1:5", &["192.0.2.1:7700"]);
        assert_eq!(registry.note(&again, CHECK_AGE_MS - 1), []);
        assert_eq!(registry.note(&again, CHECK_AGE_MS), [at("192.0.2.1:7700")]);
    }

    #[test]
    fn an_address_stays_with_the_node_that_was_reached_there() {
        let mut registry = with_one();
        let other = visitor(2, "192.0.2.1:6", &["192.0.2.1:7700"]);
        assert_eq!(registry.note(&other, 1), []);
        assert_eq!(registry.note(&other, DOUBT_AGE_MS), [at("192.0.2.1:7700")]);
        assert_eq!(registry.node_at(at("192.0.2.1:7700")), Some(node(1)));
        registry.note_look(at("192.0.2.1:7700"), node(2), Look::Dead, 1);
        assert_eq!(addresses(&mut registry, 1).len(), 1, "a look for another node says nothing about it");
    }

    #[test]
    fn one_machine_and_one_neighbourhood_take_bounded_room() {
        let mut registry = Registry::new(TTL, 1);
        let mut count = 0;
        for (seed, port) in (0..20).zip(1..) {
            let listen = format!("192.0.2.1:{port}");
            count += registry.note(&visitor(seed, "192.0.2.1:5", &[&listen]), 0).len();
        }
        assert_eq!(count, ADDRESSES_OF_HOST_MAX);
        for third in 0..=255 {
            for fourth in 2..=5 {
                let place = format!("192.0.{third}.{fourth}:1");
                count += registry.note(&visitor(1, &place, &[&place]), 0).len();
            }
        }
        assert_eq!(count, ADDRESSES_OF_GROUP_MAX);
    }

    #[test]
    fn of_many_a_part_is_named_by_chance() {
        let mut registry = Registry::new(TTL, 7);
        for port in 1..=600 {
            let place = format!("127.0.0.1:{port}");
            registry.note(&visitor(1, &place, &[&place]), 0);
            registry.note_look(at(&place), node(1), Look::Alive, 0);
        }
        let (first, second) = (addresses(&mut registry, 0), addresses(&mut registry, 0));
        assert_eq!((first.len(), second.len()), (RECORDS_MAX, RECORDS_MAX));
        assert_ne!(first, second);
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), RECORDS_MAX);
    }

    #[test]
    fn what_an_earlier_run_knew_comes_back_unless_it_is_too_old() {
        let saved: Vec<_> = with_one().reached().map(|(address, entry)| (*address, entry.clone())).collect();
        for (now_ms, count) in [(TTL - 1, 1), (TTL, 0)] {
            let mut registry = Registry::new(TTL, 1);
            registry.restore(saved.clone(), now_ms);
            assert_eq!(addresses(&mut registry, now_ms).len(), count);
        }
    }
}
