//! `cairn send --preview`: what a payment would cost, before anybody signs it.

use crate::api::render;
use crate::api::views::{AccountView, Status, Units};
use crate::cli::network::Network;
use crate::failure::CliError;
use crate::output::{self, Facts, Style, grouped, plural};
use cairn_core::numbers::{Amount, FeeRate};
use cairn_core::transaction::TransactionBody;
use cairn_wallet::FeePreview;
use serde_json::json;

/// How many transfers are listed; all of them are in the JSON.
const LISTED_MAX: usize = 10;

pub(super) fn show(
    bodies: &[TransactionBody],
    account: &AccountView,
    status: &Status,
    network: &Network,
    json: bool,
) -> Result<(), CliError> {
    let prefix = network.prefix()?;
    let base_fee = FeeRate::from(status.fees.base_fee);
    let previews: Vec<FeePreview> = bodies.iter().map(|body| FeePreview::of(body, base_fee)).collect();
    let sum = |part: fn(&FeePreview) -> Option<Amount>| {
        previews.iter().map(part).try_fold(Amount::ZERO, |sum, fee| sum.checked_add(fee?))
    };
    let (now, greatest) = (sum(|it| it.now), sum(|it| it.greatest));
    let weight: u64 = previews.iter().map(|it| it.weight.0).sum();
    let transfers: Vec<_> = bodies.iter().flat_map(|body| &body.transfers).collect();
    let amount = Amount::checked_sum(transfers.iter().map(|it| it.amount)).unwrap_or(Amount::MAX);
    let owned = Amount::from(account.pending_balance.unwrap_or(account.balance));
    let left = now.and_then(|fee| owned.checked_sub(amount)?.checked_sub(fee));
    if json {
        let bodies: Vec<_> = bodies.iter().map(|body| render::body_view(body, &prefix)).collect();
        output::print_json(&json!({
            "sender": account.address, "bodies": bodies, "weight": weight, "amount": Units::from(amount),
            "base_fee": status.fees.base_fee, "fee_now": now.map(Units::from),
            "fee_greatest": greatest.map(Units::from), "balance": Units::from(owned),
            "balance_after": left.map(Units::from),
        }));
        return Ok(());
    }
    let mut facts = Facts::default();
    facts.styled("from", Style::Name, network.known_as(&account.address));
    for transfer in transfers.iter().take(LISTED_MAX) {
        let to = network.known_as(&transfer.to.to_text(&prefix));
        facts.styled("pays", Style::Strong, format!("{} to {to}", network.coins(transfer.amount)));
    }
    if let Some(more) = transfers.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        facts.add("", format!("and {} more, {} in all", grouped(more as u64), network.coins(amount)));
    }
    if bodies.len() > 1 {
        facts.add("in", plural(bodies.len() as u64, "transaction"));
    }
    match now {
        Some(fee) => facts.styled("fee now", Style::Strong, network.coins(fee)),
        None => {
            facts.styled("fee now", Style::Warning, "the rate is below what blocks ask for: it would wait")
        }
    };
    if let Some(greatest) = greatest.filter(|greatest| Some(*greatest) != now) {
        facts.add("fee at most", network.coins(greatest));
    }
    facts.add("weight", grouped(weight));
    match left {
        Some(left) => facts.add("leaves", network.coins(left)),
        None => facts.styled("leaves", Style::Warning, "too little for the fee"),
    };
    facts.print();
    output::note("nothing was sent");
    Ok(())
}
