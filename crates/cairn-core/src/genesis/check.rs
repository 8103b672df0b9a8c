//! The rules about the values of a genesis, wherever they come from.

use super::error::{GenesisError, GenesisProblem, Setting};
use super::parts::{Allocation, GenesisParts};
use super::time::TIME_MS_MAX;
use super::{ALLOCATIONS_MAX, Placeholder};
use crate::address::Address;
use crate::block::{BLOCK_BYTES_MAX, EXTRA_BYTES_MAX, HEADER_BYTES};
use crate::network::{AUTHORITIES_MAX, DECIMALS_MAX, Mode, NAME_BYTES_MAX, SYMBOL_BYTES_MAX};
use crate::numbers::{Amount, Weight};
use crate::signature::Witness;
use crate::transaction::{TRANSACTION_BYTES_MAX, TRANSACTION_BYTES_MIN, TRANSFER_WEIGHT, TRANSFERS_MAX};
use ed25519_zebra::VerificationKey;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The longest label of an allocation, in bytes.
const LABEL_BYTES_MAX: usize = 64;
/// The longest interval: a day.
const INTERVAL_MS_MAX: u64 = 86_400_000;
/// The longest half-life: a year.
const HALF_LIFE_MS_MAX: u64 = 365 * 86_400_000;
/// Rewards mature, and checkpoints lie, within the blocks that a node can undo.
const UNDO_WINDOW: u64 = 10_000;
/// The largest number of a hardened step of a derivation path (BIP-32).
const COIN_TYPE_MAX: u64 = (1 << 31) - 1;
/// The bytes of a certificate that all of the most validators have signed.
const CERTIFICATE_BYTES_MAX: usize = 48 + AUTHORITIES_MAX.div_ceil(8) + 64 * AUTHORITIES_MAX;
/// What a block has around transactions and extra data: header, two counts, the certificate of an
/// ancestor and its own.
const AROUND_BYTES_MAX: usize = HEADER_BYTES + 16 + 2 * CERTIFICATE_BYTES_MAX;

/// All rules that the parts break, in the order of the file format.
pub(super) fn check(parts: &GenesisParts) -> Vec<GenesisProblem> {
    let mut checker = Checker { parts, problems: Vec::new() };
    checker.check_network();
    checker.check_authorities();
    checker.check_sizes();
    checker.check_difficulty();
    checker.check_money();
    checker.check_policy();
    checker.check_first_block();
    checker.check_allocations();
    checker.problems
}

struct Checker<'a> {
    parts: &'a GenesisParts,
    problems: Vec<GenesisProblem>,
}

impl Checker<'_> {
    fn report(&mut self, setting: Setting, error: GenesisError) {
        self.problems.push(GenesisProblem::at(setting, error));
    }

    // GEN-9 > Every number lies within its bounds.
    fn check_range(&mut self, setting: Setting, found: u64, range: RangeInclusive<u64>) {
        if !range.contains(&found) {
            let (least, most) = (*range.start(), *range.end());
            self.report(setting, GenesisError::OutOfRange { found: i128::from(found), least, most });
        }
    }

    // GEN-13 > 1 to so many bytes and no control characters.
    fn check_name(&mut self, setting: Setting, text: &str, limit: usize) {
        if text.is_empty() || text.len() > limit || text.chars().any(char::is_control) {
            self.report(setting, GenesisError::Name { found: text.to_owned(), limit });
        }
    }

    fn check_network(&mut self) {
        let network = &self.parts.section.network;
        self.check_name(Setting::of("network", "name"), &network.name, NAME_BYTES_MAX);
        self.check_name(Setting::of("network", "symbol"), &network.symbol, SYMBOL_BYTES_MAX);
        let decimals = u64::from(network.decimals);
        self.check_range(Setting::of("network", "decimals"), decimals, 0..=u64::from(DECIMALS_MAX));
        let coin_type = u64::from(network.coin_type);
        self.check_range(Setting::of("network", "coin_type"), coin_type, 0..=COIN_TYPE_MAX);
    }

    fn check_authorities(&mut self) {
        let setting = Setting::of("consensus", authorities_key(&self.parts.section.mode));
        match self.parts.section.mode {
            Mode::Pow => return,
            Mode::PowPermit { .. } | Mode::Bft { .. } => {}
            Mode::PowFinality { checkpoint_interval, checkpoint_depth, .. } => {
                let interval = u64::from(checkpoint_interval);
                self.check_range(Setting::of("consensus", "checkpoint_interval"), interval, 1..=UNDO_WINDOW);
                let depth = u64::from(checkpoint_depth);
                self.check_range(Setting::of("consensus", "checkpoint_depth"), depth, 0..=UNDO_WINDOW);
            }
        }
        let keys = self.parts.section.mode.authorities();
        // GEN-24 > 1 to 1024 are listed.
        if keys.is_empty() || keys.len() > AUTHORITIES_MAX {
            self.report(setting, GenesisError::AuthorityCount { found: keys.len(), limit: AUTHORITIES_MAX });
        }
        let mut places: BTreeMap<&[u8; 32], usize> = BTreeMap::new();
        for (place, key) in keys.iter().take(AUTHORITIES_MAX).enumerate() {
            // GEN-25 > An ed25519 public key.
            if VerificationKey::try_from(*key).is_err() {
                self.report(
                    setting.element(place),
                    GenesisError::AuthorityKey { found: const_hex::encode(key) },
                );
            }
            // GEN-26 > Each is listed once.
            if let Some(first) = places.get(key) {
                self.report(setting.element(place), GenesisError::ListedTwice { first: *first });
            } else {
                places.insert(key, place);
            }
        }
    }

    fn check_sizes(&mut self) {
        let section = &self.parts.section;
        let limits = &section.limits;
        let size = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.check_range(Setting::of("block", "interval"), section.interval_ms, 1..=INTERVAL_MS_MAX);
        let transactions_max = size(BLOCK_BYTES_MAX / TRANSACTION_BYTES_MIN);
        let transactions = u64::from(limits.block_transactions);
        self.check_range(Setting::of("block", "transactions_max"), transactions, 1..=transactions_max);
        let extra = size(limits.extra_bytes);
        self.check_range(Setting::of("block", "extra_bytes_max"), extra, 0..=size(EXTRA_BYTES_MAX));
        let bytes = size(limits.transaction_bytes);
        let bytes_range = size(TRANSACTION_BYTES_MIN)..=size(TRANSACTION_BYTES_MAX);
        self.check_range(Setting::of("transactions", "bytes_max"), bytes, bytes_range);
        let data = size(limits.data_bytes);
        self.check_range(Setting::of("transactions", "data_bytes_max"), data, 0..=bytes);
        let transfers = size(limits.transfers);
        self.check_range(Setting::of("transactions", "transfers_max"), transfers, 1..=size(TRANSFERS_MAX));

        let setting = Setting::of("block", "weight_max");
        let weight = limits.block_weight;
        // GEN-29 > A block has room for the heaviest transaction.
        let verify = Witness::Ed25519 { key: [0; 32], signature: [0; 64] }.verify_weight();
        let more = transfers.saturating_sub(1).saturating_mul(TRANSFER_WEIGHT);
        let needed = Weight(bytes.saturating_add(verify.0).saturating_add(more));
        if weight < needed {
            self.report(setting, GenesisError::BlockTooSmall { found: weight, needed });
        }
        // GEN-30 > The largest block stays within 16 MiB: a byte of a transaction weighs at least 1.
        let found = weight.0.saturating_add(extra).saturating_add(size(AROUND_BYTES_MAX));
        if found > size(BLOCK_BYTES_MAX) {
            self.report(setting, GenesisError::BlockTooLarge { found, limit: BLOCK_BYTES_MAX });
        }
        // GEN-9 > The base fees of a full block at the floor fit an amount.
        let floor_max = u64::MAX / weight.0.max(1);
        self.check_range(Setting::of("fees", "floor"), section.fees.floor.0, 0..=floor_max);

        let schemes = &section.schemes;
        let setting = Setting::of("transactions", "schemes");
        // GEN-27 > Only schemes that this release verifies.
        for (place, scheme) in schemes.iter().enumerate() {
            if !scheme.is_supported() {
                self.report(setting.element(place), GenesisError::SchemeNotSupported { found: *scheme });
            }
        }
        // GEN-28 > At least one, each once.
        let distinct =
            schemes.iter().enumerate().filter(|(place, scheme)| !schemes[..*place].contains(scheme)).count();
        if distinct == 0 || distinct < schemes.len() {
            self.report(setting, GenesisError::SchemeList { found: schemes.len(), distinct });
        }
    }

    fn check_difficulty(&mut self) {
        let section = &self.parts.section;
        let first = (Setting::of("difficulty", "first_target"), section.first_target);
        let limit = (Setting::of("difficulty", "limit"), section.target_limit);
        let genesis = (Setting::of("genesis_block", "target"), self.parts.first_block.target);
        if let Mode::Bft { .. } = section.mode {
            let half_life = (Setting::of("difficulty", "half_life"), section.half_life_ms);
            let targets = [first, limit, genesis].map(|(setting, target)| (setting, u64::from(target.0)));
            // GEN-23 > Under bft no work is asked.
            for (setting, found) in targets.into_iter().chain([half_life]).filter(|(_, found)| *found != 0) {
                self.report(setting, GenesisError::WorkUnderBft { found });
            }
            return;
        }
        if section.half_life_ms != 0 && section.interval_ms <= INTERVAL_MS_MAX {
            // The solve time counts up to two half-lives: with less than an interval, blocks that
            // come late would still make the next ones harder.
            let range = section.interval_ms..=HALF_LIFE_MS_MAX;
            self.check_range(Setting::of("difficulty", "half_life"), section.half_life_ms, range);
        }
        let [first, limit, genesis] = [first, limit, genesis].map(|(setting, target)| {
            // GEN-21 > A canonical compact target.
            let expanded = target.expand();
            (setting, expanded.map_err(|error| self.report(setting, error.into())).ok())
        });
        // GEN-22 > No target is easier than the limit.
        let Some(limit) = limit.1 else { return };
        for (setting, target) in [first, genesis] {
            if let Some(found) = target.filter(|target| *target > limit) {
                let (found, limit) = (found.to_compact(), limit.to_compact());
                self.report(setting, GenesisError::TargetAboveLimit { found, limit });
            }
        }
    }

    fn check_money(&mut self) {
        let maturity = u64::from(self.parts.section.maturity);
        self.check_range(Setting::of("reward", "maturity"), maturity, 0..=UNDO_WINDOW);
        // GEN-18 > All that there will ever be fits an amount.
        let found = self.parts.supply_max();
        if found > u128::from(u64::MAX) {
            let decimals = self.parts.section.network.decimals;
            let room = self.parts.room_for_issuance().units();
            let error = GenesisError::Supply { found, limit: u64::MAX, room, decimals };
            self.report(Setting::of("reward", "cap"), error);
        }
    }

    fn check_policy(&mut self) {
        let policy = &self.parts.policy;
        let most = u64::from(self.parts.section.limits.block_transactions);
        let max = u64::from(policy.max_transactions);
        // Where blocks hold nothing, that is reported already.
        if most > 0 {
            self.check_range(Setting::of("policy", "max_transactions"), max, 1..=most);
        }
        if let Some(min) = policy.min_transactions {
            self.check_range(Setting::of("policy", "min_transactions"), u64::from(min), 1..=max.max(1));
        }
        let peers = u64::from(policy.peers_max);
        self.check_range(Setting::of("policy", "peers_max"), peers, 0..=u64::from(u16::MAX));
        let key = if let Placeholder::Text(_) = policy.placeholder { "text" } else { "random" };
        let bytes = u64::try_from(policy.placeholder.byte_count()).unwrap_or(u64::MAX);
        let most = u64::try_from(self.parts.section.limits.extra_bytes).unwrap_or(u64::MAX);
        self.check_range(Setting::of("policy.placeholder", key), bytes, 0..=most);
    }

    fn check_first_block(&mut self) {
        let block = &self.parts.first_block;
        self.check_range(Setting::of("genesis_block", "time"), block.time.0, 0..=TIME_MS_MAX);
        // GEN-19 > A reward of block 0 goes to a producer.
        if block.reward > Amount::ZERO && block.producer == Address::default() {
            let error = GenesisError::RewardWithoutProducer { reward: block.reward };
            self.report(Setting::of("genesis_block", "reward"), error);
        }
        let is_allocated =
            self.parts.allocations.iter().any(|allocation| allocation.address == block.producer);
        if block.reward > Amount::ZERO && !is_allocated {
            self.check_reserve(Setting::of("genesis_block", "reward"), block.reward);
        }
    }

    fn check_allocations(&mut self) {
        let allocations: &[Allocation] = &self.parts.allocations;
        // GEN-31 > At most a million.
        if allocations.len() > ALLOCATIONS_MAX {
            let error = GenesisError::TooManyAllocations { found: allocations.len(), limit: ALLOCATIONS_MAX };
            self.report(Setting::of("allocation", ""), error);
            return;
        }
        let mut places: BTreeMap<&Address, usize> = BTreeMap::new();
        for (place, allocation) in allocations.iter().enumerate() {
            let at = |key| Setting::of_allocation(place, key);
            // GEN-16 > An address is allocated once.
            if let Some(first) = places.get(&allocation.address) {
                let error = GenesisError::AllocatedTwice { address: allocation.address, first: *first };
                self.report(at("address"), error);
            } else {
                places.insert(&allocation.address, place);
            }
            self.check_range(at("nonce"), allocation.nonce.0, 0..=u64::MAX - 1);
            let block = &self.parts.first_block;
            let reward = if allocation.address == block.producer { block.reward } else { Amount::ZERO };
            self.check_reserve(at("balance"), allocation.balance.saturating_add(reward));
            if let Some(label) = &allocation.label {
                self.check_name(at("label"), label, LABEL_BYTES_MAX);
            }
        }
    }

    // GEN-17 > Every account of genesis has at least the reserve.
    fn check_reserve(&mut self, setting: Setting, found: Amount) {
        let reserve = self.parts.section.reserve;
        if found < reserve {
            self.report(setting, GenesisError::BelowReserve { found, reserve });
        }
    }
}

/// The key under which a mode lists its miners or validators.
pub(super) const fn authorities_key(mode: &Mode) -> &'static str {
    match mode {
        Mode::Pow | Mode::PowPermit { .. } => "miners",
        Mode::Bft { .. } | Mode::PowFinality { .. } => "validators",
    }
}
