//! Who pays: an account of a wallet, a key file, or a published development account.
//!
//! The account is known before its password is asked for, so that nobody types one for a payment
//! that cannot be made.

use super::open::{WalletChoice, people};
use super::unlocked;
use crate::cli::account::now_ms;
use crate::cli::context::Context;
use crate::cli::network::{Network, read_key};
use crate::cli::send::Signer;
use crate::failure::CliError;
use crate::output;
use cairn_core::address::Address;
use cairn_core::transaction::{Transaction, TransactionBody};
use cairn_wallet::{Name, PayerError, Recognised, SigningKey, Wallet, development_account};

/// Who pays.
#[derive(Debug)]
pub(crate) struct Payer {
    /// Who owns the coins.
    pub(crate) address: Address,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Key(Box<SigningKey>),
    Wallet(Box<Wallet>, Name),
}

/// What signs.
#[derive(Debug)]
pub(crate) enum Pen {
    /// A key in this process.
    Key(Box<SigningKey>),
    /// An account of a wallet that another process keeps unlocked.
    Unlocked(unlocked::Connection, Name),
}

impl Payer {
    /// Who pays: the one that was named, or the account of the wallet that pays where none is named.
    /// `network` learns the names of that wallet.
    pub(crate) fn find(
        signer: &Signer,
        choice: &WalletChoice,
        network: &mut Network,
        context: &Context,
    ) -> Result<Self, CliError> {
        let source = match (signer.from.as_deref(), signer.key_file.as_deref()) {
            (from, Some(file)) => {
                let key = read_key(file)?;
                super::open::introduce(network, context)?;
                if let Some(from) = from
                    && network.account(from)? != key.address()
                {
                    return network.signer(Some(from), Some(file)).map(Self::of_key);
                }
                Source::Key(Box::new(key))
            }
            (Some(from), None) => find_named(from, choice, network, context)?,
            // A file that the settings name is said, a wallet only lies there.
            (None, None) => match (signer.key_file(context), choice.at_hand(context)?) {
                (Some(file), _) => Source::Key(Box::new(read_key(&file)?)),
                (None, Some(wallet)) => {
                    let name = wallet.payer(None).map_err(|error| payer_failure(&error))?.name.clone();
                    Source::Wallet(Box::new(wallet), name)
                }
                (None, None) if choice.all(context)?.is_empty() => {
                    return network.signer(None, None).map(Self::of_key);
                }
                (None, None) => return Err(choice.undecided(context)),
            },
        };
        let address = match &source {
            Source::Key(key) => {
                super::open::introduce(network, context)?;
                key.address()
            }
            Source::Wallet(wallet, name) => {
                network.people = people(wallet, &network.prefix()?);
                wallet.payer(Some(name)).map_err(|error| payer_failure(&error))?.address
            }
        };
        Ok(Self { address, source })
    }

    fn of_key(key: SigningKey) -> Self {
        Self { address: key.address(), source: Source::Key(Box::new(key)) }
    }

    /// The wallet that the account is in.
    pub(crate) fn wallet(&self) -> Option<&Wallet> {
        match &self.source {
            Source::Wallet(wallet, _) => Some(wallet),
            Source::Key(_) => None,
        }
    }

    /// Warns where the chain is not the one that the wallet knows under its name.
    pub(crate) fn recognise(&self, network: &Network) {
        if let Some(wallet) = self.wallet() {
            warn_of_new_chain(wallet, network);
        }
    }

    /// What signs for the account; asks for the password if it must.
    pub(crate) fn pen(
        self,
        choice: &WalletChoice,
        context: &Context,
    ) -> Result<(Pen, Option<Box<Wallet>>), CliError> {
        match self.source {
            Source::Key(key) => Ok((Pen::Key(key), None)),
            Source::Wallet(wallet, name) => {
                if let Some(connection) = unlocked::connect(&wallet, context) {
                    return Ok((Pen::Unlocked(connection, name), Some(wallet)));
                }
                let key = choice.unlock(&wallet, context)?.signing_key(&name)?;
                Ok((Pen::Key(Box::new(key)), Some(wallet)))
            }
        }
    }
}

impl Pen {
    /// Signs a transaction for a network.
    pub(crate) fn sign(
        &mut self,
        body: &TransactionBody,
        network: &Network,
    ) -> Result<Transaction, CliError> {
        match self {
            Self::Key(key) => Ok(key.sign(body, &network.identity())),
            Self::Unlocked(connection, account) => connection.sign(account, body, &network.identity()),
        }
    }

    /// Signs a text for a network.
    pub(crate) fn sign_text(&mut self, text: &str, network: &Network) -> Result<String, CliError> {
        match self {
            Self::Key(key) => cairn_wallet::sign_message(key, &network.identity(), text)
                .map_err(|error| CliError::usage("bad-text", error.to_string())),
            Self::Unlocked(connection, account) => connection.sign_text(account, text, &network.identity()),
        }
    }
}

/// The account with a name: in a wallet first, then among the published ones.
fn find_named(
    from: &str,
    choice: &WalletChoice,
    network: &Network,
    context: &Context,
) -> Result<Source, CliError> {
    let prefix = network.prefix()?;
    let mut found = Vec::new();
    let mut without_key = None;
    let wallets = choice.all(context).or_else(|error| {
        // A wallet that is broken and was not named must not keep a published account from paying.
        if !network.devnet || development_account(from).is_none() || choice.named(context)?.is_some() {
            return Err(error);
        }
        output::warn(&format!("the names of the wallets are not known: {error}"));
        Ok(Vec::new())
    })?;
    for wallet in wallets {
        let accounts = wallet.keystore().map_or(&[][..], |keystore| keystore.accounts());
        let own = accounts.iter().find(|it| it.name.as_str() == from || it.address.to_text(&prefix) == from);
        match own.map(|account| account.name.clone()) {
            Some(name) => found.push((wallet, name)),
            None if wallet.book().entry(from).is_some() => without_key = Some(wallet.name().clone()),
            None => {}
        }
    }
    if found.len() > 1 {
        let wallets: Vec<&str> = found.iter().map(|(wallet, _)| wallet.name().as_str()).collect();
        let message = format!("`{from}` is an account of several wallets: {}", wallets.join(", "));
        return Err(CliError::usage("several-wallets", message).help("say which: `--wallet NAME`"));
    }
    if let Some((wallet, name)) = found.pop() {
        return Ok(Source::Wallet(Box::new(wallet), name));
    }
    if let Some(wallet) = without_key.filter(|_| !network.devnet || development_account(from).is_none()) {
        let message = format!("wallet {wallet} knows {from}, but not the key: it cannot sign");
        return Err(CliError::usage("no-key", message)
            .help("give the file that holds it, `--key-file FILE`, or sign where it is: `cairn tx build`"));
    }
    network.named_signer(from).map(|key| Source::Key(Box::new(key)))
}

fn payer_failure(error: &PayerError) -> CliError {
    let failure = CliError::usage("no-key", error.to_string());
    match error {
        PayerError::NoKeys => failure.help("say who pays: `--from NAME`, or `--key-file FILE`"),
        PayerError::Undecided { .. } => {
            failure.help("say who pays: `--from NAME`; or choose one for always: `cairn wallet default NAME`")
        }
        PayerError::Watched { .. } | PayerError::Unknown => {
            failure.help("`cairn wallet accounts` shows which there are")
        }
    }
}

/// Warns where the chain is not the one that the wallet knows under its name.
pub(super) fn warn_of_new_chain(wallet: &Wallet, network: &Network) {
    let Recognised::BegunAnew { earlier, last_seen } =
        wallet.book().recognise(&network.name, &network.identity())
    else {
        return;
    };
    let (ago, earlier) = (output::ago(now_ms(), last_seen.0), earlier.to_string());
    output::warn(&format!(
        "{} is not the chain that this wallet saw {ago}: it was begun anew, or another has its name\n\
         \x20 before: {earlier}\n\
         \x20 now:    {}\n\
         what was sent on the earlier one stays: `cairn wallet history --identity {earlier}`",
        network.name,
        network.identity(),
    ));
}
