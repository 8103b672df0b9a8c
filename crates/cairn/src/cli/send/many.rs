//! Several transactions of one sender: submitted together, told one by one, waited for as one.

use super::wait_for;
use crate::api::views::{Status, SubmitResult, Submitted, TransactionState};
use crate::cli::network::Network;
use crate::client::Client;
use crate::failure::CliError;
use crate::output::{self, Style, plural};
use cairn_core::codec::Encode as _;
use cairn_core::numbers::Amount;
use cairn_core::transaction::Transaction;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many bytes of transactions go in one request: a node takes more.
const REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// How many transactions go in one request.
const REQUEST_TRANSACTIONS: usize = 1_000;

/// Submits transactions in their order, and says how many of the first were taken.
pub(super) async fn submit(
    client: &Client,
    network: &Network,
    status: &Status,
    transactions: &[Transaction],
    wait: Option<Duration>,
    json: bool,
) -> (Result<(), CliError>, usize) {
    let started = Instant::now();
    let mut taken: Vec<Taken> = Vec::new();
    let mut refused = None;
    let mut rest = transactions;
    while refused.is_none() && !rest.is_empty() {
        let (chunk, count) = take_chunk(rest);
        let outcome = send_chunk(client, chunk, count).await;
        match outcome {
            Ok(results) => {
                for result in results {
                    match (result.error, result.id) {
                        (None, Some(id)) => taken.push(Taken { id: id.into(), height: None }),
                        (error, _) => {
                            let message = error.map_or_else(String::new, |error| error.message);
                            refused = Some(CliError::failed("partly-sent", message));
                            break;
                        }
                    }
                }
            }
            Err(error) => refused = Some(error),
        }
        rest = rest.get(count..).unwrap_or_default();
    }
    let count = taken.len();
    let total = Amount::checked_sum(
        transactions.iter().take(count).flat_map(|it| &it.body.transfers).map(|it| it.amount),
    )
    .unwrap_or(Amount::MAX);
    if let Some(error) = refused {
        let done = format!("{count} of {} were sent", plural(transactions.len() as u64, "transaction"));
        let ids: Vec<String> = taken.iter().map(|it| it.id.to_string()).collect();
        let failure = error.after(&done);
        return (
            Err(match ids.is_empty() {
                true => failure,
                false => failure
                    .help(format!("sent: {}; take their lines out before trying again", ids.join(", "))),
            }),
            count,
        );
    }
    if let Some(timeout) = wait {
        if !json {
            output::note(&format!(
                "{} sent; waiting for blocks that hold them",
                plural(count as u64, "transaction")
            ));
        }
        for it in &mut taken {
            let left = timeout.saturating_sub(started.elapsed());
            match wait_for(client, status, it.id, Instant::now(), left).await {
                Ok(status) => it.height = status.height,
                Err(error) => return (Err(error), count),
            }
        }
    }
    tell(network, transactions, &taken, total, json);
    (Ok(()), count)
}

/// A transaction that was taken, and its block where it is known.
struct Taken {
    id: cairn_core::hash::TransactionId,
    height: Option<u64>,
}

async fn send_chunk(client: &Client, bytes: Vec<u8>, count: usize) -> Result<Vec<SubmitResult>, CliError> {
    if count == 1 {
        let Submitted { id, status } = client.submit(bytes).await?;
        return Ok(vec![SubmitResult { id: Some(id), status: Some(status), error: None }]);
    }
    Ok(client.submit_many(bytes.into()).await?)
}

/// The bytes of as many transactions as one request takes, at least one.
fn take_chunk(transactions: &[Transaction]) -> (Vec<u8>, usize) {
    let (mut bytes, mut count) = (Vec::new(), 0);
    for transaction in transactions.iter().take(REQUEST_TRANSACTIONS) {
        let more = transaction.to_bytes();
        if count > 0 && bytes.len() + more.len() > REQUEST_BYTES {
            break;
        }
        bytes.extend_from_slice(&more);
        count += 1;
    }
    (bytes, count)
}

fn tell(network: &Network, transactions: &[Transaction], taken: &[Taken], total: Amount, json: bool) {
    let transfers: usize = transactions.iter().map(|it| it.body.transfers.len()).sum();
    if json {
        let list: Vec<_> = taken
            .iter()
            .zip(transactions)
            .map(|(it, transaction)| {
                let state =
                    if it.height.is_some() { TransactionState::Confirmed } else { TransactionState::Pending };
                json!({ "id": it.id.to_string(), "status": state, "height": it.height,
                        "transfers": transaction.body.transfers.len() })
            })
            .collect();
        let amount = crate::api::views::Units::from(total);
        output::print_json(&json!({ "transactions": list, "transfers": transfers, "amount": amount }));
        return;
    }
    output::note(&format!("{} to {}", network.coins(total), plural(transfers as u64, "recipient")));
    for it in taken {
        output::print_line(&it.id.to_string());
    }
    if let Some(highest) = taken.iter().filter_map(|it| it.height).max() {
        let mark = Style::Good.paint("confirmed", output::colours_on_stdout());
        output::note(&format!("{mark}, the last in block {}", output::grouped(highest)));
    }
}
