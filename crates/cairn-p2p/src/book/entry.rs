//! What is known about one address.

use crate::address::AddressGroup;
use crate::key::NodeId;
use crate::message::Roles;

/// The likelihood of what has not failed, and the unit of the others.
pub(super) const LIKELY: u64 = 1_000;
/// Each failure makes an address two thirds as likely to be chosen, down to the eighth.
const LIKELIHOODS: [u64; 9] = [LIKELY, 660, 435, 287, 189, 125, 82, 54, 36];
/// Who was not heard of for so long is gone.
const HORIZON_S: u64 = 30 * 24 * 3_600;
/// Who never answered is given up after so many failures.
const STRANGER_FAILURES_MAX: u32 = 3;
/// Who answered once is given up after so many failures …
const FAILURES_MAX: u32 = 10;
/// … over so much time.
const FAILURES_S_MIN: u64 = 7 * 24 * 3_600;
/// What was dialled so lately is not judged.
const JUST_NOW_S: u64 = 60;
/// How long after a dial an address is dialled again; twice as long after each failure.
const RETRY_S: u64 = 10;
/// The longest such pause.
const RETRY_S_MAX: u64 = 3_600;

/// One address. Times are seconds since 1970, 0 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The group of whoever told of it first.
    pub(super) source: AddressGroup,
    pub(super) roles: Roles,
    /// Who was there when it was talked to last.
    pub(super) node: Option<NodeId>,
    pub(super) last_seen_s: u64,
    pub(super) last_try_s: u64,
    pub(super) last_success_s: u64,
    /// Failures since then.
    pub(super) attempts: u32,
    /// When a failure was counted last.
    pub(super) last_counted_s: u64,
    /// Not kept for the next run.
    pub(super) rests_until_s: u64,
    /// In which table it is.
    pub(super) is_tried: bool,
}

impl Entry {
    /// One that was only heard of.
    pub(super) fn heard(source: AddressGroup, roles: Roles, last_seen_s: u64) -> Self {
        Self {
            source,
            roles: roles.known(),
            node: None,
            last_seen_s,
            last_try_s: 0,
            last_success_s: 0,
            attempts: 0,
            last_counted_s: 0,
            rests_until_s: 0,
            is_tried: false,
        }
    }

    /// It was talked to.
    pub(super) fn succeed(&mut self, node: NodeId, roles: Roles, now_s: u64) {
        *self = Self {
            node: Some(node),
            roles: roles.known(),
            last_seen_s: now_s,
            last_try_s: now_s,
            last_success_s: now_s,
            attempts: 0,
            ..*self
        };
    }

    /// Whether this node itself has talked to a node there, in this run or an earlier one.
    pub(super) fn was_reached(&self) -> bool {
        self.last_success_s > 0
    }

    /// Whether it is not worth its place: `IsTerrible` of Bitcoin Core, `src/addrman.cpp`, but for times in the
    /// future, which are not taken in; those that are met come from a clock that went back.
    pub(super) fn is_terrible(&self, now_s: u64) -> bool {
        let ago = |then_s: u64| now_s.saturating_sub(then_s);
        if self.last_try_s > 0 && ago(self.last_try_s) <= JUST_NOW_S {
            return false;
        }
        ago(self.last_seen_s) > HORIZON_S
            || (self.last_success_s == 0 && self.attempts >= STRANGER_FAILURES_MAX)
            || (self.attempts >= FAILURES_MAX && ago(self.last_success_s) > FAILURES_S_MIN)
    }

    /// Whether it may be dialled now.
    pub(super) fn is_due(&self, now_s: u64) -> bool {
        let pause_s = RETRY_S.saturating_mul(1 << self.attempts.min(10)).min(RETRY_S_MAX);
        let is_rested = self.last_try_s > now_s || now_s - self.last_try_s >= pause_s;
        is_rested && self.rests_until_s <= now_s
    }

    /// How likely it is taken when it is drawn, of [`LIKELY`].
    pub(super) fn likelihood(&self) -> u64 {
        let failures = usize::try_from(self.attempts).unwrap_or(usize::MAX);
        LIKELIHOODS[failures.min(LIKELIHOODS.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 24 * 3_600;

    fn heard(last_seen_s: u64) -> Entry {
        Entry::heard(AddressGroup::V4([1, 2]), Roles::FULL, last_seen_s)
    }

    #[test]
    fn what_is_old_or_never_answers_is_terrible() {
        assert!(!heard(NOW).is_terrible(NOW));
        assert!(!heard(NOW - 30 * DAY).is_terrible(NOW));
        assert!(heard(NOW - 30 * DAY - 1).is_terrible(NOW));
        assert!(!heard(NOW).is_terrible(NOW - 900 * DAY), "a clock went back");
        let failed = Entry { attempts: 3, last_try_s: NOW - 61, ..heard(NOW) };
        assert!(failed.is_terrible(NOW));
        assert!(!Entry { attempts: 2, ..failed }.is_terrible(NOW));
        assert!(!Entry { last_try_s: NOW - 60, ..failed }.is_terrible(NOW), "it is being dialled");
    }

    #[test]
    fn who_answered_once_is_given_up_only_after_ten_failures_and_a_week() {
        let mut entry = heard(NOW);
        entry.succeed(NodeKey::from_seed([1; 32]).id(), Roles::FULL, NOW);
        entry.attempts = 10;
        assert!(!entry.is_terrible(NOW + 7 * DAY));
        assert!(entry.is_terrible(NOW + 7 * DAY + 1));
        assert!(!Entry { attempts: 9, ..entry }.is_terrible(NOW + 7 * DAY + 1));
    }

    #[test]
    fn pauses_between_dials_double_and_a_clock_that_goes_back_does_not_make_them_longer() {
        let entry = Entry { last_try_s: NOW, attempts: 2, ..heard(NOW) };
        assert!(!entry.is_due(NOW + 39) && entry.is_due(NOW + 40));
        assert!(entry.is_due(NOW - 1));
        let often = Entry { attempts: u32::MAX, ..entry };
        assert!(!often.is_due(NOW + 3_599) && often.is_due(NOW + 3_600));
        assert_eq!((heard(0).likelihood(), often.likelihood()), (LIKELY, 36));
        assert!(!Entry { rests_until_s: NOW + 41, ..entry }.is_due(NOW + 40));
    }
}
