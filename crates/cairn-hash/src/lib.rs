//! How bytes are hashed: SHA-256, one message and many at a time, and the search for work.
//!
//! SHA-256 (FIPS 180-4) works on blocks of 64 bytes; what a hash costs is the number of times a
//! block is compressed into the state, ⌈(length + 9) / 64⌉ for a message of that many bytes. One
//! compression takes about 48 ns on a core with the SHA extensions, and 200 to 300 ns without.
//! A state-tree node and an account's leaf are two compressions each; so is one trial of work.
//!
//! [`hash_many`] and [`hash_pairs`] take many messages at once, because messages side by side are
//! what wide registers are good at: with AVX-512 sixteen are hashed together, in about a third of
//! the time. Elsewhere, and for single messages, the `sha2` crate hashes, which uses the SHA
//! extensions where it finds them. The kernel is chosen at run time.

mod block;
mod many;
mod sha256;
mod wide;
mod work;

pub use many::{PAIR_TAG_BYTES_MAX, hash_many, hash_pairs};
pub use sha256::{Sha256, double_sha256_of_40};
pub use work::search_work;
