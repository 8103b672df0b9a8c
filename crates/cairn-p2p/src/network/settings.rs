//! What a node is told about its network at the start.

use crate::address::AddressError;
use crate::features::Features;
use crate::frame::Tags;
use crate::key::{NodeId, NodeKey};
use crate::limits::Limits;
use crate::message::Roles;
use crate::score::Ban;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// All that [`Network::start`](crate::Network::start) needs.
#[derive(Debug)]
pub struct Settings {
    /// Who this node is.
    pub key: NodeKey,
    /// The id of block 0 of its network.
    pub identity: [u8; 32],
    /// Its program and version, at most 64 bytes.
    pub software: String,
    /// What its owner calls it, at most 32 bytes; it may be empty.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// What else it offers, as bits whose meaning the ledger gives.
    pub services: u32,
    /// Where it accepts connections; nowhere, if empty. A port of 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Where others are told to dial it; where it listens, if empty.
    pub advertise: Vec<SocketAddr>,
    /// Which frames mean something to the owner.
    pub tags: Tags,
    /// How many connections there may be.
    pub limits: Limits,
    /// How long anything may take.
    pub deadlines: Deadlines,
    /// Nodes that are never banned for what they do.
    pub trusted: BTreeSet<NodeId>,
    /// Bans of earlier runs.
    pub bans: Vec<Ban>,
    /// What it does beyond that.
    pub features: Features,
}

/// How long things may take before the other side is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Connecting, TLS and the choice of names, all together.
    pub handshake: Duration,
    /// The greeting.
    pub hello: Duration,
    /// Between two signs of life that are asked for.
    pub ping: Duration,
    /// Without hearing anything.
    pub silence: Duration,
    /// For 64 KiB to move, in either direction.
    pub stall: Duration,
    /// Between two attempts of others to dial this node, while it is not sure whether it can be reached; thirty
    /// times as long once it is.
    pub dial_back: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            handshake: seconds(10),
            hello: seconds(10),
            ping: seconds(30),
            silence: seconds(90),
            stall: seconds(30),
            dial_back: seconds(30),
        }
    }
}

impl Settings {
    /// Settings for a full node that listens nowhere and to whose owner no frame means anything yet.
    pub fn new(key: NodeKey, identity: [u8; 32]) -> Self {
        Self {
            key,
            identity,
            software: concat!("cairn/", env!("CARGO_PKG_VERSION")).to_owned(),
            name: String::new(),
            roles: Roles::FULL,
            services: 0,
            listen: Vec::new(),
            advertise: Vec::new(),
            tags: Tags::new(),
            limits: Limits::default(),
            deadlines: Deadlines::default(),
            trusted: BTreeSet::new(),
            bans: Vec::new(),
            features: Features::default(),
        }
    }
}

/// No network can be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system answered.
        #[source]
        source: std::io::Error,
    },
    /// No certificate can be made.
    #[error("the encryption of connections cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An address to be advertised is none.
    #[error("an address is none that others can dial")]
    Advertise(#[from] AddressError),
}
