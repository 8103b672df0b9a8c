//! `cairn wallet request`: a payment link and its QR code; and links that others made.

use super::open::WalletChoice;
use super::show::address_of;
use crate::cli::context::Context;
use crate::cli::network::Network;
use crate::failure::CliError;
use crate::output;
use cairn_core::address::AddressError;
use cairn_wallet::{PaymentRequest, UriError, UriNetwork};
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::json;
use std::path::PathBuf;

/// The light margin that readers need around a code, in modules (ISO/IEC 18004).
const QUIET: i32 = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which account is to be paid; left out, the one that pays.
    #[arg(value_name = "ACCOUNT")]
    account: Option<String>,
    /// How much, in coins; left out, the payer chooses.
    #[arg(long, value_name = "COINS", allow_hyphen_values = true)]
    amount: Option<String>,
    /// Who is paid, in words.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// What it is for, in words.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Print the link alone, without its QR code.
    #[arg(long)]
    no_qr: bool,
    /// The genesis file of the network, instead of asking a node.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, choice: &WalletChoice, context: &Context) -> Result<(), CliError> {
    let wallet = choice.open(context)?;
    let network = match &arguments.genesis {
        Some(file) => Network::of_genesis(&crate::cli::genesis::read(file)?),
        None => {
            let client = context.client()?;
            context.block_on(async { Ok(Network::ask(&client).await?.0) })?
        }
    };
    let request = PaymentRequest {
        to: address_of(&wallet, arguments.account.as_deref(), &network.prefix()?)?,
        amount: arguments.amount.as_deref().map(|text| network.parse_amount(text)).transpose()?,
        label: arguments.label.clone(),
        message: arguments.message.clone(),
    };
    let link =
        request.to_uri(&known(&network)?).map_err(|error| CliError::usage("bad-text", error.to_string()))?;
    if context.json {
        output::print_json(&json!({ "link": link, "address": request.to.to_text(&network.prefix()?) }));
        return Ok(());
    }
    if !arguments.no_qr {
        let code = QrCode::encode_text(&link, QrCodeEcc::Low)
            .map_err(|error| CliError::failed("no-code", "no QR code holds the link").because(&error))?;
        let drawn = draw(&code, output::colours_on_stdout());
        let columns =
            drawn.lines().next().map_or(0, |line| line.chars().filter(|it| " ▀▄█".contains(*it)).count());
        if columns <= output::columns_of_stdout() {
            output::print_text(&drawn);
        } else {
            output::note(&format!("the QR code needs {columns} columns: make the terminal wider"));
        }
    }
    output::print_line(&link);
    Ok(())
}

/// The request of a link that somebody made.
pub(crate) fn read_link(text: &str, network: &Network) -> Result<PaymentRequest, CliError> {
    PaymentRequest::parse(text, &known(network)?).map_err(|error| match &error {
        UriError::Address(error @ AddressError::WrongNetwork { .. }) => {
            network.not_an_address("the link", error)
        }
        UriError::OtherNetwork { .. } => CliError::usage("wrong-network", error.to_string())
            .help(format!("this is the network `{}`; is `--node` wrong?", network.name)),
        _ => CliError::usage("bad-link", error.to_string()),
    })
}

fn known(network: &Network) -> Result<UriNetwork, CliError> {
    Ok(UriNetwork { prefix: network.prefix()?, identity: network.identity(), decimals: network.decimals })
}

/// Two modules a character. Readers want dark on light, so where colours may be used they are set,
/// and where not, what is drawn is the light: terminals are dark more often than not.
fn draw(code: &QrCode, colours: bool) -> String {
    let (first, last) = (-QUIET, code.size() + QUIET);
    let mut text = String::new();
    let mut y = first;
    while y < last {
        if colours {
            text.push_str("\u{1b}[30;107m");
        }
        for x in first..last {
            let (upper, lower) = (code.get_module(x, y), y + 1 < last && code.get_module(x, y + 1));
            // Below the last line of an odd number there is nothing, which is drawn light like the margin.
            let (upper, lower) = if colours { (upper, lower) } else { (!upper, !lower) };
            text.push(match (upper, lower) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
        }
        if colours {
            text.push_str("\u{1b}[0m");
        }
        text.push('\n');
        y += 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_module_for_module_with_a_margin() {
        let code = QrCode::encode_text("cairn:x", QrCodeEcc::Low).unwrap();
        let lines: Vec<Vec<char>> = draw(&code, false).lines().map(|line| line.chars().collect()).collect();
        let side = usize::try_from(code.size() + 2 * QUIET).unwrap();
        assert_eq!(lines.len(), side.div_ceil(2));
        for y in 0..side {
            for x in 0..side {
                let (half, line) = (y % 2, &lines[y / 2]);
                assert_eq!(line.len(), side);
                let is_light = match line[x] {
                    '█' => true,
                    '▀' => half == 0,
                    '▄' => half == 1,
                    _ => false,
                };
                let place = |at: usize| i32::try_from(at).unwrap() - QUIET;
                assert_eq!(!is_light, code.get_module(place(x), place(y)), "{x} {y}");
            }
        }
    }
}
