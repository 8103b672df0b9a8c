//! Refusals of the HTTP interface: one shape, names that never change, and what to do about each.
//!
//! Every error leaves as `{"error":{"code","rule","message","help"}}`. The status says whose turn it
//! is: 400 the request is malformed, 404 there is no such thing, 409 it conflicts with the state, 413
//! it is too large, 422 it breaks a rule, 429 slow down, 503 the node cannot now.

mod rules;

pub use rules::{
    of_address, of_block, of_decode, of_header, of_mempool, of_mine, of_submit, of_threads, of_transaction,
};

use crate::api::views::{ErrorBody, ErrorView};
use crate::run::NoAnswer;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_store::StoreError;
use cairn_store::ledger::PAST_UNDOS_MAX;
use std::borrow::Cow;

/// A refusal, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The status of the answer.
    pub status: StatusCode,
    /// The name, in kebab case.
    pub code: &'static str,
    /// The number of the rule that was broken.
    pub rule: Option<&'static str>,
    /// What is wrong, with both sides.
    pub message: String,
    /// What to do about it.
    pub help: Cow<'static, str>,
}

impl ApiError {
    /// A refusal that stands for no numbered rule.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, rule: None, message: message.into(), help: help.into() }
    }

    /// The same refusal with the number of its rule.
    #[must_use]
    pub const fn with_rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// What stands in the body.
    pub fn to_view(&self) -> ErrorView {
        ErrorView {
            code: self.code.to_owned(),
            rule: self.rule.map(str::to_owned),
            message: self.message.clone(),
            help: self.help.clone().into_owned(),
        }
    }

    /// The path of the request names nothing.
    pub fn no_such_route(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            format!("there is nothing at {}", shorten(path)),
            "GET /openapi.json lists every path",
        )
    }

    /// The path exists and takes other methods.
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            format!("{} does not take {}", shorten(path), shorten(method)),
            "the header Allow lists the methods it takes",
        )
    }

    /// The body is no JSON of the form that is asked for.
    pub fn malformed_json(source: &serde_json::Error) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-json",
            shorten(&source.to_string()).into_owned(),
            "GET /openapi.json describes the body; amounts and fee rates are strings of base units",
        )
    }

    /// A parameter of the request is malformed.
    pub fn malformed_parameter(name: &str, expected: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-parameter",
            format!("{name} is not {expected}"),
            "GET /openapi.json describes the parameters",
        )
    }

    /// The query of the request is malformed.
    pub fn malformed_query(message: &str) -> Self {
        // How the query was read is nobody's concern.
        let message = message.rsplit("query string: ").next().unwrap_or(message);
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-query",
            shorten(message).into_owned(),
            "GET /openapi.json describes the parameters",
        )
    }

    /// The body could not be read to its end.
    pub fn broken_body() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "broken-body",
            "the body ended before its announced length",
            "send the request again",
        )
    }

    /// The body is of a type that the path does not take.
    pub fn unsupported_media_type(expected: &'static str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            format!("the body must be {expected}"),
            "set the header Content-Type",
        )
    }

    /// The body is longer than the path takes.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!("the body has more than {limit} bytes"),
            "send less at once",
        )
    }

    /// More items came at once than are taken.
    pub fn too_many_items(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-many-items",
            format!("more than {limit} transactions came at once"),
            "send them in several requests",
        )
    }

    /// No item came.
    pub fn no_items() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "no-items",
            "the body holds no transaction",
            "send one transaction, or several one after the other",
        )
    }

    /// The request took too long.
    pub fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request-timeout",
            "the request was not complete in time",
            "send the body at once",
        )
    }

    /// The request is meant for another host: a page that had its name point here.
    pub fn host_not_allowed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "host-not-allowed",
            "the header Host names no address of this node",
            "use http://127.0.0.1 or http://localhost with the port of the node",
        )
    }

    /// A page of another origin sent the request.
    pub fn origin_not_allowed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "the request comes from a page of another origin",
            "only pages of this node may use its interface from a browser",
        )
    }

    /// The path needs the token.
    pub fn token_required() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "token-required",
            "this needs the token of the node",
            "send `Authorization: Bearer` with the content of the file `token` in the data directory",
        )
    }

    /// The token is another one.
    pub fn wrong_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "wrong-token",
            "the token is not that of this node",
            "the node writes a new token at each start: read the file `token` in the data directory again",
        )
    }

    /// More came than can be worked on.
    pub fn slow_down() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "slow-down",
            "too much waits for an answer already",
            "wait a moment, then send it again",
        )
    }

    /// One client asks more often than the node answers.
    pub fn too_often() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "slow-down",
            "this client asks more often than the node answers",
            "send fewer requests a second, or several transactions in one request",
        )
    }

    /// The node is stopping.
    pub fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the node is stopping",
            "send it again when the node runs",
        )
    }

    /// There is no room on the disk.
    pub fn disk_full() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "disk-full",
            "the disk of the node is full, so nothing new is taken",
            "make room; reading goes on, and the node takes work again by itself",
        )
    }

    /// The store failed.
    pub fn store_failed() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "store-failed",
            "the node could not read what it keeps",
            "the log of the node says why",
        )
    }

    /// There is no such block.
    pub fn unknown_block() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-block",
            "the node knows no such block",
            "GET /v1/blocks lists the newest",
        )
    }

    /// There is no such transaction.
    pub fn unknown_transaction() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-transaction",
            "the transaction is neither in a block nor waiting",
            "it may have expired or been replaced; send it again if it is still wanted",
        )
    }

    /// The transaction waits already.
    pub fn already_known() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "already-known",
            "the transaction waits already",
            "GET /v1/transactions/{id} says how far it is",
        )
    }

    /// The transaction is in no block yet.
    pub fn not_confirmed() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "not-confirmed",
            "the transaction waits, and only a block can prove it",
            "ask again once its status is confirmed",
        )
    }

    /// The state at that height is not kept.
    pub fn history_unavailable(height: u64, lowest: u64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "history-unavailable",
            format!("the state after block {height} is not kept any more, only from block {lowest} on"),
            "ask a node with a longer undo window",
        )
    }

    /// What the account was then stands behind too many blocks that left the chain.
    pub fn history_too_far(height: u64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "history-unavailable",
            format!(
                "more than {PAST_UNDOS_MAX} blocks after block {height} touched the account and left the chain"
            ),
            "ask for a height above them, or below",
        )
    }

    /// The chain does not reach that height.
    pub fn height_ahead(height: u64, tip: u64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "height-ahead",
            format!("block {height} does not exist yet, the tip is block {tip}"),
            "ask for a lower height",
        )
    }

    /// The blocks were not made in time.
    pub fn mining_timeout(asked: u32) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "mining-timeout",
            format!("{asked} blocks could not be made in time"),
            "the node goes on; GET /v1/status says how far it is",
        )
    }

    /// There is a faucet on development networks only.
    pub fn no_faucet() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-faucet",
            "this network has no faucet",
            "only `cairn devnet` has one",
        )
    }

    /// The faucet gives no more for now.
    pub fn faucet_limit(message: String) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "faucet-limit",
            message,
            "wait a minute, or use a development account",
        )
    }

    /// The faucet does not give such an amount.
    pub fn faucet_amount(limit: u64) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "faucet-amount",
            format!("the faucet gives 1 to {limit} base units at once"),
            "ask for less",
        )
    }

    /// Too many read the stream of events.
    pub fn too_many_subscribers(limit: usize) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-subscribers",
            format!("{limit} clients read the events already"),
            "close another stream of events",
        )
    }
}

impl From<NoAnswer> for ApiError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Busy => Self::slow_down(),
            NoAnswer::Stopping => Self::stopping(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        // Paths of this machine are nobody else's business.
        tracing::error!(%error, "a read for a request failed");
        Self::store_failed()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&ErrorBody { error: self.to_view() });
        let mut response = body.unwrap_or_default().into_response();
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The most characters of a foreign text that an answer repeats.
const ECHO_CHARS_MAX: usize = 300;

/// A foreign text, cut so that an answer never grows with it.
fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_is_cut() {
        assert_eq!(shorten("short"), "short");
        let long = "ü".repeat(1000);
        assert_eq!(shorten(&long).chars().count(), ECHO_CHARS_MAX + 1);
    }

    #[test]
    fn an_error_has_the_one_shape() {
        let error = ApiError::slow_down();
        let body = serde_json::to_value(ErrorBody { error: error.to_view() }).unwrap();
        assert_eq!(body["error"]["code"], "slow-down");
        assert_eq!(body["error"]["rule"], serde_json::Value::Null);
        assert!(body["error"]["help"].as_str().is_some_and(|help| !help.is_empty()));
        assert_eq!(error.into_response().headers()[header::RETRY_AFTER], "1");
    }
}
