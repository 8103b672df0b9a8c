//! What is true: the values, the bytes and the rules of the ledger.
//!
//! Pure functions only: no I/O, no clock, no chance. The same inputs give the same bytes on every
//! machine. Read in this order: [`transaction`], [`block`], [`state`], [`rules`], [`consensus`].

pub mod account;
pub mod address;
pub mod block;
pub mod codec;
pub mod consensus;
pub mod difficulty;
pub mod fuzz;
pub mod genesis;
pub mod hash;
pub mod history;
pub mod issuance;
pub mod merkle;
pub mod network;
pub mod numbers;
pub mod rules;
pub mod signature;
pub mod state;
pub mod store;
pub mod target;
pub mod transaction;
