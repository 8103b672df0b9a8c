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
use std::collections::{HashMap, VecDeque};
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use tokio_util::sync::CancellationToken;

/// How long a listener rests after an error, such as too many open files, which would come at once again.
const REST: Duration = Duration::from_millis(200);

/// A connection that is set up: who is at the other end, and its streams.
type SetUp = (PeerId, StreamMuxerBox);

/// What carries connections between nodes. Whatever is not done after `deadline` is given up: connecting,
/// negotiating, the TLS handshake, all together. Those of others are in `set_ups` until then.
pub(crate) fn start(tls: AesTls, deadline: Duration, set_ups: SetUps) -> Boxed<SetUp> {
    let connecting = Tcp { connect: deadline / 2, ..Tcp::default() };
    let upgraded = connecting.upgrade(upgrade::Version::V1).authenticate(tls).multiplex(Yamux);
    Endable { inner: upgraded.timeout(deadline).boxed(), set_ups }.boxed()
}

/// The connections of others that are being set up, each with what ends it: libp2p itself knows no way to.
/// There are no more of them than the [`Gate`](crate::limits::Gate) lets in. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetUps(Arc<Mutex<HashMap<Ends, CancellationToken>>>);

/// Where a connection begins and ends, as libp2p calls it. The system has one of each pair.
type Ends = (Multiaddr, Multiaddr);

impl SetUps {
    /// What ends the connection between these, if it is being set up.
    pub(crate) fn end_of(&self, local: &Multiaddr, remote: &Multiaddr) -> Option<CancellationToken> {
        self.lock().get(&(local.clone(), remote.clone())).cloned()
    }

    fn begin(&self, ends: Ends) -> (Listed, CancellationToken) {
        let end = CancellationToken::new();
        self.lock().insert(ends.clone(), end.clone());
        (Listed { all: self.clone(), ends }, end)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ends, CancellationToken>> {
        // Nothing under the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of these connections; dropping it takes it off the list.
struct Listed {
    all: SetUps,
    ends: Ends,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.all.lock().remove(&self.ends);
    }
}

/// A transport whose connections can be ended while they are being set up, where others dialled.
struct Endable {
    inner: Boxed<SetUp>,
    set_ups: SetUps,
}

impl Transport for Endable {
    type Output = SetUp;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<SetUp>>;
    type Dial = <Boxed<SetUp> as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.inner).poll(context));
        let listed = match &event {
            TransportEvent::Incoming { local_addr, send_back_addr, .. } => {
                Some(self.set_ups.begin((local_addr.clone(), send_back_addr.clone())))
            }
            _ => None,
        };
        Poll::Ready(event.map_upgrade(|upgrade| {
            async move {
                let Some((_listed, end)) = listed else { return upgrade.await };
                let given_up = || Err(io::Error::other("it gave way to another connection"));
                tokio::select! {
                    set_up = upgrade => set_up,
                    () = end.cancelled() => given_up(),
                }
            }
            .boxed()
        }))
    }
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
