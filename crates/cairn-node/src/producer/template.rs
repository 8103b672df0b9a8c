//! Putting a block together: the best-paying transactions that fit, in the order of their nonces.

use crate::chain::{Chain, context_of};
use crate::mempool::{Mempool, Run, Ticket};
use cairn_core::address::Address;
use cairn_core::block::{BLOCK_VERSION, Header, UnsealedBlock};
use cairn_core::hash::{CertificateHash, ExtraHash, MerkleRoot, StateRoot, TransactionId};
use cairn_core::numbers::{FeeRate, Timestamp, Weight};
use cairn_core::rules::{BlockContext, CollectedFees, Payment, apply_transaction, pay};
use cairn_core::state::State;
use cairn_core::store::{Store, StoreError};
use cairn_core::transaction::{CheckedTransaction, TRANSACTION_BYTES_MIN, TransactionError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A block to be sealed, and which transactions it could not hold.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) block: UnsealedBlock,
    /// Those that break a rule in it, and the rule. Not those for which there was no room.
    pub(super) refused: BTreeMap<TransactionId, TransactionError>,
}

/// The next transaction of a sender, ordered by what it pays.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    tip_rate: FeeRate,
    arrival: Reverse<Ticket>,
    /// The place of its sender's run.
    run: usize,
}

/// Transactions that were executed one after the other.
#[derive(Debug, Default)]
struct Selection {
    transactions: Vec<CheckedTransaction>,
    fees: CollectedFees,
    refused: BTreeMap<TransactionId, TransactionError>,
}

/// Puts a block of at most `count_max` transactions together on the tip. The state is as before.
pub(super) fn build_template(
    chain: &mut Chain,
    mempool: &Mempool,
    producer: Address,
    count_max: usize,
    extra: Vec<u8>,
    now: Timestamp,
    store: &dyn Store,
) -> Result<Template, StoreError> {
    let consensus = chain.consensus().clone();
    let rules = consensus.rules();
    let parent = chain.parent_of_next();
    let mut header = Header {
        version: BLOCK_VERSION,
        height: parent.height.next(),
        time: now.max(consensus.earliest_time(&producer, parent)),
        parent: parent.id,
        history_root: parent.history.root(),
        producer,
        target: parent.next_target,
        base_fee: parent.next_base_fee,
        // What follows from the body is set when the block is put together.
        state_root: StateRoot::ZERO,
        tx_count: 0,
        tx_root: MerkleRoot::ZERO,
        prev_seal: CertificateHash::ZERO,
        weight_used: Weight(0),
        extra_hash: ExtraHash::ZERO,
    };
    let payment: Payment = chain.payment(&header, store)?;
    let context = context_of(&header, rules.section().reserve);
    let (selection, state_root) = chain.rehearse(|state| {
        let selection = select(state, mempool, &context, rules.limits(), count_max);
        pay(state, selection.fees, &payment, rules, |_| {});
        (selection, state.root())
    });
    header.state_root = state_root;
    Ok(Template {
        block: UnsealedBlock::new(header, selection.transactions, extra),
        refused: selection.refused,
    })
}

/// Executes the best-paying transactions as far as there is room. What does not fit, or breaks a
/// rule, waits for another block, and its sender's later ones with it.
fn select(
    state: &mut State,
    mempool: &Mempool,
    context: &BlockContext,
    limits: &cairn_core::network::Limits,
    count_max: usize,
) -> Selection {
    let mut selection = Selection::default();
    let mut runs: Vec<_> = mempool.runs().map(Iterator::peekable).collect();
    let places = 0..runs.len();
    let mut candidates: BinaryHeap<Candidate> =
        places.filter_map(|run| candidate(&mut runs, run, context.base_fee)).collect();
    let mut room = limits.block_weight.0;
    let least = u64::try_from(TRANSACTION_BYTES_MIN).expect("a small number");
    let count_max = usize::try_from(limits.block_transactions).unwrap_or(usize::MAX).min(count_max);
    while selection.transactions.len() < count_max && room >= least {
        let Some(Candidate { run, .. }) = candidates.pop() else { break };
        let Some((_, entry)) = runs.get_mut(run).and_then(Iterator::next) else { continue };
        let Some(left) = room.checked_sub(entry.transaction.weight().0) else { continue };
        match apply_transaction(state, &entry.transaction, context, |_| {}) {
            Ok(fees) => {
                room = left;
                selection.fees.add(fees);
                selection.transactions.push((*entry.transaction).clone());
                candidates.extend(candidate(&mut runs, run, context.base_fee));
            }
            Err(error) => {
                selection.refused.insert(entry.transaction.id(), error);
            }
        }
    }
    selection
}

/// The next transaction of a run, if it reaches the base fee.
fn candidate(runs: &mut [std::iter::Peekable<Run<'_>>], run: usize, base_fee: FeeRate) -> Option<Candidate> {
    let (ticket, entry) = runs.get_mut(run)?.peek()?;
    let tip_rate = entry.transaction.tip_rate(base_fee)?;
    Some(Candidate { tip_rate, arrival: Reverse(*ticket), run })
}
