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

#[test]
fn the_number_of_threads_changes_while_the_node_runs() {
    let node = TestNode::start_in(tempfile::tempdir().unwrap(), &["--mine", "manual", "--log", "info"]);
    assert_eq!(mining(&node)["threads"], json!(1));
    for threads in [5, 2] {
        let height = node.read("/v1/status")["height"].clone();
        let answer = node.command("/v1/mine", &json!({ "threads": threads }));
        assert_eq!(answer.status, 200);
        let body = answer.json();
        assert_eq!((&body["threads"], &body["blocks"]), (&json!(threads), &json!(0)));
        assert_eq!(body["height"], height, "no block was asked for");
        assert_eq!(mining(&node)["threads"], json!(threads));
        assert_eq!(figure(&node, "cairn_sealer_threads"), threads);
        node.mine(2);
    }
    let answer = node.command("/v1/mine", &json!({ "threads": 3, "mode": "interval", "blocks": 1 })).json();
    assert_eq!(
        (&answer["threads"], &answer["mode"], &answer["blocks"]),
        (&json!(3), &json!("interval"), &json!(1))
    );
    assert!(node.log().contains("threads=5"), "{}", node.log());
}

#[test]
fn a_wrong_request_about_mining_changes_nothing_of_it() {
    let node = TestNode::start_in(tempfile::tempdir().unwrap(), &["--mine", "manual"]);
    for wrong in [
        json!({ "threads": 0 }),
        json!({ "threads": 257, "mode": "interval" }),
        json!({ "threads": 2, "mode": "interval", "blocks": 0 }),
        json!({ "threads": 2, "mode": "interval", "blocks": 1001 }),
        json!({ "threads": -1 }),
        json!({ "threads": 70_000 }),
        json!({ "threads": "all" }),
    ] {
        let refused = node.command("/v1/mine", &wrong);
        assert_eq!(refused.status, 400, "{wrong}");
        let mining = mining(&node);
        assert_eq!((&mining["threads"], &mining["mode"]), (&json!(1), &json!("manual")), "{wrong}");
    }
}
