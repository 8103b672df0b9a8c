//! Eight points of edwards25519 side by side, and their addition.
//!
//! The curve is −x² + y² = 1 + d·x²·y² over GF(2²⁵⁵ − 19) (RFC 8032 §5.1). The formulas are those of
//! Hisil, Wong, Carter and Dawson, "Twisted Edwards Curves Revisited" (2008), §3.1 and §4.2. −1 is a
//! square in this field and d is none, so they are complete: right for every pair of points, equal
//! ones, opposite ones, the neutral one and those of small order. Foreign keys may be any of these.

use super::field::Field8;
use super::registers::{LANES, from_lanes, to_lanes, transpose};
use super::{POINT_WORDS, Point};
use std::arch::x86_64::*;

/// d = −121665 / 121666, which makes the curve.
pub(super) const D: [u64; 5] = [
    929_955_233_495_203,
    466_365_720_129_213,
    1_662_059_464_998_953,
    2_033_849_074_728_123,
    1_442_794_654_840_575,
];
/// 2·d.
pub(super) const TWICE_D: [u64; 5] = [
    1_859_910_466_990_425,
    932_731_440_258_426,
    1_072_319_116_312_658,
    1_815_898_335_770_999,
    633_789_495_995_903,
];
/// 1 / (2·d).
pub(super) const INVERSE_OF_TWICE_D: [u64; 5] = [
    133_296_036_314_136,
    426_780_519_490_142,
    971_550_796_200_877,
    1_003_625_501_967_667,
    1_693_814_684_165_806,
];

/// Words of a point of any scale in memory: four elements of five limbs, rounded up to registers.
const SUM_WORDS: usize = 3 * LANES;

/// One point of any scale in memory.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct PointRow([u64; SUM_WORDS]);

/// Eight affine points: y + x, y − x and 2·d·x·y.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine8 {
    plus: Field8,
    minus: Field8,
    product: Field8,
}

/// Eight points (X : Y : Z) with T = X·Y / Z, as Y + X, Y − X, Z and T.
#[derive(Clone, Copy, Debug)]
pub(super) struct Points8 {
    plus: Field8,
    minus: Field8,
    z: Field8,
    t: Field8,
}

impl PointRow {
    /// Room for a point; it is none.
    pub(super) const EMPTY: Self = Self([0; SUM_WORDS]);
}

impl Affine8 {
    /// The points (x, y).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn new(x: Field8, y: Field8) -> Self {
        let twice_d_x = x.times(Field8::splat(TWICE_D)).carry();
        Self {
            plus: y.widen().plus(x.widen()).carry(),
            minus: y.widen().minus(x.widen()).carry(),
            product: twice_d_x.times(y).carry(),
        }
    }

    /// Puts eight rows of memory into lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn load(rows: [&Point; LANES]) -> Self {
        let [a, b, c, d, e, f, g, h] = transpose(rows.map(|row| from_lanes(half(&row.0, 0))));
        let [i, j, k, l, m, n, o, _] = transpose(rows.map(|row| from_lanes(half(&row.0, 1))));
        Self {
            plus: Field8::from_limbs([a, b, c, d, e]),
            minus: Field8::from_limbs([f, g, h, i, j]),
            product: Field8::from_limbs([k, l, m, n, o]),
        }
    }

    /// A row of memory for each lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn store(self) -> [Point; LANES] {
        let [a, b, c, d, e] = self.plus.limbs();
        let [f, g, h, i, j] = self.minus.limbs();
        let [k, l, m, n, o] = self.product.limbs();
        let first = transpose([a, b, c, d, e, f, g, h]);
        let second = transpose([i, j, k, l, m, n, o, _mm512_setzero_si512()]);
        let mut rows = [Point([0; POINT_WORDS]); LANES];
        for lane in 0..LANES {
            *half_mut(&mut rows[lane].0, 0) = to_lanes(first[lane]);
            *half_mut(&mut rows[lane].0, 1) = to_lanes(second[lane]);
        }
        rows
    }

    /// The points, those in the lanes of `negative` negated: −(x, y) = (−x, y).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn to_points(self, negative: __mmask8) -> Points8 {
        let t = self.product.times(Field8::splat(INVERSE_OF_TWICE_D)).carry();
        Points8 {
            plus: self.plus.replaced(negative, self.minus),
            minus: self.minus.replaced(negative, self.plus),
            z: Field8::one(),
            t: t.replaced(negative, t.negated()),
        }
    }
}

impl Points8 {
    /// The neutral point in each lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn neutral() -> Self {
        Self { plus: Field8::one(), minus: Field8::one(), z: Field8::one(), t: Field8::zero() }
    }

    /// Adds an affine point to each, or takes it away in the lanes of `negative`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn add_affine(&mut self, other: &Affine8, negative: __mmask8) {
        // To negate is to swap y + x with y − x, and the sign of 2·d·x·y.
        let a = self.minus.times(other.minus.replaced(negative, other.plus));
        let b = self.plus.times(other.plus.replaced(negative, other.minus));
        let c = self.t.times(other.product);
        let d = self.z.doubled();
        let (d_minus_c, d_plus_c) = (d.minus(c).carry(), d.plus(c).carry());
        self.set_products(&Products {
            e: b.minus(a).carry(),
            f: d_minus_c.replaced(negative, d_plus_c),
            g: d_plus_c.replaced(negative, d_minus_c),
            h: b.plus(a).carry(),
        });
    }

    /// Adds a point to each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn add(&mut self, other: &Self) {
        let a = self.minus.times(other.minus);
        let b = self.plus.times(other.plus);
        let c = self.t.times(Field8::splat(TWICE_D)).carry().times(other.t);
        let d = self.z.doubled().carry().times(other.z);
        self.set_products(&Products {
            e: b.minus(a).carry(),
            f: d.minus(c).carry(),
            g: d.plus(c).carry(),
            h: b.plus(a).carry(),
        });
    }

    /// Doubles each point.
    ///
    /// From (Y + X)² − (Y − X)² = 4·X·Y and (Y + X)² + (Y − X)² = 2·(X² + Y²); each of the four is twice
    /// that of the paper, two of them with the other sign, which is the same point.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn double(&mut self) {
        let (plus, minus) = (self.plus.square(), self.minus.square());
        let g = self.plus.times(self.minus.doubled().carry());
        let f = self.z.doubled().carry().square().minus(g).carry();
        let (e, h) = (plus.minus(minus).carry(), plus.plus(minus).carry());
        self.set_products(&Products { e, f, g: g.carry(), h });
    }

    /// X = e·f, Y = g·h, Z = f·g, T = e·h.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn set_products(&mut self, Products { e, f, g, h }: &Products) {
        let (x, y) = (e.times(*f), g.times(*h));
        self.plus = y.plus(x).carry();
        self.minus = y.minus(x).carry();
        self.z = f.times(*g).carry();
        self.t = e.times(*h).carry();
    }

    /// The point of one lane in all of them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn of_lane(&self, lane: usize) -> Self {
        Self {
            plus: self.plus.of_lane(lane),
            minus: self.minus.of_lane(lane),
            z: self.z.of_lane(lane),
            t: self.t.of_lane(lane),
        }
    }

    /// In which lanes the point is the neutral one: X = 0 and Y = Z, so Y + X = Y − X = Z. What has no
    /// scale is no point, and so not this one.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn is_neutral(&self) -> __mmask8 {
        let z = self.z.widen();
        let (plus, minus) = (self.plus.widen().minus(z).carry(), self.minus.widen().minus(z).carry());
        plus.is_zero() & minus.is_zero() & !self.z.is_zero()
    }

    /// Puts eight rows of memory into lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn load(rows: [&PointRow; LANES]) -> Self {
        let [a, b, c, d, e, f, g, h] = transpose(rows.map(|row| from_lanes(half(&row.0, 0))));
        let [i, j, k, l, m, n, o, p] = transpose(rows.map(|row| from_lanes(half(&row.0, 1))));
        let [q, r, s, t, ..] = transpose(rows.map(|row| from_lanes(half(&row.0, 2))));
        Self {
            plus: Field8::from_limbs([a, b, c, d, e]),
            minus: Field8::from_limbs([f, g, h, i, j]),
            z: Field8::from_limbs([k, l, m, n, o]),
            t: Field8::from_limbs([p, q, r, s, t]),
        }
    }

    /// A row of memory for each lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn store(&self) -> [PointRow; LANES] {
        let [a, b, c, d, e] = self.plus.limbs();
        let [f, g, h, i, j] = self.minus.limbs();
        let [k, l, m, n, o] = self.z.limbs();
        let [p, q, r, s, t] = self.t.limbs();
        let zero = _mm512_setzero_si512();
        let first = transpose([a, b, c, d, e, f, g, h]);
        let second = transpose([i, j, k, l, m, n, o, p]);
        let third = transpose([q, r, s, t, zero, zero, zero, zero]);
        let mut rows = [PointRow::EMPTY; LANES];
        for lane in 0..LANES {
            *half_mut(&mut rows[lane].0, 0) = to_lanes(first[lane]);
            *half_mut(&mut rows[lane].0, 1) = to_lanes(second[lane]);
            *half_mut(&mut rows[lane].0, 2) = to_lanes(third[lane]);
        }
        rows
    }
}

/// What additions and doublings end with (Hisil et al., §3.1).
struct Products {
    e: Field8,
    f: Field8,
    g: Field8,
    h: Field8,
}

/// The words of register `index` of a row.
fn half(words: &[u64], index: usize) -> &[u64; LANES] {
    &words.as_chunks().0[index]
}

fn half_mut(words: &mut [u64], index: usize) -> &mut [u64; LANES] {
    &mut words.as_chunks_mut().0[index]
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::field::tests::{modulus, numbers, power};
    use super::*;
    use crate::curve::{Ifma, on_eight_lanes};
    use curve25519_dalek::EdwardsPoint;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use curve25519_dalek::scalar::Scalar;
    use curve25519_dalek::traits::Identity as _;
    use ruint::aliases::U512;

    /// The encodings of eight points (RFC 8032 §5.1.2), by plain arithmetic.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(crate) fn encode(points: Points8) -> [[u8; 32]; LANES] {
        let [plus, minus, z, t] = [points.plus, points.minus, points.z, points.t].map(|part| numbers(part));
        std::array::from_fn(|lane| {
            let (p, two) = (modulus(), U512::from(2));
            let invert = |number: U512| power(number, p - two);
            assert_ne!(z[lane], U512::ZERO, "complete formulas give no point without a scale");
            let scale = invert(two * z[lane] % p);
            let x = (plus[lane] + p - minus[lane]) * scale % p;
            let y = (plus[lane] + minus[lane]) % p * scale % p;
            assert_eq!(x * y % p * z[lane] % p, t[lane], "T = X·Y / Z");
            let signed: U512 = y | (U512::from(u8::from(x.bit(0))) << 255);
            signed.to_le_bytes::<64>()[..32].try_into().unwrap()
        })
    }

    /// Points where mistakes hide, and ordinary ones: neutral, of small order, mixed, and opposites.
    pub(crate) fn dalek_points() -> Vec<EdwardsPoint> {
        let mut points = EIGHT_TORSION.to_vec();
        for number in [1_u64, 2, 3, 8, 0xffff_ffff_ffff_ffff] {
            let point = ED25519_BASEPOINT_POINT * Scalar::from(number);
            points.extend([point, -point, point + EIGHT_TORSION[1], -point + EIGHT_TORSION[4]]);
        }
        points.extend((0..4).map(|seed| ED25519_BASEPOINT_POINT * ordinary_scalar(seed)));
        points
    }

    /// A scalar that looks like any other.
    pub(crate) fn ordinary_scalar(seed: u64) -> Scalar {
        Scalar::from(seed + 3).invert()
    }

    /// Eight points of a list, from `at` on and around.
    fn eight_of(all: &[EdwardsPoint], at: usize) -> [EdwardsPoint; LANES] {
        std::array::from_fn(|lane| all[(at + lane) % all.len()])
    }

    fn decoded(points: &[EdwardsPoint; LANES]) -> [Point; LANES] {
        let encodings = points.map(|point| point.compress().to_bytes());
        let ifma = Ifma::detect().expect("the caller asked");
        ifma.decode(&encodings.each_ref()).unwrap().try_into().expect("eight points were decoded")
    }

    fn encoded(points: [EdwardsPoint; LANES]) -> [[u8; 32]; LANES] {
        points.map(|point| point.compress().to_bytes())
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_addition() {
        let all = dalek_points();
        // Every point meets every other, itself and its opposite, each in several lanes.
        for turn in 0..all.len() {
            for at in (0..all.len()).step_by(5) {
                let (ours, theirs) = (eight_of(&all, at), eight_of(&all, at + turn));
                let (a, b) = (decoded(&ours), decoded(&theirs));
                let b = Affine8::load(b.each_ref());
                // The first is stretched, so that Z is not 1.
                let mut a = Affine8::load(a.each_ref()).to_points(0b1010_1010);
                a.add_affine(&b, 0b0110_0110);
                let negate = |points: [EdwardsPoint; LANES], which: u8| -> [EdwardsPoint; LANES] {
                    std::array::from_fn(
                        |lane| if which >> lane & 1 == 1 { -points[lane] } else { points[lane] },
                    )
                };
                let plus =
                    |one: [EdwardsPoint; LANES], other: [EdwardsPoint; LANES]| -> [EdwardsPoint; LANES] {
                        std::array::from_fn(|lane| one[lane] + other[lane])
                    };
                let sum = plus(negate(ours, 0b1010_1010), negate(theirs, 0b0110_0110));
                assert_eq!(encode(a), encoded(sum));
                let scaled = b.to_points(0b1100_1100);
                let changed = |change: &dyn Fn(&mut Points8)| {
                    let mut points = a;
                    change(&mut points);
                    points
                };
                let with_scaled = changed(&|points| points.add(&scaled));
                assert_eq!(encode(with_scaled), encoded(plus(sum, negate(theirs, 0b1100_1100))));
                assert_eq!(encode(changed(&|points| points.add(&a))), encoded(plus(sum, sum)));
                assert_eq!(encode(changed(&|points| points.double())), encoded(plus(sum, sum)));
                let back = changed(&|points| points.add_affine(&b, 0b1001_1001));
                let difference = plus(sum, negate(theirs, 0b1001_1001));
                assert_eq!(encode(back), encoded(difference));
                let neutral = (0..LANES).filter(|lane| back.is_neutral() >> lane & 1 == 1);
                let expected = (0..LANES).filter(|lane| difference[*lane] == EdwardsPoint::identity());
                assert!(neutral.eq(expected));
            }
        }
    }

    #[test]
    fn points_of_every_kind_are_added_and_doubled_as_by_the_library() {
        on_eight_lanes("points_of_every_kind_are_added_and_doubled_as_by_the_library", check_addition);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_memory() {
        let ours = eight_of(&dalek_points(), 9);
        let points = decoded(&ours);
        let affine = Affine8::load(points.each_ref());
        assert_eq!(affine.store().map(|row| row.0), points.map(|row| row.0));
        let mut sums = affine.to_points(0);
        sums.double();
        let rows = sums.store();
        assert_eq!(encode(Points8::load(rows.each_ref())), encode(sums));
        for (lane, row) in rows.iter().enumerate() {
            assert_eq!(encode(sums.of_lane(lane)), [encode(sums)[lane]; LANES]);
            assert_eq!(encode(Points8::load([row; LANES])), [encode(sums)[lane]; LANES]);
        }
        assert_eq!(encode(Points8::neutral()), [CompressedEdwardsY::identity().to_bytes(); LANES]);
        assert_eq!(Points8::neutral().is_neutral(), u8::MAX);
        assert_eq!(sums.is_neutral(), 0);
        assert_eq!(Points8::load([&PointRow::EMPTY; LANES]).is_neutral(), 0);
        let mut same = sums;
        same.add_affine(&Affine8::load([&Point::NEUTRAL; LANES]), 0b0101_0101);
        assert_eq!(encode(same), encode(sums));
    }

    #[test]
    fn points_come_back_from_memory_lane_by_lane() {
        on_eight_lanes("points_come_back_from_memory_lane_by_lane", check_memory);
    }

    #[test]
    fn the_constants_of_the_curve_are_what_they_are_called() {
        let number = |limbs: [u64; 5]| {
            limbs.into_iter().rev().fold(U512::ZERO, |sum, limb| (sum << 51) + U512::from(limb))
        };
        let (p, d) = (modulus(), number(D));
        assert!(d < p);
        assert_eq!(d * U512::from(121_666) % p, p - U512::from(121_665));
        assert_eq!(number(TWICE_D), (d + d) % p);
        assert_eq!(number(INVERSE_OF_TWICE_D) * number(TWICE_D) % p, U512::from(1));
    }
}
