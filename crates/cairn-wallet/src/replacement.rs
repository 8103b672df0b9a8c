//! Bumping and cancelling what waits: a body that a node takes in the place of a stuck one.
//!
//! Both follow MEM-5 of `docs/spec/07-mempool.md`: a replacement pays a tenth more than all that
//! it evicts, in its greatest fee rate, its tip rate and its greatest fee. Where the balance no
//! longer covers what the sender has waiting behind it, the last of these are evicted too, and count.

use crate::fees::signed_weight;
use cairn_core::address::Address;
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce};
use cairn_core::transaction::{TransactionBody, Transfer};

/// How much more than what it evicts a replacement pays at the least, in per cent (MEM-5).
pub const REPLACEMENT_PERCENT: u8 = 10;

/// What a sender has waiting, and what it owns.
#[derive(Clone, Debug)]
pub struct Waiting<'a> {
    /// Who sends.
    pub sender: Address,
    /// What the account has in the block of now.
    pub balance: Amount,
    /// All that waits, in the order of the nonces.
    pub lane: &'a [TransactionBody],
}

/// The least that a replacement offers, beside what the rule asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The most for a unit of weight, base fee and tip together.
    pub max_fee_rate: FeeRate,
    /// The tip for a unit of weight.
    pub tip_rate: FeeRate,
}

/// A body to sign, and what goes with the one that it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The body, with the nonce of the stuck one.
    pub body: TransactionBody,
    /// The later nonces that the balance no longer covers: the node drops them.
    pub evicts: Vec<Nonce>,
}

/// Why nothing can take the place of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplacementError {
    /// Nothing with the nonce waits: it is in a block, or was never there.
    #[error("nothing with the nonce {found} waits: it is in a block, or was dropped")]
    NotWaiting {
        /// The nonce asked for.
        found: Nonce,
    },
    /// What waits before it and the replacement take more than the account has.
    #[error("the account has {balance} base units, the replacement and what waits before it take {needed}")]
    Unaffordable {
        /// What the account has.
        balance: Amount,
        /// What it takes.
        needed: Amount,
    },
    /// A rate or a fee would exceed what a number holds.
    #[error("the replacement would have to pay more than 2^64 - 1 base units")]
    TooMuch,
}

impl Waiting<'_> {
    /// The same payment, paying more: as much as MEM-5 asks for, or the offer if that is more.
    ///
    /// # Errors
    ///
    /// [`ReplacementError`].
    pub fn bump(&self, nonce: Nonce, offer: Offer) -> Result<Replacement, ReplacementError> {
        let stuck = self.find(nonce)?;
        self.replace(stuck, offer)
    }

    /// A payment of one base unit to the sender itself, which uses the nonce up: the cheapest
    /// transaction there is.
    ///
    /// # Errors
    ///
    /// [`ReplacementError`].
    pub fn cancel(&self, nonce: Nonce, offer: Offer) -> Result<Replacement, ReplacementError> {
        let stuck = self.find(nonce)?;
        let to_itself = Transfer { to: self.sender, amount: Amount::from_units(1) };
        let nothing = TransactionBody {
            valid_until: Height(0),
            transfers: vec![to_itself],
            data: Vec::new(),
            ..stuck.clone()
        };
        self.replace(&nothing, offer)
    }

    fn find(&self, nonce: Nonce) -> Result<&TransactionBody, ReplacementError> {
        self.lane.iter().find(|body| body.nonce == nonce).ok_or(ReplacementError::NotWaiting { found: nonce })
    }

    /// Prices `wanted` so that it takes the place of what has its nonce. To evict more makes it
    /// dearer, and being dearer may evict more, so both are repeated until they agree.
    fn replace(&self, wanted: &TransactionBody, offer: Offer) -> Result<Replacement, ReplacementError> {
        let nonce = wanted.nonce;
        let stuck = self.find(nonce)?;
        let earlier: Vec<&TransactionBody> = self.lane.iter().filter(|body| body.nonce < nonce).collect();
        let mut later: Vec<&TransactionBody> = self.lane.iter().filter(|body| body.nonce > nonce).collect();
        let mut evicted = vec![stuck];
        loop {
            let body = priced(wanted, &evicted, offer)?;
            let kept = earlier.iter().chain(&later).map(|body| cost(body)).sum::<u128>();
            let needed = kept + cost(&body);
            if needed <= u128::from(self.balance.units()) {
                let evicts = evicted.iter().skip(1).map(|body| body.nonce).collect();
                return Ok(Replacement { body, evicts });
            }
            let Some(last) = later.pop() else {
                let needed = Amount::from_units(u64::try_from(needed).unwrap_or(u64::MAX));
                return Err(ReplacementError::Unaffordable { balance: self.balance, needed });
            };
            evicted.push(last);
        }
    }
}

/// `wanted` with the least rates that MEM-5 allows, and at least those of the offer.
fn priced(
    wanted: &TransactionBody,
    evicted: &[&TransactionBody],
    offer: Offer,
) -> Result<TransactionBody, ReplacementError> {
    let highest = |rate: fn(&TransactionBody) -> FeeRate| {
        evicted.iter().map(|body| u128::from(rate(body).0)).max().unwrap_or_default()
    };
    let fees: u128 = evicted.iter().map(|body| fee(body)).sum();
    let weight = u128::from(signed_weight(wanted).0);
    let max_fee_rate = raised(highest(|body| body.max_fee_rate))
        .max(raised(fees).div_ceil(weight))
        .max(u128::from(offer.max_fee_rate.0));
    let tip_rate = raised(highest(|body| body.tip_rate)).max(u128::from(offer.tip_rate.0));
    let narrow = |number: u128| u64::try_from(number).map_err(|_| ReplacementError::TooMuch);
    let body = TransactionBody {
        max_fee_rate: FeeRate(narrow(max_fee_rate)?),
        tip_rate: FeeRate(narrow(tip_rate)?),
        ..wanted.clone()
    };
    // TX-6: amounts and greatest fee fit an amount together.
    narrow(cost(&body))?;
    Ok(body)
}

/// The greatest fee.
fn fee(body: &TransactionBody) -> u128 {
    u128::from(signed_weight(body).0) * u128::from(body.max_fee_rate.0)
}

/// The amounts and the greatest fee.
fn cost(body: &TransactionBody) -> u128 {
    body.transfers.iter().map(|it| u128::from(it.amount.units())).sum::<u128>() + fee(body)
}

/// A tenth more, rounded up, and at least one more.
fn raised(number: u128) -> u128 {
    number + (number * u128::from(REPLACEMENT_PERCENT)).div_ceil(100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::transaction::TRANSACTION_VERSION;
    use proptest::prelude::*;

    const SENDER: Address = Address([1; 32]);

    fn body(nonce: u64, max_fee_rate: u64, tip_rate: u64, transfers: usize) -> TransactionBody {
        TransactionBody {
            version: TRANSACTION_VERSION,
            nonce: Nonce(nonce),
            valid_until: Height(100),
            max_fee_rate: FeeRate(max_fee_rate),
            tip_rate: FeeRate(tip_rate),
            transfers: vec![Transfer { to: Address([7; 32]), amount: Amount::from_units(1000) }; transfers],
            data: b"rent".to_vec(),
        }
    }

    fn waiting(lane: &[TransactionBody], balance: u64) -> Waiting<'_> {
        Waiting { sender: SENDER, balance: Amount::from_units(balance), lane }
    }

    /// MEM-5 in fractions, as the page says it.
    fn pays_a_tenth_more(new: &TransactionBody, evicted: &[&TransactionBody]) -> bool {
        let enough = |new: u128, old: u128| 10 * new >= 11 * old && new > old;
        let rates = evicted.iter().all(|old| {
            enough(new.max_fee_rate.0.into(), old.max_fee_rate.0.into())
                && enough(new.tip_rate.0.into(), old.tip_rate.0.into())
        });
        rates && enough(fee(new), evicted.iter().map(|old| fee(old)).sum())
    }

    #[test]
    fn a_bumped_payment_pays_the_same_people() {
        let lane = [body(5, 10, 0, 2)];
        let Replacement { body, evicts } =
            waiting(&lane, 1_000_000).bump(Nonce(5), Offer::default()).unwrap();
        let expected = TransactionBody { max_fee_rate: FeeRate(11), tip_rate: FeeRate(1), ..lane[0].clone() };
        assert_eq!(body, expected);
        assert_eq!(evicts, []);
    }

    #[test]
    fn whoever_offers_more_pays_more() {
        let lane = [body(5, 10, 4, 1)];
        let offer = Offer { max_fee_rate: FeeRate(50), tip_rate: FeeRate(40) };
        let bumped = waiting(&lane, 1_000_000).bump(Nonce(5), offer).unwrap().body;
        assert_eq!((bumped.max_fee_rate, bumped.tip_rate), (FeeRate(50), FeeRate(40)));
    }

    #[test]
    fn a_cancelled_payment_goes_to_its_sender_and_pays_its_whole_fee_and_more() {
        let lane = [body(5, 10, 2, 200)];
        let cancelled = waiting(&lane, 1_000_000_000).cancel(Nonce(5), Offer::default()).unwrap().body;
        let to_itself = Transfer { to: SENDER, amount: Amount::from_units(1) };
        assert_eq!(cancelled.transfers, [to_itself]);
        assert_eq!(cancelled.nonce, Nonce(5));
        assert!(cancelled.data.is_empty());
        // It is lighter than what it replaces, so a tenth more of the rate would not be enough.
        assert!(cancelled.max_fee_rate > FeeRate(11));
        assert!(pays_a_tenth_more(&cancelled, &[&lane[0]]));
    }

    #[test]
    fn what_the_balance_no_longer_covers_is_evicted_and_paid_for() {
        let lane = [body(4, 10, 1, 1), body(5, 10, 1, 1), body(6, 10, 1, 1), body(7, 10, 1, 1)];
        let whole: u128 = lane.iter().map(cost).sum();
        let balance = u64::try_from(whole).unwrap();
        let Replacement { body, evicts } = waiting(&lane, balance).bump(Nonce(5), Offer::default()).unwrap();
        assert_eq!(evicts, [Nonce(7)]);
        assert!(pays_a_tenth_more(&body, &[&lane[1], &lane[3]]));
        assert!(body.max_fee_rate > FeeRate(20), "the fees of two, by one");
    }

    #[test]
    fn what_does_not_wait_or_cannot_be_paid_is_not_replaced() {
        let lane = [body(5, 10, 1, 1)];
        let refused = waiting(&lane, 1_000_000).bump(Nonce(4), Offer::default());
        assert_eq!(refused, Err(ReplacementError::NotWaiting { found: Nonce(4) }));
        let balance = u64::try_from(cost(&lane[0])).unwrap();
        let refused = waiting(&lane, balance).bump(Nonce(5), Offer::default());
        assert!(matches!(refused, Err(ReplacementError::Unaffordable { .. })), "{refused:?}");
        let lane = [body(5, u64::MAX, 1, 1)];
        let refused = waiting(&lane, u64::MAX).bump(Nonce(5), Offer::default());
        assert_eq!(refused, Err(ReplacementError::TooMuch));
    }

    proptest! {
        #[test]
        fn every_replacement_is_one_that_the_rule_takes_and_no_dearer(
            lane in proptest::collection::vec((0u64..1000, 0u64..1000, 1usize..5), 1..6),
            chosen: proptest::sample::Index,
            spare in 0u64..2_000_000,
            cancel: bool,
        ) {
            let lane: Vec<TransactionBody> =
                (0u64..).zip(&lane).map(|(nonce, (max, tip, count))| body(nonce, *max, *tip, *count)).collect();
            let nonce = lane[chosen.index(lane.len())].nonce;
            let balance = u64::try_from(lane.iter().map(cost).sum::<u128>()).unwrap() + spare;
            let waiting = waiting(&lane, balance);
            let outcome = if cancel {
                waiting.cancel(nonce, Offer::default())
            } else {
                waiting.bump(nonce, Offer::default())
            };
            let Ok(Replacement { body, evicts }) = outcome else { return Ok(()) };
            let gone: Vec<&TransactionBody> =
                lane.iter().filter(|it| it.nonce == nonce || evicts.contains(&it.nonce)).collect();
            prop_assert!(pays_a_tenth_more(&body, &gone));
            let kept: u128 = lane.iter().filter(|it| !gone.contains(it)).map(cost).sum();
            prop_assert!(kept + cost(&body) <= u128::from(balance));
            let cheaper = TransactionBody { max_fee_rate: FeeRate(body.max_fee_rate.0 - 1), ..body.clone() };
            prop_assert!(!pays_a_tenth_more(&cheaper, &gone));
            // As the node sees it: each of the last ones had to go, or the balance would not do.
            if let Some(first) = evicts.iter().min() {
                let back = lane.iter().find(|it| it.nonce == *first).map(cost).unwrap_or_default();
                prop_assert!(kept + back + cost(&body) > u128::from(balance));
            }
        }
    }
}
