//! What a chore says: colours where a person reads, and refusals that tell what to do.

use std::io::IsTerminal;

/// Why a chore failed: a line for each thing found, and what to do about it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) findings: Vec<String>,
    pub(crate) advice: String,
}

impl Refusal {
    /// One finding with its advice.
    pub(crate) fn new(finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { findings: vec![finding.into()], advice: advice.into() }
    }

    /// `Ok(summary)` if nothing was found.
    pub(crate) fn unless_empty(findings: Vec<String>, summary: String, advice: &str) -> Result<String, Self> {
        if findings.is_empty() { Ok(summary) } else { Err(Self { findings, advice: advice.to_owned() }) }
    }

    /// Prints the findings and the advice to standard error.
    pub(crate) fn show(&self, painter: Painter) {
        for finding in &self.findings {
            eprintln!("  {} {finding}", painter.red("✗"));
        }
        eprintln!("  {} {}", painter.bold("→"), self.advice);
    }
}

/// Colours, or none: where output is a terminal or `CLICOLOR_FORCE` is set, and `NO_COLOR` is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painter {
    on: bool,
}

impl Painter {
    pub(crate) fn for_stdout() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let wanted = std::io::stdout().is_terminal() || is_set("CLICOLOR_FORCE");
        Self { on: wanted && !is_set("NO_COLOR") }
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self { on: false }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
