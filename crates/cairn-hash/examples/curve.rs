//! What points cost that are decoded and summed eight at a time, in processor time of one core.
//!
//! `cargo run --release -p cairn-hash --example curve [points]`

use cairn_hash::curve::Ifma;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::scalar::Scalar;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

/// How often each is measured; the best time was disturbed least.
const TIMES: usize = 20;

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(8_000);
    let Some(ifma) = Ifma::detect() else {
        println!("this processor has no AVX-512 IFMA");
        return;
    };
    let mut point = ED25519_BASEPOINT_POINT;
    let mut scalar = Scalar::from(3_u8).invert();
    let (mut encodings, mut scalars) = (Vec::new(), Vec::new());
    for index in 0..count {
        encodings.push(point.compress().to_bytes());
        let mut bytes = scalar.to_bytes();
        // As in a batch: half of the scalars are coefficients of 128 bits.
        if index % 2 == 0 {
            bytes[16..].fill(0);
        }
        scalars.push(bytes);
        point = point + point + ED25519_BASEPOINT_POINT;
        scalar = scalar * scalar + Scalar::ONE;
    }
    let encodings: Vec<&[u8; 32]> = encodings.iter().collect();
    let points = ifma.decode(&encodings).expect("the library encoded them");
    let decoding = best_time(|| {
        black_box(ifma.decode(black_box(&encodings)));
    });
    let summing = best_time(|| {
        black_box(ifma.cancels(black_box(&points), black_box(&scalars)));
    });
    for (name, time) in [("decode", decoding), ("sum", summing)] {
        println!("{name:<8}{:>10.3} µs a point", time.as_secs_f64() * 1e6 / count as f64);
    }
}

fn best_time(mut call: impl FnMut()) -> Duration {
    let one = |_| {
        let began = processor_time();
        call();
        processor_time() - began
    };
    (0..TIMES).map(one).min().unwrap_or_default()
}

/// The processor time of this thread: other programs on the machine do not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.expect("time does not run backwards"), nanoseconds.expect("below a second"))
}
