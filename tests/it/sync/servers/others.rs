//! Others at the server, who act in the moment of a sync.

use mailtide::types::SystemFlag;

use super::with_mail;
use crate::sync::model_remote::{Cut, Traits};

/// Found by the simulator, seed 13869: such an original came back as a new message, with no mark.
#[test]
fn a_move_that_a_mark_of_others_keeps_half_done_leaves_the_original_marked_for_who_expunges_next() {
    let mut ways = std::collections::BTreeSet::new();
    for nth in 1.. {
        let mut world = with_mail(Traits::plain());
        world.move_message("INBOX", "m", "B");
        let calls = world.server.state().calls;
        world.server.state().cut = Cut::After(calls + nth);
        let is_cut = world.sync().is_err();
        world.reopen();
        world.server.set_flags("INBOX", 1, "\\Deleted");
        world.settle();
        if let [parked] = &world.journal()[..] {
            // The mark was seen before anything was copied.
            assert!(parked.contains("can only expunge everything"), "{parked}");
            assert_eq!(world.there(), "B:\nINBOX: m x(\\Deleted) y");
            continue;
        }
        assert_eq!(world.here(), world.there(), "cut after {nth}");
        let there = world.there();
        let is_left = world.conflicts().iter().any(|kind| kind == "left-marked-deleted");
        assert_eq!(there.matches('m').count(), 1 + usize::from(is_left), "cut after {nth}: {there}");
        let marked: Vec<u32> = {
            let state = world.server.state();
            let inbox = state.mailboxes["INBOX"].messages.iter();
            inbox.filter(|(_, message)| message.flags.has(SystemFlag::Deleted)).map(|(uid, _)| *uid).collect()
        };
        assert_eq!(marked, if is_left { vec![1, 2] } else { vec![1] }, "cut after {nth}: {there}");
        marked.into_iter().for_each(|uid| world.server.expunge("INBOX", uid));
        world.settle();
        assert_eq!(world.here(), world.there());
        world.assert_sound();
        if !is_cut {
            assert!(ways.contains(&true) && ways.contains(&false), "both ways: {ways:?}");
            break;
        }
        ways.insert(is_left);
    }
}

/// Found by the simulator, seed 35037: what was moved while the mailbox of a copy was looked into again was taken for gone.
#[test]
fn a_message_that_someone_moves_at_any_moment_of_a_sync_is_always_here() {
    for traits in Traits::all() {
        for call in 1.. {
            let world = with_mail(traits.clone());
            world.server.copy("INBOX", 2, "INBOX");
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + call, "INBOX", 1, "B"));
            world.sync().expect("a sync");
            if world.server.state().meanwhile.take().is_some() {
                break;
            }
            assert_eq!(world.here().matches('x').count(), 1, "before call {call}: {}", world.here());
            world.settle();
            assert_eq!(world.here(), world.there(), "before call {call}");
            world.assert_sound();
        }
    }
}

#[test]
fn a_message_moved_upstream_keeps_its_id_and_its_bytes_here() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        let id = |mailbox: &str| {
            let (mailbox, uids) = (world.mailbox(mailbox), world.uids(mailbox, "m"));
            world.read(|reader| reader.messages(mailbox, &uids, mailtide::store::With::Columns))[0].id
        };
        let before = id("INBOX");
        world.server.move_message("INBOX", 2, "B");
        let report = world.settle();
        assert_eq!((report.moved_in, report.gone), (1, 0));
        assert_eq!(id("B"), before);
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

#[test]
fn a_message_whose_copy_vanished_before_the_move_was_finished_does_not_keep_our_deleted_mark() {
    for traits in [Traits::middling(), Traits::plain()] {
        for n in 1..30 {
            let mut world = with_mail(traits.clone());
            world.move_message("INBOX", "m", "B");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + n);
            let _ = world.sync();
            world.reopen();
            let copies: Vec<u32> = world.server.state().mailboxes["B"].messages.keys().copied().collect();
            copies.into_iter().for_each(|uid| world.server.expunge("B", uid));
            world.settle();
            assert!(!world.there().contains("Deleted"), "cut after call {n}: {}", world.there());
            assert_eq!(world.here(), world.there(), "cut after call {n}");
            assert_eq!(world.journal(), Vec::<String>::new(), "cut after call {n}");
            world.assert_sound();
        }
    }
}

/// Found by the simulator, seed 12119: what someone else had moved to where it was to be copied was taken for the copy.
#[test]
fn a_message_that_someone_moves_to_where_it_is_being_copied_is_there_twice() {
    for traits in [Traits::modern(), Traits::middling()] {
        for call in 1.. {
            let world = with_mail(traits.clone());
            world.copy("INBOX", "m", "B");
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + call, "INBOX", 2, "B"));
            world.sync().expect("a sync");
            if world.server.state().meanwhile.take().is_some() {
                break;
            }
            world.settle();
            assert_eq!(world.there(), "B: m m\nINBOX: x y", "before call {call}");
            assert_eq!(world.here(), world.there(), "before call {call}");
            world.assert_sound();
        }
    }
}

#[test]
fn a_message_that_someone_took_away_in_the_moment_of_a_push_is_not_asked_for_again_and_again() {
    for traits in Traits::all() {
        for call in 1.. {
            let world = with_mail(traits.clone());
            world.server.create("C");
            world.settle();
            world.move_message("INBOX", "m", "B");
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + call, "INBOX", 2, "C"));
            world.sync().expect("a sync");
            if world.server.state().meanwhile.take().is_some() {
                break;
            }
            let asked = world.server.state().calls - calls;
            assert!(asked < 60, "before call {call}: {asked} calls");
            world.settle();
            assert_eq!(world.here(), world.there(), "before call {call}");
            // Copied by us and moved by someone else before it was expunged, it is in both places.
            let most = if traits.facts.r#move { 1 } else { 2 };
            let count = world.there().matches('m').count();
            assert!((1..=most).contains(&count), "before call {call}: {}", world.there());
            world.assert_sound();
        }
    }
}

#[test]
fn flags_of_a_message_that_someone_moved_in_the_moment_of_a_push_follow_it() {
    for traits in Traits::all() {
        for call in 1.. {
            let world = with_mail(traits.clone());
            world.server.set_flags("INBOX", 2, "\\Answered");
            world.settle();
            world.flag("INBOX", "m", "\\Flagged", "\\Answered");
            world.flag("INBOX", "x", "\\Flagged", "");
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + call, "INBOX", 2, "B"));
            world.sync().expect("a sync");
            if world.server.state().meanwhile.take().is_some() {
                break;
            }
            world.settle();
            let end = "B: m(\\Flagged)\nINBOX: x(\\Flagged) y";
            assert_eq!(world.there(), end, "before call {call} of {traits:?}");
            assert_eq!(world.here(), end, "before call {call} of {traits:?}");
            assert_eq!(world.journal(), Vec::<String>::new(), "before call {call} of {traits:?}");
            world.assert_sound();
        }
    }
}

#[test]
fn a_message_that_someone_moved_in_the_moment_of_its_expunge_stays_and_is_told() {
    for traits in Traits::all() {
        for call in 1.. {
            let world = with_mail(traits.clone());
            world.expunge("INBOX", "m");
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + call, "INBOX", 2, "B"));
            world.sync().expect("a sync");
            if world.server.state().meanwhile.take().is_some() {
                break;
            }
            world.settle();
            let there = world.there();
            let is_gone = there == "B:\nINBOX: x y";
            assert!(
                is_gone || there.starts_with("B: m") && there.ends_with("INBOX: x y"),
                "before call {call}: {there}"
            );
            assert_eq!(world.here(), there, "before call {call} of {traits:?}");
            assert_eq!(world.journal(), Vec::<String>::new(), "before call {call} of {traits:?}");
            world.assert_sound();
        }
    }
}

/// QUIRKS.md row 26.
#[test]
fn a_uid_that_is_told_of_what_was_made_and_was_given_out_before_is_not_believed() {
    for traits in Traits::all() {
        for had_mail in [true, false] {
            let world = with_mail(traits.clone());
            world.server.deliver("B", "theirs", "");
            world.settle();
            if !had_mail {
                world.server.expunge("B", 1);
                world.settle();
            }
            world.server.state().lies_about_uids = true;
            world.append("B", "one", "\\Seen");
            world.append("B", "two", "");
            world.copy("INBOX", "x", "B");
            world.move_message("INBOX", "m", "B");
            world.move_message("INBOX", "y", "B");
            let uids = || ["one", "two", "x", "m", "y"].map(|text| world.uids("B", text));
            let before = uids();
            world.settle();
            assert_eq!(uids(), before, "each is the message that it was");
            world.flag("B", "two", "\\Flagged", "");
            world.expunge("B", "x");
            world.settle();
            let theirs = if had_mail { "theirs " } else { "" };
            let end = format!("B: m one(\\Seen) {theirs}two(\\Flagged) y\nINBOX: x");
            assert_eq!((world.here(), world.there()), (end.clone(), end));
            assert_eq!(world.journal(), Vec::<String>::new());
            world.assert_sound();
        }
    }
}
