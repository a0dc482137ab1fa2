//! What a server refuses, or cannot do, and what becomes of the act.

use mailtide::store::{self, FlagChange, Origin, Txn};
use mailtide::sync::remote::RefusalCode;
use mailtide::types::{Flag, Flags, SystemFlag};

use super::with_mail;
use crate::sync::model_remote::{Cut, Traits};
use crate::sync::world::NOW_MS;

#[test]
fn what_is_refused_parks_and_the_rest_goes_on() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.create("Full");
        world.settle();
        for request in ["APPEND", "COPY", "MOVE"] {
            world.server.state().refuses.push((request, "Full".to_owned(), Some(RefusalCode::OverQuota)));
        }
        world.server.state().refuses.push(("STORE", "bad".to_owned(), None));
        world.append("Full", "draft", "");
        world.move_message("INBOX", "x", "Full");
        world.flag("INBOX", "m", "bad", "");
        world.flag("INBOX", "y", "\\Seen", "");
        world.append("B", "fine", "");
        let report = world.settle();
        assert_eq!(report.parked, 3);
        assert_eq!(world.journal().len(), 3);
        assert!(world.there().contains("B: fine") && world.there().contains("y(\\Seen)"));
        world.assert_sound();

        world.server.state().refuses.clear();
        for entry in world.read(|reader| reader.entries(world.account)) {
            world.write(mailtide::store::Origin::LocalUser, move |txn| txn.retry(entry.id));
        }
        world.settle();
        assert_eq!(world.here(), world.there());
        assert_eq!(world.journal(), Vec::<String>::new());
        world.assert_sound();
    }
}

#[test]
fn a_flag_that_is_refused_keeps_no_other_from_being_stored() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.server.state().refuses.push(("STORE", "bad".to_owned(), None));
        world.flag("INBOX", "m", "bad", "");
        world.flag("INBOX", "m", "good \\Seen", "");
        world.settle();
        assert_eq!(world.journal(), ["parked: no STORE"]);
        world.flag("INBOX", "m", "", "good");
        world.flag("INBOX", "m", "\\Answered", "");
        world.settle();
        assert_eq!(world.journal(), ["parked: no STORE"]);
        let there = world.there();
        assert!(there.contains("\\Answered") && there.contains("\\Seen") && !there.contains("good"), "{there}");
        world.assert_sound();
        world.server.state().refuses.clear();
        for entry in world.read(|reader| reader.entries(world.account)) {
            world.write(mailtide::store::Origin::LocalUser, move |txn| txn.retry(entry.id));
        }
        world.settle();
        assert_eq!(world.here(), world.there());
        assert!(world.there().contains("bad"), "{}", world.there());
    }
}

#[test]
fn one_refused_message_of_many_parks_alone() {
    let world = with_mail(Traits::modern());
    for text in ["x", "m", "y"] {
        world.append("B", &format!("copy of {text}"), "");
    }
    world.server.state().refuses.push(("APPEND", "copy of m".to_owned(), Some(RefusalCode::TooBig)));
    world.settle();
    assert!(world.there().contains("B: copy of x copy of y"));
    let [parked] = &world.journal()[..] else { panic!("one is parked") };
    assert!(parked.starts_with("parked: no APPEND; it never takes a message this large"), "{parked}");
}

#[test]
fn flags_that_the_server_does_not_keep_stay_here() {
    for mut traits in Traits::all() {
        traits.any_keyword = false;
        let seen: Flags = [SystemFlag::Seen, SystemFlag::Flagged].into_iter().map(Flag::from).collect();
        traits.permanent = seen;
        let world = with_mail(traits);
        world.flag("INBOX", "m", "mine \\Seen", "");
        world.append("B", "new", "mine \\Flagged");
        world.settle();
        assert!(world.here().contains("m(\\Seen mine)") && world.here().contains("new(\\Flagged mine)"));
        assert!(world.there().contains("m(\\Seen)") && world.there().contains("new(\\Flagged)"));
        assert_eq!(world.journal(), Vec::<String>::new());
        world.server.set_flags("INBOX", 2, "\\Flagged");
        world.settle();
        assert!(world.here().contains("m(\\Flagged mine)"), "{}", world.here());
        world.assert_sound();
    }
}

#[test]
fn without_uidplus_nobody_elses_deleted_message_is_expunged() {
    let world = with_mail(Traits::plain());
    world.server.set_flags("INBOX", 1, "\\Deleted");
    world.expunge("INBOX", "m");
    world.move_message("INBOX", "y", "B");
    world.settle();
    assert!(world.there().contains("x(\\Deleted)"), "{}", world.there());
    let journal = world.journal();
    assert_eq!(journal.len(), 3, "the flag, the expunge, the move: {journal:#?}");
    assert!(journal.iter().all(|entry| entry.contains("everything marked deleted in INBOX,")), "{journal:#?}");
    world.assert_sound();
}

/// Found by the simulator, seed 144668: a copy that the server refused was taken for one that may have got as far as to the mark.
#[test]
fn a_mark_that_someone_sets_on_what_cannot_be_moved_stays() {
    let mut traits = Traits::plain();
    (traits.facts.uid_plus, traits.facts.r#move) = (false, false);
    for call in 1.. {
        let world = with_mail(traits.clone());
        world.server.state().refuses.push(("COPY", "B".to_owned(), Some(RefusalCode::OverQuota)));
        world.move_message("INBOX", "m", "B");
        let calls = world.server.state().calls;
        world.server.state().marked = Some((calls + call, "INBOX", 2));
        world.sync().expect("a sync");
        if world.server.state().marked.take().is_some() {
            break;
        }
        assert_eq!(world.there(), "B:\nINBOX: m(\\Deleted) x y", "marked before call {call}");
        world.assert_sound();
    }
}

#[test]
fn what_cannot_be_looked_for_is_not_done_again() {
    let world = with_mail(Traits::plain());
    ["Box", "Old"].into_iter().for_each(|name| world.server.create(name));
    world.settle();
    for name in ["Box", "Old"] {
        world.server.state().refuses.push(("SELECT", name.to_owned(), Some(RefusalCode::NonExistent)));
    }
    world.append("Box", "new", "");
    world.delete("Old");
    world.sync().expect("a sync");
    for _ in 0..2 {
        let calls = world.server.state().calls;
        let report = world.sync().expect("a sync");
        let calls = world.server.state().calls - calls;
        assert_eq!((report.recovered, report.parked), (0, 0), "nothing is new");
        assert!(calls < 20, "one round is enough: {calls} calls");
    }
    assert_eq!(
        world.journal(),
        [
            "parked: it cannot be seen whether the server did it: no SELECT",
            "parked: it cannot be seen whether new mail came into it: no SELECT",
        ]
    );
    assert_eq!(world.there(), "B:\nBox: new\nINBOX: m x y\nOld:");
    world.server.state().refuses.clear();
    for entry in world.read(|reader| reader.entries(world.account)) {
        world.write(mailtide::store::Origin::Upstream, move |txn| txn.discard(entry.id));
    }
    world.settle();
    assert_eq!(world.there(), "B:\nBox: new\nINBOX: m x y\nOld:");
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}

/// Found by the simulator, seed 15518: a server that refuses the first FETCH of each session was asked in one session after
/// the other.
#[test]
fn a_look_that_the_server_refuses_for_now_ends_no_session_and_is_taken_again() {
    let world = with_mail(Traits::plain());
    world.copy("INBOX", "m", "B");
    world.server.state().refuses.push(("FINGERPRINTS", String::new(), Some(RefusalCode::Unavailable)));
    world.sync().expect("a sync that goes on");
    assert_eq!(world.there(), "B: m\nINBOX: m x y");
    assert_eq!(world.journal(), ["parked: it cannot be seen whether the server did it: no FINGERPRINTS"]);
    world.server.state().refuses.clear();
    world.settle();
    assert_eq!(world.there(), "B: m\nINBOX: m x y");
    assert_eq!(world.here(), world.there());
    assert!(world.journal().is_empty());
    world.assert_sound();
}

#[test]
fn what_could_not_be_looked_for_is_found_by_whoever_can_look_again() {
    for traits in Traits::all() {
        for cut in 1.. {
            let mut world = with_mail(traits.clone());
            world.server.create("Box");
            world.settle();
            world.copy("INBOX", "x", "Box");
            world.copy("INBOX", "y", "Box");
            world.move_message("INBOX", "m", "Box");
            world.append("Box", "new", "");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + cut);
            if world.sync().is_ok() {
                break;
            }
            world.reopen();
            world.server.state().cut = Cut::Never;
            world.server.state().refuses.push(("SELECT", "Box".to_owned(), None));
            for _ in 0..3 {
                world.sync().expect("a sync");
            }
            // What waits for it can be changed, and changes nothing before it is seen.
            world.flag("Box", "x", "\\Flagged", "");
            world.sync().expect("a sync");
            world.server.state().refuses.clear();
            if cut % 2 == 0 {
                let parked =
                    |entry: &mailtide::journal::Entry| matches!(entry.state, mailtide::journal::State::Parked { .. });
                for entry in world.read(|reader| reader.entries(world.account)).into_iter().filter(parked) {
                    world.write(mailtide::store::Origin::LocalUser, move |txn| txn.retry(entry.id));
                }
            }
            world.settle();
            let what = format!("cut after call {cut} of {traits:?}: {:#?}", world.journal());
            assert_eq!(world.there(), "B:\nBox: m new x(\\Flagged) y\nINBOX: x y", "{what}");
            assert_eq!(world.here(), world.there(), "{what}");
            assert_eq!(world.journal(), Vec::<String>::new(), "{what}");
            world.assert_sound();
        }
    }
}

/// A lock is gone after a while, and room is made: nobody has to say that it is to be tried again.
#[test]
fn what_was_refused_for_a_reason_that_passes_is_tried_again_by_itself_and_the_rest_is_not() {
    let minutes = |count: i64| NOW_MS + count * 60_000;
    for (code, passes) in [
        (Some(RefusalCode::InUse), true),
        (Some(RefusalCode::OverQuota), true),
        (Some(RefusalCode::Limit), true),
        (Some(RefusalCode::Unavailable), true),
        (Some(RefusalCode::TooBig), false),
        (Some(RefusalCode::NoPerm), false),
        (None, false),
    ] {
        for request in ["APPEND", "CREATE"] {
            let world = with_mail(Traits::modern());
            match request {
                "APPEND" => world.append("B", "late", ""),
                _ => world.create("Late"),
            }
            let word = if request == "APPEND" { "late" } else { "Late" };
            world.server.state().refuses.push((request, word.to_owned(), code));
            let parked = |at: i64| {
                world.sync_at(at).expect("a sync");
                world.journal().len()
            };
            assert_eq!((parked(minutes(0)), parked(minutes(4))), (1, 1));
            // In vain once more: the next try is later.
            let refused = world.server.state().refused.get();
            assert_eq!(parked(minutes(6)), 1);
            assert_eq!(world.server.state().refused.get() - refused, usize::from(passes), "{code:?} {request}");
            world.server.state().refuses.clear();
            assert_eq!(parked(minutes(6 + 14)), 1, "{code:?} {request}");
            assert_eq!(parked(minutes(6 + 16)), usize::from(!passes), "{code:?} {request}");
            assert_eq!(world.here() == world.there(), passes);
            world.assert_sound();
        }
    }
}

#[test]
fn what_upstream_lets_one_only_read_one_may_only_read_here() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.server.deliver("B", "theirs", "");
        world.server.state().read_only.insert("B".to_owned(), Flags::none());
        world.settle();
        let (uid, mailbox) = (world.uids("B", "theirs"), world.mailbox("B"));
        let change = FlagChange::Add(std::iter::once(Flag::from(SystemFlag::Flagged)).collect());
        let store = move |txn: &mut Txn<'_>| txn.store_flags(mailbox, &uid, &change, None).map(drop);
        let refused = world.try_write(Origin::LocalUser, store.clone());
        assert!(matches!(refused, Err(store::Error::ReadOnly)), "{refused:?}");
        // What others do there still comes.
        world.server.deliver("B", "new", "");
        world.settle();
        assert_eq!(world.here(), world.there());
        // Nothing but that is different, and it is seen.
        world.server.state().read_only.clear();
        world.settle();
        world.write(Origin::LocalUser, store);
        world.settle();
        assert_eq!(world.here(), world.there());
        assert!(world.there().contains("theirs(\\Flagged)"), "{}", world.there());
        world.assert_sound();
    }
}

/// PERMANENTFLAGS of a mailbox that is READ-ONLY (RFC 3501 section 7.1).
#[test]
fn what_may_be_read_and_marked_read_upstream_may_be_marked_read_here_and_nothing_else() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.server.deliver("B", "theirs", "");
        let seen: Flags = std::iter::once(Flag::from(SystemFlag::Seen)).collect();
        world.server.state().read_only.insert("B".to_owned(), seen.clone());
        world.settle();
        let (uid, mailbox) = (world.uids("B", "theirs"), world.mailbox("B"));
        let store = |flags: &Flags| {
            let (uid, change) = (uid.clone(), FlagChange::Add(flags.clone()));
            world.try_write(Origin::LocalUser, move |txn| txn.store_flags(mailbox, &uid, &change, None).map(drop))
        };
        let refused = store(&std::iter::once(Flag::from(SystemFlag::Flagged)).collect());
        assert!(matches!(refused, Err(store::Error::NoPermission)), "{refused:?}");
        let refused = world.try_write(Origin::LocalUser, move |txn| txn.expunge(mailbox, None).map(drop));
        assert!(matches!(refused, Err(store::Error::ReadOnly)), "{refused:?}");
        store(&seen).expect("it is kept");
        world.settle();
        assert_eq!(world.here(), world.there());
        assert!(world.there().contains("theirs(\\Seen)"), "{}", world.there());
        assert_eq!(world.journal(), Vec::<String>::new());
        world.assert_sound();
    }
}

#[test]
fn a_server_that_hangs_up_after_so_many_requests_is_got_through_sync_by_sync() {
    const MAILBOXES: usize = 12;
    const REQUESTS_OF_A_CONNECTION: usize = 20;
    let world = with_mail(Traits::plain());
    let names: Vec<String> = (0..MAILBOXES).map(|nth| format!("F{nth:02}")).collect();
    for name in &names {
        world.server.create(name);
        world.server.deliver(name, &format!("old{name}"), "");
        world.server.deliver(name, &format!("moved{name}"), "");
    }
    world.settle();
    for (nth, name) in names.iter().enumerate() {
        world.server.set_flags(name, 1, "\\Flagged");
        world.server.deliver(name, &format!("new{name}"), "");
        if nth + 1 == MAILBOXES {
            world.server.move_message(name, 2, &names[0]);
        }
    }
    let engine = world.engine();
    let syncs = (1..=4 * MAILBOXES).find(|_| {
        let cut = world.server.state().calls + REQUESTS_OF_A_CONNECTION;
        world.server.state().cut = Cut::Before(cut);
        world.sync_with(&engine, NOW_MS).is_ok()
    });
    world.server.state().cut = Cut::Never;
    let syncs = syncs.expect("a sync comes to its end");
    assert!(syncs > 1, "one was cut");
    assert_eq!(world.here(), world.there());
    world.settle();
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}
