//! Death by a power cut at every moment of what the store does to its files on its own: as it is opened after another
//! death, and as it gives back room.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mailtide::store::{Arrival, Error, Executor, Fate, Moment, NewMessage, Origin, Store, With, audit};
use mailtide::types::{InternalDate, MailboxId, MessageId, RemoteUid};

use super::place::{Place, flags, message, now};

const LOG: &str = "mailtide.db-wal";

/// How much of each file a power cut leaves as it is.
#[derive(Clone)]
struct Safe(BTreeMap<String, u64>);

impl Safe {
    fn all(folder: &Path) -> Self {
        Self(files(folder).collect())
    }

    fn sync(&mut self, folder: &Path, is_synced: impl Fn(&str) -> bool) {
        self.0.extend(files(folder).filter(|(name, _)| is_synced(name)));
    }
}

fn is_pack(name: &str) -> bool {
    name.ends_with(".pack")
}

fn files(folder: &Path) -> impl Iterator<Item = (String, u64)> {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file"));
    let named = files.map(|file| (file.file_name().into_string().expect("a name"), file));
    let stays = |name: &str| ["mailtide.db", LOG].contains(&name) || is_pack(name);
    named.filter(move |(name, _)| stays(name)).map(|(name, file)| (name, file.metadata().expect("a file").len()))
}

/// What is left in `to`: of what is not safe the length, and of the log what is safe or all.
fn leave(folder: &Path, safe: &Safe, keeps_log: bool, to: &Path) {
    for (name, _) in files(folder) {
        let mut bytes = fs::read(folder.join(&name)).expect("a file");
        let length = safe.0.get(&name).map_or(0, |length| usize::try_from(*length).expect("a small file"));
        let length = length.min(bytes.len());
        match name == LOG {
            true if keeps_log => {}
            true => bytes.truncate(length),
            false if is_pack(&name) => bytes[length..].fill(0),
            false => {}
        }
        fs::write(to.join(&name), bytes).expect("room");
    }
}

/// The power fails after so many moments.
struct Dying {
    folder: PathBuf,
    to: PathBuf,
    left: AtomicUsize,
    safe: Mutex<Safe>,
    keeps_log: bool,
}

impl Fate for Dying {
    fn at(&self, moment: Moment) -> Result<(), Error> {
        let mut safe = self.safe.lock().expect("no panic");
        match moment {
            Moment::AfterContent { durable: true } => safe.sync(&self.folder, is_pack),
            Moment::AfterCommit { durable: true } | Moment::Settled => safe.sync(&self.folder, |name| name == LOG),
            _ => {}
        }
        match self.left.load(Ordering::SeqCst) {
            0 => return Err(Error::Closed),
            1 => leave(&self.folder, &safe, self.keeps_log, &self.to),
            _ => {}
        }
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left == 1 { Err(Error::Closed) } else { Ok(()) }
    }
}

/// Opens a copy of the store, of which so much is safe, and has `work` done with it. What is left of it when it dies at that
/// moment; `None`: it does not come to that moment.
fn left_by(place: &Place, safe: &Safe, moment: usize, keeps_log: bool, work: impl FnOnce(&Store)) -> Option<Place> {
    let (copy, after) = (Place::new(), Place::new());
    for (name, _) in files(place.folder.path()) {
        fs::copy(place.folder.path().join(&name), copy.folder.path().join(&name)).expect("a copy");
    }
    let dying = Arc::new(Dying {
        folder: copy.folder.path().to_owned(),
        to: after.folder.path().to_owned(),
        left: AtomicUsize::new(moment),
        safe: Mutex::new(safe.clone()),
        keeps_log,
    });
    let fate = Arc::clone(&dying);
    if let Ok(store) = Store::open_under(copy.folder.path(), &Place::options(Executor::Inline), now(), fate) {
        work(&store);
    }
    (dying.left.load(Ordering::SeqCst) == 0).then_some(after)
}

fn arrive(place: &Place, store: &Store, inbox: MailboxId, bytes: &[u8]) {
    let message = NewMessage {
        content: place.upload(store, bytes),
        flags: flags(""),
        internal_date: InternalDate::new(0, 0),
        email_id: None,
    };
    let arrived = store.write(Origin::Upstream, now(), move |txn| {
        txn.arrive(inbox, &[Arrival { uid: RemoteUid::new(7), message, outline: None }], MessageId::new(0))
    });
    arrived.expect("an arrival");
}

/// The texts of the messages that are there; none of one whose bytes are to be fetched again.
fn texts(place: &Place) -> Vec<Option<Vec<u8>>> {
    let store = place.open(Executor::Inline);
    let audit = audit(&store).expect("an audit");
    assert!(audit.wrong.is_empty() && audit.damaged.is_empty(), "{:?} {:?}", audit.wrong, audit.damaged);
    let inbox = place.inbox(&store, place.account(&store, "me"));
    let uids = store.read(|reader| reader.open(inbox)).expect("a read").uids;
    let messages = store.read(|reader| reader.messages(inbox, &uids, With::Columns)).expect("a read");
    messages.iter().map(|message| Some(place.bytes(&store, message.content?))).collect()
}

/// Of two messages one was synced; of the other the power cut took the bytes, or a process died and the cut is to come.
#[test]
fn an_opening_that_dies_at_any_moment_is_made_good_by_the_next() {
    let (place, store, account, inbox) = Place::with_inbox(Executor::Inline);
    let linked = store.write(Origin::Authority, now(), move |txn| txn.link_mailbox(account, inbox, "INBOX"));
    linked.expect("a mailbox");
    place.append(&store, Origin::LocalUser, inbox, &message(1, 1000), "");
    let safe = Safe::all(place.folder.path());
    arrive(&place, &store, inbox, &message(2, 1000));
    let mut half = store.upload();
    half.write(&message(3, 300_000)).expect("room");
    let mut deaths = 0;
    for (is_torn, keeps_log) in [(false, true), (false, false), (true, true)] {
        let (killed, everything) = (Place::new(), Safe::all(place.folder.path()));
        leave(place.folder.path(), if is_torn { &safe } else { &everything }, true, killed.folder.path());
        let safe = if is_torn { &everything } else { &safe };
        for moment in 1.. {
            let Some(first) = left_by(&killed, safe, moment, keeps_log, |_| {}) else { break };
            for moment in 1.. {
                let safe = Safe::all(first.folder.path());
                let Some(second) = left_by(&first, &safe, moment, keeps_log, |_| {}) else { break };
                deaths += 1;
                let found = texts(&second);
                assert_eq!(found[0], Some(message(1, 1000)));
                assert!(matches!(&found[1..], [] | [None]) || found[1] == Some(message(2, 1000)), "{is_torn}");
            }
        }
    }
    assert!(deaths > 20, "{deaths}");
}

#[test]
fn giving_back_room_may_end_at_any_moment() {
    // Much of the pack is of use, and it stays; or little, and it is emptied and removed.
    for kept_each in [2, 5] {
        let (place, store, _, inbox) = Place::with_inbox(Executor::Inline);
        for number in 1..=10 {
            let flags = if number % kept_each == 0 { "" } else { "\\Deleted" };
            place.append(&store, Origin::Authority, inbox, &message(number, 10_000), flags);
        }
        store.write(Origin::Authority, now(), move |txn| txn.expunge(inbox, None)).expect("an expunge");
        let safe = Safe::all(place.folder.path());
        let kept = (1..=10).filter(|number| number % kept_each == 0).map(|number| Some(message(number, 10_000)));
        let kept: Vec<_> = kept.collect();
        let mut deaths = 0;
        for (moment, keeps_log) in (1..).flat_map(|moment| [(moment, false), (moment, true)]) {
            let sweep = |store: &Store| drop(store.sweep(now().plus_ms(1), now()));
            let Some(after) = left_by(&place, &safe, moment, keeps_log, sweep) else { break };
            assert_eq!(texts(&after), kept, "at moment {moment}");
            deaths += 1;
        }
        assert!(deaths > 10, "{deaths}");
    }
}
