//! Every chore of the repository: `cargo xtask` lists them.
//!
//! Git hooks and continuous integration call these chores and hold nothing themselves. The crate stays small
//! because everything else waits until it is built.

mod arrows;
mod bench;
mod bless;
mod check;
mod deny;
mod fuzz;
mod hooks;
mod kill;
mod links;
mod long;
mod prove;
#[cfg(test)]
mod purity;
mod release;
mod report;
mod repository;
mod rules;
#[cfg(test)]
mod scratch;

use std::process::ExitCode;

use report::{Painter, Refusal};
use repository::Repository;

/// One thing that `cargo xtask` can do.
struct Chore {
    name: &'static str,
    about: &'static str,
    run: fn(&Repository, &[String]) -> Result<(), Refusal>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "check",
        about: "everything a change must pass; what continuous integration runs",
        run: |repository, _| check::run(repository, &check::full()),
    },
    Chore {
        name: "quick",
        about: "its first seconds: format, arrows, rules, links",
        run: |repository, _| check::run(repository, check::QUICK),
    },
    Chore {
        name: "arrows",
        about: "compare the crates' dependencies with ARCHITECTURE.md's drawing",
        run: |repository, _| arrows::check(repository).map(|summary| println!("{summary}")),
    },
    Chore {
        name: "rules",
        about: "match numbered rules: sentence, error variant, test",
        run: |repository, _| rules::check(repository).map(|summary| println!("{summary}")),
    },
    Chore {
        name: "links",
        about: "find links and file names in the docs that lead nowhere",
        run: |repository, _| links::check(repository).map(|summary| println!("{summary}")),
    },
    Chore {
        name: "long",
        about: "show the ten longest functions and files; a prompt for a talk, never a failure",
        run: |repository, _| long::show(repository),
    },
    Chore {
        name: "hooks",
        about: "install git hooks: quick before a commit, check before a push",
        run: |repository, _| hooks::install(repository),
    },
    Chore {
        name: "bless",
        about: "rewrite docs/spec/vectors from the code; the diff is the review",
        run: |repository, _| bless::run(repository),
    },
    Chore {
        name: "kill",
        about: "kill the program under load, many times: kill [--rounds N]",
        run: kill::run,
    },
    Chore {
        name: "fuzz",
        about: "fuzz one target under libFuzzer, with nightly: fuzz TARGET [--seconds N]",
        run: fuzz::run,
    },
    Chore {
        name: "prove",
        about: "show that the goals hold: prove [--tier quick|nightly|release] [ROW …]",
        run: prove::run,
    },
    Chore {
        name: "bench",
        about: "build a release and measure: bench [arguments of `cairn bench`]",
        run: bench::run,
    },
    Chore {
        name: "deny",
        about: "check licences, sources, versions and advisories of dependencies",
        run: |repository, _| deny::check(repository).map(|done| println!("{done}")),
    },
    Chore {
        name: "release",
        about: "build what is shipped: a tarball and its checksums, under target/release-files",
        run: |repository, _| release::run(repository),
    },
];

fn main() -> ExitCode {
    let painter = Painter::for_stdout();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        list(painter);
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        list(painter);
        return ExitCode::SUCCESS;
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        eprintln!("there is no chore `{name}`");
        list(painter);
        return ExitCode::from(2);
    };
    match (chore.run)(&Repository::current(), rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            refusal.show(painter);
            ExitCode::FAILURE
        }
    }
}

fn list(painter: Painter) {
    println!("cargo xtask <chore>\n");
    for chore in CHORES {
        println!("  {} {}", painter.bold(&format!("{:<7}", chore.name)), chore.about);
    }
}
