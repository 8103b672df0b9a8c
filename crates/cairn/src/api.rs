//! HTTP: how programs, pages and the command line speak to a node.
//!
//! # Provided
//!
//! Everything of `docs/spec/09-api.md`, described for programs at `/openapi.json`. Reading, and
//! submitting what is signed, needs nothing but being on this machine; what changes the node needs
//! its token. Nothing here ever signs, but for the faucet of a development network.

pub mod clients;
pub mod connections;
pub mod errors;
pub mod faucet;
pub mod fuzz;
pub mod guard;
pub mod input;
pub mod metrics;
pub mod rates;
mod reads;
pub mod render;
pub mod rendered;
mod routes;
pub mod server;
pub mod tls;
pub mod views;

use crate::run::NodeHandle;
use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Uri};
use axum::routing::get;
use cairn_core::network::Rules;
use errors::ApiError;
use faucet::Faucet;
use guard::Token;
use metrics::{HttpMetrics, Metrics};
use reads::Reads;
use rendered::Rendered;
use server::Access;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the interface of a node is made of.
#[derive(Debug)]
pub struct ApiSettings {
    /// The node.
    pub node: NodeHandle,
    /// The node's own name.
    pub name: String,
    /// What it does: `full` or `miner`.
    pub role: String,
    /// What shows that somebody may change the node.
    pub token: Token,
    /// Who else may ask, and how.
    pub access: Access,
    /// What gives coins away; none but on a development network.
    pub faucet: Option<Faucet>,
    /// Told to stop: by [`watch::Sender::send_replace`] here, or by `POST /v1/shutdown`.
    pub stop: watch::Sender<bool>,
}

/// What every request may need.
#[derive(Debug)]
struct Api {
    node: NodeHandle,
    name: String,
    role: String,
    token: Token,
    faucet: Option<Faucet>,
    stop: watch::Sender<bool>,
    metrics: Metrics,
    reads: Reads,
    rendered: Rendered,
    description: Bytes,
}

impl Api {
    fn rules(&self) -> &Rules {
        self.node.consensus().rules()
    }
}

/// The description of the interface.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cairn",
        description = "The HTTP interface of a Cairn node. Amounts and fee rates are strings of base units.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "chain", description = "Blocks, transactions and accounts"),
        (name = "mempool", description = "What waits for a block"),
        (name = "news", description = "What happens"),
        (name = "node", description = "The node itself"),
    )
)]
struct Description;

/// All routes, and their description.
fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(routes::status::status))
        .routes(routes!(routes::peers::list, routes::peers::change))
        .routes(routes!(routes::peers::kept))
        .routes(routes!(routes::peers::bans))
        .routes(routes!(routes::invite::invite))
        .routes(routes!(routes::blocks::list))
        .routes(routes!(routes::blocks::one))
        .routes(routes!(routes::blocks::raw))
        .routes(routes!(routes::blocks::forks))
        .routes(routes!(routes::submit::submit))
        .routes(routes!(routes::transactions::one))
        .routes(routes!(routes::transactions::proof))
        .routes(routes!(routes::accounts::one))
        .routes(routes!(routes::accounts::proof))
        .routes(routes!(routes::accounts::history))
        .routes(routes!(routes::mempool::list))
        .routes(routes!(routes::events::stream))
        .routes(routes!(routes::control::mine))
        .routes(routes!(routes::control::faucet))
        .routes(routes!(routes::control::shutdown))
        .routes(routes!(routes::log::log))
        .routes(routes!(routes::health::health))
        .routes(routes!(routes::health::ready))
        .routes(routes!(routes::health::metrics))
        .routes(routes!(routes::health::description))
}

/// Answers requests on `listener` until told to stop.
///
/// # Panics
///
/// If the description cannot be written, which a test sees.
pub async fn serve(listener: TcpListener, settings: ApiSettings) {
    let ApiSettings { node, name, role, token, access, faucet, stop } = settings;
    let http = HttpMetrics::default();
    let metrics = Metrics::new(&http, node.counts(), &node.genesis().section().network.name);
    let (router, description) = routes().split_for_parts();
    let description = description.to_json().expect("the description has only texts and numbers");
    let stopped = stop.subscribe();
    let (reads, rendered, description) = (Reads::default(), Rendered::default(), description.into());
    let api = Arc::new(Api { node, name, role, token, faucet, stop, metrics, reads, rendered, description });
    // The page is for people; the description is of what programs ask.
    let router = router
        .route("/", get(routes::page::page))
        .route("/page.css", get(routes::page::style))
        .route("/page.js", get(routes::page::script));
    let router: Router =
        router.fallback(no_such_route).method_not_allowed_fallback(method_not_allowed).with_state(api);
    server::serve(listener, router, access, http, stopped).await;
}

async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::no_such_route(uri.path())
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(method.as_str(), uri.path())
}
