//! Joining a network: its genesis, fetched by identity from whoever gives it, and checked.
//!
//! # Provided
//!
//! Whoever answers is believed nothing: what is taken is the genesis that has the identity, and of that only
//! what the identity commits. Advice to producers, which is no part of it, is left at its defaults.

use crate::run::links::{frame_of, message_of};
use cairn_core::codec::Encode as _;
use cairn_core::genesis::{GENESIS_TEXT_BYTES_MAX, Genesis, GenesisError, GenesisProblems};
use cairn_core::hash::BlockId;
use cairn_node::wire::{BULK_TAGS, Message};
use cairn_p2p::{
    BulkError, Bye, ByeCode, DialFailure, EndCode, Event, Events, LeaveReason, Network, NodeKey, PeerAddress,
    PeerNumber, Place, Roles, Settings, StartError, Tag, TagRule, Tags,
};
use std::time::Duration;
use tokio::time::timeout;

/// How long one address has to answer and to give the genesis, however large that is.
const FETCH_TIME_MAX: Duration = Duration::from_secs(120);
/// The question for a genesis, and a piece of one (page 12 of the specification).
const GENESIS_TAG: [u8; 3] = *b"GEN";

/// A genesis that somebody gave, with the identity that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The genesis, with the policy that is the default.
    pub genesis: Genesis,
    /// Who gave it.
    pub address: PeerAddress,
    /// What it does.
    pub roles: Roles,
}

/// No genesis was found.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nobody gave it.
    #[error("nobody gave the genesis of the network")]
    Nobody {
        /// Who was asked, and why it did not.
        tried: Vec<(PeerAddress, Failure)>,
    },
    /// This machine cannot ask.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why an address gave no genesis.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody could be talked to there.
    #[error(transparent)]
    Dial(#[from] DialFailure),
    /// The node went away.
    #[error("the node ended the connection: {0}")]
    Left(LeaveReason),
    /// The node said that it does not have it.
    #[error("the node does not have the genesis: {0}")]
    NotThere(BulkError),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Broken(BulkError),
    /// It took too long.
    #[error("the node gave no whole genesis within {} s", FETCH_TIME_MAX.as_secs())]
    TimedOut,
    /// The answer is longer than a genesis can be.
    #[error("the node sent more than {GENESIS_TEXT_BYTES_MAX} bytes, which no genesis has")]
    TooLong,
    /// The answer is no genesis.
    #[error("what the node sent is no genesis")]
    NoGenesis,
    /// The genesis breaks a rule.
    #[error("the node sent a genesis that breaks a rule: {0}")]
    Invalid(GenesisProblems),
    /// It is that of another network.
    #[error("the node sent the genesis of another network, {found}")]
    OtherGenesis {
        /// The identity of that one.
        found: BlockId,
    },
    /// This program cannot ask any more.
    #[error("the search was ended")]
    Stopped,
}

impl Failure {
    /// Whether somebody is there who speaks for another network.
    pub const fn is_of_other_network(&self) -> bool {
        matches!(self, Self::Dial(DialFailure::OtherNetwork) | Self::OtherGenesis { .. })
    }

    /// Whether no node was there to talk to.
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Dial(
                DialFailure::Name
                    | DialFailure::Unreachable(_)
                    | DialFailure::NoNode(_)
                    | DialFailure::Closed
            )
        )
    }
}

/// Asks one address after the other for the genesis of the network with `identity`, until one gives it. `tell`
/// hears of each before it is asked, and why it did not help.
///
/// # Errors
///
/// [`JoinError`].
pub async fn find(
    identity: BlockId,
    addresses: &[PeerAddress],
    mut tell: impl FnMut(&PeerAddress, Option<&Failure>),
) -> Result<Found, JoinError> {
    let settings =
        Settings { roles: Roles::default(), tags: tags(), ..Settings::new(NodeKey::generate(), identity.0) };
    let (network, mut events) = Network::start(settings).await?;
    let mut tried = Vec::new();
    for address in addresses {
        tell(address, None);
        let asked = timeout(FETCH_TIME_MAX, ask(&network, &mut events, address, identity)).await;
        match asked.unwrap_or(Err(Failure::TimedOut)) {
            Ok(found) => {
                network.stop().await;
                return Ok(found);
            }
            Err(failure) => {
                tell(address, Some(&failure));
                tried.push((address.clone(), failure));
            }
        }
        // Whoever did not help is not waited for, and its late words are read over.
        for peer in network.peers() {
            network.disconnect(peer.number, farewell());
        }
    }
    network.stop().await;
    Err(JoinError::Nobody { tried })
}

fn farewell() -> Bye {
    Bye::new(ByeCode::Leaving, "the genesis is all that was wanted")
}

/// The frames that mean something to who only asks for a genesis.
fn tags() -> Tags {
    BULK_TAGS.into_iter().filter(|(tag, _)| tag.0 == GENESIS_TAG).fold(
        Tags::new(),
        |tags, (tag, body_bytes_max)| {
            let tag = Tag::from_bytes(&tag.0).expect("the tags of messages are three letters");
            tags.with(Place::Answer, tag, TagRule { body_bytes_max, rate: None })
        },
    )
}

async fn ask(
    network: &Network,
    events: &mut Events,
    address: &PeerAddress,
    identity: BlockId,
) -> Result<Found, Failure> {
    network.dial(address.clone()).map_err(|_| Failure::Stopped)?;
    let (peer, roles) = joined(events, address).await?;
    let question = frame_of(&Message::GetGenesis(identity));
    let request = network.ask(peer, question).map_err(|_| Failure::Stopped)?;
    let mut text = Vec::new();
    loop {
        match events.next().await.ok_or(Failure::Stopped)? {
            Event::Answer { request: of, frame, .. } if of == request => {
                let Ok(Message::Genesis(piece)) = message_of(&frame) else { return Err(Failure::NoGenesis) };
                if text.len() + piece.len() > GENESIS_TEXT_BYTES_MAX {
                    return Err(Failure::TooLong);
                }
                text.extend_from_slice(&piece);
            }
            Event::AnswerEnded { request: of, result, .. } if of == request => {
                result.map_err(|error| match &error {
                    BulkError::Ended(end) if end.code == EndCode::Unavailable => Failure::NotThere(error),
                    _ => Failure::Broken(error),
                })?;
                let genesis = read(text, identity)?;
                return Ok(Found { genesis, address: address.clone(), roles });
            }
            Event::Left { peer: gone, reason, .. } if gone == peer => return Err(Failure::Left(reason)),
            _ => {}
        }
    }
}

/// Waits until there is a link to an address.
async fn joined(events: &mut Events, address: &PeerAddress) -> Result<(PeerNumber, Roles), Failure> {
    loop {
        match events.next().await.ok_or(Failure::Stopped)? {
            Event::Joined { peer, info } if info.dialled.as_ref() == Some(address) => {
                return Ok((peer, info.hello.roles));
            }
            Event::DialFailed { address: of, why } if of == *address => return Err(Failure::Dial(why)),
            _ => {}
        }
    }
}

/// Reads what somebody sent as the genesis of the network with `identity`.
fn read(text: Vec<u8>, identity: BlockId) -> Result<Genesis, Failure> {
    let text = String::from_utf8(text).map_err(|_| Failure::NoGenesis)?;
    let sent = Genesis::from_toml(&text).map_err(Failure::Invalid)?;
    // The canonical bytes hold what the identity commits, and nothing else that the node may have put in.
    Genesis::from_bytes(&sent.to_bytes(), Some(&identity)).map_err(|problems| {
        match problems.as_slice().first().map(|problem| &problem.error) {
            Some(GenesisError::WrongIdentity { found, .. }) => Failure::OtherGenesis { found: *found },
            _ => Failure::Invalid(problems),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[network]\nname = \"mycoin\"\n\
        [consensus]\nmode = \"pow\"\n\
        [difficulty]\nmode = \"fixed\"\nfirst_work = 16\n\
        [genesis_block]\ntime = 1000\n";

    #[test]
    fn only_what_the_identity_commits_is_taken() {
        let plain = Genesis::from_toml(TEXT).unwrap();
        let advised = Genesis::from_toml(&format!("{TEXT}\n[policy]\nempty_blocks = false\n")).unwrap();
        assert_eq!(plain.identity(), advised.identity());
        assert_ne!(plain.policy(), advised.policy());
        let taken = read(advised.to_toml().into_bytes(), *plain.identity()).unwrap();
        assert_eq!(taken.policy(), plain.policy());
        assert_eq!(taken.identity(), plain.identity());
    }

    #[test]
    fn another_genesis_is_named_and_garbage_is_refused() {
        let identity = BlockId([7; 32]);
        let other = Genesis::from_toml(TEXT).unwrap();
        let refused = read(TEXT.as_bytes().to_vec(), identity).unwrap_err();
        assert!(
            matches!(refused, Failure::OtherGenesis { found } if found == *other.identity()),
            "{refused}"
        );
        assert!(refused.is_of_other_network());
        assert!(matches!(read(vec![0xff], identity), Err(Failure::NoGenesis)));
        assert!(matches!(read(b"[network".to_vec(), identity), Err(Failure::Invalid(_))));
    }
}
