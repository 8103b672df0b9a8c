//! Transactions of the published accounts, with whatever is to be wrong about them.

use cairn_core::address::{Address, AddressPrefix};
use cairn_core::codec::Encode as _;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce};
use cairn_core::signature::Witness;
use cairn_core::transaction::{Transaction, TransactionBody, Transfer};
use cairn_wallet::{SigningKey, development_account};
use serde_json::{Value, json};

use crate::node::TestNode;

/// One who signs for a network.
#[derive(Debug)]
pub(crate) struct Sender {
    key: SigningKey,
    identity: BlockId,
}

/// The prefix of a devnet's addresses.
pub(crate) fn prefix() -> AddressPrefix {
    AddressPrefix::new("cairn").unwrap()
}

/// The address of a published account.
pub(crate) fn address(name: &str) -> Address {
    development_account(name).unwrap().address()
}

/// The text of the address of a published account.
pub(crate) fn address_text(name: &str) -> String {
    address(name).to_text(&prefix())
}

impl Sender {
    /// A published account on the network of a node.
    pub(crate) fn new(name: &str, node: &TestNode) -> Self {
        let identity = node.ready["identity"].as_str().unwrap().parse().unwrap();
        Self { key: development_account(name).unwrap(), identity }
    }

    /// The same account on another network.
    pub(crate) fn elsewhere(name: &str) -> Self {
        Self { key: development_account(name).unwrap(), identity: BlockId([7; 32]) }
    }

    /// Signs a body.
    pub(crate) fn sign(&self, body: &TransactionBody) -> Transaction {
        self.key.sign(body, &self.identity)
    }

    /// Signs a transfer to bob.
    pub(crate) fn pay(&self, nonce: u64, amount: u64) -> Transaction {
        self.sign(&body(nonce, amount))
    }
}

/// A transfer to bob.
pub(crate) fn body(nonce: u64, amount: u64) -> TransactionBody {
    TransactionBody {
        version: 1,
        nonce: Nonce(nonce),
        valid_until: Height(0),
        max_fee_rate: FeeRate(2),
        tip_rate: FeeRate(1),
        transfers: vec![Transfer { to: address("bob"), amount: Amount::from_units(amount) }],
        data: Vec::new(),
    }
}

/// The JSON shape of a transaction.
pub(crate) fn to_json(transaction: &Transaction) -> Value {
    let body = &transaction.body;
    let Witness::Ed25519 { key, signature } = &transaction.witness else { panic!("tests sign ed25519") };
    let transfers: Vec<Value> = body
        .transfers
        .iter()
        .map(|it| json!({ "to": it.to.to_text(&prefix()), "amount": it.amount.to_string() }))
        .collect();
    json!({
        "body": {
            "version": body.version,
            "nonce": body.nonce.0,
            "valid_until": body.valid_until.0,
            "max_fee_rate": body.max_fee_rate.to_string(),
            "tip_rate": body.tip_rate.to_string(),
            "transfers": transfers,
            "data": const_hex::encode(&body.data),
        },
        "witness": {
            "scheme": "ed25519",
            "key": const_hex::encode(key),
            "signature": const_hex::encode(signature),
        },
    })
}

/// Canonical bytes of transactions, one behind the other.
pub(crate) fn to_bytes(transactions: &[Transaction]) -> Vec<u8> {
    transactions.iter().flat_map(|transaction| transaction.to_bytes()).collect()
}
