//! What the owner of a network is told.

use crate::address::PeerAddress;
use crate::bulk::{AnswerStream, BulkError};
use crate::frame::Frame;
use crate::key::NodeId;
use crate::limits::Refusal;
use crate::message::{AddressRecord, Bye, Hello};
use crate::reachability::Reachability;
use crate::score::Ban;
use crate::session::Credit;
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;

/// A link with a peer; no other link ever has the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerNumber(pub u64);

/// A bulk request; no other one ever has the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestNumber(pub u64);

impl fmt::Display for PeerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RequestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened. Of one peer, `Joined` comes first and `Left` last.
#[derive(Debug)]
pub enum Event {
    /// A link begins: both sides have greeted.
    Joined {
        /// Its number.
        peer: PeerNumber,
        /// What is known about the peer.
        info: Box<PeerInfo>,
    },
    /// A link has ended.
    Left {
        /// Its number.
        peer: PeerNumber,
        /// Who it was.
        node: NodeId,
        /// Why.
        reason: LeaveReason,
    },
    /// A peer sent a frame.
    Frame {
        /// Who.
        peer: PeerNumber,
        /// What.
        frame: Frame,
        /// Leave for the peer to go on, given by dropping it.
        credit: Credit,
    },
    /// A peer asks for something that is answered on a stream of its own.
    Asked {
        /// Who.
        peer: PeerNumber,
        /// What it asks.
        frame: Frame,
        /// Where the answer goes.
        answer: AnswerStream,
    },
    /// A part of an answer.
    Answer {
        /// Who answers.
        peer: PeerNumber,
        /// Which request.
        request: RequestNumber,
        /// The part.
        frame: Frame,
        /// Leave for the next part, given by dropping it.
        credit: Credit,
    },
    /// A request has ended; nothing more comes for it.
    AnswerEnded {
        /// Who answered.
        peer: PeerNumber,
        /// Which request.
        request: RequestNumber,
        /// Whether the answer is complete.
        result: Result<(), BulkError>,
    },
    /// A peer asks which nodes are known.
    AddressesAsked {
        /// Who.
        peer: PeerNumber,
    },
    /// A peer knows these nodes.
    Addresses {
        /// Who says so.
        peer: PeerNumber,
        /// What it says: hearsay.
        records: Vec<AddressRecord>,
    },
    /// A dial came to nothing.
    DialFailed {
        /// What was dialled.
        address: PeerAddress,
        /// Why.
        why: DialFailure,
    },
    /// Somebody was banned for what it did; [`Network::bans`](crate::Network::bans) is what to save. This
    /// news is left out where the owner is far behind.
    Banned {
        /// The new bans.
        bans: Vec<Ban>,
    },
    /// Whether others can dial this node, where that is another answer than before. This news is left out where
    /// the owner is far behind; [`Network::reachability`](crate::Network::reachability) has it.
    Reachability(Reachability),
    /// What was heard in the local network, by a node that is built with `mdns` and told to listen.
    Nearby {
        /// Nodes that say that they are there: hearsay, though nobody speaks for another machine.
        found: Vec<AddressRecord>,
        /// Nodes of which nothing was heard again.
        gone: Vec<SocketAddr>,
    },
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaveReason {
    /// This node ended it.
    #[error("ended here: {}", .0.text)]
    Ours(Bye),
    /// The peer ended it.
    #[error("ended by the peer: {}", .0.text)]
    Theirs(Bye),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(ErrorKind),
    /// This program has an error, which ended no more than this link.
    #[error("the link failed here")]
    Failed,
}

/// Why a dial came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DialFailure {
    /// The name means no address.
    #[error("the name cannot be resolved")]
    Name,
    /// Nobody answers there.
    #[error("cannot connect: {0}")]
    Unreachable(ErrorKind),
    /// Whoever answers does not speak the protocol: no libp2p, no TLS with AES, or too slow.
    #[error("whoever answers is no node: {0}")]
    NoNode(String),
    /// Another node answers than the one that was dialled.
    #[error("another node answers: {found}")]
    WrongNode {
        /// Who answers.
        found: NodeId,
    },
    /// This node answers.
    #[error("it is this node itself")]
    Myself,
    /// There is a link with this node already.
    #[error("there is a link with this node already")]
    Connected {
        /// The node that answers, or was to.
        node: NodeId,
    },
    /// A node of another network answers.
    #[error("the node is of another network")]
    OtherNetwork,
    /// A limit of this node is against it.
    #[error("refused here: {0}")]
    Refused(#[from] Refusal),
    /// The other node closed the connection before both had greeted.
    #[error("the node closed the connection")]
    Closed,
    /// The greeting failed.
    #[error(transparent)]
    Greeting(#[from] LeaveReason),
    /// The network stops.
    #[error("the network stops")]
    Stopped,
}

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// This node.
    Outbound,
}

/// What is known about a peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The number of the link.
    pub number: PeerNumber,
    /// Who it is.
    pub node: NodeId,
    /// The other end of the connection.
    pub remote: SocketAddr,
    /// Who dialled.
    pub direction: Direction,
    /// What was dialled, where this node did.
    pub dialled: Option<PeerAddress>,
    /// Where it says that it can be dialled, with the address that it is seen at for one it leaves open.
    pub listen: Vec<SocketAddr>,
    /// What it said at the beginning.
    pub hello: Hello,
    /// The version of links that both speak.
    pub version: u16,
    /// When the link began, in milliseconds since 1970.
    pub since_ms: u64,
    /// Milliseconds since anything was heard.
    pub silent_ms: u64,
    /// How long it took to answer the newest sign of life, in milliseconds.
    pub ping_ms: Option<u64>,
    /// Bytes of frames that came.
    pub bytes_in: u64,
    /// Bytes of frames that went.
    pub bytes_out: u64,
    /// Bytes of frames that wait to go.
    pub bytes_waiting: usize,
    /// Transactions that were dropped because it did not read.
    pub dropped: u64,
    /// The height that it is known to have.
    pub height: u64,
    /// The work of its chain, a big-endian number.
    pub work: [u8; 32],
    /// Good deeds less strikes.
    pub score: f64,
    /// Whether it is never banned for what it does.
    pub is_trusted: bool,
}
