//! A development network of one's own: made in a moment, with accounts that everybody may use.
//!
//! # Provided
//!
//! Real nodes in one process, each with its own store, interface and links with the others. The first
//! one makes the blocks. Their genesis is marked `devnet` and allocates coins to the published accounts;
//! the work is small and fixed, so mining costs next to nothing. What it was made with is remembered:
//! other settings are refused by name, and nothing but a directory that is marked as a devnet's is ever
//! deleted.

mod directory;

pub use directory::{Difference, MARK_FILE};

use crate::api::faucet::Faucet;
use crate::api::views::{DevnetAccount, DevnetNode, DevnetReady};
use crate::run::links::LinkSettings;
use crate::run::service::{self, Exposure, Host, Service, ServiceError, ServiceSettings};
use crate::run::{NodeHandle, NodeSettings, Progress};
use cairn_core::address::AddressPrefix;
use cairn_core::genesis::{Genesis, GenesisProblems, coins};
use cairn_core::hash::BlockId;
use cairn_core::numbers::Amount;
use cairn_node::MiningMode;
use cairn_p2p::{Features, PeerAddress, Roles};
use cairn_store::StoreError;
use cairn_wallet::{DevelopmentAccount, SigningKey};
use directory::Kept;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many nodes if nothing is said.
pub const NODES: u32 = 3;
/// The most nodes.
pub const NODES_MAX: u32 = 32;
/// The name of the network.
pub const NETWORK_NAME: &str = "devnet";
/// How far above the port base the interfaces lie.
pub const API_PORT_OFFSET: u16 = 80;
/// The port base if nothing is said.
pub const PORT_BASE: u16 = 7700;
/// The time between blocks if nothing is said.
pub const BLOCK_TIME: Duration = Duration::from_secs(2);
/// The longest time between blocks.
pub const BLOCK_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The mode of consensus if nothing is said.
pub const CONSENSUS: &str = "pow";
/// The decimals of the coin.
const DECIMALS: u8 = 8;
/// The hashes that a block takes on average: less than a millisecond.
const WORK: u64 = 4_096;
/// The coins of alice, bob and carol.
const COINS: u64 = 1_000_000;
/// The coins of the faucet.
const FAUCET_COINS: u64 = 100_000_000;
/// What each block brings its producer, in coins.
const REWARD: &str = "50";
/// Opens the seed of a node's key, as that of a published account.
const KEY_TAG: &[u8] = b"cairn/devnet/1\0";

/// What a devnet is started with. What is none stays as the directory has it, or is the default.
#[derive(Clone, Debug)]
pub struct DevnetSettings {
    /// How many nodes.
    pub nodes: Option<u32>,
    /// The mode of consensus: `pow` or `pow+permit`.
    pub consensus: Option<String>,
    /// The time between blocks.
    pub block_time: Option<Duration>,
    /// When to make blocks; each interval if nothing is said. Not remembered.
    pub mine: Option<MiningMode>,
    /// How many threads search for work. Not remembered.
    pub threads: u16,
    /// Where everything is kept. Not used if `ephemeral`.
    pub data_directory: PathBuf,
    /// Ports are counted from here; 0 asks the system for them.
    pub port_base: u16,
    /// Whether nothing is left at the end.
    pub ephemeral: bool,
    /// Whether what an earlier devnet left is deleted first.
    pub reset: bool,
    /// The register of running nodes.
    pub runtime_directory: PathBuf,
}

/// A devnet could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// So many nodes do not run.
    #[error("{found} nodes were asked for, 1 to {NODES_MAX} are possible")]
    Nodes {
        /// How many were asked for.
        found: u32,
    },
    /// The mode comes with a later release, or is unknown.
    #[error("a devnet of this release runs pow and pow+permit, not {found}")]
    Consensus {
        /// The mode.
        found: String,
    },
    /// The time between blocks is too short or too long.
    #[error("{} ms between blocks were asked for, 1 ms to 1 day are possible", found.as_millis())]
    BlockTime {
        /// The time.
        found: Duration,
    },
    /// The directory was made with other settings.
    #[error("the devnet in {} was made with other settings: {}", path.display(), list(differences))]
    OtherSettings {
        /// The directory.
        path: PathBuf,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// The directory holds something else.
    #[error("{} is no directory of a devnet, and not empty", path.display())]
    NotADevnet {
        /// The directory.
        path: PathBuf,
    },
    /// What the directory says about itself cannot be read.
    #[error("{} is not what a devnet writes", path.display())]
    Mark {
        /// The file.
        path: PathBuf,
    },
    /// The directory cannot be read or written.
    #[error("cannot use {}", path.display())]
    Directory {
        /// The directory or the file.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
    /// The directory cannot be opened, or is in use.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The genesis that the directory holds breaks a rule.
    #[error("the genesis in {} breaks a rule", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// The rules.
        #[source]
        source: GenesisProblems,
    },
    /// The ports do not fit.
    #[error("port base {base} leaves no room for the ports of the nodes")]
    PortBase {
        /// The port base.
        base: u16,
    },
    /// A node could not be started.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Runs a devnet until it is told to stop. `ready` hears when its nodes answer, and how to speak to the first.
///
/// # Errors
///
/// [`DevnetError`] if it could not be started; nothing was deleted then but by `reset`.
pub fn run(
    settings: &DevnetSettings,
    mut progress: impl FnMut(Progress),
    ready: impl FnOnce(&DevnetReady, &NodeHandle),
) -> Result<(), DevnetError> {
    check(settings)?;
    let temporary = settings
        .ephemeral
        .then(tempfile::tempdir)
        .transpose()
        .map_err(|source| DevnetError::Directory { path: std::env::temp_dir(), source })?;
    let directory = temporary.as_ref().map_or(settings.data_directory.as_path(), |it| it.path());
    // A port that is taken is told before anything is made or deleted.
    for number in 0..settings.nodes.unwrap_or(NODES) {
        for address in [api_address(settings, number)?, p2p_address(settings, number)?] {
            if address.port() != 0 {
                drop(service::bind(address)?);
            }
        }
    }
    let kept = directory::open(directory, settings)?;
    let mut host = Host::new()?;
    let mut services: Vec<Service> = Vec::new();
    for number in 0..kept.nodes {
        let known = services.iter().flat_map(|service| service.ready().p2p.clone()).collect();
        let started = service_settings(&kept, directory, settings, number, known)
            .and_then(|service| Ok(host.start(service, &mut progress)?));
        match started {
            Ok(service) => services.push(service),
            Err(error) => {
                host.stop(services);
                return Err(error);
            }
        }
    }
    if let Some(first) = services.first() {
        ready(&ready_of(&kept, directory, &services), first.handle());
    }
    host.run(services);
    drop(kept);
    Ok(())
}

fn ready_of(kept: &Kept, directory: &Path, services: &[Service]) -> DevnetReady {
    let nodes = (0..).zip(services).map(|(number, service)| {
        let ready = service.ready();
        DevnetNode {
            name: name_of(number),
            role: role_of(number).to_owned(),
            api: ready.api.clone(),
            p2p: ready.p2p.first().map(SocketAddr::to_string),
        }
    });
    let token_file = services.first().map(|service| service.ready().token_file.display().to_string());
    DevnetReady {
        ready: true,
        network: NETWORK_NAME.to_owned(),
        identity: (*kept.genesis.identity()).into(),
        nodes: nodes.collect(),
        accounts: accounts(kept.genesis.rules().prefix()),
        token_file: token_file.unwrap_or_default(),
        data_dir: directory.display().to_string(),
    }
}

/// Refuses what this release cannot do.
fn check(settings: &DevnetSettings) -> Result<(), DevnetError> {
    if let Some(found) = settings.nodes.filter(|nodes| !(1..=NODES_MAX).contains(nodes)) {
        return Err(DevnetError::Nodes { found });
    }
    if let Some(found) = settings.consensus.as_deref().filter(|mode| !["pow", "pow+permit"].contains(mode)) {
        return Err(DevnetError::Consensus { found: found.to_owned() });
    }
    let in_range = |time: &Duration| (Duration::from_millis(1)..=BLOCK_TIME_MAX).contains(time);
    if let Some(found) = settings.block_time.filter(|time| !in_range(time)) {
        return Err(DevnetError::BlockTime { found });
    }
    api_address(settings, settings.nodes.unwrap_or(NODES) - 1).map(drop)
}

/// Where the interface of a node listens.
fn api_address(settings: &DevnetSettings, number: u32) -> Result<SocketAddr, DevnetError> {
    address(settings, u32::from(API_PORT_OFFSET) + number)
}

/// Where a node meets the others.
fn p2p_address(settings: &DevnetSettings, number: u32) -> Result<SocketAddr, DevnetError> {
    address(settings, number)
}

fn address(settings: &DevnetSettings, offset: u32) -> Result<SocketAddr, DevnetError> {
    let base = settings.port_base;
    let port = match base {
        0 => 0,
        base => u16::try_from(u32::from(base) + offset).map_err(|_| DevnetError::PortBase { base })?,
    };
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

/// What a node is called.
fn name_of(number: u32) -> String {
    format!("n{number}")
}

/// What a node does: the first makes the blocks. Where the work is next to nothing, two that do would
/// find theirs at the same time again and again.
const fn role_of(number: u32) -> &'static str {
    if number == 0 { "miner" } else { "full" }
}

/// What a node is started with; it meets those that are `known`.
fn service_settings(
    kept: &Kept,
    directory: &Path,
    settings: &DevnetSettings,
    number: u32,
    known: Vec<SocketAddr>,
) -> Result<ServiceSettings, DevnetError> {
    let name = name_of(number);
    let mut node = NodeSettings::new(kept.genesis.clone(), directory.join(&name));
    let is_miner = role_of(number) == "miner";
    if is_miner {
        let key = node_key(&name);
        node.mining.producer = Some(key.address());
        node.mining.mode = settings.mine.unwrap_or(MiningMode::Interval);
        node.miner_key = Some(key);
        node.sealer_threads = settings.threads;
    }
    let links = LinkSettings {
        listen: vec![p2p_address(settings, number)?],
        peers: known.into_iter().map(PeerAddress::of).collect(),
        trackers: Vec::new(),
        name: name.clone(),
        roles: if is_miner { Roles::FULL.and(Roles::MINER) } else { Roles::FULL },
        loopback_is_one_host: false,
        features: Features::default(),
    };
    Ok(ServiceSettings {
        node,
        name,
        role: role_of(number).to_owned(),
        exposure: Exposure::on_loopback(api_address(settings, number)?),
        token_directory: directory.to_owned(),
        faucet: Some(Faucet::new(DevelopmentAccount::Faucet.key(), DECIMALS)),
        links: Some(links),
        runtime_directory: settings.runtime_directory.clone(),
    })
}

/// The published development accounts with what genesis gives them.
fn accounts(prefix: &AddressPrefix) -> Vec<DevnetAccount> {
    DevelopmentAccount::ALL
        .into_iter()
        .map(|account| DevnetAccount {
            name: account.name().to_owned(),
            address: account.key().address().to_text(prefix),
            balance: balance_of(account).into(),
        })
        .collect()
}

fn balance_of(account: DevelopmentAccount) -> Amount {
    let coins = if account == DevelopmentAccount::Faucet { FAUCET_COINS } else { COINS };
    Amount::from_units(coins * 10u64.pow(u32::from(DECIMALS)))
}

/// The key of a node: published like those of the accounts, `SHA-256("cairn/devnet/1\0" ‖ name)`.
fn node_key(name: &str) -> SigningKey {
    let mut hasher = cairn_hash::Sha256::new();
    hasher.update(KEY_TAG);
    hasher.update(name.as_bytes());
    SigningKey::from_seed(&hasher.finish())
}

/// The genesis file of a new devnet, which begins at `now_ms`.
fn genesis_text(consensus: &str, block_time: Duration, now_ms: u128) -> String {
    let mut text = format!(
        "# The genesis of a development network. Its accounts' keys are published: never use them elsewhere.\n\
         \n[network]\nname = \"{NETWORK_NAME}\"\nsymbol = \"CAIRN\"\ndecimals = {DECIMALS}\ndevnet = true\n\
         \n[consensus]\nmode = \"{consensus}\"\n"
    );
    if consensus == "pow+permit" {
        let key = const_hex::encode(node_key(directory::FIRST_NODE).public_bytes());
        writeln!(text, "miners = [\"{key}\"]").expect("writing to a string does not fail");
    }
    write!(
        text,
        "\n[block]\ninterval = \"{}ms\"\n\
         \n[difficulty]\nmode = \"fixed\"\nfirst_work = {WORK}\n\
         \n[reward]\ninitial = \"{REWARD}\"\nmaturity = 0\n\
         \n[genesis_block]\ntime = {now_ms}\n",
        block_time.as_millis()
    )
    .expect("writing to a string does not fail");
    let prefix = AddressPrefix::new("cairn").expect("five lower-case letters");
    for account in DevelopmentAccount::ALL {
        write!(
            text,
            "\n[[allocation]]\nlabel = \"{}\"\naddress = \"{}\"\nbalance = \"{}\"\n",
            account.name(),
            account.key().address().to_text(&prefix),
            coins::to_text(balance_of(account), DECIMALS),
        )
        .expect("writing to a string does not fail");
    }
    text
}

/// Milliseconds since 1970 by this machine's clock.
fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// Whether a genesis is that of the network with `identity`.
fn has_identity(genesis: &Genesis, identity: &BlockId) -> bool {
    genesis.identity() == identity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_of_every_mode_obeys_the_rules() {
        for mode in ["pow", "pow+permit"] {
            for block_time in [Duration::from_millis(1), BLOCK_TIME, BLOCK_TIME_MAX] {
                let text = genesis_text(mode, block_time, now_ms());
                let genesis = Genesis::from_toml(&text).unwrap();
                assert!(genesis.section().network.devnet);
                assert_eq!(genesis.section().maturity, 0);
                assert_eq!(genesis.section().mode.name(), mode);
                let faucet = DevelopmentAccount::Faucet.key().address();
                let state = genesis.state();
                let index = state.find(&faucet.path()).unwrap();
                assert_eq!(state.account(index).balance, balance_of(DevelopmentAccount::Faucet));
            }
        }
    }

    #[test]
    fn the_key_of_a_node_is_made_like_that_of_an_account() {
        assert_eq!(node_key("alice").address(), DevelopmentAccount::Alice.key().address());
    }

    #[test]
    fn what_this_release_cannot_do_is_refused_by_name() {
        let settings = DevnetSettings {
            nodes: None,
            consensus: None,
            block_time: None,
            mine: None,
            threads: 1,
            data_directory: PathBuf::new(),
            port_base: PORT_BASE,
            ephemeral: false,
            reset: false,
            runtime_directory: PathBuf::new(),
        };
        check(&settings).unwrap();
        assert_eq!(api_address(&settings, 2).unwrap().port(), 7782);
        assert_eq!(p2p_address(&settings, 2).unwrap().port(), 7702);
        for found in [0, 33] {
            let nodes = DevnetSettings { nodes: Some(found), ..settings.clone() };
            assert!(matches!(check(&nodes), Err(DevnetError::Nodes { .. })));
        }
        let bft = DevnetSettings { consensus: Some("bft".to_owned()), ..settings.clone() };
        assert!(matches!(check(&bft), Err(DevnetError::Consensus { .. })));
        let at_once = DevnetSettings { block_time: Some(Duration::ZERO), ..settings.clone() };
        assert!(matches!(check(&at_once), Err(DevnetError::BlockTime { .. })));
        let high = DevnetSettings { port_base: u16::MAX, ..settings };
        assert!(matches!(check(&high), Err(DevnetError::PortBase { .. })));
    }
}
