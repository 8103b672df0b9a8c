//! What leaves a wallet: noted in its book before it is sent, and again when a node has answered.
//!
//! Between the two a command may be killed, or its connection break; then nobody here knows whether the
//! payment arrived. The book does not forget that, and the next payment asks the node first.

use crate::api::views::{AccountView, TransactionStatus};
use crate::cli::account::now_ms;
use crate::cli::network::Network;
use crate::client::{Client, ClientError};
use crate::failure::CliError;
use crate::output;
use axum::http::StatusCode;
use cairn_core::hash::TransactionId;
use cairn_core::numbers::{Amount, Timestamp};
use cairn_core::transaction::{Transaction, TransactionBody, Transfer};
use cairn_wallet::{SentRecord, Wallet};
use std::time::Duration;

/// After how many questions in a row a client pauses between two, and how long: a node of another machine
/// answers 100 a second.
const QUESTIONS_AT_ONCE: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The node has it.
    Taken,
    /// The node did not take it, or it was never sent.
    Refused,
    /// It was sent, and no answer came.
    Unknown,
}

impl Fate {
    /// What an error says about the transaction that it is the answer to.
    pub(crate) fn of_error(error: &ClientError) -> Self {
        match error {
            ClientError::Refused { error, .. } if error.code == "already-known" => Self::Taken,
            // What the node says of its own trouble may come too late to be about this transaction.
            ClientError::Refused { status, .. }
                if status.is_client_error() && *status != StatusCode::REQUEST_TIMEOUT =>
            {
                Self::Refused
            }
            ClientError::Unreachable { .. } | ClientError::NoToken { .. } => Self::Refused,
            ClientError::Refused { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Broken { .. }
            | ClientError::NotANode { .. } => Self::Unknown,
        }
    }
}

/// Notes in the book what is about to be sent.
pub(crate) fn note_before(
    wallet: &mut Wallet,
    network: &Network,
    transactions: &[Transaction],
) -> Result<(), CliError> {
    let now = Timestamp(now_ms());
    let identity = network.identity();
    let noted = wallet.change_book(|book| {
        book.see(&network.name, identity, now)?;
        for transaction in transactions {
            if let Some(record) = record_of(transaction, network, now) {
                book.record_sent(&identity, record)?;
            }
        }
        Ok(())
    });
    noted.map_err(|error| CliError::from(error).after("nothing was sent"))
}

/// Notes in the book what became of it. The coins are on their way whatever comes of that, so a book that
/// cannot be written is only told of.
pub(crate) fn note_after(
    wallet: &mut Wallet,
    network: &Network,
    fates: impl IntoIterator<Item = (TransactionId, Fate)>,
) {
    let identity = network.identity();
    let noted = wallet.change_book(|book| {
        for (id, fate) in fates {
            match fate {
                Fate::Taken => book.answer(&identity, &id),
                Fate::Refused => book.forget_sent(&identity, &id),
                Fate::Unknown => {}
            }
        }
        Ok(())
    });
    if let Err(error) = noted {
        output::warn(&format!("the answer is not noted in the wallet's book: {}", CliError::from(error)));
    }
}

/// Asks what became of the payments of an account that were never answered.
///
/// # Errors
///
/// `already-paid` if one of them has arrived and is what `bodies` would pay, unless that is wanted `again`.
pub(crate) async fn ask_after(
    wallet: &Wallet,
    network: &Network,
    client: &Client,
    account: &AccountView,
    bodies: &[TransactionBody],
    again: bool,
) -> Result<Vec<(TransactionId, Fate)>, CliError> {
    let prefix = network.prefix()?;
    let mut fates = Vec::new();
    let unanswered = unanswered(wallet, network);
    for record in unanswered.filter(|it| it.from.to_text(&prefix) == account.address) {
        if fates.len() > QUESTIONS_AT_ONCE {
            tokio::time::sleep(PAUSE).await;
        }
        let what = format!(
            "{} to {}, signed {}",
            network.coins(record.amount),
            network.name_of(&record.to.to_text(&prefix)),
            output::ago(now_ms(), record.at.0)
        );
        let fate = match is_known(client, &record.id).await? {
            true if !again && bodies.iter().any(|body| pays_the_same(body, record)) => {
                let message = format!("the same was paid already, and no answer came then: {what}");
                return Err(CliError::failed("already-paid", message).help(format!(
                    "nothing was sent; `cairn tx {}` shows that payment; to pay it once more: --again",
                    record.id
                )));
            }
            true => {
                output::note(&format!("an earlier payment has arrived of which no answer came: {what}"));
                Fate::Taken
            }
            // Another transaction has its nonce: no block will ever take it.
            false if account.nonce > record.nonce.0 => Fate::Refused,
            false => {
                if bodies.iter().any(|body| body.nonce == record.nonce) {
                    output::warn(&format!("this takes the place of a payment that did not arrive: {what}"));
                }
                Fate::Unknown
            }
        };
        fates.push((record.id, fate));
    }
    Ok(fates)
}

/// What a wallet sent on a network and heard nothing of.
fn unanswered<'a>(wallet: &'a Wallet, network: &Network) -> impl Iterator<Item = &'a SentRecord> + use<'a> {
    wallet.book().history(&network.identity()).into_iter().flat_map(|history| history.unanswered())
}

/// What an account paid, as its wallet knows, and the node does not have.
pub(super) async fn unseen<'a>(
    wallet: &'a Wallet,
    network: &Network,
    client: &Client,
    account: &AccountView,
) -> Result<Vec<&'a SentRecord>, CliError> {
    let prefix = network.prefix()?;
    let mut unseen = Vec::new();
    // What has a nonce that is used can never come any more.
    let open = unanswered(wallet, network)
        .filter(|it| it.from.to_text(&prefix) == account.address && it.nonce.0 >= account.nonce);
    for (place, record) in open.enumerate() {
        if place > QUESTIONS_AT_ONCE {
            tokio::time::sleep(PAUSE).await;
        }
        if !is_known(client, &record.id).await? {
            unseen.push(record);
        }
    }
    Ok(unseen)
}

/// Whether a node has a transaction, in a block or waiting for one.
async fn is_known(client: &Client, id: &TransactionId) -> Result<bool, CliError> {
    match client.get::<TransactionStatus>(&format!("/v1/transactions/{id}")).await {
        Ok(_) => Ok(true),
        Err(ClientError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a body pays what a record says, as far as a record can tell.
fn pays_the_same(body: &TransactionBody, record: &SentRecord) -> bool {
    let first = body.transfers.first().map(|transfer| transfer.to);
    first == Some(record.to)
        && u32::try_from(body.transfers.len()) == Ok(record.transfers)
        && sum(&body.transfers) == record.amount
}

fn record_of(transaction: &Transaction, network: &Network, now: Timestamp) -> Option<SentRecord> {
    let (body, from) = (&transaction.body, transaction.witness.address());
    Some(SentRecord {
        id: body.id(&network.identity(), &from),
        at: now,
        from,
        nonce: body.nonce,
        to: body.transfers.first()?.to,
        transfers: u32::try_from(body.transfers.len()).unwrap_or(u32::MAX),
        amount: sum(&body.transfers),
        is_answered: false,
    })
}

fn sum(transfers: &[Transfer]) -> Amount {
    Amount::checked_sum(transfers.iter().map(|it| it.amount)).unwrap_or(Amount::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::ErrorView;

    fn refused(status: StatusCode, code: &str) -> ClientError {
        let error =
            ErrorView { code: code.to_owned(), rule: None, message: String::new(), help: String::new() };
        ClientError::Refused { status, error: Box::new(error) }
    }

    #[test]
    fn only_what_the_node_surely_did_not_take_counts_as_refused() {
        let fate = |status, code| Fate::of_error(&refused(status, code));
        assert_eq!(fate(StatusCode::UNPROCESSABLE_ENTITY, "fee-too-low"), Fate::Refused);
        assert_eq!(fate(StatusCode::TOO_MANY_REQUESTS, "slow-down"), Fate::Refused);
        assert_eq!(fate(StatusCode::CONFLICT, "already-known"), Fate::Taken);
        assert_eq!(fate(StatusCode::REQUEST_TIMEOUT, "request-timeout"), Fate::Unknown);
        assert_eq!(fate(StatusCode::SERVICE_UNAVAILABLE, "stopping"), Fate::Unknown);
        let url = || "http://127.0.0.1:1".to_owned();
        assert_eq!(Fate::of_error(&ClientError::NotANode { url: url() }), Fate::Unknown);
        let within = std::time::Duration::from_secs(1);
        assert_eq!(Fate::of_error(&ClientError::TimedOut { url: url(), within }), Fate::Unknown);
    }
}
