//! What `cairn node` and `cairn devnet` have in common: the log, and why a start fails.

use super::context::Context;
use super::local::cannot_open;
use crate::config::{LOG_FORMAT_CHOICES, Origin};
use crate::failure::CliError;
use crate::logging::{self, LogError, LogFormat, LogSettings, LogTarget};
use crate::output;
use crate::run::links::LinkError;
use crate::run::service::ServiceError;
use crate::values::parse_size;
use cairn_p2p::StartError;
use clap::builder::PossibleValuesParser;
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// What says how the log is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArguments {
    /// Show no progress, and log nothing but warnings unless --log says otherwise.
    #[arg(long)]
    quiet: bool,
    /// What is logged: error, warn, info, debug, or a filter of `tracing`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How lines look: text for people, json for programs.
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(LOG_FORMAT_CHOICES))]
    log_format: Option<String>,
    /// The file that the log goes to, instead of stderr.
    #[arg(long, value_name = "FILE")]
    log_file: Option<String>,
    /// How large that file may grow before it is turned over [default: 16MiB].
    #[arg(long, value_name = "SIZE")]
    log_size: Option<String>,
    /// How many older files are kept [default: 4].
    #[arg(long, value_name = "N")]
    log_kept: Option<String>,
}

impl LogArguments {
    /// Puts what was said before all other settings.
    pub(crate) fn take(self, context: &mut Context) -> Result<(), CliError> {
        context.quiet = self.quiet;
        let settings = &mut context.settings;
        settings.flag("log", self.log)?;
        settings.flag("log_format", self.log_format)?;
        settings.flag("log_file", self.log_file)?;
        settings.flag("log_size", self.log_size)?;
        settings.flag("log_kept", self.log_kept)
    }
}

/// Starts the log as the settings say; `filter` where nobody says what is logged.
pub(crate) fn start_log(filter: &str, context: &Context) -> Result<(), CliError> {
    let settings = &context.settings;
    let is_said = match settings.origin("log") {
        None | Some(Origin::Default) => false,
        Some(Origin::Flag(_)) => true,
        // The flag goes before them.
        Some(_) => !context.quiet,
    };
    let filter = if context.quiet { "warn" } else { filter };
    let filter = settings.get("log").filter(|_| is_said).unwrap_or(filter).to_owned();
    let format = match settings.get("log_format") {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let target = match settings.get("log_file") {
        None => LogTarget::Stderr { colours: output::colours_on_stderr() },
        Some(path) => LogTarget::File {
            path: path.into(),
            bytes_max: settings.get("log_size").map(parse_size).and_then(Result::ok).unwrap_or(u64::MAX),
            kept: settings.get("log_kept").and_then(|kept| kept.parse().ok()).unwrap_or(u32::MAX),
        },
    };
    logging::start(&LogSettings { filter, format, target }).map_err(|error| match &error {
        LogError::File { source, .. } => CliError::usage("cannot-log", error.to_string())
            .because(source)
            .help("name a file that can be written: `--log-file FILE`"),
        LogError::Filter(source) => CliError::usage("wrong-value", error.to_string()).because(source),
        _ => CliError::usage("wrong-value", error.to_string()),
    })
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

/// Whether the operating system said so, under however many layers.
fn is_in_use(error: &io::Error) -> bool {
    let causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source());
    let mut told = causes.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    told.any(|kind| kind == io::ErrorKind::AddrInUse)
}

/// Why a node could not be started; `other_port` says how to ask for another port.
pub(crate) fn cannot_start(error: &ServiceError, directory: &Path, other_port: &str) -> CliError {
    let failure = |code| CliError::failed(code, error.to_string());
    match error {
        ServiceError::Run(error) => cannot_open(error, directory),
        ServiceError::Tls(source) => {
            let failure = failure("unusable-certificate")
                .help("give PEM files that belong together: `--api-tls-cert FILE --api-tls-key FILE`");
            match Error::source(source) {
                Some(source) => failure.because(source),
                None => failure,
            }
        }
        ServiceError::Links(error) => {
            let source = Error::source(error);
            let failure = match error {
                LinkError::Start(StartError::Listen { address, source }) => {
                    let help = format!(
                        "choose another: `--p2p-bind {}` asks the system for one",
                        SocketAddr::new(address.ip(), 0)
                    );
                    if is_in_use(source) {
                        let message = format!("{address}, where nodes meet, is in use by another program");
                        return CliError::failed("port-in-use", message).help(help);
                    }
                    failure("cannot-listen").help(help)
                }
                LinkError::Start(_) => failure("no-links"),
                LinkError::Key { path, .. } => failure("unusable-key-file").help(format!(
                    "`chmod 600 {0}`, or remove it: the node then gets another name",
                    path.display()
                )),
            };
            match source {
                Some(source) => failure.because(source),
                None => failure,
            }
        }
        ServiceError::PortInUse { .. } => failure("port-in-use").help(other_port),
        ServiceError::Bind { source, .. } => failure("cannot-listen").because(source).help(other_port),
        ServiceError::Token(source) => failure("no-token").because(source),
        ServiceError::Register { source, .. } => failure("no-register")
            .because(source)
            .help("XDG_RUNTIME_DIR must name a directory that you can write"),
        ServiceError::Threads(source) => failure("no-threads").because(source),
    }
}
