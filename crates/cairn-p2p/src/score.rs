//! What peers have done, good and bad, and who is banned for it.
//!
//! Strikes lead to a ban; usefulness is told to whoever chooses peers and never pays for a strike, or an
//! attacker could save up for one. Keys of nodes are free, so a strike counts half for the address too, and
//! that is the part that costs an attacker something. Time comes as an argument.

use crate::address::AddressHost;
use crate::key::NodeId;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Strikes that lead to a ban.
pub const STRIKES_MAX: f64 = 100.0;
/// So much less is as good: what decays between the first and the last strike of a moment must not save.
const STRIKES_SPARED: f64 = 0.5;
/// How long a node is banned, in milliseconds.
pub const NODE_BAN_MS: u64 = 24 * HOUR_MS;
/// How long an address is banned, in milliseconds: another may have it soon.
pub const ADDRESS_BAN_MS: u64 = HOUR_MS;
/// Nodes and addresses that are remembered, of each.
pub const MARKS_MAX: usize = 4096;
/// Bans that are kept; of more, the one that ends first is lifted.
pub const BANS_MAX: usize = 4096;
/// After this time a strike counts half, in milliseconds.
const STRIKE_HALF_LIFE_MS: f64 = 3_600_000.0;
/// After this time a good deed counts half, in milliseconds.
const USE_HALF_LIFE_MS: f64 = 600_000.0;
const HOUR_MS: u64 = 3_600_000;

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A header whose work, signature or form is wrong.
    InvalidHeader,
    /// A body that breaks a rule under a good header. Not for a block that was relayed before it was checked.
    InvalidBlock,
    /// A transaction with a wrong signature.
    InvalidTransaction,
    /// A frame that is too long or cannot be decoded.
    Malformed,
    /// A message that means nothing here and may not be ignored.
    UnknownTag,
    /// Bulk data that nobody asked for.
    Unsolicited,
    /// More headers at once than news are, that nobody asked for.
    UnaskedHeaders,
    /// A question that was not answered in time.
    Unanswered,
    /// An answer that stands still.
    Stall,
    /// NET-15: More messages than are allowed.
    RateLimit,
}

/// Who is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Banned {
    /// A node, wherever it is.
    Node(NodeId),
    /// A machine, whichever node is there.
    Address(AddressHost),
}

/// A ban: something to be saved, and given back at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub who: Banned,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: u64,
}

/// Scores and bans.
#[derive(Debug, Default)]
pub struct Book {
    nodes: BTreeMap<NodeId, Marks>,
    addresses: BTreeMap<AddressHost, Marks>,
    bans: BTreeMap<Banned, u64>,
}

/// What is remembered of one node or address, as it was at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    strikes: f64,
    uses: f64,
    at_ms: u64,
}

impl Offence {
    /// Its strikes: [`STRIKES_MAX`] ban at once.
    pub fn strikes(self) -> u32 {
        match self {
            Self::InvalidHeader | Self::InvalidBlock => 100,
            Self::Malformed => 50,
            Self::InvalidTransaction | Self::Unsolicited | Self::UnknownTag => 20,
            Self::Stall => 10,
            Self::UnaskedHeaders | Self::Unanswered => 5,
            Self::RateLimit => 2,
        }
    }
}

impl Marks {
    /// The same marks at a later time. A clock that goes back changes nothing.
    fn at(self, now_ms: u64) -> Self {
        // Marks of a few weeks have all decayed, so that more milliseconds than these need not be told apart.
        let passed = u32::try_from(now_ms.saturating_sub(self.at_ms)).map_or(f64::from(u32::MAX), f64::from);
        Self {
            strikes: self.strikes * (-passed / STRIKE_HALF_LIFE_MS).exp2(),
            uses: self.uses * (-passed / USE_HALF_LIFE_MS).exp2(),
            at_ms: self.at_ms.max(now_ms),
        }
    }
}

impl Book {
    /// Counts an offence of `node` at `address`; the bans that follow from it, if any do.
    pub fn strike(&mut self, node: NodeId, address: IpAddr, offence: Offence, now_ms: u64) -> Vec<Ban> {
        let strikes = f64::from(offence.strikes());
        let host = AddressHost::of(address);
        let of_node = add_strikes(&mut self.nodes, node, strikes, now_ms);
        // All nodes of one machine come from the same loopback address: it says nothing about any.
        let of_address = if address.to_canonical().is_loopback() {
            0.0
        } else {
            add_strikes(&mut self.addresses, host, strikes / 2.0, now_ms)
        };
        let mut bans = Vec::new();
        if is_enough(of_node) {
            bans.push(Ban { who: Banned::Node(node), until_ms: now_ms.saturating_add(NODE_BAN_MS) });
        }
        if of_address > 0.0 && (is_enough(of_node) || is_enough(of_address)) {
            bans.push(Ban { who: Banned::Address(host), until_ms: now_ms.saturating_add(ADDRESS_BAN_MS) });
        }
        for ban in &bans {
            self.ban(*ban);
        }
        bans
    }

    /// Counts a good deed: the first to give a valid transaction or block.
    pub fn praise(&mut self, node: NodeId, now_ms: u64) {
        let marks = entry(&mut self.nodes, node, now_ms);
        marks.uses += 1.0;
    }

    /// Good deeds less strikes, as they count now.
    pub fn score(&self, node: NodeId, now_ms: u64) -> f64 {
        let marks = self.nodes.get(&node).map_or(Marks::default(), |it| it.at(now_ms));
        marks.uses - marks.strikes
    }

    /// Bans, or makes a ban longer.
    pub fn ban(&mut self, ban: Ban) {
        let until = self.bans.entry(ban.who).or_default();
        *until = ban.until_ms.max(*until);
        if self.bans.len() > BANS_MAX
            && let Some(first) = self.bans.iter().min_by_key(|(_, until)| **until).map(|(who, _)| *who)
        {
            self.bans.remove(&first);
        }
    }

    /// Ends a ban and forgets the strikes behind it; whether there was one.
    pub fn unban(&mut self, who: Banned) -> bool {
        match who {
            Banned::Node(node) => drop(self.nodes.remove(&node)),
            Banned::Address(host) => drop(self.addresses.remove(&host)),
        }
        self.bans.remove(&who).is_some()
    }

    /// Until when a node is banned, in milliseconds since 1970.
    pub fn node_ban(&self, node: NodeId, now_ms: u64) -> Option<u64> {
        self.ban_of(Banned::Node(node), now_ms)
    }

    /// Until when the machine at an address is banned, in milliseconds since 1970.
    pub fn address_ban(&self, address: IpAddr, now_ms: u64) -> Option<u64> {
        self.ban_of(Banned::Address(AddressHost::of(address)), now_ms)
    }

    /// All bans that hold, to be saved; those that have ended are forgotten.
    pub fn bans(&mut self, now_ms: u64) -> Vec<Ban> {
        self.bans.retain(|_, until| *until > now_ms);
        self.bans.iter().map(|(who, until_ms)| Ban { who: *who, until_ms: *until_ms }).collect()
    }

    fn ban_of(&self, who: Banned, now_ms: u64) -> Option<u64> {
        self.bans.get(&who).copied().filter(|until| *until > now_ms)
    }
}

/// Whether so many strikes lead to a ban.
fn is_enough(strikes: f64) -> bool {
    strikes >= STRIKES_MAX - STRIKES_SPARED
}

/// The strikes of `who` after adding some.
fn add_strikes<K: Ord + Copy>(all: &mut BTreeMap<K, Marks>, who: K, strikes: f64, now_ms: u64) -> f64 {
    let marks = entry(all, who, now_ms);
    marks.strikes += strikes;
    marks.strikes
}

/// The marks of `who` as they count now; of too many, those with the fewest strikes are forgotten.
fn entry<K: Ord + Copy>(all: &mut BTreeMap<K, Marks>, who: K, now_ms: u64) -> &mut Marks {
    if all.len() >= MARKS_MAX && !all.contains_key(&who) {
        let least = all.iter().min_by(|(_, a), (_, b)| {
            a.at(now_ms).strikes.total_cmp(&b.at(now_ms).strikes).then(a.at_ms.cmp(&b.at_ms))
        });
        if let Some(least) = least.map(|(who, _)| *who) {
            all.remove(&least);
        }
    }
    let marks = all.entry(who).or_default();
    *marks = marks.at(now_ms);
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    const NOW: u64 = 1_800_000_000_000;

    fn node(seed: u16) -> NodeId {
        let mut bytes = [9; 32];
        bytes[..2].copy_from_slice(&seed.to_le_bytes());
        NodeKey::from_seed(bytes).id()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_wrong_block_bans_the_node_for_a_day_and_its_address_for_an_hour() {
        let mut book = Book::default();
        let bans = book.strike(node(1), ip("192.0.2.1"), Offence::InvalidBlock, NOW);
        assert_eq!(bans.len(), 2);
        assert_eq!(book.node_ban(node(1), NOW), Some(NOW + NODE_BAN_MS));
        assert_eq!(book.address_ban(ip("192.0.2.1"), NOW), Some(NOW + ADDRESS_BAN_MS));
        assert_eq!(book.address_ban(ip("192.0.2.1"), NOW + ADDRESS_BAN_MS), None);
        assert_eq!(book.bans(NOW + ADDRESS_BAN_MS).len(), 1);
        assert_eq!(book.bans(NOW + NODE_BAN_MS), []);
    }

    #[test]
    fn small_strikes_add_up_and_are_forgotten_in_time() {
        let mut book = Book::default();
        for _ in 0..49 {
            assert_eq!(book.strike(node(1), ip("192.0.2.1"), Offence::RateLimit, NOW), []);
        }
        assert_eq!(book.score(node(1), NOW).round(), -98.0);
        assert_eq!(book.score(node(1), NOW + 3_600_000).round(), -49.0);
        assert_eq!(book.strike(node(1), ip("192.0.2.1"), Offence::RateLimit, NOW).len(), 2);
    }

    #[test]
    fn what_decays_within_a_moment_saves_nobody() {
        let mut book = Book::default();
        let strike =
            |book: &mut Book, ms| book.strike(node(1), ip("192.0.2.1"), Offence::UnknownTag, NOW + ms);
        assert!((0..4).all(|at| strike(&mut book, at * 500).is_empty()));
        assert_eq!(strike(&mut book, 2_000).len(), 2);
    }

    #[test]
    fn new_names_do_not_help_against_the_strikes_of_an_address() {
        let mut book = Book::default();
        let struck = (0..4).map(|seed| book.strike(node(seed), ip("192.0.2.1"), Offence::Malformed, NOW));
        let last = struck.last().unwrap();
        assert_eq!(last.len(), 1);
        assert!(book.address_ban(ip("::ffff:192.0.2.1"), NOW).is_some());
        assert_eq!(book.node_ban(node(3), NOW), None);
    }

    #[test]
    fn loopback_is_never_banned() {
        let mut book = Book::default();
        for seed in 0..9 {
            book.strike(node(seed), ip("127.0.0.1"), Offence::InvalidBlock, NOW);
        }
        assert_eq!(book.address_ban(ip("127.0.0.1"), NOW), None);
        assert!(book.node_ban(node(0), NOW).is_some());
    }

    #[test]
    fn good_deeds_do_not_pay_for_strikes() {
        let mut book = Book::default();
        for _ in 0..1000 {
            book.praise(node(1), NOW);
        }
        assert!(book.score(node(1), NOW) > 900.0);
        assert_eq!(book.strike(node(1), ip("192.0.2.1"), Offence::InvalidHeader, NOW).len(), 2);
    }

    #[test]
    fn marks_and_bans_are_bounded() {
        let mut book = Book::default();
        let bad = node(60_000);
        book.strike(bad, ip("192.0.2.1"), Offence::Malformed, NOW);
        let many = u16::try_from(MARKS_MAX).unwrap() + 10;
        (0..many).for_each(|seed| book.praise(node(seed), NOW));
        assert_eq!(book.nodes.len(), MARKS_MAX);
        assert!(book.score(bad, NOW) < 0.0, "whoever did nothing wrong is forgotten first");
        for seed in 0..many {
            book.strike(node(seed), ip("192.0.2.1"), Offence::InvalidBlock, NOW);
        }
        assert_eq!((book.nodes.len(), book.bans.len()), (MARKS_MAX, BANS_MAX));
    }

    #[test]
    fn a_ban_can_be_lifted() {
        let mut book = Book::default();
        book.strike(node(1), ip("192.0.2.1"), Offence::InvalidBlock, NOW);
        assert!(book.unban(Banned::Node(node(1))));
        assert!(!book.unban(Banned::Node(node(1))));
        assert_eq!(book.node_ban(node(1), NOW), None);
        assert_eq!(book.score(node(1), NOW), 0.0);
    }
}
