//! Bulk requests: a stream each, so that a long answer holds nothing else up.
//!
//! Who asks opens the stream and writes one frame; who answers writes frames and an `END` that says whether
//! they are all. Who closes before that does not want the rest.

use crate::frame::{Frame, FrameError, Place, StreamKind};
use crate::message::{self, BulkEnd, EndCode, MessageError};
use crate::network::{Event, Peer, RequestNumber, Shared};
use crate::score::Offence;
use crate::session::{FrameReader, FrameWriter, Inbox, ReadError};
use crate::streams::Slot;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Frames of one answer that wait for the owner.
const ANSWER_FRAMES_MAX: usize = 4;
/// Bytes of an answer that wait for the owner, but for a single longer frame.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long the question may take to come, and the other side to close after the end.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(10);

/// An answer was not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// The other side ended it before it was complete.
    #[error("the peer ended its answer: {} {}", .0.code.number(), .0.text)]
    Ended(BulkEnd),
    /// No stream could be opened in time.
    #[error("no stream could be opened")]
    NotOpened,
    /// Nothing came for too long.
    #[error("the answer stands still")]
    Stalled,
    /// The stream ended without saying so.
    #[error("the stream broke")]
    Broken,
    /// A frame breaks a rule.
    #[error("a frame of the answer breaks a rule")]
    Frame(#[from] FrameError),
    /// The last frame does not say how the answer ends.
    #[error("the end of the answer cannot be read")]
    End(#[from] MessageError),
    /// The owner cancelled it, or the link ended.
    #[error("the request was cancelled")]
    Cancelled,
}

impl From<ReadError> for BulkError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Broken(_) => Self::Broken,
            ReadError::Frame(error) => Self::Frame(error),
            ReadError::Silent | ReadError::Stalled => Self::Stalled,
        }
    }
}

/// Where the answer to a bulk request goes. Dropping it without an end tells the peer that this node failed.
#[derive(Debug)]
pub struct AnswerStream {
    parts: mpsc::Sender<Part>,
    /// The place of the stream among those of its peer: it is not free while the owner still works for it.
    _place: Option<Arc<Slot>>,
}

#[derive(Debug)]
enum Part {
    Frame(Frame),
    End(BulkEnd),
}

/// The peer does not take the rest of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not take the rest of the answer")]
pub struct AnswerGone;

impl AnswerStream {
    /// Adds a frame, waiting until the one before it is being written.
    ///
    /// # Errors
    ///
    /// The peer reads no more, or has gone.
    pub async fn send(&self, frame: Frame) -> Result<(), AnswerGone> {
        self.parts.send(Part::Frame(frame)).await.map_err(|_| AnswerGone)
    }

    /// The same from a thread outside of the runtime.
    ///
    /// # Errors
    ///
    /// The peer reads no more, or has gone.
    ///
    /// # Panics
    ///
    /// On a thread of the runtime.
    pub fn blocking_send(&self, frame: Frame) -> Result<(), AnswerGone> {
        self.parts.blocking_send(Part::Frame(frame)).map_err(|_| AnswerGone)
    }

    /// Ends the answer.
    pub async fn end(self, end: BulkEnd) {
        // Whoever has gone needs no end.
        let _ = self.parts.send(Part::End(end)).await;
    }

    /// The same from a thread outside of the runtime.
    ///
    /// # Panics
    ///
    /// On a thread of the runtime.
    pub fn blocking_end(self, end: BulkEnd) {
        let _ = self.parts.blocking_send(Part::End(end));
    }
}

/// Asks, and tells the owner what is answered. Ends early when `cancelled`.
pub(crate) async fn ask<S>(
    opened: impl Future<Output = Option<S>>,
    question: Frame,
    number: RequestNumber,
    peer: Arc<Peer>,
    shared: Arc<Shared>,
    cancelled: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send,
{
    let asking = async {
        let opened = timeout(shared.deadlines.hello, opened).await;
        let stream = opened.ok().flatten().ok_or(BulkError::NotOpened)?;
        read_answer(stream, &question, number, &peer, &shared).await
    };
    let result = tokio::select! {
        result = asking => result,
        () = cancelled.cancelled() => Err(BulkError::Cancelled),
    };
    match &result {
        Err(BulkError::Frame(error)) => break_rule(&peer, &shared, error),
        Err(BulkError::End(error)) => shared.break_off(&peer, error),
        _ => {}
    }
    shared.tell(Event::AnswerEnded { peer: peer.number, request: number, result }).await;
}

async fn read_answer<S: AsyncRead + AsyncWrite>(
    stream: S,
    question: &Frame,
    number: RequestNumber,
    peer: &Peer,
    shared: &Shared,
) -> Result<(), BulkError> {
    let (read, write) = split(stream);
    let mut writer = FrameWriter::new(write, shared.deadlines.stall);
    let mut reader = FrameReader::new(read, StreamKind::Bulk, shared.deadlines.stall);
    // Who refuses may not read the question; what it says about that is read all the same. This side is not
    // closed before the end: dropping an open stream resets it, and so a cancelled answer stops at once.
    if writer.write(question).await.is_ok() {
        let _ = writer.flush().await;
    }
    peer.traffic.count_out(question.wire_bytes());
    let inbox = Inbox::new(ANSWER_FRAMES_MAX, ANSWER_BYTES_MAX);
    loop {
        let Some(head) = reader.head(shared.deadlines.stall).await? else { return Err(BulkError::Broken) };
        peer.traffic.count_in(crate::frame::HEAD_BYTES + head.body_bytes);
        peer.traffic.hear();
        if head.tag == message::END {
            let (tag, found, max) = (head.tag, head.body_bytes, message::END_BYTES_MAX);
            if found > max {
                return Err(FrameError::TooLong { tag, found: found as u64, max }.into());
            }
            let end = BulkEnd::read(&reader.body(found).await?);
            return match end {
                Ok(BulkEnd { code: EndCode::Complete, .. }) => Ok(()),
                Ok(end) => Err(BulkError::Ended(end)),
                Err(error) => Err(error.into()),
            };
        }
        if shared.tags.judge(Place::Answer, head)?.is_none() {
            reader.skip(head.body_bytes).await?;
            continue;
        }
        let credit = inbox.wait_for(head.body_bytes).await;
        let frame = Frame::new(head.tag, reader.body(head.body_bytes).await?);
        shared.tell(Event::Answer { peer: peer.number, request: number, frame, credit }).await;
    }
}

/// A frame of a bulk stream breaks a rule, and costs what it would on the peer stream: a tag that means
/// nothing some strikes, any other one the link.
fn break_rule(peer: &Peer, shared: &Shared, error: &FrameError) {
    if let FrameError::UnknownTag { .. } = error {
        return shared.punish(peer, Offence::UnknownTag);
    }
    shared.break_off(peer, error);
}

/// Reads a question and writes what the owner answers.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite>(
    stream: S,
    peer: Arc<Peer>,
    shared: Arc<Shared>,
    place: Option<Arc<Slot>>,
) {
    let (read, write) = split(stream);
    let mut reader = FrameReader::new(read, StreamKind::Bulk, shared.deadlines.stall);
    let mut writer = FrameWriter::new(write, shared.deadlines.stall);
    let question = match timeout(QUESTION_TIME_MAX, read_question(&mut reader, &peer, &shared)).await {
        Ok(Ok(question)) => question,
        Ok(Err(error)) => {
            tracing::debug!(peer = %peer.number, %error, "bulk request refused");
            let code = match &error {
                QuestionError::Read(ReadError::Frame(error)) => {
                    break_rule(&peer, &shared, error);
                    EndCode::Unavailable
                }
                QuestionError::TooMany => {
                    shared.punish(&peer, Offence::RateLimit);
                    EndCode::Busy
                }
                // Nothing came in time.
                QuestionError::Read(ReadError::Silent) => return,
                QuestionError::Read(ReadError::Broken(_) | ReadError::Stalled) | QuestionError::None => {
                    shared.punish(&peer, Offence::RateLimit);
                    return;
                }
            };
            let _ = writer.finish(&BulkEnd::new(code, &error.to_string()).to_frame()).await;
            return;
        }
        // The stream broke, or nothing came in time.
        Err(_) => return,
    };
    let (parts, mut answer) = mpsc::channel(1);
    let answering = async {
        shared
            .tell(Event::Asked {
                peer: peer.number,
                frame: question,
                answer: AnswerStream { parts, _place: place },
            })
            .await;
        loop {
            match answer.recv().await {
                Some(Part::Frame(frame)) => {
                    peer.traffic.count_out(frame.wire_bytes());
                    writer.write(&frame).await?;
                    writer.flush().await?;
                }
                Some(Part::End(end)) => return writer.finish(&end.to_frame()).await,
                None => {
                    return writer.finish(&BulkEnd::new(EndCode::Failed, "no answer").to_frame()).await;
                }
            }
        }
    };
    let answered = tokio::select! {
        answered = answering => answered,
        () = reader.ended() => return,
        () = peer.gone.cancelled() => return,
    };
    match answered {
        Ok(()) => reader.drain(QUESTION_TIME_MAX).await,
        Err(error) => tracing::debug!(peer = %peer.number, %error, "answer not taken"),
    }
}

/// A question was not read.
#[derive(Debug, thiserror::Error)]
enum QuestionError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the stream ended before the question")]
    None,
    #[error("too many questions")]
    TooMany,
}

async fn read_question<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    peer: &Peer,
    shared: &Shared,
) -> Result<Frame, QuestionError> {
    let head = reader.head(QUESTION_TIME_MAX).await?.ok_or(QuestionError::None)?;
    peer.traffic.count_in(crate::frame::HEAD_BYTES + head.body_bytes);
    // A question may not be left unread, whatever the case of its tag.
    let unknown = FrameError::UnknownTag { tag: head.tag };
    shared.tags.judge(Place::Ask, head).and_then(|rule| rule.ok_or(unknown)).map_err(ReadError::Frame)?;
    if !peer.rates.take(&shared.tags, Place::Ask, head.tag) {
        return Err(QuestionError::TooMany);
    }
    let body = reader.body(head.body_bytes).await?;
    peer.traffic.hear();
    Ok(Frame::new(head.tag, body))
}

/// Tells the other side that it has too many streams open.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite>(stream: S, shared: Arc<Shared>) {
    let (read, write) = split(stream);
    let mut writer = FrameWriter::new(write, shared.deadlines.stall);
    let end = BulkEnd::new(EndCode::Busy, "too many requests at a time");
    if writer.finish(&end.to_frame()).await.is_ok() {
        FrameReader::new(read, StreamKind::Bulk, shared.deadlines.stall).drain(QUESTION_TIME_MAX).await;
    }
}
