//! `cairn wallet sign` and `verify`: texts, and who signed them.

use super::open::WalletChoice;
use super::payer::Payer;
use crate::cli::context::Context;
use crate::cli::genesis::is_standard;
use crate::cli::network::{Network, warn_of_published_key};
use crate::cli::send::Signer;
use crate::failure::CliError;
use crate::output::{self, Style};
use cairn_wallet::{MESSAGE_BYTES_MAX, MessageError, verify_message};
use serde_json::json;
use std::io::Read as _;
use std::path::PathBuf;

/// A text, in the line or in a file.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Text {
    /// The text.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// The file with the text, byte for byte; - for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SignArguments {
    /// Who signs: an account of a wallet, or on a development network alice, bob, carol or faucet. Left
    /// out, the wallet's only account, or its default.
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// The file with the key of who signs: 64 hexadecimal digits, readable by you alone.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    text: Text,
    /// The genesis file of the network, instead of asking a node.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    /// Who is said to have signed.
    #[arg(long, value_name = "NAME|ADDRESS")]
    by: String,
    /// The signature: 194 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    signature: String,
    #[command(flatten)]
    text: Text,
    /// The genesis file of the network, instead of asking a node.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

impl Text {
    fn read(&self) -> Result<String, CliError> {
        let Some(file) = &self.file else { return Ok(self.text.clone().unwrap_or_default()) };
        let mut bytes = Vec::new();
        let limit = MESSAGE_BYTES_MAX as u64 + 1;
        let read = if is_standard(file) {
            std::io::stdin().take(limit).read_to_end(&mut bytes)
        } else {
            std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
        };
        let name = file.display();
        read.map_err(|error| {
            CliError::failed("unreadable-file", format!("{name} cannot be read")).because(&error)
        })?;
        String::from_utf8(bytes).map_err(|_| CliError::usage("not-text", format!("{name} is not UTF-8 text")))
    }
}

/// `cairn wallet sign`.
pub(super) fn sign(
    arguments: &SignArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let text = arguments.text.read()?;
    let mut network = network(arguments.genesis.as_ref(), context)?;
    let signer = Signer { from: arguments.from.clone(), key_file: arguments.key_file.clone() };
    let payer = Payer::find(&signer, choice, &mut network, context)?;
    let signer = payer.address.to_text(&network.prefix()?);
    let signature = payer.pen(choice, context)?.0.sign_text(&text, &network)?;
    if context.json {
        output::print_json(&json!({
            "by": signer, "network": network.name, "identity": network.identity, "signature": signature,
        }));
    } else {
        output::note(&format!("signed by {signer} on {}", network.name));
        output::print_line(&signature);
    }
    warn_of_published_key(&network, &signer, context.json);
    Ok(())
}

/// `cairn wallet verify`.
pub(super) fn verify(
    arguments: &VerifyArguments,
    choice: &WalletChoice,
    context: &Context,
) -> Result<(), CliError> {
    let text = arguments.text.read()?;
    let mut network = network(arguments.genesis.as_ref(), context)?;
    let prefix = network.prefix()?;
    if let Some(wallet) = choice.at_hand(context)? {
        network.people = super::open::people(&wallet, &prefix);
    }
    let signer = network.account(&arguments.by)?;
    let by = signer.to_text(&prefix);
    verify_message(&signer, &network.identity(), &text, &arguments.signature).map_err(
        |error| match error {
            MessageError::OtherSigner { found } => {
                let found = network.known_as(&found.to_text(&prefix));
                CliError::failed("other-signer", format!("{found} signed, not {}", network.known_as(&by)))
            }
            MessageError::WrongSignature => CliError::failed("wrong-signature", error.to_string())
                .help("is the text the same to the last blank, and the network that of the signer?"),
            _ => CliError::usage("bad-signature", error.to_string()),
        },
    )?;
    if context.json {
        output::print_json(
            &json!({ "by": by, "network": network.name, "identity": network.identity, "valid": true }),
        );
    } else {
        let mark = Style::Good.paint("the signature holds", output::colours_on_stdout());
        output::print_line(&format!("{mark}: {} signed this on {}", network.known_as(&by), network.name));
    }
    Ok(())
}

fn network(genesis: Option<&PathBuf>, context: &Context) -> Result<Network, CliError> {
    match genesis {
        Some(file) => Ok(Network::of_genesis(&crate::cli::genesis::read(file)?)),
        None => {
            let client = context.client()?;
            context.block_on(async { Ok(Network::ask(&client).await?.0) })
        }
    }
}
