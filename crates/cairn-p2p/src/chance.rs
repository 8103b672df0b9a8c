//! Chance that repeats for whoever knows the seed, and that nobody else can foretell.

use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher as _;

/// A row of numbers: SipHash-2-4 (Aumasson, Bernstein, 2012) of a counter, under a secret.
///
/// What others see of it, such as a choice of addresses, does not tell them what comes next.
#[derive(Clone)]
pub struct Chance {
    secret: [u8; 16],
    drawn: u64,
}

impl Chance {
    /// The row of this secret, from its beginning.
    pub fn new(secret: [u8; 16]) -> Self {
        Self { secret, drawn: 0 }
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(&self.drawn.to_le_bytes());
        self.drawn = self.drawn.wrapping_add(1);
        let scaled = (u128::from(hasher.finish()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).expect("the product of two u64, shifted by 64 bits, is one")
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let at = self.below(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.get(usize::try_from(at).ok()?)
    }

    /// Some of `items`, each as likely as another (Fisher and Yates).
    pub fn sample<T>(&mut self, mut items: Vec<T>, count: usize) -> Vec<T> {
        let count = count.min(items.len());
        for at in 0..count {
            let left = u64::try_from(items.len() - at).unwrap_or(u64::MAX);
            let other = usize::try_from(self.below(left)).map_or(at, |further| at + further);
            items.swap(at, other);
        }
        items.truncate(count);
        items
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chance({} drawn)", self.drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_secret_draws_the_same_numbers_within_their_bounds() {
        let row = |secret| {
            let mut chance = Chance::new([secret; 16]);
            (1..200).map(|bound| chance.below(bound)).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        assert!(row(3).iter().zip(1..).all(|(drawn, bound)| *drawn < bound));
        assert_eq!(Chance::new([1; 16]).below(0), 0);
    }

    #[test]
    fn a_sample_has_each_item_at_most_once_and_all_are_likely() {
        let mut chance = Chance::new([5; 16]);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let sample = chance.sample((0..20).collect(), 5);
            let different: BTreeSet<_> = sample.iter().copied().collect();
            assert_eq!((sample.len(), different.len()), (5, 5));
            seen.extend(different);
        }
        assert_eq!(seen.len(), 20);
        assert_eq!(chance.sample(vec![1, 2], 9).len(), 2);
        assert_eq!(chance.pick::<u8>(&[]), None);
    }
}
