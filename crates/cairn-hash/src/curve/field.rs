//! Eight elements of GF(2²⁵⁵ − 19) side by side, multiplied by the instructions of AVX-512 IFMA.
//!
//! An element is five limbs of radix 2⁵¹; limb i of all eight lies in one register. IFMA multiplies
//! the low 52 bits of two lanes and adds the low or the high 52 bits of the product to a third. What
//! an operand has above bit 51 is ignored without a word, so a limb that is too wide is a wrong
//! result that nobody sees. Therefore the bounds of limbs are types, and only [`Field8`] multiplies:
//!
//! | type | each limb is below | made by | can |
//! |---|---|---|---|
//! | [`Field8`] | 2⁵¹ + 2¹⁶ | `carry`, reading bytes, constants | multiply, square, double |
//! | [`Product8`] | 2⁵⁹ | a multiplication | be added, subtracted, carried |
//! | [`Sum8`] | 2⁶² | an addition or a subtraction | be carried |
//!
//! The bounds are proved beside each function, and debug builds assert them for every value. An
//! element has many representations; [`Field8::canonical`] gives the one below p.

use super::registers::{splat, to_lanes};
use std::arch::x86_64::*;

/// Bits of a limb.
const LIMB_BITS: u32 = 51;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;
/// What limbs of a [`Field8`] are below: less than 2⁵², as IFMA needs it.
const FIELD_BOUND: u64 = (1 << 51) + (1 << 16);
/// What limbs of a [`Product8`] are below.
const PRODUCT_BOUND: u64 = 1 << 59;
/// What limbs of a [`Sum8`] are below.
const SUM_BOUND: u64 = 1 << 62;

/// 2⁹·p in limbs that are each at least [`PRODUCT_BOUND`] and below 2⁶⁰: subtracted from this, no limb
/// of a product is negative.
const SUBTRACTION_BIAS: [u64; 5] =
    [(LIMB_MASK - 18) << 9, LIMB_MASK << 9, LIMB_MASK << 9, LIMB_MASK << 9, LIMB_MASK << 9];

/// Eight elements that may be multiplied: each limb is below 2⁵¹ + 2¹⁶.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field8([__m512i; 5]);

/// Eight products before carrying: each limb is below 2⁵⁹.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product8([__m512i; 5]);

/// Eight sums or differences before carrying: each limb is below 2⁶².
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum8([__m512i; 5]);

impl Field8 {
    /// The same element in each lane, from limbs below 2⁵¹.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn splat(limbs: [u64; 5]) -> Self {
        Self::bounded(limbs.map(|limb| splat(limb)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn zero() -> Self {
        Self::splat([0; 5])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn one() -> Self {
        Self::splat([1, 0, 0, 0, 0])
    }

    /// The low 255 bits of the numbers in `words`, little-endian and a register a word; they may be p
    /// or more. Each limb is below 2⁵¹.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn from_words([a, b, c, d]: [__m512i; 4]) -> Self {
        let mask = splat(LIMB_MASK);
        // Limb i begins at bit 51·i.
        Self::bounded([
            _mm512_and_si512(a, mask),
            _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<51>(a), _mm512_slli_epi64::<13>(b)), mask),
            _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<38>(b), _mm512_slli_epi64::<26>(c)), mask),
            _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<25>(c), _mm512_slli_epi64::<39>(d)), mask),
            _mm512_and_si512(_mm512_srli_epi64::<12>(d), mask),
        ])
    }

    /// The registers, limb by limb; what [`from_limbs`](Self::from_limbs) takes back.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn limbs(self) -> [__m512i; 5] {
        self.0
    }

    /// Elements from what [`limbs`](Self::limbs) gave.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn from_limbs(limbs: [__m512i; 5]) -> Self {
        Self::bounded(limbs)
    }

    /// Limbs whose caller proves the bound.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn bounded(limbs: [__m512i; 5]) -> Self {
        debug_assert!(all_below(limbs, FIELD_BOUND), "a limb of a field element is too wide");
        Self(limbs)
    }

    /// The products, lane by lane.
    ///
    /// A limb product aᵢ·bⱼ is low + 2⁵²·high. Radix 2⁵¹ with halves of 52 bits: the high half counts
    /// twice in column i + j + 1. Columns 5 to 9 weigh 2²⁵⁵ = 19 times as much as columns 0 to 4.
    ///
    /// Bounds: low < 2⁵², and high ≤ (2⁵¹ + 2¹⁶)² / 2⁵² < 2⁵⁰ + 2¹⁷. No column has more than five of
    /// each, so columns are below 5·2⁵² + 2·5·(2⁵⁰ + 2¹⁷) < 2⁵⁵. The widest result is limb 0: one low
    /// half, and 19 times column 5, which has four low and five high ones: less than
    /// 2⁵² + 19·(4·2⁵² + 10·(2⁵⁰ + 2¹⁷)) < 125·2⁵² < 2⁵⁹. In limb k the low and high halves of its own
    /// column are k + 1 and k, those of column 5 + k are 4 − k and 5 − k: with k the sum falls.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn times(self, other: Self) -> Product8 {
        let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (self.0, other.0);
        let zero = _mm512_setzero_si512();
        // The high halves, in the column where they count twice.
        let h1 = high(zero, a0, b0);
        let h2 = high(high(zero, a0, b1), a1, b0);
        let h3 = high(high(high(zero, a0, b2), a1, b1), a2, b0);
        let h4 = high(high(high(high(zero, a0, b3), a1, b2), a2, b1), a3, b0);
        let h5 = high(high(high(high(high(zero, a0, b4), a1, b3), a2, b2), a3, b1), a4, b0);
        let h6 = high(high(high(high(zero, a1, b4), a2, b3), a3, b2), a4, b1);
        let h7 = high(high(high(zero, a2, b4), a3, b3), a4, b2);
        let h8 = high(high(zero, a3, b4), a4, b3);
        let h9 = high(zero, a4, b4);
        // Twice these, and the low halves.
        let c0 = low(zero, a0, b0);
        let c1 = low(low(twice(h1), a0, b1), a1, b0);
        let c2 = low(low(low(twice(h2), a0, b2), a1, b1), a2, b0);
        let c3 = low(low(low(low(twice(h3), a0, b3), a1, b2), a2, b1), a3, b0);
        let c4 = low(low(low(low(low(twice(h4), a0, b4), a1, b3), a2, b2), a3, b1), a4, b0);
        let c5 = low(low(low(low(twice(h5), a1, b4), a2, b3), a3, b2), a4, b1);
        let c6 = low(low(low(twice(h6), a2, b4), a3, b3), a4, b2);
        let c7 = low(low(twice(h7), a3, b4), a4, b3);
        let c8 = low(twice(h8), a4, b4);
        let c9 = twice(h9);
        Product8::fold([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
    }

    /// The squares, lane by lane: the products of unlike limbs are computed once and count twice.
    ///
    /// Bounds: the columns are those of [`times`](Self::times).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn square(self) -> Product8 {
        let [a0, a1, a2, a3, a4] = self.0;
        let zero = _mm512_setzero_si512();
        // Half of the high halves of column k, in column k + 1, where they count twice again; then
        // half of the low ones of that column; and twice all this, with those of like limbs.
        let h1 = high(zero, a0, a0);
        let h2 = twice(high(zero, a0, a1));
        let h3 = high(twice(high(zero, a0, a2)), a1, a1);
        let h4 = twice(high(high(zero, a0, a3), a1, a2));
        let h5 = high(twice(high(high(zero, a0, a4), a1, a3)), a2, a2);
        let h6 = twice(high(high(zero, a1, a4), a2, a3));
        let h7 = high(twice(high(zero, a2, a4)), a3, a3);
        let h8 = twice(high(zero, a3, a4));
        let h9 = high(zero, a4, a4);
        let c0 = low(zero, a0, a0);
        let c1 = twice(low(h1, a0, a1));
        let c2 = low(twice(low(h2, a0, a2)), a1, a1);
        let c3 = twice(low(low(h3, a0, a3), a1, a2));
        let c4 = low(twice(low(low(h4, a0, a4), a1, a3)), a2, a2);
        let c5 = twice(low(low(h5, a1, a4), a2, a3));
        let c6 = low(twice(low(h6, a2, a4)), a3, a3);
        let c7 = twice(low(h7, a3, a4));
        let c8 = low(twice(h8), a4, a4);
        let c9 = twice(h9);
        Product8::fold([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
    }

    /// The element itself, to be added or subtracted: 2⁵¹ + 2¹⁶ < 2⁵⁹.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn widen(self) -> Product8 {
        Product8::bounded(self.0)
    }

    /// Twice the element: 2⁵² + 2¹⁷ < 2⁵⁹.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn doubled(self) -> Product8 {
        Product8::bounded(self.0.map(|limb| twice(limb)))
    }

    /// p minus the element, or another representation of its negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn negated(self) -> Self {
        Self::zero().widen().minus(self.widen()).carry()
    }

    /// The elements of `other` in the lanes of `which`, and of `self` in the rest.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn replaced(self, which: __mmask8, other: Self) -> Self {
        let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (self.0, other.0);
        Self::bounded([
            _mm512_mask_mov_epi64(a0, which, b0),
            _mm512_mask_mov_epi64(a1, which, b1),
            _mm512_mask_mov_epi64(a2, which, b2),
            _mm512_mask_mov_epi64(a3, which, b3),
            _mm512_mask_mov_epi64(a4, which, b4),
        ])
    }

    /// The element of one lane in all of them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn of_lane(self, lane: usize) -> Self {
        Self::bounded(self.0.map(|limb| splat(to_lanes(limb)[lane])))
    }

    /// The representation below p, each limb below 2⁵¹.
    ///
    /// The number is below (2⁵¹ + 2¹⁶)·(1 + 2⁵¹ + … + 2²⁰⁴) < 2·p, so p is taken away once or not at
    /// all: once exactly if the number plus 19 reaches 2²⁵⁵.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn canonical(self) -> [__m512i; 5] {
        let mut reaches = splat(19);
        for limb in self.0 {
            reaches = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(limb, reaches));
        }
        // The number minus p is the number plus 19, minus 2²⁵⁵, which falls off the last limb.
        let mut carry = times_19(reaches);
        let mask = splat(LIMB_MASK);
        self.0.map(|limb| {
            let sum = _mm512_add_epi64(limb, carry);
            carry = _mm512_srli_epi64::<LIMB_BITS>(sum);
            _mm512_and_si512(sum, mask)
        })
    }

    /// In which lanes the element is 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn is_zero(self) -> __mmask8 {
        let [a, b, c, d, e] = self.canonical();
        let any = _mm512_or_si512(_mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d)), e);
        _mm512_testn_epi64_mask(any, any)
    }

    /// In which lanes the element is odd as a number below p: what RFC 8032 calls its sign.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn is_odd(self) -> __mmask8 {
        _mm512_test_epi64_mask(self.canonical()[0], splat(1))
    }
}

impl Product8 {
    /// Limbs whose caller proves the bound.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn bounded(limbs: [__m512i; 5]) -> Self {
        debug_assert!(all_below(limbs, PRODUCT_BOUND), "a limb of a product is too wide");
        Self(limbs)
    }

    /// Columns 0 to 4, and 19 times columns 5 to 9, since 2²⁵⁵ = 19; the bound is that of
    /// [`Field8::times`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn fold([a, b, c, d, e]: [__m512i; 5], [f, g, h, i, j]: [__m512i; 5]) -> Self {
        Self::bounded([
            _mm512_add_epi64(a, times_19(f)),
            _mm512_add_epi64(b, times_19(g)),
            _mm512_add_epi64(c, times_19(h)),
            _mm512_add_epi64(d, times_19(i)),
            _mm512_add_epi64(e, times_19(j)),
        ])
    }

    /// The sum: 2⁵⁹ + 2⁵⁹ < 2⁶².
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn plus(self, other: Self) -> Sum8 {
        Sum8::bounded(add_limbs(self.0, other.0))
    }

    /// The difference: with the bias no limb is negative, and 2⁵⁹ + 2⁶⁰ < 2⁶².
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn minus(self, other: Self) -> Sum8 {
        let [a0, a1, a2, a3, a4] = add_limbs(self.0, SUBTRACTION_BIAS.map(|limb| splat(limb)));
        let [b0, b1, b2, b3, b4] = other.0;
        Sum8::bounded([
            _mm512_sub_epi64(a0, b0),
            _mm512_sub_epi64(a1, b1),
            _mm512_sub_epi64(a2, b2),
            _mm512_sub_epi64(a3, b3),
            _mm512_sub_epi64(a4, b4),
        ])
    }

    /// The same elements, ready to be multiplied.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn carry(self) -> Field8 {
        Sum8::bounded(self.0).carry()
    }
}

impl Sum8 {
    /// Limbs whose caller proves the bound.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn bounded(limbs: [__m512i; 5]) -> Self {
        debug_assert!(all_below(limbs, SUM_BOUND), "a limb of a sum is too wide");
        Self(limbs)
    }

    /// The same elements, ready to be multiplied: what a limb has above its 51 bits goes to the next,
    /// from the last to the first 19 times.
    ///
    /// Bounds: limbs are below 2⁶², so less than 2¹¹ is carried: limbs 1 to 4 stay below 2⁵¹ + 2¹¹, and
    /// limb 0 below 2⁵¹ + 19·2¹¹ < 2⁵¹ + 2¹⁶.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn carry(self) -> Field8 {
        let [a, b, c, d, e] = self.0;
        let mask = splat(LIMB_MASK);
        Field8::bounded([
            low(_mm512_and_si512(a, mask), _mm512_srli_epi64::<LIMB_BITS>(e), splat(19)),
            _mm512_add_epi64(_mm512_and_si512(b, mask), _mm512_srli_epi64::<LIMB_BITS>(a)),
            _mm512_add_epi64(_mm512_and_si512(c, mask), _mm512_srli_epi64::<LIMB_BITS>(b)),
            _mm512_add_epi64(_mm512_and_si512(d, mask), _mm512_srli_epi64::<LIMB_BITS>(c)),
            _mm512_add_epi64(_mm512_and_si512(e, mask), _mm512_srli_epi64::<LIMB_BITS>(d)),
        ])
    }
}

/// Elements of `G` groups of eight, the same done to each group: a group waits for its own results, and
/// the processor works on another meanwhile.
type Groups<const G: usize> = [Field8; G];

/// To the power of (p − 5) / 8 = 2²⁵² − 3.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn to_p58<const G: usize>(x: Groups<G>) -> Groups<G> {
    let x2 = squared(x, 1);
    let x9 = product(squared(x2, 2), x);
    let x11 = product(x9, x2);
    // From here on, x to the power of 2ⁿ − 1.
    let ones5 = product(squared(x11, 1), x9);
    let ones10 = product(squared(ones5, 5), ones5);
    let ones20 = product(squared(ones10, 10), ones10);
    let ones40 = product(squared(ones20, 20), ones20);
    let ones50 = product(squared(ones40, 10), ones10);
    let ones100 = product(squared(ones50, 50), ones50);
    let ones200 = product(squared(ones100, 100), ones100);
    let ones250 = product(squared(ones200, 50), ones50);
    // 4·(2²⁵⁰ − 1) + 1 = 2²⁵² − 3.
    product(squared(ones250, 2), x)
}

/// Squared `times` times.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn squared<const G: usize>(mut elements: Groups<G>, times: u32) -> Groups<G> {
    for _ in 0..times {
        for element in &mut elements {
            *element = element.square().carry();
        }
    }
    elements
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn product<const G: usize>(mut elements: Groups<G>, others: Groups<G>) -> Groups<G> {
    for (element, other) in elements.iter_mut().zip(others) {
        *element = element.times(other).carry();
    }
    elements
}

/// `sum` plus the low 52 bits of the product of the low 52 bits of `a` and `b`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn low(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_madd52lo_epu64(sum, a, b)
}

/// `sum` plus the high 52 bits of that product.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn high(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_madd52hi_epu64(sum, a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn twice(number: __m512i) -> __m512i {
    _mm512_add_epi64(number, number)
}

/// 19 times a number, modulo 2⁶⁴.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn times_19(number: __m512i) -> __m512i {
    _mm512_mullo_epi64(number, splat(19))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_limbs([a0, a1, a2, a3, a4]: [__m512i; 5], [b0, b1, b2, b3, b4]: [__m512i; 5]) -> [__m512i; 5] {
    [
        _mm512_add_epi64(a0, b0),
        _mm512_add_epi64(a1, b1),
        _mm512_add_epi64(a2, b2),
        _mm512_add_epi64(a3, b3),
        _mm512_add_epi64(a4, b4),
    ]
}

/// Whether every limb of every lane is below `bound`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn all_below(limbs: [__m512i; 5], bound: u64) -> bool {
    limbs.into_iter().all(|limb| _mm512_cmpge_epu64_mask(limb, splat(bound)) == 0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::curve::on_eight_lanes;
    use crate::curve::registers::{LANES, from_lanes};
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    use ruint::aliases::{U256, U512};

    /// The limbs of one element.
    type Limbs = [u64; 5];

    /// p.
    pub(crate) fn modulus() -> U512 {
        (U512::from(1) << 255) - U512::from(19)
    }

    /// The number that limbs stand for, modulo p: the plain arithmetic that all is compared with.
    fn number_of(limbs: Limbs) -> U512 {
        let weigh = |(index, limb): (usize, u64)| U512::from(limb) << (51 * index);
        limbs.into_iter().enumerate().map(weigh).fold(U512::ZERO, |sum, limb| sum + limb) % modulus()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn rows_of(limbs: [__m512i; 5]) -> [Limbs; LANES] {
        let columns = limbs.map(|limb| to_lanes(limb));
        std::array::from_fn(|lane| columns.map(|column| column[lane]))
    }

    /// The numbers of eight elements, lane by lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(crate) fn numbers(elements: Field8) -> [U512; LANES] {
        rows_of(elements.limbs()).map(number_of)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn registers_of(rows: [Limbs; LANES]) -> [__m512i; 5] {
        let column = |limb: usize| from_lanes(&rows.map(|row| row[limb]));
        [column(0), column(1), column(2), column(3), column(4)]
    }

    /// Limbs where mistakes hide: the ends of the field and of what a type may hold.
    fn extremes(bound: u64) -> Vec<Limbs> {
        let top = LIMB_MASK;
        let mut all = vec![
            [0; 5],
            [1, 0, 0, 0, 0],
            [19, 0, 0, 0, 0],
            [top - 19, top, top, top, top], // p − 1
            [top - 18, top, top, top, top], // p
            [top - 17, top, top, top, top], // p + 1
            [top, top, top, top, top],      // 2²⁵⁵ − 1
            [top + 1, top, top, top, top],  // 2²⁵⁵, not carried
            [bound - 1; 5],
        ];
        for limb in 0..5 {
            let mut alone = [0; 5];
            alone[limb] = bound - 1;
            all.push(alone);
            let mut others = [bound - 1; 5];
            others[limb] = 0;
            all.push(others);
        }
        all
    }

    /// The extremes, and as many drawn ones that there are eight times as many in all.
    fn samples(bound: u64, count: usize) -> Vec<[Limbs; LANES]> {
        let mut runner = TestRunner::deterministic();
        let any_limbs = prop::array::uniform5(prop_oneof![3 => 0..bound, 1 => 0..=LIMB_MASK, 1 => 0..4_u64]);
        let mut all = extremes(bound);
        while all.len() < LANES * count {
            all.push(any_limbs.new_tree(&mut runner).unwrap().current());
        }
        all.as_chunks().0.to_vec()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_products() {
        let samples = samples(FIELD_BOUND, 12);
        for one in &samples {
            let a = Field8::from_limbs(registers_of(*one));
            let squares = numbers(a.square().carry());
            for (square, limbs) in squares.into_iter().zip(*one) {
                assert_eq!(square, number_of(limbs) * number_of(limbs) % modulus(), "{limbs:x?}");
            }
            for other in &samples {
                // Each lane meets each lane of the other.
                for turn in 0..LANES {
                    let mut other = *other;
                    other.rotate_left(turn);
                    let products = a.times(Field8::from_limbs(registers_of(other)));
                    let exact = rows_of(products.0).map(number_of);
                    for lane in 0..LANES {
                        let expected = number_of(one[lane]) * number_of(other[lane]) % modulus();
                        assert_eq!(exact[lane], expected, "{:x?} times {:x?}", one[lane], other[lane]);
                        assert_eq!(numbers(products.carry())[lane], expected);
                    }
                }
            }
        }
    }

    #[test]
    fn products_and_squares_are_those_of_plain_numbers() {
        on_eight_lanes("products_and_squares_are_those_of_plain_numbers", check_products);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_sums() {
        let samples = samples(PRODUCT_BOUND, 12);
        for one in &samples {
            let a = Product8::bounded(registers_of(*one));
            assert_eq!(numbers(a.carry()), one.map(number_of));
            for other in &samples {
                let b = Product8::bounded(registers_of(*other));
                let (sums, differences) = (numbers(a.plus(b).carry()), numbers(a.minus(b).carry()));
                for lane in 0..LANES {
                    let (one, other) = (number_of(one[lane]), number_of(other[lane]));
                    assert_eq!(sums[lane], (one + other) % modulus());
                    assert_eq!(differences[lane], (one + modulus() - other) % modulus());
                }
            }
        }
    }

    #[test]
    fn sums_and_differences_are_those_of_plain_numbers() {
        on_eight_lanes("sums_and_differences_are_those_of_plain_numbers", check_sums);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_carries() {
        for rows in samples(SUM_BOUND, 40) {
            let carried = Sum8::bounded(registers_of(rows)).carry();
            assert!(all_below(carried.0, FIELD_BOUND));
            assert_eq!(numbers(carried), rows.map(number_of));
        }
    }

    #[test]
    fn the_widest_sum_is_carried_into_bounds() {
        on_eight_lanes("the_widest_sum_is_carried_into_bounds", check_carries);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_canonical() {
        for rows in samples(FIELD_BOUND, 40) {
            let element = Field8::from_limbs(registers_of(rows));
            let (is_zero, is_odd) = (element.is_zero(), element.is_odd());
            let canonical = rows_of(element.canonical());
            for lane in 0..LANES {
                let number = number_of(rows[lane]);
                assert!(canonical[lane].into_iter().all(|limb| limb <= LIMB_MASK));
                let weighed = canonical[lane]
                    .into_iter()
                    .rev()
                    .fold(U512::ZERO, |sum, limb| (sum << 51) + U512::from(limb));
                assert_eq!(weighed, number, "{:x?}", rows[lane]);
                assert_eq!(is_zero >> lane & 1 == 1, number == U512::ZERO);
                assert_eq!(is_odd >> lane & 1 == 1, number.bit(0));
            }
            let (doubled, negated) = (numbers(element.doubled().carry()), numbers(element.negated()));
            for lane in 0..LANES {
                let number = number_of(rows[lane]);
                assert_eq!(doubled[lane], (number + number) % modulus());
                assert_eq!(negated[lane], (modulus() - number) % modulus());
            }
        }
    }

    #[test]
    fn an_element_is_read_below_p_negated_and_doubled() {
        on_eight_lanes("an_element_is_read_below_p_negated_and_doubled", check_canonical);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_powers() {
        let exponent = (modulus() - U512::from(5)) / U512::from(8);
        for rows in samples(FIELD_BOUND, 4) {
            let powers = numbers(to_p58([Field8::from_limbs(registers_of(rows))])[0]);
            assert_eq!(powers, rows.map(|limbs| power(number_of(limbs), exponent)));
        }
    }

    /// A number to a power, modulo p.
    pub(crate) fn power(base: U512, exponent: U512) -> U512 {
        (0..exponent.bit_len()).rev().fold(U512::from(1), |result, bit| {
            let square = result * result % modulus();
            if exponent.bit(bit) { square * base % modulus() } else { square }
        })
    }

    #[test]
    fn the_power_for_square_roots_is_that_of_plain_numbers() {
        on_eight_lanes("the_power_for_square_roots_is_that_of_plain_numbers", check_powers);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_lanes() {
        let both = samples(FIELD_BOUND, 4);
        let (a, b) = (Field8::from_limbs(registers_of(both[0])), Field8::from_limbs(registers_of(both[1])));
        for which in 0..=__mmask8::MAX {
            let mixed = rows_of(a.replaced(which, b).limbs());
            let expected = std::array::from_fn(|lane| both[usize::from(which >> lane & 1)][lane]);
            assert_eq!(mixed, expected);
        }
        for (lane, limbs) in both[0].into_iter().enumerate() {
            assert_eq!(rows_of(a.of_lane(lane).limbs()), [limbs; LANES]);
        }
        // A word for each register: the number with the top bit left out.
        for words in
            [[u64::MAX; 4], [1, 2, 3, 4], [1 << 63, 1 << 63, 1 << 63, 1 << 63], [!1, 5, !9, u64::MAX >> 1]]
        {
            let read = rows_of(Field8::from_words(words.map(|word| splat(word))).limbs())[3];
            let number = U512::from(U256::from_limbs(words) << 1) >> 1;
            assert!(read.into_iter().all(|limb| limb <= LIMB_MASK));
            assert_eq!(number_of(read), number % modulus());
        }
    }

    #[test]
    fn lanes_are_chosen_and_words_are_read_one_by_one() {
        on_eight_lanes("lanes_are_chosen_and_words_are_read_one_by_one", check_lanes);
    }

    #[cfg(debug_assertions)]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_bound() {
        for limb in 0..5 {
            for lane in 0..LANES {
                let mut rows = [[FIELD_BOUND - 1; 5]; LANES];
                assert!(all_below(registers_of(rows), FIELD_BOUND));
                rows[lane][limb] += 1;
                assert!(!all_below(registers_of(rows), FIELD_BOUND));
            }
        }
        let made = std::panic::catch_unwind(|| Field8::from_limbs(registers_of([[FIELD_BOUND; 5]; LANES])));
        assert!(made.is_err(), "a limb too wide for IFMA became an operand");
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_limb_that_is_too_wide_does_not_become_an_operand() {
        on_eight_lanes("a_limb_that_is_too_wide_does_not_become_an_operand", check_bound);
    }
}
