//! The goals, and what is run for each. Their numbers are those of the catalogue of goals: R1 to R21, of which
//! these stand so far.

use std::path::Path;

use super::{Step, Tier};
use crate::fuzz;
use crate::repository::Repository;

/// One goal.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// What is meant to hold.
    pub(super) goal: &'static str,
    /// What a pass means.
    pub(super) threshold: &'static str,
    pub(super) steps: fn(&Repository, Tier, u32) -> Vec<Step>,
}

/// Every goal that is measured.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "R1",
        name: "kill",
        goal: "what the program acknowledged survives kill -9, also while it recovers",
        threshold: "0 lost",
        steps: |_, tier, _| {
            let rounds = tier.of([15, 300, 1000]).to_string();
            vec![tests(&["kill"], &[]).with("CAIRN_KILL_ROUNDS", rounds)]
        },
    },
    Row {
        id: "R2",
        name: "storage",
        goal: "a power cut at any operation loses nothing durable; damage is told, never guessed around",
        threshold: "0 unopenable, 0 lost, 0 wrong",
        steps: |repository, tier, seed| {
            let cases = tier.of([256, 20_000, 100_000]);
            vec![properties(inner_tests(repository, &["cairn-store"]), cases, seed)]
        },
    },
    Row {
        id: "R3",
        name: "disk",
        goal: "on a full disk reads go on, writes are refused clearly, and nothing is lost",
        threshold: "0 lost",
        steps: |_, tier, _| {
            let once = tests(&["disk_full"], &[]);
            (0..tier.of([1, 20, 100])).map(|_| once.clone()).collect()
        },
    },
    Row {
        id: "R7",
        name: "fuzz",
        goal: "no bytes break a decoder or a reader of requests",
        threshold: "0 panics, 0 second encodings",
        steps: fuzz_steps,
    },
    Row {
        id: "R9",
        name: "ledger",
        goal: "supply is conserved, undo is exact, roots are those of the slow tree and of another program",
        threshold: "0 differences",
        steps: |repository, tier, seed| {
            let cases = tier.of([256, 20_000, 200_000]);
            let inner = inner_tests(repository, &["cairn-core", "cairn-node"]);
            vec![properties(inner, cases, seed), properties(tests(&["rules"], &[]), cases, seed)]
        },
    },
    Row {
        id: "R11",
        name: "sockets",
        goal: "a crowd of slow connections keeps no honest client waiting",
        threshold: "p99 < 250 ms, files bounded",
        steps: |_, tier, _| {
            let crowd = tier.of([1000, 10_000, 10_000]).to_string();
            let step = tests(&["api"], &["seats::"]);
            vec![step.with("CAIRN_SLOW_CONNECTIONS", crowd).with("CAIRN_SLOW_P99_MS", "250".to_owned())]
        },
    },
    Row {
        id: "R13",
        name: "api",
        goal: "garbage for every route changes nothing; others than the owner are refused; no event is lost",
        threshold: "0 taken, 0 answers of 5xx, growth < 64 MiB",
        steps: |_, tier, seed| {
            let cases = tier.of([2000, 10_000, 100_000]).to_string();
            let step = tests(&["api"], &["abuse::", "exposure::", "guard::", "malformed::"]);
            vec![
                step.with("CAIRN_ABUSE_CASES", cases).with("CAIRN_ABUSE_SEED", seed.to_string()),
                tests(&["branches"], &[]),
            ]
        },
    },
    Row {
        id: "R16",
        name: "vectors",
        goal: "the published vectors of others, and ours, hold",
        threshold: "100 %",
        steps: |_, _, _| vec![tests(&["external", "vectors"], &[])],
    },
    Row {
        id: "R17",
        name: "wallet",
        goal: "keys are kept and found again, damaged files are refused, nothing secret is told",
        threshold: "0 wrong, 0 secret bytes",
        steps: |repository, tier, seed| {
            let cases = tier.of([64, 1000, 10_000]);
            let mut steps = vec![
                properties(inner_tests(repository, &["cairn-wallet"]), cases, seed),
                tests(&["memory", "wallet", "prompts"], &[]),
            ];
            if tier != Tier::Quick {
                // What wipes a secret must do so also where the optimiser looks for what is never read.
                steps.push(tests(&["memory"], &[]).in_release());
            }
            steps
        },
    },
];

/// The bodies as property tests, and from the nightly tier on under libFuzzer too.
fn fuzz_steps(repository: &Repository, tier: Tier, seed: u32) -> Vec<Step> {
    let cases = tier.of([20_000, 1_000_000, 10_000_000]);
    let mut steps = vec![
        properties(tests(&["decoders"], &[]), cases, seed),
        properties(lib_tests(vec!["api::fuzz".to_owned()]), cases, seed),
        properties(tests(&["readers"], &[]), cases, seed),
        properties(tests(&["garbage"], &[]), cases, seed),
    ];
    if tier != Tier::Quick && fuzz::has_nightly() {
        let seconds = tier.of([0, 300, 3600]).to_string();
        for target in fuzz::targets(repository).unwrap_or_default() {
            let words = ["xtask", "fuzz", &target.name, "--seconds", &seconds, "--seed", &seed.to_string()];
            steps.push(Step { arguments: words.map(str::to_owned).into(), variables: Vec::new() });
        }
    }
    steps
}

/// What `check` selects too, so that nothing is built twice.
const SCOPE: [&str; 4] = ["test", "--workspace", "--exclude", "xtask"];

/// Test programs, and of each the tests with these names, or all.
fn tests(programs: &[&str], names: &[&str]) -> Step {
    let mut words: Vec<&str> = SCOPE.to_vec();
    words.extend(programs.iter().flat_map(|program| ["--test", program]));
    words.extend(["--", "--nocapture"]);
    words.extend(names);
    Step { arguments: words.into_iter().map(str::to_owned).collect(), variables: Vec::new() }
}

/// Tests beside the code, with these names.
fn lib_tests(names: Vec<String>) -> Step {
    let words = SCOPE.into_iter().chain(["--lib", "--", "--nocapture"]);
    Step { arguments: words.map(str::to_owned).chain(names).collect(), variables: Vec::new() }
}

/// All tests beside the code of some crates: those in the modules that their files are named after. Modules of
/// the same name in other crates run with them.
fn inner_tests(repository: &Repository, crates: &[&str]) -> Step {
    let files =
        crates.iter().flat_map(|name| repository.files(&format!("crates/{name}/src")).unwrap_or_default());
    let stems = files.filter_map(|file| Some(Path::new(&file).file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> =
        stems.filter(|stem| stem != "lib" && stem != "tests").map(|stem| format!("{stem}::")).collect();
    names.sort_unstable();
    names.dedup();
    lib_tests(names)
}

/// With so many cases a property test, from one seed.
fn properties(step: Step, cases: u32, seed: u32) -> Step {
    step.with("PROPTEST_CASES", cases.to_string()).with("PROPTEST_RNG_SEED", seed.to_string())
}

impl Step {
    /// The same, built as it is shipped.
    fn in_release(mut self) -> Self {
        self.arguments.insert(1, "--release".to_owned());
        self
    }

    fn with(mut self, variable: &'static str, value: String) -> Self {
        self.variables.push((variable, value));
        self
    }
}
