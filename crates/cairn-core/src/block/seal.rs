//! Seals: what closes a header and gives its block an id, and the certificates of validators.

use crate::codec::{Decode, DecodeError, Encode, Reader, encode_byte_string};
use crate::hash::{BlockId, CertificateHash, Tag};
use crate::network::AUTHORITIES_MAX;
use crate::numbers::WorkNonce;

/// What closes a header and gives the block its id. Kept and sent beside the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Work alone.
    Work {
        /// The nonce that makes the work hash low enough; 0 for block 0 under `bft`.
        nonce: WorkNonce,
    },
    /// Work and the signature of a listed miner over the block id.
    Permit {
        /// The nonce that makes the work hash low enough.
        nonce: WorkNonce,
        /// The ed25519 signature of the producer.
        signature: [u8; 64],
    },
    /// The agreement of the validators; the work nonce is 0.
    Certificate(Certificate),
}

impl Seal {
    /// The work nonce.
    pub const fn nonce(&self) -> WorkNonce {
        match self {
            Self::Work { nonce } | Self::Permit { nonce, .. } => *nonce,
            Self::Certificate(_) => WorkNonce(0),
        }
    }
}

/// What shows that more than two thirds of the validators agreed on a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The height of the agreement: of the block under `bft`, of the checkpoint under `pow+finality`.
    pub height: u64,
    /// The round in which it was reached.
    pub round: u32,
    /// What was agreed on.
    pub id: BlockId,
    /// Who signed: bit `i mod 8` of byte `i / 8` stands for validator `i`.
    pub signers: Vec<u8>,
    /// Their signatures, by ascending validator.
    pub signatures: Vec<[u8; 64]>,
}

impl Certificate {
    /// What `prev_seal` commits.
    pub fn hash(&self) -> CertificateHash {
        CertificateHash(Tag::CERTIFICATE.hash(&[&self.to_bytes()]))
    }
}

const SEAL_WORK: u8 = 1;
const SEAL_PERMIT: u8 = 2;
const SEAL_CERTIFICATE: u8 = 3;

impl Encode for Seal {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Work { nonce } => {
                out.push(SEAL_WORK);
                nonce.encode(out);
            }
            Self::Permit { nonce, signature } => {
                out.push(SEAL_PERMIT);
                nonce.encode(out);
                signature.encode(out);
            }
            Self::Certificate(certificate) => {
                out.push(SEAL_CERTIFICATE);
                certificate.encode(out);
            }
        }
    }
}

impl Decode for Seal {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        match reader.byte()? {
            SEAL_WORK => Ok(Self::Work { nonce: WorkNonce::decode(reader)? }),
            SEAL_PERMIT => Ok(Self::Permit { nonce: WorkNonce::decode(reader)?, signature: reader.array()? }),
            SEAL_CERTIFICATE => Ok(Self::Certificate(Certificate::decode(reader)?)),
            found => Err(DecodeError::UnknownKind { what: "seal", at, found }),
        }
    }
}

impl Encode for Certificate {
    fn encode(&self, out: &mut Vec<u8>) {
        self.height.encode(out);
        self.round.encode(out);
        self.id.encode(out);
        encode_byte_string(&self.signers, out);
        // The bits say how many signatures follow.
        for signature in &self.signatures {
            signature.encode(out);
        }
    }
}

impl Decode for Certificate {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let height = u64::decode(reader)?;
        let round = u32::decode(reader)?;
        let id = BlockId::decode(reader)?;
        let signers = reader.byte_string("signers", AUTHORITIES_MAX.div_ceil(8))?.to_vec();
        // A last byte without a signer could be left out, so it must be.
        if signers.last() == Some(&0) {
            return Err(DecodeError::NotCanonical { what: "signers", at: reader.position() });
        }
        let count: u32 = signers.iter().map(|byte| byte.count_ones()).sum();
        let signatures = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { height, round, id, signers, signatures })
    }
}
