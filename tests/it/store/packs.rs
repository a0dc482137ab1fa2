//! The files with the bytes of messages.

use mailtide::store::{Error, Executor, NewMessage, Options, Origin, Store, With, audit};
use mailtide::types::{ContentId, InternalDate, LocalUid, MailboxId, Timestamp};
use std::cell::Cell;

use super::place::{Place, flags, message, name, now};

fn contents(store: &Store, inbox: MailboxId) -> Vec<ContentId> {
    let uids = store.read(|reader| reader.open(inbox)).expect("a read").uids;
    let messages = store.read(|reader| reader.messages(inbox, &uids, With::Columns)).expect("a read");
    messages.iter().map(|message| message.content.expect("bytes")).collect()
}

fn sound(store: &Store) {
    assert_eq!(audit(store).expect("an audit").wrong, Vec::<String>::new());
}

fn packs(place: &Place) -> Vec<String> {
    let files = std::fs::read_dir(place.folder.path()).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let mut packs: Vec<String> = names.filter(|name| name.ends_with(".pack")).collect();
    packs.sort();
    packs
}

#[test]
fn uploads_side_by_side_do_not_mix() {
    let (place, store, _, _) = Place::with_inbox(Executor::Thread);
    let texts: Vec<_> = (0..3).map(|number| message(number, 900_000)).collect();
    let mut uploads: Vec<_> = texts.iter().map(|_| store.upload()).collect();
    for at in (0..900_000).step_by(100_000) {
        for (upload, text) in uploads.iter_mut().zip(&texts) {
            upload.write(&text[at..text.len().min(at + 100_000)]).expect("room");
        }
    }
    for (mut upload, text) in uploads.into_iter().zip(&texts) {
        upload.write(&text[900_000..]).expect("room");
        assert_eq!(place.bytes_of(&upload.finish().expect("room")), *text);
    }
    assert_eq!(packs(&place).len(), 3);
    // They are used again, one after another.
    place.upload(&store, &message(4, 900_000));
    assert_eq!(packs(&place).len(), 3);
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let (place, store, _, _) = Place::with_inbox(Executor::Inline);
    let first = place.upload(&store, &message(1, 1000));
    let mut cut_short = store.upload();
    cut_short.write(&message(2, 600_000)).expect("room");
    drop(cut_short);
    assert_eq!(place.pack().metadata().expect("a file").len(), first.size_bytes);
    // Bytes that are there already are not even written.
    let inbox = place.inbox(&store, place.account(&store, "me"));
    let new = NewMessage { content: first, flags: flags(""), internal_date: InternalDate::new(0, 0), email_id: None };
    store.write(Origin::LocalUser, now(), move |txn| txn.append(inbox, &[new])).expect("an append");
    place.append(&store, Origin::LocalUser, inbox, &message(1, 1000), "");
    assert_eq!(place.pack().metadata().expect("a file").len(), message(1, 1000).len() as u64);
}

#[test]
fn what_is_left_of_a_pack_is_moved_together_once_nobody_needs_it() {
    let (place, store, account, inbox) = Place::with_inbox(Executor::Thread);
    for number in 1..=20 {
        let flags = if number % 5 == 0 { "" } else { "\\Deleted" };
        place.append(&store, Origin::Authority, inbox, &message(number, 40_000), flags);
    }
    let early = place.upload(&store, &message(50, 40_000));
    store.write(Origin::Authority, now(), move |txn| txn.expunge(inbox, None)).expect("an expunge");
    let kept = contents(&store, inbox);
    let reading = store.source(kept[0]).expect("a content");
    let sweep = || store.sweep(now().plus_ms(1), now()).expect("a sweep");
    let swept = sweep();
    assert_eq!((swept.contents, swept.bytes), (16, 0), "somebody is about to refer to what is in the pack");
    let new = NewMessage { content: early, flags: flags(""), internal_date: InternalDate::new(0, 0), email_id: None };
    store.write(Origin::Authority, now(), move |txn| txn.append(inbox, &[new])).expect("an append");
    assert_eq!(sweep().bytes, 0, "somebody reads from it");
    assert_eq!(reading.read(0, 100_000).expect("bytes"), message(5, 40_000));
    drop(reading);
    // One that is to stop leaves the rest to the next.
    let asked = Cell::new(0);
    let is_first = || asked.replace(asked.get() + 1) == 0;
    let stopped = store.sweep_while(now().plus_ms(1), now(), &is_first).expect("a sweep");
    assert_eq!((stopped.bytes, asked.get(), packs(&place)), (0, 2, vec!["content-1.pack".to_owned()]));
    assert!(sweep().bytes >= 16 * 40_000);
    assert_eq!(packs(&place), ["content-2.pack"]);
    assert_eq!(sweep().bytes, 0);

    let check = |store: &Store| {
        let texts: Vec<_> = contents(store, inbox).into_iter().map(|content| place.bytes(store, content)).collect();
        assert_eq!(texts, [5, 10, 15, 20, 50].map(|number| message(number, 40_000)));
        sound(store);
    };
    check(&store);
    drop(store);
    let store = place.open(Executor::Thread);
    assert_eq!(place.account(&store, "me"), account);
    check(&store);
}

#[test]
fn what_is_between_bytes_of_use_is_given_back_where_it_is() {
    let (place, store, _, inbox) = Place::with_inbox(Executor::Inline);
    for number in 1..=10 {
        let flags = if number % 3 == 0 { "\\Deleted" } else { "" };
        place.append(&store, Origin::Authority, inbox, &message(number, 40_000), flags);
    }
    store.write(Origin::Authority, now(), move |txn| txn.expunge(inbox, None)).expect("an expunge");
    let sweep = || store.sweep(now().plus_ms(1), now()).expect("a sweep").bytes;
    let length = || place.pack().metadata().expect("a file").len();
    let before = length();
    // Some blocks are shared with neighbours.
    assert!((3 * 30_000..=3 * 45_000).contains(&sweep()), "of three messages");
    assert_eq!(sweep(), 0);
    assert_eq!(length(), before);
    place.append(&store, Origin::Authority, inbox, &message(11, 40_000), "");
    let texts = contents(&store, inbox).into_iter().map(|content| place.bytes(&store, content));
    assert!(texts.eq([1, 2, 4, 5, 7, 8, 10, 11].map(|number| message(number, 40_000))));
    assert_eq!(packs(&place), ["content-1.pack"]);
    sound(&store);
}

#[test]
fn where_little_room_is_left_a_pack_is_not_moved() {
    let place = Place::new();
    let options = Options { max_bytes: Some(1024 * 1024), ..Place::options(Executor::Inline) };
    let store = Store::open(place.folder.path(), &options, now()).expect("a store");
    let inbox = place.inbox(&store, place.account(&store, "me"));
    for number in 1..=9 {
        let flags = if number <= 6 { "\\Deleted" } else { "" };
        place.append(&store, Origin::Authority, inbox, &message(number, 100_000), flags);
    }
    store.write(Origin::Authority, now(), move |txn| txn.expunge(inbox, None)).expect("an expunge");
    let sweep = || store.sweep(now().plus_ms(1), now()).expect("a sweep").bytes;
    assert!(sweep() >= 590_000);
    assert_eq!(packs(&place), ["content-1.pack"], "what the six held is given back in its place");
    place.append(&store, Origin::Authority, inbox, &message(10, 100_000), "");
    assert_eq!((sweep(), packs(&place)), (0, vec!["content-1.pack".to_owned()]));
    let texts = contents(&store, inbox).into_iter().map(|content| place.bytes(&store, content));
    assert!(texts.eq([7, 8, 9, 10].map(|number| message(number, 100_000))));
    sound(&store);
}

#[test]
fn what_was_given_back_of_a_pack_is_not_given_back_with_it_once_more() {
    let place = Place::new();
    let options = Options { max_bytes: Some(3_000_000), ..Place::options(Executor::Inline) };
    let store = Store::open(place.folder.path(), &options, now()).expect("a store");
    let account = place.account(&store, "me");
    let inbox = place.inbox(&store, account);
    let shelf = store.write(Origin::Authority, now(), move |txn| txn.create_mailbox(account, &name("Shelf"), None));
    let shelf = shelf.expect("a mailbox");
    // The first has the first pack to itself, and the other one the next.
    let first = store.upload();
    let mut uploads = [first, store.upload()];
    uploads.iter_mut().for_each(|upload| upload.write(&message(100, 600_000)).expect("room"));
    let [first, under_way] = uploads;
    drop(first);
    for number in 1..=9 {
        let mailbox = if number % 3 == 0 { inbox } else { shelf };
        place.append(&store, Origin::Authority, mailbox, &message(number, 100_000), "\\Deleted");
    }
    for mailbox in [inbox, shelf] {
        store.write(Origin::Authority, now(), move |txn| txn.expunge(mailbox, None)).expect("an expunge");
        assert!(store.sweep(now().plus_ms(1), now()).expect("a sweep").bytes > 0);
    }
    assert_eq!(packs(&place), ["content-2.pack"]);
    let too_much = store.upload().write(&message(101, 2_900_000));
    assert!(matches!(too_much, Err(Error::DiskFull { .. })), "{too_much:?}");
    drop(under_way);
    store.upload().write(&message(101, 2_900_000)).expect("room for it alone");
}

#[test]
fn equal_bytes_are_taken_in_while_the_others_are_swept() {
    let (place, store, _, inbox) = Place::with_inbox(Executor::Thread);
    std::thread::scope(|scope| {
        let sweeping = scope.spawn(|| {
            for _ in 0..200 {
                store.sweep(now().plus_ms(1), now()).expect("a sweep");
            }
        });
        while !sweeping.is_finished() {
            place.append(&store, Origin::Authority, inbox, &message(1, 2_000), "\\Deleted");
            store.write(Origin::Authority, now(), move |txn| txn.expunge(inbox, None)).expect("an expunge");
        }
    });
    place.append(&store, Origin::Authority, inbox, &message(1, 2_000), "");
    assert_eq!(place.bytes(&store, contents(&store, inbox)[0]), message(1, 2_000));
    sound(&store);
}

#[test]
fn who_begins_to_refer_to_bytes_while_their_pack_is_emptied_finds_them() {
    let (place, store, _, inbox) = Place::with_inbox(Executor::Thread);
    std::thread::scope(|scope| {
        let sweeping = scope.spawn(|| {
            for _ in 0..40 {
                store.sweep(now().plus_ms(1), now()).expect("a sweep");
            }
        });
        let mut number = 0;
        while !sweeping.is_finished() {
            number += 1;
            // Most go again at once, so that packs are always worth emptying.
            let flags = if number % 4 == 0 { "" } else { "\\Deleted" };
            place.append(&store, Origin::Upstream, inbox, &message(number, 5_000), flags);
            if number % 8 == 0 {
                store.write(Origin::Authority, now(), move |txn| txn.expunge(inbox, None)).expect("an expunge");
            }
        }
        store.write(Origin::Authority, now(), move |txn| txn.expunge(inbox, None)).expect("an expunge");
        let kept = contents(&store, inbox).into_iter().map(|content| place.bytes(&store, content));
        assert!(kept.eq((1..=number).filter(|number| number % 4 == 0).map(|number| message(number, 5_000))));
    });
    sound(&store);
}

#[test]
fn a_number_of_a_pack_is_not_given_twice_and_a_file_in_the_way_stays() {
    let place = Place::new();
    std::fs::write(place.folder.path().join("content-7.pack"), "of another day").expect("a file");
    let store = place.open(Executor::Inline);
    let inbox = place.inbox(&store, place.account(&store, "me"));
    place.append(&store, Origin::LocalUser, inbox, &message(1, 1000), "");
    drop(store);
    assert_eq!(packs(&place), ["content-7.pack"]);
    assert!(std::fs::read(place.folder.path().join("content-7.pack")).expect("a file").starts_with(b"of another day"));
    sound(&place.open(Executor::Inline));
}

#[test]
fn a_store_from_before_there_were_packs_keeps_its_bytes() {
    let (place, store, _, inbox) = Place::with_inbox(Executor::Inline);
    for number in 1..=3 {
        place.append(&store, Origin::Authority, inbox, &message(number, 600_000), "");
    }
    drop(store);
    // As it was: all bytes in a database, in pieces; of the third they are not complete.
    let pieces = |number: usize| {
        let text = message(number, 600_000);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let pieces = text.chunks(256 * 1024).enumerate();
        let rows = pieces.map(|(place, piece)| format!("({number}, {}, x'{}')", place * 256 * 1024, hex(piece)));
        format!(
            "INSERT INTO content (id, complete) VALUES ({number}, {}); INSERT INTO chunk VALUES {};",
            u8::from(number != 3),
            rows.collect::<Vec<_>>().join(", ")
        )
    };
    let former = include_str!("../../../src/store/migrations/content_0001_first.sql");
    let rows: String = (1..=3).map(pieces).collect();
    place.make_database("content.db", &format!("{former} {rows} PRAGMA user_version = 1;"));
    place.make_database("mailtide.db", "DELETE FROM content_place; UPDATE store_info SET clean = 0;");
    std::fs::remove_file(place.pack()).expect("a file");

    let store = place.open(Executor::Inline);
    assert!(!place.folder.path().join("content.db").exists());
    let uids = [1, 2].map(LocalUid::new);
    let messages = store.read(|reader| reader.messages(inbox, &uids, With::Columns)).expect("a read");
    for (message_here, number) in messages.iter().zip(1..) {
        assert_eq!(place.bytes(&store, message_here.content.expect("bytes")), message(number, 600_000));
    }
    assert_eq!(store.healed().lost, 1);
    assert_eq!(store.sweep(Timestamp::from_unix_ms(0), now()).expect("a sweep").contents, 0);
    place.append(&store, Origin::Authority, inbox, &message(3, 600_000), "");
    sound(&store);
}
