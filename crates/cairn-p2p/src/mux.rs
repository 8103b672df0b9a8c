//! Many streams over one connection: yamux with windows that a peer cannot blow up.
//!
//! libp2p's own wrapper allows 1 GiB of received bytes a connection and 256 streams that nobody asked for,
//! and has no setting for either.

use futures::future::{Ready, ready};
use futures::io::{AsyncRead, AsyncWrite};
use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p_core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The name of this upgrade, as libp2p negotiates it.
const NAME: &str = "/yamux/1.0.0";
/// Streams of one connection at the same time, both directions together. One is the peer stream, eight
/// answer bulk requests; the rest are being opened, refused or closed.
pub(crate) const STREAMS_MAX: usize = 32;
/// Bytes of one connection that were received and not read yet, over all its streams. Yamux gives each
/// stream 256 KiB to begin with and lets a stream that is read quickly have more of what is left.
pub(crate) const WINDOW_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Streams that the peer opened and nobody has taken yet; more are reset.
const WAITING_STREAMS_MAX: usize = 16;

/// The upgrade of an encrypted connection to one with many streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yamux;

/// One connection with its streams.
pub(crate) struct Mux<C> {
    connection: yamux::Connection<C>,
    /// What the peer opened while the connection was only asked to move bytes.
    waiting: VecDeque<yamux::Stream>,
    wants_stream: Option<Waker>,
}

impl Yamux {
    fn start<C: AsyncRead + AsyncWrite + Unpin>(connection: C, mode: yamux::Mode) -> Mux<C> {
        let mut settings = yamux::Config::default();
        // In this order: yamux checks that each stream can have its first 256 KiB.
        settings.set_max_num_streams(STREAMS_MAX).set_max_connection_receive_window(Some(WINDOW_BYTES_MAX));
        Mux {
            connection: yamux::Connection::new(connection, settings, mode),
            waiting: VecDeque::new(),
            wants_stream: None,
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Mux<C> {
    fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        self.connection.poll_next_inbound(context).map(|opened| match opened {
            Some(stream) => stream.map_err(io::Error::other),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        })
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Mux<C> {
    type Substream = yamux::Stream;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        let this = self.get_mut();
        if let Some(stream) = this.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let opened = this.poll_opened(context);
        if opened.is_pending() {
            this.wants_stream = Some(context.waker().clone());
        }
        opened
    }

    fn poll_outbound(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        self.get_mut().connection.poll_new_outbound(context).map_err(io::Error::other)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().connection.poll_close(context).map_err(io::Error::other)
    }

    /// Moves bytes, which yamux does only while it is asked for new streams.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let this = self.get_mut();
        while let Poll::Ready(opened) = this.poll_opened(context) {
            let stream = opened?;
            if this.waiting.len() < WAITING_STREAMS_MAX {
                this.waiting.push_back(stream);
                if let Some(waker) = this.wants_stream.take() {
                    waker.wake();
                }
            }
        }
        Poll::Pending
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(NAME)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Yamux {
    type Output = Mux<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Mux<C>>>;

    fn upgrade_inbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Self::start(connection, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Mux<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Mux<C>>>;

    fn upgrade_outbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Self::start(connection, yamux::Mode::Client)))
    }
}
