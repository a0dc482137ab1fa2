//! One act on many messages, and what it costs when the server refuses it.

use mailtide::journal::{Entry, Op};
use mailtide::store::{FlagChange, Origin, With};
use mailtide::sync::remote::RefusalCode;
use mailtide::types::{LocalUid, UidSet};

use super::Act;
use crate::sync::flags;
use crate::sync::model_remote::Traits;
use crate::sync::world::World;

fn many(traits: Traits, messages: usize) -> World {
    let world = World::new(traits);
    world.server.create("B");
    (0..messages).for_each(|nth| _ = world.server.deliver("INBOX", &format!("m{nth}"), ""));
    world.settle();
    world
}

fn everything(world: &World) -> Vec<LocalUid> {
    let (inbox, all) = (world.mailbox("INBOX"), UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX)));
    world.read(|reader| reader.messages_in(inbox, &all, With::Columns)).iter().map(|message| message.uid).collect()
}

fn entries(world: &World) -> Vec<Entry> {
    world.read(|reader| reader.entries(world.account))
}

fn move_all(world: &World) {
    let (uids, inbox, to) = (everything(world), world.mailbox("INBOX"), world.mailbox("B"));
    world.write(Origin::LocalUser, move |txn| txn.move_messages(inbox, &uids, to).map(drop));
}

fn copy_all(world: &World) {
    let (uids, inbox, to) = (everything(world), world.mailbox("INBOX"), world.mailbox("B"));
    world.write(Origin::LocalUser, move |txn| txn.copy(inbox, &uids, to).map(drop));
}

fn flag_all(world: &World) {
    let (uids, inbox) = (everything(world), world.mailbox("INBOX"));
    let change = FlagChange::Add(flags("\\Seen"));
    world.write(Origin::LocalUser, move |txn| txn.store_flags(inbox, &uids, &change, None).map(drop));
}

fn expunge_all(world: &World) {
    let (uids, inbox) = (everything(world), world.mailbox("INBOX"));
    let change = FlagChange::Add(flags("\\Deleted"));
    world.write(Origin::LocalUser, move |txn| {
        txn.store_flags(inbox, &uids, &change, None)?;
        txn.expunge(inbox, None).map(drop)
    });
}

#[test]
fn a_large_act_that_its_target_refuses_is_refused_in_a_few_round_trips() {
    const MESSAGES: usize = 300;
    for (traits, code) in [(Traits::modern(), RefusalCode::OverQuota), (Traits::plain(), RefusalCode::NoPerm)] {
        for act in [move_all as Act, copy_all] {
            let world = many(traits.clone(), MESSAGES);
            for request in ["MOVE", "COPY"] {
                world.server.state().refuses.push((request, "B".to_owned(), Some(code)));
            }
            act(&world);
            let calls = world.server.state().calls;
            let report = world.sync().expect("a sync");
            let calls = world.server.state().calls - calls;
            assert!(calls < 60, "{calls} calls");
            assert_eq!(report.parked, MESSAGES);
            let entries = entries(&world);
            assert!(entries.len() < 5, "{} entries", entries.len());
            let bytes: usize =
                entries.iter().map(|entry| serde_json::to_string(&entry.op).expect("an act").len()).sum();
            assert!(bytes < 20 * MESSAGES, "{bytes} bytes");
            world.assert_sound();
            world.server.state().refuses.clear();
            for entry in entries {
                world.write(Origin::LocalUser, move |txn| txn.retry(entry.id));
            }
            world.settle();
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
            world.assert_sound();
        }
    }
}

#[test]
fn a_large_act_is_several_entries_none_of_them_long_and_is_done_as_one() {
    const MESSAGES: usize = 1100;
    for (act, done) in [(move_all as Act, 1), (copy_all, 1), (flag_all, 1), (expunge_all, 2)] {
        let world = many(Traits::modern(), MESSAGES);
        act(&world);
        let lengths: Vec<usize> = entries(&world).iter().map(|entry| entry.op.messages().len()).collect();
        assert_eq!(lengths, [500, 500, 100].repeat(done));
        world.assert_sound();
        let calls = world.server.state().calls;
        world.sync().expect("a sync");
        let calls = world.server.state().calls - calls;
        assert!(calls < 40, "{calls} calls");
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
        world.assert_sound();
    }
}

#[test]
fn a_part_of_a_large_act_is_taken_back_alone() {
    let world = many(Traits::modern(), 600);
    move_all(&world);
    let second = entries(&world).pop().expect("an entry");
    let Op::Move { messages, .. } = &second.op else { panic!("{:?}", second.op) };
    assert_eq!(messages.len(), 100);
    world.write(Origin::Upstream, move |txn| txn.discard(second.id));
    world.settle();
    assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
    assert_eq!(everything(&world).len(), 100);
    world.assert_sound();
}
