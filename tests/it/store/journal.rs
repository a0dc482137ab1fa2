//! The journal on messages and mailboxes that upstream has: merging flags, the life of an entry, taking acts back; and
//! that `check` sees what is wrong.

use std::collections::BTreeSet;

use mailtide::journal::{Evidence, Op, State};
use mailtide::store::{Error, Executor, FlagChange, Origin, Store, Txn, With, check};
use mailtide::types::{
    AccountId, ContentHash, EntryId, Flags, LocalUid, MailboxId, MessageId, RemoteUid, UidSet, UidValidity,
};

use super::place::{Place, flags, message, name, now};

/// A store whose two mailboxes and three messages are all settled upstream.
struct Mirror {
    place: Place,
    store: Store,
    account: AccountId,
    inbox: MailboxId,
    work: MailboxId,
    messages: Vec<MessageId>,
}

impl Mirror {
    fn new() -> Self {
        let (place, store, account, inbox) = Place::with_inbox(Executor::Inline);
        let work = store
            .write(Origin::Upstream, now(), move |txn| {
                let work = txn.create_mailbox(account, &name("Work"), None)?;
                txn.link_mailbox(account, work, "Work")?;
                txn.link_mailbox(account, inbox, "INBOX")?;
                Ok(work)
            })
            .expect("mailboxes");
        let mut mirror = Self { place, store, account, inbox, work, messages: Vec::new() };
        for number in 1..=3 {
            mirror.place.append(&mirror.store, Origin::Upstream, inbox, &message(number, 300), "\\Flagged");
            let id = mirror.ids(inbox)[number - 1];
            let uid = RemoteUid::new(100 + number as u32);
            mirror.by(Origin::Upstream, move |txn| txn.bind(id, inbox, uid, &flags("\\Flagged"))).expect("a binding");
            mirror.messages.push(id);
        }
        mirror
    }

    fn by<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.store.write(origin, now(), work)
    }

    /// The user does something.
    fn user<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.by(Origin::LocalUser, work);
        self.sound();
        done
    }

    fn sound(&self) {
        assert_eq!(check(&self.store).expect("a check"), Vec::<String>::new());
    }

    fn ids(&self, mailbox: MailboxId) -> Vec<MessageId> {
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let rows = self.store.read(|reader| reader.messages_in(mailbox, &all, With::Columns)).expect("messages");
        rows.iter().map(|row| row.id).collect()
    }

    fn flags(&self, message: MessageId) -> Flags {
        self.store.read(|reader| reader.message(message)).expect("a read").expect("a message").flags
    }

    fn entries(&self) -> Vec<mailtide::journal::Entry> {
        self.store.read(|reader| reader.entries(self.account)).expect("a journal")
    }

    fn only_entry(&self) -> EntryId {
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].id
    }

    /// Everything that an act could have changed, but for UIDs.
    fn picture(&self) -> String {
        let read = self.store.read(|reader| {
            let mut lines = vec![format!("subscribed: {:?}", reader.subscriptions(self.account)?)];
            let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
            for mailbox in reader.mailboxes(self.account)? {
                lines.push(format!("{:?} {}", mailbox.name, mailbox.selectable));
                let mut rows = reader.messages_in(mailbox.id, &all, With::Columns)?;
                rows.sort_by_key(|row| row.id);
                lines.extend(rows.iter().map(|row| format!("  {} {}", row.id, row.flags)));
            }
            Ok(lines.join("\n"))
        });
        read.expect("a read")
    }
}

fn uids(numbers: &[u32]) -> Vec<LocalUid> {
    numbers.iter().copied().map(LocalUid::new).collect()
}

#[test]
fn what_both_sides_did_to_the_flags_is_merged_and_forgotten_once_settled() {
    let mirror = Mirror::new();
    let (inbox, id) = (mirror.inbox, mirror.messages[0]);
    mirror.user(move |txn| txn.store_flags(inbox, &uids(&[1]), &FlagChange::Add(flags("\\Seen x")), None)).expect("ok");
    mirror
        .user(move |txn| txn.store_flags(inbox, &uids(&[1]), &FlagChange::Remove(flags("\\Flagged")), None))
        .expect("ok");
    mirror.by(Origin::Upstream, move |txn| txn.observe_flags(id, &flags("\\Flagged \\Answered"))).expect("ok");
    assert_eq!(mirror.flags(id), flags("\\Answered \\Seen x"));
    mirror.sound();
    for entry in mirror.entries() {
        mirror
            .by(Origin::Upstream, move |txn| {
                txn.flags_stored(id, &flags("\\Seen x"), &flags("\\Flagged"))?;
                txn.settle(entry.id, &entry.open)
            })
            .expect("settled");
    }
    assert!(mirror.entries().is_empty());
    mirror.sound();
    // Nothing is unsettled any more: a removal upstream is simply taken over.
    mirror.by(Origin::Upstream, move |txn| txn.observe_flags(id, &flags("x"))).expect("ok");
    assert_eq!(mirror.flags(id), flags("x"));
    mirror.sound();
}

#[test]
fn an_asserted_flag_survives_its_removal_upstream() {
    let mirror = Mirror::new();
    let (inbox, ids) = (mirror.inbox, mirror.messages.clone());
    let flagged = || FlagChange::Add(flags("\\Flagged"));
    mirror.user(move |txn| txn.store_flags(inbox, &uids(&[1]), &flagged(), None)).expect("ok");
    for id in &ids[..2] {
        let id = *id;
        mirror.by(Origin::Upstream, move |txn| txn.observe_flags(id, &Flags::none())).expect("ok");
    }
    assert_eq!((mirror.flags(ids[0]), mirror.flags(ids[1])), (flags("\\Flagged"), flags("")));
    mirror.sound();
}

#[test]
fn an_entry_lives_until_the_last_of_its_messages_is_done() {
    let mirror = Mirror::new();
    let (inbox, work, ids) = (mirror.inbox, mirror.work, mirror.messages.clone());
    mirror.user(move |txn| txn.move_messages(inbox, &uids(&[1, 2, 3]), work)).expect("a move");
    let entry = mirror.only_entry();
    let state = |mirror: &Mirror| mirror.store.read(|reader| reader.entry(entry)).expect("an entry");
    assert_eq!(state(&mirror).op, Op::Move { messages: ids.clone(), from: inbox, to: work });
    let evidence = Evidence {
        target: work,
        target_uid_validity: UidValidity::new(7),
        target_uid_next: RemoteUid::new(12),
        source: None,
        messages: vec![(ids[0], Some(ContentHash::of(b"x")), 1)],
        flags: Vec::new(),
        settles: Vec::new(),
        unfinished: BTreeSet::new(),
    };
    let sent = evidence.clone();
    mirror.by(Origin::Upstream, move |txn| txn.mark_in_flight(&[entry], &sent)).expect("in flight");
    mirror.sound();
    // Durable: a program that starts now finds what was under way.
    let Mirror { place, store, .. } = mirror;
    drop(store);
    let store = place.open(Executor::Inline);
    let mirror = Mirror { store, place, account: AccountId::new(1), inbox, work, messages: ids.clone() };
    assert_eq!(state(&mirror).state, State::InFlight { evidence });
    let first = ids[0];
    mirror
        .by(Origin::Upstream, move |txn| {
            txn.bind(first, work, RemoteUid::new(12), &flags("\\Flagged"))?;
            txn.settle(entry, &[first])?;
            txn.reopen(entry, true)
        })
        .expect("partly done");
    assert_eq!((state(&mirror).open, state(&mirror).attempts), (ids[1..].to_vec(), 1));
    mirror.by(Origin::Upstream, move |txn| txn.park(entry, "refused")).expect("parked");
    assert_eq!(state(&mirror).state, State::Parked { why: "refused".to_owned(), doubt: None, retry: None });
    let overview = mirror.store.read(|reader| reader.overview(mirror.account)).expect("an overview");
    assert_eq!((overview.journal.parked, overview.journal.pending), (1, 0));
    mirror.by(Origin::LocalUser, move |txn| txn.retry(entry)).expect("again");
    assert!(matches!(mirror.by(Origin::LocalUser, move |txn| txn.retry(entry)), Err(Error::NoSuchEntry)), "not parked");
    for (id, uid) in [(ids[1], 13), (ids[2], 14)] {
        mirror
            .by(Origin::Upstream, move |txn| {
                txn.bind(id, work, RemoteUid::new(uid), &flags("\\Flagged"))?;
                txn.settle(entry, &[id])
            })
            .expect("done");
        mirror.sound();
    }
    assert!(mirror.entries().is_empty());
    for failed in [
        mirror.by(Origin::Upstream, move |txn| txn.settle_op(entry)),
        mirror.by(Origin::Upstream, move |txn| txn.park(entry, "x")),
        mirror.by(Origin::Upstream, move |txn| txn.discard(entry)),
    ] {
        assert!(matches!(failed, Err(Error::NoSuchEntry)), "{failed:?}");
    }
}

type Act = fn(&mut Txn<'_>, &Ids) -> Result<(), Error>;

/// The ids that an act needs.
#[derive(Clone, Copy)]
struct Ids {
    account: AccountId,
    inbox: MailboxId,
    work: MailboxId,
}

#[test]
fn a_discarded_act_leaves_everything_as_upstream_has_it() {
    let acts: [(&str, Act); 9] = [
        ("flags", |txn, at| {
            txn.store_flags(at.inbox, &uids(&[1, 2]), &FlagChange::Replace(flags("a")), None).map(drop)
        }),
        ("move", |txn, at| txn.move_messages(at.inbox, &uids(&[1, 3]), at.work).map(drop)),
        ("copy", |txn, at| txn.copy(at.inbox, &uids(&[1, 3]), at.work).map(drop)),
        ("expunge", |txn, at| txn.remove_messages(at.inbox, &UidSet::parse("2:3").expect("a set")).map(drop)),
        ("create", |txn, at| txn.create_mailbox(at.account, &name("New"), None).map(drop)),
        ("delete", |txn, at| txn.delete_mailbox(at.account, &name("Work"))),
        ("rename", |txn, at| txn.rename_mailbox(at.account, &name("Work"), &name("Play"))),
        ("rename INBOX", |txn, at| txn.rename_mailbox(at.account, &name("INBOX"), &name("Old"))),
        ("subscribe", |txn, at| txn.set_subscribed(at.account, &name("Work"), true)),
    ];
    for (what, act) in acts {
        let mirror = Mirror::new();
        let before = mirror.picture();
        let at = Ids { account: mirror.account, inbox: mirror.inbox, work: mirror.work };
        mirror.user(move |txn| act(txn, &at)).expect(what);
        assert_ne!(mirror.picture(), before, "{what}");
        // The last first: what it built on is still there.
        for entry in mirror.entries().into_iter().rev() {
            mirror.by(Origin::Upstream, move |txn| txn.discard(entry.id)).expect(what);
            mirror.sound();
        }
        assert_eq!(mirror.picture(), before, "{what}");
    }
}

#[test]
fn a_mailbox_deleted_with_its_messages_comes_back_when_that_is_discarded() {
    let mirror = Mirror::new();
    let (inbox, work, account) = (mirror.inbox, mirror.work, mirror.account);
    let ids = mirror.messages.clone();
    mirror.user(move |txn| txn.move_messages(inbox, &uids(&[1]), work)).expect("a move");
    let (entry, moved) = (mirror.only_entry(), ids[0]);
    mirror
        .by(Origin::Upstream, move |txn| {
            txn.bind(moved, work, RemoteUid::new(1), &flags("\\Flagged"))?;
            txn.settle(entry, &[moved])
        })
        .expect("done");
    let before = mirror.picture();
    mirror.user(move |txn| txn.delete_mailbox(account, &name("Work"))).expect("a deletion");
    assert!(!mirror.picture().contains("Work"));
    let entry = mirror.only_entry();
    let again = {
        mirror.user(move |txn| txn.create_mailbox(account, &name("Work"), None)).expect("another of the same name");
        mirror.entries()[1].id
    };
    mirror.by(Origin::Upstream, move |txn| txn.discard(entry)).expect("the two are one");
    assert!(mirror.by(Origin::Upstream, move |txn| txn.discard(again)).is_err(), "nothing is left to be made");
    assert_eq!(mirror.picture(), before);
    mirror.sound();
}

#[test]
fn what_is_being_sent_cannot_be_discarded() {
    let mirror = Mirror::new();
    let (account, work) = (mirror.account, mirror.work);
    mirror.user(move |txn| txn.set_subscribed(account, &name("Work"), true)).expect("ok");
    let entry = mirror.only_entry();
    let evidence = Evidence {
        target: work,
        target_uid_validity: UidValidity::new(7),
        target_uid_next: RemoteUid::new(12),
        source: None,
        messages: Vec::new(),
        flags: Vec::new(),
        settles: Vec::new(),
        unfinished: BTreeSet::new(),
    };
    mirror.by(Origin::Upstream, move |txn| txn.mark_in_flight(&[entry], &evidence)).expect("in flight");
    assert!(matches!(mirror.by(Origin::Upstream, move |txn| txn.discard(entry)), Err(Error::Cannot(_))));
}

#[test]
fn a_check_finds_what_is_wrong() {
    for (damage, rule) in [
        ("UPDATE message SET uid = 99 WHERE id = 1", "a UID is below its mailbox's UIDNEXT"),
        ("UPDATE mailbox SET highest_mod_seq = 1", "a mod-sequence is not above its mailbox's highest"),
        ("INSERT INTO expunged VALUES (1, 1, 1)", "an expunged UID names no message"),
        ("UPDATE mailbox SET name = NULL WHERE name = 'INBOX'", "an account has an INBOX"),
        ("UPDATE mailbox SET name = NULL WHERE name = 'Work'", "a deleted mailbox waits for its confirmation"),
        ("UPDATE mailbox SET uid_validity = 7", "a UIDVALIDITY is used once in an account"),
        ("UPDATE mailbox SET name = 'a//b' WHERE name = 'Work'", "a mailbox name is well formed"),
        ("UPDATE message SET size_bytes = 1 WHERE id = 2", "a message's size is its bytes' size"),
        ("UPDATE flag_block SET seen = present & ~seen", "a change of flags is in the journal"),
        ("UPDATE keyword_block SET block = 99", "flags are of a message"),
        ("UPDATE keyword_block SET bits = 0", "a message has one set of keywords"),
        (
            "INSERT INTO keyword_block SELECT mailbox_id, block, 'z', bits FROM keyword_block",
            "a message has one set of keywords",
        ),
        ("UPDATE message SET apart_flags = 1 WHERE id = 2", "a message has flags, in its place"),
        ("DELETE FROM flag_block", "a message has flags, in its place"),
        ("UPDATE flag_block SET draft = -1", "flags are of a message"),
        ("INSERT INTO message_mod_seq VALUES (1, 99, 1)", "flags are of a message"),
        ("UPDATE flag_block SET mod_seq = 0", "a change is found where its message is"),
        ("UPDATE message SET mailbox_id = 2, uid = 1 WHERE id = 3", "a message is elsewhere than upstream"),
        ("DELETE FROM remote_message WHERE message_id = 3", "a message that upstream does not have"),
        ("UPDATE message SET content_id = 99 WHERE id = 1", "references hold"),
        ("INSERT INTO flag_merge VALUES (3, x'00')", "flags are kept in two replicas only while unsettled"),
        ("DELETE FROM journal_message", "an entry about messages has some left"),
        ("UPDATE journal SET op = '{}'", "a journal entry can be read"),
        ("UPDATE journal SET kind = 'move'", "a journal entry's kind is its act's"),
        ("DELETE FROM content_place", "stored bytes are complete"),
        ("UPDATE content_place SET size_bytes = 1", "stored bytes are complete"),
    ] {
        let mirror = Mirror::new();
        let inbox = mirror.inbox;
        mirror.user(move |txn| txn.store_flags(inbox, &uids(&[1]), &FlagChange::Add(flags("y")), None)).expect("ok");
        let Mirror { place, store, .. } = mirror;
        drop(store);
        let conn = rusqlite::Connection::open(place.folder.path().join("mailtide.db")).expect("a database");
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; {damage}")).expect(damage);
        drop(conn);
        let found = check(&place.open(Executor::Inline)).expect("a check");
        assert!(found.iter().any(|what| what.starts_with(rule)), "{damage}: {found:?}");
    }
}
