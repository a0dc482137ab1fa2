//! Mailboxes numbered anew, replaced, and servers restored from a backup.

use mailtide::sync::remote::RefusalCode;

use super::{Act, with_mail};
use crate::sync::mail;
use crate::sync::model_remote::{Cut, Mailbox, Traits};
use crate::sync::world::World;

#[test]
fn a_new_uidvalidity_changes_nothing_here() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        let validity = world.read(|reader| reader.mailbox(world.mailbox("INBOX"))).uid_validity;
        let before: Vec<_> = ["x", "m", "y"].map(|text| world.uids("INBOX", text)).to_vec();
        world.server.renumber("INBOX");
        world.server.deliver("INBOX", "new", "");
        world.server.state().fetched.clear();
        world.settle();
        assert_eq!(world.read(|reader| reader.mailbox(world.mailbox("INBOX"))).uid_validity, validity);
        assert_eq!(["x", "m", "y"].map(|text| world.uids("INBOX", text)).to_vec(), before);
        assert_eq!(world.server.state().fetched.len(), 1, "only what matches nothing is fetched");
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

/// Found by the simulator, seed 2048: UIDs that a restored server gave out again were taken for the messages that had them.
#[test]
fn a_server_restored_from_a_backup_gives_uids_out_again_and_no_message_is_taken_for_another() {
    for traits in Traits::all().into_iter().filter(|traits| traits.tells_uid_next) {
        for news in 0..3 {
            let world = with_mail(traits.clone());
            let backup = world.server.state().mailboxes.clone();
            for text in ["p", "q", "r"] {
                world.server.deliver("INBOX", text, "");
            }
            world.settle();
            let before: Vec<_> = ["x", "m", "y"].map(|text| world.uids("INBOX", text)).to_vec();
            world.server.state().mailboxes = backup;
            for text in &["s", "t"][..news] {
                world.server.deliver("INBOX", text, "");
            }
            world.settle();
            assert_eq!(world.here(), world.there(), "with {news} new messages");
            assert_eq!(["x", "m", "y"].map(|text| world.uids("INBOX", text)).to_vec(), before);
            let gone = world.read(|reader| reader.gone(world.account));
            assert_eq!(gone.iter().filter(|gone| gone.content.is_some()).count(), 3, "what was undone is recoverable");
            world.assert_sound();
        }
    }
}

/// Found by the simulator, seed 12218: as much came as was undone, or more, and UIDs named other messages unseen.
#[test]
fn a_server_restored_from_a_backup_is_recognised_however_much_came_since() {
    for traits in Traits::all().into_iter().filter(|traits| traits.tells_uid_next) {
        // As much and as little changed as before, to the mod-sequence: nobody can see that without asking.
        let is_unseen = |news: &usize| traits.facts.cond_store && *news == 3;
        for news in (1..6).filter(|news| !is_unseen(news)) {
            let world = with_mail(traits.clone());
            let backup = world.server.state().mailboxes.clone();
            for text in ["p", "q", "r"] {
                world.server.deliver("INBOX", text, "");
            }
            world.settle();
            world.flag("INBOX", "p", "\\Deleted", "");
            world.move_message("INBOX", "q", "B");
            world.expunge("INBOX", "r");
            world.server.state().mailboxes = backup;
            for text in &["s", "t", "u", "v", "w"][..news] {
                world.server.deliver("INBOX", text, "");
            }
            world.settle();
            assert_eq!(world.here(), world.there(), "with {news} new messages");
            let there = world.there();
            for text in &["x", "m", "y", "s", "t", "u", "v", "w"][..3 + news] {
                assert!(there.contains(&format!(" {text}")) && !there.contains('('), "{text} is as it was: {there}");
            }
            world.assert_sound();
        }
    }
}

/// Found by the simulator, seed 408169: every count was the same again, and nobody asked.
#[test]
fn after_a_power_cut_a_restored_server_is_recognised_however_alike_it_seems() {
    for traits in Traits::all().into_iter().filter(|traits| traits.tells_uid_next) {
        let mut world = with_mail(traits);
        let backup = world.server.state().mailboxes.clone();
        world.server.deliver("INBOX", "p", "");
        world.settle();
        let disk = world.disk();
        world.server.deliver("INBOX", "q", "");
        world.settle();
        world.server.state().mailboxes = backup;
        world.server.deliver("INBOX", "s", "");
        world.fall_back_to(disk);
        world.settle();
        assert_eq!(world.here(), world.there());
        let gone = world.read(|reader| reader.gone(world.account));
        assert_eq!(gone.iter().filter(|gone| gone.content.is_some()).count(), 1, "what was undone is recoverable");
        world.assert_sound();
    }
}

/// Found by the simulator, seed 175228: the next round believed the mailbox, and another message was expunged.
#[test]
fn a_restored_server_that_does_not_show_all_is_not_believed_by_the_round_that_follows_either() {
    for traits in Traits::all().into_iter().filter(|traits| traits.tells_uid_next) {
        let world = with_mail(traits);
        let backup = world.server.state().mailboxes.clone();
        for text in ["p", "q", "r"] {
            world.server.deliver("INBOX", text, "");
        }
        world.settle();
        world.expunge("INBOX", "r");
        world.append("B", "new", "");
        world.server.state().mailboxes = backup;
        for text in ["s", "t", "u", "v"] {
            world.server.deliver("INBOX", text, "");
        }
        world.server.state().refuses.push(("FINGERPRINTS", "INBOX 2.".to_owned(), None));
        let report = world.sync().expect("a sync");
        assert_eq!(report.appended, 1, "a round follows the one that sends it");
        world.server.state().refuses.clear();
        world.settle();
        assert_eq!(world.here(), world.there());
        let there = world.there();
        for text in ["x", "m", "y", "s", "t", "u", "v"] {
            assert!(there.contains(&format!(" {text}")) && !there.contains('('), "{text} is as it was: {there}");
        }
        world.assert_sound();
    }
}

/// Found by the simulator, seed 3256: what was sent, or taken in, behind the cursor was believed though the server had it no
/// more, since it was as the cursor had it.
#[test]
fn what_a_sync_that_was_cut_short_sent_or_took_in_goes_when_the_server_is_restored_to_before_it() {
    let acts: [(&str, Act); 7] = [
        ("delivered there", |world| {
            world.server.deliver("INBOX", "p", "");
        }),
        ("flagged there", |world| world.server.set_flags("INBOX", 2, "\\Flagged")),
        ("flagged here", |world| world.flag("INBOX", "m", "\\Deleted", "")),
        ("moved here", |world| world.move_message("INBOX", "m", "B")),
        ("copied here", |world| world.copy("INBOX", "m", "B")),
        ("appended here", |world| world.append("INBOX", "p", "")),
        ("expunged here", |world| world.expunge("INBOX", "m")),
    ];
    for traits in Traits::all().into_iter().filter(|traits| traits.tells_uid_next) {
        let mut template = with_mail(traits);
        template.close();
        let cuts = [Cut::Before as fn(usize) -> Cut, Cut::After].into_iter();
        let rows = cuts.flat_map(|cut| acts.map(|act| (cut, act)));
        // Seed 17482: the mod-sequence went on since, but with other changes.
        for ((cut, (what, act)), goes_on) in rows.flat_map(|row| [(row, false), (row, true)]) {
            for nth in 1.. {
                let mut world = template.fork();
                let backup = world.server.state().mailboxes.clone();
                act(&world);
                let calls = world.server.state().calls;
                world.server.state().cut = cut(calls + nth);
                let is_cut = world.sync().is_err();
                world.reopen();
                world.server.state().mailboxes = backup;
                let known = world.read(|reader| reader.remote_mailboxes(world.account));
                let is_ahead = known.iter().any(|known| known.remote_name == "INBOX" && known.cursor.is_ahead);
                for flags in ["\\Flagged", "\\Seen", "\\Answered"].iter().filter(|_| goes_on && is_ahead) {
                    world.server.set_flags("INBOX", 3, flags);
                }
                world.settle();
                assert_eq!(world.here(), world.there(), "{what}, {:?}, {goes_on}", cut(nth));
                world.assert_sound();
                if !is_cut {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_mailbox_replaced_in_the_moment_of_a_push_loses_nothing_of_the_stranger() {
    let world = with_mail(Traits::modern());
    for text in ["u", "v"] {
        world.server.deliver("INBOX", text, "");
    }
    world.server.create("A");
    for text in ["k", "l", "f"] {
        world.server.deliver("A", text, "");
    }
    world.settle();
    world.move_message("A", "k", "B");
    world.expunge("A", "l");
    world.flag("A", "f", "\\Flagged", "");
    world.server.state().replaced = Some("A".to_owned());
    world.settle();
    let there = world.there();
    assert!(there.lines().any(|line| line == "A: stranger1 stranger2 stranger3"), "{there}");
    assert!(there.contains("B: k"), "{there}");
    assert_eq!(there.matches("stranger").count(), 3, "{there}");
    assert_eq!(world.here(), there);
    assert_eq!(world.journal(), Vec::<String>::new());
    world.assert_sound();
}

/// Found by the simulator, seed 113779: what had the UID by then was not shown, and was taken for what had it before.
#[test]
fn a_uid_that_was_given_out_again_is_recognised_by_when_its_message_came_where_that_is_not_shown() {
    for traits in Traits::all().into_iter().filter(|traits| traits.tells_uid_next) {
        let world = with_mail(traits);
        let backup = world.server.state().mailboxes.clone();
        world.append("INBOX", "new", "");
        world.settle();
        world.server.state().mailboxes = backup;
        let uid = world.server.deliver("INBOX", "other", "");
        world.server.deliver("INBOX", "more", "");
        world.server.state().refuses.push(("FINGERPRINTS", format!("INBOX {uid}."), Some(RefusalCode::Unavailable)));
        world.sync().expect("a sync that goes on");
        world.server.state().refuses.clear();
        world.settle();
        assert!(world.there().contains("INBOX: m more other x y"), "{}", world.there());
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

#[test]
fn what_was_sent_to_a_mailbox_that_has_another_name_since_is_found_there() {
    for traits in Traits::all() {
        for is_made_again in [false, true] {
            for cut in 1..14 {
                let mut world = with_mail(traits.clone());
                world.append("B", "new", "");
                world.move_message("INBOX", "m", "B");
                world.copy("INBOX", "x", "B");
                let calls = world.server.state().calls;
                world.server.state().cut = Cut::After(calls + cut);
                let _ = world.sync();
                world.reopen();
                world.server.rename("B", "C");
                if is_made_again {
                    world.server.create("B");
                }
                world.settle();
                let there = world.there();
                let what = format!("cut after call {cut}, made again: {is_made_again}, {traits:?}: {there}");
                for message in ["m", "new"] {
                    assert_eq!(there.split([' ', '\n']).filter(|word| *word == message).count(), 1, "{what}");
                }
                assert_eq!(there.split([' ', '\n']).filter(|word| *word == "x").count(), 2, "{what}");
                assert_eq!(world.here(), there, "{what}");
                assert_eq!(world.journal(), Vec::<String>::new(), "{what}");
                world.assert_sound();
            }
        }
    }
}

#[test]
fn where_uidvalidity_is_always_1_a_mailbox_made_again_is_not_taken_for_the_one_before() {
    for traits in Traits::all() {
        let world = World::new(traits);
        world.server.create("B");
        let fix = |world: &World| world.server.state().mailboxes.get_mut("B").expect("a mailbox").uid_validity = 1;
        fix(&world);
        for text in ["x", "y"] {
            world.server.deliver("B", text, "");
        }
        world.settle();
        world.flag("B", "y", "\\Flagged", "");
        {
            let mut state = world.server.state();
            let mailbox = state.mailboxes.get_mut("B").expect("a mailbox");
            mailbox.messages.clear();
            mailbox.uid_next = 1;
        }
        for text in ["a", "b", "c"] {
            world.server.deliver("B", text, "");
        }
        world.settle();
        assert_eq!(world.here(), world.there());
        assert!(world.there().contains("B: a b c"), "nothing was done to a stranger: {}", world.there());
        world.assert_sound();
    }
}

/// Found by the simulator, seed 126011: all messages had one Message-ID, and the UID of one was another's by then.
#[test]
fn where_uidvalidity_is_always_1_messages_of_one_message_id_are_told_apart_before_one_is_expunged() {
    for object_id in [false, true] {
        let mut traits = Traits::plain();
        traits.facts.object_id = object_id;
        let world = World::new(traits);
        world.server.create("B");
        for text in ["x", "y", "z"] {
            world.server.deliver("B", text, "");
        }
        let fix = |then: &dyn Fn(&mut Mailbox)| {
            let mut state = world.server.state();
            let mailbox = state.mailboxes.get_mut("B").expect("a mailbox");
            mailbox.uid_validity = 1;
            then(mailbox);
        };
        let id = |text: &str| String::from_utf8(mail(text)).expect("ASCII").replace(&format!("<{text}@"), "<one@");
        fix(&|mailbox| {
            for (message, text) in mailbox.messages.values_mut().zip(["x", "y", "z"]) {
                message.bytes = id(text).into_bytes();
            }
        });
        world.settle();
        world.expunge("B", "x");
        world.server.renumber("B");
        fix(&|_| {});
        world.settle();
        let there: Vec<_> = world.server.state().mailboxes["B"].messages.values().map(|it| it.bytes.clone()).collect();
        assert_eq!(there, [id("z").into_bytes(), id("y").into_bytes()], "object_id {object_id}");
        assert_eq!(world.journal(), Vec::<String>::new());
        world.assert_sound();
    }
}

#[test]
fn what_was_sent_to_a_mailbox_whose_uidvalidity_another_has_since_is_found_in_it() {
    for traits in Traits::all() {
        for cut in 1..14 {
            let mut world = with_mail(traits.clone());
            world.append("B", "new", "");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + cut);
            let _ = world.sync();
            world.reopen();
            let was = world.server.state().mailboxes["B"].uid_validity;
            ["B", "INBOX"].into_iter().for_each(|mailbox| world.server.renumber(mailbox));
            world.server.state().mailboxes.get_mut("INBOX").expect("a mailbox").uid_validity = was;
            world.settle();
            let there = world.there();
            let what = format!("cut after call {cut}, {traits:?}: {there}");
            assert_eq!(there.split([' ', '\n']).filter(|word| *word == "new").count(), 1, "{what}");
            assert_eq!(world.here(), there, "{what}");
            assert_eq!(world.journal(), Vec::<String>::new(), "{what}");
            world.assert_sound();
        }
    }
}
