//! The operator's log: where it goes, in which form, and how much of it, also while the program runs.
//!
//! There is one log a process, as `tracing` has it. Lines are texts for people or JSON for programs,
//! on stderr or in a file that is turned over before it grows too large.

mod rotating;

pub use rotating::RotatingFile;

use crate::output::StderrLines;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// The longest filter that is read, in bytes.
const FILTER_BYTES_MAX: usize = 1024;
/// What this library says is heard from this level on, unless a filter names it.
const QUIET: (&str, &str) = ("libp2p_swarm", "libp2p_swarm=warn");
/// What this one says is not heard unless a filter names it: a peer can have it say as much as it likes.
const SILENT: (&str, &str) = ("yamux", "yamux=off");
/// The levels at which more of the first would be heard.
const LOUD_LEVELS: [&str; 4] = ["warn", "info", "debug", "trace"];
/// What may stand in a filter without the name of a module.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The log of this process, once it was started.
static CONTROL: OnceLock<Control> = OnceLock::new();

/// What can be changed while the program runs.
struct Control {
    handle: reload::Handle<EnvFilter, Registry>,
    /// The filter as somebody wrote it.
    filter: Mutex<String>,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// To stderr, with colours or without.
    Stderr {
        /// Whether there are colours.
        colours: bool,
    },
    /// Into a file that is turned over by size.
    File {
        /// Its path.
        path: PathBuf,
        /// How large it may grow, in bytes.
        bytes_max: u64,
        /// How many older files are kept beside it.
        kept: u32,
    },
}

/// What the log is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter of `tracing`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
    /// Where they go.
    pub target: LogTarget,
}

/// The log cannot be as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is too long.
    #[error("the filter has {found} bytes, at most {FILTER_BYTES_MAX} are read")]
    FilterTooLong {
        /// Its length, in bytes.
        found: usize,
    },
    /// A word of the filter is neither a level nor a module with a level.
    #[error("`{word}` is neither a level ({}) nor MODULE=LEVEL", LEVELS.join(", "))]
    UnknownLevel {
        /// The word.
        word: Box<str>,
    },
    /// The filter asks for spans or values of fields, which are patterns: a few bytes of them could take
    /// seconds and all memory.
    #[error("a filter names modules and levels, no spans and no fields")]
    FieldFilter,
    /// The filter cannot be read.
    #[error("the filter cannot be read")]
    Filter(#[from] ParseError),
    /// The file cannot be written.
    #[error("cannot write the log to {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: std::io::Error,
    },
    /// The program was started without a log.
    #[error("this program was started without a log")]
    NotStarted,
}

/// Starts the log of this process. Where one runs already, that one goes on.
///
/// # Errors
///
/// [`LogError`] if the filter cannot be read or the file cannot be written.
pub fn start(settings: &LogSettings) -> Result<(), LogError> {
    let (filter, handle) = reload::Layer::new(read_filter(&settings.filter)?);
    let lines = match &settings.target {
        LogTarget::Stderr { colours } => {
            layer(settings.format, fmt::layer().with_ansi(*colours).with_writer(StderrLines))
        }
        LogTarget::File { path, bytes_max, kept } => {
            let file = RotatingFile::open(path, *bytes_max, *kept);
            let file = file.map_err(|source| LogError::File { path: path.clone(), source })?;
            layer(settings.format, fmt::layer().with_ansi(false).with_writer(Mutex::new(file)))
        }
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    if subscriber.try_init().is_ok() {
        // Only the first start gets here.
        let _ = CONTROL.set(Control { handle, filter: Mutex::new(settings.filter.clone()) });
    }
    Ok(())
}

/// The filter in force.
///
/// # Errors
///
/// [`LogError::NotStarted`].
pub fn filter() -> Result<String, LogError> {
    let control = CONTROL.get().ok_or(LogError::NotStarted)?;
    Ok(lock(&control.filter).clone())
}

/// Filters the log otherwise from now on, until the program ends.
///
/// # Errors
///
/// [`LogError`]; then nothing has changed.
pub fn set_filter(text: &str) -> Result<(), LogError> {
    let control = CONTROL.get().ok_or(LogError::NotStarted)?;
    let filter = read_filter(text)?;
    let mut current = lock(&control.filter);
    control.handle.reload(filter).map_err(|_gone| LogError::NotStarted)?;
    text.clone_into(&mut current);
    Ok(())
}

fn lock(text: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    // A text is whole, whoever panicked beside it.
    text.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads a filter. A mistyped level would be taken for a module, and silence all else.
fn read_filter(text: &str) -> Result<EnvFilter, LogError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(LogError::FilterTooLong { found: text.len() });
    }
    if text.contains(['[', '{']) {
        return Err(LogError::FieldFilter);
    }
    for word in text.split(',').map(str::trim) {
        let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
        if !is_level && !word.contains('=') {
            return Err(LogError::UnknownLevel { word: word.into() });
        }
    }
    let is_loud = |word: &str| LOUD_LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word.trim()));
    let mut filter = text.to_owned();
    let quiet = text.split(',').any(is_loud).then_some(QUIET);
    for (module, directive) in quiet.into_iter().chain([SILENT]) {
        if !text.contains(module) {
            filter = format!("{filter},{directive}");
        }
    }
    Ok(EnvFilter::try_new(filter)?)
}

/// What a line is made by, once it is known where it goes.
type Lines<W> = fmt::Layer<Filtered, fmt::format::DefaultFields, fmt::format::Format, W>;
type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

fn layer<W>(format: LogFormat, lines: Lines<W>) -> Box<dyn Layer<Filtered> + Send + Sync>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_modules_with_levels() {
        for text in ["info", "WARN", "off", "warn,cairn=debug", "cairn::run=trace, error"] {
            assert!(read_filter(text).is_ok(), "{text}");
        }
    }

    /// Whether a filter lets an error of this target through.
    fn takes(filter: &str, line: fn()) -> bool {
        let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
        let keeps = std::sync::Arc::clone(&lines);
        let writer = move || Kept(std::sync::Arc::clone(&keeps));
        let layer = fmt::layer().with_writer(writer);
        let subscriber = tracing_subscriber::registry().with(read_filter(filter).unwrap()).with(layer);
        tracing::subscriber::with_default(subscriber, line);
        let is_empty = lines.lock().unwrap().is_empty();
        !is_empty
    }

    /// What a test keeps of a log.
    struct Kept(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_peer_can_have_a_library_say_is_heard_only_by_who_asks_for_it() {
        let below = || tracing::error!(target: "yamux::connection", "maximum number of streams reached");
        let own = || tracing::error!(target: "cairn::run", "the disk is full");
        for text in ["error", "info", "trace", "warn,cairn=debug", "libp2p_swarm=debug,info"] {
            assert!(!takes(text, below), "{text}");
            assert!(takes(text, own), "{text}");
        }
        for text in ["info,yamux=error", "off,yamux=debug"] {
            assert!(takes(text, below), "{text}");
        }
        assert!(!takes("info", || tracing::info!(target: "libp2p_swarm", "a matter of its own")));
    }

    #[test]
    fn a_mistyped_level_is_refused_and_not_taken_for_a_module() {
        for text in ["inof", "", "info,", "info,cairn"] {
            assert!(matches!(read_filter(text), Err(LogError::UnknownLevel { .. })), "{text}");
        }
        assert!(matches!(read_filter("cairn=loud"), Err(LogError::Filter(_))));
        for text in ["[{a=.*a..............}]=info", "info,cairn{x=1}=debug", "[span]=info"] {
            assert!(matches!(read_filter(text), Err(LogError::FieldFilter)), "{text}");
        }
        let long = "a=info,".repeat(FILTER_BYTES_MAX);
        assert!(matches!(read_filter(&long), Err(LogError::FilterTooLong { .. })));
    }
}
