//! Reading blocks, transactions and histories from any thread, beside the node.
//!
//! # Promises
//!
//! - A call sees the chain as it was when the call began, whatever joins it, leaves it or is written
//!   meanwhile; and only what was durable then.
//! - No sync waits for a call, however long it reads. While it reads, the database keeps the pages that
//!   it began with; they are free again when the call ends.
//! - A database that found the disk full is opened again when nobody reads it any more: a call that
//!   meets the closed one begins anew, at a later moment.

use std::sync::{Arc, PoisonError};

use cairn_core::account::{Account, AccountIndex};
use cairn_core::block::{HEADER_BYTES, Header, SealedHeader, decode_transaction};
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::history::{HistoryNode, HistoryProof, way};
use cairn_core::numbers::Height;
use cairn_core::state::Undo;
use cairn_core::transaction::IdentifiedTransaction;
use redb::ReadTransaction;

use super::overlay::{Overlay, id_prefix};
use super::tables::{self, HeaderRow, Sizes};
use super::{Shared, StoreError};
use crate::log::Position;

/// A kept block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub id: BlockId,
    /// Its header.
    pub header: Header,
    /// Whether it is on the chain.
    pub is_on_chain: bool,
    /// Its canonical bytes, with the seal.
    pub bytes: Arc<[u8]>,
}

/// A place on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The height of the block.
    pub height: Height,
    /// Which of its transactions; [`PAYMENT_PLACE`](cairn_core::store::PAYMENT_PLACE) for the payments at its end.
    pub place: u32,
}

/// How many undo records a look into the past reads at most. It needs one, but for blocks that touched the
/// account and left the chain since.
pub const PAST_UNDOS_MAX: usize = 256;

/// Reads a ledger. Each call sees the chain of one moment, and only what is durable.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Shared>);

impl Reader {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The height of the tip.
    pub fn tip(&self) -> Height {
        self.shown().tip()
    }

    /// The header at a height of the chain, and its id.
    ///
    /// # Errors
    ///
    /// Where the disk fails, here and in all that follows.
    pub fn header(&self, height: Height) -> Result<Option<(BlockId, Header)>, StoreError> {
        let row = self.view(|view| view.header(height))?;
        Ok(row.map(|row| (row.id, row.header)))
    }

    /// The block at a height of the chain.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn block_at(&self, height: Height) -> Result<Option<Block>, StoreError> {
        let Some(row) = self.view(|view| view.header(height))? else { return Ok(None) };
        let bytes = self.0.blocks.read(row.position)?.into();
        Ok(Some(Block { id: row.id, header: row.header, is_on_chain: true, bytes }))
    }

    /// The block with an id, on any branch.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn block(&self, id: &BlockId) -> Result<Option<Block>, StoreError> {
        self.view(|view| {
            let Some(position) = view.position(id)? else { return Ok(None) };
            let bytes: Arc<[u8]> = self.0.blocks.read(position)?.into();
            let Some(header) = read_header(&bytes) else {
                return Err(StoreError::Row { table: "ids" });
            };
            let on_chain = view.header(header.height)?;
            let is_on_chain = on_chain.is_some_and(|row| row.id == *id);
            Ok(Some(Block { id: *id, header, is_on_chain, bytes }))
        })
    }

    /// The headers of the chain, with their seals, above the first block of a locator that is on it, above
    /// block 0 if none is: up to `stop` if that is among them, at most `limit`.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn headers_after(
        &self,
        locator: &[BlockId],
        stop: Option<&BlockId>,
        limit: usize,
    ) -> Result<Vec<SealedHeader>, StoreError> {
        self.view(|view| {
            let mut fork = Height::GENESIS;
            for id in locator {
                if let Some(height) = self.height_on_chain(view, id)? {
                    fork = height;
                    break;
                }
            }
            let mut headers = view.sealed_headers(fork.next(), limit)?;
            // The id of a header stands in the next one.
            let place = headers.iter().position(|header| stop == Some(&header.header.parent));
            headers.truncate(place.unwrap_or(usize::MAX));
            Ok(headers)
        })
    }

    /// The height of a block of the chain; none if the block is not on the chain.
    fn height_on_chain(&self, view: &View<'_>, id: &BlockId) -> Result<Option<Height>, StoreError> {
        let Some(position) = view.position(id)? else { return Ok(None) };
        // A block may be a mebibyte long, and what it says of its height is not believed: the row of the
        // chain decides.
        let head = self.0.blocks.peek(position, HEADER_BYTES)?;
        let header = read_header(&head).ok_or(StoreError::Row { table: "ids" })?;
        let on_chain = view.header(header.height)?;
        Ok(on_chain.filter(|row| row.id == *id).map(|row| row.header.height))
    }

    /// Where a transaction stands on the chain of the network with `identity`.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn transaction(&self, id: &TransactionId, identity: &BlockId) -> Result<Option<Place>, StoreError> {
        self.view(|view| {
            // The index knows eight bytes, and may speak of blocks that left the chain: the block decides.
            for (height, place) in view.transactions(id_prefix(id))? {
                let Some(row) = view.header(height)? else { continue };
                let bytes = self.0.blocks.read(row.position)?;
                let Ok(transaction) = decode_transaction(&bytes, place) else { continue };
                if transaction.is_some_and(|it| IdentifiedTransaction::new(it, identity).id() == *id) {
                    return Ok(Some(Place { height, place }));
                }
            }
            Ok(None)
        })
    }

    /// The last places at which an account was touched, highest first, all below `below`, at most
    /// `limit` of them. After a reorganisation a place may be one at which only the former block
    /// touched it: whoever shows a place looks at what stands there.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn touched(
        &self,
        account: AccountIndex,
        below: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        self.view(|view| view.touched(account, below, limit))
    }

    /// What an account was after the block at `height`, given what it is `now`, at the tip.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn account_at(
        &self,
        account: AccountIndex,
        now: Account,
        height: Height,
    ) -> Result<PastAccount, StoreError> {
        self.view(|view| view.account_at(account, now, height))
    }

    /// What shows that the block at `height` lies under the history root of the header at `count`.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn history_proof(&self, height: Height, count: Height) -> Result<Option<HistoryProof>, StoreError> {
        self.view(|view| {
            if height >= count || count > view.overlay.tip().next() {
                return Ok(None);
            }
            let Some(leaf) = view.history_run(height.0, 1)? else { return Ok(None) };
            let mut partners = Vec::new();
            for step in way(height.0, count.0) {
                let Some(node) = view.history_run(step.start, step.count)? else { return Ok(None) };
                partners.push(node);
            }
            Ok(Some(HistoryProof { height: height.0, count: count.0, summary: leaf.summary, partners }))
        })
    }

    /// How large the parts of the database are. Walks all of it.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn sizes(&self) -> Result<Sizes, StoreError> {
        self.0.read(tables::sizes)
    }

    /// Looks at the chain as it is now, for one call; looks again where the database was closed
    /// meanwhile.
    pub(super) fn view<T>(&self, look: impl Fn(&View<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.0.with_database(|database| {
            // Held until the transaction has begun. A chain is shown here before a flush of it begins, so
            // the transaction sees no flush of a chain that is not shown yet; and what was flushed leaves
            // the overlay behind the commit, so that nothing is missing in both.
            let shown = self.0.overlay.read().unwrap_or_else(PoisonError::into_inner);
            let look = |transaction: Option<&ReadTransaction>| {
                let overlay = Arc::clone(&shown);
                drop(shown);
                look(&View { overlay, transaction })
            };
            match database {
                Some(database) => database.read(|transaction| look(Some(transaction))),
                None => look(None),
            }
        })
    }

    /// What the database may lack, as it is now.
    fn shown(&self) -> Arc<Overlay> {
        Arc::clone(&self.0.overlay.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known of an account in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastAccount {
    /// What it was; none if it did not exist.
    Known(Option<Account>),
    /// The undo window does not reach so far back.
    OutOfWindow,
    /// More than [`PAST_UNDOS_MAX`] blocks that touched the account behind that height have left the
    /// chain, and to find the first that did not takes too long.
    TooFarToFind,
}

/// The header of a block from its bytes.
fn read_header(bytes: &[u8]) -> Option<Header> {
    cairn_core::codec::decode_exact(bytes.get(..HEADER_BYTES)?).ok()
}

/// The chain of one moment.
#[derive(Debug)]
pub(super) struct View<'a> {
    overlay: Arc<Overlay>,
    /// What was committed at that moment; none where the database is closed.
    transaction: Option<&'a ReadTransaction>,
}

impl View<'_> {
    fn stored(&self) -> Result<&ReadTransaction, StoreError> {
        self.transaction.ok_or(StoreError::DatabaseClosed)
    }

    pub(super) fn header(&self, height: Height) -> Result<Option<HeaderRow>, StoreError> {
        if let Some(recent) = self.overlay.get(height) {
            return Ok(Some(HeaderRow::of(recent)));
        }
        if height > self.overlay.valid() {
            return Ok(None);
        }
        tables::header(self.stored()?, height).map(Some)
    }

    /// The headers of the chain from `first` on, ascending: `limit` of them, fewer where the chain ends before.
    pub(super) fn sealed_headers(
        &self,
        first: Height,
        limit: usize,
    ) -> Result<Vec<SealedHeader>, StoreError> {
        let Some(more) = limit.checked_sub(1).and_then(|more| u64::try_from(more).ok()) else {
            return Ok(Vec::new());
        };
        let last = Height(first.0.saturating_add(more)).min(self.overlay.tip());
        // What the database holds, then what it lacks.
        let stored_last = last.min(self.overlay.valid());
        let mut rows = Vec::new();
        if first <= stored_last {
            rows = tables::headers(self.stored()?, first, stored_last)?;
        }
        let recent = (first.max(stored_last.next()).0..=last.0).map(Height);
        rows.extend(recent.filter_map(|height| self.overlay.get(height)).map(|recent| HeaderRow::of(recent)));
        Ok(rows.into_iter().map(HeaderRow::into_sealed_header).collect())
    }

    fn position(&self, id: &BlockId) -> Result<Option<Position>, StoreError> {
        match self.overlay.position(id) {
            Some(position) => Ok(Some(position)),
            None => tables::position(self.stored()?, id),
        }
    }

    /// Heights and places that may hold a transaction with an id that begins with `prefix`.
    fn transactions(&self, prefix: u64) -> Result<Vec<(Height, u32)>, StoreError> {
        let mut candidates: Vec<(Height, u32)> = Vec::new();
        for (height, block) in self.overlay.downwards() {
            let from = block.transactions.partition_point(|(found, _)| *found < prefix);
            let same = block.transactions.iter().skip(from).take_while(|(found, _)| *found == prefix);
            candidates.extend(same.map(|(_, place)| (height, *place)));
        }
        if candidates.is_empty() {
            let valid = self.overlay.valid();
            let found = tables::transactions(self.stored()?, prefix)?;
            candidates.extend(found.into_iter().filter(|(height, _)| *height <= valid));
        }
        Ok(candidates)
    }

    fn touched(
        &self,
        account: AccountIndex,
        below: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let below = below.unwrap_or(Place { height: self.overlay.tip().next(), place: 0 });
        let mut places: Vec<Place> = Vec::new();
        for (height, block) in self.overlay.downwards() {
            if places.len() >= limit {
                break;
            }
            let from = block.touched.partition_point(|(found, _)| *found < account);
            let same = block.touched.iter().skip(from).take_while(|(found, _)| *found == account);
            let mut here: Vec<Place> = same.map(|(_, place)| Place { height, place: *place }).collect();
            here.reverse();
            places.extend(here.into_iter().filter(|place| *place < below));
        }
        places.truncate(limit);
        let stored_below = below.min(Place { height: self.overlay.valid().next(), place: 0 });
        let mut from = (stored_below.height, stored_below.place);
        while places.len() < limit {
            let found = tables::touched(self.stored()?, account, from, limit - places.len())?;
            let Some(last) = found.last().copied() else { break };
            places.extend(found.into_iter().map(|(height, place)| Place { height, place }));
            from = last;
        }
        Ok(places)
    }

    pub(super) fn account_at(
        &self,
        account: AccountIndex,
        now: Account,
        height: Height,
    ) -> Result<PastAccount, StoreError> {
        let Some(row) = self.header(height)? else { return Ok(PastAccount::Known(None)) };
        if row.accounts <= account.0 {
            return Ok(PastAccount::Known(None));
        }
        // What the first block behind it that touched the account found is what the account was. The
        // index may name blocks that left the chain: those on it did not touch the account there.
        let mut searched = height;
        let mut undos = 0;
        while let Some(above) = self.touched_above(account, searched)? {
            if undos == PAST_UNDOS_MAX {
                return Ok(PastAccount::TooFarToFind);
            }
            undos += 1;
            let Some(undo) = self.undo(above)? else { return Ok(PastAccount::OutOfWindow) };
            if let Ok(place) = undo.changed.binary_search_by_key(&account, |(index, _)| *index) {
                return Ok(PastAccount::Known(undo.changed.get(place).map(|(_, before)| *before)));
            }
            searched = above;
        }
        Ok(PastAccount::Known(Some(now)))
    }

    /// The lowest height above `height` at which an account was touched.
    fn touched_above(&self, account: AccountIndex, height: Height) -> Result<Option<Height>, StoreError> {
        let valid = self.overlay.valid();
        if height < valid {
            let stored = tables::touched_above(self.stored()?, account, height)?;
            if let Some(found) = stored.filter(|found| *found <= valid) {
                return Ok(Some(found));
            }
        }
        let recent = (height.max(valid).next().0..=self.overlay.tip().0).map(Height);
        let mut recent = recent.filter(|height| {
            let block = self.overlay.get(*height);
            block.is_some_and(|block| block.touched.binary_search_by_key(&account, |(it, _)| *it).is_ok())
        });
        Ok(recent.next())
    }

    pub(super) fn undo(&self, height: Height) -> Result<Option<Undo>, StoreError> {
        if let Some(recent) = self.overlay.get(height) {
            return Ok(Some(recent.undo.clone()));
        }
        if height > self.overlay.valid() {
            return Ok(None);
        }
        tables::undo(self.stored()?, height)
    }

    /// The node over `count` blocks from `start` on, put together from complete subtrees.
    pub(super) fn history_run(&self, start: u64, count: u64) -> Result<Option<HistoryNode>, StoreError> {
        if count.is_power_of_two() {
            let level = count.trailing_zeros();
            let level = u8::try_from(level).expect("at most 63");
            let last = Height(start + count - 1);
            if let Some(recent) = self.overlay.get(last) {
                return Ok(recent.history.get(usize::from(level)).copied());
            }
            return tables::history_node(self.stored()?, level, start >> level).map(Some);
        }
        let split = 1u64 << (63 - count.leading_zeros());
        let (left, right) =
            (self.history_run(start, split)?, self.history_run(start + split, count - split)?);
        let joined = left.zip(right).map(|(left, right)| HistoryNode::join(&left, &right));
        joined.transpose().map_err(|_| StoreError::Row { table: "history" })
    }
}
