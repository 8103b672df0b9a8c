//! `cairn config show` and `cairn paths`: what is set, by whom, and where things lie.

use super::context::Context;
use crate::config::SETTINGS;
use crate::failure::CliError;
use crate::output::{self, Facts, Style, Table, left};
use crate::paths::Directories;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the settings.
    #[command(after_help = "Example:
  cairn config show --origin

A flag wins over a variable (CAIRN_NODE), a variable over cairn.toml, that over the default.")]
    Show {
        /// Say also who set each.
        #[arg(long)]
        origin: bool,
    },
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), CliError> {
    let Command::Show { origin } = command;
    let settings = &context.settings;
    if context.json {
        let shown = SETTINGS.iter().map(|setting| {
            let value = settings.get(setting.key);
            let value = if *origin {
                json!({ "value": value, "origin": settings.origin(setting.key).map(ToString::to_string) })
            } else {
                json!(value)
            };
            (setting.key.to_owned(), value)
        });
        output::print_json(&Value::Object(shown.collect::<Map<_, _>>()));
        return Ok(());
    }
    let mut table = Table::new(&[left("key"), left("value"), left("set by")]);
    for setting in SETTINGS {
        let (style, value) = match settings.get(setting.key) {
            Some(value) => (Style::Plain, value.to_owned()),
            None => (Style::Faint, "not set".to_owned()),
        };
        let who = settings.origin(setting.key).filter(|_| *origin).map(ToString::to_string);
        table.row([
            (Style::Strong, setting.key.to_owned()),
            (style, value),
            (Style::Faint, who.unwrap_or_default()),
        ]);
    }
    table.print();
    if !settings.file().exists() {
        output::note(&format!("{} does not exist", settings.file().display()));
    }
    Ok(())
}

/// Prints the directories. Also works where the settings are broken, to find out where they are.
pub(crate) fn paths(json: bool) -> Result<(), CliError> {
    let Directories { config, data, runtime } = Directories::of_user()?;
    let file = config.join("cairn.toml");
    let wallets = super::wallet::default_directory(&data);
    if json {
        output::print_json(
            &json!({ "config_file": file, "data_dir": data, "wallet_dir": wallets, "runtime_dir": runtime }),
        );
        return Ok(());
    }
    let mut facts = Facts::default();
    facts.add("settings", file.display().to_string());
    facts.add("chains", data.display().to_string());
    facts.add("wallets", wallets.display().to_string());
    facts.add("running nodes", runtime.display().to_string());
    facts.print();
    Ok(())
}
