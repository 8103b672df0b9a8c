//! What a command writes: data on stdout, chatter on stderr, colours and bars only for terminals.

mod bottom;
mod progress;
mod table;
mod text;

pub use bottom::{Bottom, StderrLines, colours_of_bottom, columns_of_bottom, is_in_foreground};
pub use progress::Progress;
pub use table::{Facts, Table, left, right, whole};
pub use text::{ago, bytes_text, coins_text, grouped, plural, short, time_text};

use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// What matters most.
    Strong,
    /// What matters least: headings, units, hints.
    Faint,
    /// Well done.
    Good,
    /// Wants attention.
    Warning,
    /// A name or an address.
    Name,
}

impl Style {
    /// The text with the escape codes of the style around it (ECMA-48), or as it is.
    pub fn paint(self, text: &str, colours: bool) -> String {
        let code = match self {
            _ if text.is_empty() => return String::new(),
            Self::Plain => return text.to_owned(),
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Name => "36",
        };
        if colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Whether somebody reads stdout at a terminal.
pub fn is_stdout_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stdout may carry colours: it is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
pub fn colours_on_stdout() -> bool {
    io::stdout().is_terminal() && colours_wanted()
}

/// Whether stderr may carry colours.
pub fn colours_on_stderr() -> bool {
    io::stderr().is_terminal() && colours_wanted()
}

fn colours_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How many columns the terminal behind stderr has; 80 where it is no terminal, or one that does not say.
pub fn columns_of_stderr() -> usize {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}

/// How many columns the terminal behind stdout has; no end of them where it is no terminal.
pub fn columns_of_stdout() -> usize {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => usize::MAX,
    }
}

/// Writes to stdout. A reader that has gone away (`cairn … | head`) is no error.
pub fn print_text(text: &str) {
    bottom::above(|| {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    });
}

/// Writes a line to stdout.
pub fn print_line(line: &str) {
    print_text(&format!("{line}\n"));
}

/// Writes a value to stdout as one line of JSON.
pub fn print_json(value: &impl Serialize) {
    print_line(&serde_json::to_string(value).expect("answers are JSON"));
}

/// Writes to stderr.
pub fn eprint_text(text: &str) {
    bottom::above(|| {
        let mut out = io::stderr().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    });
}

/// Says something beside the data: a line on stderr.
pub fn note(line: &str) {
    eprint_text(&format!("{line}\n"));
}

/// Warns: a line on stderr that stands out.
pub fn warn(line: &str) {
    let mark = Style::Warning.paint("warning:", colours_on_stderr());
    note(&format!("{mark} {line}"));
}
