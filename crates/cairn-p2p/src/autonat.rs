//! AutoNAT: asking nodes that this one has dialled to dial back, and dialling back for those who ask.
//!
//! On the wire it is libp2p's
//! [AutoNAT 2](https://github.com/libp2p/specs/blob/master/autonat/autonat-v2.md), by `libp2p-autonat`. That
//! crate tests an address once and for good, dials whatever address it is given, and hears from identify who
//! offers it. So both of its parts are wrapped here: [`Asks`] tries again and again with one node at a time,
//! [`DialsBack`] dials nobody but the machine that asks and not too often, and a bit of the greeting
//! ([`DIALS_BACK`](crate::DIALS_BACK)) says who offers it.
//!
//! # Provided
//!
//! * Nobody can make this node believe that it is reachable: whoever dials back shows a number that only the node
//!   that was asked has heard, on a connection that was made from outside.
//! * A connection that dials back takes no place of a link, and none is opened or accepted on it.
//!
//! # Not provided
//!
//! Truth of a failure: a node that is asked may lie, or sit behind a router of its own. Two failures in a row, of
//! different nodes where there are several, are believed, and success clears them.

mod asks;
mod dials_back;
mod verdict;

pub(crate) use asks::{Asks, Server};
pub(crate) use dials_back::DialsBack;
pub(crate) use verdict::Verdict;

use crate::key::NodeId;
use libp2p_swarm::ConnectionId;
use std::collections::HashSet;
use tokio::time::Instant;

/// Connections that are neither links nor meant to become any. The part of the swarm that judges connections
/// asks here before it refuses a second one with the same node.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// Dialled for others who asked; as many as [`DIAL_BACKS_MAX`](dials_back::DIAL_BACKS_MAX) at a time.
    pub(crate) dialled: HashSet<ConnectionId>,
    /// Who was asked to dial this node, and until when one connection of his is taken for that.
    expected: Option<(NodeId, Instant)>,
}

impl Probes {
    /// A node has been asked to dial back.
    pub(crate) fn expect(&mut self, node: NodeId, until: Instant) {
        self.expected = Some((node, until));
    }

    /// Whether a connection that `node` has dialled is the one that it was asked for: once for each question.
    pub(crate) fn take_expected(&mut self, node: NodeId, now: Instant) -> bool {
        self.expected.take_if(|(asked, until)| *asked == node && now < *until).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;
    use std::time::Duration;

    #[tokio::test]
    async fn one_connection_of_who_was_asked_is_taken_and_only_in_time() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let [asked, other] = [1, 2].map(|seed| NodeKey::from_seed([seed; 32]).id());
        let mut probes = Probes::default();
        assert!(!probes.take_expected(asked, now));
        probes.expect(asked, now + second);
        assert!(!probes.take_expected(other, now));
        assert!(probes.take_expected(asked, now));
        assert!(!probes.take_expected(asked, now), "a second one is a link or nothing");
        probes.expect(asked, now + second);
        assert!(!probes.take_expected(asked, now + second));
    }
}
