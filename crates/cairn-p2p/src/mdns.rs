//! Finding nodes of the same local network, by multicast DNS (RFC 6762) over IPv4.
//!
//! What is said is libp2p's mDNS ([`packet`]); who says it is this module and not `libp2p-mdns`, because that keeps
//! all that anybody in the local network sends it, without a bound, and follows the machine's interfaces with a
//! netlink stack.
//!
//! # Provided
//!
//! * Hints: what is found goes to the owner as [`Event::Nearby`], for its address book. Nothing is dialled here.
//! * A machine speaks for itself alone: the address of a node is the one that its packet comes from.
//! * Bounds: [`FOUND_MAX`] nodes are known at a time, [`PACKETS_RATE`] packets are read, and one answer goes out
//!   a second, however many ask.
//!
//! # Not provided
//!
//! Secrecy and proof. Everybody in the local network hears that there is a node, of which network and at which port,
//! and anybody can say so of himself. Who is there shows when a link begins.

mod found;
mod packet;

use crate::address::{Reach, is_dialable, own_address};
use crate::frame::Rate;
use crate::key::NodeId;
use crate::message::{AddressRecord, Roles};
use crate::network::{Event, Shared};
use crate::session::Bucket;
use found::{Found, TTL_MAX};
use packet::{PACKET_BYTES_MAX, Packet, Service};
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Where everybody listens (RFC 6762, 3).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// Packets that are read in a row and in a minute; others are for the system to drop.
const PACKETS_RATE: Rate = Rate { burst: 64, a_minute: 1_200 };
/// How long no packet is read after too many.
const REST: Duration = Duration::from_millis(100);
/// How often this node speaks at most, in all.
const TURN: Duration = Duration::from_secs(1);
/// The longest time between two questions, which begin with one a second and are then half as many each time: in
/// less than half of [`TTL_MAX`], so that one may be lost.
const ASK_TIME_MAX: Duration = Duration::from_secs(50);
/// Addresses of this machine at which it speaks.
const INTERFACES_MAX: usize = 8;

/// Listens and speaks until the network stops. Where the machine has no socket for it the node goes on without.
pub(crate) async fn run(shared: Arc<Shared>, port: Option<u16>) {
    match open() {
        Ok(socket) => Nearby::new(shared, port).run(&socket).await,
        Err(error) => tracing::warn!(%error, "nodes of the local network cannot be found"),
    }
}

/// A socket beside those of others on this machine who speak multicast DNS.
fn open() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    socket.set_multicast_loop_v4(true)?;
    // As RFC 6762 (11) wants it, so that others can tell what has come over a router.
    socket.set_multicast_ttl_v4(255)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The addresses of this machine in its local networks. Where they may not be listed, as under a systemd unit that
/// allows no netlink sockets, there is only the one that leads outside.
fn interfaces() -> BTreeSet<Ipv4Addr> {
    let all: Vec<IpAddr> = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.iter().map(if_addrs::Interface::ip).collect(),
        Err(error) => {
            tracing::debug!(%error, "the addresses of this machine cannot be listed");
            own_address().into_iter().collect()
        }
    };
    let private = all.into_iter().filter_map(|ip| match ip {
        IpAddr::V4(ip) if Reach::of(ip.into()) == Reach::Private => Some(ip),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    });
    private.take(INTERFACES_MAX).collect()
}

/// What is known of the local network, and when to speak in it.
struct Nearby {
    shared: Arc<Shared>,
    own: NodeId,
    service: Service,
    /// Where this node listens for links; one that does not looks for others and says nothing of itself.
    port: Option<u16>,
    found: Found,
    /// Somebody has asked since this node last spoke.
    is_asked: bool,
    ask_time: Duration,
    next_question: Instant,
}

impl Nearby {
    fn new(shared: Arc<Shared>, port: Option<u16>) -> Self {
        Self {
            own: shared.id,
            service: Service::of(&shared.identity),
            shared,
            port,
            found: Found::default(),
            is_asked: false,
            ask_time: TURN,
            next_question: Instant::now(),
        }
    }

    async fn run(mut self, socket: &UdpSocket) {
        let mut rate = Bucket::new(PACKETS_RATE, Instant::now());
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut buffer, mut joined) = ([0; PACKET_BYTES_MAX], BTreeSet::new());
        loop {
            tokio::select! {
                received = socket.recv_from(&mut buffer) => {
                    let now = Instant::now();
                    let Ok((length, from)) = received else {
                        sleep(REST).await;
                        continue;
                    };
                    if !rate.take(now) {
                        sleep(REST).await;
                        continue;
                    }
                    let found = self.hear(&buffer[..length], from.ip(), now);
                    self.tell(found, Vec::new()).await;
                }
                now = turns.tick() => {
                    let gone = self.found.expire(now);
                    self.tell(Vec::new(), gone).await;
                    self.speak(socket, &mut joined, now).await;
                }
            }
        }
    }

    /// Takes a packet: the nodes of which it is the first sign.
    fn hear(&mut self, packet: &[u8], from: IpAddr, now: Instant) -> Vec<SocketAddr> {
        match self.service.read(packet) {
            Some(Packet::Question) => {
                self.is_asked = true;
                Vec::new()
            }
            Some(Packet::Answer(here)) => {
                let others = here.into_iter().filter(|it| it.node != self.own);
                others.filter_map(|it| self.found.note(from, it, now)).collect()
            }
            None => Vec::new(),
        }
    }

    /// Whether to ask now, and whether to say that this node is there: with each question, and if asked.
    fn what_to_say(&mut self, now: Instant) -> (bool, bool) {
        let asks = self.next_question <= now;
        if asks {
            self.next_question = now + self.ask_time;
            self.ask_time = (self.ask_time * 2).min(ASK_TIME_MAX);
        }
        (asks, asks | std::mem::take(&mut self.is_asked))
    }

    async fn speak(&mut self, socket: &UdpSocket, joined: &mut BTreeSet<Ipv4Addr>, now: Instant) {
        let (asks, answers) = self.what_to_say(now);
        if !answers {
            return;
        }
        let here = interfaces();
        joined.retain(|ip| here.contains(ip));
        let ttl_s = u32::try_from(TTL_MAX.as_secs()).expect("it is two minutes");
        for ip in here {
            // Two addresses of one interface share a membership, and the second is refused.
            if joined.insert(ip)
                && let Err(error) = socket.join_multicast_v4(GROUP, ip)
            {
                tracing::debug!(%ip, %error, "the group is joined already, or cannot be");
            }
            let answer = self.port.map(|port| self.service.answer(self.own, (ip, port).into(), ttl_s));
            let packets = [asks.then(|| self.service.question()), answer];
            for packet in packets.into_iter().flatten() {
                let sent = match SockRef::from(socket).set_multicast_if_v4(&ip) {
                    Ok(()) => socket.send_to(&packet, (GROUP, PORT)).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = sent {
                    tracing::debug!(%ip, %error, "nothing can be said in a local network");
                }
            }
        }
    }

    /// Tells the owner, waiting for it: meanwhile the system drops what comes.
    async fn tell(&self, found: Vec<SocketAddr>, gone: Vec<SocketAddr>) {
        if found.is_empty() && gone.is_empty() {
            return;
        }
        let last_seen_s = self.shared.now_ms() / 1_000;
        let found = found.into_iter().filter(|it| is_dialable(it.ip()));
        let record = |address| AddressRecord { address, node: None, last_seen_s, roles: Roles::FULL };
        self.shared.tell(Event::Nearby { found: found.map(record).collect(), gone }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;
    use crate::network::Settings;
    use tokio::sync::mpsc;

    fn nearby(seed: u8, identity: [u8; 32]) -> Nearby {
        let settings = Settings::new(NodeKey::from_seed([seed; 32]), identity);
        Nearby::new(Arc::new(Shared::new(&settings, mpsc::channel(1).0)), Some(7700))
    }

    #[tokio::test]
    async fn nodes_of_one_network_hear_of_each_other_and_of_nobody_else() {
        let now = Instant::now();
        let (mut a, b, stranger) = (nearby(1, [7; 32]), nearby(2, [7; 32]), nearby(3, [8; 32]));
        let from = IpAddr::from([192, 168, 1, 2]);
        // Where it says to be makes no difference; where the packet comes from does.
        let says = |who: &Nearby| who.service.answer(who.own, "10.9.9.9:7701".parse().unwrap(), 120);
        assert_eq!(a.hear(&says(&b), from, now), [SocketAddr::new(from, 7701)]);
        assert_eq!(a.hear(&says(&b), from, now), [], "it is known");
        assert_eq!(a.hear(&says(&stranger), IpAddr::from([192, 168, 1, 3]), now), []);
        assert_eq!(a.hear(&says(&a), IpAddr::from([192, 168, 1, 4]), now), [], "it hears itself");
        assert_eq!(a.hear(b"whatever", from, now), []);
    }

    #[tokio::test]
    async fn questions_become_rarer_and_one_answer_is_for_all_who_ask() {
        let mut a = nearby(1, [7; 32]);
        let start = a.next_question;
        let at = |seconds| start + Duration::from_secs(seconds);
        let asked: Vec<u64> = (0..200).filter(|second| a.what_to_say(at(*second)).0).collect();
        assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 113, 163]);
        let question = a.service.question();
        for _ in 0..1_000 {
            a.hear(&question, IpAddr::from([10, 0, 0, 1]), at(164));
        }
        assert_eq!(a.what_to_say(at(164)), (false, true));
        assert_eq!(a.what_to_say(at(165)), (false, false));
    }
}
