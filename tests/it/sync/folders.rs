//! The policy's rows for folders, and what lies beside them.

use super::model_remote::{Server, Traits};
use super::table::{Row, run, two_folders};

fn in_a(server: &Server) {
    server.create("A");
    server.deliver("A", "m", "");
}

fn a_tree(server: &Server) {
    in_a(server);
    server.create("A.x");
    server.deliver("A.x", "c", "");
}

const ROWS: &[Row] = &[
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
        name: "a folder renamed here, deleted there: made anew under its new name, told",
        before: in_a,
        here: |world| {
            world.rename("A", "Mine");
            world.flag("Mine", "m", "\\Seen", "");
        },
        there: |server| drop(server.state().mailboxes.remove("A")),
        end: "INBOX:\nMine: m(\\Seen)",
        conflicts: &["folder-renamed-gone"],
        parked: 0,
    },
    Row {
        name: "an empty folder renamed here, deleted there: made anew, told",
        before: |server| server.create("A"),
        here: |world| world.rename("A", "Mine"),
        there: |server| drop(server.state().mailboxes.remove("A")),
        end: "INBOX:\nMine:",
        conflicts: &["folder-renamed-gone"],
        parked: 0,
    },
    Row {
        name: "a folder renamed here with work waiting in it, emptied and deleted there",
        before: |server| {
            in_a(server);
            for text in ["deleted", "moved", "followed"] {
                server.deliver("A", text, "");
            }
        },
        here: |world| {
            world.append("A", "early", "");
            world.rename("A", "Mine");
            world.expunge("Mine", "deleted");
            world.move_message("Mine", "moved", "INBOX");
            world.append("Mine", "late", "");
        },
        there: |server| {
            server.move_message("A", 4, "INBOX");
            server.state().mailboxes.remove("A");
        },
        end: "INBOX: followed moved\nMine: early late m",
        conflicts: &["folder-renamed-gone", "moved-expunged"],
        parked: 0,
    },
    // Found by the simulator, seed 176186: the message stayed in INBOX there as well.
    Row {
        name: "a folder renamed here with what was moved into it, deleted there: made anew, and the move is done",
        before: two_folders,
        here: |world| {
            world.move_message("INBOX", "m", "B");
            world.copy("INBOX", "x", "B");
            world.rename("B", "Mine");
        },
        there: |server| drop(server.state().mailboxes.remove("B")),
        end: "C:\nINBOX: x y(\\Seen)\nMine: m(\\Flagged) x",
        conflicts: &["folder-renamed-gone"],
        parked: 0,
    },
    Row {
        name: "a folder renamed here, deleted there with all below it: made anew, told",
        before: a_tree,
        here: |world| world.rename("A", "Mine"),
        there: |server| server.state().mailboxes.retain(|name, _| name == "INBOX"),
        end: "INBOX:\nMine: m\nMine/x: c",
        conflicts: &["folder-renamed-gone", "folder-renamed-gone"],
        parked: 0,
    },
    Row {
        name: "a folder renamed here, deleted there without those below it: they are renamed all the same",
        before: a_tree,
        here: |world| world.rename("A", "Mine"),
        there: |server| drop(server.state().mailboxes.remove("A")),
        end: "INBOX:\nMine: m\nMine/x: c",
        conflicts: &["folder-renamed-gone"],
        parked: 0,
    },
    Row {
        name: "a folder deleted there, work waiting in it: what was put into it stays",
        before: |server| {
            in_a(server);
            server.deliver("INBOX", "x", "");
        },
        here: |world| {
            world.flag("A", "m", "\\Seen", "");
            world.copy("A", "m", "INBOX");
            world.move_message("INBOX", "x", "A");
        },
        there: |server| drop(server.state().mailboxes.remove("A")),
        end: "A: x\nINBOX: m(\\Seen)",
        conflicts: &["flags-expunged"],
        parked: 0,
    },
    Row {
        name: "a folder deleted there, whose name others below it keep, into which mail was put here is made again",
        before: |server| {
            two_folders(server);
            server.create("B.below");
        },
        here: |world| {
            world.move_message("INBOX", "m", "B");
            world.append("B", "new", "");
        },
        there: |server| server.state().delete_but_for_its_name("B"),
        end: "B: m(\\Flagged) new\nB/below:\nC:\nINBOX: x y(\\Seen)",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder deleted and made again here, new mail in it there: one folder with all of it, told",
        before: |server| {
            in_a(server);
            server.deliver("INBOX", "x", "");
        },
        here: |world| {
            world.delete("A");
            world.create("A");
            world.move_message("INBOX", "x", "A");
        },
        there: |server| {
            server.deliver("A", "new", "");
        },
        end: "A: m new x\nINBOX:",
        conflicts: &["folder-deleted-new-mail"],
        parked: 0,
    },
    Row {
        name: "a folder with others below it deleted and made again here, new mail in it there",
        before: a_tree,
        here: |world| {
            world.delete("A");
            world.create("A");
            world.append("A", "x", "");
        },
        there: |server| {
            server.deliver("A", "new", "");
        },
        end: "A: m new x\nA/x: c\nINBOX:",
        conflicts: &["folder-deleted-new-mail"],
        parked: 0,
    },
    Row {
        name: "a folder with others below it deleted and made again here: what came into it since is there",
        before: a_tree,
        here: |world| {
            world.delete("A");
            world.create("A");
            world.append("A", "x", "");
        },
        there: |_| {},
        end: "A: x\nA/x: c\nINBOX:",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder renamed here to a name that a new one has there: it makes way, told",
        before: |server| {
            server.create("B");
            server.deliver("B", "m", "");
            server.create("B.x");
        },
        here: |world| {
            world.rename("B", "A");
            world.create("A/new");
            world.append("A/new", "n", "");
        },
        there: |server| {
            server.create("A");
            server.deliver("A", "theirs", "");
        },
        end: "A: theirs\nA (2): m\nA (2)/new: n\nA (2)/x:\nINBOX:",
        conflicts: &["folder-renamed-name-taken"],
        parked: 0,
    },
    Row {
        name: "a folder renamed here twice to a name that a new one has there, the old name taken again here",
        before: |server| {
            server.create("B");
            server.deliver("B", "m", "");
        },
        here: |world| {
            world.rename("B", "C");
            world.rename("C", "A");
            world.create("B");
            world.append("B", "b", "");
        },
        there: |server| {
            server.create("A");
            server.deliver("A", "theirs", "");
        },
        end: "A: theirs\nA (2): m\nB: b\nINBOX:",
        conflicts: &["folder-renamed-name-taken"],
        parked: 0,
    },
    Row {
        name: "a folder deleted and another renamed to its name here, new mail in it there: both stay, told",
        before: |server| {
            in_a(server);
            server.create("B");
            server.deliver("B", "b", "");
        },
        here: |world| {
            world.delete("A");
            world.rename("B", "A");
        },
        there: |server| {
            server.deliver("A", "new", "");
        },
        end: "A: m new\nA (2): b\nINBOX:",
        conflicts: &["folder-deleted-new-mail"],
        parked: 1,
    },
    Row {
        name: "a folder made there below one renamed here is below it under its new name",
        before: in_a,
        here: |world| world.rename("A", "Mine"),
        there: |server| {
            server.create("A.new");
            server.deliver("A.new", "n", "");
        },
        end: "INBOX:\nMine: m\nMine/new: n",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder made on both sides below one renamed here is one",
        before: in_a,
        here: |world| {
            world.rename("A", "Mine");
            world.create("Mine/new");
            world.append("Mine/new", "ours", "");
        },
        there: |server| {
            server.create("A.new");
            server.deliver("A.new", "theirs", "");
        },
        end: "INBOX:\nMine: m\nMine/new: ours theirs",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder renamed here, the one below it renamed there",
        before: a_tree,
        here: |world| world.rename("A", "Mine"),
        there: |server| server.rename("A.x", "Out"),
        end: "INBOX:\nMine: m\nOut: c",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder renamed here, the one above it renamed there: upstream's name wins, told",
        before: a_tree,
        here: |world| world.rename("A/x", "A/y"),
        there: |server| server.rename("A", "Theirs"),
        end: "INBOX:\nTheirs: m\nTheirs/x: c",
        conflicts: &["folder-renamed-twice"],
        parked: 0,
    },
    Row {
        name: "a folder renamed to the same name on both sides is that, and nothing is told",
        before: a_tree,
        here: |world| world.rename("A", "Same"),
        there: |server| server.rename("A", "Same"),
        end: "INBOX:\nSame: m\nSame/x: c",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder renamed there to a name made here is that one",
        before: in_a,
        here: |world| {
            world.create("Same");
            world.append("Same", "ours", "");
        },
        there: |server| server.rename("A", "Same"),
        end: "INBOX:\nSame: m ours",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "names swapped here, new mail and a new folder there",
        before: |server| {
            in_a(server);
            server.create("B");
            server.deliver("B", "b", "");
        },
        here: |world| {
            world.rename("A", "T");
            world.rename("B", "A");
            world.rename("T", "B");
        },
        there: |server| {
            server.deliver("A", "new", "");
            server.create("A.x");
        },
        end: "A: b\nB: m new\nB/x:\nINBOX:",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "a folder and the one above it deleted here, new mail in it there",
        before: a_tree,
        here: |world| {
            world.delete("A/x");
            world.delete("A");
        },
        there: |server| {
            server.deliver("A.x", "new", "");
        },
        end: "A/x: c new\nINBOX:",
        conflicts: &["folder-deleted-new-mail"],
        parked: 1,
    },
    Row {
        name: "a folder deleted here, then the one above it renamed, new mail in it there",
        before: a_tree,
        here: |world| {
            world.delete("A/x");
            world.rename("A", "Mine");
        },
        there: |server| {
            server.deliver("A.x", "new", "");
        },
        end: "INBOX:\nMine: m\nMine/x: c new",
        conflicts: &["folder-deleted-new-mail"],
        parked: 1,
    },
    Row {
        name: "a folder moved on both sides below a new one",
        before: in_a,
        here: |world| {
            world.create("New");
            world.rename("A", "New/A");
        },
        there: |server| {
            server.create("New");
            server.deliver("A", "late", "");
        },
        end: "INBOX:\nNew:\nNew/A: late m",
        conflicts: &[],
        parked: 0,
    },
    Row {
        name: "INBOX renamed here: its messages are in the new folder, later mail is in INBOX",
        before: two_folders,
        here: |world| world.rename("INBOX", "Old"),
        there: |server| {
            server.deliver("INBOX", "late", "");
        },
        end: "B:\nC:\nINBOX: late\nOld: m(\\Flagged) x y(\\Seen)",
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
