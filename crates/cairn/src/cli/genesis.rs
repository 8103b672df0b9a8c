//! `cairn genesis`: make, check, show and name the file that begins a network.

use super::account::now_ms;
use crate::cli::context::Context;
use crate::failure::CliError;
use crate::output::{self, Facts, Progress, Style, Table, coins_text, grouped, left, plural, right};
use crate::values::parse_name;
use cairn_core::genesis::{GENESIS_TEXT_BYTES_MAX, Genesis, GenesisDraft, GenesisError, GenesisProblem};
use cairn_core::network::{ConsensusSection, Mode};
use cairn_core::numbers::{Amount, Height, WorkNonce};
use cairn_wallet::development_account;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use toml::{Table as TomlTable, Value};

mod rules;

/// How many work nonces are tried between two looks at the progress bar: some tenths of a second.
const NONCES_A_SLICE: u64 = 1 << 20;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write a genesis file and mine its block 0.
    #[command(after_help = "Examples:
  cairn genesis new --name mycoin --allocate cairn1…=1000000 --output mycoin.toml
  cairn genesis new --name play --devnet --allocate alice=1000 --reward 50

The file has every setting with a comment: edit it as you like, and `cairn genesis check` it.")]
    New(Box<NewArguments>),
    /// Check a genesis file; mistakes are shown at their line.
    #[command(after_help = "Example:
  cairn genesis check mycoin.toml")]
    Check(FileArgument),
    /// Show what a genesis file says.
    #[command(after_help = "Example:
  cairn genesis show mycoin.toml")]
    Show(FileArgument),
    /// Print the network's identity: the id of block 0.
    #[command(after_help = "Example:
  cairn genesis hash mycoin.toml")]
    Hash(FileArgument),
}

#[derive(Debug, clap::Args)]
pub(crate) struct FileArgument {
    /// The genesis file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArguments {
    /// What people call the network.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = parse_name)]
    name: String,
    #[command(flatten)]
    options: Options,
    /// Where to write the file; left out, NAME.toml; - for standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

/// What a new network is like.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What people call the coin [default: COIN].
    #[arg(long, value_name = "TEXT")]
    symbol: Option<String>,
    /// How many decimals a coin has [default: 8].
    #[arg(long, value_name = "N")]
    decimals: Option<u8>,
    /// How addresses begin [default: cairn].
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Who makes blocks: pow, pow+permit, bft or pow+finality [default: pow].
    #[arg(long, value_name = "MODE")]
    consensus: Option<String>,
    /// The ed25519 key of a permitted miner, 64 hexadecimal digits; once for each.
    #[arg(long, value_name = "KEY")]
    miner: Vec<String>,
    /// The ed25519 key of a validator, 64 hexadecimal digits; once for each.
    #[arg(long, value_name = "KEY")]
    validator: Vec<String>,
    /// The intended time between blocks [default: 10s].
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// How many hashes a block takes on average, at first.
    #[arg(long, value_name = "HASHES")]
    work: Option<u64>,
    /// Keep the difficulty as it is at first.
    #[arg(long)]
    fixed_difficulty: bool,
    /// How many coins block 1 brings [default: 0].
    #[arg(long, value_name = "COINS", allow_negative_numbers = true)]
    reward: Option<String>,
    /// After how many blocks the reward halves.
    #[arg(long, value_name = "BLOCKS")]
    halving_every: Option<u64>,
    /// How many coins all blocks together bring at most.
    #[arg(long, value_name = "COINS", allow_negative_numbers = true)]
    cap: Option<String>,
    /// Let the base fee move with demand, as a network for everybody wants it.
    #[arg(long)]
    public: bool,
    /// Who begins with how many coins; once for each. With --devnet also alice, bob, carol or faucet.
    #[arg(long, value_name = "ADDRESS=COINS")]
    allocate: Vec<String>,
    /// Let everybody use the published development keys: for play and for tests.
    #[arg(long)]
    devnet: bool,
}

pub(crate) fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::New(arguments) => new(&arguments, context.json),
        Command::Check(FileArgument { file }) => check(&file, context.json),
        Command::Show(FileArgument { file }) => show(&file, context.json),
        Command::Hash(FileArgument { file }) => {
            let genesis = read(&file)?;
            if context.json {
                output::print_json(&json!({ "identity": genesis.identity().to_string() }));
            } else {
                output::print_line(&genesis.identity().to_string());
            }
            Ok(())
        }
    }
}

/// Reads and checks a genesis file.
pub(crate) fn read(file: &Path) -> Result<Genesis, CliError> {
    let text = read_text(file)?;
    Genesis::from_toml(&text).map_err(|problems| of_problems(problems.as_slice(), file, Some(&text)))
}

fn read_text(file: &Path) -> Result<String, CliError> {
    let name = file.display();
    let unreadable = |error: &std::io::Error| {
        CliError::failed("unreadable-file", format!("{name} cannot be read")).because(error)
    };
    let bytes = std::fs::metadata(file).map_err(|error| unreadable(&error))?.len();
    if bytes > GENESIS_TEXT_BYTES_MAX as u64 {
        let message = format!("{name} has {bytes} bytes, a genesis at most {GENESIS_TEXT_BYTES_MAX}");
        return Err(CliError::failed("genesis-invalid", message).rule("GEN-1"));
    }
    std::fs::read_to_string(file).map_err(|error| unreadable(&error))
}

/// All that is wrong, each at its place.
fn of_problems(problems: &[GenesisProblem], file: &Path, text: Option<&str>) -> CliError {
    let name = file.display().to_string();
    let message = match problems {
        [only] => format!("{name}: {only}"),
        several => format!("{name}: {} things are wrong", several.len()),
    };
    let mut failure = CliError::failed("genesis-invalid", message);
    if let Some(problem) = problems.first() {
        failure = failure.rule(rules::rule_of(&problem.error));
    }
    let label = |problem: &GenesisProblem| {
        let error = &problem.error;
        if problems.len() > 1 { format!("{}: {error}", rules::rule_of(error)) } else { error.to_string() }
    };
    let nowhere: Vec<String> =
        problems.iter().filter(|it| it.span.is_none()).map(ToString::to_string).collect();
    if let Some(text) = text {
        let labels = problems.iter().filter_map(|it| Some((it.span.clone()?, label(it)))).collect();
        failure = failure.at_all(&name, text, labels);
    }
    match problems.first().map(|problem| &problem.error) {
        Some(GenesisError::NotSealed { .. }) => failure
            .help("`cairn genesis new` mines block 0 and writes its nonce; or lower `genesis_block.work`"),
        Some(GenesisError::TooLittleWork { .. }) => failure
            .help("every setting is part of block 0: delete the line `work_nonce`, and a new nonce is found"),
        _ if problems.len() > 1 && !nowhere.is_empty() => failure.help(nowhere.join("\n")),
        _ => failure,
    }
}

fn new(arguments: &NewArguments, json: bool) -> Result<(), CliError> {
    let file = arguments.output.clone().unwrap_or_else(|| PathBuf::from(file_name(&arguments.name)));
    let is_shown = is_standard(&file);
    if file.exists() && !arguments.force && !is_shown {
        let error = exists(&file);
        return Err(error.help("give another --output; or --force replaces it, and with it the network"));
    }
    let genesis = make(&arguments.name, &arguments.options)?;
    if !is_shown {
        write_new(&file, &genesis.to_toml(), arguments.force)?;
    }
    let section = genesis.section();
    if json {
        let text = is_shown.then(|| genesis.to_toml());
        let identity = genesis.identity().to_string();
        output::print_json(&match text {
            Some(text) => json!({ "identity": identity, "text": text }),
            None => json!({ "file": file, "identity": identity }),
        });
        return Ok(());
    }
    if is_shown {
        output::print_line(genesis.to_toml().trim_end());
        output::note(&format!("identity {}", genesis.identity()));
        return Ok(());
    }
    output::print_line(&genesis.identity().to_string());
    let name = file.display();
    output::note(&format!("written to {name}; `cairn genesis show {name}` shows it"));
    if let Some(flags) = miner_flags(section) {
        output::note(&format!("this begins it: cairn node --genesis {name} {flags}"));
    }
    Ok(())
}

/// Makes a network and mines its block 0.
pub(super) fn make(name: &str, options: &Options) -> Result<Genesis, CliError> {
    let text = toml::to_string(&settings_of(name, options)?).expect("texts and numbers are TOML");
    // The text is not the user's, so its places would say nothing.
    let draft = GenesisDraft::from_toml(&text).map_err(|problems| {
        let mut problems = problems.into_vec();
        problems.iter_mut().for_each(|problem| problem.span = None);
        of_problems(&problems, Path::new("these settings"), None)
    })?;
    let genesis = mine(draft)?;
    let issuance = &genesis.section().issuance;
    if genesis.allocated() == Amount::ZERO && issuance.reward(Height(1)) == Amount::ZERO {
        output::warn("nobody has coins and blocks bring none: give --allocate or --reward");
    }
    Ok(genesis)
}

/// What makes a node of the network a miner, without which no block is made; none where this release
/// has no such node.
fn miner_flags(section: &ConsensusSection) -> Option<&'static str> {
    match section.mode {
        Mode::Pow if section.network.devnet => Some("--role miner --producer alice"),
        Mode::Pow => Some("--role miner --producer ADDRESS"),
        Mode::PowPermit { .. } => Some("--role miner --miner-key FILE"),
        Mode::Bft { .. } | Mode::PowFinality { .. } => None,
    }
}

/// Whether a name stands for standard input or output.
pub(super) fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// A file name that a network's name makes.
fn file_name(name: &str) -> String {
    let plain = |it: char| if it.is_ascii_alphanumeric() || "-_".contains(it) { it } else { '-' };
    format!("{}.toml", name.chars().map(plain).collect::<String>())
}

/// The settings that the flags give; all others have the defaults of the format.
fn settings_of(name: &str, options: &Options) -> Result<TomlTable, CliError> {
    let mut settings = Settings::default();
    settings.put("network", "name", Some(name.to_owned()));
    settings.put("network", "symbol", options.symbol.clone());
    settings.put("network", "decimals", options.decimals.map(i64::from));
    settings.put("network", "address_prefix", options.prefix.clone());
    settings.put("network", "devnet", options.devnet.then_some(true));
    let listed = |keys: &[String]| (!keys.is_empty()).then(|| keys.to_vec());
    settings.put("consensus", "mode", options.consensus.clone());
    settings.put("consensus", "miners", listed(&options.miner));
    settings.put("consensus", "validators", listed(&options.validator));
    settings.put("block", "interval", options.interval.clone());
    settings.put("difficulty", "mode", options.fixed_difficulty.then_some("fixed"));
    let work = options.work.map(|work| number("--work", work)).transpose()?;
    settings.put("difficulty", "first_work", work);
    settings.put("reward", "initial", options.reward.clone());
    let halving = options.halving_every.map(|blocks| number("--halving-every", blocks)).transpose()?;
    settings.put("reward", "halving_every", halving);
    settings.put("reward", "cap", options.cap.clone());
    settings.put("reward", "maturity", options.devnet.then_some(0));
    settings.put("fees", "moving", options.public.then_some(true));
    // Two networks that are made alike still begin at different times, so they are two.
    settings.put("genesis_block", "time", Some(number("the time", now_ms())?));
    let allocations: Vec<Value> =
        options.allocate.iter().map(|text| allocation(text, options)).collect::<Result<_, _>>()?;
    if !allocations.is_empty() {
        settings.0.insert("allocation".to_owned(), Value::Array(allocations));
    }
    Ok(settings.0)
}

/// The tables of a file that is being put together.
#[derive(Debug, Default)]
struct Settings(TomlTable);

impl Settings {
    fn put(&mut self, table: &str, key: &str, value: Option<impl Into<Value>>) {
        let Some(value) = value else { return };
        let entry = self.0.entry(table).or_insert_with(|| Value::Table(TomlTable::new()));
        if let Value::Table(table) = entry {
            table.insert(key.to_owned(), value.into());
        }
    }
}

/// A number as TOML has them.
fn number(what: &str, number: u64) -> Result<i64, CliError> {
    i64::try_from(number).map_err(|_| CliError::usage("wrong-value", format!("{what} is far too large")))
}

fn allocation(text: &str, options: &Options) -> Result<Value, CliError> {
    let form = || {
        CliError::usage("bad-allocation", format!("`{text}` is no allocation"))
            .help("write --allocate ADDRESS=COINS, such as --allocate cairn1…=1000")
    };
    let (to, balance) = text.split_once('=').ok_or_else(form)?;
    let mut table = TomlTable::new();
    let mut put = |key: &str, value: &str| table.insert(key.to_owned(), Value::from(value));
    match development_account(to).filter(|_| options.devnet) {
        Some(key) => {
            let prefix = options.prefix.as_deref().unwrap_or("cairn");
            let prefix = cairn_core::address::AddressPrefix::new(prefix).map_err(|error| {
                CliError::usage("bad-prefix", format!("`{prefix}` cannot begin addresses")).because(&error)
            })?;
            put("address", &key.address().to_text(&prefix));
            put("label", to);
        }
        None if development_account(to).is_some() => {
            let message = format!("{to} is a published development key, which a real network must not use");
            return Err(CliError::usage("bad-allocation", message).help("for play: --devnet"));
        }
        None => {
            put("address", to);
        }
    }
    put("balance", balance);
    Ok(Value::Table(table))
}

/// Searches the nonce of block 0, and shows how far it is.
fn mine(draft: GenesisDraft) -> Result<Genesis, CliError> {
    let mut progress = Progress::new("work nonces tried for block 0", 0);
    let mut from: u64 = 0;
    let nonce: WorkNonce = loop {
        let to = from.saturating_add(NONCES_A_SLICE);
        match draft.find_nonce(from..to) {
            Some(nonce) => break nonce,
            None if to == u64::MAX => {
                return Err(CliError::failed("genesis-invalid", "no work nonce meets the target"));
            }
            None => from = to,
        }
        progress.set(from);
    };
    progress.finish();
    draft
        .seal(nonce)
        .map_err(|error| CliError::failed("genesis-invalid", "block 0 cannot be sealed").because(&error))
}

fn check(file: &Path, json: bool) -> Result<(), CliError> {
    let genesis = read(file)?;
    let name = &genesis.section().network.name;
    if json {
        let identity = genesis.identity().to_string();
        output::print_json(&json!({ "valid": true, "network": name, "identity": identity }));
        return Ok(());
    }
    let mark = Style::Good.paint("valid", output::colours_on_stdout());
    output::print_line(&format!(
        "{} is {mark}: it begins {name}, identity {}",
        file.display(),
        genesis.identity()
    ));
    Ok(())
}

fn show(file: &Path, json: bool) -> Result<(), CliError> {
    let genesis = read(file)?;
    let section = genesis.section();
    if json {
        output::print_json(&as_json(&genesis));
        return Ok(());
    }
    let coins =
        |amount| format!("{} {}", coins_text(amount, section.network.decimals), section.network.symbol);
    let mut facts = Facts::default();
    facts.styled("network", Style::Strong, &section.network.name);
    facts.add("identity", genesis.identity().to_string());
    let decimals = section.network.decimals;
    facts.add("coin", format!("{}, {decimals} decimals", section.network.symbol));
    facts.add("addresses", format!("{}1…", section.network.prefix));
    let authorities = section.mode.authorities().len();
    let listed = if authorities > 0 { format!(", {authorities} listed") } else { String::new() };
    facts.add("blocks by", format!("{}{listed}", section.mode.name()));
    facts.add("interval", interval_text(section.interval_ms));
    facts.add("difficulty", if section.half_life_ms == 0 { "fixed" } else { "adjusting" });
    facts.add("reward", reward_text(section, &coins));
    let moves = if section.fees.moving { "moving with demand" } else { "frozen" };
    let burned = if section.fees.burn { "burned" } else { "paid to the producer" };
    facts.add(
        "base fee",
        format!("{} a unit of weight, {moves}, {burned}", plural(section.fees.floor.0, "base unit")),
    );
    facts.add(
        "block",
        format!(
            "weight up to {}, {}",
            grouped(section.limits.block_weight.0),
            plural(section.limits.block_transactions.into(), "transaction")
        ),
    );
    if section.reserve > Amount::ZERO {
        facts.add("reserve", coins(section.reserve));
    }
    if section.network.devnet {
        facts.styled("devnet", Style::Warning, "the published development keys may be used here");
    }
    facts.styled("coins at the start", Style::Strong, coins(genesis.allocated()));
    facts.print();
    let mut table = Table::new(&[left("account"), right("balance"), left("label")]);
    /// More accounts than this are counted, not listed.
    const SHOWN_MAX: usize = 50;
    for allocation in genesis.allocations().iter().take(SHOWN_MAX) {
        table.row([
            (Style::Name, allocation.address.to_text(&section.network.prefix)),
            (Style::Strong, coins(allocation.balance)),
            (Style::Faint, allocation.label.clone().unwrap_or_default()),
        ]);
    }
    if !table.is_empty() {
        output::print_line("");
        table.print();
    }
    if let Some(more) = genesis.allocations().len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        output::note(&format!("and {} more accounts", grouped(more as u64)));
    }
    Ok(())
}

fn reward_text(section: &ConsensusSection, coins: &impl Fn(Amount) -> String) -> String {
    let first = section.issuance.reward(Height(1));
    if first == Amount::ZERO {
        return "none".to_owned();
    }
    let halving = match section.issuance.halving_every {
        0 => String::new(),
        blocks => format!(", halving every {}", plural(blocks, "block")),
    };
    format!("{}{halving}, credited {} later", coins(first), plural(section.maturity.into(), "block"))
}

fn interval_text(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1000) {
        plural(milliseconds / 1000, "second")
    } else {
        plural(milliseconds, "millisecond")
    }
}

fn as_json(genesis: &Genesis) -> serde_json::Value {
    let section = genesis.section();
    let allocations: Vec<_> = genesis
        .allocations()
        .iter()
        .map(|it| {
            json!({
                "address": it.address.to_text(&section.network.prefix),
                "balance": it.balance.units().to_string(),
                "nonce": it.nonce.0,
                "label": it.label,
            })
        })
        .collect();
    let authorities: Vec<String> = section.mode.authorities().iter().map(const_hex::encode).collect();
    let schemes: Vec<&str> = section.schemes.iter().map(|scheme| scheme.name()).collect();
    json!({
        "network": section.network.name,
        "identity": genesis.identity().to_string(),
        "network_id": section.network.id,
        "symbol": section.network.symbol,
        "decimals": section.network.decimals,
        "address_prefix": section.network.prefix.as_str(),
        "coin_type": section.network.coin_type,
        "devnet": section.network.devnet,
        "consensus": section.mode.name(),
        "authorities": authorities,
        "interval_ms": section.interval_ms,
        "half_life_ms": section.half_life_ms,
        "first_target": section.first_target.to_string(),
        "target_limit": section.target_limit.to_string(),
        "reward": {
            "initial": section.issuance.initial.units().to_string(),
            "halving_every": section.issuance.halving_every,
            "tail": section.issuance.tail.units().to_string(),
            "cap": section.issuance.cap.units().to_string(),
            "maturity": section.maturity,
        },
        "fees": {
            "floor": section.fees.floor.to_string(),
            "moving": section.fees.moving,
            "burn": section.fees.burn,
        },
        "limits": {
            "transaction_bytes": section.limits.transaction_bytes,
            "data_bytes": section.limits.data_bytes,
            "transfers": section.limits.transfers,
            "block_weight": section.limits.block_weight.0,
            "block_transactions": section.limits.block_transactions,
            "extra_bytes": section.limits.extra_bytes,
        },
        "reserve": section.reserve.units().to_string(),
        "schemes": schemes,
        "time_ms": genesis.block().header.time.0,
        "allocated": genesis.allocated().units().to_string(),
        "allocations": allocations,
    })
}

/// Writes a file that does not exist yet, unless it may be replaced.
pub(crate) fn write_new(file: &Path, text: &str, replace: bool) -> Result<(), CliError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if replace {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(file).and_then(|mut open| open.write_all(text.as_bytes())).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return exists(file);
        }
        CliError::failed("unwritable-file", format!("{} cannot be written", file.display())).because(&error)
    })
}

fn exists(file: &Path) -> CliError {
    CliError::failed("file-exists", format!("{} exists already", file.display()))
        .help("give another name with --output, or remove the file first")
}
