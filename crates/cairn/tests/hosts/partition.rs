//! A partition after which one side leaves a hundred blocks, and a network without the node that introduced another.

use crate::host::{PATIENCE, Switch, skip};
use crate::support::genesis;
use std::time::{Duration, Instant};

/// How many blocks the losing side of a partition has made.
const DEPTH: u64 = 100;

#[test]
fn hosts_that_are_cut_off_and_killed_come_together_again() {
    let Some(switch) = Switch::new() else {
        return skip();
    };
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(8);
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let [mut a, mut b, mut c, mut d] = [1, 2, 3, 4].map(|number| switch.host(number, directory.path()));
    a.start(&file, None);
    b.start(&file, Some(&a));
    c.start(&file, Some(&b));
    // It knows C alone, and hears of the others from it.
    d.start(&file, Some(&c));
    a.mine(5);
    for host in [&b, &c, &d] {
        host.wait(|tip| tip["height"] == 5);
    }

    // Each side of a partition goes on; the shorter chain is left when they meet.
    switch.plug(&a, false);
    a.mine(DEPTH);
    b.mine(DEPTH + 3);
    for host in [&c, &d] {
        host.wait(|tip| tip["height"] == 5 + DEPTH + 3);
    }
    let winner = b.tip().unwrap()["id"].clone();
    assert_eq!(a.tip().unwrap()["height"], 5 + DEPTH);
    switch.plug(&a, true);
    a.wait(|tip| tip["id"] == winner);

    // Without the node that introduced it, the last one stays in the network; and one that was killed
    // catches up with what it has missed.
    let start = Instant::now();
    while d.get("/v1/peers").unwrap().as_array().unwrap().len() < 2 {
        assert!(start.elapsed() < PATIENCE, "host 4 hears of nobody");
        std::thread::sleep(Duration::from_millis(200));
    }
    c.kill();
    a.mine(7);
    d.wait(|tip| tip["height"] == 5 + DEPTH + 10);
    c.start(&file, None);
    let last = a.tip().unwrap()["id"].clone();
    for host in [&b, &c, &d] {
        host.wait(|tip| tip["id"] == last);
    }
}
