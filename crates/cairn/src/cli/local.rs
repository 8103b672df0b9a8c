//! A network that is kept on this machine: where it lies, how it began, and the node opened on it.

use super::context::Context;
use super::genesis;
use super::serving::ReplayBar;
use crate::failure::CliError;
use crate::run::release;
use crate::run::{NodeSettings, RunError, Running};
use crate::values::parse_size;
use cairn_core::genesis::Genesis;
use cairn_store::StoreError;
use std::path::{Path, PathBuf};

/// The copy of the genesis file in a data directory.
pub(crate) const GENESIS_FILE: &str = "genesis.toml";

/// The settings of one network, in its data directory.
pub(crate) const CONFIG_FILE: &str = "cairn.toml";

/// Which network on this machine.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LocalArguments {
    /// Where the chain is kept; left out, the directory of the network.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// The genesis file; left out, the copy in the data directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: Option<String>,
}

/// A network on this machine.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) genesis: Genesis,
    pub(crate) directory: PathBuf,
}

impl Local {
    /// The network that the flags and settings mean.
    pub(crate) fn find(arguments: LocalArguments, context: &mut Context) -> Result<Self, CliError> {
        context.settings.flag("data_dir", arguments.data_dir)?;
        context.settings.flag("genesis", arguments.genesis)?;
        let directory = context.settings.get("data_dir").map(PathBuf::from);
        match context.settings.get("genesis").map(PathBuf::from) {
            Some(file) => {
                let genesis = genesis::read(&file)?;
                let named = || context.directories.data_of(&genesis.section().network.name);
                let directory = directory.unwrap_or_else(named);
                Ok(Self { genesis, directory })
            }
            None => {
                let directory = match directory {
                    Some(directory) => chain_in(&directory).unwrap_or(directory),
                    None => only_network(&context.directories.data)?,
                };
                let file = directory.join(GENESIS_FILE);
                if !file.exists() {
                    let message = format!("{} holds no {GENESIS_FILE}", directory.display());
                    return Err(CliError::usage("no-genesis", message)
                        .help("name the network: `--genesis FILE`; `cairn genesis new` makes one"));
                }
                Ok(Self { genesis: genesis::read(&file)?, directory })
            }
        }
    }

    /// Opens the node that is kept there; it makes no blocks and listens nowhere.
    pub(crate) fn open(self, context: &Context) -> Result<Running, CliError> {
        let mut settings = NodeSettings::new(self.genesis.clone(), self.directory.clone());
        settings.cache_bytes = cache_bytes(context);
        let running = start(settings)?;
        keep_genesis(&self.genesis, &self.directory)?;
        Ok(running)
    }
}

/// The setting, in bytes.
pub(crate) fn cache_bytes(context: &Context) -> usize {
    let size = context.settings.get("cache").map(parse_size).and_then(Result::ok);
    size.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(64 << 20)
}

/// Starts a node and shows how far the replay of its log is.
fn start(settings: NodeSettings) -> Result<Running, CliError> {
    let directory = settings.directory.clone();
    let bar = ReplayBar::default();
    let running = Running::start(settings, |progress| bar.show(progress));
    bar.finish();
    running.map_err(|error| cannot_open(&error, &directory))
}

/// Why a node could not be started on a directory, and what to do about it.
pub(crate) fn cannot_open(error: &RunError, directory: &Path) -> CliError {
    let message = format!("the chain in {} cannot be opened", directory.display());
    let failure = |code| CliError::failed(code, message.clone()).because(error);
    match error {
        RunError::Store(error) => cannot_open_store(error, directory),
        RunError::Block(_) | RunError::Replay(_) => failure("damaged").help(DAMAGED),
        RunError::Mode(_) => failure("mode-unsupported").help(
            "`cairn genesis new --consensus pow`, or pow+permit, begins a network that this release runs",
        ),
        RunError::Random(_) | RunError::Thread(_) => failure("cannot-open"),
    }
}

const DAMAGED: &str = "the log was changed behind the back of the node: restore the directory from a copy";

/// Why a directory could not be opened, and what to do about it.
pub(crate) fn cannot_open_store(error: &StoreError, directory: &Path) -> CliError {
    let message = format!("the chain in {} cannot be opened", directory.display());
    let failure = |code| CliError::failed(code, message.clone()).because(error);
    match error {
        StoreError::InUse { .. } => failure("in-use")
            .help("a node runs on it: stop that first, `cairn stop`, or use another --data-dir"),
        StoreError::WrongNetwork { .. } => failure("wrong-network")
            .help("use another --data-dir for this network, or the genesis file of that one"),
        StoreError::NewerFormat { .. } => {
            let writer = release::writer(directory).filter(|writer| writer != release::THIS);
            let writer = writer.as_deref().unwrap_or("a newer cairn");
            failure("newer-format").help(format!(
                "{writer} wrote it: use that release; this is {}, and nothing was changed",
                release::THIS
            ))
        }
        StoreError::Full { .. } => failure("disk-full").help("make room on the disk"),
        StoreError::Damaged { .. } => failure("damaged").help(DAMAGED),
        _ => failure("cannot-open"),
    }
}

/// Keeps the genesis file beside the chain, so that later commands find it there.
pub(crate) fn keep_genesis(genesis: &Genesis, directory: &Path) -> Result<(), CliError> {
    let file = directory.join(GENESIS_FILE);
    if file.exists() {
        return Ok(());
    }
    genesis::write_new(&file, &genesis.to_toml(), false)
}

/// Where a directory keeps its chain: in itself, or, as that of a development network, in its first node's.
fn chain_in(directory: &Path) -> Option<PathBuf> {
    [directory.to_owned(), directory.join("n0")].into_iter().find(|it| it.join(GENESIS_FILE).exists())
}

/// The only network on this machine.
fn only_network(data: &Path) -> Result<PathBuf, CliError> {
    let entries = std::fs::read_dir(data).into_iter().flatten().filter_map(Result::ok);
    let mut chains: Vec<PathBuf> = entries.filter_map(|entry| chain_in(&entry.path())).collect();
    chains.sort();
    match chains.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(CliError::usage("no-network", format!("no network is kept in {}", data.display()))
            .help("name one: `--data-dir DIR` or `--genesis FILE`")),
        several => {
            let list: Vec<String> = several.iter().map(|it| format!("  {}", it.display())).collect();
            let message = format!("{} networks are kept here:\n{}", several.len(), list.join("\n"));
            Err(CliError::usage("several-networks", message).help("say which: `--data-dir DIR`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_network_is_found_and_several_are_listed() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(only_network(data.path()).unwrap_err().code(), "no-network");
        let put = |name: &str| {
            std::fs::create_dir_all(data.path().join(name)).unwrap();
            std::fs::write(data.path().join(name).join(GENESIS_FILE), "").unwrap();
        };
        put("devnet/n0");
        assert_eq!(only_network(data.path()).unwrap(), data.path().join("devnet/n0"));
        put("mycoin");
        let error = only_network(data.path()).unwrap_err();
        assert_eq!(error.code(), "several-networks");
        assert!(error.message().contains("mycoin"), "{error}");
    }
}
