//! Licences, advisories, doubled versions and sources of dependencies, as `deny.toml` allows them.

use crate::report::Refusal;
use crate::repository::{Repository, run as run_program, succeeds};

/// Runs cargo-deny, or says how to install it.
pub(crate) fn run(repository: &Repository) -> Result<(), Refusal> {
    if !succeeds(&mut repository.cargo(&["deny", "--version"])) {
        return Err(Refusal::new("cargo-deny is not installed", "run `cargo install --locked cargo-deny`"));
    }
    run_program(&mut repository.cargo(&["deny", "check"]), "deny.toml says what is allowed and why")
}
