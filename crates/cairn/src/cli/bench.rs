//! `cairn bench`: measures this machine.

use crate::bench::{self, Options};
use crate::failure::CliError;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn bench
  cairn bench --quick --json
  cairn bench --only import")]
pub(crate) struct Arguments {
    /// Smaller sizes: less exact, done sooner.
    #[arg(long)]
    quick: bool,
    /// Only the figures whose name begins like this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<(), CliError> {
    let options = Options { quick: arguments.quick, only: arguments.only.as_deref(), json };
    bench::run(options)
        .map_err(|error| CliError::failed("bench-failed", "the bench could not go on").because(&error))
}
