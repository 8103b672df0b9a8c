//! Peers that mean harm, against the real program: whatever they do, it goes on, and so do those who mean well.
//!
//! Each test shows three things: the hostile peer gets what pages 11 and 12 of the specification say (a farewell
//! with its reason, a ban, a closed connection); a transaction and a block of honest nodes get through meanwhile
//! and after it; and the memory of the attacked node stays within a bound.
//!
//! | script | test |
//! |---|---|
//! | garbage | `bytes::garbage`; in good frames `floods::unknown_and_unasked_messages` |
//! | oversize | `bytes::oversize` |
//! | half-open | `bytes::half_open` |
//! | slow-loris | `bytes::slow_loris` |
//! | unconnected headers | `headers::unconnected_headers` |
//! | low-work headers | `headers::headers_without_work`, `headers::low_work_headers` |
//! | inv flood | `floods::inv_flood` |
//! | bodies that do not match headers | `bodies::bodies_that_do_not_match_headers` |
//! | garbage witness | `bodies::garbage_witness`, `floods::forged_transactions` |
//! | stalling | `bodies::stalling` |
//! | self-connection | `strangers::self_connection` |
//! | wrong identity | `strangers::wrong_identity` |
//! | clock liars | `headers::clock_liars` |
//! | address poisoning | `strangers::address_poisoning` |
//!
//! The ways of speaking are two. `peer` goes through `cairn-p2p`: its frames are well made, and what is in them is
//! not. `wire` is written from page 11 alone, so that nothing below the messages need be right either.
//!
//! Loopback addresses are never banned, and their number is not bounded by machine: what that adds for peers on
//! other machines is tested in `cairn-p2p` and in `hosts`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod bytes;
mod floods;
mod forge;
mod headers;
mod peer;
mod scene;
mod strangers;
mod wire;
