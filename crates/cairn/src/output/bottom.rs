//! The line that stays at the bottom of a terminal while work goes on; everything else is written above it.

use super::{colours_wanted, columns_of_stderr};
use indicatif::ProgressBar;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// Beginning of the row, and clear it (ECMA-48).
const CLEAR: &str = "\r\x1b[2K";
/// How many columns stay free behind the line: some terminals wrap at the last, and Ctrl-C shows as `^C`.
const COLUMNS_FREE: usize = 3;

/// What is there now: one at a time, the newest.
static SHOWN: Mutex<Option<Shown>> = Mutex::new(None);

enum Shown {
    /// A line, as it was drawn last.
    Line(String),
    /// A bar that draws itself.
    Bar(ProgressBar),
}

impl Shown {
    fn clear(&self) {
        match self {
            Self::Line(line) => {
                let up = match rows_above(columns_of(line), columns_of_stderr()) {
                    // Xterm itself cuts lines and does not break them: there a line of somebody else would go.
                    above if above > 0 && std::env::var_os("XTERM_VERSION").is_none() => {
                        format!("\x1b[{above}A\x1b[J")
                    }
                    _ => String::new(),
                };
                write_out(&format!("{CLEAR}{up}"));
            }
            Self::Bar(bar) => bar.finish_and_clear(),
        }
    }
}

/// Writes to the terminal. One that has gone away is no error.
fn write_out(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A line at the bottom of the terminal behind stderr; dropping it takes the line away.
#[derive(Debug)]
pub struct Bottom(());

impl Bottom {
    /// Whether there is a place for one: a terminal, with a cursor to move.
    pub fn is_possible() -> bool {
        let has_cursor = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        has_cursor && io::stderr().is_terminal()
    }

    /// A line that is still empty.
    pub fn open() -> Self {
        *shown() = Some(Shown::Line(String::new()));
        Self(())
    }

    /// Holds a bar that draws itself.
    pub(super) fn hold(bar: &ProgressBar) -> Self {
        *shown() = Some(Shown::Bar(bar.clone()));
        Self(())
    }

    /// Shows a text of at most [`columns_of_bottom`] columns instead of the one before.
    pub fn show(&self, line: String) {
        let mut shown = shown();
        if let Some(before) = &*shown {
            before.clear();
        }
        write_out(&line);
        *shown = Some(Shown::Line(line));
    }
}

impl Drop for Bottom {
    fn drop(&mut self) {
        if let Some(shown) = shown().take() {
            shown.clear();
        }
    }
}

/// Writes something, above the line at the bottom if there is one.
pub(super) fn above<T>(write: impl FnOnce() -> T) -> T {
    match &mut *shown() {
        Some(Shown::Bar(bar)) => bar.suspend(write),
        Some(shown @ Shown::Line(_)) => {
            shown.clear();
            let written = write();
            let Shown::Line(line) = shown else { return written };
            if columns_of(line) > columns_of_bottom() {
                // The terminal is narrower now, and the next line comes soon.
                line.clear();
            }
            write_out(line);
            written
        }
        None => write(),
    }
}

/// Whether this process may draw on the terminal: one behind `&` leaves it to whoever types there.
pub fn is_in_foreground() -> bool {
    // A terminal that is not the one of this session says nothing about it.
    rustix::termios::tcgetpgrp(io::stderr()).map_or(true, |group| group == rustix::process::getpgrp())
}

/// How many columns a line at the bottom may have.
pub fn columns_of_bottom() -> usize {
    columns_of_stderr().saturating_sub(COLUMNS_FREE).max(1)
}

/// How many columns a text takes, whose colours take none and whose characters take one each.
fn columns_of(text: &str) -> usize {
    let mut is_code = false;
    let seen = text.chars().filter(|it| {
        let was_code = is_code;
        is_code = *it == '\u{1b}' || (is_code && !it.is_ascii_alphabetic());
        !was_code && !is_code
    });
    seen.count()
}

/// How many rows a line takes above the one with its end.
fn rows_above(line: usize, columns: usize) -> usize {
    line.saturating_sub(1) / columns.max(1)
}

/// Whether a line at the bottom may have colours.
pub fn colours_of_bottom() -> bool {
    colours_wanted()
}

/// Stderr for what comes in whole lines, such as a log.
#[derive(Clone, Copy, Debug)]
pub struct StderrLines;

impl Write for StderrLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(|| io::stderr().write(bytes))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        above(|| io::stderr().write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for StderrLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

fn shown() -> MutexGuard<'static, Option<Shown>> {
    // Whoever panicked beside it left a line or none.
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_columns() {
        let painted = super::super::Style::Strong.paint("blocks", true) + " 7 ━╸ " + "\u{1b}[36m8\u{1b}[0m";
        assert_eq!(columns_of(&painted), "blocks 7 ━╸ 8".chars().count());
    }

    #[test]
    fn a_line_that_a_narrow_terminal_breaks_has_rows_above_its_last() {
        let cases = [((0, 80), 0), ((79, 80), 0), ((80, 80), 0), ((81, 80), 1), ((119, 40), 2), ((5, 0), 4)];
        for ((line, columns), rows) in cases {
            assert_eq!(rows_above(line, columns), rows, "{line} in {columns}");
        }
    }
}
