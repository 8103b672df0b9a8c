//! `prove`: one row a goal, each run with the numbers of a tier, with its figure, threshold and seed.
//!
//! A row runs tests that `check` runs too, with larger numbers, which they take from variables. A test tells
//! its figures in a line `PROVE name=value …`. A row fails if one of its runs does, also for want of a figure:
//! a row that measured nothing has shown nothing.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::report::{Painter, Refusal};
use crate::repository::{Repository, run_and_keep};
use rows::{ROWS, Row};

const SEED_DEFAULT: u32 = 2026;
const USAGE: &str = "usage: cargo xtask prove [--tier quick|nightly|release] [--seed N] [ROW …], such as R11";
/// Where the rows of the last run are kept, as JSON.
const FOLDER: &str = "target/proof";

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Minutes.
    Quick,
    /// Hours.
    Nightly,
    /// A day or more.
    Release,
}

impl Tier {
    const ALL: [(&'static str, Self); 3] =
        [("quick", Self::Quick), ("nightly", Self::Nightly), ("release", Self::Release)];

    const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Nightly => "nightly",
            Self::Release => "release",
        }
    }

    /// The number of this tier.
    const fn of(self, [quick, nightly, release]: [u32; 3]) -> u32 {
        match self {
            Self::Quick => quick,
            Self::Nightly => nightly,
            Self::Release => release,
        }
    }
}

/// One program that a row runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// Something of it cannot be run here; the figure says what.
    Partly,
    Fail,
}

/// A row that was run.
#[derive(Clone, Debug)]
struct Proof {
    row: &'static Row,
    figure: String,
    verdict: Verdict,
    time: Duration,
}

/// Runs the rows of a tier, shows them as a table, and refuses if one fails.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<(), Refusal> {
    let (tier, seed, rows) = parse(arguments).ok_or_else(|| Refusal::new("that is not understood", USAGE))?;
    let painter = Painter::for_stdout();
    let mut proofs = Vec::new();
    for row in rows {
        println!("{}", painter.bold(&format!("· {} {}", row.id, row.goal)));
        let proof = prove(repository, row, tier, seed);
        println!("{}", line(&proof, seed, painter));
        proofs.push(proof);
    }
    println!("\n{}", painter.bold(&format!("tier {}", tier.name())));
    for proof in &proofs {
        println!("{}", line(proof, seed, painter));
    }
    keep(repository, tier, seed, &proofs)?;
    let failed = proofs.iter().filter(|proof| proof.verdict == Verdict::Fail);
    let findings: Vec<String> = failed.map(|proof| format!("{}: {}", proof.row.id, proof.figure)).collect();
    let advice = "the first failure of each row stands above; the same seed runs the same cases";
    Refusal::unless_empty(findings, format!("{} rows hold", proofs.len()), advice)
        .map(|summary| println!("{}", painter.green(&summary)))
}

fn prove(repository: &Repository, row: &'static Row, tier: Tier, seed: u32) -> Proof {
    let started = Instant::now();
    let (mut lines, mut given) = (Vec::new(), BTreeSet::new());
    for step in (row.steps)(repository, tier, seed) {
        given.extend(step.variables.iter().filter_map(|(name, value)| size(name, value)));
        let words: Vec<&str> = step.arguments.iter().map(String::as_str).collect();
        let mut command = repository.cargo(&words);
        command.envs(step.variables.iter().map(|(name, value)| (name, value)));
        match run_and_keep(&mut command, tells, "read the first failure above") {
            Ok(told) => lines.extend(told),
            Err(refusal) => {
                let figure = refusal.findings.join("; ");
                return Proof { row, figure, verdict: Verdict::Fail, time: started.elapsed() };
            }
        }
    }
    let (figure, verdict) = judge(&lines);
    let figure = given.into_iter().chain([figure]).collect::<Vec<_>>().join("  ");
    Proof { row, figure, verdict, time: started.elapsed() }
}

/// How much a variable asks for, in the words of a figure; none for those that are no amount.
fn size(variable: &str, value: &str) -> Option<String> {
    let name = ["CAIRN_", "PROPTEST_"].iter().find_map(|start| variable.strip_prefix(start))?.to_lowercase();
    (!name.ends_with("seed")).then(|| format!("{name}={value}"))
}

/// Whether a line tells a figure.
fn tells(line: &str) -> bool {
    ["PROVE ", "test result:", "skipped:"].iter().any(|start| line.contains(start))
        || line.starts_with("stat::number_of_executed_units:")
}

/// What the lines of a row's programs come to.
fn judge(lines: &[String]) -> (String, Verdict) {
    let mut figures = Vec::new();
    let mut counts = BTreeMap::from([("tests", 0_u64), ("inputs", 0)]);
    let mut skipped = None;
    for line in lines {
        let mut add = |name, number: Option<u64>| *counts.entry(name).or_default() += number.unwrap_or(0);
        if let Some((_, figure)) = line.split_once("PROVE ") {
            figures.push(figure.to_owned());
        } else if let Some((_, reason)) = line.split_once("skipped:") {
            skipped = Some(format!("skipped:{reason}"));
        } else if let Some((_, count)) = line.split_once("number_of_executed_units:") {
            add("inputs", count.trim().parse().ok());
        } else {
            add("tests", line.split(' ').nth(3).and_then(|word| word.parse().ok()));
        }
    }
    figures.extend(
        counts.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{name}={count}")),
    );
    let verdict = if counts["tests"] == 0 {
        Verdict::Fail
    } else if skipped.is_some() {
        Verdict::Partly
    } else {
        Verdict::Pass
    };
    figures.extend(skipped);
    if figures.is_empty() {
        figures.push("nothing was run".to_owned());
    }
    (figures.join("  "), verdict)
}

fn line(proof: &Proof, seed: u32, painter: Painter) -> String {
    let verdict = match proof.verdict {
        Verdict::Pass => painter.green("PASS"),
        Verdict::Partly => painter.bold("PART"),
        Verdict::Fail => painter.red("FAIL"),
    };
    let Row { id, name, threshold, .. } = proof.row;
    let seconds = proof.time.as_secs_f64();
    let figure = &proof.figure;
    format!("{verdict} {id:<4} {name:<8} {seconds:>7.1} s  seed {seed}  {figure}  [{threshold}]")
}

/// Keeps the rows as JSON.
fn keep(repository: &Repository, tier: Tier, seed: u32, proofs: &[Proof]) -> Result<(), Refusal> {
    let rows: Vec<_> = proofs
        .iter()
        .map(|proof| {
            let Row { id, name, goal, threshold, .. } = proof.row;
            json!({
                "id": id, "name": name, "goal": goal, "threshold": threshold, "figure": proof.figure,
                "verdict": format!("{:?}", proof.verdict).to_uppercase(),
                "seconds": proof.time.as_secs_f64(),
            })
        })
        .collect();
    let all = json!({ "tier": tier.name(), "seed": seed, "rows": rows });
    let folder = repository.root.join(FOLDER);
    let file = folder.join(format!("{}.json", tier.name()));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, format!("{all:#}\n")));
    written.map_err(|error| Refusal::new(format!("{}: {error}", file.display()), "is the disk full?"))
}

fn parse(arguments: &[String]) -> Option<(Tier, u32, Vec<&'static Row>)> {
    let (mut tier, mut seed, mut ids) = (Tier::Quick, SEED_DEFAULT, Vec::new());
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--tier" => {
                let name = words.next()?;
                tier = Tier::ALL.iter().find(|(other, _)| *other == name)?.1;
            }
            "--seed" => seed = words.next()?.parse().ok().filter(|seed| *seed > 0)?,
            id => ids.push(ROWS.iter().find(|row| row.id.eq_ignore_ascii_case(id) || row.name == id)?),
        }
    }
    let rows = if ids.is_empty() { ROWS.iter().collect() } else { ids };
    Some((tier, seed, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Option<(Tier, u32, Vec<&'static str>)> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        parse(&words).map(|(tier, seed, rows)| (tier, seed, rows.iter().map(|row| row.id).collect()))
    }

    fn judged(lines: &[&str]) -> (String, Verdict) {
        judge(&lines.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_tier_a_seed_and_rows_are_understood_and_nothing_else() {
        let all: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(parsed(&[]), Some((Tier::Quick, SEED_DEFAULT, all)));
        let some = parsed(&["--tier", "release", "--seed", "7", "r11", "api"]);
        assert_eq!(some, Some((Tier::Release, 7, vec!["R11", "R13"])));
        for bad in [&["--tier"][..], &["--tier", "weekly"], &["--seed", "0"], &["R99"]] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_row_shows_its_figures_and_one_that_measured_nothing_fails() {
        let passed = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out";
        let (figure, verdict) = judged(&["PROVE p99_ms=3 seed=7", passed, passed]);
        assert_eq!((figure.as_str(), verdict), ("p99_ms=3 seed=7  tests=4", Verdict::Pass));
        let none = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out";
        assert_eq!(judged(&[none]).1, Verdict::Fail);
        assert_eq!(judged(&[]).1, Verdict::Fail);
        let (figure, verdict) = judged(&[passed, "skipped: a small disk needs root"]);
        assert_eq!(
            (figure.as_str(), verdict),
            ("tests=2  skipped: a small disk needs root", Verdict::Partly)
        );
    }

    #[test]
    fn what_a_row_asks_for_stands_in_its_figure() {
        assert_eq!(size("CAIRN_KILL_ROUNDS", "15").as_deref(), Some("kill_rounds=15"));
        assert_eq!(size("PROPTEST_CASES", "64").as_deref(), Some("cases=64"));
        assert_eq!(size("PROPTEST_RNG_SEED", "1"), None);
        assert_eq!(size("CAIRN_ABUSE_SEED", "1"), None);
    }

    #[test]
    fn a_failing_row_is_a_failing_run() {
        static ROW: Row = Row {
            id: "R0",
            name: "none",
            goal: "a program that fails",
            threshold: "never",
            steps: |_, _, _| {
                vec![Step { arguments: vec!["no-such-command".to_owned()], variables: Vec::new() }]
            },
        };
        let proof = prove(&Repository::current(), &ROW, Tier::Quick, 1);
        assert_eq!(proof.verdict, Verdict::Fail);
    }
}
