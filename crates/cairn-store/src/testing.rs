//! For tests of this crate, of the node and of the simulator: a disk that fails on request, and
//! chance that repeats.

mod random;
mod simulated;

pub use random::Random;
pub use simulated::{Fault, SimulatedDisk};
