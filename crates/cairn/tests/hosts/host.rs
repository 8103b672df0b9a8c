//! Hosts: network namespaces with a switch between them.

use crate::support::{Connection, PATIENCE as READY_TIME, get, key, program};
use cairn_core::address::AddressPrefix;
use cairn_core::codec::Encode as _;
use cairn_core::transaction::Transaction;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A link that was cut comes back when TCP tries again, which it does ever more seldom.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Where the interface of each node is, on its host.
const API_PORT: u16 = 7780;
/// Switches of this process, of which tests that run together have one each.
static SWITCHES: AtomicU32 = AtomicU32::new(0);

/// A switch with hosts on it, taken away in the end.
pub(crate) struct Switch {
    name: String,
}

/// A machine of its own, as far as the network goes.
pub(crate) struct Host {
    pub(crate) number: u8,
    namespace: String,
    pub(crate) home: PathBuf,
    node: Option<Child>,
}

fn ip(arguments: &[&str]) -> bool {
    let done = Command::new("ip").args(arguments).output();
    done.is_ok_and(|output| output.status.success())
}

impl Switch {
    /// None where this user may not make namespaces.
    pub(crate) fn new() -> Option<Self> {
        let number = SWITCHES.fetch_add(1, Ordering::Relaxed);
        let name = format!("cairn{}x{number}", std::process::id());
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let switch = Self { name };
        let is_made = ip(&["-n", &switch.name, "link", "add", "bridge", "type", "bridge"])
            && ip(&["-n", &switch.name, "link", "set", "bridge", "up"]);
        is_made.then_some(switch)
    }

    /// A host with the address 10.77.0.NUMBER.
    pub(crate) fn host(&self, number: u8, home: &Path) -> Host {
        let namespace = format!("{}-{number}", self.name);
        let port = port_of(number);
        let (address, home) = (format!("{}/24", address_of(number)), home.join(format!("host{number}")));
        std::fs::create_dir_all(&home).unwrap();
        for arguments in [
            &["netns", "add", &namespace][..],
            &[
                "-n", &self.name, "link", "add", &port, "type", "veth", "peer", "name", "eth", "netns",
                &namespace,
            ],
            &["-n", &self.name, "link", "set", &port, "master", "bridge", "up"],
            &["-n", &namespace, "address", "add", &address, "dev", "eth"],
            &["-n", &namespace, "link", "set", "eth", "up"],
            &["-n", &namespace, "link", "set", "lo", "up"],
        ] {
            assert!(ip(arguments), "{arguments:?}");
        }
        Host { number, namespace, home, node: None }
    }

    /// Pulls the cable of a host, or puts it back.
    pub(crate) fn plug(&self, host: &Host, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        assert!(ip(&["-n", &self.name, "link", "set", &port_of(host.number), state]));
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.name]);
    }
}

fn port_of(number: u8) -> String {
    format!("port{number}")
}

pub(crate) fn address_of(number: u8) -> String {
    format!("10.77.0.{number}")
}

impl Host {
    /// The program on this host.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program());
        for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(name, &self.home);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Starts a node that makes blocks when asked and is told of another one.
    pub(crate) fn start(&mut self, genesis: &Path, peer: Option<&Self>) {
        let peer = peer.map(|peer| format!("{}:7700", address_of(peer.number)));
        let flags: Vec<&str> = peer.as_deref().map_or(Vec::new(), |peer| vec!["--peer", peer]);
        self.start_with(genesis, &flags);
    }

    /// Starts a node that makes blocks when asked, with flags.
    pub(crate) fn start_with(&mut self, genesis: &Path, flags: &[&str]) {
        let prefix = AddressPrefix::new("cairn").unwrap();
        let producer = key(self.number).address().to_text(&prefix);
        let mut command = self.command();
        command.args(["node", "--role", "miner", "--mine", "manual", "--producer", &producer]);
        command.arg("--genesis").arg(genesis).arg("--data-dir").arg(self.home.join("data"));
        command.args(["--name", &format!("host{}", self.number)]);
        self.spawn(command.args(flags));
        self.wait_ready();
    }

    /// Runs a program that does not end on this host.
    pub(crate) fn spawn(&mut self, command: &mut Command) {
        let log = std::fs::File::options().create(true).append(true).open(self.home.join("log")).unwrap();
        self.node = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Waits for the first answer of its node.
    pub(crate) fn wait_ready(&self) {
        let start = Instant::now();
        while self.get("/v1/status").is_none() {
            assert!(start.elapsed() < READY_TIME, "host {} does not answer: {}", self.number, self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Does something on this host, as far as the network goes.
    fn within<T: Send>(&self, does: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/var/run/netns/{}", self.namespace)).unwrap();
        // A thread moves alone, and does not come back.
        let moved = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            does()
        };
        std::thread::scope(|scope| scope.spawn(moved).join().unwrap())
    }

    /// Asks its node; none if there is no answer, or no good one.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.within(|| get(API_PORT, path).filter(|answer| answer.status == 200).map(|answer| answer.json()))
    }

    /// Gives its node a transaction; its id, once the node has promised to keep it.
    pub(crate) fn submit(&self, transaction: &Transaction) -> String {
        let bytes = transaction.to_bytes();
        let answer = self.within(|| {
            Connection::open(API_PORT).unwrap().post("/v1/transactions", &bytes).expect("an answer")
        });
        assert_eq!(answer.status, 202, "host {}: {}", self.number, answer.json());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Drops what goes to another host, and hears what comes from it; or drops nothing any more.
    pub(crate) fn shun(&self, other: &Self, is_shunned: bool) {
        let change = if is_shunned { "add" } else { "delete" };
        let to = format!("{}/32", address_of(other.number));
        assert!(ip(&["-n", &self.namespace, "route", change, "blackhole", &to]));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).arg("--json").output().unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Its tip: height and id.
    pub(crate) fn tip(&self) -> Option<Value> {
        self.get("/v1/blocks/tip")
    }

    /// Waits until its tip is as it should be.
    pub(crate) fn wait(&self, is_so: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let tip = self.tip();
            if tip.as_ref().is_some_and(&is_so) {
                return;
            }
            if start.elapsed() > PATIENCE {
                panic!("host {} stays at {tip:?}:\n{}", self.number, self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn mine(&self, blocks: u64) {
        let token = std::fs::read_to_string(self.home.join("data/token")).unwrap();
        let body = json!({ "blocks": blocks }).to_string();
        let answer = self.within(|| {
            Connection::open(API_PORT)
                .unwrap()
                .post_with_token("/v1/mine", token.trim(), &body)
                .expect("an answer")
        });
        assert_eq!(answer.status, 200, "host {}: {}", self.number, answer.json());
    }

    /// Ends its node without warning.
    pub(crate) fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            // The program replaced `ip netns exec`, so this is the node itself.
            node.kill().unwrap();
            node.wait().unwrap();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
        ip(&["netns", "delete", &self.namespace]);
    }
}

/// Says why a test shows nothing here.
pub(crate) fn skip() {
    println!("skipped: hosts need the right to make network namespaces (run as root)");
}
