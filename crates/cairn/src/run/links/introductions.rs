//! Telling peers of a new one, at a rate that they take: whoever tells more is struck by them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many new peers are told of at once, after a pause; fewer than a peer takes unasked (page 11).
const BURST: u32 = 8;
/// The time in which one more may be told of: 5 a minute, of which a peer takes 6.
const EACH_TIME: Duration = Duration::from_secs(12);
/// How long an address is not told of again.
const AGAIN_TIME: Duration = Duration::from_secs(3_600);

/// Which addresses were told of lately, and how many more may be.
#[derive(Debug)]
pub(super) struct Introductions {
    left: u32,
    since: Instant,
    /// There are no more than fit the rate in [`AGAIN_TIME`].
    told: BTreeMap<SocketAddr, Instant>,
}

impl Introductions {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: BURST, since: now, told: BTreeMap::new() }
    }

    /// Whether peers may be told of an address now; it counts as told then. Strangers come and go as they like, and
    /// would else have this node flood its peers.
    pub(super) fn may_tell(&mut self, address: SocketAddr, now: Instant) -> bool {
        while self.left < BURST && now.saturating_duration_since(self.since) >= EACH_TIME {
            self.left += 1;
            self.since += EACH_TIME;
        }
        if self.left == BURST {
            self.since = now;
        }
        self.told.retain(|_, at| now.saturating_duration_since(*at) < AGAIN_TIME);
        if self.left == 0 || self.told.contains_key(&address) {
            return false;
        }
        self.left -= 1;
        self.told.insert(address, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_that_come_and_go_are_told_of_at_a_rate_and_once_an_hour() {
        let start = Instant::now();
        let mut introductions = Introductions::new(start);
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let told = (1..=100).filter(|port| introductions.may_tell(address(*port), start)).count();
        assert_eq!(told, 8);
        assert!(!introductions.may_tell(address(1), start + Duration::from_secs(3_599)), "it was told of");
        assert!(introductions.may_tell(address(1), start + Duration::from_secs(3_600)));
        let mut introductions = Introductions::new(start);
        let in_a_minute = (0..600_u32).filter(|tenth| {
            let now = start + Duration::from_millis(u64::from(*tenth) * 100);
            introductions.may_tell(address(u16::try_from(*tenth).unwrap()), now)
        });
        assert_eq!(in_a_minute.count(), 12, "8 at once and 4 within a minute");
    }
}
