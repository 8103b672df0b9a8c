//! For those who watch over the node: whether it runs, whether it is ready, its figures, and the
//! description of the interface.

use crate::api::Api;
use crate::api::errors::ApiError;
use crate::api::metrics::Figures;
use crate::api::render::count;
use crate::api::views::{ErrorBody, Health, Readiness};
use crate::run::links::Links;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use cairn_node::Node;
use cairn_p2p::Direction;
use cairn_store::ledger::Ledger;
use std::sync::Arc;
use std::time::Duration;
use tokio::time;

/// How long the node may take to answer while it counts as ready.
const READY_TIME_MAX: Duration = Duration::from_secs(2);

/// The program runs.
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, body = Health)))]
pub(in crate::api) async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Whether the node is ready for work, and why not.
#[utoipa::path(get, path = "/readyz", tag = "node", responses(
    (status = 200, body = Readiness), (status = 503, body = Readiness)
))]
pub(in crate::api) async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, Json<Readiness>) {
    let mut reasons = Vec::new();
    match time::timeout(READY_TIME_MAX, api.node.ask(|_, _| ())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_elapsed) => reasons.push("the node does not answer in time".to_owned()),
    }
    if api.node.is_disk_full() {
        reasons.push("disk-full: the disk has no room for another block".to_owned());
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons }))
}

/// Figures about the node in the text format of OpenMetrics.
#[utoipa::path(get, path = "/metrics", tag = "node", responses(
    (status = 200, content_type = "application/openmetrics-text", body = String),
    (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, ApiError> {
    let figures = api.node.ask(look).await?;
    let events = api.node.events();
    let hashing = api.node.hashing();
    let peers = api.node.links().map(Links::peers).unwrap_or_default();
    let outbound = peers.iter().filter(|peer| peer.direction == Direction::Outbound).count();
    let figures = Figures {
        disk_full: api.node.is_disk_full(),
        event_id: events.newest(),
        subscribers: count(events.subscribers()),
        sealer_threads: hashing.threads.into(),
        hash_rate: hashing.rate,
        peers: count(peers.len()),
        peers_outbound: count(outbound),
        addresses: api.node.links().map_or(0, |links| count(links.known_addresses().0)),
        ..figures
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], api.metrics.render(&figures)))
}

fn look(node: &Node, ledger: &Ledger) -> Figures {
    let (mempool, state, sync) = (node.mempool_status(), node.state_status(), node.sync_status());
    Figures {
        height: node.tip().header.height.0,
        mempool_transactions: count(mempool.transactions),
        mempool_bytes: count(mempool.bytes),
        accounts: u64::from(state.accounts),
        state_bytes: count(state.memory_bytes),
        side_blocks: count(state.side_blocks),
        held_blocks: count(state.held_blocks),
        mempool_log_bytes: ledger.mempool_bytes(),
        sync_behind: sync.target.0.saturating_sub(sync.height.0),
        ..Figures::default()
    }
}

/// The description of the interface (OpenAPI).
#[utoipa::path(get, path = "/openapi.json", tag = "node", responses(
    (status = 200, content_type = "application/json", body = String)
))]
pub(in crate::api) async fn description(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], api.description.clone())
}
