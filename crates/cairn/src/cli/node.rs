//! `cairn node`: a node of a network, in the foreground until it is stopped, or behind the terminal.

use super::background::{Background, Held, Part};
use super::catching_up::Follower;
use super::context::Context;
use super::features::FeatureArguments;
use super::local::{CONFIG_FILE, Local, LocalArguments, cache_bytes, keep_genesis};
use super::network::{Network, read_key};
use super::serving::{self, LogArguments, ReplayBar};
use crate::api::rates::Rates;
use crate::api::render::to_mining_mode;
use crate::config::{MINE_CHOICES, Origin, ROLE_CHOICES};
use crate::failure::CliError;
use crate::output::{self, Facts, Style};
use crate::run::NodeSettings;
use crate::run::links::LinkSettings;
use crate::run::service::{self, Exposure, Ready, ServiceSettings};
use crate::values::{parse_name, parse_peers, parse_work};
use cairn_core::address::Address;
use cairn_core::genesis::Genesis;
use cairn_core::network::Mode;
use cairn_node::MiningMode;
use cairn_p2p::Roles;
use cairn_wallet::SigningKey;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn node --genesis mycoin.toml
  cairn node --genesis mycoin.toml --role miner --producer cairn1… --threads 4
  cairn node --data-dir ~/.local/share/cairn/mycoin
  cairn node --genesis mycoin.toml --api-bind 0.0.0.0:7780 --api-hosts node.example
  cairn node --daemon --pidfile /run/user/1000/mycoin.pid

The first start copies the genesis file into the data directory; later ones need no --genesis.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    local: LocalArguments,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    background: Background,
}

/// How a node is, wherever its network lies.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What the node does: full keeps and checks everything, miner also makes blocks, tracker introduces
    /// nodes to each other and keeps nothing.
    #[arg(long, value_name = "ROLE", value_parser = PossibleValuesParser::new(ROLE_CHOICES))]
    role: Option<String>,
    /// What the node is called [default: node].
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = parse_name)]
    name: Option<String>,
    /// Where it accepts connections of other nodes [default: 0.0.0.0:7700]; port 0 asks the system for
    /// one, `none` accepts none.
    #[arg(long, value_name = "ADDRESS:PORT")]
    p2p_bind: Option<String>,
    /// A node to which it keeps a connection, as HOST:PORT or ID@HOST:PORT; may be given several times.
    #[arg(long, value_name = "PEER")]
    peer: Vec<String>,
    /// A tracker that it asks who else is there, as HOST:PORT or ID@HOST:PORT; may be given several times.
    #[arg(long, value_name = "TRACKER")]
    tracker: Vec<String>,
    /// Follow no chain of other nodes with less work than this, in hashes: what /v1/status of a
    /// node that you trust calls `work`.
    #[arg(long, value_name = "HASHES")]
    minimum_work: Option<String>,
    /// Where its HTTP interface listens; port 0 asks the system for one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    api_bind: Option<String>,
    /// Names under which others ask it, with commas between them.
    #[arg(long, value_name = "NAME,…")]
    api_hosts: Option<String>,
    /// A PEM file with the certificate of the interface; without one, the node makes one itself where others
    /// can reach it.
    #[arg(long, value_name = "FILE")]
    api_tls_cert: Option<String>,
    /// The PEM file with the key to that certificate.
    #[arg(long, value_name = "FILE")]
    api_tls_key: Option<String>,
    /// How many reads a second one client of another machine may send [default: 100].
    #[arg(long, value_name = "NUMBER")]
    api_reads: Option<String>,
    /// How many other requests a second one client of another machine may send [default: 50].
    #[arg(long, value_name = "NUMBER")]
    api_writes: Option<String>,
    /// Who is paid for its blocks: an address, or a name on a development network.
    #[arg(long, value_name = "NAME|ADDRESS")]
    producer: Option<String>,
    /// The file with the key of a permitted miner, where genesis lists miners.
    #[arg(long, value_name = "FILE")]
    miner_key: Option<String>,
    /// When a miner makes blocks [default: continuous].
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(MINE_CHOICES))]
    mine: Option<String>,
    /// How many threads a miner searches for work with, 1 to 256 [default: 1].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    threads: Option<String>,
    /// How much the database may cache [default: 64MiB].
    #[arg(long, value_name = "SIZE")]
    cache: Option<String>,
    #[command(flatten)]
    features: FeatureArguments,
    #[command(flatten)]
    log: LogArguments,
}

impl Options {
    /// Puts what was said before all other settings.
    pub(crate) fn take(self, context: &mut Context) -> Result<(), CliError> {
        let settings = &mut context.settings;
        let listed = |list: Vec<String>| (!list.is_empty()).then(|| list.join(","));
        settings.flag("role", self.role)?;
        settings.flag("name", self.name)?;
        settings.flag("p2p_bind", self.p2p_bind)?;
        settings.flag("peers", listed(self.peer))?;
        settings.flag("trackers", listed(self.tracker))?;
        settings.flag("minimum_work", self.minimum_work)?;
        settings.flag("api_bind", self.api_bind)?;
        settings.flag("api_hosts", self.api_hosts)?;
        settings.flag("api_tls_cert", self.api_tls_cert)?;
        settings.flag("api_tls_key", self.api_tls_key)?;
        settings.flag("api_reads", self.api_reads)?;
        settings.flag("api_writes", self.api_writes)?;
        settings.flag("producer", self.producer)?;
        settings.flag("miner_key", self.miner_key)?;
        settings.flag("mine", self.mine)?;
        settings.flag("threads", self.threads)?;
        settings.flag("cache", self.cache)?;
        self.features.take(settings)?;
        self.log.take(context)
    }
}

pub(crate) fn run(arguments: Arguments, mut context: Context) -> Result<(), CliError> {
    let Arguments { local, options, background } = arguments;
    options.take(&mut context)?;
    check_role(context.settings.get("role").unwrap_or("full"))?;
    let local = Local::find(local, &mut context)?;
    context.settings.take_network_file(&local.directory.join(CONFIG_FILE))?;
    let is_tracker = context.settings.get("role") == Some("tracker");
    let part = if is_tracker { Part::Tracker } else { Part::Node };
    match background.enter(part, &local.directory, &context)? {
        Some(held) => start(local, &held, &context),
        None => Ok(()),
    }
}

/// Runs a node of a network that is here, as the settings say, until it is stopped.
pub(crate) fn start(local: Local, held: &Held, context: &Context) -> Result<(), CliError> {
    let Local { genesis, directory } = local;
    serving::start_log("info", context)?;
    let role = context.settings.get("role").unwrap_or("full").to_owned();
    check_role(&role)?;
    if role == "tracker" {
        return super::tracker::start(&genesis, &directory, held, context);
    }
    let name = context.settings.get("name").unwrap_or("node").to_owned();
    let bind = context.settings.get("api_bind").expect("the address has a default");
    let bind: SocketAddr = bind.parse().expect("settings are checked when they are read");
    let mut node = NodeSettings::new(genesis.clone(), directory.clone());
    node.cache_bytes = cache_bytes(context);
    if let Some(work) = context.settings.get("minimum_work") {
        node.minimum_work = parse_work(work).expect("settings are checked when they are read");
    }
    if role == "miner" {
        let (producer, key) = producer(&genesis, context)?;
        node.mining.producer = Some(producer);
        node.mining.mode = mining_mode(context)?;
        node.miner_key = key;
        let threads = context.settings.get("threads").expect("the number of threads has a default");
        node.sealer_threads = threads.parse().expect("settings are checked when they are read");
    } else {
        check_no_miner(&role, context)?;
    }
    let links = links(context, &name, &role);
    let service = ServiceSettings {
        node,
        name,
        role,
        exposure: exposure(context, bind)?,
        token_directory: directory.clone(),
        faucet: None,
        links: Some(links),
        runtime_directory: context.directories.runtime.clone(),
    };
    let bar = ReplayBar::default();
    let mut follower = None;
    let served = service::run(
        service,
        |progress| bar.show(progress),
        |ready, handle| {
            bar.finish();
            if let Err(error) = keep_genesis(&genesis, &directory) {
                output::warn(&format!("later starts need --genesis: {}", error.message()));
            }
            held.tell_ready(|| tell_ready(ready, &genesis, &directory, context.json));
            follower = Follower::begin(handle, None, context);
        },
    );
    bar.finish();
    drop(follower);
    let other_port = "choose another: `--api-bind 127.0.0.1:0` asks the system for one";
    served.map_err(|error| serving::cannot_start(&error, &directory, other_port))
}

/// How the node meets others.
fn links(context: &Context, name: &str, role: &str) -> LinkSettings {
    const CHECKED: &str = "settings are checked when they are read";
    let listen = match context.settings.get("p2p_bind").expect("the address has a default") {
        "none" => Vec::new(),
        bind => vec![bind.parse().expect(CHECKED)],
    };
    let listed = |key| context.settings.get(key).map(|peers| parse_peers(peers).expect(CHECKED));
    let roles = if role == "miner" { Roles::FULL.and(Roles::MINER) } else { Roles::FULL };
    LinkSettings {
        listen,
        peers: listed("peers").unwrap_or_default(),
        trackers: listed("trackers").unwrap_or_default(),
        name: name.to_owned(),
        roles,
        loopback_is_one_host: false,
        features: FeatureArguments::chosen(&context.settings),
    }
}

fn tell_ready(ready: &Ready, genesis: &Genesis, directory: &Path, json: bool) {
    let network = &genesis.section().network.name;
    let identity = genesis.identity().to_string();
    if json {
        output::print_json(&json!({
            "ready": true,
            "network": network,
            "identity": identity,
            "api": ready.api,
            "p2p": ready.p2p,
            "id": ready.id.map(|id| id.to_string()),
            "data_dir": directory,
            "token_file": ready.token_file,
            "fingerprint": ready.fingerprint,
            "pid": std::process::id(),
        }));
        return;
    }
    let mut facts = Facts::default();
    facts.styled("network", Style::Strong, network);
    facts.add("identity", identity);
    facts.styled("interface", Style::Name, &ready.api);
    for address in &ready.p2p {
        facts.add("other nodes", address.to_string());
    }
    if let Some(fingerprint) = &ready.fingerprint {
        facts.add("certificate", fingerprint.clone());
    }
    facts.add("chain", directory.display().to_string());
    facts.print();
    output::note("ready; Ctrl-C or `cairn stop` stops it");
}

/// Where the interface listens, and how others reach it.
pub(super) fn exposure(context: &Context, bind: SocketAddr) -> Result<Exposure, CliError> {
    let settings = &context.settings;
    let file = |key| settings.get(key).map(PathBuf::from);
    let certificate = match (file("api_tls_cert"), file("api_tls_key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            return Err(CliError::usage("usage", "a certificate and its key are given together")
                .help("give both: `--api-tls-cert FILE --api-tls-key FILE`"));
        }
    };
    let rate = |key| {
        let value = settings.get(key).expect("the rates have defaults");
        value.parse().expect("settings are checked when they are read")
    };
    let names = settings.get("api_hosts").unwrap_or_default().split(',').map(str::trim);
    Ok(Exposure {
        bind,
        names: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        certificate,
        rates: Rates { reads: rate("api_reads"), writes: rate("api_writes") },
    })
}

/// The roles that this release has.
pub(super) fn check_role(role: &str) -> Result<(), CliError> {
    match role {
        "full" | "miner" | "tracker" => Ok(()),
        later => Err(CliError::usage("role-unsupported", format!("role {later} comes with a later release"))
            .help("the roles of this release are full, miner and tracker")),
    }
}

/// Refuses flags for miners on a node that makes no blocks. What its files or the environment say of miners
/// may be meant for another node or another time: it is left out, and said to be.
fn check_no_miner(role: &str, context: &Context) -> Result<(), CliError> {
    for key in ["producer", "miner_key", "mine", "threads"] {
        match context.settings.origin(key) {
            Some(Origin::Flag(_)) => {
                let message = format!("`{}` is for miners, this node is to be {role}", key.replace('_', "-"));
                return Err(CliError::usage("not-a-miner", message).help("make it one: `--role miner`"));
            }
            Some(origin @ (Origin::Environment(_) | Origin::File(..))) => {
                output::warn(&format!(
                    "`{key}` ({origin}) is for miners and does nothing: this node is {role}"
                ));
            }
            Some(Origin::Default) | None => {}
        }
    }
    Ok(())
}

fn mining_mode(context: &Context) -> Result<MiningMode, CliError> {
    super::mine::mode_of(context.settings.get("mine").unwrap_or("continuous")).map(to_mining_mode)
}

/// Who is paid for blocks, and with which key they are sealed.
fn producer(genesis: &Genesis, context: &Context) -> Result<(Address, Option<SigningKey>), CliError> {
    let network = Network::of_genesis(genesis);
    let named = context.settings.get("producer").map(|text| network.account(text)).transpose()?;
    let key = context.settings.get("miner_key").map(|file| read_key(Path::new(file))).transpose()?;
    match (&genesis.section().mode, named, key) {
        (Mode::PowPermit { .. }, named, Some(key)) => {
            let address = key.address();
            if genesis.rules().authority(&address).is_none() {
                let public = const_hex::encode(key.public_bytes());
                return Err(CliError::usage("not-listed", "genesis does not list this miner's key")
                    .help(format!("its public key is {public}: it belongs into `consensus.miners`")));
            }
            if named.is_some_and(|named| named != address) {
                return Err(CliError::usage(
                    "wrong-producer",
                    "a listed miner is paid to the account of its key",
                )
                .help("leave --producer out"));
            }
            Ok((address, Some(key)))
        }
        (Mode::PowPermit { .. }, _, None) => {
            Err(CliError::usage("no-key", "only listed miners make blocks on this network")
                .help("give the file with the key of one: `--miner-key FILE`"))
        }
        (_, Some(address), None) => Ok((address, None)),
        (_, None, Some(key)) => Ok((key.address(), None)),
        (_, Some(_), Some(_)) => {
            Err(CliError::usage("usage", "`--producer` and `--miner-key` both say who is paid")
                .help("give one"))
        }
        (_, None, None) => Err(CliError::usage("no-producer", "nobody is named to be paid for blocks")
            .help("say who: `--producer ADDRESS`")),
    }
}
