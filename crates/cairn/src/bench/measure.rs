//! Clocks and counters of this process.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// Time that has passed and processor time that was used, by all threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
}

impl Spent {
    /// Processor time an operation, in microseconds.
    pub(super) fn cpu_us(self, operations: usize) -> f64 {
        self.cpu_s * 1e6 / operations as f64
    }

    /// Operations a second of processor time.
    pub(super) fn rate_of_processor(self, operations: usize) -> f64 {
        operations as f64 / self.cpu_s
    }

    /// Operations a second.
    pub(super) fn rate(self, operations: usize) -> f64 {
        operations as f64 / self.wall_s
    }
}

/// What `work` returns and what it cost.
pub(super) fn measure<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (start, cpu) = (Instant::now(), process_cpu_s());
    let value = work();
    (value, Spent { wall_s: start.elapsed().as_secs_f64(), cpu_s: process_cpu_s() - cpu })
}

/// Processor time of this process so far, in seconds.
pub(super) fn process_cpu_s() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// Processor time of this thread so far, in seconds.
pub(super) fn thread_cpu_s() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Memory that a process holds, in bytes; none where the system does not tell.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
