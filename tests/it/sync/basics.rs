//! Mirroring, and each kind of act in either direction.

use super::model_remote::{Cut, Traits};
use super::world::World;

#[test]
fn the_first_sync_mirrors_everything_and_the_second_does_nothing() {
    for traits in Traits::all() {
        let world = World::new(traits);
        world.server.create("Work");
        world.server.create("Work.2026");
        for nth in 0..120 {
            world.server.deliver("INBOX", &format!("m{nth}"), if nth % 3 == 0 { "\\Seen" } else { "" });
        }
        world.server.deliver("Work.2026", "plan", "\\Flagged $Important");
        let report = world.sync().expect("a sync");
        assert_eq!(report.arrived, 121);
        assert_eq!(world.here(), world.there());
        world.server.state().calls = 0;
        assert_eq!(world.sync().expect("a sync").to_string(), "no change");
        assert_eq!(world.server.state().fetched.len(), 121, "no message is fetched twice");
        world.assert_sound();
    }
}

#[test]
fn a_sync_without_change_costs_one_call_where_the_server_can_tell() {
    let world = World::new(Traits::modern());
    for nth in 0..20 {
        world.server.create(&format!("Folder{nth}"));
        world.server.deliver(&format!("Folder{nth}"), "m", "");
    }
    world.settle();
    world.server.state().calls = 0;
    world.sync().expect("a sync");
    assert_eq!(world.server.state().calls, 1);
}

#[test]
fn a_first_sync_cut_anywhere_goes_on_without_fetching_what_is_here() {
    for traits in Traits::all() {
        for n in 1..12 {
            let mut world = World::new(traits.clone());
            world.server.create("Work");
            for nth in 0..9 {
                world.server.deliver("INBOX", &format!("m{nth}"), "");
                world.server.deliver("Work", &format!("w{nth}"), "\\Seen");
            }
            world.server.state().cut = Cut::After(n);
            let _ = world.sync();
            world.reopen();
            world.settle();
            assert_eq!(world.here(), world.there());
            assert_eq!(world.server.state().fetched.len(), 18, "cut after call {n}");
            world.assert_sound();
        }
    }
}

/// The answer to a STORE may be lost, and the user change their mind before the next sync: what is seen there then is our own
/// act, and not another's.
#[test]
fn a_flag_taken_back_while_it_is_not_known_whether_it_was_stored_is_off() {
    for traits in Traits::all() {
        let mut template = World::new(traits.clone());
        template.server.deliver("INBOX", "m", "");
        template.settle();
        template.close();
        let mut cut_at = 1;
        loop {
            let world = template.fork();
            world.flag("INBOX", "m", "\\Answered", "");
            world.server.state().calls = 0;
            world.server.state().cut = Cut::After(cut_at);
            if world.sync().is_ok() {
                break;
            }
            world.flag("INBOX", "m", "", "\\Answered");
            world.settle();
            assert_eq!((world.here(), world.there()), ("INBOX: m".to_owned(), "INBOX: m".to_owned()), "after {cut_at}");
            world.assert_sound();
            cut_at += 1;
        }
        assert!(cut_at > 2, "the line was cut {cut_at}");
    }
}
