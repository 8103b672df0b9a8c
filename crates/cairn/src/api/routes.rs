//! What each path answers.

pub(super) mod accounts;
pub(super) mod blocks;
pub(super) mod control;
pub(super) mod events;
pub(super) mod health;
pub(super) mod invite;
pub(super) mod log;
pub(super) mod mempool;
pub(super) mod page;
pub(super) mod peers;
pub(super) mod status;
pub(super) mod submit;
pub(super) mod transactions;
