//! A server on which mailboxes are labels: one message in several of them, fetched once, never doubled and never lost.

use super::model_remote::{Onto, Traits};
use super::world::World;

const EACH: [Onto; 3] = [Onto::Same, Onto::Anew, Onto::Untold];

/// INBOX, A, B, Trash and All; x is in INBOX, m in INBOX and A, y in A and B.
fn world(onto: Onto) -> World {
    let world = World::new(Traits::labels(onto));
    for name in ["A", "All", "B", "Trash"] {
        world.server.create(name);
    }
    world.server.deliver("INBOX", "x", "");
    let m = world.server.deliver("INBOX", "m", "");
    world.server.copy("INBOX", m, "A");
    let y = world.server.deliver("A", "y", "");
    world.server.copy("A", y, "B");
    world.settle();
    world
}

fn assert_equal(world: &World, expected: &str) {
    assert_eq!(world.here(), world.there());
    assert_eq!(world.here(), expected);
    assert_eq!(world.journal(), Vec::<String>::new());
    assert_eq!(world.conflicts(), Vec::<String>::new());
    world.assert_sound();
}

/// How often the bytes of a message were fetched.
fn fetches(world: &World) -> usize {
    world.server.state().fetched.len()
}

#[test]
fn a_message_with_several_labels_is_in_each_folder_and_fetched_once() {
    let world = world(Onto::Same);
    assert_equal(&world, "A: m y\nAll: m x y\nB: y\nINBOX: m x\nTrash:");
    assert_eq!(fetches(&world), 3);
    // A label that somebody sets is a copy here; one that they take off is a message less.
    let x = *world.server.state().mailboxes["INBOX"].messages.keys().next().expect("x");
    world.server.copy("INBOX", x, "B");
    let m = *world.server.state().mailboxes["A"].messages.keys().next().expect("m");
    world.server.expunge("A", m);
    world.settle();
    assert_equal(&world, "A: y\nAll: m x y\nB: x y\nINBOX: m x\nTrash:");
    assert_eq!(fetches(&world), 3, "nothing was fetched for it");
}

#[test]
fn what_was_appended_here_is_not_fetched_from_all_mail() {
    let world = world(Onto::Same);
    world.append("A", "draft", "\\Draft");
    world.settle();
    assert_equal(&world, "A: draft(\\Draft) m y\nAll: draft(\\Draft) m x y\nB: y\nINBOX: m x\nTrash:");
    assert_eq!(fetches(&world), 3);
}

#[test]
fn a_move_between_labels_takes_one_off_and_sets_the_other() {
    for onto in EACH {
        let world = world(onto);
        world.move_message("INBOX", "x", "B");
        world.copy("INBOX", "m", "B");
        world.settle();
        assert_equal(&world, "A: m y\nAll: m x y\nB: m x y\nINBOX: m\nTrash:");
        assert_eq!(fetches(&world), 3, "{onto:?}");
    }
}

#[test]
fn what_is_put_where_it_is_already_is_there_once() {
    for onto in EACH {
        let world = world(onto);
        world.move_message("INBOX", "m", "A");
        world.copy("A", "y", "B");
        world.settle();
        assert_equal(&world, "A: m y\nAll: m x y\nB: y\nINBOX: x\nTrash:");
    }
}

#[test]
fn an_expunge_takes_a_label_off_and_trash_takes_off_all() {
    for onto in EACH {
        let world = world(onto);
        world.expunge("INBOX", "m");
        world.move_message("A", "y", "Trash");
        world.settle();
        assert_equal(&world, "A: m\nAll: m x\nB:\nINBOX: x\nTrash: y");
        world.expunge("Trash", "y");
        world.settle();
        assert_equal(&world, "A: m\nAll: m x\nB:\nINBOX: x\nTrash:");
    }
}

#[test]
fn much_that_goes_to_the_trash_is_no_loss_for_the_guard() {
    let world = world(Onto::Same);
    for number in 0..80 {
        let uid = world.server.deliver("INBOX", &format!("n{number}"), "");
        world.server.copy("INBOX", uid, "A");
    }
    world.settle();
    for number in 0..80 {
        world.move_message("INBOX", &format!("n{number}"), "Trash");
    }
    world.settle();
    assert_eq!(world.here(), world.there());
    assert!(world.here().starts_with("A: m y\nAll: m x y\n"), "{}", world.here());
    let quarantined = world.read(|reader| reader.quarantined(world.account));
    assert!(quarantined.is_empty(), "{quarantined:?}");
}

#[test]
fn what_lost_its_label_there_while_it_was_moved_here_is_moved_from_where_it_still_is() {
    for onto in EACH {
        for (target, expected) in [
            ("Trash", "A: m y\nAll: m y\nB: y\nINBOX: m\nTrash: x"),
            ("B", "A: m y\nAll: m x y\nB: x y\nINBOX: m\nTrash:"),
        ] {
            let world = world(onto);
            let x = *world.server.state().mailboxes["INBOX"].messages.keys().next().expect("x");
            world.move_message("INBOX", "x", target);
            world.server.expunge("INBOX", x);
            world.settle();
            assert_equal(&world, expected);
        }
    }
}

#[test]
fn what_was_stored_here_and_copied_on_is_one_message() {
    for onto in EACH {
        let world = world(onto);
        world.append("A", "n", "");
        world.copy("A", "n", "B");
        world.settle();
        assert_equal(&world, "A: m n y\nAll: m n x y\nB: n y\nINBOX: m x\nTrash:");
        world.append("A", "o", "");
        world.copy("A", "o", "Trash");
        world.settle();
        assert_equal(&world, "A: m n y\nAll: m n x y\nB: n y\nINBOX: m x\nTrash: o");
    }
}

#[test]
fn flags_set_here_on_what_lost_its_label_there_are_set_where_it_still_is() {
    for onto in EACH {
        let world = world(onto);
        let x = *world.server.state().mailboxes["INBOX"].messages.keys().next().expect("x");
        world.flag("INBOX", "x", "\\Flagged work", "");
        world.flag("INBOX", "x", "", "work");
        world.server.expunge("INBOX", x);
        world.settle();
        assert_equal(&world, "A: m y\nAll: m x(\\Flagged) y\nB: y\nINBOX: m\nTrash:");
    }
}

/// Found by the simulator, seed 179646: what was seen of it in the trash was seen of another, and it was put there anew without.
#[test]
fn flags_that_were_set_there_on_what_was_moved_on_both_sides_are_on_it_where_it_was_moved_here() {
    for onto in EACH {
        for lister in ["All", "INBOX"] {
            let world = world(onto);
            let x = *world.server.state().mailboxes["INBOX"].messages.keys().next().expect("x");
            world.move_message("INBOX", "x", "B");
            for name in [lister, "INBOX"] {
                let uid = *world.server.state().mailboxes[name].messages.keys().next().expect("x");
                world.server.set_flags(name, uid, "work");
            }
            // With news INBOX is looked at first, and again, last.
            world.server.deliver("INBOX", "z", "");
            world.server.move_message("INBOX", x, "Trash");
            world.settle();
            assert_eq!(world.here(), world.there());
            assert!(world.here().contains("B: x(work) y"), "{}", world.here());
            world.assert_sound();
        }
    }
}
