//! Moving difficulty: the target of the next block from its parent's target and solve time.
//!
//! The rule is a relative form of ASERT (the aserti3-2d cubic of the Bitcoin Cash specification):
//! a block that took longer than the interval makes the next one easier by a factor of two for
//! each half-life, and the other way round. Being relative it owes nothing for a pause: a network
//! that slept a week does not mine a week of blocks on waking.

use crate::numbers::Timestamp;
use crate::target::{CompactTarget, Target};
use ruint::{Uint, aliases::U256};

/// How the difficulty of a network moves. Part of genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difficulty {
    /// The intended time between blocks, in milliseconds; at least 1.
    pub interval_ms: u64,
    /// How long blocks must come at double speed until the target halves, in milliseconds; at least 1.
    pub half_life_ms: u64,
    /// The easiest target allowed.
    pub limit: Target,
}

/// The solve time counts up to this many half-lives.
const SOLVE_TIME_HALF_LIVES_MAX: u64 = 2;

impl Difficulty {
    /// The target of the child of a block with target `parent` that was found `solve_time_ms`
    /// after its own parent.
    ///
    /// With `T` the interval, `H` the half-life and all divisions floored:
    ///
    /// ```text
    /// e = 2¹⁶ · (min(solve time, 2·H) − T) / H      s = e >> 16      f = e & 0xffff
    /// m = 2¹⁶ + ((195766423245049·f + 971821376·f² + 5127·f³ + 2⁴⁷) >> 48)
    /// next = clamp((target · m · 2^s) >> 16, 1, limit), rounded to its compact form
    /// ```
    pub fn next_target(&self, parent: Target, solve_time_ms: u64) -> CompactTarget {
        let cap = self.half_life_ms.saturating_mul(SOLVE_TIME_HALF_LIVES_MAX);
        let late = i128::from(solve_time_ms.min(cap)) - i128::from(self.interval_ms);
        let exponent = (late * 65_536).div_euclid(i128::from(self.half_life_ms));
        let fraction = u128::try_from(exponent & 0xffff).expect("a masked number is not negative");
        let shift = exponent >> 16;

        let factor = 65_536
            + ((195_766_423_245_049 * fraction
                + 971_821_376 * fraction * fraction
                + 5_127 * fraction * fraction * fraction
                + (1 << 47))
                >> 48);
        let product = Uint::<320, 5>::from(parent.value()) * Uint::<320, 5>::from(factor);
        self.clamp(product, shift - 16).to_compact()
    }

    /// `product · 2^shift`, at least 1 and at most the limit.
    fn clamp(&self, product: Uint<320, 5>, shift: i128) -> Target {
        let bits = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
        let value = if shift < 0 {
            if bits >= 320 { Uint::ZERO } else { product >> bits }
        } else if bits + product.bit_len() > 256 {
            return self.limit.rounded();
        } else {
            product << bits
        };
        let value = value.min(Uint::<320, 5>::from(self.limit.value())).max(Uint::<320, 5>::ONE);
        Target::from_value(value.to::<U256>()).expect("at least 1")
    }
}

/// The time a block took: from its parent's time to its own, in milliseconds.
pub const fn solve_time_ms(parent: Timestamp, block: Timestamp) -> u64 {
    block.saturating_ms_since(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const RELATIVE: &str = include_str!("../../../docs/spec/vectors/external/difficulty/relative_asert.json");
    const ABSOLUTE: &str = include_str!("../../../docs/spec/vectors/external/difficulty/aserti3_2d.json");

    fn target(hex: &Value) -> Target {
        let bytes = const_hex::decode_to_array(hex.as_str().unwrap()).unwrap();
        Target::from_be_bytes(bytes).unwrap()
    }

    fn bits(hex: &Value) -> CompactTarget {
        CompactTarget(u32::from_str_radix(hex.as_str().unwrap(), 16).unwrap())
    }

    #[test]
    fn relative_asert_agrees_with_the_vectors_bit_for_bit() {
        let vectors: Value = serde_json::from_str(RELATIVE).unwrap();
        let mut steps = 0;
        for chain in vectors["chains"].as_array().unwrap() {
            let rule = Difficulty {
                interval_ms: chain["interval_ms"].as_u64().unwrap(),
                half_life_ms: chain["half_life_ms"].as_u64().unwrap(),
                limit: target(&chain["limit"]),
            };
            for step in chain["steps"].as_array().unwrap() {
                let parent = bits(&step["parent_bits"]).expand().unwrap();
                let next = rule.next_target(parent, step["solve_time_ms"].as_u64().unwrap());
                assert_eq!(next, bits(&step["next_bits"]));
                assert_eq!(next.expand().unwrap(), target(&step["next_target"]));
                assert_eq!(next.expand().unwrap().work().to_string(), step["next_work"].as_str().unwrap());
                steps += 1;
            }
        }
        assert_eq!(steps, 2112);
    }

    /// The absolute schedule truncates where this rule floors, so the two agree where the exponent
    /// is not negative; there the vectors pin the cubic and the shift.
    #[test]
    fn the_cubic_agrees_with_aserti3_2d_where_the_exponent_is_not_negative() {
        let vectors: Value = serde_json::from_str(ABSOLUTE).unwrap();
        let mut compared = 0;
        for case in ["named", "generated"].iter().flat_map(|key| vectors[key].as_array().unwrap()) {
            let interval_ms = case["spacing"].as_u64().unwrap();
            let half_life_ms = case["half_life"].as_u64().unwrap();
            let scheduled = i128::from(interval_ms) * (i128::from(case["height_diff"].as_i64().unwrap()) + 1);
            let late = i128::from(case["time_diff"].as_i64().unwrap()) - scheduled;
            if late < 0 || late + i128::from(interval_ms) > i128::from(half_life_ms) * 2 {
                continue;
            }
            let rule = Difficulty { interval_ms, half_life_ms, limit: target(&case["pow_limit"]) };
            let solve_time_ms = u64::try_from(late).unwrap() + interval_ms;
            let next = rule.next_target(target(&case["ref_target"]), solve_time_ms);
            assert_eq!(next, bits(&case["next_bits"]), "{case}");
            compared += 1;
        }
        assert!(compared > 100, "{compared} cases were comparable");
    }

    #[test]
    fn extremes_stay_between_one_and_the_limit() {
        let rule = Difficulty { interval_ms: u64::MAX, half_life_ms: 1, limit: Target::MAX };
        assert_eq!(rule.next_target(Target::MAX, 0).expand().unwrap().value(), U256::ONE);
        let rule = Difficulty { interval_ms: 1, half_life_ms: u64::MAX, limit: Target::MAX };
        assert_eq!(rule.next_target(Target::MAX, u64::MAX), Target::MAX.to_compact());
    }
}
