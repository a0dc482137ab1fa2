//! Servers that leave messages out of their answers by mistake (QUIRKS.md row 19): nothing is believed to be gone, or to be
//! all, for that.

use mailtide::sync::remote::RefusalCode;

use super::model_remote::Traits;
use super::servers::with_mail;

/// Found by the simulator, seed 21353 (QUIRKS.md row 19).
#[test]
fn flags_of_messages_that_the_server_leaves_out_of_its_list_are_asked_for() {
    let world = with_mail(Traits::plain());
    world.server.state().leaves_out = [2].into();
    world.server.set_flags("INBOX", 1, "\\Seen");
    world.server.set_flags("INBOX", 2, "\\Flagged");
    world.settle();
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}

/// Found by the simulator, seed 11054.
#[test]
fn messages_moved_there_and_left_out_of_an_answer_about_several_are_not_taken_for_gone() {
    for traits in Traits::all() {
        let world = with_mail(traits.clone());
        let moved = [1, 2].map(|uid| world.server.move_message("INBOX", uid, "B"));
        world.server.deliver("B", "new", "");
        world.server.state().leaves_out = moved.into();
        let report = world.sync().expect("a sync");
        assert_eq!((report.gone, report.skipped), (0, 0), "{traits:?}");
        assert_eq!(world.there(), "B: m new x\nINBOX: y");
        assert_eq!(world.here(), world.there(), "{traits:?}");
        world.assert_sound();
    }
}

/// Found by the simulator, seed 88620: what the server does not give for now may be what vanished elsewhere.
#[test]
fn a_message_that_is_not_given_for_now_where_it_was_moved_to_is_followed() {
    for traits in Traits::all() {
        let world = with_mail(traits.clone());
        let moved = world.server.move_message("INBOX", 1, "B");
        world.server.state().refuses = vec![("FETCH", format!("B {moved}."), Some(RefusalCode::Unavailable))];
        let before = world.here();
        for _ in 0..4 {
            assert_eq!(world.sync().expect("a sync").gone, 0, "{traits:?}");
            assert_eq!(world.here(), before, "{traits:?}");
        }
        let refusals = std::mem::take(&mut world.server.state().refuses);
        world.settle();
        assert_eq!(world.here(), world.there(), "{traits:?}");
        world.assert_sound();
        // Not for ever: some are never given.
        let moved = world.server.move_message("B", moved, "INBOX");
        world.server.state().refuses =
            refusals.into_iter().map(|(call, _, code)| (call, format!("INBOX {moved}."), code)).collect();
        world.settle();
        (0..5).for_each(|_| drop(world.sync()));
        assert_eq!(world.here(), "B:\nINBOX: m y", "{traits:?}");
    }
}

/// Found by the simulator, seed 29382: as many were left out as had gone, so that the count was right.
#[test]
fn a_message_that_is_left_out_when_another_went_is_taken_in() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.server.expunge("INBOX", 1);
        world.server.deliver("INBOX", "p", "");
        let left_out = world.server.deliver("INBOX", "q", "");
        world.server.state().leaves_out = [left_out].into();
        world.settle();
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

/// Found by the simulator, seed 30892: what was moved to where it is left out of the list was taken for deleted.
#[test]
fn a_message_that_is_left_out_where_it_was_moved_to_is_followed() {
    for traits in Traits::all() {
        for call in 1.. {
            let world = with_mail(traits.clone());
            let uid = world.server.move_message("INBOX", 1, "B");
            world.settle();
            world.flag("B", "x", "\\Flagged", "");
            for mailbox in ["INBOX", "B"] {
                world.server.deliver(mailbox, "p", "");
            }
            world.server.state().leaves_out = (2..9).collect();
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + call, "B", uid, "INBOX"));
            world.sync().expect("a sync");
            if world.server.state().meanwhile.take().is_some() {
                break;
            }
            world.settle();
            assert_eq!(world.here(), world.there(), "before call {call}");
            assert!(world.there().contains("x(\\Flagged)"), "before call {call}: {}", world.there());
            world.assert_sound();
        }
    }
}
