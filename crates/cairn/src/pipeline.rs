//! Checks blocks on all cores and hands them on in order.
//!
//! Checking a block by itself (decoding, ids, transaction tree, signatures) is most of the work of
//! an import and needs no other block; executing it needs its parent. So some threads check, each a
//! few blocks at a time, and the caller takes what is checked in the order of the source.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use cairn_core::block::{BlockError, CheckedBlock};

/// How many chunks may be checked ahead of the one that the caller waits for, beside those in work.
const CHUNKS_AHEAD_MAX: usize = 6;
/// A chunk holds blocks of about this many bytes together; a batch of signatures pays from there.
const CHUNK_BYTES: usize = 512 * 1024;
/// How many blocks a chunk holds at most.
const CHUNK_BLOCKS_MAX: usize = 64;

/// A block to be checked: what the caller wants to know it by, and its bytes.
pub type Item<T> = (T, Arc<[u8]>);

/// The number of threads that checking uses: one a core.
pub fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// What the threads share.
struct Line<I, T, E> {
    state: Mutex<State<I, T, E>>,
    changed: Condvar,
    ahead: usize,
}

struct State<I, T, E> {
    source: I,
    /// The number of the next chunk to be taken from the source.
    next: usize,
    /// The number of the chunk that the caller takes next.
    wanted: usize,
    checked: BTreeMap<usize, Vec<Checked<T, E>>>,
    /// Threads that may still bring a chunk.
    working: usize,
    is_over: bool,
}

/// Blocks that are checked together, or why the source failed.
type Chunk<T, E> = Vec<Result<Item<T>, E>>;

/// A block that was checked, or why the source failed.
type Checked<T, E> = Result<(T, Result<CheckedBlock, BlockError>), E>;

/// Ends the work when dropped, also by a panic, so that nobody waits for ever.
struct Leave<'a, I, T, E>(&'a Line<I, T, E>, bool);

impl<I, T, E> Drop for Leave<'_, I, T, E> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if self.1 {
            state.working -= 1;
        } else {
            state.is_over = true;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl<I, T, E> Line<I, T, E> {
    fn lock(&self) -> MutexGuard<'_, State<I, T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State<I, T, E>>) -> MutexGuard<'a, State<I, T, E>> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks the blocks of `source` with `check` on `threads` threads and gives them to `apply` in the
/// order of the source.
///
/// # Errors
///
/// The first error of the source or of `apply`; nothing that follows is applied.
pub fn check_in_order<T: Send, E: Send>(
    source: impl Iterator<Item = Result<Item<T>, E>> + Send,
    threads: usize,
    check: impl Fn(Arc<[u8]>) -> Result<CheckedBlock, BlockError> + Sync,
    mut apply: impl FnMut(T, Result<CheckedBlock, BlockError>) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.max(1);
    let state = State {
        source: source.fuse(),
        next: 0,
        wanted: 0,
        checked: BTreeMap::new(),
        working: threads,
        is_over: false,
    };
    let line = Line { state: Mutex::new(state), changed: Condvar::new(), ahead: CHUNKS_AHEAD_MAX + threads };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let leave = Leave(&line, true);
                while let Some((number, chunk)) = take_chunk(leave.0) {
                    let checked = chunk.into_iter().map(|item| item.map(|(key, bytes)| (key, check(bytes))));
                    let checked: Vec<_> = checked.collect();
                    leave.0.lock().checked.insert(number, checked);
                    leave.0.changed.notify_all();
                }
            });
        }
        let leave = Leave(&line, false);
        while let Some(chunk) = next_checked(leave.0) {
            for item in chunk {
                let (key, outcome) = item?;
                apply(key, outcome)?;
            }
        }
        Ok(())
    })
}

/// Takes the next blocks from the source; waits while too much is ahead. None when there are none.
fn take_chunk<I, T, E>(line: &Line<I, T, E>) -> Option<(usize, Chunk<T, E>)>
where
    I: Iterator<Item = Result<Item<T>, E>>,
{
    let mut state = line.lock();
    while state.next >= state.wanted + line.ahead && !state.is_over {
        state = line.wait(state);
    }
    if state.is_over {
        return None;
    }
    let mut chunk = Vec::new();
    let mut bytes = 0;
    while bytes < CHUNK_BYTES && chunk.len() < CHUNK_BLOCKS_MAX {
        let Some(item) = state.source.next() else { break };
        bytes += item.as_ref().map_or(0, |(_, bytes)| bytes.len());
        chunk.push(item);
    }
    if chunk.is_empty() {
        return None;
    }
    let number = state.next;
    state.next += 1;
    Some((number, chunk))
}

/// Waits for the chunk that comes next. None when all are taken.
fn next_checked<I, T, E>(line: &Line<I, T, E>) -> Option<Vec<Checked<T, E>>> {
    let mut state = line.lock();
    loop {
        let wanted = state.wanted;
        if let Some(chunk) = state.checked.remove(&wanted) {
            state.wanted += 1;
            drop(state);
            line.changed.notify_all();
            return Some(chunk);
        }
        if state.working == 0 {
            return None;
        }
        state = line.wait(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_core::codec::DecodeError;

    /// A check that refuses every block, later ones sooner, so that the order is put to the test.
    fn refuse(bytes: &[u8]) -> BlockError {
        let mut rounds = 2_000 - bytes.len();
        while rounds > 0 {
            rounds = std::hint::black_box(rounds - 1);
        }
        BlockError::Form(DecodeError::Trailing { at: bytes.len(), extra: 0 })
    }

    fn source(count: usize) -> impl Iterator<Item = Result<Item<usize>, &'static str>> {
        (0..count).map(|number| Ok((number, vec![0; number % 2_000].into())))
    }

    #[test]
    fn blocks_come_out_in_the_order_in_which_they_went_in() {
        for threads in [1, 2, 5] {
            let mut seen = Vec::new();
            let outcome = check_in_order(
                source(1_000),
                threads,
                |bytes| Err(refuse(&bytes)),
                |number, checked| {
                    let at = number % 2_000;
                    assert_eq!(
                        checked.unwrap_err(),
                        BlockError::Form(DecodeError::Trailing { at, extra: 0 })
                    );
                    seen.push(number);
                    Ok(())
                },
            );
            assert_eq!(outcome, Ok(()));
            assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_of_the_source_ends_the_work_at_its_place() {
        let source = source(500).chain([Err("torn")]).chain(source(500));
        let mut applied = 0;
        let outcome = check_in_order(
            source,
            3,
            |bytes| Err(refuse(&bytes)),
            |_, _| {
                applied += 1;
                Ok(())
            },
        );
        assert_eq!((outcome, applied), (Err("torn"), 500));
    }

    #[test]
    fn an_error_of_the_caller_ends_the_work() {
        let mut applied = 0;
        let outcome = check_in_order(
            source(100_000),
            2,
            |bytes| Err(refuse(&bytes)),
            |number, _| {
                applied += 1;
                if number == 300 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!((outcome, applied), (Err("enough"), 301));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_a_check_reaches_the_caller() {
        let _ = check_in_order(source(100), 2, |_| panic!("broken"), |_, _| Ok(()));
    }
}
