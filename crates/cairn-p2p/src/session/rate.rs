//! Buckets that fill up at a rate: how much of something a peer may send.

use crate::frame::Rate;
use std::time::Duration;
use tokio::time::Instant;

/// Milliseconds of a minute: one token in the units of a bucket, so that a rate a minute is one a millisecond.
const TOKEN: u64 = 60_000;

/// How much is left of one rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    level: u64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: u64::from(rate.burst) * TOKEN, at: now }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_up_to(1, now) == 1
    }

    /// Takes as many as there are of `wanted`.
    pub(crate) fn take_up_to(&mut self, wanted: u64, now: Instant) -> u64 {
        self.fill(now);
        let taken = wanted.min(self.level / TOKEN);
        self.level -= taken * TOKEN;
        taken
    }

    /// Puts some in, though never above `burst`.
    pub(crate) fn put(&mut self, tokens: u32, now: Instant) {
        self.fill(now);
        self.level = (self.level + u64::from(tokens) * TOKEN).min(u64::from(self.rate.burst) * TOKEN);
    }

    /// Whether nothing is missing, so that a new bucket is as good.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level == u64::from(self.rate.burst) * TOKEN
    }

    /// The same bucket, and nothing in it.
    pub(crate) fn emptied(self) -> Self {
        Self { level: 0, ..self }
    }

    fn fill(&mut self, now: Instant) {
        // Only whole milliseconds are counted off, or calls at short intervals would never gain anything.
        let passed = now.saturating_duration_since(self.at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(self.rate.a_minute.into());
        self.level = self.level.saturating_add(gained).min(u64::from(self.rate.burst) * TOKEN);
        self.at += Duration::from_millis(passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { burst: 5, a_minute: 6 }, start);
        assert_eq!(bucket.take_up_to(9, start), 5);
        assert!(!bucket.take(start + Duration::from_millis(9_999)));
        assert!(bucket.take(start + Duration::from_secs(10)));
        assert!(!bucket.take(start + Duration::from_secs(10)));
        assert_eq!(bucket.take_up_to(100, start + Duration::from_secs(100_000)), 5);
        bucket.put(3, start + Duration::from_secs(100_000));
        assert_eq!(bucket.take_up_to(100, start + Duration::from_secs(100_000)), 3);
        assert!(!bucket.is_full(start + Duration::from_secs(100_049)));
        assert!(bucket.is_full(start + Duration::from_secs(100_050)));
    }
}
