//! A store in memory, for tests and simulation: it forgets everything with the program.
//!
//! It can be told that the disk is full or broken, and it can be opened again as after a crash.

use cairn_core::account::Account;
use cairn_core::block::{CheckedBlock, Header, SealedBlock, SealedHeader, decode_block};
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::hash::{BlockId, StatePath};
use cairn_core::numbers::Height;
use cairn_core::state::{State, Undo};
use cairn_core::store::{Advance, Loaded, Store, StoreError};
use cairn_core::transaction::CheckedTransaction;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a store is made to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It works.
    #[default]
    None,
    /// Nothing can be appended.
    Full,
    /// Nothing works.
    Broken,
}

/// The fault that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store was told to fail")]
pub struct ToldToFail;

/// A store in memory.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    fault: Fault,
    blocks: BTreeMap<BlockId, (Header, Arc<[u8]>)>,
    /// The ids of all blocks in the order of the log.
    log: Vec<BlockId>,
    /// How many of them the database has lost: they are replayed.
    lost: usize,
    chain: Vec<(BlockId, Header)>,
    undos: BTreeMap<Height, Undo>,
    accounts: Vec<(StatePath, Account)>,
    reserved: Vec<(StatePath, Vec<u8>)>,
    transactions: Vec<CheckedTransaction>,
    /// The blocks beside the chain that the node has no use for.
    forgotten: BTreeSet<BlockId>,
    syncs: u64,
}

impl MemoryStore {
    /// A store that knows block 0 and the state after it.
    pub fn new(id: BlockId, header: Header, state: &State) -> Self {
        Self {
            fault: Fault::None,
            blocks: BTreeMap::new(),
            log: Vec::new(),
            lost: 0,
            chain: vec![(id, header)],
            undos: BTreeMap::new(),
            accounts: state.accounts().collect(),
            reserved: state.reserved_entries().map(|(path, value)| (path, value.to_vec())).collect(),
            transactions: Vec::new(),
            forgotten: BTreeSet::new(),
            syncs: 0,
        }
    }

    /// The headers of the chain above the first block of a locator that is on it, above block 0 if none is:
    /// up to `stop` if that is among them, at most `limit`. What a shell answers a peer from its own store.
    pub fn headers_after(
        &self,
        locator: &[BlockId],
        stop: Option<&BlockId>,
        limit: usize,
    ) -> Vec<SealedHeader> {
        let place_of = |id| self.chain.iter().position(|(found, _)| found == id);
        let fork = locator.iter().find_map(place_of).unwrap_or(0);
        let above = self.chain.iter().skip(fork + 1).take(limit);
        let sealed = above.map_while(|(id, _)| {
            let SealedBlock { header, seal, .. } = decode_block(&self.blocks.get(id)?.1).ok()?;
            Some(SealedHeader { header, seal })
        });
        let mut headers: Vec<SealedHeader> = sealed.collect();
        // The id of a header stands in the next one.
        let place = headers.iter().position(|header| stop == Some(&header.header.parent));
        headers.truncate(place.unwrap_or(usize::MAX));
        headers
    }

    /// Makes the store fail from now on, or work again.
    pub const fn set_fault(&mut self, fault: Fault) {
        self.fault = fault;
    }

    /// As if the database were lost and made anew from block 0: the log of blocks stays.
    #[must_use]
    pub fn with_lost_database(&self, id: BlockId, header: Header, state: &State) -> Self {
        let mut new = Self::new(id, header, state);
        new.blocks.clone_from(&self.blocks);
        new.log.clone_from(&self.log);
        new.lost = new.log.len();
        new.transactions.clone_from(&self.transactions);
        new
    }

    /// Forgets how to undo the blocks up to `height`.
    pub fn forget_undo(&mut self, height: Height) {
        self.undos.retain(|kept, _| *kept > height);
    }

    /// What a node needs to go on: of the chain the `window` highest blocks at most, and at least one.
    pub fn load(&self, consensus: &Consensus, window: usize) -> Loaded {
        let first = self.chain.len().saturating_sub(window.max(1));
        let (below, chain) = self.chain.split_at(first);
        let mut base: Option<Parent> = None;
        for (id, header) in below {
            base = Some(consensus.parent_of_next(header, *id, base.as_ref(), |_| {}));
        }
        let on_chain: BTreeSet<BlockId> = self.chain.iter().map(|(id, _)| *id).collect();
        let is_beside = |id: &&BlockId| !on_chain.contains(*id) && !self.forgotten.contains(*id);
        let side = self.log.iter().skip(self.lost).filter(is_beside);
        let side = side.filter_map(|id| Some((*id, self.blocks.get(id)?.0.clone()))).collect();
        Loaded {
            state: State::restore(self.accounts.iter().copied(), self.reserved.iter().cloned()),
            base,
            chain: chain.to_vec(),
            side,
        }
    }

    /// The bytes of all blocks in the order in which they were appended.
    pub fn log(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.log.iter().filter_map(|id| Some(&self.blocks.get(id)?.1))
    }

    /// The transactions that were kept, in order.
    pub fn transactions(&self) -> &[CheckedTransaction] {
        &self.transactions
    }

    /// How often the store was synced.
    pub const fn syncs(&self) -> u64 {
        self.syncs
    }

    fn check_readable(&self) -> Result<(), StoreError> {
        match self.fault {
            Fault::None | Fault::Full => Ok(()),
            Fault::Broken => Err(StoreError::Failed(Box::new(ToldToFail))),
        }
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        self.check_readable()?;
        match self.fault {
            Fault::Full => Err(StoreError::Full(Box::new(ToldToFail))),
            Fault::None | Fault::Broken => Ok(()),
        }
    }
}

impl Store for MemoryStore {
    fn append(&mut self, block: &CheckedBlock) -> Result<(), StoreError> {
        self.check_writable()?;
        let kept = (block.header().clone(), Arc::clone(block.bytes()));
        self.forgotten.remove(&block.id());
        if self.blocks.insert(block.id(), kept).is_none() {
            self.log.push(block.id());
        }
        Ok(())
    }

    fn block(&self, id: &BlockId) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.check_readable()?;
        Ok(self.blocks.get(id).map(|(_, bytes)| Arc::clone(bytes)))
    }

    fn advance(&mut self, advance: Advance, state: &mut State) -> Result<(), StoreError> {
        self.check_readable()?;
        let Advance { fork, connected } = advance;
        self.chain.truncate(usize::try_from(fork.next().0).unwrap_or(usize::MAX));
        self.undos.split_off(&fork.next());
        for connected in connected {
            self.undos.insert(connected.header.height, connected.undo);
            self.chain.push((connected.id, connected.header));
        }
        let len = usize::try_from(state.len()).unwrap_or(usize::MAX);
        self.accounts.truncate(len);
        for changed in state.take_changes() {
            let place = usize::try_from(changed.index.0).unwrap_or(usize::MAX);
            match self.accounts.get_mut(place) {
                Some(kept) => *kept = (changed.path, changed.account),
                None => self.accounts.push((changed.path, changed.account)),
            }
        }
        Ok(())
    }

    fn undo(&self, height: Height) -> Result<Option<Undo>, StoreError> {
        self.check_readable()?;
        Ok(self.undos.get(&height).cloned())
    }

    fn header(&self, height: Height) -> Result<Option<(BlockId, Header)>, StoreError> {
        self.check_readable()?;
        let place = usize::try_from(height.0).unwrap_or(usize::MAX);
        Ok(self.chain.get(place).cloned())
    }

    fn keep_transactions(&mut self, transactions: &[&CheckedTransaction]) -> Result<(), StoreError> {
        self.check_writable()?;
        self.transactions.extend(transactions.iter().copied().cloned());
        Ok(())
    }

    fn forget(&mut self, id: &BlockId) {
        self.forgotten.insert(*id);
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.check_readable()?;
        self.syncs += 1;
        Ok(())
    }
}
