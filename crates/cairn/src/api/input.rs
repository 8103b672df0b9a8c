//! What requests bring: bodies within their limits, queries, and the texts in paths.

use crate::api::errors::{ApiError, of_address, of_decode};
use crate::api::views::{BodyView, SignedTransaction, WitnessView, parse_number};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use cairn_core::address::{Address, AddressPrefix};
use cairn_core::codec::{Decode as _, Reader};
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::{Height, Nonce};
use cairn_core::signature::{Scheme, Witness};
use cairn_core::transaction::{Transaction, TransactionBody, Transfer};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use std::future::poll_fn;
use std::pin::Pin;

/// The most bytes of a body where a path says nothing else.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of a body with transactions.
pub const SUBMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most transactions of one request.
pub const SUBMIT_TRANSACTIONS_MAX: usize = 1_000;
/// The most items of a page.
pub const PAGE_ITEMS_MAX: u32 = 1_000;

/// The part of the path that names something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::from_request_parts(parts, state).await;
        text.map(|Path(text)| Self(text)).map_err(|_| ApiError::malformed_parameter("the path", "UTF-8"))
    }
}

/// That a request has no query, where the path takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(ApiError::malformed_query("this path takes no parameters")),
        }
    }
}

/// In which form a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// Canonical bytes.
    Octets,
}

/// The form that the headers announce.
///
/// # Errors
///
/// `unsupported-media-type` if it is another one, or none.
pub fn form_of(headers: &HeaderMap) -> Result<Form, ApiError> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(Form::Json)
    } else if kind.eq_ignore_ascii_case("application/octet-stream") {
        Ok(Form::Octets)
    } else {
        Err(ApiError::unsupported_media_type("application/json or application/octet-stream"))
    }
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
///
/// `body-too-large`, or `broken-body` if the client ends before.
pub async fn read_body(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(ApiError::body_too_large(limit));
    }
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| ApiError::broken_body())?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(ApiError::body_too_large(limit));
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            // Most bodies come in one piece, which is then not copied.
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Reads a body of JSON; an empty one stands for the default.
///
/// # Errors
///
/// `unsupported-media-type`, `body-too-large`, `broken-body` or `malformed-json`.
pub async fn read_json_or_default<T: DeserializeOwned + Default>(request: Request) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = read_body(body, BODY_BYTES_MAX).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    only_json(&parts.headers)?;
    parse_json(&bytes)
}

/// Reads a body of JSON.
///
/// # Errors
///
/// `unsupported-media-type`, `body-too-large`, `broken-body` or `malformed-json`.
pub async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    only_json(request.headers())?;
    let bytes = read_body(request.into_body(), BODY_BYTES_MAX).await?;
    parse_json(&bytes)
}

fn only_json(headers: &HeaderMap) -> Result<(), ApiError> {
    match form_of(headers) {
        Ok(Form::Json) => Ok(()),
        Ok(Form::Octets) | Err(_) => Err(ApiError::unsupported_media_type("application/json")),
    }
}

/// Reads JSON.
///
/// # Errors
///
/// `malformed-json`.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::malformed_json(&error))
}

/// Reads the query of a request.
///
/// # Errors
///
/// `malformed-query`.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    let query = Query::try_from_uri(uri);
    query.map(|Query(value)| value).map_err(|error| ApiError::malformed_query(&error.body_text()))
}

/// The number of items of a page.
///
/// # Errors
///
/// `malformed-parameter` if it is 0 or above the limit.
pub fn page_limit(asked: Option<u32>, default: u32) -> Result<usize, ApiError> {
    let limit = asked.unwrap_or(default);
    if limit == 0 || limit > PAGE_ITEMS_MAX {
        return Err(ApiError::malformed_parameter("limit", "a number from 1 to 1000"));
    }
    Ok(usize::try_from(limit).expect("at most 1000"))
}

/// An address of the network.
///
/// # Errors
///
/// ADR rules.
pub fn address(text: &str, prefix: &AddressPrefix) -> Result<Address, ApiError> {
    Address::from_text(text, prefix).map_err(|error| of_address(&error))
}

/// The id of a transaction.
///
/// # Errors
///
/// `malformed-parameter`.
pub fn transaction_id(text: &str) -> Result<TransactionId, ApiError> {
    let expected = "a transaction id of 64 hexadecimal digits";
    text.parse().map_err(|_| ApiError::malformed_parameter("the id", expected))
}

/// Which block a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockName {
    /// The highest of the chain.
    Tip,
    /// The one at a height of the chain.
    Height(Height),
    /// The one with an id, on any branch.
    Id(BlockId),
}

/// Reads the name of a block.
///
/// # Errors
///
/// `malformed-parameter`.
pub fn block_name(text: &str) -> Result<BlockName, ApiError> {
    if text == "tip" {
        return Ok(BlockName::Tip);
    }
    if let Ok(id) = text.parse() {
        return Ok(BlockName::Id(id));
    }
    parse_number(text).map(|height| BlockName::Height(Height(height))).ok_or_else(|| {
        ApiError::malformed_parameter("the block", "a height, an id of 64 hexadecimal digits, or `tip`")
    })
}

/// Transactions of a request, and whether it brought a single one.
#[derive(Debug)]
pub struct Submission {
    /// Each, or why it cannot even be a transaction.
    pub transactions: Vec<Result<Transaction, ApiError>>,
    /// Whether the answer is about one and not a list.
    pub is_single: bool,
}

/// Reads transactions.
///
/// # Errors
///
/// `malformed-json`, BYT rules, `too-many-items` or `no-items`.
pub fn submission(form: Form, bytes: &[u8], prefix: &AddressPrefix) -> Result<Submission, ApiError> {
    let submission = match form {
        Form::Octets => {
            let transactions = concatenated(bytes)?;
            Submission { is_single: transactions.len() == 1, transactions }
        }
        Form::Json if bytes.trim_ascii_start().first() == Some(&b'[') => {
            let list: Vec<SignedTransaction> = parse_json(bytes)?;
            if list.len() > SUBMIT_TRANSACTIONS_MAX {
                return Err(ApiError::too_many_items(SUBMIT_TRANSACTIONS_MAX));
            }
            let transactions = list.into_iter().map(|it| signed_transaction(it, prefix)).collect();
            Submission { transactions, is_single: false }
        }
        Form::Json => {
            let one = signed_transaction(parse_json(bytes)?, prefix)?;
            Submission { transactions: vec![Ok(one)], is_single: true }
        }
    };
    if submission.transactions.is_empty() { Err(ApiError::no_items()) } else { Ok(submission) }
}

/// Transactions in canonical bytes, one behind the other.
fn concatenated(bytes: &[u8]) -> Result<Vec<Result<Transaction, ApiError>>, ApiError> {
    let mut reader = Reader::new(bytes);
    let mut transactions = Vec::new();
    while reader.remaining() > 0 {
        if transactions.len() == SUBMIT_TRANSACTIONS_MAX {
            return Err(ApiError::too_many_items(SUBMIT_TRANSACTIONS_MAX));
        }
        transactions.push(Ok(Transaction::decode(&mut reader).map_err(|error| of_decode(&error))?));
    }
    Ok(transactions)
}

/// A transaction from its JSON shape.
///
/// # Errors
///
/// ADR rules, or `malformed-parameter` for a key or a signature of another length.
pub fn signed_transaction(
    signed: SignedTransaction,
    prefix: &AddressPrefix,
) -> Result<Transaction, ApiError> {
    Ok(Transaction { body: body(signed.body, prefix)?, witness: witness(&signed.witness)? })
}

/// What a sender signs, from its JSON shape.
///
/// # Errors
///
/// ADR rules.
pub fn body(view: BodyView, prefix: &AddressPrefix) -> Result<TransactionBody, ApiError> {
    let transfers = view
        .transfers
        .into_iter()
        .map(|transfer| Ok(Transfer { to: address(&transfer.to, prefix)?, amount: transfer.amount.into() }));
    Ok(TransactionBody {
        version: view.version,
        nonce: Nonce(view.nonce),
        valid_until: Height(view.valid_until),
        max_fee_rate: view.max_fee_rate.into(),
        tip_rate: view.tip_rate.into(),
        transfers: transfers.collect::<Result<_, ApiError>>()?,
        data: view.data.0,
    })
}

fn witness(view: &WitnessView) -> Result<Witness, ApiError> {
    match Scheme::from_name(&view.scheme) {
        Some(Scheme::Ed25519) => {
            let key = view.key.0.as_slice().try_into();
            let signature = view.signature.0.as_slice().try_into();
            Ok(Witness::Ed25519 {
                key: key.map_err(|_| ApiError::malformed_parameter("witness.key", "32 bytes"))?,
                signature: signature
                    .map_err(|_| ApiError::malformed_parameter("witness.signature", "64 bytes"))?,
            })
        }
        Some(found) => Err(crate::api::errors::of_transaction(
            &cairn_core::transaction::TransactionError::SchemeNotEnabled { found },
        )),
        None => Err(ApiError::malformed_parameter("witness.scheme", "the name of a signature scheme")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> AddressPrefix {
        AddressPrefix::new("cairn").unwrap()
    }

    fn code<T: std::fmt::Debug>(result: Result<T, ApiError>) -> &'static str {
        result.unwrap_err().code
    }

    #[test]
    fn a_block_is_named_by_height_id_or_tip() {
        assert_eq!(block_name("tip"), Ok(BlockName::Tip));
        assert_eq!(block_name("12"), Ok(BlockName::Height(Height(12))));
        let digits = "1".repeat(64);
        assert_eq!(block_name(&digits), Ok(BlockName::Id(digits.parse().unwrap())));
        for bad in ["", "-1", "+1", "1.0", "0x1", "Tip", "99999999999999999999", "١٢"] {
            assert_eq!(code(block_name(bad)), "malformed-parameter", "{bad}");
        }
    }

    #[test]
    fn a_number_has_one_text_in_paths_and_queries() {
        use crate::api::views::{AccountQuery, BlocksQuery, EventsQuery, HistoryQuery, MempoolQuery};
        fn reads<T: DeserializeOwned>(query_text: &str) -> bool {
            let uri: Uri = format!("/x?{query_text}").parse().unwrap();
            query::<T>(&uri).is_ok()
        }
        let reads_everywhere = |number: &str| {
            [
                reads::<BlocksQuery>(&format!("before={number}")),
                reads::<BlocksQuery>(&format!("limit={number}")),
                reads::<AccountQuery>(&format!("at={number}")),
                reads::<HistoryQuery>(&format!("limit={number}")),
                reads::<MempoolQuery>(&format!("before={number}")),
                reads::<MempoolQuery>(&format!("limit={number}")),
                reads::<EventsQuery>(&format!("after={number}")),
            ]
        };
        for good in ["0", "7", "10", "4294967295", "%35"] {
            assert_eq!(reads_everywhere(good), [true; 7], "{good}");
        }
        let bad =
            ["", "05", "00", "+5", "%2B5", "-0", "-5", "5.0", "5e1", "0x5", "5_0", "%205", "5%20", "%D9%A5"];
        for bad in bad {
            assert_eq!(reads_everywhere(bad), [false; 7], "{bad}");
        }
        for bad in ["05", "00", "+5", "-0", "5.0", " 5", "\u{665}"] {
            assert_eq!(code(block_name(bad)), "malformed-parameter", "{bad}");
        }
    }

    #[test]
    fn a_page_has_one_to_a_thousand_items() {
        assert_eq!(page_limit(None, 20), Ok(20));
        assert_eq!(page_limit(Some(1000), 20), Ok(1000));
        assert_eq!(code(page_limit(Some(0), 20)), "malformed-parameter");
        assert_eq!(code(page_limit(Some(1001), 20)), "malformed-parameter");
    }

    #[test]
    fn only_the_two_forms_are_read() {
        let form = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            form_of(&headers)
        };
        assert_eq!(form("application/json; charset=utf-8"), Ok(Form::Json));
        assert_eq!(form("Application/Octet-Stream"), Ok(Form::Octets));
        assert_eq!(code(form("text/plain")), "unsupported-media-type");
        assert_eq!(code(form_of(&HeaderMap::new())), "unsupported-media-type");
    }

    #[test]
    fn garbage_is_refused_with_a_code() {
        for bad in ["", "{", "nul", "{}", "[1]", "\"x\"", &"[".repeat(10_000), &"{\"a\":".repeat(10_000)] {
            assert_eq!(
                code(submission(Form::Json, bad.as_bytes(), &prefix())),
                "malformed-json",
                "{bad:.20}"
            );
        }
        assert_eq!(code(submission(Form::Json, b" []", &prefix())), "no-items");
        assert_eq!(code(submission(Form::Octets, b"", &prefix())), "no-items");
        assert_eq!(code(submission(Form::Octets, &[1, 2, 3], &prefix())), "truncated-bytes");
    }
}
