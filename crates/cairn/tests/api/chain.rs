//! What a transfer goes through, and everything that can be read about it.

use crate::node::TestNode;
use crate::sender::{Sender, address, address_text, body, to_bytes, to_json};
use cairn_core::block::{Header, SealedBlock, block_id};
use cairn_core::codec::decode_exact;
use cairn_core::hash::{LeafHash, StatePath};
use cairn_core::merkle::MerkleProof;
use cairn_core::numbers::{Nonce, WorkNonce};
use cairn_core::state::{ProofEnd, StateProof};
use cairn_core::transaction::{IdentifiedTransaction, Transaction};
use serde_json::{Value, json};

fn bytes(value: &Value) -> Vec<u8> {
    const_hex::decode(value.as_str().unwrap()).unwrap()
}

fn hash(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn hashes(value: &Value) -> Vec<[u8; 32]> {
    value.as_array().unwrap().iter().map(hash).collect()
}

/// The header of a proof, whose id must be that of the block.
fn checked_header(proof: &Value) -> Header {
    let header: Header = decode_exact(&bytes(&proof["header"])).unwrap();
    let nonce = WorkNonce(proof["seal"]["nonce"].as_str().unwrap().parse().unwrap());
    assert_eq!(block_id(&header.seal_hash(), nonce).0, hash(&proof["block"]));
    header
}

#[test]
fn a_transfer_waits_is_confirmed_and_can_be_proven() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let transaction = alice.pay(0, 2_500);
    let answer = node.post("/v1/transactions", &to_json(&transaction));
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("pending")));
    let id = answer.json()["id"].as_str().unwrap().to_owned();

    let waiting = node.read(&format!("/v1/transactions/{id}"));
    assert_eq!((&waiting["status"], &waiting["waits"]["reason"]), (&json!("pending"), &json!("ready")));
    assert_eq!(node.read("/v1/mempool")[0]["id"], json!(id));
    let account = node.read(&format!("/v1/accounts/{}", address_text("alice")));
    assert_eq!((&account["nonce"], &account["pending_nonce"]), (&json!(0), &json!(1)));
    let early = node.get(&format!("/v1/transactions/{id}/proof"));
    assert_eq!(early.refusal(), (409, "not-confirmed".to_owned(), None));

    node.mine(3);
    let confirmed = node.read(&format!("/v1/transactions/{id}"));
    assert_eq!((&confirmed["status"], &confirmed["height"]), (&json!("confirmed"), &json!(1)));
    assert_eq!((&confirmed["confirmations"], &confirmed["place"]), (&json!(3), &json!(0)));
    assert_eq!(node.read("/v1/mempool"), json!([]));
    let account = node.read(&format!("/v1/accounts/{}", address_text("alice")));
    let fee: u64 = confirmed["fee"].as_str().unwrap().parse().unwrap();
    let left = 1_000_000 * 100_000_000 - 2_500 - fee;
    assert_eq!((&account["nonce"], &account["balance"]), (&json!(1), &json!(left.to_string())));

    let proof = node.read(&format!("/v1/transactions/{id}/proof"));
    let header = checked_header(&proof);
    let proven: Transaction = decode_exact(&bytes(&proof["transaction"])).unwrap();
    let identity = node.ready["identity"].as_str().unwrap().parse().unwrap();
    let leaf = IdentifiedTransaction::new(proven, &identity).leaf();
    let merkle = MerkleProof { index: 0, count: 1, siblings: hashes(&proof["siblings"]) };
    assert_eq!(merkle.verify(leaf, header.tx_root), Ok(()));
    assert_eq!(leaf, LeafHash(hash(&proof["leaf"])));
    node.assert_no_failure();
}

#[test]
fn accounts_can_be_proven_there_or_not() {
    let node = TestNode::start();
    node.mine(1);
    let unused = cairn_core::address::Address([9; 32]);
    for (address, balance) in [(address("bob"), Some("100000000000000")), (unused, None)] {
        let text = address.to_text(&crate::sender::prefix());
        let proof = node.read(&format!("/v1/accounts/{text}/proof"));
        let end = match &proof["leaf"] {
            Value::Null => ProofEnd::Empty,
            leaf => ProofEnd::Leaf { path: StatePath(hash(&leaf["path"])), value: bytes(&leaf["value"]) },
        };
        let state_proof = StateProof { siblings: hashes(&proof["siblings"]), end };
        let header = checked_header(&proof);
        let value = state_proof.verify(header.state_root, &address.path()).unwrap();
        assert_eq!(value.is_some(), balance.is_some());
        assert_eq!(proof["balance"], json!(balance));
    }
    let account = node.read(&format!("/v1/accounts/{}", unused.to_text(&crate::sender::prefix())));
    assert_eq!((&account["balance"], &account["nonce"]), (&json!("0"), &json!(0)));
}

#[test]
fn blocks_are_listed_named_and_given_as_bytes() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let answer = node.post_bytes("/v1/transactions", &to_bytes(&[alice.pay(0, 5)]));
    assert_eq!(answer.status, 202);
    node.mine(5);
    let list = node.read("/v1/blocks?limit=2");
    let heights: Vec<_> = list.as_array().unwrap().iter().map(|it| it["height"].clone()).collect();
    assert_eq!(heights, [json!(5), json!(4)]);
    assert_eq!(node.read("/v1/blocks?before=1&limit=1000").as_array().unwrap().len(), 1);

    let by_height = node.read("/v1/blocks/1");
    let by_id = node.read(&format!("/v1/blocks/{}", by_height["id"].as_str().unwrap()));
    assert_eq!(by_height, by_id);
    assert_eq!(node.read("/v1/blocks/tip")["height"], json!(5));
    assert_eq!(by_height["confirmations"], json!(5));
    let full = node.read("/v1/blocks/1?full=true");
    assert_eq!(full["transactions"][0]["id"], by_height["transaction_ids"][0]);
    assert_eq!(full["transaction_ids"], Value::Null);

    let raw = node.get("/v1/blocks/1/raw");
    assert_eq!(raw.header("content-type"), Some("application/octet-stream"));
    let block: SealedBlock = decode_exact(&raw.body).unwrap();
    assert_eq!(block.id().to_string(), by_height["id"].as_str().unwrap());
    assert_eq!(json!(raw.body.len()), by_height["bytes"]);
    assert_eq!(node.get("/v1/blocks/0/raw").status, 200);
    assert_eq!(node.read("/v1/forks"), json!([]));
    assert_eq!(node.read("/v1/peers"), json!([]));
}

#[test]
fn an_account_is_shown_in_the_past_and_with_what_changed_it() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    for nonce in 0..3 {
        assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(nonce, 100))).status, 202);
        node.mine(1);
    }
    let bob = address_text("bob");
    let start = 100_000_000_000_000u64;
    for height in 0..=3u64 {
        let account = node.read(&format!("/v1/accounts/{bob}?at={height}"));
        assert_eq!(account["balance"], json!((start + 100 * height).to_string()), "{height}");
        assert_eq!(account["height"], json!(height));
    }
    let ahead = node.get(&format!("/v1/accounts/{bob}?at=4"));
    assert_eq!(ahead.refusal(), (404, "height-ahead".to_owned(), None));

    let entries = node.read(&format!("/v1/accounts/{bob}/transactions?limit=2"));
    assert_eq!(entries[0]["height"], json!(3));
    assert_eq!((&entries[0]["kind"], &entries[0]["received"]), (&json!("received"), &json!("100")));
    let cursor = entries[1]["cursor"].as_str().unwrap();
    let rest = node.read(&format!("/v1/accounts/{bob}/transactions?before={cursor}"));
    assert_eq!(rest.as_array().unwrap().len(), 1);
    assert_eq!(rest[0]["height"], json!(1));
    let sent = node.read(&format!("/v1/accounts/{}/transactions", address_text("alice")));
    assert_eq!((&sent[0]["kind"], &sent[0]["sent"]), (&json!("sent"), &json!("100")));
    let producer = node.read("/v1/status")["mining"]["producer"].as_str().unwrap().to_owned();
    let paid = node.read(&format!("/v1/accounts/{producer}/transactions"));
    let units = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let mut sum = 0;
    for entry in paid.as_array().unwrap() {
        assert_eq!(entry["kind"], json!("payment"));
        let received = units(&entry["received"]);
        assert_eq!(received, units(&entry["fees_earned"]) + units(&entry["reward"]), "{entry}");
        // A transfer weighs 198; these offer 2 a unit, 1 of it beside the base fee.
        assert_eq!(entry["fees_earned"], json!("396"));
        sum += received;
    }
    let owned = node.read(&format!("/v1/accounts/{producer}"));
    assert_eq!((paid.as_array().unwrap().len(), units(&owned["balance"])), (3, sum));
}

#[test]
fn each_transaction_of_a_block_is_proven_by_what_the_answer_holds() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let batch: Vec<_> = (0..5).map(|nonce| alice.pay(nonce, 1)).collect();
    assert_eq!(node.post_bytes("/v1/transactions", &to_bytes(&batch)).status, 207);
    node.mine(2);
    let identity = node.ready["identity"].as_str().unwrap().parse().unwrap();
    let mut places = Vec::new();
    for transaction in batch {
        let sent = IdentifiedTransaction::new(transaction, &identity);
        let proof = node.read(&format!("/v1/transactions/{}/proof", sent.id()));
        let header = checked_header(&proof);
        let proven: Transaction = decode_exact(&bytes(&proof["transaction"])).unwrap();
        let proven = IdentifiedTransaction::new(proven, &identity);
        assert_eq!(proven, sent);
        let number = |name: &str| u32::try_from(proof[name].as_u64().unwrap()).unwrap();
        let (index, count) = (number("index"), number("count"));
        assert_eq!(count, header.tx_count);
        let merkle = MerkleProof { index, count, siblings: hashes(&proof["siblings"]) };
        assert_eq!(merkle.verify(proven.leaf(), header.tx_root), Ok(()));
        let elsewhere = MerkleProof { index: (index + 1) % count, ..merkle };
        assert!(elsewhere.verify(proven.leaf(), header.tx_root).is_err());
        places.push(index);
    }
    assert_eq!(places, [0, 1, 2, 3, 4]);
}

#[test]
fn data_may_come_in_base_64() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let with_data =
        alice.sign(&cairn_core::transaction::TransactionBody { data: b"hello".to_vec(), ..body(0, 5) });
    let mut sent = to_json(&with_data);
    sent["body"]["data"] = json!("aGVsbG8=");
    assert_eq!(node.post("/v1/transactions", &sent).refusal().1, "malformed-json");
    sent["body"]["data"] = json!("base64:aGVsbG8=");
    let answer = node.post("/v1/transactions", &sent);
    assert_eq!(answer.status, 202, "{}", answer.json());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let kept = node.read(&format!("/v1/transactions/{id}"));
    assert_eq!(kept["transaction"]["body"]["data"], json!("68656c6c6f"));
}

#[test]
fn what_waits_is_listed_page_by_page() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let batch: Vec<_> = (0..5).map(|nonce| alice.pay(nonce, 1)).collect();
    assert_eq!(node.post_bytes("/v1/transactions", &to_bytes(&batch)).status, 207);
    let mut nonces = Vec::new();
    let mut before = String::new();
    loop {
        let page = node.read(&format!("/v1/mempool?limit=2{before}"));
        let page = page.as_array().unwrap();
        let Some(last) = page.last() else { break };
        before = format!("&before={}", last["cursor"]);
        nonces.extend(page.iter().map(|entry| entry["nonce"].as_u64().unwrap()));
    }
    assert_eq!(nonces, [4, 3, 2, 1, 0]);
    let of_alice = format!("/v1/mempool?limit=2&address={}", address_text("alice"));
    let first = node.read(&of_alice);
    let second = node.read(&format!("{of_alice}&before={}", first[1]["cursor"]));
    let nonces = [&first[0], &first[1], &second[0], &second[1]].map(|entry| entry["nonce"].as_u64().unwrap());
    assert_eq!(nonces, [4, 3, 2, 1]);
    assert_eq!(node.get("/v1/mempool?limit=1001").status, 400);
}

#[test]
fn many_transactions_get_a_result_each_in_their_order() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let mut wrong = to_json(&alice.pay(1, 5));
    wrong["body"]["transfers"][0]["to"] = json!("cairn1nonsense");
    let list =
        json!([to_json(&alice.pay(0, 5)), wrong, to_json(&alice.pay(0, 5)), to_json(&alice.pay(1, 5))]);
    let answer = node.post("/v1/transactions", &list);
    assert_eq!(answer.status, 207);
    let results = answer.json();
    assert_eq!(results[0]["status"], json!("pending"));
    assert_eq!(results[1]["error"]["rule"], json!("ADR-1"));
    assert_eq!(results[2]["error"]["code"], json!("already-known"));
    assert_eq!(results[3]["status"], json!("pending"));

    let batch: Vec<_> = (2..502).map(|nonce| alice.pay(nonce, 1)).collect();
    let answer = node.post_bytes("/v1/transactions", &to_bytes(&batch));
    assert_eq!(answer.status, 207);
    let taken = answer.json().as_array().unwrap().iter().filter(|it| it["status"] == "pending").count();
    assert_eq!(taken, 500, "{}", answer.json()[0]);
    node.mine(1);
    assert_eq!(node.read("/v1/blocks/tip")["transaction_count"], json!(502));
    node.assert_no_failure();
}

#[test]
fn a_waiting_transaction_says_why() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(2, 5))).status, 202);
    let waits = &node.read(&format!("/v1/mempool?address={}", address_text("alice")))[0]["waits"];
    assert_eq!(waits["reason"], json!("nonce-gap"), "{waits}");
    node.mine(1);
    assert_eq!(node.read("/v1/blocks/tip")["transaction_count"], json!(0));
    assert_eq!(node.read(&format!("/v1/mempool?address={}", address_text("bob"))), json!([]));
    let replaced = alice.sign(&cairn_core::transaction::TransactionBody {
        max_fee_rate: cairn_core::numbers::FeeRate(20),
        tip_rate: cairn_core::numbers::FeeRate(20),
        nonce: Nonce(2),
        ..body(2, 6)
    });
    assert_eq!(node.post("/v1/transactions", &to_json(&replaced)).status, 202);
    assert_eq!(node.read("/v1/mempool").as_array().unwrap().len(), 1);
}

#[test]
fn the_faucet_gives_within_limits() {
    let node = TestNode::start();
    let to = address_text("carol");
    let answer = node.post("/v1/faucet", &json!({ "address": to, "amount": "700" }));
    assert_eq!((answer.status, &answer.json()["amount"]), (202, &json!("700")));
    node.mine(1);
    let carol = node.read(&format!("/v1/accounts/{to}"));
    assert_eq!(carol["balance"], json!("100000000000700"));
    for amount in ["0", "18446744073709551615"] {
        let refused = node.post("/v1/faucet", &json!({ "address": to, "amount": amount }));
        assert_eq!(refused.refusal().1, "faucet-amount");
    }
    for _ in 1..10 {
        assert_eq!(node.post("/v1/faucet", &json!({ "address": to })).status, 202);
    }
    let refused = node.post("/v1/faucet", &json!({ "address": to }));
    assert_eq!(refused.refusal(), (429, "faucet-limit".to_owned(), None));
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[test]
fn a_big_block_that_is_read_again_says_the_same_and_how_things_stand_now() {
    let node = TestNode::start();
    for name in ["alice", "bob", "carol"] {
        let sender = Sender::new(name, &node);
        let many = to_bytes(&(0..50).map(|nonce| sender.pay(nonce, 1)).collect::<Vec<_>>());
        assert_eq!(node.post_bytes("/v1/transactions", &many).status, 207);
    }
    node.mine(1);
    assert!(node.get("/v1/blocks/1/raw").body.len() > 16 * 1024, "big enough to be kept");
    for form in ["", "?full=true"] {
        let path = &format!("/v1/blocks/1{form}");
        let first = node.get(path);
        assert_eq!(first.header("content-type"), Some("application/json"));
        assert_eq!(first.body, node.get(path).body);
        let mut first = first.json();
        let by_id = format!("/v1/blocks/{}{form}", first["id"].as_str().unwrap());
        assert_eq!(node.read(&by_id), first);
        node.mine(1);
        first["confirmations"] = json!(first["confirmations"].as_u64().unwrap() + 1);
        assert_eq!(node.read(path), first);
    }
    assert_eq!(node.read("/v1/blocks/1?full=true")["transactions"].as_array().unwrap().len(), 150);
}
