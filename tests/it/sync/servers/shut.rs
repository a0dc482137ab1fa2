//! Mailboxes that cannot be opened, or looked into, for a while or for good (QUIRKS.md row 35).

use mailtide::sync::remote::RefusalCode;

use super::Act;
use crate::sync::model_remote::Traits;
use crate::sync::world::{NOW_MS, World};

/// A mirrored message in `Src`, and empty mailboxes.
fn mirrored(traits: Traits) -> World {
    let world = World::new(traits);
    ["Src", "Else", "Mine"].into_iter().for_each(|name| world.server.create(name));
    world.server.deliver("Src", "m", "");
    world.server.deliver("Src", "n", "");
    world.settle();
    world
}

fn shut(world: &World, name: &str) {
    world.server.state().refuses.push(("SELECT", name.to_owned(), Some(RefusalCode::InUse)));
}

#[test]
fn what_left_a_mailbox_that_is_shut_is_known_again_when_it_opens() {
    let acts: [(Act, &str); 3] = [
        (|world| world.move_message("Src", "m", "Mine"), "Else:\nINBOX:\nMine: m\nSrc: n"),
        (|world| world.flag("Src", "m", "\\Flagged", ""), "Else: m(\\Flagged)\nINBOX:\nMine:\nSrc: n"),
        (|_| {}, "Else: m\nINBOX:\nMine:\nSrc: n"),
    ];
    for (traits, (act, end)) in Traits::all().into_iter().flat_map(|traits| acts.map(|act| (traits.clone(), act))) {
        for syncs in 1..4 {
            let world = mirrored(traits.clone());
            act(&world);
            world.server.move_message("Src", 1, "Else");
            shut(&world, "Src");
            for _ in 0..syncs {
                world.sync().expect("a sync");
                world.assert_sound();
            }
            world.server.state().refuses.clear();
            world.settle();
            assert_eq!((world.here().as_str(), world.there().as_str()), (end, end), "shut for {syncs} syncs");
            world.assert_sound();
        }
    }
}

#[test]
fn a_copy_of_what_is_in_a_mailbox_that_stays_shut_is_shown_within_hours() {
    for traits in Traits::all() {
        let world = mirrored(traits);
        shut(&world, "Src");
        world.server.copy("Src", 1, "Else");
        let minutes = |count: i64| NOW_MS + count * 60_000;
        for (at, is_shown) in [(0, false), (59, false), (121, true)] {
            world.sync_at(minutes(at)).expect("a sync");
            assert_eq!(world.here().contains("Else: m"), is_shown, "after {at} minutes: {}", world.here());
            world.assert_sound();
        }
        world.server.state().refuses.clear();
        world.settle();
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

/// A corrupted index, say: it opens, and what is in it cannot be told.
#[test]
fn a_mailbox_that_can_never_be_looked_into_holds_up_no_other_for_long() {
    for traits in Traits::all() {
        let world = mirrored(traits);
        for text in ["x", "y", "z"] {
            world.server.deliver("INBOX", text, "");
        }
        world.settle();
        world.server.renumber("Else");
        world.server.deliver("Else", "e", "");
        world.server.renumber("Src");
        world.server.state().refuses.push(("FINGERPRINTS", "Src ".to_owned(), None));
        world.server.expunge("INBOX", 1);
        // As many runs of the program, each of which syncs once.
        let syncs = (1..20).find(|_| {
            let report = world.sync().expect("a sync");
            assert!(!report.refused.is_empty(), "it is told each time");
            world.assert_sound();
            world.here().contains("INBOX: y z")
        });
        let syncs = syncs.expect("what others deleted is gone in the end");
        assert!(syncs > 3, "it may be what came to where nobody can look, and is told of by a later sync: {syncs}");
        assert!(world.here().contains("Src: m n") && world.here().contains("Else: e"), "{}", world.here());
        // Once it can be looked into it counts again.
        world.server.state().refuses.clear();
        world.sync().expect("a sync");
        world.settle();
        assert_eq!(world.here(), world.there());
        world.server.renumber("Src");
        world.server.state().refuses.push(("FINGERPRINTS", "Src ".to_owned(), None));
        world.server.expunge("INBOX", 2);
        world.sync().expect("a sync");
        assert!(world.here().contains("INBOX: y z"), "{}", world.here());
        world.assert_sound();
    }
}
