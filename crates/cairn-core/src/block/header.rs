//! Headers: what a block commits to, and the hash that its seal closes.

use crate::address::Address;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::hash::{BlockId, CertificateHash, ExtraHash, HistoryRoot, MerkleRoot, SealHash, StateRoot, Tag};
use crate::numbers::{FeeRate, Height, Timestamp, Weight, WorkNonce};
use crate::target::CompactTarget;

/// The version of headers and bodies that this release makes and reads.
pub const BLOCK_VERSION: u16 = 1;
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
