//! The stream of events while the chain changes branches and its listener is cut off, again and again:
//! nothing is lost, nothing comes twice, and what it tells leads to the chain of the node.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use cairn::api::guard::{Hosts, Scheme, Token};
use cairn::api::rates::Rates;
use cairn::api::server::Access;
use cairn::api::{self, ApiSettings};
use cairn::run::{NodeHandle, NodeSettings, Running};
use cairn_core::block;
use cairn_core::genesis::Genesis;
use cairn_core::numbers::Height;
use cairn_core::signature::Batching;
use cairn_node::MiningMode;
use cairn_node::chain::Imported;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Numbers, PATIENCE, genesis, key, transfer};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How often the chain takes the other branch.
const REORGANISATIONS: u64 = 40;
/// How often the listener is cut off at least.
const DISCONNECTS: u64 = 100;
/// After how many bytes at most, mostly, and now and then: a long event must get through at some time.
const BYTES_MAX: [u64; 2] = [2048, 16 * 1024];
const SEED: u64 = 2026;

/// An event: its id, and its data.
type Told = (u64, Value);

fn start(genesis: &Genesis, directory: &Path, producer: u8) -> Running {
    let mut settings = NodeSettings::new(genesis.clone(), directory.join(producer.to_string()));
    settings.mining.producer = Some(key(producer).address());
    settings.mining.mode = MiningMode::Manual;
    Running::start(settings, |_| {}).unwrap()
}

/// Makes blocks on a branch until it has `height`, each but the first rounds' with a transaction.
async fn grow(branch: &NodeHandle, sender: u8, height: Height) {
    while branch.reader().tip() < height {
        let nonce = branch.reader().tip().0;
        let payment = transfer(branch.genesis(), &key(sender), nonce, key(9).address(), 1);
        assert!(branch.submit(vec![payment]).await.unwrap()[0].outcome.is_ok());
        branch.mine(1).await.unwrap().unwrap();
    }
}

/// Brings a branch to the node; what became of its last block.
async fn bring(branch: &NodeHandle, node: &NodeHandle, from: Height) -> Imported {
    let mut last = Imported::Known;
    for height in from.0..=branch.reader().tip().0 {
        let bytes = branch.reader().block_at(Height(height)).unwrap().unwrap().bytes;
        let checked = block::check(bytes, node.consensus(), Batching::from_seed([7; 32])).unwrap();
        last = node.import(checked).await.unwrap().unwrap();
    }
    last
}

/// Listens behind an event; each line as it comes, up to a number of bytes.
fn listen(address: SocketAddr, after: u64, bytes: u64) -> impl Iterator<Item = Told> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: {address}\r\nLast-Event-ID: {after}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream.take(bytes));
    let mut id = None;
    std::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            lines.read_until(b'\n', &mut line).unwrap();
            // A line without its end was cut off, and so is its event.
            let line = String::from_utf8(line).unwrap().strip_suffix('\n')?.to_owned();
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.trim().parse().unwrap());
            }
            if let Some(text) = line.strip_prefix("data: ") {
                return Some((id.take().unwrap(), serde_json::from_str(text).unwrap()));
            }
        }
    })
}

/// Listens until something behind the event `end` is there; what it heard up to it, and how often it was
/// cut off.
fn listen_and_lose(address: SocketAddr, end: &AtomicU64) -> (Vec<Told>, u64) {
    let mut numbers = Numbers(SEED);
    let (mut heard, mut cuts) = (Vec::<Told>::new(), 0);
    let is_over = |id: u64| {
        let end = end.load(Ordering::Acquire);
        end > 0 && id > end
    };
    loop {
        let last = heard.last().map_or(0, |(id, _)| *id);
        let most = BYTES_MAX[usize::from(numbers.below(4) == 0)];
        for told in listen(address, last, numbers.below(most)) {
            if is_over(told.0) {
                return (heard, cuts);
            }
            heard.push(told);
        }
        cuts += 1;
    }
}

/// What a listener thinks the chain is, from what it was told.
fn replay(told: &[Told], first: &str) -> BTreeMap<u64, String> {
    let mut chain = BTreeMap::from([(0, first.to_owned())]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for (id, event) in told {
        match event["type"].as_str().unwrap() {
            "reorg" => {
                let fork = event["fork_height"].as_u64().unwrap();
                assert_eq!(chain.last_key_value().unwrap().1, &text(&event["from"]), "event {id}");
                chain.retain(|height, _| *height <= fork);
            }
            "block" => {
                let (top, tip) = chain.last_key_value().unwrap();
                assert_eq!((*top + 1, tip), (event["height"].as_u64().unwrap(), &text(&event["parent"])));
                chain.insert(*top + 1, text(&event["id"]));
            }
            other => assert!(matches!(other, "transaction" | "mempool"), "event {id}: {event}"),
        }
    }
    chain
}

#[test]
fn a_listener_who_is_cut_off_again_and_again_hears_every_event_once() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(10);
    let [left, right, node] = [1, 2, 3].map(|number| start(&genesis, directory.path(), number));
    let runtime = Runtime::new().unwrap();
    let (stop, _) = watch::channel(false);
    let token = Token::create(directory.path()).unwrap();
    let (address, server) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = ApiSettings {
            node: node.handle().clone(),
            name: "node".to_owned(),
            role: "full".to_owned(),
            token,
            access: Access {
                hosts: Hosts::new(Scheme::Plain, address, &[]),
                identity: None,
                token: None,
                rates: Rates::default(),
            },
            faucet: None,
            stop: stop.clone(),
        };
        (address, tokio::spawn(api::serve(listener, settings)))
    });

    let end = Arc::new(AtomicU64::new(0));
    let listener = std::thread::spawn({
        let end = Arc::clone(&end);
        move || listen_and_lose(address, &end)
    });
    runtime.block_on(async {
        let mut known = [Height(0); 2];
        for round in 0..=REORGANISATIONS {
            let (side, sender) = if round % 2 == 0 { (0, 4) } else { (1, 5) };
            let branch = [&left, &right][side].handle();
            grow(branch, sender, node.handle().reader().tip().next()).await;
            let became = bring(branch, node.handle(), known[side].next()).await;
            known[side] = branch.reader().tip();
            assert_eq!(matches!(became, Imported::Reorganised { .. }), round > 0, "{became:?}");
        }
    });
    let reader = node.handle().reader();
    let chain: BTreeMap<u64, String> = (0..=reader.tip().0)
        .map(|height| (height, reader.header(Height(height)).unwrap().unwrap().0.to_string()))
        .collect();
    let newest = node.handle().events().newest();
    end.store(newest, Ordering::Release);
    // One more, so that the listener sees the end.
    runtime.block_on(node.handle().mine(1)).unwrap().unwrap();
    let (heard, cuts) = listener.join().unwrap();
    let whole: Vec<Told> = listen(address, 0, u64::MAX).take(heard.len()).collect();
    println!("PROVE event_cuts={cuts} events={} reorganisations={REORGANISATIONS} seed={SEED}", heard.len());

    assert!(cuts >= DISCONNECTS, "only {cuts} times");
    assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0), "ids grow");
    assert_eq!(heard, whole);
    assert_eq!(heard.last().unwrap().0, newest);
    let reorganised = heard.iter().filter(|(_, event)| event["type"] == "reorg").count();
    assert_eq!(u64::try_from(reorganised).unwrap(), REORGANISATIONS);
    assert_eq!(replay(&heard, &chain[&0]), chain);

    stop.send_replace(true);
    runtime.block_on(server).unwrap();
    for running in [left, right, node] {
        running.stop();
    }
}
