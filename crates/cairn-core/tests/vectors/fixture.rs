//! The keys, networks and transactions that the vectors are made of.

use cairn_core::address::{Address, AddressPrefix};
use cairn_core::codec::Encode as _;
use cairn_core::hash::BlockId;
use cairn_core::issuance::Issuance;
use cairn_core::network::{ConsensusSection, FeePolicy, Limits, Mode, NetworkName, Rules};
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Weight};
use cairn_core::signature::{PublicKey, Scheme, Witness};
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{TRANSACTION_VERSION, Transaction, TransactionBody, Transfer};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use serde_json::{Value, json};

/// The identity under which transactions are signed where no chain is at hand.
pub(crate) const IDENTITY: BlockId = BlockId([0xa5; 32]);

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    const_hex::encode(bytes)
}

/// A number of 64 bits.
pub(crate) fn wide(number: u64) -> Value {
    Value::String(number.to_string())
}

/// The signer whose secret seed is the byte `seed`, 32 times.
pub(crate) fn signer(seed: u8) -> SigningKey {
    SigningKey::from([seed; 32])
}

pub(crate) fn key(seed: u8) -> [u8; 32] {
    VerificationKeyBytes::from(&signer(seed)).into()
}

pub(crate) fn address(seed: u8) -> Address {
    PublicKey::Ed25519(key(seed)).address()
}

pub(crate) fn prefix(text: &str) -> AddressPrefix {
    AddressPrefix::new(text).unwrap()
}

pub(crate) fn coins(units: u64) -> Amount {
    Amount::from_units(units)
}

pub(crate) fn transfer(to: Address, units: u64) -> Transfer {
    Transfer { to, amount: coins(units) }
}

/// A body that pays `units` to each of `to`.
pub(crate) fn body(nonce: u64, max_fee_rate: u64, transfers: Vec<Transfer>) -> TransactionBody {
    TransactionBody {
        version: TRANSACTION_VERSION,
        nonce: Nonce(nonce),
        valid_until: Height(0),
        max_fee_rate: FeeRate(max_fee_rate),
        tip_rate: FeeRate(0),
        transfers,
        data: Vec::new(),
    }
}

/// The body, signed by the signer of `seed`.
pub(crate) fn sign(seed: u8, body: TransactionBody, identity: &BlockId) -> Transaction {
    let id = body.id(identity, &address(seed));
    let signature = signer(seed).sign(id.as_bytes()).to_bytes();
    Transaction { body, witness: Witness::Ed25519 { key: key(seed), signature } }
}

/// A small network: easy work, rewards that halve and mature at once in a short chain.
pub(crate) fn section(mode: Mode) -> ConsensusSection {
    ConsensusSection {
        network: NetworkName {
            id: 77,
            name: "Vectors".to_owned(),
            symbol: "VEC".to_owned(),
            decimals: 8,
            prefix: prefix("cairn"),
            coin_type: 1,
            devnet: false,
        },
        mode,
        interval_ms: 10_000,
        half_life_ms: 60_000,
        first_target: CompactTarget(0x2000_ffff),
        target_limit: CompactTarget(0x200f_ffff),
        issuance: Issuance {
            initial: coins(5_000_000_000),
            halving_every: 2,
            tail: coins(1_000_000_000),
            cap: coins(12_000_000_000),
        },
        maturity: 2,
        fees: FeePolicy { floor: FeeRate(3), moving: true, burn: true },
        limits: Limits {
            transaction_bytes: 16_384,
            data_bytes: 64,
            transfers: 256,
            block_weight: Weight(60_000),
            block_transactions: 8,
            extra_bytes: 128,
        },
        reserve: coins(1_000),
        schemes: vec![Scheme::Ed25519],
    }
}

pub(crate) fn rules() -> Rules {
    Rules::new(section(Mode::Pow), IDENTITY)
}

/// The consensus section, field by field in its order.
pub(crate) fn section_json(section: &ConsensusSection) -> Value {
    let ConsensusSection { network, mode, issuance, fees, limits, .. } = section;
    let mode_json = match mode {
        Mode::Pow => json!({"name": mode.name()}),
        Mode::PowPermit { turns, .. } => json!({"name": mode.name(), "turns": turns}),
        Mode::Bft { .. } => json!({"name": mode.name()}),
        Mode::PowFinality { checkpoint_interval, checkpoint_depth, .. } => json!({
            "name": mode.name(), "checkpoint_interval": checkpoint_interval, "checkpoint_depth": checkpoint_depth,
        }),
    };
    json!({
        "id": network.id,
        "name": network.name,
        "symbol": network.symbol,
        "decimals": network.decimals,
        "prefix": network.prefix.as_str(),
        "coin_type": network.coin_type,
        "devnet": network.devnet,
        "mode": mode_json,
        "authorities": mode.authorities().iter().map(hex).collect::<Vec<_>>(),
        "interval_ms": wide(section.interval_ms),
        "half_life_ms": wide(section.half_life_ms),
        "first_target": section.first_target.to_string(),
        "target_limit": section.target_limit.to_string(),
        "initial": wide(issuance.initial.units()),
        "halving_every": wide(issuance.halving_every),
        "tail": wide(issuance.tail.units()),
        "cap": wide(issuance.cap.units()),
        "maturity": section.maturity,
        "floor": wide(fees.floor.0),
        "moving": fees.moving,
        "burn": fees.burn,
        "transaction_bytes": limits.transaction_bytes,
        "data_bytes": limits.data_bytes,
        "transfers": limits.transfers,
        "block_weight": wide(limits.block_weight.0),
        "block_transactions": limits.block_transactions,
        "extra_bytes": limits.extra_bytes,
        "reserve": wide(section.reserve.units()),
        "schemes": section.schemes.iter().map(|scheme| scheme.name()).collect::<Vec<_>>(),
        "bytes": hex(section.to_bytes()),
    })
}
