//! What each act does, and what it leaves in the journal.

use mailtide::journal::Op;
use mailtide::store::{Arrival, Error, Executor, FlagChange, NewMessage, Origin, Store, Txn, With, check};
use mailtide::types::{AccountId, InternalDate, LocalUid, MailboxId, MessageId, ModSeq, RemoteUid, UidSet};

use super::place::{Place, flags, message, name, now};

/// A store with one account; every write by one origin.
struct Scene {
    place: Place,
    store: Store,
    account: AccountId,
    inbox: MailboxId,
    origin: Origin,
}

impl Scene {
    fn new(origin: Origin) -> Self {
        let (place, store, account, inbox) = Place::with_inbox(Executor::Inline);
        Self { place, store, account, inbox, origin }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.store.write(self.origin, now(), work);
        assert_eq!(check(&self.store).expect("a check"), Vec::<String>::new());
        done
    }

    fn append(&self, mailbox: MailboxId, number: usize, flags: &str) -> LocalUid {
        self.place.append(&self.store, self.origin, mailbox, &message(number, 200), flags)
    }

    fn create(&self, text: &str) -> MailboxId {
        let (account, name) = (self.account, name(text));
        self.write(move |txn| txn.create_mailbox(account, &name, None)).expect("a new mailbox")
    }

    fn names(&self) -> Vec<String> {
        let mailboxes = self.store.read(|reader| reader.mailboxes(self.account)).expect("a list");
        mailboxes
            .into_iter()
            .map(|mailbox| {
                let name = mailbox.name.expect("a listed mailbox has a name").to_string();
                if mailbox.selectable { name } else { format!("({name})") }
            })
            .collect()
    }

    /// "uid flags" of each message.
    fn messages(&self, mailbox: MailboxId) -> Vec<String> {
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let messages = self.store.read(|reader| reader.messages_in(mailbox, &all, With::Columns)).expect("messages");
        messages.iter().map(|message| format!("{} {}", message.uid, message.flags).trim().to_owned()).collect()
    }

    fn ops(&self) -> Vec<Op> {
        let entries = self.store.read(|reader| reader.entries(self.account)).expect("a journal");
        entries.into_iter().map(|entry| entry.op).collect()
    }

    /// The names of the acts in the journal.
    fn journal(&self) -> Vec<&'static str> {
        let name = |op: &Op| match op {
            Op::Flags { .. } => "flags",
            Op::Move { .. } => "move",
            Op::Copy { .. } => "copy",
            Op::Append { .. } => "append",
            Op::Expunge { .. } => "expunge",
            Op::CreateMailbox { .. } => "create",
            Op::RenameMailbox { .. } => "rename",
            Op::DeleteMailbox { .. } => "delete",
            Op::Subscribe { .. } => "subscribe",
        };
        self.ops().iter().map(name).collect()
    }
}

fn uids(numbers: &[u32]) -> Vec<LocalUid> {
    numbers.iter().copied().map(LocalUid::new).collect()
}

#[test]
fn only_the_users_acts_are_in_the_journal() {
    for (origin, expected) in [
        (Origin::LocalUser, &["create", "append", "flags", "copy", "move", "flags", "expunge", "subscribe"][..]),
        (Origin::Authority, &[]),
        (Origin::Upstream, &[]),
    ] {
        let scene = Scene::new(origin);
        let work = scene.create("Work");
        scene.append(scene.inbox, 1, "");
        let (inbox, account) = (scene.inbox, scene.account);
        let deleted = || FlagChange::Add(flags("\\Deleted"));
        scene.write(move |txn| txn.store_flags(inbox, &uids(&[1]), &FlagChange::Add(flags("x")), None)).expect("flags");
        scene.write(move |txn| txn.copy(inbox, &uids(&[1]), work)).expect("a copy");
        scene.write(move |txn| txn.move_messages(inbox, &uids(&[1]), work)).expect("a move");
        scene.write(move |txn| txn.store_flags(work, &uids(&[1]), &deleted(), None)).expect("flags");
        assert_eq!(scene.write(move |txn| txn.expunge(work, None)).expect("an expunge"), uids(&[1]));
        scene.write(move |txn| txn.set_subscribed(account, &name("Work"), true)).expect("a subscription");
        assert_eq!(scene.journal(), expected, "{origin:?}");
        assert_eq!(scene.messages(work), ["2 x"]);
        assert_eq!(scene.messages(inbox), [""; 0]);
        let gone = scene.store.read(|reader| reader.gone(account)).expect("a list");
        assert_eq!(gone.len(), usize::from(origin != Origin::Authority), "recoverable, but for refserver's");
    }
}

#[test]
fn a_failed_act_leaves_neither_change_nor_entry() {
    let scene = Scene::new(Origin::LocalUser);
    scene.append(scene.inbox, 1, "");
    let inbox = scene.inbox;
    let failed = scene.write(move |txn| {
        txn.store_flags(inbox, &uids(&[1]), &FlagChange::Add(flags("\\Seen")), None)?;
        Err::<(), _>(Error::ReadOnly)
    });
    assert!(matches!(failed, Err(Error::ReadOnly)));
    assert_eq!(scene.messages(inbox), ["1"]);
    assert_eq!(scene.journal(), ["append"]);
}

#[test]
fn a_mailbox_is_made_with_those_above_it() {
    let scene = Scene::new(Origin::LocalUser);
    scene.create("a/b/c");
    assert_eq!(scene.names(), ["INBOX", "a", "a/b", "a/b/c"]);
    assert_eq!(scene.journal(), ["create"; 3]);
    let account = scene.account;
    assert!(matches!(
        scene.write(move |txn| txn.create_mailbox(account, &name("a/b"), None)),
        Err(Error::AlreadyExists)
    ));
    assert!(matches!(
        scene.write(move |txn| txn.create_mailbox(account, &name("inbox"), None)),
        Err(Error::AlreadyExists)
    ));
}

#[test]
fn a_name_that_holds_upstreams_delimiter_is_refused_to_the_user_alone() {
    for (origin, allowed) in [(Origin::LocalUser, false), (Origin::Upstream, true)] {
        let scene = Scene::new(origin);
        let account = scene.account;
        scene.write(move |txn| txn.set_delimiter(account, Some('.'))).expect("a delimiter");
        let created = scene.write(move |txn| txn.create_mailbox(account, &name("v1.2"), None));
        assert_eq!(created.is_ok(), allowed, "{origin:?}: {created:?}");
    }
}

#[test]
fn a_mailbox_made_again_has_another_uid_validity() {
    let scene = Scene::new(Origin::Authority);
    let account = scene.account;
    let validity = |id| scene.store.read(move |reader| reader.mailbox(id)).expect("a mailbox").uid_validity;
    let first = validity(scene.create("Work"));
    scene.write(move |txn| txn.delete_mailbox(account, &name("Work"))).expect("a deletion");
    let second = validity(scene.create("Work"));
    assert!(second > first);
}

#[test]
fn deleting_a_mailbox_keeps_what_is_below_it() {
    let scene = Scene::new(Origin::LocalUser);
    let (top, account) = (scene.create("a"), scene.account);
    scene.create("a/b");
    scene.append(top, 1, "");
    let delete = |text: &'static str| scene.write(move |txn| txn.delete_mailbox(account, &name(text)));
    delete("a").expect("a deletion");
    assert_eq!(scene.names(), ["INBOX", "(a)", "a/b"]);
    assert!(matches!(delete("a"), Err(Error::HasChildren)));
    assert!(matches!(delete("INBOX"), Err(Error::Cannot(_))));
    assert!(matches!(delete("x"), Err(Error::NoSuchMailbox)));
    delete("a/b").expect("a deletion");
    assert_eq!(scene.store.read(|reader| reader.gone(account)).expect("a list")[0].from, "a");
    assert!(matches!(scene.store.read(|reader| reader.open(top)), Err(Error::NotSelectable)));
    scene.create("a");
    assert_eq!(scene.names(), ["INBOX", "a"], "it can be made again");
}

#[test]
fn a_rename_takes_everything_below_along() {
    let scene = Scene::new(Origin::LocalUser);
    let (deep, account) = (scene.create("a/b/c"), scene.account);
    scene.create("ab");
    scene.append(deep, 1, "\\Seen");
    let rename = |from: &'static str, to: &'static str| {
        scene.write(move |txn| txn.rename_mailbox(account, &name(from), &name(to)))
    };
    rename("a", "x/y").expect("a rename");
    assert_eq!(scene.names(), ["INBOX", "ab", "x", "x/y", "x/y/b", "x/y/b/c"]);
    assert_eq!(scene.messages(deep), ["1 \\Seen"]);
    assert!(matches!(rename("x", "x/z"), Err(Error::Cannot(_))));
    assert!(matches!(rename("x", "ab"), Err(Error::AlreadyExists)));
    assert!(matches!(rename("a", "b"), Err(Error::NoSuchMailbox)));
}

#[test]
fn renaming_inbox_moves_its_messages() {
    let scene = Scene::new(Origin::LocalUser);
    let (inbox, account) = (scene.inbox, scene.account);
    scene.append(inbox, 1, "\\Seen");
    scene.write(move |txn| txn.rename_mailbox(account, &name("INBOX"), &name("old"))).expect("a rename");
    assert_eq!(scene.names(), ["INBOX", "old"]);
    assert_eq!(scene.messages(inbox), [""; 0]);
    assert_eq!(scene.journal(), ["append", "create", "move"]);
    assert_eq!(scene.append(inbox, 2, ""), LocalUid::new(2), "no UID is used twice");
}

#[test]
fn a_repeated_addition_is_an_assertion_and_a_replacement_says_only_what_it_changes() {
    let scene = Scene::new(Origin::LocalUser);
    let inbox = scene.inbox;
    scene.append(inbox, 1, "\\Seen a");
    scene.append(inbox, 2, "b");
    let store = |change: FlagChange| {
        scene.write(move |txn| txn.store_flags(inbox, &uids(&[1, 2, 9]), &change, None)).expect("flags").now
    };
    store(FlagChange::Add(flags("\\Seen")));
    store(FlagChange::Remove(flags("a c")));
    store(FlagChange::Replace(flags("\\Seen b")));
    assert_eq!(scene.messages(inbox), ["1 \\Seen b", "2 \\Seen b"]);
    let said: Vec<String> = scene
        .ops()
        .into_iter()
        .filter_map(|op| match op {
            Op::Flags { messages, add, remove } => Some(format!("{} +{add} -{remove}", messages.len())),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["2 +\\Seen -", "1 + -a", "1 +b -"]);
}

#[test]
fn a_change_takes_a_mod_sequence_and_what_is_later_than_unchanged_since_is_left_alone() {
    let scene = Scene::new(Origin::LocalUser);
    let inbox = scene.inbox;
    scene.append(inbox, 1, "");
    scene.append(inbox, 2, "");
    let before = scene.store.read(|reader| reader.mailbox(inbox)).expect("a mailbox").highest_mod_seq;
    let seen = || FlagChange::Add(flags("\\Seen"));
    scene.write(move |txn| txn.store_flags(inbox, &uids(&[2]), &seen(), Some(before))).expect("flags");
    let stored = scene
        .write(move |txn| txn.store_flags(inbox, &uids(&[1, 2]), &FlagChange::Add(flags("x")), Some(before)))
        .expect("flags");
    assert_eq!(stored.modified, uids(&[2]));
    assert_eq!(scene.messages(inbox), ["1 x", "2 \\Seen"]);
    let same = scene.write(move |txn| txn.store_flags(inbox, &uids(&[2]), &seen(), None)).expect("flags");
    let changes = scene.store.read(|reader| reader.changes(inbox, before)).expect("changes");
    assert_eq!(changes.changed.len(), 2);
    assert_eq!(same.now[0].mod_seq, ModSeq::new(before.get() + 1), "what does not change keeps its mod-sequence");
    assert_eq!(changes.mailbox.highest_mod_seq, ModSeq::new(before.get() + 2));
}

/// Many flags are written at once, by the ids of the messages in a row: whatever stands between them is none of them.
#[test]
fn a_change_of_many_flags_changes_those_messages_alone() {
    let scene = Scene::new(Origin::Authority);
    let (inbox, work) = (scene.inbox, scene.create("Work"));
    for (number, flags) in
        ["", "\\Seen", "Red", "red", "\\Flagged Red", "\\Draft", "", "\\Answered"].into_iter().enumerate()
    {
        scene.append(inbox, number, flags);
        if number == 5 {
            scene.append(work, 100, "\\Draft");
        }
    }
    let mod_seqs = |mailbox| -> Vec<u64> {
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let messages = scene.store.read(|reader| reader.messages_in(mailbox, &all, With::Columns)).expect("messages");
        messages.iter().map(|message| message.mod_seq.get()).collect()
    };
    let change = |named: &'static [u32], change: FlagChange| {
        let before =
            (mod_seqs(inbox), scene.store.read(|reader| reader.mailbox(inbox)).expect("INBOX").highest_mod_seq);
        let stored = scene.write(move |txn| txn.store_flags(inbox, &uids(named), &change, None)).expect("ok");
        let changed: Vec<usize> = (1..=8).filter(|uid| mod_seqs(inbox)[uid - 1] != before.0[uid - 1]).collect();
        assert_eq!(stored.taken.map(ModSeq::get), (!changed.is_empty()).then_some(before.1.get() + 1));
        assert_eq!(
            stored.now.iter().map(|now| format!("{} {}", now.uid, now.flags).trim().to_owned()).collect::<Vec<_>>(),
            scene
                .messages(inbox)
                .into_iter()
                .enumerate()
                .filter_map(|(place, told)| {
                    named.contains(&(u32::try_from(place).expect("few") + 1)).then_some(told)
                })
                .collect::<Vec<_>>(),
        );
        let (of_work, since) = (scene.messages(work), ModSeq::new(before.1.get()));
        assert_eq!(of_work, ["1 \\Draft"]);
        let changes = scene.store.read(|reader| reader.changes(inbox, since)).expect("changes").changed;
        let found: Vec<usize> = changes.iter().map(|changed| changed.uid.get() as usize).collect();
        assert_eq!(found, changed);
        changed
    };
    assert_eq!(change(&[1, 2, 3, 4, 5, 7, 8], FlagChange::Add(flags("\\Flagged"))), [1, 2, 3, 4, 7, 8]);
    assert_eq!(change(&[1, 2, 3, 4, 5, 6], FlagChange::Add(flags("RED"))), [1, 2, 6]);
    assert_eq!(change(&[1, 2, 3, 4, 5, 6, 7, 8], FlagChange::Remove(flags("\\Answered \\Draft"))), [6, 8]);
    let all = [
        "1 \\Flagged RED",
        "2 \\Flagged \\Seen RED",
        "3 \\Flagged Red",
        "4 \\Flagged red",
        "5 \\Flagged Red",
        "6 RED",
        "7 \\Flagged",
        "8 \\Flagged",
    ];
    assert_eq!(scene.messages(inbox), all);
    assert_eq!(change(&[2, 3, 6, 7, 8], FlagChange::Replace(flags("\\Flagged"))), [2, 3, 6]);
    assert_eq!(change(&[1, 4, 5, 7], FlagChange::Replace(flags("\\Seen Red"))), [1, 4, 5, 7]);
    assert_eq!(change(&[1, 4, 5, 7], FlagChange::Replace(flags("\\Seen Red"))), [0; 0]);
}

#[test]
fn an_expunge_of_some_uids_leaves_the_other_deleted_ones() {
    let scene = Scene::new(Origin::LocalUser);
    let inbox = scene.inbox;
    for number in 1..=4 {
        scene.append(inbox, number, if number == 3 { "" } else { "\\Deleted" });
    }
    let some = UidSet::parse("2:3").expect("a set");
    let since = scene.store.read(|reader| reader.mailbox(inbox)).expect("a mailbox").highest_mod_seq;
    assert_eq!(scene.write(move |txn| txn.expunge(inbox, Some(&some))).expect("an expunge"), uids(&[2]));
    assert_eq!(scene.messages(inbox), ["1 \\Deleted", "3", "4 \\Deleted"]);
    assert_eq!(scene.store.read(|reader| reader.changes(inbox, since)).expect("changes").vanished, uids(&[2]));
    assert_eq!(scene.write(move |txn| txn.expunge(inbox, None)).expect("an expunge"), uids(&[1, 4]));
}

#[test]
fn what_is_gone_can_be_restored_as_a_new_message() {
    let scene = Scene::new(Origin::LocalUser);
    let inbox = scene.inbox;
    scene.append(inbox, 1, "\\Deleted \\Seen");
    scene.write(move |txn| txn.expunge(inbox, None)).expect("an expunge");
    let gone = scene.store.read(|reader| reader.gone(scene.account)).expect("a list").remove(0);
    assert_eq!((gone.from.as_str(), gone.why.as_str()), ("INBOX", "expunged"));
    scene.write(move |txn| txn.restore(gone.id, inbox)).expect("a restored message");
    assert_eq!(scene.messages(inbox), ["2 \\Seen"]);
    assert_eq!(scene.journal(), ["append", "expunge", "append"]);

    let again = scene.write(move |txn| txn.restore(gone.id, inbox));
    assert!(matches!(again, Err(Error::InPlace(id)) if id == gone.id), "{again:?}");
    assert_eq!(scene.messages(inbox), ["2 \\Seen"], "not doubled");
    let archive = scene.create("Archive");
    scene.write(move |txn| txn.restore(gone.id, archive)).expect("it is not there yet");
}

#[test]
fn an_open_mailbox_and_its_counts_are_of_one_moment() {
    let scene = Scene::new(Origin::LocalUser);
    let inbox = scene.inbox;
    ["\\Seen", "a", "\\Deleted b a", ""].iter().enumerate().for_each(|(number, flags)| {
        scene.append(inbox, number, flags);
    });
    let opened = scene.store.read(|reader| reader.open(inbox)).expect("an open mailbox");
    assert_eq!(*opened.uids, uids(&[1, 2, 3, 4]));
    assert_eq!(opened.first_unseen, Some(LocalUid::new(2)));
    assert_eq!(opened.keywords, flags("a b"));
    let next = opened.mailbox.uid_next;
    assert_eq!(scene.write(move |txn| txn.claim_recent(inbox, next)).expect("a claim"), LocalUid::new(1));
    scene.append(inbox, 9, "");
    let status = scene.store.read(|reader| reader.status(inbox)).expect("counts");
    assert_eq!((status.messages, status.recent, status.unseen, status.deleted), (5, 1, 4, 1));
    let sizes = scene.store.read(|reader| reader.sizes(inbox)).expect("sizes");
    assert_eq!(sizes.all_bytes, 5 * sizes.deleted_bytes, "of messages of one size, one is marked");
    let overview = scene.store.read(|reader| reader.overview(scene.account)).expect("an overview");
    assert_eq!((overview.mailboxes[0].messages, overview.mailboxes[0].pending, overview.journal.pending), (5, 5, 5));
}

#[test]
fn a_round_ends_for_its_account_alone() {
    let Scene { place, store, account, inbox, .. } = &Scene::new(Origin::Upstream);
    let other = place.account(store, "other");
    let accounts = [(*account, *inbox), (other, place.inbox(store, other))];
    for (_, inbox) in accounts {
        let content = place.upload(store, &message(1, 100));
        let internal_date = InternalDate::new(0, 0);
        let message = NewMessage { content, flags: flags(""), internal_date, email_id: None };
        let came = store.write(Origin::Upstream, now(), move |txn| {
            let account = txn.reader().mailbox(inbox)?.account;
            txn.link_mailbox(account, inbox, "INBOX")?;
            txn.arrive(inbox, &[Arrival { uid: RemoteUid::new(7), message, outline: None }], MessageId::new(0))
        });
        assert_eq!(came.expect("an arrival"), 1);
    }
    let mut fresh = [1, 1];
    for (nth, (account, _)) in accounts.into_iter().enumerate() {
        store.write(Origin::Upstream, now(), move |txn| txn.close_round(account)).expect("a write");
        fresh[nth] = 0;
        let count = |(account, _)| store.read(|reader| reader.count_fresh_arrivals(account)).expect("a read");
        assert_eq!(accounts.map(count), fresh);
    }
}
