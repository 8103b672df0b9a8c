//! What every command has at hand: the settings, the directories, and the node to talk to.

use super::Global;
use crate::client::Client;
use crate::config::{Settings, mistyped_variables};
use crate::failure::CliError;
use crate::output::{self, plural};
use crate::paths::{Directories, Kind, RunningNode, all_running, running_nodes};
use crate::values::{NodeTrust, NodeUrl, parse_duration};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// What every command has at hand.
#[derive(Debug)]
pub(crate) struct Context {
    /// Whether data and errors are JSON.
    pub(crate) json: bool,
    /// Whether a command that goes on tells no progress.
    pub(crate) quiet: bool,
    /// The settings, flags included.
    pub(crate) settings: Settings,
    /// Where things lie.
    pub(crate) directories: Directories,
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self, CliError> {
        let directories = Directories::of_user()?;
        let asked = global.config.or_else(|| std::env::var_os("CAIRN_CONFIG").map(PathBuf::from));
        let file = asked.clone().unwrap_or_else(|| directories.config.join("cairn.toml"));
        let environment = |name: &str| std::env::var(name).ok();
        let mut settings = Settings::load(&file, asked.is_some(), environment)?;
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for (name, meant) in mistyped_variables(names) {
            output::warn(&format!("{name} is not known and means nothing: did you mean {meant}?"));
        }
        settings.flag("node", global.node)?;
        settings.flag("token_file", global.token_file)?;
        settings.flag("node_cert", global.node_cert)?;
        settings.flag("wallet", global.wallet)?;
        Ok(Self { json: global.json, quiet: false, settings, directories })
    }

    /// Runs `work` to its end on this thread.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            CliError::failed("no-runtime", "the system gives no event queue").because(&error)
        })?;
        runtime.block_on(work)
    }

    /// A client of the node that the settings name, or of the one that runs here.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let running = running_nodes(&self.directories.runtime);
        let (url, record) = find_node(self.settings.get("node"), &running)?;
        self.client_of(url, record)
    }

    /// The same; where no node runs here, of the tracker that does.
    pub(crate) fn client_or_tracker(&self) -> Result<Client, CliError> {
        let mut running = running_nodes(&self.directories.runtime);
        if running.is_empty() {
            running = all_running(&self.directories.runtime);
        }
        let (url, record) = find_node(self.settings.get("node"), &running)?;
        self.client_of(url, record)
    }

    /// A client of the node at `url`; its entry in the register, if it has one, knows its token and its
    /// certificate where the settings say nothing.
    pub(crate) fn client_of(&self, url: NodeUrl, record: Option<&RunningNode>) -> Result<Client, CliError> {
        let token_file = self.settings.get("token_file").map(PathBuf::from);
        let token_file = token_file.or_else(|| record.map(|node| node.token_file.clone()));
        let known = self.settings.get("node_cert").or_else(|| record?.fingerprint.as_deref());
        let trust = known.map(NodeTrust::parse).transpose();
        let trust = trust.map_err(|error| CliError::usage("wrong-value", error.to_string()))?;
        let client = Client::new(url, token_file);
        match trust {
            Some(trust) => Ok(client.trusting(&trust)?),
            None => Ok(client),
        }
    }

    /// How long a command waits for what it asked for.
    pub(crate) fn timeout(&self) -> Duration {
        let text = self.settings.get("timeout").expect("the timeout has a default");
        parse_duration(text).expect("settings are checked when they are read")
    }
}

/// The node that was named, or else the only one that runs; with its entry in the register, if it has one.
pub(crate) fn find_node<'a>(
    named: Option<&str>,
    running: &'a [RunningNode],
) -> Result<(NodeUrl, Option<&'a RunningNode>), CliError> {
    if let Some(named) = named {
        let url = NodeUrl::parse(named).expect("settings are checked when they are read");
        let record = running.iter().find(|node| node.api.trim_end_matches('/') == url.as_str());
        return Ok((url, record));
    }
    match running {
        [] => Err(CliError::unreachable("no-node", "no node runs here, and none was named")
            .help("start one: `cairn devnet`; or say where it is: `--node http://HOST:PORT`")),
        // The nodes of one process are a devnet: the first of them is as good as any.
        [node, others @ ..] if others.iter().all(|other| other.pid == node.pid) => {
            let url = NodeUrl::parse(&node.api).map_err(|error| {
                CliError::unreachable("no-node", format!("the register names {}", node.api)).because(&error)
            })?;
            Ok((url, Some(node)))
        }
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|node| format!("  {}  {} of {}, pid {}", node.api, node.title(), node.network, node.pid))
                .collect();
            let message = format!("{} run here:\n{}", counted(several), list.join("\n"));
            let first = several.first().map_or("URL", |node| node.api.as_str());
            Err(CliError::usage("several-nodes", message).help(format!("say which: `--node {first}`")))
        }
    }
}

/// How many nodes and trackers there are: "2 nodes and 1 tracker".
fn counted(running: &[RunningNode]) -> String {
    let of = |kind| running.iter().filter(|it| it.kind == kind).count() as u64;
    match (of(Kind::Node), of(Kind::Tracker)) {
        (nodes, 0) => plural(nodes, "node"),
        (0, trackers) => plural(trackers, "tracker"),
        (nodes, trackers) => format!("{} and {}", plural(nodes, "node"), plural(trackers, "tracker")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn running(port: u16) -> RunningNode {
        RunningNode {
            kind: Kind::Node,
            pid: 1,
            name: "n0".to_owned(),
            api: format!("http://127.0.0.1:{port}"),
            network: "devnet".to_owned(),
            identity: String::new(),
            data_dir: PathBuf::new(),
            token_file: PathBuf::from("/token"),
            fingerprint: None,
        }
    }

    #[test]
    fn a_named_node_wins_and_finds_its_token_in_the_register() {
        let nodes = [running(1), running(2)];
        let (url, record) = find_node(Some("http://127.0.0.1:2/"), &nodes).unwrap();
        assert_eq!((url.as_str(), record), ("http://127.0.0.1:2", nodes.get(1)));
        assert_eq!(find_node(Some("http://127.0.0.1:3"), &nodes).unwrap().1, None);
    }

    #[test]
    fn the_only_node_is_found() {
        let nodes = [running(1)];
        assert_eq!(find_node(None, &nodes).unwrap().0.as_str(), "http://127.0.0.1:1");
    }

    #[test]
    fn of_a_devnet_the_first_node_is_asked() {
        let nodes = [running(1), running(2), running(3)];
        assert_eq!(find_node(None, &nodes).unwrap().0.as_str(), "http://127.0.0.1:1");
    }

    #[test]
    fn no_node_cannot_be_reached_and_several_must_be_told_apart() {
        assert_eq!(find_node(None, &[]).unwrap_err().exit(), Exit::Unreachable);
        let other = RunningNode { pid: 2, ..running(2) };
        let error = find_node(None, &[running(1), other]).unwrap_err();
        assert_eq!((error.exit(), error.code()), (Exit::Usage, "several-nodes"));
        assert!(error.message().contains("http://127.0.0.1:2"), "{error}");
        let tracker = RunningNode { kind: Kind::Tracker, pid: 3, ..running(3) };
        let error = find_node(None, &[running(1), tracker]).unwrap_err();
        assert!(error.message().starts_with("1 node and 1 tracker run here"), "{error}");
    }
}
