//! Everything mirrored from a real server, then both sides changed while the line is cut, then joined.

use crate::load::FOLDERS;
use crate::support::corpus;
use crate::support::dovecot::Options;
use crate::world::{Scale, World};

/// What a long time offline leaves behind.
const LONG_OFFLINE: Scale = Scale {
    flags: 500,
    moves: 200,
    deletes: 100,
    appends: 50,
    folders: 3,
    renames: 2,
    submissions: 20,
    server_new: 100,
    server_flags: 100,
};

/// The demonstration's mail alone is too little for all that: each message again under other numbers.
fn mail() -> Vec<Vec<u8>> {
    let mut messages = corpus::all();
    messages.extend((1_000_000..).take(1200_usize.saturating_sub(messages.len())).map(corpus::small));
    messages
}

#[test]
fn a_whole_corpus_is_mirrored_and_both_sides_are_equal_after_a_long_time_offline() {
    let options = Options { delimiter: '.', ..Options::default() };
    let Some(mut world) = World::mirrored(&options, &FOLDERS, &mail(), 1) else { return };
    world.act(LONG_OFFLINE);
    world.join();
    let mut delivered = world.await_settled();
    delivered.sort();
    assert_eq!(delivered, world.submitted(), "each submitted message is delivered once");
    let conflicts = world.agent.account()["conflicts"].as_u64();
    assert_eq!(conflicts, Some(0), "{}", world.agent.ctl_ok(&["conflicts"]));
}

/// A server of 2003: everything is found by looking.
#[test]
fn a_server_without_extensions_is_mirrored_and_equal_after_a_time_offline() {
    let options = Options {
        delimiter: '/',
        without: &[
            "UIDPLUS",
            "MOVE",
            "CONDSTORE",
            "QRESYNC",
            "ENABLE",
            "ESEARCH",
            "LIST-STATUS",
            "LIST-EXTENDED",
            "IDLE",
        ],
    };
    let mail: Vec<_> = corpus::demo().into_iter().chain((0..120).map(corpus::small)).collect();
    let Some(mut world) = World::mirrored(&options, &FOLDERS, &mail, 2) else { return };
    world.act(Scale {
        flags: 60,
        moves: 30,
        deletes: 15,
        appends: 10,
        folders: 2,
        renames: 1,
        submissions: 3,
        server_new: 15,
        server_flags: 15,
    });
    world.join();
    let mut delivered = world.await_settled();
    delivered.sort();
    assert_eq!(delivered, world.submitted(), "each submitted message is delivered once");
}
