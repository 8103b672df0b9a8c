//! `cairn bench`: what this machine reaches, each figure beside the limit measured in the same run.
//!
//! The limit of an import is verifying its signatures and nothing else, on all cores and with no key
//! remembered: once with ed25519-zebra, the library that others use, and once with our own batches,
//! which may be faster than it. Wall time on a shared machine says little, so every figure also gives
//! the processor time of an operation.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are for people, and the sizes here are small"
)]

mod chain;
mod connection;
mod http;
mod import;
mod measure;
mod network;
mod parts;
mod process;

use serde::Serialize;

use crate::output::{Style, Table, grouped, left, note, plural, print_json, right};
use cairn_core::signature::{Arithmetic, KeyCache};
use cairn_hash::Kernel;
use chain::{BLOCK_TRANSFERS, Chain};
use import::{Batches, ImportCost, Signatures, Verifier};
use measure::Spent;

/// How many hashes are tried to know the speed of a search: a second or less.
const WORK_HASHES: u64 = 1 << 23;

/// How large the bench is.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Smaller sizes: less exact, done sooner.
    pub quick: bool,
    /// Only one group of figures: import, empty, state, log, work, node or network.
    pub only: Option<&'a str>,
    /// One object of JSON in the place of the table.
    pub json: bool,
}

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// What the same run measured as the limit, in the same unit; for an import, the signatures alone
    /// with ed25519-zebra.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    /// `value / limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// For an import, the signatures alone with our own batches, in the same unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_limit: Option<f64>,
    /// `value / own_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_ratio: Option<f64>,
    /// Processor time an operation, in microseconds, over all threads of the process measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us: Option<f64>,
    /// Where the time goes, or what was counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part>,
}

/// A part of a figure.
#[derive(Clone, Debug, Serialize)]
struct Part {
    name: &'static str,
    value: f64,
    unit: &'static str,
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            limit: None,
            ratio: None,
            own_limit: None,
            own_ratio: None,
            cpu_us: None,
            parts: Vec::new(),
        }
    }

    /// Operations a second, with their processor time.
    fn rate(name: impl Into<String>, operations: usize, spent: Spent, unit: &'static str) -> Self {
        Self { cpu_us: Some(spent.cpu_us(operations)), ..Self::new(name, spent.rate(operations), unit) }
    }

    fn with_limit(mut self, limit: f64) -> Self {
        self.ratio = Some(self.value / limit);
        self.limit = Some(limit);
        self
    }

    fn with_own_limit(mut self, limit: f64) -> Self {
        self.own_ratio = Some(self.value / limit);
        self.own_limit = Some(limit);
        self
    }

    fn part(mut self, name: &'static str, value: f64, unit: &'static str) -> Self {
        self.parts.push(Part { name, value, unit });
        self
    }
}

/// All figures of a run, and on what they were measured.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    cores: usize,
    /// The arithmetic that verifies batches of signatures.
    signature_arithmetic: &'static str,
    /// How the library for single signatures was built.
    signature_backend: &'static str,
    figures: Vec<Figure>,
}

/// Measures, and prints each figure as soon as it is known.
///
/// # Errors
///
/// Where a directory cannot be made or the node under test does not start.
pub fn run(options: Options<'_>) -> Result<(), BenchError> {
    let wants = |name: &str| options.only.is_none_or(|only| name.starts_with(only));
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        cores: crate::pipeline::default_threads(),
        signature_arithmetic: Arithmetic::best().name(),
        signature_backend: signature_backend(),
        figures: Vec::new(),
    };
    let scratch = tempfile::tempdir().map_err(BenchError::Directory)?;
    let figures = &mut report.figures;
    if wants("import") {
        let sizes: &[usize] = if options.quick { &[10_000] } else { &[10_000, 100_000, 1_000_000] };
        for accounts in sizes {
            note(&format!("import: making a chain over {} accounts", grouped(*accounts as u64)));
            let blocks = if options.quick { 6 } else { 60 };
            let chain = chain::make_chain(*accounts, blocks);
            measure_import(&chain, *accounts, scratch.path(), figures)?;
        }
    }
    if wants("empty") {
        note("empty: making a chain of empty blocks");
        let blocks = if options.quick { 2_000 } else { 20_000 };
        measure_empty_import(&chain::make_empty_chain(blocks), scratch.path(), figures)?;
    }
    if wants("state") {
        let sizes: &[usize] = if options.quick { &[10_000] } else { &[10_000, 100_000, 1_000_000] };
        for accounts in sizes {
            note(&format!("state: {} accounts", grouped(*accounts as u64)));
            let (transfers, spent) = parts::change_state(*accounts);
            let name = format!("state root and commit, {}", short_count(*accounts));
            figures.push(Figure::rate(name, transfers, spent, "transfers/s"));
        }
    }
    if wants("log") {
        note("log: appending");
        measure_log(scratch.path(), options.quick, figures)?;
    }
    if wants("work") {
        measure_work(report.cores, options.quick, figures);
    }
    if wants("node") {
        http::measure_node(scratch.path(), options.quick, figures)?;
    }
    if wants("network") {
        network::measure_network(scratch.path(), options.quick, figures)?;
    }
    if options.json {
        print_json(&report);
    } else {
        print_table(&report);
    }
    Ok(())
}

/// Why a bench could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No room for the files of the bench.
    #[error("cannot make a directory for the bench")]
    Directory(#[source] std::io::Error),
    /// The node under test did not start or did not answer.
    #[error("the node under test {what}")]
    Node {
        /// What it did not do.
        what: &'static str,
        /// Why, where known.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

fn signature_backend() -> &'static str {
    if cfg!(curve25519_dalek_backend = "avx512") {
        "avx512 where the processor has it"
    } else {
        "default (build inside the repository for avx512)"
    }
}

fn measure_import(
    chain: &Chain,
    accounts: usize,
    scratch: &std::path::Path,
    figures: &mut Vec<Figure>,
) -> Result<(), BenchError> {
    let size = short_count(accounts);
    let transfers = chain.blocks.len() * BLOCK_TRANSFERS;
    let batches = Batches::new(chain, 20);
    // Limits are measured before and after, since a shared machine changes its speed meanwhile.
    let measure_both = || [Verifier::Library, Verifier::Own].map(|verifier| batches.verify(verifier));
    let [library_before, own_before] = measure_both();
    let directory = tempfile::tempdir_in(scratch).map_err(BenchError::Directory)?;
    let cost = import::import(chain, directory.path(), Signatures::Verify);
    let keys = KeyCache::default();
    let directory = tempfile::tempdir_in(scratch).map_err(BenchError::Directory)?;
    let cached = import::import(chain, directory.path(), Signatures::VerifyWith(&keys));
    let [library_after, own_after] = measure_both();
    let limit_figure = |name: String, before: Spent, after: Spent| {
        let count = batches.count();
        let mut figure =
            Figure::new(name, f64::midpoint(before.rate(count), after.rate(count)), "signatures/s");
        figure.cpu_us = Some(f64::midpoint(before.cpu_us(count), after.cpu_us(count)));
        figure
    };
    let library = limit_figure(format!("verify, ed25519-zebra, {size}"), library_before, library_after);
    let own = limit_figure(format!("verify, our batches, {size}"), own_before, own_after);
    let with_limits = |figure: Figure| figure.with_limit(library.value).with_own_limit(own.value);
    let imports = [
        with_limits(import_figure(format!("import, {size}"), transfers, &cost)),
        with_limits(import_figure(format!("import, {size}, keys cached"), transfers, &cached)),
    ];
    figures.extend([library, own]);
    figures.extend(imports);
    let directory = tempfile::tempdir_in(scratch).map_err(BenchError::Directory)?;
    let trusted = import::import(chain, directory.path(), Signatures::Trust);
    figures.push(Figure::rate(format!("import, trusted, {size}"), transfers, trusted.spent, "tx/s"));
    figures.push(disk_figure(&size, transfers, &cost, accounts));
    Ok(())
}

/// Transfers a second, and where the time goes.
fn import_figure(name: String, transfers: usize, cost: &ImportCost) -> Figure {
    let each = |seconds: f64| seconds * 1e6 / transfers as f64;
    let other = cost.spent.cpu_s - cost.check_s - cost.execute_s - cost.log_s;
    Figure::rate(name, transfers, cost.spent, "tx/s")
        .part("check", each(cost.check_s), "µs")
        .part("execute and root", each(cost.execute_s), "µs")
        .part("log", each(cost.log_s), "µs")
        .part("database and rest", each(other), "µs")
}

/// Bytes that the directory takes, a transfer; the accounts of genesis are not counted.
fn disk_figure(size: &str, transfers: usize, cost: &ImportCost, accounts: usize) -> Figure {
    let each = |bytes: u64| bytes as f64 / transfers as f64;
    let sizes = cost.sizes;
    let state = sizes.state.saturating_sub(48 * accounts as u64);
    let without_indexes = cost.log_bytes + sizes.undo + state + sizes.headers + sizes.history;
    Figure::new(format!("disk without indexes, {size}"), each(without_indexes), "B/tx")
        .part("log", each(cost.log_bytes), "B")
        .part("undo", each(sizes.undo), "B")
        .part("state", each(state), "B")
        .part("indexes", each(sizes.indexes), "B")
        .part("headers and history", each(sizes.headers + sizes.history), "B")
}

fn measure_empty_import(
    chain: &Chain,
    scratch: &std::path::Path,
    figures: &mut Vec<Figure>,
) -> Result<(), BenchError> {
    let directory = tempfile::tempdir_in(scratch).map_err(BenchError::Directory)?;
    let cost = import::import(chain, directory.path(), Signatures::Verify);
    figures.push(Figure::rate("empty blocks, import", chain.blocks.len(), cost.spent, "blocks/s"));
    Ok(())
}

fn measure_log(scratch: &std::path::Path, quick: bool, figures: &mut Vec<Figure>) -> Result<(), BenchError> {
    let times = if quick { 50 } else { 300 };
    for (name, bytes, group) in [
        ("log, blocks of 900 KB", 900_000, 1),
        ("log, 200 B, one a sync", 200, 1),
        ("log, 200 B, 100 a sync", 200, 100),
    ] {
        let directory = tempfile::tempdir_in(scratch).map_err(BenchError::Directory)?;
        let (records, spent) = parts::append_log(directory.path(), bytes, group, times);
        let megabytes = spent.rate(records) * bytes as f64 / 1e6;
        figures.push(Figure::rate(name, records, spent, "records/s").part("written", megabytes, "MB/s"));
    }
    Ok(())
}

/// One thread by its processor time, beside the kernel alone; all threads by the time that passes, beside
/// as many times one thread.
fn measure_work(cores: usize, quick: bool, figures: &mut Vec<Figure>) {
    note("work: searching");
    let (best, rounds) = (Kernel::best(), if quick { 2 } else { 6 });
    // In turns, since a shared machine changes its speed meanwhile; the best turn was disturbed least.
    let (mut portable, mut kernel, mut one, mut all) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..rounds {
        let (hashes, spent) = parts::search_work(Kernel::PORTABLE, WORK_HASHES / 8);
        portable = portable.max(spent.rate_of_processor(hashes));
        let (hashes, spent) = parts::search_work(best, WORK_HASHES);
        kernel = kernel.max(spent.rate_of_processor(hashes));
        let (hashes, spent) = parts::mine(1, WORK_HASHES);
        one = one.max(spent.rate_of_processor(hashes));
        let (hashes, spent) = parts::mine(cores, WORK_HASHES);
        all = all.max(spent.rate(hashes));
    }
    let unit = "hashes/s";
    figures.push(Figure::new("work, kernel portable", portable, unit));
    figures.push(Figure::new(format!("work, kernel {best}"), kernel, unit).part(
        "beside portable",
        kernel / portable,
        "times",
    ));
    figures.push(Figure::new("work, one thread", one, unit).with_limit(kernel));
    let name = format!("work, {}", plural(cores as u64, "thread"));
    figures.push(Figure::new(name, all, unit).with_limit(one * cores as f64));
}

/// 10 k, 100 k, 1 M.
fn short_count(count: usize) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{} k", count / 1_000),
        _ => format!("{} M", count / 1_000_000),
    }
}

/// A number with as many digits as tell something.
fn number(value: f64) -> String {
    if value >= 1_000.0 {
        grouped(value.round() as u64)
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn print_table(report: &Report) {
    let mut table = Table::new(&[
        left("figure"),
        right("measured"),
        left("unit"),
        right("limit"),
        right("ratio"),
        right("of own"),
        right("cpu µs"),
        left("of which"),
    ]);
    for figure in &report.figures {
        let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
        let ratio = |value: Option<f64>| value.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let parts: Vec<String> = figure
            .parts
            .iter()
            .map(|part| format!("{} {} {}", part.name, number(part.value), part.unit))
            .collect();
        table.row([
            (Style::Plain, figure.name.clone()),
            (Style::Strong, number(figure.value)),
            (Style::Faint, figure.unit.to_owned()),
            (Style::Faint, optional(figure.limit)),
            (Style::Good, ratio(figure.ratio)),
            (Style::Good, ratio(figure.own_ratio)),
            (Style::Plain, optional(figure.cpu_us)),
            (Style::Faint, parts.join(", ")),
        ]);
    }
    table.print();
    note("import: limit and ratio are of ed25519-zebra, \"of own\" of our batches; neither remembers keys");
    note(&format!(
        "{} cores, batches: {}, single signatures: {}",
        report.cores, report.signature_arithmetic, report.signature_backend
    ));
}
