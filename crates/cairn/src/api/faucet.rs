//! Gives coins away on a development network, within limits.
//!
//! It signs with a key that everybody knows, and it is the only thing behind the HTTP interface that
//! signs at all.

use crate::api::errors::{ApiError, of_submit};
use crate::api::views::{FaucetAnswer, TransactionState};
use crate::run::NodeHandle;
use cairn_core::address::Address;
use cairn_core::numbers::{Amount, FeeRate, Height};
use cairn_core::transaction::{TRANSACTION_VERSION, TransactionBody, Transfer};
use cairn_node::mempool::Submitted;
use cairn_wallet::SigningKey;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How many times one address is given coins in [`WINDOW`].
pub const GIFTS_OF_ADDRESS_MAX: u32 = 10;
/// How many times anybody is given coins in [`WINDOW`].
pub const GIFTS_MAX: u32 = 600;
/// The time over which gifts are counted.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How many coins are given if nothing is said.
const COINS_DEFAULT: u64 = 100;
/// How many coins are given at most.
const COINS_MAX: u64 = 10_000;

/// The faucet of a development network.
#[derive(Debug)]
pub struct Faucet {
    key: SigningKey,
    /// Base units a coin.
    coin: u64,
    /// Held while a gift is signed and submitted, so that no two have one nonce.
    counts: Mutex<Counts>,
}

/// Who was given coins in the present window.
#[derive(Debug, Default)]
struct Counts {
    since: Option<Instant>,
    all: u32,
    by_address: BTreeMap<Address, u32>,
}

impl Faucet {
    /// A faucet that gives from the account of `key`, on a network with so many decimals.
    pub fn new(key: SigningKey, decimals: u8) -> Self {
        let coin = 10u64.checked_pow(u32::from(decimals)).unwrap_or(u64::MAX);
        Self { key, coin, counts: Mutex::default() }
    }

    /// Sends `amount` to an address.
    ///
    /// # Errors
    ///
    /// `faucet-amount`, `faucet-limit`, or the refusal of the node.
    pub async fn give(
        &self,
        node: &NodeHandle,
        to: Address,
        amount: Option<Amount>,
    ) -> Result<FaucetAnswer, ApiError> {
        let most = Amount::from_units(self.coin.saturating_mul(COINS_MAX));
        let amount = amount.unwrap_or(Amount::from_units(self.coin.saturating_mul(COINS_DEFAULT)));
        if amount == Amount::ZERO || amount > most {
            return Err(ApiError::faucet_amount(most.units()));
        }
        let mut counts = self.counts.lock().await;
        counts.take(to, Instant::now())?;
        let address = self.key.address();
        let (nonce, base_fee) =
            node.ask(move |node, _| (node.account(&address).pending_nonce, node.tip().next_base_fee)).await?;
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            nonce,
            valid_until: Height::GENESIS,
            max_fee_rate: FeeRate(base_fee.0.saturating_mul(2)),
            tip_rate: FeeRate(0),
            transfers: vec![Transfer { to, amount }],
            data: Vec::new(),
        };
        let transaction = self.key.sign(&body, node.genesis().identity());
        let judgement = node.submit(vec![transaction]).await?.pop().ok_or_else(ApiError::stopping)?;
        match judgement.outcome {
            Ok(Submitted::Pending { id, .. } | Submitted::Known { id }) => Ok(FaucetAnswer {
                id: id.into(),
                status: TransactionState::Pending,
                address: to.to_text(node.genesis().rules().prefix()),
                amount: amount.into(),
            }),
            Err(error) => Err(of_submit(&error)),
        }
    }
}

impl Counts {
    /// Counts a gift, or refuses it.
    fn take(&mut self, to: Address, now: Instant) -> Result<(), ApiError> {
        let is_over = self.since.is_none_or(|since| now.duration_since(since) >= WINDOW);
        if is_over {
            *self = Self { since: Some(now), ..Self::default() };
        }
        if self.all >= GIFTS_MAX {
            return Err(ApiError::faucet_limit(format!("the faucet gives {GIFTS_MAX} times a minute")));
        }
        let of_address = self.by_address.entry(to).or_default();
        if *of_address >= GIFTS_OF_ADDRESS_MAX {
            let message = format!("the faucet gives {GIFTS_OF_ADDRESS_MAX} times a minute to one address");
            return Err(ApiError::faucet_limit(message));
        }
        *of_address += 1;
        self.all += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_and_all_together_have_limits_that_pass() {
        let mut counts = Counts::default();
        let now = Instant::now();
        for _ in 0..GIFTS_OF_ADDRESS_MAX {
            assert_eq!(counts.take(Address([1; 32]), now), Ok(()));
        }
        assert_eq!(counts.take(Address([1; 32]), now).unwrap_err().code, "faucet-limit");
        let others = (0..=u8::MAX).flat_map(|first| [[first; 32], [first ^ 1; 32], [first ^ 2; 32]]);
        let given = others.filter(|to| counts.take(Address(*to), now).is_ok()).count();
        assert_eq!(given, usize::try_from(GIFTS_MAX - GIFTS_OF_ADDRESS_MAX).unwrap());
        assert_eq!(counts.take(Address([1; 32]), now + WINDOW), Ok(()));
    }
}
