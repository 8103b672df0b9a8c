//! Words on a screen of their own: once they are on paper, the terminal shows and remembers none of them.
//!
//! Terminals have a second screen, which full-screen programs use and which keeps no lines that have left it
//! (xterm control sequences, DECSET 1049). What stood on the first is there again afterwards.

use super::ask;
use crate::failure::CliError;
use crate::output;
use std::io::{IsTerminal as _, stdout};

/// The other screen, empty.
const BEGIN: &str = "\x1b[?1049h\x1b[2J\x1b[H";
/// Empty it, and back to the first.
const END: &str = "\x1b[2J\x1b[H\x1b[?1049l";

/// Has `show` write words where they vanish again once somebody has read them; writes them as they are where
/// nobody is there, or the terminal has one screen only.
///
/// # Errors
///
/// If the reader gives up with Ctrl-C; the words are gone then as well.
pub(super) fn show_apart(show: impl FnOnce()) -> Result<(), CliError> {
    if !ask::somebody_is_there() || !stdout().is_terminal() {
        show();
        return Ok(());
    }
    if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        show();
        output::warn("they stay on this terminal: clear it, with all that it scrolls back to");
        return Ok(());
    }
    let apart = Apart::begin();
    show();
    output::eprint_text("Press Enter once you have them: they do not stay on this terminal.");
    let outcome = ask::enter();
    drop(apart);
    outcome
}

/// The other screen, until it is dropped.
struct Apart(());

impl Apart {
    fn begin() -> Self {
        output::print_text(BEGIN);
        Self(())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        output::print_text(END);
    }
}
