//! The file format: which settings there are, and what a genesis is made of them.

use super::check::{authorities_key, check};
use super::error::{GenesisError, GenesisProblem, GenesisProblems, Setting};
use super::parts::{
    Allocation, DEFAULT_HALF_LIFE_INTERVALS, DEFAULT_LIMIT_FACTOR, GenesisParts, easier, target_of_work,
};
use super::policy::{Placeholder, Policy};
use super::reader::{Read, Reported, SettingReader, TableFormat};
use super::{ALLOCATIONS_MAX, time};
use crate::address::{Address, AddressPrefix};
use crate::network::Mode;
use crate::numbers::{FeeRate, Nonce, Weight, WorkNonce};
use crate::signature::Scheme;
use crate::target::CompactTarget;

/// Every table, with its keys in the order in which they are written.
const FORMAT: &[TableFormat] = &[
    ("network", &["id", "name", "symbol", "decimals", "address_prefix", "coin_type", "devnet"]),
    ("consensus", &["mode", "miners", "turns", "validators", "checkpoint_interval", "checkpoint_depth"]),
    ("block", &["interval", "weight_max", "transactions_max", "extra_bytes_max"]),
    ("difficulty", &["mode", "half_life", "first_target", "first_work", "limit", "limit_factor"]),
    ("reward", &["initial", "halving_every", "tail", "cap", "maturity"]),
    ("fees", &["floor", "moving", "burn"]),
    ("transactions", &["bytes_max", "data_bytes_max", "transfers_max", "schemes", "reserve"]),
    ("policy", &["min_transactions", "max_transactions", "empty_blocks", "placeholder", "peers_max"]),
    ("policy.placeholder", &["random", "text"]),
    ("genesis_block", &["time", "producer", "reward", "target", "work", "work_nonce"]),
    (ALLOCATION, &["address", "balance", "nonce", "label"]),
];
const ALLOCATION: &str = "allocation";

const MODES: &[&str] = &["pow", "pow+permit", "bft", "pow+finality"];
const DIFFICULTY_MODES: &[&str] = &["adjusting", "fixed"];
const SCHEMES: &[&str] = &["ed25519", "secp256k1", "rsa-pss-sha256", "ml-dsa-44", "multisig"];

const DEFAULT_CHECKPOINT_INTERVAL: u32 = 10;
const DEFAULT_CHECKPOINT_DEPTH: u32 = 3;

/// The base point of ed25519 (RFC 8032): a key that stands in for one that could not be read.
const SOME_KEY: [u8; 32] = {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    key
};

/// Reads a file, and checks what it says.
pub(super) fn read(text: &str) -> Result<(GenesisParts, Option<WorkNonce>), GenesisProblems> {
    let mut reader =
        FormatReader { settings: SettingReader::open(text, FORMAT, ALLOCATION)?, decimals: None };
    let (parts, nonce, entries) = reader.read();
    let problems = check(&parts).into_iter().map(|problem| in_order_of_file(problem, &entries));
    reader.settings.finish(problems.collect())?;
    Ok((parts, nonce))
}

/// Allocations that could not be read were left out, so those behind them moved up.
fn in_order_of_file(mut problem: GenesisProblem, entries: &[usize]) -> GenesisProblem {
    let in_file = |place: usize| entries.get(place).copied().unwrap_or(place);
    if let Some(setting) = &mut problem.setting {
        setting.entry = setting.entry.map(in_file);
    }
    if let GenesisError::AllocatedTwice { first, .. } = &mut problem.error {
        *first = in_file(*first);
    }
    problem
}

/// What was read, or the default where the file says nothing or something wrong, which was reported.
fn or<T>(read: Read<T>, default: T) -> T {
    read.ok().flatten().unwrap_or(default)
}

struct FormatReader<'a> {
    settings: SettingReader<'a>,
    /// The decimals of the coin, once they are known.
    decimals: Option<u8>,
}

impl FormatReader<'_> {
    /// The parts, the work nonce, and for each allocation its place in the file.
    fn read(&mut self) -> (GenesisParts, Option<WorkNonce>, Vec<usize>) {
        let name = Setting::of("network", "name");
        let read_name = self.settings.text(name);
        if let Ok(None) = read_name {
            // GEN-5 > A setting without a default is given.
            self.settings.report(name, GenesisError::Missing { setting: name });
        }
        let devnet = or(self.settings.flag(Setting::of("network", "devnet")), false);
        let mode = self.read_mode();
        let mut parts = GenesisParts::new(&or(read_name, "?".to_owned()), mode, devnet);
        let prefix = self.read_network(&mut parts);
        self.read_block(&mut parts);
        self.read_difficulty(&mut parts);
        self.read_fees(&mut parts);
        let nonce = self.read_first_block(&mut parts, prefix.as_ref());
        let entries = self.read_allocations(&mut parts, prefix.as_ref());
        self.read_reward(&mut parts);
        self.read_policy(&mut parts);
        (parts, nonce, entries)
    }

    fn u32(&mut self, setting: Setting) -> Read<u32> {
        self.settings.number(setting, u64::from(u32::MAX))
    }

    fn u64(&mut self, setting: Setting) -> Read<u64> {
        self.settings.number(setting, u64::MAX)
    }

    fn size(&mut self, setting: Setting) -> Read<usize> {
        self.settings.number(setting, u64::from(u32::MAX))
    }

    // GEN-6 > A setting is given only where the mode uses it.
    fn refuse_unused(&mut self, setting: Setting, mode: &'static str) {
        if self.settings.has(setting) {
            self.settings.report(setting, GenesisError::NotUsed { mode });
        }
    }

    // GEN-7 > What can be said in two ways is said in one.
    fn refuse_both(&mut self, setting: Setting, other: Setting) {
        if self.settings.has(setting) && self.settings.has(other) {
            self.settings.report(setting, GenesisError::SaidTwice { other });
        }
    }

    fn read_mode(&mut self) -> Mode {
        let at = |key| Setting::of("consensus", key);
        let Ok(choice) = self.settings.choice(at("mode"), MODES) else { return Mode::Pow };
        let (mode, used): (_, &[&str]) = match choice.unwrap_or_default() {
            "pow+permit" => {
                let turns = or(self.settings.flag(at("turns")), false);
                (Mode::PowPermit { miners: self.read_keys(at("miners")), turns }, &["miners", "turns"])
            }
            "bft" => (Mode::Bft { validators: self.read_keys(at("validators")) }, &["validators"]),
            "pow+finality" => {
                let checkpoint_interval =
                    or(self.u32(at("checkpoint_interval")), DEFAULT_CHECKPOINT_INTERVAL);
                let checkpoint_depth = or(self.u32(at("checkpoint_depth")), DEFAULT_CHECKPOINT_DEPTH);
                let validators = self.read_keys(at("validators"));
                (
                    Mode::PowFinality { validators, checkpoint_interval, checkpoint_depth },
                    &["validators", "checkpoint_interval", "checkpoint_depth"],
                )
            }
            _ => (Mode::Pow, &[]),
        };
        let all = ["miners", "turns", "validators", "checkpoint_interval", "checkpoint_depth"];
        for key in all.into_iter().filter(|key| !used.contains(key)) {
            self.refuse_unused(at(key), mode.name());
        }
        if !used.is_empty() && !self.settings.has(at(authorities_key(&mode))) {
            let setting = at(authorities_key(&mode));
            self.settings.report(setting, GenesisError::Missing { setting });
        }
        mode
    }

    /// The listed keys; where one of them cannot be read, a key that nothing is wrong with, so that
    /// only what cannot be read is reported.
    fn read_keys(&mut self, setting: Setting) -> Vec<[u8; 32]> {
        let Ok(Some(count)) = self.settings.count(setting) else { return vec![SOME_KEY] };
        let keys: Vec<Read<[u8; 32]>> =
            (0..count).map(|place| self.read_key(setting.element(place))).collect();
        let keys: Option<Vec<[u8; 32]>> = keys.into_iter().map(|key| key.ok().flatten()).collect();
        keys.unwrap_or_else(|| vec![SOME_KEY])
    }

    fn read_key(&mut self, setting: Setting) -> Read<[u8; 32]> {
        let Some(found) = self.settings.text(setting)? else { return Ok(None) };
        // GEN-25 > 64 hexadecimal digits; whether they are a key is checked with the values.
        let is_hex = found.len() == 64 && found.bytes().all(|byte| byte.is_ascii_hexdigit());
        match const_hex::decode_to_array(&found) {
            Ok(key) if is_hex => Ok(Some(key)),
            _ => Err(self.settings.report(setting, GenesisError::AuthorityKey { found })),
        }
    }

    /// Everything about names but the name; returns the prefix, if it could be read.
    fn read_network(&mut self, parts: &mut GenesisParts) -> Option<AddressPrefix> {
        let at = |key| Setting::of("network", key);
        let network = &mut parts.section.network;
        network.id = or(self.u32(at("id")), network.id);
        network.symbol = or(self.settings.text(at("symbol")), std::mem::take(&mut network.symbol));
        let decimals = self.settings.number(at("decimals"), u64::from(crate::network::DECIMALS_MAX));
        self.decimals = decimals.map(|decimals| decimals.unwrap_or(network.decimals)).ok();
        network.decimals = self.decimals.unwrap_or(network.decimals);
        network.coin_type = or(self.u32(at("coin_type")), network.coin_type);
        let read = self.settings.text(at("address_prefix")).and_then(|text| match text {
            None => Ok(network.prefix.clone()),
            // GEN-14 > Lower-case letters and digits.
            Some(text) => AddressPrefix::new(&text)
                .map_err(|error| self.settings.report(at("address_prefix"), error.into())),
        });
        let prefix = read.ok()?;
        network.prefix = prefix.clone();
        Some(prefix)
    }

    fn read_block(&mut self, parts: &mut GenesisParts) {
        let at = |key| Setting::of("block", key);
        let section = &mut parts.section;
        section.interval_ms = or(self.settings.duration(at("interval")), section.interval_ms);
        let limits = &mut section.limits;
        limits.block_weight = Weight(or(self.u64(at("weight_max")), limits.block_weight.0));
        limits.block_transactions = or(self.u32(at("transactions_max")), limits.block_transactions);
        limits.extra_bytes = or(self.size(at("extra_bytes_max")), limits.extra_bytes);

        let at = |key| Setting::of("transactions", key);
        limits.transaction_bytes = or(self.size(at("bytes_max")), limits.transaction_bytes);
        limits.data_bytes =
            or(self.size(at("data_bytes_max")), limits.data_bytes.min(limits.transaction_bytes));
        limits.transfers = or(self.size(at("transfers_max")), limits.transfers);
        section.reserve = or(self.settings.amount(at("reserve"), self.decimals), section.reserve);
        if let Ok(Some(count)) = self.settings.count(at("schemes")) {
            let names: Vec<Read<&str>> =
                (0..count).map(|place| self.settings.choice(at("schemes").element(place), SCHEMES)).collect();
            let schemes: Option<Vec<Scheme>> =
                names.into_iter().map(|name| name.ok().flatten().and_then(Scheme::from_name)).collect();
            // Where one could not be read, the default stands in, so that only it is reported.
            section.schemes = schemes.unwrap_or_else(|| section.schemes.clone());
        }
    }

    fn read_difficulty(&mut self, parts: &mut GenesisParts) {
        let at = |key| Setting::of("difficulty", key);
        let section = &mut parts.section;
        if let Mode::Bft { .. } = section.mode {
            self.refuse_unused(at(""), section.mode.name());
            return;
        }
        let default = section.interval_ms.saturating_mul(DEFAULT_HALF_LIFE_INTERVALS);
        section.half_life_ms = match or(self.settings.choice(at("mode"), DIFFICULTY_MODES), "adjusting") {
            "adjusting" => or(self.read_half_life(at("half_life")), default),
            _ => {
                self.refuse_unused(at("half_life"), "fixed");
                0
            }
        };
        self.refuse_both(at("first_work"), at("first_target"));
        section.first_target = self.read_target(at("first_target"), at("first_work"), section.first_target);
        self.refuse_both(at("limit_factor"), at("limit"));
        let factor = or(self.u64(at("limit_factor")), DEFAULT_LIMIT_FACTOR);
        section.target_limit = or(self.read_compact(at("limit")), easier(section.first_target, factor));
        parts.first_block.target = section.first_target;
    }

    /// The half-life; 0, which would fix the difficulty, has a word of its own.
    fn read_half_life(&mut self, setting: Setting) -> Read<u64> {
        match self.settings.duration(setting)? {
            Some(0) => {
                let found = time::duration_to_text(0);
                Err(self.settings.report(setting, GenesisError::Duration { found }))
            }
            read => Ok(read),
        }
    }

    /// A target in compact form, or as the hashes that it takes.
    fn read_target(&mut self, target: Setting, work: Setting, default: CompactTarget) -> CompactTarget {
        let by_work = self.u64(work).and_then(|found| match found {
            // GEN-9 > Every number lies within its bounds.
            Some(0) => {
                let error = GenesisError::OutOfRange { found: 0, least: 1, most: u64::MAX };
                Err(self.settings.report(work, error))
            }
            found => Ok(found.map(target_of_work)),
        });
        or(self.read_compact(target), or(by_work, default))
    }

    fn read_compact(&mut self, setting: Setting) -> Read<CompactTarget> {
        let Some(found) = self.settings.text(setting)? else { return Ok(None) };
        let is_hex = found.len() == 8 && found.bytes().all(|byte| byte.is_ascii_hexdigit());
        // GEN-20 > Eight hexadecimal digits.
        let Some(bits) = u32::from_str_radix(&found, 16).ok().filter(|_| is_hex) else {
            return Err(self.settings.report(setting, GenesisError::TargetText { found }));
        };
        let target = CompactTarget(bits);
        // GEN-21 > Canonical. Told here, because whatever is compared with it would be wrong too.
        match target.expand() {
            Ok(_) => Ok(Some(target)),
            Err(error) => Err(self.settings.report(setting, error.into())),
        }
    }

    fn read_reward(&mut self, parts: &mut GenesisParts) {
        let at = |key| Setting::of("reward", key);
        let section = &mut parts.section;
        let issuance = &mut section.issuance;
        issuance.initial = or(self.settings.amount(at("initial"), self.decimals), issuance.initial);
        issuance.halving_every = or(self.u64(at("halving_every")), issuance.halving_every);
        issuance.tail = or(self.settings.amount(at("tail"), self.decimals), issuance.tail);
        section.maturity = or(self.u32(at("maturity")), section.maturity);
        match self.settings.amount(at("cap"), self.decimals) {
            Ok(Some(cap)) => issuance.cap = cap,
            Ok(None) | Err(Reported) => parts.cap_issuance_at_what_fits(),
        }
    }

    fn read_fees(&mut self, parts: &mut GenesisParts) {
        let at = |key| Setting::of("fees", key);
        let fees = &mut parts.section.fees;
        fees.floor = FeeRate(or(self.u64(at("floor")), fees.floor.0));
        fees.moving = or(self.settings.flag(at("moving")), fees.moving);
        fees.burn = or(self.settings.flag(at("burn")), fees.burn);
    }

    fn read_policy(&mut self, parts: &mut GenesisParts) {
        let at = |key| Setting::of("policy", key);
        let default = Policy::of(&parts.section.limits);
        let [random, text] = ["random", "text"].map(|key| Setting::of("policy.placeholder", key));
        self.refuse_both(text, random);
        let placeholder = match (self.size(random), self.settings.text(text)) {
            (_, Ok(Some(text))) => Placeholder::Text(text),
            (Ok(Some(count)), _) if count > 0 => Placeholder::Random(count),
            _ => Placeholder::None,
        };
        parts.policy = Policy {
            min_transactions: self.u32(at("min_transactions")).ok().flatten(),
            max_transactions: or(self.u32(at("max_transactions")), default.max_transactions),
            empty_blocks: or(self.settings.flag(at("empty_blocks")), default.empty_blocks),
            placeholder,
            peers_max: or(self.u32(at("peers_max")), default.peers_max),
        };
    }

    fn read_first_block(
        &mut self,
        parts: &mut GenesisParts,
        prefix: Option<&AddressPrefix>,
    ) -> Option<WorkNonce> {
        let at = |key| Setting::of("genesis_block", key);
        let block = &mut parts.first_block;
        block.time = or(self.settings.time(at("time")), block.time);
        let producer = self.read_address(at("producer"), prefix);
        let is_read = producer.is_ok();
        block.producer = or(producer, block.producer);
        // Without its producer, a reward cannot be judged.
        let reward = or(self.settings.amount(at("reward"), self.decimals), block.reward);
        block.reward = if is_read { reward } else { block.reward };
        if let Mode::Bft { .. } = parts.section.mode {
            for key in ["target", "work", "work_nonce"] {
                self.refuse_unused(at(key), parts.section.mode.name());
            }
            return None;
        }
        self.refuse_both(at("work"), at("target"));
        block.target = self.read_target(at("target"), at("work"), block.target);
        self.u64(at("work_nonce")).ok().flatten().map(WorkNonce)
    }

    fn read_address(&mut self, setting: Setting, prefix: Option<&AddressPrefix>) -> Read<Address> {
        let Some(text) = self.settings.text(setting)? else { return Ok(None) };
        let prefix = prefix.ok_or(Reported)?;
        // GEN-15 > An address is one of this network.
        match Address::from_text(&text, prefix) {
            Ok(address) => Ok(Some(address)),
            Err(error) => Err(self.settings.report(setting, error.into())),
        }
    }

    /// Reads the allocations that can be read, and returns their places in the file.
    fn read_allocations(&mut self, parts: &mut GenesisParts, prefix: Option<&AddressPrefix>) -> Vec<usize> {
        let setting = Setting::of(ALLOCATION, "");
        let mut count = or(self.settings.count(setting), 0);
        // GEN-31 > At most a million.
        if count > ALLOCATIONS_MAX {
            let error = GenesisError::TooManyAllocations { found: count, limit: ALLOCATIONS_MAX };
            self.settings.report(setting, error);
            count = 0;
        }
        let mut entries = Vec::new();
        for entry in 0..count {
            if let Some(allocation) = self.read_allocation(entry, prefix) {
                parts.allocations.push(allocation);
                entries.push(entry);
            }
        }
        entries
    }

    fn read_allocation(&mut self, entry: usize, prefix: Option<&AddressPrefix>) -> Option<Allocation> {
        let at = |key| Setting::of_allocation(entry, key);
        let address = self.read_address(at("address"), prefix);
        let balance = self.settings.amount(at("balance"), self.decimals);
        for (setting, is_missing) in
            [(at("address"), matches!(address, Ok(None))), (at("balance"), matches!(balance, Ok(None)))]
        {
            // GEN-5 > A setting without a default is given.
            if is_missing {
                self.settings.report(setting, GenesisError::Missing { setting });
            }
        }
        let nonce = or(self.u64(at("nonce")), 0);
        let label = self.settings.text(at("label")).ok().flatten();
        Some(Allocation { address: address.ok()??, balance: balance.ok()??, nonce: Nonce(nonce), label })
    }
}
