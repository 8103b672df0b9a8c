//! The address book: which nodes there are, of all that strangers say.
//!
//! It is Bitcoin's (`addrman`, since 0.10; Heilman, Kendler, Zohar, Goldberg, 2015), in a smaller size. What was
//! heard is in one table, what was talked to in another. Both are made of buckets; a secret decides, together
//! with the group of an address and of whoever told it, in which bucket and at which place in it an address
//! may stand. Whoever fills the book with addresses of his own fills few buckets, and drives out nobody who
//! was talked to: a place in that table is given to another only when its owner does not answer.
//!
//! Nothing here reads a clock or draws chance but from the secret that the owner gives. Times are seconds since
//! 1970, and a clock that goes back does no harm.
//!
//! # Provided
//!
//! * Bounded memory: [`BOOK_ENTRIES_MAX`] addresses, of one source at most one in sixteen of those heard of.
//! * Private addresses stay within private networks, and loopback addresses on their machine ([`Reach`]).
//! * Who is where is believed only of nodes that were talked to, and only where somebody was is passed on: a
//!   lie that is told to this node stays here.
//! * Of one machine at most [`UNTRIED_OF_HOST_MAX`] addresses are taken that nobody was talked to at, so that
//!   this node is no tool to try the ports of somebody else's machine.
//!
//! # Not provided
//!
//! Hiding which addresses are known from somebody who asks often, and telling true addresses from false ones
//! before they are dialled.

mod entry;
mod file;
mod places;
#[cfg(test)]
mod tests;

pub(crate) use file::TAG as FILE_TAG;

use crate::address::{AddressGroup, AddressHost, Neighbourhood, Reach, is_dialable};
use crate::chance::Chance;
use crate::key::NodeId;
use crate::message::{AddressRecord, RECORDS_MAX, Roles};
use entry::Entry;
use places::{BUCKET_PLACES, Place, Places, Table};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Addresses that are remembered, in both tables together.
pub const BOOK_ENTRIES_MAX: usize = (places::NEW_BUCKETS + places::TRIED_BUCKETS) * BUCKET_PLACES;
/// Addresses of one machine that are learnt while nobody was talked to at them. Those of this machine are not
/// counted: only who is on it tells of them, and a test network has all of its nodes there.
pub const UNTRIED_OF_HOST_MAX: usize = 2;
/// Nodes that are dialled first at the next start.
pub const ANCHORS_MAX: usize = 2;
/// Of 100 addresses at most so many are told to who asks.
const SHARED_PERCENT: usize = 23;
/// As many are told however few are known: a small network has nothing to hide, and must stay one.
const SHARED_MIN: usize = 64;
/// Addresses that wait for a place among those talked to.
const COLLISIONS_MAX: usize = 10;
/// Addresses that lead to this node or to another network.
const FORGOTTEN_MAX: usize = 256;
/// How often an address is drawn before a choice is given up.
const DRAWS_MAX: usize = 100;
/// What strangers say of when a node was last talked to is taken to be so much earlier.
const HEARSAY_PENALTY_S: u64 = 2 * HOUR_S;
/// How much later than now a time may be that is believed.
const FUTURE_S: u64 = 600;
/// Of a time in the future it is only believed that it was some days ago.
const FUTURE_PENALTY_S: u64 = 5 * 24 * HOUR_S;
/// How old the note that a node is there may grow while there is a link with it.
const SEEN_STEP_S: u64 = HOUR_S / 3;
/// Who was talked to within this time keeps his place without being asked.
const KEEPS_PLACE_S: u64 = 4 * HOUR_S;
/// How long a dial to who must give up his place may take.
const TEST_S: u64 = 60;
/// After this time without such a dial the place is given away.
const TEST_WINDOW_S: u64 = 40 * 60;
const HOUR_S: u64 = 3_600;

/// The addresses of other nodes.
pub struct AddressBook {
    places: Places,
    chance: Chance,
    entries: BTreeMap<SocketAddr, Entry>,
    new: BTreeMap<Place, SocketAddr>,
    tried: BTreeMap<Place, SocketAddr>,
    /// Talked to, and their places in the tried table are taken.
    collisions: Vec<SocketAddr>,
    anchors: Vec<SocketAddr>,
    /// Of no use in this run; they are not learnt again.
    forgotten: VecDeque<SocketAddr>,
    /// When any node was talked to last.
    last_success_s: u64,
}

/// An address to be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub address: SocketAddr,
    /// Who was there when it was talked to, if it was. Another may be there now: dial whoever it is.
    pub node: Option<NodeId>,
}

/// What there is a link with already, so that no second one is sought.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    /// Addresses at the other end of links or being dialled.
    pub addresses: BTreeSet<SocketAddr>,
    /// Nodes with a link.
    pub nodes: BTreeSet<NodeId>,
    /// Places in which there is a link already.
    pub neighbourhoods: BTreeSet<Neighbourhood>,
    /// Where a machine was dialled lately on hearsay: no other address of it is dialled on hearsay now.
    pub tested: BTreeMap<AddressHost, SocketAddr>,
}

impl InUse {
    fn has(&self, address: SocketAddr, entry: &Entry) -> bool {
        self.addresses.contains(&address)
            || self.neighbourhoods.contains(&Neighbourhood::of(address))
            || entry.node.is_some_and(|node| self.nodes.contains(&node))
            || self.would_scan(address, entry)
    }

    /// Whether dialling the address would try a second port of a machine on hearsay.
    fn would_scan(&self, address: SocketAddr, entry: &Entry) -> bool {
        let tested = self.tested.get(&AddressHost::of(address.ip()));
        !entry.was_reached() && tested.is_some_and(|tested| *tested != address)
    }
}

impl AddressBook {
    /// An empty book. The secret must be drawn anew for each, and kept from everybody.
    pub fn new(secret: [u8; 32]) -> Self {
        let (places, chance) = halves(secret);
        Self {
            places: Places::new(places),
            chance: Chance::new(chance),
            entries: BTreeMap::new(),
            new: BTreeMap::new(),
            tried: BTreeMap::new(),
            collisions: Vec::new(),
            anchors: Vec::new(),
            forgotten: VecDeque::new(),
            // Before any success each address may have one failure counted.
            last_success_s: 1,
        }
    }

    /// How many addresses are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of them were talked to.
    pub fn tried_len(&self) -> usize {
        self.tried.len()
    }

    /// Takes what a peer at `source` says of nodes: at most 250 records. How many of them were not known.
    ///
    /// Who is there is not believed, and roles and times only as far as they decide whether to dial.
    pub fn learn(&mut self, source: IpAddr, records: &[AddressRecord], now_s: u64) -> usize {
        let near = Reach::of(source);
        let mut learnt = 0;
        for record in records.iter().take(RECORDS_MAX) {
            let address = canonical(record.address);
            let is_useful = record.roles.contains(Roles::FULL)
                && address.port() != 0
                && is_dialable(address.ip())
                && near.may_know(Reach::of(address.ip()))
                && !self.forgotten.contains(&address);
            if !is_useful {
                continue;
            }
            // Nobody else knows better whether he is there.
            let penalty_s = if address.ip() == source.to_canonical() { 0 } else { HEARSAY_PENALTY_S };
            let last_seen_s = believable(record.last_seen_s, now_s).saturating_sub(penalty_s);
            match self.entries.get_mut(&address) {
                Some(entry) if entry.is_tried => {}
                Some(entry) => entry.last_seen_s = entry.last_seen_s.max(last_seen_s),
                None => {
                    let entry = Entry::heard(AddressGroup::of(source), record.roles, last_seen_s);
                    let is_learnt =
                        self.make_room_at(address, source, now_s) && self.add(address, entry, now_s);
                    learnt += usize::from(is_learnt);
                }
            }
        }
        learnt
    }

    /// An address is being dialled.
    pub fn tried(&mut self, address: SocketAddr, now_s: u64) {
        if let Some(entry) = self.entries.get_mut(&canonical(address)) {
            entry.last_try_s = now_s;
        }
    }

    /// Nobody answered there, or no node.
    pub fn failed(&mut self, address: SocketAddr, now_s: u64) {
        let last_success_s = self.last_success_s;
        if let Some(entry) = self.entries.get_mut(&canonical(address)) {
            entry.last_try_s = now_s;
            // While nobody at all answers, it is this node that has no network.
            if entry.last_counted_s < last_success_s {
                entry.last_counted_s = now_s;
                entry.attempts = entry.attempts.saturating_add(1);
            }
        }
    }

    /// A node was talked to at an address that was dialled: it moves to the tried table, if its place there
    /// is free, and waits until whoever has it does not answer, if it is not.
    pub fn succeeded(&mut self, address: SocketAddr, node: NodeId, roles: Roles, now_s: u64) {
        let address = canonical(address);
        if !is_dialable(address.ip()) || address.port() == 0 {
            return;
        }
        self.last_success_s = self.last_success_s.max(now_s);
        if !self.entries.contains_key(&address) {
            let entry = Entry::heard(AddressGroup::of(address.ip()), roles, now_s);
            let place = self.places.of_new(address, entry.source);
            if let Some(occupant) = self.new.get(&place).copied() {
                self.remove(occupant);
            }
            self.add(address, entry, now_s);
        }
        let Some(entry) = self.entries.get_mut(&address) else { return };
        entry.succeed(node, roles, now_s);
        if entry.is_tried {
            return;
        }
        let is_taken = self.tried.contains_key(&self.places.of_tried(address));
        if !is_taken {
            self.promote(address);
        } else if self.collisions.len() < COLLISIONS_MAX && !self.collisions.contains(&address) {
            self.collisions.push(address);
        }
    }

    /// There still is a link with the node at an address that was dialled.
    pub fn seen(&mut self, address: SocketAddr, now_s: u64) {
        if let Some(entry) = self.entries.get_mut(&canonical(address))
            && entry.last_seen_s.saturating_add(SEEN_STEP_S) < now_s
        {
            entry.last_seen_s = now_s;
        }
    }

    /// The address leads to a node with which there is a link already: nothing to dial before `until_s`.
    pub fn rest(&mut self, address: SocketAddr, until_s: u64) {
        if let Some(entry) = self.entries.get_mut(&canonical(address)) {
            entry.rests_until_s = until_s;
        }
    }

    /// Whoever told of an address says no more that a node is there: it is forgotten, unless one was talked to.
    /// What was dialled in vain stays too, so that it is not new when it is heard of again.
    pub fn withdraw(&mut self, address: SocketAddr) {
        let address = canonical(address);
        if self.entries.get(&address).is_some_and(|entry| !entry.is_tried && entry.attempts == 0) {
            self.remove(address);
        }
    }

    /// The address is of no use: this node itself is there, or one of another network.
    pub fn forget(&mut self, address: SocketAddr) {
        let address = canonical(address);
        self.remove(address);
        if !self.forgotten.contains(&address) {
            self.forgotten.push_back(address);
        }
        if self.forgotten.len() > FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
    }

    /// Forgets what is terrible, not heard of for a month or dialled in vain too often, and gives places to who
    /// has waited long enough. To be called every few minutes.
    pub fn expire(&mut self, now_s: u64) {
        self.settle_collisions(now_s);
        let terrible = self.entries.iter().filter(|(_, entry)| entry.is_terrible(now_s));
        let terrible: Vec<_> = terrible.map(|(address, _)| *address).collect();
        terrible.into_iter().for_each(|address| self.remove(address));
    }

    /// Whom to dial for a link: half of the time somebody who was talked to, and nobody near to a link that
    /// there is. None where none is found; the next call may find one.
    pub fn choose(&mut self, in_use: &InUse, now_s: u64) -> Option<Candidate> {
        let buckets = [self.buckets(Table::New), self.buckets(Table::Tried)];
        for _ in 0..DRAWS_MAX {
            let (table, buckets) = match (self.chance.below(2), &buckets) {
                (_, [new, tried]) if new.is_empty() && tried.is_empty() => return None,
                (0, [new, _]) if !new.is_empty() => (Table::New, new),
                (_, [new, tried]) if tried.is_empty() => (Table::New, new),
                (_, [_, tried]) => (Table::Tried, tried),
            };
            let drawn = self.draw(table, buckets, now_s).filter(|it| !in_use.has(it.0, &it.1));
            if let Some((address, entry)) = drawn {
                return Some(Candidate { address, node: entry.node });
            }
        }
        None
    }

    /// Whom to dial only to see whether anybody is there: who must give up his place if not, or somebody who
    /// was never talked to.
    pub fn choose_feeler(&mut self, in_use: &InUse, now_s: u64) -> Option<Candidate> {
        self.settle_collisions(now_s);
        let holders: Vec<_> = self
            .collisions
            .iter()
            .filter_map(|waiting| self.tried.get(&self.places.of_tried(*waiting)).copied())
            .filter(|holder| !in_use.addresses.contains(holder))
            .filter(|holder| self.entries.get(holder).is_some_and(|entry| entry.is_due(now_s)))
            .collect();
        if let Some(holder) = self.chance.pick(&holders) {
            return Some(Candidate { address: *holder, node: self.entries.get(holder)?.node });
        }
        let buckets = self.buckets(Table::New);
        for _ in 0..DRAWS_MAX {
            if let Some((address, entry)) = self.draw(Table::New, &buckets, now_s)
                && !in_use.addresses.contains(&address)
                && !in_use.would_scan(address, &entry)
            {
                return Some(Candidate { address, node: entry.node });
            }
        }
        None
    }

    /// What a peer at `asker` is told: a sample of at most 23 of 100 addresses, or 64 if these are more, and
    /// 250, none of them terrible or nearer than the asker is. They are those where this node has reached a node,
    /// and of `linked`, where nodes that have a link now say that they are: what is only hearsay here is not
    /// spread. Who is there is not told: nobody should believe it, and it would show with whom this node has
    /// talked.
    pub fn share(&mut self, asker: IpAddr, linked: &BTreeSet<SocketAddr>, now_s: u64) -> Vec<AddressRecord> {
        let near = Reach::of(asker);
        let known = self.entries.iter().filter(|(address, entry)| {
            (entry.was_reached() || linked.contains(address))
                && near.may_know(Reach::of(address.ip()))
                && !entry.is_terrible(now_s)
        });
        let records: Vec<_> = known
            .map(|(address, entry)| AddressRecord {
                address: *address,
                node: None,
                last_seen_s: entry.last_seen_s,
                roles: entry.roles.known(),
            })
            .collect();
        let count = (records.len() * SHARED_PERCENT).div_ceil(100).clamp(SHARED_MIN, RECORDS_MAX);
        self.chance.sample(records, count)
    }

    /// Says whom to dial first at the next start: the first two of these.
    pub fn set_anchors(&mut self, anchors: impl IntoIterator<Item = SocketAddr>) {
        self.anchors = anchors.into_iter().map(canonical).filter(is_anchor).take(ANCHORS_MAX).collect();
    }

    /// The anchors of the last run, once: who makes this node fall must not do so at each start.
    pub fn take_anchors(&mut self) -> Vec<Candidate> {
        let node = |address| self.entries.get(&address).and_then(|entry: &Entry| entry.node);
        let anchors = std::mem::take(&mut self.anchors);
        anchors.into_iter().map(|address| Candidate { address, node: node(address) }).collect()
    }

    /// Whether one more address of a machine may be learnt from `source`. One that is terrible makes room for
    /// it; where the machine itself speaks, so does the one that was seen first: or others could keep a node
    /// out of the book by telling where else it is.
    fn make_room_at(&mut self, address: SocketAddr, source: IpAddr, now_s: u64) -> bool {
        if Reach::of(address.ip()) == Reach::Loopback {
            return true;
        }
        let untried = self.untried_at(AddressHost::of(address.ip()));
        if untried.len() < UNTRIED_OF_HOST_MAX {
            return true;
        }
        let is_own = address.ip() == source.to_canonical();
        let worst = untried.into_iter().min_by_key(|(_, old)| (!old.is_terrible(now_s), old.last_seen_s));
        let gives_way =
            worst.filter(|(_, old)| old.is_terrible(now_s) || (is_own && old.last_seen_s < now_s));
        gives_way.inspect(|(worst, _)| self.remove(*worst)).is_some()
    }

    /// The addresses of a machine at which nobody was talked to.
    fn untried_at(&self, host: AddressHost) -> Vec<(SocketAddr, Entry)> {
        let addresses = SocketAddr::new(host.ip(), 0)..=SocketAddr::new(host.last_ip(), u16::MAX);
        let untried = self.entries.range(addresses).filter(|(_, entry)| !entry.was_reached());
        untried.map(|(address, entry)| (*address, *entry)).collect()
    }

    /// Puts an address into the new table, if its place there is free or held by something terrible.
    fn add(&mut self, address: SocketAddr, entry: Entry, now_s: u64) -> bool {
        if entry.is_terrible(now_s) {
            return false;
        }
        let place = self.places.of_new(address, entry.source);
        if let Some(occupant) = self.new.get(&place).copied() {
            if !self.entries.get(&occupant).is_none_or(|entry| entry.is_terrible(now_s)) {
                return false;
            }
            self.remove(occupant);
        }
        self.new.insert(place, address);
        self.entries.insert(address, entry);
        true
    }

    fn remove(&mut self, address: SocketAddr) {
        let Some(entry) = self.entries.remove(&address) else { return };
        if entry.is_tried {
            self.tried.remove(&self.places.of_tried(address));
        } else {
            self.new.remove(&self.places.of_new(address, entry.source));
            self.collisions.retain(|waiting| *waiting != address);
        }
    }

    /// Moves an address to its place in the tried table; who has it goes back to the new one.
    fn promote(&mut self, address: SocketAddr) {
        let Some(entry) = self.entries.get(&address).copied() else { return };
        let place = self.places.of_tried(address);
        self.remove(address);
        if let Some(holder) = self.tried.get(&place).copied()
            && let Some(former) = self.entries.get(&holder).copied()
        {
            self.remove(holder);
            let home = self.places.of_new(holder, former.source);
            if let Some(occupant) = self.new.get(&home).copied() {
                self.remove(occupant);
            }
            self.new.insert(home, holder);
            self.entries.insert(holder, Entry { is_tried: false, ..former });
        }
        self.tried.insert(place, address);
        self.entries.insert(address, Entry { is_tried: true, ..entry });
    }

    /// Gives places to who waits for them: where the holder has not answered, or could not be asked for long.
    fn settle_collisions(&mut self, now_s: u64) {
        for waiting in std::mem::take(&mut self.collisions) {
            let Some(entry) = self.entries.get(&waiting).copied().filter(|entry| !entry.is_tried) else {
                continue;
            };
            let place = self.places.of_tried(waiting);
            let holder = self.tried.get(&place).and_then(|holder| self.entries.get(holder));
            let ago = |then_s: u64| now_s.saturating_sub(then_s);
            let gives_up = holder.is_none_or(|holder| {
                let was_asked = holder.last_try_s > holder.last_success_s
                    && ago(holder.last_try_s) < KEEPS_PLACE_S
                    && ago(holder.last_try_s) > TEST_S;
                was_asked || ago(entry.last_success_s) > TEST_WINDOW_S
            });
            match holder {
                Some(holder) if ago(holder.last_success_s) < KEEPS_PLACE_S => {}
                _ if gives_up => self.promote(waiting),
                _ => self.collisions.push(waiting),
            }
        }
    }

    /// The buckets of a table that are not empty.
    fn buckets(&self, table: Table) -> Vec<u16> {
        let mut buckets: Vec<u16> = self.table(table).keys().map(|place| place.bucket).collect();
        buckets.dedup();
        buckets
    }

    /// One address of one bucket, each as likely as another; none where that is not to be dialled now, or is
    /// left out because it has failed often.
    fn draw(&mut self, table: Table, buckets: &[u16], now_s: u64) -> Option<(SocketAddr, Entry)> {
        let bucket = *self.chance.pick(buckets)?;
        let places = Place { bucket, place: 0 }..=Place { bucket, place: u16::MAX };
        let inside: Vec<_> = self.table(table).range(places).map(|(_, address)| *address).collect();
        let address = *self.chance.pick(&inside)?;
        let entry = *self.entries.get(&address)?;
        let is_taken = entry.is_due(now_s) && self.chance.below(entry::LIKELY) < entry.likelihood();
        is_taken.then_some((address, entry))
    }

    fn table(&self, table: Table) -> &BTreeMap<Place, SocketAddr> {
        match table {
            Table::New => &self.new,
            Table::Tried => &self.tried,
        }
    }
}

impl fmt::Debug for AddressBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressBook({} addresses, {} tried)", self.entries.len(), self.tried.len())
    }
}

fn halves(secret: [u8; 32]) -> ([u8; 16], [u8; 16]) {
    let (places, chance) = secret.split_at(16);
    let half = |bytes: &[u8]| bytes.try_into().expect("half of 32 bytes");
    (half(places), half(chance))
}

/// An IPv4 address as such, without what belongs to one machine only.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn is_anchor(address: &SocketAddr) -> bool {
    address.port() != 0 && is_dialable(address.ip())
}

/// When a node was seen, as far as it is believed.
fn believable(said_s: u64, now_s: u64) -> u64 {
    if said_s > now_s.saturating_add(FUTURE_S) { now_s.saturating_sub(FUTURE_PENALTY_S) } else { said_s }
}
