//! Peers that break the rules of yamux, with frames by hand.

use super::support::*;
use crate::tls::AesTls;
use crate::{Banned, ByeCode, LeaveReason, Network, NodeKey};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_rustls::TlsStream;
use libp2p_core::upgrade::OutboundConnectionUpgrade as _;
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};

const DATA: u8 = 0;
const WINDOW: u8 = 1;
const SYN: u16 = 1;

/// An encrypted connection as the node with seed 66, on which both sides begin with yamux.
async fn connect(to: &Network) -> TlsStream<Compat<TcpStream>> {
    let mut stream = TcpStream::connect(to.listening()[0]).await.unwrap();
    for name in ["/multistream/1.0.0", "/tls/1.0.0"] {
        say_name(&mut stream, name).await.unwrap();
        hear_name(&mut stream, name).await.unwrap();
    }
    let tls = AesTls::new(&NodeKey::from_seed([66; 32])).unwrap();
    let (_, stream) = soon(tls.upgrade_outbound(stream.compat(), "/tls/1.0.0")).await.unwrap();
    let mut stream = stream.compat();
    for name in ["/multistream/1.0.0", "/yamux/1.0.0"] {
        say_name(&mut stream, name).await.unwrap();
        hear_name(&mut stream, name).await.unwrap();
    }
    stream.into_inner()
}

fn frame(kind: u8, flags: u16, stream: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let flags = flags.to_be_bytes();
    [&[0, kind][..], &flags, &stream.to_be_bytes(), &length.to_be_bytes(), body].concat()
}

fn data(flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, body.len().try_into().unwrap(), body)
}

/// Waits for the end of a connection, whatever comes before it.
async fn end(mut stream: impl futures::AsyncRead + Unpin) {
    soon(async {
        let mut rest = [0; 1024];
        while let Ok(1..) = stream.read(&mut rest).await {}
    })
    .await;
}

#[tokio::test]
async fn whoever_breaks_a_rule_of_yamux_is_hung_up_on_and_struck() {
    let streams = |count: u32| (0..count).flat_map(|at| frame(WINDOW, SYN, 2 * at + 1, 0, &[])).collect();
    let cases: [(&str, Vec<u8>); 8] = [
        ("a window that overflows", frame(WINDOW, SYN, 1, u32::MAX, &[])),
        (
            "a window that overflows later",
            [frame(WINDOW, SYN, 1, 0, &[]), frame(WINDOW, 0, 1, u32::MAX, &[])].concat(),
        ),
        ("a first body above the window", data(SYN, 1, &[0; 300_000])),
        (
            "a body above the window",
            // The stream has begun to agree upon a name, so that it is there when the rest comes.
            [data(SYN, 1, &name_bytes("/multistream/1.0.0")), data(0, 1, &[0; 300_000])].concat(),
        ),
        ("a number of the other side", data(SYN, 2, &[])),
        ("a stream that there is", [data(SYN, 1, &[]), data(SYN, 1, &[])].concat()),
        ("33 streams", streams(33)),
        ("no kind of frame", frame(9, 0, 0, 0, &[])),
    ];
    for (what, bytes) in cases {
        let (network, _events) = node(1).await;
        let mut stream = connect(&network).await;
        let sent = stream.write_all(&bytes).await.and(stream.flush().await);
        drop(sent);
        end(stream).await;
        let shared = network.shared();
        let who = NodeKey::from_seed([66; 32]).id();
        // The strike comes with the end of the connection on the other side.
        soon(async {
            while shared.book().score(who, shared.now_ms()) == 0.0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(shared.book().score(who, shared.now_ms()).round(), -50.0, "{what}");
    }
}

#[tokio::test]
async fn thirty_two_silent_streams_are_borne() {
    let (network, mut events) = node(1).await;
    let mut stream = connect(&network).await;
    for at in 0..32 {
        stream.write_all(&frame(WINDOW, SYN, 2 * at + 1, 0, &[])).await.unwrap();
    }
    let names = ["/multistream/1.0.0".to_owned(), peer_name()].map(|name| name_bytes(&name)).concat();
    let said = [&names[..], &hello(66).to_frame().to_bytes()].concat();
    stream.write_all(&data(0, 1, &said)).await.unwrap();
    stream.flush().await.unwrap();
    joined(&mut events).await;
}

#[tokio::test]
async fn a_link_whose_peer_breaks_a_rule_of_yamux_again_is_banned() {
    let (network, mut events) = node(1).await;
    let names = ["/multistream/1.0.0".to_owned(), peer_name()].map(|name| name_bytes(&name)).concat();
    let said = [&names[..], &hello(66).to_frame().to_bytes()].concat();
    for _ in 0..2 {
        let mut stream = connect(&network).await;
        stream.write_all(&data(SYN, 1, &said)).await.unwrap();
        stream.flush().await.unwrap();
        joined(&mut events).await;
        stream.write_all(&frame(WINDOW, 0, 1, u32::MAX, &[])).await.unwrap();
        stream.flush().await.unwrap();
        end(stream).await;
        let reason = left(&mut events).await;
        let is_banned = matches!(&reason, LeaveReason::Ours(bye) if bye.code == ByeCode::Banned);
        assert!(is_banned || matches!(reason, LeaveReason::Broken(_)), "{reason}");
    }
    let who = Banned::Node(NodeKey::from_seed([66; 32]).id());
    soon(async {
        while !network.bans().iter().any(|ban| ban.who == who) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
