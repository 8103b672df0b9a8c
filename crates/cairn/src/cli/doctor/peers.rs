//! Whether others can be met: the port for them, what is known of them, and whom the node or its settings name.

use super::super::context::Context;
use super::super::local::Local;
use super::Finding;
use super::clock::SET_CLOCK;
use super::probe::{self, Answer};
use crate::api::views::{InviteView, KeptPeerView, PeerView, Status, SyncView};
use crate::cli::account::now_ms;
use crate::cli::catching_up::sync_text;
use crate::failure::CliError;
use crate::output::{plural, time_text};
use crate::paths::RunningNode;
use crate::run::links::{ADDRESSES_FILE, KEY_FILE, read_added};
use crate::values::{NodeUrl, parse_peers};
use cairn_p2p::{AddressBook, Host, NodeKey, PeerAddress};
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

/// The most bytes of an address book that are read; a full one has less.
const BOOK_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most nodes about each of which there is a finding of its own.
const TOLD_MAX: usize = 8;
/// Clocks that differ by less are right: a greeting may take a moment.
const CLOCK_MS_MAX: u64 = 5_000;
/// From so many peers on, their clocks are believed rather than the own one.
const CLOCKS_BELIEVED: usize = 3;
/// After so long somebody should have come to a node that others can reach.
const COME_WITHIN_MS: u64 = 10 * 60 * 1_000;

pub(super) fn examine(
    local: Option<&Local>,
    directory: &Path,
    node: Option<&RunningNode>,
    context: &Context,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(key(&directory.join(KEY_FILE)));
    findings.extend(address_book(&directory.join(ADDRESSES_FILE)));
    let listed = |key| {
        let list = context.settings.get(key).map(parse_peers);
        list.and_then(Result::ok).unwrap_or_default()
    };
    let mut named = listed("trackers");
    match node {
        Some(node) => findings.extend(ask(node, context)),
        None => {
            findings.push(port(context.settings.get("p2p_bind").unwrap_or("none")));
            named.extend(listed("peers"));
            match read_added(directory) {
                Ok(added) => named.extend(added),
                Err(error) => findings.push(Finding::warning(
                    "peers",
                    format!("which nodes were added and who is banned cannot be read: {error}"),
                    "the next start puts the file aside: add and ban them again",
                )),
            }
        }
    }
    if let Some(local) = local.filter(|_| !named.is_empty()) {
        findings.extend(look(named, local, context));
    }
    findings
}

/// Whether the node can say who it is.
fn key(file: &Path) -> Option<Finding> {
    const CHECK: &str = "node key";
    if !file.exists() {
        return None;
    }
    // It is there, so it is read and not made.
    Some(match NodeKey::load_or_create(file) {
        Ok(key) => Finding::fine(CHECK, format!("only its owner reads it; the node is {}", key.id())),
        Err(error) => Finding::wrong(
            CHECK,
            format!("{} cannot be used: {error}", file.display()),
            format!("`chmod 600 {0}`, or remove it: the node then gets another name", file.display()),
        ),
    })
}

/// Whether the addresses of other nodes can be read.
fn address_book(file: &Path) -> Option<Finding> {
    const CHECK: &str = "addresses";
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(file)?.take(BOOK_BYTES_MAX).read_to_end(&mut bytes)?;
        AddressBook::from_bytes(&bytes, [0; 32])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    };
    Some(match read() {
        Ok(book) => {
            let (known, tried) = (book.len(), book.tried_len());
            Finding::fine(CHECK, format!("{known} of other nodes are known, {tried} of them were talked to"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Finding::warning(
            CHECK,
            format!("{} cannot be read: {error}", file.display()),
            "the next start begins a new one: name a node with `--peer` or a tracker with `--tracker`",
        ),
    })
}

/// Whether the node could accept connections of others.
fn port(bind: &str) -> Finding {
    const CHECK: &str = "peer port";
    let address: SocketAddr = match bind {
        "none" => return Finding::fine(CHECK, "none is wanted: the node dials others, and nobody dials it"),
        bind => bind.parse().expect("settings are checked when they are read"),
    };
    match TcpListener::bind(address) {
        Ok(_) => Finding::fine(CHECK, format!("{address} is free for other nodes")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::wrong(
            CHECK,
            format!("{address} is in use by another program"),
            "choose another: `--p2p-bind 0.0.0.0:7701`; or stop who is there: `cairn stop`",
        ),
        Err(error) => Finding::wrong(
            CHECK,
            format!("nobody can listen on {address}: {error}"),
            "choose an address of this machine: `--p2p-bind 0.0.0.0:7700`",
        ),
    }
}

/// What a node says of its peers.
fn ask(node: &RunningNode, context: &Context) -> Vec<Finding> {
    // That it does not answer is told already.
    let Ok(seen) = Seen::of(node, context) else { return Vec::new() };
    let mut findings = vec![seen.sync(), seen.peers()];
    findings.extend(seen.kept());
    findings.extend(seen.inbound(now_ms()));
    findings.extend(seen.clock());
    findings
}

/// What a node tells of whom it meets.
struct Seen {
    sync: SyncView,
    peers: Vec<PeerView>,
    kept: Vec<KeptPeerView>,
    /// Where it accepts connections; nothing where it does not.
    listening: Vec<String>,
}

impl Seen {
    fn of(node: &RunningNode, context: &Context) -> Result<Self, CliError> {
        let url =
            NodeUrl::parse(&node.api).map_err(|error| CliError::usage("wrong-value", error.to_string()))?;
        let client = context.client_of(url, Some(node))?;
        context.block_on(async {
            let invite = client.get::<InviteView>("/v1/invite").await;
            Ok(Self {
                sync: client.get::<Status>("/v1/status").await?.sync,
                peers: client.get("/v1/peers").await?,
                kept: client.get("/v1/peers/kept").await?,
                listening: invite.map_or_else(|_| Vec::new(), |view| view.addresses),
            })
        })
    }

    fn sync(&self) -> Finding {
        const CHECK: &str = "sync";
        let message = sync_text(&self.sync);
        if self.sync.state == "synced" {
            Finding::fine(CHECK, message)
        } else {
            Finding::warning(CHECK, message, "wait: until then balances and blocks are those of the past")
        }
    }

    /// How many there are, and who dialled.
    fn peers(&self) -> Finding {
        const CHECK: &str = "peers";
        let inbound = self.inbound_count();
        let outbound = self.peers.len() - inbound;
        if !self.peers.is_empty() {
            let count = plural(self.peers.len() as u64, "node");
            let message = format!("{count} connected, {outbound} dialled by us and {inbound} by them");
            return Finding::fine(CHECK, message);
        }
        if self.kept.is_empty() {
            let help = "where there are others: `cairn peers add HOST:PORT`, or start it with `--tracker`";
            return Finding::unknown(CHECK, "no other node is connected, and none is named", help);
        }
        let help = "the findings below say why; `cairn peers add HOST:PORT` names another";
        Finding::warning(CHECK, "no other node is connected", help)
    }

    fn inbound_count(&self) -> usize {
        self.peers.iter().filter(|peer| peer.direction == "inbound").count()
    }

    /// Nodes to which it should be connected, and is not.
    fn kept(&self) -> Vec<Finding> {
        let lost = self.kept.iter().filter(|kept| !kept.connected && kept.failures > 0);
        let told = lost.map(|kept| {
            let why = kept.last_failure.as_deref().unwrap_or("nobody said why");
            let tries =
                if kept.failures == 1 { "1 try".to_owned() } else { format!("{} tries", kept.failures) };
            Finding::warning("not reached", format!("{} after {tries}: {why}", kept.address), NOT_REACHED)
        });
        shorten(told.collect())
    }

    /// Whether others come to it.
    fn inbound(&self, now_ms: u64) -> Option<Finding> {
        const CHECK: &str = "inbound";
        let is_reachable = self.listening.iter().any(|address| !is_of_this_machine(address));
        let oldest_ms = self.peers.iter().map(|peer| now_ms.saturating_sub(peer.since_ms)).max()?;
        if !is_reachable || self.inbound_count() > 0 || oldest_ms < COME_WITHIN_MS {
            return None;
        }
        let port = self.listening.first()?.rsplit(':').next()?;
        Some(Finding::unknown(
            CHECK,
            "nobody has connected to it so far, so perhaps nobody can",
            format!(
                "let port {port} through the firewall, and forward it where a router stands before; it works without, too"
            ),
        ))
    }

    /// The own clock beside those of others.
    fn clock(&self) -> Option<Finding> {
        let mut offsets: Vec<i64> = self.peers.iter().map(|peer| peer.clock_offset_ms).collect();
        offsets.sort_unstable();
        let median = *offsets.get(offsets.len() / 2)?;
        Some(judge_clock(median, offsets.len()))
    }
}

fn judge_clock(median_ms: i64, peers: usize) -> Finding {
    const CHECK: &str = "peer clocks";
    let apart = time_text(Duration::from_millis(median_ms.unsigned_abs()));
    let whose = plural(peers as u64, "peer");
    if median_ms.unsigned_abs() <= CLOCK_MS_MAX {
        return Finding::fine(CHECK, format!("{apart} from the own one, by {whose}"));
    }
    let side = if median_ms > 0 { "behind" } else { "ahead of" };
    let message = format!("the clock of this machine is {apart} {side} that of {whose}");
    if peers >= CLOCKS_BELIEVED {
        Finding::wrong(CHECK, message, SET_CLOCK)
    } else {
        Finding::warning(CHECK, message, format!("one of them is wrong; {SET_CLOCK}"))
    }
}

const NOT_REACHED: &str = "is the address right, does a node run there, and does a firewall let it through? `cairn peers remove ADDRESS` gives it up";

/// Dials whom the settings name, as a stranger would.
fn look(named: Vec<PeerAddress>, local: &Local, context: &Context) -> Vec<Finding> {
    const CHECK: &str = "named nodes";
    let identity = local.genesis.identity().0;
    let answers = match context.block_on(async { Ok(probe::look(identity, named).await) }) {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => {
            return vec![Finding::unknown(CHECK, format!("nobody could be dialled: {error}"), "")];
        }
        Err(error) => return vec![Finding::unknown(CHECK, error.message(), "")],
    };
    let there = answers.iter().filter(|(_, answer)| *answer == Answer::There).count();
    let of_all = format!("{there} of {} answer", answers.len());
    let mut findings = vec![if there > 0 {
        Finding::fine(CHECK, of_all)
    } else {
        Finding::warning(
            CHECK,
            of_all,
            "the findings below say why; without any, the node knows whom it met before",
        )
    }];
    let silent = answers.into_iter().filter_map(|(address, answer)| match answer {
        Answer::There => None,
        Answer::Nobody(why) => {
            Some(Finding::warning("not reached", format!("{address}: {why}"), NOT_REACHED))
        }
        Answer::Another(why) => Some(Finding::wrong(
            "not reached",
            format!("{address}: {why}"),
            "the address or the network is not the one that is meant: mend `peers` or `trackers`",
        )),
    });
    findings.extend(shorten(silent.collect()));
    findings
}

fn is_of_this_machine(address: &str) -> bool {
    let address: Option<PeerAddress> = address.parse().ok();
    matches!(address.map(|it| it.host), Some(Host::Ip(ip)) if ip.is_loopback())
}

/// The first of many alike.
fn shorten(mut findings: Vec<Finding>) -> Vec<Finding> {
    let more = findings.len().saturating_sub(TOLD_MAX);
    findings.truncate(TOLD_MAX);
    if more > 0 {
        let message = format!("{} more", plural(more as u64, "node"));
        findings.push(Finding::warning(
            "not reached",
            message,
            "`cairn peers` lists all of a node that runs",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Grade;

    #[test]
    fn a_port_that_is_taken_is_wrong_and_none_is_fine() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap().to_string();
        let found = port(&address);
        assert_eq!(found.grade, Grade::Wrong);
        assert!(found.message.contains(&address) && found.help.contains("--p2p-bind"), "{found:?}");
        assert_eq!(port("127.0.0.1:0").grade, Grade::Fine);
        assert_eq!(port("none").grade, Grade::Fine);
        assert_eq!(port("192.0.2.1:0").grade, Grade::Wrong, "no address of this machine");
    }

    #[test]
    fn an_address_book_and_a_key_are_looked_at_and_left_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let (book, file) = (directory.path().join("addresses"), directory.path().join("p2p-key"));
        assert_eq!((address_book(&book), key(&file)), (None, None));
        std::fs::write(&book, AddressBook::new([1; 32]).to_bytes()).unwrap();
        let found = address_book(&book).unwrap();
        assert_eq!((found.grade, &found.message[..1]), (Grade::Fine, "0"), "{found:?}");
        std::fs::write(&book, "garbage").unwrap();
        assert_eq!(address_book(&book).unwrap().grade, Grade::Warning);
        assert_eq!(std::fs::read(&book).unwrap(), b"garbage");
        NodeKey::load_or_create(&file).unwrap();
        assert_eq!(key(&file).unwrap().grade, Grade::Fine);
        std::fs::write(&file, "short").unwrap();
        let found = key(&file).unwrap();
        assert!(found.grade == Grade::Wrong && found.help.contains("chmod 600"), "{found:?}");
    }

    fn peer(direction: &str, clock_offset_ms: i64) -> PeerView {
        PeerView {
            id: "12D3KooW".to_owned(),
            address: "192.0.2.1:7700".to_owned(),
            direction: direction.to_owned(),
            name: String::new(),
            roles: Vec::new(),
            software: String::new(),
            height: 0,
            since_ms: 1_000,
            ping_ms: None,
            clock_offset_ms,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    fn seen(peers: Vec<PeerView>) -> Seen {
        let sync = SyncView { state: "synced".to_owned(), height: 5, target: 5 };
        Seen { sync, peers, kept: Vec::new(), listening: vec!["192.0.2.7:7700".to_owned()] }
    }

    #[test]
    fn nobody_who_comes_within_ten_minutes_is_told_with_the_port_to_forward() {
        let late = 1_000 + COME_WITHIN_MS;
        let alone = seen(vec![peer("outbound", 0)]);
        assert_eq!(alone.inbound(late - 1), None, "it is too early to say");
        let found = alone.inbound(late).unwrap();
        assert!(found.grade == Grade::Unknown && found.help.contains("port 7700"), "{found:?}");
        assert_eq!(seen(vec![peer("outbound", 0), peer("inbound", 0)]).inbound(late), None);
        assert_eq!(seen(Vec::new()).inbound(late), None, "nobody could have told others of it");
        let here = Seen { listening: vec!["127.0.0.1:7700".to_owned()], ..alone };
        assert_eq!(here.inbound(late), None);
    }

    #[test]
    fn a_node_that_catches_up_is_a_warning_with_how_far_it_is() {
        let mut seen = seen(Vec::new());
        assert_eq!(seen.sync().grade, Grade::Fine);
        seen.sync = SyncView { state: "blocks".to_owned(), height: 50, target: 200 };
        let found = seen.sync();
        assert!(found.grade == Grade::Warning && found.message.ends_with("50 of 200 (25 %)"), "{found:?}");
    }

    #[test]
    fn a_clock_is_judged_by_the_median_of_others() {
        let clock = |offsets: &[i64]| seen(offsets.iter().map(|it| peer("inbound", *it)).collect()).clock();
        assert_eq!(clock(&[]), None);
        // One that lies changes nothing.
        assert_eq!(clock(&[10, -20, i64::MAX]).unwrap().grade, Grade::Fine);
        let found = clock(&[60_000, 61_000, 10]).unwrap();
        assert!(
            found.grade == Grade::Wrong && found.message.contains("60 s behind that of 3 peers"),
            "{found:?}"
        );
        let found = clock(&[-7_000]).unwrap();
        assert!(
            found.grade == Grade::Warning && found.message.contains("7 s ahead of that of 1 peer"),
            "{found:?}"
        );
    }

    #[test]
    fn nodes_that_are_not_reached_are_told_and_many_in_short() {
        let kept = |number: usize| KeptPeerView {
            address: format!("192.0.2.{number}:7700"),
            connected: number == 0,
            failures: 3,
            last_failure: Some("cannot connect: connection refused".to_owned()),
        };
        let mut seen = seen(Vec::new());
        assert_eq!(seen.peers().grade, Grade::Unknown);
        seen.kept = (0..20).map(kept).collect();
        assert_eq!(seen.peers().grade, Grade::Warning);
        let found = seen.kept();
        assert_eq!(found.len(), TOLD_MAX + 1);
        assert_eq!(found[0].message, "192.0.2.1:7700 after 3 tries: cannot connect: connection refused");
        assert_eq!(found[TOLD_MAX].message, "11 nodes more");
    }
}
