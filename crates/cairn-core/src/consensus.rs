//! Who may make a block and what it weighs: the only place where work and authority differ.

use crate::address::Address;
use crate::block::{BLOCK_VERSION, Header, Seal};
use crate::codec::Encode as _;
use crate::difficulty::solve_time_ms;
use crate::hash::{BlockId, CertificateHash, HistoryRoot, Tag};
use crate::history::{History, HistoryNode, Summary};
use crate::network::{Mode, Rules};
use crate::numbers::{FeeRate, Height, Timestamp, Weight};
use crate::signature::{SignedMessage, verify};
use crate::target::{CompactTarget, CompactTargetError, Target, Work};

/// The rules of a network whose mode this release runs.
#[derive(Clone, Debug)]
pub struct Consensus {
    rules: Rules,
    turns: Option<Turns>,
}

/// Listed miners take turns: the one whose turn it is at once, the others later.
#[derive(Clone, Copy, Debug)]
struct Turns {
    /// How many miners are listed.
    miners: u64,
    /// How long after the parent others may step in, in milliseconds.
    others_after_ms: u64,
}

/// A mode that this release knows by name and does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("consensus mode {mode} is reserved: this release runs pow and pow+permit")]
pub struct UnsupportedMode {
    /// The name of the mode.
    pub mode: &'static str,
}

/// A header or its seal breaks a rule. Each variant is one rule of `docs/spec/06-consensus.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// HDR-1: the version of a block is known at its height.
    #[error("block version {found} is unknown, {expected} is expected")]
    UnknownVersion {
        /// The version found.
        found: u16,
        /// The version this release knows.
        expected: u16,
    },
    /// HDR-2: a block is one higher than its parent.
    #[error("the height is {found}, the parent asks for {expected}")]
    Height {
        /// The height found.
        found: Height,
        /// One more than the parent's.
        expected: Height,
    },
    /// HDR-3: a block is later than its parent.
    #[error("the time is {found}, the parent's is {parent}")]
    TimeNotAfterParent {
        /// The time found.
        found: Timestamp,
        /// The time of the parent.
        parent: Timestamp,
    },
    /// HDR-4: the target is the one that follows from the parent.
    #[error("the target is {found}, {expected} follows from the parent")]
    Target {
        /// The target found.
        found: CompactTarget,
        /// The target that follows; the easiest that can, where the parent is not known.
        expected: CompactTarget,
    },
    /// HDR-5: the base fee is the one that follows from the parent.
    #[error("the base fee is {found}, {expected} follows from the parent")]
    BaseFee {
        /// The base fee found.
        found: FeeRate,
        /// The base fee that follows.
        expected: FeeRate,
    },
    /// HDR-6: the history root is the one over all earlier blocks.
    #[error("the history root is {found}, the earlier blocks give {expected}")]
    HistoryRoot {
        /// The root found.
        found: HistoryRoot,
        /// The root over the earlier blocks.
        expected: HistoryRoot,
    },
    /// HDR-7: the weight used is at most what genesis allows.
    #[error("the block weighs {found}, at most {limit} is allowed")]
    TooHeavy {
        /// The weight found.
        found: Weight,
        /// The limit of the network.
        limit: Weight,
    },
    /// HDR-8: a block has at most as many transactions as genesis allows.
    #[error("the block has {found} transactions, at most {limit} are allowed")]
    TooManyTransactions {
        /// The number found.
        found: u32,
        /// The limit of the network.
        limit: u32,
    },
    /// HDR-9: a header commits no certificate where the mode has none.
    #[error("the header commits certificate {found}, this mode has none")]
    UnexpectedCertificate {
        /// The hash found.
        found: CertificateHash,
    },
    /// SEA-1: the kind of seal is the one of the mode.
    #[error("the seal is not of the kind that mode {mode} asks for")]
    SealKind {
        /// The mode.
        mode: &'static str,
    },
    /// SEA-2: the target is a canonical compact target.
    #[error("the target is not in canonical form")]
    TargetForm(#[source] CompactTargetError),
    /// SEA-3: the id, as a big-endian number, is at most the target.
    #[error("the id {id} is above the target {target}")]
    TooLittleWork {
        /// The id.
        id: BlockId,
        /// The target.
        target: Target,
    },
    /// SEA-4: the producer is a listed miner.
    #[error("the producer is not a listed miner")]
    ProducerNotListed {
        /// The producer found.
        producer: Address,
    },
    /// SEA-5: the signature is the producer's over the id.
    #[error("the seal's signature is not the producer's over this block on this network")]
    WrongSealSignature,
    /// SEA-6: a miner whose turn it is not waits two intervals after the parent.
    #[error("the block is out of turn at {found}, others may step in at {earliest}")]
    OutOfTurn {
        /// The time of the block.
        found: Timestamp,
        /// When others may step in.
        earliest: Timestamp,
    },
}

/// What a child needs to know of its parent.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The id of the parent.
    pub id: BlockId,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: Timestamp,
    /// The target that follows from it.
    pub next_target: CompactTarget,
    /// The base fee that follows from it.
    pub next_base_fee: FeeRate,
    /// The history of all blocks up to and with it.
    pub history: History,
}

impl Consensus {
    /// The rules of a network, if this release runs its mode.
    ///
    /// # Errors
    ///
    /// [`UnsupportedMode`] for `bft` and `pow+finality`.
    pub fn new(rules: Rules) -> Result<Self, UnsupportedMode> {
        let section = rules.section();
        let turns = match &section.mode {
            Mode::Pow => None,
            Mode::PowPermit { miners, turns } => turns.then_some(Turns {
                miners: u64::try_from(miners.len()).expect("at most 1024 miners"),
                others_after_ms: section.interval_ms.saturating_mul(2),
            }),
            Mode::Bft { .. } | Mode::PowFinality { .. } => {
                return Err(UnsupportedMode { mode: section.mode.name() });
            }
        };
        Ok(Self { rules, turns })
    }

    /// The rules of genesis.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Checks what a header shows by itself.
    ///
    /// # Errors
    ///
    /// HDR-1, HDR-7, HDR-8 and HDR-9.
    pub fn check_header_alone(&self, header: &Header) -> Result<(), HeaderError> {
        // HDR-1 > The version of a block is known at its height.
        if header.version != BLOCK_VERSION {
            return Err(HeaderError::UnknownVersion { found: header.version, expected: BLOCK_VERSION });
        }
        // HDR-7 > The weight used is at most what genesis allows.
        let limit = self.rules.limits().block_weight;
        if header.weight_used > limit {
            return Err(HeaderError::TooHeavy { found: header.weight_used, limit });
        }
        // HDR-8 > At most as many transactions as genesis allows.
        let limit = self.rules.limits().block_transactions;
        if header.tx_count > limit {
            return Err(HeaderError::TooManyTransactions { found: header.tx_count, limit });
        }
        // HDR-9 > No certificate where the mode has none.
        if header.prev_seal != CertificateHash::ZERO {
            return Err(HeaderError::UnexpectedCertificate { found: header.prev_seal });
        }
        Ok(())
    }

    /// Checks that a seal closes a header; `id` is the id that the seal gives it.
    ///
    /// # Errors
    ///
    /// SEA-1 to SEA-5, and HDR-4 where no parent leads to the target.
    pub fn check_seal(&self, header: &Header, seal: &Seal, id: &BlockId) -> Result<(), HeaderError> {
        let mode = &self.rules.section().mode;
        // SEA-2 > The target is a canonical compact target.
        let target = header.target.expand().map_err(HeaderError::TargetForm)?;
        // HDR-4 > No easier target follows from any parent. Here, because else whoever writes an easy
        // target would pay nothing for what the rest of a block costs to check.
        let easiest = self.easiest_target();
        if easiest.expand().is_ok_and(|easiest| target > easiest) {
            return Err(HeaderError::Target { found: header.target, expected: easiest });
        }
        // SEA-3 > The id is at most the target.
        if !target.is_met_by(id) {
            return Err(HeaderError::TooLittleWork { id: *id, target });
        }
        match (mode, seal) {
            (Mode::Pow, Seal::Work { .. }) => Ok(()),
            (Mode::PowPermit { .. }, Seal::Permit { signature, .. }) => {
                // SEA-4 > The producer is a listed miner.
                let Some((_, key)) = self.rules.authority(&header.producer) else {
                    return Err(HeaderError::ProducerNotListed { producer: header.producer });
                };
                // SEA-5 > The signature is the producer's over the id.
                let message = seal_message(self.rules.identity(), id);
                if verify(SignedMessage { key, signature, message: &message }) {
                    Ok(())
                } else {
                    Err(HeaderError::WrongSealSignature)
                }
            }
            // SEA-1 > The kind of seal is the one of the mode.
            _ => Err(HeaderError::SealKind { mode: mode.name() }),
        }
    }

    /// Checks a header against its parent.
    ///
    /// # Errors
    ///
    /// HDR-2 to HDR-6, and SEA-6.
    pub fn check_header(&self, header: &Header, parent: &Parent) -> Result<(), HeaderError> {
        // HDR-2 > A block is one higher than its parent.
        let expected = parent.height.next();
        if header.height != expected {
            return Err(HeaderError::Height { found: header.height, expected });
        }
        // HDR-3 > A block is later than its parent.
        if header.time <= parent.time {
            return Err(HeaderError::TimeNotAfterParent { found: header.time, parent: parent.time });
        }
        // HDR-4 > The target is the one that follows from the parent.
        if header.target != parent.next_target {
            return Err(HeaderError::Target { found: header.target, expected: parent.next_target });
        }
        // HDR-5 > The base fee is the one that follows from the parent.
        if header.base_fee != parent.next_base_fee {
            return Err(HeaderError::BaseFee { found: header.base_fee, expected: parent.next_base_fee });
        }
        // SEA-6 > A miner whose turn it is not waits two intervals after the parent.
        let earliest = self.earliest_time(&header.producer, parent);
        if header.time < earliest {
            return Err(HeaderError::OutOfTurn { found: header.time, earliest });
        }
        // HDR-6 > The history root is the one over all earlier blocks.
        let expected = parent.history.root();
        if header.history_root != expected {
            return Err(HeaderError::HistoryRoot { found: header.history_root, expected });
        }
        Ok(())
    }

    /// What a child needs to know of a block; `complete` hears of every history subtree that the
    /// block completes, from the leaf up. `parent` is none for block 0.
    pub fn parent_of_next(
        &self,
        header: &Header,
        id: BlockId,
        parent: Option<&Parent>,
        complete: impl FnMut(&HistoryNode),
    ) -> Parent {
        let start_time = parent.map_or(header.time, |parent| parent.time);
        let next_target = self.next_target(header, start_time);
        let summary = Summary {
            count: 1,
            work: self.work_of(header),
            start_time,
            end_time: header.time,
            start_target: header.target,
            next_target,
        };
        let before = parent.map(|parent| parent.history.clone()).unwrap_or_default();
        let history = before.append(HistoryNode::leaf(&id, summary), complete);
        let next_base_fee = match parent {
            Some(_) => self.rules.next_base_fee(header.base_fee, header.weight_used),
            None => self.rules.section().fees.floor,
        };
        Parent { id, height: header.height, time: header.time, next_target, next_base_fee, history }
    }

    /// The target of the child of `header`, whose parent's time is `parent_time`.
    fn next_target(&self, header: &Header, parent_time: Timestamp) -> CompactTarget {
        let first = self.rules.section().first_target;
        if header.height == Height::GENESIS {
            return first;
        }
        match (self.rules.difficulty(), header.target.expand()) {
            (Some(difficulty), Ok(target)) => {
                difficulty.next_target(target, solve_time_ms(parent_time, header.time))
            }
            _ => first,
        }
    }

    /// The easiest target that a block can have.
    fn easiest_target(&self) -> CompactTarget {
        self.rules.section().target_limit
    }

    /// What a block weighs in the choice between branches.
    pub fn work_of(&self, header: &Header) -> Work {
        header.target.expand().map_or(Work::ZERO, Target::work)
    }

    /// Whether a node at a tip leaves it for another chain: only for one whose work is greater by
    /// more than half the work of the tip block, so that back-dated siblings do not win every tie.
    pub fn is_better(&self, candidate: Work, tip: Work, tip_block: &Header) -> bool {
        candidate.exceeds_by_half_of(tip, self.work_of(tip_block))
    }

    /// The earliest time of a block by `producer` on `parent`.
    pub fn earliest_time(&self, producer: &Address, parent: &Parent) -> Timestamp {
        let next = parent.time.saturating_add_ms(1);
        match self.turns {
            Some(turns) if !self.is_in_turn(turns, producer, parent.height.next()) => {
                parent.time.saturating_add_ms(turns.others_after_ms)
            }
            _ => next,
        }
    }

    /// How far ahead of a node's clock a block may be before it is held back, in milliseconds.
    ///
    /// `min(max(2·interval, 15 s), 120 s)`; nothing for a block out of turn, which would otherwise
    /// be made early by whoever lies about the time.
    pub fn future_allowance_ms(&self, header: &Header) -> u64 {
        match self.turns {
            Some(turns) if !self.is_in_turn(turns, &header.producer, header.height) => 0,
            _ => self.rules.section().interval_ms.saturating_mul(2).clamp(15_000, 120_000),
        }
    }

    /// From when on, by a node's clock, a block is judged and no longer held back.
    pub fn judged_from(&self, header: &Header) -> Timestamp {
        Timestamp(header.time.0.saturating_sub(self.future_allowance_ms(header)))
    }

    /// Whether it is the producer's turn at `height`.
    fn is_in_turn(&self, turns: Turns, producer: &Address, height: Height) -> bool {
        let turn = height.0.checked_rem(turns.miners);
        self.rules.authority(producer).is_some_and(|(place, _)| u64::try_from(place).ok() == turn)
    }

    /// Whether `producer` may make blocks at all.
    pub fn may_produce(&self, producer: &Address) -> bool {
        match self.rules.section().mode {
            Mode::PowPermit { .. } => self.rules.authority(producer).is_some(),
            Mode::Pow | Mode::Bft { .. } | Mode::PowFinality { .. } => true,
        }
    }

    /// Whether a seal needs the producer's signature beside the work.
    pub const fn seal_needs_signature(&self) -> bool {
        matches!(self.rules.section().mode, Mode::PowPermit { .. })
    }
}

/// The bytes that a listed miner signs: `tag ‖ identity ‖ id`.
pub fn seal_message(identity: &BlockId, id: &BlockId) -> Vec<u8> {
    let mut message = Tag::SEAL.as_bytes().to_vec();
    identity.encode(&mut message);
    id.encode(&mut message);
    message
}
