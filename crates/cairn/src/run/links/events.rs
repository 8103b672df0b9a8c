//! Listening to peers: each event goes to whom it concerns.

use super::trace;
use super::{Links, Who, answers};
use crate::api::views::EventView;
use crate::events::News;
use crate::run::checkers::Headers;
use crate::run::worker::now;
use crate::run::{Command, NoAnswer};
use cairn_core::numbers::Height;
use cairn_core::target::Work;
use cairn_node::PeerKey;
use cairn_node::peers::{PeerInfo, PeerInput, Received, receive};
use cairn_node::wire::{Message, Tag};
use cairn_p2p::{
    Credit, DialFailure, Direction, Event, Events, Frame, NodeId, Offence, PeerNumber, Purpose, Reach,
    Reachability, Roles,
};
use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many peers are told of a new one.
const INTRODUCED_TO: usize = 8;
/// How long to wait before something is handed to a busy node again.
const BUSY_TIME: Duration = Duration::from_millis(2);

impl Links {
    /// Listens until the network stops.
    pub(super) async fn run(self, mut events: Events) {
        while let Some(event) = events.next().await {
            self.take(event).await;
        }
    }

    async fn take(&self, event: Event) {
        match event {
            Event::Joined { peer, info } => self.join(peer, &info).await,
            Event::Left { peer, node, reason } => {
                tracing::info!(%peer, %node, %reason, "peer left");
                self.0.trackers.note_left(peer, &reason);
                // One link may have given way to another.
                if !self.0.network.peers().iter().any(|other| other.node == node) {
                    self.publish(node, false);
                }
                self.clients().remove(&peer);
                self.checkers().forget(PeerKey(peer.0));
                answers::forget_questions(self, peer);
                self.hand(peer, PeerInput::Left, None).await;
            }
            Event::Frame { peer, frame, credit } => self.take_frame(peer, &frame, credit).await,
            Event::Asked { peer, frame, answer } => {
                trace("from", peer, &frame);
                match message_of(&frame) {
                    Ok(Message::GetBlocks(ids)) => {
                        tokio::spawn(answers::send_blocks(self.clone(), peer, ids, answer));
                    }
                    Ok(Message::GetGenesis(identity)) => {
                        tokio::spawn(answers::send_genesis(self.clone(), identity, answer));
                    }
                    _ => self.0.network.strike(peer, Offence::Malformed),
                }
            }
            Event::Answer { peer, request, frame, credit } => {
                trace("from", peer, &frame);
                match message_of(&frame) {
                    Ok(Message::Block(bytes)) => self.check_body(request, bytes, credit),
                    _ => {
                        self.0.network.strike(peer, Offence::Malformed);
                        self.0.network.cancel(peer, request);
                    }
                }
            }
            Event::AnswerEnded { request, result, .. } => self.note_ended(request, result.is_ok()),
            Event::AddressesAsked { peer } => self.tell_addresses(peer),
            Event::Addresses { peer, records } => {
                if let Some(info) = self.0.network.peer(peer) {
                    self.0.dialer.learn(info.remote.ip(), &records);
                }
            }
            Event::DialFailed { address, why } => {
                tracing::debug!(peer = %address, %why, "could not connect");
                self.0.dialer.note_failed(&address, &why);
                if let DialFailure::Connected { .. } = why
                    && let Some(node) = self.0.dialer.node_at(&address)
                {
                    // It was named, though it was the first to dial.
                    self.0.network.set_trusted(node, true);
                }
                self.0.trackers.note_failed(&address, &why);
            }
            Event::Nearby { found, gone } => self.0.dialer.note_nearby(&found, &gone),
            Event::Reachability(reachability) => match reachability {
                Reachability::Unknown => {}
                Reachability::Reachable(address) => tracing::info!(%address, "other nodes can dial this one"),
                Reachability::Unreachable(address) => {
                    tracing::warn!(%address, "other nodes cannot dial this one; is the port let in and forwarded?");
                }
            },
            Event::Banned { bans } => {
                for ban in bans {
                    tracing::warn!(who = %Who(ban.who), until_ms = ban.until_ms, "peer banned");
                }
                self.0.bans_changed.notify_one();
            }
        }
    }

    async fn join(&self, peer: PeerNumber, info: &cairn_p2p::PeerInfo) {
        let is_outbound = info.direction == Direction::Outbound;
        tracing::info!(
            %peer, node = %info.node, remote = %info.remote, name = %info.hello.name, is_outbound,
            height = info.hello.height, "peer joined"
        );
        match self.0.dialer.note_joined(info) {
            Some(Purpose::Feeler) => return self.end_link(peer, "only to see whether a node is there"),
            Some(Purpose::Named | Purpose::Sought) | None => {}
        }
        if let Some(address) = &info.dialled {
            self.0.trackers.note_joined(address, peer);
        }
        self.publish(info.node, true);
        self.introduce(peer, info);
        if is_outbound {
            self.0.network.ask_addresses(peer);
        }
        if info.hello.roles.contains(Roles::FULL) {
            let work = Work::from_be_bytes(info.hello.work);
            let info = PeerInfo { height: Height(info.hello.height), work, is_outbound };
            self.hand(peer, PeerInput::Joined(info), None).await;
        } else {
            self.clients().insert(peer);
        }
    }

    fn clients(&self) -> MutexGuard<'_, BTreeSet<PeerNumber>> {
        // Nothing under the lock can panic halfway through a change.
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells some peers of a new one that they may dial: those who came before it have asked already.
    fn introduce(&self, peer: PeerNumber, info: &cairn_p2p::PeerInfo) {
        let records = self.0.dialer.records_of(info);
        let Some(record) = records.first() else { return };
        let mut introductions = self.0.introductions.lock().unwrap_or_else(PoisonError::into_inner);
        if !introductions.may_tell(record.address, Instant::now()) {
            return;
        }
        drop(introductions);
        let reach = Reach::of(info.remote.ip());
        let peers = self.0.network.peers();
        let others =
            peers.iter().filter(|other| other.number != peer && Reach::of(other.remote.ip()).may_know(reach));
        for other in others.rev().take(INTRODUCED_TO) {
            // Whoever takes nothing more needs no addresses.
            let _ = self.0.network.tell_addresses(other.number, &records);
        }
    }

    /// Tells those who listen that a peer came or went.
    fn publish(&self, node: NodeId, connected: bool) {
        let event = EventView::Peer { id: node.to_string(), connected };
        // A little file work; the node thread finds and tells of a disk that fails.
        if let Err(error) =
            tokio::task::block_in_place(|| self.0.node.events().publish(vec![News::One(event)]))
        {
            tracing::debug!(%error, "the news of a peer is lost");
        }
    }

    async fn take_frame(&self, peer: PeerNumber, frame: &Frame, credit: Credit) {
        trace("from", peer, frame);
        if !matches!(&frame.tag.to_bytes(), b"GHD" | b"GCM" | b"GBT") && self.clients().contains(&peer) {
            // Who is no full node has nothing to tell: what costs a look is an offence, the rest is read over.
            if matches!(&frame.tag.to_bytes(), b"HDR" | b"TXN" | b"CMP" | b"BTX") {
                self.0.network.strike(peer, Offence::Unsolicited);
            }
            return;
        }
        let message = match message_of(frame) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%peer, %error, "frame refused");
                return self.0.network.strike(peer, Offence::Malformed);
            }
        };
        match receive(message) {
            Received::Input(input) => self.hand(peer, input, Some(credit)).await,
            Received::Headers(headers) => {
                let work = Headers { at: now(), headers, credit, links: self.clone() };
                self.checkers().check_headers(PeerKey(peer.0), work);
            }
            Received::Question(question) => {
                answers::take_question(self, peer, question, credit);
            }
            Received::Misplaced => self.0.network.strike(peer, Offence::UnknownTag),
        }
    }

    /// Hands something to the node, waiting while it is busy: then all peers wait with it.
    pub(super) async fn hand(&self, peer: PeerNumber, input: PeerInput, credit: Option<Credit>) {
        let mut command = Command::Peer {
            at: now(),
            peer: PeerKey(peer.0),
            input: Box::new(input),
            credit: credit.map(Box::new),
        };
        loop {
            match self.0.node.give(command) {
                Ok(()) | Err((_, NoAnswer::Stopping)) => return,
                Err((back, NoAnswer::Busy)) => command = *back,
            }
            tokio::time::sleep(BUSY_TIME).await;
        }
    }

    fn tell_addresses(&self, peer: PeerNumber) {
        let Some(info) = self.0.network.peer(peer) else { return };
        let mut others = self.0.network.peers();
        others.retain(|other| other.number != peer);
        let records = self.0.dialer.records(info.remote.ip(), &others);
        // Whoever takes nothing more needs no addresses.
        let _ = self.0.network.tell_addresses(peer, &records);
    }
}

/// The message of a frame.
pub(crate) fn message_of(frame: &Frame) -> Result<Message, cairn_node::wire::WireError> {
    Message::from_body(Tag(frame.tag.to_bytes()), &frame.body)
}
