//! What is sent: to one recipient, to the one of a payment link, or to all of a table.

use crate::api::views::Status;
use crate::cli::context::Context;
use crate::cli::network::Network;
use crate::cli::wallet::read_link;
use crate::failure::CliError;
use crate::output;
use crate::values::{parse_count, parse_data};
use cairn_core::network::Limits;
use cairn_core::numbers::{FeeRate, Height, Nonce, Weight};
use cairn_core::transaction::{TRANSACTION_VERSION, TransactionBody, Transfer};
use cairn_wallet::{Bundle, TABLE_BYTES_MAX, TableError, TableReader};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What is sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Payment {
    /// Who receives: an address, a name of the wallet, a payment link (cairn:…), or a name on a
    /// development network.
    #[arg(long, value_name = "NAME|ADDRESS|LINK", required_unless_present = "csv", conflicts_with = "csv")]
    pub(crate) to: Option<String>,
    /// How much, in coins: 25 or 0.5. A payment link may say it.
    #[arg(long, value_name = "COINS", allow_hyphen_values = true, conflicts_with = "csv")]
    pub(crate) amount: Option<String>,
    /// Send to many: a table with a recipient and an amount a line, and perhaps data; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Bytes to carry along, for everybody to read.
    #[arg(long, value_name = "TEXT|0xHEX|base64:…", conflicts_with = "csv")]
    pub(crate) data: Option<String>,
    /// What to pay for a unit of weight, in base units; left out, what the network asks.
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) fee_rate: Option<u64>,
    /// The last block that may hold the transaction.
    #[arg(long, value_name = "HEIGHT", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) valid_until: Option<u64>,
    /// The nonce; left out, the one behind all that waits.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) nonce: Option<u64>,
}

impl Payment {
    /// The bodies to be signed, one behind the other from a nonce on; `next_nonce` where none was asked for.
    pub(crate) fn bodies(
        &self,
        network: &Network,
        limits: &Limits,
        next_nonce: u64,
        rates: (FeeRate, FeeRate),
    ) -> Result<Vec<TransactionBody>, CliError> {
        let bundles = match (&self.csv, &self.to) {
            (Some(file), _) => read_table(file, network, limits)?,
            (None, Some(to)) => vec![self.single(to, network)?],
            (None, None) => return Err(CliError::usage("usage", "a recipient is expected")),
        };
        let first = self.nonce.unwrap_or(next_nonce);
        let (max_fee_rate, tip_rate) = rates;
        let body = |(nonce, Bundle { transfers, data })| TransactionBody {
            version: TRANSACTION_VERSION,
            nonce: Nonce(nonce),
            valid_until: Height(self.valid_until.unwrap_or(0)),
            max_fee_rate,
            tip_rate,
            transfers,
            data,
        };
        Ok((first..=u64::MAX).zip(bundles).map(body).collect())
    }

    /// The rate that was asked for, in the flag or in the settings.
    pub(crate) fn fee_rate(&self, context: &Context) -> Option<FeeRate> {
        let setting = || context.settings.get("fee_rate").and_then(|rate| rate.parse().ok());
        self.fee_rate.or_else(setting).map(FeeRate)
    }

    fn single(&self, to: &str, network: &Network) -> Result<Bundle, CliError> {
        let asked = self.amount.as_deref().map(|text| network.parse_amount(text)).transpose()?;
        let is_link = to.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("cairn:"));
        let (to, amount) = if is_link {
            let request = read_link(to, network)?;
            if let (Some(asked), Some(wanted)) = (asked, request.amount)
                && asked != wanted
            {
                let message =
                    format!("the link asks for {}, not {}", network.coins(wanted), network.coins(asked));
                return Err(CliError::usage("other-amount", message).help("leave `--amount` out"));
            }
            for (what, text) in [("to", &request.label), ("for", &request.message)] {
                if let Some(text) = text {
                    output::note(&format!("{what}: {text}"));
                }
            }
            (request.to, asked.or(request.amount))
        } else {
            (network.account(to)?, asked)
        };
        let amount = amount.ok_or_else(|| {
            CliError::usage("usage", "an amount is expected").help("say how much: `--amount COINS`")
        })?;
        let data = parse_data(self.data.as_deref().unwrap_or_default())
            .map_err(|error| CliError::usage("bad-data", error.to_string()))?;
        Ok(Bundle { transfers: vec![Transfer { to, amount }], data })
    }
}

/// The limits of the network that a node is in.
pub(crate) fn limits_of(status: &Status) -> Result<Limits, CliError> {
    let limits = &status.limits;
    let narrow = |number: u64| {
        usize::try_from(number)
            .map_err(|_| CliError::failed("bad-limits", "the node names limits that no machine has"))
    };
    Ok(Limits {
        transaction_bytes: narrow(limits.transaction_bytes)?,
        data_bytes: narrow(limits.data_bytes)?,
        transfers: narrow(limits.transfers)?,
        block_weight: Weight(limits.block_weight),
        block_transactions: limits.block_transactions,
        extra_bytes: narrow(limits.extra_bytes)?,
    })
}

fn read_table(file: &Path, network: &Network, limits: &Limits) -> Result<Vec<Bundle>, CliError> {
    let name = file.display().to_string();
    let mut bytes = Vec::new();
    let limit = TABLE_BYTES_MAX as u64 + 1;
    let read = if crate::cli::genesis::is_standard(file) {
        std::io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        CliError::failed("unreadable-file", format!("{name} cannot be read")).because(&error)
    })?;
    let prefix = network.prefix()?;
    // A contact of another network is no recipient here: its line is refused as no address.
    let find = |text: &str| if text.len() < 24 { network.account(text).ok() } else { None };
    let reader = TableReader { prefix: &prefix, decimals: network.decimals, limits, find: &find };
    let recipients = reader.read(&bytes).map_err(|error| table_failure(&name, &error))?;
    Ok(recipients.bundles)
}

/// Every wrong line is told by its number, and none is shown: a file that was given by mistake may hold
/// a password.
fn table_failure(name: &str, error: &TableError) -> CliError {
    let mut message = format!("{name}: {error}, nothing was sent");
    if let TableError::Lines { first, count } = error {
        for wrong in first {
            message.push_str(&format!("\n  {wrong}"));
        }
        if let Some(more) = count.checked_sub(first.len()).filter(|more| *more > 0) {
            message.push_str(&format!("\n  and {more} more"));
        }
    }
    CliError::usage("bad-table", message).help("a line is a recipient and an amount: `cairn1…,12.5`")
}
