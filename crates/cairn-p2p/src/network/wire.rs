//! What carries a link: a connection of the swarm, or memory in tests of owners.

use super::driver::Command;
use super::shared::Shared;
use crate::bulk;
use crate::key::NodeId;
use crate::streams::Order;
use libp2p_swarm::ConnectionId;
use std::pin::Pin;
use std::sync::Weak;
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

/// Bytes under way between two nodes in memory, in each direction of each stream.
pub(crate) const MEMORY_BYTES: usize = 256 * 1024;

/// A stream of bytes of some kind.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> ByteStream for S {}

/// Which connection a link runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LinkKey {
    Swarm(ConnectionId),
    Memory(u64),
}

/// What carries one link.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    Swarm {
        commands: mpsc::Sender<Command>,
        connection: ConnectionId,
    },
    Memory {
        /// The node at the other end, which knows the link by the same key.
        other: Weak<Shared>,
        key: LinkKey,
    },
}

impl Wire {
    /// Opens a stream for a bulk request to `node`.
    pub(crate) async fn open(self, node: NodeId) -> Option<Pin<Box<dyn ByteStream>>> {
        match self {
            Self::Swarm { commands, connection } => {
                let (to, opened) = oneshot::channel();
                commands.send(Command::Open { node, connection, order: Order(to) }).await.ok()?;
                let stream = opened.await.ok()?.ok()?;
                Some(Box::pin(stream.compat()))
            }
            Self::Memory { other, key } => {
                let other = other.upgrade()?;
                let peer = other.wait_for_link(key).await?;
                let (here, there) = duplex(MEMORY_BYTES);
                let runtime = other.runtime.clone();
                runtime.spawn(bulk::answer(there, peer, other, None));
                Some(Box::pin(here))
            }
        }
    }

    /// Ends the connection. In memory the ends of the streams do that.
    pub(crate) async fn close(&self) {
        if let Self::Swarm { commands, connection } = self {
            // Without a driver there are no connections either.
            let _ = commands.send(Command::Close { connection: *connection }).await;
        }
    }
}
