//! Values as people type them: coins, data, durations, sizes, addresses of nodes.

use cairn_core::genesis::coins::{self, CoinsError};
use cairn_core::numbers::Amount;
use cairn_core::target::{Work, WorkError};
use cairn_p2p::{AddressError, PeerAddress};
use std::fmt;
use std::path::PathBuf;

/// Why a text is not a value. The text itself is for the caller to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No address of a node.
    #[error("`{found}` is no address of a node: {source}")]
    Peer {
        /// The text.
        found: String,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
    /// No number of hashes.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// Nothing was given.
    #[error("an amount is expected, such as 12.5")]
    NoAmount,
    /// Amounts have no sign.
    #[error("an amount has no sign: nobody can send less than nothing")]
    SignedAmount,
    /// Something else than digits and one point.
    #[error("an amount has digits and at most one point, such as 1250.75; `{found}` is neither")]
    AmountCharacter {
        /// The first that is neither.
        found: char,
    },
    /// Digits are missing on a side of the point.
    #[error("an amount has digits on both sides of its point, such as 0.5")]
    AmountPoint,
    /// Base units cannot be divided.
    #[error("the amount has {found} decimals, the coin has {allowed}: the least is {least}")]
    TooManyDecimals {
        /// The decimals of the text.
        found: usize,
        /// The decimals of the coin.
        allowed: u8,
        /// One base unit in coins.
        least: String,
    },
    /// An amount is below 2⁶⁴ base units.
    #[error("the amount is above {most}, the most that can be written")]
    AmountTooLarge {
        /// The largest amount in coins.
        most: String,
    },
    /// Bytes after `0x` are pairs of hexadecimal digits.
    #[error("after 0x an even number of hexadecimal digits is expected")]
    DataHex,
    /// Bytes after `base64:` are in base 64 (RFC 4648).
    #[error("after base64: the digits of RFC 4648 with their padding are expected")]
    DataBase64,
    /// A duration is a number and a unit.
    #[error("a duration is a number and ms, s, m or h, such as 60s")]
    Duration,
    /// Numbers of things have no sign and no point.
    #[error("a whole number from 0 on is expected, such as 12")]
    Count,
    /// A size is a number and a unit.
    #[error("a size is a number and KiB, MiB or GiB, such as 64MiB")]
    Size,
    /// A name leads to no other directory.
    #[error("files are named after it, so a name has no slashes and begins with no point or hyphen")]
    Name,
    /// The interface of a node is reached over HTTP.
    #[error("the address of a node is http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:7780")]
    Url,
    /// What a certificate is known by is its fingerprint, or a file.
    #[error("`sha256:` and 64 hexadecimal digits, or a file with certificates, are expected")]
    Trust,
}

/// Reads an amount in coins of `decimals` decimals, exactly.
///
/// # Errors
///
/// [`ValueError`] if it is no amount of that coin.
pub fn parse_coins(text: &str, decimals: u8) -> Result<Amount, ValueError> {
    if text.is_empty() {
        return Err(ValueError::NoAmount);
    }
    if text.starts_with(['-', '+', '−']) {
        return Err(ValueError::SignedAmount);
    }
    if let Some(found) = text.chars().find(|it| !it.is_ascii_digit() && *it != '.') {
        return Err(ValueError::AmountCharacter { found });
    }
    match coins::parse(text, decimals) {
        Ok(amount) => Ok(amount),
        Err(CoinsError::Form) if text.matches('.').count() > 1 => {
            Err(ValueError::AmountCharacter { found: '.' })
        }
        Err(CoinsError::Form) => Err(ValueError::AmountPoint),
        Err(CoinsError::TooManyDecimals { found, limit }) => {
            let least = coins::to_text(Amount::from_units(1), decimals);
            Err(ValueError::TooManyDecimals { found, allowed: limit, least })
        }
        Err(CoinsError::TooMuch) => {
            Err(ValueError::AmountTooLarge { most: crate::output::coins_text(Amount::MAX, decimals) })
        }
    }
}

/// Reads data: a text as it is, bytes after `0x` or after `base64:`.
///
/// # Errors
///
/// [`ValueError`] if what follows the prefix is not in its form.
pub fn parse_data(text: &str) -> Result<Vec<u8>, ValueError> {
    if let Some(digits) = text.strip_prefix("0x") {
        // The decoder would read a second prefix.
        return match digits.starts_with("0x") {
            true => Err(ValueError::DataHex),
            false => const_hex::decode(digits).map_err(|_| ValueError::DataHex),
        };
    }
    match text.strip_prefix("base64:") {
        Some(digits) => decode_base64(digits).ok_or(ValueError::DataBase64),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// Decodes the padded standard alphabet (RFC 4648, 4); bits that mean nothing must be zero.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(digits.len()), 0u32, 0);
    for digit in digits.bytes() {
        let place = ALPHABET.iter().position(|known| *known == digit)?;
        bits = (bits << 6) | u32::try_from(place).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// Reads a duration in milliseconds: `500ms`, `60s`, `5m`, `1h`.
///
/// # Errors
///
/// [`ValueError::Duration`].
pub fn parse_duration(text: &str) -> Result<std::time::Duration, ValueError> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    scaled(text, &units).map(std::time::Duration::from_millis).ok_or(ValueError::Duration)
}

/// Reads a size in bytes: `64MiB`, `1GiB`. Its unit must be said, since a bare number would mean
/// bytes to the program and megabytes to whoever typed it.
///
/// # Errors
///
/// [`ValueError::Size`].
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    scaled(text, &units).ok_or(ValueError::Size)
}

/// Reads a whole number: a height, a nonce, a rate.
///
/// # Errors
///
/// [`ValueError::Count`].
pub fn parse_count(text: &str) -> Result<u64, ValueError> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(ValueError::Count)
}

/// Reads a name that may become part of the name of a file.
///
/// # Errors
///
/// [`ValueError::Name`].
pub fn parse_name(text: &str) -> Result<String, ValueError> {
    let is_plain = |it: char| !it.is_control() && !"/\\".contains(it);
    if text.is_empty() || text.starts_with(['.', '-']) || !text.chars().all(is_plain) {
        return Err(ValueError::Name);
    }
    Ok(text.to_owned())
}

/// Reads a number of hashes.
///
/// # Errors
///
/// [`ValueError::Work`].
pub fn parse_work(text: &str) -> Result<Work, ValueError> {
    Ok(text.parse()?)
}

/// Reads addresses of other nodes, with commas between them.
///
/// # Errors
///
/// [`ValueError::Peer`].
pub fn parse_peers(text: &str) -> Result<Vec<PeerAddress>, ValueError> {
    let parse = |peer: &str| {
        peer.trim().parse().map_err(|source| ValueError::Peer { found: peer.trim().to_owned(), source })
    };
    text.split(',').map(parse).collect()
}

/// The number before the first unit that the text ends with, times the unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) =
        units.iter().find_map(|(unit, scale)| text.strip_suffix(unit).map(|digits| (digits, *scale)))?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

/// Where a node's HTTP interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUrl(String);

impl NodeUrl {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`; a slash at the end says nothing.
    ///
    /// # Errors
    ///
    /// [`ValueError::Url`].
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let (scheme, authority) = text.split_once("://").ok_or(ValueError::Url)?;
        if !matches!(scheme, "http" | "https") {
            return Err(ValueError::Url);
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = authority.rsplit_once(':').ok_or(ValueError::Url)?;
        let plain = |it: char| it.is_ascii_alphanumeric() || ".-_[]:".contains(it);
        if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
            return Err(ValueError::Url);
        }
        Ok(Self(format!("{scheme}://{authority}")))
    }

    /// Whether the node is reached over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// The address without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a certificate is known by: the SHA-256 of its DER bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// What a fingerprint begins with as a text.
const FINGERPRINT_PREFIX: &str = "sha256:";

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(certificate: &[u8]) -> Self {
        let mut hasher = cairn_hash::Sha256::new();
        hasher.update(certificate);
        Self(hasher.finish())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FINGERPRINT_PREFIX}{}", const_hex::encode(self.0))
    }
}

/// Which certificates a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeTrust {
    /// The one with this fingerprint.
    Fingerprint(Fingerprint),
    /// Those of this file, and those that they signed.
    File(PathBuf),
}

impl NodeTrust {
    /// Reads `sha256:` with 64 hexadecimal digits, between pairs of which colons may stand, or the path of a
    /// file.
    ///
    /// # Errors
    ///
    /// [`ValueError::Trust`].
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let Some(digits) = text.strip_prefix(FINGERPRINT_PREFIX) else {
            return if text.is_empty() { Err(ValueError::Trust) } else { Ok(Self::File(text.into())) };
        };
        let bytes = const_hex::decode(digits.replace(':', "")).map_err(|_| ValueError::Trust)?;
        bytes.try_into().map(|bytes| Self::Fingerprint(Fingerprint(bytes))).map_err(|_| ValueError::Trust)
    }
}

/// The candidate that is spelled most like `text`, if one is near enough to be what was meant.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (text.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edits(&text.to_lowercase(), candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour (the
/// restricted Damerau-Levenshtein distance).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(left != right)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *right && *left == b[j - 1] {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn coins_are_read_to_the_last_unit() {
        let cases = [
            ("0", 8, 0),
            ("1", 8, 100_000_000),
            ("0.00000001", 8, 1),
            ("12.5", 2, 1250),
            ("12.50", 2, 1250),
            ("18.446744073709551615", 18, u64::MAX),
            ("007", 0, 7),
        ];
        for (text, decimals, expected) in cases {
            assert_eq!(parse_coins(text, decimals), Ok(Amount::from_units(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_says_why() {
        assert_eq!(parse_coins("", 8), Err(ValueError::NoAmount));
        for text in ["-5000", "+1", "−1"] {
            assert_eq!(parse_coins(text, 8), Err(ValueError::SignedAmount), "{text}");
        }
        for (text, found) in [("1,000", ','), ("1e3", 'e'), ("1 0", ' '), ("1.2.3", '.'), ("٥", '٥')] {
            assert_eq!(parse_coins(text, 8), Err(ValueError::AmountCharacter { found }), "{text}");
        }
        for text in [".5", "5.", "."] {
            assert_eq!(parse_coins(text, 8), Err(ValueError::AmountPoint), "{text}");
        }
        assert_eq!(
            parse_coins("0.001", 2),
            Err(ValueError::TooManyDecimals { found: 3, allowed: 2, least: "0.01".to_owned() })
        );
        for text in ["18446744073709551616", "999999999999999999999999999999"] {
            assert!(matches!(parse_coins(text, 0), Err(ValueError::AmountTooLarge { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn coins_are_read_as_they_are_shown(units: u64, decimals in 0u8..=18) {
            let text = crate::output::coins_text(Amount::from_units(units), decimals).replace(',', "");
            prop_assert_eq!(parse_coins(&text, decimals), Ok(Amount::from_units(units)));
        }

        #[test]
        fn no_text_breaks_a_reader(text: String) {
            let _ = parse_coins(&text, 8);
            let _ = parse_data(&text);
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = NodeUrl::parse(&text);
            let _ = nearest(&text, ["alice", "bob"]);
        }
    }

    #[test]
    fn data_is_text_unless_a_prefix_says_otherwise() {
        let cases: [(&str, &[u8]); 8] = [
            ("hello", b"hello"),
            ("", b""),
            ("0x", b""),
            ("0x00fF", &[0, 255]),
            ("base64:", b""),
            ("base64:aGVsbG8=", b"hello"),
            ("base64:Zm9vYg==", b"foob"),
            ("base64:+/+/", &[0xfb, 0xff, 0xbf]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_data(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["0x0", "0xzz", "0x0x00"] {
            assert_eq!(parse_data(text), Err(ValueError::DataHex), "{text}");
        }
        for text in ["base64:aGVsbG8", "base64:a", "base64:====", "base64:aGVsbG9=", "base64:aG-_"] {
            assert_eq!(parse_data(text), Err(ValueError::DataBase64), "{text}");
        }
    }

    #[test]
    fn counts_have_no_sign_and_names_lead_nowhere() {
        assert_eq!(parse_count("12"), Ok(12));
        for text in ["", "-1", "+1", "1.5", "1e3", "99999999999999999999"] {
            assert_eq!(parse_count(text), Err(ValueError::Count), "{text}");
        }
        assert_eq!(parse_name("my coin 2.0"), Ok("my coin 2.0".to_owned()));
        for text in ["", "../evil", ".hidden", "-x", "a/b", "a\\b", "a\nb"] {
            assert_eq!(parse_name(text), Err(ValueError::Name), "{text:?}");
        }
    }

    #[test]
    fn durations_and_sizes_have_units() {
        for (text, expected) in [("500ms", 500), ("60s", 60_000), ("5m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text).unwrap().as_millis(), expected, "{text}");
        }
        for text in ["", "5", "s", "-5s", "1.5s", "5 s", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), Err(ValueError::Duration), "{text}");
        }
        for (text, expected) in [("64MiB", 64 << 20), ("1GiB", 1 << 30), ("2KiB", 2048)] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "MiB", "64MB", "4096", "-1", "1.5GiB"] {
            assert_eq!(parse_size(text), Err(ValueError::Size), "{text}");
        }
    }

    #[test]
    fn a_node_is_reached_over_http_at_a_port() {
        for text in ["http://127.0.0.1:7780", "http://localhost:1/", "http://[::1]:7780"] {
            assert_eq!(NodeUrl::parse(text).unwrap().as_str(), text.trim_end_matches('/'));
        }
        for text in ["", "127.0.0.1:7780", "http://127.0.0.1", "http://:1", "http://a:1/x", "http://a b:1"] {
            assert_eq!(NodeUrl::parse(text), Err(ValueError::Url), "{text}");
        }
        let url = NodeUrl::parse("https://node.example:7780/").unwrap();
        assert_eq!((url.as_str(), url.is_encrypted()), ("https://node.example:7780", true));
        assert_eq!(NodeUrl::parse("ftp://127.0.0.1:7780"), Err(ValueError::Url));
    }

    #[test]
    fn a_certificate_is_known_by_its_fingerprint_or_a_file() {
        let text = Fingerprint::of(b"certificate").to_string();
        let known = NodeTrust::Fingerprint(Fingerprint::of(b"certificate"));
        assert_eq!(NodeTrust::parse(&text), Ok(known.clone()));
        let digits = text.strip_prefix(FINGERPRINT_PREFIX).unwrap().to_uppercase();
        let pairs: Vec<&str> = (0..32).map(|at| &digits[2 * at..2 * at + 2]).collect();
        assert_eq!(NodeTrust::parse(&format!("sha256:{}", pairs.join(":"))), Ok(known));
        assert_eq!(NodeTrust::parse("ca.pem"), Ok(NodeTrust::File("ca.pem".into())));
        for bad in ["", "sha256:", "sha256:00", &text[..text.len() - 1], &format!("{text}0")] {
            assert_eq!(NodeTrust::parse(bad), Err(ValueError::Trust), "{bad}");
        }
    }

    #[test]
    fn a_near_miss_finds_its_name() {
        let names = ["alice", "bob", "carol", "faucet"];
        for (text, expected) in [("alcie", "alice"), ("Bob", "bob"), ("faucett", "faucet"), ("bo", "bob")] {
            assert_eq!(nearest(text, names), Some(expected), "{text}");
        }
        for text in ["mallory", "", "x"] {
            assert_eq!(nearest(text, names), None, "{text}");
        }
    }
}
