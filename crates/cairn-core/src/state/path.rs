//! Paths: where an entry lies in the tree.

use crate::hash::{StatePath, Tag};

impl StatePath {
    /// The path of the account of an address.
    pub fn of_address(address: &[u8; 32]) -> Self {
        Self(Tag::PATH.hash(&[address]))
    }

    /// The path of the entry with a name that is not an account.
    pub fn of_reserved(name: &[u8]) -> Self {
        Self(Tag::RESERVED_PATH.hash(&[name]))
    }

    /// The side on which the path lies below a node at `depth`, at most 255: 0 left, 1 right.
    pub(super) fn side(&self, depth: usize) -> usize {
        usize::from(self.0[depth / 8] >> (7 - depth % 8) & 1)
    }

    /// The first 32 bits, as a number.
    pub(super) fn prefix(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// How many bits the two paths share from the start, 256 if they are equal.
    pub(super) fn shared_bits(&self, other: &Self) -> usize {
        let ([a, b], [c, d]) = (self.halves(), other.halves());
        match (a ^ c, b ^ d) {
            (0, low) => 128 + low.leading_zeros() as usize,
            (high, _) => high.leading_zeros() as usize,
        }
    }

    /// The path as two numbers of 128 bits.
    fn halves(&self) -> [u128; 2] {
        let (halves, _) = self.0.as_chunks::<16>();
        [u128::from_be_bytes(halves[0]), u128::from_be_bytes(halves[1])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_account_and_a_reserved_entry_never_share_a_path() {
        assert_ne!(StatePath::of_address(&[7; 32]), StatePath::of_reserved(&[7; 32]));
    }

    proptest! {
        #[test]
        fn shared_bits_are_the_sides_that_agree(path: [u8; 32], flipped in 0usize..256, tail: [u8; 32]) {
            let path = StatePath(path);
            let mut other = path;
            other.0[flipped / 8] ^= 0x80 >> (flipped % 8);
            let later = flipped / 8 + 1;
            other.0[later..].copy_from_slice(&tail[later..]);
            prop_assert_eq!(path.shared_bits(&other), flipped);
            prop_assert_eq!((0..256).find(|depth| path.side(*depth) != other.side(*depth)), Some(flipped));
            prop_assert_eq!(path.shared_bits(&path), 256);
        }
    }
}
