//! The transactions of a load: throwaway accounts that pay each other in a circle.

use crate::failure::CliError;
use axum::body::Bytes;
use cairn_core::address::Address;
use cairn_core::codec::Encode as _;
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::{Amount, FeeRate, Height, Nonce, Weight};
use cairn_core::transaction::{TRANSACTION_VERSION, Transaction, TransactionBody, Transfer};
use cairn_wallet::SigningKey;
use tokio::sync::mpsc;

/// What each transfer moves: one base unit, which comes round again.
const AMOUNT: Amount = Amount::from_units(1);

/// Throwaway accounts, each of which pays the next.
#[derive(Clone, Debug)]
pub(super) struct Circle {
    /// The seeds, rather than the keys, so that each signing thread makes its own.
    seeds: Vec<[u8; 32]>,
    addresses: Vec<Address>,
    identity: BlockId,
    max_fee_rate: FeeRate,
    tip_rate: FeeRate,
}

/// The accounts of a circle that send over one connection.
#[derive(Debug)]
pub(super) struct Part {
    circle: Circle,
    /// The places of the accounts in the circle.
    places: Vec<usize>,
}

/// Transactions that one call submits, with their ids.
#[derive(Debug)]
pub(super) struct Batch(Vec<(TransactionId, Vec<u8>)>);

impl Circle {
    /// Accounts that nobody has used before.
    pub(super) fn draw(
        count: usize,
        identity: BlockId,
        (max_fee_rate, tip_rate): (FeeRate, FeeRate),
    ) -> Result<Self, CliError> {
        let mut seeds = vec![[0; 32]; count];
        for seed in &mut seeds {
            getrandom::fill(seed).map_err(|error| {
                CliError::failed("no-randomness", "the system gives no random bytes").because(&error)
            })?;
        }
        let addresses = seeds.iter().map(|seed| SigningKey::from_seed(seed).address()).collect();
        Ok(Self { seeds, addresses, identity, max_fee_rate, tip_rate })
    }

    /// The addresses.
    pub(super) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The most that `count` transactions of one account take; none if that is no amount.
    pub(super) fn cost_of(&self, count: u64) -> Option<Amount> {
        let (seed, to) = (self.seeds.first()?, *self.addresses.first()?);
        let sample = self.transaction(&SigningKey::from_seed(seed), to, Nonce(0));
        let bytes = u64::try_from(sample.to_bytes().len()).ok()?;
        let weight = Weight(bytes + sample.witness.verify_weight().0);
        let each = weight.checked_fee(self.max_fee_rate)?.checked_add(AMOUNT)?;
        each.units().checked_mul(count).map(Amount::from_units)
    }

    /// The accounts of connection `place` of `connections`.
    pub(super) fn part(&self, place: usize, connections: usize) -> Part {
        let places = (place..self.seeds.len()).step_by(connections.max(1)).collect();
        Part { circle: self.clone(), places }
    }

    fn transaction(&self, key: &SigningKey, to: Address, nonce: Nonce) -> Transaction {
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            nonce,
            valid_until: Height(0),
            max_fee_rate: self.max_fee_rate,
            tip_rate: self.tip_rate,
            transfers: vec![Transfer { to, amount: AMOUNT }],
            data: Vec::new(),
        };
        key.sign(&body, &self.identity)
    }
}

impl Part {
    /// Signs `count` transactions, or without end, and feeds them in batches until nobody takes them.
    pub(super) fn sign(&self, count: Option<u64>, batch: usize, feed: &mpsc::Sender<Batch>) {
        let payers: Vec<(SigningKey, Address)> = self
            .places
            .iter()
            .filter_map(|place| {
                let seed = self.circle.seeds.get(*place)?;
                let next = (place + 1) % self.circle.addresses.len();
                Some((SigningKey::from_seed(seed), *self.circle.addresses.get(next)?))
            })
            .collect();
        let mut left = count.unwrap_or(u64::MAX);
        // Every account once, then every account again: nonces of one account go out in order.
        let rounds = (0..).flat_map(|nonce| payers.iter().map(move |payer| (payer, Nonce(nonce))));
        let mut signed = rounds.map(|((key, to), nonce)| {
            let transaction = self.circle.transaction(key, *to, nonce);
            (transaction.body.id(&self.circle.identity, &key.address()), transaction.to_bytes())
        });
        while left > 0 && !payers.is_empty() {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(batch);
            let batch: Vec<_> = signed.by_ref().take(size).collect();
            left = left.saturating_sub(size as u64);
            if feed.blocking_send(Batch(batch)).is_err() {
                return;
            }
        }
    }
}

impl Batch {
    /// Whether nothing is left to send.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids, in order.
    pub(super) fn ids(&self) -> Vec<[u8; 32]> {
        self.0.iter().map(|(id, _)| id.0).collect()
    }

    /// The bytes of the only transaction; none if there are more.
    pub(super) fn single(&self) -> Option<Vec<u8>> {
        match self.0.as_slice() {
            [(_, bytes)] => Some(bytes.clone()),
            _ => None,
        }
    }

    /// The bytes of all transactions, one behind the other.
    pub(super) fn bytes(&self) -> Bytes {
        self.0.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect::<Vec<u8>>().into()
    }

    /// Keeps only the transactions at these places, which ascend.
    pub(super) fn keep(&mut self, places: &[usize]) {
        let mut place = 0;
        self.0.retain(|_| {
            let kept = places.binary_search(&place).is_ok();
            place += 1;
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::signature::{SignedMessage, Witness, verify};

    fn circle(count: usize) -> Circle {
        Circle::draw(count, BlockId([1; 32]), (FeeRate(2), FeeRate(0))).unwrap()
    }

    #[test]
    fn every_share_is_signed_with_nonces_in_order() {
        let circle = circle(5);
        let (feed, mut batches) = mpsc::channel(100);
        circle.part(1, 2).sign(Some(7), 3, &feed);
        drop(feed);
        let mut all = Vec::new();
        while let Some(batch) = batches.blocking_recv() {
            assert!(batch.0.len() <= 3);
            all.extend(batch.0);
        }
        assert_eq!(all.len(), 7);
        let mut next = std::collections::BTreeMap::new();
        for (id, bytes) in all {
            let transaction: Transaction = cairn_core::codec::decode_exact(&bytes).unwrap();
            let sender = transaction.witness.address();
            let expected = next.entry(sender).or_insert(0);
            assert_eq!(transaction.body.nonce, Nonce(*expected));
            *expected += 1;
            assert_eq!(transaction.body.id(&BlockId([1; 32]), &sender), id);
            let Witness::Ed25519 { key, signature } = &transaction.witness else { panic!("ed25519 keys") };
            assert!(verify(SignedMessage { key, signature, message: &id.0 }));
        }
        assert_eq!(next.len(), 2);
    }

    #[test]
    fn the_cost_covers_amounts_and_greatest_fees() {
        assert_eq!(circle(1).cost_of(10), Some(Amount::from_units(10 * (2 * 198 + 1))));
        assert_eq!(circle(1).cost_of(u64::MAX), None);
    }

    #[test]
    fn a_batch_keeps_what_must_go_again() {
        let mut batch = Batch((0u8..5).map(|it| (TransactionId([it; 32]), vec![it])).collect());
        batch.keep(&[1, 3]);
        assert_eq!(batch.bytes(), Bytes::from_static(&[1, 3]));
        assert_eq!(batch.single(), None);
        batch.keep(&[0]);
        assert_eq!(batch.single(), Some(vec![1]));
        batch.keep(&[]);
        assert!(batch.is_empty());
    }
}
