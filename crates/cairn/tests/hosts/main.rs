//! Nodes on different hosts: network namespaces with a switch between them. Cut off, rejoined, killed, without the
//! tracker that made them one network.
//!
//! Whoever may not make namespaces is told so, and the tests show nothing.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod chance;
mod host;
mod partition;
mod tracker;
