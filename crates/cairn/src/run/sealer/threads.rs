//! The threads at a desk: started when they are first wanted, at rest when they are not.

use super::{Command, SEALER_THREADS_MAX, SealerDesk, Signer};
use crate::run::opening::spawn;
use crate::run::{RunError, ThreadsRefusal};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The threads that search for work.
#[derive(Debug)]
pub(in crate::run) struct Sealers {
    pub(super) desk: Arc<SealerDesk>,
    signer: Arc<Signer>,
    commands: SyncSender<Command>,
    /// In the order of their numbers; none where the node makes no blocks.
    started: Mutex<Vec<JoinHandle<()>>>,
}

impl Sealers {
    /// Some threads, at most [`SEALER_THREADS_MAX`]; none where the node makes no blocks.
    ///
    /// # Errors
    ///
    /// [`RunError::Thread`] if one could not be started.
    pub(in crate::run) fn start(
        desk: Arc<SealerDesk>,
        signer: Signer,
        commands: SyncSender<Command>,
        threads: u16,
    ) -> Result<Self, RunError> {
        let sealers = Self { desk, signer: Arc::new(signer), commands, started: Mutex::default() };
        if threads > 0 {
            sealers.have(threads.min(SEALER_THREADS_MAX))?;
            let kernel = sealers.desk.meter.kernel();
            tracing::info!(threads, %kernel, "ready to search for work");
        }
        Ok(sealers)
    }

    /// Has so many threads search from now on. Those that are not wanted rest until they are.
    ///
    /// # Errors
    ///
    /// [`ThreadsRefusal`]; then as many search as before.
    pub(in crate::run) fn set_threads(&self, threads: u16) -> Result<(), ThreadsRefusal> {
        if self.desk.meter.threads() == 0 {
            return Err(ThreadsRefusal::NoProducer);
        }
        if threads == 0 || threads > SEALER_THREADS_MAX {
            return Err(ThreadsRefusal::Count { threads });
        }
        self.have(threads).map_err(ThreadsRefusal::Start)?;
        tracing::info!(threads, "threads that search for work");
        Ok(())
    }

    /// Waits until all have ended, which they do once their desk is stopped.
    pub(in crate::run) fn join(&self) {
        let started = std::mem::take(&mut *self.lock());
        for thread in started {
            // Its panic has ended the program.
            let _ = thread.join();
        }
    }

    fn have(&self, threads: u16) -> Result<(), RunError> {
        let mut started = self.lock();
        for number in 0..threads {
            if usize::from(number) < started.len() {
                continue;
            }
            let (desk, signer) = (Arc::clone(&self.desk), Arc::clone(&self.signer));
            let commands = self.commands.clone();
            started.push(spawn(&format!("sealer {number}"), move || desk.run(number, &signer, &commands))?);
        }
        self.desk.set_threads(threads);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        // A thread joins the list in one step.
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
