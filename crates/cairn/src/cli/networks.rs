//! `cairn network`: begins a network for several machines, and invites others to one.

use super::context::Context;
use super::genesis::{self, Options};
use crate::api::views::InviteView;
use crate::failure::CliError;
use crate::invite::{ADDRESSES_MAX, Invite, InviteError, outward_ip};
use crate::output::{self, Style};
use crate::tracker;
use crate::values::parse_name;
use cairn_core::genesis::Genesis;
use cairn_core::hash::BlockId;
use cairn_core::network::Mode;
use cairn_p2p::{Host, PeerAddress};
use serde::Deserialize;
use serde_json::json;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The unit of a node, of which those of a network are made.
const UNIT: &str = include_str!("../../../../packaging/cairn.service");
/// Where a network's files are when its units run.
const CONFIGURATION: &str = "/etc/cairn";
const STATE: &str = "/var/lib/cairn";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write the genesis of a new network, settings for its miner, node and tracker, units for systemd, and
    /// print the invite.
    #[command(after_help = "Examples:
  cairn network create mycoin --allocate cairn1…=1000000 --producer cairn1… --address coin.example:7760
  cairn network create play --devnet --allocate alice=1000 --reward 50

All three can run on this machine, beside each other; others join by the invite.")]
    Create(Box<CreateArguments>),
    /// Print an invite to the network of a node or a tracker that runs.
    #[command(after_help = "Examples:
  cairn network invite
  cairn network invite --address coin.example:7700
  cairn network invite --node http://127.0.0.1:7761")]
    Invite(InviteArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArguments {
    /// What people call the network.
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
    /// Where everything is written; left out, a directory with the name of the network.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where others reach the tracker; may be given up to four times [default: this machine, port 7760].
    #[arg(long, value_name = "HOST:PORT")]
    address: Vec<PeerAddress>,
    /// Who is paid for the blocks of the miner: an address, or a name on a development network.
    #[arg(long, value_name = "NAME|ADDRESS")]
    producer: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InviteArguments {
    /// Where others reach the node, instead of where it listens; may be given up to four times.
    #[arg(long, value_name = "HOST:PORT")]
    address: Vec<PeerAddress>,
}

/// What a node of a network is told about it.
#[derive(Debug, Deserialize)]
struct About {
    network: String,
    identity: crate::api::views::Hash,
}

pub(crate) fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Create(arguments) => create(&arguments, context),
        Command::Invite(arguments) => invite(arguments.address, context),
    }
}

fn invite(addresses: Vec<PeerAddress>, context: &Context) -> Result<(), CliError> {
    let client = context.client_or_tracker()?;
    let (invite, found) = context.block_on(async {
        if addresses.is_empty() {
            let view: InviteView = client.get("/v1/invite").await?;
            return Ok((view.invite, view.addresses));
        }
        let About { network, identity } = client.get("/v1/status").await?;
        let texts = addresses.iter().map(ToString::to_string).collect();
        Ok((invite_to(BlockId(identity.0), &network, addresses)?.to_string(), texts))
    })?;
    if context.json {
        output::print_json(&json!({ "invite": invite, "addresses": found }));
        return Ok(());
    }
    output::print_line(&invite);
    output::note(&format!("it leads to {}; elsewhere: cairn join INVITE", found.join(", ")));
    warn_of_loopback(&found);
    Ok(())
}

fn invite_to(identity: BlockId, name: &str, addresses: Vec<PeerAddress>) -> Result<Invite, CliError> {
    Invite::new(identity, name, addresses).map_err(|error: InviteError| {
        CliError::usage("wrong-value", error.to_string())
            .help(format!("give one to {ADDRESSES_MAX} addresses: `--address HOST:PORT`"))
    })
}

fn warn_of_loopback(addresses: &[String]) {
    let is_loopback = |address: &String| {
        let address: Option<PeerAddress> = address.parse().ok();
        matches!(address.map(|it| it.host), Some(Host::Ip(ip)) if ip.is_loopback())
    };
    if addresses.iter().all(is_loopback) {
        output::warn("it leads to this machine only: `--address HOST:PORT` says where others find it");
    }
}

fn create(arguments: &CreateArguments, context: &Context) -> Result<(), CliError> {
    let name = plain_name(&arguments.name);
    let directory = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(&name));
    let directory = std::path::absolute(&directory).map_err(|error| cannot_write(&directory, &error))?;
    let is_used = std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
    if is_used {
        let message = format!("{} is there and not empty", directory.display());
        return Err(CliError::failed("file-exists", message).help("name another one: `--dir DIR`"));
    }
    let addresses = match arguments.address.as_slice() {
        [] => vec![PeerAddress::of(SocketAddr::new(
            outward_ip(Ipv4Addr::UNSPECIFIED.into()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port_of(tracker::P2P_BIND),
        ))],
        named => named.to_vec(),
    };
    let genesis = genesis::make(&arguments.name, &arguments.options)?;
    let invite = invite_to(*genesis.identity(), &arguments.name, addresses.clone())?;
    let plan = Plan { name: &name, directory: &directory, genesis: &genesis, addresses: &addresses };
    plan.write(arguments.producer.as_deref()).map_err(|error| cannot_write(&directory, &error))?;
    plan.tell(&invite, context.json);
    Ok(())
}

/// The name of a network as part of the names of files.
fn plain_name(name: &str) -> String {
    let plain = |it: char| if it.is_ascii_alphanumeric() || "-_".contains(it) { it } else { '-' };
    name.chars().map(plain).collect()
}

fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("addresses of ours have ports")
}

/// A network that is being written.
struct Plan<'a> {
    name: &'a str,
    directory: &'a Path,
    genesis: &'a Genesis,
    /// Where its tracker is reached.
    addresses: &'a [PeerAddress],
}

/// What one machine of a network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Tracker,
    Miner,
    Node,
}

impl Part {
    const ALL: [Self; 3] = [Self::Tracker, Self::Miner, Self::Node];

    const fn name(self) -> &'static str {
        match self {
            Self::Tracker => "tracker",
            Self::Miner => "miner",
            Self::Node => "node",
        }
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Tracker => "tracker",
            Self::Miner | Self::Node => "node",
        }
    }
}

impl Plan<'_> {
    fn write(&self, producer: Option<&str>) -> io::Result<()> {
        let units = self.directory.join("systemd");
        std::fs::create_dir_all(&units)?;
        std::fs::write(self.directory.join("genesis.toml"), self.genesis.to_toml())?;
        for part in Part::ALL {
            let file = self.directory.join(format!("{}.toml", part.name()));
            std::fs::write(file, self.settings(part, producer))?;
            std::fs::write(units.join(format!("{}.service", self.unit_name(part))), self.unit(part))?;
        }
        Ok(())
    }

    fn unit_name(&self, part: Part) -> String {
        format!("cairn-{}-{}", self.name, part.name())
    }

    /// The settings of a part, for this machine.
    fn settings(&self, part: Part, producer: Option<&str>) -> String {
        let text = |value: String| toml::Value::String(value).to_string();
        let path = |name: &str| text(self.directory.join(name).display().to_string());
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let addresses = text(addresses.join(","));
        let (name, command) = (part.name(), part.command());
        let mut lines = format!(
            "# The {name} of {}: cairn --config {name}.toml {command}\n\n\
             genesis = {}\ndata_dir = {}\nname = {}\n",
            self.name,
            path("genesis.toml"),
            path(&format!("{name}-data")),
            text(format!("{}-{name}", self.name)),
        );
        // Ports that go beside each other on one machine.
        let more = match part {
            Part::Tracker => {
                let port = self.addresses.first().map_or_else(|| port_of(tracker::P2P_BIND), |it| it.port);
                format!("p2p_bind = \"0.0.0.0:{port}\"\naddresses = {addresses}\n")
            }
            Part::Miner => {
                format!(
                    "role = \"miner\"\ntrackers = {addresses}\np2p_bind = \"0.0.0.0:7700\"\n\
                     api_bind = \"127.0.0.1:7780\"\n{}",
                    self.reward(producer)
                )
            }
            Part::Node => format!(
                "trackers = {addresses}\np2p_bind = \"0.0.0.0:7701\"\napi_bind = \"127.0.0.1:7781\"\n"
            ),
        };
        lines.push_str(&more);
        lines
    }

    /// Who is paid for blocks.
    fn reward(&self, producer: Option<&str>) -> String {
        let is_devnet = self.genesis.section().network.devnet;
        let producer = producer.or(is_devnet.then_some("alice"));
        match (&self.genesis.section().mode, producer) {
            (Mode::PowPermit { .. }, _) => {
                "# The file with the key of a listed miner:\n# miner_key = \"miner.key\"\n".to_owned()
            }
            (_, Some(producer)) => format!("producer = {}\n", toml::Value::String(producer.to_owned())),
            (_, None) => {
                let prefix = self.genesis.section().network.prefix.as_str();
                format!("# Who is paid for its blocks:\n# producer = \"{prefix}1…\"\n")
            }
        }
    }

    /// The unit of a part: that of a node, with its own settings and directory.
    fn unit(&self, part: Part) -> String {
        let (name, command) = (self.name, part.command());
        let start = format!(
            "ExecStart=/usr/local/bin/cairn --config {CONFIGURATION}/{name}/{part}.toml {command} \
             --genesis {CONFIGURATION}/{name}/genesis.toml --data-dir {STATE}/{name}-{part}",
            part = part.name(),
        );
        let mut unit = String::new();
        for line in UNIT.lines() {
            let line = match line {
                "Description=Cairn node" => format!("Description=Cairn {} of {name}", part.name()),
                line if line.starts_with("# A node of Cairn") => {
                    format!(
                        "# The {} of {name} under systemd. Written by `cairn network create`.",
                        part.name()
                    )
                }
                line if line.starts_with("# Settings are in") => {
                    format!(
                        "# Settings are in {CONFIGURATION}/{name}, what it keeps in {STATE}/{name}-{}.",
                        part.name()
                    )
                }
                line if line.starts_with("ExecStart=") => start.clone(),
                // A tracker says when it is ready, and nothing after that.
                line if line.starts_with("WatchdogSec=") || line.starts_with("# The node says that") => {
                    if part == Part::Tracker {
                        continue;
                    }
                    line.to_owned()
                }
                line => line.to_owned(),
            };
            writeln!(unit, "{line}").expect("writing to a string does not fail");
        }
        unit
    }

    fn tell(&self, invite: &Invite, json: bool) {
        let identity = self.genesis.identity().to_string();
        let file = |name: &str| self.directory.join(name).display().to_string();
        let next = [
            format!("cairn --config {} tracker", file("tracker.toml")),
            format!("cairn --config {} node", file("miner.toml")),
            format!("cairn join {invite}"),
        ];
        if json {
            output::print_json(&json!({
                "directory": self.directory,
                "identity": identity,
                "invite": invite.to_string(),
                "next": next,
            }));
            return;
        }
        output::print_line(&invite.to_string());
        let colours = output::colours_on_stderr();
        let strong = |text: &str| Style::Strong.paint(text, colours);
        output::note(&format!("written to {}; the identity is {identity}", self.directory.display()));
        output::note("what to do next, the last on any other machine:");
        for command in &next {
            output::note(&format!("  {}", strong(command)));
        }
        if self.reward(None).starts_with('#') {
            output::note(&format!(
                "before the second: say in {} who is paid, unless you did",
                file("miner.toml")
            ));
        }
        warn_of_loopback(&self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}

fn cannot_write(directory: &Path, error: &io::Error) -> CliError {
    CliError::failed("unwritable-file", format!("{} cannot be written", directory.display()))
        .because(error)
        .help("name a directory that can be written: `--dir DIR`")
}
