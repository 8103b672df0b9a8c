//! `bytes.json`: values and their bytes, bytes that are refused, and the tags.

use crate::fixture::{IDENTITY, address, body, hex, sign, transfer, wide};
use crate::rule;
use crate::settle;
use cairn_core::account::{Account, StateValue};
use cairn_core::address::Address;
use cairn_core::block::{Body, Certificate, Seal};
use cairn_core::codec::{Decode, DecodeError, Encode, Reader, decode_exact, encode_byte_string};
use cairn_core::hash::{BlockId, Tag};
use cairn_core::merkle::MerkleProof;
use cairn_core::network::{ConsensusSection, Mode};
use cairn_core::numbers::Nonce;
use cairn_core::signature::{PublicKey, Witness};
use cairn_core::state::StateProof;
use cairn_core::target::Work;
use cairn_core::transaction::Transaction;
use ruint::aliases::U256;
use serde_json::{Value, json};

fn value(kind: &str, value: impl Into<Value>, bytes: impl AsRef<[u8]>) -> Value {
    json!({"type": kind, "value": value.into(), "bytes": hex(bytes)})
}

fn values() -> Vec<Value> {
    let byte_string = |bytes: &[u8]| {
        let mut out = Vec::new();
        encode_byte_string(bytes, &mut out);
        out
    };
    let mut values = vec![
        value("u8", 0, 0u8.to_bytes()),
        value("u8", 255, 255u8.to_bytes()),
        value("u16", 258, 258u16.to_bytes()),
        value("u16", 65_535, 65_535u16.to_bytes()),
        value("u32", 16_909_060, 16_909_060u32.to_bytes()),
        value("u32", u32::MAX, u32::MAX.to_bytes()),
        value("bool", false, false.to_bytes()),
        value("bool", true, true.to_bytes()),
    ];
    for number in [0, 1, 72_623_859_790_382_856, u64::MAX] {
        values.push(value("u64", wide(number), number.to_bytes()));
    }
    for number in [U256::ZERO, U256::from(65_536u64), (U256::ONE << 200) + U256::from(7u64), U256::MAX] {
        values.push(value("u256", number.to_string(), Work::from_value(number).to_bytes()));
    }
    values.push(value("hash", hex([0xab; 32]), BlockId([0xab; 32]).to_bytes()));
    for bytes in [&[][..], &[0xff], &[1, 2, 3, 4, 5]] {
        values.push(value("bytes", hex(bytes), byte_string(bytes)));
    }
    for text in ["", "Cairn", "Steinmännchen ▲"] {
        values.push(value("text", text, byte_string(text.as_bytes())));
    }
    values
}

fn refusal<T: Decode>(kind: &str, what: &str, bytes: &[u8]) -> Value {
    let error = decode_exact::<T>(bytes).err().unwrap_or_else(|| panic!("{what} is read"));
    json!({"type": kind, "what": what, "bytes": hex(bytes), "rule": rule::of_bytes(&error)})
}

/// A text as a list of at most eight bytes.
struct ShortText;

impl Decode for ShortText {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.text("text", 8).map(|_| Self)
    }
}

struct Value17;

impl Decode for Value17 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        StateValue::from_value_bytes(reader.take(reader.remaining())?).map(|_| Self)
    }
}

fn refusals() -> Vec<Value> {
    let transaction = sign(1, body(0, 5, vec![transfer(address(2), 7)]), &IDENTITY).to_bytes();
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = transaction.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let longer = [transaction.as_slice(), &[0]].concat();
    let account = Account { balance: crate::fixture::coins(5), nonce: Nonce(0) }.value_bytes();
    let certificate = Certificate {
        height: 9,
        round: 1,
        id: BlockId([3; 32]),
        signers: vec![0b101, 0],
        signatures: vec![[1; 64], [2; 64]],
    };
    let proof = MerkleProof { index: 0, count: 2, siblings: vec![[0; 32]; 33] };
    let section = crate::fixture::section(Mode::Pow).to_bytes();
    let mut other_version = section.clone();
    other_version[0] = 2;
    let mut schemes_twice = section;
    let at = schemes_twice.len() - 5;
    schemes_twice.splice(at.., [2, 0, 0, 0, 1, 1]);
    vec![
        refusal::<u32>("u32", "three bytes", &[1, 2, 3]),
        refusal::<u16>("u16", "three bytes", &[1, 2, 3]),
        refusal::<bool>("bool", "neither zero nor one", &[2]),
        refusal::<bool>("bool", "no byte", &[]),
        refusal::<ShortText>("text8", "nine bytes", &[9, 0, 0, 0, 97, 97, 97, 97, 97, 97, 97, 97, 97]),
        refusal::<ShortText>("text8", "shorter than it says", &[3, 0, 0, 0, 97, 97]),
        refusal::<ShortText>("text8", "a byte of no character", &[1, 0, 0, 0, 0xff]),
        refusal::<Address>("address", "31 bytes", &[7; 31]),
        refusal::<Transaction>("transaction", "the last byte is missing", &transaction[..177]),
        refusal::<Transaction>("transaction", "a byte too many", &longer),
        refusal::<Transaction>("transaction", "257 transfers are announced", &changed(33, &[1, 1])),
        refusal::<Transaction>("transaction", "two transfers are announced", &changed(33, &[2])),
        refusal::<Transaction>("transaction", "256 transfers are announced", &changed(33, &[0, 1])),
        refusal::<Transaction>("transaction", "65537 bytes of data are announced", &changed(77, &[1, 0, 1])),
        refusal::<Transaction>("transaction", "signature scheme 5", &changed(81, &[5])),
        refusal::<PublicKey>("public_key", "scheme 0", &[0]),
        refusal::<PublicKey>("public_key", "an RSA key of 399 bytes", &[3, 143, 1, 0, 0]),
        refusal::<PublicKey>("public_key", "multisig of 17 keys", &[16, 1, 17]),
        refusal::<PublicKey>("public_key", "multisig that asks for none", &[16, 0, 1]),
        refusal::<PublicKey>("public_key", "multisig that asks for two of one", &[16, 2, 1]),
        refusal::<PublicKey>("public_key", "multisig in multisig", &[16, 1, 1, 16, 1, 1]),
        refusal::<PublicKey>("public_key", "keys not ascending", &multisig_bytes(&[2, 1], 1, &[])),
        refusal::<PublicKey>("public_key", "a key twice", &multisig_bytes(&[1, 1], 1, &[])),
        refusal::<Witness>("witness", "signatures not ascending", &multisig_bytes(&[1, 2], 2, &[1, 0])),
        refusal::<Witness>("witness", "a signature twice", &multisig_bytes(&[1, 2], 2, &[1, 1])),
        refusal::<Witness>("witness", "a signature by no key", &multisig_bytes(&[1, 2], 1, &[2])),
        refusal::<Certificate>("certificate", "a last byte without signers", &certificate.to_bytes()),
        refusal::<Body>("body", "a certificate that is neither there nor not", &[2]),
        refusal::<Body>("body", "a transaction is announced", &[0, 1, 0, 0, 0, 0, 0, 0, 0]),
        refusal::<Seal>("seal", "kind 0", &[0]),
        refusal::<Seal>("seal", "kind 4", &[4]),
        refusal::<MerkleProof>("tx_proof", "33 hashes", &proof.to_bytes()),
        refusal::<StateProof>("state_proof", "an end of kind 2", &[0, 0, 0, 0, 2]),
        refusal::<StateProof>("state_proof", "257 hashes are announced", &[1, 1, 0, 0]),
        refusal::<Value17>("state_value", "an account of 16 bytes", &account[..16]),
        refusal::<Value17>("state_value", "an account of 18 bytes", &[account.as_slice(), &[0]].concat()),
        refusal::<Value17>("state_value", "kind 3", &[3]),
        refusal::<Value17>("state_value", "no kind", &[]),
        refusal::<ConsensusSection>("section", "genesis version 2", &other_version),
        refusal::<ConsensusSection>("section", "a scheme twice", &schemes_twice),
    ]
}

/// A multisig key, and signatures of sevens at `positions`.
fn multisig_bytes(keys: &[u8], threshold: u8, positions: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x10, threshold, u8::try_from(keys.len()).unwrap()];
    for key in keys {
        bytes.push(0x01);
        bytes.extend([*key; 32]);
    }
    for position in positions {
        bytes.push(*position);
        bytes.extend([7; 64]);
    }
    bytes
}

fn tags() -> Vec<Value> {
    let tag = |tag: Tag| {
        let text = std::str::from_utf8(tag.as_bytes()).unwrap().trim_end_matches('\0');
        json!({
            "tag": text,
            "bytes": hex(tag.as_bytes()),
            "hash_of_nothing": hex(tag.hash(&[])),
            "hash_of_abc": hex(tag.hash(&[b"abc"])),
        })
    };
    Tag::ALL.into_iter().map(tag).collect()
}

#[test]
fn the_vectors_of_bytes_hold() {
    settle("bytes", &json!({"values": values(), "refused": refusals(), "tags": tags()}));
}
