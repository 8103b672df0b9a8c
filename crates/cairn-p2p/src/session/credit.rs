//! How much of one peer may wait for the owner: what is not handled is not followed by more.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Frames of one peer that wait for the owner.
pub const INBOX_FRAMES_MAX: usize = 64;
/// Bytes of one peer that wait for the owner, but for a single longer frame.
pub const INBOX_BYTES_MAX: usize = 256 * 1024;
/// The bytes are counted in pieces of this size.
const PIECE_BYTES: usize = 1024;

/// Leave to read more from one peer, which dropping this gives back.
#[derive(Debug)]
pub struct Credit {
    _frames: OwnedSemaphorePermit,
    _pieces: OwnedSemaphorePermit,
}

/// The credit of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    frames: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    pieces_max: usize,
}

impl Inbox {
    pub(crate) fn new(frames_max: usize, bytes_max: usize) -> Self {
        let pieces_max = bytes_max / PIECE_BYTES;
        let (frames, pieces) = (Semaphore::new(frames_max), Semaphore::new(pieces_max));
        Self { frames: Arc::new(frames), pieces: Arc::new(pieces), pieces_max }
    }

    /// Waits until a body of `bytes` may be read.
    pub(crate) async fn wait_for(&self, bytes: usize) -> Credit {
        const NEVER_CLOSED: &str = "nobody closes these semaphores";
        let frames = Arc::clone(&self.frames).acquire_owned().await.expect(NEVER_CLOSED);
        // A longer frame takes the whole credit, so that it waits until all others are handled.
        let pieces = bytes.div_ceil(PIECE_BYTES).min(self.pieces_max);
        let pieces = u32::try_from(pieces).expect("there are some thousand pieces at most");
        let pieces = Arc::clone(&self.pieces).acquire_many_owned(pieces).await.expect(NEVER_CLOSED);
        Credit { _frames: frames, _pieces: pieces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn frames_and_bytes_are_both_bounded_and_given_back() {
        let inbox = Inbox::new(3, INBOX_BYTES_MAX);
        let take = |bytes| inbox.wait_for(bytes).now_or_never();
        let mut held: Vec<_> = (0..3).map(|_| take(10).unwrap()).collect();
        assert!(take(0).is_none());
        held.pop();
        assert!(take(INBOX_BYTES_MAX).is_none(), "two frames are not handled yet");
        held.clear();
        let whole = take(16 * INBOX_BYTES_MAX).expect("a long frame goes alone");
        assert!(take(1).is_none());
        drop(whole);
        assert!(take(1).is_some());
    }
}
