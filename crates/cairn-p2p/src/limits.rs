//! How many connections there may be, from where, and with whom.
//!
//! A connection is refused as soon as what is against it is known: its address before the TLS handshake,
//! which is what an attacker would have us pay for, and its node right after it.

use crate::address::{AddressGroup, AddressHost};
use crate::key::NodeId;
use crate::score::Book;
use libp2p_swarm::ConnectionId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

/// How many connections a node has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that others dialled.
    pub inbound_max: usize,
    /// Connections that this node dialled.
    pub outbound_max: usize,
    /// Of others, while they are being set up: so many of other machines, and as many of this one. One more
    /// takes the place of another.
    pub inbound_pending_max: usize,
    /// Of this node, while they are being set up.
    pub outbound_pending_max: usize,
    /// Of others, from one machine: an IPv4 address or a /64 of IPv6.
    pub inbound_of_host_max: usize,
    /// Of others, from one neighbourhood: a /16 of IPv4 or a /32 of IPv6.
    pub inbound_of_group_max: usize,
    /// Whether the limits for machine and neighbourhood hold for loopback addresses too, which then have no
    /// places of their own while they are being set up. A network of nodes on one machine needs them not to.
    pub loopback_is_one_host: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inbound_max: 64,
            outbound_max: 16,
            inbound_pending_max: 32,
            outbound_pending_max: 16,
            inbound_of_host_max: 3,
            inbound_of_group_max: 8,
            loopback_is_one_host: false,
        }
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is banned.
    #[error("the address is banned")]
    BannedAddress,
    /// The node is banned.
    #[error("the node is banned")]
    BannedNode,
    /// There are enough connections in this direction.
    #[error("there are {max} connections in this direction already")]
    Full {
        /// How many there may be.
        max: usize,
    },
    /// Too many are being set up.
    #[error("{max} connections are being set up already")]
    Pending {
        /// How many there may be.
        max: usize,
    },
    /// There are enough from this machine.
    #[error("there are {max} connections from this machine already")]
    Host {
        /// How many there may be.
        max: usize,
    },
    /// There are enough from this neighbourhood.
    #[error("there are {max} connections from this neighbourhood already")]
    Group {
        /// How many there may be.
        max: usize,
    },
    /// There is a connection with this node that stays.
    #[error("there is a connection with this node already")]
    Duplicate {
        /// The node.
        node: NodeId,
    },
    /// The node has a key of another kind.
    #[error("the node is not named by an ed25519 key")]
    NotEd25519,
    /// The address is not one of who asked for it to be dialled.
    #[error("the address is not one of the node that asks")]
    NotTheAsker,
    /// It is no connection over TCP.
    #[error("the address is not one of TCP")]
    NotTcp,
}

/// The connection that gives way to one more from `ip`: the neighbourhood with the most of them, the newcomer
/// counted, loses its oldest. So whoever has few addresses competes with nobody but himself, however fast he
/// dials again.
fn oldest_of_crowd<'a>(
    ip: IpAddr,
    rivals: impl Iterator<Item = (&'a ConnectionId, &'a Entry)>,
) -> Option<ConnectionId> {
    let own = AddressGroup::of(ip);
    let mut crowds: BTreeMap<AddressGroup, (usize, ConnectionId)> = BTreeMap::new();
    for (id, entry) in rivals {
        let Some(remote) = entry.remote.map(|it| it.ip()) else { continue };
        let (count, oldest) = crowds.entry(AddressGroup::of(remote)).or_insert((0, *id));
        *count += 1;
        // Their numbers go up as they come.
        *oldest = (*oldest).min(*id);
    }
    let crowd = crowds.into_iter().max_by_key(|(group, (count, oldest))| {
        let is_own = *group == own;
        (count + usize::from(is_own), is_own, Reverse(*oldest))
    });
    crowd.map(|(_, (_, oldest))| oldest)
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Unknown while this node is still dialling.
    remote: Option<SocketAddr>,
    dialler: bool,
    /// Known once it is established.
    node: Option<NodeId>,
}

/// Counts connections and refuses those that are too many.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Limits,
    own: NodeId,
    /// Iterated only to count and for the oldest, so its order does not matter.
    entries: HashMap<ConnectionId, Entry>,
    greeted: Greeted,
}

/// Says whether a connection has a link: its two sides have greeted.
struct Greeted(Box<dyn Fn(ConnectionId) -> bool + Send>);

impl std::fmt::Debug for Greeted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Greeted")
    }
}

impl Gate {
    /// Counts nothing yet; `is_greeted` says whether a connection has a link.
    pub(crate) fn new(
        limits: Limits,
        own: NodeId,
        is_greeted: impl Fn(ConnectionId) -> bool + Send + 'static,
    ) -> Self {
        Self { limits, own, entries: HashMap::new(), greeted: Greeted(Box::new(is_greeted)) }
    }

    /// Somebody connects: counted, or refused before a byte is read. Where too many are being set up, it
    /// takes the place of the one that is returned, which has to go.
    pub(crate) fn accept(
        &mut self,
        connection: ConnectionId,
        remote: SocketAddr,
        bans: &Book,
        now_ms: u64,
    ) -> Result<Option<ConnectionId>, Refusal> {
        if bans.address_ban(remote.ip(), now_ms).is_some() {
            return Err(Refusal::BannedAddress);
        }
        let limits = self.limits;
        let inbound = || self.entries.values().filter(|it| !it.dialler);
        let below = |count: usize, max: usize| count < max;
        let established = inbound().filter(|it| it.node.is_some()).count();
        // Who has not greeted yet gives way, once the newcomer has shown who it is.
        if !below(established, limits.inbound_max) && self.ungreeted(remote.ip()).is_none() {
            return Err(Refusal::Full { max: limits.inbound_max });
        }
        if !self.is_apart(remote.ip()) {
            let remotes = || inbound().filter_map(|it| it.remote).map(|it| it.ip());
            let host = AddressHost::of(remote.ip());
            if !below(remotes().filter(|it| AddressHost::of(*it) == host).count(), limits.inbound_of_host_max)
            {
                return Err(Refusal::Host { max: limits.inbound_of_host_max });
            }
            let group = AddressGroup::of(remote.ip());
            if !below(
                remotes().filter(|it| AddressGroup::of(*it) == group).count(),
                limits.inbound_of_group_max,
            ) {
                return Err(Refusal::Group { max: limits.inbound_of_group_max });
            }
        }
        let gives_way = self.make_room(remote.ip());
        self.entries.insert(connection, Entry { remote: Some(remote), dialler: false, node: None });
        Ok(gives_way)
    }

    /// Frees a place for one more connection from `ip` that is to be set up, if none is free.
    fn make_room(&mut self, ip: IpAddr) -> Option<ConnectionId> {
        let is_apart = self.is_apart(ip);
        let pending = self.entries.iter().filter(|(_, it)| !it.dialler && it.node.is_none());
        let rivals: Vec<_> = pending
            .filter(|(_, it)| it.remote.is_some_and(|remote| self.is_apart(remote.ip()) == is_apart))
            .collect();
        if rivals.len() < self.limits.inbound_pending_max {
            return None;
        }
        let oldest = oldest_of_crowd(ip, rivals.into_iter())?;
        // It is ending; it must not count any more.
        self.entries.remove(&oldest);
        Some(oldest)
    }

    /// A connection of others that is established and has not greeted, and whose place one from `ip` may take.
    fn ungreeted(&self, ip: IpAddr) -> Option<ConnectionId> {
        let established = self.entries.iter().filter(|(_, it)| !it.dialler && it.node.is_some());
        oldest_of_crowd(ip, established.filter(|(id, _)| !(self.greeted.0)(**id)))
    }

    /// Whether an address is of this machine and has places of its own.
    fn is_apart(&self, ip: IpAddr) -> bool {
        !self.limits.loopback_is_one_host && ip.to_canonical().is_loopback()
    }

    /// This node dials: counted, or refused.
    pub(crate) fn dial(&mut self, connection: ConnectionId) -> Result<(), Refusal> {
        let outbound = || self.entries.values().filter(|it| it.dialler);
        let pending = outbound().filter(|it| it.node.is_none()).count();
        if pending >= self.limits.outbound_pending_max {
            return Err(Refusal::Pending { max: self.limits.outbound_pending_max });
        }
        if outbound().count() - pending >= self.limits.outbound_max {
            return Err(Refusal::Full { max: self.limits.outbound_max });
        }
        self.entries.insert(connection, Entry { remote: None, dialler: true, node: None });
        Ok(())
    }

    /// A connection is encrypted, and who is there is known. It is counted or refused; an older one with
    /// the same node may have to go in its place.
    pub(crate) fn establish(
        &mut self,
        connection: ConnectionId,
        node: NodeId,
        remote: SocketAddr,
        bans: &Book,
        now_ms: u64,
        is_silent: impl FnOnce(ConnectionId) -> bool,
    ) -> Result<Option<ConnectionId>, Refusal> {
        let Some(entry) = self.entries.get(&connection).copied() else {
            // Both directions were counted before; this one has given way to another while it was set up.
            return Err(Refusal::Pending { max: 0 });
        };
        if bans.node_ban(node, now_ms).is_some() {
            return Err(Refusal::BannedNode);
        }
        if entry.dialler && bans.address_ban(remote.ip(), now_ms).is_some() {
            return Err(Refusal::BannedAddress);
        }
        let older = self.entries.iter().find(|(_, it)| it.node == Some(node)).map(|(id, it)| (*id, *it));
        let mut instead = match older {
            Some((id, older)) if self.newer_stays(node, entry, older) || is_silent(id) => Some(id),
            Some(_) => return Err(Refusal::Duplicate { node }),
            None => None,
        };
        if instead.is_none() {
            let established =
                self.entries.values().filter(|it| it.dialler == entry.dialler && it.node.is_some()).count();
            let max = if entry.dialler { self.limits.outbound_max } else { self.limits.inbound_max };
            if established >= max {
                let silent = if entry.dialler { None } else { self.ungreeted(remote.ip()) };
                instead = Some(silent.ok_or(Refusal::Full { max })?);
            }
        }
        if let Some(older) = instead {
            // It is closing; it must not count as a third one's elder.
            self.entries.remove(&older);
        }
        self.entries.insert(connection, Entry { remote: Some(remote), node: Some(node), ..entry });
        Ok(instead)
    }

    /// A connection is gone, or never came to be.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.entries.remove(&connection);
    }

    /// Whether there is a connection with a node.
    #[cfg(feature = "autonat")]
    pub(crate) fn is_linked(&self, node: NodeId) -> bool {
        self.entries.values().any(|it| it.node == Some(node))
    }

    /// Where an established connection comes from or goes to.
    pub(crate) fn remote(&self, connection: ConnectionId) -> Option<SocketAddr> {
        self.entries.get(&connection).and_then(|it| it.remote)
    }

    /// Two nodes that dial each other at the same moment must keep the same one of both connections: the one
    /// that the node with the greater key dialled. Of two that the same node dialled, the older stays.
    fn newer_stays(&self, node: NodeId, newer: Entry, older: Entry) -> bool {
        let greater_dialled = newer.dialler == (self.own > node);
        newer.dialler != older.dialler && greater_dialled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    fn node(seed: u8) -> NodeId {
        NodeKey::from_seed([seed; 32]).id()
    }

    /// Two nodes, the one with the smaller key first.
    fn two_nodes() -> (NodeId, NodeId) {
        let (a, b) = (node(1), node(2));
        (a.min(b), a.max(b))
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn gate() -> Gate {
        Gate::new(Limits::default(), node(0), |_| true)
    }

    #[test]
    fn a_machine_has_three_connections_and_a_neighbourhood_eight() {
        let (mut gate, bans) = (gate(), Book::default());
        for number in 0..3 {
            gate.accept(id(number), at("192.0.2.1:1"), &bans, 0).unwrap();
        }
        // The same address in its IPv6 form is the same machine.
        for text in ["192.0.2.1:9", "[::ffff:192.0.2.1]:9"] {
            assert_eq!(gate.accept(id(9), at(text), &bans, 0), Err(Refusal::Host { max: 3 }));
        }
        for number in 3..8 {
            gate.accept(id(number), at(&format!("192.0.9.{number}:1")), &bans, 0).unwrap();
        }
        assert_eq!(gate.accept(id(9), at("192.0.77.1:1"), &bans, 0), Err(Refusal::Group { max: 8 }));
        gate.accept(id(9), at("192.1.77.1:1"), &bans, 0).unwrap();
        gate.forget(id(0));
        gate.accept(id(10), at("192.0.2.1:1"), &bans, 0).unwrap();
    }

    #[test]
    fn who_does_not_greet_gives_way_where_all_places_are_taken() {
        let bans = Book::default();
        // Those with great numbers have greeted.
        let mut gate = Gate::new(Limits::default(), node(0), |id| id >= ConnectionId::new_unchecked(1_000));
        let mut take = |number: usize, text: &str| {
            gate.accept(id(number), at(text), &bans, 0)?;
            let key = NodeKey::from_seed(std::array::from_fn(|at| {
                u8::try_from(number >> (8 * (at % 2)) & 0xff).unwrap()
            }));
            gate.establish(id(number), key.id(), at(text), &bans, 0, |_| false)
        };
        // Sixty greeted links, and four from one neighbourhood that say nothing.
        for number in 0..60 {
            take(1_000 + number, &format!("10.{}.{}.1:1", number / 6, number)).unwrap();
        }
        for number in 1..=4 {
            take(number, &format!("198.51.100.{number}:1")).unwrap();
        }
        assert_eq!(take(5, "192.0.2.1:1"), Ok(Some(id(1))), "the oldest of those that say nothing");
        // It has not greeted either, but its neighbourhood is not the one with the most.
        assert_eq!(take(6, "203.0.113.1:1"), Ok(Some(id(2))));
    }

    #[test]
    fn loopback_is_bounded_only_where_it_is_said() {
        let bans = Book::default();
        let mut free = gate();
        for number in 0..20 {
            free.accept(id(number), at("127.0.0.1:1"), &bans, 0).unwrap();
        }
        let limits = Limits { loopback_is_one_host: true, ..Limits::default() };
        let mut bound = Gate::new(limits, node(0), |_| true);
        for number in 0..3 {
            bound.accept(id(number), at("127.0.0.1:1"), &bans, 0).unwrap();
        }
        assert_eq!(bound.accept(id(3), at("127.0.0.1:1"), &bans, 0), Err(Refusal::Host { max: 3 }));
    }

    #[test]
    fn connections_are_bounded_while_and_after_they_are_set_up() {
        let (mut gate, bans) = (gate(), Book::default());
        for number in 100..132 {
            assert_eq!(gate.accept(id(number), at("127.0.0.1:1"), &bans, 0), Ok(None));
        }
        assert_eq!(gate.accept(id(132), at("127.0.0.1:1"), &bans, 0), Ok(Some(id(100))));
        // What has given way is no connection any more, though it was set up in the same moment.
        let late = gate.establish(id(100), node(1), at("127.0.0.1:1"), &bans, 0, |_| false);
        assert_eq!(late, Err(Refusal::Pending { max: 0 }));
        (101..133).for_each(|number| gate.forget(id(number)));
        for number in 0..64_u8 {
            gate.accept(id(number.into()), at("127.0.0.1:1"), &bans, 0).unwrap();
            gate.establish(id(number.into()), node(number + 1), at("127.0.0.1:1"), &bans, 0, |_| false)
                .unwrap();
        }
        assert_eq!(gate.accept(id(64), at("127.0.0.1:1"), &bans, 0), Err(Refusal::Full { max: 64 }));
        for number in 100..116 {
            gate.dial(id(number)).unwrap();
        }
        assert_eq!(gate.dial(id(116)), Err(Refusal::Pending { max: 16 }));
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_of_the_most_crowded_neighbourhood() {
        let (mut gate, bans) = (gate(), Book::default());
        let mut number = 0;
        let mut accept = |gate: &mut Gate, text: &str| {
            number += 1;
            gate.accept(id(number), at(text), &bans, 0)
        };
        // Three neighbourhoods with eight each, one with seven, one with one: 32 that say nothing.
        for (group, count) in [(1, 8), (2, 8), (3, 8), (4, 7), (5, 1)] {
            for at in 0..count {
                assert_eq!(accept(&mut gate, &format!("192.{group}.{at}.1:1")), Ok(None));
            }
        }
        // From elsewhere, one of the first neighbourhood goes; another of the fourth replaces one of its own.
        assert_eq!(accept(&mut gate, "198.51.100.1:1"), Ok(Some(id(1))));
        assert_eq!(accept(&mut gate, "192.4.9.1:1"), Ok(Some(id(25))));
        // However often it is dialled from these four, the one from elsewhere is never the one that goes.
        for round in 0..100 {
            let _ = accept(&mut gate, &format!("192.{}.{round}.2:1", round % 4 + 1));
        }
        assert!(gate.entries.contains_key(&id(33)));
        assert_eq!(gate.entries.len(), 32);
        // And loopback does not compete with anybody.
        assert_eq!(accept(&mut gate, "127.0.0.1:1"), Ok(None));
    }

    #[test]
    fn of_two_connections_with_a_node_the_older_stays_unless_it_is_silent() {
        let (mut gate, bans, peer) = (gate(), Book::default(), node(5));
        for number in 0..3 {
            gate.accept(id(number), at("127.0.0.1:1"), &bans, 0).unwrap();
        }
        assert_eq!(gate.establish(id(0), peer, at("127.0.0.1:1"), &bans, 0, |_| false), Ok(None));
        assert_eq!(
            gate.establish(id(1), peer, at("127.0.0.1:1"), &bans, 0, |_| false),
            Err(Refusal::Duplicate { node: peer })
        );
        assert_eq!(gate.establish(id(2), peer, at("127.0.0.1:1"), &bans, 0, |_| true), Ok(Some(id(0))));
    }

    #[test]
    fn two_nodes_that_dial_each_other_keep_the_same_connection() {
        let (small, great) = two_nodes();
        let bans = Book::default();
        // Connection 0 is dialled by the smaller node, 1 by the greater, and they come in any order.
        for (small_sees, great_sees) in [([0, 1], [0, 1]), ([0, 1], [1, 0]), ([1, 0], [0, 1])] {
            let kept = |own: NodeId, other: NodeId, sees: [usize; 2]| {
                let mut gate = Gate::new(Limits::default(), own, |_| true);
                let mut kept = Vec::new();
                for number in sees {
                    if (number == 0) == (own == small) {
                        gate.dial(id(number)).unwrap();
                    } else {
                        gate.accept(id(number), at("127.0.0.1:1"), &bans, 0).unwrap();
                    }
                    match gate.establish(id(number), other, at("127.0.0.1:1"), &bans, 0, |_| false) {
                        Ok(Some(older)) => {
                            kept.retain(|it| id(*it) != older);
                            kept.push(number);
                        }
                        Ok(None) => kept.push(number),
                        Err(refusal) => assert_eq!(refusal, Refusal::Duplicate { node: other }),
                    }
                }
                kept
            };
            assert_eq!(kept(small, great, small_sees), [1]);
            assert_eq!(kept(great, small, great_sees), [1]);
        }
    }
}
