//! What is kept: the block log and the state database.
//!
//! The log is the truth, the database is a cache of it. Both stand on one seam, [`backend::Disk`],
//! so that a test can fail, fill or cut the power of the disk at any single operation. Read in this
//! order: [`backend`], [`log`], [`runs`], [`ledger`].

pub mod backend;
pub mod error;
pub mod ledger;
pub mod log;
mod row;
pub mod runs;
pub mod testing;

pub use error::{Damage, StoreError};
