//! Which wallet a command means, and what can be wrong with one, in words for people.

use super::ask::Source;
use crate::cli::context::Context;
use crate::cli::network::Network;
use crate::failure::CliError;
use crate::output;
use cairn_core::address::AddressPrefix;
use cairn_wallet::{
    AccountError, AccountKind, BookError, Entry, FileError, KeystoreError, Name, NetworkAddress, UnlockError,
    Unlocked, Wallet, WalletError,
};
use std::path::{Path, PathBuf};

/// How a wallet is opened; which one is a setting of every command.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct WalletChoice {
    /// The file with the wallet's password, readable by you alone; - for standard input. Left out, CAIRN_PASSWORD,
    /// or you are asked.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Where wallets are kept if no setting says otherwise.
pub(crate) fn default_directory(data: &Path) -> PathBuf {
    data.join("wallets")
}

/// Where wallets are kept.
pub(super) fn directory(context: &Context) -> PathBuf {
    let setting = context.settings.get("wallet_dir").map(PathBuf::from);
    setting.unwrap_or_else(|| default_directory(&context.directories.data))
}

/// Keeps secrets out of core dumps and debuggers of the same user, as far as the system does that.
pub(super) fn harden() {
    // A system that cannot do it still runs the command: the keystore does not depend on it.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}

impl WalletChoice {
    /// The name that a flag or a setting gives.
    pub(super) fn named(&self, context: &Context) -> Result<Option<Name>, CliError> {
        let text = context.settings.get("wallet");
        text.map(parse_name).transpose()
    }

    /// The wallet that is meant, which must be there.
    pub(super) fn open(&self, context: &Context) -> Result<Wallet, CliError> {
        self.at_hand(context)?.map_or_else(|| Err(self.undecided(context)), Ok)
    }

    /// The wallet that is meant; none if none is named and there is none, or more than one.
    pub(crate) fn at_hand(&self, context: &Context) -> Result<Option<Wallet>, CliError> {
        let directory = directory(context);
        let name = match self.named(context)? {
            Some(name) => name,
            None => match Wallet::names(&directory)?.as_slice() {
                [only] => only.clone(),
                _ => return Ok(None),
            },
        };
        Ok(Some(Wallet::open(&directory, name)?))
    }

    /// Every wallet that the flags leave open, to look for a name in.
    pub(super) fn all(&self, context: &Context) -> Result<Vec<Wallet>, CliError> {
        if let Some(wallet) = self.at_hand(context)? {
            return Ok(vec![wallet]);
        }
        let directory = directory(context);
        let names = Wallet::names(&directory)?;
        names.into_iter().map(|name| Ok(Wallet::open(&directory, name)?)).collect()
    }

    /// Why no wallet is meant.
    pub(super) fn undecided(&self, context: &Context) -> CliError {
        let names = Wallet::names(&directory(context)).unwrap_or_default();
        if names.is_empty() {
            return CliError::usage("no-wallet", "there is no wallet here")
                .help("make one: `cairn wallet new`; or bring one back: `cairn wallet restore`");
        }
        let list: Vec<&str> = names.iter().map(Name::as_str).collect();
        CliError::usage("several-wallets", format!("there are several wallets: {}", list.join(", ")))
            .help(format!("say which: `--wallet {}`", list.first().unwrap_or(&"NAME")))
    }

    /// Where the password of a wallet comes from.
    pub(super) fn password(&self, what: String, context: &Context) -> Source {
        let setting = || context.settings.get("password_file").map(PathBuf::from);
        // A variable with the password itself is nearer than a file in the settings.
        let is_set = std::env::var_os("CAIRN_PASSWORD").is_some();
        let file = self.password_file.clone().or_else(|| if is_set { None } else { setting() });
        Source { what, file, flag: "--password-file", variable: Some("CAIRN_PASSWORD") }
    }

    /// Opens the keys of a wallet with its password.
    pub(super) fn unlock(&self, wallet: &Wallet, context: &Context) -> Result<Unlocked, CliError> {
        let name = wallet.name();
        let keystore = wallet.keystore().ok_or_else(|| {
            CliError::failed("watch-only", format!("the wallet {name} only watches: its keys are not here"))
        })?;
        harden();
        let password = self.password(format!("the password of wallet {name}"), context).password()?;
        keystore.unlock(&password).map_err(|error| unlock_failure(&format!("wallet {name}"), &error))
    }
}

/// Reads a name of a wallet, an account or a contact.
pub(super) fn parse_name(text: &str) -> Result<Name, CliError> {
    text.parse().map_err(|error: cairn_wallet::NameError| {
        CliError::usage("bad-name", format!("`{}` is no name: {error}", output::short(text)))
    })
}

/// All that a wallet knows by a name, for a network with `prefix`.
pub(super) fn people(wallet: &Wallet, prefix: &AddressPrefix) -> Vec<Entry> {
    let accounts = wallet.accounts().into_iter().filter(|it| matches!(it.kind, AccountKind::Key(_)));
    let accounts = accounts
        .map(|it| Entry { name: it.name.clone(), address: NetworkAddress::new(it.address, prefix.clone()) });
    let book = wallet.book();
    accounts.chain(book.contacts().iter().cloned()).chain(book.watched().iter().cloned()).collect()
}

/// Lets a network know the names of the wallet at hand. A wallet that cannot be read is told of, and
/// nothing else depends on it.
pub(crate) fn introduce(network: &mut Network, context: &Context) -> Result<(), CliError> {
    match WalletChoice::default().at_hand(context) {
        Ok(Some(wallet)) => network.people = people(&wallet, &network.prefix()?),
        Ok(None) => {}
        Err(error) => output::warn(&format!("the names of the wallet are not known: {error}")),
    }
    Ok(())
}

/// Why a file with a secret, or for one, is refused.
pub(super) fn file_failure(file: &Path, error: &FileError) -> CliError {
    let name = file.display();
    let message = format!("{name}: {error}");
    match error {
        FileError::OpenToOthers { .. } => {
            CliError::usage("open-file", message).help(format!("chmod 600 {name}"))
        }
        FileError::Exists => CliError::failed("file-exists", message).help("give another name"),
        FileError::Changed => CliError::failed("wallet-changed", message).help("try it again"),
        _ => CliError::failed("wallet-file", message).because_of_source(error),
    }
}

/// Why keys do not open.
pub(super) fn unlock_failure(what: &str, error: &UnlockError) -> CliError {
    match error {
        UnlockError::WrongPassword => CliError::failed("wrong-password", format!("{what}: {error}"))
            .help("capitals count; without its password a wallet comes back from its words alone"),
        _ => CliError::failed("wallet-file", format!("{what}: {error}")).because_of_source(error),
    }
}

impl From<WalletError> for CliError {
    fn from(error: WalletError) -> Self {
        let message = error.to_string();
        match error {
            WalletError::NotFound { .. } => Self::usage("no-wallet", message)
                .help("`cairn wallet list` shows what is here; `cairn wallet new` makes one"),
            WalletError::Exists { name, .. } => Self::usage("wallet-exists", message)
                .help(format!("nothing was changed; give the new one another name: `--wallet {name}2`")),
            WalletError::File { path, error } => file_failure(&path, &error),
            WalletError::Keystore { error: error @ KeystoreError::Version { .. }, .. } => {
                Self::failed("wallet-file", message).because(&error).help("nothing was changed")
            }
            WalletError::Keystore { error, .. } => Self::failed("wallet-file", message).because(&error).help(
                "nothing was changed: restore the wallet from a backup or its words under another name",
            ),
            WalletError::Book { error, .. } => Self::failed("wallet-file", message)
                .because(&error)
                .help("names and notes are in this file, no keys: move it away, and the wallet opens"),
            WalletError::Entry(error) => error.into(),
            WalletError::NameTaken { .. } => Self::usage("name-taken", message),
            error => Self::failed("wallet-failed", message).because_of_source(&error),
        }
    }
}

impl From<BookError> for CliError {
    fn from(error: BookError) -> Self {
        let message = error.to_string();
        match error {
            BookError::NameTaken { .. } => Self::usage("name-taken", message).help("give another name"),
            BookError::Unknown { .. } => {
                Self::usage("unknown-name", message).help("`cairn wallet contact list` shows who is")
            }
            BookError::Address(_) | BookError::Prefix(_) => {
                Self::usage("bad-address", format!("this is no address: {message}"))
                    .help("copy the address anew: it is not noted")
            }
            BookError::Text(_) => Self::usage("bad-text", message),
            error => Self::failed("wallet-failed", message).because_of_source(&error),
        }
    }
}

impl From<AccountError> for CliError {
    fn from(error: AccountError) -> Self {
        let message = error.to_string();
        match error {
            AccountError::Unknown { .. } => {
                Self::usage("unknown-account", message).help("`cairn wallet accounts` shows which there are")
            }
            AccountError::NameTaken { .. } | AccountError::KeyTaken { .. } => {
                Self::usage("name-taken", message)
            }
            AccountError::NoWords => Self::failed("no-words", message)
                .help("it holds single keys: add one with `cairn wallet import-key`"),
            error => Self::failed("wallet-failed", message).because_of_source(&error),
        }
    }
}
