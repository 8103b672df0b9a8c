//! `cairn verify`: replays a chain from block 0 and compares every root.
//!
//! Nothing that was computed before is trusted: each block of the log is checked by itself with its
//! signatures, on all cores, and executed again in order; what the database says is not asked.

use super::context::Context;
use super::local::{Local, LocalArguments};
use crate::failure::CliError;
use crate::output::{self, Progress, Style, grouped, plural};
use crate::pipeline::{check_in_order, default_threads};
use cairn_core::address::Address;
use cairn_core::block::{BlockError, CheckedBlock, check};
use cairn_core::consensus::{Consensus, Parent};
use cairn_core::genesis::Genesis;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Amount, Height};
use cairn_core::rules::{BlockContext, MaturedReward, Payment, execute, issued, matured_height};
use cairn_core::signature::{Batching, KeyCache};
use cairn_core::state::State;
use cairn_store::ledger::Reader;
use serde_json::json;
use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn verify
  cairn verify --data-dir ~/.local/share/cairn/mycoin

No node may run on the directory meanwhile.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    local: LocalArguments,
}

/// The state after the blocks so far, and what the next block is checked against.
struct Replay<'a> {
    consensus: &'a Consensus,
    genesis: &'a Genesis,
    state: State,
    parent: Parent,
    /// The producers of the newest blocks, as many as the maturity asks, the newest last.
    producers: VecDeque<Address>,
    burned: Amount,
    transactions: u64,
}

pub(crate) fn run(arguments: Arguments, mut context: Context) -> Result<(), CliError> {
    let local = Local::find(arguments.local, &mut context)?;
    let running = local.open(&context)?;
    let started = Instant::now();
    let handle = running.handle().clone();
    let genesis = handle.genesis();
    let outcome = verify(handle.reader(), genesis, handle.consensus());
    running.stop();
    let Replay { parent, state, transactions, .. } = outcome?;
    let seconds = started.elapsed().as_secs_f64();
    if context.json {
        output::print_json(&json!({
            "valid": true,
            "network": genesis.section().network.name,
            "identity": genesis.identity().to_string(),
            "height": parent.height.0,
            "tip": parent.id.to_string(),
            "transactions": transactions,
            "supply": state.total().units().to_string(),
            "seconds": seconds,
        }));
        return Ok(());
    }
    let mark = Style::Good.paint("valid", output::colours_on_stdout());
    let blocks = plural(parent.height.0, "block");
    let moved = plural(transactions, "transaction");
    output::print_line(&format!("{mark}: {blocks} and {moved} replayed in {seconds:.1} s"));
    output::print_line(&format!("tip {} at height {}", parent.id, grouped(parent.height.0)));
    Ok(())
}

/// Replays the chain that `reader` holds.
fn verify<'a>(
    reader: &Reader,
    genesis: &'a Genesis,
    consensus: &'a Consensus,
) -> Result<Replay<'a>, CliError> {
    let tip = reader.tip();
    let mut replay = Replay::new(genesis, consensus);
    let mut progress = Progress::new("blocks replayed", tip.0);
    let keys = KeyCache::default();
    let batching = Batching::from_seed(draw_seed()?).with_keys(&keys);
    let source = (1..=tip.0).map(|height| {
        let block = reader.block_at(Height(height)).map_err(|error| unreadable(height, &error))?;
        let block = block.ok_or_else(|| {
            CliError::failed("damaged", format!("block {height} is missing, the tip is block {tip}"))
        })?;
        Ok((block.id, block.bytes))
    });
    let done = check_in_order(
        source,
        default_threads(),
        |bytes| check(bytes, consensus, batching),
        |id: BlockId, checked| {
            replay.connect(id, checked)?;
            progress.advance(1);
            Ok(())
        },
    );
    progress.finish();
    done.map(|()| replay)
}

/// Fresh randomness, so that nobody could prepare signatures for the batches.
pub(super) fn draw_seed() -> Result<[u8; 32], CliError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        CliError::failed("no-randomness", "the system gives no random bytes").because(&error)
    })?;
    Ok(seed)
}

fn unreadable(height: u64, error: &dyn std::error::Error) -> CliError {
    CliError::failed("damaged", format!("block {height} cannot be read")).because(error)
}

impl<'a> Replay<'a> {
    fn new(genesis: &'a Genesis, consensus: &'a Consensus) -> Self {
        let header = &genesis.block().header;
        let parent = consensus.parent_of_next(header, *genesis.identity(), None, |_| {});
        Self {
            consensus,
            genesis,
            state: genesis.state(),
            parent,
            producers: VecDeque::new(),
            burned: Amount::ZERO,
            transactions: 0,
        }
    }

    /// Takes the next block of the chain, which the store keeps under `id`.
    fn connect(&mut self, id: BlockId, checked: Result<CheckedBlock, BlockError>) -> Result<(), CliError> {
        let height = self.parent.height.next();
        let invalid = |error: &BlockError| {
            CliError::failed("invalid-block", format!("block {height} ({id}) breaks a rule")).broken_by(error)
        };
        let block = checked.map_err(|error| invalid(&error))?;
        if block.id() != id || block.header().parent != self.parent.id {
            let message = format!("block {height} is not {id}, or does not follow from the block before");
            return Err(CliError::failed("damaged", message));
        }
        self.execute(&block).map_err(|error| invalid(&error))
    }

    fn execute(&mut self, block: &CheckedBlock) -> Result<(), BlockError> {
        let header = block.header();
        self.consensus.check_header(header, &self.parent)?;
        let rules = self.consensus.rules();
        let context = BlockContext {
            height: header.height,
            base_fee: header.base_fee,
            reserve: rules.section().reserve,
        };
        self.remember(header.producer);
        let payment = Payment { producer: header.producer, matured: self.matured(header.height) };
        let executed = execute(&mut self.state, block.transactions(), &context, &payment, rules)?;
        if header.state_root != executed.state_root {
            return Err(BlockError::StateRoot { found: header.state_root, expected: executed.state_root });
        }
        self.state.commit();
        self.burned = self.burned.saturating_add(executed.totals.burned);
        self.check_supply(header.height)?;
        self.transactions += block.transactions().len() as u64;
        self.parent = self.consensus.parent_of_next(header, block.id(), Some(&self.parent), |_| {});
        Ok(())
    }

    /// Keeps the producers of the newest blocks, as many as a reward waits for, and its own.
    fn remember(&mut self, producer: Address) {
        let maturity = self.consensus.rules().section().maturity as usize;
        self.producers.push_back(producer);
        while self.producers.len() > maturity.saturating_add(1) {
            self.producers.pop_front();
        }
    }

    /// The reward that is credited at `height`; its producer is the oldest that is remembered.
    fn matured(&self, height: Height) -> Option<MaturedReward> {
        let rules = self.consensus.rules();
        let earlier = matured_height(rules, height)?;
        let producer = *self.producers.front()?;
        Some(MaturedReward { producer, amount: rules.section().issuance.reward(earlier) })
    }

    /// All balances together are what was issued and not burned, from block 0 on.
    fn check_supply(&self, height: Height) -> Result<(), BlockError> {
        let rules = self.consensus.rules();
        let found = self.state.total();
        let expected = issued(rules, self.genesis.allocated(), height)
            .and_then(|issued| issued.checked_sub(self.burned))
            .unwrap_or(Amount::MAX);
        if found == expected { Ok(()) } else { Err(BlockError::Supply { found, expected }) }
    }
}
