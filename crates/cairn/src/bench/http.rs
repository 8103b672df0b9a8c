//! A node under load, as its clients see it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cairn_core::codec::Encode as _;
use cairn_core::transaction::Transaction;

use super::chain::{concatenate, in_parallel, make_genesis, sign_transfer};
use super::connection::Connection;
use super::process::NodeProcess;
use super::{BenchError, Figure};
use crate::output::note;

/// How many accounts send the load.
const SENDERS: usize = 64;
/// How long a load may take to be confirmed before what is left counts as stalled.
const CONFIRM_MAX: Duration = Duration::from_secs(120);

/// Cold start, memory, submitting, twenty thousand transfers to the block, restart.
pub(super) fn measure_node(scratch: &Path, quick: bool, figures: &mut Vec<Figure>) -> Result<(), BenchError> {
    note("node: starting");
    let (genesis, keys, addresses) = make_genesis(SENDERS);
    let producer = addresses[0].to_text(genesis.rules().prefix());
    let file = scratch.join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).map_err(BenchError::Directory)?;

    let mut starts: Vec<f64> = Vec::new();
    for _ in 0..if quick { 3 } else { 9 } {
        let directory = tempfile::tempdir_in(scratch).map_err(BenchError::Directory)?;
        let (node, took) = NodeProcess::start(&file, directory.path(), &producer)?;
        starts.push(took.as_secs_f64() * 1e3);
        node.kill();
    }
    figures.push(Figure::new("node, cold start", median(&mut starts), "ms"));

    let directory = tempfile::tempdir_in(scratch).map_err(BenchError::Directory)?;
    let (node, _) = NodeProcess::start(&file, directory.path(), &producer)?;
    thread::sleep(Duration::from_millis(300));
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    figures.push(Figure::new("node, memory idle", node.resident_bytes().map_or(f64::NAN, mebibytes), "MiB"));

    let count = if quick { 2_000 } else { 20_000 };
    let mut nonces = [0u64; SENDERS];
    let mut make = |count: usize| {
        let first = nonces;
        for at in 0..count {
            nonces[at % SENDERS] += 1;
        }
        in_parallel(count, |at| {
            let sender = at % SENDERS;
            let to = addresses[(at * 31 + 7) % addresses.len()];
            sign_transfer(&keys[sender], &genesis, first[sender] + (at / SENDERS) as u64, to)
        })
    };
    for (name, connections, batch) in [
        ("node, submit one, 1 connection", 1, 1),
        ("node, submit one, 8 connections", 8, 1),
        ("node, submit 100, 1 connection", 1, 100),
        ("node, submit 100, 8 connections", 8, 100),
    ] {
        note(name.trim_start_matches("node, "));
        let load = Load::new(
            make(if connections == 1 && batch == 1 { count / 5 } else { count }),
            connections,
            batch,
        );
        figures.push(load.run(&node, name)?);
    }
    figures.push(Figure::new(
        "node, memory loaded",
        node.resident_bytes().map_or(f64::NAN, mebibytes),
        "MiB",
    ));

    // What was made durable survives the kill, so a restart has the whole chain to answer for.
    let height = height(&node).ok_or(BenchError::Node { what: "gave no status", source: None })?;
    node.kill();
    let (node, took) = NodeProcess::start(&file, directory.path(), &producer)?;
    let killed = Figure::new("node, restart after kill", took.as_secs_f64() * 1e3, "ms");
    figures.push(killed.part("blocks", height as f64, "").part(
        "transfers",
        total_transfers(count) as f64,
        "",
    ));
    stop(&node, directory.path());
    drop(node);
    let (node, took) = NodeProcess::start(&file, directory.path(), &producer)?;
    figures.push(Figure::new("node, restart", took.as_secs_f64() * 1e3, "ms"));
    drop(node);
    Ok(())
}

fn total_transfers(count: usize) -> usize {
    3 * count + count / 5
}

/// Transfers, cut into requests for some connections. A sender's transfers stay on one connection,
/// in order.
struct Load {
    /// For each connection, its requests and how many transfers each holds.
    requests: Vec<Vec<(Vec<u8>, usize)>>,
    count: usize,
}

impl Load {
    fn new(transactions: Vec<Transaction>, connections: usize, batch: usize) -> Self {
        let count = transactions.len();
        let mut lanes: Vec<Vec<Transaction>> = (0..connections).map(|_| Vec::new()).collect();
        for (at, transaction) in transactions.into_iter().enumerate() {
            lanes[at % SENDERS % connections].push(transaction);
        }
        let cut = |lane: Vec<Transaction>| -> Vec<(Vec<u8>, usize)> {
            if batch == 1 {
                return lane.iter().map(|transaction| (transaction.to_bytes(), 1)).collect();
            }
            lane.chunks(batch).map(|chunk| (concatenate(chunk), chunk.len())).collect()
        };
        Self { requests: lanes.into_iter().map(cut).collect(), count }
    }

    /// Submits all, and waits until all are in durable blocks.
    fn run(&self, node: &NodeProcess, name: &'static str) -> Result<Figure, BenchError> {
        let before = confirmed(node).unwrap_or(0);
        let refused = AtomicUsize::new(0);
        let refused = &refused;
        let (start, cpu) = (Instant::now(), node.cpu_s());
        thread::scope(|scope| {
            for lane in &self.requests {
                scope.spawn(move || {
                    let Some(mut connection) = Connection::open(node.port) else {
                        refused.fetch_add(lane.len(), Ordering::Relaxed);
                        return;
                    };
                    for (body, transfers) in lane {
                        let answer = connection.post("/v1/transactions", body);
                        let accepted = match answer {
                            Some(answer) if answer.status == 202 => 1,
                            Some(answer) if answer.status == 207 => count_pending(&answer.body),
                            _ => 0,
                        };
                        refused.fetch_add(transfers - accepted.min(*transfers), Ordering::Relaxed);
                    }
                });
            }
        });
        let submitted_s = start.elapsed().as_secs_f64();
        let refused = refused.load(Ordering::Relaxed);
        let expected = before + self.count - refused;
        while confirmed(node).unwrap_or(0) < expected && start.elapsed() < CONFIRM_MAX {
            thread::sleep(Duration::from_millis(2));
        }
        let confirmed_s = start.elapsed().as_secs_f64();
        let stalled = expected.saturating_sub(confirmed(node).unwrap_or(0));
        let accepted = self.count - refused;
        let mut figure = Figure::new(name, accepted as f64 / submitted_s, "tx/s");
        figure.cpu_us = Some((node.cpu_s() - cpu) * 1e6 / self.count as f64);
        Ok(figure
            .part("to the block", accepted as f64 / confirmed_s, "tx/s")
            .part("refused", refused as f64, "")
            .part("stalled", stalled as f64, ""))
    }
}

/// How many results of an answer to many say that the transaction waits now.
fn count_pending(body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    text.matches("\"status\":\"pending\"").count()
}

/// How many transfers stand in blocks, as the metrics count them.
fn confirmed(node: &NodeProcess) -> Option<usize> {
    let answer = Connection::open(node.port)?.get("/metrics")?;
    let text = String::from_utf8(answer.body).ok()?;
    let line = text.lines().find(|line| line.starts_with("cairn_transactions_confirmed_total"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn height(node: &NodeProcess) -> Option<u64> {
    let answer = Connection::open(node.port)?.get("/v1/status")?;
    let status: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    status["height"].as_u64()
}

/// Stops a node as its operator would, and waits until it is gone.
fn stop(node: &NodeProcess, directory: &Path) {
    let token = std::fs::read_to_string(directory.join("token")).unwrap_or_default();
    if let Some(mut connection) = Connection::open(node.port) {
        connection.post_with_token("/v1/shutdown", token.trim(), "{}");
    }
    let start = Instant::now();
    while Connection::open(node.port).is_some() && start.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(200));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
