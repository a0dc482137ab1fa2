//! What must not grow slow with the mailbox: bounds far above what is measured, to catch a wrong order of growth on any
//! machine, not a slow one.

use std::time::{Duration, Instant};

use mailtide::store::{Executor, FlagChange, Origin, With, check};
use mailtide::types::{LocalUid, UidSet};

use super::place::{Place, flags, message, now};

#[test]
fn a_mailbox_of_a_hundred_thousand_messages_stays_quick() {
    const MESSAGES: u32 = 100_000;
    let place = Place::new();
    let store = place.open(Executor::Inline);
    let account = place.account(&store, "me");
    let inbox = place.inbox(&store, account);
    place.append(&store, Origin::LocalUser, inbox, &message(1, 1000), "\\Seen");
    let mut messages = 1;
    while messages < MESSAGES {
        let uids: Vec<_> = (1..=messages.min(MESSAGES - messages)).map(LocalUid::new).collect();
        messages += uids.len() as u32;
        store.write(Origin::Upstream, now(), move |txn| txn.copy(inbox, &uids, inbox)).expect("a copy");
    }
    let timed = |what: &str, bound_ms: u64, work: &dyn Fn()| {
        let start = Instant::now();
        work();
        let took = start.elapsed();
        println!("{what}: {took:?}");
        assert!(took < Duration::from_millis(bound_ms), "{what} took {took:?}");
    };
    let opened = || store.read(|reader| reader.open(inbox)).expect("an open mailbox");
    timed("open", 1000, &|| assert_eq!(opened().uids.len(), MESSAGES as usize));
    timed("status", 1000, &|| _ = store.read(|reader| reader.status(inbox)).expect("counts"));
    timed("overview", 1000, &|| _ = store.read(|reader| reader.overview(account)).expect("counts"));
    let since = opened().mailbox.highest_mod_seq;
    timed("no changes", 100, &|| _ = store.read(|reader| reader.changes(inbox, since)).expect("changes"));
    let some: Vec<_> = (1..=10_000).map(|number| LocalUid::new(number * 7)).collect();
    timed("10,000 rows", 2000, &|| {
        let rows = store.read(|reader| reader.messages(inbox, &some, With::Columns)).expect("rows");
        assert_eq!(rows.len(), some.len());
    });
    timed("10,000 flags", 10_000, &|| {
        let (some, change) = (some.clone(), FlagChange::Add(flags("\\Deleted $Work")));
        store.write(Origin::LocalUser, now(), move |txn| txn.store_flags(inbox, &some, &change, None)).expect("flags");
    });
    timed("10,000 changes", 1000, &|| {
        assert_eq!(store.read(|reader| reader.changes(inbox, since)).expect("changes").changed.len(), 10_000);
    });
    timed("10,000 expunged", 10_000, &|| {
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let gone = store.write(Origin::LocalUser, now(), move |txn| txn.expunge(inbox, Some(&all))).expect("expunge");
        assert_eq!(gone.len(), 10_000);
    });
    timed("open", 1000, &|| _ = opened());
    assert_eq!(check(&store).expect("a check"), Vec::<String>::new());
}
