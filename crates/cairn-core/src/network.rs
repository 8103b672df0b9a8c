//! The rules that genesis fixes for a network: the consensus section, and its canonical bytes.
//!
//! Block 0 commits these bytes in its extra data, so its id names the network and all its rules.
//! What a node may choose for itself (peer limits, when to make blocks) is policy and not here.

use crate::address::{Address, AddressPrefix};
use crate::codec::{Decode, DecodeError, Encode, Reader, encode_byte_string, encode_count};
use crate::difficulty::Difficulty;
use crate::hash::BlockId;
use crate::issuance::Issuance;
use crate::numbers::{Amount, FeeRate, Weight};
use crate::signature::{PublicKey, Scheme};
use crate::target::CompactTarget;

/// The version of the consensus section.
pub const GENESIS_VERSION: u16 = 1;
/// The longest name of a network, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The longest symbol of a coin, in bytes.
pub const SYMBOL_BYTES_MAX: usize = 12;
/// The most decimals of a coin: 10¹⁸ base units still fit an amount.
pub const DECIMALS_MAX: u8 = 18;
/// The most miners or validators that genesis can list.
pub const AUTHORITIES_MAX: usize = 1024;

/// How people call the network and its coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkName {
    /// A number that tells networks apart at a glance; the identity does so for certain.
    pub id: u32,
    /// The network's name.
    pub name: String,
    /// The coin's symbol.
    pub symbol: String,
    /// How many decimals a coin has: one coin is 10^decimals base units.
    pub decimals: u8,
    /// How addresses begin.
    pub prefix: AddressPrefix,
    /// The coin type in key derivation paths (SLIP-44).
    pub coin_type: u32,
    /// Whether the published development accounts may be used here.
    pub devnet: bool,
}

/// Who makes blocks, and what makes them final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Anyone who does the work.
    Pow,
    /// Listed miners only, and they do the work.
    PowPermit {
        /// The ed25519 keys of the miners, in turn order.
        miners: Vec<[u8; 32]>,
        /// Whether miners take turns.
        turns: bool,
    },
    /// Listed validators, each block final at once.
    Bft {
        /// The ed25519 keys of the validators.
        validators: Vec<[u8; 32]>,
    },
    /// Anyone mines, validators certify checkpoints.
    PowFinality {
        /// The ed25519 keys of the validators.
        validators: Vec<[u8; 32]>,
        /// The least distance between checkpoints, in blocks.
        checkpoint_interval: u32,
        /// How deep a checkpoint lies when it is proposed, in blocks.
        checkpoint_depth: u32,
    },
}

impl Mode {
    /// The name in genesis files, commands and answers.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pow => "pow",
            Self::PowPermit { .. } => "pow+permit",
            Self::Bft { .. } => "bft",
            Self::PowFinality { .. } => "pow+finality",
        }
    }

    /// The listed keys: miners or validators.
    pub fn authorities(&self) -> &[[u8; 32]] {
        match self {
            Self::Pow => &[],
            Self::PowPermit { miners, .. } => miners,
            Self::Bft { validators } | Self::PowFinality { validators, .. } => validators,
        }
    }
}

/// How the base fee moves and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePolicy {
    /// The least base fee, in base units a unit of weight.
    pub floor: FeeRate,
    /// Whether the base fee moves with demand; otherwise it stays at the floor.
    pub moving: bool,
    /// Whether the base part of a fee is burned; otherwise the producer gets it.
    pub burn: bool,
}

/// The sizes that genesis allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a transaction.
    pub transaction_bytes: usize,
    /// The most bytes of data in a transaction.
    pub data_bytes: usize,
    /// The most transfers of a transaction.
    pub transfers: usize,
    /// The greatest weight of a block.
    pub block_weight: Weight,
    /// The most transactions of a block.
    pub block_transactions: u32,
    /// The most bytes of extra data in a block.
    pub extra_bytes: usize,
}

/// The consensus section of genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsensusSection {
    /// Names and units.
    pub network: NetworkName,
    /// Who makes blocks.
    pub mode: Mode,
    /// The intended time between blocks, in milliseconds.
    pub interval_ms: u64,
    /// How long the target takes to halve at double speed, in milliseconds; 0 fixes the difficulty.
    pub half_life_ms: u64,
    /// The target of block 1, and of every block where the difficulty is fixed; none under `bft`.
    pub first_target: CompactTarget,
    /// The easiest target.
    pub target_limit: CompactTarget,
    /// The coins that blocks bring.
    pub issuance: Issuance,
    /// How many blocks later a reward is credited.
    pub maturity: u32,
    /// The base fee.
    pub fees: FeePolicy,
    /// Sizes.
    pub limits: Limits,
    /// What every account that a transaction touches must keep.
    pub reserve: Amount,
    /// The signature schemes that accounts may use, ascending by number.
    pub schemes: Vec<Scheme>,
}

/// The rules of one network: its consensus section and its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    section: ConsensusSection,
    identity: BlockId,
    /// The addresses of the listed keys, in their order.
    authorities: Vec<Address>,
}

impl Rules {
    /// The rules of the network that block 0 with id `identity` begins.
    pub fn new(section: ConsensusSection, identity: BlockId) -> Self {
        let authorities =
            section.mode.authorities().iter().map(|key| PublicKey::Ed25519(*key).address()).collect();
        Self { section, identity, authorities }
    }

    /// The id of block 0.
    pub const fn identity(&self) -> &BlockId {
        &self.identity
    }

    /// All that genesis fixes.
    pub const fn section(&self) -> &ConsensusSection {
        &self.section
    }

    /// Sizes.
    pub const fn limits(&self) -> &Limits {
        &self.section.limits
    }

    /// How addresses begin.
    pub const fn prefix(&self) -> &AddressPrefix {
        &self.section.network.prefix
    }

    /// Whether accounts may use a signature scheme.
    pub fn is_enabled(&self, scheme: Scheme) -> bool {
        scheme.is_supported() && self.section.schemes.contains(&scheme)
    }

    /// The key of the listed miner or validator whose address is `address`, and its place in the list.
    pub fn authority(&self, address: &Address) -> Option<(usize, &[u8; 32])> {
        let place = self.authorities.iter().position(|listed| listed == address)?;
        Some((place, self.section.mode.authorities().get(place)?))
    }

    /// How the difficulty moves; none where it is fixed.
    pub fn difficulty(&self) -> Option<Difficulty> {
        let limit = self.section.target_limit.expand().ok()?;
        (self.section.half_life_ms > 0).then_some(Difficulty {
            interval_ms: self.section.interval_ms,
            half_life_ms: self.section.half_life_ms,
            limit,
        })
    }

    /// The base fee after a block with base fee `base` and weight `used`.
    ///
    /// With `target` half the greatest weight of a block:
    /// `max(floor, ⌊base · (7·target + used) / (8·target)⌋)`, and at least `base + 1` if
    /// `used > target`. The form is that of EIP-1559.
    pub fn next_base_fee(&self, base: FeeRate, used: Weight) -> FeeRate {
        let FeePolicy { floor, moving, .. } = self.section.fees;
        if !moving {
            return floor;
        }
        let target = u128::from(self.section.limits.block_weight.0 / 2).max(1);
        let (base, used) = (u128::from(base.0), u128::from(used.0));
        let mut next = base * (7 * target + used) / (8 * target);
        if used > target {
            next = next.max(base + 1);
        }
        FeeRate(u64::try_from(next).unwrap_or(u64::MAX)).max(floor)
    }
}

const MODE_POW: u8 = 1;
const MODE_POW_PERMIT: u8 = 2;
const MODE_BFT: u8 = 3;
const MODE_POW_FINALITY: u8 = 4;

impl Encode for Mode {
    fn encode(&self, out: &mut Vec<u8>) {
        let number = match self {
            Self::Pow => MODE_POW,
            Self::PowPermit { .. } => MODE_POW_PERMIT,
            Self::Bft { .. } => MODE_BFT,
            Self::PowFinality { .. } => MODE_POW_FINALITY,
        };
        out.push(number);
        if *self == Self::Pow {
            return;
        }
        encode_count(self.authorities().len(), out);
        for key in self.authorities() {
            key.encode(out);
        }
        match self {
            Self::Pow | Self::Bft { .. } => {}
            Self::PowPermit { turns, .. } => turns.encode(out),
            Self::PowFinality { checkpoint_interval, checkpoint_depth, .. } => {
                checkpoint_interval.encode(out);
                checkpoint_depth.encode(out);
            }
        }
    }
}

impl Decode for Mode {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let number = reader.byte()?;
        match number {
            MODE_POW => Ok(Self::Pow),
            MODE_POW_PERMIT => {
                Ok(Self::PowPermit { miners: decode_keys(reader)?, turns: bool::decode(reader)? })
            }
            MODE_BFT => Ok(Self::Bft { validators: decode_keys(reader)? }),
            MODE_POW_FINALITY => Ok(Self::PowFinality {
                validators: decode_keys(reader)?,
                checkpoint_interval: u32::decode(reader)?,
                checkpoint_depth: u32::decode(reader)?,
            }),
            found => Err(DecodeError::UnknownKind { what: "consensus mode", at, found }),
        }
    }
}

fn decode_keys(reader: &mut Reader<'_>) -> Result<Vec<[u8; 32]>, DecodeError> {
    let count = reader.count("authorities", AUTHORITIES_MAX, 32)?;
    (0..count).map(|_| reader.array()).collect()
}

/// A size limit as `u32`.
fn encode_size(size: usize, out: &mut Vec<u8>) {
    encode_count(size, out);
}

fn decode_size(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    u32::decode(reader).map(|size| size as usize)
}

impl Encode for ConsensusSection {
    fn encode(&self, out: &mut Vec<u8>) {
        GENESIS_VERSION.encode(out);
        self.network.id.encode(out);
        encode_byte_string(self.network.name.as_bytes(), out);
        encode_byte_string(self.network.symbol.as_bytes(), out);
        self.network.decimals.encode(out);
        encode_byte_string(self.network.prefix.as_str().as_bytes(), out);
        self.network.coin_type.encode(out);
        self.network.devnet.encode(out);
        self.mode.encode(out);
        self.interval_ms.encode(out);
        self.half_life_ms.encode(out);
        self.first_target.encode(out);
        self.target_limit.encode(out);
        self.issuance.encode(out);
        self.maturity.encode(out);
        self.fees.floor.encode(out);
        self.fees.moving.encode(out);
        self.fees.burn.encode(out);
        encode_size(self.limits.transaction_bytes, out);
        encode_size(self.limits.data_bytes, out);
        encode_size(self.limits.transfers, out);
        self.limits.block_weight.encode(out);
        self.limits.block_transactions.encode(out);
        encode_size(self.limits.extra_bytes, out);
        self.reserve.encode(out);
        encode_count(self.schemes.len(), out);
        for scheme in &self.schemes {
            scheme.encode(out);
        }
    }
}

impl Decode for ConsensusSection {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if u16::decode(reader)? != GENESIS_VERSION {
            return Err(DecodeError::NotCanonical { what: "genesis version", at: reader.position() });
        }
        let network = decode_network_name(reader)?;
        Ok(Self {
            network,
            mode: Mode::decode(reader)?,
            interval_ms: u64::decode(reader)?,
            half_life_ms: u64::decode(reader)?,
            first_target: CompactTarget::decode(reader)?,
            target_limit: CompactTarget::decode(reader)?,
            issuance: Issuance::decode(reader)?,
            maturity: u32::decode(reader)?,
            fees: FeePolicy {
                floor: FeeRate::decode(reader)?,
                moving: bool::decode(reader)?,
                burn: bool::decode(reader)?,
            },
            limits: Limits {
                transaction_bytes: decode_size(reader)?,
                data_bytes: decode_size(reader)?,
                transfers: decode_size(reader)?,
                block_weight: Weight::decode(reader)?,
                block_transactions: u32::decode(reader)?,
                extra_bytes: decode_size(reader)?,
            },
            reserve: Amount::decode(reader)?,
            schemes: decode_schemes(reader)?,
        })
    }
}

fn decode_network_name(reader: &mut Reader<'_>) -> Result<NetworkName, DecodeError> {
    let id = u32::decode(reader)?;
    let name = reader.text("network name", NAME_BYTES_MAX)?;
    let symbol = reader.text("coin symbol", SYMBOL_BYTES_MAX)?;
    let decimals = reader.byte()?;
    let prefix = reader.text("address prefix", crate::address::PREFIX_BYTES_MAX)?;
    let prefix = AddressPrefix::new(&prefix)
        .map_err(|_| DecodeError::NotCanonical { what: "address prefix", at: reader.position() })?;
    let coin_type = u32::decode(reader)?;
    let devnet = bool::decode(reader)?;
    Ok(NetworkName { id, name, symbol, decimals, prefix, coin_type, devnet })
}

fn decode_schemes(reader: &mut Reader<'_>) -> Result<Vec<Scheme>, DecodeError> {
    let count = reader.count("signature schemes", Scheme::ALL.len(), 1)?;
    let mut schemes: Vec<Scheme> = Vec::with_capacity(count);
    for _ in 0..count {
        let scheme = Scheme::decode(reader)?;
        if schemes.last().is_some_and(|last| *last >= scheme) {
            return Err(DecodeError::NotCanonical {
                what: "order of signature schemes",
                at: reader.position(),
            });
        }
        schemes.push(scheme);
    }
    Ok(schemes)
}
