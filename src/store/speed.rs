//! What must not grow slow with the mailbox, counted in steps of SQLite's machine, which no other program's load changes.
//!
//! Each call is made on a mailbox and on one of [`TIMES`] as many messages. What is asked of a fixed number of messages
//! must take the same steps on both; what reads the whole mailbox, so many times as many.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::contents::Contents;
use super::fate::Fair;
use super::files::{self, Files};
use super::{
    Arrival, Executor, FlagChange, ListedMailbox, NewMessage, Options, Origin, Result, Sieve, Store, Txn, With,
};
use crate::message::KeysRead;
use crate::message::search::Query;
use crate::types::{
    AccountId, ContentId, Flag, Flags, InternalDate, LocalUid, MailboxId, MailboxName, MessageId, ModSeq, RemoteUid,
    SystemFlag, Timestamp, UidSet,
};

const FEW: u32 = 500;
const TIMES: u32 = 8;
/// Of a mailbox, whatever its size.
const SOME: u32 = 100;
const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

/// A mailbox whose store counts its steps.
struct Mail {
    hot: Connection,
    contents: Contents,
    at: Place,
    steps: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

/// What the calls need to know.
#[derive(Clone, Copy)]
struct Place {
    account: AccountId,
    inbox: MailboxId,
    /// When all was filled in.
    since: ModSeq,
}

impl Mail {
    fn of(messages: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let at = fill(&Store::open(folder.path(), &options, NOW).expect("a store"), messages);
        let files = Files::of(folder.path());
        let contents = Contents::open(folder.path(), None, Arc::new(Fair)).expect("contents");
        let mut hot = files::open_writing(&files, &options, contents.packs()).expect("a database");
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        hot.progress_handler(1, Some(count)).expect("a handler");
        Self { hot, contents, at, steps, _folder: folder }
    }

    /// The steps of one call, which is committed.
    fn steps_of(&mut self, call: Act) -> u64 {
        let transaction = self.hot.transaction().expect("a transaction");
        let before = self.steps.load(Ordering::Relaxed);
        call(&mut Txn::new(&transaction, &self.contents, Origin::LocalUser, NOW), self.at).expect("a call");
        let steps = self.steps.load(Ordering::Relaxed) - before;
        transaction.commit().expect("a commit");
        steps
    }
}

fn fill(store: &Store, messages: u32) -> Place {
    let account = store.write(Origin::Authority, NOW, |txn| txn.ensure_account("me")).expect("an account");
    let inbox = MailboxName::parse("INBOX").expect("a name");
    let inbox = store.read(|reader| reader.mailbox_named(account, &inbox)).expect("a read").expect("an INBOX").id;
    let new = (0..messages).map(|number| {
        // Bytes of their own for each.
        let mut upload = store.upload();
        upload.write(format!("Message-ID: <{number}@count.example>\r\n\r\nbody\r\n").as_bytes()).expect("room");
        NewMessage {
            content: upload.finish().expect("room"),
            flags: flags("\\Seen"),
            internal_date: InternalDate::new(0, 0),
            email_id: Some(number.to_string()),
        }
    });
    let listed = ListedMailbox {
        remote_name: "INBOX".to_owned(),
        name: MailboxName::inbox(),
        special_use: None,
        selectable: true,
        subscribed: false,
        is_wanted: true,
        uid_validity: None,
        uid_next: None,
        rights: None,
    };
    store.write(Origin::Upstream, NOW, move |txn| txn.take_listing(account, &[listed], "*")).expect("a listing");
    let uids = (1..).map(RemoteUid::new);
    let new: Vec<Arrival> = uids.zip(new).map(|(uid, message)| Arrival { uid, message, outline: None }).collect();
    let came =
        move |txn: &mut Txn<'_>| txn.arrive(inbox, &new, MessageId::new(0)).and_then(|_| txn.close_round(account));
    store.write(Origin::Upstream, NOW, came).expect("mail");
    let since = store.read(|reader| reader.mailbox(inbox)).expect("a read").highest_mod_seq;
    Place { account, inbox, since }
}

fn flags(text: &str) -> Flags {
    text.split_whitespace().filter_map(Flag::parse).collect()
}

fn some() -> Vec<LocalUid> {
    (1..=SOME).map(|number| LocalUid::new(number * 4)).collect()
}

type Act = fn(&mut Txn<'_>, Place) -> Result<()>;

/// What came last waits, as if it may be another, moved.
fn with_a_waiting_one(txn: &mut Txn<'_>, call: impl FnOnce(&mut Txn<'_>) -> Result<()>) -> Result<()> {
    txn.conn().execute("INSERT INTO remote_arrival (message_id, waits) SELECT max(id), 1 FROM message", [])?;
    call(txn)?;
    txn.conn().execute("DELETE FROM remote_arrival", [])?;
    Ok(())
}

/// What is called, whether it looks at the whole mailbox, and how.
const CALLS: &[(&str, bool, Act)] = &[
    ("open", true, |txn, at| txn.reader().open(at.inbox).map(drop)),
    ("status", true, |txn, at| txn.reader().status(at.inbox).map(drop)),
    ("sizes", true, |txn, at| txn.reader().sizes(at.inbox).map(drop)),
    ("overview", true, |txn, at| txn.reader().overview(at.account).map(drop)),
    ("no changes", false, |txn, at| txn.reader().changes(at.inbox, at.since).map(drop)),
    ("some rows", false, |txn, at| txn.reader().messages(at.inbox, &some(), With::Columns).map(drop)),
    ("some summaries", false, |txn, at| txn.reader().messages(at.inbox, &some(), With::Summary).map(drop)),
    ("some messages' flags", false, |txn, at| txn.reader().flags(at.inbox, &some()).map(drop)),
    ("some sort keys", false, |txn, at| txn.reader().keyed(at.inbox, &some(), KeysRead::All).map(drop)),
    ("a Message-ID", false, |txn, _| txn.reader().messages_with_message_id(b"<7@count.example>").map(drop)),
    ("the unseen, where few are", false, |txn, at| {
        let unseen = Query::Not(Box::new(Query::Has(SystemFlag::Seen.into())));
        let (sieve, _) = Sieve::split(&unseen).expect("a question about flags");
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        txn.reader().sifted(at.inbox, &all, &sieve).map(drop)
    }),
    ("bytes that upstream may have had", false, |txn, at| {
        let last = txn.reader().last_message()?;
        txn.reader().had_upstream(at.account, ContentId::new(last.get()), None, last).map(drop)
    }),
    ("a header that upstream may have had", false, |txn, at| {
        let last = txn.reader().last_message()?;
        txn.reader().had_upstream(at.account, ContentId::new(last.get()), Some(7), last).map(drop)
    }),
    ("the same by its identity", false, |txn, _| {
        let last = txn.reader().last_message()?;
        txn.reader().twins_by_email_id(last).map(drop)
    }),
    ("the same elsewhere", false, |txn, _| {
        let last = txn.reader().last_message()?;
        txn.reader().is_held_elsewhere(last, &BTreeSet::new()).map(drop)
    }),
    ("the same in a mailbox", false, |txn, at| {
        let last = txn.reader().last_message()?;
        txn.reader().is_in(last, at.inbox).map(drop)
    }),
    ("no arrivals to count", false, |txn, at| txn.reader().count_fresh_arrivals(at.account).map(drop)),
    ("no arrivals", false, |txn, at| txn.reader().fresh_arrivals(at.account).map(drop)),
    ("an arrival", false, |txn, at| with_a_waiting_one(txn, |txn| txn.reader().fresh_arrivals(at.account).map(drop))),
    ("an arrival's twins", false, |txn, at| {
        with_a_waiting_one(txn, |txn| txn.reader().mailboxes_of_twins(at.account).map(drop))
    }),
    ("an arrival's late twins", false, |txn, at| {
        with_a_waiting_one(txn, |txn| txn.reader().mailboxes_of_late_twins(at.account).map(drop))
    }),
    ("a round closed, nothing came", false, |txn, at| txn.close_round(at.account)),
    ("some flags", false, |txn, at| {
        let change = FlagChange::Add(flags("\\Deleted $Work"));
        txn.store_flags(at.inbox, &some(), &change, None).map(drop)
    }),
    ("some changes", false, |txn, at| txn.reader().changes(at.inbox, at.since).map(drop)),
    ("some expunged", false, |txn, at| {
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        txn.expunge(at.inbox, Some(&all)).map(drop)
    }),
];

#[test]
fn what_is_asked_of_a_mailbox_takes_no_more_steps_than_it_must() {
    let (mut small, mut large) = (Mail::of(FEW), Mail::of(FEW * TIMES));
    for (what, reads_all, call) in CALLS {
        let (few, many) = (small.steps_of(*call), large.steps_of(*call));
        let most = if *reads_all { few * u64::from(TIMES) } else { few };
        assert!(many <= most + most / 10, "{what}: {few} steps, {many} with {TIMES} times the mail");
    }
}
