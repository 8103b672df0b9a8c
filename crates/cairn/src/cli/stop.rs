//! `cairn stop`: stops a node or a tracker that runs here, and waits until it is gone.

use super::context::{Context, find_node};
use crate::api::views::ShutdownAnswer;
use crate::failure::CliError;
use crate::output::{self, Style};
use crate::paths::{RunningNode, all_running, is_alive};
use serde_json::json;
use std::time::{Duration, Instant};

/// How often a waiting command looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn stop
  cairn stop mycoin
  cairn stop --node http://127.0.0.1:7761

Nodes and trackers are stopped in the same way. A node writes what it has and ends; whatever it acknowledged is on
disk already.")]
pub(crate) struct Arguments {
    /// The name of the network whose node or tracker to stop, where several run.
    #[arg(value_name = "NETWORK")]
    network: Option<String>,
    /// How long to wait until it is gone [default: 60s].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    let timeout = super::send::timeout(arguments.timeout.as_deref(), context)?;
    let mut running = all_running(&context.directories.runtime);
    if let Some(network) = &arguments.network {
        let mut others: Vec<String> = running.iter().map(|node| format!("`{}`", node.network)).collect();
        others.dedup();
        running.retain(|node| node.network == *network);
        if running.is_empty() {
            let message = format!("no node and no tracker of `{network}` runs here");
            let failure = CliError::unreachable("no-node", message);
            return Err(match others.as_slice() {
                [] => failure.help("nothing is left to stop"),
                _ => failure.help(format!("what runs here is of {}", others.join(" and "))),
            });
        }
    }
    let (url, record) = find_node(context.settings.get("node"), &running).map_err(|error| {
        let first = running.first().map_or("URL", |node| node.api.as_str());
        match error.code() {
            "several-nodes" => error.help(format!("say which: `cairn stop --node {first}`")),
            "no-node" => CliError::unreachable("no-node", "no node and no tracker runs here")
                .help("nothing is left to stop"),
            _ => error,
        }
    })?;
    let Some(node) = record else {
        let message = format!("{} is no node and no tracker that runs here", url.as_str());
        return Err(CliError::failed("not-here", message).help(match running.first() {
            None => "stop it on the machine where it runs".to_owned(),
            Some(first) => format!(
                "stop it on the machine where it runs; here runs {} of {}, at {}",
                first.title(),
                first.network,
                first.api
            ),
        }));
    };
    // Asked over its interface and not by a signal: a process that merely has its number is left alone.
    let client = context.client_of(url, Some(node))?;
    context.block_on(async {
        let _: ShutdownAnswer = client.command("/v1/shutdown", &json!({})).await?;
        Ok(())
    })?;
    wait_until_gone(node, timeout)?;
    if context.json {
        output::print_json(&json!({
            "stopped": true, "kind": node.kind, "name": node.name, "network": node.network, "pid": node.pid,
        }));
    } else {
        let mark = Style::Good.paint("stopped", output::colours_on_stdout());
        output::print_line(&format!("{mark} {} of {} (pid {})", node.title(), node.network, node.pid));
    }
    Ok(())
}

fn wait_until_gone(node: &RunningNode, timeout: Duration) -> Result<(), CliError> {
    let started = Instant::now();
    while is_alive(node.pid) {
        if started.elapsed() >= timeout {
            let message = format!(
                "{} of {}, process {}, still runs after {} s",
                node.title(),
                node.network,
                node.pid,
                timeout.as_secs()
            );
            return Err(CliError::timed_out("still-running", message)
                .help(format!("look at its messages, or end it at once: kill -9 {}", node.pid)));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
