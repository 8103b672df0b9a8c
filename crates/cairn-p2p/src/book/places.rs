//! Where in the book an address may stand: at one place of each table, which nobody else can foretell.

use crate::address::{AddressGroup, AddressHost, Neighbourhood};
use siphasher::sip::SipHasher24;
use std::hash::Hasher as _;
use std::net::{IpAddr, SocketAddr};

/// Buckets for what was heard.
pub(super) const NEW_BUCKETS: usize = 128;
/// Buckets for what was talked to.
pub(super) const TRIED_BUCKETS: usize = 32;
/// Addresses of one bucket.
pub(super) const BUCKET_PLACES: usize = 64;
/// Buckets that one source can fill with what it says.
pub(super) const NEW_BUCKETS_OF_SOURCE: u64 = 8;
/// Buckets in which the nodes of one neighbourhood can stand.
pub(super) const TRIED_BUCKETS_OF_NEIGHBOURHOOD: u64 = 2;

/// The two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// What was heard.
    New,
    /// What was talked to.
    Tried,
}

/// A place in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) bucket: u16,
    pub(super) place: u16,
}

/// Knows the places, by a secret.
#[derive(Clone)]
pub(super) struct Places {
    secret: [u8; 16],
}

impl Places {
    pub(super) fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    pub(super) fn secret(&self) -> [u8; 16] {
        self.secret
    }

    /// The place of an address that somebody of the group `source` told.
    pub(super) fn of_new(&self, address: SocketAddr, source: AddressGroup) -> Place {
        let source = group_bytes(source);
        let turn = self.hash(0, &[&neighbourhood_bytes(address), &source]) % NEW_BUCKETS_OF_SOURCE;
        let bucket = self.hash(1, &[&source, &turn.to_le_bytes()]);
        self.place(2, bucket, NEW_BUCKETS, address)
    }

    /// The place of an address that was talked to.
    pub(super) fn of_tried(&self, address: SocketAddr) -> Place {
        let turn = self.hash(3, &[&address_bytes(address)]) % TRIED_BUCKETS_OF_NEIGHBOURHOOD;
        let bucket = self.hash(4, &[&neighbourhood_bytes(address), &turn.to_le_bytes()]);
        self.place(5, bucket, TRIED_BUCKETS, address)
    }

    fn place(&self, purpose: u8, bucket: u64, buckets: usize, address: SocketAddr) -> Place {
        let bucket = below(bucket, buckets);
        let place = self.hash(purpose, &[&bucket.to_le_bytes(), &address_bytes(address)]);
        Place { bucket, place: below(place, BUCKET_PLACES) }
    }

    /// SipHash-2-4 under the secret. Of each purpose at most one part has no fixed length.
    fn hash(&self, purpose: u8, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(&[purpose]);
        parts.iter().for_each(|part| hasher.write(part));
        hasher.finish()
    }
}

fn below(number: u64, bound: usize) -> u16 {
    let bound = u64::try_from(bound).expect("a table has some hundred buckets");
    u16::try_from(number % bound).expect("a table has some hundred buckets")
}

/// A group in five bytes.
pub(super) fn group_bytes(group: AddressGroup) -> [u8; 5] {
    match group {
        AddressGroup::V4([a, b]) => [4, a, b, 0, 0],
        AddressGroup::V6([a, b, c, d]) => [6, a, b, c, d],
    }
}

/// An address with its port in 18 bytes.
pub(super) fn address_bytes(address: SocketAddr) -> [u8; 18] {
    let [low, high] = address.port().to_le_bytes();
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip_bytes(address.ip()));
    bytes[16..].copy_from_slice(&[low, high]);
    bytes
}

/// An address in 16 bytes, an IPv4 address in its form for IPv6.
fn ip_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn neighbourhood_bytes(address: SocketAddr) -> Vec<u8> {
    let host = |host: AddressHost| ip_bytes(host.ip());
    match Neighbourhood::of(address) {
        Neighbourhood::Public(group) => [&[0][..], &group_bytes(group)].concat(),
        Neighbourhood::Private(machine) => [&[1][..], &host(machine)].concat(),
        Neighbourhood::Loopback(port) => [&[2][..], &port.to_le_bytes()].concat(),
    }
}
