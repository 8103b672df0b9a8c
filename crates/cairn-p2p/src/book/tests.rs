//! The book as its owner uses it, with strangers that mean well and others that do not.

use super::places::NEW_BUCKETS_OF_SOURCE;
use super::*;
use crate::kept::KeptError;
use crate::key::NodeKey;

const NOW: u64 = 1_800_000_000;

fn book() -> AddressBook {
    AddressBook::new([7; 32])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn node(seed: u8) -> NodeId {
    NodeKey::from_seed([seed; 32]).id()
}

fn record(address: SocketAddr) -> AddressRecord {
    AddressRecord { address, node: None, last_seen_s: NOW, roles: Roles::FULL }
}

/// The public address with this number: all of them in different groups, as far as there are groups.
fn public(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([20 + c % 60, b, a, c], 7781))
}

/// Told by many, each in a group of his own.
fn learn_widely(book: &mut AddressBook, addresses: impl IntoIterator<Item = SocketAddr>) {
    for (address, teller) in addresses.into_iter().zip((0..250_u8).cycle()) {
        book.learn(IpAddr::from([100 + teller % 100, teller, 0, 1]), &[record(address)], NOW);
    }
}

/// Told by many, and talked to.
fn reach_widely(book: &mut AddressBook, addresses: impl IntoIterator<Item = SocketAddr>) {
    for address in addresses {
        learn_widely(book, [address]);
        book.succeeded(address, node(1), Roles::FULL, NOW);
    }
}

fn share(book: &mut AddressBook, asker: &str, now_s: u64) -> Vec<AddressRecord> {
    book.share(ip(asker), &BTreeSet::new(), now_s)
}

fn chosen(book: &mut AddressBook, in_use: &InUse, now_s: u64) -> Option<SocketAddr> {
    book.choose(in_use, now_s).map(|it| it.address)
}

#[test]
fn what_was_heard_is_chosen_and_what_answered_is_known() {
    let mut book = book();
    assert_eq!(book.choose(&InUse::default(), NOW), None);
    assert_eq!(book.learn(ip("198.51.100.1"), &[record(public(1)), record(public(2))], NOW), 2);
    assert_eq!(book.learn(ip("198.51.100.1"), &[record(public(1))], NOW), 0);
    let first = book.choose(&InUse::default(), NOW).unwrap();
    assert_eq!(first.node, None);
    book.tried(first.address, NOW);
    book.succeeded(first.address, node(1), Roles::FULL, NOW);
    assert_eq!((book.len(), book.tried_len()), (2, 1));
    let in_use = InUse { addresses: [first.address].into(), ..InUse::default() };
    let second = chosen(&mut book, &in_use, NOW).unwrap();
    assert_ne!(second, first.address);
    // Who was there is known from now on, and not dialled where there is a link.
    let in_use = InUse { addresses: [second].into(), ..InUse::default() };
    let again = book.choose(&in_use, NOW + 60).unwrap();
    assert_eq!(again, Candidate { address: first.address, node: Some(node(1)) });
    let in_use = InUse { nodes: [node(1)].into(), ..in_use };
    assert_eq!(book.choose(&in_use, NOW + 60), None);
}

#[test]
fn what_is_taken_back_is_forgotten_unless_it_was_dialled() {
    let mut book = book();
    let nearby = |last: u8| SocketAddr::from(([192, 168, 1, last], 7700));
    for last in 1..=3 {
        assert_eq!(book.learn(ip("169.254.0.0"), &[record(nearby(last))], NOW), 1);
    }
    book.succeeded(nearby(1), node(1), Roles::FULL, NOW);
    book.failed(nearby(2), NOW);
    for last in 1..=4 {
        book.withdraw(nearby(last));
    }
    assert_eq!((book.len(), book.tried_len()), (2, 1));
    assert_eq!(
        book.learn(ip("169.254.0.0"), &[record(nearby(2))], NOW),
        0,
        "that it failed is not forgotten"
    );
    assert_eq!(book.learn(ip("169.254.0.0"), &[record(nearby(3))], NOW), 1);
}

#[test]
fn a_flood_of_neighbours_takes_no_more_places_than_one_source_has() {
    let mut book = book();
    learn_widely(&mut book, (0..200).map(public));
    let before = book.len();
    for number in 0..=u16::MAX {
        let [high, low] = number.to_be_bytes();
        let address = SocketAddr::from(([10, high, low, 1], 7700));
        book.learn(ip("169.254.0.0"), &[record(address)], NOW);
    }
    let share = usize::try_from(NEW_BUCKETS_OF_SOURCE).unwrap() * BUCKET_PLACES;
    assert!(book.len() - before <= share, "{} addresses", book.len());
}

#[test]
fn links_are_spread_over_neighbourhoods() {
    let mut book = book();
    let near = |last: u8| SocketAddr::from(([203, 0, 113, last], 7781));
    learn_widely(&mut book, (0..20).map(near));
    let in_use = InUse { neighbourhoods: [Neighbourhood::of(near(99))].into(), ..InUse::default() };
    assert_eq!(chosen(&mut book, &in_use, NOW), None);
    learn_widely(&mut book, [public(1)]);
    assert_eq!(chosen(&mut book, &in_use, NOW), Some(public(1)));
}

#[test]
fn an_attacker_of_one_group_fills_his_share_and_no_more() {
    let mut book = book();
    let honest: Vec<_> = (0..200).map(public).collect();
    learn_widely(&mut book, honest.iter().copied());
    for address in &honest[..50] {
        book.succeeded(*address, node(1), Roles::FULL, NOW);
    }
    let (before, tried) = (book.len(), book.tried_len());
    assert!(before > 180 && tried > 40, "{before} addresses, {tried} tried");
    // A hundred thousand addresses all over the network, told from all machines of one group.
    let told = (1_000..101_000_u32).map(public).collect::<Vec<_>>();
    for (part, teller) in told.chunks(RECORDS_MAX).zip((0..=255_u8).cycle()) {
        let records: Vec<_> = part.iter().copied().map(record).collect();
        book.learn(IpAddr::from([198, 51, teller, 1]), &records, NOW);
    }
    let share = usize::try_from(NEW_BUCKETS_OF_SOURCE).unwrap() * BUCKET_PLACES;
    assert!(book.len() - before <= share, "{} of {share}", book.len() - before);
    assert!(share * 16 <= BOOK_ENTRIES_MAX);
    assert_eq!(book.tried_len(), tried);
    for address in &honest[..50] {
        let stays = book.entries.get(address);
        assert!(stays.is_some_and(|entry| entry.last_success_s == NOW), "{address}");
    }
    // Half of all choices are of nodes that were talked to, and the others are of many buckets.
    let known: BTreeSet<_> = honest.iter().copied().collect();
    let choices = (0..400).filter_map(|_| chosen(&mut book, &InUse::default(), NOW + 60));
    let good = choices.filter(|address| known.contains(address)).count();
    assert!(good > 300, "{good} of 400 choices are honest");
}

#[test]
fn the_book_is_bounded_whoever_fills_it() {
    let mut book = book();
    for number in 0..60_000_u32 {
        let [_, _, b, c] = number.to_be_bytes();
        book.learn(IpAddr::from([b, c, 1, 1]), &[record(public(number))], NOW);
    }
    assert!(book.len() <= BOOK_ENTRIES_MAX && book.len() > 7_000, "{}", book.len());
    assert_eq!(book.entries.len(), book.new.len() + book.tried.len());
}

#[test]
fn a_terrible_address_gives_its_place_to_another() {
    let mut book = book();
    let source = ip("198.51.100.1");
    // Two addresses with the same place.
    let place = |number| book.places.of_new(public(number), AddressGroup::of(source));
    let wanted = place(0);
    let other = (1..).find(|number| place(*number) == wanted).unwrap();
    assert_eq!(book.learn(source, &[record(public(0))], NOW), 1);
    assert_eq!(book.learn(source, &[record(public(other))], NOW), 0);
    let later = NOW + 31 * 24 * HOUR_S;
    let fresh = AddressRecord { last_seen_s: later, ..record(public(other)) };
    assert_eq!(book.learn(source, &[fresh], later), 1);
    assert!(!book.entries.contains_key(&public(0)));
    book.expire(later);
    assert_eq!(book.len(), 1);
    book.expire(later + 31 * 24 * HOUR_S);
    assert!(book.is_empty() && book.new.is_empty());
}

/// Two addresses that want the same place in the tried table, the first of which has it.
fn collision(book: &mut AddressBook) -> (SocketAddr, SocketAddr) {
    let place = |number| book.places.of_tried(public(number));
    let wanted = place(0);
    let other = public((1..).find(|number| place(*number) == wanted).unwrap());
    learn_widely(book, [public(0), other]);
    book.succeeded(public(0), node(1), Roles::FULL, NOW);
    book.succeeded(other, node(2), Roles::FULL, NOW + 5 * HOUR_S);
    assert_eq!(book.tried_len(), 1, "who has the place keeps it");
    (public(0), other)
}

fn is_tried(book: &AddressBook, address: SocketAddr) -> bool {
    book.entries.get(&address).is_some_and(|entry| entry.is_tried)
}

#[test]
fn a_holder_that_does_not_answer_loses_its_place() {
    let mut book = book();
    let (holder, waiting) = collision(&mut book);
    let at = NOW + 5 * HOUR_S;
    let feeler = book.choose_feeler(&InUse::default(), at).unwrap();
    assert_eq!(feeler, Candidate { address: holder, node: Some(node(1)) });
    book.tried(holder, at);
    book.failed(holder, at + 10);
    assert!(is_tried(&book, holder));
    book.choose_feeler(&InUse::default(), at + 71);
    assert!(is_tried(&book, waiting) && !is_tried(&book, holder));
    assert!(book.entries.contains_key(&holder), "it goes back to what was heard");
}

#[test]
fn a_holder_that_answers_keeps_its_place() {
    let mut book = book();
    let (holder, waiting) = collision(&mut book);
    let at = NOW + 5 * HOUR_S;
    assert_eq!(book.choose_feeler(&InUse::default(), at).unwrap().address, holder);
    book.tried(holder, at);
    book.succeeded(holder, node(1), Roles::FULL, at + 1);
    book.choose_feeler(&InUse::default(), at + 71);
    assert!(is_tried(&book, holder) && !is_tried(&book, waiting));
    assert!(book.collisions.is_empty());
}

#[test]
fn a_holder_that_was_never_asked_loses_its_place_in_the_end() {
    let mut book = book();
    let (holder, waiting) = collision(&mut book);
    let busy = InUse { addresses: [holder, waiting].into(), ..InUse::default() };
    let at = NOW + 5 * HOUR_S;
    book.choose_feeler(&busy, at + TEST_WINDOW_S);
    assert!(is_tried(&book, holder));
    book.choose_feeler(&busy, at + TEST_WINDOW_S + 1);
    assert!(is_tried(&book, waiting));
}

#[test]
fn failures_count_only_while_others_answer() {
    let mut book = book();
    learn_widely(&mut book, [public(1), public(2)]);
    for minute in 0..20 {
        book.failed(public(1), NOW + 60 * minute);
    }
    assert_eq!(book.entries[&public(1)].attempts, 1, "perhaps it is this node that has no network");
    for minute in 20..23 {
        book.succeeded(public(2), node(2), Roles::FULL, NOW + 60 * minute);
        book.failed(public(1), NOW + 60 * minute);
    }
    assert_eq!(book.entries[&public(1)].attempts, 4);
    book.expire(NOW + 3_600);
    assert!(!book.entries.contains_key(&public(1)));
}

#[test]
fn nearer_addresses_are_learnt_from_and_told_to_the_near_only() {
    let all = ["127.0.0.1:7781", "192.168.1.5:7781", "[fd00::1]:7781", "192.0.2.1:7781"];
    let records: Vec<_> = all.iter().map(|text| record(text.parse().unwrap())).collect();
    let learnt = |source: &str| {
        let mut book = book();
        book.learn(ip(source), &records, NOW)
    };
    assert_eq!((learnt("127.0.0.1"), learnt("10.0.0.1"), learnt("198.51.100.1")), (4, 3, 1));
    let mut book = book();
    reach_widely(&mut book, records.iter().map(|record| record.address));
    for (asker, nearest) in
        [("::1", Reach::Loopback), ("fe80::1", Reach::Private), ("198.51.100.1", Reach::Public)]
    {
        let told: Vec<_> = (0..200).flat_map(|_| share(&mut book, asker, NOW)).collect();
        let reach = told.iter().map(|it| Reach::of(it.address.ip())).min().unwrap();
        assert_eq!(reach, nearest, "{asker}");
    }
}

#[test]
fn a_sample_is_told_and_never_more() {
    let mut book = book();
    // A small network is told whole.
    reach_widely(&mut book, (0..20).map(public));
    assert_eq!(share(&mut book, "198.51.100.1", NOW).len(), book.len());
    reach_widely(&mut book, (0..400).map(public));
    let known = book.len();
    let told = share(&mut book, "198.51.100.1", NOW);
    assert_eq!(told.len(), (known * 23).div_ceil(100).max(64));
    assert!(told.iter().all(|record| record.node.is_none()));
    assert_ne!(told, share(&mut book, "198.51.100.1", NOW));
    // Nothing stale: a month later all of it is.
    assert_eq!(share(&mut book, "198.51.100.1", NOW + 31 * 24 * HOUR_S), []);
    reach_widely(&mut book, (0..3_000).map(public));
    assert_eq!(share(&mut book, "198.51.100.1", NOW).len(), RECORDS_MAX);
}

#[test]
fn what_is_only_hearsay_is_not_passed_on() {
    let mut book = book();
    learn_widely(&mut book, (0..100).map(public));
    assert_eq!(share(&mut book, "198.51.100.1", NOW), []);
    // Whoever has a link now is there, and so is who was talked to, even if its place is another's.
    let linked = [public(5), public(200)].into();
    let told = |book: &mut AddressBook| {
        let told = book.share(ip("198.51.100.1"), &linked, NOW);
        told.iter().map(|record| record.address).collect::<BTreeSet<_>>()
    };
    assert_eq!(told(&mut book), [public(5)].into());
    book.succeeded(public(7), node(7), Roles(u32::MAX), NOW);
    book.failed(public(7), NOW);
    assert_eq!(told(&mut book), [public(5), public(7)].into());
    let of_7 = share(&mut book, "198.51.100.1", NOW);
    assert_eq!(of_7[0].roles, Roles(31), "what no role is known for is not passed on either");
}

#[test]
fn two_ports_of_a_machine_are_learnt_before_one_is_reached() {
    let mut book = book();
    let port = |port: u16| SocketAddr::from(([203, 0, 113, 1], port));
    let records = |ports: std::ops::Range<u16>| ports.map(|it| record(port(it))).collect::<Vec<_>>();
    assert_eq!(book.learn(ip("198.51.100.1"), &records(1..200), NOW), UNTRIED_OF_HOST_MAX);
    learn_widely(&mut book, (200..300).map(port));
    assert_eq!(book.len(), UNTRIED_OF_HOST_MAX);
    // Other machines nearby are others, all of a /64 is one.
    let near = |last: u16| SocketAddr::from((ip(&format!("2001:db8:1:{}::{last}", last % 2)), 7781));
    learn_widely(&mut book, (0..100).map(near));
    assert_eq!(book.len(), 3 * UNTRIED_OF_HOST_MAX);
    // Who was reached does not count, and what is terrible makes room.
    book.succeeded(port(1), node(1), Roles::FULL, NOW);
    assert_eq!(book.learn(ip("198.51.100.1"), &records(300..400), NOW), 1);
    for (hour, reached) in (1..5).zip(50..) {
        book.succeeded(public(reached), node(2), Roles::FULL, NOW + hour * HOUR_S);
        book.failed(port(2), NOW + hour * HOUR_S);
    }
    assert_eq!(book.learn(ip("198.51.100.1"), &records(400..500), NOW + 6 * HOUR_S), 1);
    assert!(!book.entries.contains_key(&port(2)) && book.entries.contains_key(&port(1)));
}

#[test]
fn lies_about_a_machine_make_room_for_what_it_says_itself() {
    let mut book = book();
    let port = |port: u16| SocketAddr::from(([203, 0, 113, 1], port));
    book.learn(ip("198.51.100.1"), &[record(port(1)), record(port(2))], NOW);
    assert_eq!(book.learn(ip("203.0.113.2"), &[record(port(7781))], NOW), 0);
    assert_eq!(book.learn(ip("203.0.113.1"), &[record(port(7781))], NOW), 1);
    assert!(book.entries.contains_key(&port(7781)));
    assert_eq!(book.len(), UNTRIED_OF_HOST_MAX);
}

#[test]
fn all_nodes_of_this_machine_are_learnt() {
    let mut book = book();
    let records: Vec<_> = (1..=40).map(|port| record(SocketAddr::from(([127, 0, 0, 1], port)))).collect();
    let learnt = book.learn(ip("127.0.0.1"), &records, NOW);
    assert!(learnt > 35, "{learnt} of 40, but for places that are taken");
}

#[test]
fn of_a_machine_that_was_tried_on_hearsay_no_other_port_is_chosen() {
    let mut book = book();
    let port = |port: u16| SocketAddr::from(([203, 0, 113, 1], port));
    learn_widely(&mut book, [port(1), port(2)]);
    let host = AddressHost::of(port(1).ip());
    let in_use = InUse { tested: [(host, port(1))].into(), ..InUse::default() };
    for _ in 0..50 {
        assert_eq!(chosen(&mut book, &in_use, NOW), Some(port(1)));
        assert_eq!(book.choose_feeler(&in_use, NOW).unwrap().address, port(1));
    }
    book.succeeded(port(2), node(2), Roles::FULL, NOW);
    let chosen: BTreeSet<_> = (0..50).filter_map(|_| chosen(&mut book, &in_use, NOW + 60)).collect();
    assert_eq!(chosen, [port(1), port(2)].into(), "somebody was there: it is no hearsay");
}

#[test]
fn hearsay_is_not_believed_about_who_is_where_and_when() {
    let mut book = book();
    let lie = AddressRecord { node: Some(node(9)), last_seen_s: u64::MAX, ..record(public(1)) };
    book.learn(ip("198.51.100.1"), &[lie], NOW);
    let entry = book.entries[&public(1)];
    assert_eq!((entry.node, entry.last_seen_s), (None, NOW - FUTURE_PENALTY_S - HEARSAY_PENALTY_S));
    book.learn(public(1).ip(), &[record(public(1))], NOW);
    assert_eq!(book.entries[&public(1)].last_seen_s, NOW, "it knows best whether it is there");
    // What was talked to is changed by nobody.
    book.succeeded(public(1), node(1), Roles::FULL, NOW);
    let later = AddressRecord { last_seen_s: NOW + 500, ..lie };
    book.learn(ip("198.51.100.1"), &[later], NOW);
    assert_eq!(book.entries[&public(1)].last_seen_s, NOW);
    book.seen(public(1), NOW + SEEN_STEP_S + 1);
    assert_eq!(book.entries[&public(1)].last_seen_s, NOW + SEEN_STEP_S + 1);
}

#[test]
fn what_cannot_be_dialled_or_is_no_full_node_is_not_learnt() {
    let mut book = book();
    let of = |text: &str| record(text.parse().unwrap());
    let bad = [
        of("0.0.0.0:1"),
        of("224.0.0.1:1"),
        of("192.0.2.1:0"),
        AddressRecord { roles: Roles::LIGHT, ..of("192.0.2.1:1") },
    ];
    assert_eq!(book.learn(ip("127.0.0.1"), &bad, NOW), 0);
    // An IPv4 address is the same in both forms.
    let both = [of("192.0.2.1:1"), of("[::ffff:192.0.2.1]:1")];
    assert_eq!(book.learn(ip("127.0.0.1"), &both, NOW), 1);
}

#[test]
fn what_is_of_no_use_is_not_learnt_again() {
    let mut book = book();
    learn_widely(&mut book, [public(1)]);
    book.forget(public(1));
    learn_widely(&mut book, [public(1)]);
    assert!(book.is_empty());
    (2..1_000).for_each(|number| book.forget(public(number)));
    assert_eq!(book.forgotten.len(), FORGOTTEN_MAX);
    // What only needs no second link rests.
    learn_widely(&mut book, [public(1)]);
    book.rest(public(1), NOW + 100);
    assert_eq!(chosen(&mut book, &InUse::default(), NOW + 99), None);
    assert_eq!(chosen(&mut book, &InUse::default(), NOW + 100), Some(public(1)));
}

#[test]
fn a_book_is_read_as_it_was_written() {
    let mut book = book();
    learn_widely(&mut book, (0..300).map(public).chain(["[2001:db8::1]:7781".parse().unwrap()]));
    for (number, seed) in (0..40).zip(0..) {
        book.succeeded(public(number), node(seed), Roles::FULL.and(Roles::MINER), NOW + u64::from(number));
        book.failed(public(number + 100), NOW + 100);
    }
    book.set_anchors((0..5).map(public));
    let bytes = book.to_bytes();
    let mut again = AddressBook::from_bytes(&bytes, [8; 32]).unwrap();
    assert_eq!(again.to_bytes(), bytes);
    assert_eq!((again.len(), again.tried_len()), (book.len(), book.tried_len()));
    let anchors = again.take_anchors();
    assert_eq!(anchors.iter().map(|it| it.address).collect::<Vec<_>>(), [public(0), public(1)]);
    assert_eq!(anchors[0].node, Some(node(0)));
    assert_eq!(again.take_anchors(), []);
}

#[test]
fn a_damaged_file_gives_an_empty_book_and_says_so() {
    let mut book = book();
    learn_widely(&mut book, (0..20).map(public));
    let good = book.to_bytes();
    assert_eq!(AddressBook::load(&good, [8; 32]).1, None);
    for at in [16, 33, 40, good.len() - 9, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let (empty, why) = AddressBook::load(&bad, [8; 32]);
        assert!(empty.is_empty());
        assert_eq!(why, Some(KeptError::Damaged), "byte {at}");
    }
    assert_eq!(AddressBook::load(b"", [8; 32]).1, Some(KeptError::Kind));
    let long = vec![0; 4 << 20];
    assert!(matches!(AddressBook::load(&long, [8; 32]).1, Some(KeptError::TooLong { .. })));
}

#[test]
fn a_file_with_more_entries_than_it_has_bytes_is_refused() {
    let contents = [&[0; 16][..], &u32::MAX.to_le_bytes()].concat();
    let bytes = crate::kept::seal(FILE_TAG, &contents);
    assert_eq!(AddressBook::from_bytes(&bytes, [8; 32]).unwrap_err(), KeptError::Damaged);
}
