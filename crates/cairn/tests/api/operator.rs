//! What an operator reads and finds: the log of normal work, and a start after damage.

use crate::node::TestNode;
use crate::sender::{Sender, to_json};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// The flags of a node whose log is looked at.
const LOGGED: [&str; 4] = ["--mine", "manual", "--log", "info"];

#[test]
fn the_log_tells_the_start_each_head_and_the_stop_and_no_secret() {
    let mut node = TestNode::start_in(tempfile::tempdir().unwrap(), &LOGGED);
    let alice = Sender::new("alice", &node);
    assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(0, 5))).status, 202);
    node.mine(1);
    let start = Instant::now();
    node.mine(200);
    // Hundreds of blocks a second are a line a second.
    let last = json!(201).to_string();
    while !node.log().contains(&format!("height={last} ")) {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", node.log());
        std::thread::yield_now();
    }
    let took = start.elapsed().as_secs();
    assert_eq!(node.command("/v1/shutdown", &json!({})).status, 202);
    assert!(node.wait());

    let log = node.log();
    let line = |words: &str| {
        let found = log.lines().find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("no line with {words:?}: {log}")).to_owned()
    };
    let started = line("node started");
    let status = &node.ready;
    for field in ["version=", "commit=", "network=devnet", "height=0", "role=\"miner\"", "api=127.0.0.1:"] {
        assert!(started.contains(field), "{field}: {started}");
    }
    assert!(started.contains(status["identity"].as_str().unwrap()), "{started}");
    let head = line("new head ");
    for field in ["height=1 ", "transactions=1 ", "producer=cairn1", "after_ms=", "waiting=0"] {
        assert!(head.contains(field), "{field}: {head}");
    }
    let heads = line("new heads ");
    for field in ["first=2 ", "blocks=", "id="] {
        assert!(heads.contains(field), "{field}: {heads}");
    }
    let lines = log.lines().filter(|line| line.contains("new head")).count();
    assert!(u64::try_from(lines).unwrap() <= took + 3, "{lines} lines in {took} s: {log}");
    assert!(line("node stops").contains("POST /v1/shutdown"));
    let stopped = line("node stopped");
    assert!(stopped.contains("height=201") && stopped.contains("took_ms="), "{stopped}");
    assert!(!log.contains(&node.token), "the token is a secret");
}

#[test]
fn what_is_logged_changes_while_the_node_runs() {
    let node = TestNode::start_in(tempfile::tempdir().unwrap(), &["--mine", "manual", "--log", "warn"]);
    node.mine(1);
    let refused = node.post("/v1/log", &json!({ "filter": "info" }));
    assert_eq!((refused.status, refused.refusal().1.as_str()), (401, "token-required"));
    assert_eq!(node.command("/v1/log", &json!({})).json(), json!({ "filter": "warn" }));
    assert!(!node.log().contains("new head"), "{}", node.log());

    assert_eq!(node.command("/v1/log", &json!({ "filter": "info" })).json(), json!({ "filter": "info" }));
    node.mine(1);
    let start = Instant::now();
    while !node.log().contains("height=2 ") {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", node.log());
        std::thread::yield_now();
    }
    for filter in ["inof", "cairn=loud"] {
        assert_eq!(node.command("/v1/log", &json!({ "filter": filter })).refusal().1, "malformed-parameter");
    }
    assert_eq!(node.command("/v1/log", &json!({})).json(), json!({ "filter": "info" }));
}

#[test]
fn a_log_of_json_goes_to_a_file_and_is_turned_over() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node.log");
    let to_file = ["--log-format", "json", "--log-size", "1KiB", "--log-kept", "2"];
    let flags = [&LOGGED[..], &to_file, &["--log-file", file.to_str().unwrap()]].concat();
    let node = TestNode::start_in(home, &flags);
    let older = file.with_extension("log.1");
    let start = Instant::now();
    while !older.exists() {
        node.mine(1);
        assert!(start.elapsed() < Duration::from_secs(60), "the file is never turned over");
    }
    for line in std::fs::read_to_string(older).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], json!("INFO"), "{line}");
        assert!(line["timestamp"].is_string() && line["message"].is_string(), "{line}");
    }
    assert_eq!(node.log(), "", "nothing goes to stderr");
}

/// A byte in the header of a segment.
const IN_HEADER: usize = 20;

/// Changes a byte of a log.
fn damage(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 0xff;
    std::fs::write(file, bytes).unwrap();
}

/// The directory of a devnet's node in a home directory.
fn chain(home: &Path) -> std::path::PathBuf {
    home.join("data/cairn/devnet/n0")
}

#[test]
fn damaged_news_and_a_damaged_mempool_are_set_aside_and_damaged_blocks_are_not() {
    let node = TestNode::start_in(tempfile::tempdir().unwrap(), &LOGGED);
    let alice = Sender::new("alice", &node);
    for nonce in 0..20 {
        assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(nonce, 5))).status, 202);
        node.mine(1);
    }
    for nonce in 20..40 {
        assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(nonce, 5))).status, 202);
    }
    let newest = |node: &TestNode| {
        let metrics = String::from_utf8(node.get("/metrics").body).unwrap();
        let line = metrics.lines().find(|line| line.starts_with("cairn_event_id{")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = newest(&node);
    let home = node.kill();
    let mempool = chain(home.path()).join("mempool/mempool-000000.log");
    damage(&mempool, usize::try_from(mempool.metadata().unwrap().len()).unwrap() / 2);
    damage(&chain(home.path()).join("events/events-000000.log"), IN_HEADER);

    let node = TestNode::start_in(home, &LOGGED);
    assert_eq!(node.read("/v1/status")["height"], json!(20), "blocks are all there");
    assert_eq!(node.read("/v1/mempool"), json!([]));
    node.mine(1);
    assert!(newest(&node) > before, "no id is given twice");
    let log = node.log();
    for name in ["mempool", "events"] {
        let aside = format!("{name}.damaged-1");
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(&aside)), "{log}");
    }
    let home = node.kill();
    for name in ["mempool", "events"] {
        assert!(
            chain(home.path()).join(format!("{name}.damaged-1")).join(format!("{name}-000000.log")).exists()
        );
        assert!(chain(home.path()).join(name).exists());
    }

    let blocks = chain(home.path()).join("blocks/blocks-000000.log");
    damage(&blocks, IN_HEADER);
    let before = std::fs::read(&blocks).unwrap();
    let refused = std::process::Command::new(crate::node::program())
        .args(["devnet", "--json", "--port-base", "0", "--nodes", "1"])
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path().join("config"))
        .env("XDG_DATA_HOME", home.path().join("data"))
        .env("XDG_RUNTIME_DIR", home.path().join("runtime"))
        .env("CAIRN_P2P_BIND", "127.0.0.1:0")
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let told = [refused.stdout, refused.stderr].concat();
    assert!(String::from_utf8_lossy(&told).contains("damaged"), "{}", String::from_utf8_lossy(&told));
    assert_eq!(std::fs::read(&blocks).unwrap(), before, "nothing was changed");
    assert!(!chain(home.path()).join("blocks.damaged-1").exists());
}
