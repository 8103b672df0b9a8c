//! Progress of long work on stderr: a bar on a terminal, else a line every five seconds.

use super::bottom::Bottom;
use super::{grouped, note};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How far some work has come.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    position: u64,
    started: Instant,
    last_line: Instant,
    bar: Option<(ProgressBar, Bottom)>,
}

impl Progress {
    /// Work of `total` steps; 0 if nobody knows how many. `what` says what is counted: "blocks replayed".
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target((total > 0).then_some(total), ProgressDrawTarget::stderr());
            let form = if total > 0 {
                "{wide_bar:.cyan/dim} {human_pos}/{human_len} {msg}  eta {eta}"
            } else {
                "{spinner} {human_pos} {msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_message(what);
            let bottom = Bottom::hold(&bar);
            (bar, bottom)
        });
        let now = Instant::now();
        Self { what, total, position: 0, started: now, last_line: now, bar }
    }

    /// The work stands at `position`.
    pub fn set(&mut self, position: u64) {
        self.position = position;
        match &self.bar {
            Some((bar, _)) => bar.set_position(position),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                note(&self.line());
            }
            None => {}
        }
    }

    /// The work is `steps` further.
    pub fn advance(&mut self, steps: u64) {
        self.set(self.position.saturating_add(steps));
    }

    /// Takes the bar away; what was done is for the caller to say.
    pub fn finish(self) {
        drop(self.bar);
    }

    fn line(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        let position = grouped(self.position);
        match self.total {
            0 => format!("{position} {} ({seconds} s)", self.what),
            total => format!("{position} of {} {} ({seconds} s)", grouped(total), self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_of_how_much() {
        let mut progress = Progress::new("blocks replayed", 12_000);
        progress.set(1_000);
        progress.advance(500);
        assert_eq!(progress.line(), "1,500 of 12,000 blocks replayed (0 s)");
        assert_eq!(Progress::new("tries", 0).line(), "0 tries (0 s)");
    }
}
