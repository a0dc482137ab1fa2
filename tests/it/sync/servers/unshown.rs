//! What a server does not give, does not show, or shows otherwise than it is.

use mailtide::store::Origin;
use mailtide::sync::remote::RefusalCode;
use mailtide::types::Timestamp;

use super::with_mail;
use crate::sync::model_remote::{Cut, Traits};
use crate::sync::world::{NOW_MS, World};

#[test]
fn a_message_that_the_server_does_not_give_does_not_hold_up_the_others() {
    for traits in Traits::all() {
        let world = World::new(traits);
        for nth in 1..=9 {
            world.server.deliver("INBOX", &format!("m{nth}"), "");
        }
        world.server.state().refuses.push(("FETCH", "INBOX 5.".to_owned(), None));
        world.sync().expect("a sync");
        for _ in 0..8 {
            world.sync().expect("a sync");
        }
        assert!(!world.here().contains("m5") && world.here().contains("m9"));
        world.server.state().calls = 0;
        world.sync().expect("a sync");
        let quiet = world.server.state().calls;
        // Without mod-sequences a mailbox is looked into each time, and recognised.
        let most = if world.server.state().traits.facts.cond_store { 4 } else { 5 };
        assert!(quiet <= most, "it is not asked for again and again: {quiet} calls");
        let refused = world.server.state().refuses.clone();
        world.server.state().refuses.clear();
        let account = world.account;
        let missed = world.read(|reader| reader.not_given(account));
        assert_eq!(missed.iter().map(|one| (one.mailbox.as_str(), one.uid.get())).collect::<Vec<_>>(), [("INBOX", 5)]);
        world.sync().expect("a sync");
        assert!(!world.here().contains("m5"), "it is left alone for a while");
        world.server.state().refuses = refused.clone();
        world.sync_at(NOW_MS + 6 * 60_000).expect("a sync");
        assert!(!world.here().contains("m5"));
        world.server.state().refuses.clear();
        world.sync_at(NOW_MS + 30 * 60_000).expect("a sync");
        assert_eq!(world.here(), world.there());
        assert!(world.read(|reader| reader.not_given(account)).is_empty());
        world.assert_sound();
    }
}

#[test]
fn what_the_server_did_not_give_is_asked_for_at_once_when_the_user_asks_and_forgotten_when_it_goes() {
    for is_asked in [true, false] {
        let world = World::new(Traits::modern());
        world.server.deliver("INBOX", "m", "");
        world.server.state().refuses.push(("FETCH", "INBOX 1.".to_owned(), None));
        (0..8).for_each(|_| drop(world.sync().expect("a sync")));
        let account = world.account;
        assert_eq!(world.read(|reader| reader.not_given(account)).len(), 1);
        match is_asked {
            true => {
                world.server.state().refuses.clear();
                world.write(Origin::Upstream, move |txn| txn.ask_again(account));
            }
            false => world.server.expunge("INBOX", 1),
        }
        world.settle();
        assert_eq!(world.here(), world.there());
        assert!(world.read(|reader| reader.not_given(account)).is_empty());
        world.assert_sound();
    }
}

#[test]
fn a_server_that_tells_no_uidnext_is_synced_as_well() {
    for mut traits in Traits::all() {
        traits.tells_uid_next = false;
        for n in 1..30 {
            let mut world = with_mail(traits.clone());
            world.append("B", "twin", "");
            world.append("B", "twin", "");
            world.move_message("INBOX", "m", "B");
            world.copy("INBOX", "x", "B");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + n);
            let _ = world.sync();
            world.reopen();
            world.settle();
            assert_eq!(world.there(), "B: m twin twin x\nINBOX: x y", "cut after call {n}");
            assert_eq!(world.here(), world.there());
            world.assert_sound();
        }
    }
}

#[test]
fn an_email_id_knows_a_message_whose_date_the_server_changed() {
    let mut traits = Traits::modern();
    traits.facts.object_id = true;
    let world = with_mail(traits);
    let before = world.uids("INBOX", "m");
    world.server.renumber("INBOX");
    for message in world.server.state().mailboxes.get_mut("INBOX").expect("INBOX").messages.values_mut() {
        message.date = mailtide::types::InternalDate::new(77, 0);
    }
    world.server.state().fetched.clear();
    world.settle();
    assert_eq!(world.uids("INBOX", "m"), before);
    assert!(world.server.state().fetched.is_empty(), "what is known again is not fetched again");
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}

#[test]
fn names_with_a_slash_and_names_the_server_cannot_have() {
    let world = World::new(Traits::modern());
    world.server.create("in/out");
    world.settle();
    assert!(world.here().contains("in\u{2215}out:"));
    world.rename("in\u{2215}out", "out\u{2215}in");
    world.settle();
    assert!(world.there().contains("out/in:"));
    let account = world.account;
    let name = crate::sync::world::name("with.dot");
    let refused = world.store().write(mailtide::store::Origin::LocalUser, Timestamp::from_unix_ms(0), move |txn| {
        txn.create_mailbox(account, &name, None)
    });
    assert!(refused.is_err(), "the delimiter is known by now");
}

#[test]
fn subscriptions_go_both_ways() {
    let world = with_mail(Traits::modern());
    world.server.state().mailboxes.get_mut("B").expect("B").subscribed = true;
    world.settle();
    assert!(world.here().contains("B*:"));
    world.subscribe("B", false);
    world.subscribe("INBOX", true);
    world.settle();
    assert!(world.there().contains("B:") && world.there().contains("INBOX*:"));
    assert_eq!(world.here(), world.there());
}

#[test]
fn a_mailbox_that_is_said_not_to_exist_while_an_act_is_looked_for_doubles_nothing() {
    for traits in Traits::all() {
        for cut in [None, Some(6), Some(10)] {
            for selects in 0..6 {
                let mut world = with_mail(traits.clone());
                world.server.create("Old");
                world.settle();
                world.append("B", "new", "");
                world.move_message("INBOX", "m", "B");
                world.copy("INBOX", "x", "B");
                world.delete("Old");
                let calls = world.server.state().calls;
                world.server.state().cut = cut.map_or(Cut::Never, |cut| Cut::After(calls + cut));
                if cut.is_some() {
                    let _ = world.sync();
                    world.reopen();
                }
                world.server.state().denies_after = Some(selects);
                world.settle();
                let what = format!("cut {cut:?}, SELECT {selects} denied");
                assert_eq!(world.there(), "B: m new x\nINBOX: x y", "{what}");
                assert_eq!(world.here(), world.there(), "{what}");
                assert_eq!(world.journal(), Vec::<String>::new(), "{what}");
                world.assert_sound();
            }
        }
    }
}

/// Found by the simulator, seed 125761: the mailbox into which it had been moved upstream was the one that was refused.
#[test]
fn what_both_sides_moved_is_there_once_though_a_mailbox_is_said_not_to_exist() {
    for traits in Traits::all() {
        for selects in 0..8 {
            let world = with_mail(traits.clone());
            world.server.create("Old");
            world.settle();
            world.delete("Old");
            world.move_message("INBOX", "m", "B");
            world.server.move_message("INBOX", 2, "Old");
            world.server.state().denies_after = Some(selects);
            world.settle();
            assert_eq!(world.there(), "B: m\nINBOX: x y\nOld:", "SELECT {selects} denied");
            assert_eq!(world.here(), world.there(), "SELECT {selects} denied");
            world.assert_sound();
        }
    }
}

/// Found by the simulator, seeds 14314 and 16189.
#[test]
fn a_mailbox_that_is_not_shown_for_now_is_left_as_it_is_and_the_others_are_synced() {
    for traits in Traits::all().into_iter().filter(|traits| traits.tells_uid_next) {
        let world = with_mail(traits);
        world.server.create("C");
        world.server.deliver("B", "z", "");
        world.settle();
        let backup = world.server.state().mailboxes["INBOX"].clone();
        world.server.deliver("INBOX", "old", "");
        world.server.deliver("INBOX", "older", "");
        world.settle();
        world.flag("INBOX", "old", "\\Deleted", "");
        world.move_message("INBOX", "older", "C");
        // The server is what it was, and gives the UIDs out again.
        world.server.state().mailboxes.insert("INBOX".to_owned(), backup);
        world.server.move_message("B", 1, "INBOX");
        world.server.deliver("B", "news", "");
        world.server.state().refuses.push(("FINGERPRINTS", "INBOX".to_owned(), Some(RefusalCode::Unavailable)));
        let report = world.sync().expect("a sync that goes on");
        assert!(report.refused.contains(&("INBOX".to_owned(), "no FINGERPRINTS".to_owned())), "{report:?}");
        assert!(world.here().contains("B: news z\n"), "{}", world.here());
        assert_eq!(world.there(), "B: news\nC:\nINBOX: m x y z");
        world.server.state().refuses.clear();
        world.settle();
        assert_eq!(world.here(), world.there());
        assert_eq!(world.there().matches('z').count(), 1, "{}", world.there());
        world.assert_sound();
    }
}

#[test]
fn a_message_that_is_never_shown_does_not_keep_the_others_from_being_found_again() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.server.renumber("INBOX");
        let new = world.server.deliver("INBOX", "new", "");
        world.server.state().refuses.push(("FINGERPRINTS", format!("INBOX {new}."), Some(RefusalCode::Unavailable)));
        world.server.state().fetched.clear();
        world.settle();
        assert_eq!(world.server.state().fetched.len(), 1, "only what matches nothing is fetched");
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

#[test]
fn what_was_sent_is_found_again_where_the_server_lies_about_sizes() {
    for traits in Traits::all() {
        for cut in 1..12 {
            let mut world = with_mail(traits.clone());
            world.server.state().lies_about_sizes = true;
            world.append("B", "new", "");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + cut);
            let _ = world.sync();
            world.reopen();
            world.settle();
            assert_eq!(world.there(), "B: new\nINBOX: m x y", "cut after call {cut}");
            assert_eq!(world.here(), world.there());
            world.assert_sound();
        }
    }
}

#[test]
fn a_message_that_the_server_neither_expunges_nor_names_among_others_is_not_taken_for_gone() {
    for traits in [Traits::modern(), Traits::middling()] {
        let world = with_mail(traits);
        world.expunge("INBOX", "x");
        world.expunge("INBOX", "m");
        world.server.state().leaves_out = [1, 2].into();
        world.server.state().forgets_to_expunge = true;
        world.sync().expect("a sync");
        let journal = world.journal();
        assert!(!journal.is_empty() && journal.iter().all(|entry| entry.contains("still there")), "{journal:#?}");
        world.server.state().forgets_to_expunge = false;
        for entry in world.read(|reader| reader.entries(world.account)) {
            world.write(mailtide::store::Origin::LocalUser, move |txn| txn.retry(entry.id));
        }
        world.settle();
        assert_eq!(world.there(), "B:\nINBOX: y");
        assert_eq!(world.here(), world.there());
        assert_eq!(world.journal(), Vec::<String>::new());
        world.assert_sound();
    }
}
