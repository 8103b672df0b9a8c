//! Points of edwards25519 decoded and summed eight at a time: most of what a batch of ed25519
//! signatures costs.
//!
//! A batch is one equation over many points. Libraries decode them one by one and add one pair at a
//! time; here eight points lie side by side in the registers of AVX-512, one in each lane, and IFMA
//! multiplies their limbs. [`Ifma`] exists only where the processor has these instructions; whoever
//! finds none takes a library.
//!
//! # Provided
//!
//! The same verdict as `curve25519-dalek` on every encoding, and the same sum for all points and
//! scalars, whatever is in the lanes beside: tests compare both. [`Ifma::cancels`] is the question
//! that the cofactored equation of ZIP-215 asks.
//!
//! # Not provided
//!
//! Constant time. Nothing here is for secrets: keys that sign stay with the libraries.

#![allow(unsafe_code, reason = "each use says why it is sound")]

#[cfg(target_arch = "x86_64")]
mod decode;
#[cfg(target_arch = "x86_64")]
mod field;
#[cfg(target_arch = "x86_64")]
mod point;
#[cfg(target_arch = "x86_64")]
mod registers;
#[cfg(target_arch = "x86_64")]
mod sum;

/// Words of a [`Point`]: three elements of five limbs, and one word of nothing, so that a point is two
/// registers.
const POINT_WORDS: usize = 16;

/// A point (x, y) of edwards25519 in the form in which it is added: y + x, y − x and 2·d·x·y.
///
/// Only [`Ifma::decode`] makes one. It takes 128 bytes, two lines of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only x86-64 has lanes for it"))]
pub struct Point([u64; POINT_WORDS]);

impl Point {
    /// The neutral point (0, 1).
    #[cfg(target_arch = "x86_64")]
    const NEUTRAL: Self = Self([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// The proof that this processor has AVX-512 F, DQ and IFMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ifma(Proof);

#[cfg(target_arch = "x86_64")]
type Proof = ();
/// There is none: other processors have no such instructions.
#[cfg(not(target_arch = "x86_64"))]
type Proof = std::convert::Infallible;

#[cfg(target_arch = "x86_64")]
impl Ifma {
    /// None where the processor has no such instructions.
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512ifma");
        found.then_some(Self(()))
    }

    /// The points of `encodings`, in their order, as ZIP-215 decodes them: y may be p or more, and an x
    /// of 0 may have a sign. None if one is no point.
    pub fn decode(self, encodings: &[&[u8; 32]]) -> Option<Vec<Point>> {
        // SAFETY: `self` is the proof that the processor has AVX-512 F, DQ and IFMA.
        unsafe { decode::decode_all(encodings) }
    }

    /// Whether 8·Σ scalarᵢ·pointᵢ is the neutral point. Scalars are any numbers of 256 bits,
    /// little-endian; many that are small cost less.
    ///
    /// # Panics
    ///
    /// If there are not as many scalars as points, or 2²⁸ of them.
    pub fn cancels(self, points: &[Point], scalars: &[[u8; 32]]) -> bool {
        // SAFETY: `self` is the proof that the processor has AVX-512 F, DQ and IFMA.
        unsafe { cancels(points, scalars) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Ifma {
    /// None: this processor has no such instructions.
    pub fn detect() -> Option<Self> {
        None
    }

    /// Never called: there is no `Ifma` on this processor.
    pub fn decode(self, _encodings: &[&[u8; 32]]) -> Option<Vec<Point>> {
        match self.0 {}
    }

    /// Never called: there is no `Ifma` on this processor.
    pub fn cancels(self, _points: &[Point], _scalars: &[[u8; 32]]) -> bool {
        match self.0 {}
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn cancels(points: &[Point], scalars: &[[u8; 32]]) -> bool {
    let mut sum = sum::sum(points, scalars);
    for _ in 0..3 {
        sum.double();
    }
    sum.is_neutral() == u8::MAX
}

#[cfg(all(test, target_arch = "x86_64"))]
impl Ifma {
    /// [`detect`](Self::detect), which says on the terminal that a test is left out where there is none.
    fn detect_or_say(test: &str) -> Option<Self> {
        let found = Self::detect();
        if found.is_none() {
            use std::io::Write as _;
            // Not by a macro, which the harness would keep to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: this processor has no AVX-512 IFMA");
        }
        found
    }
}

/// Runs a test of what only runs with these instructions.
#[cfg(all(test, target_arch = "x86_64"))]
fn on_eight_lanes(name: &str, test: unsafe fn()) {
    if Ifma::detect_or_say(name).is_some() {
        // SAFETY: the processor was asked, and the tests enable no other features.
        unsafe { test() }
    }
}
