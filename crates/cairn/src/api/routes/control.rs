//! What changes the node, and what gives coins away.

use crate::api::Api;
use crate::api::errors::{ApiError, of_mine, of_threads};
use crate::api::input::{NoQuery, address, read_json, read_json_or_default};
use crate::api::render;
use crate::api::views::{ErrorBody, FaucetAnswer, FaucetRequest, MineAnswer, MineRequest, ShutdownAnswer};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time;

/// The most blocks of one request.
const MINE_BLOCKS_MAX: u32 = 1_000;
/// How long a request waits for its blocks.
const MINE_TIME_MAX: Duration = Duration::from_secs(25);

/// Makes blocks now, one if nothing is said, or says when and with how many threads to make them from now on.
/// Needs the token.
#[utoipa::path(post, path = "/v1/mine", tag = "node", request_body = MineRequest, responses(
    (status = 200, body = MineAnswer), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn mine(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    request: Request,
) -> Result<Json<MineAnswer>, ApiError> {
    api.token.check(request.headers())?;
    let MineRequest { blocks, mode, threads } = read_json_or_default(request).await?;
    if blocks.is_some_and(|blocks| blocks == 0 || blocks > MINE_BLOCKS_MAX) {
        return Err(ApiError::malformed_parameter("blocks", "a number from 1 to 1000"));
    }
    if let Some(threads) = threads {
        api.node.set_threads(threads).map_err(|refusal| of_threads(&refusal))?;
    }
    if let Some(mode) = mode {
        api.node.set_mining(render::to_mining_mode(mode))?;
    }
    let asked = blocks.unwrap_or(if mode.is_none() && threads.is_none() { 1 } else { 0 });
    if asked > 0 {
        let mined = time::timeout(MINE_TIME_MAX, api.node.mine(asked)).await;
        let mined = mined.map_err(|_elapsed| ApiError::mining_timeout(asked))?;
        mined?.map_err(|refusal| of_mine(&refusal))?;
    }
    let (mode, height, tip) = api
        .node
        .ask(|node, _| {
            let tip = node.tip();
            (node.mining_status().mode, tip.header.height, tip.id)
        })
        .await?;
    let (mode, threads) = (render::mining_mode(mode), api.node.hashing().threads);
    Ok(Json(MineAnswer { mode, threads, blocks: asked, height: height.0, tip: tip.into() }))
}

/// Gives coins away, on a development network.
#[utoipa::path(post, path = "/v1/faucet", tag = "node", request_body = FaucetRequest, responses(
    (status = 202, body = FaucetAnswer), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn faucet(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    request: Request,
) -> Result<(StatusCode, Json<FaucetAnswer>), ApiError> {
    let faucet = api.faucet.as_ref().ok_or_else(ApiError::no_faucet)?;
    let FaucetRequest { address: text, amount } = read_json(request).await?;
    let to = address(&text, api.rules().prefix())?;
    let answer = faucet.give(&api.node, to, amount.map(Into::into)).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Stops the node cleanly. Needs the token.
#[utoipa::path(post, path = "/v1/shutdown", tag = "node", responses(
    (status = 202, body = ShutdownAnswer), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn shutdown(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    request: Request,
) -> Result<(StatusCode, Json<ShutdownAnswer>), ApiError> {
    api.token.check(request.headers())?;
    tracing::info!(reason = "POST /v1/shutdown", "node stops");
    api.stop.send_replace(true);
    Ok((StatusCode::ACCEPTED, Json(ShutdownAnswer { status: "stopping".to_owned() })))
}
