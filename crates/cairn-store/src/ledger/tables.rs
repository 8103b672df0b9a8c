//! The schema of the database, and its rows as bytes.
//!
//! | table | key | value |
//! |---|---|---|
//! | `tip` | – | format, identity, height, id, end of the log, flush, number of accounts |
//! | `headers` | height | header, id, place in the log, number of accounts, crc32c of all that |
//! | `undo` | height | what takes the state back from the block |
//! | `history` | level, index | a complete subtree of the history tree |
//! | `side` | id | header and place in the log of a block that is not on the chain |
//! | `ids` | runs | block id and place in the log |
//! | `transactions` | runs | first eight bytes of a transaction id, height, place in the block |
//! | `touched` | runs | account, height, place in the block |
//! | `pages`, `deltas` | page; flush, row | accounts, see [`accounts`](super::accounts) |
//!
//! Rows above the tip, and index entries of blocks that left the chain, may be left over; whoever
//! reads compares them with the chain.

use cairn_core::account::AccountIndex;
use cairn_core::block::Header;
use cairn_core::codec::{Encode as _, decode_exact};
use cairn_core::hash::BlockId;
use cairn_core::history::HistoryNode;
use cairn_core::numbers::Height;
use cairn_core::state::Undo;
use cairn_core::store::PAYMENT_PLACE;
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
    TableError, WriteTransaction,
};

use super::FORMAT;
use super::accounts::ROTATION;
use super::flusher::Job;
use super::overlay::Recent;
use crate::error::StoreError;
use crate::log::Position;
use crate::runs::Runs;

const TIP: TableDefinition<'_, (), &[u8]> = TableDefinition::new("tip");
const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
const UNDO: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("undo");
const HISTORY: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("history");
const SIDE: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("side");
const PAGES: TableDefinition<'_, u32, (u64, &[u8])> = TableDefinition::new("pages");
const DELTAS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("deltas");
const IDS: Runs<40> = Runs::new("ids");
const TRANSACTIONS: Runs<16> = Runs::new("transactions");
const TOUCHED: Runs<12> = Runs::new("touched");

/// Heights in the indexes take five bytes, places three.
const HEIGHT_BYTES: usize = 5;
/// The place that stands for the payments at the end of a block.
const PAYMENT: u32 = 0x00ff_ffff;

/// What the database stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) format: u32,
    pub(super) identity: [u8; 32],
    pub(super) height: Height,
    pub(super) id: BlockId,
    pub(super) log_end: Position,
    pub(super) flush: u64,
    pub(super) accounts: u32,
}

impl Tip {
    const BYTES: usize = 4 + 32 + 8 + 32 + Position::BYTES + 8 + 4;

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(self.format.to_le_bytes());
        bytes.extend(self.identity);
        bytes.extend(self.height.0.to_le_bytes());
        bytes.extend(self.id.0);
        bytes.extend(self.log_end.to_bytes());
        bytes.extend(self.flush.to_le_bytes());
        bytes.extend(self.accounts.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, bytes) = bytes.split_first_chunk()?;
        let (identity, bytes) = bytes.split_first_chunk()?;
        let (height, bytes) = bytes.split_first_chunk()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let (log_end, bytes) = bytes.split_first_chunk()?;
        let (flush, bytes) = bytes.split_first_chunk()?;
        let (accounts, rest) = bytes.split_first_chunk()?;
        rest.is_empty().then_some(Self {
            format: u32::from_le_bytes(*format),
            identity: *identity,
            height: Height(u64::from_le_bytes(*height)),
            id: BlockId(*id),
            log_end: Position::from_bytes(*log_end),
            flush: u64::from_le_bytes(*flush),
            accounts: u32::from_le_bytes(*accounts),
        })
    }
}

/// The parts of the database, in bytes as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Headers.
    pub headers: u64,
    /// What takes blocks back.
    pub undo: u64,
    /// Accounts.
    pub state: u64,
    /// Indexes of blocks, transactions and accounts.
    pub indexes: u64,
    /// The history tree.
    pub history: u64,
}

/// Opens a table that a new database does not have.
fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
    match transaction.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the database stands for; none if it is new.
pub(super) fn tip(transaction: &ReadTransaction) -> Result<Option<Tip>, StoreError> {
    let Some(table) = open(transaction, TIP)? else { return Ok(None) };
    let Some(row) = table.get(())? else { return Ok(None) };
    Tip::from_bytes(row.value()).map(Some).ok_or(StoreError::Row { table: "tip" })
}

/// A row of `headers`.
pub(super) fn header(transaction: &ReadTransaction, height: Height) -> Result<Option<HeaderRow>, StoreError> {
    let Some(table) = open(transaction, HEADERS)? else { return Ok(None) };
    let Some(row) = table.get(height.0)? else { return Ok(None) };
    HeaderRow::from_bytes(row.value()).map(Some).ok_or(StoreError::Row { table: "headers" })
}

/// The rows of `headers` from `first` to `last`.
pub(super) fn headers(
    transaction: &ReadTransaction,
    first: Height,
    last: Height,
) -> Result<Vec<HeaderRow>, StoreError> {
    let Some(table) = open(transaction, HEADERS)? else { return Ok(Vec::new()) };
    let mut headers = Vec::new();
    for row in table.range(first.0..=last.0)? {
        let (_, row) = row?;
        headers.push(HeaderRow::from_bytes(row.value()).ok_or(StoreError::Row { table: "headers" })?);
    }
    Ok(headers)
}

/// A kept block, as the tables `headers` and `side` know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderRow {
    pub(super) id: BlockId,
    pub(super) header: Header,
    pub(super) position: Position,
    /// How many accounts there are after the block; 0 for a block that is not on the chain.
    pub(super) accounts: u32,
}

impl HeaderRow {
    pub(super) fn of(recent: &Recent) -> Self {
        let Recent { id, header, position, accounts, .. } = recent;
        Self { id: *id, header: header.clone(), position: *position, accounts: *accounts }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut row = self.header.to_bytes();
        row.extend(self.id.0);
        row.extend(self.position.to_bytes());
        row.extend(self.accounts.to_le_bytes());
        row.extend(crc32c::crc32c(&row).to_le_bytes());
        row
    }

    fn from_bytes(row: &[u8]) -> Option<Self> {
        // A start stands on these rows, so they are checked before anything is built on them.
        let (row, sum) = row.split_last_chunk()?;
        if crc32c::crc32c(row) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (row, accounts) = row.split_last_chunk()?;
        let (row, position) = row.split_last_chunk()?;
        let (row, id) = row.split_last_chunk()?;
        Some(Self {
            id: BlockId(*id),
            header: decode_exact(row).ok()?,
            position: Position::from_bytes(*position),
            accounts: u32::from_le_bytes(*accounts),
        })
    }
}

/// Where a block lies, on any branch.
pub(super) fn position(transaction: &ReadTransaction, id: &BlockId) -> Result<Option<Position>, StoreError> {
    let found = IDS.lookup_prefix(transaction, &id.0, 1)?;
    let position = found.first().and_then(|entry| entry.last_chunk());
    Ok(position.map(|position| Position::from_bytes(*position)))
}

/// What takes the state back from the block at a height.
pub(super) fn undo(transaction: &ReadTransaction, height: Height) -> Result<Option<Undo>, StoreError> {
    let Some(table) = open(transaction, UNDO)? else { return Ok(None) };
    let Some(row) = table.get(height.0)? else { return Ok(None) };
    Undo::from_stored_bytes(row.value()).map(Some).map_err(|_| StoreError::Row { table: "undo" })
}

/// A complete subtree of the history tree: 2^level blocks from `index · 2^level` on.
pub(super) fn history_node(
    transaction: &ReadTransaction,
    level: u8,
    index: u64,
) -> Result<Option<HistoryNode>, StoreError> {
    let Some(table) = open(transaction, HISTORY)? else { return Ok(None) };
    let Some(row) = table.get((level, index))? else { return Ok(None) };
    decode_exact(row.value()).map(Some).map_err(|_| StoreError::Row { table: "history" })
}

/// Kept blocks that are not on the chain.
pub(super) fn side(transaction: &ReadTransaction) -> Result<Vec<HeaderRow>, StoreError> {
    let Some(table) = open(transaction, SIDE)? else { return Ok(Vec::new()) };
    let mut side = Vec::new();
    for row in table.iter()? {
        let (_, row) = row?;
        side.push(HeaderRow::from_bytes(row.value()).ok_or(StoreError::Row { table: "side" })?);
    }
    Ok(side)
}

/// Hands every page and every row of a delta, in the order of the flushes, to whoever reads accounts.
pub(super) fn read_accounts(
    transaction: &ReadTransaction,
    mut page: impl FnMut(u32, u64, &[u8]) -> Option<()>,
    mut delta: impl FnMut(u64, &[u8]) -> Option<()>,
) -> Result<(), StoreError> {
    if let Some(table) = open(transaction, PAGES)? {
        for row in table.iter()? {
            let (number, row) = row?;
            let (flush, accounts) = row.value();
            page(number.value(), flush, accounts).ok_or(StoreError::Row { table: "pages" })?;
        }
    }
    if let Some(table) = open(transaction, DELTAS)? {
        for row in table.iter()? {
            let (key, row) = row?;
            delta(key.value().0, row.value()).ok_or(StoreError::Row { table: "deltas" })?;
        }
    }
    Ok(())
}

/// Heights and places that may hold a transaction with an id that begins with `prefix`.
pub(super) fn transactions(
    transaction: &ReadTransaction,
    prefix: u64,
) -> Result<Vec<(Height, u32)>, StoreError> {
    /// More transactions with the same eight bytes cost their maker 2⁶⁴ hashes each.
    const SAME_PREFIX_MAX: usize = 64;
    let found = TRANSACTIONS.lookup_prefix(transaction, &prefix.to_be_bytes(), SAME_PREFIX_MAX)?;
    Ok(found.iter().filter_map(|entry| decode_place(entry.last_chunk()?)).collect())
}

/// The last places at which an account was touched, the highest first, all below `below`.
pub(super) fn touched(
    transaction: &ReadTransaction,
    account: AccountIndex,
    below: (Height, u32),
    limit: usize,
) -> Result<Vec<(Height, u32)>, StoreError> {
    let below = touched_entry(account, below.0, below.1);
    let found =
        TOUCHED.lookup_prefix_backwards(transaction, &account.0.to_be_bytes(), Some(&below), limit)?;
    Ok(found.iter().filter_map(|entry| decode_place(entry.last_chunk()?)).collect())
}

fn encode_place(height: Height, place: u32) -> [u8; 8] {
    let height = height.0.to_be_bytes();
    let place = if place == PAYMENT_PLACE { PAYMENT } else { place }.to_be_bytes();
    let mut bytes = [0; 8];
    bytes[..HEIGHT_BYTES].copy_from_slice(&height[8 - HEIGHT_BYTES..]);
    bytes[HEIGHT_BYTES..].copy_from_slice(&place[1..]);
    bytes
}

fn decode_place(bytes: &[u8; 8]) -> Option<(Height, u32)> {
    let (height, place) = bytes.split_at_checked(HEIGHT_BYTES)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let place = u32::try_from(number(place)).ok()?;
    Some((Height(number(height)), if place == PAYMENT { PAYMENT_PLACE } else { place }))
}

fn touched_entry(account: AccountIndex, height: Height, place: u32) -> [u8; 12] {
    let mut entry = [0; 12];
    entry[..4].copy_from_slice(&account.0.to_be_bytes());
    entry[4..].copy_from_slice(&encode_place(height, place));
    entry
}

/// Writes a job, in the caller's transaction.
pub(super) fn write(transaction: &WriteTransaction, job: &Job, identity: [u8; 32]) -> Result<(), StoreError> {
    write_blocks(transaction, job)?;
    write_indexes(transaction, job)?;
    {
        let mut table = transaction.open_table(SIDE)?;
        table.retain(|_, _| false)?;
        for row in &job.side {
            table.insert(row.id.0, row.to_bytes().as_slice())?;
        }
    }
    let rows = &job.accounts;
    {
        let mut table = transaction.open_table(PAGES)?;
        for (page, accounts) in &rows.pages {
            table.insert(page, (rows.flush, accounts.as_slice()))?;
        }
        let mut table = transaction.open_table(DELTAS)?;
        for (piece, row) in (0u32..).zip(&rows.delta) {
            table.insert((rows.flush, piece), row.as_slice())?;
        }
        // Every page was written within the last sixteen flushes, so older deltas say nothing new.
        if let Some(old) = rows.flush.checked_sub(u64::from(ROTATION)) {
            table.retain_in(..=(old, u32::MAX), |_, _| false)?;
        }
    }
    let id = match job.blocks.last() {
        Some((_, block)) => block.id,
        None => job.tip_id,
    };
    let tip = Tip {
        format: FORMAT,
        identity,
        height: job.tip,
        id,
        log_end: job.log_end,
        flush: rows.flush,
        accounts: rows.count,
    };
    transaction.open_table(TIP)?.insert((), tip.to_bytes().as_slice())?;
    Ok(())
}

fn write_blocks(transaction: &WriteTransaction, job: &Job) -> Result<(), StoreError> {
    let mut headers = transaction.open_table(HEADERS)?;
    let mut undo = transaction.open_table(UNDO)?;
    let mut history = transaction.open_table(HISTORY)?;
    let lowest = job.tip.0.saturating_sub(job.undo_window);
    for (height, block) in &job.blocks {
        headers.insert(height.0, HeaderRow::of(block).to_bytes().as_slice())?;
        if height.0 > lowest {
            undo.insert(height.0, block.undo.to_stored_bytes().as_slice())?;
        }
        for (level, node) in (0u8..).zip(&block.history) {
            history.insert((level, height.0 >> level), node.to_bytes().as_slice())?;
        }
    }
    undo.retain_in(..=lowest, |_, _| false)?;
    Ok(())
}

fn write_indexes(transaction: &WriteTransaction, job: &Job) -> Result<(), StoreError> {
    let mut ids: Vec<[u8; 40]> = Vec::with_capacity(job.appended.len());
    for (id, position) in &job.appended {
        let mut entry = [0; 40];
        entry[..32].copy_from_slice(&id.0);
        entry[32..].copy_from_slice(&position.to_bytes());
        ids.push(entry);
    }
    ids.sort_unstable();
    IDS.add_run(transaction, &ids)?;

    let mut transactions: Vec<[u8; 16]> = Vec::new();
    let mut touched: Vec<[u8; 12]> = Vec::new();
    for (height, block) in &job.blocks {
        for (prefix, place) in &block.transactions {
            let mut entry = [0; 16];
            entry[..8].copy_from_slice(&prefix.to_be_bytes());
            entry[8..].copy_from_slice(&encode_place(*height, *place));
            transactions.push(entry);
        }
        touched.extend(block.touched.iter().map(|(account, place)| touched_entry(*account, *height, *place)));
    }
    transactions.sort_unstable();
    touched.sort_unstable();
    TRANSACTIONS.add_run(transaction, &transactions)?;
    TOUCHED.add_run(transaction, &touched)
}

/// How large the parts of the database are. Walks all of it: for reports, not for every day.
pub(super) fn sizes(transaction: &ReadTransaction) -> Result<Sizes, StoreError> {
    fn stored<K: redb::Key + 'static, V: redb::Value + 'static>(
        transaction: &ReadTransaction,
        table: TableDefinition<'_, K, V>,
    ) -> Result<u64, StoreError> {
        Ok(open(transaction, table)?
            .map_or(Ok(0), |table| table.stats().map(|stats| stats.stored_bytes()))?)
    }
    let indexes = 40 * IDS.count(transaction)?
        + 16 * TRANSACTIONS.count(transaction)?
        + 12 * TOUCHED.count(transaction)?;
    Ok(Sizes {
        headers: stored(transaction, HEADERS)? + stored(transaction, SIDE)?,
        undo: stored(transaction, UNDO)?,
        state: stored(transaction, PAGES)? + stored(transaction, DELTAS)?,
        indexes,
        history: stored(transaction, HISTORY)?,
    })
}
