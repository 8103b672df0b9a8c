//! Numbered rules: each has one sentence, one error variant and a test.
//!
//! A sentence is a line of `docs/spec/*.md` that begins with `**TX-3**`. A variant is one of an error enum and its
//! doc comment begins with `TX-3: `. A test is a `#[test]` whose name begins with `tx_3_`.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Refusal;
use crate::repository::{Repository, SourceFile};

/// Families of rules and the folder that holds their error variants.
const FAMILIES: &[(&str, &str)] = &[
    ("BYT", "crates/cairn-core/src/"),
    ("ADR", "crates/cairn-core/src/"),
    ("TX", "crates/cairn-core/src/"),
    ("HDR", "crates/cairn-core/src/"),
    ("BLK", "crates/cairn-core/src/"),
    ("SEA", "crates/cairn-core/src/"),
    ("GEN", "crates/cairn-core/src/"),
    ("STA", "crates/cairn-core/src/"),
    ("HIS", "crates/cairn-core/src/"),
    ("MRK", "crates/cairn-core/src/"),
    ("MEM", "crates/cairn-node/src/"),
    ("HEA", "crates/cairn-node/src/"),
    ("MSG", "crates/cairn-node/src/"),
    ("NET", "crates/cairn-p2p/src/"),
];

/// Words that look like a rule's number and name something else.
const NOT_RULES: &[&str] = &["AES", "BIP", "CVE", "ISO", "RFC", "SHA", "SLIP", "UTF", "ZIP"];

const ADVICE: &str =
    "a rule is `**TX-3** sentence` in docs/spec, one variant with `/// TX-3: …`, and a test `tx_3_…`";

/// A rule's number: family and count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    family: String,
    number: u32,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.family, self.number)
    }
}

/// Where each rule stands, as `path:line`.
type Places = BTreeMap<Rule, Vec<String>>;

/// Compares sentences, variants and tests.
pub(crate) fn check(repository: &Repository) -> Result<String, Refusal> {
    let spec = repository.sources("docs/spec", ".md")?;
    let code = repository.sources("crates", ".rs")?;
    let mut findings = Vec::new();
    let sentences = sentences(&spec, &mut findings);
    let variants = variants(&code, &mut findings);
    let tests = tests_of_rules(&code);
    compare(&sentences, &variants, &tests, &mut findings);
    let test_count: usize = tests.values().map(Vec::len).sum();
    let summary = format!("{} rules, {test_count} tests that carry their numbers", sentences.len());
    Refusal::unless_empty(findings, summary, ADVICE)
}

fn compare(sentences: &Places, variants: &Places, tests: &Places, findings: &mut Vec<String>) {
    let rules: BTreeSet<&Rule> = sentences.keys().chain(variants.keys()).chain(tests.keys()).collect();
    for rule in rules {
        let at = |places: &Places| places.get(rule).map(|places| places.join(", "));
        match (at(sentences), at(variants)) {
            (None, Some(variant)) => {
                findings.push(format!("{rule} has no sentence in docs/spec ({variant})"))
            }
            (Some(sentence), None) => findings.push(format!("{rule} has no error variant ({sentence})")),
            (None, None) | (Some(_), Some(_)) => {}
        }
        for (places, what) in [(sentences, "sentences"), (variants, "error variants")] {
            if let Some(places) = places.get(rule).filter(|places| places.len() > 1) {
                findings.push(format!("{rule} has {} {what} ({})", places.len(), places.join(", ")));
            }
        }
        match at(tests) {
            None => findings.push(format!(
                "{rule} has no test: name one {}_…",
                rule.to_string().to_lowercase().replace('-', "_")
            )),
            Some(test) if !sentences.contains_key(rule) && !variants.contains_key(rule) => {
                findings.push(format!("{rule} has a test and nothing else ({test})"));
            }
            Some(_) => {}
        }
    }
}

fn sentences(spec: &[SourceFile], findings: &mut Vec<String>) -> Places {
    let mut places = Places::new();
    for file in spec {
        for (at, line) in file.text.lines().enumerate() {
            let Some((rule, sentence)) = line
                .strip_prefix("**")
                .and_then(numbered)
                .and_then(|(rule, rest)| rest.strip_prefix("**").map(|sentence| (rule, sentence.trim())))
            else {
                continue;
            };
            let place = format!("{}:{}", file.path, at + 1);
            if home(&rule).is_none() {
                findings.push(unknown_family(&rule, &place));
                continue;
            }
            if sentence.is_empty() {
                findings.push(format!("{rule} has a number without a sentence ({place})"));
            }
            places.entry(rule).or_default().push(place);
        }
    }
    places
}

fn variants(code: &[SourceFile], findings: &mut Vec<String>) -> Places {
    let mut places = Places::new();
    for file in code {
        let mut enum_end: Option<String> = None;
        for (at, line) in file.text.lines().enumerate() {
            if enum_end.as_deref() == Some(line) {
                enum_end = None;
            } else if enum_end.is_none() {
                enum_end = end_of_enum(line);
            }
            let Some((rule, rest)) = line.trim_start().strip_prefix("/// ").and_then(numbered) else {
                continue;
            };
            if !rest.starts_with(": ") {
                continue;
            }
            let place = format!("{}:{}", file.path, at + 1);
            match home(&rule) {
                None if enum_end.is_some() => findings.push(unknown_family(&rule, &place)),
                None => {}
                Some(_) if enum_end.is_none() => {
                    findings.push(format!("{rule} stands outside an error enum ({place})"));
                }
                Some(home) if !file.path.starts_with(home) => {
                    findings.push(format!("{rule} belongs in {home} ({place})"));
                }
                Some(_) => places.entry(rule).or_default().push(place),
            }
        }
    }
    places
}

/// The line that closes the enum which `line` opens, as rustfmt writes both.
fn end_of_enum(line: &str) -> Option<String> {
    let code = line.trim_start();
    let opens = ["enum ", "pub enum ", "pub(crate) enum ", "pub(super) enum "]
        .iter()
        .any(|start| code.starts_with(start));
    let indent = &line[..line.len() - code.len()];
    (opens && code.ends_with('{')).then(|| format!("{indent}}}"))
}

fn tests_of_rules(code: &[SourceFile]) -> Places {
    let mut places = Places::new();
    for file in code {
        let mut under_test = false;
        for (at, line) in file.text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("#[") {
                under_test |= line.ends_with("test]") || line.contains("test(");
            } else if let Some(name) = name_of_function(line) {
                if let Some(rule) = rule_of_test(name).filter(|_| under_test) {
                    places.entry(rule).or_default().push(format!("{}:{}", file.path, at + 1));
                }
                under_test = false;
            }
        }
    }
    places
}

fn name_of_function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// `tx_3_…` is a test of TX-3.
fn rule_of_test(name: &str) -> Option<Rule> {
    let (family, rest) = name.split_once('_')?;
    let (number, sentence) = rest.split_once('_')?;
    let rule = Rule { family: family.to_uppercase(), number: number.parse().ok()? };
    (!sentence.is_empty() && home(&rule).is_some()).then_some(rule)
}

/// A rule's number at the start of `text`, and what follows it.
fn numbered(text: &str) -> Option<(Rule, &str)> {
    let (family, rest) = text.split_once('-')?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let is_family = (2..=4).contains(&family.len()) && family.chars().all(|c| c.is_ascii_uppercase());
    if !is_family || NOT_RULES.contains(&family) {
        return None;
    }
    let number = rest[..digits].parse().ok()?;
    Some((Rule { family: family.to_owned(), number }, &rest[digits..]))
}

/// The folder of the rule's error variants, if its family is known.
fn home(rule: &Rule) -> Option<&'static str> {
    FAMILIES.iter().find(|(family, _)| *family == rule.family).map(|(_, home)| *home)
}

fn unknown_family(rule: &Rule, place: &str) -> String {
    format!("{rule} is of an unknown family: add {} to xtask/src/rules.rs ({place})", rule.family)
}

#[cfg(test)]
mod tests;
