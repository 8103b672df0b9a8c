//! `cairn doctor` on machines that are well, and on some that are not.

use crate::home::{Home, contents};
use crate::support::PATIENCE;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Instant;

/// A devnet with some blocks, stopped or killed.
fn devnet(end: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let node = home.start(&["devnet", "--port-base", "0", "--nodes", "1", "--mine", "manual"]);
    home.shell("cairn send --from alice --to bob --amount 5; cairn mine --blocks 3");
    if end == "kill" {
        node.kill();
    } else {
        home.shell("cairn stop");
        node.wait();
    }
    let directory = home.path(".local/share/cairn/devnet/n0");
    (home, directory)
}

/// The finding of a check, after a diagnosis that ends with a status.
fn finding(home: &Home, check: &str, status: i32) -> Value {
    // Whoever holds ports 7700 and 7780 on the machine of the test is of no interest.
    std::fs::create_dir_all(home.path(".config/cairn")).unwrap();
    let ports = "api_bind = \"127.0.0.1:0\"\np2p_bind = \"127.0.0.1:0\"\n";
    std::fs::write(home.path(".config/cairn/cairn.toml"), ports).unwrap();
    let (diagnosis, found) = home.json(&["doctor"]);
    assert_eq!((found, &diagnosis["healthy"]), (status, &Value::Bool(status == 0)), "{diagnosis}");
    for finding in diagnosis["findings"].as_array().unwrap() {
        let grave = ["warning", "wrong"].contains(&finding["grade"].as_str().unwrap());
        assert!(!grave || !finding["help"].as_str().unwrap().is_empty(), "what to do? {finding}");
    }
    let mut all = diagnosis["findings"].as_array().unwrap().iter();
    all.find(|it| it["check"] == check).unwrap_or_else(|| panic!("{check}: {diagnosis}")).clone()
}

#[test]
fn a_machine_without_a_chain_is_looked_at() {
    let home = Home::new();
    let found = finding(&home, "chain", 0);
    assert_eq!(found["grade"], "unknown", "{found}");
    let text = home.shell("cairn doctor");
    assert!(text.contains("room") && text.contains("open files"), "{text}");
}

#[test]
fn a_running_node_is_asked() {
    let home = Home::new();
    let _node = home.start(&["devnet", "--port-base", "0", "--nodes", "1"]);
    assert_eq!(finding(&home, "node", 0)["grade"], "fine");
    assert_eq!(finding(&home, "newest block", 0)["grade"], "fine");
    assert_eq!(finding(&home, "token", 0)["grade"], "fine");
}

#[test]
fn a_running_node_that_keeps_nothing_is_asked_too() {
    let home = Home::new();
    let _node = home.start(&["devnet", "--ephemeral", "--port-base", "0"]);
    for check in ["node", "newest block", "token", "port"] {
        assert_eq!(finding(&home, check, 0)["grade"], "fine", "{check}");
    }
}

#[test]
fn a_running_node_says_whom_it_meets_and_how_its_clock_stands_to_theirs() {
    let home = Home::new();
    let _node = home.start(&["devnet", "--port-base", "0", "--nodes", "2"]);
    // They dial each other as soon as they run.
    let start = Instant::now();
    while home.json(&["peers"]).0.as_array().unwrap().is_empty() {
        assert!(start.elapsed() < PATIENCE, "they meet within a minute");
    }
    let found = finding(&home, "peers", 0);
    assert_eq!(found["grade"], "fine", "{found}");
    assert!(found["message"].as_str().unwrap().starts_with("1 node connected"), "{found}");
    for check in ["sync", "peer clocks", "node key"] {
        assert_eq!(finding(&home, check, 0)["grade"], "fine", "{check}");
    }
    // Bare `cairn` says how far they are.
    let told = home.shell("cairn");
    assert!(told.matches(": synced at height ").count() == 2, "{told}");
}

#[test]
fn nodes_that_are_named_and_not_there_are_told_with_what_to_do() {
    let (home, directory) = devnet("stop");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(directory.join("cairn.toml"), format!("peers = \"{nobody}\"\n")).unwrap();
    assert_eq!(finding(&home, "peer port", 0)["grade"], "fine");
    assert_eq!(finding(&home, "named nodes", 0)["grade"], "warning");
    let found = finding(&home, "not reached", 0);
    let told = found["message"].as_str().unwrap();
    assert!(told.contains(&nobody.to_string()) && told.contains("connection refused"), "{found}");

    let other = home.start(&["devnet", "--ephemeral", "--port-base", "0", "--nodes", "1"]);
    let there = other.ready["nodes"][0]["p2p"].as_str().unwrap();
    std::fs::write(directory.join("cairn.toml"), format!("trackers = \"{there}\"\n")).unwrap();
    let found = finding(&home, "not reached", 1);
    assert_eq!(found["grade"], "wrong", "{found}");
    assert!(found["message"].as_str().unwrap().contains("another network"), "{found}");
}

#[test]
fn an_address_book_that_cannot_be_read_is_a_warning_and_stays() {
    let (home, directory) = devnet("stop");
    let file = directory.join("addresses");
    std::fs::write(&file, "garbage").unwrap();
    let found = finding(&home, "addresses", 0);
    assert_eq!(found["grade"], "warning", "{found}");
    assert_eq!(std::fs::read(&file).unwrap(), b"garbage");
}

#[test]
fn a_stopped_and_a_killed_chain_are_well_and_stay_as_they_are() {
    for end in ["stop", "kill"] {
        let (home, directory) = devnet(end);
        let before = contents(&directory);
        let found = finding(&home, "chain", 0);
        assert_eq!(found["grade"], "fine", "{found}");
        assert!(found["message"].as_str().unwrap().contains("whole"), "{found}");
        assert!(contents(&directory) == before, "nothing is changed");
    }
}

#[test]
fn a_lost_database_is_a_warning_and_damaged_blocks_are_wrong() {
    let (home, directory) = devnet("stop");
    std::fs::remove_file(directory.join("state.redb")).unwrap();
    let found = finding(&home, "chain", 0);
    assert_eq!(found["grade"], "warning", "{found}");
    assert!(!directory.join("state.redb").exists(), "nothing is changed");

    let file = directory.join("blocks/blocks-000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[80] ^= 0xff;
    std::fs::write(&file, bytes).unwrap();
    let found = finding(&home, "chain", 1);
    assert_eq!(found["grade"], "wrong", "{found}");
    assert!(found["message"].as_str().unwrap().contains("blocks-000000.log"), "{found}");
}

#[test]
fn open_rights_and_a_clock_that_was_set_back_are_wrong() {
    let (home, directory) = devnet("stop");
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    let help = finding(&home, "data", 1)["help"].as_str().unwrap().to_owned();
    home.shell(&help);
    assert_eq!(finding(&home, "data", 0)["grade"], "fine");

    let blocks =
        std::fs::File::options().append(true).open(directory.join("blocks/blocks-000000.log")).unwrap();
    blocks.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(3600)).unwrap();
    let found = finding(&home, "clock", 1);
    assert!(found["message"].as_str().unwrap().contains("set back"), "{found}");
}
