//! Sums of many points times scalars: Pippenger's method, eight buckets side by side.
//!
//! Scalars are cut into windows of some bits, each a signed digit. For each window and each magnitude
//! of a digit there is a bucket: the sum of the points that have this digit there, with its sign. A
//! window is the sum of its buckets, each times its magnitude; windows are added from the highest
//! down, doubling in between.
//!
//! Windows are taken eight at a time. Which points go into which bucket is known before anything is
//! added, so the lists are sorted by length, and eight lists of about the same length are added up
//! side by side, in registers. Then buckets become windows, a window in each lane.
//!
//! Nothing here is secret: how long it takes depends on the scalars.

use super::Point;
use super::point::{Affine8, PointRow, Points8};
use super::registers::{LANES, from_lanes, prefetch, splat, to_narrow_lanes};
use std::arch::x86_64::*;

/// Bits that the windows cover at least: those of any scalar, one for the sign, and one more, so that a
/// carry into the last window never leaves it.
const COVERED_BITS: usize = 258;
/// The narrowest and the widest window that pay for some number of points.
const WINDOW_BITS_MIN: usize = 4;
const WINDOW_BITS_MAX: usize = 11;
/// Fewer points than this are summed: eight windows of them are counted in 32 bits.
const POINTS_MAX: usize = 1 << 28;
/// How many additions ahead a point is asked for: those of a large batch do not fit the nearest cache.
const PLACES_AHEAD: usize = 2;

/// Σ scalarᵢ·pointᵢ, the same in each lane; scalars are any numbers of 256 bits, little-endian.
///
/// # Panics
///
/// If there are not as many scalars as points, or 2²⁸ of them.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn sum(points: &[Point], scalars: &[[u8; 32]]) -> Points8 {
    sum_in_windows(points, scalars, window_bits(points.len()))
}

/// The width of windows that costs least for so many points, as measured.
fn window_bits(points: usize) -> usize {
    match points {
        0..64 => WINDOW_BITS_MIN,
        64..400 => 5,
        400..800 => 6,
        800..4_000 => 7,
        4_000..7_000 => 8,
        7_000..16_000 => 9,
        16_000..30_000 => 10,
        _ => WINDOW_BITS_MAX,
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn sum_in_windows(points: &[Point], scalars: &[[u8; 32]], bits: usize) -> Points8 {
    assert_eq!(points.len(), scalars.len(), "a scalar for each point");
    let windows = COVERED_BITS.div_ceil(bits);
    let scalars: Vec<Biased> = scalars.iter().map(|scalar| Biased::new(scalar, bits)).collect();
    let mut lists = Lists::new(bits);
    let mut buckets = vec![PointRow::EMPTY; LANES * buckets_of_window(bits)];
    let mut total = Points8::neutral();
    for first in (0..windows).step_by(LANES).rev() {
        lists.fill(&scalars, &Digits::new(first, bits));
        add_lists(points, &lists, &mut buckets);
        let sums = add_buckets(&buckets);
        for window in (first..windows.min(first + LANES)).rev() {
            for _ in 0..bits {
                total.double();
            }
            total.add(&sums.of_lane(window - first));
        }
    }
    total
}

/// A bucket for each magnitude of a digit but 0.
const fn buckets_of_window(bits: usize) -> usize {
    1 << (bits - 1)
}

/// A scalar plus half of what a window holds, for each window: so each digit less this half is signed,
/// and none carries into the next. As many words as a register.
#[repr(align(64))]
struct Biased([u64; LANES]);

impl Biased {
    fn new(scalar: &[u8; 32], bits: usize) -> Self {
        // The windows, rounded up to eights, end below bit 512. The last one that counts ends at bit 258
        // or later: of any 256 bits less than a quarter of what it holds lies in it, and with its half and
        // a carry from below it does not overflow. So windows after it have the digit 0.
        let mut sum = [0; LANES];
        for window in 0..COVERED_BITS.div_ceil(bits).next_multiple_of(LANES) {
            let bit = window * bits + bits - 1;
            sum[bit / 64] |= 1_u64 << (bit % 64);
        }
        let mut words = [0; LANES];
        for (word, bytes) in words.iter_mut().zip(scalar.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let mut carry = false;
        for (sum, word) in sum.iter_mut().zip(words) {
            (*sum, carry) = sum.carrying_add(word, carry);
        }
        Self(sum)
    }
}

/// Where the digits of eight windows lie in a scalar, and their buckets, a window in each lane.
struct Digits {
    /// The word in which the digit begins, and the next one.
    word: __m512i,
    next_word: __m512i,
    /// How far the first is shifted down, and the next one up; both are 64 at most.
    down: __m512i,
    up: __m512i,
    mask: __m512i,
    half: __m512i,
    /// The number of the bucket for magnitude 0, if there were one; and of the list for all of those.
    before_first_bucket: __m512i,
    no_bucket: __m512i,
}

/// Where a point goes in each of eight windows: the number of the bucket, times two; plus one if the
/// point is taken away.
type Places = [u32; LANES];

impl Digits {
    /// The windows from `first` on.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(first: usize, bits: usize) -> Self {
        let buckets = buckets_of_window(bits) as u64;
        let (mut word, mut down, mut before) = ([0; LANES], [0; LANES], [0; LANES]);
        for lane in 0..LANES {
            let bit = ((first + lane) * bits) as u64;
            (word[lane], down[lane]) = (bit / 64, bit % 64);
            before[lane] = (lane as u64 * buckets).wrapping_sub(1);
        }
        Self {
            word: from_lanes(&word),
            next_word: from_lanes(&word.map(|word| word + 1)),
            down: from_lanes(&down),
            up: from_lanes(&down.map(|down| 64 - down)),
            mask: splat(2 * buckets - 1),
            half: splat(buckets),
            before_first_bucket: from_lanes(&before),
            no_bucket: splat(LANES as u64 * buckets),
        }
    }

    /// Where the point of `scalar` goes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn places(&self, scalar: &Biased) -> Places {
        let words = from_lanes(&scalar.0);
        let low = _mm512_srlv_epi64(_mm512_permutexvar_epi64(self.word, words), self.down);
        let high = _mm512_sllv_epi64(_mm512_permutexvar_epi64(self.next_word, words), self.up);
        let digit = _mm512_and_si512(_mm512_or_si512(low, high), self.mask);
        let signed = _mm512_sub_epi64(digit, self.half);
        let bucket = _mm512_add_epi64(self.before_first_bucket, _mm512_abs_epi64(signed));
        let is_zero = _mm512_testn_epi64_mask(signed, signed);
        let bucket = _mm512_mask_mov_epi64(bucket, is_zero, self.no_bucket);
        let sign = _mm512_srli_epi64::<63>(signed);
        to_narrow_lanes(_mm512_or_si512(_mm512_add_epi64(bucket, bucket), sign))
    }
}

/// Which points go into each bucket of eight windows.
struct Lists {
    /// The places of all points.
    places: Vec<Places>,
    /// Where the list of each bucket begins in `entries`; then where that of no bucket does, for the
    /// digits that are 0; then where they end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
    /// The length of each list and its bucket, the longest first.
    by_length: Vec<(u32, u32)>,
}

/// The number of a point, times two; plus one if the point is taken away.
#[derive(Clone, Copy)]
struct Entry(u32);

impl Lists {
    fn new(bits: usize) -> Self {
        let lists = LANES * buckets_of_window(bits) + 1;
        Self { places: Vec::new(), starts: vec![0; lists + 1], entries: Vec::new(), by_length: Vec::new() }
    }

    /// Sorts the points into lists by their digits, by counting.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn fill(&mut self, scalars: &[Biased], digits: &Digits) {
        assert!(scalars.len() < POINTS_MAX, "an entry has 28 bits for the number of a point");
        self.places.clear();
        for scalar in scalars {
            self.places.push(digits.places(scalar));
        }
        self.starts.fill(0);
        for place in self.places.as_flattened() {
            self.starts[(place >> 1) as usize] += 1;
        }
        self.by_length.clear();
        let mut end = 0;
        for (bucket, start) in (0_u32..).zip(&mut self.starts) {
            self.by_length.push((*start, bucket));
            end += *start;
            *start = end;
        }
        // The last two are no buckets.
        self.by_length.truncate(self.starts.len() - 2);
        self.by_length.sort_unstable_by(|a, b| b.cmp(a));
        // Each start lies at the end of its list now, and goes down with every entry.
        self.entries.resize(end as usize, Entry(0));
        for (number, places) in (0_u32..).zip(&self.places) {
            for place in places {
                let start = &mut self.starts[(place >> 1) as usize];
                *start -= 1;
                self.entries[*start as usize] = Entry(number << 1 | place & 1);
            }
        }
    }

    fn of_bucket(&self, bucket: u32) -> &[Entry] {
        let bucket = bucket as usize;
        &self.entries[self.starts[bucket] as usize..self.starts[bucket + 1] as usize]
    }
}

/// Adds up the list of each bucket, eight lists at a time.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_lists(points: &[Point], lists: &Lists, buckets: &mut [PointRow]) {
    for eight in lists.by_length.as_chunks::<LANES>().0 {
        let side_by_side = eight.map(|(_, bucket)| lists.of_bucket(bucket));
        let (longest, _) = eight[0];
        let (affine, negative) = load_entries(points, &side_by_side, 0);
        let mut sum = affine.to_points(negative);
        for place in 1..longest as usize {
            let (affine, negative) = load_entries(points, &side_by_side, place);
            prefetch_entries(points, &side_by_side, place + PLACES_AHEAD);
            sum.add_affine(&affine, negative);
        }
        for ((_, bucket), row) in eight.iter().zip(sum.store()) {
            buckets[*bucket as usize] = row;
        }
    }
}

/// The points at one place of eight lists, and which are taken away; the neutral one where a list is
/// shorter.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn load_entries(points: &[Point], lists: &[&[Entry]; LANES], place: usize) -> (Affine8, __mmask8) {
    let mut rows = [&Point::NEUTRAL; LANES];
    let mut negative = 0;
    for (lane, list) in lists.iter().enumerate() {
        if let Some(Entry(entry)) = list.get(place) {
            rows[lane] = &points[(entry >> 1) as usize];
            negative |= u8::from(entry & 1 == 1) << lane;
        }
    }
    (Affine8::load(rows), negative)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn prefetch_entries(points: &[Point], lists: &[&[Entry]; LANES], place: usize) {
    for list in lists {
        if let Some(Entry(entry)) = list.get(place) {
            prefetch(&points[(entry >> 1) as usize]);
        }
    }
}

/// The sum of all buckets, each times its magnitude, of eight windows, a window in each lane.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_buckets(buckets: &[PointRow]) -> Points8 {
    let of_window = buckets.len() / LANES;
    // From the largest magnitude down, a bucket is in `above` as often as its magnitude is counted.
    let (mut above, mut total) = (Points8::neutral(), Points8::neutral());
    for magnitude in (0..of_window).rev() {
        let mut rows = [&buckets[magnitude]; LANES];
        for (lane, row) in rows.iter_mut().enumerate() {
            *row = &buckets[lane * of_window + magnitude];
        }
        above.add(&Points8::load(rows));
        total.add(&above);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::point::tests::{dalek_points, encode, ordinary_scalar};
    use crate::curve::{Ifma, on_eight_lanes};
    use curve25519_dalek::EdwardsPoint;
    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
    use curve25519_dalek::scalar::Scalar;
    use curve25519_dalek::traits::VartimeMultiscalarMul as _;

    /// The points in the form of both, and scalars of every kind for them.
    fn terms(count: usize) -> (Vec<Point>, Vec<EdwardsPoint>, Vec<Scalar>) {
        let special = dalek_points();
        let points: Vec<EdwardsPoint> =
            (0..count).map(|index| special[(index * 7 + count) % special.len()]).collect();
        let encodings: Vec<[u8; 32]> = points.iter().map(|point| point.compress().to_bytes()).collect();
        let ifma = Ifma::detect().expect("the caller asked");
        let ours = ifma.decode(&encodings.iter().collect::<Vec<_>>()).unwrap();
        let scalars = (0..count).map(|index| match (index * 11 + count) % 16 {
            0 => Scalar::ZERO,
            1 => Scalar::ONE,
            2 => -Scalar::ONE,
            3 => Scalar::from(u128::MAX),
            4..8 => {
                let bytes = ordinary_scalar(index as u64).to_bytes();
                Scalar::from(u128::from_le_bytes(*bytes.first_chunk().unwrap()))
            }
            _ => ordinary_scalar(index as u64),
        });
        (ours, points, scalars.collect())
    }

    fn bytes_of(scalars: &[Scalar]) -> Vec<[u8; 32]> {
        scalars.iter().map(Scalar::to_bytes).collect()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_sizes() {
        for count in (0..34).chain([63, 64, 65, 127, 200, 400, 601]) {
            let (points, theirs, scalars) = terms(count);
            let expected = EdwardsPoint::vartime_multiscalar_mul(&scalars, &theirs).compress().to_bytes();
            assert_eq!(encode(sum(&points, &bytes_of(&scalars))), [expected; LANES], "{count} points");
        }
    }

    #[test]
    fn sums_of_any_size_are_those_of_the_library() {
        on_eight_lanes("sums_of_any_size_are_those_of_the_library", check_sizes);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_windows() {
        let (points, theirs, scalars) = terms(50);
        let expected = EdwardsPoint::vartime_multiscalar_mul(&scalars, &theirs).compress().to_bytes();
        for bits in WINDOW_BITS_MIN..=WINDOW_BITS_MAX {
            assert_eq!(
                encode(sum_in_windows(&points, &bytes_of(&scalars), bits)),
                [expected; LANES],
                "{bits} bits"
            );
        }
    }

    #[test]
    fn windows_of_any_width_give_the_same_sum() {
        on_eight_lanes("windows_of_any_width_give_the_same_sum", check_windows);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_one_bucket() {
        // All in one list, which no sorting makes even; and the widest numbers there are.
        let (points, theirs, _) = terms(40);
        let total = theirs.iter().sum::<EdwardsPoint>();
        for bits in WINDOW_BITS_MIN..=WINDOW_BITS_MAX {
            let of = |scalar: [u8; 32]| [scalar; 40];
            let mut two = [0; 32];
            two[0] = 2;
            assert_eq!(
                encode(sum_in_windows(&points, &of(two), bits))[0],
                (total + total).compress().to_bytes()
            );
            // 2²⁵⁶ − 1: doubled 255 times and added each time.
            let widest = (0..256).fold(EdwardsPoint::default(), |sum, _| sum + sum + total);
            assert_eq!(
                encode(sum_in_windows(&points, &of([0xff; 32]), bits))[0],
                widest.compress().to_bytes()
            );
        }
    }

    #[test]
    fn one_crowded_bucket_and_the_widest_scalars_are_summed_right() {
        on_eight_lanes("one_crowded_bucket_and_the_widest_scalars_are_summed_right", check_one_bucket);
    }

    /// Scalars whose digits are all alike, of windows of so many bits, and others at the ends of their range;
    /// none is reduced, and carries run through all windows of some.
    fn hostile_scalars(bits: usize) -> Vec<[u8; 32]> {
        let of_digits = |first: u64, digit: u64| {
            let mut scalar = [0_u8; 32];
            for bit in 0..256 {
                let window = if bit / bits == 0 { first } else { digit };
                scalar[bit / 8] |= u8::try_from(window >> (bit % bits) & 1).unwrap() << (bit % 8);
            }
            scalar
        };
        let half = 1_u64 << (bits - 1);
        let mut scalars = vec![
            of_digits(0, 0),
            of_digits(1, 0),
            // The smallest and the largest digit, and those beside them.
            of_digits(half, half),
            of_digits(half - 1, half - 1),
            of_digits(half + 1, half + 1),
            of_digits(2 * half - 1, 2 * half - 1),
            of_digits(1, 1),
            // A carry out of the first window, and whether it runs on.
            of_digits(half, half - 1),
            of_digits(half, 2 * half - 1),
            of_digits(half - 1, half),
        ];
        // ℓ − 1, (ℓ − 1) / 2 and its neighbour; 2¹²⁸ − 1, 2¹²⁷, 2²⁵⁵.
        let two = Scalar::from(2_u8);
        scalars.extend([-Scalar::ONE, -Scalar::ONE * two.invert(), two.invert()].map(|s| s.to_bytes()));
        scalars.push(Scalar::from(u128::MAX).to_bytes());
        scalars.push(Scalar::from(1_u128 << 127).to_bytes());
        let mut top = [0; 32];
        top[31] = 0x80;
        scalars.push(top);
        scalars
    }

    /// scalar·point for any 256 bits, doubling and adding: points of small order know no reduction.
    fn times(point: EdwardsPoint, scalar: &[u8; 32]) -> EdwardsPoint {
        (0..256).rev().fold(EdwardsPoint::default(), |sum, bit| {
            let sum = sum + sum;
            if scalar[bit / 8] >> (bit % 8) & 1 == 1 { sum + point } else { sum }
        })
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_hostile() {
        let special = dalek_points();
        // Equal points, opposite ones and those of small order meet in the same bucket.
        let theirs: Vec<EdwardsPoint> =
            [0, 1, 9, 9, 10, 4, 9, 10, 10, 11, 1, 25].map(|index| special[index]).to_vec();
        let encodings: Vec<[u8; 32]> = theirs.iter().map(|point| point.compress().to_bytes()).collect();
        let ifma = Ifma::detect().expect("the caller asked");
        let ours = ifma.decode(&encodings.iter().collect::<Vec<_>>()).unwrap();
        for bits in WINDOW_BITS_MIN..=WINDOW_BITS_MAX {
            let scalars = hostile_scalars(bits);
            for scalar in &scalars {
                let expected = theirs.iter().map(|point| times(*point, scalar)).sum::<EdwardsPoint>();
                let sum = sum_in_windows(&ours, &vec![*scalar; ours.len()], bits);
                assert_eq!(encode(sum)[0], expected.compress().to_bytes(), "{bits} bits, {scalar:x?}");
            }
            for turn in 0..scalars.len() {
                let mixed: Vec<[u8; 32]> =
                    (0..ours.len()).map(|index| scalars[(index * 5 + turn) % scalars.len()]).collect();
                let products = theirs.iter().zip(&mixed).map(|(point, scalar)| times(*point, scalar));
                let expected = products.sum::<EdwardsPoint>();
                let sum = sum_in_windows(&ours, &mixed, bits);
                assert_eq!(encode(sum)[0], expected.compress().to_bytes(), "{bits} bits, turn {turn}");
            }
        }
    }

    #[test]
    fn hostile_scalars_over_equal_opposite_and_small_points_are_summed_right() {
        on_eight_lanes(
            "hostile_scalars_over_equal_opposite_and_small_points_are_summed_right",
            check_hostile,
        );
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn check_thresholds() {
        // Multiples of the base point, so that what they add up to is known without adding.
        let multiples: Vec<Scalar> = (0..48).map(ordinary_scalar).collect();
        let encodings: Vec<[u8; 32]> =
            multiples.iter().map(|k| (ED25519_BASEPOINT_POINT * k).compress().to_bytes()).collect();
        let ifma = Ifma::detect().expect("the caller asked");
        let pool = ifma.decode(&encodings.iter().collect::<Vec<_>>()).unwrap();
        for count in [63, 64, 399, 400, 799, 800, 3_999, 4_000, 6_999, 7_000, 15_999, 16_000, 30_000] {
            let points: Vec<Point> = (0..count).map(|index| pool[index % pool.len()]).collect();
            let mut scalar = ordinary_scalar(count as u64);
            let scalars: Vec<Scalar> = (0..count)
                .map(|index| {
                    scalar *= multiples[1];
                    let low = *scalar.as_bytes().first_chunk().unwrap();
                    if index % 2 == 0 { Scalar::from(u128::from_le_bytes(low)) } else { scalar }
                })
                .collect();
            let total: Scalar =
                scalars.iter().enumerate().map(|(index, s)| s * multiples[index % multiples.len()]).sum();
            let expected = (ED25519_BASEPOINT_POINT * total).compress().to_bytes();
            assert_eq!(encode(sum(&points, &bytes_of(&scalars))), [expected; LANES], "{count} points");
        }
    }

    #[test]
    fn sums_on_both_sides_of_each_change_of_width_are_right() {
        on_eight_lanes("sums_on_both_sides_of_each_change_of_width_are_right", check_thresholds);
    }

    #[test]
    fn a_sum_of_small_order_cancels_and_no_other() {
        let Some(ifma) = Ifma::detect_or_say("a_sum_of_small_order_cancels_and_no_other") else { return };
        let scalar = ordinary_scalar(5);
        for torsion in curve25519_dalek::constants::EIGHT_TORSION {
            let points = [ED25519_BASEPOINT_POINT, -(ED25519_BASEPOINT_POINT * scalar) + torsion];
            let encodings = points.map(|point| point.compress().to_bytes());
            let points = ifma.decode(&encodings.each_ref()).unwrap();
            assert!(ifma.cancels(&points, &[scalar.to_bytes(), Scalar::ONE.to_bytes()]));
            assert!(!ifma.cancels(&points, &[(scalar + Scalar::ONE).to_bytes(), Scalar::ONE.to_bytes()]));
        }
        assert!(ifma.cancels(&[], &[]));
    }

    #[test]
    #[should_panic(expected = "a scalar for each point")]
    fn a_scalar_too_few_is_a_mistake_of_the_caller() {
        let Some(ifma) = Ifma::detect_or_say("a_scalar_too_few_is_a_mistake_of_the_caller") else {
            panic!("a scalar for each point");
        };
        ifma.cancels(&[Point::NEUTRAL], &[]);
    }
}
