//! `cairn join`: becomes a node of a network that somebody else began.

use super::background::Held;
use super::context::Context;
use super::local::{CONFIG_FILE, GENESIS_FILE, Local};
use super::node::{self, Options};
use crate::cli::genesis;
use crate::config::Origin;
use crate::failure::CliError;
use crate::invite::{Invite, InviteError};
use crate::join::{self, Found, JoinError};
use crate::output::{self, plural};
use crate::paths::{create_private_directory, replace_file};
use cairn_core::genesis::Genesis;
use cairn_core::hash::BlockId;
use cairn_p2p::{DialFailure, Label, PeerAddress, Roles};
use std::io;
use std::path::{Path, PathBuf};

/// Settings that are written into the configuration where a flag of `join` gave them.
const KEPT: &[&str] = &[
    "name",
    "role",
    "p2p_bind",
    "minimum_work",
    "api_bind",
    "api_hosts",
    "api_tls_cert",
    "api_tls_key",
    "api_reads",
    "api_writes",
    "producer",
    "miner_key",
    "mine",
    "threads",
    "cache",
    "log",
    "log_format",
    "log_file",
    "log_size",
    "log_kept",
];
/// Those of them that are files.
const FILES: &[&str] = &["api_tls_cert", "api_tls_key", "miner_key", "log_file"];
/// The longest text about one address.
const TOLD_BYTES_MAX: usize = 400;
/// The most networks on this machine that are looked through for one that was joined before.
const NETWORKS_MAX: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn join cairninvite1…
  cairn join node.example:7700 --identity 00ab…
  cairn join cairninvite1… --role miner --producer cairn1…

It fetches the genesis, checks that it has the identity, writes genesis.toml and cairn.toml into the data
directory of the network, and runs the node; from then on `cairn node --data-dir DIR` does. To join again
goes on with what is there.")]
pub(crate) struct Arguments {
    /// An invite, or the address of a node or a tracker.
    #[arg(value_name = "INVITE|HOST:PORT")]
    target: String,
    /// The identity of the network, 64 hexadecimal digits: with an address, which could lead anywhere.
    #[arg(long, value_name = "ID")]
    identity: Option<String>,
    /// Where the chain is kept; left out, the directory of the network.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// Which network is meant, and who may know it.
#[derive(Debug)]
struct Target {
    identity: BlockId,
    /// What the invite calls it.
    name: Option<String>,
    addresses: Vec<PeerAddress>,
}

pub(crate) fn run(arguments: Arguments, mut context: Context) -> Result<(), CliError> {
    let target = Target::read(&arguments.target, arguments.identity.as_deref())?;
    arguments.options.take(&mut context)?;
    node::check_role(context.settings.get("role").unwrap_or("full"))?;
    context.settings.flag("data_dir", arguments.data_dir)?;
    let directory = context.settings.get("data_dir").map(PathBuf::from);
    let local = match find_here(&target, directory.as_deref(), &context)? {
        Some(local) => {
            output::note(&format!("this network is in {} already: going on", local.directory.display()));
            local
        }
        None => fetch(&target, directory, &mut context)?,
    };
    context.settings.take_network_file(&local.directory.join(CONFIG_FILE))?;
    node::start(local, &Held::default(), &context)
}

impl Target {
    fn read(text: &str, identity: Option<&str>) -> Result<Self, CliError> {
        let identity = identity.map(parse_identity).transpose()?;
        if Invite::is_meant_by(text) {
            let invite: Invite = text.parse().map_err(|error| wrong_invite(&error))?;
            let named = *invite.identity();
            if let Some(other) = identity.filter(|identity| *identity != named) {
                let message = format!("the invite is to {named}, and --identity names {other}");
                return Err(CliError::usage("other-network", message).help("leave --identity out"));
            }
            let (name, addresses) = (Some(invite.name().to_owned()), invite.addresses().to_vec());
            return Ok(Self { identity: named, name, addresses });
        }
        let address: PeerAddress = text.parse().map_err(|error| {
            CliError::usage("wrong-value", format!("`{text}` is neither an invite nor an address"))
                .because(&error)
                .help("an invite begins with cairninvite1; an address is HOST:PORT")
        })?;
        let Some(identity) = identity else {
            return Err(CliError::usage(
                "no-identity",
                "an address alone does not say which network is meant",
            )
            .help(format!(
                "`cairn join {text} --identity ID`; who runs the network sees it in `cairn genesis hash FILE`"
            )));
        };
        Ok(Self { identity, name: None, addresses: vec![address] })
    }
}

fn parse_identity(text: &str) -> Result<BlockId, CliError> {
    let mut bytes = [0; 32];
    const_hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        let found = match text.chars().count() {
            64 => "something else among them".to_owned(),
            count => plural(count as u64, "character"),
        };
        CliError::usage(
            "wrong-value",
            format!("--identity has {found}, and an identity is 64 hexadecimal digits"),
        )
        .help("copy all of it; `cairn genesis hash FILE` prints it")
    })?;
    Ok(BlockId(bytes))
}

fn wrong_invite(error: &InviteError) -> CliError {
    let (code, help) = match error {
        InviteError::CutOff { .. } => ("invite-cut-off", "copy all of it: it is one word without spaces"),
        InviteError::Mistyped | InviteError::NotAnInvite => {
            ("invite-mistyped", "copy it again, or ask for it again")
        }
        InviteError::LaterVersion { .. } => (
            "invite-later-version",
            "take a newer release, or join by address: `cairn join HOST:PORT --identity ID`",
        ),
        InviteError::Content(_) => ("invite-invalid", "ask whoever made it for another one"),
    };
    CliError::usage(code, error.to_string()).help(help)
}

/// The network where it is on this machine already.
fn find_here(
    target: &Target,
    directory: Option<&Path>,
    context: &Context,
) -> Result<Option<Local>, CliError> {
    if let Some(directory) = directory {
        if !directory.join(GENESIS_FILE).exists() {
            return Ok(None);
        }
        let local = read(directory)?;
        return if *local.genesis.identity() == target.identity {
            Ok(Some(local))
        } else {
            Err(other_network(&local))
        };
    }
    let entries = std::fs::read_dir(&context.directories.data).into_iter().flatten().filter_map(Result::ok);
    let mut places: Vec<PathBuf> = entries.take(NETWORKS_MAX).map(|entry| entry.path()).collect();
    places.sort();
    let mut here = places.iter().filter(|place| place.join(GENESIS_FILE).exists());
    // A file that cannot be read is another network's, as far as this one is concerned.
    Ok(here.find_map(|place| read(place).ok().filter(|local| *local.genesis.identity() == target.identity)))
}

fn read(directory: &Path) -> Result<Local, CliError> {
    let genesis = genesis::read(&directory.join(GENESIS_FILE))?;
    Ok(Local { genesis, directory: directory.to_owned() })
}

fn other_network(local: &Local) -> CliError {
    let name = &local.genesis.section().network.name;
    let message = format!("{} holds another network, {name}", local.directory.display());
    CliError::failed("wrong-network", message).help("give this one a directory of its own: `--data-dir DIR`")
}

/// Fetches the genesis and puts all in place for a node.
fn fetch(target: &Target, directory: Option<PathBuf>, context: &mut Context) -> Result<Local, CliError> {
    let found = context.block_on(async {
        let tell = |address: &PeerAddress, failure: Option<&join::Failure>| match failure {
            None => output::note(&format!("asking {address} for the genesis")),
            Some(failure) => output::warn(&format!("{address}: {}", told(failure))),
        };
        join::find(target.identity, &target.addresses, tell).await.map_err(|error| cannot_join(&error))
    })?;
    let network = found.genesis.section().network.name.clone();
    if let Some(named) = target.name.as_ref().filter(|named| **named != network) {
        let message =
            format!("the invite is to {named}, and the network with that identity is called {network}");
        return Err(CliError::failed("invite-invalid", message).help("ask whoever made the invite"));
    }
    let directory = directory.unwrap_or_else(|| context.directories.data_of(&network));
    if directory.join(GENESIS_FILE).exists() {
        // Two networks may have one name.
        return Err(other_network(&read(&directory)?));
    }
    // What flags say of whom to meet comes beside what the invite says.
    for (key, mut list) in whom_to_meet(target, &found) {
        if let Some(more) = flag(key, context) {
            list.push(more.to_owned());
            context.settings.flag(key, Some(list.join(",")))?;
        }
    }
    let configuration = configuration(target, &found, context);
    put(&directory, &found.genesis, &configuration).map_err(|error| cannot_write(&directory, &error))?;
    output::note(&format!("joined {network}; its directory is {}", directory.display()));
    Ok(Local { genesis: found.genesis, directory })
}

/// The nodes and the trackers among the addresses, as far as is known.
fn whom_to_meet(target: &Target, found: &Found) -> [(&'static str, Vec<String>); 2] {
    let is_tracker = |address: &&PeerAddress| **address == found.address && found.roles == Roles::TRACKER;
    let texts = |list: Vec<&PeerAddress>| list.into_iter().map(ToString::to_string).collect();
    let (trackers, peers) = target.addresses.iter().partition(is_tracker);
    [("peers", texts(peers)), ("trackers", texts(trackers))]
}

/// What the node is told from now on: whom to meet, and what the flags said.
fn configuration(target: &Target, found: &Found, context: &Context) -> String {
    let mut table = toml::Table::new();
    let mut put = |key: &str, value: String| table.insert(key.to_owned(), toml::Value::String(value));
    for (key, list) in whom_to_meet(target, found) {
        let said = flag(key, context).map(str::to_owned);
        if let Some(value) = said.or_else(|| (!list.is_empty()).then(|| list.join(","))) {
            put(key, value);
        }
    }
    for key in KEPT {
        if let Some(value) = flag(key, context) {
            // Later starts may be from another place.
            let path = FILES.contains(key).then(|| std::path::absolute(value).ok()).flatten();
            put(key, path.map_or_else(|| value.to_owned(), |path| path.display().to_string()));
        }
    }
    let text = toml::to_string(&table).expect("texts are TOML");
    format!("# Settings of this network's node; flags and CAIRN_… variables go before them.\n\n{text}")
}

/// The value that a flag gave.
fn flag<'a>(key: &str, context: &'a Context) -> Option<&'a str> {
    let is_flag = matches!(context.settings.origin(key), Some(Origin::Flag(_)));
    context.settings.get(key).filter(|_| is_flag)
}

/// Writes what a node needs; the genesis last, because it says that all is there.
fn put(directory: &Path, genesis: &Genesis, configuration: &str) -> io::Result<()> {
    create_private_directory(directory)?;
    let file = directory.join(CONFIG_FILE);
    if !file.exists() {
        replace_file(&file, configuration.as_bytes())?;
    }
    replace_file(&directory.join(GENESIS_FILE), genesis.to_toml().as_bytes())
}

fn cannot_write(directory: &Path, error: &io::Error) -> CliError {
    let message = format!("{} cannot be written", directory.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CliError::failed("disk-full", message)
            .because(error)
            .help("make room on the disk, and join again"),
        _ => CliError::failed("unwritable-file", message)
            .because(error)
            .help("name a directory that can be written: `--data-dir DIR`"),
    }
}

/// A failure in words of which a part may be whoever answered: none of them reaches a terminal as more than text.
fn told(failure: &join::Failure) -> Label {
    Label::new(&failure.to_string(), TOLD_BYTES_MAX)
}

fn cannot_join(error: &JoinError) -> CliError {
    let JoinError::Nobody { tried } = error else {
        return CliError::failed("no-links", error.to_string()).help("the system gave no room to connect");
    };
    let list: Vec<String> =
        tried.iter().map(|(address, failure)| format!("  {address}: {}", told(failure))).collect();
    let list = list.join("\n");
    if tried.iter().all(|(_, failure)| failure.is_of_other_network()) {
        let message = format!("another network is there:\n{list}");
        return CliError::failed("other-network", message)
            .help("the identity, or the address, is not that of the network you mean: ask for both again");
    }
    let message = format!("nobody gave the genesis:\n{list}");
    if tried.iter().all(|(_, failure)| failure.is_unreachable()) {
        let is_other_program = |failure: &join::Failure| {
            matches!(failure, join::Failure::Dial(DialFailure::NoNode(_) | DialFailure::Closed))
        };
        let help = if tried.iter().any(|(_, failure)| is_other_program(failure)) {
            "is it the port where nodes meet? That is 7700, or 7760 of a tracker; 7780 and 7761 are for commands"
        } else {
            "is the address right, is a node running there, and does a firewall let it through?"
        };
        return CliError::unreachable("unreachable", message).help(help);
    }
    CliError::failed("no-genesis", message)
        .help("ask for another address of the network, or join again later")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_sent_reaches_a_terminal_as_plain_text() {
        let sent =
            "[network]\nname = \"\\u001b[2J\"\nsymbol = \"\\u202e\"\n\n[consensus]\nmode = \"\\u001b\"\n";
        let problems = Genesis::from_toml(sent).unwrap_err();
        let text = told(&join::Failure::Invalid(problems)).to_string();
        assert!(text.starts_with("the node sent a genesis that breaks a rule"), "{text}");
        assert!(text.len() <= TOLD_BYTES_MAX && !text.contains(['\u{1b}', '\u{202e}', '\n']), "{text:?}");
    }
}
