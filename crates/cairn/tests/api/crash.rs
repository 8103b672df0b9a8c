//! What was promised survives SIGKILL.

use crate::news::Listener;
use crate::node::TestNode;
use crate::sender::{Sender, to_bytes, to_json};
use serde_json::json;

#[test]
fn a_promise_survives_a_kill() {
    let mut home = tempfile::tempdir().unwrap();
    let mut confirmed = Vec::new();
    let mut nonce = 0;
    for round in 0..4u64 {
        let node = TestNode::start_in(home, &["--mine", "manual"]);
        let alice = Sender::new("alice", &node);
        for id in &confirmed {
            assert_eq!(node.read(&format!("/v1/transactions/{id}"))["status"], json!("confirmed"));
        }
        if round > 0 {
            // What waited waits again, in its order, and goes into the next block.
            assert_eq!(node.read("/v1/mempool").as_array().unwrap().len(), 10, "round {round}");
        }
        node.mine(1);
        assert_eq!(node.read("/v1/status")["height"], json!(round + 1));
        let entries = node.read("/v1/blocks/tip?full=true");
        confirmed.extend(
            entries["transactions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        let batch: Vec<_> = (nonce..nonce + 10).map(|nonce| alice.pay(nonce, 1)).collect();
        nonce += 10;
        let answer = node.post_bytes("/v1/transactions", &to_bytes(&batch));
        assert!(answer.json().as_array().unwrap().iter().all(|it| it["status"] == "pending"));
        home = node.kill();
    }
    assert_eq!(confirmed.len(), 30);
}

#[test]
fn events_that_were_delivered_survive_a_kill() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(0, 5))).status, 202);
    node.mine(2);
    let mut listener = Listener::new(&node, Some(0));
    let seen: Vec<_> = (0..4).map(|_| listener.next()).collect();
    let node = TestNode::start_in(node.kill(), &["--mine", "manual"]);
    let mut again = Listener::new(&node, Some(0));
    for event in &seen {
        assert_eq!(again.next(), *event);
    }
    node.mine(1);
    let (id, block) = again.next();
    assert!(id > seen[3].0);
    assert_eq!(block["height"], json!(3));
}
