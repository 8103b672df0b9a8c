//! Which numbered rule an error names.

use cairn_core::address::AddressError;
use cairn_core::block::BlockError;
use cairn_core::codec::DecodeError;
use cairn_core::consensus::HeaderError;
use cairn_core::transaction::TransactionError;

pub(crate) fn of_bytes(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Truncated { .. } => "BYT-1",
        DecodeError::Trailing { .. } => "BYT-2",
        DecodeError::TooLong { .. } => "BYT-3",
        DecodeError::UnknownKind { .. } => "BYT-4",
        DecodeError::NotCanonical { .. } => "BYT-5",
    }
}

pub(crate) fn of_address(error: &AddressError) -> &'static str {
    match error {
        AddressError::NotBech32 { .. } => "ADR-1",
        AddressError::Checksum => "ADR-2",
        AddressError::WrongNetwork { .. } => "ADR-3",
        AddressError::Length { .. } => "ADR-4",
    }
}

pub(crate) fn of_transaction(error: &TransactionError) -> &'static str {
    match error {
        TransactionError::UnknownVersion { .. } => "TX-1",
        TransactionError::TooManyBytes { .. } => "TX-2",
        TransactionError::WrongNonce { .. } => "TX-3",
        TransactionError::TransferCount { .. } => "TX-4",
        TransactionError::ZeroAmount { .. } => "TX-5",
        TransactionError::AmountOverflow => "TX-6",
        TransactionError::TooMuchData { .. } => "TX-7",
        TransactionError::SchemeNotEnabled { .. } => "TX-8",
        TransactionError::WrongSignature => "TX-9",
        TransactionError::Expired { .. } => "TX-10",
        TransactionError::FeeTooLow { .. } => "TX-11",
        TransactionError::InsufficientBalance { .. } => "TX-12",
        TransactionError::BelowReserve { .. } => "TX-13",
        TransactionError::NonceExhausted => "TX-14",
    }
}

pub(crate) fn of_header(error: &HeaderError) -> &'static str {
    match error {
        HeaderError::UnknownVersion { .. } => "HDR-1",
        HeaderError::Height { .. } => "HDR-2",
        HeaderError::TimeNotAfterParent { .. } => "HDR-3",
        HeaderError::Target { .. } => "HDR-4",
        HeaderError::BaseFee { .. } => "HDR-5",
        HeaderError::HistoryRoot { .. } => "HDR-6",
        HeaderError::TooHeavy { .. } => "HDR-7",
        HeaderError::TooManyTransactions { .. } => "HDR-8",
        HeaderError::UnexpectedCertificate { .. } => "HDR-9",
        HeaderError::SealKind { .. } => "SEA-1",
        HeaderError::TargetForm(_) => "SEA-2",
        HeaderError::TooLittleWork { .. } => "SEA-3",
        HeaderError::ProducerNotListed { .. } => "SEA-4",
        HeaderError::WrongSealSignature => "SEA-5",
        HeaderError::OutOfTurn { .. } => "SEA-6",
    }
}

pub(crate) fn of_block(error: &BlockError) -> &'static str {
    match error {
        BlockError::Form(_) => "BLK-1",
        BlockError::Header(error) => of_header(error),
        BlockError::Transaction { source, .. } => of_transaction(source),
        BlockError::TransactionCount { .. } => "BLK-2",
        BlockError::TransactionRoot { .. } => "BLK-3",
        BlockError::ExtraHash { .. } => "BLK-4",
        BlockError::TooMuchExtra { .. } => "BLK-5",
        BlockError::CertificateHash { .. } => "BLK-6",
        BlockError::WeightUsed { .. } => "BLK-7",
        BlockError::StateRoot { .. } => "BLK-8",
        BlockError::Supply { .. } => "BLK-9",
    }
}
