//! Blocks in short: transactions that the other side has already are named by six bytes each.
//!
//! After BIP 152. A short id is the low six bytes of SipHash-2-4 over the leaf hash, keyed by the block's
//! seal hash and a salt that the sender draws, so that nobody can make transactions whose short ids meet
//! at every node. Where two meet all the same, or a transaction is not known, the receiver asks for
//! what stands at those places.

use crate::wire::BLOCK_TRANSACTIONS_BYTES_MAX;
use cairn_core::block::{
    BlockError, Certificate, CheckedBlock, SealedBlock, SealedHeader, assemble, decode_block,
};
use cairn_core::codec::{DecodeError, Encode as _};
use cairn_core::consensus::Consensus;
use cairn_core::hash::{BlockId, LeafHash, Tag};
use cairn_core::transaction::{CheckedTransaction, IdentifiedTransaction, Transaction};
use siphasher::sip::SipHasher24;
use std::collections::BTreeMap;
use std::hash::Hasher as _;

/// What a message adds to each transaction, at most.
const LENGTH_BYTES_MAX: usize = 5;

/// What stands for a transaction in a compact block.
pub type ShortId = [u8; 6];

/// A block whose transactions are named by short ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactBlock {
    /// Header and seal.
    pub header: SealedHeader,
    /// What the sender drew for the short ids.
    pub salt: u64,
    /// The certificate in the body.
    pub certificate: Option<Certificate>,
    /// The extra data of the body.
    pub extra: Vec<u8>,
    /// The transactions, in their order.
    pub short_ids: Vec<ShortId>,
}

/// The key of the short ids of one compact block.
#[derive(Clone, Copy, Debug)]
pub struct ShortIdKey {
    low: u64,
    high: u64,
}

/// A compact block of which some transactions are still missing.
#[derive(Debug)]
pub struct Partial {
    block: CompactBlock,
    id: BlockId,
    found: BTreeMap<u32, CheckedTransaction>,
    missing: Vec<u32>,
}

impl ShortIdKey {
    /// The key for a block: the first sixteen bytes of `H(seal hash ‖ salt)`, little-endian.
    pub fn new(header: &SealedHeader, salt: u64) -> Self {
        let hash = Tag::SHORT_ID.hash(&[&header.header.seal_hash().0, &salt.to_le_bytes()]);
        let (low, rest) = hash.split_first_chunk().expect("32 bytes begin with 8");
        let high = rest.first_chunk().expect("24 bytes begin with 8");
        Self { low: u64::from_le_bytes(*low), high: u64::from_le_bytes(*high) }
    }

    /// The short id of a transaction.
    pub fn short_id(&self, leaf: &LeafHash) -> ShortId {
        let mut hasher = SipHasher24::new_with_keys(self.low, self.high);
        hasher.write(&leaf.0);
        let [a, b, c, d, e, f, ..] = hasher.finish().to_le_bytes();
        [a, b, c, d, e, f]
    }
}

impl CompactBlock {
    /// The block in short, from its canonical bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are no block.
    pub fn from_bytes(bytes: &[u8], identity: &BlockId, salt: u64) -> Result<Self, DecodeError> {
        let SealedBlock { header, body, seal } = decode_block(bytes)?;
        let header = SealedHeader { header, seal };
        let key = ShortIdKey::new(&header, salt);
        let transactions = IdentifiedTransaction::new_all(body.transactions, identity);
        let short_ids = transactions.iter().map(|transaction| key.short_id(&transaction.leaf())).collect();
        Ok(Self { header, salt, certificate: body.certificate, extra: body.extra, short_ids })
    }

    /// Looks for the transactions among those that are `known`. A short id that stands for two of them,
    /// or twice in the block, counts as missing.
    pub fn fill<'a>(self, known: impl IntoIterator<Item = &'a CheckedTransaction>) -> Partial {
        let key = ShortIdKey::new(&self.header, self.salt);
        let mut places: BTreeMap<ShortId, Option<u32>> = BTreeMap::new();
        for (place, short_id) in (0u32..).zip(&self.short_ids) {
            places.entry(*short_id).and_modify(|place| *place = None).or_insert(Some(place));
        }
        let mut found: BTreeMap<u32, Option<&CheckedTransaction>> = BTreeMap::new();
        for transaction in known {
            if let Some(Some(place)) = places.get(&key.short_id(&transaction.leaf())) {
                found.entry(*place).and_modify(|it| *it = None).or_insert(Some(transaction));
            }
        }
        let found: BTreeMap<u32, CheckedTransaction> = found
            .into_iter()
            .filter_map(|(place, transaction)| Some((place, transaction?.clone())))
            .collect();
        let count = u32::try_from(self.short_ids.len()).unwrap_or(u32::MAX);
        let missing = (0..count).filter(|place| !found.contains_key(place)).collect();
        let id = self.header.id();
        Partial { block: self, id, found, missing }
    }
}

impl Partial {
    /// The block.
    pub const fn id(&self) -> BlockId {
        self.id
    }

    /// The places of what is missing, ascending.
    pub fn missing(&self) -> &[u32] {
        &self.missing
    }

    /// Puts the missing transactions in their places and the block together.
    ///
    /// # Errors
    ///
    /// The rules of [`assemble`]: BLK-3 where short ids met those of other transactions, or where
    /// whoever sent the block or its transactions did not tell the truth.
    pub fn complete(
        mut self,
        missing: impl IntoIterator<Item = CheckedTransaction>,
        consensus: &Consensus,
    ) -> Result<CheckedBlock, BlockError> {
        self.found.extend(self.missing.iter().copied().zip(missing));
        let transactions = self.found.into_values().collect();
        let CompactBlock { header, certificate, extra, .. } = self.block;
        assemble(header, certificate.as_ref(), transactions, &extra, consensus)
    }
}

/// The transactions at some places of a block, from its canonical bytes; none if it has no such place. No
/// transactions at all stand for more bytes than a message brings ([`BLOCK_TRANSACTIONS_BYTES_MAX`]): who
/// asks then takes the block whole.
///
/// # Errors
///
/// [`DecodeError`] if the bytes are no block.
pub fn transactions_at(bytes: &[u8], places: &[u32]) -> Result<Option<Vec<Transaction>>, DecodeError> {
    let mut transactions = decode_block(bytes)?.body.transactions;
    let mut picked = Vec::with_capacity(places.len());
    // From the last place down, so that taking one moves no other that is wanted.
    for place in places.iter().rev() {
        let Some(place) = usize::try_from(*place).ok().filter(|place| *place < transactions.len()) else {
            return Ok(None);
        };
        picked.push(transactions.swap_remove(place));
    }
    picked.reverse();
    let bytes: usize = picked.iter().map(|transaction| transaction.to_bytes().len() + LENGTH_BYTES_MAX).sum();
    if bytes > BLOCK_TRANSACTIONS_BYTES_MAX {
        picked.clear();
    }
    Ok(Some(picked))
}

#[cfg(test)]
mod tests;
