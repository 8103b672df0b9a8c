//! The node as a whole, with a pretend clock.

mod attacks;
mod chain;
mod headers;
mod mempool;
mod mining;
mod network;
mod peers;
mod reorganisation;
mod restart;
