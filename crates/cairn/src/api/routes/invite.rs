//! An invite to the network that leads to this node.

use crate::api::Api;
use crate::api::errors::ApiError;
use crate::api::input::NoQuery;
use crate::api::views::{ErrorBody, InviteView};
use crate::invite::{addresses_of, view_of};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// An invite to the network that leads to where this node listens.
#[utoipa::path(get, path = "/v1/invite", tag = "node", responses(
    (status = 200, body = InviteView), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn invite(
    State(api): State<Arc<Api>>,
    _: NoQuery,
) -> Result<Json<InviteView>, ApiError> {
    let no_invite = |message: String| {
        ApiError::new(StatusCode::CONFLICT, "no-invite", message, "start it with `--p2p-bind`")
    };
    let links = api.node.links().ok_or_else(|| no_invite("this node meets no others".to_owned()))?;
    let found = addresses_of(links.listening(), links.network().id());
    let view = view_of(api.node.genesis(), links.network().id(), found);
    view.map(Json).map_err(|error| no_invite(error.to_string()))
}
