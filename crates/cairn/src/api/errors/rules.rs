//! Which numbered rule becomes which refusal: the errors of the ledger in the words of the interface.

use super::ApiError;
use crate::run::{SEALER_THREADS_MAX, ThreadsRefusal};
use axum::http::StatusCode;
use cairn_core::address::AddressError;
use cairn_core::block::BlockError;
use cairn_core::codec::DecodeError;
use cairn_core::consensus::HeaderError;
use cairn_core::transaction::TransactionError;
use cairn_node::mempool::{MempoolError, SubmitError};
use cairn_node::producer::MineRefusal;

/// A refusal for a rule: malformed, in conflict, or against it.
fn refusal(
    status: StatusCode,
    code: &'static str,
    rule: &'static str,
    error: &impl std::error::Error,
    help: &'static str,
) -> ApiError {
    ApiError::new(status, code, error.to_string(), help).with_rule(rule)
}

const BROKEN: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
const CONFLICT: StatusCode = StatusCode::CONFLICT;
const MALFORMED: StatusCode = StatusCode::BAD_REQUEST;

/// The refusal of bytes that are not canonical.
pub fn of_decode(error: &DecodeError) -> ApiError {
    let (code, rule) = match error {
        DecodeError::Truncated { .. } => ("truncated-bytes", "BYT-1"),
        DecodeError::Trailing { .. } => ("trailing-bytes", "BYT-2"),
        DecodeError::TooLong { .. } => ("list-too-long", "BYT-3"),
        DecodeError::UnknownKind { .. } => ("unknown-kind", "BYT-4"),
        DecodeError::NotCanonical { .. } => ("not-canonical", "BYT-5"),
    };
    refusal(MALFORMED, code, rule, error, "docs/spec/01-bytes.md describes the canonical bytes")
}

/// The refusal of a text that is no address of the network.
pub fn of_address(error: &AddressError) -> ApiError {
    let (code, rule, help) = match error {
        AddressError::NotBech32 { .. } => {
            ("malformed-address", "ADR-1", "names are known to the command line only: give the address")
        }
        AddressError::Checksum => ("address-checksum", "ADR-2", "copy the address again"),
        AddressError::WrongNetwork { .. } => {
            ("address-of-another-network", "ADR-3", "ask for the address on this network")
        }
        AddressError::Length { .. } => ("address-length", "ADR-4", "copy the address again"),
    };
    refusal(MALFORMED, code, rule, error, help)
}

/// The refusal of a transaction that breaks a rule.
pub fn of_transaction(error: &TransactionError) -> ApiError {
    use TransactionError as E;
    let (status, code, rule, help) = match error {
        E::UnknownVersion { .. } => (BROKEN, "unknown-version", "TX-1", "build it with version 1"),
        E::TooManyBytes { .. } => (BROKEN, "transaction-too-large", "TX-2", "split it into several"),
        E::WrongNonce { expected, found } if found < expected => (
            CONFLICT,
            "nonce-too-low",
            "TX-3",
            "build it anew with the account's pending_nonce; it may be confirmed already",
        ),
        E::WrongNonce { .. } => {
            (CONFLICT, "nonce-too-high", "TX-3", "send the transactions with the nonces before it first")
        }
        E::TransferCount { .. } => {
            (BROKEN, "transfer-count", "TX-4", "give at least one transfer, and split many over several")
        }
        E::ZeroAmount { .. } => (BROKEN, "zero-amount", "TX-5", "leave out transfers that move nothing"),
        E::AmountOverflow => (BROKEN, "amount-overflow", "TX-6", "no account owns that much"),
        E::TooMuchData { .. } => {
            (BROKEN, "data-too-long", "TX-7", "keep the data elsewhere and send its hash")
        }
        E::SchemeNotEnabled { .. } => {
            (BROKEN, "scheme-not-enabled", "TX-8", "GET /v1/status lists the schemes of this network")
        }
        E::WrongSignature => (
            BROKEN,
            "wrong-signature",
            "TX-9",
            "sign the transaction id, which holds this network's identity, with the key of the witness",
        ),
        E::Expired { .. } => (BROKEN, "expired", "TX-10", "build it anew with a later valid_until"),
        E::FeeTooLow { .. } => {
            (BROKEN, "fee-too-low", "TX-11", "raise max_fee_rate to at least fees.base_fee of GET /v1/status")
        }
        E::InsufficientBalance { .. } => (
            BROKEN,
            "insufficient-balance",
            "TX-12",
            "send less; the greatest fee and what waits already count too",
        ),
        E::BelowReserve { .. } => {
            (BROKEN, "below-reserve", "TX-13", "every account must keep the reserve of GET /v1/status")
        }
        E::NonceExhausted => (BROKEN, "nonce-exhausted", "TX-14", "move the balance with an earlier nonce"),
    };
    refusal(status, code, rule, error, help)
}

/// The refusal of a transaction by this node's mempool.
pub fn of_mempool(error: &MempoolError) -> ApiError {
    use MempoolError as E;
    let (status, code, rule, help) = match error {
        E::OtherWitness { .. } => {
            (CONFLICT, "already-known", "MEM-1", "GET /v1/transactions/{id} says how far it is")
        }
        E::NonceTooFarAhead { .. } => {
            (CONFLICT, "nonce-too-high", "MEM-2", "send the transactions with the nonces before it first")
        }
        E::TooManyFromSender { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-from-sender",
            "MEM-3",
            "wait for a block, then send it again",
        ),
        E::BalancePledged { .. } => {
            (BROKEN, "balance-pledged", "MEM-4", "wait until what the sender has waiting is confirmed")
        }
        E::ReplacementTooCheap { .. } => (
            CONFLICT,
            "replacement-too-cheap",
            "MEM-5",
            "another transaction waits with this nonce: pay more than it, or use pending_nonce",
        ),
        E::ExpiresSoon { .. } => (BROKEN, "expires-soon", "MEM-6", "build it anew with a later valid_until"),
        E::Full { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "mempool-full", "MEM-7", "raise tip_rate, or wait for a block")
        }
        E::FullBeyondGap { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "mempool-full",
            "MEM-8",
            "send the transactions with the nonces before it first",
        ),
        E::TooHeavy { .. } => (BROKEN, "transaction-too-heavy", "MEM-9", "split it into several"),
    };
    refusal(status, code, rule, error, help)
}

/// The refusal of a submitted transaction.
pub fn of_submit(error: &SubmitError) -> ApiError {
    match error {
        SubmitError::Transaction(error) => of_transaction(error),
        SubmitError::Mempool(error) => of_mempool(error),
        SubmitError::DiskFull => ApiError::disk_full(),
    }
}

/// Why blocks were not made on demand.
pub fn of_mine(error: &MineRefusal) -> ApiError {
    let (status, code, help) = match error {
        MineRefusal::NoProducer => {
            (CONFLICT, "not-a-miner", "start the node with --role miner and --producer")
        }
        MineRefusal::NotListed { .. } => {
            (CONFLICT, "not-a-listed-miner", "start the node with the key of a listed miner")
        }
        MineRefusal::BlockCount { .. } => (BROKEN, "block-count", "ask for fewer blocks at once"),
        MineRefusal::TooManyRequests { .. } => return ApiError::slow_down(),
        MineRefusal::Refused { .. } => (CONFLICT, "own-block-refused", "the log of the node says more"),
    };
    ApiError::new(status, code, error.to_string(), help)
}

/// Why the search for work goes on with as many threads as before.
pub fn of_threads(error: &ThreadsRefusal) -> ApiError {
    match error {
        ThreadsRefusal::NoProducer => of_mine(&MineRefusal::NoProducer),
        ThreadsRefusal::Count { .. } => {
            ApiError::malformed_parameter("threads", &format!("a number from 1 to {SEALER_THREADS_MAX}"))
        }
        ThreadsRefusal::Start(_) => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-threads",
            error.to_string(),
            "the operating system starts no more threads: ask for fewer",
        ),
    }
}

/// The refusal of a header or a seal that breaks a rule.
pub fn of_header(error: &HeaderError) -> ApiError {
    use HeaderError as E;
    let (code, rule) = match error {
        E::UnknownVersion { .. } => ("unknown-block-version", "HDR-1"),
        E::Height { .. } => ("wrong-height", "HDR-2"),
        E::TimeNotAfterParent { .. } => ("time-not-after-parent", "HDR-3"),
        E::Target { .. } => ("wrong-target", "HDR-4"),
        E::BaseFee { .. } => ("wrong-base-fee", "HDR-5"),
        E::HistoryRoot { .. } => ("wrong-history-root", "HDR-6"),
        E::TooHeavy { .. } => ("block-too-heavy", "HDR-7"),
        E::TooManyTransactions { .. } => ("too-many-transactions", "HDR-8"),
        E::UnexpectedCertificate { .. } => ("unexpected-certificate", "HDR-9"),
        E::SealKind { .. } => ("wrong-seal-kind", "SEA-1"),
        E::TargetForm(_) => ("malformed-target", "SEA-2"),
        E::TooLittleWork { .. } => ("too-little-work", "SEA-3"),
        E::ProducerNotListed { .. } => ("producer-not-listed", "SEA-4"),
        E::WrongSealSignature => ("wrong-seal-signature", "SEA-5"),
        E::OutOfTurn { .. } => ("out-of-turn", "SEA-6"),
    };
    refusal(BROKEN, code, rule, error, "docs/spec/06-consensus.md lists the rules")
}

/// The refusal of a block that breaks a rule.
pub fn of_block(error: &BlockError) -> ApiError {
    use BlockError as E;
    let (code, rule) = match error {
        E::Header(source) => return of_header(source),
        E::Transaction { source, .. } => {
            let inner = of_transaction(source);
            return ApiError { status: BROKEN, message: error.to_string(), ..inner };
        }
        E::Form(source) => {
            let inner = of_decode(source);
            return ApiError { message: format!("{error}: {source}"), ..inner }.with_rule("BLK-1");
        }
        E::TransactionCount { .. } => ("wrong-transaction-count", "BLK-2"),
        E::TransactionRoot { .. } => ("wrong-transaction-root", "BLK-3"),
        E::ExtraHash { .. } => ("wrong-extra-hash", "BLK-4"),
        E::TooMuchExtra { .. } => ("extra-too-long", "BLK-5"),
        E::CertificateHash { .. } => ("wrong-certificate-hash", "BLK-6"),
        E::WeightUsed { .. } => ("wrong-weight", "BLK-7"),
        E::StateRoot { .. } => ("wrong-state-root", "BLK-8"),
        E::Supply { .. } => ("wrong-supply", "BLK-9"),
    };
    refusal(BROKEN, code, rule, error, "docs/spec/04-validity.md lists the rules")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::numbers::Nonce;

    #[test]
    fn a_nonce_says_on_which_side_it_is_wrong() {
        let low = of_transaction(&TransactionError::WrongNonce { expected: Nonce(3), found: Nonce(2) });
        assert_eq!((low.status, low.code, low.rule), (CONFLICT, "nonce-too-low", Some("TX-3")));
        let high = of_transaction(&TransactionError::WrongNonce { expected: Nonce(3), found: Nonce(4) });
        assert_eq!((high.status, high.code, high.rule), (CONFLICT, "nonce-too-high", Some("TX-3")));
    }

    #[test]
    fn malformed_and_forbidden_are_kept_apart() {
        assert_eq!(of_decode(&DecodeError::Trailing { at: 1, extra: 2 }).status, StatusCode::BAD_REQUEST);
        assert_eq!(of_address(&AddressError::Checksum).rule, Some("ADR-2"));
        assert_eq!(of_transaction(&TransactionError::WrongSignature).status, BROKEN);
        let block = BlockError::Transaction { position: 4, source: TransactionError::AmountOverflow };
        let refused = of_block(&block);
        assert_eq!((refused.code, refused.rule), ("amount-overflow", Some("TX-6")));
        assert!(refused.message.starts_with("transaction 4"), "{}", refused.message);
    }
}
