//! What whole-program tests share: a node as its own process, and as little HTTP as it takes.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
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

/// An answer of the interface.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    port: u16,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self { stream, port, buffer: Vec::new() })
    }

    pub(crate) fn get(&mut self, path: &str) -> Option<Answer> {
        let port = self.port;
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes())
    }

    /// Posts canonical bytes.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Option<Answer> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n\r\n",
            self.port,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.exchange(&request)
    }

    /// Sends bytes and reads one answer. None if the node is gone; a body that was cut off is no answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Option<Answer> {
        self.stream.write_all(request).ok()?;
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(self.buffer.get(..end)?).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
        while self.buffer.len() < end + length {
            self.fill()?;
        }
        let body = self.buffer.get(end..end + length)?.to_vec();
        self.buffer.drain(..end + length);
        Some(Answer { status, body })
    }

    fn fill(&mut self) -> Option<()> {
        let mut part = [0; 16 * 1024];
        let read = self.stream.read(&mut part).ok().filter(|read| *read > 0)?;
        self.buffer.extend_from_slice(part.get(..read)?);
        Some(())
    }
}

pub(crate) fn get(port: u16, path: &str) -> Option<Answer> {
    Connection::open(port)?.get(path)
}

/// Posts canonical bytes.
pub(crate) fn post(port: u16, path: &str, body: &[u8]) -> Option<Answer> {
    Connection::open(port)?.post(path, body)
}
