//! With what the points of a batch are decoded and summed: with a library, or eight side by side.

use super::ed25519::Equation;
use super::keys::{KeyCache, KeyPoints, Known};
use cairn_hash::curve::Ifma;
use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::{ED25519_BASEPOINT_COMPRESSED, ED25519_BASEPOINT_POINT};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use std::fmt;

/// From how many signatures on points side by side are faster: eight lanes cost the same however few of
/// them are used, as much as nine signatures do with the library.
const SIDE_BY_SIDE_MIN: usize = 12;

/// A way to decode and sum points that this processor has. All of them give the same verdict on every
/// batch, so which one it is decides how fast a batch is verified and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arithmetic(Points);

/// Whose points they are, with the proof that the processor can make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Points {
    Ifma(Ifma),
    Library,
}

impl Arithmetic {
    /// That of `curve25519-dalek`, for every processor: one point after the other.
    pub const LIBRARY: Self = Self(Points::Library);

    /// Those of this processor, the fastest first; [`LIBRARY`](Self::LIBRARY) is the last.
    pub fn available() -> Vec<Self> {
        let eight = Ifma::detect().map(Points::Ifma).map(Self);
        eight.into_iter().chain([Self::LIBRARY]).collect()
    }

    /// The fastest of this processor for large batches; the processor is asked once.
    pub fn best() -> Self {
        Ifma::detect().map_or(Self::LIBRARY, |ifma| Self(Points::Ifma(ifma)))
    }

    /// The fastest of this processor for a batch of so many signatures.
    pub(super) fn best_for(signatures: usize) -> Self {
        if signatures < SIDE_BY_SIDE_MIN { Self::LIBRARY } else { Self::best() }
    }

    /// A short name, for figures.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Points::Ifma(_) => "avx512-ifma",
            Points::Library => "curve25519-dalek",
        }
    }

    /// A cache for about so many points of this kind.
    pub(super) fn cache(self, keys_max: usize) -> KeyCache {
        match self.0 {
            Points::Ifma(_) => KeyCache(Known::Ifma(KeyPoints::new(keys_max))),
            Points::Library => KeyCache(Known::Library(KeyPoints::new(keys_max))),
        }
    }

    /// Whether `equation` holds, with points that `cache` knows, and others that are added to it if so;
    /// a cache of points of another kind is of no use. None if a key or an R is no point.
    pub(super) fn holds(self, equation: &Equation<'_>, cache: Option<&KeyCache>) -> Option<bool> {
        match self.0 {
            Points::Ifma(ifma) => holds_side_by_side(ifma, equation, cache),
            Points::Library => holds_by_library(equation, cache),
        }
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn holds_by_library(equation: &Equation<'_>, cache: Option<&KeyCache>) -> Option<bool> {
    let cache = match cache {
        Some(KeyCache(Known::Library(points))) => Some(points),
        _ => None,
    };
    let known = cache.map_or_else(|| vec![None; equation.keys.len()], |cache| cache.find(&equation.keys));
    let decode = |encoding: &[u8; 32]| CompressedEdwardsY(*encoding).decompress();
    let key_points: Option<Vec<EdwardsPoint>> =
        known.into_iter().zip(&equation.keys).map(|(point, key)| point.or_else(|| decode(key))).collect();
    let key_points = key_points?;
    let scalars = [&equation.of_base].into_iter().chain(&equation.of_keys).chain(&equation.of_nonces);
    let points = [Some(ED25519_BASEPOINT_POINT)]
        .into_iter()
        .chain(key_points.iter().copied().map(Some))
        .chain(equation.nonces.iter().map(|nonce| decode(nonce)));
    let holds = EdwardsPoint::optional_multiscalar_mul(scalars, points)?.mul_by_cofactor().is_identity();
    if let Some(cache) = cache
        && holds
    {
        cache.add(&equation.keys, &key_points);
    }
    Some(holds)
}

fn holds_side_by_side(ifma: Ifma, equation: &Equation<'_>, cache: Option<&KeyCache>) -> Option<bool> {
    let cache = match cache {
        Some(KeyCache(Known::Ifma(points))) => Some(points),
        _ => None,
    };
    // All that must be decoded is decoded in one go: the keys nobody knows, the base point and each R.
    let mut encodings: Vec<&[u8; 32]> = Vec::with_capacity(equation.keys.len() + equation.nonces.len() + 1);
    let mut scalars: Vec<[u8; 32]> = Vec::with_capacity(encodings.capacity());
    let (mut known_points, mut known_scalars) = (Vec::new(), Vec::new());
    let known = cache.map_or_else(|| vec![None; equation.keys.len()], |cache| cache.find(&equation.keys));
    for ((point, key), scalar) in known.into_iter().zip(&equation.keys).zip(&equation.of_keys) {
        if let Some(point) = point {
            known_points.push(point);
            known_scalars.push(scalar.to_bytes());
        } else {
            encodings.push(key);
            scalars.push(scalar.to_bytes());
        }
    }
    let new_keys = encodings.clone();
    encodings.push(&ED25519_BASEPOINT_COMPRESSED.0);
    scalars.push(equation.of_base.to_bytes());
    encodings.extend(&equation.nonces);
    scalars.extend(equation.of_nonces.iter().map(Scalar::to_bytes));
    let mut points = ifma.decode(&encodings)?;
    points.extend(known_points);
    scalars.extend(known_scalars);
    let holds = ifma.cancels(&points, &scalars);
    if let Some(cache) = cache
        && holds
    {
        cache.add(&new_keys, &points[..new_keys.len()]);
    }
    Some(holds)
}
