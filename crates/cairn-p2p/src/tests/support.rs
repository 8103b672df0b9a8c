//! Nodes for tests, and a peer that says whatever a test wants.

use crate::frame::{Frame, HEAD_BYTES, Head, Place, Rate, StreamKind, Tag, TagRule, Tags};
use crate::message::{Hello, Label, Roles};
use crate::tls::AesTls;
use crate::{Event, Events, Network, NodeKey, PeerAddress, PeerNumber, Settings, transport};
use futures::future::poll_fn;
use libp2p_core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerExt as _, SubstreamBox};
use libp2p_core::transport::{DialOpts, PortUse};
use libp2p_core::{Endpoint, Transport as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

/// The network of most tests.
pub(super) const IDENTITY: [u8; 32] = [7; 32];
pub(super) const TXN: Tag = Tag::new("TXN");
pub(super) const BLK: Tag = Tag::new("BLK");
/// A question and its answer on the peer stream.
pub(super) const GBT: Tag = Tag::new("GBT");
pub(super) const BTX: Tag = Tag::new("BTX");
pub(super) const GBL: Tag = Tag::new("GBL");
/// Long enough for anything that must happen; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the owners of these tests know.
pub(super) fn tags() -> Tags {
    let rule = |body_bytes_max| TagRule { body_bytes_max, rate: None };
    Tags::new()
        .with(
            Place::Peer,
            TXN,
            TagRule { body_bytes_max: 1000, rate: Some(Rate { burst: 500, a_minute: 60 }) },
        )
        .with(Place::Peer, BLK, rule(4 << 20))
        .with(Place::Peer, GBT, rule(100))
        .with(Place::Peer, BTX, rule(4 << 20))
        .with_answer(GBT, BTX, 2)
        .with(Place::Ask, GBL, rule(100))
        .with(Place::Answer, BLK, rule(16 << 20))
}

/// Settings of the node with this seed, which listens on loopback.
pub(super) fn settings(seed: u8) -> Settings {
    Settings {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        tags: tags(),
        name: format!("node {seed}"),
        ..Settings::new(NodeKey::from_seed([seed; 32]), IDENTITY)
    }
}

pub(super) async fn node(seed: u8) -> (Network, Events) {
    Network::start(settings(seed)).await.unwrap()
}

/// Where a node can be dialled, by its name.
pub(super) fn address(network: &Network) -> PeerAddress {
    PeerAddress { id: Some(network.id()), ..network.listening()[0].into() }
}

/// What `future` gives, within a test's patience.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// The next event that `pick` takes; others are dropped, and with them their credits.
pub(super) async fn wait<T>(events: &mut Events, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    soon(async {
        loop {
            let event = events.next().await.expect("the network runs");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    })
    .await
}

pub(super) async fn joined(events: &mut Events) -> PeerNumber {
    wait(events, |event| match event {
        Event::Joined { peer, .. } => Some(peer),
        _ => None,
    })
    .await
}

pub(super) async fn left(events: &mut Events) -> crate::LeaveReason {
    wait(events, |event| match event {
        Event::Left { reason, .. } => Some(reason),
        _ => None,
    })
    .await
}

pub(super) async fn dial_failed(events: &mut Events) -> crate::DialFailure {
    wait(events, |event| match event {
        Event::DialFailed { why, .. } => Some(why),
        _ => None,
    })
    .await
}

/// Two nodes that have a link, with its number on each side.
pub(super) async fn pair() -> [(Network, Events, PeerNumber); 2] {
    let ((a, mut a_events), (b, mut b_events)) = (node(1).await, node(2).await);
    a.dial(address(&b)).unwrap();
    let (of_b, of_a) = (joined(&mut a_events).await, joined(&mut b_events).await);
    [(a, a_events, of_b), (b, b_events, of_a)]
}

/// A stream of a hostile peer.
pub(super) type RawStream = Compat<SubstreamBox>;

/// A connection that follows transport, TLS and yamux and then does what it wants.
pub(super) struct RawPeer {
    open: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
}

impl RawPeer {
    /// Dials as the node with this seed.
    pub(super) async fn dial(seed: u8, to: SocketAddr) -> Self {
        Self::try_dial(seed, to).await.unwrap()
    }

    pub(super) async fn try_dial(seed: u8, to: SocketAddr) -> std::io::Result<Self> {
        let tls = AesTls::new(&NodeKey::from_seed([seed; 32])).unwrap();
        let mut carrier = transport::start(tls, PATIENCE, transport::SetUps::default());
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = carrier.dial(crate::address::to_multiaddr(to), options).unwrap();
        let (_, muxer) = soon(dial).await?;
        let (open, wanted) = mpsc::channel(1);
        tokio::spawn(drive(muxer, wanted));
        Ok(Self { open })
    }

    /// Opens a stream without a name; none once the connection has ended.
    pub(super) async fn open(&self) -> Option<RawStream> {
        let (to, opened) = oneshot::channel();
        soon(self.open.send(to)).await.ok()?;
        soon(opened).await.ok().map(|stream| stream.compat())
    }

    /// Opens a stream and agrees upon its name.
    pub(super) async fn named(&self, name: &str) -> Option<RawStream> {
        let mut stream = self.open().await?;
        say_name(&mut stream, "/multistream/1.0.0").await.ok()?;
        say_name(&mut stream, name).await.ok()?;
        hear_name(&mut stream, "/multistream/1.0.0").await?;
        hear_name(&mut stream, name).await?;
        Some(stream)
    }

    /// The peer stream, with a greeting that fits and the other side's read.
    pub(super) async fn greeted(&self, seed: u8) -> RawStream {
        let mut stream = self.named(&peer_name()).await.unwrap();
        write(&mut stream, &hello(seed).to_frame()).await;
        assert_eq!(read(&mut stream).await.unwrap().tag, crate::HEL);
        stream
    }
}

/// Moves bytes and opens streams until nobody wants any.
async fn drive(mut muxer: StreamMuxerBox, mut wanted: mpsc::Receiver<oneshot::Sender<SubstreamBox>>) {
    let mut waiting: Option<oneshot::Sender<SubstreamBox>> = None;
    poll_fn(|context| {
        loop {
            if Pin::new(&mut muxer).poll(context).is_ready() {
                return std::task::Poll::Ready(());
            }
            // What the other side opens is dropped.
            if let std::task::Poll::Ready(opened) = muxer.poll_inbound_unpin(context) {
                if opened.is_err() {
                    return std::task::Poll::Ready(());
                }
                continue;
            }
            if waiting.is_none() {
                match wanted.poll_recv(context) {
                    std::task::Poll::Ready(Some(to)) => waiting = Some(to),
                    std::task::Poll::Ready(None) => return std::task::Poll::Ready(()),
                    std::task::Poll::Pending => return std::task::Poll::Pending,
                }
            }
            match muxer.poll_outbound_unpin(context) {
                std::task::Poll::Ready(Ok(stream)) => drop(waiting.take().map(|to| to.send(stream))),
                std::task::Poll::Ready(Err(_)) => return std::task::Poll::Ready(()),
                std::task::Poll::Pending => return std::task::Poll::Pending,
            }
        }
    })
    .await;
}

pub(super) fn peer_name() -> String {
    format!("/cairn/1/{}/peer", "07".repeat(32))
}

pub(super) fn bulk_name() -> String {
    format!("/cairn/1/{}/bulk", "07".repeat(32))
}

/// A greeting of the network of these tests.
pub(super) fn hello(seed: u8) -> Hello {
    Hello {
        version: 1,
        identity: IDENTITY,
        software: Label::new("raw/0", 64),
        name: Label::default(),
        roles: Roles::FULL,
        services: 0,
        height: 0,
        head: IDENTITY,
        work: [0; 32],
        listen: Vec::new(),
        observed: None,
        nonce: seed.into(),
        time_ms: 0,
    }
}

/// A name in the form of multistream-select: a length, the name, a line feed.
pub(super) fn name_bytes(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len() + 1).unwrap();
    // Lengths from 128 on take two bytes of seven bits each.
    let head = if length < 128 { vec![length] } else { vec![length, 1] };
    [&head[..], name.as_bytes(), b"\n"].concat()
}

pub(super) async fn say_name(stream: &mut (impl AsyncWrite + Unpin), name: &str) -> std::io::Result<()> {
    stream.write_all(&name_bytes(name)).await?;
    stream.flush().await
}

pub(super) async fn hear_name(stream: &mut (impl AsyncRead + Unpin), name: &str) -> Option<()> {
    let length = name.len() + if name.len() < 127 { 2 } else { 3 };
    let mut heard = vec![0; length];
    soon(stream.read_exact(&mut heard)).await.ok()?;
    heard.ends_with(format!("{name}\n").as_bytes()).then_some(())
}

pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) {
    stream.write_all(&frame.to_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// The next frame, whatever it is; none at the end of the stream.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; HEAD_BYTES];
    soon(stream.read_exact(&mut head)).await.ok()?;
    let head = Head::read(head, StreamKind::Bulk).unwrap();
    let mut body = vec![0; head.body_bytes];
    soon(stream.read_exact(&mut body)).await.ok()?;
    Some(Frame::new(head.tag, body))
}

/// The next frame with this tag; none at the end of the stream.
pub(super) async fn read_until(stream: &mut (impl AsyncRead + Unpin), tag: Tag) -> Option<Frame> {
    loop {
        let frame = read(stream).await?;
        if frame.tag == tag {
            return Some(frame);
        }
    }
}
