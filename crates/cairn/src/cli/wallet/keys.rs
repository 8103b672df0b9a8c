//! `cairn wallet add`, `rename`, `remove`, `passwd`, `words`, `export-key` and `import-key`: what needs the keys.

use super::ask;
use super::create::{Place, path_of, refuse_existing, show_words};
use super::open::{WalletChoice, directory, file_failure, harden, parse_name};
use super::screen::show_apart;
use super::unlocked;
use crate::cli::context::Context;
use crate::failure::CliError;
use crate::output::{self, Facts, Style};
use cairn_wallet::{
    Book, KeyFileError, Name, Origin, PasswordCost, Unlocked, Wallet, read_key_seed, write_private_file,
};
use serde_json::json;
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(Debug, clap::Args)]
pub(crate) struct AddArguments {
    /// The name of the account.
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RenameArguments {
    /// The account.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// The new name.
    #[arg(long, value_name = "NAME")]
    to: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArguments {
    /// The account.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Do not ask whether it is meant.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PasswdArguments {
    /// The file with the new password, readable by you alone. Left out, CAIRN_NEW_PASSWORD, or you are asked.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportKeyArguments {
    /// The account.
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// The key file to write, for you alone.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportKeyArguments {
    /// The key file: 64 hexadecimal digits, readable by you alone.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// The name of the account.
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: Place,
}

/// `cairn wallet add`.
pub(super) fn add(
    arguments: &AddArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    let name = parse_name(&arguments.name)?;
    wallet.check_free(&name)?;
    let coin = arguments.place.coin(context)?;
    let mut keys = choice.unlock(&wallet, context)?;
    keys.add(name.clone(), coin.coin_type)?;
    save(&mut wallet, &keys, context)?;
    tell_account(&wallet, &name, &coin.prefix, context.json)
}

/// `cairn wallet rename`.
pub(super) fn rename(
    arguments: &RenameArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    let (old, new) = (parse_name(&arguments.account)?, parse_name(&arguments.to)?);
    wallet.check_free(&new)?;
    let mut keys = choice.unlock(&wallet, context)?;
    keys.rename(&old, new.clone())?;
    save(&mut wallet, &keys, context)?;
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "account": new.as_str() }));
    } else {
        output::note(&format!("{old} is called {new} now"));
    }
    Ok(())
}

/// `cairn wallet remove`.
pub(super) fn remove(
    arguments: &RemoveArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    let name = parse_name(&arguments.account)?;
    let account = wallet.keystore().and_then(|keystore| keystore.account(&name)).cloned();
    let account = account.ok_or_else(|| {
        CliError::usage("unknown-account", format!("wallet {} has no account {name}", wallet.name()))
            .help("`cairn wallet accounts` shows which there are; `unwatch` and `contact remove` are for the others")
    })?;
    let loss = match account.origin {
        Origin::Derived(_) => "its key comes from the words, and `cairn wallet restore` brings it back",
        Origin::Imported => {
            "its key is in no words: without a key file or a backup its coins are gone for good"
        }
    };
    if !arguments.yes {
        confirm(&name, loss)?;
    }
    let mut keys = choice.unlock(&wallet, context)?;
    keys.remove(&name)?;
    save(&mut wallet, &keys, context)?;
    if wallet.book().default_account() == Some(account.address) {
        wallet.change_book(|book| {
            book.set_default_account(None);
            Ok(())
        })?;
    }
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "removed": name.as_str() }));
    } else {
        output::note(&format!("{name} is removed"));
    }
    Ok(())
}

/// Has a person type a name, to show that it is meant.
fn confirm(name: &Name, loss: &str) -> Result<(), CliError> {
    if !ask::somebody_is_there() {
        return Err(CliError::usage("not-confirmed", format!("{name} is to be removed: {loss}"))
            .help("say that it is meant: --yes"));
    }
    output::warn(&format!("{name} is to be removed: {loss}"));
    let typed = ask::line("type its name if that is meant: ")?;
    if typed.is_some_and(|typed| typed.trim() == name.as_str()) {
        return Ok(());
    }
    Err(CliError::failed("not-confirmed", "nothing was removed"))
}

/// `cairn wallet passwd`.
pub(super) fn change_password(
    arguments: &PasswdArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let mut wallet = choice.open(context)?;
    let mut keys = choice.unlock(&wallet, context)?;
    let source = super::ask::Source {
        what: format!("the new password of wallet {}", wallet.name()),
        file: arguments.new_password_file.clone(),
        flag: "--new-password-file",
        variable: Some("CAIRN_NEW_PASSWORD"),
    };
    keys.change_password(&source.new_password()?, PasswordCost::DEFAULT)
        .map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
    save(&mut wallet, &keys, context)?;
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "password": "changed" }));
    } else {
        output::note("the password is changed; copies of the file made before still open with the old one");
    }
    Ok(())
}

/// `cairn wallet words`.
pub(super) fn words(choice: &WalletChoice, context: &Context) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let keys = choice.unlock(&wallet, context)?;
    let phrase = keys.phrase().ok_or_else(|| {
        CliError::failed("no-words", format!("wallet {} holds single keys, no words", wallet.name()))
            .help("back it up with `cairn wallet export`")
    })?;
    let words: Vec<&str> = phrase.words().collect();
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "words": words }));
    } else {
        show_apart(|| show_words(&words))?;
    }
    Ok(())
}

/// `cairn wallet export-key`.
pub(super) fn export_key(
    arguments: &ExportKeyArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let account = parse_name(&arguments.account)?;
    let keys = choice.unlock(&wallet, context)?;
    let digits = keys.key_digits(&account)?;
    let mut text = Zeroizing::new(Vec::with_capacity(digits.len() + 1));
    text.extend_from_slice(digits.as_bytes());
    text.push(b'\n');
    write_private_file(&arguments.output, &text).map_err(|error| file_failure(&arguments.output, &error))?;
    if context.json {
        output::print_json(&json!({ "account": account.as_str(), "key_file": arguments.output }));
    } else {
        let file = arguments.output.display();
        output::warn(&format!(
            "{file} holds the key of {account} in the clear: whoever reads it has the coins"
        ));
    }
    Ok(())
}

/// `cairn wallet import-key`.
pub(super) fn import_key(
    arguments: &ImportKeyArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let name = parse_name(&arguments.name)?;
    harden();
    let seed =
        read_key_seed(&arguments.key_file).map_err(|error| key_failure(&arguments.key_file, &error))?;
    let there = choice.at_hand(context);
    let is_new = match (&there, choice.named(context)?) {
        (Ok(Some(_)), _) => false,
        // None is named and several are there: which one is meant must be said.
        (Ok(None), None) => choice.all(context)?.is_empty(),
        (_, Some(named)) => !Wallet::names(&directory(context))?.contains(&named),
        (Err(_), None) => false,
    };
    let coin = arguments.place.coin(context)?;
    let wallet = if is_new {
        let wallet_name = choice.named(context)?.map_or_else(|| parse_name("main"), Ok)?;
        refuse_existing(&wallet_name, context)?;
        let password =
            choice.password(format!("a new password for wallet {wallet_name}"), context).new_password()?;
        let mut keys = Unlocked::without_words(&password, PasswordCost::DEFAULT)
            .map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
        keys.import(name.clone(), &seed)?;
        Wallet::create(&directory(context), wallet_name, Some(&keys), Book::default())?
    } else {
        let mut wallet = choice.open(context)?;
        wallet.check_free(&name)?;
        let mut keys = choice.unlock(&wallet, context)?;
        keys.import(name.clone(), &seed)?;
        save(&mut wallet, &keys, context)?;
        wallet
    };
    if !context.json {
        output::note("words do not bring this key back: make a backup with `cairn wallet export`");
    }
    tell_account(&wallet, &name, &coin.prefix, context.json)
}

/// Writes the keys. A process that keeps the wallet open knows the old ones, so it is ended.
fn save(wallet: &mut Wallet, keys: &Unlocked, context: &Context) -> Result<(), CliError> {
    wallet.save_keys(keys)?;
    unlocked::lock_one(wallet, context);
    Ok(())
}

fn tell_account(
    wallet: &Wallet,
    name: &Name,
    prefix: &cairn_core::address::AddressPrefix,
    json: bool,
) -> Result<(), CliError> {
    let account =
        wallet.payer(Some(name)).map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
    let (address, path) = (account.address.to_text(prefix), path_of(wallet, name));
    if json {
        output::print_json(&json!({
            "wallet": wallet.name().as_str(), "account": name.as_str(), "address": address, "path": path,
        }));
        return Ok(());
    }
    let mut facts = Facts::default();
    facts.styled("account", Style::Name, name.to_string());
    facts.add("address", address);
    facts.add("key", path.unwrap_or_else(|| "imported".to_owned()));
    facts.print();
    Ok(())
}

fn key_failure(file: &std::path::Path, error: &KeyFileError) -> CliError {
    let failure = CliError::usage("bad-key-file", format!("{}: {error}", file.display()));
    match error {
        KeyFileError::OpenToOthers { .. } => failure.help(format!("chmod 600 {}", file.display())),
        _ => failure.help("a key file holds 64 hexadecimal digits: the seed of an ed25519 key (RFC 8032)"),
    }
}
