//! Judging headers that come without their blocks, and knowing whose blocks are wanted.

use super::Chain;
use super::headers::{
    AcceptedHeaders, BestHeader, HEADERS_MAX, HEADERS_MESSAGE_MAX, HeadersRefusal, HeadersRequest,
    HeadersVerdict, PeerKey,
};
use super::presync::{COUNTED_AHEAD_MAX, COUNTED_MESSAGES_MAX, Expected};
use super::tree::Entry;
use cairn_core::block::CheckedHeader;
use cairn_core::hash::BlockId;
use cairn_core::numbers::{Height, Timestamp};
use cairn_core::store::{Store, StoreError};
use cairn_core::target::Work;

/// The most ids of a locator.
pub const LOCATOR_IDS_MAX: usize = 64;

/// Headers that obey every rule that a header can obey without its block.
struct Judged {
    branch: Vec<(BlockId, Entry)>,
    /// When the next can be judged, if it comes from the future.
    until: Option<Timestamp>,
}

impl Chain {
    /// Takes the headers of a message of a peer, ascending; of one that was asked for, or told unasked.
    ///
    /// One request for headers at a time goes to a peer. An empty message says that the peer has no more.
    pub(crate) fn accept_headers(
        &mut self,
        peer: PeerKey,
        headers: &[CheckedHeader],
        now: Timestamp,
        store: &dyn Store,
    ) -> Result<Result<HeadersVerdict, HeadersRefusal>, StoreError> {
        if let Err(refusal) = self.check_message(headers) {
            self.presync.forget(peer);
            return Ok(Err(refusal));
        }
        let expected = headers.first().and_then(|first| self.presync.expected(peer, &first.header().parent));
        let mut unknown = headers;
        while let Some((first, rest)) = unknown.split_first()
            && self.knows_header(first, store)?
        {
            unknown = rest;
        }
        let verdict = match expected {
            Some(expected) => self.take_again(peer, headers, unknown, expected, now),
            None => self.take_new(peer, unknown, headers.len() == HEADERS_MESSAGE_MAX, now),
        };
        // What does not connect may be news that came between a question and its answer.
        if verdict.as_ref().is_err_and(|error| !matches!(error, HeadersRefusal::Unconnected { .. })) {
            self.presync.forget(peer);
        }
        Ok(verdict)
    }

    /// Forgets what was counted for a peer that has left.
    pub(crate) fn forget_peer(&mut self, peer: PeerKey) {
        self.presync.forget(peer);
    }

    /// What was counted for a peer and is still to come again: what to ask for, and the work of the chain
    /// that ends where its branch ends.
    pub(crate) fn counted_of(&self, peer: PeerKey) -> Option<(HeadersRequest, Work)> {
        self.presync.awaited(peer).map(|expected| (expected.request, expected.work))
    }

    /// Drops a header whose body nobody has, and all that stand on it; says how many. They may come again.
    pub(crate) fn drop_headers(&mut self, first: &BlockId) -> usize {
        self.headers.remove(first)
    }

    /// The end of the best chain of headers.
    pub(crate) fn best_header(&self) -> BestHeader {
        let best = self.headers.best().filter(|(.., reach)| self.outweighs_tip(*reach));
        let (id, entry) = best.map_or_else(|| (self.tip_id(), self.tree.tip()), |(id, entry, _)| (id, entry));
        BestHeader { id, height: entry.header.height, work: entry.work }
    }

    /// The ids of the first `limit` blocks whose headers are known and whose bodies are missing, of
    /// branches that outweigh the tip: the best branch first, each from the lowest block up.
    pub(crate) fn wanted(&self, limit: usize) -> Vec<BlockId> {
        self.headers.wanted(limit, |reach| self.outweighs_tip(reach))
    }

    /// Whether the block of a header that is known is wanted: its branch outweighs the tip.
    pub(crate) fn is_wanted(&self, id: &BlockId) -> bool {
        self.headers.reach_of(id).is_some_and(|reach| self.outweighs_tip(reach))
    }

    /// Ids of the best chain of headers from its end down, first one by one, then in steps that double,
    /// down to block 0: what another node needs to find where the two chains part.
    pub(crate) fn locator(&self, store: &dyn Store) -> Result<Vec<BlockId>, StoreError> {
        /// So many ids follow one another before the steps double.
        const DENSE: usize = 10;
        let best = self.best_header();
        let above = self.headers.path_to(&best.id);
        let base = match above.first() {
            Some(first) => self.headers.get(first).expect("it is on the path").header.parent,
            None => best.id,
        };
        let (fork, beside) = self.tree.path_to(&base);
        let (mut ids, mut height, mut step) = (Vec::new(), best.height, 1);
        loop {
            let place = height.0.checked_sub(fork.0.saturating_add(1)).map(usize::try_from);
            let id = match place {
                Some(place) => place.ok().and_then(|place| {
                    beside.get(place).or_else(|| above.get(place.checked_sub(beside.len())?)).copied()
                }),
                None => self.id_on_chain(height, store)?,
            };
            ids.extend(id);
            if height == Height::GENESIS {
                return Ok(ids);
            }
            if ids.len() >= DENSE {
                step *= 2;
            }
            height = Height(height.0.saturating_sub(step));
        }
    }

    /// The work of the chain that ends in a block whose header is known, and its height.
    pub(crate) fn reach(&self, id: &BlockId) -> Option<(Work, Height)> {
        self.known_entry(id).map(|entry| (entry.work, entry.header.height))
    }

    /// Whether more headers can be kept before bodies come.
    pub(crate) fn has_room_for_headers(&self) -> bool {
        self.headers.len() < HEADERS_MAX / 2
    }

    fn id_on_chain(&self, height: Height, store: &dyn Store) -> Result<Option<BlockId>, StoreError> {
        match self.tree.id_at(height) {
            Some(id) => Ok(Some(id)),
            None => Ok(store.header(height)?.map(|(id, _)| id)),
        }
    }

    /// Whether a chain with so much work is better than the own one.
    pub(super) fn outweighs_tip(&self, work: Work) -> bool {
        let tip = self.tree.tip();
        self.consensus.is_better(work, tip.work, &tip.header)
    }

    /// The rules about a message as a whole.
    fn check_message(&self, headers: &[CheckedHeader]) -> Result<(), HeadersRefusal> {
        // HEA-1 > A message has at most 2,000 headers.
        if headers.len() > HEADERS_MESSAGE_MAX {
            return Err(HeadersRefusal::TooMany { found: headers.len(), limit: HEADERS_MESSAGE_MAX });
        }
        // HEA-2 > Each header but the first has the one before it as its parent.
        for (position, (below, header)) in (1..).zip(headers.iter().zip(headers.iter().skip(1))) {
            if header.header().parent != below.id() {
                let (found, expected) = (header.header().parent, below.id());
                return Err(HeadersRefusal::NotAChain { position, found, expected });
            }
        }
        // HEA-4 > No header is, or stands on, one that broke a rule before.
        let first = headers.first().map(|first| first.header().parent);
        match first
            .into_iter()
            .chain(headers.iter().map(CheckedHeader::id))
            .find(|id| self.invalid.contains(id))
        {
            Some(block) => Err(HeadersRefusal::KnownInvalid { block }),
            None => Ok(()),
        }
    }

    /// Whether a header is known, with its body or without.
    fn knows_header(&self, header: &CheckedHeader, store: &dyn Store) -> Result<bool, StoreError> {
        let (id, height) = (header.id(), header.header().height);
        if self.tree.get(&id).is_some() || self.headers.get(&id).is_some() {
            return Ok(true);
        }
        Ok(height < self.tree.lowest() && store.header(height)?.is_some_and(|(known, _)| known == id))
    }

    /// Takes headers that no request for counted ones has brought.
    fn take_new(
        &mut self,
        peer: PeerKey,
        headers: &[CheckedHeader],
        is_full: bool,
        now: Timestamp,
    ) -> Result<HeadersVerdict, HeadersRefusal> {
        let Some(first) = headers.first() else {
            return Ok(HeadersVerdict {
                accepted: AcceptedHeaders::Kept { new: 0 },
                next: None,
                again_at: None,
            });
        };
        let parent = first.header().parent;
        let counted = self.presync.end(peer, &parent).cloned();
        let is_counted = counted.is_some();
        let Some(base) = counted.or_else(|| self.known_entry(&parent).cloned()) else {
            return Err(self.refuse_unconnected(first));
        };
        let Judged { branch, until } = self.judge(headers, base, now)?;
        let Some((last, end)) = branch.last().map(|(id, entry)| (*id, entry.clone())) else {
            let until = until.expect("no header was judged because the first is from the future");
            return Ok(HeadersVerdict {
                accepted: AcceptedHeaders::TooEarly { until },
                next: None,
                again_at: Some(until),
            });
        };
        let work = end.work;
        let goes_on = is_full && until.is_none();
        if self.outweighs_tip(work) && work >= self.minimum_work {
            if is_counted {
                let next = self.presync.begin_keeping(peer, last, work);
                return Ok(HeadersVerdict {
                    accepted: AcceptedHeaders::Counted { work },
                    next,
                    again_at: until,
                });
            }
            self.presync.forget(peer);
            let accepted = self.keep_headers(branch, work);
            let is_kept = matches!(accepted, AcceptedHeaders::Kept { .. });
            let next = (goes_on && is_kept).then_some(HeadersRequest { after: last, stop: None });
            return Ok(HeadersVerdict { accepted, next, again_at: until });
        }
        if !goes_on {
            self.presync.forget(peer);
            return Ok(HeadersVerdict {
                accepted: AcceptedHeaders::Lighter { work },
                next: None,
                again_at: until,
            });
        }
        let fork = self.presync.fork(peer).filter(|_| is_counted).unwrap_or(parent);
        let messages_max = if fork == self.tip_id() { COUNTED_AHEAD_MAX } else { COUNTED_MESSAGES_MAX };
        let next = self.presync.count(peer, parent, end, messages_max)?;
        Ok(HeadersVerdict { accepted: AcceptedHeaders::Counted { work }, next: Some(next), again_at: None })
    }

    /// Takes a message of headers that were counted before.
    fn take_again(
        &mut self,
        peer: PeerKey,
        headers: &[CheckedHeader],
        unknown: &[CheckedHeader],
        expected: Expected,
        now: Timestamp,
    ) -> Result<HeadersVerdict, HeadersRefusal> {
        // HEA-8 > Headers that are asked for again are those that were counted.
        match headers.last() {
            Some(last) if last.id() == expected.last => {}
            last => {
                let found = last.map_or(expected.request.after, CheckedHeader::id);
                return Err(HeadersRefusal::NotAsCounted { found, expected: expected.last });
            }
        }
        let Some(first) = unknown.first() else {
            let accepted = AcceptedHeaders::Kept { new: 0 };
            return Ok(HeadersVerdict { accepted, next: self.presync.note_kept(peer), again_at: None });
        };
        let parent = first.header().parent;
        let Some(base) = self.known_entry(&parent).cloned() else {
            return Err(self.refuse_unconnected(first));
        };
        let Judged { branch, until } = self.judge(unknown, base, now)?;
        if let Some(until) = until {
            // The clock went back since they were counted.
            self.presync.forget(peer);
            return Ok(HeadersVerdict {
                accepted: AcceptedHeaders::TooEarly { until },
                next: None,
                again_at: Some(until),
            });
        }
        if self.headers.make_room(&parent, branch.len(), expected.work) < branch.len() {
            let again = Some(expected.request);
            return Ok(HeadersVerdict {
                accepted: AcceptedHeaders::NoRoom { new: 0 },
                next: again,
                again_at: None,
            });
        }
        let accepted = self.keep_headers(branch, expected.work);
        Ok(HeadersVerdict { accepted, next: self.presync.note_kept(peer), again_at: None })
    }

    /// Judges headers that stand on one another, the first on `base`, up to one from the future.
    fn judge(
        &mut self,
        headers: &[CheckedHeader],
        mut base: Entry,
        now: Timestamp,
    ) -> Result<Judged, HeadersRefusal> {
        let mut branch: Vec<(BlockId, Entry)> = Vec::with_capacity(headers.len());
        for header in headers {
            let (id, header) = (header.id(), header.header());
            // HEA-5 > Each header obeys the rules HDR and SEA.
            if let Err(error) = self.consensus.check_header(header, &base.next) {
                self.invalid.insert(id);
                return Err(HeadersRefusal::Invalid { block: id, error });
            }
            // A header from the future is not judged: the clock that is wrong may be this one.
            let until = self.consensus.judged_from(header);
            if until > now {
                return Ok(Judged { branch, until: Some(until) });
            }
            base = Entry::new(&self.consensus, header.clone(), id, Some(&base.next), |_| {});
            branch.push((id, base.clone()));
        }
        Ok(Judged { branch, until: None })
    }

    /// Keeps headers of a branch that outweighs the tip, as many as there is room for.
    fn keep_headers(&mut self, mut branch: Vec<(BlockId, Entry)>, work: Work) -> AcceptedHeaders {
        let Some(parent) = branch.first().map(|(_, first)| first.header.parent) else {
            return AcceptedHeaders::Kept { new: 0 };
        };
        let (count, room) = (branch.len(), self.headers.make_room(&parent, branch.len(), work));
        branch.truncate(room);
        if let Some(below) = self.headers.insert(branch, work) {
            self.tree.raise_reach(&below, work);
        }
        if room < count {
            AcceptedHeaders::NoRoom { new: room }
        } else {
            AcceptedHeaders::Kept { new: count }
        }
    }

    fn known_entry(&self, id: &BlockId) -> Option<&Entry> {
        self.tree.get(id).or_else(|| self.headers.get(id))
    }

    /// Why a header whose parent is not known is not taken.
    fn refuse_unconnected(&self, header: &CheckedHeader) -> HeadersRefusal {
        let (found, lowest) = (header.header().height, self.tree.lowest());
        if found <= lowest {
            // HEA-6 > The branch leaves the chain no deeper down than blocks can be undone.
            HeadersRefusal::BelowUndoWindow { found, lowest }
        } else {
            // HEA-3 > The parent of the first header that is not known is known.
            HeadersRefusal::Unconnected { parent: header.header().parent }
        }
    }
}
