//! Who must go where all places for others are nearly taken: else whoever came first could keep everybody out.
//!
//! As in Bitcoin Core since 0.12 (`SelectNodeToEvict`) the links are protected that an attacker can hardly
//! have many of: those of neighbourhoods that chance chooses, the quickest, the most useful, and half of
//! the rest for having been there longest. Of those that are left, the neighbourhood with the most links
//! loses its newest. Who wants to push others out has to be better than they are in one of these ways.

use crate::address::AddressGroup;
use crate::chance::Chance;
use crate::network::{Direction, PeerInfo, PeerNumber};
use std::collections::BTreeMap;

/// Links of different neighbourhoods that are protected.
const GROUPS_KEPT: usize = 4;
/// Links with the shortest answers to signs of life that are protected.
const QUICK_KEPT: usize = 8;
/// Links with the most good deeds, less strikes, that are protected.
const USEFUL_KEPT: usize = 8;

/// What matters here of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    number: PeerNumber,
    group: AddressGroup,
    since_ms: u64,
    ping_ms: u64,
    score: f64,
}

/// The link to be ended so that somebody else finds a place; none where all are worth keeping. Only links
/// that others dialled are ended, and none of a node that the operator trusts. The secret of the owner
/// decides which neighbourhoods are kept, so that nobody can choose to be in one of them.
pub fn choose_victim(peers: &[PeerInfo], secret: [u8; 16]) -> Option<PeerNumber> {
    let inbound = peers.iter().filter(|peer| peer.direction == Direction::Inbound && !peer.is_trusted);
    let candidates = inbound.map(|peer| Candidate {
        number: peer.number,
        group: AddressGroup::of(peer.remote.ip()),
        since_ms: peer.since_ms,
        ping_ms: peer.ping_ms.unwrap_or(u64::MAX),
        score: peer.score,
    });
    choose(candidates.collect(), secret)
}

fn choose(mut left: Vec<Candidate>, secret: [u8; 16]) -> Option<PeerNumber> {
    keep_groups(&mut left, secret);
    left.sort_by_key(|it| (it.ping_ms, it.number));
    keep_first(&mut left, QUICK_KEPT);
    left.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
    keep_first(&mut left, USEFUL_KEPT);
    left.sort_by_key(|it| (it.since_ms, it.number));
    let half = left.len().div_ceil(2);
    keep_first(&mut left, half);
    let mut counts: BTreeMap<AddressGroup, usize> = BTreeMap::new();
    for candidate in &left {
        *counts.entry(candidate.group).or_default() += 1;
    }
    let newest = left.iter().max_by_key(|it| (counts.get(&it.group), it.since_ms, it.number));
    newest.map(|it| it.number)
}

/// Protects the first `count`.
fn keep_first(left: &mut Vec<Candidate>, count: usize) {
    left.drain(..count.min(left.len()));
}

/// Protects the oldest link of each of some neighbourhoods, which the secret chooses.
fn keep_groups(left: &mut Vec<Candidate>, secret: [u8; 16]) {
    let mut groups: Vec<AddressGroup> = left.iter().map(|it| it.group).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in Chance::new(secret).sample(groups, GROUPS_KEPT) {
        let oldest = left.iter().filter(|it| it.group == group).min_by_key(|it| (it.since_ms, it.number));
        if let Some(number) = oldest.map(|it| it.number) {
            left.retain(|it| it.number != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 16] = [7; 16];

    fn group(text: &str) -> AddressGroup {
        AddressGroup::of(text.parse().unwrap())
    }

    fn link(number: u64, address: &str, since_ms: u64, ping_ms: u64, score: f64) -> Candidate {
        Candidate { number: PeerNumber(number), group: group(address), since_ms, ping_ms, score }
    }

    /// Honest links from all over the world, old and of some use.
    fn honest() -> Vec<Candidate> {
        (0..30).map(|at| link(at, &format!("{}.1.1.1", 20 + at), 1_000 + at, 50 + at, 1.0)).collect()
    }

    #[test]
    fn an_attacker_with_many_links_of_one_neighbourhood_pushes_out_himself() {
        let mut links = honest();
        links.extend((100..130).map(|at| link(at, "198.51.100.1", 9_000 + at, 60, 0.0)));
        for _ in 0..20 {
            let victim = choose(links.clone(), SECRET).unwrap();
            assert!(victim.0 >= 100, "{victim:?}");
            links.retain(|it| it.number != victim);
        }
    }

    #[test]
    fn the_quickest_the_most_useful_and_the_oldest_stay() {
        let mut links = honest();
        // All of them newer, slower and more idle than these three, in as many neighbourhoods.
        links.push(link(200, "200.1.1.1", 90_000, 1, -5.0));
        links.push(link(201, "201.1.1.1", 90_001, 9_000, 99.0));
        links.push(link(202, "202.1.1.1", 1, 9_000, -5.0));
        let mut kept = links.clone();
        while let Some(victim) = choose(kept.clone(), SECRET) {
            assert!(victim.0 < 200, "{victim:?}");
            kept.retain(|it| it.number != victim);
        }
        assert!(kept.len() >= QUICK_KEPT + USEFUL_KEPT);
    }

    #[test]
    fn where_few_are_there_nobody_has_to_go() {
        assert_eq!(choose(Vec::new(), SECRET), None);
        assert_eq!(choose(honest().into_iter().take(GROUPS_KEPT + QUICK_KEPT).collect(), SECRET), None);
    }
}
