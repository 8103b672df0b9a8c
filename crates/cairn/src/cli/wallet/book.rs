//! `cairn wallet contact`, `watch`, `label` and `default`: what a wallet notes beside its keys.

use super::open::{WalletChoice, parse_name};
use crate::cli::account::now_ms;
use crate::cli::context::Context;
use crate::cli::network::Network;
use crate::failure::CliError;
use crate::output::{self, Style, Table, left, whole};
use cairn_core::hash::TransactionId;
use cairn_core::numbers::Timestamp;
use cairn_wallet::{Entry, NetworkAddress, Wallet};
use serde_json::json;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ContactCommand {
    /// List the contacts.
    #[command(after_help = "Example:
  cairn wallet contact list")]
    List,
    /// Add a contact. The address is checked, and kept for its network only.
    #[command(after_help = "Example:
  cairn wallet contact add --name landlord --address cairn1…")]
    Add(EntryArguments),
    /// Take a contact away.
    #[command(after_help = "Example:
  cairn wallet contact remove landlord")]
    Remove {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct EntryArguments {
    /// The name.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The address.
    #[arg(long, value_name = "ADDRESS")]
    address: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DefaultArguments {
    /// The account.
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LabelArguments {
    /// An account, a contact, or the id of a transaction.
    #[arg(value_name = "ACCOUNT|ID")]
    subject: String,
    /// What it is for, in a line; an empty text takes the label away.
    #[arg(long, value_name = "TEXT")]
    text: String,
}

/// `cairn wallet contact`.
pub(super) fn contact(
    command: &ContactCommand,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    match command {
        ContactCommand::List => {
            list(&wallet, context.json);
            Ok(())
        }
        ContactCommand::Add(arguments) => {
            let entry = entry(arguments, &wallet)?;
            wallet.change_book(|book| book.add_contact(entry.clone()))?;
            tell_entry("contact", &entry, context.json);
            Ok(())
        }
        ContactCommand::Remove { name } => remove(name, &mut wallet, context.json),
    }
}

/// `cairn wallet watch`.
pub(super) fn watch(
    arguments: &EntryArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    let entry = entry(arguments, &wallet)?;
    wallet.change_book(|book| book.watch(entry.clone()))?;
    tell_entry("watched", &entry, context.json);
    Ok(())
}

/// `cairn wallet unwatch`.
pub(super) fn unwatch(name: &str, choice: &WalletChoice, context: &Context) -> Result<(), CliError> {
    remove(name, &mut choice.open(context)?, context.json)
}

/// `cairn wallet default`.
pub(super) fn choose_default(
    arguments: &DefaultArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    let name = parse_name(&arguments.account)?;
    let address = wallet
        .payer(Some(&name))
        .map_err(|error| {
            CliError::usage("unknown-account", error.to_string())
                .help("`cairn wallet accounts` shows which there are")
        })?
        .address;
    wallet.change_book(|book| {
        book.set_default_account(Some(address));
        Ok(())
    })?;
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "default": name.as_str() }));
    } else {
        output::note(&format!("{name} pays where nobody is named"));
    }
    Ok(())
}

/// `cairn wallet label`.
pub(super) fn label(
    arguments: &LabelArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    let (subject, text) = (arguments.subject.as_str(), arguments.text.as_str());
    if let Ok(id) = subject.parse::<TransactionId>() {
        // An id means something on its network only.
        let client = context.client()?;
        let network = context.block_on(async { Ok(Network::ask(&client).await?.0) })?;
        wallet.change_book(|book| {
            book.see(&network.name, network.identity(), Timestamp(now_ms()))?;
            book.set_note(&network.identity(), id, text)
        })?;
    } else {
        let accounts = wallet.accounts();
        let account = accounts.iter().find(|it| it.name.as_str() == subject).map(|it| it.address);
        let entry = wallet.book().entry(subject).map(|entry| entry.address.address());
        let address = account.or(entry).ok_or_else(|| {
            CliError::usage(
                "unknown-account",
                format!("wallet {} knows no `{}`", wallet.name(), output::short(subject)),
            )
            .help("give the name of an account or a contact, or the id of a transaction")
        })?;
        wallet.change_book(|book| book.set_label(address, text))?;
    }
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "subject": subject, "label": text }));
    } else {
        output::note(&format!("noted for {}", output::short(subject)));
    }
    Ok(())
}

/// A name that is free and an address whose checksum holds.
fn entry(arguments: &EntryArguments, wallet: &Wallet) -> Result<Entry, CliError> {
    let name = parse_name(&arguments.name)?;
    wallet.check_free(&name)?;
    Ok(Entry { name, address: NetworkAddress::parse(&arguments.address)? })
}

fn remove(name: &str, wallet: &mut Wallet, json: bool) -> Result<(), CliError> {
    let name = parse_name(name)?;
    let entry = wallet.change_book(|book| book.remove(&name))?;
    tell_entry("removed", &entry, json);
    Ok(())
}

fn tell_entry(what: &str, entry: &Entry, json: bool) {
    if json {
        output::print_json(&json!({ "name": entry.name.as_str(), "address": entry.address.to_string() }));
    } else {
        output::note(&format!("{what}: {} is {}", entry.name, entry.address));
    }
}

fn list(wallet: &Wallet, json: bool) {
    let book = wallet.book();
    if json {
        let contacts: Vec<_> = book
            .contacts()
            .iter()
            .map(|it| {
                json!({ "name": it.name.as_str(), "address": it.address.to_string(),
                        "label": book.label(&it.address.address()) })
            })
            .collect();
        output::print_json(&contacts);
        return;
    }
    let mut table = Table::new(&[left("contact"), left("label"), whole("address")]);
    for entry in book.contacts() {
        table.row([
            (Style::Name, entry.name.to_string()),
            (Style::Plain, book.label(&entry.address.address()).unwrap_or_default().to_owned()),
            (Style::Plain, entry.address.to_string()),
        ]);
    }
    if table.is_empty() {
        output::print_line("this wallet has no contacts");
    } else {
        table.print();
    }
}
