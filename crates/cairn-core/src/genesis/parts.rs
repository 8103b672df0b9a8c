//! The settings of a genesis, and their defaults.

use super::policy::Policy;
use crate::address::{Address, AddressPrefix};
use crate::issuance::Issuance;
use crate::network::{ConsensusSection, FeePolicy, Limits, Mode, NetworkName};
use crate::numbers::{Amount, FeeRate, Height, Nonce, Timestamp, Weight};
use crate::signature::Scheme;
use crate::target::{CompactTarget, Target};
use crate::transaction::{TRANSACTION_BYTES_MAX, TRANSFERS_MAX};
use ruint::aliases::U256;

/// 2026-01-01T00:00:00Z: the time of block 0 where nothing else is said.
const DEFAULT_TIME: Timestamp = Timestamp(1_767_225_600_000);
/// The hashes that block 1 takes on average where nothing else is said.
const DEFAULT_WORK: u64 = 65_536;
/// How many times easier than the first target the limit is.
pub(super) const DEFAULT_LIMIT_FACTOR: u64 = 16;
/// How many intervals the half-life has.
pub(super) const DEFAULT_HALF_LIFE_INTERVALS: u64 = 60;

/// All that a genesis says but the work nonce of block 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisParts {
    /// The rules of the network.
    pub section: ConsensusSection,
    /// The first accounts.
    pub allocations: Vec<Allocation>,
    /// Block 0.
    pub first_block: FirstBlock,
    /// Advice to nodes; not part of the identity.
    pub policy: Policy,
}

/// An account that genesis creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Its address.
    pub address: Address,
    /// What it owns.
    pub balance: Amount,
    /// The nonce that its first transaction carries.
    pub nonce: Nonce,
    /// What people call it; not part of the identity.
    pub label: Option<String>,
}

/// What block 0 says beside rules and accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstBlock {
    /// Its time.
    pub time: Timestamp,
    /// Its producer; 32 zero bytes for nobody.
    pub producer: Address,
    /// What it brings to its producer, at once.
    pub reward: Amount,
    /// Its target; none under `bft`.
    pub target: CompactTarget,
}

impl GenesisParts {
    /// A network with the default of every setting, without accounts and rewards.
    pub fn new(name: &str, mode: Mode, devnet: bool) -> Self {
        let is_bft = matches!(mode, Mode::Bft { .. });
        let target = if is_bft { CompactTarget::NONE } else { target_of_work(DEFAULT_WORK) };
        let limits = Limits {
            transaction_bytes: TRANSACTION_BYTES_MAX,
            data_bytes: 1024,
            transfers: TRANSFERS_MAX,
            block_weight: Weight(1024 * 1024),
            block_transactions: 5_000,
            extra_bytes: 1024,
        };
        let network = NetworkName {
            id: 0,
            name: name.to_owned(),
            symbol: "COIN".to_owned(),
            decimals: 8,
            prefix: AddressPrefix::new("cairn").expect("five lower-case letters"),
            coin_type: 1,
            devnet,
        };
        let section = ConsensusSection {
            network,
            mode,
            interval_ms: 10_000,
            half_life_ms: if is_bft { 0 } else { 10_000 * DEFAULT_HALF_LIFE_INTERVALS },
            first_target: target,
            target_limit: easier(target, DEFAULT_LIMIT_FACTOR),
            issuance: Issuance::default(),
            maturity: if is_bft || devnet { 0 } else { 20 },
            fees: FeePolicy { floor: FeeRate(1), moving: false, burn: false },
            limits,
            reserve: Amount::ZERO,
            schemes: vec![Scheme::Ed25519],
        };
        let first_block =
            FirstBlock { time: DEFAULT_TIME, producer: Address::default(), reward: Amount::ZERO, target };
        Self { section, allocations: Vec::new(), first_block, policy: Policy::of(&limits) }
    }

    /// All base units that there will ever be, saturating far above what fits an amount.
    pub(super) fn supply_max(&self) -> u128 {
        self.allocated() + u128::from(self.section.issuance.issued(Height(u64::MAX)).units())
    }

    /// The allocations and the reward of block 0, also where they do not fit an amount.
    fn allocated(&self) -> u128 {
        let balances = self.allocations.iter().map(|allocation| u128::from(allocation.balance.units()));
        balances.sum::<u128>() + u128::from(self.first_block.reward.units())
    }

    /// What is left for all blocks together beside what is allocated; nothing where that is too much
    /// already.
    pub(super) fn room_for_issuance(&self) -> Amount {
        let left = u128::from(u64::MAX).saturating_sub(self.allocated());
        Amount::from_units(u64::try_from(left).expect("less than what it was taken from"))
    }

    /// The cap that holds where a file names none: nothing, unless the schedule would then bring more
    /// than fits beside what is allocated.
    pub(super) fn default_cap(&self) -> Amount {
        let uncapped = Issuance { cap: Amount::ZERO, ..self.section.issuance };
        let issued = u128::from(uncapped.issued(Height(u64::MAX)).units());
        let room = self.room_for_issuance();
        if issued > u128::from(room.units()) { room } else { Amount::ZERO }
    }

    /// Caps the reward schedule as a file does that names no cap.
    pub(super) fn cap_issuance_at_what_fits(&mut self) {
        self.section.issuance.cap = self.default_cap();
    }
}

/// The target that takes `work` hashes on average, at least 1.
pub(super) fn target_of_work(work: u64) -> CompactTarget {
    let value = U256::MAX / U256::from(work.max(1));
    Target::from_value(value).map_or(CompactTarget::NONE, Target::to_compact)
}

/// The target that is `factor` times easier; no target stays none.
pub(super) fn easier(target: CompactTarget, factor: u64) -> CompactTarget {
    let Ok(target) = target.expand() else { return CompactTarget::NONE };
    let value = target.value().saturating_mul(U256::from(factor.max(1)));
    Target::from_value(value).map_or(CompactTarget::NONE, Target::to_compact)
}
