//! `cairn account --history`: what changed an account, newest first.

use super::now_ms;
use crate::api::views::{AccountEntry, AccountEntryKind, TransactionStatus, Units};
use crate::cli::network::Network;
use crate::client::{Client, ClientError};
use crate::failure::CliError;
use crate::output::{self, Style, Table, grouped, left, plural, right, whole};
use axum::http::StatusCode;

/// Shows a page of the history of the account with the address `own`.
pub(super) async fn show(
    entries: &[AccountEntry],
    is_full: bool,
    own: &str,
    client: &Client,
    network: &Network,
) -> Result<(), CliError> {
    if entries.is_empty() {
        output::print_line("nothing has changed this account");
        return Ok(());
    }
    let now = now_ms();
    let mut table = Table::new(&[
        right("block"),
        left("when"),
        left("what"),
        right("amount"),
        right("fee"),
        whole("with"),
        whole("transaction"),
    ]);
    for entry in entries {
        let (what, sign, amount) = match entry.kind {
            AccountEntryKind::Sent => ("sent", "-", entry.sent),
            AccountEntryKind::Received => ("received", "+", entry.received),
            AccountEntryKind::Payment => (payment_text(entry), "+", entry.received),
        };
        let signed = |sign: &str, amount: Units| format!("{sign}{}", network.coins(amount));
        let style = if sign == "+" { Style::Good } else { Style::Plain };
        table.row([
            (Style::Strong, grouped(entry.height)),
            (Style::Faint, output::ago(now, entry.time_ms)),
            (Style::Plain, what.to_owned()),
            (style, amount.map_or_else(String::new, |amount| signed(sign, amount))),
            (Style::Plain, entry.fee.map_or_else(String::new, |fee| signed("-", fee))),
            (Style::Name, counterparty(entry, own, client, network).await?),
            (Style::Plain, entry.id.map_or_else(String::new, |id| id.to_string())),
        ]);
    }
    table.print();
    if let Some(last) = entries.last().filter(|_| is_full) {
        output::note(&format!("older ones: --before {}", last.cursor));
    }
    Ok(())
}

/// Who is on the other side: who sent it, or whom it went to.
async fn counterparty(
    entry: &AccountEntry,
    own: &str,
    client: &Client,
    network: &Network,
) -> Result<String, CliError> {
    match (entry.kind, &entry.sender, entry.id) {
        (AccountEntryKind::Received, Some(sender), _) => Ok(network.known_as(sender)),
        // The history does not name who received, so the transaction is asked.
        (AccountEntryKind::Sent, _, Some(id)) => {
            let sent = match client.get::<TransactionStatus>(&format!("/v1/transactions/{id}")).await {
                Ok(sent) => sent,
                // Its block left the chain meanwhile.
                Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => return Ok(String::new()),
                Err(error) => return Err(error.into()),
            };
            Ok(match sent.transaction.body.transfers.as_slice() {
                [only] if only.to == own => "itself".to_owned(),
                [only] => network.known_as(&only.to),
                several => plural(several.len() as u64, "transfer"),
            })
        }
        _ => Ok(String::new()),
    }
}

/// What a payment at the end of a block was for.
fn payment_text(entry: &AccountEntry) -> &'static str {
    let is_some = |amount: Option<Units>| amount.is_some_and(|amount| amount.0 > 0);
    match (is_some(entry.reward), is_some(entry.fees_earned)) {
        (true, true) => "reward and fees",
        (true, false) => "block reward",
        (false, _) => "fees of the block",
    }
}
