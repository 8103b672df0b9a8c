//! `cairn wallet bump` and `cancel`: something else in the place of a transaction that waits.

use super::history::waiting_of;
use super::open::WalletChoice;
use super::outgoing::{Fate, note_after, note_before};
use super::payer::Payer;
use crate::api::input;
use crate::api::views::{AccountView, TransactionState, TransactionStatus};
use crate::cli::context::Context;
use crate::cli::network::{Network, warn_of_published_key};
use crate::cli::send::{Signer, follow, hand_over, timeout, warn_of_fee};
use crate::client::Client;
use crate::failure::CliError;
use crate::output;
use crate::values::parse_count;
use cairn_core::hash::TransactionId;
use cairn_core::numbers::{FeeRate, Nonce};
use cairn_core::transaction::TransactionBody;
use cairn_wallet::{Offer, Replacement, ReplacementError, Waiting};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The id of the transaction that waits.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    signer: Signer,
    /// What to pay for a unit of weight, in base units, if that is more than a replacement must.
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = parse_count)]
    fee_rate: Option<u64>,
    /// Wait until the replacement is in a block.
    #[arg(long)]
    wait: bool,
    /// How long to wait [default: 60s].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

/// What takes the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The same payment, paying more.
    Bump,
    /// Nothing but a fee.
    Cancel,
}

pub(super) fn run(
    arguments: &Arguments,
    way: Way,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let id: TransactionId = arguments.id.parse().map_err(|_| {
        CliError::usage("bad-id", "the id of a transaction has 64 hexadecimal digits")
            .help("`cairn mempool` shows what waits, with ids")
    })?;
    let timeout = timeout(arguments.timeout.as_deref(), context)?;
    let client = context.client()?;
    context.block_on(async {
        let (mut network, status) = Network::ask(&client).await?;
        let stuck: TransactionStatus = client.get(&format!("/v1/transactions/{id}")).await?;
        if stuck.status != TransactionState::Pending {
            return Err(not_waiting(id));
        }
        let sender = stuck.transaction.sender.clone();
        let signer = match (&arguments.signer.from, &arguments.signer.key_file) {
            // The transaction says who must sign.
            (None, None) => Signer { from: Some(sender_name(&sender, &network)), key_file: None },
            (from, file) => Signer { from: from.clone(), key_file: file.clone() },
        };
        let payer = Payer::find(&signer, choice, &mut network, context)?;
        let prefix = network.prefix()?;
        if payer.address.to_text(&prefix) != sender {
            let message = format!("{} sent it, and nobody else can replace it", network.known_as(&sender));
            return Err(CliError::usage("wrong-key", message));
        }
        let account: AccountView = client.get(&format!("/v1/accounts/{sender}")).await?;
        let lane = lane_of(&client, &network, &sender).await?;
        let waiting = Waiting { sender: payer.address, balance: account.balance.into(), lane: &lane };
        let nonce = Nonce(stuck.transaction.body.nonce);
        let Replacement { body, evicts } = replacement(&waiting, nonce, way, arguments.fee_rate, &status)
            .map_err(|error| CliError::failed("no-replacement", error.to_string()))?;
        if !evicts.is_empty() && !context.json {
            let nonces: Vec<String> = evicts.iter().map(|nonce| nonce.0.to_string()).collect();
            output::warn(&format!(
                "the balance no longer covers what waits behind it: the node drops the nonces {}",
                nonces.join(", ")
            ));
        }
        let (mut pen, mut wallet) = payer.pen(choice, context)?;
        let transaction = pen.sign(&body, &network)?;
        if let Some(wallet) = &mut wallet {
            note_before(wallet, &network, std::slice::from_ref(&transaction))?;
        }
        let wait = arguments.wait.then_some(timeout);
        if way == Way::Bump {
            warn_of_fee(&network, &status, &transaction);
        }
        let handed = hand_over(&client, &network, &transaction).await;
        if let Some(wallet) = &mut wallet {
            let id = body.id(&network.identity(), &transaction.witness.address());
            let fate = handed.as_ref().map_or_else(|(_, fate)| *fate, |_| Fate::Taken);
            note_after(wallet, &network, [(id, fate)]);
        }
        // A block may have come since the question.
        let handed = handed.map_err(|(error, _)| match error.code() {
            "nonce-too-low" => not_waiting(id),
            _ => error,
        })?;
        follow(&client, &network, &status, &transaction, handed, wait, context.json).await?;
        warn_of_published_key(&network, &sender, context.json);
        Ok(())
    })
}

fn not_waiting(id: TransactionId) -> CliError {
    let message = format!("transaction {id} is in a block: nothing can take its place any more");
    CliError::failed("not-waiting", message)
}

fn replacement(
    waiting: &Waiting<'_>,
    nonce: Nonce,
    way: Way,
    fee_rate: Option<u64>,
    status: &crate::api::views::Status,
) -> Result<Replacement, ReplacementError> {
    // A bump that pays less than blocks ask for now would wait as well.
    let (most, tip) = crate::cli::network::fee_rates(status, fee_rate.map(FeeRate));
    let offer = Offer { max_fee_rate: most, tip_rate: tip };
    match way {
        Way::Bump => waiting.bump(nonce, offer),
        Way::Cancel => waiting.cancel(nonce, offer),
    }
}

/// A published account by its name, which finds its key; all others by their address.
fn sender_name(sender: &str, network: &Network) -> String {
    network.development_name(sender).unwrap_or(sender).to_owned()
}

/// All that a sender has waiting, in the order of the nonces.
async fn lane_of(client: &Client, network: &Network, sender: &str) -> Result<Vec<TransactionBody>, CliError> {
    let prefix = network.prefix()?;
    let mut lane = Vec::new();
    for entry in waiting_of(client, sender).await? {
        let status: TransactionStatus = client.get(&format!("/v1/transactions/{}", entry.id)).await?;
        if status.status == TransactionState::Pending {
            lane.push(input::body(status.transaction.body, &prefix)?);
        }
    }
    Ok(lane)
}
