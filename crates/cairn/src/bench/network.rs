//! Nodes that talk to each other: catching up, what a transaction and a block cost in bytes, what peers
//! cost that do nothing, and what those cost that flood.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cairn_core::genesis::Genesis;
use cairn_node::wire::Message;
use cairn_p2p::{Event, Network, NodeKey, PeerAddress, Priority, Settings};
use serde_json::{Value, json};

use super::chain::{
    Chain, concatenate, in_parallel, make_chain, make_empty_chain, make_genesis, sign_transfer,
};
use super::connection::Connection;
use super::import::{self, Signatures};
use super::measure::Spent;
use super::process::NodeProcess;
use super::{BenchError, Figure};
use crate::output::note;
use crate::run::links;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The time between two looks at a node that does something.
const PAUSE: Duration = Duration::from_millis(2);
/// The same where its processor time is measured: a look costs some of it.
const SYNC_PAUSE: Duration = Duration::from_millis(10);
/// How many peers a node has where it has many.
const PEERS: usize = 8;
/// How many connections flood.
const FLOODERS: usize = 10;

/// All figures of the network.
pub(super) fn measure_network(
    scratch: &Path,
    quick: bool,
    figures: &mut Vec<Figure>,
) -> Result<(), BenchError> {
    let (blocks, empty) = if quick { (4, 2_000) } else { (20, 20_000) };
    note("network: making a chain to catch up with");
    measure_sync(&make_chain(100_000, blocks), "transfers", scratch, figures)?;
    measure_sync(&make_empty_chain(empty), "empty blocks", scratch, figures)?;
    measure_relay(scratch, quick, figures)?;
    measure_peers(scratch, quick, figures)?;
    measure_flood(scratch, quick, figures)
}

/// A node without blocks meets one or two that have a chain.
fn measure_sync(
    chain: &Chain,
    what: &str,
    scratch: &Path,
    figures: &mut Vec<Figure>,
) -> Result<(), BenchError> {
    let file = write_genesis(&chain.genesis, scratch)?;
    let transfers: usize = chain.blocks.iter().map(|block| transfers_of(block)).sum();
    let (count, unit) = if transfers == 0 { (chain.blocks.len(), "blocks/s") } else { (transfers, "tx/s") };
    // Both have the chain; what it took the second of them to read it is the limit.
    let homes = [directory_in(scratch)?, directory_in(scratch)?];
    let imports: Vec<Spent> =
        homes.iter().map(|home| import::import(chain, home.path(), Signatures::Verify).spent).collect();
    let import = imports[1];
    let full: Vec<NodeProcess> = homes
        .iter()
        .map(|home| NodeProcess::start_with(&file, home.path(), &[]))
        .collect::<Result<_, _>>()?;
    for peers in 1..=full.len() {
        note(&format!("network: {what} from {peers}"));
        let home = directory_in(scratch)?;
        let node = NodeProcess::start_with(&file, home.path(), &[])?;
        let (start, cpu) = (Instant::now(), node.cpu_s());
        for peer in full.iter().take(peers) {
            add_peer(&node, home.path(), peer.p2p)?;
        }
        wait_every(SYNC_PAUSE, &node, "/v1/status", |status| status["height"] == json!(chain.blocks.len()))?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu_us = (node.cpu_s() - cpu) * 1e6 / count as f64;
        let name = format!("network, {what} from {peers}");
        let figure = Figure::new(name, count as f64 / seconds, unit).with_limit(import.rate(count));
        // All processes share the cores, so the rate is that of all of them together.
        let mut figure = figure.part("import", import.cpu_us(count), "µs").part(
            "ratio of processor time",
            import.cpu_us(count) / cpu_us,
            "",
        );
        figure.cpu_us = Some(cpu_us);
        figures.push(figure);
    }
    Ok(())
}

/// The bytes that a transaction costs, and those of a block whose transactions are known.
fn measure_relay(scratch: &Path, quick: bool, figures: &mut Vec<Figure>) -> Result<(), BenchError> {
    note("network: a block of known transactions");
    let count = if quick { 500 } else { 2_000 };
    let (genesis, keys, addresses) = make_genesis(64);
    let file = write_genesis(&genesis, scratch)?;
    let producer = addresses[0].to_text(genesis.rules().prefix());
    let homes = [directory_in(scratch)?, directory_in(scratch)?];
    let miner = NodeProcess::start_with(
        &file,
        homes[0].path(),
        &["--role", "miner", "--producer", &producer, "--mine", "manual"],
    )?;
    let other = NodeProcess::start_with(&file, homes[1].path(), &[])?;
    add_peer(&other, homes[1].path(), miner.p2p)?;
    wait_for(&other, "/v1/peers", |peers| peers.as_array().is_some_and(|peers| peers.len() == 1))?;
    let transactions = in_parallel(count, |at| {
        let sender = at % keys.len();
        sign_transfer(
            &keys[sender],
            &genesis,
            (at / keys.len()) as u64,
            addresses[(at * 31) % addresses.len()],
        )
    });
    let start = Instant::now();
    submit(&miner, &transactions)?;
    wait_for(&other, "/v1/status", |status| status["mempool"]["transactions"] == json!(count))?;
    let relayed_s = start.elapsed().as_secs_f64();
    figures.push(Figure::new("network, relay over a hop", count as f64 / relayed_s, "tx/s"));
    let before = received(&other)?;
    let start = Instant::now();
    command(&miner, homes[0].path(), "/v1/mine", &json!({ "blocks": 1 }))?;
    wait_for(&other, "/v1/status", |status| status["height"] == json!(1))?;
    let block_ms = start.elapsed().as_secs_f64() * 1e3;
    let bytes = received(&other)? - before;
    let block = get(&other, "/v1/blocks/1/raw").map_or(0, |raw| raw.len());
    figures.push(
        Figure::new(
            "network, block of known transactions",
            100.0 * bytes as f64 / block as f64,
            "% of its bytes",
        )
        .part("transactions", count as f64, "")
        .part("block", block as f64, "B")
        .part("received", bytes as f64, "B")
        .part("mined, sent and joined", block_ms, "ms"),
    );
    Ok(())
}

/// A node with eight peers that all have each other.
fn measure_peers(scratch: &Path, quick: bool, figures: &mut Vec<Figure>) -> Result<(), BenchError> {
    note(&format!("network: {} nodes", PEERS + 1));
    let (genesis, keys, addresses) = make_genesis(64);
    let file = write_genesis(&genesis, scratch)?;
    let homes = (0..=PEERS).map(|_| directory_in(scratch)).collect::<Result<Vec<_>, _>>()?;
    let nodes = homes
        .iter()
        .map(|home| NodeProcess::start_with(&file, home.path(), &[]))
        .collect::<Result<Vec<_>, _>>()?;
    for (at, node) in nodes.iter().enumerate() {
        for peer in nodes.iter().take(at) {
            add_peer(node, homes[at].path(), peer.p2p)?;
        }
    }
    for node in &nodes {
        wait_for(node, "/v1/peers", |peers| peers.as_array().is_some_and(|peers| peers.len() == PEERS))?;
    }
    let first = &nodes[0];
    thread::sleep(Duration::from_secs(3));
    let (start, cpu) = (Instant::now(), first.cpu_s());
    thread::sleep(Duration::from_secs(if quick { 5 } else { 30 }));
    let share = 100.0 * (first.cpu_s() - cpu) / start.elapsed().as_secs_f64();
    figures.push(Figure::new("network, idle with 8 peers", share, "% of a core"));

    let count = if quick { 300 } else { 2_000 };
    let transactions = in_parallel(count, |at| {
        let sender = at % keys.len();
        sign_transfer(
            &keys[sender],
            &genesis,
            (at / keys.len()) as u64,
            addresses[(at * 31) % addresses.len()],
        )
    });
    let size = concatenate(&transactions).len() as f64 / count as f64;
    let last = &nodes[PEERS];
    let before = received(last)?;
    // They come one by one, as from people.
    let mut connection = Connection::open(first.port).ok_or_else(gone)?;
    for transaction in &transactions {
        connection
            .post("/v1/transactions", &concatenate(std::slice::from_ref(transaction)))
            .ok_or_else(gone)?;
    }
    for node in &nodes {
        wait_for(node, "/v1/status", |status| status["mempool"]["transactions"] == json!(count))?;
    }
    let each = (received(last)? - before) as f64 / count as f64;
    figures.push(
        Figure::new("network, a transaction with 8 peers", each / size, "times its bytes")
            .part("received", each, "B")
            .part("transaction", size, "B"),
    );
    Ok(())
}

/// Some connections flood a node while it relays for an honest one.
fn measure_flood(scratch: &Path, quick: bool, figures: &mut Vec<Figure>) -> Result<(), BenchError> {
    let time = Duration::from_secs(if quick { 5 } else { 60 });
    note(&format!("network: a flood for {} s", time.as_secs()));
    let (genesis, keys, addresses) = make_genesis(64);
    let file = write_genesis(&genesis, scratch)?;
    let homes = [directory_in(scratch)?, directory_in(scratch)?];
    let node = NodeProcess::start_with(&file, homes[0].path(), &[])?;
    let honest = NodeProcess::start_with(&file, homes[1].path(), &[])?;
    add_peer(&honest, homes[1].path(), node.p2p)?;
    wait_for(&honest, "/v1/peers", |peers| peers.as_array().is_some_and(|peers| peers.len() == 1))?;
    let before = node.resident_bytes().unwrap_or_default();
    let identity = genesis.identity().0;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(BenchError::Directory)?;
    let sent: Vec<_> =
        (0..FLOODERS).map(|number| runtime.spawn(flood(number as u64, node.p2p, identity, time))).collect();
    let start = Instant::now();
    let (mut most, mut relayed, mut slowest) = (before, 0_usize, 0.0_f64);
    let mut connection = Connection::open(node.port).ok_or_else(gone)?;
    while start.elapsed() < time {
        let sender = relayed % keys.len();
        let nonce = (relayed / keys.len()) as u64;
        let transaction = sign_transfer(&keys[sender], &genesis, nonce, addresses[1]);
        let asked = Instant::now();
        connection.post("/v1/transactions", &concatenate(&[transaction])).ok_or_else(gone)?;
        relayed += 1;
        wait_for(&honest, "/v1/status", |status| status["mempool"]["transactions"] == json!(relayed))?;
        slowest = slowest.max(asked.elapsed().as_secs_f64());
        most = most.max(node.resident_bytes().unwrap_or_default());
        thread::sleep(Duration::from_millis(200));
    }
    let mut frames = 0;
    for task in sent {
        frames += runtime.block_on(task).unwrap_or_default();
    }
    runtime.shutdown_background();
    let mebibytes = most.saturating_sub(before) as f64 / f64::from(1 << 20);
    figures.push(
        Figure::new("network, memory under a flood", mebibytes, "MiB more")
            .part("frames sent", frames as f64, "")
            .part("honest transactions relayed", relayed as f64, "")
            .part("slowest of them", slowest * 1e3, "ms"),
    );
    Ok(())
}

/// Announces transactions that nobody has as fast as they are taken, under a new name whenever it is sent
/// away; returns how many frames it sent.
async fn flood(number: u64, to: SocketAddr, identity: [u8; 32], time: Duration) -> u64 {
    let start = Instant::now();
    let mut frames = 0;
    let mut draw = super::chain::Numbers(1_000 + number);
    while start.elapsed() < time {
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&draw.next().to_le_bytes()));
        let settings = Settings { tags: links::tags(), ..Settings::new(NodeKey::from_seed(seed), identity) };
        let Ok((network, mut events)) = Network::start(settings).await else { break };
        if network.dial(PeerAddress::of(to)).is_err() {
            break;
        }
        let mut peer = None;
        while start.elapsed() < time {
            match events.try_next() {
                Some(Event::Joined { peer: joined, .. }) => peer = Some(joined),
                Some(Event::Left { .. } | Event::DialFailed { .. }) => break,
                Some(_) => {}
                None => {
                    let leaves = (0..1_000).map(|_| {
                        let mut leaf = [0; 32];
                        leaf.chunks_mut(8).for_each(|it| it.copy_from_slice(&draw.next().to_le_bytes()));
                        cairn_core::hash::LeafHash(leaf)
                    });
                    let frame = links::frame_of(&Message::Announce(leaves.collect()));
                    match peer.map(|peer| network.send(peer, frame, Priority::Transaction)) {
                        Some(Ok(())) => frames += 1,
                        _ => tokio::time::sleep(Duration::from_millis(2)).await,
                    }
                }
            }
        }
        network.stop().await;
    }
    frames
}

fn transfers_of(block: &[u8]) -> usize {
    cairn_core::block::decode_block(block).map_or(0, |block| block.body.transactions.len())
}

fn write_genesis(genesis: &Genesis, scratch: &Path) -> Result<std::path::PathBuf, BenchError> {
    let file = scratch.join(format!("{}.toml", genesis.identity()));
    std::fs::write(&file, genesis.to_toml()).map_err(BenchError::Directory)?;
    Ok(file)
}

fn directory_in(scratch: &Path) -> Result<tempfile::TempDir, BenchError> {
    tempfile::tempdir_in(scratch).map_err(BenchError::Directory)
}

fn gone() -> BenchError {
    BenchError::Node { what: "did not answer", source: None }
}

fn get(node: &NodeProcess, path: &str) -> Option<Vec<u8>> {
    let answer = Connection::open(node.port)?.get(path)?;
    (answer.status == 200).then_some(answer.body)
}

/// Asks until the answer is as it should be.
fn wait_for(node: &NodeProcess, path: &str, is_so: impl Fn(&Value) -> bool) -> Result<(), BenchError> {
    wait_every(PAUSE, node, path, is_so)
}

/// The same, with another pause.
fn wait_every(
    pause: Duration,
    node: &NodeProcess,
    path: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Result<(), BenchError> {
    let start = Instant::now();
    let mut connection = Connection::open(node.port).ok_or_else(gone)?;
    while start.elapsed() < PATIENCE {
        let answer = connection.get(path).ok_or_else(gone)?;
        if serde_json::from_slice(&answer.body).is_ok_and(|value| is_so(&value)) {
            return Ok(());
        }
        thread::sleep(pause);
    }
    Err(BenchError::Node { what: "did not come where it should in five minutes", source: None })
}

fn command(node: &NodeProcess, home: &Path, path: &str, body: &Value) -> Result<(), BenchError> {
    let token = std::fs::read_to_string(home.join("token")).map_err(BenchError::Directory)?;
    let mut connection = Connection::open(node.port).ok_or_else(gone)?;
    let answer = connection.post_with_token(path, token.trim(), &body.to_string()).ok_or_else(gone)?;
    if answer.status == 200 {
        return Ok(());
    }
    Err(BenchError::Node { what: "refused a command", source: None })
}

fn add_peer(node: &NodeProcess, home: &Path, peer: SocketAddr) -> Result<(), BenchError> {
    command(node, home, "/v1/peers", &json!({ "add": peer.to_string() }))
}

fn submit(
    node: &NodeProcess,
    transactions: &[cairn_core::transaction::Transaction],
) -> Result<(), BenchError> {
    let mut connection = Connection::open(node.port).ok_or_else(gone)?;
    for chunk in transactions.chunks(100) {
        connection.post("/v1/transactions", &concatenate(chunk)).ok_or_else(gone)?;
    }
    Ok(())
}

/// The bytes of frames that came from all peers.
fn received(node: &NodeProcess) -> Result<u64, BenchError> {
    let body = get(node, "/v1/peers").ok_or_else(gone)?;
    let peers: Vec<Value> = serde_json::from_slice(&body).map_err(|error| BenchError::Node {
        what: "gave no list of its peers",
        source: Some(Box::new(error)),
    })?;
    Ok(peers.iter().filter_map(|peer| peer["bytes_in"].as_u64()).sum())
}
