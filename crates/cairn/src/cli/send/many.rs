//! Several transactions of one sender: submitted together, told one by one, waited for as one.

use super::wait_for;
use crate::api::views::{Status, SubmitResult, Submitted, TransactionState};
use crate::cli::network::Network;
use crate::cli::wallet::Fate;
use crate::client::{Client, ClientError};
use crate::failure::CliError;
use crate::output::{self, Style, plural};
use cairn_core::codec::Encode as _;
use cairn_core::hash::TransactionId;
use cairn_core::numbers::Amount;
use cairn_core::transaction::Transaction;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many bytes of transactions go in one request: a node takes more.
const REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// How many transactions go in one request.
const REQUEST_TRANSACTIONS: usize = 1_000;

/// What became of transactions that were given to a node together.
pub(super) struct Handed {
    /// Of each in turn.
    pub(super) fates: Vec<Fate>,
    /// Why not all were taken.
    refused: Option<CliError>,
}

/// Gives transactions to the node in their order, until one is refused.
pub(super) async fn hand_over(client: &Client, transactions: &[Transaction]) -> Handed {
    let mut fates = Vec::with_capacity(transactions.len());
    let mut refused = None;
    let mut rest = transactions;
    while refused.is_none() && !rest.is_empty() {
        let (chunk, count) = take_chunk(rest);
        match send_chunk(client, chunk, count).await {
            Ok(results) => {
                for result in results.into_iter().take(count) {
                    fates.push(if result.error.is_none() { Fate::Taken } else { Fate::Refused });
                    refused =
                        refused.or(result.error.map(|error| CliError::failed("partly-sent", error.message)));
                }
            }
            Err(error) => {
                fates.extend(std::iter::repeat_n(Fate::of_error(&error), count));
                refused = Some(error.into());
            }
        }
        rest = rest.get(count..).unwrap_or_default();
    }
    // What came behind was not sent.
    fates.resize(transactions.len(), Fate::Refused);
    Handed { fates, refused }
}

/// Waits for the blocks of what a node has, if asked to, and tells what came of all.
pub(super) async fn follow(
    client: &Client,
    network: &Network,
    status: &Status,
    transactions: &[Transaction],
    handed: Handed,
    wait: Option<Duration>,
    json: bool,
) -> Result<(), CliError> {
    let started = Instant::now();
    let identity = network.identity();
    let mut taken: Vec<Taken> = transactions
        .iter()
        .zip(&handed.fates)
        .filter(|(_, fate)| **fate == Fate::Taken)
        .map(|(it, _)| Taken { id: it.body.id(&identity, &it.witness.address()), height: None })
        .collect();
    if let Some(error) = handed.refused {
        return Err(tell_partly(&handed.fates, &taken, error));
    }
    if let Some(timeout) = wait {
        if !json {
            let sent = plural(taken.len() as u64, "transaction");
            output::note(&format!("{sent} sent; waiting for blocks that hold them"));
        }
        for it in &mut taken {
            let left = timeout.saturating_sub(started.elapsed());
            it.height = wait_for(client, status, it.id, Instant::now(), left).await?.height;
        }
    }
    tell(network, transactions, &taken, json);
    Ok(())
}

/// Says how many were sent, which, and of how many nobody knows.
fn tell_partly(fates: &[Fate], taken: &[Taken], error: CliError) -> CliError {
    let unknown = fates.iter().filter(|fate| **fate == Fate::Unknown).count();
    let mut done = format!("{} of {} were sent", taken.len(), plural(fates.len() as u64, "transaction"));
    if unknown > 0 {
        done.push_str(&format!(", {unknown} more perhaps"));
    }
    let failure = error.after(&done);
    if unknown > 0 {
        return failure.help("`cairn wallet history` tells what has arrived, once a node answers");
    }
    if taken.is_empty() {
        return failure;
    }
    let ids: Vec<String> = taken.iter().map(|it| it.id.to_string()).collect();
    failure.help(format!("sent: {}; take their lines out before trying again", ids.join(", ")))
}

/// A transaction that was taken, and its block where it is known.
struct Taken {
    id: TransactionId,
    height: Option<u64>,
}

async fn send_chunk(client: &Client, bytes: Vec<u8>, count: usize) -> Result<Vec<SubmitResult>, ClientError> {
    if count == 1 {
        let Submitted { id, status } = client.submit(bytes).await?;
        return Ok(vec![SubmitResult { id: Some(id), status: Some(status), error: None }]);
    }
    client.submit_many(bytes.into()).await
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

fn tell(network: &Network, transactions: &[Transaction], taken: &[Taken], json: bool) {
    let all = || transactions.iter().flat_map(|it| &it.body.transfers);
    let transfers = all().count();
    let total = Amount::checked_sum(all().map(|it| it.amount)).unwrap_or(Amount::MAX);
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
