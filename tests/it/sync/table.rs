//! A table of cases, each multiplied: run; run again (nothing happens); cut before and after every call, the store reopened,
//! and gone on (the same end).

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
