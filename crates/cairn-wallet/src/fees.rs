//! What a transaction will cost, before it is signed.

use cairn_core::numbers::{Amount, FeeRate, Weight};
use cairn_core::signature::Witness;
use cairn_core::transaction::{Transaction, TransactionBody};

/// What a transaction costs its sender beside what it transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePreview {
    /// The weight with an ed25519 signature.
    pub weight: Weight,
    /// The fee in a block with the base fee of now; none if the greatest fee rate does not reach it.
    pub now: Option<Amount>,
    /// The greatest fee; none if it exceeds what an amount holds.
    pub greatest: Option<Amount>,
}

impl FeePreview {
    /// The fee of a body that an ed25519 key signs, under the base fee of now.
    pub fn of(body: &TransactionBody, base_fee: FeeRate) -> Self {
        let weight = signed_weight(body);
        let rate = body.tip_rate(base_fee).and_then(|tip| base_fee.0.checked_add(tip.0));
        Self {
            weight,
            now: rate.and_then(|rate| weight.checked_fee(FeeRate(rate))),
            greatest: weight.checked_fee(body.max_fee_rate),
        }
    }
}

/// The weight that a body has once an ed25519 key has signed it. It does not depend on the key.
pub(crate) fn signed_weight(body: &TransactionBody) -> Weight {
    let witness = Witness::Ed25519 { key: [0; 32], signature: [0; 64] };
    Transaction { body: body.clone(), witness }.weight()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing_key::SigningKey;
    use cairn_core::address::Address;
    use cairn_core::hash::BlockId;
    use cairn_core::numbers::{Height, Nonce};
    use cairn_core::transaction::{TRANSACTION_VERSION, Transfer};
    use proptest::prelude::*;

    fn body(max_fee_rate: u64, tip_rate: u64, transfers: usize, data: usize) -> TransactionBody {
        TransactionBody {
            version: TRANSACTION_VERSION,
            nonce: Nonce(3),
            valid_until: Height(0),
            max_fee_rate: FeeRate(max_fee_rate),
            tip_rate: FeeRate(tip_rate),
            transfers: vec![Transfer { to: Address([7; 32]), amount: Amount::from_units(1) }; transfers],
            data: vec![0; data],
        }
    }

    #[test]
    fn the_fee_of_now_is_base_fee_and_tip_up_to_the_greatest() {
        let fee = |max, tip, base| {
            let preview = FeePreview::of(&body(max, tip, 1, 0), FeeRate(base));
            preview.now.map(|fee| fee.units() / preview.weight.0)
        };
        assert_eq!(fee(10, 2, 5), Some(7));
        assert_eq!(fee(10, 9, 5), Some(10));
        assert_eq!(fee(10, 2, 10), Some(10));
        assert_eq!(fee(10, 2, 11), None);
        assert_eq!(FeePreview::of(&body(u64::MAX, 0, 1, 0), FeeRate(0)).greatest, None);
    }

    proptest! {
        #[test]
        fn the_weight_is_known_before_anybody_signs(seed: [u8; 32], transfers in 1usize..20, data in 0usize..200) {
            let body = body(1, 0, transfers, data);
            let signed = SigningKey::from_seed(&seed).sign(&body, &BlockId([1; 32]));
            prop_assert_eq!(signed_weight(&body), signed.weight());
        }
    }
}
