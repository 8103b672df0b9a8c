//! A node as its own process: started, asked, killed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::BenchError;
use super::connection::Connection;
use super::measure::resident_bytes;

/// The address of a node that meets nobody.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// How long a node may take to answer.
const START_MAX: Duration = Duration::from_secs(60);

/// A node that runs; killed when dropped.
pub(super) struct NodeProcess {
    child: Child,
    pub(super) port: u16,
    /// Where it meets other nodes, if it does.
    pub(super) p2p: SocketAddr,
}

impl NodeProcess {
    /// Starts a node on `directory` that makes a block as soon as a transaction waits and meets no others,
    /// and waits for its first answer. Returns how long that took.
    pub(super) fn start(
        genesis: &Path,
        directory: &Path,
        producer: &str,
    ) -> Result<(Self, Duration), BenchError> {
        let role = ["--role", "miner", "--producer", producer, "--mine", "on-transaction"];
        Self::spawn(genesis, directory, &[&role[..], &["--p2p-bind", "none"]].concat(), NOWHERE)
    }

    /// Starts a node on `directory` that meets others, with more flags.
    pub(super) fn start_with(genesis: &Path, directory: &Path, flags: &[&str]) -> Result<Self, BenchError> {
        let p2p = free_address()?;
        let bind = p2p.to_string();
        let (node, _) = Self::spawn(genesis, directory, &[flags, &["--p2p-bind", &bind]].concat(), p2p)?;
        Ok(node)
    }

    fn spawn(
        genesis: &Path,
        directory: &Path,
        flags: &[&str],
        p2p: SocketAddr,
    ) -> Result<(Self, Duration), BenchError> {
        let failed = |what, source| BenchError::Node { what, source: Some(Box::new(source)) };
        let program = std::env::current_exe().map_err(|error| failed("cannot be found", error))?;
        let address = free_address()?;
        let start = Instant::now();
        let child = Command::new(program)
            .arg("node")
            .arg("--genesis")
            .arg(genesis)
            .arg("--data-dir")
            .arg(directory)
            .args(["--api-bind", &address.to_string()])
            .args(flags)
            .env("XDG_RUNTIME_DIR", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("does not start", error))?;
        let node = Self { child, port: address.port(), p2p };
        while start.elapsed() < START_MAX {
            if let Some(mut connection) = Connection::open(node.port)
                && connection.get("/v1/status").is_some()
            {
                return Ok((node, start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(BenchError::Node { what: "did not answer within a minute", source: None })
    }

    /// The memory it holds, in bytes.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        resident_bytes(self.child.id())
    }

    /// Its processor time so far, in seconds (proc(5), fields 14 and 15, in hundredths).
    pub(super) fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        ticks.sum::<u64>() as f64 / 100.0
    }

    /// Ends it as a power cut would: without warning.
    pub(super) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine on which nobody listens now.
fn free_address() -> Result<SocketAddr, BenchError> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(|error| BenchError::Node { what: "has no port", source: Some(Box::new(error)) })
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
