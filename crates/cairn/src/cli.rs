//! The command line: what can be typed, and which file carries it out.

mod account;
mod background;
mod bench;
mod block;
mod catching_up;
mod completions;
mod context;
mod devnet;
mod doctor;
mod exchange;
mod features;
mod genesis;
mod join;
mod load;
mod local;
mod log;
mod man;
mod mempool;
mod mine;
mod network;
mod networks;
mod node;
mod peers;
mod send;
mod serving;
mod settings;
mod stop;
mod tracker;
mod transaction;
mod verify;
mod wallet;

use crate::api::views::Status;
use crate::client::Client;
use crate::failure::{CliError, Exit};
use crate::output;
use crate::paths::{Kind, RunningNode};
use crate::values::{NodeTrust, NodeUrl};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use context::Context;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What `--version` says: the release and the commit it was built from.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CAIRN_COMMIT"), ")");

/// How long bare `cairn` waits for what running nodes say.
const STATE_WITHIN: Duration = Duration::from_secs(1);

/// A peer-to-peer cryptocurrency in one program: run your own coin, or look into one.
#[derive(Debug, Parser)]
#[command(
    name = "cairn",
    version = VERSION,
    max_term_width = 100,
    after_help = "Start here:  cairn devnet\nThen, in another terminal:  cairn send --from alice --to bob --amount 25 --wait"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// Write data, and errors too, as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The node to talk to, such as http://127.0.0.1:7780; left out, the one that runs here.
    #[arg(long, global = true, value_name = "URL")]
    node: Option<String>,
    /// The file with the token of that node, for what changes it.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<String>,
    /// How to know that node where its address is https: `sha256:` and the fingerprint that it printed,
    /// or a PEM file with certificates.
    #[arg(long, global = true, value_name = "SHA256|FILE")]
    node_cert: Option<String>,
    /// The wallet that is meant; left out, the only one.
    #[arg(long, global = true, value_name = "NAME")]
    wallet: Option<String>,
    /// The configuration file, instead of cairn.toml in the configuration directory.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a development network here: funded accounts, real blocks, nothing to set up.
    Devnet(devnet::Arguments),
    /// Run a node of a network.
    Node(Box<node::Arguments>),
    /// Become a node of a network that somebody else began: by its invite, or by an address and its identity.
    Join(Box<join::Arguments>),
    /// Introduce the nodes of a network to each other; keeps no chain.
    Tracker(Box<tracker::Arguments>),
    /// Begin a network for several machines, and invite others to one.
    #[command(subcommand)]
    Network(networks::Command),
    /// Make, check and show the file that begins a network.
    #[command(subcommand)]
    Genesis(genesis::Command),
    /// Make wallets, look at them and back them up.
    Wallet(wallet::Arguments),
    /// Send coins.
    Send(send::Arguments),
    /// Look up a transaction; or build, sign, submit and show one step by step.
    Tx(transaction::Arguments),
    /// Look up an account.
    Account(account::Arguments),
    /// Look up a block, or list the newest.
    Block(block::Arguments),
    /// Show what waits for a block, and why.
    Mempool(mempool::Arguments),
    /// Show the nodes that a node talks to; add, remove, ban.
    Peers(peers::Arguments),
    /// Make blocks now, or say when and with how many threads they are made.
    Mine(mine::Arguments),
    /// Send many transactions and measure how fast they are confirmed.
    Load(load::Arguments),
    /// Replay a chain from block 0 and compare every root.
    Verify(verify::Arguments),
    /// Write all blocks of a chain into one file.
    Export(exchange::ExportArguments),
    /// Read blocks from a file that `export` wrote, and check each.
    Import(exchange::ImportArguments),
    /// Show the settings and where they come from.
    #[command(subcommand)]
    Config(settings::Command),
    /// Print the directories that cairn uses.
    #[command(after_help = "Example:
  cairn paths --json")]
    Paths,
    /// Show what a node logs, or change it while it runs.
    Log(log::Arguments),
    /// Look for what is wrong with this machine, the chain or the node.
    Doctor(doctor::Arguments),
    /// Stop a node or a tracker that runs here.
    Stop(stop::Arguments),
    /// Measure this machine: each figure beside its limit.
    Bench(bench::Arguments),
    /// Write the completions for a shell.
    Completions(completions::Arguments),
    /// Write the manual page of a command, or those of all.
    Man(man::Arguments),
}

/// Runs the command that the arguments of this process name.
pub(crate) fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        // What could not be parsed may still have asked for JSON.
        Err(error) => return refuse_usage(&error, arguments.iter().any(|it| it == "--json")),
    };
    let json = cli.global.json;
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(json),
    }
}

fn dispatch(cli: Cli) -> Result<(), CliError> {
    let Some(command) = cli.command else {
        return greet(cli.global.json);
    };
    // These need no settings, and help where the settings are broken.
    let context = match command {
        Command::Paths => return settings::paths(cli.global.json),
        Command::Completions(arguments) => {
            return completions::write(&arguments, &mut Cli::command(), cli.global.json);
        }
        Command::Man(arguments) => return man::write(&arguments, Cli::command(), cli.global.json),
        Command::Bench(arguments) => return bench::run(&arguments, cli.global.json),
        _ => Context::new(cli.global)?,
    };
    match command {
        Command::Devnet(arguments) => devnet::run(arguments, context),
        Command::Node(arguments) => node::run(*arguments, context),
        Command::Join(arguments) => join::run(*arguments, context),
        Command::Tracker(arguments) => tracker::run(*arguments, context),
        Command::Network(command) => networks::run(command, &context),
        Command::Genesis(command) => genesis::run(command, &context),
        Command::Wallet(arguments) => wallet::run(&arguments, &context),
        Command::Send(arguments) => send::run(&arguments, &context),
        Command::Tx(arguments) => transaction::run(arguments, &context),
        Command::Account(arguments) => account::run(&arguments, &context),
        Command::Block(arguments) => block::run(&arguments, &context),
        Command::Mempool(arguments) => mempool::run(&arguments, &context),
        Command::Peers(arguments) => peers::run(arguments, &context),
        Command::Mine(arguments) => mine::run(&arguments, &context),
        Command::Load(arguments) => load::run(&arguments, &context),
        Command::Verify(arguments) => verify::run(arguments, context),
        Command::Export(arguments) => exchange::export(arguments, context),
        Command::Import(arguments) => exchange::import(arguments, context),
        Command::Config(command) => settings::run(&command, &context),
        Command::Doctor(arguments) => doctor::run(arguments, context),
        Command::Log(arguments) => log::run(arguments, &context),
        Command::Stop(arguments) => stop::run(&arguments, &context),
        Command::Paths | Command::Completions(_) | Command::Man(_) | Command::Bench(_) => {
            unreachable!("returned above")
        }
    }
}

/// Shows help and version as they are, and a mistake as an error of ours.
fn refuse_usage(error: &clap::Error, json: bool) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            if output::colours_on_stdout() {
                output::print_text(&text.ansi().to_string());
            } else {
                output::print_text(&text.to_string());
            }
            ExitCode::SUCCESS
        }
        ErrorKind::UnknownArgument if let Some(missing) = missing_feature(error) => missing.report(json),
        _ if json => {
            let text = error.render().to_string();
            let mut parts = text.splitn(2, "\n\n");
            let message = parts.next().unwrap_or_default().trim_start_matches("error: ").trim();
            let help = parts.next().unwrap_or_default().trim();
            CliError::usage("usage", message).help(help).report(true)
        }
        _ => {
            let text = error.render();
            if output::colours_on_stderr() {
                output::eprint_text(&text.ansi().to_string());
            } else {
                output::eprint_text(&text.to_string());
            }
            ExitCode::from(Exit::Usage.status())
        }
    }
}

/// What to do where a node runs, and where only trackers do.
const WITH_A_NODE: &[(&str, &str)] = &[
    ("cairn block", "the newest blocks"),
    ("cairn account alice", "what an account owns"),
    ("cairn send --from alice --to bob --amount 25", "send coins"),
    ("cairn peers", "the nodes that it talks to"),
    ("cairn stop", "stop the node"),
    ("cairn --help", "all commands"),
];
const WITH_A_TRACKER: &[(&str, &str)] = &[
    ("cairn network invite --node URL", "an invite to its network"),
    ("cairn stop", "stop the tracker"),
    ("cairn --help", "all commands"),
];

/// What to say where a flag is unknown because the program is built without what it is for.
fn missing_feature(error: &clap::Error) -> Option<CliError> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(flag) => features::missing(flag),
        _ => None,
    }
}

/// What bare `cairn` says: what to do next, here and now.
fn greet(json: bool) -> Result<(), CliError> {
    let directories = crate::paths::Directories::of_user()?;
    let nodes = crate::paths::all_running(&directories.runtime);
    if json {
        output::print_json(&serde_json::json!({ "version": VERSION, "running": nodes }));
        return Ok(());
    }
    let colours = output::colours_on_stdout();
    let strong = |text: &str| output::Style::Strong.paint(text, colours);
    let faint = |text: &str| output::Style::Faint.paint(text, colours);
    let mut lines = vec![format!("{} {}", strong("cairn"), faint(VERSION)), String::new()];
    let next: &[(&str, &str)] = if nodes.is_empty() {
        lines.push("No node runs here. What to do next:".to_owned());
        &[
            ("cairn devnet", "a network of your own, with coins"),
            ("cairn genesis new --name mycoin", "the file that begins a coin of your own"),
            ("cairn join INVITE", "a network that somebody invited you to"),
            ("cairn node --genesis FILE", "a node of an existing network"),
            ("cairn --help", "all commands"),
        ]
    } else {
        for (node, state) in nodes.iter().zip(states_of(&nodes)) {
            let state = state.map_or_else(String::new, |state| format!(": {state}"));
            let runs =
                format!("{} of {} runs at {} (pid {})", node.title(), node.network, node.api, node.pid);
            lines.push(runs + &state);
        }
        lines.push(String::new());
        lines.push("What to do next:".to_owned());
        if nodes.iter().all(|node| node.kind == Kind::Tracker) { WITH_A_TRACKER } else { WITH_A_NODE }
    };
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in next {
        lines.push(format!("  {}  {}", strong(&format!("{command:<width$}")), faint(what)));
    }
    if let Some(another) = nodes.iter().find(|node| nodes.first().is_some_and(|first| first.pid != node.pid))
    {
        lines.push(format!("\nSeveral run here, so say which one is meant: --node {}", another.api));
    }
    lines.push(String::new());
    output::print_text(&lines.join("\n"));
    Ok(())
}

/// How far running nodes are; nothing of those that do not say so at once.
fn states_of(nodes: &[RunningNode]) -> Vec<Option<String>> {
    let ask = |node: RunningNode| async move {
        let mut client = Client::new(NodeUrl::parse(&node.api).ok()?, Some(node.token_file));
        if let Some(trust) = node.fingerprint.as_deref().and_then(|known| NodeTrust::parse(known).ok()) {
            client = client.trusting(&trust).ok()?;
        }
        let status =
            tokio::time::timeout(STATE_WITHIN, client.get::<Status>("/v1/status")).await.ok()?.ok()?;
        Some(catching_up::sync_text(&status.sync))
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return vec![None; nodes.len()];
    };
    runtime.block_on(async {
        let asked: Vec<_> = nodes.iter().cloned().map(|node| tokio::spawn(ask(node))).collect();
        let mut states = Vec::new();
        for asked in asked {
            states.push(asked.await.ok().flatten());
        }
        states
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let deeper: Vec<_> = command.get_subcommands().collect();
            let leaves = if deeper.is_empty() { vec![command] } else { deeper };
            for leaf in leaves {
                let help = leaf.clone().render_long_help().to_string();
                assert!(help.contains("Example"), "{} has no example:\n{help}", leaf.get_name());
            }
        }
    }
}
