//! Blocks: header, body and seal, and what is true of a block by itself.
//!
//! [`SealedBlock`] is what arrives, [`CheckedBlock`] is one that obeys every rule that needs neither
//! its parent nor the state. Checking is most of the work and may run on any thread.

use crate::address::Address;
use crate::codec::{Decode, DecodeError, Encode, Reader, decode_exact, encode_byte_string, encode_count};
use crate::consensus::{Consensus, HeaderError};
use crate::hash::{
    BlockId, CertificateHash, ExtraHash, HistoryRoot, LeafHash, MerkleRoot, SealHash, StateRoot, Tag,
};
use crate::merkle;
use crate::network::AUTHORITIES_MAX;
use crate::numbers::{FeeRate, Height, Timestamp, Weight, WorkNonce};
use crate::signature::BatchSeed;
use crate::target::CompactTarget;
use crate::transaction::{
    CheckedTransaction, IdentifiedTransaction, TRANSACTION_BYTES_MIN, Transaction, TransactionError,
    check_all, trust_all,
};
use std::sync::Arc;

/// The version of headers and bodies that this release makes and reads.
pub const BLOCK_VERSION: u16 = 1;
/// The most bytes of a block with its seal on any network; genesis sets the weight far below.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most bytes of extra data: block 0 carries the consensus section of genesis there.
pub const EXTRA_BYTES_MAX: usize = 64 * 1024;
/// The canonical bytes of a header.
pub const HEADER_BYTES: usize = 266;

/// What a block commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of header and body.
    pub version: u16,
    /// The number of blocks below.
    pub height: Height,
    /// When the producer says it was made.
    pub time: Timestamp,
    /// The id of the parent; zero for block 0.
    pub parent: BlockId,
    /// How many transactions the body holds.
    pub tx_count: u32,
    /// The root over their leaves.
    pub tx_root: MerkleRoot,
    /// The root over all accounts after the block.
    pub state_root: StateRoot,
    /// The root over all earlier blocks.
    pub history_root: HistoryRoot,
    /// The hash of the certificate in the body; zero where there is none.
    pub prev_seal: CertificateHash,
    /// Who gets fees and reward.
    pub producer: Address,
    /// The target of the work hash.
    pub target: CompactTarget,
    /// The price of a unit of weight in this block.
    pub base_fee: FeeRate,
    /// The weight of all transactions.
    pub weight_used: Weight,
    /// The hash of the extra data.
    pub extra_hash: ExtraHash,
}

impl Header {
    /// What the seal closes.
    pub fn seal_hash(&self) -> SealHash {
        SealHash(Tag::HEADER.hash(&[&self.to_bytes()]))
    }
}

/// The id of a block: the work hash of its seal hash and work nonce, SHA-256 twice over 40 bytes.
pub fn block_id(seal_hash: &SealHash, nonce: WorkNonce) -> BlockId {
    BlockId(cairn_hash::double_sha256_of_40(&seal_hash.0, nonce.0))
}

/// The hash of extra data.
pub fn extra_hash(extra: &[u8]) -> ExtraHash {
    ExtraHash(Tag::EXTRA.hash(&[extra]))
}

/// What shows that more than two thirds of the validators agreed on a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The height of the agreement: of the block under `bft`, of the checkpoint under `pow+finality`.
    pub height: u64,
    /// The round in which it was reached.
    pub round: u32,
    /// What was agreed on.
    pub id: BlockId,
    /// Who signed: bit `i mod 8` of byte `i / 8` stands for validator `i`.
    pub signers: Vec<u8>,
    /// Their signatures, by ascending validator.
    pub signatures: Vec<[u8; 64]>,
}

impl Certificate {
    /// What `prev_seal` commits.
    pub fn hash(&self) -> CertificateHash {
        CertificateHash(Tag::CERTIFICATE.hash(&[&self.to_bytes()]))
    }
}

/// What a header commits beside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// A certificate about an ancestor.
    pub certificate: Option<Certificate>,
    /// The transactions, in the order in which they apply.
    pub transactions: Vec<Transaction>,
    /// Bytes for whoever reads the chain.
    pub extra: Vec<u8>,
}

/// What closes a header and gives the block its id. Kept and sent beside the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Work alone.
    Work {
        /// The nonce that makes the work hash low enough; 0 for block 0 under `bft`.
        nonce: WorkNonce,
    },
    /// Work and the signature of a listed miner over the block id.
    Permit {
        /// The nonce that makes the work hash low enough.
        nonce: WorkNonce,
        /// The ed25519 signature of the producer.
        signature: [u8; 64],
    },
    /// The agreement of the validators; the work nonce is 0.
    Certificate(Certificate),
}

impl Seal {
    /// The work nonce.
    pub const fn nonce(&self) -> WorkNonce {
        match self {
            Self::Work { nonce } | Self::Permit { nonce, .. } => *nonce,
            Self::Certificate(_) => WorkNonce(0),
        }
    }
}

/// A block as it is kept and sent: header, body, seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBlock {
    /// What it commits to.
    pub header: Header,
    /// What it holds.
    pub body: Body,
    /// What closes it.
    pub seal: Seal,
}

impl SealedBlock {
    /// The id of the block.
    pub fn id(&self) -> BlockId {
        block_id(&self.header.seal_hash(), self.seal.nonce())
    }
}

/// A block that obeys every rule that needs neither its parent nor the state.
///
/// # Invariant
///
/// Made only by [`check`], [`trust`] and [`CheckedBlock::seal`], so whoever holds one need not check again.
#[derive(Clone, Debug)]
pub struct CheckedBlock {
    header: Header,
    seal: Seal,
    id: BlockId,
    transactions: Vec<CheckedTransaction>,
    bytes: Arc<[u8]>,
}

/// A block breaks a rule. Each numbered variant is one rule of `docs/spec/04-validity.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// BLK-1: the bytes are one sealed block in canonical form, within the limit of all networks.
    #[error("the bytes are not a block")]
    Form(#[source] DecodeError),
    /// The header or the seal breaks a rule of its own.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A transaction breaks a rule of its own.
    #[error("transaction {position} breaks a rule: {source}")]
    Transaction {
        /// Its place in the block.
        position: usize,
        /// The rule.
        #[source]
        source: TransactionError,
    },
    /// BLK-2: the header counts the transactions.
    #[error("the header counts {found} transactions, the body has {expected}")]
    TransactionCount {
        /// What the header says.
        found: u32,
        /// What the body has.
        expected: usize,
    },
    /// BLK-3: the header has the root over the transactions.
    #[error("the header has transaction root {found}, the body gives {expected}")]
    TransactionRoot {
        /// What the header says.
        found: MerkleRoot,
        /// What the body gives.
        expected: MerkleRoot,
    },
    /// BLK-4: the header has the hash of the extra data.
    #[error("the header has extra hash {found}, the body gives {expected}")]
    ExtraHash {
        /// What the header says.
        found: ExtraHash,
        /// What the body gives.
        expected: ExtraHash,
    },
    /// BLK-5: the extra data has at most as many bytes as genesis allows.
    #[error("the block has {found} bytes of extra data, at most {limit} are allowed")]
    TooMuchExtra {
        /// Its bytes.
        found: usize,
        /// The limit of the network.
        limit: usize,
    },
    /// BLK-6: the header has the hash of the certificate in the body, zero where there is none.
    #[error("the header has certificate hash {found}, the body gives {expected}")]
    CertificateHash {
        /// What the header says.
        found: CertificateHash,
        /// What the body gives.
        expected: CertificateHash,
    },
    /// BLK-7: the header has the weight of the transactions.
    #[error("the header says weight {found}, the transactions weigh {expected}")]
    WeightUsed {
        /// What the header says.
        found: Weight,
        /// What the transactions weigh.
        expected: Weight,
    },
    /// BLK-8: the header has the state root that the transactions lead to.
    #[error("the header has state root {found}, the transactions lead to {expected}")]
    StateRoot {
        /// What the header says.
        found: StateRoot,
        /// What the transactions lead to.
        expected: StateRoot,
    },
    /// BLK-9: the balances grow by the reward that matures and shrink by what is burned.
    #[error("all balances together are {found} base units, {expected} are issued and not burned")]
    Supply {
        /// The sum of the balances.
        found: crate::numbers::Amount,
        /// What it must be.
        expected: crate::numbers::Amount,
    },
}

impl BlockError {
    /// Whether the id itself is to blame, so that no other bytes with the same id can be valid.
    ///
    /// A body that does not belong to its header, and a signature beside the id, may come from
    /// whoever passed the block on; they must not bar the good block with the same id.
    pub const fn condemns_id(&self) -> bool {
        match self {
            Self::Form(_)
            | Self::TransactionCount { .. }
            | Self::TransactionRoot { .. }
            | Self::ExtraHash { .. }
            | Self::CertificateHash { .. }
            | Self::Header(HeaderError::SealKind { .. } | HeaderError::WrongSealSignature) => false,
            Self::Header(_)
            | Self::Transaction { .. }
            | Self::TooMuchExtra { .. }
            | Self::WeightUsed { .. }
            | Self::StateRoot { .. }
            | Self::Supply { .. } => true,
        }
    }
}

impl CheckedBlock {
    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The height.
    pub const fn height(&self) -> Height {
        self.header.height
    }

    /// The seal.
    pub const fn seal_of_block(&self) -> &Seal {
        &self.seal
    }

    /// The id.
    pub const fn id(&self) -> BlockId {
        self.id
    }

    /// The transactions.
    pub fn transactions(&self) -> &[CheckedTransaction] {
        &self.transactions
    }

    /// The transactions, without the block.
    pub fn into_transactions(self) -> Vec<CheckedTransaction> {
        self.transactions
    }

    /// The canonical bytes of the sealed block.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Closes a block that this node has put together from checked transactions.
    ///
    /// # Errors
    ///
    /// SEA rules, if the seal does not close the header.
    pub fn seal(template: UnsealedBlock, seal: Seal, consensus: &Consensus) -> Result<Self, HeaderError> {
        let UnsealedBlock { header, transactions, extra } = template;
        let id = block_id(&header.seal_hash(), seal.nonce());
        consensus.check_seal(&header, &seal, &id)?;
        let body = encode_body(None, transactions.iter().map(CheckedTransaction::transaction), &extra);
        let mut bytes = header.to_bytes();
        bytes.extend_from_slice(&body);
        seal.encode(&mut bytes);
        Ok(Self { header, seal, id, transactions, bytes: bytes.into() })
    }
}

/// A block that wants its seal: what a miner or a validator is given.
#[derive(Clone, Debug)]
pub struct UnsealedBlock {
    header: Header,
    transactions: Vec<CheckedTransaction>,
    extra: Vec<u8>,
}

impl UnsealedBlock {
    /// A block from its parts; the fields of the header that the body decides are set here.
    pub fn new(mut header: Header, transactions: Vec<CheckedTransaction>, extra: Vec<u8>) -> Self {
        let leaves: Vec<LeafHash> = transactions.iter().map(CheckedTransaction::leaf).collect();
        header.tx_count =
            u32::try_from(transactions.len()).expect("the weight of a block limits its transactions");
        header.tx_root = merkle::root(&leaves);
        header.weight_used = total_weight(&transactions);
        header.prev_seal = CertificateHash::ZERO;
        header.extra_hash = extra_hash(&extra);
        Self { header, transactions, extra }
    }

    /// The header to be sealed.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The transactions.
    pub fn transactions(&self) -> &[CheckedTransaction] {
        &self.transactions
    }

    /// The extra data.
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }
}

/// Reads and checks the bytes of a sealed block against every rule that needs neither its parent
/// nor the state.
///
/// # Errors
///
/// BLK-1 to BLK-7, HDR-1, HDR-7 to HDR-9, SEA-1 to SEA-5, and the TX rules that need no state.
pub fn check(bytes: Arc<[u8]>, consensus: &Consensus, seed: BatchSeed) -> Result<CheckedBlock, BlockError> {
    check_with(bytes, consensus, |transactions| check_all(transactions, consensus.rules(), seed))
}

/// As [`check`], but takes the signatures of transactions as verified. For blocks that this node
/// has checked before: those of its own log.
///
/// # Errors
///
/// As [`check`], without TX-9.
pub fn trust(bytes: Arc<[u8]>, consensus: &Consensus) -> Result<CheckedBlock, BlockError> {
    check_with(bytes, consensus, |transactions| trust_all(transactions, consensus.rules()))
}

/// The checks of a block around those of its transactions.
fn check_with(
    bytes: Arc<[u8]>,
    consensus: &Consensus,
    check_transactions: impl FnOnce(
        Vec<IdentifiedTransaction>,
    ) -> Result<Vec<CheckedTransaction>, (usize, TransactionError)>,
) -> Result<CheckedBlock, BlockError> {
    // BLK-1 > One sealed block in canonical form.
    let SealedBlock { header, body, seal } = decode_block(&bytes).map_err(BlockError::Form)?;
    let id = block_id(&header.seal_hash(), seal.nonce());
    // Cheap first: work is what a flood of false blocks would have to pay for.
    consensus.check_header_alone(&header)?;
    consensus.check_seal(&header, &seal, &id)?;
    check_body(&header, &body, consensus)?;

    // BLK-2 > The header counts the transactions.
    let expected = body.transactions.len();
    if usize::try_from(header.tx_count).ok() != Some(expected) {
        return Err(BlockError::TransactionCount { found: header.tx_count, expected });
    }
    // BLK-3 > The header has the root over the transactions. Before their own rules, so that a false
    // body under a good header is told from a header that commits to a bad transaction.
    let identity = consensus.rules().identity();
    let transactions: Vec<_> =
        body.transactions.into_iter().map(|it| IdentifiedTransaction::new(it, identity)).collect();
    let leaves: Vec<LeafHash> = transactions.iter().map(IdentifiedTransaction::leaf).collect();
    let expected = merkle::root(&leaves);
    if header.tx_root != expected {
        return Err(BlockError::TransactionRoot { found: header.tx_root, expected });
    }
    let transactions = check_transactions(transactions)
        .map_err(|(position, source)| BlockError::Transaction { position, source })?;
    // BLK-7 > The header has the weight of the transactions.
    let expected = total_weight(&transactions);
    if header.weight_used != expected {
        return Err(BlockError::WeightUsed { found: header.weight_used, expected });
    }
    Ok(CheckedBlock { header, seal, id, transactions, bytes })
}

/// Reads a sealed block without judging it.
///
/// # Errors
///
/// [`DecodeError`] if the bytes are not exactly one sealed block in canonical form.
pub fn decode_block(bytes: &[u8]) -> Result<SealedBlock, DecodeError> {
    if bytes.len() > BLOCK_BYTES_MAX {
        let found = bytes.len();
        return Err(DecodeError::TooLong { what: "block", at: 0, found, limit: BLOCK_BYTES_MAX });
    }
    decode_exact(bytes)
}

/// Reads one transaction of a sealed block that was checked before; none if it has no such place.
///
/// # Errors
///
/// [`DecodeError`] if the bytes up to the transaction are not a block.
pub fn decode_transaction(bytes: &[u8], place: u32) -> Result<Option<Transaction>, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.take(HEADER_BYTES)?;
    let _certificate = bool::decode(&mut reader)?.then(|| Certificate::decode(&mut reader)).transpose()?;
    let count = u32::decode(&mut reader)?;
    if place >= count {
        return Ok(None);
    }
    for _ in 0..place {
        Transaction::decode(&mut reader)?;
    }
    Transaction::decode(&mut reader).map(Some)
}

/// The rules about a body that need no transaction.
fn check_body(header: &Header, body: &Body, consensus: &Consensus) -> Result<(), BlockError> {
    // BLK-4 > The header has the hash of the extra data.
    let expected = extra_hash(&body.extra);
    if header.extra_hash != expected {
        return Err(BlockError::ExtraHash { found: header.extra_hash, expected });
    }
    // BLK-5 > The extra data has at most as many bytes as genesis allows.
    let limit = consensus.rules().limits().extra_bytes;
    if body.extra.len() > limit {
        return Err(BlockError::TooMuchExtra { found: body.extra.len(), limit });
    }
    // BLK-6 > The header has the hash of the certificate, zero where there is none.
    let expected = body.certificate.as_ref().map_or(CertificateHash::ZERO, Certificate::hash);
    if header.prev_seal != expected {
        return Err(BlockError::CertificateHash { found: header.prev_seal, expected });
    }
    Ok(())
}

fn total_weight(transactions: &[CheckedTransaction]) -> Weight {
    Weight(transactions.iter().map(|transaction| transaction.weight().0).sum())
}

impl Encode for Header {
    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(HEADER_BYTES);
        self.version.encode(out);
        self.height.encode(out);
        self.time.encode(out);
        self.parent.encode(out);
        self.tx_count.encode(out);
        self.tx_root.encode(out);
        self.state_root.encode(out);
        self.history_root.encode(out);
        self.prev_seal.encode(out);
        self.producer.encode(out);
        self.target.encode(out);
        self.base_fee.encode(out);
        self.weight_used.encode(out);
        self.extra_hash.encode(out);
    }
}

impl Decode for Header {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: u16::decode(reader)?,
            height: Height::decode(reader)?,
            time: Timestamp::decode(reader)?,
            parent: BlockId::decode(reader)?,
            tx_count: u32::decode(reader)?,
            tx_root: MerkleRoot::decode(reader)?,
            state_root: StateRoot::decode(reader)?,
            history_root: HistoryRoot::decode(reader)?,
            prev_seal: CertificateHash::decode(reader)?,
            producer: Address::decode(reader)?,
            target: CompactTarget::decode(reader)?,
            base_fee: FeeRate::decode(reader)?,
            weight_used: Weight::decode(reader)?,
            extra_hash: ExtraHash::decode(reader)?,
        })
    }
}

impl Encode for Certificate {
    fn encode(&self, out: &mut Vec<u8>) {
        self.height.encode(out);
        self.round.encode(out);
        self.id.encode(out);
        encode_byte_string(&self.signers, out);
        // The bits say how many signatures follow.
        for signature in &self.signatures {
            signature.encode(out);
        }
    }
}

impl Decode for Certificate {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let height = u64::decode(reader)?;
        let round = u32::decode(reader)?;
        let id = BlockId::decode(reader)?;
        let signers = reader.byte_string("signers", AUTHORITIES_MAX.div_ceil(8))?.to_vec();
        // A last byte without a signer could be left out, so it must be.
        if signers.last() == Some(&0) {
            return Err(DecodeError::NotCanonical { what: "signers", at: reader.position() });
        }
        let count: u32 = signers.iter().map(|byte| byte.count_ones()).sum();
        let signatures = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { height, round, id, signers, signatures })
    }
}

fn encode_body<'a>(
    certificate: Option<&Certificate>,
    transactions: impl ExactSizeIterator<Item = &'a Transaction>,
    extra: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + extra.len() + transactions.len() * TRANSACTION_BYTES_MIN);
    match certificate {
        None => out.push(0),
        Some(certificate) => {
            out.push(1);
            certificate.encode(&mut out);
        }
    }
    encode_count(transactions.len(), &mut out);
    for transaction in transactions {
        transaction.encode(&mut out);
    }
    encode_byte_string(extra, &mut out);
    out
}

impl Encode for Body {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(encode_body(self.certificate.as_ref(), self.transactions.iter(), &self.extra));
    }
}

impl Decode for Body {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let certificate = bool::decode(reader)?.then(|| Certificate::decode(reader)).transpose()?;
        let count =
            reader.count("transactions", BLOCK_BYTES_MAX / TRANSACTION_BYTES_MIN, TRANSACTION_BYTES_MIN)?;
        let mut transactions = Vec::with_capacity(count);
        for _ in 0..count {
            transactions.push(Transaction::decode(reader)?);
        }
        let extra = reader.byte_string("extra data", EXTRA_BYTES_MAX)?.to_vec();
        Ok(Self { certificate, transactions, extra })
    }
}

const SEAL_WORK: u8 = 1;
const SEAL_PERMIT: u8 = 2;
const SEAL_CERTIFICATE: u8 = 3;

impl Encode for Seal {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Work { nonce } => {
                out.push(SEAL_WORK);
                nonce.encode(out);
            }
            Self::Permit { nonce, signature } => {
                out.push(SEAL_PERMIT);
                nonce.encode(out);
                signature.encode(out);
            }
            Self::Certificate(certificate) => {
                out.push(SEAL_CERTIFICATE);
                certificate.encode(out);
            }
        }
    }
}

impl Decode for Seal {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        match reader.byte()? {
            SEAL_WORK => Ok(Self::Work { nonce: WorkNonce::decode(reader)? }),
            SEAL_PERMIT => Ok(Self::Permit { nonce: WorkNonce::decode(reader)?, signature: reader.array()? }),
            SEAL_CERTIFICATE => Ok(Self::Certificate(Certificate::decode(reader)?)),
            found => Err(DecodeError::UnknownKind { what: "seal", at, found }),
        }
    }
}

impl Encode for SealedBlock {
    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.body.encode(out);
        self.seal.encode(out);
    }
}

impl Decode for SealedBlock {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { header: Header::decode(reader)?, body: Body::decode(reader)?, seal: Seal::decode(reader)? })
    }
}
