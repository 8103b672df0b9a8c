//! Frames over a stream of bytes, with deadlines and without trust.

use crate::frame::{Frame, FrameError, HEAD_BYTES, Head, StreamKind};
use bytes::Bytes;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::io::{BufReader, BufWriter};
use tokio::time::timeout;

/// Bytes that must move within one deadline: what is slower stands still.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that are read ahead and collected before they are written.
const BUFFER_BYTES: usize = 16 * 1024;

/// Reads frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: BufReader<R>,
    kind: StreamKind,
    stall: Duration,
}

/// Writes frames.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    stream: BufWriter<W>,
    stall: Duration,
}

/// No frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the stream broke")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("nothing came for too long")]
    Silent,
    #[error("a frame stands still")]
    Stalled,
}

/// No frame could be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("the stream broke")]
    Broken(#[from] io::Error),
    #[error("the other side does not read")]
    Stalled,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, kind: StreamKind, stall: Duration) -> Self {
        Self { stream: BufReader::with_capacity(BUFFER_BYTES, stream), kind, stall }
    }

    /// How the next frame begins; none at the end of the stream. Its first byte may take `silence`.
    pub(crate) async fn head(&mut self, silence: Duration) -> Result<Option<Head>, ReadError> {
        let first = timeout(silence, self.stream.fill_buf()).await.map_err(|_| ReadError::Silent)??;
        if first.is_empty() {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES];
        let read = timeout(self.stall, self.stream.read_exact(&mut head)).await;
        read.map_err(|_| ReadError::Stalled)??;
        Ok(Some(Head::read(head, self.kind)?))
    }

    /// The body that follows a head. It is allocated as its bytes come, a chunk ahead, and not as they are
    /// promised.
    pub(crate) async fn body(&mut self, bytes: usize) -> Result<Bytes, ReadError> {
        let mut body = Vec::new();
        while body.len() < bytes {
            let wanted = CHUNK_BYTES.min(bytes - body.len());
            body.reserve(wanted);
            let end = body.len() + wanted;
            let fill = async {
                while body.len() < end {
                    let left = u64::try_from(end - body.len()).expect("at most 64 KiB");
                    if (&mut self.stream).take(left).read_buf(&mut body).await? == 0 {
                        return Err(ReadError::Broken(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
                Ok(())
            };
            timeout(self.stall, fill).await.map_err(|_| ReadError::Stalled)??;
        }
        Ok(body.into())
    }

    /// Reads over a body.
    pub(crate) async fn skip(&mut self, mut bytes: usize) -> Result<(), ReadError> {
        while bytes > 0 {
            let read = timeout(self.stall, self.stream.fill_buf()).await;
            let there = read.map_err(|_| ReadError::Stalled)??.len().min(bytes);
            if there == 0 {
                return Err(ReadError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            self.stream.consume(there);
            bytes -= there;
        }
        Ok(())
    }

    /// Reads over all that comes until the stream ends.
    pub(crate) async fn ended(&mut self) {
        while let Ok(there) = self.stream.fill_buf().await
            && !there.is_empty()
        {
            let there = there.len();
            self.stream.consume(there);
        }
    }

    /// The same, for `time` at most.
    pub(crate) async fn drain(&mut self, time: Duration) {
        let _ = timeout(time, self.ended()).await;
    }
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(stream: W, stall: Duration) -> Self {
        Self { stream: BufWriter::with_capacity(BUFFER_BYTES, stream), stall }
    }

    /// Writes a frame; small ones wait for [`flush`](Self::flush).
    pub(crate) async fn write(&mut self, frame: &Frame) -> Result<(), WriteError> {
        let head = frame.head();
        for chunk in std::iter::once(&head[..]).chain(frame.body.chunks(CHUNK_BYTES)) {
            let written = timeout(self.stall, self.stream.write_all(chunk)).await;
            written.map_err(|_| WriteError::Stalled)??;
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<(), WriteError> {
        timeout(self.stall, self.stream.flush()).await.map_err(|_| WriteError::Stalled)??;
        Ok(())
    }

    /// Writes a last frame and says that nothing follows.
    pub(crate) async fn finish(&mut self, frame: &Frame) -> Result<(), WriteError> {
        self.write(frame).await?;
        self.close().await
    }

    /// Says that nothing follows.
    pub(crate) async fn close(&mut self) -> Result<(), WriteError> {
        self.flush().await?;
        timeout(self.stall, self.stream.shutdown()).await.map_err(|_| WriteError::Stalled)??;
        Ok(())
    }
}
