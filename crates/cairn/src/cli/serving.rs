//! What `cairn node` and `cairn devnet` have in common: the log on stderr, and why a start fails.

use super::local::cannot_open;
use crate::failure::CliError;
use crate::output;
use crate::run::service::ServiceError;
use std::cell::RefCell;
use std::path::Path;

/// Sends the log to stderr, filtered.
pub(crate) fn log(filter: &str) -> Result<(), CliError> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| {
        CliError::usage("wrong-value", format!("`{filter}` is no filter for the log")).because(&error)
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::colours_on_stderr())
        .with_writer(std::io::stderr);
    // Where a subscriber is set already, that one goes on.
    let _ = subscriber.try_init();
    Ok(())
}

/// The bar that shows how far the replay of a log is, until the node is ready or has failed.
#[derive(Debug, Default)]
pub(crate) struct ReplayBar(RefCell<Option<output::Progress>>);

impl ReplayBar {
    /// The replay stands there.
    pub(crate) fn show(&self, progress: crate::run::Progress) {
        let mut bar = self.0.borrow_mut();
        bar.get_or_insert_with(|| output::Progress::new("bytes replayed", progress.total)).set(progress.done);
    }

    /// Takes the bar away, so that what is said next stands alone.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.0.take() {
            bar.finish();
        }
    }
}

/// Why a node could not be started; `other_port` says how to ask for another port.
pub(crate) fn cannot_start(error: &ServiceError, directory: &Path, other_port: &str) -> CliError {
    let failure = |code| CliError::failed(code, error.to_string());
    match error {
        ServiceError::Run(error) => cannot_open(error, directory),
        ServiceError::NotLoopback { .. } => CliError::usage("not-loopback", error.to_string()).help(
            "listen on 127.0.0.1, and reach it from elsewhere through a tunnel: \
             `ssh -L 7780:127.0.0.1:7780 HOST`",
        ),
        ServiceError::PortInUse { .. } => failure("port-in-use").help(other_port),
        ServiceError::Bind { source, .. } => failure("cannot-listen").because(source).help(other_port),
        ServiceError::Token(source) => failure("no-token").because(source),
        ServiceError::Register { source, .. } => failure("no-register")
            .because(source)
            .help("XDG_RUNTIME_DIR must name a directory that you can write"),
        ServiceError::Threads(source) => failure("no-threads").because(source),
    }
}
