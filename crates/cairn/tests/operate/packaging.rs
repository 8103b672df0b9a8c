//! What `packaging/` promises: the unit starts a node that its supervisor hears of, the dashboard and
//! the alerts ask for figures that a node has.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{NodeProcess, PATIENCE, genesis, get, key, program};
use serde_json::Value;

const UNIT: &str = include_str!("../../../../packaging/cairn.service");
const DASHBOARD: &str = include_str!("../../../../packaging/grafana-dashboard.json");
const ALERTS: &str = include_str!("../../../../packaging/alerts.yml");
const WATCH: &str = include_str!("../../../../docs/operate/watch.md");
const SCRAPE: &str = include_str!("../../../../packaging/prometheus.yml");

/// The names of labels, by the name of a figure.
type Figures = BTreeMap<String, BTreeSet<String>>;

/// The figures that a node has, after a request.
fn figures_of_a_node() -> Figures {
    let directory = tempfile::tempdir().unwrap();
    let genesis = genesis(2);
    let file = directory.path().join("genesis.toml");
    std::fs::write(&file, genesis.to_toml()).unwrap();
    let producer = key(0).address().to_text(genesis.rules().prefix());
    let mut node = NodeProcess::spawn(&file, &directory.path().join("data"), "manual", &producer);
    node.wait_ready().unwrap();
    let text = String::from_utf8(get(node.port, "/metrics").unwrap().body).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            (name.to_owned(), names.map(|(name, _)| name.to_owned()).collect())
        })
        .collect()
}

/// The words of an expression, each with what stands behind it.
fn words(expression: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        rest = &rest[start..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        found.push((&rest[..end], &rest[end..]));
        rest = &rest[end..];
    }
    found
}

/// What is wrong with an expression of PromQL.
fn complaints(expression: &str, figures: &Figures) -> Vec<String> {
    let mut complaints = Vec::new();
    for pair in ["()", "{}", "[]"] {
        let [open, close] = [0, 1].map(|at| expression.matches(&pair[at..=at]).count());
        if open != close {
            complaints.push(format!("{open} and {close} of {pair}"));
        }
    }
    for (name, behind) in words(expression).into_iter().filter(|(word, _)| word.starts_with("cairn_")) {
        let Some(labels) = figures.get(name) else {
            complaints.push(format!("no node has the figure {name}"));
            continue;
        };
        let selector = behind.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        for part in selector.map_or("", |(selector, _)| selector).split(',').filter(|part| !part.is_empty()) {
            let label = part.split(['=', '!']).next().unwrap().trim();
            // Prometheus itself adds these two.
            if !labels.contains(label) && !["instance", "job"].contains(&label) {
                complaints.push(format!("{name} has no label {label}"));
            }
        }
    }
    complaints
}

/// All texts under a key, at any depth.
fn texts_under(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text.clone()),
                    _ => texts_under(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts_under(item, key, found)),
        _ => {}
    }
}

#[test]
fn dashboard_and_alerts_ask_for_figures_that_a_node_has() {
    let figures = figures_of_a_node();
    let mut expressions = Vec::new();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    texts_under(&dashboard, "expr", &mut expressions);
    for query in dashboard["templating"]["list"].as_array().unwrap() {
        expressions.push(query["query"].as_str().unwrap().to_owned());
    }
    assert!(expressions.len() > 20, "{expressions:?}");
    let alerts = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned);
    let before = expressions.len();
    expressions.extend(alerts);
    assert_eq!(expressions.len() - before, ALERTS.matches("- alert: ").count());
    for expression in expressions {
        assert_eq!(complaints(&expression, &figures), [""; 0], "{expression}");
    }
    assert!(SCRAPE.contains("job_name: cairn\n") && SCRAPE.contains("\"127.0.0.1:7780\""));
    assert!(SCRAPE.contains("- alerts.yml") && DASHBOARD.contains("job=\\\"cairn\\\""));
}

#[test]
fn the_page_for_operators_names_every_figure_and_no_other() {
    let figures: BTreeSet<String> = figures_of_a_node().into_keys().collect();
    let named = words(WATCH).into_iter().map(|(word, _)| word.to_owned());
    let named: BTreeSet<String> =
        named.filter(|word| word.starts_with("cairn_") && word != "cairn_").collect();
    assert_eq!(named, figures);
    // And the dashboard shows each.
    let hidden: Vec<_> = figures.iter().filter(|name| !DASHBOARD.contains(name.as_str())).collect();
    assert!(
        hidden.iter().all(|name| *name == "cairn_http_panics_total"),
        "{hidden:?}: only an alert asks for it"
    );
}

#[test]
fn a_wrong_name_label_or_bracket_is_found() {
    let figures = Figures::from([("cairn_height".to_owned(), BTreeSet::from(["network".to_owned()]))]);
    assert_eq!(complaints("max(cairn_height{network=\"x\",job=\"y\"}) > 1", &figures), [""; 0]);
    for wrong in ["cairn_heights", "cairn_height{chain=\"x\"}", "max(cairn_height"] {
        assert_eq!(complaints(wrong, &figures).len(), 1, "{wrong}");
    }
}

/// What the supervisor hears until it hears `word`.
fn hear(socket: &UnixDatagram, word: &str) -> String {
    let mut heard = String::new();
    let mut bytes = [0; 1024];
    while !heard.contains(word) {
        let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{error} after {heard:?}"));
        heard += std::str::from_utf8(&bytes[..length]).unwrap();
        heard += "\n";
    }
    heard
}

/// The variables of the unit, with their directories below `root`.
fn environment(root: &Path) -> Vec<(String, String)> {
    let settings = UNIT.lines().filter_map(|line| line.strip_prefix("Environment="));
    let variables = settings.map(|setting| setting.split_once('=').unwrap());
    variables.map(|(name, path)| (name.to_owned(), format!("{}{path}", root.display()))).collect()
}

#[test]
fn a_node_of_the_unit_tells_its_supervisor_that_it_is_ready_lives_and_stops() {
    let root = tempfile::tempdir().unwrap();
    let configuration = root.path().join("etc/cairn");
    std::fs::create_dir_all(&configuration).unwrap();
    std::fs::create_dir_all(root.path().join("run")).unwrap();
    let genesis_file = configuration.join("genesis.toml");
    std::fs::write(&genesis_file, genesis(1).to_toml()).unwrap();
    let settings = format!("genesis = \"{}\"\napi_bind = \"127.0.0.1:0\"\n", genesis_file.display());
    std::fs::write(configuration.join("cairn.toml"), settings).unwrap();
    let path = root.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();

    let line = UNIT.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/cairn ")).unwrap();
    let mut child = Command::new(program())
        .args(line.split(' '))
        .env_clear()
        .envs(environment(root.path()))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = hear(&socket, "READY=1");
    assert!(ready.contains("STATUS=test at height 0, 127.0.0.1:"), "{ready}");
    for _ in 0..3 {
        hear(&socket, "WATCHDOG=1");
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    hear(&socket, "STOPPING=1");
    assert!(child.wait().unwrap().success());
    assert!(root.path().join("var/lib/cairn/test/state.redb").exists(), "the chain lies in StateDirectory");
}

#[test]
fn systemd_accepts_the_unit_where_it_is_there_to_ask() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cairn.service");
    // The program need not be installed for this.
    std::fs::write(&file, UNIT.replace("/usr/local/bin/cairn", "/bin/true")).unwrap();
    let Ok(asked) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else { return };
    let told = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!told.contains("cairn.service:"), "{told}");
}
