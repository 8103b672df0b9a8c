//! Many streams over one connection: yamux with windows that a peer cannot blow up.
//!
//! libp2p's own wrapper allows 1 GiB of received bytes a connection and 256 streams that nobody asked for,
//! and has no setting for either. And yamux goes on after its rules were broken, with a line in the log each
//! time: here the connection ends.

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
/// Bytes before the body of a frame of yamux.
const HEADER_BYTES: usize = 12;
/// The kind of frame that has a body.
const DATA: u8 = 0;
/// The kind of frame that ends a connection.
const GO_AWAY: u8 = 3;

/// The upgrade of an encrypted connection to one with many streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yamux;

/// The other side broke a rule of yamux: a window, the number of a stream, how many there may be, or the form
/// of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule of yamux is broken")]
struct Violation;

/// Whether a connection ended because the other side broke a rule of yamux.
pub(crate) fn is_violation(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    inner.is::<Violation>() || inner.downcast_ref::<io::Error>().is_some_and(is_violation)
}

/// One connection with its streams.
pub(crate) struct Mux<C> {
    connection: yamux::Connection<Watched<C>>,
    /// What the peer opened while the connection was only asked to move bytes; yamux bounds it.
    waiting: VecDeque<yamux::Stream>,
    wants_stream: Option<Waker>,
}

impl Yamux {
    fn start<C: AsyncRead + AsyncWrite + Unpin>(connection: C, mode: yamux::Mode) -> Mux<C> {
        let mut settings = yamux::Config::default();
        // In this order: yamux checks that each stream can have its first 256 KiB.
        settings.set_max_num_streams(STREAMS_MAX).set_max_connection_receive_window(Some(WINDOW_BYTES_MAX));
        Mux {
            connection: yamux::Connection::new(Watched::new(connection), settings, mode),
            waiting: VecDeque::new(),
            wants_stream: None,
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Mux<C> {
    fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        self.connection.poll_next_inbound(context).map(|opened| match opened {
            Some(stream) => stream.map_err(error_of),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        })
    }
}

/// What an error of yamux is: one of the connection below, or a broken rule.
fn error_of(error: yamux::ConnectionError) -> io::Error {
    match error {
        yamux::ConnectionError::Io(error)
        | yamux::ConnectionError::Decode(yamux::FrameDecodeError::Io(error)) => error,
        yamux::ConnectionError::Decode(_) => io::Error::other(Violation),
        error => io::Error::other(error),
    }
}

/// The connection below yamux. It fails as soon as yamux has written a `GoAway` with an error: that is all it
/// does when the other side breaks a rule, and it tells nobody else.
struct Watched<C> {
    io: C,
    written: Frames,
    is_over: bool,
}

/// Follows the frames in the bytes that yamux writes.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that are known.
    known: usize,
    /// Bytes of the body that are to come.
    body: usize,
}

impl Frames {
    /// Follows these bytes; whether a `GoAway` with an error is among them.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_over = false;
        while !bytes.is_empty() {
            if self.body > 0 {
                let passed = self.body.min(bytes.len());
                self.body -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let (more, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - self.known));
            self.header[self.known..self.known + more.len()].copy_from_slice(more);
            self.known += more.len();
            bytes = rest;
            if self.known == HEADER_BYTES {
                self.known = 0;
                let [_, kind, .., a, b, c, d] = self.header;
                let length = u32::from_be_bytes([a, b, c, d]);
                match kind {
                    DATA => self.body = usize::try_from(length).unwrap_or(usize::MAX),
                    GO_AWAY => is_over |= length != 0,
                    _ => {}
                }
            }
        }
        is_over
    }
}

impl<C> Watched<C> {
    fn new(io: C) -> Self {
        Self { io, written: Frames::default(), is_over: false }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Watched<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Watched<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.is_over {
            let length = std::task::ready!(Pin::new(&mut this.io).poll_write(context, bytes))?;
            if !this.written.follow(&bytes[..length]) {
                return Poll::Ready(Ok(length));
            }
            this.is_over = true;
            // The other side is told if it reads; nobody waits for that.
            let _ = Pin::new(&mut this.io).poll_flush(context);
        }
        Poll::Ready(Err(io::Error::other(Violation)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(context)
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
        self.get_mut().connection.poll_new_outbound(context).map_err(error_of)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().connection.poll_close(context).map_err(error_of)
    }

    /// Moves bytes, which yamux does only while it is asked for new streams.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let this = self.get_mut();
        while let Poll::Ready(opened) = this.poll_opened(context) {
            this.waiting.push_back(opened?);
            if let Some(waker) = this.wants_stream.take() {
                waker.wake();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u32, body: &[u8]) -> Vec<u8> {
        [&[0, kind, 0, 0, 0, 0, 0, 1], &length.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn a_go_away_with_an_error_is_found_among_frames_however_they_are_cut() {
        // A body that looks like what is sought.
        let decoy = frame(GO_AWAY, 1, &[]);
        let harmless = [frame(DATA, 12, &decoy), frame(1, 77, &[]), frame(2, 1, &[]), frame(GO_AWAY, 0, &[])];
        let harmless = harmless.concat();
        for cut in 1..harmless.len() {
            let mut frames = Frames::default();
            assert!(!harmless.chunks(cut).any(|bytes| frames.follow(bytes)));
            let found: Vec<_> =
                frame(GO_AWAY, 2, &[]).chunks(cut).map(|bytes| frames.follow(bytes)).collect();
            assert_eq!(found.iter().position(|it| *it), Some(found.len() - 1));
        }
    }
}
