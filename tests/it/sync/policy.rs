//! The policy's rows, each multiplied: on three kinds of server; run; run again (nothing happens); cut before and after
//! every call, the store reopened, and gone on (the same end).

use super::model_remote::{Cut, Server, Traits};
use super::world::World;

/// A row: what both sides have, what each does, and what must come of it.
struct Row {
    name: &'static str,
    before: fn(&Server),
    here: fn(&World),
    there: fn(&Server),
    /// Both sides in the end, as [`World::here`] tells.
    end: &'static str,
    conflicts: &'static [&'static str],
    parked: usize,
}

fn two_folders(server: &Server) {
    server.create("B");
    server.create("C");
    server.deliver("INBOX", "x", "");
    server.deliver("INBOX", "m", "\\Flagged");
    server.deliver("INBOX", "y", "\\Seen");
}

const ROWS: &[Row] = &[
    Row {
        name: "flags here, flags there: both sides' changes",
        before: two_folders,
        here: |world| world.flag("INBOX", "m", "\\Seen work", "\\Flagged"),
        there: |server| server.set_flags("INBOX", 2, "\\Flagged \\Answered"),
        end: "B:\nC:\nINBOX: m(\\Answered \\Seen work) x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a flag asserted here and removed there stays",
        before: two_folders,
        here: |world| world.flag("INBOX", "m", "\\Flagged", ""),
        there: |server| server.set_flags("INBOX", 2, ""),
        end: "B:\nC:\nINBOX: m(\\Flagged) x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "flags here, expunged there: gone, told",
        before: two_folders,
        here: |world| world.flag("INBOX", "m", "\\Seen", ""),
        there: |server| server.expunge("INBOX", 2),
        end: "B:\nC:\nINBOX: x y(\\Seen)",
        conflicts: &["flags-expunged"],
        parked: 0,
    },
    Row {
        name: "moved here, flags there: moved, with the merged flags",
        before: two_folders,
        here: |world| {
            world.flag("INBOX", "m", "\\Seen", "");
            world.move_message("INBOX", "m", "B");
        },
        there: |server| server.set_flags("INBOX", 2, "\\Flagged \\Answered"),
        end: "B: m(\\Answered \\Flagged \\Seen)\nC:\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "moved here, moved elsewhere there: where the user put it, told",
        before: two_folders,
        here: |world| world.move_message("INBOX", "m", "B"),
        there: |server| {
            server.move_message("INBOX", 2, "C");
        },
        end: "B: m(\\Flagged)\nC:\nINBOX: x y(\\Seen)",
        conflicts: &["moved-moved"],
        parked: 0,
    },
    Row {
        name: "moved to the same place on both sides: there, once",
        before: two_folders,
        here: |world| world.move_message("INBOX", "m", "B"),
        there: |server| {
            server.move_message("INBOX", 2, "B");
        },
        end: "B: m(\\Flagged)\nC:\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "moved here, expunged there: appended anew, told",
        before: two_folders,
        here: |world| world.move_message("INBOX", "m", "B"),
        there: |server| server.expunge("INBOX", 2),
        end: "B: m(\\Flagged)\nC:\nINBOX: x y(\\Seen)",
        conflicts: &["moved-expunged"],
        parked: 0,
    },
    Row {
        name: "deleted here, flags there: deleted",
        before: two_folders,
        here: |world| world.expunge("INBOX", "m"),
        there: |server| server.set_flags("INBOX", 2, "\\Answered"),
        end: "B:\nC:\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "deleted here, moved there: it stays there, told",
        before: two_folders,
        here: |world| world.expunge("INBOX", "m"),
        there: |server| {
            server.move_message("INBOX", 2, "C");
        },
        end: "B:\nC: m(\\Flagged)\nINBOX: x y(\\Seen)",
        conflicts: &["deleted-moved"],
        parked: 0,
    },
    Row {
        name: "deleted on both sides: gone",
        before: two_folders,
        here: |world| world.expunge("INBOX", "m"),
        there: |server| server.expunge("INBOX", 2),
        end: "B:\nC:\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "moved there: followed",
        before: two_folders,
        here: |world| world.flag("INBOX", "m", "\\Seen", ""),
        there: |server| {
            server.move_message("INBOX", 2, "C");
        },
        end: "B:\nC: m(\\Flagged \\Seen)\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder renamed on both sides: upstream's name wins, told",
        before: |server| {
            server.create("A");
            server.deliver("A", "m", "");
        },
        here: |world| world.rename("A", "Mine"),
        there: |server| server.rename("A", "Theirs"),
        end: "INBOX:\nTheirs: m",
        conflicts: &["folder-renamed-twice"],
        parked: 0,
    },
    Row {
        name: "a folder deleted here, new mail in it there: it stays, parked, told",
        before: |server| {
            server.create("A");
            server.deliver("A", "m", "");
        },
        here: |world| world.delete("A"),
        there: |server| {
            server.deliver("A", "new", "");
        },
        end: "A: m new\nINBOX:",
        conflicts: &["folder-deleted-new-mail"],
        parked: 1,
    },
    Row {
        name: "a folder deleted here, renamed there: it is back under its new name, told",
        before: |server| {
            server.create("A");
            server.deliver("A", "m", "");
        },
        here: |world| world.delete("A"),
        there: |server| server.rename("A", "Keep"),
        end: "INBOX:\nKeep: m",
        conflicts: &["folder-deleted-renamed"],
        parked: 0,
    },
    Row {
        name: "a draft replaced on both sides: both kept, told",
        before: |server| {
            server.create("Drafts");
            server.deliver("Drafts", "draft", "\\Draft");
        },
        here: |world| {
            world.append("Drafts", "mine", "\\Draft");
            world.expunge("Drafts", "draft");
        },
        there: |server| {
            server.deliver("Drafts", "theirs", "\\Draft");
            server.expunge("Drafts", 1);
        },
        end: "Drafts: mine(\\Draft) theirs(\\Draft)\nINBOX:",
        conflicts: &["draft-replaced-twice"],
        parked: 0,
    },
    Row {
        name: "appended, flagged, moved, deleted while away",
        before: two_folders,
        here: |world| {
            world.append("INBOX", "one", "\\Draft");
            world.flag("INBOX", "one", "\\Seen", "\\Draft");
            world.move_message("INBOX", "one", "B");
            world.append("C", "two", "");
            world.flag("C", "two", "\\Flagged", "");
            world.expunge("C", "two");
            world.append("C", "three", "");
        },
        there: |_| {},
        end: "B: one(\\Seen)\nC: three\nINBOX: m(\\Flagged) x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "copies, of messages there and of messages not there yet",
        before: two_folders,
        here: |world| {
            world.copy("INBOX", "m", "B");
            world.copy("INBOX", "m", "B");
            world.flag("INBOX", "m", "\\Seen", "");
            world.copy("INBOX", "m", "C");
            world.append("B", "new", "");
            world.copy("B", "new", "C");
            world.expunge("INBOX", "m");
        },
        there: |_| {},
        end: "B: m(\\Flagged) m(\\Flagged) new\nC: m(\\Flagged \\Seen) new\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "the same message appended twice is there twice",
        before: two_folders,
        here: |world| {
            world.append("B", "twin", "");
            world.append("B", "twin", "");
            world.append("B", "m", "");
        },
        there: |_| {},
        end: "B: m twin twin\nC:\nINBOX: m(\\Flagged) x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "moved there and back is nothing; moved twice is once",
        before: two_folders,
        here: |world| {
            world.move_message("INBOX", "m", "B");
            world.move_message("B", "m", "INBOX");
            world.move_message("INBOX", "x", "B");
            world.move_message("B", "x", "C");
        },
        there: |_| {},
        end: "B:\nC: x\nINBOX: m(\\Flagged) y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "folders made, renamed and deleted, with mail moved between",
        before: two_folders,
        here: |world| {
            world.create("New/Deep");
            world.move_message("INBOX", "m", "New/Deep");
            world.rename("New", "Old");
            world.append("Old/Deep", "late", "");
            world.move_message("INBOX", "x", "B");
            world.rename("B", "Bee");
            world.delete("C");
            world.create("C");
            world.append("C", "again", "");
            world.create("Gone");
            world.append("Gone", "lost", "");
            world.delete("Gone");
            world.subscribe("Bee", true);
        },
        there: |_| {},
        end: "Bee*: x\nC: again\nINBOX: y(\\Seen)\nOld:\nOld/Deep: late m(\\Flagged)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "folders made, renamed and deleted there",
        before: |server| {
            two_folders(server);
            server.deliver("B", "b", "");
            server.deliver("C", "c", "");
        },
        here: |_| {},
        there: |server| {
            server.rename("B", "Bee");
            server.state().mailboxes.remove("C");
            server.create("New");
            server.deliver("New", "n", "\\Seen");
        },
        end: "Bee: b\nINBOX: m(\\Flagged) x y(\\Seen)\nNew: n(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder deleted there into which mail was put here is made again",
        before: two_folders,
        here: |world| {
            world.move_message("INBOX", "m", "B");
            world.append("B", "new", "");
        },
        there: |server| {
            server.state().mailboxes.remove("B");
        },
        end: "B: m(\\Flagged) new\nC:\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "the same folder made on both sides is one",
        before: two_folders,
        here: |world| {
            world.create("Same");
            world.append("Same", "ours", "");
        },
        there: |server| {
            server.create("Same");
            server.deliver("Same", "theirs", "");
        },
        end: "B:\nC:\nINBOX: m(\\Flagged) x y(\\Seen)\nSame: ours theirs",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "UIDVALIDITY changed while everything was acted on",
        before: |server| {
            two_folders(server);
            server.deliver("INBOX", "y", "\\Seen");
        },
        here: |world| {
            world.flag("INBOX", "x", "\\Seen", "");
            world.move_message("INBOX", "m", "B");
            world.append("INBOX", "new", "");
        },
        there: |server| {
            server.renumber("INBOX");
            server.renumber("B");
        },
        end: "B: m(\\Flagged)\nC:\nINBOX: new x(\\Seen) y(\\Seen) y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
];

#[test]
fn every_row_ends_as_the_policy_says_after_every_cut_with_qresync_and_move() {
    ROWS.iter().for_each(|row| run(row, Traits::modern()));
}

#[test]
fn every_row_ends_as_the_policy_says_after_every_cut_with_condstore_and_uidplus() {
    ROWS.iter().for_each(|row| run(row, Traits::middling()));
}

#[test]
fn every_row_ends_as_the_policy_says_after_every_cut_on_a_plain_server() {
    ROWS.iter().for_each(|row| run(row, Traits::plain()));
}

fn run(row: &Row, traits: Traits) {
    let mut template = World::new(traits.clone());
    (row.before)(&template.server);
    template.settle();
    (row.here)(&template);
    (row.there)(&template.server);
    template.close();
    let what = |cut: Cut| format!("{} | {cut:?} | {traits:?}", row.name);

    let world = template.fork();
    world.sync().expect("a sync");
    let (calls, telling) = {
        let state = world.server.state();
        (state.calls, state.telling.clone())
    };
    world.settle();
    assert_end(row, &world, &what(Cut::Never));

    // The lost answer to a call that changed nothing is like a call that never got there.
    for cut in (1..=calls).map(Cut::Before).chain(telling.into_iter().map(Cut::After)) {
        let mut world = template.fork();
        world.server.state().cut = cut;
        let _ = world.sync();
        world.reopen();
        world.settle();
        assert_end(row, &world, &what(cut));
    }
}

fn assert_end(row: &Row, world: &World, what: &str) {
    assert_eq!(world.there(), row.end, "there: {what}\n{:#?}", world.journal());
    assert_eq!(world.here(), row.end, "here: {what}");
    assert_eq!(world.conflicts(), row.conflicts, "{what}");
    let journal = world.journal();
    assert_eq!(journal.len(), row.parked, "{what}: {journal:#?}");
    world.server.state().changes = 0;
    let again = world.sync().expect("a sync");
    assert_eq!((world.server.state().changes, again.to_string()), (0, "no change".to_owned()), "{what}");
    world.assert_sound();
}
