//! What was possible elsewhere, and is not here.

use crate::chain::{BlockRefusal, Imported};
use crate::testing::{Bench, Network, Person, RICH, find_seal, miner, miner_for, section};
use cairn_core::block::{BlockError, Body, Seal, SealedBlock};
use cairn_core::block::{CheckedBlock, UnsealedBlock};
use cairn_core::codec::{Encode as _, decode_exact};
use cairn_core::consensus::HeaderError;
use cairn_core::network::Mode;
use cairn_core::numbers::{Amount, Nonce, Timestamp, WorkNonce};
use cairn_core::target::CompactTarget;
use cairn_core::transaction::{Transaction, TransactionError, check};

const ALICE: Person = Person(2);
const BOB: Person = Person(3);
const CAROL: Person = Person(4);

fn broken_at(verdict: Result<Imported, BlockRefusal>) -> (usize, TransactionError) {
    match verdict {
        Err(BlockRefusal::Invalid { error: BlockError::Transaction { position, source }, .. }) => {
            (position, source)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_amount_is_never_negative() {
    // The bytes of −1 read as the largest amount, which nobody has.
    let network = Network::easy();
    let draft = ALICE.sends(0).to(BOB, u64::MAX).fees(0, 0);
    let transaction: Transaction = decode_exact(&draft.signed(&network.id).to_bytes()).unwrap();
    let checked = check(transaction, network.consensus.rules()).unwrap();
    let mut bench = Bench::new(&network, miner());
    let block = bench.forge(CAROL, vec![checked], |_| {});
    // TX-11 comes first with a fee rate of 0, so the fee is right in the second try.
    assert!(matches!(broken_at(bench.import(block)), (0, TransactionError::FeeTooLow { .. })));
    let overflow = ALICE.sends(0).to(BOB, u64::MAX).fees(1, 0).signed(&network.id);
    assert_eq!(check(overflow, network.consensus.rules()), Err(TransactionError::AmountOverflow));
    let most = u64::MAX - 1_000;
    let checked = ALICE.sends(0).to(BOB, most).fees(1, 0).sign(&network);
    let block = bench.forge(CAROL, vec![checked], |_| {});
    assert!(matches!(broken_at(bench.import(block)), (0, TransactionError::InsufficientBalance { .. })));
    assert_eq!(bench.balance(BOB), RICH);
}

#[test]
fn tx_3_a_mined_transaction_is_not_mined_again() {
    let mut bench = Bench::easy();
    let transaction = ALICE.sends(0).to(BOB, 10).sign(&bench.network);
    bench.submit_all(vec![Ok(transaction.clone())]);
    bench.mine(1);
    let again = bench.forge(CAROL, vec![transaction], |_| {});
    assert_eq!(
        broken_at(bench.import(again)),
        (0, TransactionError::WrongNonce { expected: Nonce(1), found: Nonce(0) })
    );
    assert_eq!(bench.balance(BOB), RICH + 10);
}

#[test]
fn tx_3_the_same_transaction_is_not_twice_in_a_block() {
    let mut bench = Bench::easy();
    let transaction = ALICE.sends(0).to(BOB, 10).sign(&bench.network);
    let block = bench.forge(CAROL, vec![transaction.clone(), transaction], |_| {});
    assert!(matches!(broken_at(bench.import(block)), (1, TransactionError::WrongNonce { .. })));
    assert_eq!(bench.balance(BOB), RICH);
}

#[test]
fn tx_12_coins_are_not_spent_twice_in_a_block() {
    let mut bench = Bench::easy();
    let first = ALICE.sends(0).to(BOB, RICH - 5_000).sign(&bench.network);
    let second = ALICE.sends(1).to(CAROL, RICH - 5_000).sign(&bench.network);
    let block = bench.forge(CAROL, vec![first, second], |_| {});
    assert!(matches!(broken_at(bench.import(block)), (1, TransactionError::InsufficientBalance { .. })));
    assert_eq!((bench.balance(BOB), bench.balance(CAROL)), (RICH, RICH));
}

#[test]
fn tx_12_coins_are_not_spent_again_in_a_later_block() {
    let mut bench = Bench::easy();
    bench.submit(ALICE.sends(0).to(BOB, RICH - 5_000)).unwrap();
    bench.mine(1);
    let second = ALICE.sends(1).to(CAROL, RICH - 5_000).sign(&bench.network);
    let block = bench.forge(CAROL, vec![second], |_| {});
    assert!(matches!(broken_at(bench.import(block)), (0, TransactionError::InsufficientBalance { .. })));
}

#[test]
fn blk_8_coins_are_not_minted() {
    let mut bench = Bench::easy();
    bench.mine(2);
    let mut rich = bench.twin();
    // Whoever makes the block gives itself a coin more than the schedule does.
    let state_root = rich.node.chain.rehearse(|state| {
        let carol = state.find(&CAROL.address().path()).unwrap();
        let mut account = state.account(carol);
        account.balance = account.balance.checked_add(Amount::from_units(51)).unwrap();
        state.set(carol, account);
        state.root()
    });
    let block = bench.forge(CAROL, vec![], |header| header.state_root = state_root);
    let verdict = bench.import(block);
    assert!(matches!(verdict, Err(BlockRefusal::Invalid { error: BlockError::StateRoot { .. }, .. })));
    assert_eq!(bench.balance(CAROL), RICH);
}

#[test]
fn tx_9_a_changed_amount_breaks_the_signature() {
    let network = Network::easy();
    let mut transaction = ALICE.sends(0).to(BOB, 10).signed(&network.id);
    transaction.body.transfers[0].amount = Amount::from_units(19);
    assert_eq!(check(transaction, network.consensus.rules()), Err(TransactionError::WrongSignature));
}

#[test]
fn tx_9_a_transaction_of_another_network_is_refused() {
    let mut section = section();
    section.network.id += 1;
    let (here, there) = (Network::easy(), Network::new(section));
    assert_ne!(here.id, there.id);
    let transaction = ALICE.sends(0).signed(&there.id);
    assert_eq!(check(transaction, here.consensus.rules()), Err(TransactionError::WrongSignature));
}

#[test]
fn blk_3_a_changed_body_under_a_good_header_does_not_bar_the_good_block() {
    let mut bench = Bench::easy();
    let mut other = Bench::new(&bench.network, miner_for(BOB));
    other.submit(ALICE.sends(0)).unwrap();
    let bytes = other.mine(1).remove(0);
    let mut changed: SealedBlock = decode_exact(&bytes).unwrap();
    changed.body =
        Body { transactions: vec![ALICE.sends(0).to(BOB, 19).signed(&bench.network.id)], ..changed.body };
    let error = bench.check(&changed.to_bytes().into()).unwrap_err();
    assert!(matches!(error, BlockError::TransactionRoot { .. }));
    assert!(!error.condemns_id());
    assert_eq!(bench.import_bytes(&bytes), Ok(Imported::Extended));
}

#[test]
fn sea_3_a_block_without_work_is_refused() {
    let mut section = section();
    section.first_target = CompactTarget(0x1f7f_ffff);
    let network = Network::new(section);
    let mut bench = Bench::new(&network, miner());
    let bytes = bench.mine(1).remove(0);
    let mut block: SealedBlock = decode_exact(&bytes).unwrap();
    let target = block.header.target.expand().unwrap();
    let idle = (0..).map(WorkNonce).find(|nonce| {
        block.seal = Seal::Work { nonce: *nonce };
        !target.is_met_by(&block.id())
    });
    assert!(idle.is_some());
    let error = bench.check(&block.to_bytes().into()).unwrap_err();
    assert!(matches!(error, BlockError::Header(HeaderError::TooLittleWork { .. })));
}

#[test]
fn hdr_4_a_block_with_an_easier_target_is_refused() {
    let mut section = section();
    section.first_target = CompactTarget(0x1f7f_ffff);
    let network = Network::new(section);
    let mut bench = Bench::new(&network, miner());
    let easier = bench.forge(CAROL, vec![], |header| header.target = crate::testing::EASY);
    assert!(matches!(
        bench.import(easier),
        Err(BlockRefusal::Invalid { error: BlockError::Header(HeaderError::Target { .. }), .. })
    ));
}

/// A network where persons 1 and 2 may make blocks, in turn.
fn permitted(turns: bool) -> Network {
    let mut section = section();
    section.mode = Mode::PowPermit { miners: vec![Person(1).public_key(), Person(2).public_key()], turns };
    Network::new(section)
}

#[test]
fn sea_4_a_block_by_a_miner_who_is_not_listed_is_refused() {
    let network = permitted(false);
    let mut bench = Bench::new(&network, miner());
    bench.mine(1);
    let mut template = None;
    let right = bench.forge(Person(2), vec![], |header| template = Some(header.clone()));
    let mut header = template.unwrap();
    header.producer = BOB.address();
    let seal = find_seal(&network.consensus, &header, BOB);
    let block = UnsealedBlock::new(header, vec![], vec![]);
    let error = CheckedBlock::seal(block, seal, &network.consensus).unwrap_err();
    assert_eq!(error, HeaderError::ProducerNotListed { producer: BOB.address() });
    assert_eq!(bench.import(right), Ok(Imported::Extended));
    // And such a node never asks for a seal.
    let mut unlisted = Bench::new(&network, miner_for(BOB));
    let request = unlisted.ask_to_mine(1);
    assert_eq!(
        unlisted.mined(request),
        Some(Err(crate::producer::MineRefusal::NotListed { producer: BOB.address() }))
    );
    assert!(unlisted.job.is_none());
}

#[test]
fn sea_5_a_seal_signed_by_another_listed_miner_is_refused() {
    let network = permitted(false);
    let mut bench = Bench::new(&network, miner());
    bench.ask_to_mine(1);
    let job = bench.job.take().unwrap();
    assert!(job.needs_signature);
    let seal = find_seal(&network.consensus, &job.header, Person(2));
    bench.handle(job.sealed(seal));
    assert!(matches!(
        bench.news.last(),
        Some(crate::Event::SealRefused { error: HeaderError::WrongSealSignature, .. })
    ));
    assert_eq!(bench.height(), 0);
}

#[test]
fn sea_6_a_miner_out_of_turn_waits_two_intervals_and_its_block_is_held_until_then() {
    let network = permitted(true);
    // At height 1 it is the turn of place 1: person 2.
    let mut bench = Bench::new(&network, miner_for(Person(2)));
    bench.now = Timestamp(network.header.time.0 + 1_000);
    let early = bench.forge(Person(1), vec![], |header| header.time = Timestamp(header.time.0 - 10_000));
    assert!(matches!(
        bench.import(early),
        Err(BlockRefusal::Invalid { error: BlockError::Header(HeaderError::OutOfTurn { .. }), .. })
    ));
    let late = bench.forge(Person(1), vec![], |_| {});
    let until = Timestamp(network.header.time.0 + 20_000);
    assert_eq!(late.header().time, until);
    assert_eq!(bench.import(late), Ok(Imported::Held { until }));
    bench.mine(1);
    assert_eq!(bench.node.tip().header.producer, Person(2).address());
    bench.wait_ms(30_000);
    // The block out of turn came second.
    assert_eq!(bench.height(), 1);
    assert_eq!(bench.node.state_status().side_blocks, 1);
    // A producer out of turn says when its seal is wanted.
    let mut other = Bench::new(&network, miner());
    other.now = Timestamp(network.header.time.0 + 1_000);
    other.ask_to_mine(1);
    assert_eq!(other.job.as_ref().unwrap().not_before, until);
}
