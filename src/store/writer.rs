//! The one writer. Transactions that wait together are committed together: each in a savepoint of its own, one commit
//! for the group, durable if any of them must be; their callers are answered after it, watchers are woken before.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::files::control;
use super::handle::Shared;
use super::{Error, Executor, Moment, Origin, Result, Txn, contents, settle};
use crate::types::mutant::mutant;
use crate::types::{AccountId, ContentId, Timestamp};

/// Transactions in one commit: bounds how long the first of them waits for the last.
const GROUP_MAX: usize = 128;

/// Takes transactions and answers them.
pub(super) enum Writer {
    Inline(Mutex<Option<Committer>>),
    Thread { queue: Mutex<Option<Sender<Box<dyn Job>>>>, thread: Mutex<Option<JoinHandle<()>>> },
}

impl Writer {
    pub(super) fn start(mut conn: Connection, executor: Executor, shared: Arc<Shared>) -> Result<Self> {
        settle::checkpoint_after_contents(&mut conn, Arc::clone(&shared.contents))?;
        let committer = Committer::new(conn, shared)?;
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

    pub(super) fn begin_write<T, F>(&self, origin: Origin, now: Timestamp, work: F) -> Result<Pending<T>>
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
        Ok(Pending(answers))
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

/// A write transaction under way, whether or not anybody waits for it.
#[must_use = "what came of it is told by `wait`"]
pub struct Pending<T>(Receiver<Result<T>>);

impl<T> Pending<T> {
    /// Returns once it is committed.
    pub fn wait(self) -> Result<T> {
        self.0.recv().map_err(|_| Error::Closed)?
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
    /// The content up to which all are known to be on disk, as the database says.
    synced: ContentId,
}

impl Committer {
    fn new(conn: Connection, shared: Arc<Shared>) -> Result<Self> {
        let synced = contents::newest(&conn)?;
        Ok(Self { conn, shared, is_durable: None, synced })
    }

    fn commit_group(&mut self, mut group: Vec<Box<dyn Job>>) {
        let is_meant = group.iter().any(|job| job.origin().is_durable());
        let durable = is_meant && !mutant!(AnsweredBeforeSync);
        let mut touched = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(group.len());
        let committed = self.begin(durable).and_then(|synced| {
            // What is alone is taken back with the whole transaction: a savepoint keeps a copy of each page that changes.
            if let [job] = group.as_mut_slice() {
                outcomes.push(Ok(self.run(job.as_mut(), &mut touched)?));
            }
            for job in group.iter_mut().skip(outcomes.len()) {
                outcomes.push(self.run_in_savepoint(job.as_mut(), &mut touched));
                if self.conn.is_autocommit() {
                    // SQLite took everything back (a full disk): the others' work with it.
                    return Err(outcomes.iter().find_map(|outcome| outcome.clone().err()).unwrap_or(Error::DISK_FULL));
                }
            }
            let newest = contents::newest(&self.conn)?;
            let synced = if durable { self.sync_contents(newest)? } else { synced };
            self.shared.fate.at(Moment::BeforeCommit)?;
            let commit = || Ok(control(&self.conn, "COMMIT")?);
            match durable {
                true => commit()?,
                false => self.shared.log.commit_unsynced(commit)?,
            }
            self.synced = synced;
            self.shared.contents.note_committed(newest);
            self.shared.fate.at(Moment::AfterCommit { durable })
        });
        if let Err(error) = committed {
            if !self.conn.is_autocommit() {
                let _ = control(&self.conn, "ROLLBACK");
            }
            outcomes = group.iter().map(|_| Err(error.clone())).collect();
            touched.clear();
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.watchers.wake(&touched);
        for (job, outcome) in group.into_iter().zip(outcomes) {
            job.answer(outcome.map_err(|error| self.shared.tell(error)));
        }
    }

    /// Begins a transaction. Returns up to which content all are known to be on disk, which is noted in it.
    fn begin(&mut self, durable: bool) -> Result<ContentId> {
        if durable {
            self.shared.anchor.holds()?;
        }
        if self.is_durable != Some(durable) {
            self.conn.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
            self.is_durable = Some(durable);
        }
        self.shared.index.give_back_room();
        self.shared.log.give_back_room(&self.conn, &self.shared.contents);
        control(&self.conn, "BEGIN IMMEDIATE")?;
        self.note_synced(self.shared.contents.synced())
    }

    /// Has everything on disk to which a durable commit refers.
    fn sync_contents(&self, newest: ContentId) -> Result<ContentId> {
        if !mutant!(BytesNotSynced) {
            self.shared.contents.sync()?;
        }
        self.note_synced(newest)
    }

    fn note_synced(&self, synced: ContentId) -> Result<ContentId> {
        if synced > self.synced {
            contents::note_synced(&self.conn, synced)?;
        }
        Ok(synced.max(self.synced))
    }

    fn run_in_savepoint(&self, job: &mut dyn Job, touched: &mut BTreeSet<AccountId>) -> Result<()> {
        control(&self.conn, "SAVEPOINT job")?;
        let outcome = self.run(job, touched);
        if !self.conn.is_autocommit() {
            if outcome.is_err() {
                control(&self.conn, "ROLLBACK TO job")?;
            }
            control(&self.conn, "RELEASE job")?;
        }
        outcome
    }

    fn run(&self, job: &mut dyn Job, touched: &mut BTreeSet<AccountId>) -> Result<()> {
        let mut txn = Txn::new(&self.conn, &self.shared.contents, job.origin(), job.now());
        catch_unwind(AssertUnwindSafe(|| job.run(&mut txn)))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_text(panic.as_ref()))))?;
        touched.extend(txn.into_touched());
        Ok(())
    }

    /// Marks the store as cleanly stopped, if everything is on disk.
    fn close(self) {
        let marked = self.shared.fate.at(Moment::BeforeClose).and_then(|()| {
            self.shared.contents.sync()?;
            self.conn.pragma_update(None, "synchronous", "FULL")?;
            contents::note_synced(&self.conn, contents::newest(&self.conn)?)?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize};
    use std::sync::mpsc::Receiver;

    use super::*;
    use crate::store::anchor::Anchor;
    use crate::store::contents::Contents;
    use crate::store::fate::Fair;
    use crate::store::files::{self, Files};
    use crate::store::heal;
    use crate::store::readers::Readers;
    use crate::store::search::Index;
    use crate::store::settle::Log;
    use crate::store::watch::Watchers;
    use crate::store::{Options, Reader};
    use crate::types::MailboxName;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

    fn committer(folder: &std::path::Path, max_bytes: Option<u64>) -> Committer {
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes };
        let paths = Files::of(folder);
        let contents = Contents::open(folder, max_bytes, Arc::new(Fair)).expect("contents");
        let mut hot = files::open_writing(&paths, &options, contents.packs()).expect("a database");
        heal::heal(&mut hot, contents.packs(), &Fair, NOW).expect("a clean store");
        let shared = Arc::new(Shared {
            anchor: Anchor::at([&paths.hot]).expect("a database"),
            contents: Arc::new(contents),
            log: Log::of(&paths.hot, Arc::new(Fair)),
            hot: Readers::new(paths.hot, 1024),
            watchers: Arc::default(),
            index: Index::new(paths.search, &options),
            uid_lists: super::super::uid_lists::UidLists::default(),
            commits: AtomicU64::new(0),
            fate: Arc::new(Fair),
        });
        Committer::new(hot, shared).expect("a committer")
    }

    type Answer = Receiver<Result<()>>;

    fn job(work: impl FnOnce(&mut Txn<'_>) -> Result<()> + Send + 'static) -> (Box<dyn Job>, Answer) {
        let (answer, answers) = sync_channel(1);
        (Box::new(Work { origin: Origin::LocalUser, now: NOW, work: Some(work), value: None, answer }), answers)
    }

    fn create(account: AccountId, name: &str) -> impl FnOnce(&mut Txn<'_>) -> Result<()> + Send + use<> {
        let name = MailboxName::parse(name).expect("a valid name");
        move |txn| txn.create_mailbox(account, &name, None).map(drop)
    }

    fn run(committer: &mut Committer, jobs: Vec<(Box<dyn Job>, Answer)>) -> Vec<Result<()>> {
        let (group, answers): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        committer.commit_group(group);
        answers.iter().map(|answer| answer.try_recv().expect("an answer")).collect()
    }

    fn names(committer: &Committer, account: AccountId) -> Vec<String> {
        let mailboxes = committer.shared.hot.read(|conn| Reader::new(conn).mailboxes(account)).expect("a list");
        mailboxes.into_iter().filter_map(|mailbox| mailbox.name).map(String::from).collect()
    }

    fn account(committer: &mut Committer) -> AccountId {
        let (id, ids) = sync_channel(1);
        let made = job(move |txn| {
            id.send(txn.ensure_account("me")?).expect("the test listens");
            Ok(())
        });
        assert!(run(committer, vec![made]).iter().all(Result::is_ok));
        ids.recv().expect("an account")
    }

    #[test]
    fn a_group_is_one_commit_and_each_of_it_fails_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut committer = committer(folder.path(), None);
        let account = account(&mut committer);
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let wake = Arc::new(move || _ = count.fetch_add(1, Ordering::SeqCst));
        let _watch = Watchers::watch(&committer.shared.watchers, account, wake);
        let failing = create(account, "b");
        let panicking = create(account, "c");
        let answers = run(
            &mut committer,
            vec![
                job(create(account, "a")),
                job(move |txn| failing(txn).and(Err(Error::ReadOnly))),
                job(move |txn| panic!("after {:?}", panicking(txn))),
                job(move |txn| {
                    assert_eq!(txn.reader().mailboxes(account)?.len(), 2, "it sees those before it that succeeded");
                    create(account, "d")(txn)
                }),
            ],
        );
        assert!(matches!(&answers[..], [Ok(()), Err(Error::ReadOnly), Err(Error::Panicked(_)), Ok(())]), "{answers:?}");
        assert_eq!(names(&committer, account), ["INBOX", "a", "d"]);
        assert_eq!(wakes.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn when_the_disk_is_full_what_was_answered_well_is_there_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut committer = committer(folder.path(), Some(1024 * 1024));
        let account = account(&mut committer);
        let (mut answered, mut failed) = (1, 0);
        for group in 0..200 {
            let jobs = (0..10).map(|number| {
                let wide = "x".repeat(if number == 5 { 900 } else { 10 });
                job(create(account, &format!("{group}-{number}-{wide}")))
            });
            for answer in run(&mut committer, jobs.collect()) {
                match answer {
                    Ok(()) => answered += 1,
                    Err(error) => {
                        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
                        failed += 1;
                    }
                }
            }
            assert_eq!(names(&committer, account).len(), answered);
        }
        assert!(failed > 0);
    }
}
