//! TLS 1.3 (RFC 8446) between nodes, with AES-GCM and nothing else.
//!
//! Name and certificates are those of libp2p (`/tls/1.0.0`); libp2p's own upgrade prefers ChaCha20-Poly1305
//! and has no setting for it. Both sides show exactly one certificate and prove the key of their node.

use crate::certificate::{self, CertificateError, Proven};
use crate::key::{NodeId, NodeKey};
use futures::future::{BoxFuture, FutureExt as _};
use futures::io::{AsyncRead, AsyncWrite};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p_core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p_identity::PeerId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible, ServerConfig, SignatureScheme,
};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The name of this upgrade, as libp2p negotiates it.
const NAME: &str = "/tls/1.0.0";
/// The application protocol of RFC 7301 that libp2p announces.
const APPLICATION: &[u8] = b"libp2p";
/// How certificates and handshakes are signed. RSA is left out: nodes have no reason to use it.
const SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];

/// The upgrade of a plain connection to an encrypted one whose other end is known.
#[derive(Clone, Debug)]
pub(crate) struct AesTls {
    accepting: Arc<ServerConfig>,
    dialling: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

/// No TLS can be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("no certificate can be made")]
    Certificate(#[from] rcgen::Error),
    #[error("the certificate cannot be used")]
    Unusable(#[from] rustls::Error),
}

impl AesTls {
    /// A fresh certificate of the node whose key this is.
    pub(crate) fn new(key: &NodeKey) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let (certificate, private) = certificate::make(key)?;
        let private = provider.key_provider.load_private_key(private)?;
        // `with_single_cert` would refuse the critical extension that it does not know; a resolver is not
        // looked into.
        let shown = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], private)));
        let verifier = Arc::new(Verifier { algorithms: provider.signature_verification_algorithms });
        let mut accepting = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(Arc::clone(&shown) as Arc<_>);
        accepting.alpn_protocols = vec![APPLICATION.to_vec()];
        // Resumption would leave out certificates; a node reconnects seldom.
        accepting.send_tls13_tickets = 0;
        let mut dialling = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(shown);
        dialling.alpn_protocols = vec![APPLICATION.to_vec()];
        dialling.resumption = rustls::client::Resumption::disabled();
        dialling.enable_sni = false;
        Ok(Self { accepting: Arc::new(accepting), dialling: Arc::new(dialling), verifier })
    }

    /// Who is at the other end.
    fn node<C>(&self, stream: &TlsStream<C>) -> io::Result<NodeId> {
        let Some([certificate]) = stream.get_ref().1.peer_certificates() else {
            return Err(io::Error::other(rustls::Error::NoCertificatesPresented));
        };
        // The handshake has verified the same bytes; here it is only asked what they say.
        Ok(self.verifier.prove(certificate).map_err(io::Error::other)?.node)
    }
}

/// aws-lc with the two AES suites of TLS 1.3.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    }
}

/// Takes any node's certificate, and no other.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn prove(&self, certificate: &CertificateDer<'_>) -> Result<Proven, CertificateError> {
        certificate::check(certificate, &self.algorithms)
    }

    fn check(&self, first: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        if !others.is_empty() {
            return Err(rustls::Error::General("exactly one certificate is expected".to_owned()));
        }
        self.prove(first).map(drop).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn check_handshake(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let proven = self.prove(certificate).map_err(|error| rustls::Error::General(error.to_string()))?;
        verify_tls13_signature_with_raw_key(message, &proven.key, signature, &self.algorithms)
    }
}

fn no_tls_12() -> rustls::Error {
    rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(first, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls_12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_handshake(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(first, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls_12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_handshake(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl UpgradeInfo for AesTls {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(NAME)
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for AesTls {
    type Output = (PeerId, TlsStream<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_inbound(self, connection: C, _: Self::Info) -> Self::Future {
        async move {
            let acceptor = TlsAcceptor::from(Arc::clone(&self.accepting));
            let stream = TlsStream::from(acceptor.accept(connection).await?);
            Ok((self.node(&stream)?.to_peer_id(), stream))
        }
        .boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for AesTls {
    type Output = (PeerId, TlsStream<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_outbound(self, connection: C, _: Self::Info) -> Self::Future {
        async move {
            let connector = TlsConnector::from(Arc::clone(&self.dialling));
            // No name is sent or compared: who is there is in the certificate.
            let nobody = ServerName::IpAddress(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
            let stream = TlsStream::from(connector.connect(nobody, connection).await?);
            Ok((self.node(&stream)?.to_peer_id(), stream))
        }
        .boxed()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Takes any node, as the upgrade itself does.
    pub(crate) fn verifier() -> Arc<dyn ServerCertVerifier> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Arc::new(Verifier { algorithms })
    }
}
