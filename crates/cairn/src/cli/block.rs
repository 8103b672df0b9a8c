//! `cairn block`: one block, or the newest ones.

use super::account::now_ms;
use super::context::Context;
use super::network::Network;
use crate::api::views::{BlockSummary, BlockView, TransactionView};
use crate::failure::CliError;
use crate::output::{self, Facts, Style, Table, grouped, left, plural, right, whole};
use crate::values::parse_count;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn block
  cairn block 12 --full
  cairn block tip --json")]
pub(crate) struct Arguments {
    /// A height, an id, or `tip`; left out, the newest blocks are listed.
    #[arg(value_name = "HEIGHT|ID|tip")]
    block: Option<String>,
    /// The transactions whole, rather than their ids.
    #[arg(long, requires = "block")]
    full: bool,
    /// Only blocks below this height.
    #[arg(long, value_name = "HEIGHT", allow_negative_numbers = true, value_parser = parse_count, conflicts_with = "block")]
    before: Option<u64>,
    /// How many to list, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "block", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    if let Some(block) = &arguments.block {
        check_subject(block)?;
    }
    let client = context.client()?;
    context.block_on(async {
        let (network, _) = Network::ask(&client).await?;
        match &arguments.block {
            Some(block) => {
                let full = if arguments.full { "?full=true" } else { "" };
                let view: BlockView = client.get(&format!("/v1/blocks/{block}{full}")).await?;
                show(&view, &network, context.json);
            }
            None => {
                let before = arguments.before.map_or_else(String::new, |height| format!("&before={height}"));
                let path = format!("/v1/blocks?limit={}{before}", arguments.limit);
                let blocks: Vec<BlockSummary> = client.get(&path).await?;
                list(&blocks, &network, context.json);
            }
        }
        Ok(())
    })
}

/// A height, an id or `tip`; nothing else becomes part of a path.
fn check_subject(block: &str) -> Result<(), CliError> {
    let is_height = block.parse::<u64>().is_ok() && block.bytes().all(|it| it.is_ascii_digit());
    let is_id = block.parse::<cairn_core::hash::BlockId>().is_ok();
    if block == "tip" || is_height || is_id {
        return Ok(());
    }
    Err(CliError::usage("bad-block", format!("`{block}` is no block"))
        .help("a block is known by its height, by all 64 digits of its id, or as `tip`"))
}

fn list(blocks: &[BlockSummary], network: &Network, json: bool) {
    if json {
        output::print_json(&blocks);
        return;
    }
    if blocks.is_empty() {
        output::print_line("no blocks are there");
        return;
    }
    let now = now_ms();
    let mut table =
        Table::new(&[right("height"), left("made"), right("transactions"), whole("id"), whole("producer")]);
    for block in blocks {
        table.row([
            (Style::Strong, grouped(block.height)),
            (Style::Faint, output::ago(now, block.time_ms)),
            (Style::Plain, grouped(block.transaction_count.into())),
            (Style::Plain, block.id.to_string()),
            (Style::Name, network.known_as(&block.producer)),
        ]);
    }
    table.print();
}

fn show(block: &BlockView, network: &Network, json: bool) {
    if json {
        output::print_json(block);
        return;
    }
    let mut facts = Facts::default();
    facts.styled("height", Style::Strong, grouped(block.height));
    facts.add("id", block.id.to_string());
    facts.add("parent", block.parent.to_string());
    facts.add("made", output::ago(now_ms(), block.time_ms));
    facts.styled("producer", Style::Name, network.known_as(&block.producer));
    if block.on_chain {
        facts.styled("confirmations", Style::Good, grouped(block.confirmations));
    } else {
        facts.styled("chain", Style::Warning, "not on the chain: it lost to a branch with more work");
    }
    facts.add("target", &block.target);
    facts.add("weight", grouped(block.weight_used));
    facts.add("base fee", format!("{} a unit of weight", plural(block.base_fee.0, "base unit")));
    facts.add("size", output::bytes_text(block.bytes));
    facts.add("state root", block.state_root.to_string());
    if block.height > 0 && !block.extra.0.is_empty() {
        facts.add("extra", readable(&block.extra.0));
    }
    facts.add("transactions", grouped(block.transaction_count.into()));
    facts.print();
    for id in block.transaction_ids.iter().flatten() {
        output::print_line(&format!("  {id}"));
    }
    if let Some(transactions) = block.transactions.as_deref().filter(|all| !all.is_empty()) {
        list_transactions(transactions, network);
    }
}

fn list_transactions(transactions: &[TransactionView], network: &Network) {
    let mut table =
        Table::new(&[whole("from"), whole("to"), right("amount"), left("data"), whole("transaction")]);
    for transaction in transactions {
        let to = match transaction.body.transfers.as_slice() {
            [only] => network.known_as(&only.to),
            several => plural(several.len() as u64, "transfer"),
        };
        table.row([
            (Style::Name, network.known_as(&transaction.sender)),
            (Style::Name, to),
            (Style::Strong, network.coins(transaction.amount)),
            (Style::Faint, readable(&transaction.body.data.0)),
            (Style::Plain, transaction.id.to_string()),
        ]);
    }
    table.print();
}

/// Bytes as text where they are text that does nothing to a terminal, else in hexadecimal.
pub(super) fn readable(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control));
    let text = match text {
        Some(text) if bytes.is_empty() => text.to_owned(),
        Some(text) => format!("\"{text}\""),
        None => format!("0x{}", const_hex::encode(bytes)),
    };
    if text.chars().count() <= SHOWN_MAX {
        return text;
    }
    format!("{}… ({})", text.chars().take(SHOWN_MAX).collect::<String>(), plural(bytes.len() as u64, "byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_known_by_height_id_or_tip() {
        for good in ["0", "12", "tip", &"ab".repeat(32)] {
            assert!(check_subject(good).is_ok(), "{good}");
        }
        for bad in ["", "+1", "-1", "../status", "12?full=true", "ab", "Tip", "99999999999999999999"] {
            assert_eq!(check_subject(bad).unwrap_err().code(), "bad-block", "{bad}");
        }
    }

    #[test]
    fn bytes_that_would_steer_a_terminal_are_shown_as_digits() {
        assert_eq!(readable(b"hello"), "\"hello\"");
        assert_eq!(readable(b""), "");
        assert_eq!(readable(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(readable(&[0xff]), "0xff");
        assert!(readable("ä".repeat(500).as_bytes()).ends_with("… (1,000 bytes)"));
    }
}
