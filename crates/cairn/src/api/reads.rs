//! Reads that take a while: what touches the disk or takes a block apart, away from the threads that
//! answer requests.
//!
//! At most [`READS_MAX`] run at a time, whoever asks; the others wait their turn without a thread. So
//! however many clients read long pages, connections are served, transactions are taken, and the node
//! thread has a core.

use crate::api::Api;
use crate::api::errors::ApiError;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many such reads run at a time.
pub(super) const READS_MAX: usize = 4;

/// Gives each read its turn and its thread.
#[derive(Debug)]
pub(super) struct Reads(Arc<Semaphore>);

impl Default for Reads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READS_MAX)))
    }
}

impl Reads {
    /// Runs `read` on a thread of its own when its turn comes. Whoever goes away while it runs does not
    /// give its place free before it ends.
    pub(super) async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = Arc::clone(&self.0).acquire_owned().await.expect("nobody closes the semaphore");
        let running = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read()
        });
        match running.await {
            Ok(found) => found,
            // A panic belongs to the connection that asked.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Api {
    /// Answers with what `read` finds. The answer is also written there: a page of a thousand entries
    /// takes as long to write as to read.
    pub(super) async fn answer_apart<T: IntoResponse>(
        self: Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let api = Arc::clone(&self);
        self.reads.run(move || read(&api).map(IntoResponse::into_response)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::Poll;

    #[tokio::test]
    async fn slow_reads_wait_their_turn_and_leave_the_threads_of_requests_alone() {
        let reads = Arc::new(Reads::default());
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (started, has_started) = mpsc::channel();
        let (finish, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let readers: Vec<_> = (0..50)
            .map(|_| {
                let (reads, running, most) = (Arc::clone(&reads), Arc::clone(&running), Arc::clone(&most));
                let (started, gate) = (started.clone(), Arc::clone(&gate));
                tokio::spawn(async move {
                    let read = move || {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        started.send(()).unwrap();
                        // Held until the test is through with looking.
                        let _ = gate.lock().unwrap().recv();
                        running.fetch_sub(1, Ordering::SeqCst);
                    };
                    reads.run(read).await;
                })
            })
            .collect();
        // This test has one thread for all tasks: it comes back here only because no read holds it.
        let mut held = 0;
        while held < READS_MAX {
            tokio::task::yield_now().await;
            held += has_started.try_iter().count();
        }
        let mut late = std::pin::pin!(reads.run(|| 7));
        assert_eq!(futures_poll(late.as_mut()).await, Poll::Pending, "all places are taken");
        drop(finish);
        for reader in readers {
            reader.await.unwrap();
        }
        assert_eq!(late.await, 7);
        assert_eq!(most.load(Ordering::SeqCst), READS_MAX);
    }

    /// Polls once.
    async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }

    #[tokio::test]
    async fn a_panic_of_a_read_is_that_of_its_request_and_gives_the_place_back() {
        let reads = Arc::new(Reads::default());
        for _ in 0..READS_MAX + 1 {
            let reads = Arc::clone(&reads);
            let asked = tokio::spawn(async move { reads.run(|| panic!("on purpose")).await });
            assert!(asked.await.unwrap_err().is_panic());
        }
        assert_eq!(reads.run(|| 7).await, 7);
    }
}
