//! What nodes tell each other about the ledger: messages, their bytes and their limits.
//!
//! A message is a tag of three letters and a body, which is a MessagePack array. What is consensus
//! travels inside as its canonical bytes, so it is hashed, kept and sent on as it came. Fields are only
//! ever added at the end: whoever does not know them leaves them out of account.
//!
//! The rules are those of `docs/spec/12-messages.md`. How frames get from one node to the other is the
//! business of the shell.

mod fields;
pub mod fuzz;
#[cfg(test)]
mod tests;

use crate::compact::{CompactBlock, ShortId};
use cairn_core::block::{BLOCK_BYTES_MAX, SealedHeader};
use cairn_core::codec::{DecodeError, Encode, decode_exact};
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::transaction::{TRANSACTION_BYTES_MAX, Transaction};
use fields::{Fields, Writer};
use std::fmt;
use std::sync::Arc;

/// The most transactions that one message announces.
pub const ANNOUNCED_MAX: usize = 1_000;
/// The most transactions that one message asks for or brings.
pub const TRANSACTIONS_MAX: usize = 100;
/// The most bytes of transactions that one message brings, beside the one that fills it.
pub const TRANSACTIONS_BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of transactions of a block that one message brings, with their lengths.
pub const BLOCK_TRANSACTIONS_BYTES_MAX: usize = BTX_BODY_BYTES_MAX - OVERHEAD_BYTES;
/// The most headers that one message brings.
pub const HEADERS_MAX: usize = 2_000;
/// The most ids of a locator.
pub const LOCATOR_MAX: usize = 64;
/// The most blocks that one request asks for.
pub const BLOCKS_MAX: usize = 128;
/// The most bytes of one piece of a genesis file.
pub const GENESIS_PIECE_BYTES_MAX: usize = 1024 * 1024;

/// Three letters that say what a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 3]);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What nodes tell each other about the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// `INV`: transactions that the sender has.
    Announce(Vec<LeafHash>),
    /// `GET`: send these transactions.
    GetTransactions(Vec<LeafHash>),
    /// `NOF`: transactions that were asked for and are not here.
    NotFound(Vec<LeafHash>),
    /// `TXN`: transactions that were asked for.
    Transactions(Vec<Transaction>),
    /// `GHD`: send the headers of the chain behind the first of these blocks that is on it.
    GetHeaders {
        /// Blocks of the asker's best chain, highest first, ever further apart.
        locator: Vec<BlockId>,
        /// The last header wanted; zero for as many as there are.
        stop: BlockId,
    },
    /// `HDR`: headers, each the parent of the next; an answer, or new blocks.
    Headers(Vec<SealedHeader>),
    /// `GCM`: send this block in short.
    GetCompact(BlockId),
    /// `CMP`: a block whose transactions are named by short ids.
    Compact(Box<CompactBlock>),
    /// `GBT`: send these transactions of a block.
    GetBlockTransactions {
        /// The block.
        block: BlockId,
        /// Their places, ascending.
        places: Vec<u32>,
    },
    /// `BTX`: transactions of a block that were asked for, in the order of their places.
    BlockTransactions {
        /// The block.
        block: BlockId,
        /// The transactions.
        transactions: Vec<Transaction>,
    },
    /// `GBL`, opens a bulk stream: send these blocks, in this order.
    GetBlocks(Vec<BlockId>),
    /// `BLK`: the canonical bytes of a sealed block.
    Block(Arc<[u8]>),
    /// `GGN`, opens a bulk stream: send the genesis file of the network with this identity.
    GetGenesis(BlockId),
    /// `GEN`: a piece of a genesis file; the pieces come in order.
    Genesis(Vec<u8>),
}

/// Why a frame is no message. Each variant is one rule of `docs/spec/12-messages.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// MSG-1: the tag of a frame is known.
    #[error("tag {found} is unknown")]
    UnknownTag {
        /// The tag found.
        found: Tag,
    },
    /// MSG-2: a body is a MessagePack array that begins with the fields of its message.
    #[error("{tag}: {what} is expected at byte {at}")]
    Shape {
        /// The tag of the frame.
        tag: Tag,
        /// What was expected.
        what: &'static str,
        /// Where the body is read.
        at: usize,
    },
    /// MSG-3: a list or a byte string is not longer than its limit.
    #[error("{tag}: {what} of {found} where at most {limit} is allowed")]
    TooLong {
        /// The tag of the frame.
        tag: Tag,
        /// What is too long.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// MSG-4: what is consensus stands in its canonical bytes.
    #[error("{tag}: {source}")]
    Canonical {
        /// The tag of the frame.
        tag: Tag,
        /// The rule of bytes that is broken.
        #[source]
        source: DecodeError,
    },
    /// MSG-5: places of a block are asked for in ascending order.
    #[error("{tag}: place {found} does not follow {before}")]
    Places {
        /// The tag of the frame.
        tag: Tag,
        /// The place found.
        found: u32,
        /// The place before it.
        before: u32,
    },
}

const INV: Tag = Tag(*b"INV");
const GET: Tag = Tag(*b"GET");
const NOF: Tag = Tag(*b"NOF");
const TXN: Tag = Tag(*b"TXN");
const GHD: Tag = Tag(*b"GHD");
const HDR: Tag = Tag(*b"HDR");
const GCM: Tag = Tag(*b"GCM");
const CMP: Tag = Tag(*b"CMP");
const GBT: Tag = Tag(*b"GBT");
const BTX: Tag = Tag(*b"BTX");
const GBL: Tag = Tag(*b"GBL");
const BLK: Tag = Tag(*b"BLK");
const GGN: Tag = Tag(*b"GGN");
const GEN: Tag = Tag(*b"GEN");

/// What MessagePack adds to a list of hashes, at most; what it adds to a hash and a list, but for the lengths
/// in the list.
const OVERHEAD_BYTES: usize = 64;
/// The most bytes of a `BTX`: with its tag and length it fills the largest frame between peers.
const BTX_BODY_BYTES_MAX: usize = 4 * 1024 * 1024 - 16;
/// The most bytes of a sealed header: the header, and a certificate of as many validators as can be.
const SEALED_HEADER_BYTES_MAX: usize = 68 * 1024;
/// The most transactions of a block on any network.
const BLOCK_TRANSACTIONS_MAX: usize = BLOCK_BYTES_MAX / 128;

/// Every tag that opens a message on the stream between peers, with the most bytes of its body.
pub const PEER_TAGS: [(Tag, usize); 10] = [
    (INV, ANNOUNCED_MAX * 32 + OVERHEAD_BYTES),
    (GET, TRANSACTIONS_MAX * 32 + OVERHEAD_BYTES),
    (NOF, TRANSACTIONS_MAX * 32 + OVERHEAD_BYTES),
    (TXN, TRANSACTIONS_BYTES_MAX + TRANSACTION_BYTES_MAX + OVERHEAD_BYTES),
    (GHD, LOCATOR_MAX * 32 + 32 + OVERHEAD_BYTES),
    (HDR, 2 * 1024 * 1024),
    (GCM, 32 + OVERHEAD_BYTES),
    (CMP, 1024 * 1024),
    (GBT, BLOCK_TRANSACTIONS_MAX * 4 + OVERHEAD_BYTES),
    (BTX, BTX_BODY_BYTES_MAX),
];

/// Every tag of a bulk stream, with the most bytes of its body.
pub const BULK_TAGS: [(Tag, usize); 4] = [
    (GBL, BLOCKS_MAX * 32 + OVERHEAD_BYTES),
    (BLK, 16 * 1024 * 1024 - 16),
    (GGN, 32 + OVERHEAD_BYTES),
    (GEN, GENESIS_PIECE_BYTES_MAX + OVERHEAD_BYTES),
];

/// What answers a question on the stream between peers, and in how many messages at most: each leaf of a `GET`
/// may come in a `TXN` of its own. `HDR` is news as well, and `NOF` is short; they are not here.
pub const ANSWERS: [(Tag, Tag, usize); 3] = [(GET, TXN, TRANSACTIONS_MAX), (GCM, CMP, 1), (GBT, BTX, 1)];

impl Message {
    /// The tag of the message.
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Announce(_) => INV,
            Self::GetTransactions(_) => GET,
            Self::NotFound(_) => NOF,
            Self::Transactions(_) => TXN,
            Self::GetHeaders { .. } => GHD,
            Self::Headers(_) => HDR,
            Self::GetCompact(_) => GCM,
            Self::Compact(_) => CMP,
            Self::GetBlockTransactions { .. } => GBT,
            Self::BlockTransactions { .. } => BTX,
            Self::GetBlocks(_) => GBL,
            Self::Block(_) => BLK,
            Self::GetGenesis(_) => GGN,
            Self::Genesis(_) => GEN,
        }
    }

    /// The body of the message.
    pub fn to_body(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Announce(leaves) | Self::GetTransactions(leaves) | Self::NotFound(leaves) => {
                out.array(1);
                out.hashes(leaves.iter().map(|leaf| &leaf.0));
            }
            Self::Transactions(transactions) => {
                out.array(1);
                out.canonical_list(transactions);
            }
            Self::GetHeaders { locator, stop } => {
                out.array(2);
                out.hashes(locator.iter().map(|id| &id.0));
                out.bytes(&stop.0);
            }
            Self::Headers(headers) => {
                out.array(1);
                out.canonical_list(headers);
            }
            Self::GetCompact(id) | Self::GetGenesis(id) => {
                out.array(1);
                out.bytes(&id.0);
            }
            Self::Compact(block) => {
                out.array(5);
                out.bytes(&block.header.to_bytes());
                out.number(block.salt);
                // A certificate is never empty, so nothing stands for none.
                out.bytes(&block.certificate.as_ref().map(Encode::to_bytes).unwrap_or_default());
                out.bytes(&block.extra);
                out.bytes(block.short_ids.as_flattened());
            }
            Self::GetBlockTransactions { block, places } => {
                out.array(2);
                out.bytes(&block.0);
                let places: Vec<[u8; 4]> = places.iter().map(|place| place.to_le_bytes()).collect();
                out.bytes(places.as_flattened());
            }
            Self::BlockTransactions { block, transactions } => {
                out.array(2);
                out.bytes(&block.0);
                out.canonical_list(transactions);
            }
            Self::GetBlocks(ids) => {
                out.array(1);
                out.hashes(ids.iter().map(|id| &id.0));
            }
            Self::Block(bytes) => {
                out.array(1);
                out.bytes(bytes);
            }
            Self::Genesis(piece) => {
                out.array(1);
                out.bytes(piece);
            }
        }
        out.into_bytes()
    }

    /// Reads the body of a frame with `tag`.
    ///
    /// # Errors
    ///
    /// MSG-1 to MSG-5.
    pub fn from_body(tag: Tag, body: &[u8]) -> Result<Self, WireError> {
        // MSG-1 > The tag of a frame is known.
        let read: fn(&mut Fields<'_>) -> Result<Self, WireError> = match tag {
            INV => |fields| Ok(Self::Announce(leaves(fields, ANNOUNCED_MAX)?)),
            GET => |fields| Ok(Self::GetTransactions(leaves(fields, TRANSACTIONS_MAX)?)),
            NOF => |fields| Ok(Self::NotFound(leaves(fields, TRANSACTIONS_MAX)?)),
            TXN => |fields| Ok(Self::Transactions(fields.canonical_list("transactions", TRANSACTIONS_MAX)?)),
            GHD => |fields| {
                Ok(Self::GetHeaders { locator: ids(fields, "locator", LOCATOR_MAX)?, stop: id(fields)? })
            },
            HDR => |fields| Ok(Self::Headers(fields.canonical_list("headers", HEADERS_MAX)?)),
            GCM => |fields| Ok(Self::GetCompact(id(fields)?)),
            CMP => |fields| Ok(Self::Compact(Box::new(compact(fields)?))),
            GBT => |fields| Ok(Self::GetBlockTransactions { block: id(fields)?, places: places(fields)? }),
            BTX => |fields| {
                Ok(Self::BlockTransactions {
                    block: id(fields)?,
                    transactions: fields.canonical_list("transactions", BLOCK_TRANSACTIONS_MAX)?,
                })
            },
            GBL => |fields| Ok(Self::GetBlocks(ids(fields, "blocks", BLOCKS_MAX)?)),
            BLK => |fields| Ok(Self::Block(fields.bytes("block", BLOCK_BYTES_MAX)?.into())),
            GGN => |fields| Ok(Self::GetGenesis(id(fields)?)),
            GEN => |fields| Ok(Self::Genesis(fields.bytes("piece", GENESIS_PIECE_BYTES_MAX)?.to_vec())),
            found => return Err(WireError::UnknownTag { found }),
        };
        read(&mut Fields::open(tag, body)?)
    }
}

fn id(fields: &mut Fields<'_>) -> Result<BlockId, WireError> {
    fields.hash().map(BlockId)
}

fn ids(fields: &mut Fields<'_>, what: &'static str, limit: usize) -> Result<Vec<BlockId>, WireError> {
    Ok(fields.chunks::<32>(what, limit)?.iter().map(|id| BlockId(*id)).collect())
}

fn leaves(fields: &mut Fields<'_>, limit: usize) -> Result<Vec<LeafHash>, WireError> {
    Ok(fields.chunks::<32>("transactions", limit)?.iter().map(|leaf| LeafHash(*leaf)).collect())
}

/// MSG-5 > Places of a block are asked for in ascending order.
fn places(fields: &mut Fields<'_>) -> Result<Vec<u32>, WireError> {
    let places = fields.chunks::<4>("places", BLOCK_TRANSACTIONS_MAX)?;
    let places: Vec<u32> = places.iter().map(|place| u32::from_le_bytes(*place)).collect();
    for pair in places.windows(2) {
        if let [before, found] = *pair
            && found <= before
        {
            return Err(WireError::Places { tag: fields.tag(), found, before });
        }
    }
    Ok(places)
}

fn compact(fields: &mut Fields<'_>) -> Result<CompactBlock, WireError> {
    let tag = fields.tag();
    let canonical = |source| WireError::Canonical { tag, source };
    let header = decode_exact(fields.bytes("header", SEALED_HEADER_BYTES_MAX)?).map_err(canonical)?;
    let salt = fields.number("salt")?;
    let certificate = match fields.bytes("certificate", SEALED_HEADER_BYTES_MAX)? {
        [] => None,
        bytes => Some(decode_exact(bytes).map_err(canonical)?),
    };
    let extra = fields.bytes("extra data", cairn_core::block::EXTRA_BYTES_MAX)?.to_vec();
    let short_ids: Vec<ShortId> = fields.chunks::<6>("short ids", BLOCK_TRANSACTIONS_MAX)?.to_vec();
    Ok(CompactBlock { header, salt, certificate, extra, short_ids })
}
