//! Every numbered rule about transactions, headers, seals and blocks: what breaks it is refused.

#![allow(clippy::unwrap_used, reason = "a builder that fails fails its test")]

mod common;

use cairn_core::block::{self, BlockError, Body, Certificate, Header, Seal, SealedBlock, UnsealedBlock};
use cairn_core::codec::{DecodeError, Encode as _};
use cairn_core::consensus::{Consensus, HeaderError};
use cairn_core::hash::{BlockId, CertificateHash, ExtraHash, HistoryRoot, MerkleRoot, StateRoot};
use cairn_core::network::{ConsensusSection, FeePolicy, Limits, Mode};
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Timestamp, Weight, WorkNonce};
use cairn_core::rules::{
    BlockContext, MaturedReward, Payment, apply_transaction, execute, issued, matured_height,
};
use cairn_core::signature::{Scheme, Witness};
use cairn_core::state::State;
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{Transaction, TransactionBody, TransactionError, Transfer, check, check_each};
use common::*;

const CONTEXT: BlockContext = BlockContext { height: Height(1), base_fee: FeeRate(1), reserve: Amount::ZERO };
/// The weight of one transfer without data.
const ONE: u64 = 198;

fn check_body(body: TransactionBody) -> Result<(), TransactionError> {
    check(sign(body, ALICE), &rules()).map(|_| ())
}

fn apply(state: &mut State, body: TransactionBody, context: &BlockContext) -> Result<(), TransactionError> {
    apply_transaction(state, &checked(body, ALICE), context, |_| ()).map(|_| ())
}

/// Applies to the usual state, and shows that a refusal changes nothing.
fn apply_to_state(body: TransactionBody, context: &BlockContext) -> Result<(), TransactionError> {
    let mut state = state();
    let before = state.root();
    let outcome = apply(&mut state, body, context);
    assert!(outcome.is_ok() || state.root() == before, "a refusal changes nothing");
    outcome
}

#[test]
fn a_transfer_moves_the_amount_and_pays_the_fee() {
    let mut state = state();
    apply(&mut state, body(), &CONTEXT).unwrap();
    assert_eq!(balance(&state, ALICE), 10_000 - 5 - ONE);
    assert_eq!(balance(&state, BOB), 5);
    assert_eq!(checked(body(), ALICE).weight(), Weight(ONE));
    assert_eq!(checked(body(), ALICE).byte_count(), 178);
}

#[test]
fn tx_1_an_unknown_version_is_refused() {
    let refused = check_body(TransactionBody { version: 2, ..body() });
    assert_eq!(refused, Err(TransactionError::UnknownVersion { found: 2, expected: 1 }));
}

#[test]
fn tx_2_more_bytes_than_genesis_allows_are_refused() {
    let limits = Limits { transaction_bytes: 200, ..section().limits };
    let rules = rules_of(ConsensusSection { limits, ..section() });
    let refused = check(sign(TransactionBody { data: vec![0; 23], ..body() }, ALICE), &rules);
    assert_eq!(refused.err(), Some(TransactionError::TooManyBytes { found: 201, limit: 200 }));
    assert!(check(sign(TransactionBody { data: vec![0; 22], ..body() }, ALICE), &rules).is_ok());
}

#[test]
fn tx_3_a_gap_in_nonces_and_a_replay_are_refused() {
    let refused = apply_to_state(TransactionBody { nonce: Nonce(1), ..body() }, &CONTEXT);
    assert_eq!(refused, Err(TransactionError::WrongNonce { expected: Nonce(0), found: Nonce(1) }));
    let mut state = state();
    apply(&mut state, body(), &CONTEXT).unwrap();
    let replay = apply(&mut state, body(), &CONTEXT);
    assert_eq!(replay, Err(TransactionError::WrongNonce { expected: Nonce(1), found: Nonce(0) }));
}

#[test]
fn tx_4_no_transfer_and_too_many_are_refused() {
    let none = check_body(TransactionBody { transfers: Vec::new(), ..body() });
    assert_eq!(none, Err(TransactionError::TransferCount { found: 0, limit: 256 }));
    let limits = Limits { transfers: 2, ..section().limits };
    let rules = rules_of(ConsensusSection { limits, ..section() });
    let three =
        check(sign(TransactionBody { transfers: vec![transfer(BOB, 1); 3], ..body() }, ALICE), &rules);
    assert_eq!(three.err(), Some(TransactionError::TransferCount { found: 3, limit: 2 }));
}

#[test]
fn tx_5_a_transfer_of_nothing_is_refused() {
    let transfers = vec![transfer(BOB, 1), transfer(BOB, 0)];
    let refused = check_body(TransactionBody { transfers, ..body() });
    assert_eq!(refused, Err(TransactionError::ZeroAmount { position: 1 }));
}

#[test]
fn tx_6_amounts_and_fees_that_overflow_are_refused() {
    let transfers = vec![transfer(BOB, u64::MAX), transfer(CAROL, 1)];
    assert_eq!(check_body(TransactionBody { transfers, ..body() }), Err(TransactionError::AmountOverflow));
    let transfers = vec![transfer(BOB, u64::MAX - ONE + 1)];
    assert_eq!(check_body(TransactionBody { transfers, ..body() }), Err(TransactionError::AmountOverflow));
    let max_fee_rate = FeeRate(u64::MAX / 2);
    assert_eq!(check_body(TransactionBody { max_fee_rate, ..body() }), Err(TransactionError::AmountOverflow));
    assert_eq!(
        check_body(TransactionBody { transfers: vec![transfer(BOB, u64::MAX - ONE)], ..body() }),
        Ok(())
    );
}

#[test]
fn tx_7_more_data_than_genesis_allows_is_refused() {
    assert_eq!(check_body(TransactionBody { data: vec![1; 1024], ..body() }), Ok(()));
    let refused = check_body(TransactionBody { data: vec![1; 1025], ..body() });
    assert_eq!(refused, Err(TransactionError::TooMuchData { found: 1025, limit: 1024 }));
}

#[test]
fn tx_8_a_reserved_scheme_is_refused_by_name() {
    let witness = Witness::Secp256k1 { key: [2; 33], signature: [0; 64] };
    let mut all = section();
    all.schemes = Scheme::ALL.to_vec();
    for rules in [rules(), rules_of(all)] {
        let refused = check(Transaction { body: body(), witness: witness.clone() }, &rules);
        let error = refused.unwrap_err();
        assert_eq!(error, TransactionError::SchemeNotEnabled { found: Scheme::Secp256k1 });
        assert!(error.to_string().contains("secp256k1"));
    }
}

#[test]
fn tx_9_a_wrong_signature_key_network_or_digit_is_refused() {
    let wrong = Err(TransactionError::WrongSignature);
    let good = sign(body(), ALICE);
    let Witness::Ed25519 { key, signature } = good.witness.clone() else {
        unreachable!("signed with ed25519")
    };
    for bit in 0..512 {
        let mut signature = signature;
        signature[bit / 8] ^= 1 << (bit % 8);
        let forged = Transaction { witness: Witness::Ed25519 { key, signature }, ..good.clone() };
        assert_eq!(check(forged, &rules()).map(|_| ()), wrong, "bit {bit}");
    }
    // Another sender, a changed last digit of the amount, another recipient, other data.
    let other_key = Transaction { witness: Witness::Ed25519 { key: BOB.key(), signature }, ..good.clone() };
    let changed = |body: TransactionBody| Transaction { body, ..good.clone() };
    for forged in [
        other_key,
        changed(TransactionBody { transfers: vec![transfer(BOB, 50)], ..body() }),
        changed(TransactionBody { transfers: vec![transfer(BOB, 6)], ..body() }),
        changed(TransactionBody { transfers: vec![transfer(CAROL, 5)], ..body() }),
        changed(TransactionBody { data: vec![0], ..body() }),
        changed(TransactionBody { nonce: Nonce(1), ..body() }),
    ] {
        assert_eq!(check(forged, &rules()).map(|_| ()), wrong);
    }
    let other_network = cairn_core::network::Rules::new(section(), BlockId([43; 32]));
    assert_eq!(check(good, &other_network).map(|_| ()), wrong);
}

#[test]
fn tx_9_one_wrong_signature_in_a_batch_is_found_and_the_others_stand() {
    let mut many: Vec<Transaction> =
        (0..20).map(|nonce| sign(TransactionBody { nonce: Nonce(nonce), ..body() }, ALICE)).collect();
    many[13].body.data = vec![9];
    let verdicts = check_each(many, &rules(), SEED);
    for (place, verdict) in verdicts.iter().enumerate() {
        assert_eq!(verdict.is_ok(), place != 13);
    }
}

#[test]
fn tx_9_one_of_a_foreign_scheme_in_a_batch_is_refused_and_the_others_stand() {
    let mut many: Vec<Transaction> =
        (0..20).map(|nonce| sign(TransactionBody { nonce: Nonce(nonce), ..body() }, ALICE)).collect();
    many[4].witness = Witness::Secp256k1 { key: [2; 33], signature: [0; 64] };
    many[11].witness = Witness::RsaPss { key: vec![1; 270], signature: vec![2; 256] };
    let alone: Vec<_> = many.iter().map(|transaction| check(transaction.clone(), &rules())).collect();
    for place in [4, 11] {
        let found = many[place].witness.scheme();
        assert_eq!(alone[place].as_ref().err(), Some(&TransactionError::SchemeNotEnabled { found }));
    }
    assert_eq!(alone.iter().filter(|verdict| verdict.is_ok()).count(), 18);
    // Names, senders and places are those that each has by itself.
    assert_eq!(check_each(many, &rules(), SEED), alone);
}

#[test]
fn tx_10_an_expired_transaction_is_refused() {
    let until = |height| TransactionBody { valid_until: Height(height), ..body() };
    let at = |height| BlockContext { height: Height(height), ..CONTEXT };
    assert_eq!(apply_to_state(until(7), &at(7)), Ok(()));
    let refused = apply_to_state(until(7), &at(8));
    assert_eq!(refused, Err(TransactionError::Expired { valid_until: Height(7), height: Height(8) }));
}

#[test]
fn tx_11_a_fee_rate_below_the_base_fee_is_refused() {
    let dear = BlockContext { base_fee: FeeRate(2), ..CONTEXT };
    let refused = apply_to_state(body(), &dear);
    assert_eq!(refused, Err(TransactionError::FeeTooLow { found: FeeRate(1), base_fee: FeeRate(2) }));
}

#[test]
fn tx_12_spending_more_than_there_is_is_refused() {
    let most = 10_000 - ONE;
    let pay = |units| TransactionBody { transfers: vec![transfer(BOB, units)], ..body() };
    assert_eq!(apply_to_state(pay(most), &CONTEXT), Ok(()));
    let refused = apply_to_state(pay(most + 1), &CONTEXT);
    let (balance, needed) = (Amount::from_units(10_000), Amount::from_units(10_001));
    assert_eq!(refused, Err(TransactionError::InsufficientBalance { balance, needed }));
    // What comes back to the sender does not count beforehand.
    let to_self = TransactionBody { transfers: vec![transfer(ALICE, most + 1)], ..body() };
    assert!(matches!(apply_to_state(to_self, &CONTEXT), Err(TransactionError::InsufficientBalance { .. })));
    // An account that does not exist has nothing.
    let mut nobody = State::new();
    assert!(matches!(
        apply(&mut nobody, body(), &CONTEXT),
        Err(TransactionError::InsufficientBalance { .. })
    ));
}

#[test]
fn tx_13_nobody_who_is_touched_ends_below_the_reserve() {
    let reserved = BlockContext { reserve: Amount::from_units(100), ..CONTEXT };
    let pay = |transfers: Vec<Transfer>| TransactionBody { transfers, ..body() };
    let below = |found| {
        Err(TransactionError::BelowReserve {
            found: Amount::from_units(found),
            reserve: Amount::from_units(100),
        })
    };
    assert_eq!(apply_to_state(pay(vec![transfer(BOB, 99)]), &reserved), below(99));
    assert_eq!(apply_to_state(pay(vec![transfer(BOB, 100)]), &reserved), Ok(()));
    assert_eq!(apply_to_state(pay(vec![transfer(BOB, 60), transfer(BOB, 40)]), &reserved), Ok(()));
    assert_eq!(apply_to_state(pay(vec![transfer(BOB, 10_000 - ONE - 99)]), &reserved), below(99));
    assert_eq!(apply_to_state(pay(vec![transfer(ALICE, 10_000 - ONE)]), &reserved), Ok(()));
}

#[test]
fn tx_14_the_last_nonce_is_never_used() {
    let refused = check_body(TransactionBody { nonce: Nonce(u64::MAX), ..body() });
    assert_eq!(refused, Err(TransactionError::NonceExhausted));
}

#[test]
fn a_transaction_to_oneself_costs_the_fee_only() {
    let mut state = state();
    apply(&mut state, TransactionBody { transfers: vec![transfer(ALICE, 77)], ..body() }, &CONTEXT).unwrap();
    assert_eq!(balance(&state, ALICE), 10_000 - ONE);
}

#[test]
fn the_tip_is_what_the_greatest_rate_leaves_above_the_base_fee() {
    let tips = |max, tip| {
        checked(TransactionBody { max_fee_rate: FeeRate(max), tip_rate: FeeRate(tip), ..body() }, ALICE)
    };
    assert_eq!(tips(10, 3).tip_rate(FeeRate(5)), Some(FeeRate(3)));
    assert_eq!(tips(10, 3).tip_rate(FeeRate(9)), Some(FeeRate(1)));
    assert_eq!(tips(10, 3).tip_rate(FeeRate(11)), None);
}

/// Executes one transfer with tip in a block by the miner.
fn execute_one(burn: bool, matured: Option<MaturedReward>) -> (State, cairn_core::rules::Executed) {
    let fees = FeePolicy { burn, ..section().fees };
    let rules = rules_of(ConsensusSection { fees, ..section() });
    let mut state = state();
    let pays = checked(TransactionBody { max_fee_rate: FeeRate(5), tip_rate: FeeRate(2), ..body() }, ALICE);
    let payment = Payment { producer: MINER.address(), matured };
    let executed = execute(&mut state, &[pays], &CONTEXT, &payment, &rules).unwrap();
    (state, executed)
}

#[test]
fn fees_go_to_the_producer_or_their_base_part_is_burned() {
    let (state, executed) = execute_one(false, None);
    assert_eq!((balance(&state, MINER), state.total().units()), (3 * ONE, 10_000));
    assert_eq!(executed.totals.burned, Amount::ZERO);
    let (state, executed) = execute_one(true, None);
    assert_eq!((balance(&state, MINER), state.total().units()), (2 * ONE, 10_000 - ONE));
    assert_eq!(executed.totals.burned.units(), ONE);
}

#[test]
fn a_reward_is_credited_when_it_matures() {
    let matured = MaturedReward { producer: CAROL.address(), amount: Amount::from_units(50) };
    let (state, executed) = execute_one(false, Some(matured));
    assert_eq!((balance(&state, CAROL), state.total().units()), (50, 10_050));
    assert_eq!(executed.totals.reward.units(), 50);
    assert_eq!(matured_height(&rules(), Height(2)), None);
    assert_eq!(matured_height(&rules(), Height(3)), Some(Height(1)));
    assert_eq!(issued(&rules(), Amount::from_units(9), Height(5)), Some(Amount::from_units(9 + 3 * 50)));
}

/// Checks the bytes of a block whose header was changed after the body was put in.
fn check_changed(change: impl FnOnce(&mut Header, &mut Body)) -> BlockError {
    let (mut header, mut body) = block_parts(vec![checked(body(), ALICE)]);
    change(&mut header, &mut body);
    block::check(mine_unchecked(header, body), &consensus(), SEED).unwrap_err()
}

fn header_error(error: BlockError) -> HeaderError {
    match error {
        BlockError::Header(error) => error,
        other => panic!("not about the header: {other}"),
    }
}

/// Checks a header that was changed against its parent.
fn follow(change: impl FnOnce(&mut Header)) -> Result<(), HeaderError> {
    let consensus = consensus();
    let parent = genesis_parent(&consensus);
    let mut header = header_on(&parent);
    change(&mut header);
    consensus.check_header(&header, &parent)
}

#[test]
fn a_block_in_order_passes() {
    let (header, body) = block_parts(vec![checked(body(), ALICE)]);
    let bytes = mine_unchecked(header, body);
    let block = block::check(bytes.clone(), &consensus(), SEED).unwrap();
    assert_eq!(block.bytes(), &bytes);
    assert_eq!(block.transactions().len(), 1);
    assert_eq!(follow(|_| ()), Ok(()));
    let trusted = block::trust(bytes, &consensus()).unwrap();
    assert_eq!(trusted.transactions(), block.transactions());
}

#[test]
fn hdr_1_an_unknown_version_is_refused() {
    let error = header_error(check_changed(|header, _| header.version = 2));
    assert_eq!(error, HeaderError::UnknownVersion { found: 2, expected: 1 });
}

#[test]
fn hdr_2_a_wrong_height_is_refused() {
    let refused = follow(|header| header.height = Height(2));
    assert_eq!(refused, Err(HeaderError::Height { found: Height(2), expected: Height(1) }));
}

#[test]
fn hdr_3_a_block_not_later_than_its_parent_is_refused() {
    let parent = Timestamp(1_000_000);
    for found in [Timestamp(1_000_000), Timestamp(999_999), Timestamp(0)] {
        assert_eq!(
            follow(|header| header.time = found),
            Err(HeaderError::TimeNotAfterParent { found, parent })
        );
    }
    assert_eq!(follow(|header| header.time = Timestamp(1_000_001)), Ok(()));
}

#[test]
fn hdr_4_an_easier_target_is_refused() {
    let refused = follow(|header| header.target = CompactTarget(0x2100_ffff));
    assert_eq!(refused, Err(HeaderError::Target { found: CompactTarget(0x2100_ffff), expected: EASY }));
}

#[test]
fn hdr_5_another_base_fee_is_refused() {
    let refused = follow(|header| header.base_fee = FeeRate(0));
    assert_eq!(refused, Err(HeaderError::BaseFee { found: FeeRate(0), expected: FeeRate(1) }));
}

#[test]
fn hdr_6_another_history_is_refused() {
    let refused = follow(|header| header.history_root = HistoryRoot([1; 32]));
    assert!(matches!(refused, Err(HeaderError::HistoryRoot { .. })));
}

#[test]
fn hdr_7_a_block_that_is_too_heavy_is_refused() {
    let error = header_error(check_changed(|header, _| header.weight_used = Weight((1 << 20) + 1)));
    assert_eq!(error, HeaderError::TooHeavy { found: Weight((1 << 20) + 1), limit: Weight(1 << 20) });
}

#[test]
fn hdr_8_too_many_transactions_are_refused() {
    let error = header_error(check_changed(|header, _| header.tx_count = 5001));
    assert_eq!(error, HeaderError::TooManyTransactions { found: 5001, limit: 5000 });
}

#[test]
fn hdr_9_a_certificate_is_refused_where_the_mode_has_none() {
    let certificate = Certificate {
        height: 0,
        round: 0,
        id: BlockId([1; 32]),
        signers: vec![1],
        signatures: vec![[0; 64]],
    };
    let hash = certificate.hash();
    let error = header_error(check_changed(|header, body| {
        header.prev_seal = hash;
        body.certificate = Some(certificate);
    }));
    assert_eq!(error, HeaderError::UnexpectedCertificate { found: hash });
}

fn permit(miners: &[Person], turns: bool) -> Consensus {
    let mode = Mode::PowPermit { miners: miners.iter().map(|miner| miner.key()).collect(), turns };
    Consensus::new(rules_of(ConsensusSection { mode, ..section() })).unwrap()
}

fn sealed_by(producer: Person, consensus: &Consensus) -> UnsealedBlock {
    let header = Header { producer: producer.address(), ..header_on(&genesis_parent(consensus)) };
    UnsealedBlock::new(header, Vec::new(), Vec::new())
}

#[test]
fn sea_1_a_seal_of_another_mode_is_refused() {
    let work = mine(sealed_by(MINER, &consensus()), &consensus());
    let refused = block::check(work.bytes().clone(), &permit(&[MINER], false), SEED).unwrap_err();
    assert_eq!(refused, BlockError::Header(HeaderError::SealKind { mode: "pow+permit" }));
    assert!(!refused.condemns_id(), "the seal's kind is not part of the id");
    let permitted = mine(sealed_by(MINER, &permit(&[MINER], false)), &permit(&[MINER], false));
    let refused = block::check(permitted.bytes().clone(), &consensus(), SEED).unwrap_err();
    assert_eq!(refused, BlockError::Header(HeaderError::SealKind { mode: "pow" }));
}

#[test]
fn sea_2_a_target_out_of_form_is_refused() {
    for target in [0, 0x2080_ffff, 0x2200_ffff, 0x2000_00ff, 0x0112_3456] {
        let error = header_error(check_changed(|header, _| header.target = CompactTarget(target)));
        assert!(matches!(error, HeaderError::TargetForm(_)), "{target:08x}");
    }
}

#[test]
fn sea_3_a_block_without_work_is_refused() {
    let (header, body) = block_parts(Vec::new());
    let header = Header { target: CompactTarget(0x1d00_ffff), ..header };
    let block = SealedBlock { header, body, seal: Seal::Work { nonce: WorkNonce(1) } };
    let refused = block::check(block.to_bytes().into(), &consensus(), SEED);
    assert!(matches!(refused, Err(BlockError::Header(HeaderError::TooLittleWork { .. }))));
}

#[test]
fn sea_4_a_miner_who_is_not_listed_is_refused() {
    let listed = permit(&[ALICE], false);
    let block = mine(sealed_by(MINER, &permit(&[MINER], false)), &permit(&[MINER], false));
    let refused = block::check(block.bytes().clone(), &listed, SEED).unwrap_err();
    let producer = MINER.address();
    assert_eq!(refused, BlockError::Header(HeaderError::ProducerNotListed { producer }));
    assert!(listed.may_produce(&ALICE.address()) && !listed.may_produce(&producer));
}

#[test]
fn sea_5_a_seal_signed_by_another_key_is_refused() {
    // The header names Alice, who is listed, but the miner signs.
    let both = permit(&[ALICE, MINER], false);
    let template = sealed_by(ALICE, &both);
    let seal_hash = template.header().seal_hash();
    let target = EASY.expand().unwrap();
    let nonce =
        (0..).map(WorkNonce).find(|nonce| target.is_met_by(&block::block_id(&seal_hash, *nonce))).unwrap();
    let message =
        cairn_core::consensus::seal_message(both.rules().identity(), &block::block_id(&seal_hash, nonce));
    let stolen = Seal::Permit { nonce, signature: MINER.sign(&message) };
    let refused = block::CheckedBlock::seal(template.clone(), stolen, &both);
    assert_eq!(refused.err(), Some(HeaderError::WrongSealSignature));
    let own = Seal::Permit { nonce, signature: ALICE.sign(&message) };
    assert!(block::CheckedBlock::seal(template, own, &both).is_ok());
}

#[test]
fn sea_6_a_miner_out_of_turn_waits_two_intervals() {
    let turns = permit(&[ALICE, MINER], true);
    let parent = genesis_parent(&turns);
    // Height 1 is the turn of the second in the list.
    let by = |producer: Person, after: u64| {
        let time = Timestamp(parent.time.0 + after);
        turns.check_header(&Header { producer: producer.address(), time, ..header_on(&parent) }, &parent)
    };
    assert_eq!(by(MINER, 1), Ok(()));
    let (found, earliest) = (Timestamp(1_019_999), Timestamp(1_020_000));
    assert_eq!(by(ALICE, 19_999), Err(HeaderError::OutOfTurn { found, earliest }));
    assert_eq!(by(ALICE, 20_000), Ok(()));
    let out_of_turn = Header { producer: ALICE.address(), ..header_on(&parent) };
    assert_eq!(turns.future_allowance_ms(&out_of_turn), 0);
    assert_eq!(turns.future_allowance_ms(&header_on(&parent)), 20_000);
}

#[test]
fn modes_of_later_releases_are_refused_by_name() {
    let validators = vec![ALICE.key()];
    let finality =
        Mode::PowFinality { validators: validators.clone(), checkpoint_interval: 10, checkpoint_depth: 3 };
    for (mode, name) in [(Mode::Bft { validators }, "bft"), (finality, "pow+finality")] {
        let refused = Consensus::new(rules_of(ConsensusSection { mode, ..section() })).unwrap_err();
        assert!(refused.to_string().contains(name));
    }
}

#[test]
fn blk_1_bytes_that_are_no_block_are_refused() {
    let (header, body) = block_parts(vec![checked(body(), ALICE)]);
    let good = mine_unchecked(header, body);
    for length in 0..good.len() {
        let refused = block::check(good[..length].into(), &consensus(), SEED);
        assert!(matches!(refused, Err(BlockError::Form(DecodeError::Truncated { .. }))), "{length} bytes");
    }
    let longer = [&good, &[0u8][..]].concat();
    let refused = block::check(longer.into(), &consensus(), SEED);
    assert!(matches!(refused, Err(BlockError::Form(DecodeError::Trailing { extra: 1, .. }))));
    let huge = vec![0; block::BLOCK_BYTES_MAX + 1];
    let refused = block::check(huge.into(), &consensus(), SEED);
    assert!(matches!(refused, Err(BlockError::Form(DecodeError::TooLong { .. }))));
}

#[test]
fn blk_2_a_wrong_count_is_refused() {
    let error = check_changed(|header, _| header.tx_count = 2);
    assert_eq!(error, BlockError::TransactionCount { found: 2, expected: 1 });
    assert!(!error.condemns_id());
}

#[test]
fn blk_3_a_body_of_other_transactions_is_refused_and_does_not_bar_the_good_one() {
    let error = check_changed(|_, body| {
        body.transactions[0] = sign(TransactionBody { data: vec![1], ..common::body() }, ALICE)
    });
    assert!(matches!(error, BlockError::TransactionRoot { .. }));
    assert!(!error.condemns_id());
    // A garbage signature is a matter of the body too: the leaf holds the witness.
    let error = check_changed(|_, body| {
        body.transactions[0].witness = Witness::Ed25519 { key: ALICE.key(), signature: [0; 64] };
    });
    assert!(matches!(error, BlockError::TransactionRoot { .. }));
    let error = check_changed(|header, _| header.tx_root = MerkleRoot([1; 32]));
    assert!(matches!(error, BlockError::TransactionRoot { .. }));
}

#[test]
fn blk_4_other_extra_data_is_refused() {
    let error = check_changed(|_, body| body.extra = vec![1]);
    assert!(matches!(error, BlockError::ExtraHash { .. }));
    assert!(!error.condemns_id());
    assert!(matches!(
        check_changed(|header, _| header.extra_hash = ExtraHash([1; 32])),
        BlockError::ExtraHash { .. }
    ));
}

#[test]
fn blk_5_too_much_extra_data_is_refused() {
    let error = check_changed(|header, body| {
        body.extra = vec![1; 1025];
        header.extra_hash = block::extra_hash(&body.extra);
    });
    assert_eq!(error, BlockError::TooMuchExtra { found: 1025, limit: 1024 });
    assert!(error.condemns_id());
}

#[test]
fn blk_6_a_certificate_that_the_header_does_not_commit_is_refused() {
    let certificate = Certificate {
        height: 0,
        round: 0,
        id: BlockId([1; 32]),
        signers: vec![1],
        signatures: vec![[0; 64]],
    };
    let expected = certificate.hash();
    let error = check_changed(|_, body| body.certificate = Some(certificate));
    assert_eq!(error, BlockError::CertificateHash { found: CertificateHash::ZERO, expected });
    assert!(!error.condemns_id());
}

#[test]
fn blk_7_a_wrong_weight_is_refused() {
    let error = check_changed(|header, _| header.weight_used = Weight(ONE - 1));
    assert_eq!(error, BlockError::WeightUsed { found: Weight(ONE - 1), expected: Weight(ONE) });
    assert!(error.condemns_id());
}

#[test]
fn a_bad_transaction_under_a_good_root_condemns_the_block() {
    let forged =
        Transaction { witness: Witness::Ed25519 { key: ALICE.key(), signature: [0; 64] }, body: body() };
    let identified = cairn_core::transaction::IdentifiedTransaction::new(forged.clone(), rules().identity());
    let error = check_changed(|header, body| {
        body.transactions = vec![forged];
        header.tx_root = cairn_core::merkle::root(&[identified.leaf()]);
    });
    let source = TransactionError::WrongSignature;
    assert_eq!(error, BlockError::Transaction { position: 0, source });
    assert!(error.condemns_id());
}

#[test]
fn blk_8_the_state_root_is_what_the_transactions_lead_to() {
    // Whoever imports compares: a block that mints coins for its producer has another root.
    let rules = rules();
    let payment = Payment { producer: MINER.address(), matured: None };
    let mut honest = state();
    let pays = [checked(body(), ALICE)];
    let expected = execute(&mut honest, &pays, &CONTEXT, &payment, &rules).unwrap().state_root;
    let mut minting = state();
    give(&mut minting, MINER, 1_000_000);
    let found = minting.root();
    assert_ne!(found, expected);
    let error = BlockError::StateRoot { found, expected };
    assert!(error.condemns_id() && error.to_string().contains(&expected.to_string()));
    assert_ne!(expected, StateRoot::ZERO);
}

#[test]
fn blk_9_the_supply_grows_by_the_reward_and_shrinks_by_what_is_burned() {
    for burn in [false, true] {
        let matured = MaturedReward { producer: CAROL.address(), amount: Amount::from_units(50) };
        let (state, executed) = execute_one(burn, Some(matured));
        let totals = executed.totals;
        assert_eq!(state.total().units(), 10_000 + totals.reward.units() - totals.burned.units());
    }
}

#[test]
fn a_double_spend_in_one_block_is_refused() {
    let all = TransactionBody { transfers: vec![transfer(BOB, 9_000)], ..body() };
    let again = TransactionBody { nonce: Nonce(1), transfers: vec![transfer(CAROL, 9_000)], ..body() };
    let same_nonce = TransactionBody { transfers: vec![transfer(CAROL, 9_000)], ..body() };
    let payment = Payment { producer: MINER.address(), matured: None };
    for second in [again, same_nonce, all.clone()] {
        let mut state = state();
        let before = state.root();
        let pays = [checked(all.clone(), ALICE), checked(second, ALICE)];
        let refused = execute(&mut state, &pays, &CONTEXT, &payment, &rules());
        assert!(matches!(refused, Err(BlockError::Transaction { position: 1, .. })));
        state.roll_back();
        assert_eq!(state.root(), before);
    }
}

#[test]
fn the_base_fee_moves_as_eip_1559_says_and_stays_above_its_floor() {
    let fees = FeePolicy { floor: FeeRate(8), moving: true, burn: true };
    let rules = rules_of(ConsensusSection { fees, ..section() });
    let full = Weight(1 << 20);
    let half = Weight(1 << 19);
    assert_eq!(rules.next_base_fee(FeeRate(800), full), FeeRate(900));
    assert_eq!(rules.next_base_fee(FeeRate(800), half), FeeRate(800));
    assert_eq!(rules.next_base_fee(FeeRate(800), Weight(0)), FeeRate(700));
    assert_eq!(rules.next_base_fee(FeeRate(8), Weight(0)), FeeRate(8));
    assert_eq!(rules.next_base_fee(FeeRate(8), Weight((1 << 19) + 1)), FeeRate(9));
    assert_eq!(rules.next_base_fee(FeeRate(u64::MAX), full), FeeRate(u64::MAX));
}

#[test]
fn many_transactions_are_named_as_each_alone() {
    let mut many: Vec<Transaction> = (0..40u8)
        .map(|n| {
            let transfers = vec![transfer(BOB, 5); usize::from(n % 3) + 1];
            sign(TransactionBody { data: vec![n; usize::from(n % 5)], transfers, ..body() }, ALICE)
        })
        .collect();
    let identity = *rules().identity();
    let name = cairn_core::transaction::IdentifiedTransaction::new;
    let name_all = cairn_core::transaction::IdentifiedTransaction::new_all;
    let alone = |many: &[Transaction]| many.iter().map(|it| name(it.clone(), &identity)).collect::<Vec<_>>();
    assert_eq!(name_all(many.clone(), &identity), alone(&many));
    many[7].witness = Witness::Secp256k1 { key: [2; 33], signature: [0; 64] };
    assert_eq!(name_all(many.clone(), &identity), alone(&many));
    assert_eq!(name_all(Vec::new(), &identity), Vec::new());
}
