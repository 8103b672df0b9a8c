//! Where blocks come from that nobody has: a chain beside the attacked one, and headers without any blocks.

use crate::support::linked::Node;
use crate::support::{key, transfer};
use cairn::run::{NodeSettings, Running};
use cairn_core::block::{self, Header, Seal, SealedBlock, SealedHeader, block_id, extra_hash};
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::genesis::{Allocation, Genesis, GenesisDraft, GenesisParts};
use cairn_core::hash::{BlockId, CertificateHash, MerkleRoot, StateRoot};
use cairn_core::network::Mode;
use cairn_core::numbers::{Amount, Height, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::signature::Batching;
use cairn_core::target::CompactTarget;
use cairn_node::MiningMode;
use tokio::runtime::Runtime;

/// Whose transactions are in its blocks.
const SENDER: u8 = 3;

/// A node that nobody is linked with: its blocks are true ones.
pub(crate) struct Forge {
    running: Running,
    sent: u64,
    _directory: tempfile::TempDir,
}

impl Forge {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = NodeSettings::new(genesis.clone(), directory.path().join("forge"));
        settings.mining.producer = Some(key(9).address());
        settings.mining.mode = MiningMode::Manual;
        Self { running: Running::start(settings, |_| {}).unwrap(), sent: 0, _directory: directory }
    }

    fn height(&self) -> u64 {
        self.running.handle().reader().tip().0
    }

    /// Takes the chain of a node.
    pub(crate) fn follow(&self, node: &Node, runtime: &Runtime) {
        let handle = self.running.handle();
        for height in 1..=node.height() {
            let bytes = node.block(height).into();
            let checked = block::check(bytes, handle.consensus(), Batching::from_seed([7; 32])).unwrap();
            runtime.block_on(handle.import(checked)).unwrap().unwrap();
        }
        assert_eq!(self.height(), node.height(), "the node has the better chain");
    }

    /// The next blocks on its chain, lowest first, each with a transaction.
    pub(crate) fn make(&mut self, blocks: u64, runtime: &Runtime) -> Vec<Vec<u8>> {
        let handle = self.running.handle();
        let made = (0..blocks).map(|_| {
            let payment = transfer(handle.genesis(), &key(SENDER), self.sent, key(8).address(), 1);
            self.sent += 1;
            runtime.block_on(async {
                assert!(handle.submit(vec![payment]).await.unwrap()[0].outcome.is_ok());
                handle.mine(1).await.unwrap().unwrap();
            });
            handle.reader().block_at(handle.reader().tip()).unwrap().unwrap().bytes.to_vec()
        });
        made.collect()
    }

    /// The next blocks on its chain, without transactions.
    pub(crate) fn make_empty(&self, blocks: u32, runtime: &Runtime) -> Vec<Vec<u8>> {
        let handle = self.running.handle();
        let from = handle.reader().tip().0 + 1;
        runtime.block_on(handle.mine(blocks)).unwrap().unwrap();
        let at = |height| handle.reader().block_at(Height(height)).unwrap().unwrap().bytes.to_vec();
        (from..=handle.reader().tip().0).map(at).collect()
    }
}

/// Does the work for a header, as it is.
pub(crate) fn seal(header: &Header) -> Seal {
    let (hash, target) = (header.seal_hash(), header.target.expand().unwrap());
    let is_low = |nonce: &WorkNonce| target.is_met_by(&block_id(&hash, *nonce));
    Seal::Work { nonce: (0..).map(WorkNonce).find(is_low).unwrap() }
}

/// A block after a change of its header, with new work.
pub(crate) fn resealed(bytes: &[u8], change: impl FnOnce(&mut SealedBlock)) -> SealedBlock {
    let mut block = block::decode_block(bytes).unwrap();
    change(&mut block);
    block.seal = seal(&block.header);
    block
}

/// A network where the honest chain has hard work, and where work grows easy if nobody does any: a long chain
/// of little work is cheap.
pub(crate) fn hard_genesis() -> Genesis {
    const HARD: CompactTarget = CompactTarget(0x1f00_ffff);
    const EASIEST: CompactTarget = CompactTarget(0x2100_ffff);
    let mut parts = GenesisParts::new("hard", Mode::Pow, true);
    parts.section.interval_ms = 1_000;
    parts.section.half_life_ms = HALF_LIFE_MS;
    parts.section.first_target = HARD;
    parts.section.target_limit = EASIEST;
    parts.first_block.target = EASIEST;
    // Long ago, so that there is time for many blocks.
    parts.first_block.time = Timestamp(1_700_000_000_000);
    let allocation = |number| Allocation {
        address: key(number).address(),
        balance: Amount::from_units(1 << 50),
        nonce: Nonce(0),
        label: None,
    };
    parts.allocations = (0..4).map(allocation).collect();
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1 << 20).unwrap();
    draft.seal(nonce).unwrap()
}

const HALF_LIFE_MS: u64 = 10_000;

/// So many headers on block 0 of that network that obey every rule and have little work; there are no blocks.
pub(crate) fn light_headers(genesis: &Genesis, count: usize) -> Vec<SealedHeader> {
    let consensus = Consensus::new(genesis.rules().clone()).unwrap();
    let mut parent = consensus.parent_of_next(&genesis.block().header, *genesis.identity(), None, |_| {});
    let limit = genesis.section().target_limit;
    let mut headers = Vec::with_capacity(count);
    while headers.len() < count {
        // Each takes so long that the next is easier, until none can be.
        let step_ms = if parent.next_target == limit { 1_000 } else { 2 * HALF_LIFE_MS };
        let header = empty_header(&parent, parent.time.saturating_add_ms(step_ms));
        let header = SealedHeader { seal: seal(&header), header };
        parent = consensus.parent_of_next(&header.header, header.id(), Some(&parent), |_| {});
        headers.push(header);
    }
    headers
}

/// A header of an empty block that obeys every rule about its parent, with no state.
fn empty_header(parent: &Parent, time: Timestamp) -> Header {
    Header {
        version: block::BLOCK_VERSION,
        height: parent.height.next(),
        time,
        parent: parent.id,
        tx_count: 0,
        tx_root: MerkleRoot::ZERO,
        state_root: StateRoot::ZERO,
        history_root: parent.history.root(),
        prev_seal: CertificateHash::ZERO,
        producer: key(9).address(),
        target: parent.next_target,
        base_fee: parent.next_base_fee,
        weight_used: Weight(0),
        extra_hash: extra_hash(&[]),
    }
}

/// A header that stands on nothing that anybody knows.
pub(crate) fn lone_header(genesis: &Genesis, number: u64) -> SealedHeader {
    let mut header = genesis.block().header.clone();
    header.parent = BlockId([0xee; 32]);
    header.height = Height(1_000_000);
    header.time = Timestamp(header.time.0 + number);
    SealedHeader { seal: seal(&header), header }
}
