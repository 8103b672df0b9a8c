//! `cairn man`: the manual page of a command, from the same text as its help.

use super::VERSION;
use crate::failure::CliError;
use crate::output;
use clap_mangen::Man;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn man wallet history | man -l -
  cairn man --to ~/.local/share/man/man1        # then `man cairn`, `man cairn-send`")]
pub(crate) struct Arguments {
    /// The command, such as `wallet history`; left out, cairn itself.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands into this directory, which is made if it is missing.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    to: Option<PathBuf>,
}

pub(crate) fn write(arguments: &Arguments, program: clap::Command, json: bool) -> Result<(), CliError> {
    // Without the commands `help`, whose pages would say nothing.
    let mut program = program.disable_help_subcommand(true);
    program.build();
    match &arguments.to {
        Some(directory) => write_all(directory, program, json),
        None => print(&arguments.command, &program, json),
    }
}

fn print(words: &[String], program: &clap::Command, json: bool) -> Result<(), CliError> {
    let mut command = program;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            CliError::usage("unknown-command", format!("`{}` has no command `{word}`", command.get_name()))
                .help("`cairn --help` lists the commands")
        })?;
    }
    let mut page = Vec::new();
    let man = manual(command.clone());
    man.render(&mut page).expect("memory takes every byte");
    let page = String::from_utf8_lossy(&page);
    if json {
        output::print_json(&json!({ "name": man.get_filename(), "page": page }));
    } else {
        output::print_text(&page);
    }
    Ok(())
}

fn manual(command: clap::Command) -> Man {
    Man::new(command).source(format!("cairn {VERSION}")).manual("Cairn")
}

fn write_all(directory: &Path, program: clap::Command, json: bool) -> Result<(), CliError> {
    let mut names = Vec::new();
    let written =
        std::fs::create_dir_all(directory).and_then(|()| write_pages(directory, program, &mut names));
    written.map_err(|error| {
        let message = format!("manual pages cannot be written to {}", directory.display());
        CliError::failed("unwritable-file", message).because(&error)
    })?;
    if json {
        output::print_json(&json!({ "directory": directory, "pages": names }));
    } else {
        output::print_text(&format!("{} manual pages are in {}\n", names.len(), directory.display()));
    }
    Ok(())
}

/// The page of a command, then those of the commands below it.
fn write_pages(directory: &Path, command: clap::Command, names: &mut Vec<String>) -> std::io::Result<()> {
    let below: Vec<_> = command.get_subcommands().filter(|it| !it.is_hide_set()).cloned().collect();
    let man = manual(command);
    man.generate_to(directory)?;
    names.push(man.get_filename());
    below.into_iter().try_for_each(|command| write_pages(directory, command, names))
}
