//! `chain.json`: two short chains from genesis on, with all accounts after every block, and blocks
//! that are refused on top of them.

use crate::blocks::header_json;
use crate::chain_refusals;
use crate::fixture::{address, body, coins, hex, key, section, section_json, sign, signer, transfer, wide};
use crate::settle;
use cairn_core::account::Account;
use cairn_core::address::Address;
use cairn_core::block::{
    self, BLOCK_VERSION, BlockError, Body, CheckedBlock, Header, Seal, SealedBlock, block_id, extra_hash,
};
use cairn_core::codec::Encode as _;
use cairn_core::consensus::{Consensus, Parent, seal_message};
use cairn_core::genesis::{Allocation, GenesisDraft, GenesisParts, Policy};
use cairn_core::hash::{BlockId, CertificateHash, ExtraHash, HistoryRoot, MerkleRoot, StateRoot};
use cairn_core::issuance::Issuance;
use cairn_core::merkle;
use cairn_core::network::{ConsensusSection, FeePolicy, Mode, Rules};
use cairn_core::numbers::{FeeRate, Height, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::rules::{BlockContext, Executed, MaturedReward, Payment, execute, matured_height};
use cairn_core::signature::Batching;
use cairn_core::state::State;
use cairn_core::target::Work;
use cairn_core::transaction::{IdentifiedTransaction, Transaction, TransactionBody};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// When block 0 of both chains was made.
const GENESIS_TIME: u64 = 1_767_225_600_000;
/// Under which name the state keeps the listed keys, where the mode lists keys.
const AUTHORITIES: &str = "authorities";

/// A chain and its tip.
pub(crate) struct World {
    pub(crate) consensus: Consensus,
    pub(crate) state: State,
    pub(crate) tip: Parent,
    work: Work,
    producers: Vec<Address>,
    /// The addresses whose accounts are shown, by path.
    known: BTreeMap<[u8; 32], Address>,
}

/// What a block is to hold.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    /// The seed of the producer's key.
    pub(crate) producer: u8,
    /// Milliseconds after the parent.
    pub(crate) later_ms: u64,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) extra: Vec<u8>,
}

impl World {
    /// The genesis of a network with these accounts, and its description.
    fn new(name: &str, section: &ConsensusSection, accounts: &[(u8, u64, u64)]) -> (Self, Value) {
        let mut state = State::new();
        let authorities = section.mode.authorities();
        if !authorities.is_empty() {
            let mut value = vec![2];
            u32::try_from(authorities.len()).unwrap().encode(&mut value);
            authorities.iter().for_each(|key| key.encode(&mut value));
            state.set_reserved(AUTHORITIES.as_bytes(), value);
        }
        for (seed, balance, nonce) in accounts {
            let account = Account { balance: coins(*balance), nonce: Nonce(*nonce) };
            state.insert(address(*seed).path(), account);
        }
        let extra = section.to_bytes();
        let header = Header {
            version: BLOCK_VERSION,
            height: Height(0),
            time: Timestamp(GENESIS_TIME),
            parent: BlockId::ZERO,
            tx_count: 0,
            tx_root: MerkleRoot::ZERO,
            state_root: state.root(),
            history_root: HistoryRoot::ZERO,
            prev_seal: CertificateHash::ZERO,
            producer: Address::default(),
            target: section.first_target,
            base_fee: section.fees.floor,
            weight_used: Weight(0),
            extra_hash: extra_hash(&extra),
        };
        state.commit();
        let nonce = mine(&header);
        let id = block_id(&header.seal_hash(), nonce);
        let genesis = SealedBlock {
            header: header.clone(),
            body: Body { certificate: None, transactions: Vec::new(), extra },
            seal: Seal::Work { nonce },
        };
        assert_eq!(genesis.to_bytes(), block_0_of(section, accounts), "the code of genesis agrees");
        let consensus = Consensus::new(Rules::new(section.clone(), id)).unwrap();
        let tip = consensus.parent_of_next(&header, id, None, |_| ());
        let work = consensus.work_of(&header);
        let known = (1..=12).map(|seed| (address(seed).path().0, address(seed))).collect();
        let world = Self { consensus, state, tip, work, producers: vec![header.producer], known };
        let allocations = accounts.iter().map(|(seed, balance, nonce)| {
            json!({"address": hex(address(*seed).0), "balance": wide(*balance), "nonce": wide(*nonce)})
        });
        let json = json!({
            "name": name,
            "section": section_json(section),
            "allocations": allocations.collect::<Vec<_>>(),
            "identity": id.to_string(),
            "genesis_header": header_json(&header),
            "genesis_nonce": wide(nonce.0),
            "genesis_bytes": hex(genesis.to_bytes()),
            "genesis_history_leaf": world.leaf_json(),
            "genesis_accounts": world.accounts_json(),
        });
        (world, json)
    }

    /// The header, body and seal of a block as planned; the state is as before.
    pub(crate) fn make(&mut self, plan: Plan) -> SealedBlock {
        let producer = plan.producer;
        let mut block = self.prepare(plan);
        self.close(&mut block, producer);
        block
    }

    /// As [`make`](Self::make), without a valid seal.
    fn prepare(&mut self, plan: Plan) -> SealedBlock {
        let Plan { producer, later_ms, transactions, extra } = plan;
        let rules = self.consensus.rules().clone();
        let identify = |it: &Transaction| IdentifiedTransaction::new(it.clone(), rules.identity());
        let identified: Vec<_> = transactions.iter().map(identify).collect();
        let leaves: Vec<_> = identified.iter().map(IdentifiedTransaction::leaf).collect();
        let checked = cairn_core::transaction::trust_all(identified, &rules).unwrap_or_default();
        let weight = checked.iter().map(|it| it.weight().0).sum();
        let mut header = Header {
            version: BLOCK_VERSION,
            height: self.tip.height.next(),
            time: self.tip.time.saturating_add_ms(later_ms),
            parent: self.tip.id,
            tx_count: u32::try_from(transactions.len()).unwrap(),
            tx_root: merkle::root(&leaves),
            state_root: StateRoot::ZERO,
            history_root: self.tip.history.root(),
            prev_seal: CertificateHash::ZERO,
            producer: address(producer),
            target: self.tip.next_target,
            base_fee: self.tip.next_base_fee,
            weight_used: Weight(weight),
            extra_hash: extra_hash(&extra),
        };
        if let Ok(executed) = self.execute(&header, &checked) {
            header.state_root = executed.state_root;
        }
        self.state.roll_back();
        self.state.root();
        let seal = Seal::Work { nonce: WorkNonce(0) };
        SealedBlock { header, body: Body { certificate: None, transactions, extra }, seal }
    }

    /// Searches the nonce, and signs where the mode asks for it.
    pub(crate) fn close(&self, block: &mut SealedBlock, producer: u8) {
        let nonce = mine(&block.header);
        block.seal = if self.consensus.seal_needs_signature() {
            let id = block_id(&block.header.seal_hash(), nonce);
            let message = seal_message(self.consensus.rules().identity(), &id);
            Seal::Permit { nonce, signature: signer(producer).sign(&message).to_bytes() }
        } else {
            Seal::Work { nonce }
        };
    }

    fn execute(
        &mut self,
        header: &Header,
        transactions: &[cairn_core::transaction::CheckedTransaction],
    ) -> Result<Executed, BlockError> {
        let rules = self.consensus.rules();
        let context = BlockContext {
            height: header.height,
            base_fee: header.base_fee,
            reserve: rules.section().reserve,
        };
        let producer_at = |height: Height| {
            self.producers.get(usize::try_from(height.0).unwrap()).copied().unwrap_or(header.producer)
        };
        let matured = matured_height(rules, header.height).map(|height| MaturedReward {
            producer: producer_at(height),
            amount: rules.section().issuance.reward(height),
        });
        let payment = Payment { producer: header.producer, matured };
        execute(&mut self.state, transactions, &context, &payment, rules)
    }

    /// Every rule, in the order of the pages. The state is changed only by a valid block.
    pub(crate) fn judge(&mut self, bytes: &[u8]) -> Result<(CheckedBlock, Executed), BlockError> {
        let bytes: Arc<[u8]> = bytes.into();
        let checked = block::check(bytes, &self.consensus, Batching::from_seed([7; 32]))?;
        self.consensus.check_header(checked.header(), &self.tip)?;
        let outcome = self.execute(checked.header(), checked.transactions());
        let expected = checked.header().state_root;
        match outcome {
            Ok(executed) if executed.state_root == expected => {
                self.state.commit();
                Ok((checked, executed))
            }
            Ok(executed) => {
                self.state.roll_back();
                Err(BlockError::StateRoot { found: expected, expected: executed.state_root })
            }
            Err(error) => {
                self.state.roll_back();
                Err(error)
            }
        }
    }

    /// Adds a block to the chain and describes it.
    fn extend(&mut self, plan: Plan) -> Value {
        let block = self.make(plan);
        let bytes = block.to_bytes();
        let (checked, executed) = self.judge(&bytes).unwrap();
        let header = checked.header();
        self.tip = self.consensus.parent_of_next(header, checked.id(), Some(&self.tip), |_| ());
        self.work = self.work + self.consensus.work_of(header);
        self.producers.push(header.producer);
        json!({
            "header": header_json(header),
            "bytes": hex(&bytes),
            "id": checked.id().to_string(),
            "seal_hash": header.seal_hash().to_string(),
            "transactions": checked.transactions().iter().map(|it| it.id().to_string()).collect::<Vec<_>>(),
            "fees": wide(executed.totals.fees.units()),
            "burned": wide(executed.totals.burned.units()),
            "reward": wide(executed.totals.reward.units()),
            "supply": wide(self.state.total().units()),
            "accounts": self.accounts_json(),
            "history_leaf": self.leaf_json(),
            "total_work": self.work.to_string(),
            "next_target": self.tip.next_target.to_string(),
            "next_base_fee": wide(self.tip.next_base_fee.0),
            "next_history_root": self.tip.history.root().to_string(),
            "future_allowance_ms": wide(self.consensus.future_allowance_ms(header)),
        })
    }

    /// The leaf of the tip, and the node over all blocks.
    fn leaf_json(&self) -> Value {
        let top = self.tip.history.top().unwrap();
        json!({"blocks": wide(top.summary.count), "top_hash": hex(top.hash), "top_summary": hex(top.summary.to_bytes())})
    }

    /// All accounts, by path.
    fn accounts_json(&self) -> Value {
        let mut accounts: Vec<_> = self.state.accounts().collect();
        accounts.sort_unstable_by_key(|(path, _)| *path);
        let one = |(path, account): (cairn_core::hash::StatePath, Account)| {
            json!({
                "path": path.to_string(),
                "address": self.known.get(&path.0).map(|address| hex(address.0)),
                "balance": wide(account.balance.units()),
                "nonce": wide(account.nonce.0),
            })
        };
        Value::Array(accounts.into_iter().map(one).collect())
    }

    pub(crate) fn identity(&self) -> BlockId {
        *self.consensus.rules().identity()
    }
}

/// Block 0 as the genesis of these parts has it.
fn block_0_of(section: &ConsensusSection, accounts: &[(u8, u64, u64)]) -> Vec<u8> {
    let mut parts = GenesisParts::new("", section.mode.clone(), false);
    parts.section = section.clone();
    parts.policy = Policy::of(&section.limits);
    parts.first_block.target = section.first_target;
    parts.first_block.time = Timestamp(GENESIS_TIME);
    let allocation = |(seed, balance, nonce): &(u8, u64, u64)| Allocation {
        address: address(*seed),
        balance: coins(*balance),
        nonce: Nonce(*nonce),
        label: None,
    };
    parts.allocations = accounts.iter().map(allocation).collect();
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1 << 20).unwrap();
    draft.seal(nonce).unwrap().block_bytes()
}

/// The least work nonce.
fn mine(header: &Header) -> WorkNonce {
    let Ok(target) = header.target.expand() else { return WorkNonce(0) };
    let nonce = cairn_hash::search_work(&header.seal_hash().0, &target.to_be_bytes(), 0..u64::MAX);
    WorkNonce(nonce.unwrap())
}

/// Rewards that halve, a cap, a moving base fee that is burned, a maturity of two blocks.
pub(crate) fn pow() -> (World, Value) {
    let accounts = [(1, 1_000_000_000, 0), (2, 500_000_000, 0), (3, 70_000, 5)];
    let (mut world, mut json) = World::new("pow", &section(Mode::Pow), &accounts);
    let identity = world.identity();
    let pay = |seed, nonce, rate, tip_rate, transfers: &[(u8, u64)]| {
        let transfers = transfers.iter().map(|(to, units)| transfer(address(*to), *units)).collect();
        sign(seed, TransactionBody { tip_rate: FeeRate(tip_rate), ..body(nonce, rate, transfers) }, &identity)
    };
    let with_data = {
        let plain = body(5, 9, vec![transfer(address(1), 20_000), transfer(address(7), 1_000)]);
        let body = TransactionBody { valid_until: Height(2), data: b"for the bread".to_vec(), ..plain };
        sign(3, body, &identity)
    };
    let heavy: Vec<(u8, u64)> = (0..256).map(|n| (6, 1_000 + n)).collect();
    let plans = [
        Plan { producer: 4, later_ms: 8_000, transactions: Vec::new(), extra: b"the first".to_vec() },
        Plan {
            producer: 5,
            later_ms: 15_000,
            transactions: vec![pay(1, 0, 5, 1, &[(2, 50_000_000)]), with_data],
            ..Plan::default()
        },
        Plan { producer: 4, later_ms: 1, transactions: vec![pay(1, 1, 20, 2, &heavy)], ..Plan::default() },
        Plan {
            producer: 4,
            later_ms: 70_000,
            transactions: vec![
                pay(1, 2, 10, 0, &[(8, 100_000)]),
                pay(8, 0, 4, 9, &[(9, 50_000), (8, 1)]),
                pay(1, 3, 10, 3, &[(9, 5), (9, 6), (10, 1_000)]),
                pay(2, 0, 6, 6, &[(2, 549_000_000)]),
            ],
            extra: vec![0xee; 128],
        },
        Plan { producer: 6, later_ms: 130_000, ..Plan::default() },
        Plan {
            producer: 11,
            later_ms: 9_999,
            transactions: vec![pay(9, 0, 4, 1, &[(1, 1)])],
            ..Plan::default()
        },
    ];
    let blocks: Vec<Value> = plans.into_iter().map(|plan| world.extend(plan)).collect();
    json["blocks"] = Value::Array(blocks);
    (world, json)
}

/// Three listed miners who take turns, a fixed difficulty, a fee that is not burned.
pub(crate) fn permit() -> (World, Value) {
    let miners = vec![key(1), key(2), key(3)];
    let plain = section(Mode::PowPermit { miners, turns: true });
    let section = ConsensusSection {
        half_life_ms: 0,
        maturity: 0,
        reserve: coins(0),
        fees: FeePolicy { floor: FeeRate(2), moving: false, burn: false },
        issuance: Issuance { initial: coins(50), halving_every: 0, tail: coins(0), cap: coins(1_000_000) },
        ..plain
    };
    let (mut world, mut json) = World::new("permit", &section, &[(5, 1_000_000, 0)]);
    let identity = world.identity();
    let pay = |nonce, to| sign(5, body(nonce, 2, vec![transfer(address(to), 10)]), &identity);
    let plans = [
        Plan { producer: 2, later_ms: 1, transactions: vec![pay(0, 6)], ..Plan::default() },
        Plan { producer: 3, later_ms: 10_000, transactions: vec![pay(1, 6), pay(2, 7)], ..Plan::default() },
        Plan { producer: 2, later_ms: 20_000, ..Plan::default() },
        Plan { producer: 2, later_ms: 2, ..Plan::default() },
    ];
    let blocks: Vec<Value> = plans.into_iter().map(|plan| world.extend(plan)).collect();
    json["blocks"] = Value::Array(blocks);
    (world, json)
}

#[test]
fn the_vectors_of_chains_hold() {
    let (mut world, mut pow) = pow();
    pow["refused"] = chain_refusals::on_pow(&mut world);
    let (mut world, mut permit) = permit();
    permit["refused"] = chain_refusals::on_permit(&mut world);
    settle("chain", &json!({"networks": [pow, permit]}));
}

/// What a careless producer writes where a body has no extra data; the hash of nothing is not zero.
pub(crate) const NO_EXTRA: ExtraHash = ExtraHash([0; 32]);
