//! Strangers become one network: real programs on loopback that know no more than a tracker, an invite, or an
//! address with an identity.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use cairn::invite::Invite;
use cairn_core::codec::Encode as _;
use cairn_core::genesis::Genesis;
use cairn_node::wire::{BULK_TAGS, Message};
use cairn_p2p::{
    AnswerStream, BulkEnd, EndCode, Event, Frame, Network, NodeKey, PeerAddress, Place, Settings, Tag,
    TagRule, Tags,
};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Instant;
use support::{Connection, PATIENCE, genesis, get, key, program, transfer};

/// The directories of one user, in which several programs may run.
struct Home(tempfile::TempDir);

/// A program that runs; killed when dropped.
struct Running {
    child: Child,
    ready: Value,
    _stdout: BufReader<ChildStdout>,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command.env("HOME", self.0.path()).env("XDG_RUNTIME_DIR", self.path("run"));
        command.env("CAIRN_P2P_BIND", "127.0.0.1:0").env("CAIRN_API_BIND", "127.0.0.1:0");
        command.env("CAIRN_HTTP_BIND", "127.0.0.1:0").stdin(Stdio::null());
        command
    }

    /// Starts something and waits until it says that it is ready.
    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(ready["ready"], true, "{arguments:?}: {line}");
        Running { child, ready, _stdout: stdout }
    }

    /// The exit status and the error of what must fail.
    fn fail(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.command(arguments).arg("--json").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr);
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{told}"));
        for part in ["code", "message", "help"] {
            assert!(value["error"][part].is_string(), "{part}: {value}");
        }
        (output.status.code().unwrap(), value["error"].clone())
    }

    fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}{told}", String::from_utf8_lossy(&output.stdout));
        output
    }

    /// Writes a genesis file.
    fn write(&self, name: &str, genesis: &Genesis) -> String {
        std::fs::write(self.path(name), genesis.to_toml()).unwrap();
        self.text(name)
    }
}

impl Running {
    fn field(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("{name}: {}", self.ready))
    }

    /// The port of its HTTP interface.
    fn port(&self) -> u16 {
        let url = self.ready["api"].as_str().or(self.ready["http"].as_str()).unwrap();
        url.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Where other nodes find it.
    fn address(&self) -> String {
        self.ready["p2p"][0].as_str().unwrap().to_owned()
    }

    fn json(&self, path: &str) -> Value {
        get(self.port(), path).unwrap_or_else(|| panic!("{path}: no answer")).json()
    }

    /// The ids of the nodes with whom it keeps a chain.
    fn peers(&self) -> Vec<String> {
        let peers = self.json("/v1/peers");
        let full = peers
            .as_array()
            .unwrap()
            .iter()
            .filter(|peer| peer["roles"].as_array().unwrap().iter().any(|role| role == "full"));
        full.map(|peer| peer["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Ends it without warning.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as its operator would.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says to a tracker that nobody is at an address.
fn report(tracker: &Running, address: &str) -> Value {
    let (port, body) = (tracker.port(), format!("{{\"address\":\"{address}\"}}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "POST /v1/dead HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Waits until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what} within a minute");
        std::thread::yield_now();
    }
}

fn tracker(home: &Home, genesis: &str) -> Running {
    home.start(&["tracker", "--genesis", genesis, "--data-dir", &home.text("tracker")])
}

/// A node that knows nobody but a tracker.
fn node(home: &Home, name: &str, genesis: &str, tracker: &str) -> Running {
    let directory = home.text(name);
    home.start(&[
        "node",
        "--name",
        name,
        "--genesis",
        genesis,
        "--data-dir",
        &directory,
        "--tracker",
        tracker,
    ])
}

/// Submits a payment to one node, and waits until all others have it.
fn cross(genesis: &Genesis, from: u8, nonce: u64, first: &Running, others: &[&Running]) {
    let payment = transfer(genesis, &key(from), nonce, key(9).address(), 1);
    let answer =
        Connection::open(first.port()).unwrap().post("/v1/transactions", &payment.to_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.json());
    let path = format!("/v1/transactions/{}", answer.json()["id"].as_str().unwrap());
    for other in others {
        wait_until("the payment reaches all", || get(other.port(), &path).is_some_and(|it| it.status == 200));
    }
}

#[test]
fn three_nodes_meet_through_a_tracker_and_go_on_without_it_and_two_more_join() {
    let home = Home::new();
    let genesis = genesis(3);
    let file = home.write("genesis.toml", &genesis);
    let tracker = tracker(&home, &file);
    let address = tracker.address();
    let nodes = ["n1", "n2", "n3"].map(|name| node(&home, name, &file, &address));
    wait_until("each meets another", || nodes.iter().all(|node| !node.peers().is_empty()));
    wait_until("all are listed", || tracker.json("/v1/peers").as_array().unwrap().len() == 3);
    let listed = tracker.json("/v1/peers");
    for node in &nodes {
        let entry = listed.as_array().unwrap().iter().find(|it| it["id"] == node.ready["id"]).unwrap();
        assert_eq!(entry["address"], node.address());
    }
    let text = get(tracker.port(), "/v1/genesis").unwrap().body;
    assert_eq!(String::from_utf8(text).unwrap(), genesis.to_toml());
    let [n1, n2, n3] = &nodes;
    cross(&genesis, 0, 0, n1, &[n2, n3]);

    // A fourth joins by the invite of the tracker, and keeps to it.
    let invite = tracker.json("/v1/invite")["invite"].as_str().unwrap().to_owned();
    let joined = home.start(&["join", &invite, "--name", "n4"]);
    assert_eq!(joined.ready["identity"], genesis.identity().to_string());
    wait_until("the fourth meets another", || !joined.peers().is_empty());
    let directory = PathBuf::from(joined.field("data_dir"));
    let settings = std::fs::read_to_string(directory.join("cairn.toml")).unwrap();
    assert!(settings.contains(&format!("trackers = \"{}@{address}\"", tracker.field("id"))), "{settings}");
    assert!(settings.contains("name = \"n4\""), "{settings}");

    // The tracker dies; what it was for is done.
    tracker.kill();
    cross(&genesis, 1, 0, n3, &[n1, n2, &joined]);

    // A fifth needs no tracker: an address and the identity will do.
    let identity = genesis.identity().to_string();
    let other = home.text("n5");
    let fifth = home.start(&["join", &n1.address(), "--identity", &identity, "--data-dir", &other]);
    wait_until("the fifth meets another", || !fifth.peers().is_empty());
    cross(&genesis, 2, 0, &fifth, &[n1, n2, n3, &joined]);
    let settings = std::fs::read_to_string(home.path("n5/cairn.toml")).unwrap();
    assert!(settings.contains(&format!("peers = \"{}\"", n1.address())), "{settings}");

    // To join again goes on with what is there, whoever else is gone.
    joined.stop();
    for node in nodes {
        node.stop();
    }
    let again = home.start(&["join", &invite]);
    assert_eq!(PathBuf::from(again.field("data_dir")), directory);
    assert_eq!(again.json("/v1/status")["name"], "n4");
}

#[test]
fn a_tracker_knows_its_nodes_after_a_restart_and_forgets_those_that_stop() {
    let home = Home::new();
    let file = home.write("genesis.toml", &genesis(1));
    let first = tracker(&home, &file);
    let n1 = node(&home, "n1", &file, &first.address());
    let n2 = node(&home, "n2", &file, &first.address());
    wait_until("both are listed", || first.json("/v1/peers").as_array().unwrap().len() == 2);
    n2.stop();
    wait_until("one that stops is gone at once", || first.json("/v1/peers").as_array().unwrap().len() == 1);
    first.stop();
    // The new one has another port, so nobody comes to it: what it knows, it knows from before.
    let second = tracker(&home, &file);
    assert_eq!(second.json("/v1/peers")[0]["id"], n1.ready["id"]);
    assert_eq!(second.json("/v1/status")["linked"], 0);
    // The word that it is dead is looked into, and not believed.
    let address = n1.address();
    assert_eq!(report(&second, "192.0.2.1:1")["error"]["code"], "unknown-peer");
    assert!(["checking", "checked"].contains(&report(&second, &address)["state"].as_str().unwrap()));
    assert_eq!(second.json("/v1/peers").as_array().unwrap().len(), 1);
    // It dies without a word while no tracker runs: the next one looks at it, and drops it.
    second.stop();
    n1.kill();
    let third = tracker(&home, &file);
    wait_until("the dead one is gone", || third.json("/v1/peers").as_array().unwrap().is_empty());
}

#[test]
fn a_wrong_identity_nobody_there_and_texts_that_are_none_are_told_apart() {
    let home = Home::new();
    let genesis = genesis(1);
    let file = home.write("genesis.toml", &genesis);
    let node = home.start(&["node", "--genesis", &file, "--data-dir", &home.text("n1")]);
    let address = node.address();
    let other = "ab".repeat(32);
    let (status, error) = home.fail(&["join", &address, "--identity", &other]);
    assert_eq!((status, error["code"].as_str()), (1, Some("other-network")), "{error}");
    assert!(!home.path(".local/share/cairn").exists(), "nothing is written before it is right");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let identity = genesis.identity().to_string();
    let (status, error) = home.fail(&["join", &nobody, "--identity", &identity]);
    assert_eq!((status, error["code"].as_str()), (3, Some("unreachable")), "{error}");
    let (status, error) = home.fail(&["join", &address]);
    assert_eq!((status, error["code"].as_str()), (2, Some("no-identity")), "{error}");
    let (status, error) = home.fail(&["join", "somewhere"]);
    assert_eq!((status, error["code"].as_str()), (2, Some("wrong-value")), "{error}");

    let url = format!("http://{address}");
    let (status, error) = home.fail(&["join", &url, "--identity", &identity]);
    assert_eq!((status, error["code"].as_str()), (2, Some("wrong-value")), "{error}");
    let (status, error) = home.fail(&["join", &address, "--identity", &identity[..60]]);
    assert_eq!(status, 2, "{error}");
    assert!(error["message"].as_str().unwrap().starts_with("--identity has 60 characters"), "{error}");
    let interface = format!("127.0.0.1:{}", node.port());
    let (status, error) = home.fail(&["join", &interface, "--identity", &identity]);
    assert_eq!((status, error["code"].as_str()), (3, Some("unreachable")), "{error}");
    assert!(error["help"].as_str().unwrap().contains("the port where nodes meet"), "{error}");

    // The first address of an invite may be wrong: the next is asked.
    let places = [&nobody, &address].map(|place| place.parse::<PeerAddress>().unwrap());
    let invite = Invite::new(*genesis.identity(), "test", places.to_vec()).unwrap().to_string();
    let (_, error) = home.fail(&["join", &invite[..invite.len() - 3]]);
    assert_eq!(error["code"], "invite-cut-off");
    let joined = home.start(&["join", &invite]);
    wait_until("they meet", || !joined.peers().is_empty());

    // A directory holds one network.
    let elsewhere = Invite::new(cairn_core::hash::BlockId([7; 32]), "test", places.to_vec()).unwrap();
    let (status, error) =
        home.fail(&["join", &elsewhere.to_string(), "--data-dir", joined.field("data_dir")]);
    assert_eq!((status, error["code"].as_str()), (1, Some("wrong-network")), "{error}");
    // An invite that calls it otherwise was not made by who runs it.
    let renamed = Invite::new(*genesis.identity(), "best", vec![address.parse().unwrap()]).unwrap();
    let (status, error) = home.fail(&["join", &renamed.to_string(), "--data-dir", &home.text("fresh")]);
    assert_eq!((status, error["code"].as_str()), (1, Some("invite-invalid")), "{error}");
    assert!(!home.path("fresh").exists());
}

#[test]
fn what_is_mistyped_of_peers_and_ports_is_told_before_anything_is_done() {
    let home = Home::new();
    let file = home.write("genesis.toml", &genesis(1));
    let node = home.start(&["node", "--genesis", &file, "--data-dir", &home.text("n1")]);
    let (address, api) = (node.address(), format!("http://127.0.0.1:{}", node.port()));
    let cases: [(&[&str], &str); 6] = [
        (&["peers", "add", &api], "is no address of a node"),
        (&["peers", "add", "127.0.0.1"], "is no address of a node"),
        (&["peers", "remove", "127.0.0.1:99999"], "is no address of a node"),
        (&["peers", "ban", &address], "is nobody to ban"),
        (&["peers", "unban", "nobody"], "is nobody to ban"),
        (&["node", "--genesis", &file, "--tracker", &api], "--tracker is"),
    ];
    for (arguments, told) in cases {
        let (status, error) = home.fail(arguments);
        assert_eq!((status, error["code"].as_str()), (2, Some("wrong-value")), "{arguments:?}: {error}");
        assert!(error["message"].as_str().unwrap().contains(told), "{arguments:?}: {error}");
    }
    for command in ["node", "tracker"] {
        let directory = home.text(&format!("{command}-2"));
        let (status, error) =
            home.fail(&[command, "--genesis", &file, "--data-dir", &directory, "--p2p-bind", &address]);
        assert_eq!((status, error["code"].as_str()), (1, Some("port-in-use")), "{error}");
        assert!(error["message"].as_str().unwrap().starts_with(&address), "{error}");
    }
}

/// Answers each question for a genesis with these pieces.
async fn lie(identity: [u8; 32], pieces: Vec<Vec<u8>>) -> (Network, String) {
    let tag = |letters: &[u8; 3]| Tag::from_bytes(letters).unwrap();
    let limit = BULK_TAGS.iter().find(|(tag, _)| &tag.0 == b"GGN").unwrap().1;
    let tags = Tags::new().with(Place::Ask, tag(b"GGN"), TagRule { body_bytes_max: limit, rate: None });
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let settings = Settings { listen, tags, ..Settings::new(NodeKey::generate(), identity) };
    let (network, mut events) = Network::start(settings).await.unwrap();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Asked { answer, .. } = event {
                tokio::spawn(send(answer, pieces.clone()));
            }
        }
    });
    let address = network.listening()[0].to_string();
    (network, address)
}

async fn send(answer: AnswerStream, pieces: Vec<Vec<u8>>) {
    for piece in pieces {
        let message = Message::Genesis(piece);
        let frame = Frame::new(Tag::from_bytes(&message.tag().0).unwrap(), message.to_body());
        if answer.send(frame).await.is_err() {
            return;
        }
    }
    answer.end(BulkEnd::new(EndCode::Complete, "")).await;
}

#[test]
fn a_liar_is_refused_and_an_honest_node_behind_it_is_asked() {
    let home = Home::new();
    let honest = genesis(2);
    let identity = *honest.identity();
    let file = home.write("genesis.toml", &honest);
    let node = home.start(&["node", "--genesis", &file, "--data-dir", &home.text("n1")]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let other = genesis(1).to_toml().into_bytes();
    let broken = honest.to_toml().replace("mode = ", "mood = ").into_bytes();
    let lies = [
        ("another network's", vec![other], "other-network"),
        ("one that breaks a rule", vec![broken], "no-genesis"),
        ("garbage", vec![vec![0xff; 100]], "no-genesis"),
        ("nothing", vec![], "no-genesis"),
    ];
    for (what, pieces, code) in lies {
        let (network, address) = runtime.block_on(lie(identity.0, pieces));
        let (status, error) = home.fail(&["join", &address, "--identity", &identity.to_string()]);
        assert_eq!((status, error["code"].as_str()), (1, Some(code)), "{what}: {error}");
        assert!(!home.path(".local/share/cairn").exists(), "{what}");
        let places = [&address, &node.address()].map(|place| place.parse().unwrap());
        let invite = Invite::new(identity, "test", places.to_vec()).unwrap().to_string();
        let directory = home.text(what);
        let joined = home.start(&["join", &invite, "--data-dir", &directory]);
        assert_eq!(joined.ready["identity"], identity.to_string(), "{what}");
        joined.stop();
        runtime.block_on(network.stop());
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_that_looks_joined() {
    let home = Home::new();
    let small = home.path("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&small).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: a small disk needs the right to mount one (run as root)");
        return;
    }
    let genesis = genesis(200);
    let file = home.write("genesis.toml", &genesis);
    let node = home.start(&["node", "--genesis", &file, "--data-dir", &home.text("n1")]);
    let identity = genesis.identity().to_string();
    let directory = home.text("small/net");
    let (status, error) =
        home.fail(&["join", &node.address(), "--identity", &identity, "--data-dir", &directory]);
    let is_left = home.path("small/net/genesis.toml").exists();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    assert_eq!((status, error["code"].as_str()), (1, Some("disk-full")), "{error}");
    assert!(!is_left);
}

#[test]
fn a_node_runs_behind_the_terminal_until_it_is_stopped() {
    let home = Home::new();
    let file = home.write("genesis.toml", &genesis(1));
    let (directory, pidfile) = (home.text("n1"), home.text("n1.pid"));
    // A number that was left behind, of a process that lives.
    std::fs::write(&pidfile, format!("{}\n", std::process::id())).unwrap();
    let arguments =
        ["node", "--genesis", &file, "--data-dir", &directory, "--daemon", "--pidfile", &pidfile, "--json"];
    let started = home.succeed(&arguments);
    let ready: Value = serde_json::from_slice(&started.stdout).unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    let pid = std::fs::read_to_string(&pidfile).unwrap();
    assert_eq!(pid.trim(), ready["pid"].to_string());
    // It answers as soon as the command has returned.
    let port: u16 = ready["api"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(get(port, "/v1/status").unwrap().status, 200);
    let (status, error) = home.fail(&arguments[..arguments.len() - 1]);
    assert_eq!((status, error["code"].as_str()), (1, Some("already-running")), "{error}");
    // What stops it from starting is told by the command that waits for it.
    let other = home.text("other.pid");
    let (status, error) =
        home.fail(&["node", "--genesis", &file, "--data-dir", &directory, "--daemon", "--pidfile", &other]);
    assert_eq!((status, error["code"].as_str()), (1, Some("in-use")), "{error}");
    home.succeed(&["stop"]);
    assert!(!home.path("n1.pid").exists());
    let log = std::fs::read_to_string(home.path("n1/node.log")).unwrap();
    assert!(log.contains("node started") && log.contains("node stopped"), "{log}");
}

#[test]
fn a_tracker_behind_the_terminal_is_stopped_as_a_node_is() {
    let home = Home::new();
    let file = home.write("genesis.toml", &genesis(1));
    let (status, error) = home.fail(&["stop"]);
    assert_eq!((status, error["code"].as_str()), (3, Some("no-node")), "{error}");
    let (directory, pidfile) = (home.text("t1"), home.text("t1.pid"));
    // A number that was left behind, of a process that lives.
    std::fs::write(&pidfile, format!("{}\n", std::process::id())).unwrap();
    let arguments = [
        "tracker",
        "--genesis",
        &file,
        "--data-dir",
        &directory,
        "--daemon",
        "--pidfile",
        &pidfile,
        "--json",
    ];
    let started = home.succeed(&arguments);
    let ready: Value = serde_json::from_slice(&started.stdout).unwrap();
    assert_eq!((&ready["ready"], ready["role"].as_str()), (&Value::Bool(true), Some("tracker")), "{ready}");
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap().trim(), ready["pid"].to_string());
    let (status, error) = home.fail(&arguments[..arguments.len() - 1]);
    assert_eq!((status, error["code"].as_str()), (1, Some("already-running")), "{error}");
    let (status, error) = home.fail(&["tracker", "--genesis", &file, "--daemon", "--pidfile", &directory]);
    assert_eq!((status, error["code"].as_str()), (1, Some("unwritable-file")), "{error}");
    // It is no node: what asks for one does not come to it.
    let (status, error) = home.fail(&["block"]);
    assert_eq!((status, error["code"].as_str()), (3, Some("no-node")), "{error}");
    // An invite is what it has.
    let invite = String::from_utf8(home.succeed(&["network", "invite"]).stdout).unwrap();
    assert_eq!(invite.parse::<Invite>().unwrap().name(), "test");
    // Beside a node it has to be said which is meant.
    let node = home.start(&["node", "--genesis", &file, "--data-dir", &home.text("n1")]);
    home.succeed(&["block"]);
    let (status, error) = home.fail(&["stop"]);
    assert_eq!((status, error["code"].as_str()), (2, Some("several-nodes")), "{error}");
    let told = error["message"].as_str().unwrap();
    assert!(
        told.starts_with("1 node and 1 tracker run here") && told.contains("the tracker of test"),
        "{told}"
    );
    let stopped = home.succeed(&["stop", "--node", ready["http"].as_str().unwrap(), "--json"]);
    let stopped: Value = serde_json::from_slice(&stopped.stdout).unwrap();
    assert_eq!(
        (&stopped["kind"], &stopped["name"], &stopped["pid"]),
        (&"tracker".into(), &"tracker".into(), &ready["pid"])
    );
    assert!(!home.path("t1.pid").exists() && !home.path("t1/tracker/token").exists());
    let log = std::fs::read_to_string(home.path("t1/tracker/tracker.log")).unwrap();
    assert!(log.contains("tracker started") && log.contains("tracker stopped"), "{log}");
    let told = String::from_utf8(home.succeed(&["stop", "test"]).stdout).unwrap();
    assert!(told.starts_with("stopped node of test"), "{told}");
    drop(node);
}

#[test]
fn whoever_has_not_the_token_stops_no_tracker() {
    let home = Home::new();
    let file = home.write("genesis.toml", &genesis(1));
    let tracker = tracker(&home, &file);
    let ask = |path| Connection::open(tracker.port()).unwrap().post(path, b"").unwrap();
    let refused = ask("/v1/shutdown");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (401, &"token-required".into()));
    let other = home.path("token");
    std::fs::write(&other, "ab".repeat(32)).unwrap();
    let url = tracker.field("http");
    let (_, error) = home.fail(&["stop", "--node", url, "--token-file", &home.text("token")]);
    assert_eq!(error["code"], "wrong-token", "{error}");
    assert_eq!(tracker.json("/v1/status")["role"], "tracker");
}

#[test]
fn a_network_is_created_with_all_that_its_machines_need() {
    let home = Home::new();
    let created = home.succeed(&[
        "network",
        "create",
        "play",
        "--devnet",
        "--allocate",
        "alice=1000",
        "--reward",
        "50",
        "--address",
        "127.0.0.1:7760",
        "--json",
    ]);
    let told: Value = serde_json::from_slice(&created.stdout).unwrap();
    let invite: Invite = told["invite"].as_str().unwrap().parse().unwrap();
    assert_eq!(told["next"].as_array().unwrap().len(), 3);
    for file in ["genesis.toml", "node.toml", "miner.toml", "tracker.toml"] {
        assert!(home.path("play").join(file).exists(), "{file}");
    }
    for part in ["node", "miner", "tracker"] {
        let unit =
            std::fs::read_to_string(home.path(&format!("play/systemd/cairn-play-{part}.service"))).unwrap();
        assert!(unit.contains("ProtectSystem=strict"), "{unit}");
        assert!(unit.contains(&format!("--config /etc/cairn/play/{part}.toml")), "{unit}");
        assert_eq!(unit.contains("WatchdogSec="), part != "tracker", "{unit}");
    }
    let (_, error) = home.fail(&["network", "create", "play"]);
    assert_eq!(error["code"], "file-exists");

    // Its settings are those of programs that run and meet.
    let tracker = home.start(&["--config", &home.text("play/tracker.toml"), "tracker"]);
    let found = tracker.address();
    let miner = home.start(&["--config", &home.text("play/miner.toml"), "node", "--tracker", &found]);
    let node = home.start(&["--config", &home.text("play/node.toml"), "node", "--tracker", &found]);
    assert_eq!(node.ready["identity"], invite.identity().to_string());
    wait_until("they meet", || !node.peers().is_empty());
    wait_until("blocks of the miner come", || node.json("/v1/status")["height"].as_u64().unwrap() > 0);
    // The tracker invites, and so does a node.
    let printed = |arguments: &[&str]| String::from_utf8(home.succeed(arguments).stdout).unwrap();
    let url = node.field("api").to_owned();
    let own: Invite = printed(&["network", "invite", "--node", &url]).parse().unwrap();
    assert_eq!(own.addresses()[0].to_string(), format!("{}@{}", node.field("id"), node.address()));
    let named = ["network", "invite", "--node", tracker.field("http"), "--address", "coin.example:7760"];
    let named: Invite = printed(&named).parse().unwrap();
    assert_eq!((named.identity(), named.name()), (invite.identity(), "play"));
    miner.stop();
}
