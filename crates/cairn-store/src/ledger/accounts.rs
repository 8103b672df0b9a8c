//! The accounts on disk: pages in rotation, and what changed since.
//!
//! Accounts are kept in the order of their creation. Each flush writes the accounts that changed
//! (a *delta*) and one sixteenth of the *pages*, each whole; so a delta older than sixteen flushes
//! says nothing that a page does not say, and is dropped. That is a few sequential rows a flush,
//! where a row an account would rewrite a page of the database for nearly every account.

use cairn_core::account::{Account, AccountIndex};
use cairn_core::hash::StatePath;
use cairn_core::numbers::{Amount, Nonce};
use cairn_core::state::State;

/// The accounts of a page.
pub(super) const PAGE_ACCOUNTS: u32 = 320;
/// In how many flushes every page is written once.
pub(super) const ROTATION: u32 = 16;
/// The bytes of an account with its path.
pub(super) const ROW_BYTES: usize = 48;
/// The bytes of a changed account: its index in the place of its path.
const CHANGE_BYTES: usize = 20;
/// How long a row of a delta becomes, in bytes.
const DELTA_BYTES_MAX: usize = 1024 * 1024;

const DELTA_CHANGED: u8 = 1;
const DELTA_CREATED: u8 = 2;

/// The accounts that one flush writes.
#[derive(Debug)]
pub(super) struct AccountRows {
    /// The number of the flush.
    pub(super) flush: u64,
    /// How many accounts there are.
    pub(super) count: u32,
    /// Rows of the delta.
    pub(super) delta: Vec<Vec<u8>>,
    /// Whole pages: number and accounts.
    pub(super) pages: Vec<(u32, Vec<u8>)>,
}

/// Knows what the database has of the accounts.
#[derive(Debug)]
pub(super) struct AccountsWriter {
    /// The number of the last flush.
    flush: u64,
    /// The accounts below this index stand in the database under the path they have now.
    known: u32,
}

impl AccountsWriter {
    pub(super) const fn new(flush: u64, known: u32) -> Self {
        Self { flush, known }
    }

    /// Blocks were taken back until only `count` accounts were left; later ones are others.
    pub(super) fn shrink_to(&mut self, count: u32) {
        self.known = self.known.min(count);
    }

    /// The rows of the next flush.
    pub(super) fn write(&mut self, state: &mut State) -> AccountRows {
        self.flush += 1;
        let count = state.len();
        let changes = state.take_changes();
        let split = changes.partition_point(|change| change.index.0 < self.known);
        let (changed, _) = changes.split_at(split);
        let mut delta = Vec::new();
        for piece in changed.chunks(DELTA_BYTES_MAX / CHANGE_BYTES) {
            let mut row = Vec::with_capacity(1 + piece.len() * CHANGE_BYTES);
            row.push(DELTA_CHANGED);
            for change in piece {
                row.extend_from_slice(&change.index.0.to_le_bytes());
                encode_account(&change.account, &mut row);
            }
            delta.push(row);
        }
        // Accounts that are new to the database, all of them: they follow one another.
        let per_row = u32::try_from(DELTA_BYTES_MAX / ROW_BYTES).expect("a small quotient");
        let mut first = self.known;
        while first < count {
            let end = count.min(first + per_row);
            let mut row = vec![DELTA_CREATED];
            row.extend_from_slice(&first.to_le_bytes());
            encode_rows(state, first, end, &mut row);
            delta.push(row);
            first = end;
        }
        self.known = count;
        let turn = u32::try_from(self.flush % u64::from(ROTATION)).expect("below sixteen");
        let pages = (turn..count.div_ceil(PAGE_ACCOUNTS)).step_by(ROTATION as usize);
        let pages = pages.map(|page| (page, encode_page(state, page))).collect();
        AccountRows { flush: self.flush, count, delta, pages }
    }
}

/// Every page of a state, for a new database.
pub(super) fn encode_all(state: &State) -> Vec<(u32, Vec<u8>)> {
    (0..state.len().div_ceil(PAGE_ACCOUNTS)).map(|page| (page, encode_page(state, page))).collect()
}

fn encode_page(state: &State, page: u32) -> Vec<u8> {
    let first = page * PAGE_ACCOUNTS;
    let end = state.len().min(first + PAGE_ACCOUNTS);
    let mut row = Vec::with_capacity((end - first) as usize * ROW_BYTES);
    encode_rows(state, first, end, &mut row);
    row
}

fn encode_rows(state: &State, first: u32, end: u32, row: &mut Vec<u8>) {
    for index in (first..end).map(AccountIndex) {
        row.extend_from_slice(state.path(index).as_bytes());
        encode_account(&state.account(index), row);
    }
}

fn encode_account(account: &Account, row: &mut Vec<u8>) {
    row.extend_from_slice(&account.balance.units().to_le_bytes());
    row.extend_from_slice(&account.nonce.0.to_le_bytes());
}

/// Puts the accounts together from pages and deltas.
#[derive(Debug)]
pub(super) struct AccountsReader {
    accounts: Vec<(StatePath, Account)>,
    /// In which flush each page was written.
    written: Vec<u64>,
}

impl AccountsReader {
    pub(super) fn new(count: u32) -> Self {
        let nobody = (StatePath::ZERO, Account::default());
        Self {
            accounts: vec![nobody; count as usize],
            written: vec![0; count.div_ceil(PAGE_ACCOUNTS) as usize],
        }
    }

    /// Reads a page; none if it does not have the form it was written in.
    pub(super) fn read_page(&mut self, page: u32, flush: u64, row: &[u8]) -> Option<()> {
        let Some(written) = self.written.get_mut(page as usize) else {
            // The state had more accounts once.
            return Some(());
        };
        *written = flush;
        let (rows, rest) = row.as_chunks::<ROW_BYTES>();
        for (index, row) in (page.checked_mul(PAGE_ACCOUNTS)?..).zip(rows) {
            self.put(index, decode_row(row));
        }
        rest.is_empty().then_some(())
    }

    /// Reads a row of the delta of a flush; deltas come in the order of their flushes.
    pub(super) fn read_delta(&mut self, flush: u64, row: &[u8]) -> Option<()> {
        let (kind, row) = row.split_first()?;
        match *kind {
            DELTA_CHANGED => {
                let (rows, rest) = row.as_chunks::<CHANGE_BYTES>();
                for row in rows {
                    let (index, account) = row.split_first_chunk::<4>()?;
                    let index = u32::from_le_bytes(*index);
                    if self.is_newer(index, flush) {
                        let path = self.accounts.get(index as usize)?.0;
                        self.put(index, (path, decode_account(account)));
                    }
                }
                rest.is_empty().then_some(())
            }
            DELTA_CREATED => {
                let (first, row) = row.split_first_chunk::<4>()?;
                let (rows, rest) = row.as_chunks::<ROW_BYTES>();
                for (index, row) in (u32::from_le_bytes(*first)..).zip(rows) {
                    if self.is_newer(index, flush) {
                        self.put(index, decode_row(row));
                    }
                }
                rest.is_empty().then_some(())
            }
            _ => None,
        }
    }

    /// The accounts in the order of their indexes.
    pub(super) fn finish(self) -> Vec<(StatePath, Account)> {
        self.accounts
    }

    /// Whether a delta of `flush` says something newer than the page of an account.
    fn is_newer(&self, index: u32, flush: u64) -> bool {
        let written = self.written.get((index / PAGE_ACCOUNTS) as usize);
        written.is_some_and(|written| *written < flush) && (index as usize) < self.accounts.len()
    }

    fn put(&mut self, index: u32, account: (StatePath, Account)) {
        if let Some(place) = self.accounts.get_mut(index as usize) {
            *place = account;
        }
    }
}

fn decode_row(row: &[u8; ROW_BYTES]) -> (StatePath, Account) {
    let (path, account) = row.split_at(32);
    (StatePath(path.try_into().expect("split at 32")), decode_account(account))
}

fn decode_account(bytes: &[u8]) -> Account {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("rows are cut to their length"));
    let (balance, nonce) = bytes.split_at(8);
    Account { balance: Amount::from_units(number(balance)), nonce: Nonce(number(nonce)) }
}
