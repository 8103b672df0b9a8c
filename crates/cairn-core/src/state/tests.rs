//! The state against the oracle: whatever happens to it, its root is that of its entries.

use super::*;
use crate::codec::{Encode, decode_exact};
use crate::hash::Tag;
use crate::numbers::Nonce;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn account(units: u64, nonce: u64) -> Account {
    Account { balance: Amount::from_units(units), nonce: Nonce(nonce) }
}

/// A path that begins with the first `shared` bits of the path of a cluster.
fn path_in(cluster: u8, shared: usize, seed: u64) -> StatePath {
    let common = Tag::PATH.hash(&[b"cluster", &[cluster]]);
    let mut path = Tag::PATH.hash(&[&seed.to_le_bytes()]);
    for bit in 0..shared {
        let mask = 0x80 >> (bit % 8);
        path[bit / 8] = path[bit / 8] & !mask | common[bit / 8] & mask;
    }
    StatePath(path)
}

/// All entries of a state.
fn entries(state: &State) -> BTreeMap<StatePath, Vec<u8>> {
    let accounts = state.accounts().map(|(path, account)| (path, account.value_bytes().to_vec()));
    accounts.chain(state.reserved_entries().map(|(path, value)| (path, value.to_vec()))).collect()
}

/// Compares root, total, lookup and a rebuilt state with the entries.
fn assert_sound(state: &mut State) {
    let root = state.root();
    assert_eq!(root, oracle::root(&entries(state)));
    let units: u64 = state.accounts().map(|(_, account)| account.balance.units()).sum();
    assert_eq!(state.total().units(), units);
    for (index, (path, account)) in (0..).map(AccountIndex).zip(state.accounts()) {
        assert_eq!(state.find(&path), Some(index));
        assert_eq!((state.path(index), state.account(index)), (path, account));
    }
    let reserved = state.reserved_entries().map(|(path, value)| (path, value.to_vec()));
    assert_eq!(State::restore(state.accounts(), reserved).root(), root);
}

/// A state of `accounts` that share `shared` bits, and of as many that share none.
fn crowded(accounts: u64, shared: usize) -> State {
    let mut state = State::new();
    for seed in 0..accounts {
        state.insert(path_in(0, shared, seed), account(seed, 0));
        state.insert(path_in(0, 0, accounts + seed), account(seed, 0));
    }
    state
}

#[test]
fn the_empty_state_has_the_zero_root() {
    assert_eq!(State::new().root(), StateRoot::ZERO);
    assert_eq!(State::restore([], []).root(), StateRoot::ZERO);
    assert_eq!(State::new().total(), Amount::ZERO);
}

#[test]
fn one_account_is_its_leaf() {
    let mut state = State::new();
    let path = StatePath::of_address(&[7; 32]);
    state.insert(path, account(5, 6));
    let leaf = Tag::STATE_LEAF.hash(&[path.as_bytes(), &account(5, 6).value_bytes()]);
    assert_eq!(state.root(), StateRoot(leaf));
}

#[test]
fn a_one_sided_node_above_two_leaves_is_hashed() {
    let mut state = State::new();
    let (low, high) = (StatePath([0; 32]), StatePath([0x40; 32]));
    for path in [low, high] {
        state.insert(path, account(1, 0));
    }
    let leaf = |path: StatePath| Tag::STATE_LEAF.hash(&[path.as_bytes(), &account(1, 0).value_bytes()]);
    let pair = Tag::STATE_NODE.hash(&[&leaf(low), &leaf(high)]);
    assert_eq!(state.root(), StateRoot(Tag::STATE_NODE.hash(&[&pair, &[0; 32]])));
}

#[test]
fn five_thousand_paths_that_share_forty_bits_are_one_more_path_each_to_hash() {
    let mut state = crowded(5_000, 40);
    assert_sound(&mut state);
    state.commit();
    for round in 0..5 {
        for seed in (round..5_000).step_by(977) {
            let index = state.find(&path_in(0, 40, seed)).unwrap();
            state.set(index, account(seed, round + 1));
        }
        assert_eq!(state.root(), oracle::root(&entries(&state)));
    }
    let root = state.root();
    for seed in [0, 4_999, 5_000, 5_001] {
        let path = path_in(0, 40, seed);
        let value = state.find(&path).map(|index| StateValue::Account(state.account(index)));
        assert_eq!(state.prove(&path).verify(root, &path), Ok(value));
    }
    state.roll_back();
    assert_sound(&mut state);
}

#[test]
fn two_paths_that_share_two_hundred_bits_have_a_way_of_two_hundred_nodes() {
    let mut state = State::new();
    let mut other = path_in(0, 0, 1);
    state.insert(other, account(1, 0));
    other.0[25] ^= 0x80;
    state.insert(other, account(2, 0));
    assert_sound(&mut state);
    let root = state.root();
    let proof = state.prove(&other);
    assert_eq!(proof.siblings.len(), 201);
    assert_eq!(proof.verify(root, &other), Ok(Some(StateValue::Account(account(2, 0)))));
    // Many more in the same bucket make it a subtree, which agrees.
    for seed in 0..20 {
        let mut path = other;
        path.0[26..].copy_from_slice(&path_in(0, 0, seed).0[26..]);
        path.0[24] ^= 1;
        state.insert(path, account(seed, 0));
    }
    assert_sound(&mut state);
}

#[test]
fn a_bucket_goes_from_chain_to_subtree_and_back() {
    let mut state = State::new();
    let mut undos = Vec::new();
    let mut roots = vec![state.root()];
    for seed in 0..40 {
        state.insert(path_in(0, 20, seed), account(seed, 0));
        if let Some(index) = seed.checked_sub(3).and_then(|seed| state.find(&path_in(0, 20, seed))) {
            state.set(index, account(seed, 9));
        }
        undos.push(state.commit());
        roots.push(state.root());
    }
    assert_sound(&mut state);
    for undo in undos.iter().rev() {
        roots.pop();
        assert_eq!(state.undo(undo), Ok(()));
        assert_sound(&mut state);
        assert_eq!(Some(&state.root()), roots.last());
    }
    assert!(state.is_empty());
}

#[test]
fn buckets_double_before_and_after_a_root() {
    let mut state = State::new();
    for seed in 0..300 {
        state.insert(path_in(0, 0, seed), account(seed, 0));
        if seed % 7 == 0 || seed < 40 {
            assert_eq!(state.root(), oracle::root(&entries(&state)));
        }
    }
    for seed in 300..3_000 {
        state.insert(path_in(0, 0, seed), account(seed, 0));
    }
    assert_sound(&mut state);
    let undo = state.commit();
    assert_eq!((undo.created, undo.changed.len()), (3_000, 0));
    assert_eq!(state.undo(&undo), Ok(()));
    assert_eq!(state.root(), StateRoot::ZERO);
}

#[test]
fn reserved_entries_are_part_of_the_root_and_no_accounts() {
    let mut state = State::new();
    state.set_reserved(b"authorities", vec![2, 1, 2, 3]);
    state.set_reserved(b"others", vec![2; 1000]);
    assert_sound(&mut state);
    for seed in 0..50 {
        state.insert(path_in(0, 0, seed), account(seed, 0));
    }
    assert_sound(&mut state);
    let path = StatePath::of_reserved(b"authorities");
    assert_eq!(state.len(), 50);
    assert_eq!(state.find(&path), None);
    assert_eq!(state.reserved(b"authorities"), Some([2, 1, 2, 3].as_slice()));
    assert_eq!(state.reserved(b"nobody"), None);
    let root = state.root();
    assert_eq!(state.prove(&path).verify(root, &path), Ok(Some(StateValue::Reserved(vec![2, 1, 2, 3]))));
    assert_eq!(state.take_changes()[0].index, AccountIndex(0));
    state.roll_back();
    assert_eq!((state.len(), state.reserved_entries().count()), (0, 2));
    assert_sound(&mut state);
}

#[test]
fn changes_are_taken_once_whatever_happened_between() {
    let mut state = State::new();
    let [a, b, c] = [0, 1, 2].map(|seed| state.insert(path_in(0, 0, seed), account(seed, 0)));
    let indexes =
        |changes: Vec<ChangedAccount>| changes.iter().map(|changed| changed.index).collect::<Vec<_>>();
    assert_eq!(indexes(state.take_changes()), [a, b, c]);
    assert_eq!(state.take_changes(), []);
    // Taken in the middle of a block: the account is journalled already, and changed again.
    state.commit();
    state.set(b, account(7, 1));
    assert_eq!(indexes(state.take_changes()), [b]);
    state.set(b, account(8, 1));
    let expected = ChangedAccount { index: b, path: path_in(0, 0, 1), account: account(8, 1) };
    assert_eq!(state.take_changes(), [expected]);
    let undo = state.commit();
    assert_eq!(undo.changed, [(b, account(1, 0))]);
    // Undoing is a change too, and what was removed is none.
    let d = state.insert(path_in(0, 0, 3), account(3, 0));
    let second = state.commit();
    assert_eq!(state.undo(&second), Ok(()));
    assert_eq!(state.undo(&undo), Ok(()));
    assert_eq!(indexes(state.take_changes()), [b]);
    assert_eq!(state.len(), d.0);
}

#[test]
fn an_account_set_again_after_a_root_is_hashed_again_and_journalled_once() {
    let mut state = State::new();
    let index = state.insert(path_in(0, 0, 0), account(1, 0));
    state.commit();
    for units in 2..5 {
        state.set(index, account(units, 0));
        state.set(index, account(units, 1));
        assert_sound(&mut state);
    }
    assert_eq!(state.commit().changed, [(index, account(1, 0))]);
    state.set(index, account(9, 9));
    state.roll_back();
    assert_eq!(state.account(index), account(4, 1));
    state.set(index, account(8, 8));
    assert_eq!(state.commit().changed, [(index, account(4, 1))]);
    assert_sound(&mut state);
}

#[test]
fn an_undo_that_does_not_fit_changes_nothing() {
    let mut state = crowded(5, 10);
    let built = state.commit();
    let root = state.root();
    let too_many = Undo { created: 11, changed: Vec::new() };
    assert_eq!(state.undo(&too_many), Err(UndoError::TooManyCreated { found: 11, len: 10 }));
    let unknown = Undo { created: 1, changed: vec![(AccountIndex(9), account(0, 0))] };
    assert_eq!(state.undo(&unknown), Err(UndoError::UnknownAccount { found: AccountIndex(9), len: 9 }));
    state.set(AccountIndex(0), account(1, 1));
    state.insert(path_in(9, 0, 99), account(1, 1));
    assert_eq!(state.undo(&built), Err(UndoError::Uncommitted { found: 2 }));
    state.roll_back();
    assert_eq!(state.root(), root);
}

#[test]
fn two_entries_under_one_path_restore_to_another_root() {
    for copies in [2, 30] {
        let mut once = State::restore([(path_in(0, 0, 1), account(1, 0))], []);
        let mut twice = State::restore(vec![(path_in(0, 0, 1), account(1, 0)); copies], []);
        assert_ne!(once.root(), twice.root());
    }
}

#[test]
#[should_panic(expected = "is an entry already")]
fn a_path_is_inserted_once() {
    let mut state = crowded(1, 0);
    state.insert(path_in(0, 0, 0), account(0, 0));
}

#[test]
#[should_panic(expected = "the root is computed before anything is proven")]
fn nothing_is_proven_about_changes_without_a_root() {
    crowded(1, 0).prove(&path_in(0, 0, 0));
}

#[test]
#[should_panic(expected = "reserved entries are set before there are accounts")]
fn reserved_entries_come_first() {
    crowded(1, 0).set_reserved(b"late", vec![2]);
}

/// What may happen to a state.
#[derive(Clone, Debug)]
enum Step {
    Insert { cluster: u8, shared: usize, count: u64 },
    Set { pick: u64, units: u32 },
    Root,
    Commit,
    RollBack,
    Undo,
    Restore,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, prop_oneof![Just(0), 1..40usize, 100..250usize], 1..25u64)
            .prop_map(|(cluster, shared, count)| Step::Insert { cluster, shared, count }),
        8 => (any::<u64>(), any::<u32>()).prop_map(|(pick, units)| Step::Set { pick, units }),
        1 => Just(Step::Root),
        3 => Just(Step::Commit),
        1 => Just(Step::RollBack),
        2 => Just(Step::Undo),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_root_is_that_of_the_entries(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut state = State::new();
        let mut seed = 0;
        // The entries after each block that is not undone, and what undoes it.
        let mut blocks: Vec<(BTreeMap<StatePath, Vec<u8>>, Undo)> = Vec::new();
        let before = |blocks: &[(BTreeMap<StatePath, Vec<u8>>, Undo)]| {
            blocks.last().map(|(entries, _)| entries.clone()).unwrap_or_default()
        };
        for step in steps {
            match step {
                Step::Insert { cluster, shared, count } => {
                    for _ in 0..count {
                        seed += 1;
                        let path = path_in(cluster, shared, seed);
                        if state.find(&path).is_none() {
                            state.insert(path, account(seed, 0));
                        }
                    }
                }
                Step::Set { pick, units } => {
                    if let Some(index) = pick.checked_rem(u64::from(state.len())) {
                        let index = AccountIndex(u32::try_from(index).unwrap());
                        state.set(index, account(u64::from(units), pick % 100));
                    }
                }
                Step::Root => {}
                Step::Commit => {
                    let undo = state.commit();
                    let stored = Undo::from_stored_bytes(&undo.to_stored_bytes());
                    prop_assert_eq!(stored, Ok(undo.clone()));
                    blocks.push((entries(&state), undo));
                    continue;
                }
                Step::RollBack => {
                    state.roll_back();
                    prop_assert_eq!(entries(&state), before(&blocks));
                }
                Step::Undo => {
                    state.roll_back();
                    if let Some((_, undo)) = blocks.pop() {
                        prop_assert_eq!(state.undo(&undo), Ok(()));
                    }
                    prop_assert_eq!(entries(&state), before(&blocks));
                }
                Step::Restore => {
                    state.roll_back();
                    state = State::restore(state.accounts(), []);
                }
            }
            if seed % 3 == 0 || matches!(step, Step::Root) {
                prop_assert_eq!(state.root(), oracle::root(&entries(&state)));
            }
        }
        assert_sound(&mut state);
    }

    #[test]
    fn the_store_follows_by_changes_alone(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut state = State::new();
        let mut stored: Vec<(StatePath, Account)> = Vec::new();
        let mut undos = Vec::new();
        let mut seed = 0;
        for step in steps {
            match step {
                Step::Insert { cluster, shared, count } => for _ in 0..count {
                    seed += 1;
                    let path = path_in(cluster, shared.min(100), seed);
                    state.insert(path, account(seed, 0));
                },
                Step::Set { pick, units } => if let Some(index) = pick.checked_rem(u64::from(state.len())) {
                    state.set(AccountIndex(u32::try_from(index).unwrap()), account(u64::from(units), 0));
                },
                Step::Commit => undos.push(state.commit()),
                Step::RollBack => state.roll_back(),
                Step::Undo => {
                    state.roll_back();
                    if let Some(undo) = undos.pop() {
                        prop_assert_eq!(state.undo(&undo), Ok(()));
                    }
                }
                Step::Root | Step::Restore => {
                    let changes = state.take_changes();
                    stored.resize(state.len() as usize, (StatePath::ZERO, Account::default()));
                    for changed in changes {
                        stored[changed.index.0 as usize] = (changed.path, changed.account);
                    }
                    prop_assert_eq!(&stored, &state.accounts().collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn proofs_show_what_is_there_and_what_is_not(
        groups in prop::collection::vec((0..3u8, prop_oneof![Just(0), 1..60usize, 100..250usize], 1..30u64), 0..8),
        asked in prop::collection::vec((0..4u8, 0..256usize, any::<u64>()), 20),
        flip: prop::sample::Index,
    ) {
        let mut state = State::new();
        state.set_reserved(b"authorities", vec![2, 7]);
        let mut paths = vec![StatePath::of_reserved(b"authorities")];
        for (seed, (cluster, shared, count)) in (0u64..).step_by(1000).zip(groups) {
            for seed in seed..seed + count {
                let path = path_in(cluster, shared, seed);
                if state.find(&path).is_none() {
                    state.insert(path, account(seed, 1));
                }
                paths.push(path);
            }
        }
        paths.extend(asked.iter().map(|(cluster, shared, seed)| path_in(*cluster, *shared, *seed)));
        let root = state.root();
        let entries = entries(&state);
        for path in paths {
            let expected = entries.get(&path).map(|bytes| StateValue::from_value_bytes(bytes).unwrap());
            let proof = state.prove(&path);
            prop_assert_eq!(proof.verify(root, &path), Ok(expected.clone()));
            let bytes = proof.to_bytes();
            prop_assert_eq!(decode_exact::<StateProof>(&bytes), Ok(proof));
            let mut forged = bytes.clone();
            let bit = flip.index(8 * bytes.len());
            forged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(forged) = decode_exact::<StateProof>(&forged) {
                prop_assert!(forged.verify(root, &path).is_err());
            }
        }
    }
}
