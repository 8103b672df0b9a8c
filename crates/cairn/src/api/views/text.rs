//! The parts of the JSON shapes that are text: amounts, hashes and bytes.

use const_hex::Buffer;
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::values::decode_base64;
use cairn_core::numbers::{Amount, FeeRate};

/// A number of base units (or another number up to 2⁶⁴ − 1), written as a string of decimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units(pub u64);

/// 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

/// Bytes, written as lower-case hexadecimal digits; read from those or, after `base64:`, from base 64.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl From<Amount> for Units {
    fn from(amount: Amount) -> Self {
        Self(amount.units())
    }
}

impl From<FeeRate> for Units {
    fn from(rate: FeeRate) -> Self {
        Self(rate.0)
    }
}

impl From<Units> for Amount {
    fn from(units: Units) -> Self {
        Self::from_units(units.0)
    }
}

impl From<Units> for FeeRate {
    fn from(units: Units) -> Self {
        Self(units.0)
    }
}

/// Reads a number as it is written everywhere: one number has one text, decimal digits without a sign
/// and without leading zeros. None for any other text, and above what `T` holds.
pub(crate) fn parse_number<T: FromStr>(text: &str) -> Option<T> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = is_digits && (text == "0" || !text.starts_with('0'));
    is_canonical.then(|| text.parse().ok()).flatten()
}

/// Reads a number that a query may leave out.
pub(super) fn query_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
{
    let text = Cow::<'_, str>::deserialize(deserializer)?;
    let expected = "a number in decimal digits without a sign or leading zeros";
    let refuse = || D::Error::invalid_value(Unexpected::Str(&text), &expected);
    parse_number(&text).map(Some).ok_or_else(refuse)
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Lets the hashes of the ledger become [`Hash`].
macro_rules! from_hashes {
    ($($kind:ident),*) => {$(
        impl From<cairn_core::hash::$kind> for Hash {
            fn from(hash: cairn_core::hash::$kind) -> Self {
                Self(hash.0)
            }
        }

        impl From<Hash> for cairn_core::hash::$kind {
            fn from(hash: Hash) -> Self {
                Self(hash.0)
            }
        }
    )*};
}

from_hashes!(
    BlockId,
    TransactionId,
    LeafHash,
    MerkleRoot,
    StateRoot,
    HistoryRoot,
    ExtraHash,
    CertificateHash,
    StatePath
);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Buffer::<32>::new().format(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(&self.0))
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Buffer::<32>::new().format(&self.0))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&const_hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = Units;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string of decimal digits without a sign, below 2^64")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Units, E> {
                let number = parse_number(text).map(Units);
                number.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        let hash: Result<cairn_core::hash::BlockId, _> = text.parse();
        hash.map(|id| Self(id.0)).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        let bytes = match text.strip_prefix("base64:") {
            Some(digits) => decode_base64(digits),
            // The decoder would skip this prefix.
            None if text.starts_with("0x") || text.starts_with("0X") => None,
            None => const_hex::decode(text.as_bytes()).ok(),
        };
        bytes.map(Self).ok_or_else(|| {
            let expected = "an even number of hexadecimal digits, or `base64:` and padded base 64";
            D::Error::invalid_value(Unexpected::Str(&text), &expected)
        })
    }
}

/// Describes a string of a form to readers of the interface description.
fn string_schema(description: &str, pattern: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .description(Some(description))
        .pattern(Some(pattern));
    RefOr::T(Schema::Object(object.build()))
}

impl PartialSchema for Units {
    fn schema() -> RefOr<Schema> {
        string_schema("a number of base units, below 2^64", "^(0|[1-9][0-9]{0,19})$")
    }
}

impl ToSchema for Units {}

impl PartialSchema for Hash {
    fn schema() -> RefOr<Schema> {
        string_schema("32 bytes in hexadecimal digits", "^[0-9a-f]{64}$")
    }
}

impl ToSchema for Hash {}

impl PartialSchema for Bytes {
    fn schema() -> RefOr<Schema> {
        string_schema(
            "bytes in hexadecimal digits; what is sent to the node may also be `base64:` and base 64",
            "^(([0-9a-fA-F]{2})*|base64:[A-Za-z0-9+/]*={0,2})$",
        )
    }
}

impl ToSchema for Bytes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_string_of_digits_and_nothing_else() {
        assert_eq!(serde_json::to_string(&Units(u64::MAX)).unwrap(), "\"18446744073709551615\"");
        assert_eq!(serde_json::from_str::<Units>("\"18446744073709551615\"").unwrap(), Units(u64::MAX));
        for bad in [
            "5",
            "-5",
            "5.0",
            "\"5.0\"",
            "\"-5\"",
            "\"+5\"",
            "\"05\"",
            "\"\"",
            "\" 5\"",
            "\"5e3\"",
            "null",
            "\"18446744073709551616\"",
            "\"0x5\"",
            "\"٥\"",
        ] {
            assert!(serde_json::from_str::<Units>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hash_has_64_digits() {
        let hash = Hash([0xab; 32]);
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Hash>(&text).unwrap(), hash);
        for bad in ["\"ab\"", "\"\"", "7", "null"] {
            assert!(serde_json::from_str::<Hash>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Hash>(&format!("\"0x{}\"", "ab".repeat(31))).is_err());
    }

    #[test]
    fn bytes_are_pairs_of_digits_or_say_that_they_are_base_64() {
        for (text, bytes) in [("\"00ff\"", vec![0, 255]), ("\"\"", vec![]), ("\"base64:AP8=\"", vec![0, 255])]
        {
            let read = serde_json::from_str::<Bytes>(text).unwrap();
            assert_eq!(read, Bytes(bytes), "{text}");
            assert!(!serde_json::to_string(&read).unwrap().contains("base64"));
        }
        for bad in
            ["\"0\"", "\"0x00\"", "\"zz\"", "\"base64:AP8\"", "\"AP8=\"", "\"BASE64:AP8=\"", "[0]", "null"]
        {
            assert!(serde_json::from_str::<Bytes>(bad).is_err(), "{bad}");
        }
    }
}
