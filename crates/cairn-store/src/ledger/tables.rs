//! The schema of the database, and its rows as bytes.
//!
//! | table | key | value |
//! |---|---|---|
//! | `tip` | – | format, identity, height, id, end of the log, flush, number of accounts, first undo |
//! | `headers` | height | header, seal, id, place in the log, number of accounts |
//! | `undo` | height | what takes the state back from the block |
//! | `history` | level, index | a complete subtree of the history tree |
//! | `side` | id | header, seal and place in the log of a block that is not on the chain |
//! | `ids` | runs | block id and place in the log |
//! | `transactions` | runs | first eight bytes of a transaction id, height, place in the block |
//! | `touched` | runs | account, height, place in the block |
//! | `pages`, `deltas` | page; flush, row | accounts, see [`accounts`](super::accounts) |
//!
//! Every row but those of accounts ends with a checksum of its key and its value (see
//! [`row`](crate::row)); the accounts of a start are compared with the state root of its tip.
//!
//! Damage in a page above a row can hide the row from whoever looks for it. So a row that must be there
//! is asked for by its key, and that of `tip` says from which height on `undo` has one for each block.
//!
//! Rows above the tip, and index entries of blocks that left the chain, may be left over; whoever
//! reads compares them with the chain.

use cairn_core::account::AccountIndex;
use cairn_core::block::{Header, Seal, SealedHeader};
use cairn_core::codec::{Encode as _, decode_exact};
use cairn_core::hash::BlockId;
use cairn_core::history::HistoryNode;
use cairn_core::numbers::Height;
use cairn_core::state::Undo;
use cairn_core::store::PAYMENT_PLACE;
use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction,
};

use super::FORMAT;
use super::accounts::ROTATION;
use super::flusher::Job;
use super::overlay::Recent;
use crate::error::StoreError;
use crate::log::Position;
use crate::row::{self, contain, open_table};
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
    /// The lowest block that can be undone.
    pub(super) undo_first: Height,
}

/// What the database says of itself in every format: who wrote it, and up to where in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) format: u32,
    pub(super) identity: [u8; 32],
    pub(super) log_end: Position,
}

impl Origin {
    /// Reads the beginning of the row of `tip`, which is the same in every format.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, bytes) = bytes.split_first_chunk()?;
        let (identity, bytes) = bytes.split_first_chunk()?;
        let (_, bytes) = bytes.split_first_chunk::<{ 8 + 32 }>()?;
        let (log_end, _) = bytes.split_first_chunk()?;
        let (format, log_end) = (u32::from_le_bytes(*format), Position::from_bytes(*log_end));
        Some(Self { format, identity: *identity, log_end })
    }
}

impl Tip {
    const BYTES: usize = 4 + 32 + 8 + 32 + Position::BYTES + 8 + 4 + 8;

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(self.format.to_le_bytes());
        bytes.extend(self.identity);
        bytes.extend(self.height.0.to_le_bytes());
        bytes.extend(self.id.0);
        bytes.extend(self.log_end.to_bytes());
        bytes.extend(self.flush.to_le_bytes());
        bytes.extend(self.accounts.to_le_bytes());
        bytes.extend(self.undo_first.0.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, bytes) = bytes.split_first_chunk()?;
        let (identity, bytes) = bytes.split_first_chunk()?;
        let (height, bytes) = bytes.split_first_chunk()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let (log_end, bytes) = bytes.split_first_chunk()?;
        let (flush, bytes) = bytes.split_first_chunk()?;
        let (accounts, bytes) = bytes.split_first_chunk()?;
        let (undo_first, rest) = bytes.split_first_chunk()?;
        rest.is_empty().then_some(Self {
            format: u32::from_le_bytes(*format),
            identity: *identity,
            height: Height(u64::from_le_bytes(*height)),
            id: BlockId(*id),
            log_end: Position::from_bytes(*log_end),
            flush: u64::from_le_bytes(*flush),
            accounts: u32::from_le_bytes(*accounts),
            undo_first: Height(u64::from_le_bytes(*undo_first)),
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

/// The value of the row under `key`, whose bytes its checksum covers as `key_bytes`.
fn get<'k, K: redb::Key + 'static>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'static, K, &'static [u8]>,
    name: &'static str,
    key: K::SelfType<'k>,
    key_bytes: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(table) = open_table(transaction, definition)? else { return Ok(None) };
    let row = contain(|| Ok::<_, redb::StorageError>(table.get(key)?.map(|row| row.value().to_vec())))?;
    row.map(|row| row::open(name, key_bytes, &row).map(<[u8]>::to_vec)).transpose()
}

/// What the database says of itself, whatever its format; none if it is new.
pub(super) fn origin(transaction: &ReadTransaction) -> Result<Option<Origin>, StoreError> {
    let Some(row) = get(transaction, TIP, "tip", (), &[])? else { return Ok(None) };
    Origin::from_bytes(&row).map(Some).ok_or(StoreError::Row { table: "tip" })
}

/// What the database stands for; none if it is new.
pub(super) fn tip(transaction: &ReadTransaction) -> Result<Option<Tip>, StoreError> {
    let Some(row) = get(transaction, TIP, "tip", (), &[])? else { return Ok(None) };
    Tip::from_bytes(&row).map(Some).ok_or(StoreError::Row { table: "tip" })
}

/// The row of `headers` at a height at which the database stands for a block.
pub(super) fn header(transaction: &ReadTransaction, height: Height) -> Result<HeaderRow, StoreError> {
    let row = get(transaction, HEADERS, "headers", height.0, &height.0.to_le_bytes())?;
    row.and_then(|row| HeaderRow::from_bytes(&row)).ok_or(StoreError::Row { table: "headers" })
}

/// The rows of `headers` from `first` to `last`, at heights at which the database stands for blocks.
pub(super) fn headers(
    transaction: &ReadTransaction,
    first: Height,
    last: Height,
) -> Result<Vec<HeaderRow>, StoreError> {
    let damaged = || StoreError::Row { table: "headers" };
    let table = open_table(transaction, HEADERS)?.ok_or_else(damaged)?;
    let mut headers = Vec::new();
    let mut rows = contain(|| table.range(first.0..=last.0))?;
    // Damage above a row can hide it: each height has one.
    for expected in first.0..=last.0 {
        let row = row::next(&mut rows, |height, row| (height, row.to_vec()))?;
        let (height, row) = row.filter(|(height, _)| *height == expected).ok_or_else(damaged)?;
        let row = row::open("headers", &height.to_le_bytes(), &row)?;
        headers.push(HeaderRow::from_bytes(row).ok_or_else(damaged)?);
    }
    Ok(headers)
}

/// A kept block, as the tables `headers` and `side` know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderRow {
    pub(super) id: BlockId,
    pub(super) header: Header,
    pub(super) seal: Seal,
    pub(super) position: Position,
    /// How many accounts there are after the block; 0 for a block that is not on the chain.
    pub(super) accounts: u32,
}

impl HeaderRow {
    pub(super) fn of(recent: &Recent) -> Self {
        let Recent { id, header, seal, position, accounts, .. } = recent;
        let (header, seal) = (header.clone(), seal.clone());
        Self { id: *id, header, seal, position: *position, accounts: *accounts }
    }

    pub(super) fn into_sealed_header(self) -> SealedHeader {
        SealedHeader { header: self.header, seal: self.seal }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut row = self.header.to_bytes();
        row.extend(self.seal.to_bytes());
        row.extend(self.id.0);
        row.extend(self.position.to_bytes());
        row.extend(self.accounts.to_le_bytes());
        row
    }

    fn from_bytes(row: &[u8]) -> Option<Self> {
        let (row, accounts) = row.split_last_chunk()?;
        let (row, position) = row.split_last_chunk()?;
        let (row, id) = row.split_last_chunk()?;
        let SealedHeader { header, seal } = decode_exact(row).ok()?;
        Some(Self {
            id: BlockId(*id),
            header,
            seal,
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

/// What takes the state back from the block at a height; none below the lowest that can be undone.
pub(super) fn undo(transaction: &ReadTransaction, height: Height) -> Result<Option<Undo>, StoreError> {
    let Some(row) = get(transaction, UNDO, "undo", height.0, &height.0.to_le_bytes())? else {
        let tip = tip(transaction)?.ok_or(StoreError::Row { table: "tip" })?;
        return if height < tip.undo_first { Ok(None) } else { Err(StoreError::Row { table: "undo" }) };
    };
    Undo::from_stored_bytes(&row).map(Some).map_err(|_| StoreError::Row { table: "undo" })
}

/// A complete subtree of the history tree, of blocks that the database stands for: 2^level of them
/// from `index · 2^level` on.
pub(super) fn history_node(
    transaction: &ReadTransaction,
    level: u8,
    index: u64,
) -> Result<HistoryNode, StoreError> {
    let row = get(transaction, HISTORY, "history", (level, index), &history_key(level, index))?;
    let node = row.and_then(|row| decode_exact(&row).ok());
    node.ok_or(StoreError::Row { table: "history" })
}

fn history_key(level: u8, index: u64) -> Vec<u8> {
    [&[level][..], &index.to_le_bytes()].concat()
}

/// Kept blocks that are not on the chain.
pub(super) fn side(transaction: &ReadTransaction) -> Result<Vec<HeaderRow>, StoreError> {
    let Some(table) = open_table(transaction, SIDE)? else { return Ok(Vec::new()) };
    let mut side = Vec::new();
    let mut rows = contain(|| table.iter())?;
    while let Some((id, row)) = row::next(&mut rows, |id, row| (id, row.to_vec()))? {
        let row = row::open("side", &id, &row)?;
        side.push(HeaderRow::from_bytes(row).ok_or(StoreError::Row { table: "side" })?);
    }
    Ok(side)
}

/// Hands every page and every row of a delta, in the order of the flushes, to whoever reads accounts.
pub(super) fn read_accounts(
    transaction: &ReadTransaction,
    mut page: impl FnMut(u32, u64, &[u8]) -> Option<()>,
    mut delta: impl FnMut(u64, &[u8]) -> Option<()>,
) -> Result<(), StoreError> {
    if let Some(table) = open_table(transaction, PAGES)? {
        let mut rows = contain(|| table.iter())?;
        while let Some((number, flush, accounts)) =
            row::next(&mut rows, |number, (flush, accounts)| (number, flush, accounts.to_vec()))?
        {
            page(number, flush, &accounts).ok_or(StoreError::Row { table: "pages" })?;
        }
    }
    if let Some(table) = open_table(transaction, DELTAS)? {
        let mut rows = contain(|| table.iter())?;
        while let Some((flush, row)) = row::next(&mut rows, |(flush, _), row| (flush, row.to_vec()))? {
            delta(flush, &row).ok_or(StoreError::Row { table: "deltas" })?;
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

/// The lowest height above `height` at which an account was touched, maybe by a block that left the chain.
pub(super) fn touched_above(
    transaction: &ReadTransaction,
    account: AccountIndex,
    height: Height,
) -> Result<Option<Height>, StoreError> {
    let least = touched_entry(account, height.next(), 0);
    let found = TOUCHED.lookup_next(transaction, &account.0.to_be_bytes(), &least)?;
    Ok(found.and_then(|entry| decode_place(entry.last_chunk()?)).map(|(height, _)| height))
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
        let mut table = contain(|| transaction.open_table(SIDE))?;
        contain(|| table.retain(|_, _| false))?;
        for row in &job.side {
            insert(&mut table, row.id.0, &row.id.0, row.to_bytes())?;
        }
    }
    let rows = &job.accounts;
    {
        let mut table = contain(|| transaction.open_table(PAGES))?;
        for (page, accounts) in &rows.pages {
            contain(|| table.insert(page, (rows.flush, accounts.as_slice())).map(drop))?;
        }
        let mut table = contain(|| transaction.open_table(DELTAS))?;
        for (piece, row) in (0u32..).zip(&rows.delta) {
            contain(|| table.insert((rows.flush, piece), row.as_slice()).map(drop))?;
        }
        // Every page was written within the last sixteen flushes, so older deltas say nothing new.
        if let Some(old) = rows.flush.checked_sub(u64::from(ROTATION)) {
            contain(|| table.retain_in(..=(old, u32::MAX), |_, _| false))?;
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
        undo_first: job.undo_first,
    };
    let mut table = contain(|| transaction.open_table(TIP))?;
    insert(&mut table, (), &[], tip.to_bytes())
}

/// Inserts a row with the checksum of its value and of its key, whose bytes are `key_bytes`.
fn insert<'k, K: redb::Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'k>,
    key_bytes: &[u8],
    value: Vec<u8>,
) -> Result<(), StoreError> {
    let row = row::seal(key_bytes, value);
    contain(|| table.insert(key, row.as_slice()).map(drop))
}

fn write_blocks(transaction: &WriteTransaction, job: &Job) -> Result<(), StoreError> {
    let mut headers = contain(|| transaction.open_table(HEADERS))?;
    let mut undo = contain(|| transaction.open_table(UNDO))?;
    let mut history = contain(|| transaction.open_table(HISTORY))?;
    for (height, block) in &job.blocks {
        let key = height.0.to_le_bytes();
        insert(&mut headers, height.0, &key, HeaderRow::of(block).to_bytes())?;
        if *height >= job.undo_first {
            insert(&mut undo, height.0, &key, block.undo.to_stored_bytes())?;
        }
        for (level, node) in (0u8..).zip(&block.history) {
            let index = height.0 >> level;
            insert(&mut history, (level, index), &history_key(level, index), node.to_bytes())?;
        }
    }
    contain(|| undo.retain_in(..job.undo_first.0, |_, _| false))
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
        let Some(table) = open_table(transaction, table)? else { return Ok(0) };
        contain(|| table.stats().map(|stats| stats.stored_bytes()))
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

/// As if a release with another format had written the database.
#[cfg(test)]
pub(super) fn set_format(transaction: &WriteTransaction, format: u32) -> Result<(), StoreError> {
    let mut table = contain(|| transaction.open_table(TIP))?;
    let row = contain(|| table.get(()).map(|row| row.map(|row| row.value().to_vec())))?;
    let mut row = row::open("tip", &[], &row.ok_or(StoreError::Row { table: "tip" })?)?.to_vec();
    row[..4].copy_from_slice(&format.to_le_bytes());
    insert(&mut table, (), &[], row)
}
