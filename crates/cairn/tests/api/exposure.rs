//! An interface that other machines can reach: encrypted, known by its certificate, with the token.

use crate::http::connect;
use crate::node::{TestNode, program};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};

/// A node that listens on all addresses of this machine.
fn start(flags: &[&str]) -> TestNode {
    let genesis =
        "[network]\nname = \"open\"\ndevnet = true\n[difficulty]\nmode = \"fixed\"\nfirst_work = 256\n";
    TestNode::start_exposed(genesis, "0.0.0.0:0", flags)
}

/// Runs a command against a node as from another machine: nothing is known about it but what is said.
fn ask(url: &str, token: Option<&str>, certificate: Option<&str>) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["block", "tip", "--json", "--node", url]);
    for (flag, value) in [("--token-file", token), ("--node-cert", certificate)] {
        command.args(value.map(|value| [flag, value]).into_iter().flatten());
    }
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
        command.env(name, elsewhere.path());
    }
    command.env_remove("CAIRN_NODE").output().unwrap()
}

fn refusal(output: &Output) -> (Option<i32>, String) {
    let told = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let error: Value = serde_json::from_slice(told).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code(), error["error"]["code"].as_str().unwrap().to_owned())
}

/// An address of this machine that is not loopback. Nothing is sent to find it.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

#[test]
fn a_node_for_others_is_known_by_its_certificate_and_wants_its_token() {
    let node = start(&[]);
    let url = node.ready["api"].as_str().unwrap();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let fingerprint = node.ready["fingerprint"].as_str().unwrap();
    let token = node.ready["token_file"].as_str().unwrap();
    let data = Path::new(node.ready["data_dir"].as_str().unwrap());
    let certificate = data.join("api-certificate.pem");

    for known in [fingerprint, certificate.to_str().unwrap()] {
        let answer = ask(url, Some(token), Some(known));
        assert!(answer.status.success(), "{answer:?}");
    }
    assert_eq!(refusal(&ask(url, None, Some(fingerprint))), (Some(1), "token-required".to_owned()));
    let other = format!("sha256:{}", "00".repeat(32));
    for unknown in [None, Some(other.as_str())] {
        let refused = refusal(&ask(url, Some(token), unknown));
        assert_eq!(refused, (Some(3), "unknown-certificate".to_owned()), "{unknown:?}");
    }

    // Without encryption nothing is said.
    let mut plain = connect(node.address);
    let _ = write!(plain, "GET /v1/status HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // Whoever begins a greeting and does not go on is cut off like anybody slow.
    let mut slow = connect(node.address);
    slow.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    let _ = slow.read_to_end(&mut Vec::new());
    assert!(ask(url, Some(token), Some(fingerprint)).status.success());
}

#[test]
fn the_register_tells_commands_of_this_machine_how_to_know_the_node() {
    let mut node = start(&[]);
    let told = node.run(&["block", "tip", "--json"]);
    assert!(told.status.success(), "{told:?}");
    let told = node.run(&["stop", "--json"]);
    assert!(told.status.success(), "{told:?}");
    assert!(node.wait());
}

#[test]
fn one_client_of_another_machine_asks_only_so_often() {
    let Some(ip) = outer_address() else {
        println!("skipped: this machine has no other address than loopback");
        return;
    };
    let node = start(&["--api-reads", "1"]);
    let url = format!("https://{ip}:{}", node.address.port());
    let fingerprint = node.ready["fingerprint"].as_str();
    let token = node.ready["token_file"].as_str();
    // Two seconds' worth are there at once; a command asks more than once, and all of this within seconds.
    let refused = (0..50).find_map(|_| {
        let answer = ask(&url, token, fingerprint);
        (!answer.status.success()).then(|| refusal(&answer))
    });
    assert_eq!(refused, Some((Some(1), "slow-down".to_owned())));
    let local = ask(node.ready["api"].as_str().unwrap(), token, fingerprint);
    assert!(local.status.success(), "this machine itself has no limit: {local:?}");
}
