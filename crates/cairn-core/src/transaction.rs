//! Transfers of coins: what a sender signs, and what is true of a transaction by itself.
//!
//! [`Transaction`] is what arrives, [`CheckedTransaction`] is one that obeys every rule that needs
//! no state. Whether it can be applied depends on the state: see [`rules`](crate::rules).

use crate::address::Address;
use crate::codec::{Decode, DecodeError, Encode, Reader, encode_byte_string, encode_count};
use crate::hash::{BlockId, LeafHash, Messages, StatePath, Tag, TransactionId};
use crate::network::Rules;
use crate::numbers::{Amount, FeeRate, Height, Nonce, Weight};
use crate::signature::{Batching, Scheme, SignedMessage, Witness, verify, verify_batch};

/// The version of a transaction body that this release makes and reads.
pub const TRANSACTION_VERSION: u8 = 1;
/// The most transfers of one transaction.
pub const TRANSFERS_MAX: usize = 256;
/// The most bytes of a transaction on any network.
pub const TRANSACTION_BYTES_MAX: usize = 64 * 1024;
/// The fewest bytes of a transaction: one transfer, no data, an ed25519 witness.
pub const TRANSACTION_BYTES_MIN: usize = 178;
/// What each transfer after the first weighs beside its bytes.
pub(crate) const TRANSFER_WEIGHT: u64 = 100;
/// How many transactions are hashed side by side: enough to fill the kernels, few enough for what is
/// hashed to stay in the cache.
const BATCH_TRANSACTIONS: usize = 512;
/// A transfer is an address and an amount.
const TRANSFER_BYTES: usize = 40;

/// An amount for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The account that receives.
    pub to: Address,
    /// What it receives.
    pub amount: Amount,
}

/// What a sender signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionBody {
    /// The version of the format.
    pub version: u8,
    /// How many transactions the sender has sent before.
    pub nonce: Nonce,
    /// The last height of a block that may hold the transaction; 0 for no limit.
    pub valid_until: Height,
    /// The most the sender pays for a unit of weight, base fee and tip together.
    pub max_fee_rate: FeeRate,
    /// What the sender pays the producer for a unit of weight beside the base fee, if the maximum leaves room.
    pub tip_rate: FeeRate,
    /// Who receives how much.
    pub transfers: Vec<Transfer>,
    /// Bytes for whoever reads the chain; they mean nothing to the ledger.
    pub data: Vec<u8>,
}

/// A body and what shows that its sender agreed to it.
///
/// The sender is the address of the witness' key: it is not written down twice, so it cannot disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What is signed.
    pub body: TransactionBody,
    /// The key and the signature.
    pub witness: Witness,
}

/// A transaction with its names, which depend on nothing but its bytes and the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifiedTransaction {
    transaction: Transaction,
    id: TransactionId,
    leaf: LeafHash,
    sender: Address,
    bytes: usize,
}

/// A transaction that obeys every rule that needs no state, with all that was computed to know it.
///
/// # Invariant
///
/// Made only by [`check`], so whoever holds one need not check again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedTransaction {
    transaction: Transaction,
    id: TransactionId,
    leaf: LeafHash,
    sender: Address,
    sender_path: StatePath,
    recipient_paths: RecipientPaths,
    weight: Weight,
    amount: Amount,
    bytes: usize,
}

/// A transaction breaks a rule. Each variant is one numbered rule of `docs/spec/04-validity.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// TX-1: the version of a transaction is known at its height.
    #[error("transaction version {found} is unknown, {expected} is expected")]
    UnknownVersion {
        /// The version found.
        found: u8,
        /// The version this release knows.
        expected: u8,
    },
    /// TX-2: a transaction has at most as many bytes as genesis allows.
    #[error("the transaction has {found} bytes, at most {limit} are allowed")]
    TooManyBytes {
        /// Its bytes.
        found: usize,
        /// The limit of the network.
        limit: usize,
    },
    /// TX-3: a transaction's nonce is its sender's, so transactions apply in order and once.
    #[error("the nonce is {found}, the account expects {expected}")]
    WrongNonce {
        /// The nonce of the account.
        expected: Nonce,
        /// The nonce of the transaction.
        found: Nonce,
    },
    /// TX-4: a transaction has at least one transfer and at most as many as genesis allows.
    #[error("the transaction has {found} transfers, 1 to {limit} are allowed")]
    TransferCount {
        /// Its transfers.
        found: usize,
        /// The limit of the network.
        limit: usize,
    },
    /// TX-5: every transfer moves at least one base unit.
    #[error("transfer {position} moves nothing")]
    ZeroAmount {
        /// Which transfer, counted from 0.
        position: usize,
    },
    /// TX-6: the amounts and the greatest fee together fit an amount.
    #[error("the amounts and the greatest fee exceed 2^64 - 1 base units")]
    AmountOverflow,
    /// TX-7: the data has at most as many bytes as genesis allows.
    #[error("the data has {found} bytes, at most {limit} are allowed")]
    TooMuchData {
        /// Its bytes.
        found: usize,
        /// The limit of the network.
        limit: usize,
    },
    /// TX-8: the signature scheme is one that genesis lists.
    #[error("signature scheme {found} is not enabled on this network")]
    SchemeNotEnabled {
        /// The scheme of the witness.
        found: Scheme,
    },
    /// TX-9: the signature is the sender's over the transaction id.
    #[error("the signature is not the sender's over this transaction on this network")]
    WrongSignature,
    /// TX-10: a transaction enters no block above its last height.
    #[error("the transaction was valid until block {valid_until}, this is block {height}")]
    Expired {
        /// The last height it asked for.
        valid_until: Height,
        /// The height of the block.
        height: Height,
    },
    /// TX-11: the greatest fee rate is at least the base fee of the block.
    #[error("the greatest fee rate is {found}, the base fee is {base_fee}")]
    FeeTooLow {
        /// The rate of the transaction.
        found: FeeRate,
        /// The base fee of the block.
        base_fee: FeeRate,
    },
    /// TX-12: the sender has the amounts and the fee before anything is received.
    #[error("the account has {balance} base units, the amounts and the fee take {needed}")]
    InsufficientBalance {
        /// What the account has.
        balance: Amount,
        /// What the transaction takes.
        needed: Amount,
    },
    /// TX-13: every account that a transaction touches ends with at least the reserve.
    #[error("an account would end with {found} base units, the reserve is {reserve}")]
    BelowReserve {
        /// What the account would end with.
        found: Amount,
        /// The reserve of the network.
        reserve: Amount,
    },
    /// TX-14: an account's last nonce is never used, so every nonce has a next one.
    #[error("the account has used all its nonces")]
    NonceExhausted,
}

impl TransactionBody {
    /// The id of the transaction when `sender` signs the body on the network with `identity`.
    pub fn id(&self, identity: &BlockId, sender: &Address) -> TransactionId {
        TransactionId(Tag::TRANSACTION.hash(&[identity.as_bytes(), &sender.0, &self.to_bytes()]))
    }

    /// The rate that goes to the producer under `base_fee`; none if the transaction does not reach the base fee.
    pub fn tip_rate(&self, base_fee: FeeRate) -> Option<FeeRate> {
        let room = self.max_fee_rate.0.checked_sub(base_fee.0)?;
        Some(FeeRate(room.min(self.tip_rate.0)))
    }
}

impl Transaction {
    /// Its weight, which a [`CheckedTransaction`] knows already.
    pub fn weight(&self) -> Weight {
        weight(self, self.to_bytes().len())
    }
}

impl CheckedTransaction {
    /// The transaction.
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// What its sender signed.
    pub const fn body(&self) -> &TransactionBody {
        &self.transaction.body
    }

    /// Its id.
    pub const fn id(&self) -> TransactionId {
        self.id
    }

    /// Its leaf in the transaction tree.
    pub const fn leaf(&self) -> LeafHash {
        self.leaf
    }

    /// Who pays.
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// The place of the sender in the state tree.
    pub const fn sender_path(&self) -> &StatePath {
        &self.sender_path
    }

    /// The places of those who receive, in the order of the transfers.
    pub fn recipient_paths(&self) -> impl Iterator<Item = &StatePath> {
        let RecipientPaths { first, more } = &self.recipient_paths;
        std::iter::once(first).chain(more)
    }

    /// Its weight.
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// The sum of its transfers.
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// The length of its canonical bytes.
    pub const fn byte_count(&self) -> usize {
        self.bytes
    }

    /// The rate that goes to the producer under `base_fee`; none if the transaction does not reach the base fee.
    pub fn tip_rate(&self, base_fee: FeeRate) -> Option<FeeRate> {
        self.body().tip_rate(base_fee)
    }

    /// The most that the transaction can take from its sender: the amounts and the greatest fee.
    pub fn cost_max(&self) -> Amount {
        self.weight
            .checked_fee(self.body().max_fee_rate)
            .and_then(|fee| self.amount.checked_add(fee))
            .expect("TX-6 was checked")
    }

    /// What it takes beside the amounts under `base_fee`: the part for the base fee and the tip.
    pub fn fees(&self, base_fee: FeeRate) -> Option<Fees> {
        let tip_rate = self.tip_rate(base_fee)?;
        let base = self.weight.checked_fee(base_fee).expect("at most the greatest fee, which TX-6 checked");
        let tip = self.weight.checked_fee(tip_rate).expect("at most the greatest fee, which TX-6 checked");
        Some(Fees { base, tip })
    }
}

/// What a transaction pays in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// The part that is burned, or paid to the producer where genesis says so.
    pub base: Amount,
    /// The part that is always paid to the producer.
    pub tip: Amount,
}

impl Fees {
    /// Both parts.
    ///
    /// # Panics
    ///
    /// Never for fees of a checked transaction, whose greatest fee fits an amount.
    pub fn total(self) -> Amount {
        self.base.checked_add(self.tip).expect("at most the greatest fee, which TX-6 checked")
    }
}

impl IdentifiedTransaction {
    /// Names a transaction on the network with `identity`.
    pub fn new(transaction: Transaction, identity: &BlockId) -> Self {
        let body_bytes = transaction.body.to_bytes();
        let witness_bytes = transaction.witness.to_bytes();
        let sender = transaction.witness.address();
        let id = TransactionId(Tag::TRANSACTION.hash(&[identity.as_bytes(), &sender.0, &body_bytes]));
        let leaf = leaf_hash(&id, &witness_bytes);
        Self { transaction, id, leaf, sender, bytes: body_bytes.len() + witness_bytes.len() }
    }

    /// Names many transactions: hashes that do not depend on each other are computed side by side.
    pub fn new_all(transactions: Vec<Transaction>, identity: &BlockId) -> Vec<Self> {
        let mut named = Vec::with_capacity(transactions.len());
        let mut rest = transactions.into_iter();
        while let Some(next) = rest.as_slice().chunks(BATCH_TRANSACTIONS).next() {
            let names = names(next, identity);
            let batch = rest.by_ref().take(names.len());
            named.extend(batch.zip(names).map(|(transaction, Names { id, leaf, sender, bytes })| Self {
                transaction,
                id,
                leaf,
                sender,
                bytes,
            }));
        }
        named
    }

    /// Its id.
    pub const fn id(&self) -> TransactionId {
        self.id
    }

    /// The transaction.
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Its leaf in the transaction tree.
    pub const fn leaf(&self) -> LeafHash {
        self.leaf
    }
}

/// What a transaction is called, and how long it is.
struct Names {
    id: TransactionId,
    leaf: LeafHash,
    sender: Address,
    bytes: usize,
}

/// The names of some transactions.
fn names(transactions: &[Transaction], identity: &BlockId) -> Vec<Names> {
    let count = transactions.len();
    let senders = senders(transactions);
    let mut ids = Messages::new(Tag::TRANSACTION, count, 64 + TRANSACTION_BYTES_MIN);
    let mut witnesses = Messages::new(Tag::WITNESS, count, TRANSACTION_BYTES_MIN);
    let mut sizes = Vec::with_capacity(count);
    for (transaction, sender) in transactions.iter().zip(&senders) {
        let mut bytes = 0;
        ids.push(|out| {
            identity.encode(out);
            sender.encode(out);
            let start = out.len();
            transaction.body.encode(out);
            bytes += out.len() - start;
        });
        witnesses.push(|out| {
            let start = out.len();
            transaction.witness.encode(out);
            bytes += out.len() - start;
        });
        sizes.push(bytes);
    }
    let ids = ids.hash();
    let mut leaves = Messages::new(Tag::LEAF, count, 64);
    for (id, witness) in ids.iter().zip(witnesses.hash()) {
        leaves.push(|out| {
            out.extend_from_slice(id);
            out.extend_from_slice(&witness);
        });
    }
    let hashes = ids.into_iter().map(TransactionId).zip(leaves.hash().into_iter().map(LeafHash));
    hashes
        .zip(senders)
        .zip(sizes)
        .map(|(((id, leaf), sender), bytes)| Names { id, leaf, sender, bytes })
        .collect()
}

/// Who sends each transaction.
fn senders(transactions: &[Transaction]) -> Vec<Address> {
    let mut addresses = Messages::new(Tag::ADDRESS, transactions.len(), 33);
    for transaction in transactions {
        if let Witness::Ed25519 { key, .. } = &transaction.witness {
            addresses.push(|out| {
                Scheme::Ed25519.encode(out);
                key.encode(out);
            });
        }
    }
    let mut addresses = addresses.hash().into_iter().map(Address);
    let address = |transaction: &Transaction| match &transaction.witness {
        Witness::Ed25519 { .. } => addresses.next().expect("one for each key of ed25519"),
        other => other.address(),
    };
    transactions.iter().map(address).collect()
}

/// The hash of a witness and, with it, the leaf of a transaction.
pub fn leaf_hash(id: &TransactionId, witness_bytes: &[u8]) -> LeafHash {
    let witness = Tag::WITNESS.hash(&[witness_bytes]);
    LeafHash(Tag::LEAF.hash(&[id.as_bytes(), &witness]))
}

/// Checks one transaction against every rule that needs no state.
///
/// # Errors
///
/// TX-1, TX-2 and TX-4 to TX-9.
pub fn check(transaction: Transaction, rules: &Rules) -> Result<CheckedTransaction, TransactionError> {
    let checked = check_form(IdentifiedTransaction::new(transaction, rules.identity()), rules)?;
    if signed(&checked).is_some_and(verify) { Ok(checked) } else { Err(TransactionError::WrongSignature) }
}

/// Checks many transactions, their signatures in one batch.
///
/// # Errors
///
/// The position of the first transaction that breaks a rule, and the rule.
pub fn check_all(
    transactions: Vec<IdentifiedTransaction>,
    rules: &Rules,
    batching: Batching<'_>,
) -> Result<Vec<CheckedTransaction>, (usize, TransactionError)> {
    let checked = trust_all(transactions, rules)?;
    match first_wrong_signature(&checked, batching) {
        None => Ok(checked),
        Some(position) => Err((position, TransactionError::WrongSignature)),
    }
}

/// As [`check_all`], but takes the signatures as verified.
///
/// # Errors
///
/// The position of the first transaction that breaks a rule, and the rule.
pub fn trust_all(
    transactions: Vec<IdentifiedTransaction>,
    rules: &Rules,
) -> Result<Vec<CheckedTransaction>, (usize, TransactionError)> {
    let mut checked = Vec::with_capacity(transactions.len());
    let mut rest = transactions.into_iter();
    while let Some(next) = rest.as_slice().chunks(BATCH_TRANSACTIONS).next() {
        let batch = next.len();
        let mut paths = paths(next);
        for transaction in rest.by_ref().take(batch) {
            let transfers = transaction.transaction.body.transfers.len();
            let mine = Paths {
                sender: paths.next().expect("one for each sender"),
                recipients: RecipientPaths::new(paths.by_ref().take(transfers)),
            };
            let position = checked.len();
            checked.push(check_form_at(transaction, mine, rules).map_err(|error| (position, error))?);
        }
    }
    Ok(checked)
}

/// The places of the sender and of those who receive, for one transaction after the other.
fn paths(transactions: &[IdentifiedTransaction]) -> impl Iterator<Item = StatePath> + use<> {
    let mut paths = Messages::new(Tag::PATH, 2 * transactions.len(), 32);
    for transaction in transactions {
        paths.push(|out| transaction.sender.encode(out));
        for transfer in &transaction.transaction.body.transfers {
            paths.push(|out| transfer.to.encode(out));
        }
    }
    paths.hash().into_iter().map(StatePath)
}

/// Checks many transactions that have nothing to do with each other, and judges each by itself.
pub fn check_each(
    transactions: Vec<Transaction>,
    rules: &Rules,
    batching: Batching<'_>,
) -> Vec<Result<CheckedTransaction, TransactionError>> {
    let identified = IdentifiedTransaction::new_all(transactions, rules.identity());
    check_each_identified(identified, rules, batching)
}

/// As [`check_each`], for transactions that have their names already.
pub fn check_each_identified(
    identified: Vec<IdentifiedTransaction>,
    rules: &Rules,
    batching: Batching<'_>,
) -> Vec<Result<CheckedTransaction, TransactionError>> {
    let judged: Vec<_> = identified
        .into_iter()
        .map(|transaction| check_form(transaction, rules).and_then(judge_outside_batch))
        .collect();
    let in_batch = judged.iter().filter_map(|outcome| signed(outcome.as_ref().ok()?));
    if verify_batch(in_batch, batching) {
        return judged;
    }
    judged
        .into_iter()
        .map(|outcome| {
            outcome.and_then(|checked| {
                if signed(&checked).is_some_and(verify) {
                    Ok(checked)
                } else {
                    Err(TransactionError::WrongSignature)
                }
            })
        })
        .collect()
}

/// Judges the signature of a transaction that no batch can hold, and lets all others pass: anybody may send one,
/// and it must not take the speed of the batch from those beside it.
fn judge_outside_batch(checked: CheckedTransaction) -> Result<CheckedTransaction, TransactionError> {
    if signed(&checked).is_some() { Ok(checked) } else { Err(TransactionError::WrongSignature) }
}

/// The position of the first transaction whose signature is wrong.
fn first_wrong_signature(checked: &[CheckedTransaction], batching: Batching<'_>) -> Option<usize> {
    let signed_all: Option<Vec<SignedMessage<'_>>> = checked.iter().map(signed).collect();
    if signed_all.is_some_and(|signed| verify_batch(signed, batching)) {
        return None;
    }
    checked.iter().position(|transaction| !signed(transaction).is_some_and(verify))
}

/// Every rule that needs neither state nor signature.
fn check_form(
    identified: IdentifiedTransaction,
    rules: &Rules,
) -> Result<CheckedTransaction, TransactionError> {
    let recipients = identified.transaction.body.transfers.iter().map(|transfer| transfer.to.path());
    let paths = Paths { sender: identified.sender.path(), recipients: RecipientPaths::new(recipients) };
    check_form_at(identified, paths, rules)
}

/// The places of those whom a transaction touches.
struct Paths {
    sender: StatePath,
    recipients: RecipientPaths,
}

/// The places of those who receive. Most transactions have one recipient, who needs no list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RecipientPaths {
    first: StatePath,
    more: Vec<StatePath>,
}

impl RecipientPaths {
    /// The paths of a transaction in the order of its transfers, of which it has at least one by TX-4.
    fn new(mut paths: impl Iterator<Item = StatePath>) -> Self {
        Self { first: paths.next().unwrap_or_default(), more: paths.collect() }
    }
}

/// [`check_form`], with paths that were computed before.
fn check_form_at(
    identified: IdentifiedTransaction,
    paths: Paths,
    rules: &Rules,
) -> Result<CheckedTransaction, TransactionError> {
    let IdentifiedTransaction { transaction, id, leaf, sender, bytes } = identified;
    let body = &transaction.body;
    // TX-1 > The version of a transaction is known at its height.
    if body.version != TRANSACTION_VERSION {
        return Err(TransactionError::UnknownVersion { found: body.version, expected: TRANSACTION_VERSION });
    }
    // TX-2 > At most as many bytes as genesis allows.
    let limit = rules.limits().transaction_bytes;
    if bytes > limit {
        return Err(TransactionError::TooManyBytes { found: bytes, limit });
    }
    // TX-4 > At least one transfer and at most as many as genesis allows.
    let limit = rules.limits().transfers;
    if body.transfers.is_empty() || body.transfers.len() > limit {
        return Err(TransactionError::TransferCount { found: body.transfers.len(), limit });
    }
    // TX-5 > Every transfer moves at least one base unit.
    if let Some(position) = body.transfers.iter().position(|transfer| transfer.amount == Amount::ZERO) {
        return Err(TransactionError::ZeroAmount { position });
    }
    // TX-6 > The amounts and the greatest fee together fit an amount.
    let weight = weight(&transaction, bytes);
    let amount = Amount::checked_sum(body.transfers.iter().map(|transfer| transfer.amount))
        .ok_or(TransactionError::AmountOverflow)?;
    weight
        .checked_fee(body.max_fee_rate)
        .and_then(|fee| fee.checked_add(amount))
        .ok_or(TransactionError::AmountOverflow)?;
    // TX-7 > The data has at most as many bytes as genesis allows.
    let limit = rules.limits().data_bytes;
    if body.data.len() > limit {
        return Err(TransactionError::TooMuchData { found: body.data.len(), limit });
    }
    // TX-8 > The signature scheme is one that genesis lists.
    let scheme = transaction.witness.scheme();
    if !rules.is_enabled(scheme) {
        return Err(TransactionError::SchemeNotEnabled { found: scheme });
    }
    // TX-14 > An account's last nonce is never used.
    if body.nonce.next().is_none() {
        return Err(TransactionError::NonceExhausted);
    }

    let Paths { sender: sender_path, recipients: recipient_paths } = paths;
    Ok(CheckedTransaction {
        transaction,
        id,
        leaf,
        sender,
        sender_path,
        recipient_paths,
        weight,
        amount,
        bytes,
    })
}

/// What there is to verify; none under a scheme that this release does not verify.
fn signed(checked: &CheckedTransaction) -> Option<SignedMessage<'_>> {
    match &checked.transaction.witness {
        Witness::Ed25519 { key, signature } => Some(SignedMessage { key, signature, message: &checked.id.0 }),
        // Genesis can enable only what is supported, so TX-8 lets no other scheme come here.
        Witness::Secp256k1 { .. }
        | Witness::RsaPss { .. }
        | Witness::MlDsa44 { .. }
        | Witness::Multisig { .. } => None,
    }
}

/// Bytes, verification, and something for each transfer after the first.
fn weight(transaction: &Transaction, bytes: usize) -> Weight {
    let more = transaction.body.transfers.len().saturating_sub(1);
    let count = |number: usize| u64::try_from(number).expect("limited to 64 KiB");
    Weight(count(bytes) + transaction.witness.verify_weight().0 + TRANSFER_WEIGHT * count(more))
}

impl Encode for TransactionBody {
    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(81 + self.data.len() + TRANSFER_BYTES * self.transfers.len());
        self.version.encode(out);
        self.nonce.encode(out);
        self.valid_until.encode(out);
        self.max_fee_rate.encode(out);
        self.tip_rate.encode(out);
        encode_count(self.transfers.len(), out);
        for transfer in &self.transfers {
            transfer.to.encode(out);
            transfer.amount.encode(out);
        }
        encode_byte_string(&self.data, out);
    }
}

impl Decode for TransactionBody {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.byte()?;
        let nonce = Nonce::decode(reader)?;
        let valid_until = Height::decode(reader)?;
        let max_fee_rate = FeeRate::decode(reader)?;
        let tip_rate = FeeRate::decode(reader)?;
        let count = reader.count("transfers", TRANSFERS_MAX, TRANSFER_BYTES)?;
        let mut transfers = Vec::with_capacity(count);
        for _ in 0..count {
            transfers.push(Transfer { to: Address::decode(reader)?, amount: Amount::decode(reader)? });
        }
        let data = reader.byte_string("transaction data", TRANSACTION_BYTES_MAX)?.to_vec();
        Ok(Self { version, nonce, valid_until, max_fee_rate, tip_rate, transfers, data })
    }
}

impl Encode for Transaction {
    fn encode(&self, out: &mut Vec<u8>) {
        self.body.encode(out);
        self.witness.encode(out);
    }
}

impl Decode for Transaction {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { body: TransactionBody::decode(reader)?, witness: Witness::decode(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a genesis that lists a scheme would let through before a signature is looked at.
    fn of_scheme(witness: Witness) -> CheckedTransaction {
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            nonce: Nonce(0),
            valid_until: Height(0),
            max_fee_rate: FeeRate(1),
            tip_rate: FeeRate(0),
            transfers: vec![Transfer { to: Address([1; 32]), amount: Amount::from_units(1) }],
            data: Vec::new(),
        };
        let transaction = Transaction { body, witness };
        let IdentifiedTransaction { transaction, id, leaf, sender, bytes } =
            IdentifiedTransaction::new(transaction, &BlockId([7; 32]));
        CheckedTransaction {
            weight: weight(&transaction, bytes),
            transaction,
            id,
            leaf,
            sender,
            sender_path: sender.path(),
            recipient_paths: RecipientPaths::default(),
            amount: Amount::from_units(1),
            bytes,
        }
    }

    #[test]
    fn tx_9_what_no_batch_can_hold_is_refused_before_there_is_one() {
        let foreign = of_scheme(Witness::Secp256k1 { key: [2; 33], signature: [0; 64] });
        assert_eq!(judge_outside_batch(foreign), Err(TransactionError::WrongSignature));
        // Even a wrong signature of ed25519 is for the batch to judge.
        let ours = of_scheme(Witness::Ed25519 { key: [2; 32], signature: [0; 64] });
        assert_eq!(judge_outside_batch(ours.clone()), Ok(ours));
    }
}
