//! Durations and times as people write them.

use crate::numbers::Timestamp;
use toml::value::{Date, Datetime, Offset};

/// The last millisecond that RFC 3339 can write: the end of the year 9999.
pub(super) const TIME_MS_MAX: u64 = 253_402_300_799_999;

const DAY_MS: i64 = 86_400_000;

/// Units of durations, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The milliseconds of a duration such as `10s`.
pub(super) fn parse_duration(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*unit_ms)
}

/// The duration in the longest unit in which it is a whole number.
pub(super) fn duration_to_text(milliseconds: u64) -> String {
    let whole = UNITS.iter().find(|(_, unit_ms)| milliseconds > 0 && milliseconds.is_multiple_of(*unit_ms));
    match whole {
        Some((unit, unit_ms)) => format!("{}{unit}", milliseconds / unit_ms),
        None => format!("{milliseconds}ms"),
    }
}

/// The time that a date and time with its offset says; none without offset, below a millisecond,
/// or before 1970.
pub(super) fn from_datetime(datetime: &Datetime) -> Option<Timestamp> {
    let (date, time, offset) = (datetime.date?, datetime.time?, datetime.offset?);
    let nanoseconds = time.nanosecond.unwrap_or(0);
    if nanoseconds % 1_000_000 != 0 {
        return None;
    }
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute)
        - match offset {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes),
        };
    let milliseconds = days_since_1970(date) * DAY_MS
        + minutes * 60_000
        + i64::from(time.second.unwrap_or(0)) * 1_000
        + i64::from(nanoseconds / 1_000_000);
    u64::try_from(milliseconds).ok().map(Timestamp)
}

/// The time in RFC 3339, in UTC. Times above [`TIME_MS_MAX`] get years of more than four digits.
pub(super) fn time_to_text(time: Timestamp) -> String {
    let (days, rest) = (time.0 / 86_400_000, time.0 % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let (seconds, milliseconds) = (rest / 1_000, rest % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let part = if milliseconds == 0 { String::new() } else { format!(".{milliseconds:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{part}Z")
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March
/// (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_1970(date: Date) -> i64 {
    let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_since_1970`], from 1970 on.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> Option<u64> {
        from_datetime(&text.parse().unwrap()).map(|time| time.0)
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(parse_duration("10s"), Some(10_000));
        assert_eq!(parse_duration("500ms"), Some(500));
        assert_eq!(parse_duration("2m"), Some(120_000));
        for text in ["", "10", "s", "1.5s", "-1s", "10 s", "10S", "1d1h", "18446744073709551615d", "10µs"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        assert_eq!(time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(time("2009-01-03T18:15:05Z"), Some(1_231_006_505_000));
        assert_eq!(time("2026-02-28T23:59:59.250+01:30"), Some(1_772_317_799_250));
        assert_eq!(time("9999-12-31T23:59:59.999Z"), Some(TIME_MS_MAX));
        for text in [
            "2026-01-01",
            "12:00:00",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.0001Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
        assert_eq!(time_to_text(Timestamp(951_782_400_000)), "2000-02-29T00:00:00Z");
    }

    proptest! {
        #[test]
        fn a_duration_is_read_as_it_is_written(milliseconds: u64) {
            prop_assert_eq!(parse_duration(&duration_to_text(milliseconds)), Some(milliseconds));
        }

        #[test]
        fn a_time_is_read_as_it_is_written(milliseconds in 0..=TIME_MS_MAX) {
            prop_assert_eq!(time(&time_to_text(Timestamp(milliseconds))), Some(milliseconds));
        }
    }
}
