//! Remembers the points of public keys, so that they are decoded once.
//!
//! What is remembered follows from the key alone, so it decides how fast a signature is verified,
//! never whether it is valid.

use super::arithmetic::Arithmetic;
use cairn_hash::curve;
use curve25519_dalek::EdwardsPoint;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// How many keys a cache holds that nobody sized: 26 MB of them.
const KEYS_MAX_DEFAULT: usize = 131_072;
/// Keys whose places begin alike compete for this many places.
const SET_KEYS: usize = 4;

/// The points of keys that signed something valid, up to a number of keys.
///
/// Threads may share it. Who is in it was in valid signatures; someone who makes keys that compete
/// for the same places only makes room among those.
pub struct KeyCache(pub(super) Known);

/// Points in the form of the arithmetic that uses them.
pub(super) enum Known {
    Library(KeyPoints<EdwardsPoint>),
    Ifma(KeyPoints<curve::Point>),
}

impl KeyCache {
    /// A cache for about `keys_max` keys, which takes 200 bytes for each that it holds.
    pub fn new(keys_max: usize) -> Self {
        Arithmetic::best().cache(keys_max)
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        match &self.0 {
            Known::Library(points) => points.len(),
            Known::Ifma(points) => points.len(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for KeyCache {
    /// A cache for 131,072 keys.
    fn default() -> Self {
        Self::new(KEYS_MAX_DEFAULT)
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").field("keys", &self.len()).finish()
    }
}

/// Keys that compete for the same places, the oldest first.
type Set<P> = Vec<(P, [u8; 32])>;

/// Keys and their points.
pub(super) struct KeyPoints<P> {
    /// As many as a power of two.
    sets: RwLock<Vec<Set<P>>>,
}

impl<P: Copy> KeyPoints<P> {
    /// Room for about `keys_max` keys.
    pub(super) fn new(keys_max: usize) -> Self {
        let sets = (keys_max / SET_KEYS).next_power_of_two();
        Self { sets: RwLock::new((0..sets).map(|_| Vec::new()).collect()) }
    }

    fn len(&self) -> usize {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).iter().map(Vec::len).sum()
    }

    /// The point of each key that is known.
    pub(super) fn find(&self, keys: &[&[u8; 32]]) -> Vec<Option<P>> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let find = |key: &&[u8; 32]| {
            let set = sets.get(place(key, sets.len()))?;
            set.iter().find(|(_, known)| known == *key).map(|(point, _)| *point)
        };
        keys.iter().map(find).collect()
    }

    /// Remembers the points of keys; each takes the place of the oldest where there is no room.
    pub(super) fn add(&self, keys: &[&[u8; 32]], points: &[P]) {
        let known = self.find(keys);
        if known.iter().all(Option::is_some) {
            return;
        }
        // Nothing under the lock can panic halfway through a change.
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        let count = sets.len();
        for ((key, point), _) in keys.iter().zip(points).zip(known).filter(|(_, known)| known.is_none()) {
            let Some(set) = sets.get_mut(place(key, count)) else { continue };
            // Another thread may have been faster.
            if set.iter().any(|(_, known)| known == *key) {
                continue;
            }
            if set.len() == SET_KEYS {
                set.remove(0);
            }
            set.push((*point, **key));
        }
    }
}

/// The set in which a key has its place, of so many that they are a power of two.
fn place(key: &[u8; 32], sets: usize) -> usize {
    let (head, _) = key.split_first_chunk().expect("32 bytes begin with 4");
    u32::from_le_bytes(*head) as usize & (sets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
    use curve25519_dalek::scalar::Scalar;

    fn points(numbers: std::ops::Range<u64>) -> (Vec<[u8; 32]>, Vec<EdwardsPoint>) {
        let points: Vec<_> = numbers.map(|n| ED25519_BASEPOINT_POINT * Scalar::from(n)).collect();
        (points.iter().map(|point| point.compress().to_bytes()).collect(), points)
    }

    #[test]
    fn a_point_is_found_under_its_own_key() {
        let cache = KeyPoints::new(1_000);
        let (keys, values) = points(1..50);
        let keys: Vec<_> = keys.iter().collect();
        cache.add(&keys[..30], &values[..30]);
        cache.add(&keys[..30], &values[..30]);
        assert_eq!(cache.len(), 30);
        let found = cache.find(&keys);
        for (place, (found, point)) in found.iter().zip(&values).enumerate() {
            assert_eq!(*found, (place < 30).then_some(*point));
        }
    }

    #[test]
    fn a_key_takes_no_more_than_is_said() {
        assert!(size_of::<(EdwardsPoint, [u8; 32])>() <= 200);
        assert!(size_of::<(curve::Point, [u8; 32])>() <= 200);
    }

    #[test]
    fn a_full_cache_forgets_the_oldest_and_never_grows() {
        let cache = KeyPoints::new(8);
        let (keys, values) = points(1..200);
        let keys: Vec<_> = keys.iter().collect();
        cache.add(&keys, &values);
        assert_eq!(cache.len(), 8);
        let last = keys.len() - 1;
        assert_eq!(cache.find(&keys[last..]), [Some(values[last])]);
        assert_eq!(cache.find(&keys[..1]), [None]);
    }
}
