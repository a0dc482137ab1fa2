//! What just came into a mailbox is taken in ahead of the sync that covers it, and the sync finds nothing amiss.

use mailtide::sync::Came;
use mailtide::sync::remote::{Remote, RemoteName};
use mailtide::types::{Bodies, BodyPolicy};

use super::model_remote::{Cut, Traits};
use super::world::World;

/// A world with two messages in INBOX and one in Work, all of them here.
fn world(traits: Traits) -> World {
    let world = World::new(traits);
    world.server.create("Work");
    for (mailbox, text) in [("INBOX", "a"), ("INBOX", "b"), ("Work", "w")] {
        world.server.deliver(mailbox, text, "");
    }
    world.settle();
    world
}

#[test]
fn what_came_is_here_at_once_and_fetched_once() {
    for traits in Traits::all() {
        for is_selected in [true, false] {
            let world = world(traits.clone());
            world.server.deliver("INBOX", "c", "\\Flagged");
            world.server.deliver("INBOX", "d", "");
            assert_eq!(world.catch("INBOX", is_selected), 2);
            assert_eq!(world.here(), world.there());
            assert_eq!(world.catch("INBOX", is_selected), 0);
            world.settle();
            assert_eq!(world.here(), world.there());
            assert_eq!(world.server.state().fetched.len(), 5, "no message is fetched twice");
            world.assert_sound();
        }
    }
}

#[test]
fn a_message_moved_upstream_is_the_same_message_though_it_was_caught() {
    for traits in Traits::all() {
        let world = world(traits);
        world.flag("Work", "w", "$mine", "");
        world.server.move_message("Work", 1, "INBOX");
        assert_eq!(world.catch("INBOX", true), 1);
        // It may be the one that it was: until that is known nobody sees it twice.
        assert!(world.uids("INBOX", "w").is_empty());
        world.settle();
        assert_eq!((world.uids("INBOX", "w").len(), world.uids("Work", "w").len()), (1, 0));
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

#[test]
fn nothing_is_caught_while_something_of_ours_may_be_on_its_way() {
    for cut in 1..12 {
        let world = world(Traits::modern());
        world.move_message("Work", "w", "INBOX");
        world.server.state().cut = Cut::After(cut);
        let _ = world.sync();
        world.server.state().cut = Cut::Never;
        world.catch("INBOX", true);
        world.settle();
        assert_eq!((world.uids("INBOX", "w").len(), world.uids("Work", "w").len()), (1, 0), "cut after {cut}");
        assert_eq!(world.here(), world.there(), "cut after {cut}");
        world.assert_sound();
    }
}

#[test]
fn another_mailbox_of_the_name_and_one_never_looked_into_are_left_to_the_sync() {
    let world = world(Traits::modern());
    world.server.create("New");
    world.server.deliver("New", "n", "");
    assert_eq!(world.catch("New", false), 0);
    world.server.renumber("INBOX");
    world.server.deliver("INBOX", "c", "");
    for is_selected in [true, false] {
        assert_eq!(world.catch("INBOX", is_selected), 0);
    }
    world.settle();
    assert_eq!(world.here(), world.there());
}

#[test]
fn of_what_comes_no_more_is_caught_than_the_configuration_wants() {
    for is_selected in [true, false] {
        let mut world = World::new(Traits::modern());
        world.bodies = BodyPolicy { default: Bodies::Headers, ..BodyPolicy::ALL };
        world.server.deliver("INBOX", "a", "");
        world.settle();
        world.server.deliver("INBOX", "c", "\\Flagged");
        assert_eq!(world.catch("INBOX", is_selected), 1);
        assert_eq!(world.server.state().fetched, [], "its header suffices");
        world.settle();
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

impl World {
    /// Catches what came into a mailbox: selected before, or not.
    pub(super) fn catch(&self, mailbox: &str, is_selected: bool) -> usize {
        let name = RemoteName(mailbox.to_owned());
        let mut remote = self.server.connect();
        let came = match is_selected {
            true => {
                let selected = super::world::block_on(remote.select(&name, None)).expect("a mailbox");
                Came::Here(name, selected.uid_validity)
            }
            false => Came::There(name),
        };
        let clock = || mailtide::types::Timestamp::from_unix_ms(1_700_000_000_000);
        super::world::block_on(self.engine().catch(&mut remote, &clock, &came)).expect("no cut")
    }
}
