//! The tracker that made a network of strangers dies: the network goes on, heals and grows without it.

use crate::host::{PATIENCE, Switch, address_of, skip};
use crate::support::{genesis, key, transfer};
use std::time::{Duration, Instant};

#[test]
fn a_network_goes_on_heals_and_grows_without_its_tracker() {
    let Some(switch) = Switch::new() else {
        return skip();
    };
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(8);
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let [mut a, mut b, mut c, mut late, mut tracker] =
        [1, 2, 3, 4, 5].map(|number| switch.host(number, directory.path()));
    let mut command = tracker.command();
    command.arg("tracker").arg("--genesis").arg(&file).arg("--data-dir").arg(tracker.home.join("data"));
    tracker.spawn(&mut command);

    // They know nobody but the tracker.
    let place = format!("{}:7760", address_of(tracker.number));
    for host in [&mut a, &mut b, &mut c] {
        host.start_with(&file, &["--tracker", &place]);
    }
    a.mine(2);
    for host in [&b, &c] {
        host.wait(|tip| tip["height"] == 2);
    }

    // Its host is gone at once, and what it was for is done: a partition heals without it.
    switch.plug(&tracker, false);
    tracker.kill();
    switch.plug(&a, false);
    let kept = a.submit(&transfer(&genesis, &key(1), 0, key(9).address(), 1));
    a.mine(3);
    b.mine(5);
    c.wait(|tip| tip["height"] == 7);
    switch.plug(&a, true);
    let winner = b.tip().unwrap()["id"].clone();
    a.wait(|tip| tip["id"] == winner);

    // The invite of a node leads a stranger to all of them.
    let own = format!("{}:7700", address_of(b.number));
    let invite = b.json(&["network", "invite", "--address", &own])["invite"].as_str().unwrap().to_owned();
    let mut command = late.command();
    command.args(["join", &invite, "--data-dir"]).arg(late.home.join("data"));
    late.spawn(&mut command);
    late.wait_ready();
    late.wait(|tip| tip["id"] == winner);
    let start = Instant::now();
    while late.get("/v1/peers").unwrap().as_array().unwrap().len() < 2 {
        assert!(start.elapsed() < PATIENCE, "the late one hears of nobody else: {}", late.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    // The payment that was confirmed on the side that lost is paid in the end.
    a.mine(1);
    let last = a.tip().unwrap()["id"].clone();
    for host in [&b, &c, &late] {
        host.wait(|tip| tip["id"] == last);
        let found = host.get(&format!("/v1/transactions/{kept}")).unwrap();
        assert_eq!(found["status"], "confirmed");
    }
}
