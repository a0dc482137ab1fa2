//! The choice of mailboxes that are mirrored, changed later.

use mailtide::store::Origin;
use mailtide::types::{FolderFilter, Glob, Timestamp};

use super::model_remote::Traits;
use super::world::World;

fn without(exclude: &[&str]) -> FolderFilter {
    let exclude = exclude.iter().map(|glob| Glob::new(glob)).collect();
    FolderFilter { folders: vec![Glob::new("*")], exclude }
}

fn mirrored(traits: Traits) -> World {
    let world = World::new(traits);
    for name in ["Lists", "Lists.rust"] {
        world.server.create(name);
        for nth in 0..3 {
            world.server.deliver(name, &format!("{}{nth}", name.to_lowercase()), "");
        }
    }
    world.settle();
    world
}

#[test]
fn what_is_left_out_goes_out_of_sight_and_comes_back_as_it_was() {
    for traits in Traits::all() {
        let mut world = mirrored(traits);
        let (before, there) = (world.here(), world.there());
        let mailbox = world.read(|reader| reader.mailbox(world.mailbox("Lists/rust")));
        world.filter = without(&["Lists/*"]);
        let report = world.settle();
        assert_eq!(report.to_string(), "Lists/rust is no longer mirrored");
        assert_eq!(world.here(), "INBOX:\nLists: lists0 lists1 lists2");
        assert_eq!(world.there(), there, "nothing is deleted upstream");
        world.assert_sound();

        world.server.deliver("Lists.rust", "late", "");
        world.settle();
        world.server.state().fetched.clear();
        world.filter = FolderFilter::all();
        let report = world.settle();
        assert_eq!(report.to_string(), "1 arrived, Lists/rust is mirrored again");
        assert_eq!(world.here(), before.replace("Lists/rust:", "Lists/rust: late"));
        assert_eq!(world.server.state().fetched.len(), 1, "what is here is not fetched again");
        let after = world.read(|reader| reader.mailbox(world.mailbox("Lists/rust")));
        assert_eq!((after.id, after.uid_validity), (mailbox.id, mailbox.uid_validity));
        world.assert_sound();
    }
}

#[test]
fn what_waits_in_a_mailbox_is_done_before_it_is_left_out() {
    for traits in Traits::all() {
        let mut world = mirrored(traits);
        world.append("Lists/rust", "draft", "");
        world.flag("Lists/rust", "lists.rust0", "\\Seen", "");
        world.move_message("Lists/rust", "lists.rust1", "INBOX");
        world.move_message("Lists", "lists0", "Lists/rust");
        world.filter = without(&["Lists/*"]);
        let report = world.settle();
        assert!(report.to_string().ends_with("Lists/rust is no longer mirrored"), "{report}");
        assert_eq!(world.here(), "INBOX: lists.rust1\nLists: lists1 lists2");
        assert!(
            world.there().contains("Lists/rust: draft lists.rust0(\\Seen) lists.rust2 lists0"),
            "{}",
            world.there()
        );
        world.assert_sound();
    }
}

#[test]
fn what_is_set_aside_keeps_a_mailbox_in_the_mirror_and_that_is_told() {
    let mut world = mirrored(Traits::modern());
    world.server.state().refuses.push(("APPEND", "Lists.rust".to_owned(), None));
    world.append("Lists/rust", "draft", "");
    world.settle();
    world.filter = without(&["Lists/*"]);
    for _ in 0..2 {
        let report = world.sync().expect("a sync");
        assert_eq!(report.to_string(), "Lists/rust is mirrored until what waits in it is done");
        assert!(world.here().contains("draft"));
    }
    world.server.state().refuses.clear();
    let entry = world.read(|reader| reader.entries(world.account))[0].id;
    world.write(Origin::LocalUser, move |txn| txn.retry(entry));
    world.settle();
    assert_eq!(world.here(), "INBOX:\nLists: lists0 lists1 lists2");
    assert!(world.there().contains("draft"));
    world.assert_sound();
}

#[test]
fn a_mailbox_out_of_sight_is_followed_when_upstream_renames_or_deletes_it() {
    for traits in Traits::all() {
        let mut world = mirrored(traits);
        world.filter = without(&["Lists/*", "Other"]);
        world.settle();
        world.server.rename("Lists.rust", "Other");
        assert_eq!(world.settle().to_string(), "no change");
        world.server.state().fetched.clear();
        world.filter = without(&["Lists/*"]);
        world.settle();
        assert_eq!(world.here(), world.there());
        assert_eq!(world.server.state().fetched.len(), 0);
        world.filter = without(&["Other"]);
        world.settle();
        world.server.state().mailboxes.remove("Other");
        assert_eq!(world.settle().blocked, Vec::<String>::new());
        assert_eq!(world.here(), world.there());
        let gone = world.read(|reader| reader.gone(world.account));
        assert_eq!(gone.len(), 3, "the bytes are kept for recovery");
        assert!(gone.iter().all(|gone| gone.from == "Other"), "{gone:?}");
        world.assert_sound();
    }
}

#[test]
fn a_mailbox_made_here_is_mirrored_whatever_its_name_and_one_out_of_sight_is_back_when_it_is_made_again() {
    let mut world = mirrored(Traits::modern());
    world.filter = without(&["Lists/*", "Trash"]);
    world.settle();
    world.create("Trash");
    world.settle();
    assert!(world.here().contains("Trash:") && world.there().contains("Trash:"));
    world.create("Lists/rust");
    assert!(world.here().contains("Lists/rust: lists.rust0"), "{}", world.here());
    world.settle();
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}

#[test]
fn the_first_choice_after_an_upgrade_is_no_change_of_it() {
    for traits in Traits::all() {
        let mut world = World::new(traits);
        world.filter = without(&["Trash"]);
        world.create("Trash");
        world.settle();
        world.forget_choice();
        assert_eq!(world.settle().to_string(), "no change");
        assert_eq!(world.here(), "INBOX:\nTrash:");
        world.filter = without(&["Tr*"]);
        assert_eq!(world.settle().to_string(), "Trash is no longer mirrored");
        world.assert_sound();
    }
}

#[test]
fn what_is_long_out_of_sight_is_dropped_here_and_fetched_when_it_is_wanted_again() {
    let mut world = mirrored(Traits::modern());
    let before = world.here();
    world.filter = without(&["Lists/*"]);
    world.settle();
    let later = Timestamp::from_unix_ms(i64::MAX);
    assert_eq!(world.write(Origin::Upstream, move |txn| txn.purge_gone(later)), 3);
    world.assert_sound();
    assert_eq!(world.settle().to_string(), "no change");
    world.filter = FolderFilter::all();
    world.settle();
    assert_eq!(world.here(), before);
    world.assert_sound();
}
