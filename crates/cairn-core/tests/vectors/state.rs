//! `state.json`: state trees, their roots, and proofs that something or nothing lies under a path.

use crate::fixture::{address, coins, hex, key, wide};
use crate::settle;
use cairn_core::account::{Account, StateValue};
use cairn_core::address::Address;
use cairn_core::codec::Encode as _;
use cairn_core::hash::{StatePath, StateRoot};
use cairn_core::numbers::Nonce;
use cairn_core::state::{ProofEnd, State, StateProof, StateProofError};
use serde_json::{Value, json};

type Entry = (Address, Account);

fn account(balance: u64, nonce: u64) -> Account {
    Account { balance: coins(balance), nonce: Nonce(nonce) }
}

/// The addresses `from`, and the next whose path shares at least `bits` bits with the path of `of`.
fn neighbour(of: &Address, bits: usize) -> Address {
    let path = of.path();
    let shares = |other: &StatePath| {
        let differing = path.0.iter().zip(other.0).position(|(a, b)| *a != b).unwrap_or(32);
        let rest = path.0.get(differing).map_or(0, |byte| (byte ^ other.0[differing]).leading_zeros());
        8 * differing + usize::try_from(rest).unwrap()
    };
    let candidate = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        Address(bytes)
    };
    (0..).map(candidate).find(|other| other != of && shares(&other.path()) >= bits).unwrap()
}

/// The proof of what lies under a path, with the answer.
fn proof_json(state: &State, root: StateRoot, path: &StatePath) -> Value {
    let proof = state.prove(path);
    let value = proof.verify(root, path).unwrap();
    let end = match &proof.end {
        ProofEnd::Empty => json!(null),
        ProofEnd::Leaf { path, value } => json!({"path": path.to_string(), "value": hex(value)}),
    };
    json!({
        "path": path.to_string(),
        "siblings": proof.siblings.iter().map(hex).collect::<Vec<_>>(),
        "end": end,
        "bytes": hex(proof.to_bytes()),
        "value": value.map(|value| hex(value.to_value_bytes())),
    })
}

fn tree(what: &str, entries: &[Entry], reserved: &[(&str, Vec<u8>)], absent: &[Address]) -> Value {
    let mut state = State::new();
    for (name, value) in reserved {
        state.set_reserved(name.as_bytes(), value.clone());
    }
    for (address, account) in entries {
        state.insert(address.path(), *account);
    }
    let root = state.root();
    let mut proofs: Vec<Value> =
        entries.iter().take(6).map(|(address, _)| proof_json(&state, root, &address.path())).collect();
    proofs.extend(absent.iter().map(|address| proof_json(&state, root, &address.path())));
    proofs.extend(
        reserved.iter().map(|(name, _)| proof_json(&state, root, &StatePath::of_reserved(name.as_bytes()))),
    );
    json!({
        "what": what,
        "accounts": entries.iter().map(|(address, account)| json!({
            "address": hex(address.0),
            "path": address.path().to_string(),
            "balance": wide(account.balance.units()),
            "nonce": wide(account.nonce.0),
            "value": hex(account.value_bytes()),
        })).collect::<Vec<_>>(),
        "reserved": reserved.iter().map(|(name, value)| json!({
            "name": name,
            "path": StatePath::of_reserved(name.as_bytes()).to_string(),
            "value": hex(value),
        })).collect::<Vec<_>>(),
        "root": root.to_string(),
        "proofs": proofs,
    })
}

fn trees() -> Vec<Value> {
    let one: Vec<Entry> = vec![(address(1), account(1_000_000, 7))];
    let two: Vec<Entry> = vec![(address(1), account(1_000_000, 7)), (address(2), account(0, 0))];
    let many: Vec<Entry> =
        (1..=40).map(|n| (address(n), account(u64::from(n) * 1_000, u64::from(n)))).collect();
    let extremes: Vec<Entry> = vec![
        (address(1), account(u64::MAX, u64::MAX)),
        (address(2), account(0, 1)),
        (Address([0; 32]), account(1, 0)),
    ];
    let close = neighbour(&address(1), 8);
    let closer = neighbour(&address(1), 12);
    let absent = neighbour(&address(1), 10);
    let shared: Vec<Entry> = vec![
        (address(1), account(10, 0)),
        (close, account(20, 0)),
        (closer, account(30, 0)),
        (address(2), account(40, 0)),
    ];
    let mut authorities = vec![2, 3, 0, 0, 0];
    for seed in 1..=3 {
        authorities.extend(key(seed));
    }
    let reserved = [("authorities", authorities)];
    vec![
        tree("no entry", &[], &[], &[address(1)]),
        tree("one account", &one, &[], &[address(2), address(3)]),
        tree("two accounts", &two, &[], &[address(3), address(4)]),
        tree("forty accounts", &many, &[], &[address(41), address(42), address(43), address(44)]),
        tree("extremes", &extremes, &[], &[address(3)]),
        tree("paths that share 8 and 12 bits", &shared, &[], &[absent, address(3)]),
        tree("a reserved entry alone", &[], &reserved, &[address(1)]),
        tree("a reserved entry and accounts", &two, &reserved, &[address(3)]),
    ]
}

fn refused() -> Vec<Value> {
    let mut state = State::new();
    for seed in 1..=8 {
        state.insert(address(seed).path(), account(u64::from(seed), 0));
    }
    let root = state.root();
    let path = address(1).path();
    let good = state.prove(&path);
    let mut changed = good.clone();
    changed.siblings[0][31] ^= 1;
    let shorter = StateProof { siblings: good.siblings[1..].to_vec(), end: good.end.clone() };
    let richer = StateProof {
        end: ProofEnd::Leaf { path, value: account(2, 0).value_bytes().to_vec() },
        ..good.clone()
    };
    let nothing = StateProof { end: ProofEnd::Empty, ..good };
    let far = (1..=8).map(|seed| address(seed).path()).find(|other| {
        let proof = state.prove(other);
        matches!(proof.verify(root, &path), Err(StateProofError::ForeignLeaf { .. }))
    });
    let unknown = StateProof { siblings: Vec::new(), end: ProofEnd::Leaf { path, value: vec![3] } };
    let root_of_unknown = StateRoot(cairn_core::hash::Tag::STATE_LEAF.hash(&[&path.0, &[3]]));
    let deep = StateProof { siblings: vec![[1; 32]; 257], end: ProofEnd::Empty };
    let cases = [
        ("a changed hash", root, changed),
        ("a hash is missing", root, shorter),
        ("another balance", root, richer),
        ("nothing where something is", root, nothing),
        ("a leaf from elsewhere", root, state.prove(&far.unwrap())),
        ("a value of unknown kind", root_of_unknown, unknown),
        ("257 hashes", root, deep),
    ];
    let one = |(what, root, proof): (&str, StateRoot, StateProof)| {
        let rule = match proof.verify(root, &path).unwrap_err() {
            StateProofError::RootMismatch { .. } => "STA-1",
            StateProofError::ForeignLeaf { .. } => "STA-2",
            StateProofError::TooDeep { .. } => "STA-3",
            StateProofError::Value(_) => "STA-4",
        };
        json!({"what": what, "root": root.to_string(), "path": path.to_string(), "proof": hex(proof.to_bytes()), "rule": rule})
    };
    cases.into_iter().map(one).collect()
}

#[test]
fn the_vectors_of_state_trees_hold() {
    let account = StateValue::Account(account(258, 3)).to_value_bytes();
    settle("state", &json!({"account_258_3": hex(account), "trees": trees(), "refused": refused()}));
}
