//! `blocks.json`: headers, bodies and seals, and the ids that follow from them.

use crate::fixture::{IDENTITY, address, body, hex, sign, signer, transfer, wide};
use crate::settle;
use cairn_core::address::Address;
use cairn_core::block::{
    BLOCK_VERSION, Body, Certificate, Header, Seal, SealedBlock, block_id, decode_block, extra_hash,
};
use cairn_core::codec::Encode as _;
use cairn_core::consensus::seal_message;
use cairn_core::hash::{BlockId, CertificateHash, ExtraHash, HistoryRoot, MerkleRoot, StateRoot};
use cairn_core::numbers::{FeeRate, Height, Timestamp, Weight, WorkNonce};
use cairn_core::target::CompactTarget;
use serde_json::{Value, json};

pub(crate) fn header_json(header: &Header) -> Value {
    json!({
        "version": header.version,
        "height": wide(header.height.0),
        "time_ms": wide(header.time.0),
        "parent": header.parent.to_string(),
        "tx_count": header.tx_count,
        "tx_root": header.tx_root.to_string(),
        "state_root": header.state_root.to_string(),
        "history_root": header.history_root.to_string(),
        "prev_seal": header.prev_seal.to_string(),
        "producer": hex(header.producer.0),
        "target": header.target.to_string(),
        "base_fee": wide(header.base_fee.0),
        "weight_used": wide(header.weight_used.0),
        "extra_hash": header.extra_hash.to_string(),
    })
}

fn seal_json(seal: &Seal) -> Value {
    match seal {
        Seal::Work { nonce } => json!({"kind": "work", "nonce": wide(nonce.0)}),
        Seal::Permit { nonce, signature } => {
            json!({"kind": "permit", "nonce": wide(nonce.0), "signature": hex(signature)})
        }
        Seal::Certificate(certificate) => {
            json!({"kind": "certificate", "certificate": certificate_json(certificate)})
        }
    }
}

fn certificate_json(certificate: &Certificate) -> Value {
    json!({
        "height": wide(certificate.height),
        "round": certificate.round,
        "id": certificate.id.to_string(),
        "signers": hex(&certificate.signers),
        "signatures": certificate.signatures.iter().map(hex).collect::<Vec<_>>(),
        "bytes": hex(certificate.to_bytes()),
        "hash": certificate.hash().to_string(),
    })
}

/// A header in which no two fields are alike.
fn header() -> Header {
    Header {
        version: BLOCK_VERSION,
        height: Height(0x0102_0304_0506),
        time: Timestamp(1_700_000_000_123),
        parent: BlockId([0x11; 32]),
        tx_count: 2,
        tx_root: MerkleRoot([0x22; 32]),
        state_root: StateRoot([0x33; 32]),
        history_root: HistoryRoot([0x44; 32]),
        prev_seal: CertificateHash([0x55; 32]),
        producer: Address([0x66; 32]),
        target: CompactTarget(0x1d00_ffff),
        base_fee: FeeRate(0x0708),
        weight_used: Weight(0x090a),
        extra_hash: ExtraHash([0x77; 32]),
    }
}

fn certificate() -> Certificate {
    Certificate {
        height: 41,
        round: 2,
        id: BlockId([0x88; 32]),
        signers: vec![0b1000_0101, 0b10],
        signatures: vec![[1; 64], [2; 64], [3; 64], [4; 64]],
    }
}

fn block_json(what: &str, block: &SealedBlock) -> Value {
    let bytes = block.to_bytes();
    assert_eq!(decode_block(&bytes).as_ref(), Ok(block));
    json!({
        "what": what,
        "header": header_json(&block.header),
        "header_bytes": hex(block.header.to_bytes()),
        "certificate": block.body.certificate.as_ref().map(certificate_json),
        "transactions": block.body.transactions.iter().map(|it| hex(it.to_bytes())).collect::<Vec<_>>(),
        "extra": hex(&block.body.extra),
        "extra_hash": extra_hash(&block.body.extra).to_string(),
        "body_bytes": hex(block.body.to_bytes()),
        "seal": seal_json(&block.seal),
        "seal_bytes": hex(block.seal.to_bytes()),
        "seal_hash": block.header.seal_hash().to_string(),
        "id": block.id().to_string(),
        "bytes": hex(bytes),
    })
}

fn blocks() -> Vec<Value> {
    let empty = Body { certificate: None, transactions: Vec::new(), extra: Vec::new() };
    let pay = |seed, nonce| sign(seed, body(nonce, 5, vec![transfer(address(3), 1_000)]), &IDENTITY);
    let full = Body {
        certificate: Some(certificate()),
        transactions: vec![pay(1, 0), pay(2, 4)],
        extra: b"made by hand".to_vec(),
    };
    let nonce = WorkNonce(0x0102_0304_0506_0708);
    let permitted = Header { producer: address(4), ..header() };
    let id = block_id(&permitted.seal_hash(), nonce);
    let signature = signer(4).sign(&seal_message(&IDENTITY, &id)).to_bytes();
    [
        ("empty, closed by work", header(), empty.clone(), Seal::Work { nonce: WorkNonce(1) }),
        ("two transactions, closed by a permit", permitted, full.clone(), Seal::Permit { nonce, signature }),
        ("closed by a certificate", header(), full, Seal::Certificate(certificate())),
        ("the last work nonce", header(), empty, Seal::Work { nonce: WorkNonce(u64::MAX) }),
    ]
    .into_iter()
    .map(|(what, header, body, seal)| block_json(what, &SealedBlock { header, body, seal }))
    .collect()
}

fn ids() -> Vec<Value> {
    let seal_hash = header().seal_hash();
    let one = |nonce| {
        let id = block_id(&seal_hash, WorkNonce(nonce));
        json!({"seal_hash": seal_hash.to_string(), "nonce": wide(nonce), "id": id.to_string()})
    };
    [0, 1, 256, 4_294_967_296, u64::MAX].map(one).into()
}

#[test]
fn the_vectors_of_blocks_hold() {
    settle("blocks", &json!({"identity": hex(IDENTITY.0), "blocks": blocks(), "ids": ids()}));
}
