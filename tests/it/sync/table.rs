//! A table of cases, each multiplied: run; run again (nothing happens); cut before and after every call, the store reopened,
//! and gone on (the same end).
//!
//! Cuts that leave both sides as another one does are made once: all that a cut leaves is what the store has committed and
//! the server has changed, and what may still be written down of what was heard: what a FETCH has brought, what was done at
//! a stop of a tour, and which mailbox that was.

use mailtide::merge::policy::ConflictKind;
use mailtide::types::BodyPolicy;

use super::model_remote::{Cut, Server, Traits};
use super::world::World;

/// A row: what both sides have, what each does, and what must come of it.
pub struct Row {
    pub name: &'static str,
    pub before: fn(&Server),
    pub here: fn(&World),
    pub there: fn(&Server),
    /// Both sides in the end, as [`World::here`] tells.
    pub end: &'static str,
    pub conflicts: &'static [&'static str],
    pub parked: usize,
}

pub fn two_folders(server: &Server) {
    server.create("B");
    server.create("C");
    server.deliver("INBOX", "x", "");
    server.deliver("INBOX", "m", "\\Flagged");
    server.deliver("INBOX", "y", "\\Seen");
}

pub fn run(row: &Row, traits: Traits) {
    run_keeping(row, traits, BodyPolicy::ALL);
}

/// With the bodies of only some messages here.
pub fn run_keeping(row: &Row, traits: Traits, bodies: BodyPolicy) {
    let mut template = World::new(traits.clone());
    template.bodies = bodies;
    (row.before)(&template.server);
    template.settle();
    (row.here)(&template);
    (row.there)(&template.server);
    template.close();
    let what = |cut: Cut| format!("{} | {cut:?} | {traits:?}", row.name);

    let world = template.fork();
    world.sync().expect("a sync");
    let cuts = cuts(&world.server);
    world.settle();
    assert_end(row, &world, &what(Cut::Never));

    for cut in cuts {
        let mut world = template.fork();
        world.server.state().cut = cut;
        let _ = world.sync();
        world.reopen();
        world.settle();
        assert_end(row, &world, &what(cut));
    }
}

/// Where the line is cut, of all places where it can be: the sync just done tells which leave something of their own. The
/// lost answer to a call that changed nothing is like a call that never got there.
pub fn cuts(server: &Server) -> Vec<Cut> {
    let state = server.state();
    let is_new = |call: &usize| *call == 1 || state.moments[*call - 1] != state.moments[*call - 2];
    let before = (1..=state.calls).filter(is_new).map(Cut::Before);
    before.chain(state.telling.iter().copied().map(Cut::After)).collect()
}

fn assert_end(row: &Row, world: &World, what: &str) {
    assert_eq!(world.there(), row.end, "there: {what}\n{:#?}", world.journal());
    assert_eq!(world.here(), row.end, "here: {what}");
    assert_eq!(world.conflicts(), told(row, world), "{what}");
    let journal = world.journal();
    assert_eq!(journal.len(), row.parked, "{what}: {journal:#?}");
    world.assert_sound();
}

/// The conflicts of the row, as they are told where no bodies are here.
fn told(row: &Row, world: &World) -> Vec<String> {
    let has_bytes = world.bodies == BodyPolicy::ALL;
    let kinds = row.conflicts.iter().map(|kind| ConflictKind::parse(kind).expect("a kind"));
    kinds.map(|kind| if has_bytes { kind } else { kind.without_bytes() }.to_string()).collect()
}
