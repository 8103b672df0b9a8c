//! Bytes under a password: Argon2id makes the key, XChaCha20-Poly1305 seals.
//!
//! The parameters stand beside the sealed bytes and are authenticated with them. They are compared
//! with their bounds before anything is allocated, so that no file can take the machine's memory.

use crate::secret::{Password, RandomError, Secret, fill_random, leave_no_trace};
use argon2::{Algorithm, Argon2, Params, Version};
use cairn_core::codec::Encode as _;
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{Tag, XChaCha20Poly1305};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The most memory that a file may ask for, in KiB: 1 GiB.
pub const MEMORY_KIB_MAX: u32 = 1 << 20;
/// The most passes that a file may ask for.
pub const PASSES_MAX: u32 = 64;
/// The most lanes that a file may ask for.
pub const LANES_MAX: u32 = 16;
/// The most KiB that all passes together may fill: a few seconds of one core.
pub const WORK_KIB_MAX: u64 = 1 << 22;
/// The longest plaintext that is sealed, in bytes.
pub(crate) const PLAINTEXT_BYTES_MAX: usize = 9 * 1024 * 1024;
/// What Poly1305 adds.
pub(crate) const TAG_BYTES: usize = 16;

/// What trying one password costs (Argon2id, RFC 9106).
///
/// # Invariant
///
/// Within [`MEMORY_KIB_MAX`], [`PASSES_MAX`], [`LANES_MAX`] and [`WORK_KIB_MAX`], with 8 KiB a lane at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The cost of a password is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a password costs {memory_kib} KiB, {passes} passes, {lanes} lanes: at most {MEMORY_KIB_MAX} KiB, \
     {PASSES_MAX} passes, {LANES_MAX} lanes and {WORK_KIB_MAX} KiB in all passes are allowed, at least \
     8 KiB a lane and one of each"
)]
pub struct CostError {
    /// The memory found, in KiB.
    pub memory_kib: u32,
    /// The passes found.
    pub passes: u32,
    /// The lanes found.
    pub lanes: u32,
}

impl PasswordCost {
    /// What new keystores use: 64 MiB and 3 passes, the second choice of RFC 9106, in one lane
    /// because a browser has one.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// A cost of so much memory (in KiB), so many passes and lanes.
    ///
    /// # Errors
    ///
    /// [`CostError`] if it is out of bounds.
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, CostError> {
        // Widening; both factors are u32.
        let work = memory_kib as u64 * passes as u64;
        let some = passes >= 1 && lanes >= 1;
        let within = memory_kib <= MEMORY_KIB_MAX && passes <= PASSES_MAX && lanes <= LANES_MAX;
        if some && within && work <= WORK_KIB_MAX && memory_kib >= 8 * lanes {
            Ok(Self { memory_kib, passes, lanes })
        } else {
            Err(CostError { memory_kib, passes, lanes })
        }
    }

    /// The memory, in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// The passes over the memory.
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// The lanes.
    pub const fn lanes(self) -> u32 {
        self.lanes
    }
}

/// Sealed bytes and all that opens them but the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) cost: PasswordCost,
    pub(crate) salt: [u8; 16],
    pub(crate) nonce: [u8; 24],
    /// The ciphertext and the tag behind it.
    pub(crate) body: Vec<u8>,
}

/// What sealed bytes are for, and what is authenticated beside them without being hidden.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Opens the associated data; ends with a NUL.
    pub(crate) tag: &'static [u8],
    /// Canonical bytes of what stands in the clear.
    pub(crate) open: &'a [u8],
}

/// A key made from a password, with the cost and the salt that it was made with.
#[derive(Debug)]
pub(crate) struct SealingKey {
    key: Secret<32>,
    cost: PasswordCost,
    salt: [u8; 16],
}

/// Why something could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No salt or nonce can be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The password's cost asks for more memory than there is.
    #[error("there is not enough memory for the cost of the password, {needed_kib} KiB")]
    Memory {
        /// The memory needed, in KiB.
        needed_kib: u32,
    },
}

/// Why sealed bytes do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("not enough memory")]
    Memory { needed_kib: u32 },
    #[error("not authentic under this password")]
    NotAuthentic,
}

impl SealingKey {
    /// A key for a new salt.
    pub(crate) fn draw(password: &Password, cost: PasswordCost) -> Result<Self, SealError> {
        let mut salt = [0; 16];
        fill_random(&mut salt)?;
        Self::derive(password, cost, salt).ok_or(SealError::Memory { needed_kib: cost.memory_kib })
    }

    /// The key for a cost and a salt; none if there is not enough memory.
    pub(crate) fn derive(password: &Password, cost: PasswordCost, salt: [u8; 16]) -> Option<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
            .expect("the bounds of a cost are within those of Argon2");
        let mut outcome = Ok(());
        let key = leave_no_trace(|| {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            Secret::written(|key| outcome = argon2.hash_password_into(password.bytes(), &salt, key))
        });
        // Lengths are right by their types: what is left is memory that the system does not give.
        outcome.ok().map(|()| Self { key, cost, salt })
    }

    /// Seals `plaintext` under a new nonce: 24 random bytes never come twice.
    pub(crate) fn seal(&self, context: Context<'_>, plaintext: &[u8]) -> Result<Sealed, RandomError> {
        let mut nonce = [0; 24];
        fill_random(&mut nonce)?;
        Ok(self.seal_with(nonce, context, plaintext))
    }

    pub(crate) fn seal_with(&self, nonce: [u8; 24], context: Context<'_>, plaintext: &[u8]) -> Sealed {
        // The plaintext is overwritten where it lies, so the room for the tag is there before.
        let mut body = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        body.extend_from_slice(plaintext);
        let data = associated_data(context, self.cost, &self.salt, &nonce);
        leave_no_trace(|| {
            let cipher = XChaCha20Poly1305::new(self.key.expose().into());
            let tag = cipher
                .encrypt_inout_detached(&nonce.into(), &data, body.as_mut_slice().into())
                .expect("plaintexts are far below the 256 GiB of the cipher");
            body.extend_from_slice(&tag);
        });
        Sealed { cost: self.cost, salt: self.salt, nonce, body }
    }

    /// Opens what was sealed with this key.
    pub(crate) fn open(
        &self,
        sealed: &Sealed,
        context: Context<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let split = sealed.body.len().checked_sub(TAG_BYTES).ok_or(OpenError::NotAuthentic)?;
        let (ciphertext, tag) = sealed.body.split_at(split);
        let tag = Tag::try_from(tag).map_err(|_| OpenError::NotAuthentic)?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let data = associated_data(context, sealed.cost, &sealed.salt, &sealed.nonce);
        leave_no_trace(|| {
            let cipher = XChaCha20Poly1305::new(self.key.expose().into());
            let buffer = plaintext.as_mut_slice().into();
            cipher.decrypt_inout_detached(&sealed.nonce.into(), &data, buffer, &tag)
        })
        .map_err(|_| OpenError::NotAuthentic)?;
        Ok(plaintext)
    }
}

impl Sealed {
    /// Opens with a password; answers with the key too.
    pub(crate) fn open(
        &self,
        password: &Password,
        context: Context<'_>,
    ) -> Result<(SealingKey, Zeroizing<Vec<u8>>), OpenError> {
        let key = SealingKey::derive(password, self.cost, self.salt)
            .ok_or(OpenError::Memory { needed_kib: self.cost.memory_kib })?;
        let plaintext = key.open(self, context)?;
        Ok((key, plaintext))
    }

    /// SHA-256 of all that was sealed and of what stands beside it. It needs no password: what
    /// does not fit it was damaged, and what fits it and does not open has another password.
    pub(crate) fn checksum(&self, context: Context<'_>) -> [u8; 32] {
        let data = associated_data(context, self.cost, &self.salt, &self.nonce);
        Sha256::new().chain_update(data).chain_update(&self.body).finalize().into()
    }
}

/// `tag ‖ memory ‖ passes ‖ lanes ‖ salt ‖ nonce ‖ what stands in the clear`.
fn associated_data(context: Context<'_>, cost: PasswordCost, salt: &[u8; 16], nonce: &[u8; 24]) -> Vec<u8> {
    let mut data = context.tag.to_vec();
    cost.memory_kib.encode(&mut data);
    cost.passes.encode(&mut data);
    cost.lanes.encode(&mut data);
    salt.encode(&mut data);
    nonce.encode(&mut data);
    data.extend_from_slice(context.open);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const WYCHEPROOF: &str =
        include_str!("../../../docs/spec/vectors/external/wycheproof/xchacha20_poly1305_test.json");
    const CONTEXT: Context<'_> = Context { tag: b"test\0", open: b"in the clear" };

    fn cheap() -> PasswordCost {
        PasswordCost::new(8, 1, 1).unwrap()
    }

    fn key(password: &str) -> SealingKey {
        SealingKey::derive(&Password::new(password).unwrap(), cheap(), [1; 16]).unwrap()
    }

    #[test]
    fn keystore_wycheproof_verdicts_hold() {
        let file: Value = serde_json::from_str(WYCHEPROOF).unwrap();
        let mut judged = 0;
        for group in file["testGroups"].as_array().unwrap() {
            if group["ivSize"] != 192 || group["keySize"] != 256 || group["tagSize"] != 128 {
                continue;
            }
            for case in group["tests"].as_array().unwrap() {
                let bytes = |name: &str| const_hex::decode(case[name].as_str().unwrap()).unwrap();
                let cipher = XChaCha20Poly1305::new_from_slice(&bytes("key")).unwrap();
                let nonce: [u8; 24] = bytes("iv").try_into().unwrap();
                let tag: [u8; 16] = bytes("tag").try_into().unwrap();
                let mut text = bytes("ct");
                let outcome = cipher.decrypt_inout_detached(
                    &nonce.into(),
                    &bytes("aad"),
                    text.as_mut_slice().into(),
                    &tag.into(),
                );
                let valid = case["result"] == "valid";
                assert_eq!(outcome.is_ok() && text == bytes("msg"), valid, "{}", case["tcId"]);
                judged += 1;
            }
        }
        assert_eq!(judged, 306);
    }

    #[test]
    fn argon2id_is_the_one_of_rfc_9106() {
        // RFC 9106, 5.3 has a secret and associated data, which keystores do not use; this value is
        // of the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1`.
        let password = Password::new("password").unwrap();
        let params = Params::new(1 << 16, 2, 1, Some(32)).unwrap();
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.bytes(), b"somesalt", &mut key)
            .unwrap();
        let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        assert_eq!(const_hex::encode(key), expected);
    }

    #[test]
    fn what_was_sealed_opens_under_its_password_and_context_only() {
        let sealed = key("right").seal(CONTEXT, b"secret").unwrap();
        assert_eq!(&key("right").open(&sealed, CONTEXT).unwrap()[..], b"secret");
        assert_eq!(key("wrong").open(&sealed, CONTEXT).unwrap_err(), OpenError::NotAuthentic);
        for other in [Context { tag: b"rest\0", ..CONTEXT }, Context { open: b"in the cleat", ..CONTEXT }] {
            assert_eq!(key("right").open(&sealed, other).unwrap_err(), OpenError::NotAuthentic);
            assert_ne!(sealed.checksum(other), sealed.checksum(CONTEXT));
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let sealed = key("right").seal(CONTEXT, b"secret").unwrap();
        for place in 0..sealed.body.len() {
            let mut changed = sealed.clone();
            changed.body[place] ^= 0x10;
            assert_eq!(key("right").open(&changed, CONTEXT).unwrap_err(), OpenError::NotAuthentic);
            assert_ne!(changed.checksum(CONTEXT), sealed.checksum(CONTEXT));
        }
        for length in 0..sealed.body.len() {
            let mut cut = sealed.clone();
            cut.body.truncate(length);
            assert_eq!(key("right").open(&cut, CONTEXT).unwrap_err(), OpenError::NotAuthentic, "{length}");
        }
        let other = Sealed { nonce: [9; 24], ..sealed };
        assert_eq!(key("right").open(&other, CONTEXT).unwrap_err(), OpenError::NotAuthentic);
    }

    #[test]
    fn one_text_is_never_sealed_twice_alike() {
        let (one, other) = (key("right").seal(CONTEXT, b"x"), key("right").seal(CONTEXT, b"x"));
        assert_ne!(one.unwrap(), other.unwrap());
    }

    #[test]
    fn a_cost_that_takes_the_machine_is_refused() {
        let refused = [
            (MEMORY_KIB_MAX + 1, 1, 1),
            (u32::MAX, 1, 1),
            (1024, PASSES_MAX + 1, 1),
            (1024, u32::MAX, 1),
            (1024, 1, LANES_MAX + 1),
            (MEMORY_KIB_MAX, 5, 1),
            (7, 1, 1),
            (15, 1, 2),
            (1024, 0, 1),
            (1024, 1, 0),
            (0, 0, 0),
        ];
        for (memory_kib, passes, lanes) in refused {
            let error = CostError { memory_kib, passes, lanes };
            assert_eq!(PasswordCost::new(memory_kib, passes, lanes), Err(error));
        }
        let PasswordCost { memory_kib, passes, lanes } = PasswordCost::DEFAULT;
        assert_eq!(PasswordCost::new(memory_kib, passes, lanes), Ok(PasswordCost::DEFAULT));
        assert!(PasswordCost::new(MEMORY_KIB_MAX, 4, LANES_MAX).is_ok());
    }
}
