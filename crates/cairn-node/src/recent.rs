//! What was met last: a set with a bound, the oldest forgotten first.

use std::collections::{BTreeSet, VecDeque};

/// At most `limit` values, the oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    values: BTreeSet<T>,
    order: VecDeque<T>,
    limit: usize,
}

impl<T: Ord + Copy> Recent<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { values: BTreeSet::new(), order: VecDeque::new(), limit }
    }

    pub(crate) fn contains(&self, value: &T) -> bool {
        self.values.contains(value)
    }

    /// Adds a value; says whether it was not there.
    pub(crate) fn insert(&mut self, value: T) -> bool {
        if !self.values.insert(value) {
            return false;
        }
        self.order.push_back(value);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
        true
    }

    /// Forgets a value; says whether it was there.
    pub(crate) fn remove(&mut self, value: &T) -> bool {
        let was_there = self.values.remove(value);
        if was_there {
            self.order.retain(|known| known != value);
        }
        was_there
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.values.len(), self.order.len());
        self.values.len()
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_what_is_met_again_is_no_newer() {
        let mut recent = Recent::new(3);
        assert!((0..3).all(|value| recent.insert(value)));
        assert!(!recent.insert(0) && recent.insert(3));
        assert_eq!((0..4).filter(|value| recent.contains(value)).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
