//! `cairn wallet export` and `import`: a wallet in one encrypted file, and back.

use super::ask::Source;
use super::create::refuse_existing;
use super::open::{WalletChoice, directory, file_failure, harden, parse_name, unlock_failure};
use crate::cli::context::Context;
use crate::failure::CliError;
use crate::output::{self, plural};
use cairn_wallet::{
    BACKUP_BYTES_MAX, PasswordCost, RestoreError, Wallet, check_backup, read_backup, read_private_file,
    write_backup, write_private_file,
};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArguments {
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The file with the backup's own password, readable by you alone. Left out, CAIRN_BACKUP_PASSWORD,
    /// or you are asked.
    #[arg(long, value_name = "FILE")]
    backup_password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// The backup.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The file with the backup's password, readable by you alone. Left out, CAIRN_BACKUP_PASSWORD, or you
    /// are asked.
    #[arg(long, value_name = "FILE")]
    backup_password_file: Option<PathBuf>,
    /// Only say whether the file is whole, without a password.
    #[arg(long)]
    check: bool,
}

/// `cairn wallet export`.
pub(super) fn export(
    arguments: &ExportArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let keys = choice.unlock(&wallet, context)?;
    let password =
        source("a password for the backup", arguments.backup_password_file.as_ref()).new_password()?;
    let json = write_backup(&keys, wallet.book(), &password, PasswordCost::DEFAULT)
        .map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
    // What cannot be read back is no backup.
    let checked =
        read_backup(&json, &password).map_err(|error| restore_failure(&arguments.output, &error))?;
    write_private_file(&arguments.output, &json).map_err(|error| file_failure(&arguments.output, &error))?;
    let accounts = checked.0.accounts().len() as u64;
    if context.json {
        output::print_json(&json!({
            "wallet": wallet.name().as_str(), "backup": arguments.output, "accounts": accounts, "bytes": json.len(),
        }));
    } else {
        let file = arguments.output.display();
        output::note(&format!("{} backed up in {file}, and read back", plural(accounts, "account")));
    }
    Ok(())
}

/// `cairn wallet import`.
pub(super) fn import(
    arguments: &ImportArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let file = &arguments.file;
    let json = read_private_file(file, BACKUP_BYTES_MAX).map_err(|error| file_failure(file, &error))?;
    if arguments.check {
        check_backup(&json).map_err(|error| restore_failure(file, &RestoreError::File(error)))?;
        if context.json {
            output::print_json(&json!({ "backup": file, "whole": true }));
        } else {
            output::print_line(&format!("{} is whole", file.display()));
        }
        return Ok(());
    }
    let name = choice.named(context)?.map_or_else(|| parse_name("main"), Ok)?;
    refuse_existing(&name, context)?;
    check_backup(&json).map_err(|error| restore_failure(file, &RestoreError::File(error)))?;
    harden();
    let opening = source("the password of the backup", arguments.backup_password_file.as_ref()).password()?;
    let (mut keys, book) = read_backup(&json, &opening).map_err(|error| restore_failure(file, &error))?;
    let password = choice.password(format!("a new password for wallet {name}"), context).new_password()?;
    keys.change_password(&password, PasswordCost::DEFAULT)
        .map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
    let wallet = Wallet::create(&directory(context), name, Some(&keys), book)?;
    let accounts = wallet.accounts().len() as u64;
    if context.json {
        output::print_json(&json!({
            "wallet": wallet.name().as_str(), "keystore": wallet.keystore_path(), "accounts": accounts,
        }));
    } else {
        output::note(&format!("wallet {} has {}", wallet.name(), plural(accounts, "account")));
    }
    Ok(())
}

fn source(what: &str, file: Option<&PathBuf>) -> Source {
    Source {
        what: what.to_owned(),
        file: file.cloned(),
        flag: "--backup-password-file",
        variable: Some("CAIRN_BACKUP_PASSWORD"),
    }
}

fn restore_failure(file: &std::path::Path, error: &RestoreError) -> CliError {
    let name = file.display();
    match error {
        RestoreError::Unlock(error) => unlock_failure(&format!("the backup {name}"), error),
        error => CliError::failed("bad-backup", format!("{name}: {error}")).because_of_source(error),
    }
}
