//! `cairn wallet history`: what changed an account and what it owned after each change, newest first.

use super::open::{WalletChoice, people};
use super::outgoing::unseen;
use super::payer::warn_of_new_chain;
use super::show::address_of;
use crate::api::views::{
    AccountEntry, AccountEntryKind, AccountView, MempoolEntry, TransactionStatus, Units,
};
use crate::cli::account::now_ms;
use crate::cli::context::Context;
use crate::cli::network::Network;
use crate::client::{Client, ClientError};
use crate::failure::CliError;
use crate::output::{self, Style, Table, coins_text, grouped, left, plural, right, whole};
use cairn_core::hash::BlockId;
use cairn_wallet::{SentRecord, Wallet};
use serde_json::json;

/// How often the history is read again when a block comes in between.
const TRIES: usize = 5;
/// How many entries the node gives at once.
const PAGE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which account; left out, the one that pays.
    #[arg(value_name = "ACCOUNT")]
    account: Option<String>,
    /// How many changes to show, at most 10000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Show instead what this wallet sent on the network with this identity, which may be gone.
    #[arg(long, value_name = "ID", conflicts_with_all = ["account"])]
    identity: Option<String>,
}

/// A change and what the account owned after it.
struct Change {
    entry: AccountEntry,
    balance: Units,
}

pub(super) fn run(arguments: &Arguments, choice: &WalletChoice, context: &Context) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    if let Some(identity) = &arguments.identity {
        return kept(&wallet, identity, arguments.limit, context);
    }
    let client = context.client()?;
    context.block_on(async {
        let (mut network, _) = Network::ask(&client).await?;
        let prefix = network.prefix()?;
        network.people = people(&wallet, &prefix);
        warn_of_new_chain(&wallet, &network);
        let address = address_of(&wallet, arguments.account.as_deref(), &prefix)?.to_text(&prefix);
        let (account, changes) = read(&client, &address, arguments.limit).await?;
        let waiting = waiting_of(&client, &address).await?;
        let unseen = unseen(&wallet, &network, &client, &account).await?;
        let note_of = |id: Option<crate::api::views::Hash>| {
            let history = wallet.book().history(&network.identity())?;
            history.note(&id?.into()).map(str::to_owned)
        };
        if context.json {
            let mut values = Vec::new();
            for Change { entry, balance } in &changes {
                let mut value = json!(entry);
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("balance".to_owned(), json!(balance));
                    fields.insert("note".to_owned(), json!(note_of(entry.id)));
                }
                values.push(value);
            }
            output::print_json(&json!({
                "address": address, "balance": account.balance, "pending_balance": account.pending_balance,
                "height": account.height, "waiting": waiting, "changes": values,
                "unseen": unseen.iter().map(|it| sent_value(it, None)).collect::<Vec<_>>(),
            }));
            return Ok(());
        }
        if changes.is_empty() && waiting.is_empty() && unseen.is_empty() {
            output::print_line("nothing has changed this account");
            return Ok(());
        }
        let coins = |amount: Units| coins_text(amount.into(), network.decimals);
        let now = now_ms();
        let mut table = Table::new(&[
            right("block"),
            left("when"),
            left("what"),
            right("change"),
            right("balance"),
            left("with"),
            left("note"),
            whole("transaction"),
        ]);
        for it in unseen.iter().rev() {
            table.row(unseen_row(it, &network, note_of(Some(it.id.into())), now)?);
        }
        for it in waiting.iter().rev() {
            table.row(waiting_row(it, &network, note_of(Some(it.id)), now));
        }
        for Change { entry, balance } in &changes {
            let (gained, lost) = change_of(entry);
            let (style, change) = match (gained.checked_sub(lost), lost.checked_sub(gained)) {
                (Some(gain), _) => (Style::Good, format!("+{}", coins(Units(gain)))),
                (None, loss) => (Style::Plain, format!("-{}", coins(Units(loss.unwrap_or_default())))),
            };
            table.row([
                (Style::Strong, grouped(entry.height)),
                (Style::Faint, output::ago(now, entry.time_ms)),
                (Style::Plain, what(entry).to_owned()),
                (style, change),
                (Style::Strong, coins(*balance)),
                (Style::Name, other_side(entry, &address, &client, &network).await?),
                (Style::Plain, note_of(entry.id).unwrap_or_default()),
                (Style::Faint, entry.id.map_or_else(String::new, |id| id.to_string())),
            ]);
        }
        table.print();
        let mut end = format!("{} after block {}", network.coins(account.balance), grouped(account.height));
        if let Some(pending) = account.pending_balance.filter(|pending| *pending != account.balance) {
            end.push_str(&format!("; {} once all that waits is paid", network.coins(pending)));
        }
        output::note(&end);
        if !unseen.is_empty() {
            output::note(
                "what is not seen was signed, no answer came, and this node does not have it: pay it again and \
                 one of the two is confirmed, never both",
            );
        }
        Ok(())
    })
}

type Row = [(Style, String); 8];

fn unseen_row(it: &SentRecord, network: &Network, note: Option<String>, now: u64) -> Result<Row, CliError> {
    let amount = coins_text(it.amount, network.decimals);
    Ok([
        (Style::Warning, "not seen".to_owned()),
        (Style::Faint, output::ago(now, it.at.0)),
        (Style::Plain, "signed".to_owned()),
        (Style::Warning, format!("-{amount}")),
        (Style::Plain, String::new()),
        (Style::Name, network.name_of(&it.to.to_text(&network.prefix()?))),
        (Style::Plain, note.unwrap_or_default()),
        (Style::Faint, it.id.to_string()),
    ])
}

fn waiting_row(it: &MempoolEntry, network: &Network, note: Option<String>, now: u64) -> Row {
    let cost = it.amount.0.saturating_add(it.weight.saturating_mul(it.max_fee_rate.0));
    let why = if it.waits.reason == "ready" { String::new() } else { it.waits.reason.clone() };
    [
        (Style::Warning, "waits".to_owned()),
        (Style::Faint, output::ago(now, it.since_ms)),
        (Style::Plain, "sends".to_owned()),
        (Style::Warning, format!("-{}", coins_text(Units(cost).into(), network.decimals))),
        (Style::Plain, String::new()),
        (Style::Warning, why),
        (Style::Plain, note.unwrap_or_default()),
        (Style::Faint, it.id.to_string()),
    ]
}

/// The newest changes with the balance after each. The balance is that of the newest, so a block that
/// comes between the questions has them asked again.
async fn read(client: &Client, address: &str, limit: u32) -> Result<(AccountView, Vec<Change>), CliError> {
    let path = format!("/v1/accounts/{address}");
    for _ in 0..TRIES {
        let before: AccountView = client.get(&path).await?;
        let mut entries: Vec<AccountEntry> = Vec::new();
        while let Some(left) = u64::from(limit).checked_sub(entries.len() as u64).filter(|left| *left > 0) {
            let cursor = entries.last().map_or_else(String::new, |last| format!("&before={}", last.cursor));
            let page = left.min(u64::from(PAGE));
            let more: Vec<AccountEntry> =
                client.get(&format!("{path}/transactions?limit={page}{cursor}")).await?;
            let is_last = (more.len() as u64) < page;
            entries.extend(more);
            if is_last {
                break;
            }
        }
        let after: AccountView = client.get(&path).await?;
        if before.height == after.height && before.balance == after.balance {
            let changes = with_balances(entries, after.balance.0);
            return Ok((after, changes));
        }
    }
    Err(CliError::failed("moving", "blocks come faster than the history can be read").help("try it again"))
}

/// Walks from the newest balance back. Block 0 gives what no entry tells.
fn with_balances(entries: Vec<AccountEntry>, newest: u64) -> Vec<Change> {
    let mut balance = newest;
    let walk = |entry: AccountEntry| {
        let change = Change { balance: Units(balance), entry };
        let (gained, lost) = change_of(&change.entry);
        balance = balance.saturating_add(lost).saturating_sub(gained);
        change
    };
    entries.into_iter().map(walk).collect()
}

/// What an entry brought and what it took, in base units.
fn change_of(entry: &AccountEntry) -> (u64, u64) {
    let units = |amount: Option<Units>| amount.map_or(0, |amount| amount.0);
    (units(entry.received), units(entry.sent).saturating_add(units(entry.fee)))
}

fn what(entry: &AccountEntry) -> &'static str {
    let is_some = |amount: Option<Units>| amount.is_some_and(|amount| amount.0 > 0);
    match entry.kind {
        AccountEntryKind::Sent => "sent",
        AccountEntryKind::Received => "received",
        AccountEntryKind::Payment => match (is_some(entry.reward), is_some(entry.fees_earned)) {
            (true, true) => "reward, fees",
            (true, false) => "reward",
            (false, _) => "fees",
        },
    }
}

/// Who is on the other side, briefly: whole addresses are what `cairn tx` shows.
async fn other_side(
    entry: &AccountEntry,
    own: &str,
    client: &Client,
    network: &Network,
) -> Result<String, CliError> {
    let id = match (entry.kind, &entry.sender, entry.id) {
        (AccountEntryKind::Received, Some(sender), _) => return Ok(network.name_of(sender)),
        (AccountEntryKind::Sent, _, Some(id)) => id,
        _ => return Ok(String::new()),
    };
    let sent = match client.get::<TransactionStatus>(&format!("/v1/transactions/{id}")).await {
        Ok(sent) => sent,
        // Its block left the chain meanwhile.
        Err(ClientError::Refused { .. }) => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(match sent.transaction.body.transfers.as_slice() {
        [only] if only.to == own => "itself".to_owned(),
        [only] => network.name_of(&only.to),
        several => plural(several.len() as u64, "transfer"),
    })
}

/// What an account has waiting, in the order of the nonces.
pub(super) async fn waiting_of(client: &Client, address: &str) -> Result<Vec<MempoolEntry>, CliError> {
    let mut entries: Vec<MempoolEntry> =
        client.get(&format!("/v1/mempool?limit={PAGE}&address={address}")).await?;
    entries.sort_by_key(|entry| entry.nonce);
    Ok(entries)
}

/// What the book says of a payment, as JSON.
fn sent_value(it: &SentRecord, note: Option<&str>) -> serde_json::Value {
    json!({ "id": it.id.to_string(), "at_ms": it.at.0, "from": const_hex::encode(it.from.0),
            "to": const_hex::encode(it.to.0), "nonce": it.nonce.0, "transfers": it.transfers,
            "amount": Units::from(it.amount), "note": note, "answered": it.is_answered })
}

/// What the wallet sent on a network, as its book has it: the network itself is not asked.
fn kept(wallet: &Wallet, identity: &str, limit: u32, context: &Context) -> Result<(), CliError> {
    let identity: BlockId = identity.parse().map_err(|_| {
        CliError::usage("bad-id", "an identity has 64 hexadecimal digits")
            .help("`cairn wallet show` lists them")
    })?;
    let history = wallet.book().history(&identity).ok_or_else(|| {
        CliError::failed("unknown-network", "this wallet has never seen that network")
            .help("`cairn wallet show` lists those that it has seen")
    })?;
    let count = usize::try_from(limit).unwrap_or(usize::MAX);
    let sent = history.sent().iter().rev().take(count);
    if context.json {
        let sent: Vec<_> = sent.map(|it| sent_value(it, history.note(&it.id))).collect();
        output::print_json(
            &json!({ "network": history.name(), "identity": identity.to_string(), "sent": sent }),
        );
        return Ok(());
    }
    let mut table = Table::new(&[
        left("when"),
        left("from"),
        right("base units"),
        left("to"),
        left("note"),
        whole("transaction"),
    ]);
    let name = |address| match wallet.name_of(address) {
        Some(name) => name.to_string(),
        None => output::short(&const_hex::encode(address.0)),
    };
    for it in sent {
        let to = if it.transfers == 1 { name(&it.to) } else { plural(it.transfers.into(), "transfer") };
        table.row([
            (Style::Faint, output::ago(now_ms(), it.at.0)),
            (Style::Name, name(&it.from)),
            (Style::Strong, grouped(it.amount.units())),
            (Style::Name, to),
            (Style::Plain, history.note(&it.id).unwrap_or_default().to_owned()),
            (Style::Faint, it.id.to_string()),
        ]);
    }
    if table.is_empty() {
        output::print_line("nothing was sent there");
    } else {
        table.print();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::Hash;

    fn entry(kind: AccountEntryKind, received: u64, sent: u64, fee: u64) -> AccountEntry {
        let some = |units: u64| (units > 0).then_some(Units(units));
        AccountEntry {
            cursor: String::new(),
            kind,
            height: 1,
            block: Hash([0; 32]),
            time_ms: 0,
            id: None,
            sender: None,
            received: some(received),
            sent: some(sent),
            fee: some(fee),
            fees_earned: None,
            reward: None,
        }
    }

    #[test]
    fn balances_lead_from_the_newest_back_to_the_first() {
        let entries = vec![
            entry(AccountEntryKind::Payment, 50, 0, 0),
            entry(AccountEntryKind::Sent, 0, 30, 2),
            entry(AccountEntryKind::Sent, 10, 10, 1),
            entry(AccountEntryKind::Received, 100, 0, 0),
        ];
        let balances: Vec<u64> = with_balances(entries, 117).iter().map(|it| it.balance.0).collect();
        assert_eq!(balances, [117, 67, 99, 100]);
    }
}
