//! The examples of `docs/spec/09-api.md` have exactly the shapes that the program writes and reads.

use super::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PAGE: &str = include_str!("../../../../../docs/spec/09-api.md");

/// What marks an example, and the example.
fn examples() -> Vec<(&'static str, &'static str)> {
    let marked = PAGE.split("<!-- ").skip(1);
    marked
        .map(|part| {
            let (mark, rest) = part.split_once(" -->").expect("a mark ends");
            let body = rest.strip_prefix("\n```json\n").expect("an example follows its mark");
            (mark, body.split_once("\n```").expect("an example ends").0)
        })
        .collect()
}

/// Reads an example as a shape and writes it again: nothing may be lost, nothing added.
fn holds<T: Serialize + DeserializeOwned>(mark: &str, text: &str) {
    let example: Value = serde_json::from_str(text).unwrap();
    let shape: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{mark}: {error}"));
    assert_eq!(serde_json::to_value(shape).unwrap(), example, "{mark}");
}

#[test]
fn every_example_has_the_shape_of_its_view() {
    let mut seen = Vec::new();
    for (mark, text) in examples() {
        let check = match mark {
            "error 409" => holds::<ErrorBody>,
            "GET /v1/status" => holds::<Status>,
            "GET /v1/peers" => holds::<Vec<PeerView>>,
            "GET /v1/peers/kept" => holds::<Vec<KeptPeerView>>,
            "GET /v1/invite" => holds::<InviteView>,
            "GET /v1/peers/bans" => holds::<Vec<BanView>>,
            "POST /v1/peers request" => holds::<PeersRequest>,
            "POST /v1/peers 200" => holds::<PeersAnswer>,
            "POST /v1/mine request" => holds::<MineRequest>,
            "POST /v1/mine 200" => holds::<MineAnswer>,
            "POST /v1/faucet request" => holds::<FaucetRequest>,
            "POST /v1/faucet 202" => holds::<FaucetAnswer>,
            "POST /v1/log request" => holds::<LogRequest>,
            "POST /v1/log 200" => holds::<LogAnswer>,
            "POST /v1/shutdown 202" => holds::<ShutdownAnswer>,
            "GET /healthz" => holds::<Health>,
            "GET /readyz" => holds::<Readiness>,
            "GET /v1/blocks" => holds::<Vec<BlockSummary>>,
            "GET /v1/blocks/{block}" | "GET /v1/blocks/{block}?full=true" => holds::<BlockView>,
            "GET /v1/forks" => holds::<Vec<ForkView>>,
            "POST /v1/transactions request" => holds::<SignedTransaction>,
            "POST /v1/transactions 202" => holds::<Submitted>,
            "POST /v1/transactions 207" => holds::<Vec<SubmitResult>>,
            "GET /v1/transactions/{id}" => holds::<TransactionStatus>,
            "GET /v1/transactions/{id}/proof" => holds::<TransactionProof>,
            "GET /v1/accounts/{address}" | "GET /v1/accounts/{address}?at=0" => holds::<AccountView>,
            "GET /v1/accounts/{address}/proof" => holds::<AccountProof>,
            "GET /v1/accounts/{address}/transactions" => holds::<Vec<AccountEntry>>,
            "GET /v1/mempool" => holds::<Vec<MempoolEntry>>,
            "event" => holds::<Vec<EventView>>,
            "cairn devnet --json" => holds::<DevnetReady>,
            other => panic!("no shape for the example {other}"),
        };
        check(mark, text);
        seen.push(mark);
    }
    assert!(seen.len() >= 26, "{}", seen.len());
}

#[test]
fn every_kind_of_event_has_an_example() {
    let (_, text) = examples().into_iter().find(|(mark, _)| *mark == "event").unwrap();
    let events: Vec<EventView> = serde_json::from_str(text).unwrap();
    for name in ["block", "reorg", "transaction", "mempool", "peer", "sync", "finality", "reset"] {
        assert!(events.iter().any(|event| event.name() == name), "{name}");
    }
}
