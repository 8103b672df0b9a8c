//! What the node logs.

use crate::api::Api;
use crate::api::errors::ApiError;
use crate::api::input::{NoQuery, read_json_or_default};
use crate::api::views::{ErrorBody, LogAnswer, LogRequest};
use crate::logging::{self, LogError};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use std::sync::Arc;

/// Says what is logged, and changes it where a filter is given. Needs the token.
#[utoipa::path(post, path = "/v1/log", tag = "node", request_body = LogRequest, responses(
    (status = 200, body = LogAnswer), (status = "default", body = ErrorBody)
))]
pub(in crate::api) async fn log(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    request: Request,
) -> Result<Json<LogAnswer>, ApiError> {
    api.token.check(request.headers())?;
    let LogRequest { filter } = read_json_or_default(request).await?;
    if let Some(filter) = filter {
        logging::set_filter(&filter).map_err(|error| refuse(&error))?;
        // Told at a level that nearly every filter lets through.
        tracing::warn!(filter, "the log is filtered otherwise");
    }
    let filter = logging::filter().map_err(|error| refuse(&error))?;
    Ok(Json(LogAnswer { filter }))
}

fn refuse(error: &LogError) -> ApiError {
    match error {
        LogError::NotStarted | LogError::File { .. } => ApiError::new(
            StatusCode::CONFLICT,
            "no-log",
            error.to_string(),
            "`cairn node` and `cairn devnet` start one",
        ),
        LogError::FilterTooLong { .. }
        | LogError::UnknownLevel { .. }
        | LogError::FieldFilter
        | LogError::Filter(_) => ApiError::new(
            StatusCode::BAD_REQUEST,
            "malformed-parameter",
            error.to_string(),
            "such as `debug`, or `info,cairn::run=trace`",
        ),
    }
}
