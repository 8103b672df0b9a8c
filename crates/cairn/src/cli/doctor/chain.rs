//! Whether the chain can be opened, or what the node on it says of itself.

use super::super::context::Context;
use super::super::local::{Local, cache_bytes, cannot_open_store};
use super::Finding;
use super::untouched::UntouchedDisk;
use crate::api::views::Readiness;
use crate::output::{bytes_text, plural};
use crate::paths::RunningNode;
use cairn_store::StoreError;
use cairn_store::backend::{Disk, RealDisk};
use cairn_store::ledger::{Ledger, Rebuilt, Settings};
use cairn_store::log::{self, Log};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the node may take to say whether it is ready.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest such answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const CHECK: &str = "chain";

pub(super) fn examine(local: Option<&Local>, node: Option<&RunningNode>, context: &Context) -> Vec<Finding> {
    let directory = local.map(|it| &it.directory).or_else(|| Some(&node?.data_dir));
    let mut findings = directory.map_or_else(Vec::new, |it| set_aside(it));
    match (node, local) {
        (Some(node), _) => findings.push(ask(node)),
        (None, Some(local)) => findings.extend(open(local, context)),
        (None, None) => {
            let help = "`cairn devnet` makes one to try";
            findings.push(Finding::unknown(CHECK, "none is kept here yet", help));
        }
    }
    findings
}

/// Parts that a start found damaged and put beside.
fn set_aside(directory: &Path) -> Vec<Finding> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let aside = names.filter(|name| name.contains(".damaged-"));
    aside
        .map(|name| {
            let path = directory.join(&name);
            let help = format!("look at the disk; then remove it: `rm -r {}`", path.display());
            Finding::warning(
                "set aside",
                format!("{name} was damaged, and the node went on without it"),
                help,
            )
        })
        .collect()
}

/// What the node says of itself. It answers with status 503 where it is not ready.
fn ask(node: &RunningNode) -> Finding {
    const CHECK: &str = "node";
    match readiness(&node.api) {
        None => Finding::wrong(
            CHECK,
            format!("process {} does not answer at {}", node.pid, node.api),
            format!("look at its log; `kill -9 {}` loses nothing that it acknowledged", node.pid),
        ),
        Some(Readiness { ready: true, .. }) => Finding::fine(CHECK, format!("ready at {}", node.api)),
        Some(Readiness { reasons, .. }) => Finding::wrong(
            CHECK,
            reasons.join("; "),
            "its log says more: `cairn log debug` makes it tell all",
        ),
    }
}

fn readiness(api: &str) -> Option<Readiness> {
    let host = api.strip_prefix("http://")?;
    let mut stream = TcpStream::connect_timeout(&host.parse().ok()?, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Opens the chain as a node would, under a layer of memory.
fn open(local: &Local, context: &Context) -> Vec<Finding> {
    let directory = &local.directory;
    let blocks = directory.join("blocks");
    if !blocks.is_dir() {
        return vec![Finding::fine(
            CHECK,
            format!("{} is empty: nothing was started yet", directory.display()),
        )];
    }
    // Meanwhile no node can start on it.
    let _lock = match RealDisk::open(directory) {
        Ok(lock) => lock,
        Err(error) => return vec![refused(&error, directory)],
    };
    let disk: Arc<dyn Disk> = Arc::new(UntouchedDisk::new(directory.clone()));
    let settings = Settings { cache_bytes: cache_bytes(context), ..Settings::default() };
    let mut findings = vec![match Ledger::open(&disk, &local.genesis, settings) {
        Err(error) => refused(&error, directory),
        Ok(opened) => {
            let height = opened.loaded.chain.last().map_or(0, |(_, header)| header.height.0);
            let message = format!("whole, with the database at height {height}");
            let replay = opened.replay_bytes;
            match opened.rebuilt {
                Some(rebuilt) => Finding::warning(
                    CHECK,
                    match rebuilt {
                        Rebuilt::Older => "the database has the format of an earlier release",
                        Rebuilt::Missing => "the database is missing",
                        // The first releases left rows without checksums, which now seem damaged.
                        Rebuilt::Damaged => "the database is damaged, or an early release wrote it",
                    },
                    "nothing is lost: the next start builds it again from the blocks",
                ),
                None if replay > 0 => Finding::fine(
                    CHECK,
                    format!("{message}; the next start replays {} of the log", bytes_text(replay)),
                ),
                None => Finding::fine(CHECK, message),
            }
            .with_torn(&opened.torn)
        }
    }];
    findings.extend(events(&disk, local));
    findings
}

impl Finding {
    /// Adds that a crash left a torn end, which is no damage.
    fn with_torn(mut self, torn: &[Option<log::Torn>]) -> Self {
        let bytes = torn.iter().flatten().map(|torn| torn.bytes).sum::<u64>();
        if bytes > 0 {
            self.message += &format!("; {} of a torn end go at the next start", plural(bytes, "byte"));
        }
        self
    }
}

fn events(disk: &Arc<dyn Disk>, local: &Local) -> Option<Finding> {
    if !local.directory.join("events").is_dir() {
        return None;
    }
    let identity = local.genesis.identity().0;
    let opened = disk
        .directory("events")
        .ok()
        .map(|directory| Log::open(directory, "events", identity, log::Settings::default(), None))?;
    opened.err().map(|error| {
        let help = "nothing is lost: the next start sets them aside, and listeners begin anew";
        Finding::warning("news", error.to_string(), help)
    })
}

fn refused(error: &StoreError, directory: &Path) -> Finding {
    let failure = cannot_open_store(error, directory);
    Finding::wrong(CHECK, format!("{}: {error}", failure.message()), failure.help_text())
}
