//! A network of any size and blocks full of signed transfers, made before anything is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cairn_core::address::Address;
use cairn_core::block::{BLOCK_VERSION, CheckedBlock, Header, Seal, UnsealedBlock, block_id};
use cairn_core::codec::Encode as _;
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::genesis::{Allocation, Genesis, GenesisDraft, GenesisParts};
use cairn_core::hash::{CertificateHash, ExtraHash, MerkleRoot};
use cairn_core::network::Mode;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::rules::{BlockContext, MaturedReward, Payment, execute};
use cairn_core::state::State;
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{
    CheckedTransaction, IdentifiedTransaction, Transaction, TransactionBody, Transfer, trust_all,
};
use cairn_wallet::SigningKey;

use crate::pipeline::default_threads;

/// Two hashes a block: what is measured is everything but work.
const EASY: CompactTarget = CompactTarget(0x207f_ffff);
/// How many of the accounts send.
const SENDERS_MAX: usize = 100_000;
/// Transfers in a block.
pub(super) const BLOCK_TRANSFERS: usize = 5_000;

/// Numbers that look random and are the same in every run (SplitMix64, Steele et al., 2014).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A network with blocks that follow from its genesis.
pub(super) struct Chain {
    pub(super) genesis: Genesis,
    pub(super) consensus: Consensus,
    /// The canonical bytes of blocks 1, 2, …
    pub(super) blocks: Vec<Arc<[u8]>>,
}

/// A network with `accounts` accounts and the keys of those that send.
pub(super) fn make_genesis(accounts: usize) -> (Genesis, Vec<SigningKey>, Vec<Address>) {
    let keys = in_parallel(accounts.min(SENDERS_MAX), |number| {
        let mut seed = [0x5a; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        SigningKey::from_seed(&seed)
    });
    let mut numbers = Numbers(42);
    let mut addresses: Vec<Address> = in_parallel(keys.len(), |number| keys[number].address());
    addresses.extend((keys.len()..accounts).map(|_| random_address(&mut numbers)));
    let mut parts = GenesisParts::new("bench", Mode::Pow, true);
    parts.section.half_life_ms = 0;
    parts.section.first_target = EASY;
    parts.section.target_limit = EASY;
    parts.first_block.target = EASY;
    let allocation = |address: &Address| Allocation {
        address: *address,
        balance: Amount::from_units(1 << 40),
        nonce: Nonce(0),
        label: None,
    };
    parts.allocations = addresses.iter().map(allocation).collect();
    let draft = GenesisDraft::new(parts).expect("the network of the bench keeps the rules of genesis");
    let nonce = draft.find_nonce(0..1 << 20).expect("every second hash will do");
    (draft.seal(nonce).expect("the nonce was found for this draft"), keys, addresses)
}

/// A network with `accounts` accounts and `blocks` full blocks, one transfer in a hundred to a new
/// account.
pub(super) fn make_chain(accounts: usize, blocks: usize) -> Chain {
    let (genesis, keys, addresses) = make_genesis(accounts);
    let consensus = Consensus::new(genesis.rules().clone()).expect("the bench works");
    let mut numbers = Numbers(99);
    let mut nonces = vec![0u64; keys.len()];
    let mut state = genesis.state();
    let mut parent = consensus.parent_of_next(&genesis.block().header, *genesis.identity(), None, |_| ());
    let mut made = Vec::with_capacity(blocks);
    for _ in 0..blocks {
        let plan: Vec<(usize, u64, Address)> = (0..BLOCK_TRANSFERS)
            .map(|_| {
                let from = numbers.below(keys.len());
                let nonce = nonces[from];
                nonces[from] += 1;
                let to = if numbers.below(100) == 0 {
                    random_address(&mut numbers)
                } else {
                    addresses[numbers.below(addresses.len())]
                };
                (from, nonce, to)
            })
            .collect();
        let signed = in_parallel(plan.len(), |at| {
            let (from, nonce, to) = &plan[at];
            sign_transfer(&keys[*from], &genesis, *nonce, *to)
        });
        let block = make_block(&consensus, &parent, &mut state, signed);
        parent = consensus.parent_of_next(block.header(), block.id(), Some(&parent), |_| ());
        made.push(block.bytes().clone());
    }
    Chain { genesis, consensus, blocks: made }
}

/// A network with few accounts and `blocks` empty blocks.
pub(super) fn make_empty_chain(blocks: usize) -> Chain {
    let (genesis, _, _) = make_genesis(10);
    let consensus = Consensus::new(genesis.rules().clone()).expect("the bench works");
    let mut state = genesis.state();
    let mut parent = consensus.parent_of_next(&genesis.block().header, *genesis.identity(), None, |_| ());
    let mut made = Vec::with_capacity(blocks);
    for _ in 0..blocks {
        let block = make_block(&consensus, &parent, &mut state, Vec::new());
        parent = consensus.parent_of_next(block.header(), block.id(), Some(&parent), |_| ());
        made.push(block.bytes().clone());
    }
    Chain { genesis, consensus, blocks: made }
}

/// A signed transfer of one unit.
pub(super) fn sign_transfer(key: &SigningKey, genesis: &Genesis, nonce: u64, to: Address) -> Transaction {
    let body = TransactionBody {
        version: 1,
        nonce: Nonce(nonce),
        valid_until: Height(0),
        max_fee_rate: FeeRate(1),
        tip_rate: FeeRate(0),
        transfers: vec![Transfer { to, amount: Amount::from_units(1) }],
        data: Vec::new(),
    };
    key.sign(&body, genesis.identity())
}

/// Executes transfers on the state and puts them into a block, which is then part of the state.
fn make_block(
    consensus: &Consensus,
    parent: &Parent,
    state: &mut State,
    transactions: Vec<Transaction>,
) -> CheckedBlock {
    let rules = consensus.rules();
    let identified = transactions.into_iter().map(|it| IdentifiedTransaction::new(it, rules.identity()));
    let checked: Vec<CheckedTransaction> =
        trust_all(identified.collect(), rules).expect("the transfers of the bench keep the rules");
    let producer = Address([9; 32]);
    let height = parent.height.next();
    let context = BlockContext { height, base_fee: parent.next_base_fee, reserve: rules.section().reserve };
    let reward = rules.section().issuance.reward(height);
    let payment = Payment { producer, matured: Some(MaturedReward { producer, amount: reward }) };
    let executed = execute(state, &checked, &context, &payment, rules).expect("the senders have enough");
    state.commit();
    let header = Header {
        version: BLOCK_VERSION,
        height,
        time: Timestamp(parent.time.0 + 1_000),
        parent: parent.id,
        tx_count: 0,
        tx_root: MerkleRoot::ZERO,
        state_root: executed.state_root,
        history_root: parent.history.root(),
        prev_seal: CertificateHash::ZERO,
        producer,
        target: parent.next_target,
        base_fee: parent.next_base_fee,
        weight_used: Weight(0),
        extra_hash: ExtraHash::ZERO,
    };
    let template = UnsealedBlock::new(header, checked, Vec::new());
    let seal_hash = template.header().seal_hash();
    let target = EASY.expand().expect("a constant");
    let nonce = (0..).map(WorkNonce).find(|nonce| target.is_met_by(&block_id(&seal_hash, *nonce)));
    let nonce = nonce.expect("every second hash will do");
    CheckedBlock::seal(template, Seal::Work { nonce }, consensus).expect("the work was just found")
}

fn random_address(numbers: &mut Numbers) -> Address {
    let mut address = [0; 32];
    for part in address.chunks_exact_mut(8) {
        part.copy_from_slice(&numbers.next().to_le_bytes());
    }
    Address(address)
}

/// `make(0)`, `make(1)`, … on all cores.
pub(super) fn in_parallel<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    const CHUNK: usize = 256;
    let next = AtomicUsize::new(0);
    let mut parts: Vec<(usize, Vec<T>)> = thread::scope(|scope| {
        let work = || {
            let mut parts = Vec::new();
            loop {
                let start = next.fetch_add(CHUNK, Ordering::Relaxed);
                if start >= count {
                    return parts;
                }
                let end = count.min(start + CHUNK);
                parts.push((start, (start..end).map(&make).collect::<Vec<T>>()));
            }
        };
        let threads: Vec<_> = (0..default_threads()).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread of the bench")).collect()
    });
    parts.sort_by_key(|(start, _)| *start);
    parts.into_iter().flat_map(|(_, part)| part).collect()
}

/// The bytes of many transactions, one after the other.
pub(super) fn concatenate(transactions: &[Transaction]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for transaction in transactions {
        transaction.encode(&mut bytes);
    }
    bytes
}
