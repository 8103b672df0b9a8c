//! What the other steps need on a machine that has only cargo and rustup.

use std::process::Command;

use crate::report::Refusal;
use crate::repository::{Repository, output_of, run, succeeds};

/// Installs rustfmt and clippy where they are missing.
pub(super) fn prepare(repository: &Repository) -> Result<String, Refusal> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| !succeeds(&mut repository.cargo(&[subcommand, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if !missing.is_empty() {
        let mut command = Command::new("rustup");
        command.args(["component", "add"]).args(&missing).current_dir(&repository.root);
        run(&mut command, "install rustfmt and clippy with the tool that installed Rust")?;
    }
    let version = output_of(&mut repository.cargo(&["--version"]), "is cargo installed?")?;
    let runner = if has_nextest(repository) { "nextest" } else { "cargo test" };
    Ok(format!("{}, {runner}", String::from_utf8_lossy(&version).trim()))
}

/// Whether cargo-nextest is there; tests run with `cargo test` where it is not.
pub(super) fn has_nextest(repository: &Repository) -> bool {
    succeeds(&mut repository.cargo(&["nextest", "--version"]))
}
