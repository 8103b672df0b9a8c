//! Writing a genesis file: every setting, with a comment that says what it does.

use super::coins;
use super::parts::{Allocation, GenesisParts};
use super::policy::Placeholder;
use super::time::{duration_to_text, time_to_text};
use crate::address::Address;
use crate::network::{ConsensusSection, Mode};
use crate::numbers::{Amount, WorkNonce};
use crate::target::CompactTarget;
use std::fmt::Display;

/// The whole file; without the work nonce it is still to be mined.
pub(super) fn write(parts: &GenesisParts, nonce: Option<WorkNonce>) -> String {
    let mut writer = Writer { parts, text: String::new() };
    writer.line("# A genesis file: how a network begins. Its identity is the id of block 0, which commits every setting");
    writer.line("# here but [policy] and labels. Amounts are coins in quotes, durations are like \"10s\".");
    writer.write_network();
    writer.write_consensus();
    writer.write_block();
    writer.write_difficulty();
    writer.write_reward();
    writer.write_fees();
    writer.write_transactions();
    writer.write_policy();
    writer.write_first_block(nonce);
    parts.allocations.iter().for_each(|allocation| writer.write_allocation(allocation));
    writer.text
}

struct Writer<'a> {
    parts: &'a GenesisParts,
    text: String,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn table(&mut self, header: &str) {
        self.line("");
        self.line(header);
    }

    fn set(&mut self, key: &str, value: impl Display, comment: &str) {
        let setting = format!("{key} = {value}");
        if comment.is_empty() {
            self.line(&setting)
        } else {
            self.line(&format!("{setting:<40} # {comment}"))
        }
    }

    fn section(&self) -> &ConsensusSection {
        &self.parts.section
    }

    fn amount(&self, amount: Amount) -> String {
        format!("\"{}\"", coins::to_text(amount, self.section().network.decimals))
    }

    fn address(&self, address: &Address) -> String {
        format!("\"{}\"", address.to_text(&self.section().network.prefix))
    }

    fn write_network(&mut self) {
        let network = self.section().network.clone();
        self.table("[network]");
        self.set("id", network.id, "a number to tell networks apart at a glance");
        self.set("name", quoted(&network.name), "what people call the network");
        self.set("symbol", quoted(&network.symbol), "what people call the coin");
        self.set("decimals", network.decimals, "a coin is 10^decimals base units");
        self.set("address_prefix", quoted(network.prefix.as_str()), "how addresses begin");
        self.set("coin_type", network.coin_type, "of key derivation paths (SLIP-44)");
        self.set("devnet", network.devnet, "whether the published development keys may be used");
    }

    fn write_consensus(&mut self) {
        let mode = self.section().mode.clone();
        self.table("[consensus]");
        self.set("mode", quoted(mode.name()), "who makes blocks, and what makes them final");
        match &mode {
            Mode::Pow => {}
            Mode::PowPermit { miners, turns } => {
                self.write_keys("miners", miners);
                self.set("turns", turns, "whether miners take turns, in the order of the list");
            }
            Mode::Bft { validators } => self.write_keys("validators", validators),
            Mode::PowFinality { validators, checkpoint_interval, checkpoint_depth } => {
                self.write_keys("validators", validators);
                self.set("checkpoint_interval", checkpoint_interval, "blocks between checkpoints, at least");
                self.set(
                    "checkpoint_depth",
                    checkpoint_depth,
                    "how deep a checkpoint lies when it is proposed",
                );
            }
        }
    }

    fn write_keys(&mut self, key: &str, keys: &[[u8; 32]]) {
        self.line(&format!("{key} = [ # ed25519 public keys"));
        keys.iter().for_each(|key| self.line(&format!("    \"{}\",", const_hex::encode(key))));
        self.line("]");
    }

    fn write_block(&mut self) {
        let (interval, limits) = (self.section().interval_ms, self.section().limits);
        self.table("[block]");
        self.set("interval", quoted(&duration_to_text(interval)), "the intended time between blocks");
        self.set("weight_max", limits.block_weight, "the greatest weight of all transactions");
        self.set("transactions_max", limits.block_transactions, "the most transactions");
        self.set("extra_bytes_max", limits.extra_bytes, "the most bytes of extra data");
    }

    fn write_difficulty(&mut self) {
        let section = self.section().clone();
        if let Mode::Bft { .. } = section.mode {
            return;
        }
        self.table("[difficulty]");
        if section.half_life_ms == 0 {
            self.set("mode", quoted("fixed"), "every block has the first target");
        } else {
            self.set("mode", quoted("adjusting"), "the target follows the time that blocks take");
            let half_life = quoted(&duration_to_text(section.half_life_ms));
            self.set("half_life", half_life, "at double speed the target halves in this time");
        }
        let comment = format!("of block 1: {} hashes on average", work_of(section.first_target));
        self.set("first_target", quoted(&section.first_target.to_string()), &comment);
        let comment = format!("the easiest: {} hashes", work_of(section.target_limit));
        self.set("limit", quoted(&section.target_limit.to_string()), &comment);
    }

    fn write_reward(&mut self) {
        let (issuance, maturity) = (self.section().issuance, self.section().maturity);
        self.table("[reward]");
        self.set("initial", self.amount(issuance.initial), "what block 1 brings");
        self.set("halving_every", issuance.halving_every, "blocks; 0 for never");
        self.set("tail", self.amount(issuance.tail), "what the reward never falls below");
        // A cap that only says what fits would be wrong as soon as somebody adds an allocation.
        let cap = if issuance.cap == self.parts.default_cap() { "# cap" } else { "cap" };
        let comment = "what all blocks together bring at most; left out, as much as fits";
        self.set(cap, self.amount(issuance.cap), comment);
        self.set("maturity", maturity, "how many blocks later a reward is credited");
    }

    fn write_fees(&mut self) {
        let fees = self.section().fees;
        self.table("[fees]");
        self.set("floor", fees.floor, "the least base fee, in base units a unit of weight");
        self.set("moving", fees.moving, "whether the base fee follows demand");
        self.set("burn", fees.burn, "whether the base part is burned, else the producer gets it");
    }

    fn write_transactions(&mut self) {
        let (limits, reserve) = (self.section().limits, self.section().reserve);
        let schemes: Vec<String> =
            self.section().schemes.iter().map(|scheme| quoted(scheme.name())).collect();
        self.table("[transactions]");
        self.set("bytes_max", limits.transaction_bytes, "the most bytes of a transaction");
        self.set("data_bytes_max", limits.data_bytes, "the most bytes of its data");
        self.set("transfers_max", limits.transfers, "the most transfers of one");
        self.set("schemes", format!("[{}]", schemes.join(", ")), "how accounts may sign");
        self.set("reserve", self.amount(reserve), "what an account must keep");
    }

    fn write_policy(&mut self) {
        let policy = self.parts.policy.clone();
        self.table("[policy] # advice to nodes, not part of the identity");
        if let Some(min) = policy.min_transactions {
            self.set(
                "min_transactions",
                min,
                "when so many wait, a block is made before the interval is over",
            );
        }
        self.set("max_transactions", policy.max_transactions, "the most that a producer puts into a block");
        self.set("empty_blocks", policy.empty_blocks, "whether blocks without transactions are made");
        match &policy.placeholder {
            Placeholder::None => {}
            Placeholder::Random(count) => {
                self.set("placeholder", format!("{{ random = {count} }}"), "bytes of filler in each block");
            }
            Placeholder::Text(text) => {
                self.set("placeholder", format!("{{ text = {} }}", quoted(text)), "what each block says");
            }
        }
        self.set("peers_max", policy.peers_max, "the most peers of a node");
    }

    fn write_first_block(&mut self, nonce: Option<WorkNonce>) {
        let block = self.parts.first_block;
        self.table("[genesis_block]");
        self.set("time", time_to_text(block.time), "");
        if block.producer != Address::default() {
            self.set("producer", self.address(&block.producer), "");
        }
        self.set("reward", self.amount(block.reward), "for its producer, at once");
        if let Mode::Bft { .. } = self.section().mode {
            return;
        }
        let comment = format!("{} hashes on average", work_of(block.target));
        self.set("target", quoted(&block.target.to_string()), &comment);
        if let Some(nonce) = nonce {
            self.set("work_nonce", nonce, "the work that was found");
        }
    }

    fn write_allocation(&mut self, allocation: &Allocation) {
        self.table("[[allocation]]");
        if let Some(label) = &allocation.label {
            self.set("label", quoted(label), "");
        }
        self.set("address", self.address(&allocation.address), "");
        self.set("balance", self.amount(allocation.balance), "");
        if allocation.nonce.0 != 0 {
            self.set("nonce", allocation.nonce, "");
        }
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The hashes that a target takes on average.
fn work_of(target: CompactTarget) -> String {
    target.expand().map_or_else(|_| "no".to_owned(), |target| target.work().to_string())
}
