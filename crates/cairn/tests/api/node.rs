//! A devnet in a process of its own, as a user would start it.

use crate::http::{Answer, request};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use tempfile::TempDir;

/// A running devnet; killed when dropped.
#[derive(Debug)]
pub(crate) struct TestNode {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    home: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) ready: Value,
}

/// Where a node that is started with `--log` writes its log.
const LOG_FILE: &str = "log";

/// The program under test.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CAIRN_BIN").map_or_else(|| env!("CARGO_BIN_EXE_cairn").into(), PathBuf::from)
}

/// The program, in a home directory of its own.
fn command_in(home: &TempDir) -> Command {
    let mut command = Command::new(program());
    command
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path().join("config"))
        .env("XDG_DATA_HOME", home.path().join("data"))
        .env("XDG_RUNTIME_DIR", home.path().join("runtime"))
        .env("CAIRN_P2P_BIND", "127.0.0.1:0")
        .env_remove("CAIRN_NODE");
    command
}

impl TestNode {
    /// A new devnet that makes blocks only when asked.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &["--mine", "manual"])
    }

    /// The devnet of a home directory.
    pub(crate) fn start_in(home: TempDir, flags: &[&str]) -> Self {
        let command = ["devnet", "--json", "--port-base", "0"];
        let one: &[&str] = if flags.contains(&"--nodes") { &[] } else { &["--nodes", "1"] };
        Self::spawn(home, &[&command, one, flags].concat())
    }

    /// A miner of a network of its own that makes blocks only when asked.
    pub(crate) fn start_network(genesis: &str) -> Self {
        Self::start_exposed(genesis, "127.0.0.1:0", &[])
    }

    /// The same, with its interface at an address.
    pub(crate) fn start_exposed(genesis: &str, bind: &str, more: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (file, data) = (home.path().join("genesis.toml"), home.path().join("chain"));
        std::fs::write(&file, genesis).unwrap();
        let flags = ["--role", "miner", "--producer", "alice", "--mine", "manual"];
        let places = ["--genesis", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let command = ["node", "--json", "--api-bind", bind];
        Self::spawn(home, &[command.as_slice(), &places, &flags, more].concat())
    }

    fn spawn(home: TempDir, arguments: &[&str]) -> Self {
        let log = arguments
            .contains(&"--log")
            .then(|| File::options().create(true).append(true).open(home.path().join(LOG_FILE)).unwrap());
        let mut child = command_in(&home)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.map_or_else(Stdio::inherit, Stdio::from))
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(ready["ready"], true);
        let api = ready["api"].as_str().or_else(|| ready["nodes"][0]["api"].as_str()).unwrap();
        let address = api.split_once("://").unwrap().1.parse().unwrap();
        let token = std::fs::read_to_string(ready["token_file"].as_str().unwrap()).unwrap();
        Self { child, _stdout: stdout, home, address, token: token.trim().to_owned(), ready }
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command in the same home directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        command_in(&self.home).args(arguments).output().unwrap()
    }

    /// Ends the process without warning and gives the home directory back.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.home, tempfile::tempdir().unwrap())
    }

    /// What it has logged so far, in this life and earlier ones, where it was started with `--log`.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join(LOG_FILE)).unwrap()
    }

    /// Waits until the process has ended by itself; whether it ended well.
    pub(crate) fn wait(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// Reads a path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[], &[])
    }

    /// Reads a path that must answer 200 with JSON.
    pub(crate) fn read(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    /// Posts a text that claims to be JSON.
    pub(crate) fn post_text(&self, path: &str, body: &str) -> Answer {
        let headers = [("Content-Type", "application/json")];
        request(self.address, "POST", path, &headers, body.as_bytes())
    }

    /// Posts canonical bytes.
    pub(crate) fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        let headers = [("Content-Type", "application/octet-stream")];
        request(self.address, "POST", path, &headers, body)
    }

    /// Posts JSON with the token.
    pub(crate) fn command(&self, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
        request(self.address, "POST", path, &headers, body.to_string().as_bytes())
    }

    /// Makes blocks.
    pub(crate) fn mine(&self, blocks: u32) {
        let answer = self.command("/v1/mine", &serde_json::json!({ "blocks": blocks }));
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    /// All that a refused request must not change.
    pub(crate) fn snapshot(&self) -> Vec<Value> {
        let mut status = self.read("/v1/status");
        // The rate of the last seconds falls by itself.
        status["mining"]["hash_rate"].take();
        let mut seen = vec![status, self.read("/v1/mempool")];
        for (_, key) in cairn_wallet::development_accounts() {
            let address = key.address().to_text(&crate::sender::prefix());
            seen.push(self.read(&format!("/v1/accounts/{address}")));
        }
        seen
    }

    /// Checks that the node never answered that it is to blame itself.
    pub(crate) fn assert_no_failure(&self) {
        let metrics = String::from_utf8(self.get("/metrics").body).unwrap();
        assert!(!metrics.contains("status=\"5"), "{metrics}");
        assert!(metrics.lines().any(|it| it.starts_with("cairn_http_panics_total") && it.ends_with(" 0")));
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
