//! Hosts that are killed, cut off, flap and hear without being heard, by chance that repeats: in the end there is one
//! tip, and nothing that any of them acknowledged is lost.
//!
//! Few rounds in every check; `CAIRN_HOSTS_ROUNDS` runs more.

use crate::host::{Host, PATIENCE, Switch, skip};
use crate::support::{Numbers, genesis, key, transfer};
use serde_json::Value;
use std::time::{Duration, Instant};

const SEED: u64 = 2026;
/// Transactions that each host takes in a round.
const TAKEN: u64 = 2;

/// What happens to a host in a round.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Its node is ended without warning.
    Killed,
    /// Its cable is out.
    CutOff,
    /// Its cable is out and in again and again.
    Flapping,
    /// What it says to two others is lost; it hears them.
    Unheard,
}

fn rounds() -> u64 {
    std::env::var("CAIRN_HOSTS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// The tips of all hosts, if they are one.
fn common_tip(hosts: &[Host]) -> Option<Value> {
    let mut tips = hosts.iter().map(|host| host.tip().map(|tip| tip["id"].clone()));
    let first = tips.next()??;
    tips.all(|tip| tip.as_ref() == Some(&first)).then_some(first)
}

/// Makes blocks now and then, which decide between branches that weigh the same, until all have one tip.
fn come_together(hosts: &[Host]) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        hosts[0].mine(1);
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            if common_tip(hosts).is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let tips: Vec<Option<Value>> = hosts.iter().map(Host::tip).collect();
    panic!("they stay apart: {tips:?}\n{}", hosts.iter().map(Host::log).collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn whatever_happens_to_hosts_they_end_at_one_tip_and_keep_what_they_acknowledged() {
    let Some(switch) = Switch::new() else {
        return skip();
    };
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(8);
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let mut hosts = [1, 2, 3, 4].map(|number| switch.host(number, directory.path()));
    for at in 0..hosts.len() {
        start(&mut hosts, at, &file);
    }
    let mut numbers = Numbers(SEED);
    let mut promised = Vec::new();
    for round in 0..rounds() {
        let at = usize::try_from(numbers.below(4)).unwrap();
        // Each kind comes in turn, and whom it meets is chance.
        let kinds = [Trouble::Killed, Trouble::CutOff, Trouble::Flapping, Trouble::Unheard];
        let trouble = kinds[usize::try_from(round % 4).unwrap()];
        println!("round {round}: host {} is {trouble:?}", hosts[at].number);
        match trouble {
            Trouble::Killed => hosts[at].kill(),
            Trouble::CutOff => switch.plug(&hosts[at], false),
            Trouble::Flapping => {}
            Trouble::Unheard => others(at).take(2).for_each(|other| hosts[at].shun(&hosts[other], true)),
        }
        for nonce in round * TAKEN..(round + 1) * TAKEN {
            for (place, host) in hosts.iter().enumerate() {
                if matches!(trouble, Trouble::Flapping) {
                    switch.plug(&hosts[at], place % 2 == 1);
                }
                // One that is dead takes its own when it is back.
                if !(matches!(trouble, Trouble::Killed) && place == at) {
                    promised.push(host.submit(&transfer(
                        &genesis,
                        &key(host.number),
                        nonce,
                        key(9).address(),
                        1,
                    )));
                    host.mine(numbers.below(3).max(1));
                }
            }
        }
        match trouble {
            Trouble::Killed => {
                start(&mut hosts, at, &file);
                let host = &hosts[at];
                for nonce in round * TAKEN..(round + 1) * TAKEN {
                    promised.push(host.submit(&transfer(
                        &genesis,
                        &key(host.number),
                        nonce,
                        key(9).address(),
                        1,
                    )));
                }
            }
            Trouble::CutOff | Trouble::Flapping => switch.plug(&hosts[at], true),
            Trouble::Unheard => others(at).take(2).for_each(|other| hosts[at].shun(&hosts[other], false)),
        }
    }
    come_together(&hosts);
    // Whatever is still known to one of them alone goes into a block of its own.
    for host in &hosts {
        host.mine(1);
        let tip = host.tip().unwrap()["id"].clone();
        hosts.iter().for_each(|other| other.wait(|found| found["id"] == tip));
    }
    let has_left = |host: &&Host| host.log().contains("chain reorganised");
    assert!(hosts.iter().any(|host| has_left(&host)), "there were branches");
    println!("PROVE hosts_rounds={} hosts_acknowledged={} seed={SEED}", rounds(), promised.len());
    for id in &promised {
        for host in &hosts {
            let found = host.get(&format!("/v1/transactions/{id}"));
            let is_confirmed = found.as_ref().is_some_and(|found| found["status"] == "confirmed");
            assert!(is_confirmed, "host {}: {id} is {found:?}", host.number);
        }
    }
}

fn others(at: usize) -> impl Iterator<Item = usize> {
    (0..4).filter(move |other| *other != at)
}

/// Starts the node of a host, which is told of the one before it.
fn start(hosts: &mut [Host; 4], at: usize, genesis: &std::path::Path) {
    let (below, rest) = hosts.split_at_mut(at);
    rest[0].start(genesis, below.last());
}
