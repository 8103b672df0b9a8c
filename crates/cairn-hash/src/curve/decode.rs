//! Decodes points as ZIP-215 wants it, eight side by side.
//!
//! An encoding is y in 255 bits, little-endian, and a bit for the sign of x. It stands for a point if
//! (y² − 1) / (d·y² + 1) is a square. y may be p or more, and 0 may have a sign: so it is in
//! `curve25519-dalek`, and the rule of consensus is what both agree on.

use super::Point;
use super::field::{Field8, to_p58};
use super::point::{Affine8, D};
use super::registers::{LANES, from_lanes};
use std::arch::x86_64::*;

/// A square root of −1.
const ROOT_OF_MINUS_ONE: [u64; 5] = [
    1_718_705_420_411_056,
    234_908_883_556_509,
    2_233_514_472_574_048,
    2_117_202_627_021_982,
    765_476_049_583_133,
];

/// How many groups of eight are decoded at a time.
const GROUPS: usize = 2;

/// The points of all encodings, in their order. None if one is no point.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn decode_all(encodings: &[&[u8; 32]]) -> Option<Vec<Point>> {
    let mut points = Vec::with_capacity(encodings.len().next_multiple_of(LANES));
    let (pairs, last) = encodings.as_chunks::<{ GROUPS * LANES }>();
    for pair in pairs {
        let (first, second) = pair.split_at(LANES);
        for group in decode([first, second])? {
            points.extend(group);
        }
    }
    for group in last.chunks(LANES) {
        let [group] = decode([group])?;
        points.extend(group);
    }
    points.truncate(encodings.len());
    Some(points)
}

/// The points of groups of up to eight encodings; lanes without one give the neutral point.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn decode<const G: usize>(groups: [&[&[u8; 32]]; G]) -> Option<[[Point; LANES]; G]> {
    let words = groups.map(|encodings| words_of(encodings));
    let y = words.map(|words| Field8::from_words(words));
    let fractions = y.map(|y| Fraction::new(y));
    let powers = to_p58(fractions.map(|fraction| fraction.base()));
    let mut points = [[Point::NEUTRAL; LANES]; G];
    for group in 0..G {
        let x = fractions[group].root(powers[group])?;
        // The sign of an encoding says whether x is odd. Where x is 0 this negates nothing.
        let sign = _mm512_movepi64_mask(words[group][3]);
        let x = x.replaced(x.is_odd() ^ sign, x.negated());
        points[group] = Affine8::new(x, y[group]).store();
    }
    Some(points)
}

/// The encodings as numbers of four words.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn words_of(encodings: &[&[u8; 32]]) -> [__m512i; 4] {
    // y = 1 is the neutral point.
    let mut words = [[1; LANES], [0; LANES], [0; LANES], [0; LANES]];
    for (lane, encoding) in encodings.iter().enumerate() {
        for (word, bytes) in words.iter_mut().zip(encoding.as_chunks().0) {
            word[lane] = u64::from_le_bytes(*bytes);
        }
    }
    words.map(|word| from_lanes(&word))
}

/// x² = u / v with u = y² − 1 and v = d·y² + 1, which is never 0 since −1/d is no square.
///
/// The candidate u·v³·(u·v⁷)^((p−5)/8) is a root of u/v or of −u/v, if u/v is a square (RFC 8032
/// §5.1.3).
#[derive(Clone, Copy)]
struct Fraction {
    u: Field8,
    v: Field8,
    v3: Field8,
}

impl Fraction {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(y: Field8) -> Self {
        let one = Field8::one().widen();
        let y2 = y.square().carry();
        let v = y2.times(Field8::splat(D)).plus(one).carry();
        Self { u: y2.widen().minus(one).carry(), v, v3: v.square().carry().times(v).carry() }
    }

    /// u·v⁷.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn base(&self) -> Field8 {
        let v7 = self.v3.square().carry().times(self.v).carry();
        self.u.times(v7).carry()
    }

    /// One of the two roots, from the power of [`base`](Self::base). None if a lane has none.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn root(&self, power: Field8) -> Option<Field8> {
        let root = self.u.times(self.v3).carry().times(power).carry();
        let product = root.square().carry().times(self.v).carry().widen();
        let is_root = product.minus(self.u.widen()).carry().is_zero();
        let is_root_of_negative = product.plus(self.u.widen()).carry().is_zero();
        let other = root.times(Field8::splat(ROOT_OF_MINUS_ONE)).carry();
        let found = is_root | is_root_of_negative == __mmask8::MAX;
        found.then(|| root.replaced(is_root_of_negative, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::point::tests::{dalek_points, encode};
    use crate::curve::{Ifma, on_eight_lanes};
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    /// Our verdict on one encoding, and the point encoded again; as the library's, whatever lane it is
    /// in and whatever is beside it.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn compare_with_library(encodings: &[[u8; 32]]) {
        let library = |encoding: &[u8; 32]| {
            CompressedEdwardsY(*encoding).decompress().map(|point| point.compress().to_bytes())
        };
        let mut valid = Vec::new();
        for (index, encoding) in encodings.iter().enumerate() {
            let neutral = CompressedEdwardsY::default().to_bytes();
            let mut eight = [&neutral; LANES];
            eight[index % LANES] = encoding;
            let ours = decode_all(&eight).map(|rows| {
                encode(Affine8::load(rows.first_chunk::<LANES>().unwrap().each_ref()).to_points(0))
                    [index % LANES]
            });
            assert_eq!(ours, library(encoding), "{encoding:x?}");
            valid.extend(library(encoding).map(|again| (encoding, again)));
        }
        // All valid ones at once: groups of eight different ones, and a ragged end.
        let (valid, again): (Vec<&[u8; 32]>, Vec<[u8; 32]>) = valid.into_iter().unzip();
        let rows = decode_all(&valid).unwrap();
        assert_eq!(rows.len(), valid.len());
        for (rows, again) in rows.chunks(LANES).zip(again.chunks(LANES)) {
            let mut eight = [&Point::NEUTRAL; LANES];
            eight.iter_mut().zip(rows).for_each(|(lane, row)| *lane = row);
            assert_eq!(encode(Affine8::load(eight).to_points(0))[..again.len()], *again);
        }
    }

    /// Every encoding whose y is p or more, with both signs.
    fn not_canonical() -> Vec<[u8; 32]> {
        let above_p = (0xed..=0xff_u8).map(|low| {
            let mut encoding = [0xff; 32];
            encoding[0] = low;
            encoding
        });
        above_p.flat_map(|encoding| [false, true].map(|sign| with_sign(encoding, sign))).collect()
    }

    fn with_sign(mut encoding: [u8; 32], sign: bool) -> [u8; 32] {
        encoding[31] = encoding[31] & 0x7f | u8::from(sign) << 7;
        encoding
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_special() {
        let mut encodings = not_canonical();
        assert_eq!(encodings.len(), 38);
        for point in dalek_points() {
            let encoding = point.compress().to_bytes();
            encodings.extend([with_sign(encoding, false), with_sign(encoding, true)]);
        }
        // Small y, both sides of p/2, and every single bit.
        encodings.extend((0..=255_u8).flat_map(|low| {
            let mut encoding = [0; 32];
            encoding[0] = low;
            [encoding, encoding.map(|byte| !byte)]
        }));
        encodings.extend((0..256).map(|bit| {
            let mut encoding = [0; 32];
            encoding[bit / 8] = 1 << (bit % 8);
            encoding
        }));
        compare_with_library(&encodings);
    }

    #[test]
    fn encodings_out_of_form_of_small_order_and_with_a_negative_zero_are_judged_as_by_the_library() {
        on_eight_lanes(
            "encodings_out_of_form_of_small_order_and_with_a_negative_zero_are_judged_as_by_the_library",
            check_special,
        );
    }

    #[test]
    fn no_encodings_are_no_points_and_a_bad_one_anywhere_is_noticed() {
        let Some(ifma) = Ifma::detect_or_say("no_encodings_are_no_points_and_a_bad_one_anywhere_is_noticed")
        else {
            return;
        };
        assert_eq!(ifma.decode(&[]).map(|points| points.len()), Some(0));
        // y = 2 is on no point of the curve.
        let (good, mut bad) = (CompressedEdwardsY::default().to_bytes(), [0; 32]);
        bad[0] = 2;
        for count in 1..20 {
            let mut encodings = vec![&good; count];
            assert_eq!(ifma.decode(&encodings).map(|points| points.len()), Some(count));
            for place in 0..count {
                encodings[place] = &bad;
                assert!(ifma.decode(&encodings).is_none());
                encodings[place] = &good;
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_root() {
        let root = Field8::splat(ROOT_OF_MINUS_ONE);
        assert_eq!(root.square().plus(Field8::one().widen()).carry().is_zero(), u8::MAX);
    }

    #[test]
    fn the_root_of_minus_one_is_one() {
        on_eight_lanes("the_root_of_minus_one_is_one", check_root);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_any_bytes() {
        let encodings = prop::collection::vec(any::<[u8; 32]>(), 1..40);
        let compare = |encodings: Vec<[u8; 32]>| {
            compare_with_library(&encodings);
            Ok(())
        };
        TestRunner::default().run(&encodings, compare).unwrap();
    }

    #[test]
    fn any_bytes_are_judged_as_by_the_library() {
        on_eight_lanes("any_bytes_are_judged_as_by_the_library", check_any_bytes);
    }
}
