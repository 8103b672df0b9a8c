//! A machine of its own, as far as a home directory makes one.

use crate::support::program;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use tempfile::TempDir;

/// A user's home, in which `cairn` is found.
#[derive(Debug)]
pub(crate) struct Home(TempDir);

/// A node that runs until it is stopped, or dropped.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    /// What it said when it was ready.
    pub(crate) ready: Value,
    _stdout: BufReader<ChildStdout>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(home.path("bin")).unwrap();
        std::os::unix::fs::symlink(program(), home.path("bin/cairn")).unwrap();
        home
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.env_clear().env("PATH", path).env("HOME", self.0.path());
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("CAIRN_P2P_BIND", "127.0.0.1:0");
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(program()).args(arguments).output().unwrap()
    }

    /// The object that the program writes, and its exit status.
    pub(crate) fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let told = String::from_utf8_lossy(&output.stderr);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{told}"));
        (value, output.status.code().unwrap())
    }

    /// Types lines into a shell; each must succeed.
    pub(crate) fn shell(&self, lines: &str) -> String {
        let output = self.command("sh").args(["-euc", lines]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{lines}\n{text}{told}");
        text
    }

    /// Starts a node and waits until it is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Node {
        let mut command = self.command(program());
        command.args(arguments).arg("--json").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(ready["ready"], true, "{line}");
        Node { child, ready, _stdout: stdout }
    }
}

impl Node {
    /// Ends it without warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended well by itself.
    pub(crate) fn wait(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All files below a directory with their bytes, by their paths; but who holds the lock.
pub(crate) fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path.strip_prefix(directory).unwrap().to_owned(), bytes));
        }
    }
    found.sort();
    found
}
