//! The nodes that this one talks to, and whom it is told to meet.

use crate::api::Api;
use crate::api::errors::ApiError;
use crate::api::input::{NoQuery, read_json};
use crate::api::render;
use crate::api::views::{BanView, ErrorBody, KeptPeerView, PeerView, PeersAnswer, PeersRequest};
use crate::run::links::{Links, PEERS_MAX, Who};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use cairn_p2p::{NodeId, PeerAddress};
use std::sync::Arc;

/// How long a ban lasts if nothing is said, in seconds: a day.
const BAN_SECONDS: u64 = 24 * 60 * 60;
/// The longest ban, in seconds: ten years.
const BAN_SECONDS_MAX: u64 = 10 * 365 * BAN_SECONDS;

/// The connected nodes, those that have been there longest first.
#[utoipa::path(get, path = "/v1/peers", tag = "node", responses(
    (status = 200, body = [PeerView]), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn list(State(api): State<Arc<Api>>, _: NoQuery) -> Json<Vec<PeerView>> {
    let peers = api.node.links().map(Links::peers).unwrap_or_default();
    Json(peers.iter().map(render::peer).collect())
}

/// The nodes to which a link is kept, connected or not.
#[utoipa::path(get, path = "/v1/peers/kept", tag = "node", responses(
    (status = 200, body = [KeptPeerView]), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn kept(State(api): State<Arc<Api>>, _: NoQuery) -> Json<Vec<KeptPeerView>> {
    Json(api.node.links().map(kept_of).unwrap_or_default())
}

/// Who is banned.
#[utoipa::path(get, path = "/v1/peers/bans", tag = "node", responses(
    (status = 200, body = [BanView]), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn bans(State(api): State<Arc<Api>>, _: NoQuery) -> Json<Vec<BanView>> {
    Json(api.node.links().map(bans_of).unwrap_or_default())
}

/// Keeps a link to a node or no more, bans or lifts a ban. It outlives the program. Needs the token.
#[utoipa::path(post, path = "/v1/peers", tag = "node", request_body = PeersRequest, responses(
    (status = 200, body = PeersAnswer), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn change(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    request: Request,
) -> Result<Json<PeersAnswer>, ApiError> {
    api.token.check(request.headers())?;
    let request: PeersRequest = read_json(request).await?;
    let change = Change::read(&request)?;
    let links = api.node.links().ok_or_else(no_links)?;
    change.carry_out(links)?;
    Ok(Json(PeersAnswer { kept: kept_of(links), bans: bans_of(links) }))
}

/// What is to change.
#[derive(Debug)]
pub(in crate::api) enum Change {
    Add(PeerAddress),
    Remove(PeerAddress),
    Disconnect(NodeId),
    Ban(Who, u64),
    Unban(Who),
}

impl Change {
    /// Reads a request.
    pub(in crate::api) fn read(request: &PeersRequest) -> Result<Self, ApiError> {
        let PeersRequest { add, remove, ban, unban, seconds } = request;
        if seconds.is_some_and(|seconds| !(1..=BAN_SECONDS_MAX).contains(&seconds) || ban.is_none()) {
            let expected = format!("a number from 1 to {BAN_SECONDS_MAX}, beside `ban`");
            return Err(ApiError::malformed_parameter("seconds", &expected));
        }
        match (add, remove, ban, unban) {
            (Some(add), None, None, None) => add.parse().map(Self::Add).map_err(|_| malformed_address("add")),
            (None, Some(remove), None, None) => match remove.parse() {
                Ok(node) => Ok(Self::Disconnect(node)),
                Err(_) => remove.parse().map(Self::Remove).map_err(|_| malformed_address("remove")),
            },
            (None, None, Some(ban), None) => {
                let who = ban.parse().map_err(|_| malformed_who("ban"))?;
                Ok(Self::Ban(who, seconds.unwrap_or(BAN_SECONDS)))
            }
            (None, None, None, Some(unban)) => {
                unban.parse().map(Self::Unban).map_err(|_| malformed_who("unban"))
            }
            _ => Err(ApiError::malformed_parameter("body", "one of `add`, `remove`, `ban` and `unban`")),
        }
    }

    fn carry_out(self, links: &Links) -> Result<(), ApiError> {
        match self {
            Self::Add(address) => {
                if links.add(address.clone()) || links.kept().iter().any(|kept| kept.address == address) {
                    return Ok(());
                }
                Err(ApiError::new(
                    StatusCode::CONFLICT,
                    "too-many-peers",
                    format!("a link is kept to {PEERS_MAX} nodes already, which is the most"),
                    "remove one first",
                ))
            }
            Self::Remove(address) if links.remove(&address) => Ok(()),
            Self::Remove(address) => Err(unknown(&format!("no link is kept to {address}"))),
            Self::Disconnect(node) if links.disconnect(node) => Ok(()),
            Self::Disconnect(node) => Err(unknown(&format!("{node} is not connected"))),
            Self::Ban(who, seconds) => {
                links.ban(who, seconds);
                Ok(())
            }
            Self::Unban(who) if links.unban(who) => Ok(()),
            Self::Unban(who) => Err(unknown(&format!("{who} is not banned"))),
        }
    }
}

fn kept_of(links: &Links) -> Vec<KeptPeerView> {
    let kept = links.kept().into_iter().map(|kept| KeptPeerView {
        address: kept.address.to_string(),
        connected: kept.is_connected,
        failures: kept.failures,
        last_failure: kept.why,
    });
    kept.collect()
}

fn bans_of(links: &Links) -> Vec<BanView> {
    links.bans().into_iter().map(|(who, until_ms)| BanView { who: who.to_string(), until_ms }).collect()
}

fn malformed_address(name: &str) -> ApiError {
    ApiError::malformed_parameter(name, "HOST:PORT or ID@HOST:PORT")
}

fn malformed_who(name: &str) -> ApiError {
    ApiError::malformed_parameter(name, "a peer id or an IP address")
}

fn unknown(message: &str) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown-peer",
        message,
        "GET /v1/peers, /v1/peers/kept and /v1/peers/bans list them",
    )
}

fn no_links() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "no-links", "this node meets no others", "start it with `--p2p-bind`")
}
