//! Importing blocks: what extends, what stays beside, what waits, what is refused.

use crate::chain::{BlockRefusal, HELD_AHEAD_MS_MAX, HELD_BLOCKS_MAX, Imported};
use crate::memory::Fault;
use crate::messages::{Event, Input};
use crate::testing::{Bench, Network, Person, RICH, miner, miner_for, section};
use cairn_core::account::StateValue;
use cairn_core::block::BlockError;
use cairn_core::consensus::HeaderError;
use cairn_core::hash::StateRoot;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::store::StoreError;
use cairn_core::target::CompactTarget;

const ALICE: Person = Person(2);
const BOB: Person = Person(3);

#[test]
fn blocks_extend_the_chain_and_pay_the_reward_when_it_is_mature() {
    let mut bench = Bench::new(&Network::easy(), miner_for(Person(60)));
    bench.submit(ALICE.sends(0).to(BOB, 5).fees(4, 3)).unwrap();
    bench.mine(1);
    // The tip is paid at once, the reward of 50 after two more blocks; the base fee is burned.
    assert_eq!(bench.balance(Person(60)), 3 * 198);
    assert_eq!(bench.node.supply().units(), 9 * RICH - 198);
    bench.mine(1);
    assert_eq!(bench.balance(Person(60)), 3 * 198);
    bench.mine(1);
    assert_eq!(bench.balance(Person(60)), 3 * 198 + 50);
    assert_eq!(bench.node.supply().units(), 9 * RICH - 198 + 50);
    assert_eq!(bench.node.tip().header.height, Height(3));
}

#[test]
fn an_account_is_proven_under_the_root_of_the_tip() {
    let mut bench = Bench::easy();
    bench.submit(ALICE.sends(0).to(BOB, 5)).unwrap();
    bench.mine(1);
    bench.submit(ALICE.sends(1).to(BOB, 5)).unwrap();
    // Putting a block together leaves no trace.
    bench.ask_to_mine(1);
    let proof = bench.node.prove_account(&BOB.address());
    assert_eq!(proof.account.balance.units(), RICH + 5);
    assert_eq!(proof.block, bench.tip());
    let value = proof.proof.verify(proof.header.state_root, &BOB.address().path()).unwrap();
    assert_eq!(value, Some(StateValue::Account(proof.account)));
}

#[test]
fn a_block_that_is_known_is_known() {
    let mut bench = Bench::easy();
    let mut other = Bench::new(&bench.network, miner_for(BOB));
    let bytes = other.mine(1);
    assert_eq!(bench.import_bytes(&bytes[0]), Ok(Imported::Extended));
    assert_eq!(bench.import_bytes(&bytes[0]), Ok(Imported::Known));
    let beside = bench.twin().mine(1);
    assert_eq!(beside.len(), 1);
    bench.mine(1);
    assert_eq!(bench.import_bytes(&beside[0]), Ok(Imported::Side));
    assert_eq!(bench.import_bytes(&beside[0]), Ok(Imported::Known));
}

#[test]
fn a_block_without_its_parent_is_unconnected_and_not_kept() {
    let mut bench = Bench::easy();
    let mut other = Bench::new(&bench.network, miner_for(BOB));
    let bytes = other.mine(3);
    let third = other.check(&bytes[2]).unwrap();
    let parent = third.header().parent;
    assert_eq!(bench.import(third), Ok(Imported::Unconnected { parent }));
    for bytes in &bytes {
        assert_eq!(bench.import_bytes(bytes), Ok(Imported::Extended));
    }
    assert_eq!(bench.tip(), other.tip());
    assert_eq!(bench.store.log().count(), 3);
}

#[test]
fn branches_beside_the_chain_are_listed() {
    let mut bench = Bench::easy();
    bench.mine(2);
    let mut twin = bench.twin();
    twin.now = Timestamp(twin.now.0 + 500);
    let beside = twin.mine(2);
    bench.mine(3);
    for bytes in &beside {
        assert_eq!(bench.import_bytes(bytes), Ok(Imported::Side));
    }
    let branches = bench.node.branches();
    assert_eq!(branches.len(), 1);
    assert_eq!((branches[0].fork, branches[0].height, branches[0].blocks), (Height(2), Height(4), 2));
    assert_eq!(branches[0].tip, twin.tip());
    assert_eq!(branches[0].work, twin.node.tip().work);
    assert_eq!(bench.node.is_on_chain(&twin.tip()), Some(false));
    assert!(matches!(bench.news.last(), Some(Event::SideBlock { height: Height(4), .. })));
}

#[test]
fn a_block_from_the_future_is_held_and_judged_when_its_time_has_come() {
    let mut bench = Bench::easy();
    // An interval of 10 s allows 20 s.
    let now = bench.now;
    bench.now = now.saturating_add_ms(25_000);
    let early = bench.forge(BOB, vec![], |_| {});
    bench.now = now;
    let until = now.saturating_add_ms(5_000);
    assert_eq!(bench.import(early.clone()), Ok(Imported::Held { until }));
    assert_eq!(bench.import(early), Ok(Imported::Held { until }));
    assert_eq!(bench.node.state_status().held_blocks, 1);
    assert_eq!(bench.node.next_wakeup(), Some(until));
    bench.wait_ms(4_999);
    assert_eq!(bench.height(), 0);
    bench.wait_ms(1);
    assert_eq!(bench.height(), 1);
    assert_eq!(bench.node.next_wakeup(), None);
}

#[test]
fn an_invalid_block_from_the_future_is_refused_when_its_time_has_come() {
    let mut bench = Bench::easy();
    let now = bench.now;
    bench.now = now.saturating_add_ms(25_000);
    let wrong = bench.forge(BOB, vec![], |header| header.state_root = StateRoot([1; 32]));
    bench.now = now;
    assert!(matches!(bench.import(wrong.clone()), Ok(Imported::Held { .. })));
    bench.wait_ms(10_000);
    assert_eq!(bench.height(), 0);
    assert_eq!(bench.import(wrong), Err(BlockRefusal::KnownInvalid));
}

#[test]
fn held_blocks_are_bounded_in_number_and_time() {
    let mut bench = Bench::easy();
    let now = bench.now;
    let far = 20_000 + HELD_AHEAD_MS_MAX;
    bench.now = now.saturating_add_ms(far + 1);
    let too_far = bench.forge(BOB, vec![], |_| {});
    let blocks: Vec<_> = (0..=HELD_BLOCKS_MAX)
        .map(|i| {
            bench.now = now.saturating_add_ms(far - u64::try_from(i).unwrap());
            bench.forge(BOB, vec![], |_| {})
        })
        .collect();
    bench.now = now;
    let time = too_far.header().time;
    assert_eq!(bench.import(too_far), Err(BlockRefusal::TooFarAhead { time, now }));
    for block in blocks {
        assert!(matches!(bench.import(block), Ok(Imported::Held { .. })));
    }
    assert_eq!(bench.node.state_status().held_blocks, HELD_BLOCKS_MAX);
}

#[test]
fn blk_8_a_wrong_state_root_is_refused_and_changes_nothing() {
    let mut bench = Bench::easy();
    bench.mine(1);
    let (tip, supply) = (bench.tip(), bench.node.supply());
    let transaction = ALICE.sends(0).to(BOB, 7).sign(&bench.network);
    let wrong = bench.forge(BOB, vec![transaction], |header| header.state_root = StateRoot([7; 32]));
    let id = wrong.id();
    match bench.import(wrong.clone()) {
        Err(BlockRefusal::Invalid { block, error: BlockError::StateRoot { found, .. } }) => {
            assert_eq!((block, found), (id, StateRoot([7; 32])));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((bench.tip(), bench.node.supply()), (tip, supply));
    assert_eq!(bench.balance(BOB), RICH);
    assert_eq!(bench.import(wrong), Err(BlockRefusal::KnownInvalid));
    assert_eq!(bench.store.log().count(), 1);
    bench.mine(1);
}

#[test]
fn what_stands_on_an_invalid_block_is_refused() {
    let mut bench = Bench::easy();
    let wrong = bench.forge(BOB, vec![], |header| header.state_root = StateRoot([7; 32]));
    let parent = wrong.id();
    assert!(matches!(bench.import(wrong), Err(BlockRefusal::Invalid { .. })));
    let child = bench.forge(BOB, vec![], |header| {
        header.parent = parent;
        header.height = Height(2);
    });
    let grandchild_parent = child.id();
    assert_eq!(bench.import(child), Err(BlockRefusal::InvalidAncestor { parent }));
    let grandchild = bench.forge(BOB, vec![], |header| {
        header.parent = grandchild_parent;
        header.height = Height(3);
    });
    assert_eq!(bench.import(grandchild), Err(BlockRefusal::InvalidAncestor { parent: grandchild_parent }));
}

#[test]
fn hdr_2_a_block_above_the_tip_with_an_older_parent_is_refused() {
    let mut bench = Bench::easy();
    bench.mine(2);
    let wrong = bench.forge(BOB, vec![], |header| header.height = Height(7));
    let error = BlockError::Header(HeaderError::Height { found: Height(7), expected: Height(3) });
    let block = wrong.id();
    assert_eq!(bench.import(wrong), Err(BlockRefusal::Invalid { block, error }));
    let genesis = bench.network.id;
    let wrong = bench.forge(BOB, vec![], |header| header.parent = genesis);
    let error = BlockError::Header(HeaderError::Height { found: Height(3), expected: Height(1) });
    let block = wrong.id();
    assert_eq!(bench.import(wrong), Err(BlockRefusal::Invalid { block, error }));
}

#[test]
fn a_full_disk_takes_no_block_and_changes_nothing() {
    let mut bench = Bench::easy();
    bench.mine(1);
    let (mut other, tip) = (bench.twin(), bench.tip());
    let bytes = other.mine(2);
    bench.store.set_fault(Fault::Full);
    assert_eq!(bench.import_bytes(&bytes[0]), Err(BlockRefusal::DiskFull));
    assert_eq!(bench.tip(), tip);
    let beside = Bench::new(&bench.network, miner_for(BOB)).mine(1);
    assert_eq!(bench.import_bytes(&beside[0]), Err(BlockRefusal::DiskFull));
    assert_eq!(bench.node.state_status().side_blocks, 0);
    assert_eq!(bench.node.prove_account(&BOB.address()).block, tip);
    bench.store.set_fault(Fault::None);
    for bytes in &bytes {
        assert_eq!(bench.import_bytes(bytes), Ok(Imported::Extended));
    }
}

#[test]
fn a_broken_store_is_an_error_and_no_judgement() {
    let mut bench = Bench::easy();
    let bytes = bench.twin().mine(1);
    let block = bench.check(&bytes[0]).unwrap();
    bench.store.set_fault(Fault::Broken);
    let now = bench.now;
    let outcome = bench.node.handle(now, Input::Block { request: None, block }, &mut bench.store);
    assert!(matches!(outcome, Err(StoreError::Failed(_))));
}

#[test]
fn blocks_below_the_undo_window_are_refused_unless_they_are_on_the_chain() {
    let network = Network::easy();
    let mut config = miner();
    config.undo_window = 3;
    let mut bench = Bench::new(&network, config);
    let mut other = Bench::new(&network, miner_for(BOB));
    let elsewhere = other.mine(1);
    let own = bench.mine(6);
    assert_eq!(bench.import_bytes(&own[1]), Ok(Imported::Known));
    assert_eq!(
        bench.import_bytes(&elsewhere[0]),
        Err(BlockRefusal::BelowUndoWindow { found: Height(1), lowest: Height(3) })
    );
    assert_eq!(bench.node.header_at(Height(1), &bench.store).unwrap().unwrap().1.height, Height(1));
    assert_eq!(bench.node.header_at(Height(6), &bench.store).unwrap().unwrap().0, bench.tip());
    assert_eq!(bench.node.header_at(Height(7), &bench.store).unwrap(), None);
}

#[test]
fn a_branch_is_forgotten_when_its_fork_leaves_the_undo_window() {
    let network = Network::easy();
    let mut config = miner();
    config.undo_window = 3;
    let mut bench = Bench::new(&network, config);
    let beside = Bench::new(&network, miner_for(BOB)).mine(2);
    bench.mine(3);
    for bytes in &beside {
        assert_eq!(bench.import_bytes(bytes), Ok(Imported::Side));
    }
    assert_eq!(bench.node.state_status().side_blocks, 2);
    bench.mine(1);
    assert_eq!(bench.node.state_status().side_blocks, 0);
    assert_eq!(bench.node.branches(), []);
}

#[test]
fn cheap_blocks_beside_the_chain_take_no_more_of_the_disk_than_is_left_for_them() {
    let mut section = section();
    section.half_life_ms = 10_000;
    section.first_target = CompactTarget(0x1f7f_ffff);
    let network = Network::new(section);
    let mut bench = Bench::new(&network, miner());
    let mut other = Bench::new(&network, miner_for(BOB));
    // The chain has become dear, and blocks on block 0 are as easy as ever.
    for bytes in bench.mine(8) {
        other.import_bytes(&bytes).unwrap();
    }
    let logged = |bench: &Bench| bench.store.log().map(|bytes| bytes.len()).sum::<usize>();
    let before = logged(&bench);
    bench.node.chain.allowance.set_left(1_500);
    let (mut kept, mut refused) = (0, 0);
    let mut cheap = (30..50).map(|number| Bench::new(&network, miner_for(Person(number))).mine(1).remove(0));
    for bytes in cheap.by_ref().take(12) {
        match bench.import_bytes(&bytes) {
            Ok(Imported::Side) => kept += 1,
            Err(BlockRefusal::TooCheap { found, left }) => {
                assert!(found > left);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused");
    assert!(logged(&bench) - before <= 1_500);
    // A rival of the tip cost as much as the tip did.
    let (tip, now) = (bench.tip(), bench.now);
    let mut rival = Bench::new(&network, miner_for(BOB));
    for bytes in bench.store.log().take(7) {
        rival.import_bytes(bytes).unwrap();
    }
    rival.now = Timestamp(now.0 - 1_000);
    assert_eq!(bench.import_bytes(&rival.mine(1)[0]), Ok(Imported::Side));
    assert_eq!(bench.tip(), tip);
    // As the chain grows there is room again, and a better branch needs none.
    bench.mine(3);
    assert_eq!(bench.import_bytes(&cheap.next().unwrap()), Ok(Imported::Side));
    bench.node.chain.allowance.set_left(0);
    other.now = now;
    let branch = other.mine(5);
    let verdicts: Vec<Imported> = branch.iter().map(|bytes| bench.import_bytes(bytes).unwrap()).collect();
    assert!(verdicts.iter().any(|verdict| matches!(verdict, Imported::Reorganised { .. })), "{verdicts:?}");
}
