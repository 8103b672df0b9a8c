//! One private key, and the only three things it signs.

use crate::message::MessageBytes;
use cairn_core::address::Address;
use cairn_core::consensus::seal_message;
use cairn_core::hash::BlockId;
use cairn_core::signature::{PublicKey, Witness};
use cairn_core::transaction::{Transaction, TransactionBody};
use std::fmt;
use zeroize::Zeroize as _;

/// A private ed25519 key (RFC 8032).
///
/// # Invariant
///
/// The key lies on the heap at one place, so that moving the value leaves no copy behind, and is
/// overwritten when the value is dropped.
pub struct SigningKey {
    key: Box<ed25519_zebra::SigningKey>,
}

impl SigningKey {
    /// The key that a 32-byte seed stands for. The caller wipes the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: Box::new(ed25519_zebra::SigningKey::from(*seed)) }
    }

    /// The compressed public key.
    pub fn public_bytes(&self) -> [u8; 32] {
        ed25519_zebra::VerificationKeyBytes::from(&*self.key).into()
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.public_bytes())
    }

    /// The address of the account that the key owns.
    pub fn address(&self) -> Address {
        self.public_key().address()
    }

    /// Signs a transaction for the network with `identity`. It can be used on no other.
    pub fn sign(&self, body: &TransactionBody, identity: &BlockId) -> Transaction {
        let id = body.id(identity, &self.address());
        let signature = self.key.sign(&id.0).to_bytes();
        let witness = Witness::Ed25519 { key: self.public_bytes(), signature };
        Transaction { body: body.clone(), witness }
    }

    /// Signs a text, to show that its author owns the account. What is signed is never a
    /// transaction or a seal.
    pub(crate) fn sign_text(&self, message: &MessageBytes) -> [u8; 64] {
        self.key.sign(message.as_bytes()).to_bytes()
    }

    /// Signs the id of a block that a permitted miner has worked for.
    pub fn sign_seal(&self, identity: &BlockId, id: &BlockId) -> [u8; 64] {
        self.key.sign(&seal_message(identity, id)).to_bytes()
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::numbers::{Amount, FeeRate, Height, Nonce};
    use cairn_core::signature::{SignedMessage, verify};
    use cairn_core::transaction::{TRANSACTION_VERSION, Transfer};
    use proptest::prelude::*;

    fn body(nonce: u64, amount: u64) -> TransactionBody {
        TransactionBody {
            version: TRANSACTION_VERSION,
            nonce: Nonce(nonce),
            valid_until: Height(0),
            max_fee_rate: FeeRate(1),
            tip_rate: FeeRate(0),
            transfers: vec![Transfer { to: Address([7; 32]), amount: Amount::from_units(amount) }],
            data: Vec::new(),
        }
    }

    #[test]
    fn the_public_key_is_the_one_of_rfc_8032() {
        // RFC 8032, 7.1, test 1.
        let seed: [u8; 32] =
            const_hex::decode_to_array("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
                .unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(const_hex::encode(SigningKey::from_seed(&seed).public_bytes()), public);
    }

    #[test]
    fn a_seal_holds_for_one_block_on_one_network() {
        let key = SigningKey::from_seed(&[1; 32]);
        let (identity, id) = (BlockId([2; 32]), BlockId([3; 32]));
        let signature = key.sign_seal(&identity, &id);
        let holds = |identity, id| {
            let message = seal_message(identity, id);
            verify(SignedMessage { key: &key.public_bytes(), signature: &signature, message: &message })
        };
        assert!(holds(&identity, &id));
        assert!(!holds(&BlockId([4; 32]), &id));
        assert!(!holds(&identity, &BlockId([4; 32])));
    }

    #[test]
    fn printing_a_key_shows_nothing_of_it() {
        let seed = [0xab; 32];
        let printed = format!("{:?}", SigningKey::from_seed(&seed));
        assert_eq!(printed, "SigningKey(…)");
    }

    proptest! {
        #[test]
        fn what_a_key_signs_verifies_on_its_network_only(
            seed: [u8; 32], identity: [u8; 32], nonce: u64, amount in 1..u64::MAX,
        ) {
            let key = SigningKey::from_seed(&seed);
            let identity = BlockId(identity);
            let transaction = key.sign(&body(nonce, amount), &identity);
            prop_assert_eq!(transaction.witness.address(), key.address());
            let Witness::Ed25519 { key, signature } = &transaction.witness else {
                return Err(TestCaseError::fail("an ed25519 key makes an ed25519 witness"));
            };
            let mut other = identity;
            other.0[0] ^= 1;
            for (network, expected) in [(identity, true), (other, false)] {
                let id = transaction.body.id(&network, &transaction.witness.address());
                let signed = SignedMessage { key, signature, message: &id.0 };
                prop_assert_eq!(verify(signed), expected);
            }
        }
    }
}
