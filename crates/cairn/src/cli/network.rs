//! What a command must know of a network to read names and amounts, and who signs.

use crate::api::views::Status;
use crate::client::Client;
use crate::failure::CliError;
use crate::output::{coins_text, short, warn};
use crate::values::{ValueError, nearest, parse_coins};
use cairn_core::address::{Address, AddressError, AddressPrefix};
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Amount, FeeRate};
use cairn_wallet::{
    Entry, KeyFileError, SigningKey, development_account, development_accounts, read_key_file,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The facts about a network that decide what a name or an amount means. Unsigned and signed files
/// carry them, so that a machine without a network can read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    /// The network's name.
    pub(crate) name: String,
    /// The id of block 0.
    pub(crate) identity: crate::api::views::Hash,
    /// How addresses begin.
    pub(crate) address_prefix: String,
    /// The coin's symbol.
    pub(crate) symbol: String,
    /// One coin is 10^decimals base units.
    pub(crate) decimals: u8,
    /// Whether the published development accounts may be used.
    pub(crate) devnet: bool,
    /// Who is known by a name here: the accounts, contacts and watched accounts of a wallet.
    #[serde(skip)]
    pub(crate) people: Vec<Entry>,
}

impl Network {
    /// The network of a node.
    pub(crate) fn of(status: &Status) -> Self {
        Self {
            name: status.network.clone(),
            identity: status.identity,
            address_prefix: status.address_prefix.clone(),
            symbol: status.symbol.clone(),
            decimals: status.decimals,
            devnet: status.devnet,
            people: Vec::new(),
        }
    }

    /// The network of the node that `client` talks to, and the node's state.
    pub(crate) async fn ask(client: &Client) -> Result<(Self, Status), CliError> {
        let status: Status = client.get("/v1/status").await?;
        Ok((Self::of(&status), status))
    }

    /// The network of a genesis.
    pub(crate) fn of_genesis(genesis: &cairn_core::genesis::Genesis) -> Self {
        let names = &genesis.rules().section().network;
        Self {
            name: names.name.clone(),
            identity: (*genesis.rules().identity()).into(),
            address_prefix: names.prefix.as_str().to_owned(),
            symbol: names.symbol.clone(),
            decimals: names.decimals,
            devnet: names.devnet,
            people: Vec::new(),
        }
    }

    /// The id of block 0.
    pub(crate) fn identity(&self) -> BlockId {
        self.identity.into()
    }

    /// How addresses begin.
    pub(crate) fn prefix(&self) -> Result<AddressPrefix, CliError> {
        AddressPrefix::new(&self.address_prefix).map_err(|error| {
            CliError::failed("bad-prefix", format!("`{}` cannot begin an address", self.address_prefix))
                .because(&error)
        })
    }

    /// An amount with the coin's symbol.
    pub(crate) fn coins(&self, amount: impl Into<Amount>) -> String {
        format!("{} {}", coins_text(amount.into(), self.decimals), self.symbol)
    }

    /// Reads an amount in coins.
    pub(crate) fn parse_amount(&self, text: &str) -> Result<Amount, CliError> {
        let amount = parse_coins(text, self.decimals).map_err(|error| {
            let failure = CliError::usage("bad-amount", format!("`{text}` is no amount: {error}"));
            match error {
                ValueError::AmountCharacter { found: ',' } => failure.help("write thousands without commas"),
                _ => failure,
            }
        })?;
        if amount == Amount::ZERO {
            return Err(CliError::usage("bad-amount", "an amount of nothing cannot be sent"));
        }
        Ok(amount)
    }

    /// The account with an address, a name of the wallet or, on a development network, a published name.
    pub(crate) fn account(&self, text: &str) -> Result<Address, CliError> {
        if let Some(person) = self.people.iter().find(|person| person.name.as_str() == text) {
            return person.address.on(&self.prefix()?).map_err(|error| self.not_an_address(text, &error));
        }
        if self.devnet
            && let Some(key) = development_account(text)
        {
            return Ok(key.address());
        }
        // An address is far longer than any name, and its characters are letters and digits.
        if text.len() >= 24 {
            return self.address(text);
        }
        let published = || development_accounts().map(|(name, _)| name).filter(|_| self.devnet);
        let names = || self.people.iter().map(|person| person.name.as_str()).chain(published());
        let failure = CliError::usage("unknown-account", format!("no account is called `{text}`"));
        if development_account(text).is_some() {
            return Err(failure.help(format!(
                "{text} is a development account, and `{}` is a real network: give an address",
                self.name
            )));
        }
        Err(match nearest(text, names()) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None if self.devnet => failure
                .help("the names here are alice, bob, carol and faucet; others are known by their address"),
            None => failure.help(format!("give an address: it begins with {}1", self.address_prefix)),
        })
    }

    fn address(&self, text: &str) -> Result<Address, CliError> {
        Address::from_text(text, &self.prefix()?).map_err(|error| self.not_an_address(text, &error))
    }

    /// Why a text, or the address that a name stands for, is no address of this network.
    pub(crate) fn not_an_address(&self, text: &str, error: &AddressError) -> CliError {
        let message = format!("{}: {error}", short(text));
        match error {
            AddressError::WrongNetwork { .. } => CliError::usage("wrong-network", message).help(format!(
                "this is the network `{}`; is the address meant for another, or is `--node` wrong?",
                self.name
            )),
            // Other coins have checksums of their own, so theirs seem mistyped.
            AddressError::Checksum if !self.begins(text) => {
                CliError::usage("bad-address", message).help(format!(
                    "is it an address of another coin? those of `{}` begin with {}1",
                    self.name, self.address_prefix
                ))
            }
            AddressError::Checksum => {
                CliError::usage("bad-address", message).help("copy the address anew: no coins were sent")
            }
            _ => CliError::usage("bad-address", message),
        }
    }

    /// Whether a text begins as addresses of this network do.
    fn begins(&self, text: &str) -> bool {
        let head = text.rsplit_once('1').map_or("", |(head, _)| head);
        head.eq_ignore_ascii_case(&self.address_prefix)
    }

    /// What a list says of an address: its name in the wallet, its published name on a development
    /// network, else the address, whole, so that it can be copied.
    pub(crate) fn known_as(&self, address: &str) -> String {
        if self.prefix().is_ok_and(|prefix| Address::default().to_text(&prefix) == address) {
            return "nobody".to_owned();
        }
        self.wallet_name(address)
            .or_else(|| self.development_name(address).map(str::to_owned))
            .unwrap_or_else(|| address.to_owned())
    }

    /// The same within a sentence, where a whole address would hide the rest.
    pub(crate) fn name_of(&self, address: &str) -> String {
        let name = self.known_as(address);
        if name == address { short(address) } else { name }
    }

    /// The name of an address in the wallet.
    pub(crate) fn wallet_name(&self, address: &str) -> Option<String> {
        let address = Address::from_text(address, &self.prefix().ok()?).ok()?;
        self.people.iter().find(|it| it.address.address() == address).map(|it| it.name.to_string())
    }

    /// The published name of an address on a development network.
    pub(crate) fn development_name(&self, address: &str) -> Option<&'static str> {
        let prefix = self.prefix().ok().filter(|_| self.devnet)?;
        let address = Address::from_text(address, &prefix).ok()?;
        development_accounts().find(|(_, key)| key.address() == address).map(|(name, _)| name)
    }

    /// The key that signs: of a key file, or of a published name on a development network.
    pub(crate) fn signer(&self, from: Option<&str>, key_file: Option<&Path>) -> Result<SigningKey, CliError> {
        match (from, key_file) {
            (Some(from), None) => self.named_signer(from),
            (None, Some(file)) => read_key(file),
            (Some(from), Some(file)) => {
                let key = read_key(file)?;
                let expected = self.account(from)?;
                if key.address() == expected {
                    return Ok(key);
                }
                let found = key.address().to_text(&self.prefix()?);
                let message = format!("{} holds the key of {}, not of {from}", file.display(), short(&found));
                Err(CliError::usage("wrong-key", message).help("leave `--from` out, or give the other key"))
            }
            (None, None) => {
                let failure = CliError::usage("no-key", "nobody was named to sign");
                Err(if self.devnet {
                    failure.help("say who: `--from alice`, or `--key-file FILE`")
                } else {
                    failure.help("make a wallet: `cairn wallet new`; or say which key: `--key-file FILE`")
                })
            }
        }
    }

    pub(crate) fn named_signer(&self, from: &str) -> Result<SigningKey, CliError> {
        if self.devnet
            && let Some(key) = development_account(from)
        {
            return Ok(key);
        }
        // Whoever mistyped a name is told so; an address is an account whose key is not here.
        let address = self.account(from)?.to_text(&self.prefix()?);
        Err(CliError::usage("no-key", format!("the key of {} is not here", short(&address)))
            .help("give the file that holds it: `--key-file FILE`"))
    }
}

/// Tells people, once, that the key of the account with an address is known to everybody.
pub(crate) fn warn_of_published_key(network: &Network, address: &str, json: bool) {
    if let Some(name) = network.development_name(address).filter(|_| !json) {
        warn(&format!("the key of {name} is published: never use it on a real network"));
    }
}

/// Reads a key file.
pub(crate) fn read_key(file: &Path) -> Result<SigningKey, CliError> {
    read_key_file(file).map_err(|error| {
        let failure = CliError::usage("bad-key-file", format!("{}: {error}", file.display()));
        match &error {
            KeyFileError::OpenToOthers { .. } => failure.help(format!("chmod 600 {}", file.display())),
            KeyFileError::Unreadable(source) => failure.because(source),
            _ => {
                failure.help("a key file holds 64 hexadecimal digits: the seed of an ed25519 key (RFC 8032)")
            }
        }
    })
}

/// What a transaction offers to pay for a unit of weight: the most, and the part for the producer.
pub(crate) fn fee_rates(status: &Status, asked: Option<FeeRate>) -> (FeeRate, FeeRate) {
    let base = FeeRate::from(status.fees.base_fee);
    match asked {
        // Who names a rate wants to be served by it, so what the base fee leaves is the producer's.
        Some(rate) => (rate, FeeRate(rate.0.saturating_sub(base.0))),
        // A base fee that moves may double within six full blocks before the transaction is in.
        None if status.fees.moving => (FeeRate(base.0.saturating_mul(2)), FeeRate(0)),
        None => (base, FeeRate(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::Hash;

    fn network(devnet: bool) -> Network {
        Network {
            name: "mycoin".to_owned(),
            identity: Hash([7; 32]),
            address_prefix: "cairn".to_owned(),
            symbol: "CAIRN".to_owned(),
            decimals: 8,
            devnet,
            people: Vec::new(),
        }
    }

    #[test]
    fn a_name_means_an_account_on_a_development_network_only() {
        let alice = development_account("alice").unwrap().address();
        assert_eq!(network(true).account("alice").unwrap(), alice);
        assert_eq!(network(false).account("alice").unwrap_err().code(), "unknown-account");
        assert!(network(false).signer(Some("alice"), None).is_err());
    }

    #[test]
    fn an_address_is_read_and_a_mistyped_one_named() {
        let alice = development_account("alice").unwrap().address();
        let prefix = AddressPrefix::new("cairn").unwrap();
        let text = alice.to_text(&prefix);
        assert_eq!(network(false).account(&text).unwrap(), alice);
        let last = if text.ends_with('q') { "p" } else { "q" };
        let mistyped = format!("{}{last}", &text[..text.len() - 1]);
        assert_eq!(network(false).account(&mistyped).unwrap_err().code(), "bad-address");
        let elsewhere = alice.to_text(&AddressPrefix::new("other").unwrap());
        let error = network(false).account(&elsewhere).unwrap_err();
        assert_eq!(error.code(), "wrong-network");
        assert!(error.message().contains("other"), "{error}");
    }

    #[test]
    fn amounts_have_the_coins_decimals() {
        let network = network(true);
        assert_eq!(network.parse_amount("1.5").unwrap(), Amount::from_units(150_000_000));
        for text in ["0", "0.0", "-5000", "1,000", "0.000000001", "x"] {
            assert_eq!(network.parse_amount(text).unwrap_err().code(), "bad-amount", "{text}");
        }
        assert_eq!(network.coins(Amount::from_units(123_456_000_000)), "1,234.56 CAIRN");
    }

    #[test]
    fn names_are_shown_where_they_mean_something() {
        let bob = development_account("bob").unwrap().address();
        let text = bob.to_text(&AddressPrefix::new("cairn").unwrap());
        assert_eq!(network(true).name_of(&text), "bob");
        assert_eq!(network(false).name_of(&text), short(&text));
        assert_eq!(network(true).known_as(&text), "bob");
        assert_eq!(network(false).known_as(&text), text);
    }
}
