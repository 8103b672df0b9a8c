//! What operators do and find: the pages of `docs/operate` word for word, `cairn doctor`, directories of
//! other releases, and what `packaging/` promises.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod doctor;
mod export;
mod formats;
mod home;
mod packaging;
mod pages;
#[path = "../support/mod.rs"]
mod support;
