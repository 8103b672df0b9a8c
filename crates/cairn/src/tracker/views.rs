//! What a tracker tells over HTTP, as JSON; page 13 of the specification has an example of each.

use crate::api::views::Hash;
use serde::{Deserialize, Serialize};

/// How the tracker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// The network's name.
    pub network: String,
    /// The id of block 0, which names the network for certain.
    pub identity: Hash,
    /// The version of the program.
    pub version: String,
    /// Always `tracker`.
    pub role: String,
    /// The tracker's own name.
    pub name: String,
    /// Its peer id.
    pub id: String,
    /// Where it accepts connections of nodes.
    pub listening: Vec<String>,
    /// Nodes that have a link with it now.
    pub linked: usize,
    /// Addresses of nodes that it knows.
    pub known: usize,
    /// Those of them that it has reached, which it names to others.
    pub listed: usize,
    /// After how many milliseconds without a sign a node is forgotten.
    pub ttl_ms: u64,
}

/// A node that a tracker names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedNode {
    /// Where it can be dialled.
    pub address: String,
    /// Its peer id.
    pub id: String,
    /// What its owner calls it; it may be empty, and several may have one name.
    pub name: String,
    /// What it does: `full`, `miner`, `validator`.
    pub roles: Vec<String>,
    /// When it was last there, in milliseconds since 1970.
    pub last_seen_ms: u64,
}

/// The word that nobody is at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadRequest {
    /// The address, as the tracker names it.
    pub address: String,
}

/// What becomes of such a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadAnswer {
    /// The address.
    pub address: String,
    /// `checking` if it is dialled now, `checked` if that was done just now.
    pub state: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::{InviteView, ShutdownAnswer};
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    const PAGE: &str = include_str!("../../../../docs/spec/13-joining.md");

    fn holds<T: Serialize + DeserializeOwned>(mark: &str, text: &str) {
        let example: Value = serde_json::from_str(text).unwrap();
        let shape: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{mark}: {error}"));
        assert_eq!(serde_json::to_value(shape).unwrap(), example, "{mark}");
    }

    #[test]
    fn every_example_of_the_page_has_the_shape_of_its_view() {
        let mut seen = 0;
        for part in PAGE.split("<!-- ").skip(1) {
            let (mark, rest) = part.split_once(" -->").unwrap();
            let body = rest.strip_prefix("\n```json\n").unwrap().split_once("\n```").unwrap().0;
            let check = match mark {
                "GET /v1/peers" => holds::<Vec<TrackedNode>>,
                "GET /v1/status" => holds::<TrackerStatus>,
                "GET /v1/invite" => holds::<InviteView>,
                "POST /v1/dead request" => holds::<DeadRequest>,
                "POST /v1/dead 202" => holds::<DeadAnswer>,
                "POST /v1/shutdown 202" => holds::<ShutdownAnswer>,
                other => panic!("no shape for the example {other}"),
            };
            check(mark, body);
            seen += 1;
        }
        assert_eq!(seen, 6);
    }

    #[test]
    fn the_invite_of_the_page_is_one() {
        let text = PAGE.split("\"invite\": \"").nth(1).unwrap().split('"').next().unwrap();
        let invite: crate::invite::Invite = text.parse().unwrap();
        assert!(PAGE.contains(&format!("\"identity\": \"{}\"", invite.identity())));
        for address in invite.addresses() {
            assert!(PAGE.contains(&format!("\"{address}\"")), "{address}");
        }
    }
}
