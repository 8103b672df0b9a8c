//! How many nonces were tried, and how fast.

use super::SEALER_THREADS_MAX;
use cairn_hash::Kernel;
use prometheus_client::metrics::counter::Counter;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Over how many seconds the rate is averaged; the last of them is the one that has begun.
const WINDOW_SECONDS: usize = 10;

/// How a node searches for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// How many threads search when there is something to search for; 0 where the node makes no blocks.
    pub threads: u16,
    /// How they compute hashes.
    pub kernel: Kernel,
    /// Nonces tried a second by all threads, on average over the last ten seconds. It falls to 0 while
    /// there is nothing to search for.
    pub rate: u64,
}

/// Counts trials, each thread by itself, so that none waits for another.
#[derive(Debug)]
pub(in crate::run) struct Meter {
    kernel: Kernel,
    start: Instant,
    threads: AtomicU16,
    /// One for each thread that there may ever be.
    windows: Vec<Mutex<Window>>,
    trials: Counter,
}

/// The trials of one thread in the last seconds.
#[derive(Debug, Default)]
struct Window([Second; WINDOW_SECONDS]);

/// The trials of one thread in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Which one, counted from the start.
    number: u64,
    trials: u64,
}

impl Meter {
    /// A meter for threads that use the best kernel of this processor; none search yet. It also adds to
    /// `trials`.
    pub(in crate::run) fn new(trials: Counter, start: Instant) -> Self {
        let windows = (0..SEALER_THREADS_MAX).map(|_| Mutex::default()).collect();
        Self { kernel: Kernel::best(), start, threads: AtomicU16::new(0), windows, trials }
    }

    /// How the threads compute hashes.
    pub(in crate::run) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// How many threads search.
    pub(in crate::run) fn threads(&self) -> u16 {
        self.threads.load(Ordering::Relaxed)
    }

    /// From now on so many search.
    pub(super) fn set_threads(&self, threads: u16) {
        self.threads.store(threads, Ordering::Relaxed);
    }

    /// The thread with a number tried some nonces.
    pub(super) fn count(&self, number: u16, trials: u64, now: Instant) {
        self.trials.inc_by(trials);
        if let Some(window) = self.windows.get(usize::from(number)) {
            // Numbers are whole whenever a thread could panic.
            let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
            window.count(trials, self.since_start(now));
        }
    }

    /// What there is to know at a time.
    pub(in crate::run) fn read(&self, now: Instant) -> Hashing {
        let at = self.since_start(now);
        let trials = self.windows.iter().map(|window| {
            let window = window.lock().unwrap_or_else(PoisonError::into_inner);
            window.trials(at)
        });
        let rate = rate_of(trials.fold(0, u64::saturating_add), at);
        Hashing { threads: self.threads(), kernel: self.kernel, rate }
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

impl Window {
    fn count(&mut self, trials: u64, at: Duration) {
        let number = at.as_secs();
        let second = &mut self.0[place_of(number)];
        if second.number != number {
            *second = Second { number, trials: 0 };
        }
        second.trials = second.trials.saturating_add(trials);
    }

    /// The trials since [`window_start`].
    fn trials(&self, at: Duration) -> u64 {
        let seconds = window_start(at)..=at.as_secs();
        let inside = self.0.iter().filter(|second| seconds.contains(&second.number));
        inside.map(|second| second.trials).fold(0, u64::saturating_add)
    }
}

/// Where a second has its place in a window.
fn place_of(number: u64) -> usize {
    let place = number % WINDOW_SECONDS as u64;
    usize::try_from(place).expect("a window is small")
}

/// The first second that counts.
const fn window_start(at: Duration) -> u64 {
    at.as_secs().saturating_sub(WINDOW_SECONDS as u64 - 1)
}

/// Trials a second, of those since [`window_start`].
fn rate_of(trials: u64, at: Duration) -> u64 {
    let span = at.saturating_sub(Duration::from_secs(window_start(at)));
    let rate = u128::from(trials) * 1_000_000 / span.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(threads: u16) -> (Meter, Instant) {
        let start = Instant::now();
        let meter = Meter::new(Counter::default(), start);
        meter.set_threads(threads);
        (meter, start)
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_rate_is_that_of_all_threads_together() {
        let (meter, start) = meter(3);
        for number in 0..3 {
            for tenth in 0..200 {
                meter.count(number, 1_000, start + ms(100 * tenth));
            }
        }
        let hashing = meter.read(start + ms(20_000));
        assert_eq!((hashing.threads, hashing.rate), (3, 30_000));
        assert_eq!(hashing.kernel, Kernel::best());
        assert_eq!(meter.trials.get(), 600_000);
    }

    #[test]
    fn right_after_the_start_the_rate_is_that_of_the_time_that_has_passed() {
        let (meter, start) = meter(1);
        assert_eq!(meter.read(start).rate, 0);
        meter.count(0, 500, start + ms(250));
        assert_eq!(meter.read(start + ms(500)).rate, 1_000);
        assert_eq!(meter.read(start + ms(5_000)).rate, 100);
    }

    #[test]
    fn who_rests_has_a_rate_that_falls_to_nothing_within_the_window() {
        let (meter, start) = meter(1);
        for second in 0..30 {
            meter.count(0, 1_000, start + ms(1_000 * second + 999));
        }
        let rates = [30, 34, 38, 39, 40].map(|second| meter.read(start + ms(1_000 * second)).rate);
        assert_eq!(rates, [1_000, 555, 111, 0, 0]);
        meter.count(0, 9_000, start + ms(100_000));
        assert_eq!(meter.read(start + ms(100_000)).rate, 1_000, "what is older than the window is forgotten");
    }

    #[test]
    fn a_node_that_makes_no_blocks_has_no_threads_and_no_rate() {
        let hashing = Meter::new(Counter::default(), Instant::now()).read(Instant::now());
        assert_eq!((hashing.threads, hashing.rate), (0, 0));
    }

    #[test]
    fn what_a_thread_tried_before_it_came_to_rest_counts_until_it_is_old() {
        let (meter, start) = meter(2);
        meter.count(1, 1_000, start + ms(500));
        meter.set_threads(1);
        let hashing = meter.read(start + ms(1_000));
        assert_eq!((hashing.threads, hashing.rate), (1, 1_000));
        assert_eq!(meter.read(start + ms(20_000)).rate, 0);
    }
}
