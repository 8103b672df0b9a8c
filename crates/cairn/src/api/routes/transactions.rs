//! Where a transaction is, and what shows it.

use crate::api::Api;
use crate::api::errors::{ApiError, of_transaction};
use crate::api::input::{NoQuery, PathText, transaction_id};
use crate::api::render;
use crate::api::views::{Bytes, ErrorBody, Hash, TransactionProof, TransactionState, TransactionStatus};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cairn_core::block::{SealedBlock, decode_block};
use cairn_core::codec::Encode as _;
use cairn_core::hash::{BlockId, LeafHash, TransactionId};
use cairn_core::merkle::MerkleProof;
use cairn_core::transaction::{CheckedTransaction, IdentifiedTransaction, trust_all};
use std::sync::Arc;

/// A transaction in a block of the chain.
struct Confirmed {
    block_id: BlockId,
    block: SealedBlock,
    place: u32,
}

/// Where a transaction is: waiting, or in which block.
#[utoipa::path(get, path = "/v1/transactions/{id}", tag = "chain",
    params(("id" = String, Path, description = "The id of the transaction")),
    responses((status = 200, body = TransactionStatus), (status = "default", body = ErrorBody))
)]
pub(in crate::api) async fn one(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = transaction_id(&id)?;
    // The mempool first: what leaves it for a block is found in the block then.
    if let Some(pending) = api.node.ask(move |node, _| node.pending(&id)).await? {
        let status = TransactionStatus {
            id: id.into(),
            status: TransactionState::Pending,
            height: None,
            block: None,
            place: None,
            confirmations: 0,
            time_ms: None,
            fee: None,
            waits: Some(render::waits(&pending.waits)),
            transaction: render::transaction(&pending.transaction, api.rules().prefix()),
        };
        return Ok(Json(status).into_response());
    }
    api.answer_apart(move |api| confirmed(api, &id).map(Json)).await
}

/// Where a confirmed transaction is.
fn confirmed(api: &Api, id: &TransactionId) -> Result<TransactionStatus, ApiError> {
    let Confirmed { block_id, block, place } = find(api, id)?;
    let checked = checked_at(api, &block, place)?;
    let header = &block.header;
    let above = api.node.reader().tip().0.saturating_sub(header.height.0);
    Ok(TransactionStatus {
        id: (*id).into(),
        status: TransactionState::Confirmed,
        height: Some(header.height.0),
        block: Some(block_id.into()),
        place: Some(place),
        confirmations: above + 1,
        time_ms: Some(header.time.0),
        fee: checked.fees(header.base_fee).map(|fees| fees.total().into()),
        waits: None,
        transaction: render::transaction(&checked, api.rules().prefix()),
    })
}

/// What shows that a transaction is in a block.
#[utoipa::path(get, path = "/v1/transactions/{id}/proof", tag = "chain",
    params(("id" = String, Path, description = "The id of the transaction")),
    responses((status = 200, body = TransactionProof), (status = "default", body = ErrorBody))
)]
pub(in crate::api) async fn proof(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let id = transaction_id(&id)?;
    if api.node.ask(move |node, _| node.pending(&id).is_some()).await? {
        return Err(ApiError::not_confirmed());
    }
    api.answer_apart(move |api| prove(api, &id).map(Json)).await
}

/// What shows that a confirmed transaction is in its block.
fn prove(api: &Api, id: &TransactionId) -> Result<TransactionProof, ApiError> {
    let Confirmed { block_id, block, place } = find(api, id)?;
    let identity = api.rules().identity();
    let leaves: Vec<LeafHash> = block
        .body
        .transactions
        .iter()
        .map(|transaction| IdentifiedTransaction::new(transaction.clone(), identity).leaf())
        .collect();
    let index = usize::try_from(place).map_err(|_| ApiError::store_failed())?;
    let proof = MerkleProof::new(&leaves, index).ok_or_else(ApiError::store_failed)?;
    let (Some(leaf), Some(transaction)) = (leaves.get(index), block.body.transactions.get(index)) else {
        return Err(ApiError::store_failed());
    };
    Ok(TransactionProof {
        id: (*id).into(),
        leaf: (*leaf).into(),
        transaction: Bytes(transaction.to_bytes()),
        height: block.header.height.0,
        block: block_id.into(),
        header: Bytes(block.header.to_bytes()),
        seal: render::seal(&block.seal),
        index: proof.index,
        count: proof.count,
        siblings: proof.siblings.into_iter().map(Hash).collect(),
    })
}

/// Where a transaction stands on the chain.
fn find(api: &Api, id: &TransactionId) -> Result<Confirmed, ApiError> {
    let reader = api.node.reader();
    let place = reader.transaction(id, api.rules().identity())?.ok_or_else(ApiError::unknown_transaction)?;
    // A reorganisation may take the block away between the two reads.
    let block = reader.block_at(place.height)?.ok_or_else(ApiError::unknown_transaction)?;
    let decoded = decode_block(&block.bytes).map_err(|_| ApiError::store_failed())?;
    Ok(Confirmed { block_id: block.id, block: decoded, place: place.place })
}

/// The transaction at a place of a block.
fn checked_at(api: &Api, block: &SealedBlock, place: u32) -> Result<CheckedTransaction, ApiError> {
    let index = usize::try_from(place).map_err(|_| ApiError::store_failed())?;
    let transaction = block.body.transactions.get(index).ok_or_else(ApiError::unknown_transaction)?;
    let identified = IdentifiedTransaction::new(transaction.clone(), api.rules().identity());
    let checked = trust_all(vec![identified], api.rules()).map_err(|(_, error)| of_transaction(&error))?;
    checked.into_iter().next().ok_or_else(ApiError::store_failed)
}
