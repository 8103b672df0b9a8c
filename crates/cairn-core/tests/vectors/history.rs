//! `history.json`: histories of 0 to 9 blocks, their roots, and the proof of every block.

use crate::fixture::{hex, wide};
use crate::settle;
use cairn_core::codec::Encode as _;
use cairn_core::hash::{BlockId, HistoryRoot, Tag};
use cairn_core::history::{History, HistoryError, HistoryNode, HistoryProof, Summary, way};
use cairn_core::numbers::Timestamp;
use cairn_core::target::{CompactTarget, Work};
use ruint::aliases::U256;
use serde_json::{Value, json};

/// An id that stands for the block at a height.
fn id(height: u64) -> BlockId {
    BlockId(Tag::HEADER.hash(&[&height.to_le_bytes()]))
}

fn summary(height: u64) -> Summary {
    let bits = |height: u64| CompactTarget(0x1e00_ffff + u32::try_from(height).unwrap());
    let time = |height: u64| Timestamp(1_700_000_000_000 + height * height * 1_000);
    Summary {
        count: 1,
        work: bits(height).expand().unwrap().work(),
        start_time: time(height.saturating_sub(1)),
        end_time: time(height),
        start_target: bits(height),
        next_target: bits(height + 1),
    }
}

fn summary_json(summary: &Summary) -> Value {
    json!({
        "count": wide(summary.count),
        "work": summary.work.to_string(),
        "start_time_ms": wide(summary.start_time.0),
        "end_time_ms": wide(summary.end_time.0),
        "start_target": summary.start_target.to_string(),
        "next_target": summary.next_target.to_string(),
        "bytes": hex(summary.to_bytes()),
    })
}

fn leaf(height: u64) -> HistoryNode {
    HistoryNode::leaf(&id(height), summary(height))
}

/// The node over `count` blocks from `start` on, in the words of RFC 6962.
fn node(start: u64, count: u64) -> HistoryNode {
    if count == 1 {
        return leaf(start);
    }
    let split = count.next_power_of_two() / 2;
    HistoryNode::join(&node(start, split), &node(start + split, count - split)).unwrap()
}

fn proof(height: u64, count: u64) -> HistoryProof {
    let partners = way(height, count).iter().map(|step| node(step.start, step.count)).collect();
    HistoryProof { height, count, summary: summary(height), partners }
}

fn tree(count: u64) -> Value {
    let history = (0..count).fold(History::new(), |history, height| history.append(leaf(height), |_| ()));
    let root = history.root();
    let one = |height| {
        let proof = proof(height, count);
        assert_eq!(proof.verify(&id(height), root), Ok(()));
        let places = way(height, count);
        let partners = proof.partners.iter().zip(places).map(|(node, step)| {
            json!({"start": wide(step.start), "is_left": step.is_left, "hash": hex(node.hash), "summary": summary_json(&node.summary)})
        });
        json!({"height": wide(height), "partners": partners.collect::<Vec<_>>(), "bytes": hex(proof.to_bytes())})
    };
    json!({
        "count": wide(count),
        "root": root.to_string(),
        "top": history.top().map(|top| json!({"hash": hex(top.hash), "summary": summary_json(&top.summary)})),
        "proofs": (0..count).map(one).collect::<Vec<_>>(),
    })
}

fn refused() -> Vec<Value> {
    let root = tree_root(9);
    let good = proof(4, 9);
    let with = |change: &dyn Fn(&mut HistoryProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof
    };
    let cases = [
        ("a partner that ends at another time", 4, with(&|it| it.partners[1].summary.start_time.0 += 1)),
        (
            "a partner that begins with another target",
            4,
            with(&|it| it.partners[0].summary.start_target.0 += 1),
        ),
        ("work beyond 256 bits", 4, with(&|it| it.partners[0].summary.work = Work::from_value(U256::MAX))),
        ("a height outside", 4, with(&|it| it.height = 9)),
        ("a node is missing", 4, with(&|it| it.partners.truncate(3))),
        ("a partner of another size", 4, with(&|it| it.partners[1].summary.count = 3)),
        ("a block that counts two", 4, with(&|it| it.summary.count = 2)),
        ("another block", 5, with(&|_| ())),
        ("less work", 4, with(&|it| it.partners[0].summary.work = Work::from_value(U256::ONE))),
    ];
    let one = |(what, block, proof): (&str, u64, HistoryProof)| {
        let rule = match proof.verify(&id(block), root).unwrap_err() {
            HistoryError::TimesDoNotJoin { .. } => "HIS-1",
            HistoryError::TargetsDoNotJoin { .. } => "HIS-2",
            HistoryError::SumOverflow => "HIS-3",
            HistoryError::HeightOutside { .. } => "HIS-4",
            HistoryError::Length { .. } => "HIS-5",
            HistoryError::Count { .. } => "HIS-6",
            HistoryError::RootMismatch { .. } => "HIS-7",
        };
        json!({"what": what, "id": id(block).to_string(), "root": root.to_string(), "proof": hex(proof.to_bytes()), "rule": rule})
    };
    cases.into_iter().map(one).collect()
}

fn tree_root(count: u64) -> HistoryRoot {
    node(0, count).to_root()
}

#[test]
fn the_vectors_of_history_hold() {
    let blocks = (0..9).map(|height| {
        let leaf = leaf(height);
        json!({"id": id(height).to_string(), "summary": summary_json(&leaf.summary), "leaf": hex(leaf.hash)})
    });
    settle(
        "history",
        &json!({
            "blocks": blocks.collect::<Vec<_>>(),
            "trees": (0..=9).map(tree).collect::<Vec<_>>(),
            "refused": refused(),
        }),
    );
}
