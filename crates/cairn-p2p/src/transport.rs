//! Connections over TCP: accepted or dialled, then encrypted, then divided into streams.
//!
//! libp2p's own TCP transport follows the network interfaces of the machine, which brings a netlink stack
//! along; a node listens where it is told to and needs none.

use crate::address::{from_multiaddr, to_multiaddr};
use crate::mux::Yamux;
use crate::tls::AesTls;
use futures::future::{BoxFuture, FutureExt as _, Ready, ready};
use libp2p_core::muxing::StreamMuxerBox;
use libp2p_core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p_core::{Multiaddr, Transport, upgrade};
use libp2p_identity::PeerId;
use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// How long a listener rests after an error, such as too many open files, which would come at once again.
const REST: Duration = Duration::from_millis(200);

/// What carries connections between nodes. Whatever is not done after `deadline` is given up: connecting,
/// negotiating, the TLS handshake, all together.
pub(crate) fn start(tls: AesTls, deadline: Duration) -> Boxed<(PeerId, StreamMuxerBox)> {
    let connecting = Tcp { connect: deadline / 2, ..Tcp::default() };
    connecting.upgrade(upgrade::Version::V1).authenticate(tls).multiplex(Yamux).timeout(deadline).boxed()
}

/// Plain TCP.
#[derive(Default)]
struct Tcp {
    /// How long a connection may take to be made, so that nobody at all is told from somebody slow.
    connect: Duration,
    listeners: Vec<Listening>,
    news: VecDeque<Event>,
}

/// What the system said. It has a type of its own because libp2p wraps errors in an `Either`, in which only
/// what is behind them can be found again.
#[derive(Debug, thiserror::Error)]
#[error("no connection over TCP")]
struct TcpError(#[from] io::Error);

type Connected = Result<Compat<TcpStream>, TcpError>;
type Accepted = Ready<Connected>;
type Event = TransportEvent<Accepted, TcpError>;

struct Listening {
    id: ListenerId,
    socket: TcpListener,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Listening {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(rest) = &mut self.rest {
            match rest.as_mut().poll(context) {
                Poll::Ready(()) => self.rest = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        let accepted = match self.socket.poll_accept(context) {
            Poll::Ready(accepted) => accepted,
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match accepted.and_then(|(stream, remote)| Ok((stream.local_addr()?, stream, remote))) {
            Ok((local, stream, remote)) => TransportEvent::Incoming {
                listener_id: self.id,
                upgrade: ready(prepare(stream)),
                local_addr: to_multiaddr(local),
                send_back_addr: to_multiaddr(remote),
            },
            Err(error) => {
                self.rest = Some(Box::pin(tokio::time::sleep(REST)));
                context.waker().wake_by_ref();
                TransportEvent::ListenerError { listener_id: self.id, error: error.into() }
            }
        })
    }
}

/// Small frames leave at once.
fn prepare(stream: TcpStream) -> Connected {
    stream.set_nodelay(true)?;
    Ok(stream.compat())
}

impl Transport for Tcp {
    type Output = Compat<TcpStream>;
    type Error = TcpError;
    type ListenerUpgrade = Accepted;
    type Dial = BoxFuture<'static, Connected>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<TcpError>> {
        let Some(wanted) = from_multiaddr(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let bind = || {
            let socket = std::net::TcpListener::bind(wanted)?;
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, TcpListener::from_std(socket)?))
        };
        let (local, socket) = bind().map_err(|error: io::Error| TransportError::Other(error.into()))?;
        self.news.push_back(TransportEvent::NewAddress { listener_id: id, listen_addr: to_multiaddr(local) });
        self.listeners.push(Listening { id, socket, rest: None });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let before = self.listeners.len();
        self.listeners.retain(|it| it.id != id);
        self.listeners.len() < before
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<TcpError>> {
        let Some(remote) = from_multiaddr(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let deadline = self.connect;
        let connecting = async move {
            let connected = tokio::time::timeout(deadline, TcpStream::connect(remote)).await;
            prepare(connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)
        };
        Ok(connecting.boxed())
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.news.pop_front() {
            return Poll::Ready(event);
        }
        // The listener that had something goes to the end, so that none can starve the others.
        for at in 0..self.listeners.len() {
            if let Poll::Ready(event) = self.listeners[at].poll(context) {
                self.listeners[at..].rotate_left(1);
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}
