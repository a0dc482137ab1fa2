//! What the user does while a sync waits for an answer: whatever went in between is passed over or done anew, and the sync
//! goes on.

use mailtide::store::{Error, FlagChange, Origin, Result, Store, Txn, check};
use mailtide::types::{AccountId, LocalUid, MailboxName, Timestamp, UidSet};

use super::flags;
use super::model_remote::{Cut, Here, Traits};
use super::world::{NOW_MS, World, name};

/// What the user does, in one transaction.
type Act = fn(&mut Txn<'_>, AccountId) -> Result<()>;

const ACTS: [(&str, Origin, Act); 8] = [
    ("expunges everything", Origin::LocalUser, |txn, account| {
        for mailbox in txn.reader().mailboxes(account)? {
            let all = all(txn, &mailbox)?;
            txn.store_flags(mailbox.id, &all, &FlagChange::Add(flags("\\Deleted")), None)?;
            txn.expunge(mailbox.id, None)?;
        }
        Ok(())
    }),
    ("moves everything to INBOX", Origin::LocalUser, |txn, account| {
        let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?.expect("INBOX").id;
        for mailbox in txn.reader().mailboxes(account)?.into_iter().filter(|mailbox| mailbox.id != inbox) {
            let all = all(txn, &mailbox)?;
            txn.move_messages(mailbox.id, &all, inbox)?;
        }
        Ok(())
    }),
    ("copies everything to INBOX", Origin::LocalUser, |txn, account| {
        let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?.expect("INBOX").id;
        for mailbox in txn.reader().mailboxes(account)? {
            let all = all(txn, &mailbox)?;
            txn.copy(mailbox.id, &all, inbox)?;
        }
        Ok(())
    }),
    ("flags everything", Origin::LocalUser, |txn, account| {
        for mailbox in txn.reader().mailboxes(account)? {
            let all = all(txn, &mailbox)?;
            txn.store_flags(mailbox.id, &all, &FlagChange::Add(flags("\\Seen")), None)?;
        }
        Ok(())
    }),
    ("deletes every mailbox", Origin::LocalUser, |txn, account| {
        for mailbox in txn.reader().mailboxes(account)? {
            let name = mailbox.name.expect("it is in sight");
            if !name.is_inbox() {
                txn.delete_mailbox(account, &name)?;
            }
        }
        Ok(())
    }),
    ("deletes every mailbox and makes it again", Origin::LocalUser, |txn, account| {
        for mailbox in txn.reader().mailboxes(account)? {
            let name = mailbox.name.expect("it is in sight");
            if !name.is_inbox() {
                txn.delete_mailbox(account, &name)?;
                txn.create_mailbox(account, &name, None)?;
            }
        }
        Ok(())
    }),
    ("renames every mailbox", Origin::LocalUser, |txn, account| {
        for mailbox in txn.reader().mailboxes(account)? {
            let from = mailbox.name.expect("it is in sight");
            if !from.is_inbox() {
                txn.rename_mailbox(account, &from, &name(&format!("{from}2")))?;
            }
        }
        Ok(())
    }),
    ("takes everything back", Origin::Upstream, |txn, account| {
        for entry in txn.reader().entries(account)?.into_iter().rev() {
            match txn.discard(entry.id) {
                Ok(()) | Err(Error::Cannot(_) | Error::NoSuchEntry) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }),
];

fn all(txn: &Txn<'_>, mailbox: &mailtide::store::Mailbox) -> Result<Vec<LocalUid>> {
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let messages = txn.reader().messages_in(mailbox.id, &all, mailtide::store::With::Columns)?;
    Ok(messages.iter().map(|message| message.uid).collect())
}

/// Both sides with something to tell the other: of every kind of act one.
fn busy(traits: Traits) -> World {
    let world = World::new(traits);
    for mailbox in ["B", "C", "D", "E", "F", "G"] {
        world.server.create(mailbox);
        world.server.deliver(mailbox, &format!("in{mailbox}"), "");
    }
    for text in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        world.server.deliver("INBOX", text, "");
    }
    world.settle();
    world.flag("INBOX", "a", "\\Seen", "");
    world.move_message("INBOX", "b", "B");
    world.copy("INBOX", "c", "B");
    // One command does both.
    world.move_message("INBOX", "h", "B");
    world.copy("INBOX", "a", "B");
    world.expunge("INBOX", "d");
    world.append("B", "draft", "\\Draft");
    world.create("New");
    world.append("New", "new", "");
    world.copy("INBOX", "a", "New");
    world.rename("C", "C renamed");
    world.delete("D");
    world.delete("G");
    world.create("G");
    world.subscribe("B", true);
    world.server.deliver("INBOX", "came", "");
    world.server.move_message("INBOX", 5, "E");
    world.server.copy("INBOX", 6, "E");
    world.server.expunge("INBOX", 7);
    world.server.renumber("F");
    world.server.deliver("F", "more", "");
    world
}

fn act_now(store: &Store, origin: Origin, account: AccountId, act: Act) {
    let now = Timestamp::from_unix_ms(NOW_MS);
    store.write(origin, now, move |txn| act(txn, account)).expect("the user may do that");
}

#[test]
fn whatever_the_user_does_at_any_moment_of_a_sync_does_not_end_it() {
    let mut failed = Vec::new();
    for traits in Traits::all() {
        let mut start = busy(traits.clone());
        start.close();
        let is_quick = traits.facts.r#move;
        for (what, origin, act) in ACTS {
            // What is taken back leaves most behind.
            let step = if origin == Origin::Upstream && is_quick { 1 } else { 13 };
            for n in (1..).step_by(step) {
                let world = start.fork();
                let (store, account) = (world.store().clone(), world.account);
                let here = Here(Box::new(move || act_now(&store, origin, account, act)));
                world.server.state().here = Some((n, here));
                let outcome = world.sync();
                let is_over = world.server.state().here.take().is_some();
                if is_over {
                    break;
                }
                let moment = format!("the user {what} before call {n}");
                failed.extend(outcome.err().map(|error| format!("{moment}: {error}")));
                world.settle();
                failed.extend(check(world.store()).expect("a check").iter().map(|wrong| format!("{moment}: {wrong}")));
                if world.here() != world.there() {
                    failed.push(format!("{moment}:\n{}\nhere,\n{}\nthere", world.here(), world.there()));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A message moves, and where it went is renumbered without it and shut: what came for it names nothing any more.
#[test]
fn what_arrived_and_was_lost_with_a_new_uidvalidity_is_no_message_that_vanished() {
    for traits in Traits::all() {
        let mut start = World::new(traits);
        start.server.create("Else");
        start.server.deliver("INBOX", "m", "");
        start.settle();
        start.server.move_message("INBOX", 1, "Else");
        start.close();
        for (first, second) in (1..9).flat_map(|first| (1..9).map(move |second| (first, second))) {
            let mut world = start.fork();
            world.server.state().cut = Cut::Before(first);
            let _ = world.sync();
            world.reopen();
            world.server.expunge("Else", 1);
            world.server.renumber("Else");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::Before(calls + second);
            let _ = world.sync();
            world.reopen();
            world.server.state().cut = Cut::Never;
            world.server.state().refuses.push(("SELECT", "Else".to_owned(), None));
            world.sync().unwrap_or_else(|error| panic!("cut before calls {first} and {second}: {error}"));
            world.server.state().refuses.clear();
            world.settle();
            world.assert_sound();
            assert_eq!(world.here(), world.there(), "cut before calls {first} and {second}");
        }
    }
}

/// Found by the soak, seed 402.
#[test]
fn what_others_move_out_of_a_mailbox_that_they_delete_at_any_moment_of_a_sync_is_there_once() {
    let acts: [fn(&World); 4] = [
        |_| {},
        |world| world.rename("Box", "Mine"),
        |world| world.move_message("Box", "m", "C"),
        |world| world.flag("Box", "m", "\\Seen", ""),
    ];
    let mut wrong = Vec::new();
    for traits in Traits::all() {
        for (which, act) in acts.iter().enumerate() {
            let mut start = World::new(traits.clone());
            for mailbox in ["Box", "C"] {
                start.server.create(mailbox);
            }
            for text in ["m", "n"] {
                start.server.deliver("Box", text, "");
            }
            start.settle();
            act(&start);
            start.server.deliver("INBOX", "new", "");
            start.close();
            for n in 1.. {
                let world = start.fork();
                world.server.state().emptied = Some((n, "Box"));
                // The line is cut if it was just open.
                let _ = world.sync();
                if world.server.state().emptied.is_some() {
                    break;
                }
                // Where MOVE is COPY and EXPUNGE, who moves a message between them moves another one.
                let is_copied = !traits.facts.r#move && !world.server.state().mailboxes["C"].messages.is_empty();
                world.settle();
                world.assert_sound();
                assert_eq!(world.here(), world.there(), "act {which}, before call {n}");
                let count = |text: &str| world.there().split([' ', '\n', '(']).filter(|word| *word == text).count();
                if (count("m"), count("n")) != (1, 1) && !(is_copied && count("n") == 1) {
                    wrong.push(format!("act {which}, before call {n}:\n{}", world.there()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A message comes into a mailbox that has another name here, and others move it on while that is looked at; the user puts it
/// elsewhere before it is known that both are one.
#[test]
fn what_the_user_puts_elsewhere_of_a_mailbox_that_is_made_anew_is_there_once() {
    let mut seen = 0;
    for traits in Traits::all() {
        let mut start = World::new(traits);
        for mailbox in ["Box", "Zed", "C"] {
            start.server.create(mailbox);
        }
        start.settle();
        start.rename("Box", "Mine");
        start.server.deliver("Box", "m", "");
        start.server.deliver("Zed", "n", "");
        start.close();
        for (moved, cut) in (1..16).flat_map(|moved| (1..10).map(move |more| (moved, moved + more))) {
            let mut world = start.fork();
            world.server.state().meanwhile = Some((moved, "Box", 1, "Zed"));
            world.server.state().cut = Cut::Before(cut);
            let _ = world.sync();
            world.server.state().meanwhile = None;
            world.reopen();
            let account = world.account;
            if world.uids("Zed", "m").is_empty() || world.read(|reader| reader.fresh_arrivals(account)).is_empty() {
                continue;
            }
            seen += 1;
            world.move_message("Zed", "m", "C");
            world.server.state().mailboxes.retain(|name, mailbox| name != "Box" || !mailbox.messages.is_empty());
            world.settle();
            world.assert_sound();
            let (here, there) = (world.here(), world.there());
            assert_eq!(here, there, "moved before call {moved}, cut before {cut}");
            let count = there.split([' ', '\n', '(']).filter(|word| *word == "m").count();
            assert_eq!(count, 1, "moved before call {moved}, cut before {cut}:\n{there}");
        }
    }
    assert!(seen > 0, "some cut is in time");
}
