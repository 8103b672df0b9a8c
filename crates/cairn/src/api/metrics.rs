//! Figures about a node in the text format of OpenMetrics, one registry a node.

use crate::run::Counts;
use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use tokio::task::JoinError;

/// What the server counts.
#[derive(Clone, Debug, Default)]
pub struct HttpMetrics {
    answers: Family<AnswerLabels, Counter>,
    connections: Counter,
    turned_away: Counter,
    panics: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabels {
    status: u16,
}

impl HttpMetrics {
    /// A connection was taken.
    pub fn count_connection(&self) {
        self.connections.inc();
    }

    /// A connection found no place.
    pub fn count_turned_away(&self) {
        self.turned_away.inc();
    }

    /// A request was answered.
    pub fn count_answer(&self, status: StatusCode) {
        self.answers.get_or_create(&AnswerLabels { status: status.as_u16() }).inc();
    }

    /// A connection ended; a panic is counted.
    pub fn count_end(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.panics.inc();
            tracing::error!("a request ended in a panic");
        }
    }
}

/// What a node is asked for when its figures are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// The height of the tip.
    pub height: u64,
    /// Transactions that wait.
    pub mempool_transactions: u64,
    /// Their bytes.
    pub mempool_bytes: u64,
    /// Accounts.
    pub accounts: u64,
    /// Memory of the state, in bytes.
    pub state_bytes: u64,
    /// Blocks kept beside the chain.
    pub side_blocks: u64,
    /// Blocks from the future that are held.
    pub held_blocks: u64,
    /// Bytes of the log of the mempool.
    pub mempool_log_bytes: u64,
    /// Whether the disk has no room for another block.
    pub disk_full: bool,
    /// The id of the newest event.
    pub event_id: u64,
    /// Who reads the stream of events.
    pub subscribers: u64,
    /// Threads that search for work.
    pub sealer_threads: u64,
    /// Hashes a second that they tried.
    pub hash_rate: u64,
    /// Connected nodes.
    pub peers: u64,
    /// Those of them that this node dialled.
    pub peers_outbound: u64,
    /// Addresses of nodes that are known.
    pub addresses: u64,
    /// How many blocks the best known chain is ahead of the tip.
    pub sync_behind: u64,
}

/// All figures of a node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    gauges: Vec<(Gauge<u64, AtomicU64>, Source)>,
}

/// Which figure a gauge shows.
type Source = fn(&Figures) -> u64;
/// Name, meaning and source of a figure.
type Row = (&'static str, &'static str, Source);

const ROWS: [Row; 17] = [
    ("height", "Height of the tip", |figures| figures.height),
    ("mempool_transactions", "Transactions that wait for a block", |figures| figures.mempool_transactions),
    ("mempool_bytes", "Canonical bytes of the transactions that wait", |figures| figures.mempool_bytes),
    ("accounts", "Accounts of the state", |figures| figures.accounts),
    ("state_memory_bytes", "Memory of the state", |figures| figures.state_bytes),
    ("side_blocks", "Blocks kept beside the chain", |figures| figures.side_blocks),
    ("held_blocks", "Blocks from the future that are held", |figures| figures.held_blocks),
    ("mempool_log_bytes", "Bytes of the log of the mempool", |figures| figures.mempool_log_bytes),
    ("disk_full", "Whether the disk has no room for another block", |figures| figures.disk_full.into()),
    ("event_id", "Id of the newest event", |figures| figures.event_id),
    ("event_subscribers", "Clients that read the stream of events", |figures| figures.subscribers),
    ("sealer_threads", "Threads that search for work when there is something to search for", |figures| {
        figures.sealer_threads
    }),
    ("hash_rate", "Hashes a second tried in the search for work, over the last ten seconds", |figures| {
        figures.hash_rate
    }),
    ("peers", "Connected nodes", |figures| figures.peers),
    ("peers_outbound", "Connected nodes that this one dialled", |figures| figures.peers_outbound),
    ("addresses", "Addresses of nodes that are known", |figures| figures.addresses),
    ("sync_behind", "Blocks of the best known chain above the tip", |figures| figures.sync_behind),
];

impl Metrics {
    /// The registry of one node.
    pub fn new(http: &HttpMetrics, counts: &Counts, network: &str) -> Self {
        let labels = [("network".into(), network.to_owned().into())].into_iter();
        let mut registry = Registry::with_prefix_and_labels("cairn", labels);
        registry.register("http_answers", "Requests answered, by status", http.answers.clone());
        registry.register("http_connections", "Connections taken", http.connections.clone());
        registry.register("http_turned_away", "Connections without a place", http.turned_away.clone());
        registry.register("http_panics", "Requests that ended in a panic", http.panics.clone());
        registry.register("blocks", "Blocks that joined the chain", counts.blocks.clone());
        registry.register(
            "reorganisations",
            "Times the chain took another branch",
            counts.reorganisations.clone(),
        );
        registry.register(
            "transactions_confirmed",
            "Transactions that were confirmed",
            counts.confirmed.clone(),
        );
        registry.register(
            "transactions_accepted",
            "Transactions that were submitted and taken",
            counts.accepted.clone(),
        );
        registry.register(
            "transactions_refused",
            "Transactions that were submitted and refused",
            counts.refused.clone(),
        );
        registry.register("work_trials", "Hashes tried in the search for work", counts.trials.clone());
        let gauges = ROWS
            .into_iter()
            .map(|(name, help, source)| {
                let gauge = Gauge::default();
                registry.register(name, help, gauge.clone());
                (gauge, source)
            })
            .collect();
        Self { registry, gauges }
    }

    /// The text of all figures.
    pub fn render(&self, figures: &Figures) -> String {
        for (gauge, source) in &self.gauges {
            gauge.set(source(figures));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_written_with_their_values() {
        let http = HttpMetrics::default();
        http.count_answer(StatusCode::OK);
        let metrics = Metrics::new(&http, &Counts::default(), "devnet");
        let text = metrics.render(&Figures { height: 7, ..Figures::default() });
        assert!(text.contains("cairn_height{network=\"devnet\"} 7"), "{text}");
        assert!(text.contains("cairn_http_answers_total{network=\"devnet\",status=\"200\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
