//! `cairn completions`: what makes a shell complete commands and flags.

use crate::failure::CliError;
use crate::output;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn completions bash > ~/.local/share/bash-completion/completions/cairn
  cairn completions zsh > ~/.zfunc/_cairn
  cairn completions fish > ~/.config/fish/completions/cairn.fish")]
pub(crate) struct Arguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn write(arguments: &Arguments, command: &mut clap::Command, json: bool) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "cairn", &mut script);
    let script = String::from_utf8_lossy(&script);
    if json {
        output::print_json(&serde_json::json!({ "shell": arguments.shell.to_string(), "script": script }));
    } else {
        output::print_text(&script);
    }
    Ok(())
}
