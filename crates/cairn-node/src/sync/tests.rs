//! Floods: what is asked for and what waits stays within its bound, whatever peers claim.

use super::{
    AHEAD_BYTES_MAX, Action, BEGIN_TIME_MAX_MS, BLOCK_OVERHEAD_BYTES, BLOCKS_OF_PEER_MAX, HEADERS_ALONE_MS,
    HEADERS_TIME_MS, JOB_WEIGHT_MAX, JOBS_OF_PEER_MAX, PLAN_TIME_MS, Place, Sync, WINDOW_BLOCKS, Wanted,
};
use crate::chain::{BestHeader, PeerKey};
use crate::peers::{AskId, Offence, PeerInfo};
use crate::testing::{Bench, START};
use crate::wire::{BLOCKS_MAX, Message};
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::target::Work;

/// The block at a height of a chain that only headers are known of.
fn id(height: usize) -> BlockId {
    let mut bytes = [0xbb; 32];
    bytes[..8].copy_from_slice(&height.to_le_bytes());
    BlockId(bytes)
}

fn work(amount: usize) -> Work {
    Work::from_value(amount.try_into().unwrap())
}

/// Sync beside a chain of headers that ends at a height, whose blocks weigh the same, and the clock.
struct Ahead {
    sync: Sync,
    headers: usize,
    weight: u64,
    tip: usize,
    now: Timestamp,
}

impl Ahead {
    /// With peers that say they have all of the headers' chain.
    fn new(peers: u64, headers: usize, weight: u64) -> Self {
        let mut sync = Sync::default();
        for peer in 0..peers {
            sync.join(
                PeerKey(peer),
                &PeerInfo { height: Height(0), work: work(headers), is_outbound: false },
            );
        }
        Self { sync, headers, weight, tip: 0, now: START }
    }

    fn plan(&mut self) -> (Vec<Action>, Option<usize>) {
        let best = BestHeader { id: id(self.headers), height: Height(0), work: work(self.headers) };
        let place = Place { tip: id(self.tip), height: Height(0), best, has_room: true };
        let (mut actions, mut limit) = (Vec::new(), None);
        let wanted = |most| {
            limit = Some(most);
            let heights = self.tip + 1..=self.headers;
            let one = |height: usize| Wanted {
                id: id(height),
                parent: id(height - 1),
                weight: self.weight,
                work: work(height),
            };
            heights.take(most).map(one).collect()
        };
        self.sync.plan(&place, wanted, self.now, &mut actions);
        (actions, limit)
    }

    fn wait_ms(&mut self, milliseconds: u64) -> Vec<Action> {
        self.now = self.now.saturating_add_ms(milliseconds);
        self.plan().0
    }
}

/// The blocks of each request.
fn asks(actions: &[Action]) -> Vec<(PeerKey, AskId, usize)> {
    let asks = actions.iter().filter_map(|action| match action {
        Action::Ask(peer, ask, blocks) => Some((*peer, *ask, blocks.len())),
        _ => None,
    });
    asks.collect()
}

fn blocks_asked(actions: &[Action]) -> usize {
    asks(actions).iter().map(|(.., count)| count).sum()
}

#[test]
fn blocks_are_asked_for_in_a_window_above_the_chain() {
    let mut ahead = Ahead::new(60, 30_000, 1);
    let (actions, limit) = ahead.plan();
    assert_eq!((blocks_asked(&actions), limit), (WINDOW_BLOCKS, Some(WINDOW_BLOCKS)));
    assert!(asks(&actions).iter().all(|(.., count)| *count <= BLOCKS_MAX));
    // Not again while they are on their way.
    assert_eq!(blocks_asked(&ahead.plan().0), 0);
}

#[test]
fn a_plan_holds_for_a_moment_where_the_chain_stands_still() {
    let mut ahead = Ahead::new(60, 30_000, 1);
    let best = BestHeader { id: id(30_000), height: Height(0), work: work(30_000) };
    let place = Place { tip: id(0), height: Height(0), best, has_room: true };
    assert!(!ahead.sync.is_planned(&place, START));
    ahead.plan();
    assert!(ahead.sync.is_planned(&place, START.saturating_add_ms(PLAN_TIME_MS - 1)));
    assert!(!ahead.sync.is_planned(&place, START.saturating_add_ms(PLAN_TIME_MS)));
    assert!(!ahead.sync.is_planned(&Place { tip: id(1), ..place }, START));
}

#[test]
fn a_peer_has_two_jobs_and_a_job_a_bound_of_weight() {
    let mut ahead = Ahead::new(3, 30_000, 1024 * 1024);
    let (actions, _) = ahead.plan();
    let each = usize::try_from(JOB_WEIGHT_MAX / (1024 * 1024)).unwrap();
    assert!(asks(&actions).iter().all(|(.., count)| *count == each), "{:?}", asks(&actions));
    assert_eq!(asks(&actions).len(), 3 * JOBS_OF_PEER_MAX);
    // The block that fills a job may be heavier than what is left.
    let mut ahead = Ahead::new(1, 30_000, JOB_WEIGHT_MAX * 3 / 4);
    assert_eq!(asks(&ahead.plan().0).iter().map(|(.., count)| *count).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn what_is_on_its_way_has_a_bound_in_bytes_but_for_the_lowest_block() {
    let weight = 1024 * 1024;
    let mut ahead = Ahead::new(60, 30_000, weight);
    let (actions, _) = ahead.plan();
    let most = AHEAD_BYTES_MAX + JOB_WEIGHT_MAX + 4 * BLOCK_OVERHEAD_BYTES;
    assert!((AHEAD_BYTES_MAX..=most).contains(&ahead.sync.ahead_bytes), "{}", ahead.sync.ahead_bytes);
    let count = blocks_asked(&actions);
    let (actions, limit) = ahead.plan();
    assert_eq!((blocks_asked(&actions), limit), (0, Some(1)));
    // Where the peer of the lowest block goes, only that block is asked for again.
    ahead.sync.leave(PeerKey(0));
    let each = usize::try_from(JOB_WEIGHT_MAX / weight).unwrap();
    let (again, _) = ahead.plan();
    assert!((1..=2 * each).contains(&blocks_asked(&again)), "{:?}", asks(&again));
    // As many again as went with the peers that left, and no more.
    for peer in 1..60 {
        ahead.sync.leave(PeerKey(peer));
    }
    assert_eq!((ahead.sync.ahead_bytes, ahead.sync.jobs.len(), ahead.sync.on_the_way.len()), (0, 0, 0));
    assert!(count < 80);
}

#[test]
fn blocks_that_wait_count_until_they_are_taken_or_dropped() {
    let mut bench = Bench::easy();
    let blocks = bench.mine(6);
    let mut sync = Sync::default();
    for bytes in &blocks {
        let block = std::sync::Arc::new(bench.check(bytes).unwrap());
        // Twice is once.
        sync.keep_ready(PeerKey(1), block.clone());
        sync.keep_ready(PeerKey(2), block);
    }
    let bytes: usize = blocks.iter().map(|block| block.len()).sum();
    assert_eq!(sync.ahead_bytes, u64::try_from(bytes).unwrap() + 6 * BLOCK_OVERHEAD_BYTES);
    let first = bench.check(&blocks[0]).unwrap();
    let taken = sync.take_ready(&first.header().parent).unwrap();
    assert_eq!((taken.0, taken.1.id()), (PeerKey(1), first.id()));
    sync.retain_ready(|_| false);
    assert_eq!((sync.ahead_bytes, sync.ready.len(), sync.by_parent.len()), (0, 0, 0));
}

#[test]
fn bodies_that_are_never_sent_cost_ever_rarer_questions() {
    let mut ahead = Ahead::new(1, 200, 1);
    let mut strikes = 0;
    let mut questions = 0;
    for _ in 0..600 {
        let actions = ahead.wait_ms(1_000);
        questions += asks(&actions).len();
        strikes += actions.iter().filter(|it| matches!(it, Action::Strike(_, Offence::NoAnswer))).count();
        if actions.iter().any(|it| matches!(it, Action::Drop(_))) {
            break;
        }
    }
    assert!(questions <= 30 && strikes >= 3, "{questions} questions, {strikes} strikes");
    assert!(ahead.sync.peers[&PeerKey(0)].begin_time_ms() <= BEGIN_TIME_MAX_MS);
}

#[test]
fn a_crowd_that_claims_much_is_asked_one_at_a_time() {
    let mut sync = Sync::default();
    for peer in 0..200 {
        sync.join(
            PeerKey(peer),
            &PeerInfo { height: Height(u64::MAX), work: work(usize::MAX), is_outbound: false },
        );
    }
    let best = BestHeader { id: id(0), height: Height(0), work: work(1) };
    let place = Place { tip: id(0), height: Height(0), best, has_room: true };
    let mut now = START;
    let mut asked = 0;
    let mut struck = 0;
    // Nobody answers.
    for _ in 0..(HEADERS_TIME_MS / HEADERS_ALONE_MS) {
        let mut actions = Vec::new();
        sync.plan(&place, |_| Vec::new(), now, &mut actions);
        let questions = actions.iter().filter(|it| matches!(it, Action::AskHeaders(_))).count();
        assert_eq!(questions, 1);
        asked += questions;
        now = now.saturating_add_ms(HEADERS_ALONE_MS);
    }
    now = now.saturating_add_ms(HEADERS_TIME_MS);
    let mut actions = Vec::new();
    sync.plan(&place, |_| Vec::new(), now, &mut actions);
    struck += actions.iter().filter(|it| matches!(it, Action::Strike(_, Offence::NoAnswer))).count();
    assert_eq!((asked, struck), (10, 10));
    // Where there is no room for headers nobody is asked.
    let full = Place { has_room: false, ..place };
    let mut actions = Vec::new();
    sync.plan(&full, |_| Vec::new(), now.saturating_add_ms(HEADERS_ALONE_MS), &mut actions);
    assert!(actions.is_empty(), "{actions:?}");
}

#[test]
fn of_each_peer_so_many_blocks_are_remembered() {
    let mut ahead = Ahead::new(1, 10, 1);
    let ids: Vec<BlockId> = (0..BLOCKS_OF_PEER_MAX + 100).map(id).collect();
    for ids in ids.chunks(1_000) {
        ahead.sync.note_headers(PeerKey(0), ids, None, None, START, &mut Vec::new());
    }
    let peer = ahead.sync.peers.get_mut(&PeerKey(0)).unwrap();
    assert_eq!(peer.knows.len(), BLOCKS_OF_PEER_MAX);
    peer.note_lacking(&ids);
    assert_eq!(peer.lacks.len(), BLOCKS_OF_PEER_MAX);
}

#[test]
fn a_peer_that_goes_takes_its_block_in_short_along() {
    let mut ahead = Ahead::new(2, 1, 1);
    ahead.sync.note_headers(PeerKey(0), &[id(1)], Some((work(1), Height(1))), None, START, &mut Vec::new());
    let is_asked = |actions: &[Action]| {
        actions
            .iter()
            .any(|it| matches!(it, Action::Send(PeerKey(0), Message::GetCompact(block)) if *block == id(1)))
    };
    assert!(is_asked(&ahead.plan().0));
    ahead.sync.leave(PeerKey(0));
    assert!(ahead.sync.short.is_none());
    assert_eq!(asks(&ahead.plan().0).iter().map(|it| it.0).collect::<Vec<_>>(), [PeerKey(1)]);
}

#[test]
fn whoever_only_claims_is_asked_after_those_who_have_given_something() {
    let mut ahead = Ahead::new(26, 10, 1);
    let honest = PeerKey(25);
    ahead.sync.note_proven(honest);
    // Nothing is known of what they claim.
    let best = BestHeader { id: id(0), height: Height(0), work: Work::ZERO };
    let place = Place { tip: id(0), height: Height(0), best, has_room: true };
    let mut actions = Vec::new();
    ahead.sync.plan(&place, |_| Vec::new(), START, &mut actions);
    assert!(matches!(&actions[..], [Action::AskHeaders(peer)] if *peer == honest), "{actions:?}");
    // The same for blocks, whose headers are here.
    let (actions, _) = ahead.plan();
    assert_eq!(asks(&actions).first().map(|(peer, ..)| *peer), Some(honest));
}

#[test]
fn one_silence_is_one_failure_and_a_peer_that_wakes_up_is_asked_on() {
    let mut ahead = Ahead::new(1, 30_000, 1);
    let (actions, _) = ahead.plan();
    assert_eq!(asks(&actions).len(), JOBS_OF_PEER_MAX);
    // It is the only peer, and says nothing for some seconds.
    let mut struck = 0;
    for _ in 0..14 {
        let actions = ahead.wait_ms(500);
        struck += actions.iter().filter(|it| matches!(it, Action::Strike(..))).count();
        assert!(!actions.iter().any(|it| matches!(it, Action::Drop(_))), "its headers stay known");
    }
    assert_eq!(struck, 2, "after 2 seconds, and after 4 more");
    let asked = ahead.sync.jobs.len();
    assert!(asked > 0, "it is asked again");
}

#[test]
fn a_large_block_has_the_time_that_a_slow_line_takes() {
    let mut ahead = Ahead::new(8, 30_000, 1024 * 1024);
    assert_eq!(asks(&ahead.plan().0).len(), 8 * JOBS_OF_PEER_MAX);
    // Sixteen blocks come side by side at 20 megabits a second.
    let struck = |actions: &[Action]| actions.iter().any(|it| matches!(it, Action::Strike(..)));
    assert!(!struck(&ahead.wait_ms(7_000)));
    assert!(struck(&ahead.wait_ms(4_000)), "that much would come in ten seconds");
}
