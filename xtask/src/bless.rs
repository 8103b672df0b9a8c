//! Rewrites the vectors of Cairn's own formats from the code.

use crate::report::Refusal;
use crate::repository::{Repository, run as run_program};

/// Runs the vector tests of cairn-core, cairn-node and cairn-p2p in writing mode, one after the other: messages bring
/// blocks.
///
/// They see `BLESS=1` and write `docs/spec/vectors/*.json` instead of comparing with it.
pub(crate) fn run(repository: &Repository) -> Result<(), Refusal> {
    for package in ["cairn-core", "cairn-node", "cairn-p2p"] {
        let mut command = repository.cargo(&["test", "--package", package, "vectors"]);
        run_program(
            command.env("BLESS", "1"),
            "a vector test failed for another reason than its vectors: see above",
        )?;
    }
    println!("read `git diff docs/spec/vectors`: whoever commits it approves a new format");
    Ok(())
}
