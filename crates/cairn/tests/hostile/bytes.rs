//! Bytes that are no protocol, too many of them, none at all, and one by one.

use crate::scene::Scene;
use crate::support::{Numbers, PATIENCE};
use crate::wire::{
    MULTISTREAM, Streams, TLS, bulk_name, closed, connect, drip, frame, head, hello, id, name, peer_name,
    secure, window, yamux,
};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The farewells of page 11.
const PROTOCOL: u16 = 7;
const BANNED: u16 = 9;
const SILENT: u16 = 11;
const SEED: u64 = 2026;

/// Writes something below TLS, as the whole of what is ever said, and waits until the node hangs up.
fn is_hung_up_on(to: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(to);
    // The node may hang up before it has read all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    closed(stream);
}

/// Says something in the place of a greeting, and how the node takes leave.
fn greets_with(number: u8, to: SocketAddr, identity: [u8; 32], bytes: &[u8]) -> Option<u16> {
    let mut streams = Streams::dial(number, to).unwrap();
    streams.open(&peer_name(&identity)).unwrap();
    streams.send(1, bytes).unwrap();
    streams.farewell()
}

/// Says something after a greeting, and how the node takes leave.
fn says(number: u8, to: SocketAddr, identity: [u8; 32], bytes: &[u8]) -> Option<u16> {
    let mut streams = Streams::greeted(number, to, identity).unwrap();
    streams.send(1, bytes).unwrap();
    streams.farewell()
}

#[test]
fn garbage() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let mut numbers = Numbers(SEED);
    let noise: Vec<u8> = (0..4096).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();

    // In the clear.
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[0; 4096], &noise] {
        is_hung_up_on(to, garbage);
    }
    is_hung_up_on(to, &[name(MULTISTREAM), name("/noise")].concat());
    is_hung_up_on(to, &[name(MULTISTREAM), name(TLS), noise.clone()].concat());
    scene.goes_on("garbage in the clear");

    // Inside TLS, and in the place of yamux.
    let mut tls = secure(10, to).unwrap();
    let _ = tls.write_all(&noise);
    closed(tls);
    let mut streams = Streams::dial(10, to).unwrap();
    streams.raw(&noise).unwrap();
    streams.closed();
    scene.goes_on("garbage inside TLS");

    // In the place of a greeting: no frame, no tag, no greeting; the second time is one too many.
    let no_greeting =
        [frame(b"TXN", &[1]), frame(b"HEL", &noise[..1000]), head(b"HEL", 2), head(b"\xff\0L", 99)];
    for (number, bytes) in (20..).zip(no_greeting) {
        assert_eq!(greets_with(number, to, identity, &bytes), Some(PROTOCOL), "{}", bytes.escape_ascii());
        assert!(!scene.node.has_banned(&id(number)));
        assert_eq!(greets_with(number, to, identity, &bytes), Some(PROTOCOL));
        assert!(scene.node.has_banned(&id(number)));
        assert!(Streams::greeted(number, to, identity).is_none(), "the ban holds");
    }
    scene.goes_on("garbage in the place of a greeting");

    // Behind a greeting: frames that are none end the link, and what is in a good frame costs as much.
    let second = hello(30, identity).to_frame().to_bytes();
    for (number, bytes) in
        (30..).zip([second, head(b"INV", 1), head(b"I\nV", 40), frame(b"PIN", &[0xc1; 20])])
    {
        assert_eq!(says(number, to, identity, &bytes), Some(PROTOCOL), "{}", bytes.escape_ascii());
    }
    for (number, tag) in (40..).zip([b"INV", b"GET", b"HDR", b"GBT"]) {
        let twice = frame(tag, &noise[..64]).repeat(2);
        assert_eq!(says(number, to, identity, &twice), Some(BANNED), "{}", tag.escape_ascii());
        assert!(scene.node.has_banned(&id(number)));
    }
    // Answers that nobody asked for are not even looked at, and cost less.
    for (number, tag) in (50..).zip([b"TXN", b"CMP", b"BTX"]) {
        let five = frame(tag, &noise[..64]).repeat(5);
        assert_eq!(says(number, to, identity, &five), Some(BANNED), "{}", tag.escape_ascii());
        assert!(scene.node.has_banned(&id(number)));
    }
    scene.end();
}

#[test]
fn oversize() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);

    // Four GiB in every place that has a length, and as much behind it as is taken.
    let mut plain = connect(to);
    let _ = plain.write_all(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    let _ = plain.write_all(&window());
    closed(plain);
    let mut record = connect(to);
    let _ = record.write_all(&[name(MULTISTREAM), name(TLS), vec![22, 3, 1, 0xff, 0xff]].concat());
    let _ = record.write_all(&window());
    closed(record);
    let mut streams = Streams::dial(10, to).unwrap();
    streams.raw(&yamux(0, 1, 1, u32::MAX)).unwrap();
    let _ = streams.raw(&window());
    streams.closed();
    let mut streams = Streams::dial(11, to).unwrap();
    let long = streams.begin(&[0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap();
    assert_eq!(streams.take(long, 1000), None, "a name of four GiB ends its stream");
    scene.goes_on("lengths below the frames");

    let long = [head(b"HEL", u32::MAX), window()].concat();
    assert_eq!(greets_with(20, to, identity, &long), Some(PROTOCOL));
    assert_eq!(greets_with(21, to, identity, &frame(b"HEL", &[0; 2049])), Some(PROTOCOL));
    let tags = [b"TXN", b"HDR", b"CMP", b"ADR", b"PIN", b"BYE", b"GAD", b"abc", b"XYZ"];
    for (number, tag) in (30..).zip(tags) {
        let long = [head(tag, u32::MAX), window()].concat();
        assert_eq!(says(number, to, identity, &long), Some(PROTOCOL), "{}", tag.escape_ascii());
        assert!(!scene.node.has_banned(&id(number)), "half of a ban");
    }
    // The longest that its table allows, and a byte more.
    assert_eq!(says(40, to, identity, &frame(b"INV", &[0; 32_065])), Some(PROTOCOL));
    scene.goes_on("lengths of frames");

    // A question of four GiB on a stream of its own ends the link as well.
    let mut streams = Streams::greeted(50, to, identity).unwrap();
    let bulk = streams.open(&bulk_name(&identity)).unwrap();
    streams.send(bulk, &head(b"GBL", u32::MAX)).unwrap();
    assert_eq!(streams.farewell(), Some(PROTOCOL));
    scene.end();
}

#[test]
fn half_open() {
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);

    // Hundreds that connect and say nothing. Those beyond 32 are hung up on at once.
    let silent: Vec<TcpStream> = (0..300).map(|_| connect(to)).collect();
    scene.goes_on("three hundred silent connections");
    silent.into_iter().for_each(closed);

    // Some that say nothing after TLS, after the streams, and without a greeting.
    let tls: Vec<_> = (0..10).map(|number| secure(10 + number, to).unwrap()).collect();
    let streams: Vec<_> = (0..10).map(|number| Streams::dial(20 + number, to).unwrap()).collect();
    let named = (0..10).map(|number| {
        let mut streams = Streams::dial(30 + number, to).unwrap();
        streams.open(&peer_name(&identity)).unwrap();
        streams
    });
    let named: Vec<Streams> = named.collect();
    scene.goes_on("thirty that do not greet");
    tls.into_iter().for_each(closed);
    for mut streams in streams {
        streams.closed();
    }
    for mut streams in named {
        assert_eq!(streams.farewell(), Some(SILENT));
    }
    // There is room for who means well.
    assert!(Streams::greeted(50, to, identity).is_some());
    scene.end();
}

#[test]
fn slow_loris() {
    const PAUSE: Duration = Duration::from_millis(100);
    let mut scene = Scene::new();
    let (to, identity) = (scene.node.p2p, scene.genesis.identity().0);
    let endless = || std::iter::repeat_n(0, 600);
    let slow = |stream: &TcpStream| stream.set_read_timeout(Some(PAUSE)).unwrap();
    let everything = std::thread::spawn(move || {
        let names = std::thread::spawn(move || {
            let mut stream = connect(to);
            slow(&stream);
            let long = [&[0xff, 0x7f][..], &[b'/'; 500]].concat();
            assert!(drip(&mut stream, name(MULTISTREAM).into_iter().chain(long)), "names in the clear");
        });
        let tls = std::thread::spawn(move || {
            let mut stream = connect(to);
            slow(&stream);
            let begun = [name(MULTISTREAM), name(TLS), vec![22, 3, 1, 0x40, 0]].concat();
            assert!(drip(&mut stream, begun.into_iter().chain(endless())), "a record of TLS");
        });
        let inside = std::thread::spawn(move || {
            let mut stream = secure(10, to).unwrap();
            slow(&stream.sock);
            let long = [&[0xff, 0x7f][..], &[b'/'; 500]].concat();
            assert!(drip(&mut stream, name(MULTISTREAM).into_iter().chain(long)), "names inside TLS");
        });
        let naming = std::thread::spawn(move || {
            let mut streams = Streams::dial(11, to).unwrap();
            let stream = streams.begin(&[]).unwrap();
            let named = [name(MULTISTREAM), name(&peer_name(&identity))].concat();
            let slowly = named.into_iter().take(100).chain(endless());
            assert!(streams.drip(stream, slowly, PAUSE), "the name of a stream");
        });
        let greeting = std::thread::spawn(move || {
            let mut streams = Streams::dial(12, to).unwrap();
            let stream = streams.open(&peer_name(&identity)).unwrap();
            let slowly = head(b"HEL", 2000).into_iter().chain(endless());
            assert!(streams.drip(stream, slowly, PAUSE), "a greeting");
            assert_eq!(streams.farewell(), Some(SILENT));
        });
        let within = std::thread::spawn(move || {
            let mut streams = Streams::greeted(13, to, identity).unwrap();
            let slowly = head(b"INV", 2000).into_iter().chain(endless());
            assert!(streams.drip(1, slowly, PAUSE), "a frame");
            assert_eq!(streams.farewell(), Some(SILENT));
        });
        for attack in [names, tls, inside, naming, greeting, within] {
            attack.join().unwrap();
        }
    });
    let start = std::time::Instant::now();
    while !everything.is_finished() {
        scene.goes_on("bytes that come one by one");
        assert!(start.elapsed() < PATIENCE);
    }
    everything.join().unwrap();
    scene.end();
}
