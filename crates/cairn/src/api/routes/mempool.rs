//! What waits for a block, and why.

use crate::api::Api;
use crate::api::errors::ApiError;
use crate::api::input::{address, page_limit, query};
use crate::api::render;
use crate::api::views::{ErrorBody, MempoolEntry, MempoolQuery};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use cairn_node::queries::Cursor;
use std::sync::Arc;

/// How many entries a page has if nothing is said.
const PAGE_ENTRIES: u32 = 100;

/// Transactions that wait, all or those of one account, the newest first.
#[utoipa::path(get, path = "/v1/mempool", tag = "mempool", params(MempoolQuery), responses(
    (status = 200, body = [MempoolEntry]), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, ApiError> {
    let MempoolQuery { address: sender, before, limit } = query(&uri)?;
    let limit = page_limit(limit, PAGE_ENTRIES)?;
    let sender = sender.map(|text| address(&text, api.rules().prefix())).transpose()?;
    let before = before.map(Cursor);
    let pending = api
        .node
        .ask(move |node, _| match sender {
            Some(sender) => node.pending_of(&sender, before, limit),
            None => node.pending_page(before, limit),
        })
        .await?;
    let show = move |api: &Api| {
        let entries = pending.iter().map(|entry| render::mempool_entry(entry, api.rules().prefix()));
        Ok(Json(entries.collect::<Vec<_>>()))
    };
    api.answer_apart(show).await
}
