//! `cairn load`: sends many transactions and measures how fast they are accepted and confirmed.
//!
//! Everything is signed beforehand where the number is known, so that the node is measured and not
//! this command. The transfers go round in a circle of throwaway accounts, which the payer funds.

mod tally;
mod traffic;

use super::context::Context;
use super::network::{Network, fee_rates, warn_of_published_key};
use super::send::{Signer, next_nonce, timeout, wait_for};
use crate::api::views::{BlockView, MempoolSize, Status};
use crate::client::{Client, ClientError};
use crate::failure::CliError;
use crate::output::{self, Facts, Progress, Style, grouped, plural};
use axum::http::StatusCode;
use cairn_core::codec::Encode as _;
use cairn_core::numbers::{Height, Nonce};
use cairn_core::transaction::{TRANSACTION_VERSION, TransactionBody, Transfer};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tally::{End, Failure, Report, Tally};
use tokio::sync::mpsc;
use traffic::{Batch, Circle};

/// How often a waiting command looks for the next block.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a sender waits before it sends again what the node could not take.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How long `--rate` runs where nothing else is said, in seconds.
const RATE_SECONDS: u64 = 60;
/// How many transactions an endless load is funded for at a time.
const ENDLESS: u64 = 50_000_000;
/// How many batches of an endless load are signed ahead, for each connection.
const SIGNED_AHEAD: usize = 16;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn load --transactions 20000
  cairn load --rate 500 --forever

On a development network the faucet pays; elsewhere say who: --key-file FILE.")]
pub(crate) struct Arguments {
    /// How many transactions, as fast as they go.
    #[arg(long, value_name = "N", required_unless_present = "rate", conflicts_with = "forever", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    transactions: Option<u64>,
    /// How many transactions a second; for a minute if nothing else is said.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
    /// Go on until Ctrl-C.
    #[arg(long, requires = "rate")]
    forever: bool,
    /// How many accounts send.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    senders: u64,
    /// How many connections submit at a time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=200))]
    connections: u64,
    /// How many transactions one call submits.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    batch: u64,
    #[command(flatten)]
    payer: Signer,
    /// How long to wait without a confirmation before what is left is given up [default: 60s].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

/// The arguments with everything worked out.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// How many transactions in all; none for an endless load.
    total: Option<u64>,
    rate: Option<u64>,
    connections: usize,
    senders: usize,
    batch: usize,
    patience: Duration,
}

impl Plan {
    fn of(arguments: &Arguments, patience: Duration) -> Self {
        let size = |number: u64| usize::try_from(number).expect("the parser limits it");
        let total = match (arguments.transactions, arguments.rate) {
            (Some(total), _) => Some(total),
            (None, Some(rate)) if !arguments.forever => Some(rate * RATE_SECONDS),
            (None, _) => None,
        };
        // Nobody needs more connections than senders, nor more senders than transactions.
        let senders = arguments.senders.min(total.unwrap_or(u64::MAX));
        let connections = arguments.connections.min(senders);
        // At least ten calls a second on each connection, so that a low rate is an even one.
        let even = arguments.rate.map_or(u64::MAX, |rate| (rate / connections / 10).max(1));
        Self {
            total,
            rate: arguments.rate,
            connections: size(connections),
            senders: size(senders),
            batch: size(arguments.batch.min(even)),
            patience,
        }
    }

    /// How many transactions connection `place` sends; none for an endless load.
    fn share(&self, place: usize) -> Option<u64> {
        let (connections, place) = (self.connections as u64, place as u64);
        self.total.map(|total| total / connections + u64::from(place < total % connections))
    }

    /// The time between two calls of one connection.
    fn pace(&self) -> Option<Duration> {
        let calls = |rate: u64| self.batch as f64 * self.connections as f64 / rate as f64;
        self.rate.map(|rate| Duration::from_secs_f64(calls(rate)))
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    let plan = Plan::of(arguments, timeout(arguments.timeout.as_deref(), context)?);
    let client = context.client()?;
    let local = tokio::task::LocalSet::new();
    context.block_on(local.run_until(async {
        let (network, status) = Network::ask(&client).await?;
        let rates = fee_rates(&status, None);
        let circle = Circle::draw(plan.senders, network.identity(), rates)?;
        fund(&client, &network, &status, &circle, &plan, arguments, context).await?;
        let (mut report, failure) = drive(&client, &circle, plan).await?;
        report.failure = failure.as_ref().map(|failure| Failure {
            code: failure.code().to_owned(),
            message: failure.message().to_owned(),
        });
        tell(&report, context.json);
        match failure {
            None => Ok(()),
            // The report has it already.
            Some(failure) if context.json => Err(failure.told()),
            Some(failure) => Err(failure),
        }
    }))
}

/// Why not everything was confirmed; none if it was.
fn failure_of(never_confirmed: u64, held_back: Option<&str>) -> Option<CliError> {
    let left = plural(never_confirmed, "transaction");
    match (never_confirmed, held_back) {
        (0, _) => None,
        (_, Some("disk-full")) => Some(
            CliError::failed("disk-full", format!("{left} never confirmed: the disk of the node is full"))
                .help("make room on it: the node takes work again by itself"),
        ),
        (_, Some(code)) => Some(
            CliError::failed("never-confirmed", format!("{left} never confirmed: the node said {code}"))
                .help("`cairn mempool` shows what waits, and why"),
        ),
        (_, None) => Some(
            CliError::failed("never-confirmed", format!("{left} never confirmed"))
                .help("`cairn mempool` shows what waits, and why"),
        ),
    }
}

/// Gives every account of the circle what its transactions cost, and waits until they have it.
async fn fund(
    client: &Client,
    network: &Network,
    status: &Status,
    circle: &Circle,
    plan: &Plan,
    arguments: &Arguments,
    context: &Context,
) -> Result<(), CliError> {
    let key_file = arguments.payer.key_file(context);
    let faucet = (network.devnet && key_file.is_none()).then_some("faucet");
    let from = arguments.payer.from.as_deref().or(faucet);
    let payer = network.signer(from, key_file.as_deref())?;
    let each = plan.total.unwrap_or(ENDLESS).div_ceil(plan.senders as u64) + 1;
    let amount = circle.cost_of(each).and_then(|cost| cost.checked_add(status.reserve.into()));
    let amount = amount.ok_or_else(|| {
        CliError::failed("too-expensive", "the fees of so many transactions exceed every amount")
    })?;
    let mut nonce = next_nonce(client, &payer.address().to_text(&network.prefix()?)).await?;
    let (max_fee_rate, tip_rate) = fee_rates(status, None);
    let at_once = usize::try_from(status.limits.transfers).unwrap_or(1).max(1);
    let mut last = None;
    for part in circle.addresses().chunks(at_once) {
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            nonce: Nonce(nonce),
            valid_until: Height(0),
            max_fee_rate,
            tip_rate,
            transfers: part.iter().map(|to| Transfer { to: *to, amount }).collect(),
            data: Vec::new(),
        };
        let transaction = payer.sign(&body, &network.identity());
        last = Some(client.submit(transaction.to_bytes()).await?.id);
        nonce += 1;
    }
    warn_of_published_key(network, &payer.address().to_text(&network.prefix()?), context.json);
    output::note(&format!(
        "{} are funded with {} each",
        plural(plan.senders as u64, "account"),
        network.coins(amount)
    ));
    if let Some(id) = last {
        wait_for(client, status, id.into(), Instant::now(), plan.patience).await?;
    }
    Ok(())
}

/// Sends everything, follows the chain, and returns what came of it, and why it is not all. Also where
/// the node is gone midway there is something to tell.
async fn drive(client: &Client, circle: &Circle, plan: Plan) -> Result<(Report, Option<CliError>), CliError> {
    let tip: Status = client.get("/v1/status").await?;
    let mut signers = Vec::new();
    let mut feeds = Vec::new();
    for place in 0..plan.connections {
        let share = plan.share(place);
        let room = share.map_or(SIGNED_AHEAD, |share| {
            usize::try_from(share).unwrap_or(usize::MAX).div_ceil(plan.batch).clamp(1, 1 << 24)
        });
        let (feed, batches) = mpsc::channel(room);
        let part = circle.part(place, plan.connections);
        let signer = std::thread::spawn(move || part.sign(share, plan.batch, &feed));
        if share.is_some() {
            signers.push(signer);
        }
        feeds.push(batches);
    }
    if let Some(total) = plan.total {
        let started = Instant::now();
        let signed = tokio::task::spawn_blocking(|| signers.into_iter().all(|signer| signer.join().is_ok()));
        if !signed.await.unwrap_or(false) {
            return Err(CliError::failed("signing", "signing stopped early"));
        }
        let seconds = started.elapsed().as_secs_f64();
        output::note(&format!("{} signed in {seconds:.1} s", plural(total, "transaction")));
    }

    let tally = Rc::new(RefCell::new(Tally::start()));
    let senders: Vec<_> = feeds
        .into_iter()
        .map(|batches| tokio::task::spawn_local(send_all(client.clone(), batches, plan, Rc::clone(&tally))))
        .collect();
    let mut progress = Progress::new("confirmed", plan.total.unwrap_or(0));
    let followed = tokio::select! {
        followed = follow(client, tip.height + 1, &tally, &senders, plan.patience, &mut progress) => Some(followed),
        _ = tokio::signal::ctrl_c() => None,
    };
    senders.iter().for_each(|sender| sender.abort());
    progress.finish();
    let end = match followed {
        Some(Ok(())) => End::Complete,
        Some(Err(error)) => {
            let tally = tally.borrow();
            let report = Report { never_sent: never_sent(&plan, &tally), ..tally.report(End::Broken, None) };
            return Ok((report, Some(error)));
        }
        None => {
            output::note("interrupted");
            End::Interrupted
        }
    };
    let left = client.get::<Status>("/v1/status").await;
    let tally = tally.borrow();
    let mempool = left.as_ref().ok().map(|status| status.mempool);
    let report = Report { never_sent: never_sent(&plan, &tally), ..tally.report(end, mempool) };
    let failure = match left {
        Ok(_) => failure_of(report.never_confirmed, tally.last_held_back()),
        Err(error) => Some(error.into()),
    };
    Ok((report, failure))
}

/// How many of those that were planned did not go out.
fn never_sent(plan: &Plan, tally: &Tally) -> u64 {
    plan.total.map_or(0, |total| total.saturating_sub(tally.sent_count()))
}

/// Sends the batches of one connection, one after the other.
async fn send_all(client: Client, mut batches: mpsc::Receiver<Batch>, plan: Plan, tally: Rc<RefCell<Tally>>) {
    let mut pace = plan.pace().map(|pace| {
        let mut pace = tokio::time::interval(pace);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        pace
    });
    while let Some(mut batch) = batches.recv().await {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        while !batch.is_empty() {
            let sent = batch.ids();
            tally.borrow_mut().sent(&sent);
            match submit(&client, &batch).await {
                Ok(outcomes) => {
                    let again = tally.borrow_mut().answered(&sent, &outcomes);
                    batch.keep(&again);
                }
                Err(ClientError::Refused { status, error })
                    if status == StatusCode::TOO_MANY_REQUESTS
                        || status == StatusCode::SERVICE_UNAVAILABLE =>
                {
                    tally.borrow_mut().held_back(&error.code);
                }
                // It goes out again: what arrived the first time is known then. Whoever follows the chain
                // ends all this where the node is gone.
                Err(
                    ClientError::Unreachable { .. }
                    | ClientError::Broken { .. }
                    | ClientError::TimedOut { .. },
                ) => {}
                Err(error) => {
                    tally.borrow_mut().lost(&sent, &error.to_string());
                    batch.keep(&[]);
                }
            }
            if !batch.is_empty() {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

/// What the node said of each transaction: nothing if it took it, else code and rule.
type Outcomes = Vec<Option<(String, Option<String>)>>;

async fn submit(client: &Client, batch: &Batch) -> Result<Outcomes, ClientError> {
    let refusal = |error: crate::api::views::ErrorView| (error.code, error.rule);
    if let Some(single) = batch.single() {
        return match client.submit(single).await {
            Ok(_) => Ok(vec![None]),
            Err(ClientError::Refused { status, error })
                if status == StatusCode::CONFLICT || status == StatusCode::UNPROCESSABLE_ENTITY =>
            {
                Ok(vec![Some(refusal(*error))])
            }
            Err(error) => Err(error),
        };
    }
    let results = client.submit_many(batch.bytes()).await?;
    Ok(results.into_iter().map(|result| result.error.map(refusal)).collect())
}

/// Reads block after block until everything is confirmed, or nothing has been for too long.
async fn follow(
    client: &Client,
    mut height: u64,
    tally: &Rc<RefCell<Tally>>,
    senders: &[tokio::task::JoinHandle<()>],
    patience: Duration,
    progress: &mut Progress,
) -> Result<(), CliError> {
    let mut last = Instant::now();
    loop {
        // Asked before the block is: what was sent by then is in the tally.
        let all_sent = senders.iter().all(tokio::task::JoinHandle::is_finished);
        match client.get::<BlockView>(&format!("/v1/blocks/{height}")).await {
            Ok(block) => {
                height += 1;
                let ids = block.transaction_ids.unwrap_or_default();
                if tally.borrow_mut().confirmed(ids.into_iter().map(|id| id.0)) > 0 {
                    last = Instant::now();
                    progress.set(tally.borrow().confirmed_count());
                }
                continue;
            }
            Err(ClientError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error.into()),
        }
        if all_sent && tally.borrow().waiting_count() == 0 {
            return Ok(());
        }
        if last.elapsed() >= patience {
            output::warn(&format!("nothing was confirmed for {}", output::time_text(patience)));
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn tell(report: &Report, json: bool) {
    if json {
        output::print_json(report);
        return;
    }
    let mut facts = Facts::default();
    facts.add(
        "accepted",
        format!("{} at {} a second", grouped(report.accepted), grouped(report.accepted_per_second)),
    );
    let confirmed =
        format!("{} at {} a second", grouped(report.confirmed), grouped(report.confirmed_per_second));
    facts.styled("confirmed", Style::Strong, confirmed);
    facts.add(
        "time to confirm",
        format!(
            "p50 {} ms, p99 {} ms, longest {} ms",
            grouped(report.p50_ms),
            grouped(report.p99_ms),
            grouped(report.max_ms)
        ),
    );
    for (code, count) in &report.refused {
        facts.styled("refused", Style::Warning, format!("{} with {code}", grouped(*count)));
    }
    if let (unknown @ 1.., acknowledged) =
        (report.unknown_acknowledged + report.unknown_unanswered, report.unknown_acknowledged)
    {
        let unknown = format!(
            "{}: {} acknowledged, {} without an answer",
            grouped(unknown),
            grouped(acknowledged),
            grouped(report.unknown_unanswered)
        );
        facts.styled("unknown", Style::Warning, unknown);
    }
    let left = grouped(report.never_confirmed);
    match (report.never_confirmed, report.mempool) {
        (0, None) => {}
        (0, Some(_)) => {
            facts.styled("never confirmed", Style::Good, "none");
        }
        (_, None) => {
            facts.styled("never confirmed", Style::Warning, left);
        }
        (_, Some(MempoolSize { transactions, .. })) => {
            let still = format!("{left}; {} wait in the mempool", grouped(transactions));
            facts.styled("never confirmed", Style::Warning, still);
        }
    }
    if report.never_sent > 0 {
        facts.styled("never sent", Style::Warning, grouped(report.never_sent));
    }
    facts.print();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(total: u64, connections: u64, senders: u64, rate: Option<u64>) -> Plan {
        let arguments = Arguments {
            transactions: Some(total),
            rate,
            forever: false,
            senders,
            connections,
            batch: 100,
            payer: Signer { from: None, key_file: None },
            timeout: None,
        };
        Plan::of(&arguments, Duration::from_secs(1))
    }

    #[test]
    fn the_shares_are_the_whole() {
        for (total, connections, senders) in [(20_000, 8, 64), (7, 8, 64), (1, 1, 1), (1001, 3, 2)] {
            let plan = plan(total, connections, senders, None);
            let shares: u64 = (0..plan.connections).filter_map(|place| plan.share(place)).sum();
            assert_eq!(shares, total);
            assert!(plan.connections <= plan.senders);
        }
    }

    #[test]
    fn a_low_rate_is_sent_in_small_calls() {
        let plan = plan(1000, 8, 64, Some(80));
        assert_eq!(plan.batch, 1);
        assert_eq!(plan.pace(), Some(Duration::from_millis(100)));
    }
}
