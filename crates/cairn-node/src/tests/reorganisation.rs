//! Leaving the tip for a better branch, and staying where the branch turns out wrong.

use crate::chain::{BlockRefusal, Imported};
use crate::messages::Event;
use crate::testing::{Bench, Network, Person, RICH, header_on, miner, miner_for, nth, seal_block, section};
use cairn_core::block::{BlockError, CheckedBlock};
use cairn_core::hash::StateRoot;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::target::{CompactTarget, Work};
use proptest::prelude::*;

const ALICE: Person = Person(2);
const BOB: Person = Person(3);
const CAROL: Person = Person(4);

/// The events about the chain and transactions since the last call, shortened.
fn news(bench: &mut Bench) -> Vec<String> {
    let told = std::mem::take(&mut bench.news);
    told.iter()
        .map(|event| match event {
            Event::Block { block, .. } => format!("block {}", block.height()),
            Event::Reorganised { fork, depth, .. } => format!("reorganised above {fork}, {depth} deep"),
            Event::SideBlock { height, .. } => format!("beside {height}"),
            Event::Pending { transaction } => format!("pending {}", transaction.body().nonce),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn of_two_equal_branches_the_first_seen_stays_and_the_longer_wins() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let mut other = Bench::new(&network, miner_for(BOB));
    bench.mine(2);
    let first = bench.tip();
    let branch = other.mine(3);
    assert_eq!(bench.import_bytes(&branch[0]), Ok(Imported::Side));
    assert_eq!(bench.import_bytes(&branch[1]), Ok(Imported::Side));
    assert_eq!(bench.tip(), first);
    assert_eq!(bench.import_bytes(&branch[2]), Ok(Imported::Reorganised { fork: Height(0), depth: 2 }));
    assert_eq!(bench.tip(), other.tip());
    assert_eq!(bench.node.branches()[0].tip, first);
    let told = news(&mut bench);
    assert_eq!(told[told.len() - 4..], ["reorganised above 0, 2 deep", "block 1", "block 2", "block 3"]);
}

/// Two benches at the same block, where the next target depends on how fast a block came.
fn pair_with_moving_difficulty() -> (Bench, Bench) {
    let mut section = section();
    section.half_life_ms = 10_000;
    section.first_target = CompactTarget(0x1f7f_ffff);
    let network = Network::new(section);
    let mut bench = Bench::new(&network, miner());
    bench.mine(1);
    let mut other = Bench::new(&network, miner_for(BOB));
    let bytes = bench.bytes(&bench.tip());
    other.import_bytes(&bytes).unwrap();
    other.now = bench.now;
    (bench, other)
}

/// Makes two blocks, the first after `first_ms`, and returns their work.
fn mine_two(bench: &mut Bench, first_ms: u64) -> Work {
    bench.now = Timestamp(bench.now.0 + first_ms - 1_000);
    bench.mine(2);
    bench.node.tip().work
}

#[test]
fn a_branch_with_less_than_half_a_block_more_work_is_not_taken() {
    let (mut bench, mut other) = pair_with_moving_difficulty();
    let own = mine_two(&mut bench, 10_000);
    let theirs = mine_two(&mut other, 7_000);
    assert!(theirs > own, "the other branch is heavier, by less than half of the tip");
    let tip = bench.tip();
    for height in 2..=3 {
        let bytes = other.bytes(&other.node.header_at(Height(height), &other.store).unwrap().unwrap().0);
        assert_eq!(bench.import_bytes(&bytes), Ok(Imported::Side));
    }
    assert_eq!(bench.tip(), tip);
    // One block more decides.
    let bytes = other.mine(1);
    assert_eq!(bench.import_bytes(&bytes[0]), Ok(Imported::Reorganised { fork: Height(1), depth: 2 }));
}

#[test]
fn a_branch_with_more_than_half_a_block_more_work_is_taken() {
    let (mut bench, mut other) = pair_with_moving_difficulty();
    let own = mine_two(&mut bench, 10_000);
    let theirs = mine_two(&mut other, 1_000);
    assert!(theirs > own);
    let ids = (2..=3).map(|height| other.node.header_at(Height(height), &other.store).unwrap().unwrap().0);
    let verdicts: Vec<_> = ids.map(|id| bench.import_bytes(&other.bytes(&id)).unwrap()).collect();
    assert_eq!(verdicts, [Imported::Side, Imported::Reorganised { fork: Height(1), depth: 2 }]);
}

#[test]
fn reorganisations_of_every_depth_lead_to_the_state_of_the_other_node() {
    for depth in [1, 2, 3, 10, 100] {
        let network = Network::easy();
        let mut bench = Bench::new(&network, miner());
        let mut other = Bench::new(&network, miner_for(BOB));
        let common = bench.mine(1);
        other.import_bytes(&common[0]).unwrap();
        other.now = bench.now;
        for nonce in 0..depth {
            bench.submit(ALICE.sends(nonce).to(nth(100, nonce % 100), 10)).unwrap();
            bench.mine(1);
            other.submit(CAROL.sends(nonce).to(nth(50, nonce % 150), 7)).unwrap();
            other.mine(1);
        }
        other.mine(1);
        let blocks: Vec<_> = other.store.log().skip(1).cloned().collect();
        let verdicts: Vec<_> = blocks.iter().map(|bytes| bench.import_bytes(bytes).unwrap()).collect();
        assert_eq!(verdicts.last(), Some(&Imported::Reorganised { fork: Height(1), depth }));
        assert_eq!(bench.tip(), other.tip());
        assert_eq!(bench.node.supply(), other.node.supply());
        // What left the chain waits again, in order, and is confirmed on the new branch.
        assert_eq!(bench.node.mempool_status().executable as u64, depth);
        bench.mine(1);
        assert_eq!(bench.node.account(&ALICE.address()).confirmed.nonce.0, depth);
        assert_eq!(bench.node.mempool_status().transactions, 0);
        // The store follows: a node that starts from it stands at the same place.
        let again = Bench::over(&network, miner(), bench.store.clone());
        assert_eq!(again.tip(), bench.tip());
    }
}

#[test]
fn of_a_reorganisation_too_large_for_memory_only_the_ends_are_held() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let mut other = Bench::new(&network, miner_for(BOB));
    // Alice's stand in the old branch alone, Carol's in both.
    for nonce in 0..10 {
        bench.submit(ALICE.sends(nonce).to(nth(100, nonce), 10)).unwrap();
        bench.submit(CAROL.sends(nonce).to(nth(50, nonce), 7)).unwrap();
        bench.mine(1);
        other.submit(CAROL.sends(nonce).to(nth(50, nonce), 7)).unwrap();
        other.mine(1);
    }
    let waiting = bench.submit(CAROL.sends(10)).unwrap();
    other.submit(CAROL.sends(10)).unwrap();
    other.mine(3);
    let blocks: Vec<_> = other.store.log().cloned().collect();
    let from = bench.tip();
    bench.node.chain.change_bytes_max = bench.store.log().take(4).map(|bytes| bytes.len()).sum();
    bench.news.clear();
    let last = blocks.iter().map(|bytes| bench.import_bytes(bytes).unwrap()).last();
    assert_eq!(last, Some(Imported::Extended));
    assert_eq!((bench.tip(), bench.node.supply()), (other.tip(), other.node.supply()));

    let reorganised = bench.news.iter().find_map(|event| match event {
        Event::Reorganised { from, connected, disconnected, .. } => {
            Some((*from, connected.len(), disconnected.len()))
        }
        _ => None,
    });
    assert_eq!(reorganised, Some((from, 11, 10)), "all blocks are named");
    let heights = bench.news.iter().filter_map(|event| match event {
        Event::Block { block, .. } => Some(block.height().0),
        _ => None,
    });
    let told: Vec<u64> = heights.collect();
    assert!(told[0] > 4 && told.ends_with(&[9, 10, 11, 12, 13]), "the highest are told: {told:?}");
    // Of what left, the first four blocks are held: Alice's wait again, Carol's are confirmed.
    let (status, dropped) = (bench.node.mempool_status(), bench.dropped());
    assert_eq!((status.executable, status.transactions), (4, 4));
    assert!(dropped.is_empty(), "what was confirmed is not told as dropped: {dropped:?}");
    assert!(bench.node.pending(&waiting).is_none());
    assert_eq!(bench.node.account(&CAROL.address()).confirmed.nonce.0, 11);
    let again = Bench::over(&network, miner(), bench.store.clone());
    assert_eq!(again.tip(), bench.tip());
}

#[test]
fn disconnected_transactions_wait_again_in_order_but_not_those_of_the_new_branch() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let mut other = Bench::new(&network, miner_for(BOB));
    let shared = ALICE.sends(0).to(CAROL, 5).sign(&network);
    other.submit_all(vec![Ok(shared.clone())]);
    bench.submit_all(vec![Ok(shared)]);
    for nonce in 1..4 {
        bench.submit(ALICE.sends(nonce)).unwrap();
    }
    bench.mine(1);
    // What waits when the block is lost goes on waiting behind.
    bench.submit(ALICE.sends(4)).unwrap();
    bench.news.clear();
    let kept = bench.store.transactions().len();
    for bytes in other.mine(2) {
        bench.import_bytes(&bytes).unwrap();
    }
    let told = news(&mut bench);
    assert_eq!(
        told,
        [
            "beside 1",
            "reorganised above 0, 1 deep",
            "block 1",
            "block 2",
            "pending 1",
            "pending 2",
            "pending 3"
        ]
    );
    assert_eq!(bench.node.mempool_status().executable, 4);
    assert_eq!(bench.store.transactions().len(), kept + 3);
}

#[test]
fn a_double_spend_on_another_branch_drops_the_first_spend() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let mut other = Bench::new(&network, miner_for(Person(60)));
    let first = bench.submit(ALICE.sends(0).to(BOB, RICH / 2)).unwrap();
    bench.mine(1);
    assert_eq!(bench.balance(BOB), RICH + RICH / 2);
    other.submit(ALICE.sends(0).to(CAROL, RICH / 2)).unwrap();
    for bytes in other.mine(2) {
        bench.import_bytes(&bytes).unwrap();
    }
    assert_eq!(bench.balance(BOB), RICH);
    assert_eq!(bench.balance(CAROL), RICH + RICH / 2);
    assert!(bench.node.pending(&first).is_none());
    assert_eq!(bench.dropped().len(), 1);
}

/// A branch by Bob on the tip of `bench`: `right` right blocks, then a wrong one, then more.
fn branch_with_wrong_block(bench: &mut Bench, right: u32, more: u32) -> Vec<CheckedBlock> {
    let mut blocks: Vec<CheckedBlock> = Vec::new();
    for bytes in bench.mine(right) {
        blocks.push(bench.check(&bytes).unwrap());
    }
    let consensus = bench.network.consensus.clone();
    let mut parent = bench.node.chain.parent_of_next().clone();
    for _ in 0..=more {
        let mut header = header_on(&consensus, &parent, BOB, bench.now);
        header.state_root = StateRoot([9; 32]);
        let block = seal_block(&consensus, header, vec![], BOB);
        parent = consensus.parent_of_next(block.header(), block.id(), Some(&parent), |_| {});
        blocks.push(block);
    }
    blocks
}

#[test]
fn an_invalid_block_inside_a_heavier_branch_leaves_everything_as_before() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    for nonce in 0..4 {
        bench.submit(ALICE.sends(nonce).to(nth(50, nonce), 9)).unwrap();
        bench.mine(1);
    }
    let waiting = bench.submit(ALICE.sends(4)).unwrap();
    let (tip, supply) = (bench.tip(), bench.node.supply());
    let proof = bench.node.prove_account(&Person(52).address());
    let blocks = branch_with_wrong_block(&mut Bench::new(&network, miner_for(BOB)), 2, 3);
    let wrong = blocks[2].id();
    for block in &blocks[..4] {
        assert_eq!(bench.import(block.clone()), Ok(Imported::Side));
    }
    bench.news.clear();
    match bench.import(blocks[4].clone()) {
        Err(BlockRefusal::Invalid { block, error: BlockError::StateRoot { .. } }) => assert_eq!(block, wrong),
        other => panic!("{other:?}"),
    }
    assert_eq!(news(&mut bench), Vec::<String>::new());
    assert_eq!((bench.tip(), bench.node.supply()), (tip, supply));
    let again = bench.node.prove_account(&Person(52).address());
    assert_eq!(again.proof, proof.proof);
    assert!(bench.node.pending(&waiting).is_some());
    // The right blocks of the branch stay beside, the wrong one and all above it are refused.
    assert_eq!(bench.node.state_status().side_blocks, 2);
    assert_eq!(bench.import(blocks[2].clone()), Err(BlockRefusal::KnownInvalid));
    assert_eq!(bench.import(blocks[3].clone()), Err(BlockRefusal::KnownInvalid));
    let parent = blocks[4].id();
    assert_eq!(bench.import(blocks[5].clone()), Err(BlockRefusal::InvalidAncestor { parent }));
    // The node goes on, and the store with it.
    bench.mine(2);
    assert_eq!(Bench::over(&network, miner(), bench.store.clone()).tip(), bench.tip());
}

#[test]
fn the_next_best_branch_is_taken_where_the_best_is_invalid() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    bench.mine(1);
    // The right part of the branch is longer than the chain, but all of it comes at once.
    let blocks = branch_with_wrong_block(&mut Bench::new(&network, miner_for(BOB)), 3, 1);
    let tip = blocks[2].id();
    let mut store = bench.store.clone();
    for block in &blocks {
        use cairn_core::store::Store as _;
        store.append(block).unwrap();
    }
    let mut again = Bench::over(&network, miner(), store);
    assert_eq!(again.height(), 1);
    again.handle(crate::Input::Restore(vec![]));
    assert_eq!(again.tip(), tip);
    assert_eq!(again.import(blocks[3].clone()), Err(BlockRefusal::KnownInvalid));
}

#[test]
fn a_branch_whose_fork_the_store_cannot_undo_to_is_refused() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    bench.mine(3);
    let tip = bench.tip();
    bench.store.forget_undo(Height(2));
    let branch = Bench::new(&network, miner_for(BOB)).mine(4);
    for bytes in &branch[..3] {
        assert_eq!(bench.import_bytes(bytes), Ok(Imported::Side));
    }
    assert_eq!(
        bench.import_bytes(&branch[3]),
        Err(BlockRefusal::BelowUndoWindow { found: Height(0), lowest: Height(2) })
    );
    assert_eq!(bench.tip(), tip);
    assert_eq!(bench.node.state_status().side_blocks, 0);
    bench.mine(1);
}

#[test]
fn rewards_follow_the_branch() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner_for(Person(60)));
    bench.mine(4);
    assert_eq!(bench.balance(Person(60)), 100);
    let mut other = Bench::new(&network, miner_for(Person(61)));
    for bytes in other.mine(5) {
        bench.import_bytes(&bytes).unwrap();
    }
    assert_eq!(bench.balance(Person(60)), 0);
    assert_eq!(bench.balance(Person(61)), 150);
    // The rewards of blocks that mature on the branch are those of the branch.
    bench.mine(2);
    assert_eq!(bench.balance(Person(61)), 250);
    bench.mine(1);
    assert_eq!(bench.balance(Person(60)), 50);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nodes_that_see_the_same_blocks_in_any_order_end_at_the_same_tip(
        parents in prop::collection::vec(0usize..100, 1..24),
        order in prop::collection::vec(0usize..1_000, 120),
    ) {
        // A random tree of blocks, each with a transaction or none.
        let network = Network::easy();
        let mut benches: Vec<Bench> = vec![Bench::new(&network, miner())];
        let mut blocks: Vec<std::sync::Arc<[u8]>> = Vec::new();
        for (i, parent) in parents.iter().enumerate() {
            let mut bench = benches[parent % benches.len()].twin();
            bench.now = Timestamp(bench.now.0 + i as u64);
            let nonce = bench.node.account(&ALICE.address()).confirmed.nonce.0;
            if i % 3 == 0 {
                bench.submit(ALICE.sends(nonce).to(nth(30, i as u64), 3)).unwrap();
            }
            blocks.extend(bench.mine(1));
            benches.push(bench);
        }
        // One branch is longest by two, so that every order must end there.
        let mut longest = benches.iter().max_by_key(|bench| bench.height()).unwrap().twin();
        blocks.extend(longest.mine(2));

        let mut late = Bench::new(&network, miner());
        late.now = late.now.saturating_add_ms(1_000_000);
        for place in &order {
            late.import_bytes(&blocks[place % blocks.len()]).unwrap();
        }
        // Unconnected blocks are not kept: what is missing comes again, as a peer would send it.
        for bytes in blocks.iter().chain(&blocks) {
            late.import_bytes(bytes).unwrap();
        }
        prop_assert_eq!(late.tip(), longest.tip());
        prop_assert_eq!(late.node.supply(), longest.node.supply());
        prop_assert_eq!(Bench::over(&network, miner(), late.store.clone()).tip(), longest.tip());
    }
}
