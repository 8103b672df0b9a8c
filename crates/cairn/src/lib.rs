//! How it meets the world: the command line, the HTTP interface and the node that runs behind them.
//!
//! Everything here is a library, so that tests and examples can use its parts; the program is
//! [`main`].

pub mod api;
pub mod bench;
mod cli;
pub mod client;
pub mod config;
pub mod devnet;
pub mod events;
pub mod failure;
pub mod invite;
pub mod join;
pub mod logging;
pub mod output;
pub mod paths;
pub mod pidfile;
pub mod pipeline;
pub mod run;
pub mod tracker;
pub mod values;

/// Runs the program with the arguments of this process and returns its exit status.
pub fn main() -> std::process::ExitCode {
    cli::run()
}
