//! Values of the ledger in the shapes of the interface.

use crate::api::errors::of_transaction;
use crate::api::views::{
    BlockSummary, BlockView, BodyView, Bytes, ForkView, MempoolEntry, MiningModeView, PeerView, SealView,
    SyncView, TransactionView, TransferView, WaitView, WitnessView,
};
use cairn_core::address::AddressPrefix;
use cairn_core::block::{Header, Seal, SealedBlock};
use cairn_core::codec::Encode as _;
use cairn_core::hash::BlockId;
use cairn_core::network::Rules;
use cairn_core::signature::Witness;
use cairn_core::transaction::{
    CheckedTransaction, IdentifiedTransaction, Transaction, TransactionBody, TransactionError, trust_all,
};
use cairn_node::MiningMode;
use cairn_node::chain::Branch;
use cairn_node::mempool::Waits;
use cairn_node::queries::PendingTransaction;
use cairn_node::sync::{SyncState, SyncStatus};
use cairn_p2p::{Direction, PeerInfo};
use cairn_store::ledger::Block;

/// A block in a list.
pub fn block_summary(id: BlockId, header: &Header, prefix: &AddressPrefix) -> BlockSummary {
    BlockSummary {
        height: header.height.0,
        id: id.into(),
        time_ms: header.time.0,
        producer: header.producer.to_text(prefix),
        transaction_count: header.tx_count,
        weight_used: header.weight_used.0,
        base_fee: header.base_fee.into(),
    }
}

/// A block; `decoded` is what its bytes hold, `tip` the height of the chain.
///
/// # Errors
///
/// If a transaction of the block breaks a rule, which none of a kept block does.
pub fn block(
    block: &Block,
    decoded: SealedBlock,
    tip: u64,
    is_full: bool,
    rules: &Rules,
) -> Result<BlockView, TransactionError> {
    let header = &block.header;
    let identified: Vec<_> = decoded
        .body
        .transactions
        .into_iter()
        .map(|transaction| IdentifiedTransaction::new(transaction, rules.identity()))
        .collect();
    let (ids, full) = if is_full {
        let checked = trust_all(identified, rules).map_err(|(_, error)| error)?;
        let views = checked.iter().map(|it| transaction(it, rules.prefix())).collect();
        (None, Some(views))
    } else {
        (Some(identified.iter().map(|it| it.id().into()).collect()), None)
    };
    Ok(BlockView {
        height: header.height.0,
        id: block.id.into(),
        version: header.version,
        time_ms: header.time.0,
        parent: header.parent.into(),
        transaction_count: header.tx_count,
        transaction_root: header.tx_root.into(),
        state_root: header.state_root.into(),
        history_root: header.history_root.into(),
        prev_seal: header.prev_seal.into(),
        producer: header.producer.to_text(rules.prefix()),
        target: format!("{:08x}", header.target.0),
        base_fee: header.base_fee.into(),
        weight_used: header.weight_used.0,
        extra_hash: header.extra_hash.into(),
        seal: seal(&decoded.seal),
        extra: Bytes(decoded.body.extra),
        bytes: count(block.bytes.len()),
        on_chain: block.is_on_chain,
        confirmations: confirmations(block, tip),
        transaction_ids: ids,
        transactions: full,
    })
}

/// How many blocks of a chain whose highest is at `tip` confirm a block, itself included.
pub fn confirmations(block: &Block, tip: u64) -> u64 {
    let above = tip.checked_sub(block.header.height.0).filter(|_| block.is_on_chain);
    above.map_or(0, |above| above + 1)
}

/// What closes a block.
pub fn seal(seal: &Seal) -> SealView {
    let (kind, signature) = match seal {
        Seal::Work { .. } => ("work", None),
        Seal::Permit { signature, .. } => ("permit", Some(Bytes(signature.to_vec()))),
        Seal::Certificate(_) => ("certificate", None),
    };
    SealView { kind: kind.to_owned(), nonce: crate::api::views::Units(seal.nonce().0), signature }
}

/// A transaction with what follows from it.
pub fn transaction(checked: &CheckedTransaction, prefix: &AddressPrefix) -> TransactionView {
    let Transaction { body, witness } = checked.transaction();
    TransactionView {
        id: checked.id().into(),
        leaf: checked.leaf().into(),
        sender: checked.sender().to_text(prefix),
        amount: checked.amount().into(),
        weight: checked.weight().0,
        bytes: count(checked.byte_count()),
        body: body_view(body, prefix),
        witness: witness_view(witness),
    }
}

/// What a sender signs.
pub fn body_view(body: &TransactionBody, prefix: &AddressPrefix) -> BodyView {
    let transfers = body.transfers.iter();
    BodyView {
        version: body.version,
        nonce: body.nonce.0,
        valid_until: body.valid_until.0,
        max_fee_rate: body.max_fee_rate.into(),
        tip_rate: body.tip_rate.into(),
        transfers: transfers
            .map(|transfer| TransferView { to: transfer.to.to_text(prefix), amount: transfer.amount.into() })
            .collect(),
        data: Bytes(body.data.clone()),
    }
}

/// A key and a signature. Those of schemes that no network enables yet come as canonical bytes.
pub fn witness_view(witness: &Witness) -> WitnessView {
    let (key, signature) = match witness {
        Witness::Ed25519 { key, signature } => (key.to_vec(), signature.to_vec()),
        Witness::Secp256k1 { key, signature } => (key.to_vec(), signature.to_vec()),
        Witness::RsaPss { key, signature } => (key.clone(), signature.clone()),
        Witness::MlDsa44 { .. } | Witness::Multisig { .. } => (Vec::new(), witness.to_bytes()),
    };
    WitnessView { scheme: witness.scheme().name().to_owned(), key: Bytes(key), signature: Bytes(signature) }
}

/// A transaction in the mempool.
pub fn mempool_entry(pending: &PendingTransaction, prefix: &AddressPrefix) -> MempoolEntry {
    let checked = &pending.transaction;
    let body = checked.body();
    MempoolEntry {
        id: checked.id().into(),
        sender: checked.sender().to_text(prefix),
        nonce: body.nonce.0,
        amount: checked.amount().into(),
        weight: checked.weight().0,
        bytes: count(checked.byte_count()),
        max_fee_rate: body.max_fee_rate.into(),
        tip_rate: body.tip_rate.into(),
        valid_until: body.valid_until.0,
        since_ms: pending.since.0,
        cursor: pending.cursor.0,
        waits: waits(&pending.waits),
    }
}

/// Why a transaction waits, as a name and a sentence.
pub fn waits(waits: &Waits) -> WaitView {
    let (reason, message) = match waits {
        Waits::Ready => ("ready", "it waits for the next block only".to_owned()),
        Waits::NonceGap { missing } => {
            ("nonce-gap", format!("the transaction with nonce {missing} of its sender is missing"))
        }
        Waits::BaseFee { found, base_fee } => {
            ("base-fee", format!("it pays at most {found} a unit of weight, the base fee is {base_fee}"))
        }
        Waits::Balance { balance, needed } => {
            ("balance", format!("it and what its sender sent before take {needed}, the balance is {balance}"))
        }
        Waits::Earlier { nonce } => {
            ("earlier", format!("the transaction with nonce {nonce} of its sender must be confirmed first"))
        }
        Waits::Rule(error) => ("rule", of_transaction(error).message),
    };
    WaitView { reason: reason.to_owned(), message }
}

/// A branch beside the chain.
pub fn fork(branch: &Branch) -> ForkView {
    ForkView {
        tip: branch.tip.into(),
        height: branch.height.0,
        fork_height: branch.fork.0,
        length: branch.blocks,
    }
}

/// When a node makes blocks.
pub const fn mining_mode(mode: MiningMode) -> MiningModeView {
    match mode {
        MiningMode::Manual => MiningModeView::Manual,
        MiningMode::OnTransaction => MiningModeView::OnTransaction,
        MiningMode::Interval => MiningModeView::Interval,
        MiningMode::Continuous => MiningModeView::Continuous,
    }
}

/// When a node is to make blocks.
pub const fn to_mining_mode(mode: MiningModeView) -> MiningMode {
    match mode {
        MiningModeView::Manual => MiningMode::Manual,
        MiningModeView::OnTransaction => MiningMode::OnTransaction,
        MiningModeView::Interval => MiningMode::Interval,
        MiningModeView::Continuous => MiningMode::Continuous,
    }
}

/// A length as a JSON number.
pub fn count(length: usize) -> u64 {
    u64::try_from(length).expect("lengths have at most 64 bits")
}

/// How far a node is beside its peers.
pub fn sync(status: &SyncStatus) -> SyncView {
    let state = match status.state {
        SyncState::Alone | SyncState::Following => "synced",
        SyncState::Headers => "headers",
        SyncState::Blocks => "blocks",
    };
    SyncView { state: state.to_owned(), height: status.height.0, target: status.target.0 }
}

/// How far the clock of a peer is ahead. What it says may be any number; JSON has them up to 2^53.
fn clock_offset_ms(theirs_ms: u64, ours_ms: u64) -> i64 {
    const MOST: i64 = (1 << 53) - 1;
    let offset = i128::from(theirs_ms) - i128::from(ours_ms);
    i64::try_from(offset).unwrap_or(if offset < 0 { -MOST } else { MOST }).clamp(-MOST, MOST)
}

/// A connected node.
pub fn peer(info: &PeerInfo) -> PeerView {
    let direction = match info.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    PeerView {
        id: info.node.to_string(),
        address: info.remote.to_string(),
        direction: direction.to_owned(),
        name: info.hello.name.to_string(),
        roles: info.hello.roles.names().map(str::to_owned).collect(),
        software: info.hello.software.to_string(),
        height: info.height.max(info.hello.height),
        since_ms: info.since_ms,
        ping_ms: info.ping_ms,
        clock_offset_ms: clock_offset_ms(info.hello.time_ms, info.since_ms),
        bytes_in: info.bytes_in,
        bytes_out: info.bytes_out,
    }
}
