//! The link with one peer: greeting, signs of life, frames in both directions, farewell.
//!
//! It runs over any stream of bytes, so that tests drive the same code without sockets. It is one task: what
//! it reads goes to the owner with a [`Credit`], and it reads on when credits come back.

mod credit;
mod hearsay;
mod io;
mod outbox;
mod rate;

pub(crate) use credit::Inbox;
pub use credit::{Credit, INBOX_BYTES_MAX, INBOX_FRAMES_MAX};
pub(crate) use hearsay::Hearsay;
pub(crate) use io::{FrameReader, FrameWriter, ReadError, WriteError};
pub(crate) use outbox::{Next, Outbox};
pub use outbox::{OUTBOX_BYTES_MAX, OUTBOX_FRAMES_MAX, Priority, SendError};
pub(crate) use rate::Bucket;

use crate::frame::{Head, Place, Rate, StreamKind, Tag};
use crate::message::{self, Bye, ByeCode, Hello, MessageError};
use crate::network::{Event, LeaveReason, Link, Peer, Shared};
use crate::score::Offence;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::time::{Instant, timeout};

/// How long the last frame may take, and how long the other side is given to read it.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// Signs of life that a peer may ask for.
const PIN_RATE: Rate = Rate { burst: 10, a_minute: 12 };
/// Frames that may be ignored, for a peer that speaks a later version.
const IGNORED_RATE: Rate = Rate { burst: 100, a_minute: 600 };
/// Addresses that are taken from a peer without having been asked for.
const ADDRESS_RATE: Rate = Rate { burst: 250, a_minute: 6 };
/// Of these at the beginning of a link; those that come from one neighbourhood count together, too ([`Hearsay`]).
const FIRST_ADDRESSES: u32 = 10;

/// How a link ends.
#[derive(Debug)]
enum End {
    /// By this side, which says why.
    Ours(Bye),
    /// By the other side.
    Theirs(Bye),
    /// By itself.
    Broken(std::io::ErrorKind),
}

impl End {
    fn protocol(error: impl std::fmt::Display) -> Self {
        Self::Ours(Bye::new(ByeCode::Protocol, &error.to_string()))
    }
}

impl From<End> for LeaveReason {
    fn from(end: End) -> Self {
        match end {
            End::Ours(bye) => Self::Ours(bye),
            End::Theirs(bye) => Self::Theirs(bye),
            End::Broken(kind) => Self::Broken(kind),
        }
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Broken(error) => Self::Broken(error.kind()),
            ReadError::Frame(error) => Self::protocol(error),
            ReadError::Silent => Self::Ours(Bye::new(ByeCode::Silent, "nothing was heard for too long")),
            ReadError::Stalled => Self::Ours(Bye::new(ByeCode::Silent, "a frame stands still")),
        }
    }
}

impl From<WriteError> for End {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Broken(error) => Self::Broken(error.kind()),
            WriteError::Stalled => Self::Ours(Bye::new(ByeCode::Slow, "what is sent is not read")),
        }
    }
}

/// Runs the link from greeting to farewell.
pub(crate) async fn run<S>(stream: S, link: Link, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = split(stream);
    let stall = shared.deadlines.stall;
    let mut reader = FrameReader::new(read, StreamKind::Peer, stall);
    let mut writer = FrameWriter::new(write, stall);
    let greeted = timeout(shared.deadlines.hello, greet(&mut reader, &mut writer, &link, &shared)).await;
    let greeted = greeted.unwrap_or_else(|_| Err(End::Ours(Bye::new(ByeCode::Silent, "no greeting came"))));
    let admitted = greeted.and_then(|hello| shared.admit(&link, hello).map_err(End::Ours));
    let peer = match admitted {
        Ok(peer) => peer,
        Err(end) => {
            if let End::Ours(bye) = &end {
                part(&mut reader, &mut writer, bye).await;
            }
            shared.refuse(link, end.into()).await;
            return;
        }
    };
    shared.tell(Event::Joined { peer: peer.number, info: Box::new(shared.info(&peer)) }).await;
    let end = talk(&mut reader, &mut writer, &peer, &shared).await;
    shared.part_with(&peer, end.into()).await;
}

/// Says a farewell and gives the other side a moment to read it.
async fn part<R, W>(reader: &mut FrameReader<R>, writer: &mut FrameWriter<W>, bye: &Bye)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if let Ok(Ok(())) = timeout(FAREWELL_TIME, writer.finish(&bye.to_frame())).await {
        reader.drain(FAREWELL_TIME).await;
    }
}

/// Both sides greet at once; whose greeting does not fit is told so.
async fn greet<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    link: &Link,
    shared: &Shared,
) -> Result<Hello, End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    writer.write(&shared.hello(link.remote).to_frame()).await?;
    writer.flush().await?;
    let head = reader.head(shared.deadlines.hello).await.map_err(|error| match error {
        ReadError::Frame(error) => offend(shared, link, error),
        error => error.into(),
    })?;
    let Some(head) = head else { return Err(End::Broken(std::io::ErrorKind::UnexpectedEof)) };
    let max = match head.tag {
        message::HEL => message::HEL_BYTES_MAX,
        message::BYE => message::BYE_BYTES_MAX,
        tag => return Err(offend(shared, link, GreetError::NoGreeting { tag })),
    };
    if head.body_bytes > max {
        return Err(offend(shared, link, GreetError::TooLong { found: head.body_bytes, max }));
    }
    let body = reader.body(head.body_bytes).await?;
    if head.tag == message::BYE {
        return Err(match Bye::read(&body) {
            Ok(bye) => End::Theirs(bye),
            Err(error) => offend(shared, link, error),
        });
    }
    let hello = Hello::read(&body).map_err(|error| offend(shared, link, error))?;
    match judge(&hello, link, shared) {
        Ok(()) => Ok(hello),
        Err((code, error)) => Err(End::Ours(Bye::new(code, &error.to_string()))),
    }
}

/// The first frame is not what it must be, or the greeting is of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetError {
    /// NET-8: the first frame of each side is its greeting, within the time for it.
    #[error("the first frame is a HEL, not a {tag}")]
    NoGreeting {
        /// What came.
        tag: Tag,
    },
    /// NET-9: a greeting has at most 2,048 bytes.
    #[error("a greeting has {found} bytes, at most {max} are allowed")]
    TooLong {
        /// Its length.
        found: usize,
        /// The longest that is allowed.
        max: usize,
    },
    /// NET-11: both sides are of the same network.
    #[error("this node is of another network")]
    OtherNetwork,
    /// NET-12: a node does not speak with itself.
    #[error("this node speaks with itself")]
    Myself,
    /// NET-13: both sides speak at least version 1.
    #[error("version {found} of links is not spoken here")]
    Version {
        /// The version of the other side.
        found: u16,
    },
}

fn judge(hello: &Hello, link: &Link, shared: &Shared) -> Result<(), (ByeCode, GreetError)> {
    if hello.identity != shared.identity {
        return Err((ByeCode::OtherNetwork, GreetError::OtherNetwork));
    }
    if hello.nonce == shared.nonce || link.node == shared.id {
        return Err((ByeCode::Myself, GreetError::Myself));
    }
    if hello.version == 0 {
        return Err((ByeCode::Version, GreetError::Version { found: hello.version }));
    }
    Ok(())
}

/// Strikes who has no link yet.
fn offend(shared: &Shared, link: &Link, error: impl std::fmt::Display) -> End {
    shared.strike_node(link.node, link.remote.ip(), Offence::Malformed);
    End::protocol(error)
}

/// Reads and writes until one of both ends.
async fn talk<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    peer: &Arc<Peer>,
    shared: &Arc<Shared>,
) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let end = {
        let writing = write_all(writer, peer);
        tokio::pin!(writing);
        let end = tokio::select! {
            end = read_all(reader, peer, shared) => end,
            end = &mut writing => return linger(reader, end).await,
            // This asks as long as the link lives: only the others end, and the types know it.
            never = ask_for_life(peer, shared) => match never {},
        };
        // The frame that is being written must be whole before a farewell can follow it.
        if let End::Ours(bye) = &end {
            peer.outbox.close(bye.clone());
            let _ = timeout(FAREWELL_TIME, writing).await;
        }
        end
    };
    linger(reader, end).await
}

/// Gives the other side a moment to read a farewell before the connection goes.
async fn linger<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>, end: End) -> End {
    if matches!(end, End::Ours(_)) {
        reader.drain(FAREWELL_TIME).await;
    }
    end
}

/// Writes what waits, until the farewell.
async fn write_all<W: AsyncWrite + Unpin>(writer: &mut FrameWriter<W>, peer: &Peer) -> End {
    let mut after_frame = false;
    loop {
        let written = match peer.outbox.next(after_frame).await {
            Next::Frame(frame) => {
                after_frame = true;
                let written = writer.write(&frame).await;
                peer.outbox.written();
                peer.traffic.count_out(frame.wire_bytes());
                written
            }
            Next::Flush => {
                after_frame = false;
                writer.flush().await
            }
            Next::Bye(bye) => {
                let said = writer.finish(&bye.to_frame()).await;
                return said.map_or_else(End::from, |()| End::Ours(bye));
            }
        };
        if let Err(error) = written {
            return error.into();
        }
    }
}

/// Asks again and again whether the other side is there.
async fn ask_for_life(peer: &Peer, shared: &Shared) -> std::convert::Infallible {
    let mut turns = tokio::time::interval(shared.deadlines.ping);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let nonce = shared.draw();
        peer.ask_for_life(nonce);
        peer.outbox.push_control(message::ping_frame(message::PIN, nonce));
    }
}

/// Reads until the stream ends or a rule is broken.
async fn read_all<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    peer: &Arc<Peer>,
    shared: &Arc<Shared>,
) -> End {
    let mut reading = Reading::new(peer, shared);
    loop {
        let head = match reader.head(shared.deadlines.silence).await {
            Ok(Some(head)) => head,
            Ok(None) => return End::Broken(std::io::ErrorKind::UnexpectedEof),
            Err(error) => return reading.end_of(error),
        };
        peer.traffic.count_in(crate::frame::HEAD_BYTES + head.body_bytes);
        let read = match link_body_bytes_max(head.tag) {
            Some(max) => reading.link_frame(reader, head, max).await,
            None => reading.owner_frame(reader, head).await,
        };
        if let Err(end) = read {
            return end;
        }
    }
}

/// The longest body of a frame about the link; none, if the tag is the owner's.
pub(crate) fn link_body_bytes_max(tag: Tag) -> Option<usize> {
    match tag {
        message::HEL => Some(message::HEL_BYTES_MAX),
        message::PIN | message::PON => Some(message::PIN_BYTES_MAX),
        message::GAD => Some(message::GAD_BYTES_MAX),
        message::ADR => Some(message::ADR_BYTES_MAX),
        message::BYE => Some(message::BYE_BYTES_MAX),
        _ => None,
    }
}

/// What a reader remembers about one peer.
struct Reading<'a> {
    peer: &'a Arc<Peer>,
    shared: &'a Arc<Shared>,
    inbox: Inbox,
    pins: Bucket,
    ignored: Bucket,
    addresses: Bucket,
    has_asked_addresses: bool,
}

/// A message about the link that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a {tag} has {found} bytes, at most {max} are allowed")]
    TooLong { tag: Tag, found: usize, max: usize },
    /// NET-10: a side greets once.
    #[error("a side greets once")]
    SecondHello,
}

impl<'a> Reading<'a> {
    fn new(peer: &'a Arc<Peer>, shared: &'a Arc<Shared>) -> Self {
        let now = Instant::now();
        let mut addresses = Bucket::new(ADDRESS_RATE, now).emptied();
        addresses.put(FIRST_ADDRESSES, now);
        Self {
            peer,
            shared,
            inbox: Inbox::new(INBOX_FRAMES_MAX, INBOX_BYTES_MAX),
            pins: Bucket::new(PIN_RATE, now),
            ignored: Bucket::new(IGNORED_RATE, now),
            addresses,
            has_asked_addresses: false,
        }
    }

    /// A frame that the owner handles.
    async fn owner_frame<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut FrameReader<R>,
        head: Head,
    ) -> Result<(), End> {
        let rule = match self.shared.tags.judge(Place::Peer, head) {
            Ok(rule) => rule,
            Err(error @ crate::frame::FrameError::UnknownTag { .. }) => {
                self.strike(Offence::UnknownTag)?;
                tracing::debug!(peer = %self.peer.number, %error, "frame read over");
                None
            }
            Err(error) => return Err(self.end_of(error.into())),
        };
        let (peer, tags) = (self.peer, &self.shared.tags);
        let offence = match rule {
            Some(_) if !peer.rates.take(tags, Place::Peer, head.tag) => Some(Offence::RateLimit),
            // Judged before anything is kept of it: an answer may be long.
            Some(_) if tags.is_answer(head.tag) && !peer.awaited.take(head.tag) => Some(Offence::Unsolicited),
            None if !self.ignored.take(Instant::now()) => Some(Offence::RateLimit),
            Some(_) | None => None,
        };
        if let Some(offence) = offence {
            self.strike(offence)?;
        }
        if rule.is_none() || offence.is_some() {
            return reader.skip(head.body_bytes).await.map_err(|error| self.end_of(error));
        }
        let credit = self.inbox.wait_for(head.body_bytes).await;
        let body = reader.body(head.body_bytes).await.map_err(|error| self.end_of(error))?;
        self.peer.traffic.hear();
        let frame = crate::frame::Frame::new(head.tag, body);
        self.shared.tell(Event::Frame { peer: self.peer.number, frame, credit }).await;
        Ok(())
    }

    /// A frame about the link itself.
    async fn link_frame<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut FrameReader<R>,
        head: Head,
        max: usize,
    ) -> Result<(), End> {
        if head.body_bytes > max {
            return Err(self.broken(LinkError::TooLong { tag: head.tag, found: head.body_bytes, max }));
        }
        let body = reader.body(head.body_bytes).await.map_err(|error| self.end_of(error))?;
        self.peer.traffic.hear();
        match head.tag {
            message::PIN => self.answer_life(&body),
            message::PON => self.note_life(&body),
            message::GAD => self.ask_addresses(&body).await,
            message::ADR => self.note_addresses(&body).await,
            message::BYE => Err(match Bye::read(&body) {
                Ok(bye) => End::Theirs(bye),
                Err(error) => self.broken(error.into()),
            }),
            _ => Err(self.broken(LinkError::SecondHello)),
        }
    }

    fn answer_life(&mut self, body: &[u8]) -> Result<(), End> {
        let nonce = message::read_ping(body).map_err(|error| self.broken(error.into()))?;
        if !self.pins.take(Instant::now()) {
            return self.strike(Offence::RateLimit);
        }
        self.peer.outbox.push_control(message::ping_frame(message::PON, nonce));
        Ok(())
    }

    fn note_life(&mut self, body: &[u8]) -> Result<(), End> {
        let nonce = message::read_ping(body).map_err(|error| self.broken(error.into()))?;
        // An answer to nothing is no sign of life, but old ones may be late.
        if self.peer.note_life(nonce) { Ok(()) } else { self.strike(Offence::RateLimit) }
    }

    async fn ask_addresses(&mut self, body: &[u8]) -> Result<(), End> {
        message::read_ask_addresses(body).map_err(|error| self.broken(error.into()))?;
        if std::mem::replace(&mut self.has_asked_addresses, true) {
            return self.strike(Offence::RateLimit);
        }
        self.shared.tell(Event::AddressesAsked { peer: self.peer.number }).await;
        Ok(())
    }

    async fn note_addresses(&mut self, body: &[u8]) -> Result<(), End> {
        let mut records = message::read_addresses(body).map_err(|error| self.broken(error.into()))?;
        let now = Instant::now();
        let was_asked = self.peer.take_address_question();
        if was_asked {
            self.addresses.put(ADDRESS_RATE.burst, now);
        }
        let wanted = u64::try_from(records.len()).expect("at most 250 records");
        let taken = self.addresses.take_up_to(wanted, now);
        if taken < wanted {
            self.strike(Offence::RateLimit)?;
            records.truncate(usize::try_from(taken).expect("at most 250 records"));
        }
        if !was_asked {
            // It may be others there who have said too much: that is no offence.
            self.shared.hearsay.cut(self.peer.remote, &mut records, now);
        }
        if !records.is_empty() {
            self.shared.tell(Event::Addresses { peer: self.peer.number, records }).await;
        }
        Ok(())
    }

    /// Counts an offence; the link ends if it was one too many.
    fn strike(&self, offence: Offence) -> Result<(), End> {
        if self.shared.strike(self.peer, offence) {
            return Err(End::Ours(Bye::new(ByeCode::Banned, "too many offences")));
        }
        Ok(())
    }

    fn broken(&self, error: LinkError) -> End {
        self.shared.strike(self.peer, Offence::Malformed);
        End::protocol(error)
    }

    fn end_of(&self, error: ReadError) -> End {
        if let ReadError::Frame(_) = error {
            self.shared.strike(self.peer, Offence::Malformed);
        }
        error.into()
    }
}
