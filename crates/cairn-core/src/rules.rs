//! What a block does to the state: transactions apply in order, then the producer is paid.
//!
//! Rules that need no state are checked before: [`transaction::check`](crate::transaction::check),
//! [`block::check`](crate::block::check) and [`Consensus`](crate::consensus::Consensus).

use crate::account::{Account, AccountIndex};
use crate::address::Address;
use crate::block::BlockError;
use crate::hash::{StatePath, StateRoot};
use crate::network::Rules;
use crate::numbers::{Amount, FeeRate, Height, Nonce};
use crate::state::State;
use crate::store::PAYMENT_PLACE;
use crate::transaction::{CheckedTransaction, Fees, TransactionError};

/// What transactions of a block need to know of it.
#[derive(Clone, Copy, Debug)]
pub struct BlockContext {
    /// The height of the block.
    pub height: Height,
    /// The price of a unit of weight in it.
    pub base_fee: FeeRate,
    /// What every account that a transaction touches must keep.
    pub reserve: Amount,
}

/// Who is paid at the end of a block.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    /// Who gets the fees of the block.
    pub producer: Address,
    /// Who made the block whose reward matures now; none below the maturity.
    pub matured: Option<MaturedReward>,
}

/// A reward that is credited now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaturedReward {
    /// Who made the block that earned it.
    pub producer: Address,
    /// How much it is.
    pub amount: Amount,
}

/// What a block moved beside the transfers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All fees.
    pub fees: Amount,
    /// The part of the fees that nobody got.
    pub burned: Amount,
    /// The reward that was credited.
    pub reward: Amount,
}

/// A block that was executed on the state of its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The root over all accounts after it.
    pub state_root: StateRoot,
    /// Which accounts each transaction touched, as the store wants to know it.
    pub touched: Vec<(u32, AccountIndex)>,
    /// What it moved beside the transfers.
    pub totals: Totals,
}

/// The height of the block whose reward is credited at `height`; none below the maturity.
pub fn matured_height(rules: &Rules, height: Height) -> Option<Height> {
    let earlier = height.0.checked_sub(u64::from(rules.section().maturity))?;
    (earlier > 0).then_some(Height(earlier))
}

/// The supply at `height`: what is allocated, plus the rewards that have matured, before burning.
pub fn issued(rules: &Rules, allocated: Amount, height: Height) -> Option<Amount> {
    let matured = matured_height(rules, height).unwrap_or(Height::GENESIS);
    allocated.checked_add(rules.section().issuance.issued(matured))
}

/// Applies transactions in order, pays the producer and computes the state root.
///
/// Where it fails, the changes stay in the journal of the state: the caller rolls them back.
///
/// # Errors
///
/// The first transaction that breaks a rule with its place, or BLK-9.
pub fn execute(
    state: &mut State,
    transactions: &[CheckedTransaction],
    context: &BlockContext,
    payment: &Payment,
    rules: &Rules,
) -> Result<Executed, BlockError> {
    let before = state.total();
    let mut collected = CollectedFees::default();
    let mut touched = Vec::with_capacity(2 * transactions.len() + 2);
    let mut known = find_accounts(state, transactions);
    for (place, transaction) in (0..).zip(transactions) {
        let touch = |index| touched.push((place, index));
        let fees = apply_at(state, transaction, &mut known, context, touch)
            .map_err(|source| BlockError::Transaction { position: place as usize, source })?;
        collected.add(fees);
    }
    let totals = pay(state, collected, payment, rules, |index| touched.push((PAYMENT_PLACE, index)));

    // BLK-9 > The balances grow by the reward that matures and shrink by what is burned.
    let found = state.total();
    let expected = before.checked_add(totals.reward).and_then(|sum| sum.checked_sub(totals.burned));
    if expected != Some(found) {
        return Err(BlockError::Supply { found, expected: expected.unwrap_or(Amount::MAX) });
    }
    Ok(Executed { state_root: state.root(), touched, totals })
}

/// The accounts that transactions name, as far as they exist: each sender, then those who receive.
fn find_accounts(
    state: &State,
    transactions: &[CheckedTransaction],
) -> impl Iterator<Item = Option<AccountIndex>> + use<> {
    let mut paths = Vec::with_capacity(2 * transactions.len());
    for transaction in transactions {
        paths.push(transaction.sender_path());
        paths.extend(transaction.recipient_paths());
    }
    state.find_many(&paths).into_iter()
}

/// The fees of the transactions of a block so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct CollectedFees {
    base: Amount,
    tips: Amount,
}

impl CollectedFees {
    /// Adds what a transaction paid.
    pub fn add(&mut self, fees: Fees) {
        let sum =
            |a: Amount, b| a.checked_add(b).expect("fees come out of balances, which fit an amount together");
        self.base = sum(self.base, fees.base);
        self.tips = sum(self.tips, fees.tip);
    }
}

/// Credits the fees of a block to its producer and the matured reward to who earned it.
/// `touch` hears of each account.
pub fn pay(
    state: &mut State,
    collected: CollectedFees,
    payment: &Payment,
    rules: &Rules,
    mut touch: impl FnMut(AccountIndex),
) -> Totals {
    let CollectedFees { base, tips } = collected;
    let fees = base.checked_add(tips).expect("fees come out of balances, which fit an amount together");
    let (burned, paid) = if rules.section().fees.burn { (base, tips) } else { (Amount::ZERO, fees) };
    credit(state, &payment.producer, paid, &mut touch);
    let reward = payment.matured.map_or(Amount::ZERO, |matured| {
        credit(state, &matured.producer, matured.amount, &mut touch);
        matured.amount
    });
    Totals { fees, burned, reward }
}

/// Adds to an account, which comes into being if need be. Nothing makes no account.
fn credit(state: &mut State, address: &Address, amount: Amount, touch: &mut impl FnMut(AccountIndex)) {
    if amount > Amount::ZERO {
        touch(add_to(state, None, &address.path(), amount));
    }
}

/// Applies one transaction, all of it or nothing. `touch` hears of each account, the sender first.
///
/// # Errors
///
/// TX-3 and TX-10 to TX-13; the state is then as before.
pub fn apply_transaction(
    state: &mut State,
    transaction: &CheckedTransaction,
    context: &BlockContext,
    touch: impl FnMut(AccountIndex),
) -> Result<Fees, TransactionError> {
    apply_at(state, transaction, &mut std::iter::repeat(None), context, touch)
}

/// [`apply_transaction`], where `known` gives the accounts of the sender and of each transfer as far
/// as they were found before. No account ceases to be within a block, but one may come into being.
fn apply_at(
    state: &mut State,
    transaction: &CheckedTransaction,
    known: &mut impl Iterator<Item = Option<AccountIndex>>,
    context: &BlockContext,
    mut touch: impl FnMut(AccountIndex),
) -> Result<Fees, TransactionError> {
    let sender = known.next().flatten().or_else(|| state.find(transaction.sender_path()));
    let account = sender.map_or_else(Account::default, |index| state.account(index));
    let (fees, left) = check_sender(transaction, &account, context)?;
    check_reserve(state, transaction, left, context.reserve)?;

    let nonce = account.nonce.next().expect("TX-14 was checked");
    let sender = sender.expect("an account that does not exist has no balance, which TX-12 refused");
    state.set(sender, Account { balance: left, nonce });
    touch(sender);
    let transfers = transaction.body().transfers.iter();
    for ((transfer, path), known) in transfers.zip(transaction.recipient_paths()).zip(known) {
        touch(add_to(state, known, path, transfer.amount));
    }
    Ok(fees)
}

/// The rules about the sender; returns the fees and what the sender has left before receiving.
fn check_sender(
    transaction: &CheckedTransaction,
    account: &Account,
    context: &BlockContext,
) -> Result<(Fees, Amount), TransactionError> {
    let body = transaction.body();
    // TX-10 > A transaction enters no block above its last height.
    if body.valid_until != Height::GENESIS && context.height > body.valid_until {
        return Err(TransactionError::Expired { valid_until: body.valid_until, height: context.height });
    }
    // TX-3 > A transaction's nonce is its sender's.
    if body.nonce != account.nonce {
        return Err(TransactionError::WrongNonce { expected: account.nonce, found: body.nonce });
    }
    // TX-11 > The greatest fee rate is at least the base fee of the block.
    let Some(fees) = transaction.fees(context.base_fee) else {
        return Err(TransactionError::FeeTooLow { found: body.max_fee_rate, base_fee: context.base_fee });
    };
    // TX-12 > The sender has the amounts and the fee before anything is received.
    let needed = transaction.amount().checked_add(fees.total()).expect("TX-6 was checked");
    match account.balance.checked_sub(needed) {
        Some(left) => Ok((fees, left)),
        None => Err(TransactionError::InsufficientBalance { balance: account.balance, needed }),
    }
}

/// Checks that every account that a transaction touches would end with at least `reserve`, where the
/// sender has `left` before receiving.
///
/// # Errors
///
/// TX-13.
///
/// # Panics
///
/// If the sender has less than the transaction takes, which is for TX-12 to refuse before.
pub fn check_reserve(
    state: &State,
    transaction: &CheckedTransaction,
    left: Amount,
    reserve: Amount,
) -> Result<(), TransactionError> {
    if reserve == Amount::ZERO {
        return Ok(());
    }
    let transfers = &transaction.body().transfers;
    let mut received: Vec<(&StatePath, Amount)> =
        transaction.recipient_paths().zip(transfers.iter().map(|transfer| transfer.amount)).collect();
    received.sort_unstable();
    let mut sender_end = left;
    for same in received.chunk_by(|a, b| a.0 == b.0) {
        let Some((path, _)) = same.first() else { continue };
        let sum = Amount::checked_sum(same.iter().map(|(_, amount)| *amount)).expect("TX-6 was checked");
        if *path == transaction.sender_path() {
            sender_end = sender_end.checked_add(sum).expect("no more than the sender had");
            continue;
        }
        let before = state.find(path).map_or(Amount::ZERO, |index| state.account(index).balance);
        let found = before.checked_add(sum).expect("all balances together fit an amount");
        // TX-13 > Every account that a transaction touches ends with at least the reserve.
        if found < reserve {
            return Err(TransactionError::BelowReserve { found, reserve });
        }
    }
    if sender_end < reserve {
        Err(TransactionError::BelowReserve { found: sender_end, reserve })
    } else {
        Ok(())
    }
}

/// Adds to the balance at `path`, which comes into being if need be, unless its account is `known`.
fn add_to(state: &mut State, known: Option<AccountIndex>, path: &StatePath, amount: Amount) -> AccountIndex {
    let Some(index) = known.or_else(|| state.find(path)) else {
        return state.insert(*path, Account { balance: amount, nonce: Nonce(0) });
    };
    let account = state.account(index);
    let balance = account.balance.checked_add(amount).expect("all balances together fit an amount");
    state.set(index, Account { balance, ..account });
    index
}
