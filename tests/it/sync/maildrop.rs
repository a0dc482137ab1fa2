//! Mail out of a maildrop, against a model of a server that names its messages as it likes and whose line breaks anywhere:
//! each message is here once, and gone there only when it is safe here and not to stay.

use std::sync::{Arc, Mutex};

use mailtide::store::{self, Executor, Options, Origin, Store, With};
use mailtide::sync::Report;
use mailtide::sync::maildrop::MaildropEngine;
use mailtide::sync::maildrop::seam::{Extent, LetterSink, Listed, Maildrop};
use mailtide::sync::remote::RemoteError;
use mailtide::types::{AccountId, BodyPolicy, Keep, LocalUid, MailboxName, Timestamp, UidSet};

pub(super) const START: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
pub(super) const DAY_MS: i64 = 24 * 3_600_000;

/// How a server names its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// As the standard wants it.
    Lasting,
    /// It does not know UIDL.
    Absent,
    /// It calls each by its number.
    Numbers,
    /// It calls each by another name every time.
    Changing,
    /// It calls all the same.
    Same,
}

pub(super) const ALL_IDS: [Ids; 5] = [Ids::Lasting, Ids::Absent, Ids::Numbers, Ids::Changing, Ids::Same];

#[derive(Debug, Clone)]
pub(super) struct Model {
    ids: Ids,
    pub(super) top: bool,
    /// What it gives whole has a header field of its own.
    pub(super) adds_field: bool,
    /// Sizes are told differently each time.
    sizes_vary: bool,
    /// Never gives this message.
    pub(super) withheld: Option<usize>,
    /// The line always breaks while it is sent.
    pub(super) poison: Option<usize>,
    pub(super) messages: Vec<(usize, String)>,
    next: usize,
    visits: usize,
    /// Bytes of messages sent.
    pub(super) sent: usize,
}

impl Model {
    pub(super) fn with(ids: Ids, count: usize) -> Shared {
        let mut model = Self {
            ids,
            top: true,
            adds_field: false,
            sizes_vary: false,
            withheld: None,
            poison: None,
            messages: Vec::new(),
            next: 0,
            visits: 0,
            sent: 0,
        };
        (0..count).for_each(|_| model.deliver());
        Arc::new(Mutex::new(model))
    }

    pub(super) fn deliver(&mut self) {
        self.next += 1;
        // All of one size.
        let text = format!("Subject: letter {:03}\r\n\r\nThe text of {:03}.\r\n", self.next, self.next);
        self.messages.push((self.next, text));
    }

    fn texts(&self) -> Vec<String> {
        self.messages.iter().map(|(_, text)| text.clone()).collect()
    }
}

pub(super) type Shared = Arc<Mutex<Model>>;

/// A visit, whose line breaks after `left` steps.
pub(super) struct Visit {
    server: Shared,
    open: Model,
    marked: Vec<usize>,
    left: usize,
    /// Whether the server still hears what was said last before the line broke.
    heard: bool,
}

fn lost() -> RemoteError {
    RemoteError::Lost { host: "pop.example".to_owned(), cause: "the line broke".to_owned() }
}

impl Visit {
    pub(super) fn to(server: &Shared, left: usize, heard: bool) -> Self {
        let mut model = server.lock().expect("no panic holds it");
        model.visits += 1;
        Self { server: server.clone(), open: model.clone(), marked: Vec::new(), left, heard }
    }

    fn step(&mut self) -> Result<(), RemoteError> {
        self.left = self.left.checked_sub(1).ok_or_else(lost)?;
        Ok(())
    }

    fn give(&mut self, number: u32, extent: Extent, sink: &mut dyn LetterSink) -> Result<(), RemoteError> {
        let (serial, mut text) = self.open.messages[number as usize - 1].clone();
        let header = extent == Extent::Header;
        if self.open.adds_field && !header {
            text.insert_str(0, "X-Read: yes\r\n");
        }
        self.step()?;
        if self.open.withheld == Some(serial) {
            sink.refused(number, "[SYS/PERM] it is broken".to_owned()).expect("room");
            return Ok(());
        }
        // Some give what follows the header as well.
        let end = if header { text.find("\r\n\r\n").expect("a header") + 4 + 3 } else { text.len() };
        self.server.lock().expect("no panic holds it").sent += if header { 0 } else { end };
        sink.begin(number).expect("room");
        for piece in text.as_bytes()[..end].chunks(32) {
            sink.write(piece).expect("room");
            if self.open.poison == Some(serial) && !header {
                return Err(lost());
            }
            self.step()?;
        }
        sink.end().expect("room");
        Ok(())
    }
}

impl Maildrop for Visit {
    fn gives_headers(&self) -> bool {
        self.open.top
    }

    async fn list(&mut self) -> Result<Vec<Listed>, RemoteError> {
        self.step()?;
        let visits = self.open.visits;
        let one = |(place, (serial, text)): (usize, &(usize, String))| Listed {
            number: u32::try_from(place + 1).expect("a few"),
            size_bytes: text.len() as u64 + if self.open.sizes_vary { visits as u64 } else { 0 },
            unique_id: match self.open.ids {
                Ids::Lasting => Some(format!("7.{serial}")),
                Ids::Absent => None,
                Ids::Numbers => Some((place + 1).to_string()),
                Ids::Changing => Some(format!("{visits}.{serial}")),
                Ids::Same => Some("same".to_owned()),
            },
        };
        Ok(self.open.messages.iter().enumerate().map(one).collect())
    }

    async fn fetch(&mut self, wanted: &[(u32, Extent)], sink: &mut dyn LetterSink) -> Result<(), RemoteError> {
        wanted.iter().try_for_each(|(number, extent)| self.give(*number, *extent, sink))
    }

    async fn delete(&mut self, numbers: &[u32]) -> Result<usize, RemoteError> {
        for number in numbers {
            self.step()?;
            self.marked.push(self.open.messages[*number as usize - 1].0);
        }
        Ok(numbers.len())
    }

    async fn leave(&mut self) -> Result<(), RemoteError> {
        let outcome = self.step();
        if outcome.is_ok() || self.heard {
            let marked = &self.marked;
            self.server.lock().expect("no panic holds it").messages.retain(|(serial, _)| !marked.contains(serial));
        }
        outcome
    }
}

pub(super) struct World {
    _folder: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) account: AccountId,
    pub(super) now: Timestamp,
    pub(super) bodies: BodyPolicy,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let store = Store::open(folder.path(), &options, START).expect("a store");
        let account = store.write(Origin::Upstream, START, |txn| txn.ensure_maildrop("me")).expect("an account");
        Self { _folder: folder, store, account, now: START, bodies: BodyPolicy::ALL }
    }

    pub(super) fn engine(&self, keep: Keep) -> MaildropEngine {
        MaildropEngine::new(self.store.clone(), self.account, keep).keeping(self.bodies.clone())
    }

    pub(super) async fn visit(&self, keep: Keep, mut visit: Visit) -> Result<Report, mailtide::sync::Error> {
        let (mut report, now) = (Report::default(), self.now);
        self.engine(keep).visit(&mut visit, &move || now, &|| false, &mut report).await.map(|_| report)
    }

    pub(super) async fn visit_well(&self, keep: Keep, server: &Shared) -> Report {
        self.visit(keep, Visit::to(server, usize::MAX, true)).await.expect("nothing is in the way")
    }

    pub(super) fn inbox(&self) -> Vec<String> {
        let mut contents = Vec::new();
        self.store
            .read(|reader| {
                let inbox = reader.mailbox_named(self.account, &MailboxName::inbox())?.expect("an INBOX");
                reader.for_each_message(inbox.id, &all(), With::Columns, |message| {
                    contents.extend(message.content);
                    Ok(())
                })
            })
            .expect("a sound store");
        let text = |content| self.store.read_content(content, 0, 10_000).expect("bytes");
        contents.into_iter().map(|content| String::from_utf8(text(content)).expect("text")).collect()
    }

    pub(super) fn delete_here(&self, uid: u32) {
        let account = self.account;
        let uids: UidSet<LocalUid> = std::iter::once(LocalUid::new(uid)).collect();
        self.store
            .write(Origin::LocalUser, self.now, move |txn| {
                let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?.expect("an INBOX");
                txn.remove_messages(inbox.id, &uids).map(drop)
            })
            .expect("the user may delete");
    }

    pub(super) fn assert_sound(&self) {
        assert_eq!(store::check(&self.store).expect("a readable store"), Vec::<String>::new());
        let entries = self.store.read(|reader| reader.entries(self.account)).expect("a readable store");
        assert!(entries.is_empty(), "nothing that is done here is for the server: {entries:?}");
    }
}

pub(super) fn all() -> UidSet<LocalUid> {
    UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX))
}

pub(super) fn texts(server: &Shared) -> Vec<String> {
    server.lock().expect("no panic holds it").texts()
}

pub(super) fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[tokio::test]
async fn a_line_that_breaks_anywhere_neither_loses_nor_doubles_however_the_server_names_its_messages() {
    for ids in ALL_IDS {
        for (top, heard) in [(true, true), (true, false), (false, true)] {
            for keep in [Keep::Always, Keep::Never] {
                for left in 0.. {
                    let told = format!("{ids:?}, top {top}, heard {heard}, {keep:?}, cut after {left}");
                    let (world, server) = (World::new(), Model::with(ids, 2));
                    server.lock().expect("no panic holds it").top = top;
                    let sent = texts(&server);
                    let whole = world.visit(keep, Visit::to(&server, left, heard)).await.is_ok();
                    // New mail meanwhile, whose number, and so its name, may be that of a message that went.
                    server.lock().expect("no panic holds it").deliver();
                    let sent = [sent, vec![texts(&server).pop().expect("just delivered")]].concat();
                    world.visit_well(keep, &server).await;
                    world.visit_well(keep, &server).await;
                    assert_eq!(sorted(world.inbox()), sent, "{told}");
                    let left_there = if keep == Keep::Always { sent } else { Vec::new() };
                    assert_eq!(texts(&server), left_there, "{told}");
                    world.assert_sound();
                    if whole {
                        break;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_known_is_not_fetched_again() {
    for ids in ALL_IDS {
        let (world, server) = (World::new(), Model::with(ids, 5));
        assert_eq!(world.visit_well(Keep::Always, &server).await.arrived, 5);
        let before = server.lock().expect("no panic holds it").sent;
        assert_eq!(world.visit_well(Keep::Always, &server).await, Report::default(), "{ids:?}");
        assert_eq!(server.lock().expect("no panic holds it").sent, before, "{ids:?}");
    }
}

#[tokio::test]
async fn a_message_at_which_the_line_always_breaks_is_left_for_later_and_the_others_come() {
    for ids in [Ids::Lasting, Ids::Absent] {
        let (mut world, server) = (World::new(), Model::with(ids, 4));
        server.lock().expect("no panic holds it").poison = Some(2);
        let try_once = async |world: &World| world.visit(Keep::Never, Visit::to(&server, usize::MAX, true)).await;
        try_once(&world).await.expect_err("the line breaks");
        assert_eq!(world.inbox().len(), 1, "{ids:?}");
        try_once(&world).await.expect_err("it breaks again");
        if ids == Ids::Lasting {
            assert_eq!(world.inbox().len(), 3, "the others are taken first");
        }
        while try_once(&world).await.is_err() {}
        assert_eq!((world.inbox().len(), texts(&server).len()), (3, 1), "{ids:?}");
        let postponed = world.store.read(|reader| reader.postponed(world.account)).expect("a sound store");
        assert!(postponed[0].why.contains("the line broke") && postponed[0].until > world.now, "{postponed:?}");
        server.lock().expect("no panic holds it").poison = None;
        world.now = postponed[0].until;
        world.visit_well(Keep::Never, &server).await;
        assert_eq!((world.inbox().len(), texts(&server).len()), (4, 0), "{ids:?}");
        assert_eq!(world.store.read(|reader| reader.postponed(world.account)).expect("a sound store"), []);
        world.assert_sound();
    }
}

#[tokio::test]
async fn a_name_given_to_another_message_of_the_same_size_hides_it_for_a_day_at_most() {
    let (mut world, server) = (World::new(), Model::with(Ids::Lasting, 1));
    world.visit_well(Keep::Always, &server).await;
    {
        let mut model = server.lock().expect("no panic holds it");
        model.deliver();
        model.messages.remove(0);
        model.messages[0].0 = 1;
    }
    let mut visits = 0;
    while world.inbox().len() < 2 {
        let (account, now) = (world.account, world.now);
        world.store.write(Origin::Upstream, now, move |txn| txn.set_sync_outcome(account, None)).expect("room");
        world.now = now.plus_ms(30 * 60_000);
        world.visit_well(Keep::Always, &server).await;
        visits += 1;
        assert!(visits <= 48, "a day is over");
    }
    let other = texts(&server).remove(0);
    assert!(world.inbox().contains(&other));
    assert_eq!(world.visit_well(Keep::Always, &server).await, Report::default(), "once");
    world.assert_sound();
}

#[tokio::test]
async fn a_message_stands_at_the_moment_at_which_its_server_got_it() {
    let (world, server) = (World::new(), Model::with(Ids::Lasting, 1));
    let fields = "Received: from a by b; Sun, 9 Sep 2001 01:46:40 +0000\r\n";
    server.lock().expect("no panic holds it").messages[0].1.insert_str(0, fields);
    server.lock().expect("no panic holds it").deliver();
    world.visit_well(Keep::Always, &server).await;
    let mut dates = Vec::new();
    world
        .store
        .read(|reader| {
            let inbox = reader.mailbox_named(world.account, &MailboxName::inbox())?.expect("an INBOX");
            reader.for_each_message(inbox.id, &all(), With::Columns, |message| {
                dates.push(message.internal_date.unix_seconds());
                Ok(())
            })
        })
        .expect("a sound store");
    assert_eq!(dates, [1_000_000_000, START.unix_seconds()]);
}

#[tokio::test]
async fn a_name_given_to_another_message_costs_neither_its_life() {
    for top in [true, false] {
        let (world, server) = (World::new(), Model::with(Ids::Lasting, 1));
        server.lock().expect("no panic holds it").top = top;
        world.visit_well(Keep::Always, &server).await;
        {
            // Another message, of the same size, by the same name.
            let mut model = server.lock().expect("no panic holds it");
            model.deliver();
            model.messages.remove(0);
            model.messages[0].0 = 1;
        }
        let other = texts(&server);
        world.visit_well(Keep::Never, &server).await;
        assert!(world.inbox().contains(&other[0]), "it is not what it is called");
        assert!(texts(&server).is_empty());
        world.assert_sound();
    }
}

#[tokio::test]
async fn how_long_mail_stays_there_is_as_the_configuration_says() {
    // (keep, after the first visit, after the user deleted one, after a week)
    for (keep, at_first, after_deleting, in_a_week) in [
        (Keep::Always, 3, 3, 3),
        (Keep::UntilDeleted, 3, 2, 2),
        (Keep::Days(7), 3, 3, 0),
        (Keep::Days(8), 3, 3, 3),
        (Keep::Never, 0, 0, 0),
    ] {
        for ids in ALL_IDS {
            let (mut world, server) = (World::new(), Model::with(ids, 3));
            let count = |server: &Shared| texts(server).len();
            world.visit_well(keep, &server).await;
            assert_eq!(count(&server), at_first, "{keep:?} {ids:?}");
            world.delete_here(2);
            world.visit_well(keep, &server).await;
            assert_eq!(count(&server), after_deleting, "{keep:?} {ids:?}");
            world.now = START.plus_ms(7 * DAY_MS);
            world.visit_well(keep, &server).await;
            assert_eq!(count(&server), in_a_week, "{keep:?} {ids:?}");
            assert_eq!(world.inbox().len(), 2, "what the user deleted does not come again: {keep:?} {ids:?}");
            world.assert_sound();
        }
    }
}

/// Mail programs without MOVE file a message by COPY, `\\Deleted` and EXPUNGE.
#[tokio::test]
async fn a_message_that_was_copied_before_it_was_deleted_stays_there_as_long_as_its_copy_here() {
    for ids in ALL_IDS {
        let (world, server) = (World::new(), Model::with(ids, 3));
        world.visit_well(Keep::UntilDeleted, &server).await;
        let account = world.account;
        let filed = world.store.write(Origin::LocalUser, world.now, move |txn| {
            let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?.expect("an INBOX").id;
            let archive = txn.create_mailbox(account, &MailboxName::parse("Filed").expect("a name"), None)?;
            txn.copy(inbox, &[LocalUid::new(2)], archive).map(|_| archive)
        });
        let filed = filed.expect("a copy");
        world.delete_here(2);
        world.visit_well(Keep::UntilDeleted, &server).await;
        assert_eq!((texts(&server).len(), world.inbox().len()), (3, 2), "{ids:?}");
        let uids: UidSet<LocalUid> = std::iter::once(LocalUid::new(1)).collect();
        world
            .store
            .write(Origin::LocalUser, world.now, move |txn| txn.remove_messages(filed, &uids).map(drop))
            .expect("the user may delete");
        world.visit_well(Keep::UntilDeleted, &server).await;
        assert_eq!((texts(&server).len(), world.inbox().len()), (2, 2), "{ids:?}");
        world.assert_sound();
    }
}

#[tokio::test]
async fn the_same_bytes_listed_twice_are_two_messages_and_sizes_that_vary_are_no_sign_of_others() {
    let (world, server) = (World::new(), Model::with(Ids::Lasting, 2));
    {
        let mut model = server.lock().expect("no panic holds it");
        model.messages[1].1 = model.messages[0].1.clone();
        model.sizes_vary = true;
    }
    for _ in 0..3 {
        world.visit_well(Keep::Always, &server).await;
        assert_eq!(world.inbox().len(), 2);
    }
    world.visit_well(Keep::Never, &server).await;
    assert_eq!((world.inbox().len(), texts(&server).len()), (2, 0));
    world.assert_sound();
}

#[tokio::test]
async fn a_message_that_the_server_does_not_give_waits_and_the_others_go_on() {
    let (mut world, server) = (World::new(), Model::with(Ids::Lasting, 3));
    server.lock().expect("no panic holds it").withheld = Some(2);
    let report = world.visit_well(Keep::Never, &server).await;
    assert_eq!((report.arrived, report.skipped, report.expunged), (2, 1, 2));
    assert_eq!(texts(&server).len(), 1, "nothing is deleted that is not here");
    let postponed = world.store.read(|reader| reader.postponed(world.account)).expect("a store");
    assert_eq!(postponed[0].unique_id, "7.2");
    assert!(postponed[0].why.contains("it is broken") && postponed[0].until > world.now);
    // It is given now, and asked for when it is time.
    server.lock().expect("no panic holds it").withheld = None;
    assert_eq!(world.visit_well(Keep::Never, &server).await.arrived, 0);
    world.now = START.plus_ms(DAY_MS);
    assert_eq!(world.visit_well(Keep::Never, &server).await.arrived, 1);
    assert!(world.store.read(|reader| reader.postponed(world.account)).expect("a store").is_empty());
    assert_eq!((world.inbox().len(), texts(&server).len()), (3, 0));
    world.assert_sound();
}

#[tokio::test]
async fn an_account_is_a_mirror_or_a_maildrop() {
    let (world, server) = (World::new(), Model::with(Ids::Lasting, 1));
    world.visit_well(Keep::Always, &server).await;
    let other = world.store.write(Origin::Upstream, START, |txn| txn.ensure_account("me"));
    let other = other.expect_err("it holds mail taken by POP3").to_string();
    assert_eq!(other, "the account \"me\" took its mail by POP3 up to now; give the one with imap another name");
    let same = world.store.write(Origin::Upstream, START, |txn| txn.ensure_maildrop("me"));
    assert_eq!(same.expect("the same"), world.account);
}
