//! Amounts as people write them: a number of coins with decimals, never a float.

use crate::numbers::Amount;

/// Why a text is not a number of coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoinsError {
    /// Other characters than digits and one point between digits.
    #[error("write digits, and a point before decimals, such as \"12.5\"")]
    Form,
    /// More decimals than the coin has.
    #[error("the coin has {limit} decimals, this has {found}")]
    TooManyDecimals {
        /// The decimals of the text.
        found: usize,
        /// The decimals of the coin.
        limit: u8,
    },
    /// More than an amount can hold.
    #[error("at most 2^64 - 1 base units fit")]
    TooMuch,
}

/// The amount of a number of coins, each of 10^`decimals` base units.
///
/// # Errors
///
/// [`CoinsError`] if the text is anything but digits with at most `decimals` digits behind a point.
pub fn parse(text: &str, decimals: u8) -> Result<Amount, CoinsError> {
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) if !part.is_empty() => (whole, part),
        Some(_) => return Err(CoinsError::Form),
        None => (text, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(CoinsError::Form);
    }
    if part.len() > usize::from(decimals) {
        return Err(CoinsError::TooManyDecimals { found: part.len(), limit: decimals });
    }
    let zeros = std::iter::repeat_n(b'0', usize::from(decimals) - part.len());
    let mut units: u64 = 0;
    for digit in whole.bytes().chain(part.bytes()).chain(zeros) {
        let more = units.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
        units = more.ok_or(CoinsError::TooMuch)?;
    }
    Ok(Amount::from_units(units))
}

/// The number of coins that an amount is, without zeros at the end of the decimals.
pub fn to_text(amount: Amount, decimals: u8) -> String {
    to_text_wide(u128::from(amount.units()), decimals)
}

/// The number of coins that a sum of amounts is, also where it is more than an amount can hold.
pub fn to_text_wide(units: u128, decimals: u8) -> String {
    let decimals = usize::from(decimals);
    let digits = format!("{units:0>width$}", width = decimals + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals);
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn coins_are_digits_with_a_point() {
        let units = |text| parse(text, 2).map(Amount::units);
        assert_eq!(units("12.5"), Ok(1250));
        assert_eq!(units("0.01"), Ok(1));
        assert_eq!(units("184467440737095516.15"), Ok(u64::MAX));
        assert_eq!(units("184467440737095516.16"), Err(CoinsError::TooMuch));
        assert_eq!(units("0.001"), Err(CoinsError::TooManyDecimals { found: 3, limit: 2 }));
        for text in ["", ".", "1.", ".5", "-1", "+1", "1,5", "1e3", " 1", "1_000", "0x10", "١"] {
            assert_eq!(units(text), Err(CoinsError::Form), "{text}");
        }
        assert_eq!(parse("7", 0).map(Amount::units), Ok(7));
        assert_eq!(parse("7.0", 0), Err(CoinsError::TooManyDecimals { found: 1, limit: 0 }));
    }

    proptest! {
        #[test]
        fn an_amount_is_read_as_it_is_written(units: u64, decimals in 0u8..=18) {
            let amount = Amount::from_units(units);
            prop_assert_eq!(parse(&to_text(amount, decimals), decimals), Ok(amount));
        }
    }
}
