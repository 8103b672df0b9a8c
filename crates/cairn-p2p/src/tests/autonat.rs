//! Nodes that ask each other whether they can be dialled, over real sockets.

use super::support::*;
use crate::{Deadlines, Direction, Event, Events, Features, Network, Reachability, Settings};
use futures::FutureExt as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A node that asks, soon again, and dials back.
async fn asking(seed: u8, listen: &str) -> (Network, Events) {
    let settings = Settings {
        listen: vec![listen.parse().unwrap()],
        deadlines: Deadlines { dial_back: Duration::ZERO, ..Deadlines::default() },
        features: Features { autonat: true, ..Features::default() },
        ..settings(seed)
    };
    Network::start(settings).await.unwrap()
}

async fn reachability(events: &mut Events) -> Reachability {
    wait(events, |event| match event {
        Event::Reachability(reachability) => Some(reachability),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_node_that_others_can_dial_learns_it_and_keeps_its_link() {
    let ((a, mut a_events), (b, mut b_events)) =
        (asking(1, "127.0.0.1:0").await, asking(2, "127.0.0.1:0").await);
    assert_eq!(a.reachability(), Reachability::Unknown);
    a.dial(address(&b)).unwrap();
    let (of_b, of_a) = (joined(&mut a_events).await, joined(&mut b_events).await);
    let reached = Reachability::Reachable(a.listening()[0]);
    assert_eq!(reachability(&mut a_events).await, reached);
    assert_eq!(a.reachability(), reached);
    // The one that dialled back is still no second link, whichever of both has the greater key.
    let links = |of: &Network| of.peers().iter().map(|it| (it.number, it.direction)).collect::<Vec<_>>();
    assert_eq!(links(&a), [(of_b, Direction::Outbound)]);
    assert_eq!(links(&b), [(of_a, Direction::Inbound)]);
    // Nobody has dialled for it, and it has nobody to ask.
    assert_eq!(b.reachability(), Reachability::Unknown);
}

#[tokio::test]
async fn of_two_nodes_either_may_have_the_greater_key() {
    let ((a, mut a_events), (b, mut b_events)) =
        (asking(1, "127.0.0.1:0").await, asking(2, "127.0.0.1:0").await);
    b.dial(address(&a)).unwrap();
    let (of_b, of_a) = (joined(&mut a_events).await, joined(&mut b_events).await);
    assert_eq!(reachability(&mut b_events).await, Reachability::Reachable(b.listening()[0]));
    assert_eq!((a.peers()[0].number, b.peers()[0].number), (of_b, of_a));
    assert_eq!((a.peers().len(), b.peers().len()), (1, 1));
}

#[tokio::test]
async fn a_node_that_nobody_can_dial_learns_that_after_two_attempts() {
    // It listens at another address than the one that it is seen at.
    let (a, mut a_events) = asking(1, "127.0.0.2:0").await;
    let (b, _b_events) = asking(2, "127.0.0.1:0").await;
    a.dial(address(&b)).unwrap();
    let seen_at = SocketAddr::new([127, 0, 0, 1].into(), a.listening()[0].port());
    assert_eq!(reachability(&mut a_events).await, Reachability::Unreachable(seen_at));
}

#[tokio::test]
async fn who_does_not_offer_it_is_not_asked() {
    let (a, mut a_events) = asking(1, "127.0.0.1:0").await;
    let (silent, _silent_events) = node(2).await;
    let (asked, _asked_events) = asking(3, "127.0.0.1:0").await;
    a.dial(address(&silent)).unwrap();
    joined(&mut a_events).await;
    a.dial(address(&asked)).unwrap();
    assert_eq!(reachability(&mut a_events).await, Reachability::Reachable(a.listening()[0]));
    let services = a.peers().iter().map(|peer| (peer.node, peer.hello.services)).collect::<Vec<_>>();
    assert!(services.contains(&(silent.id(), 0)) && services.contains(&(asked.id(), crate::DIALS_BACK)));
}

/// Asks the node behind a connection, on AutoNAT's stream, to dial `address`, with the data that it wants to have first: what it
/// answers.
async fn ask_to_dial(raw: &RawPeer, address: SocketAddr) -> Vec<u8> {
    let mut stream = raw.named("/libp2p/autonat/2/dial-request").await.unwrap();
    let place = crate::address::to_multiaddr(address).to_vec();
    let question = [&[0x0a, u8::try_from(place.len()).unwrap()], &place[..], &[0x11, 1, 2, 3, 4, 5, 6, 7, 8]];
    let question = question.concat();
    let length = u8::try_from(question.len()).unwrap();
    stream.write_all(&[&[length + 2, 0x0a, length], &question[..]].concat()).await.unwrap();
    stream.flush().await.unwrap();
    // It wants data first: so many bytes, as a number of seven bits a byte.
    let wanted = message(&mut stream).await;
    assert_eq!((wanted[0], wanted[2]), (0x1a, 0x10));
    let wanted = wanted[3..].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    let data = [&[0xa6, 0x1f, 0x22, 0xa3, 0x1f, 0x0a, 0xa0, 0x1f][..], &[0; 4_000]].concat();
    for _ in 0..wanted.div_ceil(4_000) {
        stream.write_all(&data).await.unwrap();
    }
    stream.flush().await.unwrap();
    message(&mut stream).await
}

/// The next message of less than 128 bytes.
async fn message(stream: &mut RawStream) -> Vec<u8> {
    let length = soon(stream.read_u8()).await.unwrap();
    let mut message = vec![0; length.into()];
    soon(stream.read_exact(&mut message)).await.unwrap();
    message
}

#[tokio::test]
async fn nobody_is_dialled_but_the_machine_that_asks() {
    // That nobody could be connected: status 200, and 100 for the dial.
    const NOT_DIALLED: [u8; 7] = [0x12, 0x05, 0x08, 0xc8, 0x01, 0x18, 0x64];
    let (a, _events) = asking(1, "127.0.0.1:0").await;
    let victim = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let asker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let raw = RawPeer::dial(66, a.listening()[0]).await;
    assert_eq!(ask_to_dial(&raw, victim.local_addr().unwrap()).await, NOT_DIALLED);
    assert!(victim.accept().now_or_never().is_none(), "somebody else was dialled");
    // The same question about itself leads to a connection.
    let answering = ask_to_dial(&raw, asker.local_addr().unwrap());
    let dialled = async {
        drop(soon(asker.accept()).await.unwrap());
    };
    assert_eq!(futures::join!(answering, dialled).0, NOT_DIALLED, "it hung up before TLS");
}
