//! The start of a node: what is kept is opened, what the database lacks is replayed, what waited
//! waits again, and the threads begin.

use super::checkers::Checkers;
use super::sealer::{Meter, SealerDesk, Sealers, Signer};
use super::worker::{Told, Worker, now};
use super::{COMMANDS_MAX, Command, Counts, NodeHandle, NodeSettings, Running, Shared};
use super::{aside, release, room};
use crate::events::Events;
use cairn_core::block::{BlockError, trust};
use cairn_core::codec::decode_exact;
use cairn_core::consensus::{Consensus, UnsupportedMode};
use cairn_core::store::StoreError as Failure;
use cairn_core::transaction::{CheckedTransaction, IdentifiedTransaction, Transaction, trust_all};
use cairn_node::{Input, Node};
use cairn_store::StoreError;
use cairn_store::backend::{Disk, RealDisk};
use cairn_store::ledger::{self, Ledger};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// The most threads that verify signatures.
const CHECKER_THREADS_MAX: usize = 16;

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the log that are replayed.
    pub done: u64,
    /// Bytes of the log that are to be replayed, about.
    pub total: u64,
}

/// A node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What is kept cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept cannot be replayed.
    #[error("the blocks of the log could not be executed")]
    Replay(#[source] cairn_core::store::StoreError),
    /// The log holds a block that this release does not accept.
    #[error("the log holds a block that breaks a rule")]
    Block(#[source] BlockError),
    /// The network's mode comes with a later release.
    #[error(transparent)]
    Mode(#[from] UnsupportedMode),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Starts a node.
pub(super) fn start(settings: NodeSettings, progress: impl FnMut(Progress)) -> Result<Running, RunError> {
    // Later draws of randomness rely on this one.
    getrandom::u64().map_err(RunError::Random)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&settings.directory)?);
    room::check_start(&settings.directory)?;
    let consensus = Arc::new(Consensus::new(settings.genesis.rules().clone())?);
    let ledger_settings = ledger::Settings {
        undo_window: settings.undo_window,
        cache_bytes: settings.cache_bytes,
        ..ledger::Settings::default()
    };
    let opened =
        aside::or_again(&*disk, aside::MEMPOOL, |_| Ledger::open(&disk, &settings.genesis, ledger_settings));
    let opened = opened.map_err(|error| name_full(error, &settings))?;
    tell_opened(&opened);
    let events = open_events(&disk, &settings).map_err(|error| name_full(error, &settings))?;
    let (node, ledger) = replay(opened, &consensus, &settings, progress)?;
    release::note(&settings.directory);

    let (commands, inbox) = sync_channel(COMMANDS_MAX);
    let checkers = Arc::new(Checkers::default());
    let counts = Arc::new(Counts::default());
    let meter = Arc::new(Meter::new(counts.trials.clone(), Instant::now()));
    let desk = Arc::new(SealerDesk::new(Arc::clone(&meter)));
    let links = Arc::default();
    let told = Told {
        desk: Arc::clone(&desk),
        events: Arc::clone(&events),
        counts: Arc::clone(&counts),
        links: Arc::clone(&links),
    };
    let worker = Worker::new(node, ledger, inbox, told, &settings);
    let reader = worker.reader();
    let mut threads = vec![spawn("node", move || worker.run())?];
    threads.extend(spawn_checkers(&checkers, &consensus, &commands)?);
    let signer = Signer { identity: *consensus.rules().identity(), key: settings.miner_key };
    let sealer_threads = settings.mining.producer.map_or(0, |_| settings.sealer_threads);
    let sealers = Sealers::start(desk, signer, commands.clone(), sealer_threads)?;
    let shared = Arc::new(Shared {
        genesis: settings.genesis,
        consensus,
        commands,
        checkers,
        reader,
        events,
        counts,
        meter,
        sealers,
        undo_window: settings.undo_window,
        links,
    });
    Ok(Running { handle: NodeHandle { shared }, threads })
}

fn spawn_checkers(
    checkers: &Arc<Checkers>,
    consensus: &Arc<Consensus>,
    commands: &SyncSender<Command>,
) -> Result<Vec<JoinHandle<()>>, RunError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(CHECKER_THREADS_MAX);
    (0..cores)
        .map(|number| {
            let (checkers, consensus) = (Arc::clone(checkers), Arc::clone(consensus));
            let commands = commands.clone();
            spawn(&format!("checker {number}"), move || checkers.run(&consensus, &commands))
        })
        .collect()
}

/// A thread without which the node cannot go on: its panic ends the program.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, RunError> {
    let name = name.to_owned();
    let guarded = {
        let name = name.clone();
        move || {
            if catch_unwind(AssertUnwindSafe(body)).is_err() {
                eprintln!("error: thread {name} panicked: the program stops, the log is whole");
                std::process::exit(1);
            }
        }
    };
    std::thread::Builder::new().name(name).spawn(guarded).map_err(RunError::Thread)
}

/// Opens the news. Where their log was lost, ids go on from the microseconds since 1970: a node has
/// fewer news than that, so none is given twice. They stay below 2⁵³, which JavaScript can count.
fn open_events(disk: &Arc<dyn Disk>, settings: &NodeSettings) -> Result<Arc<Events>, StoreError> {
    aside::or_again(&**disk, aside::EVENTS, |attempt| {
        let directory = disk.directory(aside::EVENTS.directory).map_err(|source| StoreError::Io {
            what: "open",
            path: settings.directory.join(aside::EVENTS.directory),
            source,
        })?;
        let first_id = match attempt {
            aside::Attempt::First => 1,
            aside::Attempt::Anew => now().0.saturating_mul(1_000),
        };
        Events::open(directory, settings.genesis.identity().0, first_id)
    })
}

/// Says of every error that is about room on the disk that it is one, and where.
fn name_full(error: StoreError, settings: &NodeSettings) -> StoreError {
    match error {
        StoreError::Full { .. } => error,
        _ if error.is_full() => StoreError::Full { path: settings.directory.clone() },
        _ => error,
    }
}

/// What keeps a replay from going on.
fn replay_error(error: Failure, settings: &NodeSettings) -> RunError {
    match error {
        Failure::Full(_) => StoreError::Full { path: settings.directory.clone() }.into(),
        Failure::Failed(_) => RunError::Replay(error),
    }
}

fn tell_opened(opened: &ledger::Opened) {
    if let Some(rebuilt) = opened.rebuilt {
        tracing::warn!(?rebuilt, "the database is built again from the log");
    }
    for torn in opened.torn.iter().flatten() {
        tracing::warn!(bytes = torn.bytes, "a torn tail of the log was cut");
    }
}

/// Brings the node to where the log is, and gives it what waited.
fn replay(
    opened: ledger::Opened,
    consensus: &Consensus,
    settings: &NodeSettings,
    mut progress: impl FnMut(Progress),
) -> Result<(Node, Ledger), RunError> {
    let ledger::Opened { mut ledger, loaded, replay, replay_bytes, transactions, .. } = opened;
    let mut node = Node::new(consensus.clone(), settings.node_config(), loaded);
    let mut done = 0;
    for record in replay {
        let (position, bytes) = record?;
        done += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let block = trust(bytes.into(), consensus).map_err(RunError::Block)?;
        ledger.adopt(&block, position);
        node.handle(now(), Input::Replay(block), &mut ledger)
            .map_err(|error| replay_error(error, settings))?;
        progress(Progress { done, total: replay_bytes.max(done) });
    }
    let waiting = transactions.iter().filter_map(|bytes| read_kept(bytes, consensus)).collect();
    node.handle(now(), Input::Restore(waiting), &mut ledger)
        .map_err(|error| replay_error(error, settings))?;
    cairn_core::store::Store::sync(&mut ledger).map_err(|error| replay_error(error, settings))?;
    Ok((node, ledger))
}

/// A transaction of the mempool's log. Its signature was verified before it was written.
fn read_kept(bytes: &[u8], consensus: &Consensus) -> Option<CheckedTransaction> {
    let transaction: Transaction = decode_exact(bytes).ok()?;
    let identified = IdentifiedTransaction::new(transaction, consensus.rules().identity());
    trust_all(vec![identified], consensus.rules()).ok()?.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command as Program;

    /// Set in the process that is to end.
    const VARIABLE: &str = "CAIRN_TEST_OF_PANIC";

    #[test]
    fn a_thread_that_panics_ends_the_program_with_a_message() {
        if std::env::var_os(VARIABLE).is_some() {
            spawn("sealer 0", || panic!("on purpose")).unwrap().join().unwrap();
            return;
        }
        let (_crate, module) = module_path!().split_once("::").unwrap();
        let name = format!("{module}::a_thread_that_panics_ends_the_program_with_a_message");
        let mut program = Program::new(std::env::current_exe().unwrap());
        let ended = program.args([&name, "--exact", "--nocapture"]).env(VARIABLE, "1").output().unwrap();
        let message = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{message}");
        assert!(message.contains("error: thread sealer 0 panicked"), "{message}");
    }
}
