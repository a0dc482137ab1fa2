//! Mirrors in which not all bodies are: what is fetched, when, and that everything else works as with all of them.

use std::collections::BTreeSet;

use mailtide::journal::State;
use mailtide::message::outline::Wanted;
use mailtide::message::search::Query;
use mailtide::store::{Origin, With};
use mailtide::sync::bring::Brought;
use mailtide::sync::haul::PIECE_BYTES;
use mailtide::sync::remote::RefusalCode;
use mailtide::sync::stock::Stocked;
use mailtide::types::{Bodies, BodyPolicy, Glob, LocalUid, Timestamp};

use super::mail;
use super::model_remote::{Cut, Traits};
use super::policy;
use super::world::{NOW_MS, World, block_on};

fn clock() -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000)
}

fn only(default: Bodies) -> BodyPolicy {
    BodyPolicy { default, ..BodyPolicy::ALL }
}

fn keeping(bodies: BodyPolicy) -> World {
    let mut world = World::new(Traits::modern());
    world.bodies = bodies;
    world.server.create("B");
    for subject in ["x", "m", "y"] {
        world.server.deliver("INBOX", subject, "");
    }
    world.settle();
    world
}

fn stock(world: &World) -> Stocked {
    let (engine, mut remote) = (world.engine(), world.server.connect());
    block_on(engine.stock(&mut remote, &clock, &|| false)).expect("a turn")
}

fn bring(world: &World, subject: &str, wanted: &Wanted) -> Brought {
    let message = message(world, subject).id;
    let (engine, mut remote) = (world.engine(), world.server.connect());
    let mut told = Vec::new();
    let wishes = [(message, wanted.clone())];
    block_on(engine.bring(&mut remote, &wishes, &clock, &mut |_, brought| told.push(brought))).expect("a connection");
    told.pop().expect("something came of it")
}

fn message(world: &World, subject: &str) -> mailtide::store::Message {
    let (inbox, uids) = (world.mailbox("INBOX"), world.uids("INBOX", subject));
    world.read(|reader| reader.messages(inbox, &uids, With::Summary)).pop().expect("a message")
}

fn here(world: &World) -> Vec<&'static str> {
    ["x", "m", "y"].into_iter().filter(|subject| message(world, subject).content.is_some()).collect()
}

#[test]
fn every_row_of_the_policy_comes_out_the_same_where_only_headers_are_here() {
    // What upstream expunged cannot be appended anew without its bytes.
    let needs_bytes = |name: &str| name.contains("appended anew") || name.contains("draft");
    for row in policy::ROWS.iter().filter(|row| !needs_bytes(row.name)) {
        super::table::run_keeping(row, Traits::modern(), only(Bodies::Headers));
    }
}

#[test]
fn of_a_message_without_its_body_clients_see_everything_else() {
    let world = keeping(only(Bodies::Headers));
    assert_eq!(world.server.state().fetched, []);
    assert_eq!(stock(&world), Stocked::default());
    let message = message(&world, "m");
    let summary = message.summary.expect("an outline");
    assert_eq!((message.content, message.size_bytes), (None, mail("m").len() as u64));
    assert_eq!(summary.root.end - summary.root.body_start, "This is m.\r\n".len() as u64);
    assert_eq!(summary.root.lines, 1);
    world.assert_sound();
}

#[test]
fn the_bodies_that_the_policy_wants_come_and_no_others() {
    let world = keeping(only(Bodies::MaxSize(mail("x").len() as u64)));
    let large = "large".repeat(10);
    world.server.deliver("INBOX", &large, "");
    world.settle();
    let stocked = stock(&world);
    assert_eq!((stocked.messages, stocked.has_more), (3, false));
    assert_eq!((here(&world).len(), message(&world, &large).content), (3, None));
    assert_eq!(stock(&world), Stocked::default(), "once");
    world.assert_sound();
}

/// Found by the simulator, seed 13332: each time the SELECT for the bodies was the one that was refused.
#[test]
fn a_mailbox_that_is_said_not_to_exist_when_its_bodies_are_wanted_is_asked_for_again() {
    let mut world = keeping(only(Bodies::Headers));
    world.bodies = BodyPolicy::ALL;
    world.server.state().denies_after = Some(0);
    assert_eq!(stock(&world).messages, 3);
}

/// Found by the simulator, seed 114493: a server that hangs up at every twentieth FETCH, of which each sync took nineteen.
#[test]
fn after_a_cut_of_the_bodies_alone_what_was_covered_is_not_looked_at_again() {
    let mut world = World::new(Traits::plain());
    world.bodies = only(Bodies::Headers);
    world.server.create("B");
    for mailbox in ["INBOX", "B"] {
        world.server.deliver(mailbox, "m", "");
    }
    world.settle();
    world.bodies = BodyPolicy::ALL;
    let engine = world.engine();
    let entered = |world: &World| world.server.state().entered;
    let sync = |looks: bool| {
        let before = entered(&world);
        world.sync_with(&engine, NOW_MS).expect("a sync");
        assert_eq!(entered(&world) > before, looks);
    };
    let stock = || {
        let mut remote = world.server.connect();
        block_on(engine.stock(&mut remote, &clock, &|| false))
    };
    sync(true);
    let calls = world.server.state().calls;
    world.server.state().cut = Cut::Before(calls + 2);
    stock().expect_err("the FETCH is cut");
    world.server.state().cut = Cut::Never;
    sync(false);
    assert_eq!(stock().expect("a turn").messages, 2);
    sync(true);
    world.assert_sound();
}

#[test]
fn a_choice_made_wider_fetches_and_one_made_narrower_keeps_what_is_here() {
    let mut world = keeping(only(Bodies::Headers));
    world.bodies = BodyPolicy::ALL;
    assert_eq!(stock(&world).messages, 3);
    world.bodies = only(Bodies::Headers);
    world.settle();
    assert_eq!(here(&world), ["x", "m", "y"]);
    world.assert_sound();
}

#[test]
fn one_message_is_brought_for_who_waits_for_it_and_for_its_copies() {
    let world = keeping(only(Bodies::Headers));
    world.copy("INBOX", "m", "B");
    assert_eq!(bring(&world, "m", &Wanted::Whole), Brought::Here);
    assert_eq!(here(&world), ["m"]);
    let copy = world.read(|reader| reader.messages(world.mailbox("B"), &[LocalUid::new(1)], With::Columns));
    assert!(copy[0].content.is_some(), "a copy is the same mail");
    world.assert_sound();
    world.settle();
    assert_eq!(world.here(), world.there());
}

#[test]
fn what_is_wanted_together_is_asked_for_together() {
    let world = keeping(only(Bodies::Headers));
    let wish = |subject, wanted: &Wanted| (message(&world, subject).id, wanted.clone());
    let section = |name: &str| Wanted::Section { name: name.to_owned(), first_bytes: None };
    for (wishes, calls) in [
        (vec![wish("x", &section("TEXT")), wish("m", &section("TEXT")), wish("x", &section("HEADER"))], 3),
        (vec![wish("y", &Wanted::Whole), wish("x", &Wanted::Whole), wish("m", &Wanted::Whole)], 2),
        (vec![wish("y", &Wanted::Whole)], 0),
    ] {
        let before = world.server.state().calls;
        let (engine, mut remote, mut told) = (world.engine(), world.server.connect(), Vec::new());
        let mut tell = |place, brought| told.push((place, brought));
        block_on(engine.bring(&mut remote, &wishes, &clock, &mut tell)).expect("a connection");
        told.sort_by_key(|(place, _)| *place);
        assert_eq!(told, (0..wishes.len()).map(|place| (place, Brought::Here)).collect::<Vec<_>>());
        assert_eq!(world.server.state().calls - before, calls, "SELECT, and what is fetched: {wishes:?}");
    }
    world.assert_sound();
}

/// A server may describe a part (an empty multipart has to have one in BODYSTRUCTURE) and answer NIL when it is wanted: what
/// the message has is told by the message.
#[test]
fn of_a_message_without_the_section_that_is_wanted_all_is_brought() {
    let world = keeping(only(Bodies::Headers));
    let absent = Wanted::Section { name: "2.1".to_owned(), first_bytes: None };
    assert_eq!(bring(&world, "x", &absent), Brought::Here);
    assert_eq!(here(&world), ["x"], "it is kept, and tells that there is none");
    let (engine, mut remote, mut told) = (world.engine(), world.server.connect(), Vec::new());
    let wishes = ["m", "m", "y"].map(|subject| (message(&world, subject).id, absent.clone()));
    let mut tell = |_, brought| told.push(brought);
    block_on(engine.bring(&mut remote, &wishes, &clock, &mut tell)).expect("a connection");
    assert_eq!((told, here(&world)), (vec![Brought::Here; 3], vec!["x", "m", "y"]));
    world.assert_sound();
    world.settle();
    assert_eq!(world.here(), world.there());
}

#[test]
fn the_server_tells_which_messages_hold_a_text() {
    let world = keeping(only(Bodies::Headers));
    let keys = [Query::Body("This is m.".to_owned()), Query::Text("nowhere".to_owned())];
    let (engine, mut remote) = (world.engine(), world.server.connect());
    let told = block_on(engine.inquire(&mut remote, world.mailbox("INBOX"), &keys, &clock)).expect("a connection");
    let told = told.expect("it searches");
    let ids = |subjects: &[&str]| subjects.iter().map(|subject| message(&world, subject).id).collect::<BTreeSet<_>>();
    assert_eq!(told.asked, ids(&["x", "m", "y"]));
    assert_eq!(told.holding, keys.into_iter().zip([ids(&["m"]), ids(&[])]).collect::<Vec<_>>());
}

#[test]
fn a_large_body_cut_half_way_is_gone_on_with_where_it_was() {
    let mut world = World::new(Traits::modern());
    world.bodies = only(Bodies::Headers);
    let uid = world.server.deliver("INBOX", "m", "");
    let large = format!("{}{}", String::from_utf8(mail("m")).expect("ASCII"), "0123456789abcdef".repeat(200_000));
    let pieces = large.len().div_ceil(usize::try_from(PIECE_BYTES).expect("small"));
    world.server.state().mailboxes.get_mut("INBOX").expect("INBOX").messages.get_mut(&uid).expect("m").bytes =
        large.clone().into_bytes();
    world.settle();
    let headers = world.server.state().given_bytes;
    let calls = world.server.state().calls;
    // SELECT, two pieces, and the third is cut.
    world.server.state().cut = Cut::Before(calls + 4);
    let id = message(&world, "m").id;
    let (engine, mut remote) = (world.engine(), world.server.connect());
    let wishes = [(id, Wanted::Whole)];
    block_on(engine.bring(&mut remote, &wishes, &clock, &mut |_, _| ())).expect_err("the line is cut");
    assert_eq!(world.server.state().given_bytes - headers, 2 << 20);
    world.server.state().cut = Cut::Never;
    drop((engine, remote));
    world.reopen();
    assert_eq!(bring(&world, "m", &Wanted::Whole), Brought::Here);
    assert_eq!(world.server.state().given_bytes - headers, large.len(), "no byte twice, in {pieces} pieces");
    let content = message(&world, "m").content.expect("its bytes");
    let mut source = world.store().source(content).expect("a source");
    let mut bytes = Vec::new();
    while let Ok(piece) = mailtide::types::ByteSource::read_at(&mut source, bytes.len() as u64, 1 << 20) {
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    assert!(bytes == large.as_bytes(), "the bytes are those of the message");
    world.assert_sound();
}

#[test]
fn a_size_that_the_server_told_wrong_stays_as_it_was_told_and_the_bytes_have_their_own() {
    let mut world = World::new(Traits::modern());
    world.bodies = only(Bodies::Headers);
    world.server.state().lies_about_sizes = true;
    world.server.deliver("INBOX", "m", "");
    world.settle();
    let told = message(&world, "m").size_bytes;
    assert_eq!(bring(&world, "m", &Wanted::Whole), Brought::Here);
    let known = message(&world, "m");
    assert_eq!((known.size_bytes, known.told_bytes), (mail("m").len() as u64, Some(told)));
    world.server.create("B");
    world.settle();
    world.copy("INBOX", "m", "B");
    let copy = world.read(|reader| reader.messages(world.mailbox("B"), &[LocalUid::new(1)], With::Columns));
    assert_eq!((copy[0].size_bytes, copy[0].told_bytes), (known.size_bytes, None), "another UID, the right size");
    world.assert_sound();
}

/// Found by the simulator, seed 122889: by its size it was another, and was made anew.
#[test]
fn what_both_sides_moved_is_there_once_though_the_server_lies_about_its_size() {
    let mut world = keeping(BodyPolicy::ALL);
    world.bodies = only(Bodies::Headers);
    world.server.create("C");
    world.settle();
    world.server.state().lies_about_sizes = true;
    world.move_message("INBOX", "m", "B");
    world.server.move_message("INBOX", 2, "C");
    world.settle();
    assert_eq!(world.there(), "B: m\nC:\nINBOX: x y");
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}

/// Found by the simulator, seed 135389: what had gone without its bytes came with them, in another size than was told.
#[test]
fn what_someone_moves_to_where_all_bodies_are_is_known_again_though_the_server_lies_about_its_size() {
    let mut world = World::new(Traits::modern());
    world.server.state().lies_about_sizes = true;
    world.bodies = only(Bodies::Headers);
    world.bodies.per_folder.push((Glob::new("C"), Bodies::All));
    ["B", "C"].into_iter().for_each(|mailbox| world.server.create(mailbox));
    for subject in ["x", "m", "y"] {
        world.server.deliver("INBOX", subject, "");
    }
    world.settle();
    world.move_message("INBOX", "m", "B");
    world.flag("INBOX", "x", "\\Flagged", "");
    world.server.move_message("INBOX", 2, "C");
    world.server.move_message("INBOX", 1, "C");
    world.settle();
    assert_eq!(world.there(), "B: m\nC: x(\\Flagged)\nINBOX: y");
    world.assert_sound();
}

#[test]
fn what_is_over_the_budget_waits() {
    let mut world = keeping(only(Bodies::Headers));
    let size = mail("m").len() as u64;
    world.bodies = BodyPolicy { budget_bytes: Some(size * 2), ..BodyPolicy::ALL };
    assert_eq!(stock(&world), Stocked { messages: 2, bytes: size * 2, has_more: false });
    let missing = ["x", "m", "y"].into_iter().find(|subject| !here(&world).contains(subject)).expect("one waits");
    assert_eq!(bring(&world, missing, &Wanted::Whole), Brought::OverBudget);
    let waiting = world.engine().waiting(clock()).expect("a count");
    assert_eq!((waiting.wanted.messages, waiting.left_bytes()), (1, Some(0)));
}

#[test]
fn on_a_metered_line_only_what_was_asked_for_comes() {
    let mut world = keeping(only(Bodies::Headers));
    world.bodies = BodyPolicy { metered: true, ..BodyPolicy::ALL };
    assert_eq!(stock(&world).messages, 0);
    let id = message(&world, "y").id;
    world.write(Origin::Upstream, move |txn| txn.pin(&[id]).map(drop));
    assert_eq!(stock(&world).messages, 1);
    assert_eq!(here(&world), ["y"]);
}

#[test]
fn messages_known_by_their_headers_keep_their_uids_when_uidvalidity_changes_and_nothing_is_fetched() {
    let world = keeping(only(Bodies::Headers));
    let before = (world.uids("INBOX", "m"), world.here());
    world.server.renumber("INBOX");
    world.server.state().fetched.clear();
    world.settle();
    assert_eq!((world.uids("INBOX", "m"), world.here()), before);
    assert_eq!(world.server.state().fetched, []);
    world.assert_sound();
}

#[test]
fn a_cut_while_headers_come_leaves_both_sides_sound() {
    for cut in 1..8 {
        let mut world = World::new(Traits::modern());
        world.bodies = only(Bodies::Headers);
        for subject in ["x", "m", "y"] {
            world.server.deliver("INBOX", subject, "");
        }
        world.server.state().cut = Cut::After(cut);
        let _ = world.sync();
        world.reopen();
        world.settle();
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

/// Where only headers are here, a message upstream is the only one there is until its copy is made.
#[test]
fn what_is_copied_is_not_expunged_before_its_copy_is_there() {
    type Act = fn(&World);
    let ends: [Act; 2] = [|world| world.expunge("A", "m"), |world| world.delete("A")];
    for (refused, end) in
        [("COPY", "B"), ("CREATE", "New")].into_iter().flat_map(|refused| ends.map(|end| (refused, end)))
    {
        let mut world = World::new(Traits::modern());
        world.bodies = only(Bodies::Headers);
        ["A", "B"].into_iter().for_each(|mailbox| world.server.create(mailbox));
        world.server.deliver("A", "m", "");
        world.settle();
        let (call, to) = refused;
        if to == "New" {
            world.create(to);
        }
        world.copy("A", "m", to);
        end(&world);
        world.server.state().refuses.push((call, to.to_owned(), Some(RefusalCode::OverQuota)));
        world.sync().expect("a sync");
        world.sync().expect("a sync");
        assert!(world.there().contains("A: m"), "{call}: {}", world.there());
        world.server.state().refuses.clear();
        // What waited for the copy is set aside as well where it was a folder's deletion.
        for _ in 0..2 {
            for entry in world.read(|reader| reader.entries(world.account)) {
                if matches!(entry.state, State::Parked { .. }) {
                    world.write(Origin::LocalUser, move |txn| txn.retry(entry.id));
                }
            }
            world.settle();
        }
        assert!(world.there().contains(&format!("{to}: m")), "{call}: {}", world.there());
        assert!(!world.there().contains("A: m"), "{call}: {}", world.there());
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}
