//! The policy's rows for messages.

use super::model_remote::Traits;
use super::table::{Row, run, two_folders};

pub const ROWS: &[Row] = &[
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
