//! Opening a ledger: what the database holds is loaded, and what it lacks is found in the log.

use std::sync::{Arc, Mutex, RwLock};

use cairn_core::block::Header;
use cairn_core::codec::{Decode as _, Reader};
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::genesis::Genesis;
use cairn_core::hash::{BlockId, StatePath};
use cairn_core::history::{History, HistoryNode};
use cairn_core::numbers::{FeeRate, Height};
use cairn_core::state::{State, Undo};
use cairn_core::store::Loaded;
use cairn_core::transaction::Transaction;

use super::accounts::{AccountRows, AccountsReader, AccountsWriter, encode_all};
use super::database::{self, Database};
use super::flusher::{Flusher, Job};
use super::overlay::{Overlay, Recent};
use super::tables::{self, Origin, Tip};
use super::{FORMAT, Ledger, Settings, Shared};
use crate::backend::Disk;
use crate::error::{Damage, StoreError};
use crate::log::{Log, Position, Scan, Torn, refuse_foreign};

/// A ledger that was opened, and what its owner does next.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Ledger,
    /// What a node goes on from.
    pub loaded: Loaded,
    /// The blocks of the log that the database does not know: the owner checks each, tells the
    /// ledger with [`Ledger::adopt`] and replays it.
    pub replay: Scan,
    /// How many bytes of the log are to be replayed, about.
    pub replay_bytes: u64,
    /// The transactions of the mempool's log, oldest first; some may be in blocks by now.
    pub transactions: Vec<Vec<u8>>,
    /// Whether the database had to be made anew, and why.
    pub rebuilt: Option<Rebuilt>,
    /// The tails that a crash left in the logs of blocks and of the mempool, and that were cut.
    pub torn: [Option<Torn>; 2],
}

/// Why the database is built again from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// There was none.
    Missing,
    /// It could not be read, or its accounts did not have the root of its tip.
    Damaged,
    /// An older release wrote it, in another format.
    Older,
}

impl Ledger {
    /// Opens the ledger of a network in a directory, or creates it.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongNetwork`] and [`StoreError::NewerFormat`], and then nothing was changed;
    /// [`StoreError::Damaged`] where the log is not what was written; or the disk fails.
    pub fn open(disk: &Arc<dyn Disk>, genesis: &Genesis, settings: Settings) -> Result<Opened, StoreError> {
        // A cache that cannot be read is thrown away; the log has everything.
        let mut rebuilt = Rebuilt::Damaged;
        if !database::is_marked(&**disk)? {
            match open_once(disk, genesis, settings) {
                Err(StoreError::OlderFormat { .. }) => rebuilt = Rebuilt::Older,
                Err(error) if error.is_damaged_database() => {}
                outcome => return outcome,
            }
        }
        // Another network's or a newer release's database is not ours to throw away.
        let identity = genesis.identity().0;
        for name in ["blocks", "mempool"] {
            refuse_foreign(&directory(disk, name)?, name, identity)?;
        }
        // Nothing but the database knows of a record that the log lost whole: a log that ends before
        // what it stands for is reported while that can still be known, and at each further start.
        if let Some(log_end) = database::read_log_end(disk, settings.cache_bytes, identity) {
            let (blocks, _) =
                Log::open(directory(disk, "blocks")?, "blocks", identity, settings.log, Some(log_end))?;
            check_end(&blocks, log_end)?;
        }
        database::remove(&**disk)?;
        let mut opened = open_once(disk, genesis, settings)?;
        opened.rebuilt = Some(rebuilt);
        Ok(opened)
    }
}

fn directory(disk: &Arc<dyn Disk>, name: &str) -> Result<Arc<dyn Disk>, StoreError> {
    disk.directory(name).map_err(|source| StoreError::io("open", disk.path(), source))
}

/// Refuses a log that ends before what the database stands for.
fn check_end(blocks: &Log, expected: Position) -> Result<(), StoreError> {
    let found = blocks.end();
    if expected > found { Err(StoreError::LogBehind { found, expected }) } else { Ok(()) }
}

fn open_once(disk: &Arc<dyn Disk>, genesis: &Genesis, settings: Settings) -> Result<Opened, StoreError> {
    let identity = genesis.identity().0;
    let blocks = directory(disk, "blocks")?;
    let mempool = directory(disk, "mempool")?;
    // To open the database after a crash is to repair it, which only its own release may do.
    refuse_foreign(&blocks, "blocks", identity)?;
    refuse_foreign(&mempool, "mempool", identity)?;
    let database = Database::open(disk, settings.cache_bytes)?;
    if let Some(origin) = database.read(tables::origin)? {
        check_origin(&**disk, origin, identity)?;
    }
    let tip = database.read(tables::tip)?;

    let log_end = tip.map(|tip| tip.log_end);
    let (mut blocks, opened_blocks) = Log::open(blocks, "blocks", identity, settings.log, log_end)?;
    let (mempool, opened_mempool) = Log::open(mempool, "mempool", identity, settings.log, None)?;
    let mut transactions = Vec::new();
    for record in mempool.scan(mempool.start()) {
        split_transactions(&record?.1, &mut transactions);
    }
    let is_new = blocks.end() == blocks.start();
    let first = begin_log(&mut blocks, genesis)?;

    let consensus = Consensus::new(genesis.rules().clone())?;
    let (tip, rebuilt) = match tip {
        Some(tip) => (tip, None),
        None => {
            let tip = write_genesis(&database, genesis, &consensus, &blocks, first)?;
            (tip, (!is_new).then_some(Rebuilt::Missing))
        }
    };
    check_end(&blocks, tip.log_end)?;
    let loaded = database.read(|transaction| load(transaction, &tip, genesis, settings.undo_window))?;
    let side = database.read(tables::side)?;

    let overlay = Overlay::new(tip.height);
    let shared = Arc::new(Shared {
        blocks: blocks.reader(),
        database: RwLock::new(Some(database)),
        flushing: Mutex::new(()),
        overlay: RwLock::new(Arc::new(overlay.clone())),
    });
    let flusher = Flusher::spawn(Arc::clone(&shared), Arc::clone(disk), settings.cache_bytes, identity);
    let flusher =
        flusher.map_err(|source| StoreError::io("start the thread that writes", disk.path(), source))?;
    let replay = blocks.scan(tip.log_end);
    let replay_bytes = blocks.bytes_since(tip.log_end);
    let ledger = Ledger {
        shared,
        blocks,
        mempool,
        settings,
        overlay,
        unshown: Vec::new(),
        appended: Vec::new(),
        side: side.into_iter().map(|row| (row.id, row)).collect(),
        accounts: AccountsWriter::new(tip.flush, tip.accounts),
        noted_end: tip.log_end,
        prepared: None,
        tip_id: tip.id,
        undo_first: tip.undo_first,
        flusher,
    };
    let torn = [opened_blocks.torn, opened_mempool.torn];
    Ok(Opened { ledger, loaded, replay, replay_bytes, transactions, rebuilt, torn })
}

/// Takes apart a record of the mempool's log: transactions one behind the other. What is none is
/// handed on as it is, for whoever judges them.
fn split_transactions(record: &[u8], transactions: &mut Vec<Vec<u8>>) {
    let mut reader = Reader::new(record);
    while reader.remaining() > 0 {
        let start = reader.position();
        if Transaction::decode(&mut reader).is_err() {
            transactions.push(record.get(start..).unwrap_or_default().to_vec());
            return;
        }
        transactions.push(reader.since(start).to_vec());
    }
}

fn check_origin(disk: &dyn Disk, origin: Origin, identity: [u8; 32]) -> Result<(), StoreError> {
    let path = disk.path().join(database::FILE);
    if origin.format > FORMAT {
        return Err(StoreError::NewerFormat { path, found: origin.format, supported: FORMAT });
    }
    if origin.identity != identity {
        return Err(StoreError::WrongNetwork { path, found: origin.identity, expected: identity });
    }
    if origin.format < FORMAT {
        return Err(StoreError::OlderFormat { path, found: origin.format, supported: FORMAT });
    }
    Ok(())
}

/// Sees to it that the log begins with block 0; returns where that lies.
fn begin_log(blocks: &mut Log, genesis: &Genesis) -> Result<Position, StoreError> {
    let bytes = genesis.block_bytes();
    let start = blocks.start();
    if blocks.end() == start {
        let first = blocks.append(&bytes)?;
        blocks.sync()?;
        return Ok(first);
    }
    if blocks.read(start)? == bytes {
        return Ok(start);
    }
    let path = blocks.path_of(start);
    Err(StoreError::Damaged { path, offset: u64::from(start.offset), damage: Damage::Record })
}

/// Fills a new database with block 0.
fn write_genesis(
    database: &Database,
    genesis: &Genesis,
    consensus: &Consensus,
    blocks: &Log,
    first: Position,
) -> Result<Tip, StoreError> {
    let header = &genesis.block().header;
    let id = *genesis.identity();
    let state = genesis.state();
    let mut history = Vec::new();
    consensus.parent_of_next(header, id, None, |node| history.push(*node));
    let recent = Recent {
        id,
        header: header.clone(),
        seal: genesis.block().seal.clone(),
        position: first,
        accounts: state.len(),
        undo: Undo::default(),
        transactions: Vec::new(),
        touched: Vec::new(),
        history,
    };
    let accounts = AccountRows { flush: 0, count: state.len(), delta: Vec::new(), pages: encode_all(&state) };
    let second = blocks.scan(first).nth(1).transpose()?;
    let job = Job {
        tip: Height::GENESIS,
        tip_id: id,
        blocks: vec![(Height::GENESIS, Arc::new(recent))],
        accounts,
        appended: vec![(id, first)],
        side: Vec::new(),
        log_end: second.map_or_else(|| blocks.end(), |(position, _)| position),
        undo_first: Height::GENESIS.next(),
    };
    database.write(|transaction| tables::write(transaction, &job, id.0))?;
    Ok(Tip {
        format: FORMAT,
        identity: id.0,
        height: job.tip,
        id,
        log_end: job.log_end,
        flush: 0,
        accounts: job.accounts.count,
        undo_first: job.undo_first,
    })
}

/// Reads what a node goes on from.
fn load(
    transaction: &redb::ReadTransaction,
    tip: &Tip,
    genesis: &Genesis,
    undo_window: u64,
) -> Result<Loaded, StoreError> {
    let mut state = load_state(transaction, tip, genesis)?;
    let first = Height(tip.height.0.saturating_sub(undo_window));
    let rows = tables::headers(transaction, first, tip.height)?;
    let chain: Vec<(BlockId, Header)> = rows.into_iter().map(|row| (row.id, row.header)).collect();
    let Some((_, last)) = chain.last().filter(|(id, _)| *id == tip.id) else {
        return Err(StoreError::Row { table: "headers" });
    };
    if state.root() != last.state_root {
        return Err(StoreError::WrongRoot);
    }
    let base = first.previous().map(|height| load_parent(transaction, height, genesis)).transpose()?;
    check_links(base.as_ref(), &chain)?;
    let mut side: Vec<(BlockId, Header)> =
        tables::side(transaction)?.into_iter().map(|row| (row.id, row.header)).collect();
    side.sort_by_key(|(_, header)| header.height);
    Ok(Loaded { state, base, chain, side })
}

/// The headers follow one another, and the history below them is the one they commit.
fn check_links(base: Option<&Parent>, chain: &[(BlockId, Header)]) -> Result<(), StoreError> {
    let broken = Err(StoreError::Row { table: "headers" });
    let linked = chain
        .iter()
        .zip(chain.iter().skip(1))
        .all(|((id, parent), (_, child))| child.parent == *id && child.height == parent.height.next());
    let based = match (base, chain.first()) {
        (Some(base), Some((_, first))) => {
            first.parent == base.id
                && first.target == base.next_target
                && first.history_root == base.history.root()
        }
        (None, Some((_, first))) => first.height == Height::GENESIS,
        (_, None) => false,
    };
    if linked && based { Ok(()) } else { broken }
}

fn load_state(
    transaction: &redb::ReadTransaction,
    tip: &Tip,
    genesis: &Genesis,
) -> Result<State, StoreError> {
    let reader = std::cell::RefCell::new(AccountsReader::new(tip.accounts));
    tables::read_accounts(
        transaction,
        |page, flush, row| reader.borrow_mut().read_page(page, flush, row),
        |flush, row| reader.borrow_mut().read_delta(flush, row),
    )?;
    let accounts = reader.into_inner().finish();
    Ok(State::restore(accounts, reserved(genesis)))
}

/// The entries of the state that are not accounts; they never change.
fn reserved(genesis: &Genesis) -> Vec<(StatePath, Vec<u8>)> {
    if genesis.section().mode.authorities().is_empty() {
        return Vec::new();
    }
    let state = genesis.state();
    state.reserved_entries().map(|(path, value)| (path, value.to_vec())).collect()
}

/// What the child of the block at `height` needs to know of it.
fn load_parent(
    transaction: &redb::ReadTransaction,
    height: Height,
    genesis: &Genesis,
) -> Result<Parent, StoreError> {
    let row = tables::header(transaction, height)?;
    let leaf = tables::history_node(transaction, 0, height.0)?;
    let mut peaks: Vec<HistoryNode> = Vec::new();
    let mut start = 0u64;
    let count = height.next().0;
    for level in (0..64u8).rev() {
        let size = 1u64 << level;
        if count & size != 0 {
            peaks.push(tables::history_node(transaction, level, start >> level)?);
            start += size;
        }
    }
    Ok(Parent {
        id: row.id,
        height,
        time: row.header.time,
        next_target: leaf.summary.next_target,
        next_base_fee: next_base_fee(genesis, &row.header),
        history: History::from_peaks(peaks),
    })
}

fn next_base_fee(genesis: &Genesis, header: &Header) -> FeeRate {
    if header.height == Height::GENESIS {
        return genesis.section().fees.floor;
    }
    genesis.rules().next_base_fee(header.base_fee, header.weight_used)
}
