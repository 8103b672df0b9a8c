//! A node as its own process: started, asked, killed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::BenchError;
use super::measure::resident_bytes;

/// How long a node may take to answer.
const START_MAX: Duration = Duration::from_secs(60);

/// A node that runs; killed when dropped.
pub(super) struct NodeProcess {
    child: Child,
    pub(super) port: u16,
}

impl NodeProcess {
    /// Starts a node on `directory` that makes a block as soon as a transaction waits, and waits for
    /// its first answer. Returns how long that took.
    pub(super) fn start(
        genesis: &Path,
        directory: &Path,
        producer: &str,
    ) -> Result<(Self, Duration), BenchError> {
        let failed = |what, source| BenchError::Node { what, source: Some(Box::new(source)) };
        let program = std::env::current_exe().map_err(|error| failed("cannot be found", error))?;
        let free =
            std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| failed("has no port", error))?;
        let port = free.local_addr().map_err(|error| failed("has no port", error))?.port();
        drop(free);
        let start = Instant::now();
        let child = Command::new(program)
            .arg("node")
            .arg("--genesis")
            .arg(genesis)
            .arg("--data-dir")
            .arg(directory)
            .args(["--role", "miner", "--producer", producer, "--mine", "on-transaction"])
            .arg("--api-bind")
            .arg(format!("127.0.0.1:{port}"))
            .env("XDG_RUNTIME_DIR", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("does not start", error))?;
        let node = Self { child, port };
        while start.elapsed() < START_MAX {
            if let Some(mut connection) = Connection::open(port)
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

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One kept-alive connection with as little of HTTP (RFC 9112) as our own server needs.
pub(super) struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

/// The status and the body of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Connection {
    pub(super) fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        Some(Self { stream, host: format!("127.0.0.1:{port}"), buffer: Vec::new() })
    }

    pub(super) fn get(&mut self, path: &str) -> Option<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes()).ok()?;
        self.answer()
    }

    pub(super) fn post(&mut self, path: &str, body: &[u8]) -> Option<Answer> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).ok()?;
        self.answer()
    }

    /// Posts nothing, with the token that commands need.
    pub(super) fn post_with_token(&mut self, path: &str, token: &str) -> Option<Answer> {
        let host = &self.host;
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n");
        let request = format!("{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
        self.stream.write_all(request.as_bytes()).ok()?;
        self.answer()
    }

    fn answer(&mut self) -> Option<Answer> {
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
