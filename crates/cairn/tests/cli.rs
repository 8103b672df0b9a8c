//! The command line as people and scripts meet it: the real program, its output, its exit status.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A user with directories of their own.
struct User {
    home: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("CAIRN_P2P_BIND", "127.0.0.1:0");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What the command writes to stdout; it must succeed.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?} failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The object that the command writes with `--json`; it must succeed.
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.succeed(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}:\n{text}"))
    }

    /// The exit status and the error that the command writes with `--json`.
    fn fail(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{arguments:?}: {error}:\n{text}\n{}", String::from_utf8_lossy(&output.stderr))
        });
        let error = value.get("error").unwrap_or_else(|| panic!("{arguments:?}: no error in {text}")).clone();
        for key in ["code", "message", "help"] {
            assert!(error[key].is_string(), "{arguments:?}: {key} in {error}");
        }
        (output.status.code().unwrap(), error)
    }

    /// What the command tells people on stderr; it must fail.
    fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?} wrote data");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// A program that serves until it is dropped.
struct Running {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    ready: Value,
}

impl Running {
    /// Starts a command with `--json` and waits for its first line.
    fn start(user: &User, arguments: &[&str]) -> Self {
        let mut command = user.command(&[arguments, &["--json"]].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {line}"));
        Self { child, _stdout: stdout, ready }
    }

    fn devnet(user: &User, more: &[&str]) -> Self {
        let arguments = [&["devnet", "--port-base", "0"], more].concat();
        let running = Self::start(user, &arguments);
        assert_eq!(running.ready["ready"], true);
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn without_a_node_every_command_that_needs_one_says_so_with_status_3() {
    let user = User::new();
    let commands: [&[&str]; 10] = [
        &["send", "--from", "alice", "--to", "bob", "--amount", "1"],
        &["tx", ID],
        &["tx", "build", "--from", "alice", "--to", "bob", "--amount", "1"],
        &["account", "alice"],
        &["block"],
        &["mempool"],
        &["mine"],
        &["load", "--transactions", "1"],
        &["export", "chain.blocks"],
        &["stop"],
    ];
    for arguments in commands {
        let (status, error) = user.fail(arguments);
        assert_eq!((status, error["code"].as_str()), (3, Some("no-node")), "{arguments:?}");
        // Whoever wants to stop a node wants none to start.
        let help = if arguments == ["stop"] { "nothing is left to stop" } else { "cairn devnet" };
        assert!(error["help"].as_str().unwrap().contains(help), "{arguments:?}");
        // Nothing listens on port 1 of this machine.
        let (status, _) = user.fail(&[arguments, &["--node", "http://127.0.0.1:1"]].concat());
        let expected = if arguments == ["stop"] { 1 } else { 3 };
        assert_eq!(status, expected, "{arguments:?}");
    }
}

#[test]
fn wrong_usage_is_status_2_whatever_is_wrong() {
    let user = User::new();
    let commands: &[(&[&str], &str)] = &[
        (&["frobnicate"], "usage"),
        (&["send"], "usage"),
        (&["load"], "usage"),
        (&["block", "12", "--frobnicate"], "usage"),
        (&["mine", "--blocks", "0"], "usage"),
        (&["mine", "--mode", "sometimes"], "usage"),
        (&["mine", "--threads", "0"], "usage"),
        (&["mine", "--threads", "257"], "usage"),
        (&["node", "--role", "king"], "usage"),
        (&["completions", "basic"], "usage"),
        (&["man", "wallet", "frobnicate"], "unknown-command"),
        (&["block", "../status"], "bad-block"),
        (&["tx", "abc"], "bad-id"),
        (&["block", "--node", "ftp://x"], "wrong-value"),
        (&["devnet", "--nodes", "33"], "wrong-value"),
        (&["devnet", "--validators", "3"], "validators-unsupported"),
        (&["devnet", "--block-time", "soon"], "wrong-value"),
        (&["node", "--role", "light"], "role-unsupported"),
        (&["verify"], "no-network"),
        (&["node", "--api-bind", "0.0.0.0"], "wrong-value"),
        (&["node", "--log", "loud"], "wrong-value"),
        (&["node", "--cache", "1"], "wrong-value"),
        #[cfg(not(feature = "mdns"))]
        (&["node", "--mdns"], "not-built-in"),
        #[cfg(not(feature = "upnp"))]
        (&["tracker", "--upnp"], "not-built-in"),
        (&["tracker", "--mdns"], if cfg!(feature = "mdns") { "usage" } else { "not-built-in" }),
        (&["node", "--threads", "0"], "wrong-value"),
        (&["node", "--threads", "some"], "wrong-value"),
        (&["devnet", "--threads", "257"], "usage"),
        (&["node", "--name", "../evil"], "usage"),
        (&["genesis", "new", "--name", "../evil"], "usage"),
        (&["send", "--to", "bob", "--amount", "1", "--nonce", "-1"], "usage"),
    ];
    for (arguments, code) in commands {
        let (status, error) = user.fail(arguments);
        assert_eq!((status, error["code"].as_str()), (2, Some(*code)), "{arguments:?}: {error}");
    }
    let said = |arguments: &[&str]| user.fail(arguments).1["message"].as_str().unwrap().to_owned();
    assert!(
        said(&["tx", "build", "--from", "a", "--to", "b", "--amount", "1", "--nonce", "-1"])
            .contains("whole number")
    );
    assert!(said(&["genesis", "new", "--name", "../evil"]).contains("no slashes"));
    assert!(said(&["node", "--cache", "1"]).contains("64MiB"));
    assert!(said(&["node", "--log", "loud"]).contains("error, warn, info"));
}

#[test]
fn a_setting_that_the_node_would_refuse_is_refused_where_it_is_shown() {
    let user = User::new();
    let show = |name: &str, value: &str| user.command(&["config", "show"]).env(name, value).output().unwrap();
    let refused = show("CAIRN_API_BIND", "0.0.0.0");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("an address and a port"));
    // A variable that means nothing is named, where it looks like one that does.
    let told = |name: &str| String::from_utf8(show(name, "x").stderr).unwrap();
    assert!(told("CAIRN_TIMEOT").contains("did you mean CAIRN_TIMEOUT?"));
    assert!(!told("CAIRN_BIN").contains("did you mean"));
}

#[test]
fn bare_cairn_says_what_to_do_next() {
    let user = User::new();
    let text = user.succeed(&[]);
    assert!(text.contains("cairn devnet"), "{text}");
    assert!(!text.contains('\u{1b}'), "no terminal, no colours: {text:?}");
    assert_eq!(user.json(&[])["running"], Value::Array(Vec::new()));
    assert!(user.succeed(&["--version"]).starts_with("cairn 0."));
    assert!(user.succeed(&["--help"]).contains("cairn devnet"));
}

#[test]
fn what_needs_no_node_answers_in_json() {
    let user = User::new();
    assert_eq!(user.json(&["config", "show"])["timeout"], "60s");
    assert_eq!(user.json(&["config", "show", "--origin"])["timeout"]["origin"], "default");
    let paths = user.json(&["paths"]);
    assert_eq!(paths["runtime_dir"], user.path("run/cairn").to_str().unwrap());
    assert_eq!(user.json(&["completions", "bash"])["shell"], "bash");
    for shell in ["bash", "zsh", "fish"] {
        assert!(user.succeed(&["completions", shell]).contains("devnet"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let user = User::new();
    let page = user.succeed(&["man", "wallet", "history"]);
    assert!(page.contains(".TH cairn-wallet-history 1  \"cairn 0."), "{page}");
    assert!(page.contains("cairn wallet history"), "{page}");
    assert_eq!(user.json(&["man"])["name"], "cairn.1");
    let directory = user.path("share/man/man1");
    let told = user.json(&["man", "--to", directory.to_str().unwrap()]);
    let pages: Vec<&str> = told["pages"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(pages.len() > 40 && pages.contains(&"cairn-wallet-history.1"), "{pages:?}");
    for name in pages {
        let page = std::fs::read_to_string(directory.join(name)).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    std::fs::write(user.path("file"), "").unwrap();
    let (status, error) = user.fail(&["man", "--to", user.path("file").to_str().unwrap()]);
    assert_eq!((status, error["code"].as_str()), (1, Some("unwritable-file")), "{error}");
}

#[test]
fn settings_come_from_flag_environment_file_and_default_in_this_order() {
    let user = User::new();
    let directory = user.path(".config/cairn");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("cairn.toml");
    std::fs::write(&file, "node = \"http://127.0.0.1:1\"\ntimeout = \"5s\"\n").unwrap();
    let shown = |command: &mut Command| -> Value {
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let arguments = ["config", "show", "--origin", "--json"];
    let value = shown(&mut user.command(&arguments));
    assert_eq!(value["node"]["value"], "http://127.0.0.1:1");
    assert_eq!(value["node"]["origin"], format!("{}:1", file.display()));
    let value = shown(user.command(&arguments).env("CAIRN_NODE", "http://127.0.0.1:2"));
    assert_eq!(value["node"]["origin"], "environment CAIRN_NODE");
    let flags = ["--node", "http://127.0.0.1:3"];
    let value = shown(user.command(&arguments).args(flags).env("CAIRN_NODE", "http://127.0.0.1:2"));
    assert_eq!(value["node"]["value"], "http://127.0.0.1:3");

    std::fs::write(&file, "nod = \"http://127.0.0.1:1\"\n").unwrap();
    let (status, error) = user.fail(&["config", "show"]);
    assert_eq!((status, error["code"].as_str()), (2, Some("config-key")));
    assert_eq!(error["help"], "did you mean `node`?");
    assert_eq!(error["places"][0]["line"], 1);
    // Where the files lie is told even then.
    user.succeed(&["paths"]);
}

#[test]
fn a_genesis_is_made_checked_shown_and_named() {
    let user = User::new();
    let new =
        ["genesis", "new", "--name", "my coin", "--devnet", "--allocate", "alice=12.5", "--reward", "50"];
    let made = user.json(&new);
    assert_eq!(made["file"], "my-coin.toml");
    let identity = made["identity"].as_str().unwrap();
    assert_eq!(user.succeed(&["genesis", "hash", "my-coin.toml"]), format!("{identity}\n"));
    assert_eq!(user.json(&["genesis", "hash", "my-coin.toml"])["identity"], identity);
    let checked = user.json(&["genesis", "check", "my-coin.toml"]);
    assert_eq!((checked["valid"].as_bool(), checked["network"].as_str()), (Some(true), Some("my coin")));
    let shown = user.json(&["genesis", "show", "my-coin.toml"]);
    assert_eq!(shown["allocations"][0]["balance"], "1250000000");
    let text = user.succeed(&["genesis", "show", "my-coin.toml"]);
    assert!(text.contains("12.5 COIN") && text.contains("alice"), "{text}");

    let (_, error) = user.fail(&new);
    assert_eq!(error["code"], "file-exists");
    assert!(error["help"].as_str().unwrap().contains("--force"), "{error}");
    user.json(&[&new[..], &["--force"]].concat());
}

#[test]
fn what_begins_a_network_is_told_with_a_miner() {
    let user = User::new();
    let told = |more: &[&str]| {
        let new =
            [&["genesis", "new", "--work", "1", "--reward", "1", "--force", "--name", "own"], more].concat();
        String::from_utf8(user.run(&new).stderr).unwrap()
    };
    assert!(told(&["--devnet"]).contains("cairn node --genesis own.toml --role miner --producer alice\n"));
    assert!(told(&[]).contains("cairn node --genesis own.toml --role miner --producer ADDRESS\n"));
    let miner = ["--consensus", "pow+permit", "--miner"];
    let key = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    assert!(told(&[&miner[..], &[key]].concat()).contains("--role miner --miner-key FILE\n"));
}

#[test]
fn an_allocation_is_added_to_a_file_of_genesis_new() {
    let user = User::new();
    let new = ["genesis", "new", "--name", "own", "--devnet", "--work", "1", "--reward", "50"];
    user.succeed(&[&new[..], &["--allocate", "alice=1000"]].concat());
    let text = std::fs::read_to_string(user.path("own.toml")).unwrap();
    let bob =
        "\n[[allocation]]\naddress = \"cairn1v0m45r94qsysauw2m25pvxkah9hm0q6a3yjtpenfgwdehv6ws30sva6yn0\"\n";
    let text: String =
        text.lines().filter(|line| !line.starts_with("work_nonce")).collect::<Vec<_>>().join("\n");
    std::fs::write(user.path("own.toml"), format!("{text}\n{bob}balance = \"5\"\n")).unwrap();
    assert_eq!(user.json(&["genesis", "show", "own.toml"])["allocated"], "100500000000");
    // A cap that does not fit is told in coins, with what would fit.
    let capped = text.replace("# cap = ", "cap = ");
    std::fs::write(user.path("own.toml"), format!("{capped}\n{bob}balance = \"5\"\n")).unwrap();
    let complaint = user.complaint(&["genesis", "check", "own.toml"]);
    assert!(complaint.contains("184467440742.09551615 coins"), "{complaint}");
    assert!(complaint.contains("set `reward.cap` to at most \"184467439732.09551615\""), "{complaint}");
}

#[test]
fn mistakes_in_a_genesis_are_shown_at_their_line() {
    let user = User::new();
    let text = "[network]\nname = \"x\"\ndecimls = 8\n\n[block]\ninterval = \"10x\"\n";
    std::fs::write(user.path("bad.toml"), text).unwrap();
    let complaint = user.complaint(&["genesis", "check", "bad.toml"]);
    for part in ["bad.toml:3:1", "did you mean `decimals`?", "interval = \"10x\"", "GEN-10"] {
        assert!(complaint.contains(part), "{part:?} is missing in\n{complaint}");
    }
    let (status, error) = user.fail(&["genesis", "check", "bad.toml"]);
    assert_eq!((status, error["rule"].as_str()), (1, Some("GEN-3")));
    let lines: Vec<u64> =
        error["places"].as_array().unwrap().iter().filter_map(|it| it["line"].as_u64()).collect();
    assert_eq!(lines, [3, 6]);
    assert_eq!(user.fail(&["genesis", "show", "missing.toml"]).1["code"], "unreadable-file");
    let real = ["genesis", "new", "--name", "real", "--allocate", "alice=1"];
    assert_eq!(user.fail(&real).1["code"], "bad-allocation");
}

#[test]
fn coins_go_from_hand_to_hand() {
    let user = User::new();
    let devnet = Running::devnet(&user, &["--ephemeral", "--mine", "on-transaction"]);
    let send = ["send", "--from", "alice", "--to", "bob", "--amount", "25", "--data", "for lunch", "--wait"];
    let sent = user.json(&send);
    assert_eq!(sent["status"], "confirmed");
    let id = sent["id"].as_str().unwrap();
    let found = user.json(&["tx", id]);
    assert_eq!(found["height"], 1);
    assert_eq!(found["transaction"]["body"]["data"], "666f72206c756e6368");
    assert_eq!(user.json(&["account", "bob"])["balance"], "100002500000000");
    assert_eq!(user.json(&["account", "bob", "--at", "0"])["balance"], "100000000000000");
    assert_eq!(user.json(&["account", "bob", "--history"])[0]["received"], "2500000000");
    assert!(user.json(&["account", "bob", "--proof"])["siblings"].is_array());
    assert_eq!(user.json(&["block"]).as_array().unwrap().len(), 2);
    assert_eq!(user.json(&["block", "1"])["transaction_ids"][0], id);
    assert_eq!(user.json(&["block", "tip", "--full"])["transactions"][0]["id"], id);
    assert_eq!(user.json(&["mempool"]), Value::Array(Vec::new()));
    assert_eq!(user.json(&["mine", "--blocks", "2"])["height"], 3);
    assert_eq!(user.json(&["mine", "--mode", "manual"])["mode"], "manual");
    let told = user.succeed(&["mine", "--threads", "2"]);
    assert_eq!(told, "2 threads for the search for work from now on\n");
    let answer = user.json(&["mine", "--threads", "3", "--mode", "manual"]);
    assert_eq!((answer["threads"].as_u64(), answer["height"].as_u64()), (Some(3), Some(3)));

    // The same for people: whole ids, which a command takes.
    let block = user.json(&["block", "tip"])["id"].as_str().unwrap().to_owned();
    assert!(user.succeed(&["block"]).contains(&block));
    let history = user.succeed(&["account", "alice", "--history"]);
    for part in ["-25 CAIRN", "fee", "bob", id] {
        assert!(history.contains(part), "{part} is missing in\n{history}");
    }
    let proof = user.succeed(&["account", "bob", "--proof"]);
    assert!(proof.contains("1,000,025 CAIRN") && proof.contains("holds"), "{proof}");
    let nobody = "cairn1v0m45r94qsysauw2m25pvxkah9hm0q6a3yjtpenfgwdehv6ws30sva6yn0";
    assert!(user.succeed(&["account", nobody, "--proof"]).contains("there is no such account"));
    assert!(user.succeed(&["account", "bob"]).contains("1,000,025 CAIRN"));
    assert!(user.succeed(&["tx", id]).contains("\"for lunch\""));
    let full = user.succeed(&["block", "1", "--full"]);
    assert!(full.contains("alice  bob  25 CAIRN") && full.contains(id), "{full}");
    assert_eq!(user.succeed(&["mempool"]), "no transactions wait\n");
    assert!(user.succeed(&["account", "bob", "--history"]).contains("+25 CAIRN"));
    assert!(user.succeed(&[]).contains(devnet.ready["nodes"][0]["api"].as_str().unwrap()));
}

#[test]
fn typing_mistakes_are_named_and_send_nothing() {
    let user = User::new();
    let _devnet = Running::devnet(&user, &["--ephemeral", "--mine", "manual"]);
    let send = |from: &str, to: &str, amount: &str| {
        user.fail(&["send", "--from", from, "--to", to, "--amount", amount])
    };
    let (status, error) = send("alcie", "bob", "1");
    assert_eq!((status, error["help"].as_str()), (2, Some("did you mean `alice`?")));
    for (amount, part) in [
        ("-5000", "no sign"),
        ("1,000", "`,`"),
        ("1.123456789", "9 decimals, the coin has 8"),
        ("0", "nothing"),
        ("1e3", "`e`"),
        ("99999999999999999999", "the most that can be written"),
    ] {
        let (status, error) = send("alice", "bob", amount);
        assert_eq!((status, error["code"].as_str()), (2, Some("bad-amount")), "{amount}");
        assert!(error["message"].as_str().unwrap().contains(part), "{amount}: {error}");
    }
    let (status, error) = send("alice", "bob", "99999999");
    assert_eq!((status, error["rule"].as_str()), (1, Some("TX-12")));
    let address = user.json(&["account", "bob"])["address"].as_str().unwrap().to_owned();
    let mistyped =
        format!("{}{}", &address[..address.len() - 1], if address.ends_with('q') { "p" } else { "q" });
    assert_eq!(send("alice", &mistyped, "1").1["code"], "bad-address");
    let foreign = "bc1p5d7rjq7g6rdk2yhzks9smlaqtedr4dekq08ge8ztwac72sfr9rusxg3297";
    assert_eq!(send("alice", foreign, "1").1["code"], "wrong-network");
    // The checksum of older coins is another one, so theirs cannot be told from a mistyped address by it.
    let error = send("alice", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "1").1;
    assert_eq!(error["code"], "bad-address");
    assert!(error["help"].as_str().unwrap().contains("another coin"), "{error}");
    let with_data = ["send", "--from", "alice", "--to", "bob", "--amount", "1", "--data", "0xzz"];
    assert_eq!(user.fail(&with_data).1["code"], "bad-data");
    let stale = ["send", "--from", "alice", "--to", "bob", "--amount", "1", "--valid-until", "1"];
    assert_eq!(user.fail(&stale).0, 1);
    assert_eq!(user.json(&["mempool"]), Value::Array(Vec::new()));
    assert_eq!(user.json(&["account", "alice"])["pending_nonce"], 0);
}

#[test]
fn waiting_too_long_is_status_4_and_the_transaction_still_waits() {
    let user = User::new();
    let _devnet = Running::devnet(&user, &["--ephemeral", "--mine", "manual"]);
    let send = ["send", "--from", "alice", "--to", "bob", "--amount", "1", "--wait", "--timeout", "150ms"];
    let (status, error) = user.fail(&send);
    assert_eq!((status, error["code"].as_str()), (4, Some("not-confirmed")));
    // Nothing is wrong with the transaction: nobody makes blocks, and that is said twice.
    assert!(error["help"].as_str().unwrap().contains("cairn mine"), "{error}");
    let output =
        user.run(&["send", "--from", "bob", "--to", "alice", "--amount", "1", "--wait", "--timeout", "1ms"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("only when asked").count(), 2, "{told}");
    let waiting = user.json(&["mempool", "alice"]);
    assert_eq!(waiting[0]["waits"]["reason"], "ready");
    assert!(user.succeed(&["mempool"]).contains("the next block"));
    user.succeed(&["mine"]);
    assert_eq!(user.json(&["account", "alice"])["nonce"], 1);
}

#[test]
fn a_transaction_is_built_signed_shown_and_submitted_step_by_step() {
    let user = User::new();
    let devnet = Running::devnet(&user, &["--ephemeral", "--mine", "on-transaction"]);
    let build =
        ["tx", "build", "--from", "alice", "--to", "bob", "--amount", "2", "--output", "unsigned.json"];
    user.succeed(&build);
    assert_eq!(user.fail(&build).1["code"], "file-exists");
    let (_, error) = user.fail(&["tx", "submit", "unsigned.json"]);
    assert_eq!(error["code"], "not-signed");
    assert!(error["help"].as_str().unwrap().contains("cairn tx sign unsigned.json"), "{error}");
    let wrong = ["tx", "sign", "unsigned.json", "--from", "bob"];
    assert_eq!(user.fail(&wrong).1["code"], "wrong-key");
    user.succeed(&["tx", "sign", "unsigned.json", "--from", "alice", "--output", "signed.json"]);
    assert_eq!(user.fail(&["tx", "sign", "signed.json", "--from", "alice"]).1["code"], "already-signed");
    assert_eq!(user.json(&["tx", "show", "unsigned.json"])["signature"], "missing");
    let shown = user.json(&["tx", "show", "signed.json"]);
    assert_eq!(shown["signature"], "valid");
    let submitted = user.json(&["tx", "submit", "signed.json", "--wait"]);
    assert_eq!(submitted["id"], shown["id"]);
    let (status, error) = user.fail(&["tx", "submit", "signed.json"]);
    assert_eq!(
        (status, error["code"].as_str(), error["rule"].as_str()),
        (1, Some("nonce-too-low"), Some("TX-3"))
    );
    let help = error["help"].as_str().unwrap();
    assert!(help.contains("already") && help.contains(shown["id"].as_str().unwrap()), "{help}");

    let text = std::fs::read_to_string(user.path("signed.json")).unwrap();
    std::fs::write(user.path("changed.json"), text.replace("\"200000000\"", "\"900000000\"")).unwrap();
    assert_eq!(user.fail(&["tx", "submit", "changed.json"]).1["code"], "changed-file");
    std::fs::write(user.path("garbage.json"), "{\"network\": 7").unwrap();
    assert_eq!(user.fail(&["tx", "show", "garbage.json"]).1["code"], "bad-file");

    // Without a node, from the genesis alone.
    let other = ["genesis", "new", "--name", "other", "--devnet", "--allocate", "alice=10"];
    user.succeed(&other);
    let offline = [
        "tx",
        "build",
        "--genesis",
        "other.toml",
        "--from",
        "alice",
        "--to",
        "bob",
        "--amount",
        "1",
        "--nonce",
        "0",
        "--fee-rate",
        "1",
        "--output",
        "elsewhere.json",
    ];
    user.succeed(&offline);
    user.succeed(&["tx", "sign", "elsewhere.json", "--from", "alice", "--output", "elsewhere-signed.json"]);
    assert_eq!(user.fail(&["tx", "submit", "elsewhere-signed.json"]).1["code"], "wrong-network");
    drop(devnet);
}

#[test]
fn a_key_file_signs_if_nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let user = User::new();
    let _devnet = Running::devnet(&user, &["--ephemeral", "--mine", "on-transaction"]);
    let file = user.path("my.key");
    std::fs::write(&file, "07".repeat(32)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (status, error) = user.fail(&["account", "--key-file", "my.key"]);
    assert_eq!((status, error["code"].as_str()), (2, Some("bad-key-file")));
    assert!(error["help"].as_str().unwrap().starts_with("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let account = user.json(&["account", "--key-file", "my.key"]);
    assert_eq!(account["public_key"].as_str().unwrap().len(), 64);
    let address = account["address"].as_str().unwrap();
    user.succeed(&["send", "--from", "alice", "--to", address, "--amount", "10", "--wait"]);
    user.succeed(&["send", "--key-file", "my.key", "--to", "bob", "--amount", "1", "--wait"]);
    assert_eq!(user.json(&["account", address])["nonce"], 1);
}

#[test]
fn the_address_of_a_key_is_known_before_its_network_runs() {
    use std::os::unix::fs::PermissionsExt as _;
    let user = User::new();
    let file = user.path("my.key");
    std::fs::write(&file, "01".repeat(32)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    // The example of docs/spec/02-keys.md.
    let address = "cairn1v0m45r94qsysauw2m25pvxkah9hm0q6a3yjtpenfgwdehv6ws30sva6yn0";
    let offline = ["account", "--key-file", "my.key"];
    let shown = user.json(&[&offline[..], &["--prefix", "cairn"]].concat());
    assert_eq!(shown["address"], address);
    assert_eq!(shown["public_key"], "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");

    let allocation = format!("{address}=5");
    user.succeed(&["genesis", "new", "--name", "own", "--work", "1", "--allocate", &allocation]);
    let shown = user.json(&[&offline[..], &["--genesis", "own.toml"]].concat());
    assert_eq!(shown["address"], address);
    assert_eq!(user.fail(&[&offline[..], &["--prefix", "Not A Prefix"]].concat()).1["code"], "bad-prefix");
    assert_eq!(user.fail(&["account", "alice", "--prefix", "cairn"]).0, 2);
    assert_eq!(user.fail(&offline).0, 3);
}

#[test]
fn a_hyphen_stands_for_standard_output() {
    let user = User::new();
    let new = ["genesis", "new", "--name", "own", "--reward", "1", "--work", "1"];
    let text = user.succeed(&[&new[..], &["--output", "-"]].concat());
    std::fs::write(user.path("shown.toml"), &text).unwrap();
    assert_eq!(user.json(&["genesis", "check", "shown.toml"])["valid"], true);
    let made = user.json(&[&new[..], &["--output", "-"]].concat());
    assert!(made["text"].as_str().unwrap().contains("name = \"own\""), "{made}");
    let build =
        ["tx", "build", "--genesis", "shown.toml", "--nonce", "0", "--fee-rate", "1", "--amount", "1"];
    let nobody = "cairn1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqql0lnj";
    let built = user.succeed(&[&build[..], &["--from", nobody, "--to", nobody, "--output", "-"]].concat());
    assert!(built.contains("\"sender\""), "{built}");
    assert!(!user.path("-").exists());
}

#[test]
fn a_transaction_that_no_block_can_take_yet_says_so_at_once() {
    let user = User::new();
    let _devnet = Running::devnet(&user, &["--mine", "manual"]);
    let send = ["send", "--from", "alice", "--to", "bob", "--amount", "1", "--nonce"];
    let told = |nonce| String::from_utf8(user.run(&[&send[..], &[nonce]].concat()).stderr).unwrap();
    let gap = told("2");
    assert!(gap.contains("no block can take it yet") && gap.contains("nonce 0"), "{gap}");
    let next = told("0");
    assert!(next.contains("it waits for a block"), "{next}");
    // Who is refused hears what to type, and not which request to send.
    let (_, error) = user.fail(&["block", "99"]);
    assert_eq!(error["help"], "`cairn block` lists the newest");
}

#[test]
fn a_load_is_confirmed_whole_and_measured() {
    let user = User::new();
    let _devnet = Running::devnet(&user, &["--ephemeral", "--mine", "on-transaction"]);
    let report = user.json(&["load", "--transactions", "300", "--senders", "7", "--batch", "20"]);
    assert_eq!((report["accepted"].as_u64(), report["confirmed"].as_u64()), (Some(300), Some(300)));
    assert_eq!(report["never_confirmed"], 0);
    let single = user.json(&["load", "--transactions", "5", "--batch", "1", "--connections", "1"]);
    assert_eq!(single["confirmed"], 5);

    user.succeed(&["mine", "--mode", "manual"]);
    let output = user.run(&["load", "--transactions", "5", "--timeout", "100ms", "--json"]);
    assert_eq!(output.status.code(), Some(4), "the payer is never confirmed");
}

#[test]
fn a_chain_is_exported_imported_and_verified() {
    let user = User::new();
    let data = user.path("devnet");
    let data = data.to_str().unwrap();
    let devnet = Running::devnet(&user, &["--data-dir", data, "--mine", "on-transaction"]);
    for amount in ["1", "2", "3"] {
        user.succeed(&["send", "--from", "alice", "--to", "bob", "--amount", amount, "--wait"]);
    }
    let exported = user.json(&["export", "online.blocks"]);
    assert_eq!(exported["blocks"], 3);
    let (status, error) = user.fail(&["verify", "--data-dir", data]);
    assert_eq!((status, error["code"].as_str()), (1, Some("in-use")));
    let stopped = user.json(&["stop"]);
    assert_eq!(stopped["stopped"], true);
    assert_eq!(user.fail(&["stop"]).0, 3);
    drop(devnet);

    let verified = user.json(&["verify", "--data-dir", data]);
    assert_eq!((verified["height"].as_u64(), verified["transactions"].as_u64()), (Some(3), Some(3)));
    user.json(&["export", "offline.blocks", "--data-dir", data]);
    assert_eq!(user.fail(&["export", "offline.blocks", "--data-dir", data]).1["code"], "file-exists");
    let read = |name: &str| std::fs::read(user.path(name)).unwrap();
    assert_eq!(read("online.blocks"), read("offline.blocks"));

    let genesis = Path::new(data).join("n0/genesis.toml");
    let genesis = genesis.to_str().unwrap();
    let import = |file: &str, into: &str| {
        ["import", file, "--genesis", genesis, "--data-dir", into].map(str::to_owned)
    };
    let json = |arguments: [String; 6]| user.json(&arguments.each_ref().map(String::as_str));
    let fail = |arguments: [String; 6]| user.fail(&arguments.each_ref().map(String::as_str));
    assert_eq!(json(import("online.blocks", "copy"))["imported"], 3);
    assert_eq!(json(import("online.blocks", "copy"))["known"], 3);
    assert_eq!(user.json(&["verify", "--data-dir", "copy"])["tip"], verified["tip"]);

    // A block that was changed on its way is refused; those before it stay.
    let mut bytes = read("online.blocks");
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    std::fs::write(user.path("changed.blocks"), &bytes).unwrap();
    let (status, error) = fail(import("changed.blocks", "partial"));
    assert_eq!((status, error["code"].as_str()), (1, Some("invalid-block")));
    let rules = ["TX-9", "BLK-3", "SEA-3"];
    assert!(rules.iter().any(|rule| error["rule"] == *rule), "{error}");
    assert_eq!(user.json(&["verify", "--data-dir", "partial"])["height"], 2);
    let whole = read("online.blocks");
    std::fs::write(user.path("cut.blocks"), &whole[..whole.len() - 100]).unwrap();
    let (status, error) = fail(import("cut.blocks", "cut"));
    assert_eq!((status, error["code"].as_str()), (1, Some("truncated-file")));
    let message = error["message"].as_str().unwrap();
    assert!(message == "2 blocks imported, then cut.blocks ends in the middle of block 3", "{message}");
    assert_eq!(user.json(&["verify", "--data-dir", "cut"])["height"], 2);
    std::fs::write(user.path("foreign.blocks"), "[network]\n").unwrap();
    assert_eq!(fail(import("foreign.blocks", "foreign")).1["code"], "bad-file");
}

#[test]
fn a_node_runs_from_a_genesis_and_again_from_its_directory() {
    let user = User::new();
    let new = ["genesis", "new", "--name", "play", "--devnet", "--allocate", "alice=1000", "--work", "100"];
    user.succeed(&[&new[..], &["--fixed-difficulty"]].concat());
    let miner = [
        "node",
        "--genesis",
        "play.toml",
        "--data-dir",
        "chain",
        "--api-bind",
        "127.0.0.1:0",
        "--role",
        "miner",
        "--producer",
        "carol",
        "--mine",
        "on-transaction",
    ];
    let node = Running::start(&user, &miner);
    let api = node.ready["api"].as_str().unwrap().to_owned();
    user.succeed(&["send", "--from", "alice", "--to", "bob", "--amount", "1", "--wait", "--node", &api]);
    let bind = api.strip_prefix("http://").unwrap();
    let second = ["node", "--genesis", "play.toml", "--data-dir", "other", "--api-bind", bind];
    let (status, error) = user.fail(&second);
    assert_eq!((status, error["code"].as_str()), (1, Some("port-in-use")));
    assert!(error["message"].as_str().unwrap().contains("play"), "{error}");
    // What is for miners is refused as a flag, and elsewhere left out with a warning.
    let flagged = [&second[..], &["--producer", "alice"]].concat();
    assert_eq!(user.fail(&flagged).1["code"], "not-a-miner");
    let output = user.command(&second).env("CAIRN_PRODUCER", "alice").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("`producer` (environment CAIRN_PRODUCER) is for miners"), "{told}");
    let same = ["node", "--data-dir", "chain", "--api-bind", "127.0.0.1:0"];
    assert_eq!(user.fail(&same).1["code"], "in-use");
    user.succeed(&["stop"]);
    drop(node);

    let _again = Running::start(&user, &same);
    assert_eq!(user.json(&["account", "bob"])["balance"], "100000000");
    for asked in [&["mine"][..], &["mine", "--threads", "2"], &["mine", "--mode", "manual", "--blocks", "1"]]
    {
        let (status, error) = user.fail(asked);
        assert_eq!((status, error["code"].as_str()), (1, Some("not-a-miner")), "{error}");
    }
    // Who waits for a block of a node that makes none is told so.
    let send = ["send", "--from", "alice", "--to", "bob", "--amount", "1", "--wait", "--timeout", "1ms"];
    let (status, error) = user.fail(&send);
    assert_eq!(status, 4, "{error}");
    assert!(error["help"].as_str().unwrap().contains("makes no blocks"), "{error}");
    let half = ["node", "--data-dir", "chain", "--api-bind", "0.0.0.0:0", "--api-tls-cert", "node.pem"];
    let (status, error) = user.fail(&half);
    assert_eq!((status, error["code"].as_str()), (2, Some("usage")));
    assert!(error["message"].as_str().unwrap().contains("its key"), "{error}");
}

#[test]
fn several_nodes_are_listed_and_one_must_be_named() {
    let user = User::new();
    let first = Running::devnet(&user, &["--ephemeral", "--nodes", "1", "--mine", "manual"]);
    let second = Running::devnet(&user, &["--ephemeral", "--nodes", "1", "--mine", "manual"]);
    let (status, error) = user.fail(&["block"]);
    assert_eq!((status, error["code"].as_str()), (2, Some("several-nodes")));
    for node in [&first, &second] {
        let api = node.ready["nodes"][0]["api"].as_str().unwrap();
        assert!(error["message"].as_str().unwrap().contains(api), "{error}");
        assert_eq!(user.json(&["block", "--node", api]).as_array().unwrap().len(), 1);
    }
    let (status, error) = user.fail(&["stop"]);
    assert_eq!((status, error["code"].as_str()), (2, Some("several-nodes")));
    assert!(error["help"].as_str().unwrap().contains("cairn stop --node"), "{error}");
    assert_eq!(user.json(&[])["running"].as_array().unwrap().len(), 2);
    assert!(user.succeed(&[]).contains("--node http://"));
    let api = first.ready["nodes"][0]["api"].as_str().unwrap();
    std::fs::write(user.path("wrong"), "00".repeat(32)).unwrap();
    let (status, error) = user.fail(&["stop", "--node", api, "--token-file", "wrong"]);
    assert_eq!((status, error["code"].as_str()), (1, Some("wrong-token")));
    assert!(error["help"].as_str().unwrap().contains("--token-file"), "{error}");
    let (status, error) = user.fail(&["stop", "mycoin"]);
    assert_eq!(
        (status, &error["message"]),
        (3, &Value::from("no node and no tracker of `mycoin` runs here"))
    );
    assert!(error["help"].as_str().unwrap().contains("devnet"), "{error}");
}

#[test]
fn a_port_that_is_taken_is_answered_with_ports_that_are_free() {
    let user = User::new();
    let first = Running::devnet(&user, &["--ephemeral", "--mine", "manual"]);
    let api = first.ready["nodes"][0]["api"].as_str().unwrap();
    let port: u16 = api.rsplit(':').next().unwrap().parse().unwrap();
    let base = (port - 80).to_string();
    let (status, error) = user.fail(&["devnet", "--ephemeral", "--port-base", &base]);
    assert_eq!((status, error["code"].as_str()), (1, Some("port-in-use")));
    let help = error["help"].as_str().unwrap();
    let offered = help.split("--port-base ").nth(1).unwrap().split('`').next().unwrap();
    assert_ne!(offered, base);
    let second = Running::start(&user, &["devnet", "--ephemeral", "--port-base", offered]);
    assert_eq!(second.ready["ready"], true);
}

#[test]
fn a_fee_above_the_amount_is_told_and_not_refused() {
    let user = User::new();
    let _devnet = Running::devnet(&user, &["--ephemeral", "--mine", "manual"]);
    let told = |amount: &str| {
        let output = user.run(&["send", "--from", "alice", "--to", "bob", "--amount", amount]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(told("0.00000001").contains("the fee is 0.000"));
    let usual = told("1");
    assert!(!usual.contains("the fee is"), "{usual}");
    assert_eq!(usual.matches("published").count(), 1, "{usual}");
    // A key that was not used is not warned of, and programs are told nothing of it.
    let complaint =
        user.complaint(&["send", "--from", "alice", "--to", "bob", "--amount", "1", "--nonce", "9999"]);
    assert!(!complaint.contains("published"), "{complaint}");
    assert!(!complaint.contains("pending_nonce") && !complaint.contains("GET "), "{complaint}");
    let output = user.run(&["send", "--from", "alice", "--to", "bob", "--amount", "1", "--json"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_load_whose_node_dies_tells_what_it_knows() {
    let user = User::new();
    let mut devnet = Running::devnet(&user, &["--ephemeral", "--mine", "on-transaction"]);
    let mut command = user.command(&["load", "--rate", "500", "--forever", "--senders", "8", "--json"]);
    let load = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Blocks beside that of the funding show that the load is under way.
    while user.json(&["block", "tip"])["height"].as_u64().unwrap() < 4 {
        std::thread::yield_now();
    }
    devnet.child.kill().unwrap();
    devnet.child.wait().unwrap();
    let output = load.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["accepted"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["mempool"], Value::Null);
    assert!(
        ["no-node", "connection-broken"].contains(&report["failure"]["code"].as_str().unwrap()),
        "{report}"
    );
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("accepted") - count("confirmed"), count("unknown_acknowledged"), "{report}");
}
