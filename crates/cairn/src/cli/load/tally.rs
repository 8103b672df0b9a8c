//! What became of the transactions of a load: accepted, confirmed, refused, or none of these.

use crate::api::views::MempoolSize;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The most times to confirm that are kept; of more, the latest are.
const TIMES_MAX: usize = 1_000_000;

/// Counts while a load runs.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    /// What was sent and is in no block yet.
    waiting: HashMap<[u8; 32], Sent>,
    accepted: u64,
    accepted_at: Instant,
    confirmed: u64,
    confirmed_at: Instant,
    /// Times to confirm, in milliseconds; a ring once it is full.
    times_ms: Vec<u64>,
    /// Refusals by code, and requests without an answer by what happened.
    refused: BTreeMap<String, u64>,
    /// How many were refused for good.
    rejected: u64,
    /// Why the node took nothing when it was asked last; none if it took something.
    held_back: Option<String>,
}

/// A transaction that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// When it was sent first.
    at: Instant,
    /// Whether the node said that it has it.
    is_acknowledged: bool,
}

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was sent, and waited for.
    Complete,
    /// The user ended it.
    Interrupted,
    /// The node was gone.
    Broken,
}

/// What came of a load.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) accepted: u64,
    pub(super) accepted_per_second: u64,
    pub(super) confirmed: u64,
    pub(super) confirmed_per_second: u64,
    pub(super) p50_ms: u64,
    pub(super) p99_ms: u64,
    pub(super) max_ms: u64,
    pub(super) seconds: f64,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) never_confirmed: u64,
    /// How many the node had acknowledged when it was gone, and nobody saw in a block.
    pub(super) unknown_acknowledged: u64,
    /// How many got no answer before the node was gone.
    pub(super) unknown_unanswered: u64,
    /// How many were not sent at all, because the load ended before.
    pub(super) never_sent: u64,
    /// What waits at the end; none if nobody could say.
    pub(super) mempool: Option<MempoolSize>,
    /// Why not everything was confirmed, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Failure>,
}

/// Why a load failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
}

impl Tally {
    /// A tally whose clock starts now.
    pub(super) fn start() -> Self {
        let started = Instant::now();
        Self {
            started,
            waiting: HashMap::new(),
            accepted: 0,
            accepted_at: started,
            confirmed: 0,
            confirmed_at: started,
            times_ms: Vec::new(),
            refused: BTreeMap::new(),
            rejected: 0,
            held_back: None,
        }
    }

    /// These are on their way. What is sent again keeps its first time.
    pub(super) fn sent(&mut self, ids: &[[u8; 32]]) {
        let now = Instant::now();
        for id in ids {
            self.waiting.entry(*id).or_insert(Sent { at: now, is_acknowledged: false });
        }
    }

    /// The node answered for each of `ids`: nothing where it took it, else code and rule. Returns the
    /// places of those to send again: what it has no room for now.
    pub(super) fn answered(
        &mut self,
        ids: &[[u8; 32]],
        outcomes: &[Option<(String, Option<String>)>],
    ) -> Vec<usize> {
        let mut again = Vec::new();
        for (place, id) in ids.iter().enumerate() {
            match outcomes.get(place) {
                Some(None) => {
                    self.accepted_at = Instant::now();
                    self.accept(id);
                }
                // An answer that got lost on its way, and the second time the transaction was there already.
                Some(Some((code, _))) if code == "already-known" => self.accept(id),
                Some(Some((code, rule))) if is_for_now(code, rule.as_deref()) => {
                    self.held_back(code);
                    again.push(place);
                }
                Some(Some((code, _))) => self.refuse(id, code),
                None => self.refuse(id, "no answer"),
            }
        }
        again
    }

    fn accept(&mut self, id: &[u8; 32]) {
        self.accepted += 1;
        self.held_back = None;
        if let Some(sent) = self.waiting.get_mut(id) {
            sent.is_acknowledged = true;
        }
    }

    /// The node takes nothing for now, for the reason with this code.
    pub(super) fn held_back(&mut self, code: &str) {
        self.held_back = Some(code.to_owned());
    }

    /// Why the node took nothing when it was asked last.
    pub(super) fn last_held_back(&self) -> Option<&str> {
        self.held_back.as_deref()
    }

    /// Nobody knows what became of these, unless they show up in a block.
    pub(super) fn lost(&mut self, ids: &[[u8; 32]], why: &str) {
        *self.refused.entry(why.to_owned()).or_default() += ids.len() as u64;
    }

    fn refuse(&mut self, id: &[u8; 32], code: &str) {
        self.waiting.remove(id);
        self.rejected += 1;
        *self.refused.entry(code.to_owned()).or_default() += 1;
    }

    /// These are in a block. Returns how many of them are ours.
    pub(super) fn confirmed(&mut self, ids: impl Iterator<Item = [u8; 32]>) -> u64 {
        let now = Instant::now();
        let mut ours = 0;
        for id in ids {
            let Some(sent) = self.waiting.remove(&id) else { continue };
            ours += 1;
            let time = u64::try_from(now.duration_since(sent.at).as_millis()).unwrap_or(u64::MAX);
            if self.times_ms.len() < TIMES_MAX {
                self.times_ms.push(time);
            } else if let Some(oldest) =
                self.times_ms.get_mut(usize::try_from(self.confirmed + ours).unwrap_or(0) % TIMES_MAX)
            {
                *oldest = time;
            }
        }
        if ours > 0 {
            self.confirmed += ours;
            self.confirmed_at = now;
        }
        ours
    }

    /// How many were confirmed.
    pub(super) const fn confirmed_count(&self) -> u64 {
        self.confirmed
    }

    /// How many were sent at all, whatever became of them.
    pub(super) fn sent_count(&self) -> u64 {
        self.confirmed + self.rejected + self.waiting.len() as u64
    }

    /// How many were sent and are in no block.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// What came of it all. Of a load that was interrupted, what still waits is not held against the
    /// node; where the node was gone, nobody knows what became of it.
    pub(super) fn report(&self, end: End, mempool: Option<MempoolSize>) -> Report {
        let mut times = self.times_ms.clone();
        times.sort_unstable();
        let all = self.waiting.len() as u64;
        let acknowledged = self.waiting.values().filter(|sent| sent.is_acknowledged).count() as u64;
        let (waiting, unknown_acknowledged, unknown_unanswered) = match end {
            End::Complete => (all, 0, 0),
            End::Interrupted => (0, 0, 0),
            End::Broken => (0, acknowledged, all - acknowledged),
        };
        Report {
            accepted: self.accepted,
            accepted_per_second: per_second(self.accepted, self.accepted_at - self.started),
            confirmed: self.confirmed,
            confirmed_per_second: per_second(self.confirmed, self.confirmed_at - self.started),
            p50_ms: percentile(&times, 50),
            p99_ms: percentile(&times, 99),
            max_ms: times.last().copied().unwrap_or(0),
            seconds: (self.confirmed_at - self.started).as_secs_f64(),
            never_confirmed: waiting + self.rejected,
            unknown_acknowledged,
            unknown_unanswered,
            never_sent: 0,
            failure: None,
            refused: self.refused.clone(),
            mempool,
        }
    }
}

/// Whether the same transaction may be taken later: the refusal speaks of what waits now, or of a busy
/// node. What replaces too cheaply, expires too soon or is too heavy stays so.
fn is_for_now(code: &str, rule: Option<&str>) -> bool {
    let is_about_room = matches!(rule, Some("MEM-2" | "MEM-3" | "MEM-4" | "MEM-7" | "MEM-8"));
    is_about_room || matches!(code, "slow-down" | "not-ready" | "disk-full")
}

/// The least of the sorted numbers that so many percent of them do not exceed (nearest rank).
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn per_second(count: u64, time: Duration) -> u64 {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1000) / milliseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u8) -> Vec<[u8; 32]> {
        (0..count).map(|it| [it; 32]).collect()
    }

    #[test]
    fn what_is_confirmed_is_counted_once() {
        let mut tally = Tally::start();
        tally.sent(&ids(3));
        assert_eq!(tally.answered(&ids(3), &[None, None, None]), [0usize; 0]);
        assert_eq!(tally.confirmed(ids(2).into_iter()), 2);
        assert_eq!(tally.confirmed(ids(2).into_iter()), 0);
        let report = tally.report(End::Complete, None);
        assert_eq!((report.accepted, report.confirmed, report.never_confirmed), (3, 2, 1));
        assert_eq!(tally.report(End::Interrupted, None).never_confirmed, 0);
    }

    #[test]
    fn what_has_no_room_is_sent_again_and_what_breaks_a_rule_is_not() {
        let mut tally = Tally::start();
        tally.sent(&ids(3));
        let refusal = |code: &str, rule: Option<&str>| Some((code.to_owned(), rule.map(str::to_owned)));
        let outcomes =
            [refusal("sender-queue-full", Some("MEM-3")), refusal("wrong-signature", Some("TX-9")), None];
        assert_eq!(tally.answered(&ids(3), &outcomes), [0]);
        tally.confirmed([[2; 32]].into_iter());
        let report = tally.report(End::Complete, None);
        assert_eq!(report.refused, BTreeMap::from([("wrong-signature".to_owned(), 1)]));
        assert_eq!(tally.waiting_count(), 1);
    }

    #[test]
    fn of_the_rules_of_the_mempool_only_those_about_what_waits_now_are_worth_another_try() {
        for (number, again) in [(2, true), (3, true), (4, true), (5, false), (6, false), (7, true), (8, true)]
        {
            assert_eq!(is_for_now("refused", Some(&format!("MEM-{number}"))), again, "MEM-{number}");
        }
        for (code, rule) in [("transaction-too-heavy", "MEM-9"), ("wrong-signature", "TX-9")] {
            assert!(!is_for_now(code, Some(rule)), "{rule}");
        }
        assert!(is_for_now("slow-down", None) && !is_for_now("malformed-json", None));
    }

    #[test]
    fn of_a_node_that_is_gone_everything_is_counted_once() {
        let mut tally = Tally::start();
        tally.sent(&ids(5));
        tally.answered(&ids(3), &[None, None, None]);
        tally.confirmed([[0; 32]].into_iter());
        let report = tally.report(End::Broken, None);
        assert_eq!((report.accepted, report.confirmed, report.never_confirmed), (3, 1, 0));
        assert_eq!((report.unknown_acknowledged, report.unknown_unanswered), (2, 2));
        assert_eq!(tally.sent_count(), 5);
    }

    #[test]
    fn why_nothing_is_taken_is_known_until_something_is() {
        let mut tally = Tally::start();
        tally.sent(&ids(2));
        tally.held_back("disk-full");
        assert_eq!(tally.last_held_back(), Some("disk-full"));
        tally.answered(&ids(1), &[None]);
        assert_eq!(tally.last_held_back(), None);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&sorted, 50), 100);
        assert_eq!(percentile(&sorted, 99), 198);
        assert_eq!(percentile(&[7], 99), 7);
        assert_eq!(percentile(&[], 50), 0);
    }
}
