//! Who may ask, how long they may take, and what a browser is told.

use crate::http::{connect, read_answer, request};
use crate::node::TestNode;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

#[test]
fn requests_for_other_hosts_and_from_other_pages_are_refused() {
    let node = TestNode::start();
    let before = node.snapshot();
    let port = node.address.port();
    for host in ["evil.example", "127.0.0.1", "localhost", &format!("evil.example:{port}"), "127.0.0.1:1"] {
        let refused = request(node.address, "GET", "/v1/status", &[("Host", host)], &[]);
        assert_eq!(refused.refusal(), (403, "host-not-allowed".to_owned(), None), "{host}");
    }
    let local = format!("localhost:{port}");
    assert_eq!(request(node.address, "GET", "/v1/status", &[("Host", &local)], &[]).status, 200);
    for origin in ["http://evil.example", "null", "https://127.0.0.1"] {
        let headers = [("Origin", origin), ("Content-Type", "application/json")];
        let refused = request(node.address, "POST", "/v1/faucet", &headers, b"{}");
        assert_eq!(refused.refusal(), (403, "origin-not-allowed".to_owned(), None), "{origin}");
    }
    let own = format!("http://{}", node.address);
    assert_eq!(request(node.address, "GET", "/v1/status", &[("Origin", &own)], &[]).status, 200);
    let headers = [("Sec-Fetch-Site", "cross-site"), ("Content-Type", "application/json")];
    assert_eq!(request(node.address, "POST", "/v1/faucet", &headers, b"{}").status, 403);
    let mut stream = connect(node.address);
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).refusal().1, "host-not-allowed");
    assert_eq!(node.snapshot(), before);
}

#[test]
fn forms_of_pages_are_no_json() {
    let node = TestNode::start();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        for path in ["/v1/transactions", "/v1/faucet"] {
            let refused = request(node.address, "POST", path, &[("Content-Type", kind)], b"{}");
            assert_eq!(refused.refusal(), (415, "unsupported-media-type".to_owned(), None), "{path} {kind}");
        }
    }
    assert_eq!(request(node.address, "POST", "/v1/faucet", &[], b"{}").status, 415);
    assert_eq!(node.post_bytes("/v1/faucet", b"{}").status, 415);
}

#[test]
fn what_changes_the_node_needs_its_token() {
    let mut node = TestNode::start();
    let before = node.snapshot();
    for path in ["/v1/mine", "/v1/log", "/v1/shutdown"] {
        let refused = request(node.address, "POST", path, &[], &[]);
        assert_eq!(refused.refusal(), (401, "token-required".to_owned(), None));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        for token in [&"0".repeat(64), "", &node.token[1..], &node.token.to_uppercase()] {
            let bearer = format!("Bearer {token}");
            let refused = request(node.address, "POST", path, &[("Authorization", &bearer)], &[]);
            assert_eq!(refused.status, 401, "{token}");
        }
    }
    assert_eq!(node.snapshot(), before);
    let answer = node.command("/v1/mine", &json!({ "mode": "interval" }));
    assert_eq!(answer.json()["mode"], json!("interval"));
    assert_eq!(node.command("/v1/shutdown", &json!({})).status, 202);
    assert!(node.wait());
}

#[test]
fn browsers_are_told_to_run_and_guess_nothing() {
    let node = TestNode::start();
    for path in ["/v1/status", "/v1/nothing", "/openapi.json", "/metrics", "/v1/blocks/0/raw"] {
        let answer = node.get(path);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    assert_eq!(request(node.address, "OPTIONS", "/v1/status", &[], &[]).status, 405);
}

#[test]
fn the_node_describes_itself() {
    let node = TestNode::start();
    let description = node.read("/openapi.json");
    for path in [
        "/v1/status",
        "/v1/peers",
        "/v1/blocks",
        "/v1/blocks/{block}",
        "/v1/blocks/{block}/raw",
        "/v1/forks",
        "/v1/transactions",
        "/v1/transactions/{id}",
        "/v1/transactions/{id}/proof",
        "/v1/accounts/{address}",
        "/v1/accounts/{address}/proof",
        "/v1/accounts/{address}/transactions",
        "/v1/mempool",
        "/v1/events",
        "/v1/mine",
        "/v1/faucet",
        "/v1/log",
        "/v1/shutdown",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    let text = description.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(description["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    assert_eq!(node.read("/healthz"), json!({ "status": "ok" }));
    assert_eq!(node.read("/readyz"), json!({ "ready": true, "reasons": [] }));
    let metrics = String::from_utf8(node.get("/metrics").body).unwrap();
    assert!(metrics.contains("cairn_height{network=\"devnet\"} 0") && metrics.ends_with("# EOF\n"));
}

#[test]
fn who_is_slow_is_cut_off_and_keeps_nobody_out() {
    let node = TestNode::start();
    let started = Instant::now();
    let mut slow = connect(node.address);
    slow.write_all(b"GET /v1/status HTTP/1.1\r\nHost:").unwrap();
    // More connections than there is room for: the slowest of them make room for those who ask.
    let crowd: Vec<_> = (0..300).map(|_| connect(node.address)).collect();
    for _ in 0..10 {
        let asked = Instant::now();
        assert_eq!(node.get("/v1/status").status, 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    assert!(started.elapsed() < Duration::from_secs(20));
    let mut last = crowd.into_iter().next_back().unwrap();
    let _ = last.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    assert!(started.elapsed() < Duration::from_secs(20));
    node.assert_no_failure();
}

#[test]
fn what_is_no_http_ends_its_connection_only() {
    let node = TestNode::start();
    let huge = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n", node.address, "x".repeat(64 * 1024));
    for garbage in [b"\x16\x03\x01\x02\x00".as_slice(), b"\r\n\r\n\r\n", b"GET\r\n\r\n", huge.as_bytes()] {
        let mut stream = connect(node.address);
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    // A body that ends before its announced length.
    let mut stream = connect(node.address);
    write!(
        stream,
        "POST /v1/faucet HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        node.address
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    assert_eq!(node.get("/v1/status").status, 200);
    node.assert_no_failure();
}
