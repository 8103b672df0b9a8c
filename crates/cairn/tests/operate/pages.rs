//! The commands of `docs/operate`, typed word for word.

use crate::home::{Home, Node};

const RUN: &str = include_str!("../../../../docs/operate/run.md");
const WATCH: &str = include_str!("../../../../docs/operate/watch.md");
const BACK_UP: &str = include_str!("../../../../docs/operate/back-up.md");
const UNINSTALL: &str = include_str!("../../../../docs/operate/uninstall.md");

/// The code blocks of a page that are marked with `mark`.
fn blocks<'a>(page: &'a str, mark: &str) -> Vec<&'a str> {
    let opening = format!("\n```{mark}\n");
    page.split(&opening).skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect()
}

/// A network of one miner, in which bob has been paid.
fn mycoin(home: &Home) -> Node {
    std::fs::create_dir_all(home.path(".config/cairn")).unwrap();
    std::fs::write(home.path(".config/cairn/cairn.toml"), "api_bind = \"127.0.0.1:0\"\n").unwrap();
    home.shell("cairn genesis new --name mycoin --symbol MYC --devnet --allocate alice=1000 --reward 50");
    let miner = ["--role", "miner", "--producer", "alice", "--mine", "on-transaction"];
    let node = home.start(&[&["node", "--genesis", "mycoin.toml"], &miner[..]].concat());
    home.shell("cairn send --from alice --to bob --amount 5 --wait");
    node
}

#[test]
fn a_backup_of_a_running_node_is_restored_elsewhere_and_a_stopped_one_is_copied() {
    let home = Home::new();
    let node = mycoin(&home);
    let [export, copy] = blocks(BACK_UP, "sh").try_into().unwrap();
    home.shell(export);
    let elsewhere = Home::new();
    let backup = home.path("backup");
    elsewhere.shell(&format!("cp -r {} backup", backup.display()));
    let [restore] = blocks(BACK_UP, "sh restore").try_into().unwrap();
    let told = elsewhere.shell(restore);
    assert!(told.contains("mycoin.blocks: OK") && told.contains("valid"), "{told}");

    home.shell(copy);
    node.wait();
    let (here, _) = home.json(&["verify"]);
    let (there, _) = elsewhere.json(&["verify"]);
    assert!(here["height"].as_u64().unwrap() >= 1, "{here}");
    for field in ["identity", "height", "tip", "transactions", "supply"] {
        assert_eq!(here[field], there[field], "{field}");
    }
    // The restored chain goes on.
    std::fs::create_dir_all(elsewhere.path(".config/cairn")).unwrap();
    std::fs::copy(home.path(".config/cairn/cairn.toml"), elsewhere.path(".config/cairn/cairn.toml")).unwrap();
    let miner = ["node", "--role", "miner", "--producer", "alice", "--mine", "on-transaction"];
    let _node = elsewhere.start(&miner);
    let told = elsewhere.shell("cairn send --from alice --to bob --amount 5 --wait; cairn account bob");
    assert!(told.contains("10"), "{told}");
}

#[test]
fn the_log_and_the_machine_are_looked_at_and_everything_is_removed() {
    let home = Home::new();
    let node = mycoin(&home);
    for block in blocks(RUN, "sh") {
        home.shell(block);
    }
    let [log] = blocks(WATCH, "sh").try_into().unwrap();
    assert_eq!(home.shell(log), "info\ndebug\ninfo\n");

    let [paths] = blocks(UNINSTALL, "sh").try_into().unwrap();
    let told = home.shell(paths);
    let [remove] = blocks(UNINSTALL, "sh uninstall").try_into().unwrap();
    home.shell(remove);
    node.wait();
    for name in [".local/share/cairn", ".config/cairn", "run/cairn"] {
        let place = home.path(name);
        assert!(told.contains(place.to_str().unwrap()), "{told}");
        assert!(!place.exists(), "{name}");
    }
}
