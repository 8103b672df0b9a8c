//! `cairn send`: build, sign here, submit, and wait if asked to.

mod many;
mod payment;
mod preview;

pub(crate) use payment::{Payment, limits_of};

use super::context::Context;
use super::mine::no_block_by_itself;
use super::network::{Network, fee_rates, warn_of_published_key};
use super::wallet::{Fate, Payer, WalletChoice, ask_after, note_after, note_before};
use crate::api::views::{AccountView, Status, Submitted, TransactionState, TransactionStatus, WaitView};
use crate::client::{Client, ClientError};
use crate::failure::CliError;
use crate::output::{self, Style};
use cairn_core::codec::Encode as _;
use cairn_core::hash::TransactionId;
use cairn_core::numbers::{Amount, FeeRate};
use cairn_core::transaction::{Transaction, TransactionBody};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often a waiting command looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn send --from alice --to bob --amount 25 --wait
  cairn send --to landlord --amount 700 --preview
  cairn send --to 'cairn:cairn1…?amount=12.5' --wait
  cairn send --from savings --csv wages.csv --wait
  cairn send --key-file my.key --to cairn1… --amount 0.5 --data \"for lunch\"

The key never leaves this machine: the transaction is signed here, and the node gets it signed.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) signer: Signer,
    #[command(flatten)]
    pub(crate) payment: Payment,
    #[command(flatten)]
    choice: WalletChoice,
    /// Say what it would cost, and send nothing.
    #[arg(long, conflicts_with = "wait")]
    preview: bool,
    /// Wait until the transaction is in a block.
    #[arg(long)]
    wait: bool,
    /// How long to wait [default: 60s].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Pay even where the same was paid before, no answer came then, and it has arrived.
    #[arg(long)]
    again: bool,
}

/// Who signs.
#[derive(Debug, clap::Args)]
pub(crate) struct Signer {
    /// Who pays: an account of a wallet, or on a development network alice, bob, carol or faucet. Left
    /// out, the wallet's only account, or its default.
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
    /// The file with the key of who pays: 64 hexadecimal digits, readable by you alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

impl Signer {
    /// The key file that was named, in the flag or in the settings.
    pub(crate) fn key_file(&self, context: &Context) -> Option<PathBuf> {
        let setting = || context.settings.get("key_file").map(PathBuf::from);
        // A name on the command line is nearer than a file in the settings.
        self.key_file.clone().or_else(|| if self.from.is_none() { setting() } else { None })
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    let timeout = timeout(arguments.timeout.as_deref(), context)?;
    let client = context.client()?;
    context.block_on(async {
        let (mut network, status) = Network::ask(&client).await?;
        let payer = Payer::find(&arguments.signer, &arguments.choice, &mut network, context)?;
        payer.recognise(&network);
        let sender = payer.address.to_text(&network.prefix()?);
        let account: AccountView = client.get(&format!("/v1/accounts/{sender}")).await?;
        let rates = fee_rates(&status, arguments.payment.fee_rate(context));
        let limits = limits_of(&status)?;
        let bodies = arguments.payment.bodies(&network, &limits, next_nonce_of(&account), rates)?;
        check_balance(&account, &bodies, &network)?;
        if arguments.preview {
            return preview::show(&bodies, &account, &status, &network, context.json);
        }
        let earlier = match payer.wallet() {
            Some(wallet) => ask_after(wallet, &network, &client, &account, &bodies, arguments.again).await?,
            None => Vec::new(),
        };
        // Nobody types a password for what cannot be sent.
        let (mut pen, mut wallet) = payer.pen(&arguments.choice, context)?;
        let mut transactions = Vec::new();
        for body in &bodies {
            transactions.push(pen.sign(body, &network)?);
        }
        if let Some(wallet) = &mut wallet {
            note_after(wallet, &network, earlier);
            note_before(wallet, &network, &transactions)?;
        }
        let identity = network.identity();
        let ids: Vec<_> =
            transactions.iter().map(|it| it.body.id(&identity, &it.witness.address())).collect();
        let mut note = |fates: &[Fate]| {
            if let Some(wallet) = &mut wallet {
                note_after(wallet, &network, ids.iter().copied().zip(fates.iter().copied()));
            }
        };
        let wait = arguments.wait.then_some(timeout);
        match transactions.as_slice() {
            [only] if arguments.payment.csv.is_none() => {
                warn_of_fee(&network, &status, only);
                let handed = hand_over(&client, &network, only).await;
                note(&[handed.as_ref().map_or_else(|(_, fate)| *fate, |_| Fate::Taken)]);
                let handed = handed.map_err(|(error, _)| error)?;
                follow(&client, &network, &status, only, handed, wait, context.json).await?;
            }
            several => {
                let handed = many::hand_over(&client, several).await;
                note(&handed.fates);
                many::follow(&client, &network, &status, several, handed, wait, context.json).await?;
            }
        }
        warn_of_published_key(&network, &sender, context.json);
        Ok(())
    })
}

/// The flag, or the setting.
pub(crate) fn timeout(flag: Option<&str>, context: &Context) -> Result<Duration, CliError> {
    flag.map_or_else(
        || Ok(context.timeout()),
        |text| {
            crate::values::parse_duration(text)
                .map_err(|error| CliError::usage("wrong-value", format!("--timeout is \"{text}\": {error}")))
        },
    )
}

/// The nonce behind all that an account has sent.
pub(crate) async fn next_nonce(client: &Client, address: &str) -> Result<u64, CliError> {
    let account: AccountView = client.get(&format!("/v1/accounts/{address}")).await?;
    Ok(next_nonce_of(&account))
}

fn next_nonce_of(account: &AccountView) -> u64 {
    account.pending_nonce.unwrap_or(account.nonce)
}

/// Says in coins what the node would refuse in base units. The node has the last word.
fn check_balance(
    account: &AccountView,
    bodies: &[TransactionBody],
    network: &Network,
) -> Result<(), CliError> {
    let owned = account.pending_balance.unwrap_or(account.balance);
    let transfers = bodies.iter().flat_map(|body| &body.transfers);
    let wanted = Amount::checked_sum(transfers.map(|transfer| transfer.amount));
    if wanted.is_some_and(|wanted| wanted <= owned.into()) {
        return Ok(());
    }
    let wanted = wanted.map_or_else(|| "more".to_owned(), |wanted| network.coins(wanted));
    let sender = network.name_of(&account.address);
    let message = format!("{sender} has {}, {wanted} and the fee are to be sent", network.coins(owned));
    let failure = CliError::failed("insufficient-balance", message).rule("TX-12");
    Err(if owned == account.balance {
        failure.help("send less")
    } else {
        failure.help("send less; what waits for a block is counted as gone")
    })
}

/// Submits a signed transaction, waits if asked to, and tells what came of it.
pub(crate) async fn submit(
    client: &Client,
    network: &Network,
    status: &Status,
    transaction: &Transaction,
    wait: Option<Duration>,
    json: bool,
) -> Result<(), CliError> {
    warn_of_fee(network, status, transaction);
    let handed = hand_over(client, network, transaction).await.map_err(|(error, _)| error)?;
    follow(client, network, status, transaction, handed, wait, json).await
}

/// A transaction that a node has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed {
    id: TransactionId,
    /// When it was sent.
    at: Instant,
}

/// Gives a signed transaction to the node, and tells nothing.
///
/// # Errors
///
/// The failure, and what it says about the transaction.
pub(crate) async fn hand_over(
    client: &Client,
    network: &Network,
    transaction: &Transaction,
) -> Result<Handed, (CliError, Fate)> {
    let at = Instant::now();
    let id = transaction.body.id(&network.identity(), &transaction.witness.address());
    let error = match client.submit(transaction.to_bytes()).await {
        Ok(submitted) => return Ok(Handed { id: submitted.id.into(), at }),
        Err(error) => error,
    };
    let (help, fate) = match (&error, Fate::of_error(&error)) {
        (_, Fate::Unknown) => {
            let help =
                format!("it may have arrived all the same: `cairn tx {id}` tells, once a node answers");
            (Some(help), Fate::Unknown)
        }
        (ClientError::Refused { error, .. }, fate) if error.code == "nonce-too-low" => {
            match height_of(client, id).await.map(output::grouped) {
                // The very same was sent before.
                Some(height) => {
                    (Some(format!("it is in block {height} already: `cairn tx {id}` shows it")), Fate::Taken)
                }
                None => (None, fate),
            }
        }
        (_, fate) => (None, fate),
    };
    let error = CliError::from(error);
    Err((help.into_iter().fold(error, CliError::help), fate))
}

/// The block that holds a transaction, if there is one and the node says so.
async fn height_of(client: &Client, id: TransactionId) -> Option<u64> {
    client.get::<TransactionStatus>(&format!("/v1/transactions/{id}")).await.ok()?.height
}

/// Says where the fee is more than what is sent: then an amount or a rate is often mistyped.
pub(crate) fn warn_of_fee(network: &Network, status: &Status, transaction: &Transaction) {
    if let Some(fee) = fee_above_amount(transaction, status) {
        output::warn(&format!("the fee is {}, more than what is sent", network.coins(fee)));
    }
}

/// Waits for the block of a transaction that a node has, if asked to, and tells what came of it.
pub(crate) async fn follow(
    client: &Client,
    network: &Network,
    status: &Status,
    transaction: &Transaction,
    Handed { id, at: started }: Handed,
    wait: Option<Duration>,
    json: bool,
) -> Result<(), CliError> {
    let Some(timeout) = wait else {
        if json {
            output::print_json(&Submitted { id: id.into(), status: TransactionState::Pending });
            return Ok(());
        }
        tell(network, transaction, &id.to_string());
        let later = format!("`cairn tx {id}` tells when it is in one");
        // Whoever leaves a gap or pays too little should hear so now, and not wonder later.
        let sent = client.get::<TransactionStatus>(&format!("/v1/transactions/{id}")).await;
        match sent.ok().and_then(|sent| sent.waits).filter(|waits| waits.reason != "ready") {
            Some(waits) => output::warn(&format!("no block can take it yet: {}; {later}", waits.message)),
            None => match no_block_by_itself(status) {
                Some(no_block) => output::note(&format!("it waits for a block: {no_block}")),
                None => output::note(&format!("it waits for a block: {later}")),
            },
        }
        return Ok(());
    };
    // Whoever stops waiting must still know what was sent.
    if !json {
        output::note(&format!("sent as {id}"));
        output::note("waiting for a block that holds it");
    }
    let confirmed = wait_for(client, status, id, started, timeout).await?;
    if json {
        output::print_json(&confirmed);
        return Ok(());
    }
    tell(network, transaction, &id.to_string());
    let height = confirmed.height.unwrap_or_default();
    let passed = output::time_text(started.elapsed());
    let mark = Style::Good.paint("confirmed", output::colours_on_stdout());
    let fee = confirmed.fee.map_or_else(String::new, |fee| format!(", fee {}", network.coins(fee)));
    output::print_line(&format!("{mark} in block {} after {passed}{fee}", output::grouped(height)));
    Ok(())
}

/// The fee under the base fee of now, where it is more than all that is sent.
fn fee_above_amount(transaction: &Transaction, status: &Status) -> Option<Amount> {
    let base_fee = FeeRate::from(status.fees.base_fee);
    let rate = base_fee.0.checked_add(transaction.body.tip_rate(base_fee)?.0)?;
    let fee = transaction.weight().checked_fee(FeeRate(rate))?;
    let sent = Amount::checked_sum(transaction.body.transfers.iter().map(|transfer| transfer.amount))?;
    (fee > sent).then_some(fee)
}

/// Says what was sent, and under which id.
fn tell(network: &Network, transaction: &Transaction, id: &str) {
    let Ok(prefix) = network.prefix() else {
        return;
    };
    let sender = network.name_of(&transaction.witness.address().to_text(&prefix));
    let transfers: Vec<String> = transaction
        .body
        .transfers
        .iter()
        .map(|it| format!("{} to {}", network.coins(it.amount), network.name_of(&it.to.to_text(&prefix))))
        .collect();
    output::note(&format!("{sender} sends {}", transfers.join(", ")));
    output::print_line(id);
}

/// Waits until a transaction is in a block, or final under `bft`. `status` is how the node is: where
/// it makes no blocks by itself, that is said before, and again where nothing came.
pub(crate) async fn wait_for(
    client: &Client,
    status: &Status,
    id: TransactionId,
    started: Instant,
    timeout: Duration,
) -> Result<TransactionStatus, CliError> {
    let path = format!("/v1/transactions/{id}");
    let until_final = status.consensus == "bft";
    let no_block = no_block_by_itself(status);
    if let Some(no_block) = no_block {
        output::warn(no_block);
    }
    loop {
        let waits = match client.get::<TransactionStatus>(&path).await {
            Ok(status) => match status.status {
                TransactionState::Final => return Ok(status),
                TransactionState::Confirmed if !until_final => return Ok(status),
                TransactionState::Confirmed | TransactionState::Pending => status.waits,
            },
            Err(ClientError::Refused { status, .. }) if status == axum::http::StatusCode::NOT_FOUND => {
                let message = format!("transaction {id} left the queue without a block");
                return Err(CliError::failed("transaction-dropped", message)
                    .help("it expired, or another with its nonce took its place: see `cairn account`"));
            }
            Err(error) => return Err(error.into()),
        };
        if started.elapsed() >= timeout {
            let waited = output::time_text(timeout);
            let message = format!("transaction {id} is not in a block after {waited}");
            let failure = CliError::timed_out("not-confirmed", message);
            let why = match (&waits, no_block) {
                // Nothing is wrong with it: only the block is missing.
                (Some(WaitView { reason, .. }), Some(no_block)) if reason == "ready" => no_block,
                (Some(WaitView { message, .. }), _) => message,
                (None, _) => "in a block, which is not final",
            };
            return Err(failure.help(format!("it still waits: {why}; `cairn tx {id}` tells how it is")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
