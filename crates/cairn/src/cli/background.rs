//! A node or a tracker behind the terminal: started anew in a session of its own, and left alone once it is
//! ready.
//!
//! Forking a process that has threads is not safe, so the program starts itself again. What it says until it is
//! ready goes through a pipe to the command that started it; all later words go to the log file.

use super::context::Context;
use crate::failure::{CliError, Exit};
use crate::output;
use crate::paths::create_private_directory;
use crate::pidfile::{PidFile, PidFileError};
use crate::tracker;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What is said last through the pipe: it is ready.
const READY: u8 = 0;
/// The most bytes that may be said until then.
const WORDS_BYTES_MAX: u64 = 1024 * 1024;
/// The most bytes of its log that are shown where it did not start.
const LOG_BYTES_MAX: u64 = 16 * 1024;

/// Whether it runs behind the terminal, and how it is found there.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Background")]
pub(crate) struct Background {
    /// Run behind the terminal; the command returns when all is ready. A node logs to node.log in the data
    /// directory, a tracker to tracker/tracker.log there, unless --log-file says where.
    #[arg(long)]
    daemon: bool,
    /// A file for the number of the process, which holds it as long as it runs.
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// This is the process behind the terminal.
    #[arg(long, hide = true, requires = "daemon")]
    detached: bool,
}

/// What runs, as far as going behind the terminal is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Node,
    Tracker,
}

impl Part {
    /// Where it logs behind the terminal if nothing is said, for a network that is kept in `directory`.
    fn log_file(self, directory: &Path) -> PathBuf {
        match self {
            Self::Node => directory.join("node.log"),
            Self::Tracker => directory.join(tracker::DIRECTORY).join("tracker.log"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Tracker => "tracker",
        }
    }
}

/// What a running node or tracker holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    _pidfile: Option<PidFile>,
    /// Where it goes on to say things once it is ready, if not to a terminal.
    later: Option<PathBuf>,
}

impl Held {
    /// Says that it is ready, and lets go of whoever waits for that.
    pub(crate) fn tell_ready(&self, tell: impl FnOnce()) {
        tell();
        let Some(later) = &self.later else { return };
        output::print_text("\0");
        let onward = open_log(later).and_then(|log| Ok(rustix::stdio::dup2_stdout(&log)?));
        if let Err(error) = onward {
            tracing::warn!(file = %later.display(), %error, "nothing more is said on stdout");
        }
    }
}

impl Background {
    /// Goes behind the terminal if that is wanted. None in the process that stays before it, where `part` is
    /// ready by then and all is said.
    pub(crate) fn enter(
        self,
        part: Part,
        directory: &Path,
        context: &Context,
    ) -> Result<Option<Held>, CliError> {
        let log = context.settings.get("log_file").map(PathBuf::from);
        let log = log.unwrap_or_else(|| part.log_file(directory));
        if self.daemon && !self.detached {
            // Who holds the file is told here, before anything is started.
            drop(self.pidfile.as_deref().map(|file| claim(file, part)).transpose()?);
            start(part, &log, directory, context)?;
            return Ok(None);
        }
        if self.detached {
            // A process that leads its group already has left the terminal.
            let _ = rustix::process::setsid();
        }
        let pidfile = self.pidfile.as_deref().map(|file| claim(file, part)).transpose()?;
        Ok(Some(Held { _pidfile: pidfile, later: self.detached.then_some(log) }))
    }
}

fn claim(path: &Path, part: Part) -> Result<PidFile, CliError> {
    PidFile::claim(path).map_err(|error| match &error {
        PidFileError::Held { .. } => CliError::failed("already-running", error.to_string())
            .help(format!("that {} runs already: `cairn stop` stops it", part.name())),
        PidFileError::File { source, .. } => CliError::failed("unwritable-file", error.to_string())
            .because(source)
            .help("name a file that can be written: `--pidfile FILE`"),
    })
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Starts this program again behind the terminal, with the same arguments, and waits until it is ready.
fn start(part: Part, log: &Path, directory: &Path, context: &Context) -> Result<(), CliError> {
    let part_name = part.name();
    let cannot = |error: &io::Error| {
        let message = format!("the {part_name} cannot be started behind the terminal");
        CliError::failed("no-daemon", message).because(error)
    };
    for needed in [Some(directory), part.log_file(directory).parent()].into_iter().flatten() {
        if !needed.exists() {
            create_private_directory(needed).map_err(|error| cannot(&error))?;
        }
    }
    let cannot_log = |error: &io::Error| {
        CliError::usage("cannot-log", format!("cannot write the log to {}", log.display()))
            .because(error)
            .help("name a file that can be written: `--log-file FILE`")
    };
    let errors = open_log(log).map_err(|error| cannot_log(&error))?;
    let before = errors.metadata().map_err(|error| cannot_log(&error))?.len();
    let mut command = Command::new(std::env::current_exe().map_err(|error| cannot(&error))?);
    command.args(std::env::args_os().skip(1)).arg("--detached");
    if context.settings.get("log_file").is_none() {
        command.arg("--log-file").arg(log);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let child = command.spawn().map_err(|error| cannot(&error))?;
    let (words, ended) = listen(child).map_err(|error| cannot(&error))?;
    output::print_text(&words);
    let Some(status) = ended else {
        if !context.json {
            output::note(&format!("it runs behind the terminal and logs to {}", log.display()));
        }
        return Ok(());
    };
    let exit = exit_of(status);
    // With --json the error was among its words.
    if !context.json || words.trim().is_empty() {
        output::note(tail(log, before).unwrap_or_default().trim_end());
        let message = format!("the {part_name} did not start ({status})");
        return Err(CliError::of_exit(exit, "not-started", message)
            .help(format!("all that it said is in {}", log.display())));
    }
    Err(CliError::of_exit(exit, "not-started", format!("the {part_name} did not start")).told())
}

/// What a process says until it is ready, and how it has ended if it is not.
fn listen(mut child: Child) -> io::Result<(String, Option<ExitStatus>)> {
    let mut words = Vec::new();
    let pipe = child.stdout.take().expect("its stdout is a pipe");
    let mut is_ready = false;
    for byte in io::BufReader::new(pipe.take(WORDS_BYTES_MAX)).bytes() {
        match byte? {
            READY => {
                is_ready = true;
                break;
            }
            byte => words.push(byte),
        }
    }
    let ended = if is_ready { None } else { Some(child.wait()?) };
    Ok((String::from_utf8_lossy(&words).into_owned(), ended))
}

fn exit_of(status: ExitStatus) -> Exit {
    let known = [Exit::Usage, Exit::Unreachable, Exit::TimedOut];
    let found = known.into_iter().find(|exit| status.code() == Some(i32::from(exit.status())));
    found.unwrap_or(Exit::Failed)
}

/// What was added to a log, as far as it is short.
fn tail(log: &Path, before: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(before.max(length.saturating_sub(LOG_BYTES_MAX)).min(length)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
