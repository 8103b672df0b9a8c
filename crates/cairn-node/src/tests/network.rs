//! Several nodes that tell each other everything: they agree, and no coin comes from nothing.

use crate::chain::Imported;
use crate::config::{MiningMode, NodeConfig};
use crate::messages::{Event, Input};
use crate::testing::{Bench, Network, Person, RICH, miner_for};
use cairn_core::hash::BlockId;
use proptest::prelude::*;
use std::sync::Arc;

/// What happens next among the nodes.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A node is given a transaction.
    Submit { node: usize, from: u8, to: u8, amount: u64 },
    /// A node makes a block.
    Mine { node: usize },
    /// A node hears of a block that another has.
    Tell { node: usize, block: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..3, 2u8..6, 2u8..9, 1u64..1_000_000)
            .prop_map(|(node, from, to, amount)| Step::Submit { node, from, to, amount }),
        2 => (0usize..3).prop_map(|node| Step::Mine { node }),
        4 => (0usize..3, 0usize..1_000).prop_map(|(node, block)| Step::Tell { node, block }),
    ];
    prop::collection::vec(step, 1..80)
}

/// Tells a node of all blocks until nothing changes.
fn tell_all(bench: &mut Bench, blocks: &[Arc<[u8]>]) {
    loop {
        let verdicts: Vec<_> = blocks.iter().map(|bytes| bench.import_bytes(bytes).unwrap()).collect();
        if verdicts.iter().all(|verdict| matches!(verdict, Imported::Known)) {
            return;
        }
    }
}

/// What the events say about the chain, from block 0.
fn chain_of_events(news: &[Event]) -> Vec<BlockId> {
    let mut chain = Vec::new();
    for event in news {
        match event {
            Event::Reorganised { depth, disconnected, .. } => {
                let left = chain.split_off(chain.len() - usize::try_from(*depth).unwrap());
                assert_eq!(&left, disconnected);
            }
            Event::Block { block, .. } => {
                assert_eq!(block.height().0, chain.len() as u64 + 1);
                chain.push(block.id());
            }
            _ => {}
        }
    }
    chain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nodes_agree_after_they_have_told_each_other_everything(steps in steps()) {
        let network = Network::easy();
        let mut nodes: Vec<Bench> =
            (0..3).map(|i| Bench::new(&network, miner_for(Person(7 + i)))).collect();
        let mut blocks: Vec<Arc<[u8]>> = Vec::new();
        for step in steps {
            for node in &mut nodes {
                node.now = node.now.saturating_add_ms(100);
            }
            match step {
                Step::Submit { node, from, to, amount } => {
                    let bench = &mut nodes[node];
                    let nonce = bench.node.account(&Person(from).address()).pending_nonce.0;
                    bench.submit(Person(from).sends(nonce).to(Person(to), amount)).unwrap();
                }
                Step::Mine { node } => blocks.extend(nodes[node].mine(1)),
                Step::Tell { node, block } if !blocks.is_empty() => {
                    nodes[node].import_bytes(&blocks[block % blocks.len()]).unwrap();
                }
                Step::Tell { .. } => {}
            }
            for bench in &nodes {
                bench.node.mempool.check_indexes(&crate::node::view_of(&bench.node.chain));
            }
        }
        // One node ends two blocks ahead of all, so that there is one best chain.
        let mut best = 0;
        for node in 0..nodes.len() {
            tell_all(&mut nodes[node], &blocks);
            if nodes[node].height() > nodes[best].height() {
                best = node;
            }
        }
        blocks.extend(nodes[best].mine(2));
        let time = nodes[best].now;
        for bench in &mut nodes {
            bench.now = time;
            tell_all(bench, &blocks);
        }
        let tip = nodes[best].tip();
        for bench in &nodes {
            prop_assert_eq!(bench.tip(), tip);
            prop_assert_eq!(bench.node.supply(), nodes[best].node.supply());
            prop_assert!(bench.node.supply().units() <= 9 * RICH + 50 * bench.height());
            bench.node.mempool.check_indexes(&crate::node::view_of(&bench.node.chain));
            // Whoever follows the events knows the chain.
            prop_assert_eq!(chain_of_events(&bench.news).last().copied(), Some(tip));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_effects(steps in steps()) {
        let run = || {
            let network = Network::easy();
            let mut config: NodeConfig = miner_for(Person(1));
            config.mining.mode = MiningMode::OnTransaction;
            let mut bench = Bench::new(&network, config);
            for step in &steps {
                bench.wait_ms(100);
                match step {
                    Step::Submit { from, to, amount, .. } => {
                        let nonce = bench.node.account(&Person(*from).address()).pending_nonce.0;
                        bench.submit(Person(*from).sends(nonce).to(Person(*to), *amount)).unwrap();
                    }
                    Step::Mine { .. } if bench.job.is_some() => bench.seal(),
                    Step::Mine { .. } | Step::Tell { .. } => bench.handle(Input::Wakeup),
                }
            }
            (bench.tip(), format!("{:?}", bench.news))
        };
        prop_assert_eq!(run(), run());
    }
}
