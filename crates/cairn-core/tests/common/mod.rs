//! Builders with defaults: a small network, keys, transactions and blocks for tests of the rules.
#![allow(clippy::unwrap_used, reason = "a builder that fails fails its test")]
#![allow(dead_code, reason = "each test program uses a part of these builders")]

use cairn_core::address::{Address, AddressPrefix};
use cairn_core::block::{
    BLOCK_VERSION, Body, CheckedBlock, Header, Seal, SealedBlock, UnsealedBlock, block_id,
};
use cairn_core::codec::Encode as _;
use cairn_core::consensus::{Consensus, Parent, seal_message};
use cairn_core::hash::{BlockId, CertificateHash, ExtraHash, HistoryRoot, MerkleRoot, StateRoot};
use cairn_core::issuance::Issuance;
use cairn_core::network::{ConsensusSection, FeePolicy, Limits, Mode, NetworkName, Rules};
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::signature::{Batching, PublicKey, Scheme, Witness};
use cairn_core::state::State;
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{CheckedTransaction, Transaction, TransactionBody, Transfer, check};
use std::sync::Arc;

/// Two hashes of work a block, so that tests find a nonce at once.
pub(crate) const EASY: CompactTarget = CompactTarget(0x207f_ffff);
/// The seed of every batch in tests.
pub(crate) const SEED: Batching<'static> = Batching::from_seed([5; 32]);

/// Somebody with a key.
#[derive(Clone, Copy)]
pub(crate) struct Person(u8);

pub(crate) const ALICE: Person = Person(1);
pub(crate) const BOB: Person = Person(2);
pub(crate) const CAROL: Person = Person(3);
pub(crate) const MINER: Person = Person(9);

impl Person {
    fn secret(self) -> ed25519_zebra::SigningKey {
        ed25519_zebra::SigningKey::from([self.0; 32])
    }

    pub(crate) fn key(self) -> [u8; 32] {
        ed25519_zebra::VerificationKeyBytes::from(&self.secret()).into()
    }

    pub(crate) fn address(self) -> Address {
        PublicKey::Ed25519(self.key()).address()
    }

    pub(crate) fn sign(self, message: &[u8]) -> [u8; 64] {
        self.secret().sign(message).to_bytes()
    }
}

pub(crate) fn section() -> ConsensusSection {
    ConsensusSection {
        network: NetworkName {
            id: 7,
            name: "test".to_owned(),
            symbol: "TST".to_owned(),
            decimals: 8,
            prefix: AddressPrefix::new("test").unwrap(),
            coin_type: 1,
            devnet: true,
        },
        mode: Mode::Pow,
        interval_ms: 10_000,
        half_life_ms: 0,
        first_target: EASY,
        target_limit: EASY,
        issuance: Issuance { initial: Amount::from_units(50), ..Issuance::default() },
        maturity: 2,
        fees: FeePolicy { floor: FeeRate(1), moving: false, burn: false },
        limits: Limits {
            transaction_bytes: 64 * 1024,
            data_bytes: 1024,
            transfers: 256,
            block_weight: Weight(1 << 20),
            block_transactions: 5000,
            extra_bytes: 1024,
        },
        reserve: Amount::ZERO,
        schemes: vec![Scheme::Ed25519],
    }
}

pub(crate) fn rules_of(section: ConsensusSection) -> Rules {
    Rules::new(section, BlockId([42; 32]))
}

pub(crate) fn rules() -> Rules {
    rules_of(section())
}

pub(crate) fn consensus() -> Consensus {
    Consensus::new(rules()).unwrap()
}

pub(crate) fn transfer(to: Person, units: u64) -> Transfer {
    Transfer { to: to.address(), amount: Amount::from_units(units) }
}

/// A transfer of 5 units from Alice to Bob, nonce 0, fee rate 1, before it is changed and signed.
pub(crate) fn body() -> TransactionBody {
    TransactionBody {
        version: 1,
        nonce: Nonce(0),
        valid_until: Height(0),
        max_fee_rate: FeeRate(1),
        tip_rate: FeeRate(0),
        transfers: vec![transfer(BOB, 5)],
        data: Vec::new(),
    }
}

pub(crate) fn sign(body: TransactionBody, sender: Person) -> Transaction {
    let id = body.id(rules().identity(), &sender.address());
    let witness = Witness::Ed25519 { key: sender.key(), signature: sender.sign(id.as_bytes()) };
    Transaction { body, witness }
}

pub(crate) fn checked(body: TransactionBody, sender: Person) -> CheckedTransaction {
    check(sign(body, sender), &rules()).unwrap()
}

/// A state in which Alice has 10,000 units.
pub(crate) fn state() -> State {
    let mut state = State::new();
    give(&mut state, ALICE, 10_000);
    state.root();
    state.commit();
    state
}

pub(crate) fn give(state: &mut State, person: Person, units: u64) {
    let account = cairn_core::account::Account { balance: Amount::from_units(units), nonce: Nonce(0) };
    state.insert(person.address().path(), account);
}

pub(crate) fn balance(state: &State, person: Person) -> u64 {
    state.find(&person.address().path()).map_or(0, |index| state.account(index).balance.units())
}

pub(crate) fn genesis_header() -> Header {
    Header {
        version: BLOCK_VERSION,
        height: Height(0),
        time: Timestamp(1_000_000),
        parent: BlockId::ZERO,
        tx_count: 0,
        tx_root: MerkleRoot::ZERO,
        state_root: StateRoot::ZERO,
        history_root: HistoryRoot::ZERO,
        prev_seal: CertificateHash::ZERO,
        producer: MINER.address(),
        target: EASY,
        base_fee: FeeRate(1),
        weight_used: Weight(0),
        extra_hash: ExtraHash::ZERO,
    }
}

pub(crate) fn genesis_parent(consensus: &Consensus) -> Parent {
    consensus.parent_of_next(&genesis_header(), *consensus.rules().identity(), None, |_| ())
}

/// A header that follows from `parent`, except for what the body and the state decide.
pub(crate) fn header_on(parent: &Parent) -> Header {
    Header {
        height: parent.height.next(),
        time: Timestamp(parent.time.0 + 10_000),
        parent: parent.id,
        history_root: parent.history.root(),
        target: parent.next_target,
        base_fee: parent.next_base_fee,
        ..genesis_header()
    }
}

/// Closes a block with the work it needs.
pub(crate) fn mine(template: UnsealedBlock, consensus: &Consensus) -> CheckedBlock {
    let seal_hash = template.header().seal_hash();
    let target = template.header().target.expand().unwrap();
    let found = (0..).map(WorkNonce).find(|nonce| target.is_met_by(&block_id(&seal_hash, *nonce))).unwrap();
    let seal = if consensus.seal_needs_signature() {
        let message = seal_message(consensus.rules().identity(), &block_id(&seal_hash, found));
        Seal::Permit { nonce: found, signature: MINER.sign(&message) }
    } else {
        Seal::Work { nonce: found }
    };
    CheckedBlock::seal(template, seal, consensus).unwrap()
}

/// Finds the work for whatever a header says, true or not, and gives the bytes of the block.
pub(crate) fn mine_unchecked(header: Header, body: Body) -> Arc<[u8]> {
    let seal_hash = header.seal_hash();
    let target = EASY.expand().unwrap();
    let nonce = (0..).map(WorkNonce).find(|nonce| target.is_met_by(&block_id(&seal_hash, *nonce))).unwrap();
    SealedBlock { header, body, seal: Seal::Work { nonce } }.to_bytes().into()
}

/// A block of `transactions` on genesis that is in order, as its parts.
pub(crate) fn block_parts(transactions: Vec<CheckedTransaction>) -> (Header, Body) {
    let consensus = consensus();
    let template = UnsealedBlock::new(header_on(&genesis_parent(&consensus)), transactions, Vec::new());
    let transactions = template.transactions().iter().map(|it| it.transaction().clone()).collect();
    (template.header().clone(), Body { certificate: None, transactions, extra: Vec::new() })
}
