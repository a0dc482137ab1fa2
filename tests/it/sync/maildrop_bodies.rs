//! Mail out of a maildrop of which only the headers are taken, and the rest when somebody wants it: nothing goes from the
//! server of which not all is here.

use std::sync::Arc;

use mailtide::message::outline::Wanted;
use mailtide::store::{Origin, With};
use mailtide::sync::bring::Brought;
use mailtide::types::mutant::{Mutant, switch};
use mailtide::types::{Bodies, BodyPolicy, Glob, Keep, LocalUid, MailboxName, MessageId, UidSet};

use super::maildrop::{ALL_IDS, DAY_MS, Ids, Model, START, Shared, Visit, World, all, sorted, texts};

fn policy(default: Bodies) -> BodyPolicy {
    BodyPolicy { default, ..BodyPolicy::ALL }
}

fn world(bodies: BodyPolicy) -> World {
    let mut world = World::new();
    world.bodies = bodies;
    world
}

fn sent(server: &Shared) -> usize {
    server.lock().expect("no panic holds it").sent
}

impl World {
    /// Everything in INBOX, with its subject, and whether all of it is here.
    fn shown(&self) -> Vec<(MessageId, String, bool)> {
        let mut shown = Vec::new();
        self.store
            .read(|reader| {
                let inbox = reader.mailbox_named(self.account, &MailboxName::inbox())?.expect("an INBOX");
                reader.for_each_message(inbox.id, &all(), With::Summary, |message| {
                    let summary = message.summary.expect("a header at least");
                    let subject = summary.envelope.subject.clone().expect("a subject");
                    assert_eq!(message.is_bare, message.content.is_none(), "its parts are known once it is here");
                    shown.push((message.id, String::from_utf8(subject).expect("text"), message.content.is_some()));
                    Ok(())
                })
            })
            .expect("a sound store");
        shown
    }

    fn subjects(&self) -> Vec<String> {
        sorted(self.shown().into_iter().map(|(_, subject, _)| subject).collect())
    }

    fn count_whole(&self) -> usize {
        self.shown().iter().filter(|(.., is_whole)| *is_whole).count()
    }

    /// Somebody opens messages.
    async fn bring(&self, messages: &[MessageId], visit: Visit) -> Result<Vec<Option<Brought>>, mailtide::sync::Error> {
        let (engine, now) = (self.engine(Keep::Always), self.now);
        let clock = move || now;
        let mut counter = engine.open(visit, &clock).await?;
        let wishes: Vec<_> = messages.iter().map(|message| (*message, Wanted::Whole)).collect();
        let mut told = vec![None; messages.len()];
        engine.bring(&mut counter, &wishes, &clock, &mut |place, brought| told[place] = Some(brought)).await?;
        counter.leave().await?;
        Ok(told)
    }

    async fn bring_well(&self, messages: &[MessageId], server: &Shared) -> Vec<Brought> {
        let told = self.bring(messages, Visit::to(server, usize::MAX, true)).await.expect("nothing is in the way");
        told.into_iter().map(|brought| brought.expect("each is told of")).collect()
    }

    fn ids(&self) -> Vec<MessageId> {
        self.shown().into_iter().map(|(id, ..)| id).collect()
    }
}

fn subjects(texts: &[String]) -> Vec<String> {
    let subject = |text: &String| text.lines().next().expect("a line").trim_start_matches("Subject: ").to_owned();
    sorted(texts.iter().map(subject).collect())
}

/// Each message that ever was there is still there, or is here as a whole.
fn lost(world: &World, server: &Shared, sent: &[String]) -> Vec<String> {
    let (here, there) = (world.inbox(), texts(server));
    sent.iter().filter(|text| !here.contains(text) && !there.contains(text)).cloned().collect()
}

#[tokio::test]
async fn a_line_that_breaks_anywhere_while_headers_come_neither_loses_nor_doubles() {
    for ids in ALL_IDS {
        for bodies in [policy(Bodies::Headers), BodyPolicy { metered: true, ..BodyPolicy::ALL }] {
            for left in 0.. {
                let told = format!("{ids:?}, {bodies:?}, cut after {left}");
                let (world, server) = (world(bodies.clone()), Model::with(ids, 2));
                let whole = world.visit(Keep::Always, Visit::to(&server, left, false)).await.is_ok();
                server.lock().expect("no panic holds it").deliver();
                world.visit_well(Keep::Always, &server).await;
                world.visit_well(Keep::Always, &server).await;
                let mail = texts(&server);
                assert_eq!(world.subjects(), subjects(&mail), "{told}");
                assert_eq!((mail.len(), world.count_whole(), sent(&server)), (3, 0, 0), "{told}");
                world.assert_sound();
                if whole {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_line_that_breaks_anywhere_while_a_message_is_opened_costs_no_more_than_that() {
    for ids in ALL_IDS {
        for left in 0.. {
            let told = format!("{ids:?}, cut after {left}");
            let (world, server) = (world(policy(Bodies::Headers)), Model::with(ids, 3));
            world.visit_well(Keep::Always, &server).await;
            let whole = world.bring(&world.ids()[1..], Visit::to(&server, left, true)).await.is_ok();
            assert_eq!(world.subjects(), subjects(&texts(&server)), "{told}");
            assert_eq!(world.bring_well(&world.ids(), &server).await, vec![Brought::Here; 3], "{told}");
            assert_eq!(world.inbox(), texts(&server), "{told}");
            let before = sent(&server);
            world.visit_well(Keep::Always, &server).await;
            assert_eq!((world.inbox(), sent(&server)), (texts(&server), before), "{told}");
            world.assert_sound();
            if whole {
                break;
            }
        }
    }
}

/// Mail of which only the header is here is to go from the server: is anything lost, and where does it end?
async fn emptied(bodies: BodyPolicy, ids: Ids, left: usize, heard: bool) -> (bool, Vec<String>, World, Shared) {
    let (mut world, server) = (world(bodies), Model::with(ids, 2));
    let mail = texts(&server);
    world.visit_well(Keep::Days(2), &server).await;
    world.now = START.plus_ms(2 * DAY_MS);
    let whole = world.visit(Keep::Days(2), Visit::to(&server, left, heard)).await.is_ok();
    let mut gone = lost(&world, &server, &mail);
    for _ in 0..3 {
        world.visit_well(Keep::Days(2), &server).await;
        gone.extend(lost(&world, &server, &mail));
    }
    (whole, gone, world, server)
}

#[tokio::test]
async fn what_is_to_go_from_the_server_comes_first_wherever_the_line_breaks() {
    for ids in ALL_IDS {
        for heard in [true, false] {
            for left in 0.. {
                let told = format!("{ids:?}, heard {heard}, cut after {left}");
                let mail = texts(&Model::with(ids, 2));
                let (whole, gone, world, server) = emptied(policy(Bodies::Headers), ids, left, heard).await;
                assert_eq!(gone, Vec::<String>::new(), "{told}");
                assert_eq!((sorted(world.inbox()), texts(&server)), (mail, Vec::new()), "{told}");
                world.assert_sound();
                if whole {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn that_a_header_counts_as_the_message_would_be_seen() {
    let metered = BodyPolicy { metered: true, ..BodyPolicy::ALL };
    for (mutant, is_lost) in [(None, false), (Some(Mutant::HeaderIsAll), true)] {
        switch(mutant);
        let (_, gone, ..) = emptied(metered.clone(), Ids::Lasting, usize::MAX, true).await;
        let (world, server) = (world(metered.clone()), Model::with(Ids::Lasting, 1));
        let mail = texts(&server);
        world.visit_well(Keep::Never, &server).await;
        let at_once = lost(&world, &server, &mail);
        switch(None);
        assert_eq!((!gone.is_empty(), !at_once.is_empty()), (is_lost, is_lost), "{mutant:?}");
    }
}

#[tokio::test]
async fn on_a_metered_line_or_with_the_budget_spent_what_is_to_go_stays_on_the_server() {
    for bodies in [
        BodyPolicy { metered: true, ..BodyPolicy::ALL },
        BodyPolicy { budget_bytes: Some(10), ..policy(Bodies::Headers) },
    ] {
        for keep in [Keep::Never, Keep::Days(1)] {
            let (mut world, server) = (world(bodies.clone()), Model::with(Ids::Lasting, 2));
            for _ in 0..3 {
                world.visit_well(keep, &server).await;
                world.now = world.now.plus_ms(DAY_MS);
                assert_eq!((texts(&server).len(), sent(&server)), (2, 0), "{bodies:?} {keep:?}");
            }
            world.bodies = policy(Bodies::All);
            for _ in 0..2 {
                world.visit_well(keep, &server).await;
            }
            assert_eq!((texts(&server).len(), world.count_whole()), (0, 2), "{bodies:?} {keep:?}");
        }
    }
}

#[tokio::test]
async fn what_the_configuration_wants_of_a_message_is_taken_and_no_more() {
    let recent = "Received: from a by b; Tue, 14 Nov 2023 10:00:00 +0000\r\n";
    let old = "Received: from a by b; Sun, 9 Sep 2001 01:46:40 +0000\r\n";
    for (bodies, whole) in [
        (policy(Bodies::All), vec![true, true, true]),
        (policy(Bodies::Headers), vec![false, false, false]),
        (policy(Bodies::RecentDays(3)), vec![false, true, true]),
        (policy(Bodies::MaxSize(120)), vec![true, true, false]),
        (BodyPolicy { budget_bytes: Some(150), ..BodyPolicy::ALL }, vec![false, true, false]),
    ] {
        let (world, server) = (world(bodies.clone()), Model::with(Ids::Lasting, 3));
        {
            let mut model = server.lock().expect("no panic holds it");
            model.messages[0].1.insert_str(0, old);
            model.messages[1].1.insert_str(0, recent);
            let long = "long ".repeat(50);
            model.messages[2].1.push_str(&long);
        }
        world.visit_well(Keep::Always, &server).await;
        let shown = world.shown();
        assert_eq!(shown.iter().map(|(.., is_whole)| *is_whole).collect::<Vec<_>>(), whole, "{bodies:?}");
        let order: Vec<&str> = shown.iter().map(|(_, subject, _)| subject.as_str()).collect();
        assert_eq!(order, ["letter 001", "letter 002", "letter 003"], "they stand as they came: {bodies:?}");
        let (before, waiting) = (sent(&server), world.engine(Keep::Always).waiting(world.now).expect("a count"));
        assert_eq!(waiting.absent.messages as usize, whole.iter().filter(|is_whole| !**is_whole).count());
        world.visit_well(Keep::Always, &server).await;
        assert_eq!(sent(&server), before, "what is here is not fetched again: {bodies:?}");
        world.assert_sound();
    }
}

#[tokio::test]
async fn what_is_pinned_or_filed_where_all_is_wanted_comes_by_the_next_visit() {
    let per_folder = vec![(Glob::new("Filed"), Bodies::All)];
    let (world, server) = (world(BodyPolicy { per_folder, ..policy(Bodies::Headers) }), Model::with(Ids::Lasting, 3));
    world.visit_well(Keep::Always, &server).await;
    let (account, ids) = (world.account, world.ids());
    world
        .store
        .write(Origin::LocalUser, world.now, move |txn| {
            let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?.expect("an INBOX").id;
            let filed = txn.create_mailbox(account, &MailboxName::parse("Filed").expect("a name"), None)?;
            txn.copy(inbox, &[LocalUid::new(3)], filed)?;
            txn.pin(&[ids[0]])
        })
        .expect("room");
    world.visit_well(Keep::Always, &server).await;
    assert_eq!(world.shown().into_iter().map(|(.., whole)| whole).collect::<Vec<_>>(), [true, false, true]);
    let spent = world.engine(Keep::Always).spent(world.now).expect("a count");
    assert_eq!((spent.bytes as usize, spent.on_demand_bytes), (sent(&server), 0));
    world.assert_sound();
}

#[tokio::test]
async fn what_is_opened_is_counted_and_stops_at_the_budget() {
    let budget = BodyPolicy { budget_bytes: Some(20), ..policy(Bodies::Headers) };
    let (world, server) = (world(budget), Model::with(Ids::Lasting, 2));
    world.visit_well(Keep::Always, &server).await;
    let ids = world.ids();
    assert_eq!(world.bring_well(&ids[..1], &server).await, [Brought::Here], "the budget is not spent before");
    let spent = world.engine(Keep::Always).spent(world.now).expect("a count");
    assert_eq!((spent.bytes, spent.on_demand_bytes as usize), (spent.on_demand_bytes, sent(&server)));
    assert_eq!(world.bring_well(&ids, &server).await, [Brought::Here, Brought::OverBudget]);
}

#[tokio::test]
async fn without_top_messages_are_taken_whole() {
    let (world, server) = (world(policy(Bodies::Headers)), Model::with(Ids::Lasting, 2));
    server.lock().expect("no panic holds it").top = false;
    world.visit_well(Keep::Always, &server).await;
    assert_eq!(world.inbox(), texts(&server));
}

#[tokio::test]
async fn what_a_server_writes_into_what_it_gives_whole_does_not_make_it_another_message() {
    let (world, server) = (world(policy(Bodies::Headers)), Model::with(Ids::Lasting, 2));
    server.lock().expect("no panic holds it").adds_field = true;
    world.visit_well(Keep::Always, &server).await;
    assert_eq!(world.bring_well(&world.ids(), &server).await, [Brought::Here, Brought::Here]);
    let before = sent(&server);
    world.visit_well(Keep::Always, &server).await;
    assert_eq!((world.count_whole(), world.shown().len(), sent(&server)), (2, 2, before));
    world.assert_sound();
}

#[tokio::test]
async fn a_name_given_to_another_message_does_not_put_that_in_its_place() {
    let (world, server) = (world(policy(Bodies::Headers)), Model::with(Ids::Lasting, 1));
    world.visit_well(Keep::Always, &server).await;
    {
        let mut model = server.lock().expect("no panic holds it");
        model.deliver();
        model.messages.remove(0);
        model.messages[0].0 = 1;
    }
    let other = texts(&server);
    let told = world.bring_well(&world.ids(), &server).await;
    assert!(matches!(&told[..], [Brought::Refused(why)] if why.contains("another message")), "{told:?}");
    assert_eq!(world.subjects(), ["letter 001"]);
    // It is due, so it is looked at, and told apart.
    world.visit_well(Keep::Days(0), &server).await;
    world.visit_well(Keep::Days(0), &server).await;
    assert_eq!(world.subjects(), ["letter 001", "letter 002"]);
    assert_eq!(lost(&world, &server, &other), Vec::<String>::new());
    world.assert_sound();
}

#[tokio::test]
async fn what_others_took_from_the_server_is_shown_still_and_told_not_to_be_had() {
    let (mut world, server) = (world(policy(Bodies::Headers)), Model::with(Ids::Lasting, 2));
    world.visit_well(Keep::Always, &server).await;
    server.lock().expect("no panic holds it").messages.remove(0);
    for days in [0, 40, 80] {
        world.now = START.plus_ms(days * DAY_MS);
        world.visit_well(Keep::Always, &server).await;
        assert_eq!(world.subjects(), ["letter 001", "letter 002"]);
        world.assert_sound();
    }
    let told = world.bring_well(&world.ids(), &server).await;
    assert!(matches!(&told[..], [Brought::Refused(_), Brought::Here]), "{told:?}");
    let waiting = world.engine(Keep::Never).waiting(world.now).expect("a count");
    assert_eq!((waiting.absent.messages, waiting.wanted.messages), (1, 0));
}

#[tokio::test]
async fn a_message_filed_as_mail_programs_without_move_do_it_stays_until_it_is_deleted_there_too() {
    for ids in ALL_IDS {
        let (world, server) = (world(policy(Bodies::Headers)), Model::with(ids, 3));
        world.visit_well(Keep::UntilDeleted, &server).await;
        let account = world.account;
        let filed = world.store.write(Origin::LocalUser, world.now, move |txn| {
            let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?.expect("an INBOX").id;
            let archive = txn.create_mailbox(account, &MailboxName::parse("Filed").expect("a name"), None)?;
            txn.copy(inbox, &[LocalUid::new(2)], archive).map(|_| archive)
        });
        let filed = filed.expect("a copy");
        world.delete_here(2);
        world.assert_sound();
        world.visit_well(Keep::UntilDeleted, &server).await;
        assert_eq!((texts(&server).len(), world.shown().len()), (3, 2), "{ids:?}");
        let copy = world.store.read(|reader| reader.outlined_in(filed)).expect("a sound store");
        assert_eq!(world.bring_well(&copy, &server).await, [Brought::Here], "{ids:?}");
        let uids: UidSet<LocalUid> = std::iter::once(LocalUid::new(1)).collect();
        let removed = world.store.write(Origin::LocalUser, world.now, move |txn| txn.remove_messages(filed, &uids));
        removed.expect("the user may delete");
        // One that never was opened.
        world.delete_here(1);
        world.visit_well(Keep::UntilDeleted, &server).await;
        assert_eq!((texts(&server).len(), world.shown().len()), (1, 1), "{ids:?}");
        world.assert_sound();
    }
}

#[tokio::test]
async fn a_body_that_the_server_does_not_give_stands_in_nobodys_way() {
    for is_poison in [true, false] {
        let (mut world, server) = (world(policy(Bodies::Headers)), Model::with(Ids::Lasting, 3));
        world.visit_well(Keep::Always, &server).await;
        {
            let mut model = server.lock().expect("no panic holds it");
            match is_poison {
                true => model.poison = Some(3),
                false => model.withheld = Some(3),
            }
        }
        world.bodies = BodyPolicy::ALL;
        let mut visits = 0;
        while world.visit(Keep::Always, Visit::to(&server, usize::MAX, true)).await.is_err() {
            visits += 1;
            assert!(visits <= 5, "it is asked for no more then");
        }
        assert_eq!(world.count_whole(), 2, "poison {is_poison}");
        assert_eq!(texts(&server).len(), 3);
        world.assert_sound();
    }
}

/// Whoever waits does not wait until all that is wanted came.
#[tokio::test]
async fn a_visit_makes_room_for_somebody_who_waits() {
    let (mut world, server) = (world(policy(Bodies::Headers)), Model::with(Ids::Lasting, 2));
    world.visit_well(Keep::Always, &server).await;
    world.bodies = BodyPolicy::ALL;
    let (engine, now, mut report) = (world.engine(Keep::Always), world.now, mailtide::sync::Report::default());
    let mut visit = Visit::to(&Arc::clone(&server), usize::MAX, true);
    let stocked = engine.visit(&mut visit, &move || now, &|| true, &mut report).await.expect("nothing is in the way");
    assert_eq!((stocked.messages, stocked.has_more), (0, true));
}
