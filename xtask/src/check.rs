//! The steps that a change must pass, in order, up to the first that fails.
//!
//! Clippy, tests and docs share the dev profile, so that dependencies are built once. A step prints one line with
//! its time; programs that it starts print above that line.

mod toolchain;

use std::fmt;
use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::report::{Painter, Refusal};
use crate::repository::{Repository, run as run_program, run_and_keep};
use crate::{arrows, deny, links, rules};

/// One step: what it is called, and what it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    name: &'static str,
    run: fn(&Repository) -> Result<Done, Refusal>,
}

/// What a step that was not refused has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// A short result for its line.
    pub(crate) summary: String,
    /// What this machine lacked to do all of it, and what to do about that.
    pub(crate) left_out: Option<String>,
}

impl From<String> for Done {
    fn from(summary: String) -> Self {
        Self { summary, left_out: None }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        self.left_out.as_ref().map_or(Ok(()), |what| write!(f, "; {what}"))
    }
}

/// What takes seconds and needs nothing built but this program.
pub(crate) const QUICK: &[Step] = &[
    Step { name: "format", run: |it| format(it).map(Done::from) },
    Step { name: "arrows", run: |it| arrows::check(it).map(Done::from) },
    Step { name: "rules", run: |it| rules::check(it).map(Done::from) },
    Step { name: "links", run: |it| links::check(it).map(Done::from) },
];

/// What builds the workspace.
const SLOW: &[Step] = &[
    Step { name: "spec", run: spec },
    Step { name: "deny", run: deny::check },
    Step { name: "clippy", run: |it| clippy(it).map(Done::from) },
    Step { name: "tests", run: |it| tests(it).map(Done::from) },
    Step { name: "features", run: |it| features(it).map(Done::from) },
    Step { name: "doc tests", run: |it| doc_tests(it).map(Done::from) },
    Step { name: "docs", run: |it| docs(it).map(Done::from) },
    Step { name: "bite", run: |it| bite(it).map(Done::from) },
];

/// Everything, with set-up first.
pub(crate) fn full() -> Vec<Step> {
    let set_up = Step { name: "toolchain", run: |it| toolchain::prepare(it).map(Done::from) };
    [&[set_up], QUICK, SLOW].concat()
}

/// Runs `steps` until one fails, and shows them once more at the end, with what was left out in the last line.
pub(crate) fn run(repository: &Repository, steps: &[Step]) -> Result<(), Refusal> {
    let painter = Painter::for_stdout();
    let started = Instant::now();
    let (mut lines, mut left_out) = (Vec::new(), Vec::new());
    for step in steps {
        let step_started = Instant::now();
        println!("{}", painter.dim(&format!("· {}", step.name)));
        match (step.run)(repository) {
            Ok(done) => {
                let line = passed(painter, step.name, step_started.elapsed(), &done);
                println!("{line}");
                lines.push(line);
                left_out.extend(done.left_out.map(|what| format!("{}: {what}", step.name)));
            }
            Err(refusal) => {
                let time = in_words(step_started.elapsed());
                println!("{} {} {time:>10}", painter.red("✗"), painter.bold(&format!("{:<9}", step.name)));
                return Err(refusal);
            }
        }
    }
    println!("\n{}", lines.join("\n"));
    println!("{}", closing(painter, steps.len(), started.elapsed(), &left_out));
    Ok(())
}

fn passed(painter: Painter, name: &str, time: Duration, done: &Done) -> String {
    let name = painter.bold(&format!("{name:<9}"));
    let mark = if done.left_out.is_some() { painter.bold("~") } else { painter.green("✓") };
    let mut line = format!("{mark} {name} {:>10}  {}", in_words(time), painter.dim(&done.summary));
    if let Some(what) = &done.left_out {
        line = format!("{line}; {}", painter.bold(what));
    }
    line
}

/// The last line: that all went well, and what nobody looked at.
fn closing(painter: Painter, steps: usize, time: Duration, left_out: &[String]) -> String {
    let time = in_words(time);
    if left_out.is_empty() {
        return painter.green(&format!("all {steps} steps passed in {time}"));
    }
    let parts = painter.bold(&left_out.join("; "));
    format!("{}, but in part: {parts}", painter.green(&format!("all {steps} steps passed in {time}")))
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

fn format(repository: &Repository) -> Result<String, Refusal> {
    let advice = "run `cargo fmt`";
    let mut command = repository.cargo(&["fmt", "--all", "--", "--check", "--files-with-diff"]);
    let output = command
        .output()
        .map_err(|error| Refusal::new(format!("cargo cannot be started: {error}"), advice))?;
    if output.status.success() {
        return Ok("as rustfmt writes it".to_owned());
    }
    let printed = [output.stdout, output.stderr].concat();
    let root = format!("{}/", repository.root.display());
    let findings = String::from_utf8_lossy(&printed).lines().map(|line| line.replace(&root, "")).collect();
    Err(Refusal { findings, advice: advice.to_owned() })
}

/// Recomputes the specification's vectors with the program that was written from its pages alone.
fn spec(repository: &Repository) -> Result<Done, Refusal> {
    let mut command = Command::new("python3");
    command.arg("docs/spec/check.py").current_dir(&repository.root);
    let advice = "docs/spec and its vectors disagree: find out which of them is right";
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Done {
            summary: "the vectors are compared by the tests only".to_owned(),
            left_out: Some("NOT recomputed by an independent program: install python3".to_owned()),
        }),
        Err(error) => Err(Refusal::new(format!("python3 cannot be started: {error}"), advice)),
        Ok(output) if output.status.success() => {
            Ok("an independent program agrees with every vector".to_owned().into())
        }
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            let findings = String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect();
            Err(Refusal { findings, advice: advice.to_owned() })
        }
    }
}

fn clippy(repository: &Repository) -> Result<String, Refusal> {
    let mut command = repository.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    run_program(&mut command, "mend what clippy names above; CONTRIBUTING.md says why a ban is there")?;
    Ok("no warnings".to_owned())
}

/// All tests but xtask's own, which are the step [`bite`].
fn tests(repository: &Repository) -> Result<String, Refusal> {
    let nextest = toolchain::has_nextest(repository);
    let program: &[&str] = if nextest { &["nextest", "run"] } else { &["test"] };
    let scope = ["--workspace", "--exclude", "xtask", "--lib", "--bins", "--tests"];
    count_tests(repository, &[program, &scope].concat())
}

/// What only builds with features have. Where they meet the rest of the world, in network namespaces, they are
/// tested by `cargo test -p cairn --all-features --test local_network`.
fn features(repository: &Repository) -> Result<String, Refusal> {
    let crates = ["--package", "cairn", "--package", "cairn-p2p", "--all-features", "--all-targets"];
    let mut command = repository.cargo(&[&["clippy"], &crates[..], &["--", "-D", "warnings"]].concat());
    run_program(&mut command, "mend what clippy names above; it is seen with all features on")?;
    count_tests(repository, &["test", "--package", "cairn-p2p", "--all-features", "--lib"])
}

fn doc_tests(repository: &Repository) -> Result<String, Refusal> {
    count_tests(repository, &["test", "--workspace", "--doc"])
}

fn docs(repository: &Repository) -> Result<String, Refusal> {
    let mut command = repository.cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    run_program(&mut command, "mend the doc comments that rustdoc names above")?;
    Ok("no warnings, no broken links".to_owned())
}

/// xtask's tests: each lint, ban, arrow and rule is broken on purpose in a copy, and must be refused.
fn bite(repository: &Repository) -> Result<String, Refusal> {
    count_tests(repository, &["test", "--package", "xtask"])
}

fn count_tests(repository: &Repository, arguments: &[&str]) -> Result<String, Refusal> {
    let advice = "read the first failure above; run one test again with `cargo test -p <crate> <name>`";
    let closing = run_and_keep(&mut repository.cargo(arguments), closes_a_run, advice)?;
    Ok(sum_up(&closing))
}

fn closes_a_run(line: &str) -> bool {
    line.starts_with("test result:") || line.trim_start().starts_with("Summary [")
}

/// The closing line of nextest as it stands, or those of `cargo test` added up in the same words.
fn sum_up(closing: &[String]) -> String {
    if let Some(line) = closing.iter().find(|line| line.contains("Summary [")) {
        return line.trim().to_owned();
    }
    let count = |word: &str| -> u64 { closing.iter().map(|line| number_before(line, word)).sum() };
    format!(
        "test result: ok. {} passed; {} failed; {} ignored",
        count("passed"),
        count("failed"),
        count("ignored")
    )
}

fn number_before(line: &str, word: &str) -> u64 {
    let mut last = "";
    for token in line.split([' ', ';']).filter(|token| !token.is_empty()) {
        if token == word {
            return last.parse().unwrap_or(0);
        }
        last = token;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run() {
        let fine = Step { name: "fine", run: |_| Ok(String::new().into()) };
        let wrong = Step { name: "wrong", run: |_| Err(Refusal::new("it is wrong", "mend it")) };
        let never = Step { name: "never", run: |_| Err(Refusal::new("it ran", "stop earlier")) };
        let refusal = run(&Repository::current(), &[fine, wrong, never]).unwrap_err();
        assert_eq!(refusal.findings, ["it is wrong"]);
        run(&Repository::current(), &[fine, fine]).unwrap();
    }

    #[test]
    fn what_could_not_be_done_has_another_mark_and_stands_in_the_last_line() {
        let plain = Painter::plain();
        let second = Duration::from_secs(1);
        let whole = Done::from("400 packages".to_owned());
        assert_eq!(passed(plain, "deny", second, &whole), "✓ deny           1.0 s  400 packages");
        let part = Done { left_out: Some("advisories NOT checked".to_owned()), ..whole };
        let line = passed(plain, "deny", second, &part);
        assert_eq!(line, "~ deny           1.0 s  400 packages; advisories NOT checked");
        assert_eq!(closing(plain, 2, second, &[]), "all 2 steps passed in 1.0 s");
        let left_out = ["deny: advisories NOT checked".to_owned()];
        assert_eq!(
            closing(plain, 2, second, &left_out),
            "all 2 steps passed in 1.0 s, but in part: deny: advisories NOT checked"
        );
    }

    #[test]
    fn closing_lines_of_cargo_test_are_added_up() {
        let lines = [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s"
                .to_owned(),
            "test result: ok. 30 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.01s"
                .to_owned(),
        ];
        assert!(lines.iter().all(|line| closes_a_run(line)));
        assert_eq!(sum_up(&lines), "test result: ok. 42 passed; 0 failed; 1 ignored");
    }

    #[test]
    fn the_closing_line_of_nextest_is_kept() {
        let line = "     Summary [   0.507s] 312 tests run: 312 passed, 0 skipped".to_owned();
        assert!(closes_a_run(&line));
        assert_eq!(sum_up(&[line]), "Summary [   0.507s] 312 tests run: 312 passed, 0 skipped");
    }
}
