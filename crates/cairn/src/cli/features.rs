//! Flags of what a node does only where the program is built for it.

use crate::config::Settings;
use crate::failure::CliError;
use cairn_p2p::Features;

/// What a node does beyond what every node does.
#[derive(Debug, clap::Args)]
pub(crate) struct FeatureArguments {
    /// Find nodes of the same local network, and be found there.
    #[cfg(feature = "mdns")]
    #[arg(long)]
    mdns: bool,
    #[command(flatten)]
    reach: ReachArguments,
}

/// What a node or a tracker does to be reached, and to know whether it is.
#[derive(Debug, clap::Args)]
pub(crate) struct ReachArguments {
    /// Ask the router to forward the port for other nodes.
    #[cfg(feature = "upnp")]
    #[arg(long)]
    upnp: bool,
    /// Ask other nodes whether they can dial this one, and dial those who ask.
    #[cfg(feature = "autonat")]
    #[arg(long)]
    autonat: bool,
}

impl FeatureArguments {
    /// Puts what was said before all other settings.
    pub(crate) fn take(self, settings: &mut Settings) -> Result<(), CliError> {
        #[cfg(feature = "mdns")]
        settings.flag("mdns", switched(self.mdns))?;
        self.reach.take(settings)
    }

    /// What the settings ask for.
    #[cfg_attr(
        not(any(feature = "mdns", feature = "upnp", feature = "autonat")),
        expect(unused_variables, reason = "this build has none of the features")
    )]
    pub(crate) fn chosen(settings: &Settings) -> Features {
        Features {
            #[cfg(feature = "mdns")]
            mdns: settings.get("mdns") == Some("true"),
            #[cfg(feature = "upnp")]
            upnp: settings.get("upnp") == Some("true"),
            #[cfg(feature = "autonat")]
            autonat: settings.get("autonat") == Some("true"),
        }
    }
}

impl ReachArguments {
    /// The same.
    #[cfg_attr(
        not(any(feature = "upnp", feature = "autonat")),
        expect(
            unused_variables,
            clippy::unnecessary_wraps,
            reason = "this build has neither of the features"
        )
    )]
    pub(crate) fn take(self, settings: &mut Settings) -> Result<(), CliError> {
        #[cfg(feature = "upnp")]
        settings.flag("upnp", switched(self.upnp))?;
        #[cfg(feature = "autonat")]
        settings.flag("autonat", switched(self.autonat))?;
        Ok(())
    }
}

/// A flag that is not given says nothing.
#[cfg(any(feature = "mdns", feature = "upnp", feature = "autonat"))]
fn switched(is_given: bool) -> Option<String> {
    is_given.then(|| "true".to_owned())
}

/// What to say of a flag that this build does not have because of a feature; none of others.
pub(crate) fn missing(name: &str) -> Option<CliError> {
    let key = name.trim_start_matches("--");
    let (feature, _) = Features::ALL.into_iter().find(|(feature, is_built)| *feature == key && !is_built)?;
    let message = format!("this program is built without `{feature}`");
    let help = format!("build it with that: `cargo build --release --features {feature}`");
    Some(CliError::usage("not-built-in", message).help(help))
}
