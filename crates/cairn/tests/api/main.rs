//! The interface of a real node: spawns the program and speaks plain HTTP to it.
//!
//! Every refusal shows its code and its rule, and that nothing has changed through it.

// Tests stop at the first thing that is not as it must be.
#![allow(clippy::unwrap_used)]

mod abuse;
mod chain;
mod crash;
mod exposure;
mod guard;
mod http;
mod malformed;
mod mining;
mod news;
mod node;
mod numbers;
mod operator;
mod peers;
mod rules;
mod seats;
mod sender;
