//! Bytes hashed and signatures summed, many at a time; the only unsafe code.
//!
//! SHA-256 (FIPS 180-4) works on blocks of 64 bytes; what a hash costs is the number of times a
//! block is compressed into the state, ⌈(length + 9) / 64⌉ for a message of that many bytes. One
//! compression takes about 40 ns on a core with the SHA extensions, and 150 to 250 ns without.
//! A state-tree node and an account's leaf are two compressions each; so is one trial of work.
//!
//! Messages side by side are what wide registers are good at. A [`Kernel`] is one way to use them:
//! sixteen lanes of AVX-512, two messages with the SHA extensions, eight lanes of AVX2, or plain
//! Rust. The best that the processor has is chosen at run time. [`search_work`] tries nonces with
//! it, and [`hash_many`] and [`hash_pairs`] hash the leaves and nodes of trees; where nothing stands
//! side by side, the `sha2` crate hashes. All kernels compute the same, and the tests compare each
//! with that crate.
//!
//! A batch of ed25519 signatures is one sum over points of a curve, and [`curve`] decodes and adds
//! them eight at a time. What the sum is about is the business of `cairn-core`.
//!
//! # Where `unsafe` is
//!
//! In `lanes/avx512.rs`, `lanes/avx2.rs`, `sha_ni.rs`, `curve.rs` and `curve/registers.rs`, for two
//! things only: to use instructions after the processor was asked for them, and to exchange registers
//! with memory. That it was asked is shown by a value which only the asking gives, so nothing here is
//! `unsafe` to call. The arithmetic of the curve itself is safe code.

mod block;
mod constants;
pub mod curve;
mod kernel;
mod lanes;
mod many;
mod sha256;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
mod work;

pub use kernel::Kernel;
pub use many::{PAIR_TAG_BYTES_MAX, hash_many, hash_many_with, hash_pairs, hash_pairs_with};
pub use sha256::{Sha256, double_sha256_of_40};
pub use work::{search_work, search_work_with};
