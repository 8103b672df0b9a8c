//! Who we talk to: links between nodes, without knowing what a ledger is.
//!
//! A [`Network`] accepts and dials connections, encrypts them, greets, bounds what a peer can cause, and
//! moves [`Frame`]s. What the frames mean is the owner's business: it says in a table of [`Tags`] which it
//! takes and how long they may be, and hears of everything as an [`Event`].
//!
//! # Provided
//!
//! * Connections over TCP with TLS 1.3, AES-GCM only, both sides known by their ed25519 keys.
//! * One peer stream for each link and a stream for each bulk request, with bounds on all that waits: to be
//!   written ([`OUTBOX_BYTES_MAX`]), to be handled ([`Credit`]), to be opened ([`BULK_MAX`]).
//! * Greetings, signs of life, addresses, farewells; strikes and bans; limits on connections.
//! * Whom to dial: an address book that strangers cannot fill, and a policy on top of it. Both are pure.
//! * The same over memory, for tests of owners ([`Network::in_memory`]).
//! * With cargo features, and only if it is told to ([`Features`]): finding nodes of the local network (`mdns`), a
//!   port that the router forwards (`upnp`), and whether others can dial this node (`autonat`).
//!
//! The protocol is `docs/spec/11-wire.md`. This is the only crate that names libp2p, and none of its types
//! is public here.
//!
//! # Not provided
//!
//! Anything about chains: that is the owner's, who also saves what an [`AddressBook`] knows, carries out what
//! [`Outbound`] decides, and says when its tip is stale. Hiding who talks to whom, and when. UDP, and ways through address
//! translation beyond a forwarded port.

mod address;
#[cfg(feature = "autonat")]
mod autonat;
mod book;
mod bulk;
mod certificate;
mod chance;
mod eviction;
mod features;
mod frame;
pub mod fuzz;
mod kept;
mod key;
mod limits;
#[cfg(feature = "mdns")]
mod mdns;
mod message;
mod mux;
mod network;
mod outbound;
mod reachability;
mod score;
mod session;
mod streams;
mod tls;
mod transport;
#[cfg(feature = "upnp")]
mod upnp;

pub use address::{
    AddressError, AddressGroup, AddressHost, HOST_BYTES_MAX, Host, Neighbourhood, PeerAddress, Reach,
};
pub use book::{ANCHORS_MAX, AddressBook, BOOK_ENTRIES_MAX, Candidate, InUse, UNTRIED_OF_HOST_MAX};
pub use bulk::{AnswerGone, AnswerStream, BulkError};
pub use chance::Chance;
pub use eviction::choose_victim;
pub use features::Features;
pub use frame::{
    BULK_BODY_BYTES_MAX, Frame, FrameError, HEAD_BYTES, Head, PEER_BODY_BYTES_MAX, Place, Rate, StreamKind,
    Tag, TagError, TagRule, Tags, decode as decode_frame,
};
pub use kept::KeptError;
pub use key::{KeyFileError, NodeId, NodeIdError, NodeKey};
pub use limits::{Limits, Refusal};
pub use message::{
    ADDRESS_BYTES_MAX, ADR, ADR_BYTES_MAX, AddressRecord, BYE, BYE_BYTES_MAX, BulkEnd, Bye, ByeCode,
    DIALS_BACK, END, END_BYTES_MAX, EndCode, GAD, GAD_BYTES_MAX, HEL, HEL_BYTES_MAX, Hello, LISTEN_MAX,
    Label, MessageError, NAME_BYTES_MAX, PIN, PIN_BYTES_MAX, PON, REASON_BYTES_MAX, RECORDS_MAX, Roles,
    SOFTWARE_BYTES_MAX, VERSION,
};
pub use network::{
    AskError, DIALS_MAX, Deadlines, DialFailure, DialRefused, Direction, EVENTS_MAX, Event, Events,
    LeaveReason, Network, PeerInfo, PeerNumber, RequestNumber, Settings, StartError,
};
pub use outbound::{Clock, Dial, LinkView, Outbound, Purpose, SOUGHT_MAX};
pub use reachability::Reachability;
pub use score::{ADDRESS_BAN_MS, BANS_MAX, Ban, Banned, Book, MARKS_MAX, NODE_BAN_MS, Offence, STRIKES_MAX};
pub use session::{
    Credit, GreetError, INBOX_BYTES_MAX, INBOX_FRAMES_MAX, OUTBOX_BYTES_MAX, OUTBOX_FRAMES_MAX, Priority,
    SendError,
};
pub use streams::BULK_MAX;

#[cfg(test)]
mod tests;
