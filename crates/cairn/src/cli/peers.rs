//! `cairn peers`: the nodes that a node talks to, and whom it is told to meet.

use super::context::Context;
use crate::api::views::{BanView, KeptPeerView, PeerView, PeersAnswer, PeersRequest, Status};
use crate::failure::CliError;
use crate::output::{self, Style, Table, ago, grouped, left, plural, right, whole};
use crate::run::links::Who;
use crate::values::parse_duration;
use cairn_p2p::{NodeId, PeerAddress};
use std::net::SocketAddr;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn peers
  cairn peers add 192.0.2.1:7700
  cairn peers remove 192.0.2.1:7700
  cairn peers ban 192.0.2.7 --for 12h
  cairn peers unban 192.0.2.7
  cairn peers bans")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the nodes that are connected, and those to which a connection is kept.
    #[command(after_help = "Example:\n  cairn peers list --json")]
    List,
    /// Keep a connection to a node from now on, also after a restart.
    #[command(after_help = "Example:\n  cairn peers add 192.0.2.1:7700")]
    Add {
        /// Where it is: HOST:PORT, or ID@HOST:PORT.
        #[arg(value_name = "ADDRESS")]
        address: String,
    },
    /// Keep no connection to a node any more; or end the one to a node by its id.
    #[command(after_help = "Example:\n  cairn peers remove 192.0.2.1:7700")]
    Remove {
        /// The address that was added, or the id of a node that is connected.
        #[arg(value_name = "ADDRESS|ID")]
        address: String,
    },
    /// Talk to a node, or to a machine, no more.
    #[command(after_help = "Examples:\n  cairn peers ban 192.0.2.7\n  cairn peers ban 12D3KooW… --for 1h")]
    Ban {
        /// The id of a node, or an IP address; for IPv6 its /64 is banned.
        #[arg(value_name = "ID|IP")]
        who: String,
        /// How long [default: 24h].
        #[arg(long = "for", value_name = "DURATION")]
        time: Option<String>,
    },
    /// Lift a ban.
    #[command(after_help = "Example:\n  cairn peers unban 192.0.2.7")]
    Unban {
        /// Who is banned.
        #[arg(value_name = "ID|IP")]
        who: String,
    },
    /// List who is banned.
    #[command(after_help = "Example:\n  cairn peers bans --json")]
    Bans,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<(), CliError> {
    let request = PeersRequest::default();
    let (request, done) = match arguments.command {
        None | Some(Command::List) => return list(context),
        Some(Command::Bans) => return bans(context),
        Some(Command::Add { address }) => {
            parse_address(&address)?;
            let done = format!("a connection to {address} is kept from now on");
            (PeersRequest { add: Some(address), ..request }, done)
        }
        Some(Command::Remove { address }) => {
            if address.parse::<NodeId>().is_err() {
                parse_address(&address)?;
            }
            let done = format!("no connection to {address} is kept");
            (PeersRequest { remove: Some(address), ..request }, done)
        }
        Some(Command::Ban { who, time }) => {
            parse_who(&who)?;
            let seconds = time.as_deref().map(seconds).transpose()?;
            let done = format!("{who} is banned for {}", time.as_deref().unwrap_or("24h"));
            (PeersRequest { ban: Some(who), seconds, ..request }, done)
        }
        Some(Command::Unban { who }) => {
            parse_who(&who)?;
            let done = format!("{who} is banned no more");
            (PeersRequest { unban: Some(who), ..request }, done)
        }
    };
    let client = context.client()?;
    context.block_on(async {
        let answer: PeersAnswer = client.command("/v1/peers", &request).await?;
        if context.json {
            output::print_json(&answer);
        } else {
            output::print_line(&done);
        }
        Ok(())
    })
}

/// Refuses what is no address before anybody is asked.
fn parse_address(text: &str) -> Result<PeerAddress, CliError> {
    text.parse().map_err(|error| {
        CliError::usage("wrong-value", format!("`{text}` is no address of a node"))
            .because(&error)
            .help("such as `cairn peers add node.example:7700`; `cairn peers` lists those that are known")
    })
}

/// The same for whom a ban is about.
fn parse_who(text: &str) -> Result<Who, CliError> {
    text.parse().map_err(|error| {
        let help = match text.parse::<SocketAddr>() {
            Ok(address) => {
                format!("a whole machine is banned, without a port: `cairn peers ban {}`", address.ip())
            }
            Err(_) => "`cairn peers` and `cairn peers bans` list ids and addresses".to_owned(),
        };
        CliError::usage("wrong-value", format!("`{text}` is nobody to ban")).because(&error).help(help)
    })
}

/// The seconds of a duration, at least one.
fn seconds(text: &str) -> Result<u64, CliError> {
    let time = parse_duration(text)
        .map_err(|error| CliError::usage("wrong-value", format!("--for is \"{text}\": {error}")))?;
    Ok(time.as_secs().max(1))
}

fn list(context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    context.block_on(async {
        let peers: Vec<PeerView> = client.get("/v1/peers").await?;
        if context.json {
            output::print_json(&peers);
            return Ok(());
        }
        let kept: Vec<KeptPeerView> = client.get("/v1/peers/kept").await?;
        let sought: Vec<&KeptPeerView> = kept.iter().filter(|peer| !peer.connected).collect();
        if peers.is_empty() && sought.is_empty() {
            output::print_line(
                "no other node is connected; `cairn peers add HOST:PORT` keeps a connection to one",
            );
            return Ok(());
        }
        if !peers.is_empty() {
            print_peers(&peers);
        }
        if !sought.is_empty() {
            if !peers.is_empty() {
                output::print_line("");
            }
            print_sought(&sought);
        }
        let status: Status = client.get("/v1/status").await?;
        match status.reachable {
            Some(true) => output::note("other nodes can dial this one"),
            Some(false) => output::note("other nodes cannot dial this one: let its port in, and forward it"),
            None => {}
        }
        Ok(())
    })
}

fn print_peers(peers: &[PeerView]) {
    let now = super::account::now_ms();
    let mut table = Table::new(&[
        left("name"),
        left("role"),
        whole("address"),
        left("dialled"),
        right("height"),
        right("ping"),
        left("since"),
        whole("id"),
    ]);
    for peer in peers {
        table.row([
            (Style::Strong, peer.name.clone()),
            (Style::Plain, peer.roles.join(", ")),
            (Style::Name, peer.address.clone()),
            (Style::Plain, if peer.direction == "outbound" { "by us" } else { "by them" }.to_owned()),
            (Style::Plain, grouped(peer.height)),
            (Style::Plain, peer.ping_ms.map_or_else(String::new, |ping| format!("{ping} ms"))),
            (Style::Plain, ago(now, peer.since_ms)),
            (Style::Faint, peer.id.clone()),
        ]);
    }
    table.print();
}

fn print_sought(sought: &[&KeptPeerView]) {
    let mut table = Table::new(&[whole("not connected"), right("tries"), left("why")]);
    for peer in sought {
        let why = peer.last_failure.clone().unwrap_or_else(|| "it is being dialled".to_owned());
        table.row([
            (Style::Name, peer.address.clone()),
            (Style::Plain, peer.failures.to_string()),
            (Style::Warning, why),
        ]);
    }
    table.print();
}

fn bans(context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    context.block_on(async {
        let bans: Vec<BanView> = client.get("/v1/peers/bans").await?;
        if context.json {
            output::print_json(&bans);
        } else if bans.is_empty() {
            output::print_line("nobody is banned");
        } else {
            let now = super::account::now_ms();
            let mut table = Table::new(&[whole("banned"), left("for")]);
            for ban in &bans {
                let minutes = ban.until_ms.saturating_sub(now).div_ceil(60_000);
                let time = match (minutes / 60, minutes % 60) {
                    (0, minutes) => plural(minutes, "minute"),
                    (hours, _) => plural(hours, "hour"),
                };
                table.row([(Style::Name, ban.who.clone()), (Style::Plain, time)]);
            }
            table.print();
        }
        Ok(())
    })
}
