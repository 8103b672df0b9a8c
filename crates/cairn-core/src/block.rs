//! Blocks: header, body and seal, and what is true of a block by itself.
//!
//! [`SealedBlock`] is what arrives, [`CheckedBlock`] is one that obeys every rule that needs neither
//! its parent nor the state. Checking is most of the work and may run on any thread.

mod error;
mod header;
mod seal;
mod sealed_header;

pub use error::BlockError;
pub use header::{BLOCK_VERSION, HEADER_BYTES, Header, block_id, extra_hash};
pub use seal::{Certificate, Seal};
pub use sealed_header::{CheckedHeader, SealedHeader};

use crate::codec::{Decode, DecodeError, Encode, Reader, decode_exact, encode_byte_string, encode_count};
use crate::consensus::{Consensus, HeaderError};
use crate::hash::{BlockId, CertificateHash, LeafHash};
use crate::merkle;
use crate::numbers::{Height, Weight};
use crate::signature::Batching;
use crate::transaction::{
    CheckedTransaction, IdentifiedTransaction, TRANSACTION_BYTES_MIN, Transaction, TransactionError,
    check_all, trust_all,
};
use std::sync::Arc;

/// The most bytes of a block with its seal on any network; genesis sets the weight far below.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most bytes of extra data: block 0 carries the consensus section of genesis there.
pub const EXTRA_BYTES_MAX: usize = 64 * 1024;

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
/// Made only by [`check`], [`trust`], [`assemble`] and [`CheckedBlock::seal`], so whoever holds one need not check again.
#[derive(Clone, Debug)]
pub struct CheckedBlock {
    header: Header,
    seal: Seal,
    id: BlockId,
    transactions: Vec<CheckedTransaction>,
    bytes: Arc<[u8]>,
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
        let bytes = encode_block(&header, None, &transactions, &extra, &seal);
        Ok(Self { header, seal, id, transactions, bytes })
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
pub fn check(
    bytes: Arc<[u8]>,
    consensus: &Consensus,
    batching: Batching<'_>,
) -> Result<CheckedBlock, BlockError> {
    check_with(bytes, consensus, |transactions| check_all(transactions, consensus.rules(), batching))
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
    check_body(&header, body.certificate.as_ref(), &body.extra, consensus)?;

    check_count(&header, body.transactions.len())?;
    // BLK-3 > The header has the root over the transactions. Before their own rules, so that a false
    // body under a good header is told from a header that commits to a bad transaction.
    let identity = consensus.rules().identity();
    let transactions = IdentifiedTransaction::new_all(body.transactions, identity);
    check_root(&header, transactions.iter().map(IdentifiedTransaction::leaf))?;
    let transactions = check_transactions(transactions)
        .map_err(|(position, source)| BlockError::Transaction { position, source })?;
    check_weight(&header, &transactions)?;
    Ok(CheckedBlock { header, seal, id, transactions, bytes })
}

/// Puts a block together from transactions that were checked before: those that a node has when it is
/// told of a block in short.
///
/// # Errors
///
/// As [`check`], without BLK-1 and the TX rules.
pub fn assemble(
    header: SealedHeader,
    certificate: Option<&Certificate>,
    transactions: Vec<CheckedTransaction>,
    extra: &[u8],
    consensus: &Consensus,
) -> Result<CheckedBlock, BlockError> {
    let id = header.id();
    let SealedHeader { header, seal } = header;
    consensus.check_header_alone(&header)?;
    consensus.check_seal(&header, &seal, &id)?;
    check_body(&header, certificate, extra, consensus)?;
    check_count(&header, transactions.len())?;
    check_root(&header, transactions.iter().map(CheckedTransaction::leaf))?;
    check_weight(&header, &transactions)?;
    let bytes = encode_block(&header, certificate, &transactions, extra, &seal);
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
fn check_body(
    header: &Header,
    certificate: Option<&Certificate>,
    extra: &[u8],
    consensus: &Consensus,
) -> Result<(), BlockError> {
    // BLK-4 > The header has the hash of the extra data.
    let expected = extra_hash(extra);
    if header.extra_hash != expected {
        return Err(BlockError::ExtraHash { found: header.extra_hash, expected });
    }
    // BLK-5 > The extra data has at most as many bytes as genesis allows.
    let limit = consensus.rules().limits().extra_bytes;
    if extra.len() > limit {
        return Err(BlockError::TooMuchExtra { found: extra.len(), limit });
    }
    // BLK-6 > The header has the hash of the certificate, zero where there is none.
    let expected = certificate.map_or(CertificateHash::ZERO, Certificate::hash);
    if header.prev_seal != expected {
        return Err(BlockError::CertificateHash { found: header.prev_seal, expected });
    }
    Ok(())
}

/// BLK-2 > The header counts the transactions.
fn check_count(header: &Header, expected: usize) -> Result<(), BlockError> {
    if usize::try_from(header.tx_count).ok() == Some(expected) {
        Ok(())
    } else {
        Err(BlockError::TransactionCount { found: header.tx_count, expected })
    }
}

/// BLK-3 > The header has the root over the transactions.
fn check_root(header: &Header, leaves: impl Iterator<Item = LeafHash>) -> Result<(), BlockError> {
    let expected = merkle::root(&leaves.collect::<Vec<_>>());
    if header.tx_root == expected {
        Ok(())
    } else {
        Err(BlockError::TransactionRoot { found: header.tx_root, expected })
    }
}

/// BLK-7 > The header has the weight of the transactions.
fn check_weight(header: &Header, transactions: &[CheckedTransaction]) -> Result<(), BlockError> {
    let expected = total_weight(transactions);
    if header.weight_used == expected {
        Ok(())
    } else {
        Err(BlockError::WeightUsed { found: header.weight_used, expected })
    }
}

fn total_weight(transactions: &[CheckedTransaction]) -> Weight {
    Weight(transactions.iter().map(|transaction| transaction.weight().0).sum())
}

fn encode_block(
    header: &Header,
    certificate: Option<&Certificate>,
    transactions: &[CheckedTransaction],
    extra: &[u8],
    seal: &Seal,
) -> Arc<[u8]> {
    let body = encode_body(certificate, transactions.iter().map(CheckedTransaction::transaction), extra);
    let mut bytes = header.to_bytes();
    bytes.extend_from_slice(&body);
    seal.encode(&mut bytes);
    bytes.into()
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
