//! Whether the clock can be right: a node whose clock is wrong makes blocks that others hold back.

use super::super::account::now_ms;
use super::super::context::Context;
use super::super::local::Local;
use super::Finding;
use crate::api::views::Status;
use crate::client::Client;
use crate::output::ago;
use crate::paths::RunningNode;
use crate::values::NodeUrl;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// How far in the future a file may seem to be written, as file systems count coarsely.
const SLACK: Duration = Duration::from_secs(5);
/// What systemd-timesyncd leaves where it has set the clock.
const TIMESYNC_MARK: &str = "/run/systemd/timesync/synchronized";
pub(super) const SET_CLOCK: &str = "set the clock, and keep it right: `timedatectl set-ntp true`";

pub(super) fn examine(local: Option<&Local>, context: &Context, node: Option<&RunningNode>) -> Vec<Finding> {
    vec![against_files(local), against_tip(context, node), synchronisation()]
}

/// The clock against what was written before: it must not lie behind.
fn against_files(local: Option<&Local>) -> Finding {
    const CHECK: &str = "clock";
    let Some(local) = local else {
        return Finding::unknown(CHECK, "no chain says what time it was before", "");
    };
    let began = local.genesis.block().header.time.0;
    if now_ms() < began {
        let message =
            format!("the network began in the future: the clock lies {} ms behind", began - now_ms());
        return Finding::wrong(CHECK, message, SET_CLOCK);
    }
    match newest_write(&local.directory) {
        None => Finding::fine(CHECK, "after the beginning of the network"),
        Some(written) => match written.duration_since(SystemTime::now()) {
            Ok(ahead) if ahead > SLACK => Finding::wrong(
                CHECK,
                format!(
                    "files of the chain were written {} s in the future: it was set back",
                    ahead.as_secs()
                ),
                SET_CLOCK,
            ),
            _ => Finding::fine(CHECK, "after everything that was written"),
        },
    }
}

/// When something in the directory, or in a directory of it, was last written.
fn newest_write(directory: &Path) -> Option<SystemTime> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let all = entries(directory).flat_map(|entry| {
        let inner: Vec<_> = entries(&entry.path()).collect();
        std::iter::once(entry).chain(inner)
    });
    all.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max()
}

/// The clock against the newest block of a node that runs.
fn against_tip(context: &Context, node: Option<&RunningNode>) -> Finding {
    const CHECK: &str = "newest block";
    let Some(url) = node.and_then(|node| NodeUrl::parse(&node.api).ok()) else {
        return Finding::unknown(CHECK, "no node runs here to ask", "");
    };
    let client = Client::new(url, None);
    let status = context.block_on(async { Ok(client.get::<Status>("/v1/status").await?) });
    match status {
        Err(error) => Finding::wrong(CHECK, error.message(), "the log of the node says what happened"),
        Ok(status) => {
            let now = now_ms();
            let message = format!("{}, at height {}", ago(now, status.tip_time_ms), status.height);
            // A block is held back where it comes from further ahead than this.
            let ahead_max = (2 * status.interval_ms).clamp(15_000, 120_000);
            if status.tip_time_ms > now.saturating_add(ahead_max) {
                Finding::wrong(CHECK, message, SET_CLOCK)
            } else {
                Finding::fine(CHECK, message)
            }
        }
    }
}

/// Whether something keeps the clock right.
fn synchronisation() -> Finding {
    const CHECK: &str = "time service";
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let answer = asked.ok().filter(|asked| asked.status.success());
    match answer.as_ref().map(|answer| answer.stdout.trim_ascii()) {
        Some(b"yes") => Finding::fine(CHECK, "the clock is synchronised"),
        _ if Path::new(TIMESYNC_MARK).exists() => Finding::fine(CHECK, "the clock was synchronised"),
        Some(b"no") => Finding::warning(CHECK, "the clock is not synchronised", SET_CLOCK),
        _ => Finding::unknown(
            CHECK,
            "nobody here says whether the clock is synchronised",
            "compare it with another: `date -u`; in a container that of the host counts",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Grade;
    use cairn_core::genesis::{GenesisDraft, GenesisParts};
    use cairn_core::network::Mode;
    use cairn_core::numbers::Timestamp;
    use cairn_core::target::CompactTarget;

    fn local(directory: &Path, began: u64) -> Local {
        let mut parts = GenesisParts::new("test", Mode::Pow, true);
        let easy = CompactTarget(0x2000_ffff);
        (parts.section.first_target, parts.section.target_limit) = (easy, easy);
        parts.first_block.target = easy;
        parts.first_block.time = Timestamp(began);
        let draft = GenesisDraft::new(parts).unwrap();
        let nonce = draft.find_nonce(0..1 << 20).unwrap();
        Local { genesis: draft.seal(nonce).unwrap(), directory: directory.to_owned() }
    }

    #[test]
    fn a_clock_behind_the_files_or_the_network_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let now = now_ms();
        assert_eq!(against_files(Some(&local(directory.path(), now - 1_000))).grade, Grade::Fine);
        assert_eq!(against_files(Some(&local(directory.path(), now + 60_000))).grade, Grade::Wrong);

        std::fs::create_dir(directory.path().join("blocks")).unwrap();
        let file = std::fs::File::create(directory.path().join("blocks/blocks-000000.log")).unwrap();
        assert_eq!(against_files(Some(&local(directory.path(), now - 1_000))).grade, Grade::Fine);
        file.set_modified(SystemTime::now() + Duration::from_secs(600)).unwrap();
        let found = against_files(Some(&local(directory.path(), now - 1_000)));
        assert_eq!(found.grade, Grade::Wrong);
        assert!(found.message.contains("set back") && found.help.contains("timedatectl"), "{found:?}");
    }
}
