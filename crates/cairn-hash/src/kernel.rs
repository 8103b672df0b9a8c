//! Which of the ways to compute SHA-256 a processor has.

#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2::Avx2, avx512::Avx512};
#[cfg(target_arch = "x86_64")]
use crate::sha_ni::ShaNi;

use crate::block::Blocks;
use crate::lanes::Scalar;
use crate::work::find::find;
use crate::work::fixed::Fixed;
#[cfg(target_arch = "aarch64")]
use crate::work::in_turn::find_in_turn;
use std::fmt;
use std::ops::Range;

/// A way to compute SHA-256 that this processor has; all of them compute the same.
///
/// There is no value for a kernel that the processor lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Instructions);

/// What a kernel uses, with the proof that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    ShaNi(ShaNi),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Those of ARMv8 for SHA-256, which the `sha2` crate uses where it finds them.
    #[cfg(target_arch = "aarch64")]
    Armv8,
    Portable,
}

impl Kernel {
    /// Plain Rust, for every processor.
    pub const PORTABLE: Self = Self(Instructions::Portable);

    /// The kernels of this processor, the fastest first; [`PORTABLE`](Self::PORTABLE) is the last.
    pub fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        kernels.extend(
            [
                Avx512::detect().map(Instructions::Avx512),
                ShaNi::detect().map(Instructions::ShaNi),
                Avx2::detect().map(Instructions::Avx2),
            ]
            .into_iter()
            .flatten()
            .map(Self),
        );
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("sha2") {
            kernels.push(Self(Instructions::Armv8));
        }
        kernels.push(Self::PORTABLE);
        kernels
    }

    /// The fastest kernel of this processor. The processor is asked once.
    pub fn best() -> Self {
        static BEST: std::sync::OnceLock<Kernel> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::available().first().copied().unwrap_or(Self::PORTABLE))
    }

    /// A short name in lower case, for status pages and figures.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Instructions::ShaNi(_) => "sha-ni",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Instructions::Armv8 => "armv8",
            Instructions::Portable => "portable",
        }
    }

    /// The first nonce in `nonces` whose work hash begins with a word of at most `limit`.
    ///
    /// All of `nonces` have the upper half that `fixed` is for.
    pub(crate) fn find(self, fixed: &Fixed, limit: u32, nonces: Range<u64>) -> Option<u64> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(kernel) => kernel.find(fixed, limit, nonces),
            #[cfg(target_arch = "x86_64")]
            Instructions::ShaNi(kernel) => kernel.find(fixed, limit, nonces),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(kernel) => kernel.find(fixed, limit, nonces),
            #[cfg(target_arch = "aarch64")]
            Instructions::Armv8 => find_in_turn(fixed, limit, nonces),
            Instructions::Portable => find(Scalar, fixed, limit, nonces),
        }
    }

    /// From how many messages on [`hash_side_by_side`](Self::hash_side_by_side) beats the `sha2`
    /// crate, which takes one after the other; none if it never does.
    pub(crate) fn side_by_side_min(self) -> Option<usize> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(_) => Some(7),
            #[cfg(target_arch = "x86_64")]
            Instructions::ShaNi(_) => Some(6),
            // Where this is the best kernel, that crate has no better instructions.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(_) => Some(3),
            #[cfg(target_arch = "aarch64")]
            Instructions::Armv8 => None,
            Instructions::Portable => None,
        }
    }

    /// Hashes the first messages of `blocks`, which are padded, one for each of `out`.
    ///
    /// # Panics
    ///
    /// If this kernel never does: [`side_by_side_min`](Self::side_by_side_min) tells.
    pub(crate) fn hash_side_by_side(self, blocks: &[Blocks], out: &mut [[u8; 32]]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(kernel) => kernel.hash_padded(blocks, out),
            #[cfg(target_arch = "x86_64")]
            Instructions::ShaNi(kernel) => kernel.hash_padded(blocks, out),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(kernel) => kernel.hash_padded(blocks, out),
            _ => unreachable!("{self} has no lanes for {} blocks and {} hashes", blocks.len(), out.len()),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_best_kernel_comes_first_and_the_portable_one_last() {
        let kernels = Kernel::available();
        assert_eq!(kernels.first(), Some(&Kernel::best()));
        assert_eq!(kernels.last(), Some(&Kernel::PORTABLE));
    }

    #[test]
    fn no_two_kernels_have_one_name() {
        let kernels = Kernel::available();
        let names: BTreeSet<String> = kernels.iter().map(Kernel::to_string).collect();
        assert_eq!(names.len(), kernels.len());
    }
}
