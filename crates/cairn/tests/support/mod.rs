//! What whole-program tests share: a node as its own process, and as little HTTP as it takes.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

// The client of the benchmark, which is as plain as a test wants it.
#[path = "../../src/bench/connection.rs"]
mod connection;
pub(crate) mod linked;

pub(crate) use connection::{Answer, Connection};

use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn_core::address::Address;
use cairn_core::genesis::{Allocation, Genesis, GenesisDraft, GenesisParts};
use cairn_core::network::Mode;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce};
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{Transaction, TransactionBody, Transfer};
use cairn_wallet::SigningKey;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CAIRN_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_cairn")), PathBuf::from)
}

/// The key of a sender, by number.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number.wrapping_add(100); 32])
}

/// A network with easy work in which some senders have coins.
pub(crate) fn genesis(senders: u8) -> Genesis {
    const EASY: CompactTarget = CompactTarget(0x2000_ffff);
    let mut parts = GenesisParts::new("test", Mode::Pow, true);
    parts.section.half_life_ms = 0;
    parts.section.first_target = EASY;
    parts.section.target_limit = EASY;
    parts.first_block.target = EASY;
    parts.allocations = (0..senders)
        .map(|number| Allocation {
            address: key(number).address(),
            balance: Amount::from_units(1 << 50),
            nonce: Nonce(0),
            label: None,
        })
        .collect();
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1 << 20).unwrap();
    draft.seal(nonce).unwrap()
}

/// A signed transfer of some units.
pub(crate) fn transfer(
    genesis: &Genesis,
    from: &SigningKey,
    nonce: u64,
    to: Address,
    units: u64,
) -> Transaction {
    let body = TransactionBody {
        version: 1,
        nonce: Nonce(nonce),
        valid_until: Height(0),
        max_fee_rate: FeeRate(1),
        tip_rate: FeeRate(0),
        transfers: vec![Transfer { to, amount: Amount::from_units(units) }],
        data: Vec::new(),
    };
    from.sign(&body, genesis.identity())
}

/// A node that runs; killed when dropped.
pub(crate) struct NodeProcess {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl NodeProcess {
    /// Starts a node and returns at once.
    pub(crate) fn spawn(genesis: &Path, directory: &Path, mine: &str, producer: &str) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new(program())
            .args(["node", "--role", "miner", "--mine", mine, "--producer", producer])
            .arg("--genesis")
            .arg(genesis)
            .arg("--data-dir")
            .arg(directory)
            .arg("--api-bind")
            .arg(format!("127.0.0.1:{port}"))
            .env("XDG_RUNTIME_DIR", directory)
            .env("CAIRN_P2P_BIND", "127.0.0.1:0")
            .env("XDG_CONFIG_HOME", directory)
            .env("XDG_DATA_HOME", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// Waits for the first answer; what it wrote to stderr if it ended instead.
    pub(crate) fn wait_ready(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if get(self.port, "/v1/status").is_some_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if self.child.try_wait().unwrap().is_some() {
                let mut text = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
                return Err(text);
            }
            std::thread::yield_now();
        }
        Err("no answer within a minute".to_owned())
    }

    /// Ends it without warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as its operator would, and waits until it has ended.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn get(port: u16, path: &str) -> Option<Answer> {
    Connection::open(port)?.get(path)
}

/// Posts canonical bytes.
pub(crate) fn post(port: u16, path: &str, body: &[u8]) -> Option<Answer> {
    Connection::open(port)?.post(path, body)
}

/// Numbers that are the same in every run (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
