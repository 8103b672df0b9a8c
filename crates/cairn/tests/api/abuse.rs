//! Garbage for every route of the description: whatever is sent, nothing is taken that should not be, the
//! node is never to blame, and nothing grows.
//!
//! A case is made of the seed, the route and its number alone; a failure shows all three and the request.

use crate::http::connect;
use crate::node::TestNode;
use crate::numbers::{Numbers, asked};
use crate::sender::{Sender, address_text, to_bytes, to_json};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// How many workers send at a time.
const WORKERS: usize = 4;
/// How much memory the node may have more at the end: its caches and those of its allocator.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One method of one path.
#[derive(Clone, Debug)]
struct Route {
    number: u64,
    method: String,
    path: String,
    parameters: Vec<String>,
}

/// Everything of the description.
fn routes(node: &TestNode) -> Vec<Route> {
    let description = node.read("/openapi.json");
    let paths = description["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    });
    (0..)
        .zip(methods)
        .map(|(number, (path, method, operation))| {
            let named = operation["parameters"].as_array().into_iter().flatten();
            let parameters = named.filter(|it| it["in"] == "query");
            Route {
                number,
                method: method.to_uppercase(),
                path: path.clone(),
                parameters: parameters.map(|it| it["name"].as_str().unwrap().to_owned()).collect(),
            }
        })
        .collect()
}

/// What a request of a node can be garbled from.
struct Material {
    address: SocketAddr,
    token: String,
    texts: Vec<String>,
    json: Vec<Value>,
    bytes: Vec<u8>,
}

impl Material {
    fn of(node: &TestNode) -> Self {
        // Everything is signed for another network, and no address is of this one: nothing can be taken.
        let foreign = Sender::elsewhere("alice");
        let other = cairn_core::address::AddressPrefix::new("other").unwrap();
        let elsewhere = crate::sender::address("bob").to_text(&other);
        let signed = to_json(&foreign.pay(0, 5));
        Self {
            address: node.address,
            token: node.token.clone(),
            texts: vec![
                "tip".to_owned(),
                "0".to_owned(),
                "18446744073709551615".to_owned(),
                address_text("alice"),
                elsewhere.clone(),
                "0".repeat(64),
                "..%2f..%2fetc%2fpasswd".to_owned(),
                "%00".to_owned(),
                "%ff%fe".to_owned(),
                "%D9%A5".to_owned(),
                String::new(),
            ],
            json: vec![
                signed.clone(),
                json!([signed, signed]),
                json!({ "address": elsewhere, "amount": "5" }),
                json!({ "blocks": 3 }),
                json!({ "mode": "continuous" }),
                json!({}),
            ],
            bytes: to_bytes(&[foreign.pay(0, 5), foreign.pay(1, 5)]),
        }
    }

    /// One request for a route, and whether its answer has a body.
    fn request(&self, route: &Route, numbers: &mut Numbers) -> (Vec<u8>, bool) {
        let others = ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "X"];
        let method = if numbers.below(20) == 0 { numbers.pick(&others) } else { route.method.as_str() };
        let mut head = format!("{method} {} HTTP/1.1\r\n", self.target(route, numbers));
        let host = match numbers.below(20) {
            0 => "evil.example".to_owned(),
            1 => format!("localhost.evil.example:{}", self.address.port()),
            _ => self.address.to_string(),
        };
        let _ = write!(head, "Host: {host}\r\n");
        for _ in 0..numbers.below(4) {
            let _ = write!(head, "{}\r\n", self.header(numbers));
        }
        let body =
            if route.method == "GET" && numbers.below(4) > 0 { Vec::new() } else { self.body(numbers) };
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        ([head.into_bytes(), body].concat(), method != "HEAD")
    }

    fn target(&self, route: &Route, numbers: &mut Numbers) -> String {
        let mut target = String::new();
        for (place, part) in route.path.split('/').enumerate() {
            if place > 0 {
                target.push('/');
            }
            if part.starts_with('{') { target.push_str(&self.text(numbers)) } else { target.push_str(part) }
        }
        let unknown = "colour".to_owned();
        for place in 0..numbers.below(4) {
            target.push(if place == 0 { '?' } else { '&' });
            let name = if route.parameters.is_empty() { &unknown } else { numbers.pick(&route.parameters) };
            let name = if numbers.below(8) == 0 { &unknown } else { name };
            let _ = write!(target, "{name}={}", self.text(numbers));
        }
        target
    }

    /// A text that may stand in a path or a query.
    fn text(&self, numbers: &mut Numbers) -> String {
        match numbers.below(6) {
            0 => numbers.pick(&self.texts).clone(),
            1 => numbers.next().to_string(),
            2 => numbers.below(3).to_string(),
            3 => (0..numbers.below(40)).map(|_| format!("%{:02x}", numbers.below(256))).collect(),
            4 => "a".repeat(numbers.below(3000)),
            _ => {
                let mut text = numbers.pick(&self.texts).clone().into_bytes();
                if !text.is_empty() {
                    let place = numbers.below(text.len());
                    text[place] = *numbers.pick(b"0aqz9-_~.");
                }
                String::from_utf8(text).unwrap()
            }
        }
    }

    fn header(&self, numbers: &mut Numbers) -> String {
        let kinds =
            ["application/json", "application/octet-stream", "text/plain", "multipart/form-data", "/"];
        match numbers.below(8) {
            0..3 => format!("Content-Type: {}", numbers.pick(&kinds)),
            3 => "Origin: http://evil.example".to_owned(),
            4 => "Sec-Fetch-Site: cross-site".to_owned(),
            5 => format!("Last-Event-ID: {}", self.text(numbers)),
            6 => {
                // Nearly the token, and never the token.
                let end = numbers.below(self.token.len());
                format!("Authorization: Bearer {}", &self.token[..end])
            }
            _ => format!("X-{}: {}", numbers.below(1000), "x".repeat(numbers.below(2000))),
        }
    }

    fn body(&self, numbers: &mut Numbers) -> Vec<u8> {
        match numbers.below(6) {
            0 => {
                let count = numbers.below(2000);
                numbers.bytes(count)
            }
            1 => b"[{\"a\":".repeat(numbers.below(500)),
            2 => numbers.pick(&self.json).to_string().into_bytes(),
            3 => garble(self.bytes.clone(), numbers),
            4 => self.bytes.clone(),
            _ => garble(numbers.pick(&self.json).to_string().into_bytes(), numbers),
        }
    }
}

/// Changes, cuts or doubles some of the bytes.
fn garble(mut bytes: Vec<u8>, numbers: &mut Numbers) -> Vec<u8> {
    for _ in 0..=numbers.below(4) {
        let place = numbers.below(bytes.len().max(1));
        match numbers.below(4) {
            0 => bytes.truncate(place),
            1 => bytes.extend_from_within(place.min(bytes.len())..),
            2 => bytes.insert(place.min(bytes.len()), *numbers.pick(b"\"{}[],:0-e.\\u\xff\x00 ")),
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = numbers.next().to_le_bytes()[0];
                }
            }
        }
    }
    bytes
}

/// A connection that is opened anew when the node has ended it.
struct Wire {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Wire {
    /// Status and body of the answer; none where the node ends the connection without one.
    fn exchange(&mut self, request: &[u8], has_body: bool) -> Option<(u16, Vec<u8>)> {
        // A kept connection may have ended after the last answer: then it is asked once more.
        for _ in 0..2 {
            let is_new = self.stream.is_none();
            let mut stream = self.stream.take().unwrap_or_else(|| connect(self.address));
            let sent = stream.write_all(request);
            let answer = read_answer(&mut stream, has_body);
            match answer {
                Some((status, body, stays)) => {
                    self.stream = (stays && sent.is_ok()).then_some(stream);
                    return Some((status, body));
                }
                None if is_new => return None,
                None => {}
            }
        }
        None
    }
}

/// Status, body, and whether the connection stays. A stream of events is not waited for.
fn read_answer(stream: &mut TcpStream, has_body: bool) -> Option<(u16, Vec<u8>, bool)> {
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "no answer in time");
                return None;
            }
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let Some(length) = length.map(|text| text.parse::<usize>().unwrap()).filter(|_| has_body) else {
        return Some((status, Vec::new(), !has_body));
    };
    while bytes.len() < end + length {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    let stays = !head.contains("connection: close") && bytes.len() == end + length;
    Some((status, bytes.split_off(end), stays))
}

/// What is wrong with an answer to garbage.
fn complaint(method: &str, status: u16, body: &[u8]) -> Option<&'static str> {
    if status >= 500 {
        return Some("the node says that it is to blame");
    }
    let is_refused = match status {
        207 => serde_json::from_slice::<Vec<Value>>(body)
            .is_ok_and(|results| results.iter().all(|result| result["error"].is_object())),
        _ => status >= 400,
    };
    if method != "GET" && !is_refused {
        return Some("it was taken");
    }
    let has_code = status < 400
        || body.is_empty()
        || serde_json::from_slice::<Value>(body).is_ok_and(|body| body["error"]["code"].is_string());
    (!has_code).then_some("a refusal without a code")
}

/// Sends the cases of a route; returns how many were refused.
fn abuse(material: &Material, route: &Route, seed: u64, cases: u64) -> u64 {
    let mut wire = Wire { address: material.address, stream: None };
    let mut refused = 0;
    for case in 0..cases {
        let mut numbers = Numbers::new(seed ^ route.number << 48 ^ case << 20);
        let (request, has_body) = material.request(route, &mut numbers);
        let Some((status, body)) = wire.exchange(&request, has_body) else {
            refused += 1;
            continue;
        };
        refused += u64::from(status >= 400);
        let method = if request.starts_with(b"GET ") || !has_body { "GET" } else { "other" };
        if let Some(complaint) = complaint(method, status, &body) {
            panic!(
                "{complaint}: seed {seed}, {} {}, case {case}: {status} {}\n{}",
                route.method,
                route.path,
                String::from_utf8_lossy(&body),
                request.escape_ascii()
            );
        }
    }
    refused
}

/// A figure of the process, in bytes.
fn memory(node: &TestNode) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

fn files(node: &TestNode) -> usize {
    fs::read_dir(format!("/proc/{}/fd", node.pid())).map_or(0, Iterator::count)
}

#[test]
fn garbage_for_every_route_changes_nothing() {
    let node = TestNode::start();
    let (seed, cases) = (asked("CAIRN_ABUSE_SEED", 2026), asked("CAIRN_ABUSE_CASES", 150));
    let (routes, material) = (routes(&node), Material::of(&node));
    assert!(routes.len() > 20, "{routes:?}");
    let before = node.snapshot();
    // What is made once, on first use, is no growth.
    for route in &routes {
        abuse(&material, route, seed.wrapping_add(1), 50);
    }
    let (memory_before, files_before) = (memory(&node), files(&node));
    let refused: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let own = routes.iter().skip(worker).step_by(WORKERS);
                let material = &material;
                scope.spawn(move || own.map(|route| abuse(material, route, seed, cases)).sum::<u64>())
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    // Connections that have ended are given back soon.
    let started = Instant::now();
    while files(&node) > files_before + 4 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} files, {files_before} before", files(&node));
        thread::yield_now();
    }
    let growth = memory(&node).saturating_sub(memory_before);
    println!(
        "PROVE api_cases={} routes={} refused={refused} growth_bytes={growth} seed={seed}",
        cases * u64::try_from(routes.len()).unwrap(),
        routes.len()
    );
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes more");
    assert_eq!(node.snapshot(), before);
    node.assert_no_failure();
}
