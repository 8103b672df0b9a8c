//! Counting the work of long branches without keeping their headers.
//!
//! In the first pass each header is judged and let go: what stays of a branch is its end, from which the
//! next message goes on, and the id of the last header of each message. Where the branch outweighs the
//! tip in the end, a second pass asks for the same headers again, a message at a time, each of which must
//! end in the id that was counted there; so what is kept then is what was counted.

use super::headers::{HEADERS_MESSAGE_MAX, HeadersRefusal, HeadersRequest, PeerKey};
use super::tree::Entry;
use cairn_core::hash::BlockId;
use cairn_core::target::Work;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};

/// The most messages of a branch beside the chain that are counted. No more blocks could be kept there
/// until their branch wins ([`SIDE_BLOCKS_MAX`](super::SIDE_BLOCKS_MAX)).
pub const COUNTED_MESSAGES_MAX: usize = 8;
/// The most messages that are counted of headers on the tip, for a node that asks for more work than
/// that of its tip: two million headers, 32 KiB a peer.
pub const COUNTED_AHEAD_MAX: usize = 1_024;
/// The most peers for which headers are counted at a time.
pub const COUNTED_PEERS_MAX: usize = 256;

/// Branches that are being counted, by peer.
#[derive(Debug, Default)]
pub(crate) struct Presync(BTreeMap<PeerKey, Branch>);

/// What is kept of a branch that is being counted.
#[derive(Debug)]
struct Branch {
    /// The header that is known, on which the branch stands.
    fork: BlockId,
    /// The ids of the last headers of its messages.
    lasts: Vec<BlockId>,
    pass: Pass,
}

#[derive(Debug)]
enum Pass {
    /// The headers are judged and counted.
    Count {
        /// The last one.
        end: Box<Entry>,
    },
    /// They were counted, and are asked for again.
    Keep {
        /// The work of the chain that ends where the branch ends.
        work: Work,
        /// How many messages have come again.
        come: usize,
    },
}

/// A message that was asked for again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) request: HeadersRequest,
    /// What its last header must be.
    pub(super) last: BlockId,
    /// The work that its branch reaches.
    pub(super) work: Work,
}

impl Branch {
    fn expected(&self) -> Option<Expected> {
        let Pass::Keep { work, come } = self.pass else { return None };
        let last = *self.lasts.get(come)?;
        let below = come.checked_sub(1).and_then(|below| self.lasts.get(below));
        let after = *below.unwrap_or(&self.fork);
        Some(Expected { request: HeadersRequest { after, stop: Some(last) }, last, work })
    }
}

impl Presync {
    /// The end of what was counted for a peer, if `parent` is it.
    pub(super) fn end(&self, peer: PeerKey, parent: &BlockId) -> Option<&Entry> {
        match &self.0.get(&peer)?.pass {
            Pass::Count { end } if end.next.id == *parent => Some(end),
            _ => None,
        }
    }

    /// Where the branch that is counted for a peer leaves what is known.
    pub(super) fn fork(&self, peer: PeerKey) -> Option<BlockId> {
        self.0.get(&peer).map(|branch| branch.fork)
    }

    /// What a peer is to be asked for again.
    pub(super) fn awaited(&self, peer: PeerKey) -> Option<Expected> {
        self.0.get(&peer)?.expected()
    }

    /// What a peer was asked for again, if a message above `after` is it.
    pub(super) fn expected(&self, peer: PeerKey, after: &BlockId) -> Option<Expected> {
        self.awaited(peer).filter(|expected| expected.request.after == *after)
    }

    /// Notes a message that is not enough for its branch to be kept; `messages_max` are noted of one.
    pub(super) fn count(
        &mut self,
        peer: PeerKey,
        parent: BlockId,
        end: Entry,
        messages_max: usize,
    ) -> Result<HeadersRequest, HeadersRefusal> {
        let last = end.next.id;
        if self.end(peer, &parent).is_none() {
            self.0.remove(&peer);
            if self.0.len() >= COUNTED_PEERS_MAX {
                return Err(HeadersRefusal::TooManyPeers { limit: COUNTED_PEERS_MAX });
            }
        }
        let pass = Pass::Count { end: Box::new(end) };
        let branch = match self.0.entry(peer) {
            Occupied(branch) => {
                let branch = branch.into_mut();
                branch.pass = pass;
                branch
            }
            Vacant(place) => place.insert(Branch { fork: parent, lasts: Vec::new(), pass }),
        };
        branch.lasts.push(last);
        if branch.lasts.len() >= messages_max {
            self.0.remove(&peer);
            return Err(HeadersRefusal::TooLong { limit: messages_max * HEADERS_MESSAGE_MAX });
        }
        Ok(HeadersRequest { after: last, stop: None })
    }

    /// Notes the message with which the branch outweighs the tip; returns what to ask for again.
    pub(super) fn begin_keeping(
        &mut self,
        peer: PeerKey,
        last: BlockId,
        work: Work,
    ) -> Option<HeadersRequest> {
        let branch = self.0.get_mut(&peer)?;
        branch.lasts.push(last);
        branch.pass = Pass::Keep { work, come: 0 };
        branch.expected().map(|expected| expected.request)
    }

    /// Notes that a message has come again; returns the next to ask for.
    pub(super) fn note_kept(&mut self, peer: PeerKey) -> Option<HeadersRequest> {
        let branch = self.0.get_mut(&peer)?;
        if let Pass::Keep { come, .. } = &mut branch.pass {
            *come += 1;
        }
        let next = branch.expected().map(|expected| expected.request);
        if next.is_none() {
            self.0.remove(&peer);
        }
        next
    }

    /// Forgets what was counted for a peer.
    pub(super) fn forget(&mut self, peer: PeerKey) {
        self.0.remove(&peer);
    }

    /// For how many peers headers are counted.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Network, Person, header_on};

    #[test]
    fn hea_9_headers_are_counted_for_256_peers_at_a_time() {
        let network = Network::easy();
        let genesis = network.consensus.parent_of_next(&network.header, network.id, None, |_| {});
        let header = header_on(&network.consensus, &genesis, Person(1), network.header.time);
        let entry = Entry::new(&network.consensus, header, BlockId([1; 32]), Some(&genesis), |_| {});
        let mut presync = Presync::default();
        let mut count = |peer| presync.count(PeerKey(peer), network.id, entry.clone(), 8);
        let peers = u64::try_from(COUNTED_PEERS_MAX).unwrap();
        assert_eq!(peers, 256);
        for peer in 0..peers {
            assert_eq!(count(peer), Ok(HeadersRequest { after: BlockId([1; 32]), stop: None }));
        }
        let limit = COUNTED_PEERS_MAX;
        assert_eq!(count(peers), Err(HeadersRefusal::TooManyPeers { limit }));
        // One that begins anew takes no further place, and one that leaves gives its place back.
        assert!(count(0).is_ok());
        presync.forget(PeerKey(3));
        assert!(presync.count(PeerKey(peers), network.id, entry, 8).is_ok());
        assert_eq!(presync.len(), COUNTED_PEERS_MAX);
    }
}
