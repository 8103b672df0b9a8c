//! Dials addresses side by side and says who is there, as another node than the one of this directory.

use cairn_p2p::{
    Bye, ByeCode, DialFailure, Event, LeaveReason, Network, NodeKey, PeerAddress, Roles, Settings, StartError,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::timeout;

/// How long all of them have to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How many are dialled at the same time.
const DIALLED_MAX: usize = 8;
/// The most that are dialled at all.
const ADDRESSES_MAX: usize = 72;

/// Who is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A node of the network.
    There,
    /// Nobody who could be talked to.
    Nobody(String),
    /// Somebody else than who was meant.
    Another(String),
}

/// Who is at these addresses of the network with `identity`, in their order.
pub(super) async fn look(
    identity: [u8; 32],
    addresses: Vec<PeerAddress>,
) -> Result<Vec<(PeerAddress, Answer)>, StartError> {
    let addresses: BTreeSet<PeerAddress> = addresses.into_iter().take(ADDRESSES_MAX).collect();
    let settings = Settings { roles: Roles::default(), ..Settings::new(NodeKey::generate(), identity) };
    let (network, mut events) = Network::start(settings).await?;
    let mut waiting: VecDeque<PeerAddress> = addresses.iter().cloned().collect();
    let mut dialled = BTreeSet::new();
    let mut answers = BTreeMap::new();
    let listen = async {
        loop {
            while dialled.len() < DIALLED_MAX
                && let Some(address) = waiting.pop_front()
            {
                if network.dial(address.clone()).is_ok() {
                    dialled.insert(address);
                } else {
                    answers.insert(address, Answer::Nobody("too much is being dialled".to_owned()));
                }
            }
            if dialled.is_empty() {
                return;
            }
            match events.next().await {
                Some(Event::Joined { peer, info }) => {
                    network.disconnect(peer, Bye::new(ByeCode::Leaving, "it was only looked who is there"));
                    if let Some(address) = info.dialled {
                        dialled.remove(&address);
                        answers.insert(address, Answer::There);
                    }
                }
                Some(Event::DialFailed { address, why }) => {
                    dialled.remove(&address);
                    answers.insert(address, judge(&why));
                }
                Some(_) => {}
                None => return,
            }
        }
    };
    // Who has not answered by then is left out below.
    let _ = timeout(ANSWER_WITHIN, listen).await;
    network.stop().await;
    let answer_of = |address: PeerAddress| {
        let silent = || Answer::Nobody(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
        let answer = answers.remove(&address).unwrap_or_else(silent);
        (address, answer)
    };
    Ok(addresses.into_iter().map(answer_of).collect())
}

/// What a dial that came to nothing says about the address.
fn judge(why: &DialFailure) -> Answer {
    match why {
        // It is there, by another of its addresses, or has no room for a stranger.
        DialFailure::Connected { .. } | DialFailure::Greeting(LeaveReason::Theirs(_)) => Answer::There,
        DialFailure::WrongNode { .. } | DialFailure::OtherNetwork => Answer::Another(why.to_string()),
        DialFailure::Name
        | DialFailure::Unreachable(_)
        | DialFailure::NoNode(_)
        | DialFailure::Myself
        | DialFailure::Refused(_)
        | DialFailure::Closed
        | DialFailure::Greeting(_)
        | DialFailure::Stopped => Answer::Nobody(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_p2p::Events;

    async fn node(seed: u8, identity: [u8; 32]) -> (Network, Events) {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let key = NodeKey::from_seed([seed; 32]);
        Network::start(Settings { listen, ..Settings::new(key, identity) }).await.unwrap()
    }

    #[tokio::test]
    async fn who_is_there_who_is_not_and_who_is_another_are_told_apart() {
        let identity = [7; 32];
        let (here, mut events) = node(1, identity).await;
        let (foreign, _foreign_events) = node(2, [8; 32]).await;
        tokio::spawn(async move { while events.next().await.is_some() {} });
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let stranger = NodeKey::from_seed([3; 32]).id();
        let address = PeerAddress::of(here.listening()[0]);
        let named = vec![
            address.clone(),
            PeerAddress { id: Some(stranger), ..address.clone() },
            PeerAddress::of(foreign.listening()[0]),
            PeerAddress::of(nobody),
            "nowhere.invalid:7700".parse().unwrap(),
        ];
        let answers: BTreeMap<_, _> = look(identity, named.clone()).await.unwrap().into_iter().collect();
        assert_eq!(answers[&named[0]], Answer::There);
        assert!(matches!(answers[&named[1]], Answer::Another(_)), "{answers:?}");
        assert!(matches!(answers[&named[2]], Answer::Another(_)), "{answers:?}");
        assert!(matches!(answers[&named[3]], Answer::Nobody(_)), "{answers:?}");
        assert!(matches!(answers[&named[4]], Answer::Nobody(_)), "{answers:?}");
        here.stop().await;
        foreign.stop().await;
    }
}
