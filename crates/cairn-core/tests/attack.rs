//! Attacks on the rules of the ledger, named after what was possible elsewhere.
#![allow(clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod common;

use cairn_core::account::{Account, AccountIndex};
use cairn_core::block::{BlockError, Body, HEADER_BYTES, check};
use cairn_core::consensus::{Consensus, HeaderError};
use cairn_core::hash::StatePath;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Weight};
use cairn_core::rules::{
    BlockContext, CollectedFees, MaturedReward, Payment, apply_transaction, execute, pay,
};
use cairn_core::state::State;
use cairn_core::target::CompactTarget;
use common::{
    ALICE, BOB, CAROL, EASY, MINER, SEED, block_parts, body, checked, consensus, give, mine_unchecked, rules,
    rules_of, section, transfer,
};
use proptest::prelude::*;

/// Hashes 16 times as hard as the easy ones of other tests.
const HARDER: CompactTarget = CompactTarget(0x2007_ffff);

#[test]
fn attack_d03_a_block_that_claims_an_easy_target_is_refused_before_its_transactions_are_looked_at() {
    let mut section = section();
    (section.first_target, section.target_limit) = (HARDER, HARDER);
    let network = Consensus::new(rules_of(section)).unwrap();
    // The body is another one, which only shows when all of it is hashed.
    let (header, Body { mut transactions, extra, .. }) = block_parts(vec![checked(body(), ALICE)]);
    transactions[0].body.transfers = vec![transfer(CAROL, 5)];
    let body = Body { certificate: None, transactions, extra };
    let bytes = mine_unchecked(header, body);
    let refused = check(bytes.clone(), &network, SEED).unwrap_err();
    assert_eq!(refused, BlockError::Header(HeaderError::Target { found: EASY, expected: HARDER }));
    assert!(matches!(check(bytes, &consensus(), SEED), Err(BlockError::TransactionRoot { .. })));
}

#[test]
fn attack_a14_no_prefix_and_no_flipped_byte_of_a_block_panics_or_passes() {
    let (header, body) = block_parts(vec![checked(body(), ALICE)]);
    let bytes = mine_unchecked(header, body);
    let network = consensus();
    check(bytes.clone(), &network, SEED).unwrap();
    for length in 0..bytes.len() {
        assert!(check(bytes[..length].into(), &network, SEED).is_err());
    }
    for at in HEADER_BYTES..bytes.len() - 9 {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x55;
        assert!(check(changed.into(), &network, SEED).is_err(), "byte {at}");
    }
}

/// What one block does, in a few numbers.
#[derive(Clone, Debug)]
struct Step {
    sender: u8,
    to: u8,
    amount: u64,
    is_undone: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (0..3u8, 0..12u8, 1..2_000u64, any::<bool>()).prop_map(|(sender, to, amount, is_undone)| Step {
        sender,
        to,
        amount,
        is_undone,
    })
}

proptest! {
    /// GHSA-2gf8-q9rr-jq3h was an undo that forgot a part. The entries are ground: all paths share 40
    /// bits, so the tree keeps them in its sub-trees, which grow and shrink with every block.
    #[test]
    fn attack_a15_undo_is_complete(steps in prop::collection::vec(step(), 1..60)) {
        let people = [ALICE, BOB, CAROL];
        let mut state = State::new();
        for person in people {
            give(&mut state, person, 10_000);
        }
        for number in 0..18u8 {
            state.insert(ground(number), Account { balance: Amount::from_units(1), nonce: Nonce(0) });
        }
        state.root();
        state.commit();
        let rules = rules();
        let mut undone = Vec::new();
        for (height, Step { sender, to, amount, is_undone }) in (1..).zip(steps) {
            let before: Vec<_> = state.accounts().collect();
            let root = state.root();
            let total = state.total();
            let person = people[usize::from(sender)];
            let index = state.find(&person.address().path()).unwrap();
            let mut body = body();
            body.nonce = state.account(index).nonce;
            body.transfers = vec![transfer(people[usize::from(to % 3)], amount)];
            let transaction = checked(body, person);
            let context = BlockContext { height: Height(height), base_fee: FeeRate(1), reserve: Amount::ZERO };
            let matured = MaturedReward { producer: BOB.address(), amount: Amount::from_units(7) };
            let payment = Payment { producer: MINER.address(), matured: Some(matured) };
            let outcome = execute(&mut state, &[transaction], &context, &payment, &rules);
            match outcome {
                Ok(executed) => {
                    if to > 6 {
                        // More entries beside each other.
                        state.insert(ground(50 + u8::try_from(height).unwrap()), Account::default());
                    }
                    prop_assert_eq!(executed.totals.reward, Amount::from_units(7));
                    let undo = state.commit();
                    if is_undone {
                        state.undo(&undo).unwrap();
                    } else {
                        undone.push((undo, root, before.clone()));
                        continue;
                    }
                }
                Err(_) => state.roll_back(),
            }
            prop_assert_eq!(state.root(), root);
            prop_assert_eq!(state.total(), total);
            prop_assert_eq!(state.accounts().collect::<Vec<_>>(), before);
        }
        for (undo, root, before) in undone.into_iter().rev() {
            state.undo(&undo).unwrap();
            prop_assert_eq!(state.root(), root);
            let found: Vec<_> = state.accounts().collect();
            prop_assert_eq!(&found, &before);
            prop_assert_eq!(State::restore(found, []).root(), root);
        }
    }
}

/// A path that shares its first 40 bits with the others of its kind.
fn ground(number: u8) -> StatePath {
    let mut path = StatePath::of_address(&[number; 32]);
    path.0[..5].fill(7);
    path
}

#[test]
fn attack_a08_a11_whoever_pays_itself_and_makes_the_block_gains_the_reward_only() {
    let mut state = State::new();
    give(&mut state, ALICE, 10_000);
    state.commit();
    let mut body = body();
    body.transfers = vec![transfer(ALICE, 3), transfer(ALICE, 4), transfer(ALICE, 3)];
    let transaction = checked(body, ALICE);
    let context =
        BlockContext { height: Height(9), base_fee: FeeRate(1), reserve: Amount::from_units(9_000) };
    let mut fees = CollectedFees::default();
    fees.add(apply_transaction(&mut state, &transaction, &context, |_| {}).unwrap());
    let matured = MaturedReward { producer: ALICE.address(), amount: Amount::from_units(50) };
    let payment = Payment { producer: ALICE.address(), matured: Some(matured) };
    let totals = pay(&mut state, fees, &payment, &rules(), |_| {});
    assert_eq!(totals.burned, Amount::ZERO);
    assert_eq!(state.account(AccountIndex(0)).balance, Amount::from_units(10_050));
    assert_eq!((state.len(), state.total()), (1, Amount::from_units(10_050)));
    assert!(transaction.weight() > Weight(0));
}
