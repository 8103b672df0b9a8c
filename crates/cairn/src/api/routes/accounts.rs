//! Accounts: now, in the past, proven, and what changed them.

use crate::api::Api;
use crate::api::errors::{ApiError, of_transaction};
use crate::api::input::{NoQuery, PathText, address, page_limit, query};
use crate::api::render;
use crate::api::views::{
    AccountEntry, AccountEntryKind, AccountProof, AccountQuery, AccountView, Bytes, ErrorBody, Hash,
    HistoryQuery, StateLeafView, parse_number,
};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use cairn_core::account::{Account, AccountIndex};
use cairn_core::address::Address;
use cairn_core::block::{SealedBlock, decode_block};
use cairn_core::codec::Encode as _;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Amount, FeeRate, Height};
use cairn_core::rules::matured_height;
use cairn_core::state::ProofEnd;
use cairn_core::store::PAYMENT_PLACE;
use cairn_core::transaction::{IdentifiedTransaction, trust_all};
use cairn_node::queries::AccountProof as Proven;
use cairn_store::StoreError;
use cairn_store::ledger::{PastAccount, Place};
use std::sync::Arc;

/// How many entries a page has if nothing is said.
const PAGE_ENTRIES: u32 = 20;
/// How often a look into the past is tried again because the chain moved meanwhile.
const PAST_TRIES_MAX: usize = 5;

/// An account; one that was never used has zeros.
#[utoipa::path(get, path = "/v1/accounts/{address}", tag = "chain",
    params(("address" = String, Path, description = "The address"), AccountQuery),
    responses((status = 200, body = AccountView), (status = "default", body = ErrorBody))
)]
pub(in crate::api) async fn one(
    State(api): State<Arc<Api>>,
    PathText(text): PathText,
    uri: Uri,
) -> Result<Json<AccountView>, ApiError> {
    let AccountQuery { at } = query(&uri)?;
    let address = address(&text, api.rules().prefix())?;
    let text = address.to_text(api.rules().prefix());
    if let Some(at) = at {
        let account = past(&api, &address, Height(at)).await?;
        return Ok(Json(AccountView {
            address: text,
            balance: account.balance.into(),
            nonce: account.nonce.0,
            pending_balance: None,
            pending_nonce: None,
            height: at,
        }));
    }
    let (account, height) =
        api.node.ask(move |node, _| (node.account(&address), node.tip().header.height)).await?;
    Ok(Json(AccountView {
        address: text,
        balance: account.confirmed.balance.into(),
        nonce: account.confirmed.nonce.0,
        pending_balance: Some(account.pending_balance.into()),
        pending_nonce: Some(account.pending_nonce.0),
        height: height.0,
    }))
}

/// What an account was after the block at a height.
async fn past(api: &Api, address: &Address, height: Height) -> Result<Account, ApiError> {
    let address = *address;
    for _ in 0..PAST_TRIES_MAX {
        let (now, tip) =
            api.node.ask(move |node, _| (node.account_index(&address), node.tip().header.clone())).await?;
        if height > tip.height {
            return Err(ApiError::height_ahead(height.0, tip.height.0));
        }
        // Accounts are never deleted: one that does not exist now never did.
        let Some((index, account)) = now else { return Ok(Account::default()) };
        let reader = api.node.reader().clone();
        let read = move || {
            let found = reader.account_at(index, account, height)?;
            Ok::<_, StoreError>((found, reader.header(reader.tip())?))
        };
        let (found, tip_now) = api.reads.run(read).await?;
        if tip_now.is_some_and(|(_, header)| header == tip) {
            return match found {
                PastAccount::Known(account) => Ok(account.unwrap_or_default()),
                PastAccount::OutOfWindow => {
                    let lowest = tip.height.0.saturating_sub(api.node.undo_window());
                    Err(ApiError::history_unavailable(height.0, lowest))
                }
                PastAccount::TooFarToFind => Err(ApiError::history_too_far(height.0)),
            };
        }
    }
    Err(ApiError::slow_down())
}

/// What shows an account, or that there is none, under the state root of the tip.
#[utoipa::path(get, path = "/v1/accounts/{address}/proof", tag = "chain",
    params(("address" = String, Path, description = "The address")),
    responses((status = 200, body = AccountProof), (status = "default", body = ErrorBody))
)]
pub(in crate::api) async fn proof(
    State(api): State<Arc<Api>>,
    _: NoQuery,
    PathText(text): PathText,
) -> Result<Response, ApiError> {
    let address = address(&text, api.rules().prefix())?;
    let proven = api.node.ask(move |node, _| node.prove_account(&address)).await?;
    api.answer_apart(move |api| show_proof(api, &address, proven).map(Json)).await
}

/// A proof with the seal of its block.
fn show_proof(api: &Api, address: &Address, proven: Proven) -> Result<AccountProof, ApiError> {
    let block = api.node.reader().block(&proven.block)?.ok_or_else(ApiError::store_failed)?;
    let decoded = decode_block(&block.bytes).map_err(|_| ApiError::store_failed())?;
    let path = address.path();
    let leaf = match proven.proof.end {
        ProofEnd::Empty => None,
        ProofEnd::Leaf { path, value } => Some(StateLeafView { path: path.into(), value: Bytes(value) }),
    };
    let exists = leaf.as_ref().is_some_and(|leaf| leaf.path == path.into());
    Ok(AccountProof {
        address: address.to_text(api.rules().prefix()),
        path: path.into(),
        balance: exists.then(|| proven.account.balance.into()),
        nonce: exists.then_some(proven.account.nonce.0),
        height: proven.header.height.0,
        block: proven.block.into(),
        header: Bytes(proven.header.to_bytes()),
        seal: render::seal(&decoded.seal),
        siblings: proven.proof.siblings.into_iter().map(Hash).collect(),
        leaf,
    })
}

/// What changed an account, the newest first.
#[utoipa::path(get, path = "/v1/accounts/{address}/transactions", tag = "chain",
    params(("address" = String, Path, description = "The address"), HistoryQuery),
    responses((status = 200, body = [AccountEntry]), (status = "default", body = ErrorBody))
)]
pub(in crate::api) async fn history(
    State(api): State<Arc<Api>>,
    PathText(text): PathText,
    uri: Uri,
) -> Result<Response, ApiError> {
    let HistoryQuery { before, limit } = query(&uri)?;
    let limit = page_limit(limit, PAGE_ENTRIES)?;
    let before = before.map(|text| cursor(&text)).transpose()?;
    let address = address(&text, api.rules().prefix())?;
    let Some((index, _)) = api.node.ask(move |node, _| node.account_index(&address)).await? else {
        return Ok(Json::<Vec<AccountEntry>>(Vec::new()).into_response());
    };
    api.answer_apart(move |api| page(api, &address, index, before, limit).map(Json)).await
}

/// What changed an account before a place, the newest first.
fn page(
    api: &Api,
    address: &Address,
    index: AccountIndex,
    before: Option<Place>,
    limit: usize,
) -> Result<Vec<AccountEntry>, ApiError> {
    let reader = api.node.reader();
    let mut entries = Vec::new();
    let mut open: Option<(BlockId, SealedBlock)> = None;
    for place in reader.touched(index, before, limit)? {
        if open.as_ref().is_none_or(|(_, block)| block.header.height != place.height) {
            let Some(block) = reader.block_at(place.height)? else { continue };
            let decoded = decode_block(&block.bytes).map_err(|_| ApiError::store_failed())?;
            open = Some((block.id, decoded));
        }
        let Some((id, block)) = &open else { continue };
        entries.extend(describe(api, address, place, *id, block)?);
    }
    Ok(entries)
}

/// A cursor: `height.place`, or a height.
pub(in crate::api) fn cursor(text: &str) -> Result<Place, ApiError> {
    let (height, place) = text.split_once('.').unwrap_or((text, "0"));
    let read = || Some(Place { height: Height(parse_number(height)?), place: parse_number(place)? });
    read().ok_or_else(|| ApiError::malformed_parameter("before", "a height or a cursor `height.place`"))
}

/// What happened to an account at a place; none if only a block that left the chain touched it there.
fn describe(
    api: &Api,
    address: &Address,
    place: Place,
    id: BlockId,
    block: &SealedBlock,
) -> Result<Option<AccountEntry>, ApiError> {
    let header = &block.header;
    let mut entry = AccountEntry {
        cursor: format!("{}.{}", place.height, place.place),
        kind: AccountEntryKind::Payment,
        height: header.height.0,
        block: id.into(),
        time_ms: header.time.0,
        id: None,
        sender: None,
        received: None,
        sent: None,
        fee: None,
        fees_earned: None,
        reward: None,
    };
    if place.place == PAYMENT_PLACE {
        let (fees, reward) = payment(api, address, block)?;
        let received = fees.checked_add(reward).ok_or_else(ApiError::store_failed)?;
        entry.received = Some(received.into());
        entry.fees_earned = Some(fees.into());
        entry.reward = Some(reward.into());
        return Ok((received > Amount::ZERO).then_some(entry));
    }
    let index = usize::try_from(place.place).map_err(|_| ApiError::store_failed())?;
    let Some(transaction) = block.body.transactions.get(index) else { return Ok(None) };
    let identified = IdentifiedTransaction::new(transaction.clone(), api.rules().identity());
    let checked = trust_all(vec![identified], api.rules()).map_err(|(_, error)| of_transaction(&error))?;
    let Some(checked) = checked.first() else { return Ok(None) };
    let transfers = &checked.body().transfers;
    let own = transfers.iter().filter(|transfer| transfer.to == *address).map(|transfer| transfer.amount);
    let received = Amount::checked_sum(own).ok_or_else(ApiError::store_failed)?;
    let is_sender = checked.sender() == *address;
    if !is_sender && received == Amount::ZERO {
        return Ok(None);
    }
    let fee = checked.fees(header.base_fee).map(|fees| fees.total().into());
    Ok(Some(AccountEntry {
        kind: if is_sender { AccountEntryKind::Sent } else { AccountEntryKind::Received },
        id: Some(checked.id().into()),
        sender: Some(checked.sender().to_text(api.rules().prefix())),
        received: Some(received.into()),
        sent: is_sender.then(|| checked.amount().into()),
        fee: fee.filter(|_| is_sender),
        ..entry
    }))
}

/// What an account is paid at the end of a block: the fees as its producer, and the reward of the
/// block whose reward matures in it.
fn payment(api: &Api, address: &Address, block: &SealedBlock) -> Result<(Amount, Amount), ApiError> {
    let (rules, header) = (api.rules(), &block.header);
    let mut fees = Amount::ZERO;
    if header.producer == *address {
        fees = producer_fees(block, rules.section().fees.burn).ok_or_else(ApiError::store_failed)?;
    }
    let Some(earlier) = matured_height(rules, header.height) else { return Ok((fees, Amount::ZERO)) };
    let earner = if earlier == header.height {
        Some(header.producer)
    } else {
        api.node.reader().header(earlier)?.map(|(_, header)| header.producer)
    };
    let is_earner = earner == Some(*address);
    Ok((fees, if is_earner { rules.section().issuance.reward(earlier) } else { Amount::ZERO }))
}

/// What the producer of a block gets of its fees; none if they fit no amount, as those of a valid
/// block do.
fn producer_fees(block: &SealedBlock, is_base_burned: bool) -> Option<Amount> {
    let SealedBlock { header, body, .. } = block;
    let base = if is_base_burned { Amount::ZERO } else { header.weight_used.checked_fee(header.base_fee)? };
    body.transactions.iter().try_fold(base, |sum, transaction| {
        match transaction.body.tip_rate(header.base_fee)? {
            FeeRate(0) => Some(sum),
            rate => sum.checked_add(transaction.weight().checked_fee(rate)?),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_height_or_a_place_in_a_block() {
        assert_eq!(cursor("12"), Ok(Place { height: Height(12), place: 0 }));
        assert_eq!(cursor("12.4294967295"), Ok(Place { height: Height(12), place: PAYMENT_PLACE }));
        for bad in ["", "x", "1.", ".1", "1.-1", "-1", "1.2.3", "1.4294967296", "01", "1.00", "+1", "1.+0"] {
            assert_eq!(cursor(bad).unwrap_err().code, "malformed-parameter", "{bad}");
        }
    }
}
