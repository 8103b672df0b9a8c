//! Bodies of fuzz targets for whatever a request brings: each takes any bytes and panics only if a promise is
//! broken.
//!
//! Ordinary functions like those of `cairn_core::fuzz`, so that tests on any toolchain and a coverage-guided
//! fuzzer run the same.

use crate::api::errors::ApiError;
use crate::api::guard::{Hosts, Scheme};
use crate::api::input::{
    Form, SUBMIT_TRANSACTIONS_MAX, address, block_name, form_of, page_limit, parse_json, query, submission,
    transaction_id,
};
use crate::api::routes::accounts::cursor;
use crate::api::routes::peers::Change;
use crate::api::views::{
    AccountQuery, BlockQuery, BlocksQuery, EventsQuery, FaucetRequest, HistoryQuery, LogRequest,
    MempoolQuery, MineRequest, PeersRequest, SignedTransaction, parse_number,
};
use crate::invite::{self, Invite};
use crate::tracker::DeadRequest;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use cairn_core::address::AddressPrefix;
use cairn_core::codec::{Encode as _, decode_exact};
use cairn_core::transaction::Transaction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 23] = [
    ("query_blocks", reads_query::<BlocksQuery>),
    ("query_block", reads_query::<BlockQuery>),
    ("query_account", reads_query::<AccountQuery>),
    ("query_history", reads_query::<HistoryQuery>),
    ("query_mempool", reads_query::<MempoolQuery>),
    ("query_events", reads_query::<EventsQuery>),
    ("path_block", path_block),
    ("path_transaction", path_transaction),
    ("path_address", path_address),
    ("cursor", reads_cursor),
    ("number", reads_number),
    ("body_transaction", reads_json::<SignedTransaction>),
    ("body_faucet", reads_json::<FaucetRequest>),
    ("body_mine", reads_json::<MineRequest>),
    ("body_log", reads_json::<LogRequest>),
    ("body_peers", body_peers),
    ("body_dead", reads_json::<DeadRequest>),
    ("invite", reads_invite),
    ("invite_content", reads_invite_content),
    ("submission_json", |bytes| reads_submission(Form::Json, bytes)),
    ("submission_bytes", |bytes| reads_submission(Form::Octets, bytes)),
    ("header_kind", header_kind),
    ("header_host", header_host),
];

/// A refusal has a code, a sentence and advice, and does not grow with what was sent.
fn check_refusal(error: &ApiError) {
    const TEXT_BYTES_MAX: usize = 4096;
    assert!(error.status.is_client_error(), "{error}");
    assert!(!error.code.is_empty() && !error.message.is_empty() && !error.help.is_empty(), "{error}");
    assert!(error.message.len() + error.help.len() <= TEXT_BYTES_MAX, "{error}");
}

/// What was read from JSON is read again, the same, from how it is written.
fn reads_json<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    match parse_json::<T>(bytes) {
        Ok(value) => {
            let text = serde_json::to_vec(&value).expect("it came from JSON");
            let again = parse_json::<T>(&text).expect("what we write we read");
            assert_eq!(again, value);
        }
        Err(error) => check_refusal(&error),
    }
}

fn body_peers(bytes: &[u8]) {
    reads_json::<PeersRequest>(bytes);
    if let Ok(request) = parse_json(bytes)
        && let Err(error) = Change::read(&request)
    {
        check_refusal(&error);
    }
}

fn reads_query<T: DeserializeOwned>(bytes: &[u8]) {
    let target = [b"/x?", bytes].concat();
    if let Ok(uri) = Uri::try_from(target)
        && let Err(error) = query::<T>(&uri)
    {
        check_refusal(&error);
    }
}

/// Calls `read` with the bytes as a text, if they are one.
fn with_text(bytes: &[u8], read: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
}

fn path_block(bytes: &[u8]) {
    with_text(bytes, |text| {
        if let Err(error) = block_name(text) {
            check_refusal(&error);
        }
    });
}

fn path_transaction(bytes: &[u8]) {
    with_text(bytes, |text| match transaction_id(text) {
        Ok(id) => assert!(id.to_string().eq_ignore_ascii_case(text)),
        Err(error) => check_refusal(&error),
    });
}

fn path_address(bytes: &[u8]) {
    let prefix = prefix();
    with_text(bytes, |text| match address(text, &prefix) {
        Ok(address) => assert!(address.to_text(&prefix).eq_ignore_ascii_case(text)),
        Err(error) => check_refusal(&error),
    });
}

fn reads_cursor(bytes: &[u8]) {
    with_text(bytes, |text| {
        if let Err(error) = cursor(text) {
            check_refusal(&error);
        }
    });
}

/// A number has one text.
fn reads_number(bytes: &[u8]) {
    with_text(bytes, |text| {
        if let Some(number) = parse_number::<u64>(text) {
            assert_eq!(number.to_string(), text);
            let limit = page_limit(u32::try_from(number).ok(), 20);
            assert!(limit.is_err() || limit.is_ok_and(|limit| (1..=1000).contains(&limit)));
        }
    });
}

fn reads_submission(form: Form, bytes: &[u8]) {
    let submission = match submission(form, bytes, &prefix()) {
        Ok(submission) => submission,
        Err(error) => return check_refusal(&error),
    };
    assert!((1..=SUBMIT_TRANSACTIONS_MAX).contains(&submission.transactions.len()));
    let mut all = Vec::new();
    for transaction in submission.transactions {
        match transaction {
            Ok(transaction) => {
                let canonical = transaction.to_bytes();
                if let Ok(again) = decode_exact::<Transaction>(&canonical) {
                    assert_eq!(again, transaction);
                }
                all.extend(canonical);
            }
            Err(error) => check_refusal(&error),
        }
    }
    assert!(form == Form::Json || all == bytes, "bytes that are not canonical were taken");
}

fn header_kind(bytes: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
        if let Err(error) = form_of(&headers) {
            check_refusal(&error);
        }
    }
}

/// Only the names of the node are taken, in whatever case.
fn header_host(bytes: &[u8]) {
    const PORT: u16 = 7780;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let hosts = Hosts::new(Scheme::Plain, address, &[]);
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let headers = HeaderMap::from_iter([(header::HOST, value)]);
        match hosts.check(&Method::GET, &Uri::from_static("/v1/status"), &headers, address) {
            Ok(()) => {
                let names = ["127.0.0.1:7780", "localhost:7780", "[::1]:7780"];
                assert!(names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(bytes)));
            }
            Err(error) => check_refusal(&error),
        }
    }
}

/// An invite has one text, but for its case and space around it.
fn reads_invite(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(invite) = text.parse::<Invite>() {
        assert!(invite.to_string().eq_ignore_ascii_case(text.trim()));
    }
}

/// Any bytes with a checksum that holds, which no fuzzer would find.
fn reads_invite_content(bytes: &[u8]) {
    let prefix = bech32::Hrp::parse(invite::PREFIX).expect("letters are a human-readable part");
    if let Ok(text) = bech32::encode::<bech32::Bech32m>(prefix, bytes) {
        reads_invite(text.as_bytes());
    }
}

fn prefix() -> AddressPrefix {
    AddressPrefix::new("cairn").expect("letters make a prefix")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Good texts of many kinds, as the start for changes.
    fn good_bytes() -> Vec<Vec<u8>> {
        let key = cairn_wallet::development_account("alice").unwrap();
        let body = crate::api::views::BodyView {
            version: 1,
            nonce: 0,
            valid_until: 0,
            max_fee_rate: cairn_core::numbers::FeeRate(1).into(),
            tip_rate: cairn_core::numbers::FeeRate(0).into(),
            transfers: vec![crate::api::views::TransferView {
                to: key.address().to_text(&prefix()),
                amount: cairn_core::numbers::Amount::from_units(5).into(),
            }],
            data: crate::api::views::Bytes(vec![1, 2]),
        };
        let signed = key.sign(
            &crate::api::input::body(body.clone(), &prefix()).unwrap(),
            &cairn_core::hash::BlockId([1; 32]),
        );
        let witness = crate::api::render::witness_view(&signed.witness);
        let json = serde_json::to_string(&SignedTransaction { body, witness }).unwrap();
        let address = key.address().to_text(&prefix());
        let texts = [
            format!("[{json},{json}]"),
            json,
            format!("{{\"address\":\"{address}\",\"amount\":\"5\"}}"),
            "{\"blocks\":3,\"mode\":\"interval\"}".to_owned(),
            address,
            "a".repeat(64),
            "before=7&limit=20".to_owned(),
            "at=5".to_owned(),
            "full=true".to_owned(),
            "7.3".to_owned(),
            "tip".to_owned(),
            "18446744073709551615".to_owned(),
            "LocalHost:7780".to_owned(),
            "{\"address\":\"192.0.2.7:7700\"}".to_owned(),
            invite(),
            "application/json; charset=utf-8".to_owned(),
        ];
        let bytes = signed.to_bytes();
        let content = const_hex::decode(
            // Version, length, identity, `x`, one IPv4 address.
            ["012a00", &"07".repeat(32), "0178", "01", "01c00002011e14"].concat(),
        );
        let all = [bytes.repeat(2), bytes, content.unwrap()];
        texts.map(String::into_bytes).into_iter().chain(all).collect()
    }

    fn invite() -> String {
        let place = "192.0.2.1:7700".parse().unwrap();
        Invite::new(cairn_core::hash::BlockId([7; 32]), "x", vec![place]).unwrap().to_string()
    }

    #[test]
    fn the_good_invites_are_good() {
        assert!(invite().parse::<Invite>().is_ok());
        let content = good_bytes().pop().unwrap();
        let prefix = bech32::Hrp::parse(invite::PREFIX).unwrap();
        let text = bech32::encode::<bech32::Bech32m>(prefix, &content).unwrap();
        assert!(text.parse::<Invite>().is_ok());
    }

    fn run_all(bytes: &[u8]) {
        for (_, target) in TARGETS {
            target(bytes);
        }
    }

    #[test]
    fn good_bytes_keep_every_promise() {
        good_bytes().iter().for_each(|bytes| run_all(bytes));
    }

    proptest! {
        #[test]
        fn random_bytes_break_no_promise(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            run_all(&bytes);
        }

        #[test]
        fn changed_bytes_break_no_promise(
            which in any::<proptest::sample::Index>(),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
        ) {
            let all = good_bytes();
            let mut bytes = which.get(&all).clone();
            for (place, byte, kind) in changes {
                if bytes.is_empty() {
                    break;
                }
                let place = place.index(bytes.len());
                match kind {
                    0 => bytes.truncate(place),
                    1 => bytes.extend_from_within(place..),
                    2 => bytes.insert(place, byte),
                    _ => bytes[place] = byte,
                }
            }
            run_all(&bytes);
        }
    }
}
