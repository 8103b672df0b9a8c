//! `cairn tracker`: introduces the nodes of a network to each other.

use super::background::{Background, Held, Part};
use super::context::Context;
use super::features::{FeatureArguments, ReachArguments};
use super::local::{CONFIG_FILE, Local, LocalArguments, keep_genesis};
use super::node::exposure;
use super::serving::{self, LogArguments};
use crate::config::Origin;
use crate::failure::CliError;
use crate::output::{self, Facts, Style};
use crate::tracker::{self, Ready, TTL, TTL_MAX, TTL_MIN, TrackerError, TrackerSettings};
use crate::values::{parse_duration, parse_name, parse_peers};
use cairn_core::genesis::Genesis;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn tracker --genesis mycoin.toml
  cairn tracker --genesis mycoin.toml --address tracker.example:7760 --ttl 1h
  cairn tracker --genesis mycoin.toml --daemon --pidfile tracker.pid
  curl -s http://127.0.0.1:7761/v1/peers

Nodes ask it with `--tracker HOST:PORT`. It keeps no chain; `cairn node --role tracker` is the same.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    local: LocalArguments,
    /// What the tracker is called [default: tracker].
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = parse_name)]
    name: Option<String>,
    /// Where it accepts connections of nodes [default: 0.0.0.0:7760]; port 0 asks the system for one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    p2p_bind: Option<String>,
    /// Where its HTTP interface listens [default: 127.0.0.1:7761]; beyond this machine it speaks TLS.
    #[arg(long, value_name = "ADDRESS:PORT")]
    http_bind: Option<String>,
    /// How long a node is known after the last sign of it [default: 30m].
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Where nodes find it, as HOST:PORT, for invites; may be given up to four times.
    #[arg(long, value_name = "HOST:PORT")]
    address: Vec<String>,
    /// Names under which others ask its HTTP interface, with commas between them.
    #[arg(long, value_name = "NAME,…")]
    api_hosts: Option<String>,
    /// A PEM file with the certificate of that interface; without one, the tracker makes one itself where
    /// others can reach it.
    #[arg(long, value_name = "FILE")]
    api_tls_cert: Option<String>,
    /// The PEM file with the key to that certificate.
    #[arg(long, value_name = "FILE")]
    api_tls_key: Option<String>,
    #[command(flatten)]
    reach: ReachArguments,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    background: Background,
}

pub(crate) fn run(arguments: Arguments, mut context: Context) -> Result<(), CliError> {
    let settings = &mut context.settings;
    let addresses = (!arguments.address.is_empty()).then(|| arguments.address.join(","));
    settings.flag("name", arguments.name)?;
    settings.flag("p2p_bind", arguments.p2p_bind)?;
    settings.flag("http_bind", arguments.http_bind)?;
    settings.flag("ttl", arguments.ttl)?;
    settings.flag("addresses", addresses)?;
    settings.flag("api_hosts", arguments.api_hosts)?;
    settings.flag("api_tls_cert", arguments.api_tls_cert)?;
    settings.flag("api_tls_key", arguments.api_tls_key)?;
    arguments.reach.take(settings)?;
    arguments.log.take(&mut context)?;
    let Local { genesis, directory } = Local::find(arguments.local, &mut context)?;
    context.settings.take_network_file(&directory.join(CONFIG_FILE))?;
    match arguments.background.enter(Part::Tracker, &directory, &context)? {
        Some(held) => {
            serving::start_log("info", &context)?;
            start(&genesis, &directory, &held, &context)
        }
        None => Ok(()),
    }
}

/// Runs a tracker for a network that is here, as the settings say, until it is stopped.
pub(crate) fn start(
    genesis: &Genesis,
    directory: &Path,
    held: &Held,
    context: &Context,
) -> Result<(), CliError> {
    const CHECKED: &str = "settings are checked when they are read";
    let settings = &context.settings;
    let is_default = settings.origin("p2p_bind").is_none_or(|origin| *origin == Origin::Default);
    let listen = match settings.get("p2p_bind").filter(|_| !is_default).unwrap_or(tracker::P2P_BIND) {
        "none" => {
            return Err(CliError::usage("usage", "a tracker that accepts no connections tracks nobody")
                .help("give an address: `--p2p-bind 0.0.0.0:7760`"));
        }
        bind => bind.parse().expect(CHECKED),
    };
    let http: SocketAddr = settings.get("http_bind").unwrap_or(tracker::HTTP_BIND).parse().expect(CHECKED);
    let addresses = settings.get("addresses").map(|list| parse_peers(list).expect(CHECKED));
    let tracker = TrackerSettings {
        genesis: genesis.clone(),
        directory: directory.join(tracker::DIRECTORY),
        name: settings.get("name").unwrap_or("tracker").to_owned(),
        listen: vec![listen],
        exposure: exposure(context, http)?,
        ttl: ttl(settings.get("ttl"))?,
        addresses: addresses.unwrap_or_default(),
        runtime_directory: context.directories.runtime.clone(),
        features: FeatureArguments::chosen(settings),
    };
    let ran = tracker::run(tracker, |ready| {
        if let Err(error) = keep_genesis(genesis, directory) {
            output::warn(&format!("later starts need --genesis: {}", error.message()));
        }
        held.tell_ready(|| tell_ready(ready, genesis, directory, context.json));
    });
    ran.map_err(|error| cannot_start(&error, directory))
}

/// The time after which a node is forgotten.
fn ttl(text: Option<&str>) -> Result<Duration, CliError> {
    let ttl = text.map_or(TTL, |text| parse_duration(text).expect("settings are checked when they are read"));
    if (TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Ok(ttl);
    }
    let message = format!(
        "--ttl is {} s, {} s to {} days are possible",
        ttl.as_secs(),
        TTL_MIN.as_secs(),
        TTL_MAX.as_secs() / 86_400
    );
    Err(CliError::usage("wrong-value", message).help("nodes come again after ten minutes: `--ttl 30m`"))
}

fn cannot_start(error: &TrackerError, directory: &Path) -> CliError {
    match error {
        TrackerError::Service(error) => {
            let other_port = "choose another: `--http-bind 127.0.0.1:0` asks the system for one";
            serving::cannot_start(error, directory, other_port)
        }
        TrackerError::Directory { source, .. } => {
            CliError::failed("cannot-open", error.to_string()).because(source)
        }
        TrackerError::Held(_) => CliError::failed("in-use", error.to_string()).help(
            "a tracker runs on this directory: stop that first, `cairn stop`, or use another --data-dir",
        ),
    }
}

fn tell_ready(ready: &Ready, genesis: &Genesis, directory: &Path, json: bool) {
    let network = &genesis.section().network.name;
    let identity = genesis.identity().to_string();
    if json {
        output::print_json(&json!({
            "ready": true,
            "role": "tracker",
            "network": network,
            "identity": identity,
            "id": ready.id.to_string(),
            "p2p": ready.p2p,
            "http": ready.http,
            "token_file": ready.token_file,
            "fingerprint": ready.fingerprint,
            "data_dir": directory,
            "pid": std::process::id(),
        }));
        return;
    }
    let mut facts = Facts::default();
    facts.styled("network", Style::Strong, network);
    facts.add("identity", identity);
    for address in &ready.p2p {
        facts.styled("nodes come to", Style::Name, format!("{}@{address}", ready.id));
    }
    facts.styled("interface", Style::Name, &ready.http);
    if let Some(fingerprint) = &ready.fingerprint {
        facts.add("certificate", fingerprint.clone());
    }
    facts.print();
    output::note("ready; Ctrl-C or `cairn stop` stops it");
}
