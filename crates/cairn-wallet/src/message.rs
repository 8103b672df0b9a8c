//! Signed texts: somebody who owns an account says something.
//!
//! What is signed is `tag ‖ identity ‖ text`. A transaction signs 32 bytes and a seal begins with
//! another tag, so a signed text never moves coins and never seals a block, whoever chose it; and
//! it holds on one network only.

use crate::signing_key::SigningKey;
use cairn_core::address::Address;
use cairn_core::codec::{Encode as _, decode_exact};
use cairn_core::hash::BlockId;
use cairn_core::signature::{SignedMessage, Witness, verify};

/// The longest text that is signed, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The longest text of a signature that is looked at, in characters; one has 194.
const SIGNATURE_TEXT_MAX: usize = 1024;
/// Opens what is signed; no tag of the ledger begins like it.
pub const MESSAGE_TAG: &[u8; 16] = b"cairn/message/1\0";

/// The bytes that are signed for a text.
pub(crate) struct MessageBytes(Vec<u8>);

/// Why a text cannot be signed, or why its signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is longer than a text.
    #[error("the text has {found} bytes, at most {MESSAGE_BYTES_MAX} are allowed")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// The signature is no hexadecimal text of a witness (`docs/spec/02-keys.md`).
    #[error("this is not a signature: a signature is a key and a signature in 194 hexadecimal digits")]
    Form,
    /// The signature has a scheme that this release does not verify.
    #[error("the signature has a scheme that this release does not verify")]
    Scheme,
    /// The key of the signature owns another account.
    #[error("another account signed")]
    OtherSigner {
        /// The account that it owns.
        found: Address,
    },
    /// The signature is not that of this text on this network.
    #[error("the signature is not of this text on this network: one of them was changed")]
    WrongSignature,
}

impl MessageBytes {
    fn new(identity: &BlockId, text: &str) -> Result<Self, MessageError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong { found: text.len() });
        }
        Ok(Self([MESSAGE_TAG.as_slice(), identity.as_bytes(), text.as_bytes()].concat()))
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Signs a text on the network with `identity`. The answer is the hexadecimal text of a witness:
/// scheme, key and signature.
///
/// # Errors
///
/// [`MessageError::TooLong`].
pub fn sign_message(key: &SigningKey, identity: &BlockId, text: &str) -> Result<String, MessageError> {
    let signature = key.sign_text(&MessageBytes::new(identity, text)?);
    let witness = Witness::Ed25519 { key: key.public_bytes(), signature };
    Ok(const_hex::encode(witness.to_bytes()))
}

/// Checks that the owner of `signer` signed a text on the network with `identity`.
///
/// # Errors
///
/// [`MessageError`], which tells another signer from a changed text.
pub fn verify_message(
    signer: &Address,
    identity: &BlockId,
    text: &str,
    signature: &str,
) -> Result<(), MessageError> {
    let message = MessageBytes::new(identity, text)?;
    if signature.len() > SIGNATURE_TEXT_MAX {
        return Err(MessageError::Form);
    }
    let bytes = const_hex::decode(signature.trim()).map_err(|_| MessageError::Form)?;
    let witness: Witness = decode_exact(&bytes).map_err(|_| MessageError::Form)?;
    let found = witness.address();
    if found != *signer {
        return Err(MessageError::OtherSigner { found });
    }
    let Witness::Ed25519 { key, signature } = &witness else {
        return Err(MessageError::Scheme);
    };
    if verify(SignedMessage { key, signature, message: message.as_bytes() }) {
        Ok(())
    } else {
        Err(MessageError::WrongSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::hash::Tag;
    use proptest::prelude::*;

    const IDENTITY: BlockId = BlockId([9; 32]);

    fn key() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn verdict(identity: &BlockId, text: &str, signature: &str) -> Result<(), MessageError> {
        verify_message(&key().address(), identity, text, signature)
    }

    #[test]
    fn no_signed_text_is_a_transaction_or_a_seal() {
        // The shortest signed bytes are longer than a transaction id, and no tag opens another.
        let shortest = MessageBytes::new(&IDENTITY, "").unwrap();
        assert_eq!(shortest.as_bytes().len(), 48);
        for tag in Tag::ALL {
            assert!(!tag.as_bytes().starts_with(MESSAGE_TAG));
            assert!(!MESSAGE_TAG.starts_with(tag.as_bytes()));
        }
        let text = "x".repeat(77 - 48);
        let seal = cairn_core::consensus::seal_message(&IDENTITY, &BlockId([0; 32]));
        assert_eq!(MessageBytes::new(&IDENTITY, &text).unwrap().as_bytes().len(), seal.len());
        assert_ne!(MessageBytes::new(&IDENTITY, &text).unwrap().as_bytes(), seal);
    }

    #[test]
    fn another_signer_is_told_from_a_changed_text() {
        let signature = sign_message(&key(), &IDENTITY, "I owe Bob 5").unwrap();
        assert_eq!(verdict(&IDENTITY, "I owe Bob 5", &signature), Ok(()));
        assert_eq!(verdict(&IDENTITY, "I owe Bob 5", &format!(" {}\n", signature.to_uppercase())), Ok(()));
        assert_eq!(verdict(&IDENTITY, "I owe Bob 6", &signature), Err(MessageError::WrongSignature));
        assert_eq!(verdict(&BlockId([8; 32]), "I owe Bob 5", &signature), Err(MessageError::WrongSignature));
        let other = SigningKey::from_seed(&[2; 32]);
        let theirs = sign_message(&other, &IDENTITY, "I owe Bob 5").unwrap();
        assert_eq!(
            verdict(&IDENTITY, "I owe Bob 5", &theirs),
            Err(MessageError::OtherSigner { found: other.address() })
        );
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let signature = sign_message(&key(), &IDENTITY, "text").unwrap();
        assert_eq!(signature.len(), 194);
        for wrong in ["", "00", "zz", &signature[2..], &format!("{signature}00"), &"0".repeat(100_000)] {
            assert_eq!(verdict(&IDENTITY, "text", wrong), Err(MessageError::Form));
        }
    }

    #[test]
    fn an_endless_text_is_refused() {
        let found = MESSAGE_BYTES_MAX + 1;
        let refused = sign_message(&key(), &IDENTITY, &"a".repeat(found));
        assert_eq!(refused, Err(MessageError::TooLong { found }));
    }

    proptest! {
        #[test]
        fn what_was_signed_verifies_and_a_changed_digit_does_not(text in "\\PC{0,200}", at in 0usize..194) {
            let mut signature = sign_message(&key(), &IDENTITY, &text).unwrap();
            prop_assert_eq!(verdict(&IDENTITY, &text, &signature), Ok(()));
            let digit = if signature.as_bytes()[at] == b'0' { "1" } else { "0" };
            signature.replace_range(at..=at, digit);
            prop_assert!(verdict(&IDENTITY, &text, &signature).is_err());
        }
    }
}
