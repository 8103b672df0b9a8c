//! Which accounts have changed since they were last written to disk.

use crate::account::{Account, AccountIndex};
use crate::hash::StatePath;

/// An account with a new value, as a store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedAccount {
    /// Its position in the order of creation.
    pub index: AccountIndex,
    /// Its path.
    pub path: StatePath,
    /// Its value now.
    pub account: Account,
}

/// A set of slots, one bit each: it is as small for a day of blocks as for one.
#[derive(Clone, Debug, Default)]
pub(super) struct ChangedSet {
    words: Vec<u64>,
}

impl ChangedSet {
    /// Adds a slot.
    pub(super) fn insert(&mut self, slot: u32) {
        let word = (slot / 64) as usize;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (slot % 64);
    }

    /// Empties the set and yields its slots below `len`, in order.
    pub(super) fn take(&mut self, len: u32) -> impl Iterator<Item = u32> + use<> {
        let words = std::mem::take(&mut self.words);
        let slots = (0u32..).step_by(64).zip(words).flat_map(|(first, word)| {
            let rest = |word: &u64| (*word != 0).then_some(word & word.wrapping_sub(1));
            let words = std::iter::successors(Some(word), rest).take_while(|word| *word != 0);
            words.map(move |word| first + word.trailing_zeros())
        });
        slots.take_while(move |slot| *slot < len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_added_is_taken_once_and_in_order(slots in prop::collection::btree_set(0u32..500, 0..80), len in 0u32..500) {
            let mut changed = ChangedSet::default();
            for slot in slots.iter().rev().chain(&slots) {
                changed.insert(*slot);
            }
            let taken: Vec<_> = changed.take(len).collect();
            prop_assert_eq!(taken, slots.range(..len).copied().collect::<Vec<_>>());
            prop_assert_eq!(changed.take(u32::MAX).count(), 0);
        }
    }
}
