//! What each kernel of this processor does in a second of processor time, on one core.
//!
//! `cargo run --release -p cairn-hash --example kernels [seconds a figure]`

use cairn_hash::{Kernel, hash_pairs_with, search_work_with};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

/// How many nonces are tried in a call: a slice as a miner takes them.
const NONCES: u64 = 1 << 18;
/// How many pairs are hashed in a call: a level of a tree.
const PAIRS: usize = 1 << 12;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    println!("{:<10}{:>20}{:>20}", "kernel", "work, MH/s", "tree, M nodes/s");
    for kernel in Kernel::available() {
        let mut next = 0;
        let work = per_second(seconds, NONCES as f64, || {
            black_box(search_work_with(kernel, &[1; 32], &[0; 32], next..next + NONCES));
            next += NONCES;
        });
        let pairs = vec![[[1; 32], [2; 32]]; PAIRS];
        let mut nodes = vec![[0; 32]; PAIRS];
        let tree = per_second(seconds, PAIRS as f64, || {
            hash_pairs_with(kernel, b"cairn/node/1\0", black_box(&pairs), black_box(&mut nodes));
        });
        println!("{:<10}{:>20.2}{:>20.2}", kernel.name(), work / 1e6, tree / 1e6);
    }
}

/// How many items a second of processor time brings; `call` does `items` at a time.
fn per_second(seconds: f64, items: f64, mut call: impl FnMut()) -> f64 {
    let began = processor_time();
    let mut total = 0.0;
    while (processor_time() - began).as_secs_f64() < seconds {
        call();
        total += items;
    }
    total / (processor_time() - began).as_secs_f64()
}

/// The processor time of this thread: other programs on the machine do not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.expect("time does not run backwards"), nanoseconds.expect("below a second"))
}
