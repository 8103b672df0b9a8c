//! A tracker: it introduces the nodes of a network to each other, and keeps no chain.
//!
//! ```text
//!   nodes ──link──► who is there, and where ──► looked at ──► named to others: `ADR`, HTTP
//!         ◄─────── addresses, the genesis
//! ```
//!
//! # Provided
//!
//! It speaks the links of any node (pages 11 and 13 of the specification), hands out the genesis by identity,
//! and names only nodes that it has reached itself not long ago. What it knows outlives a restart.
//!
//! # Not provided
//!
//! Trust. A tracker can hide nodes and name others; what it names is hearsay to who asks, and a network that
//! has met goes on without it.

mod looks;
mod registry;
mod routes;
mod saved;
mod views;

pub use views::{DeadAnswer, DeadRequest, TrackedNode, TrackerStatus};

use crate::api::guard::{TOKEN_FILE, Token};
use crate::api::metrics::HttpMetrics;
use crate::api::server;
use crate::paths::{Kind, RunningNode, create_private_directory, register};
use crate::pidfile::{PidFile, PidFileError};
use crate::run::links::{KEY_FILE, LinkError, message_of, send_genesis_text};
use crate::run::service::{Exposure, ServiceError, bind, url, watch_signals};
use crate::run::{Supervisor, now_ms};
use axum::body::Bytes;
use cairn_core::genesis::Genesis;
use cairn_node::wire::{BULK_TAGS, Message};
use cairn_p2p::{
    AnswerStream, BulkEnd, Bye, ByeCode, Direction, EndCode, Event, Events, Features, Frame, LeaveReason,
    Limits, Network, NodeId, NodeKey, Offence, PeerAddress, PeerInfo, PeerNumber, Place, Rate, Roles,
    Settings, Tag, TagRule, Tags,
};
use looks::{Looker, Target};
use registry::{Look, Registry, Visitor};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

/// The directory of a tracker, in that of its network.
pub const DIRECTORY: &str = "tracker";
/// How long a node is known after the last sign of it, if nothing is said.
pub const TTL: Duration = Duration::from_secs(30 * 60);
/// The shortest such time: nodes come again after ten minutes, and a little late is no death.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest.
pub const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Where it accepts connections of nodes, if nothing is said.
pub const P2P_BIND: &str = "0.0.0.0:7760";
/// Where its HTTP interface listens, if nothing is said.
pub const HTTP_BIND: &str = "127.0.0.1:7761";

/// How many nodes a tracker has links with: more than a node, whose links are a lot of work.
const LIMITS: Limits = Limits {
    inbound_max: 256,
    outbound_max: 1,
    inbound_pending_max: 64,
    outbound_pending_max: 1,
    inbound_of_host_max: 16,
    inbound_of_group_max: 128,
    loopback_is_one_host: false,
};
/// From so many links on, whoever has been there longest makes room: it was answered, and comes again.
const LINKS_KEPT_MAX: usize = 192;
/// How often those that are there are counted as seen, and what is known is saved.
const TURN_TIME: Duration = Duration::from_secs(30);
/// The question for a genesis (page 12 of the specification).
const GENESIS_QUESTION: [u8; 3] = *b"GGN";
/// How often one node may ask for the genesis.
const GENESIS_RATE: Rate = Rate { burst: 4, a_minute: 4 };

/// What a tracker is started with.
#[derive(Debug)]
pub struct TrackerSettings {
    /// The network.
    pub genesis: Genesis,
    /// Where it keeps its key and what it knows.
    pub directory: PathBuf,
    /// What its owner calls it.
    pub name: String,
    /// Where it accepts connections of nodes.
    pub listen: Vec<SocketAddr>,
    /// Where its HTTP interface listens, and how others reach it.
    pub exposure: Exposure,
    /// How long a node is known after the last sign of it.
    pub ttl: Duration,
    /// Where nodes find it, for invites; where it listens, if empty.
    pub addresses: Vec<PeerAddress>,
    /// The register of what runs here.
    pub runtime_directory: PathBuf,
    /// What it does beyond that; it looks for no neighbours, because it names only who has come to it.
    pub features: Features,
}

/// A tracker that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Who it is to nodes.
    pub id: NodeId,
    /// Where it accepts connections of nodes.
    pub p2p: Vec<SocketAddr>,
    /// The address of its HTTP interface.
    pub http: String,
    /// The file with the token that stops it.
    pub token_file: PathBuf,
    /// By what its certificate is known; none where it speaks plain HTTP.
    pub fingerprint: Option<String>,
}

/// A tracker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// As a node could not.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The directory cannot be used.
    #[error("cannot use {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
    /// Another one runs on it.
    #[error(transparent)]
    Held(#[from] PidFileError),
}

/// What the links and the interface of a tracker share.
#[derive(Debug)]
struct Tracker {
    genesis: Genesis,
    genesis_text: Bytes,
    name: String,
    network: Network,
    registry: Mutex<Registry>,
    looker: Looker,
    ttl_ms: u64,
    addresses: Vec<PeerAddress>,
    file: PathBuf,
    token: Token,
    stop: watch::Sender<bool>,
}

/// Runs a tracker until it is told to stop, by SIGINT, SIGTERM or over its interface; a second signal ends the program at once.
///
/// # Errors
///
/// [`TrackerError`] if it could not be started.
pub fn run(settings: TrackerSettings, ready: impl FnOnce(&Ready)) -> Result<(), TrackerError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(ServiceError::Threads)?;
    let (stop, stopped) = watch::channel(false);
    watch_signals(&runtime, stop.clone()).map_err(ServiceError::Threads)?;
    let ended = runtime.block_on(serve(settings, stop, stopped, ready));
    runtime.shutdown_background();
    ended
}

async fn serve(
    settings: TrackerSettings,
    stop: watch::Sender<bool>,
    mut stopped: watch::Receiver<bool>,
    ready: impl FnOnce(&Ready),
) -> Result<(), TrackerError> {
    let TrackerSettings {
        genesis,
        directory,
        name,
        listen,
        exposure,
        ttl,
        addresses,
        runtime_directory,
        features,
    } = settings;
    create_private_directory(&directory)
        .map_err(|source| TrackerError::Directory { path: directory.clone(), source })?;
    let lock = PidFile::claim(&directory.join("lock"))?;
    let listener = bind(exposure.bind)?;
    let cannot_bind = |source| ServiceError::Bind { address: exposure.bind, source };
    let http = listener.local_addr().map_err(cannot_bind)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(cannot_bind)?;
    let access = exposure.public_access(http, &directory).map_err(ServiceError::from)?;
    let fingerprint = access.identity.as_ref().map(|identity| identity.fingerprint().to_string());

    let file = directory.join(saved::FILE);
    let memory = saved::load(&file);
    let path = directory.join(KEY_FILE);
    let key = NodeKey::load_or_create(&path).map_err(|source| LinkError::Key { path, source });
    let key = key.map_err(ServiceError::from)?;
    let identity = genesis.identity().0;
    let cannot_link = |error| ServiceError::from(LinkError::Start(error));
    let (network, events) = Network::start(Settings {
        name: name.clone(),
        roles: Roles::TRACKER,
        listen,
        tags: tags(),
        limits: LIMITS,
        bans: memory.bans,
        features,
        ..Settings::new(key, identity)
    })
    .await
    .map_err(cannot_link)?;
    let (looker, looks) = Looker::start(identity, name.clone()).await.map_err(cannot_link)?;
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let mut registry = Registry::new(ttl_ms, getrandom::u64().unwrap_or_default());
    registry.restore(memory.nodes, now_ms());
    let due: Vec<Target> = registry.reached().map(|(address, entry)| (*address, entry.node)).collect();
    let token = Token::create(&directory).map_err(ServiceError::from)?;
    let ready_now = Ready {
        id: network.id(),
        p2p: network.listening().to_vec(),
        http: url(&access, http),
        token_file: directory.join(TOKEN_FILE),
        fingerprint,
    };
    let registered = register(&runtime_directory, &record_of(&genesis, &name, &directory, &ready_now))
        .map_err(|source| ServiceError::Register { path: runtime_directory, source })?;
    let tracker = Arc::new(Tracker {
        genesis_text: genesis.to_toml().into(),
        genesis,
        name,
        network,
        registry: Mutex::new(registry),
        looker,
        ttl_ms,
        addresses,
        file,
        token,
        stop,
    });
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), commit = env!("CAIRN_COMMIT"),
        network = %tracker.genesis.section().network.name, identity = %tracker.genesis.identity(),
        directory = %directory.display(), known = due.len(), http = ready_now.http, "tracker started"
    );
    due.into_iter().for_each(|target| tracker.look(target));
    let router = routes::routes(Arc::clone(&tracker));
    let serving = server::serve(listener, router, access, HttpMetrics::default(), stopped.clone());
    let server = tokio::spawn(serving);
    tokio::spawn(Arc::clone(&tracker).run(events, looks));
    let supervisor = Supervisor::of_process();
    if let Some(supervisor) = &supervisor {
        supervisor.tell_ready(&format!("tracker, {}", ready_now.http));
    }
    ready(&ready_now);

    let _ = stopped.wait_for(|stop| *stop).await;
    if let Some(supervisor) = &supervisor {
        supervisor.tell_stopping();
    }
    tracker.network.stop().await;
    // A server that panicked has nothing left to finish.
    let _ = server.await;
    saved::save(&tracker.file, &tracker.memory());
    tracing::info!("tracker stopped");
    Token::remove(&directory);
    drop((registered, lock));
    Ok(())
}

/// What the register of what runs here says about a tracker.
fn record_of(genesis: &Genesis, name: &str, directory: &Path, ready: &Ready) -> RunningNode {
    RunningNode {
        kind: Kind::Tracker,
        pid: std::process::id(),
        name: name.to_owned(),
        api: ready.http.clone(),
        network: genesis.section().network.name.clone(),
        identity: genesis.identity().to_string(),
        data_dir: directory.to_owned(),
        token_file: ready.token_file.clone(),
        fingerprint: ready.fingerprint.clone(),
    }
}

impl Tracker {
    /// Listens to nodes until the network stops.
    async fn run(self: Arc<Self>, mut events: Events, mut looks: Receiver<(Target, Look)>) {
        let mut turns = tokio::time::interval(TURN_TIME);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut saved = Vec::new();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                Some(((address, node), look)) = looks.recv() => {
                    tracing::debug!(%address, %node, ?look, "looked");
                    self.registry().note_look(address, node, look, now_ms());
                }
                _ = turns.tick() => self.turn(&mut saved).await,
            }
        }
    }

    fn take(self: &Arc<Self>, event: Event) {
        match event {
            Event::Joined { peer, info } => self.join(peer, &info),
            Event::Left { peer, node, reason } => self.leave(peer, node, &reason),
            Event::Asked { peer, frame, answer } => self.answer(peer, &frame, answer),
            Event::AddressesAsked { peer } => {
                let Some(info) = self.network.peer(peer) else { return };
                let records = self.registry().records(info.node, info.remote.ip(), now_ms());
                // Whoever takes nothing more needs no addresses.
                let _ = self.network.tell_addresses(peer, &records);
            }
            Event::Banned { bans } => {
                for ban in bans {
                    tracing::warn!(until_ms = ban.until_ms, "peer banned");
                }
            }
            // A tracker names whom it has met, not of whom it has heard; it asks for nothing and dials nobody.
            Event::Addresses { .. }
            | Event::Frame { .. }
            | Event::Answer { .. }
            | Event::AnswerEnded { .. }
            | Event::DialFailed { .. }
            | Event::Nearby { .. }
            | Event::Reachability(_) => {}
        }
    }

    fn join(&self, peer: PeerNumber, info: &PeerInfo) {
        tracing::info!(%peer, node = %info.node, remote = %info.remote, name = %info.hello.name, "node joined");
        let visitor = Visitor {
            node: info.node,
            name: info.hello.name.to_string(),
            roles: info.hello.roles,
            remote: info.remote,
            listen: info.listen.clone(),
        };
        let due = self.registry().note(&visitor, now_ms());
        for address in due {
            let node = self.registry().node_at(address);
            node.into_iter().for_each(|node| self.look((address, node)));
        }
        let linked = self.network.peers();
        let inbound = linked.iter().filter(|peer| peer.direction == Direction::Inbound);
        if inbound.clone().count() > LINKS_KEPT_MAX
            && let Some(longest) = inbound.min_by_key(|peer| peer.number)
        {
            self.network
                .disconnect(longest.number, Bye::new(ByeCode::Full, "others want to ask; come again"));
        }
    }

    fn leave(&self, peer: PeerNumber, node: NodeId, reason: &LeaveReason) {
        tracing::info!(%peer, %node, %reason, "node left");
        // Whoever just went, or links anew to ask again, may be back at any time; one that stops is gone.
        if matches!(reason, LeaveReason::Theirs(bye) if bye.code == ByeCode::Leaving) {
            self.registry().leave(node);
        }
    }

    fn answer(self: &Arc<Self>, peer: PeerNumber, frame: &Frame, answer: AnswerStream) {
        let Ok(Message::GetGenesis(identity)) = message_of(frame) else {
            return self.network.strike(peer, Offence::Malformed);
        };
        let tracker = Arc::clone(self);
        tokio::spawn(async move {
            if identity != *tracker.genesis.identity() {
                let end = BulkEnd::new(EndCode::Unavailable, "this is another network");
                return answer.end(end).await;
            }
            let text = std::str::from_utf8(&tracker.genesis_text).expect("it was made from a text");
            send_genesis_text(text, answer).await;
        });
    }

    fn look(&self, target: Target) {
        if !self.looker.look(target) {
            tracing::warn!(address = %target.0, "too many addresses wait to be looked at");
        }
    }

    /// Those that are there are seen, those that are not are forgotten, and what is known is saved.
    async fn turn(self: &Arc<Self>, saved: &mut Vec<u8>) {
        let linked: Vec<NodeId> = self.network.peers().iter().map(|peer| peer.node).collect();
        {
            let mut registry = self.registry();
            registry.touch(&linked, now_ms());
            registry.expire(now_ms());
        }
        let bytes = self.memory();
        if bytes != *saved {
            saved.clone_from(&bytes);
            let file = self.file.clone();
            // A file and a sync of the disk: others go on meanwhile.
            let _ = tokio::task::spawn_blocking(move || saved::save(&file, &bytes)).await;
        }
    }

    fn memory(&self) -> Vec<u8> {
        saved::to_bytes(self.registry().reached(), &self.network.bans())
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nothing under the lock can panic halfway through a change.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The only question beyond the link itself that a tracker answers.
fn tags() -> Tags {
    let (tag, body_bytes_max) = BULK_TAGS
        .into_iter()
        .find(|(tag, _)| tag.0 == GENESIS_QUESTION)
        .expect("the question for a genesis is a message");
    let tag = Tag::from_bytes(&tag.0).expect("the tags of messages are three letters");
    Tags::new().with(Place::Ask, tag, TagRule { body_bytes_max, rate: Some(GENESIS_RATE) })
}
