//! Blocks that break one rule each, on top of the chains of `chain.json`.

use crate::chain::{NO_EXTRA, Plan, World};
use crate::fixture::{address, body, hex, sign, transfer, wide};
use crate::rule;
use cairn_core::block::{Certificate, Seal, SealedBlock, block_id, extra_hash};
use cairn_core::codec::Encode as _;
use cairn_core::consensus::seal_message;
use cairn_core::hash::{BlockId, CertificateHash, HistoryRoot, MerkleRoot, StateRoot};
use cairn_core::merkle;
use cairn_core::numbers::{FeeRate, Height, Weight, WorkNonce};
use cairn_core::signature::Witness;
use cairn_core::target::CompactTarget;
use cairn_core::transaction::IdentifiedTransaction;
use serde_json::{Value, json};

/// Describes a block that is refused; `state` must be untouched.
fn refusal(world: &mut World, what: &str, bytes: &[u8]) -> Value {
    let before = world.state.root();
    let error = world.judge(bytes).err().unwrap_or_else(|| panic!("{what} is accepted"));
    assert_eq!(world.state.root(), before, "{what}");
    json!({
        "what": what,
        "parent": world.tip.id.to_string(),
        "height": wide(world.tip.height.next().0),
        "bytes": hex(bytes),
        "rule": rule::of_block(&error),
        "condemns_id": error.condemns_id(),
    })
}

/// The plan of a good block on the `pow` chain.
fn plan(world: &World) -> Plan {
    let identity = world.identity();
    let first = sign(1, body(4, 9, vec![transfer(address(2), 5_000)]), &identity);
    let second = sign(1, body(5, 9, vec![transfer(address(3), 6_000)]), &identity);
    Plan { producer: 4, later_ms: 10_000, transactions: vec![first, second], extra: b"x".to_vec() }
}

/// A change of a block that is sealed again afterwards.
type Change = fn(&mut SealedBlock);

pub(crate) fn on_pow(world: &mut World) -> Value {
    let mut refused = Vec::new();
    let changes: [(&str, Change); 14] = [
        ("version 2", |it| it.header.version = 2),
        ("a height too high", |it| it.header.height = it.header.height.next()),
        ("the height of the parent", |it| it.header.height = Height(it.header.height.0 - 1)),
        ("as late as its parent", |it| it.header.time.0 -= 10_000),
        ("a second before its parent", |it| it.header.time.0 -= 11_000),
        ("the easiest target", |it| it.header.target = CompactTarget(0x200f_ffff)),
        ("a lower base fee", |it| it.header.base_fee = FeeRate(it.header.base_fee.0 - 1)),
        ("another history root", |it| it.header.history_root = HistoryRoot([1; 32])),
        ("weight above the limit", |it| it.header.weight_used = Weight(60_001)),
        ("nine transactions announced", |it| it.header.tx_count = 9),
        ("a certificate hash", |it| it.header.prev_seal = CertificateHash([1; 32])),
        ("a weight that is not the transactions'", |it| it.header.weight_used.0 -= 1),
        ("another state root", |it| it.header.state_root = StateRoot([1; 32])),
        ("one transaction announced", |it| it.header.tx_count = 1),
    ];
    for (what, change) in changes {
        let mut block = world.make(plan(world));
        change(&mut block);
        world.close(&mut block, 4);
        refused.push(refusal(world, what, &block.to_bytes()));
    }
    refused.extend(seals_on_pow(world));
    refused.extend(bodies_on_pow(world));
    refused.extend(transactions_on_pow(world));
    Value::Array(refused)
}

fn seals_on_pow(world: &mut World) -> Vec<Value> {
    let mut refused = Vec::new();
    let good = world.make(plan(world));
    let Seal::Work { nonce } = good.seal else { panic!("sealed by work") };
    let target = good.header.target.expand().unwrap();
    let above = (0..).map(WorkNonce).find(|it| !target.is_met_by(&block_id(&good.header.seal_hash(), *it)));
    let too_little = SealedBlock { seal: Seal::Work { nonce: above.unwrap() }, ..good.clone() };
    refused.push(refusal(world, "too little work", &too_little.to_bytes()));
    let permit = SealedBlock { seal: Seal::Permit { nonce, signature: [1; 64] }, ..good.clone() };
    refused.push(refusal(world, "a permit where none is asked", &permit.to_bytes()));
    let mut out_of_form = good.clone();
    out_of_form.header.target = CompactTarget(0x2100_0fff);
    refused.push(refusal(world, "a target out of form", &out_of_form.to_bytes()));
    let mut without = good;
    without.header.target = CompactTarget(0);
    refused.push(refusal(world, "no target", &without.to_bytes()));
    refused
}

/// Bodies that somebody else put under a good header, and headers that commit to a bad body.
fn bodies_on_pow(world: &mut World) -> Vec<Value> {
    let mut refused = Vec::new();
    let good = world.make(plan(world));
    let bytes = good.to_bytes();
    refused.push(refusal(world, "a byte too many", &[bytes.as_slice(), &[0]].concat()));
    refused.push(refusal(world, "the last byte is missing", &bytes[..bytes.len() - 1]));
    refused.push(refusal(world, "nothing", &[]));

    let mut swapped = good.clone();
    swapped.body.transactions.swap(0, 1);
    refused.push(refusal(world, "transactions in another order", &swapped.to_bytes()));
    let mut fewer = good.clone();
    fewer.body.transactions.pop();
    refused.push(refusal(world, "a transaction is missing", &fewer.to_bytes()));
    let mut resigned = good.clone();
    if let Witness::Ed25519 { signature, .. } = &mut resigned.body.transactions[0].witness {
        signature[0] ^= 1;
    }
    refused.push(refusal(world, "a changed witness under a good header", &resigned.to_bytes()));
    let mut extra = good.clone();
    extra.body.extra = b"y".to_vec();
    refused.push(refusal(world, "other extra data", &extra.to_bytes()));
    let mut without = good.clone();
    without.body.extra.clear();
    without.header.extra_hash = NO_EXTRA;
    world.close(&mut without, 4);
    refused.push(refusal(world, "no extra data and a hash of zeros", &without.to_bytes()));
    let mut certified = good.clone();
    certified.body.certificate = Some(Certificate {
        height: 1,
        round: 0,
        id: BlockId([1; 32]),
        signers: Vec::new(),
        signatures: Vec::new(),
    });
    refused.push(refusal(world, "a certificate that the header does not commit", &certified.to_bytes()));
    let mut long = good;
    long.body.extra = vec![1; 129];
    long.header.extra_hash = extra_hash(&long.body.extra);
    world.close(&mut long, 4);
    refused.push(refusal(world, "129 bytes of extra data", &long.to_bytes()));
    refused
}

/// Headers that commit to a transaction which breaks a rule.
fn transactions_on_pow(world: &mut World) -> Vec<Value> {
    let identity = world.identity();
    let pay = |nonce, rate, units| sign(1, body(nonce, rate, vec![transfer(address(2), units)]), &identity);
    let good = pay(4, 9, 5_000);
    let mut wrong_signature = good.clone();
    if let Witness::Ed25519 { signature, .. } = &mut wrong_signature.witness {
        signature[0] ^= 1;
    }
    let cases = [
        ("a wrong signature that the header commits", vec![wrong_signature]),
        ("the same transaction twice", vec![good.clone(), good.clone()]),
        ("a gap in nonces", vec![good.clone(), pay(6, 9, 1)]),
        ("a nonce that was used", vec![pay(3, 9, 1)]),
        ("a double spend", vec![good, pay(5, 9, 950_000_000)]),
        ("a rate below the base fee", vec![pay(4, 2, 5_000)]),
    ];
    let mut refused = Vec::new();
    for (what, transactions) in cases {
        let block = world.make(Plan { transactions, extra: Vec::new(), ..plan(world) });
        refused.push(refusal(world, what, &block.to_bytes()));
    }
    // No transactions, although the header says and commits none, but a root that is not zero.
    let mut empty = world.make(Plan { transactions: Vec::new(), ..plan(world) });
    empty.header.tx_root = MerkleRoot([1; 32]);
    world.close(&mut empty, 4);
    refused.push(refusal(world, "an empty body under another root", &empty.to_bytes()));
    // The weight counts what the transactions weigh, also where the root is right.
    let mut unsigned = world.make(plan(world));
    unsigned.body.transactions[1].body.data = vec![0; 65];
    let leaves: Vec<_> = unsigned
        .body
        .transactions
        .iter()
        .map(|it| IdentifiedTransaction::new(it.clone(), &identity).leaf())
        .collect();
    unsigned.header.tx_root = merkle::root(&leaves);
    world.close(&mut unsigned, 4);
    refused.push(refusal(world, "too much data that the header commits", &unsigned.to_bytes()));
    refused
}

pub(crate) fn on_permit(world: &mut World) -> Value {
    // The chain has four blocks, so at height 5 it is the turn of the third miner (5 mod 3 = 2).
    let mut refused = Vec::new();
    let plan = |producer, later_ms| Plan { producer, later_ms, ..Plan::default() };

    let unlisted = world.make(plan(4, 20_000));
    refused.push(refusal(world, "a producer who is not listed", &unlisted.to_bytes()));
    let mut other_signer = world.make(plan(3, 1));
    world.close(&mut other_signer, 2);
    refused.push(refusal(world, "signed by another listed miner", &other_signer.to_bytes()));
    let mut other_network = world.make(plan(3, 1));
    if let Seal::Permit { nonce, signature } = &mut other_network.seal {
        let id = block_id(&other_network.header.seal_hash(), *nonce);
        let message = seal_message(&BlockId([1; 32]), &id);
        *signature = crate::fixture::signer(3).sign(&message).to_bytes();
    }
    refused.push(refusal(world, "signed for another network", &other_network.to_bytes()));
    let mut work_alone = world.make(plan(3, 1));
    work_alone.seal = Seal::Work { nonce: work_alone.seal.nonce() };
    refused.push(refusal(world, "work without a permit", &work_alone.to_bytes()));
    let early = world.make(plan(1, 19_999));
    refused.push(refusal(world, "out of turn, a millisecond early", &early.to_bytes()));
    let mut easier = world.make(plan(3, 1));
    easier.header.target = CompactTarget(0x200f_ffff);
    world.close(&mut easier, 3);
    refused.push(refusal(world, "an easier target than the fixed one", &easier.to_bytes()));
    Value::Array(refused)
}
