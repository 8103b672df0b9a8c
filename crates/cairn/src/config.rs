//! Settings: flag before environment before `cairn.toml` before default, each with its origin.
//!
//! A key that nobody knows is an error, and so is a value of the wrong kind: a setting that was
//! mistyped never silently means nothing.

use crate::failure::CliError;
use crate::run::SEALER_THREADS_MAX;
use crate::values;
use cairn_p2p::Features;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// The longest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The least that the database may cache.
const CACHE_BYTES_MIN: u64 = 1024 * 1024;
/// The levels of the log, from nothing to everything.
const LOG_LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// What a setting holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    File,
    Url,
    Socket,
    /// Where connections of other nodes are accepted, or nowhere.
    Link,
    /// Addresses of nodes, with commas between them.
    Peers,
    /// What a node is called.
    Name,
    /// A number of hashes.
    Work,
    Duration,
    Cache,
    Size,
    Log,
    Number,
    /// A number above 0 of 32 bits.
    Rate,
    Trust,
    Threads,
    /// Yes or no.
    #[cfg(any(feature = "mdns", feature = "upnp", feature = "autonat"))]
    Switch,
    OneOf(&'static [&'static str]),
}

/// A setting that exists.
#[derive(Debug)]
pub struct Setting {
    /// The key in `cairn.toml`; the flag has dashes for underlines, the variable is in capitals behind `CAIRN_`.
    pub key: &'static str,
    /// What it holds if nobody says anything; none for nothing.
    default: Option<&'static str>,
    kind: Kind,
}

/// The modes of making blocks, as people write them.
pub const MINE_CHOICES: &[&str] = &["on-transaction", "interval", "manual", "continuous"];
/// The roles of a node, as people write them.
pub const ROLE_CHOICES: &[&str] = &["full", "miner", "validator", "light", "tracker"];
/// How lines of the log look.
pub const LOG_FORMAT_CHOICES: &[&str] = &["text", "json"];

/// What says where a network is.
const NETWORK_KEYS: &[&str] = &["data_dir", "genesis"];

/// Every setting, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    Setting { key: "node", default: None, kind: Kind::Url },
    Setting { key: "token_file", default: None, kind: Kind::File },
    Setting { key: "node_cert", default: None, kind: Kind::Trust },
    Setting { key: "key_file", default: None, kind: Kind::File },
    Setting { key: "wallet", default: None, kind: Kind::Text },
    Setting { key: "wallet_dir", default: None, kind: Kind::File },
    Setting { key: "password_file", default: None, kind: Kind::File },
    Setting { key: "fee_rate", default: None, kind: Kind::Number },
    Setting { key: "timeout", default: Some("60s"), kind: Kind::Duration },
    Setting { key: "data_dir", default: None, kind: Kind::File },
    Setting { key: "genesis", default: None, kind: Kind::File },
    Setting { key: "name", default: None, kind: Kind::Name },
    Setting { key: "role", default: Some("full"), kind: Kind::OneOf(ROLE_CHOICES) },
    Setting { key: "p2p_bind", default: Some("0.0.0.0:7700"), kind: Kind::Link },
    Setting { key: "peers", default: None, kind: Kind::Peers },
    Setting { key: "trackers", default: None, kind: Kind::Peers },
    Setting { key: "addresses", default: None, kind: Kind::Peers },
    #[cfg(feature = "mdns")]
    Setting { key: "mdns", default: Some("false"), kind: Kind::Switch },
    #[cfg(feature = "upnp")]
    Setting { key: "upnp", default: Some("false"), kind: Kind::Switch },
    #[cfg(feature = "autonat")]
    Setting { key: "autonat", default: Some("false"), kind: Kind::Switch },
    Setting { key: "http_bind", default: None, kind: Kind::Socket },
    Setting { key: "ttl", default: None, kind: Kind::Duration },
    Setting { key: "minimum_work", default: None, kind: Kind::Work },
    Setting { key: "api_bind", default: Some("127.0.0.1:7780"), kind: Kind::Socket },
    Setting { key: "api_hosts", default: None, kind: Kind::Text },
    Setting { key: "api_tls_cert", default: None, kind: Kind::File },
    Setting { key: "api_tls_key", default: None, kind: Kind::File },
    Setting { key: "api_reads", default: Some("100"), kind: Kind::Rate },
    Setting { key: "api_writes", default: Some("50"), kind: Kind::Rate },
    Setting { key: "mine", default: None, kind: Kind::OneOf(MINE_CHOICES) },
    Setting { key: "producer", default: None, kind: Kind::Text },
    Setting { key: "miner_key", default: None, kind: Kind::File },
    Setting { key: "threads", default: Some("1"), kind: Kind::Threads },
    Setting { key: "cache", default: Some("64MiB"), kind: Kind::Cache },
    Setting { key: "log", default: Some("info"), kind: Kind::Log },
    Setting { key: "log_format", default: Some("text"), kind: Kind::OneOf(LOG_FORMAT_CHOICES) },
    Setting { key: "log_file", default: None, kind: Kind::File },
    Setting { key: "log_size", default: Some("16MiB"), kind: Kind::Size },
    Setting { key: "log_kept", default: Some("4"), kind: Kind::Number },
];

impl Setting {
    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("CAIRN_{}", self.key.to_ascii_uppercase())
    }

    /// The flag.
    pub fn flag(&self) -> String {
        // A flag names one, and may be given several times.
        let name = match self.key {
            "peers" => "peer",
            "trackers" => "tracker",
            "addresses" => "address",
            key => key,
        };
        format!("--{}", name.replace('_', "-"))
    }

    /// Checks a value; says what is expected if it is none.
    fn check(&self, value: &str) -> Result<(), String> {
        let told = |error: &dyn fmt::Display| error.to_string();
        match self.kind {
            Kind::Text | Kind::File if value.is_empty() => Err("a text that is not empty".to_owned()),
            Kind::Text | Kind::File => Ok(()),
            Kind::Url => values::NodeUrl::parse(value).map(drop).map_err(|error| told(&error)),
            Kind::Socket => check_socket(value),
            Kind::Link if value == "none" => Ok(()),
            Kind::Link => check_socket(value).map_err(|told| format!("{told}, or `none`")),
            Kind::Name => values::parse_name(value).map(drop).map_err(|error| told(&error)),
            Kind::Peers => values::parse_peers(value).map(drop).map_err(|error| told(&error)),
            Kind::Work => values::parse_work(value).map(drop).map_err(|error| told(&error)),
            Kind::Duration => values::parse_duration(value).map(drop).map_err(|error| told(&error)),
            Kind::Cache => match values::parse_size(value).map_err(|error| told(&error))? {
                found if found < CACHE_BYTES_MIN => Err("a cache has at least 1MiB".to_owned()),
                _ => Ok(()),
            },
            Kind::Size => values::parse_size(value).map(drop).map_err(|error| told(&error)),
            Kind::Log => check_log(value),
            Kind::Number => {
                value.parse::<u64>().map(drop).map_err(|_| "a whole number is expected".to_owned())
            }
            Kind::Rate => value
                .parse::<std::num::NonZeroU32>()
                .map(drop)
                .map_err(|_| "a whole number from 1 to 4294967295 is expected".to_owned()),
            Kind::Trust => values::NodeTrust::parse(value).map(drop).map_err(|error| told(&error)),
            Kind::Threads => match value.parse::<u16>() {
                Ok(1..=SEALER_THREADS_MAX) => Ok(()),
                _ => Err(format!("a number from 1 to {SEALER_THREADS_MAX} is expected")),
            },
            #[cfg(any(feature = "mdns", feature = "upnp", feature = "autonat"))]
            Kind::Switch if matches!(value, "true" | "false") => Ok(()),
            #[cfg(any(feature = "mdns", feature = "upnp", feature = "autonat"))]
            Kind::Switch => Err("true or false is expected".to_owned()),
            Kind::OneOf(choices) if choices.contains(&value) => Ok(()),
            Kind::OneOf(choices) => Err(format!("one of {} is expected", choices.join(", "))),
        }
    }
}

/// An address to listen on. Beyond loopback the interface speaks TLS, so all of them are good.
fn check_socket(value: &str) -> Result<(), String> {
    let parsed = value.parse::<SocketAddr>().map(drop);
    parsed.map_err(|_| "an address and a port, such as 127.0.0.1:7780, are expected".to_owned())
}

/// A filter of `tracing`: a level, or targets with their levels. A word that is neither would silently
/// switch the log off.
fn check_log(value: &str) -> Result<(), String> {
    let is_level = |text: &str| LOG_LEVELS.contains(&text.to_ascii_lowercase().as_str());
    let is_directive = |text: &str| match text.rsplit_once('=') {
        Some((_, level)) => is_level(level),
        None => is_level(text) || text.starts_with("cairn"),
    };
    if value.split(',').all(|text| is_directive(text.trim())) {
        return Ok(());
    }
    Err(format!("one of {} is expected, or targets with levels, such as cairn=debug", LOG_LEVELS.join(", ")))
}

/// The variables that look like one of ours and are none, each with the one that was probably meant.
pub fn mistyped_variables(names: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
    let keys: Vec<&str> =
        SETTINGS.iter().map(|setting| setting.key).chain(["config", "password", "backup_password"]).collect();
    let meant = |name: &String| {
        let key = name.strip_prefix("CAIRN_")?.to_ascii_lowercase();
        let near = values::nearest(&key, keys.iter().copied()).filter(|near| *near != key)?;
        Some(format!("CAIRN_{}", near.to_ascii_uppercase()))
    };
    names.into_iter().filter_map(|name| meant(&name).map(|meant| (name, meant))).collect()
}

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command.
    Flag(String),
    /// A variable of the environment.
    Environment(String),
    /// A line of the file.
    File(PathBuf, usize),
    /// Nobody: the program's own choice.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// All settings with their origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
    file: PathBuf,
}

impl Settings {
    /// Reads `file`, which must exist if it was `asked` for, and the environment.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not TOML, or has an unknown key or a wrong value; or if a
    /// variable has a wrong value.
    pub fn load(
        file: &Path,
        asked: bool,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CliError> {
        let mut settings = Self { values: BTreeMap::new(), file: file.to_owned() };
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                settings.values.insert(setting.key, (default.to_owned(), Origin::Default));
            }
        }
        if let Some(text) = read(file, asked)? {
            settings.take_file(&text)?;
        }
        for setting in SETTINGS {
            let variable = setting.variable();
            let Some(value) = environment(&variable).filter(|value| !value.is_empty()) else {
                continue;
            };
            setting.check(&value).map_err(|expected| wrong_value(&variable, &value, &expected))?;
            settings.values.insert(setting.key, (value, Origin::Environment(variable)));
        }
        Ok(settings)
    }

    /// Puts the value of a flag before all others.
    ///
    /// # Errors
    ///
    /// If the value is of the wrong kind.
    pub fn flag(&mut self, key: &'static str, value: Option<String>) -> Result<(), CliError> {
        let setting = SETTINGS.iter().find(|setting| setting.key == key).expect("only known keys have flags");
        if let Some(value) = value {
            let flag = setting.flag();
            setting.check(&value).map_err(|expected| wrong_value(&flag, &value, &expected))?;
            self.values.insert(setting.key, (value, Origin::Flag(flag)));
        }
        Ok(())
    }

    /// The value of a setting; none if nobody set it and it has no default.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(value, _)| value.as_str())
    }

    /// Who set a setting; none if nobody did and it has no default.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.values.get(key).map(|(_, origin)| origin)
    }

    /// The configuration file, whether it exists or not.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Takes the settings of a network, from the file in its directory: they go before those that are for all
    /// networks, and behind flags and the environment. A file that is not there says nothing.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); and if the file says where the network is, which is known already.
    pub fn take_network_file(&mut self, file: &Path) -> Result<(), CliError> {
        // Who keeps all settings in that directory has said everything already.
        let is_read =
            file.canonicalize().is_ok_and(|file| self.file.canonicalize().is_ok_and(|it| it == file));
        if is_read {
            return Ok(());
        }
        let Some(text) = read(file, false)? else { return Ok(()) };
        let mut own = Self { values: BTreeMap::new(), file: file.to_owned() };
        own.take_file(&text)?;
        for (key, (value, origin)) in own.values {
            if NETWORK_KEYS.contains(&key) {
                let message = format!("{origin}: a network's own settings cannot set `{key}`");
                return Err(CliError::usage("config-key", message).help("take the line out"));
            }
            let is_said = |origin: &Origin| matches!(origin, Origin::Flag(_) | Origin::Environment(_));
            if !self.origin(key).is_some_and(is_said) {
                self.values.insert(key, (value, origin));
            }
        }
        Ok(())
    }

    /// Takes the settings of the file's text.
    fn take_file(&mut self, text: &str) -> Result<(), CliError> {
        let name = self.file.display().to_string();
        let table = DeTable::parse(text).map_err(|error| {
            CliError::usage("config-syntax", format!("{name} is not TOML")).at(
                &name,
                text,
                error.span().unwrap_or(0..0),
                error.message(),
            )
        })?;
        for (key, value) in table.get_ref() {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key.get_ref().as_ref()) else {
                return Err(unknown_key(&name, text, key.get_ref(), key.span()));
            };
            let found = match value.get_ref() {
                DeValue::String(found) => found.to_string(),
                DeValue::Integer(found) => found.to_string(),
                #[cfg(any(feature = "mdns", feature = "upnp", feature = "autonat"))]
                DeValue::Boolean(found) if matches!(setting.kind, Kind::Switch) => found.to_string(),
                _ => String::new(),
            };
            setting.check(&found).map_err(|expected| {
                CliError::usage("config-value", format!("`{}` has a wrong value", setting.key)).at(
                    &name,
                    text,
                    value.span(),
                    expected,
                )
            })?;
            let line = text.get(..key.span().start).unwrap_or_default().matches('\n').count() + 1;
            self.values.insert(setting.key, (found, Origin::File(self.file.clone(), line)));
        }
        Ok(())
    }
}

fn unknown_key(file: &str, text: &str, key: &str, span: std::ops::Range<usize>) -> CliError {
    let keys = SETTINGS.iter().map(|setting| setting.key);
    let is_feature = Features::ALL.iter().any(|(feature, _)| *feature == key);
    let help = match values::nearest(key, keys.clone()) {
        _ if is_feature => {
            format!("this program is built without it: `cargo build --release --features {key}`")
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys are {}", keys.collect::<Vec<_>>().join(", ")),
    };
    CliError::usage("config-key", format!("`{key}` is no setting"))
        .at(file, text, span, "unknown key")
        .help(help)
}

fn wrong_value(where_from: &str, value: &str, expected: &str) -> CliError {
    CliError::usage("wrong-value", format!("{where_from} is \"{value}\": {expected}"))
}

/// The text of the file; none if it does not exist and nobody asked for it.
fn read(file: &Path, asked: bool) -> Result<Option<String>, CliError> {
    let unreadable = |error: &std::io::Error| {
        CliError::usage("config-unreadable", format!("{} cannot be read", file.display())).because(error)
    };
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            let limit = FILE_BYTES_MAX;
            let message =
                format!("{} has {} bytes, at most {limit} are read", file.display(), metadata.len());
            return Err(CliError::usage("config-too-large", message));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(file).map(Some).map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, CliError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cairn.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(&file, true, |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let text = "\n# mine\ntimeout = \"5s\"\nnode = \"http://127.0.0.1:1\"\n";
        let mut settings = load(text, &[("CAIRN_NODE", "http://127.0.0.1:2")]).unwrap();
        assert_eq!(settings.get("cache"), Some("64MiB"));
        assert_eq!(settings.origin("cache"), Some(&Origin::Default));
        assert_eq!(settings.get("timeout"), Some("5s"));
        assert!(matches!(settings.origin("timeout"), Some(Origin::File(_, 3))));
        assert_eq!(settings.get("node"), Some("http://127.0.0.1:2"));
        assert_eq!(settings.origin("node"), Some(&Origin::Environment("CAIRN_NODE".to_owned())));
        settings.flag("node", Some("http://127.0.0.1:3".to_owned())).unwrap();
        assert_eq!(settings.get("node"), Some("http://127.0.0.1:3"));
        assert_eq!(settings.origin("node").unwrap().to_string(), "flag --node");
        settings.flag("node", None).unwrap();
        assert_eq!(settings.get("node"), Some("http://127.0.0.1:3"));
    }

    #[test]
    fn a_key_that_nobody_knows_is_an_error_with_a_guess() {
        let error = load("nod = \"http://127.0.0.1:1\"\n", &[]).unwrap_err();
        assert_eq!(error.code(), "config-key");
        let error = load("[node]\nurl = 1\n", &[]).unwrap_err();
        assert_eq!(error.code(), "config-value");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error_wherever_it_comes_from() {
        for text in
            ["timeout = \"soon\"", "node = \"ftp://x\"", "role = \"king\"", "cache = true", "mine = 3"]
        {
            assert_eq!(load(text, &[]).unwrap_err().code(), "config-value", "{text}");
        }
        for text in [
            "cache = 4096",
            "cache = \"1KiB\"",
            "api_bind = \"0.0.0.0\"",
            "log = \"loud\"",
            "log = \"a=b\"",
            "threads = 0",
            "threads = 257",
            "threads = \"all\"",
        ] {
            assert_eq!(load(text, &[]).unwrap_err().code(), "config-value", "{text}");
        }
        for text in [
            "cache = \"1MiB\"",
            "threads = 256",
            "api_bind = \"[::1]:0\"",
            "log = \"warn,cairn=debug\"",
            "log = \"INFO\"",
        ] {
            load(text, &[]).unwrap();
        }
        assert_eq!(load("", &[("CAIRN_TIMEOUT", "soon")]).unwrap_err().code(), "wrong-value");
        let mut settings = load("", &[]).unwrap();
        let error = settings.flag("role", Some("king".to_owned())).unwrap_err();
        assert!(error.message().contains("full, miner"), "{error}");
    }

    #[test]
    fn a_variable_that_is_nearly_one_of_ours_is_named() {
        let names =
            ["CAIRN_NOD", "CAIRN_DATADIR", "CAIRN_NODE", "CAIRN_CONFIG", "CAIRN_BIN", "PATH", "CAIRN_"];
        let found = mistyped_variables(names.map(str::to_owned));
        let expected = [("CAIRN_NOD", "CAIRN_NODE"), ("CAIRN_DATADIR", "CAIRN_DATA_DIR")];
        assert_eq!(found, expected.map(|(name, meant)| (name.to_owned(), meant.to_owned())));
    }

    #[test]
    fn the_file_of_a_network_goes_before_the_one_for_all_and_behind_flags() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cairn.toml");
        let text = "timeout = \"5s\"\ncache = \"2MiB\"\nlog = \"warn\"\n";
        let mut settings = load(text, &[("CAIRN_LOG", "debug")]).unwrap();
        settings.flag("role", Some("miner".to_owned())).unwrap();
        settings.take_network_file(&file).unwrap();
        std::fs::write(&file, "cache = \"3MiB\"\nlog = \"error\"\nrole = \"full\"\nname = \"a\"\n").unwrap();
        settings.take_network_file(&file).unwrap();
        let values = ["timeout", "cache", "log", "role", "name"].map(|key| settings.get(key).unwrap());
        assert_eq!(values, ["5s", "3MiB", "debug", "miner", "a"]);
        assert_eq!(settings.origin("cache"), Some(&Origin::File(file.clone(), 1)));
        for wrong in ["data_dir = \"/x\"", "genesis = \"x.toml\"", "nam = \"a\""] {
            std::fs::write(&file, wrong).unwrap();
            assert_eq!(settings.take_network_file(&file).unwrap_err().code(), "config-key", "{wrong}");
        }
        std::fs::write(&file, "data_dir = \"/x\"").unwrap();
        let mut settings = Settings::load(&file, true, |_| None).unwrap();
        settings.take_network_file(&file).unwrap();
        assert_eq!(settings.get("data_dir"), Some("/x"), "it is the file for all networks");
    }

    #[test]
    fn a_file_that_nobody_asked_for_may_be_missing() {
        let missing = Path::new("/nonexistent/cairn.toml");
        assert!(Settings::load(missing, false, |_| None).is_ok());
        assert_eq!(Settings::load(missing, true, |_| None).unwrap_err().code(), "config-unreadable");
    }

    #[test]
    #[cfg(feature = "mdns")]
    fn a_switch_is_true_or_false() {
        assert_eq!(load("", &[]).unwrap().get("mdns"), Some("false"));
        for text in ["mdns = true", "mdns = \"true\""] {
            assert_eq!(load(text, &[]).unwrap().get("mdns"), Some("true"), "{text}");
        }
        for text in ["mdns = 1", "mdns = \"yes\"", "mdns = []"] {
            assert_eq!(load(text, &[]).unwrap_err().code(), "config-value", "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_an_error() {
        assert_eq!(load("node = ", &[]).unwrap_err().code(), "config-syntax");
    }
}
