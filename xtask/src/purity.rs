//! Proof that the lints bite: each violation is planted in a copy and clippy must refuse it with its reason.

use std::collections::BTreeMap;

use crate::repository::Repository;
use crate::scratch::Scratch;

/// A module with one violation, and what clippy must say about it.
struct Plant {
    name: &'static str,
    code: &'static str,
    refusal: &'static str,
}

const fn plant(name: &'static str, code: &'static str, refusal: &'static str) -> Plant {
    Plant { name, code, refusal }
}

/// What the `clippy.toml` of the pure crates bans.
const IMPURE: &[Plant] = &[
    plant(
        "hash_map",
        "/// Planted.\npub fn count() -> usize { std::collections::HashMap::<u8, u8>::new().len() }",
        "iteration order is random: use BTreeMap",
    ),
    plant(
        "hash_set",
        "/// Planted.\npub fn count() -> usize { std::collections::HashSet::<u8>::new().len() }",
        "iteration order is random: use BTreeSet",
    ),
    plant(
        "instant",
        "/// Planted.\npub fn now() { let _ = std::time::Instant::now(); }",
        "time arrives as an argument: use Timestamp",
    ),
    plant(
        "system_time",
        "/// Planted.\npub fn now() { let _ = std::time::SystemTime::now(); }",
        "time arrives as an argument: use Timestamp",
    ),
    plant(
        "file",
        "/// Planted.\npub fn read() -> bool { std::fs::read(\"/\").is_ok() }",
        "no files here: the store does I/O",
    ),
    plant(
        "file_by_path",
        "/// Planted.\npub fn look(path: &std::path::Path) -> bool { path.exists() }",
        "no files here: the store does I/O",
    ),
    plant(
        "thread",
        "/// Planted.\npub fn start() { drop(std::thread::spawn(|| ())); }",
        "no threads here: the shell decides what runs where",
    ),
    plant(
        "sleep",
        "/// Planted.\npub fn wait() { std::thread::sleep(std::time::Duration::ZERO); }",
        "nothing waits here: ask for a wakeup",
    ),
    plant(
        "socket",
        "/// Planted.\npub fn dial() -> bool { std::net::TcpStream::connect(\"127.0.0.1:0\").is_ok() }",
        "no sockets here: the network is inputs and effects",
    ),
    plant(
        "environment",
        "/// Planted.\npub fn ask() -> bool { std::env::var(\"HOME\").is_ok() }",
        "settings arrive as arguments",
    ),
    plant(
        "random_state",
        "/// Planted.\npub fn draw() { let _ = std::hash::RandomState::new(); }",
        "its keys are drawn at random",
    ),
    plant(
        "print",
        "/// Planted.\npub fn say() { println!(\"planted\"); }",
        "no I/O here: return what is to be shown",
    ),
];

/// What the lints of the workspace refuse in every crate.
const CARELESS: &[Plant] = &[
    plant(
        "unwrap",
        "/// Planted.\npub fn first(list: &[u8]) -> u8 { *list.first().unwrap() }",
        "used `unwrap()` on an `Option` value",
    ),
    plant(
        "unsafe_code",
        "/// Planted.\npub fn peek(at: &u8) -> u8 { unsafe { std::ptr::read(at) } }",
        "usage of an `unsafe` block",
    ),
    plant("undocumented", "pub fn nameless() {}", "missing documentation for a function"),
    plant(
        "truncation",
        "/// Planted.\npub fn cut(number: u64) -> u32 { number as u32 }",
        "casting `u64` to `u32` may truncate the value",
    ),
    plant(
        "sign",
        "/// Planted.\npub fn turn(number: i64) -> u64 { number as u64 }",
        "casting `i64` to `u64` may lose the sign of the value",
    ),
    plant("unfinished", "/// Planted.\npub fn later() { todo!() }", "`todo` should not be present"),
];

/// Must pass everywhere: `unwrap` is allowed in tests.
const CLEAN: &str = "\
//! Planted.

/// Planted.
pub fn first(list: &[u8]) -> Option<u8> { list.first().copied() }

#[cfg(test)]
mod tests {
    #[test]
    fn unwrap_is_for_tests() { assert_eq!(super::first(&[1]).unwrap(), 1); }
}
";

/// A workspace with our lints and one crate `name`, which holds each plant in a module of its own.
fn workspace(name: &str, plants: &[&Plant]) -> Scratch {
    let ours = Repository::current();
    let scratch = Scratch::empty();
    let lints = lint_sections(&ours.read("Cargo.toml".to_owned()).unwrap().text);
    scratch
        .write("Cargo.toml", &format!("[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n{lints}"));
    for path in ["clippy.toml".to_owned(), format!("crates/{name}/clippy.toml")] {
        if let Ok(file) = ours.read(path) {
            scratch.write(&file.path, &file.text);
        }
    }
    let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[lints]\nworkspace = true\n");
    scratch.write(&format!("crates/{name}/Cargo.toml"), &manifest);
    let mut modules = "//! Planted.\n\npub mod clean;\n".to_owned();
    scratch.write(&format!("crates/{name}/src/clean.rs"), CLEAN);
    for plant in plants {
        modules += &format!("pub mod {};\n", plant.name);
        scratch.write(
            &format!("crates/{name}/src/{}.rs", plant.name),
            &format!("//! Planted.\n\n{}\n", plant.code),
        );
    }
    scratch.write(&format!("crates/{name}/src/lib.rs"), &modules);
    scratch
}

/// The `[workspace.lints.…]` sections of a manifest, as they stand.
fn lint_sections(manifest: &str) -> String {
    let mut inside = false;
    let mut sections = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[workspace.lints");
        }
        if inside {
            sections += line;
            sections.push('\n');
        }
    }
    sections
}

/// What clippy says, by module: its complaints in one text.
fn complaints(scratch: &Scratch) -> BTreeMap<String, String> {
    let repository = scratch.repository();
    let arguments = ["clippy", "--offline", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let output = repository
        .cargo(&arguments)
        .env("CARGO_TARGET_DIR", repository.root.join("target"))
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut by_module = BTreeMap::new();
    for complaint in printed.split("\n\n") {
        let file = complaint.split(" --> ").nth(1).and_then(|rest| rest.split(':').next());
        if let Some(module) = file.and_then(|file| file.rsplit('/').next()?.strip_suffix(".rs")) {
            *by_module.entry(module.to_owned()).or_insert_with(String::new) += complaint;
        }
    }
    assert_eq!(output.status.success(), by_module.is_empty(), "{printed}");
    by_module
}

fn each_is_refused(plants: &[&Plant], complaints: &BTreeMap<String, String>) {
    for plant in plants {
        let complaint = complaints.get(plant.name).map_or("", String::as_str);
        assert!(
            complaint.contains(plant.refusal),
            "{} is not refused with its reason: {complaint}",
            plant.name
        );
    }
    assert_eq!(complaints.len(), plants.len(), "nothing else is refused: {:?}", complaints.keys());
}

#[test]
fn the_pure_crates_refuse_each_impurity_and_each_carelessness() {
    let plants: Vec<&Plant> = IMPURE.iter().chain(CARELESS).collect();
    for name in ["cairn-core", "cairn-node"] {
        each_is_refused(&plants, &complaints(&workspace(name, &plants)));
    }
}

#[test]
fn other_crates_may_do_io_and_refuse_each_carelessness() {
    let plants: Vec<&Plant> = IMPURE.iter().chain(CARELESS).collect();
    let careless: Vec<&Plant> = CARELESS.iter().collect();
    each_is_refused(&careless, &complaints(&workspace("cairn", &plants)));
}

#[test]
fn clean_code_is_accepted() {
    assert_eq!(complaints(&workspace("cairn-core", &[])), BTreeMap::new());
}

#[test]
fn the_pure_crates_ban_the_same() {
    let ours = Repository::current();
    let [core, node] =
        ["core", "node"].map(|name| ours.read(format!("crates/cairn-{name}/clippy.toml")).unwrap().text);
    assert_eq!(core, node);
}
