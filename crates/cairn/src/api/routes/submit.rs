//! Transactions that clients send.

use crate::api::Api;
use crate::api::errors::{ApiError, of_submit};
use crate::api::input::{NoQuery, SUBMIT_BYTES_MAX, form_of, read_body, submission};
use crate::api::views::{ErrorBody, SignedTransaction, SubmitResult, Submitted, TransactionState};
use crate::run::Judgement;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cairn_core::hash::TransactionId;
use cairn_node::mempool;
use std::sync::Arc;

/// Takes signed transactions: one, an array, or canonical bytes one behind the other, at most 1,000.
/// What is answered with `pending` survives a crash.
#[utoipa::path(post, path = "/v1/transactions", tag = "mempool",
    request_body(content(
        (SignedTransaction = "application/json"), (Vec<u8> = "application/octet-stream")
    )),
    responses(
        (status = 202, description = "One was sent, and it waits for a block", body = Submitted),
        (status = 207, description = "Several were sent; one result each, in order", body = [SubmitResult]),
        (status = "default", body = ErrorBody)
    )
)]
pub(in crate::api) async fn submit(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    request: Request,
) -> Result<Response, ApiError> {
    let form = form_of(request.headers())?;
    let bytes = read_body(request.into_body(), SUBMIT_BYTES_MAX).await?;
    let submission = submission(form, &bytes, api.rules().prefix())?;
    let mut readable = Vec::with_capacity(submission.transactions.len());
    let mut places = Vec::with_capacity(submission.transactions.len());
    for transaction in submission.transactions {
        match transaction {
            Ok(transaction) => {
                readable.push(transaction);
                places.push(None);
            }
            Err(error) => places.push(Some(error)),
        }
    }
    let mut judgements = api.node.submit(readable).await?.into_iter();
    if submission.is_single {
        let id = verdict(judgements.next()).1?;
        let body = Submitted { id: id.into(), status: TransactionState::Pending };
        return Ok((StatusCode::ACCEPTED, Json(body)).into_response());
    }
    let results: Vec<SubmitResult> = places
        .into_iter()
        .map(|unreadable| match unreadable {
            Some(error) => SubmitResult { id: None, status: None, error: Some(error.to_view()) },
            None => match verdict(judgements.next()) {
                (_, Ok(id)) => {
                    SubmitResult { id: Some(id.into()), status: Some(TransactionState::Pending), error: None }
                }
                (id, Err(error)) => {
                    SubmitResult { id: id.map(Into::into), status: None, error: Some(error.to_view()) }
                }
            },
        })
        .collect();
    Ok((StatusCode::MULTI_STATUS, Json(results)).into_response())
}

/// The id of a transaction as far as it is known, and what became of it.
fn verdict(judgement: Option<Judgement>) -> (Option<TransactionId>, Result<TransactionId, ApiError>) {
    // The node answers for each; it leaves one out only when it ends.
    let Some(Judgement { id, outcome }) = judgement else { return (None, Err(ApiError::stopping())) };
    let outcome = match outcome {
        Ok(mempool::Submitted::Pending { id, .. }) => Ok(id),
        Ok(mempool::Submitted::Known { .. }) => Err(ApiError::already_known()),
        Err(error) => Err(of_submit(&error)),
    };
    (id, outcome)
}
