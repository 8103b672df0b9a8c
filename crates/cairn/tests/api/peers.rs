//! Three nodes that talk to each other; whom they are told to meet; and the page for people.

use crate::http::request;
use crate::news::Listener;
use crate::node::TestNode;
use crate::sender::{Sender, to_json};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Nobody needs longer for what is done here.
const PATIENCE: Duration = Duration::from_secs(60);
const NOBODY: &str = "127.0.0.1:1";
const NODE: &str = "12D3KooWKW2eVjWyhnR74h8Z4avJ74Y388Ag1vcWvxvYGHE8Mwn7";

fn three() -> TestNode {
    TestNode::start_in(tempfile::tempdir().unwrap(), &["--mine", "manual", "--nodes", "3"])
}

/// The interface of each node of a devnet.
fn interfaces(devnet: &TestNode) -> Vec<SocketAddr> {
    let nodes = devnet.ready["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node["api"].as_str().unwrap().split_once("://").unwrap().1.parse().unwrap()).collect()
}

fn read(address: SocketAddr, path: &str) -> Value {
    let answer = request(address, "GET", path, &[], &[]);
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// Asks until the answer is as it should be.
fn wait_for(address: SocketAddr, path: &str, what: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let answer = request(address, "GET", path, &[], &[]);
        if answer.status == 200 && what(&answer.json()) {
            return answer.json();
        }
        assert!(start.elapsed() < PATIENCE, "{path}: {}", String::from_utf8_lossy(&answer.body));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_transaction_given_to_one_node_is_mined_by_another_and_seen_by_a_third() {
    let devnet = three();
    let nodes = interfaces(&devnet);
    for node in &nodes {
        let peers = wait_for(*node, "/v1/peers", |peers| peers.as_array().unwrap().len() == 2);
        let mut names: Vec<_> = peers.as_array().unwrap().iter().map(|peer| peer["name"].clone()).collect();
        names.push(read(*node, "/v1/status")["name"].clone());
        names.sort_by_key(Value::to_string);
        assert_eq!(names, ["n0", "n1", "n2"]);
        assert_eq!(read(*node, "/v1/status")["peers"], json!(2));
    }
    let miner =
        read(nodes[1], "/v1/peers").as_array().unwrap().iter().find(|peer| peer["name"] == "n0").cloned();
    assert_eq!(miner.unwrap()["roles"], json!(["full", "miner"]));

    let alice = Sender::new("alice", &devnet);
    let body = to_json(&alice.pay(0, 5)).to_string();
    let json = [("Content-Type", "application/json")];
    let answer = request(nodes[2], "POST", "/v1/transactions", &json, body.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.json());
    let path = format!("/v1/transactions/{}", answer.json()["id"].as_str().unwrap());
    for node in &nodes {
        wait_for(*node, &path, |transaction| transaction["status"] == "pending");
    }
    devnet.mine(1);
    for node in &nodes {
        wait_for(*node, &path, |transaction| transaction["status"] == "confirmed");
        assert_eq!(read(*node, "/v1/status")["tip"], read(nodes[0], "/v1/status")["tip"]);
    }
    // What goes from node to node can be watched.
    assert_eq!(devnet.command("/v1/log", &json!({ "filter": "warn,cairn::messages=debug" })).status, 200);
}

#[test]
fn peers_are_added_removed_and_banned_and_that_outlives_the_program() {
    let node = TestNode::start();
    assert_eq!(node.read("/v1/peers/kept"), json!([]));
    let answer = node.command("/v1/peers", &json!({ "add": NOBODY }));
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.json()["kept"][0]["address"], NOBODY);
    let kept = wait_for(node.address, "/v1/peers/kept", |kept| kept[0]["failures"].as_u64().unwrap() > 0);
    assert_eq!(kept[0]["connected"], json!(false));
    assert_eq!(kept[0]["last_failure"], json!("cannot connect: connection refused"));
    for who in [NODE, "192.0.2.7"] {
        assert_eq!(node.command("/v1/peers", &json!({ "ban": who, "seconds": 3600 })).status, 200);
    }
    assert_eq!(node.command("/v1/peers", &json!({ "ban": "192.0.2.8" })).status, 200);
    assert_eq!(node.command("/v1/peers", &json!({ "unban": "192.0.2.8" })).status, 200);
    let bans = node.read("/v1/peers/bans");
    assert_eq!(bans.as_array().unwrap().len(), 2);

    let node = TestNode::start_in(node.kill(), &["--mine", "manual"]);
    assert_eq!(node.read("/v1/peers/bans"), bans);
    assert_eq!(node.read("/v1/peers/kept")[0]["address"], NOBODY);
    assert_eq!(node.command("/v1/peers", &json!({ "remove": NOBODY })).json()["kept"], json!([]));
    node.assert_no_failure();
}

#[test]
fn what_is_said_about_peers_is_checked() {
    let node = TestNode::start();
    for body in [
        json!({}),
        json!({ "add": "127.0.0.1" }),
        json!({ "add": "127.0.0.1:0" }),
        json!({ "add": NOBODY, "ban": NODE }),
        json!({ "add": NOBODY, "seconds": 5 }),
        json!({ "ban": "node.example" }),
        json!({ "ban": NODE, "seconds": 0 }),
        json!({ "ban": NODE, "seconds": 315_360_001 }),
        json!({ "unban": "" }),
    ] {
        let answer = node.command("/v1/peers", &body);
        assert_eq!(answer.refusal().1, "malformed-parameter", "{body}");
    }
    for body in [json!({ "remove": NOBODY }), json!({ "remove": NODE }), json!({ "unban": NODE })] {
        assert_eq!(node.command("/v1/peers", &body).refusal().1, "unknown-peer", "{body}");
    }
    assert_eq!(node.post("/v1/peers", &json!({ "add": NOBODY })).refusal().1, "token-required");
    for number in 0..64 {
        let address = format!("192.0.2.1:{}", 1_000 + number);
        assert_eq!(node.command("/v1/peers", &json!({ "add": address })).status, 200);
    }
    assert_eq!(node.command("/v1/peers", &json!({ "add": "192.0.2.1:1" })).refusal().1, "too-many-peers");
    node.assert_no_failure();
}

#[test]
fn whoever_listens_hears_of_peers_that_come_and_go() {
    let devnet = three();
    let mut listener = Listener::new(&devnet, Some(0));
    let mut came = Vec::new();
    while came.len() < 2 {
        let (_, event) = listener.next();
        if event["type"] == "peer" {
            assert_eq!(event["connected"], json!(true));
            came.push(event["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(devnet.command("/v1/peers", &json!({ "ban": came[0] })).status, 200);
    loop {
        let (_, event) = listener.next();
        if event["type"] == "peer" && event["connected"] == json!(false) {
            assert_eq!(event["id"], json!(came[0]));
            break;
        }
    }
}

#[test]
fn the_page_for_people_loads_nothing_from_elsewhere() {
    let node = TestNode::start();
    let page = node.get("/");
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'")
    );
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    for (path, kind) in
        [("/page.css", "text/css; charset=utf-8"), ("/page.js", "text/javascript; charset=utf-8")]
    {
        assert!(text.contains(path), "{path}");
        let part = node.get(path);
        assert_eq!((part.status, part.header("content-type")), (200, Some(kind)));
        let part = String::from_utf8(part.body).unwrap();
        assert!(!part.contains("://") && !part.contains("innerHTML"), "{path}");
    }
    assert!(!text.contains("://"));
    assert_eq!(node.post("/", &json!({})).status, 405);
}
