//! Peers that mean harm, against the real program: whatever they do, it goes on, and so do those who mean well.
//!
//! What is said is said through `cairn-p2p`, so the frames are well made and what is in them is not. Broken
//! frames and connections are tested where they are made, in `cairn-p2p`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use cairn_core::codec::Encode as _;
use cairn_core::genesis::Genesis;
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::transaction::IdentifiedTransaction;
use cairn_node::wire::{BULK_TAGS, Message, PEER_TAGS};
use cairn_p2p::{
    AddressRecord, DialFailure, Event, Events, Frame, Network, NodeKey, PeerAddress, PeerNumber, Place,
    Priority, Roles, Settings, Tag, TagRule, Tags,
};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Connection, PATIENCE, genesis, key, program, transfer};

/// How much memory the node may have more at the end.
const GROWTH_BYTES_MAX: u64 = 192 * 1024 * 1024;

/// A node that meets others; killed when dropped.
struct Node {
    child: Child,
    port: u16,
    p2p: SocketAddr,
    token: String,
}

fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

impl Node {
    fn start(genesis: &Path, home: &Path, flags: &[&str]) -> Self {
        let (api, p2p) = (free_address(), free_address());
        std::fs::create_dir_all(home).unwrap();
        let log = std::fs::File::create(home.join("log")).unwrap();
        let child = Command::new(program())
            .args(["node", "--p2p-bind", &p2p.to_string(), "--api-bind", &api.to_string()])
            .arg("--genesis")
            .arg(genesis)
            .arg("--data-dir")
            .arg(home.join("data"))
            .args(flags)
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            .env("XDG_CONFIG_HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut node = Self { child, port: api.port(), p2p, token: String::new() };
        let start = Instant::now();
        while support::get(node.port, "/v1/status").is_none_or(|answer| answer.status != 200) {
            assert!(start.elapsed() < PATIENCE, "no answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        node.token = std::fs::read_to_string(home.join("data/token")).unwrap().trim().to_owned();
        node
    }

    fn read(&self, path: &str) -> Value {
        let answer = support::get(self.port, path).expect("the node answers");
        assert_eq!(answer.status, 200, "{path}");
        answer.json()
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        let mut connection = Connection::open(self.port).unwrap();
        let answer = connection.post_with_token(path, &self.token, &body.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    }

    fn wait(&self, path: &str, is_so: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let found = self.read(path);
            if is_so(&found) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{path}: {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A hostile peer with a name of its own.
struct Hostile {
    network: Network,
    events: Events,
    peer: Option<PeerNumber>,
}

fn tags() -> Tags {
    let rule = |body_bytes_max| TagRule { body_bytes_max, rate: None };
    let tag = |tag: cairn_node::wire::Tag| Tag::from_bytes(&tag.0).unwrap();
    let peer =
        PEER_TAGS.into_iter().fold(Tags::new(), |tags, (of, max)| tags.with(Place::Peer, tag(of), rule(max)));
    BULK_TAGS.into_iter().fold(peer, |tags, (of, max)| {
        let place = if matches!(&of.0, b"GBL" | b"GGN") { Place::Ask } else { Place::Answer };
        tags.with(place, tag(of), rule(max))
    })
}

impl Hostile {
    async fn start(number: u8, identity: [u8; 32]) -> Self {
        let settings = Settings {
            tags: tags(),
            name: "\u{1b}[31mevil\u{202e}".to_owned(),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..Settings::new(NodeKey::from_seed([number; 32]), identity)
        };
        let (network, events) = Network::start(settings).await.unwrap();
        Self { network, events, peer: None }
    }

    /// Links with a node that must take it.
    async fn join(number: u8, genesis: &Genesis, to: SocketAddr) -> Self {
        let mut hostile = Self::start(number, genesis.identity().0).await;
        hostile.network.dial(PeerAddress::of(to)).unwrap();
        loop {
            match hostile.next().await.expect("the node takes a new peer") {
                Event::Joined { peer, .. } => {
                    hostile.peer = Some(peer);
                    return hostile;
                }
                Event::DialFailed { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
    }

    async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.events.next()).await.expect("something happens")
    }

    fn say(&self, message: &Message) {
        self.send(Frame::new(Tag::from_bytes(&message.tag().0).unwrap(), message.to_body()));
    }

    fn send(&self, frame: Frame) {
        // A link that has ended already is what is wanted.
        let _ = self.network.send(self.peer.unwrap(), frame, Priority::Block);
    }

    /// Waits until the node has sent it away.
    async fn leave(mut self) {
        loop {
            if let Event::Left { .. } = self.next().await.expect("a farewell") {
                break;
            }
        }
        self.network.stop().await;
    }

    /// Waits for a message of the node with a tag.
    async fn hears(&mut self, tag: &str) {
        loop {
            match self.next().await.expect("a message") {
                Event::Frame { frame, .. } if frame.tag == Tag::new(tag) => return,
                Event::Left { reason, .. } => panic!("sent away: {reason}"),
                _ => {}
            }
        }
    }
}

fn leaves(number: u8, count: usize) -> Vec<LeafHash> {
    (0..count)
        .map(|at| {
            let mut leaf = [number; 32];
            leaf[..8].copy_from_slice(&(at as u64).to_le_bytes());
            LeafHash(leaf)
        })
        .collect()
}

/// Two honest nodes with a link; transactions cross it again and again.
struct Honest {
    node: Node,
    other: Node,
    genesis: Genesis,
    sent: u64,
}

impl Honest {
    /// A transaction given to the one node reaches the other.
    fn relay(&mut self, after: &str) {
        let transaction = transfer(&self.genesis, &key(0), self.sent, key(1).address(), 5);
        let answer = support::post(self.node.port, "/v1/transactions", &transaction.to_bytes()).unwrap();
        assert_eq!(answer.status, 202, "after {after}: {}", answer.json());
        self.sent += 1;
        let sent = self.sent;
        self.other.wait("/v1/status", |status| status["mempool"]["transactions"] == json!(sent));
    }
}

#[test]
fn whatever_a_peer_does_the_node_goes_on_and_so_do_others() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(4);
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let producer = key(2).address().to_text(genesis.rules().prefix());
    let miner = ["--role", "miner", "--mine", "manual", "--producer", &producer];
    let node = Node::start(&file, &directory.path().join("a"), &miner);
    let peer = node.p2p.to_string();
    let other = Node::start(&file, &directory.path().join("b"), &["--peer", &peer]);
    other.wait("/v1/peers", |peers| peers.as_array().unwrap().len() == 1);
    let before = node.memory_bytes();
    let (to, identity) = (node.p2p, genesis.identity().0);
    let mut honest = Honest { node, other, genesis: genesis.clone(), sent: 0 };
    honest.relay("nothing");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();

    // Connections that say nothing, or nothing that makes sense. More than a machine may have.
    let half_open: Vec<TcpStream> = (0..40).filter_map(|_| TcpStream::connect(to).ok()).collect();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"\x13/multistream/1.0.0\n\x07/noise\n"] {
        if let Ok(mut stream) = TcpStream::connect(to) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = stream.write_all(garbage);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    }
    honest.relay("garbage and half-open connections");
    drop(half_open);

    // A node of another network, and one that dials itself.
    runtime.block_on(async {
        let mut stranger = Hostile::start(1, [7; 32]).await;
        stranger.network.dial(PeerAddress::of(to)).unwrap();
        match stranger.next().await.unwrap() {
            Event::DialFailed { why, .. } => assert!(matches!(why, DialFailure::OtherNetwork), "{why}"),
            event => panic!("{event:?}"),
        }
        stranger.network.stop().await;
    });
    let own = honest.node.p2p.to_string();
    honest.node.command("/v1/peers", &json!({ "add": own }));
    honest.node.wait("/v1/peers/kept", |kept| kept[0]["last_failure"] == json!("it is this node itself"));
    honest.node.command("/v1/peers", &json!({ "remove": own }));
    honest.relay("strangers");

    runtime.block_on(async {
        // Bodies that are none, messages that mean nothing, answers that nobody asked for.
        let hostile = Hostile::join(10, &genesis, to).await;
        (0..4).for_each(|_| hostile.send(Frame::new(Tag::new("INV"), vec![0xc1; 100])));
        hostile.leave().await;
        let hostile = Hostile::join(11, &genesis, to).await;
        (0..10).for_each(|_| hostile.send(Frame::new(Tag::new("XYZ"), vec![1, 2, 3])));
        hostile.leave().await;
        let hostile = Hostile::join(12, &genesis, to).await;
        for number in 0..10 {
            hostile
                .say(&Message::BlockTransactions { block: BlockId([number; 32]), transactions: Vec::new() });
        }
        hostile.leave().await;
    });
    honest.relay("malformed, unknown and unasked messages");

    runtime.block_on(async {
        // A signature of another network under a name that was announced and fetched.
        let mut hostile = Hostile::join(20, &genesis, to).await;
        let mut transaction = transfer(&genesis, &key(3), 0, key(1).address(), 5);
        transaction.body.transfers[0].amount = cairn_core::numbers::Amount::from_units(6);
        let leaf = IdentifiedTransaction::new(transaction.clone(), genesis.identity()).leaf();
        hostile.say(&Message::Announce(vec![leaf]));
        hostile.hears("GET").await;
        hostile.say(&Message::Transactions(vec![transaction]));
        // Headers whose work is none: block 0 under another parent, and on itself.
        let block = genesis.block();
        let mut header =
            cairn_core::block::SealedHeader { header: block.header.clone(), seal: block.seal.clone() };
        header.header.parent = *genesis.identity();
        header.header.height = cairn_core::numbers::Height(1);
        hostile.say(&Message::Headers(vec![header]));
        hostile.leave().await;
    });
    honest.relay("a forged transaction and a header without work");

    let flooders = runtime.block_on(async {
        let mut kept = Vec::new();
        for number in 30..36 {
            // Each claims the heaviest chain there can be and shows nothing of it.
            let mut hostile = Hostile::start(number, identity).await;
            hostile.network.set_hello_state(u64::MAX, [number; 32], [0xff; 32]);
            hostile.network.dial(PeerAddress::of(to)).unwrap();
            while let Some(event) = hostile.next().await {
                if let Event::Joined { peer, .. } = event {
                    hostile.peer = Some(peer);
                    break;
                }
            }
            // Addresses where nobody is, names of transactions that nobody has, questions without end.
            let records: Vec<AddressRecord> = (0..250_u8)
                .map(|at| AddressRecord {
                    address: SocketAddr::from(([127, number, 1, at], 1)),
                    node: None,
                    last_seen_s: u64::MAX,
                    roles: Roles::FULL,
                })
                .collect();
            for _ in 0..20 {
                let _ = hostile.network.tell_addresses(hostile.peer.unwrap(), &records);
            }
            for _ in 0..60 {
                hostile.say(&Message::Announce(leaves(number, 1_000)));
                hostile.say(&Message::GetHeaders { locator: vec![*genesis.identity()], stop: BlockId::ZERO });
                hostile.say(&Message::GetCompact(BlockId([number; 32])));
                hostile.say(&Message::GetTransactions(leaves(number, 100)));
            }
            kept.push(hostile);
        }
        kept
    });
    honest.relay("claims, poison and floods");

    // Whom the operator has named is not banned for what it does.
    let named = runtime.block_on(Hostile::start(50, identity));
    let address = named.network.listening()[0].to_string();
    let bans = honest.node.read("/v1/peers/bans");
    honest.node.command("/v1/peers", &json!({ "add": address }));
    runtime.block_on(async {
        let mut named = named;
        while named.peer.is_none() {
            if let Some(Event::Joined { peer, .. }) = named.next().await {
                named.peer = Some(peer);
            }
        }
        (0..4).for_each(|_| named.send(Frame::new(Tag::new("INV"), vec![0xc1; 100])));
        // The answer shows that all before it was heard.
        named.say(&Message::GetHeaders { locator: vec![*genesis.identity()], stop: BlockId::ZERO });
        named.hears("HDR").await;
    });
    assert_eq!(honest.node.read("/v1/peers/bans"), bans);
    honest.node.command("/v1/peers", &json!({ "remove": address }));
    honest.relay("a named node that means harm");

    // The chain goes on beside all of them, which are still there or were sent away.
    honest.node.command("/v1/mine", &json!({ "blocks": 3 }));
    honest.other.wait("/v1/status", |status| status["height"] == json!(3));
    honest.other.wait("/v1/status", |status| status["mempool"]["transactions"] == json!(0));
    drop(flooders);
    let grown = honest.node.memory_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    for home in ["a", "b"] {
        let log = std::fs::read_to_string(directory.path().join(home).join("log")).unwrap();
        assert!(!log.contains("panicked"), "{log}");
        assert!(
            !log.contains('\u{1b}') && !log.contains('\u{202e}'),
            "names of others are shown as they are: {log}"
        );
    }
}
