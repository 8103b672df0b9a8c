//! What a wallet asks a person, typed at the real program through a pseudo-terminal.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "support/terminal.rs"]
mod terminal;

use rustix::termios::{LocalModes, tcgetattr};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Instant;
use terminal::{PATIENCE, Terminal};

const PASSWORD: &str = "correct horse battery staple";
/// Where the second screen of a terminal begins and ends.
const APART: &str = "\x1b[?1049h";
const BACK: &str = "\x1b[?1049l";

/// A person at a terminal, with a home of their own.
struct Person {
    home: tempfile::TempDir,
}

impl Person {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, arguments: &[&str], terminal: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("CAIRN_P2P_BIND", "127.0.0.1:0")
            .env("TERM", terminal);
        command
    }

    fn begin(&self, arguments: &[&str]) -> Terminal {
        self.begin_at("xterm", arguments)
    }

    fn begin_at(&self, terminal: &str, arguments: &[&str]) -> Terminal {
        Terminal::begin(self.command(arguments, terminal))
    }

    /// The names of the wallets that there are.
    fn wallets(&self) -> Vec<String> {
        let directory = self.path(".local/share/cairn/wallets");
        let files = std::fs::read_dir(directory).into_iter().flatten();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".keystore.json")).collect()
    }

    /// Makes a wallet as a person does; returns its words.
    fn make_wallet(&self) -> Vec<String> {
        let mut terminal = self.begin(&["wallet", "new"]);
        terminal.answer("a new password for wallet main: ", PASSWORD);
        terminal.answer("once more: ", PASSWORD);
        let words = terminal.read_words();
        for _ in 0..3 {
            terminal.answer_word(&words);
        }
        assert!(terminal.ended().success());
        words
    }
}

impl Terminal {
    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the terminal shows, or does not show, what is typed.
    fn wait_for_echo(&self, wanted: bool) {
        let start = Instant::now();
        while tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO) != wanted {
            assert!(start.elapsed() < PATIENCE, "the echo of the terminal does not change");
            std::thread::yield_now();
        }
    }

    /// Waits for a question whose answer is hidden, and answers it.
    fn answer(&mut self, question: &str, text: &str) {
        self.expect(question);
        self.wait_for_echo(false);
        self.press(&format!("{text}\r"));
        // The line ends once the answer is read; then what is typed is seen again.
        self.expect("\n");
    }

    /// The words on the second screen, which is left as a person leaves it.
    fn read_words(&mut self) -> Vec<String> {
        self.expect(APART);
        let shown = self.expect("Press Enter");
        self.expect("terminal.");
        self.wait_for_echo(false);
        self.press("\r");
        self.expect(BACK);
        words_in(&shown)
    }

    /// Answers the question for a word of the list.
    fn answer_word(&mut self, words: &[String]) {
        let place = self.question();
        self.press(&format!("{}\n", words[place - 1]));
    }

    /// Which word is asked for.
    fn question(&mut self) -> usize {
        self.expect("word ");
        self.wait_for_echo(true);
        self.expect(": ").rsplit(' ').next().unwrap_or_default();
        let shown = self.screen.text.lock().unwrap();
        let before = String::from_utf8_lossy(&shown[..self.read - 2]).into_owned();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until the program has ended; the terminal shows again what is typed.
    fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        self.wait_for_echo(true);
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ISIG), "{modes:?}");
        status
    }
}

/// The words of a screen in their order, which runs down the columns.
fn words_in(screen: &str) -> Vec<String> {
    let plain: String = strip_colours(screen);
    let mut numbered: Vec<(usize, String)> = Vec::new();
    for line in plain.lines() {
        let mut parts = line.split_whitespace();
        while let (Some(number), Some(word)) = (parts.next(), parts.next()) {
            if let Ok(number) = number.parse() {
                numbered.push((number, word.to_owned()));
            }
        }
    }
    numbered.sort();
    assert_eq!(numbered.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=24).collect::<Vec<_>>());
    numbered.into_iter().map(|(_, word)| word).collect()
}

fn strip_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = behind.find(|it: char| it.is_ascii_alphabetic()).map_or(behind.len(), |at| at + 1);
        rest = &behind[end..];
    }
    plain + rest
}

/// What stood on the first screen, which a terminal scrolls back to.
fn kept(all: &str) -> String {
    let mut kept = String::new();
    let mut rest = all;
    while let Some((before, apart)) = rest.split_once(APART) {
        kept.push_str(before);
        rest = apart.split_once(BACK).map_or("", |(_, behind)| behind);
    }
    kept + rest
}

#[test]
fn a_wallet_is_made_by_a_person_and_the_terminal_keeps_no_secret() {
    let person = Person::new();
    let mut terminal = person.begin(&["wallet", "new"]);
    terminal.answer("a new password for wallet main: ", PASSWORD);
    terminal.answer("once more: ", PASSWORD);
    let words = terminal.read_words();
    // A wrong word is told, and asked for again.
    terminal.question();
    terminal.press("zebra zebra\n");
    terminal.expect("another word");
    for _ in 0..3 {
        terminal.answer_word(&words);
    }
    terminal.expect("kept in");
    assert!(terminal.ended().success());
    let all = terminal.all();
    assert!(!all.contains(PASSWORD), "{all}");
    let (all, kept) = (strip_colours(&all), strip_colours(&kept(&all)));
    for (place, word) in words.iter().enumerate() {
        let shown = format!("{:>4} {word}", place + 1);
        assert!(all.contains(&shown), "{shown} was never shown: {all}");
        assert!(!kept.contains(&shown), "{shown} stays on the terminal: {kept}");
    }
    assert_eq!(person.wallets().len(), 1);
}

#[test]
fn two_different_passwords_make_no_wallet() {
    let person = Person::new();
    let mut terminal = person.begin(&["wallet", "new"]);
    terminal.answer("a new password for wallet main: ", PASSWORD);
    terminal.answer("once more: ", "correct horse battery stable");
    terminal.expect("the second time it was another");
    assert_eq!(terminal.ended().code(), Some(2));
    assert!(person.wallets().is_empty());
    assert!(!terminal.all().contains("horse"));
}

#[test]
fn an_empty_password_makes_no_wallet() {
    let person = Person::new();
    let mut terminal = person.begin(&["wallet", "new"]);
    terminal.answer("a new password for wallet main: ", "");
    terminal.expect("a wallet without a password would be an open one");
    assert_eq!(terminal.ended().code(), Some(2));
    assert!(person.wallets().is_empty());
}

#[test]
fn ctrl_c_at_a_hidden_question_leaves_the_terminal_as_it_was() {
    let person = Person::new();
    for keys in ["\x03", "half a pass\x03", "\x04"] {
        let mut terminal = person.begin(&["wallet", "new"]);
        terminal.expect("a new password for wallet main: ");
        terminal.wait_for_echo(false);
        terminal.press(keys);
        assert_eq!(terminal.ended().code(), Some(1), "{keys:?}");
        terminal.expect("nothing was done");
    }
    let mut terminal = person.begin(&["wallet", "new"]);
    terminal.answer("a new password for wallet main: ", PASSWORD);
    terminal.answer("once more: ", PASSWORD);
    terminal.expect("terminal.");
    terminal.wait_for_echo(false);
    terminal.press("\x03");
    terminal.expect(BACK);
    assert_eq!(terminal.ended().code(), Some(1));
    assert!(person.wallets().is_empty());
}

#[test]
fn words_that_were_not_written_down_make_no_wallet() {
    let person = Person::new();
    let mut terminal = person.begin(&["wallet", "new"]);
    terminal.answer("a new password for wallet main: ", PASSWORD);
    terminal.answer("once more: ", PASSWORD);
    terminal.read_words();
    for _ in 0..3 {
        terminal.question();
        terminal.press("forgotten\n");
    }
    terminal.expect("no wallet was made");
    assert_eq!(terminal.ended().code(), Some(1));
    assert!(person.wallets().is_empty());
}

#[test]
fn what_is_typed_hidden_can_be_taken_back_and_the_words_are_shown_again() {
    let person = Person::new();
    let words = person.make_wallet();
    let mut terminal = person.begin(&["wallet", "words"]);
    terminal.answer("the password of wallet main: ", "wrong");
    assert_eq!(terminal.ended().code(), Some(1));
    assert!(!terminal.all().contains(APART), "no words without the password");

    let mut terminal = person.begin(&["wallet", "words"]);
    // Ctrl-U takes all back, and each key for going back a character, of several bytes too.
    let typed = format!("nonsense\x15{PASSWORD}xé\x7f\x08");
    terminal.answer("the password of wallet main: ", &typed);
    assert_eq!(terminal.read_words(), words);
    assert!(terminal.ended().success());
    let first_two = format!("{} {}", words[0], words[1]);
    assert!(!kept(&terminal.all()).contains(&first_two));
}

#[test]
fn words_typed_at_the_prompt_bring_the_wallet_back() {
    let first = Person::new();
    let words = first.make_wallet();
    let again = Person::new();
    let mut terminal = again.begin(&["wallet", "restore", "--accounts", "1"]);
    terminal.expect("> ");
    terminal.press(&format!("{}\n", words[..12].join(" ")));
    terminal.expect("> ");
    terminal.press(&format!("{}\n", words[12..].join("  ")));
    terminal.answer("a new password for wallet main: ", PASSWORD);
    terminal.answer("once more: ", PASSWORD);
    assert!(terminal.ended().success(), "{}", terminal.all());
    let address = |person: &Person| person.command(&["wallet", "address"], "dumb").output().unwrap().stdout;
    assert!(!address(&first).is_empty());
    assert_eq!(address(&first), address(&again));
}

#[test]
fn a_terminal_with_one_screen_is_told_to_be_cleared() {
    let person = Person::new();
    let mut terminal = person.begin_at("dumb", &["wallet", "new"]);
    terminal.answer("a new password for wallet main: ", PASSWORD);
    terminal.answer("once more: ", PASSWORD);
    terminal.expect("clear it");
    assert!(!terminal.all().contains("\x1b"));
}

#[test]
fn an_account_is_removed_only_by_whoever_types_its_name() {
    let person = Person::new();
    person.make_wallet();
    let mut terminal = person.begin(&["wallet", "add", "--name", "savings"]);
    terminal.answer("the password of wallet main: ", PASSWORD);
    assert!(terminal.ended().success());
    let mut terminal = person.begin(&["wallet", "remove", "savings"]);
    terminal.expect("if that is meant: ");
    terminal.press("saving\n");
    terminal.expect("nothing was removed");
    assert_eq!(terminal.ended().code(), Some(1));
    let mut terminal = person.begin(&["wallet", "remove", "savings"]);
    terminal.expect("if that is meant: ");
    terminal.press("savings\n");
    terminal.answer("the password of wallet main: ", PASSWORD);
    terminal.expect("savings is removed");
    assert!(terminal.ended().success());
}
