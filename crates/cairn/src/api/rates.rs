//! How much one client may ask in a second.
//!
//! Each client has a bucket for reads and one for writes (the generic cell rate algorithm, ITU-T I.371):
//! it holds what is asked in [`BURST_SECONDS`] and fills at the rate. Clients on this machine have no
//! limit: they are the owner's own, and the node works for them as fast as it can.

use crate::api::clients::Client;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how many seconds' worth of requests a bucket has room.
pub const BURST_SECONDS: u32 = 2;
/// The most clients that are remembered.
pub const CLIENTS_MAX: usize = 4096;

/// How many requests a second one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// What only reads.
    pub reads: NonZeroU32,
    /// What submits or changes something.
    pub writes: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            reads: NonZeroU32::new(100).expect("100 is not 0"),
            writes: NonZeroU32::new(50).expect("50 is not 0"),
        }
    }
}

/// Whether a request reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only reads.
    Read,
    /// It submits or changes something.
    Write,
}

/// The buckets of all clients.
#[derive(Debug)]
pub struct Limiter {
    rates: Rates,
    started: Instant,
    clients: Mutex<BTreeMap<Client, Buckets>>,
}

/// When the buckets of a client are full again, since the limiter began.
#[derive(Clone, Copy, Debug, Default)]
struct Buckets {
    reads: Duration,
    writes: Duration,
}

impl Buckets {
    fn is_full(self, now: Duration) -> bool {
        self.reads <= now && self.writes <= now
    }
}

impl Limiter {
    /// All buckets are full.
    pub fn new(rates: Rates) -> Self {
        Self { rates, started: Instant::now(), clients: Mutex::default() }
    }

    /// Takes one request out of the client's bucket.
    ///
    /// # Errors
    ///
    /// After how much time there is one in it again, if it is empty.
    pub fn take(&self, client: Client, kind: Kind) -> Result<(), Duration> {
        if client.is_local() { Ok(()) } else { self.take_at(client, kind, self.started.elapsed()) }
    }

    fn take_at(&self, client: Client, kind: Kind, now: Duration) -> Result<(), Duration> {
        // Nothing under the lock can panic halfway through a change.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            forget(&mut clients, now);
        }
        let buckets = clients.entry(client).or_default();
        let (full_at, rate) = match kind {
            Kind::Read => (&mut buckets.reads, self.rates.reads),
            Kind::Write => (&mut buckets.writes, self.rates.writes),
        };
        let next = (*full_at).max(now) + Duration::from_secs(1) / rate.get();
        let room = Duration::from_secs(BURST_SECONDS.into());
        match next.checked_sub(now + room) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = next;
                Ok(())
            }
        }
    }
}

/// Forgets the clients whose buckets are full, which changes nothing; or else the one that has most left.
fn forget(clients: &mut BTreeMap<Client, Buckets>, now: Duration) {
    clients.retain(|_, buckets| !buckets.is_full(now));
    if clients.len() >= CLIENTS_MAX {
        let calmest = clients.iter().min_by_key(|(_, buckets)| buckets.reads.max(buckets.writes));
        if let Some(client) = calmest.map(|(client, _)| *client) {
            clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn client(number: u32) -> Client {
        Client::of(IpAddr::V4((0x0a00_0000 + number).into()))
    }

    fn limiter(reads: u32, writes: u32) -> Limiter {
        Limiter::new(Rates {
            reads: NonZeroU32::new(reads).unwrap(),
            writes: NonZeroU32::new(writes).unwrap(),
        })
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let limiter = limiter(10, 1);
        let now = Duration::from_secs(7);
        for _ in 0..10 * BURST_SECONDS {
            assert_eq!(limiter.take_at(client(1), Kind::Read, now), Ok(()));
        }
        assert_eq!(limiter.take_at(client(1), Kind::Read, now), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take_at(client(2), Kind::Read, now), Ok(()), "others have their own");
        assert_eq!(limiter.take_at(client(1), Kind::Write, now), Ok(()), "writes have their own");
        let later = now + Duration::from_millis(100);
        assert_eq!(limiter.take_at(client(1), Kind::Read, later), Ok(()));
        assert!(limiter.take_at(client(1), Kind::Read, later).is_err());
    }

    #[test]
    fn this_machine_has_no_limit() {
        let limiter = limiter(1, 1);
        let local = Client::of("127.0.0.1".parse().unwrap());
        assert!((0..1000).all(|_| limiter.take(local, Kind::Write).is_ok()));
        assert!(limiter.clients.lock().unwrap().is_empty());
    }

    #[test]
    fn however_many_clients_come_few_are_remembered_and_the_busy_ones_stay() {
        let limiter = limiter(1, 1);
        let now = Duration::ZERO;
        while limiter.take_at(client(0), Kind::Read, now).is_ok() {}
        let count = u32::try_from(CLIENTS_MAX).unwrap() * 2;
        for number in 1..count {
            assert_eq!(limiter.take_at(client(number), Kind::Read, now), Ok(()));
        }
        assert_eq!(limiter.clients.lock().unwrap().len(), CLIENTS_MAX);
        assert!(limiter.take_at(client(0), Kind::Read, now).is_err(), "a crowd does not fill its bucket");
        let later = Duration::from_secs(60);
        assert_eq!(limiter.take_at(client(count), Kind::Read, later), Ok(()));
        assert_eq!(limiter.clients.lock().unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn no_second_brings_more_than_the_burst_and_the_rate(
            rate in 1u32..500, pauses in proptest::collection::vec(0u64..50, 1..2000)
        ) {
            let limiter = limiter(rate, 1);
            let (mut now, mut taken) = (Duration::ZERO, 0u32);
            for pause in pauses {
                now += Duration::from_millis(pause);
                if limiter.take_at(client(1), Kind::Read, now).is_ok() {
                    taken += 1;
                }
            }
            let allowed = f64::from(rate) * (now.as_secs_f64() + f64::from(BURST_SECONDS));
            prop_assert!(f64::from(taken) <= allowed + 1.0, "{taken} of {allowed}");
        }
    }
}
