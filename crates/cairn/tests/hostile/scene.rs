//! Two honest nodes with a link, of which one is attacked: what must go on whatever is done to it.

use crate::support::linked::Node;
use crate::support::{PATIENCE, get, key, post, transfer};
use cairn_core::codec::Encode as _;
use cairn_core::genesis::Genesis;
use serde_json::json;
use std::time::{Duration, Instant};

/// How much memory the attacked node may have more at the end: all queues of all peers are less.
const GROWTH_BYTES_MAX: u64 = 192 * 1024 * 1024;
/// Blocks go to this one.
const PRODUCER: u8 = 2;

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
