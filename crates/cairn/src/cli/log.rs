//! `cairn log`: what a running node logs, now and from now on.

use super::context::Context;
use crate::api::views::{LogAnswer, LogRequest};
use crate::failure::CliError;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn log
  cairn log debug
  cairn log info,cairn::run=trace

It lasts until the node stops. This needs its token, which a node that runs here keeps where this command finds it.")]
pub(crate) struct Arguments {
    /// What is logged from now on: off, error, warn, info, debug, trace, or a filter of `tracing`.
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    context.block_on(async {
        let request = LogRequest { filter: arguments.filter };
        let answer: LogAnswer = client.command("/v1/log", &request).await?;
        if context.json {
            output::print_json(&answer);
        } else {
            output::print_line(&answer.filter);
        }
        Ok(())
    })
}
