//! What crosses the wire: AES-GCM, and nothing else is taken.

use super::support::*;
use crate::key::NodeKey;
use crate::{DialFailure, certificate};
use futures_rustls::TlsConnector;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

/// Forwards one connection to `to` and keeps what comes back from there.
async fn tap(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&seen);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let (mut near_in, mut near_out) = near.into_split();
        let (mut far_in, mut far_out) = TcpStream::connect(to).await.unwrap().into_split();
        tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
        let mut buffer = vec![0; 4096];
        while let Ok(length @ 1..) = far_in.read(&mut buffer).await {
            keeps.lock().unwrap().extend_from_slice(&buffer[..length]);
            near_out.write_all(&buffer[..length]).await.unwrap();
        }
    });
    (at, seen)
}

/// The suite in the ServerHello (RFC 8446, 4.1.3) of a connection, and the bytes after the names.
fn suite(answer: &[u8]) -> [u8; 2] {
    let names = b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n";
    let record = answer.strip_prefix(names).expect("only the name of TLS is agreed upon in the clear");
    assert_eq!(record[..3], [22, 3, 3], "a handshake record");
    assert_eq!(record[5], 2, "a ServerHello");
    let session = usize::from(record[5 + 4 + 2 + 32]);
    let at = 5 + 4 + 2 + 32 + 1 + session;
    [record[at], record[at + 1]]
}

#[tokio::test]
async fn a_captured_connection_is_encrypted_with_aes_gcm() {
    let ((a, mut a_events), (b, mut b_events)) = (node(1).await, node(2).await);
    let (at, seen) = tap(b.listening()[0]).await;
    a.dial(at.into()).unwrap();
    let of_b = joined(&mut a_events).await;
    joined(&mut b_events).await;
    let secret = b"words that are easy to find";
    a.send(of_b, crate::Frame::new(TXN, secret.to_vec()), crate::Priority::Transaction).unwrap();
    wait(&mut b_events, |event| matches!(event, crate::Event::Frame { .. }).then_some(())).await;
    let seen = seen.lock().unwrap();
    assert_eq!(suite(&seen), [0x13, 0x02], "TLS_AES_256_GCM_SHA384");
    for open in ["cairn", "node 2", "yamux"] {
        assert!(!seen.windows(open.len()).any(|it| it == open.as_bytes()), "{open} in the clear");
    }
}

/// How far a TLS handshake with `suites` comes.
async fn handshake(to: SocketAddr, suites: &[rustls::SupportedCipherSuite]) -> std::io::Result<[u8; 1]> {
    let mut stream = TcpStream::connect(to).await?;
    for name in ["/multistream/1.0.0", "/tls/1.0.0"] {
        say_name(&mut stream, name).await?;
        hear_name(&mut stream, name).await.unwrap();
    }
    let provider =
        rustls::crypto::CryptoProvider { cipher_suites: suites.to_vec(), ..aws_lc_rs::default_provider() };
    let provider = Arc::new(provider);
    let (shown, private) = certificate::make(&NodeKey::from_seed([5; 32])).unwrap();
    let private = provider.key_provider.load_private_key(private).unwrap();
    let key = rustls::sign::CertifiedKey::new(vec![shown], private);
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(crate::tls::tests::verifier())
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    let name = ServerName::try_from("x").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream.compat()).await?;
    // The server has the last word: it may refuse after the client is done.
    let mut first = [0; 1];
    use futures::{AsyncReadExt as _, AsyncWriteExt as _};
    tls.write_all(b"\x13/multistream/1.0.0\n").await?;
    tls.flush().await?;
    tls.read_exact(&mut first).await?;
    Ok(first)
}

#[tokio::test]
async fn a_peer_that_offers_no_aes_is_refused() {
    let (node, _events) = node(1).await;
    let to = node.listening()[0];
    let chacha = [aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    let refused = soon(handshake(to, &chacha)).await.unwrap_err();
    assert!(refused.to_string().contains("HandshakeFailure"), "{refused}");
    // The same peer with AES is taken, so it is the suite that was refused.
    for aes in
        [aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256, aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384]
    {
        assert_eq!(soon(handshake(to, &[chacha[0], aes])).await.unwrap(), [0x13]);
    }
}

#[tokio::test]
async fn a_peer_that_speaks_in_the_clear_is_refused() {
    let (node, _events) = node(1).await;
    let mut stream = TcpStream::connect(node.listening()[0]).await.unwrap();
    for name in ["/multistream/1.0.0", "/plaintext/2.0.0"] {
        say_name(&mut stream, name).await.unwrap();
    }
    hear_name(&mut stream, "/multistream/1.0.0").await.unwrap();
    hear_name(&mut stream, "na").await.unwrap();
    say_name(&mut stream, "/yamux/1.0.0").await.unwrap();
    hear_name(&mut stream, "na").await.unwrap();
}

#[tokio::test]
async fn a_node_that_answers_in_the_clear_is_refused() {
    let (node, mut events) = node(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    node.dial(listener.local_addr().unwrap().into()).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    say_name(&mut stream, "/multistream/1.0.0").await.unwrap();
    say_name(&mut stream, "na").await.unwrap();
    let why = dial_failed(&mut events).await;
    assert!(matches!(why, DialFailure::NoNode(_)), "{why}");
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let (node, _events) = node(1).await;
    let mut stream = TcpStream::connect(node.listening()[0]).await.unwrap();
    for name in ["/multistream/1.0.0", "/tls/1.0.0"] {
        say_name(&mut stream, name).await.unwrap();
        hear_name(&mut stream, name).await.unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(crate::tls::tests::verifier())
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = soon(connector.connect(ServerName::try_from("x").unwrap(), stream.compat())).await.unwrap();
    let mut first = [0; 1];
    let refused = soon(futures::AsyncReadExt::read_exact(&mut tls, &mut first)).await.unwrap_err();
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
}
