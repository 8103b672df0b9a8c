//! stub
use super::context::Context;
use crate::failure::CliError;
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}
pub(crate) fn run(_: Arguments, _: Context) -> Result<(), CliError> { Ok(()) }
