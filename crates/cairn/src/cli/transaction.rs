//! `cairn tx`: look a transaction up, or make one step by step: build, sign, submit, show.
//!
//! The files of the steps are JSON. An unsigned one carries the network and the sender, so that it
//! can be signed on a machine without a network, and nobody signs for another or elsewhere.

use super::account::now_ms;
use super::block::readable;
use super::context::Context;
use super::network::{Network, fee_rates, warn_of_published_key};
use super::send::{Payment, Signer, limits_of, next_nonce, submit, timeout};
use super::wallet::{Payer, WalletChoice, introduce};
use crate::api::views::{BodyView, Hash, SignedTransaction, TransactionState, TransactionStatus};
use crate::api::{input, render};
use crate::failure::CliError;
use crate::output::{self, Facts, Style, grouped};
use cairn_core::hash::TransactionId;
use cairn_core::numbers::{FeeRate, Height};
use cairn_core::signature::{SignedMessage, Witness, verify};
use cairn_core::transaction::{Transaction, TransactionBody};
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The longest file of a transaction that is read: 64 KiB in hexadecimal digits, and names around them.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  cairn tx 5d1f…
  cairn tx build --from alice --to bob --amount 25 --output unsigned.json
  cairn tx sign unsigned.json --from alice --output signed.json
  cairn tx submit signed.json --wait")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    step: Option<Step>,
    /// The id of a transaction: 64 hexadecimal digits.
    #[arg(value_name = "ID")]
    id: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Step {
    /// Write an unsigned transaction.
    #[command(after_help = "Examples:
  cairn tx build --from alice --to bob --amount 25 --output unsigned.json
  cairn tx build --genesis mycoin.toml --from cairn1… --to cairn1… --amount 25 --nonce 0 --fee-rate 1")]
    Build(BuildArguments),
    /// Sign a transaction that `build` wrote. Needs no network.
    #[command(after_help = "Example:
  cairn tx sign unsigned.json --output signed.json
  cairn tx sign unsigned.json --key-file my.key --output signed.json

The file says who must sign; the key is looked for in the wallets here.")]
    Sign(SignArguments),
    /// Send a signed transaction to a node.
    #[command(after_help = "Example:
  cairn tx submit signed.json --wait")]
    Submit(SubmitArguments),
    /// Show what a file says, signed or not. Needs no network.
    #[command(after_help = "Example:
  cairn tx show signed.json")]
    Show {
        /// The file; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct BuildArguments {
    /// Who will sign: an address, a name of the wallet, or a name on a development network.
    #[arg(long, value_name = "NAME|ADDRESS")]
    from: String,
    #[command(flatten)]
    payment: Payment,
    /// Ask no node, but take the network from its genesis file; needs --nonce and --fee-rate.
    #[arg(long, value_name = "FILE", requires_all = ["nonce", "fee_rate"])]
    genesis: Option<PathBuf>,
    /// Where to write it; left out or -, to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct SignArguments {
    /// The unsigned transaction; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    signer: Signer,
    #[command(flatten)]
    choice: WalletChoice,
    /// Where to write it; left out or -, to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct SubmitArguments {
    /// The signed transaction; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Wait until the transaction is in a block.
    #[arg(long)]
    wait: bool,
    /// How long to wait [default: 60s].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

/// What `build` writes and `sign` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnsignedFile {
    network: Network,
    sender: String,
    body: BodyView,
}

/// What `sign` writes and `submit` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedFile {
    network: Network,
    sender: String,
    id: Hash,
    transaction: SignedTransaction,
}

/// Either file: the signed one is told by its transaction.
#[derive(Debug)]
enum AnyFile {
    Signed(Box<SignedFile>),
    Unsigned(Box<UnsignedFile>),
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    match (arguments.step, arguments.id) {
        (Some(Step::Build(arguments)), _) => build(&arguments, context),
        (Some(Step::Sign(arguments)), _) => sign(&arguments, context),
        (Some(Step::Submit(arguments)), _) => submit_file(&arguments, context),
        (Some(Step::Show { file }), _) => show_file(&file, context.json),
        (None, Some(id)) => look_up(&id, context),
        (None, None) => Err(CliError::usage("usage", "the id of a transaction is expected")),
    }
}

fn build(arguments: &BuildArguments, context: &Context) -> Result<(), CliError> {
    let payment = &arguments.payment;
    let file = if let (Some(genesis), Some(nonce), Some(rate)) =
        (&arguments.genesis, payment.nonce, payment.fee_rate(context))
    {
        let genesis = super::genesis::read(genesis)?;
        let mut network = Network::of_genesis(&genesis);
        introduce(&mut network, context)?;
        let tip = FeeRate(rate.0.saturating_sub(genesis.section().fees.floor.0));
        let sender = network.account(&arguments.from)?.to_text(&network.prefix()?);
        let body = only(payment.bodies(&network, &genesis.section().limits, nonce, (rate, tip))?)?;
        UnsignedFile { body: body_view(&body, &network)?, network, sender }
    } else {
        let client = context.client()?;
        context.block_on(async {
            let (mut network, status) = Network::ask(&client).await?;
            introduce(&mut network, context)?;
            let sender = network.account(&arguments.from)?.to_text(&network.prefix()?);
            let next_nonce = match payment.nonce {
                Some(nonce) => nonce,
                None => next_nonce(&client, &sender).await?,
            };
            let rates = fee_rates(&status, payment.fee_rate(context));
            let body = only(payment.bodies(&network, &limits_of(&status)?, next_nonce, rates)?)?;
            Ok(UnsignedFile { body: body_view(&body, &network)?, network, sender })
        })?
    };
    write(&file, arguments.output.as_deref())
}

/// The one body that a file holds.
fn only(bodies: Vec<TransactionBody>) -> Result<TransactionBody, CliError> {
    let count = bodies.len();
    match <[TransactionBody; 1]>::try_from(bodies) {
        Ok([body]) => Ok(body),
        Err(_) => {
            Err(CliError::usage("too-many-recipients", format!("the table makes {count} transactions"))
                .help("a file holds one: split the table, at most 256 lines each, all with the same data"))
        }
    }
}

fn sign(arguments: &SignArguments, context: &Context) -> Result<(), CliError> {
    let UnsignedFile { mut network, sender, body } = match read(&arguments.file)? {
        AnyFile::Unsigned(file) => *file,
        AnyFile::Signed(_) => {
            let name = arguments.file.display();
            return Err(CliError::failed("already-signed", format!("{name} is signed already"))
                .help(format!("send it: `cairn tx submit {name}`")));
        }
    };
    let prefix = network.prefix()?;
    let expected = network.account(&sender)?;
    let signer = match (&arguments.signer.from, &arguments.signer.key_file) {
        // The file says who must sign: a key of a wallet, where there is no other.
        (None, None) if arguments.signer.key_file(context).is_none() => {
            let name = network.development_name(&sender).unwrap_or(&sender);
            Signer { from: Some(name.to_owned()), key_file: None }
        }
        (from, _) => Signer { from: from.clone(), key_file: arguments.signer.key_file(context) },
    };
    let payer = Payer::find(&signer, &arguments.choice, &mut network, context)?;
    if payer.address != expected {
        let found = network.name_of(&payer.address.to_text(&prefix));
        let message = format!("the sender is {}, the key is {found}'s", network.name_of(&sender));
        return Err(
            CliError::failed("wrong-key", message).help("sign with the sender's key, or build it anew")
        );
    }
    let body_of_file = body_of(&body, &network)?;
    let id = body_of_file.id(&network.identity(), &payer.address);
    let signed = payer.pen(&arguments.choice, context)?.0.sign(&body_of_file, &network)?;
    let witness = render::witness_view(&signed.witness);
    let transaction = SignedTransaction { body, witness };
    let file = SignedFile { network, sender, id: id.into(), transaction };
    write(&file, arguments.output.as_deref())?;
    warn_of_published_key(&file.network, &file.sender, context.json);
    Ok(())
}

fn submit_file(arguments: &SubmitArguments, context: &Context) -> Result<(), CliError> {
    let timeout = timeout(arguments.timeout.as_deref(), context)?;
    let file = match read(&arguments.file)? {
        AnyFile::Signed(file) => file,
        AnyFile::Unsigned(_) => {
            let name = arguments.file.display();
            return Err(CliError::failed("not-signed", format!("{name} is not signed"))
                .help(format!("sign it first: `cairn tx sign {name} --from NAME --output signed.json`")));
        }
    };
    let transaction = transaction_of(&file)?;
    let client = context.client()?;
    context.block_on(async {
        let (network, status) = Network::ask(&client).await?;
        if network.identity != file.network.identity {
            let message = format!(
                "the transaction is for network {} ({}), the node is in {} ({})",
                file.network.name, file.network.identity, network.name, network.identity
            );
            return Err(
                CliError::failed("wrong-network", message).help("name a node of its network: `--node URL`")
            );
        }
        submit(&client, &network, &status, &transaction, arguments.wait.then_some(timeout), context.json)
            .await
    })
}

fn show_file(file: &Path, json: bool) -> Result<(), CliError> {
    let (network, sender, body, signed) = match read(file)? {
        AnyFile::Signed(file) => {
            let transaction = transaction_of(&file)?;
            (file.network.clone(), file.sender.clone(), transaction.body, Some(transaction.witness))
        }
        AnyFile::Unsigned(file) => {
            (file.network.clone(), file.sender.clone(), body_of(&file.body, &file.network)?, None)
        }
    };
    let address = network.account(&sender)?;
    let id = body.id(&network.identity(), &address);
    let signature = match &signed {
        None => "missing",
        Some(Witness::Ed25519 { key, signature })
            if verify(SignedMessage { key, signature, message: &id.0 }) =>
        {
            "valid"
        }
        Some(_) => "wrong",
    };
    if json {
        let body = body_view(&body, &network)?;
        let id = Hash::from(id);
        output::print_json(&serde_json::json!({
            "network": network, "sender": sender, "id": id, "signature": signature, "body": body,
        }));
        return Ok(());
    }
    let mut facts = Facts::default();
    facts.add("id", id.to_string());
    facts.add("network", format!("{} ({})", network.name, network.identity));
    facts.styled("from", Style::Name, full_name(&network, &sender));
    show_body(&mut facts, &body, &network)?;
    let style = if signature == "valid" { Style::Good } else { Style::Warning };
    facts.styled("signature", style, signature);
    facts.print();
    Ok(())
}

fn look_up(id: &str, context: &Context) -> Result<(), CliError> {
    let id: TransactionId = id.parse().map_err(|error: cairn_core::hash::HashParseError| {
        let is_part = id.chars().all(|it| it.is_ascii_hexdigit() || "….".contains(it));
        let help = match is_part {
            true => "give all 64 digits: lists show them whole",
            false => "give an id, or one of the steps build, sign, submit and show",
        };
        CliError::usage("bad-id", format!("`{}` is no id: {error}", output::short(id))).help(help)
    })?;
    let client = context.client()?;
    context.block_on(async {
        let (mut network, _) = Network::ask(&client).await?;
        introduce(&mut network, context)?;
        let status: TransactionStatus = client.get(&format!("/v1/transactions/{id}")).await?;
        if context.json {
            output::print_json(&status);
            return Ok(());
        }
        show_status(&status, &network)
    })
}

fn show_status(status: &TransactionStatus, network: &Network) -> Result<(), CliError> {
    let mut facts = Facts::default();
    facts.add("id", status.id.to_string());
    match status.status {
        TransactionState::Pending => {
            let why = status.waits.as_ref().map_or_else(String::new, |waits| format!(": {}", waits.message));
            facts.styled("status", Style::Warning, format!("waits{why}"));
        }
        TransactionState::Confirmed | TransactionState::Final => {
            let word = if status.status == TransactionState::Final { "final" } else { "confirmed" };
            let times = output::plural(status.confirmations, "confirmation");
            facts.styled("status", Style::Good, format!("{word}, {times}"));
        }
    }
    if let (Some(height), Some(place)) = (status.height, status.place) {
        facts.add("block", format!("{}, place {}", grouped(height), grouped(place.into())));
    }
    if let Some(time) = status.time_ms {
        facts.add("made", output::ago(now_ms(), time));
    }
    facts.styled("from", Style::Name, full_name(network, &status.transaction.sender));
    show_body(&mut facts, &body_of(&status.transaction.body, network)?, network)?;
    if let Some(fee) = status.fee {
        facts.add("fee", network.coins(fee));
    }
    facts.add("weight", grouped(status.transaction.weight));
    facts.add("size", output::bytes_text(status.transaction.bytes));
    facts.print();
    Ok(())
}

fn show_body(facts: &mut Facts, body: &TransactionBody, network: &Network) -> Result<(), CliError> {
    let prefix = network.prefix()?;
    for transfer in &body.transfers {
        let to = full_name(network, &transfer.to.to_text(&prefix));
        facts.styled("pays", Style::Strong, format!("{} to {to}", network.coins(transfer.amount)));
    }
    facts.add("nonce", grouped(body.nonce.0));
    facts.add(
        "fee rate",
        format!("at most {} a unit of weight", output::plural(body.max_fee_rate.0, "base unit")),
    );
    if body.valid_until != Height(0) {
        facts.add("valid until", format!("block {}", grouped(body.valid_until.0)));
    }
    if !body.data.is_empty() {
        facts.add("data", readable(&body.data));
    }
    Ok(())
}

/// The published name, if there is one, and the address.
fn full_name(network: &Network, address: &str) -> String {
    match network.known_as(address) {
        name if name == address => name,
        name => format!("{name} ({address})"),
    }
}

fn body_view(body: &TransactionBody, network: &Network) -> Result<BodyView, CliError> {
    Ok(render::body_view(body, &network.prefix()?))
}

fn body_of(view: &BodyView, network: &Network) -> Result<TransactionBody, CliError> {
    Ok(input::body(view.clone(), &network.prefix()?)?)
}

/// The transaction of a signed file, whose sender and id are what the file says.
fn transaction_of(file: &SignedFile) -> Result<Transaction, CliError> {
    let transaction = input::signed_transaction(file.transaction.clone(), &file.network.prefix()?)?;
    let sender = transaction.witness.address();
    let id = transaction.body.id(&file.network.identity(), &sender);
    if sender != file.network.account(&file.sender)? || Hash::from(id) != file.id {
        let message = "sender or id of the file are not those of its transaction: it was changed by hand";
        return Err(CliError::failed("changed-file", message).help("build and sign it anew"));
    }
    Ok(transaction)
}

/// Reads either file, or standard input if it is called `-`.
fn read(file: &Path) -> Result<AnyFile, CliError> {
    let name = file.display().to_string();
    let mut text = String::new();
    let done = if super::genesis::is_standard(file) {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    done.map_err(|error| {
        CliError::failed("unreadable-file", format!("{name} cannot be read")).because(&error)
    })?;
    parse(&text).map_err(|error| {
        let failure = CliError::failed("bad-file", format!("{name} is no transaction, signed or not"));
        match offset(&text, error.line(), error.column()) {
            Some(at) => failure.at(&name, &text, at..at, error.to_string()),
            None => failure.because(&error),
        }
    })
}

fn parse(text: &str) -> Result<AnyFile, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    // Read from the text again, so that what is wrong has its line.
    if value.get("transaction").is_some() {
        serde_json::from_str(text).map(|file| AnyFile::Signed(Box::new(file)))
    } else {
        serde_json::from_str(text).map(|file| AnyFile::Unsigned(Box::new(file)))
    }
}

/// Where a line and a column are, both counted from 1 as JSON errors do; none if they say nothing.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    Some(before + column.saturating_sub(1))
}

/// Writes a JSON file, or to standard output. An existing file is left alone.
fn write(value: &impl Serialize, file: Option<&Path>) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).expect("files are JSON");
    let Some(file) = file.filter(|file| !super::genesis::is_standard(file)) else {
        output::print_line(&text);
        return Ok(());
    };
    super::genesis::write_new(file, &format!("{text}\n"), false)?;
    output::note(&format!("written to {}", file.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::{Bytes, TransferView, Units};
    use cairn_wallet::development_account;

    fn unsigned() -> UnsignedFile {
        let network = Network {
            name: "devnet".to_owned(),
            identity: Hash([7; 32]),
            address_prefix: "cairn".to_owned(),
            symbol: "CAIRN".to_owned(),
            decimals: 8,
            devnet: true,
            people: Vec::new(),
        };
        let text = |name| development_account(name).unwrap().address().to_text(&network.prefix().unwrap());
        let body = BodyView {
            version: 1,
            nonce: 3,
            valid_until: 0,
            max_fee_rate: Units(1),
            tip_rate: Units(0),
            transfers: vec![TransferView { to: text("bob"), amount: Units(25) }],
            data: Bytes(vec![1, 2]),
        };
        UnsignedFile { sender: text("alice"), network, body }
    }

    fn signed(unsigned: UnsignedFile) -> SignedFile {
        let key = development_account("alice").unwrap();
        let body = body_of(&unsigned.body, &unsigned.network).unwrap();
        let identity = unsigned.network.identity();
        let id = body.id(&identity, &key.address()).into();
        let witness = render::witness_view(&key.sign(&body, &identity).witness);
        let transaction = SignedTransaction { body: unsigned.body, witness };
        SignedFile { network: unsigned.network, sender: unsigned.sender, id, transaction }
    }

    #[test]
    fn a_body_comes_back_from_its_file() {
        let file = unsigned();
        let body = body_of(&file.body, &file.network).unwrap();
        assert_eq!(body_view(&body, &file.network).unwrap(), file.body);
    }

    #[test]
    fn a_signed_file_gives_the_transaction_that_was_signed() {
        let file = signed(unsigned());
        let transaction = transaction_of(&file).unwrap();
        let Witness::Ed25519 { key, signature } = &transaction.witness else {
            panic!("development keys are ed25519");
        };
        assert!(verify(SignedMessage { key, signature, message: &file.id.0 }));
    }

    #[test]
    fn a_file_that_was_changed_by_hand_is_refused() {
        let mut file = signed(unsigned());
        file.transaction.body.nonce = 4;
        assert_eq!(transaction_of(&file).unwrap_err().code(), "changed-file");
        let mut file = signed(unsigned());
        file.sender = "bob".to_owned();
        assert_eq!(transaction_of(&file).unwrap_err().code(), "changed-file");
    }

    #[test]
    fn either_file_is_told_by_its_content() {
        let text = serde_json::to_string(&unsigned()).unwrap();
        assert!(matches!(parse(&text), Ok(AnyFile::Unsigned(_))));
        let text = serde_json::to_string(&signed(unsigned())).unwrap();
        assert!(matches!(parse(&text), Ok(AnyFile::Signed(_))));
    }

    #[test]
    fn a_line_and_a_column_lead_to_their_place() {
        assert_eq!(offset("ab\ncd", 2, 2), Some(4));
        assert_eq!(offset("ab", 0, 0), None);
    }
}
