//! Measures a release build.

use crate::report::Refusal;
use crate::repository::{Repository, run as run_program};

/// Builds a release and runs `cairn bench` with `arguments`.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<(), Refusal> {
    let mut command = repository.cargo(&["run", "--release", "--package", "cairn", "--", "bench"]);
    run_program(command.args(arguments), "`cargo xtask bench --help` lists what can be measured")
}
