//! A pseudo-terminal with a program in it, and all that ever stood on its screen.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal with the program in it.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    pub(crate) keyboard: File,
    /// Kept open, so that what the terminal is told can be asked, and nothing of the screen is lost.
    pub(crate) line: OwnedFd,
    pub(crate) screen: Arc<Screen>,
    /// How much of the screen was looked at already.
    pub(crate) read: usize,
}

/// All that ever stood on a terminal.
#[derive(Default)]
pub(crate) struct Screen {
    pub(crate) text: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Terminal {
    /// Starts a program in a terminal of its own.
    pub(crate) fn begin(command: Command) -> Self {
        Self::begin_with(command, |command, ends| {
            let [input, output, errors] = ends;
            command.stdin(input).stdout(output).stderr(errors);
        })
    }

    /// The same where the program's output goes elsewhere.
    pub(crate) fn begin_with(mut command: Command, connect: impl FnOnce(&mut Command, [Stdio; 3])) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        connect(&mut command, [(); 3].map(|()| line.try_clone().unwrap().into()));
        let child = command.spawn().unwrap();
        // The command holds ends of the line too.
        drop(command);
        let keyboard = File::from(keyboard);
        let screen = Arc::new(Screen::default());
        let (mut glass, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        // It ends when the last end of the line is closed.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = glass.read(&mut bytes) {
                shown.text.lock().unwrap().extend_from_slice(&bytes[..count]);
                shown.more.notify_all();
            }
        });
        Self { child, keyboard, line, screen, read: 0 }
    }

    /// Gives the terminal so many columns.
    pub(crate) fn resize(&self, columns: u16) {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.line, size).unwrap();
    }

    /// Waits until the screen shows a text; returns what came before it.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let start = Instant::now();
        let mut shown = self.screen.text.lock().unwrap();
        loop {
            let fresh = &shown[self.read..];
            if let Some(place) = fresh.windows(text.len()).position(|part| part == text.as_bytes()) {
                let before = String::from_utf8_lossy(&fresh[..place]).into_owned();
                self.read += place + text.len();
                return before;
            }
            let left = PATIENCE.checked_sub(start.elapsed());
            let left = left.unwrap_or_else(|| panic!("no {text:?} in {:?}", String::from_utf8_lossy(fresh)));
            shown = self.screen.more.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Waits until all that was written is on the screen.
    pub(crate) fn settle(&mut self) {
        const MARK: &str = "<all was written>";
        rustix::io::write(&self.line, MARK.as_bytes()).unwrap();
        self.expect(MARK);
    }

    /// What stands on the screen now, if it had no end on the right.
    pub(crate) fn rows(&self) -> Vec<String> {
        rows_of(&self.all())
    }

    /// All that ever stood on the screen.
    pub(crate) fn all(&self) -> String {
        String::from_utf8_lossy(&self.screen.text.lock().unwrap()).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows of a screen after all this was written to it, as far as programs here move the cursor (ECMA-48).
fn rows_of(text: &str) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                rows.resize(rows.len().max(row + 1), Vec::new());
            }
            '\u{1b}' => {
                let code: String =
                    characters.by_ref().skip(1).take_while(|it| !"AKJmhl".contains(*it)).collect();
                // What ended the code is the character before the rest.
                let rest = characters.as_str().len();
                match text[..text.len() - rest].chars().next_back() {
                    Some('A') => row -= code.parse::<usize>().unwrap_or(1),
                    Some('K') => rows[row].truncate(if code == "2" { 0 } else { column }),
                    Some('J') => {
                        rows.truncate(row + 1);
                        rows[row].truncate(column);
                    }
                    _ => {}
                }
            }
            seen => {
                let cells = &mut rows[row];
                cells.resize(cells.len().max(column + 1), ' ');
                cells[column] = seen;
                column += 1;
            }
        }
    }
    rows.into_iter().map(|cells| cells.into_iter().collect()).collect()
}
