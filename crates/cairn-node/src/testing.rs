//! Builders for the tests of this crate: a network, keys, transactions, and a node with a pretend
//! clock, a store in memory and a sealer that tries nonces.

use crate::chain::{BlockRefusal, HeadersRefusal, HeadersVerdict, Imported, PeerKey, context_of};
use crate::config::{MiningConfig, MiningMode, NodeConfig};
use crate::memory::MemoryStore;
use crate::mempool::{SubmitError, Submitted};
use crate::messages::{Effect, Event, Input, Outcome, RequestId};
use crate::node::Node;
use crate::peers::PeerEffect;
use crate::producer::{MineRefusal, SealJob};
use cairn_core::account::Account;
use cairn_core::address::{Address, AddressPrefix};
use cairn_core::block::{
    self, BLOCK_VERSION, BlockError, CheckedBlock, CheckedHeader, Header, Seal, UnsealedBlock, block_id,
    extra_hash,
};
use cairn_core::consensus::{Consensus, Parent, seal_message};
use cairn_core::hash::{BlockId, CertificateHash, HistoryRoot, MerkleRoot, StateRoot, TransactionId};
use cairn_core::issuance::Issuance;
use cairn_core::network::{ConsensusSection, FeePolicy, Limits, Mode, NetworkName, Rules};
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::rules::{CollectedFees, apply_transaction, pay};
use cairn_core::signature::{Batching, PublicKey, Scheme, Witness};
use cairn_core::state::State;
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{
    CheckedTransaction, TRANSACTION_VERSION, Transaction, TransactionBody, TransactionError, Transfer, check,
};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use std::sync::Arc;

/// Every second hash is low enough.
pub(crate) const EASY: CompactTarget = CompactTarget(0x207f_ffff);
/// The time of block 0.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);
/// What each of the accounts 1 to 9 has at the start.
pub(crate) const RICH: u64 = 1_000_000_000;

/// A network under test.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) consensus: Consensus,
    pub(crate) id: BlockId,
    pub(crate) header: Header,
    pub(crate) state: State,
}

/// Who signs in tests: the account whose key is made of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Person(pub(crate) u8);

/// A transaction in the making.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    from: Person,
    body: TransactionBody,
}

/// A node, its store, and its clock.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) network: Network,
    pub(crate) node: Node,
    pub(crate) store: MemoryStore,
    pub(crate) now: Timestamp,
    pub(crate) news: Vec<Event>,
    pub(crate) job: Option<SealJob>,
    /// What peers are to be told, in order.
    pub(crate) told: Vec<(PeerKey, PeerEffect)>,
    /// How many times the node said that sealing is to stop.
    pub(crate) stops: u32,
    answers: Vec<(RequestId, Outcome)>,
    requests: u64,
}

/// The person `number` places after `first`.
pub(crate) fn nth(first: u8, number: u64) -> Person {
    Person(u8::try_from(u64::from(first) + number).unwrap())
}

/// The rules of an easy network, to be changed by a test.
pub(crate) fn section() -> ConsensusSection {
    ConsensusSection {
        network: NetworkName {
            id: 7,
            name: "test".to_owned(),
            symbol: "TST".to_owned(),
            decimals: 6,
            prefix: AddressPrefix::new("tst").unwrap(),
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
        fees: FeePolicy { floor: FeeRate(1), moving: false, burn: true },
        limits: Limits {
            transaction_bytes: 64 * 1024,
            data_bytes: 1024,
            transfers: 256,
            block_weight: Weight(1 << 20),
            block_transactions: 5_000,
            extra_bytes: 1024,
        },
        reserve: Amount::ZERO,
        schemes: vec![Scheme::Ed25519],
    }
}

impl Network {
    pub(crate) fn new(section: ConsensusSection) -> Self {
        let accounts = (1..10).map(|number| {
            let account = Account { balance: Amount::from_units(RICH), nonce: Nonce(0) };
            (Person(number).address().path(), account)
        });
        let mut state = State::restore(accounts, []);
        let header = Header {
            version: BLOCK_VERSION,
            height: Height::GENESIS,
            time: START,
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
            extra_hash: extra_hash(&[section.network.id.to_le_bytes()[0]]),
        };
        let id = block_id(&header.seal_hash(), WorkNonce(0));
        let consensus = Consensus::new(Rules::new(section, id)).unwrap();
        Self { consensus, id, header, state }
    }

    pub(crate) fn easy() -> Self {
        Self::new(section())
    }

    pub(crate) fn store(&self) -> MemoryStore {
        MemoryStore::new(self.id, self.header.clone(), &self.state)
    }
}

impl Person {
    pub(crate) fn key(self) -> SigningKey {
        SigningKey::from([self.0; 32])
    }

    pub(crate) fn public_key(self) -> [u8; 32] {
        VerificationKeyBytes::from(&self.key()).into()
    }

    pub(crate) fn address(self) -> Address {
        PublicKey::Ed25519(self.public_key()).address()
    }

    /// A transfer of one unit to person 9 at the lowest fee.
    pub(crate) fn sends(self, nonce: u64) -> Draft {
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            nonce: Nonce(nonce),
            valid_until: Height::GENESIS,
            max_fee_rate: FeeRate(10),
            tip_rate: FeeRate(1),
            transfers: vec![Transfer { to: Self(9).address(), amount: Amount::from_units(1) }],
            data: Vec::new(),
        };
        Draft { from: self, body }
    }
}

impl Draft {
    pub(crate) fn to(self, to: Person, amount: u64) -> Self {
        self.paying(to.address(), amount)
    }

    pub(crate) fn paying(mut self, to: Address, amount: u64) -> Self {
        self.body.transfers = vec![Transfer { to, amount: Amount::from_units(amount) }];
        self
    }

    pub(crate) fn body(self) -> TransactionBody {
        self.body
    }

    pub(crate) fn fees(mut self, max_fee_rate: u64, tip_rate: u64) -> Self {
        self.body.max_fee_rate = FeeRate(max_fee_rate);
        self.body.tip_rate = FeeRate(tip_rate);
        self
    }

    pub(crate) fn until(mut self, height: u64) -> Self {
        self.body.valid_until = Height(height);
        self
    }

    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.body.data = data.to_vec();
        self
    }

    pub(crate) fn sign(self, network: &Network) -> CheckedTransaction {
        let transaction = self.signed(network.consensus.rules().identity());
        check(transaction, network.consensus.rules()).unwrap()
    }

    /// Signed for the network with `identity`, not checked.
    pub(crate) fn signed(self, identity: &BlockId) -> Transaction {
        let id = self.body.id(identity, &self.from.address());
        let signature = self.from.key().sign(id.as_bytes()).into();
        Transaction { body: self.body, witness: Witness::Ed25519 { key: self.from.public_key(), signature } }
    }
}

/// Finds the seal of a header; `who` signs where the network asks for it.
pub(crate) fn find_seal(consensus: &Consensus, header: &Header, who: Person) -> Seal {
    let seal_hash = header.seal_hash();
    let target = header.target.expand().unwrap();
    let is_low = |nonce: &WorkNonce| target.is_met_by(&block_id(&seal_hash, *nonce));
    let nonce = (0..).map(WorkNonce).find(is_low).unwrap();
    if !consensus.seal_needs_signature() {
        return Seal::Work { nonce };
    }
    let message = seal_message(consensus.rules().identity(), &block_id(&seal_hash, nonce));
    Seal::Permit { nonce, signature: who.key().sign(&message).into() }
}

/// The header of an empty block that obeys every rule about its parent, but has no state root.
pub(crate) fn header_on(consensus: &Consensus, parent: &Parent, who: Person, now: Timestamp) -> Header {
    Header {
        version: BLOCK_VERSION,
        height: parent.height.next(),
        time: now.max(consensus.earliest_time(&who.address(), parent)),
        parent: parent.id,
        tx_count: 0,
        tx_root: MerkleRoot::ZERO,
        state_root: StateRoot::ZERO,
        history_root: parent.history.root(),
        prev_seal: CertificateHash::ZERO,
        producer: who.address(),
        target: parent.next_target,
        base_fee: parent.next_base_fee,
        weight_used: Weight(0),
        extra_hash: extra_hash(&[]),
    }
}

/// Seals a block as it is, however wrong.
pub(crate) fn seal_block(
    consensus: &Consensus,
    header: Header,
    transactions: Vec<CheckedTransaction>,
    who: Person,
) -> CheckedBlock {
    let block = UnsealedBlock::new(header, transactions, Vec::new());
    let seal = find_seal(consensus, block.header(), who);
    CheckedBlock::seal(block, seal, consensus).unwrap()
}

/// A configuration of a node that makes blocks for person 1 when asked.
pub(crate) fn miner() -> NodeConfig {
    let mining = MiningConfig { producer: Some(Person(1).address()), ..MiningConfig::default() };
    NodeConfig { mining, ..NodeConfig::default() }
}

/// The same in another mode.
pub(crate) fn miner_in(mode: MiningMode) -> NodeConfig {
    let mut config = miner();
    config.mining.mode = mode;
    config
}

/// The same, paid to somebody else, so that its blocks differ.
pub(crate) fn miner_for(who: Person) -> NodeConfig {
    let mut config = miner();
    config.mining.producer = Some(who.address());
    config
}

impl Bench {
    pub(crate) fn new(network: &Network, config: NodeConfig) -> Self {
        let store = network.store();
        Self::over(network, config, store)
    }

    /// A node that goes on where a store is.
    pub(crate) fn over(network: &Network, config: NodeConfig, store: MemoryStore) -> Self {
        let loaded = store.load(&network.consensus, 20_000);
        let node = Node::new(network.consensus.clone(), config, loaded);
        Self {
            network: network.clone(),
            node,
            store,
            now: START.saturating_add_ms(60_000),
            news: Vec::new(),
            told: Vec::new(),
            job: None,
            stops: 0,
            answers: Vec::new(),
            requests: 0,
        }
    }

    pub(crate) fn easy() -> Self {
        Self::new(&Network::easy(), miner())
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.node.handle(self.now, input, &mut self.store).unwrap();
        while let Some(effect) = self.node.next_effect() {
            match effect {
                Effect::Answer { request, outcome } => self.answers.push((request, outcome)),
                Effect::Seal(job) => self.job = Some(*job),
                Effect::StopSealing => {
                    self.job = None;
                    self.stops += 1;
                }
                Effect::News(event) => self.news.push(event),
                Effect::Peer { peer, effect } => self.told.push((peer, effect)),
            }
        }
    }

    /// Lets time pass, with the wakeups that the node asks for.
    pub(crate) fn wait_ms(&mut self, milliseconds: u64) {
        let end = self.now.saturating_add_ms(milliseconds);
        while let Some(wakeup) = self.node.next_wakeup().filter(|wakeup| *wakeup <= end) {
            self.now = self.now.max(wakeup);
            self.handle(Input::Wakeup);
            assert!(
                self.node.next_wakeup().is_none_or(|next| next > wakeup),
                "a wakeup is not asked for again"
            );
        }
        self.now = end;
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn take_answer(&mut self, request: RequestId) -> Option<Outcome> {
        let place = self.answers.iter().position(|(asked, _)| *asked == request)?;
        Some(self.answers.remove(place).1)
    }

    pub(crate) fn submit_all(
        &mut self,
        transactions: Vec<Result<CheckedTransaction, TransactionError>>,
    ) -> Vec<Result<Submitted, SubmitError>> {
        let request = self.request();
        self.handle(Input::Submit { request, transactions });
        match self.take_answer(request) {
            Some(Outcome::Submitted(answers)) => answers,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn submit(&mut self, draft: Draft) -> Result<TransactionId, SubmitError> {
        let transaction = draft.sign(&self.network);
        let id = transaction.id();
        let answer = self.submit_all(vec![Ok(transaction)]).pop().unwrap();
        answer.map(|submitted| match submitted {
            Submitted::Pending { id: found, .. } | Submitted::Known { id: found } => {
                assert_eq!(found, id);
                id
            }
        })
    }

    pub(crate) fn import(&mut self, block: CheckedBlock) -> Result<Imported, BlockRefusal> {
        let request = self.request();
        self.handle(Input::Block { request: Some(request), block });
        match self.take_answer(request) {
            Some(Outcome::Block(verdict)) => verdict,
            other => panic!("{other:?}"),
        }
    }

    /// Imports a block as it would come from a peer: its bytes are checked.
    pub(crate) fn import_bytes(&mut self, bytes: &Arc<[u8]>) -> Result<Imported, BlockRefusal> {
        let block = self.check(bytes).unwrap();
        self.import(block)
    }

    /// Takes headers as a peer sends them.
    pub(crate) fn accept(
        &mut self,
        peer: u64,
        headers: &[CheckedHeader],
    ) -> Result<HeadersVerdict, HeadersRefusal> {
        self.node.chain.accept_headers(PeerKey(peer), headers, self.now, &self.store).unwrap()
    }

    /// The headers of the chain above a height, as a peer would check them.
    pub(crate) fn headers_above(&self, height: u64) -> Vec<CheckedHeader> {
        use cairn_core::store::Store as _;
        let (id, _) = self.store.header(Height(height)).unwrap().unwrap();
        let sealed = self.store.headers_after(&[id], None, usize::MAX);
        sealed.into_iter().map(|header| header.check(&self.network.consensus).unwrap()).collect()
    }

    /// The bytes of the chain above a height.
    pub(crate) fn blocks_above(&self, height: u64) -> Vec<Arc<[u8]>> {
        self.headers_above(height).iter().map(|header| self.bytes(&header.id())).collect()
    }

    pub(crate) fn check(&self, bytes: &Arc<[u8]>) -> Result<CheckedBlock, BlockError> {
        block::check(Arc::clone(bytes), &self.network.consensus, Batching::from_seed([3; 32]))
    }

    /// Finds the seal of the current job and hands it in.
    pub(crate) fn seal(&mut self) {
        let job = self.job.take().expect("the node wants a seal");
        let who = (0..=u8::MAX).map(Person).find(|who| who.address() == job.header.producer).unwrap();
        let seal = find_seal(&self.network.consensus, &job.header, who);
        self.handle(job.sealed(seal));
    }

    /// Asks for blocks; the answer comes through [`Self::mined`].
    pub(crate) fn ask_to_mine(&mut self, blocks: u32) -> RequestId {
        let request = self.request();
        self.handle(Input::Mine { request, blocks });
        request
    }

    pub(crate) fn mined(&mut self, request: RequestId) -> Option<Result<Vec<BlockId>, MineRefusal>> {
        match self.take_answer(request)? {
            Outcome::Mined(outcome) => Some(outcome),
            other => panic!("{other:?}"),
        }
    }

    /// Makes blocks, a second apart, and returns their bytes.
    pub(crate) fn mine(&mut self, blocks: u32) -> Vec<Arc<[u8]>> {
        let mut made = Vec::new();
        for _ in 0..blocks {
            self.now = self.now.saturating_add_ms(1_000);
            let request = self.ask_to_mine(1);
            self.seal();
            let ids = self.mined(request).unwrap().unwrap();
            made.extend(ids.iter().map(|id| self.bytes(id)));
        }
        made
    }

    pub(crate) fn bytes(&self, id: &BlockId) -> Arc<[u8]> {
        use cairn_core::store::Store as _;
        self.store.block(id).unwrap().unwrap()
    }

    /// A block on the tip by `who` with these transactions. Those that break a rule are in it and do
    /// nothing to the state. `tamper` has the last word about the header.
    pub(crate) fn forge(
        &mut self,
        who: Person,
        transactions: Vec<CheckedTransaction>,
        tamper: impl FnOnce(&mut Header),
    ) -> CheckedBlock {
        let consensus = self.network.consensus.clone();
        let parent = self.node.chain.parent_of_next().clone();
        let mut header = header_on(&consensus, &parent, who, self.now);
        let payment = self.node.chain.payment(&header, &self.store).unwrap();
        let context = context_of(&header, consensus.rules().section().reserve);
        header.state_root = self.node.chain.rehearse(|state| {
            let mut fees = CollectedFees::default();
            for transaction in &transactions {
                if let Ok(paid) = apply_transaction(state, transaction, &context, |_| {}) {
                    fees.add(paid);
                }
            }
            pay(state, fees, &payment, consensus.rules(), |_| {});
            state.root()
        });
        tamper(&mut header);
        seal_block(&consensus, header, transactions, who)
    }

    /// Another node over a copy of the store, with the same time.
    pub(crate) fn twin(&self) -> Self {
        let mut twin = Self::over(&self.network, miner(), self.store.clone());
        twin.now = self.now.saturating_add_ms(1_000);
        twin
    }

    pub(crate) fn height(&self) -> u64 {
        self.node.tip().header.height.0
    }

    pub(crate) fn tip(&self) -> BlockId {
        self.node.tip().id
    }

    pub(crate) fn balance(&self, who: Person) -> u64 {
        self.node.account(&who.address()).confirmed.balance.units()
    }

    pub(crate) fn dropped(&self) -> Vec<(TransactionId, crate::mempool::DropReason)> {
        let dropped = self.news.iter().filter_map(|event| match event {
            Event::Dropped { id, reason } => Some((*id, *reason)),
            _ => None,
        });
        dropped.collect()
    }
}
