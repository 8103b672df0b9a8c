//! Nodes on different hosts: network namespaces with a switch between them. Cut off, rejoined, killed.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use cairn_core::address::AddressPrefix;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{genesis, key, program};

/// A link that was cut comes back when TCP tries again, which it does ever more seldom.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many blocks the losing side of a partition has made.
const DEPTH: u64 = 100;

/// A switch with hosts on it, taken away in the end.
struct Switch {
    name: String,
}

/// A machine of its own, as far as the network goes.
struct Host {
    number: u8,
    namespace: String,
    home: PathBuf,
    node: Option<Child>,
}

fn ip(arguments: &[&str]) -> bool {
    let done = Command::new("ip").args(arguments).output();
    done.is_ok_and(|output| output.status.success())
}

impl Switch {
    /// None where this user may not make namespaces.
    fn new() -> Option<Self> {
        let name = format!("cairn{}", std::process::id());
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let switch = Self { name };
        let is_made = ip(&["-n", &switch.name, "link", "add", "bridge", "type", "bridge"])
            && ip(&["-n", &switch.name, "link", "set", "bridge", "up"]);
        is_made.then_some(switch)
    }

    /// A host with the address 10.77.0.NUMBER.
    fn host(&self, number: u8, home: &Path) -> Host {
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
    fn plug(&self, host: &Host, is_in: bool) {
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

fn address_of(number: u8) -> String {
    format!("10.77.0.{number}")
}

impl Host {
    /// The program on this host.
    fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program());
        for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(name, &self.home);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Starts a node that makes blocks when asked and is told of another one.
    fn start(&mut self, genesis: &Path, peer: Option<&Self>) {
        let prefix = AddressPrefix::new("cairn").unwrap();
        let producer = key(self.number).address().to_text(&prefix);
        let mut command = self.command();
        command.args(["node", "--role", "miner", "--mine", "manual", "--producer", &producer]);
        command.arg("--genesis").arg(genesis).arg("--data-dir").arg(self.home.join("data"));
        command.args(["--name", &format!("host{}", self.number)]);
        if let Some(peer) = peer {
            command.args(["--peer", &format!("{}:7700", address_of(peer.number))]);
        }
        let log = std::fs::File::options().create(true).append(true).open(self.home.join("log")).unwrap();
        self.node = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.wait(|status| status["height"].is_u64());
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).arg("--json").output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Its tip: height and id.
    fn tip(&self) -> Option<Value> {
        let output = self.run(&["block", "tip"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits until its tip is as it should be.
    fn wait(&self, is_so: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let tip = self.tip();
            if tip.as_ref().is_some_and(&is_so) {
                return;
            }
            if start.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
                panic!("host {} stays at {tip:?}:\n{log}", self.number);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn mine(&self, blocks: u64) {
        self.json(&["mine", "--blocks", &blocks.to_string()]);
    }

    /// Ends its node without warning.
    fn kill(&mut self) {
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

#[test]
fn hosts_that_are_cut_off_and_killed_come_together_again() {
    let Some(switch) = Switch::new() else {
        println!("skipped: hosts need the right to make network namespaces (run as root)");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(8);
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let [mut a, mut b, mut c, mut d] = [1, 2, 3, 4].map(|number| switch.host(number, directory.path()));
    a.start(&file, None);
    b.start(&file, Some(&a));
    c.start(&file, Some(&b));
    // It knows C alone, and hears of the others from it.
    d.start(&file, Some(&c));
    a.mine(5);
    for host in [&b, &c, &d] {
        host.wait(|tip| tip["height"] == 5);
    }

    // Each side of a partition goes on; the shorter chain is left when they meet.
    switch.plug(&a, false);
    a.mine(DEPTH);
    b.mine(DEPTH + 3);
    for host in [&c, &d] {
        host.wait(|tip| tip["height"] == 5 + DEPTH + 3);
    }
    let winner = b.tip().unwrap()["id"].clone();
    assert_eq!(a.tip().unwrap()["height"], 5 + DEPTH);
    switch.plug(&a, true);
    a.wait(|tip| tip["id"] == winner);

    // Without the node that introduced it, the last one stays in the network; and one that was killed
    // catches up with what it has missed.
    let start = Instant::now();
    while d.json(&["peers"]).as_array().unwrap().len() < 2 {
        assert!(start.elapsed() < PATIENCE, "host 4 hears of nobody");
        std::thread::sleep(Duration::from_millis(200));
    }
    c.kill();
    a.mine(7);
    d.wait(|tip| tip["height"] == 5 + DEPTH + 10);
    c.start(&file, None);
    let last = a.tip().unwrap()["id"].clone();
    for host in [&b, &c, &d] {
        host.wait(|tip| tip["id"] == last);
    }
}
