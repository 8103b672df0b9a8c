//! `cairn mine`: blocks now, or when and with how many threads they are made from now on.

use super::context::Context;
use crate::api::views::{MineAnswer, MineRequest, MiningModeView, MiningView, Status};
use crate::config::MINE_CHOICES;
use crate::failure::CliError;
use crate::output::{self, grouped, plural};
use crate::run::SEALER_THREADS_MAX;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn mine
  cairn mine --blocks 10
  cairn mine --mode manual
  cairn mine --threads 4

The node must make blocks itself; this needs its token, which a node that runs here keeps where this command finds it.")]
pub(crate) struct Arguments {
    /// How many blocks to make now [default: 1, unless --mode or --threads is given].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    blocks: Option<u32>,
    /// When to make blocks from now on.
    #[arg(long, value_name = "MODE", value_parser = clap::builder::PossibleValuesParser::new(MINE_CHOICES))]
    mode: Option<String>,
    /// How many threads search for work from now on, until the node stops: 1 to 256.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SEALER_THREADS_MAX.into()))]
    threads: Option<u16>,
}

/// What whoever waits for a block must know: that this node makes none by itself.
pub(crate) fn no_block_by_itself(status: &Status) -> Option<&'static str> {
    match status.mining {
        // Another node may make them.
        MiningView { producer: None, .. } if status.peers > 0 => None,
        MiningView { producer: None, .. } => Some(
            "this node makes no blocks and knows no other: `cairn peers add HOST:PORT`, or start it again with `cairn node --role miner --producer …`",
        ),
        MiningView { mode: MiningModeView::Manual, .. } => {
            Some("this node makes a block only when asked; in another terminal: `cairn mine`")
        }
        MiningView { .. } => None,
    }
}

/// The mode with a name; the names are those of the interface.
pub(crate) fn mode_of(name: &str) -> Result<MiningModeView, CliError> {
    match name {
        "manual" => Ok(MiningModeView::Manual),
        "on-transaction" => Ok(MiningModeView::OnTransaction),
        "interval" => Ok(MiningModeView::Interval),
        "continuous" => Ok(MiningModeView::Continuous),
        _ => Err(CliError::usage("wrong-value", format!("`{name}` is none of {}", MINE_CHOICES.join(", ")))),
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    let mode = arguments.mode.as_deref().map(mode_of).transpose()?;
    let threads = arguments.threads;
    let blocks = arguments.blocks.or_else(|| (mode.is_none() && threads.is_none()).then_some(1));
    let client = context.client()?;
    context.block_on(async {
        let answer: MineAnswer = client.command("/v1/mine", &MineRequest { blocks, mode, threads }).await?;
        if context.json {
            output::print_json(&answer);
            return Ok(());
        }
        if let Some(mode) = &arguments.mode {
            output::print_line(&format!("blocks are made from now on: {mode}"));
        }
        if threads.is_some() {
            let threads = plural(answer.threads.into(), "thread");
            output::print_line(&format!("{threads} for the search for work from now on"));
        }
        if answer.blocks > 0 {
            let made = plural(answer.blocks.into(), "block");
            output::print_line(&format!("{made} made, the tip is block {}", grouped(answer.height)));
            output::print_line(&answer.tip.to_string());
        }
        Ok(())
    })
}
