//! What a tracker answers over HTTP. All of it is for everybody but the stop: nothing here is a secret, and
//! nothing changes but what the tracker finds out itself.

use super::Tracker;
use super::registry::Doubt;
use super::views::{DeadAnswer, DeadRequest, TrackedNode, TrackerStatus};
use crate::api::errors::ApiError;
use crate::api::input::{NoQuery, read_json};
use crate::api::views::{Health, InviteView, ShutdownAnswer};
use crate::invite::{addresses_of, view_of};
use crate::run::now_ms;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use std::sync::Arc;

/// All routes.
pub(super) fn routes(tracker: Arc<Tracker>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/genesis", get(genesis))
        .route("/v1/invite", get(invite))
        .route("/v1/dead", post(dead))
        .route("/v1/shutdown", post(shutdown))
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(tracker)
}

async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

async fn status(State(tracker): State<Arc<Tracker>>, _: NoQuery) -> Json<TrackerStatus> {
    let counts = tracker.registry().counts(now_ms());
    Json(TrackerStatus {
        network: tracker.genesis.section().network.name.clone(),
        identity: (*tracker.genesis.identity()).into(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: "tracker".to_owned(),
        name: tracker.name.clone(),
        id: tracker.network.id().to_string(),
        listening: tracker.network.listening().iter().map(ToString::to_string).collect(),
        linked: tracker.network.peers().len(),
        known: counts.known,
        listed: counts.listed,
        ttl_ms: tracker.ttl_ms,
    })
}

async fn peers(State(tracker): State<Arc<Tracker>>, _: NoQuery) -> Json<Vec<TrackedNode>> {
    let listed = tracker.registry().listed(now_ms());
    let nodes = listed.into_iter().map(|(address, entry)| TrackedNode {
        address: address.to_string(),
        id: entry.node.to_string(),
        name: entry.name,
        roles: entry.roles.names().map(str::to_owned).collect(),
        last_seen_ms: entry.seen_ms,
    });
    Json(nodes.collect())
}

async fn genesis(State(tracker): State<Arc<Tracker>>, _: NoQuery) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/toml")], tracker.genesis_text.clone())
}

async fn invite(State(tracker): State<Arc<Tracker>>, _: NoQuery) -> Result<Json<InviteView>, ApiError> {
    let network = &tracker.network;
    let found = match tracker.addresses.as_slice() {
        [] => addresses_of(network.listening(), network.id()),
        named => named.to_vec(),
    };
    let view = view_of(&tracker.genesis, network.id(), found);
    view.map(Json).map_err(|error| {
        ApiError::new(
            StatusCode::CONFLICT,
            "no-invite",
            error.to_string(),
            "start it with `--address HOST:PORT`",
        )
    })
}

async fn dead(
    State(tracker): State<Arc<Tracker>>,
    _: NoQuery,
    request: Request,
) -> Result<(StatusCode, Json<DeadAnswer>), ApiError> {
    let DeadRequest { address } = read_json(request).await?;
    let address = address
        .parse()
        .map_err(|_| ApiError::malformed_parameter("address", "ADDRESS:PORT, as GET /v1/peers names it"))?;
    let doubt = tracker.registry().doubt(address, now_ms());
    let state = match doubt {
        Doubt::Unknown => {
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "unknown-peer",
                format!("{address} is not known"),
                "GET /v1/peers lists who is",
            ));
        }
        Doubt::Fresh => "checked",
        Doubt::Check(node) if tracker.looker.look((address, node)) => "checking",
        Doubt::Check(_) => return Err(ApiError::too_often()),
    };
    Ok((StatusCode::ACCEPTED, Json(DeadAnswer { address: address.to_string(), state: state.to_owned() })))
}

/// Stops the tracker. Needs the token.
async fn shutdown(
    State(tracker): State<Arc<Tracker>>,
    _: NoQuery,
    request: Request,
) -> Result<(StatusCode, Json<ShutdownAnswer>), ApiError> {
    tracker.token.check(request.headers())?;
    tracing::info!(reason = "POST /v1/shutdown", "tracker stops");
    tracker.stop.send_replace(true);
    Ok((StatusCode::ACCEPTED, Json(ShutdownAnswer { status: "stopping".to_owned() })))
}

async fn no_such_route(uri: Uri) -> ApiError {
    let ApiError { status, code, message, .. } = ApiError::no_such_route(uri.path());
    ApiError::new(
        status,
        code,
        message,
        "a tracker has /v1/status, peers, genesis, invite, dead and shutdown, and /healthz",
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(method.as_str(), uri.path())
}
