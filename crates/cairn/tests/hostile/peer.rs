//! A peer that speaks through `cairn-p2p`: its frames are well made, and what is in them is up to a test.

use crate::support::PATIENCE;
use cairn_core::block::{SealedHeader, decode_block};
use cairn_core::hash::BlockId;
use cairn_node::compact::CompactBlock;
use cairn_node::wire::{self, BULK_TAGS, HEADERS_MAX, Message, PEER_TAGS};
use cairn_p2p::{
    AnswerStream, BulkEnd, ByeCode, EndCode, Event, Events, Frame, LeaveReason, Network, NodeKey,
    PeerAddress, PeerNumber, Place, Priority, SendError, Settings, Tag, TagRule, Tags,
};
use std::net::SocketAddr;
use tokio::runtime::Runtime;

/// A peer with a name of its own.
pub(crate) struct Peer {
    pub(crate) network: Network,
    events: Events,
    link: Option<PeerNumber>,
}

/// What the attacked node says to a peer.
pub(crate) enum Heard {
    /// A message on the peer stream.
    Message(Message),
    /// A question for blocks.
    Blocks(Vec<BlockId>, AnswerStream),
    /// The link is over.
    Left(LeaveReason),
}

/// Where peers run.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn tags() -> Tags {
    let rule = |body_bytes_max| TagRule { body_bytes_max, rate: None };
    let tag = |tag: wire::Tag| Tag::from_bytes(&tag.0).unwrap();
    let peer =
        PEER_TAGS.into_iter().fold(Tags::new(), |tags, (of, max)| tags.with(Place::Peer, tag(of), rule(max)));
    BULK_TAGS.into_iter().fold(peer, |tags, (of, max)| {
        let place = if matches!(&of.0, b"GBL" | b"GGN") { Place::Ask } else { Place::Answer };
        tags.with(place, tag(of), rule(max))
    })
}

pub(crate) fn frame_of(message: &Message) -> Frame {
    Frame::new(Tag::from_bytes(&message.tag().0).unwrap(), message.to_body())
}

impl Peer {
    pub(crate) async fn start(number: u8, identity: [u8; 32]) -> Self {
        let settings = Settings {
            tags: tags(),
            name: "\u{1b}[31mevil\u{202e}".to_owned(),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..Settings::new(NodeKey::from_seed([number; 32]), identity)
        };
        let (network, events) = Network::start(settings).await.unwrap();
        Self { network, events, link: None }
    }

    /// Links with a node that must take it.
    pub(crate) async fn join(number: u8, identity: [u8; 32], to: SocketAddr) -> Self {
        let mut peer = Self::start(number, identity).await;
        peer.dial(to).await;
        peer
    }

    /// Dials a node that must take it.
    pub(crate) async fn dial(&mut self, to: SocketAddr) {
        self.network.dial(PeerAddress::of(to)).unwrap();
        self.linked().await;
    }

    /// Waits until there is a link, whoever dialled.
    pub(crate) async fn linked(&mut self) {
        while self.link.is_none() {
            match self.next().await {
                Event::Joined { peer, .. } => self.link = Some(peer),
                Event::DialFailed { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.next())
            .await
            .expect("something happens")
            .expect("the network runs")
    }

    /// What the node says next. Others may have dialled the peer as well, which does not listen to them.
    pub(crate) async fn hear(&mut self) -> Heard {
        let link = self.link();
        loop {
            match self.next().await {
                Event::Frame { peer, frame, .. } if peer == link => {
                    let tag = wire::Tag(frame.tag.to_bytes());
                    return Heard::Message(Message::from_body(tag, &frame.body).unwrap());
                }
                Event::Asked { peer, frame, answer } if peer == link => {
                    let tag = wire::Tag(frame.tag.to_bytes());
                    if let Message::GetBlocks(ids) = Message::from_body(tag, &frame.body).unwrap() {
                        return Heard::Blocks(ids, answer);
                    }
                }
                Event::Left { peer, reason, .. } if peer == link => {
                    return Heard::Left(reason);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn say(&self, message: &Message) {
        self.send(frame_of(message));
    }

    pub(crate) fn send(&self, frame: Frame) {
        // A link that has ended already is what is wanted.
        let _ = self.network.send(self.link(), frame, Priority::Block);
    }

    /// Says these as fast as they are taken, until the link is over.
    pub(crate) async fn flood(&self, messages: impl Iterator<Item = Message>) {
        for message in messages {
            let frame = frame_of(&message);
            loop {
                match self.network.send(self.link(), frame.clone(), Priority::Block) {
                    Ok(()) => break,
                    Err(SendError::Full) => tokio::task::yield_now().await,
                    Err(SendError::Gone) => return,
                }
            }
        }
    }

    /// The link, or the last one there was.
    pub(crate) fn link(&self) -> PeerNumber {
        self.link.unwrap_or(PeerNumber(u64::MAX))
    }

    /// Waits until the node ends the link with this farewell.
    pub(crate) async fn leaves_with(mut self, code: ByeCode) {
        loop {
            if let Heard::Left(reason) = self.hear().await {
                assert!(matches!(&reason, LeaveReason::Theirs(bye) if bye.code == code), "{reason}");
                break;
            }
        }
        self.network.stop().await;
    }

    /// Waits for a message of the node with a tag.
    pub(crate) async fn hears(&mut self, tag: &[u8; 3]) -> Message {
        loop {
            match self.hear().await {
                Heard::Message(message) if &message.tag().0 == tag => return message,
                Heard::Left(reason) => panic!("sent away: {reason}"),
                _ => {}
            }
        }
    }

    /// Waits until the node has taken all that was said before: it answers a question that came after.
    pub(crate) async fn is_heard(&mut self, identity: [u8; 32]) {
        self.say(&Message::GetHeaders { locator: vec![BlockId(identity)], stop: BlockId::ZERO });
        self.hears(b"HDR").await;
    }
}

/// Sends the bytes of blocks as the answer to a question.
pub(crate) async fn answer(answer: AnswerStream, blocks: Vec<Vec<u8>>) {
    for bytes in blocks {
        if answer.send(frame_of(&Message::Block(bytes.into()))).await.is_err() {
            return;
        }
    }
    answer.end(BulkEnd::new(EndCode::Complete, "")).await;
}

/// The headers above a locator, as a node answers.
pub(crate) fn headers_above(headers: &[SealedHeader], locator: &[BlockId]) -> Message {
    let above = headers.iter().position(|header| locator.contains(&header.id())).map_or(0, |at| at + 1);
    Message::Headers(headers[above..].iter().take(HEADERS_MAX).cloned().collect())
}

/// A peer that means well and has these blocks, lowest first: it tells of them and sends them until it is left.
pub(crate) async fn serve(mut peer: Peer, blocks: Vec<Vec<u8>>, identity: [u8; 32]) {
    let headers: Vec<SealedHeader> = blocks.iter().map(|bytes| header_of(bytes)).collect();
    peer.say(&Message::Headers(headers.clone()));
    loop {
        match peer.hear().await {
            Heard::Message(Message::GetHeaders { locator, .. }) => {
                peer.say(&headers_above(&headers, &locator))
            }
            Heard::Message(Message::GetCompact(id)) => {
                if let Some(at) = headers.iter().position(|header| header.id() == id) {
                    let block = CompactBlock::from_bytes(&blocks[at], &BlockId(identity), 7).unwrap();
                    peer.say(&Message::Compact(Box::new(block)));
                }
            }
            Heard::Message(Message::GetBlockTransactions { block, places }) => {
                if let Some(at) = headers.iter().position(|header| header.id() == block) {
                    let found = cairn_node::compact::transactions_at(&blocks[at], &places);
                    let transactions = found.unwrap().unwrap();
                    peer.say(&Message::BlockTransactions { block, transactions });
                }
            }
            Heard::Message(_) => {}
            Heard::Blocks(ids, stream) => {
                let has = |id: &BlockId| headers.iter().position(|header| header.id() == *id);
                let found = ids.iter().filter_map(has).map(|at| blocks[at].clone()).collect();
                answer(stream, found).await;
            }
            Heard::Left(_) => return,
        }
    }
}

/// The header of a block, with its seal.
pub(crate) fn header_of(bytes: &[u8]) -> SealedHeader {
    let block = decode_block(bytes).unwrap();
    SealedHeader { header: block.header, seal: block.seal }
}
