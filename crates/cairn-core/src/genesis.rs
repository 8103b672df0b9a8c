//! How a network begins: its rules, its first accounts, and block 0, whose id names the network.
//!
//! [`GenesisParts`] are the settings, [`GenesisDraft`] is a genesis that obeys every rule but still
//! wants the work nonce of block 0, [`Genesis`] is complete. A genesis comes from a TOML file that
//! people write, or from canonical bytes that peers hand out; both obey the same rules.
//!
//! The identity commits the consensus section, the allocations and block 0. It does not commit
//! [`Policy`] and labels, which each node has for itself.

mod check;
pub mod coins;
mod error;
mod format;
mod parts;
mod policy;
mod reader;
#[cfg(test)]
mod tests;
mod time;
mod writer;

pub use error::{GenesisError, GenesisProblem, GenesisProblems, Setting};
pub use parts::{Allocation, FirstBlock, GenesisParts};
pub use policy::{Placeholder, Policy};

use crate::account::Account;
use crate::address::Address;
use crate::block::{BLOCK_VERSION, Body, Header, Seal, SealedBlock, block_id, extra_hash};
use crate::codec::{Decode as _, DecodeError, Encode, Reader, encode_count};
use crate::hash::{BlockId, CertificateHash, HistoryRoot, MerkleRoot, SealHash};
use crate::network::{ConsensusSection, Rules};
use crate::numbers::{Amount, Height, Nonce, Timestamp, Weight, WorkNonce};
use crate::state::State;
use crate::target::{CompactTarget, Target};
use std::ops::Range;

/// The most bytes of a genesis file that are read.
pub const GENESIS_TEXT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The most allocations of a genesis.
pub const ALLOCATIONS_MAX: usize = 1_000_000;
/// The most canonical bytes of a genesis: an allocation has 48, and all else is below 64 KiB.
pub const GENESIS_BYTES_MAX: usize = 48 * ALLOCATIONS_MAX + 64 * 1024;
/// How many work nonces are tried where a file leaves the nonce out: some tenths of a second.
pub const NONCES_TRIED_MAX: u64 = 1 << 22;

/// The name of the state entry that holds the listed keys.
const AUTHORITIES_ENTRY: &[u8] = b"authorities";
/// The kind byte of the authority set as a state value.
const KIND_AUTHORITY_SET: u8 = 0x02;

/// A genesis that obeys every rule but has no work nonce yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisDraft {
    parts: GenesisParts,
    /// The nonce that the file gives.
    nonce: Option<WorkNonce>,
    header: Header,
}

/// A network's beginning, complete and checked.
///
/// # Invariant
///
/// Made only by [`GenesisDraft::seal`], so it obeys every GEN rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    parts: GenesisParts,
    block: SealedBlock,
    rules: Rules,
}

impl GenesisDraft {
    /// Checks the parts and puts block 0 together.
    ///
    /// # Errors
    ///
    /// All GEN rules that the parts break.
    pub fn new(parts: GenesisParts) -> Result<Self, GenesisProblems> {
        GenesisProblems::unless_empty(check::check(&parts))?;
        Ok(Self::of_checked(parts, None))
    }

    /// Reads a genesis file.
    ///
    /// # Errors
    ///
    /// All GEN rules that it breaks, each with the place in `text`.
    pub fn from_toml(text: &str) -> Result<Self, GenesisProblems> {
        let (parts, nonce) = format::read(text)?;
        Ok(Self::of_checked(parts, nonce))
    }

    /// The file that says all of this, with comments; reading it gives the same draft.
    pub fn to_toml(&self) -> String {
        writer::write(&self.parts, self.nonce)
    }

    fn of_checked(mut parts: GenesisParts, nonce: Option<WorkNonce>) -> Self {
        parts.allocations.sort_unstable_by_key(|allocation| allocation.address);
        parts.section.schemes.sort_unstable();
        let FirstBlock { time, producer, target, .. } = parts.first_block;
        let header = Header {
            version: BLOCK_VERSION,
            height: Height::GENESIS,
            time,
            parent: BlockId::ZERO,
            tx_count: 0,
            tx_root: MerkleRoot::ZERO,
            state_root: state(&parts).root(),
            history_root: HistoryRoot::ZERO,
            prev_seal: CertificateHash::ZERO,
            producer,
            target,
            base_fee: parts.section.fees.floor,
            weight_used: Weight(0),
            extra_hash: extra_hash(&parts.section.to_bytes()),
        };
        Self { parts, nonce, header }
    }

    /// The settings.
    pub const fn parts(&self) -> &GenesisParts {
        &self.parts
    }

    /// The header of block 0.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What the work of block 0 is searched for.
    pub fn seal_hash(&self) -> SealHash {
        self.header.seal_hash()
    }

    /// The target of block 0; none where no work is asked.
    pub fn target(&self) -> Option<Target> {
        self.header.target.expand().ok()
    }

    /// The nonce that the file gives.
    pub const fn nonce(&self) -> Option<WorkNonce> {
        self.nonce
    }

    /// The first of `nonces` that meets the target; 0 where no work is asked. A range takes about
    /// 0.1 µs a nonce, so who wants to be interrupted asks for short ones.
    pub fn find_nonce(&self, nonces: Range<u64>) -> Option<WorkNonce> {
        match self.target() {
            Some(target) => {
                cairn_hash::search_work(&self.seal_hash().0, &target.to_be_bytes(), nonces).map(WorkNonce)
            }
            None => Some(WorkNonce(0)),
        }
    }

    /// Completes the genesis.
    ///
    /// # Errors
    ///
    /// GEN-33 if the nonce does not meet the target, GEN-23 if it is not 0 where no work is asked.
    pub fn seal(self, nonce: WorkNonce) -> Result<Genesis, GenesisError> {
        let id = block_id(&self.header.seal_hash(), nonce);
        match self.target() {
            // GEN-33 > The id of block 0 is at most its target.
            Some(target) if !target.is_met_by(&id) => return Err(GenesisError::TooLittleWork { id, target }),
            // GEN-23 > Under bft no work is asked.
            None if nonce != WorkNonce(0) => return Err(GenesisError::WorkUnderBft { found: nonce.0 }),
            Some(_) | None => {}
        }
        let Self { parts, header, .. } = self;
        let extra = parts.section.to_bytes();
        let body = Body { certificate: None, transactions: Vec::new(), extra };
        let rules = Rules::new(parts.section.clone(), id);
        Ok(Genesis { parts, block: SealedBlock { header, body, seal: Seal::Work { nonce } }, rules })
    }
}

impl Genesis {
    /// Reads a genesis file. Where it leaves the work nonce out, the least one that meets the
    /// target is meant, so the file names one network all the same.
    ///
    /// # Errors
    ///
    /// All GEN rules that it breaks, each with the place in `text`.
    pub fn from_toml(text: &str) -> Result<Self, GenesisProblems> {
        let draft = GenesisDraft::from_toml(text)?;
        let setting = Setting::of("genesis_block", "work_nonce");
        let problem = |error| {
            let span = Some(reader::locate(text, setting));
            GenesisProblem { error, setting: Some(setting), span }
        };
        // GEN-32 > A file may leave the nonce out where a short search finds it.
        let nonce = draft
            .nonce()
            .or_else(|| draft.find_nonce(0..NONCES_TRIED_MAX))
            .ok_or_else(|| problem(GenesisError::NotSealed { tried: NONCES_TRIED_MAX }))?;
        Ok(draft.seal(nonce).map_err(problem)?)
    }

    /// Reads the canonical bytes of a genesis, as a peer hands them out. The peer's policy is not
    /// among them; the result has the default policy.
    ///
    /// # Errors
    ///
    /// GEN-1, GEN-34, all GEN rules about values that it breaks, and GEN-35 if it is not the one
    /// with the identity that was `expected`.
    pub fn from_bytes(bytes: &[u8], expected: Option<&BlockId>) -> Result<Self, GenesisProblems> {
        // GEN-1 > At most as many bytes as this release reads.
        if bytes.len() > GENESIS_BYTES_MAX {
            let error = GenesisError::TooManyBytes { found: bytes.len(), limit: GENESIS_BYTES_MAX };
            return Err(GenesisProblem::of_whole(error).into());
        }
        // GEN-34 > Canonical form.
        let (parts, nonce) =
            decode_parts(bytes).map_err(|error| GenesisProblem::of_whole(GenesisError::Form(error)))?;
        let genesis = GenesisDraft::new(parts)?.seal(nonce).map_err(GenesisProblem::of_whole)?;
        // GEN-35 > The identity that was asked for.
        match expected {
            Some(expected) if genesis.identity() != expected => {
                let error = GenesisError::WrongIdentity { found: *genesis.identity(), expected: *expected };
                Err(GenesisProblem::of_whole(error).into())
            }
            Some(_) | None => Ok(genesis),
        }
    }

    /// The file that says all of this, with comments; reading it gives the same identity.
    pub fn to_toml(&self) -> String {
        writer::write(&self.parts, Some(self.block.seal.nonce()))
    }

    /// The id of block 0: the network's identity.
    pub const fn identity(&self) -> &BlockId {
        self.rules.identity()
    }

    /// The rules of the network.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// All that the rules are made of.
    pub const fn section(&self) -> &ConsensusSection {
        &self.parts.section
    }

    /// What the file advises a node to do where the rules leave it free.
    pub const fn policy(&self) -> &Policy {
        &self.parts.policy
    }

    /// The first accounts, by ascending address.
    pub fn allocations(&self) -> &[Allocation] {
        &self.parts.allocations
    }

    /// Block 0.
    pub const fn block(&self) -> &SealedBlock {
        &self.block
    }

    /// The canonical bytes of block 0.
    pub fn block_bytes(&self) -> Vec<u8> {
        self.block.to_bytes()
    }

    /// The state after block 0, committed; all of its accounts count as changed.
    pub fn state(&self) -> State {
        state(&self.parts)
    }

    /// All base units that exist after block 0: the allocations and the reward of block 0.
    pub fn allocated(&self) -> Amount {
        let balances = self.parts.allocations.iter().map(|allocation| allocation.balance);
        Amount::checked_sum(balances.chain([self.parts.first_block.reward])).expect("GEN-18 was checked")
    }
}

/// The state after block 0. The parts are checked, the allocations sorted.
fn state(parts: &GenesisParts) -> State {
    let mut state = State::new();
    let keys = parts.section.mode.authorities();
    if !keys.is_empty() {
        let mut value = vec![KIND_AUTHORITY_SET];
        encode_count(keys.len(), &mut value);
        keys.iter().for_each(|key| key.encode(&mut value));
        state.set_reserved(AUTHORITIES_ENTRY, value);
    }
    for (address, account) in parts.accounts() {
        state.insert(address.path(), account);
    }
    state.commit();
    state
}

impl GenesisParts {
    /// The accounts after block 0: the allocations, and the reward of block 0 added to its producer's.
    fn accounts(&self) -> impl Iterator<Item = (Address, Account)> + '_ {
        let FirstBlock { producer, reward, .. } = self.first_block;
        let is_allocated = self.allocations.iter().any(|allocation| allocation.address == producer);
        let rewarded = Account { balance: reward, nonce: Nonce(0) };
        let extra = (reward > Amount::ZERO && !is_allocated).then_some((producer, rewarded));
        let allocated = self.allocations.iter().map(move |allocation| {
            let reward = if allocation.address == producer { reward } else { Amount::ZERO };
            let balance = allocation.balance.checked_add(reward).expect("GEN-18 was checked");
            (allocation.address, Account { balance, nonce: allocation.nonce })
        });
        allocated.chain(extra)
    }
}

impl Encode for Genesis {
    /// The section, the allocations by ascending address, and of block 0: time, producer, reward,
    /// target and work nonce.
    fn encode(&self, out: &mut Vec<u8>) {
        self.parts.section.encode(out);
        encode_count(self.parts.allocations.len(), out);
        for allocation in &self.parts.allocations {
            allocation.address.encode(out);
            allocation.balance.encode(out);
            allocation.nonce.encode(out);
        }
        let FirstBlock { time, producer, reward, target } = self.parts.first_block;
        time.encode(out);
        producer.encode(out);
        reward.encode(out);
        target.encode(out);
        self.block.seal.nonce().encode(out);
    }
}

fn decode_parts(bytes: &[u8]) -> Result<(GenesisParts, WorkNonce), DecodeError> {
    let mut reader = Reader::new(bytes);
    let section = ConsensusSection::decode(&mut reader)?;
    let count = reader.count("allocations", ALLOCATIONS_MAX, 48)?;
    let mut allocations: Vec<Allocation> = Vec::with_capacity(count);
    for _ in 0..count {
        let address = Address::decode(&mut reader)?;
        if allocations.last().is_some_and(|last| last.address >= address) {
            return Err(DecodeError::NotCanonical { what: "order of allocations", at: reader.position() });
        }
        let (balance, nonce) = (Amount::decode(&mut reader)?, Nonce::decode(&mut reader)?);
        allocations.push(Allocation { address, balance, nonce, label: None });
    }
    let first_block = FirstBlock {
        time: Timestamp::decode(&mut reader)?,
        producer: Address::decode(&mut reader)?,
        reward: Amount::decode(&mut reader)?,
        target: CompactTarget::decode(&mut reader)?,
    };
    let nonce = WorkNonce::decode(&mut reader)?;
    reader.finish()?;
    let policy = Policy::of(&section.limits);
    Ok((GenesisParts { section, allocations, first_block, policy }, nonce))
}

/// What a fuzzer drives: no text and no bytes make reading panic, and what is accepted comes back.
///
/// # Panics
///
/// If a genesis that was accepted is written in a form that reads as another.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(genesis) = Genesis::from_bytes(bytes, None) {
        assert_eq!(genesis.to_bytes(), bytes, "canonical bytes have one form");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(draft) = GenesisDraft::from_toml(text) {
        let again = GenesisDraft::from_toml(&draft.to_toml());
        assert_eq!(again.as_ref(), Ok(&draft), "a file is read as it is written");
    }
}
