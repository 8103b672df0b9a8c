//! Wallets as people and scripts meet them: the real program on a development network.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use serde_json::Value;
use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

const PASSWORD: &str = "correct horse battery staple";
const COIN: u64 = 100_000_000;

/// A user with directories of their own, who remembers all that the program ever said.
struct User {
    home: tempfile::TempDir,
    said: RefCell<Vec<u8>>,
}

impl User {
    fn new() -> Self {
        let user = Self { home: tempfile::tempdir().unwrap(), said: RefCell::default() };
        user.write_private("pw", PASSWORD);
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write_private(&self, name: &str, text: &str) {
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("CAIRN_P2P_BIND", "127.0.0.1:0");
        command.env("CAIRN_PASSWORD_FILE", self.path("pw")).stdin(Stdio::null());
        command
    }

    /// Runs a command whose output nobody remembers.
    fn run_unheard(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.run_unheard(arguments);
        self.said.borrow_mut().extend([output.stdout.clone(), output.stderr.clone()].concat());
        output
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?} failed:\n{said}");
        said
    }

    /// The object that the command writes with `--json`; it must succeed, and say nothing else.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed:\n{text}{complaint}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}:\n{text}"))
    }

    /// The exit status and the code of the error that the command writes with `--json`.
    fn fail(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"));
        for key in ["code", "message", "help"] {
            assert!(value["error"][key].is_string(), "{arguments:?}: {key} in {value}");
        }
        (output.status.code().unwrap(), value["error"]["code"].as_str().unwrap().to_owned())
    }

    /// Makes a wallet and returns its words, which are the only output that may hold them.
    fn new_wallet(&self, name: &str) -> String {
        let output = self.run_unheard(&["wallet", "new", "--wallet", name, "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        let words: Vec<&str> =
            made["words"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(words.len(), 24);
        words.join(" ")
    }

    fn address(&self) -> String {
        text(&self.json(&["wallet", "address"])["address"])
    }

    /// Gives the wallet's paying account coins.
    fn fund(&self, coins: u64) {
        let (address, coins) = (self.address(), coins.to_string());
        self.json(&["send", "--from", "alice", "--to", &address, "--amount", &coins, "--wait"]);
    }

    fn balance(&self, account: &str) -> u64 {
        text(&self.json(&["account", account])["balance"]).parse().unwrap()
    }
}

/// A development network that runs until it is dropped.
struct Devnet {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    ready: Value,
}

impl Devnet {
    fn start(user: &User, more: &[&str]) -> Self {
        let arguments = [&["devnet", "--port-base", "0", "--nodes", "1", "--json"], more].concat();
        let mut child = user.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["ready"], true);
        Self { child, _stdout: stdout, ready }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[test]
fn a_wallet_is_made_pays_and_tells_its_history() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    assert_eq!(user.fail(&["wallet", "new"]), (2, "wallet-exists".to_owned()));
    let keystore = user.path(".local/share/cairn/wallets/main.keystore.json");
    assert_eq!(std::fs::metadata(keystore).unwrap().permissions().mode() & 0o777, 0o600);
    user.fund(100);
    let preview = user.json(&["send", "--to", "bob", "--amount", "5", "--preview"]);
    let fee: u64 = text(&preview["fee_now"]).parse().unwrap();
    let sent = user.json(&["send", "--to", "bob", "--amount", "5", "--wait"]);
    assert_eq!((text(&sent["status"]), text(&sent["fee"])), ("confirmed".to_owned(), fee.to_string()));
    assert_eq!(user.balance("main"), 95 * COIN - fee);
    let history = user.json(&["wallet", "history"]);
    let balances: Vec<String> =
        history["changes"].as_array().unwrap().iter().map(|it| text(&it["balance"])).collect();
    assert_eq!(balances, [(95 * COIN - fee).to_string(), (100 * COIN).to_string()]);
    let accounts = user.json(&["wallet", "accounts"]);
    assert_eq!(text(&accounts["total"]), (95 * COIN - fee).to_string());
    assert_eq!(accounts["accounts"][0]["path"], "m/44'/1'/0'");
    // People see the same.
    let shown = user.succeed(&["wallet", "history"]);
    assert!(shown.contains("bob") && shown.contains("alice") && shown.contains("+100"), "{shown}");
    // A password is only asked for where a key is needed.
    let wrong = |arguments: &[&str]| {
        user.write_private("wrong", "another");
        user.fail(&[arguments, &["--password-file", "wrong"]].concat())
    };
    assert_eq!(wrong(&["send", "--to", "bob", "--amount", "1"]), (1, "wrong-password".to_owned()));
    assert_eq!(wrong(&["send", "--to", "bob", "--amount", "1000"]), (1, "insufficient-balance".to_owned()));
    assert_eq!(user.balance("main"), 95 * COIN - fee);
}

#[test]
fn passwords_come_from_files_and_the_environment_and_never_from_arguments() {
    let user = User::new();
    user.new_wallet("main");
    let run = |set: Option<(&str, &str)>, file: Option<&str>| {
        let mut command = user.command(&["wallet", "words", "--json"]);
        command
            .env_remove("CAIRN_PASSWORD_FILE")
            .envs(set)
            .args(file.map(|it| ["--password-file", it]).iter().flatten());
        let output = command.output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), value["error"]["code"].as_str().unwrap_or("none").to_owned())
    };
    assert_eq!(run(None, None), (2, "no-password".to_owned()));
    assert_eq!(run(Some(("CAIRN_PASSWORD", PASSWORD)), None), (0, "none".to_owned()));
    assert_eq!(run(Some(("CAIRN_PASSWORD", "x")), Some("pw")), (0, "none".to_owned()));
    assert_eq!(run(Some(("CAIRN_PASSWORD", "x")), None), (1, "wrong-password".to_owned()));
    std::fs::set_permissions(user.path("pw"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(run(None, Some("pw")), (2, "open-file".to_owned()));
    assert_eq!(user.fail(&["wallet", "words", "--password", PASSWORD]), (2, "usage".to_owned()));
}

#[test]
fn words_bring_back_every_account_that_was_used() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    let words = user.new_wallet("main");
    user.write_private("words", &words);
    assert_eq!(user.json(&["wallet", "check", "--words-file", "words"])["words"], "right");
    user.json(&["wallet", "add", "--name", "unused"]);
    let savings = text(&user.json(&["wallet", "add", "--name", "savings"])["address"]);
    user.json(&["send", "--from", "alice", "--to", &savings, "--amount", "3", "--wait"]);
    let restored = user.json(&["wallet", "restore", "--wallet", "again", "--words-file", "words"]);
    let accounts = restored["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 3, "{restored}");
    assert_eq!(text(&accounts[2]["address"]), savings);
    // The restored wallet signs.
    let sent = user.json(&[
        "send",
        "--wallet",
        "again",
        "--from",
        "account-2",
        "--to",
        "bob",
        "--amount",
        "1",
        "--wait",
    ]);
    assert_eq!(text(&sent["transaction"]["sender"]), savings);
    // What is wrong with words is said, and nothing is made.
    let cut = words.rsplit_once(' ').unwrap().0.to_owned();
    for wrong in [cut.as_str(), "abandon", &words.replacen(' ', " zzz ", 1), ""] {
        user.write_private("wrong", wrong);
        let refused = user.fail(&["wallet", "restore", "--wallet", "bad", "--words-file", "wrong"]);
        assert_eq!(refused, (2, "bad-words".to_owned()), "{wrong}");
    }
    user.new_wallet("other");
    let refused = user.fail(&["wallet", "check", "--wallet", "other", "--words-file", "words"]);
    assert_eq!(refused, (1, "other-words".to_owned()));
    assert_eq!(user.json(&["wallet", "list"]).as_array().unwrap().len(), 3);
}

#[test]
fn a_passphrase_opens_other_accounts() {
    let user = User::new();
    let words = user.new_wallet("main");
    user.write_private("words", &words);
    user.write_private("passphrase", "extra");
    let plain = user.json(&["wallet", "restore", "--wallet", "plain", "--words-file", "words"]);
    let hidden = user.json(&[
        "wallet",
        "restore",
        "--wallet",
        "hidden",
        "--words-file",
        "words",
        "--passphrase-file",
        "passphrase",
    ]);
    assert_ne!(plain["accounts"][0]["address"], hidden["accounts"][0]["address"]);
    let check = ["wallet", "check", "--wallet", "hidden", "--words-file", "words"];
    assert_eq!(user.fail(&check), (1, "other-words".to_owned()));
    user.json(&[&check[..], &["--passphrase-file", "passphrase"]].concat());
}

#[test]
fn a_stuck_payment_is_bumped_and_another_cancelled() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    user.fund(100);
    user.json(&["mine", "--mode", "manual"]);
    let first = text(&user.json(&["send", "--to", "bob", "--amount", "5"])["id"]);
    let second = text(&user.json(&["send", "--to", "carol", "--amount", "7"])["id"]);
    let waiting = user.json(&["wallet", "history"]);
    assert_eq!(waiting["waiting"].as_array().unwrap().len(), 2);
    let bumped = text(&user.json(&["wallet", "bump", &first])["id"]);
    let nothing = text(&user.json(&["wallet", "cancel", &second])["id"]);
    assert_eq!(user.fail(&["wallet", "bump", &first]).0, 1);
    let (bob, carol) = (user.balance("bob"), user.balance("carol"));
    user.json(&["mine"]);
    assert_eq!((user.balance("bob"), user.balance("carol")), (bob + 5 * COIN, carol));
    for id in [&bumped, &nothing] {
        assert_eq!(text(&user.json(&["tx", id])["status"]), "confirmed");
    }
    assert_eq!(user.fail(&["wallet", "cancel", &bumped]), (1, "not-waiting".to_owned()));
    assert_eq!(user.fail(&["wallet", "cancel", "abc"]), (2, "bad-id".to_owned()));
}

#[test]
fn a_table_of_300_recipients_is_paid_whole_or_not_at_all() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    user.fund(100);
    let landlord = text(&user.json(&["account", "bob"])["address"]);
    user.json(&["wallet", "contact", "add", "--name", "landlord", "--address", &landlord]);
    let rows: String =
        (0..300).map(|row| if row % 2 == 0 { "landlord,0.01\n" } else { "carol,0.02\n" }).collect();
    std::fs::write(user.path("table.csv"), format!("address,amount\n{rows}")).unwrap();
    std::fs::write(user.path("wrong.csv"), format!("{rows}landlord,-1\nnobody,1\n")).unwrap();
    let (bob, carol) = (user.balance("bob"), user.balance("carol"));
    assert_eq!(user.fail(&["send", "--csv", "wrong.csv"]), (2, "bad-table".to_owned()));
    assert_eq!((user.balance("bob"), user.balance("carol")), (bob, carol));
    let sent = user.json(&["send", "--csv", "table.csv", "--wait"]);
    assert_eq!((sent["transfers"].as_u64(), sent["transactions"].as_array().unwrap().len()), (Some(300), 2));
    assert_eq!(user.balance("bob"), bob + 150 * COIN / 100);
    assert_eq!(user.balance("carol"), carol + 300 * COIN / 100);
    assert_eq!(user.fail(&["send", "--csv", "none.csv"]), (1, "unreadable-file".to_owned()));
}

#[test]
fn texts_are_signed_and_a_changed_one_is_told() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    let signed = user.json(&["wallet", "sign", "--text", "I owe Bob 5"]);
    let (by, signature) = (text(&signed["by"]), text(&signed["signature"]));
    let verify = |by: &str, text: &str| {
        ["wallet", "verify", "--by", by, "--signature", &signature, "--text", text].map(str::to_owned)
    };
    let holds = |it: [String; 8]| user.run(&it.each_ref().map(String::as_str)).status.success();
    assert!(holds(verify(&by, "I owe Bob 5")) && holds(verify("main", "I owe Bob 5")));
    let fails = |it: [String; 8]| user.fail(&it.each_ref().map(String::as_str));
    assert_eq!(fails(verify(&by, "I owe Bob 6")), (1, "wrong-signature".to_owned()));
    assert_eq!(fails(verify("bob", "I owe Bob 5")), (1, "other-signer".to_owned()));
}

#[test]
fn a_payment_link_is_shown_as_a_code_and_paid() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    let request = ["wallet", "request", "--amount", "12.5", "--message", "for March"];
    let shown = user.succeed(&request);
    assert!(shown.contains('█') && shown.contains("cairn:cairn1"), "{shown}");
    let link = text(&user.json(&request)["link"]);
    user.json(&["send", "--from", "alice", "--to", &link, "--wait"]);
    assert_eq!(user.balance("main"), 25 * COIN / 2);
    let other = ["send", "--from", "alice", "--to", &link, "--amount", "1"];
    assert_eq!(user.fail(&other), (2, "other-amount".to_owned()));
    // A link or an address of another network is told as such, not as a typing mistake.
    let elsewhere = link.replace("network=", "network=ff").split_at(link.len()).0.to_owned();
    assert_eq!(user.fail(&["send", "--from", "alice", "--to", &elsewhere]), (2, "wrong-network".to_owned()));
    let prefix = cairn_core::address::AddressPrefix::new("other").unwrap();
    let foreign = cairn_wallet::development_account("bob").unwrap().address().to_text(&prefix);
    let refused = user.fail(&["send", "--from", "alice", "--to", &foreign, "--amount", "1"]);
    assert_eq!(refused, (2, "wrong-network".to_owned()));
}

#[test]
fn a_payment_is_built_signed_and_sent_on_different_machines() {
    let (online, offline) = (User::new(), User::new());
    let _devnet = Devnet::start(&online, &[]);
    offline.new_wallet("cold");
    let address = text(&offline.json(&["wallet", "address"])["address"]);
    online.json(&["wallet", "new", "--watch-only", "--wallet", "eyes"]);
    online.json(&["wallet", "watch", "--name", "cold", "--address", &address]);
    online.json(&["send", "--from", "alice", "--to", "cold", "--amount", "9", "--wait"]);
    assert_eq!(online.json(&["wallet", "accounts"])["accounts"][0]["watched"], true);
    let refused = online.fail(&["send", "--from", "cold", "--to", "bob", "--amount", "1"]);
    assert_eq!(refused, (2, "no-key".to_owned()));
    online.succeed(&[
        "tx",
        "build",
        "--from",
        "cold",
        "--to",
        "bob",
        "--amount",
        "4",
        "--output",
        "unsigned.json",
    ]);
    let carry = |from: &User, to: &User, file: &str| std::fs::copy(from.path(file), to.path(file)).unwrap();
    carry(&online, &offline, "unsigned.json");
    offline.succeed(&["tx", "sign", "unsigned.json", "--output", "signed.json"]);
    carry(&offline, &online, "signed.json");
    let before = online.balance("bob");
    online.json(&["tx", "submit", "signed.json", "--wait"]);
    assert_eq!(online.balance("bob"), before + 4 * COIN);
}

#[test]
fn a_backup_holds_everything_and_opens_with_its_own_password() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    user.json(&["wallet", "label", "main", "--text", "daily"]);
    user.write_private("backup-pw", "another password");
    let with_password =
        |arguments: &[&'static str]| [arguments, &["--backup-password-file", "backup-pw"]].concat();
    user.json(&with_password(&["wallet", "export", "--output", "main.backup"]));
    assert_eq!(user.fail(&with_password(&["wallet", "export", "--output", "main.backup"])).1, "file-exists");
    assert_eq!(user.json(&["wallet", "import", "--file", "main.backup", "--check"])["whole"], true);
    user.json(&with_password(&["wallet", "import", "--file", "main.backup", "--wallet", "second"]));
    let accounts = |name: &str| user.json(&["wallet", "accounts", "--wallet", name])["accounts"].clone();
    assert_eq!(accounts("second"), accounts("main"));
    let import =
        ["wallet", "import", "--file", "main.backup", "--wallet", "third", "--backup-password-file", "pw"];
    assert_eq!(user.fail(&import), (1, "wrong-password".to_owned()));
    let mut bytes = std::fs::read(user.path("main.backup")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(user.path("main.backup"), bytes).unwrap();
    let refused = user.fail(&["wallet", "import", "--file", "main.backup", "--check"]);
    assert_eq!(refused, (1, "bad-backup".to_owned()));
}

#[test]
fn a_wallet_stays_open_for_a_while_and_no_longer() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    user.fund(10);
    // From here on the password is known to nobody.
    let locked = |arguments: &[&str]| {
        let mut command = user.command(arguments);
        let output = command.env_remove("CAIRN_PASSWORD_FILE").arg("--json").output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value["error"]["code"].as_str().unwrap_or("none").to_owned()
    };
    let pay = ["send", "--to", "bob", "--amount", "1", "--wait"];
    assert_eq!(locked(&pay), "no-password");
    assert_eq!(user.fail(&["wallet", "unlock", "--for", "16m"]), (2, "wrong-value".to_owned()));
    assert_eq!(user.json(&["wallet", "unlock", "--for", "10m"])["open_ms"], 600_000);
    assert_eq!(locked(&pay), "none");
    assert_eq!(locked(&["wallet", "sign", "--text", "hello"]), "none");
    assert_eq!(user.fail(&["wallet", "unlock"]), (2, "already-unlocked".to_owned()));
    assert!(user.json(&["wallet", "show"])["open_ms"].as_u64().unwrap() > 500_000);
    assert_eq!(user.json(&["wallet", "lock"])["locked"][0], "main");
    assert_eq!(locked(&pay), "no-password");
    // The shortest time is over before anybody can use it.
    user.json(&["wallet", "unlock", "--for", "1ms"]);
    assert_eq!(locked(&pay), "no-password");
    user.write_private("wrong", "another");
    let refused = user.fail(&["wallet", "unlock", "--password-file", "wrong"]);
    assert_eq!(refused, (1, "wrong-password".to_owned()));
}

#[test]
fn a_changed_password_ends_the_old_one() {
    let user = User::new();
    user.new_wallet("main");
    user.write_private("new-pw", "a new password");
    user.json(&["wallet", "passwd", "--new-password-file", "new-pw"]);
    let words = |file| user.run_unheard(&["wallet", "words", "--password-file", file]).status.code();
    assert_eq!((words("pw"), words("new-pw")), (Some(1), Some(0)));
}

#[test]
fn a_chain_that_was_begun_anew_is_recognised_and_the_old_history_kept() {
    let user = User::new();
    let devnet = Devnet::start(&user, &["--data-dir", "chain"]);
    user.new_wallet("main");
    user.fund(10);
    let sent = text(&user.json(&["send", "--to", "bob", "--amount", "1", "--wait"])["id"]);
    user.json(&["wallet", "label", &sent, "--text", "rent"]);
    let identity = text(&user.json(&["wallet", "accounts"])["identity"]);
    drop(devnet);
    let _devnet = Devnet::start(&user, &["--data-dir", "chain", "--reset", "--block-time", "3s"]);
    assert_ne!(text(&user.json(&["wallet", "accounts"])["identity"]), identity);
    let told = user.succeed(&["wallet", "accounts"]);
    assert!(told.contains("begun anew") && told.contains(&identity), "{told}");
    let kept = user.json(&["wallet", "history", "--identity", &identity]);
    assert_eq!((text(&kept["sent"][0]["id"]), text(&kept["sent"][0]["note"])), (sent, "rent".to_owned()));
    assert_eq!(user.json(&["wallet", "history"])["changes"].as_array().unwrap().len(), 0);
}

#[test]
fn no_output_ever_holds_a_secret() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &["--mine", "manual"]);
    let words = user.new_wallet("main");
    user.write_private("words", &words);
    user.write_private("wrong", "another");
    user.json(&["wallet", "export-key", "main", "--output", "main.key"]);
    let key = std::fs::read_to_string(user.path("main.key")).unwrap().trim().to_owned();
    let address = user.address();
    user.json(&["send", "--from", "alice", "--to", &address, "--amount", "10"]);
    user.json(&["mine"]);
    let session: &[&[&str]] = &[
        &["wallet", "list"],
        &["wallet", "show"],
        &["wallet", "accounts"],
        &["wallet", "history"],
        &["wallet", "check", "--words-file", "words"],
        &["wallet", "restore", "--wallet", "again", "--words-file", "words"],
        &["wallet", "restore", "--wallet", "bad", "--words-file", "main.key"],
        &["wallet", "import-key", "--wallet", "keys", "--key-file", "main.key", "--name", "old"],
        &["wallet", "import-key", "--wallet", "keys", "--key-file", "words", "--name", "older"],
        &["wallet", "import", "--file", "main.key", "--wallet", "b"],
        &["wallet", "import", "--file", "words", "--wallet", "b"],
        &["wallet", "sign", "--wallet", "main", "--text", "hello"],
        &["wallet", "unlock", "--wallet", "main"],
        &["wallet", "lock"],
        &["wallet", "words", "--wallet", "main", "--password-file", "wrong"],
        &["wallet", "passwd", "--wallet", "main", "--new-password-file", "words"],
        &["wallet", "words", "--wallet", "main"],
        &["send", "--wallet", "main", "--to", "bob", "--amount", "1", "--password-file", "words"],
        &["send", "--wallet", "main", "--csv", "main.key"],
        &["send", "--wallet", "main", "--csv", "words"],
        &["send", "--wallet", "main", "--csv", "pw"],
        &["send", "--key-file", "words", "--to", "bob", "--amount", "1"],
        &["tx", "submit", "main.key"],
        &["tx", "submit", "words"],
        &["genesis", "check", "words"],
        &["account", "--key-file", "main.key"],
        &["account", "--key-file", "words"],
        &["config", "show", "--origin"],
    ];
    for arguments in session {
        user.run(arguments);
        user.run(&[arguments, &["--json"][..]].concat());
    }
    let said = String::from_utf8_lossy(&user.said.borrow()).into_owned();
    assert!(said.len() > 5_000);
    for secret in [PASSWORD, &key, &words] {
        assert!(!said.contains(secret), "{}", said.split(secret).next().unwrap());
    }
    // Nor three of the words in a row, in a line or in a list.
    let list: Vec<&str> = words.split(' ').collect();
    for three in list.windows(3) {
        for between in [" ", "\",\"", "\n"] {
            assert!(!said.contains(&three.join(between)), "{three:?}");
        }
    }
}

/// Something between a command and its node that lets everything through but payments: of these it keeps the
/// bytes and the connection, on which no answer comes.
struct Thief {
    port: u16,
    taken: Receiver<Stolen>,
}

type Stolen = (Vec<u8>, TcpStream);

impl Thief {
    /// Steals from what goes to a node.
    fn between(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let node = node.strip_prefix("http://").unwrap().to_owned();
        let (thief, taken) = channel();
        // It ends with the test.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, node, thief) = (client.unwrap(), node.clone(), thief.clone());
                std::thread::spawn(move || pass_on(client, &node, port, &thief));
            }
        });
        Self { port, taken }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Passes requests on, one connection to the node for each, until a payment comes.
fn pass_on(client: TcpStream, node: &str, port: u16, thief: &Sender<Stolen>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head.to_lowercase();
    let length = length
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.lines().next().unwrap().trim().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    if head.starts_with("POST /v1/transactions ") {
        thief.send((body, client)).unwrap();
        return;
    }
    let head = head.replace(&format!("127.0.0.1:{port}"), node);
    let head = head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let answer = exchange(node, head.as_bytes(), &body);
    // Who asked may have been killed.
    let _ = (&client).write_all(&answer);
}

fn exchange(node: &str, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut node = TcpStream::connect(node).unwrap();
    node.write_all(head).unwrap();
    node.write_all(body).unwrap();
    let mut answer = Vec::new();
    node.read_to_end(&mut answer).unwrap();
    answer
}

/// Hands the bytes of a payment to a node, as they were stolen; returns what it answers.
fn deliver(node: &str, body: &[u8]) -> String {
    let node = node.strip_prefix("http://").unwrap();
    let head = format!(
        "POST /v1/transactions HTTP/1.1\r\nHost: {node}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    String::from_utf8(exchange(node, head.as_bytes(), body)).unwrap()
}

#[test]
fn a_payment_whose_command_is_killed_before_the_answer_is_not_paid_twice() {
    let user = User::new();
    let devnet = Devnet::start(&user, &[]);
    let node = devnet.ready["nodes"][0]["api"].as_str().unwrap();
    user.new_wallet("main");
    user.fund(100);
    let thief = Thief::between(node);
    let send = ["send", "--to", "bob", "--amount", "5"];
    let unseen = || user.json(&["wallet", "history"])["unseen"].as_array().unwrap().clone();
    let before = user.balance("bob");

    let mut killed = user.command(&[&send[..], &["--node", &thief.url()]].concat()).spawn().unwrap();
    // The payment is on its way: the command waits for the answer.
    let (payment, _connection) = thief.taken.recv().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let noted = unseen();
    assert_eq!((noted.len(), text(&noted[0]["amount"])), (1, (5 * COIN).to_string()));
    assert!(user.succeed(&["wallet", "history"]).contains("not seen"));
    // Nothing is known of it, and the node says so: now it arrives.
    assert!(deliver(node, &payment).starts_with("HTTP/1.1 202"));
    let id = text(&noted[0]["id"]);
    assert_eq!(user.fail(&send), (1, "already-paid".to_owned()));
    assert_eq!(user.fail(&[&send[..], &["--wait"]].concat()), (1, "already-paid".to_owned()));
    assert!(unseen().is_empty(), "the node has it");
    user.json(&["tx", &id]);
    // Another payment is none of that, and whoever wants to pay the same again says so.
    user.json(&["send", "--to", "carol", "--amount", "1", "--wait"]);
    user.json(&[&send[..], &["--again", "--wait"]].concat());
    user.json(&[&send[..], &["--wait"]].concat());
    assert_eq!(user.balance("bob"), before + 15 * COIN);
}

#[test]
fn a_payment_that_did_not_arrive_is_paid_again_and_only_once() {
    let user = User::new();
    let devnet = Devnet::start(&user, &[]);
    let node = devnet.ready["nodes"][0]["api"].as_str().unwrap();
    user.new_wallet("main");
    user.fund(100);
    let thief = Thief::between(node);
    let before = user.balance("bob");
    let send = ["send", "--to", "bob", "--amount", "5"];
    let broken = user.command(&[&send[..], &["--node", &thief.url(), "--json"]].concat());
    let broken = { broken }.stdout(Stdio::piped()).spawn().unwrap();
    let (stolen, connection) = thief.taken.recv().unwrap();
    drop(connection);
    let broken = broken.wait_with_output().unwrap();
    let error: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!(
        (broken.status.code(), text(&error["error"]["code"]).as_str()),
        (Some(3), "connection-broken")
    );
    assert!(text(&error["error"]["help"]).contains("may have arrived"), "{error}");
    let history = user.json(&["wallet", "history"]);
    assert_eq!(history["unseen"].as_array().unwrap().len(), 1);
    // It takes the place of what is lost: the same bytes, or others with the same nonce.
    user.json(&["send", "--to", "bob", "--amount", "6", "--wait"]);
    assert_eq!(user.balance("bob"), before + 6 * COIN);
    assert!(user.json(&["wallet", "history"])["unseen"].as_array().unwrap().is_empty());
    // What turns up too late is refused.
    assert!(deliver(node, &stolen).contains("nonce-too-low"));
    // A payment that is refused leaves no trace.
    assert_eq!(user.fail(&["send", "--to", "bob", "--amount", "1", "--fee-rate", "0"]).0, 1);
    assert!(user.json(&["wallet", "history"])["unseen"].as_array().unwrap().is_empty());
}

#[test]
fn what_was_added_is_removed_once_that_is_meant() {
    let user = User::new();
    let _devnet = Devnet::start(&user, &[]);
    user.new_wallet("main");
    user.json(&["wallet", "add", "--name", "savings"]);
    user.json(&["wallet", "default", "savings"]);
    let savings = text(&user.json(&["wallet", "address", "savings"])["address"]);
    let names = || -> Vec<String> {
        let accounts = user.json(&["wallet", "accounts"])["accounts"].clone();
        accounts.as_array().unwrap().iter().map(|it| text(&it["name"])).collect()
    };
    assert_eq!(user.fail(&["wallet", "remove", "savings"]), (2, "not-confirmed".to_owned()));
    assert_eq!(user.fail(&["wallet", "remove", "nobody", "--yes"]), (2, "unknown-account".to_owned()));
    assert_eq!(names(), ["main", "savings"]);
    user.json(&["wallet", "remove", "savings", "--yes"]);
    assert_eq!(names(), ["main"]);
    // The only account pays again, and the words bring the other back.
    assert_eq!(text(&user.json(&["wallet", "address"])["address"]).len(), savings.len());
    user.json(&["wallet", "add", "--name", "again"]);
    assert_eq!(text(&user.json(&["wallet", "address", "again"])["address"]), savings);
    for (add, remove) in
        [("watch", &["wallet", "unwatch", "cold"][..]), ("contact", &["wallet", "contact", "remove", "cold"])]
    {
        let add: &[&str] = if add == "watch" { &["wallet", "watch"] } else { &["wallet", "contact", "add"] };
        user.json(&[add, &["--name", "cold", "--address", &savings]].concat());
        assert_eq!(text(&user.json(remove)["address"]), savings);
        assert_eq!(user.fail(remove).0, 2);
    }
}
