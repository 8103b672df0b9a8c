//! Coverage-guided fuzzing of one target under libFuzzer with AddressSanitizer, where a nightly toolchain exists.
//!
//! The bodies are those of `fuzz.rs` in `cairn-core`, `cairn-wallet` and `cairn-p2p`, beside the messages of
//! `cairn-node` and in the interface, which the tests run too. The flags are those of `cargo fuzz`, which is therefore
//! not needed.

use std::process::Command;

use crate::report::Refusal;
use crate::repository::{Repository, output_of, run as run_program, succeeds};

/// Where the tables of targets stand, and the feature that brings each in.
const TABLES: [(&str, Option<&str>); 5] = [
    ("crates/cairn-core/src/fuzz.rs", None),
    ("crates/cairn-wallet/src/fuzz.rs", Some("wallet")),
    ("crates/cairn-node/src/wire/fuzz.rs", Some("node")),
    ("crates/cairn-p2p/src/fuzz.rs", Some("p2p")),
    ("crates/cairn/src/api/fuzz.rs", Some("api")),
];
const SECONDS_DEFAULT: u32 = 60;
const USAGE: &str = "usage: cargo xtask fuzz TARGET [--seconds N] [--seed N]";
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1 --cfg fuzzing";

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    target: String,
    seconds: u32,
    seed: u32,
}

/// One target: its name, and the feature of the fuzz crate that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    feature: Option<&'static str>,
}

/// Runs one target for some seconds. What it learns is kept in `fuzz/target/corpus`.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<(), Refusal> {
    let targets = targets(repository)?;
    let names = || targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(asked) = parse(arguments) else {
        return Err(Refusal::new(USAGE, format!("the targets are {}", names())));
    };
    let Some(target) = targets.iter().find(|target| target.name == asked.target) else {
        let finding = format!("there is no target `{}`", asked.target);
        return Err(Refusal::new(finding, format!("the targets are {}", names())));
    };
    if !has_nightly() {
        return Err(Refusal::new(
            "there is no nightly toolchain here, and libFuzzer needs one",
            "`rustup toolchain install nightly`; without it the same bodies run in \
             `cargo test -p cairn-core --test decoders`, `cargo test -p cairn-wallet --test readers`, \
             `cargo test -p cairn-node --test garbage`, `cargo test -p cairn-p2p --lib fuzz` and \
              `cargo test -p cairn --lib fuzz`",
        ));
    }
    run_target(repository, target, asked.seconds, asked.seed)
}

/// Every target of the tables.
pub(crate) fn targets(repository: &Repository) -> Result<Vec<Target>, Refusal> {
    let mut targets = Vec::new();
    for (path, feature) in TABLES {
        let text = repository.read(path.to_owned())?.text;
        let table = text.split_once("pub const TARGETS").map_or("", |(_, rest)| rest);
        let table = table.split_once("];\n").map_or("", |(table, _)| table);
        let names = table.split("(\"").skip(1).filter_map(|rest| rest.split('"').next());
        targets.extend(names.map(|name| Target { name: name.to_owned(), feature }));
    }
    Ok(targets)
}

/// Whether rustup has a nightly toolchain.
pub(crate) fn has_nightly() -> bool {
    succeeds(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]))
}

/// Builds the fuzzer and runs one target.
pub(crate) fn run_target(
    repository: &Repository,
    target: &Target,
    seconds: u32,
    seed: u32,
) -> Result<(), Refusal> {
    let host = host(repository)?;
    let mut build = Command::new("rustup");
    build
        .args(["run", "nightly", "cargo", "build", "--release", "--manifest-path", "fuzz/Cargo.toml"])
        // With a target named, build scripts and macros are built without the flags.
        .args(["--target", &host])
        .args(target.feature.into_iter().flat_map(|feature| ["--features", feature]))
        .env("RUSTFLAGS", FLAGS)
        .current_dir(&repository.root);
    run_program(&mut build, "the fuzz crate must build with nightly; `fuzz/Cargo.toml` names what it needs")?;
    let place = repository.root.join("fuzz/target");
    let corpus = place.join("corpus").join(&target.name);
    let found = place.join("artifacts").join(&target.name);
    for folder in [&corpus, &found] {
        std::fs::create_dir_all(folder)
            .map_err(|error| Refusal::new(format!("{}: {error}", folder.display()), "is the disk full?"))?;
    }
    let mut fuzzer = Command::new(place.join(&host).join("release/target"));
    fuzzer
        .env("CAIRN_FUZZ_TARGET", &target.name)
        .arg(&corpus)
        .args([format!("-max_total_time={seconds}"), format!("-seed={seed}")])
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", found.display()));
    run_program(&mut fuzzer, "the input that did it lies in fuzz/target/artifacts: make a test of it")
}

/// The name of this machine's kind, as rustc has it.
fn host(repository: &Repository) -> Result<String, Refusal> {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "rustc", "-vV"]).current_dir(&repository.root);
    let told = String::from_utf8_lossy(&output_of(&mut command, "is rustup whole?")?).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Refusal::new("rustc names no host", "is rustup whole?"))
}

fn parse(arguments: &[String]) -> Option<Asked> {
    let mut words = arguments.iter().map(String::as_str);
    let target = words.next().filter(|word| !word.starts_with('-'))?.to_owned();
    let mut asked = Asked { target, seconds: SECONDS_DEFAULT, seed: 1 };
    while let Some(word) = words.next() {
        let number = words.next()?.parse().ok().filter(|number| *number > 0)?;
        match word {
            "--seconds" => asked.seconds = number,
            "--seed" => asked.seed = number,
            _ => return None,
        }
    }
    Some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Option<Asked> {
        parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_target_is_named_and_the_rest_has_defaults() {
        let block = |seconds, seed| Some(Asked { target: "block".to_owned(), seconds, seed });
        assert_eq!(parsed(&["block"]), block(SECONDS_DEFAULT, 1));
        assert_eq!(parsed(&["block", "--seconds", "5", "--seed", "7"]), block(5, 7));
        for bad in [&[][..], &["--seconds", "5"], &["block", "5"], &["block", "--seconds", "0"]] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_tables_hold_targets_of_every_kind() {
        let targets = targets(&Repository::current()).unwrap();
        let feature = |name: &str| targets.iter().find(|target| target.name == name).map(|it| it.feature);
        assert_eq!(feature("block"), Some(None));
        assert_eq!(feature("submission_json"), Some(Some("api")));
        assert_eq!(feature("keystore"), Some(Some("wallet")));
        // The compiler counts the tables too.
        let counted = TABLES.map(|(path, _)| {
            let text = Repository::current().read(path.to_owned()).unwrap().text;
            let (_, count) = text.split_once("pub const TARGETS: [Target; ").unwrap();
            count.split(']').next().unwrap().parse::<usize>().unwrap()
        });
        assert_eq!(targets.len(), counted.iter().sum::<usize>(), "{targets:?}");
        assert_eq!(feature("block_in_short"), Some(Some("node")));
        assert_eq!(feature("hello"), Some(Some("p2p")));
        let names: std::collections::BTreeSet<_> = targets.iter().map(|target| &target.name).collect();
        assert_eq!(names.len(), targets.len(), "a name stands for one target: {targets:?}");
    }
}
