//! `cairn wallet new`, `restore` and `check`: words that become a wallet, and words that are tried.

use super::ask::{self, Source, somebody_is_there};
use super::open::{WalletChoice, directory, harden, parse_name};
use super::screen::show_apart;
use crate::cli::context::Context;
use crate::cli::network::Network;
use crate::failure::CliError;
use crate::output::{self, Facts, Style, grouped, plural};
use cairn_core::address::{Address, AddressPrefix};
use cairn_wallet::{
    Book, DerivationPath, KeyAccount, Mnemonic, MnemonicError, Name, Origin, PHRASE_BYTES_MAX, PasswordCost,
    Seed, Unlocked, Wallet,
};
use serde_json::json;
use std::path::PathBuf;

/// What a wallet and its first account are called where nobody says otherwise.
const MAIN: &str = "main";
/// How many words are asked for, to see that all were written down.
const WORDS_ASKED: usize = 3;
/// How often a wrong word may be typed.
const TRIES: usize = 3;
/// How many accounts in a row that were never used end the search for used ones (BIP-44 has 20, for
/// addresses that are used once; accounts are used again and again).
const GAP: u32 = 5;

/// What the network decides about keys, where no node is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The genesis file of the network, which says the coin type and how addresses begin; left out, the
    /// node is asked, if one runs.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArguments {
    /// The name of the first account.
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    account: String,
    /// Ask for a passphrase that belongs to the words: without it they open other, empty accounts.
    #[arg(long)]
    passphrase: bool,
    /// The file with that passphrase, readable by you alone.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Make a wallet without keys, which only watches.
    #[arg(long, conflicts_with_all = ["passphrase", "passphrase_file"])]
    watch_only: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArguments {
    /// The file with the words, readable by you alone; - for standard input. Left out, you are asked.
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,
    /// Ask for the passphrase that belongs to the words.
    #[arg(long)]
    passphrase: bool,
    /// The file with that passphrase, readable by you alone.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// How many accounts to add; left out, those that were used, which a node knows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    accounts: Option<u32>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArguments {
    /// The file with the words, readable by you alone; - for standard input. Left out, you are asked.
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,
    /// Ask for the passphrase that belongs to the words.
    #[arg(long)]
    passphrase: bool,
    /// The file with that passphrase, readable by you alone.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Coin type and prefix, and who said them.
#[derive(Debug)]
pub(super) struct Coin {
    pub(super) coin_type: u32,
    pub(super) prefix: AddressPrefix,
    /// The node, where one was asked.
    client: Option<crate::client::Client>,
}

impl Place {
    /// Asks genesis, or the node, or takes the defaults where there is neither.
    pub(super) fn coin(&self, context: &Context) -> Result<Coin, CliError> {
        if let Some(file) = &self.genesis {
            let genesis = crate::cli::genesis::read(file)?;
            let names = &genesis.section().network;
            return Ok(Coin { coin_type: names.coin_type, prefix: names.prefix.clone(), client: None });
        }
        let asked = context.client().and_then(|client| {
            let status = context.block_on(Network::ask(&client))?;
            Ok((client, status))
        });
        match asked {
            Ok((client, (network, status))) => {
                Ok(Coin { coin_type: status.coin_type, prefix: network.prefix()?, client: Some(client) })
            }
            // Several nodes, or one that was named and does not answer: guessing would hide the mistake.
            Err(error) if error.code() != "no-node" || context.settings.get("node").is_some() => Err(error),
            Err(_) => {
                output::note(
                    "no node runs here: coin type 1, and addresses as they begin by default (cairn1…)",
                );
                let prefix = AddressPrefix::new("cairn").expect("this is a prefix");
                Ok(Coin { coin_type: 1, prefix, client: None })
            }
        }
    }
}

/// `cairn wallet new`.
pub(super) fn new(
    arguments: &NewArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let (name, directory) = (name_of_new(choice, context)?, directory(context));
    if arguments.watch_only {
        let wallet = Wallet::create(&directory, name, None, Book::default())?;
        return tell_made(&wallet, None, None, context);
    }
    let account = parse_name(&arguments.account)?;
    refuse_existing(&name, context)?;
    let coin = arguments.place.coin(context)?;
    harden();
    let phrase = Mnemonic::generate().map_err(|error| no_chance(&error))?;
    let passphrase = passphrase(arguments.passphrase, arguments.passphrase_file.as_ref(), true)?;
    let seed = phrase.seed(&passphrase).map_err(|error| phrase_failure(&error))?;
    let password = choice.password(format!("a new password for wallet {name}"), context).new_password()?;
    let words: Vec<&'static str> = phrase.words().collect();
    if !context.json {
        show_apart(|| show_words(&words))?;
        if somebody_is_there() {
            ask_for_words(&phrase)?;
        } else {
            output::note("write them down, then try them: `cairn wallet check`");
        }
    }
    let mut keys = Unlocked::from_words(phrase, seed, &password, PasswordCost::DEFAULT)
        .map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
    keys.add(account, coin.coin_type)?;
    let wallet = Wallet::create(&directory, name, Some(&keys), Book::default())?;
    tell_made(&wallet, Some(&coin), context.json.then_some(words.as_slice()), context)
}

/// `cairn wallet restore`.
pub(super) fn restore(
    arguments: &RestoreArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let name = name_of_new(choice, context)?;
    refuse_existing(&name, context)?;
    let coin = arguments.place.coin(context)?;
    harden();
    let (phrase, seed) =
        read_words(arguments.words_file.as_ref(), arguments.passphrase, arguments.passphrase_file.as_ref())?;
    let password = choice.password(format!("a new password for wallet {name}"), context).new_password()?;
    let mut keys = Unlocked::from_words(phrase, seed, &password, PasswordCost::DEFAULT)
        .map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
    let count = match (arguments.accounts, &coin.client) {
        (Some(count), _) => count,
        (None, Some(client)) => count_used(&keys, &coin, client, context)?.max(1),
        (None, None) => {
            output::note("no node says which accounts were used: one is added, `cairn wallet add` adds more");
            1
        }
    };
    for index in 0..count {
        let account = if index == 0 { MAIN.to_owned() } else { format!("account-{index}") };
        keys.add(parse_name(&account)?, coin.coin_type)?;
    }
    let wallet = Wallet::create(&directory(context), name, Some(&keys), Book::default())?;
    tell_made(&wallet, Some(&coin), None, context)
}

/// `cairn wallet check`: whether words are those of a wallet. Needs no password.
pub(super) fn check(
    arguments: &CheckArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let derived = |account: &KeyAccount| match account.origin {
        Origin::Derived(path) => Some((path, account.address)),
        Origin::Imported => None,
    };
    let accounts = wallet.keystore().map_or(&[][..], |keystore| keystore.accounts());
    let Some((path, expected)) = accounts.iter().find_map(derived) else {
        let message = format!("wallet {} has no account that comes from words", wallet.name());
        return Err(CliError::usage("no-words", message));
    };
    harden();
    let (_, seed) =
        read_words(arguments.words_file.as_ref(), arguments.passphrase, arguments.passphrase_file.as_ref())?;
    if path.derive(&seed).address() != expected {
        let message = format!("these are words, but not those of wallet {}", wallet.name());
        return Err(CliError::failed("other-words", message)
            .help("does a passphrase belong to them? `--passphrase` asks for it"));
    }
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "words": "right" }));
    } else {
        output::print_line(&format!("these are the words of wallet {}", wallet.name()));
    }
    Ok(())
}

/// How many accounts must be added so that all are there that were ever used.
fn count_used(
    keys: &Unlocked,
    coin: &Coin,
    client: &crate::client::Client,
    context: &Context,
) -> Result<u32, CliError> {
    output::note("looking for accounts that were used");
    context.block_on(async {
        let (mut count, mut index, mut unused) = (0, 0, 0);
        while unused < GAP {
            let path = DerivationPath::new(coin.coin_type, index)
                .map_err(|error| CliError::failed("wallet-failed", error.to_string()))?;
            let address = keys.address_at(path)?.to_text(&coin.prefix);
            let account: crate::api::views::AccountView =
                client.get(&format!("/v1/accounts/{address}")).await?;
            index += 1;
            if account.balance.0 > 0 || account.nonce > 0 {
                (count, unused) = (index, 0);
            } else {
                unused += 1;
            }
        }
        Ok(count)
    })
}

fn name_of_new(choice: &WalletChoice, context: &Context) -> Result<Name, CliError> {
    Ok(match choice.named(context)? {
        Some(name) => name,
        None => parse_name(MAIN)?,
    })
}

/// Asks nobody for anything if the wallet is there already.
pub(super) fn refuse_existing(name: &Name, context: &Context) -> Result<(), CliError> {
    let directory = directory(context);
    if Wallet::names(&directory)?.contains(name) {
        return Err(cairn_wallet::WalletError::Exists { name: name.clone(), directory }.into());
    }
    Ok(())
}

fn passphrase(ask: bool, file: Option<&PathBuf>, is_new: bool) -> Result<ask::SecretText, CliError> {
    if !ask && file.is_none() {
        return Ok(ask::SecretText::default());
    }
    let source = Source {
        what: "the passphrase of the words".to_owned(),
        file: file.cloned(),
        flag: "--passphrase-file",
        variable: None,
    };
    let text = source.text()?;
    if is_new && file.is_none() && *source.text()? != *text {
        return Err(CliError::usage("password-differs", "the second time it was another")
            .help("nothing was made: try it again"));
    }
    Ok(text)
}

fn read_words(
    file: Option<&PathBuf>,
    ask_passphrase: bool,
    passphrase_file: Option<&PathBuf>,
) -> Result<(Mnemonic, Seed), CliError> {
    let text = match file {
        Some(file) => ask::read_secret(file, PHRASE_BYTES_MAX)?,
        None => ask_words()?,
    };
    let phrase = Mnemonic::parse(&text).map_err(|error| phrase_failure(&error))?;
    let passphrase = passphrase(ask_passphrase, passphrase_file, false)?;
    let seed = phrase.seed(&passphrase).map_err(|error| phrase_failure(&error))?;
    Ok((phrase, seed))
}

fn ask_words() -> Result<ask::SecretText, CliError> {
    if !somebody_is_there() {
        return Err(CliError::usage("no-words", "the words are needed, and nobody is here to type them")
            .help("name a file that holds them, readable by you alone: `--words-file FILE`, or - for standard input"));
    }
    output::note("the words, in one line or in several; an empty line ends them:");
    let mut text = ask::SecretText::new(String::with_capacity(2 * PHRASE_BYTES_MAX));
    while text.split_whitespace().count() < 24 && text.len() < PHRASE_BYTES_MAX {
        match ask::line("> ")? {
            Some(line) if !line.trim().is_empty() => {
                text.push(' ');
                text.push_str(&line);
            }
            _ => break,
        }
    }
    Ok(text)
}

/// Asks for some of the words, so that a wallet is only made once they are written down.
fn ask_for_words(phrase: &Mnemonic) -> Result<(), CliError> {
    let places = phrase.draw_places(WORDS_ASKED).map_err(|error| no_chance(&error))?;
    let mut wrong = 0;
    for place in places {
        loop {
            let typed = ask::line(&format!("word {place}: "))?;
            if typed.is_some_and(|word| phrase.has_word(place, &word)) {
                break;
            }
            wrong += 1;
            if wrong >= TRIES {
                return Err(CliError::failed(
                    "words-not-noted",
                    "these are not the words: no wallet was made",
                )
                .help("write all words down, then begin again: `cairn wallet new`"));
            }
            output::note("this is another word: look at what you wrote down");
        }
    }
    Ok(())
}

/// Four words a line, numbered down the columns as people write them.
pub(super) fn show_words(words: &[&str]) {
    const COLUMNS: usize = 4;
    let colours = output::colours_on_stdout();
    let rows = words.len().div_ceil(COLUMNS);
    output::note(
        "These words are the wallet: whoever has them has its coins.\nWrite them on paper, in order.\n",
    );
    for row in 0..rows {
        let mut line = String::new();
        for (place, word) in words.iter().enumerate().skip(row).step_by(rows) {
            let number = Style::Faint.paint(&format!("{:>4} ", place + 1), colours);
            line.push_str(&format!("{number}{}", Style::Strong.paint(&format!("{word:<12}"), colours)));
        }
        output::print_line(line.trim_end());
    }
    output::note("");
}

fn tell_made(
    wallet: &Wallet,
    coin: Option<&Coin>,
    words: Option<&[&str]>,
    context: &Context,
) -> Result<(), CliError> {
    let text = |address: &Address| coin.map(|coin| address.to_text(&coin.prefix));
    let accounts = wallet.accounts();
    if context.json {
        let accounts: Vec<_> = accounts
            .iter()
            .map(|it| json!({ "name": it.name.as_str(), "address": text(&it.address), "path": path_of(wallet, it.name) }))
            .collect();
        let mut value = json!({ "wallet": wallet.name().as_str(), "accounts": accounts });
        if let (Some(words), Some(fields)) = (words, value.as_object_mut()) {
            fields.insert("words".to_owned(), json!(words));
        }
        output::print_json(&value);
        return Ok(());
    }
    let mut facts = Facts::default();
    facts.styled("wallet", Style::Strong, wallet.name().to_string());
    for account in &accounts {
        facts.styled("account", Style::Name, account.name.to_string());
        facts.add("address", text(&account.address).unwrap_or_default());
    }
    if wallet.keystore().is_none() {
        facts.add("keys", "none: it only watches");
    }
    facts.add(
        "kept in",
        wallet
            .keystore()
            .map_or_else(|| wallet.book_path(), |_| wallet.keystore_path())
            .display()
            .to_string(),
    );
    facts.print();
    if accounts.len() > 1 {
        output::note(&format!("{} found", plural(accounts.len() as u64, "account")));
    }
    Ok(())
}

/// The derivation path of an account; none if its key was imported.
pub(super) fn path_of(wallet: &Wallet, name: &Name) -> Option<String> {
    match wallet.keystore()?.account(name)?.origin {
        Origin::Derived(path) => Some(path.to_string()),
        Origin::Imported => None,
    }
}

fn no_chance(error: &dyn std::error::Error) -> CliError {
    CliError::failed("no-chance", "no words can be drawn").because(error)
}

fn phrase_failure(error: &MnemonicError) -> CliError {
    let failure = CliError::usage("bad-words", error.to_string());
    match error {
        MnemonicError::WordCount { found } => {
            failure.help(format!("{} were read: is a line missing?", grouped(*found as u64)))
        }
        MnemonicError::Checksum => failure.help("compare each word and their order with what you wrote down"),
        _ => failure,
    }
}
