//! Whether others can dial this node, as far as anybody has tried.

use std::net::SocketAddr;

/// What others found who were asked to dial this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// Nobody has tried yet; or the node asks nobody, because it is built without `autonat` or was not told to.
    #[default]
    Unknown,
    /// Somebody has dialled it there and has proved it.
    Reachable(SocketAddr),
    /// At least two attempts in a row to dial it there came to nothing.
    Unreachable(SocketAddr),
}
