//! Vectors of other projects against the rules of this one: time stamps that broke a retarget, leaves
//! as long as an inner node, doubled tails, and 256-bit arithmetic.
//!
//! Where the files come from, and what they mean here, is told in
//! `docs/spec/vectors/external/README.md`.

#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use cairn_core::difficulty::Difficulty;
use cairn_core::hash::{LeafHash, Tag};
use cairn_core::merkle::{MerkleProof, MerkleProofError, root};
use cairn_core::target::{CompactTarget, Target, Work};
use cairn_hash::Sha256;
use ruint::aliases::U256;
use serde_json::Value;

const TIMESTAMPS: &str = include_str!("../../../docs/spec/vectors/external/bip54/timestamps.json");
const SIZES: &str = include_str!("../../../docs/spec/vectors/external/bip54/txsize.json");
const MALLEABILITY: &str =
    include_str!("../../../docs/spec/vectors/external/merkle/merkle_malleability.json");
const RETARGET: &str = include_str!("../../../docs/spec/vectors/external/difficulty/bitcoin_retarget.json");

const INTERVAL_MS: u64 = 600_000;
const HALF_LIFE_MS: u64 = 60 * INTERVAL_MS;
/// Difficulty 1 of Bitcoin: where the time stamps begin.
const FIRST_TARGET: CompactTarget = CompactTarget(0x1d00_ffff);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    const_hex::decode(value.as_str().unwrap()).unwrap()
}

fn hashes(value: &Value) -> Vec<[u8; 32]> {
    value.as_array().unwrap().iter().map(|hash| bytes(hash).try_into().unwrap()).collect()
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finish()
}

fn bitcoin_hash(parts: &[&[u8]]) -> [u8; 32] {
    sha256(&[&sha256(parts)])
}

/// The time stamps of every path from the root of the tree of headers to a leaf, in seconds.
fn stamps(node: &Value, before: &[u64], chains: &mut Vec<Vec<u64>>) {
    let mut stamps_here = before.to_vec();
    for header in node["block_headers"].as_array().unwrap() {
        let stamp: [u8; 4] = bytes(header)[68..72].try_into().unwrap();
        stamps_here.push(u64::from(u32::from_le_bytes(stamp)));
    }
    match node["extensions"].as_array() {
        Some(extensions) => extensions.iter().for_each(|it| stamps(it, &stamps_here, chains)),
        None => chains.push(stamps_here),
    }
}

/// What a miner gets who stamps blocks in this way: HDR-3 makes a stamp that goes back the least one
/// that does not.
struct Replay {
    blocks: u64,
    refused: u64,
    elapsed_ms: u64,
    work: Work,
    target: Target,
}

fn replay(stamps: &[u64]) -> Replay {
    let first = FIRST_TARGET.expand().unwrap();
    let limit = Target::from_value(first.value() << 4).unwrap();
    let rule = Difficulty { interval_ms: INTERVAL_MS, half_life_ms: HALF_LIFE_MS, limit };
    let start = stamps[0] * 1_000;
    let mut time = start;
    let mut done = Replay { blocks: 0, refused: 0, elapsed_ms: 0, work: Work::ZERO, target: first };
    for stamp in &stamps[1..] {
        let asked = stamp * 1_000;
        let stamped = asked.max(time + 1);
        done.refused += u64::from(stamped != asked);
        done.blocks += 1;
        done.work = done.work + done.target.work();
        done.target = rule.next_target(done.target, stamped - time).expand().unwrap();
        time = stamped;
    }
    done.elapsed_ms = time - start;
    done
}

fn log2(target: Target) -> f64 {
    let CompactTarget(bits) = target.to_compact();
    f64::from(bits & 0x00ff_ffff).log2() + 8.0 * f64::from(bits >> 24)
}

#[test]
fn attack_b02_timewarp_gains_less_than_five_percent() {
    let mut chains = Vec::new();
    stamps(&json(TIMESTAMPS), &[], &mut chains);
    assert_eq!(chains.len(), 9);
    for chain in &chains {
        let done = replay(chain);
        assert!(done.refused > 0, "every chain has a stamp that goes back");
        // Blocks for their work: the same number at constant difficulty would cost `honest`.
        let honest = FIRST_TARGET.expand().unwrap().work().value() * U256::from(done.blocks);
        let gain_permille = honest * U256::from(1_000u64) / done.work.value();
        assert!(gain_permille <= U256::from(1_050u64), "{gain_permille} ‰ of the honest blocks");
    }
}

/// The steps telescope: stamps to and fro leave the target where the time that passed puts it.
#[test]
fn attack_b02_timewarp_moves_the_target_by_elapsed_time_alone() {
    let mut chains = Vec::new();
    stamps(&json(TIMESTAMPS), &[], &mut chains);
    for chain in &chains {
        let done = replay(chain);
        let ms = |number: u64| f64::from(u32::try_from(number).unwrap());
        let expected = (ms(done.elapsed_ms) - ms(done.blocks * INTERVAL_MS)) / ms(HALF_LIFE_MS);
        let moved = log2(done.target) - log2(FIRST_TARGET.expand().unwrap());
        // What rounding adds up to over 4,000 steps makes work harder, never easier.
        assert!(moved - expected < 0.001, "{moved} halvings for {expected}");
        assert!(expected - moved < 0.2, "{moved} halvings for {expected}");
    }
}

/// A Bitcoin transaction without its witness: what stands as a leaf in Bitcoin's tree.
fn without_witness(transaction: &[u8]) -> Vec<u8> {
    if transaction[4..6] != [0, 1] {
        return transaction.to_vec();
    }
    let mut end = 6;
    let skip_count = |at: &mut usize| {
        *at += 1;
        transaction[*at - 1]
    };
    for _ in 0..skip_count(&mut end) {
        end += 36;
        end += usize::from(skip_count(&mut end)) + 4;
    }
    for _ in 0..skip_count(&mut end) {
        end += 8;
        end += usize::from(skip_count(&mut end));
    }
    let (version, lock_time) = (&transaction[..4], &transaction[transaction.len() - 4..]);
    [version, &transaction[6..end], lock_time].concat()
}

#[test]
fn attack_a06_a_leaf_of_64_bytes_is_no_inner_node() {
    let cases = json(SIZES);
    let mut leaves_as_long_as_a_node = 0;
    for case in cases.as_array().unwrap() {
        let leaf = without_witness(&bytes(&case["tx"]));
        assert_eq!(case["valid"].as_bool().unwrap(), leaf.len() != 64, "{case}");
        if leaf.len() != 64 {
            continue;
        }
        leaves_as_long_as_a_node += 1;
        let (left, right): ([u8; 32], [u8; 32]) =
            (leaf[..32].try_into().unwrap(), leaf[32..].try_into().unwrap());
        // Without tags, the leaf and the node above its halves are one hash: the proof of the one is
        // the proof of the other.
        assert_eq!(bitcoin_hash(&[&leaf]), bitcoin_hash(&[&left, &right]));
        let other = LeafHash([7; 32]);
        let root = root(&[LeafHash(left), LeafHash(right), other, other]);
        let node = Tag::TX_NODE.hash(&[&left, &right]);
        let beside = Tag::TX_NODE.hash(&[&other.0, &other.0]);
        let proof = MerkleProof { index: 0, count: 2, siblings: vec![beside] };
        assert_eq!(proof.verify(LeafHash(node), root), Ok(()), "the node itself is in the tree");
        let as_leaf = LeafHash(Tag::LEAF.hash(&[&leaf]));
        assert!(matches!(proof.verify(as_leaf, root), Err(MerkleProofError::RootMismatch { .. })));
    }
    assert_eq!(leaves_as_long_as_a_node, 10);
}

#[test]
fn attack_a06_the_malleability_vectors_hold() {
    let vectors = json(MALLEABILITY);
    let case = &vectors["cve_2017_12842"];
    let (left, right) = (bytes(&case["left"]), bytes(&case["right"]));
    let leaf = [left.as_slice(), &right].concat();
    assert_eq!(bitcoin_hash(&[&left, &right]).to_vec(), bytes(&case["untagged_inner"]));
    assert_eq!(bitcoin_hash(&[&leaf]).to_vec(), bytes(&case["untagged_hash_of_64_byte_leaf"]));
    assert_ne!(Tag::TX_NODE.hash(&[&left, &right]), Tag::LEAF.hash(&[&leaf]));
}

/// Bitcoin's root: a node without a partner is joined with itself.
fn bitcoin_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        let pairs = level.chunks(2);
        level = pairs.map(|pair| bitcoin_hash(&[&pair[0], pair.last().unwrap()])).collect();
    }
    level[0]
}

#[test]
fn attack_a05_doubled_tails_share_a_root_in_bitcoin_and_not_here() {
    let vectors = json(MALLEABILITY);
    let cases = vectors["cve_2012_2459"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (leaves, doubled) = (hashes(&case["leaves"]), hashes(&case["duplicated"]));
        let both = bytes(&case["bitcoin_root_both"]);
        assert_eq!(bitcoin_root(&leaves).to_vec(), both);
        assert_eq!(bitcoin_root(&doubled).to_vec(), both);
        let ours = |leaves: &[[u8; 32]]| root(&leaves.iter().copied().map(LeafHash).collect::<Vec<_>>());
        assert_ne!(ours(&leaves), ours(&doubled));
        assert_eq!(ours(&leaves).0, shape(&leaves, &|pair| Tag::TX_NODE.hash(pair)));
        assert_eq!(ours(&doubled).0, shape(&doubled, &|pair| Tag::TX_NODE.hash(pair)));
    }
}

/// RFC 6962 §2.1 with a join of one's own.
fn shape(leaves: &[[u8; 32]], join: &dyn Fn(&[&[u8]]) -> [u8; 32]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            join(&[&shape(left, join), &shape(right, join)])
        }
    }
}

/// The shape that the tests of the tree compare with is the one that gives the published roots.
#[test]
fn merkle_rfc6962_published_roots_come_from_the_same_shape() {
    let vectors = json(MALLEABILITY);
    let leaf = |value: &Value| sha256(&[&[0], &bytes(value)]);
    let leaves: Vec<[u8; 32]> = vectors["rfc6962_leaves"].as_array().unwrap().iter().map(leaf).collect();
    let roots = vectors["rfc6962_roots_by_count"].as_array().unwrap();
    assert_eq!(roots.len(), 9);
    for (count, expected) in roots.iter().enumerate() {
        let found = shape(&leaves[..count], &|pair| sha256(&[&[1], pair[0], pair[1]]));
        assert_eq!(found.to_vec(), bytes(expected), "{count} leaves");
        let ours: Vec<_> = leaves[..count].iter().copied().map(LeafHash).collect();
        let same_shape = shape(&leaves[..count], &|pair| Tag::TX_NODE.hash(pair));
        assert_eq!(root(&ours).0, if count == 0 { [0; 32] } else { same_shape }, "{count} leaves");
    }
}

/// Not a rule of Cairn: it multiplies, divides and rounds 256-bit numbers as Bitcoin does.
#[test]
fn target_arithmetic_agrees_with_bitcoins_retarget() {
    let vectors = json(RETARGET);
    let limit = U256::from_be_bytes::<32>(bytes(&vectors["pow_limit"]).try_into().unwrap());
    let timespan = vectors["target_timespan"].as_u64().unwrap();
    let compact = |value: &Value| CompactTarget(u32::from_str_radix(value.as_str().unwrap(), 16).unwrap());
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let took = case["last_time"].as_u64().unwrap() - case["first_time"].as_u64().unwrap();
        let took = took.clamp(timespan / 4, timespan * 4);
        let before = compact(&case["bits"]).expand().unwrap().value();
        let next = (before * U256::from(took) / U256::from(timespan)).min(limit);
        assert_eq!(Target::from_value(next).unwrap().to_compact(), compact(&case["next_bits"]));
    }
}
