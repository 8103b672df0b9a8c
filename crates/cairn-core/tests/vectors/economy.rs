//! `economy.json`: base fees and rewards.

use crate::fixture::{IDENTITY, coins, section, wide};
use crate::settle;
use cairn_core::issuance::Issuance;
use cairn_core::network::{ConsensusSection, FeePolicy, Limits, Mode, Rules};
use cairn_core::numbers::{FeeRate, Height, Weight};
use serde_json::{Value, json};

fn base_fee_step(weight_max: u64, floor: u64, moving: bool, base: u64, used: u64) -> Value {
    let section = section(Mode::Pow);
    let limits = Limits { block_weight: Weight(weight_max), ..section.limits };
    let fees = FeePolicy { floor: FeeRate(floor), moving, burn: true };
    let rules = Rules::new(ConsensusSection { limits, fees, ..section }, IDENTITY);
    json!({
        "block_weight": wide(weight_max),
        "floor": wide(floor),
        "moving": moving,
        "base_fee": wide(base),
        "weight_used": wide(used),
        "next": wide(rules.next_base_fee(FeeRate(base), Weight(used)).0),
    })
}

fn base_fee_steps() -> Vec<Value> {
    let mut steps = Vec::new();
    for base in [0, 1, 3, 7, 8, 100, 1_000_000_007, u64::MAX] {
        for used in [0, 1, 524_287, 524_288, 524_289, 1_048_575, 1_048_576] {
            steps.push(base_fee_step(1_048_576, 1, true, base, used));
        }
    }
    steps.push(base_fee_step(1_048_576, 50, true, 50, 0));
    steps.push(base_fee_step(1_048_576, 50, true, 53, 10));
    steps.push(base_fee_step(1_048_576, 50, false, 50, 1_048_576));
    steps.push(base_fee_step(4_097, 0, true, 1_000, 2_048));
    steps.push(base_fee_step(4_097, 0, true, 1_000, 2_049));
    steps.push(base_fee_step(1, 0, true, 1_000, 1));
    steps
}

fn schedule(initial: u64, halving_every: u64, tail: u64, cap: u64, heights: &[u64]) -> Value {
    let rule = Issuance { initial: coins(initial), halving_every, tail: coins(tail), cap: coins(cap) };
    let at = |height: &u64| {
        json!({
            "height": wide(*height),
            "reward": wide(rule.reward(Height(*height)).units()),
            "issued": wide(rule.issued(Height(*height)).units()),
        })
    };
    json!({
        "initial": wide(initial),
        "halving_every": wide(halving_every),
        "tail": wide(tail),
        "cap": wide(cap),
        "heights": heights.iter().map(at).collect::<Vec<_>>(),
    })
}

fn schedules() -> Vec<Value> {
    let first = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    vec![
        schedule(100, 0, 0, 0, &[0, 1, 2, 1_000_000, u64::MAX]),
        schedule(100, 3, 0, 0, &first),
        schedule(100, 3, 30, 0, &first),
        schedule(100, 3, 7, 555, &first),
        schedule(3, 2, 9, 0, &first),
        schedule(100, 1, 0, 150, &first),
        schedule(0, 0, 0, 0, &[0, 1, 2]),
        schedule(0, 5, 2, 9, &first),
        schedule(
            5_000_000_000,
            210_000,
            0,
            0,
            &[1, 210_000, 210_001, 420_001, 6_930_000, 6_930_001, u64::MAX],
        ),
        schedule(u64::MAX, 0, 0, 0, &[1, 2, u64::MAX]),
        schedule(u64::MAX, 1, 1, 0, &[1, 2, 64, 65, u64::MAX]),
    ]
}

#[test]
fn the_vectors_of_fees_and_rewards_hold() {
    settle("economy", &json!({"base_fee": base_fee_steps(), "issuance": schedules()}));
}
