//! Answering what peers ask of the chain, from what is durable, beside the node thread.

use super::{Links, frame_of, trace};
use crate::run::turns::Turns;
use cairn_core::hash::BlockId;
use cairn_node::PeerKey;
use cairn_node::compact::{CompactBlock, transactions_at};
use cairn_node::peers::Question;
use cairn_node::wire::{GENESIS_PIECE_BYTES_MAX, HEADERS_MAX, Message};
use cairn_p2p::{AnswerStream, BulkEnd, Credit, EndCode, PeerNumber, Priority};
use cairn_store::ledger::{Block, Reader};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// About how many bytes of blocks are read before they are sent. A whole block is in any case.
const READ_AHEAD_BYTES: usize = 256 * 1024;
/// How many questions on streams between peers are answered at a time, and for how many on streams of their own
/// blocks are read.
pub(super) const ANSWERS_MAX: usize = 4;

/// Questions that wait for their answer: few are answered at a time, of each peer one after the other, so that
/// whoever asks much waits for himself.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// There are no more of a peer than it has credit.
    turns: Turns<(Question, Credit)>,
    answering: usize,
}

/// Answers a question when its turn comes.
pub(super) fn take_question(links: &Links, peer: PeerNumber, question: Question, credit: Credit) {
    links.0.questions.lock().turns.push(PeerKey(peer.0), (question, credit));
    answer_next(links);
}

/// A peer has gone, and wants no answers.
pub(super) fn forget_questions(links: &Links, peer: PeerNumber) {
    drop(links.0.questions.lock().turns.forget(PeerKey(peer.0)));
}

fn answer_next(links: &Links) {
    let mut waiting = links.0.questions.lock();
    while waiting.answering < ANSWERS_MAX
        && let Some((peer, (question, credit))) = waiting.turns.take()
    {
        waiting.answering += 1;
        let links = links.clone();
        tokio::spawn(async move {
            answer(&links, PeerNumber(peer.0), question).await;
            // The peer may ask on when the answer is on its way.
            drop(credit);
            let mut waiting = links.0.questions.lock();
            waiting.answering -= 1;
            waiting.turns.finish(peer);
            drop(waiting);
            answer_next(&links);
        });
    }
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a question on the stream between peers. What is not here gets no answer.
async fn answer(links: &Links, peer: PeerNumber, question: Question) {
    let answer = match question {
        Question::Headers { locator, stop } => headers(links, locator, stop).await,
        Question::Compact(id) => compact(links, peer, id).await,
        Question::BlockTransactions { block, places } => block_transactions(links, block, places).await,
    };
    if let Some(message) = answer {
        links.send(peer, &message, Priority::Block);
    }
}

async fn headers(links: &Links, locator: Vec<BlockId>, stop: BlockId) -> Option<Message> {
    let reader = links.0.node.reader().clone();
    let stop = (stop != BlockId::ZERO).then_some(stop);
    let read = move || reader.headers_after(&locator, stop.as_ref(), HEADERS_MAX);
    match tokio::task::spawn_blocking(read).await.ok()? {
        Ok(headers) => Some(Message::Headers(headers)),
        Err(error) => {
            tracing::warn!(%error, "headers cannot be read for a peer");
            None
        }
    }
}

async fn compact(links: &Links, peer: PeerNumber, id: BlockId) -> Option<Message> {
    let Block { header, bytes, .. } = read(links, id).await?;
    // Who asks for a block will have it.
    links.0.network.note_height(peer, header.height.0);
    let identity = *links.0.node.genesis().identity();
    let salt = getrandom::u64().ok()?;
    let block = tokio::task::spawn_blocking(move || CompactBlock::from_bytes(&bytes, &identity, salt));
    Some(Message::Compact(Box::new(block.await.ok()?.ok()?)))
}

async fn block_transactions(links: &Links, block: BlockId, places: Vec<u32>) -> Option<Message> {
    let bytes = read(links, block).await?.bytes;
    let picked = tokio::task::spawn_blocking(move || transactions_at(&bytes, &places));
    let transactions = picked.await.ok()?.ok()??;
    Some(Message::BlockTransactions { block, transactions })
}

async fn read(links: &Links, id: BlockId) -> Option<Block> {
    let reader = links.0.node.reader().clone();
    tokio::task::spawn_blocking(move || read_block(&reader, &id)).await.ok()?
}

fn read_block(reader: &Reader, id: &BlockId) -> Option<Block> {
    match reader.block(id) {
        Ok(block) => block,
        Err(error) => {
            tracing::warn!(%error, "a block cannot be read for a peer");
            None
        }
    }
}

/// Sends blocks in the order in which they were asked for; those that are not here are left out.
pub(super) async fn send_blocks(links: Links, peer: PeerNumber, ids: Vec<BlockId>, answer: AnswerStream) {
    let mut rest = ids;
    while !rest.is_empty() {
        let reader = links.0.node.reader().clone();
        let Ok(turn) = Arc::clone(&links.0.reads).acquire_owned().await else { return };
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (mut blocks, mut bytes, mut taken) = (Vec::new(), 0, 0);
            for id in &rest {
                taken += 1;
                if let Some(block) = read_block(&reader, id) {
                    bytes += block.bytes.len();
                    blocks.push(block);
                }
                if bytes >= READ_AHEAD_BYTES {
                    break;
                }
            }
            (blocks, rest.split_off(taken))
        });
        let Ok((blocks, left)) = read.await else {
            return answer.end(BulkEnd::new(EndCode::Failed, "the blocks cannot be read")).await;
        };
        rest = left;
        for block in blocks {
            let frame = frame_of(&Message::Block(block.bytes));
            if answer.send(frame.clone()).await.is_err() {
                return;
            }
            trace("to", peer, &frame);
            links.0.network.note_height(peer, block.header.height.0);
        }
    }
    answer.end(BulkEnd::new(EndCode::Complete, "")).await;
}

/// Sends the genesis file, if it is the one that is asked for.
pub(super) async fn send_genesis(links: Links, identity: BlockId, answer: AnswerStream) {
    let genesis = links.0.node.genesis();
    if *genesis.identity() != identity {
        return answer.end(BulkEnd::new(EndCode::Unavailable, "this is another network")).await;
    }
    let text = links.0.genesis_text.get_or_init(|| genesis.to_toml());
    send_genesis_text(text, answer).await;
}

/// Sends a genesis file, piece by piece.
pub(crate) async fn send_genesis_text(text: &str, answer: AnswerStream) {
    for piece in text.as_bytes().chunks(GENESIS_PIECE_BYTES_MAX) {
        if answer.send(frame_of(&Message::Genesis(piece.to_vec()))).await.is_err() {
            return;
        }
    }
    answer.end(BulkEnd::new(EndCode::Complete, "")).await;
}
