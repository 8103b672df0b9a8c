//! Links between nodes that mean well.

use super::support::*;
use crate::{
    Bye, ByeCode, DialFailure, Direction, Event, Frame, LeaveReason, Network, NodeKey, Priority, Roles,
    SendError, Settings,
};

#[tokio::test]
async fn two_nodes_greet_and_know_each_other() {
    let (a, mut a_events) = node(1).await;
    let (b, mut b_events) =
        Network::start(Settings { roles: Roles::FULL.and(Roles::MINER), ..settings(2) }).await.unwrap();
    b.set_hello_state(5, [1; 32], [2; 32]);
    a.dial(address(&b)).unwrap();
    let (of_b, of_a) = (joined(&mut a_events).await, joined(&mut b_events).await);

    let b_info = a.peer(of_b).unwrap();
    assert_eq!((b_info.node, b_info.direction), (b.id(), Direction::Outbound));
    assert_eq!(b_info.dialled, Some(address(&b)));
    assert_eq!((b_info.hello.name.as_str(), b_info.height, b_info.work), ("node 2", 5, [2; 32]));
    assert_eq!(b_info.hello.roles.names().collect::<Vec<_>>(), ["full", "miner"]);
    assert_eq!(b_info.listen, b.listening());
    let a_info = b.peer(of_a).unwrap();
    assert_eq!((a_info.node, a_info.direction, a_info.dialled), (a.id(), Direction::Inbound, None));
    assert_eq!(b_info.hello.observed, Some(a_info.remote));
    assert_eq!((a.peers().len(), b.peers().len()), (1, 1));
}

#[tokio::test]
async fn frames_go_both_ways_in_order() {
    let [(a, mut a_events, of_b), (b, mut b_events, of_a)] = pair().await;
    for number in 0..100u8 {
        a.send(of_b, Frame::new(TXN, vec![number]), Priority::Transaction).unwrap();
    }
    b.send(of_a, Frame::new(BLK, vec![9; 3 << 20]), Priority::Block).unwrap();
    for number in 0..100 {
        let frame = wait(&mut b_events, |event| match event {
            Event::Frame { frame, .. } => Some(frame),
            _ => None,
        });
        assert_eq!(frame.await, Frame::new(TXN, vec![number]));
    }
    let block = wait(&mut a_events, |event| match event {
        Event::Frame { frame, .. } => Some(frame),
        _ => None,
    });
    assert_eq!(block.await.body.len(), 3 << 20);
}

#[tokio::test]
async fn a_farewell_reaches_the_other_side_with_its_reason() {
    let [(a, mut a_events, of_b), (b, mut b_events, _)] = pair().await;
    let bye = Bye::new(ByeCode::Other(300), "for a test");
    a.disconnect(of_b, bye.clone());
    assert_eq!(left(&mut a_events).await, LeaveReason::Ours(bye.clone()));
    assert_eq!(left(&mut b_events).await, LeaveReason::Theirs(bye));
    assert_eq!(a.send(of_b, Frame::new(TXN, vec![]), Priority::Transaction), Err(SendError::Gone));
    assert!(a.peers().is_empty() && b.peers().is_empty());
    // The place is free again, and the number is not used again.
    a.dial(address(&b)).unwrap();
    assert!(joined(&mut a_events).await > of_b);
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let [(a, _, _), (_b, mut b_events, _)] = pair().await;
    soon(a.stop()).await;
    let reason = left(&mut b_events).await;
    assert!(matches!(reason, LeaveReason::Theirs(Bye { code: ByeCode::Leaving, .. })), "{reason}");
}

#[tokio::test]
async fn addresses_are_asked_for_and_told() {
    let [(a, mut a_events, of_b), (b, mut b_events, of_a)] = pair().await;
    a.ask_addresses(of_b);
    wait(&mut b_events, |event| matches!(event, Event::AddressesAsked { .. }).then_some(())).await;
    let record = |number: u8| crate::AddressRecord {
        address: ([192, 0, 2, number], 7781).into(),
        node: Some(b.id()),
        last_seen_s: 5,
        roles: Roles::FULL,
    };
    let told: Vec<_> = (0..=249).map(record).collect();
    b.tell_addresses(of_a, &told).unwrap();
    let heard = wait(&mut a_events, |event| match event {
        Event::Addresses { records, .. } => Some(records),
        _ => None,
    });
    assert_eq!(heard.await, told);
}

#[tokio::test]
async fn a_dial_that_comes_to_nothing_says_why() {
    let ((a, mut a_events), (b, mut b_events)) = (node(1).await, node(2).await);
    // Somebody else is there.
    let stranger = NodeKey::from_seed([9; 32]).id();
    a.dial(crate::PeerAddress { id: Some(stranger), ..address(&b) }).unwrap();
    let why = dial_failed(&mut a_events).await;
    assert!(matches!(why, DialFailure::WrongNode { found } if found == b.id()), "{why}");
    // Itself.
    a.dial(a.listening()[0].into()).unwrap();
    let why = dial_failed(&mut a_events).await;
    assert!(matches!(why, DialFailure::Myself), "{why}");
    // Nobody.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    a.dial(closed.into()).unwrap();
    let why = dial_failed(&mut a_events).await;
    assert!(matches!(why, DialFailure::Unreachable(std::io::ErrorKind::ConnectionRefused)), "{why}");
    // Another network.
    let (other, _other_events) = Network::start(Settings { identity: [8; 32], ..settings(3) }).await.unwrap();
    a.dial(address(&other)).unwrap();
    let why = dial_failed(&mut a_events).await;
    assert!(matches!(why, DialFailure::OtherNetwork), "{why}");
    // A name that means nothing.
    a.dial("name.invalid:1".parse().unwrap()).unwrap();
    let why = dial_failed(&mut a_events).await;
    assert!(matches!(why, DialFailure::Name), "{why}");
    // Connected already.
    a.dial(address(&b)).unwrap();
    joined(&mut a_events).await;
    joined(&mut b_events).await;
    a.dial(address(&b)).unwrap();
    let why = dial_failed(&mut a_events).await;
    assert!(matches!(why, DialFailure::Connected { node } if node == b.id()), "{why}");
}

#[tokio::test]
async fn nodes_that_dial_each_other_end_with_one_link() {
    for _ in 0..5 {
        let ((a, mut a_events), (b, mut b_events)) = (node(1).await, node(2).await);
        a.dial(address(&b)).unwrap();
        b.dial(address(&a)).unwrap();
        // A link may have begun on the connection that gives way; then another one follows.
        soon(async {
            loop {
                tokio::select! {
                    _ = a_events.next() => {}
                    _ = b_events.next() => {}
                }
                let (of_a, of_b) = (a.peers(), b.peers());
                if let ([to_b], [to_a]) = (&of_a[..], &of_b[..])
                    && to_b.direction != to_a.direction
                {
                    break;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_link_that_gives_way_to_a_newer_one_says_so_and_is_no_peer_any_more() {
    let (mut small, mut great) = (node(1).await, node(2).await);
    if small.0.id() > great.0.id() {
        std::mem::swap(&mut small, &mut great);
    }
    let ((small, mut small_events), (great, mut great_events)) = (small, great);
    small.dial(address(&great)).unwrap();
    joined(&mut great_events).await;
    joined(&mut small_events).await;
    // Nothing says who is there, so that it is dialled; what the greater key has dialled stays.
    great.dial(small.listening()[0].into()).unwrap();
    for (network, events) in [(&great, &mut great_events), (&small, &mut small_events)] {
        // Which of both comes first is chance: the other side may say farewell before this one.
        let (mut newer, mut code) = (None, None);
        while newer.is_none() || code.is_none() {
            match soon(events.next()).await.unwrap() {
                Event::Joined { peer, .. } => {
                    let peers: Vec<_> = network.peers().iter().map(|peer| peer.number).collect();
                    assert_eq!(peers, [peer], "the older one is none of the peers any more");
                    newer = Some(peer);
                }
                Event::Left { reason: LeaveReason::Ours(bye) | LeaveReason::Theirs(bye), .. } => {
                    code = Some(bye.code);
                }
                Event::Left { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
        assert_eq!(code, Some(ByeCode::Duplicate));
    }
    // What the smaller key dials now is one too many, and it knows who is there.
    small.dial(great.listening()[0].into()).unwrap();
    let why = dial_failed(&mut small_events).await;
    assert!(matches!(why, DialFailure::Connected { node } if node == great.id()), "{why}");
}

#[tokio::test]
async fn links_in_memory_are_the_same_links() {
    let (a, mut a_events) = Network::in_memory(&settings(1));
    let (b, mut b_events) = Network::in_memory(&settings(2));
    Network::join_in_memory(&a, &b);
    let (of_b, of_a) = (joined(&mut a_events).await, joined(&mut b_events).await);
    assert_eq!((a.peer(of_b).unwrap().node, b.peer(of_a).unwrap().node), (b.id(), a.id()));
    a.send(of_b, Frame::new(BLK, vec![1; 1 << 20]), Priority::Block).unwrap();
    wait(&mut b_events, |event| matches!(event, Event::Frame { .. }).then_some(())).await;
    let request = b.ask(of_a, Frame::new(GBL, vec![3])).unwrap();
    let answer = wait(&mut a_events, |event| match event {
        Event::Asked { answer, .. } => Some(answer),
        _ => None,
    });
    let answer = answer.await;
    answer.send(Frame::new(BLK, vec![4; 100_000])).await.unwrap();
    answer.end(crate::BulkEnd::new(crate::EndCode::Complete, "")).await;
    let ended = wait(&mut b_events, |event| match event {
        Event::AnswerEnded { request, result, .. } => Some((request, result)),
        _ => None,
    });
    assert_eq!(ended.await, (request, Ok(())));
    a.stop().await;
    left(&mut b_events).await;
}

#[tokio::test(start_paused = true)]
async fn net_14_a_link_lives_as_long_as_both_sides_answer() {
    let (a, mut a_events) = Network::in_memory(&settings(1));
    let (b, mut b_events) = Network::in_memory(&settings(2));
    Network::join_in_memory(&a, &b);
    let of_b = joined(&mut a_events).await;
    joined(&mut b_events).await;
    // Two hours in which nothing is said but that both are there.
    for _ in 0..240 {
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    }
    assert!(a_events.try_next().is_none() && b_events.try_next().is_none());
    assert!(a.peer(of_b).unwrap().ping_ms.is_some());
}

#[tokio::test(start_paused = true)]
async fn net_14_a_link_on_which_nothing_comes_ends() {
    let (a, mut a_events) = Network::in_memory(&settings(1));
    let mut silent = a.join_raw(NodeKey::from_seed([66; 32]).id());
    write(&mut silent, &hello(66).to_frame()).await;
    joined(&mut a_events).await;
    let began = tokio::time::Instant::now();
    // The test's patience of a minute is not enough for this.
    let reason = loop {
        if let Event::Left { reason, .. } = a_events.next().await.unwrap() {
            break reason;
        }
    };
    assert!(matches!(reason, LeaveReason::Ours(Bye { code: ByeCode::Silent, .. })), "{reason}");
    assert!(began.elapsed().as_secs() >= 90);
    assert!(read_until(&mut silent, crate::BYE).await.is_some());
}
