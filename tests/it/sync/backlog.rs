//! Much that was done offline: it goes upstream however often the line is cut, and each connection brings it on.
//!
//! `MAILTIDE_BACKLOG=20000 cargo test --test it backlog -- --nocapture` tells how long a backlog of that many entries takes.

use std::time::Instant;

use mailtide::store::{FlagChange, Origin, With};
use mailtide::types::{LocalUid, MailboxId, UidSet, limits};

use super::flags;
use super::model_remote::{Cut, Traits};
use super::world::World;

const FOLDERS: usize = 20;
const MESSAGES_IN_EACH: usize = 10;
const ENTRIES: usize = 600;

/// After so many acts on messages comes one on a mailbox.
const ACTS_BETWEEN_FOLDERS: usize = 40;

fn folder(nth: usize) -> String {
    match nth % FOLDERS {
        0 => "INBOX".to_owned(),
        nth => format!("F{nth}"),
    }
}

fn everything() -> UidSet<LocalUid> {
    UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX))
}

/// A mirrored world with `entries` acts that were done offline, each in a transaction of its own: flags, moves, copies and
/// expunges in many mailboxes, and now and then a mailbox made or renamed.
fn backlog(traits: Traits, entries: usize) -> World {
    let world = World::new(traits);
    (1..FOLDERS).for_each(|nth| world.server.create(&folder(nth)));
    for nth in 0..FOLDERS {
        (0..MESSAGES_IN_EACH).for_each(|of| _ = world.server.deliver(&folder(nth), &format!("m{nth}-{of}"), ""));
    }
    world.settle();
    let mailboxes: Vec<MailboxId> = (0..FOLDERS).map(|nth| world.mailbox(&folder(nth))).collect();
    let mut renamed = String::new();
    for nth in 0.. {
        if world.read(|reader| reader.newest_pending(world.account)).map_or(0, |id| id.get()) >= entries as i64 {
            break;
        }
        if nth % ACTS_BETWEEN_FOLDERS == ACTS_BETWEEN_FOLDERS - 1 {
            let new = format!("Made{nth}");
            match renamed.is_empty() {
                true => world.create(&new),
                false => world.rename(&renamed, &new),
            }
            renamed = new;
            continue;
        }
        act(&world, nth, mailboxes[nth % FOLDERS], mailboxes[(nth * 7 + 3) % FOLDERS]);
    }
    world
}

fn act(world: &World, nth: usize, from: MailboxId, to: MailboxId) {
    let messages = world.read(|reader| reader.messages_in(from, &everything(), With::Columns));
    let Some(message) = messages.get(nth / FOLDERS % messages.len().max(1)) else { return };
    let (uid, seen) = (message.uid, flags("\\Seen"));
    let flagged = flags(["\\Flagged", "\\Answered", "$Forwarded"][nth % 3]);
    world.write(Origin::LocalUser, move |txn| match nth % 20 {
        0..8 => txn.store_flags(from, &[uid], &FlagChange::Add(flagged), None).map(drop),
        8..12 => txn.store_flags(from, &[uid], &FlagChange::Replace(seen), None).map(drop),
        12..18 => txn.move_messages(from, &[uid], to).map(drop),
        18 => txn.copy(from, &[uid], to).map(drop),
        _ => {
            txn.store_flags(from, &[uid], &FlagChange::Add(flags("\\Deleted")), None)?;
            txn.expunge(from, Some(&[uid].into_iter().collect())).map(drop)
        }
    });
}

fn open(world: &World) -> usize {
    world.read(|reader| reader.entries(world.account)).len()
}

#[test]
fn a_backlog_goes_upstream_whole() {
    let entries = std::env::var("MAILTIDE_BACKLOG").map_or(ENTRIES, |text| text.parse().expect("a number"));
    let world = backlog(Traits::modern(), entries);
    println!("{} entries", open(&world));
    let began = Instant::now();
    let done = world.settle();
    println!("{:?} for {done}", began.elapsed());
    assert_eq!((open(&world), world.here()), (0, world.there()));
    world.assert_sound();
}

/// Commits of a sync that flags so many messages upstream.
fn commits_to_flag(messages: usize) -> u64 {
    let world = World::new(Traits::modern());
    (0..messages).for_each(|of| _ = world.server.deliver("INBOX", &format!("m{of}"), ""));
    world.settle();
    let (inbox, all) = (world.mailbox("INBOX"), (1..=messages as u32).map(LocalUid::new).collect::<Vec<_>>());
    world.write(Origin::LocalUser, move |txn| {
        txn.store_flags(inbox, &all, &FlagChange::Add(flags("\\Flagged")), None).map(drop)
    });
    let before = world.store().commits();
    world.sync().expect("a sync");
    assert_eq!((open(&world), world.here()), (0, world.there()));
    world.store().commits() - before
}

#[test]
fn what_became_of_many_messages_is_noted_of_some_at_a_time() {
    let some = limits::SETTLED_AT_ONCE_MAX;
    assert_eq!(commits_to_flag(4 * some) - commits_to_flag(some), 3);
}

#[test]
fn each_connection_brings_a_backlog_on_however_soon_it_is_cut() {
    let mut first = backlog(Traits::modern(), ENTRIES);
    first.close();
    for answers in [40, 80, 160] {
        let world = first.fork();
        let (mut left, mut in_vain, mut connections) = (open(&world), 0, 0);
        while left > 0 {
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + answers);
            let began = Instant::now();
            let _ = world.sync();
            let now = open(&world);
            println!("{answers} answers: {now} left, {:?}", began.elapsed());
            assert!(now <= left, "after a cut there is more to do than before: {now}, {left}");
            in_vain = if now < left { 0 } else { in_vain + 1 };
            assert!(
                in_vain < 3,
                "{in_vain} connections of {answers} answers brought nothing on; {left} entries are left"
            );
            (left, connections) = (now, connections + 1);
        }
        println!("{answers} answers a connection: {connections} connections");
        world.settle();
        assert_eq!(world.here(), world.there(), "{answers} answers");
        world.assert_sound();
    }
}

#[test]
fn a_message_that_only_passed_through_a_mailbox_that_is_no_more_goes_where_it_is() {
    for traits in Traits::all() {
        let world = World::new(traits);
        (1..4).for_each(|nth| world.server.create(&folder(nth)));
        world.server.deliver("INBOX", "moved", "");
        world.server.deliver("INBOX", "copied", "");
        world.settle();
        world.move_message("INBOX", "moved", "F1");
        world.copy("INBOX", "copied", "F1");
        world.append("F1", "new", "\\Seen");
        // What comes after it is another run.
        world.create("Between");
        ["moved", "copied", "new"].into_iter().for_each(|text| world.move_message("F1", text, "F2"));
        world.create("After");
        world.move_message("F2", "moved", "F3");
        world.server.state().mailboxes.remove("F1");
        world.settle();
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
        assert!(world.here().contains("F2: copied new(\\Seen)\nF3: moved"), "{}", world.here());
        world.assert_sound();
    }
}
