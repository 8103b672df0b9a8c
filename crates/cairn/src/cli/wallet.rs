//! `cairn wallet`: keys under a password, and what their owner wants to know of them.
//!
//! What moves coins is `cairn send` and `cairn tx`; here wallets are made, opened and looked at.
//! Secrets are asked for, or read from files of their owner alone; no argument ever holds one.

mod ask;
mod backup;
mod book;
mod create;
mod history;
mod keys;
mod message;
mod open;
mod outgoing;
mod payer;
mod replace;
mod request;
mod screen;
mod show;
mod unlocked;

pub(crate) use open::{WalletChoice, default_directory, introduce};
pub(crate) use outgoing::{Fate, ask_after, note_after, note_before};
pub(crate) use payer::Payer;
pub(crate) use request::read_link;

use super::context::Context;
use crate::failure::CliError;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn wallet new
  cairn wallet accounts
  cairn send --to cairn1… --amount 25 --wait
  cairn wallet history")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    choice: WalletChoice,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a wallet: 24 words, a password, a first account.
    #[command(after_help = "Examples:
  cairn wallet new
  cairn wallet new --wallet shop --account till --password-file password.txt
  cairn wallet new --wallet others --watch-only")]
    New(create::NewArguments),
    /// Bring a wallet back from its words, with the accounts that were used.
    #[command(after_help = "Examples:
  cairn wallet restore
  cairn wallet restore --wallet old --words-file words.txt --passphrase")]
    Restore(create::RestoreArguments),
    /// Try the words that you wrote down against a wallet, without changing anything.
    #[command(after_help = "Example:
  cairn wallet check")]
    Check(create::CheckArguments),
    /// List the wallets on this machine.
    #[command(after_help = "Example:
  cairn wallet list")]
    List,
    /// Show a wallet: its files, its password's cost, the networks it has seen.
    #[command(after_help = "Example:
  cairn wallet show --wallet main")]
    Show,
    /// List the accounts with what they own.
    #[command(after_help = "Example:
  cairn wallet accounts")]
    Accounts,
    /// Print the address of an account.
    #[command(after_help = "Examples:
  cairn wallet address
  cairn wallet address savings --genesis mycoin.toml")]
    Address(show::AddressArguments),
    /// Ask to be paid: a payment link, and the QR code of it.
    #[command(after_help = "Example:
  cairn wallet request --amount 12.5 --message \"for March\"")]
    Request(request::Arguments),
    /// Show what changed an account, with its balance after each change, and what waits.
    #[command(after_help = "Examples:
  cairn wallet history
  cairn wallet history savings --limit 100")]
    History(history::Arguments),
    /// Add an account.
    #[command(after_help = "Example:
  cairn wallet add --name savings")]
    Add(keys::AddArguments),
    /// Give an account another name.
    #[command(after_help = "Example:
  cairn wallet rename savings --to holidays")]
    Rename(keys::RenameArguments),
    /// Take an account out, after a question; what it owns stays its own.
    #[command(after_help = "Examples:
  cairn wallet remove holidays
  cairn wallet remove holidays --yes")]
    Remove(keys::RemoveArguments),
    /// Choose the account that pays where none is named.
    #[command(after_help = "Example:
  cairn wallet default savings")]
    Default(book::DefaultArguments),
    /// Say what an account, or a transaction, is for.
    #[command(after_help = "Examples:
  cairn wallet label savings --text \"for the roof\"
  cairn wallet label 5d1f… --text rent")]
    Label(book::LabelArguments),
    /// Know people by name: list, add, remove.
    #[command(subcommand)]
    #[command(after_help = "Example:
  cairn wallet contact add --name landlord --address cairn1…")]
    Contact(book::ContactCommand),
    /// Look at an account whose key is elsewhere.
    #[command(after_help = "Example:
  cairn wallet watch --name cold --address cairn1…")]
    Watch(book::EntryArguments),
    /// Stop looking at an account.
    #[command(after_help = "Example:
  cairn wallet unwatch cold")]
    Unwatch {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Pay more for a transaction that waits, so that a block takes it.
    #[command(after_help = "Example:
  cairn wallet bump 5d1f… --wait")]
    Bump(replace::Arguments),
    /// Put nothing in the place of a transaction that waits.
    #[command(after_help = "Example:
  cairn wallet cancel 5d1f… --wait")]
    Cancel(replace::Arguments),
    /// Sign a text, to show that an account is yours.
    #[command(after_help = "Examples:
  cairn wallet sign --text \"I am the owner\"
  cairn wallet sign --from savings --file letter.txt")]
    Sign(message::SignArguments),
    /// Check that the owner of an account signed a text.
    #[command(after_help = "Example:
  cairn wallet verify --by cairn1… --text \"I am the owner\" --signature 01…")]
    Verify(message::VerifyArguments),
    /// Keep a wallet open for a while, so that no password is asked for.
    #[command(after_help = "Example:
  cairn wallet unlock --for 10m")]
    Unlock(unlocked::UnlockArguments),
    /// Lock the wallet again, or all that are open.
    #[command(after_help = "Example:
  cairn wallet lock")]
    Lock,
    /// Take another password.
    #[command(after_help = "Example:
  cairn wallet passwd")]
    Passwd(keys::PasswdArguments),
    /// Show the words again.
    #[command(after_help = "Example:
  cairn wallet words")]
    Words,
    /// Write a key file with the key of one account, for a program that needs one.
    #[command(after_help = "Example:
  cairn wallet export-key miner --output miner.key")]
    ExportKey(keys::ExportKeyArguments),
    /// Take the key of a key file into a wallet; there need not be one yet.
    #[command(after_help = "Example:
  cairn wallet import-key --key-file my.key --name old")]
    ImportKey(keys::ImportKeyArguments),
    /// Write a backup: everything, encrypted, in one file.
    #[command(after_help = "Example:
  cairn wallet export --output main.backup")]
    Export(backup::ExportArguments),
    /// Make a wallet of a backup.
    #[command(after_help = "Example:
  cairn wallet import --file main.backup")]
    Import(backup::ImportArguments),
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    let choice = &arguments.choice;
    match &arguments.command {
        Command::New(arguments) => create::new(arguments, choice, context),
        Command::Restore(arguments) => create::restore(arguments, choice, context),
        Command::Check(arguments) => create::check(arguments, choice, context),
        Command::List => show::list(context),
        Command::Show => show::show(choice, context),
        Command::Accounts => show::accounts(choice, context),
        Command::Address(arguments) => show::address(arguments, choice, context),
        Command::Request(arguments) => request::run(arguments, choice, context),
        Command::History(arguments) => history::run(arguments, choice, context),
        Command::Add(arguments) => keys::add(arguments, choice, context),
        Command::Rename(arguments) => keys::rename(arguments, choice, context),
        Command::Remove(arguments) => keys::remove(arguments, choice, context),
        Command::Default(arguments) => book::choose_default(arguments, choice, context),
        Command::Label(arguments) => book::label(arguments, choice, context),
        Command::Contact(command) => book::contact(command, choice, context),
        Command::Watch(arguments) => book::watch(arguments, choice, context),
        Command::Unwatch { name } => book::unwatch(name, choice, context),
        Command::Bump(arguments) => replace::run(arguments, replace::Way::Bump, choice, context),
        Command::Cancel(arguments) => replace::run(arguments, replace::Way::Cancel, choice, context),
        Command::Sign(arguments) => message::sign(arguments, choice, context),
        Command::Verify(arguments) => message::verify(arguments, choice, context),
        Command::Unlock(arguments) => unlocked::unlock(arguments, choice, context),
        Command::Lock => unlocked::lock(choice, context),
        Command::Passwd(arguments) => keys::change_password(arguments, choice, context),
        Command::Words => keys::words(choice, context),
        Command::ExportKey(arguments) => keys::export_key(arguments, choice, context),
        Command::ImportKey(arguments) => keys::import_key(arguments, choice, context),
        Command::Export(arguments) => backup::export(arguments, choice, context),
        Command::Import(arguments) => backup::import(arguments, choice, context),
    }
}
