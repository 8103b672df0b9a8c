//! TLS 1.3 (RFC 8446) with AES-GCM: how a node shows who it is, and how a client knows it.
//!
//! A node that others can reach has a certificate: one from its owner's files, or one that it made itself
//! and keeps in its data directory. A client trusts a certificate by its fingerprint, or those of a file.

use crate::api::guard::write_private;
use crate::values::{Fingerprint, NodeTrust};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file with the certificate that a node made itself, in the data directory.
pub const CERTIFICATE_FILE: &str = "api-certificate.pem";
/// The file with its key, in the data directory.
pub const KEY_FILE: &str = "api-key.pem";
/// The longest file with certificates or a key that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Who a node is: a certificate and the key to it.
#[derive(Clone, Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
}

/// A certificate or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
    /// A file is too long.
    #[error("{} has {found} bytes, at most {FILE_BYTES_MAX} are read", path.display())]
    TooLong {
        /// Its path.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// A file holds no certificate in PEM (RFC 7468).
    #[error("{} holds no certificate in PEM", path.display())]
    NoCertificate {
        /// Its path.
        path: PathBuf,
    },
    /// A file holds no private key in PEM.
    #[error("{} holds no private key in PEM", path.display())]
    NoKey {
        /// Its path.
        path: PathBuf,
    },
    /// The certificate cannot be used, or not with this key.
    #[error("the certificate in {} cannot be used with the key", path.display())]
    Unusable {
        /// The file with the certificate.
        path: PathBuf,
        /// What the library says.
        #[source]
        source: rustls::Error,
    },
    /// No certificate can be made, as for a name that is none.
    #[error("no certificate can be made")]
    Make(#[source] rcgen::Error),
}

impl Identity {
    /// Reads the certificate, with those between it and its authority behind it, and its key.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if a file cannot be read or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_certificates(certificate)?;
        let fingerprint = match chain.first() {
            Some(first) => Fingerprint::of(first),
            None => return Err(TlsError::NoCertificate { path: certificate.to_owned() }),
        };
        let bytes = read(key)?;
        let key =
            PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| TlsError::NoKey { path: key.to_owned() })?;
        let config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|source| TlsError::Unusable { path: certificate.to_owned(), source })?;
        Ok(Self { config: Arc::new(config), fingerprint })
    }

    /// The certificate that a node keeps in a directory; makes one for `names` if there is none.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if the files cannot be read or written.
    pub fn keep(directory: &Path, names: &[String]) -> Result<Self, TlsError> {
        let (certificate, key) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
        if !certificate.exists() {
            make(&certificate, &key, names)?;
        }
        Self::load(&certificate, &key)
    }

    /// What a client is told once, so that it knows the node from then on.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What the server speaks with.
    pub fn into_config(self) -> Arc<ServerConfig> {
        self.config
    }
}

/// What a client speaks with that trusts as `trust` says, and no certificate at all where it says nothing.
///
/// # Errors
///
/// [`TlsError`] if the file with certificates cannot be read.
pub fn client_config(trust: Option<&NodeTrust>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3");
    let known = match trust {
        Some(NodeTrust::File(path)) => {
            let mut roots = RootCertStore::empty();
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|source| TlsError::Unusable { path: path.clone(), source })?;
            }
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        }
        Some(NodeTrust::Fingerprint(fingerprint)) => Some(*fingerprint),
        None => None,
    };
    let verifier = Arc::new(Pinned { known, algorithms });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Trusts one certificate, whatever it says about itself: whoever has its key is the node.
#[derive(Debug)]
struct Pinned {
    known: Option<Fingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.known == Some(Fingerprint::of(end_entity)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The algorithms of aws-lc, and of the ciphers those with AES-GCM only.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| {
        matches!(suite.suite(), CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_AES_128_GCM_SHA256)
    });
    provider
}

/// Makes a certificate that signs itself. The key is written first: a certificate shows that both are there.
fn make(certificate: &Path, key: &Path, names: &[String]) -> Result<(), TlsError> {
    let pair = rcgen::KeyPair::generate().map_err(TlsError::Make)?;
    let made = rcgen::CertificateParams::new(names).and_then(|params| params.self_signed(&pair));
    let made = made.map_err(TlsError::Make)?;
    let write = |path: &Path, text: &str| {
        write_private(path, text.as_bytes())
            .map_err(|source| TlsError::File { path: path.to_owned(), source })
    };
    write(key, &pair.serialize_pem())?;
    write(certificate, &made.pem())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::NoCertificate { path: path.to_owned() }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    if found > FILE_BYTES_MAX {
        return Err(TlsError::TooLong { path: path.to_owned(), found });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names() -> Vec<String> {
        vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
    }

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let first = Identity::keep(directory.path(), &names()).unwrap();
        let again = Identity::keep(directory.path(), &[]).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        let key = std::fs::metadata(directory.path().join(KEY_FILE)).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(first.fingerprint(), Identity::keep(other.path(), &names()).unwrap().fingerprint());
    }

    #[test]
    fn what_is_no_certificate_or_no_key_or_of_another_pair_is_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Identity::keep(one.path(), &names()).unwrap();
        Identity::keep(two.path(), &names()).unwrap();
        let (certificate, key) = (one.path().join(CERTIFICATE_FILE), one.path().join(KEY_FILE));
        let foreign = two.path().join(KEY_FILE);
        assert!(matches!(Identity::load(&certificate, &foreign), Err(TlsError::Unusable { .. })));
        assert!(matches!(Identity::load(&key, &key), Err(TlsError::NoCertificate { .. })));
        assert!(matches!(Identity::load(&certificate, &certificate), Err(TlsError::NoKey { .. })));
        let missing = one.path().join("missing");
        assert!(matches!(Identity::load(&missing, &key), Err(TlsError::File { .. })));
        let long = one.path().join("long");
        File::create(&long).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(Identity::load(&long, &key), Err(TlsError::TooLong { .. })));
        assert!(matches!(client_config(Some(&NodeTrust::File(long))), Err(TlsError::TooLong { .. })));
    }

    #[test]
    fn nothing_but_aes_gcm_is_spoken() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(suites, [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256]);
    }
}
