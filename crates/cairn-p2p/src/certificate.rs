//! The certificate that ties a TLS connection to the key of a node, in libp2p's format.
//!
//! A connection's certificate has a key of its own. An extension of it holds the node's public key and the
//! node's signature over the certificate's key, so whoever ends the connection is the node
//! (<https://github.com/libp2p/specs/blob/master/tls/tls.md>).
//!
//! # Not provided
//!
//! Dates are not judged: the certificate says nothing but who is there, and a node with a wrong clock must
//! be told so by its peers, not lose them.

use crate::key::{NodeId, NodeKey, PROTOBUF_PREFIX};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// Object identifier 1.3.6.1.4.1.53594.1.1, allocated to libp2p.
const EXTENSION_OID: [u64; 9] = [1, 3, 6, 1, 4, 1, 53594, 1, 1];
/// The same as DER writes it.
const EXTENSION_OID_DER: [u8; 10] = [0x2b, 6, 1, 4, 1, 0x83, 0xa2, 0x5a, 1, 1];
/// What a node signs is this and the certificate's public key.
const SIGNED_PREFIX: &[u8] = b"libp2p-tls-handshake:";
/// The longest certificate that is read; ours have about 400 bytes.
const CERTIFICATE_BYTES_MAX: usize = 4096;

/// A certificate and its key, for all connections of one run of a node.
pub(crate) fn make(key: &NodeKey) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let signature = key.sign(&[SIGNED_PREFIX, &pair.subject_public_key_info()].concat());
    let public = [&PROTOBUF_PREFIX[..], &key.id().to_bytes()].concat();
    let content = der(SEQUENCE, &[der(OCTET_STRING, &public), der(OCTET_STRING, &signature)].concat());
    let mut extension = CustomExtension::from_oid_content(&EXTENSION_OID, content);
    extension.set_criticality(true);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.custom_extensions.push(extension);
    let certificate = parameters.self_signed(&pair)?;
    let private = PrivatePkcs8KeyDer::from(pair.serialize_der());
    Ok((certificate.der().clone(), private.into()))
}

/// What a certificate proves, once the connection's signature is verified with its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Whose connection it is.
    pub(crate) node: NodeId,
    /// The certificate's own key, which signs the handshake.
    pub(crate) key: SubjectPublicKeyInfoDer<'static>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("the certificate has {found} bytes, at most {CERTIFICATE_BYTES_MAX} are read")]
    TooLong { found: usize },
    #[error("the certificate is not DER of X.509")]
    Malformed,
    #[error("the certificate has a critical extension that is unknown")]
    UnknownExtension,
    #[error("the certificate names no node")]
    NoNode,
    #[error("the certificate names no ed25519 key, or names it twice")]
    NodeKey,
    #[error("the certificate is not signed with its own key")]
    SelfSignature,
    #[error("the node did not sign the certificate's key")]
    NodeSignature,
}

/// Reads a certificate and verifies both signatures.
pub(crate) fn check(
    certificate: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Proven, CertificateError> {
    if certificate.len() > CERTIFICATE_BYTES_MAX {
        return Err(CertificateError::TooLong { found: certificate.len() });
    }
    let parts = Parts::read(certificate)?;
    let algorithm = algorithms
        .all
        .iter()
        .find(|it| {
            it.signature_alg_id().as_ref() == parts.signature_algorithm
                && it.public_key_alg_id().as_ref() == parts.key_algorithm
        })
        .ok_or(CertificateError::SelfSignature)?;
    algorithm
        .verify_signature(parts.key_bits, parts.signed, parts.signature)
        .map_err(|_| CertificateError::SelfSignature)?;
    if !parts.node.verify(&[SIGNED_PREFIX, parts.key].concat(), parts.node_signature) {
        return Err(CertificateError::NodeSignature);
    }
    Ok(Proven { node: parts.node, key: SubjectPublicKeyInfoDer::from(parts.key.to_vec()) })
}

/// What a certificate says, nothing of it verified.
#[derive(Debug)]
struct Parts<'a> {
    /// All that the certificate's own signature covers.
    signed: &'a [u8],
    /// The contents of the AlgorithmIdentifier of the signature.
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
    /// The whole SubjectPublicKeyInfo.
    key: &'a [u8],
    /// The contents of its AlgorithmIdentifier.
    key_algorithm: &'a [u8],
    key_bits: &'a [u8],
    node: NodeId,
    node_signature: &'a [u8],
}

impl<'a> Parts<'a> {
    /// RFC 5280, 4.1, as far as it matters here.
    fn read(certificate: &'a [u8]) -> Result<Self, CertificateError> {
        let mut outer = Der(certificate);
        let mut outer = outer.last(SEQUENCE)?;
        let signed = outer.peek_whole()?;
        let mut body = outer.next(SEQUENCE)?;
        let signature_algorithm = outer.next(SEQUENCE)?.0;
        let signature = bits(outer.last(BIT_STRING)?.0)?;

        let version = body.next(CONTEXT | CONSTRUCTED)?.last(INTEGER)?.0;
        let serial = body.next(INTEGER)?.0;
        let same_algorithm = body.next(SEQUENCE)?.0 == signature_algorithm;
        if version != [2] || serial.is_empty() || !same_algorithm {
            return Err(CertificateError::Malformed);
        }
        for _issuer_validity_subject in 0..3 {
            body.next(SEQUENCE)?;
        }
        let key = body.peek_whole()?;
        let mut key_parts = body.next(SEQUENCE)?;
        let key_algorithm = key_parts.next(SEQUENCE)?.0;
        let key_bits = bits(key_parts.last(BIT_STRING)?.0)?;
        // Unique identifiers of issuer and subject may stand here; nobody writes them.
        let extensions = body.last(CONTEXT | CONSTRUCTED | 3)?.last(SEQUENCE)?;
        let (node, node_signature) = node_of(extensions)?;
        Ok(Self {
            signed,
            signature_algorithm,
            signature,
            key,
            key_algorithm,
            key_bits,
            node,
            node_signature,
        })
    }
}

/// The node and its signature, from the one extension that is understood.
fn node_of(mut extensions: Der<'_>) -> Result<(NodeId, &[u8]), CertificateError> {
    let mut found = None;
    while !extensions.0.is_empty() {
        let mut extension = extensions.next(SEQUENCE)?;
        let name = extension.next(OBJECT_IDENTIFIER)?.0;
        let critical = match extension.0.first() {
            Some(&BOOLEAN) => extension.next(BOOLEAN)?.0 == [0xff],
            _ => false,
        };
        let mut content = extension.last(OCTET_STRING)?;
        if name != EXTENSION_OID_DER {
            if critical {
                return Err(CertificateError::UnknownExtension);
            }
            continue;
        }
        let mut signed_key = content.last(SEQUENCE)?;
        let public = signed_key.next(OCTET_STRING)?.0;
        let signature = signed_key.last(OCTET_STRING)?.0;
        let bytes = public.strip_prefix(&PROTOBUF_PREFIX).and_then(|it| it.try_into().ok());
        let node = bytes.and_then(NodeId::from_bytes).ok_or(CertificateError::NodeKey)?;
        if found.replace((node, signature)).is_some() {
            return Err(CertificateError::NodeKey);
        }
    }
    found.ok_or(CertificateError::NoNode)
}

/// The bytes of a bit string that has whole bytes.
fn bits(content: &[u8]) -> Result<&[u8], CertificateError> {
    content.strip_prefix(&[0]).ok_or(CertificateError::Malformed)
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT: u8 = 0x80;
const CONSTRUCTED: u8 = 0x20;

/// What is left to read of DER (X.690): each value is a tag, a length in its shortest form, and contents.
#[derive(Clone, Copy, Debug)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The contents of the next value, which must have this tag.
    fn next(&mut self, tag: u8) -> Result<Self, CertificateError> {
        let (found, header, length) = self.head()?;
        let end = header.checked_add(length).ok_or(CertificateError::Malformed)?;
        let contents = self.0.get(header..end).ok_or(CertificateError::Malformed)?;
        if found != tag {
            return Err(CertificateError::Malformed);
        }
        self.0 = &self.0[end..];
        Ok(Self(contents))
    }

    /// The same, where nothing may follow.
    fn last(&mut self, tag: u8) -> Result<Self, CertificateError> {
        let contents = self.next(tag)?;
        if self.0.is_empty() { Ok(contents) } else { Err(CertificateError::Malformed) }
    }

    /// The next value with its tag and length, which stays to be read.
    fn peek_whole(&self) -> Result<&'a [u8], CertificateError> {
        let (_, header, length) = self.head()?;
        let end = header.checked_add(length).ok_or(CertificateError::Malformed)?;
        self.0.get(..end).ok_or(CertificateError::Malformed)
    }

    /// Tag of the next value, bytes of tag and length, and the length.
    fn head(&self) -> Result<(u8, usize, usize), CertificateError> {
        match *self.0 {
            [tag, length @ 0..=0x7f, ..] => Ok((tag, 2, usize::from(length))),
            [tag, 0x81, length @ 0x80..=0xff, ..] => Ok((tag, 3, usize::from(length))),
            [tag, 0x82, high @ 1..=0xff, low, ..] => {
                Ok((tag, 4, usize::from(u16::from_be_bytes([high, low]))))
            }
            _ => Err(CertificateError::Malformed),
        }
    }
}

/// One value in DER; what is written here has less than 65,536 bytes.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).expect("the extension has some hundred bytes");
    let [high, low] = length.to_be_bytes();
    let head = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, contents].concat()
}

/// Bytes that are read as a certificate prove something or are refused.
pub(crate) fn fuzz(bytes: &[u8]) {
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    if let Ok(proven) = check(bytes, &algorithms) {
        assert!(NodeId::from_bytes(proven.node.to_bytes()).is_some());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a certificate shows, with `key` as the node in the extension and signed by `signer`.
    pub(crate) fn extension(pair: &KeyPair, key: &[u8], signer: &NodeKey) -> CustomExtension {
        let signature = signer.sign(&[SIGNED_PREFIX, &pair.subject_public_key_info()].concat());
        let content = [der(OCTET_STRING, key), der(OCTET_STRING, &signature)].concat();
        let mut extension = CustomExtension::from_oid_content(&EXTENSION_OID, der(SEQUENCE, &content));
        extension.set_criticality(true);
        extension
    }

    /// A certificate with these extensions, signed with its own key.
    pub(crate) fn with_extensions(pair: &KeyPair, extensions: Vec<CustomExtension>) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.custom_extensions = extensions;
        parameters.self_signed(pair).unwrap().der().to_vec()
    }

    fn algorithms() -> WebPkiSupportedAlgorithms {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
    }

    #[test]
    fn a_certificate_names_its_node() {
        let key = NodeKey::from_seed([3; 32]);
        let (certificate, _) = make(&key).unwrap();
        assert_eq!(check(&certificate, &algorithms()).unwrap().node, key.id());
    }

    #[test]
    fn the_certificate_of_another_implementation_is_read() {
        // The example with an ed25519 key in libp2p's specification of TLS.
        let bytes = const_hex::decode(include_str!("certificate/example.hex").trim()).unwrap();
        let id = "12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq".parse().unwrap();
        assert_eq!(check(&bytes, &algorithms()).unwrap().node, id);
    }

    #[test]
    fn a_certificate_with_any_changed_byte_is_refused() {
        let (certificate, _) = make(&NodeKey::from_seed([3; 32])).unwrap();
        for at in 0..certificate.len() {
            let mut changed = certificate.to_vec();
            changed[at] ^= 1;
            assert!(check(&changed, &algorithms()).is_err(), "byte {at}");
        }
        for length in 0..certificate.len() {
            assert!(check(&certificate[..length], &algorithms()).is_err(), "{length} bytes");
        }
        assert_eq!(
            check(&[&certificate[..], &[0]].concat(), &algorithms()),
            Err(CertificateError::Malformed)
        );
    }

    #[test]
    fn the_key_of_one_node_under_the_signature_of_another_is_refused() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let public = [&PROTOBUF_PREFIX[..], &NodeKey::from_seed([5; 32]).id().to_bytes()].concat();
        let extension = extension(&pair, &public, &NodeKey::from_seed([4; 32]));
        let certificate = with_extensions(&pair, vec![extension]);
        assert_eq!(check(&certificate, &algorithms()), Err(CertificateError::NodeSignature));
    }

    #[test]
    fn a_certificate_without_a_node_is_refused() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let plain = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = plain.self_signed(&pair).unwrap();
        assert_eq!(check(certificate.der(), &algorithms()), Err(CertificateError::NoNode));
    }
}
