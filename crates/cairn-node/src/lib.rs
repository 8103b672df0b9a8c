//! What to do: the node as one deterministic state machine, without I/O.
//!
//! The shell feeds a [`Node`] with [`Input`]s and carries out the [`Effect`]s it returns. The node
//! never waits, reads a clock or draws at random: the same inputs at the same times give the same
//! effects, so a seed replays a whole network.
//!
//! # The contract
//!
//! One thread owns the node and its [`Store`](cairn_core::store::Store). In a loop it
//!
//! 1. hands in a batch of inputs, each with the time by its own clock: [`Node::handle`];
//! 2. calls [`Store::sync`](cairn_core::store::Store::sync) once;
//! 3. takes the effects, [`Node::next_effect`], until there are none, and carries them out in order;
//! 4. waits for the next input, or until [`Node::next_wakeup`], when it hands in [`Input::Wakeup`].
//!
//! Effects are promises: an answer says that a transaction is kept, news that a block is. So none is
//! carried out before `sync` has returned without an error; one `sync` serves the whole batch.
//!
//! At start the shell gives the node what the store has [`Loaded`](cairn_core::store::Loaded), then
//! the blocks of the log that the database does not know yet ([`Input::Replay`]), then, once, the
//! transactions that waited ([`Input::Restore`]).
//!
//! # Three kinds of failure
//!
//! - *The other side is wrong*: a typed refusal in an [`Outcome`]; the state is as it was.
//! - *The world failed*: [`Node::handle`] returns [`StoreError`](cairn_core::store::StoreError).
//!   The node must then be dropped and started again from its store. A full disk is not such a
//!   failure where the node can go on: what had no room is refused, and reading goes on.
//! - *We are wrong*: a panic.
//!
//! Read in this order: [`messages`], `node`, `chain`, [`mempool`], [`producer`].

pub mod chain;
pub mod compact;
pub mod config;
pub mod memory;
pub mod mempool;
pub mod messages;
mod node;
pub mod peers;
pub mod producer;
pub mod queries;
mod recent;
pub mod relay;
pub mod sync;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod wire;

pub use chain::PeerKey;
pub use config::{MempoolConfig, MiningConfig, MiningMode, NodeConfig};
pub use messages::{Effect, Event, Input, JobId, Outcome, RequestId};
pub use node::Node;
