//! The search for work as an operator sees it: threads, kernel, hash rate, and the four modes.

use crate::node::TestNode;
use serde_json::{Value, json};

fn mining(node: &TestNode) -> Value {
    node.read("/v1/status")["mining"].clone()
}

/// The value of a figure of `/metrics` without labels but the network.
fn figure(node: &TestNode, name: &str) -> u64 {
    let text = String::from_utf8(node.get("/metrics").body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}{{network=\"devnet\"}} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn a_node_tells_how_it_searches_for_work_and_how_fast() {
    let flags = ["--mine", "manual", "--threads", "3", "--log", "info"];
    let node = TestNode::start_in(tempfile::tempdir().unwrap(), &flags);
    let idle = mining(&node);
    assert_eq!((&idle["threads"], &idle["hash_rate"]), (&json!(3), &json!(0)));
    let kernel = idle["kernel"].as_str().unwrap();
    assert_eq!(kernel, cairn_hash::Kernel::best().name());
    assert_eq!(figure(&node, "cairn_work_trials_total"), 0);

    node.mine(20);
    assert!(mining(&node)["hash_rate"].as_u64().unwrap() > 0);
    assert_eq!(figure(&node, "cairn_sealer_threads"), 3);
    assert!(figure(&node, "cairn_work_trials_total") >= 20);
    assert!(figure(&node, "cairn_hash_rate") > 0);
    let log = node.log();
    let ready = log.lines().find(|line| line.contains("ready to search for work")).unwrap();
    assert!(ready.contains("threads=3") && ready.contains(&format!("kernel={kernel}")), "{ready}");
}

#[test]
fn several_threads_make_blocks_in_every_mode() {
    let node = TestNode::start_in(tempfile::tempdir().unwrap(), &["--mine", "manual", "--threads", "4"]);
    node.mine(3);
    for mode in ["continuous", "interval", "on-transaction", "manual"] {
        let answer = node.command("/v1/mine", &json!({ "mode": mode, "blocks": 2 }));
        assert_eq!((answer.status, &answer.json()["blocks"]), (200, &json!(2)), "{mode}");
        assert_eq!(mining(&node)["mode"], json!(mode));
    }
    assert!(node.read("/v1/status")["height"].as_u64().unwrap() >= 11);
}
