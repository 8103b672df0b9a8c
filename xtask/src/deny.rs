//! Licences, sources, doubled versions and advisories of dependencies, as `deny.toml` allows them.
//!
//! All but the advisories is judged here, from what cargo knows, on every machine. Advisories need
//! cargo-deny and its database: where either is missing, the check says so and goes on, since a
//! machine without network must be able to build.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::Done;
use crate::report::Refusal;
use crate::repository::{Repository, output_of, succeeds};

/// Where every dependency comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package that is built, or may be on another system.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    license: String,
    /// None for crates of this repository.
    source: Option<String>,
    /// Dependencies from outside that take any version.
    wildcards: Vec<String>,
}

/// What `deny.toml` says.
#[derive(Debug)]
struct Policy {
    licenses: BTreeSet<String>,
    /// Crates with the one licence that is allowed to them alone.
    exceptions: BTreeSet<(String, String)>,
    /// `name@version` that may stand beside another version.
    skipped: BTreeSet<String>,
}

/// Judges all dependencies, and says where advisories could not be looked at.
pub(crate) fn check(repository: &Repository) -> Result<Done, Refusal> {
    let policy = Policy::read(&repository.read("deny.toml".to_owned())?.text);
    let packages = packages(repository)?;
    let outside = packages.iter().filter(|package| package.source.is_some()).count();
    let findings = findings(&packages, &policy);
    let summary = format!("{outside} packages from outside");
    let summary = Refusal::unless_empty(findings, summary, "deny.toml says what is allowed and why")?;
    Ok(match advisories(repository)? {
        Advisories::None => Done::from(format!("{summary}; no advisory against them")),
        Advisories::Unknown(why) => {
            Done { summary, left_out: Some(format!("advisories NOT checked: {why}")) }
        }
    })
}

/// What is known against the dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advisories {
    None,
    /// Nobody looked, and why.
    Unknown(&'static str),
}

/// Runs cargo-deny where it is installed.
fn advisories(repository: &Repository) -> Result<Advisories, Refusal> {
    if !succeeds(&mut repository.cargo(&["deny", "--version"])) {
        return Ok(Advisories::Unknown("`cargo install --locked cargo-deny` once"));
    }
    if !succeeds(&mut repository.cargo(&["deny", "fetch", "db"])) {
        return Ok(Advisories::Unknown("their database cannot be fetched, is there a network?"));
    }
    output_of(
        &mut repository.cargo(&["deny", "check", "--disable-fetch"]),
        "take a version without the fault; or say in deny.toml why it does not touch us",
    )?;
    Ok(Advisories::None)
}

fn packages(repository: &Repository) -> Result<Vec<Package>, Refusal> {
    let mut command = repository.cargo(&["metadata", "--format-version", "1", "--all-features", "--locked"]);
    let printed = output_of(&mut command, "let cargo fetch what Cargo.lock names: `cargo fetch --locked`")?;
    let metadata: Value = serde_json::from_slice(&printed)
        .map_err(|error| Refusal::new(format!("cargo metadata is not JSON: {error}"), "is cargo whole?"))?;
    let built = built(repository)?;
    let packages = metadata["packages"].as_array().into_iter().flatten().map(package);
    Ok(packages.filter(|it| built.contains(&(it.name.clone(), it.version.clone()))).collect())
}

/// Names and versions of all that is built. Cargo.lock also names what features of others would need that
/// nobody asks for.
fn built(repository: &Repository) -> Result<BTreeSet<(String, String)>, Refusal> {
    let tree = ["tree", "--workspace", "--all-features", "--target", "all", "--prefix", "none", "--locked"];
    let printed = output_of(&mut repository.cargo(&tree), "`cargo tree` says what is wrong")?;
    let lines = String::from_utf8_lossy(&printed);
    let package = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some((name.to_owned(), rest.split_whitespace().next()?.to_owned()))
    };
    Ok(lines.lines().filter_map(package).collect())
}

fn package(value: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dependencies = value["dependencies"].as_array().into_iter().flatten();
    let wildcards = dependencies.filter(|it| it["req"] == "*" && it["path"].is_null());
    Package {
        name: text(&value["name"]),
        version: text(&value["version"]),
        license: text(&value["license"]),
        source: value["source"].as_str().map(str::to_owned),
        wildcards: wildcards.map(|it| text(&it["name"])).collect(),
    }
}

fn findings(packages: &[Package], policy: &Policy) -> Vec<String> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Package { name, version, license, source, wildcards } in packages {
        let full = format!("{name}@{version}");
        match source {
            None => findings.extend(wildcards.iter().map(|it| format!("{name} takes any version of {it}"))),
            Some(source) if source != REGISTRY => findings.push(format!("{full} comes from {source}")),
            Some(_) => {}
        }
        let is_exception = || policy.exceptions.contains(&(name.clone(), license.clone()));
        if source.is_some() && !is_allowed(license, &policy.licenses) && !is_exception() {
            findings.push(format!("{full} has the licence `{license}`"));
        }
        versions.entry(name).or_default().push(full);
    }
    for (name, versions) in &versions {
        let several: Vec<&String> = versions.iter().filter(|it| !policy.skipped.contains(*it)).collect();
        if several.len() > 1 {
            findings.push(format!("{name} comes in {} versions: {several:?}", several.len()));
        }
    }
    let there: BTreeSet<&String> = versions.values().flatten().collect();
    let gone = policy.skipped.iter().filter(|skipped| !there.contains(skipped));
    findings.extend(gone.map(|skipped| format!("{skipped} is gone: take its line out of deny.toml")));
    let is_there = |name: &String| packages.iter().any(|package| package.name == *name);
    let useless = policy.exceptions.iter().filter(|(name, _)| !is_there(name));
    findings.extend(useless.map(|(name, _)| format!("{name} is gone: take its line out of deny.toml")));
    findings
}

/// Whether an SPDX expression can be met with allowed licences. Old manifests write `/` for OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    either(&mut words, allowed) && words.is_empty()
}

fn either(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = both(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = either(words, allowed);
            let Some((&")", rest)) = words.split_first() else { return false };
            *words = rest;
            met
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(&format!("{name} WITH {exception}"))
        }
        [name, rest @ ..] => {
            *words = rest;
            allowed.contains(*name)
        }
        [] => false,
    }
}

impl Policy {
    /// Reads the three lists that are judged here, in the form in which deny.toml has them.
    fn read(text: &str) -> Self {
        let list = |start: &str| {
            let rest = text.split_once(start).map_or("", |(_, rest)| rest);
            rest.split_once("\n]").map_or("", |(list, _)| list).lines()
        };
        let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
        let pair = |line: &str| {
            let mut quoted = line.split('"').skip(1).step_by(2).map(str::to_owned);
            Some((quoted.next()?, quoted.next()?))
        };
        Self {
            licenses: list("\nallow = [").filter_map(quoted).collect(),
            exceptions: list("\nexceptions = [").filter_map(pair).collect(),
            skipped: list("\nskip = [").filter_map(quoted).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::read(
            "\nallow = [\n    \"MIT\",\n    \"Zlib\",\n    \"Apache-2.0 WITH LLVM-exception\",\n]\n\
             exceptions = [\n    { crate = \"weak\", allow = [\"MPL-2.0\"] },\n]\n\
             skip = [\n    { crate = \"syn@2.0.0\", reason = \"macros\" },\n]\n",
        )
    }

    fn outside(name: &str, version: &str, license: &str) -> Package {
        let (name, version, license) = (name.to_owned(), version.to_owned(), license.to_owned());
        Package { name, version, license, source: Some(REGISTRY.to_owned()), wildcards: Vec::new() }
    }

    #[test]
    fn licences_are_judged_as_expressions() {
        let allowed = policy().licenses;
        for fine in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "MIT AND Zlib",
            "(GPL-3.0 OR MIT) AND Zlib",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(fine, &allowed), "{fine}");
        }
        for wrong in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Zlib AND (GPL-3.0 OR AGPL-3.0)",
            "Apache-2.0",
            "(MIT",
            "MIT)",
            "MIT Zlib",
        ] {
            assert!(!is_allowed(wrong, &allowed), "{wrong}");
        }
    }

    #[test]
    fn a_licence_a_source_a_second_version_and_a_wildcard_are_refused() {
        let mut git = outside("forked", "1.0.0", "MIT");
        git.source = Some("git+https://example.org/forked".to_owned());
        let mut own = outside("ours", "0.1.0", "");
        (own.source, own.wildcards) = (None, vec!["anything".to_owned()]);
        let packages = [
            outside("syn", "2.0.0", "MIT"),
            outside("syn", "3.0.0", "MIT"),
            outside("twice", "1.0.0", "MIT"),
            outside("twice", "2.0.0", "MIT"),
            outside("viral", "1.0.0", "GPL-3.0"),
            outside("weak", "1.0.0", "MPL-2.0"),
            outside("weaker", "1.0.0", "MPL-2.0"),
            git,
            own,
        ];
        let found = findings(&packages, &policy());
        let expected = [
            "viral@1.0.0 has the licence `GPL-3.0`",
            "weaker@1.0.0 has the licence `MPL-2.0`",
            "forked@1.0.0 comes from git+https://example.org/forked",
            "ours takes any version of anything",
            "twice comes in 2 versions: [\"twice@1.0.0\", \"twice@2.0.0\"]",
        ];
        assert_eq!(found, expected);
        let gone = ["syn@2.0.0", "weak"].map(|it| format!("{it} is gone: take its line out of deny.toml"));
        assert_eq!(findings(&[], &policy()), gone);
    }

    #[test]
    fn deny_toml_is_read_in_the_form_it_has() {
        let text = Repository::current().read("deny.toml".to_owned()).unwrap().text;
        let Policy { licenses, exceptions, skipped } = Policy::read(&text);
        assert!(licenses.contains("MIT") && licenses.contains("Zlib"), "{licenses:?}");
        assert_eq!(exceptions.len() + skipped.len(), text.matches("\n    { crate = ").count());
    }
}
