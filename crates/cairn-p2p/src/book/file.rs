//! The address book as a file: what was learnt outlives a restart.
//!
//! ```text
//! tag "cairn/addrbook/1"
//! secret 16 │ count u32 │ entries, by address │ count u32 │ anchors │ checksum 8
//! entry: address 16, port u16, flags u8, source 5, roles u32, node 32 or nothing,
//!        last seen, last try, last success, last counted u64, attempts u32
//! ```
//!
//! Numbers are little-endian. One book has one file: entries are in order, and each at the place that the
//! secret gives it.

use super::entry::Entry;
use super::places::{Places, address_bytes, group_bytes};
use super::{ANCHORS_MAX, AddressBook, BOOK_ENTRIES_MAX, canonical, halves, is_anchor};
use crate::address::AddressGroup;
use crate::chance::Chance;
use crate::kept::{self, Fields, KeptError};
use crate::key::NodeId;
use crate::message::Roles;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How the file begins.
pub(crate) const TAG: &[u8; 16] = b"cairn/addrbook/1";
/// The longest entry.
const ENTRY_BYTES_MAX: usize = 16 + 2 + 1 + 5 + 4 + 32 + 4 * 8 + 4;
/// The longest file.
const FILE_BYTES_MAX: usize =
    kept::bytes_max(16 + 4 + BOOK_ENTRIES_MAX * ENTRY_BYTES_MAX + 4 + ANCHORS_MAX * 18);
/// A flag: it was talked to.
const IS_TRIED: u8 = 1;
/// A flag: who is there is known.
const HAS_NODE: u8 = 2;

impl AddressBook {
    /// What to save, now and then and at the end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut contents = self.places.secret().to_vec();
        let count =
            |count: usize| u32::try_from(count).expect("a book has some thousand entries").to_le_bytes();
        contents.extend(count(self.entries.len()));
        for (address, entry) in &self.entries {
            contents.extend(address_bytes(*address));
            contents.push(
                if entry.is_tried { IS_TRIED } else { 0 } | if entry.node.is_some() { HAS_NODE } else { 0 },
            );
            contents.extend(group_bytes(entry.source));
            contents.extend(entry.roles.0.to_le_bytes());
            contents.extend(entry.node.iter().flat_map(|node| node.to_bytes()));
            for time_s in [entry.last_seen_s, entry.last_try_s, entry.last_success_s, entry.last_counted_s] {
                contents.extend(time_s.to_le_bytes());
            }
            contents.extend(entry.attempts.to_le_bytes());
        }
        contents.extend(count(self.anchors.len()));
        self.anchors.iter().for_each(|anchor| contents.extend(address_bytes(*anchor)));
        kept::seal(TAG, &contents)
    }

    /// The book of a file. `secret` is a fresh one, as for [`new`](Self::new): choices differ in each run.
    ///
    /// # Errors
    ///
    /// The file is damaged or none of this version.
    pub fn from_bytes(bytes: &[u8], secret: [u8; 32]) -> Result<Self, KeptError> {
        let mut fields = kept::open(TAG, bytes, FILE_BYTES_MAX)?;
        let mut book = Self::new(secret);
        book.chance = Chance::new(halves(secret).1);
        book.places = Places::new(fields.bytes()?);
        let mut last = None;
        for _ in 0..fields.count(BOOK_ENTRIES_MAX)? {
            let (address, entry) = read_entry(&mut fields)?;
            if last.replace(address).is_some_and(|last| last >= address) || !book.put_back(address, entry) {
                return Err(KeptError::Damaged);
            }
            book.last_success_s = book.last_success_s.max(entry.last_success_s);
        }
        for _ in 0..fields.count(ANCHORS_MAX)? {
            book.anchors.push(read_address(&mut fields)?);
        }
        fields.finish()?;
        Ok(book)
    }

    /// The same, and an empty book where there is no file that can be used; then also why.
    pub fn load(bytes: &[u8], secret: [u8; 32]) -> (Self, Option<KeptError>) {
        match Self::from_bytes(bytes, secret) {
            Ok(book) => (book, None),
            Err(error) => (Self::new(secret), Some(error)),
        }
    }

    /// Puts an entry of a file where it was; whether nothing is there.
    fn put_back(&mut self, address: SocketAddr, entry: Entry) -> bool {
        let (table, place) = if entry.is_tried {
            (&mut self.tried, self.places.of_tried(address))
        } else {
            (&mut self.new, self.places.of_new(address, entry.source))
        };
        self.entries.insert(address, entry);
        table.insert(place, address).is_none()
    }
}

fn read_entry(fields: &mut Fields<'_>) -> Result<(SocketAddr, Entry), KeptError> {
    let address = read_address(fields)?;
    let flags = fields.u8()?;
    let source = match fields.bytes()? {
        [4, a, b, 0, 0] => AddressGroup::V4([a, b]),
        [6, a, b, c, d] => AddressGroup::V6([a, b, c, d]),
        _ => return Err(KeptError::Damaged),
    };
    let roles = Roles(fields.u32()?);
    let node = match flags & HAS_NODE {
        0 => None,
        _ => Some(NodeId::from_bytes(fields.bytes()?).ok_or(KeptError::Damaged)?),
    };
    let is_tried = flags & IS_TRIED != 0;
    // Who was talked to is known.
    if flags & !(IS_TRIED | HAS_NODE) != 0 || (is_tried && node.is_none()) {
        return Err(KeptError::Damaged);
    }
    let entry = Entry {
        source,
        roles,
        node,
        last_seen_s: fields.u64()?,
        last_try_s: fields.u64()?,
        last_success_s: fields.u64()?,
        last_counted_s: fields.u64()?,
        attempts: fields.u32()?,
        rests_until_s: 0,
        is_tried,
    };
    Ok((address, entry))
}

fn read_address(fields: &mut Fields<'_>) -> Result<SocketAddr, KeptError> {
    let ip = Ipv6Addr::from(fields.bytes::<16>()?);
    let address = canonical(SocketAddr::new(IpAddr::V6(ip), fields.u16()?));
    if is_anchor(&address) { Ok(address) } else { Err(KeptError::Damaged) }
}
