//! What to believe of attempts to dial this node, and when to ask for the next one.

use crate::reachability::Reachability;
use std::net::SocketAddr;
use std::time::Duration;

/// After so many failures in a row the node takes itself to be unreachable: one node alone may lie, or fail.
const FAILURES_BELIEVED: u32 = 2;
/// How much longer it is until the next attempt once the node is sure.
const SURE_FACTOR: u32 = 30;

/// What the attempts so far have shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    reachability: Reachability,
    /// In a row.
    failures: u32,
}

impl Verdict {
    pub(crate) fn reachability(&self) -> Reachability {
        self.reachability
    }

    /// Somebody has tried to dial this node at `address`.
    pub(crate) fn note(&mut self, address: SocketAddr, is_reached: bool) {
        if is_reached {
            *self = Self { reachability: Reachability::Reachable(address), failures: 0 };
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_BELIEVED {
            self.reachability = Reachability::Unreachable(address);
        }
    }

    /// How long to wait before the next attempt, if it is `unsure` while nothing is known.
    pub(crate) fn pause(&self, unsure: Duration) -> Duration {
        let is_sure = match self.reachability {
            Reachability::Unknown => false,
            Reachability::Reachable(_) => self.failures == 0,
            Reachability::Unreachable(_) => true,
        };
        if is_sure { unsure.saturating_mul(SURE_FACTOR) } else { unsure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> SocketAddr {
        "192.0.2.1:7700".parse().unwrap()
    }

    #[test]
    fn one_success_is_proof_and_two_failures_in_a_row_are_believed() {
        const PAUSE_UNSURE: Duration = Duration::from_secs(30);
        const PAUSE_SURE: Duration = Duration::from_secs(15 * 60);
        let mut verdict = Verdict::default();
        assert_eq!(verdict.pause(PAUSE_UNSURE), PAUSE_UNSURE);
        verdict.note(at(), false);
        assert_eq!(
            (verdict.reachability(), verdict.pause(PAUSE_UNSURE)),
            (Reachability::Unknown, PAUSE_UNSURE)
        );
        verdict.note(at(), false);
        assert_eq!(
            (verdict.reachability(), verdict.pause(PAUSE_UNSURE)),
            (Reachability::Unreachable(at()), PAUSE_SURE)
        );
        verdict.note(at(), true);
        assert_eq!(
            (verdict.reachability(), verdict.pause(PAUSE_UNSURE)),
            (Reachability::Reachable(at()), PAUSE_SURE)
        );
        verdict.note(at(), false);
        // One who fails is asked about sooner, and is not believed alone.
        assert_eq!(
            (verdict.reachability(), verdict.pause(PAUSE_UNSURE)),
            (Reachability::Reachable(at()), PAUSE_UNSURE)
        );
        verdict.note(at(), false);
        assert_eq!(verdict.reachability(), Reachability::Unreachable(at()));
    }
}
