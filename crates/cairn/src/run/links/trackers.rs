//! Asking trackers who else is there: a link to each that the operator named, made anew when it is time to ask
//! again.
//!
//! A peer answers once on a link who it knows (page 11 of the specification), so who asks again links again. The
//! tracker learns by the same that the node lives. Nothing else waits for a tracker: what it said, and what
//! other peers know, is kept when it is gone.

use super::Links;
use cairn_p2p::{Bye, ByeCode, DialFailure, LeaveReason, PeerAddress, PeerNumber, Roles};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The farewell of a node that links with a tracker anew, to ask again.
const AGAIN: ByeCode = ByeCode::Other(256);
/// The most trackers that an operator can name.
pub(super) const TRACKERS_MAX: usize = 8;
/// How long after an answer a tracker is asked again.
const ASK_TIME: Duration = Duration::from_secs(10 * 60);
/// The same for a node that has no other peer; twice as long after each further answer, up to [`ASK_TIME`].
const ASK_TIME_ALONE: Duration = Duration::from_secs(2);
/// How long after a first failure a tracker is dialled again; twice as long after each further one.
const RETRY_TIME: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const RETRY_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// How often it is looked what is due.
const LOOK_TIME: Duration = Duration::from_millis(500);

/// The trackers of a node.
#[derive(Debug)]
pub(super) struct Trackers(Mutex<BTreeMap<PeerAddress, Turn>>);

/// How asking one tracker goes.
#[derive(Debug)]
struct Turn {
    state: State,
    /// Failures to connect, in a row.
    failures: u32,
    /// Answers in a row that came while the node had no other peer.
    alone: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is dialled then.
    Waiting(Instant),
    Dialling,
    /// It was asked when the link began.
    Linked {
        peer: PeerNumber,
        since: Instant,
    },
}

/// What is to be done about a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Dial(PeerAddress),
    /// End this link, to make it anew.
    End(PeerNumber),
}

impl Turn {
    /// How long after an answer a node asks again that has other peers or none.
    fn pause(&self, has_peers: bool) -> Duration {
        if has_peers {
            return ASK_TIME;
        }
        ASK_TIME_ALONE.saturating_mul(1 << self.alone.min(16)).min(ASK_TIME)
    }

    fn fail(&mut self, now: Instant) {
        let pause = RETRY_TIME.saturating_mul(1 << self.failures.min(16)).min(RETRY_TIME_MAX);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(now + pause);
    }
}

impl Trackers {
    pub(super) fn new(addresses: impl Iterator<Item = PeerAddress>) -> Self {
        let now = Instant::now();
        let turn = || Turn { state: State::Waiting(now), failures: 0, alone: 0 };
        Self(Mutex::new(addresses.take(TRACKERS_MAX).map(|address| (address, turn())).collect()))
    }

    /// What is due now, for a node that has other peers or none.
    fn due(&self, has_peers: bool, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        for (address, turn) in self.lock().iter_mut() {
            if has_peers {
                turn.alone = 0;
            }
            match turn.state {
                State::Waiting(until) if until <= now => {
                    turn.state = State::Dialling;
                    steps.push(Step::Dial(address.clone()));
                }
                State::Linked { peer, since } if now.duration_since(since) >= turn.pause(has_peers) => {
                    turn.alone = if has_peers { 0 } else { turn.alone.saturating_add(1) };
                    // The old link is given time to end: two with one node cannot be.
                    turn.state = State::Waiting(now + RETRY_TIME);
                    steps.push(Step::End(peer));
                }
                State::Waiting(_) | State::Linked { .. } | State::Dialling => {}
            }
        }
        steps
    }

    /// There is a link to an address.
    pub(super) fn note_joined(&self, address: &PeerAddress, peer: PeerNumber) {
        if let Some(turn) = self.lock().get_mut(address) {
            turn.failures = 0;
            turn.state = State::Linked { peer, since: Instant::now() };
        }
    }

    /// Dialling an address has come to nothing, or could not be tried.
    pub(super) fn note_failed(&self, address: &PeerAddress, why: &DialFailure) {
        if let Some(turn) = self.lock().get_mut(address) {
            if turn.failures == 0 {
                tracing::warn!(tracker = %address, %why, "the tracker cannot be asked");
            }
            turn.fail(Instant::now());
        }
    }

    /// A link has ended.
    pub(super) fn note_left(&self, peer: PeerNumber, reason: &LeaveReason) {
        let now = Instant::now();
        let mut turns = self.lock();
        let is_meant = |turn: &&mut Turn| matches!(turn.state, State::Linked { peer: of, .. } if of == peer);
        let Some(turn) = turns.values_mut().find(is_meant) else { return };
        match (turn.state, reason) {
            // A tracker that makes room for others has answered and need not be asked before it is time.
            (State::Linked { since, .. }, LeaveReason::Theirs(bye)) if bye.code == ByeCode::Full => {
                turn.state = State::Waiting(since + ASK_TIME);
            }
            _ => turn.fail(now),
        }
    }

    fn put_back(&self, address: &PeerAddress) {
        if let Some(turn) = self.lock().get_mut(address) {
            turn.state = State::Waiting(Instant::now() + RETRY_TIME);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerAddress, Turn>> {
        // Nothing under the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// Asks trackers whenever it is time, until the network stops.
    pub(super) async fn keep_tracking(self) {
        if self.0.trackers.lock().is_empty() {
            return;
        }
        loop {
            let peers = self.0.network.peers();
            let has_peers = peers.iter().any(|peer| peer.hello.roles.contains(Roles::FULL));
            for step in self.0.trackers.due(has_peers, Instant::now()) {
                match step {
                    Step::Dial(address) => {
                        if self.0.network.dial(address.clone()).is_err() {
                            self.0.trackers.put_back(&address);
                        }
                    }
                    Step::End(peer) => self.0.network.disconnect(peer, Bye::new(AGAIN, "asks again")),
                }
            }
            tokio::time::sleep(LOOK_TIME).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> PeerAddress {
        "192.0.2.1:7760".parse().unwrap()
    }

    /// A tracker to which there is a link since `now`.
    fn linked(now: Instant) -> Trackers {
        let trackers = Trackers::new(std::iter::once(address()));
        trackers.lock().get_mut(&address()).unwrap().state =
            State::Linked { peer: PeerNumber(1), since: now };
        trackers
    }

    #[test]
    fn a_tracker_is_dialled_once_at_a_time() {
        let trackers = Trackers::new(std::iter::once(address()));
        let now = Instant::now();
        assert_eq!(trackers.due(true, now), [Step::Dial(address())]);
        assert_eq!(trackers.due(true, now + ASK_TIME), []);
    }

    #[test]
    fn it_is_asked_again_after_ten_minutes_on_a_new_link() {
        let now = Instant::now();
        let trackers = linked(now);
        assert_eq!(trackers.due(true, now + ASK_TIME / 2), []);
        assert_eq!(trackers.due(true, now + ASK_TIME), [Step::End(PeerNumber(1))]);
        assert_eq!(trackers.due(true, now + ASK_TIME), []);
        assert_eq!(trackers.due(true, now + ASK_TIME + RETRY_TIME), [Step::Dial(address())]);
    }

    #[test]
    fn a_node_without_other_peers_asks_sooner_and_then_less_and_less_often() {
        let start = Instant::now();
        let trackers = linked(start);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let mut waited = Duration::ZERO;
            while trackers.due(false, start + waited).is_empty() {
                waited += Duration::from_secs(1);
            }
            pauses.push(waited.as_secs());
            trackers.note_joined(&address(), PeerNumber(1));
            trackers.lock().get_mut(&address()).unwrap().state =
                State::Linked { peer: PeerNumber(1), since: start };
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
        assert_eq!(trackers.due(true, start + ASK_TIME / 2), []);
        assert_eq!(trackers.due(false, start + ASK_TIME_ALONE), [Step::End(PeerNumber(1))]);
    }

    #[test]
    fn one_that_is_gone_is_tried_again_and_one_that_made_room_is_left_alone() {
        let now = Instant::now();
        let gone = linked(now);
        gone.note_left(PeerNumber(1), &LeaveReason::Broken(std::io::ErrorKind::ConnectionReset));
        assert_eq!(gone.due(true, now + 2 * RETRY_TIME), [Step::Dial(address())]);
        gone.note_failed(&address(), &DialFailure::Closed);
        assert_eq!(gone.due(true, now + RETRY_TIME), [], "it takes longer the second time");
        let full = linked(now);
        full.note_left(PeerNumber(1), &LeaveReason::Theirs(Bye::new(ByeCode::Full, "")));
        assert_eq!(full.due(true, now + ASK_TIME / 2), []);
        assert_eq!(full.due(true, now + ASK_TIME), [Step::Dial(address())]);
    }

    #[test]
    fn links_of_others_are_no_concern() {
        let now = Instant::now();
        let trackers = linked(now);
        trackers.note_left(PeerNumber(2), &LeaveReason::Failed);
        trackers.note_failed(&"192.0.2.2:1".parse().unwrap(), &DialFailure::Closed);
        assert_eq!(trackers.due(true, now + ASK_TIME / 2), []);
    }
}
