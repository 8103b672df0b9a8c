//! How far a node is, at the bottom of a real terminal.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;
#[path = "support/terminal.rs"]
mod terminal;

use cairn_core::genesis::Genesis;
use cairn_node::wire::{BULK_TAGS, PEER_TAGS};
use cairn_p2p::{Network, NodeKey, Place, Roles, Settings, Tag, TagRule, Tags};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{Connection, NodeProcess, genesis, get, program};
use terminal::{PATIENCE, Terminal};

/// The height that the liar claims.
const CLAIMED: u64 = 123_456;

/// A node that claims a long chain and shows nothing of it: whoever meets it has a way to go.
struct Liar {
    runtime: tokio::runtime::Runtime,
    network: Network,
}

impl Liar {
    fn start(genesis: &Genesis) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let settings = Settings {
            tags: tags(),
            roles: Roles::FULL,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..Settings::new(NodeKey::generate(), genesis.identity().0)
        };
        let (network, mut events) = runtime.block_on(Network::start(settings)).unwrap();
        let mut work = [0; 32];
        work[20] = 1;
        network.set_hello_state(CLAIMED, [7; 32], work);
        runtime.spawn(async move { while events.next().await.is_some() {} });
        Self { runtime, network }
    }

    fn address(&self) -> String {
        self.network.listening()[0].to_string()
    }

    fn leave(self) {
        self.runtime.block_on(self.network.stop());
    }
}

/// All that nodes say to each other, so that nobody is sent away for it.
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

struct Home(tempfile::TempDir);

impl Home {
    fn new(genesis: &Genesis) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.genesis(), genesis.to_toml()).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn genesis(&self) -> PathBuf {
        self.path("genesis.toml")
    }

    fn node(&self, name: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("node").arg("--genesis").arg(self.genesis()).arg("--data-dir").arg(self.path(name));
        command.args(flags).current_dir(self.0.path()).env_clear();
        command
            .env("HOME", self.0.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("CAIRN_P2P_BIND", "127.0.0.1:0")
            .env("CAIRN_API_BIND", "127.0.0.1:0")
            .env("TERM", "xterm-256color");
        command
    }
}

/// A node with a chain of some blocks, and where others meet it.
fn miner(home: &Home, blocks: u32) -> (NodeProcess, String) {
    let directory = home.path("miner");
    let mut miner = NodeProcess::spawn(&home.genesis(), &directory, "manual", "alice");
    miner.wait_ready().unwrap();
    let token = std::fs::read_to_string(directory.join("token")).unwrap();
    let mut connection = Connection::open(miner.port).unwrap();
    let asked = connection.post_with_token("/v1/mine", token.trim(), &format!("{{\"blocks\":{blocks}}}"));
    assert_eq!(asked.unwrap().status, 200);
    let invite = get(miner.port, "/v1/invite").unwrap().json();
    let address = invite["addresses"][0].as_str().unwrap().to_owned();
    (miner, address)
}

/// Stops the program in a terminal as its operator would.
fn stop(terminal: &mut Terminal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(terminal.child.wait().unwrap().success());
    terminal.settle();
}

#[test]
fn a_node_that_catches_up_tells_so_at_the_bottom_and_then_that_it_has_all() {
    let genesis = genesis(1);
    let home = Home::new(&genesis);
    let liar = Liar::start(&genesis);
    let (_miner, address) = miner(&home, 30);
    let flags = ["--peer", &liar.address(), "--peer", &address];
    let mut command = home.node("n1", &flags);
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::begin(command);
    terminal.resize(100);
    terminal.expect("of 123,456");
    // The log goes on above it.
    terminal.expect("height=30");
    terminal.expect("of 123,456");
    let shown = terminal.all();
    assert!(shown.contains("headers/s") && shown.contains("peer"), "{shown:?}");
    liar.leave();
    terminal.expect("synced to height 30 in ");
    stop(&mut terminal);
    let rows = terminal.rows();
    let log = rows.iter().filter(|row| row.contains("cairn::"));
    assert!(log.clone().count() > 5, "{rows:#?}");
    for row in log {
        assert!(row.starts_with("20") && !row.contains(" of 123,456"), "{row:?}");
    }
    assert!(rows.iter().all(|row| !row.contains('\u{2501}')), "no bar is left: {rows:#?}");
    assert!(rows.iter().any(|row| row.starts_with("synced to height 30 in ")), "{rows:#?}");
}

#[test]
fn nothing_is_drawn_where_nobody_looks_or_nobody_wants_it() {
    let genesis = genesis(1);
    let home = Home::new(&genesis);
    let liar = Liar::start(&genesis);
    let cases: [(&str, &[&str], bool); 5] = [
        ("quiet", &["--quiet"], false),
        ("json", &["--json"], false),
        ("piped", &[], false),
        ("dumb", &[], false),
        ("plain", &[], true),
    ];
    let running = cases.map(|(case, more, is_drawn)| {
        let log = home.path(&format!("{case}.log"));
        let (peer, file) = (liar.address(), log.display().to_string());
        let flags = [&["--peer", &peer, "--log", "info", "--log-file", &file], more].concat();
        let mut command = home.node(case, &flags);
        command.env("NO_COLOR", "1");
        if case == "dumb" {
            command.env("TERM", "dumb");
        }
        let terminal = Terminal::begin_with(command, |command, [input, output, errors]| {
            let output = if case == "piped" { Stdio::null() } else { output };
            command.stdin(input).stdout(output).stderr(errors);
        });
        (case, is_drawn, log, terminal)
    });
    for (case, is_drawn, log, mut terminal) in running {
        // The log tells each two seconds that headers are coming, and a bar is drawn eight times as often.
        let start = Instant::now();
        let told = || std::fs::read_to_string(&log).unwrap_or_default().matches("headers are coming").count();
        while told() < 2 {
            assert!(start.elapsed() < PATIENCE, "{case}: the way to go is told");
            std::thread::yield_now();
        }
        stop(&mut terminal);
        let shown = terminal.all();
        assert_eq!(shown.contains("headers 0 of 123,456"), is_drawn, "{case}: {shown:?}");
        assert!(!shown.contains("\u{1b}[1m") && !shown.contains("\u{1b}[36m"), "{case}: {shown:?}");
        assert!(is_drawn || !shown.contains('\u{1b}'), "{case}: {shown:?}");
    }
}
