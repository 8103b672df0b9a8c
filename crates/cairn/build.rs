//! Tells the program the commit it is built from.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CAIRN_COMMIT");
    let given = std::env::var("CAIRN_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(commit_of_checkout).unwrap_or_else(|| "unknown commit".to_owned());
    println!("cargo::rustc-env=CAIRN_COMMIT={commit}");
}

/// The commit of the checkout that holds this crate; none outside one, or without git.
fn commit_of_checkout() -> Option<String> {
    let directory = git(&["rev-parse", "--git-dir"])?;
    println!("cargo::rerun-if-changed={directory}/HEAD");
    println!("cargo::rerun-if-changed={directory}/logs/HEAD");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8(text).ok()?.trim().to_owned())
}
