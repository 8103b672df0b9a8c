//! `keys.json`: keys, addresses, witnesses of all schemes, signatures.

use crate::fixture::{IDENTITY, address, hex, key, prefix, signer};
use crate::rule;
use crate::settle;
use bech32::{Bech32, Bech32m, Hrp};
use cairn_core::address::Address;
use cairn_core::codec::{Encode as _, decode_exact};
use cairn_core::consensus::seal_message;
use cairn_core::hash::{BlockId, Tag};
use cairn_core::signature::{MemberSignature, MultisigKey, PublicKey, SignedMessage, Witness, verify};
use serde_json::{Value, json};

fn ed25519_keys() -> Vec<Value> {
    let one = |seed: u8| {
        let address = address(seed);
        json!({
            "seed": hex([seed; 32]),
            "public_key": hex(key(seed)),
            "address": hex(address.0),
            "path": hex(address.path().0),
            "text_cairn": address.to_text(&prefix("cairn")),
            "text_tn": address.to_text(&prefix("tn")),
        })
    };
    (1..=8).map(one).collect()
}

/// Keys of the other schemes are patterns: they are read and hashed, never used.
fn multisig_key() -> MultisigKey {
    let mut keys = vec![
        PublicKey::Ed25519(key(1)),
        PublicKey::Ed25519(key(2)),
        PublicKey::Secp256k1([2; 33]),
        PublicKey::RsaPss(vec![0x30; 270]),
    ];
    keys.sort_by_key(cairn_core::codec::Encode::to_bytes);
    MultisigKey { threshold: 2, keys }
}

fn witnesses() -> Vec<Value> {
    let all = [
        Witness::Ed25519 { key: key(1), signature: [0x11; 64] },
        Witness::Secp256k1 { key: [2; 33], signature: [0x22; 64] },
        Witness::RsaPss { key: vec![0x30; 270], signature: vec![0x33; 256] },
        Witness::MlDsa44 { key: Box::new([0x44; 1312]), signature: Box::new([0x45; 2420]) },
        Witness::Multisig {
            key: multisig_key(),
            signatures: vec![(0, MemberSignature(vec![0x51; 64])), (3, MemberSignature(vec![0x52; 384]))],
        },
        Witness::Multisig {
            key: multisig_key(),
            signatures: vec![(1, MemberSignature(vec![0x53; 64])), (2, MemberSignature(vec![0x54; 64]))],
        },
    ];
    let one = |witness: Witness| {
        let bytes = witness.to_bytes();
        assert_eq!(decode_exact::<Witness>(&bytes).as_ref(), Ok(&witness));
        json!({
            "scheme": witness.scheme().name(),
            "bytes": hex(&bytes),
            "hash": hex(Tag::WITNESS.hash(&[&bytes])),
            "address": hex(witness.address().0),
            "verify_weight": witness.verify_weight().0,
        })
    };
    all.into_iter().map(one).collect()
}

fn refused_texts() -> Vec<Value> {
    let cairn = prefix("cairn");
    let good = address(1).to_text(&cairn);
    let mut mistyped = good.clone();
    mistyped.replace_range(20..21, if good.as_bytes()[20] == b'q' { "p" } else { "q" });
    let mixed = good.replacen("cairn1", "Cairn1", 1);
    let hrp = Hrp::parse("cairn").unwrap();
    let texts = [
        ("nothing", String::new()),
        ("no separator", "cairn".to_owned()),
        ("a hexadecimal address", hex(address(1).0)),
        ("a character outside the alphabet", good.replace(&good[20..21], "b")),
        ("upper and lower case", mixed),
        ("one character mistyped", mistyped),
        ("the last character is missing", good[..good.len() - 1].to_owned()),
        ("the checksum of bech32", bech32::encode::<Bech32>(hrp, &address(1).0).unwrap()),
        ("another network", address(1).to_text(&prefix("tn"))),
        ("31 bytes", bech32::encode::<Bech32m>(hrp, &[7; 31]).unwrap()),
        ("33 bytes", bech32::encode::<Bech32m>(hrp, &[7; 33]).unwrap()),
        ("spare bits that are set", with_spare_bit(&address(1))),
    ];
    let one = |(what, text): (&str, String)| {
        let error = Address::from_text(&text, &cairn).unwrap_err();
        json!({"what": what, "prefix": "cairn", "text": text, "rule": rule::of_address(&error)})
    };
    texts.into_iter().map(one).collect()
}

/// The text of an address with the last of the four spare bits set.
fn with_spare_bit(address: &Address) -> String {
    use bech32::primitives::iter::{ByteIterExt as _, Fe32IterExt as _};
    let mut digits: Vec<bech32::Fe32> = address.0.iter().copied().bytes_to_fes().collect();
    let last = digits.last_mut().unwrap();
    *last = bech32::Fe32::try_from(last.to_u8() | 1).unwrap();
    digits.into_iter().with_checksum::<Bech32m>(&Hrp::parse("cairn").unwrap()).chars().collect()
}

fn signatures() -> Vec<Value> {
    let seal = seal_message(&IDENTITY, &BlockId([9; 32]));
    let messages: [&[u8]; 4] = [b"", &[7; 32], &seal, &[0x5a; 200]];
    let mut cases = Vec::new();
    for (seed, message) in (1..).zip(messages) {
        let good = signer(seed).sign(message).to_bytes();
        let mut bad = good;
        bad[40] ^= 1;
        for signature in [good, bad] {
            let key = key(seed);
            let valid = verify(SignedMessage { key: &key, signature: &signature, message });
            cases.push(json!({
                "public_key": hex(key), "message": hex(message), "signature": hex(signature), "valid": valid,
            }));
        }
    }
    cases
}

#[test]
fn the_vectors_of_keys_hold() {
    settle(
        "keys",
        &json!({
            "ed25519": ed25519_keys(),
            "witnesses": witnesses(),
            "refused_texts": refused_texts(),
            "signatures": signatures(),
            "seal_message": {
                "identity": hex(IDENTITY.0), "id": hex([9; 32]), "message": hex(seal_message(&IDENTITY, &BlockId([9; 32]))),
            },
        }),
    );
}
