//! Which crate may stand on which: ARCHITECTURE.md's drawing as data, compared with the manifests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::report::Refusal;
use crate::repository::{Repository, output_of};

/// Each crate and the crates of ours that it may depend on. Arrows point down only.
const ARROWS: &[(&str, &[&str])] = &[
    ("cairn-hash", &[]),
    ("cairn-core", &["cairn-hash"]),
    ("cairn-node", &["cairn-core"]),
    ("cairn-store", &["cairn-core"]),
    ("cairn-wallet", &["cairn-core"]),
    ("cairn-p2p", &[]),
    ("cairn-sim", &["cairn-core", "cairn-node", "cairn-store"]),
    (
        "cairn",
        &["cairn-core", "cairn-hash", "cairn-node", "cairn-p2p", "cairn-sim", "cairn-store", "cairn-wallet"],
    ),
    ("xtask", &[]),
];

/// What the pure crates may bring in from outside; every name here was read for I/O, clocks and chance.
const PURE: &[(&str, &[&str])] = &[
    (
        "cairn-core",
        &[
            "bech32",
            "chacha20",
            "const-hex",
            "curve25519-dalek",
            "ed25519-zebra",
            "rand_core",
            "ruint",
            "serde",
            "sha2",
            "thiserror",
            "toml",
        ],
    ),
    ("cairn-node", &["rmp", "siphasher", "thiserror"]),
];

/// Families of crates from outside, by the start of their names, and the one crate of ours that may name them:
/// what is behind its wall can be replaced.
const WALLS: &[(&str, &str)] = &[("libp2p", "cairn-p2p")];

/// One dependency that a manifest declares.
#[derive(Debug)]
struct Dependency {
    name: String,
    /// Only tests, examples and benches of the crate use it.
    only_for_tests: bool,
}

/// Compares every manifest of the workspace with [`ARROWS`], [`PURE`] and [`WALLS`].
pub(crate) fn check(repository: &Repository) -> Result<String, Refusal> {
    let crates = manifests(repository)?;
    let arrows: usize =
        crates.values().flatten().filter(|dependency| allowed(&dependency.name).is_some()).count();
    let summary = format!("{} crates, {arrows} arrows", crates.len());
    Refusal::unless_empty(
        findings(&crates),
        summary,
        "arrows point down only; the lists are in xtask/src/arrows.rs",
    )
}

fn manifests(repository: &Repository) -> Result<BTreeMap<String, Vec<Dependency>>, Refusal> {
    let mut command = repository.cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let printed = output_of(&mut command, "mend the manifest that cargo names")?;
    let metadata: Value = serde_json::from_slice(&printed)
        .map_err(|error| Refusal::new(format!("cargo metadata is not JSON: {error}"), "is cargo whole?"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    Ok(packages.map(|package| (text(&package["name"]), dependencies(package))).collect())
}

fn dependencies(package: &Value) -> Vec<Dependency> {
    let declared = package["dependencies"].as_array().into_iter().flatten();
    declared
        .map(|dependency| Dependency {
            name: text(&dependency["name"]),
            only_for_tests: dependency["kind"].as_str() == Some("dev"),
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn findings(crates: &BTreeMap<String, Vec<Dependency>>) -> Vec<String> {
    let mut findings = Vec::new();
    for (from, dependencies) in crates {
        let Some(arrows) = allowed(from) else {
            findings.push(format!("{from} has no line in ARROWS: draw it in ARCHITECTURE.md first"));
            continue;
        };
        for Dependency { name: to, only_for_tests } in dependencies {
            let ours = allowed(to).is_some() || crates.contains_key(to);
            if ours && *only_for_tests && stands_on(to, from) {
                findings
                    .push(format!("{from} must not depend on {to}, not even in tests: see ARCHITECTURE.md"));
            } else if ours && !only_for_tests && !arrows.contains(&to.as_str()) {
                findings.push(format!("{from} must not depend on {to}: see ARCHITECTURE.md"));
            } else if !ours && !only_for_tests && !may_bring_in(from, to) {
                findings.push(format!("{from} is pure and must not depend on {to}: see ARCHITECTURE.md"));
            }
            if let Some(keeper) = keeper(to).filter(|keeper| keeper != from) {
                findings.push(format!("{from} must not depend on {to}, which only {keeper} may name"));
            }
        }
    }
    findings
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
}

/// Whether `upper` reaches `lower` along the allowed arrows.
fn stands_on(upper: &str, lower: &str) -> bool {
    allowed(upper).is_some_and(|arrows| arrows.iter().any(|to| *to == lower || stands_on(to, lower)))
}

/// The crate behind whose wall a crate from outside stands.
fn keeper(outside: &str) -> Option<&'static str> {
    WALLS.iter().find(|(family, _)| outside.starts_with(family)).map(|(_, keeper)| *keeper)
}

fn may_bring_in(from: &str, outside: &str) -> bool {
    PURE.iter().find(|(pure, _)| *pure == from).is_none_or(|(_, list)| list.contains(&outside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// The manifests of this repository, with `addition` put into that of `name` under `section`.
    fn refused(name: &str, section: &str, addition: &str) -> Vec<String> {
        let scratch = Scratch::with_manifests(&Repository::current());
        scratch.insert_after(&format!("crates/{name}/Cargo.toml"), section, addition);
        check(&scratch.repository()).expect_err("a wrong arrow is refused").findings
    }

    #[test]
    fn the_arrows_of_this_repository_are_accepted() {
        let scratch = Scratch::with_manifests(&Repository::current());
        check(&scratch.repository()).unwrap();
    }

    #[test]
    fn a_sideways_arrow_is_refused() {
        assert_eq!(
            refused("cairn-store", "[dependencies]", "cairn-wallet.workspace = true"),
            ["cairn-store must not depend on cairn-wallet: see ARCHITECTURE.md"]
        );
    }

    #[test]
    fn an_upward_arrow_is_refused() {
        assert_eq!(
            refused(
                "cairn-core",
                "[dependencies]",
                "cairn-node = { path = \"../cairn-node\", optional = true }"
            ),
            ["cairn-core must not depend on cairn-node: see ARCHITECTURE.md"]
        );
    }

    #[test]
    fn an_upward_arrow_of_tests_is_refused_and_a_sideways_one_is_not() {
        assert_eq!(
            refused("cairn-core", "[dev-dependencies]", "cairn-store.workspace = true"),
            ["cairn-core must not depend on cairn-store, not even in tests: see ARCHITECTURE.md"]
        );
        assert!(!stands_on("cairn-wallet", "cairn-store"));
    }

    #[test]
    fn an_arrow_for_one_platform_or_a_build_script_is_refused_too() {
        for section in ["[target.'cfg(windows)'.dependencies]", "[build-dependencies]"] {
            assert_eq!(
                refused(
                    "cairn-hash",
                    "publish.workspace = true",
                    &format!("\n{section}\ncairn-wallet.workspace = true")
                ),
                ["cairn-hash must not depend on cairn-wallet: see ARCHITECTURE.md"]
            );
        }
    }

    #[test]
    fn a_pure_crate_brings_in_only_what_is_listed() {
        for name in ["cairn-core", "cairn-node"] {
            assert_eq!(
                refused(name, "[dependencies]", "tokio.workspace = true"),
                [format!("{name} is pure and must not depend on tokio: see ARCHITECTURE.md")]
            );
        }
    }

    #[test]
    fn libp2p_stays_behind_its_wall_even_in_tests() {
        for section in ["[dependencies]", "[dev-dependencies]"] {
            assert_eq!(
                refused("cairn", section, "libp2p-swarm.workspace = true"),
                ["cairn must not depend on libp2p-swarm, which only cairn-p2p may name"]
            );
        }
    }

    #[test]
    fn a_crate_that_is_not_drawn_is_refused() {
        let scratch = Scratch::with_manifests(&Repository::current());
        scratch.write(
            "crates/cairn-utils/Cargo.toml",
            "[package]\nname = \"cairn-utils\"\nedition = \"2024\"\n",
        );
        scratch.write("crates/cairn-utils/src/lib.rs", "");
        assert_eq!(
            check(&scratch.repository()).unwrap_err().findings,
            ["cairn-utils has no line in ARROWS: draw it in ARCHITECTURE.md first"]
        );
    }

    #[test]
    fn no_allowed_arrow_leads_back() {
        for (name, _) in ARROWS {
            assert!(!stands_on(name, name), "{name} stands on itself");
        }
    }
}
