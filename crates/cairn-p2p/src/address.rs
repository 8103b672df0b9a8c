//! Where a node can be reached, and which addresses belong together.

use crate::key::NodeId;
use libp2p_core::Multiaddr;
use libp2p_core::multiaddr::Protocol;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest host name (RFC 1035, 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;

/// Where to dial, and perhaps who must be there: `host:port` or `12D3KooW…@host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// Who must answer; anybody, where none is named.
    pub id: Option<NodeId>,
    /// The machine.
    pub host: Host,
    /// The TCP port, 1 to 65,535.
    pub port: u16,
}

/// A machine: by its address, or by a name that is looked up at each dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address; an IPv4 address is never written as IPv6.
    Ip(IpAddr),
    /// A name of letters, digits, dots and hyphens, at most [`HOST_BYTES_MAX`] bytes.
    Name(String),
}

/// A text is no address of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// What stands before the `@` names no node.
    #[error("what stands before the `@` must be a peer id, such as 12D3KooW…")]
    Id,
    /// The host is neither an address nor a name.
    #[error("the host must be a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is missing or out of range.
    #[error("the port must follow the host, as in `host:7700`, and be 1 to 65535")]
    Port,
    /// It is the address of a page or an interface.
    #[error("nodes meet at HOST:PORT, without `http://` before it and without a path behind")]
    Url,
}

/// What counts as one neighbourhood: addresses that one owner can have many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressGroup {
    /// The first 16 bits of an IPv4 address.
    V4([u8; 2]),
    /// The first 32 bits of an IPv6 address.
    V6([u8; 4]),
}

/// What counts as one machine: an IPv4 address, or a /64 of IPv6, of which anybody gets 2⁶⁴ addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressHost(IpAddr);

impl AddressHost {
    /// The machine that `ip` belongs to.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            ip @ IpAddr::V4(_) => Self(ip),
        }
    }

    /// Its address, of IPv6 the first of its /64.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The last of its addresses.
    pub(crate) fn last_ip(self) -> IpAddr {
        match self.0 {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() | u128::from(u64::MAX)).into(),
            ip @ IpAddr::V4(_) => ip,
        }
    }
}

impl AddressGroup {
    /// The neighbourhood of `ip`.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// From where an address can be reached, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// From the same machine.
    Loopback,
    /// From the same private network: RFC 1918, RFC 6598, RFC 3927, RFC 4193, link-local addresses of IPv6.
    Private,
    /// From anywhere.
    Public,
}

impl Reach {
    /// From where `ip` can be reached.
    pub fn of(ip: IpAddr) -> Self {
        let (is_loopback, is_private) = match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let is_shared = matches!(ip.octets(), [100, 64..=127, ..]);
                (ip.is_loopback(), ip.is_private() || ip.is_link_local() || is_shared)
            }
            IpAddr::V6(ip) => (ip.is_loopback(), ip.is_unique_local() || ip.is_unicast_link_local()),
        };
        match (is_loopback, is_private) {
            (true, _) => Self::Loopback,
            (false, true) => Self::Private,
            (false, false) => Self::Public,
        }
    }

    /// Whether somebody who is `self` away may tell of, or be told of, an address that is `other` away: what
    /// is nearer than himself means another machine to him, or none.
    pub fn may_know(self, other: Self) -> bool {
        other >= self
    }
}

/// What counts as one place where nodes are spread over places: among public addresses the group, of which
/// one owner has many addresses; in a private network a machine; on this machine a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Neighbourhood {
    /// A group of public addresses.
    Public(AddressGroup),
    /// A machine of a private network.
    Private(AddressHost),
    /// A port of this machine.
    Loopback(u16),
}

impl Neighbourhood {
    /// The place of `address`.
    pub fn of(address: SocketAddr) -> Self {
        match Reach::of(address.ip()) {
            Reach::Public => Self::Public(AddressGroup::of(address.ip())),
            Reach::Private => Self::Private(AddressHost::of(address.ip())),
            Reach::Loopback => Self::Loopback(address.port()),
        }
    }
}

impl PeerAddress {
    /// The address of a socket, whoever is there.
    pub fn of(socket: SocketAddr) -> Self {
        Self { id: None, host: Host::Ip(socket.ip().to_canonical()), port: socket.port() }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(socket: SocketAddr) -> Self {
        Self::of(socket)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            write!(f, "{id}@")?;
        }
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains('/') {
            return Err(AddressError::Url);
        }
        let (id, place) = match text.split_once('@') {
            Some((id, place)) => (Some(id.parse().map_err(|_| AddressError::Id)?), place),
            None => (None, text),
        };
        if let Ok(socket) = place.parse::<SocketAddr>() {
            let address = Self::of(socket);
            return if address.port == 0 { Err(AddressError::Port) } else { Ok(Self { id, ..address }) };
        }
        let (name, port) = place.rsplit_once(':').ok_or(AddressError::Port)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(AddressError::Port)?;
        let fits = (1..=HOST_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_'))
            // `1.2.3` is an address that some systems complete; a name ends with a letter or in a dot.
            && !name.trim_end_matches('.').ends_with(|it: char| it.is_ascii_digit());
        if !fits {
            return Err(AddressError::Host);
        }
        Ok(Self { id, host: Host::Name(name.to_ascii_lowercase()), port })
    }
}

/// Whether packets to `ip` can reach a machine: not multicast, broadcast or the unspecified address.
pub(crate) fn is_dialable(ip: IpAddr) -> bool {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// The address from which this machine would send to somebody beyond its routers, over IPv4; nothing is sent.
#[cfg(any(feature = "mdns", feature = "upnp"))]
pub(crate) fn own_address() -> Option<IpAddr> {
    // An address of documentation (RFC 5737), which is behind any router.
    let beyond = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(beyond).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

pub(crate) fn to_multiaddr(socket: SocketAddr) -> Multiaddr {
    let ip = match socket.ip().to_canonical() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    Multiaddr::empty().with(ip).with(Protocol::Tcp(socket.port()))
}

/// The socket that a multiaddress of the form `/ip4/…/tcp/…` names; an IPv4 address never looks like IPv6.
pub(crate) fn from_multiaddr(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip).to_canonical(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let id = NodeKey::from_seed([1; 32]).id();
        for text in ["192.0.2.1:7781", "[2001:db8::1]:7781", "seed.example.org:1", &format!("{id}@a:2")] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
        assert_eq!("[::ffff:192.0.2.1]:9".parse::<PeerAddress>().unwrap().to_string(), "192.0.2.1:9");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, error) in [
            ("192.0.2.1", AddressError::Port),
            ("192.0.2.1:0", AddressError::Port),
            ("host:65536", AddressError::Port),
            ("host:-1", AddressError::Port),
            ("::1:7781", AddressError::Host),
            ("1.2.3:7781", AddressError::Host),
            (":7781", AddressError::Host),
            ("a b:7781", AddressError::Host),
            ("me@host:7781", AddressError::Id),
            ("http://host:7781", AddressError::Url),
            ("https://me@host:7781/v1", AddressError::Url),
            ("host:7781/v1/peers", AddressError::Url),
        ] {
            assert_eq!(text.parse::<PeerAddress>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_the_same_machine_and_neighbourhood() {
        let plain: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(AddressHost::of(plain), AddressHost::of(mapped));
        assert_eq!(AddressGroup::of(plain), AddressGroup::of(mapped));
        assert_eq!(from_multiaddr(&to_multiaddr((mapped, 1).into())), Some((plain, 1).into()));
    }

    #[test]
    fn places_are_groups_outside_machines_nearby_and_ports_here() {
        let place = |text: &str| Neighbourhood::of(text.parse().unwrap());
        assert_eq!(place("198.51.100.1:1"), place("198.51.7.7:2"));
        assert_ne!(place("192.168.1.1:1"), place("192.168.1.2:1"));
        assert_eq!(place("[fd00::1]:1"), place("[fd00::2]:2"));
        assert_ne!(place("127.0.0.1:1"), place("127.0.0.1:2"));
        for (text, reach) in [
            ("127.9.9.9", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:10.0.0.1", Reach::Private),
            ("172.31.0.1", Reach::Private),
            ("169.254.0.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fe80::1", Reach::Private),
            ("fdff::1", Reach::Private),
            ("100.128.0.1", Reach::Public),
            ("172.32.0.1", Reach::Public),
            ("2001:db8::1", Reach::Public),
        ] {
            assert_eq!(Reach::of(text.parse().unwrap()), reach, "{text}");
        }
    }

    #[test]
    fn a_64_of_ipv6_is_one_machine() {
        let of = |text: &str| AddressHost::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        let last = |text: &str| of(text).last_ip().to_string();
        assert_eq!(last("2001:db8:1:2::1"), "2001:db8:1:2:ffff:ffff:ffff:ffff");
        assert_eq!(last("192.0.2.1"), "192.0.2.1");
    }
}
