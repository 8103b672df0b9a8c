//! Which nodes of the local network are there, as far as they say: few, and not for long.

use super::packet::Here;
use crate::address::Reach;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

/// Nodes of the local network that are known at a time; more are not listened to.
pub(super) const FOUND_MAX: usize = 64;
/// The same of one machine.
const FOUND_OF_HOST_MAX: usize = 4;
/// The longest that a node is believed to be there without saying so again.
pub(super) const TTL_MAX: Duration = Duration::from_secs(120);

/// The nodes, and until when each is believed to be there.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<SocketAddr, Instant>);

impl Found {
    /// Takes what a machine says of itself: the address at which a node is, if it is a new one. Where it says to be
    /// is not asked, only at which port: nobody sends others to a third machine.
    pub(super) fn note(&mut self, from: IpAddr, here: Here, now: Instant) -> Option<SocketAddr> {
        // Others than neighbours cannot send here; a packet that says so is a forged one.
        if Reach::of(from) != Reach::Private {
            return None;
        }
        let address = SocketAddr::new(from.to_canonical(), here.port);
        let until = now + here.ttl.min(TTL_MAX);
        if let Some(known) = self.0.get_mut(&address) {
            *known = until;
            return None;
        }
        let of_host = self.0.keys().filter(|known| known.ip() == address.ip()).count();
        let has_room = self.0.len() < FOUND_MAX && of_host < FOUND_OF_HOST_MAX && here.ttl > Duration::ZERO;
        has_room.then(|| {
            self.0.insert(address, until);
            address
        })
    }

    /// Forgets those of which nothing was heard for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<SocketAddr> {
        let gone: Vec<_> = self.0.iter().filter(|(_, until)| **until <= now).map(|(it, _)| *it).collect();
        self.0.retain(|_, until| *until > now);
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    fn here(port: u16, ttl_s: u64) -> Here {
        Here { node: NodeKey::from_seed([1; 32]).id(), port, ttl: Duration::from_secs(ttl_s) }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_node_is_told_once_and_forgotten_when_it_is_silent() {
        let (mut found, now) = (Found::default(), Instant::now());
        let address = Some("192.168.1.2:7700".parse().unwrap());
        assert_eq!(found.note(ip("192.168.1.2"), here(7700, 60), now), address);
        assert_eq!(found.note(ip("192.168.1.2"), here(7700, u64::from(u32::MAX)), now), None);
        assert_eq!(found.expire(now + TTL_MAX - Duration::from_secs(1)), []);
        assert_eq!(found.expire(now + TTL_MAX), Vec::from_iter(address));
        assert_eq!(found.note(ip("192.168.1.2"), here(7700, 60), now), address);
        // Who says farewell is gone.
        assert_eq!(found.note(ip("192.168.1.2"), here(7700, 0), now), None);
        assert_eq!(found.expire(now), Vec::from_iter(address));
        assert_eq!(found.note(ip("192.168.1.2"), here(7700, 0), now), None);
        assert_eq!(found.expire(now), []);
    }

    #[tokio::test]
    async fn only_neighbours_are_listened_to() {
        let (mut found, now) = (Found::default(), Instant::now());
        for from in ["8.8.8.8", "127.0.0.1", "2001:4860:4860::8888", "::1", "0.0.0.0"] {
            assert_eq!(found.note(ip(from), here(7700, 60), now), None, "{from}");
        }
        for from in ["10.0.0.1", "169.254.0.1", "fe80::1", "::ffff:172.16.0.1"] {
            assert!(found.note(ip(from), here(7700, 60), now).is_some(), "{from}");
        }
    }

    #[tokio::test]
    async fn a_flood_fills_no_more_than_its_table() {
        let (mut found, now) = (Found::default(), Instant::now());
        for port in 1..=u16::MAX {
            found.note(ip("10.0.0.1"), here(port, 60), now);
        }
        assert_eq!(found.0.len(), FOUND_OF_HOST_MAX);
        for number in 0..=u16::MAX {
            let [high, low] = number.to_be_bytes();
            found.note(IpAddr::from([10, 1, high, low]), here(7700, 60), now);
        }
        assert_eq!(found.0.len(), FOUND_MAX);
        // It has room again once they are gone.
        assert_eq!(found.expire(now + TTL_MAX).len(), FOUND_MAX);
        assert!(found.note(ip("10.0.0.2"), here(7700, 60), now).is_some());
    }
}
