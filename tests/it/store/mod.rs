//! The store: acts by origin, bytes, reopening, locks, limits; and against a model.

mod acts;
mod deaths;
mod journal;
mod model;
mod packs;
mod place;
mod safety;

use mailtide::store::{Executor, Origin, With, check};
use place::{Place, flags};

#[test]
fn appended_bytes_come_back_and_the_store_is_sound() {
    let (place, store, account, inbox) = Place::with_inbox(Executor::Thread);
    let message = place::message(1, 700_000);
    let uid = place.append(&store, Origin::LocalUser, inbox, &message, "\\Seen work");
    let row = store.read(|reader| reader.messages(inbox, &[uid], With::Summary)).expect("a row").remove(0);
    assert_eq!(row.flags, flags("\\Seen work"));
    assert_eq!(row.size_bytes, message.len() as u64);
    assert_eq!(row.summary.expect("a summary").envelope.subject.as_deref(), Some(&b"message 1"[..]));
    assert_eq!(place.bytes(&store, row.content.expect("bytes")), message);
    assert_eq!(check(&store).expect("a check"), Vec::<String>::new());
    let entries = store.read(|reader| reader.entries(account)).expect("entries");
    assert_eq!(entries.len(), 1);
}
