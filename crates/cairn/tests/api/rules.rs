//! Transactions that break a rule: each is refused with the rule's number, and changes nothing.

use crate::node::TestNode;
use crate::sender::{Sender, address, body, to_bytes, to_json};
use cairn_core::numbers::{Amount, FeeRate, Height};
use cairn_core::signature::Witness;
use cairn_core::transaction::{Transaction, TransactionBody, Transfer};
use serde_json::json;

/// Submits as JSON and as bytes, and checks the refusal and that nothing has changed.
fn assert_refused(node: &TestNode, transaction: &Transaction, status: u16, code: &str, rule: &str) {
    let before = node.snapshot();
    let expected = (status, code.to_owned(), Some(rule.to_owned()));
    assert_eq!(node.post("/v1/transactions", &to_json(transaction)).refusal(), expected);
    let bytes = to_bytes(std::slice::from_ref(transaction));
    assert_eq!(node.post_bytes("/v1/transactions", &bytes).refusal(), expected);
    assert_eq!(node.snapshot(), before, "{code} changed something");
}

fn many(count: usize) -> Vec<Transfer> {
    vec![Transfer { to: address("bob"), amount: Amount::from_units(1) }; count]
}

#[test]
fn a_transaction_that_breaks_a_rule_of_its_own_is_refused() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let plain = || body(0, 5);
    let cases = [
        (TransactionBody { version: 2, ..plain() }, "unknown-version", "TX-1"),
        (TransactionBody { transfers: vec![], ..plain() }, "transfer-count", "TX-4"),
        (body(0, 0), "zero-amount", "TX-5"),
        (TransactionBody { max_fee_rate: FeeRate(u64::MAX), ..plain() }, "amount-overflow", "TX-6"),
        (body(0, u64::MAX), "amount-overflow", "TX-6"),
        (TransactionBody { data: vec![0; 1025], ..plain() }, "data-too-long", "TX-7"),
        (body(u64::MAX, 5), "nonce-exhausted", "TX-14"),
        (
            TransactionBody { max_fee_rate: FeeRate(0), tip_rate: FeeRate(0), ..plain() },
            "fee-too-low",
            "TX-11",
        ),
    ];
    for (body, code, rule) in cases {
        assert_refused(&node, &alice.sign(&body), 422, code, rule);
    }
    let most = alice.sign(&TransactionBody { transfers: many(256), ..plain() });
    assert_eq!(node.post("/v1/transactions", &to_json(&most)).status, 202);
    // Bytes cannot even say more transfers than any network allows.
    let more = alice.sign(&TransactionBody { transfers: many(257), ..plain() });
    let refused = node.post("/v1/transactions", &to_json(&more)).refusal();
    assert_eq!(refused, (422, "transfer-count".to_owned(), Some("TX-4".to_owned())));
    let refused = node.post_bytes("/v1/transactions", &to_bytes(&[more])).refusal();
    assert_eq!(refused, (400, "list-too-long".to_owned(), Some("BYT-3".to_owned())));
    node.assert_no_failure();
}

#[test]
fn a_signature_that_is_not_the_senders_is_refused() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let wrong = |change: fn(&mut [u8; 32], &mut [u8; 64], &mut TransactionBody)| {
        let mut transaction = alice.pay(0, 5);
        let Witness::Ed25519 { key, signature } = &mut transaction.witness else { panic!() };
        change(key, signature, &mut transaction.body);
        transaction
    };
    let cases = [
        // The last digit of the signature, of the key, and of what was signed.
        wrong(|_, signature, _| signature[63] ^= 1),
        wrong(|key, _, _| key[31] ^= 1),
        wrong(|_, _, body| body.transfers[0].amount = Amount::from_units(6)),
        wrong(|_, _, body| body.transfers[0].to = address("carol")),
        wrong(|_, signature, _| *signature = [0; 64]),
        // A transaction of another network.
        Sender::elsewhere("alice").pay(0, 5),
    ];
    for transaction in cases {
        assert_refused(&node, &transaction, 422, "wrong-signature", "TX-9");
    }
    node.assert_no_failure();
}

#[test]
fn a_transaction_that_conflicts_with_the_state_is_refused() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let first = alice.pay(0, 5);
    assert_eq!(node.post("/v1/transactions", &to_json(&first)).status, 202);
    let known = node.post("/v1/transactions", &to_json(&first)).refusal();
    assert_eq!(known, (409, "already-known".to_owned(), None));
    // A second spending of the same nonce does not get in the way of the first.
    assert_refused(&node, &alice.pay(0, 6), 409, "replacement-too-cheap", "MEM-5");
    assert_refused(&node, &alice.pay(66, 5), 409, "nonce-too-high", "MEM-2");
    node.mine(1);
    assert_refused(&node, &first, 409, "nonce-too-low", "TX-3");
    assert_refused(&node, &alice.pay(0, 6), 409, "nonce-too-low", "TX-3");
    node.mine(4);
    let until = |height| alice.sign(&TransactionBody { valid_until: Height(height), ..body(1, 5) });
    assert_refused(&node, &until(5), 422, "expired", "TX-10");
    assert_refused(&node, &until(7), 422, "expires-soon", "MEM-6");
    assert_eq!(node.post("/v1/transactions", &to_json(&until(8))).status, 202);
    node.assert_no_failure();
}

#[test]
fn nobody_spends_more_than_the_balance() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let all = 1_000_000 * 100_000_000;
    assert_refused(&node, &alice.pay(0, all), 422, "insufficient-balance", "TX-12");
    assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(0, all / 2))).status, 202);
    assert_refused(&node, &alice.pay(1, all / 2), 422, "balance-pledged", "MEM-4");
    node.assert_no_failure();
}

#[test]
fn no_account_is_left_with_dust() {
    let genesis = format!(
        "[network]\nname = \"thrift\"\ndevnet = true\n[difficulty]\nmode = \"fixed\"\nfirst_work = 256\n\
         [transactions]\nreserve = \"1\"\n[[allocation]]\naddress = \"{}\"\nbalance = \"10\"\n",
        address("alice").to_text(&crate::sender::prefix())
    );
    let node = TestNode::start_network(&genesis);
    let alice = Sender::new("alice", &node);
    let coin = 100_000_000;
    // The recipient would end with less than the reserve, and then the sender would.
    assert_refused(&node, &alice.pay(0, coin - 1), 422, "below-reserve", "TX-13");
    assert_refused(&node, &alice.pay(0, 9 * coin), 422, "below-reserve", "TX-13");
    assert_eq!(node.post("/v1/transactions", &to_json(&alice.pay(0, coin))).status, 202);
    node.mine(1);
    assert_eq!(node.read("/v1/blocks/tip")["transaction_count"], json!(1));
}

#[test]
fn a_payment_of_less_than_nothing_cannot_be_said() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let before = node.snapshot();
    for amount in
        [json!("-5000"), json!(-5000), json!(5000), json!("1.5"), json!(1.5), json!("5e3"), json!(null)]
    {
        let mut transaction = to_json(&alice.pay(0, 5));
        transaction["body"]["transfers"][0]["amount"] = amount.clone();
        let refused = node.post("/v1/transactions", &transaction).refusal();
        assert_eq!(refused, (400, "malformed-json".to_owned(), None), "{amount}");
    }
    for nonce in [json!(-1), json!(1.5), json!("1"), json!(1e30)] {
        let mut transaction = to_json(&alice.pay(0, 5));
        transaction["body"]["nonce"] = nonce.clone();
        let refused = node.post("/v1/transactions", &transaction).refusal();
        assert_eq!(refused, (400, "malformed-json".to_owned(), None), "{nonce}");
    }
    assert_eq!(node.snapshot(), before);
}

#[test]
fn keys_and_schemes_that_do_not_fit_are_refused() {
    let node = TestNode::start();
    let alice = Sender::new("alice", &node);
    let before = node.snapshot();
    let cases = [
        ("scheme", json!("secp256k1"), (422, "scheme-not-enabled", Some("TX-8"))),
        ("scheme", json!("rot13"), (400, "malformed-parameter", None)),
        ("key", json!("00"), (400, "malformed-parameter", None)),
        ("signature", json!(""), (400, "malformed-parameter", None)),
        ("signature", json!("zz"), (400, "malformed-json", None)),
    ];
    for (field, value, (status, code, rule)) in cases {
        let mut transaction = to_json(&alice.pay(0, 5));
        transaction["witness"][field] = value;
        let refused = node.post("/v1/transactions", &transaction).refusal();
        assert_eq!(refused, (status, code.to_owned(), rule.map(str::to_owned)));
    }
    // The same in bytes: the scheme of the witness stands behind the body, 97 bytes before the end.
    for (scheme, code, rule) in [(2, "truncated-bytes", "BYT-1"), (0x77, "unknown-kind", "BYT-4")] {
        let mut bytes = to_bytes(&[alice.pay(0, 5)]);
        let at = bytes.len() - 97;
        bytes[at] = scheme;
        let refused = node.post_bytes("/v1/transactions", &bytes).refusal();
        assert_eq!(refused, (400, code.to_owned(), Some(rule.to_owned())));
    }
    assert_eq!(node.snapshot(), before);
}
