//! A post office for tests: an outbox in a store that can be shut and opened again, and a server that answers by a
//! script.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use mailtide::outbox::engine::{Engine, Progress, SentCopy, Settings, World};
use mailtide::outbox::sender::{Envelope, Outcome, Recipient, Reply, SendError, Sender};
use mailtide::store::{
    Error, Executor, Fate, Moment, NewMessage, NewSubmission, Options, Origin, Store, StoredContent, Submission, Txn,
};
use mailtide::types::{AccountId, ByteSource, Flags, InternalDate, MailboxName, SpecialUse, SubmissionId, Timestamp};

pub const START: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

pub const HOUR_MS: i64 = 3_600_000;

/// What a server that takes mail has taken: recipient and bytes.
pub type Taken = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// What the server does in one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answers each recipient by name: `no…` never, `later…` not now, others yes.
    ByName,
    /// Answers everyone with yes.
    TakeAll,
    /// Refuses everyone for now.
    Defer,
    /// Is not there.
    Unreachable,
    /// The same, and will not report success.
    TakeSilently,
    /// Puts it into a mailbox of ours.
    Deliver,
    /// Takes the message, and the connection breaks before the answer.
    TakeAndVanish,
    /// Takes the message, and we are killed before we see the answer.
    TakeAndKill,
    /// Takes the message, and our disk is full from then on.
    TakeAndFill,
}

/// Answers by a script, one act an attempt; the last act from then on.
#[derive(Clone)]
pub struct Script {
    acts: Arc<Mutex<Vec<Act>>>,
    pub taken: Taken,
    /// Our disk.
    pub is_full: Arc<AtomicBool>,
    /// So many moments that decide what our files hold go by before we are killed at one.
    pub moments_left: Arc<AtomicUsize>,
}

impl Script {
    pub fn new(acts: &[Act]) -> Self {
        Self {
            acts: Arc::new(Mutex::new(acts.to_vec())),
            taken: Taken::default(),
            is_full: Arc::default(),
            moments_left: Arc::new(AtomicUsize::new(usize::MAX)),
        }
    }

    fn next_act(&self) -> Act {
        let mut acts = self.acts.lock().expect("held by none");
        if acts.len() > 1 { acts.remove(0) } else { acts[0] }
    }

    /// Who has it, in order of arrival.
    pub fn recipients(&self) -> Vec<String> {
        self.taken.lock().expect("held by none").iter().map(|(recipient, _)| recipient.clone()).collect()
    }
}

pub fn reply(code: u16, text: &str) -> Reply {
    Reply { code, enhanced: None, text: text.to_owned(), by: None }
}

impl Sender for Script {
    async fn send(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<Vec<Outcome>, SendError> {
        let act = self.next_act();
        let answer = |name: &str| match act {
            Act::Defer => Outcome::Deferred(reply(451, "not now")),
            Act::ByName if name.starts_with("no") => Outcome::Failed(reply(550, "nobody of that name")),
            Act::ByName if name.starts_with("later") => Outcome::Deferred(reply(450, "come back")),
            Act::TakeSilently => Outcome::AcceptedSilently(Reply { by: Some("mx".to_owned()), ..reply(250, "taken") }),
            Act::Deliver => Outcome::AcceptedSilently(reply(250, "delivered")),
            _ => Outcome::Accepted(reply(250, "taken")),
        };
        let (host, cause) = ("mx".to_owned(), "gone".to_owned());
        if act == Act::Unreachable {
            return Err(SendError::Lost { host, cause });
        }
        let mut message = Vec::new();
        while (message.len() as u64) < bytes.size() {
            message.extend(bytes.read_at(message.len() as u64, 10).expect("readable"));
        }
        let outcomes: Vec<Outcome> = envelope.recipients.iter().map(|recipient| answer(&recipient.address)).collect();
        for (recipient, outcome) in envelope.recipients.iter().zip(&outcomes) {
            if matches!(outcome, Outcome::Accepted(_) | Outcome::AcceptedSilently(_)) {
                self.taken.lock().expect("held by none").push((recipient.address.clone(), message.clone()));
            }
        }
        match act {
            Act::TakeAndVanish => Err(SendError::AnswerLost { host, cause }),
            Act::TakeAndKill => be_killed(),
            Act::TakeAndFill => {
                self.is_full.store(true, Ordering::SeqCst);
                Ok(outcomes)
            }
            _ => Ok(outcomes),
        }
    }
}

/// The outbox of one account.
pub struct Office {
    folder: tempfile::TempDir,
    pub script: Script,
    pub sent_copy: SentCopy,
    store: Option<Store>,
    pub account: AccountId,
    pub now: Arc<Mutex<Timestamp>>,
}

impl Office {
    pub fn new(acts: &[Act]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (script, now) = (Script::new(acts), Arc::new(Mutex::new(START)));
        let store = open(&folder, &script);
        let account = store.write(Origin::LocalUser, START, |txn| txn.ensure_account("work")).expect("an account");
        Self { folder, script, sent_copy: SentCopy::AfterLooking, store: Some(store), account, now }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Everything in memory is gone; what is on disk is there.
    pub fn restart(&mut self) {
        self.store = None;
        self.script.moments_left.store(usize::MAX, Ordering::SeqCst);
        self.store = Some(open(&self.folder, &self.script));
    }

    pub fn at(&self) -> Timestamp {
        *self.now.lock().expect("held by none")
    }

    pub fn pass(&self, ms: i64) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.plus_ms(ms);
    }

    pub fn submit(&self, recipients: &[&str], message: &str) -> SubmissionId {
        self.submit_not_before(recipients, message, START)
    }

    pub fn submit_not_before(&self, recipients: &[&str], message: &str, not_before: Timestamp) -> SubmissionId {
        let recipients: Vec<_> = recipients.iter().map(|recipient| (*recipient, None)).collect();
        self.enqueue(&recipients, message, not_before)
    }

    /// Recipients with their NOTIFY.
    pub fn submit_with(&self, recipients: &[(&str, Option<&str>)], message: &str) -> SubmissionId {
        self.enqueue(recipients, message, START)
    }

    fn enqueue(&self, recipients: &[(&str, Option<&str>)], message: &str, not_before: Timestamp) -> SubmissionId {
        let content = self.content(message);
        let recipient = |(address, notify): &(&str, Option<&str>)| Recipient {
            address: (*address).to_owned(),
            notify: notify.map(str::to_owned),
            orcpt: None,
        };
        let recipients = recipients.iter().map(recipient).collect();
        let envelope = Envelope { recipients, ..Envelope::plain("me@here", &[]) };
        let new = NewSubmission {
            account: self.account,
            content,
            envelope,
            message_id: "<1@here>".to_owned(),
            file: true,
            not_before: Some(not_before),
        };
        self.store().write(Origin::LocalUser, self.at(), move |txn| txn.enqueue(&new)).expect("room")
    }

    fn content(&self, message: &str) -> StoredContent {
        self.upload(message).expect("room")
    }

    pub fn upload(&self, message: &str) -> Result<StoredContent, Error> {
        let mut upload = self.store().upload();
        upload.write(message.as_bytes())?;
        upload.finish()
    }

    /// Makes a mailbox with messages that came from upstream.
    pub fn mailbox_with(&self, name: &str, special_use: SpecialUse, messages: &[&String]) {
        let (account, mailbox) = (self.account, MailboxName::parse(name).expect("a valid name"));
        let create = move |txn: &mut Txn<'_>| txn.create_mailbox(account, &mailbox, Some(special_use));
        self.store().write(Origin::Authority, self.at(), create).expect("a new name");
        messages.iter().for_each(|message| self.copy_into(name, message));
    }

    /// Puts a message into a mailbox, as the mirror does.
    pub fn copy_into(&self, name: &str, message: &str) {
        let name = MailboxName::parse(name).expect("a valid name");
        let mailbox = self.store().read(|reader| reader.mailbox_named(self.account, &name)).expect("readable");
        let mailbox = mailbox.expect("it is there").id;
        let (content, internal_date) = (self.content(message), InternalDate::from(self.at()));
        let new = NewMessage { content, flags: Flags::none(), internal_date, email_id: None };
        self.store().write(Origin::Authority, self.at(), move |txn| txn.append(mailbox, &[new])).expect("room");
    }

    pub fn submission(&self, id: SubmissionId) -> Submission {
        self.store().read(|reader| reader.submission(id)).expect("readable").expect("still there")
    }

    /// One run of a fresh engine, sending what is due and then filing what was handed over before this run.
    pub fn run(&self) -> Progress {
        self.run_killed(usize::MAX).expect("not killed")
    }

    /// The same, killed when it looks at the clock for the `kill`th time; `None` if it was.
    pub fn run_killed(&self, kill: usize) -> Option<Progress> {
        let seen = Mutex::new(0);
        let now = || {
            let mut seen = seen.lock().expect("held by none");
            *seen += 1;
            if *seen > kill {
                drop(seen);
                be_killed();
            }
            let mut now = self.now.lock().expect("held by none");
            *now = now.plus_ms(1);
            *now
        };
        catch_unwind(AssertUnwindSafe(|| self.step(&self.engine(now()), &now))).ok()
    }

    pub fn engine(&self, now: Timestamp) -> Engine<Script> {
        let settings = Settings {
            origin: Origin::LocalUser,
            hostname: "here".to_owned(),
            sent_copy: self.sent_copy,
            attempts_at_once: 1,
        };
        Engine::new(self.store().clone(), self.account, self.script.clone(), settings, now).expect("a usable store")
    }

    /// Sends what is due, then files what was handed over before.
    pub fn step(&self, engine: &Engine<Script>, now: &(dyn Fn() -> Timestamp + Send + Sync)) -> Progress {
        let mut progress =
            finish(engine.run_due(World { now, chance: &|| u32::MAX, goes_on: &|| true })).expect("a usable store");
        if self.sent_copy == SentCopy::AfterLooking {
            let since = now();
            progress.filed += engine.file_copies(since, now()).expect("a usable store").filed;
        }
        progress
    }

    /// The messages of a mailbox: flags and bytes.
    pub fn mailbox(&self, name: &str) -> Vec<(Flags, String)> {
        let name = MailboxName::parse(name).expect("a valid name");
        let found = self.store().read(|reader| reader.mailbox_named(self.account, &name)).expect("readable");
        let Some(mailbox) = found else { return Vec::new() };
        let opened = self.store().read(|reader| reader.open(mailbox.id)).expect("readable");
        let messages = self
            .store()
            .read(|reader| reader.messages(mailbox.id, &opened.uids, mailtide::store::With::Columns))
            .expect("readable");
        let text = |content| {
            let size = self.store().source(content).expect("there").size();
            String::from_utf8(self.store().read_content(content, 0, size as usize).expect("there")).expect("text")
        };
        messages.into_iter().map(|it| (it.flags, text(it.content.expect("its bytes are here")))).collect()
    }
}

/// The end of the program, without the noise of a panic.
fn be_killed() -> ! {
    std::panic::resume_unwind(Box::new("killed"))
}

fn open(folder: &tempfile::TempDir, script: &Script) -> Store {
    let options = Options { executor: Executor::Inline, program: "tests".to_owned(), max_bytes: None };
    let disk = Arc::new(Disk { is_full: Arc::clone(&script.is_full), moments_left: Arc::clone(&script.moments_left) });
    Store::open_under(folder.path(), &options, START, disk).expect("a store")
}

/// A disk that may be full, or the last that we see of this life.
struct Disk {
    is_full: Arc<AtomicBool>,
    moments_left: Arc<AtomicUsize>,
}

impl Fate for Disk {
    fn at(&self, moment: Moment) -> Result<(), Error> {
        if moment == Moment::BeforeCommit && self.is_full.load(Ordering::SeqCst) {
            return Err(Error::DISK_FULL);
        }
        let left = self.moments_left.load(Ordering::SeqCst);
        if left != usize::MAX {
            // Whoever is killed sees nothing of what follows.
            self.moments_left.store(left.saturating_sub(1), Ordering::SeqCst);
        }
        if left == 0 { Err(Error::Closed) } else { Ok(()) }
    }
}

/// Runs a future that never waits for anything outside.
pub fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something outside"),
    }
}
