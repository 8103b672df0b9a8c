//! `cairn doctor`: what is wrong with this machine, the data directory or the node, and what to do.
//!
//! It changes nothing: the chain is opened under a layer of memory, and only the speed of the disk is
//! measured with a file of its own, which is gone afterwards.

mod access;
mod chain;
mod clock;
mod disk;
mod peers;
mod probe;
mod untouched;

use super::context::Context;
use super::local::{CONFIG_FILE, Local, LocalArguments};
use crate::failure::CliError;
use crate::output::{self, Style};
use crate::paths::{RunningNode, running_nodes};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn doctor
  cairn doctor --data-dir ~/.local/share/cairn/mycoin

It looks at clock, disk, access rights, ports, limits, the chain and other nodes, changes nothing, and ends with
status 1 if something is wrong. Where a node runs on the directory, or no chain is kept and nodes run here, that node or the
first of them is asked.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    local: LocalArguments,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Grade {
    /// All is well.
    Fine,
    /// It could not be found out.
    Unknown,
    /// It works, and may not for long, or not well.
    Warning,
    /// It does not work, or is not safe.
    Wrong,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    grade: Grade,
    message: String,
    /// What to do; empty where there is nothing to do.
    help: String,
}

impl Finding {
    fn fine(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, grade: Grade::Fine, message: message.into(), help: String::new() }
    }

    fn unknown(check: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, grade: Grade::Unknown, message: message.into(), help: help.into() }
    }

    fn warning(check: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, grade: Grade::Warning, message: message.into(), help: help.into() }
    }

    fn wrong(check: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, grade: Grade::Wrong, message: message.into(), help: help.into() }
    }
}

pub(crate) fn run(arguments: Arguments, mut context: Context) -> Result<(), CliError> {
    let local = match Local::find(arguments.local, &mut context) {
        Ok(local) => Some(local),
        // Before the first start there is a machine to look at, and no chain.
        Err(error) if error.code() == "no-network" => None,
        Err(error) => return Err(error),
    };
    if let Some(local) = &local {
        context.settings.take_network_file(&local.directory.join(CONFIG_FILE))?;
    }
    let running = running_nodes(&context.directories.runtime);
    let findings = examine(local.as_ref(), &running, &context);
    let worst = findings.iter().filter(|finding| finding.grade == Grade::Wrong).count();
    if context.json {
        output::print_json(&serde_json::json!({ "healthy": worst == 0, "findings": findings }));
    } else {
        print(&findings);
    }
    match worst {
        0 => Ok(()),
        _ => Err(CliError::failed("unhealthy", format!("{worst} findings are wrong")).told()),
    }
}

fn examine(local: Option<&Local>, running: &[RunningNode], context: &Context) -> Vec<Finding> {
    let directory = match (local, running) {
        (Some(local), _) => local.directory.clone(),
        // A node that keeps nothing here, such as the first of a devnet that leaves nothing behind.
        (None, [first, ..]) => first.data_dir.clone(),
        (None, []) => context.directories.data.clone(),
    };
    let node = running.iter().find(|node| is_same(&node.data_dir, &directory));
    let mut findings = Vec::new();
    findings.extend(clock::examine(local, context, node));
    findings.extend(disk::examine(&directory));
    findings.extend(access::examine(&directory, node, context));
    findings.extend(chain::examine(local, node, context));
    findings.extend(peers::examine(local, &directory, node, context));
    findings
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    real(one) == real(other)
}

fn print(findings: &[Finding]) {
    let colours = output::colours_on_stdout();
    for finding in findings {
        let (style, mark) = match finding.grade {
            Grade::Fine => (Style::Good, "fine   "),
            Grade::Unknown => (Style::Faint, "unknown"),
            Grade::Warning => (Style::Warning, "warning"),
            Grade::Wrong => (Style::Strong, "WRONG  "),
        };
        let check = format!("{:<11}", finding.check);
        output::print_line(&format!(
            "{}  {}  {}",
            style.paint(mark, colours),
            Style::Strong.paint(&check, colours),
            finding.message
        ));
        if !finding.help.is_empty() {
            output::print_line(&format!("{:>23}→ {}", "", finding.help));
        }
    }
}
