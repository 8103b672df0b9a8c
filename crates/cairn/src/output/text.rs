//! Numbers, hashes and times as people read them.

use cairn_core::genesis::coins;
use cairn_core::numbers::Amount;
use std::time::Duration;

/// An amount in coins: thousands grouped, no zeros behind the last digit that counts.
pub fn coins_text(amount: Amount, decimals: u8) -> String {
    let text = coins::to_text(amount, decimals);
    match text.split_once('.') {
        Some((whole, part)) => format!("{}.{part}", group(whole)),
        None => group(&text),
    }
}

/// A number with its thousands grouped.
pub fn grouped(number: u64) -> String {
    group(&number.to_string())
}

/// Digits with a comma before each three.
fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: "1 block", "2 blocks".
pub fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A hash or an address for a table: enough at both ends to tell it from its neighbours.
pub fn short(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    match (characters.get(..10), characters.len().checked_sub(6).and_then(|from| characters.get(from..))) {
        (Some(head), Some(tail)) if characters.len() > 20 => {
            format!("{}…{}", String::from_iter(head), String::from_iter(tail))
        }
        _ => text.to_owned(),
    }
}

/// How long before `now_ms` something happened, in words.
pub fn ago(now_ms: u64, then_ms: u64) -> String {
    let Some(passed) = now_ms.checked_sub(then_ms) else {
        return "in the future".to_owned();
    };
    let seconds = passed / 1000;
    match seconds {
        0 => "just now".to_owned(),
        1..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", grouped(seconds / 86_400)),
    }
}

/// How long something took, or may take.
pub fn time_text(time: Duration) -> String {
    if time.as_secs() == 0 {
        format!("{} ms", time.as_millis())
    } else if time.subsec_millis() == 0 {
        format!("{} s", grouped(time.as_secs()))
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// A number of bytes in the unit that leaves one to four digits.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return plural(bytes, "byte");
    }
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_are_grouped_and_lose_idle_zeros() {
        let cases = [
            (0, 8, "0"),
            (1, 8, "0.00000001"),
            (150_000_000, 8, "1.5"),
            (100_000_000_000_000, 8, "1,000,000"),
            (u64::MAX, 0, "18,446,744,073,709,551,615"),
            (u64::MAX, 18, "18.446744073709551615"),
            (123_456, 2, "1,234.56"),
        ];
        for (units, decimals, expected) in cases {
            assert_eq!(coins_text(Amount::from_units(units), decimals), expected);
        }
    }

    #[test]
    fn long_texts_are_shortened_and_short_ones_kept() {
        assert_eq!(short(&"0123456789abcdef".repeat(4)), "0123456789…abcdef");
        assert_eq!(short("cairn1short"), "cairn1short");
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let cases = [
            (0, "just now"),
            (5_000, "5 s ago"),
            (180_000, "3 min ago"),
            (7_200_000, "2 h ago"),
            (400_000_000, "4 days ago"),
        ];
        for (passed, expected) in cases {
            assert_eq!(ago(1_000_000_000 + passed, 1_000_000_000), expected);
        }
        assert_eq!(ago(5, 6), "in the future");
    }

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        let cases = [(150, "150 ms"), (1_000, "1 s"), (1_640, "1.6 s"), (3_600_000, "3,600 s")];
        for (time, expected) in cases {
            assert_eq!(time_text(Duration::from_millis(time)), expected);
        }
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1,023 bytes"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(bytes_text(bytes), expected);
        }
    }
}
