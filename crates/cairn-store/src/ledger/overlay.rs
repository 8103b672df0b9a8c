//! The recent blocks: what the database does not hold yet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cairn_core::account::AccountIndex;
use cairn_core::block::{Header, Seal};
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::history::HistoryNode;
use cairn_core::numbers::Height;
use cairn_core::state::Undo;
use cairn_core::store::ConnectedBlock;

use crate::log::Position;

/// A block of the chain and what the indexes will say about it.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) id: BlockId,
    pub(super) header: Header,
    pub(super) seal: Seal,
    pub(super) position: Position,
    /// How many accounts there are after the block.
    pub(super) accounts: u32,
    pub(super) undo: Undo,
    /// The first eight bytes of each transaction's id, and its place; sorted.
    pub(super) transactions: Vec<(u64, u32)>,
    /// Accounts and the places at which they were touched; sorted.
    pub(super) touched: Vec<(AccountIndex, u32)>,
    /// The history subtrees that the block completed, from the leaf up.
    pub(super) history: Vec<HistoryNode>,
}

/// The first eight bytes of an id: what the index of transactions is sorted by.
pub(super) fn id_prefix(id: &TransactionId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Recent {
    pub(super) fn new(connected: ConnectedBlock, position: Position, accounts: u32) -> Self {
        let ConnectedBlock { id, header, seal, transactions, undo, touched, history } = connected;
        let mut transactions: Vec<(u64, u32)> = transactions.iter().map(id_prefix).zip(0..).collect();
        transactions.sort_unstable();
        let mut touched: Vec<(AccountIndex, u32)> =
            touched.into_iter().map(|(place, account)| (account, place)).collect();
        touched.sort_unstable();
        touched.dedup();
        Self { id, header, seal, position, accounts, undo, transactions, touched, history }
    }
}

/// The end of the chain, above what the database holds.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    /// What the database says about heights up to this one holds.
    valid: Height,
    /// The height that the database will hold once the flush under way is done, as far as the chain
    /// has not left it meanwhile.
    flushing: Option<Height>,
    /// The height of the first of `recent`.
    first: Height,
    /// The blocks above `valid`.
    recent: VecDeque<Arc<Recent>>,
    /// Where blocks lie that the database may not know, on any branch.
    positions: BTreeMap<BlockId, Position>,
    /// How many transactions `recent` holds.
    transactions: usize,
}

impl Overlay {
    /// Nothing above `tip`, which the database holds.
    pub(super) fn new(tip: Height) -> Self {
        Self {
            valid: tip,
            flushing: None,
            first: tip.next(),
            recent: VecDeque::new(),
            positions: BTreeMap::new(),
            transactions: 0,
        }
    }

    /// Up to which height the database can be asked.
    pub(super) const fn valid(&self) -> Height {
        self.valid
    }

    /// The height of the tip.
    pub(super) fn tip(&self) -> Height {
        let count = u64::try_from(self.recent.len()).expect("a length fits 64 bits");
        Height(self.first.0 + count - 1)
    }

    /// The recent block at a height.
    pub(super) fn get(&self, height: Height) -> Option<&Arc<Recent>> {
        let at = height.0.checked_sub(self.first.0)?;
        self.recent.get(usize::try_from(at).ok()?)
    }

    /// The recent blocks from the tip down, with their heights.
    pub(super) fn downwards(&self) -> impl Iterator<Item = (Height, &Arc<Recent>)> {
        (0..self.recent.len())
            .rev()
            .zip((0..=self.tip().0).rev())
            .filter_map(|(at, height)| Some((Height(height), self.recent.get(at)?)))
    }

    /// Where a block lies whose place the database may not know.
    pub(super) fn position(&self, id: &BlockId) -> Option<Position> {
        self.positions.get(id).copied()
    }

    /// How many transactions and blocks the database lacks.
    pub(super) fn weight(&self) -> (usize, usize) {
        (self.transactions, self.recent.len())
    }

    /// The blocks that the database lacks, ascending, with their heights.
    pub(super) fn blocks(&self) -> Vec<(Height, Arc<Recent>)> {
        (self.first.0..).map(Height).zip(self.recent.iter().cloned()).collect()
    }

    pub(super) fn append(&mut self, id: BlockId, position: Position) {
        self.positions.insert(id, position);
    }

    /// The chain goes from `fork` on with `blocks`.
    pub(super) fn advance(&mut self, fork: Height, blocks: impl IntoIterator<Item = Arc<Recent>>) {
        while self.tip() > fork {
            match self.recent.pop_back() {
                Some(block) => self.transactions -= block.transactions.len(),
                // The fork lies below everything recent: the database is right up to the fork only.
                None => self.first = fork.next(),
            }
        }
        self.valid = self.valid.min(fork);
        self.flushing = self.flushing.map(|height| height.min(fork));
        for block in blocks {
            self.transactions += block.transactions.len();
            self.recent.push_back(block);
        }
    }

    /// A flush of everything up to the tip begins.
    pub(super) fn begin_flush(&mut self) {
        self.flushing = Some(self.tip());
    }

    /// The flush is done; returns up to which height the database can be asked now.
    pub(super) fn end_flush(&mut self, flushed: Height) -> Height {
        self.flushing.take().map_or(flushed, |height| height.min(flushed))
    }

    /// The database can be asked up to `valid`, and knows the places of the blocks in `known`.
    pub(super) fn drop_flushed(&mut self, valid: Height, known: &[(BlockId, Position)]) {
        self.valid = valid;
        while self.first <= valid {
            let Some(block) = self.recent.pop_front() else { break };
            self.transactions -= block.transactions.len();
            self.first = self.first.next();
        }
        for (id, _) in known {
            self.positions.remove(id);
        }
    }
}
