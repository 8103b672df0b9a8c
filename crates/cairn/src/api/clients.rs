//! Who a client is, where something is counted a client: an address, however it is written.
//!
//! An IPv4 address that comes as an IPv6 one is the same client, and so are all addresses of one IPv6
//! network of 64 bits: whoever has one of them has all (RFC 6177).

use std::net::{IpAddr, Ipv6Addr};

/// How many bits of an IPv6 address say whose it is.
const NETWORK_BITS: u32 = 64;

/// One client, or all who share its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(IpAddr);

impl Client {
    /// The client behind an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let network = u128::from(address) >> NETWORK_BITS << NETWORK_BITS;
                Self(Ipv6Addr::from(network).into())
            }
            other => Self(other),
        }
    }

    /// Whether it is on this machine, where many programs share one address.
    pub fn is_local(self) -> bool {
        self.0.is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    #[test]
    fn another_spelling_is_no_other_client() {
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn only_loopback_is_local() {
        for text in ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"] {
            assert!(client(text).is_local(), "{text}");
        }
        for text in ["192.168.0.1", "::2", "fe80::1", "0.0.0.0"] {
            assert!(!client(text).is_local(), "{text}");
        }
    }
}
