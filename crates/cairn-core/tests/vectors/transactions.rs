//! `transactions.json`: transactions and all that follows from their bytes, and those that are refused.

use crate::fixture::{
    IDENTITY, address, body, coins, hex, key, rules, section, section_json, sign, transfer, wide,
};
use crate::rule;
use crate::settle;
use cairn_core::account::Account;
use cairn_core::codec::Encode as _;
use cairn_core::hash::Tag;
use cairn_core::network::Mode;
use cairn_core::numbers::{FeeRate, Height, Nonce};
use cairn_core::rules::{BlockContext, apply_transaction};
use cairn_core::signature::Witness;
use cairn_core::state::State;
use cairn_core::transaction::{Transaction, TransactionBody, check};
use serde_json::{Value, json};

/// The base fee under which fees are shown.
const BASE_FEE: FeeRate = FeeRate(5);

pub(crate) fn body_json(body: &TransactionBody) -> Value {
    let transfers = body.transfers.iter();
    let transfers = transfers.map(|it| json!({"to": hex(it.to.0), "amount": wide(it.amount.units())}));
    json!({
        "version": body.version,
        "nonce": wide(body.nonce.0),
        "valid_until": wide(body.valid_until.0),
        "max_fee_rate": wide(body.max_fee_rate.0),
        "tip_rate": wide(body.tip_rate.0),
        "transfers": transfers.collect::<Vec<_>>(),
        "data": hex(&body.data),
    })
}

fn transaction_json(what: &str, transaction: Transaction) -> Value {
    let bytes = transaction.to_bytes();
    let witness = transaction.witness.to_bytes();
    let checked = check(transaction, &rules()).unwrap();
    let fees = checked.fees(BASE_FEE);
    json!({
        "what": what,
        "body": body_json(checked.body()),
        "body_bytes": hex(checked.body().to_bytes()),
        "witness_bytes": hex(&witness),
        "bytes": hex(bytes),
        "sender": hex(checked.sender().0),
        "id": checked.id().to_string(),
        "witness_hash": hex(Tag::WITNESS.hash(&[&witness])),
        "leaf": checked.leaf().to_string(),
        "weight": wide(checked.weight().0),
        "amount": wide(checked.amount().units()),
        "cost_max": wide(checked.cost_max().units()),
        "fee_base": fees.map(|fees| wide(fees.base.units())),
        "fee_tip": fees.map(|fees| wide(fees.tip.units())),
    })
}

fn valid() -> Vec<Value> {
    let pay = |nonce, rate, count: u8| {
        let transfers = (0..count).map(|n| transfer(address(n % 7 + 2), 1_000 + u64::from(n)));
        body(nonce, rate, transfers.collect())
    };
    let one = pay(0, 5, 1);
    let two = pay(1, 9, 2);
    let many = body(7, 20, (0..256).map(|n| transfer(address(2), 1_000 + n)).collect());
    let with_data = TransactionBody { data: b"thank you for the bread".to_vec(), ..pay(2, 5, 1) };
    let expiring = TransactionBody { valid_until: Height(1_000), tip_rate: FeeRate(2), ..pay(3, 9, 3) };
    let squeezed = TransactionBody { tip_rate: FeeRate(9), ..pay(4, 7, 1) };
    let everything = TransactionBody {
        valid_until: Height(u64::MAX),
        tip_rate: FeeRate(u64::MAX),
        data: vec![0xd1; 64],
        ..pay(u64::MAX - 1, 1_000_000, 1)
    };
    let cheap = pay(5, 4, 1);
    [
        ("one transfer", one),
        ("two transfers", two),
        ("256 transfers to one account", many),
        ("with data", with_data),
        ("with a last height and a tip", expiring),
        ("a maximum that leaves less than the tip", squeezed),
        ("every field at or near its end", everything),
        ("a maximum below the base fee: no fees", cheap),
    ]
    .into_iter()
    .map(|(what, body)| transaction_json(what, sign(1, body, &IDENTITY)))
    .collect()
}

fn refused() -> Vec<Value> {
    let pay = || body(0, 5, vec![transfer(address(2), 1_000)]);
    let data = |bytes| TransactionBody { data: vec![0; bytes], ..pay() };
    let signed = |body| sign(1, body, &IDENTITY);
    let mut other_signature = signed(pay());
    if let Witness::Ed25519 { signature, .. } = &mut other_signature.witness {
        signature[0] ^= 1;
    }
    let Witness::Ed25519 { signature, .. } = signed(pay()).witness else { panic!("an ed25519 witness") };
    let stolen = Transaction { body: pay(), witness: Witness::Ed25519 { key: key(2), signature } };
    let secp256k1 =
        Transaction { body: pay(), witness: Witness::Secp256k1 { key: [2; 33], signature: [1; 64] } };
    let too_long = vec![transfer(address(2), 1_000); 256];
    let cases = [
        ("version 2", signed(TransactionBody { version: 2, ..pay() })),
        ("16 385 bytes", signed(TransactionBody { data: vec![0; 6_007], ..body(0, 5, too_long) })),
        ("no transfer", signed(body(0, 5, Vec::new()))),
        ("nothing is moved", signed(body(0, 5, vec![transfer(address(2), 5), transfer(address(3), 0)]))),
        ("the amounts do not fit", signed(body(0, 0, vec![transfer(address(2), u64::MAX); 2]))),
        ("the fee does not fit", signed(body(0, u64::MAX / 197, vec![transfer(address(2), 1_000)]))),
        ("amount and fee do not fit", signed(body(0, 1, vec![transfer(address(2), u64::MAX - 197)]))),
        ("65 bytes of data", signed(data(65))),
        ("a scheme that is not enabled", secp256k1),
        ("the last nonce", signed(TransactionBody { nonce: Nonce(u64::MAX), ..pay() })),
        ("a changed signature", other_signature),
        ("the signature of another key", stolen),
        ("signed for another network", sign(1, pay(), &cairn_core::hash::BlockId([1; 32]))),
    ];
    let one = |(what, transaction): (&str, Transaction)| {
        let bytes = transaction.to_bytes();
        let error = check(transaction, &rules()).err().unwrap_or_else(|| panic!("{what} is accepted"));
        json!({"what": what, "bytes": hex(bytes), "rule": rule::of_transaction(&error)})
    };
    cases.into_iter().map(one).collect()
}

/// Three accounts, one transaction, and what becomes of it.
fn applied() -> Vec<Value> {
    let accounts = [(1, 1_000_000, 4), (2, 1_500, 0), (3, 1_000, 9)];
    // Each transaction weighs 198, and 140 more for a second transfer.
    let cases = [
        (
            "two recipients, one of them new",
            1,
            body(4, 5, vec![transfer(address(2), 7), transfer(address(4), 1_000)]),
        ),
        ("to itself", 1, body(4, 5, vec![transfer(address(1), 500)])),
        ("all but the reserve", 1, body(4, 5, vec![transfer(address(2), 1_000_000 - 1_000 - 198 * 5)])),
        ("to itself, all beside the fee", 1, body(4, 5, vec![transfer(address(1), 999_010)])),
        (
            "expired",
            1,
            TransactionBody { valid_until: Height(9), ..body(4, 5, vec![transfer(address(2), 7)]) },
        ),
        (
            "in its last block",
            1,
            TransactionBody { valid_until: Height(10), ..body(4, 5, vec![transfer(address(2), 7)]) },
        ),
        ("the nonce before", 1, body(3, 5, vec![transfer(address(2), 7)])),
        ("the nonce after", 1, body(5, 5, vec![transfer(address(2), 7)])),
        (
            "expired and a wrong nonce",
            1,
            TransactionBody { valid_until: Height(9), ..body(5, 5, vec![transfer(address(2), 7)]) },
        ),
        ("below the base fee", 1, body(4, 4, vec![transfer(address(2), 7)])),
        ("more than the balance", 1, body(4, 5, vec![transfer(address(2), 1_000_000 - 989)])),
        ("an account that is not there", 5, body(0, 5, vec![transfer(address(2), 7)])),
        ("what it pays itself does not count", 2, body(0, 5, vec![transfer(address(2), 1_000)])),
        ("the sender falls below the reserve", 2, body(0, 5, vec![transfer(address(3), 1)])),
        ("a new account below the reserve", 1, body(4, 5, vec![transfer(address(4), 999)])),
        (
            "a new account reaches the reserve in two parts",
            1,
            body(4, 5, vec![transfer(address(4), 400), transfer(address(4), 600)]),
        ),
    ];
    let context = BlockContext { height: Height(10), base_fee: BASE_FEE, reserve: coins(1_000) };
    let one = |(what, seed, body): (&str, u8, TransactionBody)| {
        let mut state = State::new();
        for (seed, balance, nonce) in accounts {
            let account = Account { balance: coins(balance), nonce: Nonce(nonce) };
            state.insert(address(seed).path(), account);
        }
        let transaction = sign(seed, body, &IDENTITY);
        let bytes = transaction.to_bytes();
        let checked = check(transaction, &rules()).unwrap();
        let before = state.root();
        let outcome = apply_transaction(&mut state, &checked, &context, |_| ());
        if outcome.is_err() {
            assert_eq!(state.root(), before, "{what}");
        }
        let after = [1, 2, 3, 4].map(|seed| {
            let account = state.find(&address(seed).path()).map(|index| state.account(index));
            account.map(|it| json!({"balance": wide(it.balance.units()), "nonce": wide(it.nonce.0)}))
        });
        json!({
            "what": what,
            "bytes": hex(bytes),
            "rule": outcome.as_ref().err().map(rule::of_transaction),
            "fee_base": outcome.as_ref().ok().map(|fees| wide(fees.base.units())),
            "fee_tip": outcome.as_ref().ok().map(|fees| wide(fees.tip.units())),
            "after": after,
        })
    };
    cases.into_iter().map(one).collect()
}

#[test]
fn the_vectors_of_transactions_hold() {
    let account = |seed, balance, nonce| json!({"address": hex(address(seed).0), "balance": wide(balance), "nonce": wide(nonce)});
    let addresses = [1, 2, 3, 4].map(|seed| hex(address(seed).0));
    settle(
        "transactions",
        &json!({
            "identity": hex(IDENTITY.0),
            "section": section_json(&section(Mode::Pow)),
            "base_fee": wide(BASE_FEE.0),
            "valid": valid(),
            "refused": refused(),
            "against_state": {
                "height": wide(10),
                "before": [account(1, 1_000_000, 4), account(2, 1_500, 0), account(3, 1_000, 9)],
                "after_addresses": addresses,
                "cases": applied(),
            },
        }),
    );
}
