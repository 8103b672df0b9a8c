//! Blocks in short that do not come out: short ids that meet, transactions that nobody knows or that are
//! others than they should be.

use super::{CompactBlock, Partial, transactions_at};
use crate::testing::{Bench, Network, Person};
use crate::wire::{BLOCK_TRANSACTIONS_BYTES_MAX, Message, PEER_TAGS};
use cairn_core::block::{BlockError, SealedBlock, decode_block};
use cairn_core::codec::Encode as _;
use cairn_core::hash::BlockId;
use cairn_core::transaction::CheckedTransaction;

/// A block of four transactions, as bytes, and the transactions in their order.
fn block() -> (Network, Vec<u8>, Vec<CheckedTransaction>) {
    let mut bench = Bench::easy();
    let transactions: Vec<CheckedTransaction> =
        (0..4).map(|nonce| Person(5).sends(nonce).sign(&bench.network)).collect();
    let taken = bench.submit_all(transactions.iter().cloned().map(Ok).collect());
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    let bytes = bench.mine(1).pop().unwrap().to_vec();
    (bench.network, bytes, transactions)
}

fn short(network: &Network, bytes: &[u8]) -> CompactBlock {
    CompactBlock::from_bytes(bytes, &network.id, 7).unwrap()
}

fn completed(
    partial: Partial,
    missing: &[CheckedTransaction],
    network: &Network,
) -> Result<BlockId, BlockError> {
    partial.complete(missing.to_vec(), &network.consensus).map(|block| block.id())
}

#[test]
fn what_is_known_is_found_and_the_rest_is_missing() {
    let (network, bytes, all) = block();
    let id = decode_block(&bytes).unwrap().id();
    let whole = short(&network, &bytes).fill(&all);
    assert_eq!((whole.missing(), whole.id()), (&[][..], id));
    assert_eq!(completed(whole, &[], &network).unwrap(), id);
    // In any order, with others among them.
    let other = Person(6).sends(0).sign(&network);
    let known = [&all[3], &other, &all[1]];
    let partial = short(&network, &bytes).fill(known);
    assert_eq!(partial.missing(), [0, 2]);
    assert_eq!(completed(partial, &[all[0].clone(), all[2].clone()], &network).unwrap(), id);
}

#[test]
fn a_short_id_that_stands_twice_in_a_block_is_missing_at_both_places() {
    let (network, bytes, all) = block();
    let mut block = short(&network, &bytes);
    block.short_ids[2] = block.short_ids[1];
    let partial = block.fill(&all);
    assert_eq!(partial.missing(), [1, 2]);
    let id = partial.id();
    assert_eq!(completed(partial, &all[1..3], &network).unwrap(), id);
}

#[test]
fn a_short_id_that_stands_for_two_known_transactions_is_missing() {
    let (network, bytes, all) = block();
    for times in [2, 3] {
        let doubled = std::iter::repeat_n(&all[2], times - 1).chain(&all);
        let partial = short(&network, &bytes).fill(doubled);
        assert_eq!(partial.missing(), [2]);
    }
}

#[test]
fn blk_3_wrong_transactions_make_no_block() {
    let (network, bytes, all) = block();
    let wrong = Person(6).sends(0).sign(&network);
    let partial = |known: &[CheckedTransaction]| short(&network, &bytes).fill(known);
    let is_wrong_root = |result| matches!(result, Err(BlockError::TransactionRoot { .. }));
    assert!(is_wrong_root(completed(partial(&all[1..]), std::slice::from_ref(&wrong), &network)));
    // Good ones in each other's places.
    assert!(is_wrong_root(completed(partial(&all[2..]), &[all[1].clone(), all[0].clone()], &network)));
    // A short id that met that of a transaction which waits here.
    let mut block = short(&network, &bytes);
    let key = super::ShortIdKey::new(&block.header, block.salt);
    block.short_ids[0] = key.short_id(&wrong.leaf());
    let known: Vec<_> = all[1..].iter().chain([&wrong]).cloned().collect();
    let met = block.fill(&known);
    assert_eq!(met.missing(), [0; 0]);
    assert!(is_wrong_root(completed(met, &[], &network)));
}

#[test]
fn blk_2_too_few_transactions_make_no_block() {
    let (network, bytes, all) = block();
    let partial = short(&network, &bytes).fill(&all[..2]);
    let result = completed(partial, &all[2..3], &network);
    assert!(matches!(result, Err(BlockError::TransactionCount { .. })), "{result:?}");
}

#[test]
fn places_that_a_block_does_not_have_bring_nothing() {
    let (_, bytes, all) = block();
    let plain: Vec<_> = all.iter().map(|it| it.transaction().clone()).collect();
    assert_eq!(transactions_at(&bytes, &[0, 1, 2, 3]).unwrap(), Some(plain.clone()));
    assert_eq!(transactions_at(&bytes, &[1, 3]).unwrap(), Some(vec![plain[1].clone(), plain[3].clone()]));
    assert_eq!(transactions_at(&bytes, &[]).unwrap(), Some(Vec::new()));
    for places in [&[4][..], &[0, 4], &[0, u32::MAX]] {
        assert_eq!(transactions_at(&bytes, places).unwrap(), None);
    }
}

#[test]
fn transactions_that_are_too_many_for_a_message_are_left_out_together() {
    let (network, bytes, all) = block();
    let one = all[0].transaction().clone();
    let fits = BLOCK_TRANSACTIONS_BYTES_MAX / (one.to_bytes().len() + 5);
    let mut block: SealedBlock = decode_block(&bytes).unwrap();
    let body = |block: &SealedBlock, count: usize| {
        let places: Vec<u32> = (0..count).map(|place| u32::try_from(place).unwrap()).collect();
        let transactions = transactions_at(&block.to_bytes(), &places).unwrap().unwrap();
        let count = transactions.len();
        (count, Message::BlockTransactions { block: network.id, transactions }.to_body().len())
    };
    block.body.transactions = vec![one; fits + 1];
    let (count, bytes) = body(&block, fits);
    let limit = PEER_TAGS.iter().find(|(tag, _)| tag.0 == *b"BTX").unwrap().1;
    assert!(count == fits && bytes <= limit, "{bytes} of {limit}");
    assert_eq!(body(&block, fits + 1).0, 0);
}
