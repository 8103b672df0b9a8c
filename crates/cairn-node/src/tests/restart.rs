//! Starting again from what the store has.

use crate::chain::Imported;
use crate::memory::MemoryStore;
use crate::messages::Input;
use crate::node::Node;
use crate::testing::{Bench, Network, Person, miner, miner_for, nth};
use cairn_core::block::trust;
use cairn_core::numbers::Height;
use std::sync::Arc;

const ALICE: Person = Person(2);
const BOB: Person = Person(3);

/// A bench whose database was lost: the log is replayed from block 0.
fn replayed(network: &Network, store: &MemoryStore) -> Bench {
    let store = store.with_lost_database(network.id, network.header.clone(), &network.state);
    let log: Vec<_> = store.log().cloned().collect();
    let mut bench = Bench::over(network, miner(), store);
    for bytes in log {
        let block = trust(Arc::clone(&bytes), &network.consensus).unwrap();
        bench.handle(Input::Replay(block));
    }
    bench
}

#[test]
fn a_node_goes_on_where_its_store_is_with_any_window() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    for nonce in 0..10 {
        bench.submit(ALICE.sends(nonce).to(nth(20, nonce), 5)).unwrap();
        bench.mine(1);
    }
    for window in [1, 2, 5, 11, 100] {
        let loaded = bench.store.load(&network.consensus, window);
        let mut again = bench.twin();
        again.node = Node::new(network.consensus.clone(), miner(), loaded);
        assert_eq!(again.tip(), bench.tip());
        assert_eq!(again.node.tip().work, bench.node.tip().work);
        // The history root and the matured reward come from below the window.
        let bytes = again.mine(1);
        let mut full = bench.twin();
        assert_eq!(full.import_bytes(&bytes[0]), Ok(Imported::Extended));
    }
}

#[test]
fn the_log_is_replayed_without_news_and_without_appending() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let mut other = Bench::new(&network, miner_for(BOB));
    bench.submit(ALICE.sends(0)).unwrap();
    bench.mine(2);
    for bytes in other.mine(4) {
        bench.import_bytes(&bytes).unwrap();
    }
    bench.mine(2);
    assert_eq!(bench.height(), 6);
    let again = replayed(&network, &bench.store);
    assert_eq!(again.tip(), bench.tip());
    assert_eq!(again.node.supply(), bench.node.supply());
    assert!(again.news.is_empty());
    assert_eq!(again.store.log().count(), bench.store.log().count());
    assert_eq!(again.node.branches(), bench.node.branches());
}

#[test]
fn what_waited_waits_again_and_what_was_confirmed_is_forgotten() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    let ids: Vec<_> = (0..4).map(|nonce| bench.submit(ALICE.sends(nonce)).unwrap()).collect();
    bench.submit(BOB.sends(0)).unwrap();
    bench.mine(1);
    let waiting = bench.submit(ALICE.sends(4)).unwrap();
    let mut again = replayed(&network, &bench.store);
    let kept = again.store.transactions().to_vec();
    assert_eq!(kept.len(), 6);
    again.handle(Input::Restore(kept));
    assert_eq!(again.node.mempool_status().transactions, 1);
    assert!(again.node.pending(&waiting).is_some());
    assert!(again.node.pending(&ids[0]).is_none());
    assert_eq!(again.store.transactions().len(), 6);
    assert!(again.news.is_empty());
}

#[test]
fn a_better_branch_that_was_kept_but_not_taken_is_taken_at_the_start() {
    let network = Network::easy();
    let mut bench = Bench::new(&network, miner());
    bench.mine(1);
    // Power was cut after the log had the blocks and before the database followed.
    let mut store = bench.store.clone();
    let mut other = Bench::new(&network, miner_for(BOB));
    for bytes in other.mine(3) {
        use cairn_core::store::Store as _;
        store.append(&other.check(&bytes).unwrap()).unwrap();
    }
    let mut again = Bench::over(&network, miner(), store);
    assert_eq!(again.height(), 1);
    again.handle(Input::Restore(vec![]));
    assert_eq!(again.tip(), other.tip());
    assert_eq!(again.node.header_at(Height(1), &again.store).unwrap().unwrap().1.producer, BOB.address());
}
