//! How the node is.

use crate::api::Api;
use crate::api::errors::ApiError;
use crate::api::input::NoQuery;
use crate::api::render;
use crate::api::views::{ErrorBody, FeesView, LimitsView, MempoolSize, MiningView, Status};
use crate::run::links::Links;
use axum::Json;
use axum::extract::State;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Amount, FeeRate, Height, Timestamp};
use cairn_core::target::Work;
use cairn_node::Node;
use cairn_node::producer::MiningStatus;
use cairn_node::queries::{MempoolStatus, StateStatus};
use cairn_node::sync::SyncStatus;
use std::sync::Arc;

/// What is asked of the node.
struct Seen {
    tip: BlockId,
    height: Height,
    time: Timestamp,
    work: Work,
    base_fee: FeeRate,
    supply: Amount,
    state: StateStatus,
    mempool: MempoolStatus,
    mining: MiningStatus,
    sync: SyncStatus,
}

impl Seen {
    fn of(node: &Node) -> Self {
        let tip = node.tip();
        Self {
            tip: tip.id,
            height: tip.header.height,
            time: tip.header.time,
            work: tip.work,
            base_fee: tip.next_base_fee,
            supply: node.supply(),
            state: node.state_status(),
            mempool: node.mempool_status(),
            mining: node.mining_status(),
            sync: node.sync_status(),
        }
    }
}

/// How the node is, and all that is needed to build and sign transactions.
#[utoipa::path(get, path = "/v1/status", tag = "node", responses(
    (status = 200, body = Status), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn status(
    State(api): State<Arc<Api>>,
    _: NoQuery,
) -> Result<Json<Status>, ApiError> {
    let seen = api.node.ask(|node, _| Seen::of(node)).await?;
    let section = api.rules().section();
    let (network, limits) = (&section.network, &section.limits);
    let height = seen.height.0;
    let hashing = api.node.hashing();
    Ok(Json(Status {
        network: network.name.clone(),
        identity: (*api.rules().identity()).into(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: api.role.clone(),
        name: api.name.clone(),
        height,
        tip: seen.tip.into(),
        tip_time_ms: seen.time.0,
        work: seen.work.to_string(),
        finalized_height: None,
        peers: api.node.links().map_or(0, |links| u32::try_from(links.peers().len()).unwrap_or(u32::MAX)),
        reachable: api.node.links().and_then(Links::is_reachable),
        sync: render::sync(&seen.sync),
        mempool: MempoolSize {
            transactions: render::count(seen.mempool.transactions),
            bytes: render::count(seen.mempool.bytes),
        },
        supply: seen.supply.into(),
        accounts: u64::from(seen.state.accounts),
        consensus: section.mode.name().to_owned(),
        devnet: network.devnet,
        network_id: network.id,
        symbol: network.symbol.clone(),
        decimals: network.decimals,
        address_prefix: network.prefix.as_str().to_owned(),
        coin_type: network.coin_type,
        interval_ms: section.interval_ms,
        maturity: section.maturity,
        reserve: section.reserve.into(),
        fees: FeesView {
            base_fee: seen.base_fee.into(),
            floor: section.fees.floor.into(),
            moving: section.fees.moving,
            burn: section.fees.burn,
        },
        limits: LimitsView {
            transaction_bytes: render::count(limits.transaction_bytes),
            data_bytes: render::count(limits.data_bytes),
            transfers: render::count(limits.transfers),
            block_weight: limits.block_weight.0,
            block_transactions: limits.block_transactions,
            extra_bytes: render::count(limits.extra_bytes),
        },
        schemes: section.schemes.iter().map(|scheme| scheme.name().to_owned()).collect(),
        mining: MiningView {
            mode: render::mining_mode(seen.mining.mode),
            producer: seen.mining.producer.map(|producer| producer.to_text(api.rules().prefix())),
            working: seen.mining.sealing.is_some(),
            threads: hashing.threads,
            kernel: hashing.kernel.name().to_owned(),
            hash_rate: hashing.rate,
        },
    }))
}
