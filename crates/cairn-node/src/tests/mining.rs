//! When blocks are made, and what is in them.

use crate::chain::BlockRefusal;
use crate::config::{MiningMode, NodeConfig};
use crate::memory::Fault;
use crate::messages::{Event, Input, JobId};
use crate::producer::{MINE_BLOCKS_MAX, MineRefusal};
use crate::testing::{Bench, Network, Person, RICH, find_seal, miner, miner_for, miner_in, section};
use cairn_core::numbers::{Timestamp, Weight};
use proptest::prelude::*;

const ALICE: Person = Person(2);
const BOB: Person = Person(3);
const CAROL: Person = Person(4);

fn bench_in(mode: MiningMode, change: impl FnOnce(&mut NodeConfig)) -> Bench {
    let mut config = miner_in(mode);
    change(&mut config);
    let mut bench = Bench::new(&Network::easy(), config);
    bench.handle(Input::Restore(vec![]));
    bench
}

/// The height and the number of transactions of the block that is being sealed.
fn in_job(bench: &Bench) -> (u64, usize) {
    let (height, transactions) = bench.node.mining_status().sealing.expect("a block is being sealed");
    (height.0, transactions)
}

#[test]
fn a_node_without_a_producer_makes_no_blocks() {
    let mut bench = Bench::new(&Network::easy(), NodeConfig::default());
    bench.handle(Input::SetMining(MiningMode::Continuous));
    bench.submit(ALICE.sends(0)).unwrap();
    let request = bench.ask_to_mine(1);
    assert_eq!(bench.mined(request), Some(Err(MineRefusal::NoProducer)));
    assert!(bench.job.is_none());
    assert_eq!(bench.node.next_wakeup(), None);
}

#[test]
fn blocks_asked_for_are_made_one_after_the_other_and_answered_together() {
    let mut bench = Bench::easy();
    let request = bench.ask_to_mine(3);
    assert_eq!(bench.node.mining_status().owed, 3);
    for _ in 0..3 {
        assert!(bench.mined(request).is_none());
        bench.seal();
    }
    let ids = bench.mined(request).unwrap().unwrap();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids.last(), Some(&bench.tip()));
    assert!(bench.job.is_none());
    assert_eq!(bench.node.mining_status().owed, 0);
}

#[test]
fn blocks_asked_for_are_limited() {
    let mut bench = Bench::easy();
    for found in [0, MINE_BLOCKS_MAX + 1] {
        let request = bench.ask_to_mine(found);
        let refusal = MineRefusal::BlockCount { found, limit: MINE_BLOCKS_MAX };
        assert_eq!(bench.mined(request), Some(Err(refusal)));
    }
    for _ in 0..crate::producer::MINE_REQUESTS_MAX {
        let request = bench.ask_to_mine(1);
        assert!(bench.mined(request).is_none());
    }
    let request = bench.ask_to_mine(1);
    assert!(matches!(bench.mined(request), Some(Err(MineRefusal::TooManyRequests { .. }))));
}

#[test]
fn on_transaction_a_block_is_due_as_soon_as_something_waits_and_the_next_takes_the_rest() {
    let mut bench = bench_in(MiningMode::OnTransaction, |_| {});
    assert!(bench.job.is_none());
    bench.submit(ALICE.sends(1)).unwrap();
    assert!(bench.job.is_none(), "nothing can be executed before nonce 0");
    bench.submit(ALICE.sends(0)).unwrap();
    assert_eq!(in_job(&bench), (1, 2));
    let job = bench.job.as_ref().unwrap().job;
    for nonce in 2..5 {
        bench.submit(ALICE.sends(nonce)).unwrap();
    }
    assert_eq!(bench.job.as_ref().unwrap().job, job, "what comes meanwhile waits for the next block");
    bench.seal();
    assert_eq!(bench.height(), 1);
    assert_eq!(in_job(&bench), (2, 3));
    bench.seal();
    assert_eq!(bench.height(), 2);
    assert!(bench.job.is_none());
    assert_eq!(bench.node.next_wakeup(), None);
}

#[test]
fn on_transaction_no_block_is_made_of_what_no_block_can_hold() {
    let mut section = section();
    section.reserve = cairn_core::numbers::Amount::from_units(5_000);
    let network = Network::new(section);
    let mut bench = Bench::new(&network, miner_in(MiningMode::OnTransaction));
    bench.submit(ALICE.sends(0).to(BOB, RICH / 2)).unwrap();
    assert_eq!(in_job(&bench), (1, 1));
    // The balance covers the greatest fees of both, but what is left then is below the reserve.
    bench.submit(ALICE.sends(1).to(BOB, RICH / 2 - 2 * 1_980)).unwrap();
    bench.seal();
    assert!(bench.job.is_none());
    bench.submit(CAROL.sends(0).to(ALICE, 10_000)).unwrap();
    assert_eq!(in_job(&bench), (2, 1));
    bench.seal();
    // Now it can be held.
    assert_eq!(in_job(&bench), (3, 1));
}

#[test]
fn at_intervals_blocks_come_even_if_empty() {
    let mut bench = bench_in(MiningMode::Interval, |config| config.mining.interval_ms = 5_000);
    // The interval since genesis has passed long ago.
    assert_eq!(in_job(&bench), (1, 0));
    bench.seal();
    assert!(bench.job.is_none());
    assert_eq!(bench.node.next_wakeup(), Some(bench.now.saturating_add_ms(5_000)));
    bench.submit(ALICE.sends(0)).unwrap();
    bench.wait_ms(4_999);
    assert!(bench.job.is_none());
    bench.wait_ms(1);
    assert_eq!(in_job(&bench), (2, 1));
    bench.seal();
    bench.wait_ms(5_000);
    assert_eq!(in_job(&bench), (3, 0));
}

#[test]
fn at_intervals_a_tip_that_is_stamped_ahead_of_the_clock_holds_nobody_up() {
    let mut bench = bench_in(MiningMode::Interval, |config| config.mining.interval_ms = 2_000);
    bench.seal();
    for _ in 0..3 {
        // Another producer stamps as far ahead as is allowed.
        let mut other = Bench::new(&bench.network.clone(), miner_for(BOB));
        for bytes in bench.blocks_above(0) {
            other.import_bytes(&bytes).unwrap();
        }
        other.now = bench.now.saturating_add_ms(14_500);
        let ahead = other.mine(1).pop().unwrap();
        bench.import_bytes(&ahead).unwrap();
        let stamped = bench.node.tip().header.time;
        assert!(stamped > bench.now.saturating_add_ms(10_000), "{stamped:?}");
        bench.wait_ms(1_999);
        assert!(bench.job.is_none());
        bench.wait_ms(1);
        // Its own block stands right behind it, and is taken by all.
        let job = bench.job.as_ref().expect("two seconds have passed since the tip came");
        assert_eq!(job.header.time, stamped.saturating_add_ms(1));
        assert!(job.not_before <= bench.now);
        bench.seal();
    }
}

#[test]
fn at_intervals_without_empty_blocks_the_block_waits_for_a_transaction() {
    let mut bench = bench_in(MiningMode::Interval, |config| {
        config.mining.interval_ms = 5_000;
        config.mining.empty_blocks = false;
    });
    bench.wait_ms(60_000);
    assert!(bench.job.is_none());
    assert_eq!(bench.node.next_wakeup(), None);
    bench.submit(ALICE.sends(0)).unwrap();
    assert_eq!(in_job(&bench), (1, 1));
    bench.seal();
    bench.submit(ALICE.sends(1)).unwrap();
    assert!(bench.job.is_none());
    bench.wait_ms(5_000);
    assert_eq!(in_job(&bench), (2, 1));
}

#[test]
fn enough_waiting_transactions_make_a_block_due_before_the_interval() {
    let mut bench = bench_in(MiningMode::Interval, |config| {
        config.mining.interval_ms = 600_000;
        config.mining.min_transactions = Some(3);
        config.mining.empty_blocks = false;
    });
    bench.submit(ALICE.sends(0)).unwrap();
    assert!(bench.job.is_none());
    bench.submit(BOB.sends(0)).unwrap();
    // One that cannot be executed does not count.
    bench.submit(ALICE.sends(2)).unwrap();
    assert!(bench.job.is_none());
    bench.submit(ALICE.sends(1)).unwrap();
    assert_eq!(in_job(&bench), (1, 4));
    bench.seal();
    bench.submit(BOB.sends(1)).unwrap();
    bench.wait_ms(599_999);
    assert!(bench.job.is_none());
    bench.wait_ms(1);
    assert_eq!(in_job(&bench), (2, 1));
}

#[test]
fn a_producer_puts_no_more_into_a_block_than_it_is_told() {
    let mut bench = bench_in(MiningMode::Manual, |config| config.mining.max_transactions = Some(2));
    for nonce in 0..5 {
        bench.submit(ALICE.sends(nonce)).unwrap();
    }
    bench.ask_to_mine(1);
    assert_eq!(in_job(&bench), (1, 2));
}

#[test]
fn continuous_work_is_renewed_at_a_new_tip_and_for_new_transactions_after_a_second() {
    let mut bench = bench_in(MiningMode::Continuous, |_| {});
    assert_eq!(in_job(&bench), (1, 0));
    let first = bench.job.as_ref().unwrap().job;
    bench.submit(ALICE.sends(0)).unwrap();
    assert_eq!(in_job(&bench), (1, 0));
    bench.wait_ms(999);
    assert_eq!(bench.job.as_ref().unwrap().job, first);
    bench.wait_ms(1);
    assert_eq!(in_job(&bench), (1, 1));
    assert_eq!(bench.node.next_wakeup(), None);
    let mut other = Bench::new(&bench.network, miner_for(CAROL));
    bench.import_bytes(&other.mine(1)[0]).unwrap();
    assert_eq!(in_job(&bench), (2, 1));
    bench.seal();
    assert_eq!(in_job(&bench), (3, 0));
    bench.handle(Input::SetMining(MiningMode::Manual));
    assert!(bench.job.is_none());
    assert_eq!(bench.stops, 1);
}

#[test]
fn a_seal_that_comes_too_late_is_ignored() {
    let mut bench = Bench::easy();
    bench.ask_to_mine(1);
    let late = bench.job.take().unwrap();
    let mut other = Bench::new(&bench.network, miner_for(CAROL));
    bench.import_bytes(&other.mine(1)[0]).unwrap();
    let tip = bench.tip();
    let seal = find_seal(&bench.network.consensus, &late.header, Person(1));
    bench.handle(late.sealed(seal));
    assert_eq!(bench.tip(), tip);
    assert_eq!(bench.node.state_status().side_blocks, 0);
    bench.handle(Input::Sealed {
        job: JobId(77),
        extra: None,
        seal: cairn_core::block::Seal::Work { nonce: cairn_core::numbers::WorkNonce(0) },
    });
    assert_eq!(bench.tip(), tip);
    bench.seal();
    assert_eq!(bench.height(), 2);
}

#[test]
fn what_is_sealed_is_not_wanted_when_a_block_from_elsewhere_took_its_transactions() {
    let mut bench = bench_in(MiningMode::OnTransaction, |_| {});
    let transaction = ALICE.sends(0).sign(&bench.network);
    bench.submit_all(vec![Ok(transaction.clone())]);
    assert!(bench.job.is_some());
    let mut other = Bench::new(&bench.network, miner_for(CAROL));
    other.submit_all(vec![Ok(transaction)]);
    bench.import_bytes(&other.mine(1)[0]).unwrap();
    assert!(bench.job.is_none());
    assert_eq!(bench.stops, 1);
}

#[test]
fn extra_data_is_configured_or_drawn_by_the_sealer() {
    let mut bench = bench_in(MiningMode::Manual, |config| {
        config.mining.extra = b"hello".to_vec();
        config.mining.placeholder_bytes = Some(15);
    });
    bench.mine(1);
    assert!(bench.bytes(&bench.tip()).windows(5).any(|bytes| bytes == b"hello"));
    bench.submit(ALICE.sends(0)).unwrap();
    let request = bench.ask_to_mine(1);
    let job = bench.job.take().unwrap();
    assert_eq!(job.placeholder_bytes, Some(15));
    let job = job.with_extra(b"fifteen letters".to_vec());
    let seal = find_seal(&bench.network.consensus, &job.header, Person(1));
    bench.handle(job.sealed(seal));
    let id = bench.mined(request).unwrap().unwrap()[0];
    let bytes = bench.bytes(&id);
    assert!(bytes.windows(15).any(|bytes| bytes == b"fifteen letters"));
    assert!(bench.check(&bytes).is_ok());
    assert_eq!(bench.check(&bytes).unwrap().transactions().len(), 1);
}

#[test]
fn blk_5_extra_data_beyond_the_limit_is_refused_from_the_own_sealer_too() {
    let mut bench = Bench::easy();
    let request = bench.ask_to_mine(2);
    let job = bench.job.take().unwrap().with_extra(vec![0; 1025]);
    let seal = find_seal(&bench.network.consensus, &job.header, Person(1));
    bench.handle(job.sealed(seal));
    assert!(matches!(bench.mined(request), Some(Err(MineRefusal::Refused { .. }))));
    assert!(matches!(bench.news.last(), Some(Event::OwnBlockRefused { .. })));
    assert_eq!(bench.height(), 0);
}

#[test]
fn a_full_disk_ends_what_was_asked_for_and_is_tried_again_later() {
    let mut bench = bench_in(MiningMode::OnTransaction, |_| {});
    bench.submit(ALICE.sends(0)).unwrap();
    let request = bench.ask_to_mine(1);
    bench.store.set_fault(Fault::Full);
    bench.seal();
    let refusal = MineRefusal::Refused { made: vec![], refusal: Box::new(BlockRefusal::DiskFull) };
    assert_eq!(bench.mined(request), Some(Err(refusal)));
    assert!(bench.job.is_none());
    bench.wait_ms(4_000);
    assert!(bench.job.is_none());
    bench.store.set_fault(Fault::None);
    bench.wait_ms(1_000);
    bench.seal();
    assert_eq!(bench.height(), 1);
}

#[test]
fn the_best_paying_come_first_and_each_sender_in_order() {
    let mut bench = Bench::easy();
    bench.submit(ALICE.sends(0).fees(100, 5)).unwrap();
    bench.submit(ALICE.sends(1).fees(100, 50)).unwrap();
    bench.submit(BOB.sends(0).fees(100, 7)).unwrap();
    bench.submit(CAROL.sends(0).fees(100, 7)).unwrap();
    bench.submit(Person(5).sends(0).fees(3, 99)).unwrap();
    bench.mine(1);
    let Some(Event::Block { block, .. }) = bench.news.last() else { panic!() };
    let order: Vec<_> = block.transactions().iter().map(|it| (it.sender(), it.body().nonce.0)).collect();
    let expected = [(BOB, 0), (CAROL, 0), (ALICE, 0), (ALICE, 1), (Person(5), 0)];
    assert_eq!(order, expected.map(|(who, nonce)| (who.address(), nonce)));
}

#[test]
fn what_does_not_fit_is_passed_over_and_waits() {
    let mut section = section();
    section.limits.block_weight = Weight(1_000);
    section.limits.block_transactions = 4;
    let network = Network::new(section);
    let mut bench = Bench::new(&network, miner());
    bench.submit(ALICE.sends(0).fees(10, 9).data(&[0; 500])).unwrap();
    let large = bench.submit(BOB.sends(0).fees(10, 8).data(&[0; 500])).unwrap();
    let behind = bench.submit(BOB.sends(1).fees(10, 8)).unwrap();
    for who in 4..8 {
        bench.submit(Person(who).sends(0).fees(10, 2)).unwrap();
    }
    bench.mine(1);
    // 698 and one of 198 fit under 1,000.
    assert_eq!(bench.node.tip().header.tx_count, 2);
    assert!(bench.node.pending(&large).is_some() && bench.node.pending(&behind).is_some());
    bench.mine(1);
    assert_eq!(bench.node.tip().header.tx_count, 2);
    bench.mine(1);
    assert_eq!(bench.node.tip().header.tx_count, 3);
    assert_eq!(bench.node.mempool_status().transactions, 0);
}

#[test]
fn the_time_of_a_block_is_after_its_parent_even_if_the_clock_is_not() {
    let mut bench = Bench::easy();
    bench.mine(1);
    let parent = bench.node.tip().header.time;
    bench.now = Timestamp(bench.now.0 - 10_000);
    bench.mine(1);
    assert_eq!(bench.node.tip().header.time, parent.saturating_add_ms(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_template_is_always_valid_for_another_node(
        drafts in prop::collection::vec((1u8..6, 0u64..4, 1u8..12, 1..RICH / 2, 0u64..30, 0u64..30, 0usize..400), 0..40),
        reserve in prop_oneof![Just(0u64), 1u64..5_000],
        weight in 200u64..6_000,
        burn: bool,
        moving: bool,
        maturity in 0u32..4,
    ) {
        let mut section = section();
        section.reserve = cairn_core::numbers::Amount::from_units(reserve);
        section.limits.block_weight = Weight(weight);
        section.limits.block_transactions = 9;
        section.fees.burn = burn;
        section.fees.moving = moving;
        section.maturity = maturity;
        let network = Network::new(section);
        let mut bench = Bench::new(&network, miner());
        let mut other = Bench::new(&network, miner_for(CAROL));
        for (i, (from, ahead, to, amount, fee_rate, tip_rate, data)) in drafts.into_iter().enumerate() {
            let next = bench.node.account(&Person(from).address()).confirmed.nonce.0;
            let draft = Person(from).sends(next + ahead).to(Person(to + 5), amount);
            let _ = bench.submit(draft.fees(fee_rate, tip_rate).data(&vec![7; data]));
            if i % 10 == 9 {
                let bytes = bench.mine(1);
                other.now = bench.now;
                prop_assert_eq!(other.import_bytes(&bytes[0]), Ok(crate::chain::Imported::Extended));
            }
        }
        let bytes = bench.mine(3);
        other.now = bench.now;
        for bytes in &bytes {
            prop_assert_eq!(other.import_bytes(bytes), Ok(crate::chain::Imported::Extended));
        }
        prop_assert_eq!(bench.tip(), other.tip());
        prop_assert_eq!(bench.node.supply(), other.node.supply());
    }
}
