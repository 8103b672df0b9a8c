//! `genesis.json`: the example files, and a genesis of every mode, with block 0 and identity.

use crate::blocks::header_json;
use crate::fixture::{address, coins, hex, key, section, section_json, wide};
use crate::settle;
use cairn_core::codec::Encode as _;
use cairn_core::genesis::{Allocation, Genesis, GenesisDraft, GenesisParts, Policy};
use cairn_core::network::Mode;
use cairn_core::numbers::Nonce;
use cairn_core::target::CompactTarget;
use serde_json::{Value, json};

const EXAMPLES: [(&str, &str); 3] = [
    ("examples/solo-pow.toml", include_str!("../../../../examples/solo-pow.toml")),
    ("examples/team-permit.toml", include_str!("../../../../examples/team-permit.toml")),
    ("examples/class-every-setting.toml", include_str!("../../../../examples/class-every-setting.toml")),
];

fn genesis_json(what: &str, genesis: &Genesis) -> Value {
    let block = genesis.block();
    json!({
        "what": what,
        "bytes": hex(genesis.to_bytes()),
        "section": section_json(genesis.section()),
        "header": header_json(&block.header),
        "nonce": wide(block.seal.nonce().0),
        "block": hex(genesis.block_bytes()),
        "allocated": wide(genesis.allocated().units()),
        "identity": genesis.identity().to_string(),
    })
}

/// A genesis with two accounts, and a reward for the owner of one of them.
fn of_mode(mode: Mode) -> Genesis {
    let mut section = section(mode.clone());
    if matches!(mode, Mode::Bft { .. }) {
        section.half_life_ms = 0;
        (section.first_target, section.target_limit) = (CompactTarget::NONE, CompactTarget::NONE);
    }
    let mut parts = GenesisParts::new("", mode, false);
    parts.first_block.target = section.first_target;
    parts.first_block.producer = address(2);
    parts.first_block.reward = coins(77_000);
    parts.policy = Policy::of(&section.limits);
    parts.section = section;
    parts.allocations = [(2, 5_000, 3), (1, 1_000_000, 0)]
        .map(|(seed, units, nonce)| Allocation {
            address: address(seed),
            balance: coins(units),
            nonce: Nonce(nonce),
            label: None,
        })
        .into();
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1 << 20).unwrap();
    draft.seal(nonce).unwrap()
}

#[test]
fn the_vectors_of_genesis_hold() {
    let keys = || vec![key(1), key(2), key(3)];
    let modes = [
        Mode::Pow,
        Mode::PowPermit { miners: keys(), turns: false },
        Mode::Bft { validators: keys() },
        Mode::PowFinality { validators: keys(), checkpoint_interval: 10, checkpoint_depth: 3 },
    ];
    let mut networks: Vec<Value> = Vec::new();
    for (file, text) in EXAMPLES {
        let mut network = genesis_json(file, &Genesis::from_toml(text).unwrap());
        network["file"] = json!(file);
        networks.push(network);
    }
    for mode in modes {
        networks.push(genesis_json(mode.name(), &of_mode(mode.clone())));
    }
    settle("genesis", &json!({"networks": networks}));
}
