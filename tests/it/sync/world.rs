//! A store, a server and the engine between them; acts on either side by name; both sides as text, to be compared.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use mailtide::store::{
    Executor, Fate, FlagChange, Moment, NewMessage, Options, Origin, Reader, Result as StoreResult, Store, Txn, With,
    check,
};
use mailtide::sync::{Engine, Error, Report};
use mailtide::types::{
    AccountId, BodyPolicy, FolderFilter, InternalDate, LocalUid, MailboxId, MailboxName, Timestamp, UidSet,
};

use super::model_remote::{Cut, Server, Traits};
use super::{flags, mail};

/// Both sides.
pub struct World {
    folder: tempfile::TempDir,
    store: Option<Store>,
    pub account: AccountId,
    pub server: Server,
    /// Which mailboxes are mirrored.
    pub filter: FolderFilter,
    /// Of which messages more than the header is.
    pub bodies: BodyPolicy,
}

/// Runs a future that never waits.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the model never lets one wait"),
    }
}

/// When everything happens.
pub const NOW_MS: i64 = 1_700_000_000_000;

fn clock() -> Timestamp {
    Timestamp::from_unix_ms(NOW_MS)
}

/// Counts what the store commits.
struct Counted(Arc<AtomicUsize>);

impl Fate for Counted {
    fn at(&self, moment: Moment) -> StoreResult<()> {
        if matches!(moment, Moment::AfterContent { .. } | Moment::AfterCommit { .. }) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn open(folder: &std::path::Path, commits: &Arc<AtomicUsize>) -> Store {
    let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
    let fate = Arc::new(Counted(Arc::clone(commits)));
    Store::open_under(folder, &options, clock(), fate).expect("a store")
}

/// In memory where there is such a place: what is cut here is the program and the line, not the power.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn copy_of(from: &std::path::Path) -> tempfile::TempDir {
    let folder = folder();
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
    }
    folder
}

pub fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("a mailbox name")
}

impl World {
    pub fn new(traits: Traits) -> Self {
        let folder = folder();
        let server = Server::new(traits);
        let store = open(folder.path(), &server.state().commits);
        let account = store.write(Origin::Upstream, clock(), |txn| txn.ensure_account("me")).expect("an account");
        Self { folder, store: Some(store), account, server, filter: FolderFilter::all(), bodies: BodyPolicy::ALL }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    /// Closes and opens the store, as after a crash of the program.
    pub fn reopen(&mut self) {
        self.store = None;
        self.store = Some(open(self.folder.path(), &self.server.state().commits));
    }

    /// What is on the disk at this moment, and would be found after a power cut.
    pub fn disk(&mut self) -> tempfile::TempDir {
        self.store = None;
        let disk = copy_of(self.folder.path());
        let conn = rusqlite::Connection::open(disk.path().join("mailtide.db")).expect("a database");
        conn.execute("UPDATE store_info SET clean = 0", []).expect("a store in use");
        self.reopen();
        disk
    }

    /// The power fails, and the disk has forgotten all since then.
    pub fn fall_back_to(&mut self, disk: tempfile::TempDir) {
        self.store = None;
        self.folder = disk;
        self.reopen();
    }

    /// As a store is that was made before choices of mailboxes were noted.
    pub fn forget_choice(&mut self) {
        self.store = None;
        let conn = rusqlite::Connection::open(self.folder.path().join("mailtide.db")).expect("a database");
        conn.execute("UPDATE account SET mirror = ''", []).expect("a choice to be forgotten");
        drop(conn);
        self.reopen();
    }

    /// Ends the use of this world; it can be forked from then on.
    pub fn close(&mut self) {
        self.store = None;
    }

    /// A copy of a closed world that goes its own way.
    pub fn fork(&self) -> Self {
        assert!(self.store.is_none(), "an open store cannot be copied");
        let folder = copy_of(self.folder.path());
        let server = self.server.fork();
        let store = open(folder.path(), &server.state().commits);
        Self {
            folder,
            store: Some(store),
            account: self.account,
            server,
            filter: self.filter.clone(),
            bodies: self.bodies.clone(),
        }
    }

    pub fn engine(&self) -> Engine {
        Engine::new(self.store().clone(), self.account, self.filter.clone()).keeping(self.bodies.clone())
    }

    /// One sync over a new connection.
    pub fn sync(&self) -> Result<Report, Error> {
        self.sync_at(NOW_MS)
    }

    /// One sync at that time.
    pub fn sync_at(&self, unix_ms: i64) -> Result<Report, Error> {
        self.sync_with(&self.engine(), unix_ms)
    }

    /// One sync by an engine that synced before.
    pub fn sync_with(&self, engine: &Engine, unix_ms: i64) -> Result<Report, Error> {
        let mut report = Report::default();
        let mut remote = self.server.connect();
        let clock = move || Timestamp::from_unix_ms(unix_ms);
        block_on(engine.sync_once(&mut remote, &clock, &mut report)).map(|()| report)
    }

    /// Syncs that must succeed, until one has nothing to do on either side.
    pub fn settle(&self) -> Report {
        self.server.state().cut = Cut::Never;
        let mut all = self.sync().expect("a sync");
        for _ in 0..5 {
            self.server.state().changes = 0;
            let again = self.sync().expect("a sync");
            let is_quiet = again == Report::default();
            assert!(!is_quiet || self.server.state().changes == 0, "a quiet sync changes nothing");
            all.add(again);
            if is_quiet {
                return all;
            }
        }
        panic!("it never gets quiet: {all}")
    }

    pub fn read<T>(&self, work: impl FnOnce(&Reader<'_>) -> StoreResult<T>) -> T {
        self.store().read(work).expect("a read")
    }

    pub fn write<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce(&mut Txn<'_>) -> StoreResult<T> + Send + 'static,
    ) -> T {
        self.try_write(origin, work).expect("a write")
    }

    pub fn try_write<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce(&mut Txn<'_>) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        self.store().write(origin, clock(), work)
    }

    pub fn mailbox(&self, text: &str) -> MailboxId {
        let account = self.account;
        self.read(|reader| reader.mailbox_named(account, &name(text))).unwrap_or_else(|| panic!("no {text}")).id
    }

    /// UIDs here of the messages with this subject, ascending.
    pub fn uids(&self, mailbox: &str, text: &str) -> Vec<LocalUid> {
        let mailbox = self.mailbox(mailbox);
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let messages = self.read(|reader| reader.messages_in(mailbox, &all, With::Summary));
        let subject = |message: &mailtide::store::Message| {
            let summary = message.summary.as_ref().expect("every message was read");
            String::from_utf8(summary.envelope.subject.clone().unwrap_or_default()).expect("an ASCII subject")
        };
        messages.iter().filter(|message| subject(message) == text).map(|message| message.uid).collect()
    }

    fn uid(&self, mailbox: &str, text: &str) -> LocalUid {
        *self.uids(mailbox, text).first().unwrap_or_else(|| panic!("no {text} in {mailbox}"))
    }

    pub fn append(&self, mailbox: &str, text: &str, set: &str) {
        let mut upload = self.store().upload();
        upload.write(&mail(text)).expect("an upload");
        let content = upload.finish().expect("an upload");
        let internal_date = InternalDate::new(2_000_000, 60);
        let new = NewMessage { content, flags: flags(set), internal_date, email_id: None };
        let mailbox = self.mailbox(mailbox);
        self.write(Origin::LocalUser, move |txn| txn.append(mailbox, &[new]).map(drop));
    }

    pub fn flag(&self, mailbox: &str, text: &str, add: &str, remove: &str) {
        let (uid, mailbox, add, remove) = (self.uid(mailbox, text), self.mailbox(mailbox), flags(add), flags(remove));
        self.write(Origin::LocalUser, move |txn| {
            if !add.is_empty() {
                txn.store_flags(mailbox, &[uid], &FlagChange::Add(add), None)?;
            }
            if !remove.is_empty() {
                txn.store_flags(mailbox, &[uid], &FlagChange::Remove(remove), None)?;
            }
            Ok(())
        });
    }

    pub fn move_message(&self, from: &str, text: &str, to: &str) {
        let (uid, from, to) = (self.uid(from, text), self.mailbox(from), self.mailbox(to));
        self.write(Origin::LocalUser, move |txn| txn.move_messages(from, &[uid], to).map(drop));
    }

    pub fn copy(&self, from: &str, text: &str, to: &str) {
        let (uid, from, to) = (self.uid(from, text), self.mailbox(from), self.mailbox(to));
        self.write(Origin::LocalUser, move |txn| txn.copy(from, &[uid], to).map(drop));
    }

    /// As a mail client does it: `\Deleted`, then EXPUNGE.
    pub fn expunge(&self, mailbox: &str, text: &str) {
        let uid = self.uid(mailbox, text);
        self.flag(mailbox, text, "\\Deleted", "");
        let mailbox = self.mailbox(mailbox);
        let uids: UidSet<LocalUid> = [uid].into_iter().collect();
        self.write(Origin::LocalUser, move |txn| txn.expunge(mailbox, Some(&uids)).map(drop));
    }

    pub fn create(&self, text: &str) {
        let (account, name) = (self.account, name(text));
        self.write(Origin::LocalUser, move |txn| txn.create_mailbox(account, &name, None).map(drop));
    }

    pub fn rename(&self, from: &str, to: &str) {
        let (account, from, to) = (self.account, name(from), name(to));
        self.write(Origin::LocalUser, move |txn| txn.rename_mailbox(account, &from, &to));
    }

    pub fn delete(&self, text: &str) {
        let (account, name) = (self.account, name(text));
        self.write(Origin::LocalUser, move |txn| txn.delete_mailbox(account, &name));
    }

    pub fn subscribe(&self, text: &str, subscribed: bool) {
        let (account, name) = (self.account, name(text));
        self.write(Origin::LocalUser, move |txn| txn.set_subscribed(account, &name, subscribed));
    }

    /// What is here: `mailbox: subject(flags) ...`, one line a mailbox, sorted.
    pub fn here(&self) -> String {
        let mut sides = BTreeMap::new();
        for mailbox in self.read(|reader| reader.mailboxes(self.account)) {
            let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
            let messages = self.read(|reader| reader.messages_in(mailbox.id, &all, With::Summary));
            let told = messages.into_iter().map(|message| {
                let bytes = match (message.content, &message.summary) {
                    (Some(content), _) => self.store().read_content(content, 0, usize::MAX).expect("bytes"),
                    (None, Some(summary)) => {
                        let subject = summary.envelope.subject.clone().expect("a subject");
                        mail(&String::from_utf8(subject).expect("an ASCII subject"))
                    }
                    (None, None) => panic!("nothing is here of a message"),
                };
                (bytes, message.flags.to_string())
            });
            let name = mailbox.name.expect("a name").to_string();
            sides.insert(name, (mailbox.subscribed, told.collect::<Vec<_>>()));
        }
        told(sides)
    }

    /// What is on the server, in the same form.
    pub fn there(&self) -> String {
        let state = self.server.state();
        let sides = state.mailboxes.iter().map(|(name, mailbox)| {
            let messages = mailbox.messages.values();
            let messages = messages.map(|message| (message.bytes.clone(), message.flags.to_string()));
            (name.replace('.', "/"), (mailbox.subscribed, messages.collect::<Vec<_>>()))
        });
        told(sides.collect())
    }

    /// Kinds of the conflicts recorded, sorted.
    pub fn conflicts(&self) -> Vec<String> {
        let conflicts = self.read(|reader| reader.conflicts(self.account));
        let mut kinds: Vec<String> = conflicts.into_iter().map(|conflict| conflict.what.kind).collect();
        kinds.sort();
        kinds
    }

    /// Reasons of the parked entries, and whatever else is open, in order.
    pub fn journal(&self) -> Vec<String> {
        let entries = self.read(|reader| reader.entries(self.account));
        let told = entries.into_iter().map(|entry| match entry.state {
            mailtide::journal::State::Parked { why, .. } => format!("parked: {why}"),
            state => format!("{:?} {state:?}", entry.op),
        });
        told.collect()
    }

    pub fn assert_sound(&self) {
        assert_eq!(check(self.store()).expect("a check"), Vec::<String>::new());
    }
}

/// Of one mailbox: is it subscribed to, and each message's bytes and flags.
type Content = (bool, Vec<(Vec<u8>, String)>);
type Side = BTreeMap<String, Content>;

fn told(sides: Side) -> String {
    let line = |(name, (subscribed, messages)): (String, Content)| {
        let mut words: Vec<String> = messages
            .into_iter()
            .map(|(bytes, flags)| {
                let text = String::from_utf8(bytes).expect("an ASCII message");
                let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a subject");
                assert_eq!(text.as_bytes(), mail(subject), "the bytes are those of the message");
                if flags.is_empty() { subject.to_owned() } else { format!("{subject}({flags})") }
            })
            .collect();
        words.sort();
        let star = if subscribed { "*" } else { "" };
        format!("{name}{star}: {}", words.join(" ")).trim_end().to_owned()
    };
    sides.into_iter().map(line).collect::<Vec<_>>().join("\n")
}
