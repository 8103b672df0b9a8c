//! Nodes that come late: one that was away for ten thousand blocks and one that has nothing, while the network goes on.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use cairn_core::codec::Encode as _;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::linked::Node;
use support::{PATIENCE, genesis, key, post, transfer};

/// How many blocks are made while the one is away.
const MISSED: u64 = 10_000;
/// How many one order makes at most (09).
const ORDER_MAX: u64 = 1_000;
/// From one block to the next while others catch up.
const PACE: Duration = Duration::from_millis(50);
/// Where both were together.
const BEFORE: u64 = 3;

/// Hears all events of a node from the first on, until its tip has an id.
fn events_until(port: u16, tip: &str) -> Vec<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nLast-Event-ID: 0\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    let (mut has_tip, mut is_synced) = (false, false);
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        let Some(text) = line.strip_prefix("data: ") else { continue };
        let event: Value = serde_json::from_str(text).unwrap();
        has_tip |= event["type"] == "block" && event["id"] == tip;
        is_synced = is_synced || (event["type"] == "sync" && event["sync"]["state"] == "synced");
        heard.push(event);
        if has_tip && is_synced {
            return heard;
        }
    }
    panic!("the stream ended");
}

/// The blocks came in their order, each on the one before it, and the states in theirs.
fn check_events(events: &[Value], name: &str) {
    let blocks: Vec<&Value> = events.iter().filter(|event| event["type"] == "block").collect();
    for pair in blocks.windows(2) {
        assert_eq!(pair[1]["parent"], pair[0]["id"], "{name}");
    }
    assert_eq!(blocks[0]["height"], 1, "{name}");
    let syncs = events.iter().filter(|event| event["type"] == "sync").map(|event| &event["sync"]);
    let syncs: Vec<&Value> = syncs.collect();
    let states: Vec<&str> = syncs.iter().map(|sync| sync["state"].as_str().unwrap()).collect();
    // What came before it was away may have been told block by block.
    let headers = states.iter().position(|found| *found == "headers").expect("headers came first");
    let first = |state| states.iter().skip(headers).position(|found| *found == state);
    let (blocks, synced) = (first("blocks"), first("synced"));
    assert!(blocks < synced && blocks.is_some(), "{name}: {states:?}");
    let heights: Vec<u64> = syncs.iter().map(|sync| sync["height"].as_u64().unwrap()).collect();
    assert!(heights.is_sorted(), "{name}: {heights:?}");
    let is_ahead = |sync: &&&Value| sync["target"].as_u64() >= sync["height"].as_u64();
    assert!(syncs.iter().all(|sync| is_ahead(&sync)), "{name}: {syncs:?}");
}

#[test]
fn who_was_away_for_ten_thousand_blocks_and_who_has_none_catch_up_while_the_network_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(2);
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let home = |name: &str| directory.path().join(name);
    let producer = key(9).address().to_text(genesis.rules().prefix());
    let miner = ["--role", "miner", "--mine", "manual", "--producer", &producer];
    let first = Node::start(&file, home("first"), &miner);
    let peer = first.p2p.to_string();
    let late = ["--peer", peer.as_str()];
    let away = Node::start(&file, home("away"), &late);
    first.command("/v1/mine", &json!({ "blocks": BEFORE }));
    away.wait("/v1/status", |status| status["height"] == json!(BEFORE));
    drop(away);
    for _ in 0..MISSED / ORDER_MAX {
        first.command("/v1/mine", &json!({ "blocks": ORDER_MAX }));
    }

    // Both come while blocks with transactions go on.
    let is_over = AtomicBool::new(false);
    let (away, fresh, sent) = std::thread::scope(|scope| {
        let going_on = scope.spawn(|| {
            let mut sent = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let nonce = u64::try_from(sent.len()).unwrap();
                let payment = transfer(&genesis, &key(0), nonce, key(1).address(), 1);
                let answer = post(first.port, "/v1/transactions", &payment.to_bytes()).unwrap();
                assert_eq!(answer.status, 202, "{}", answer.json());
                sent.push(answer.json()["id"].as_str().unwrap().to_owned());
                first.command("/v1/mine", &json!({ "blocks": 1 }));
                std::thread::sleep(PACE);
            }
            sent
        });
        let away = Node::start(&file, home("away"), &late);
        let fresh = Node::start(&file, home("fresh"), &late);
        for node in [&away, &fresh] {
            node.wait("/v1/status", |status| {
                status["height"].as_u64() > Some(BEFORE + MISSED)
                    && status["sync"]["state"] == json!("synced")
            });
        }
        is_over.store(true, Ordering::Relaxed);
        (away, fresh, going_on.join().unwrap())
    });
    let tip = first.tip();
    for (node, name) in [(&away, "away"), (&fresh, "fresh")] {
        node.wait_tip(&tip);
        let last = node.read(&format!("/v1/transactions/{}", sent.last().unwrap()));
        assert_eq!(last["status"], "confirmed", "{name}");
        check_events(&events_until(node.port, &tip), name);
    }

    // Who makes a thousand blocks in a moment is no flood to those who follow, nor are they to it.
    first.command("/v1/mine", &json!({ "blocks": ORDER_MAX }));
    let tip = first.tip();
    for node in [&away, &fresh] {
        node.wait_tip(&tip);
    }
    for node in [&first, &away, &fresh] {
        assert_eq!(node.read("/v1/peers/bans"), json!([]));
    }
}
