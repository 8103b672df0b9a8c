//! `cairn wallet list`, `show`, `accounts` and `address`: what is there, without any password.

use super::create::{Place, path_of};
use super::open::{WalletChoice, directory, people};
use super::payer::warn_of_new_chain;
use super::unlocked;
use crate::api::views::AccountView;
use crate::cli::account::now_ms;
use crate::cli::context::Context;
use crate::cli::network::Network;
use crate::failure::CliError;
use crate::output::{self, Facts, Style, Table, grouped, left, plural, right, whole};
use cairn_core::numbers::Amount;
use cairn_wallet::{AccountKind, Origin, Wallet};
use serde_json::json;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct AddressArguments {
    /// Which account; left out, the one that pays.
    #[arg(value_name = "ACCOUNT")]
    pub(super) account: Option<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

/// `cairn wallet list`.
pub(super) fn list(context: &Context) -> Result<(), CliError> {
    let directory = directory(context);
    let names = Wallet::names(&directory)?;
    if names.is_empty() && !context.json {
        output::print_line("there is no wallet here");
        output::note("make one: `cairn wallet new`; or bring one back: `cairn wallet restore`");
        return Ok(());
    }
    let mut table = Table::new(&[left("wallet"), right("accounts"), left("keys"), whole("file")]);
    let mut values = Vec::new();
    for name in names {
        // One broken file must not hide the other wallets.
        let (accounts, keys, file) = match Wallet::open(&directory, name.clone()) {
            Ok(wallet) => {
                let keys = match (wallet.keystore(), unlocked::left_ms(&wallet, context)) {
                    (None, _) => "watches only".to_owned(),
                    (Some(_), None) => "locked".to_owned(),
                    (Some(_), Some(left)) => {
                        format!("open, {}", output::time_text(Duration::from_millis(left)))
                    }
                };
                let file =
                    if wallet.keystore().is_some() { wallet.keystore_path() } else { wallet.book_path() };
                (wallet.accounts().len() as u64, keys, file)
            }
            Err(error) => (0, error.to_string(), directory.join(format!("{name}.keystore.json"))),
        };
        values.push(json!({ "wallet": name.as_str(), "accounts": accounts, "keys": keys, "file": file }));
        let style = if keys == "locked" { Style::Plain } else { Style::Warning };
        table.row([
            (Style::Strong, name.to_string()),
            (Style::Plain, grouped(accounts)),
            (style, keys),
            (Style::Faint, file.display().to_string()),
        ]);
    }
    if context.json {
        output::print_json(&values);
    } else {
        table.print();
    }
    Ok(())
}

/// `cairn wallet show`.
pub(super) fn show(choice: &WalletChoice, context: &Context) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let (book, accounts) = (wallet.book(), wallet.accounts());
    let default = wallet.payer(None).ok().map(|account| account.name.to_string());
    let open_ms = unlocked::left_ms(&wallet, context);
    let cost = wallet.keystore().map(cairn_wallet::Keystore::cost);
    let networks = book.networks();
    if context.json {
        let networks: Vec<_> = networks
            .map(|(identity, history)| {
                json!({ "name": history.name(), "identity": identity.to_string(), "last_seen_ms": history.last_seen().0,
                        "sent": history.sent().len() })
            })
            .collect();
        output::print_json(&json!({
            "wallet": wallet.name().as_str(),
            "keystore": wallet.keystore().map(|_| wallet.keystore_path()),
            "book": wallet.book_path(),
            "watch_only": wallet.keystore().is_none(),
            "open_ms": open_ms,
            "accounts": accounts.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
            "default": default,
            "contacts": book.contacts().len(),
            "password_cost": cost.map(|it| json!({ "memory_kib": it.memory_kib(), "passes": it.passes(), "lanes": it.lanes() })),
            "networks": networks,
        }));
        return Ok(());
    }
    let mut facts = Facts::default();
    facts.styled("wallet", Style::Strong, wallet.name().to_string());
    match (wallet.keystore(), open_ms) {
        (None, _) => facts.styled("keys", Style::Warning, "none: it only watches"),
        (Some(_), None) => facts.styled("keys", Style::Good, "locked"),
        (Some(_), Some(left)) => {
            let time = output::time_text(Duration::from_millis(left));
            facts.styled("keys", Style::Warning, format!("open for {time} more"))
        }
    };
    if wallet.keystore().is_some() {
        facts.add("keystore", wallet.keystore_path().display().to_string());
    }
    facts.add("book", wallet.book_path().display().to_string());
    if let Some(cost) = cost {
        let memory = output::bytes_text(u64::from(cost.memory_kib()) * 1024);
        facts.add(
            "a guess costs",
            format!("{memory} of memory, filled {}", plural(cost.passes().into(), "time")),
        );
    }
    let names: Vec<&str> = accounts.iter().map(|it| it.name.as_str()).collect();
    facts.add("accounts", names.join(", "));
    facts.add("pays", default.unwrap_or_else(|| "nobody by default".to_owned()));
    facts.add("contacts", grouped(book.contacts().len() as u64));
    for (identity, history) in networks {
        let sent = plural(history.sent().len() as u64, "payment");
        let ago = output::ago(now_ms(), history.last_seen().0);
        facts.add("network", format!("{}, {sent}, seen {ago}", history.name()));
        facts.styled("", Style::Faint, identity.to_string());
    }
    facts.print();
    Ok(())
}

/// `cairn wallet accounts`.
pub(super) fn accounts(choice: &WalletChoice, context: &Context) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let client = context.client()?;
    context.block_on(async {
        let (network, _) = Network::ask(&client).await?;
        let prefix = network.prefix()?;
        warn_of_new_chain(&wallet, &network);
        let payer = wallet.payer(None).ok().map(|account| account.address);
        let mut table = Table::new(&[
            left("account"),
            right("balance"),
            right("after what waits"),
            left("key"),
            left("label"),
            whole("address"),
        ]);
        let (mut values, mut total) = (Vec::new(), Amount::ZERO);
        for account in wallet.accounts() {
            let address = account.address.to_text(&prefix);
            let view: AccountView = client.get(&format!("/v1/accounts/{address}")).await?;
            let pending = view.pending_balance.filter(|pending| *pending != view.balance);
            let key = match account.kind {
                AccountKind::Key(Origin::Derived(_)) if payer == Some(account.address) => "pays",
                AccountKind::Key(Origin::Derived(_)) => "",
                AccountKind::Key(Origin::Imported) => "imported",
                AccountKind::Watched => "watched",
            };
            if account.kind != AccountKind::Watched {
                total = total.checked_add(view.balance.into()).unwrap_or(Amount::MAX);
            }
            table.row([
                (Style::Name, account.name.to_string()),
                (Style::Strong, network.coins(view.balance)),
                (Style::Warning, pending.map_or_else(String::new, |pending| network.coins(pending))),
                (Style::Faint, key.to_owned()),
                (Style::Plain, account.label.unwrap_or_default().to_owned()),
                (Style::Faint, address.clone()),
            ]);
            values.push(json!({
                "name": account.name.as_str(),
                "address": address,
                "balance": view.balance,
                "pending_balance": view.pending_balance,
                "nonce": view.nonce,
                "path": path_of(&wallet, account.name),
                "watched": account.kind == AccountKind::Watched,
                "pays": payer == Some(account.address),
                "label": account.label,
            }));
        }
        if context.json {
            output::print_json(&json!({
                "wallet": wallet.name().as_str(),
                "network": network.name,
                "identity": network.identity,
                "total": crate::api::views::Units::from(total),
                "accounts": values,
            }));
            return Ok(());
        }
        if table.is_empty() {
            output::print_line("this wallet has no accounts");
            return Ok(());
        }
        table.print();
        if wallet.keystore().is_some() {
            output::note(&format!("{} in all, on {}", network.coins(total), network.name));
        }
        Ok(())
    })
}

/// `cairn wallet address`.
pub(super) fn address(
    arguments: &AddressArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let prefix = arguments.place.coin(context)?.prefix;
    let address = address_of(&wallet, arguments.account.as_deref(), &prefix)?.to_text(&prefix);
    if context.json {
        output::print_json(&json!({ "wallet": wallet.name().as_str(), "address": address }));
    } else {
        output::print_line(&address);
    }
    Ok(())
}

/// The address of an account of the wallet, or of the one that pays.
pub(super) fn address_of(
    wallet: &Wallet,
    account: Option<&str>,
    prefix: &cairn_core::address::AddressPrefix,
) -> Result<cairn_core::address::Address, CliError> {
    let Some(name) = account else {
        return wallet.payer(None).map(|account| account.address).map_err(|error| {
            CliError::usage("no-account", error.to_string())
                .help("say which account: `cairn wallet accounts` lists them")
        });
    };
    let known = people(wallet, prefix);
    let found = known.iter().find(|it| it.name.as_str() == name);
    found.map(|it| it.address.address()).ok_or_else(|| {
        let near = crate::values::nearest(name, known.iter().map(|it| it.name.as_str()));
        let message = format!("wallet {} knows no `{}`", wallet.name(), output::short(name));
        let help = near.map_or_else(
            || "`cairn wallet accounts` shows which there are".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        CliError::usage("unknown-account", message).help(help)
    })
}
