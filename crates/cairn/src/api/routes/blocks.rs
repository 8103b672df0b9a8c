//! Blocks of the chain and beside it.

use crate::api::Api;
use crate::api::errors::{ApiError, of_transaction};
use crate::api::input::{BlockName, NoQuery, PathText, block_name, page_limit, query};
use crate::api::render;
use crate::api::rendered::{BLOCK_BYTES_MIN, Form};
use crate::api::views::{BlockQuery, BlockSummary, BlockView, BlocksQuery, ErrorBody, ForkView};
use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};
use cairn_core::block::decode_block;
use cairn_core::numbers::Height;
use cairn_store::ledger::Block;
use std::sync::Arc;

/// How many blocks a page has if nothing is said.
const PAGE_BLOCKS: u32 = 20;

/// Blocks of the chain, the newest first.
#[utoipa::path(get, path = "/v1/blocks", tag = "chain", params(BlocksQuery), responses(
    (status = 200, body = [BlockSummary]), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, ApiError> {
    let BlocksQuery { before, limit } = query(&uri)?;
    let limit = page_limit(limit, PAGE_BLOCKS)?;
    api.answer_apart(move |api| page(api, before, limit).map(Json)).await
}

/// Blocks of the chain below a height, the newest first.
fn page(api: &Api, before: Option<u64>, limit: usize) -> Result<Vec<BlockSummary>, ApiError> {
    let reader = api.node.reader();
    let end = reader.tip().next().0;
    let end = before.map_or(end, |before| before.min(end));
    let mut blocks = Vec::new();
    for height in (0..end).rev().take(limit) {
        // A reorganisation may shorten the chain meanwhile.
        let Some((id, header)) = reader.header(Height(height))? else { continue };
        blocks.push(render::block_summary(id, &header, api.rules().prefix()));
    }
    Ok(blocks)
}

/// A block, by height, id or `tip`; with `full=true` its transactions come whole.
#[utoipa::path(get, path = "/v1/blocks/{block}", tag = "chain",
    params(("block" = String, Path, description = "A height, an id, or `tip`"), BlockQuery),
    responses((status = 200, body = BlockView), (status = "default", body = ErrorBody))
)]
pub(in crate::api) async fn one(
    State(api): State<Arc<Api>>,
    PathText(name): PathText,
    uri: Uri,
) -> Result<Response, ApiError> {
    let BlockQuery { full } = query(&uri)?;
    let name = block_name(&name)?;
    let read = move |api: &Api| {
        let block = find(api, name)?;
        let tip = api.node.reader().tip().0;
        let view = || {
            let decoded = decode_block(&block.bytes).map_err(|_| ApiError::store_failed())?;
            render::block(&block, decoded, tip, full, api.rules()).map_err(|error| of_transaction(&error))
        };
        if block.bytes.len() < BLOCK_BYTES_MIN {
            return view().map(|view| Json(view).into_response());
        }
        let text = api.rendered.text(Form { id: block.id, is_full: full }, view)?;
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let body = text.with(block.is_on_chain, render::confirmations(&block, tip));
        Ok((kind, body).into_response())
    };
    api.answer_apart(read).await
}

/// The canonical bytes of a block with its seal.
#[utoipa::path(get, path = "/v1/blocks/{block}/raw", tag = "chain",
    params(("block" = String, Path, description = "A height, an id, or `tip`")),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = "default", body = ErrorBody)
    )
)]
pub(in crate::api) async fn raw(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    PathText(name): PathText,
) -> Result<Response, ApiError> {
    let name = block_name(&name)?;
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    api.answer_apart(move |api| Ok((kind, find(api, name)?.bytes.to_vec()))).await
}

/// Known branches beside the chain, those with the most work first.
#[utoipa::path(get, path = "/v1/forks", tag = "chain", responses(
    (status = 200, body = [ForkView]), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn forks(
    State(api): State<Arc<Api>>,
    _: NoQuery,
) -> Result<Json<Vec<ForkView>>, ApiError> {
    let branches = api.node.ask(|node, _| node.branches()).await?;
    Ok(Json(branches.iter().map(render::fork).collect()))
}

/// The block with a name.
fn find(api: &Api, name: BlockName) -> Result<Block, ApiError> {
    let reader = api.node.reader();
    let block = match name {
        BlockName::Tip => reader.block_at(reader.tip())?,
        BlockName::Height(height) => reader.block_at(height)?,
        BlockName::Id(id) => reader.block(&id)?,
    };
    block.ok_or_else(ApiError::unknown_block)
}
