//! `work.json`: compact targets, work, difficulty steps, and the choice between branches.

use crate::fixture::wide;
use crate::settle;
use cairn_core::difficulty::Difficulty;
use cairn_core::hash::BlockId;
use cairn_core::target::{CompactTarget, Target, Work};
use ruint::aliases::U256;
use serde_json::{Value, json};

fn compact_json(bits: u32) -> Value {
    let target = CompactTarget(bits).expand().ok();
    json!({
        "bits": format!("{bits:08x}"),
        "target": target.map(|target| target.to_string()),
        "work": target.map(|target| target.work().to_string()),
    })
}

fn compact_targets() -> Vec<Value> {
    let canonical = [
        0x0101_0000,
        0x017f_0000,
        0x0200_8000,
        0x0300_8000,
        0x037f_ffff,
        0x0400_8000,
        0x1000_8000,
        0x1b04_04cb,
        0x1d00_ffff,
        0x1e0f_ffff,
        0x2000_ffff,
        0x207f_ffff,
        0x2100_ffff,
    ];
    let refused = [
        0x0000_0000,        // zero
        0x0100_0000,        // zero
        0x0112_0000 | 0x34, // digits that are cut off
        0x0180_0000,        // the sign of zero
        0x0480_0001,        // negative
        0x1d80_ffff,        // negative
        0x0500_0001,        // the digits could stand further left
        0x1d00_7fff,        // the digits could stand further left
        0x2101_0000,        // 2^256
        0x2200_0100,        // 2^256
        0xff12_3456,        // far above
    ];
    canonical.into_iter().chain(refused).map(compact_json).collect()
}

/// What a target becomes in compact form.
fn roundings() -> Vec<Value> {
    let numbers = [
        U256::ONE,
        U256::from(0x80u64),
        U256::from(0x1234u64),
        U256::from(0x80_0000u64),
        U256::from(0x1234_5678u64),
        (U256::ONE << 224) - U256::ONE,
        (U256::ONE << 255) - U256::ONE,
        U256::MAX,
    ];
    let one = |number| {
        let target = Target::from_value(number).unwrap();
        json!({
            "target": target.to_string(),
            "bits": target.to_compact().to_string(),
            "rounded": target.rounded().to_string(),
        })
    };
    numbers.map(one).into()
}

fn step(interval_ms: u64, half_life_ms: u64, limit: u32, parent: u32, solve_time_ms: u64) -> Value {
    let limit_target = CompactTarget(limit).expand().unwrap();
    let rule = Difficulty { interval_ms, half_life_ms, limit: limit_target };
    let next = rule.next_target(CompactTarget(parent).expand().unwrap(), solve_time_ms);
    json!({
        "interval_ms": wide(interval_ms),
        "half_life_ms": wide(half_life_ms),
        "limit": format!("{limit:08x}"),
        "parent": format!("{parent:08x}"),
        "solve_time_ms": wide(solve_time_ms),
        "next": next.to_string(),
    })
}

fn steps() -> Vec<Value> {
    let mut steps = Vec::new();
    // Around the interval and around the cap of two half-lives.
    for solve_time in
        [1, 5_000, 9_999, 10_000, 10_001, 60_000, 600_000, 1_199_999, 1_200_000, 1_200_001, u64::MAX]
    {
        for parent in [0x1e0f_ffff, 0x1d00_ffff, 0x0300_8000] {
            steps.push(step(10_000, 600_000, 0x1e0f_ffff, parent, solve_time));
        }
    }
    // Half-lives that are short against the interval make steps of many bits.
    for (interval, half_life) in
        [(10_000, 1), (10_000, 100), (600_000, 7_919), (1, 86_400_000), (86_400_000, 1)]
    {
        for solve_time in [1, half_life, interval, 3 * half_life] {
            steps.push(step(interval, half_life, 0x2100_ffff, 0x1c12_3456, solve_time));
        }
    }
    // The ends: never below one, never above the limit.
    steps.push(step(u64::MAX, 1, 0x2100_ffff, 0x2100_ffff, 0));
    steps.push(step(1, u64::MAX, 0x2100_ffff, 0x2100_ffff, u64::MAX));
    steps.push(step(10_000, 60_000, 0x2100_ffff, 0x2100_ffff, 1_000_000));
    steps.push(step(10_000, 60_000, 0x0101_0000, 0x0101_0000, 1));
    steps.push(step(10_000, 60_000, 0x2100_ffff, 0x0101_0000, 1_000_000));
    steps
}

fn ids_and_targets() -> Vec<Value> {
    let target = CompactTarget(0x1d00_ffff).expand().unwrap();
    let exactly = BlockId(target.to_be_bytes());
    let mut above = exactly;
    above.0[31] = 1;
    let mut below = exactly;
    below.0[5] = 0xfe;
    [exactly, above, below, BlockId([0; 32])]
        .map(|id| json!({"id": id.to_string(), "target": "1d00ffff", "met": target.is_met_by(&id)}))
        .into()
}

fn choices() -> Vec<Value> {
    let cases: [(u64, u64, u64); 8] = [
        (105, 100, 10),
        (106, 100, 10),
        (105, 100, 11),
        (106, 100, 11),
        (100, 100, 0),
        (101, 100, 0),
        (99, 100, 0),
        (101, 100, 1),
    ];
    let one = |(candidate, tip, tip_block): (u64, u64, u64)| {
        let work = |number: u64| Work::from_value(U256::from(number));
        let leaves = work(candidate).exceeds_by_half_of(work(tip), work(tip_block));
        json!({"candidate": candidate.to_string(), "tip": tip.to_string(), "tip_block": tip_block.to_string(), "leaves": leaves})
    };
    cases.map(one).into()
}

#[test]
fn the_vectors_of_work_hold() {
    settle(
        "work",
        &json!({
            "compact": compact_targets(),
            "roundings": roundings(),
            "steps": steps(),
            "met": ids_and_targets(),
            "choices": choices(),
        }),
    );
}
