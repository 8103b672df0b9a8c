//! What a node can tell about itself. All of it is of one moment: between two inputs nothing changes.

use crate::chain::{BestHeader, Branch};
use crate::mempool::{Ticket, Waits};
use crate::node::{Node, view_of};
use crate::producer::MiningStatus;
use cairn_core::account::{Account, AccountIndex};
use cairn_core::address::Address;
use cairn_core::block::Header;
use cairn_core::consensus::Consensus;
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp};
use cairn_core::state::StateProof;
use cairn_core::store::{Store, StoreError};
use cairn_core::target::Work;
use cairn_core::transaction::CheckedTransaction;
use std::sync::Arc;

/// The most entries of a page.
pub const PAGE_ENTRIES_MAX: usize = 1_000;

/// The end of the chain.
#[derive(Clone, Copy, Debug)]
pub struct Tip<'a> {
    /// Its id.
    pub id: BlockId,
    /// Its header.
    pub header: &'a Header,
    /// The work of the whole chain.
    pub work: Work,
    /// The base fee of the next block.
    pub next_base_fee: FeeRate,
}

/// An account after the tip, and what waits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The account after the tip.
    pub confirmed: Account,
    /// The balance less the most that its executable transactions take.
    pub pending_balance: Amount,
    /// The nonce of the next transaction that does not replace a waiting one.
    pub pending_nonce: Nonce,
}

/// An account with what shows it to somebody who knows only the header of the tip.
#[derive(Clone, Debug)]
pub struct AccountProof {
    /// The block after which it is so.
    pub block: BlockId,
    /// The header of that block.
    pub header: Header,
    /// The account; zeros if there is none.
    pub account: Account,
    /// The proof under the header's state root.
    pub proof: StateProof,
}

/// A waiting transaction.
#[derive(Clone, Debug)]
pub struct PendingTransaction {
    /// The transaction.
    pub transaction: Arc<CheckedTransaction>,
    /// When it came.
    pub since: Timestamp,
    /// Why it waits.
    pub waits: Waits,
    /// Where the next page begins if this is the last entry of a page.
    pub cursor: Cursor,
}

/// A place in the list of waiting transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// How much waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MempoolStatus {
    /// All transactions.
    pub transactions: usize,
    /// Those that nonces and balances let into the next block.
    pub executable: usize,
    /// Their bytes, with what the node needs to keep them in order.
    pub bytes: usize,
}

/// How large the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateStatus {
    /// The number of accounts.
    pub accounts: u32,
    /// About how many bytes of memory it takes.
    pub memory_bytes: usize,
    /// The number of blocks beside the chain.
    pub side_blocks: usize,
    /// The number of blocks that wait for their time.
    pub held_blocks: usize,
    /// The number of headers whose blocks are missing.
    pub headers: usize,
    /// In how many branches they are.
    pub header_branches: usize,
    /// For how many peers headers are counted that are not kept.
    pub counted_peers: usize,
}

impl Node {
    /// The rules of the network.
    pub const fn consensus(&self) -> &Consensus {
        self.chain.consensus()
    }

    /// The end of the chain.
    pub fn tip(&self) -> Tip<'_> {
        let entry = self.chain.tree().tip();
        Tip {
            id: self.chain.tip_id(),
            header: &entry.header,
            work: entry.work,
            next_base_fee: entry.next.next_base_fee,
        }
    }

    /// The id and the header of the block of the chain at `height`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if the store cannot be read.
    pub fn header_at(
        &self,
        height: Height,
        store: &dyn Store,
    ) -> Result<Option<(BlockId, Header)>, StoreError> {
        let tree = self.chain.tree();
        match tree.id_at(height).and_then(|id| Some((id, tree.get(&id)?.header.clone()))) {
            Some(found) => Ok(Some(found)),
            None => store.header(height),
        }
    }

    /// Whether a block is known, on the chain or beside it, down to the undo window.
    pub fn knows_block(&self, id: &BlockId) -> bool {
        self.chain.tree().get(id).is_some()
    }

    /// Whether a block is on the chain; none if it is not known.
    pub fn is_on_chain(&self, id: &BlockId) -> Option<bool> {
        self.knows_block(id).then(|| self.chain.tree().is_on_chain(id))
    }

    /// The end of the best chain of headers: that of a branch whose bodies are still missing, or the tip.
    pub fn best_header(&self) -> BestHeader {
        self.chain.best_header()
    }

    /// Whether the header of a block is known, with its body or without, down to the undo window.
    pub fn knows_header(&self, id: &BlockId) -> bool {
        self.knows_block(id) || self.chain.headers().get(id).is_some()
    }

    /// The first `limit` blocks whose headers are known and whose bodies are missing, of branches that
    /// outweigh the tip: those of the best branch first, each branch from its lowest block up. A body is
    /// taken only when the block below it has been.
    pub fn wanted(&self, limit: usize) -> Vec<BlockId> {
        self.chain.wanted(limit)
    }

    /// What another node needs to find where its chain and the best chain of headers part: ids from the
    /// end down, ten one by one and then in steps that double, down to block 0; at most
    /// [`LOCATOR_IDS_MAX`](crate::chain::LOCATOR_IDS_MAX).
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] if the store cannot be read.
    pub fn locator(&self, store: &dyn Store) -> Result<Vec<BlockId>, StoreError> {
        self.chain.locator(store)
    }

    /// Where an account stands in the order in which accounts were created, and what it is after the
    /// tip; none if there is none.
    pub fn account_index(&self, address: &Address) -> Option<(AccountIndex, Account)> {
        let state = self.chain.state();
        state.find(&address.path()).map(|index| (index, state.account(index)))
    }

    /// An account; zeros where there is none.
    pub fn account(&self, address: &Address) -> AccountView {
        let confirmed = self.confirmed(address);
        let lane = self.mempool.lane(address);
        let pledged = lane.map_or(Amount::ZERO, crate::mempool::Lane::run_cost);
        AccountView {
            confirmed,
            pending_balance: confirmed.balance.checked_sub(pledged).unwrap_or(Amount::ZERO),
            pending_nonce: lane.map_or(confirmed.nonce, crate::mempool::Lane::first_free),
        }
    }

    /// An account, or that there is none, with a proof.
    pub fn prove_account(&self, address: &Address) -> AccountProof {
        let tip = self.tip();
        AccountProof {
            block: tip.id,
            header: tip.header.clone(),
            account: self.confirmed(address),
            proof: self.chain.state().prove(&address.path()),
        }
    }

    /// The sum of all balances.
    pub fn supply(&self) -> Amount {
        self.chain.state().total()
    }

    /// How large the state is.
    pub fn state_status(&self) -> StateStatus {
        let state = self.chain.state();
        StateStatus {
            accounts: state.len(),
            memory_bytes: state.memory_bytes(),
            side_blocks: self.chain.tree().side_len(),
            held_blocks: self.chain.held().len(),
            headers: self.chain.headers().len(),
            header_branches: self.chain.headers().branches_len(),
            counted_peers: self.chain.presync().len(),
        }
    }

    /// The branches beside the chain, those with the most work first.
    pub fn branches(&self) -> Vec<Branch> {
        self.chain.tree().branches()
    }

    /// How much waits.
    pub fn mempool_status(&self) -> MempoolStatus {
        MempoolStatus {
            transactions: self.mempool.len(),
            executable: self.mempool.executable_len(),
            bytes: self.mempool.bytes(),
        }
    }

    /// A waiting transaction.
    pub fn pending(&self, id: &TransactionId) -> Option<PendingTransaction> {
        let (ticket, entry) = self.mempool.get(id)?;
        Some(self.describe(ticket, entry))
    }

    /// Waiting transactions, the newest first: those that came before the cursor, all without one; at
    /// most [`PAGE_ENTRIES_MAX`].
    pub fn pending_page(&self, before: Option<Cursor>, limit: usize) -> Vec<PendingTransaction> {
        let before = Ticket(before.map_or(u64::MAX, |cursor| cursor.0));
        let entries = self.mempool.newest_below(before).take(limit.min(PAGE_ENTRIES_MAX));
        entries.map(|(ticket, entry)| self.describe(ticket, entry)).collect()
    }

    /// The waiting transactions of a sender, as [`Node::pending_page`] lists those of all.
    pub fn pending_of(
        &self,
        sender: &Address,
        before: Option<Cursor>,
        limit: usize,
    ) -> Vec<PendingTransaction> {
        let before = Ticket(before.map_or(u64::MAX, |cursor| cursor.0));
        let tickets = self.mempool.lane(sender).into_iter().flat_map(crate::mempool::Lane::tickets);
        let mut tickets: Vec<Ticket> = tickets.map(|(_, ticket)| ticket).filter(|it| *it < before).collect();
        tickets.sort_unstable_by(|a, b| b.cmp(a));
        let entries = tickets.into_iter().filter_map(|ticket| Some((ticket, self.mempool.at(ticket)?)));
        let page = entries.take(limit.min(PAGE_ENTRIES_MAX));
        page.map(|(ticket, entry)| self.describe(ticket, entry)).collect()
    }

    /// What the producer is at.
    pub fn mining_status(&self) -> MiningStatus {
        self.producer.status()
    }

    fn confirmed(&self, address: &Address) -> Account {
        let state = self.chain.state();
        state.find(&address.path()).map_or_else(Account::default, |index| state.account(index))
    }

    fn describe(&self, ticket: Ticket, entry: &crate::mempool::Entry) -> PendingTransaction {
        PendingTransaction {
            transaction: Arc::clone(&entry.transaction),
            since: entry.since,
            waits: self.mempool.waits(entry, &view_of(&self.chain)),
            cursor: Cursor(ticket.0),
        }
    }
}
