//! Two honest nodes with a link, of which one is attacked: what must go on whatever is done to it.

use crate::support::{Connection, PATIENCE, get, key, post, program, transfer};
use cairn_core::codec::Encode as _;
use cairn_core::genesis::Genesis;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How much memory the attacked node may have more at the end: all queues of all peers are less.
const GROWTH_BYTES_MAX: u64 = 192 * 1024 * 1024;
/// Blocks go to this one.
const PRODUCER: u8 = 2;

/// A node that meets others; killed when dropped.
pub(crate) struct Node {
    child: Child,
    port: u16,
    home: PathBuf,
    token: String,
    /// Where others dial it.
    pub(crate) p2p: SocketAddr,
}

/// The two nodes and their network.
pub(crate) struct Scene {
    /// The one that is attacked. It makes blocks when asked.
    pub(crate) node: Node,
    /// Linked with it.
    pub(crate) other: Node,
    /// Their network.
    pub(crate) genesis: Genesis,
    sent: u64,
    before_bytes: u64,
    _directory: tempfile::TempDir,
}

fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

impl Node {
    fn start(genesis: &Path, home: PathBuf, flags: &[&str]) -> Self {
        let (api, p2p) = (free_address(), free_address());
        std::fs::create_dir_all(&home).unwrap();
        let log = std::fs::File::create(home.join("log")).unwrap();
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

    fn memory_bytes(&self) -> u64 {
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

impl Scene {
    /// On a network with easy work.
    pub(crate) fn new() -> Self {
        Self::on(crate::support::genesis(4))
    }

    /// On a network; keys 0 to 3 should have coins there, the first is that of the honest transactions.
    pub(crate) fn on(genesis: Genesis) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("genesis.toml");
        std::fs::write(&file, genesis.to_toml()).unwrap();
        let producer = key(PRODUCER).address().to_text(genesis.rules().prefix());
        let miner = ["--role", "miner", "--mine", "manual", "--producer", &producer];
        let node = Node::start(&file, directory.path().join("a"), &miner);
        let peer = node.p2p.to_string();
        let other = Node::start(&file, directory.path().join("b"), &["--peer", &peer]);
        other.wait("/v1/peers", |peers| peers.as_array().unwrap().len() == 1);
        let before_bytes = node.memory_bytes();
        let mut scene = Self { node, other, genesis, sent: 0, before_bytes, _directory: directory };
        scene.goes_on("nothing");
        scene
    }

    /// A transaction that one node is given reaches the other; the block with it comes back.
    pub(crate) fn goes_on(&mut self, after: &str) {
        let transaction = transfer(&self.genesis, &key(0), self.sent, key(1).address(), 5);
        let answer = post(self.other.port, "/v1/transactions", &transaction.to_bytes()).unwrap();
        assert_eq!(answer.status, 202, "after {after}: {}", answer.json());
        self.sent += 1;
        let path = format!("/v1/transactions/{}", answer.json()["id"].as_str().unwrap());
        let start = Instant::now();
        while get(self.node.port, &path).is_none_or(|answer| answer.status != 200) {
            assert!(start.elapsed() < PATIENCE, "no relay after {after}: {}", self.node.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.node.command("/v1/mine", &json!({ "blocks": 1 }));
        self.other.wait(&path, |found| found["status"] == json!("confirmed"));
        self.other.wait_tip(&self.node.tip());
    }

    /// All went on; memory and logs are as they should be.
    pub(crate) fn end(mut self) {
        self.goes_on("all of it");
        let grown = self.node.memory_bytes().saturating_sub(self.before_bytes);
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
        for node in [&self.node, &self.other] {
            let log = node.log();
            assert!(!log.contains("panicked"), "{log}");
            let is_plain = |letter: char| letter == '\n' || !(letter.is_control() || letter == '\u{202e}');
            assert!(log.chars().all(is_plain), "names of others are shown as they are: {log}");
        }
    }
}
