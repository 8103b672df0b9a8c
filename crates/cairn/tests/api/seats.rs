//! A crowd of slow clients: those who ask properly are answered all the same, and soon.

use crate::http::request;
use crate::node::TestNode;
use crate::numbers::asked;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How many requests are measured.
const HONEST: usize = 300;
/// How many of the crowd are looked at between two requests.
const COMING_AGAIN: usize = 30;

/// How a slow client is slow.
fn open_slowly(address: SocketAddr, number: usize) -> Option<TcpStream> {
    // While the crowd is pushed out some of it finds no place.
    let mut stream = TcpStream::connect(address).ok()?;
    let host = format!("Host: {address}\r\n");
    let start = match number % 5 {
        0 => String::new(),
        1 => "GET /v1/sta".to_owned(),
        2 => format!("GET /v1/status HTTP/1.1\r\n{host}"),
        // A body that never comes.
        3 => format!(
            "POST /v1/transactions HTTP/1.1\r\n{host}Content-Type: application/json\r\n\
             Content-Length: 1000000\r\n\r\n["
        ),
        // An answer that is not read, and nothing asked any more.
        _ => format!("GET /openapi.json HTTP/1.1\r\n{host}\r\n"),
    };
    let _ = stream.write_all(start.as_bytes());
    Some(stream)
}

/// Lets this process open as many files as the system allows it.
fn raise_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(wanted, |most| most.min(wanted));
    if limit.current.is_some_and(|now| now < current) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).unwrap();
    }
}

#[test]
fn a_crowd_of_slow_clients_keeps_no_honest_one_out() {
    let crowd = asked("CAIRN_SLOW_CONNECTIONS", 1_000);
    raise_limit(crowd + 1_000);
    let crowd = usize::try_from(crowd).unwrap();
    let node = TestNode::start();
    let files = || fs::read_dir(format!("/proc/{}/fd", node.pid())).map_or(0, Iterator::count);
    let before = files();
    let mut slow: Vec<_> = (0..crowd).map(|number| open_slowly(node.address, number)).collect();
    let (mut times, mut most_files) = (Vec::new(), 0);
    for round in 0..HONEST {
        // Some of those who were cut off come again.
        for number in 0..COMING_AGAIN {
            let place = (round * COMING_AGAIN + number) % slow.len();
            if slow[place].as_mut().is_none_or(has_ended) {
                slow[place] = open_slowly(node.address, number);
            }
        }
        let asked = Instant::now();
        assert_eq!(request(node.address, "GET", "/v1/status", &[], &[]).status, 200, "{round}");
        times.push(asked.elapsed());
        most_files = files().max(most_files);
    }
    times.sort_unstable();
    let p99 = times[HONEST * 99 / 100];
    println!("PROVE slow_p99_ms={} connections={crowd} requests={HONEST}", p99.as_millis());
    assert!(most_files <= before + 256 + 64, "{most_files} files are open, {before} before");
    let limit = asked("CAIRN_SLOW_P99_MS", 0);
    assert!(limit == 0 || p99 < Duration::from_millis(limit), "p99 is {p99:?}, at most {limit} ms");
    node.assert_no_failure();
}

/// Whether the node has cut a connection off.
fn has_ended(stream: &mut TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let mut buffer = [0; 1024];
    match stream.read(&mut buffer) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
