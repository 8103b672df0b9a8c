//! Payment links: `cairn:ADDRESS?amount=12.5&label=Rent&network=…`, as a QR code or a link holds them.
//!
//! The form is that of BIP-21. A link comes from strangers: it is bounded, its texts hold nothing
//! that a terminal obeys, a parameter that must be understood is refused where it is not, and a
//! link for another network is told by its address and by the network's identity.

use crate::text::{TextError, check_text};
use cairn_core::address::{Address, AddressError, AddressPrefix};
use cairn_core::genesis::coins::{self, CoinsError};
use cairn_core::hash::BlockId;
use cairn_core::numbers::Amount;
use std::fmt::Write as _;

/// The longest link, in bytes: what one QR code holds.
pub const URI_BYTES_MAX: usize = 2048;
/// The most parameters of a link.
pub const PARAMETERS_MAX: usize = 16;
/// How a link begins, in any case.
const SCHEME: &str = "cairn:";

/// What a link asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRequest {
    /// Who is to be paid.
    pub to: Address,
    /// How much; none if the payer chooses.
    pub amount: Option<Amount>,
    /// Who is paid, in words.
    pub label: Option<String>,
    /// What it is for, in words.
    pub message: Option<String>,
}

/// What a network must be known by to read and to write its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriNetwork {
    /// How addresses begin.
    pub prefix: AddressPrefix,
    /// The id of block 0.
    pub identity: BlockId,
    /// One coin is 10^decimals base units.
    pub decimals: u8,
}

/// Why a text is not a payment link of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It begins with something else.
    #[error("a payment link begins with cairn:")]
    Scheme,
    /// It is longer than a QR code.
    #[error("the link has {found} bytes, at most {URI_BYTES_MAX} are allowed")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// It has more parameters than any.
    #[error("the link has more than {PARAMETERS_MAX} parameters")]
    TooManyParameters,
    /// The address is none, or of another network.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The amount is not a number of coins.
    #[error("the amount of the link: {0}")]
    Amount(#[from] CoinsError),
    /// The amount is nothing.
    #[error("the link asks for an amount of nothing")]
    NoAmount,
    /// The link is for a network with another identity.
    #[error("the link is for the network with the identity {found}, this is {expected}")]
    OtherNetwork {
        /// The identity of the link.
        found: BlockId,
        /// The identity of this network.
        expected: BlockId,
    },
    /// The identity is not 64 hexadecimal digits.
    #[error("the network of a link is an identity of 64 hexadecimal digits")]
    Identity,
    /// A label or a message is not shown.
    #[error("the {parameter} of the link: {error}")]
    Text {
        /// Which.
        parameter: &'static str,
        /// Why not.
        error: TextError,
    },
    /// `%` is followed by something else than two hexadecimal digits, or the bytes are not UTF-8.
    #[error("the link has a wrong % sequence")]
    Encoding,
    /// A parameter stands there twice.
    #[error("the parameter {parameter} stands in the link twice")]
    Twice {
        /// Which.
        parameter: &'static str,
    },
    /// The link says of a parameter that it must be understood, and it is not.
    #[error("the link needs something that this release does not know: a parameter that begins with req-")]
    Required,
}

impl PaymentRequest {
    /// Reads a link of a network.
    ///
    /// # Errors
    ///
    /// [`UriError`].
    pub fn parse(text: &str, network: &UriNetwork) -> Result<Self, UriError> {
        let text = text.trim();
        if text.len() > URI_BYTES_MAX {
            return Err(UriError::TooLong { found: text.len() });
        }
        let (scheme, rest) = text.split_at_checked(SCHEME.len()).ok_or(UriError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(UriError::Scheme);
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let to = Address::from_text(address, &network.prefix)?;
        let parameters: Vec<&str> = query.split('&').filter(|it| !it.is_empty()).collect();
        if parameters.len() > PARAMETERS_MAX {
            return Err(UriError::TooManyParameters);
        }
        let (mut amount, mut label, mut message, mut identity) = (None, None, None, None);
        for parameter in parameters {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key.to_ascii_lowercase().as_str() {
                "amount" => set(&mut amount, "amount", read_amount(value, network)?)?,
                "label" => set(&mut label, "label", read_text("label", value)?)?,
                "message" => set(&mut message, "message", read_text("message", value)?)?,
                "network" => set(&mut identity, "network", check_identity(value, network)?)?,
                required if required.starts_with("req-") => return Err(UriError::Required),
                // BIP-21: what is not known and not required is for others.
                _ => {}
            }
        }
        Ok(Self { to, amount, label, message })
    }

    /// The link, which names its network.
    ///
    /// # Errors
    ///
    /// [`UriError`] if it cannot be read back: a text that is not shown, an amount of nothing.
    pub fn to_uri(&self, network: &UriNetwork) -> Result<String, UriError> {
        let mut uri = format!("{SCHEME}{}", self.to.to_text(&network.prefix));
        let mut opening = '?';
        let mut add = |key: &str, value: &str| {
            uri.push(opening);
            opening = '&';
            uri.push_str(key);
            uri.push('=');
            encode_percent(value, &mut uri);
        };
        if let Some(amount) = self.amount {
            if amount == Amount::ZERO {
                return Err(UriError::NoAmount);
            }
            add("amount", &coins::to_text(amount, network.decimals));
        }
        for (parameter, text) in [("label", &self.label), ("message", &self.message)] {
            if let Some(text) = text {
                check_text(text).map_err(|error| UriError::Text { parameter, error })?;
                add(parameter, text);
            }
        }
        add("network", &network.identity.to_string());
        match uri.len() {
            found if found > URI_BYTES_MAX => Err(UriError::TooLong { found }),
            _ => Ok(uri),
        }
    }
}

/// Sets a parameter that stands there once.
fn set<T>(place: &mut Option<T>, parameter: &'static str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice { parameter }),
    }
}

fn read_amount(value: &str, network: &UriNetwork) -> Result<Amount, UriError> {
    match coins::parse(&decode_percent(value)?, network.decimals)? {
        Amount::ZERO => Err(UriError::NoAmount),
        amount => Ok(amount),
    }
}

fn read_text(parameter: &'static str, value: &str) -> Result<String, UriError> {
    let text = decode_percent(value)?;
    check_text(&text).map_err(|error| UriError::Text { parameter, error })?;
    Ok(text)
}

fn check_identity(value: &str, network: &UriNetwork) -> Result<(), UriError> {
    let found: BlockId = value.to_ascii_lowercase().parse().map_err(|_| UriError::Identity)?;
    let expected = network.identity;
    if found == expected { Ok(()) } else { Err(UriError::OtherNetwork { found, expected }) }
}

/// RFC 3986, 2.1; a `+` is a plus.
fn decode_percent(value: &str) -> Result<String, UriError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().ok_or(UriError::Encoding)?, rest.next().ok_or(UriError::Encoding)?];
            let [decoded] = const_hex::decode_to_array(digits).map_err(|_| UriError::Encoding)?;
            bytes.push(decoded);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| UriError::Encoding)
}

/// Everything but letters, digits and `-._~` (RFC 3986, 2.3) is encoded.
fn encode_percent(value: &str, uri: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02X}").expect("a text takes all characters");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network() -> UriNetwork {
        UriNetwork {
            prefix: AddressPrefix::new("cairn").unwrap(),
            identity: BlockId([0xab; 32]),
            decimals: 8,
        }
    }

    fn address() -> String {
        Address([7; 32]).to_text(&network().prefix)
    }

    fn read(query: &str) -> Result<PaymentRequest, UriError> {
        PaymentRequest::parse(&format!("cairn:{}{query}", address()), &network())
    }

    #[test]
    fn an_address_alone_is_a_link() {
        let nothing_else = PaymentRequest { to: Address([7; 32]), amount: None, label: None, message: None };
        assert_eq!(read(""), Ok(nothing_else.clone()));
        assert_eq!(read("?"), Ok(nothing_else.clone()));
        let upper = format!(" CAIRN:{}\n", address().to_uppercase());
        assert_eq!(PaymentRequest::parse(&upper, &network()), Ok(nothing_else));
    }

    #[test]
    fn everything_a_link_can_say_is_read() {
        let identity = "AB".repeat(32);
        let asked =
            read(&format!("?amount=12.5&label=M%C3%A4rz%20%26%20Co&network={identity}&message=Rent+1&x=y"));
        let asked = asked.unwrap();
        assert_eq!(asked.amount, Some(Amount::from_units(1_250_000_000)));
        assert_eq!(asked.label.as_deref(), Some("März & Co"));
        assert_eq!(asked.message.as_deref(), Some("Rent+1"));
    }

    #[test]
    fn a_link_of_another_network_is_told() {
        let other = "cd".repeat(32);
        let refused = read(&format!("?network={other}"));
        let expected = network().identity;
        assert_eq!(refused, Err(UriError::OtherNetwork { found: BlockId([0xcd; 32]), expected }));
        let foreign = Address([7; 32]).to_text(&AddressPrefix::new("tn").unwrap());
        let refused = PaymentRequest::parse(&format!("cairn:{foreign}"), &network());
        assert!(matches!(refused, Err(UriError::Address(AddressError::WrongNetwork { .. }))));
        assert_eq!(read("?network=abcd"), Err(UriError::Identity));
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        assert_eq!(read("?amount=0"), Err(UriError::NoAmount));
        assert_eq!(
            read("?amount=0.000000001"),
            Err(UriError::Amount(CoinsError::TooManyDecimals { found: 9, limit: 8 }))
        );
        for wrong in ["", "-1", "1e8", "0x10", "1,5", "1%2C5", "%31%00"] {
            assert_eq!(read(&format!("?amount={wrong}")), Err(UriError::Amount(CoinsError::Form)), "{wrong}");
        }
        assert_eq!(read("?amount=999999999999"), Err(UriError::Amount(CoinsError::TooMuch)));
    }

    #[test]
    fn a_link_says_each_thing_once_and_nothing_that_must_be_known() {
        assert_eq!(read("?amount=1&amount=2"), Err(UriError::Twice { parameter: "amount" }));
        assert_eq!(read("?label=a&LABEL=a"), Err(UriError::Twice { parameter: "label" }));
        assert_eq!(read("?req-expiry=5"), Err(UriError::Required));
        assert_eq!(read(&format!("?{}", "x=1&".repeat(17))), Err(UriError::TooManyParameters));
    }

    #[test]
    fn a_link_cannot_write_to_the_terminal() {
        for (value, found) in [("%1B%5B2J", '\u{1b}'), ("a%0Ab", '\n'), ("%E2%80%AEevil", '\u{202e}')] {
            let error = TextError::Control { found };
            assert_eq!(read(&format!("?label={value}")), Err(UriError::Text { parameter: "label", error }));
        }
        for wrong in ["%", "%4", "%zz", "%FF", "%C3"] {
            assert_eq!(read(&format!("?message={wrong}")), Err(UriError::Encoding), "{wrong}");
        }
    }

    #[test]
    fn other_texts_are_no_links() {
        for text in ["", "cairn", "cair\u{e9}:", "bitcoin:abc", "http://cairn:x", "cairn;x"] {
            assert_eq!(PaymentRequest::parse(text, &network()), Err(UriError::Scheme), "{text}");
        }
        let found = URI_BYTES_MAX + 1;
        let long = format!("cairn:{}", "a".repeat(found - 6));
        assert_eq!(PaymentRequest::parse(&long, &network()), Err(UriError::TooLong { found }));
    }

    #[test]
    fn what_cannot_be_read_back_is_not_written() {
        let request =
            PaymentRequest { to: Address([7; 32]), amount: Some(Amount::ZERO), label: None, message: None };
        assert_eq!(request.to_uri(&network()), Err(UriError::NoAmount));
        let request = PaymentRequest { amount: None, label: Some("\u{1b}".to_owned()), ..request };
        assert!(matches!(request.to_uri(&network()), Err(UriError::Text { parameter: "label", .. })));
    }

    proptest! {
        #[test]
        fn a_link_is_read_as_it_is_written(
            to: [u8; 32],
            amount in proptest::option::of(1u64..),
            label in proptest::option::of("[a-zA-Z0-9 &=?%#+ÄöÜ家🍕]{0,40}"),
            message in proptest::option::of("[a-zA-Z0-9 &=?%#+ÄöÜ家🍕]{0,40}"),
        ) {
            let amount = amount.map(Amount::from_units);
            let request = PaymentRequest { to: Address(to), amount, label, message };
            let uri = request.to_uri(&network()).unwrap();
            prop_assert_eq!(PaymentRequest::parse(&uri, &network()), Ok(request));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
            let _ = read(&format!("?{text}"));
            let _ = PaymentRequest::parse(&text, &network());
        }
    }
}
