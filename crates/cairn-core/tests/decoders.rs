//! Every decoder against garbage: random bytes, and good bytes that were cut, doubled or changed.

#![allow(clippy::unwrap_used, reason = "a builder that fails fails its test")]

mod common;

use cairn_core::address::Address;
use cairn_core::block::{Certificate, UnsealedBlock};
use cairn_core::codec::Encode as _;
use cairn_core::fuzz::TARGETS;
use cairn_core::hash::{BlockId, LeafHash};
use cairn_core::history::{HistoryNode, HistoryProof, Summary};
use cairn_core::merkle::MerkleProof;
use cairn_core::numbers::{Nonce, Timestamp};
use cairn_core::target::Work;
use cairn_core::transaction::TransactionBody;
use common::*;
use proptest::prelude::*;

/// Good bytes of many kinds, as the start for changes.
fn good_bytes() -> Vec<Vec<u8>> {
    let consensus = consensus();
    let transactions: Vec<_> = (0..3)
        .map(|nonce| checked(TransactionBody { nonce: Nonce(nonce), data: vec![7; 9], ..body() }, ALICE))
        .collect();
    let template =
        UnsealedBlock::new(header_on(&genesis_parent(&consensus)), transactions.clone(), vec![1, 2]);
    let block = mine(template, &consensus);
    let leaves: Vec<LeafHash> = transactions.iter().map(|it| it.leaf()).collect();
    let summary = Summary {
        count: 1,
        work: Work::ZERO,
        start_time: Timestamp(1),
        end_time: Timestamp(2),
        start_target: EASY,
        next_target: EASY,
    };
    let node = HistoryNode::leaf(&BlockId::ZERO, summary);
    let mut state = state();
    give(&mut state, BOB, 3);
    state.root();
    let undo = state.commit().to_stored_bytes();
    let absent = state.prove(&Address::default().path()).to_bytes();
    let certificate = Certificate {
        height: 3,
        round: 1,
        id: BlockId([1; 32]),
        signers: vec![3],
        signatures: vec![[5; 64]; 2],
    };
    vec![
        block.bytes().to_vec(),
        block.header().to_bytes(),
        block.to_sealed_header().to_bytes(),
        transactions[0].transaction().to_bytes(),
        transactions[0].transaction().witness.to_bytes(),
        [&[0x10, 1, 1, 1][..], &[7; 32], &[0], &[9; 64]].concat(),
        section().to_bytes(),
        MerkleProof::new(&leaves, 1).unwrap().to_bytes(),
        HistoryProof { height: 0, count: 2, summary, partners: vec![node] }.to_bytes(),
        state.prove(&ALICE.address().path()).to_bytes(),
        absent,
        certificate.to_bytes(),
        undo,
    ]
}

fn run_all(bytes: &[u8]) {
    for (_, target) in TARGETS {
        target(bytes);
    }
}

#[test]
fn good_bytes_pass_every_decoder_that_knows_them() {
    for bytes in good_bytes() {
        run_all(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_decoder_panics_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        run_all(&bytes);
    }

    #[test]
    fn no_decoder_panics_on_changed_bytes(
        kind in 0..12usize,
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        tail in prop::collection::vec(any::<u8>(), 0..3),
        keep in any::<bool>(),
    ) {
        let mut bytes = good_bytes().swap_remove(kind);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        run_all(&bytes);
    }
}
