//! What can be wrong with a genesis: the numbered rules, and where in the file one is broken.

use super::coins;
use crate::address::{Address, AddressError, PrefixError};
use crate::codec::DecodeError;
use crate::hash::BlockId;
use crate::numbers::{Amount, Weight};
use crate::signature::Scheme;
use crate::target::{CompactTarget, CompactTargetError, Target};
use std::fmt;
use std::ops::Range;

/// A genesis breaks a rule. Each variant is one rule of `docs/spec/05-genesis.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// GEN-1: a genesis has at most as many bytes as this release reads.
    #[error("the genesis has {found} bytes, at most {limit} are read")]
    TooManyBytes {
        /// Its bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// GEN-2: a genesis file is TOML.
    #[error("this is not TOML: {}", .0.message())]
    Syntax(toml::de::Error),
    /// GEN-3: every table and every key is one that the format knows.
    #[error("`{found}` is unknown here{}", suggestion(*.nearest))]
    UnknownKey {
        /// The name found.
        found: String,
        /// A known name that is spelled much like it.
        nearest: Option<&'static str>,
    },
    /// GEN-4: every setting has a value of its type.
    #[error("this is {found}, expected is {expected}")]
    WrongType {
        /// The type found.
        found: &'static str,
        /// What the setting takes.
        expected: &'static str,
    },
    /// GEN-5: a setting without a default is given.
    #[error("`{setting}` is missing")]
    Missing {
        /// The setting.
        setting: Setting,
    },
    /// GEN-6: a setting is given only where the mode uses it.
    #[error("mode \"{mode}\" does not use this")]
    NotUsed {
        /// The mode of consensus or difficulty.
        mode: &'static str,
    },
    /// GEN-7: what can be said in two ways is said in one.
    #[error("`{other}` says the same already: keep one of them")]
    SaidTwice {
        /// The other setting.
        other: Setting,
    },
    /// GEN-8: a choice is one of those that the format knows.
    #[error("\"{found}\" is none of {}{}", quoted(.choices), suggestion(*.nearest))]
    UnknownChoice {
        /// The text found.
        found: String,
        /// All choices.
        choices: &'static [&'static str],
        /// The choice that is spelled much like it.
        nearest: Option<&'static str>,
    },
    /// GEN-9: every number lies within its bounds.
    #[error("{found} is outside {least} to {most}")]
    OutOfRange {
        /// The number found.
        found: i128,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// GEN-10: a duration is a whole number and a unit, in quotes.
    #[error("\"{found}\" is not a duration: write a whole number and ms, s, m, h or d, such as \"10s\"")]
    Duration {
        /// The text found.
        found: String,
    },
    /// GEN-11: an amount is a number of coins in quotes, with no more decimals than the coin has,
    /// below 2⁶⁴ base units.
    #[error("\"{found}\" is not an amount: {source}")]
    Amount {
        /// The text found.
        found: String,
        /// What is wrong with it.
        source: super::coins::CoinsError,
    },
    /// GEN-12: a time is an RFC 3339 date and time with its offset, in whole milliseconds, or
    /// milliseconds since 1970.
    #[error("{found} is not a time: write 2026-01-31T12:00:00Z, or milliseconds since 1970")]
    Time {
        /// The text found.
        found: String,
    },
    /// GEN-13: a name, a symbol or a label has 1 to so many bytes and no control characters.
    #[error("\"{}\" is not a name: 1 to {limit} bytes without control characters are", .found.escape_debug())]
    Name {
        /// The text found.
        found: String,
        /// The most bytes allowed.
        limit: usize,
    },
    /// GEN-14: an address prefix is 1 to 16 lower-case letters and digits, the first a letter.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// GEN-15: an address is one of this network.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// GEN-16: an address is allocated once.
    #[error("this address has allocation {first} already: put both into one")]
    AllocatedTwice {
        /// The address.
        address: Address,
        /// Its other allocation, counted from 0.
        first: usize,
    },
    /// GEN-17: every account of genesis has at least the reserve.
    #[error("the account begins with {found} base units, the reserve is {reserve}")]
    BelowReserve {
        /// What the account would have.
        found: Amount,
        /// The reserve of the network.
        reserve: Amount,
    },
    /// GEN-18: all that is allocated and all that blocks will ever bring fit an amount.
    #[error(
        "{} coins are allocated and issued in all, at most {} fit: {}",
        coins::to_text_wide(*.found, *.decimals),
        coins::to_text_wide(u128::from(*.limit), *.decimals),
        cap_advice(*.room, *.decimals)
    )]
    Supply {
        /// The most base units there would ever be.
        found: u128,
        /// The limit, 2⁶⁴ − 1.
        limit: u64,
        /// What is left of the limit for all blocks together, in base units.
        room: u64,
        /// The decimals of the coin, in which the file counts.
        decimals: u8,
    },
    /// GEN-19: a reward of block 0 goes to a producer.
    #[error("block 0 brings {reward} base units and names no producer who gets them")]
    RewardWithoutProducer {
        /// The reward.
        reward: Amount,
    },
    /// GEN-20: a target is written as the eight hexadecimal digits of its compact form.
    #[error("\"{found}\" is not a compact target: eight hexadecimal digits are, such as \"1e0fffff\"")]
    TargetText {
        /// The text found.
        found: String,
    },
    /// GEN-21: a target is a canonical compact target.
    #[error(transparent)]
    Target(#[from] CompactTargetError),
    /// GEN-22: no target is easier than the limit.
    #[error("target {found} is easier than the limit {limit}")]
    TargetAboveLimit {
        /// The target.
        found: CompactTarget,
        /// The easiest target.
        limit: CompactTarget,
    },
    /// GEN-23: under bft no work is asked: targets, half-life and work nonce are zero.
    #[error("mode \"bft\" asks no work: this is {found} and must be 0")]
    WorkUnderBft {
        /// The value found.
        found: u64,
    },
    /// GEN-24: a mode that lists miners or validators lists 1 to 1024.
    #[error("{found} keys are listed, 1 to {limit} must be")]
    AuthorityCount {
        /// How many are listed.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// GEN-25: the key of a miner or validator is an ed25519 public key of 64 hexadecimal digits.
    #[error("\"{found}\" is not an ed25519 public key of 64 hexadecimal digits")]
    AuthorityKey {
        /// The text found.
        found: String,
    },
    /// GEN-26: a miner or validator is listed once.
    #[error("this key is listed already, as number {first}")]
    ListedTwice {
        /// The place of the other, counted from 0.
        first: usize,
    },
    /// GEN-27: a listed signature scheme is one that this release verifies.
    #[error("{found} is reserved: this release verifies ed25519")]
    SchemeNotSupported {
        /// The scheme.
        found: Scheme,
    },
    /// GEN-28: at least one signature scheme is listed, each once.
    #[error("{found} schemes are listed, {distinct} of them distinct: list at least one, each once")]
    SchemeList {
        /// How many are listed.
        found: usize,
        /// How many of them are distinct.
        distinct: usize,
    },
    /// GEN-29: a block has room for the heaviest transaction.
    #[error("a block may weigh {found}, the heaviest transaction weighs {needed}")]
    BlockTooSmall {
        /// The greatest weight of a block.
        found: Weight,
        /// The greatest weight of a transaction.
        needed: Weight,
    },
    /// GEN-30: the largest block stays within 16 MiB.
    #[error("a block may have {found} bytes, at most {limit} are carried")]
    BlockTooLarge {
        /// The most bytes of a block: its weight, its extra data, and what is around them.
        found: u64,
        /// The limit.
        limit: usize,
    },
    /// GEN-31: genesis allocates to at most a million addresses.
    #[error("there are {found} allocations, at most {limit} are read")]
    TooManyAllocations {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// GEN-32: block 0 is sealed; a file may leave the nonce out where a short search finds it.
    #[error(
        "none of the first {tried} work nonces meets the target: mine block 0 and write its `work_nonce`"
    )]
    NotSealed {
        /// How many nonces were tried.
        tried: u64,
    },
    /// GEN-33: the id of block 0, as a big-endian number, is at most its target.
    #[error("block 0 has id {id}, which is above the target {target}: it was mined with other settings")]
    TooLittleWork {
        /// The id.
        id: BlockId,
        /// The target.
        target: Target,
    },
    /// GEN-34: the bytes of a genesis are in canonical form.
    #[error("the bytes are not a genesis")]
    Form(#[source] DecodeError),
    /// GEN-35: a genesis from elsewhere has the identity that was asked for.
    #[error("this is the genesis of network {found}, expected is {expected}")]
    WrongIdentity {
        /// The identity found.
        found: BlockId,
        /// The identity expected.
        expected: BlockId,
    },
}

/// A setting of genesis, by its place in the file: `block.interval`, `allocation[3].balance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The table; one inside another is joined by a dot.
    pub(super) table: &'static str,
    /// Which of several tables with this name, counted from 0.
    pub(super) entry: Option<usize>,
    /// The key; empty for the table itself.
    pub(super) key: &'static str,
    /// Which element of a list, counted from 0.
    pub(super) element: Option<usize>,
}

impl Setting {
    /// A key of a table.
    pub(super) const fn of(table: &'static str, key: &'static str) -> Self {
        Self { table, entry: None, key, element: None }
    }

    /// A key of an allocation.
    pub(super) const fn of_allocation(entry: usize, key: &'static str) -> Self {
        Self { table: "allocation", entry: Some(entry), key, element: None }
    }

    /// An element of the list that is this setting.
    pub(super) const fn element(self, element: usize) -> Self {
        Self { element: Some(element), ..self }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        if let Some(entry) = self.entry {
            write!(f, "[{entry}]")?;
        }
        if !self.key.is_empty() {
            write!(f, ".{}", self.key)?;
        }
        match self.element {
            Some(element) => write!(f, "[{element}]"),
            None => Ok(()),
        }
    }
}

/// A broken rule and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisProblem {
    /// The rule.
    pub error: GenesisError,
    /// The setting to blame; none if it is the whole.
    pub setting: Option<Setting>,
    /// The bytes of the file to point at; none where there is no file.
    pub span: Option<Range<usize>>,
}

impl GenesisProblem {
    pub(super) const fn at(setting: Setting, error: GenesisError) -> Self {
        Self { error, setting: Some(setting), span: None }
    }

    pub(super) const fn of_whole(error: GenesisError) -> Self {
        Self { error, setting: None, span: None }
    }
}

impl fmt::Display for GenesisProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.setting) {
            // The error names the setting itself.
            (GenesisError::Missing { .. }, _) | (_, None) => self.error.fmt(f),
            (_, Some(setting)) => write!(f, "{setting}: {}", self.error),
        }
    }
}

/// All that is wrong with a genesis, at least one problem, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisProblems(Vec<GenesisProblem>);

/// More problems than this are not told.
const PROBLEMS_MAX: usize = 100;

impl GenesisProblems {
    /// Nothing, or all that is wrong.
    pub(super) fn unless_empty(mut problems: Vec<GenesisProblem>) -> Result<(), Self> {
        problems.truncate(PROBLEMS_MAX);
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// The problems.
    pub fn as_slice(&self) -> &[GenesisProblem] {
        &self.0
    }

    /// The problems, taken out.
    pub fn into_vec(self) -> Vec<GenesisProblem> {
        self.0
    }
}

impl From<GenesisProblem> for GenesisProblems {
    fn from(problem: GenesisProblem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for GenesisProblems {
    /// Writes one problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for GenesisProblems {}

/// What to change so that all coins fit.
fn cap_advice(room: u64, decimals: u8) -> String {
    match room {
        0 => "lower the allocations".to_owned(),
        room => {
            let most = coins::to_text(Amount::from_units(room), decimals);
            format!("set `reward.cap` to at most \"{most}\", or leave it out")
        }
    }
}

fn suggestion(nearest: Option<&'static str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

fn quoted(choices: &[&str]) -> String {
    choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(", ")
}
