//! Signatures: the schemes, what a transaction carries as its witness, and how it is verified.
//!
//! # Provided
//!
//! ed25519 as ZIP-215 defines it, so that one signature, a batch of them, and another
//! implementation always agree. The formats of all schemes are fixed, because they are consensus.
//!
//! # Not provided
//!
//! Verification under the other schemes: a network that lists one of them is refused by name.

mod arithmetic;
mod ed25519;
mod keys;

pub use arithmetic::Arithmetic;
pub use ed25519::{Batching, SignedMessage, verify, verify_batch, verify_batch_with};
pub use keys::KeyCache;

use crate::address::Address;
use crate::codec::{Decode, DecodeError, Encode, Reader, encode_byte_string};
use crate::numbers::Weight;
use std::fmt;

/// A way to sign, with its number in witnesses and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// ed25519 under ZIP-215; number `0x01`.
    Ed25519,
    /// ECDSA on secp256k1, low S; number `0x02`.
    Secp256k1,
    /// RSA-PSS with SHA-256, 2048 or 3072 bits; number `0x03`.
    RsaPss,
    /// ML-DSA-44 (FIPS 204); number `0x04`.
    MlDsa44,
    /// k of n keys of the other schemes; number `0x10`.
    Multisig,
}

/// The most keys of a multisig account.
pub const MULTISIG_KEYS_MAX: usize = 16;
/// The longest RSA key in canonical PKCS#1 DER: 3072 bits.
pub const RSA_KEY_BYTES_MAX: usize = 398;
/// The longest RSA signature: 3072 bits.
pub const RSA_SIGNATURE_BYTES_MAX: usize = 384;
const ML_DSA_44_KEY_BYTES: usize = 1312;
const ML_DSA_44_SIGNATURE_BYTES: usize = 2420;

impl Scheme {
    /// Every scheme that has a number.
    pub const ALL: [Self; 5] = [Self::Ed25519, Self::Secp256k1, Self::RsaPss, Self::MlDsa44, Self::Multisig];

    /// The number in witnesses, addresses and genesis.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Secp256k1 => 0x02,
            Self::RsaPss => 0x03,
            Self::MlDsa44 => 0x04,
            Self::Multisig => 0x10,
        }
    }

    /// The name in genesis files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Secp256k1 => "secp256k1",
            Self::RsaPss => "rsa-pss-sha256",
            Self::MlDsa44 => "ml-dsa-44",
            Self::Multisig => "multisig",
        }
    }

    /// The scheme with a number; none if the number is free.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.number() == number)
    }

    /// The scheme with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// Whether this release can verify signatures of the scheme.
    pub const fn is_supported(self) -> bool {
        matches!(self, Self::Ed25519)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Encode for Scheme {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.number());
    }
}

impl Decode for Scheme {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let found = reader.byte()?;
        Self::from_number(found).ok_or(DecodeError::UnknownKind { what: "signature scheme", at, found })
    }
}

/// A public key of one of the schemes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublicKey {
    /// A compressed point (RFC 8032).
    Ed25519([u8; 32]),
    /// A compressed point (SEC 1).
    Secp256k1([u8; 33]),
    /// PKCS#1 `RSAPublicKey` in DER.
    RsaPss(Vec<u8>),
    /// An encoded key (FIPS 204).
    MlDsa44(Box<[u8; ML_DSA_44_KEY_BYTES]>),
    /// How many of which keys must sign.
    Multisig(MultisigKey),
}

/// The keys of a multisig account: sorted, distinct, none of them multisig itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MultisigKey {
    /// How many must sign: 1 to the number of keys.
    pub threshold: u8,
    /// The keys, in the order of their encodings.
    pub keys: Vec<PublicKey>,
}

impl PublicKey {
    /// The scheme of the key.
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Ed25519(_) => Scheme::Ed25519,
            Self::Secp256k1(_) => Scheme::Secp256k1,
            Self::RsaPss(_) => Scheme::RsaPss,
            Self::MlDsa44(_) => Scheme::MlDsa44,
            Self::Multisig(_) => Scheme::Multisig,
        }
    }

    /// The address of the account that the key owns.
    pub fn address(&self) -> Address {
        match self {
            Self::Ed25519(key) => Address::of_key(Scheme::Ed25519.number(), key),
            other => {
                let mut bytes = Vec::new();
                other.encode_key(&mut bytes);
                Address::of_key(other.scheme().number(), &bytes)
            }
        }
    }

    /// Appends the key without the number of its scheme.
    fn encode_key(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ed25519(key) => key.encode(out),
            Self::Secp256k1(key) => key.encode(out),
            Self::RsaPss(key) => encode_byte_string(key, out),
            Self::MlDsa44(key) => key.encode(out),
            Self::Multisig(multisig) => {
                out.push(multisig.threshold);
                out.push(u8::try_from(multisig.keys.len()).expect("at most 16 keys"));
                for key in &multisig.keys {
                    key.encode(out);
                }
            }
        }
    }

    /// Reads a key of `scheme`.
    fn decode_key(scheme: Scheme, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match scheme {
            Scheme::Ed25519 => Self::Ed25519(reader.array()?),
            Scheme::Secp256k1 => Self::Secp256k1(reader.array()?),
            Scheme::RsaPss => Self::RsaPss(reader.byte_string("RSA key", RSA_KEY_BYTES_MAX)?.to_vec()),
            Scheme::MlDsa44 => Self::MlDsa44(Box::new(reader.array()?)),
            Scheme::Multisig => Self::Multisig(MultisigKey::decode(reader)?),
        })
    }
}

impl MultisigKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let threshold = reader.byte()?;
        let at = reader.position();
        let count = usize::from(reader.byte()?);
        if count > MULTISIG_KEYS_MAX {
            return Err(DecodeError::TooLong {
                what: "multisig keys",
                at,
                found: count,
                limit: MULTISIG_KEYS_MAX,
            });
        }
        if threshold == 0 || usize::from(threshold) > count {
            return Err(DecodeError::NotCanonical { what: "multisig threshold", at: reader.position() });
        }
        let mut keys: Vec<PublicKey> = Vec::with_capacity(count);
        let mut previous: &[u8] = &[];
        for _ in 0..count {
            let start = reader.position();
            let scheme = Scheme::decode(reader)?;
            if scheme == Scheme::Multisig {
                return Err(DecodeError::NotCanonical { what: "nested multisig key", at: reader.position() });
            }
            keys.push(PublicKey::decode_key(scheme, reader)?);
            let bytes = reader.since(start);
            if bytes <= previous {
                return Err(DecodeError::NotCanonical {
                    what: "order of multisig keys",
                    at: reader.position(),
                });
            }
            previous = bytes;
        }
        Ok(Self { threshold, keys })
    }
}

impl Encode for PublicKey {
    fn encode(&self, out: &mut Vec<u8>) {
        self.scheme().encode(out);
        self.encode_key(out);
    }
}

impl Decode for PublicKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let scheme = Scheme::decode(reader)?;
        Self::decode_key(scheme, reader)
    }
}

/// What shows that the owner of an account agreed: a public key and a signature by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A key and a signature (RFC 8032).
    Ed25519 {
        /// The compressed key.
        key: [u8; 32],
        /// The signature, R ‖ S.
        signature: [u8; 64],
    },
    /// A key and a signature, r ‖ s.
    Secp256k1 {
        /// The compressed key.
        key: [u8; 33],
        /// The signature.
        signature: [u8; 64],
    },
    /// A key and a signature (RFC 8017).
    RsaPss {
        /// The key in DER.
        key: Vec<u8>,
        /// The signature.
        signature: Vec<u8>,
    },
    /// A key and a signature (FIPS 204).
    MlDsa44 {
        /// The encoded key.
        key: Box<[u8; ML_DSA_44_KEY_BYTES]>,
        /// The signature.
        signature: Box<[u8; ML_DSA_44_SIGNATURE_BYTES]>,
    },
    /// The keys, and as many signatures as the threshold asks.
    Multisig {
        /// All keys.
        key: MultisigKey,
        /// Position of the key and its signature, in key order.
        signatures: Vec<(u8, MemberSignature)>,
    },
}

/// One signature inside a multisig witness; its scheme is that of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSignature(pub Vec<u8>);

impl Witness {
    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Ed25519 { .. } => Scheme::Ed25519,
            Self::Secp256k1 { .. } => Scheme::Secp256k1,
            Self::RsaPss { .. } => Scheme::RsaPss,
            Self::MlDsa44 { .. } => Scheme::MlDsa44,
            Self::Multisig { .. } => Scheme::Multisig,
        }
    }

    /// The address of the account that the key owns: the sender of the transaction.
    pub fn address(&self) -> Address {
        match self {
            Self::Ed25519 { key, .. } => Address::of_key(Scheme::Ed25519.number(), key),
            Self::Secp256k1 { key, .. } => Address::of_key(Scheme::Secp256k1.number(), key),
            Self::RsaPss { key, .. } => PublicKey::RsaPss(key.clone()).address(),
            Self::MlDsa44 { key, .. } => PublicKey::MlDsa44(key.clone()).address(),
            Self::Multisig { key, .. } => PublicKey::Multisig(key.clone()).address(),
        }
    }

    /// What verifying the witness costs, in units of weight.
    pub fn verify_weight(&self) -> Weight {
        match self {
            Self::Multisig { key, signatures } => Weight(
                signatures
                    .iter()
                    .filter_map(|(position, _)| key.keys.get(usize::from(*position)))
                    .map(|key| scheme_weight(key.scheme()))
                    .sum(),
            ),
            other => Weight(scheme_weight(other.scheme())),
        }
    }
}

/// About one unit for two microseconds of a processor core.
const fn scheme_weight(scheme: Scheme) -> u64 {
    match scheme {
        Scheme::Ed25519 => 20,
        Scheme::Secp256k1 => 18,
        Scheme::RsaPss => 22,
        Scheme::MlDsa44 => 16,
        Scheme::Multisig => 0,
    }
}

impl Encode for Witness {
    fn encode(&self, out: &mut Vec<u8>) {
        self.scheme().encode(out);
        match self {
            Self::Ed25519 { key, signature } => {
                key.encode(out);
                signature.encode(out);
            }
            Self::Secp256k1 { key, signature } => {
                key.encode(out);
                signature.encode(out);
            }
            Self::RsaPss { key, signature } => {
                encode_byte_string(key, out);
                encode_byte_string(signature, out);
            }
            Self::MlDsa44 { key, signature } => {
                key.encode(out);
                signature.encode(out);
            }
            Self::Multisig { key, signatures } => {
                PublicKey::Multisig(key.clone()).encode_key(out);
                for (position, signature) in signatures {
                    out.push(*position);
                    // All but RSA signatures have a fixed length, which needs no count.
                    match key.keys.get(usize::from(*position)).map(PublicKey::scheme) {
                        Some(Scheme::RsaPss) => encode_byte_string(&signature.0, out),
                        _ => out.extend_from_slice(&signature.0),
                    }
                }
            }
        }
    }
}

impl Decode for Witness {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match Scheme::decode(reader)? {
            Scheme::Ed25519 => Self::Ed25519 { key: reader.array()?, signature: reader.array()? },
            Scheme::Secp256k1 => Self::Secp256k1 { key: reader.array()?, signature: reader.array()? },
            Scheme::RsaPss => Self::RsaPss {
                key: reader.byte_string("RSA key", RSA_KEY_BYTES_MAX)?.to_vec(),
                signature: reader.byte_string("RSA signature", RSA_SIGNATURE_BYTES_MAX)?.to_vec(),
            },
            Scheme::MlDsa44 => {
                Self::MlDsa44 { key: Box::new(reader.array()?), signature: Box::new(reader.array()?) }
            }
            Scheme::Multisig => {
                let key = MultisigKey::decode(reader)?;
                let signatures = decode_member_signatures(&key, reader)?;
                Self::Multisig { key, signatures }
            }
        })
    }
}

/// Reads as many signatures as the threshold asks, their positions ascending.
fn decode_member_signatures(
    key: &MultisigKey,
    reader: &mut Reader<'_>,
) -> Result<Vec<(u8, MemberSignature)>, DecodeError> {
    let mut signatures: Vec<(u8, MemberSignature)> = Vec::with_capacity(usize::from(key.threshold));
    for _ in 0..key.threshold {
        let position = reader.byte()?;
        let ascending = signatures.last().is_none_or(|(last, _)| *last < position);
        let Some(member) = key.keys.get(usize::from(position)).filter(|_| ascending) else {
            return Err(DecodeError::NotCanonical {
                what: "order of multisig signatures",
                at: reader.position(),
            });
        };
        let bytes = match member.scheme() {
            Scheme::Ed25519 | Scheme::Secp256k1 => reader.take(64)?,
            Scheme::RsaPss => reader.byte_string("RSA signature", RSA_SIGNATURE_BYTES_MAX)?,
            Scheme::MlDsa44 => reader.take(ML_DSA_44_SIGNATURE_BYTES)?,
            Scheme::Multisig => {
                return Err(DecodeError::NotCanonical { what: "nested multisig key", at: reader.position() });
            }
        };
        signatures.push((position, MemberSignature(bytes.to_vec())));
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::decode_exact;
    fn multisig(keys: &[[u8; 32]], threshold: u8, positions: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x10, threshold, u8::try_from(keys.len()).unwrap()];
        for key in keys {
            bytes.push(0x01);
            bytes.extend(key);
        }
        for position in positions {
            bytes.push(*position);
            bytes.extend([7; 64]);
        }
        bytes
    }

    #[test]
    fn every_witness_format_comes_back_as_it_was() {
        let witnesses = [
            Witness::Ed25519 { key: [1; 32], signature: [2; 64] },
            Witness::Secp256k1 { key: [1; 33], signature: [2; 64] },
            Witness::RsaPss { key: vec![1; 270], signature: vec![2; 256] },
            Witness::MlDsa44 { key: Box::new([1; 1312]), signature: Box::new([2; 2420]) },
            decode_exact(&multisig(&[[1; 32], [2; 32], [3; 32]], 2, &[0, 2])).unwrap(),
        ];
        for witness in witnesses {
            assert_eq!(decode_exact::<Witness>(&witness.to_bytes()), Ok(witness));
        }
    }

    #[test]
    fn byt_5_a_multisig_out_of_form_is_refused() {
        let (a, b) = ([1; 32], [2; 32]);
        for bytes in [
            multisig(&[b, a], 1, &[0]),
            multisig(&[a, a], 1, &[0]),
            multisig(&[a, b], 0, &[]),
            multisig(&[a, b], 3, &[0, 1]),
            multisig(&[a, b], 2, &[1, 0]),
            multisig(&[a, b], 2, &[0, 0]),
            multisig(&[a, b], 1, &[2]),
        ] {
            assert!(matches!(decode_exact::<Witness>(&bytes), Err(DecodeError::NotCanonical { .. })));
        }
    }
}
