//! The streams of one connection.

use super::Names;
use crate::frame::StreamKind;
use futures::future::{Ready, ready};
use libp2p_core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
#[cfg(feature = "autonat")]
use libp2p_swarm::handler::ProtocolSupport;
use libp2p_swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, FullyNegotiatedInbound,
    FullyNegotiatedOutbound,
};
use libp2p_swarm::{Stream, StreamProtocol, SubstreamProtocol};
#[cfg(feature = "autonat")]
use std::collections::HashSet;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bulk requests of one peer that are answered at the same time, and of ours that one peer answers.
pub const BULK_MAX: usize = 4;
/// Bulk streams of one peer beyond them that are told so at the same time; more are reset.
const REFUSED_MAX: usize = 4;
/// How long the names of a stream may take to agree upon.
const NAMING_TIME_MAX: Duration = Duration::from_secs(10);

/// The name under which AutoNAT 2 takes questions.
#[cfg(feature = "autonat")]
const DIAL_REQUEST: StreamProtocol = StreamProtocol::new("/libp2p/autonat/2/dial-request");

/// A place among the bulk streams that a peer has opened; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// One of `max` places, if there is one.
    fn take(of: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let taken =
            of.fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < max).then_some(taken + 1));
        taken.is_ok().then(|| Self(Arc::clone(of)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A bulk stream that a peer opened. Where it has no place it must be refused, and then counts among the
/// refused ones while that is said.
#[derive(Debug)]
pub(crate) struct BulkStream {
    pub(crate) stream: Stream,
    pub(crate) is_refused: bool,
    pub(crate) slot: Slot,
}

/// An order to open a bulk stream, and where the stream goes.
#[derive(Debug)]
pub(crate) struct Order(pub(crate) oneshot::Sender<Result<Stream, OpenError>>);

/// No stream could be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the other side takes no such stream")]
    Refused,
}

/// What the swarm asks of the handler of a connection.
#[derive(Debug)]
pub(crate) enum Wish {
    Open(Order),
    /// The other side dials back for others.
    #[cfg(feature = "autonat")]
    NoteDialsBack,
}

/// What a connection's handler tells the swarm.
#[derive(Debug)]
pub(crate) enum Opened {
    Peer(Stream),
    NoPeer,
    Bulk(BulkStream),
}

/// Opens and accepts the streams of one connection.
pub(crate) struct Handler {
    names: Names,
    /// The peer stream is opened by who dialled, once.
    peer_to_open: bool,
    peer_to_accept: bool,
    orders: VecDeque<Order>,
    opened: VecDeque<Opened>,
    answering: Arc<AtomicUsize>,
    refusing: Arc<AtomicUsize>,
    waker: Option<Waker>,
    /// What was learnt of the other side, for other handlers of this connection.
    #[cfg(feature = "autonat")]
    learnt: VecDeque<ProtocolSupport>,
}

impl Handler {
    pub(super) fn new(names: Names, dialler: bool) -> Self {
        Self {
            names,
            peer_to_open: dialler,
            peer_to_accept: !dialler,
            orders: VecDeque::new(),
            opened: VecDeque::new(),
            answering: Arc::default(),
            refusing: Arc::default(),
            waker: None,
            #[cfg(feature = "autonat")]
            learnt: VecDeque::new(),
        }
    }

    /// A handler that neither opens nor takes a peer stream.
    #[cfg(feature = "autonat")]
    pub(super) fn of_probe(names: Names) -> Self {
        Self { peer_to_accept: false, ..Self::new(names, false) }
    }

    fn push(&mut self, opened: Opened) {
        self.opened.push_back(opened);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn accept(&mut self, kind: StreamKind, stream: Stream) {
        match kind {
            // A second peer stream is reset: it is dropped here.
            StreamKind::Peer if self.peer_to_accept => {
                self.peer_to_accept = false;
                self.push(Opened::Peer(stream));
            }
            StreamKind::Peer => {}
            StreamKind::Bulk => {
                let slot = Slot::take(&self.answering, BULK_MAX).map(|slot| (false, slot));
                let slot = slot.or_else(|| Slot::take(&self.refusing, REFUSED_MAX).map(|slot| (true, slot)));
                if let Some((is_refused, slot)) = slot {
                    self.push(Opened::Bulk(BulkStream { stream, is_refused, slot }));
                }
            }
        }
    }
}

/// What a stream is opened for.
#[derive(Debug)]
pub(crate) enum Purpose {
    Peer,
    Bulk(Order),
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Wish;
    type ToBehaviour = Opened;
    type InboundProtocol = Accept;
    type OutboundProtocol = Open;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<Accept> {
        SubstreamProtocol::new(Accept(self.names.clone()), ()).with_timeout(NAMING_TIME_MAX)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Open, Purpose, Opened>> {
        if let Some(opened) = self.opened.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(opened));
        }
        #[cfg(feature = "autonat")]
        if let Some(learnt) = self.learnt.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::ReportRemoteProtocols(learnt));
        }
        let wanted = if std::mem::take(&mut self.peer_to_open) {
            Some((self.names.peer.clone(), Purpose::Peer))
        } else {
            self.orders.pop_front().map(|order| (self.names.bulk.clone(), Purpose::Bulk(order)))
        };
        if let Some((name, purpose)) = wanted {
            let protocol = SubstreamProtocol::new(Open(name), purpose).with_timeout(NAMING_TIME_MAX);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, wish: Wish) {
        match wish {
            // Who asks holds one of BULK_MAX permits of the peer while its order waits here.
            Wish::Open(order) => self.orders.push_back(order),
            // Only what is new is told to the others, and each attempt has to hear of it.
            #[cfg(feature = "autonat")]
            Wish::NoteDialsBack => {
                let names = HashSet::from([DIAL_REQUEST]);
                self.learnt = [ProtocolSupport::Removed(names.clone()), ProtocolSupport::Added(names)].into();
            }
        }
        self.wake();
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Accept, Open, (), Purpose>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (kind, stream),
                ..
            }) => self.accept(kind, stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info }) => {
                match info {
                    Purpose::Peer => self.push(Opened::Peer(stream)),
                    // Whoever ordered it may have gone; then the stream is dropped, which resets it.
                    Purpose::Bulk(Order(to)) => drop(to.send(Ok(stream))),
                }
            }
            ConnectionEvent::DialUpgradeError(failed) => match failed.info {
                Purpose::Peer => self.push(Opened::NoPeer),
                Purpose::Bulk(Order(to)) => drop(to.send(Err(OpenError::Refused))),
            },
            _ => {}
        }
    }
}

/// Both names, to be accepted.
#[derive(Debug)]
pub(crate) struct Accept(Names);

/// One name, to be opened.
#[derive(Debug)]
pub(crate) struct Open(StreamProtocol);

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 2];

    fn protocol_info(&self) -> Self::InfoIter {
        [self.0.peer.clone(), self.0.bulk.clone()]
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = (StreamKind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        let kind = if name == self.0.peer { StreamKind::Peer } else { StreamKind::Bulk };
        ready(Ok((kind, stream)))
    }
}

impl UpgradeInfo for Open {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 1];

    fn protocol_info(&self) -> Self::InfoIter {
        [self.0.clone()]
    }
}

impl OutboundUpgrade<Stream> for Open {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
