//! What is set aside can be retried and discarded, and either ends with both sides equal and nothing lost.

use mailtide::journal::State;
use mailtide::store::{ListedMailbox, Origin};
use mailtide::sync::remote::RefusalCode;
use mailtide::types::UidValidity;

use super::model_remote::{Cut, Server, Traits};
use super::world::{World, name};

/// What the user says about everything that is set aside.
#[derive(Debug, Clone, Copy)]
enum Word {
    Retry,
    Discard,
}

/// What was set aside, and how it ends.
struct Case {
    name: &'static str,
    before: fn(&Server),
    here: fn(&World),
    there: fn(&Server),
    retried: &'static str,
    discarded: &'static str,
}

fn two_folders(server: &Server) {
    for name in ["A", "B"] {
        server.create(name);
        server.deliver(name, &name.to_lowercase(), "");
    }
}

fn refuse(server: &Server, request: &'static str, word: &str, code: Option<RefusalCode>) {
    server.state().refuses.push((request, word.to_owned(), code));
}

const CASES: &[Case] = &[
    Case {
        name: "a deletion set aside for new mail",
        before: two_folders,
        here: |world| world.delete("A"),
        there: |server| {
            server.deliver("A", "new", "");
        },
        retried: "B: b\nINBOX:",
        discarded: "A: a new\nB: b\nINBOX:",
    },
    Case {
        name: "a deletion set aside for new mail, another folder renamed to its name",
        before: two_folders,
        here: |world| {
            world.delete("A");
            world.rename("B", "A");
        },
        there: |server| {
            server.deliver("A", "new", "");
        },
        retried: "A (2): b\nINBOX:",
        discarded: "A: a new\nA (2): b\nINBOX:",
    },
    Case {
        name: "a deletion that was refused",
        before: two_folders,
        here: |world| {
            world.delete("A");
            world.rename("B", "A");
        },
        there: |server| refuse(server, "DELETE", "A", Some(RefusalCode::NoPerm)),
        retried: "A: b\nINBOX:",
        discarded: "A: a\nB: b\nINBOX:",
    },
    Case {
        name: "a rename that was refused",
        before: two_folders,
        here: |world| {
            world.rename("A", "C");
            world.create("C/new");
            world.append("C/new", "n", "");
        },
        there: |server| refuse(server, "RENAME", "A", None),
        retried: "B: b\nC: a\nC/new: n\nINBOX:",
        discarded: "A: a\nB: b\nC/new: n\nINBOX:",
    },
    Case {
        name: "a creation that was refused, with mail that waits for it",
        before: two_folders,
        here: |world| {
            world.create("C");
            world.move_message("A", "a", "C");
        },
        there: |server| refuse(server, "CREATE", "C", None),
        retried: "A:\nB: b\nC: a\nINBOX:",
        discarded: "A: a\nB: b\nINBOX:",
    },
    // Found by the simulator, seed 33815: the folder stayed here for ever.
    Case {
        name: "mail moved to a folder that is deleted upstream, and cannot be made there again",
        before: two_folders,
        here: |world| world.move_message("A", "a", "B"),
        there: |server| {
            server.state().mailboxes.remove("B");
            refuse(server, "CREATE", "B", None);
        },
        retried: "A:\nB: a\nINBOX:",
        discarded: "A: a\nINBOX:",
    },
];

fn settle_all(world: &World, word: Word) {
    // The newest first, as one takes back what one did; again what could not be before others were.
    for _ in 0..3 {
        for entry in world.read(|reader| reader.entries(world.account)).into_iter().rev() {
            let id = entry.id;
            let _ = match word {
                Word::Retry if !matches!(entry.state, State::Parked { .. }) => continue,
                Word::Retry => world.try_write(Origin::LocalUser, move |txn| txn.retry(id)),
                Word::Discard => world.try_write(Origin::Upstream, move |txn| txn.discard(id)),
            };
        }
        world.settle();
    }
}

#[test]
fn what_is_set_aside_can_be_retried_and_discarded() {
    for traits in Traits::all() {
        for case in CASES {
            for word in [Word::Retry, Word::Discard] {
                let world = World::new(traits.clone());
                (case.before)(&world.server);
                world.settle();
                (case.here)(&world);
                (case.there)(&world.server);
                world.settle();
                assert!(!world.journal().is_empty(), "{}", case.name);
                world.server.state().refuses.clear();
                settle_all(&world, word);
                let what = format!("{}, {word:?}: {:#?}", case.name, world.journal());
                let end = if matches!(word, Word::Retry) { case.retried } else { case.discarded };
                assert_eq!(world.here(), end, "here: {what}");
                assert_eq!(world.there(), end, "there: {what}");
                assert!(world.journal().is_empty(), "{what}");
                world.assert_sound();
            }
        }
    }
}

#[test]
fn what_upstream_has_below_the_new_name_stays_there_when_the_rename_is_discarded() {
    for traits in Traits::all() {
        let world = World::new(traits);
        for name in ["A", "A.old"] {
            world.server.create(name);
        }
        world.settle();
        refuse(&world.server, "RENAME", "A", None);
        world.rename("A", "C");
        world.create("C/new");
        world.settle();
        world.create("C/newer");
        let (entry, mailbox) = (world.read(|reader| reader.entries(world.account))[0].id, world.mailbox("C"));
        let staying = world.read(|reader| reader.staying(mailbox, &name("C")));
        let staying: Vec<String> = staying.into_iter().filter_map(|one| one.name).map(String::from).collect();
        assert_eq!(staying, ["C/new", "C/newer"], "what is told");
        world.write(Origin::Upstream, move |txn| txn.discard(entry));
        let end = "A:\nA/old:\nC/new:\nC/newer:\nINBOX:";
        assert_eq!(world.here(), end, "at once");
        world.settle();
        assert_eq!((world.here().as_str(), world.there().as_str()), (end, end));
        world.assert_sound();
    }
}

#[test]
fn a_rename_set_aside_is_overtaken_by_the_next_one() {
    let world = World::new(Traits::modern());
    two_folders(&world.server);
    world.settle();
    refuse(&world.server, "RENAME", "A", None);
    world.rename("A", "C");
    world.settle();
    world.server.state().refuses.clear();
    world.rename("C", "D");
    world.settle();
    assert!(world.there().contains("D: a"), "{}", world.there());
    settle_all(&world, Word::Retry);
    assert_eq!(world.here(), world.there());
    assert!(world.here().contains("D: a") && world.journal().is_empty(), "{}", world.here());
}

#[test]
fn of_two_names_that_look_the_same_here_the_second_gets_it_when_the_first_is_gone() {
    let world = World::new(Traits::modern());
    for name in ["in/out", "in\u{2215}out"] {
        world.server.create(name);
        world.server.deliver(name, "m", "");
    }
    world.settle();
    assert_eq!(world.here(), "INBOX:\nin\u{2215}out: m\nin\u{2215}out (upstream): m");
    assert_eq!(world.conflicts(), ["name-taken"]);
    world.server.state().mailboxes.remove("in/out");
    world.settle();
    assert_eq!(world.here(), "INBOX:\nin\u{2215}out: m");
    world.assert_sound();
}

#[test]
fn a_mailbox_that_the_server_spells_in_another_way_is_the_same() {
    let world = World::new(Traits::modern());
    world.server.create("A.b");
    world.server.deliver("A.b", "m", "");
    world.settle();
    let before = world.mailbox("A/b");
    let listed = |remote_name: &str, shown: &str, uid_validity| ListedMailbox {
        remote_name: remote_name.to_owned(),
        name: name(shown),
        special_use: None,
        selectable: true,
        subscribed: false,
        is_wanted: true,
        uid_validity: Some(UidValidity::new(uid_validity)),
        uid_next: None,
        rights: None,
    };
    let (account, listing) = (world.account, [listed("INBOX", "INBOX", 1), listed("A/b", "A/b", 2)]);
    let taken = world.write(Origin::Upstream, move |txn| txn.take_listing(account, &listing, ""));
    assert_eq!((taken.mailboxes[1], taken.gone, taken.conflicts), (Some(before), Vec::new(), 0));
    assert_eq!(world.conflicts(), Vec::<String>::new());
}

#[test]
fn a_deletion_set_aside_can_be_discarded_when_the_mailbox_was_deleted_once_more() {
    for traits in Traits::all() {
        let world = World::new(traits);
        two_folders(&world.server);
        world.settle();
        world.delete("A");
        world.server.deliver("A", "new", "");
        world.settle();
        world.delete("A");
        world.settle();
        assert_eq!(world.there(), "B: b\nINBOX:");
        let left = world.read(|reader| reader.entries(world.account));
        assert_eq!(left.len(), 1, "{:#?}", world.journal());
        let id = left[0].id;
        world.write(Origin::Upstream, move |txn| txn.discard(id));
        world.settle();
        assert_eq!(world.there(), "B: b\nINBOX:");
        assert_eq!(world.here(), world.there());
        assert!(world.journal().is_empty());
        world.assert_sound();
    }
}

/// Found by the simulator, seed 10569: the cursor was past what had waited, and it was never seen.
#[test]
fn mail_that_waited_in_a_mailbox_deleted_here_is_seen_once_that_is_discarded() {
    for traits in Traits::all() {
        for cut in 1.. {
            let world = World::new(traits.clone());
            two_folders(&world.server);
            world.settle();
            // It may be the message in A, moved: it waits until the round is closed.
            world.server.deliver("B", "a", "");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::Before(calls + cut);
            let is_cut = world.sync().is_err();
            world.server.state().cut = Cut::Never;
            world.delete("B");
            let id = world.read(|reader| reader.entries(world.account))[0].id;
            world.write(Origin::Upstream, move |txn| txn.discard(id));
            world.settle();
            assert_eq!(world.there(), "A: a\nB: a b\nINBOX:", "before call {cut}");
            assert_eq!(world.here(), world.there(), "before call {cut} of {traits:?}");
            world.assert_sound();
            if !is_cut {
                break;
            }
        }
    }
}

/// As a shared mailbox is from which access is taken for a while.
#[test]
fn a_mailbox_that_could_not_be_renamed_is_not_made_anew_when_it_is_gone() {
    for traits in Traits::all() {
        for word in [Word::Retry, Word::Discard] {
            let world = World::new(traits.clone());
            two_folders(&world.server);
            world.settle();
            refuse(&world.server, "RENAME", "A", Some(RefusalCode::NoPerm));
            world.rename("A", "Q");
            world.settle();
            let taken = world.server.state().mailboxes.remove("A").expect("a mailbox");
            world.settle();
            assert_eq!(world.there(), "B: b\nINBOX:");
            world.server.state().mailboxes.insert("A".to_owned(), taken);
            world.settle();
            world.server.state().refuses.clear();
            settle_all(&world, word);
            world.settle();
            assert_eq!(world.there().matches('a').count(), 1, "{}", world.there());
            assert_eq!(world.here(), world.there());
            assert!(world.journal().is_empty());
            world.assert_sound();
        }
    }
}
