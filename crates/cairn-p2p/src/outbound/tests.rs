//! The policy with a book, links and a clock that a test makes up.

use super::*;
use crate::key::NodeKey;
use crate::message::Bye;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::IpAddr;

const START: u64 = 1_800_000_000;

/// A policy, its book, and the links that came of what it said.
struct World {
    book: AddressBook,
    policy: Outbound,
    links: Vec<LinkView>,
    now: Clock,
}

fn node(number: u16) -> NodeId {
    let mut seed = [3; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    NodeKey::from_seed(seed).id()
}

/// An address in a group of its own.
fn public(number: u8) -> SocketAddr {
    SocketAddr::from(([50 + number % 50, number, 0, 1], 7781))
}

fn named(text: &str) -> PeerAddress {
    text.parse().unwrap()
}

impl World {
    /// So many addresses are known, each told by somebody else.
    fn new(known: u8) -> Self {
        let mut book = AddressBook::new([7; 32]);
        for number in 0..known {
            let roles = Roles::FULL;
            let record = AddressRecord { address: public(number), node: None, last_seen_s: START, roles };
            assert_eq!(book.learn(IpAddr::from([200, number, 0, 1]), &[record], START), 1);
        }
        let policy = Outbound::new(&mut book, 4, [8; 16]);
        let now = Clock { running: Duration::ZERO, unix_s: START };
        Self { book, policy, links: Vec::new(), now }
    }

    fn wait(&mut self, seconds: u64) {
        self.now.running += Duration::from_secs(seconds);
        self.now.unix_s += seconds;
    }

    fn due(&mut self) -> Vec<Dial> {
        self.policy.due(&self.links, &mut self.book, false, self.now)
    }

    fn join(&mut self, dial: &Dial) -> Purpose {
        let number = u16::try_from(self.links.len()).unwrap();
        self.link(node(number), Direction::Outbound, Some(dial.address.clone()));
        let (address, now) = (&dial.address, self.now);
        self.policy.joined(address, node(number), Roles::FULL, &mut self.book, now)
    }

    fn link(&mut self, node: NodeId, direction: Direction, dialled: Option<PeerAddress>) {
        let remote = dialled.as_ref().and_then(socket_of).unwrap_or_else(|| public(250));
        let number = PeerNumber(self.links.len() as u64);
        let listen = Vec::new();
        self.links.push(LinkView { number, node, remote, direction, dialled, listen, score: 0.0 });
    }

    fn fail(&mut self, dial: &Dial, why: &DialFailure) {
        self.policy.failed(&dial.address, why, &mut self.book, self.now);
    }

    /// Dials and joins until nothing is due.
    fn settle(&mut self) {
        for _ in 0..20 {
            for dial in self.due() {
                self.join(&dial);
            }
        }
    }
}

fn refused() -> DialFailure {
    DialFailure::Unreachable(ErrorKind::ConnectionRefused)
}

#[test]
fn eight_links_are_sought_in_different_neighbourhoods() {
    let mut world = World::new(60);
    world.settle();
    assert_eq!(world.links.len(), SOUGHT_MAX);
    let places: BTreeSet<_> = world.links.iter().map(|link| Neighbourhood::of(link.remote)).collect();
    assert_eq!(places.len(), SOUGHT_MAX);
    assert_eq!(world.book.tried_len(), SOUGHT_MAX);
    world.links.pop();
    assert_eq!(world.due().len(), 1, "one is gone, one is sought");
}

#[test]
fn what_is_under_way_counts_and_is_put_back() {
    let mut world = World::new(60);
    let due = world.due();
    assert_eq!(due.len(), SOUGHT_MAX);
    assert_eq!(world.due(), []);
    world.policy.put_back(&due[0].address);
    world.fail(&due[1], &refused());
    assert_eq!(world.due().len(), 2);
}

#[test]
fn named_nodes_come_beside_the_eight() {
    let mut world = World::new(60);
    for text in ["node.example:7781", "192.0.2.1:7781"] {
        assert!(world.policy.add(named(text)));
    }
    assert!(!world.policy.add(named("192.0.2.1:7781")), "it is one already");
    let due = world.due();
    assert_eq!(due.iter().filter(|dial| dial.purpose == Purpose::Named).count(), 2);
    assert_eq!(due.len(), 2 + SOUGHT_MAX);
    for dial in due {
        assert_eq!(world.join(&dial), dial.purpose);
    }
    assert_eq!(world.due(), []);
    assert!(world.policy.add(named("a:1")) && world.policy.add(named("b:1")));
    assert!(!world.policy.add(named("c:1")), "there is room for four");
    assert!(world.policy.remove(&named("a:1")) && !world.policy.remove(&named("a:1")));
}

#[test]
fn a_named_node_is_dialled_again_after_longer_and_longer_pauses() {
    let mut world = World::new(0);
    world.policy.add(named("node.example:7781"));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let [dial] = &world.due()[..] else { panic!("it is due") };
        world.fail(dial, &refused());
        let failed = world.now.running;
        while world.due().is_empty() {
            world.now.running += Duration::from_millis(50);
        }
        world.policy.put_back(&dial.address);
        pauses.push((world.now.running - failed).as_millis());
    }
    for (pause, wanted) in pauses.iter().zip([1_u128, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]) {
        let (least, most) = (wanted * 750, wanted * 1_250 + 50);
        assert!((least..=most).contains(pause), "{pauses:?}");
    }
    assert!(
        pauses[9] != pauses[10] || pauses[10] != pauses[11],
        "chance keeps nodes out of step: {pauses:?}"
    );
    // A success begins anew.
    let [dial] = &world.due()[..] else { panic!("it is due") };
    world.join(dial);
    world.links.clear();
    let [dial] = &world.due()[..] else { panic!("it is due at once") };
    world.fail(dial, &refused());
    world.wait(2);
    assert_eq!(world.due().len(), 1);
}

#[test]
fn nobody_is_dialled_who_has_a_link() {
    let mut world = World::new(3);
    world.policy.add(named("node.example:7781"));
    let due = world.due();
    assert_eq!(due.len(), 4);
    for dial in &due {
        world.join(dial);
    }
    // All of them come back, by dialling this node: their keys are known now.
    for link in &mut world.links {
        link.direction = Direction::Inbound;
        link.dialled = None;
        link.remote = SocketAddr::from(([198, 51, 100, 1], link.remote.port()));
    }
    world.wait(3_600);
    assert_eq!(world.due(), []);
}

#[test]
fn where_a_peer_listens_is_believed_of_its_own_machine_only() {
    let mut world = World::new(2);
    world.link(node(9), Direction::Inbound, None);
    world.links[0].remote = SocketAddr::new(public(0).ip(), 50_000);
    world.links[0].listen = vec![public(0), public(1)];
    let due = world.due();
    assert_eq!(due.iter().map(|dial| &dial.address).collect::<Vec<_>>(), [&public(1).into()]);
}

#[test]
fn a_feeler_goes_out_every_two_minutes_once_there_are_enough_links() {
    let mut world = World::new(60);
    world.wait(600);
    assert!(world.due().iter().all(|dial| dial.purpose == Purpose::Sought), "links come first");
    let mut world = World::new(60);
    world.settle();
    world.wait(119);
    assert_eq!(world.due(), []);
    world.wait(1);
    let [dial] = &world.due()[..] else { panic!("a feeler is due") };
    assert_eq!(dial.purpose, Purpose::Feeler);
    assert_eq!(world.due(), []);
    let now = world.now;
    let purpose = world.policy.joined(&dial.address, node(99), Roles::FULL, &mut world.book, now);
    assert_eq!(purpose, Purpose::Feeler);
    assert_eq!(world.book.tried_len(), SOUGHT_MAX + 1);
    world.wait(120);
    assert_eq!(world.due().len(), 1);
}

#[test]
fn ports_of_a_machine_are_not_tried_one_after_the_other() {
    let mut world = World::new(0);
    let tell = |world: &mut World| {
        for port in 1..200 {
            let address = SocketAddr::from(([203, 0, 113, 1], port));
            let roles = Roles::FULL;
            let record = AddressRecord { address, node: None, last_seen_s: world.now.unix_s, roles };
            world.book.learn(IpAddr::from([200, 1, 0, 1]), &[record], world.now.unix_s);
        }
    };
    let mut dialled = BTreeSet::new();
    for _ in 0..2 * TEST_TIME.as_secs() {
        tell(&mut world);
        for dial in world.due() {
            dialled.insert(dial.address.clone());
            world.fail(&dial, &refused());
        }
        world.wait(1);
        assert!(
            u64::try_from(dialled.len()).unwrap() <= 1 + world.now.running.as_secs() / TEST_TIME.as_secs()
        );
    }
    assert_eq!(dialled.len(), 2, "in ten minutes: {dialled:?}");
}

#[test]
fn nodes_of_this_machine_are_all_dialled_at_once() {
    let mut world = World::new(0);
    let here: Vec<_> = (1..=4)
        .map(|port| {
            let (address, roles) = (SocketAddr::from(([127, 0, 0, 1], port)), Roles::FULL);
            AddressRecord { address, node: None, last_seen_s: START, roles }
        })
        .collect();
    assert_eq!(world.book.learn(IpAddr::from([127, 0, 0, 1]), &here, START), 4);
    assert_eq!(world.due().len(), 4);
}

#[test]
fn machines_that_were_tried_are_remembered_up_to_a_bound() {
    let mut world = World::new(0);
    for number in 0..=TESTED_MAX {
        let [.., high, low] = number.to_be_bytes();
        let candidate = Candidate { address: SocketAddr::from(([20, 1, high, low], 1)), node: None };
        world.policy.note_tested(candidate, world.now);
    }
    assert_eq!(world.policy.tested.len(), TESTED_MAX);
    world.wait(TEST_TIME.as_secs());
    assert_eq!(world.due(), []);
    assert!(world.policy.tested.is_empty());
}

#[test]
fn a_stale_tip_is_worth_one_more_link_and_the_worst_goes_afterwards() {
    let mut world = World::new(60);
    world.settle();
    assert_eq!(world.policy.surplus(&world.links), None);
    let extra = world.policy.due(&world.links, &mut world.book, true, world.now);
    assert_eq!(extra.len(), 1);
    world.join(&extra[0]);
    assert_eq!(world.policy.due(&world.links, &mut world.book, true, world.now), []);
    for link in &mut world.links {
        link.score = if [3, 5].contains(&link.number.0) { 1.0 } else { 2.0 };
    }
    assert_eq!(world.policy.surplus(&world.links), Some(PeerNumber(5)));
}

#[test]
fn the_anchors_of_the_last_run_are_dialled_first() {
    let mut world = World::new(60);
    world.settle();
    let anchors = world.policy.anchors(&world.links);
    assert_eq!(anchors, [world.links[0].remote, world.links[1].remote]);
    world.book.set_anchors(anchors.clone());
    let mut book = AddressBook::from_bytes(&world.book.to_bytes(), [9; 32]).unwrap();
    let mut policy = Outbound::new(&mut book, 4, [9; 16]);
    world.wait(60);
    let due = policy.due(&[], &mut book, false, world.now);
    let first: Vec<_> = due.iter().filter_map(|dial| socket_of(&dial.address)).take(2).collect();
    assert_eq!(first, anchors);
    assert_eq!(book.take_anchors(), []);
}

#[test]
fn a_named_node_that_has_dialled_itself_is_not_dialled_again_while_its_link_lasts() {
    let mut world = World::new(0);
    assert!(world.policy.add(named("seed.example.org:1")));
    // Its link says nothing of the name; a dial finds out who is there.
    world.link(node(9), Direction::Inbound, None);
    let due = world.due();
    assert_eq!(due.len(), 1);
    world.fail(&due[0], &DialFailure::Connected { node: node(9) });
    assert_eq!(world.policy.node_at(&due[0].address), Some(node(9)));
    world.wait(100_000);
    assert_eq!(world.due(), []);
    world.links.clear();
    assert_eq!(world.due(), due, "its link has ended");
    // Where it has ended in the meantime, it is not dialled in a circle.
    world.fail(&due[0], &DialFailure::Connected { node: node(9) });
    assert_eq!(world.due(), []);
    world.wait(1);
    assert_eq!(world.due(), due);
}

#[test]
fn what_a_failure_says_of_an_address_is_noted() {
    let fail = |why: &DialFailure| {
        let mut world = World::new(1);
        let due = world.due();
        world.fail(&due[0], why);
        world.wait(1_000);
        (world.book.len(), world.due().len())
    };
    let theirs = |code| DialFailure::Greeting(LeaveReason::Theirs(Bye::new(code, "")));
    assert_eq!(fail(&DialFailure::Myself), (0, 0));
    assert_eq!(fail(&DialFailure::OtherNetwork), (0, 0));
    assert_eq!(fail(&DialFailure::Connected { node: node(9) }), (1, 0));
    assert_eq!(fail(&theirs(ByeCode::Full)), (1, 0));
    assert_eq!(fail(&theirs(ByeCode::Protocol)), (1, 1));
    assert_eq!(fail(&refused()), (1, 1));
    assert_eq!(fail(&DialFailure::Stopped), (1, 1));
}

#[test]
fn no_more_is_dialled_than_a_network_takes() {
    let mut world = World::new(60);
    let mut book = AddressBook::new([1; 32]);
    world.policy = Outbound::new(&mut book, 100, [8; 16]);
    for number in 0..40 {
        assert!(world.policy.add(named(&format!("node{number}.example.org:1"))));
    }
    assert_eq!(world.due().len(), DIALS_MAX);
    assert_eq!(world.due(), []);
}
