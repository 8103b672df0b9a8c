//! How a command fails: a stable code, what happened, why, and what to type next.
//!
//! People read a [miette] diagnostic on stderr, with a caret where a file is to blame; `--json`
//! writes the same facts as one object on stdout. The exit status says which kind of failure it was.

use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::process::ExitCode;

/// What the exit status tells a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Refused or failed: 1.
    Failed,
    /// Wrong usage: 2.
    Usage,
    /// The node could not be reached: 3.
    Unreachable,
    /// Timed out: 4.
    TimedOut,
}

impl Exit {
    /// The exit status.
    pub const fn status(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::TimedOut => 4,
        }
    }
}

/// Whether a text has a line that is nothing but the 64 hexadecimal digits of a key, or is nothing but
/// words, numbered or not, at least as many as the shortest phrase of a wallet has.
fn looks_secret(text: &str) -> bool {
    const PHRASE_WORDS_MIN: usize = 12;
    let is_key = |line: &str| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_number = |text: &str| text.trim_end_matches(['.', ')', ':']).bytes().all(|it| it.is_ascii_digit());
    let words = text.split_ascii_whitespace().filter(|text| !is_number(text));
    text.lines().map(str::trim).any(is_key)
        || (words.clone().all(is_word) && words.count() >= PHRASE_WORDS_MIN)
}

/// The places in a text that are to blame, at least one.
#[derive(Debug)]
struct Snippet {
    source: miette::NamedSource<String>,
    labels: Vec<(Range<usize>, String)>,
}

/// One step of an explanation, and the step behind it.
#[derive(Debug)]
struct Cause {
    text: String,
    next: Option<Box<Self>>,
}

/// A command failed.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    code: Cow<'static, str>,
    rule: Option<String>,
    message: String,
    help: Option<String>,
    cause: Option<Box<Cause>>,
    snippet: Option<Box<Snippet>>,
    /// Whether the command has told already what failed, as part of its data.
    told: bool,
}

impl CliError {
    /// Something was refused or failed: exit status 1. `code` is in kebab case and never changes its meaning.
    pub fn failed(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code.into(), message.into())
    }

    /// The command was used wrongly: exit status 2.
    pub fn usage(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code.into(), message.into())
    }

    /// The node could not be reached: exit status 3.
    pub fn unreachable(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, code.into(), message.into())
    }

    /// Something took too long: exit status 4.
    pub fn timed_out(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Exit::TimedOut, code.into(), message.into())
    }

    /// What another process failed with: its exit status.
    pub fn of_exit(exit: Exit, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(exit, code.into(), message.into())
    }

    const fn new(exit: Exit, code: Cow<'static, str>, message: String) -> Self {
        Self { exit, code, rule: None, message, help: None, cause: None, snippet: None, told: false }
    }

    /// Says that the command's own output has told what failed, so only the exit status is left to tell.
    #[must_use]
    pub const fn told(mut self) -> Self {
        self.told = true;
        self
    }

    /// With what was done before it failed in front of the message.
    #[must_use]
    pub fn after(mut self, done: &str) -> Self {
        self.message = format!("{done}, then {}", self.message);
        self
    }

    /// With what to type or do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the number of the rule that was broken.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// With the error that led here, and those behind it.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(Cause::of(error));
        self
    }

    /// With the errors behind `error`, whose own text is the message.
    #[must_use]
    pub fn because_of_source(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = error.source().map(Cause::of);
        self
    }

    /// With the place in `text`, the content of `file`, that is to blame.
    #[must_use]
    pub fn at(self, file: &str, text: &str, span: Range<usize>, label: impl Into<String>) -> Self {
        self.at_all(file, text, vec![(span, label.into())])
    }

    /// With all places in `text`, the content of `file`, that are to blame.
    #[must_use]
    pub fn at_all(mut self, file: &str, text: &str, mut labels: Vec<(Range<usize>, String)>) -> Self {
        for (span, _) in &mut labels {
            // A span behind the end would show nothing: point at the end instead.
            *span = span.start.min(text.len())..span.end.min(text.len());
        }
        // Given in the place of another file, keys and words must not end up on the screen or in a log.
        if looks_secret(text) {
            return self.help(
                "this looks like a key file, or like the words of a wallet, so none of it is shown; give the \
                 file that was meant",
            );
        }
        let source = miette::NamedSource::new(file, text.to_owned());
        self.snippet = (!labels.is_empty()).then(|| Box::new(Snippet { source, labels }));
        self
    }

    /// What kind of failure it is.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What happened, without the causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to type or do next; empty where nobody knows.
    pub fn help_text(&self) -> &str {
        self.help.as_deref().unwrap_or_default()
    }

    /// Writes the error where people or programs look for it, and returns the exit status.
    pub fn report(&self, json: bool) -> ExitCode {
        if self.told {
            return ExitCode::from(self.exit.status());
        }
        if json {
            crate::output::print_line(&self.to_json());
        } else {
            crate::output::eprint_text(&self.to_text(crate::output::colours_on_stderr()));
        }
        ExitCode::from(self.exit.status())
    }

    /// One line: the message and all its causes.
    fn message_with_causes(&self) -> String {
        let mut text = self.message.clone();
        let mut next = self.cause.as_deref();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.text);
            next = cause.next.as_deref();
        }
        text
    }

    /// The object that `--json` writes.
    fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Outer<'a> {
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            rule: Option<&'a str>,
            message: String,
            help: &'a str,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            places: Vec<Place<'a>>,
        }
        #[derive(Serialize)]
        struct Place<'a> {
            file: &'a str,
            line: usize,
            message: &'a str,
        }
        let mut places = Vec::new();
        if let Some(Snippet { source, labels }) = self.snippet.as_deref() {
            for (span, message) in labels {
                let before = source.inner().get(..span.start).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                places.push(Place { file: source.name(), line, message });
            }
        }
        let inner = Inner {
            code: &self.code,
            rule: self.rule.as_deref(),
            message: self.message_with_causes(),
            help: self.help.as_deref().unwrap_or_default(),
            places,
        };
        serde_json::to_string(&Outer { error: inner }).expect("texts are JSON")
    }

    /// The diagnostic for people.
    fn to_text(&self, colours: bool) -> String {
        let theme = if colours {
            miette::GraphicalTheme::unicode()
        } else {
            miette::GraphicalTheme::unicode_nocolor()
        };
        let width = crate::output::columns_of_stderr().clamp(40, 100);
        let handler = miette::GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false)
            // Commands and addresses in a message must stay in one piece.
            .with_wrap_lines(false)
            .with_context_lines(1);
        let mut text = String::new();
        match handler.render_report(&mut text, self) {
            Ok(()) => format!("{}\n", text.trim_end()),
            Err(fmt::Error) => format!("error[{}]: {self}\n", self.code),
        }
    }
}

impl Cause {
    fn of(error: &dyn std::error::Error) -> Box<Self> {
        Box::new(Self { text: error.to_string(), next: error.source().map(Self::of) })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.next.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

impl miette::Diagnostic for CliError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let text = match &self.rule {
            Some(rule) => format!("error[{}] {rule}", self.code),
            None => format!("error[{}]", self.code),
        };
        Some(Box::new(text))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.snippet.as_ref().map(|snippet| &snippet.source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let snippet = self.snippet.as_ref()?;
        Some(Box::new(snippet.labels.iter().map(|(span, label)| {
            let label = Some(label.clone()).filter(|label| !label.is_empty());
            miette::LabeledSpan::new(label, span.start, span.len())
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> CliError {
        let text = "node = 7\nnods = \"x\"\n";
        CliError::failed("unknown-key", "the key nods is unknown")
            .at("cairn.toml", text, 9..13, "no such key")
            .help("did you mean `node`?")
    }

    #[test]
    fn a_key_given_as_another_file_is_not_shown() {
        let text = format!("{}\n", "3f".repeat(32));
        let error = CliError::failed("bad-file", "not what was meant").at("my.key", &text, 0..64, "here");
        assert!(error.snippet.is_none() && error.help.is_some_and(|help| help.contains("key file")));
        assert!(!looks_secret("miners = [\"3f3f\"]"));
    }

    #[test]
    fn words_given_as_another_file_are_not_shown() {
        let phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        assert!(looks_secret(phrase) && looks_secret(&phrase.replace(' ', "\n")));
        assert!(looks_secret(&format!("1. {}", phrase.replace(' ', " 2. "))));
        let comment = format!("# {phrase}");
        assert!(!looks_secret(&comment) && !looks_secret("name = \"x\"") && !looks_secret("too few words"));
    }

    #[test]
    fn people_see_code_place_and_help() {
        let text = example().to_text(false);
        for part in
            ["error[unknown-key]", "the key nods is unknown", "cairn.toml:2:1", "no such key", "`node`?"]
        {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "no colours were asked for:\n{text}");
    }

    #[test]
    fn programs_see_the_same_as_one_line_of_json() {
        let json: serde_json::Value = serde_json::from_str(&example().to_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"error": {"code": "unknown-key", "rule": null, "message": "the key nods is unknown",
                "help": "did you mean `node`?",
                "places": [{"file": "cairn.toml", "line": 2, "message": "no such key"}]}})
        );
    }

    #[test]
    fn causes_are_shown_to_both() {
        let error = std::io::Error::other("the disk is on fire");
        let failure = CliError::failed("x", "it failed").because(&error);
        assert!(failure.to_text(false).contains("the disk is on fire"));
        assert!(failure.to_json().contains("the disk is on fire"));
    }

    #[test]
    fn a_span_behind_the_end_is_still_shown() {
        let text = CliError::failed("x", "y").at("f", "ab", 7..9, "here").to_text(false);
        assert!(text.contains("f:1"), "{text}");
    }
}
