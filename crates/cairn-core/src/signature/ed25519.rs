//! Verifies ed25519 signatures as ZIP-215 defines them, one by one and many at once.
//!
//! Under ZIP-215 the equation has the cofactor, 8·s·B = 8·R + 8·k·A, and points may be encoded in any
//! way that can be decoded. So a sum of such equations, each times a number of its own, holds
//! exactly if each of them holds: a batch and its single signatures always agree, as does every
//! other implementation of ZIP-215. So do all ways to do the [`Arithmetic`].

use super::arithmetic::Arithmetic;
use super::keys::KeyCache;
use chacha20::ChaCha20Rng;
use curve25519_dalek::scalar::Scalar;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha512};
use std::fmt;

/// An ed25519 signature to verify: who signed what.
#[derive(Clone, Copy, Debug)]
pub struct SignedMessage<'a> {
    /// The compressed key.
    pub key: &'a [u8; 32],
    /// The signature, R ‖ S.
    pub signature: &'a [u8; 64],
    /// The bytes that were signed.
    pub message: &'a [u8],
}

/// What a batch is verified with: 32 bytes that nobody could foresee, and the keys met before.
///
/// The bytes are the seed of the coefficients. A batch agrees with its single signatures whatever
/// they are, so they decide nothing that another node could see; but an attacker who knew them
/// beforehand could make false signatures that cancel each other out.
#[derive(Clone, Copy)]
pub struct Batching<'a> {
    seed: [u8; 32],
    keys: Option<&'a KeyCache>,
}

impl Batching<'static> {
    /// Batches with coefficients from `seed`, which decode every key.
    pub const fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, keys: None }
    }
}

impl Batching<'_> {
    /// The same, but keys that `keys` knows are not decoded again, and those it does not know are
    /// added to it if the batch is valid. A batch so small that another arithmetic is faster for it
    /// leaves `keys` alone.
    pub const fn with_keys(self, keys: &KeyCache) -> Batching<'_> {
        Batching { seed: self.seed, keys: Some(keys) }
    }
}

impl fmt::Debug for Batching<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Whether an ed25519 signature is valid under ZIP-215.
pub fn verify(signed: SignedMessage<'_>) -> bool {
    let signature = ed25519_zebra::Signature::from_bytes(signed.signature);
    ed25519_zebra::VerificationKey::try_from(*signed.key)
        .is_ok_and(|key| key.verify(&signature, signed.message).is_ok())
}

/// Whether all of `signed` are valid under ZIP-215; many times faster than one by one.
pub fn verify_batch<'a>(signed: impl IntoIterator<Item = SignedMessage<'a>>, batching: Batching<'_>) -> bool {
    let signed: Vec<SignedMessage<'a>> = signed.into_iter().collect();
    batch_holds(Arithmetic::best_for(signed.len()), &signed, batching)
}

/// [`verify_batch`] with an arithmetic of choice, however few they are.
pub fn verify_batch_with<'a>(
    arithmetic: Arithmetic,
    signed: impl IntoIterator<Item = SignedMessage<'a>>,
    batching: Batching<'_>,
) -> bool {
    let signed: Vec<SignedMessage<'a>> = signed.into_iter().collect();
    batch_holds(arithmetic, &signed, batching)
}

fn batch_holds(arithmetic: Arithmetic, signed: &[SignedMessage<'_>], batching: Batching<'_>) -> bool {
    let holds =
        Equation::new(signed, batching.seed).and_then(|equation| arithmetic.holds(&equation, batching.keys));
    holds.unwrap_or(false)
}

/// Σ zᵢ·(8·Rᵢ + 8·kᵢ·Aᵢ − 8·sᵢ·B) = 0, with coefficients zᵢ of 128 bits: which point is taken how often.
pub(super) struct Equation<'a> {
    /// −Σ zᵢ·sᵢ, for the base point B.
    pub(super) of_base: Scalar,
    /// The encoded keys A, each once.
    pub(super) keys: Vec<&'a [u8; 32]>,
    /// For each key the sum of zᵢ·kᵢ over its signatures.
    pub(super) of_keys: Vec<Scalar>,
    /// The encoded points R.
    pub(super) nonces: Vec<&'a [u8; 32]>,
    /// For each R its zᵢ.
    pub(super) of_nonces: Vec<Scalar>,
}

impl<'a> Equation<'a> {
    /// None if an s is not reduced.
    fn new(signed: &[SignedMessage<'a>], seed: [u8; 32]) -> Option<Self> {
        let mut coefficients = ChaCha20Rng::from_seed(seed);
        let count = signed.len();
        let mut equation = Self {
            of_base: Scalar::ZERO,
            keys: Vec::with_capacity(count),
            of_keys: Vec::with_capacity(count),
            nonces: Vec::with_capacity(count),
            of_nonces: Vec::with_capacity(count),
        };
        for item in in_order_of_keys(signed) {
            let (nonce, s) = split(item.signature);
            let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(*s))?;
            let k = Sha512::new().chain_update(nonce).chain_update(item.key).chain_update(item.message);
            let k = Scalar::from_bytes_mod_order_wide(&k.finalize().into());
            let z = draw(&mut coefficients);
            equation.of_base -= z * s;
            equation.nonces.push(nonce);
            equation.of_nonces.push(z);
            // Signatures by one key share one point.
            match equation.of_keys.last_mut() {
                Some(sum) if equation.keys.last() == Some(&item.key) => *sum += z * k,
                _ => {
                    equation.keys.push(item.key);
                    equation.of_keys.push(z * k);
                }
            }
        }
        Some(equation)
    }
}

/// The items, those of one key next to each other.
fn in_order_of_keys<'s, 'a>(signed: &'s [SignedMessage<'a>]) -> impl Iterator<Item = &'s SignedMessage<'a>> {
    let mut order: Vec<(u64, &SignedMessage<'a>)> = signed
        .iter()
        .map(|item| {
            let (head, _) = item.key.split_first_chunk().expect("32 bytes begin with 8");
            (u64::from_be_bytes(*head), item)
        })
        .collect();
    order.sort_unstable_by(|(head, a), (other, b)| head.cmp(other).then_with(|| a.key.cmp(b.key)));
    order.into_iter().map(|(_, item)| item)
}

/// R and s.
fn split(signature: &[u8; 64]) -> (&[u8; 32], &[u8; 32]) {
    let (nonce_point, s) = signature.split_first_chunk().expect("64 bytes begin with 32");
    (nonce_point, s.first_chunk().expect("and end with 32"))
}

/// A coefficient of 128 bits: one false signature passes once in 2¹²⁸ draws.
fn draw(coefficients: &mut ChaCha20Rng) -> Scalar {
    let mut bytes = [0; 16];
    coefficients.fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
    use proptest::prelude::*;
    use serde_json::Value;

    const RFC8032: &str = include_str!("../../../../docs/spec/vectors/external/ed25519/rfc8032.json");
    const SPECCHECK: &str =
        include_str!("../../../../docs/spec/vectors/external/ed25519/speccheck_cases.json");
    const ZIP215: &str =
        include_str!("../../../../docs/spec/vectors/external/ed25519/zip215_small_order_196.json");
    const WYCHEPROOF: &str =
        include_str!("../../../../docs/spec/vectors/external/wycheproof/ed25519_test.json");

    fn hex(value: &Value) -> Vec<u8> {
        const_hex::decode(value.as_str().unwrap()).unwrap()
    }

    /// Single and batch must agree, alone and beside valid signatures, with every arithmetic, with and
    /// without a cache.
    fn verdict(key: &[u8], signature: &[u8], message: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (key.try_into(), signature.try_into()) else {
            return false;
        };
        let item = SignedMessage { key, signature, message };
        let single = verify(item);
        let signer = ed25519_zebra::SigningKey::from([9; 32]);
        let good_key: [u8; 32] = ed25519_zebra::VerificationKeyBytes::from(&signer).into();
        let good_signature = signer.sign(b"good").to_bytes();
        let good = SignedMessage { key: &good_key, signature: &good_signature, message: b"good" };
        assert_eq!(verify_batch([item], Batching::from_seed([1; 32])), single);
        for arithmetic in Arithmetic::available() {
            let cache = arithmetic.cache(64);
            for batching in [Batching::from_seed([1; 32]), Batching::from_seed([2; 32]).with_keys(&cache)] {
                // The second time the cache knows the keys.
                for _ in 0..2 {
                    assert_eq!(verify_batch_with(arithmetic, [item], batching), single, "{arithmetic}");
                    let four = [good, item, good, item];
                    assert_eq!(verify_batch_with(arithmetic, four, batching), single, "{arithmetic}");
                }
            }
        }
        single
    }

    #[test]
    fn keys_rfc8032_vectors_hold() {
        let vectors: Value = serde_json::from_str(RFC8032).unwrap();
        let cases = vectors["vectors"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            assert!(verdict(&hex(&case["public"]), &hex(&case["signature"]), &hex(&case["message"])));
        }
    }

    #[test]
    fn keys_speccheck_cases_are_judged_as_zip_215_says() {
        let vectors: Value = serde_json::from_str(SPECCHECK).unwrap();
        let verdicts: Vec<bool> = vectors
            .as_array()
            .unwrap()
            .iter()
            .map(|case| verdict(&hex(&case["pub_key"]), &hex(&case["signature"]), &hex(&case["message"])))
            .collect();
        let refused: Vec<usize> = (0..verdicts.len()).filter(|case| !verdicts[*case]).collect();
        assert_eq!((verdicts.len(), refused), (12, vec![6, 7, 8]));
    }

    #[test]
    fn keys_zip215_all_small_order_points_are_accepted() {
        let vectors: Value = serde_json::from_str(ZIP215).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 196);
        for case in cases {
            assert!(verdict(&hex(&case["public"]), &hex(&case["signature"]), b"Zcash"), "{case}");
        }
    }

    #[test]
    fn keys_wycheproof_verdicts_hold() {
        let vectors: Value = serde_json::from_str(WYCHEPROOF).unwrap();
        let mut cases = 0;
        for group in vectors["testGroups"].as_array().unwrap() {
            let key = hex(&group["publicKey"]["pk"]);
            for test in group["tests"].as_array().unwrap() {
                let valid = test["result"] == "valid";
                assert_eq!(verdict(&key, &hex(&test["sig"]), &hex(&test["msg"])), valid, "{test}");
                cases += 1;
            }
        }
        assert_eq!(cases, 150);
    }

    /// What is done to a valid signature.
    #[derive(Clone, Copy, Debug)]
    enum Harm {
        None,
        Key(usize),
        Signature(usize),
        Message,
        /// A point of small order is added to R, which the cofactor lets pass.
        Torsion,
    }

    fn harms() -> impl Strategy<Value = Harm> {
        prop_oneof![
            6 => Just(Harm::None),
            1 => (0usize..256).prop_map(Harm::Key),
            1 => (0usize..512).prop_map(Harm::Signature),
            1 => Just(Harm::Message),
            2 => Just(Harm::Torsion),
        ]
    }

    /// Signs as RFC 8032 does, but with R moved by a point of small order before it is hashed.
    fn sign_with_torsion(seed: u8, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        let secret = Scalar::from(u64::from(seed) + 3);
        let key = (ED25519_BASEPOINT_POINT * secret).compress().to_bytes();
        let nonce = Scalar::from(u64::from(seed) + 77);
        let torsion = curve25519_dalek::constants::EIGHT_TORSION[usize::from(seed) % 8];
        let nonce_point = (ED25519_BASEPOINT_POINT * nonce + torsion).compress().to_bytes();
        let k = Sha512::new().chain_update(nonce_point).chain_update(key).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&k.finalize().into());
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&nonce_point);
        signature[32..].copy_from_slice((nonce + k * secret).as_bytes());
        (key, signature)
    }

    proptest! {
        #[test]
        fn batch_cached_batch_and_single_always_agree(
            items in prop::collection::vec((0u8..6, harms(), any::<[u8; 4]>()), 0..12),
            seed: [u8; 32],
        ) {
            let mut made = Vec::new();
            for (signer, harm, message) in items {
                let key = ed25519_zebra::SigningKey::from([signer + 1; 32]);
                let mut bytes: [u8; 32] = ed25519_zebra::VerificationKeyBytes::from(&key).into();
                let mut signature = key.sign(&message).to_bytes();
                let mut message = message.to_vec();
                match harm {
                    Harm::None => {}
                    Harm::Key(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
                    Harm::Signature(bit) => signature[bit / 8] ^= 1 << (bit % 8),
                    Harm::Message => message.push(0),
                    Harm::Torsion => (bytes, signature) = sign_with_torsion(signer, &message),
                }
                made.push((bytes, signature, message));
            }
            let signed: Vec<SignedMessage<'_>> = made
                .iter()
                .map(|(key, signature, message)| SignedMessage { key, signature, message })
                .collect();
            let singles = signed.iter().all(|item| verify(*item));
            prop_assert_eq!(verify_batch(signed.clone(), Batching::from_seed(seed)), singles);
            for arithmetic in Arithmetic::available() {
                let cache = arithmetic.cache(8);
                let batching = Batching::from_seed(seed);
                let verdict = verify_batch_with(arithmetic, signed.clone(), batching);
                prop_assert_eq!(verdict, singles, "{}", arithmetic);
                for _ in 0..2 {
                    let verdict = verify_batch_with(arithmetic, signed.clone(), batching.with_keys(&cache));
                    prop_assert_eq!(verdict, singles, "{}, with keys", arithmetic);
                }
            }
        }
    }

    #[test]
    fn false_signatures_that_cancel_each_other_out_under_equal_coefficients_are_refused() {
        let signer = ed25519_zebra::SigningKey::from([4; 32]);
        let key: [u8; 32] = ed25519_zebra::VerificationKeyBytes::from(&signer).into();
        let (mut more, mut less) = (signer.sign(b"one").to_bytes(), signer.sign(b"two").to_bytes());
        let moved = |signature: &mut [u8; 64], by: Scalar| {
            let s = Scalar::from_canonical_bytes(*split(signature).1).unwrap() + by;
            signature[32..].copy_from_slice(s.as_bytes());
        };
        moved(&mut more, Scalar::ONE);
        moved(&mut less, -Scalar::ONE);
        let pair = [
            SignedMessage { key: &key, signature: &more, message: b"one" },
            SignedMessage { key: &key, signature: &less, message: b"two" },
        ];
        for arithmetic in Arithmetic::available() {
            assert!(!verify_batch_with(arithmetic, pair, Batching::from_seed([3; 32])), "{arithmetic}");
        }
    }

    #[test]
    fn one_false_signature_among_many_is_found_wherever_it_is() {
        let made: Vec<_> = (0..150_u8).map(|number| sign_with_torsion(number, &[number])).collect();
        let messages: Vec<[u8; 1]> = (0..150).map(|number| [number]).collect();
        let signed: Vec<SignedMessage<'_>> = made
            .iter()
            .zip(&messages)
            .map(|((key, signature), message)| SignedMessage { key, signature, message })
            .collect();
        for arithmetic in Arithmetic::available() {
            let cache = arithmetic.cache(1_000);
            let batching = Batching::from_seed([5; 32]).with_keys(&cache);
            for place in [0, 1, 74, 149] {
                let mut signed = signed.clone();
                signed[place].message = b"another";
                assert!(!verify_batch_with(arithmetic, signed, batching), "{arithmetic}");
            }
            for _ in 0..2 {
                assert!(verify_batch_with(arithmetic, signed.iter().copied(), batching), "{arithmetic}");
            }
            assert_eq!(cache.len(), 150);
        }
    }

    #[test]
    fn batches_of_every_small_size_are_judged_right_whichever_arithmetic_is_taken() {
        let made: Vec<_> = (0..40_u8).map(|number| sign_with_torsion(number, &[number])).collect();
        let messages: Vec<[u8; 1]> = (0..40).map(|number| [number]).collect();
        let signed: Vec<SignedMessage<'_>> = made
            .iter()
            .zip(&messages)
            .map(|((key, signature), message)| SignedMessage { key, signature, message })
            .collect();
        let cache = KeyCache::new(1_000);
        for count in 0..=signed.len() {
            for batching in [Batching::from_seed([6; 32]), Batching::from_seed([6; 32]).with_keys(&cache)] {
                let mut some = signed[..count].to_vec();
                assert!(verify_batch(some.iter().copied(), batching), "{count}");
                if let Some(last) = some.last_mut() {
                    last.message = b"another";
                    assert!(!verify_batch(some, batching), "{count}");
                }
            }
        }
        assert_eq!(cache.len(), 40);
    }

    #[test]
    fn a_batch_that_is_not_valid_teaches_the_cache_nothing() {
        let signer = ed25519_zebra::SigningKey::from([4; 32]);
        let key: [u8; 32] = ed25519_zebra::VerificationKeyBytes::from(&signer).into();
        let signature = signer.sign(b"right").to_bytes();
        let right = SignedMessage { key: &key, signature: &signature, message: b"right" };
        let wrong = SignedMessage { message: b"wrong", ..right };
        for arithmetic in Arithmetic::available() {
            let cache = arithmetic.cache(8);
            let batching = Batching::from_seed([3; 32]).with_keys(&cache);
            assert!(!verify_batch_with(arithmetic, [wrong], batching));
            assert!(cache.is_empty());
            assert!(verify_batch_with(arithmetic, [right], batching));
            assert_eq!(cache.len(), 1);
            // Whoever has points of another kind neither uses nor changes it.
            for other in Arithmetic::available().into_iter().filter(|other| *other != arithmetic) {
                assert!(verify_batch_with(other, [right, right], batching));
                assert!(!verify_batch_with(other, [right, wrong], batching));
                assert_eq!(cache.len(), 1);
            }
        }
    }
}
