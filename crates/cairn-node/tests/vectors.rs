//! `messages.json`: what nodes tell each other, as fields and as bytes.
//!
//! The test compares what it computes with the file in `docs/spec/vectors`; with `BLESS=1` it writes the
//! file instead. `docs/spec/check.py` recomputes it from the page alone. The blocks are those of
//! `blocks.json`.

#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use cairn_core::block::{SealedBlock, decode_block};
use cairn_core::codec::Encode as _;
use cairn_core::hash::{BlockId, LeafHash, Tag as HashTag};
use cairn_core::transaction::{IdentifiedTransaction, Transaction};
use cairn_node::compact::CompactBlock;
use cairn_node::wire::{BULK_TAGS, Message, PEER_TAGS, Tag, WireError};
use serde_json::{Value, json};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/vectors");

#[expect(clippy::disallowed_methods, reason = "a test that reads and rewrites vectors")]
fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(format!("{FOLDER}/{name}.json"));
    let text = text.unwrap_or_else(|error| panic!("{name}.json: {error}; `cargo xtask bless` writes it"));
    serde_json::from_str(&text).unwrap()
}

/// Compares what was computed with the file, section by section, or writes it.
#[expect(clippy::disallowed_methods, reason = "a test that reads and rewrites vectors")]
fn settle(name: &str, computed: &Value) {
    if std::env::var_os("BLESS").is_some() {
        let text = format!("{}\n", serde_json::to_string_pretty(computed).unwrap());
        return std::fs::write(format!("{FOLDER}/{name}.json"), text).unwrap();
    }
    let kept = read(name);
    let sections = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(sections(&kept), sections(computed));
    for section in sections(computed) {
        let cases = |value: &Value| value[&section].as_array().unwrap().clone();
        assert_eq!(cases(&kept).len(), cases(computed).len(), "{section}; `cargo xtask bless` writes it");
        for (kept, computed) in cases(&kept).iter().zip(&cases(computed)) {
            assert_eq!(kept, computed, "{section}; `cargo xtask bless` writes it, if that was meant");
        }
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    const_hex::encode(bytes)
}

fn hexes<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(hex).collect()
}

/// The blocks of `blocks.json`, with what they are, and the identity under which they were signed.
fn blocks() -> (Vec<(String, SealedBlock)>, BlockId) {
    let file = read("blocks");
    let identity = BlockId(const_hex::decode_to_array(file["identity"].as_str().unwrap()).unwrap());
    let one = |case: &Value| {
        let bytes = const_hex::decode(case["bytes"].as_str().unwrap()).unwrap();
        (case["what"].as_str().unwrap().to_owned(), decode_block(&bytes).unwrap())
    };
    (file["blocks"].as_array().unwrap().iter().map(one).collect(), identity)
}

fn fields(message: &Message) -> Value {
    let canonical = |transactions: &[Transaction]| hexes(transactions.iter().map(|it| it.to_bytes()));
    match message {
        Message::Announce(leaves) | Message::GetTransactions(leaves) | Message::NotFound(leaves) => {
            json!({"leaves": hexes(leaves.iter().map(|leaf| leaf.0))})
        }
        Message::Transactions(transactions) => json!({"transactions": canonical(transactions)}),
        Message::GetHeaders { locator, stop } => {
            json!({"locator": hexes(locator.iter().map(|id| id.0)), "stop": hex(stop.0)})
        }
        Message::Headers(headers) => json!({"headers": hexes(headers.iter().map(|it| it.to_bytes()))}),
        Message::GetCompact(id) => json!({"block": hex(id.0)}),
        Message::Compact(block) => json!({
            "header": hex(block.header.to_bytes()),
            "salt": block.salt.to_string(),
            "certificate": hex(block.certificate.as_ref().map(|it| it.to_bytes()).unwrap_or_default()),
            "extra": hex(&block.extra),
            "short_ids": hexes(&block.short_ids),
        }),
        Message::GetBlockTransactions { block, places } => json!({"block": hex(block.0), "places": places}),
        Message::BlockTransactions { block, transactions } => {
            json!({"block": hex(block.0), "transactions": canonical(transactions)})
        }
        Message::GetBlocks(ids) => json!({"blocks": hexes(ids.iter().map(|id| id.0))}),
        Message::Block(bytes) => json!({"block": hex(bytes)}),
        Message::GetGenesis(id) => json!({"identity": hex(id.0)}),
        Message::Genesis(piece) => json!({"piece": hex(piece)}),
    }
}

fn messages(blocks: &[(String, SealedBlock)], identity: &BlockId) -> Vec<(String, Message)> {
    let full = &blocks[1].1;
    let transactions = full.body.transactions.clone();
    let leaves: Vec<LeafHash> = IdentifiedTransaction::new_all(transactions.clone(), identity)
        .iter()
        .map(IdentifiedTransaction::leaf)
        .collect();
    let many: Vec<LeafHash> = (1..=9).map(|byte| LeafHash([byte; 32])).collect();
    let ids: Vec<BlockId> = blocks.iter().map(|(_, block)| block.id()).collect();
    let header = |at: usize| CompactBlock::from_bytes(&blocks[at].1.to_bytes(), identity, 0).unwrap().header;
    let mut messages = vec![
        ("two transactions are here", Message::Announce(leaves.clone())),
        ("nine, which need a longer form", Message::Announce(many.clone())),
        ("none", Message::Announce(Vec::new())),
        ("two are wanted", Message::GetTransactions(leaves)),
        ("nine are not here", Message::NotFound(many)),
        ("two transactions", Message::Transactions(transactions.clone())),
        ("none", Message::Transactions(Vec::new())),
        ("up to the tip", Message::GetHeaders { locator: ids.clone(), stop: BlockId::ZERO }),
        ("up to a header", Message::GetHeaders { locator: vec![ids[0]], stop: ids[1] }),
        ("a header with each kind of seal", Message::Headers(vec![header(0), header(1), header(2)])),
        ("nothing above", Message::Headers(Vec::new())),
        ("in short", Message::GetCompact(ids[1])),
        ("places", Message::GetBlockTransactions { block: ids[1], places: vec![0, 1, 70_000] }),
        ("what stands there", Message::BlockTransactions { block: ids[1], transactions }),
        ("too many for a message", Message::BlockTransactions { block: ids[1], transactions: Vec::new() }),
        ("three blocks", Message::GetBlocks(ids[..3].to_vec())),
        ("a block", Message::Block(full.to_bytes().into())),
        ("the genesis file", Message::GetGenesis(*identity)),
        ("a piece of it", Message::Genesis(b"[network]\nid = 77\n".to_vec())),
    ];
    // A salt in each form of a number.
    for salt in [7, 200, 60_000, 4_000_000_000, u64::MAX] {
        let block = CompactBlock::from_bytes(&full.to_bytes(), identity, salt).unwrap();
        messages.push(("with a salt", Message::Compact(Box::new(block))));
    }
    messages.into_iter().map(|(what, message)| (what.to_owned(), message)).collect()
}

/// MessagePack as it is written by hand: an array, then what stands in it.
fn packed(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn bin(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0xc6][..], &length, bytes].concat()
}

/// The bodies of a block in short whose salt is written as `salt`.
fn with_salt(block: &CompactBlock, salt: &[u8]) -> Vec<u8> {
    let certificate = block.certificate.as_ref().map(|it| it.to_bytes()).unwrap_or_default();
    packed(&[
        &[0x95],
        &bin(&block.header.to_bytes()),
        salt,
        &bin(&certificate),
        &bin(&block.extra),
        &bin(block.short_ids.as_flattened()),
    ])
}

fn other_forms(blocks: &[(String, SealedBlock)], identity: &BlockId) -> Vec<Value> {
    let hash = [7; 32];
    let mut forms = Vec::new();
    for (what, array) in
        [("array", &[0x91][..]), ("array16", &[0xdc, 0, 1]), ("array32", &[0xdd, 0, 0, 0, 1])]
    {
        for (how, mark) in
            [("bin8", &[0xc4, 32][..]), ("bin16", &[0xc5, 0, 32]), ("bin32", &[0xc6, 0, 0, 0, 32])]
        {
            forms.push((*b"GCM", format!("{what} and {how}"), packed(&[array, mark, &hash])));
        }
    }
    let one = [&[0xc4, 32][..], &hash].concat();
    forms.push((*b"GCM", "a field of a later version".to_owned(), packed(&[&[0x92], &one, &[0xc0]])));
    forms.push((*b"GCM", "two of them, one unfinished".to_owned(), packed(&[&[0x93], &one, &[0x07, 0xdc]])));
    forms.push((*b"GCM", "bytes behind the array".to_owned(), packed(&[&[0x91], &one, &[0xc1, 0xff]])));
    forms.push((*b"INV", "an empty bin of the longest form".to_owned(), packed(&[&[0x91], &bin(&[])])));
    let block = CompactBlock::from_bytes(&blocks[1].1.to_bytes(), identity, 7).unwrap();
    for (what, salt) in [
        ("uint8", &[0xcc, 7][..]),
        ("uint16", &[0xcd, 0, 7]),
        ("uint32", &[0xce, 0, 0, 0, 7]),
        ("uint64", &[0xcf, 0, 0, 0, 0, 0, 0, 0, 7]),
        ("int8", &[0xd0, 7]),
        ("int16", &[0xd1, 0, 7]),
        ("int32", &[0xd2, 0, 0, 0, 7]),
        ("int64", &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7]),
    ] {
        forms.push((*b"CMP", format!("the salt as {what}"), with_salt(&block, salt)));
    }
    let one = |(tag, what, body): ([u8; 3], String, Vec<u8>)| {
        let message = Message::from_body(Tag(tag), &body).unwrap();
        let shortest = message.to_body();
        json!({
            "what": what, "tag": Tag(tag).to_string(), "body": hex(body),
            "fields": fields(&message), "shortest": hex(shortest),
        })
    };
    forms.into_iter().map(one).collect()
}

const fn rule_of(error: &WireError) -> &'static str {
    match error {
        WireError::UnknownTag { .. } => "MSG-1",
        WireError::Shape { .. } => "MSG-2",
        WireError::TooLong { .. } => "MSG-3",
        WireError::Canonical { .. } => "MSG-4",
        WireError::Places { .. } => "MSG-5",
    }
}

fn refusals(blocks: &[(String, SealedBlock)], identity: &BlockId) -> Vec<Value> {
    let hash = [7; 32];
    let full = &blocks[1].1;
    let block = CompactBlock::from_bytes(&full.to_bytes(), identity, 7).unwrap();
    let transaction = full.body.transactions[0].to_bytes();
    let longer = [&transaction[..], &[0]].concat();
    let one_of = |bytes: &[u8]| packed(&[&[0x91, 0x91], &bin(bytes)]);
    let places = |places: &[u32]| {
        let bytes: Vec<[u8; 4]> = places.iter().map(|place| place.to_le_bytes()).collect();
        packed(&[&[0x92], &bin(&hash), &bin(bytes.as_flattened())])
    };
    let compact = with_salt(&block, &[7]);
    let cases = [
        (b"XXX", "a tag of no table", vec![0x90]),
        (b"gcm", "a tag in lower case", packed(&[&[0x91], &bin(&hash)])),
        (b"GCM", "nothing", Vec::new()),
        (b"GCM", "an array of nothing", vec![0x90]),
        (b"GCM", "a map", packed(&[&[0x81, 0x00], &bin(&hash)])),
        (b"GCM", "a hash without its array", bin(&hash)),
        (b"GCM", "a str", packed(&[&[0x91, 0xd9, 32], &hash])),
        (b"GCM", "an ext", packed(&[&[0x91, 0xc7, 32, 1], &hash])),
        (b"GCM", "an array of numbers", packed(&[&[0x91, 0xdc, 0, 32], &hash])),
        (b"GCM", "31 bytes", packed(&[&[0x91], &bin(&hash[1..])])),
        (b"GCM", "33 bytes", packed(&[&[0x91], &bin(&[7; 33])])),
        (b"GCM", "cut off", packed(&[&[0x91], &bin(&hash)[..36]])),
        (b"INV", "a hash and a half", packed(&[&[0x91], &bin(&[7; 48])])),
        (b"INV", "more bytes than there are", packed(&[&[0x91, 0xc5, 0, 64], &hash])),
        (b"GHD", "no stop", packed(&[&[0x91], &bin(&hash)])),
        (b"GBT", "a place and a half", packed(&[&[0x92], &bin(&hash), &bin(&[1, 0, 0, 0, 2, 0])])),
        (b"CMP", "a salt below zero", with_salt(&block, &[0xff])),
        (b"CMP", "a salt with a fraction", with_salt(&block, &[0xcb, 0x40, 0x1c, 0, 0, 0, 0, 0, 0])),
        (b"CMP", "no salt", with_salt(&block, &[0xc0])),
        (b"CMP", "a short id that is cut off", compact[..compact.len() - 1].to_vec()),
        (b"INV", "1001 hashes are announced", packed(&[&[0x91, 0xc6], &32_032u32.to_be_bytes()])),
        (b"GET", "101 hashes", packed(&[&[0x91], &bin(&[7; 101 * 32])])),
        (b"NOF", "101 hashes", packed(&[&[0x91], &bin(&[7; 101 * 32])])),
        (b"GHD", "a locator of 65", packed(&[&[0x92], &bin(&[7; 65 * 32]), &bin(&hash)])),
        (b"GBL", "129 blocks", packed(&[&[0x91], &bin(&[7; 129 * 32])])),
        (b"TXN", "101 transactions are announced", vec![0x91, 0xdc, 0, 101]),
        (b"HDR", "2001 headers are announced", vec![0x91, 0xdc, 0x07, 0xd1]),
        (b"GEN", "a piece beyond 1 MiB is announced", vec![0x91, 0xc6, 0, 0x10, 0, 1]),
        (b"BLK", "a block beyond 16 MiB is announced", vec![0x91, 0xc6, 1, 0, 0, 1]),
        (b"TXN", "a transaction with a byte too many", one_of(&longer)),
        (b"TXN", "a transaction without its last byte", one_of(&transaction[..transaction.len() - 1])),
        (b"HDR", "a header without a seal", one_of(&full.header.to_bytes())),
        (b"HDR", "a header with a seal of kind 4", one_of(&[&full.header.to_bytes()[..], &[4]].concat())),
        (b"GBT", "places that descend", places(&[0, 5, 4])),
        (b"GBT", "a place twice", places(&[2, 2])),
    ];
    let one = |(tag, what, body): (&[u8; 3], &str, Vec<u8>)| {
        let error = Message::from_body(Tag(*tag), &body).unwrap_err();
        json!({"what": what, "tag": Tag(*tag).to_string(), "body": hex(body), "rule": rule_of(&error)})
    };
    cases.into_iter().map(one).collect()
}

/// Blocks in short, with all that leads to their short ids.
fn in_short(blocks: &[(String, SealedBlock)], identity: &BlockId) -> Vec<Value> {
    let mut cases = Vec::new();
    for (what, block) in blocks {
        for salt in [0, 0x0102_0304_0506_0708] {
            let bytes = block.to_bytes();
            let short = CompactBlock::from_bytes(&bytes, identity, salt).unwrap();
            let seal_hash = block.header.seal_hash();
            let transactions = IdentifiedTransaction::new_all(block.body.transactions.clone(), identity);
            cases.push(json!({
                "what": what,
                "identity": hex(identity.0),
                "block": hex(bytes),
                "salt": salt.to_string(),
                "key": hex(HashTag::SHORT_ID.hash(&[&seal_hash.0, &salt.to_le_bytes()])),
                "leaves": hexes(transactions.iter().map(|it| it.leaf().0)),
                "short_ids": hexes(&short.short_ids),
                "body": hex(Message::Compact(Box::new(short)).to_body()),
            }));
        }
    }
    cases
}

fn tags() -> Vec<Value> {
    let one = |stream: &'static str| move |(tag, limit): (Tag, usize)| json!({"tag": tag.to_string(), "stream": stream, "body_bytes_max": limit});
    PEER_TAGS.into_iter().map(one("peer")).chain(BULK_TAGS.into_iter().map(one("bulk"))).collect()
}

#[test]
fn the_vectors_of_messages_hold() {
    let (blocks, identity) = blocks();
    let messages: Vec<Value> = messages(&blocks, &identity)
        .iter()
        .map(|(what, message)| {
            let (tag, body) = (message.tag(), message.to_body());
            assert_eq!(Message::from_body(tag, &body).as_ref(), Ok(message));
            json!({"what": what, "tag": tag.to_string(), "fields": fields(message), "body": hex(body)})
        })
        .collect();
    settle(
        "messages",
        &json!({
            "tags": tags(),
            "messages": messages,
            "other_forms": other_forms(&blocks, &identity),
            "refused": refusals(&blocks, &identity),
            "in_short": in_short(&blocks, &identity),
        }),
    );
}
