//! A peer written by hand from `docs/spec/11-wire.md`: TCP, names, TLS, yamux and frames, each of which may be wrong.

use crate::support::PATIENCE;
use cairn_p2p::{Hello, Label, NodeKey, Roles};
use ed25519_zebra::SigningKey;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// What each layer begins with.
pub(crate) const MULTISTREAM: &str = "/multistream/1.0.0";
pub(crate) const TLS: &str = "/tls/1.0.0";
pub(crate) const YAMUX: &str = "/yamux/1.0.0";
/// The bytes of a stream that may be sent before the other side has read any.
const WINDOW_BYTES: u32 = 256 * 1024;

/// Kinds and flags of yamux.
const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

/// A name as multistream-select writes it.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let length = text.len() + 1;
    let mut bytes = Vec::new();
    if length >= 128 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        bytes.push(u8::try_from(length >> 7).unwrap());
    } else {
        bytes.push(u8::try_from(length).unwrap());
    }
    [&bytes, text.as_bytes(), b"\n"].concat()
}

/// The first bytes of a frame, true or not.
pub(crate) fn head(tag: &[u8; 3], length: u32) -> Vec<u8> {
    [&length.to_le_bytes()[..], tag].concat()
}

/// A frame.
pub(crate) fn frame(tag: &[u8; 3], body: &[u8]) -> Vec<u8> {
    [head(tag, u32::try_from(body.len() + 3).unwrap()), body.to_vec()].concat()
}

/// Who the peer of a number is to others.
pub(crate) fn id(number: u8) -> String {
    NodeKey::from_seed([number; 32]).id().to_string()
}

/// A greeting of the peer of a number.
pub(crate) fn hello(number: u8, identity: [u8; 32]) -> Hello {
    Hello {
        version: 1,
        identity,
        software: Label::new("by hand", 64),
        name: Label::default(),
        roles: Roles::FULL,
        services: 0,
        height: 0,
        head: identity,
        work: [0; 32],
        listen: Vec::new(),
        observed: None,
        nonce: number.into(),
        time_ms: 0,
    }
}

/// A connection without anything on it.
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the other side closes.
pub(crate) fn closed(mut stream: impl Read) {
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if is_late(&error) => panic!("the connection stays open"),
            Err(_) => return,
        }
    }
}

/// Writes byte for byte, each after a pause in which the other side may close; whether it did.
pub(crate) fn drip(stream: &mut (impl Read + Write), bytes: impl IntoIterator<Item = u8>) -> bool {
    let mut rest = [0; 4096];
    for byte in bytes {
        if stream.write_all(&[byte]).and_then(|()| stream.flush()).is_err() {
            return true;
        }
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if is_late(&error) => {}
            Err(_) => return true,
        }
    }
    false
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A connection after TLS.
pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Dials as the node of a number and goes as far as TLS; none if the other side does not want it.
pub(crate) fn secure(number: u8, to: SocketAddr) -> Option<Secure> {
    let mut stream = connect(to);
    stream.write_all(&[name(MULTISTREAM), name(TLS)].concat()).ok()?;
    hear_names(&mut stream, &[MULTISTREAM, TLS])?;
    let server = ServerName::from(Ipv4Addr::LOCALHOST);
    let mut tls = StreamOwned::new(ClientConnection::new(config(number), server).unwrap(), stream);
    tls.conn.complete_io(&mut tls.sock).ok()?;
    Some(tls)
}

fn hear_names(stream: &mut impl Read, names: &[&str]) -> Option<()> {
    for expected in names {
        let expected = name(expected);
        let mut heard = vec![0; expected.len()];
        stream.read_exact(&mut heard).ok()?;
        assert_eq!(heard, expected, "{}", heard.escape_ascii());
    }
    Some(())
}

/// A connection with streams.
pub(crate) struct Streams {
    tls: Secure,
    inbox: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
    next: u32,
    is_over: bool,
}

/// What came on a stream.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    is_over: bool,
}

impl Streams {
    /// Dials as the node of a number.
    pub(crate) fn dial(number: u8, to: SocketAddr) -> Option<Self> {
        let mut tls = secure(number, to)?;
        tls.write_all(&[name(MULTISTREAM), name(YAMUX)].concat()).ok()?;
        hear_names(&mut tls, &[MULTISTREAM, YAMUX])?;
        Some(Self { tls, inbox: Vec::new(), streams: BTreeMap::new(), next: 1, is_over: false })
    }

    /// Dials, and has greeted on the peer stream, which is 1.
    pub(crate) fn greeted(number: u8, to: SocketAddr, identity: [u8; 32]) -> Option<Self> {
        let mut streams = Self::dial(number, to)?;
        let stream = streams.open(&peer_name(&identity))?;
        assert_eq!(stream, 1);
        let greeting = hello(number, identity).to_frame().to_bytes();
        streams.send(1, &greeting).ok()?;
        assert_eq!(streams.frame(1)?.0, "HEL");
        Some(streams)
    }

    /// Opens a stream with a name.
    pub(crate) fn open(&mut self, named: &str) -> Option<u32> {
        let stream = self.begin(&[name(MULTISTREAM), name(named)].concat())?;
        for expected in [MULTISTREAM, named] {
            let expected = name(expected);
            assert_eq!(self.take(stream, expected.len())?, expected);
        }
        Some(stream)
    }

    /// Opens a stream with some bytes.
    pub(crate) fn begin(&mut self, bytes: &[u8]) -> Option<u32> {
        let stream = self.next;
        self.next += 2;
        self.streams.insert(stream, Stream::default());
        let length = u32::try_from(bytes.len()).unwrap();
        let opening = [yamux(WINDOW, SYN, stream, 0), yamux(DATA, 0, stream, length), bytes.to_vec()];
        self.raw(&opening.concat()).ok()?;
        Some(stream)
    }

    /// Writes to a stream.
    pub(crate) fn send(&mut self, stream: u32, bytes: &[u8]) -> std::io::Result<()> {
        for part in bytes.chunks(16 * 1024) {
            let length = u32::try_from(part.len()).unwrap();
            self.raw(&[yamux(DATA, 0, stream, length), part.to_vec()].concat())?;
        }
        Ok(())
    }

    /// Writes below the streams.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// The next so many bytes of a stream; none at its end.
    pub(crate) fn take(&mut self, stream: u32, length: usize) -> Option<Vec<u8>> {
        loop {
            let came = self.streams.get_mut(&stream).unwrap();
            if came.bytes.len() >= length {
                return Some(came.bytes.drain(..length).collect());
            }
            if came.is_over || self.is_over {
                return None;
            }
            self.pump();
        }
    }

    /// The next frame of a stream, its tag and its body; none at its end.
    pub(crate) fn frame(&mut self, stream: u32) -> Option<(String, Vec<u8>)> {
        let head = self.take(stream, 7)?;
        let length = u32::from_le_bytes(head[..4].try_into().unwrap());
        let body = self.take(stream, usize::try_from(length).unwrap() - 3)?;
        Some((String::from_utf8(head[4..].to_vec()).unwrap(), body))
    }

    /// Waits for a frame with a tag, reading over others; none if the stream ends without.
    pub(crate) fn hear(&mut self, stream: u32, tag: &str) -> Option<Vec<u8>> {
        loop {
            let (found, body) = self.frame(stream)?;
            if found == tag {
                return Some(body);
            }
        }
    }

    /// The code of the farewell with which the peer stream ends; none if it ends without.
    pub(crate) fn farewell(&mut self) -> Option<u16> {
        self.hear(1, "BYE").map(|body| code(&body))
    }

    /// Reads until the other side closes the connection.
    pub(crate) fn closed(&mut self) {
        while !self.is_over {
            self.pump();
        }
    }

    /// Writes to a stream byte for byte, with a pause after each; whether the stream or the connection ended
    /// before all were written.
    pub(crate) fn drip(&mut self, stream: u32, bytes: impl IntoIterator<Item = u8>, pause: Duration) -> bool {
        self.tls.sock.set_read_timeout(Some(pause)).unwrap();
        let mut bytes = bytes.into_iter();
        let has_ended = loop {
            let Some(byte) = bytes.next() else { break false };
            if self.send(stream, &[byte]).is_err() {
                break true;
            }
            self.try_pump();
            if self.is_over || self.streams.get(&stream).is_some_and(|it| it.is_over) {
                break true;
            }
        };
        self.tls.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        has_ended
    }

    /// Takes what comes next.
    fn pump(&mut self) {
        assert!(self.try_pump(), "the connection stays open");
    }

    /// Takes what comes next; false if nothing comes in time.
    fn try_pump(&mut self) -> bool {
        let mut part = [0; 16 * 1024];
        match self.tls.read(&mut part) {
            Ok(0) => self.is_over = true,
            Ok(read) => {
                self.inbox.extend_from_slice(&part[..read]);
                self.sort();
            }
            Err(error) if is_late(&error) => return false,
            Err(_) => self.is_over = true,
        }
        true
    }

    /// Gives whole frames of yamux to their streams.
    fn sort(&mut self) {
        while self.inbox.len() >= 12 {
            let (kind, flags) = (self.inbox[1], u16::from_be_bytes([self.inbox[2], self.inbox[3]]));
            let stream = u32::from_be_bytes(self.inbox[4..8].try_into().unwrap());
            let length = u32::from_be_bytes(self.inbox[8..12].try_into().unwrap());
            let data = if kind == DATA { usize::try_from(length).unwrap() } else { 0 };
            if self.inbox.len() < 12 + data {
                return;
            }
            let bytes: Vec<u8> = self.inbox.drain(..12 + data).skip(12).collect();
            if kind == PING && flags & SYN != 0 {
                let _ = self.raw(&yamux(PING, ACK, 0, length));
                continue;
            }
            let came = self.streams.entry(stream).or_default();
            came.bytes.extend_from_slice(&bytes);
            came.is_over |= flags & (FIN | RST) != 0;
            if !bytes.is_empty() {
                let _ = self.raw(&yamux(WINDOW, 0, stream, u32::try_from(bytes.len()).unwrap()));
            }
        }
    }
}

/// The first bytes of a frame of yamux.
pub(crate) fn yamux(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    [&[0, kind][..], &flags.to_be_bytes(), &stream.to_be_bytes(), &length.to_be_bytes()].concat()
}

/// The name of the peer stream.
pub(crate) fn peer_name(identity: &[u8; 32]) -> String {
    format!("/cairn/1/{}/peer", const_hex::encode(identity))
}

/// The name of bulk streams.
pub(crate) fn bulk_name(identity: &[u8; 32]) -> String {
    format!("/cairn/1/{}/bulk", const_hex::encode(identity))
}

/// The code in a farewell or an end: the first number of an array.
pub(crate) fn code(body: &[u8]) -> u16 {
    match *body {
        [0x92, 0xcd, high, low, ..] => u16::from_be_bytes([high, low]),
        [0x92, 0xcc, code, ..] | [0x92, code @ ..=0x7f, ..] => code.into(),
        _ => panic!("no farewell: {}", body.escape_ascii()),
    }
}

/// Almost as much as a stream may be sent at once: a greeting and a head are sent before it.
pub(crate) fn window() -> Vec<u8> {
    vec![0; usize::try_from(WINDOW_BYTES).unwrap() - 4096]
}

/// TLS with a certificate that names the node of a number.
fn config(number: u8) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let node = SigningKey::from([number; 32]);
    let key: [u8; 32] = ed25519_zebra::VerificationKeyBytes::from(&node).into();
    let signed = [&b"libp2p-tls-handshake:"[..], &pair.subject_public_key_info()].concat();
    let signature: [u8; 64] = node.sign(&signed).into();
    let key = [&[0x08, 0x01, 0x12, 0x20][..], &key].concat();
    // Each part is shorter than 128 bytes, so its length is one byte.
    let der =
        |kind: u8, content: &[u8]| [&[kind, u8::try_from(content.len()).unwrap()][..], content].concat();
    let content = der(0x30, &[der(0x04, &key), der(0x04, &signature)].concat());
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 53594, 1, 1], content);
    extension.set_criticality(true);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.custom_extensions.push(extension);
    let certificate = parameters.self_signed(&pair).unwrap().der().clone();
    let private = PrivatePkcs8KeyDer::from(pair.serialize_der());
    let private = provider.key_provider.load_private_key(private.into()).unwrap();
    let shown = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], private)));
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_cert_resolver(shown);
    config.alpn_protocols = vec![b"libp2p".to_vec()];
    config.enable_sni = false;
    Arc::new(config)
}

/// Takes every certificate: who is attacked is known by its port.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}
