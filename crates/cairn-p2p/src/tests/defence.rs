//! Peers that mean harm. Each of them is written from `docs/spec/11-wire.md`: connections, names and frames
//! by hand, over real sockets.

use super::support::*;
use crate::message::{self, BulkEnd};
use crate::{
    Ban, Banned, Bye, ByeCode, DialFailure, EndCode, Event, Events, Frame, INBOX_BYTES_MAX, INBOX_FRAMES_MAX,
    LeaveReason, Limits, Network, NodeKey, OUTBOX_BYTES_MAX, Priority, SendError, Settings, Tag,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A node that gives up soon where `change` says so.
async fn impatient(change: impl FnOnce(&mut crate::Deadlines)) -> (Network, Events, SocketAddr) {
    let mut settings = settings(1);
    change(&mut settings.deadlines);
    let (network, events) = Network::start(settings).await.unwrap();
    let at = network.listening()[0];
    (network, events, at)
}

/// Reads until the other side closes.
async fn closed(mut stream: impl tokio::io::AsyncRead + Unpin) {
    soon(async {
        let mut rest = [0; 1024];
        while let Ok(1..) = stream.read(&mut rest).await {}
    })
    .await;
}

/// A node with a hostile peer that has greeted.
async fn greeted() -> (Network, Events, crate::PeerNumber, RawPeer, RawStream) {
    let (network, mut events) = node(1).await;
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    let stream = raw.greeted(66).await;
    let peer = joined(&mut events).await;
    (network, events, peer, raw, stream)
}

/// The farewell that comes next among other frames.
async fn farewell(stream: &mut RawStream) -> Bye {
    Bye::read(&read_until(stream, crate::BYE).await.expect("a farewell").body).unwrap()
}

#[tokio::test]
async fn garbage_is_hung_up_on_and_others_are_served() {
    let (network, mut events) = node(1).await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 5000], &[0x80; 64], b"\x13/multistream/1.0.0\n\0"]
    {
        let mut stream = TcpStream::connect(network.listening()[0]).await.unwrap();
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        closed(stream).await;
    }
    let (other, mut other_events) = node(2).await;
    other.dial(address(&network)).unwrap();
    joined(&mut events).await;
    joined(&mut other_events).await;
}

#[tokio::test]
async fn a_connection_that_is_not_set_up_in_time_is_closed() {
    let (_network, _events, at) = impatient(|it| it.handshake = Duration::from_millis(300)).await;
    // One says nothing at all, one stops after the first name.
    let silent = TcpStream::connect(at).await.unwrap();
    let mut halfway = TcpStream::connect(at).await.unwrap();
    say_name(&mut halfway, "/multistream/1.0.0").await.unwrap();
    closed(silent).await;
    closed(halfway).await;
    // One begins a TLS record and never gets to its end, though it always sends something.
    let mut slow = TcpStream::connect(at).await.unwrap();
    say_name(&mut slow, "/multistream/1.0.0").await.unwrap();
    say_name(&mut slow, "/tls/1.0.0").await.unwrap();
    soon(async {
        let _ = slow.write_all(&[22, 3, 1, 0x40, 0]).await;
        while slow.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_without_a_peer_stream_is_closed() {
    let (_network, _events, at) = impatient(|it| it.hello = Duration::from_millis(300)).await;
    let raw = RawPeer::dial(66, at).await;
    // It keeps other streams open and busy with names, which must not count.
    soon(async {
        while raw.open().await.is_some() {
            tokio::task::yield_now().await
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_another_network_is_not_taken() {
    let (network, _events) = node(1).await;
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    for name in [peer_name().replace("07", "08"), "/cairn/2/x/peer".to_owned(), "/ipfs/id/1.0.0".to_owned()] {
        let mut stream = raw.open().await.unwrap();
        say_name(&mut stream, "/multistream/1.0.0").await.unwrap();
        say_name(&mut stream, &name).await.unwrap();
        hear_name(&mut stream, "/multistream/1.0.0").await.unwrap();
        hear_name(&mut stream, "na").await.unwrap();
    }
}

#[tokio::test]
async fn net_8_the_first_frame_is_a_greeting_and_comes_in_time() {
    let (network, _events) = node(1).await;
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    let mut stream = raw.named(&peer_name()).await.unwrap();
    write(&mut stream, &Frame::new(TXN, vec![1])).await;
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol);

    let (_network, _events, at) = impatient(|it| it.hello = Duration::from_millis(300)).await;
    let raw = RawPeer::dial(67, at).await;
    let mut stream = raw.named(&peer_name()).await.unwrap();
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Silent);
}

#[tokio::test]
async fn net_1_what_is_no_frame_counts_before_the_greeting_too() {
    let (network, _events) = node(1).await;
    for (seed, head) in [(66, [2, 0, 0, 0, b'H', b'E', b'L']), (67, [3, 0, 0, 0, 0xff, b'E', b'L'])] {
        for _ in 0..2 {
            let raw = RawPeer::dial(seed, network.listening()[0]).await;
            let mut stream = raw.named(&peer_name()).await.unwrap();
            stream.write_all(&head).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol);
        }
        let banned = Banned::Node(NodeKey::from_seed([seed; 32]).id());
        assert!(network.bans().iter().any(|ban| ban.who == banned), "twice fifty strikes");
    }
}

#[tokio::test]
async fn net_3_a_question_that_is_too_long_ends_the_link() {
    let (_network, mut events, _, raw, mut stream) = greeted().await;
    let mut bulk = raw.named(&bulk_name()).await.unwrap();
    bulk.write_all(&Frame::new(GBL, vec![0; 101]).head()).await.unwrap();
    bulk.flush().await.unwrap();
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol);
    let reason = left(&mut events).await;
    assert!(matches!(reason, LeaveReason::Ours(Bye { code: ByeCode::Protocol, .. })), "{reason}");
}

#[tokio::test]
async fn net_4_a_question_that_is_unknown_costs_a_fifth_of_a_ban() {
    let (network, _events, _, raw, mut stream) = greeted().await;
    for _ in 0..5 {
        let mut bulk = raw.named(&bulk_name()).await.unwrap();
        bulk.write_all(&Frame::new(Tag::new("xyz"), vec![]).to_bytes()).await.unwrap();
        bulk.flush().await.unwrap();
        read_until(&mut bulk, crate::END).await.unwrap();
    }
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Banned);
    assert_eq!(network.bans().len(), 1);
}

#[tokio::test]
async fn net_9_a_long_greeting_is_refused() {
    let (network, _events) = node(2).await;
    let raw = RawPeer::dial(67, network.listening()[0]).await;
    let mut stream = raw.named(&peer_name()).await.unwrap();
    stream.write_all(&Frame::new(crate::HEL, vec![0; 2049]).head()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol);
}

#[tokio::test]
async fn net_10_a_second_greeting_ends_the_link() {
    let (_network, mut events, _, _raw, mut stream) = greeted().await;
    write(&mut stream, &hello(66).to_frame()).await;
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol);
    assert!(matches!(left(&mut events).await, LeaveReason::Ours(Bye { code: ByeCode::Protocol, .. })));
}

/// What the node with this seed says to a greeting.
async fn answer_to(hello: &message::Hello) -> Bye {
    let (network, mut events) = node(1).await;
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    let mut stream = raw.named(&peer_name()).await.unwrap();
    write(&mut stream, &hello.to_frame()).await;
    let bye = farewell(&mut stream).await;
    assert!(events.try_next().is_none(), "the owner hears nothing of it");
    bye
}

#[tokio::test]
async fn net_11_a_greeting_for_another_network_is_refused() {
    let other = message::Hello { identity: [8; 32], ..hello(66) };
    assert_eq!(answer_to(&other).await.code, ByeCode::OtherNetwork);
}

#[tokio::test]
async fn net_12_a_node_does_not_speak_with_itself() {
    let (network, _events) = node(1).await;
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    let mut stream = raw.named(&peer_name()).await.unwrap();
    // Whoever holds another key and the same nonce is the same program.
    let theirs = message::Hello::read(&read(&mut stream).await.unwrap().body).unwrap();
    write(&mut stream, &message::Hello { nonce: theirs.nonce, ..hello(66) }.to_frame()).await;
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Myself);
    // And the same key does not come as far as that.
    assert!(RawPeer::dial(1, network.listening()[0]).await.named(&peer_name()).await.is_none());
}

#[tokio::test]
async fn net_13_a_greeting_without_a_version_is_refused() {
    assert_eq!(answer_to(&message::Hello { version: 0, ..hello(66) }).await.code, ByeCode::Version);
}

#[tokio::test]
async fn net_13_a_later_version_is_spoken_as_ours_and_its_fields_are_read_over() {
    let (network, mut events) = node(1).await;
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    let mut stream = raw.named(&peer_name()).await.unwrap();
    let mut later = message::Hello { version: 9, ..hello(66) }.to_frame().body.to_vec();
    // 14 fields instead of 13, the last of them a list with a text in it.
    later[0] += 1;
    later.extend([0x92, 0x01, 0xa2, b'h', b'i']);
    write(&mut stream, &Frame::new(crate::HEL, later)).await;
    let peer = joined(&mut events).await;
    let info = network.peer(peer).unwrap();
    assert_eq!((info.hello.version, info.version), (9, 1));
}

#[tokio::test]
async fn net_3_a_length_that_is_too_long_ends_the_link_before_anything_is_read() {
    for (tag, length) in [(TXN, 1004), (BLK, (4 << 20) + 4), (TXN, u32::MAX), (crate::PIN, 68)] {
        let (network, mut events, _, _raw, mut stream) = greeted().await;
        let [a, b, c] = tag.to_string().into_bytes()[..] else { panic!("three letters") };
        stream.write_all(&[&length.to_le_bytes()[..], &[a, b, c]].concat()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol, "{tag} {length}");
        left(&mut events).await;
        let score =
            network.shared().book().score(NodeKey::from_seed([66; 32]).id(), network.shared().now_ms());
        assert_eq!(score.round(), -50.0);
    }
}

#[tokio::test]
async fn net_4_unknown_tags_are_read_over_and_struck_unless_they_may_be_ignored() {
    let (network, mut events, peer, _raw, mut stream) = greeted().await;
    for tag in ["xyz", "aBC", "XYZ", "9zz"] {
        write(&mut stream, &Frame::new(Tag::new(tag), vec![0; 3000])).await;
    }
    write(&mut stream, &Frame::new(TXN, vec![5])).await;
    let frame = wait(&mut events, |event| match event {
        Event::Frame { frame, .. } => Some(frame),
        _ => None,
    });
    assert_eq!(frame.await, Frame::new(TXN, vec![5]));
    assert_eq!(network.peer(peer).unwrap().score.round(), -40.0);
    for _ in 0..3 {
        write(&mut stream, &Frame::new(Tag::new("XYZ"), vec![])).await;
    }
    assert_eq!(farewell(&mut stream).await.code, ByeCode::Banned);
}

#[tokio::test]
async fn net_6_a_message_that_cannot_be_read_ends_the_link() {
    for (tag, body) in [
        (crate::PIN, &b"\x90"[..]),
        (crate::PIN, b"\x91\xa1x"),
        (crate::PON, b"\x91\x01\x00"),
        (crate::ADR, b"\x91\xdd\xff\xff\xff\xff"),
        (crate::ADR, b"\x91\x91\x94\xa0\xc4\x07"),
        (crate::BYE, b"\xff"),
    ] {
        let (_network, mut events, _, _raw, mut stream) = greeted().await;
        write(&mut stream, &Frame::new(tag, body)).await;
        assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol, "{tag} {body:02x?}");
        left(&mut events).await;
    }
}

#[tokio::test]
async fn net_5_a_peer_that_does_not_read_has_a_bounded_queue_and_is_given_up() {
    let (network, mut events, at) = impatient(|it| it.stall = Duration::from_millis(500)).await;
    let raw = RawPeer::dial(66, at).await;
    let _stream = raw.greeted(66).await;
    let peer = joined(&mut events).await;
    let block = Frame::new(BLK, vec![0; 1 << 20]);
    let mut taken = 0;
    let refused = soon(async {
        loop {
            match network.send(peer, block.clone(), Priority::Block) {
                Ok(()) => taken += 1,
                Err(refused) => return refused,
            }
            let waiting = network.peer(peer).map_or(0, |it| it.bytes_waiting);
            assert!(waiting <= OUTBOX_BYTES_MAX, "{waiting} bytes wait");
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(refused.await, SendError::Full);
    assert!(taken < 40, "{taken} MiB were taken from somebody who reads nothing");
    // Small ones may still fit; then they are dropped and counted.
    let transaction = Frame::new(TXN, vec![0; 1000]);
    while network.send(peer, transaction.clone(), Priority::Transaction).is_ok() {}
    assert!(network.peer(peer).is_none_or(|it| it.dropped == 1 && it.bytes_waiting <= OUTBOX_BYTES_MAX));
    let reason = left(&mut events).await;
    assert!(matches!(reason, LeaveReason::Ours(Bye { code: ByeCode::Slow, .. })), "{reason}");
}

#[tokio::test]
async fn a_peer_may_send_only_so_much_that_is_not_handled_and_holds_nobody_up() {
    let (network, mut events, flooder, _raw, mut stream) = greeted().await;
    let (other, mut other_events) = node(2).await;
    other.dial(address(&network)).unwrap();
    let of_network = joined(&mut other_events).await;
    let honest = joined(&mut events).await;
    let flood = tokio::spawn(async move {
        let frame = Frame::new(BLK, vec![0; 100_000]).to_bytes();
        while stream.write_all(&frame).await.is_ok() {}
    });
    other.send(of_network, Frame::new(TXN, vec![1]), Priority::Transaction).unwrap();
    // The owner keeps all credits of the flood; the other peer is heard all the same.
    let mut held = Vec::new();
    soon(async {
        let mut is_heard = false;
        while !is_heard || held.len() < INBOX_BYTES_MAX / 100_000 {
            match events.next().await.unwrap() {
                Event::Frame { peer, credit, .. } if peer == flooder => held.push(credit),
                Event::Frame { peer, .. } if peer == honest => is_heard = true,
                _ => {}
            }
        }
    })
    .await;
    other.send(of_network, Frame::new(TXN, vec![2]), Priority::Transaction).unwrap();
    let next = wait(&mut events, |event| match event {
        Event::Frame { peer, .. } => Some(peer),
        _ => None,
    });
    assert_eq!(next.await, honest, "no more comes from the flood");
    assert!(held.len() <= INBOX_FRAMES_MAX && held.len() * 100_000 <= INBOX_BYTES_MAX);
    flood.abort();
}

#[tokio::test]
async fn net_15_more_frames_than_are_allowed_end_in_a_ban_that_lasts() {
    let (network, mut events, _, _raw, mut stream) = greeted().await;
    // 500 at once are allowed; fifty more than that are a hundred strikes.
    let flood = Frame::new(TXN, vec![0; 9]).to_bytes().repeat(600);
    let _ = stream.write_all(&flood).await;
    let _ = stream.flush().await;
    let mut heard = 0;
    let reason = wait(&mut events, |event| match event {
        Event::Frame { .. } => {
            heard += 1;
            None
        }
        Event::Left { reason, .. } => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    assert!(matches!(reason, LeaveReason::Ours(Bye { code: ByeCode::Banned, .. })), "{reason}");
    // A few may have been allowed in the time that it took.
    assert!((500..550).contains(&heard), "{heard} frames");
    let banned = Banned::Node(NodeKey::from_seed([66; 32]).id());
    assert!(network.bans().iter().any(|ban| ban.who == banned));

    let again = RawPeer::dial(66, network.listening()[0]).await;
    assert!(again.named(&peer_name()).await.is_none(), "the ban holds at the next connection");
    // Saved bans hold in the next run.
    let (next, _events) = Network::start(Settings { bans: network.bans(), ..settings(3) }).await.unwrap();
    let again = RawPeer::dial(66, next.listening()[0]).await;
    assert!(again.named(&peer_name()).await.is_none(), "the ban holds in the next run");
    assert!(next.unban(banned));
    RawPeer::dial(66, next.listening()[0]).await.greeted(66).await;
}

#[tokio::test]
async fn a_trusted_peer_is_never_banned_for_what_it_does() {
    let trusted = NodeKey::from_seed([66; 32]).id();
    let settings = Settings { trusted: [trusted].into(), ..settings(1) };
    let (network, mut events) = Network::start(settings).await.unwrap();
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    let mut stream = raw.greeted(66).await;
    for _ in 0..50 {
        write(&mut stream, &Frame::new(Tag::new("XYZ"), vec![])).await;
    }
    write(&mut stream, &Frame::new(TXN, vec![])).await;
    wait(&mut events, |event| matches!(event, Event::Frame { .. }).then_some(())).await;
    assert_eq!(network.bans(), []);
}

#[tokio::test]
async fn a_ban_by_the_operator_ends_the_link_and_refuses_dials_both_ways() {
    let [(a, mut a_events, _), (b, mut b_events, _)] = pair().await;
    let who = Banned::Node(b.id());
    a.ban(Ban { who, until_ms: u64::MAX });
    assert!(matches!(left(&mut a_events).await, LeaveReason::Ours(Bye { code: ByeCode::Banned, .. })));
    assert!(matches!(left(&mut b_events).await, LeaveReason::Theirs(Bye { code: ByeCode::Banned, .. })));
    a.dial(address(&b)).unwrap();
    let why = dial_failed(&mut a_events).await;
    assert!(matches!(why, DialFailure::Refused(crate::Refusal::BannedNode)), "{why}");
    b.dial(address(&a)).unwrap();
    dial_failed(&mut b_events).await;
}

#[tokio::test]
async fn of_two_hundred_connections_from_one_address_three_stay() {
    let limits = Limits { loopback_is_one_host: true, ..Limits::default() };
    let (network, _events) = Network::start(Settings { limits, ..settings(1) }).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(TcpStream::connect(network.listening()[0]).await.unwrap());
    }
    // Those that were refused end; the last three to end do so only because the node stops.
    let mut reads: futures::stream::FuturesUnordered<_> = streams.into_iter().map(closed).collect();
    use futures::StreamExt as _;
    for _ in 0..197 {
        soon(reads.next()).await.unwrap();
    }
    assert_eq!(futures::FutureExt::now_or_never(reads.next()), None, "three are still being set up");
    soon(network.stop()).await;
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let limits = Limits { loopback_is_one_host: true, ..Limits::default() };
    let (network, mut events) = Network::start(Settings { limits, ..settings(1) }).await.unwrap();
    // Twelve addresses of four neighbourhoods, three connections each: 32 are being set up, four are too many.
    let mut silent = Vec::new();
    for (group, host) in (101..=104).flat_map(|group| (1..=3).map(move |host| (group, host))) {
        for _ in 0..3 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, group, 0, host], 0))).unwrap();
            silent.push(socket.connect(network.listening()[0]).await.unwrap());
        }
    }
    let mut ends: futures::stream::FuturesUnordered<_> = silent.into_iter().map(closed).collect();
    use futures::StreamExt as _;
    for _ in 0..4 {
        soon(ends.next()).await.unwrap();
    }
    let (other, mut other_events) = node(2).await;
    other.dial(address(&network)).unwrap();
    joined(&mut other_events).await;
    joined(&mut events).await;
    // It has the place of one of them, which has ended; the others go on.
    soon(ends.next()).await.unwrap();
    assert_eq!(futures::FutureExt::now_or_never(ends.next()), None, "31 are still being set up");
    soon(network.stop()).await;
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_judged_by_its_head() {
    let (network, mut events, peer, _raw, mut stream) = greeted().await;
    let long = Frame::new(BTX, vec![0; 4 << 20]);
    let head = long.head();
    // Only the head comes, and the strike follows; the rest is read over as it comes.
    stream.write_all(&head).await.unwrap();
    stream.flush().await.unwrap();
    soon(async {
        while network.peer(peer).unwrap().score == 0.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(network.peer(peer).unwrap().score.round(), -20.0);
    stream.write_all(&long.body).await.unwrap();
    // A question may have two answers here, and not three.
    network.send(peer, Frame::new(GBT, vec![1]), Priority::Block).unwrap();
    read_until(&mut stream, GBT).await.unwrap();
    for number in 1..=3 {
        write(&mut stream, &Frame::new(BTX, vec![number])).await;
    }
    write(&mut stream, &Frame::new(TXN, vec![4])).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&4) {
        let frame = wait(&mut events, |event| match event {
            Event::Frame { frame, .. } => Some(frame),
            _ => None,
        });
        heard.push(frame.await.body[0]);
    }
    assert_eq!(heard, [1, 2, 4]);
    assert_eq!(network.peer(peer).unwrap().score.round(), -40.0);
}

#[tokio::test]
async fn net_4_an_unknown_question_costs_what_it_costs_elsewhere() {
    let (network, _events, peer, raw, mut stream) = greeted().await;
    // Lower case does not help a question.
    for tag in ["XYZ", "xyz"] {
        let bulk = ask_with(&raw, &Frame::new(Tag::new(tag), vec![1]).to_bytes()).await.unwrap();
        assert_eq!(end_of(bulk).await, Some(EndCode::Unavailable), "{tag}");
    }
    assert_eq!(network.peer(peer).unwrap().score.round(), -40.0);
    write(&mut stream, &Frame::new(crate::PIN, vec![0x91, 7])).await;
    assert!(read_until(&mut stream, crate::PON).await.is_some(), "the link goes on");
}

#[tokio::test]
async fn a_broken_frame_on_a_bulk_stream_ends_the_link() {
    for head in [&b"\x02\0\0\0GB"[..], b"\x03\0\0\0G L", b"\xff\0\0\0GBL"] {
        let (network, mut events, _, raw, mut stream) = greeted().await;
        let _bulk = ask_with(&raw, &[head, &[0; 9]].concat()).await.unwrap();
        assert_eq!(farewell(&mut stream).await.code, ByeCode::Protocol, "{head:02x?}");
        left(&mut events).await;
        let shared = network.shared();
        let score = shared.book().score(NodeKey::from_seed([66; 32]).id(), shared.now_ms());
        assert_eq!(score.round(), -50.0);
    }
}

#[tokio::test]
async fn a_bulk_stream_waits_for_greetings_that_are_under_way_and_is_reset_before_them() {
    let (network, mut events) = node(1).await;
    let raw = RawPeer::dial(66, network.listening()[0]).await;
    let early = ask(&raw).await.unwrap();
    assert_eq!(end_of(early).await, None);
    let mut stream = raw.named(&peer_name()).await.unwrap();
    // The node's greeting has come, so both sides are at it.
    assert_eq!(read(&mut stream).await.unwrap().tag, crate::HEL);
    let waits = ask(&raw).await.unwrap();
    write(&mut stream, &hello(66).to_frame()).await;
    joined(&mut events).await;
    wait(&mut events, |event| matches!(event, Event::Asked { .. }).then_some(())).await;
    assert_eq!(end_of(waits).await, Some(EndCode::Failed), "its owner has dropped the question");
}

/// Opens a bulk stream and asks, without waiting for the other side to agree to anything.
async fn ask(raw: &RawPeer) -> Option<RawStream> {
    ask_with(raw, &Frame::new(GBL, vec![]).to_bytes()).await
}

/// The same with these bytes instead of a question.
async fn ask_with(raw: &RawPeer, bytes: &[u8]) -> Option<RawStream> {
    let mut bulk = raw.open().await?;
    say_name(&mut bulk, "/multistream/1.0.0").await.ok()?;
    say_name(&mut bulk, &bulk_name()).await.ok()?;
    bulk.write_all(bytes).await.ok()?;
    bulk.flush().await.ok()?;
    Some(bulk)
}

/// How an answer ends; none, if the stream is reset.
async fn end_of(mut bulk: RawStream) -> Option<EndCode> {
    hear_name(&mut bulk, "/multistream/1.0.0").await?;
    hear_name(&mut bulk, &bulk_name()).await?;
    let end = read_until(&mut bulk, crate::END).await?;
    Some(BulkEnd::read(&end.body).unwrap().code)
}

#[tokio::test]
async fn net_16_of_a_hundred_bulk_streams_four_are_answered() {
    let (_network, mut events, _, raw, mut stream) = greeted().await;
    let (mut served, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        served.push(ask(&raw).await.unwrap());
        let asked = wait(&mut events, |event| match event {
            Event::Asked { answer, .. } => Some(answer),
            _ => None,
        });
        answers.push(asked.await);
    }
    let mut busy = 0;
    for _ in 0..12 {
        // Eight at a time: of those that come together some are told, the rest are reset.
        let mut asked = Vec::new();
        for _ in 0..8 {
            asked.push(ask(&raw).await.unwrap());
        }
        for bulk in asked {
            match end_of(bulk).await {
                Some(EndCode::Busy) => busy += 1,
                None => {}
                Some(code) => panic!("a fifth request was taken, and ended with {code:?}"),
            }
        }
    }
    assert!(busy > 0, "nobody was told why");
    assert!(!std::iter::from_fn(|| events.try_next()).any(|it| matches!(it, Event::Asked { .. })));
    // What was taken is answered, and then there is room again; the link has lived through it all.
    drop(answers);
    for bulk in served {
        assert_eq!(end_of(bulk).await, Some(EndCode::Failed));
    }
    let again = ask(&raw).await.unwrap();
    wait(&mut events, |event| matches!(event, Event::Asked { .. }).then_some(())).await;
    assert_eq!(end_of(again).await, Some(EndCode::Failed));
    write(&mut stream, &Frame::new(TXN, vec![])).await;
    wait(&mut events, |event| matches!(event, Event::Frame { .. }).then_some(())).await;
}

#[tokio::test]
async fn net_15_addresses_that_nobody_asked_for_are_few() {
    let (network, mut events, peer, _raw, mut stream) = greeted().await;
    let record = |number: u8| crate::AddressRecord {
        address: ([192, 0, 2, number], 7781).into(),
        node: None,
        last_seen_s: 0,
        roles: crate::Roles::FULL,
    };
    let told: Vec<_> = (0..200).map(record).collect();
    let addresses = message::addresses_frame(&told);
    write(&mut stream, &addresses).await;
    let heard = wait(&mut events, |event| match event {
        Event::Addresses { records, .. } => Some(records),
        _ => None,
    });
    assert_eq!(heard.await, told[..10]);
    // Asked for, they are all taken.
    network.ask_addresses(peer);
    read_until(&mut stream, crate::GAD).await.unwrap();
    write(&mut stream, &addresses).await;
    let heard = wait(&mut events, |event| match event {
        Event::Addresses { records, .. } => Some(records),
        _ => None,
    });
    assert_eq!(heard.await, told);
}
