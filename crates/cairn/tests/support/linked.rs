//! A node that meets others, as its own process.

use super::{Connection, PATIENCE, get, program};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A node that meets others; killed when dropped.
pub(crate) struct Node {
    child: Child,
    /// Its interface.
    pub(crate) port: u16,
    home: PathBuf,
    token: String,
    /// Where others dial it.
    pub(crate) p2p: SocketAddr,
}

fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

impl Node {
    /// Starts it with flags, on loopback, with all that it keeps in `home`.
    pub(crate) fn start(genesis: &Path, home: PathBuf, flags: &[&str]) -> Self {
        let (api, p2p) = (free_address(), free_address());
        std::fs::create_dir_all(&home).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
        let child = Command::new(program())
            .args(["node", "--p2p-bind", &p2p.to_string(), "--api-bind", &api.to_string()])
            .arg("--genesis")
            .arg(genesis)
            .arg("--data-dir")
            .arg(home.join("data"))
            .args(flags)
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", &home)
            .env("XDG_CONFIG_HOME", &home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut node = Self { child, port: api.port(), home, token: String::new(), p2p };
        let start = Instant::now();
        while get(node.port, "/v1/status").is_none_or(|answer| answer.status != 200) {
            assert!(start.elapsed() < PATIENCE, "no answer: {}", node.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        node.token = std::fs::read_to_string(node.home.join("data/token")).unwrap().trim().to_owned();
        node
    }

    pub(crate) fn read(&self, path: &str) -> Value {
        let answer = get(self.port, path).expect("the node answers");
        assert_eq!(answer.status, 200, "{path}");
        answer.json()
    }

    /// A block as it is kept.
    pub(crate) fn block(&self, height: u64) -> Vec<u8> {
        get(self.port, &format!("/v1/blocks/{height}/raw")).expect("the node answers").body
    }

    pub(crate) fn command(&self, path: &str, body: &Value) -> Value {
        let mut connection = Connection::open(self.port).unwrap();
        let answer = connection.post_with_token(path, &self.token, &body.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    }

    /// Asks until the answer is as it should be.
    pub(crate) fn wait(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let found = self.read(path);
            if is_so(&found) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "{path}: {found}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn height(&self) -> u64 {
        self.read("/v1/status")["height"].as_u64().unwrap()
    }

    /// Its tip, as text.
    pub(crate) fn tip(&self) -> String {
        self.read("/v1/status")["tip"].as_str().unwrap().to_owned()
    }

    pub(crate) fn wait_tip(&self, id: &str) {
        self.wait("/v1/status", |status| status["tip"] == json!(id));
    }

    /// The nodes that it has a link with.
    pub(crate) fn peers(&self) -> Vec<String> {
        let peers = self.read("/v1/peers");
        peers.as_array().unwrap().iter().map(|peer| peer["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether it has banned somebody.
    pub(crate) fn has_banned(&self, id: &str) -> bool {
        let bans = self.read("/v1/peers/bans");
        bans.as_array().unwrap().iter().any(|ban| ban["who"] == json!(id))
    }

    /// One of its figures.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let text = String::from_utf8(get(self.port, "/metrics").unwrap().body).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")));
        line.unwrap_or_else(|| panic!("{name}: {text}")).rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// How much memory it has now.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
