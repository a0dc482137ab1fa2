//! Flags that a server refuses to store, or to take off, beside others that it stores.

use mailtide::journal::{Entry, State};
use mailtide::store::Origin;

use super::with_mail;
use crate::sync::model_remote::Traits;
use crate::sync::world::World;

fn retry_all(world: &World) {
    let is_parked = |entry: &Entry| matches!(entry.state, State::Parked { .. });
    for entry in world.read(|reader| reader.entries(world.account)).into_iter().filter(is_parked) {
        world.write(Origin::LocalUser, move |txn| txn.retry(entry.id));
    }
}

#[test]
fn a_flag_that_may_not_be_taken_off_is_told_though_another_is_stored() {
    for traits in Traits::all() {
        for added_first in [true, false] {
            let world = with_mail(traits.clone());
            world.server.set_flags("INBOX", 2, "\\Seen");
            world.settle();
            world.server.state().refuses.push(("STORE", "\\Seen".to_owned(), None));
            if added_first {
                world.flag("INBOX", "m", "\\Flagged", "\\Seen");
            } else {
                world.flag("INBOX", "m", "", "\\Seen");
                world.flag("INBOX", "m", "\\Flagged", "");
            }
            world.settle();
            assert_eq!(world.journal(), ["parked: no STORE"]);
            assert!(world.there().contains("m(\\Flagged \\Seen)"), "{}", world.there());
            world.assert_sound();
            world.server.state().refuses.clear();
            retry_all(&world);
            world.settle();
            assert!(world.there().contains("m(\\Flagged)"), "{}", world.there());
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
            world.assert_sound();
        }
    }
}

/// The act that waits stays, though another about the same message is done behind it.
#[test]
fn what_is_parked_stays_when_other_flags_of_the_message_are_stored() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.server.set_flags("INBOX", 2, "\\Seen");
        world.settle();
        world.server.state().refuses.push(("STORE", "\\Seen".to_owned(), None));
        world.flag("INBOX", "m", "", "\\Seen");
        world.settle();
        for flag in ["\\Flagged", "\\Answered"] {
            world.flag("INBOX", "m", flag, "");
            world.settle();
            assert_eq!(world.journal(), ["parked: no STORE"]);
            world.assert_sound();
        }
        // It is wanted no more: nothing is left to be done.
        world.server.state().refuses.clear();
        world.flag("INBOX", "m", "\\Seen", "");
        retry_all(&world);
        world.settle();
        assert!(world.there().contains("m(\\Answered \\Flagged \\Seen)"), "{}", world.there());
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
        world.assert_sound();
    }
}

/// Of a message that was moved away and back, and of a copy, the flags alone are parked, once.
#[test]
fn what_else_was_done_with_a_message_is_done_though_its_flag_is_refused() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        world.server.state().refuses.push(("STORE", "bad".to_owned(), None));
        world.move_message("INBOX", "m", "B");
        world.move_message("B", "m", "INBOX");
        world.flag("INBOX", "m", "bad", "");
        world.copy("INBOX", "x", "B");
        world.flag("B", "x", "bad", "");
        let calls = world.server.state().calls;
        world.sync().expect("a sync");
        let calls = world.server.state().calls - calls;
        assert!(calls < 60, "{calls} calls");
        assert_eq!(world.journal(), ["parked: no STORE", "parked: no STORE"]);
        assert_eq!(world.there(), "B: x\nINBOX: m x y");
        world.assert_sound();
        world.server.state().refuses.clear();
        retry_all(&world);
        world.settle();
        assert_eq!(world.there(), "B: x(bad)\nINBOX: m(bad) x y");
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
        world.assert_sound();
    }
}

/// What vanished is still there for the plan, for it waits for the user's word.
#[test]
fn flags_of_what_vanished_are_tried_once_in_a_sync() {
    for traits in Traits::all() {
        let world = with_mail(traits);
        (0..60).for_each(|nth| _ = world.server.deliver("B", &format!("n{nth}"), ""));
        world.settle();
        (1..=60).for_each(|uid| world.server.expunge("B", uid));
        world.server.state().refuses.push(("STORE", "bad".to_owned(), None));
        world.flag("B", "n1", "\\Seen bad", "");
        world.flag("B", "n2", "\\Seen bad", "");
        let calls = world.server.state().calls;
        let report = world.sync().expect("a sync");
        let calls = world.server.state().calls - calls;
        assert_eq!(report.blocked, ["B"]);
        assert!(calls < 100, "{calls} calls");
        world.assert_sound();
    }
}
