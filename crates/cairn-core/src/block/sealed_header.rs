//! A header with its seal and without its body: what shows the work of a branch before its blocks are sent.

use super::{CheckedBlock, Header, Seal, block_id};
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::consensus::{Consensus, HeaderError};
use crate::hash::BlockId;

/// A header as it goes between nodes: `header ‖ seal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHeader {
    /// What the block commits to.
    pub header: Header,
    /// What closes it.
    pub seal: Seal,
}

impl SealedHeader {
    /// The id of the block.
    pub fn id(&self) -> BlockId {
        block_id(&self.header.seal_hash(), self.seal.nonce())
    }

    /// Checks a header against every rule that needs neither its parent nor its body. May run on any
    /// thread.
    ///
    /// # Errors
    ///
    /// HDR-1, HDR-4 where no parent leads to the target, HDR-7 to HDR-9, and SEA-1 to SEA-5.
    pub fn check(self, consensus: &Consensus) -> Result<CheckedHeader, HeaderError> {
        let id = self.id();
        // Cheap first: work is what a flood of false headers would have to pay for.
        consensus.check_header_alone(&self.header)?;
        consensus.check_seal(&self.header, &self.seal, &id)?;
        Ok(CheckedHeader { header: self.header, id })
    }
}

/// A header that obeys every rule that needs neither its parent nor its body.
///
/// # Invariant
///
/// Made only by [`SealedHeader::check`] and [`CheckedBlock::to_checked_header`], so whoever holds one
/// need not check again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedHeader {
    header: Header,
    id: BlockId,
}

impl CheckedHeader {
    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The id of its block.
    pub const fn id(&self) -> BlockId {
        self.id
    }
}

impl CheckedBlock {
    /// The header of the block, which was checked with it.
    pub fn to_checked_header(&self) -> CheckedHeader {
        CheckedHeader { header: self.header().clone(), id: self.id() }
    }

    /// The header and the seal of the block, as they go between nodes.
    pub fn to_sealed_header(&self) -> SealedHeader {
        SealedHeader { header: self.header().clone(), seal: self.seal_of_block().clone() }
    }
}

impl Encode for SealedHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.seal.encode(out);
    }
}

impl Decode for SealedHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { header: Header::decode(reader)?, seal: Seal::decode(reader)? })
    }
}
