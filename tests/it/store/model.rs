//! The store against a model: any sequence of acts leaves the same mailboxes, the same messages, the same flags, and a
//! sound store; a session that follows the changes ends with the same list as one that opens anew.

use std::collections::BTreeMap;

use mailtide::store::{Error, Executor, FlagChange, Origin, Store, With, check};
use mailtide::types::{AccountId, Flags, LocalUid, MailboxId, MailboxName, ModSeq, UidSet};
use proptest::collection::vec;
use proptest::prelude::*;

use super::place::{Place, flags, message, name, now};

const NAMES: [&str; 5] = ["INBOX", "a", "a/b", "c", "c/d/e"];
const FLAGS: [&str; 5] = ["\\Seen", "\\Deleted", "\\Deleted $Work", "\\Flagged x", ""];

#[derive(Debug, Clone)]
enum Act {
    Create(usize),
    Delete(usize),
    Rename(usize, usize),
    Append(usize, usize),
    Store(usize, Vec<u32>, Change),
    Copy(usize, Vec<u32>, usize),
    Move(usize, Vec<u32>, usize),
    Expunge(usize, Option<Vec<u32>>),
    Reopen,
}

#[derive(Debug, Clone)]
enum Change {
    Add(usize),
    Remove(usize),
    Replace(usize),
}

fn acts() -> impl Strategy<Value = Act> {
    let place = || 0..NAMES.len();
    let uids = || vec(1_u32..8, 0..4);
    let change = prop_oneof![
        (0..FLAGS.len()).prop_map(Change::Add),
        (0..FLAGS.len()).prop_map(Change::Remove),
        (0..FLAGS.len()).prop_map(Change::Replace),
    ];
    prop_oneof![
        2 => place().prop_map(Act::Create),
        1 => place().prop_map(Act::Delete),
        1 => (place(), place()).prop_map(|(from, to)| Act::Rename(from, to)),
        5 => (place(), 0..FLAGS.len()).prop_map(|(place, flags)| Act::Append(place, flags)),
        4 => (place(), uids(), change).prop_map(|(place, uids, change)| Act::Store(place, uids, change)),
        3 => (place(), uids(), place()).prop_map(|(from, uids, to)| Act::Copy(from, uids, to)),
        3 => (place(), uids(), place()).prop_map(|(from, uids, to)| Act::Move(from, uids, to)),
        2 => (place(), proptest::option::of(uids())).prop_map(|(place, uids)| Act::Expunge(place, uids)),
        1 => Just(Act::Reopen),
    ]
}

/// A message of the model: the number of its bytes, its flags.
type Letter = (usize, Flags);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Folder {
    selectable: bool,
    uid_next: u32,
    letters: BTreeMap<u32, Letter>,
}

#[derive(Default)]
struct Model {
    folders: BTreeMap<MailboxName, Folder>,
    appended: usize,
}

impl Model {
    fn open(&mut self, name: &MailboxName) -> Option<&mut Folder> {
        self.folders.get_mut(name).filter(|folder| folder.selectable)
    }

    fn has_below(&self, name: &MailboxName) -> bool {
        self.folders.keys().any(|other| other.is_below(name))
    }

    fn create(&mut self, name: &MailboxName) -> bool {
        if self.open(name).is_some() {
            return false;
        }
        if let Some(parent) = name.parent().filter(|parent| !self.folders.contains_key(parent)) {
            self.create(&parent);
        }
        let folder = self.folders.entry(name.clone()).or_insert_with(|| Folder { uid_next: 1, ..Folder::default() });
        folder.selectable = true;
        true
    }

    fn delete(&mut self, name: &MailboxName) -> bool {
        let has_below = self.has_below(name);
        let Some(folder) = self.folders.get_mut(name).filter(|_| !name.is_inbox()) else { return false };
        if has_below {
            folder.letters.clear();
            return std::mem::replace(&mut folder.selectable, false);
        }
        self.folders.remove(name).is_some()
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> bool {
        if !self.folders.contains_key(from) || self.folders.contains_key(to) {
            return false;
        }
        if from.is_inbox() {
            self.create(to);
            let uids = self.folders[from].letters.keys().copied().collect::<Vec<_>>();
            return self.transfer(from, &uids, to, true);
        }
        if to.is_below(from) {
            return false;
        }
        let moved: Vec<_> =
            self.folders.keys().filter_map(|name| Some((name.clone(), name.rebased(from, to)?))).collect();
        if moved.iter().any(|(_, new)| self.folders.contains_key(new)) {
            return false;
        }
        if let Some(parent) = to.parent().filter(|parent| !self.folders.contains_key(parent)) {
            self.create(&parent);
        }
        for (old, new) in moved {
            let folder = self.folders.remove(&old).expect("it was listed");
            self.folders.insert(new, folder);
        }
        true
    }

    fn transfer(&mut self, from: &MailboxName, uids: &[u32], to: &MailboxName, leave: bool) -> bool {
        if self.open(to).is_none() {
            return false;
        }
        let Some(source) = self.open(from) else { return false };
        let mut letters: Vec<(u32, Letter)> = Vec::new();
        for (uid, letter) in &source.letters {
            if uids.contains(uid) {
                letters.push((*uid, letter.clone()));
            }
        }
        if leave {
            letters.iter().for_each(|(uid, _)| drop(source.letters.remove(uid)));
        }
        let target = self.open(to).expect("it was open");
        for (_, letter) in letters {
            target.letters.insert(target.uid_next, letter);
            target.uid_next += 1;
        }
        true
    }
}

/// A session that follows a mailbox by its changes.
struct Follower {
    since: ModSeq,
    messages: BTreeMap<LocalUid, Flags>,
}

struct World {
    place: Place,
    store: Option<Store>,
    account: AccountId,
    origin: Origin,
    model: Model,
    followers: BTreeMap<MailboxId, Follower>,
}

impl World {
    fn new(origin: Origin) -> Self {
        let place = Place::new();
        let store = place.open(Executor::Inline);
        let account = place.account(&store, "me");
        let mut model = Model::default();
        model.create(&name("INBOX"));
        Self { place, store: Some(store), account, origin, model, followers: BTreeMap::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open between acts")
    }

    fn id(&self, place: usize) -> Option<MailboxId> {
        let found = self.store().read(|reader| reader.mailbox_named(self.account, &name(NAMES[place])));
        found.expect("a read").map(|mailbox| mailbox.id)
    }

    /// Does the act on both; both must agree on whether it can be done.
    fn act(&mut self, act: &Act) {
        let account = self.account;
        let (expected, done) = match act.clone() {
            Act::Create(place) => {
                let name = name(NAMES[place]);
                (self.model.create(&name), self.write(move |txn| txn.create_mailbox(account, &name, None).map(drop)))
            }
            Act::Delete(place) => {
                let name = name(NAMES[place]);
                (self.model.delete(&name), self.write(move |txn| txn.delete_mailbox(account, &name)))
            }
            Act::Rename(from, to) => {
                let (from, to) = (name(NAMES[from]), name(NAMES[to]));
                (self.model.rename(&from, &to), self.write(move |txn| txn.rename_mailbox(account, &from, &to)))
            }
            Act::Append(place, text) => self.append(place, FLAGS[text]),
            Act::Store(place, uids, change) => self.change_flags(place, uids, &change),
            Act::Copy(from, uids, to) => self.transfer(from, uids, to, false),
            Act::Move(from, uids, to) => self.transfer(from, uids, to, true),
            Act::Expunge(place, uids) => self.expunge(place, uids),
            Act::Reopen => {
                self.store = None;
                self.store = Some(self.place.open(Executor::Inline));
                (true, Ok(()))
            }
        };
        assert_eq!(done.is_ok(), expected, "{act:?}: {done:?}");
    }

    fn write(
        &self,
        work: impl FnOnce(&mut mailtide::store::Txn<'_>) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        self.store().write(self.origin, now(), work)
    }

    fn append(&mut self, place: usize, text: &'static str) -> (bool, Result<(), Error>) {
        // Every third message has the bytes of an earlier one.
        let number = self.model.appended / 3;
        self.model.appended += 1;
        let content = self.place.upload(self.store(), &message(number, 300));
        let expected = match self.model.open(&name(NAMES[place])) {
            Some(folder) => {
                folder.letters.insert(folder.uid_next, (number, flags(text)));
                folder.uid_next += 1;
                true
            }
            None => false,
        };
        let Some(mailbox) = self.id(place) else { return (expected, Err(Error::NoSuchMailbox)) };
        let new = mailtide::store::NewMessage {
            content,
            flags: flags(text),
            internal_date: mailtide::types::InternalDate::new(7, 0),
            email_id: None,
        };
        (expected, self.write(move |txn| txn.append(mailbox, &[new]).map(drop)))
    }

    fn change_flags(&mut self, place: usize, uids: Vec<u32>, change: &Change) -> (bool, Result<(), Error>) {
        let expected = self.model.open(&name(NAMES[place])).map(|folder| {
            for (uid, (_, letter)) in &mut folder.letters {
                if uids.contains(uid) {
                    *letter = match change {
                        Change::Add(text) => letter.union(&flags(FLAGS[*text])),
                        Change::Remove(text) => letter.difference(&flags(FLAGS[*text])),
                        Change::Replace(text) => flags(FLAGS[*text]),
                    };
                }
            }
        });
        let change = match change {
            Change::Add(text) => FlagChange::Add(flags(FLAGS[*text])),
            Change::Remove(text) => FlagChange::Remove(flags(FLAGS[*text])),
            Change::Replace(text) => FlagChange::Replace(flags(FLAGS[*text])),
        };
        let Some(mailbox) = self.id(place) else { return (expected.is_some(), Err(Error::NoSuchMailbox)) };
        let uids: Vec<_> = uids.into_iter().map(LocalUid::new).collect();
        let done = self.write(move |txn| txn.store_flags(mailbox, &uids, &change, None).map(drop));
        (expected.is_some(), done)
    }

    fn transfer(&mut self, from: usize, uids: Vec<u32>, to: usize, leave: bool) -> (bool, Result<(), Error>) {
        let can_open_from = self.model.open(&name(NAMES[from])).is_some();
        let expected = self.model.transfer(&name(NAMES[from]), &uids, &name(NAMES[to]), leave);
        let (Some(source), Some(target)) = (self.id(from), self.id(to)) else {
            return (expected, Err(Error::NoSuchMailbox));
        };
        if !can_open_from {
            return (expected, Err(Error::NotSelectable));
        }
        let uids: Vec<_> = uids.into_iter().map(LocalUid::new).collect();
        let done = self.write(move |txn| match leave {
            true => txn.move_messages(source, &uids, target).map(drop),
            false => txn.copy(source, &uids, target).map(drop),
        });
        (expected, done)
    }

    fn expunge(&mut self, place: usize, uids: Option<Vec<u32>>) -> (bool, Result<(), Error>) {
        let deleted = flags("\\Deleted");
        let expected = self.model.open(&name(NAMES[place])).map(|folder| {
            folder.letters.retain(|uid, (_, letter)| {
                !deleted.difference(letter).is_empty() || uids.as_ref().is_some_and(|uids| !uids.contains(uid))
            });
        });
        let Some(mailbox) = self.id(place) else { return (expected.is_some(), Err(Error::NoSuchMailbox)) };
        let uids: Option<UidSet<LocalUid>> = uids.map(|uids| uids.into_iter().map(LocalUid::new).collect());
        (expected.is_some(), self.write(move |txn| txn.expunge(mailbox, uids.as_ref()).map(drop)))
    }

    fn compare(&mut self) {
        assert_eq!(check(self.store()).expect("a check"), Vec::<String>::new());
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let mut folders = BTreeMap::new();
        for mailbox in self.store().read(|reader| reader.mailboxes(self.account)).expect("a list") {
            let messages = self.store().read(|reader| reader.messages_in(mailbox.id, &all, With::Summary));
            let mut letters = BTreeMap::new();
            for message in messages.expect("messages") {
                let subject = message.summary.expect("a summary").envelope.subject.clone().expect("a subject");
                let subject = String::from_utf8(subject).expect("ASCII");
                let number = subject.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
                letters.insert(message.uid.get(), (number, message.flags));
            }
            if mailbox.selectable {
                self.follow(mailbox.id, &letters);
            }
            let folder = Folder { selectable: mailbox.selectable, uid_next: mailbox.uid_next.get(), letters };
            folders.insert(mailbox.name.expect("a listed mailbox has a name"), folder);
        }
        assert_eq!(folders, self.model.folders);
    }

    fn follow(&mut self, mailbox: MailboxId, letters: &BTreeMap<u32, Letter>) {
        let (since, mut messages) = match self.followers.remove(&mailbox) {
            Some(follower) => (follower.since, follower.messages),
            None => (ModSeq::new(0), BTreeMap::new()),
        };
        let changes = self.store().read(|reader| reader.changes(mailbox, since)).expect("changes");
        messages.extend(changes.changed.into_iter().map(|changed| (changed.uid, changed.flags)));
        changes.vanished.iter().for_each(|uid| drop(messages.remove(uid)));
        let now: BTreeMap<_, _> =
            letters.iter().map(|(uid, (_, flags))| (LocalUid::new(*uid), flags.clone())).collect();
        assert_eq!(messages, now);
        let since = changes.mailbox.highest_mod_seq;
        self.followers.insert(mailbox, Follower { since, messages });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_acts_leave_what_the_model_says(
        acts in vec(acts(), 1..40),
        origin in prop_oneof![Just(Origin::LocalUser), Just(Origin::Authority)],
    ) {
        let mut world = World::new(origin);
        for act in &acts {
            world.act(act);
            world.compare();
        }
    }
}
