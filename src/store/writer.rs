//! The one writer. Transactions that wait together are committed together: each in a savepoint of its own, one commit
//! for the group, durable if any of them must be; their callers are answered after it, watchers are woken before.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::handle::Shared;
use super::{Error, Executor, Origin, Result, Txn};
use crate::types::{AccountId, Timestamp};

/// Transactions in one commit: bounds how long the first of them waits for the last.
const GROUP_MAX: usize = 128;

/// Takes transactions and answers them.
pub(super) enum Writer {
    Inline(Mutex<Option<Committer>>),
    Thread { queue: Mutex<Option<Sender<Box<dyn Job>>>>, thread: Mutex<Option<JoinHandle<()>>> },
}

impl Writer {
    pub(super) fn start(conn: Connection, executor: Executor, shared: Arc<Shared>) -> Result<Self> {
        let committer = Committer { conn, shared, is_durable: None };
        match executor {
            Executor::Inline => Ok(Self::Inline(Mutex::new(Some(committer)))),
            Executor::Thread => {
                let (queue, jobs) = channel();
                let thread = std::thread::Builder::new()
                    .name("store-writer".to_owned())
                    .spawn(move || run(committer, &jobs))
                    .map_err(|error| Error::io("a thread", error))?;
                Ok(Self::Thread { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
            }
        }
    }

    pub(super) fn write<T, F>(&self, origin: Origin, now: Timestamp, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, answers) = sync_channel(1);
        let job = Box::new(Work { origin, now, work: Some(work), value: None, answer });
        match self {
            Self::Inline(committer) => {
                let mut committer = committer.lock().unwrap_or_else(PoisonError::into_inner);
                committer.as_mut().ok_or(Error::Closed)?.commit_group(vec![job]);
            }
            Self::Thread { queue, .. } => {
                let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)?;
                queue.send(job).map_err(|_| Error::Closed)?;
            }
        }
        answers.recv().map_err(|_| Error::Closed)?
    }

    /// Ends the thread after what is queued, and leaves the store marked as cleanly stopped.
    pub(super) fn stop(&self) {
        match self {
            Self::Inline(committer) => {
                if let Some(committer) = committer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    committer.close();
                }
            }
            Self::Thread { queue, thread } => {
                drop(queue.lock().unwrap_or_else(PoisonError::into_inner).take());
                let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
                // The last handle may be dropped by a watcher, on the writer itself: it ends alone then.
                if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
                    let _ = thread.join();
                }
            }
        }
    }
}

fn run(mut committer: Committer, jobs: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(GROUP_MAX - 1));
        committer.commit_group(group);
    }
    committer.close();
}

/// A queued transaction.
pub(super) trait Job: Send {
    fn origin(&self) -> Origin;
    fn now(&self) -> Timestamp;
    /// Does the work. Called once.
    fn run(&mut self, txn: &mut Txn<'_>) -> Result<()>;
    /// Tells the caller what came of it.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

struct Work<T, F> {
    origin: Origin,
    now: Timestamp,
    work: Option<F>,
    value: Option<T>,
    answer: SyncSender<Result<T>>,
}

impl<T: Send, F: FnOnce(&mut Txn<'_>) -> Result<T> + Send> Job for Work<T, F> {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn run(&mut self, txn: &mut Txn<'_>) -> Result<()> {
        let work = self.work.take().expect("a job runs once");
        self.value = Some(work(txn)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let Self { value, answer, .. } = *self;
        // The caller waits for it, unless its thread died.
        let _ = answer.send(outcome.and_then(|()| value.ok_or(Error::Closed)));
    }
}

/// The write connection.
pub(super) struct Committer {
    conn: Connection,
    shared: Arc<Shared>,
    /// What `synchronous` was last set to.
    is_durable: Option<bool>,
}

impl Committer {
    fn commit_group(&mut self, mut group: Vec<Box<dyn Job>>) {
        let durable = group.iter().any(|job| job.origin().is_durable());
        let mut touched = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(group.len());
        let committed = self.begin(durable).and_then(|()| {
            for job in &mut group {
                let outcome = self.run_in_savepoint(job.as_mut(), &mut touched);
                outcomes.push(outcome);
                if self.conn.is_autocommit() {
                    // SQLite took everything back (a full disk): the others' work with it.
                    return Err(outcomes.iter().find_map(|outcome| outcome.clone().err()).unwrap_or(Error::DiskFull));
                }
            }
            self.shared.contents.commit(durable)?;
            Ok(self.conn.execute_batch("COMMIT")?)
        });
        if let Err(error) = committed {
            if !self.conn.is_autocommit() {
                let _ = self.conn.execute_batch("ROLLBACK");
            }
            outcomes = group.iter().map(|_| Err(error.clone())).collect();
            touched.clear();
        }
        self.shared.watchers.wake(&touched);
        for (job, outcome) in group.into_iter().zip(outcomes) {
            job.answer(outcome);
        }
    }

    fn begin(&mut self, durable: bool) -> Result<()> {
        if self.is_durable != Some(durable) {
            self.conn.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
            self.is_durable = Some(durable);
        }
        Ok(self.conn.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn run_in_savepoint(&self, job: &mut dyn Job, touched: &mut BTreeSet<AccountId>) -> Result<()> {
        self.conn.execute_batch("SAVEPOINT job")?;
        let mut txn = Txn::new(&self.conn, &self.shared.contents, job.origin(), job.now());
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run(&mut txn)))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_text(panic.as_ref()))));
        match outcome {
            Ok(()) => {
                self.conn.execute_batch("RELEASE job")?;
                touched.extend(txn.into_touched());
                Ok(())
            }
            Err(error) => {
                if !self.conn.is_autocommit() {
                    self.conn.execute_batch("ROLLBACK TO job; RELEASE job")?;
                }
                Err(error)
            }
        }
    }

    /// Marks the store as cleanly stopped, if everything is on disk.
    fn close(self) {
        let marked = self.shared.contents.commit(true).and_then(|()| {
            self.conn.pragma_update(None, "synchronous", "FULL")?;
            Ok(self.conn.execute("UPDATE store_info SET clean = 1 WHERE id = 1", [])?)
        });
        if let Err(error) = marked {
            tracing::warn!(%error, "the store could not be marked as cleanly stopped; it will be checked when next opened");
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
