//! Nodes of one local network that find each other, learn whether they can be dialled, and ask a router to forward
//! their port: each in a network namespace of its own, with a switch between them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;
use support::{PATIENCE, genesis, program};

/// A switch, and what is plugged in; all of it is taken away in the end.
struct Switch {
    name: String,
    hosts: Vec<String>,
}

/// A machine of its own, as far as the network goes.
struct Host {
    namespace: String,
    home: PathBuf,
    running: Vec<Child>,
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Switch {
    /// None where this user may not make namespaces.
    fn new(name: &str) -> Option<Self> {
        let name = format!("{name}{}", std::process::id());
        ip(&["netns", "add", &name]).then_some(())?;
        let switch = Self { name, hosts: Vec::new() };
        let is_made = ip(&["-n", &switch.name, "link", "add", "bridge", "type", "bridge"])
            && ip(&["-n", &switch.name, "link", "set", "bridge", "up"]);
        is_made.then_some(switch)
    }

    /// A host with this address, whose way to everywhere else is the host 10.78.0.254.
    fn host(&mut self, address: &str, home: &Path) -> Host {
        let number = self.hosts.len();
        let (namespace, port) = (format!("{}-{number}", self.name), format!("port{number}"));
        let (place, home) = (format!("{address}/24"), home.join(&namespace));
        std::fs::create_dir_all(&home).unwrap();
        self.hosts.push(namespace.clone());
        for arguments in [
            &["netns", "add", &namespace][..],
            &[
                "-n", &self.name, "link", "add", &port, "type", "veth", "peer", "name", "eth", "netns",
                &namespace,
            ],
            &["-n", &self.name, "link", "set", &port, "master", "bridge", "up"],
            &["-n", &namespace, "address", "add", &place, "dev", "eth"],
            &["-n", &namespace, "link", "set", "eth", "up"],
            &["-n", &namespace, "link", "set", "lo", "up"],
            &["-n", &namespace, "route", "add", "default", "via", "10.78.0.254"],
        ] {
            assert!(ip(arguments), "{arguments:?}");
        }
        Host { namespace, home, running: Vec::new() }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for name in self.hosts.iter().chain([&self.name]) {
            ip(&["netns", "delete", name]);
        }
    }
}

impl Host {
    fn command(&self, of: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(of).stdin(Stdio::null());
        for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(name, &self.home);
        }
        command
    }

    /// Starts a node of the network in this file, told of no other one.
    fn start(&mut self, genesis: &Path, flags: &[&str]) {
        let mut command = self.command(&program());
        command.arg("node").arg("--genesis").arg(genesis).arg("--data-dir").arg(self.home.join("data"));
        let log = std::fs::File::create(self.home.join("log")).unwrap();
        self.running.push(command.args(flags).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// What the interface of the node says; null before it does.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&program()).args(arguments).arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn peers(&self) -> usize {
        self.json(&["peers"]).as_array().map_or(0, Vec::len)
    }

    /// Ends what runs here as an operator would, and waits for it.
    fn stop(&mut self) {
        for mut running in self.running.drain(..) {
            // The program has replaced `ip netns exec`, so this is the node itself.
            let stopped = Command::new("kill").arg(running.id().to_string()).status();
            assert!(stopped.unwrap().success());
            running.wait().unwrap();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for running in &mut self.running {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

/// Waits until it is so; says what the nodes logged if it never is.
fn wait(hosts: &[&Host], what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            let logs: Vec<_> = hosts.iter().map(|host| host.log()).collect();
            panic!("it does not happen that {what}:\n{}", logs.join("\n"));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn skipped() {
    println!("skipped: hosts need the right to make network namespaces (run as root)");
}

#[test]
fn nodes_that_are_told_of_nobody_find_each_other_and_whether_they_can_be_dialled() {
    let Some(mut switch) = Switch::new("cnear") else { return skipped() };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis(1).to_toml()).unwrap();
    let [mut a, mut b, mut silent] =
        ["10.78.0.1", "10.78.0.2", "10.78.0.3"].map(|address| switch.host(address, directory.path()));
    a.start(&file, &["--mdns", "--autonat"]);
    b.start(&file, &["--mdns", "--autonat"]);
    // It is built for it as well, and nobody has told it to.
    silent.start(&file, &[]);
    wait(&[&a, &b], "they have a link", || a.peers() == 1 && b.peers() == 1);
    // Whoever of the two has dialled the other asks.
    wait(&[&a, &b], "one of them knows that it can be dialled", || {
        [&a, &b].into_iter().any(|host| host.log().contains("other nodes can dial this one"))
    });
    assert_eq!((a.peers(), b.peers(), silent.peers()), (1, 1, 0));
    let address = |host: &Host| host.json(&["peers"])[0]["address"].as_str().unwrap().to_owned();
    assert!(address(&a).starts_with("10.78.0.2:") && address(&b).starts_with("10.78.0.1:"));
}

/// The next line of the router; it is killed in the end, so that this ends too.
fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn a_router_is_asked_to_forward_the_port_and_to_stop_in_the_end() {
    let Some(mut switch) = Switch::new("croute") else { return skipped() };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis(1).to_toml()).unwrap();
    let mut router = switch.host("10.78.0.254", directory.path());
    let mut node = switch.host("10.78.0.1", directory.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/router.py");
    let mut command = router.command(Path::new("python3"));
    let Ok(mut running) = command.arg(script).arg("10.78.0.254").stdout(Stdio::piped()).spawn() else {
        println!("skipped: the router needs python3");
        return;
    };
    let mut said = BufReader::new(running.stdout.take().unwrap());
    router.running.push(running);
    assert_eq!(line(&mut said), "ready");
    node.start(&file, &["--upnp"]);
    assert_eq!(line(&mut said), "AddPortMapping TCP 7700 10.78.0.1");
    wait(&[&node], "it says where others reach it", || node.log().contains("93.184.216.34:7700"));
    node.stop();
    assert_eq!(line(&mut said), "DeletePortMapping TCP 7700");
}
