//! Requests that are malformed: each is refused with a code, and changes nothing.

use crate::http::{connect, read_answer, request};
use crate::node::TestNode;
use crate::sender::{Sender, address_text, to_bytes, to_json};
use serde_json::json;
use std::io::Write as _;

#[test]
fn garbage_in_the_place_of_json_is_refused() {
    let node = TestNode::start();
    let before = node.snapshot();
    let good = to_json(&Sender::new("alice", &node).pay(0, 5)).to_string();
    let unknown = good.replacen("\"nonce\"", "\"colour\":1,\"nonce\"", 1);
    let twice = good.replacen("\"nonce\"", "\"nonce\":0,\"nonce\"", 1);
    let missing = good.replacen("\"nonce\"", "\"nonc\"", 1);
    let deep = format!("{{\"body\":{}", "[".repeat(100_000));
    let cut = &good[..good.len() - 7];
    let trailing = format!("{good} x");
    for text in ["x", "null", "7", "{}", &unknown, &twice, &missing, &deep, cut, &trailing, "[[[[", "\u{0}"] {
        let refused = node.post_text("/v1/transactions", text).refusal();
        assert_eq!(refused, (400, "malformed-json".to_owned(), None), "{text:.60}");
    }
    for path in ["/v1/faucet", "/v1/transactions"] {
        let headers = [("Content-Type", "application/json")];
        let refused = request(node.address, "POST", path, &headers, &[0xff, 0xfe, b'{']).refusal();
        assert_eq!(refused, (400, "malformed-json".to_owned(), None));
    }
    assert_eq!(node.post_text("/v1/transactions", "[]").refusal().1, "no-items");
    let mine = node.command("/v1/mine", &json!({ "blocks": 1, "colour": "red" }));
    assert_eq!(mine.refusal().1, "malformed-json");
    assert_eq!(node.command("/v1/mine", &json!({ "blocks": 0 })).refusal().1, "malformed-parameter");
    assert_eq!(node.command("/v1/mine", &json!({ "blocks": 1001 })).refusal().1, "malformed-parameter");
    assert_eq!(node.snapshot(), before);
    node.assert_no_failure();
}

#[test]
fn garbage_in_the_place_of_bytes_is_refused() {
    let node = TestNode::start();
    let before = node.snapshot();
    let good = to_bytes(&[Sender::new("alice", &node).pay(0, 5)]);
    for end in [1, 20, 60, good.len() - 1] {
        let refused = node.post_bytes("/v1/transactions", &good[..end]).refusal();
        assert_eq!(refused, (400, "truncated-bytes".to_owned(), Some("BYT-1".to_owned())), "{end}");
    }
    let trailing = [good.as_slice(), &[1, 2, 3]].concat();
    assert_eq!(node.post_bytes("/v1/transactions", &trailing).status, 400);
    for seed in 0..64u8 {
        let noise: Vec<u8> =
            (0..300u16).map(|at| seed.wrapping_mul(31) ^ at.to_le_bytes()[0].wrapping_mul(97)).collect();
        assert_eq!(node.post_bytes("/v1/transactions", &noise).status, 400, "{seed}");
    }
    assert_eq!(node.post_bytes("/v1/transactions", &[]).status, 400);
    assert_eq!(node.snapshot(), before);
    node.assert_no_failure();
}

#[test]
fn what_is_too_large_is_refused() {
    let node = TestNode::start();
    let before = node.snapshot();
    let alice = Sender::new("alice", &node);
    let many = to_bytes(&(0..1001).map(|nonce| alice.pay(nonce, 1)).collect::<Vec<_>>());
    assert_eq!(node.post_bytes("/v1/transactions", &many).refusal().1, "too-many-items");
    let list: Vec<_> = (0..1001).map(|nonce| to_json(&alice.pay(nonce, 1))).collect();
    assert_eq!(node.post("/v1/transactions", &json!(list)).refusal().1, "too-many-items");
    // Only the announced length is sent: nothing is read of a body that is too large.
    for (path, limit) in [("/v1/transactions", 4 * 1024 * 1024), ("/v1/faucet", 1024 * 1024)] {
        let mut stream = connect(node.address);
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            node.address,
            limit + 1
        )
        .unwrap();
        let refused = read_answer(&mut stream).refusal();
        assert_eq!(refused, (413, "body-too-large".to_owned(), None));
    }
    // Nor of one that does not announce its length.
    let mut stream = connect(node.address);
    write!(
        stream,
        "POST /v1/faucet HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        node.address
    )
    .unwrap();
    let chunk = vec![b' '; 64 * 1024];
    for _ in 0..17 {
        let _ = write!(stream, "{:x}\r\n", chunk.len()).and_then(|()| stream.write_all(&chunk));
        let _ = stream.write_all(b"\r\n");
    }
    assert_eq!(read_answer(&mut stream).refusal().1, "body-too-large");
    assert_eq!(node.snapshot(), before);
    node.assert_no_failure();
}

#[test]
fn paths_and_parameters_that_mean_nothing_are_refused() {
    let node = TestNode::start();
    let alice = address_text("alice");
    let zero = "0".repeat(64);
    let cases = [
        ("/v1/nothing", 404, "no-such-path"),
        ("/page", 404, "no-such-path"),
        ("/v1/blocks/-1", 400, "malformed-parameter"),
        ("/v1/blocks/1.5", 400, "malformed-parameter"),
        ("/v1/blocks/%ff", 400, "malformed-parameter"),
        ("/v1/blocks/99999999999999999999", 400, "malformed-parameter"),
        ("/v1/blocks/7", 404, "unknown-block"),
        (&format!("/v1/blocks/{zero}"), 404, "unknown-block"),
        ("/v1/blocks?limit=0", 400, "malformed-parameter"),
        ("/v1/blocks?limit=1001", 400, "malformed-parameter"),
        ("/v1/blocks?limit=x", 400, "malformed-query"),
        ("/v1/status?verbose=true", 400, "malformed-query"),
        ("/v1/blocks/tip/raw?full=true", 400, "malformed-query"),
        ("/v1/blocks?before=-1", 400, "malformed-query"),
        ("/v1/blocks?colour=red", 400, "malformed-query"),
        ("/v1/blocks/0?full=maybe", 400, "malformed-query"),
        ("/v1/transactions/xyz", 400, "malformed-parameter"),
        (&format!("/v1/transactions/{zero}"), 404, "unknown-transaction"),
        (&format!("/v1/transactions/{zero}/proof"), 404, "unknown-transaction"),
        ("/v1/accounts/alice", 400, "malformed-address"),
        (&format!("/v1/accounts/{}q", &alice[..alice.len() - 1]), 400, "address-checksum"),
        (&format!("/v1/accounts/{alice}?at=-1"), 400, "malformed-query"),
        (&format!("/v1/accounts/{alice}?at=1"), 404, "height-ahead"),
        (&format!("/v1/accounts/{alice}/transactions?before=x"), 400, "malformed-parameter"),
        ("/v1/mempool?address=bob", 400, "malformed-address"),
        ("/v1/events?after=x", 400, "malformed-query"),
        ("/v1/blocks/00", 400, "malformed-parameter"),
        ("/v1/blocks/+0", 400, "malformed-parameter"),
        ("/v1/blocks/%2B0/raw", 400, "malformed-parameter"),
        ("/v1/blocks?limit=05", 400, "malformed-query"),
        ("/v1/blocks?before=%2B5", 400, "malformed-query"),
        ("/v1/mempool?limit=+5", 400, "malformed-query"),
        ("/v1/events?after=00", 400, "malformed-query"),
        (&format!("/v1/accounts/{alice}?at=00"), 400, "malformed-query"),
        (&format!("/v1/accounts/{alice}/transactions?before=1.00"), 400, "malformed-parameter"),
    ];
    for (path, status, code) in cases {
        let (found_status, found_code, _) = node.get(path).refusal();
        assert_eq!((found_status, found_code.as_str()), (status, code), "{path}");
    }
    for id in ["x", "07", "+7", "-7", "7 7"] {
        let headers = [("Last-Event-ID", id)];
        let refused = request(node.address, "GET", "/v1/events", &headers, &[]).refusal();
        assert_eq!(refused, (400, "malformed-parameter".to_owned(), None), "{id}");
    }
    let other = cairn_core::address::AddressPrefix::new("other").unwrap();
    let foreign = crate::sender::address("alice").to_text(&other);
    let refused = node.get(&format!("/v1/accounts/{foreign}")).refusal();
    assert_eq!(refused, (400, "address-of-another-network".to_owned(), Some("ADR-3".to_owned())));
    for (method, path) in [("DELETE", "/v1/status"), ("GET", "/v1/mine"), ("PUT", "/v1/transactions")] {
        let refused = request(node.address, method, path, &[], &[]);
        assert_eq!(refused.refusal(), (405, "method-not-allowed".to_owned(), None), "{method} {path}");
        assert!(refused.header("allow").is_some());
    }
    node.assert_no_failure();
}
