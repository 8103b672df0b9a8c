//! A disk that fills up under the real program: new work is refused clearly, reads go on, and the
//! node goes on by itself once there is room.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use cairn_core::codec::Encode as _;
use support::{Connection, NodeProcess, PATIENCE, genesis, key, transfer};

const DISK_BYTES: u64 = 24 * 1024 * 1024;
const BALLAST_BYTES: u64 = 8 * 1024 * 1024;
/// Enough to start with, and too little for a block.
const START_BYTES: u64 = 512 * 1024;
/// Transfers with a good deal of data fill a small disk soon.
const BATCH: u64 = 100;

/// A small disk of its own, taken away in the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        mounted.ok()?.status.success().then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    for length in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![1; length]).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_new_work_and_recovers_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("small");
    let Some(disk) = SmallDisk::mount(&path) else {
        println!("skipped: a small disk needs the right to mount one (run as root)");
        return;
    };
    let genesis = genesis(4);
    let prefix = genesis.rules().prefix().clone();
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let ballast = path.join("ballast");
    std::fs::write(&ballast, vec![1; usize::try_from(BALLAST_BYTES).unwrap()]).unwrap();

    let data = path.join("data");
    let producer = key(0).address().to_text(&prefix);
    let mut node = NodeProcess::spawn(&file, &data, "on-transaction", &producer);
    node.wait_ready().unwrap();

    let mut connection = Connection::open(node.port).unwrap();
    let mut nonce = 0;
    let mut accepted: Vec<String> = Vec::new();
    let start = Instant::now();
    let refusal = loop {
        assert!(start.elapsed() < PATIENCE * 2, "the disk never filled up");
        let batch: Vec<u8> = (0..BATCH)
            .flat_map(|n| transfer(&genesis, &key(0), nonce + n, key(1).address(), 1).to_bytes())
            .collect();
        let answer = connection.post("/v1/transactions", &batch).unwrap();
        let results = answer.json();
        let full = if answer.status == 207 {
            for result in results.as_array().unwrap() {
                if result["status"] == "pending" {
                    accepted.push(result["id"].as_str().unwrap().to_owned());
                    nonce += 1;
                }
            }
            results.as_array().unwrap().iter().find(|result| result["error"]["code"] == "disk-full").cloned()
        } else {
            Some(results)
        };
        if let Some(refusal) = full {
            break refusal;
        }
        // The mempool takes no more than its share; blocks must keep pace.
        let waiting =
            connection.get("/v1/status").unwrap().json()["mempool"]["transactions"].as_u64().unwrap();
        if waiting > 900 {
            std::thread::yield_now();
        }
    };
    assert_eq!(refusal["error"]["code"], "disk-full", "{refusal}");

    // Reading goes on.
    assert_eq!(connection.get("/v1/status").unwrap().status, 200);
    assert_eq!(connection.get("/v1/blocks/tip").unwrap().status, 200);
    assert_eq!(connection.get(&format!("/v1/transactions/{}", accepted[0])).unwrap().status, 200);
    let single = transfer(&genesis, &key(1), 0, key(2).address(), 1);
    let refused = connection.post("/v1/transactions", &single.to_bytes()).unwrap();
    assert!(refused.status == 503 || refused.status == 202, "{}", refused.status);
    // A small transaction may still find room; the node is ready only when a whole block would.
    let unready = connection.get("/readyz").unwrap();
    assert_eq!(unready.status, 503);
    let reasons = unready.json()["reasons"].to_string();
    assert!(reasons.contains("disk-full"), "{reasons}");

    // A start without room fails and says which disk, and what to do.
    node.kill();
    let filler = path.join("filler");
    fill(&filler);
    let mut node = NodeProcess::spawn(&file, &data, "on-transaction", &producer);
    let words = node.wait_ready().expect_err("there is no room for a start");
    assert!(words.contains("no room on the disk for") && words.contains("make room"), "{words}");
    assert!(words.contains(path.to_str().unwrap()), "{words}");
    drop(node);
    std::fs::File::options()
        .write(true)
        .open(&ballast)
        .unwrap()
        .set_len(BALLAST_BYTES - START_BYTES)
        .unwrap();
    let mut node = NodeProcess::spawn(&file, &data, "on-transaction", &producer);
    node.wait_ready().unwrap();
    let mut connection = Connection::open(node.port).unwrap();
    assert_eq!(connection.get("/readyz").unwrap().status, 503, "too little room is known from the start");

    // With room again the node goes on by itself.
    std::fs::remove_file(&ballast).unwrap();
    std::fs::remove_file(&filler).unwrap();
    let start = Instant::now();
    let late = transfer(&genesis, &key(2), 0, key(3).address(), 1);
    while connection.post("/v1/transactions", &late.to_bytes()).unwrap().status == 503 {
        assert!(start.elapsed() < PATIENCE, "there is room, and the node still refuses");
        std::thread::yield_now();
    }
    let id = late.body.id(genesis.identity(), &key(2).address()).to_string();
    let confirmed = |connection: &mut Connection, id: &str| {
        let answer = connection.get(&format!("/v1/transactions/{id}"));
        answer.is_some_and(|answer| answer.status == 200 && answer.json()["status"] == "confirmed")
    };
    while !confirmed(&mut connection, &id) {
        assert!(start.elapsed() < PATIENCE, "the node makes no blocks any more");
        std::thread::yield_now();
    }
    while connection.get("/readyz").unwrap().status == 503 {
        assert!(start.elapsed() < PATIENCE, "there is room, and the node is not ready");
        std::thread::yield_now();
    }

    // Nothing that was accepted is lost, on this disk or after a restart.
    node.kill();
    let mut node = NodeProcess::spawn(&file, &data, "on-transaction", &producer);
    node.wait_ready().unwrap();
    let mut connection = Connection::open(node.port).unwrap();
    for id in accepted.iter().chain([&id]) {
        assert_eq!(connection.get(&format!("/v1/transactions/{id}")).unwrap().status, 200, "{id} is gone");
    }
    assert!(node.stop().success());
    drop(disk);
}
