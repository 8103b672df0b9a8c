//! Work of several peers, done in turns: whoever brings much waits for himself.

use cairn_node::PeerKey;
use std::collections::{BTreeMap, VecDeque};

/// What waits, by whose it is. The pieces of one peer are done one after the other, in their order; peers take
/// turns.
#[derive(Debug)]
pub(super) struct Turns<T> {
    /// What each has waiting; nothing where all there was is in hand.
    waiting: BTreeMap<PeerKey, VecDeque<T>>,
    /// Whose turn it is next: all who have something waiting and nothing in hand.
    order: VecDeque<PeerKey>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Turns<T> {
    /// Adds a piece of work of `peer`.
    pub(super) fn push(&mut self, peer: PeerKey, work: T) {
        let waiting = self.waiting.entry(peer).or_insert_with(|| {
            self.order.push_back(peer);
            VecDeque::new()
        });
        waiting.push_back(work);
    }

    /// The next piece, which is in hand until [`finish`](Self::finish).
    pub(super) fn take(&mut self) -> Option<(PeerKey, T)> {
        let peer = self.order.pop_front()?;
        let work = self.waiting.get_mut(&peer)?.pop_front()?;
        Some((peer, work))
    }

    /// The next piece, where order does not matter: the same peer's others may be taken meanwhile.
    pub(super) fn take_unordered(&mut self) -> Option<(PeerKey, T)> {
        let (peer, work) = self.take()?;
        self.finish(peer);
        Some((peer, work))
    }

    /// The piece of `peer` that was in hand is done; says whether more of it waits.
    pub(super) fn finish(&mut self, peer: PeerKey) -> bool {
        let waits = self.waiting.get(&peer).is_some_and(|waiting| !waiting.is_empty());
        if waits {
            self.order.push_back(peer);
        } else {
            self.waiting.remove(&peer);
        }
        waits
    }

    /// Forgets what waits of `peer`, and returns it.
    pub(super) fn forget(&mut self, peer: PeerKey) -> VecDeque<T> {
        let is_in_hand = !self.order.contains(&peer);
        self.order.retain(|waiting| *waiting != peer);
        if is_in_hand {
            // Its entry goes when that is finished.
            self.waiting.get_mut(&peer).map(std::mem::take).unwrap_or_default()
        } else {
            self.waiting.remove(&peer).unwrap_or_default()
        }
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: PeerKey = PeerKey(1);
    const FEW: PeerKey = PeerKey(2);

    #[test]
    fn whoever_brings_much_waits_for_himself() {
        let mut turns = Turns::default();
        (0..5).for_each(|number| turns.push(MANY, number));
        assert_eq!(turns.take(), Some((MANY, 0)));
        assert_eq!(turns.take(), None, "the first is in hand, and the others come after it");
        turns.push(FEW, 100);
        assert!(turns.finish(MANY));
        assert_eq!(turns.take(), Some((FEW, 100)));
        assert_eq!(turns.take(), Some((MANY, 1)));
        assert!(!turns.finish(FEW));
        turns.push(FEW, 101);
        assert_eq!(turns.take(), Some((FEW, 101)));
        assert!(turns.finish(MANY));
        assert_eq!(turns.take(), Some((MANY, 2)));
    }

    #[test]
    fn where_order_does_not_matter_nothing_waits_for_what_is_in_hand() {
        let mut turns = Turns::default();
        (0..3).for_each(|number| turns.push(MANY, number));
        turns.push(FEW, 100);
        let taken: Vec<i32> = std::iter::from_fn(|| turns.take_unordered()).map(|(_, work)| work).collect();
        assert_eq!(taken, [0, 100, 1, 2]);
    }

    #[test]
    fn of_whoever_has_gone_nothing_waits() {
        let mut turns = Turns::default();
        (0..3).for_each(|number| turns.push(MANY, number));
        (0..3).for_each(|number| turns.push(FEW, number));
        assert_eq!(turns.take(), Some((MANY, 0)));
        assert_eq!(turns.forget(MANY), [1, 2]);
        assert_eq!(turns.forget(FEW), [0, 1, 2]);
        assert!(turns.take().is_none() && !turns.finish(MANY));
        assert!(turns.waiting.is_empty() && turns.order.is_empty());
        assert!(turns.forget(FEW).is_empty());
    }

    #[test]
    fn nothing_is_kept_of_whoever_has_nothing_waiting() {
        let mut turns = Turns::default();
        turns.push(MANY, 0);
        assert!(turns.take().is_some() && !turns.finish(MANY));
        assert!(turns.waiting.is_empty() && turns.order.is_empty());
    }
}
