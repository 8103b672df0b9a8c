//! Headers before their blocks: what they show, what is kept of them, and what is asked for.

use crate::chain::{
    AcceptedHeaders, BlockRefusal, COUNTED_MESSAGES_MAX, HEADERS_MAX, HEADERS_MESSAGE_MAX, HeadersRefusal,
    HeadersRequest, Imported, LOCATOR_IDS_MAX, PeerKey,
};
use crate::messages::Input;
use crate::peers::{PeerEffect, PeerInfo, PeerInput};
use crate::sync::PLAN_TIME_MS;
use crate::testing::{Bench, Network, Person, find_seal, header_on, miner, miner_for, seal_block, section};
use crate::wire::Message;
use cairn_core::block::{BlockError, CheckedBlock, CheckedHeader, Header, SealedHeader};
use cairn_core::consensus::{HeaderError, Parent};
use cairn_core::hash::{BlockId, HistoryRoot, StateRoot};
use cairn_core::numbers::{FeeRate, Height, Timestamp};
use cairn_core::target::{CompactTarget, Work};

const BOB: Person = Person(3);

/// A network on which blocks made faster than one in ten seconds soon become dear.
fn moving() -> Network {
    let mut section = section();
    section.half_life_ms = 10_000;
    Network::new(section)
}

/// The parent of block 1.
fn genesis_of(network: &Network) -> Parent {
    network.consensus.parent_of_next(&network.header, network.id, None, |_| {})
}

/// Seals a header as it is.
fn sealed(network: &Network, header: Header) -> CheckedHeader {
    let seal = find_seal(&network.consensus, &header, BOB);
    SealedHeader { header, seal }.check(&network.consensus).unwrap()
}

/// Headers by `who` on `parent`, `step_ms` apart: nobody has their bodies.
fn headers_on(
    network: &Network,
    parent: &Parent,
    who: Person,
    count: usize,
    step_ms: u64,
) -> Vec<CheckedHeader> {
    let mut parent = parent.clone();
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let time = parent.time.saturating_add_ms(step_ms);
        let header = sealed(network, header_on(&network.consensus, &parent, who, time));
        parent = network.consensus.parent_of_next(header.header(), header.id(), Some(&parent), |_| {});
        headers.push(header);
    }
    headers
}

fn ids(headers: &[CheckedHeader]) -> Vec<BlockId> {
    headers.iter().map(CheckedHeader::id).collect()
}

fn kept(new: usize) -> AcceptedHeaders {
    AcceptedHeaders::Kept { new }
}

/// A bench whose chain has at least so much work, beside which an easy branch has room in time.
fn dear_bench(network: &Network, work: u64) -> Bench {
    let mut bench = Bench::new(network, miner());
    while bench.node.tip().work < Work::from_value(work.try_into().unwrap()) {
        bench.now = bench.now.saturating_add_ms(4_000);
        bench.mine(1);
    }
    bench.now = bench.now.saturating_add_ms(1_000_000_000);
    bench
}

#[test]
fn with_the_allowance_drained_a_better_branch_of_cheap_blocks_is_taken_headers_first() {
    let network = moving();
    let mut bench = dear_bench(&network, 3_000);
    let mut other = Bench::new(&network, miner_for(BOB));
    other.now = Timestamp(network.header.time.0);
    while other.node.tip().work < bench.node.tip().work || other.height() < 16 {
        other.now = other.now.saturating_add_ms(4_000);
        other.mine(1);
    }
    other.mine(2);
    let (headers, blocks) = (other.headers_above(0), other.blocks_above(0));

    // An attacker has used the allowance up, and nobody makes blocks on this node's tip any more: by
    // themselves the blocks of the better branch are refused, whoever sends them and how often.
    bench.node.chain.allowance.set_left(0);
    for _ in 0..2 {
        let verdict = bench.import_bytes(&blocks[0]);
        assert!(matches!(verdict, Err(BlockRefusal::TooCheap { .. })), "{verdict:?}");
    }
    let verdict = bench.accept(1, &headers).unwrap();
    assert_eq!((verdict.accepted, verdict.next), (kept(headers.len()), None));
    assert_eq!(bench.node.best_header().id, other.tip());
    assert_eq!(bench.node.wanted(usize::MAX), ids(&headers));

    let verdicts: Vec<_> = blocks.iter().map(|bytes| bench.import_bytes(bytes).unwrap()).collect();
    assert_eq!(verdicts[0], Imported::Side);
    assert!(
        verdicts.iter().any(|it| matches!(it, Imported::Reorganised { fork: Height(0), .. })),
        "{verdicts:?}"
    );
    assert_eq!((bench.tip(), bench.node.supply()), (other.tip(), other.node.supply()));
    assert_eq!((bench.node.wanted(9), bench.node.state_status().headers), (vec![], 0));
    assert_eq!(bench.node.best_header().id, other.tip());
    // What stands beside the chain is no better for having been shown: the old branch costs again.
    bench.node.chain.allowance.set_left(0);
    let cheap = Bench::new(&network, miner_for(Person(4))).mine(1);
    assert!(matches!(bench.import_bytes(&cheap[0]), Err(BlockRefusal::TooCheap { .. })));
}

#[test]
fn headers_that_do_not_outweigh_the_tip_are_not_kept_whoever_sends_how_many() {
    let network = moving();
    let mut bench = dear_bench(&network, 20_000);
    let genesis = genesis_of(&network);
    for peer in 0..20 {
        let who = Person(30 + u8::try_from(peer).unwrap());
        let headers = headers_on(&network, &genesis, who, 100, 10_000);
        let verdict = bench.accept(peer, &headers).unwrap();
        assert!(matches!(verdict.accepted, AcceptedHeaders::Lighter { .. }), "{verdict:?}");
        assert_eq!(verdict.next, None);
    }
    // Full messages may be the beginning of a heavier branch: they are counted.
    let headers = headers_on(&network, &genesis, BOB, HEADERS_MESSAGE_MAX, 10_000);
    for peer in 0..20 {
        let verdict = bench.accept(peer, &headers).unwrap();
        assert!(matches!(verdict.accepted, AcceptedHeaders::Counted { .. }), "{verdict:?}");
        assert_eq!(verdict.next, Some(HeadersRequest { after: headers.last().unwrap().id(), stop: None }));
    }
    let status = bench.node.state_status();
    assert_eq!((status.headers, status.header_branches, status.counted_peers), (0, 0, 20));
    assert_eq!((bench.node.wanted(9), bench.node.best_header().id), (vec![], bench.tip()));
    for peer in 0..20 {
        bench.node.chain.forget_peer(PeerKey(peer));
    }
    assert_eq!(bench.node.state_status().counted_peers, 0);
}

/// A bench, and a branch of two messages that outweighs its tip only with the second.
fn long_branch() -> (Network, Bench, Vec<CheckedHeader>) {
    let network = moving();
    let bench = dear_bench(&network, 4_200);
    let headers = headers_on(&network, &genesis_of(&network), BOB, HEADERS_MESSAGE_MAX + 1_999, 10_000);
    let (consensus, tip) = (&network.consensus, bench.node.tip());
    let zero = consensus.work_of(&network.header);
    let work_of = |headers: &[CheckedHeader]| {
        headers.iter().fold(zero, |sum, header| sum + consensus.work_of(header.header()))
    };
    assert!(!consensus.is_better(work_of(&headers[..HEADERS_MESSAGE_MAX]), tip.work, tip.header));
    assert!(consensus.is_better(work_of(&headers), tip.work, tip.header));
    (network, bench, headers)
}

#[test]
fn a_long_branch_is_counted_and_then_asked_for_again() {
    let (network, mut bench, headers) = long_branch();
    let (first, second) = headers.split_at(HEADERS_MESSAGE_MAX);
    let (middle, end) = (first.last().unwrap().id(), second.last().unwrap().id());
    let verdict = bench.accept(7, first).unwrap();
    assert!(matches!(verdict.accepted, AcceptedHeaders::Counted { .. }));
    assert_eq!(verdict.next, Some(HeadersRequest { after: middle, stop: None }));
    let verdict = bench.accept(7, second).unwrap();
    assert!(matches!(verdict.accepted, AcceptedHeaders::Counted { .. }));
    assert_eq!(verdict.next, Some(HeadersRequest { after: network.id, stop: Some(middle) }));
    assert_eq!(bench.node.state_status().headers, 0);

    // What has come again is wanted at once, though its own work is less than the tip's.
    let verdict = bench.accept(7, first).unwrap();
    assert_eq!(verdict.accepted, kept(first.len()));
    assert_eq!(verdict.next, Some(HeadersRequest { after: middle, stop: Some(end) }));
    assert_eq!(bench.node.wanted(3), ids(&headers[..3]));
    assert_eq!(bench.node.best_header().id, middle);
    let verdict = bench.accept(7, second).unwrap();
    assert_eq!((verdict.accepted, verdict.next), (kept(second.len()), None));
    assert_eq!(bench.node.best_header().id, end);
    assert_eq!(bench.node.wanted(usize::MAX), ids(&headers));
    let status = bench.node.state_status();
    assert_eq!((status.headers, status.header_branches, status.counted_peers), (headers.len(), 1, 0));
    // Another peer with the same branch brings nothing new, and is asked for no more of it.
    assert_eq!(bench.accept(8, second).unwrap().accepted, kept(0));
}

#[test]
fn hea_8_headers_that_come_again_are_those_that_were_counted() {
    let (network, mut bench, headers) = long_branch();
    let (first, second) = headers.split_at(HEADERS_MESSAGE_MAX);
    bench.accept(7, first).unwrap();
    bench.accept(7, second).unwrap();
    let other = headers_on(&network, &genesis_of(&network), Person(4), HEADERS_MESSAGE_MAX, 10_000);
    let (found, expected) = (other.last().unwrap().id(), first.last().unwrap().id());
    assert_eq!(bench.accept(7, &other), Err(HeadersRefusal::NotAsCounted { found, expected }));
    let status = bench.node.state_status();
    assert_eq!((status.headers, status.counted_peers), (0, 0));
    // Fewer than were counted are not those either.
    bench.accept(7, first).unwrap();
    bench.accept(7, second).unwrap();
    let found = first[99].id();
    assert_eq!(bench.accept(7, &first[..100]), Err(HeadersRefusal::NotAsCounted { found, expected }));
}

#[test]
fn hea_7_a_branch_that_stays_too_light_is_not_counted_for_ever() {
    let network = moving();
    let mut bench = dear_bench(&network, 40_000);
    let limit = COUNTED_MESSAGES_MAX * HEADERS_MESSAGE_MAX;
    let headers = headers_on(&network, &genesis_of(&network), BOB, limit, 10_000);
    let mut messages = headers.chunks(HEADERS_MESSAGE_MAX);
    for message in messages.by_ref().take(COUNTED_MESSAGES_MAX - 1) {
        assert!(matches!(bench.accept(1, message).unwrap().accepted, AcceptedHeaders::Counted { .. }));
    }
    assert_eq!(bench.accept(1, messages.next().unwrap()), Err(HeadersRefusal::TooLong { limit }));
    assert_eq!(bench.node.state_status().counted_peers, 0);
}

#[test]
fn a_node_that_catches_up_can_require_work_before_it_follows_anybody() {
    let network = Network::easy();
    // More messages on the tip than a branch beside the chain may have.
    let count = (COUNTED_MESSAGES_MAX + 1) * HEADERS_MESSAGE_MAX;
    let headers = headers_on(&network, &genesis_of(&network), BOB, count, 1_000);
    let short = headers_on(&network, &genesis_of(&network), Person(4), 1_999, 1_000);
    let work = |count: usize| Work::from_value((2 * (count + 1)).try_into().unwrap());
    let mut bench = Bench::new(&network, crate::NodeConfig { minimum_work: work(count), ..miner() });
    bench.now = bench.now.saturating_add_ms(1_000_000_000);
    let start = bench.tip();
    let lighter = AcceptedHeaders::Lighter { work: work(1_999) };
    assert_eq!(bench.accept(1, &short).unwrap().accepted, lighter);
    let messages: Vec<_> = headers.chunks(HEADERS_MESSAGE_MAX).collect();
    let mut next = None;
    for message in &messages {
        let verdict = bench.accept(2, message).unwrap();
        assert!(matches!(verdict.accepted, AcceptedHeaders::Counted { .. }), "{verdict:?}");
        next = verdict.next;
    }
    assert_eq!(next, Some(HeadersRequest { after: start, stop: Some(messages[0].last().unwrap().id()) }));
    for message in &messages {
        assert_eq!(bench.accept(2, message).unwrap().accepted, kept(message.len()));
    }
    assert_eq!(bench.node.best_header().id, headers.last().unwrap().id());
}

#[test]
fn headers_that_find_no_room_are_not_asked_for_until_there_is_some() {
    let network = Network::easy();
    let count = HEADERS_MAX + 2 * HEADERS_MESSAGE_MAX;
    let headers = headers_on(&network, &genesis_of(&network), BOB, count, 1_000);
    let work = Work::from_value((2 * (count + 1)).try_into().unwrap());
    let mut bench = Bench::new(&network, crate::NodeConfig { minimum_work: work, ..miner() });
    bench.now = bench.now.saturating_add_ms(1_000_000_000);
    let peer = PeerKey(1);
    let info = PeerInfo { height: Height(u64::try_from(count).unwrap()), work, is_outbound: false };
    bench.handle(Input::Peer { peer, input: PeerInput::Joined(info) });
    let ids = ids(&headers);
    // Answers each question at once, as a good peer would.
    let mut answered = 0;
    loop {
        let told = std::mem::take(&mut bench.told);
        let question = told.into_iter().find_map(|(_, effect)| match effect {
            PeerEffect::Send(Message::GetHeaders { locator, stop }) => Some((locator[0], stop)),
            _ => None,
        });
        let Some((after, stop)) = question else { break };
        answered += 1;
        assert!(answered <= 2 * count.div_ceil(HEADERS_MESSAGE_MAX), "the same is asked without end");
        let first = ids.iter().position(|id| *id == after).map_or(0, |at| at + 1);
        let end = ids.iter().position(|id| *id == stop).map_or(count, |at| at + 1);
        let end = end.min(first + HEADERS_MESSAGE_MAX);
        let input = PeerInput::Headers(headers[first..end].to_vec());
        bench.handle(Input::Peer { peer, input });
    }
    let kept = bench.node.state_status().headers;
    assert!((HEADERS_MAX - HEADERS_MESSAGE_MAX..=HEADERS_MAX).contains(&kept), "{kept}");
    // Those that are missing are asked for when others made room, and are still those that were counted.
    bench.node.chain.drop_headers(&ids[100]);
    bench.node.sync.note_no_room(peer, work);
    bench.handle(Input::Wakeup);
    assert!(bench.told.iter().any(|(_, effect)| matches!(
        effect,
        PeerEffect::Send(Message::GetHeaders { locator, stop }) if locator[..] == [ids[kept - 1]] && *stop != BlockId::ZERO
    )), "{:?}", bench.told);
}

#[test]
fn hea_1_a_message_has_at_most_2000_headers() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let header = headers_on(&network, &genesis_of(&network), BOB, 1, 1_000).remove(0);
    let (found, limit) = (HEADERS_MESSAGE_MAX + 1, HEADERS_MESSAGE_MAX);
    assert_eq!(limit, 2_000);
    assert_eq!(bench.accept(1, &vec![header; found]), Err(HeadersRefusal::TooMany { found, limit }));
}

#[test]
fn hea_2_headers_of_a_message_stand_on_one_another() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let headers = headers_on(&network, &genesis_of(&network), BOB, 3, 1_000);
    let gap = [headers[0].clone(), headers[2].clone()];
    let (found, expected) = (headers[1].id(), headers[0].id());
    assert_eq!(bench.accept(1, &gap), Err(HeadersRefusal::NotAChain { position: 1, found, expected }));
    assert_eq!(bench.node.state_status().headers, 0);
}

#[test]
fn hea_3_headers_on_an_unknown_parent_are_not_kept() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let headers = headers_on(&network, &genesis_of(&network), BOB, 3, 1_000);
    let parent = headers[0].id();
    assert_eq!(bench.accept(1, &headers[1..]), Err(HeadersRefusal::Unconnected { parent }));
    assert_eq!(bench.accept(1, &headers).unwrap().accepted, kept(3));
    assert_eq!(bench.accept(1, &headers[1..]).unwrap().accepted, kept(0));
    assert_eq!(bench.accept(1, &[]).unwrap().accepted, kept(0));
}

/// Makes a header wrong.
type Tamper = fn(&mut Header);

#[test]
fn hea_5_an_invalid_header_in_the_middle_refuses_the_message_and_is_remembered() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let good = headers_on(&network, &genesis_of(&network), BOB, 2, 1_000);
    let mut parent = genesis_of(&network);
    for header in &good {
        parent = network.consensus.parent_of_next(header.header(), header.id(), Some(&parent), |_| {});
    }
    let time = parent.time.saturating_add_ms(1_000);
    let right = header_on(&network.consensus, &parent, BOB, time);
    let expected_target = right.target;
    let tampered: [(Tamper, HeaderError); 5] = [
        (|it| it.height = Height(9), HeaderError::Height { found: Height(9), expected: Height(3) }),
        (
            |it| it.time = Timestamp(5),
            HeaderError::TimeNotAfterParent { found: Timestamp(5), parent: parent.time },
        ),
        (
            |it| it.target = CompactTarget(0x207f_fffe),
            HeaderError::Target { found: CompactTarget(0x207f_fffe), expected: expected_target },
        ),
        (|it| it.base_fee = FeeRate(7), HeaderError::BaseFee { found: FeeRate(7), expected: FeeRate(1) }),
        (
            |it| it.history_root = HistoryRoot([5; 32]),
            HeaderError::HistoryRoot { found: HistoryRoot([5; 32]), expected: right.history_root },
        ),
    ];
    for (tamper, error) in tampered {
        let mut header = right.clone();
        tamper(&mut header);
        let wrong = sealed(&network, header);
        let mut next = header_on(&network.consensus, &parent, BOB, time);
        (next.parent, next.height) = (wrong.id(), Height(4));
        let above = sealed(&network, next);
        let message = [good.clone(), vec![wrong.clone(), above.clone()]].concat();
        let block = wrong.id();
        assert_eq!(bench.accept(1, &message), Err(HeadersRefusal::Invalid { block, error }));
        assert_eq!(bench.node.state_status().headers, 0, "nothing of the message is kept");
        assert_eq!(bench.accept(2, &message), Err(HeadersRefusal::KnownInvalid { block }));
        assert_eq!(bench.accept(2, &[above]), Err(HeadersRefusal::KnownInvalid { block }));
    }
    assert_eq!(bench.accept(1, &good).unwrap().accepted, kept(2));
}

#[test]
fn hea_4_an_invalid_body_takes_the_headers_above_it_along() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    bench.mine(1);
    // A right block, one with a wrong state root, and two more.
    let mut maker = Bench::new(&network, miner_for(BOB));
    let right = maker.mine(1).remove(0);
    let mut parent = maker.node.chain.parent_of_next().clone();
    let mut blocks: Vec<CheckedBlock> = vec![maker.check(&right).unwrap()];
    for _ in 0..3 {
        let mut header = header_on(&network.consensus, &parent, BOB, maker.now);
        header.state_root = StateRoot([9; 32]);
        let block = seal_block(&network.consensus, header, vec![], BOB);
        parent = network.consensus.parent_of_next(block.header(), block.id(), Some(&parent), |_| {});
        blocks.push(block);
    }
    let headers: Vec<CheckedHeader> = blocks.iter().map(CheckedBlock::to_checked_header).collect();
    let tip = bench.tip();
    assert_eq!(bench.accept(1, &headers).unwrap().accepted, kept(4));
    assert_eq!(bench.import(blocks[0].clone()), Ok(Imported::Side));
    let block = blocks[1].id();
    match bench.import(blocks[1].clone()) {
        Err(BlockRefusal::Invalid { block: found, error: BlockError::StateRoot { .. } }) => {
            assert_eq!(found, block)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((bench.tip(), bench.node.wanted(9)), (tip, vec![]));
    assert_eq!(bench.node.state_status().headers, 0);
    assert_eq!(bench.node.best_header().id, tip);
    assert_eq!(bench.accept(2, &headers), Err(HeadersRefusal::KnownInvalid { block }));
    assert_eq!(bench.accept(2, &headers[2..3]), Err(HeadersRefusal::KnownInvalid { block }));
}

#[test]
fn a_block_on_the_tip_that_turns_out_invalid_takes_its_headers_along() {
    let mut bench = Bench::easy();
    let wrong = bench.forge(BOB, vec![], |header| header.state_root = StateRoot([7; 32]));
    let header = wrong.to_checked_header();
    let network = bench.network.clone();
    let parent = genesis_of(&network);
    let parent = network.consensus.parent_of_next(header.header(), header.id(), Some(&parent), |_| {});
    let above = headers_on(&network, &parent, BOB, 2, 1_000);
    let message = [vec![header], above].concat();
    bench.accept(1, &message).unwrap();
    assert_eq!(bench.node.wanted(9).len(), 3);
    assert!(matches!(bench.import(wrong), Err(BlockRefusal::Invalid { .. })));
    assert_eq!(bench.node.state_status().headers, 0);
}

#[test]
fn hea_6_headers_that_fork_below_the_undo_window_are_refused_and_those_there_are_dropped() {
    let network = Network::easy();
    let mut config = miner();
    config.undo_window = 3;
    let mut bench = Bench::new(&network, config);
    bench.mine(3);
    let genesis = genesis_of(&network);
    let headers = headers_on(&network, &genesis, BOB, 6, 1_000);
    assert_eq!(bench.accept(1, &headers).unwrap().accepted, kept(6));
    // As the chain grows, what forks too deep goes, though nobody said that it is wrong.
    bench.mine(1);
    assert_eq!(bench.node.state_status().headers, 0);
    let (found, lowest) = (Height(1), Height(1));
    assert_eq!(bench.accept(1, &headers), Err(HeadersRefusal::BelowUndoWindow { found, lowest }));
    // Headers of the chain itself are known, however deep they are.
    bench.mine(4);
    let own = bench.headers_above(0);
    assert_eq!(bench.accept(1, &own).unwrap().accepted, kept(0));
}

#[test]
fn of_branches_of_headers_the_one_with_the_most_work_is_wanted_first() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let genesis = genesis_of(&network);
    let stem = headers_on(&network, &genesis, BOB, 3, 1_000);
    let mut fork = genesis;
    for header in &stem[..2] {
        fork = network.consensus.parent_of_next(header.header(), header.id(), Some(&fork), |_| {});
    }
    bench.accept(1, &stem).unwrap();
    let left = headers_on(&network, &fork, Person(4), 1, 2_000);
    let right = headers_on(&network, &fork, Person(5), 3, 3_000);
    bench.accept(2, &left).unwrap();
    assert_eq!(bench.node.wanted(9), ids(&stem), "of equal branches the first seen stays");
    bench.accept(3, &right).unwrap();
    assert_eq!(bench.node.wanted(9), [ids(&stem[..2]), ids(&right)].concat());
    assert_eq!(bench.node.wanted(3), ids(&[stem[0].clone(), stem[1].clone(), right[0].clone()]));
    assert_eq!(bench.node.state_status().header_branches, 3);
    // Nobody has a body of the best branch: the next best is wanted, and nobody is to blame.
    bench.node.chain.drop_headers(&right[0].id());
    assert_eq!(bench.node.wanted(9), ids(&stem));
    assert_eq!(bench.node.best_header().id, stem[2].id());
    bench.accept(3, &right).unwrap();
    assert_eq!(bench.node.best_header().id, right[2].id());
    // From the stem down all goes.
    bench.node.chain.drop_headers(&stem[1].id());
    assert_eq!(bench.node.wanted(9), ids(&stem[..1]));
    assert_eq!(bench.node.state_status().header_branches, 1);
}

#[test]
fn headers_of_separate_branches_are_wanted_one_branch_after_the_other() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let genesis = genesis_of(&network);
    let short = headers_on(&network, &genesis, BOB, 2, 1_000);
    let long = headers_on(&network, &genesis, Person(4), 3, 1_000);
    bench.accept(1, &short).unwrap();
    bench.accept(2, &long).unwrap();
    assert_eq!(bench.node.wanted(9), [ids(&long), ids(&short)].concat());
    // A branch that the chain has outgrown is wanted no more.
    bench.mine(2);
    assert_eq!(bench.node.wanted(9), ids(&long));
}

#[test]
fn headers_from_the_future_are_neither_kept_nor_held_against_anybody() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let start = genesis_of(&network);
    let far = bench.now.0 - start.time.0 + 100_000;
    let headers = headers_on(&network, &start, BOB, 1, far);
    let until = Timestamp(headers[0].header().time.0 - 20_000);
    let verdict = bench.accept(1, &headers).unwrap();
    assert_eq!((verdict.accepted, verdict.next), (AcceptedHeaders::TooEarly { until }, None));
    assert_eq!(bench.node.state_status().headers, 0);
    bench.now = until;
    assert_eq!(bench.accept(1, &headers).unwrap().accepted, kept(1));
    // Those before one from the future are taken.
    let more = headers_on(&network, &start, Person(4), 2, 60_000);
    bench.now = start.time.saturating_add_ms(50_000);
    assert_eq!(bench.accept(1, &more).unwrap().accepted, kept(1));
}

#[test]
fn headers_from_the_future_are_asked_for_again_when_their_time_has_come() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let peer = PeerKey(1);
    let info = PeerInfo { height: Height(0), work: Work::ZERO, is_outbound: false };
    bench.handle(Input::Peer { peer, input: PeerInput::Joined(info) });
    let start = genesis_of(&network);
    let far = bench.now.0 - start.time.0 + 100_000;
    let headers = headers_on(&network, &start, BOB, 1, far);
    let until = Timestamp(headers[0].header().time.0 - 20_000);
    // Told once, by a peer that will not tell it again.
    bench.handle(Input::Peer { peer, input: PeerInput::Headers(headers) });
    bench.wait_ms(PLAN_TIME_MS);
    bench.told.clear();
    assert_eq!(bench.node.next_wakeup(), Some(until));
    bench.now = until;
    bench.handle(Input::Wakeup);
    let asked =
        |(_, effect): &(PeerKey, PeerEffect)| matches!(effect, PeerEffect::Send(Message::GetHeaders { .. }));
    assert!(bench.told.iter().any(asked), "{:?}", bench.told);
}

/// A node to which a peer came, and what it then told peers.
fn feed(bench: &mut Bench, peer: u64, input: PeerInput) -> Vec<(PeerKey, PeerEffect)> {
    bench.told.clear();
    bench.handle(Input::Peer { peer: PeerKey(peer), input });
    std::mem::take(&mut bench.told)
}

fn join(bench: &mut Bench, peer: u64, work: Work, is_outbound: bool) -> Vec<(PeerKey, PeerEffect)> {
    feed(bench, peer, PeerInput::Joined(PeerInfo { height: Height(0), work, is_outbound }))
}

/// Who is asked for headers.
fn asked(told: &[(PeerKey, PeerEffect)]) -> Vec<u64> {
    let asked = |effect: &PeerEffect| matches!(effect, PeerEffect::Send(Message::GetHeaders { .. }));
    told.iter().filter(|(_, effect)| asked(effect)).map(|(peer, _)| peer.0).collect()
}

fn strikes(told: &[(PeerKey, PeerEffect)]) -> usize {
    told.iter().filter(|(_, effect)| matches!(effect, PeerEffect::Strike(_))).count()
}

#[test]
fn peers_that_tell_of_blocks_and_have_nothing_keep_nobody_else_from_being_asked() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    bench.now = Timestamp(network.header.time.0 + 1_000_000_000);
    let tip = headers_on(&network, &genesis_of(&network), BOB, 50, 1_000).split_off(49);
    join(&mut bench, 1, Work::ZERO, false);
    join(&mut bench, 2, Work::ZERO, false);
    assert_eq!(asked(&feed(&mut bench, 1, PeerInput::Headers(tip.clone()))), [1]);
    let honest = Work::from_value(100_000u64.try_into().unwrap());
    assert_eq!(asked(&join(&mut bench, 3, honest, true)), [3]);
    let mut struck = 0;
    for step in 0..60 {
        bench.wait_ms(1_000);
        // One begins before the other answers.
        let (begins, answers) = if step % 2 == 0 { (2, 1) } else { (1, 2) };
        feed(&mut bench, begins, PeerInput::Headers(tip.clone()));
        struck += strikes(&feed(&mut bench, answers, PeerInput::Headers(Vec::new())));
    }
    assert!(struck >= 59, "what they tell leads nowhere, {struck} times");
}

#[test]
fn headers_that_are_known_cost_no_plan_and_cannot_be_sent_on_and_on() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    bench.now = Timestamp(network.header.time.0 + 1_000_000_000);
    let chain = headers_on(&network, &genesis_of(&network), BOB, 100, 1_000);
    join(&mut bench, 3, Work::from_value(10_000_000u64.try_into().unwrap()), true);
    feed(&mut bench, 3, PeerInput::Headers(chain.clone()));
    join(&mut bench, 1, Work::ZERO, false);
    let lone = headers_on(&network, &genesis_of(&network), Person(4), 3, 500).split_off(2);
    let mut struck = 0;
    for _ in 0..10 {
        assert_eq!(asked(&feed(&mut bench, 1, PeerInput::Headers(lone.clone()))), [1]);
        // Its answer is none: it is what everybody knows.
        struck += strikes(&feed(&mut bench, 1, PeerInput::Headers(chain.clone())));
    }
    assert_eq!(struck, 10);
    // Within the time of a plan nothing is looked at again, and it is afterwards.
    bench.handle(Input::Wakeup);
    feed(&mut bench, 1, PeerInput::Headers(Vec::new()));
    let plan_at = bench.now.saturating_add_ms(PLAN_TIME_MS);
    assert!(bench.node.next_wakeup().is_some_and(|at| at <= plan_at));
}

/// Brings `bench` to where `source` is, as a peer would: headers, then bodies. Returns the messages.
fn sync(bench: &mut Bench, source: &Bench, limit: usize) -> usize {
    let mut messages = 0;
    let consensus = bench.network.consensus.clone();
    loop {
        let locator = bench.node.locator(&bench.store).unwrap();
        assert!(locator.len() <= LOCATOR_IDS_MAX && locator.last() == Some(&bench.network.id));
        let headers = source.store.headers_after(&locator, None, limit);
        let headers: Vec<_> = headers.into_iter().map(|header| header.check(&consensus).unwrap()).collect();
        messages += 1;
        if headers.is_empty() {
            break;
        }
        bench.accept(1, &headers).unwrap();
    }
    for id in bench.node.wanted(usize::MAX) {
        bench.import_bytes(&source.bytes(&id)).unwrap();
    }
    messages
}

#[test]
fn a_node_syncs_from_nothing_and_over_a_fork_and_after_a_restart() {
    let network = Network::easy();
    let mut source = Bench::new(&network, miner_for(BOB));
    source.mine(30);
    let mut bench = Bench::new(&network, miner());
    bench.now = source.now;
    assert_eq!(sync(&mut bench, &source, 7), 6);
    assert_eq!(bench.tip(), source.tip());
    // Both go on by themselves: the shorter is left for the longer.
    bench.mine(40);
    source.mine(50);
    sync(&mut bench, &source, 2_000);
    assert_eq!((bench.tip(), bench.node.supply()), (source.tip(), source.node.supply()));
    // Headers do not outlive the program, and are asked for again; bodies beside the chain stay.
    bench.mine(3);
    source.mine(6);
    let (headers, blocks) = (source.headers_above(80), source.blocks_above(80));
    assert_eq!(bench.accept(1, &headers).unwrap().accepted, kept(6));
    assert_eq!(bench.import_bytes(&blocks[0]), Ok(Imported::Side));
    let mut again = bench.twin();
    assert_eq!((again.node.state_status().headers, again.node.state_status().side_blocks), (0, 41));
    assert_eq!(again.node.locator(&again.store).unwrap()[0], bench.tip());
    assert_eq!(again.accept(1, &headers).unwrap().accepted, kept(5));
    assert_eq!(again.node.wanted(9), ids(&headers[1..]));
    for bytes in &blocks[1..] {
        again.import_bytes(bytes).unwrap();
    }
    assert_eq!(again.tip(), source.tip());
}

#[test]
fn a_locator_reaches_from_the_best_header_to_block_0_in_steps_that_double() {
    let network = Network::easy();
    let mut config = miner();
    config.undo_window = 20;
    let mut bench = Bench::new(&network, config);
    let own = bench.mine(200);
    let heights = |bench: &Bench, known: &dyn Fn(&BlockId) -> u64| -> Vec<u64> {
        bench.node.locator(&bench.store).unwrap().iter().map(known).collect()
    };
    let mut known = std::collections::BTreeMap::from([(network.id, 0)]);
    known.extend(own.iter().map(|bytes| bench.check(bytes).unwrap()).map(|it| (it.id(), it.height().0)));
    let expected = [200, 199, 198, 197, 196, 195, 194, 193, 192, 191, 189, 185, 177, 161, 129, 65, 0];
    assert_eq!(heights(&bench, &|id| known[id]), expected);

    // A branch that leaves the chain at 190, its first two bodies here, the others not.
    let mut other = Bench::new(&network, miner_for(BOB));
    other.now = Timestamp(bench.now.0 - 10_000);
    for bytes in &own[..190] {
        assert_eq!(other.import_bytes(bytes), Ok(Imported::Extended));
    }
    other.mine(15);
    let (headers, blocks) = (other.headers_above(190), other.blocks_above(190));
    bench.now = other.now;
    bench.accept(1, &headers).unwrap();
    bench.import_bytes(&blocks[0]).unwrap();
    bench.import_bytes(&blocks[1]).unwrap();
    known.extend(headers.iter().map(|header| (header.id(), 1_000 + header.header().height.0)));
    let expected =
        [1205, 1204, 1203, 1202, 1201, 1200, 1199, 1198, 1197, 1196, 1194, 190, 182, 166, 134, 70, 0];
    assert_eq!(heights(&bench, &|id| known[id]), expected);
}
