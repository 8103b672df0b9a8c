//! The number of the rule that a genesis breaks, as `docs/spec/05-genesis.md` counts them.

use cairn_core::genesis::GenesisError;

/// The number.
pub(super) const fn rule_of(error: &GenesisError) -> &'static str {
    match error {
        GenesisError::TooManyBytes { .. } => "GEN-1",
        GenesisError::Syntax(_) => "GEN-2",
        GenesisError::UnknownKey { .. } => "GEN-3",
        GenesisError::WrongType { .. } => "GEN-4",
        GenesisError::Missing { .. } => "GEN-5",
        GenesisError::NotUsed { .. } => "GEN-6",
        GenesisError::SaidTwice { .. } => "GEN-7",
        GenesisError::UnknownChoice { .. } => "GEN-8",
        GenesisError::OutOfRange { .. } => "GEN-9",
        GenesisError::Duration { .. } => "GEN-10",
        GenesisError::Amount { .. } => "GEN-11",
        GenesisError::Time { .. } => "GEN-12",
        GenesisError::Name { .. } => "GEN-13",
        GenesisError::Prefix(_) => "GEN-14",
        GenesisError::Address(_) => "GEN-15",
        GenesisError::AllocatedTwice { .. } => "GEN-16",
        GenesisError::BelowReserve { .. } => "GEN-17",
        GenesisError::Supply { .. } => "GEN-18",
        GenesisError::RewardWithoutProducer { .. } => "GEN-19",
        GenesisError::TargetText { .. } => "GEN-20",
        GenesisError::Target(_) => "GEN-21",
        GenesisError::TargetAboveLimit { .. } => "GEN-22",
        GenesisError::WorkUnderBft { .. } => "GEN-23",
        GenesisError::AuthorityCount { .. } => "GEN-24",
        GenesisError::AuthorityKey { .. } => "GEN-25",
        GenesisError::ListedTwice { .. } => "GEN-26",
        GenesisError::SchemeNotSupported { .. } => "GEN-27",
        GenesisError::SchemeList { .. } => "GEN-28",
        GenesisError::BlockTooSmall { .. } => "GEN-29",
        GenesisError::BlockTooLarge { .. } => "GEN-30",
        GenesisError::TooManyAllocations { .. } => "GEN-31",
        GenesisError::NotSealed { .. } => "GEN-32",
        GenesisError::TooLittleWork { .. } => "GEN-33",
        GenesisError::Form(_) => "GEN-34",
        GenesisError::WrongIdentity { .. } => "GEN-35",
    }
}
