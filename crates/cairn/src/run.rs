//! One running node: its threads, and the handle by which everything else speaks to it.
//!
//! ```text
//!  HTTP ──submit──► checkers ──checked──► node thread ──job──► sealer
//!   ▲                                      │  ▲                  │
//!   └──────────answers, after one sync─────┘  └───────seal───────┘
//! ```
//!
//! # Provided
//!
//! - The node thread alone owns the node and its ledger. All that came while it was busy is one
//!   batch: handled, made durable by one sync, then answered. Nothing leaves before that sync.
//! - Signatures are verified beside it, many at once.
//! - If the node thread fails or panics, the program stops at once: the log is whole, and nothing
//!   that was promised is lost.

mod aside;
mod checkers;
mod journal;
pub mod links;
mod news;
mod opening;
pub mod release;
mod room;
mod sealer;
pub mod service;
mod supervisor;
mod turns;
mod worker;

pub(crate) use news::NEXT_BLOCKS_MAX;
pub use opening::{Progress, RunError};
pub(crate) use sealer::search_in_slices;
pub use sealer::{Hashing, SEALER_THREADS_MAX};
pub(crate) use supervisor::Supervisor;

use crate::events::Events;
use cairn_core::block::CheckedBlock;
use cairn_core::consensus::Consensus;
use cairn_core::genesis::{Genesis, Placeholder};
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::Timestamp;
use cairn_core::target::Work;
use cairn_core::transaction::Transaction;
use cairn_node::chain::{BlockRefusal, Imported};
use cairn_node::mempool::{SubmitError, Submitted};
use cairn_node::peers::PeerInput;
use cairn_node::producer::MineRefusal;
use cairn_node::relay::RelayConfig;
use cairn_node::{Input, MempoolConfig, MiningConfig, MiningMode, Node, NodeConfig, PeerKey};
use cairn_p2p::Credit;
use cairn_store::ledger::{Ledger, Reader};
use cairn_wallet::SigningKey;
use checkers::Checkers;
use links::Links;
use prometheus_client::metrics::counter::Counter;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::oneshot;

/// The most commands that wait for the node thread.
const COMMANDS_MAX: usize = 4096;

/// What a node is started with.
#[derive(Debug)]
pub struct NodeSettings {
    /// The network.
    pub genesis: Genesis,
    /// Where everything is kept.
    pub directory: PathBuf,
    /// Whether and when to make blocks.
    pub mining: MiningConfig,
    /// The key that seals need on a network with listed miners.
    pub miner_key: Option<SigningKey>,
    /// How many threads search for work where the node makes blocks, at most [`SEALER_THREADS_MAX`].
    pub sealer_threads: u16,
    /// How many blocks can be undone.
    pub undo_window: u64,
    /// How much the database may cache, in bytes.
    pub cache_bytes: usize,
    /// The least work of a chain of other nodes that is followed.
    pub minimum_work: Work,
}

impl NodeSettings {
    /// A node that makes no blocks; all else as the genesis advises.
    pub fn new(genesis: Genesis, directory: PathBuf) -> Self {
        let policy = genesis.policy();
        let (extra, placeholder_bytes) = match &policy.placeholder {
            Placeholder::None => (Vec::new(), None),
            Placeholder::Random(count) => (Vec::new(), Some(*count)),
            Placeholder::Text(text) => (text.clone().into_bytes(), None),
        };
        let mining = MiningConfig {
            producer: None,
            mode: MiningMode::Interval,
            interval_ms: genesis.section().interval_ms,
            min_transactions: policy.min_transactions.and_then(|count| usize::try_from(count).ok()),
            max_transactions: usize::try_from(policy.max_transactions).ok(),
            empty_blocks: policy.empty_blocks,
            extra,
            placeholder_bytes,
        };
        Self {
            genesis,
            directory,
            mining,
            miner_key: None,
            sealer_threads: 1,
            undo_window: NodeConfig::default().undo_window,
            cache_bytes: cairn_store::ledger::Settings::default().cache_bytes,
            minimum_work: Work::ZERO,
        }
    }

    fn node_config(&self) -> NodeConfig {
        NodeConfig {
            undo_window: self.undo_window,
            minimum_work: self.minimum_work,
            mempool: MempoolConfig::default(),
            mining: self.mining.clone(),
            relay: RelayConfig { seed: getrandom::u64().unwrap_or_default(), ..RelayConfig::default() },
        }
    }
}

/// A node that runs. Dropping it does not stop it: [`Running::stop`] does.
#[derive(Debug)]
pub struct Running {
    handle: NodeHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Speaks to a running node. Clones speak to the same one.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    genesis: Genesis,
    consensus: Arc<Consensus>,
    commands: SyncSender<Command>,
    checkers: Arc<Checkers>,
    reader: Reader,
    events: Arc<Events>,
    counts: Arc<Counts>,
    meter: Arc<sealer::Meter>,
    sealers: sealer::Sealers,
    undo_window: u64,
    /// The links with other nodes, once there are any.
    links: Arc<OnceLock<Links>>,
}

/// What is counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Blocks that joined the chain.
    pub blocks: Counter,
    /// Times the chain took another branch.
    pub reorganisations: Counter,
    /// Transactions that were confirmed.
    pub confirmed: Counter,
    /// Transactions that were submitted and taken.
    pub accepted: Counter,
    /// Transactions that were submitted and refused.
    pub refused: Counter,
    /// Nonces that were tried in the search for work.
    pub trials: Counter,
    /// Whether something found no room, and a whole block would still find none.
    disk_full: AtomicBool,
}

/// A question that is answered by looking at the node.
type Ask = Box<dyn FnOnce(&Node, &Ledger) + Send>;

/// What the node thread is told.
enum Command {
    /// Transactions whose signatures are judged, by who sent them.
    Submit(Vec<Submission>),
    /// Something that nobody waits for.
    Input(Box<Input>),
    /// Blocks are wanted.
    Mine { blocks: u32, reply: oneshot::Sender<Result<Vec<BlockId>, MineRefusal>> },
    /// A block came.
    Block { block: Box<CheckedBlock>, reply: oneshot::Sender<Result<Imported, BlockRefusal>> },
    /// Something came from a peer at a time: what it has to do in time is judged by that, and not by how long it
    /// waited here. The credit lets it go on when this is handled.
    Peer { at: Timestamp, peer: PeerKey, input: Box<PeerInput>, credit: Option<Box<Credit>> },
    /// Somebody wants to look at the node.
    Ask(Ask),
    /// The end.
    Stop,
}

/// The time by this machine's clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    worker::now().0
}

/// Transactions that came together, judged as far as they can be without the state.
struct Submission {
    transactions: Vec<checkers::Judged>,
    reply: oneshot::Sender<Vec<Judgement>>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Its id; none if it breaks a rule of its own.
    pub id: Option<TransactionId>,
    /// Whether it was taken.
    pub outcome: Result<Submitted, SubmitError>,
}

/// The search for work goes on with as many threads as before.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsRefusal {
    /// The node makes no blocks.
    #[error("this node has no producer and makes no blocks")]
    NoProducer,
    /// So many threads do not search.
    #[error("{threads} threads were asked for, 1 to {SEALER_THREADS_MAX} may search")]
    Count {
        /// How many were asked for.
        threads: u16,
    },
    /// The operating system starts no more.
    #[error("the search goes on with as many threads as before")]
    Start(#[source] RunError),
}

/// The node gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Too much waits already.
    #[error("too much waits for an answer already")]
    Busy,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl Running {
    /// Opens what is kept, replays what the database lacks, and starts the threads. `progress` hears
    /// how far the replay is.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the directory cannot be used, or holds what this release does not run.
    pub fn start(settings: NodeSettings, progress: impl FnMut(Progress)) -> Result<Self, RunError> {
        opening::start(settings, progress)
    }

    /// The handle.
    pub const fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Stops the threads once all that waits is done, and brings the database up to date.
    pub fn stop(self) {
        // The node thread may have ended by itself; then there is nobody to tell.
        let _ = self.handle.shared.commands.send(Command::Stop);
        self.handle.shared.checkers.stop();
        for thread in self.threads {
            let _ = thread.join();
        }
        self.handle.shared.sealers.join();
    }
}

impl NodeHandle {
    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.shared.genesis
    }

    /// The rules of the network.
    pub fn consensus(&self) -> &Arc<Consensus> {
        &self.shared.consensus
    }

    /// Reads blocks and transactions, on any thread.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// The news.
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// What is counted since the start.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// How the node searches for work, and how fast.
    pub fn hashing(&self) -> Hashing {
        self.shared.meter.read(Instant::now())
    }

    /// Whether something found no room on the disk, and a whole block would still find none.
    pub fn is_disk_full(&self) -> bool {
        self.shared.counts.disk_full.load(Ordering::Relaxed)
    }

    /// How many blocks can be undone.
    pub fn undo_window(&self) -> u64 {
        self.shared.undo_window
    }

    /// Judges transactions and keeps those that obey all rules. When this returns, what was taken is
    /// durable. The answers are in the order of the transactions.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`]; after [`NoAnswer::Busy`] nothing was taken.
    pub async fn submit(&self, transactions: Vec<Transaction>) -> Result<Vec<Judgement>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.shared.checkers.check(transactions, reply)?;
        answer.await.map_err(|_| NoAnswer::Stopping)
    }

    /// Looks at the node between two batches of inputs, so that all it sees is of one moment and
    /// durable.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`].
    pub async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node, &Ledger) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let ask = Command::Ask(Box::new(move |node, ledger| {
            // Whoever asked may have gone.
            let _ = reply.send(look(node, ledger));
        }));
        self.command(ask)?;
        answer.await.map_err(|_| NoAnswer::Stopping)
    }

    /// Makes blocks now; returns their ids once all are made.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], or the refusal of the node.
    pub async fn mine(&self, blocks: u32) -> Result<Result<Vec<BlockId>, MineRefusal>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Mine { blocks, reply })?;
        answer.await.map_err(|_| NoAnswer::Stopping)
    }

    /// Takes a block that was checked by itself.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], or the refusal of the node.
    pub async fn import(&self, block: CheckedBlock) -> Result<Result<Imported, BlockRefusal>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Block { block: Box::new(block), reply })?;
        answer.await.map_err(|_| NoAnswer::Stopping)
    }

    /// Makes blocks at other times from now on.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`].
    pub fn set_mining(&self, mode: MiningMode) -> Result<(), NoAnswer> {
        self.command(Command::Input(Box::new(Input::SetMining(mode))))
    }

    /// Searches for work with so many threads from now on, 1 to [`SEALER_THREADS_MAX`].
    ///
    /// # Errors
    ///
    /// [`ThreadsRefusal`]; then as many search as before.
    pub fn set_threads(&self, threads: u16) -> Result<(), ThreadsRefusal> {
        self.shared.sealers.set_threads(threads)
    }

    /// The links with other nodes; none where it has none, or not yet.
    pub fn links(&self) -> Option<&Links> {
        self.shared.links.get()
    }

    fn attach(&self, links: Links) {
        // A node has its links once.
        let _ = self.shared.links.set(links);
    }

    fn checkers(&self) -> &Checkers {
        &self.shared.checkers
    }

    fn command(&self, command: Command) -> Result<(), NoAnswer> {
        self.give(command).map_err(|(_, reason)| reason)
    }

    /// As [`command`](Self::command), but gives back what was not taken.
    fn give(&self, command: Command) -> Result<(), (Box<Command>, NoAnswer)> {
        self.shared.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(command) => (Box::new(command), NoAnswer::Busy),
            TrySendError::Disconnected(command) => (Box::new(command), NoAnswer::Stopping),
        })
    }
}
