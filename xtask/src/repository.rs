//! The working tree: where it is, its files, and programs started in it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::report::Refusal;

/// Folders that hold nothing of ours, or nothing written by hand.
const SKIPPED_FOLDERS: &[&str] = &["target", "node_modules", ".git"];

/// The root folder of the working tree.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
}

/// A text file and its path from the root, with `/` between names.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Repository {
    /// The tree from which cargo runs this program.
    pub(crate) fn current() -> Self {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.parent().expect("the manifest of xtask lies one folder below the root");
        Self { root: root.to_owned() }
    }

    /// The cargo that runs us, started in the root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// All files below `folder`, as sorted paths from the root; none if there is no such folder.
    pub(crate) fn files(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        let mut found = Vec::new();
        if self.root.join(folder).is_dir() {
            self.collect(folder, &mut found)?;
        }
        found.sort();
        Ok(found)
    }

    /// The files below `folder` whose names end in `ending`, with their text.
    pub(crate) fn sources(&self, folder: &str, ending: &str) -> Result<Vec<SourceFile>, Refusal> {
        self.files(folder)?
            .into_iter()
            .filter(|path| path.ends_with(ending))
            .map(|path| self.read(path))
            .collect()
    }

    /// The file at `path` from the root.
    pub(crate) fn read(&self, path: String) -> Result<SourceFile, Refusal> {
        match std::fs::read_to_string(self.root.join(&path)) {
            Ok(text) => Ok(SourceFile { path, text }),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    fn collect(&self, folder: &str, found: &mut Vec<String>) -> Result<(), Refusal> {
        let entries =
            std::fs::read_dir(self.root.join(folder)).map_err(|error| unreadable(folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            // A link is taken as a file, so that no circle of folders is followed.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_folder {
                found.push(path);
            } else if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                self.collect(&path, found)?;
            }
        }
        Ok(())
    }
}

/// Runs a program with our own output and refuses its failure.
pub(crate) fn run(command: &mut Command, advice: &str) -> Result<(), Refusal> {
    let name = describe(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Refusal::new(format!("`{name}` ended with {status}"), advice)),
        Err(error) => Err(Refusal::new(format!("`{name}` cannot be started: {error}"), advice)),
    }
}

/// Like [`run`], and keeps the lines for which `keep` holds; everything is shown as it comes.
pub(crate) fn run_and_keep(
    command: &mut Command,
    keep: fn(&str) -> bool,
    advice: &str,
) -> Result<Vec<String>, Refusal> {
    let name = describe(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Refusal::new(format!("`{name}` cannot be started: {error}"), advice))?;
    let stdout = child.stdout.take().expect("standard output is piped above");
    let stderr = child.stderr.take().expect("standard error is piped above");
    let mut kept = Vec::new();
    thread::scope(|scope| {
        let errors = scope.spawn(|| echo(stderr, keep, |line| eprintln!("{line}")));
        kept = echo(stdout, keep, |line| println!("{line}"));
        kept.extend(errors.join().expect("echo does not panic"));
    });
    match child.wait() {
        Ok(status) if status.success() => Ok(kept),
        Ok(status) => Err(Refusal::new(format!("`{name}` ended with {status}"), advice)),
        Err(error) => Err(Refusal::new(format!("`{name}` cannot be waited for: {error}"), advice)),
    }
}

/// What a program prints to standard output, if it succeeds.
pub(crate) fn output_of(command: &mut Command, advice: &str) -> Result<Vec<u8>, Refusal> {
    let name = describe(command);
    match command.output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Refusal::new(format!("`{name}` ended with {}: {complaint}", output.status), advice))
        }
        Err(error) => Err(Refusal::new(format!("`{name}` cannot be started: {error}"), advice)),
    }
}

/// Whether a program starts and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn echo(from: impl Read, keep: fn(&str) -> bool, show: fn(&str)) -> Vec<String> {
    let mut kept = Vec::new();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        show(&line);
        if keep(&line) {
            kept.push(line.into_owned());
        }
    }
    kept
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}

fn unreadable(path: &str, error: &std::io::Error) -> Refusal {
    Refusal::new(format!("{path} cannot be read: {error}"), "is this a whole working tree?")
}
