//! HTTP: how programs, pages and the command line speak to a node.

pub mod connections;
pub mod errors;
pub mod guard;
pub mod metrics;
pub mod server;
pub mod views;
