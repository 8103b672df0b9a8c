//! How many addresses are taken that nobody asked for, of all links with one neighbourhood together.
//!
//! A link is cheap to make anew, and neighbours are where an attacker has many machines: a bound of each link
//! alone would be none.

use super::rate::Bucket;
use crate::address::Neighbourhood;
use crate::frame::Rate;
use crate::message::AddressRecord;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Addresses that are taken from one neighbourhood without having been asked for.
const HEARSAY_RATE: Rate = Rate { burst: 10, a_minute: 6 };
/// Neighbourhoods whose addresses are counted. While all have lately told some, no further one is listened to:
/// whoever can be dialled is told of by others, too.
pub(crate) const HEARSAY_MAX: usize = 4_096;

/// What is left for each neighbourhood. One that is not here may tell as much as a new one.
#[derive(Debug, Default)]
pub(crate) struct Hearsay(Mutex<BTreeMap<Neighbourhood, Bucket>>);

impl Hearsay {
    /// Leaves of `records`, which a peer at `remote` told, as many as are taken. Links within this machine are
    /// counted each by itself: all nodes of a test network are neighbours there, and nobody else is.
    pub(crate) fn cut(&self, remote: SocketAddr, records: &mut Vec<AddressRecord>, now: Instant) {
        // Nothing under the lock can panic halfway through a change.
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let neighbourhood = Neighbourhood::of(remote);
        if buckets.len() >= HEARSAY_MAX && !buckets.contains_key(&neighbourhood) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if buckets.len() >= HEARSAY_MAX && !buckets.contains_key(&neighbourhood) {
            return records.clear();
        }
        let bucket = buckets.entry(neighbourhood).or_insert_with(|| Bucket::new(HEARSAY_RATE, now));
        let wanted = u64::try_from(records.len()).expect("at most 250 records");
        let taken = bucket.take_up_to(wanted, now);
        records.truncate(usize::try_from(taken).expect("at most 250 records"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Roles;
    use std::time::Duration;

    /// How many of 20 records are taken from a peer at `remote`.
    fn taken(hearsay: &Hearsay, remote: &str, now: Instant) -> usize {
        let address = "192.0.2.1:7781".parse().unwrap();
        let record = AddressRecord { address, node: None, last_seen_s: 1, roles: Roles::FULL };
        let mut records = vec![record; 20];
        hearsay.cut(remote.parse().unwrap(), &mut records, now);
        records.len()
    }

    #[test]
    fn a_neighbourhood_does_not_get_more_by_new_links_and_machines() {
        let (hearsay, start) = (Hearsay::default(), Instant::now());
        assert_eq!(taken(&hearsay, "198.51.100.1:1", start), 10);
        assert_eq!(taken(&hearsay, "198.51.100.1:2", start), 0);
        assert_eq!(taken(&hearsay, "198.51.7.7:3", start), 0);
        assert_eq!(taken(&hearsay, "203.0.113.1:1", start), 10);
        assert_eq!(taken(&hearsay, "198.51.100.1:4", start + Duration::from_secs(30)), 3);
        // In a private network a machine counts, here a link.
        for remote in ["10.0.0.1:1", "10.0.0.2:1", "127.0.0.1:1", "127.0.0.1:2"] {
            assert_eq!(taken(&hearsay, remote, start), 10, "{remote}");
        }
    }

    #[test]
    fn the_neighbourhoods_are_bounded_and_make_room_once_they_may_tell_as_much_again() {
        let (hearsay, start) = (Hearsay::default(), Instant::now());
        for number in 0..HEARSAY_MAX {
            assert_eq!(taken(&hearsay, &format!("{}.{}.0.1:1", 20 + number / 256, number % 256), start), 10);
        }
        assert_eq!(taken(&hearsay, "198.51.100.1:1", start), 0);
        assert_eq!(taken(&hearsay, "198.51.100.1:1", start + Duration::from_secs(99)), 0);
        assert_eq!(taken(&hearsay, "198.51.100.1:1", start + Duration::from_secs(100)), 10);
        assert_eq!(hearsay.0.lock().unwrap().len(), 1);
    }
}
