//! `cairn account`: what an account owns, now or earlier, and what changed it.

mod history;
mod proof;

use super::context::Context;
use super::network::{Network, read_key};
use super::wallet::introduce;
use crate::api::views::{AccountEntry, AccountProof, AccountView};
use crate::failure::CliError;
use crate::output::{self, Facts, Style, grouped};
use crate::values::parse_count;
use cairn_core::address::AddressPrefix;
use cairn_wallet::SigningKey;
use serde_json::json;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn account alice
  cairn account cairn1… --history
  cairn account alice --at 100
  cairn account --key-file my.key
  cairn account --key-file my.key --genesis mycoin.toml

With --genesis or --prefix no node is asked: the address of a key is known before its network runs.")]
pub(crate) struct Arguments {
    /// An address, a name of the wallet, or a name on a development network.
    #[arg(value_name = "NAME|ADDRESS", required_unless_present = "key_file", conflicts_with = "key_file")]
    account: Option<String>,
    /// The account that the key in this file owns.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Ask no node, but show the address on the network of this genesis file.
    #[arg(long, value_name = "FILE", requires = "key_file", conflicts_with_all = ["account", "prefix", "at", "history", "proof"])]
    genesis: Option<PathBuf>,
    /// Ask no node, but show the address with this prefix, such as cairn.
    #[arg(long, value_name = "PREFIX", requires = "key_file", conflicts_with_all = ["account", "at", "history", "proof"])]
    prefix: Option<String>,
    /// As it was after the block at this height.
    #[arg(long, value_name = "HEIGHT", allow_negative_numbers = true, value_parser = parse_count, conflicts_with_all = ["history", "proof"])]
    at: Option<u64>,
    /// What changed it, newest first.
    #[arg(long, conflicts_with = "proof")]
    history: bool,
    /// How many changes to show, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "history", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only changes before this one: a cursor that an earlier answer gave, or a height.
    #[arg(long, value_name = "CURSOR", requires = "history")]
    before: Option<String>,
    /// The proof of what it owns, up to the header of the newest block.
    #[arg(long)]
    proof: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    if let (Some(file), Some(prefix)) = (&arguments.key_file, offline_prefix(arguments)?) {
        show_key(&read_key(file)?, &prefix, context.json);
        return Ok(());
    }
    let client = context.client()?;
    context.block_on(async {
        let (mut network, _) = Network::ask(&client).await?;
        introduce(&mut network, context)?;
        let (address, key) = match (&arguments.key_file, &arguments.account) {
            (Some(file), _) => {
                let key = read_key(file)?;
                (key.address(), Some(const_hex::encode(key.public_bytes())))
            }
            (None, Some(account)) => (network.account(account)?, None),
            (None, None) => return Err(CliError::usage("usage", "an account is expected")),
        };
        let text = address.to_text(&network.prefix()?);
        let path = format!("/v1/accounts/{text}");
        if arguments.proof {
            let proven: AccountProof = client.get(&format!("{path}/proof")).await?;
            if context.json {
                output::print_json(&proven);
                return Ok(());
            }
            return proof::show(&proven, &address, &network);
        }
        if arguments.history {
            let before = arguments.before.as_deref().unwrap_or_default();
            if !before.chars().all(|it| it.is_ascii_digit() || it == '.') {
                return Err(CliError::usage("bad-cursor", format!("`{before}` is no cursor"))
                    .help("give what the end of an earlier answer said, or a height"));
            }
            let before = if before.is_empty() { String::new() } else { format!("&before={before}") };
            let path = format!("{path}/transactions?limit={}{before}", arguments.limit);
            let entries: Vec<AccountEntry> = client.get(&path).await?;
            if context.json {
                output::print_json(&entries);
                return Ok(());
            }
            let is_full = entries.len() as u64 >= u64::from(arguments.limit);
            return history::show(&entries, is_full, &text, &client, &network).await;
        }
        let at = arguments.at.map_or_else(String::new, |height| format!("?at={height}"));
        let account: AccountView = client.get(&format!("{path}{at}")).await?;
        show(&account, key.as_deref(), &network, context.json);
        Ok(())
    })
}

/// How addresses begin, where the flags say so.
fn offline_prefix(arguments: &Arguments) -> Result<Option<AddressPrefix>, CliError> {
    if let Some(file) = &arguments.genesis {
        return Ok(Some(super::genesis::read(file)?.section().network.prefix.clone()));
    }
    let read = |text: &String| {
        AddressPrefix::new(text).map_err(|error| {
            CliError::usage("bad-prefix", format!("`{text}` cannot begin addresses")).because(&error)
        })
    };
    arguments.prefix.as_ref().map(read).transpose()
}

/// The address of a key, and nothing that only a node knows.
fn show_key(key: &SigningKey, prefix: &AddressPrefix, json: bool) {
    let (address, public_key) = (key.address().to_text(prefix), const_hex::encode(key.public_bytes()));
    if json {
        output::print_json(&json!({ "address": address, "public_key": public_key }));
        return;
    }
    let mut facts = Facts::default();
    facts.add("address", address);
    facts.add("public key", public_key);
    facts.print();
}

fn show(account: &AccountView, key: Option<&str>, network: &Network, json: bool) {
    if json {
        let mut value = json!(account);
        if let (Some(key), Some(fields)) = (key, value.as_object_mut()) {
            fields.insert("public_key".to_owned(), json!(key));
        }
        output::print_json(&value);
        return;
    }
    let mut facts = Facts::default();
    let name = network.development_name(&account.address);
    if let Some(name) = name {
        facts.styled("name", Style::Name, format!("{name} (published development key)"));
    }
    if let Some(name) = network.wallet_name(&account.address) {
        facts.styled("name", Style::Name, format!("{name} (in the wallet)"));
    }
    facts.add("address", &account.address);
    if let Some(key) = key {
        facts.add("public key", key);
    }
    facts.styled("balance", Style::Strong, network.coins(account.balance));
    if let Some(pending) = account.pending_balance.filter(|pending| *pending != account.balance) {
        facts.styled("after what waits", Style::Warning, network.coins(pending));
    }
    facts.add("transactions sent", grouped(account.nonce));
    let waiting = account.pending_nonce.and_then(|next| next.checked_sub(account.nonce));
    if let Some(waiting) = waiting.filter(|waiting| *waiting > 0) {
        facts.styled("waiting", Style::Warning, grouped(waiting));
    }
    facts.add("after block", grouped(account.height));
    facts.print();
}

/// Milliseconds since 1970, as far as this machine knows.
pub(super) fn now_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}
