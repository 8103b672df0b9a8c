//! One kept-alive connection with as little of HTTP (RFC 9112) as our own server needs, so that a load
//! costs its sender next to nothing.
//!
//! The whole-program tests include this file too.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection to a node on this machine.
pub(crate) struct Connection {
    stream: TcpStream,
    port: u16,
    buffer: Vec<u8>,
}

/// The status and the body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
        Some(Self { stream, port, buffer: Vec::new() })
    }

    /// Reads a path.
    pub(crate) fn get(&mut self, path: &str) -> Option<Answer> {
        self.exchange("GET", path, "", &[])
    }

    /// Posts canonical bytes.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Option<Answer> {
        let length = body.len();
        let headers = format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
        self.exchange("POST", path, &headers, body)
    }

    /// Posts JSON, with the token that commands need.
    pub(crate) fn post_with_token(&mut self, path: &str, token: &str, json: &str) -> Option<Answer> {
        let kind = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
        self.exchange("POST", path, &format!("Authorization: Bearer {token}\r\n{kind}"), json.as_bytes())
    }

    /// Sends a request and reads one answer. None if the node is gone; a body that was cut off is no
    /// answer.
    fn exchange(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
        let port = self.port;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(self.buffer.get(..end)?).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
        while self.buffer.len() < end + length {
            self.fill()?;
        }
        let body = self.buffer.get(end..end + length)?.to_vec();
        self.buffer.drain(..end + length);
        Some(Answer { status, body })
    }

    fn fill(&mut self) -> Option<()> {
        let mut part = [0; 16 * 1024];
        let read = self.stream.read(&mut part).ok().filter(|read| *read > 0)?;
        self.buffer.extend_from_slice(part.get(..read)?);
        Some(())
    }
}
