//! `cairn devnet`: a development network on this machine.

use super::catching_up::{Follower, Look};
use super::context::Context;
use super::mine::mode_of;
use super::serving::{self, LogArguments, ReplayBar};
use crate::api::render::to_mining_mode;
use crate::api::views::DevnetReady;
use crate::config::MINE_CHOICES;
use crate::devnet::{self, API_PORT_OFFSET, DevnetError, DevnetSettings, PORT_BASE};
use crate::failure::CliError;
use crate::output::{self, Facts, Style, Table, ago, coins_text, grouped, left, right, whole};
use crate::run::SEALER_THREADS_MAX;
use crate::values::parse_duration;
use cairn_node::MiningMode;
use clap::builder::PossibleValuesParser;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The decimals of a devnet's coin, as its ready line counts them.
const DECIMALS: u8 = 8;
/// How far apart the port bases lie that are tried where one is taken.
const PORT_BASE_STEP: u16 = 200;
/// How many of them are tried.
const PORT_BASES_TRIED: u16 = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn devnet
  cairn devnet --mine on-transaction --ephemeral
  cairn devnet --json

Then, in another terminal:  cairn send --from alice --to bob --amount 25 --wait")]
pub(crate) struct Arguments {
    /// How many nodes, 1 to 32 [default: 3].
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// Who makes blocks: pow or pow+permit [default: pow].
    #[arg(long, value_name = "MODE")]
    consensus: Option<String>,
    /// How many validators; they come with a later release.
    #[arg(long, value_name = "N")]
    validators: Option<u32>,
    /// The time between blocks [default: 2s].
    #[arg(long, value_name = "DURATION")]
    block_time: Option<String>,
    /// When to make blocks [default: interval].
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(MINE_CHOICES))]
    mine: Option<String>,
    /// How many threads search for work.
    #[arg(
        long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(SEALER_THREADS_MAX))
    )]
    threads: u16,
    /// Where everything is kept; left out, the directory of the network `devnet`.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Ports are counted from here: node i meets the others at this one + i, and its HTTP interface is 80
    /// above that; 0 asks the system for them.
    #[arg(long, value_name = "PORT", default_value_t = PORT_BASE)]
    port_base: u16,
    /// Keep nothing: begin anew, and leave nothing behind.
    #[arg(long)]
    ephemeral: bool,
    /// Delete what an earlier devnet left, and begin anew.
    #[arg(long, conflicts_with = "ephemeral")]
    reset: bool,
    #[command(flatten)]
    log: LogArguments,
}

pub(crate) fn run(arguments: Arguments, mut context: Context) -> Result<(), CliError> {
    arguments.log.take(&mut context)?;
    serving::start_log("warn", &context)?;
    if let Some(found) = arguments.validators.filter(|count| *count > 0) {
        return Err(CliError::usage("validators-unsupported", format!("{found} validators were asked for"))
            .help("validators come with a later release; this one runs --consensus pow and pow+permit"));
    }
    let block_time = arguments.block_time.as_deref().map(|text| {
        parse_duration(text)
            .map_err(|error| CliError::usage("wrong-value", format!("--block-time is \"{text}\": {error}")))
    });
    let mode = arguments.mine.as_deref().map(|name| mode_of(name).map(to_mining_mode)).transpose()?;
    let data_directory =
        arguments.data_dir.unwrap_or_else(|| context.directories.data_of(devnet::NETWORK_NAME));
    let settings = DevnetSettings {
        nodes: arguments.nodes,
        consensus: arguments.consensus,
        block_time: block_time.transpose()?,
        mine: mode,
        threads: arguments.threads,
        data_directory,
        port_base: arguments.port_base,
        ephemeral: arguments.ephemeral,
        reset: arguments.reset,
        runtime_directory: context.directories.runtime.clone(),
    };
    let bar = ReplayBar::default();
    let mut follower = None;
    let served = devnet::run(
        &settings,
        |progress| bar.show(progress),
        |ready, first| {
            bar.finish();
            if context.json {
                output::print_json(ready);
            } else {
                welcome(ready, settings.ephemeral, settings.mine == Some(MiningMode::Manual));
            }
            follower = Follower::begin(first, Some(line_of), &context);
        },
    );
    bar.finish();
    drop(follower);
    served.map_err(|error| cannot_start(&error, &settings))
}

/// What people read when the network is ready.
fn welcome(ready: &DevnetReady, ephemeral: bool, is_manual: bool) {
    let colours = output::colours_on_stdout();
    let strong = |text: &str| Style::Strong.paint(text, colours);
    let faint = |text: &str| Style::Faint.paint(text, colours);
    output::print_line(&format!("{} {}", strong("cairn"), faint(super::VERSION)));
    output::print_line("");
    let mut facts = Facts::default();
    facts.add("network", &ready.network);
    facts.add("identity", ready.identity.to_string());
    facts.add("chain", &ready.data_dir);
    facts.add("kept", if ephemeral { "no" } else { "yes; `cairn devnet --reset` begins anew" });
    facts.print();
    output::print_line("");
    let mut table = Table::new(&[left("node"), left("role"), whole("interface"), whole("meets others at")]);
    for node in &ready.nodes {
        table.row([
            (Style::Strong, node.name.clone()),
            (Style::Plain, node.role.clone()),
            (Style::Name, node.api.clone()),
            (Style::Plain, node.p2p.clone().unwrap_or_default()),
        ]);
    }
    table.print();
    output::print_line("");
    let mut table = Table::new(&[left("account"), right("coins at the start"), whole("address")]);
    for account in &ready.accounts {
        table.row([
            (Style::Name, account.name.clone()),
            (Style::Strong, coins_text(account.balance.into(), DECIMALS)),
            (Style::Plain, account.address.clone()),
        ]);
    }
    table.print();
    output::print_line("");
    output::warn("these keys are published: never use them on a real network");
    output::print_line("\nTry, in another terminal:");
    let to_try: &[&str] = if is_manual {
        // Nobody should wait here for a block that nobody makes.
        &["cairn send --from alice --to bob --amount 25", "cairn mine", "cairn account bob"]
    } else {
        &["cairn send --from alice --to bob --amount 25 --wait", "cairn account bob", "cairn block"]
    };
    to_try.iter().for_each(|command| output::print_line(&format!("  {}", strong(command))));
    if is_manual {
        output::print_line("\nBlocks are made only when asked: `cairn mine` makes one.");
    }
    if let Some(first) = ready.nodes.first() {
        output::print_line(&format!(
            "\nOr look at it in a browser: {}",
            Style::Name.paint(&first.api, colours)
        ));
    }
    output::print_line("\nCtrl-C stops the network.\n");
}

/// How the chain grows, where nothing else is to be told.
fn line_of(look: &Look) -> String {
    format!(
        "block {}  {}  {} waiting",
        grouped(look.height),
        ago(super::account::now_ms(), look.tip_time_ms),
        grouped(look.waiting),
    )
}

/// Why there is no network, and what to type instead.
fn cannot_start(error: &DevnetError, settings: &DevnetSettings) -> CliError {
    let directory = settings.data_directory.as_path();
    let usage = |code| CliError::usage(code, error.to_string());
    let failure = |code| CliError::failed(code, error.to_string());
    match error {
        DevnetError::Nodes { .. } => usage("wrong-value").help("leave --nodes out for three"),
        DevnetError::Consensus { .. } => usage("mode-unsupported"),
        DevnetError::BlockTime { .. } => usage("wrong-value"),
        DevnetError::PortBase { .. } => usage("wrong-value").help("the highest port base is 65455"),
        DevnetError::OtherSettings { .. } => failure("other-settings").help(format!(
            "start it as it was made; or `cairn devnet --reset` deletes the chain in {}; or use another --data-dir",
            directory.display()
        )),
        DevnetError::NotADevnet { .. } => {
            failure("not-a-devnet").help("nothing in it was touched: use another --data-dir")
        }
        DevnetError::Mark { .. } | DevnetError::Genesis { .. } => failure("damaged")
            .because_of_source(error)
            .help("remove the directory yourself if nothing in it is needed, or use another --data-dir"),
        DevnetError::Directory { .. } => failure("cannot-open").because_of_source(error),
        DevnetError::Store(source) => super::local::cannot_open_store(source, directory),
        DevnetError::Service(source) => {
            serving::cannot_start(source, directory, &other_ports(settings))
        }
    }
}

/// How to ask for ports that are free now, above those that were asked for.
fn other_ports(settings: &DevnetSettings) -> String {
    let nodes = u16::try_from(settings.nodes.unwrap_or(devnet::NODES)).unwrap_or(u16::MAX);
    let is_free = |base: &u16| {
        let offsets = (0..nodes).chain((0..nodes).map(|number| API_PORT_OFFSET.saturating_add(number)));
        let mut ports = offsets.map(|offset| base.checked_add(offset));
        ports.all(|port| {
            port.is_some_and(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        })
    };
    let asked = settings.port_base;
    let bases = (1..=PORT_BASES_TRIED).map_while(|step| asked.checked_add(step * PORT_BASE_STEP));
    let choose = match bases.into_iter().find(is_free) {
        Some(base) => format!("choose other ports: `cairn devnet --port-base {base}`"),
        None => "let the system choose: `cairn devnet --port-base 0`".to_owned(),
    };
    format!("{choose}; or stop who is there: `cairn stop`")
}
