//! The search for work: which nonce makes the work hash low enough.
//!
//! The kernels look at the first word of the work hash only, of many nonces at once; whether the
//! whole hash is low enough is looked at here, for the few nonces that they find.

pub(crate) mod find;
pub(crate) mod fixed;
#[cfg(any(test, target_arch = "aarch64"))]
pub(crate) mod in_turn;

use self::fixed::{Fixed, to_words};
use crate::{Kernel, double_sha256_of_40};
use std::ops::Range;

/// The first nonce in `nonces` whose work hash is at most `target`, with the [best](Kernel::best)
/// kernel; none if no nonce is.
pub fn search_work(seal_hash: &[u8; 32], target: &[u8; 32], nonces: Range<u64>) -> Option<u64> {
    search_work_with(Kernel::best(), seal_hash, target, nonces)
}

/// The first nonce in `nonces` whose work hash is at most `target`; none if no nonce is.
///
/// The work hash is [`double_sha256_of_40`] of the seal hash and the nonce; hash and target are
/// compared as big-endian numbers. Every kernel finds the same nonce. A trial costs a little less
/// than two compressions: what does not depend on the nonce is computed once a call, in about a
/// microsecond. There is no way to interrupt a search, so the caller keeps ranges short: 2²⁰ nonces
/// take 30 to 300 ms.
///
/// ```
/// use cairn_hash::{Kernel, double_sha256_of_40, search_work_with};
///
/// let mut target = [0xff; 32];
/// target[0] = 0;
/// for kernel in Kernel::available() {
///     let nonce = search_work_with(kernel, &[7; 32], &target, 0..1 << 16).expect("one in 256");
///     assert!(double_sha256_of_40(&[7; 32], nonce) <= target);
///     assert_eq!(search_work_with(kernel, &[7; 32], &target, 0..nonce), None);
/// }
/// ```
pub fn search_work_with(
    kernel: Kernel,
    seal_hash: &[u8; 32],
    target: &[u8; 32],
    nonces: Range<u64>,
) -> Option<u64> {
    let limit = to_words(target)[0];
    let mut next = nonces.start;
    while next < nonces.end {
        let last_of_half = next | u64::from(u32::MAX);
        let end = nonces.end.min(last_of_half.saturating_add(1));
        let fixed = Fixed::new(seal_hash, upper_half(next));
        while let Some(nonce) = kernel.find(&fixed, limit, next..end) {
            if double_sha256_of_40(seal_hash, nonce) <= *target {
                return Some(nonce);
            }
            // The first word equals that of the target, and a later one is above it.
            next = nonce + 1;
        }
        next = end;
    }
    None
}

/// The upper 32 bits.
fn upper_half(nonce: u64) -> u32 {
    u32::try_from(nonce >> 32).expect("32 bits are left")
}

#[cfg(test)]
mod tests {
    use super::in_turn::find_in_turn;
    use super::*;
    use proptest::prelude::*;

    /// The search as it is defined, one trial after the other.
    fn search_slowly(seal_hash: &[u8; 32], target: &[u8; 32], mut nonces: Range<u64>) -> Option<u64> {
        nonces.find(|nonce| double_sha256_of_40(seal_hash, *nonce) <= *target)
    }

    /// What every kernel finds; they have to agree.
    fn search_with_each(seal_hash: &[u8; 32], target: &[u8; 32], nonces: Range<u64>) -> Option<u64> {
        let found = search_work(seal_hash, target, nonces.clone());
        for kernel in Kernel::available() {
            assert_eq!(search_work_with(kernel, seal_hash, target, nonces.clone()), found, "{kernel}");
        }
        found
    }

    /// The number before.
    fn one_less(mut number: [u8; 32]) -> [u8; 32] {
        for byte in number.iter_mut().rev() {
            let (less, borrowed) = byte.overflowing_sub(1);
            *byte = less;
            if !borrowed {
                break;
            }
        }
        number
    }

    #[test]
    fn the_first_nonce_that_reaches_the_target_is_found() {
        let mut target = [0xff; 32];
        target[0] = 0;
        target[1] = 0x1f;
        let nonce = search_with_each(&[9; 32], &target, 0..1_000_000).unwrap();
        assert_eq!(search_slowly(&[9; 32], &target, 0..nonce + 1), Some(nonce));
        assert_eq!(search_with_each(&[9; 32], &target, 0..nonce), None);
        assert_eq!(search_with_each(&[9; 32], &target, nonce..nonce + 1), Some(nonce));
    }

    #[test]
    fn a_hash_equal_to_the_target_is_enough_and_one_above_is_not_in_every_lane() {
        for start in [0, 7, u64::from(u32::MAX) - 20, u64::MAX - 40] {
            for nonce in start..start + 40 {
                let hash = double_sha256_of_40(&[1; 32], nonce);
                let all = start..start + 40;
                assert_eq!(search_with_each(&[1; 32], &hash, nonce..nonce + 1), Some(nonce));
                assert_eq!(
                    search_with_each(&[1; 32], &hash, all.clone()),
                    search_slowly(&[1; 32], &hash, all.clone())
                );
                // The first word of this hash is that of the target, and still it is too high.
                let below = one_less(hash);
                assert_eq!(search_with_each(&[1; 32], &below, nonce..nonce + 1), None);
                assert_eq!(
                    search_with_each(&[1; 32], &below, all.clone()),
                    search_slowly(&[1; 32], &below, all)
                );
            }
        }
    }

    #[test]
    fn ranges_of_every_length_are_searched_to_their_end_and_no_further() {
        let mut target = [0; 32];
        target[0] = 0x0c;
        for start in [0, u64::from(u32::MAX) - 17, (7 << 32) - 1, u64::MAX - 35] {
            for length in 0..36 {
                let nonces = start..start + length;
                assert_eq!(
                    search_with_each(&[3; 32], &target, nonces.clone()),
                    search_slowly(&[3; 32], &target, nonces)
                );
            }
        }
    }

    #[test]
    fn of_many_nonces_that_reach_the_target_the_lowest_is_found() {
        for start in 0..40 {
            assert_eq!(search_with_each(&[1; 32], &[0xff; 32], start..start + 100), Some(start));
        }
        let last = u64::MAX - 1;
        assert_eq!(search_with_each(&[1; 32], &[0xff; 32], last..u64::MAX), Some(last));
    }

    #[test]
    fn a_range_that_is_empty_or_backward_holds_no_nonce() {
        assert_eq!(search_with_each(&[1; 32], &[0xff; 32], 7..7), None);
        #[expect(clippy::reversed_empty_ranges, reason = "that is the question")]
        let backward = 9..7;
        assert_eq!(search_with_each(&[1; 32], &[0xff; 32], backward), None);
    }

    #[test]
    fn no_nonce_reaches_a_target_of_zero() {
        assert_eq!(search_with_each(&[1; 32], &[0; 32], 0..10_000), None);
    }

    proptest! {
        #[test]
        fn every_kernel_finds_what_trying_each_nonce_finds(
            seal_hash: [u8; 32],
            highest in 0u8..=8,
            start in prop_oneof![
                any::<u64>(),
                // About where the upper half of the nonce changes.
                (1..u64::MAX >> 32, 0u64..600).prop_map(|(upper, back)| (upper << 32) - back),
            ],
            count in 0u64..600,
        ) {
            let mut target = [0x5a; 32];
            target[0] = highest;
            let nonces = start..start.saturating_add(count);
            prop_assert_eq!(
                search_with_each(&seal_hash, &target, nonces.clone()),
                search_slowly(&seal_hash, &target, nonces)
            );
        }

        #[test]
        fn trials_in_turn_find_what_the_portable_kernel_finds(
            seal_hash: [u8; 32],
            upper: u32,
            limit in 0u32..=1 << 26,
            start in 0..u64::from(u32::MAX),
            count in 0u64..600,
        ) {
            let fixed = Fixed::new(&seal_hash, upper);
            let start = (u64::from(upper) << 32) + start;
            let nonces = start..start.saturating_add(count).min(start | u64::from(u32::MAX));
            prop_assert_eq!(
                find_in_turn(&fixed, limit, nonces.clone()),
                Kernel::PORTABLE.find(&fixed, limit, nonces)
            );
        }
    }
}
