//! The stream of events: order, resuming, and starting anew.

use crate::http::connect;
use crate::node::TestNode;
use crate::sender::{Sender, to_json};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// A stream of events.
pub(crate) struct Listener(BufReader<TcpStream>);

impl Listener {
    /// Listens behind the event `last`.
    pub(crate) fn new(node: &TestNode, last: Option<u64>) -> Self {
        let mut stream = connect(node.address);
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET /v1/events HTTP/1.1\r\nHost: {}\r\n{last}\r\n", node.address).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event: its id, and its data.
    pub(crate) fn next(&mut self) -> (u64, Value) {
        let mut id = None;
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.trim().parse().unwrap());
            }
            if let Some(text) = line.strip_prefix("data: ") {
                return (id.unwrap(), serde_json::from_str(text.trim()).unwrap());
            }
        }
    }
}

#[test]
fn events_come_in_order_and_can_be_resumed() {
    let node = TestNode::start();
    let mut listener = Listener::new(&node, Some(0));
    let alice = Sender::new("alice", &node);
    let answer = node.post("/v1/transactions", &to_json(&alice.pay(0, 5)));
    let id = answer.json()["id"].clone();
    node.mine(1);
    let (first, pending) = listener.next();
    assert_eq!((&pending["type"], &pending["status"]), (&json!("transaction"), &json!("pending")));
    assert_eq!(pending["id"], id);
    let (second, block) = listener.next();
    assert_eq!((&block["type"], &block["height"]), (&json!("block"), &json!(1)));
    let (third, confirmed) = listener.next();
    assert_eq!((&confirmed["status"], &confirmed["block"]), (&json!("confirmed"), &block["id"]));
    assert!(first < second && second < third);

    let mut resumed = Listener::new(&node, Some(first));
    assert_eq!(resumed.next(), (second, block));
    assert_eq!(resumed.next(), (third, confirmed));
}

#[test]
fn who_asks_for_what_never_was_starts_anew() {
    let node = TestNode::start();
    node.mine(1);
    let mut listener = Listener::new(&node, Some(1_000_000_000));
    let (id, reset) = listener.next();
    assert_eq!((&reset["type"], &reset["reason"]), (&json!("reset"), &json!("unknown-id")));
    node.mine(1);
    let (next, block) = listener.next();
    assert!(next > id);
    assert_eq!(block["height"], json!(2));
}

#[test]
fn an_expired_transaction_says_so() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let body = cairn_core::transaction::TransactionBody {
        valid_until: cairn_core::numbers::Height(3),
        ..crate::sender::body(1, 5)
    };
    assert_eq!(node.post("/v1/transactions", &to_json(&alice.sign(&body))).status, 202);
    let mut listener = Listener::new(&node, Some(0));
    assert_eq!(listener.next().1["status"], json!("pending"));
    node.mine(3);
    let mut events = std::iter::from_fn(|| Some(listener.next().1));
    let dropped = events.find(|event| event["type"] == "mempool").unwrap();
    assert_eq!(dropped["reason"], json!("expired"));
    assert_eq!(node.read("/v1/mempool"), json!([]));
}
