//! Many messages appended here go up together: none is lost and none doubled, whenever the line is cut.

use mailtide::store::Origin;
use mailtide::sync::remote::RefusalCode;

use super::model_remote::{Appends, Cut, Server, Traits};
use super::table::{self, Row};
use super::world::World;

/// Servers with and without UIDPLUS, and the ways to append.
fn kinds() -> [Traits; 4] {
    let of = |traits, appends| Traits { appends, ..traits };
    [
        of(Traits::modern(), Appends::AsOne),
        of(Traits::modern(), Appends::Unheard),
        of(Traits::plain(), Appends::AsOne),
        of(Traits::plain(), Appends::Each),
    ]
}

/// A mailbox with a message.
fn one_folder(server: &Server) {
    server.create("B");
    server.deliver("B", "old", "");
}

/// Messages for two mailboxes, two of them the same.
fn write_letters(world: &World) {
    for (text, flags) in [("a", ""), ("twin", ""), ("b", "\\Seen"), ("twin", "")] {
        world.append("B", text, flags);
    }
    world.append("INBOX", "c", "\\Flagged");
}

const ALL_THERE: &str = "B: a b(\\Seen) old theirs twin twin\nINBOX: c(\\Flagged)";

#[test]
fn many_appends_end_once_each_whenever_the_line_is_cut() {
    let row = Row {
        name: "many appends",
        before: one_folder,
        here: write_letters,
        there: |server| {
            server.deliver("B", "theirs", "");
        },
        end: ALL_THERE,
        conflicts: &[],
        parked: 0,
    };
    kinds().into_iter().for_each(|traits| table::run(&row, traits));
}

/// The messages are written, and an answer of a sync is lost: each time another.
fn whenever_cut(traits: &Traits, then: impl Fn(&World, &str)) {
    let mut template = World::new(traits.clone());
    one_folder(&template.server);
    template.settle();
    write_letters(&template);
    template.server.deliver("B", "theirs", "");
    template.close();
    let world = template.fork();
    world.sync().expect("a sync");
    for cut in table::cuts(&world.server).into_iter().filter(|cut| matches!(cut, Cut::After(_))) {
        let mut world = template.fork();
        world.server.state().cut = cut;
        let _ = world.sync();
        world.server.state().cut = Cut::Never;
        world.reopen();
        let what = format!("{cut:?} | {traits:?}");
        then(&world, &what);
        assert_eq!(world.journal(), Vec::<String>::new(), "{what}");
        world.assert_sound();
    }
}

#[test]
fn what_the_user_does_to_messages_on_their_way_is_done_as_well() {
    for traits in kinds() {
        whenever_cut(&traits, |world, what| {
            world.expunge("B", "a");
            world.move_message("B", "b", "INBOX");
            world.flag("INBOX", "c", "\\Answered", "");
            world.settle();
            let end = "B: old theirs twin twin\nINBOX: b(\\Seen) c(\\Answered \\Flagged)";
            assert_eq!((world.there().as_str(), world.here().as_str()), (end, end), "{what}");
        });
    }
}

#[test]
fn what_cannot_be_seen_of_many_appends_is_in_doubt_and_found_later() {
    for traits in kinds() {
        whenever_cut(&traits, |world, what| {
            world.server.state().refuses.push(("SELECT", "B".to_owned(), None));
            let _ = world.sync();
            world.server.state().refuses.clear();
            world.settle();
            assert_eq!((world.there().as_str(), world.here().as_str()), (ALL_THERE, ALL_THERE), "{what}");
        });
    }
}

#[test]
fn of_many_appends_only_what_is_refused_is_set_aside() {
    for traits in kinds() {
        let world = World::new(traits.clone());
        one_folder(&world.server);
        world.settle();
        write_letters(&world);
        world.server.deliver("B", "theirs", "");
        world.server.state().refuses.push(("APPEND", "This is b".to_owned(), Some(RefusalCode::TooBig)));
        world.settle();
        assert_eq!(world.there(), ALL_THERE.replace(" b(\\Seen) ", " "), "{traits:?}");
        let [parked] = &world.journal()[..] else { panic!("one is parked: {:?}", world.journal()) };
        assert!(parked.starts_with("parked: no APPEND; it never takes a message this large"), "{parked}");
        world.server.state().refuses.clear();
        let entry = world.read(|reader| reader.entries(world.account))[0].id;
        world.write(Origin::LocalUser, move |txn| txn.retry(entry));
        world.settle();
        assert_eq!((world.there().as_str(), world.here().as_str()), (ALL_THERE, ALL_THERE), "{traits:?}");
    }
}

/// Calls to the server are round trips, but that appends which are not [`Appends::AsOne`] are pipelined.
#[test]
fn what_became_of_many_appends_is_looked_for_once() {
    const LETTERS: usize = 200;
    for traits in kinds() {
        let world = World::new(traits.clone());
        world.server.create("B");
        world.settle();
        for letter in 0..LETTERS {
            world.append("B", &format!("letter-{letter}"), "");
        }
        let before = world.server.state().calls;
        assert_eq!(world.sync().expect("a sync").appended, LETTERS);
        let calls = world.server.state().calls - before;
        let sends = if traits.appends == Appends::AsOne { 1 } else { LETTERS };
        assert!(calls < sends + 20, "{calls} calls with {traits:?}");
        assert_eq!(world.here(), world.there());
        assert_eq!(world.journal(), Vec::<String>::new());
    }
}
