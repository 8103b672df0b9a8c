//! The line that stays at the bottom of a terminal while work goes on; everything else is written above it.

use super::{colours_wanted, columns_of_stderr};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// The line that is there now: one at a time, the newest.
static SHOWN: Mutex<Option<Shown>> = Mutex::new(None);

struct Shown {
    bar: ProgressBar,
    /// How many columns its text has; 0 where the bar sees to its text itself.
    columns: usize,
}

impl Shown {
    /// Where the terminal has become narrower than the line, it has broken it into several, of which the bar
    /// would clear the last alone.
    fn clear_broken(&mut self) {
        let above = rows_above(self.columns, columns_of_stderr());
        // Xterm itself cuts lines and does not break them: there a line of somebody else would go.
        if above > 0 && std::env::var_os("XTERM_VERSION").is_none() {
            // Cursor up, and clear to the end (ECMA-48).
            let _ = write!(io::stderr(), "\x1b[{above}A\r\x1b[J");
        }
        if above > 0 {
            // It is too long now; the next one comes soon.
            self.bar.set_message("");
            self.columns = 0;
        }
    }
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

/// A line at the bottom of the terminal behind stderr; dropping it takes the line away.
#[derive(Debug)]
pub struct Bottom(ProgressBar);

impl Bottom {
    /// A line that is still empty; none where stderr is no terminal, or one without a cursor to move.
    pub fn open() -> Option<Self> {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if !io::stderr().is_terminal() || bar.is_hidden() {
            return None;
        }
        bar.set_style(ProgressStyle::with_template("{msg}").expect("it is a template"));
        Some(Self::hold(bar))
    }

    /// Holds a bar that may look otherwise at the bottom.
    pub(super) fn hold(bar: ProgressBar) -> Self {
        *shown() = Some(Shown { bar: bar.clone(), columns: 0 });
        Self(bar)
    }

    /// Shows a text instead of the one before.
    pub fn show(&self, line: String) {
        let columns = columns_of(&line);
        let mut shown = shown();
        if let Some(shown) = &mut *shown {
            shown.clear_broken();
            self.0.set_message(line);
            shown.columns = columns;
        }
    }

    /// The bar itself.
    pub(super) const fn bar(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for Bottom {
    fn drop(&mut self) {
        // The bar clears itself under the lock, so that nothing is written into what is left of it.
        let mut shown = shown();
        shown.iter_mut().for_each(Shown::clear_broken);
        self.0.finish_and_clear();
        *shown = None;
    }
}

/// Writes something, above the line at the bottom if there is one.
pub(super) fn above<T>(write: impl FnOnce() -> T) -> T {
    match &mut *shown() {
        Some(shown) => {
            shown.clear_broken();
            shown.bar.suspend(write)
        }
        None => write(),
    }
}

/// Whether this process may draw on the terminal: one behind `&` leaves it to whoever types there.
pub fn is_in_foreground() -> bool {
    // A terminal that is not the one of this session says nothing about it.
    rustix::termios::tcgetpgrp(io::stderr()).map_or(true, |group| group == rustix::process::getpgrp())
}

/// How many columns a line at the bottom may have. The last one stays free: some terminals wrap there.
pub fn columns_of_bottom() -> usize {
    columns_of_stderr().saturating_sub(1).max(1)
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
