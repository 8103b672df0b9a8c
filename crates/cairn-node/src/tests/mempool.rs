//! The rules of the mempool, and what happens to what waits.

use crate::memory::Fault;
use crate::mempool::{DropReason, ENTRY_OVERHEAD_BYTES, MempoolError, SubmitError, Submitted, Waits};
use crate::messages::Event;
use crate::testing::{Bench, Draft, Network, Person, RICH, miner, section};
use cairn_core::hash::TransactionId;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Weight};
use cairn_core::signature::Witness;
use cairn_core::transaction::{Transaction, TransactionError, check};
use proptest::prelude::*;

const ALICE: Person = Person(2);
const BOB: Person = Person(3);
const CAROL: Person = Person(4);
/// What a plain transfer weighs: 178 bytes and an ed25519 signature.
const WEIGHT: u64 = 198;
/// What it counts in the mempool.
const ENTRY: usize = 178 + ENTRY_OVERHEAD_BYTES;

fn units(units: u64) -> Amount {
    Amount::from_units(units)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, SubmitError>) -> MempoolError {
    match answer.unwrap_err() {
        SubmitError::Mempool(error) => error,
        other => panic!("{other:?}"),
    }
}

fn broken<T: std::fmt::Debug>(answer: Result<T, SubmitError>) -> TransactionError {
    match answer.unwrap_err() {
        SubmitError::Transaction(error) => error,
        other => panic!("{other:?}"),
    }
}

fn waits(bench: &Bench, id: &TransactionId) -> Waits {
    bench.node.pending(id).unwrap().waits
}

/// A node whose mempool holds so many plain transfers.
fn bench_with_room_for(entries: usize) -> Bench {
    let mut config = miner();
    config.mempool.bytes_max = entries * ENTRY;
    Bench::new(&Network::easy(), config)
}

#[test]
fn a_transfer_waits_and_is_confirmed() {
    let mut bench = Bench::easy();
    let id = bench.submit(ALICE.sends(0).to(BOB, 500)).unwrap();
    assert_eq!(waits(&bench, &id), Waits::Ready);
    let account = bench.node.account(&ALICE.address());
    assert_eq!(account.confirmed.balance, units(RICH));
    assert_eq!(account.pending_balance, units(RICH - 500 - 10 * WEIGHT));
    assert_eq!(account.pending_nonce, Nonce(1));
    bench.mine(1);
    assert!(bench.node.pending(&id).is_none());
    assert_eq!(bench.balance(BOB), RICH + 500);
    // The base fee of 1 and a tip of 1.
    assert_eq!(bench.balance(ALICE), RICH - 500 - 2 * WEIGHT);
    assert_eq!(bench.node.mempool_status().bytes, 0);
    assert_eq!(bench.dropped(), []);
}

#[test]
fn the_same_transaction_twice_is_known() {
    let mut bench = Bench::easy();
    let transaction = ALICE.sends(0).sign(&bench.network);
    let answers = bench.submit_all(vec![Ok(transaction.clone()), Ok(transaction.clone())]);
    let id = transaction.id();
    assert_eq!(answers, [Ok(Submitted::Pending { id, replaced: vec![] }), Ok(Submitted::Known { id })]);
    assert_eq!(bench.store.transactions().len(), 1);
}

#[test]
fn a_batch_is_answered_in_order_and_kept_in_one_call() {
    let mut bench = Bench::easy();
    let good = |nonce| Ok(ALICE.sends(nonce).sign(&bench.network));
    let batch = vec![good(0), Err(TransactionError::WrongSignature), good(9_999), good(1)];
    let answers = bench.submit_all(batch);
    let is_pending: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(is_pending, [true, false, false, true]);
    assert_eq!(answers[1], Err(SubmitError::Transaction(TransactionError::WrongSignature)));
    assert_eq!(bench.store.transactions().len(), 2);
}

#[test]
fn mem_1_another_witness_for_the_same_id_is_refused() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    // Under ZIP-215 a key of small order signs anything with S = 0 and any R of small order: the
    // plainest way to two witnesses for one id.
    let mut key = [0; 32];
    key[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let signed = |point: [u8; 32]| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&point);
        let witness = Witness::Ed25519 { key, signature };
        check(Transaction { body: ALICE.sends(0).body(), witness }, network.consensus.rules()).unwrap()
    };
    let (first, second) = (signed(key), signed(minus_one));
    bench.submit(ALICE.sends(0).paying(first.sender(), 10_000)).unwrap();
    bench.mine(1);

    let id = first.id();
    assert!(second.id() == id && second.leaf() != first.leaf());
    let answers = bench.submit_all(vec![Ok(first), Ok(second)]);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(SubmitError::Mempool(MempoolError::OtherWitness { id })));
}

#[test]
fn mem_2_a_nonce_more_than_64_above_the_first_free_one_is_refused() {
    let mut bench = Bench::easy();
    bench.submit(ALICE.sends(0)).unwrap();
    assert_eq!(
        refused(bench.submit(ALICE.sends(66))),
        MempoolError::NonceTooFarAhead { found: Nonce(66), next: Nonce(1), limit: 64 }
    );
    let far = bench.submit(ALICE.sends(65)).unwrap();
    assert_eq!(waits(&bench, &far), Waits::NonceGap { missing: Nonce(1) });
    // Somebody who has nothing waiting counts from the account.
    assert!(bench.submit(BOB.sends(64)).is_ok());
    assert!(matches!(refused(bench.submit(CAROL.sends(65))), MempoolError::NonceTooFarAhead { .. }));
}

#[test]
fn a_gap_that_is_filled_makes_the_rest_ready() {
    let mut bench = Bench::easy();
    let ids: Vec<_> = [0, 2, 3].map(|nonce| bench.submit(ALICE.sends(nonce)).unwrap()).to_vec();
    assert_eq!(bench.node.mempool_status().executable, 1);
    assert_eq!(waits(&bench, &ids[2]), Waits::NonceGap { missing: Nonce(1) });
    assert_eq!(bench.node.account(&ALICE.address()).pending_nonce, Nonce(1));
    bench.submit(ALICE.sends(1)).unwrap();
    assert_eq!(bench.node.mempool_status().executable, 4);
    assert_eq!(waits(&bench, &ids[2]), Waits::Ready);
    bench.mine(1);
    assert_eq!(bench.node.mempool_status().transactions, 0);
    assert_eq!(bench.node.account(&ALICE.address()).confirmed.nonce, Nonce(4));
}

#[test]
fn mem_3_a_sender_has_at_most_so_many_waiting() {
    let mut config = miner();
    config.mempool.lane_transactions_max = 3;
    let mut bench = Bench::new(&Network::easy(), config);
    for nonce in 0..3 {
        bench.submit(ALICE.sends(nonce)).unwrap();
    }
    assert_eq!(refused(bench.submit(ALICE.sends(3))), MempoolError::TooManyFromSender { found: 3, limit: 3 });
    // A replacement takes no place.
    assert!(bench.submit(ALICE.sends(1).fees(20, 5)).is_ok());
    assert!(bench.submit(BOB.sends(0)).is_ok());
}

#[test]
fn mem_4_all_that_waits_takes_at_most_the_balance() {
    let mut bench = Bench::easy();
    let most = RICH - 10 * WEIGHT;
    bench.submit(ALICE.sends(0).to(BOB, most - 5_000)).unwrap();
    let needed = units(most - 5_000 + 10 * WEIGHT + 3_021 + 10 * WEIGHT);
    assert_eq!(
        refused(bench.submit(ALICE.sends(1).to(BOB, 3_021))),
        MempoolError::BalancePledged { balance: units(RICH), needed }
    );
    assert!(bench.submit(ALICE.sends(1).to(BOB, 3_020)).is_ok());
    // A gap does not hide what is pledged.
    assert!(matches!(refused(bench.submit(ALICE.sends(40))), MempoolError::BalancePledged { .. }));
}

#[test]
fn mem_5_a_replacement_pays_a_tenth_more_in_rate_tip_and_fee() {
    let mut bench = Bench::easy();
    let first = bench.submit(ALICE.sends(0).fees(100, 20)).unwrap();
    let too_cheap = MempoolError::ReplacementTooCheap {
        fee_rate: FeeRate(110),
        tip_rate: FeeRate(22),
        fee: units(110 * WEIGHT),
    };
    for (fee_rate, tip_rate) in [(109, 22), (110, 21), (0xffff, 0)] {
        assert_eq!(refused(bench.submit(ALICE.sends(0).fees(fee_rate, tip_rate))), too_cheap);
    }
    let second = ALICE.sends(0).fees(110, 22).sign(&bench.network);
    let answers = bench.submit_all(vec![Ok(second.clone())]);
    assert_eq!(answers, [Ok(Submitted::Pending { id: second.id(), replaced: vec![first] })]);
    assert_eq!(bench.dropped(), [(first, DropReason::Replaced { by: second.id() })]);
    assert_eq!(bench.node.mempool_status().transactions, 1);
}

#[test]
fn mem_5_a_replacement_pays_for_later_ones_that_no_longer_fit_the_balance() {
    let mut bench = Bench::easy();
    let half = RICH / 2 - 100_000;
    bench.submit(ALICE.sends(0).to(BOB, half).fees(100, 20)).unwrap();
    let middle = bench.submit(ALICE.sends(1).to(BOB, 1).fees(100, 20)).unwrap();
    let last = bench.submit(ALICE.sends(2).to(BOB, half).fees(100, 20)).unwrap();
    let big = |fee_rate| ALICE.sends(0).to(BOB, 2 * half).fees(fee_rate, 30);
    // 110 would do for the first alone, but the last goes too.
    let fee = units(220 * WEIGHT);
    let needed = MempoolError::ReplacementTooCheap { fee_rate: FeeRate(110), tip_rate: FeeRate(22), fee };
    assert_eq!(refused(bench.submit(big(219))), needed);
    assert!(bench.node.pending(&last).is_some());
    bench.submit(big(220)).unwrap();
    assert!(bench.node.pending(&last).is_none());
    assert!(bench.node.pending(&middle).is_some());
    assert_eq!(bench.node.mempool_status().executable, 2);
}

#[test]
fn mem_4_a_replacement_evicts_nothing_that_comes_before_it() {
    let mut bench = Bench::easy();
    bench.submit(ALICE.sends(0).to(BOB, RICH / 2)).unwrap();
    bench.submit(ALICE.sends(1)).unwrap();
    let replacement = ALICE.sends(1).to(BOB, RICH / 2).fees(50, 20);
    assert!(matches!(refused(bench.submit(replacement)), MempoolError::BalancePledged { .. }));
    assert_eq!(bench.node.mempool_status().transactions, 2);
}

#[test]
fn mem_6_a_transaction_that_expires_soon_is_refused() {
    let mut bench = Bench::easy();
    bench.mine(1);
    assert_eq!(
        refused(bench.submit(ALICE.sends(0).until(3))),
        MempoolError::ExpiresSoon { valid_until: Height(3), needed: Height(4) }
    );
    assert_eq!(
        broken(bench.submit(ALICE.sends(0).until(1))),
        TransactionError::Expired { valid_until: Height(1), height: Height(2) }
    );
    assert!(bench.submit(ALICE.sends(0).until(4)).is_ok());
}

#[test]
fn what_expires_is_dropped_and_what_came_after_it_waits() {
    let mut bench = Bench::easy();
    let expiring = bench.submit(ALICE.sends(1).until(3)).unwrap();
    let later = bench.submit(ALICE.sends(2)).unwrap();
    bench.mine(2);
    assert!(bench.node.pending(&expiring).is_some());
    bench.mine(1);
    assert_eq!(bench.dropped(), [(expiring, DropReason::Expired { valid_until: Height(3) })]);
    assert_eq!(waits(&bench, &later), Waits::NonceGap { missing: Nonce(0) });
}

#[test]
fn what_is_too_far_above_a_gap_that_opens_is_dropped() {
    let mut bench = Bench::easy();
    bench.submit(ALICE.sends(0).fees(10, 5)).unwrap();
    let expiring = bench.submit(ALICE.sends(1).until(3).fees(10, 5)).unwrap();
    let rest: Vec<_> = (2..100).map(|nonce| bench.submit(ALICE.sends(nonce)).unwrap()).collect();
    // Blocks by somebody who knows none of this.
    let mut other = Bench::easy();
    for bytes in other.mine(3) {
        bench.import_bytes(&bytes).unwrap();
    }
    assert!(bench.node.pending(&expiring).is_none());
    // Nonce 1 is missing, so 65 is the last that stays.
    assert!(bench.node.pending(&rest[63]).is_some());
    assert!(bench.node.pending(&rest[64]).is_none());
    let reason = DropReason::BeyondGap { missing: Nonce(1) };
    assert_eq!(bench.dropped().iter().filter(|(_, found)| *found == reason).count(), 34);
}

#[test]
fn mem_7_a_full_mempool_takes_only_what_pays_more() {
    let mut bench = bench_with_room_for(3);
    bench.submit(ALICE.sends(0).fees(10, 5)).unwrap();
    let lowest = bench.submit(BOB.sends(0).fees(10, 3)).unwrap();
    bench.submit(CAROL.sends(0).fees(10, 4)).unwrap();
    for tip_rate in [2, 3] {
        assert_eq!(
            refused(bench.submit(Person(5).sends(0).fees(10, tip_rate))),
            MempoolError::Full { found: FeeRate(tip_rate), lowest: FeeRate(3) }
        );
    }
    assert!(bench.submit(Person(5).sends(0).fees(10, 4)).is_ok());
    assert_eq!(bench.dropped(), [(lowest, DropReason::Displaced)]);
    assert_eq!(bench.node.mempool_status().bytes, 3 * ENTRY);
    // The tip that counts is what the greatest fee rate leaves above the base fee.
    assert!(matches!(refused(bench.submit(Person(6).sends(0).fees(2, 100))), MempoolError::Full { .. }));
}

#[test]
fn mem_7_a_lane_gives_way_from_its_end_and_displaces_nothing_beyond_its_own_lowest() {
    let mut bench = bench_with_room_for(3);
    let head = bench.submit(ALICE.sends(0).fees(10, 2)).unwrap();
    let end = bench.submit(ALICE.sends(1).fees(99, 50)).unwrap();
    bench.submit(BOB.sends(0).fees(10, 5)).unwrap();
    // Alice's next would wait behind her lowest, so it is worth no more than that.
    assert!(matches!(refused(bench.submit(ALICE.sends(2).fees(99, 60))), MempoolError::Full { .. }));
    bench.submit(CAROL.sends(0).fees(10, 4)).unwrap();
    assert_eq!(bench.dropped(), [(end, DropReason::Displaced)]);
    assert_eq!(waits(&bench, &head), Waits::Ready);
    assert_eq!(bench.node.mempool_status().executable, 3);
}

#[test]
fn mem_7_nothing_is_displaced_for_a_large_transaction_that_is_refused_in_the_end() {
    let mut bench = bench_with_room_for(3);
    bench.submit(ALICE.sends(0).fees(10, 2)).unwrap();
    bench.submit(BOB.sends(0).fees(10, 7)).unwrap();
    bench.submit(CAROL.sends(0).fees(10, 7)).unwrap();
    let large = Person(5).sends(0).fees(10, 5).data(&[0; 1024]);
    assert!(matches!(refused(bench.submit(large)), MempoolError::Full { lowest: FeeRate(7), .. }));
    assert_eq!(bench.node.mempool_status().transactions, 3);
}

#[test]
fn mem_8_what_waits_for_a_gap_displaces_nothing_that_can_be_executed() {
    let mut bench = bench_with_room_for(2);
    bench.submit(ALICE.sends(0).fees(10, 1)).unwrap();
    let beyond = bench.submit(BOB.sends(5).fees(10, 5)).unwrap();
    assert_eq!(
        refused(bench.submit(CAROL.sends(3).fees(99, 4))),
        MempoolError::Full { found: FeeRate(4), lowest: FeeRate(5) }
    );
    let better = bench.submit(CAROL.sends(3).fees(99, 6)).unwrap();
    assert_eq!(bench.dropped(), [(beyond, DropReason::Displaced)]);
    // What can be executed displaces what cannot, whatever that pays.
    bench.submit(BOB.sends(0).fees(10, 0)).unwrap();
    assert!(bench.node.pending(&better).is_none());
    assert_eq!(
        refused(bench.submit(CAROL.sends(3).fees(99, 90))),
        MempoolError::FullBeyondGap { missing: Nonce(0) }
    );
}

#[test]
fn mem_9_a_transaction_heavier_than_a_block_is_refused() {
    let mut section = section();
    section.limits.block_weight = Weight(300);
    let mut bench = Bench::new(&Network::new(section), miner());
    assert_eq!(
        refused(bench.submit(ALICE.sends(0).data(&[0; 103]))),
        MempoolError::TooHeavy { found: Weight(301), limit: Weight(300) }
    );
    assert!(bench.submit(ALICE.sends(0).data(&[0; 102])).is_ok());
}

#[test]
fn tx_3_a_mined_transaction_is_not_taken_again() {
    let mut bench = Bench::easy();
    let transaction = ALICE.sends(0).sign(&bench.network);
    bench.submit_all(vec![Ok(transaction.clone())]);
    bench.mine(1);
    let answer = bench.submit_all(vec![Ok(transaction)]).pop().unwrap();
    assert_eq!(broken(answer), TransactionError::WrongNonce { expected: Nonce(1), found: Nonce(0) });
}

#[test]
fn tx_11_a_fee_rate_below_the_floor_is_refused() {
    let mut section = section();
    section.fees.floor = FeeRate(5);
    let mut bench = Bench::new(&Network::new(section), miner());
    assert_eq!(
        broken(bench.submit(ALICE.sends(0).fees(4, 0))),
        TransactionError::FeeTooLow { found: FeeRate(4), base_fee: FeeRate(5) }
    );
    assert!(bench.submit(ALICE.sends(0).fees(5, 0)).is_ok());
}

#[test]
fn tx_12_a_transaction_that_takes_more_than_the_balance_is_refused() {
    let mut bench = Bench::easy();
    let (balance, needed) = (units(RICH), units(RICH + 10 * WEIGHT));
    assert_eq!(
        broken(bench.submit(ALICE.sends(0).to(BOB, RICH))),
        TransactionError::InsufficientBalance { balance, needed }
    );
    let nobody = Person(77);
    assert!(matches!(broken(bench.submit(nobody.sends(0))), TransactionError::InsufficientBalance { .. }));
}

#[test]
fn a_transaction_below_a_raised_base_fee_waits_and_says_so() {
    let mut section = section();
    section.fees = cairn_core::network::FeePolicy { floor: FeeRate(100), moving: true, burn: true };
    section.limits.block_weight = Weight(400);
    let mut bench = Bench::new(&Network::new(section), miner());
    for nonce in 0..2 {
        bench.submit(ALICE.sends(nonce).fees(500, 1)).unwrap();
    }
    // The first block is almost full, so the base fee rises.
    bench.mine(1);
    assert_eq!(bench.node.tip().next_base_fee, FeeRate(112));
    let cheap = bench.submit(BOB.sends(0).fees(100, 0)).unwrap();
    let behind = bench.submit(BOB.sends(1).fees(900, 100)).unwrap();
    assert_eq!(waits(&bench, &cheap), Waits::BaseFee { found: FeeRate(100), base_fee: FeeRate(112) });
    assert_eq!(waits(&bench, &behind), Waits::Earlier { nonce: Nonce(0) });
    // Empty blocks bring it down again.
    bench.mine(1);
    assert_eq!(waits(&bench, &cheap), Waits::Ready);
    bench.mine(1);
    assert_eq!(bench.node.mempool_status().transactions, 0);
}

#[test]
fn tx_13_a_transaction_that_leaves_dust_is_refused() {
    let mut section = section();
    section.reserve = units(1_000);
    let mut bench = Bench::new(&Network::new(section), miner());
    let rule = TransactionError::BelowReserve { found: units(999), reserve: units(1_000) };
    assert_eq!(bench.submit(ALICE.sends(0).to(Person(50), 999)), Err(rule.into()));
    assert_eq!(bench.node.mempool_status().transactions, 0);
    bench.submit(ALICE.sends(0).to(Person(50), 1_000)).unwrap();
    bench.mine(1);
    bench.submit(ALICE.sends(1).to(Person(50), 1)).unwrap();
}

#[test]
fn tx_13_a_transaction_below_the_reserve_after_earlier_ones_waits_and_says_so() {
    let mut section = section();
    section.reserve = units(5_000);
    let mut bench = Bench::new(&Network::new(section), miner());
    bench.submit(ALICE.sends(0).to(BOB, RICH / 2)).unwrap();
    // Both greatest fees are covered, but what they leave is below the reserve.
    let stuck = bench.submit(ALICE.sends(1).to(BOB, RICH / 2 - 2 * 1_980)).unwrap();
    bench.mine(1);
    assert!(matches!(waits(&bench, &stuck), Waits::Rule(TransactionError::BelowReserve { .. })));
    bench.submit(CAROL.sends(0).to(ALICE, 10_000)).unwrap();
    bench.mine(1);
    bench.mine(1);
    assert!(bench.node.pending(&stuck).is_none());
}

#[test]
fn a_conflicting_block_makes_the_rest_wait_for_balance_until_it_comes_back() {
    let mut bench = Bench::easy();
    let waiting: Vec<_> =
        (0..3).map(|nonce| bench.submit(ALICE.sends(nonce).to(BOB, RICH / 4)).unwrap()).collect();
    // Elsewhere Alice spends nearly all of it.
    let mut other = Bench::easy();
    other.submit(ALICE.sends(0).to(CAROL, RICH - 50_000)).unwrap();
    bench.import_bytes(&other.mine(1)[0]).unwrap();
    assert_eq!(bench.dropped(), [(waiting[0], DropReason::NonceUsed { next: Nonce(1) })]);
    assert!(matches!(waits(&bench, &waiting[1]), Waits::Balance { .. }));
    assert_eq!(waits(&bench, &waiting[2]), Waits::Earlier { nonce: Nonce(1) });
    assert_eq!(bench.node.mempool_status().executable, 0);
    // What cannot be executed gives way first.
    bench.submit(CAROL.sends(0).to(ALICE, RICH)).unwrap();
    bench.mine(1);
    assert_eq!(bench.node.mempool_status().executable, 2);
    bench.mine(1);
    assert_eq!(bench.node.mempool_status().transactions, 0);
}

#[test]
fn a_full_disk_takes_no_transaction_and_gives_back_what_was_replaced() {
    let mut bench = bench_with_room_for(3);
    let kept = bench.submit(ALICE.sends(0).fees(10, 2)).unwrap();
    let displaced = bench.submit(BOB.sends(0).fees(10, 1)).unwrap();
    bench.submit(CAROL.sends(0).fees(10, 9)).unwrap();
    let before = bench.node.mempool_status();
    bench.store.set_fault(Fault::Full);
    let batch = [ALICE.sends(0).fees(20, 5), Person(5).sends(0).fees(20, 7), ALICE.sends(1).fees(20, 7)];
    let batch = batch.map(|draft: Draft| Ok(draft.sign(&bench.network))).to_vec();
    let news = bench.news.len();
    let answers = bench.submit_all(batch);
    assert_eq!(answers[0], Err(SubmitError::DiskFull));
    assert_eq!(answers[1], Err(SubmitError::DiskFull));
    assert!(answers[2].is_err());
    assert_eq!(bench.node.mempool_status(), before);
    assert_eq!(bench.news.len(), news);
    assert!(bench.node.pending(&kept).is_some() && bench.node.pending(&displaced).is_some());
    bench.store.set_fault(Fault::None);
    assert!(bench.submit(ALICE.sends(0).fees(20, 5)).is_ok());
}

#[test]
fn pages_go_from_the_newest_to_the_oldest() {
    let mut bench = Bench::easy();
    let ids: Vec<_> = (0..5).map(|nonce| bench.submit(ALICE.sends(nonce)).unwrap()).collect();
    let page = bench.node.pending_page(None, 2);
    assert_eq!(page.iter().map(|it| it.transaction.id()).collect::<Vec<_>>(), [ids[4], ids[3]]);
    let page = bench.node.pending_page(Some(page[1].cursor), 10);
    assert_eq!(page.iter().map(|it| it.transaction.id()).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
    let lane = bench.node.pending_of(&ALICE.address(), None, 3);
    assert_eq!(lane.iter().map(|it| it.transaction.id()).collect::<Vec<_>>(), [ids[4], ids[3], ids[2]]);
    let lane = bench.node.pending_of(&ALICE.address(), Some(lane[2].cursor), 10);
    assert_eq!(lane.iter().map(|it| it.transaction.id()).collect::<Vec<_>>(), [ids[1], ids[0]]);
}

#[test]
fn twenty_thousand_transfers_of_sixty_four_senders_fit() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    // One signature for all: what is measured is room, not signatures.
    let fund: Vec<_> = (0..64u8)
        .map(|i| Ok(ALICE.sends(u64::from(i)).to(Person(100 + i), 1_000_000).sign(&network)))
        .collect();
    assert!(bench.submit_all(fund).iter().all(Result::is_ok));
    bench.mine(1);
    for sender in (0..64u8).map(|i| Person(100 + i)) {
        let lane: Vec<_> = (0..313).map(|nonce| Ok(sender.sends(nonce).fees(2, 1).sign(&network))).collect();
        assert!(bench.submit_all(lane).iter().all(Result::is_ok));
    }
    assert_eq!(bench.node.mempool_status().executable, 64 * 313);
    bench.mine(4);
    assert_eq!(bench.node.mempool_status().transactions, 64 * 313 - 4 * 5_000);
}

/// Something that happens to a mempool.
#[derive(Clone, Debug)]
enum Step {
    Submit { from: u8, nonce: u64, amount: u64, fee_rate: u64, tip_rate: u64, valid_blocks: u64 },
    Mine,
    MineElsewhere,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let submit = (2u8..5, 0u64..8, 1..RICH / 3, 1u64..40, 0u64..20, 0u64..8).prop_map(
        |(from, nonce, amount, fee_rate, tip_rate, valid_blocks)| Step::Submit {
            from,
            nonce,
            amount,
            fee_rate,
            tip_rate,
            valid_blocks,
        },
    );
    let step = prop_oneof![12 => submit, 1 => Just(Step::Mine), 1 => Just(Step::MineElsewhere)];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_the_indexes_agree_the_bounds_hold_and_a_block_can_be_made(steps in steps()) {
        let mut bench = bench_with_room_for(8);
        for step in steps {
            match step {
                Step::Submit { from, nonce, amount, fee_rate, tip_rate, valid_blocks } => {
                    let until = if valid_blocks == 0 { 0 } else { bench.height() + valid_blocks };
                    let next = bench.node.account(&Person(from).address()).confirmed.nonce.0;
                    let draft = Person(from).sends(next + nonce).to(Person(from + 1), amount);
                    let _ = bench.submit(draft.fees(fee_rate, tip_rate).until(until));
                }
                Step::Mine => { bench.mine(1); }
                Step::MineElsewhere => {
                    let bytes = bench.twin().mine(1);
                    bench.now = bench.now.saturating_add_ms(2_000);
                    prop_assert!(bench.import_bytes(&bytes[0]).is_ok());
                }
            }
            bench.node.mempool.check_indexes(&crate::node::view_of(&bench.node.chain));
            prop_assert!(bench.node.mempool_status().bytes <= 8 * ENTRY);
        }
        // Everything that is said to be executable is executed.
        let executable = bench.node.mempool_status().executable;
        bench.mine(1);
        let confirmed = bench.news.iter().rev().find_map(|event| match event {
            Event::Block { block, .. } => Some(block.transactions().len()),
            _ => None,
        });
        prop_assert_eq!(confirmed, Some(executable));
    }
}
