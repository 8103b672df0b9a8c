//! `cairn mempool`: what waits for a block, and why.

use super::context::Context;
use super::network::Network;
use crate::api::views::MempoolEntry;
use crate::failure::CliError;
use crate::output::{self, Style, Table, grouped, left, plural, right, whole};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn mempool
  cairn mempool alice")]
pub(crate) struct Arguments {
    /// Only what this account sent: an address, or a name on a development network.
    #[arg(value_name = "NAME|ADDRESS")]
    account: Option<String>,
    /// How many to list, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    context.block_on(async {
        let (mut network, status) = Network::ask(&client).await?;
        super::wallet::introduce(&mut network, context)?;
        let address = match &arguments.account {
            Some(account) => format!("&address={}", network.account(account)?.to_text(&network.prefix()?)),
            None => String::new(),
        };
        let path = format!("/v1/mempool?limit={}{address}", arguments.limit);
        let mut entries: Vec<MempoolEntry> = client.get(&path).await?;
        if arguments.account.is_some() {
            // One account's wait for each other, so people read them in their order.
            entries.sort_by_key(|entry| entry.nonce);
        }
        if context.json {
            output::print_json(&entries);
        } else if entries.is_empty() {
            output::print_line("no transactions wait");
        } else {
            list(&entries, &network);
            let all = status.mempool.transactions;
            if arguments.account.is_none() && all > entries.len() as u64 {
                output::note(&format!("{} of {}", entries.len(), plural(all, "waiting transaction")));
            }
        }
        Ok(())
    })
}

fn list(entries: &[MempoolEntry], network: &Network) {
    let mut table = Table::new(&[
        whole("from"),
        right("nonce"),
        right("amount"),
        right("rate"),
        left("waits for"),
        whole("transaction"),
    ]);
    for entry in entries {
        let (style, waits) = if entry.waits.reason == "ready" {
            (Style::Good, "the next block".to_owned())
        } else {
            (Style::Warning, entry.waits.message.clone())
        };
        table.row([
            (Style::Name, network.known_as(&entry.sender)),
            (Style::Plain, grouped(entry.nonce)),
            (Style::Strong, network.coins(entry.amount)),
            (Style::Plain, entry.max_fee_rate.to_string()),
            (style, waits),
            (Style::Plain, entry.id.to_string()),
        ]);
    }
    table.print();
}
